/*
 * sim_job_words.c - what the host and its agents say and hear about work, held against what has
 * become of it; and what must be so when nothing is under way.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "shard/durable.h"
#include "shard/runtime.h"
#include "sim_jobs.h"

/* ---- tables ---- */

uint32_t sim_plan(struct sim_jobs *jobs)
{
    if (jobs->plans_count == SIM_PLANS_MAX) {
        fputs("pawl sim: too many submissions for one run; use fewer steps\n", stderr);
        exit(EXIT_FAILURE);
    }
    return jobs->plans_count++;
}

struct sim_lease *sim_lease_find(struct sim_jobs *jobs, uint64_t id, uint64_t token)
{
    const struct sim_job *job = sim_job_by_id(jobs, id);

    for (uint32_t i = job != NULL ? job->lease : 0; i != 0; i = jobs->leases[i].before)
        if (jobs->leases[i].token == token)
            return &jobs->leases[i];
    return NULL;
}

struct sim_agent_known *sim_agent_find(struct sim_jobs *jobs, uint64_t incarnation)
{
    for (uint32_t i = jobs->agents_count; i-- > 0;)
        if (jobs->agents[i].incarnation == incarnation)
            return &jobs->agents[i];
    return NULL;
}

struct sim_agent_known *sim_agent_known(struct sim_jobs *jobs, uint64_t incarnation)
{
    struct sim_agent_known *agent = sim_agent_find(jobs, incarnation);

    if (agent != NULL)
        return agent;
    jobs->agents = sim_jobs_grow(jobs->agents, jobs->agents_count, &jobs->agents_capacity,
                                 sizeof(*jobs->agents));
    agent = &jobs->agents[jobs->agents_count++];
    *agent = (struct sim_agent_known){.incarnation = incarnation};
    return agent;
}

/* ---- submissions ---- */

static bool is_born(const struct sim_job *job, const void *arg)
{
    (void)arg;
    return job->born;
}

void sim_plan_told(struct sim_model *model, uint32_t number, const struct pawl_completion *said)
{
    struct sim_jobs *jobs = model->jobs;
    struct sim_plan *plan = &jobs->plans[number];
    struct sim_job *job = sim_job_by_id(jobs, said->task.id);

    if (said->status == -EEXIST) {
        if (job == NULL || job->plan == 0 || plan->key == 0 ||
            jobs->plans[job->plan].key != plan->key)
            sim_fail(model, "ids",
                     "submission %" PRIu32 " was refused because task %" PRIx64
                     " has its key, and it has not",
                     number, said->task.id);
        else
            sim_job_known(model, job, is_born, NULL);
        return;
    }
    if (said->status != 0)
        return;
    if (job == NULL || (plan->job != 0 && plan->job != job->uid)) {
        sim_fail(model, "ids", "submission %" PRIu32 " made task %" PRIx64 ", which is not there",
                 number, said->task.id);
        return;
    }
    plan->job = job->uid;
    job->plan = number;
    plan->told = true;
    jobs->asked[job->uid].told = true;
    model->acknowledged++;
    sim_job_known(model, job, is_born, NULL);
}

/* ---- leases ---- */

static bool has_token(const struct sim_job *job, const void *arg)
{
    return job->work.claim.token >= *(const uint64_t *)arg;
}

void sim_lease_came(struct sim_model *model, uint64_t incarnation, const struct pawl_lease *came)
{
    struct sim_jobs *jobs = model->jobs;
    struct sim_lease *lease = sim_lease_find(jobs, came->task.id, came->token);
    const struct sim_job *job;

    if (model->failed || model->frozen)
        return;
    if (lease == NULL || lease->agent != incarnation || lease->seen || lease->end != SIM_END_NOT) {
        sim_fail(model, "leases", "an agent was given task %" PRIx64 " with token %" PRIx64 ": %s",
                 came->task.id, came->token,
                 lease == NULL                 ? "there is no such lease"
                 : lease->agent != incarnation ? "it is another's"
                 : lease->seen                 ? "it has it already"
                                               : "it is over");
        return;
    }
    job = &jobs->jobs[lease->job];
    if (came->token <= jobs->seen_token[job->uid])
        sim_fail(model, "leases",
                 "task %" PRIx64 " came with token %" PRIx64
                 ", and has been given out with %" PRIx64,
                 came->task.id, came->token, jobs->seen_token[job->uid]);
    for (uint32_t i = lease->before; i != 0; i = jobs->leases[i].before)
        if (jobs->leases[i].end == SIM_END_NOT)
            sim_fail(model, "leases", "task %" PRIx64 " has two holders", came->task.id);
    lease->seen = true;
    jobs->seen_token[job->uid] = came->token;
    model->acknowledged++;
    sim_job_known(model, job, has_token, &came->token);
}

