/*
 * A step: all of it or nothing, run to completion, in the order that statecharts have.
 */
#include "support/fixture.h"

/* ---- atomicity ----------------------------------------------------------------------------------- */

static struct pawl_task other; /* whom handlers post to */
static int returned[8];        /* what the step's calls returned to a handler */

/* Asks for everything there is, then gives up. */
static void everything_then_abort(struct pawl_step *step, struct puppet *puppet,
                                  const struct pawl_event *event)
{
    struct pawl_task made;
    const struct pawl_task_spec keyed = {.machine = 0, .key = "key", .key_size = 3};
    const struct pawl_task_spec plain = {.machine = 0, .shard = pawl_step_shard(step)};

    puppet->count = 1000;
    puppet->sum = 2000;
    puppet->last = 3000;
    returned[0] = pawl_step_post(step, &(struct pawl_event){.task = other, .code = P_NOTE});
    returned[1] = pawl_step_post(
        step, &(struct pawl_event){.task = other, .code = P_NOTE, .flags = PAWL_EVENT_CONTROL});
    returned[2] = pawl_step_arm(step, 0, 5 * FIXTURE_MS);
    returned[3] = pawl_step_create(step, &keyed, PAWL_NO_REPLY, &made);
    returned[4] = pawl_step_create(step, &plain, PAWL_NO_REPLY, &made);
    returned[5] = pawl_step_raise(step, P_RAISED, 1, 0);
    returned[6] = pawl_step_answer(step, 99);
    returned[7] = pawl_step_ask(step, &(struct pawl_event){.task = other, .code = P_NOTE}, P_REPLY);
    pawl_step_finish(step);
    cr_assert_eq(pawl_step_abort(step, -EIO), -EIO);
    (void)event;
}

static void arm_first(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, 0, 7 * FIXTURE_MS), 0);
    (void)puppet, (void)event;
}

static void check_abort_is_invisible(uint16_t code)
{
    static struct fixture f;
    struct pawl_task task, found;
    struct pawl_view before, after;
    struct puppet puppet;
    struct pawl_completion done;
    struct pawl_counters counters, then;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    other = fixture_puppet(&f, 0);
    fixture_ask(&f, task, P_NOTE, 5, 0);
    fixture_call(&f, task, P_CALL, arm_first);
    trace_clear();
    before = fixture_view(&f, task, NULL, 0);
    counters = fixture_counters(&f);

    done = fixture_call(&f, task, code, everything_then_abort);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(returned[i], 0, "call %u said %d", i, returned[i]);
    cr_assert_eq(done.status, -EIO);
    cr_assert_eq(done.task.id, task.id);
    cr_assert_eq(done.tag, 77);

    after = fixture_view(&f, task, &puppet, sizeof(puppet));
    cr_assert_eq(after.state, before.state);
    cr_assert_eq(after.version, before.version);
    cr_assert(puppet.count == 1 && puppet.sum == 5 && puppet.last == 5);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(fixture_puppet_of(&f, other).count, 0);
    then = fixture_counters(&f);
    cr_assert_eq(then.tasks, counters.tasks);
    cr_assert_eq(then.timers, counters.timers);
    cr_assert_eq(then.inflight, 0);
    cr_assert_eq(then.posted, counters.posted);
    cr_assert_eq(then.created, counters.created);
    cr_assert_eq(then.ended, counters.ended);
    cr_assert_eq(then.aborted, counters.aborted + 1);
    cr_assert_eq(f.undelivered_count, 0);
    cr_assert_eq(pawl_task_find(f.runtime, "key", 3, &found), -ENOENT);
    cr_assert_eq(
        pawl_task_create(f.runtime, &(struct pawl_task_spec){.key = "key", .key_size = 3}, &found),
        0, "the aborted step has kept the key");

    /* The timer that was armed before fires when it was to, not when the aborted step wanted. */
    fixture_advance(&f, 6 * FIXTURE_MS);
    cr_assert_eq(trace.count, 0);
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    fixture_close(&f);
}

Test(step, abort_leaves_nothing_of_a_plain_step)
{
    check_abort_is_invisible(P_CALL);
}

Test(step, abort_leaves_nothing_of_a_guarded_step)
{
    check_abort_is_invisible(P_CALL_SLOW);
}

Test(step, abort_leaves_nothing_of_a_state_change)
{
    check_abort_is_invisible(P_MOVE);
}

Test(step, abort_leaves_nothing_of_a_final_transition)
{
    check_abort_is_invisible(P_END);
}

static void raise_on_abort(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    puppet->count = 40;
    pawl_step_raise(step, P_RAISED_ON, puppet_word(everything_then_abort), 0);
    (void)event;
}

