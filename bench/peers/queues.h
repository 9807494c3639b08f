/*
 * queues.h - what the rows of queues (bench_ring.c, bench_producers.c) know of a queue.
 *
 * A queue is not called through pointers item by item: its file includes queue_loops.h or
 * funnel_loops.h, which compile whole loops around its own inline calls. What is here is what the
 * rows call: one pointer for a loop of many thousand items.
 */
#ifndef PAWL_BENCH_PEERS_QUEUES_H
#define PAWL_BENCH_PEERS_QUEUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * CAPACITY: items that a queue can hold, or as near to it as its kind allows.
 * BATCH: items of the larger batch; the smaller one is a single item.
 * SOURCE: items that a producer sends over and over; a multiple of BATCH.
 */
enum { QUEUE_CAPACITY = 4096, QUEUE_BATCH = 32, QUEUE_SOURCE = 256, QUEUE_LINE = 128 };

/* What is sent. The first word is what a consumer reads at least. */
struct item8 {
    uint64_t word[1];
};

struct item16 {
    uint64_t word[2];
};

struct item32 {
    uint64_t word[4];
};

/* Memory in whole lines, cleared; fails the bench if there is none. Freed by free. */
void *queue_memory(size_t size_bytes);

/*
 * Called each time a queue was full or empty: a pause of the processor, and from the limit on the cpu
 * is offered to others. The caller sets *spins to 0 when something went through.
 */
void queue_wait(unsigned *spins, unsigned limit);

/* Words that two threads share, for C++ too, where base/atomic.h cannot be included. */
static inline uint64_t queue_read(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void queue_write(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* ---- One producer, one consumer (queue_loops.h) ---- */

/*
 * Loops for one size of item and one size of batch. `count` is a multiple of QUEUE_SOURCE; `source`
 * are that many items. The sums are of the first words that were taken.
 */
struct queue_loops {
    uint64_t (*same)(void *queue, void *source, uint64_t count); /* a batch in, a batch out */
    void (*produce)(void *queue, void *source, uint64_t count);
    uint64_t (*consume)(void *queue, uint64_t count);
};

/* A queue for items of one size. */
struct queue_sized {
    void *(*create)(void);
    void (*destroy)(void *queue);
    bool (*check)(void *queue); /* nothing lost, nothing doubled, in order; leaves it empty */
    size_t item_bytes;          /* of an item of the source: an item, or the cell that it lies in */
    struct queue_loops single;
    struct queue_loops batched;
};

/* NULL: not for items of this size. */
struct queue_kind {
    const struct queue_sized *of_8;
    const struct queue_sized *of_16;
    const struct queue_sized *of_32;
};

extern const struct queue_kind ck_ring_queue;
extern const struct queue_kind rte_ring_queue;
extern const struct queue_kind boost_spsc_queue;
extern const struct queue_kind moodycamel_rw_queue;
extern const struct queue_kind moodycamel_queue;
extern const struct queue_kind wfcqueue_queue;
extern const struct queue_kind tbb_queue;
extern const struct queue_kind mutex_ring_queue;

/* ---- Several producers, one consumer (funnel_loops.h) ---- */

enum { FUNNEL_PRODUCERS_MAX = 4, FUNNEL_TAKE_MAX = 256 };

/* What the threads of a round share. */
struct funnel_round {
    void *queue;
    uint64_t stop; /* producers finish their batch and end */
    uint64_t done; /* all producers have ended: the consumer takes what is left and ends */
    bool checking; /* the order of each producer's items */
};

/*
 * One thread that sends items. An item is word[0] a task, one of FUNNEL_TASKS at random, word[1] 0,
 * word[2] the producer, word[3] its sequence number: the layout of Pawl's event.
 */
enum { FUNNEL_TASKS = 1000 };

struct funnel_producer {
    struct funnel_round *round;
    uint32_t index;
    struct random random;
    uint64_t first_task;
    uint64_t sent; /* the next sequence number */
    uint64_t sum;  /* of the tasks sent to */
} __attribute__((aligned(QUEUE_LINE)));

struct funnel_consumer {
    struct funnel_round *round;
    uint64_t handled; /* read by others while it grows */
    uint64_t sum;
    uint64_t next[FUNNEL_PRODUCERS_MAX]; /* sequence numbers */
    bool out_of_order;
} __attribute__((aligned(QUEUE_LINE)));

struct funnel_kind {
    void *(*create)(unsigned producers);
    void (*destroy)(void *queue);
    void (*produce)(struct funnel_producer *producer);
    void (*produce_batched)(struct funnel_producer *producer);
    void (*consume)(struct funnel_consumer *consumer);
};

extern const struct funnel_kind ck_ring_funnel;
extern const struct funnel_kind rte_ring_funnel;
extern const struct funnel_kind rte_ring_rts_funnel;
extern const struct funnel_kind boost_funnel;
extern const struct funnel_kind moodycamel_funnel;
extern const struct funnel_kind wfcqueue_funnel;
extern const struct funnel_kind tbb_funnel;
extern const struct funnel_kind mutex_ring_funnel;

#ifdef __cplusplus
}
#endif

#endif
