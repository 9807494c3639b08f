/*
 * stress_lane.c - threads that play shards on one lane: they ask for leases, give some back, hold
 * the others for a while, tell how the work went, and end them; in some rounds another thread
 * pauses and resumes. What is out is counted beside the lane and compared with each limit. Who is
 * refused without a time sleeps until told: one whom nobody tells is a fault. In the end nothing
 * may be missing. Then a relay, in which each wants few leases and then rests: there a forgotten
 * wake is not made good by the next one.
 *
 *     stress_lane [SCALE [SEED]]      SCALE multiplies the time, 1.4 s by default
 */
#include "base/random.h"
#include "lane/lane.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARDS   4u
#define HELD_MAX 8u /* leases that one of them holds at once */
#define SECOND   UINT64_C(1000000000)
#define ROUND_NS (SECOND * 7 / 20)
#define ROUNDS   (1u << 16) /* of probes that are told apart */
#define LOST_S   10         /* so long nobody told */

struct contest {
    struct pawl_lane_def def;
    bool pauses;
};

static const struct contest contests[] = {
    {{.name = "places", .concurrency = 3}, false},
    {{.name = "tokens", .rate = 100000, .burst = 2000}, false},
    {{.name = "places and tokens", .concurrency = 6, .rate = 200000, .burst = 50}, false},
    {{.name = "breaker", .breaker_failures = 4, .breaker_probes = 3, .breaker_ns = 100000}, false},
    {{.name = "all of them",
      .concurrency = 4,
      .rate = 1000000,
      .burst = 20,
      .breaker_failures = 3,
      .breaker_probes = 5,
      .breaker_ns = 50000},
     true},
};

/* Counted after the lane has admitted and before it is told, so never above what it counts. */
static struct lane lane;
static _Atomic uint32_t live;
static _Atomic uint32_t probes[ROUNDS];
static _Atomic uint64_t used;

static _Atomic uint32_t over;
static _Atomic uint32_t live_bad, probes_bad, lost;
static _Atomic uint64_t waits;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static _Atomic uint64_t wakes; /* written under the mutex */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void wake_all(bool wake)
{
    if (!wake)
        return;
    pthread_mutex_lock(&mutex);
    add_acq_rel(&wakes, 1);
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&mutex);
}

static void sleep_until_told(uint64_t since)
{
    struct timespec end;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LOST_S;
    /* relaxed, as all counts here: they are compared when the threads have ended */
    add_relaxed(&waits, 1);
    pthread_mutex_lock(&mutex);
    while (load_acquire(&wakes) == since && !load_acquire(&over) && error == 0)
        error = pthread_cond_timedwait(&told, &mutex, &end);
    pthread_mutex_unlock(&mutex);
    if (error != 0)
        add_relaxed(&lost, 1);
}

static void count_in(const struct contest *contest, const struct lane_grant *grant)
{
    const uint32_t round = grant->round;

    if (add_relaxed(&live, grant->count) + grant->count > contest->def.concurrency &&
        contest->def.concurrency != 0)
        add_relaxed(&live_bad, 1);
    if (round != LANE_NO_ROUND &&
        add_relaxed(&probes[round % ROUNDS], grant->count) + grant->count >
            contest->def.breaker_probes)
        add_relaxed(&probes_bad, 1);
    add_relaxed(&used, grant->count);
}

static void count_out(uint32_t round, uint32_t count)
{
    add_relaxed(&live, 0 - count);
    if (round != LANE_NO_ROUND)
        add_relaxed(&probes[round % ROUNDS], 0 - count);
}

struct shard_part {
    const struct contest *contest;
    struct random random;
    uint32_t held;
    uint32_t round[HELD_MAX];
};

static void end_lease(struct shard_part *part)
{
    const uint32_t at = (uint32_t)random_below(&part->random, part->held);
    const uint32_t round = part->round[at];
    const uint64_t how = random_below(&part->random, 8);
    const bool late = random_below(&part->random, 2) == 0;
    bool wake = false;

    part->round[at] = part->round[--part->held];
    count_out(round, 1);
    if (how > 0 && !late)
        wake |= lane_outcome(&lane, now_ns(), how > 2, round);
    wake |= lane_release(&lane, round, 1);
    if (how > 0 && late)
        wake |= lane_outcome(&lane, now_ns(), how > 2, round);
    wake_all(wake);
}