Test(step, abort_in_a_raised_event_takes_the_whole_step_back)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    other = fixture_puppet(&f, 0);
    cr_assert_eq(fixture_call(&f, task, P_MOVE, raise_on_abort).status, -EIO);
    cr_assert_eq(fixture_state(&f, task), S_IDLE);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    cr_assert_eq(fixture_puppet_of(&f, other).count, 0);
    cr_assert_eq(trace.count, 0);
    fixture_close(&f);
}

static void fail_then_go_on(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    struct pawl_task made;

    puppet->count++;
    returned[0] = pawl_step_arm(step, 4, 1); /* there are four */
    returned[1] = pawl_step_post(step, &(struct pawl_event){.task = other, .code = P_NOTE});
    returned[2] = pawl_step_raise(step, P_RAISED, 0, 0);
    returned[3] = pawl_step_create(step, &(struct pawl_task_spec){0}, PAWL_NO_REPLY, &made);
    returned[4] = pawl_step_cancel(step, 0);
    returned[5] = pawl_step_answer(step, 1);
    returned[6] = pawl_step_defer(step);
    returned[7] = pawl_step_abort(step, -EIO);
    (void)event;
}

Test(step, the_first_error_of_a_step_stands)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    other = fixture_puppet(&f, 0);
    cr_assert_eq(fixture_call(&f, task, P_CALL, fail_then_go_on).status, -EINVAL);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(returned[i], -EINVAL, "call %u said %d", i, returned[i]);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    cr_assert_eq(fixture_puppet_of(&f, other).count, 0);
    fixture_close(&f);
}

/* ---- raised events ------------------------------------------------------------------------------- */

static void raise_three(struct pawl_step *step, struct puppet *puppet,
                        const struct pawl_event *event)
{
    for (uint64_t i = 1; i <= 3; i++)
        cr_assert_eq(pawl_step_raise(step, P_RAISED, event->arg[1] * 10 + i, 0), 0);
    trace_add(event->arg[1] * 10);
    (void)puppet;
}

static void raise_more(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    trace_add(100);
    pawl_step_raise(step, P_RAISED, 101, 0);
    (void)puppet, (void)event;
}

static void raise_nested(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    pawl_step_raise(step, P_RAISED_ON, puppet_word(raise_more), 0);
    pawl_step_raise(step, P_RAISED, 50, 0);
    (void)puppet, (void)event;
}

Test(step, raised_events_come_in_order_and_before_the_next_outside_event)
{
    static struct fixture f;
    struct pawl_task task;
    const uint16_t codes[] = {P_CALL, P_CALL_SLOW, P_MOVE};

    for (unsigned i = 0; i < 3; i++) {
        fixture_open(&f, NULL);
        task = fixture_puppet(&f, 0);
        fixture_post(&f, &(struct pawl_event){
                             .task = task, .code = codes[i], .arg = {puppet_word(raise_three), 1}});
        fixture_send(&f, task, P_NOTE, 77);
        fixture_post(&f, &(struct pawl_event){
                             .task = task, .code = P_CALL, .arg = {puppet_word(raise_three), 2}});
        fixture_send(&f, task, P_CALL, puppet_word(raise_nested));
        fixture_run(&f);
        cr_assert(TRACE_IS(10, 11, 12, 13, 77, 20, 21, 22, 23, 100, 50, 101));
        fixture_close(&f);
    }
}

static void raise_undeclared(struct pawl_step *step, struct puppet *puppet,
                             const struct pawl_event *event)
{
    puppet->count = 9;
    returned[0] = pawl_step_raise(step, (uint16_t)event->arg[1], 0, 0);
}

Test(step, raise_of_an_undeclared_event_gives_the_step_up)
{
    static struct fixture f;
    const uint16_t codes[] = {P_NOTE, P_EVENTS, PAWL_CODE_CREATE, UINT16_MAX};
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(raise_undeclared), codes[i]).status,
                     -EINVAL);
        cr_assert_eq(returned[0], -EINVAL);
        /* "again" declares none at all. */
        cr_assert_eq(fixture_ask(&f, task, P_AGAIN, puppet_word(raise_undeclared), P_RAISED).status,
                     -EINVAL);
    }
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    fixture_close(&f);
}

static void raise_many(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    for (uint64_t i = 0; i < event->arg[1]; i++)
        returned[0] = pawl_step_raise(step, P_RAISED, i, 0);
    (void)puppet;
}

