/*
 * bench_ring.c - 32-byte cells from one core to another in batches of 32: Pawl's ring beside a bare one,
 * which has nothing but an array, two indices and copies of the far index.
 *
 * Both ends are pinned, to the first and the last allowed cpu. Rounds are interleaved; medians of five
 * with their spread and the ratio to the bare ring. The two cpus may be near each other or far: the time
 * of a line's way there and back is printed first.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "queue/spsc.h"

enum { CAPACITY = 4096, BATCH = 32, ROUNDS = 5, KINDS = 3 };

#define CELLS     UINT64_C(20000000)
#define PING_PONG 20000u

static int first_cpu, last_cpu;

static void find_cpus(void)
{
    cpu_set_t allowed;

    first_cpu = last_cpu = 0;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
        if (CPU_ISSET(cpu, &allowed))
            first_cpu = cpu;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            last_cpu = cpu;
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- The bare ring ---- */

struct bare {
    _Alignas(128) _Atomic uint32_t tail;
    uint32_t head_seen;
    _Alignas(128) _Atomic uint32_t head;
    uint32_t tail_seen;
    _Alignas(128) struct cell cells[CAPACITY];
};

static struct bare bare;

static uint32_t bare_push(const struct cell *batch)
{
    const uint32_t tail = load_relaxed(&bare.tail);

    if (tail - bare.head_seen > CAPACITY - BATCH) {
        bare.head_seen = load_acquire(&bare.head);
        if (tail - bare.head_seen > CAPACITY - BATCH)
            return 0;
    }
    memcpy(&bare.cells[tail % CAPACITY], batch, BATCH * sizeof(*batch));
    store_release(&bare.tail, tail + BATCH);
    return BATCH;
}

static uint32_t bare_pop(struct cell *batch)
{
    const uint32_t head = load_relaxed(&bare.head);

    if (bare.tail_seen - head < BATCH) {
        bare.tail_seen = load_acquire(&bare.tail);
        if (bare.tail_seen - head < BATCH)
            return 0;
    }
    memcpy(batch, &bare.cells[head % CAPACITY], BATCH * sizeof(*batch));
    store_release(&bare.head, head + BATCH);
    return BATCH;
}

/* ---- The three ways ---- */

static struct spsc ring;
static struct cell ring_cells[CAPACITY] __attribute__((aligned(128)));
static const char *const names[KINDS] = {"bare ring", "push and pop", "claim and peek"};

static uint32_t send(int kind, struct cell *batch)
{
    struct cell *claimed;
    uint32_t count = BATCH;

    if (kind == 0)
        return bare_push(batch);
    if (kind == 1)
        return spsc_push(&ring, batch, BATCH);
    claimed = spsc_claim(&ring, &count);
    if (count == 0)
        return 0;
    spsc_copy_cells(claimed, batch, count);
    spsc_publish(&ring, count);
    return count;
}

/* Returns how many came; adds their first words to *sum. */
static uint32_t take(int kind, struct cell *batch, uint64_t *sum)
{
    const struct cell *cells = batch;
    uint32_t count = BATCH;

    if (kind == 0)
        count = bare_pop(batch);
    else if (kind == 1)
        count = spsc_pop(&ring, batch, BATCH);
    else
        cells = spsc_peek(&ring, &count);
    for (uint32_t i = 0; i < count; i++)
        *sum += cells[i].word[0];
    if (kind == 2 && count > 0)
        spsc_release(&ring, count);
    return count;
}

struct consumer {
    int kind;
    uint64_t sum;
    pthread_t thread;
};

static void *consume(void *argument)
{
    struct consumer *consumer = argument;
    struct cell batch[BATCH];
    uint64_t got = 0;

    pin(last_cpu);
    while (got < CELLS) {
        const uint32_t took = take(consumer->kind, batch, &consumer->sum);

        if (took == 0)
            cpu_relax();
        got += took;
    }
    return NULL;
}

static double round_of(int kind)
{
    struct consumer consumer = {.kind = kind};
    struct cell batch[BATCH];
    double begin;

    memset(batch, 0, sizeof(batch));
    for (unsigned i = 0; i < BATCH; i++)
        batch[i].word[0] = 1;
    spsc_init(&ring, ring_cells, CAPACITY);
    store_relaxed(&bare.head, 0);
    store_relaxed(&bare.tail, 0);
    bare.head_seen = bare.tail_seen = 0;
    begin = now_s();
    if (pthread_create(&consumer.thread, NULL, consume, &consumer) != 0)
        exit(1);
    for (uint64_t sent = 0; sent < CELLS;) {
        const uint32_t took = send(kind, batch);

        if (took == 0)
            cpu_relax();
        sent += took;
    }
    pthread_join(consumer.thread, NULL);
    if (consumer.sum != CELLS) {
        fprintf(stderr, "bench_ring: %s lost or doubled cells\n", names[kind]);
        exit(1);
    }
    return (double)CELLS / (now_s() - begin);
}

/* ---- How far the cores are ---- */

static _Alignas(128) _Atomic uint32_t ball;

static void *return_ball(void *unused)
{
    (void)unused;
    pin(last_cpu);
    for (uint32_t i = 0; i < PING_PONG; i++) {
        while (load_acquire(&ball) != 2 * i + 1)
            ;
        store_release(&ball, 2 * i + 2);
    }
    return NULL;
}

static double there_and_back_ns(void)
{
    pthread_t thread;
    double begin;

    if (pthread_create(&thread, NULL, return_ball, NULL) != 0)
        exit(1);
    begin = now_s();
    for (uint32_t i = 0; i < PING_PONG; i++) {
        store_release(&ball, 2 * i + 1);
        while (load_acquire(&ball) != 2 * i + 2)
            ;
    }
    begin = now_s() - begin;
    pthread_join(thread, NULL);
    return begin / PING_PONG * 1e9;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(void)
{
    double rates[KINDS][ROUNDS];

    find_cpus();
    if (first_cpu == last_cpu) {
        printf("bench_ring: two cpus are needed\n");
        return 0;
    }
    pin(first_cpu);
    printf("cpus %d and %d, a line there and back: %.0f ns\n", first_cpu, last_cpu,
           there_and_back_ns());
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < KINDS; kind++)
            rates[kind][round] = round_of(kind);
    for (int kind = 0; kind < KINDS; kind++)
        qsort(rates[kind], ROUNDS, sizeof(double), by_size);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%-16s %8.1f M cells/s  (%.1f to %.1f)  %5.2f of the bare ring\n", names[kind],
               rates[kind][ROUNDS / 2] / 1e6, rates[kind][0] / 1e6, rates[kind][ROUNDS - 1] / 1e6,
               rates[kind][ROUNDS / 2] / rates[0][ROUNDS / 2]);
    return 0;
}