/* ---- reports ---- */

/* By its number: so evidence says which report it is of. */
void sim_report_bytes(uint64_t value, uint8_t bytes[SIM_EVIDENCE])
{
    struct random r = {value};

    for (unsigned i = 0; i < SIM_EVIDENCE; i += 8) {
        const uint64_t word = random_next(&r);

        memcpy(bytes + i, &word, 8);
    }
}

uint32_t sim_report_sent(struct sim_model *model, uint64_t incarnation, const struct pawl_lease *of,
                         const struct pawl_report *report)
{
    struct sim_jobs *jobs = model->jobs;
    struct sim_lease *lease = sim_lease_find(jobs, of->task.id, of->token);

    jobs->reports = sim_jobs_grow(jobs->reports, jobs->reports_count, &jobs->reports_capacity,
                                  sizeof(*jobs->reports));
    jobs->reports[jobs->reports_count] =
        (struct sim_report){.lease = lease != NULL ? (uint32_t)(lease - jobs->leases) : 0,
                            .before = lease != NULL ? lease->reports : 0,
                            .id = report->id,
                            .size = (uint32_t)report->size,
                            .value = report->value,
                            .agent = incarnation,
                            .kind = (uint8_t)report->kind,
                            .klass = report->klass};
    if (lease != NULL)
        lease->reports = jobs->reports_count;
    return jobs->reports_count++;
}

struct applied {
    uint64_t token;
    uint32_t id;
};

static bool is_applied(const struct sim_job *job, const void *arg)
{
    const struct applied *applied = arg;

    return job->work.claim.token > applied->token ||
           (job->work.claim.token == applied->token && job->work.last_report >= applied->id);
}

static enum sim_end end_of(const struct sim_report *report, const struct sim_lease *lease)
{
    switch ((enum pawl_report_kind)report->kind) {
    case PAWL_REPORT_DONE:
        return SIM_END_DONE;
    case PAWL_REPORT_FAILED:
        return lease->verify ? SIM_END_BACK : SIM_END_FAILED;
    case PAWL_REPORT_RELEASE:
        return lease->verify ? SIM_END_BACK : SIM_END_RELEASED;
    case PAWL_REPORT_ACCEPT:
        return SIM_END_ACCEPTED;
    case PAWL_REPORT_REJECT:
        return SIM_END_REJECTED;
    default:
        return SIM_END_NOT;
    }
}

static void refute(struct sim_model *model, const struct sim_report *report, const char *what)
{
    const struct sim_lease *lease = &model->jobs->leases[report->lease];

    sim_fail(model, "reports",
             "report %" PRIu32 " (%s) on task %" PRIx64 " with token %" PRIx64
             " was answered with %d (%s): %s",
             report->id, pawl_report_name((enum pawl_report_kind)report->kind), lease->id,
             lease->token, report->status,
             report->status == 0 ? "done" : pawl_strerror(report->status), what);
}

static void accepted(struct sim_model *model, struct sim_report *report)
{
    struct sim_jobs *jobs = model->jobs;
    const struct sim_lease *lease = &jobs->leases[report->lease];
    const struct sim_job *job = &jobs->jobs[lease->job];
    const struct applied applied = {lease->token, report->id};
    const enum sim_end end = end_of(report, lease);

    if (lease->agent != report->agent)
        refute(model, report, "it came from another agent");
    for (uint32_t i = lease->reports; i != 0; i = jobs->reports[i].before)
        if (&jobs->reports[i] != report && jobs->reports[i].id == report->id &&
            jobs->reports[i].answered && jobs->reports[i].status == 0)
            refute(model, report, "it has taken effect before");
    if (job->alive && !is_applied(job, &applied))
        refute(model, report, "the task knows nothing of it");
    /* Whatever ends a lease may be followed within the turn. */
    if (end != SIM_END_NOT && lease->end != end && lease->end != SIM_END_CANCELLED &&
        lease->end != SIM_END_OVERDUE && lease->end != SIM_END_GONE)
        refute(model, report, "the lease did not end with it");
    model->acknowledged++;
    sim_job_known(model, job, is_applied, &applied);
}

