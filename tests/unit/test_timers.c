/*
 * Timers of tasks: exact to the tick, armed and cancelled with the step, gone with the task.
 */
#include "shard/runtime.h"
#include "shard/timers.h"
#include "support/fixture.h"

static struct fixture f;
static struct pawl_task task;
static unsigned which; /* the timer that handlers use */
static uint64_t delay;

static void arm(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, which, delay), 0);
    (void)puppet, (void)event;
}

static void cancel(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_cancel(step, which), 0);
    (void)puppet, (void)event;
}

static void arm_in(struct pawl_task whom, unsigned timer, uint64_t delay_ns)
{
    which = timer;
    delay = delay_ns;
    cr_assert_eq(fixture_call(&f, whom, P_CALL, arm).status, 0);
}

static void timers_open(uint64_t tick_ns)
{
    fixture_open(&f, &(struct fixture_options){.tick_ns = tick_ns});
    task = fixture_puppet(&f, 0);
}

/* Lets time pass in one leap to just before the instant, then to it: it fires there and only there. */
static void expect_fire_at(uint64_t at_ns, unsigned timer)
{
    fixture_jump(&f, at_ns - 1 - fixture_now(&f));
    cr_assert_eq(trace.count, 0, "early");
    fixture_jump(&f, 1);
    cr_assert(TRACE_IS(timer), "late");
    trace_clear();
}

Test(timers, fire_at_the_first_tick_at_or_after_their_time)
{
    static const uint64_t ticks[] = {1000, 1000000, 1000003, 1000000000};

    for (unsigned i = 0; i < 4; i++) {
        const uint64_t tick = ticks[i];
        const uint64_t delays[] = {
            0,          1,          tick - 1,       tick,         tick + 1,    3 * tick,
            255 * tick, 256 * tick, 257 * tick + 1, 65537 * tick, 123456789012};

        for (unsigned j = 0; j < 11; j++) {
            for (unsigned offset = 0; offset < 3; offset++) {
                uint64_t due;

                timers_open(tick);
                fixture_jump(&f, offset == 0 ? 0 : offset == 1 ? 1 : 5 * tick - 1);
                due = fixture_now(&f) + delays[j] - FIXTURE_START_NS;
                due = (due + tick - 1) / tick * tick + FIXTURE_START_NS;
                which = 2;
                delay = delays[j];
                fixture_send(&f, task, P_CALL, puppet_word(arm));
                if (due == fixture_now(&f)) {
                    fixture_run(&f);
                    cr_assert(TRACE_IS(2), "not fired at once");
                } else {
                    fixture_run(&f);
                    cr_assert(fixture_next_timer(&f) <= due);
                    expect_fire_at(due, 2);
                }
                cr_assert_eq(fixture_counters(&f).timers, 0);
                cr_assert_eq(fixture_counters(&f).timers_fired, 1);
                cr_assert_eq(fixture_next_timer(&f), UINT64_MAX);
                fixture_close(&f);
            }
        }
    }
}

Test(timers, next_timer_is_exact_when_it_is_near)
{
    timers_open(0);
    arm_in(task, 0, 100 * FIXTURE_MS);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 100 * FIXTURE_MS);
    arm_in(task, 1, 7 * FIXTURE_MS);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 7 * FIXTURE_MS);
    which = 1;
    fixture_call(&f, task, P_CALL, cancel);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 100 * FIXTURE_MS);
    fixture_close(&f);
}

Test(timers, far_ones_come_in_their_day_and_year)
{
    static const uint64_t days[] = {1, 30, 365, 3650, 36500};

    for (unsigned i = 0; i < 5; i++) {
        const uint64_t ns = days[i] * 86400 * FIXTURE_SECOND;

        timers_open(0);
        arm_in(task, 3, ns);
        expect_fire_at(FIXTURE_START_NS + ns, 3);
        /* The same, from timer to timer. */
        arm_in(task, 1, ns);
        fixture_advance(&f, ns - 1);
        cr_assert_eq(trace.count, 0);
        fixture_advance(&f, 1);
        cr_assert(TRACE_IS(1));
        fixture_close(&f);
    }
}

