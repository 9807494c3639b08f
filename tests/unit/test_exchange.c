/*
 * test_exchange.c - events between shards: order, full rings and backlogs, the limit of events in
 * flight, and the wake of a sleeping receiver.
 */
#include <errno.h>

#include "support/threads_fixture.h"

/* A world whose rings between shards hold `ring` events. */
static struct world *exchange_world(enum pawl_drive drive, unsigned shards, uint32_t ring,
                                    uint32_t inflight_max)
{
    struct world *world = world_create(drive, shards);

    world->options.exchange_ring = ring;
    world->options.inflight_max = inflight_max;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    return world;
}

static void fan(struct world *world, struct pawl_task from, struct pawl_task to, uint64_t count,
                uint32_t first)
{
    struct pawl_event event = event_to(from, EV_FAN);

    event.arg[0] = to.id;
    event.arg[1] = count;
    event.tag = first;
    cr_assert(post_one_event(world->runtime, &event));
}

Test(exchange, order_is_kept_through_ring_and_backlog)
{
    static const uint32_t rings[] = {1, 2, 64, 4096};

    for (unsigned r = 0; r < 4; r++) {
        struct world *world = exchange_world(PAWL_DRIVE_HOST, 2, rings[r], 0);
        const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
        const struct pawl_task to = create_on(world, MACHINE_PROBE, 1);
        uint32_t sent = 0;

        for (unsigned round = 0; round < 20; round++) {
            fan(world, from, to, 100, sent);
            sent += 100;
            cr_assert_eq(pawl_turn(world->runtime, 0), 1);
            if (round % 3 == 0)
                pawl_turn(world->runtime, 1);
        }
        cr_assert(rings[r] > 64 || counters_of(world).inflight > 0);
        while (load_acquire(&world->probe.hits) < sent)
            settle(world);
        cr_assert_eq(load_acquire(&world->probe.hits), sent);
        cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
        pawl_turn(world->runtime, 0);
        cr_assert_eq(counters_of(world).inflight, 0u);
        cr_assert_eq(counters_of(world).sent, sent);
        world_close(world);
    }
}

/* The local queue is written in place, chunk after chunk, while a batch of it is read. */
Test(exchange, events_for_the_own_shard_keep_order_and_count)
{
    struct world *world = exchange_world(PAWL_DRIVE_HOST, 1, 0, 0);
    const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task to = create_on(world, MACHINE_PROBE, 0);
    uint32_t sent = 0;

    for (uint32_t count = 1; count < 256; count += 7) {
        fan(world, from, to, count, sent);
        sent += count;
        cr_assert_eq(pawl_turn(world->runtime, 0), 1);
        cr_assert_eq(counters_of(world).inflight, count);
        cr_assert_eq(pawl_turn(world->runtime, 0), (int)count);
        cr_assert_eq(counters_of(world).inflight, 0u);
    }
    cr_assert_eq(load_acquire(&world->probe.hits), sent);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    cr_assert_eq(counters_of(world).sent, 0u);
    world_close(world);
}

Test(exchange, control_events_overtake_a_backlog)
{
    struct world *world = exchange_world(PAWL_DRIVE_HOST, 2, 64, 0);
    const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task to = create_on(world, MACHINE_PROBE, 1);
    struct pawl_event event = event_to(from, EV_CHAIN);

    for (unsigned i = 0; i < 20; i++)
        fan(world, from, to, 100, 100 * i);
    pawl_turn(world->runtime, 0);
    cr_assert(counters_of(world).inflight > 1000);
    /* A chain of one: from passes it to `to`, as a control event. */
    event.flags = PAWL_EVENT_CONTROL;
    event.arg[0] = to.id;
    event.arg[1] = 1;
    cr_assert(post_one_event(world->runtime, &event));
    pawl_turn(world->runtime, 0);
    cr_assert_eq(load_acquire(&world->probe.hits), 1u);
    pawl_turn(world->runtime, 1);
    /* The control event and what the ring held: far from the whole backlog. */
    cr_assert(load_acquire(&world->probe.hits) >= 2 && load_acquire(&world->probe.hits) <= 66);
    {
        struct probe_context context;
        struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};

        cr_assert_eq(pawl_task_peek(world->runtime, to, &view), 0);
        cr_assert(context.sequence + 1 == context.count, "the chain event is among the first");
    }
    while (load_acquire(&world->probe.hits) < 2002)
        settle(world);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    world_close(world);
}

