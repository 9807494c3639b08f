/*
 * test_runtime.c - the life cycle: its stages and what is refused in the wrong one, pause, stop and
 * close from everywhere, several runtimes at once, and being a good guest of the process.
 */
#include <errno.h>
#include <signal.h>

#include "support/threads_fixture.h"

static const enum pawl_drive drives[] = {PAWL_DRIVE_HOST, PAWL_DRIVE_THREADS};

/* ---- Stages ---- */

Test(runtime, before_start_nothing_but_start_stop_and_close_is_possible)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_create(drives[d], 1);
        const struct pawl_event event = {.task = {UINT64_C(1) << 32 | 1}};
        struct pawl_task task = {1};
        struct pawl_port *port;

        world_open(world);
        cr_assert_eq(pawl_pause(world->runtime), -EBUSY);
        cr_assert_eq(pawl_resume(world->runtime), -EBUSY);
        cr_assert_eq(pawl_drain(world->runtime, 0, NULL), -EBUSY);
        cr_assert_eq(pawl_task_post(world->runtime, &event, 1), -EBUSY);
        cr_assert_eq(pawl_task_cancel(world->runtime, event.task), -EBUSY);
        cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){0}, &task), -EBUSY);
        cr_assert_eq(task.id, 0u);
        cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
        cr_assert_eq(pawl_port_post(port, &event, 1), -EBUSY);
        cr_assert_eq(pawl_port_create(port, &(struct pawl_task_spec){0}, 0), -EBUSY);
        cr_assert_eq(pawl_port_cancel(port, event.task, 0), -EBUSY);
        cr_assert_eq(pawl_port_wait(port, 0), -ENOENT);
        cr_assert_eq(pawl_close(world->runtime), -EBUSY);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        cr_assert_eq(pawl_port_close(port, 0), 0);
        world_close(world);
    }
}

/* No shard is turned yet, so there is none that could still hold the port. */
Test(runtime, a_port_can_be_closed_before_start)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_create(drives[d], 2);
        struct pawl_port *port;

        world_open(world);
        cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
        cr_assert_eq(pawl_port_close(port, 100 * MS), 0);
        world_close(world);
    }
}

Test(runtime, wrong_stages_are_refused_and_change_nothing)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 2);

        cr_assert_eq(pawl_start(world->runtime), -EBUSY);
        cr_assert_eq(pawl_resume(world->runtime), 0);
        cr_assert_eq(pawl_pause(world->runtime), 0);
        cr_assert_eq(pawl_pause(world->runtime), 0);
        cr_assert_eq(pawl_start(world->runtime), -EBUSY);
        cr_assert_eq(pawl_resume(world->runtime), 0);
        create_on(world, MACHINE_PROBE, 1);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        cr_assert_eq(pawl_start(world->runtime), -EBUSY);
        cr_assert_eq(pawl_pause(world->runtime), -EBUSY);
        cr_assert_eq(pawl_resume(world->runtime), -EBUSY);
        cr_assert_eq(pawl_drain(world->runtime, 0, NULL), -EBUSY);
        world_close(world);
    }
}

Test(runtime, after_stop_posting_is_refused_and_reading_works)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 2);
        const struct pawl_task task = create_on(world, MACHINE_PROBE, 1);
        const struct pawl_event event = event_to(task, EV_HIT);
        struct pawl_view view = {0};
        struct pawl_walk walk = {0};
        struct pawl_task other;
        struct pawl_port *port, *late;

        cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
        cr_assert_eq(pawl_stop(world->runtime), 0);
        cr_assert_eq(pawl_task_post(world->runtime, &event, 1), -EBUSY);
        cr_assert_eq(pawl_task_cancel(world->runtime, task), -EBUSY);
        cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){0}, &other), -EBUSY);
        cr_assert_eq(pawl_port_post(port, &event, 1), -EBUSY);
        cr_assert_eq(pawl_port_open(world->runtime, NULL, &late), -EBUSY);
        cr_assert_eq(pawl_turn(world->runtime, 0), drives[d] == PAWL_DRIVE_HOST ? -EBUSY : -EINVAL);
        cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
        cr_assert_eq(view.state, (unsigned)ST_WORK);
        cr_assert_eq(pawl_task_walk(world->runtime, &walk, NULL, &view, 1, 1000), 1);
        cr_assert_eq(view.task.id, task.id);
        cr_assert_eq(pawl_port_close(port, 0), 0);
        world_close(world);
    }
}

