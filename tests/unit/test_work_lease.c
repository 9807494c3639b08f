/* A work task in the hands of agents: reports, retries, verdicts, expiry, evidence. */
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;
static struct pawl_agent *agent;

static void begin(const struct work_fixture_options *options)
{
    work_open(&w, options);
    agent = work_agent(&w, "a", "work", 1); /* so that nothing is handed out unasked */
}

static void end(void)
{
    work_agent_end(&w, agent);
    work_close(&w);
}

static int report(const struct pawl_lease *lease, enum pawl_report_kind kind)
{
    return work_report(&w, agent, lease, kind, 0);
}

/* What became of a report. */
static int told(const struct pawl_lease *lease, const struct pawl_report *given)
{
    return work_receipt(&w, agent, lease, given).status;
}

/* Begins with a task that the agent has a lease of. */
static struct pawl_task begin_leased(const struct work_fixture_options *options,
                                     struct pawl_lease *lease)
{
    struct pawl_task task;

    begin(options);
    task = work_submit(&w, NULL);
    *lease = work_lease(&w, agent);
    return task;
}

static uint32_t attempts_of(struct pawl_task task)
{
    return work_view(&w, task).work.attempts;
}

Test(work_lease, done_completes_with_its_value)
{
    struct pawl_lease lease;
    const struct pawl_task task = begin_leased(NULL, &lease);
    struct pawl_receipt receipt;
    struct pawl_work_view view;

    cr_assert_eq(lease.task.id, task.id);
    cr_assert_eq(lease.state, PAWL_WORK_LEASED);
    cr_assert_eq(attempts_of(task), 1);
    receipt = work_receipt(&w, agent, &lease,
                           &(struct pawl_report){.kind = PAWL_REPORT_DONE, .value = 4711});
    cr_assert_eq(receipt.status, 0);
    cr_assert_eq(receipt.state, PAWL_WORK_COMPLETED);
    view = work_view(&w, task);
    cr_assert_eq(view.work.value, 4711);
    cr_assert_eq(view.work.outcome, PAWL_WORK_COMPLETED);
    cr_assert_eq(view.work.newest, 0); /* nothing to write down */
    end();
}

Test(work_lease, release_costs_no_attempt)
{
    struct pawl_task task;

    begin(&(struct work_fixture_options){.policies = {{.attempts = 1}}});
    task = work_submit(&w, NULL);
    for (unsigned i = 0; i < 5; i++) {
        const struct pawl_lease lease = work_lease(&w, agent);

        cr_assert_eq(report(&lease, PAWL_REPORT_RELEASE), 0);
        cr_assert_eq(attempts_of(task), 0);
    }
    end();
}

Test(work_lease, failure_of_a_class_that_is_not_retried_fails_at_once)
{
    struct pawl_lease lease;
    struct pawl_task task;

    task = begin_leased(&(struct work_fixture_options){.policies = {{.not_retried = 1u << 5}}},
                        &lease);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, 4), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    lease = work_lease(&w, agent);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, 5), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, task).work.klass, 5);
    cr_assert_eq(work_view(&w, task).work.history, 2);
    end();
}

Test(work_lease, class_of_the_runtime_is_refused)
{
    struct pawl_lease lease;
    const struct pawl_task task = begin_leased(NULL, &lease);

    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, PAWL_WORK_CLASS_LOST), -EINVAL);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_LEASED);
    end();
}

Test(work_lease, backoff_is_waited_for_between_attempts)
{
    struct pawl_task task;
    struct pawl_lease lease;

    begin(&(struct work_fixture_options){
        .policies = {{.attempts = 3, .backoff_ns = 4 * SECOND, .backoff_max_ns = 60 * SECOND}}});
    task = work_submit(&w, NULL);
    for (unsigned i = 0; i < 2; i++) {
        lease = work_lease(&w, agent);
        cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
        cr_assert_eq(work_state(&w, task), PAWL_WORK_DELAYED);
        fixture_advance(&w.f, (4 << i) * SECOND - SECOND);
        cr_assert_eq(work_state(&w, task), PAWL_WORK_DELAYED, "attempt %u", i);
        pawl_agent_beat(agent);
        fixture_advance(&w.f, SECOND + 2 * FIXTURE_MS);
    }
    lease = work_lease(&w, agent);
    cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
    fixture_advance(&w.f, 1000 * SECOND); /* the dead are kept */
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
    end();
}

