#include "store/reader.h"
#include "support/store_fixture.h"

/* ---- what comes back ----------------------------------------------------------------------------- */

static void arm_three(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_arm(step, 0, 5 * FIXTURE_SECOND);
    pawl_step_arm(step, 1, 9 * FIXTURE_SECOND);
    pawl_step_arm(step, 2, 7 * FIXTURE_SECOND);
}

static void cancel_two(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_cancel(step, 1);
    pawl_step_cancel(step, 2);
}

Test(durable, timers_come_back_with_what_they_had_left)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, arm_three, 0).status, 0);
    store_advance(&s, 4 * FIXTURE_SECOND);
    store_note(&s, task, 100); /* time is that of the last frame */
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_advance(&s, FIXTURE_SECOND / 2);
    cr_assert(TRACE_IS());
    store_advance(&s, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    store_advance(&s, 4 * FIXTURE_SECOND);
    cr_assert(TRACE_IS(0, 2, 1));
    store_end(&s);
}

Test(durable, cancelled_timers_do_not_come_back)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, arm_three, 0).status, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, cancel_two, 0).status, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_advance(&s, 20 * FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    store_run(&s);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_advance(&s, 20 * FIXTURE_SECOND);
    cr_assert(TRACE_IS()); /* what has fired does not come back either */
    store_end(&s);
}

Test(durable, deferred_events_come_back_in_order)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    for (uint64_t i = 1; i <= 20; i++)
        fixture_send(&s.f, task, P_WAIT, i);
    store_run(&s);
    store_note(&s, task, 99);
    cr_assert(TRACE_IS(99));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_note(&s, task, 98);
    cr_assert(TRACE_IS(98));
    cr_assert_eq(store_ask(&s, task, P_MOVE, 0, 0).status, 0);
    cr_assert_eq(trace.count, 21);
    for (unsigned i = 1; i <= 20; i++)
        cr_assert_eq(trace.words[i], i);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(store_ask(&s, task, P_BACK, 0, 0).status, 0);
    cr_assert_eq(store_ask(&s, task, P_MOVE, 0, 0).status, 0);
    cr_assert(TRACE_IS()); /* nothing is left */
    store_end(&s);
}

/* Nobody's journal knows the slot when its first event comes. */
static void create_and_post(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = pawl_step_shard(step)};
    struct pawl_task task;

    (void)event;
    pawl_step_create(step, &spec, PAWL_NO_REPLY, &task);
    /* A control event overtakes the creation. */
    pawl_step_post(step,
                   &(struct pawl_event){
                       .task = task, .code = P_WAIT, .flags = PAWL_EVENT_CONTROL, .arg = {5}});
    puppet->last = task.id;
}

Test(durable, what_a_memory_only_task_posts_to_a_task_that_it_has_just_made_is_kept)
{
    struct store_fixture s;
    struct pawl_task maker, made;

    store_begin(&s, NULL);
    maker = store_create(&s, M_MEMORY, 0);
    store_call(&s, maker, P_CALL, create_and_post, 0);
    made.id = fixture_puppet_of(&s.f, maker).last;
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    trace_clear();
    cr_assert_eq(store_ask(&s, made, P_MOVE, 0, 0).status, 0);
    cr_assert(TRACE_IS(5));
    store_end(&s);
}

