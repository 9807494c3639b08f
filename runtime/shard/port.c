/*
 * port.c - the producer's side of a port: post, reap, wait, close.
 *
 * Layer: shard. Owner: the port's producer. Progress: posting and reaping are wait-free.
 */
#include <errno.h>

#include "base/bits.h"
#include "host/barrier.h"
#include "shard/alias.h"
#include "shard/create.h"
#include "shard/registry.h"
#include "shard/runtime.h"
#include "task/event.h"

#define PORT_CAPACITY_MIN 64u

/* How often a closer looks whether the shards have left, and a waiter whether the runtime stopped. */
#define LEAVE_LOOK_NS UINT64_C(200000)
#define STOP_LOOK_NS  UINT64_C(100000000)

_Static_assert(sizeof(struct pawl_completion) == sizeof(struct cell), "a completion is a cell");
_Static_assert(PORT_RING_DEFAULT <= PORT_RING_MAX && PORTLESS_RING <= PORT_RING_MAX, "in range");

static bool capacity_is_valid(uint32_t capacity)
{
    return is_power_of_two(capacity) && capacity >= PORT_CAPACITY_MIN && capacity <= PORT_RING_MAX;
}

int pawl_port_open(struct pawl_runtime *runtime, const struct pawl_port_options *options,
                   struct pawl_port **port)
{
    const struct pawl_port_options none = {0};
    uint32_t capacity, completions;

    if (options == NULL)
        options = &none;
    capacity = options->capacity != 0 ? options->capacity : PORT_RING_DEFAULT;
    completions = options->completions != 0 ? options->completions : capacity;
    if (!capacity_is_valid(capacity) || !capacity_is_valid(completions))
        return -EINVAL;
    if (load_acquire(&runtime->ports->stopped) != 0)
        return -EBUSY;
    return pawl__port_create(runtime->ports, capacity, completions, false, port);
}

static bool event_is_valid(const struct pawl_port *port, const struct pawl_event *event)
{
    const uint16_t allowed = PAWL_EVENT_COMPLETE | PAWL_EVENT_CONTROL | PAWL_EVENT_BUFFER;

    return event->code < PAWL_CODE_RUNTIME && (event->flags & ~allowed) == 0 &&
           id_shard(event->task) < port->shard_count && id_slot(event->task) != 0;
}

/* Puts one event into its lane; false: no room for it or for its completion. */
static bool put(struct pawl_port *port, const struct pawl_event *event, uint32_t *touched)
{
    const uint32_t to = id_shard(event->task);
    struct port_lane *lane = &port->lanes[to];
    const bool control = (event->flags & PAWL_EVENT_CONTROL) != 0;
    const bool complete = (event->flags & PAWL_EVENT_COMPLETE) != 0;
    struct cell *cell;

    if (unlikely(complete && port->outstanding == port->completions_max))
        return false;
    cell = outlet_next(control ? &lane->control_out : &lane->events_out);
    if (unlikely(cell == NULL))
        return false;
    event_copy(cell, event);
    port->outstanding += complete;
    if (!lane->touched) {
        lane->touched = true;
        port->touched[(*touched)++] = (uint16_t)to;
    }
    return true;
}

static void flush(struct pawl_port *port, uint32_t touched)
{
    for (uint32_t i = 0; i < touched; i++) {
        struct port_lane *lane = &port->lanes[port->touched[i]];

        outlet_flush(&lane->events_out);
        outlet_flush(&lane->control_out);
        lane->touched = false;
        park_wake(&port->registry->shards[port->touched[i]]->park);
    }
}

/* relaxed: as in post_begin; whose port it is has been said by its producer himself */
static bool is_admitted(const struct pawl_port *port)
{
    const uint32_t admits = load_relaxed(&port->registry->admits);

    return admits == ADMITS_ALL || (admits == ADMITS_AGENTS && load_relaxed(&port->agent) != NULL);
}

/*
 * Every post lies between these two. begin: whether posting is allowed at all; then it stays so until end
 * (shard/registry.h). relaxed: the barrier and the release of end order what matters.
 */
static bool post_begin(struct pawl_port *port)
{
    const struct port_registry *registry = port->registry;

    store_relaxed(&port->posting, 1);
    barrier_light(registry->asymmetric);
    if (likely(is_admitted(port) && load_relaxed(&port->closing) == 0))
        return true;
    store_release(&port->posting, 0);
    return false;
}

static void post_end(struct pawl_port *port)
{
    store_release(&port->posting, 0);
}

/* Any event, the runtime's own included; it has been checked. */
static int post_one(struct pawl_port *port, const struct pawl_event *event)
{
    uint32_t touched = 0;
    bool done;

    if (!post_begin(port))
        return -EBUSY;
    done = put(port, event, &touched);
    flush(port, touched);
    post_end(port);
    return done ? 0 : -EAGAIN;
}

int pawl_port_post(struct pawl_port *port, const struct pawl_event *events, size_t count)
{
    const struct aliases *aliases = port->registry->aliases;
    uint32_t touched = 0;
    size_t done = 0;
    int error = -EAGAIN;

    if (unlikely(!post_begin(port)))
        return -EBUSY;
    if (count > INT32_MAX)
        count = INT32_MAX;
    for (; done < count; done++) {
        const struct pawl_event *event = &events[done];
        struct pawl_event moved;

        if (unlikely(aliases != NULL)) {
            moved = *event;
            moved.task = aliases_resolve(aliases, event->task);
            event = &moved;
        }
        if (unlikely(!event_is_valid(port, event))) {
            error = -EINVAL;
            break;
        }
        if (unlikely(!put(port, event, &touched)))
            break;
    }
    flush(port, touched);
    post_end(port);
    return done > 0 || count == 0 ? (int)done : error;
}