Test(work_lease, expiry_counts_as_an_attempt_and_says_so)
{
    struct pawl_lease lease;
    struct pawl_task task;

    task = begin_leased(&(struct work_fixture_options){.policies = {{.attempts = 2}}}, &lease);
    fixture_advance(&w.f, 61 * SECOND);
    cr_assert_eq(work_view(&w, task).work.klass, PAWL_WORK_CLASS_EXPIRED);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), -ESTALE);
    work_lease(&w, agent);
    cr_assert_eq(attempts_of(task), 2);
    fixture_advance(&w.f, 61 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
    cr_assert_eq(work_view(&w, task).work.reason, -ETIMEDOUT);
    end();
}

Test(work_lease, extension_keeps_the_lease)
{
    struct pawl_lease lease;
    const struct pawl_task task = begin_leased(NULL, &lease);

    fixture_advance(&w.f, 50 * SECOND);
    cr_assert_eq(
        told(&lease, &(struct pawl_report){.kind = PAWL_REPORT_EXTEND, .value = 100 * SECOND}), 0);
    fixture_advance(&w.f, 90 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_LEASED);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    end();
}

/* In either direction: what is over by its time has its credit free again by then. */
Test(work_lease, extension_to_an_earlier_time_gives_its_credit_back_by_then)
{
    struct pawl_lease lease;
    const struct pawl_task task = begin_leased(NULL, &lease);

    cr_assert_eq(
        told(&lease, &(struct pawl_report){.kind = PAWL_REPORT_EXTEND, .value = 5 * SECOND}), 0);
    fixture_advance(&w.f, 6 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    cr_assert_eq(work_lease(&w, agent).task.id, task.id);
    end();
}

Test(work_lease, task_that_kills_its_agents_is_quarantined)
{
    struct pawl_task task;

    work_open(&w, &(struct work_fixture_options){.policies = {{.attempts = 100, .crashes = 2}}});
    task = work_submit(&w, NULL);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
        agent = work_agent(&w, "victim", "work", 1);
        work_lease(&w, agent);
        work_agent_end(&w, agent);
    }
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
    cr_assert_eq(work_view(&w, task).work.klass, PAWL_WORK_CLASS_QUARANTINED);
    cr_assert_eq(work_view(&w, task).work.crashes, 2);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_READY);
    cr_assert_eq(work_view(&w, task).work.crashes, 0);
    work_close(&w);
}

Test(work_lease, children_follow_one_that_was_dead_and_is_cancelled_after_a_kick)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent, child;
    struct pawl_lease lease;

    begin(&(struct work_fixture_options){.policies = {{.attempts = 1}}});
    parent = work_submit(&w, NULL);
    lease = work_lease(&w, agent);
    spec.parent = parent;
    spec.flags = PAWL_WORK_HELD;
    child = work_submit(&w, &spec);
    cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
    cr_assert_eq(work_state(&w, parent), PAWL_WORK_DEAD);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, parent, 1)).state, PAWL_WORK_READY);
    work_cancel(&w, parent, true);
    cr_assert_eq(work_state(&w, child), PAWL_WORK_CANCELLED);
    end();
}

