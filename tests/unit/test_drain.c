/*
 * test_drain.c - draining: it ends when everything is handled, and otherwise names what is in the way.
 */
#include <errno.h>

#include "support/threads_fixture.h"

#define LONG_NS (600 * 1000 * MS)

static const enum pawl_drive drives[] = {PAWL_DRIVE_HOST, PAWL_DRIVE_THREADS};

Test(drain, a_quiet_runtime_drains_and_admits_again_on_resume)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 2);
        const struct pawl_task task = create_on(world, MACHINE_TIMED, 1);
        const struct pawl_event event = event_to(task, EV_HIT);
        struct pawl_drain_report report;
        struct pawl_port *port;
        struct pawl_task other;

        cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
        for (unsigned round = 0; round < 3; round++) {
            memset(&report, 0xff, sizeof(report));
            cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
            cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_NOTHING);
            cr_assert_eq(pawl_drain(world->runtime, 0, NULL), 0);
            cr_assert_eq(pawl_task_post(world->runtime, &event, 1), -EBUSY);
            cr_assert_eq(pawl_task_cancel(world->runtime, task), -EBUSY);
            cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){0}, &other),
                         -EBUSY);
            cr_assert_eq(pawl_port_post(port, &event, 1), -EBUSY);
            cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 0), -EBUSY);
            cr_assert_eq(pawl_port_cancel(port, task, 0), -EBUSY);
            /* Counters may be a turn old. */
            while (counters_of(world).timers != 1)
                nap_briefly();
            cr_assert_eq(pawl_resume(world->runtime), 0);
            cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        }
        cr_assert_eq(pawl_drain(world->runtime, LONG_NS, NULL), 0);
        cr_assert_eq(load_acquire(&world->probe.hits), 3u);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        cr_assert_eq(pawl_port_close(port, 0), 0);
        world_close(world);
    }
}

/* What is on its way is handled to the last event, however often it goes to and fro. */
Test(drain, chains_between_shards_are_followed_to_their_end)
{
    enum { CHAINS = 60, HOPS = 50 };

    for (unsigned d = 0; d < 2; d++)
        for (unsigned round = 0; round < 10; round++) {
            struct world *world = world_start(drives[d], 3);

            for (unsigned i = 0; i < CHAINS; i++) {
                struct pawl_event event =
                    event_to(create_on(world, MACHINE_PROBE, i % 3), EV_CHAIN);

                event.arg[0] = create_on(world, MACHINE_PROBE, (i + i / 3) % 3).id;
                event.arg[1] = HOPS - 1;
                cr_assert(post_one_event(world->runtime, &event));
            }
            cr_assert_eq(pawl_drain(world->runtime, LONG_NS, NULL), 0);
            cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)CHAINS * HOPS);
            world_close(world);
        }
}

struct poster {
    struct world *world;
    struct pawl_task task;
    uint64_t accepted;
    pthread_t thread;
};

static void *post_until_refused(void *argument)
{
    struct poster *poster = argument;
    const struct pawl_event event = event_to(poster->task, EV_HIT);
    int posted;

    while ((posted = pawl_task_post(poster->world->runtime, &event, 1)) != -EBUSY)
        poster->accepted += posted == 1;
    return NULL;
}

/* When a drain has returned, whatever had been accepted has been handled. */
Test(drain, nothing_accepted_is_left_when_a_drain_has_returned)
{
    enum { POSTERS = 3, ROUNDS = 100 };
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    struct poster posters[POSTERS];
    uint64_t accepted = 0;

    for (unsigned i = 0; i < POSTERS; i++)
        posters[i] = (struct poster){.world = world, .task = create_on(world, MACHINE_PROBE, 0)};
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t hits;

        for (unsigned i = 0; i < POSTERS; i++)
            cr_assert_eq(pthread_create(&posters[i].thread, NULL, post_until_refused, &posters[i]),
                         0);
        wait_for(&world->probe.hits, accepted + 500);
        cr_assert_eq(pawl_drain(world->runtime, LONG_NS, NULL), 0);
        hits = load_acquire(&world->probe.hits);
        accepted = 0;
        for (unsigned i = 0; i < POSTERS; i++) {
            pthread_join(posters[i].thread, NULL);
            accepted += posters[i].accepted;
        }
        cr_assert_eq(hits, accepted, "round %u: %llu handled of %llu", round,
                     (unsigned long long)hits, (unsigned long long)accepted);
        cr_assert_eq(pawl_resume(world->runtime), 0);
    }
    world_close(world);
}

Test(drain, timers_stay_armed_and_fire_later)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_ARM);

    event.arg[0] = 10 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    cr_assert_eq(pawl_drain(world->runtime, 0, NULL), 0);
    cr_assert_eq(load_acquire(&world->probe.rings), 0u);
    cr_assert_eq(counters_of(world).timers, 1u);
    cr_assert_eq(pawl_resume(world->runtime), 0);
    advance(world, 10 * MS);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.rings), 1u);
    world_close(world);
}

/* ---- What is in the way ---- */

