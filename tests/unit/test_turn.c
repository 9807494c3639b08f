/*
 * test_turn.c - the turn: control first, fair shares, bounded portions; and the sleep of an idle
 * shard, out of which every kind of work wakes it.
 */
#include <errno.h>

#include "base/limits.h"
#include "support/threads_fixture.h"

#include "shard/runtime.h"

/* Posts count notes with tags from first on. */
static void post_notes(struct pawl_port *port, struct pawl_task task, uint32_t first,
                       uint32_t count)
{
    struct pawl_event event = event_to(task, EV_NOTE);

    for (event.tag = first; event.tag < first + count; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
}

/* ---- Control ---- */

Test(turn, a_control_event_overtakes_a_backlog)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 8192, 0);
    struct pawl_event event = event_to(task, EV_NOTE);

    post_notes(port, task, 0, 8000);
    cr_assert_eq(pawl_turn(world->runtime, 0), (int)QUOTA);
    event.flags = PAWL_EVENT_CONTROL;
    for (event.tag = 100000; event.tag < 100003; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    pawl_turn(world->runtime, 0);
    /* First in their turn, and in order among themselves. */
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(world->probe.notes[QUOTA + i], 100000 + i);
    settle(world);
    cr_assert_eq(world->probe.notes_count, 8003u);
    for (unsigned i = 0, next = 0; i < 8003; i++)
        if (world->probe.notes[i] < 100000)
            cr_assert_eq(world->probe.notes[i], next++);
    close_port(world, port);
    world_close(world);
}

Test(turn, a_cancel_overtakes_the_backlog_of_its_task)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 4096, 0);

    post_notes(port, task, 0, 4000);
    cr_assert_eq(pawl_port_cancel(port, task, 1), 0);
    settle(world);
    cr_assert_eq(world->probe.notes_count, 0u);
    cr_assert_eq(load_acquire(&world->probe.undelivered_stale), 4000u);
    close_port(world, port);
    world_close(world);
}

/* ---- Shares ---- */

Test(turn, full_ports_get_equal_shares_of_every_turn)
{
    enum { PORTS = 8, EACH = 4 * QUOTA };
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *ports[PORTS];

    for (uint32_t p = 0; p < PORTS; p++) {
        ports[p] = port_of(world, EACH, 0);
        post_notes(ports[p], task, p << 16, EACH);
    }
    for (unsigned turn = 1; turn <= EACH / QUOTA; turn++) {
        unsigned from[PORTS] = {0};

        cr_assert_eq(pawl_turn(world->runtime, 0), (int)(PORTS * QUOTA));
        for (uint32_t i = 0; i < world->probe.notes_count; i++)
            from[world->probe.notes[i] >> 16]++;
        for (unsigned p = 0; p < PORTS; p++)
            cr_assert_eq(from[p], QUOTA, "port %u in turn %u", p, turn);
        world->probe.notes_count = 0;
    }
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    for (unsigned p = 0; p < PORTS; p++)
        close_port(world, ports[p]);
    world_close(world);
}

/* The one that is first is not always the same one. */
Test(turn, ports_take_turns_at_being_first)
{
    enum { PORTS = 4 };
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *ports[PORTS];
    unsigned first[PORTS] = {0};

    for (unsigned p = 0; p < PORTS; p++)
        ports[p] = port_of(world, 64, 0);
    for (unsigned turn = 0; turn < 8 * PORTS; turn++) {
        for (uint32_t p = 0; p < PORTS; p++)
            post_notes(ports[p], task, p, 1);
        world->probe.notes_count = 0;
        cr_assert_eq(pawl_turn(world->runtime, 0), PORTS);
        first[world->probe.notes[0]]++;
    }
    for (unsigned p = 0; p < PORTS; p++)
        cr_assert(first[p] > 0, "port %u was never the first", p);
    for (unsigned p = 0; p < PORTS; p++)
        close_port(world, ports[p]);
    world_close(world);
}

/* Tasks that keep each other busy do not keep the outside waiting. */
Test(turn, inside_traffic_does_not_starve_ports)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 4096, 0);

    for (unsigned i = 0; i < 3000; i++) {
        struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_CHAIN);

        event.arg[0] = event.task.id;
        event.arg[1] = UINT64_MAX;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    }
    for (unsigned i = 0; i < 5; i++)
        pawl_turn(world->runtime, 0);
    cr_assert(counters_of(world).inflight >= 2900);
    for (uint32_t i = 0; i < 10; i++) {
        post_notes(port, task, i, 1);
        cr_assert(pawl_turn(world->runtime, 0) <= (int)(2 * QUOTA));
        cr_assert_eq(world->probe.notes_count, i + 1);
    }
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    world_close(world);
}

/* ---- Sleep ---- */

/* A runtime that sleeps as soon as it has nothing to do, and a way to see that it does. */
static struct world *sleepy_world(unsigned shards)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, shards);

    world->options.spin_ns = 1;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    return world;
}

/* Until no shard makes turns any more. The look itself is no work for them. */
static void wait_asleep(const struct world *world)
{
    uint64_t before, after = UINT64_MAX;

    do {
        before = after;
        for (unsigned i = 0; i < 10; i++)
            nap_briefly();
        after = counters_of(world).turns;
    } while (after != before);
}

