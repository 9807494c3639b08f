/*
 * stress_index.c - one writer inserts and removes through growth, rebuilding and shrinking while
 * readers look keys up. A key that is always there must always be found, bound to what it was
 * given; a key that never was there, never; a key that comes and goes must be bound to something it
 * was bound to during the call, never to another key's task or to one already forgotten.
 *
 *     stress_index [SECONDS [SEED]]
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "task/index.h"

#define READERS 2u
#define FIXED   60u    /* always there; few, so that arrays are small and soon replaced */
#define MOVING  30000u /* keys that come and go */
#define HOT     64u    /* of these, the ones that do so all the time */

/*
 * Key n is bound to slot n and, for moving keys, to a generation that rises by one each time. What
 * a reader may find lies between the generations it sees before and after: `bound` is raised
 * before an insert, `gone` after a removal.
 */
struct moving {
    _Atomic uint32_t bound; /* generations up to this one may be found */
    _Atomic uint32_t gone;  /* generations up to this one may not be found by later calls */
    uint32_t record;
};

static struct index index_shared;
static struct reclaim reclaim;
static struct moving moving[MOVING];
static _Atomic bool stop;
static _Atomic uint64_t errors;

struct reader {
    pthread_t thread;
    uint64_t seed;
    uint64_t lookups;
    uint64_t found;
};

static void complain(const char *what, uint32_t n, uint32_t value)
{
    if (add_relaxed(&errors, 1) < 10)
        fprintf(stderr, "key %" PRIu32 ": %s (%" PRIu32 ")\n", n, what, value);
}

/*
 * Half of the keys are short. Long ones differ in few bytes, so that a torn compare would show. Of
 * the keys that move most the long ones have one hash: their first word, made from the seed, turns
 * a factor of the hash to zero.
 */
static size_t key_make(char kind, uint32_t n, unsigned char key[KEY_SIZE_MAX])
{
    if (kind == 'm' && n < HOT && n % 2 == 1) {
        const uint64_t first = index_first(index_shared.seed), second = n;

        memcpy(key, &first, 8);
        memcpy(key + 8, &second, 8);
        return 16;
    }

    const size_t length = n % 2 == 0 ? 5 + n % 4 : 9 + n % 56;

    memset(key, kind, length);
    memcpy(key, &n, 4);
    if (length > 8)
        memcpy(key + length - 4, &n, 4);
    return length;
}

static void read_fixed(uint32_t n, struct reader *reader)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make('f', n, key);
    uint32_t slot = 0, generation = 0;

    if (!index_find(&index_shared, key, length, &slot, &generation))
        complain("always there, not found", n, 0);
    else if (slot != n || generation != 7)
        complain("always there, bound to another", n, slot);
    reader->found++;
}

static void read_never(uint32_t n)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make('n', n, key);
    uint32_t slot, generation;

    if (index_find(&index_shared, key, length, &slot, &generation))
        complain("never there, found", n, slot);
}

static void read_moving(uint32_t n, struct reader *reader)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make('m', n, key);
    uint32_t slot = 0, generation = 0;
    const uint32_t gone = load_acquire(&moving[n].gone);
    const bool found = index_find(&index_shared, key, length, &slot, &generation);
    const uint32_t bound = load_acquire(&moving[n].bound);

    if (!found)
        return;
    reader->found++;
    if (slot != n)
        complain("bound to another key's slot", n, slot);
    if (generation <= gone)
        complain("bound to a generation that was gone", n, generation);
    if (generation > bound)
        complain("bound to a generation yet to come", n, generation);
}

static void *read_keys(void *argument)
{
    struct reader *reader = argument;
    struct random random = {reader->seed};

    while (!load_relaxed(&stop)) {
        pawl__read_enter();
        for (unsigned count = 0; count < 50; count++) {
            read_fixed((uint32_t)random_below(&random, FIXED), reader);
            read_moving((uint32_t)random_below(&random, MOVING), reader);
            read_moving((uint32_t)random_below(&random, HOT), reader);
            read_never((uint32_t)random_below(&random, MOVING));
        }
        pawl__read_exit();
        reader->lookups += 200;
    }
    return NULL;
}

