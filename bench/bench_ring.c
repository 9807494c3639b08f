/*
 * bench_ring.c - queues of one producer and one consumer: items of 8, 16 and 32 bytes, one at a time
 * and 32 at a time, on one thread (a batch in, a batch out) and from one core to another.
 *
 * The same loops are compiled around each contender's own inline calls (peers/queue_loops.h). All
 * hold about 4096 items. A round is a number of items, found at the start so that it takes about as
 * long for each contender; its time ends when the consumer has the last of them. The consumer reads
 * the first word of every item; the sum tells whether one was lost or came twice. Order is checked
 * before the first round.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/random.h"
#include "harness.h"
#include "peers/have.h"
#include "peers/queues.h"
#include "queue/spsc.h"
#include "rows.h"

/* ---- For all queues ---- */

void *queue_memory(size_t size_bytes)
{
    const size_t size = (size_bytes + QUEUE_LINE - 1) / QUEUE_LINE * QUEUE_LINE;
    void *memory = aligned_alloc(QUEUE_LINE, size);

    if (memory == NULL)
        bench_fail("no memory for a queue of %zu bytes", size);
    memset(memory, 0, size);
    return memory;
}

void queue_wait(unsigned *spins, unsigned limit)
{
    if (++*spins < limit) {
        cpu_relax();
    } else {
        *spins = 0;
        sched_yield();
    }
}

/* ---- Pawl's ring: every item lies in a cell of 32 bytes ---- */

struct pawl_ring {
    struct spsc ring;
    struct cell cells[QUEUE_CAPACITY];
};

static struct pawl_ring *pawl_ring_create(void)
{
    struct pawl_ring *ring = queue_memory(sizeof(*ring));

    spsc_init(&ring->ring, ring->cells, QUEUE_CAPACITY);
    return ring;
}

#define PAWL_RING(queue) (&((struct pawl_ring *)(queue))->ring)

#define QUEUE_NAME                             pawl_ring
#define QUEUE_ITEM                             struct item32
#define QUEUE_CREATE(bytes)                    pawl_ring_create()
#define QUEUE_DESTROY(queue, bytes)            free(queue)
#define QUEUE_SEND(queue, items, bytes, count) spsc_push(PAWL_RING(queue), items, count)
#define QUEUE_POP(queue, items, bytes, count)  spsc_pop(PAWL_RING(queue), items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

static const struct queue_kind pawl_ring_queue = {&pawl_ring_sized_8, &pawl_ring_sized_16,
                                                  &pawl_ring_sized_32};

#undef QUEUE_NAME
#undef QUEUE_SEND
#undef QUEUE_POP

/* ---- The same without a copy on the consumer's side ---- */

static inline uint32_t pawl_ring_fill(struct spsc *ring, const void *items, uint32_t count)
{
    struct cell *cells = spsc_claim(ring, &count);

    if (count > 0) {
        spsc_copy_cells(cells, items, count);
        spsc_publish(ring, count);
    }
    return count;
}

static inline uint32_t pawl_ring_look(struct spsc *ring, uint32_t count, uint64_t *sum)
{
    const struct cell *cells = spsc_peek(ring, &count);
    uint64_t words = 0;

    for (uint32_t i = 0; i < count; i++)
        words += cells[i].word[0];
    *sum += words;
    if (count > 0)
        spsc_release(ring, count);
    return count;
}

#define QUEUE_NAME                             pawl_inplace
#define QUEUE_SEND(queue, items, bytes, count) pawl_ring_fill(PAWL_RING(queue), items, count)
#define QUEUE_TAKE(queue, bytes, count, sum)   pawl_ring_look(PAWL_RING(queue), count, sum)

#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

static const struct queue_kind pawl_inplace_queue = {NULL, NULL, &pawl_inplace_sized_32};

#undef QUEUE_NAME
#undef QUEUE_ITEM
#undef QUEUE_CREATE
#undef QUEUE_DESTROY
#undef QUEUE_SEND
#undef QUEUE_TAKE

/*
 * ---- The limit: an array and two indices ----
 *
 * Whole batches only, which then never meet the end of the array, and items of their own size. Either
 * end keeps a copy of the other's index, and a batch costs one release store.
 */

struct bare_ring {
    _Alignas(QUEUE_LINE) _Atomic uint32_t tail;
    uint32_t head_seen;
    _Alignas(QUEUE_LINE) _Atomic uint32_t head;
    uint32_t tail_seen;
    _Alignas(QUEUE_LINE) unsigned char cells[];
};

static inline void *bare_create(uint32_t bytes)
{
    return queue_memory(sizeof(struct bare_ring) + (size_t)bytes * QUEUE_CAPACITY);
}

/*
 * A batch is copied by a call: with a size that it knows, gcc would make it one string instruction,
 * which takes up to twice as long.
 */
