/*
 * stress_agents_resume.c - a recovered store is held to the log of the runs before, and what is
 * left of their jobs is taken over (stress_agents_log.h says what lies in the log).
 *
 * With sync steps nothing that was acknowledged may be missing: a job that was made and is not gone
 * has its task, a task's newest token is not older than any that an agent saw, and what the ledger
 * says of accepted reports holds to the end. What was under way may have happened or not. With
 * async steps the last window may be taken back; so the ledger only says what may have happened.
 *
 * Leases of before are nobody's: their agents are gone, and they end by their time. Until then no
 * other may have the job: the ledger's owner stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress_agents_log.h"

struct resume {
    struct fleet *fleet;
    bool sync;
    uint64_t values;
};

/* --- the log --- */

static struct job_lease *lease_of(struct job *job, uint64_t token)
{
    for (uint32_t i = 0; i < job->leases_count; i++)
        if (job->leases[i].token == token)
            return &job->leases[i];
    return NULL;
}

static void begin(struct job *job, const struct fleet_record *r)
{
    book_clear(job);
    job->generation = r->generation;
    job->phase = JOB_SUBMITTED;
    job->id = 0;
    job->flags = (uint8_t)r->a | JOB_IS_RESUMED;
    job->policy = (uint8_t)(r->a >> 8) % FLEET_POLICIES;
    job->lane = (uint8_t)(r->a >> 16) % FLEET_LANES;
    job->priority = (uint8_t)(r->a >> 24);
    job->assignee = (uint32_t)(r->a >> 32);
    job->payload_size = r->size;
    job->deadline_ns = r->b;
    job->delay_ns = 0;
    job->after_count = 0;
    job->parent = NULL;
    job->kicks = job->cancel_posted = job->cancel_accepted = 0;
    job->tree = job->opening = job->under_way = 0;
    job->dependents = 0;
    job->kept_outcome = 0;
    /* relaxed: no other thread yet. Anybody may have ended it before. */
    store_relaxed(&job->ends_early, 1);
    store_relaxed(&job->hurried, 1);
}

static void accept(struct job *job, const struct fleet_record *r)
{
    struct job_lease *lease = lease_of(job, r->a);

    if (lease == NULL)
        return;
    lease->ended = r->klass;
    lease->klass = (uint8_t)r->size;
    lease->value = r->b;
}

static void undo(struct job *job, uint64_t token)
{
    struct job_lease *lease = lease_of(job, token);

    if (lease != NULL)
        *lease = job->leases[--job->leases_count];
}

static void apply(void *user, const struct fleet_record *r)
{
    struct resume *resume = user;
    struct job *job = r->slot < resume->fleet->jobs_count ? &resume->fleet->jobs[r->slot] : NULL;

    if (r->kind == RECORD_SENDING && r->a >= resume->values)
        resume->values = r->a + 1;
    if (job == NULL || (r->kind != RECORD_BEGUN && r->generation != job->generation))
        return;
    switch ((enum fleet_record_kind)r->kind) {
    case RECORD_BEGUN:
        begin(job, r);
        break;
    case RECORD_MADE:
        job->id = r->a;
        job->phase = JOB_MADE;
        break;
    case RECORD_LEASED:
        book_old_lease(job, r->a, r->b, r->klass != 0);
        break;
    case RECORD_SENDING:
        book_old_evidence(job, r->a, r->b, r->size);
        break;
    case RECORD_ACCEPTED:
        accept(job, r);
        break;
    case RECORD_KEPT:
        for (uint32_t i = 0; i < job->evidence_count; i++)
            if (job->evidence[i].value == r->a)
                job->evidence[i].fate = FATE_ACCEPTED;
        break;
    case RECORD_CANCELLED:
        job->cancel_accepted = 1;
        break;
    case RECORD_KICKING:
        job->kept_outcome = 0;
        job->phase = JOB_MADE;
        break;
    case RECORD_SETTLED:
        job->kept_outcome = r->klass;
        break;
    case RECORD_DISCARDING:
        job->phase = JOB_DISCARDED;
        break;
    case RECORD_GONE:
        job->phase = JOB_FREE;
        break;
    case RECORD_UNDONE:
        undo(job, r->a);
        break;
    }
}

/* --- the store --- */

/* Which job a task is; NULL: none. */
static struct job *job_of_task(struct fleet *fleet, struct pawl_task task)
{
    uint64_t number;

    if (job_read_number(fleet, task, &number) != 0 || (uint32_t)number >= fleet->jobs_count)
        return NULL;
    struct job *job = &fleet->jobs[(uint32_t)number];
    return job->generation == number >> 32 && job->phase != JOB_FREE ? job : NULL;
}

static void loosen(struct resume *resume, struct job *job, const struct pawl_work_view *view)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < job->leases_count; i++) {
        struct job_lease *lease = &job->leases[i];

        if (resume->sync && lease->token > view->work.claim.token)
            job_find(resume->fleet, job, FINDING_LOST,
                     "token %#llx was handed out, and its newest is %#llx",
                     (unsigned long long)lease->token, (unsigned long long)view->work.claim.token);
        if (!resume->sync && lease->token > view->work.claim.token) {
            fleet_log(resume->fleet, RECORD_UNDONE, job, 0, 0, lease->token, 0);
            continue;
        }
        if (!resume->sync)
            lease->ended = 0;
        lease->unknown = lease->ended == 0;
        lease->loose = 1;
        job->leases[kept++] = *lease;
    }
    job->leases_count = kept;
    for (uint32_t i = 0; i < job->evidence_count; i++)
        if (job->evidence[i].fate == FATE_SENT || !resume->sync)
            job->evidence[i].fate = FATE_UNKNOWN;
}

