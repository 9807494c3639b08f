/*
 * test_port.c - ports: what is accepted and what is refused, completions and their credit, creating
 * and cancelling, waiting and closing. Where order matters the test turns the shards itself.
 */
#include <errno.h>

#include "base/limits.h"
#include "support/threads_fixture.h"

/* Takes the one completion that is there. */
static struct pawl_completion reap_one(struct pawl_port *port)
{
    struct pawl_completion completions[2];

    memset(completions, 0xff, sizeof(completions));
    cr_assert_eq(pawl_port_reap(port, completions, 2), 1);
    return completions[0];
}

/* Posts one event that asks for a completion, turns, and takes it. */
static struct pawl_completion ask(struct world *world, struct pawl_port *port,
                                  struct pawl_event event)
{
    event.flags |= PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    settle(world);
    return reap_one(port);
}

/* ---- Opening ---- */

Test(port, sizes_that_make_no_ring_are_refused)
{
    static const uint32_t wrong[] = {1,        2,         32, 63, 65, 100, 4095, (1u << 20) + 1,
                                     1u << 21, UINT32_MAX};
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_port *port;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(pawl_port_open(world->runtime,
                                    &(struct pawl_port_options){.capacity = wrong[i]}, &port),
                     -EINVAL, "capacity %u", wrong[i]);
        cr_assert_eq(pawl_port_open(world->runtime,
                                    &(struct pawl_port_options){.completions = wrong[i]}, &port),
                     -EINVAL, "completions %u", wrong[i]);
    }
    close_port(world, port_of(world, 64, 64));
    close_port(world, port_of(world, 1u << 20, 64));
    world_close(world);
}

Test(port, the_limit_of_ports_is_told_and_entries_are_used_again)
{
    static struct pawl_port *ports[PORTS_MAX];
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_event event = event_to(task, EV_HIT);
    struct pawl_port *more;

    for (unsigned i = 0; i < PORTS_MAX; i++)
        ports[i] = port_of(world, 64, 64);
    cr_assert_eq(pawl_port_open(world->runtime, NULL, &more), -ENOSPC);
    cr_assert_eq(pawl_task_post(world->runtime, &event, 1), -ENOSPC);
    for (unsigned i = 0; i < PORTS_MAX; i++)
        cr_assert_eq(pawl_port_post(ports[i], &event, 1), 1);
    cr_assert_eq(settle(world), PORTS_MAX);
    for (unsigned i = 0; i < PORTS_MAX; i++)
        cr_assert_eq(pawl_port_close(ports[i], 0), -EAGAIN);
    settle(world);
    for (unsigned i = 0; i < PORTS_MAX; i++)
        cr_assert_eq(pawl_port_close(ports[i], 0), 0);
    more = port_of(world, 0, 0);
    cr_assert_eq(pawl_port_post(more, &event, 1), 1);
    cr_assert_eq(settle(world), 1u);
    close_port(world, more);
    world_close(world);
}

/* ---- Posting ---- */

Test(port, a_full_ring_takes_a_prefix_and_then_nothing)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 64, 0);
    struct pawl_event events[100];

    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 100; i++) {
            events[i] = event_to(task, EV_NOTE);
            events[i].tag = round * 100 + i;
        }
        cr_assert_eq(pawl_port_post(port, events, 0), 0);
        cr_assert_eq(pawl_port_post(port, events, 10), 10);
        cr_assert_eq(pawl_port_post(port, events + 10, 90), 54);
        cr_assert_eq(pawl_port_post(port, events + 64, 36), -EAGAIN);
        cr_assert_eq(settle(world), 64u);
        cr_assert_eq(pawl_port_post(port, events + 64, 36), 36);
        cr_assert_eq(settle(world), 36u);
    }
    /* All of them, in the order posted, and what was refused not twice. */
    cr_assert_eq(world->probe.notes_count, 500u);
    for (unsigned i = 0; i < 500; i++)
        cr_assert_eq(world->probe.notes[i], i);
    close_port(world, port);
    world_close(world);
}

