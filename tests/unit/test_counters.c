/*
 * test_counters.c - the counters add up.
 *
 * Without raised events, every event that is taken has one outcome, and an event that is recalled one
 * more: events + recalled = transitions + ignored + refused + aborted + stale + deferred + creations
 * that failed before their first step. (A creation and a cancel that succeed are transitions.)
 */
#include <errno.h>

#include "base/random.h"
#include "support/threads_fixture.h"

static uint64_t outcomes(const struct pawl_counters *counters)
{
    return counters->transitions + counters->ignored + counters->refused + counters->aborted +
           counters->stale + counters->deferred;
}

static void expect_balance(const struct pawl_counters *counters, uint64_t failed_creations)
{
    cr_assert_eq(counters->events + counters->recalled, outcomes(counters) + failed_creations,
                 "%llu events, %llu recalled, %llu outcomes, %llu failed creations",
                 (unsigned long long)counters->events, (unsigned long long)counters->recalled,
                 (unsigned long long)outcomes(counters), (unsigned long long)failed_creations);
    cr_assert_eq(counters->tasks, counters->created - counters->ended);
}

Test(counters, every_outcome_has_its_counter)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    struct pawl_counters c;
    struct pawl_completion completions[4];
    struct pawl_task probe, lax;
    struct pawl_event event;
    struct pawl_port *port;

    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    cr_assert_eq(
        pawl_port_create(port, &(struct pawl_task_spec){.machine = MACHINE_PROBE, .shard = 0}, 0),
        0);
    cr_assert_eq(
        pawl_port_create(port, &(struct pawl_task_spec){.machine = MACHINE_LAX, .shard = 1}, 1), 0);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, completions, 4), 2);
    probe = completions[completions[0].tag == 0 ? 0 : 1].task;
    lax = completions[completions[0].tag == 0 ? 1 : 0].task;
    c = counters_of(world);
    cr_assert_eq(c.events, 2u);
    cr_assert_eq(c.created, 2u);
    cr_assert_eq(c.tasks, 2u);
    cr_assert_eq(c.transitions, 2u);
    post_to(world, probe, EV_ODD);
    post_to(world, lax, EV_ODD);
    post_to(world, lax, PROBE_EVENTS);
    post_to(world, probe, EV_HOLD);
    for (unsigned i = 0; i < 5; i++)
        post_to(world, probe, EV_HIT);
    settle(world);
    c = counters_of(world);
    cr_assert_eq(c.refused, 1u);
    cr_assert_eq(c.ignored, 1u);
    cr_assert_eq(c.aborted, 1u);
    cr_assert_eq(c.deferred, 5u);
    cr_assert_eq(c.recalled, 0u);
    cr_assert_eq(c.undelivered, 2u);
    expect_balance(&c, 0);
    post_to(world, probe, EV_GO);
    event = event_to(probe, EV_ARM);
    event.arg[0] = 5 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    settle(world);
    c = counters_of(world);
    cr_assert_eq(c.recalled, 5u);
    cr_assert_eq(c.timers, 1u);
    expect_balance(&c, 0);
    advance(world, 10 * MS);
    settle(world);
    event = event_to(probe, EV_FAN);
    event.arg[0] = lax.id;
    event.arg[1] = 7;
    cr_assert(post_one_event(world->runtime, &event));
    event.arg[0] = probe.id;
    cr_assert(post_one_event(world->runtime, &event));
    settle(world);
    c = counters_of(world);
    cr_assert_eq(c.timers_fired, 1u);
    cr_assert_eq(c.timers, 0u);
    cr_assert_eq(c.posted, 14u);
    cr_assert_eq(c.sent, 7u);
    cr_assert_eq(c.inflight, 0u);
    expect_balance(&c, 0);
    post_to(world, probe, EV_END);
    post_to(world, probe, EV_HIT);
    cr_assert_eq(pawl_task_cancel(world->runtime, lax), 0);
    settle(world);
    c = counters_of(world);
    cr_assert_eq(c.ended, 2u);
    cr_assert_eq(c.tasks, 0u);
    cr_assert_eq(c.stale, 1u);
    expect_balance(&c, 0);
    cr_assert(c.turns > 0 && c.memory_bytes > 0);
    while (pawl_port_close(port, 0) != 0)
        settle(world);
    world_close(world);
}

