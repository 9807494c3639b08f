/*
 * test_host_drive.c - the host-driven mode: turns on the host's threads and a descriptor to wait on.
 */
#include <errno.h>
#include <poll.h>

#include "support/threads_fixture.h"

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void wait_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    while (poll(&poll_fd, 1, -1) != 1)
        ;
}

static int fd_of(struct world *world, unsigned shard)
{
    const int fd = pawl_shard_wait_fd(world->runtime, shard);

    cr_assert(fd >= 0);
    return fd;
}

/* Ready to wait: settled, prepared, and nothing to be seen. */
static void expect_quiet(struct world *world, unsigned shard)
{
    settle(world);
    cr_assert_eq(pawl_shard_wait_prepare(world->runtime, shard), 1);
    cr_assert(!is_readable(fd_of(world, shard)));
}

/* A host-driven world with the real clock. */
static struct world *real_time_world(unsigned shards)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, shards);

    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    return world;
}

Test(host_drive, calls_that_make_no_sense_are_refused)
{
    struct world *host = world_create(PAWL_DRIVE_HOST, 2);
    struct world *threads = world_start(PAWL_DRIVE_THREADS, 1);

    world_open(host);
    cr_assert_eq(pawl_turn(host->runtime, 0), -EBUSY);
    cr_assert_eq(pawl_start(host->runtime), 0);
    cr_assert_eq(pawl_turn(host->runtime, 0), 0);
    cr_assert_eq(pawl_turn(host->runtime, 2), -EINVAL);
    cr_assert_eq(pawl_shard_wait_fd(host->runtime, 2), -EINVAL);
    cr_assert_eq(pawl_shard_wait_prepare(host->runtime, 2), -EINVAL);
    cr_assert_eq(pawl_shard_next_timer_ns(host->runtime, 2), UINT64_MAX);
    cr_assert_eq(pawl_turn(threads->runtime, 0), -EINVAL);
    cr_assert(pawl_shard_wait_fd(threads->runtime, 0) < 0);
    cr_assert(pawl_shard_wait_prepare(threads->runtime, 0) < 0);
    world_close(host);
    world_close(threads);
}

Test(host_drive, a_turn_says_how_much_it_handled)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_event event = event_to(task, EV_ARM);

    settle(world);
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    for (unsigned i = 0; i < 10; i++)
        post_to(world, task, EV_HIT);
    cr_assert_eq(pawl_turn(world->runtime, 0), 10);
    event.arg[0] = 5 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    cr_assert_eq(pawl_turn(world->runtime, 0), 1);
    advance(world, 4 * MS);
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    advance(world, 1 * MS);
    cr_assert_eq(pawl_turn(world->runtime, 0), 1);
    cr_assert_eq(load_acquire(&world->probe.rings), 1u);
    world_close(world);
}

/* ---- The descriptor ---- */

Test(host_drive, the_descriptor_tells_of_work_from_every_source)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task here = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task there = create_on(world, MACHINE_PROBE, 1);
    struct pawl_port *port;
    struct pawl_event event = event_to(there, EV_HIT);

    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    for (unsigned round = 0; round < 10; round++) {
        expect_quiet(world, 1);
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        cr_assert(is_readable(fd_of(world, 1)));
        /* Work that is there already: do not wait. */
        cr_assert_eq(pawl_shard_wait_prepare(world->runtime, 1), 0);
        expect_quiet(world, 1);
        cr_assert_eq(pawl_task_post(world->runtime, &event, 1), 1);
        cr_assert(is_readable(fd_of(world, 1)));
        expect_quiet(world, 1);
        event.flags = PAWL_EVENT_CONTROL;
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        event.flags = 0;
        cr_assert(is_readable(fd_of(world, 1)));
        expect_quiet(world, 1);
        {
            struct pawl_event chain = event_to(here, EV_CHAIN);

            chain.arg[0] = there.id;
            chain.arg[1] = 1;
            cr_assert_eq(pawl_port_post(port, &chain, 1), 1);
            cr_assert(!is_readable(fd_of(world, 1)));
            cr_assert_eq(pawl_turn(world->runtime, 0), 1);
            cr_assert(is_readable(fd_of(world, 1)));
        }
        expect_quiet(world, 1);
        cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){.shard = 1}, 0), 0);
        cr_assert(is_readable(fd_of(world, 1)));
        settle(world);
        {
            struct pawl_completion completion;

            cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
            expect_quiet(world, 1);
            cr_assert_eq(pawl_port_cancel(port, completion.task, 0), 0);
            cr_assert(is_readable(fd_of(world, 1)));
            settle(world);
            cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
        }
    }
    expect_quiet(world, 1);
    cr_assert_eq(pawl_port_close(port, 0), -EAGAIN);
    cr_assert(is_readable(fd_of(world, 1)));
    settle(world);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    /* Turning ends the wait, also one that has seen nothing. */
    expect_quiet(world, 1);
    cr_assert_eq(pawl_turn(world->runtime, 1), 0);
    cr_assert(!is_readable(fd_of(world, 1)));
    world_close(world);
}