/* A step that would exceed the limit does nothing at all, and its sender is told. */
Test(exchange, the_limit_of_events_in_flight_aborts_the_step)
{
    struct world *world = exchange_world(PAWL_DRIVE_HOST, 2, 64, 100);
    const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task to = create_on(world, MACHINE_PROBE, 1);
    struct pawl_event event = event_to(from, EV_FAN);
    struct pawl_completion completion;
    struct pawl_port *port;
    struct probe_context context;
    struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};

    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    event.flags = PAWL_EVENT_COMPLETE;
    event.arg[0] = to.id;
    event.arg[1] = 150;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
    cr_assert_eq(completion.status, -ENOSPC);
    cr_assert_eq(load_acquire(&world->probe.hits), 0u);
    cr_assert_eq(pawl_task_peek(world->runtime, from, &view), 0);
    cr_assert_eq(context.count, 0u);
    /* Within the limit it goes. */
    event.arg[1] = 90;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    settle(world);
    cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
    cr_assert_eq(completion.status, 0);
    while (load_acquire(&world->probe.hits) < 90)
        settle(world);
    while (pawl_port_close(port, 0) != 0)
        settle(world);
    world_close(world);
}

/* A shard under pressure admits nothing from outside, and goes on when its target has caught up. */
Test(exchange, pressure_stops_admission_and_passes)
{
    struct world *world = exchange_world(PAWL_DRIVE_HOST, 2, 64, 1000);
    const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task to = create_on(world, MACHINE_PROBE, 1);
    const struct pawl_task other = create_on(world, MACHINE_LAX, 0);
    uint64_t hits;

    for (unsigned i = 0; i < 7; i++) {
        fan(world, from, to, 100, 100 * i);
        pawl_turn(world->runtime, 0);
    }
    cr_assert(counters_of(world).inflight >= 500);
    post_to(world, other, EV_HIT);
    hits = load_acquire(&world->probe.hits);
    for (unsigned i = 0; i < 10; i++)
        pawl_turn(world->runtime, 0);
    cr_assert_eq(load_acquire(&world->probe.hits), hits);
    cr_assert(counters_of(world).throttled >= 10);
    /* Its control events are served all the same. */
    {
        struct pawl_event event = event_to(other, EV_HIT);

        event.flags = PAWL_EVENT_CONTROL;
        cr_assert(post_one_event(world->runtime, &event));
        pawl_turn(world->runtime, 0);
        cr_assert_eq(load_acquire(&world->probe.hits), hits + 1);
    }
    while (load_acquire(&world->probe.hits) < 702)
        settle(world);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    world_close(world);
}

/* Every shard floods every other one over tiny rings: nothing waits for anything. */
Test(exchange, floods_both_ways_do_not_block)
{
    enum { SHARDS = 3, PAIRS = SHARDS * SHARDS, ROUNDS = 40 };
    struct world *world = exchange_world(PAWL_DRIVE_THREADS, SHARDS, 2, 0);
    struct pawl_task from[PAIRS], to[PAIRS];
    uint64_t wanted = 0;

    for (unsigned p = 0; p < PAIRS; p++) {
        from[p] = create_on(world, MACHINE_PROBE, p / SHARDS);
        to[p] = create_on(world, MACHINE_PROBE, p % SHARDS);
    }
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (unsigned p = 0; p < PAIRS; p++, wanted += 50)
            fan(world, from[p], to[p], 50, 50 * round);
    wait_for(&world->probe.hits, wanted);
    cr_assert_eq(load_acquire(&world->probe.hits), wanted);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    cr_assert_eq(load_acquire(&world->probe.undelivered), 0u);
    world_close(world);
}

/* Each hop finds the other shard asleep or going to sleep. */
Test(exchange, an_event_wakes_a_sleeping_shard)
{
    enum { HOPS = 2000 };
    struct world *world = world_create(PAWL_DRIVE_THREADS, 2);
    struct pawl_event event;
    struct pawl_task other;

    world->options.spin_ns = 1;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    event = event_to(create_on(world, MACHINE_PROBE, 0), EV_CHAIN);
    other = create_on(world, MACHINE_PROBE, 1);
    event.arg[0] = other.id;
    event.arg[1] = HOPS - 1;
    cr_assert(post_one_event(world->runtime, &event));
    wait_for(&world->probe.hits, HOPS);
    cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)HOPS);
    world_close(world);
}
