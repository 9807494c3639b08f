/*
 * exchange.h - events between shards.
 *
 * Layer: shard. A link is a one-way connection from one shard to another, made by the sender at its
 * first event, so only pairs that talk cost memory. It has two rings (ordinary, control) and, on
 * the sender's side, a backlog for each, for when the ring is full: an event goes to the ring only
 * when the backlog is empty, which keeps the order. The backlogs count as the sender's inflight.
 *
 * Ordering: (L1) the sender stores the link in the receiver's inlets, release -> (L2) the receiver
 * loads it, acquire: the rings are initialised. Events: the rings' own pairs (queue/spsc.h).
 *
 * Routes. Where the next ordinary event for each shard goes stands in shard.routes, this shard's
 * own place included: a run of free cells, of a ring or of the local fifo. So an event is routed
 * without a branch on where it goes, which would be mispredicted half the time. A run of a ring is
 * claimed at the turn's first event for that shard and published at the turn's end, or when it is
 * full; the run of the local fifo is open inside a batch only, so that whoever looks at the fifo
 * between batches sees all of it. Whatever is not a plain append takes the slow way: control
 * events, full runs, backlogs.
 *
 * Progress: posting is wait-free; a full ring never blocks.
 */
#ifndef PAWL_SHARD_EXCHANGE_H
#define PAWL_SHARD_EXCHANGE_H

#include "shard/shard.h"

/* Field owners: I constant once published; F the sender; the rings have both ends. */
struct link {
    struct spsc events;
    struct spsc control;
    struct shard *to;            /* I */
    uint32_t from;               /* I: the sender's number */
    size_t mapped_bytes;         /* I: of this struct and the cells behind it */
    struct outlet control_out;   /* F */
    struct fifo events_backlog;  /* F */
    struct fifo control_backlog; /* F */
    bool flush;                  /* F: it is in shard->links_flush */
};

/* Makes the link. False: no memory. */
bool pawl__exchange_connect(struct shard *shard, uint32_t to);

/* Makes sure that the link exists. False: no memory. */
static inline bool exchange_ensure(struct shard *shard, uint32_t to)
{
    return likely(shard->routes[to].ready) || pawl__exchange_connect(shard, to);
}

/* The rest of exchange_route. */
void pawl__exchange_route_slow(struct shard *shard, const struct pawl_event *event);

/* The same for an event that counts as under way already. */
static inline void exchange_put(struct shard *shard, const struct pawl_event *event)
{
    struct route *route = &shard->routes[id_shard(event->task)];

    if (likely(route->next != route->end && (event->flags & PAWL_EVENT_CONTROL) == 0)) {
        prefetch_own(route->next + SPSC_AHEAD);
        spsc_copy_cells(route->next++, event, 1);
    } else {
        pawl__exchange_route_slow(shard, event);
    }
}

/*
 * Routes one event to the shard of its task, this one included. The link exists, and a chunk is at
 * hand for its backlog (pawl__chunks_ensure): cannot fail.
 */
static inline void exchange_route(struct shard *shard, const struct pawl_event *event)
{
    shard_count_routed(shard);
    exchange_put(shard, event);
}

/* Around a batch: events for this shard itself go straight into the local fifo's free cells. */
void pawl__exchange_open_local(struct shard *shard);
void pawl__exchange_close_local(struct shard *shard);

/* Events in flight, with those of an open batch. */
static inline uint32_t exchange_inflight(const struct shard *shard)
{
    const struct route *own = &shard->routes[shard->number];

    return shard->inflight + (uint32_t)(own->next - own->begin);
}

/* Moves backlogs into rings, publishes, wakes. Once a turn. */
void pawl__exchange_flush(struct shard *shard);

/* Phases of the turn. Each returns how many events were handled. */
uint32_t pawl__exchange_take_control(struct shard *shard);
uint32_t pawl__exchange_take(struct shard *shard);

/* For the look before sleep. */
bool pawl__exchange_has_work(struct shard *shard);

/*
 * Takes out all that leads to this shard or waits in it, calling fn for each event; after the
 * threads have ended. fn may send replies to other shards.
 */
void pawl__exchange_drain(struct shard *shard,
                          void (*fn)(struct shard *shard, const struct pawl_event *event));

void pawl__exchange_fini(struct shard *shard);

#endif /* PAWL_SHARD_EXCHANGE_H */
