/*
 * stress_outlet.c - a producer puts single cells and flushes once in a while, a consumer takes them.
 * Nothing is lost or out of order, and all that was put before a flush is there after it.
 *
 *     stress_outlet [SCALE [SEED]]      SCALE multiplies the number of cells, 1 by default
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "queue/outlet.h"

#define CELLS_A_ROUND UINT64_C(1000000)
#define INDEX_START   (UINT32_MAX - 1000) /* so that the indices wrap early on */

static const uint32_t capacities[] = {1, 2, 8, 64, 1024};

struct round {
    struct spsc ring;
    struct outlet outlet;
    uint64_t cells;
    uint64_t seed;
    _Atomic uint64_t flushed; /* producer: cells that a flush has followed */
    uint64_t refused;         /* producer */
    uint64_t flushes;         /* producer */
    uint64_t bad;             /* consumer: cells that were not the expected ones */
    uint64_t missing;         /* consumer: cells that were flushed and not there */
};

static struct cell cell_of(uint64_t n)
{
    return (struct cell){.word = {n, ~n, mix64(n), n * 3}};
}

static void flush(struct round *round, uint64_t put)
{
    outlet_flush(&round->outlet);
    round->flushes++;
    store_release(&round->flushed, put);
}

static void *producer(void *argument)
{
    struct round *round = argument;
    struct random random = {round->seed};
    uint64_t put = 0;

    while (put < round->cells) {
        const uint64_t burst = 1 + random_below(&random, 100);

        for (uint64_t i = 0; i < burst && put < round->cells; i++) {
            const struct cell cell = cell_of(put);

            if (!outlet_put(&round->outlet, &cell)) {
                round->refused++;
                break;
            }
            put++;
        }
        flush(round, put);
        if (random_below(&random, 4) == 0 || spsc_room(&round->ring) == 0)
            sched_yield();
    }
    return NULL;
}

static void *consumer(void *argument)
{
    struct round *round = argument;
    struct random random = {~round->seed};
    uint64_t taken = 0;

    while (taken < round->cells) {
        const uint64_t flushed = load_acquire(&round->flushed);
        const uint64_t wanted = 1 + random_below(&random, 50);
        struct cell cell;
        uint64_t i = 0;

        while (i < wanted && spsc_pop(&round->ring, &cell, 1) == 1) {
            const struct cell right = cell_of(taken);

            round->bad += memcmp(&cell, &right, sizeof(cell)) != 0;
            taken++;
            i++;
        }
        round->missing += i < wanted && taken < flushed;
        if (i == 0)
            sched_yield();
    }
    return NULL;
}

static bool run_round(uint32_t capacity, uint64_t cells, uint64_t seed)
{
    struct cell *memory = aligned_alloc(CACHE_LINE, capacity < 2 ? CACHE_LINE : capacity * 32u);
    struct round *round = aligned_alloc(SPSC_LINE, align_up(sizeof(*round), SPSC_LINE));
    pthread_t threads[2];
    bool right;

    if (memory == NULL || round == NULL)
        exit(77);
    *round = (struct round){.cells = cells, .seed = seed};
    spsc_init(&round->ring, memory, capacity);
    store_relaxed(&round->ring.head, INDEX_START);
    store_relaxed(&round->ring.tail, INDEX_START);
    round->ring.head_seen = round->ring.tail_seen = INDEX_START;
    outlet_init(&round->outlet, &round->ring);
    if (pthread_create(&threads[0], NULL, producer, round) != 0 ||
        pthread_create(&threads[1], NULL, consumer, round) != 0)
        exit(77);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    right = round->bad == 0 && round->missing == 0 && spsc_is_empty_consumer(&round->ring);
    printf("capacity %u: %llu cells, %llu flushes, %llu refused; %llu wrong, %llu missing\n",
           capacity, (unsigned long long)cells, (unsigned long long)round->flushes,
           (unsigned long long)round->refused, (unsigned long long)round->bad,
           (unsigned long long)round->missing);
    free(round);
    free(memory);
    return right;
}

int main(int argc, char **argv)
{
    const uint64_t scale = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    bool right = true;

    printf("stress_outlet: seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < ARRAY_LEN(capacities); i++) {
        /* A ring of few cells is a hand-over each time: fewer of them take as long. */
        const uint64_t share = capacities[i] < 8 ? 10 : 1;

        right &= run_round(capacities[i], scale * CELLS_A_ROUND / share, mix64(seed + i));
    }
    printf("stress_outlet: %s\n", right ? "all right" : "FAILED");
    return right ? 0 : 1;
}
