#include "shard/registry.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "host/barrier.h"
#include "host/pages.h"

#define POSTING_LOOK_NS 20000

int pawl__ports_init(struct port_registry *registry)
{
    registry->asymmetric = pawl__barrier_register();
    return -pthread_mutex_init(&registry->mutex, NULL);
}

void pawl__ports_fini(struct port_registry *registry)
{
    pthread_mutex_destroy(&registry->mutex);
}

/* Everything of a port lies in one mapping: the port, its lanes, their cells, the list of lanes. */
struct port_layout {
    size_t lanes, cells, touched, bytes;
    size_t lane_cells;
};

static struct port_layout layout_of(uint32_t shards, uint32_t capacity, uint32_t completions)
{
    struct port_layout layout;

    layout.lane_cells = (size_t)capacity + CONTROL_RING + completions;
    layout.lanes = align_up(sizeof(struct pawl_port), 2 * CACHE_LINE);
    layout.touched = layout.lanes + shards * sizeof(struct port_lane);
    layout.cells = align_up(layout.touched + shards * sizeof(uint16_t), CACHE_LINE);
    layout.bytes = layout.cells + shards * layout.lane_cells * sizeof(struct cell);
    return layout;
}

static void lane_init(struct port_lane *lane, struct cell *cells, uint32_t capacity,
                      uint32_t completions)
{
    spsc_init(&lane->events, cells, capacity);
    spsc_init(&lane->control, cells + capacity, CONTROL_RING);
    spsc_init(&lane->completions, cells + capacity + CONTROL_RING, completions);
    outlet_init(&lane->events_out, &lane->events);
    outlet_init(&lane->control_out, &lane->control);
    outlet_init(&lane->completions_out, &lane->completions);
}

static struct pawl_port *port_map(struct port_registry *registry, uint32_t capacity,
                                  uint32_t completions)
{
    const uint32_t shards = registry->shard_count;
    const struct port_layout layout = layout_of(shards, capacity, completions);
    char *memory = pawl__pages_reserve(layout.bytes, PAGES_PLAIN, NULL);
    struct pawl_port *port = (struct pawl_port *)(void *)memory;
    struct cell *cells;

    if (memory == NULL)
        return NULL;
    cells = (struct cell *)(void *)(memory + layout.cells);
    port->mapped_bytes = layout.bytes;
    port->registry = registry;
    port->shard_count = shards;
    port->completions_max = completions;
    port->lanes = (struct port_lane *)(void *)(memory + layout.lanes);
    port->touched = (uint16_t *)(void *)(memory + layout.touched);
    for (uint32_t i = 0; i < shards; i++)
        lane_init(&port->lanes[i], cells + i * layout.lane_cells, capacity, completions);
    return port;
}

static void port_unmap(struct pawl_port *port)
{
    pawl__park_fini(&port->park);
    pawl__pages_unmap(port, port->mapped_bytes, NULL);
}

/* The lowest entry without a port; PORTS_MAX when there is none. Mutex held. */
static uint32_t free_entry(const struct port_registry *registry)
{
    uint32_t index = 0;

    /* relaxed: life changes under the mutex only. */
    while (index < PORTS_MAX && (load_relaxed(&registry->entries[index].life) & 1) != 0)
        index++;
    return index;
}

static int enter(struct port_registry *registry, struct pawl_port *port)
{
    struct port_entry *entry;
    int error = 0;

    pthread_mutex_lock(&registry->mutex);
    port->index = free_entry(registry);
    if (port->index == PORTS_MAX) {
        error = -ENOSPC;
    } else {
        entry = &registry->entries[port->index];
        /* relaxed: (E1) below publishes it. */
        store_relaxed(&entry->port, port);
        store_release(&entry->life, load_relaxed(&entry->life) + 1); /* (E1) pairs with (E2) */
        if (load_relaxed(&registry->top) <= port->index)
            store_release(&registry->top, port->index + 1);
        registry->open += !port->hidden;
    }
    pthread_mutex_unlock(&registry->mutex);
    return error;
}

/* Mutex held. */
static void leave(struct port_registry *registry, struct pawl_port *port)
{
    struct port_entry *entry = &registry->entries[port->index];

    store_release(&entry->life, load_relaxed(&entry->life) + 1);
    registry->open -= !port->hidden;
}

