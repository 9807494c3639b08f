/* What compiling says of lane states. */
#include <errno.h>
#include <pawl/lane.h>

#include "support/compile_fixture.h"

static const char *const job_events[] = {"lease", "expired", "done", "move", "again"};
static const struct pawl_timer_def job_timers[] = {{"lease", "expired"}};

#define READY      PAWL_STATE_READY
#define LEASED     PAWL_STATE_LEASED
#define JOB_EVENTS .events = job_events, .events_count = 5
#define TIMERS     .timers = job_timers, .timers_count = 1
#define NAMES      .lease = "lease", .lease_timer = "lease"
#define CONTEXT    .context_size = sizeof(struct pawl_claim)
#define TABLES     .name = "m", JOB_EVENTS, PAWL_TABLE(states), PAWL_TABLE(transitions)
#define COMPILE_JOB(...)                                                                           \
    compile(&(const struct pawl_machine_def){TABLES, TIMERS, NAMES, CONTEXT, __VA_ARGS__})
#define COMPILE_ONLY(...) compile(&(const struct pawl_machine_def){TABLES, __VA_ARGS__})

/* Those of a plain job. */
#define JOB_STATES                                                                                 \
    {.name = "queued", .flags = READY}, {.name = "running", .flags = LEASED},                      \
    {                                                                                              \
        .name = "gone", .flags = PAWL_STATE_FINAL                                                  \
    }
#define JOB_ROWS                                                                                   \
    {.from = "queued", .on = "lease", .to = "running"},                                            \
        {.from = "running", .on = "expired", .to = "queued"},                                      \
    {                                                                                              \
        .from = "running", .on = "done", .to = "gone"                                              \
    }

#define HAS(where, what) cr_assert(diagnostics_have(&d, "error -22", where, what), "%s", d.text)
#define ALONE()          cr_assert_eq(d.errors, 1, "%s", d.text)

Test(lane_states, a_plain_job_compiles)
{
    STATES(JOB_STATES);
    TRANSITIONS(JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(), 0, "%s", d.text);
    cr_assert_eq(d.errors, 0);
}

Test(lane_states, what_belongs_together_is_asked_for)
{
    STATES(JOB_STATES);
    TRANSITIONS(JOB_ROWS);

    cr_assert_eq(COMPILE_ONLY(TIMERS, CONTEXT, .lease_timer = "lease"), -EINVAL);
    HAS("machine 'm'", "lease is missing");
    ALONE();
    cr_assert_eq(COMPILE_ONLY(TIMERS, CONTEXT, .lease = "lease"), -EINVAL);
    HAS("machine 'm'", "lease_timer is missing");
    ALONE();
    cr_assert_eq(COMPILE_ONLY(CONTEXT, NAMES), -EINVAL);
    HAS("machine 'm'", "lease");
    cr_assert_eq(COMPILE_ONLY(TIMERS, CONTEXT, .lease = "laese", .lease_timer = "lease"), -EINVAL);
    HAS("machine 'm'", "laese");
    cr_assert_eq(COMPILE_ONLY(TIMERS, CONTEXT, .lease = "lease", .lease_timer = "expired"),
                 -EINVAL);
    HAS("machine 'm'", "expired");
    cr_assert_eq(COMPILE_ONLY(TIMERS, NAMES, .context_size = sizeof(struct pawl_claim) - 1),
                 -EINVAL);
    HAS("machine 'm'", "context_size is 55");
    ALONE();
}