Test(timers, one_that_never_comes_can_be_armed)
{
    timers_open(0);
    arm_in(task, 0, UINT64_MAX);
    arm_in(task, 1, UINT64_MAX / 2);
    arm_in(task, 2, UINT64_MAX - FIXTURE_START_NS);
    fixture_advance(&f, 400 * 86400 * FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(fixture_counters(&f).timers, 3);
    which = 0;
    fixture_call(&f, task, P_CALL, cancel);
    cr_assert_eq(fixture_counters(&f).timers, 2);
    fixture_close(&f);
}

Test(timers, arming_again_replaces)
{
    timers_open(0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 0, 20 * FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).timers, 1);
    fixture_advance(&f, 19 * FIXTURE_MS);
    cr_assert_eq(trace.count, 0);
    arm_in(task, 0, FIXTURE_MS / 2);
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    fixture_close(&f);
}

Test(timers, a_cancelled_one_does_not_fire)
{
    timers_open(0);
    which = 1;
    cr_assert_eq(fixture_call(&f, task, P_CALL, cancel).status, 0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 1, 10 * FIXTURE_MS);
    cr_assert_eq(fixture_call(&f, task, P_CALL, cancel).status, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    fixture_close(&f);
}

static void arm_cancel_arm(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    const uint64_t how = event->arg[1];

    cr_assert_eq(pawl_step_arm(step, 0, 10 * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_cancel(step, 0), 0);
    if (how >= 1)
        cr_assert_eq(pawl_step_arm(step, 0, 20 * FIXTURE_MS), 0);
    if (how >= 2)
        cr_assert_eq(pawl_step_arm(step, 0, 5 * FIXTURE_MS), 0);
    if (how >= 3)
        cr_assert_eq(pawl_step_cancel(step, 0), 0);
    if (how >= 4)
        pawl_step_abort(step, -EIO);
    (void)puppet;
}

Test(timers, the_last_word_of_a_step_counts)
{
    for (unsigned armed = 0; armed < 2; armed++) {
        for (uint64_t how = 0; how < 5; how++) {
            const uint64_t at_ms = how == 1 ? 20 : how == 2 ? 5 : how == 4 && armed ? 3 : 0;

            timers_open(0);
            if (armed)
                arm_in(task, 0, 3 * FIXTURE_MS);
            fixture_ask(&f, task, P_CALL, puppet_word(arm_cancel_arm), how);
            cr_assert_eq(fixture_counters(&f).timers, at_ms != 0);
            if (at_ms != 0)
                expect_fire_at(FIXTURE_START_NS + at_ms * FIXTURE_MS, 0);
            fixture_jump(&f, FIXTURE_SECOND);
            cr_assert_eq(trace.count, 0);
            fixture_close(&f);
        }
    }
}

Test(timers, a_task_can_have_all_of_its_timers_armed)
{
    timers_open(0);
    for (unsigned i = 0; i < 4; i++)
        arm_in(task, i, (4 - i) * FIXTURE_MS);
    fixture_advance(&f, 10 * FIXTURE_MS);
    cr_assert(TRACE_IS(3, 2, 1, 0));
    fixture_close(&f);
}

/* ---- collected, not yet run ---------------------------------------------------------------------- */

static struct pawl_task victim;

static void tick_cancels_others(struct pawl_step *step, struct puppet *puppet,
                                const struct pawl_event *event)
{
    for (unsigned i = 0; i < 4; i++)
        if (i != event->arg[0])
            cr_assert_eq(pawl_step_cancel(step, i), 0);
    (void)puppet;
}

static void tick_rearms_others(struct pawl_step *step, struct puppet *puppet,
                               const struct pawl_event *event)
{
    if (puppet->count == 1)
        for (unsigned i = 0; i < 4; i++)
            if (i != event->arg[0])
                cr_assert_eq(pawl_step_arm(step, i, (10 + i) * FIXTURE_MS), 0);
}

static void tick_finishes(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    pawl_step_finish(step);
    (void)puppet, (void)event;
}

static void tick_rearms_itself(struct pawl_step *step, struct puppet *puppet,
                               const struct pawl_event *event)
{
    if (puppet->count < 5)
        cr_assert_eq(pawl_step_arm(step, (unsigned)event->arg[0], FIXTURE_MS), 0);
}

static void tick_cancels_itself(struct pawl_step *step, struct puppet *puppet,
                                const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_cancel(step, (unsigned)event->arg[0]), 0);
    (void)puppet;
}

static void arm_all_due_together(void)
{
    timers_open(0);
    for (unsigned i = 0; i < 4; i++)
        arm_in(task, i, 10 * FIXTURE_MS);
}

Test(timers, the_first_of_two_due_cancels_the_other)
{
    arm_all_due_together();
    puppet_tick = tick_cancels_others;
    fixture_jump(&f, 10 * FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    cr_assert_eq(fixture_counters(&f).timers, 0);
    cr_assert_eq(fixture_counters(&f).timers_fired, 1);
    fixture_jump(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(timers, the_first_of_two_due_arms_the_other_anew)
{
    arm_all_due_together();
    puppet_tick = tick_rearms_others;
    fixture_jump(&f, 10 * FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    cr_assert_eq(fixture_counters(&f).timers, 3);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0, 1, 2, 3));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(timers, the_first_of_two_due_ends_the_task)
{
    arm_all_due_together();
    puppet_tick = tick_finishes;
    fixture_jump(&f, 10 * FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    cr_assert(!fixture_is_alive(&f, task));
    cr_assert_eq(f.undelivered_count, 0);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_close(&f);
}

Test(timers, a_timer_can_arm_itself)
{
    timers_open(0);
    puppet_tick = tick_rearms_itself;
    arm_in(task, 2, FIXTURE_MS);
    for (unsigned i = 1; i <= 5; i++) {
        fixture_jump(&f, FIXTURE_MS);
        cr_assert_eq(trace.count, i);
    }
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert_eq(trace.count, 5);
    puppet_tick = tick_cancels_itself;
    arm_in(task, 2, FIXTURE_MS);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert_eq(trace.count, 6);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_close(&f);
}

static void abort_plainly(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    pawl_step_arm(step, 0, FIXTURE_MS);
    pawl_step_cancel(step, 1);
    pawl_step_abort(step, -EIO);
    (void)puppet, (void)event;
}

Test(timers, a_handler_that_gives_up_is_reported_once)
{
    timers_open(0);
    puppet_tick = abort_plainly;
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 1, 20 * FIXTURE_MS);
    fixture_advance(&f, 15 * FIXTURE_MS);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -EIO);
    cr_assert((f.undelivered[0].event.flags & PAWL_EVENT_TIMER) != 0);
    cr_assert_eq(f.undelivered[0].event.code, P_TICK);
    cr_assert_eq(f.undelivered[0].event.arg[0], 0);
    cr_assert_eq(fixture_counters(&f).timers, 1);
    puppet_tick = NULL;
    trace_clear();
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(1));
    fixture_close(&f);
}

/* Steps that arm timers and give up, over and over: what they took they give back. */
static void arm_all_and_abort(struct pawl_step *step, struct puppet *puppet,
                              const struct pawl_event *event)
{
    for (unsigned i = 0; i < 4; i++)
        pawl_step_arm(step, i, FIXTURE_SECOND);
    pawl_step_abort(step, -EIO);
    (void)puppet, (void)event;
}

Test(timers, steps_that_give_up_take_no_memory)
{
    uint64_t bytes = 0;

    timers_open(0);
    for (unsigned i = 0; i < 40000; i++) {
        fixture_send(&f, task, i % 2 ? P_CALL : P_CALL_SLOW, puppet_word(arm_all_and_abort));
        if (i % 256 == 0)
            fixture_run(&f);
        if (i == 1000)
            bytes = fixture_counters(&f).memory_bytes;
    }
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 40000);
    cr_assert_eq(fixture_counters(&f).memory_bytes, bytes);
    fixture_close(&f);
}

static struct pawl_task flooded;
static unsigned flood;

static void tick_posts(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    for (unsigned i = 0; i < flood; i++)
        pawl_step_post(step,
                       &(struct pawl_event){.task = flooded, .code = P_NOTE, .arg = {50 + i}});
    (void)puppet, (void)event;
}

/* A timer has nobody who could try again, so the limit only puts it off. */
Test(timers, at_the_limit_of_events_in_flight_a_timer_is_tried_again)
{
    struct puppet puppet;

    fixture_open(&f, &(struct fixture_options){.inflight_max = 4});
    task = fixture_puppet(&f, 0);
    flooded = fixture_puppet(&f, 0);
    puppet_tick = tick_posts;
    flood = 5;
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 1, 30 * FIXTURE_MS);
    fixture_jump(&f, 10 * FIXTURE_MS);
    for (unsigned i = 0; i < 5; i++)
        fixture_jump(&f, FIXTURE_MS);
    cr_assert_eq(f.undelivered_count, 0);
    puppet = fixture_puppet_of(&f, task);
    cr_assert_eq(puppet.count, 0, "half a step");
    cr_assert_eq(fixture_puppet_of(&f, flooded).count, 0);
    cr_assert_eq(fixture_counters(&f).timers, 2);
    trace_clear();
    flood = 4;
    fixture_jump(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(0, 50, 51, 52, 53));
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0, 50, 51, 52, 53, 1, 50, 51, 52, 53));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

