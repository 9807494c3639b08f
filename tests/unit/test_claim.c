/*
 * What a step writes into a claim, and who may enter a leased state.
 */
#include <errno.h>

#include "support/lanes_fixture.h"

static const struct pawl_lane_def lanes[] = {{.name = "work", .lease_ns = 10 * SECOND},
                                             {.name = "other", .lease_ns = 20 * SECOND}};

static void open_machine(const struct pawl_machine_def *definition)
{
    fixture_open(
        &f, &(struct fixture_options){.machines = {definition}, .lanes = lanes, .lane_count = 2});
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
}

static void open_work(void)
{
    open_machine(&job_machine);
}

/* The lease that one credit brings. */
static struct pawl_completion lease(void)
{
    const struct pawl_completion completion = lane_agent_lease(&agent, &f);

    cr_assert_eq(completion.status, 0);
    return completion;
}

Test(claim, a_lease_says_who_has_the_task_and_until_when)
{
    struct pawl_task task;
    struct pawl_completion got;
    struct job job;

    open_work();
    task = job_create(&f, 0, "work", 5);
    got = lease();
    job = job_of(&f, task);
    cr_assert_eq(got.task.id, task.id);
    cr_assert_eq(got.state, J_RUNNING);
    cr_assert_eq(got.tag, PAWL__LEASE_TAG);
    cr_assert(got.value != 0);
    cr_assert_eq(job.claim.token, got.value);
    cr_assert_eq(job.claim.agent, 700);
    cr_assert_eq(job.claim.leases, 1);
    cr_assert_eq(job.claim.deadline_ns, fixture_now(&f) + 10 * SECOND);
    close_agent();
}

Test(claim, tokens_grow_over_all_leases)
{
    uint64_t token = 0;
    struct pawl_task task;

    open_work();
    task = job_create(&f, 0, "work", 5);
    for (unsigned i = 0; i < 10; i++) {
        const struct pawl_completion got = lease();

        cr_assert(got.value > token);
        token = got.value;
        cr_assert_eq(fixture_ask(&f, task, J_RELEASE, 0, 0).status, 0);
    }
    cr_assert_eq(job_of(&f, task).claim.leases, 10);
    close_agent();
}

Test(claim, nobody_but_the_shard_leads_into_a_leased_state)
{
    struct pawl_task task;

    open_work();
    task = job_create(&f, 0, "work", 5);
    cr_assert_eq(fixture_ask(&f, task, J_LEASE, 0, 0).status, -EPERM);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED);
    lease();
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    close_agent();
}

Test(claim, a_lease_ends_at_its_deadline_and_the_task_is_ready_again)
{
    struct pawl_task task;
    struct pawl_lane_status status;

    open_work();
    task = job_create(&f, 0, "work", 5);
    lease();
    fixture_advance(&f, 10 * SECOND - FIXTURE_MS);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    fixture_advance(&f, 2 * FIXTURE_MS);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED);
    cr_assert_eq(job_of(&f, task).lost, PAWL_LOST_DEADLINE);
    cr_assert_eq(pawl_lane_read(f.runtime, "work", &status), 0);
    cr_assert_eq(status.expired, 1);
    cr_assert_eq(status.bad, 1);
    cr_assert_eq(status.ready, 1);
    cr_assert_eq(status.leased, 0);
    lease();
    close_agent();
}

Test(claim, a_lease_that_is_extended_lasts_longer)
{
    struct pawl_task task;

    open_work();
    task = job_create(&f, 0, "work", 5);
    lease();
    fixture_advance(&f, 9 * SECOND);
    cr_assert_eq(fixture_ask(&f, task, J_EXTEND, 5 * SECOND, 0).status, 0);
    fixture_advance(&f, 4 * SECOND);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    cr_assert_eq(job_of(&f, task).claim.deadline_ns, fixture_now(&f) + SECOND);
    fixture_advance(&f, 2 * SECOND);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED);
    close_agent();
}