Test(drain, deferred_events_are_named_by_their_task)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 2);
        struct pawl_drain_report report;
        struct pawl_task task;

        for (unsigned i = 0; i < 50; i++)
            create_on(world, MACHINE_PROBE, 1);
        task = create_on(world, MACHINE_LAX, 1);
        for (unsigned i = 0; i < 10; i++)
            create_on(world, MACHINE_PROBE, 1);
        post_to(world, task, EV_HOLD);
        for (unsigned i = 0; i < 3; i++)
            post_to(world, task, EV_HIT);
        cr_assert_eq(
            pawl_drain(world->runtime, drives[d] == PAWL_DRIVE_HOST ? LONG_NS : 50 * MS, &report),
            -ETIMEDOUT);
        cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_DEFERRED);
        cr_assert_eq(report.shard, 1u);
        cr_assert_eq(report.count, 3u);
        cr_assert_eq(report.task.id, task.id);
        cr_assert_eq(report.machine, (unsigned)MACHINE_LAX);
        cr_assert_eq(report.state, (unsigned)ST_HELD);
        cr_assert(strstr(report.text, "'lax'") != NULL && strstr(report.text, "'held'") != NULL,
                  "%s", report.text);
        cr_assert_eq(pawl_drain(world->runtime, 0, NULL), -ETIMEDOUT);
        /* Resumed, recalled, drained. */
        cr_assert_eq(pawl_resume(world->runtime), 0);
        post_to(world, task, EV_GO);
        cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
        cr_assert_eq(load_acquire(&world->probe.hits), 3u);
        world_close(world);
    }
}

Test(drain, events_that_never_end_are_counted)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 2);
        struct pawl_drain_report report;

        for (unsigned i = 0; i < 5; i++) {
            struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 1), EV_CHAIN);

            event.arg[0] = create_on(world, MACHINE_PROBE, 1).id;
            event.arg[1] = UINT64_MAX;
            cr_assert(post_one_event(world->runtime, &event));
        }
        wait_for(&world->probe.hits, drives[d] == PAWL_DRIVE_HOST ? 0 : 100);
        /* A shard that loses its core in a step for long is told of as that: then it is asked again. */
        for (unsigned tries = 0; tries < 50; tries++) {
            cr_assert_eq(pawl_drain(world->runtime, 20 * MS, &report), -ETIMEDOUT);
            if (report.blocker != PAWL_BLOCKED_BY_STEP)
                break;
        }
        cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_EVENTS);
        cr_assert(report.count >= 1, "%s", report.text);
        cr_assert(report.count < 10000000, "%s", report.text);
        cr_assert(strlen(report.text) > 10);
        world_close(world);
    }
}

Test(drain, events_that_no_turn_has_taken_are_the_ports)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 1);
    const struct pawl_port_options options = {.capacity = 8192};
    struct pawl_drain_report report;
    struct pawl_port *port;

    cr_assert_eq(pawl_port_open(world->runtime, &options, &port), 0);
    for (unsigned i = 0; i < 8000; i++)
        cr_assert_eq(pawl_port_post(port, &(struct pawl_event){.task = task, .code = EV_HIT}, 1),
                     1);
    /* No time at all: one round of turns, which does not take them all. */
    cr_assert_eq(pawl_drain(world->runtime, 0, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_PORT);
    cr_assert_eq(report.shard, 1u);
    cr_assert_eq(report.count, 8000 - load_acquire(&world->probe.hits));
    cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
    cr_assert_eq(load_acquire(&world->probe.hits), 8000u);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    world_close(world);
}

Test(drain, a_pause_is_told_and_an_empty_paused_runtime_is_drained)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 1);
        const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
        struct pawl_drain_report report;

        cr_assert_eq(pawl_pause(world->runtime), 0);
        cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
        cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_NOTHING);
        cr_assert_eq(pawl_resume(world->runtime), 0);
        cr_assert_eq(pawl_pause(world->runtime), 0);
        post_to(world, task, EV_HIT);
        cr_assert_eq(pawl_drain(world->runtime, 5 * MS, &report), -ETIMEDOUT);
        cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_PAUSE);
        cr_assert_eq(report.count, 1u);
        cr_assert(strstr(report.text, "pause") != NULL, "'%s' does not speak of the pause",
                  report.text);
        cr_assert_eq(load_acquire(&world->probe.hits), 0u);
        cr_assert_eq(pawl_resume(world->runtime), 0);
        cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
        cr_assert_eq(load_acquire(&world->probe.hits), 1u);
        world_close(world);
    }
}

/* A step that sleeps is named, whether the stall watch has noticed it yet or not. */
static void step_is_named(uint64_t stall_ns)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 2);
    struct pawl_drain_report report;
    struct pawl_task task;

    world->options.stall_ns = stall_ns;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    task = create_on(world, MACHINE_WIDE, 1);
    post_to(world, task, EV_SLOW);
    wait_for(&world->probe.inside, 1);
    if (stall_ns < 100 * MS)
        wait_for(&world->probe.stalls, 1);
    cr_assert_eq(pawl_drain(world->runtime, 20 * MS, &report), -ETIMEDOUT);
    store_release(&world->probe.gate, 1);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_STEP, "%s", report.text);
    cr_assert_eq(report.shard, 1u);
    cr_assert_eq(report.task.id, task.id);
    cr_assert_eq(report.machine, (unsigned)MACHINE_WIDE);
    cr_assert_eq(report.state, (unsigned)ST_WORK);
    cr_assert_eq(report.event, (unsigned)EV_SLOW);
    cr_assert(strstr(report.text, "'wide'") != NULL && strstr(report.text, "'work'") != NULL &&
                  strstr(report.text, "'slow'") != NULL,
              "%s", report.text);
    cr_assert_eq(pawl_drain(world->runtime, LONG_NS, &report), 0);
    cr_assert_eq(load_acquire(&world->probe.slow_done), 1u);
    world_close(world);
}

Test(drain, a_stalled_step_is_named)
{
    step_is_named(5 * MS);
}

Test(drain, a_step_is_named_before_it_counts_as_stalled)
{
    step_is_named(LONG_NS);
}