static void tick_posts_and_rearms(struct pawl_step *step, struct puppet *puppet,
                                  const struct pawl_event *event)
{
    pawl_step_arm(step, (unsigned)event->arg[0], 100 * FIXTURE_MS);
    tick_posts(step, puppet, event);
}

Test(timers, one_that_is_tried_again_can_be_cancelled_and_rearmed)
{
    fixture_open(&f, &(struct fixture_options){.inflight_max = 4});
    task = fixture_puppet(&f, 0);
    flooded = fixture_puppet(&f, 0);
    puppet_tick = tick_posts_and_rearms;
    flood = 5;
    arm_in(task, 0, FIXTURE_MS);
    fixture_jump(&f, FIXTURE_MS);
    fixture_jump(&f, FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).timers, 1);
    which = 0;
    fixture_call(&f, task, P_CALL, cancel);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    arm_in(task, 0, FIXTURE_MS);
    fixture_jump(&f, FIXTURE_MS);
    flood = 1;
    trace_clear();
    fixture_advance(&f, 250 * FIXTURE_MS);
    cr_assert(TRACE_IS(0, 50, 0, 50, 0, 50));
    cr_assert_eq(fixture_counters(&f).timers, 1);
    fixture_close(&f);
}

/* The last tick of a cancelled neighbour: events of one batch that end tasks and reuse their slots. */
static void cancel_of_victim(struct pawl_step *step, struct puppet *puppet,
                             const struct pawl_event *event)
{
    pawl_step_post(step, &(struct pawl_event){.task = victim,
                                              .code = P_CALL,
                                              .flags = PAWL_EVENT_CONTROL,
                                              .arg = {puppet_word(cancel)}});
    (void)puppet, (void)event;
}

