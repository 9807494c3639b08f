/*
 * stress_agents_say.c - what agents report, and each receipt held against the ledger
 * (stress_agents.h explains the method).
 *
 * A report is posted under the job's lock, so that what was known of the job at that moment is
 * certain: once a newer lease is known, an older one's report can only come later.
 */
#include <errno.h>
#include <string.h>

#include "stress_agents_log.h"

static const char *const lie_names[] = {
    [LIE_NONE] = "honest",
    [LIE_TOKEN] = "with a token that nobody has",
    [LIE_FOREIGN] = "about another agent's lease",
    [LIE_KIND] = "of a kind that is out of place",
    [LIE_CLASS] = "with a class that is the runtime's",
    [LIE_REPEATED] = "repeated",
    [LIE_GHOST] = "of an incarnation that was closed",
};

static struct said *free_said(struct fleet_agent *a)
{
    for (unsigned i = 0; i < FLEET_REPORTS; i++)
        if (!a->said[i].used)
            return &a->said[i];
    return NULL;
}

/* What it may end is nobody's any more. Returns what to put back if it was not posted. */
static int32_t disown(struct job *job, uint32_t book, const struct word *word)
{
    const int32_t owner = job->owner;

    if (word->lie == LIE_NONE && kind_ends(word->kind) && owner == (int32_t)book)
        job->owner = -1;
    return owner;
}

/* Posts it; 0 or what pawl_agent_report says. The job is locked. */
static int post(struct fleet_agent *a, const struct pawl_lease *lease, struct job *job,
                struct said *said, const struct word *word)
{
    struct pawl_report report = {.kind = word->kind,
                                 .klass = word->klass,
                                 .id = word->id,
                                 .tag = (uint32_t)(said - a->said),
                                 .value = word->value};

    if (said->evidence >= 0) {
        const struct job_evidence *evidence = &job->evidence[said->evidence];

        fleet_fill(a->crew->bytes, evidence->size, evidence->value);
        report.value = evidence->value;
        report.bytes = a->crew->bytes;
        report.size = evidence->size;
        report.hash = mix64(evidence->value);
    }
    said->value = report.value;
    return pawl_agent_report(a->agent, lease, &report);
}

bool agent_say(struct fleet_agent *a, const struct pawl_lease *lease, struct job *job,
               uint32_t book, struct word word, int32_t *evidence)
{
    struct said *said = free_said(a);

    if (said == NULL)
        return false;
    pthread_mutex_lock(&job->lock);
    const int32_t owner = disown(job, book, &word);
    const uint32_t evidence_count = job->evidence_count;

    *said = (struct said){.job = job,
                          .task = lease->task,
                          .book = book,
                          .token = lease->token,
                          .id = word.id,
                          .evidence = word.evidence,
                          .kind = (uint8_t)word.kind,
                          .klass = word.klass,
                          .lie = (uint8_t)word.lie,
                          .stale = lease->token < job->newest};
    if (word.size > 0)
        said->evidence = (int32_t)book_evidence(a->fleet, job, lease->token, word.size);
    const int rc = post(a, lease, job, said, &word);
    if (rc == 0) {
        said->used = 1;
        job->refs++;
        if (evidence != NULL)
            *evidence = said->evidence;
    } else {
        job->owner = owner;
        job->evidence_count = evidence_count;
        if (rc != -EAGAIN)
            job_find(a->fleet, job, FINDING_UNEXPLAINED, "a report (%s, %s) cannot be posted: %s",
                     pawl_report_name(word.kind), lie_names[word.lie], pawl_strerror(rc));
    }
    pthread_mutex_unlock(&job->lock);
    /* relaxed: these are read after the threads were joined */
    if (rc == 0)
        add_relaxed(&a->fleet->reports, 1);
    if (rc == 0 && word.lie != LIE_NONE)
        add_relaxed(&a->fleet->lies, 1);
    return rc == 0;
}

/* --- receipts --- */

static void find(struct fleet *fleet, const struct said *said, enum finding kind, int status,
                 const char *what)
{
    struct pawl_work_view view = {.state = PAWL_WORK_STATES};
    const int rc = pawl_work_read(fleet->runtime, said->task, &view);

    job_find(fleet, said->job, kind,
             "a report (%s, id %u, token %#llx, %s) was answered %s: %s; task %#llx is now %s, its "
             "token %#llx: %s",
             pawl_report_name((enum pawl_report_kind)said->kind), said->id,
             (unsigned long long)said->token, lie_names[said->lie],
             status == 0 ? "as accepted" : pawl_strerror(status), what,
             (unsigned long long)said->task.id, pawl_work_state_name(view.state),
             (unsigned long long)view.work.claim.token, pawl_strerror(rc));
}

/* The deadline is not where it was; as the task says it, if the lease still lives. */
static void extended(struct fleet *fleet, const struct said *said, struct job_lease *lease,
                     struct pawl_task task)
{
    struct pawl_work_view view;

    (void)said;
    if (pawl_work_read(fleet->runtime, task, &view) == 0 && view.work.claim.token == lease->token)
        lease->deadline_ns = view.work.claim.deadline_ns;
}

