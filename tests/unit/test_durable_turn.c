#include "store/reader.h"
#include "support/store_fixture.h"

/* ---- groups -------------------------------------------------------------------------------------- */

Test(durable_turn, one_step_alone_is_written_at_once)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    writes = store_op_count(&s, SIM_QUEUE_WRITE);
    store_post(&s, task, P_NOTE, 5, 0, 1);
    fixture_turn(&s.f);
    cr_assert_eq(store_op_count(&s, SIM_QUEUE_WRITE), writes + 1);
    store_run(&s);
    cr_assert_eq(fixture_reap(&s.f).durability, PAWL_DURABILITY_SYNC);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5);
    store_end(&s);
}

/* While the disk is busy with as many writes as it may have, what comes shares the next one. */
Test(durable_turn, steps_that_come_meanwhile_share_one_write)
{
    struct store_fixture_options options = {.store = store_options()};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;
    options.store.writes_max = 1;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    writes = store_op_count(&s, SIM_QUEUE_WRITE);
    for (uint32_t i = 0; i < 200; i++) {
        store_post(&s, task, P_NOTE, i, 0, i);
        fixture_turn(&s.f);
    }
    cr_assert_eq(store_op_count(&s, SIM_QUEUE_WRITE), writes + 1);
    store_run(&s);
    cr_assert_eq(store_op_count(&s, SIM_QUEUE_WRITE), writes + 2);
    for (uint32_t i = 0; i < 200; i++)
        cr_assert_eq(fixture_reap(&s.f).tag, i);
    store_end(&s);
}

Test(durable_turn, no_more_groups_are_under_way_than_allowed)
{
    for (unsigned max = 1; max <= 6; max++) {
        struct store_fixture_options options = {.store = store_options()};
        struct store_fixture s;
        struct pawl_task task;
        unsigned most = 0;
        options.store.writes_max = max;
        options.latency_min_ns = 1000;
        options.latency_max_ns = 100000;
        store_begin(&s, &options);
        task = store_create(&s, M_SYNC, 0);
        for (uint32_t i = 0; i < 100; i++) {
            store_post(&s, task, P_NOTE, i, 0, i);
            fixture_turn(&s.f);
            most = sim_disk_under_way(s.disk) > most ? sim_disk_under_way(s.disk) : most;
            if (i % 9 == 8)
                store_disk_step(&s);
        }
        cr_assert_eq(most, max);
        store_end(&s);
    }
}

Test(durable_turn, async_steps_are_written_at_the_end_of_their_window)
{
    struct store_fixture_options options = {.store = store_options()};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;
    options.store.window_ns = 5 * FIXTURE_MS;
    store_begin(&s, &options);
    task = store_create(&s, M_ASYNC, 0);
    writes = store_op_count(&s, SIM_QUEUE_WRITE);
    for (unsigned i = 0; i < 4; i++) {
        store_note(&s, task, i);
        pawl_virtual_clock_advance_to(s.f.clock, fixture_now(&s.f) + FIXTURE_MS);
        store_turns(&s);
    }
    cr_assert_eq(store_op_count(&s, SIM_QUEUE_WRITE), writes);
    pawl_virtual_clock_advance_to(s.f.clock, fixture_now(&s.f) + FIXTURE_MS);
    store_turns(&s);
    cr_assert_eq(store_op_count(&s, SIM_QUEUE_WRITE), writes + 1);
    store_run(&s);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 4);
    store_end(&s);
}

/* A host that sleeps until the next timer must not sleep through the end of a window. */
Test(durable_turn, the_end_of_a_window_is_a_time_to_look_at_the_shard)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t next;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    store_note(&s, task, 1);
    next = pawl_shard_next_timer_ns(s.f.runtime, 0);
    cr_assert(next <= fixture_now(&s.f) + 10 * FIXTURE_MS);
    pawl_virtual_clock_advance_to(s.f.clock, next);
    store_run(&s);
    cr_assert_eq(store_status(&s, 0).durable_frames, store_status(&s, 0).frames);
    store_end(&s);
}