Test(timers, a_task_that_ends_takes_its_timers_along)
{
    fixture_open(&f, NULL);
    for (unsigned i = 0; i < 50; i++) {
        task = fixture_puppet(&f, 0);
        arm_in(task, i % 4, 10 * FIXTURE_MS);
        arm_in(task, (i + 1) % 4, FIXTURE_SECOND);
        switch (i % 3) {
        case 0:
            fixture_ask(&f, task, P_END, 0, 0);
            break;
        case 1:
            pawl_task_cancel(f.runtime, task);
            break;
        case 2:
            puppet_tick = tick_finishes;
            fixture_jump(&f, 10 * FIXTURE_MS);
            puppet_tick = NULL;
            trace_clear();
            break;
        }
        fixture_run(&f);
        cr_assert_eq(fixture_counters(&f).timers, 0);
        victim = fixture_puppet(&f, 0);
        fixture_advance(&f, 2 * FIXTURE_SECOND);
        cr_assert_eq(trace.count, 0);
    }
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(timers, a_cancel_in_the_turn_in_which_it_is_due_wins_when_it_is_handled_first)
{
    timers_open(0);
    victim = task;
    task = fixture_puppet(&f, 0);
    arm_in(victim, 0, 10 * FIXTURE_MS);
    /* Control and ports come before timers in a turn. */
    which = 0;
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 10 * FIXTURE_MS);
    fixture_send(&f, victim, P_CALL, puppet_word(cancel));
    fixture_run(&f);
    cr_assert_eq(trace.count, 0);
    fixture_jump(&f, FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    /* The tick of one task sends the other a cancel that comes too late, and does no harm. */
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(victim, 0, 10 * FIXTURE_MS);
    puppet_tick = cancel_of_victim;
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0, 0));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