Test(durable, keys_come_back_and_ended_tasks_do_not)
{
    struct store_fixture s;
    struct pawl_task_spec spec = {.machine = M_SYNC, .key = "alpha", .key_size = 5};
    struct pawl_task alpha, beta, found;

    store_begin(&s, NULL);
    cr_assert_eq(store_try_create(&s, &spec, &alpha), 0);
    spec.key = "beta";
    spec.key_size = 4;
    cr_assert_eq(store_try_create(&s, &spec, &beta), 0);
    store_note(&s, alpha, 1);
    store_note(&s, beta, 2);
    cr_assert_eq(store_ask(&s, beta, P_END, 0, 0).status, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(pawl_task_find(s.f.runtime, "alpha", 5, &found), 0);
    cr_assert_eq(found.id, alpha.id);
    cr_assert_eq(fixture_puppet_of(&s.f, alpha).last, 1);
    cr_assert_eq(pawl_task_find(s.f.runtime, "beta", 4, &found), -ENOENT);
    cr_assert(!fixture_is_alive(&s.f, beta));
    /* Its key is free, its id is not. */
    cr_assert_eq(store_try_create(&s, &spec, &found), 0);
    cr_assert(found.id != beta.id);
    cr_assert(!fixture_is_alive(&s.f, beta));
    store_end(&s);
}

Test(durable, memory_only_tasks_are_gone_and_their_ids_are_stale)
{
    struct store_fixture s;
    struct pawl_task memory[50], sync, fresh;

    store_begin(&s, NULL);
    for (unsigned i = 0; i < 50; i++)
        memory[i] = store_create_undurable(&s, M_MEMORY, 0);
    sync = store_create(&s, M_SYNC, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert(fixture_is_alive(&s.f, sync));
    for (unsigned i = 0; i < 200; i++) {
        fresh = store_create_undurable(&s, M_MEMORY, 0);
        for (unsigned j = 0; j < 50; j++)
            cr_assert(memory[j].id != fresh.id, "an id means another task now");
    }
    for (unsigned i = 0; i < 50; i++)
        cr_assert(!fixture_is_alive(&s.f, memory[i]));
    store_end(&s);
}

/* Of a shard that has nothing durable, its journal holds which ids were given out, and nothing else. */
Test(durable, ids_of_memory_only_tasks_alone_are_not_used_again)
{
    struct store_fixture s;
    struct pawl_task first;

    store_begin(&s, NULL);
    first = store_create(&s, M_MEMORY, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    for (unsigned i = 0; i < 100; i++)
        cr_assert(store_create_undurable(&s, M_MEMORY, 0).id != first.id);
    store_end(&s);
}

/* ---- ids ----------------------------------------------------------------------------------------- */

Test(durable, ids_are_never_used_again_over_many_crashes)
{
    enum { ROUNDS = 40, EACH = 24 };
    static uint64_t seen[ROUNDS * EACH];
    struct store_fixture s;
    unsigned count = 0;

    store_init(&s, NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        store_open(&s);
        for (unsigned i = 0; i < EACH; i++) {
            const struct pawl_task task = store_create_undurable(&s, i % M_COUNT, 0);

            for (unsigned j = 0; j < count; j++)
                cr_assert(seen[j] != task.id, "round %u: id %llx comes again", round,
                          (unsigned long long)task.id);
            seen[count++] = task.id;
            if (i % 3 == 0)
                store_run(&s);
            if (i % 2 == 0)
                fixture_send(&s.f, task, P_END, 0);
        }
        /* What is told is durable: of the rest some ids may be lost, but were seen by nobody but this test. */
        store_settle(&s);
        store_crash(&s, round % 2 != 0 ? SIM_CRASH_POWER : SIM_CRASH_KILL);
    }
    store_open(&s);
    for (unsigned j = 0; j < count; j++) {
        /* Those that were ended stay so. */
        if (j % EACH % 2 == 0)
            cr_assert(!fixture_is_alive(&s.f, (struct pawl_task){seen[j]}));
    }
    store_end(&s);
}

/* ---- creations by steps -------------------------------------------------------------------------- */

static struct pawl_task made_by_step;

static void create_two(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    struct pawl_task_spec spec = {.machine = (unsigned)event->arg[1], .shard = 0};
    struct pawl_task away;

    pawl_step_create(step, &spec, PAWL_NO_REPLY, &made_by_step);
    pawl_step_post(
        step, &(struct pawl_event){.task = made_by_step, .code = P_NOTE, .arg = {++puppet->count}});
    spec.shard = 1;
    pawl_step_create(step, &spec, P_REPLY, &away);
}

static void check_creations(enum sim_crash how, unsigned machine, unsigned turns)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task parent;
    uint64_t answered, alive = 0;
    struct pawl_walk walk = {0};

    store_begin(&s, &options);
    parent = store_create(&s, M_SYNC, 0);
    fixture_post(&s.f, &(struct pawl_event){.task = parent,
                                            .code = P_CALL,
                                            .arg = {puppet_word(create_two), machine}});
    for (unsigned i = 0; i < turns; i++) {
        pawl_turn(s.f.runtime, i & 1);
        if (i & 1)
            store_disk_step(&s);
    }
    store_crash(&s, how);
    store_open(&s);
    store_run(&s);
    answered = fixture_puppet_of(&s.f, parent).count;
    cr_assert(answered == 0 || answered == 2, "after %u turns: %llu", turns,
              (unsigned long long)answered);
    while (!walk.done) {
        const struct pawl_filter filter = {.machine = machine, .state = PAWL_ANY};
        struct pawl_view view[16];

        memset(view, 0, sizeof(view));
        alive += (uint64_t)pawl_task_walk(s.f.runtime, &walk, &filter, view, 16, 100000);
    }
    /* Both or neither, the parent itself not counted. */
    cr_assert_eq(alive, answered + (machine == M_SYNC), "after %u turns: %llu alive, %llu", turns,
                 (unsigned long long)alive, (unsigned long long)answered);
    if (answered > 0)
        cr_assert_eq(fixture_puppet_of(&s.f, made_by_step).last, 1);
    store_end(&s);
}

Test(durable, creations_by_a_step_happen_once_wherever_it_crashes)
{
    for (unsigned turns = 1; turns < 14; turns++) {
        check_creations(SIM_CRASH_POWER, M_SYNC, turns);
        check_creations(SIM_CRASH_KILL, M_SYNC, turns);
    }
}

/* ---- large things -------------------------------------------------------------------------------- */

static void post_large(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    for (uint64_t i = 0; i < 12; i++) {
        struct pawl_buffer *const buffer = store_buffer(60000 + i, (int)i);

        if (pawl_step_post(step, &(struct pawl_event){.task = {event->arg[1]},
                                                      .code = P_WAIT,
                                                      .flags = PAWL_EVENT_BUFFER,
                                                      .arg = {(uint64_t)(uintptr_t)buffer}}) != 0)
            pawl_buffer_unref(buffer);
    }
    puppet->count++;
}

/* Counts the journal's frames that go on in the next one. */
static unsigned count_more(struct store_fixture *s)
{
    struct store_file *files;
    size_t count;
    unsigned more = 0;

    cr_assert_eq(pawl__store_list(&s->storage, STORE_DIRECTORY, &files, &count), 0);
    for (size_t i = 0; i < count; i++) {
        struct reader reader;
        struct reader_frame frame;

        if (files[i].kind != FILE_JOURNAL ||
            pawl__reader_open(&reader, &s->storage, STORE_DIRECTORY, &files[i], 0) != 0)
            continue;
        while (pawl__reader_next(&reader, &frame) == READER_FRAME)
            more += (frame.header.flags & FRAME_MORE) != 0;
        cr_assert(reader.result != READER_CORRUPT && reader.result != READER_FAILED, "%s",
                  reader.what);
        pawl__reader_close(&reader);
    }
    free(files);
    return more;
}

Test(durable, a_step_larger_than_a_group_takes_effect_as_a_whole)
{
    bool was_whole = false, was_not = false;

    for (unsigned ends = 0; ends <= 5; ends++) {
        const struct store_fixture_options options = {
            .seed = ends + 1, .shards = 2, .latency_min_ns = 1000, .latency_max_ns = 100000};
        struct store_fixture s;
        struct pawl_task sender, target;
        bool sent;

        store_begin(&s, &options);
        sender = store_create(&s, M_SYNC, 0);
        target = store_create(&s, M_SYNC, 1);
        store_post_call(&s, sender, post_large, target);
        fixture_turn(&s.f);
        for (unsigned i = 0; i < ends; i++) {
            store_disk_step(&s);
            fixture_turn(&s.f);
        }
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        sent = fixture_puppet_of(&s.f, sender).count == 1;
        was_whole |= sent;
        was_not |= !sent;
        store_run(&s);
        if (sent)
            cr_assert(count_more(&s) >= 2);
        cr_assert_eq(store_ask(&s, target, P_MOVE, 0, 0).status, 0);
        cr_assert_eq(trace.count, sent ? 12u : 0u, "%u of 12 came", trace.count);
        store_end(&s);
    }
    cr_assert(was_whole && was_not);
}

static void post_too_large(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    struct pawl_buffer *const buffer = store_buffer((64u << 10) + 1, 1);
    const int error =
        pawl_step_post(step, &(struct pawl_event){.task = {event->arg[1]},
                                                  .code = P_NOTE,
                                                  .flags = PAWL_EVENT_BUFFER,
                                                  .arg = {(uint64_t)(uintptr_t)buffer}});

    puppet->count++;
    cr_assert(error < 0);
    pawl_buffer_unref(buffer);
}

Test(durable, a_buffer_that_no_entry_holds_is_refused_and_nothing_happens)
{
    struct store_fixture s;
    struct pawl_task task;
    struct pawl_buffer *buffer;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    cr_assert_eq(store_call(&s, task, P_CALL, post_too_large, task.id).status, -ENOSPC);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 0);
    /* One that it would have to defer. */
    buffer = store_buffer((64u << 10) + 1, 1);
    fixture_post(&s.f, &(struct pawl_event){.task = task,
                                            .code = P_WAIT,
                                            .flags = PAWL_EVENT_COMPLETE | PAWL_EVENT_BUFFER,
                                            .arg = {(uint64_t)(uintptr_t)buffer}});
    store_run(&s);
    cr_assert_eq(fixture_reap(&s.f).status, -ENOSPC);
    store_end(&s);
}

/* ---- deferrals that are more than the journal's buffers ------------------------------------------ */

static void keeper_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)event;
    ++*(uint64_t *)context;
}