Test(durable_turn, a_full_group_does_not_wait_for_the_window)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t before;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    before = store_op_count(&s, SIM_QUEUE_WRITE);
    for (unsigned i = 0; i < 5000; i++) { /* 48 bytes each: 240 KiB */
        fixture_send(&s.f, task, P_NOTE, 0);
        trace_clear();
        if (i % 64 == 63)
            store_turns(&s);
    }
    cr_assert(store_op_count(&s, SIM_QUEUE_WRITE) > before);
    store_end(&s);
}

/* ---- what a crash leaves of async steps ---------------------------------------------------------- */

Test(durable_turn, a_crash_undoes_async_steps_from_some_step_on)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        const struct store_fixture_options options = {
            .seed = seed, .latency_min_ns = 1000, .latency_max_ns = 3000000};
        struct store_fixture s;
        struct pawl_task tasks[3];
        uint64_t sum = 0, last = 0;

        store_begin(&s, &options);
        for (unsigned i = 0; i < 3; i++)
            tasks[i] = store_create(&s, M_ASYNC, 0);
        for (uint64_t i = 1; i <= 90; i++) {
            fixture_send(&s.f, tasks[i % 3], P_NOTE, i);
            pawl_virtual_clock_advance_to(s.f.clock, fixture_now(&s.f) + 500000);
            sim_disk_advance(s.disk, store_now(&s));
            fixture_turn(&s.f);
        }
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        for (unsigned i = 0; i < 3; i++) {
            const struct puppet puppet = fixture_puppet_of(&s.f, tasks[i]);

            sum += puppet.sum;
            last = puppet.last > last ? puppet.last : last;
        }
        cr_assert_eq(sum, last * (last + 1) / 2); /* 1 to `last`, nothing between left out */
        cr_assert(last >= 60, "%llu of 90 within 45 ms", (unsigned long long)last); /* the window */
        store_end(&s);
    }
}

/* ---- the gate ------------------------------------------------------------------------------------ */

static void bulk_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)event;
    ++*(uint64_t *)context;
}

static const char *const bulk_events[] = {"note"};
static const struct pawl_state_def bulk_states[] = {{.name = "live"}};
static const struct pawl_transition_def bulk_transitions[] = {
    {.from = "live", .on = "note", .action = bulk_note}};
static const struct pawl_machine_def bulk = {.name = "bulk",
                                             FIXTURE_TABLE(events, bulk_events),
                                             FIXTURE_TABLE(states, bulk_states),
                                             FIXTURE_TABLE(transitions, bulk_transitions),
                                             .context_size = 4096,
                                             .durability = PAWL_DURABILITY_SYNC};

Test(durable_turn, while_the_disk_stands_still_events_wait_and_none_is_lost)
{
    struct store_fixture_options options = {.machines = {&bulk}, .store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t count = 0, posted = 0, reaped = 0;

    options.store.segment_bytes = 32u << 20;
    options.store.snapshot_bytes = UINT64_MAX;
    store_begin(&s, &options);
    task = store_create(&s, 0, 0);
    for (unsigned round = 0; round < 200; round++) {
        const struct pawl_event event = {.task = task, .flags = PAWL_EVENT_COMPLETE};

        for (unsigned i = 0; i < 64; i++)
            posted += pawl_port_post(s.f.port, &event, 1) == 1;
        fixture_turn(&s.f);
    }
    fixture_view(&s.f, task, &count, sizeof(count));
    /* As much as the buffers take, no more: a turn would not return otherwise. */
    cr_assert(count > 1000 && count < 2100, "%llu", (unsigned long long)count);
    cr_assert(posted > count);
    cr_assert(fixture_nothing_to_reap(&s.f));
    store_run(&s);
    for (struct pawl_completion completion; pawl_port_reap(s.f.port, &completion, 1) == 1;) {
        cr_assert_eq(completion.status, 0);
        reaped++;
    }
    cr_assert_eq(reaped, posted);
    fixture_view(&s.f, task, &count, sizeof(count));
    cr_assert_eq(count, posted);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    fixture_view(&s.f, task, &count, sizeof(count));
    cr_assert_eq(count, posted);
    store_end(&s);
}

/* A pause is no reason to leave the window open. */
Test(durable_turn, what_was_done_before_a_pause_goes_to_disk)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    store_post(&s, task, P_NOTE, 1, 0, 1);
    fixture_turn(&s.f);
    cr_assert_eq(pawl_pause(s.f.runtime), 0);
    while (store_disk_step(&s))
        ;
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 1);
    store_end(&s);
}

