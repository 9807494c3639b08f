/*
 * test_park.c - sleeping and waking. No test measures how long anything took: a sleep that must end
 * by a wake is for ever, and one that must end by time ends or hangs the test.
 */
#include "host/park.h"

#include <poll.h>
#include <pthread.h>

#include "support/test.h"

#define FOR_EVER UINT64_MAX
#define SOON     UINT64_C(2000000)             /* 2 ms */
#define LATE     (UINT64_C(3600) * 1000000000) /* an hour */

/* With a membarrier and with full fences, as on a kernel without one. */
struct way {
    bool polled;
    bool asymmetric;
};

static const struct way ways[] = {{false, true}, {false, false}, {true, true}, {true, false}};

static void open_park(struct park *park, const struct way *way)
{
    cr_assert_eq(pawl__park_init(park, way->polled), 0);
    if (!way->asymmetric)
        park->asymmetric = false;
}

static bool is_readable(const struct park *park, int timeout_ms)
{
    struct pollfd fd = {.fd = park->poll_fd, .events = POLLIN};

    return poll(&fd, 1, timeout_ms) == 1 && (fd.revents & POLLIN) != 0;
}

/* Sleeps until woken. */
static void sleep_on(struct park *park)
{
    if (!park->polled) {
        pawl__park_wait(park, FOR_EVER);
        return;
    }
    while (!is_readable(park, -1))
        ;
    pawl__park_cancel(park);
}

static uint32_t word_of(const struct park *park)
{
    return load_relaxed(&park->word);
}

Test(park, a_wake_before_the_sleep_is_not_lost)
{
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        struct park park;

        open_park(&park, &ways[i]);
        for (unsigned turn = 0; turn < 100; turn++) {
            pawl__park_prepare(&park);
            cr_assert_eq(word_of(&park), (uint32_t)PARK_ASLEEP);
            park_wake(&park);
            sleep_on(&park);
            cr_assert_eq(word_of(&park), (uint32_t)PARK_AWAKE);
        }
        pawl__park_fini(&park);
    }
}

Test(park, many_wakes_are_one)
{
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        struct park park;

        open_park(&park, &ways[i]);
        pawl__park_prepare(&park);
        for (unsigned turn = 0; turn < 100; turn++)
            park_wake(&park);
        sleep_on(&park);
        if (park.polled)
            cr_assert(!is_readable(&park, 0), "a wake is left over");
        pawl__park_fini(&park);
    }
}

Test(park, a_wake_of_one_who_is_awake_does_nothing)
{
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        struct park park;

        open_park(&park, &ways[i]);
        park_wake(&park);
        cr_assert_eq(word_of(&park), (uint32_t)PARK_AWAKE);
        if (park.polled)
            cr_assert(!is_readable(&park, 0));
        pawl__park_prepare(&park);
        pawl__park_cancel(&park);
        park_wake(&park);
        if (park.polled)
            cr_assert(!is_readable(&park, 0));
        pawl__park_fini(&park);
    }
}

Test(park, a_sleep_ends_at_its_timeout)
{
    static const uint64_t timeouts[] = {0, 1, 999, SOON};

    for (unsigned i = 0; i < ARRAY_LEN(timeouts); i++) {
        struct park park;

        open_park(&park, &ways[0]);
        pawl__park_prepare(&park);
        pawl__park_wait(&park, timeouts[i]);
        cr_assert_eq(word_of(&park), (uint32_t)PARK_AWAKE);
        pawl__park_fini(&park);
    }
}

Test(park, far_timeouts_are_slept_on_too)
{
    static const uint64_t timeouts[] = {LATE, LATE * 1000, UINT64_MAX - 1, FOR_EVER};

    for (unsigned i = 0; i < ARRAY_LEN(timeouts); i++) {
        struct park park;

        open_park(&park, &ways[0]);
        pawl__park_prepare(&park);
        park_wake(&park);
        pawl__park_wait(&park, timeouts[i]);
        cr_assert_eq(word_of(&park), (uint32_t)PARK_AWAKE);
        pawl__park_fini(&park);
        open_park(&park, &ways[2]);
        pawl__park_deadline(&park, timeouts[i]);
        cr_assert(!is_readable(&park, 0));
        pawl__park_fini(&park);
    }
}