int pawl__port_create(struct port_registry *registry, uint32_t capacity, uint32_t completions,
                      bool hidden, struct pawl_port **port)
{
    struct pawl_port *made;
    int error;

    pawl__ports_reap(registry);
    made = port_map(registry, capacity, completions);
    if (made == NULL)
        return -ENOMEM;
    made->hidden = hidden;
    error = pawl__park_init(&made->park, false);
    if (error == 0)
        error = enter(registry, made);
    if (error != 0) {
        port_unmap(made);
        return error;
    }
    *port = made;
    return 0;
}

/* Every shard has left it. Mutex held. */
void pawl__port_free(struct port_registry *registry, struct pawl_port *port)
{
    leave(registry, port);
    port_unmap(port);
}

bool pawl__port_leave_early(struct port_registry *registry, struct pawl_port *port)
{
    bool early;

    pthread_mutex_lock(&registry->mutex);
    early = !registry->started;
    if (early)
        pawl__port_free(registry, port);
    pthread_mutex_unlock(&registry->mutex);
    return early;
}

void pawl__ports_set_started(struct port_registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    registry->started = true;
    pthread_mutex_unlock(&registry->mutex);
}

/* Whether a post of this port may be under way that is not admitted any more. Mutex held. */
static bool is_posting(const struct port_entry *entry, enum admits admits)
{
    const struct pawl_port *port;

    if ((load_relaxed(&entry->life) & 1) == 0) /* relaxed: mutex held */
        return false;
    port = load_relaxed(&entry->port); /* relaxed: mutex held */
    if (admits == ADMITS_AGENTS && load_acquire(&port->agent) != NULL)
        return false;
    return load_acquire(&port->posting) != 0;
}

void pawl__ports_refuse(struct port_registry *registry, enum admits admits)
{
    const struct timespec moment = {.tv_nsec = POSTING_LOOK_NS};

    store_release(&registry->admits, admits);
    pawl__barrier_heavy(registry->asymmetric);
    pthread_mutex_lock(&registry->mutex);
    for (uint32_t i = 0; i < load_relaxed(&registry->top); i++) { /* relaxed: mutex held */
        const struct port_entry *entry = &registry->entries[i];

        while (is_posting(entry, admits))
            nanosleep(&moment, NULL); /* its thread has lost its core in the middle of a post */
    }
    pthread_mutex_unlock(&registry->mutex);
}

/* A shard that sleeps would not notice that a port is closing. */
void pawl__ports_wake_shards(const struct port_registry *registry)
{
    for (uint32_t i = 0; i < registry->shard_count; i++)
        park_wake(&registry->shards[i]->park);
}

bool pawl__port_is_left(const struct pawl_port *port)
{
    const struct port_registry *registry = port->registry;

    return load_acquire(&port->left) == port->shard_count || /* (K4) pairs with (K3) */
           load_acquire(&registry->stopped) != 0;
}

void pawl__port_abandon(struct pawl_port *port)
{
    struct port_registry *registry = port->registry;

    store_release(&port->closing, 1); /* (K1) pairs with (K2) */
    pthread_mutex_lock(&registry->mutex);
    port->next_dead = registry->dead;
    registry->dead = port;
    pthread_mutex_unlock(&registry->mutex);
    pawl__ports_wake_shards(registry);
}

void pawl__ports_reap(struct port_registry *registry)
{
    struct pawl_port **link = &registry->dead;

    pthread_mutex_lock(&registry->mutex);
    while (*link != NULL) {
        struct pawl_port *port = *link;

        if (!pawl__port_is_left(port)) {
            link = &port->next_dead;
            continue;
        }
        *link = port->next_dead;
        pawl__port_free(registry, port);
    }
    pthread_mutex_unlock(&registry->mutex);
}

void pawl__ports_free_hidden(struct port_registry *registry)
{
    const uint32_t top = load_acquire(&registry->top);

    pawl__ports_reap(registry);
    for (uint32_t i = 0; i < top; i++) {
        struct port_entry *entry = &registry->entries[i];
        /* relaxed: nobody else is left. */
        struct pawl_port *port = load_relaxed(&entry->port);

        if ((load_relaxed(&entry->life) & 1) != 0) {
            CHECK(port->hidden);
            pawl__port_free(registry, port);
        }
    }
}