/* ---- the end ------------------------------------------------------------------------------------- */

Test(durable_turn, a_stop_tells_what_became_of_everything)
{
    struct store_fixture s;
    struct pawl_task task;
    uint32_t told = 0;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    for (uint32_t tag = 0; tag < 20; tag++) {
        store_post(&s, task, P_NOTE, 1, 0, tag);
        if (tag < 15)
            fixture_turn(&s.f);
    }
    store_stop(&s); /* fifteen steps are made and wait, five events are not taken */
    for (struct pawl_completion completion; pawl_port_reap(s.f.port, &completion, 1) == 1; told++)
        if (completion.tag < 15)
            cr_assert_eq(completion.status, 0, "%u: %d", completion.tag, completion.status);
        else
            cr_assert_eq(completion.status, -ECANCELED);
    cr_assert_eq(told, 20);
    store_free(&s);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 15);
    store_end(&s);
}

Test(durable_turn, what_tasks_have_sent_and_deferred_outlives_a_stop)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target, keeper;

    store_begin(&s, &options);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    keeper = store_create(&s, M_SYNC, 0);
    fixture_send(&s.f, keeper, P_WAIT, 7);   /* nobody waits for it: kept */
    store_post(&s, keeper, P_WAIT, 8, 0, 1); /* cancelled, and told so */
    store_run(&s);
    for (unsigned i = 0; i < 5; i++) {
        store_post_call(&s, sender, store_post_note, target);
        pawl_turn(s.f.runtime, 0); /* held, or on their way */
    }
    store_stop(&s);
    cr_assert_eq(fixture_reap(&s.f).status, -ECANCELED);
    cr_assert_eq(s.f.undelivered_count, 0);
    store_free(&s);
    store_open(&s);
    store_run(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, sender).count, 5);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 5);
    trace_clear();
    cr_assert_eq(store_ask(&s, keeper, P_MOVE, 0, 0).status, 0);
    cr_assert(TRACE_IS(7));
    store_end(&s);
}

/* An async step's completion is long gone: only the callback can say that it is lost. */
Test(durable_turn, a_failure_in_a_stop_is_told)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS(SIM_QUEUE_END),
                                    .nth = 1,
                                    .forever = true,
                                    .error = -EIO};
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    for (unsigned i = 0; i < 10; i++) {
        store_post(&s, task, P_NOTE, i, 0, i);
        fixture_turn(&s.f);
        cr_assert_eq(fixture_reap(&s.f).status, 0);
    }
    cr_assert(sim_disk_fault_add(s.disk, &fault) >= 0);
    store_stop(&s);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_error, -EIO);
    cr_assert(strlen(s.failed_what) > 20);
    store_free(&s);
    store_fini(&s);
}

Test(durable_turn, an_orderly_stop_tells_of_no_failure)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    fixture_send(&s.f, task, P_NOTE, 1);
    fixture_turn(&s.f);
    store_stop(&s);
    cr_assert_eq(s.failed_count, 0, "%s", s.failed_what);
    store_free(&s);
    store_fini(&s);
}

/* Nobody ends the write: it has not failed, and what it holds is lost all the same. */
Test(durable_turn, steps_that_a_stop_could_not_write_are_told)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_ASYNC, 0);
    fixture_send(&s.f, task, P_NOTE, 1);
    fixture_turn(&s.f);
    s.storage.queue_reap = sim_disk_storage(s.disk)->queue_reap;
    store_stop(&s);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_error, -EIO);
    cr_assert(strstr(s.failed_what, "lost") != NULL, "%s", s.failed_what);
    store_free(&s);
    store_fini(&s);
}