static void accepted(struct fleet *fleet, const struct said *said, const struct pawl_receipt *r)
{
    struct job *job = said->job;
    struct job_lease *lease = &job->leases[said->book];

    if (said->stale)
        find(fleet, said, FINDING_CONTRADICTED, 0, "the task had been handed out again before");
    if (said->lie != LIE_NONE && said->lie != LIE_REPEATED) {
        find(fleet, said, FINDING_CONTRADICTED, 0, "it was a lie");
        return;
    }
    if (lease->ended != 0)
        find(fleet, said, FINDING_CONTRADICTED, 0, "the lease had been given back");
    if (said->id <= lease->last_id)
        find(fleet, said, FINDING_DUPLICATED, 0, "this id, or a later one, was applied before");
    lease->last_id = said->id;
    if (said->evidence >= 0)
        job->evidence[said->evidence].fate = FATE_ACCEPTED;
    if (said->evidence >= 0)
        fleet_log(fleet, RECORD_KEPT, job, 0, 0, job->evidence[said->evidence].value, 0);
    if (said->evidence >= 0 && !(job->flags & JOB_IS_BRIEF) && fleet_wants(fleet, PLANT_CONTRADICT))
        job->evidence[said->evidence].fate = FATE_REFUSED;
    if (said->kind == PAWL_REPORT_EXTEND)
        extended(fleet, said, lease, r->task);
    if (!kind_ends((enum pawl_report_kind)said->kind))
        return;
    lease->ended = (uint8_t)(said->kind + 1);
    lease->klass = said->klass;
    lease->value = said->value;
    fleet_log(fleet, RECORD_ACCEPTED, job, lease->ended, said->klass, lease->token, said->value);
    add_relaxed(&fleet->cycles, 1); /* relaxed: only for people, until the threads are joined */
}

/* Whether a refusal is right; else what is wrong with it. */
static const char *fault_of_refusal(const struct said *said, int status, bool over)
{
    const struct job *job = said->job;
    const struct job_lease *lease = &job->leases[said->book];
    const bool repeated = said->id <= lease->last_id;

    switch (said->lie) {
    case LIE_TOKEN:
        return status == -ESTALE ? NULL : "nobody ever had that token";
    case LIE_FOREIGN:
    case LIE_GHOST:
        return status == -EPERM || status == -ESTALE ? NULL : "it is another's, or over";
    case LIE_KIND:
        if (status == -EPROTO)
            return NULL;
        break;
    case LIE_CLASS:
        if (status == -EINVAL)
            return NULL;
        break;
    }
    if (status == -ESTALE)
        return over ? NULL : "the lease was held";
    if (status == -EALREADY)
        return repeated ? NULL : "its id is a new one";
    if (status == -ENOSPC)
        return said->evidence >= 0 && job->policy == FLEET_MEAGRE ? NULL : "there is room";
    return "there is no reason for that";
}

static void refused(struct fleet *fleet, const struct said *said, int status)
{
    struct job *job = said->job;
    const bool over = book_may_be_over(job, &job->leases[said->book], fleet_now());
    const char *fault = fault_of_refusal(said, status, over);

    if (fault != NULL)
        find(fleet, said, FINDING_CONTRADICTED, status, fault);
    if (said->evidence >= 0 && job->evidence[said->evidence].fate == FATE_SENT) {
        job->evidence[said->evidence].fate = FATE_REFUSED;
        job->evidence[said->evidence].full = status == -ENOSPC;
    }
    /* The lease lives on, and its agent has nothing more to say about it. */
    if (status == -ENOSPC && kind_ends((enum pawl_report_kind)said->kind))
        book_loosen(job, said->book);
    add_relaxed(&fleet->refused, 1); /* relaxed: as above */
}

static void judge(struct fleet_agent *a, const struct pawl_receipt *r)
{
    struct said *said = r->tag < FLEET_REPORTS ? &a->said[r->tag] : NULL;

    if (said == NULL || !said->used) {
        stress_find(a->fleet->s, FINDING_DUPLICATED,
                    "agent %u has a receipt (tag %u, task %#llx) that nobody waits for", a->number,
                    r->tag, (unsigned long long)r->task.id);
        return;
    }
    struct job *job = said->job;
    pthread_mutex_lock(&job->lock);
    if (r->id != said->id || (said->lie != LIE_TOKEN && r->token != said->token))
        find(a->fleet, said, FINDING_TORN, r->status, "the receipt is about another");
    if (r->status == 0)
        accepted(a->fleet, said, r);
    else
        refused(a->fleet, said, r->status);
    said->used = 0;
    job->refs--;
    pthread_mutex_unlock(&job->lock);
}

unsigned agent_hear(struct fleet_agent *a)
{
    struct pawl_receipt receipts[16];
    unsigned heard = 0;
    int count;

    do {
        count = pawl_agent_receipts(a->agent, receipts, ARRAY_LEN(receipts));
        agent_look_at_clock(a); /* before they are judged */
        for (int i = 0; i < count; i++)
            judge(a, &receipts[i]);
        heard += (unsigned)count;
    } while (count == ARRAY_LEN(receipts));
    return heard;
}

void agent_forget_said(struct fleet_agent *a)
{
    for (unsigned i = 0; i < FLEET_REPORTS; i++) {
        struct said *said = &a->said[i];
        struct job *job = said->job;

        if (!said->used)
            continue;
        pthread_mutex_lock(&job->lock);
        if (said->lie == LIE_NONE || said->lie == LIE_REPEATED) {
            if (kind_ends((enum pawl_report_kind)said->kind))
                job->leases[said->book].unknown = 1;
            if (said->evidence >= 0 && job->evidence[said->evidence].fate == FATE_SENT)
                job->evidence[said->evidence].fate = FATE_UNKNOWN;
        }
        said->used = 0;
        job->refs--;
        pthread_mutex_unlock(&job->lock);
    }
}