Test(port, a_full_ring_to_one_shard_does_not_hide_what_went_to_others)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    struct pawl_port *port = port_of(world, 64, 0);
    struct pawl_event events[130];

    /* Shard 1 gets one, shard 0 too many, shard 1 another that must not overtake. */
    for (unsigned i = 0; i < 130; i++)
        events[i] = event_to(tasks[i == 0 || i == 129], EV_HIT);
    cr_assert_eq(pawl_port_post(port, events, 130), 65);
    cr_assert_eq(pawl_turn(world->runtime, 1), 1);
    cr_assert_eq(pawl_turn(world->runtime, 0), 64);
    cr_assert_eq(settle(world), 0u);
    close_port(world, port);
    world_close(world);
}

Test(port, control_events_have_room_of_their_own)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_HIT);
    struct pawl_port *port = port_of(world, 64, 0);

    for (unsigned i = 0; i < 64; i++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_port_post(port, &event, 1), -EAGAIN);
    event.flags = PAWL_EVENT_CONTROL;
    for (unsigned i = 0; i < CONTROL_RING; i++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_port_post(port, &event, 1), -EAGAIN);
    cr_assert_eq(settle(world), 64u + CONTROL_RING);
    close_port(world, port);
    world_close(world);
}

Test(port, events_that_no_task_could_get_are_refused)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 1);
    const struct pawl_event right = event_to(task, EV_HIT);
    struct pawl_port *port = port_of(world, 64, 0);
    struct pawl_event wrong[7];

    for (unsigned i = 0; i < 7; i++)
        wrong[i] = right;
    wrong[0].task = PAWL_NO_TASK;
    wrong[1].task.id |= UINT64_C(2) << 54;
    wrong[2].code = PAWL_CODE_RUNTIME;
    wrong[3].code = PAWL_CODE_CREATE;
    wrong[4].flags = PAWL_EVENT_ASK;
    wrong[5].flags = PAWL_EVENT_TIMER;
    wrong[6].flags = 0x8000;
    for (unsigned i = 0; i < 7; i++) {
        const struct pawl_event batch[3] = {right, wrong[i], right};

        cr_assert_eq(pawl_port_post(port, &wrong[i], 1), -EINVAL, "event %u", i);
        cr_assert_eq(pawl_task_post(world->runtime, &wrong[i], 1), -EINVAL, "event %u", i);
        /* In the middle it ends the prefix. */
        cr_assert_eq(pawl_port_post(port, batch, 3), 1);
        cr_assert_eq(pawl_task_post(world->runtime, batch, 3), 1);
        cr_assert_eq(settle(world), 2u);
    }
    cr_assert_eq(load_acquire(&world->probe.hits), 14u);
    close_port(world, port);
    world_close(world);
}

/* ---- Completions ---- */

Test(port, a_completion_says_what_became_of_the_event)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task lax = create_on(world, MACHINE_LAX, 0);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_event event = event_to(task, EV_ECHO);
    struct pawl_completion completion;
    uint32_t version;

    event.arg[0] = 41;
    event.tag = 7;
    completion = ask(world, port, event);
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.task.id, task.id);
    cr_assert_eq(completion.tag, 7u);
    cr_assert_eq(completion.value, 42u);
    cr_assert_eq(completion.state, ST_WORK);
    cr_assert_eq(completion.durability, PAWL_DURABILITY_MEMORY);
    version = completion.version;
    completion = ask(world, port, event_to(task, EV_HOLD));
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.state, ST_HELD);
    cr_assert_eq(completion.version, version + 1);
    /* Refused: nothing changed, so the next step has the next version. */
    cr_assert_eq(ask(world, port, event_to(task, EV_ECHO)).status, -EPROTO);
    cr_assert_eq(ask(world, port, event_to(task, EV_GO)).version, version + 2);
    cr_assert_eq(ask(world, port, event_to(task, PROBE_EVENTS)).status, -EINVAL);
    /* Ignored by policy. */
    completion = ask(world, port, event_to(lax, EV_ODD));
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.state, ST_WORK);
    completion = ask(world, port, event_to(task, EV_END));
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.state, ST_DONE);
    completion = ask(world, port, event);
    cr_assert_eq(completion.status, -ESTALE);
    cr_assert_eq(completion.tag, 7u);
    cr_assert_eq(load_acquire(&world->probe.undelivered), 0u);
    close_port(world, port);
    world_close(world);
}

