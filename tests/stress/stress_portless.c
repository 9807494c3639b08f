/*
 * stress_portless.c - threads that come, create a task, post to it in order, end it and go: thousands
 * of them, several at a time, on two runtimes at once, one of which is closed and opened again while
 * threads that have posted to it live on.
 *
 *     stress_portless [SCALE [SEED]]      SCALE multiplies the waves, 1 by default
 */
#define FIXTURE_WITHOUT_TESTS
#include "support/threads_fixture.h"

#include <sched.h>

#include "base/random.h"

#define SHARDS  2u
#define AT_ONCE 8u   /* threads of one wave */
#define WAVES   800u /* with one runtime that stays */
#define EPOCHS  10u  /* lives of the other one */
#define POSTS   60u  /* of a thread, at most */

struct guest {
    struct world *worlds[2]; /* stays, comes and goes */
    struct random random;
    uint64_t posted[2];
    uint64_t refused; /* answers that should not have been */
    pthread_t thread;
};

/* A task of its own in one runtime: created, told a sequence in batches, ended. */
static void visit(struct guest *guest, unsigned which)
{
    struct pawl_runtime *runtime = guest->worlds[which]->runtime;
    const struct pawl_task_spec spec = {
        .machine = random_below(&guest->random, 2) == 0 ? MACHINE_PROBE : MACHINE_WIDE,
        .shard = (uint32_t)random_below(&guest->random, SHARDS),
    };
    const uint64_t count = 1 + random_below(&guest->random, POSTS);
    struct pawl_event events[8], end;
    struct pawl_task task;
    uint64_t sequence = 0;

    if (pawl_task_create(runtime, &spec, &task) != 0) {
        guest->refused++;
        return;
    }
    while (sequence < count) {
        uint64_t wanted = 1 + random_below(&guest->random, 8);
        int posted;

        if (wanted > count - sequence)
            wanted = count - sequence;
        for (uint64_t i = 0; i < wanted; i++) {
            events[i] = event_to(task, EV_SEQ);
            events[i].arg[0] = sequence + i + 1;
        }
        posted = pawl_task_post(runtime, events, wanted);
        if (posted > 0) {
            sequence += (uint64_t)posted;
        } else if (posted == -EAGAIN) {
            sched_yield();
        } else {
            guest->refused++;
            return;
        }
    }
    guest->posted[which] += count;
    end = event_to(task, EV_END);
    if (!post_one_event(runtime, &end))
        guest->refused++;
}

static void *come_and_go(void *argument)
{
    struct guest *guest = argument;

    visit(guest, 0);
    if (guest->worlds[1] != NULL) {
        visit(guest, 1);
        visit(guest, 0);
    }
    return NULL;
}

struct totals {
    uint64_t posted[2];
    uint64_t refused;
    uint64_t threads;
};

static void run_wave(struct totals *totals, struct world *const worlds[2], uint64_t seed)
{
    struct guest guests[AT_ONCE];

    for (unsigned i = 0; i < AT_ONCE; i++) {
        guests[i] =
            (struct guest){.worlds = {worlds[0], worlds[1]}, .random = {seed + totals->threads++}};
        cr_assert(pthread_create(&guests[i].thread, NULL, come_and_go, &guests[i]) == 0);
    }
    for (unsigned i = 0; i < AT_ONCE; i++) {
        pthread_join(guests[i].thread, NULL);
        totals->posted[0] += guests[i].posted[0];
        totals->posted[1] += guests[i].posted[1];
        totals->refused += guests[i].refused;
    }
}

/* Stays through all lives of the second runtime and posts to each of them. */
struct resident {
    struct world *world; /* of this epoch; guarded by the two counters */
    struct guest guest;
    _Atomic uint64_t epoch; /* the last one opened */
    _Atomic uint64_t left;  /* the last one that the resident has done with */
};

static void *stay(void *argument)
{
    struct resident *resident = argument;

    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        wait_for(&resident->epoch, epoch);
        resident->guest.worlds[1] = resident->world;
        visit(&resident->guest, 1);
        visit(&resident->guest, 0);
        store_release(&resident->left, epoch);
    }
    return NULL;
}

/* What was posted has been handled, in order, and every task has ended. */
static bool is_settled(struct world *world, const char *name, uint64_t posted)
{
    struct probe *probe = &world->probe;
    struct pawl_counters counters;
    bool ok;

    if (pawl_drain(world->runtime, UINT64_MAX, NULL) != 0)
        return false;
    cr_assert(pawl_stop(world->runtime) == 0); /* and with it, the counters are those of the end */
    counters = counters_of(world);
    ok = load_acquire(&probe->hits) == posted && load_acquire(&probe->disorder) == 0 &&
         load_acquire(&probe->undelivered) == 0 && counters.tasks == 0;
    if (!ok)
        printf("%s: %llu events of %llu, %llu misordered, %llu undelivered, %llu tasks left\n",
               name, (unsigned long long)load_acquire(&probe->hits), (unsigned long long)posted,
               (unsigned long long)load_acquire(&probe->disorder),
               (unsigned long long)load_acquire(&probe->undelivered),
               (unsigned long long)counters.tasks);
    return ok;
}

int main(int argc, char **argv)
{
    const unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    struct world *staying = world_start(PAWL_DRIVE_THREADS, SHARDS);
    struct resident resident = {.guest = {.worlds = {staying}, .random = {~seed}}};
    struct totals totals = {0};
    pthread_t thread;
    bool ok = true;

    printf("stress_portless: seed %llu\n", (unsigned long long)seed);
    cr_assert(pthread_create(&thread, NULL, stay, &resident) == 0);
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        struct world *passing = world_start(PAWL_DRIVE_THREADS, SHARDS);
        const uint64_t before = totals.posted[1], resident_before = resident.guest.posted[1];

        resident.world = passing;
        store_release(&resident.epoch, epoch);
        for (unsigned wave = 0; wave < WAVES * scale / EPOCHS; wave++) {
            struct world *const both[2] = {staying, passing};
            struct world *const one[2] = {staying, NULL};

            run_wave(&totals, wave % 2 == 0 ? both : one, seed);
        }
        wait_for(&resident.left, epoch);
        ok = is_settled(passing, "passing",
                        totals.posted[1] - before + resident.guest.posted[1] - resident_before) &&
             ok;
        world_close(passing);
    }
    pthread_join(thread, NULL);
    ok = is_settled(staying, "staying", totals.posted[0] + resident.guest.posted[0]) && ok;
    ok = ok && totals.refused + resident.guest.refused == 0;
    world_close(staying);
    printf("%llu threads, %llu events, %llu refused: %s\n", (unsigned long long)totals.threads,
           (unsigned long long)(totals.posted[0] + totals.posted[1]),
           (unsigned long long)(totals.refused + resident.guest.refused), ok ? "passed" : "FAILED");
    return ok ? 0 : 1;
}