/* A creation is carried out on the calling thread, and may leave work or a timer for the shard. */
Test(host_drive, a_creation_wakes_the_wait_for_its_shard)
{
    struct world *world = real_time_world(1);
    struct pawl_task task;

    expect_quiet(world, 0);
    cr_assert_eq(
        pawl_task_create(world->runtime, &(struct pawl_task_spec){.machine = MACHINE_TIMED}, &task),
        0);
    cr_assert(is_readable(fd_of(world, 0)));
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    cr_assert(!is_readable(fd_of(world, 0)));
    world_close(world);
}

Test(host_drive, the_descriptor_tells_of_a_timer_that_is_due)
{
    struct world *world = real_time_world(1);
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_ARM);

    for (uint64_t round = 1; round <= 3; round++) {
        event.arg[0] = round * 2 * MS;
        cr_assert(post_one_event(world->runtime, &event));
        while (load_acquire(&world->probe.rings) < round) {
            if (pawl_turn(world->runtime, 0) > 0)
                continue;
            if (pawl_shard_wait_prepare(world->runtime, 0) == 1)
                wait_readable(fd_of(world, 0));
        }
    }
    world_close(world);
}

Test(host_drive, virtual_time_does_not_make_the_descriptor_readable)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_ARM);

    event.arg[0] = 1 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    expect_quiet(world, 0);
    for (unsigned i = 0; i < 20; i++)
        nap_briefly();
    cr_assert(!is_readable(fd_of(world, 0)));
    cr_assert_eq(load_acquire(&world->probe.rings), 0u);
    advance(world, 1 * MS);
    cr_assert_eq(pawl_turn(world->runtime, 0), 1);
    world_close(world);
}

Test(host_drive, the_next_timer_is_never_told_too_late)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    static const uint64_t delays[] = {1, 3, 64, 100, 5000, 262144, 10000000};
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_ARM);

    settle(world);
    cr_assert_eq(pawl_shard_next_timer_ns(world->runtime, 0), UINT64_MAX);
    for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        const uint64_t rings = load_acquire(&world->probe.rings);
        uint64_t due;
        unsigned looks = 0;

        event.arg[0] = delays[i] * MS;
        cr_assert(post_one_event(world->runtime, &event));
        settle(world);
        due = pawl_virtual_clock_now_ns(world->clock) + delays[i] * MS;
        /* Going from one announced time to the next reaches the timer, and quickly. */
        while (load_acquire(&world->probe.rings) == rings) {
            const uint64_t next = pawl_shard_next_timer_ns(world->runtime, 0);

            cr_assert(next <= due, "told %llu for a timer at %llu", (unsigned long long)next,
                      (unsigned long long)due);
            cr_assert(++looks < 100);
            pawl_virtual_clock_advance_to(world->clock, next);
            settle(world);
        }
        cr_assert_eq(pawl_virtual_clock_now_ns(world->clock), due);
        cr_assert_eq(pawl_shard_next_timer_ns(world->runtime, 0), UINT64_MAX);
    }
    world_close(world);
}

/* ---- Pause and stop ---- */

Test(host_drive, a_paused_shard_with_work_can_be_waited_for)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);

    settle(world);
    cr_assert_eq(pawl_pause(world->runtime), 0);
    post_to(world, task, EV_HIT);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    cr_assert_eq(load_acquire(&world->probe.hits), 0u);
    /* Turning again would not help before the resume: a host that heeds a 0 would spin. */
    cr_assert_eq(pawl_shard_wait_prepare(world->runtime, 0), 1);
    cr_assert_eq(pawl_resume(world->runtime), 0);
    cr_assert(is_readable(fd_of(world, 0)));
    cr_assert_eq(pawl_turn(world->runtime, 0), 1);
    cr_assert_eq(load_acquire(&world->probe.hits), 1u);
    world_close(world);
}