/* ---- timeouts of states -------------------------------------------------------------------------- */

/*
 * outer (100 ms) has in_a (10 ms) and in_b (30 ms); beside it calm, without one. late counts; each
 * timeout's event is another.
 */
enum watch_event { W_A, W_B, W_OUTER, W_SWAP, W_INTERNAL, W_SELF, W_OUTER_SELF, W_LEAVE, W_BACK };
static const char *const watch_events[] = {"late_a", "late_b",     "late_outer", "swap", "internal",
                                           "self",   "outer_self", "leave",      "back"};

static void tell_a(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert((event->flags & PAWL_EVENT_TIMER) != 0);
    trace_add((pawl_step_now_ns(step) - FIXTURE_START_NS) / FIXTURE_MS);
    trace_add(event->code);
    (void)context;
}

static const struct pawl_state_def watch_states[] = {
    {.name = "outer", .initial = "in_a", .timeout_ns = 100 * FIXTURE_MS, .timeout = "late_outer"},
    {.name = "in_a", .parent = "outer", .timeout_ns = 10 * FIXTURE_MS, .timeout = "late_a"},
    {.name = "in_b", .parent = "outer", .timeout_ns = 30 * FIXTURE_MS, .timeout = "late_b"},
    {.name = "calm"},
};
static const struct pawl_transition_def watch_transitions[] = {
    {.from = "in_a", .on = "late_a", .action = tell_a},
    {.from = "in_b", .on = "late_b", .to = "in_a", .action = tell_a},
    {.from = "outer", .on = "late_outer", .to = "calm", .action = tell_a},
    {.from = "in_a", .on = "swap", .to = "in_b"},
    {.from = "in_b", .on = "swap", .to = "in_a"},
    {.from = "outer", .on = "internal"},
    {.from = "in_a", .on = "self", .to = "in_a"},
    {.from = "in_b", .on = "self", .to = "in_b"},
    {.from = "outer", .on = "outer_self", .to = "outer"},
    {.from = "outer", .on = "leave", .to = "calm"},
    {.from = "calm", .on = "back", .to = "outer"},
};
static const struct pawl_machine_def watched = {.name = "watched",
                                                FIXTURE_TABLE(events, watch_events),
                                                FIXTURE_TABLE(states, watch_states),
                                                FIXTURE_TABLE(transitions, watch_transitions)};

static void watch_open(void)
{
    fixture_open(&f, &(struct fixture_options){.machines = {&watched}});
    task = fixture_create(&f, 0, 0);
    cr_assert_eq(fixture_counters(&f).timers, 2);
}

