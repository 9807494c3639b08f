/*
 * sim_job_checks.c - what a work task may become from one turn to the next: leases, attempts,
 * settled states, dependencies; and what a whole shard must have done in a turn.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "shard/durable.h"
#include "shard/lanes.h"
#include "shard/runtime.h"
#include "sim_jobs.h"

static void violated(struct sim_model *model, const char *rule, const struct sim_job *job,
                     const char *what)
{
    sim_fail(model, rule,
             "work task %" PRIx64 " (plan %" PRIu32 "), %s, version %" PRIu32 ", attempts %" PRIu32
             " of %" PRIu32 ", token %" PRIx64 ", class %u, reason %d: %s",
             job->id, job->plan, pawl_work_state_name(job->state), job->version, job->work.attempts,
             job->work.attempts_max, job->work.claim.token, job->work.klass, job->work.reason,
             what);
}

static const struct sim_plan *plan_of(const struct sim_model *model, const struct sim_job *job)
{
    return job->plan != 0 ? &model->jobs->plans[job->plan] : NULL;
}

static const struct pawl_work_policy *policy_of(const struct sim_job *job)
{
    return &sim_policies[job->work.policy % SIM_POLICIES];
}

/* ---- births ---- */

/* Its number, from what it was submitted with; 0: it was given nothing. */
static uint32_t number_of(const struct sim_model *model, const struct sim_job *job)
{
    char bytes[8192];
    size_t size = sizeof(bytes);
    struct pawl_work_detail detail;
    uint32_t number = 0;

    if (job->work.detail == 0 || pawl_work_read_detail(model->runtime, (struct pawl_task){job->id},
                                                       bytes, &size, &detail) != 0)
        return 0;
    if (detail.metadata_size == sizeof(number))
        memcpy(&number, detail.metadata, sizeof(number));
    return number;
}

static void born(struct sim_model *model, struct sim_job *job)
{
    struct sim_jobs *jobs = model->jobs;
    const uint32_t number = number_of(model, job);
    struct sim_plan *plan = &jobs->plans[number % SIM_PLANS_MAX];

    if (job->work.attempts_max != policy_of(job)->attempts)
        violated(model, "attempts", job, "it begins with other attempts than its policy says");
    if (number == 0)
        return;
    if (number >= jobs->plans_count) {
        violated(model, "ids", job, "nobody has submitted it");
        return;
    }
    if (plan->job != 0 && jobs->jobs[plan->job].born)
        violated(model, "ids", job, "one submission has made two tasks");
    if (plan->policy != job->work.policy || sim_lane_of(job->work.lane) != plan->lane ||
        (plan->parent != 0) != (job->work.parent != 0))
        violated(model, "ids", job, "it is not what was submitted");
    for (uint32_t i = jobs->first; i < jobs->jobs_count && plan->key != 0; i++) {
        const struct sim_job *other = &jobs->jobs[i];

        if (other->alive && other != job && other->plan != 0 &&
            jobs->plans[other->plan].key == plan->key && other->shard == job->shard &&
            jobs->walk_mark[i] == jobs->walk)
            violated(model, "ids", job, "another task has its key");
    }
    plan->job = job->uid;
    job->plan = number;
}

/* ---- leases ---- */

static struct sim_lease *lease_of(const struct sim_model *model, const struct sim_job *job)
{
    return job->lease != 0 ? &model->jobs->leases[job->lease] : NULL;
}

/* A report of the holder's that could have taken effect; id 0: any. */
static const struct sim_report *said(const struct sim_model *model, const struct sim_lease *lease,
                                     enum pawl_report_kind kind, uint32_t id)
{
    for (uint32_t i = lease->reports; i != 0; i = model->jobs->reports[i].before) {
        const struct sim_report *report = &model->jobs->reports[i];

        if (report->kind == kind && report->agent == lease->agent &&
            (id == 0 || report->id == id) && (!report->answered || report->status == 0))
            return report;
    }
    return NULL;
}

static void end_lease(struct sim_model *model, struct sim_lease *lease, enum sim_end end)
{
    lease->end = (uint8_t)end;
    lease->end_turn = model->shard[model->turning].turns_count;
}

static bool is_dead(const struct sim_model *model, uint64_t incarnation)
{
    const struct sim_agent_known *agent = sim_agent_find(model->jobs, incarnation);

    return agent != NULL && (agent->fate == SIM_AGENT_CLOSING || agent->fate == SIM_AGENT_CLOSED ||
                             (agent->heartbeat_ns != 0 && agent->fate == SIM_AGENT_OPEN &&
                              model->now_ns > agent->beat_ns + agent->heartbeat_ns));
}