Test(runtime, close_is_possible_from_every_stage)
{
    for (unsigned d = 0; d < 2; d++)
        for (unsigned stage = 0; stage < 6; stage++) {
            struct world *world = world_create(drives[d], 2);
            const unsigned threads = threads_now();
            const unsigned fds = proc_entries("fd");

            world_open(world);
            if (stage >= 1) {
                cr_assert_eq(pawl_start(world->runtime), 0);
                create_on(world, MACHINE_TIMED, 1);
            }
            if (stage == 2)
                cr_assert_eq(pawl_pause(world->runtime), 0);
            if (stage == 3 || stage == 4)
                cr_assert_eq(pawl_drain(world->runtime, 60000 * MS, NULL), 0);
            if (stage >= 4)
                cr_assert_eq(pawl_stop(world->runtime), 0);
            cr_assert_eq(pawl_close(world->runtime), 0);
            world->runtime = NULL;
            cr_assert(threads_become(threads));
            cr_assert_eq(proc_entries("fd"), fds);
            world_close(world);
        }
    cr_assert_eq(pawl_close(NULL), 0);
}

Test(runtime, close_refuses_while_a_port_is_open_and_goes_on_working)
{
    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_start(drives[d], 1);
        const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
        const struct pawl_event event = event_to(task, EV_HIT);
        struct pawl_port *port;

        cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
        cr_assert_eq(pawl_close(world->runtime), -EBUSY);
        /* The refused close did not stop anything. */
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        if (drives[d] == PAWL_DRIVE_HOST)
            settle(world);
        wait_for(&world->probe.hits, 1);
        while (pawl_port_close(port, 0) != 0)
            if (drives[d] == PAWL_DRIVE_HOST)
                settle(world);
        world_close(world);
    }
}

/* ---- Pause ---- */

Test(runtime, no_step_is_made_while_paused_and_none_is_lost)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    const struct pawl_task tasks[2] = {create_on(world, MACHINE_PROBE, 0),
                                       create_on(world, MACHINE_PROBE, 1)};
    uint64_t sent = 0;

    for (unsigned round = 0; round < 50; round++) {
        uint64_t seen;

        for (unsigned i = 0; i < 100; i++, sent++)
            post_to(world, tasks[i % 2], EV_HIT);
        cr_assert_eq(pawl_pause(world->runtime), 0);
        seen = load_acquire(&world->probe.hits);
        for (unsigned i = 0; i < 50; i++, sent++)
            post_to(world, tasks[i % 2], EV_HIT);
        nap_briefly();
        cr_assert_eq(load_acquire(&world->probe.hits), seen);
        cr_assert_eq(pawl_resume(world->runtime), 0);
    }
    wait_for(&world->probe.hits, sent);
    cr_assert_eq(load_acquire(&world->probe.hits), sent);
    world_close(world);
}

struct gate_opener {
    struct probe *probe;
    _Atomic uint64_t paused; /* pause has returned */
    _Atomic uint64_t early;  /* ... before the gate was opened */
};

static void *open_gate_later(void *argument)
{
    struct gate_opener *opener = argument;

    for (unsigned i = 0; i < 100; i++)
        nap_briefly();
    store_release(&opener->early, load_acquire(&opener->paused));
    store_release(&opener->probe->gate, 1);
    return NULL;
}

Test(runtime, pause_returns_when_the_step_has_returned)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    struct gate_opener opener = {.probe = &world->probe};
    pthread_t thread;

    post_to(world, create_on(world, MACHINE_PROBE, 0), EV_SLOW);
    wait_for(&world->probe.inside, 1);
    cr_assert_eq(pthread_create(&thread, NULL, open_gate_later, &opener), 0);
    cr_assert_eq(pawl_pause(world->runtime), 0);
    store_release(&opener.paused, 1);
    cr_assert_eq(load_acquire(&world->probe.inside), 0u);
    cr_assert_eq(load_acquire(&world->probe.slow_done), 1u);
    pthread_join(thread, NULL);
    cr_assert_eq(load_acquire(&opener.early), 0u);
    world_close(world);
}