int pawl_port_create(struct pawl_port *port, const struct pawl_task_spec *spec, uint32_t tag)
{
    const struct port_registry *registry = port->registry;
    struct pawl_event event;
    uint32_t home;
    int error;

    error =
        pawl__create_check(registry->machines, registry->machine_count, port->shard_count, spec);
    if (error != 0)
        return error;
    home = pawl__create_home(registry->key_seed, port->shard_count, spec, port->any_next);
    error = pawl__create_request(spec, home, &event);
    if (error != 0)
        return error;
    event.flags |= PAWL_EVENT_COMPLETE;
    event.tag = tag;
    error = post_one(port, &event);
    if (error != 0)
        event_drop_buffer(&event);
    if (error == 0)
        port->any_next = (port->any_next + 1) % port->shard_count;
    return error;
}

int pawl__port_cancel(struct pawl_port *port, struct pawl_task task, uint32_t tag, bool complete)
{
    const struct aliases *aliases = port->registry->aliases;
    const struct pawl_event event = {
        .task = aliases != NULL ? aliases_resolve(aliases, task) : task,
        .code = PAWL_CODE_CANCEL,
        .flags = PAWL_EVENT_CONTROL | (complete ? PAWL_EVENT_COMPLETE : 0),
        .tag = tag,
    };

    if (id_shard(event.task) >= port->shard_count || id_slot(event.task) == 0)
        return -EINVAL;
    return post_one(port, &event);
}

int pawl_port_cancel(struct pawl_port *port, struct pawl_task task, uint32_t tag)
{
    return pawl__port_cancel(port, task, tag, true);
}

int pawl_port_reap(struct pawl_port *port, struct pawl_completion *completions, size_t capacity)
{
    size_t reaped = 0;

    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    for (uint32_t i = 0; i < port->shard_count && reaped < capacity; i++) {
        struct port_lane *lane = &port->lanes[port->reap_next];

        reaped += spsc_pop(&lane->completions, completions + reaped, (uint32_t)(capacity - reaped));
        port->reap_next = port->reap_next + 1 == port->shard_count ? 0 : port->reap_next + 1;
    }
    port->outstanding -= (uint32_t)reaped;
    return (int)reaped;
}

uint32_t pawl_port_outstanding(const struct pawl_port *port)
{
    return port->outstanding;
}

static uint32_t completions_there(struct pawl_port *port)
{
    uint32_t there = 0;

    for (uint32_t i = 0; i < port->shard_count; i++)
        there += spsc_count(&port->lanes[i].completions);
    return there;
}

/*
 * Waits on the port's park until `ready`, or the deadline; true when ready. Looks at least every
 * look_ns, for what nobody wakes us for.
 */
static bool wait_until(struct pawl_port *port, bool (*ready)(struct pawl_port *port),
                       uint64_t timeout_ns, uint64_t look_ns)
{
    const uint64_t begin = pawl_clock_monotonic.now_ns(NULL);

    while (!ready(port)) {
        const uint64_t waited = pawl_clock_monotonic.now_ns(NULL) - begin;
        uint64_t left;

        if (waited >= timeout_ns)
            return false;
        left = timeout_ns - waited;
        pawl__park_prepare(&port->park);
        if (ready(port)) {
            pawl__park_cancel(&port->park);
            return true;
        }
        pawl__park_wait(&port->park, left < look_ns ? left : look_ns);
    }
    return true;
}

static bool can_reap(struct pawl_port *port)
{
    return completions_there(port) > 0 || load_acquire(&port->registry->stopped) != 0;
}

int pawl_port_wait(struct pawl_port *port, uint64_t timeout_ns)
{
    if (port->outstanding == 0)
        return -ENOENT;
    if (port->registry->host_driven)
        return can_reap(port) ? 0 : -EAGAIN;
    if (!wait_until(port, can_reap, timeout_ns, STOP_LOOK_NS))
        return -ETIMEDOUT;
    return completions_there(port) > 0 ? 0 : -EBUSY;
}

static bool all_arrived(struct pawl_port *port)
{
    return completions_there(port) == port->outstanding ||
           load_acquire(&port->registry->stopped) != 0;
}

static bool can_free(struct pawl_port *port)
{
    return pawl__port_is_left(port);
}

int pawl_port_close(struct pawl_port *port, uint64_t timeout_ns)
{
    struct port_registry *registry = port->registry;
    const uint64_t begin = pawl_clock_monotonic.now_ns(NULL);
    uint64_t waited;

    if (pawl__port_leave_early(registry, port))
        return 0;
    if (registry->host_driven)
        timeout_ns = 0;
    if (!wait_until(port, all_arrived, timeout_ns, STOP_LOOK_NS))
        return registry->host_driven ? -EAGAIN : -ETIMEDOUT;
    store_release(&port->closing, 1); /* (K1) pairs with (K2) */
    pawl__ports_wake_shards(registry);
    waited = pawl_clock_monotonic.now_ns(NULL) - begin;
    if (!wait_until(port, can_free, waited < timeout_ns ? timeout_ns - waited : 0, LEAVE_LOOK_NS))
        return registry->host_driven ? -EAGAIN : -ETIMEDOUT;
    pthread_mutex_lock(&registry->mutex);
    pawl__port_free(registry, port);
    pthread_mutex_unlock(&registry->mutex);
    return 0;
}