/* Until then nobody else may have it. */
static void own(struct job *job, const struct pawl_work_view *view)
{
    const struct pawl_claim *claim = &view->work.claim;
    struct job_lease *lease = lease_of(job, claim->token);

    job->newest = claim->token;
    job->owner = -1;
    if (lease == NULL || (view->state != PAWL_WORK_LEASED && view->state != PAWL_WORK_CHECKED))
        return;
    lease->loose = 0;
    lease->deadline_ns = claim->deadline_ns;
    job->owner = (int32_t)(lease - job->leases);
}

static void take_over(struct resume *resume, struct job *job, const struct pawl_work_view *view)
{
    struct fleet *fleet = resume->fleet;

    if (job->seen)
        job_find(fleet, job, FINDING_DUPLICATED, "there are two tasks for it");
    if (resume->sync && job->kept_outcome != 0 && job->kept_outcome != (uint8_t)view->state &&
        !job_followed_late(view, job->kept_outcome))
        job_find(fleet, job, FINDING_CONTRADICTED, "it was told to be %s, and is %s",
                 pawl_work_state_name(job->kept_outcome), pawl_work_state_name(view->state));
    if (!resume->sync)
        job->cancel_accepted = 0;
    job->id = view->task.id;
    job->seen = 1;
    loosen(resume, job, view);
    own(job, view);
    job->phase = JOB_MADE;
    if (!(job->flags & JOB_IS_BRIEF))
        fleet->resumed_leases += view->work.claim.leases;
    if (view->state == PAWL_WORK_NEW)
        job->opening = 1;
    fleet->taken_over++;
}

/* A task that is no job of ours: of the lane of known order, or one that came back. */
static void dismiss(struct resume *resume, const struct pawl_work_view *view)
{
    struct fleet *fleet = resume->fleet;
    struct job job = {.id = view->task.id, .policy = (uint8_t)view->work.policy};

    /* Who reads sees what may not be on disk yet: so it is with those that go by themselves. */
    if (view->work.policy != FLEET_EXACT && view->work.policy != FLEET_SHORT && resume->sync)
        job_find(fleet, &job, FINDING_UNEXPLAINED, "its job was discarded, and it is there (%s)",
                 pawl_work_state_name(view->state));
    if (fleet->strangers_count < FLEET_STRANGERS)
        fleet->strangers[fleet->strangers_count++] = view->task;
}

static void look_at_store(struct resume *resume)
{
    struct fleet *fleet = resume->fleet;
    const struct pawl_filter filter = {.machine = (uint32_t)pawl_work_machine(fleet->runtime),
                                       .state = PAWL_ANY};
    struct pawl_walk walk = {.shard = 0};
    struct pawl_view views[64];

    while (!walk.done) {
        memset(views, 0, sizeof(views));
        const int count = pawl_task_walk(fleet->runtime, &walk, &filter, views, 64, 4096);

        for (int i = 0; i < count; i++) {
            struct pawl_work_view view;

            if (pawl_work_read(fleet->runtime, views[i].task, &view) != 0)
                continue;
            struct job *job = job_of_task(fleet, view.task);
            if (job != NULL)
                take_over(resume, job, &view);
            else
                dismiss(resume, &view);
        }
    }
}

/* Jobs without a task: only those that may be gone. */
static void look_at_jobs(struct resume *resume)
{
    struct fleet *fleet = resume->fleet;

    for (uint32_t i = 0; i < fleet->jobs_count; i++) {
        struct job *job = &fleet->jobs[i];

        if (job->phase == JOB_FREE || job->seen)
            continue;
        if (job->phase == JOB_MADE && !(job->flags & JOB_IS_BRIEF)) {
            if (resume->sync)
                job_find(fleet, job, FINDING_LOST, "it was made, and is not in the store");
            else
                fleet->lost_in_window++;
        }
        job->phase = JOB_FREE;
        fleet_log(fleet, RECORD_GONE, job, 0, 0, 0, 0);
    }
}

int fleet_resume(struct fleet *fleet)
{
    struct resume resume = {
        .fleet = fleet, .sync = fleet->durability == PAWL_DURABILITY_SYNC, .values = FLEET_VALUES};
    const int rc = fleet_log_read(fleet->log, apply, &resume);

    if (rc != 0)
        return stress_failed("the log of this store cannot be read", rc);
    store_relaxed(&fleet->values, resume.values); /* relaxed: no other thread yet */
    look_at_store(&resume);
    look_at_jobs(&resume);
    return 0;
}

/* What is nobody's is cancelled and discarded, once the shards turn. */
int fleet_dismiss(struct fleet *fleet, struct pawl_port *port)
{
    for (uint32_t i = 0; i < fleet->strangers_count; i++) {
        struct pawl_completion done;
        int rc = pawl_work_cancel(port, fleet->strangers[i], false, i);

        if (rc == 0)
            rc = pawl_work_discard(port, fleet->strangers[i], i);
        while (rc == 0 && pawl_port_outstanding(port) > 0) {
            rc = pawl_port_wait(port, fleet_settle_ns(fleet));
            (void)pawl_port_reap(port, &done, 1);
        }
        if (rc != 0)
            return stress_failed("tasks of the run before cannot be discarded", rc);
    }
    return 0;
}
