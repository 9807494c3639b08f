/* test_seams.c - the clocks and the randomness that a host gets when it brings none of its own. */
#include <pawl/seams.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/random.h"
#include "support/test.h"

#define THREADS  4u
#define ADVANCES 20000u

Test(seams, the_monotonic_clock_never_goes_back)
{
    uint64_t last = pawl_clock_monotonic.now_ns(pawl_clock_monotonic.user);

    cr_assert(!pawl_clock_monotonic.is_virtual);
    cr_assert(last > 0);
    for (unsigned i = 0; i < 10000; i++) {
        const uint64_t now = pawl_clock_monotonic.now_ns(pawl_clock_monotonic.user);

        cr_assert(now >= last);
        last = now;
    }
}

Test(seams, a_virtual_clock_stands_still_until_it_is_moved)
{
    struct pawl_virtual_clock *clock;
    const struct pawl_clock *seam;

    cr_assert_eq(pawl_virtual_clock_create(1000, &clock), 0);
    seam = pawl_virtual_clock_seam(clock);
    cr_assert(seam->is_virtual);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(seam->now_ns(seam->user), 1000u);
    pawl_virtual_clock_advance_to(clock, 1001);
    cr_assert_eq(seam->now_ns(seam->user), 1001u);
    cr_assert_eq(pawl_virtual_clock_now_ns(clock), 1001u);
    pawl_virtual_clock_destroy(clock);
}

Test(seams, a_virtual_clock_is_not_moved_back)
{
    struct pawl_virtual_clock *clock;

    cr_assert_eq(pawl_virtual_clock_create(UINT64_MAX - 10, &clock), 0);
    pawl_virtual_clock_advance_to(clock, 5);
    pawl_virtual_clock_advance_to(clock, UINT64_MAX - 11);
    cr_assert_eq(pawl_virtual_clock_now_ns(clock), UINT64_MAX - 10);
    pawl_virtual_clock_advance_to(clock, UINT64_MAX);
    cr_assert_eq(pawl_virtual_clock_now_ns(clock), UINT64_MAX);
    pawl_virtual_clock_destroy(clock);
}

Test(seams, virtual_clocks_are_independent)
{
    struct pawl_virtual_clock *first, *second;

    cr_assert_eq(pawl_virtual_clock_create(1, &first), 0);
    cr_assert_eq(pawl_virtual_clock_create(2, &second), 0);
    pawl_virtual_clock_advance_to(first, 100);
    cr_assert_eq(pawl_virtual_clock_now_ns(second), 2u);
    pawl_virtual_clock_destroy(first);
    pawl_virtual_clock_destroy(second);
    pawl_virtual_clock_destroy(NULL);
}

struct advancer {
    pthread_t thread;
    struct pawl_virtual_clock *clock;
    uint64_t seed;
    uint64_t highest; /* that it asked for */
    unsigned went_back;
    unsigned not_reached;
};

/* All ask for times near each other, so that they meet in the exchange. */
static void *advance(void *argument)
{
    struct advancer *self = argument;
    const struct pawl_clock *seam = pawl_virtual_clock_seam(self->clock);
    struct random random = {self->seed};
    uint64_t last = 0;

    for (unsigned i = 0; i < ADVANCES; i++) {
        const uint64_t to = i + random_below(&random, 50);
        uint64_t now = seam->now_ns(seam->user);

        self->went_back += now < last;
        last = now;
        pawl_virtual_clock_advance_to(self->clock, to);
        now = seam->now_ns(seam->user);
        self->went_back += now < last;
        self->not_reached += now < to;
        last = now;
        if (to > self->highest)
            self->highest = to;
    }
    return NULL;
}

Test(seams, a_clock_that_many_advance_is_monotone_and_ends_at_the_latest)
{
    struct advancer advancers[THREADS];
    struct pawl_virtual_clock *clock;
    uint64_t highest = 0;

    cr_assert_eq(pawl_virtual_clock_create(0, &clock), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        advancers[i] = (struct advancer){.clock = clock, .seed = i + 1};
        cr_assert_eq(pthread_create(&advancers[i].thread, NULL, advance, &advancers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(advancers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(advancers[i].went_back, 0u, "thread %u", i);
        cr_assert_eq(advancers[i].not_reached, 0u, "thread %u", i);
        if (advancers[i].highest > highest)
            highest = advancers[i].highest;
    }
    cr_assert_eq(pawl_virtual_clock_now_ns(clock), highest);
    pawl_virtual_clock_destroy(clock);
}

Test(seams, random_bytes_fill_the_buffer_and_nothing_else)
{
    /* getrandom may give less than it is asked for above 256 bytes. */
    static const size_t sizes[] = {0, 1, 8, 255, 256, 257, 100000};
    static unsigned char bytes[100000 + 2];

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        bool last_changed = sizes[i] == 0;

        /* A byte stays what it was once in 256 times; eight times over never. */
        for (unsigned turn = 0; turn < 8; turn++) {
            memset(bytes, 0xa5, sizeof(bytes));
            cr_assert_eq(pawl_random_system.fill(pawl_random_system.user, bytes + 1, sizes[i]), 0);
            cr_assert_eq(bytes[0], 0xa5, "before %zu bytes", sizes[i]);
            cr_assert_eq(bytes[sizes[i] + 1], 0xa5, "behind %zu bytes", sizes[i]);
            last_changed |= bytes[sizes[i]] != 0xa5;
        }
        cr_assert(last_changed, "%zu bytes: the last is not filled", sizes[i]);
    }
}

Test(seams, random_bytes_are_not_twice_the_same)
{
    unsigned char first[32], second[32];

    cr_assert_eq(pawl_random_system.fill(pawl_random_system.user, first, sizeof(first)), 0);
    cr_assert_eq(pawl_random_system.fill(pawl_random_system.user, second, sizeof(second)), 0);
    cr_assert(memcmp(first, second, sizeof(first)) != 0);
}

/* What ages are told by: late by a tick of the kernel at most. */
Test(seams, the_coarse_clock_is_close_behind_the_fine_one)
{
    const struct pawl_clock *clock = &pawl_clock_monotonic;

    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t before = clock->now_ns(clock->user);
        const uint64_t coarse = clock->coarse_ns(clock->user);
        const uint64_t after = clock->now_ns(clock->user);

        cr_assert(coarse <= after);
        cr_assert(coarse + 500000000 >= before, "%llu ns late",
                  (unsigned long long)(before - coarse));
    }
}

/* What people read in a journal. */
Test(seams, the_wall_clock_counts_from_1970_in_nanoseconds)
{
    const struct pawl_clock *clock = &pawl_clock_monotonic;
    const uint64_t before = (uint64_t)time(NULL);
    const uint64_t wall_s = clock->wall_ns(clock->user) / UINT64_C(1000000000);
    const uint64_t after = (uint64_t)time(NULL);

    /* time(2) lags by a tick of the kernel. */
    cr_assert(wall_s >= before && wall_s <= after + 1, "%llu s", (unsigned long long)wall_s);
}

Test(seams, a_virtual_clock_knows_no_wall_time)
{
    struct pawl_virtual_clock *clock;

    cr_assert_eq(pawl_virtual_clock_create(0, &clock), 0);
    cr_assert(pawl_virtual_clock_seam(clock)->wall_ns == NULL);
    pawl_virtual_clock_destroy(clock);
}
