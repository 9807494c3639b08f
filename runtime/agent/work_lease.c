/*
 * work_lease.c - a work task in the hands of agents: leases, reports, verdicts, expiry.
 *
 * Layer: agent. Owner: the shard, inside steps.
 *
 * Every report is taken the same way: read without belief, from the holder of the lease with its
 * token, with an id greater than that of the last one applied. What is refused aborts the step: it
 * is told to its sender, once, and changes nothing. The id is in the context: so it is on disk with
 * what the report did, and the report cannot be applied twice, whatever crashes.
 */
#include <errno.h>

#include "agent/policy.h"
#include "agent/work_machine.h"
#include "base/planted.h"

bool pawl__work_is_unverified(const struct pawl_step *step, const void *context,
                              const struct pawl_event *event)
{
    (void)event;
    return pawl__work_policy(step, context)->verify == PAWL_WORK_VERIFY_NONE;
}

static void begin_lease(struct pawl_work *work)
{
    work->last_report = 0;
    work->progress = 0;
}

void pawl__work_lease(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    (void)event;
    begin_lease(work);
    work->attempts += work->attempts < UINT32_MAX - 1;
    if (work->started_ns == 0)
        work->started_ns = pawl_step_wall_ns(step);
}

void pawl__work_check(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)event;
    begin_lease(context);
}

/* ---- Reports ---- */

/* False: it is refused, and the step is aborted. */
static bool take(struct pawl_step *step, struct pawl_work *work, const struct pawl_event *event,
                 struct pawl_reported *report)
{
    int error = pawl_report_read(event, report);

    if (error == 0)
        error = pawl_step_holder(step, report->token);
    if (error == 0 && (report->id == 0 || report->size > PAWL_REPORT_BYTES_MAX))
        error = -EINVAL;
    if (error == 0 && report->id <= work->last_report && !planted(PLANTED_REPORT_TWICE))
        error = -EALREADY;
    if (error != 0) {
        pawl_step_abort(step, error);
        return false;
    }
    work->last_report = report->id;
    return true;
}

/* A report where there is no place for one: why not. */
void pawl__work_refuse(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_work *work = context;
    struct pawl_reported report;
    int error = pawl_report_read(event, &report);

    if (error == 0 && report.token == work->claim.token && report.id != 0 &&
        report.id <= work->last_report && work->claim.agent != 0 &&
        work->claim.agent == pawl_step_agent(step))
        error = -EALREADY; /* it, or a later one, has ended the lease: say so to who said it */
    if (error == 0)
        error = pawl_step_holder(step, report.token);
    pawl_step_abort(step, error != 0 ? error : -EPROTO);
}

static void add_evidence(struct pawl_step *step, struct pawl_work *work,
                         const struct pawl_reported *report)
{
    const struct pawl_work_policy *policy = pawl__work_policy(step, work);
    const uint32_t room = policy_bytes_max(policy);

    if (work->notes >= policy_notes_max(policy) || work->bytes > room ||
        report->size > room - work->bytes) {
        pawl_step_abort(step, -ENOSPC);
        return;
    }
    if (pawl__note_append(step, work, pawl__step_machine_first(step) + 1,
                          &(struct pawl_work_note){.kind = PAWL_WORK_NOTE_EVIDENCE,
                                                   .klass = report->klass,
                                                   .wall_ns = pawl_step_wall_ns(step),
                                                   .agent = work->claim.agent,
                                                   .token = work->claim.token,
                                                   .value = report->value,
                                                   .hash = report->hash,
                                                   .bytes = report->bytes,
                                                   .size = report->size},
                          true) != 0)
        return;
    work->notes++;
    work->bytes += (uint32_t)report->size;
}

static void add_what_there_is(struct pawl_step *step, struct pawl_work *work,
                              const struct pawl_reported *report)
{
    if (report->size > 0 || report->hash != 0)
        add_evidence(step, work, report);
}

void pawl__work_done(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    work->value = report.value;
    pawl_step_outcome(step, true);
}

static void add_verdict(struct pawl_step *step, struct pawl_work *work, bool good, int reason)
{
    pawl__work_history(step, work,
                       &(struct pawl_work_note){.kind = PAWL_WORK_NOTE_VERDICT,
                                                .klass = good ? 0 : PAWL_WORK_CLASS_REJECTED,
                                                .reason = reason,
                                                .agent = work->claim.agent,
                                                .token = work->claim.token,
                                                .value = good});
}