Test(work_lease, progress_and_evidence_are_kept_in_order)
{
    struct pawl_lease lease;
    const struct pawl_task task = begin_leased(NULL, &lease);
    struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = "one", .size = 3, .hash = 77};

    cr_assert_eq(told(&lease, &note), 0);
    cr_assert_eq(told(&lease, &(struct pawl_report){.kind = PAWL_REPORT_PROGRESS, .value = 60}), 0);
    cr_assert_eq(work_view(&w, task).work.progress, 60);
    cr_assert_eq(work_view(&w, task).work.notes, 1);
    cr_assert_eq(work_view(&w, task).work.bytes, 3);
    end();
}

Test(work_lease, evidence_is_bounded_and_history_has_its_own_room)
{
    struct pawl_lease lease;
    struct pawl_task task;
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = "12345", .size = 5};
    struct pawl_work_view view;

    task = begin_leased(
        &(struct work_fixture_options){.policies = {{.notes_max = 2, .attempts = 9}}}, &lease);
    cr_assert_eq(told(&lease, &note), 0);
    cr_assert_eq(told(&lease, &note), 0);
    cr_assert_eq(told(&lease, &note), -ENOSPC);
    cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
    for (unsigned i = 0; i < 3; i++) {
        lease = work_lease(&w, agent);
        cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
    }
    view = work_view(&w, task);
    cr_assert_eq(view.work.notes, 2);
    cr_assert_eq(view.work.history, 2);
    cr_assert_eq(view.work.missed, 2);
    end();
}

static int verdict;
static unsigned checks;

static int check_result(void *user, struct pawl_task task, const struct pawl_work *work,
                        const struct pawl_reported *report_)
{
    cr_assert(user == &verdict && task.id != 0 && work->attempts > 0 && report_->token != 0);
    checks++;
    return verdict;
}

Test(work_lease, hosts_predicate_decides_within_the_report)
{
    struct pawl_lease lease;
    struct pawl_task task;
    struct pawl_receipt receipt;

    begin(&(struct work_fixture_options){
        .policies = {{.verify = PAWL_WORK_VERIFY_HOST, .check = check_result, .attempts = 2}}});
    w.options.user = &verdict;
    task = work_submit(&w, NULL);
    verdict = -EBADMSG;
    lease = work_lease(&w, agent);
    receipt = work_receipt(&w, agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE});
    cr_assert_eq(receipt.status, 0);
    cr_assert_eq(receipt.state, PAWL_WORK_READY);
    cr_assert_eq(work_view(&w, task).work.klass, PAWL_WORK_CLASS_REJECTED);
    cr_assert_eq(work_view(&w, task).work.reason, -EBADMSG);
    verdict = 0;
    lease = work_lease(&w, agent);
    receipt = work_receipt(&w, agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE});
    cr_assert_eq(receipt.state, PAWL_WORK_COMPLETED);
    cr_assert_eq(checks, 2);
    end();
}

static const struct work_fixture_options by_lane = {
    .policies = {
        {.attempts = 2, .verify = PAWL_WORK_VERIFY_LANE, .verify_lane = "verify", .crashes = 2}}};

Test(work_lease, verdict_of_another_agent_completes)
{
    struct pawl_agent *judge;
    struct pawl_work_spec spec = work_spec();
    struct pawl_lease lease, check;
    struct pawl_task task;

    begin(&by_lane);
    judge = work_agent(&w, "judge", "verify", 1);
    spec.assignee = "a";
    task = work_submit(&w, &spec);
    lease = work_lease(&w, agent);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_UNVERIFIED);
    cr_assert_eq(report(&lease, PAWL_REPORT_ACCEPT), -ESTALE);
    check = work_lease(&w, judge);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_CHECKED);
    cr_assert_eq(attempts_of(task), 1);
    cr_assert_eq(work_report(&w, judge, &check, PAWL_REPORT_REJECT, 0), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    cr_assert_eq(work_view(&w, task).work.claim.assignee, pawl_agent_number("a"));
    lease = work_lease(&w, agent);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    check = work_lease(&w, judge);
    cr_assert_eq(work_report(&w, judge, &check, PAWL_REPORT_ACCEPT, 0), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_COMPLETED);
    cr_assert_eq(work_view(&w, task).work.history, 3); /* reject, failed attempt, accept */
    work_agent_end(&w, judge);
    end();
}