/* The attempt failed for this reason: was it so? */
static enum sim_end failed_by(struct sim_model *model, const struct sim_job *before,
                              const struct sim_job *job, const struct sim_lease *lease)
{
    switch (job->work.klass) {
    case PAWL_WORK_CLASS_EXPIRED:
        if (model->now_ns < before->work.claim.deadline_ns)
            violated(model, "leases", job, "its lease ended before its time");
        return SIM_END_EXPIRED;
    case PAWL_WORK_CLASS_LOST:
    case PAWL_WORK_CLASS_QUARANTINED:
        if (!is_dead(model, lease->agent))
            violated(model, "leases", job, "its lease was lost, and its agent is alive");
        return SIM_END_LOST;
    case PAWL_WORK_CLASS_REJECTED: /* by the host's predicate, or by who verified */
        if (lease->verify) {
            if (said(model, lease, PAWL_REPORT_REJECT, 0) == NULL)
                violated(model, "reports", job, "it was rejected, and nobody has said so");
            return SIM_END_REJECTED;
        }
        if (said(model, lease, PAWL_REPORT_DONE, 0) == NULL)
            violated(model, "reports", job, "its result was rejected, and nobody has sent one");
        return SIM_END_DONE;
    default:
        if (said(model, lease, PAWL_REPORT_FAILED, 0) == NULL)
            violated(model, "reports", job, "it has failed, and its agent has not said so");
        return SIM_END_FAILED;
    }
}

static enum sim_end ended_checking(struct sim_model *model, const struct sim_job *before,
                                   const struct sim_job *job, const struct sim_lease *lease)
{
    if (job->state == PAWL_WORK_COMPLETED) {
        if (said(model, lease, PAWL_REPORT_ACCEPT, 0) == NULL)
            violated(model, "reports", job, "it is completed, and nobody has accepted it");
        return SIM_END_ACCEPTED;
    }
    if (job->state != PAWL_WORK_UNVERIFIED && job->state != PAWL_WORK_CHECKED)
        return failed_by(model, before, job, lease);
    if (said(model, lease, PAWL_REPORT_RELEASE, 0) != NULL ||
        said(model, lease, PAWL_REPORT_FAILED, 0) != NULL || lease->returned)
        return SIM_END_BACK;
    if (model->now_ns >= before->work.claim.deadline_ns)
        return SIM_END_EXPIRED;
    if (!is_dead(model, lease->agent))
        violated(model, "leases", job, "who verified it has lost it, and is alive");
    return SIM_END_LOST;
}

static enum sim_end ended_working(struct sim_model *model, const struct sim_job *before,
                                  const struct sim_job *job, const struct sim_lease *lease,
                                  bool released)
{
    if (released) {
        if (said(model, lease, PAWL_REPORT_RELEASE, 0) == NULL && !lease->returned)
            violated(model, "attempts", job, "an attempt was taken back, and nobody released it");
        return SIM_END_RELEASED;
    }
    if (job->state == PAWL_WORK_COMPLETED || job->state == PAWL_WORK_UNVERIFIED ||
        job->state == PAWL_WORK_CHECKED) {
        const struct sim_report *report = said(model, lease, PAWL_REPORT_DONE, 0);

        if (report == NULL)
            violated(model, "reports", job, "it is done, and its agent has not said so");
        return SIM_END_DONE;
    }
    return failed_by(model, before, job, lease);
}

/* What has ended the lease that the job had before. */
static enum sim_end ended_by(struct sim_model *model, const struct sim_job *before,
                             const struct sim_job *job, const struct sim_lease *lease,
                             bool released)
{
    if (job->state == PAWL_WORK_CANCELLED)
        return SIM_END_CANCELLED;
    if (job->state == PAWL_WORK_FAILED && job->work.klass == PAWL_WORK_CLASS_OVERDUE)
        return SIM_END_OVERDUE;
    return before->state == PAWL_WORK_CHECKED ? ended_checking(model, before, job, lease)
                                              : ended_working(model, before, job, lease, released);
}