void pawl__work_done_verify(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_work_options *options = pawl__step_work(step);
    const struct pawl_work_policy *policy = pawl__work_policy(step, context);
    struct pawl_work *work = context;
    struct pawl_reported report;
    int error;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    work->value = report.value;
    if (policy->verify == PAWL_WORK_VERIFY_LANE) {
        const uint32_t lane = pawl_lane_number(policy->verify_lane);

        if (!pawl__step_has_lane(step, lane)) { /* the work is not lost for that */
            pawl_step_abort(step, -ENOENT);
            return;
        }
        work->claim.lane = lane;
        work->claim.assignee = 0;
        pawl_step_outcome(step, true);
        pawl__work_next(step, work, PAWL_WORK_UNVERIFIED);
        return;
    }
    error = policy->check(options->user, pawl_step_task(step), work, &report);
    add_verdict(step, work, error == 0, error);
    pawl_step_outcome(step, error == 0);
    if (error == 0)
        pawl__work_next(step, work, PAWL_WORK_COMPLETED);
    else
        pawl__work_fail(step, work, PAWL_WORK_CLASS_REJECTED, error, work->claim.agent);
}

void pawl__work_failed(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    if (report.klass >= PAWL_WORK_CLASSES) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    add_what_there_is(step, work, &report);
    pawl_step_outcome(step, false);
    pawl__work_fail(step, work, report.klass, 0, work->claim.agent);
}

void pawl__work_release(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    work->attempts -= work->attempts > 0; /* untouched */
    pawl__work_make_ready(step, work);
}

void pawl__work_extend(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_reported report;

    if (take(step, context, event, &report))
        pawl_step_extend(step, report.value);
}

void pawl__work_progress(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    work->progress = report.value;
    add_what_there_is(step, work, &report);
}

void pawl__work_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_reported report;

    if (take(step, context, event, &report))
        add_evidence(step, context, &report);
}

/* ---- The end of a lease that its holder did not report ---- */

/* False: it is not over, whoever says so. */
static bool is_over(struct pawl_step *step, enum pawl_lost *lost)
{
    *lost = pawl_step_lease_lost(step);
    if (*lost == PAWL_LOST_NOT)
        pawl_step_abort(step, -EPERM);
    return *lost != PAWL_LOST_NOT;
}

void pawl__work_expired(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    enum pawl_lost lost;

    (void)event;
    if (!is_over(step, &lost))
        return;
    pawl_step_outcome(step, false);
    work->attempts -= lost == PAWL_LOST_AGENT && planted(PLANTED_ATTEMPT_NOT_COUNTED);
    if (lost == PAWL_LOST_AGENT)
        pawl__work_fail(step, work, PAWL_WORK_CLASS_LOST, -ECANCELED, work->claim.agent);
    else
        pawl__work_fail(step, work, PAWL_WORK_CLASS_EXPIRED, -ETIMEDOUT, work->claim.agent);
}

/* ---- Verdicts ---- */

void pawl__work_accept(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    add_verdict(step, work, true, 0);
    pawl_step_outcome(step, true);
}

void pawl__work_reject(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    add_verdict(step, work, false, 0);
    pawl_step_outcome(step, true); /* of the verifying, which went well */
    pawl__work_fail(step, work, PAWL_WORK_CLASS_REJECTED, 0, work->claim.agent);
}

/* Who verifies gives no verdict: another is to. */
void pawl__work_give_back(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct pawl_reported report;

    if (!take(step, work, event, &report))
        return;
    add_what_there_is(step, work, &report);
    if (event->code == WORK_FAILED)
        pawl_step_outcome(step, false);
    pawl__work_next(step, work, PAWL_WORK_UNVERIFIED);
}

void pawl__work_check_expired(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    enum pawl_lost lost;

    (void)event;
    if (!is_over(step, &lost))
        return;
    pawl_step_outcome(step, false);
    if (lost == PAWL_LOST_AGENT && pawl__work_crashed(step, work))
        return;
    pawl__work_next(step, work, PAWL_WORK_UNVERIFIED);
}
