#include "shard/exchange.h"

#include <string.h>

#include "host/pages.h"

_Static_assert(sizeof(struct pawl_event) == sizeof(struct cell), "an event is a cell");

static struct link *link_create(struct shard *from, struct shard *to)
{
    const uint32_t capacity = from->exchange_capacity;
    const size_t header = align_up(sizeof(struct link), 2 * CACHE_LINE);
    const size_t bytes = header + ((size_t)capacity + CONTROL_RING) * sizeof(struct cell);
    const struct fifo_source chunks = pawl__chunks_source(&from->chunks);
    struct link *link = pawl__pages_reserve(bytes, PAGES_PLAIN, &from->pages);
    struct cell *cells;

    if (link == NULL)
        return NULL;
    cells = (struct cell *)(void *)((char *)link + header);
    link->to = to;
    link->mapped_bytes = bytes;
    spsc_init(&link->events, cells, capacity);
    spsc_init(&link->control, cells + capacity, CONTROL_RING);
    outlet_init(&link->events_out, &link->events);
    outlet_init(&link->control_out, &link->control);
    pawl__fifo_init(&link->events_backlog, &chunks);
    pawl__fifo_init(&link->control_backlog, &chunks);
    return link;
}

bool pawl__exchange_connect(struct shard *shard, uint32_t to)
{
    struct shard *receiver = shard->shards[to];
    struct link *link;
    uint32_t place;

    link = link_create(shard, receiver);
    if (link == NULL)
        return false;
    shard->links[to] = link;
    place = add_acq_rel(&receiver->inlets_count, 1);
    CHECK(place < receiver->shard_count);
    store_release(&receiver->inlets[place], link); /* (L1) pairs with (L2) */
    return true;
}

static void backlog_push(struct shard *shard, struct fifo *backlog, const struct pawl_event *event)
{
    CHECK(fifo_push(backlog, event)); /* a chunk was made sure of */
    shard->inflight++;
}

void pawl__exchange_route(struct shard *shard, const struct pawl_event *event)
{
    const uint32_t to = id_shard(event->task);
    const bool control = (event->flags & PAWL_EVENT_CONTROL) != 0;
    struct link *link;
    struct fifo *backlog;

    shard_count_routed(shard);
    if (to == shard->number) {
        backlog_push(shard, control ? &shard->local_control : &shard->local, event);
        return;
    }
    link = shard->links[to];
    backlog = control ? &link->control_backlog : &link->events_backlog;
    if (fifo_count(backlog) > 0 ||
        !outlet_put(control ? &link->control_out : &link->events_out, event))
        backlog_push(shard, backlog, event);
    shard->count.sent++;
    if (!link->flush) {
        link->flush = true;
        shard->links_flush[shard->links_flush_count++] = to;
    }
}

/* Moves what fits from a backlog into its ring. */
static void backlog_move(struct shard *shard, struct fifo *backlog, struct outlet *outlet)
{
    while (fifo_count(backlog) > 0) {
        uint32_t run = QUOTA;
        const struct cell *cells = fifo_peek(backlog, &run);
        uint32_t moved = 0;

        while (moved < run && outlet_put(outlet, &cells[moved]))
            moved++;
        fifo_release(backlog, moved);
        shard->inflight -= moved;
        if (moved < run)
            return;
    }
}

void pawl__exchange_flush(struct shard *shard)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < shard->links_flush_count; i++) {
        const uint32_t to = shard->links_flush[i];
        struct link *link = shard->links[to];

        backlog_move(shard, &link->control_backlog, &link->control_out);
        backlog_move(shard, &link->events_backlog, &link->events_out);
        outlet_flush(&link->control_out);
        outlet_flush(&link->events_out);
        park_wake(&link->to->park);
        link->flush =
            fifo_count(&link->control_backlog) > 0 || fifo_count(&link->events_backlog) > 0;
        if (link->flush)
            shard->links_flush[kept++] = to;
    }
    shard->links_flush_count = kept;
}

static uint32_t inlets(const struct shard *shard)
{
    return load_acquire(&shard->inlets_count);
}

/* NULL for a place that was claimed a moment ago; the wake that follows brings us back. */
static struct link *inlet(const struct shard *shard, uint32_t place)
{
    return load_acquire(&shard->inlets[place]); /* (L2) pairs with (L1) */
}

uint32_t pawl__exchange_take_control(struct shard *shard)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < inlets(shard); i++) {
        struct link *link = inlet(shard, i);

        if (link != NULL)
            taken += pawl__batch_ring(shard, &link->control, 0, CONTROL_RING);
    }
    shard->taken_inside += taken;
    return taken;
}

uint32_t pawl__exchange_take(struct shard *shard)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < inlets(shard); i++) {
        struct link *link = inlet(shard, i);

        if (link != NULL)
            taken += pawl__batch_ring(shard, &link->events, 0, QUOTA);
    }
    shard->taken_inside += taken;
    return taken;
}

bool pawl__exchange_has_work(struct shard *shard)
{
    for (uint32_t i = 0; i < inlets(shard); i++) {
        struct link *link = inlet(shard, i);

        if (link == NULL || !spsc_is_empty_consumer(&link->control) ||
            !spsc_is_empty_consumer(&link->events))
            return true;
    }
    return false;
}

static void drain_ring(struct shard *shard, struct spsc *ring,
                       void (*fn)(struct shard *shard, const struct pawl_event *event))
{
    struct pawl_event event;

    while (spsc_pop(ring, &event, 1) == 1)
        fn(shard, &event);
}

static void drain_backlog(struct shard *shard, struct fifo *backlog,
                          void (*fn)(struct shard *shard, const struct pawl_event *event))
{
    while (fifo_count(backlog) > 0) {
        uint32_t run = 1;
        struct pawl_event event;

        memcpy(&event, fifo_peek(backlog, &run), sizeof(event));
        fifo_release(backlog, 1);
        shard->inflight--;
        fn(shard, &event);
    }
}

void pawl__exchange_drain(struct shard *shard,
                          void (*fn)(struct shard *shard, const struct pawl_event *event))
{
    for (uint32_t i = 0; i < inlets(shard); i++) {
        struct link *link = inlet(shard, i);

        if (link == NULL)
            continue;
        drain_ring(shard, &link->control, fn);
        drain_ring(shard, &link->events, fn);
    }
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        struct link *link = shard->links[to];

        if (link == NULL)
            continue;
        /* What was put and not flushed is in the ring once it is published; its receiver or, if
         * that one was drained before, nobody would take it: so it is published first of all. */
        outlet_flush(&link->control_out);
        outlet_flush(&link->events_out);
        drain_backlog(shard, &link->control_backlog, fn);
        drain_backlog(shard, &link->events_backlog, fn);
    }
    drain_backlog(shard, &shard->local_control, fn);
    drain_backlog(shard, &shard->local, fn);
}

void pawl__exchange_fini(struct shard *shard)
{
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        struct link *link = shard->links[to];

        if (link == NULL)
            continue;
        pawl__fifo_fini(&link->events_backlog);
        pawl__fifo_fini(&link->control_backlog);
        pawl__pages_unmap(link, link->mapped_bytes, &shard->pages);
    }
}