static void begin_lease(struct sim_model *model, const struct sim_job *before, struct sim_job *job)
{
    struct sim_jobs *jobs = model->jobs;
    const struct sim_agent_known *agent = sim_agent_find(jobs, job->work.claim.agent);
    const uint32_t lane = sim_lane_of(job->work.claim.lane);
    struct sim_lease *lease;

    jobs->leases = sim_jobs_grow(jobs->leases, jobs->leases_count, &jobs->leases_capacity,
                                 sizeof(*jobs->leases));
    lease = &jobs->leases[jobs->leases_count];
    *lease = (struct sim_lease){.id = job->id,
                                .token = job->work.claim.token,
                                .agent = job->work.claim.agent,
                                .turn = model->shard[model->turning].turns_count,
                                .job = job->uid,
                                .before = job->lease,
                                .verify = job->state == PAWL_WORK_CHECKED};
    job->lease = jobs->leases_count++;
    jobs->count.leases++;
    jobs->count.retries += before->work.attempts > 0 && !lease->verify;
    if (jobs->granted_count < sizeof(jobs->granted) / sizeof(jobs->granted[0]))
        jobs->granted[jobs->granted_count++] = job->uid;
    if (job->work.claim.token <= before->work.claim.token ||
        job->work.claim.token <= jobs->seen_token[job->uid])
        violated(model, "leases", job, "its new token is not greater than one that is known");
    if (agent == NULL || agent->fate == SIM_AGENT_CLOSED || agent->fate == SIM_AGENT_BEFORE)
        violated(model, "leases", job, "it was handed to an agent that is not there");
    else if (lane == SIM_LANE_NONE || (agent->lanes >> lane & 1) == 0 ||
             (job->work.claim.assignee != 0 && job->work.claim.assignee != agent->number))
        violated(model, "leases", job, "it was handed to an agent that it is not for");
    if (lane < SIM_LANES && jobs->paused[lane] && model->now_ns < jobs->pause_ns[lane])
        violated(model, "order", job, "it was handed out in a lane that is paused");
    if (lane < SIM_LANES && job->work.claim.deadline_ns != model->now_ns + sim_lanes[lane].lease_ns)
        violated(model, "leases", job, "its lease does not last as long as the lane says");
}

/* Only as many as the agent has granted. */
static void check_credits(struct sim_model *model, const struct sim_job *job)
{
    const struct sim_jobs *jobs = model->jobs;
    const struct sim_agent_known *agent = sim_agent_find(model->jobs, job->work.claim.agent);
    uint32_t held = 0;

    for (uint32_t i = jobs->first; i < jobs->jobs_count && agent != NULL; i++)
        held += jobs->jobs[i].alive && sim_job_is_work(&jobs->jobs[i]) &&
                sim_job_is_held(&jobs->jobs[i]) && !model->shard[jobs->jobs[i].shard].failed &&
                jobs->jobs[i].work.claim.agent == agent->incarnation;
    if (agent != NULL && !agent->resumed && held > agent->credits)
        violated(model, "credits", job, "its agent has more leases than it granted");
}

static void check_lease(struct sim_model *model, const struct sim_job *before, struct sim_job *job)
{
    const struct pawl_work *old = &before->work, *new = &job->work;
    const bool leased = new->claim.leases != old->claim.leases;
    const bool works = leased && job->state == PAWL_WORK_LEASED;
    const uint32_t made = old->attempts + works;
    struct sim_lease *lease = lease_of(model, before);

    if (new->claim.leases > old->claim.leases + 1 || new->claim.leases < old->claim.leases ||
        leased != (new->claim.token != old->claim.token))
        violated(model, "leases", job, "leases and tokens do not go together");
    if (leased && !sim_job_is_held(job))
        violated(model, "leases", job, "it was handed out, and is not leased");
    if (before->alive && sim_job_is_held(before) && (leased || !sim_job_is_held(job))) {
        const bool released = new->attempts + 1 == made;

        if (lease == NULL || lease->end != SIM_END_NOT)
            violated(model, "leases", job, "it was leased, and nobody knows to whom");
        else
            end_lease(model, lease, ended_by(model, before, job, lease, released));
        if (released)
            model->jobs->count.released++;
        if (new->attempts != made && !released)
            violated(model, "attempts", job, "an attempt is missing, or is one too many");
    } else if (new->attempts != made) {
        violated(model, "attempts", job, "attempts have changed, and leases have not");
    }
    if (leased) {
        begin_lease(model, before, job);
        check_credits(model, job);
    } else if (sim_job_is_held(job) && !sim_job_is_held(before)) {
        violated(model, "leases", job, "it is leased without a lease");
    }
    if (works && new->attempts > old->attempts_max && old->attempts_max != PAWL_WORK_UNLIMITED &&
        before->alive && !model->jobs->asked[job->uid].kick)
        violated(model, "attempts", job, "it was handed out once too often");
}