Test(work_lease, judge_that_gives_up_or_stalls_is_replaced)
{
    struct pawl_agent *judge;
    struct pawl_lease lease, check;
    struct pawl_task task;

    begin(&by_lane);
    judge = work_agent(&w, "judge", "verify", 1);
    task = work_submit(&w, NULL);
    lease = work_lease(&w, agent);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    check = work_lease(&w, judge);
    cr_assert_eq(work_report(&w, judge, &check, PAWL_REPORT_RELEASE, 0), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_UNVERIFIED);
    check = work_lease(&w, judge);
    fixture_advance(&w.f, 61 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_UNVERIFIED);
    cr_assert_eq(work_report(&w, judge, &check, PAWL_REPORT_ACCEPT, 0), -ESTALE);
    check = work_lease(&w, judge);
    cr_assert_eq(work_report(&w, judge, &check, PAWL_REPORT_DONE, 0), -EPROTO);
    work_agent_end(&w, judge);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_UNVERIFIED);
    judge = work_agent(&w, "judge", "verify", 1);
    work_lease(&w, judge);
    work_agent_end(&w, judge); /* the second that dies with it */
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
    cr_assert_eq(work_view(&w, task).work.klass, PAWL_WORK_CLASS_QUARANTINED);
    cr_assert_eq(attempts_of(task), 1);
    end();
}

/* History needs room for a note; that there is none is no reason to keep the lease for ever. */
Test(work_lease, with_a_full_table_attempts_still_fail_and_expire)
{
    const struct pawl_work_spec spec = work_spec();
    struct pawl_task first, other;
    struct pawl_lease lease;

    begin(&(struct work_fixture_options){.policies = {{.attempts = 2}}, .tasks_max = 2});
    first = work_submit(&w, NULL);
    other = work_submit(&w, NULL);
    cr_assert_eq(work_try_submit(&w, &spec).status, -ENOSPC);
    lease = work_lease(&w, agent);
    cr_assert_eq(lease.task.id, first.id);
    cr_assert_eq(report(&lease, PAWL_REPORT_FAILED), 0);
    cr_assert_eq(work_state(&w, first), PAWL_WORK_READY);
    cr_assert_eq(work_view(&w, first).work.missed, 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(lease.task.id, other.id);
    fixture_advance(&w.f, 61 * SECOND); /* it is never reported */
    cr_assert_eq(work_state(&w, other), PAWL_WORK_READY);
    end();
}

/* The notes of a task end one after the other, whatever else is under way. */
Test(work_lease, notes_are_reclaimed_though_the_limit_of_events_in_flight_is_reached)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task noted, root;
    struct pawl_lease lease;

    begin(&(struct work_fixture_options){
        .policies = {{.keep_ns = 10 * SECOND, .broken = PAWL_WORK_BROKEN_GO_ON}},
        .inflight_max = 64});
    noted = work_submit(&w, NULL);
    lease = work_lease(&w, agent);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(
            told(&lease,
                 &(struct pawl_report){.kind = PAWL_REPORT_NOTE, .bytes = "evidence", .size = 8}),
            0);
    root = work_submit(&w, NULL);
    spec.after = &root;
    spec.after_count = 1;
    for (unsigned i = 0; i < 300; i++)
        work_submit(&w, &spec);
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    lease = work_lease(&w, agent);
    cr_assert_eq(lease.task.id, root.id);
    fixture_jump(&w.f, 10 * SECOND - 1); /* the chain begins to end when the dependents are told */
    cr_assert_eq(report(&lease, PAWL_REPORT_DONE), 0);
    fixture_advance(&w.f, 30 * SECOND);
    cr_assert(work_is_gone(&w, noted));
    cr_assert_eq(work_live(&w), 300);
    end();
}