Test(timers, a_timeout_counts_from_the_entry_of_its_state)
{
    watch_open();
    fixture_advance(&f, FIXTURE_SECOND);
    /* in_a's is handled internally, so nothing enters in_a again. */
    cr_assert(TRACE_IS(10, W_A, 100, W_OUTER));
    cr_assert_eq(fixture_state(&f, task), 3);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    trace_clear();
    fixture_send(&f, task, W_BACK, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, 2);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(1010, W_A, 1100, W_OUTER));
    fixture_close(&f);
}

Test(timers, a_timeout_ends_with_its_state_and_not_with_another)
{
    watch_open();
    fixture_advance(&f, 9 * FIXTURE_MS);
    fixture_send(&f, task, W_SWAP, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, 2);
    fixture_advance(&f, FIXTURE_SECOND);
    /* 9 + 30 brings in_a back, whose own comes 10 later; outer was never left. */
    cr_assert(TRACE_IS(39, W_B, 49, W_A, 100, W_OUTER));
    fixture_close(&f);
}

Test(timers, leaving_cancels_all_timeouts_inside)
{
    watch_open();
    fixture_send(&f, task, W_LEAVE, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    fixture_close(&f);
}

Test(timers, a_self_transition_starts_the_timeout_anew)
{
    watch_open();
    for (unsigned i = 0; i < 5; i++) {
        fixture_advance(&f, 9 * FIXTURE_MS);
        fixture_send(&f, task, W_SELF, 0);
        fixture_run(&f);
    }
    cr_assert_eq(trace.count, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(55, W_A, 100, W_OUTER));
    fixture_close(&f);
}

Test(timers, a_self_transition_of_the_parent_starts_all_anew)
{
    watch_open();
    fixture_advance(&f, 9 * FIXTURE_MS);
    fixture_send(&f, task, W_SWAP, 0);
    fixture_advance(&f, 20 * FIXTURE_MS);
    fixture_send(&f, task, W_OUTER_SELF, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_state(&f, task), 1);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(39, W_A, 129, W_OUTER));
    fixture_close(&f);
}

Test(timers, an_internal_transition_leaves_the_timeout)
{
    watch_open();
    for (unsigned i = 0; i < 9; i++) {
        fixture_advance(&f, FIXTURE_MS);
        fixture_send(&f, task, W_INTERNAL, 0);
        fixture_run(&f);
    }
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(10, W_A));
    fixture_close(&f);
}

/* A post of the timeout's event is not the timeout. */
Test(timers, a_timeouts_event_can_be_posted_too)
{
    watch_open();
    fixture_send(&f, task, W_SWAP, 0);
    fixture_run(&f);
    fixture_advance(&f, 20 * FIXTURE_MS);
    cr_assert_eq(fixture_ask(&f, task, W_SWAP, 0, 0).state, 1);
    fixture_advance(&f, 9 * FIXTURE_MS);
    cr_assert_eq(trace.count, 0);
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(30, W_A));
    fixture_close(&f);
}

Test(timers, both_timeouts_of_a_nest_due_together_run_in_the_order_armed)
{
    watch_open();
    /* Leave in_a at 90 so that in_a's and outer's fall on 100. */
    fixture_advance(&f, 90 * FIXTURE_MS);
    trace_clear();
    fixture_send(&f, task, W_SELF, 0);
    fixture_run(&f);
    fixture_advance(&f, FIXTURE_SECOND);
    /* outer was armed first; it leaves in_a, whose timeout must not come after it. */
    cr_assert(TRACE_IS(100, W_OUTER));
    fixture_close(&f);
}

/* ---- many ---------------------------------------------------------------------------------------- */

#define MANY 20000u
static uint64_t fired_at[MANY];

static void record(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(fired_at[puppet->last], 0, "twice");
    fired_at[puppet->last] = pawl_step_now_ns(step);
    trace_clear();
    (void)event;
}