/* The part the monitor plays in a runtime. */
static void *serve_grace(void *argument)
{
    struct reclaim *list[] = {&reclaim};

    (void)argument;
    while (!load_relaxed(&stop))
        if (pawl__reclaim_grace(list, 1) == 0)
            sched_yield();
    return NULL;
}

static void bind(uint32_t n)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make('m', n, key);
    const uint32_t generation = load_relaxed(&moving[n].bound) + 1;

    store_release(&moving[n].bound, generation);
    if (index_insert(&index_shared, key, length, n, generation, &moving[n].record, NULL, NULL) != 0)
        complain("not inserted", n, generation);
}

static void unbind(uint32_t n)
{
    unsigned char key[KEY_SIZE_MAX], back[KEY_SIZE_MAX];
    const size_t length = key_make('m', n, key);

    if (index_key(&index_shared, moving[n].record, back) != length ||
        memcmp(key, back, length) != 0)
        complain("its record does not know it", n, moving[n].record);
    index_remove(&index_shared, moving[n].record);
    moving[n].record = 0;
    /* relaxed: the writer's own. */
    store_release(&moving[n].gone, load_relaxed(&moving[n].bound));
}

static void turn(void)
{
    index_work(&index_shared, 64);
    reclaim_collect(&reclaim);
    reclaim_seal(&reclaim);
}

/* Up to a random number of keys and down again, more often small ones, whose arrays are soon
 * replaced; the hot keys go to and fro all the time. */
static void swing(struct random *random)
{
    const uint32_t high =
        HOT + (uint32_t)random_below(random, (MOVING - HOT) >> random_below(random, 9));

    for (uint32_t n = HOT; n < high; n++) {
        const uint32_t hot = (uint32_t)random_below(random, HOT);

        if (moving[n].record == 0)
            bind(n);
        moving[hot].record == 0 ? bind(hot) : unbind(hot);
        if (n % 16 == 0)
            turn();
    }
    for (uint32_t n = high; n-- > HOT;) {
        const uint32_t hot = (uint32_t)random_below(random, HOT);

        if (moving[n].record != 0 && random_below(random, 32) != 0)
            unbind(n);
        moving[hot].record == 0 ? bind(hot) : unbind(hot);
        if (n % 16 == 0)
            turn();
    }
}

static int run(double seconds, uint64_t seed)
{
    struct reader readers[READERS] = {0};
    struct random random = {seed};
    pthread_t helper;
    uint64_t swings = 0, lookups = 0, found = 0;
    struct timespec begin, now;

    for (unsigned at = 0; at < READERS; at++) {
        readers[at].seed = seed + 1 + at;
        if (pthread_create(&readers[at].thread, NULL, read_keys, &readers[at]) != 0)
            return 1;
    }
    if (pthread_create(&helper, NULL, serve_grace, NULL) != 0)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        swing(&random);
        swings++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
             seconds);
    if (!index_validate(&index_shared))
        complain("the index is not sound", 0, 0);
    store_relaxed(&stop, true);
    pthread_join(helper, NULL);
    for (unsigned at = 0; at < READERS; at++) {
        pthread_join(readers[at].thread, NULL);
        lookups += readers[at].lookups;
        found += readers[at].found;
    }
    printf("stress_index: %" PRIu64 " swings, %" PRIu64 " arrays replaced, %" PRIu64
           " look-ups (%" PRIu64 " found), %" PRIu64 " errors\n",
           swings, load_relaxed(&reclaim.freed), lookups, found, load_relaxed(&errors));
    return load_relaxed(&errors) != 0 || lookups == 0 || load_relaxed(&reclaim.freed) == 0;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 3;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);

    printf("stress_index: seed %" PRIu64 "\n", seed);
    reclaim_init(&reclaim);
    if (index_init(&index_shared, &reclaim, seed, FIXED + MOVING, false) != 0)
        return 1;
    for (uint32_t n = 0; n < FIXED; n++) {
        unsigned char key[KEY_SIZE_MAX];
        uint32_t record;

        if (index_insert(&index_shared, key, key_make('f', n, key), n, 7, &record, NULL, NULL) != 0)
            return 1;
    }

    const int result = run(seconds, seed);

    reclaim_synchronize(&reclaim);
    index_fini(&index_shared);
    return result;
}
