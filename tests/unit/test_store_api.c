#include <pthread.h>
#include <sched.h>

#include "support/store_fixture.h"

Test(store_api, without_a_store_there_is_nothing_to_ask)
{
    struct fixture f;
    struct pawl_store_status status;

    fixture_open(&f, NULL);
    cr_assert_eq(pawl_sync(f.runtime, 0), -ENOTSUP);
    cr_assert_eq(pawl_snapshot(f.runtime, 0), -ENOTSUP);
    cr_assert_eq(pawl_shard_store(f.runtime, 0, &status), -ENOTSUP);
    cr_assert_eq(pawl_shard_store(f.runtime, 1, &status), -EINVAL);
    fixture_close(&f);
}

Test(store_api, before_the_start_and_after_the_stop_it_says_busy)
{
    struct store_fixture s;

    store_init(&s, NULL);
    cr_assert_eq(store_try_open(&s), 0);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EBUSY);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EBUSY);
    store_start(&s);
    cr_assert(store_settle(&s));
    store_stop(&s);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EBUSY);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EBUSY);
    store_free(&s);
    store_fini(&s);
}

Test(store_api, a_sync_ends_the_window_of_async_steps)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t begin;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    store_note(&s, task, 7);
    begin = fixture_now(&s.f);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EAGAIN);
    store_run(&s);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), 0);
    cr_assert(fixture_now(&s.f) - begin < FIXTURE_MS);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 7);
    store_end(&s);
}

/* A question that nobody came back for must not answer a later one. */
Test(store_api, a_sync_covers_all_steps_before_the_call_that_says_so)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    store_note(&s, task, 1);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EAGAIN);
    store_run(&s); /* the host has lost interest */
    store_note(&s, task, 2);
    if (pawl_sync(s.f.runtime, 0) == 0) {
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).last, 2, "it was said to be durable");
    }
    store_end(&s);
}

Test(store_api, a_failed_store_says_so)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 1);
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
    cr_assert_eq(store_ask(&s, task, P_NOTE, 1, 0).status, -EIO);
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EIO);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EIO);
    cr_assert_eq(store_status(&s, 0).failed, 0);
    cr_assert_eq(store_status(&s, 1).failed, -EIO);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_shards[0], 1);
    store_end(&s);
}

Test(store_api, a_store_that_fails_in_a_snapshot_says_so)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EAGAIN);
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
    store_post(&s, task, P_NOTE, 1, 0, 1);
    store_run(&s);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EIO);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EIO);
    store_end(&s);
}

Test(store_api, a_snapshot_is_asked_of_every_shard_and_waited_for)
{
    const struct store_fixture_options options = {.shards = 3};
    struct store_fixture s;

    store_begin(&s, &options);
    for (unsigned i = 0; i < 30; i++)
        store_create(&s, M_SYNC, i % 3);
    for (uint64_t round = 1; round <= 3; round++) {
        cr_assert_eq(store_snapshot(&s), 0);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(store_status(&s, i).snapshots, round);
    }
    store_end(&s);
}

Test(store_api, the_status_counts_what_was_written_and_recovered)
{
    struct store_fixture s;
    struct pawl_task task;
    struct pawl_store_status before, after;

    store_begin(&s, NULL);
    cr_assert_eq(store_status(&s, 0).epoch, 1);
    task = store_create(&s, M_SYNC, 0);
    before = store_status(&s, 0);
    store_post(&s, task, P_NOTE, 1, 0, 1);
    fixture_turn(&s.f);
    after = store_status(&s, 0);
    cr_assert_eq(after.frames, before.frames + 1);
    cr_assert_eq(after.durable_frames, before.frames);
    cr_assert_eq(after.entries, before.entries + 1);
    store_run(&s);
    after = store_status(&s, 0);
    cr_assert_eq(after.durable_frames, after.frames);
    store_note(&s, task, 1);
    cr_assert(store_status(&s, 0).journal_bytes >= before.journal_bytes + 4096);
    for (unsigned i = 0; i < 9; i++)
        store_create(&s, M_SYNC, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    after = store_status(&s, 0);
    cr_assert_eq(after.epoch, 2);
    cr_assert_eq(after.recovered_tasks, 10);
    cr_assert(after.recovered_entries >= 12);
    cr_assert_eq(after.resent, 0);
    cr_assert_eq(after.failed, 0);
    store_end(&s);
}

/* ---- threads ------------------------------------------------------------------------------------- */

struct threaded {
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    char directory[64];
};

static void threaded_open(struct threaded *t, unsigned durability)
{
    struct pawl_machine_def definition = puppet_machine;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;

    definition.durability = (enum pawl_durability)durability;
    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &t->machine), 0);
    store.directory = t->directory;
    store.segment_bytes = 1u << 20;
    options.machines = (const struct pawl_machine *const *)&t->machine;
    options.machine_count = 1;
    options.shards = 2;
    options.no_pin = 1;
    options.no_huge_pages = 1;
    options.store = &store;
    options.diagnose = fixture_on_finding;
    cr_assert_eq(pawl_open(&options, &t->runtime), 0);
    cr_assert_eq(pawl_start(t->runtime), 0);
    cr_assert_eq(pawl_port_open(t->runtime, NULL, &t->port), 0);
}

static void threaded_close(struct threaded *t)
{
    cr_assert_eq(pawl_stop(t->runtime), 0);
    cr_assert_eq(pawl_port_close(t->port, 0), 0);
    cr_assert_eq(pawl_close(t->runtime), 0);
    pawl_machine_destroy(t->machine);
}