static void arm_mine(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->last = event->arg[1] & 0xffffffff;
    cr_assert_eq(pawl_step_arm(step, 0, (event->arg[1] >> 32) * FIXTURE_MS), 0);
}

Test(timers, each_of_many_fires_once_and_in_its_tick)
{
    static struct pawl_task tasks[MANY];
    uint64_t random = 12345;
    static uint64_t due[MANY];

    fixture_open(&f, &(struct fixture_options){.shards = 2, .port_capacity = 65536});
    puppet_tick = record;
    memset(fired_at, 0, sizeof(fired_at));
    for (unsigned i = 0; i < MANY; i++) {
        tasks[i] = fixture_puppet(&f, i % 2);
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        due[i] = 1 + (i % 3 == 0 ? (random >> 40) % 100 : (random >> 40) % 100000);
        fixture_post(&f, &(struct pawl_event){.task = tasks[i],
                                              .code = P_CALL,
                                              .arg = {puppet_word(arm_mine), due[i] << 32 | i}});
    }
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, MANY);
    fixture_advance(&f, 100001 * FIXTURE_MS);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(fired_at[i], FIXTURE_START_NS + due[i] * FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    cr_assert_eq(fixture_counters(&f).timers_fired, MANY);
    fixture_close(&f);
}

/* After a leap all of them are due at once; those of one task still run in the order of their ticks. */
static void record_order(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    const uint64_t due = event->arg[0] % 2 ? puppet->last : puppet->sum;

    cr_assert(due >= puppet->count >> 8, "a timer of an earlier tick came later");
    puppet->count = due << 8;
    trace_clear();
    (void)step;
}

static void arm_two(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count = 0;
    puppet->last = event->arg[1] % 1000003;
    puppet->sum = event->arg[1] / 1000003 % 1000;
    cr_assert_eq(pawl_step_arm(step, 1, puppet->last * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 0, puppet->sum * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 3, puppet->last * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 2, puppet->sum * FIXTURE_MS), 0);
}

Test(timers, a_leap_runs_those_of_a_task_in_the_order_of_their_ticks)
{
    uint64_t random = 99;

    fixture_open(&f, &(struct fixture_options){.port_capacity = 65536});
    puppet_tick = record_order;
    for (unsigned i = 0; i < MANY / 4; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        fixture_post(&f, &(struct pawl_event){.task = fixture_puppet(&f, 0),
                                              .code = P_CALL,
                                              .arg = {puppet_word(arm_two), random >> 20}});
    }
    fixture_run(&f);
    fixture_jump(&f, 2000 * FIXTURE_SECOND);
    cr_assert_eq(fixture_counters(&f).timers_fired, MANY);
    fixture_close(&f);
}

/* ---- waiting ------------------------------------------------------------------------------------- */

Test(timers, a_due_timer_is_work_that_must_not_be_slept_over)
{
    timers_open(0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1);
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 10 * FIXTURE_MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(0));
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1);
    fixture_run(&f);
    fixture_close(&f);
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

Test(timers, restored_ones_are_armed_at_the_first_tick_that_is_not_too_early)
{
    struct shard *shard;
    struct slot *slot;

    fixture_open(&f, NULL);
    shard = f.runtime->shards[0];
    task = fixture_puppet(&f, 0);
    slot = table_slot(&shard->table, id_slot(task));
    for (unsigned timer = 0; timer < 3; timer++)
        cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), timer, 1));
    pawl__timers_restore_forget(&shard->timer_nodes, slot);
    cr_assert_eq(slab_live(&shard->timer_nodes), 0u);
    cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), 1, 2000001));
    cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), 3, 2000000));
    cr_assert(!pawl__timers_restore_arm(shard, slot, 3), "there is no timer 3");
    cr_assert(pawl__timers_restore_arm(shard, slot, 4));
    fixture_jump(&f, 2 * FIXTURE_MS);
    cr_assert(TRACE_IS(3));
    fixture_jump(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(3, 1));
    fixture_close(&f);
}