Test(claim, a_lane_that_does_not_exist_is_refused)
{
    const struct job job = {.claim = {.lane = 12345}};
    const struct pawl_task_spec spec = {.context = &job, .context_size = sizeof(job)};
    struct pawl_task task;

    open_work();
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), -ENOENT);
    task = job_create(&f, 0, "work", 1);
    cr_assert_eq(fixture_ask(&f, task, J_CHANGE, 777, 0).status, -ENOENT);
    cr_assert_eq(job_of(&f, task).claim.lane, pawl_lane_number("work"));
    close_agent();
}

Test(claim, a_task_that_ends_leaves_its_lane)
{
    struct pawl_lane_status status;
    struct pawl_task tasks[3];

    open_work();
    for (unsigned i = 0; i < 3; i++)
        tasks[i] = job_create(&f, 0, "work", i);
    pawl_task_cancel(f.runtime, tasks[0]);
    cr_assert_eq(fixture_ask(&f, tasks[1], J_WITHDRAW, 0, 0).status, 0);
    fixture_run(&f);
    cr_assert_eq(pawl_lane_read(f.runtime, "work", &status), 0);
    cr_assert_eq(status.ready, 1);
    cr_assert_eq(lease().task.id, tasks[2].id);
    pawl_task_cancel(f.runtime, tasks[2]); /* while it is leased */
    fixture_run(&f);
    cr_assert_eq(pawl_lane_read(f.runtime, "work", &status), 0);
    cr_assert_eq(status.leased, 0);
    cr_assert_eq(status.ready, 0);
    close_agent();
}

Test(claim, only_the_agent_that_has_the_lease_is_its_holder)
{
    struct lane_agent other;
    struct pawl_completion got;
    struct pawl_event report = {.code = J_REPORT, .flags = PAWL_EVENT_COMPLETE};

    open_work();
    lane_agent_open(&other, f.runtime, 9, 0);
    report.task = job_create(&f, 0, "work", 5);
    got = lease();
    report.arg[0] = got.value;
    cr_assert_eq((int64_t)fixture_ask(&f, report.task, J_REPORT, got.value, 0).value, -EPERM);
    cr_assert_eq(pawl_port_post(other.port, &report, 1), 1);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&other, &got, 1), 1);
    cr_assert_eq((int64_t)got.value, -EPERM);
    cr_assert_eq(pawl_port_post(agent.port, &report, 1), 1);
    report.arg[0]--;
    cr_assert_eq(pawl_port_post(agent.port, &report, 1), 1);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1);
    cr_assert_eq((int64_t)got.value, 0);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1);
    cr_assert_eq((int64_t)got.value, -ESTALE);
    lane_agent_close(&other, &f);
    close_agent();
}

/* ---- Other machines ---- */

/* What entering "running" does at once. */
enum { STAY, BACK, LEAVE, FINISH };
enum { O_LEASE, O_EXPIRED, O_BACK, O_LEAVE, O_FINISH, O_LATE, O_SLOW, O_AGAIN, O_WAIT, O_KEEP };
enum { O_QUEUED, O_RUNNING, O_PARKED, O_DONE };

static void odd_enter(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct job *job = context;

    (void)event;
    if (job->shy != STAY)
        pawl_step_raise(step, (uint16_t)(O_BACK + job->shy - BACK), 0, 0);
}

static void odd_count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)event;
    ((struct job *)context)->held++;
}

/* Where it would be ready next. */
static void odd_keep(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    ((struct job *)context)->claim.lane = (uint32_t)event->arg[0];
}

static const char *const odd_raises[] = {"back", "leave", "finish", NULL};
static const char *const odd_defers[] = {"wait", NULL};
static const char *const odd_events[] = {"lease", "expired", "back",  "leave", "finish",
                                         "late",  "slow",    "again", "wait",  "keep"};