/* ---- attempts and ends ---- */

static void check_attempts(struct sim_model *model, const struct sim_job *before,
                           const struct sim_job *job)
{
    const struct pawl_work *work = &job->work;
    const struct pawl_work_policy *policy = policy_of(job);
    const bool kicked = model->jobs->asked[job->uid].kick;

    if (before->alive && work->attempts_max != before->work.attempts_max && !kicked)
        violated(model, "attempts", job, "it has other attempts than its policy says");
    if (job->state == PAWL_WORK_DEAD && before->state != PAWL_WORK_DEAD) {
        if (work->klass == PAWL_WORK_CLASS_QUARANTINED) {
            if (work->crashes < (policy->crashes != 0 ? policy->crashes : 3))
                violated(model, "attempts", job, "it has not killed that many agents");
        } else if (work->attempts < work->attempts_max) {
            violated(model, "attempts", job, "it is dead, and has attempts left");
        }
    }
    if (job->state == PAWL_WORK_FAILED && work->klass < PAWL_WORK_CLASSES &&
        (policy->not_retried >> work->klass & 1) == 0)
        violated(model, "attempts", job, "it has failed for good in a class that is tried again");
    if ((job->state == PAWL_WORK_READY || job->state == PAWL_WORK_DELAYED) && !kicked &&
        work->attempts >= work->attempts_max)
        violated(model, "attempts", job, "it is to be tried once too often");
}

/* Of a parent: it is cancelled with its tree, or gone. */
static bool took_its_tree(const struct sim_job *parent)
{
    return parent == NULL || !parent->alive ||
           (parent->state == PAWL_WORK_CANCELLED && (parent->work.flags & WORK_TREE) != 0);
}

static void check_cancelled(struct sim_model *model, const struct sim_job *job)
{
    const struct sim_jobs *jobs = model->jobs;
    const struct sim_plan *plan = plan_of(model, job);

    if (job->work.klass == PAWL_WORK_CLASS_PARENT) {
        if (!took_its_tree(sim_job_by_id(model->jobs, job->work.parent)))
            violated(model, "settled", job, "it was cancelled with its parent, which was not");
    } else if (job->work.klass == PAWL_WORK_CLASS_DEPENDENCY) {
        if (policy_of(job)->broken != PAWL_WORK_BROKEN_CANCEL)
            violated(model, "after", job, "it was cancelled where its policy says otherwise");
    } else if (!jobs->asked[job->uid].cancel && (plan == NULL || !plan->graph)) {
        violated(model, "settled", job, "it was cancelled, and nobody has asked for that");
    }
}

static void check_settled(struct sim_model *model, const struct sim_job *before,
                          struct sim_job *job)
{
    const struct sim_asked *asked = &model->jobs->asked[job->uid];
    const struct sim_plan *plan = plan_of(model, job);
    const bool follows = /* a parent, though it has failed itself */
        job->state == PAWL_WORK_CANCELLED && job->work.klass == PAWL_WORK_CLASS_PARENT;

    if (before->alive && before->state != job->state &&
        (before->state == PAWL_WORK_COMPLETED || before->state == PAWL_WORK_CANCELLED ||
         (sim_job_is_settled(before) && !asked->kick && !follows)))
        violated(model, "settled", job, "it was settled, and is no more");
    if (!sim_job_is_settled(job)) {
        job->settled_ns = 0;
        return;
    }
    if (before->alive && before->state == job->state)
        return;
    job->settled_ns = model->now_ns;
    if (job->state == PAWL_WORK_CANCELLED)
        check_cancelled(model, job);
    if (job->state == PAWL_WORK_FAILED && job->work.klass == PAWL_WORK_CLASS_OVERDUE &&
        plan != NULL && !plan->deadline)
        violated(model, "settled", job, "it is overdue, and has no deadline");
    if (job->state == PAWL_WORK_COMPLETED && (job->work.flags & PAWL_WORK_GROUP) == 0 &&
        job->lease != 0) {
        const struct sim_lease *lease = lease_of(model, job);

        if (lease->end != SIM_END_DONE && lease->end != SIM_END_ACCEPTED)
            violated(model, "settled", job, "it is completed, and its lease did not end well");
        while (lease->verify && lease->before != 0)
            lease = &model->jobs->leases[lease->before];
        for (uint32_t i = lease->reports; i != 0; i = model->jobs->reports[i].before)
            if (model->jobs->reports[i].kind == PAWL_REPORT_DONE &&
                model->jobs->reports[i].value == job->work.value)
                return;
        violated(model, "reports", job, "its result is not what its agent has reported");
    }
}