Test(port, completions_are_limited_to_what_was_asked_at_open)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    struct pawl_port *port = port_of(world, 1024, 64);
    struct pawl_completion completions[100];
    struct pawl_event events[100];

    for (unsigned i = 0; i < 100; i++) {
        events[i] = event_to(tasks[i % 2], EV_HIT);
        events[i].flags = PAWL_EVENT_COMPLETE;
        events[i].tag = i;
    }
    cr_assert_eq(pawl_port_post(port, events, 100), 64);
    cr_assert_eq(pawl_port_outstanding(port), 64u);
    cr_assert_eq(pawl_port_post(port, events, 1), -EAGAIN);
    settle(world);
    /* Handled is not yet reaped. */
    cr_assert_eq(pawl_port_post(port, events, 1), -EAGAIN);
    cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 0), -EAGAIN);
    cr_assert_eq(pawl_port_cancel(port, tasks[0], 0), -EAGAIN);
    /* One that asks for none is not held up. */
    events[99].flags = 0;
    cr_assert_eq(pawl_port_post(port, &events[99], 1), 1);
    cr_assert_eq(pawl_port_reap(port, completions, 10), 10);
    cr_assert_eq(pawl_port_outstanding(port), 54u);
    cr_assert_eq(pawl_port_post(port, events + 64, 35), 10);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, completions, 100), 64);
    cr_assert_eq(pawl_port_reap(port, completions, 100), 0);
    cr_assert_eq(pawl_port_outstanding(port), 0u);
    close_port(world, port);
    world_close(world);
}

Test(port, completions_of_one_shard_come_in_the_order_handled)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    struct pawl_port *port = port_of(world, 1024, 1024);
    struct pawl_task tasks[2][8];
    uint32_t last[2][8] = {{0}};
    unsigned got = 0;

    for (unsigned i = 0; i < 16; i++)
        tasks[i % 2][i / 2] = create_on(world, i % 3 == 0 ? MACHINE_WIDE : MACHINE_PROBE, i % 2);
    for (uint32_t tag = 1; tag <= 900; tag++) {
        struct pawl_event event = event_to(tasks[tag % 2][tag / 2 % 8], tag % 5 ? EV_HIT : EV_ECHO);

        event.flags = PAWL_EVENT_COMPLETE;
        event.tag = tag;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    }
    settle(world);
    while (got < 900) {
        struct pawl_completion completions[7];
        const int reaped = pawl_port_reap(port, completions, 7);

        cr_assert(reaped > 0);
        for (int i = 0; i < reaped; i++, got++) {
            const unsigned shard = pawl_task_shard(completions[i].task);
            const unsigned which = completions[i].tag / 2 % 8;

            cr_assert_eq(completions[i].status, 0);
            cr_assert_eq(completions[i].task.id, tasks[shard][which].id);
            cr_assert(completions[i].tag > last[shard][which]);
            last[shard][which] = completions[i].tag;
        }
    }
    close_port(world, port);
    world_close(world);
}

