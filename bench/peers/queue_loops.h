/*
 * queue_loops.h - the loops of one producer and one consumer around a queue's own inline calls.
 *
 * Included once for each size of item, so that every size is compiled with its own constants, and
 * batches of one without the code for many. Before each inclusion:
 *
 *   QUEUE_NAME    prefix of what is defined here; struct queue_sized NAME_sized_BYTES is the result
 *   QUEUE_BYTES   8, 16 or 32; undefined again at the end
 *   QUEUE_ITEM    optional: the type that an item lies in; struct itemBYTES
 *   QUEUE_CREATE(bytes), QUEUE_DESTROY(queue, bytes)
 *   QUEUE_SEND(queue, items, bytes, count)   sends the first of them; how many
 *   QUEUE_POP(queue, items, bytes, count)    copies at most count out; how many; or, for a queue
 *                                            whose items are read in place,
 *   QUEUE_TAKE(queue, bytes, count, sum)     adds the first words to *sum; how many
 *
 * bytes is always a literal. count is a constant in the first try of a batch.
 */
#include "peers/queues.h"

#ifndef QUEUE_LOOPS_ONCE
#define QUEUE_LOOPS_ONCE

#define QUEUE_PASTE_3(a, b, c) a##_##b##_##c
#define QUEUE_PASTE_2(a, b)    a##b
#define QUEUE_JOIN_3(a, b, c)  QUEUE_PASTE_3(a, b, c)
#define QUEUE_JOIN_2(a, b)     QUEUE_PASTE_2(a, b)

#define QUEUE_LOOP(what) QUEUE_JOIN_3(QUEUE_NAME, what, QUEUE_BYTES)
#define QUEUE_INLINE     static inline __attribute__((always_inline))

/* A thread per cpu: this many pauses pass only where one of the two is not running. */
enum { QUEUE_SPINS = 4096 };

#endif

#ifdef QUEUE_ITEM
#define QUEUE_TYPE QUEUE_ITEM
#else
#define QUEUE_TYPE struct QUEUE_JOIN_2(item, QUEUE_BYTES)
#endif

/* Sends a whole batch, waiting where there is no room. */
QUEUE_INLINE void QUEUE_LOOP(send)(void *queue, QUEUE_TYPE *items, uint32_t batch)
{
    unsigned spins = 0;
    uint32_t sent;

    while ((sent = QUEUE_SEND(queue, items, QUEUE_BYTES, batch)) == 0)
        queue_wait(&spins, QUEUE_SPINS);
    spins = 0;
    while (batch > 1 && sent < batch) {
        const uint32_t more = QUEUE_SEND(queue, items + sent, QUEUE_BYTES, batch - sent);

        if (more == 0)
            queue_wait(&spins, QUEUE_SPINS);
        sent += more;
    }
}

QUEUE_INLINE uint32_t QUEUE_LOOP(take)(void *queue, uint32_t batch, uint64_t *sum)
{
#ifdef QUEUE_TAKE
    return QUEUE_TAKE(queue, QUEUE_BYTES, batch, sum);
#else
    QUEUE_TYPE items[QUEUE_BATCH];
    const uint32_t took = QUEUE_POP(queue, items, QUEUE_BYTES, batch);
    uint64_t words = 0;

    for (uint32_t i = 0; i < took; i++)
        words += items[i].word[0];
    *sum += words;
    return took;
#endif
}

QUEUE_INLINE uint64_t QUEUE_LOOP(same_loop)(void *queue, void *source, uint64_t count,
                                            uint32_t batch)
{
    QUEUE_TYPE *const items = (QUEUE_TYPE *)source;
    uint64_t sum = 0;

    for (uint64_t at = 0; at < count; at += batch) {
        uint32_t took = 0;

        QUEUE_LOOP(send)(queue, items + at % QUEUE_SOURCE, batch);
        do {
            took += QUEUE_LOOP(take)(queue, batch, &sum);
        } while (took < batch);
    }
    return sum;
}

