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

/* ---- nesting ------------------------------------------------------------------------------------- */

#define TELL(name)                                                                                 \
    static void name(struct pawl_step *step, void *context, const struct pawl_event *event)        \
    {                                                                                              \
        (void)step, (void)context, (void)event;                                                    \
        story_add(#name);                                                                          \
    }
#define TELL_STATE(state) TELL(in_##state) TELL(out_##state)
TELL_STATE(top)
TELL_STATE(a)
TELL_STATE(a1)
TELL_STATE(a2)
TELL_STATE(b)
TELL_STATE(rest)
TELL(in_end)
TELL(act)
TELL(poke0)
TELL(poke1)
TELL(poke2)
TELL(poke3)

#define SAY_GUARD(n)                                                                               \
    static bool is##n(const struct pawl_step *step, const void *context,                           \
                      const struct pawl_event *event)                                              \
    {                                                                                              \
        (void)step, (void)context;                                                                 \
        story_add("?" #n);                                                                         \
        return event->arg[0] == (n);                                                               \
    }
SAY_GUARD(0)
SAY_GUARD(1)
SAY_GUARD(2)

enum nest_event {
    N_NEXT,
    N_UP,
    N_DOWN,
    N_RESET,
    N_SELF,
    N_LEAVE,
    N_HISTORY,
    N_FRESH,
    N_POKE,
    N_B,
    N_STOP
};
static const char *const nest_events[] = {"next",    "up",    "down", "reset", "self", "leave",
                                          "history", "fresh", "poke", "to_b",  "stop"};
#define NEST_STATE(state) .name = #state, .entry = in_##state, .exit = out_##state
static const struct pawl_state_def nest_states[] = {
    {NEST_STATE(top), .initial = "a"},
    {NEST_STATE(a), .parent = "top", .initial = "a1", .flags = PAWL_STATE_HISTORY},
    {NEST_STATE(a1), .parent = "a"},
    {NEST_STATE(a2), .parent = "a"},
    {NEST_STATE(b), .parent = "top"},
    {NEST_STATE(rest)},
    {.name = "end", .flags = PAWL_STATE_FINAL, .entry = in_end},
};
enum { N_TOP, N_A, N_A1, N_A2, N_SB, N_REST, N_END };
static const struct pawl_transition_def nest_transitions[] = {
    {.from = "a1", .on = "next", .to = "a2", .action = act},
    {.from = "a2", .on = "next", .to = "a1", .action = act},
    {.from = "a2", .on = "up", .to = "a", .action = act},
    {.from = "a", .on = "down", .to = "a2", .action = act},
    {.from = "top", .on = "reset", .to = "top", .action = act},
    {.from = "a", .on = "self", .to = "a", .action = act},
    {.from = "top", .on = "leave", .to = "rest", .action = act},
    {.from = "rest", .on = "history", .to = "a", .action = act, .flags = PAWL_TRANSITION_HISTORY},
    {.from = "b", .on = "history", .to = "a", .action = act, .flags = PAWL_TRANSITION_HISTORY},
    {.from = "rest", .on = "fresh", .to = "a", .action = act},
    {.from = "a1", .on = "poke", .guard = is0, .action = poke0},
    {.from = "a1", .on = "poke", .guard = is1, .action = poke1},
    {.from = "a", .on = "poke", .guard = is2, .action = poke2},
    {.from = "top", .on = "poke", .action = poke3},
    {.from = "a", .on = "to_b", .to = "b", .action = act},
    {.from = "top", .on = "stop", .to = "end", .action = act},
};
static const struct pawl_machine_def nest = {.name = "nest",
                                             FIXTURE_TABLE(events, nest_events),
                                             FIXTURE_TABLE(states, nest_states),
                                             FIXTURE_TABLE(transitions, nest_transitions)};

static struct fixture nest_fixture;
static struct pawl_task nested;

static void expect(enum nest_event code, uint64_t arg, const char *told, unsigned state)
{
    struct pawl_completion done;

    story_clear();
    done = fixture_ask(&nest_fixture, nested, (uint16_t)code, arg, 0);
    cr_assert_eq(done.status, 0);
    cr_assert_str_eq(story.text, told);
    cr_assert_eq(done.state, state, "after %s in %u", nest_events[code], done.state);
}

static void nest_open(void)
{
    fixture_open(&nest_fixture, &(struct fixture_options){.machines = {&nest}});
    nested = fixture_create(&nest_fixture, 0, 0);
    cr_assert_str_eq(story.text, "in_top in_a in_a1");
    cr_assert_eq(fixture_state(&nest_fixture, nested), N_A1);
}

Test(step, exits_run_inside_out_and_entries_outside_in)
{
    nest_open();
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_UP, 0, "out_a2 act in_a1", N_A1);
    expect(N_DOWN, 0, "out_a1 act in_a2", N_A2);
    expect(N_DOWN, 0, "out_a2 act in_a2", N_A2);
    expect(N_SELF, 0, "out_a2 out_a act in_a in_a1", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_RESET, 0, "out_a2 out_a out_top act in_top in_a in_a1", N_A1);
    expect(N_LEAVE, 0, "out_a1 out_a out_top act in_rest", N_REST);
    expect(N_FRESH, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_B, 0, "out_a1 out_a act in_b", N_SB);
    expect(N_NEXT, 0, "", N_SB);
    expect(N_STOP, 0, "out_b out_top act in_end", N_END);
    cr_assert(!fixture_is_alive(&nest_fixture, nested));
    fixture_close(&nest_fixture);
}

