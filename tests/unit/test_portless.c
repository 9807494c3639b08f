/*
 * test_portless.c - posting without a port: any thread may, in order, and threads that come and go
 * leave nothing behind.
 */
#include <errno.h>

#include "base/limits.h"
#include "support/threads_fixture.h"

#include "shard/portless.h"

Test(portless, a_full_ring_takes_a_prefix_and_then_nothing)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    static struct pawl_event events[2 * PORTLESS_RING];

    for (unsigned i = 0; i < 2 * PORTLESS_RING; i++) {
        events[i] = event_to(task, EV_NOTE);
        events[i].tag = i;
    }
    cr_assert_eq(pawl_task_post(world->runtime, events, 0), 0);
    cr_assert_eq(pawl_task_post(world->runtime, events, 2 * PORTLESS_RING), (int)PORTLESS_RING);
    cr_assert_eq(pawl_task_post(world->runtime, events + PORTLESS_RING, 1), -EAGAIN);
    settle(world);
    cr_assert_eq(pawl_task_post(world->runtime, events + PORTLESS_RING, PORTLESS_RING),
                 (int)PORTLESS_RING);
    settle(world);
    cr_assert_eq(world->probe.notes_count, 2 * PORTLESS_RING);
    for (unsigned i = 0; i < 2 * PORTLESS_RING; i++)
        cr_assert_eq(world->probe.notes[i], i);
    world_close(world);
}

Test(portless, a_completion_cannot_be_asked_for)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_event events[3] = {event_to(task, EV_HIT), event_to(task, EV_HIT),
                                   event_to(task, EV_HIT)};

    events[1].flags = PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_task_post(world->runtime, events, 3), 1);
    cr_assert_eq(pawl_task_post(world->runtime, events + 1, 2), -EINVAL);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.hits), 1u);
    world_close(world);
}

Test(portless, what_a_task_does_not_handle_is_told_to_the_host)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);

    post_to(world, task, EV_ODD);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.undelivered_refused), 1u);
    cr_assert_eq(pawl_task_cancel(world->runtime, task), 0);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.undelivered), 1u);
    post_to(world, task, EV_HIT);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.undelivered_stale), 1u);
    cr_assert_eq(pawl_task_cancel(world->runtime, task), 0);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.undelivered_stale), 2u);
    cr_assert_eq(load_acquire(&world->probe.hits), 0u);
    cr_assert_eq(pawl_task_cancel(world->runtime, PAWL_NO_TASK), -EINVAL);
    world_close(world);
}

Test(portless, create_tells_of_an_existing_key)
{
    for (unsigned drive = 0; drive < 2; drive++) {
        struct world *world = world_start(drive == 0 ? PAWL_DRIVE_HOST : PAWL_DRIVE_THREADS, 3);
        struct pawl_task_spec spec = {.key = "k", .key_size = 1};
        struct pawl_task first, second;

        cr_assert_eq(pawl_task_create(world->runtime, &spec, &first), 0);
        cr_assert_eq(pawl_task_create(world->runtime, &spec, &second), -EEXIST);
        cr_assert_eq(second.id, first.id);
        spec.machine = MACHINES;
        cr_assert_eq(pawl_task_create(world->runtime, &spec, &second), -EINVAL);
        cr_assert_eq(second.id, 0u);
        world_close(world);
    }
}

/* ---- Threads that come and go ---- */

struct one_post {
    struct world *world;
    struct pawl_event event;
    int result;
};

static void *post_once(void *argument)
{
    struct one_post *post = argument;

    do
        post->result = pawl_task_post(post->world->runtime, &post->event, 1);
    while (post->result == -EAGAIN);
    return NULL;
}

/* More threads than there are entries, one after the other. */
Test(portless, short_lived_threads_use_entries_again)
{
    enum { THREADS = PORTS_MAX + 1000 };
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};

    for (unsigned i = 0; i < THREADS; i++) {
        struct one_post post = {world, event_to(tasks[i % 2], EV_HIT), 0};
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, post_once, &post), 0);
        pthread_join(thread, NULL);
        cr_assert_eq(post.result, 1, "thread %u: %d", i, post.result);
    }
    wait_for(&world->probe.hits, THREADS);
    cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)THREADS);
    world_close(world);
}