static void *turn_once(void *argument)
{
    struct world *world = argument;

    pawl_turn(world->runtime, 0);
    return NULL;
}

/* The same promise when the shard is turned by a thread of the host. */
Test(runtime, pause_waits_for_a_host_thread_inside_a_step)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct gate_opener opener = {.probe = &world->probe};
    pthread_t turner, thread;
    uint64_t inside, early;

    post_to(world, create_on(world, MACHINE_PROBE, 0), EV_SLOW);
    cr_assert_eq(pthread_create(&turner, NULL, turn_once, world), 0);
    wait_for(&world->probe.inside, 1);
    cr_assert_eq(pthread_create(&thread, NULL, open_gate_later, &opener), 0);
    cr_assert_eq(pawl_pause(world->runtime), 0);
    store_release(&opener.paused, 1);
    inside = load_acquire(&world->probe.inside);
    pthread_join(thread, NULL);
    pthread_join(turner, NULL);
    early = load_acquire(&opener.early);
    cr_assert_eq(inside, 0u);
    cr_assert_eq(early, 0u);
    world_close(world);
}

Test(runtime, time_goes_on_during_a_pause)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    struct pawl_event event = event_to(task, EV_ARM);

    event.arg[0] = 1 * MS;
    cr_assert_eq(pawl_pause(world->runtime), 0);
    cr_assert_eq(pawl_resume(world->runtime), 0);
    cr_assert(post_one_event(world->runtime, &event));
    while (counters_of(world).timers == 0 && load_acquire(&world->probe.rings) == 0)
        nap_briefly();
    cr_assert_eq(pawl_pause(world->runtime), 0);
    {
        const uint64_t rings = load_acquire(&world->probe.rings);

        for (unsigned i = 0; i < 50; i++)
            nap_briefly();
        cr_assert_eq(load_acquire(&world->probe.rings), rings);
    }
    cr_assert_eq(pawl_resume(world->runtime), 0);
    wait_for(&world->probe.rings, 1);
    world_close(world);
}

/* ---- Stop ---- */

Test(runtime, stop_reports_what_is_queued_to_those_who_asked)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 2);
    const struct pawl_task held = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task work = create_on(world, MACHINE_PROBE, 1);
    struct pawl_completion completions[64];
    struct pawl_event event;
    struct pawl_port *port;
    uint32_t seen = 0;

    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    post_to(world, held, EV_HOLD);
    while (counters_of(world).transitions < 3)
        nap_briefly();
    /* Ten that are deferred, ten that wait behind a pause, and a silent one of each. */
    event = event_to(held, EV_HIT);
    event.flags = PAWL_EVENT_COMPLETE;
    for (event.tag = 0; event.tag < 10; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    post_to(world, held, EV_HIT);
    while (counters_of(world).deferred < 11)
        nap_briefly();
    cr_assert_eq(pawl_pause(world->runtime), 0);
    event.task = work;
    for (; event.tag < 20; event.tag++)
        cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    post_to(world, work, EV_HIT);
    cr_assert_eq(pawl_port_outstanding(port), 20u);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(pawl_port_wait(port, UINT64_MAX), 0);
    cr_assert_eq(pawl_port_reap(port, completions, 64), 20);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(completions[i].status, -ECANCELED);
        cr_assert(completions[i].tag < 20);
        cr_assert_eq(completions[i].task.id, completions[i].tag < 10 ? held.id : work.id);
        seen |= 1u << completions[i].tag;
    }
    cr_assert_eq(seen, (1u << 20) - 1);
    cr_assert_eq(load_acquire(&world->probe.undelivered_canceled), 2u);
    cr_assert_eq(load_acquire(&world->probe.undelivered), 2u);
    cr_assert_eq(load_acquire(&world->probe.hits), 0u);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    world_close(world);
}

Test(runtime, stop_reports_what_was_on_its_way_between_shards)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task from = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task to = create_on(world, MACHINE_PROBE, 1);
    struct pawl_event event = event_to(from, EV_FAN);

    event.arg[0] = to.id;
    event.arg[1] = 200;
    cr_assert(post_one_event(world->runtime, &event));
    event.arg[0] = from.id;
    cr_assert(post_one_event(world->runtime, &event));
    /* One turn of the sender only: 200 lie in the ring between, 200 in its own queue. */
    cr_assert_eq(pawl_turn(world->runtime, 0), 2);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(load_acquire(&world->probe.undelivered_canceled), 400u);
    world_close(world);
}