static const struct pawl_state_def odd_states[] = {
    {.name = "queued", .flags = PAWL_STATE_READY, .timeout_ns = 5 * SECOND, .timeout = "late"},
    {.name = "running",
     .flags = PAWL_STATE_LEASED,
     .timeout_ns = 3 * SECOND,
     .timeout = "slow",
     .defers = odd_defers,
     .entry = odd_enter,
     .raises = odd_raises},
    {.name = "parked"},
    {.name = "done", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def odd_transitions[] = {
    {.from = "queued", .on = "lease", .to = "running"},
    {.from = "queued", .on = "late", .to = "parked"},
    {.from = "queued", .on = "wait", .action = odd_count},
    {.from = "running", .on = "expired", .to = "queued"},
    {.from = "running", .on = "slow", .to = "parked"},
    {.from = "running", .on = "back", .to = "queued"},
    {.from = "running", .on = "leave", .to = "parked"},
    {.from = "running", .on = "finish", .to = "done"},
    {.from = "running", .on = "keep", .action = odd_keep},
    {.from = "parked", .on = "again", .to = "queued"},
    {.from = "parked", .on = "wait", .action = odd_count},
};
static const struct pawl_machine_def odd_machine = {
    .name = "odd",
    FIXTURE_TABLE(events, odd_events),
    FIXTURE_TABLE(states, odd_states),
    FIXTURE_TABLE(transitions, odd_transitions),
    FIXTURE_TABLE(timers, job_timers),
    .lease = "lease",
    .lease_timer = "lease",
    .context_size = sizeof(struct job),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};

static struct pawl_task open_odd(uint64_t what)
{
    static const struct pawl_lane_def limited[] = {
        {.name = "work", .lease_ns = 10 * SECOND, .concurrency = 2}, {.name = "other"}};
    const struct job job = {.claim = {.lane = pawl_lane_number("work")}, .shy = what};

    fixture_open(&f, &(struct fixture_options){.machines = {&odd_machine, &job_machine},
                                               .lanes = limited,
                                               .lane_count = 2});
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
    return job_make(&f, 0, 0, &job);
}

static void expect_counts(uint64_t ready, uint64_t leased)
{
    fixture_run(&f);
    cr_assert_eq(lane_status(&f, "work").ready, ready);
    cr_assert_eq(lane_status(&f, "work").leased, leased);
}

/* After it the lane has both its places, and its shard may sleep. */
static void expect_two_places(void)
{
    struct pawl_completion got[3];
    unsigned count = 0;

    for (unsigned i = 0; i < 3; i++) {
        const struct job job = {.claim = {.lane = pawl_lane_number("work"), .priority = 9}};

        job_make(&f, 1, 0, &job);
    }
    lane_agent_grant(&agent, 4);
    fixture_advance(&f, FIXTURE_MS / 2);
    for (unsigned some; (some = lane_agent_reap(&agent, got, 3)) > 0;)
        for (unsigned i = 0; i < some; i++)
            count += got[i].status == 0 && got[i].value != 0;
    cr_assert_eq(count, 2);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1, "the shard does not sleep");
}

Test(claim, a_lease_step_may_end_ready_again_and_then_waits_a_little)
{
    const struct pawl_task task = open_odd(BACK);
    const struct pawl_completion got = lease();

    cr_assert_eq(got.value, 0, "there is no lease");
    cr_assert_eq(got.state, O_QUEUED);
    cr_assert_eq(job_of(&f, task).claim.token, 0);
    expect_counts(1, 0);
    expect_two_places();
    expect_counts(2, 2);
    close_agent();
}

Test(claim, a_lease_step_may_end_elsewhere)
{
    const struct pawl_task task = open_odd(LEAVE);
    const struct pawl_completion got = lease();

    cr_assert_eq(got.value, 0);
    cr_assert_eq(got.state, O_PARKED);
    expect_counts(0, 0);
    expect_two_places();
    cr_assert_eq(fixture_ask(&f, task, O_AGAIN, 0, 0).status, 0);
    expect_counts(2, 2);
    close_agent();
}

Test(claim, a_lease_step_may_end_its_task)
{
    const struct pawl_task task = open_odd(FINISH);
    const struct pawl_completion got = lease();

    cr_assert_eq(got.value, 0);
    cr_assert(!fixture_is_alive(&f, task));
    expect_counts(0, 0);
    expect_two_places();
    close_agent();
}

Test(claim, a_refusal_that_the_machine_ignores_is_one)
{
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    struct pawl_machine_def definition = job_machine;
    struct pawl_task other;

    definition.unexpected = PAWL_UNEXPECTED_IGNORE;
    open_machine(&definition);
    job_make(&f, 0, 0, &shy);
    other = job_create(&f, 0, "work", 5);
    cr_assert_eq(lease().value, 0);
    cr_assert_eq(lease().task.id, other.id, "the one that refuses is in the way");
    cr_assert_eq(lane_status(&f, "work").returned, 1);
    close_agent();
}

Test(claim, the_timeouts_of_lane_states_go_on_beside_the_lease)
{
    const struct pawl_task task = open_odd(STAY);

    fixture_advance(&f, 5 * SECOND + FIXTURE_MS);
    cr_assert_eq(fixture_state(&f, task), O_PARKED);
    expect_counts(0, 0);
    fixture_ask(&f, task, O_AGAIN, 0, 0);
    cr_assert_eq(lease().task.id, task.id);
    fixture_advance(&f, 3 * SECOND + FIXTURE_MS);
    cr_assert_eq(fixture_state(&f, task), O_PARKED);
    expect_counts(0, 0);
    fixture_advance(&f, 10 * SECOND);
    cr_assert_eq(fixture_state(&f, task), O_PARKED);
    cr_assert_eq(f.undelivered_count, 0, "the lease's timer was not cancelled");
    cr_assert_eq(lane_status(&f, "work").expired, 0);
    close_agent();
}

Test(claim, what_was_deferred_while_leased_is_recalled_when_the_lease_ends)
{
    const struct pawl_task task = open_odd(STAY);

    lease();
    fixture_send(&f, task, O_WAIT, 0);
    fixture_run(&f);
    cr_assert_eq(job_of(&f, task).held, 0);
    lane_agent_close(&agent, &f); /* gone */
    cr_assert_eq(fixture_state(&f, task), O_QUEUED);
    cr_assert_eq(job_of(&f, task).held, 1);
    expect_counts(1, 0);
    cr_assert_eq(lane_status(&f, "work").lost, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
    cr_assert_eq(lease().task.id, task.id);
    close_agent();
}

/* It would be stored, and the store could not be opened again. */
Test(claim, a_lane_that_does_not_exist_is_refused_while_leased)
{
    const struct pawl_task task = open_odd(STAY);

    lease();
    cr_assert_eq(fixture_ask(&f, task, O_KEEP, 777, 0).status, -ENOENT);
    cr_assert_eq(fixture_ask(&f, task, O_KEEP, pawl_lane_number("other"), 0).status, 0);
    expect_counts(0, 1);
    lane_agent_close(&agent, &f);
    cr_assert_eq(lane_status(&f, "work").leased, 0);
    cr_assert_eq(lane_status(&f, "other").ready, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
    close_agent();
}

Test(claim, a_lease_is_not_extended_beyond_what_time_has)
{
    struct pawl_task task;

    open_work();
    task = job_create(&f, 0, "work", 5);
    lease();
    cr_assert_eq(fixture_ask(&f, task, J_EXTEND, UINT64_MAX, 0).status, 0);
    cr_assert(job_of(&f, task).claim.deadline_ns > fixture_now(&f) + 3600 * SECOND);
    fixture_advance(&f, 3600 * SECOND);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    close_agent();
}

Test(claim, an_agent_is_let_go_though_the_machine_keeps_its_task_leased)
{
    struct pawl_transition_def transitions[sizeof(job_transitions) / sizeof(job_transitions[0])];
    struct pawl_machine_def definition = job_machine;
    struct pawl_task task;

    memcpy(transitions, job_transitions, sizeof(transitions));
    for (unsigned i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
        if (strcmp(transitions[i].on, "expired") == 0)
            transitions[i].to = NULL;
    definition.transitions = transitions;
    open_machine(&definition);
    task = job_create(&f, 0, "work", 5);
    lease();
    lane_agent_close(&agent, &f);
    cr_assert_eq(job_of(&f, task).lost, PAWL_LOST_AGENT);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    cr_assert_eq(lane_status(&f, "work").leased, 1);
    cr_assert_eq(fixture_ask(&f, task, J_DONE, 0, 0).status, 0);
    cr_assert_eq(lane_status(&f, "work").leased, 0);
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
    close_agent();
}

/* ---- Ways into a ready state ---- */

static void make_job(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    const struct job job = {.claim = {.lane = pawl_lane_number("work")}};
    const struct pawl_task_spec spec = {
        .machine = 1, .shard = 1, .context = &job, .context_size = sizeof(job)};
    struct pawl_task_spec here = spec;
    struct pawl_task task;

    (void)puppet, (void)event;
    here.shard = pawl_step_shard(step);
    pawl_step_create(step, &spec, PAWL_NO_REPLY, &task);
    pawl_step_create(step, &here, PAWL_NO_REPLY, &task);
}

Test(claim, tasks_are_ready_by_whomever_they_were_created)
{
    const struct job job = {.claim = {.lane = pawl_lane_number("work")}};
    struct pawl_task_spec spec = {
        .machine = 1, .shard = 1, .context = &job, .context_size = sizeof(job)};
    struct pawl_completion got[8];
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &job_machine},
                                               .shards = 2,
                                               .lanes = lanes,
                                               .lane_count = 2});
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER);
    fixture_call(&f, fixture_puppet(&f, 0), P_CALL, make_job); /* two */
    cr_assert_eq(pawl_port_create(f.port, &spec, 1), 0);
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
    spec.key = "key";
    spec.key_size = 3;
    cr_assert_eq(pawl_port_create(f.port, &spec, 1), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, 0);
    cr_assert_eq(fixture_reap(&f).status, 0);
    expect_counts(5, 0);
    lane_agent_grant(&agent, 8);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, got, 8), 5);
    expect_counts(0, 5);
    close_agent();
}