Test(port, a_deferred_event_completes_when_it_is_handled_at_last)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_completion completions[8];
    struct pawl_event event = event_to(task, EV_HIT);

    post_to(world, task, EV_HOLD);
    settle(world);
    event.flags = PAWL_EVENT_COMPLETE;
    for (event.tag = 0; event.tag < 3; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, completions, 8), 0);
    cr_assert_eq(pawl_port_wait(port, UINT64_MAX), -EAGAIN);
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), -EAGAIN);
    /* The close that waits has not closed anything. */
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    post_to(world, task, EV_GO);
    settle(world);
    cr_assert_eq(pawl_port_wait(port, 0), 0);
    cr_assert_eq(pawl_port_reap(port, completions, 8), 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(completions[i].tag, i);
        cr_assert_eq(completions[i].status, 0);
        cr_assert_eq(completions[i].state, ST_WORK);
    }
    close_port(world, port);
    world_close(world);
}

Test(port, deferred_events_of_a_task_that_ends_are_canceled)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_completion completions[8];
    struct pawl_event event = event_to(task, EV_HIT);

    post_to(world, task, EV_HOLD);
    event.flags = PAWL_EVENT_COMPLETE;
    settle(world);
    for (event.tag = 0; event.tag < 3; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_task_post(world->runtime, &(struct pawl_event){.task = task}, 1), 1);
    settle(world);
    post_to(world, task, EV_END);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, completions, 8), 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(completions[i].status, -ECANCELED);
        cr_assert_eq(completions[i].tag, i);
    }
    cr_assert_eq(load_acquire(&world->probe.undelivered_canceled), 1u);
    close_port(world, port);
    world_close(world);
}

/* ---- Creating and cancelling ---- */

Test(port, a_creation_completes_with_the_new_task)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);
    const struct probe_context first = {.count = 5, .sum = 6, .sequence = 7};
    struct pawl_port *port = port_of(world, 0, 0);
    struct probe_context context;
    struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};
    struct pawl_task_spec spec = {
        .machine = MACHINE_PROBE, .shard = 2, .context = &first, .context_size = sizeof(first)};
    struct pawl_completion completion;
    struct pawl_task task, found;

    cr_assert_eq(pawl_port_create(port, &spec, 77), 0);
    cr_assert_eq(pawl_port_outstanding(port), 1u);
    settle(world);
    completion = reap_one(port);
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.tag, 77u);
    cr_assert_eq(completion.state, ST_WORK);
    task = completion.task;
    cr_assert_eq(pawl_task_shard(task), 2u);
    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    cr_assert_eq(memcmp(&context, &first, sizeof(first)), 0);
    /* With a key: the second one is told of the first. */
    spec.key = "door 7";
    spec.key_size = 6;
    cr_assert_eq(pawl_port_create(port, &spec, 1), 0);
    settle(world);
    task = reap_one(port).task;
    cr_assert_eq(pawl_task_find(world->runtime, "door 7", 6, &found), 0);
    cr_assert_eq(found.id, task.id);
    cr_assert_eq(pawl_port_create(port, &spec, 2), 0);
    settle(world);
    completion = reap_one(port);
    cr_assert_eq(completion.status, -EEXIST);
    cr_assert_eq(completion.task.id, task.id);
    cr_assert_eq(completion.tag, 2u);
    close_port(world, port);
    world_close(world);
}

Test(port, creations_that_make_no_sense_are_refused_at_once)
{
    static const char key[65];
    static const char context[64];
    const struct pawl_task_spec specs[] = {
        {.machine = MACHINES},
        {.shard = 2},
        {.context = context, .context_size = 25},
        {.context = NULL, .context_size = 1},
        {.key = key, .key_size = 0},
        {.key = key, .key_size = 65},
        {.key = NULL, .key_size = 1},
    };
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_task task;

    for (unsigned i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        cr_assert_eq(pawl_port_create(port, &specs[i], 0), -EINVAL, "spec %u", i);
        cr_assert_eq(pawl_task_create(world->runtime, &specs[i], &task), -EINVAL, "spec %u", i);
        cr_assert_eq(task.id, 0u);
    }
    cr_assert_eq(pawl_port_outstanding(port), 0u);
    close_port(world, port);
    world_close(world);
}

