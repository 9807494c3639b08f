/*
 * exchange.h - events between shards.
 *
 * Layer: shard. A link is a one-way connection from one shard to another, made by the sender at its
 * first event, so only pairs that talk cost memory. It has two rings (ordinary, control) and, on the
 * sender's side, a backlog for each, for when the ring is full: an event goes to the ring only when
 * the backlog is empty, which keeps the order. The backlogs count as the sender's inflight.
 *
 * Ordering: (L1) the sender stores the link in the receiver's inlets, release -> (L2) the receiver
 * loads it, acquire: the rings are initialised. Events: the rings' own pairs (queue/spsc.h).
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
    size_t mapped_bytes;         /* I: of this struct and the cells behind it */
    struct outlet events_out;    /* F */
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
    return likely(to == shard->number || shard->links[to] != NULL) ||
           pawl__exchange_connect(shard, to);
}

/*
 * Routes one event to the shard of its task, this one included. The link exists, and a chunk is at
 * hand for its backlog (pawl__chunks_ensure): cannot fail.
 */
void pawl__exchange_route(struct shard *shard, const struct pawl_event *event);

/* Moves backlogs into rings, publishes, wakes. Once a turn. */
void pawl__exchange_flush(struct shard *shard);

/* Phases of the turn. Each returns how many events were handled. */
uint32_t pawl__exchange_take_control(struct shard *shard);
uint32_t pawl__exchange_take(struct shard *shard);

/* For the look before sleep. */
bool pawl__exchange_has_work(struct shard *shard);

/* Takes out all that leads to this shard or waits in it, calling fn for each event; after the threads
 * have ended. fn may send replies to other shards. */
void pawl__exchange_drain(struct shard *shard,
                          void (*fn)(struct shard *shard, const struct pawl_event *event));

void pawl__exchange_fini(struct shard *shard);

#endif /* PAWL_SHARD_EXCHANGE_H */