static void *wait_on_port(void *argument)
{
    return (void *)(intptr_t)pawl_port_wait(argument, UINT64_MAX);
}

Test(runtime, stop_wakes_who_waits_for_a_completion)
{
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    struct pawl_event event = event_to(create_on(world, MACHINE_PROBE, 0), EV_HIT);
    struct pawl_completion completion;
    struct pawl_port *port;
    pthread_t thread;
    void *result;

    cr_assert_eq(pawl_port_open(world->runtime, NULL, &port), 0);
    cr_assert_eq(pawl_pause(world->runtime), 0);
    event.flags = PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pthread_create(&thread, NULL, wait_on_port, port), 0);
    nap_briefly();
    cr_assert_eq(pawl_stop(world->runtime), 0);
    pthread_join(thread, &result);
    cr_assert_eq((intptr_t)result, 0);
    cr_assert_eq(pawl_port_reap(port, &completion, 1), 1);
    cr_assert_eq(completion.status, -ECANCELED);
    cr_assert_eq(pawl_port_wait(port, 0), -ENOENT);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    world_close(world);
}

/* ---- Several runtimes ---- */

Test(runtime, one_thread_posts_to_several_runtimes)
{
    enum { COUNT = 4 };
    struct world *worlds[COUNT];
    struct pawl_task tasks[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        worlds[i] = world_start(PAWL_DRIVE_THREADS, 1 + i % 2);
        tasks[i] = create_on(worlds[i], MACHINE_PROBE, 0);
    }
    for (unsigned n = 0; n < 1000; n++)
        for (unsigned i = 0; i < COUNT; i++)
            post_to(worlds[i], tasks[i], EV_HIT);
    /* One goes while the others work on. */
    wait_for(&worlds[1]->probe.hits, 1000);
    world_close(worlds[1]);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i == 1)
            continue;
        post_to(worlds[i], tasks[i], EV_HIT);
        wait_for(&worlds[i]->probe.hits, 1001);
        cr_assert_eq(load_acquire(&worlds[i]->probe.hits), 1001u);
        world_close(worlds[i]);
    }
}

struct poster {
    struct world *worlds[3];
    struct pawl_task tasks[3];
    _Atomic uint64_t posted;
    _Atomic uint64_t may_end;
    pthread_t thread;
};

static void *post_to_all(void *argument)
{
    struct poster *poster = argument;

    for (unsigned i = 0; i < 3; i++) {
        const struct pawl_event event = event_to(poster->tasks[i], EV_HIT);

        if (post_one_event(poster->worlds[i]->runtime, &event))
            add_acq_rel(&poster->posted, 1);
    }
    wait_for(&poster->may_end, 1);
    return NULL;
}