Test(port, a_limit_of_tasks_is_told_to_the_creator)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);
    struct pawl_port *port;
    struct pawl_completion completion;

    world->options.tasks_max = 1;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    port = port_of(world, 0, 0);
    cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 0), 0);
    cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 1), 0);
    settle(world);
    {
        struct pawl_completion both[2];

        cr_assert_eq(pawl_port_reap(port, both, 2), 2);
        cr_assert_eq(both[0].status, 0);
        cr_assert_eq(both[1].status, -ENOSPC);
        cr_assert_eq(pawl_port_cancel(port, both[0].task, 9), 0);
    }
    settle(world);
    completion = reap_one(port);
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.tag, 9u);
    /* Its place is free again. */
    cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 2), 0);
    settle(world);
    cr_assert_eq(reap_one(port).status, 0);
    close_port(world, port);
    world_close(world);
}

Test(port, a_cancel_ends_the_task_and_the_next_is_stale)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task task = create_on(world, MACHINE_TIMED, 1);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_view view = {0};
    struct pawl_completion completion;

    cr_assert_eq(pawl_port_cancel(port, PAWL_NO_TASK, 0), -EINVAL);
    cr_assert_eq(pawl_port_cancel(port, task, 3), 0);
    settle(world);
    completion = reap_one(port);
    cr_assert_eq(completion.status, 0);
    cr_assert_eq(completion.tag, 3u);
    cr_assert_eq(completion.task.id, task.id);
    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), -ESTALE);
    cr_assert_eq(counters_of(world).timers, 0u);
    cr_assert_eq(pawl_port_cancel(port, task, 4), 0);
    settle(world);
    cr_assert_eq(reap_one(port).status, -ESTALE);
    close_port(world, port);
    world_close(world);
}

/*
 * A handler that has created a task may give its handle away at once; what another thread posts to it
 * may then be taken before the new task has made its first step. Here the handle is foretold: the
 * same runtime, opened twice, gives the same.
 */
Test(port, an_event_that_overtakes_its_tasks_first_step_completes)
{
    uint64_t child = 0;

    for (unsigned run = 0; run < 2; run++) {
        struct world *world = world_start(PAWL_DRIVE_HOST, 1);
        const struct pawl_task parent = create_on(world, MACHINE_PROBE, 0);
        struct pawl_port *ports[2] = {port_of(world, 0, 0), port_of(world, 0, 0)};
        const struct pawl_event spawn = event_to(parent, EV_SPAWN);
        struct pawl_event event = event_to((struct pawl_task){child}, EV_ECHO);

        cr_assert_eq(pawl_port_post(ports[0], &spawn, 1), 1);
        if (run == 0) {
            settle(world);
            child = load_acquire(&world->probe.child);
        } else {
            event.flags = PAWL_EVENT_COMPLETE;
            event.tag = 5;
            event.arg[0] = 1;
            cr_assert_eq(pawl_port_post(ports[1], &event, 1), 1);
            settle(world);
            cr_assert_eq(load_acquire(&world->probe.child), child);
            {
                const struct pawl_completion completion = reap_one(ports[1]);

                cr_assert_eq(completion.status, 0);
                cr_assert_eq(completion.tag, 5u);
                cr_assert_eq(completion.value, 2u);
            }
        }
        close_port(world, ports[0]);
        close_port(world, ports[1]);
        world_close(world);
    }
}

/* ---- Buffers ---- */

Test(port, a_buffer_that_was_not_taken_stays_the_posters)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 64, 0);
    struct pawl_event events[100];
    int taken;

    for (unsigned i = 0; i < 100; i++) {
        events[i] = event_to(task, i % 3 == 0 ? EV_ODD : EV_HIT);
        events[i].flags = PAWL_EVENT_BUFFER;
        events[i].arg[0] = (uintptr_t)pawl_buffer_create(100 + i);
    }
    taken = pawl_port_post(port, events, 100);
    cr_assert_eq(taken, 64);
    for (int i = taken; i < 100; i++)
        pawl_buffer_unref((struct pawl_buffer *)(uintptr_t)events[i].arg[0]);
    cr_assert_eq(settle(world), 64u);
    cr_assert_eq(load_acquire(&world->probe.hits), 42u);
    cr_assert_eq(load_acquire(&world->probe.undelivered_refused), 22u);
    close_port(world, port);
    world_close(world);
}

