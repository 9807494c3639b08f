/*
 * outlet.h - the producer's side of a ring for someone who writes single cells all through a turn
 * and publishes them once: completions to a port, events to another shard.
 *
 * Layer: queue. May include: base. Owner: the ring's producer.
 */
#ifndef PAWL_QUEUE_OUTLET_H
#define PAWL_QUEUE_OUTLET_H

#include "queue/spsc.h"

struct outlet {
    struct spsc *ring;
    struct cell *run; /* claimed, not yet published */
    uint32_t room;    /* cells in run */
    uint32_t used;    /* of these, written */
};

static inline void outlet_init(struct outlet *outlet, struct spsc *ring)
{
    *outlet = (struct outlet){.ring = ring};
}

/* Makes all that was put visible to the consumer. Returns how many cells that were not before. */
static inline uint32_t outlet_flush(struct outlet *outlet)
{
    const uint32_t used = outlet->used;

    if (used > 0)
        spsc_publish(outlet->ring, used);
    outlet->room = outlet->used = 0;
    return used;
}

/* The cell that comes next, to be filled now; NULL when the ring is full. Not visible before
 * outlet_flush. */
static inline struct cell *outlet_next(struct outlet *outlet)
{
    if (unlikely(outlet->used == outlet->room)) {
        /* The run may have ended at the end of the memory: publish it and claim the next. */
        outlet_flush(outlet);
        outlet->room = UINT32_MAX;
        outlet->run = spsc_claim(outlet->ring, &outlet->room);
        if (outlet->room == 0)
            return NULL;
    }
    prefetch_own(&outlet->run[outlet->used] + SPSC_AHEAD);
    return &outlet->run[outlet->used++];
}

/* Puts one cell; false when the ring is full. Not visible before outlet_flush. */
static inline bool outlet_put(struct outlet *outlet, const void *item)
{
    struct cell *cell = outlet_next(outlet);

    if (unlikely(cell == NULL))
        return false;
    spsc_copy_cells(cell, item, 1);
    return true;
}

#endif /* PAWL_QUEUE_OUTLET_H */
