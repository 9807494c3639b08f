/*
 * spsc.h - bounded single-producer, single-consumer ring of 32-byte cells: events one way,
 * completions the other way, of a port or of a pair of shards.
 *
 * Layer: queue. May include: base.
 *
 * The decision to question: a cell is copied in and out as 32 opaque bytes, so one ring serves
 * events and completions alike, and a batch costs one memcpy. Whoever wants no copy at all builds
 * cells in place (claim, publish) and reads them in place (peek, release).
 *
 * Owner: each end has exactly one thread at a time; a hand-over of an end to another thread needs
 * the caller's own happens-before. The cell memory is the caller's and outlives the ring.
 * Limits: capacity is a power of two, 1 .. 2^31 cells. The indices run freely over 32 bits; their
 * difference is the fill, and position & mask is the place.
 *
 * Which calls may overlap ("-" free, "X" the caller must exclude):
 *
 *                                    producer   consumer   count
 *      producer: push room claim
 *                publish                 X          -        -
 *      consumer: pop peek release
 *                is_empty_consumer       -          X        -
 *      anyone:   count                   -          -        -
 *
 * Ordering:
 *   (P1) publish stores tail, release -> (C1) the consumer loads tail, acquire: the cells' bytes
 *        and everything the producer did before.
 *   (C2) release stores head, release -> (P2) the producer loads head, acquire: the consumer has
 *        done reading; the cells may be overwritten.
 *   (C2) -> (S1) count loads head, acquire, then tail: the tail it reads is not older than the one
 *        the consumer had seen, so the difference never goes below zero.
 *
 * Progress: every call is wait-free. One release store a batch; the far index is loaded only when
 * the copy of it kept here does not already cover the request, so an uncrowded ring moves one
 * cache line of indices a batch, not one a cell.
 */
#ifndef PAWL_QUEUE_SPSC_H
#define PAWL_QUEUE_SPSC_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"

/*
 * One item of a queue. may_alias: the same bytes are an event to one side and a cell to the other,
 * and a consumer may cast the address that peek returned.
 */
struct cell {
    uint64_t word[4];
} __attribute__((may_alias));

_Static_assert(sizeof(struct cell) == 32, "events and completions are 32 bytes");

/*
 * Who writes cells one by one asks for the line so many cells on (prefetch_own): the consumer's
 * core has it from the last time round. A store that waits for its line holds up all stores behind
 * it.
 */
#define SPSC_AHEAD 16u

/* Two lines: the prefetcher of adjacent lines must not pull in the line the other end writes. */
#define SPSC_LINE (2 * CACHE_LINE)

/*
 * Field owners: I set once at init; P the producer; C the consumer. The constants are kept twice,
 * beside the fields of either end, so that polling a ring touches two lines and not three.
 */
struct spsc {
    alignas(SPSC_LINE) _Atomic uint32_t tail; /* P writes, C and count read: cells ever published */
    uint32_t head_seen;                       /* P: the last head loaded, at most the true one */
    uint32_t push_mask;                       /* I: capacity - 1 */
    struct cell *push_cells;                  /* I: capacity cells */

    alignas(SPSC_LINE) _Atomic uint32_t head; /* C writes, P and count read: cells ever released */
    uint32_t tail_seen;                       /* C: the last tail loaded, at most the true one */
    uint32_t pop_mask;                        /* I */
    const struct cell *pop_cells;             /* I */
};

_Static_assert(sizeof(struct spsc) == 2 * SPSC_LINE, "one block of lines for each end");

/* Setup; the other thread must learn of the ring through a release of the caller's. */
static inline void spsc_init(struct spsc *ring, struct cell *cells, uint32_t capacity)
{
    CHECK(is_power_of_two(capacity));
    memset(ring, 0, sizeof(*ring));
    ring->push_mask = ring->pop_mask = capacity - 1;
    ring->push_cells = cells;
    ring->pop_cells = cells;
}

/* Any thread. */
static inline uint32_t spsc_capacity(const struct spsc *ring)
{
    return ring->push_mask + 1;
}

/*
 * Neither address needs to be aligned. A call of memcpy, which from 16 cells on is up to twice as
 * fast as a loop of vector moves and below that no slower.
 */
static inline void spsc_copy_cells(void *restrict to, const void *restrict from, uint32_t count)
{
    memcpy(to, from, (size_t)count * sizeof(struct cell));
}

/* ---- The producer's end ---- */

/* How many cells the producer may write now, as far as it is worth knowing for `wanted` cells. */
static inline uint32_t spsc_room_for(struct spsc *ring, uint32_t tail, uint32_t wanted)
{
    uint32_t room = ring->push_mask + 1 - (tail - ring->head_seen);

    if (room < wanted) {
        ring->head_seen = load_acquire(&ring->head); /* (P2) pairs with (C2) */
        room = ring->push_mask + 1 - (tail - ring->head_seen);
    }
    return room;
}

/* The number of cells that can be pushed now; only the producer can make it smaller. */
static inline uint32_t spsc_room(struct spsc *ring)
{
    /* relaxed, here and in the producer's other calls: only this thread writes tail. */
    return spsc_room_for(ring, load_relaxed(&ring->tail), UINT32_MAX);
}

/* Whether `count` cells can be pushed now; cheaper than spsc_room when the answer is known. */
static inline bool spsc_room_at_least(struct spsc *ring, uint32_t count)
{
    return spsc_room_for(ring, load_relaxed(&ring->tail), count) >= count;
}

/*
 * spsc_push - appends as many of the items as fit, in their order.
 *
 * Returns:  how many were pushed, 0 .. count: the first ones. 0 of many: the ring is unchanged.
 * Ordering: what the producer wrote before is visible to the consumer that popped one of them.
 */