Test(runtime, threads_that_posted_may_outlive_the_runtime)
{
    enum { THREADS = 6 };
    struct world *worlds[3];
    struct pawl_task tasks[3];
    struct poster posters[THREADS];

    memset(posters, 0, sizeof(posters));
    for (unsigned i = 0; i < 3; i++) {
        worlds[i] = world_start(PAWL_DRIVE_THREADS, 2);
        tasks[i] = create_on(worlds[i], MACHINE_PROBE, 1);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        memcpy(posters[t].worlds, worlds, sizeof(worlds));
        memcpy(posters[t].tasks, tasks, sizeof(tasks));
        cr_assert_eq(pthread_create(&posters[t].thread, NULL, post_to_all, &posters[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        wait_for(&posters[t].posted, 3);
    for (unsigned i = 0; i < 3; i++)
        wait_for(&worlds[i]->probe.hits, THREADS);
    /* Some threads end before any runtime closes, some between, some after all. */
    for (unsigned t = 0; t < THREADS; t++) {
        if (t % 2 == 0 && t / 2 < 3)
            world_close(worlds[t / 2]);
        store_release(&posters[t].may_end, 1);
        pthread_join(posters[t].thread, NULL);
    }
}

Test(runtime, runtimes_come_and_go_under_one_thread)
{
    const unsigned fds = proc_entries("fd");

    for (unsigned round = 0; round < 30; round++) {
        struct world *world = world_start(drives[round % 2], 1);

        post_to(world, create_on(world, MACHINE_PROBE, 0), EV_HIT);
        if (round % 2 == 0)
            settle(world);
        wait_for(&world->probe.hits, 1);
        world_close(world);
    }
    cr_assert_eq(proc_entries("fd"), fds);
}

/* ---- A good guest ---- */

struct thread_facts {
    unsigned shards, monitors;
    unsigned unblocked; /* of ours that would take SIGUSR1 or SIGINT */
};

static unsigned long long blocked_of(const char *tid)
{
    unsigned long long blocked = 0;
    char path[96], line[128];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", tid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "SigBlk:", 7) == 0)
            blocked = strtoull(line + 7, NULL, 16);
    if (file != NULL)
        fclose(file);
    return blocked;
}

static struct thread_facts look_at_threads(void)
{
    const unsigned long long wanted = 1ull << (SIGUSR1 - 1) | 1ull << (SIGINT - 1);
    struct thread_facts facts = {0};
    DIR *dir = opendir("/proc/self/task");

    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[96], name[32] = "";
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL || fgets(name, sizeof(name), file) == NULL)
            name[0] = '\0';
        if (file != NULL)
            fclose(file);
        if (strcmp(name, "pawl-s0\n") == 0 || strcmp(name, "pawl-s1\n") == 0)
            facts.shards++;
        else if (strcmp(name, "pawl-mon\n") == 0)
            facts.monitors++;
        else
            continue;
        facts.unblocked += (blocked_of(entry->d_name) & wanted) != wanted;
    }
    closedir(dir);
    return facts;
}

Test(runtime, threads_are_those_asked_for_with_names_and_without_signals)
{
    const unsigned before = threads_now();
    struct world *world = world_create(PAWL_DRIVE_THREADS, 2);
    struct thread_facts facts;

    world_open(world);
    cr_assert(threads_become(before));
    cr_assert_eq(pawl_start(world->runtime), 0);
    cr_assert(threads_become(before + 3));
    /* A thread names itself when it runs; the answer to a creation says so of the shards. */
    create_on(world, MACHINE_PROBE, 0);
    create_on(world, MACHINE_PROBE, 1);
    do
        facts = look_at_threads();
    while (facts.monitors == 0);
    cr_assert_eq(facts.shards, 2u);
    cr_assert_eq(facts.monitors, 1u);
    cr_assert_eq(facts.unblocked, 0u);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert(threads_become(before));
    world_close(world);
}

Test(runtime, the_host_driven_mode_has_no_thread)
{
    const unsigned before = threads_now();
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);

    post_to(world, create_on(world, MACHINE_PROBE, 2), EV_HIT);
    settle(world);
    cr_assert_eq(load_acquire(&world->probe.hits), 1u);
    cr_assert(threads_become(before));
    world_close(world);
}

Test(runtime, signals_and_environment_of_the_host_are_left_alone)
{
    struct sigaction before[NSIG], after;
    sigset_t mask_before, mask_after;
    extern char **environ;
    char **const environment = environ;
    const char *const first = environ != NULL ? environ[0] : NULL;
    struct world *world;

    memset(before, 0, sizeof(before));
    for (int s = 1; s < NSIG; s++)
        sigaction(s, NULL, &before[s]);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    world = world_start(PAWL_DRIVE_THREADS, 2);
    post_to(world, create_on(world, MACHINE_PROBE, 1), EV_HIT);
    wait_for(&world->probe.hits, 1);
    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &after) == 0)
            cr_assert_eq(after.sa_handler, before[s].sa_handler, "signal %d", s);
    world_close(world);
    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &after) == 0)
            cr_assert_eq(after.sa_handler, before[s].sa_handler, "signal %d", s);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int s = 1; s < NSIG; s++)
        cr_assert_eq(sigismember(&mask_before, s), sigismember(&mask_after, s), "signal %d", s);
    cr_assert_eq(environ, environment);
    cr_assert_eq(environ != NULL ? environ[0] : NULL, first);
}