Test(step, a_step_may_raise_64_events)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(raise_many), 64).status, 0);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 64);
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(raise_many), 65).status, -ENOSPC);
    cr_assert_eq(returned[0], -ENOSPC);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 64);
    fixture_close(&f);
}

/* Events of one transition are stepped one after the other; each must find the step as it should. */
Test(step, many_tasks_of_a_batch_raise)
{
    static struct fixture f;
    struct pawl_task tasks[20];
    struct pawl_completion done;

    fixture_open(&f, NULL);
    for (unsigned i = 0; i < 20; i++)
        tasks[i] = fixture_puppet(&f, 0);
    for (unsigned i = 0; i < 20; i++)
        fixture_post(&f, &(struct pawl_event){.task = tasks[i],
                                              .code = P_CALL,
                                              .flags = PAWL_EVENT_COMPLETE,
                                              .tag = i,
                                              .arg = {puppet_word(raise_three), i}});
    fixture_run(&f);
    for (unsigned i = 0; i < 20; i++) {
        done = fixture_reap(&f);
        cr_assert_eq(done.status, 0, "task %u: %d", done.tag, done.status);
        cr_assert_eq(fixture_puppet_of(&f, tasks[i]).count, 3);
        cr_assert_eq(fixture_puppet_of(&f, tasks[i]).last, 10 * i + 3);
    }
    fixture_close(&f);
}

static void raise_undeclared_after(struct pawl_step *step, struct puppet *puppet,
                                   const struct pawl_event *event)
{
    returned[event->arg[1]] = pawl_step_raise(step, P_RAISED_ON, 0, 0);
    (void)puppet;
}

/* The reverse: what another transition declares is of no use to this one. */
Test(step, a_raise_is_judged_by_its_own_transition)
{
    static struct fixture f;
    struct pawl_task tasks[2];

    fixture_open(&f, NULL);
    tasks[0] = fixture_puppet(&f, 0);
    tasks[1] = fixture_puppet(&f, 0);
    /* raised_on may raise "raised" only; call may raise both. */
    fixture_post(&f, &(struct pawl_event){.task = tasks[0],
                                          .code = P_RAISED_ON,
                                          .arg = {puppet_word(raise_undeclared_after), 0}});
    fixture_post(&f, &(struct pawl_event){.task = tasks[1],
                                          .code = P_CALL,
                                          .arg = {puppet_word(raise_undeclared_after), 1}});
    fixture_run(&f);
    cr_assert_eq(returned[0], -EINVAL);
    cr_assert_eq(returned[1], 0);
    fixture_close(&f);
}

/* ---- completions --------------------------------------------------------------------------------- */

static void answer_twice(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    pawl_step_answer(step, 1);
    pawl_step_answer(step, event->arg[1]);
    (void)puppet;
}

static void raise_answer(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    pawl_step_answer(step, 1);
    pawl_step_raise(step, P_RAISED_ON, puppet_word(answer_twice), 444);
    (void)puppet, (void)event;
}

Test(step, completion_tells_state_version_and_answer)
{
    static struct fixture f;
    const uint16_t codes[] = {P_NOTE, P_NOTE_SLOW, P_MOVE, P_AGAIN, P_BACK, P_UNEXPECTED};
    const unsigned states[] = {S_IDLE, S_IDLE, S_BUSY, S_BUSY, S_IDLE, S_IDLE};
    struct pawl_task task;
    struct pawl_completion done;
    uint32_t version;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    version = fixture_view(&f, task, NULL, 0).version;
    for (unsigned i = 0; i < 6; i++) {
        done = fixture_ask(&f, task, codes[i], 0, 0);
        cr_assert_eq(done.status, 0);
        cr_assert_eq(done.task.id, task.id);
        cr_assert_eq(done.state, states[i]);
        cr_assert_eq(done.value, 0);
        cr_assert_eq(done.durability, PAWL_DURABILITY_MEMORY);
        cr_assert_eq(done.version, version + 1, "%s", puppet_events[codes[i]]);
        version = done.version;
        cr_assert_eq(fixture_view(&f, task, NULL, 0).version, version);
        cr_assert_eq(fixture_state(&f, task), states[i]);
    }
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(answer_twice), 333).value, 333);
    cr_assert_eq(fixture_ask(&f, task, P_CALL_SLOW, puppet_word(answer_twice), 5).value, 5);
    cr_assert_eq(fixture_call(&f, task, P_CALL, raise_answer).value, 444);
    cr_assert_eq(fixture_ask(&f, task, P_NOTE, 0, 0).value, 0, "an answer is left over");
    done = fixture_ask(&f, task, P_END, puppet_word(answer_twice), 8);
    cr_assert(done.status == 0 && done.value == 8 && done.state == S_DONE);
    cr_assert_eq(done.task.id, task.id);
    done = fixture_ask(&f, task, P_NOTE, 0, 0);
    cr_assert_eq(done.status, -ESTALE);
    cr_assert_eq(done.task.id, task.id);
    fixture_close(&f);
}