Test(counters, the_sum_is_that_of_the_shards)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);
    struct pawl_counters sum, one;
    uint64_t events = 0, tasks = 0, turns = 0;

    for (unsigned i = 0; i < 30; i++)
        post_to(world, create_on(world, MACHINE_PROBE, i % 3), EV_HIT);
    settle(world);
    pawl_runtime_counters(world->runtime, &sum);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(pawl_shard_counters(world->runtime, i, &one), 0);
        cr_assert_eq(one.tasks, 10u);
        events += one.events;
        tasks += one.tasks;
        turns += one.turns;
    }
    cr_assert_eq(sum.events, events);
    cr_assert_eq(sum.tasks, tasks);
    cr_assert_eq(sum.turns, turns);
    cr_assert_eq(pawl_shard_counters(world->runtime, 3, &one), -ENOENT);
    cr_assert(strlen(pawl_runtime_allocator(world->runtime)) > 0);
    world_close(world);
}

/* Anything, in any order, to tasks alive and dead: the balance holds all the while. */
Test(counters, they_balance_under_a_random_load)
{
    enum { TASKS = 40, EVENTS = 30000 };
    static const uint16_t codes[] = {EV_HIT, EV_HIT, EV_HIT,  EV_ODD, EV_HOLD, EV_GO,
                                     EV_GO,  EV_FAN, EV_ECHO, EV_ARM, EV_END,  PROBE_EVENTS};
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);
    struct random random = {20260101};
    struct pawl_task tasks[TASKS] = {{0}};
    uint64_t direct = 0, existing = 0, canceled = 0;
    struct pawl_counters c;

    for (unsigned i = 0; i < EVENTS; i++) {
        const unsigned at = (unsigned)random_below(&random, TASKS);
        struct pawl_event event;

        if (tasks[at].id == 0 || random_below(&random, 20) == 0) {
            /* Keyed, so that some exist already: those are no steps and no events. */
            const struct pawl_task_spec spec = {.machine = at % MACHINES,
                                                .shard = PAWL_ANY_SHARD,
                                                .key = at % 3 == 0 ? &at : NULL,
                                                .key_size = at % 3 == 0 ? sizeof(at) : 0};
            const int error = pawl_task_create(world->runtime, &spec, &tasks[at]);

            cr_assert(error == 0 || error == -EEXIST);
            direct += error == 0;
            existing += error == -EEXIST;
            continue;
        }
        if (random_below(&random, 100) == 0) {
            if (pawl_task_cancel(world->runtime, tasks[at]) == 0)
                canceled++;
            continue;
        }
        event = event_to(tasks[at], codes[random_below(&random, sizeof(codes) / sizeof(*codes))]);
        event.arg[0] = event.code == EV_FAN   ? tasks[random_below(&random, TASKS)].id
                       : event.code == EV_ARM ? random_below(&random, 20) * MS
                                              : i;
        event.arg[1] = 3;
        if (random_below(&random, 10) == 0)
            event.flags = PAWL_EVENT_CONTROL;
        while (pawl_task_post(world->runtime, &event, 1) != 1)
            settle(world);
        if (random_below(&random, 50) == 0) {
            advance(world, random_below(&random, 10) * MS);
            settle(world);
            c = counters_of(world);
            /* Creations carried out directly are transitions without an event. */
            c.transitions -= direct;
            expect_balance(&c, 0);
        }
    }
    cr_assert(existing > 0 && canceled > 0);
    cr_assert(c.stale > 0 && c.aborted > 0 && c.recalled > 0 && c.timers_fired > 0);
    world_close(world);
}

/* Read at any moment while shards work, no counter goes back. */
Test(counters, none_goes_back)
{
    enum { EVENTS = 20000 };
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    struct pawl_counters last = {0};

    for (unsigned i = 0; i < EVENTS; i++) {
        const struct pawl_counters now = counters_of(world);

        cr_assert(now.turns >= last.turns && now.events >= last.events &&
                  now.transitions >= last.transitions && now.parks >= last.parks);
        cr_assert(now.events <= i + 2);
        last = now;
        post_to(world, tasks[i % 2], EV_HIT);
    }
    wait_for(&world->probe.hits, EVENTS);
    while (counters_of(world).events < EVENTS + 2)
        nap_briefly();
    cr_assert_eq(counters_of(world).events, (uint64_t)EVENTS + 2);
    world_close(world);
}