static void to_second(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    ((struct job *)context)->claim.lane = pawl_lane_number("second");
    cr_assert_eq(pawl_step_outcome(step, false), 0);
}

/* A task that comes into its first lane tells that one, not the first there is. */
Test(claim, an_outcome_counts_in_the_lane_that_the_task_comes_to)
{
    static const struct pawl_lane_def two[] = {{.name = "first", .breaker_failures = 1},
                                               {.name = "second"}};
    const struct pawl_transition_def rows[] = {
        {.from = "idle", .on = "offer", .to = "queued", .action = to_second},
        {.from = "queued", .on = "lease", .to = "running"},
        {.from = "running", .on = "done", .to = "gone"},
        {.from = "running", .on = "expired", .to = "queued"},
    };
    struct pawl_machine_def machine = job_machine;
    const struct job job = {.shy = 0};
    struct pawl_task task;

    machine.transitions = rows;
    machine.transitions_count = ARRAY_LEN(rows);
    machine.initial = "idle";
    fixture_open(&f,
                 &(struct fixture_options){.machines = {&machine}, .lanes = two, .lane_count = 2});
    task = job_make(&f, 0, 0, &job);
    fixture_send(&f, task, J_OFFER, 0);
    fixture_run(&f);
    cr_assert_eq(lane_status(&f, "first").bad, 0);
    cr_assert_eq(lane_status(&f, "second").bad, 1);
    fixture_close(&f);
}