static int remove_name(void *argument, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", (const char *)argument, name);
    remove(path);
    return 0;
}

Test(store_api, with_threads_a_sync_and_a_snapshot_return_when_they_are_done)
{
    struct threaded t = {.directory = "/tmp/pawl-test-store-XXXXXX"};
    struct pawl_task tasks[2];
    struct puppet puppet;
    struct pawl_view view = {.context = &puppet, .context_capacity = sizeof(puppet)};
    struct pawl_store_status status;

    cr_assert(mkdtemp(t.directory) != NULL);
    for (unsigned round = 1; round <= 3; round++) {
        threaded_open(&t, PAWL_DURABILITY_ASYNC);
        for (unsigned i = 0; i < 2; i++) {
            const struct pawl_task_spec spec = {.shard = i};

            if (round == 1)
                cr_assert_eq(pawl_task_create(t.runtime, &spec, &tasks[i]), 0);
            for (unsigned n = 0; n < 100; n++)
                cr_assert_eq(pawl_port_post(t.port,
                                            &(struct pawl_event){.task = tasks[i],
                                                                 .code = P_CALL,
                                                                 .flags = PAWL_EVENT_COMPLETE},
                                            1),
                             1);
        }
        for (unsigned n = 0; n < 200;) {
            struct pawl_completion completion;

            cr_assert_eq(pawl_port_wait(t.port, UINT64_MAX), 0);
            while (pawl_port_reap(t.port, &completion, 1) == 1) {
                cr_assert_eq(completion.status, 0);
                n++;
            }
        }
        cr_assert_eq(pawl_sync(t.runtime, UINT64_MAX), 0);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert_eq(pawl_shard_store(t.runtime, i, &status), 0);
            cr_assert(status.durable_frames >= status.frames);
        }
        cr_assert_eq(pawl_snapshot(t.runtime, UINT64_MAX), 0);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert_eq(pawl_shard_store(t.runtime, i, &status), 0);
            cr_assert_eq(status.snapshots, 1);
            cr_assert_eq(pawl_task_peek(t.runtime, tasks[i], &view), 0);
            cr_assert_eq(view.version, 1 + 100 * round);
        }
        threaded_close(&t);
        if (round == 1) /* nothing was left open or running: it opens again at once */
            continue;
    }
    pawl_storage_posix.list(pawl_storage_posix.user, t.directory, remove_name, t.directory);
    cr_assert_eq(remove(t.directory), 0);
}

Test(store_api, with_threads_what_waits_at_the_stop_is_written_and_told)
{
    struct threaded t = {.directory = "/tmp/pawl-test-store-XXXXXX"};
    struct pawl_task task;
    struct pawl_task_spec spec = {.shard = 0};
    struct pawl_view view = {0};
    uint32_t good = 0;

    cr_assert(mkdtemp(t.directory) != NULL);
    threaded_open(&t, PAWL_DURABILITY_SYNC);
    cr_assert_eq(pawl_task_create(t.runtime, &spec, &task), 0);
    for (unsigned n = 0; n < 500; n++)
        cr_assert_eq(pawl_port_post(t.port,
                                    &(struct pawl_event){
                                        .task = task, .code = P_CALL, .flags = PAWL_EVENT_COMPLETE},
                                    1),
                     1);
    cr_assert_eq(pawl_stop(t.runtime), 0);
    for (struct pawl_completion completion; pawl_port_reap(t.port, &completion, 1) == 1;) {
        cr_assert(completion.status == 0 || completion.status == -ECANCELED, "%d",
                  completion.status);
        good += completion.status == 0;
    }
    cr_assert_eq(pawl_port_outstanding(t.port), 0);
    threaded_close(&t);
    threaded_open(&t, PAWL_DURABILITY_SYNC);
    cr_assert_eq(pawl_task_peek(t.runtime, task, &view), 0);
    cr_assert_eq(view.version, 1 + good);
    threaded_close(&t);
    pawl_storage_posix.list(pawl_storage_posix.user, t.directory, remove_name, t.directory);
    cr_assert_eq(remove(t.directory), 0);
}

/* ---- threads ------------------------------------------------------------------------------------- */

enum { ASKERS = 3, ANSWERS = 20 };

static _Atomic uint32_t answers;

static void *ask_for_snapshots(void *runtime)
{
    while (load_acquire(&answers) < ANSWERS) {
        const int result = pawl_snapshot(runtime, 0);

        cr_assert(result == 0 || result == -EAGAIN, "%d", result);
        if (result == 0)
            add_acq_rel(&answers, 1);
    }
    return NULL;
}

/* What is waited for is kept between calls. ThreadSanitizer sees at once if no mutex keeps it. */
Test(store_api, snapshots_may_be_asked_for_by_several_threads_in_the_host_driven_mode)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    pthread_t threads[ASKERS];

    store_begin(&s, &options);
    store_note(&s, store_create(&s, M_SYNC, 0), 1);
    store_release(&answers, 0);
    for (unsigned i = 0; i < ASKERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_for_snapshots, s.f.runtime), 0);
    for (unsigned i = 0; load_acquire(&answers) < ANSWERS; i++) {
        cr_assert(i < 1000000, "no more than %u answers come", load_acquire(&answers));
        store_advance(&s, FIXTURE_MS);
        sched_yield();
    }
    for (unsigned i = 0; i < ASKERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    store_end(&s);
}