static inline __attribute__((always_inline)) void bare_copy(void *to, const void *from,
                                                            uint32_t bytes, uint32_t count)
{
    size_t size = (size_t)bytes * count;

    if (count > 1)
        __asm__("" : "+r"(size));
    memcpy(to, from, size);
}

static inline __attribute__((always_inline)) uint32_t
bare_send(struct bare_ring *ring, const void *items, uint32_t bytes, uint32_t count)
{
    const uint32_t tail = load_relaxed(&ring->tail);

    if (tail - ring->head_seen > QUEUE_CAPACITY - count) {
        ring->head_seen = load_acquire(&ring->head);
        if (tail - ring->head_seen > QUEUE_CAPACITY - count)
            return 0;
    }
    bare_copy(ring->cells + (size_t)(tail % QUEUE_CAPACITY) * bytes, items, bytes, count);
    store_release(&ring->tail, tail + count);
    return count;
}

static inline __attribute__((always_inline)) uint32_t bare_pop(struct bare_ring *ring, void *items,
                                                               uint32_t bytes, uint32_t count)
{
    const uint32_t head = load_relaxed(&ring->head);

    if (ring->tail_seen - head < count) {
        ring->tail_seen = load_acquire(&ring->tail);
        if (ring->tail_seen - head < count)
            return 0;
    }
    bare_copy(items, ring->cells + (size_t)(head % QUEUE_CAPACITY) * bytes, bytes, count);
    store_release(&ring->head, head + count);
    return count;
}

#define QUEUE_NAME                             bare
#define QUEUE_CREATE(bytes)                    bare_create(bytes)
#define QUEUE_DESTROY(queue, bytes)            free(queue)
#define QUEUE_SEND(queue, items, bytes, count) bare_send(queue, items, bytes, count)
#define QUEUE_POP(queue, items, bytes, count)  bare_pop(queue, items, bytes, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

static const struct queue_kind bare_queue = {&bare_sized_8, &bare_sized_16, &bare_sized_32};

/* ---- A contender of a row ---- */

/* What a row asks of one kind of queue; the contender's detail. */
struct ring_work {
    const struct queue_sized *sized;
    uint32_t batch;
    bool cross_core;
};

struct ring_state {
    const struct queue_sized *sized;
    const struct queue_loops *loops;
    bool cross_core;
    void *queue;
    void *source;
    uint64_t source_sum;
    uint64_t items; /* of a round */
};

struct ring_consumer {
    const struct ring_state *state;
    uint64_t ready;
    uint64_t sum;
    uint64_t end_ns;
};

static void *ring_consume(void *argument)
{
    struct ring_consumer *consumer = argument;
    const struct ring_state *state = consumer->state;

    queue_write(&consumer->ready, 1);
    consumer->sum = state->loops->consume(state->queue, state->items);
    consumer->end_ns = bench_now_ns();
    return NULL;
}

/* Returns the time that it took. */
static uint64_t ring_round(const struct ring_state *state)
{
    struct ring_consumer consumer = {.state = state};
    unsigned spins = 0;
    pthread_t thread;
    uint64_t begin;

    if (state->cross_core) {
        thread = bench_thread(1, ring_consume, &consumer);
        while (queue_read(&consumer.ready) == 0)
            queue_wait(&spins, 64);
        begin = bench_now_ns();
        state->loops->produce(state->queue, state->source, state->items);
        pthread_join(thread, NULL);
    } else {
        begin = bench_now_ns();
        consumer.sum = state->loops->same(state->queue, state->source, state->items);
        consumer.end_ns = bench_now_ns();
    }
    if (consumer.sum != state->items / QUEUE_SOURCE * state->source_sum)
        bench_fail("items were lost or came twice");
    return consumer.end_ns - begin;
}

/* Makes a round as long as it should be. */
static void ring_calibrate(struct ring_state *state)
{
    const uint64_t wanted_ns = bench_pick(0, 40000000, 120000000);
    uint64_t took = 0;

    state->items = QUEUE_SOURCE * 32;
    while (wanted_ns > 0) {
        took = ring_round(state);
        if (took > 2000000)
            break;
        state->items *= 2;
    }
    if (wanted_ns > 0)
        state->items = state->items * (wanted_ns / 1000) / (took / 1000);
    state->items -= state->items % QUEUE_SOURCE;
    if (state->items == 0)
        state->items = QUEUE_SOURCE;
}

static void *ring_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct ring_work *work = contender->detail;
    struct ring_state *state = queue_memory(sizeof(*state));
    struct random random = {1};

    state->sized = work->sized;
    state->loops = work->batch == 1 ? &work->sized->single : &work->sized->batched;
    state->cross_core = work->cross_core;
    state->queue = work->sized->create();
    if (!work->sized->check(state->queue))
        bench_fail("%s/%s lost items or their order", row->name, contender->name);
    state->source = queue_memory(work->sized->item_bytes * QUEUE_SOURCE);
    for (uint32_t i = 0; i < QUEUE_SOURCE; i++) {
        const uint64_t word = random_next(&random);

        memcpy((char *)state->source + i * work->sized->item_bytes, &word, sizeof(word));
        state->source_sum += word;
    }
    ring_calibrate(state);
    return state;
}