Test(park, polled_is_readable_after_its_deadline_and_until_the_cancel)
{
    static const uint64_t deadlines[] = {0, 1, SOON};

    for (unsigned i = 0; i < ARRAY_LEN(deadlines); i++) {
        struct park park;

        open_park(&park, &ways[2]);
        cr_assert(!is_readable(&park, 0));
        pawl__park_prepare(&park);
        pawl__park_deadline(&park, deadlines[i]);
        cr_assert(is_readable(&park, -1));
        cr_assert(is_readable(&park, 0));
        pawl__park_cancel(&park);
        cr_assert(!is_readable(&park, 0), "drained by the cancel");
        cr_assert_eq(word_of(&park), (uint32_t)PARK_AWAKE);
        pawl__park_fini(&park);
    }
}

Test(park, polled_a_deadline_can_be_moved_and_taken_back)
{
    struct park park;

    open_park(&park, &ways[2]);
    pawl__park_deadline(&park, LATE);
    pawl__park_deadline(&park, SOON);
    cr_assert(is_readable(&park, -1));
    pawl__park_deadline(&park, FOR_EVER);
    cr_assert(!is_readable(&park, 0), "a deadline that has passed is taken back");
    pawl__park_deadline(&park, SOON);
    pawl__park_deadline(&park, LATE);
    cr_assert(!is_readable(&park, 10));
    pawl__park_fini(&park);
}

Test(park, polled_a_wake_and_a_deadline_are_drained_together)
{
    struct park park;

    open_park(&park, &ways[2]);
    pawl__park_prepare(&park);
    pawl__park_deadline(&park, 1);
    park_wake(&park);
    cr_assert(is_readable(&park, -1));
    /* The deadline is a nanosecond away; once it has passed its descriptor is readable for good. */
    while (poll(&(struct pollfd){.fd = park.timer_fd, .events = POLLIN}, 1, -1) != 1)
        ;
    pawl__park_cancel(&park);
    cr_assert(!is_readable(&park, 0));
    pawl__park_fini(&park);
}

Test(park, descriptors_exist_when_polled_alone)
{
    struct park park;

    open_park(&park, &ways[0]);
    cr_assert(park.poll_fd < 0 && park.event_fd < 0 && park.timer_fd < 0);
    pawl__park_fini(&park);
    open_park(&park, &ways[2]);
    cr_assert(park.poll_fd >= 0 && park.event_fd >= 0 && park.timer_fd >= 0);
    pawl__park_fini(&park);
    cr_assert(park.poll_fd < 0 && park.event_fd < 0 && park.timer_fd < 0);
    pawl__park_fini(&park); /* twice does no harm */
}

struct pair {
    struct park park;
    _Atomic uint32_t item;
    uint32_t seen;
};

static void *sleeper(void *argument)
{
    struct pair *pair = argument;

    while ((pair->seen = load_acquire(&pair->item)) == 0) {
        pawl__park_prepare(&pair->park);
        if (load_acquire(&pair->item) != 0)
            pawl__park_cancel(&pair->park);
        else
            sleep_on(&pair->park);
    }
    return NULL;
}

Test(park, a_sleeping_thread_is_woken)
{
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        struct pair pair = {.seen = 0};
        pthread_t thread;

        open_park(&pair.park, &ways[i]);
        cr_assert_eq(pthread_create(&thread, NULL, sleeper, &pair), 0);
        while (word_of(&pair.park) != PARK_ASLEEP)
            cpu_relax();
        store_release(&pair.item, 7);
        park_wake(&pair.park);
        pthread_join(thread, NULL);
        cr_assert_eq(pair.seen, 7u);
        pawl__park_fini(&pair.park);
    }
}