/* Host-driven: what threads that are gone had posted is not lost, and their rings go. */
Test(portless, events_of_ended_threads_are_handled)
{
    enum { THREADS = 500 };
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    uint64_t bytes = 0;

    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < THREADS; i++) {
            struct one_post post = {world, event_to(tasks[i % 2], EV_HIT), 0};
            pthread_t thread;

            cr_assert_eq(pthread_create(&thread, NULL, post_once, &post), 0);
            pthread_join(thread, NULL);
            cr_assert_eq(post.result, 1);
        }
        settle(world);
        cr_assert_eq(load_acquire(&world->probe.hits), (round + 1) * (uint64_t)THREADS);
        if (round == 1)
            bytes = statm_bytes(false);
    }
    /* A ring kept for each of 5,000 threads would be more than 300 MB. */
    cr_assert(statm_bytes(false) < bytes + (100u << 20));
    world_close(world);
}

struct ordered {
    struct world *world;
    struct pawl_task task;
    uint64_t count;
};

static void *post_in_order(void *argument)
{
    const struct ordered *ordered = argument;
    struct pawl_event event = event_to(ordered->task, EV_SEQ);

    for (event.arg[0] = 1; event.arg[0] <= ordered->count; event.arg[0]++)
        post_one_event(ordered->world->runtime, &event);
    return NULL;
}

Test(portless, each_threads_events_arrive_in_order)
{
    enum { THREADS = 6, COUNT = 4000 };
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    struct ordered posts[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        posts[i] = (struct ordered){world, create_on(world, MACHINE_PROBE, i % 2), COUNT};
        cr_assert_eq(pthread_create(&threads[i], NULL, post_in_order, &posts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    wait_for(&world->probe.hits, THREADS * COUNT);
    cr_assert_eq(load_acquire(&world->probe.hits), (uint64_t)THREADS * COUNT);
    cr_assert_eq(load_acquire(&world->probe.disorder), 0u);
    world_close(world);
}

/* ---- Stop in the middle of it ---- */

struct until_stopped {
    struct world *world;
    struct pawl_task task;
    uint64_t accepted;
    pthread_t thread;
};

/* Every event carries a buffer, so that the leak checker sees an event that nobody took. */
static void *post_until_stopped(void *argument)
{
    struct until_stopped *post = argument;
    struct pawl_event event = event_to(post->task, EV_HIT);
    int result;

    event.flags = PAWL_EVENT_BUFFER;
    do {
        event.arg[0] = (uintptr_t)pawl_buffer_create(8);
        result = pawl_task_post(post->world->runtime, &event, 1);
        if (result == 1)
            post->accepted++;
        else
            pawl_buffer_unref((struct pawl_buffer *)(uintptr_t)event.arg[0]);
    } while (result == 1 || result == -EAGAIN);
    return NULL;
}

/* Accepted means handled or reported, whenever the stop comes. */
Test(portless, nothing_accepted_is_lost_by_a_stop)
{
    enum { THREADS = 4, ROUNDS = 60 };

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
        struct until_stopped posts[THREADS];
        uint64_t accepted = 0, known;

        for (unsigned i = 0; i < THREADS; i++) {
            posts[i] =
                (struct until_stopped){.world = world, .task = create_on(world, MACHINE_PROBE, 0)};
            cr_assert_eq(pthread_create(&posts[i].thread, NULL, post_until_stopped, &posts[i]), 0);
        }
        wait_for(&world->probe.hits, 100 + 37 * round);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(posts[i].thread, NULL);
            accepted += posts[i].accepted;
        }
        /* A post that came too late may be reported as late as by close. */
        cr_assert_eq(pawl_close(world->runtime), 0);
        world->runtime = NULL;
        known = load_acquire(&world->probe.hits) + load_acquire(&world->probe.undelivered_canceled);
        cr_assert_eq(known, accepted, "round %u: %llu of %llu", round, (unsigned long long)known,
                     (unsigned long long)accepted);
        world_close(world);
    }
}

Test(portless, a_thread_that_outlives_many_runtimes_keeps_one_entry)
{
    for (unsigned i = 0; i < 20; i++) {
        struct world *world = world_start(PAWL_DRIVE_HOST, 1);

        post_to(world, create_on(world, MACHINE_PROBE, 0), EV_HIT);
        settle(world);
        cr_assert_eq(load_acquire(&world->probe.hits), 1u);
        world_close(world);
    }
    cr_assert(pawl__portless_entries() <= 2, "%u entries", pawl__portless_entries());
}