static void take_leases(struct shard_part *part)
{
    const uint32_t room = HELD_MAX - part->held;
    const uint64_t since = load_acquire(&wakes);
    struct lane_grant grant =
        lane_admit(&lane, now_ns(), 1 + (uint32_t)random_below(&part->random, room));
    uint32_t back;

    wake_all(grant.wake);
    if (grant.count == 0 && part->held == 0) {
        if (grant.retry_ns == UINT64_MAX)
            sleep_until_told(since);
        else
            sched_yield();
        return;
    }
    count_in(part->contest, &grant);
    back = random_below(&part->random, 4) == 0
               ? (uint32_t)random_below(&part->random, grant.count + 1)
               : 0;
    if (back > 0) {
        count_out(grant.round, back);
        add_relaxed(&used, 0 - (uint64_t)back);
        wake_all(lane_return(&lane, grant.round, back));
    }
    for (uint32_t i = back; i < grant.count; i++)
        part->round[part->held++] = grant.round;
}

/* Nothing else between one hand-out and the next: as many at the same moment as can be. */
static void hammer(const struct shard_part *part)
{
    for (uint32_t i = 0; i < 64; i++) {
        const struct lane_grant grant = lane_admit(&lane, now_ns(), 1);
        bool wake = grant.wake;

        if (grant.count > 0) {
            count_in(part->contest, &grant);
            count_out(grant.round, 1);
            wake |= lane_release(&lane, grant.round, 1);
        }
        wake_all(wake);
    }
}

static void *shard(void *argument)
{
    struct shard_part *part = argument;

    while (!load_acquire(&over)) {
        if (part->held < HELD_MAX && random_below(&part->random, 3) > 0)
            take_leases(part);
        else if (part->held > 0)
            end_lease(part);
        if (random_below(&part->random, 32) == 0)
            hammer(part);
    }
    while (part->held > 0)
        end_lease(part);
    return NULL;
}

static void *pauser(void *argument)
{
    struct random random = {(uint64_t)(uintptr_t)argument};

    while (!load_acquire(&over)) {
        const struct timespec nap = {.tv_nsec = (long)random_below(&random, 300000)};

        switch (random_below(&random, 3)) {
        case 0:
            pawl__lane_pause(&lane, UINT64_MAX);
            break;
        case 1:
            pawl__lane_pause(&lane, now_ns() + random_below(&random, 200000));
            break;
        default:
            pawl__lane_resume(&lane);
        }
        wake_all(true);
        nanosleep(&nap, NULL);
    }
    pawl__lane_resume(&lane);
    wake_all(true);
    return NULL;
}

/* Long after the end, everything can be admitted again. */
static bool is_whole(const struct pawl_lane_def *def, uint64_t at_ns)
{
    struct lane_state state;
    uint32_t whole = UINT32_MAX;
    struct lane_grant grant;

    pawl__lane_state(&lane, &state);
    if (state.breaker != PAWL_BREAKER_CLOSED) {
        /* Good probes of the round so far would hide missing ones: a new round. */
        if (state.breaker == PAWL_BREAKER_HALF_OPEN) {
            grant = lane_admit(&lane, at_ns, 1);
            if (grant.count != 1)
                return false;
            lane_outcome(&lane, at_ns, false, grant.round);
            lane_return(&lane, grant.round, 1);
            at_ns += SECOND;
        }
        for (uint32_t i = 0; i < def->breaker_probes; i++) {
            grant = lane_admit(&lane, at_ns, 1);
            if (grant.count != 1)
                return false;
            lane_outcome(&lane, at_ns, true, grant.round);
            lane_return(&lane, grant.round, 1);
        }
    }
    if (def->concurrency != 0 && def->concurrency < whole)
        whole = def->concurrency;
    if (def->rate != 0 && def->burst < whole)
        whole = def->burst;
    return lane_admit(&lane, at_ns + SECOND, UINT32_MAX).count == whole;
}

static bool run_contest(const struct contest *contest, uint64_t scale, uint64_t seed)
{
    const struct pawl_lane_def *def = &contest->def;
    const uint64_t start = now_ns();
    struct timespec nap = {.tv_sec = (time_t)(scale * ROUND_NS / SECOND),
                           .tv_nsec = (long)(scale * ROUND_NS % SECOND)};
    struct shard_part parts[SHARDS];
    pthread_t threads[SHARDS + 1];
    uint64_t end, limit;
    bool whole;

    pawl__lane_init(&lane, def, start);
    store_release(&over, 0);
    memset(probes, 0, sizeof(probes));
    store_release(&used, 0);
    store_release(&waits, 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        parts[i] = (struct shard_part){.contest = contest, .random = {mix64(seed + i)}};
        if (pthread_create(&threads[i], NULL, shard, &parts[i]) != 0)
            exit(77);
    }
    if (contest->pauses &&
        pthread_create(&threads[SHARDS], NULL, pauser, (void *)(uintptr_t)mix64(seed)) != 0)
        exit(77);
    nanosleep(&nap, NULL);
    store_release(&over, 1);
    wake_all(true);
    for (uint32_t i = 0; i < SHARDS + contest->pauses; i++)
        pthread_join(threads[i], NULL);

    /* relaxed from here on: the threads have ended */
    end = now_ns();
    limit = def->rate == 0 ? UINT64_MAX : def->burst + (end - start) * def->rate / SECOND;
    whole = is_whole(def, end + SECOND);
    printf("%-18s %8llu leases, %7llu waits, %6llu changes\n", def->name,
           (unsigned long long)load_relaxed(&used), (unsigned long long)load_relaxed(&waits),
           (unsigned long long)pawl__lane_changed(&lane));
    if (whole && load_relaxed(&live) == 0 && load_relaxed(&live_bad) == 0 &&
        load_relaxed(&probes_bad) == 0 && load_relaxed(&lost) == 0 &&
        load_relaxed(&used) <= limit && load_relaxed(&used) > 0)
        return true;
    printf("%s: above concurrency %u times, above probes %u times; %llu leases, %llu allowed; %u "
           "waited for ever; %u left over; %s\n",
           def->name, load_relaxed(&live_bad), load_relaxed(&probes_bad),
           (unsigned long long)load_relaxed(&used), (unsigned long long)limit, load_relaxed(&lost),
           load_relaxed(&live), whole ? "whole in the end" : "something is missing in the end");
    return false;
}