static void refused(struct sim_model *model, struct sim_report *report)
{
    struct sim_jobs *jobs = model->jobs;
    const struct sim_lease *lease = &jobs->leases[report->lease];
    const struct sim_job *job = &jobs->jobs[lease->job];
    const enum sim_end end = end_of(report, lease);

    jobs->count.refused++;
    if ((report->status == -ESTALE || report->status == -EPERM) && lease->agent == report->agent &&
        lease->end == SIM_END_NOT && job->alive && job->lease == report->lease)
        refute(model, report, "it came from who has the lease");
    /* Whether who was to verify gave it back, or was too late for that, the task does not say. */
    if (report->status == -EALREADY || end == SIM_END_NOT || end == SIM_END_BACK ||
        lease->end != end)
        return;
    for (uint32_t i = lease->reports; i != 0; i = jobs->reports[i].before) {
        const struct sim_report *other = &jobs->reports[i];

        if (other->kind == report->kind && other->agent == lease->agent &&
            (!other->answered || other->status == 0 || other->status == -EALREADY))
            return;
    }
    if (!lease->returned)
        refute(model, report, "the lease has ended with it all the same");
}

void sim_report_told(struct sim_model *model, uint32_t number, const struct pawl_receipt *receipt)
{
    struct sim_jobs *jobs = model->jobs;
    struct sim_report *report = &jobs->reports[number % jobs->reports_count];
    const struct sim_lease *lease = &jobs->leases[report->lease];

    if (model->failed || model->frozen)
        return;
    if (number >= jobs->reports_count || report->answered) {
        sim_fail(model, "reports", "a receipt came for a report that waits for none");
        return;
    }
    if (model->log != NULL)
        fprintf(model->log,
                "      report %" PRIu32 " (%s) of agent %" PRIx64 " on task %" PRIx64
                ", token %" PRIx64 ": %s\n",
                report->id, pawl_report_name((enum pawl_report_kind)report->kind), report->agent,
                receipt->task.id, receipt->token,
                receipt->status == 0 ? "done" : pawl_strerror(receipt->status));
    report->answered = true;
    report->status = receipt->status;
    if (receipt->status == -EIO || receipt->status == -ECANCELED)
        report->answered = false; /* nobody knows */
    if (report->lease == 0 || lease->job == 0) {
        if (receipt->status == 0)
            refute(model, report, "there is no such lease");
        return;
    }
    jobs->count.reports++;
    if (receipt->task.id != lease->id || receipt->token != lease->token ||
        receipt->id != report->id)
        sim_fail(model, "reports", "a receipt is for another report than its tag says");
    if (receipt->status == 0 && model->store && receipt->durability != PAWL_DURABILITY_SYNC)
        refute(model, report, "it is not said to be durable");
    if (receipt->status == 0)
        accepted(model, report);
    else if (report->answered)
        refused(model, report);
}

/* ---- notes ---- */

struct evidence {
    struct sim_model *model;
    const struct sim_job *job;
    uint64_t token; /* of the last one met, which is the next newer */
    uint32_t id;
    uint32_t count, known, history;
};

static int meet(void *user, const struct pawl_work_note *note)
{
    struct evidence *evidence = user;
    struct sim_jobs *jobs = evidence->model->jobs;
    const uint32_t number = (uint32_t)(note->value / SIM_VERDICT_BAD);
    const struct sim_report *report;
    const struct sim_lease *lease;
    uint8_t bytes[SIM_EVIDENCE];

    if (note->kind != PAWL_WORK_NOTE_EVIDENCE) {
        evidence->history += note->kind != PAWL_WORK_NOTE_DETAIL;
        return 0;
    }
    evidence->count++;
    if (number == 0 || number >= jobs->reports_count)
        return -EBADMSG;
    report = &jobs->reports[number];
    lease = &jobs->leases[report->lease];
    sim_report_bytes(note->value, bytes);
    if (lease->id != evidence->job->id || note->token != lease->token ||
        note->agent != lease->agent || note->size != report->size ||
        memcmp(bytes, note->bytes, note->size) != 0)
        return -EBADMSG;
    if (note->token > evidence->token ||
        (note->token == evidence->token && report->id >= evidence->id))
        return -EBADMSG; /* out of order, or twice */
    evidence->token = note->token;
    evidence->id = report->id;
    for (uint32_t i = lease->reports; i != 0; i = jobs->reports[i].before)
        if (jobs->reports[i].id == report->id && jobs->reports[i].answered &&
            jobs->reports[i].status == 0) {
            evidence->known++;
            break;
        }
    return 0;
}

