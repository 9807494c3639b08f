/*
 * test_barrier.c - of two threads that each store and then look, one sees the other.
 */
#include "support/test.h"

#include <pthread.h>
#include <stdint.h>

#include "base/atomic.h"
#include "host/barrier.h"

enum { ROUNDS = 20000 };

struct pair {
    bool asymmetric;
    _Atomic uint32_t mine __attribute__((aligned(128)));
    _Atomic uint32_t yours __attribute__((aligned(128)));
    _Atomic uint32_t round __attribute__((aligned(128)));
    _Atomic uint32_t ready __attribute__((aligned(128)));
    uint32_t saw;
};

static void await(const _Atomic uint32_t *word, uint32_t value)
{
    while (load_acquire(word) != value)
        cpu_relax();
}

/* The frequent side. */
static void *light_side(void *argument)
{
    struct pair *pair = argument;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        await(&pair->round, round);
        store_relaxed(&pair->mine, round);
        barrier_light(pair->asymmetric);
        pair->saw = load_relaxed(&pair->yours) == round;
        store_release(&pair->ready, round);
    }
    return NULL;
}

static void neither_is_missed(bool asymmetric)
{
    static struct pair pair;
    pthread_t thread;
    uint32_t both_missed = 0;

    pair = (struct pair){.asymmetric = asymmetric};
    cr_assert_eq(pthread_create(&thread, NULL, light_side, &pair), 0);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        bool saw;

        store_release(&pair.round, round);
        store_relaxed(&pair.yours, round);
        pawl__barrier_heavy(asymmetric);
        saw = load_relaxed(&pair.mine) == round;
        await(&pair.ready, round);
        both_missed += !saw && !pair.saw;
    }
    pthread_join(thread, NULL);
    cr_assert_eq(both_missed, 0u, "%u of %u rounds", both_missed, (unsigned)ROUNDS);
}

Test(barrier, one_of_two_sees_the_other_with_full_fences)
{
    neither_is_missed(false);
}

Test(barrier, one_of_two_sees_the_other_with_membarrier)
{
    if (pawl__barrier_register())
        neither_is_missed(true);
}