/* ---- dependencies ---- */

static bool is_settled_once(const struct sim_job *job, const void *arg)
{
    (void)arg;
    return job->settled;
}

/* It has been let go: has what it waits for come to the end that it needs? */
static void check_after(struct sim_model *model, const struct sim_job *before,
                        const struct sim_job *job)
{
    const struct sim_plan *plan = plan_of(model, job);
    const bool waited =
        !before->alive || before->state == PAWL_WORK_NEW || before->state == PAWL_WORK_DEPENDENT;
    const bool goes = job->state == PAWL_WORK_DELAYED || job->state == PAWL_WORK_READY ||
                      job->state == PAWL_WORK_LEASED || job->state == PAWL_WORK_COMPLETED;

    if (plan == NULL || !waited || !goes || model->jobs->asked[job->uid].kick)
        return;
    for (uint32_t i = 0; i < plan->after_count; i++) {
        const struct sim_plan *other = &model->jobs->plans[plan->after[i]];
        const struct sim_job *first = &model->jobs->jobs[other->job];
        const bool goes_on = policy_of(job)->broken == PAWL_WORK_BROKEN_GO_ON;

        if (!(first->completed || (goes_on && (first->settled || !first->alive))))
            violated(model, "after", job, "it was let go before what it waits for was settled");
        else if (first->shard != job->shard && first->settled)
            sim_job_known(model, first, is_settled_once, NULL);
    }
}

static void check_broken(struct sim_model *model, const struct sim_job *before,
                         const struct sim_job *job)
{
    const struct sim_plan *plan = plan_of(model, job);

    if (job->work.klass != PAWL_WORK_CLASS_DEPENDENCY || !sim_job_is_settled(job) ||
        (before->alive && sim_job_is_settled(before)) || plan == NULL || plan->vague ||
        job->work.reason == -EIO)
        return;
    for (uint32_t i = 0; i < plan->after_count; i++) {
        const struct sim_job *first = &model->jobs->jobs[model->jobs->plans[plan->after[i]].job];

        if (first->failed || !first->alive)
            return;
    }
    violated(model, "after", job, "it has failed for what it waits for, which has not");
}

/* ---- a job, a turn ---- */

static void ended(struct sim_model *model, const struct sim_job *before, const struct sim_job *job)
{
    const struct sim_asked *asked = &model->jobs->asked[job->uid];
    const uint64_t keep_ns =
        before->state == PAWL_WORK_DEAD ? policy_of(job)->keep_dead_ns : policy_of(job)->keep_ns;
    struct sim_lease *lease = lease_of(model, job);

    if (lease != NULL && lease->end == SIM_END_NOT)
        end_lease(model, lease, SIM_END_GONE);
    if (asked->discard)
        return;
    if (!sim_job_is_settled(before))
        violated(model, "settled", job, "it is gone, and was not settled");
    else if (keep_ns == 0 || (before->settled_ns != UINT64_MAX &&
                              model->now_ns + SIM_TICK_NS < before->settled_ns + keep_ns))
        violated(model, "settled", job, "it is gone before its time");
}

void sim_job_changed(struct sim_model *model, const struct sim_job *before, struct sim_job *job)
{
    if (!job->alive) {
        ended(model, before, job);
        return;
    }
    if (!before->alive)
        born(model, job);
    check_lease(model, before, job);
    check_attempts(model, before, job);
    check_settled(model, before, job);
    check_after(model, before, job);
    check_broken(model, before, job);
}

/*
 * Of two tasks that could have been handed out to the same agent, the more urgent one was. Left out:
 * what has changed in this turn, and shards where tasks have refused.
 */