Test(step, history_enters_the_remembered_child)
{
    nest_open();
    expect(N_LEAVE, 0, "out_a1 out_a out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a2", N_A2);
    expect(N_B, 0, "out_a2 out_a act in_b", N_SB);
    expect(N_LEAVE, 0, "out_b out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a2", N_A2);
    expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
    expect(N_FRESH, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_B, 0, "out_a1 out_a act in_b", N_SB);
    expect(N_HISTORY, 0, "out_b act in_a in_a1", N_A1);
    fixture_close(&nest_fixture);
}

Test(step, a_reused_slot_has_no_history)
{
    struct pawl_machine_def resting = nest;

    resting.initial = "rest";
    fixture_open(&nest_fixture, &(struct fixture_options){.machines = {&resting}});
    for (unsigned i = 0; i < 2000; i++) {
        nested = fixture_create(&nest_fixture, 0, 0);
        expect(N_HISTORY, 0, "out_rest act in_top in_a in_a1", N_A1);
        expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
        expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
        cr_assert_eq(pawl_task_cancel(nest_fixture.runtime, nested), 0);
        fixture_run(&nest_fixture);
    }
    fixture_close(&nest_fixture);
}

Test(step, guards_are_asked_in_order_and_then_outwards)
{
    nest_open();
    expect(N_POKE, 0, "?0 poke0", N_A1);
    expect(N_POKE, 1, "?0 ?1 poke1", N_A1);
    expect(N_POKE, 2, "?0 ?1 ?2 poke2", N_A1);
    expect(N_POKE, 3, "?0 ?1 ?2 poke3", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_POKE, 0, "?2 poke3", N_A2);
    expect(N_POKE, 2, "?2 poke2", N_A2);
    expect(N_B, 0, "out_a2 out_a act in_b", N_SB);
    expect(N_POKE, 2, "poke3", N_SB);
    fixture_close(&nest_fixture);
}

Test(step, cancel_runs_all_exit_actions)
{
    struct pawl_completion done;

    nest_open();
    story_clear();
    cr_assert_eq(pawl_port_cancel(nest_fixture.port, nested, 31), 0);
    fixture_run(&nest_fixture);
    done = fixture_reap(&nest_fixture);
    cr_assert(done.status == 0 && done.tag == 31 && done.task.id == nested.id);
    cr_assert_str_eq(story.text, "out_a1 out_a out_top");
    cr_assert(!fixture_is_alive(&nest_fixture, nested));
    cr_assert_eq(pawl_port_cancel(nest_fixture.port, nested, 32), 0);
    fixture_run(&nest_fixture);
    cr_assert_eq(fixture_reap(&nest_fixture).status, -ESTALE);
    fixture_close(&nest_fixture);
}