/* Pieces of evidence that were acknowledged. */
static uint32_t acknowledged(const struct sim_jobs *jobs, const struct sim_job *job)
{
    uint32_t count = 0;

    for (uint32_t i = job->lease; i != 0; i = jobs->leases[i].before)
        for (uint32_t k = jobs->leases[i].reports; k != 0; k = jobs->reports[k].before)
            count += jobs->reports[k].answered && jobs->reports[k].status == 0 &&
                     jobs->reports[k].size > 0;
    return count;
}

static void check_notes(struct sim_model *model, const struct sim_job *job)
{
    struct evidence evidence = {.model = model, .job = job, .token = UINT64_MAX};
    const int error = pawl_work_notes(model->runtime, (struct pawl_task){job->id}, meet, &evidence);

    model->jobs->count.notes += evidence.count;
    if (error != 0)
        sim_fail(model, "reports", "the notes of task %" PRIx64 " are not as they were sent: %s",
                 job->id, pawl_strerror(error));
    else if (evidence.count != job->work.notes || evidence.history != job->work.history)
        sim_fail(model, "reports",
                 "task %" PRIx64 " has %" PRIu32 " pieces of evidence and %" PRIu32
                 " entries of history, and should have %u and %u",
                 job->id, evidence.count, evidence.history, job->work.notes, job->work.history);
    else if (evidence.known != acknowledged(model->jobs, job))
        sim_fail(model, "reports",
                 "task %" PRIx64 " has %" PRIu32
                 " pieces of evidence that were acknowledged, and %" PRIu32 " were",
                 job->id, evidence.known, acknowledged(model->jobs, job));
}

void sim_jobs_check_notes(struct sim_model *model)
{
    for (uint32_t i = model->jobs->first; i < model->jobs->jobs_count && !model->failed; i++) {
        const struct sim_job *job = &model->jobs->jobs[i];

        if (job->alive && sim_job_is_work(job))
            check_notes(model, job);
    }
}

/* ---- at rest ---- */

static void check_waits(struct sim_model *model, const struct sim_job *job)
{
    const struct sim_jobs *jobs = model->jobs;
    const struct sim_plan *plan = &jobs->plans[job->plan];
    const bool goes_on = sim_policies[job->work.policy].broken == PAWL_WORK_BROKEN_GO_ON;
    bool waits = false;

    for (uint32_t i = 0; i < plan->after_count; i++) {
        const struct sim_job *first = &jobs->jobs[jobs->plans[plan->after[i]].job];

        waits |= first->alive && !sim_job_is_settled(first);
        if (!goes_on && first->alive && sim_job_is_settled(first) &&
            first->state != PAWL_WORK_COMPLETED)
            sim_fail(model, "after",
                     "task %" PRIx64 " waits, and %" PRIx64 ", which it waits for, is %s", job->id,
                     first->id, pawl_work_state_name(first->state));
    }
    if (!waits)
        sim_fail(model, "after", "task %" PRIx64 " waits, and all that it waits for is settled",
                 job->id);
}

/* On a full disk what is under way inside waits until there is room. */
static bool is_full(const struct sim_model *model)
{
    for (unsigned i = 0; i < model->shards; i++) {
        const struct durable *durable = model->runtime->shards[i]->durable;

        if (durable != NULL && load_acquire(&durable->journal.full) != 0)
            return true;
    }
    return false;
}

void sim_jobs_check_rest(struct sim_model *model)
{
    struct sim_jobs *jobs = model->jobs;

    if (is_full(model))
        return;
    for (uint32_t i = jobs->first; i < jobs->jobs_count && !model->failed; i++) {
        const struct sim_job *job = &jobs->jobs[i];
        const struct sim_job *parent =
            job->work.parent != 0 ? sim_job_by_id(jobs, job->work.parent) : NULL;

        if (!job->alive || !sim_job_is_work(job) || sim_job_is_settled(job))
            continue;
        if (job->state == PAWL_WORK_DEPENDENT && job->plan != 0 && !jobs->plans[job->plan].vague)
            check_waits(model, job);
        if (parent != NULL && parent->alive && parent->state == PAWL_WORK_CANCELLED &&
            (parent->work.flags & WORK_TREE) != 0)
            sim_fail(model, "settled",
                     "task %" PRIx64 " is %s, and its parent was cancelled with its tree", job->id,
                     pawl_work_state_name(job->state));
    }
}
