/*
 * Timeouts of states: they begin when their state is entered and end when it is left.
 */
#include "support/timers_fixture.h"

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

Test(timers_states, a_timeout_counts_from_the_entry_of_its_state)
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

Test(timers_states, a_timeout_ends_with_its_state_and_not_with_another)
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

Test(timers_states, leaving_cancels_all_timeouts_inside)
{
    watch_open();
    fixture_send(&f, task, W_LEAVE, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    fixture_close(&f);
}

Test(timers_states, a_self_transition_starts_the_timeout_anew)
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

Test(timers_states, a_self_transition_of_the_parent_starts_all_anew)
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

Test(timers_states, an_internal_transition_leaves_the_timeout)
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
Test(timers_states, a_timeouts_event_can_be_posted_too)
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

Test(timers_states, both_timeouts_of_a_nest_due_together_run_in_the_order_armed)
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