/* ---- cancel -------------------------------------------------------------------------------------- */

static int exit_says; /* 0, a negative error to abort with, or 1: defer */

static void leaving(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    trace_add(event->code);
    if (exit_says < 0)
        pawl_step_abort(step, exit_says);
    else if (exit_says == 1)
        cr_assert_eq(pawl_step_defer(step), 0);
    else
        pawl_step_post(step, &(struct pawl_event){.task = other, .code = P_NOTE});
    (void)context;
}

static const char *const last_events[] = {"swap", "please"};
static const struct pawl_state_def last_states[] = {
    {.name = "one", .exit = leaving}, {.name = "two"}, {.name = "end", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def last_transitions[] = {
    {.from = "one", .on = "swap", .to = "two"},
    {.from = "two", .on = "swap", .to = "one"},
    {.from = "one", .on = "please", .to = "two", .action = puppet_note},
    {.from = "two", .on = "please", .to = "end", .action = puppet_note},
};
static const struct pawl_machine_def last_exit = {.name = "last",
                                                  FIXTURE_TABLE(events, last_events),
                                                  FIXTURE_TABLE(states, last_states),
                                                  FIXTURE_TABLE(transitions, last_transitions),
                                                  .context_size = sizeof(struct puppet)};
static const struct pawl_machine_def polite = {.name = "polite",
                                               FIXTURE_TABLE(events, last_events),
                                               FIXTURE_TABLE(states, last_states),
                                               FIXTURE_TABLE(transitions, last_transitions),
                                               .cancel = "please",
                                               .context_size = sizeof(struct puppet)};

Test(step, exit_actions_of_a_cancel_see_its_code_and_can_post)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &last_exit}});
    other = fixture_puppet(&f, 0);
    task = fixture_create(&f, 1, 0);
    exit_says = 0;
    cr_assert_eq(pawl_task_cancel(f.runtime, task), 0);
    fixture_run(&f);
    cr_assert(!fixture_is_alive(&f, task));
    cr_assert(TRACE_IS(PAWL_CODE_CANCEL, 0));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(step, a_cancel_whose_exit_action_gives_up_is_refused)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &last_exit}});
    task = fixture_create(&f, 1, 0);
    exit_says = -EIO;
    cr_assert_eq(pawl_port_cancel(f.port, task, 1), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, -EIO);
    cr_assert(fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(step, a_cancel_that_an_exit_action_defers_comes_back)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &last_exit}});
    other = fixture_puppet(&f, 0);
    task = fixture_create(&f, 1, 0);
    exit_says = 1;
    cr_assert_eq(pawl_port_cancel(f.port, task, 1), 0);
    fixture_run(&f);
    cr_assert(fixture_nothing_to_reap(&f));
    cr_assert(fixture_is_alive(&f, task));
    exit_says = 0;
    fixture_send(&f, task, 0, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, 0);
    cr_assert(!fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(step, cancel_delivers_the_machines_cancel_event)
{
    static struct fixture f;
    struct pawl_task task;
    struct pawl_completion done;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &polite}});
    other = fixture_puppet(&f, 0);
    task = fixture_create(&f, 1, 0);
    exit_says = 0;
    cr_assert_eq(pawl_port_cancel(f.port, task, 6), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 6 && done.state == 1);
    cr_assert(fixture_is_alive(&f, task));
    cr_assert_eq(fixture_puppet_of(&f, task).count, 1);
    cr_assert_eq(pawl_task_cancel(f.runtime, task), 0);
    fixture_run(&f);
    cr_assert(!fixture_is_alive(&f, task));
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