static const char *const keeper_events[] = {"wait", "toggle", "open"};
static const char *const keeper_defers[] = {"wait", NULL};
static const struct pawl_state_def keeper_states[] = {
    {.name = "a", .defers = keeper_defers},
    {.name = "b", .defers = keeper_defers},
    {.name = "c"},
};
static const struct pawl_transition_def keeper_transitions[] = {
    {.from = "a", .on = "toggle", .to = "b"},
    {.from = "b", .on = "toggle", .to = "a"},
    {.from = "a", .on = "open", .to = "c"},
    {.from = "b", .on = "open", .to = "c"},
    {.from = "c", .on = "wait", .action = keeper_note},
};
static const struct pawl_machine_def keeper = {.name = "keeper",
                                               FIXTURE_TABLE(events, keeper_events),
                                               FIXTURE_TABLE(states, keeper_states),
                                               FIXTURE_TABLE(transitions, keeper_transitions),
                                               .context_size = 8,
                                               .deferred_max = 1000,
                                               .durability = PAWL_DURABILITY_SYNC};
enum { K_WAIT, K_TOGGLE, K_OPEN };

static void keep_large(struct store_fixture *s, struct pawl_task task, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fixture_post(
            &s->f, &(struct pawl_event){.task = task,
                                        .code = K_WAIT,
                                        .flags = PAWL_EVENT_BUFFER,
                                        .arg = {(uint64_t)(uintptr_t)store_buffer(64u << 10, 1)}});
        if (i % 8 == 7)
            store_run(s);
    }
    store_run(s);
}