/* ---- time ---- */

static void arm(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet;
    cr_assert_eq(pawl_step_arm(step, 0, event->arg[1]), 0);
}

/* Seconds until its timer has fired. */
static unsigned seconds_left(struct store_fixture *s, struct pawl_task task)
{
    unsigned seconds = 0;

    while (fixture_puppet_of(&s->f, task).count == 0) {
        store_advance(s, FIXTURE_SECOND);
        cr_assert(++seconds < 200);
    }
    return seconds;
}

/* Nothing happens for a minute; then the store is closed, or the power fails. */
static unsigned left_after_idleness(bool crash, bool snapshot)
{
    struct store_fixture s;
    struct pawl_task task;
    unsigned left;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, arm, 100 * FIXTURE_SECOND).status, 0);
    store_advance(&s, 58 * FIXTURE_SECOND);
    if (snapshot)
        cr_assert_eq(store_snapshot(&s), 0);
    if (crash)
        store_crash(&s, SIM_CRASH_POWER);
    else
        store_close(&s);
    store_open(&s);
    left = seconds_left(&s, task);
    store_end(&s);
    return left;
}

Test(durable_turn, idle_time_before_an_orderly_close_counts_for_timers)
{
    cr_assert_eq(left_after_idleness(false, false), 43); /* 42 and the moment of the arming */
    cr_assert_eq(left_after_idleness(false, true), 43);
}

Test(durable_turn, a_crash_costs_timers_ten_seconds_at_most)
{
    const unsigned left = left_after_idleness(true, false);

    cr_assert(left >= 43 && left <= 53, "%u", left);
}

static uint64_t frames_of_a_minute(bool timer, bool ended)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t frames;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    if (timer)
        cr_assert_eq(store_call(&s, task, P_CALL, arm, 1000 * FIXTURE_SECOND).status, 0);
    if (ended)
        cr_assert_eq(store_ask(&s, task, P_END, 0, 0).status, 0);
    cr_assert(store_settle(&s));
    frames = store_status(&s, 0).frames;
    store_advance(&s, 60 * FIXTURE_SECOND);
    frames = store_status(&s, 0).frames - frames;
    store_end(&s);
    return frames;
}

Test(durable_turn, an_idle_shard_writes_the_time_only_while_timers_run)
{
    cr_assert_eq(frames_of_a_minute(true, false), 6);
    cr_assert_eq(frames_of_a_minute(false, false), 0);
    cr_assert_eq(frames_of_a_minute(true, true), 0);
}

/* Steps say the time as well. */
Test(durable_turn, a_shard_that_works_writes_no_time)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t frames;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, arm, 1000 * FIXTURE_SECOND).status, 0);
    frames = store_status(&s, 0).frames;
    for (unsigned i = 0; i < 10; i++) {
        store_advance(&s, 9 * FIXTURE_SECOND);
        store_note(&s, task, 1);
    }
    cr_assert_eq(store_status(&s, 0).frames, frames + 10);
    store_end(&s);
}

/* What room is left is for steps and ends. */
Test(durable_turn, on_a_full_disk_no_time_is_written)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t frames;

    options.store.segment_bytes = 64u << 10;
    options.store.snapshot_bytes = UINT64_MAX;
    options.store.quota_bytes = 256u << 10;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, arm, 1000 * FIXTURE_SECOND).status, 0);
    while (load_acquire(&store_durable(&s, 0)->journal.full) == 0)
        store_note(&s, task, 1);
    frames = store_status(&s, 0).frames;
    store_advance(&s, 60 * FIXTURE_SECOND);
    cr_assert_eq(store_status(&s, 0).frames, frames);
    store_close(&s);
    cr_assert_eq(s.failed_count, 0, "%s", s.failed_what);
    store_fini(&s);
}