Test(step, a_code_that_the_machine_does_not_have_is_refused)
{
    static struct fixture f;
    struct pawl_task task;
    struct pawl_view before;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    before = fixture_view(&f, task, NULL, 0);
    cr_assert_eq(fixture_ask(&f, task, P_EVENTS, 0, 0).status, -EINVAL);
    cr_assert_eq(fixture_ask(&f, task, PAWL_CODE_RUNTIME - 1, 0, 0).status, -EINVAL);
    fixture_send(&f, task, P_EVENTS, 7);
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -EINVAL);
    cr_assert_eq(f.undelivered[0].event.code, P_EVENTS);
    cr_assert_eq(f.undelivered[0].event.arg[0], 7);
    cr_assert_eq(fixture_view(&f, task, NULL, 0).version, before.version);
    cr_assert_eq(fixture_ask(&f, task, P_NOTE, 0, 0).status, 0);
    fixture_close(&f);
}

/* ---- finish -------------------------------------------------------------------------------------- */

static void finish(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    pawl_step_answer(step, 12);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = other, .code = P_NOTE}), 0);
    cr_assert_eq(pawl_step_finish(step), 0);
    (void)event;
}

Test(step, finish_ends_the_task_in_whatever_state)
{
    static struct fixture f;
    const uint16_t codes[] = {P_CALL, P_CALL_SLOW, P_MOVE};
    struct pawl_task task;
    struct pawl_completion done;

    for (unsigned i = 0; i < 3; i++) {
        fixture_open(&f, NULL);
        task = fixture_puppet(&f, 0);
        other = fixture_puppet(&f, 0);
        fixture_call(&f, task, P_CALL, arm_first);
        done = fixture_call(&f, task, codes[i], finish);
        cr_assert(done.status == 0 && done.value == 12);
        cr_assert_eq(done.state, codes[i] == P_MOVE ? S_BUSY : S_IDLE);
        cr_assert(!fixture_is_alive(&f, task));
        cr_assert_eq(fixture_puppet_of(&f, other).count, 1);
        cr_assert_eq(fixture_counters(&f).timers, 0);
        cr_assert_eq(fixture_counters(&f).tasks, 1);
        cr_assert_eq(fixture_counters(&f).ended, 1);
        fixture_close(&f);
    }
}

/* ---- unexpected events --------------------------------------------------------------------------- */

static const char *const two_events[] = {"go", "odd"};
static const struct pawl_state_def two_states[] = {{.name = "one"}, {.name = "two"}};
static const struct pawl_transition_def two_transitions[] = {
    {.from = "one", .on = "go", .to = "two"},
    {.from = "two", .on = "go", .to = "one"},
    {.from = "two", .on = "odd", .action = puppet_note},
};
#define TWO_MACHINE(policy)                                                                        \
    {                                                                                              \
        .name = #policy, FIXTURE_TABLE(events, two_events), FIXTURE_TABLE(states, two_states),     \
        FIXTURE_TABLE(transitions, two_transitions), .context_size = sizeof(struct puppet),        \
        .unexpected = policy                                                                       \
    }
static const struct pawl_machine_def ignoring = TWO_MACHINE(PAWL_UNEXPECTED_IGNORE);
static const struct pawl_machine_def refusing = TWO_MACHINE(PAWL_UNEXPECTED_REFUSE);
static const struct pawl_machine_def deferring = TWO_MACHINE(PAWL_UNEXPECTED_DEFER);