static uint64_t keeper_count(struct store_fixture *s, struct pawl_task task)
{
    uint64_t count = 0;

    fixture_view(&s->f, task, &count, sizeof(count));
    return count;
}

/* More than so much is not kept: what is kept is written down together, whenever the state changes. */
Test(durable, a_task_keeps_what_can_be_written_at_once_and_refuses_the_rest)
{
    const struct store_fixture_options options = {.machines = {&keeper}};
    struct store_fixture s;
    struct pawl_task task;
    unsigned kept;

    store_begin(&s, &options);
    task = store_create(&s, 0, 0);
    keep_large(&s, task, 160);
    kept = 160 - s.f.undelivered_count;
    cr_assert(kept >= 8, "%u are kept", kept);
    for (unsigned i = 0; i < s.f.undelivered_count; i++)
        cr_assert_eq(s.f.undelivered[i].reason, -ENOSPC);
    s.f.undelivered_count = 0;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(store_ask(&s, task, K_TOGGLE, 0, 0).status, 0);
    cr_assert_eq(s.f.undelivered_count, 0, "%u were given up: %d", s.f.undelivered_count,
                 s.f.undelivered[0].reason);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(store_ask(&s, task, K_OPEN, 0, 0).status, 0);
    store_run(&s);
    cr_assert_eq(keeper_count(&s, task), kept);
    store_end(&s);
}

