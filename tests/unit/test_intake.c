/*
 * test_intake.c - the shards' round over the ports: bounded, fair, and control first.
 */
#include "support/threads_fixture.h"

#include "base/limits.h"
#include "shard/intake.h"
#include "shard/runtime.h"

enum { PORTS = 4, FULL = 4096 };

static struct pawl_port *full_port(struct world *world, struct pawl_task task, uint16_t code)
{
    static struct pawl_event events[FULL];
    struct pawl_port *port;

    for (unsigned i = 0; i < FULL; i++)
        events[i] = event_to(task, code);
    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    cr_assert_eq(pawl_port_post(port, events, FULL), FULL);
    return port;
}

static uint64_t hits_of(const struct world *world, struct pawl_task task)
{
    struct probe_context context = {0};
    struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};

    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    return context.count;
}

Test(intake, a_turn_takes_a_quota_from_each_port)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_port *ports[PORTS];
    struct pawl_task tasks[PORTS];

    for (unsigned i = 0; i < PORTS; i++) {
        tasks[i] = create_on(world, MACHINE_PROBE, 0);
        ports[i] = full_port(world, tasks[i], EV_HIT);
    }
    for (unsigned turns = 1; turns <= FULL / QUOTA; turns++) {
        cr_assert_eq(pawl_turn(world->runtime, 0), (int)(PORTS * QUOTA));
        for (unsigned i = 0; i < PORTS; i++)
            cr_assert_eq(hits_of(world, tasks[i]), (uint64_t)turns * QUOTA);
    }
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    for (unsigned i = 0; i < PORTS; i++)
        while (pawl_port_close(ports[i], 0) == -EAGAIN)
            pawl_turn(world->runtime, 0);
    world_close(world);
}

Test(intake, every_turn_begins_with_another_port)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_port *ports[PORTS];
    bool first[PORTS] = {false};
    unsigned distinct = 0;

    for (unsigned i = 0; i < PORTS; i++)
        cr_assert_eq(pawl_port_open(world->runtime, NULL, &ports[i]), 0);
    for (unsigned turn = 0; turn < 2 * PORTS; turn++) {
        const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);

        settle(world);
        world->probe.notes_count = 0;
        for (uint32_t i = 0; i < PORTS; i++) {
            struct pawl_event note = event_to(task, EV_NOTE);

            note.tag = i;
            cr_assert_eq(pawl_port_post(ports[i], &note, 1), 1);
        }
        cr_assert_eq(pawl_turn(world->runtime, 0), PORTS);
        cr_assert_eq(world->probe.notes_count, (uint32_t)PORTS);
        first[world->probe.notes[0]] = true;
    }
    for (unsigned i = 0; i < PORTS; i++)
        distinct += first[i];
    cr_assert(distinct > 1, "port %u always comes first", world->probe.notes[0]);
    for (unsigned i = 0; i < PORTS; i++)
        while (pawl_port_close(ports[i], 0) == -EAGAIN)
            pawl_turn(world->runtime, 0);
    world_close(world);
}

Test(intake, control_events_of_all_ports_come_before_any_other)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *ports[2] = {full_port(world, task, EV_HIT), full_port(world, task, EV_HIT)};
    struct pawl_event note = event_to(task, EV_ECHO);
    struct pawl_completion done;

    note.flags = PAWL_EVENT_CONTROL | PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(ports[1], &note, 1), 1);
    cr_assert_eq(pawl_turn(world->runtime, 0), (int)(2 * QUOTA + 1));
    cr_assert_eq(pawl_port_reap(ports[1], &done, 1), 1);
    /* The creation was version 1: nothing came between. */
    cr_assert_eq(done.version, 2u);
    settle(world);
    for (unsigned i = 0; i < 2; i++)
        while (pawl_port_close(ports[i], 0) == -EAGAIN)
            pawl_turn(world->runtime, 0);
    world_close(world);
}
