/*
 * stress_park.c - one sleeper, several wakers, and items that must not be left lying while it
 * sleeps.
 *
 * A round is a row of turns. In each turn every waker publishes one item and wakes; the sleeper takes
 * items until it has one of each, and only then the next turn begins. So the last item of a turn has
 * nobody to save it: if its wake is lost, everything stands still, and the watchdog says so. Items
 * are published by a plain store, as rings do it, because a locked instruction would be the barrier
 * whose need is tested here.
 *
 *     stress_park [SECONDS [SEED]]      SECONDS for all rounds together, 4 by default
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "host/park.h"

#define WAKERS_MAX   3u
#define STANDSTILL_S 20.0 /* without a turn: far more than any scheduler's delay */
#define PAUSE_SHIFT  12u  /* up to 2^12 steps before one's part of a turn */

struct waker {
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t items; /* published so far; written by the waker */
    pthread_t thread;
    struct round *round;
    uint64_t seed;
};

struct round {
    struct park park;
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t turns; /* complete ones; written by the sleeper */
    _Alignas(2 * CACHE_LINE) _Atomic uint32_t stop;
    struct waker wakers[WAKERS_MAX];
    unsigned wakers_count;
    uint64_t seed;
    uint64_t sleeps;
    uint64_t cancels;
    uint64_t wrong; /* turns with items that nobody can have published */
};

/* polled, asymmetric: with membarrier and, as on a kernel without it, with full fences. */
static const struct kind {
    const char *name;
    bool polled;
    bool asymmetric;
    unsigned wakers;
} kinds[] = {
    {"futex, membarrier, 1 waker", false, true, 1},
    {"futex, membarrier, 3 wakers", false, true, 3},
    {"futex, fences, 1 waker", false, false, 1},
    {"polled, membarrier, 1 waker", true, true, 1},
    {"polled, membarrier, 3 wakers", true, true, 3},
    {"polled, fences, 1 waker", true, false, 1},
};

/*
 * A step is a cycle or so, not a cpu_relax of dozens: waker and sleeper must meet within the few
 * nanoseconds between the sleeper's announcement and its look.
 */
static void pause_a_little(struct random *random)
{
    const uint64_t steps = random_below(random, UINT64_C(2) << random_below(random, PAUSE_SHIFT));

    for (uint64_t i = 0; i < steps; i++)
        fence_compiler();
}

/*
 * One waker and its sleeper get different cpus: the scheduler likes to put who is woken beside who
 * woke it, where they would never run at the same time. More wakers are left to the scheduler, and so
 * is everything on a single cpu.
 */