static inline uint32_t spsc_push(struct spsc *ring, const void *items, uint32_t count)
{
    const uint32_t tail = load_relaxed(&ring->tail);
    const uint32_t at = tail & ring->push_mask;
    const uint32_t to_end = ring->push_mask + 1 - at;
    const uint32_t room = spsc_room_for(ring, tail, count);

    if (count > room)
        count = room;
    if (count == 0)
        return 0;
    if (likely(count <= to_end)) {
        spsc_copy_cells(ring->push_cells + at, items, count);
    } else {
        spsc_copy_cells(ring->push_cells + at, items, to_end);
        spsc_copy_cells(ring->push_cells, (const struct cell *)items + to_end, count - to_end);
    }
    store_release(&ring->tail, tail + count); /* (P1) pairs with (C1) */
    return count;
}

/*
 * spsc_claim - the cells that the next publish will publish, to be filled in place.
 *
 * In *count how many are wanted, out how many were granted: a contiguous run, so at the end of the
 * memory it may be shorter than the room; publish it and claim again. NULL and 0 when the ring is
 * full (or nothing was wanted). A claim that is not published costs nothing and is granted again.
 */
static inline struct cell *spsc_claim(struct spsc *ring, uint32_t *count)
{
    const uint32_t tail = load_relaxed(&ring->tail);
    const uint32_t at = tail & ring->push_mask;
    const uint32_t to_end = ring->push_mask + 1 - at;
    const uint32_t wanted = *count < to_end ? *count : to_end;
    const uint32_t room = spsc_room_for(ring, tail, wanted);

    *count = wanted < room ? wanted : room;
    return *count > 0 ? ring->push_cells + at : NULL;
}

/* Publishes the first `count` cells of the last claim; count at most what it granted. */
static inline void spsc_publish(struct spsc *ring, uint32_t count)
{
    const uint32_t tail = load_relaxed(&ring->tail);

    DEBUG_CHECK(tail + count - ring->head_seen <= ring->push_mask + 1);
    store_release(&ring->tail, tail + count); /* (P1) pairs with (C1) */
}

/* ---- The consumer's end ---- */

/* How many cells the consumer may read now, as far as it is worth knowing for `wanted` cells. */
static inline uint32_t spsc_filled_for(struct spsc *ring, uint32_t head, uint32_t wanted)
{
    uint32_t filled = ring->tail_seen - head;

    if (filled < wanted) {
        ring->tail_seen = load_acquire(&ring->tail); /* (C1) pairs with (P1) */
        filled = ring->tail_seen - head;
    }
    return filled;
}

/* Whether nothing is there to pop; false stays true until this thread pops. */
static inline bool spsc_is_empty_consumer(struct spsc *ring)
{
    /* relaxed, here and in the consumer's other calls: only this thread writes head. */
    return spsc_filled_for(ring, load_relaxed(&ring->head), 1) == 0;
}

/*
 * spsc_peek - the oldest cells, in place, without consuming them.
 *
 * In *count how many are wanted at most, out how many there are in one contiguous run (at the end
 * of the memory it may be shorter than the fill). NULL and 0 when the ring is empty. The cells stay
 * valid and unchanged until they are released.
 */
static inline const struct cell *spsc_peek(struct spsc *ring, uint32_t *count)
{
    const uint32_t head = load_relaxed(&ring->head);
    const uint32_t at = head & ring->pop_mask;
    const uint32_t to_end = ring->pop_mask + 1 - at;
    const uint32_t wanted = *count < to_end ? *count : to_end;
    const uint32_t filled = spsc_filled_for(ring, head, wanted);

    *count = wanted < filled ? wanted : filled;
    return *count > 0 ? ring->pop_cells + at : NULL;
}

/* Consumes the first `count` cells of the last peek; count at most what it returned. */
static inline void spsc_release(struct spsc *ring, uint32_t count)
{
    const uint32_t head = load_relaxed(&ring->head);

    DEBUG_CHECK(count <= ring->tail_seen - head);
    store_release(&ring->head, head + count); /* (C2) pairs with (P2) */
}

/* spsc_pop - copies the oldest cells out, at most count; returns how many. */
static inline uint32_t spsc_pop(struct spsc *ring, void *items, uint32_t count)
{
    const uint32_t head = load_relaxed(&ring->head);
    const uint32_t at = head & ring->pop_mask;
    const uint32_t to_end = ring->pop_mask + 1 - at;
    const uint32_t filled = spsc_filled_for(ring, head, count);

    if (count > filled)
        count = filled;
    if (count == 0)
        return 0;
    if (likely(count <= to_end)) {
        spsc_copy_cells(items, ring->pop_cells + at, count);
    } else {
        spsc_copy_cells(items, ring->pop_cells + at, to_end);
        spsc_copy_cells((struct cell *)items + to_end, ring->pop_cells, count - to_end);
    }
    store_release(&ring->head, head + count); /* (C2) pairs with (P2) */
    return count;
}

/* ---- Any thread ---- */

/* A snapshot of the fill for counters and pressure: may be stale, never above the capacity. */
static inline uint32_t spsc_count(const struct spsc *ring)
{
    const uint32_t head = load_acquire(&ring->head); /* (S1) pairs with (C2) */
    /* relaxed: the value alone matters; the acquire above keeps this load after it. */
    const uint32_t filled = load_relaxed(&ring->tail) - head;

    /* head may have moved on in between, which makes the difference too large, never negative. */
    return filled <= ring->push_mask ? filled : ring->push_mask + 1;
}

#endif /* PAWL_QUEUE_SPSC_H */