static void go_astray(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)event;
    ((struct job *)context)->claim.lane = 12345;
}

/* So is one that an entry action sets while its task is being leased. */
Test(claim, a_lane_that_does_not_exist_is_refused_in_the_step_of_the_lease)
{
    static const struct pawl_state_def states[] = {
        {.name = "queued", .flags = PAWL_STATE_READY},
        {.name = "running", .flags = PAWL_STATE_LEASED, .entry = go_astray},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "queued", .on = "lease", .to = "running"},
        {.from = "running", .on = "expired", .to = "queued"},
    };
    struct pawl_machine_def astray = job_machine;
    struct pawl_completion got;
    struct pawl_task task;

    astray.states = states;
    astray.states_count = sizeof(states) / sizeof(states[0]);
    astray.transitions = transitions;
    astray.transitions_count = sizeof(transitions) / sizeof(transitions[0]);
    fixture_open(&f, &(struct fixture_options){
                         .machines = {&astray}, .shards = 1, .lanes = three, .lane_count = 1});
    lane_agent_open(&agent, f.runtime, 7, WORK);
    task = job_create(&f, 0, "work", 1);
    lane_agent_grant(&agent, 1);
    cr_assert_eq(came(&agent, &got, 1), 1);
    cr_assert_eq(got.status, -ENOENT);
    cr_assert_eq(fixture_state(&f, task), 0u);
    cr_assert_eq(job_of(&f, task).claim.lane, pawl_lane_number("work"));
    lane_agent_close(&agent, &f);
    fixture_close(&f);
}