QUEUE_INLINE void QUEUE_LOOP(produce_loop)(void *queue, void *source, uint64_t count,
                                           uint32_t batch)
{
    QUEUE_TYPE *const items = (QUEUE_TYPE *)source;

    for (uint64_t at = 0; at < count; at += batch)
        QUEUE_LOOP(send)(queue, items + at % QUEUE_SOURCE, batch);
}

QUEUE_INLINE uint64_t QUEUE_LOOP(consume_loop)(void *queue, uint64_t count, uint32_t batch)
{
    unsigned spins = 0;
    uint64_t sum = 0;

    while (count > 0) {
        const uint32_t took = QUEUE_LOOP(take)(queue, batch, &sum);

        if (took == 0)
            queue_wait(&spins, QUEUE_SPINS);
        else
            spins = 0;
        count -= took;
    }
    return sum;
}

static uint64_t QUEUE_LOOP(same_single)(void *queue, void *source, uint64_t count)
{
    return QUEUE_LOOP(same_loop)(queue, source, count, 1);
}

static uint64_t QUEUE_LOOP(same_batched)(void *queue, void *source, uint64_t count)
{
    return QUEUE_LOOP(same_loop)(queue, source, count, QUEUE_BATCH);
}

static void QUEUE_LOOP(produce_single)(void *queue, void *source, uint64_t count)
{
    QUEUE_LOOP(produce_loop)(queue, source, count, 1);
}

static void QUEUE_LOOP(produce_batched)(void *queue, void *source, uint64_t count)
{
    QUEUE_LOOP(produce_loop)(queue, source, count, QUEUE_BATCH);
}

static uint64_t QUEUE_LOOP(consume_single)(void *queue, uint64_t count)
{
    return QUEUE_LOOP(consume_loop)(queue, count, 1);
}

static uint64_t QUEUE_LOOP(consume_batched)(void *queue, uint64_t count)
{
    return QUEUE_LOOP(consume_loop)(queue, count, QUEUE_BATCH);
}

/*
 * Fills it to three quarters and empties it, several times round its memory: in batches and one by
 * one on either side, with the numbers of the items as what is in them.
 */
static bool QUEUE_LOOP(check)(void *queue)
{
    const uint32_t fill = QUEUE_CAPACITY / 4 * 3;
    QUEUE_TYPE items[QUEUE_BATCH] = {};
    uint64_t put = 0, taken = 0;

    for (unsigned round = 0; round < 4; round++) {
        const uint32_t in = round % 2 == 0 ? 1 : QUEUE_BATCH;
        const uint32_t out = round < 2 ? 1 : QUEUE_BATCH;

        for (uint32_t i = 0; i < fill; i += in) {
            for (uint32_t k = 0; k < in; k++)
                items[k].word[0] = put++;
            QUEUE_LOOP(send)(queue, items, in);
        }
        while (taken < put) {
            uint64_t sum = 0;
            const uint64_t took = QUEUE_LOOP(take)(queue, out, &sum);

            /* The sum of a run of numbers. */
            if (took == 0 || sum != took * taken + took * (took - 1) / 2)
                return false;
            taken += took;
        }
    }
    return true;
}

static void *QUEUE_LOOP(create)(void)
{
    return QUEUE_CREATE(QUEUE_BYTES);
}

static void QUEUE_LOOP(destroy)(void *queue)
{
    QUEUE_DESTROY(queue, QUEUE_BYTES);
}

static const struct queue_sized QUEUE_LOOP(sized) = {
    QUEUE_LOOP(create),
    QUEUE_LOOP(destroy),
    QUEUE_LOOP(check),
    sizeof(QUEUE_TYPE),
    {QUEUE_LOOP(same_single), QUEUE_LOOP(produce_single), QUEUE_LOOP(consume_single)},
    {QUEUE_LOOP(same_batched), QUEUE_LOOP(produce_batched), QUEUE_LOOP(consume_batched)},
};

#undef QUEUE_TYPE
#undef QUEUE_BYTES