static void take_place(const struct round *round, bool is_sleeper)
{
    cpu_set_t cpus;
    int last = CPU_SETSIZE - 1;

    if (round->wakers_count > 1 || sched_getaffinity(0, sizeof(cpus), &cpus) != 0 ||
        CPU_COUNT(&cpus) < 2)
        return;
    while (!CPU_ISSET(last, &cpus))
        last--;
    if (is_sleeper) {
        CPU_ZERO(&cpus);
        CPU_SET(last, &cpus);
    } else {
        CPU_CLR(last, &cpus);
    }
    (void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

static void *wake(void *argument)
{
    struct waker *self = argument;
    struct round *round = self->round;
    struct random random = {self->seed};

    take_place(round, false);

    for (uint64_t turn = 0;; turn++) {
        unsigned spins = 0;

        while (load_acquire(&round->turns) < turn) {
            if (load_acquire(&round->stop) != 0)
                return NULL;
            if (++spins % 256 == 0)
                sched_yield();
            else
                cpu_relax();
        }
        pause_a_little(&random);
        store_release(&self->items, turn + 1);
        park_wake(&round->park);
    }
}

/* Whether the turn's items are all there. */
static bool has_all(struct round *round, uint64_t turn)
{
    bool all = true;

    for (unsigned i = 0; i < round->wakers_count; i++) {
        const uint64_t items = load_acquire(&round->wakers[i].items);

        round->wrong += items > turn + 1 || items < turn;
        all &= items == turn + 1;
    }
    return all;
}

static bool has_stopped(const struct round *round)
{
    return load_acquire(&round->stop) != 0;
}

static void sleep_now(struct round *round)
{
    struct pollfd fd = {.fd = round->park.poll_fd, .events = POLLIN};

    round->sleeps++;
    if (!round->park.polled) {
        pawl__park_wait(&round->park, UINT64_MAX);
        return;
    }
    pawl__park_deadline(&round->park, UINT64_MAX);
    while (poll(&fd, 1, -1) != 1)
        ;
    pawl__park_cancel(&round->park);
}

static void *sleep_and_take(void *argument)
{
    struct round *round = argument;
    struct random random = {round->seed};

    take_place(round, true);
    for (uint64_t turn = 0; !has_stopped(round); turn++) {
        pause_a_little(&random);
        while (!has_all(round, turn) && !has_stopped(round)) {
            pawl__park_prepare(&round->park);
            if (has_all(round, turn) || has_stopped(round)) {
                round->cancels++;
                pawl__park_cancel(&round->park);
            } else {
                sleep_now(round);
            }
        }
        store_release(&round->turns, turn + 1);
    }
    return NULL;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Waits until the round is past this turn; false when it stands still. */
static bool passes(const struct round *round, uint64_t turn)
{
    uint64_t seen = load_acquire(&round->turns);
    double moved = now_s();

    while (seen <= turn) {
        const struct timespec pause = {.tv_nsec = 5000000};
        const uint64_t turns = load_acquire(&round->turns);

        nanosleep(&pause, NULL);
        if (turns != seen)
            moved = now_s();
        else if (now_s() - moved > STANDSTILL_S)
            return false;
        seen = turns;
    }
    return true;
}

/* Lets the round run, and see the end of the turn that it is in last. */
static bool watch(const struct round *round, double seconds)
{
    const double end = now_s() + seconds;

    while (now_s() < end)
        if (!passes(round, load_acquire(&round->turns)))
            return false;
    return passes(round, load_acquire(&round->turns));
}

static bool run_round(const struct kind *kind, double seconds, uint64_t seed)
{
    static struct round round;
    pthread_t sleeper;

    round = (struct round){.wakers_count = kind->wakers, .seed = seed};
    if (pawl__park_init(&round.park, kind->polled) != 0)
        exit(77);
    if (!kind->asymmetric)
        round.park.asymmetric = false;
    if (pthread_create(&sleeper, NULL, sleep_and_take, &round) != 0)
        exit(77);
    for (unsigned i = 0; i < kind->wakers; i++) {
        round.wakers[i].round = &round;
        round.wakers[i].seed = mix64(seed + 1 + i);
        if (pthread_create(&round.wakers[i].thread, NULL, wake, &round.wakers[i]) != 0)
            exit(77);
    }
    if (!watch(&round, seconds)) {
        printf("%s: asleep for ever in turn %llu, with work there\n", kind->name,
               (unsigned long long)load_acquire(&round.turns));
        fflush(stdout);
        _Exit(1); /* the threads cannot be joined */
    }
    store_release(&round.stop, 1);
    park_wake(&round.park);
    pthread_join(sleeper, NULL);
    for (unsigned i = 0; i < kind->wakers; i++)
        pthread_join(round.wakers[i].thread, NULL);
    pawl__park_fini(&round.park);
    printf("%s: %llu turns, %llu sleeps, %llu cancelled, %llu wrong\n", kind->name,
           (unsigned long long)load_relaxed(&round.turns), (unsigned long long)round.sleeps,
           (unsigned long long)round.cancels, (unsigned long long)round.wrong);
    return round.wrong == 0;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 4;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    bool right = true;

    printf("stress_park: seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        right &= run_round(&kinds[i], seconds / ARRAY_LEN(kinds), mix64(seed + i));
    printf("stress_park: %s\n", right ? "all right" : "FAILED");
    return right ? 0 : 1;
}
