#include "shard/exchange.h"

#include <string.h>

#include "host/pages.h"
#include "shard/durable.h"

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
    link->from = from->number;
    link->mapped_bytes = bytes;
    spsc_init(&link->events, cells, capacity);
    spsc_init(&link->control, cells + capacity, CONTROL_RING);
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
    shard->routes[to].ready = true;
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

static void route_set(struct route *route, struct cell *run, uint32_t room)
{
    route->begin = route->next = run;
    route->end = room > 0 ? run + room : run; /* without room there is no run */
}

static void route_close(struct route *route)
{
    route->begin = route->next = route->end = NULL;
}

static uint32_t route_written(const struct route *route)
{
    return (uint32_t)(route->next - route->begin);
}

void pawl__exchange_open_local(struct shard *shard)
{
    uint32_t room;
    struct cell *run = fifo_claim(&shard->local, &room);

    route_set(&shard->routes[shard->number], run, room);
    shard->local_open = true;
}

void pawl__exchange_close_local(struct shard *shard)
{
    struct route *own = &shard->routes[shard->number];
    const uint32_t written = route_written(own);

    fifo_publish(&shard->local, written);
    shard->inflight += written;
    route_close(own);
    shard->local_open = false;
}

static void route_local(struct shard *shard, const struct pawl_event *event)
{
    const bool open = shard->local_open;

    if ((event->flags & PAWL_EVENT_CONTROL) != 0) {
        backlog_push(shard, &shard->local_control, event);
        return;
    }
    pawl__exchange_close_local(shard);
    backlog_push(shard, &shard->local, event);
    if (open)
        pawl__exchange_open_local(shard);
}

/* What was written to a link's ring becomes visible; the route has no room after it. */
static void publish(struct shard *shard, struct link *link, struct route *route)
{
    const uint32_t written = route_written(route);

    if (written > 0)
        spsc_publish(&link->events, written);
    shard->count.sent += written;
    route_close(route);
}

/*
 * A run of free cells of a link's ring, with the event as the first written. False: the ring is
 * full.
 */
static bool route_claim(struct link *link, struct route *route, const struct pawl_event *event)
{
    uint32_t room = UINT32_MAX;
    struct cell *run = spsc_claim(&link->events, &room);

    if (run == NULL)
        return false;
    route_set(route, run, room);
    spsc_copy_cells(route->next++, event, 1);
    return true;
}

static void route_far(struct shard *shard, const struct pawl_event *event, uint32_t to)
{
    struct link *link = shard->links[to];

    if (!link->flush) {
        link->flush = true;
        shard->links_flush[shard->links_flush_count++] = to;
    }
    if ((event->flags & PAWL_EVENT_CONTROL) != 0) {
        shard->count.sent++;
        if (fifo_count(&link->control_backlog) > 0 || !outlet_put(&link->control_out, event))
            backlog_push(shard, &link->control_backlog, event);
        return;
    }
    publish(shard, link, &shard->routes[to]);
    if (fifo_count(&link->events_backlog) == 0 && route_claim(link, &shard->routes[to], event))
        return;
    shard->count.sent++;
    backlog_push(shard, &link->events_backlog, event);
}

void pawl__exchange_route_slow(struct shard *shard, const struct pawl_event *event)
{
    const uint32_t to = id_shard(event->task);

    if (to == shard->number)
        route_local(shard, event);
    else
        route_far(shard, event, to);
}

/* Moves what fits from a backlog into its ring, and publishes it. */
static void backlog_move(struct shard *shard, struct fifo *backlog, struct spsc *ring)
{
    while (fifo_count(backlog) > 0) {
        uint32_t run = QUOTA;
        const struct cell *cells = fifo_peek(backlog, &run);
        const uint32_t moved = spsc_push(ring, cells, run);

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

        publish(shard, link, &shard->routes[to]);
        outlet_flush(&link->control_out);
        backlog_move(shard, &link->control_backlog, &link->control);
        backlog_move(shard, &link->events_backlog, &link->events);
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

/* Where the events of a batch come from, for what counts them. */
static void come_from(struct shard *shard, const struct link *link, enum durable_class klass)
{
    if (shard->durable == NULL)
        return;
    shard->durable->peer = (uint16_t)link->from;
    shard->durable->klass = klass;
}

uint32_t pawl__exchange_take_control(struct shard *shard)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < inlets(shard); i++) {
        struct link *link = inlet(shard, i);

        if (link == NULL)
            continue;
        come_from(shard, link, DURABLE_CONTROL);
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

        if (link == NULL)
            continue;
        come_from(shard, link, DURABLE_ORDINARY);
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
        publish(shard, link, &shard->routes[to]);
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