Test(durable, a_stop_with_more_deferred_than_the_buffers_take_loses_nothing)
{
    const struct store_fixture_options options = {.machines = {&keeper}};
    struct store_fixture s;
    struct pawl_task task[30]; /* 15 MiB of them */

    store_begin(&s, &options);
    for (unsigned i = 0; i < 30; i++) {
        task[i] = store_create(&s, 0, 0);
        keep_large(&s, task[i], 8);
    }
    cr_assert_eq(s.f.undelivered_count, 0);
    cr_assert(store_settle(&s));
    store_reopen(&s);
    for (unsigned i = 0; i < 30; i++) {
        cr_assert_eq(store_ask(&s, task[i], K_OPEN, 0, 0).status, 0);
        store_run(&s);
        cr_assert_eq(keeper_count(&s, task[i]), 8);
    }
    store_end(&s);
}

/* Nothing is lost, and nothing breaks, when the disk stands still meanwhile. */
Test(durable, a_recall_while_the_disk_stands_still_loses_nothing)
{
    const struct store_fixture_options options = {.machines = {&keeper}};
    struct store_fixture s;
    struct pawl_task task[30];

    store_begin(&s, &options);
    for (unsigned i = 0; i < 30; i++) {
        task[i] = store_create(&s, 0, 0);
        keep_large(&s, task[i], 8);
    }
    cr_assert_eq(s.f.undelivered_count, 0);
    cr_assert(store_settle(&s));
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 30; i++) {
            fixture_send(&s.f, task[i], K_TOGGLE, 0);
            fixture_run(&s.f);
        }
    store_run(&s);
    cr_assert_eq(s.f.undelivered_count, 0, "%u were given up: %d", s.f.undelivered_count,
                 s.f.undelivered[0].reason);
    for (unsigned i = 0; i < 30; i++) {
        cr_assert_eq(store_ask(&s, task[i], K_OPEN, 0, 0).status, 0);
        store_run(&s);
        cr_assert_eq(keeper_count(&s, task[i]), 8);
    }
    store_end(&s);
}

/* ---- creations after recovery ---- */

static void refuse_entry(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_abort(step, -EPERM);
}

static void make_another(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = 0, .arg = {event->arg[1]}};
    struct pawl_task made;

    (void)puppet;
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &made), 0);
}

/*
 * The creation is asked for before a crash, and made or refused after it; how many tasks there are
 * then.
 */
static uint64_t tasks_after(puppet_fn *entry, unsigned shards)
{
    struct store_fixture s;
    struct pawl_task maker;
    uint64_t tasks;

    store_begin(&s, NULL);
    maker = store_create(&s, M_SYNC, 0);
    store_post(&s, maker, P_CALL, puppet_word(make_another), entry != NULL ? puppet_word(entry) : 0,
               5);
    fixture_turn(&s.f);
    store_disk_step(&s);
    store_crash(&s, SIM_CRASH_POWER);
    s.options.shards = shards;
    store_open(&s);
    cr_assert_eq(store_status(&s, 0).resent, 1);
    cr_assert(store_settle(&s));
    tasks = store_durable(&s, 0)->tasks;
    store_note(&s, maker, 3);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s); /* what the first opening has made of it is written down */
    cr_assert_eq(store_status(&s, 0).resent, 0);
    cr_assert_eq(store_durable(&s, 0)->tasks, tasks);
    store_end(&s);
    return tasks;
}

Test(durable, a_creation_that_is_refused_after_recovery_is_over)
{
    cr_assert_eq(tasks_after(refuse_entry, 1), 1);
    cr_assert_eq(tasks_after(refuse_entry, 2), 1);
}

Test(durable, a_creation_that_is_made_after_recovery_counts_once)
{
    cr_assert_eq(tasks_after(NULL, 1), 2);
    cr_assert_eq(tasks_after(NULL, 2), 2);
}
