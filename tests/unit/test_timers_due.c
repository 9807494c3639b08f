/*
 * Timers that are due together: those that have been collected and not yet run, when a handler cancels them, arms them
 * anew, ends their task or gives up.
 */
#include "support/timers_fixture.h"

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

Test(timers_due, the_first_of_two_due_cancels_the_other)
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

Test(timers_due, the_first_of_two_due_arms_the_other_anew)
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

Test(timers_due, the_first_of_two_due_ends_the_task)
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

Test(timers_due, a_timer_can_arm_itself)
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

Test(timers_due, a_handler_that_gives_up_is_reported_once)
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

Test(timers_due, steps_that_give_up_take_no_memory)
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
Test(timers_due, at_the_limit_of_events_in_flight_a_timer_is_tried_again)
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

Test(timers_due, one_that_is_tried_again_can_be_cancelled_and_rearmed)
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

Test(timers_due, a_task_that_ends_takes_its_timers_along)
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

Test(timers_due, a_cancel_in_the_turn_in_which_it_is_due_wins_when_it_is_handled_first)
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

/* ---- a turn that lasts --------------------------------------------------------------------------- */

static struct pawl_port *late;

/* As if the shard had lost its core for so long, in which somebody else posts. */
static void lose_the_core(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    const struct pawl_event armed = {.task = task, .code = P_CALL, .arg = {puppet_word(arm)}};

    (void)step, (void)puppet, (void)event;
    pawl_virtual_clock_advance_to(f.clock, fixture_now(&f) + 100 * FIXTURE_MS);
    cr_assert_eq(pawl_port_post(late, &armed, 1), 1);
}

/* A delay counts from the event, not from the beginning of the turn that had begun long before. */
Test(timers_due, a_delay_does_not_begin_before_its_event_was_posted)
{
    struct pawl_event first = {.code = P_CALL,
                               .flags = PAWL_EVENT_CONTROL, /* a turn takes it before `late`'s */
                               .arg = {puppet_word(lose_the_core)}};
    uint64_t posted_ns;

    timers_open(0);
    cr_assert_eq(pawl_port_open(f.runtime, NULL, &late), 0);
    fixture_run(&f); /* the shard knows both ports */
    which = 0;
    delay = 10 * FIXTURE_MS;
    trace_clear();
    first.task = task;
    cr_assert_eq(pawl_port_post(f.port, &first, 1), 1);
    fixture_turn(&f);
    posted_ns = fixture_now(&f);
    cr_assert_eq(trace.count, 0);
    fixture_advance(&f, delay - 1);
    cr_assert_eq(trace.count, 0);
    fixture_advance(&f, 2 * FIXTURE_MS);
    cr_assert_eq(trace.count, 1);
    cr_assert(fixture_now(&f) >= posted_ns + delay);
    while (pawl_port_close(late, 0) == -EAGAIN)
        fixture_turn(&f);
    fixture_close(&f);
}
