/*
 * funnel_loops.h - the loops of several producers and one consumer around a queue's own inline calls;
 * 32-byte items.
 *
 * Included once for each kind of queue. Before it:
 *
 *   FUNNEL_NAME   prefix of what is defined here
 *   FUNNEL_SEND(queue, producer, items, count)   sends the first of them; how many
 *   FUNNEL_POP(queue, items, count)              copies at most count out; how many; or, for a queue
 *                                                whose items are read in place,
 *   FUNNEL_TAKE(queue, consumer, count)          hands them to funnel_see; how many; or neither, for
 *                                                Pawl, whose shard is the consumer
 *
 * There may be more threads than cpus, so who finds the queue full or empty soon offers the cpu to
 * the others.
 */
#include "peers/queues.h"

#ifndef FUNNEL_LOOPS_ONCE
#define FUNNEL_LOOPS_ONCE

#define FUNNEL_PASTE(a, b) a##_##b
#define FUNNEL_JOIN(a, b)  FUNNEL_PASTE(a, b)

#define FUNNEL_LOOP(what) FUNNEL_JOIN(FUNNEL_NAME, what)
#define FUNNEL_INLINE     static inline __attribute__((always_inline))

enum { FUNNEL_SPINS = 16 };

FUNNEL_INLINE void funnel_fill(struct funnel_producer *producer, struct item32 *items,
                               uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t task = producer->first_task + random_below(&producer->random, FUNNEL_TASKS);

        items[i].word[0] = task;
        items[i].word[1] = 0;
        items[i].word[2] = producer->index;
        items[i].word[3] = producer->sent++;
        producer->sum += task;
    }
}

FUNNEL_INLINE void funnel_see(struct funnel_consumer *consumer, const struct item32 *item)
{
    consumer->sum += item->word[0];
    if (__builtin_expect(consumer->round->checking, 0)) {
        const uint64_t index = item->word[2];

        if (index >= FUNNEL_PRODUCERS_MAX || item->word[3] != consumer->next[index]++)
            consumer->out_of_order = true;
    }
}

#endif

FUNNEL_INLINE void FUNNEL_LOOP(produce_loop)(struct funnel_producer *producer, uint32_t batch)
{
    struct funnel_round *const round = producer->round;
    struct item32 items[QUEUE_BATCH];

    while (queue_read(&round->stop) == 0) {
        unsigned spins = 0;
        uint32_t sent = 0;

        funnel_fill(producer, items, batch);
        while (sent < batch) {
            const uint32_t more = FUNNEL_SEND(round->queue, producer, items + sent, batch - sent);

            if (more == 0)
                queue_wait(&spins, FUNNEL_SPINS);
            sent += more;
        }
    }
}

static void FUNNEL_LOOP(produce)(struct funnel_producer *producer)
{
    FUNNEL_LOOP(produce_loop)(producer, 1);
}

static void FUNNEL_LOOP(produce_batched)(struct funnel_producer *producer)
{
    FUNNEL_LOOP(produce_loop)(producer, QUEUE_BATCH);
}

#if defined(FUNNEL_POP) || defined(FUNNEL_TAKE)

static void FUNNEL_LOOP(consume)(struct funnel_consumer *consumer)
{
    struct funnel_round *const round = consumer->round;
    uint64_t handled = consumer->handled;
    unsigned spins = 0;

    for (;;) {
        /* Read first: what a producer sent before it ended is then seen below. */
        const bool done = queue_read(&round->done) != 0;
#ifdef FUNNEL_TAKE
        const uint32_t took = FUNNEL_TAKE(round->queue, consumer, FUNNEL_TAKE_MAX);
#else
        struct item32 items[FUNNEL_TAKE_MAX];
        const uint32_t took = FUNNEL_POP(round->queue, items, FUNNEL_TAKE_MAX);

        for (uint32_t i = 0; i < took; i++)
            funnel_see(consumer, &items[i]);
#endif
        if (took > 0) {
            spins = 0;
            queue_write(&consumer->handled, handled += took);
        } else if (done) {
            return;
        } else {
            queue_wait(&spins, FUNNEL_SPINS);
        }
    }
}

#endif

#undef FUNNEL_NAME
#undef FUNNEL_SEND
#undef FUNNEL_POP
#undef FUNNEL_TAKE