Test(step, unexpected_events_meet_the_policy)
{
    static struct fixture f;
    struct pawl_task task;
    struct pawl_completion done;

    fixture_open(&f, &(struct fixture_options){.machines = {&ignoring, &refusing, &deferring}});

    task = fixture_create(&f, 0, 0);
    done = fixture_ask(&f, task, 1, 5, 0);
    cr_assert(done.status == 0 && done.state == 0 && done.value == 0);
    fixture_send(&f, task, 1, 5);
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 0);
    cr_assert_eq(fixture_counters(&f).ignored, 2);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);

    task = fixture_create(&f, 1, 0);
    cr_assert_eq(fixture_ask(&f, task, 1, 5, 0).status, -EPROTO);
    fixture_send(&f, task, 1, 6);
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -EPROTO);
    cr_assert_eq(f.undelivered[0].event.arg[0], 6);
    cr_assert_eq(fixture_counters(&f).refused, 2);
    cr_assert_eq(fixture_counters(&f).aborted, 0);
    cr_assert_eq(fixture_ask(&f, task, 0, 0, 0).state, 1);

    task = fixture_create(&f, 2, 0);
    fixture_post(&f,
                 &(struct pawl_event){
                     .task = task, .code = 1, .flags = PAWL_EVENT_COMPLETE, .tag = 1, .arg = {9}});
    fixture_run(&f);
    cr_assert(fixture_nothing_to_reap(&f));
    fixture_post(&f, &(struct pawl_event){.task = task, .code = 0, .flags = PAWL_EVENT_COMPLETE});
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).tag, 0);
    done = fixture_reap(&f);
    cr_assert(done.tag == 1 && done.status == 0 && done.state == 1);
    cr_assert_eq(fixture_puppet_of(&f, task).last, 9);
    fixture_close(&f);
}

/* ---- contexts ------------------------------------------------------------------------------------ */

static uint32_t context_bytes; /* of the machine under test */

static void fill(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    unsigned char *const bytes = context;

    for (uint32_t i = 0; i < context_bytes; i++) {
        cr_assert_eq(
            bytes[i],
            (unsigned char)(i == 0 || event->arg[1] == 0 ? event->arg[1] : event->arg[1] + i),
            "byte %u of %u", i, context_bytes);
        bytes[i] = (unsigned char)(i == 0 ? event->arg[0] : event->arg[0] + i);
    }
    if (event->arg[0] == 13)
        pawl_step_abort(step, -EIO);
}

static const char *const fill_events[] = {"plain", "guarded", "change"};
static const struct pawl_state_def fill_states[] = {{.name = "one"}, {.name = "two"}};
static const struct pawl_transition_def fill_transitions[] = {
    {.from = "one", .on = "plain", .action = fill},
    {.from = "two", .on = "plain", .action = fill},
    {.from = "one", .on = "guarded", .guard = puppet_always, .action = fill},
    {.from = "two", .on = "guarded", .guard = puppet_always, .action = fill},
    {.from = "one", .on = "change", .to = "two", .action = fill},
    {.from = "two", .on = "change", .to = "one", .action = fill},
};

static void check_context(uint32_t size)
{
    static struct fixture f;
    static unsigned char bytes[4096 + 8];
    const struct pawl_machine_def definition = {.name = "fill",
                                                FIXTURE_TABLE(events, fill_events),
                                                FIXTURE_TABLE(states, fill_states),
                                                FIXTURE_TABLE(transitions, fill_transitions),
                                                .context_size = size};
    struct pawl_task tasks[2];
    uint64_t now[2] = {0, 0};
    struct pawl_view view;

    context_bytes = size;
    fixture_open(&f, &(struct fixture_options){.machines = {&definition}});
    tasks[0] = fixture_create(&f, 0, 0);
    tasks[1] = fixture_create(&f, 0, 0);
    for (uint64_t i = 1; i < 40; i++) {
        const unsigned who = i % 3 == 0;
        const int status = fixture_ask(&f, tasks[who], (uint16_t)(i % 3), i, now[who]).status;

        cr_assert_eq(status, i == 13 ? -EIO : 0);
        now[who] = status == 0 ? i : now[who];
        memset(bytes, 0xee, sizeof(bytes));
        view = fixture_view(&f, tasks[who], bytes, sizeof(bytes));
        cr_assert_eq(view.context_size, size);
        for (uint32_t at = 0; at < size; at++)
            cr_assert_eq(bytes[at],
                         (unsigned char)(at == 0 || now[who] == 0 ? now[who] : now[who] + at));
        cr_assert_eq(bytes[size], 0xee, "peek has written more than the context");
    }
    if (size > 1) { /* a reader with little room gets the beginning */
        memset(bytes, 0xee, sizeof(bytes));
        view = fixture_view(&f, tasks[0], bytes, size - 1);
        cr_assert_eq(view.context_size, size);
        cr_assert_eq(bytes[size - 2], (unsigned char)(size == 2 ? now[0] : now[0] + size - 2));
        cr_assert_eq(bytes[size - 1], 0xee);
    }
    fixture_close(&f);
}

Test(step, contexts_of_every_kind_of_size_are_kept_whole)
{
    static const uint32_t sizes[] = {0,  1,  7,  8,  9,   16,  23,  24,   25,   31,   32,  33,
                                     40, 63, 64, 65, 100, 128, 500, 1024, 2047, 4095, 4096};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_context(sizes[i]);
}
