#include "store/reader.h"
#include "support/store_fixture.h"

/* ---- groups -------------------------------------------------------------------------------------- */

Test(durable_turn, one_step_alone_is_written_at_once)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;

    store_init(&s, NULL);
    store_open(&s);
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
    store_close(&s);
    store_fini(&s);
}

/* While the disk is busy with as many writes as it may have, what comes shares the next one. */
Test(durable_turn, steps_that_come_meanwhile_share_one_write)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = UINT64_MAX;
    options.store.writes_max = 1;
    store_init(&s, &options);
    store_open(&s);
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
    store_close(&s);
    store_fini(&s);
}

Test(durable_turn, no_more_groups_are_under_way_than_allowed)
{
    for (unsigned max = 1; max <= 6; max++) {
        struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
        struct store_fixture s;
        struct pawl_task task;
        unsigned most = 0;

        options.store.segment_bytes = 1u << 20;
        options.store.snapshot_bytes = UINT64_MAX;
        options.store.writes_max = max;
        options.latency_min_ns = 1000;
        options.latency_max_ns = 100000;
        store_init(&s, &options);
        store_open(&s);
        task = store_create(&s, M_SYNC, 0);
        for (uint32_t i = 0; i < 100; i++) {
            store_post(&s, task, P_NOTE, i, 0, i);
            fixture_turn(&s.f);
            most = sim_disk_under_way(s.disk) > most ? sim_disk_under_way(s.disk) : most;
            if (i % 9 == 8)
                store_disk_step(&s);
        }
        cr_assert_eq(most, max);
        store_close(&s);
        store_fini(&s);
    }
}

Test(durable_turn, async_steps_are_written_at_the_end_of_their_window)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t writes;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = UINT64_MAX;
    options.store.window_ns = 5 * FIXTURE_MS;
    store_init(&s, &options);
    store_open(&s);
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
    store_close(&s);
    store_fini(&s);
}

/* A host that sleeps until the next timer must not sleep through the end of a window. */
Test(durable_turn, the_end_of_a_window_is_a_time_to_look_at_the_shard)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t next;

    store_init(&s, NULL);
    store_open(&s);
    task = store_create(&s, M_ASYNC, 0);
    store_note(&s, task, 1);
    next = pawl_shard_next_timer_ns(s.f.runtime, 0);
    cr_assert(next <= fixture_now(&s.f) + 10 * FIXTURE_MS);
    pawl_virtual_clock_advance_to(s.f.clock, next);
    store_run(&s);
    cr_assert_eq(store_status(&s, 0).durable_frames, store_status(&s, 0).frames);
    store_close(&s);
    store_fini(&s);
}

Test(durable_turn, a_full_group_does_not_wait_for_the_window)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t before;

    store_init(&s, NULL);
    store_open(&s);
    task = store_create(&s, M_ASYNC, 0);
    before = store_op_count(&s, SIM_QUEUE_WRITE);
    for (unsigned i = 0; i < 5000; i++) { /* 48 bytes each: 240 KiB */
        fixture_send(&s.f, task, P_NOTE, 0);
        trace_clear();
        if (i % 64 == 63)
            store_turns(&s);
    }
    cr_assert(store_op_count(&s, SIM_QUEUE_WRITE) > before);
    store_close(&s);
    store_fini(&s);
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

        store_init(&s, &options);
        store_open(&s);
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
        store_close(&s);
        store_fini(&s);
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
    store_init(&s, &options);
    store_open(&s);
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
    store_close(&s);
    store_fini(&s);
}

/* ---- links --------------------------------------------------------------------------------------- */

Test(durable_turn, what_the_receiver_has_durably_handled_is_not_kept)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target;
    struct durable_link *link;

    store_init(&s, &options);
    store_open(&s);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    link = &store_durable(&s, 0)->links[1];
    for (unsigned i = 0; i < 100; i++) {
        fixture_post(&s.f, &(struct pawl_event){.task = sender,
                                                .code = P_CALL,
                                                .arg = {puppet_word(store_post_note), target.id}});
        store_run(&s);
    }
    for (unsigned i = 0; i < 4; i++) { /* the news of it goes with the turns that follow */
        store_note(&s, sender, 1);
        store_note(&s, target, 1);
    }
    cr_assert_eq(link->sent[DURABLE_ORDINARY], 100);
    cr_assert_eq(link->confirmed[DURABLE_ORDINARY], 100);
    cr_assert_eq(fifo_count(&link->kept[DURABLE_ORDINARY]), 0);
    store_close(&s);
    store_fini(&s);
}

/* Not even when the receiver has nothing else to write: what it holds must not grow for ever. */
Test(durable_turn, nothing_is_kept_for_a_receiver_that_has_become_quiet)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target;

    store_init(&s, &options);
    store_open(&s);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    for (unsigned i = 0; i < 20; i++)
        fixture_post(&s.f, &(struct pawl_event){.task = sender,
                                                .code = P_CALL,
                                                .arg = {puppet_word(store_post_note), target.id}});
    for (unsigned i = 0; i < 20; i++)
        store_settle(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 20);
    cr_assert_eq(fifo_count(&store_durable(&s, 0)->links[1].kept[DURABLE_ORDINARY]), 0);
    store_close(&s);
    store_fini(&s);
}

/* What it refuses comes again in the next life: the sender must not be told that it is safe. */
Test(durable_turn, a_shard_that_has_failed_at_rest_confirms_nothing)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target;

    store_init(&s, &options);
    store_open(&s);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    store_settle(&s); /* every frame of shard 1 is on disk: what fails is not one of them */
    store_release(&store_durable(&s, 1)->journal.failed, -EIO);
    for (unsigned i = 0; i < 5; i++) {
        fixture_post(&s.f, &(struct pawl_event){.task = sender,
                                                .code = P_CALL,
                                                .arg = {puppet_word(store_post_note), target.id}});
        store_settle(&s);
    }
    cr_assert_eq(store_durable(&s, 0)->links[1].sent[DURABLE_ORDINARY], 5);
    cr_assert_eq(store_durable(&s, 0)->links[1].confirmed[DURABLE_ORDINARY], 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_settle(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 5);
    store_close(&s);
    store_fini(&s);
}

/* ---- the end ------------------------------------------------------------------------------------- */

Test(durable_turn, a_stop_tells_what_became_of_everything)
{
    struct store_fixture s;
    struct pawl_task task;
    uint32_t told = 0;

    store_init(&s, NULL);
    store_open(&s);
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
    store_close(&s);
    store_fini(&s);
}

Test(durable_turn, what_tasks_have_sent_and_deferred_outlives_a_stop)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target, keeper;

    store_init(&s, &options);
    store_open(&s);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    keeper = store_create(&s, M_SYNC, 0);
    fixture_send(&s.f, keeper, P_WAIT, 7);   /* nobody waits for it: kept */
    store_post(&s, keeper, P_WAIT, 8, 0, 1); /* cancelled, and told so */
    store_run(&s);
    for (unsigned i = 0; i < 5; i++) {
        fixture_post(&s.f, &(struct pawl_event){.task = sender,
                                                .code = P_CALL,
                                                .arg = {puppet_word(store_post_note), target.id}});
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
    store_close(&s);
    store_fini(&s);
}