/* What is still queued when the runtime goes is given back; the leak checker looks on. */
Test(port, buffers_that_are_still_queued_at_the_end_are_freed)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task held = create_on(world, MACHINE_PROBE, 1);
    struct pawl_port *port = port_of(world, 64, 0);

    post_to(world, held, EV_HOLD);
    settle(world);
    for (unsigned i = 0; i < 20; i++) {
        struct pawl_event event = event_to(held, EV_HIT);

        event.flags = PAWL_EVENT_BUFFER;
        event.arg[0] = (uintptr_t)pawl_buffer_create(64);
        cr_assert_eq(
            i % 2 ? pawl_port_post(port, &event, 1) : pawl_task_post(world->runtime, &event, 1), 1);
        if (i == 9)
            settle(world);
    }
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(load_acquire(&world->probe.undelivered_canceled), 20u);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    world_close(world);
}

/* ---- With threads: waiting and closing ---- */

Test(port, waiting_ends_with_the_completion_or_the_deadline)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_event event = event_to(task, EV_SLOW);

    cr_assert_eq(pawl_port_wait(port, UINT64_MAX), -ENOENT);
    event.flags = PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_port_wait(port, 0), -ETIMEDOUT);
    cr_assert_eq(pawl_port_wait(port, 1 * MS), -ETIMEDOUT);
    cr_assert_eq(pawl_port_close(port, 1 * MS), -ETIMEDOUT);
    /* Nothing is lost: it can post, wait and reap. */
    event.code = EV_ECHO;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    store_release(&world->probe.gate, 1);
    for (unsigned got = 0; got < 2; got++) {
        struct pawl_completion completion;

        cr_assert_eq(pawl_port_wait(port, UINT64_MAX), 0);
        cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
        cr_assert_eq(completion.value, got == 0 ? 0u : 1u);
    }
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    world_close(world);
}

static void *open_gate(void *argument)
{
    struct probe *probe = argument;

    for (unsigned i = 0; i < 20; i++)
        nap_briefly();
    store_release(&probe->gate, 1);
    return NULL;
}

Test(port, close_waits_until_all_that_was_posted_has_been_taken)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    struct pawl_port *port = port_of(world, 4096, 0);
    pthread_t thread;

    cr_assert_eq(pawl_port_post(port, &(struct pawl_event){.task = tasks[0], .code = EV_SLOW}, 1),
                 1);
    for (unsigned i = 0; i < 2000; i++) {
        const struct pawl_event event = event_to(tasks[i % 2], EV_HIT);

        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    }
    cr_assert_eq(pthread_create(&thread, NULL, open_gate, &world->probe), 0);
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    cr_assert_eq(load_acquire(&world->probe.hits), 2000u);
    pthread_join(thread, NULL);
    world_close(world);
}

Test(port, close_waits_for_completions_of_deferred_events)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_port *port = port_of(world, 0, 0);
    struct pawl_event event = event_to(task, EV_HIT);
    struct pawl_completion completion;

    post_to(world, task, EV_HOLD);
    while (counters_of(world).transitions < 2)
        nap_briefly();
    event.flags = PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    while (counters_of(world).deferred < 1)
        nap_briefly();
    cr_assert_eq(pawl_port_close(port, 2 * MS), -ETIMEDOUT);
    post_to(world, task, EV_GO);
    cr_assert_eq(pawl_port_wait(port, UINT64_MAX), 0);
    cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
    cr_assert_eq(completion.status, 0);
    /* A completion that nobody reaps does not keep the port open. */
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_port_close(port, UINT64_MAX), 0);
    cr_assert_eq(load_acquire(&world->probe.hits), 2u);
    world_close(world);
}