Test(lane_states, names_without_states_are_refused)
{
    STATES({.name = "queued"}, {.name = "running"}, {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS(JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("machine 'm'", "a ready state is missing");
    ALONE();
}

Test(lane_states, ready_without_leased_is_refused)
{
    STATES({.name = "queued", .flags = READY}, {.name = "running"},
           {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS(JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("machine 'm'", "a leased state is missing");
}

Test(lane_states, a_state_is_ready_or_leased_and_a_leaf)
{
    STATES({.name = "queued", .flags = READY}, {.name = "running", .flags = LEASED | READY},
           {.name = "gone", .flags = PAWL_STATE_FINAL | READY},
           {.name = "out", .flags = READY, .initial = "in"}, {.name = "in", .parent = "out"});
    TRANSITIONS(JOB_ROWS, {.from = "queued", .on = "move", .to = "in"},
                {.from = "in", .on = "again", .to = "queued"});

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("state 1 (running)", "not both");
    HAS("state 2 (gone)", "in a leaf that is not final");
    HAS("state 3 (out)", "in a leaf that is not final");
}

Test(lane_states, a_ready_state_that_takes_no_lease_is_refused)
{
    STATES(JOB_STATES, {.name = "other", .flags = READY});
    TRANSITIONS(JOB_ROWS, {.from = "queued", .on = "move", .to = "other"},
                {.from = "other", .on = "move", .to = "queued"});

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("state 3 (other)", "cannot be handed out");
    ALONE();
}

Test(lane_states, an_internal_lease_is_none)
{
    STATES({.name = "queued", .flags = READY}, {.name = "running", .flags = LEASED},
           {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "queued", .on = "lease", .action = action, .guard = guard}, JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("transition 0", "not PAWL_STATE_LEASED");
}

Test(lane_states, a_guarded_lease_is_enough_and_a_parents_counts)
{
    STATES({.name = "life", .initial = "queued"},
           {.name = "queued", .parent = "life", .flags = READY},
           {.name = "running", .parent = "life", .flags = LEASED},
           {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "queued", .on = "lease", .to = "running", .guard = guard},
                {.from = "running", .on = "expired", .to = "queued"},
                {.from = "life", .on = "done", .to = "gone"});

    cr_assert_eq(COMPILE_JOB(), 0, "%s", d.text);
}

Test(lane_states, a_lease_that_leads_elsewhere_behind_a_guard_is_refused)
{
    STATES(JOB_STATES);
    TRANSITIONS({.from = "queued", .on = "lease", .to = "gone", .guard = guard}, JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("transition 0", "leads from ready state 'queued' to 'gone'");
    ALONE();
}

/* A parent's row for the lease event holds in its other children too. */
Test(lane_states, nothing_but_the_lease_event_leads_into_a_leased_state_and_only_from_a_ready_one)
{
    STATES({.name = "life", .initial = "queued"},
           {.name = "queued", .parent = "life", .flags = READY}, {.name = "idle", .parent = "life"},
           {.name = "running", .parent = "life", .flags = LEASED},
           {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "life", .on = "lease", .to = "running"},
                {.from = "queued", .on = "move", .to = "running"},
                {.from = "queued", .on = "again", .to = "idle"},
                {.from = "running", .on = "expired", .to = "queued"},
                {.from = "life", .on = "done", .to = "gone"});

    cr_assert_eq(COMPILE_JOB(), -EINVAL);
    HAS("transition 0", "from 'idle' into leased state 'running'");
    HAS("transition 1", "from 'queued' into leased state 'running'");
}

Test(lane_states, a_lease_may_lead_from_leased_to_leased)
{
    STATES(JOB_STATES, {.name = "later", .flags = LEASED});
    TRANSITIONS(JOB_ROWS, {.from = "running", .on = "move", .to = "later"},
                {.from = "later", .on = "move", .to = "running"},
                {.from = "later", .on = "expired", .to = "queued"});

    cr_assert_eq(COMPILE_JOB(), 0, "%s", d.text);
}

Test(lane_states, nobody_is_born_leased)
{
    STATES(JOB_STATES);
    TRANSITIONS(JOB_ROWS);

    cr_assert_eq(COMPILE_JOB(.initial = "running"), -EINVAL);
    HAS("machine 'm'", "the initial state is PAWL_STATE_LEASED");
    ALONE();
}

Test(lane_states, a_cancel_or_a_timeout_into_a_leased_state_is_refused)
{
    STATES({.name = "queued", .flags = READY, .timeout_ns = 1, .timeout = "again"},
           {.name = "running", .flags = LEASED}, {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS(JOB_ROWS, {.from = "queued", .on = "again", .to = "running"},
                {.from = "queued", .on = "move", .to = "running"});

    cr_assert_eq(COMPILE_JOB(.cancel = "move"), -EINVAL);
    HAS("transition 3", "only the lease event does that");
    HAS("transition 4", "only the lease event does that");
    cr_assert_eq(d.errors, 2, "%s", d.text);
}

/* Of a parent that remembers, each child that could be entered counts. */
Test(lane_states, a_lease_into_a_remembered_child_that_is_not_leased_is_refused)
{
    STATES({.name = "queued", .flags = READY},
           {.name = "work", .initial = "running", .flags = PAWL_STATE_HISTORY},
           {.name = "running", .parent = "work", .flags = LEASED},
           {.name = "resting", .parent = "work"}, {.name = "gone", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "queued", .on = "lease", .to = "work", .flags = PAWL_TRANSITION_HISTORY},
                {.from = "running", .on = "move", .to = "resting"},
                {.from = "resting", .on = "again", .to = "queued"},
                {.from = "running", .on = "expired", .to = "queued"},
                {.from = "work", .on = "done", .to = "gone"});

    cr_assert_eq(COMPILE_JOB(), -EINVAL, "%s", d.text);
    HAS("transition 0", "to 'resting', which is not PAWL_STATE_LEASED");
}