static void ring_run(void *argument, struct bench_sample *sample)
{
    const struct ring_state *state = argument;

    sample->seconds = (double)ring_round(state) * 1e-9;
    sample->operations = state->items;
}

static void ring_close(void *argument)
{
    struct ring_state *state = argument;

    state->sized->destroy(state->queue);
    free(state->source);
    free(state);
}

/* ---- Rows ---- */

static const struct {
    const char *name;
    const char *semantics;
    const char *absent;
    const struct queue_kind *kind;
} ring_contenders[] = {
    {"pawl", "bounded, FIFO, wait-free; copied in and out; each item occupies a cell of 32 bytes",
     NULL, &pawl_ring_queue},
    {"pawl-inplace", "the same ring; copied into claimed cells, read in place and released", NULL,
     &pawl_inplace_queue},
    {"bare", "the limit: array, two indices and copies of the far index; whole batches only", NULL,
     &bare_queue},
    {"ck_ring", "bounded, FIFO, wait-free; no batches: a loop of single calls", CK_ABSENT,
     IF_CK(&ck_ring_queue)},
    {"rte_ring", "bounded, FIFO; single producer and consumer; bulk in, burst out", DPDK_ABSENT,
     IF_DPDK(&rte_ring_queue)},
    {"boost_spsc", "bounded at compile time, FIFO, wait-free; ranges in and out", BOOST_ABSENT,
     IF_BOOST(&boost_spsc_queue)},
    {"moodycamel_rw", "FIFO, wait-free; could grow, here it may not; no batches: single calls",
     MOODYCAMEL_ABSENT, IF_MOODYCAMEL(&moodycamel_rw_queue)},
    {"moodycamel", "for any number of threads; could grow, here it may not; tokens, bulk calls",
     MOODYCAMEL_ABSENT, IF_MOODYCAMEL(&moodycamel_queue)},
    {"wfcqueue",
     "for any number of producers, unbounded, FIFO; linked nodes, here of a pool of 4096 used in "
     "turn; batches are spliced; read in place",
     URCU_ABSENT, IF_URCU(&wfcqueue_queue)},
    {"tbb", "for any number of threads, bounded, FIFO; no batches: single try calls", TBB_ABSENT,
     IF_TBB(&tbb_queue)},
    {"mutex", "for any number of threads, bounded, FIFO; a batch under one lock", NULL,
     &mutex_ring_queue},
};

enum { RING_CONTENDERS = sizeof(ring_contenders) / sizeof(ring_contenders[0]) };

static void ring_add(uint32_t bytes, uint32_t batch, bool cross_core)
{
    const char *way = cross_core ? "1to1" : "same";
    struct bench_row row = {.unit = "item", .metric = "rate", .size = bytes};
    struct bench_contender *contenders = queue_memory(RING_CONTENDERS * sizeof(*contenders));
    struct ring_work *works = queue_memory(RING_CONTENDERS * sizeof(*works));

    for (unsigned i = 0; i < RING_CONTENDERS; i++) {
        const struct queue_kind *kind = ring_contenders[i].kind;
        struct bench_contender *contender = &contenders[row.contender_count];
        struct ring_work *work = &works[row.contender_count];

        *work = (struct ring_work){.batch = batch, .cross_core = cross_core};
        if (kind != NULL)
            work->sized = bytes == 8 ? kind->of_8 : bytes == 16 ? kind->of_16 : kind->of_32;
        if (kind != NULL && work->sized == NULL)
            continue;
        *contender = (struct bench_contender){.name = ring_contenders[i].name,
                                              .semantics = ring_contenders[i].semantics,
                                              .absent = ring_contenders[i].absent,
                                              .open = ring_open,
                                              .run = ring_run,
                                              .close = ring_close,
                                              .detail = work};
        row.contender_count++;
    }
    row.name = bench_text("ring-%s-%uB-b%u", way, bytes, batch);
    row.title = bench_text("items of %u bytes %s, %s, through a queue of 4096", bytes,
                           cross_core ? "from one core to another" : "in and out on one thread",
                           batch == 1 ? "one at a time" : "in batches of 32");
    row.group = bench_text("ring-%s-b%u", way, batch);
    row.flags = cross_core ? BENCH_CROSS_CORE : 0;
    if (cross_core && bytes == 32 && batch == QUEUE_BATCH)
        row.goal = (struct bench_goal){.value = 0.85, .of = "bare"};
    row.contenders = contenders;
    bench_add(&row);
}

void bench_ring_rows(void)
{
    for (int cross_core = 0; cross_core < 2; cross_core++)
        for (uint32_t bytes = 8; bytes <= 32; bytes *= 2) {
            ring_add(bytes, 1, cross_core != 0);
            ring_add(bytes, QUEUE_BATCH, cross_core != 0);
        }
}
