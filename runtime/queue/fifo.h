/*
 * fifo.h - first-in, first-out list of 32-byte cells inside one shard: events that a shard posts to
 * itself, and those that wait for room in a ring.
 *
 * Layer: queue. May include: base, queue.
 *
 * The decision to question: it has no bound of its own. It is where a bound elsewhere (the limit of
 * events in flight in the shard) has promised already that the event will be kept; a second limit
 * here could only break that promise. It grows by chunks of one page and gives them back as it
 * drains, so its memory is that of its cells; a drained one keeps the chunk it stands on and one
 * spare, so that a fill going up and down across a chunk's edge, or between empty and little, asks
 * for no memory.
 *
 * Owner: one thread. Limits: 2^32 - 1 cells. Progress: push, peek and release are O(1) a cell
 * beside the calls of the source, one for 127 cells at most.
 */
#ifndef PAWL_QUEUE_FIFO_H
#define PAWL_QUEUE_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "queue/spsc.h" /* struct cell */

#define FIFO_CHUNK_SIZE  4096u /* bytes that a source's get returns, aligned to 32 or better */
#define FIFO_CHUNK_CELLS (FIFO_CHUNK_SIZE / (uint32_t)sizeof(struct cell) - 1)

/* Where chunks come from. get returns NULL when there is no memory. */
struct fifo_source {
    void *(*get)(void *user);
    void (*put)(void *user, void *chunk);
    void *user;
};

struct fifo_chunk {
    struct fifo_chunk *next; /* towards the tail */
    uint64_t unused[3];      /* keeps the cells on their 32 bytes */
    struct cell cells[FIFO_CHUNK_CELLS];
};

_Static_assert(sizeof(struct fifo_chunk) == FIFO_CHUNK_SIZE, "a chunk is a page");

/* head and tail are the same chunk when the cells are in one; both NULL before the first push. */
struct fifo {
    struct fifo_chunk *head;
    struct fifo_chunk *tail;
    uint32_t head_at; /* first cell of head in use */
    uint32_t tail_at; /* first cell of tail not in use */
    uint32_t count;
    struct fifo_chunk *spare;
    struct fifo_source source;
};

/* Takes no memory yet. The source outlives the fifo. */
void pawl__fifo_init(struct fifo *fifo, const struct fifo_source *source);

/* Gives every chunk back; cells still there are gone. */
void pawl__fifo_fini(struct fifo *fifo);

/* Appends as many of the items as there is memory for, in order; returns how many. */
uint32_t pawl__fifo_push_many(struct fifo *fifo, const void *items, uint32_t count);

/* Walks everything and CHECKs it: for tests and debugging. */
void pawl__fifo_validate(const struct fifo *fifo);

/* Puts a chunk with room at the tail. False: no memory, nothing has changed. */
bool pawl__fifo_grow(struct fifo *fifo);

/* Takes the used-up chunk at the head away; it is not the only one. */
void pawl__fifo_shrink(struct fifo *fifo);

static inline uint32_t fifo_count(const struct fifo *fifo)
{
    return fifo->count;
}

/* Appends one cell, to be filled now. NULL: no memory, the fifo is unchanged. */
static inline struct cell *fifo_next(struct fifo *fifo)
{
    if (unlikely(fifo->tail == NULL || fifo->tail_at == FIFO_CHUNK_CELLS)) {
        if (!pawl__fifo_grow(fifo))
            return NULL;
    }
    fifo->count++;
    return &fifo->tail->cells[fifo->tail_at++];
}

/* Appends one item of 32 bytes. False: no memory, the fifo is unchanged. */
static inline bool fifo_push(struct fifo *fifo, const void *item)
{
    struct cell *cell = fifo_next(fifo);

    if (unlikely(cell == NULL))
        return false;
    memcpy(cell, item, sizeof(*cell));
    return true;
}

/*
 * fifo_claim - room at the tail, to be filled in place: the start of a contiguous run of *count
 * cells, NULL and 0 where the next push would need a chunk. Nothing of it counts before
 * fifo_publish; no other call may come between but fifo_peek and fifo_count.
 */
static inline struct cell *fifo_claim(const struct fifo *fifo, uint32_t *count)
{
    *count = fifo->tail != NULL ? FIFO_CHUNK_CELLS - fifo->tail_at : 0;
    return *count > 0 ? &fifo->tail->cells[fifo->tail_at] : NULL;
}

/* Appends the first `count` cells of the last claim. */
static inline void fifo_publish(struct fifo *fifo, uint32_t count)
{
    fifo->tail_at += count;
    fifo->count += count;
}

/*
 * fifo_peek - the oldest cells, in place.
 *
 * In *count how many are wanted at most, out how many lie in one run (release them and peek again
 * for more). NULL and 0 when the fifo is empty. The cells stay until they are released, also when
 * more are pushed meanwhile.
 */
static inline const struct cell *fifo_peek(const struct fifo *fifo, uint32_t *count)
{
    const uint32_t end = fifo->head == fifo->tail ? fifo->tail_at : FIFO_CHUNK_CELLS;
    const uint32_t run = end - fifo->head_at;

    if (*count > run)
        *count = run;
    return *count > 0 ? &fifo->head->cells[fifo->head_at] : NULL;
}

/* Takes the `count` oldest cells away; count at most fifo_count. */
static inline void fifo_release(struct fifo *fifo, uint32_t count)
{
    CHECK(count <= fifo->count);
    fifo->count -= count;
    while (count > 0) {
        const uint32_t end = fifo->head == fifo->tail ? fifo->tail_at : FIFO_CHUNK_CELLS;
        const uint32_t run = count < end - fifo->head_at ? count : end - fifo->head_at;

        fifo->head_at += run;
        count -= run;
        if (fifo->head_at == FIFO_CHUNK_CELLS && fifo->head != fifo->tail)
            pawl__fifo_shrink(fifo);
    }
    /* An empty fifo starts at the front of its chunk again, where the cache is warm. */
    if (fifo->count == 0)
        fifo->head_at = fifo->tail_at = 0;
}

#endif /* PAWL_QUEUE_FIFO_H */
