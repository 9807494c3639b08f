/*
 * stress_spsc.c - one producer and one consumer thread on small rings. Both mix the copying calls
 * with those in place, in batches of random size; every cell carries its sequence number and a sum
 * over it, and a third thread takes snapshots of the fill.
 *
 *     stress_spsc [SCALE [SEED]]      SCALE multiplies the number of cells, 1 by default
 */
#include "base/random.h"
#include "queue/spsc.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_LARGEST 48u
#define CELLS_A_ROUND UINT64_C(1500000)
#define INDEX_START   (UINT32_MAX - 1000) /* so that the indices wrap early on */

static const uint32_t capacities[] = {1, 2, 16, 64, 1024};

struct round {
    struct spsc ring;
    uint32_t capacity;
    uint64_t cells;
    uint64_t seed;
    _Atomic uint32_t done; /* the consumer has everything */
    uint64_t bad;          /* consumer: cells that were not the expected ones */
    uint64_t first_bad;    /* consumer: sequence of the first of them */
    uint64_t counts_bad;   /* observer: fills above the capacity */
    uint64_t counts;       /* observer: snapshots taken */
    uint64_t room_bad;     /* producer: a room that was promised and not there */
};

static void fill(struct cell *cell, uint64_t sequence)
{
    cell->word[0] = sequence;
    cell->word[1] = sequence * UINT64_C(0x9e3779b97f4a7c15);
    cell->word[2] = ~sequence;
    cell->word[3] = mix64(sequence ^ cell->word[1]);
}

static bool is_right(const struct cell *cell, uint64_t sequence)
{
    struct cell wanted;

    fill(&wanted, sequence);
    return memcmp(&wanted, cell, sizeof(wanted)) == 0;
}

/* Pushes a batch one way or the other; returns how many went in. */
static uint32_t produce(struct round *round, struct random *random, uint64_t next, uint32_t count)
{
    struct cell batch[BATCH_LARGEST];
    struct cell *claimed;

    if (random_below(random, 2) == 0) {
        const bool promised = spsc_room_at_least(&round->ring, count);
        uint32_t pushed;

        for (uint32_t i = 0; i < count; i++)
            fill(&batch[i], next + i);
        pushed = spsc_push(&round->ring, batch, count);
        if (promised && pushed != count)
            round->room_bad++;
        return pushed;
    }
    claimed = spsc_claim(&round->ring, &count);
    /* Sometimes less than claimed, and written twice: what is not published is not seen. */
    if (count > 1 && random_below(random, 4) == 0) {
        fill(&claimed[count - 1], UINT64_MAX);
        count--;
    }
    for (uint32_t i = 0; i < count; i++)
        fill(&claimed[i], next + i);
    if (count > 0)
        spsc_publish(&round->ring, count);
    return count;
}

static void *producer(void *argument)
{
    struct round *round = argument;
    struct random random = {round->seed};
    uint64_t next = 0;

    while (next < round->cells) {
        uint64_t count = 1 + random_below(&random, BATCH_LARGEST);
        uint32_t pushed;

        if (count > round->cells - next)
            count = round->cells - next;
        pushed = produce(round, &random, next, (uint32_t)count);
        next += pushed;
        if (pushed == 0)
            sched_yield();
    }
    return NULL;
}

static void verify(struct round *round, const struct cell *cells, uint32_t count, uint64_t from)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_right(&cells[i], from + i))
            continue;
        if (round->bad++ == 0)
            round->first_bad = from + i;
    }
}

static void *consumer(void *argument)
{
    struct round *round = argument;
    struct random random = {~round->seed};
    struct cell batch[BATCH_LARGEST];
    uint64_t next = 0;

    while (next < round->cells) {
        uint32_t count = 1 + (uint32_t)random_below(&random, BATCH_LARGEST);

        if (random_below(&random, 2) == 0) {
            count = spsc_pop(&round->ring, batch, count);
            verify(round, batch, count, next);
        } else {
            const struct cell *cells = spsc_peek(&round->ring, &count);

            verify(round, cells, count, next);
            if (count > 0)
                spsc_release(&round->ring, count);
        }
        next += count;
        if (count == 0 && spsc_is_empty_consumer(&round->ring))
            sched_yield();
    }
    if (!spsc_is_empty_consumer(&round->ring))
        round->bad++;
    store_release(&round->done, 1);
    return NULL;
}

static void *observer(void *argument)
{
    struct round *round = argument;

    while (!load_acquire(&round->done)) {
        if (spsc_count(&round->ring) > round->capacity)
            round->counts_bad++;
        round->counts++;
        sched_yield();
    }
    return NULL;
}

static bool run_round(struct round *round, uint32_t capacity)
{
    struct cell *cells = aligned_alloc(CACHE_LINE, capacity < 2 ? CACHE_LINE : capacity * 32u);
    pthread_t threads[3];

    if (cells == NULL)
        exit(77);
    spsc_init(&round->ring, cells, capacity);
    store_relaxed(&round->ring.head, INDEX_START);
    store_relaxed(&round->ring.tail, INDEX_START);
    round->ring.head_seen = round->ring.tail_seen = INDEX_START;
    round->capacity = capacity;
    if (pthread_create(&threads[0], NULL, producer, round) != 0 ||
        pthread_create(&threads[1], NULL, consumer, round) != 0 ||
        pthread_create(&threads[2], NULL, observer, round) != 0)
        exit(77);
    for (uint32_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    free(cells);
    if (round->bad == 0 && round->counts_bad == 0 && round->room_bad == 0)
        return true;
    printf("capacity %u: %llu wrong cells, the first at %llu; %llu fills above capacity; "
           "%llu broken promises of room\n",
           capacity, (unsigned long long)round->bad, (unsigned long long)round->first_bad,
           (unsigned long long)round->counts_bad, (unsigned long long)round->room_bad);
    return false;
}

int main(int argc, char **argv)
{
    const uint64_t scale = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    uint64_t cells = 0, counts = 0;
    bool right = true;

    printf("stress_spsc: seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < ARRAY_LEN(capacities); i++) {
        /* A ring of few cells is a hand-over each time: fewer of them take as long. */
        const uint64_t share = capacities[i] < 16 ? 8 : 1;
        struct round round = {.cells = scale * CELLS_A_ROUND / share, .seed = mix64(seed + i)};

        right &= run_round(&round, capacities[i]);
        cells += round.cells;
        counts += round.counts;
    }
    printf("stress_spsc: %llu cells, %llu snapshots, %s\n", (unsigned long long)cells,
           (unsigned long long)counts, right ? "all right" : "FAILED");
    return right ? 0 : 1;
}