void sim_jobs_check_order(struct sim_model *model)
{
    const struct sim_jobs *jobs = model->jobs;
    const struct shard *shard = model->runtime->shards[model->turning];

    if (model->failed || jobs->granted_count == 0)
        return;
    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        const struct sim_job *other = &jobs->jobs[i];
        uint32_t lane;

        if (!other->alive || !sim_job_is_work(other) || other->shard != model->turning ||
            other->changed == model->shard[model->turning].turns_count ||
            (other->state != PAWL_WORK_READY && other->state != PAWL_WORK_UNVERIFIED))
            continue;
        lane = sim_lane_of(other->work.claim.lane);
        if (lane == SIM_LANE_NONE || shard->lanes->parts[lane].aside > 0)
            continue;
        for (uint32_t g = 0; g < jobs->granted_count; g++) {
            const struct sim_job *job = &jobs->jobs[jobs->granted[g]];
            const struct sim_agent_known *agent =
                sim_agent_find(model->jobs, job->work.claim.agent);
            const uint64_t mine = lane_rank(shard->lanes->parts[lane].lane,
                                            job->work.claim.priority, job->work.claim.since_ns);
            const uint64_t its = lane_rank(shard->lanes->parts[lane].lane,
                                           other->work.claim.priority, other->work.claim.since_ns);

            if (job->work.claim.lane != other->work.claim.lane || agent == NULL ||
                (other->work.claim.assignee != 0 && other->work.claim.assignee != agent->number))
                continue;
            if (its < mine ||
                (its == mine && other->work.claim.since_ns < job->work.claim.since_ns))
                sim_fail(model, "order",
                         "in lane %s task %" PRIx64 " was handed out before %" PRIx64
                         ", which is more urgent or has waited longer",
                         sim_lanes[lane].name, job->id, other->id);
        }
    }
}

/* ---- all shards ---- */

/*
 * A lease that ends makes room before that is durable, in any shard: so a crash may bring back both
 * it and the one that took its place. Then there are no more until there are fewer.
 */
static void check_limit(struct sim_model *model, uint32_t lane, uint64_t leased)
{
    uint64_t *before = &model->jobs->recovered[lane];
    const uint64_t limit = sim_lanes[lane].concurrency;

    if (limit != 0 && leased > limit && leased > *before)
        sim_fail(model, "counters", "lane %s has %" PRIu64 " leases, and may have %" PRIu64,
                 sim_lanes[lane].name, leased, limit);
    if (leased < *before)
        *before = leased;
}

void sim_jobs_check_counters(struct sim_model *model)
{
    const struct sim_jobs *jobs = model->jobs;
    uint64_t ready[SIM_LANES + 1] = {0}, leased[SIM_LANES + 1] = {0};

    if (model->failed || model->frozen)
        return;
    for (unsigned i = 0; i < model->shards; i++)
        if (!jobs->turned[i])
            return;
    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        const struct sim_job *job = &jobs->jobs[i];
        const uint32_t lane = sim_lane_of(job->work.claim.lane);

        if (!job->alive || !sim_job_is_work(job))
            continue;
        ready[lane] += job->state == PAWL_WORK_READY || job->state == PAWL_WORK_UNVERIFIED;
        leased[lane] += sim_job_is_held(job);
    }
    for (uint32_t i = 0; i < SIM_LANES; i++) {
        struct pawl_lane_status status;

        if (pawl_lane_read(model->runtime, sim_lanes[i].name, &status) != 0 ||
            status.ready != ready[i] || status.leased != leased[i])
            sim_fail(model, "counters",
                     "lane %s says that %" PRIu64 " are ready and %" PRIu64
                     " leased; there are %" PRIu64 " and %" PRIu64,
                     sim_lanes[i].name, status.ready, status.leased, ready[i], leased[i]);
        check_limit(model, i, leased[i]);
    }
}

/* Whether its agent ended so long ago that its leases must have. */
static bool is_left(const struct sim_model *model, const struct sim_job *job)
{
    const struct sim_agent_known *agent = sim_agent_find(model->jobs, job->work.claim.agent);
    const struct durable *durable = model->runtime->shards[job->shard]->durable;

    return agent != NULL && agent->fate == SIM_AGENT_CLOSED &&
           model->now_ns > agent->closed_ns + 3 * SIM_TICK_NS &&
           (durable == NULL || load_acquire(&durable->journal.full) == 0);
}

void sim_jobs_check_time(struct sim_model *model)
{
    const struct sim_jobs *jobs = model->jobs;

    if (model->shard[model->turning].failed || model->frozen || model->failed)
        return;
    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        const struct sim_job *job = &jobs->jobs[i];

        if (!job->alive || !sim_job_is_work(job) || job->shard != model->turning ||
            !sim_job_is_held(job))
            continue;
        if (job->work.claim.deadline_ns + 3 * SIM_TICK_NS < model->now_ns)
            violated(model, "leases", job, "its lease is over, and has not ended");
        if (is_left(model, job))
            violated(model, "leases", job, "its agent has ended, and its lease has not");
    }
}