Test(turn, every_source_wakes_a_sleeping_shard)
{
    struct world *world = sleepy_world(2);
    const struct pawl_task here = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task there = create_on(world, MACHINE_PROBE, 1);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_event event;
    struct pawl_completion completion;
    struct pawl_task made;

    for (uint64_t round = 1; round <= 5; round++) {
        const uint64_t hits = load_acquire(&world->probe.hits);

        wait_asleep(world);
        event = event_to(there, EV_HIT);
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        wait_for(&world->probe.hits, hits + 1);
        wait_asleep(world);
        post_to(world, there, EV_HIT);
        wait_for(&world->probe.hits, hits + 2);
        wait_asleep(world);
        event.flags = PAWL_EVENT_CONTROL;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        wait_for(&world->probe.hits, hits + 3);
        wait_asleep(world);
        /* From shard to shard: 0 wakes 1 and the answer wakes 0. */
        event = event_to(here, EV_CHAIN);
        event.arg[0] = there.id;
        event.arg[1] = 2;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        wait_for(&world->probe.hits, hits + 6);
        wait_asleep(world);
        event = event_to(there, EV_ARM);
        event.arg[0] = 3 * MS;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        wait_for(&world->probe.rings, round);
        wait_asleep(world);
        cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){.shard = 1}, &made),
                     0);
        wait_asleep(world);
        cr_assert_eq(pawl_port_cancel(port, made, 0), 0);
        cr_assert_eq(pawl_port_wait(port, UINT64_MAX), 0);
        cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
        wait_asleep(world);
        cr_assert_eq(pawl_pause(world->runtime), 0);
        cr_assert_eq(pawl_resume(world->runtime), 0);
    }
    wait_asleep(world);
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    wait_asleep(world);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    world_close(world);
}

/* An idle runtime sleeps until its next timer, be it an hour away, however many there are. */
Test(turn, an_idle_runtime_with_armed_timers_makes_hardly_any_turns)
{
    struct world *world = sleepy_world(2);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_counters before, after;
    unsigned created = 0;

    while (created < 20000) {
        struct pawl_completion completions[256];

        while (created < 20000 &&
               pawl_port_create(
                   port, &(struct pawl_task_spec){.machine = MACHINE_TIMED, .shard = created % 2},
                   0) == 0)
            created++;
        pawl_port_wait(port, UINT64_MAX);
        pawl_port_reap(port, completions, 256);
    }
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    cr_assert_eq(counters_of(world).timers, 20000u);
    wait_asleep(world);
    before = counters_of(world);
    for (unsigned i = 0; i < 1000; i++)
        nap_briefly();
    after = counters_of(world);
    cr_assert(after.turns - before.turns < 20, "%llu turns while idle",
              (unsigned long long)(after.turns - before.turns));
    world_close(world);
}

/* Memory of a peak goes back, also when the shards go to sleep right after it. */
Test(turn, memory_goes_back_after_a_peak)
{
    enum { TASKS = 300000, STRIDE = 1021 };
    struct world *world = sleepy_world(1);
    struct pawl_port *port = port_of(world, 1u << 14, 0);
    struct pawl_task *tasks = calloc(TASKS, sizeof(*tasks));
    struct pawl_completion completions[512];
    uint64_t base, peak, rss, committed;
    unsigned created = 0, got = 0;

    base = statm_bytes(true);
    while (got < TASKS) {
        int reaped;

        while (created < TASKS &&
               pawl_port_create(port, &(struct pawl_task_spec){.machine = MACHINE_WIDE}, created) ==
                   0)
            created++;
        pawl_port_wait(port, UINT64_MAX);
        reaped = pawl_port_reap(port, completions, 512);
        for (int i = 0; i < reaped; i++) {
            cr_assert_eq(completions[i].status, 0);
            tasks[completions[i].tag] = completions[i].task;
        }
        got += (unsigned)reaped;
    }
    peak = statm_bytes(true);
    committed = counters_of(world).memory_bytes;
    cr_assert(committed > (uint64_t)TASKS * 200);
    cr_assert(peak > base + (uint64_t)TASKS * 200);
    /* In strides, so that every granule keeps a task until almost the end. */
    for (unsigned first = 0; first < STRIDE; first++)
        for (unsigned i = first; i < TASKS; i += STRIDE) {
            const struct pawl_event event = event_to(tasks[i], EV_END);

            while (pawl_port_post(port, &event, 1) != 1)
                nap_briefly();
        }
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    while (counters_of(world).tasks > 0)
        nap_briefly();
    wait_asleep(world);
    rss = statm_bytes(true);
    cr_assert(counters_of(world).memory_bytes < committed / 4, "%llu MiB of %llu are kept",
              (unsigned long long)counters_of(world).memory_bytes >> 20,
              (unsigned long long)committed >> 20);
    cr_assert(!SIZES_TELL || rss < base + (peak - base) / 4,
              "%llu MiB at the peak, %llu MiB after it", (unsigned long long)((peak - base) >> 20),
              (unsigned long long)((rss - base) >> 20));
    free(tasks);
    world_close(world);
}

/* After a peak of queued events the allocator is asked for its pages, once, before the shard sleeps. */
Test(turn, what_queues_needed_at_their_peak_is_given_back_before_sleep)
{
    enum { FANS = 200, FAN = 250 };
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct shard *shard = world->runtime->shards[0];
    const struct pawl_task fan = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task target = create_on(world, MACHINE_PROBE, 0);

    for (unsigned i = 0; i < FANS; i++) {
        struct pawl_event event = event_to(fan, EV_FAN);

        event.arg[0] = target.id;
        event.arg[1] = FAN;
        cr_assert(post_one_event(world->runtime, &event));
    }
    pawl_turn(world->runtime, 0);
    cr_assert(shard->arena_peak >= (uint64_t)FANS * FAN * sizeof(struct pawl_event));
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)FANS * FAN);
    cr_assert_eq(pawl_shard_wait_prepare(world->runtime, 0), 1);
    cr_assert_eq(shard->arena_peak, arena_bytes(&shard->arena));
    cr_assert(shard->arena_peak < UINT64_C(1) << 20);
    world_close(world);
}