/* What woke the host during a pause has been seen; the next wait does not end by it again. */
Test(host_drive, a_paused_loop_does_not_spin)
{
    struct world *world = real_time_world(1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_event event = event_to(task, EV_ARM);

    event.arg[0] = 20 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    expect_quiet(world, 0);
    cr_assert_eq(pawl_pause(world->runtime), 0);
    cr_assert(is_readable(fd_of(world, 0)));
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(pawl_turn(world->runtime, 0), 0);
        cr_assert_eq(pawl_shard_wait_prepare(world->runtime, 0), 1);
        cr_assert(!is_readable(fd_of(world, 0)), "round %u", round);
        post_to(world, task, EV_HIT);
        /* The timer comes due meanwhile; it can wait as well. */
        for (unsigned i = 0; i < 100; i++)
            nap_briefly();
    }
    cr_assert_eq(load_acquire(&world->probe.hits), 0u);
    cr_assert_eq(pawl_resume(world->runtime), 0);
    cr_assert(is_readable(fd_of(world, 0)));
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.hits), 3u);
    while (load_acquire(&world->probe.rings) == 0)
        settle(world);
    world_close(world);
}

Test(host_drive, resume_and_stop_wake_the_wait)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);

    cr_assert_eq(pawl_pause(world->runtime), 0);
    cr_assert_eq(pawl_turn(world->runtime, 0), 0);
    cr_assert_eq(pawl_shard_wait_prepare(world->runtime, 0), 1);
    cr_assert_eq(pawl_resume(world->runtime), 0);
    cr_assert(is_readable(fd_of(world, 0)));
    expect_quiet(world, 0);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert(is_readable(fd_of(world, 0)));
    cr_assert_eq(pawl_turn(world->runtime, 0), -EBUSY);
    world_close(world);
}

/* ---- Event loops ---- */

struct loop {
    struct world *world;
    unsigned shard;
    uint64_t until; /* hits */
};

/* What a host writes: turn while there is work, then wait. */
static void *run_loop(void *argument)
{
    struct loop *loop = argument;
    struct world *world = loop->world;

    for (;;) {
        const int handled = pawl_turn(world->runtime, loop->shard);

        if (handled < 0)
            return NULL;
        if (handled == 0 && pawl_shard_wait_prepare(world->runtime, loop->shard) == 1)
            wait_readable(pawl_shard_wait_fd(world->runtime, loop->shard));
    }
}

struct producer {
    struct world *world;
    struct pawl_task task;
    uint64_t count;
    unsigned pause_every;
};

static void *produce(void *argument)
{
    const struct producer *producer = argument;
    struct pawl_event event = event_to(producer->task, EV_SEQ);

    for (event.arg[0] = 1; event.arg[0] <= producer->count; event.arg[0]++) {
        post_one_event(producer->world->runtime, &event);
        if (event.arg[0] % producer->pause_every == 0)
            nap_briefly();
    }
    return NULL;
}

Test(host_drive, loops_on_two_threads_lose_no_wake)
{
    enum { PRODUCERS = 3, COUNT = 3000 };
    struct world *world = real_time_world(2);
    struct loop loops[2];
    struct producer producers[PRODUCERS];
    pthread_t loop_threads[2], threads[PRODUCERS];

    for (unsigned i = 0; i < PRODUCERS; i++)
        producers[i] =
            (struct producer){world, create_on(world, MACHINE_PROBE, i % 2), COUNT, 1 + 7 * i};
    for (unsigned i = 0; i < 2; i++) {
        loops[i] = (struct loop){.world = world, .shard = i};
        cr_assert_eq(pthread_create(&loop_threads[i], NULL, run_loop, &loops[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    wait_for(&world->probe.hits, PRODUCERS * COUNT);
    cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)PRODUCERS * COUNT);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    /* Both loops are asleep or on the way there: a stop ends them. */
    cr_assert_eq(pawl_pause(world->runtime), 0);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(loop_threads[i], NULL);
    world_close(world);
}

struct relay {
    struct world *world;
    pthread_mutex_t mutex;
    _Atomic uint64_t stop;
};

static void *turn_under_mutex(void *argument)
{
    struct relay *relay = argument;

    while (load_acquire(&relay->stop) == 0) {
        pthread_mutex_lock(&relay->mutex);
        pawl_turn(relay->world->runtime, 0);
        pthread_mutex_unlock(&relay->mutex);
    }
    return NULL;
}

/* A shard belongs to no thread: any may turn it, one at a time. */
Test(host_drive, threads_take_turns_with_one_shard)
{
    enum { THREADS = 3, COUNT = 5000 };
    struct world *world = real_time_world(1);
    struct relay relay = {.world = world, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct producer producer = {world, create_on(world, MACHINE_PROBE, 0), COUNT, COUNT};
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, turn_under_mutex, &relay), 0);
    produce(&producer);
    wait_for(&world->probe.hits, COUNT);
    store_release(&relay.stop, 1);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    world_close(world);
}