/* ---- The relay ---- */

#define LEGS 2000u

static const struct pawl_lane_def relays[] = {
    {.name = "relay, places", .concurrency = 1},
    /* Never told an outcome, the breaker stays half open; a probe can find its place gone. */
    {.name = "relay, probes",
     .concurrency = 2,
     .breaker_failures = 1,
     .breaker_probes = 3,
     .breaker_ns = 1},
};

static pthread_barrier_t start_line;
static uint64_t legs; /* written before the threads start */

static void *runner(void *argument)
{
    struct random random = {(uint64_t)(uintptr_t)argument};

    for (uint64_t leg = 0; leg < legs; leg++) {
        uint32_t left = 1 + (uint32_t)random_below(&random, 2);

        pthread_barrier_wait(&start_line);
        while (left > 0 && load_acquire(&lost) == 0) {
            const uint64_t since = load_acquire(&wakes);
            const struct lane_grant grant = lane_admit(&lane, now_ns(), left);

            wake_all(grant.wake);
            if (random_below(&random, 4) == 0)
                sched_yield();
            if (grant.count > 0)
                wake_all(lane_release(&lane, grant.round, grant.count));
            else if (grant.retry_ns == UINT64_MAX)
                sleep_until_told(since);
            left -= grant.count;
        }
    }
    return NULL;
}

/* No outcome was told, so every probe of the round is to be had again. */
static bool has_all_probes(const struct pawl_lane_def *def)
{
    const uint64_t at_ns = now_ns() + SECOND;
    uint32_t count = 0;

    for (uint32_t i = 0; i < def->breaker_probes; i++) {
        const struct lane_grant grant = lane_admit(&lane, at_ns, 1);

        count += grant.count;
        /* The place without the probe, which stays taken. */
        lane_release(&lane, LANE_NO_ROUND, grant.count);
    }
    return count == def->breaker_probes;
}

static bool run_relay(const struct pawl_lane_def *def, uint64_t seed)
{
    pthread_t threads[SHARDS];

    pawl__lane_init(&lane, def, now_ns());
    if (def->breaker_failures != 0)
        lane_outcome(&lane, now_ns() - SECOND, false, LANE_NO_ROUND);
    store_release(&over, 0);
    store_release(&waits, 0);
    pthread_barrier_init(&start_line, NULL, SHARDS);
    for (uint64_t i = 0; i < SHARDS; i++) {
        if (pthread_create(&threads[i], NULL, runner, (void *)(uintptr_t)mix64(seed + i)) != 0)
            exit(77);
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start_line);
    /* relaxed: the threads have ended */
    printf("%-18s %8llu legs, %9llu waits\n", def->name, (unsigned long long)legs,
           (unsigned long long)load_relaxed(&waits));
    if (load_relaxed(&lost) == 0 && has_all_probes(def) &&
        (def->breaker_failures != 0 || is_whole(def, now_ns() + SECOND)))
        return true;
    printf("%s: %u waited for ever, or something is missing in the end\n", def->name,
           load_relaxed(&lost));
    return false;
}

int main(int argc, char **argv)
{
    const uint64_t scale = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    bool right = true;

    printf("stress_lane: seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < ARRAY_LEN(contests); i++)
        right &= run_contest(&contests[i], scale, mix64(seed) + i);
    legs = scale * LEGS;
    for (uint32_t i = 0; i < ARRAY_LEN(relays); i++)
        right &= run_relay(&relays[i], mix64(~seed) + 4 * i);
    printf("stress_lane: %s\n", right ? "all right" : "FAILED");
    return right ? 0 : 1;
}
