/*
 * stress_agents_check.c - a settled job against its ledger (stress_agents.h explains the method).
 *
 * What is exact. Attempts that failed are numbered from 1 without a hole, each has a note, and what
 * followed each is what the policy says of it. attempts is the leases that agents saw, plus those
 * that ended before anybody saw them (their notes tell), minus those that were given back. Every
 * lease has an end: an accepted report, a note that it has expired or was lost, or the end of the
 * job. Evidence is what was accepted, byte by byte, and nothing else.
 *
 * What is not: a report whose receipt was thrown away with its agent may have been accepted or not;
 * and who cancels a job does not learn of a lease that nobody has seen yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress_agents.h"

/* A note, its bytes already held against what they should be. */
struct noted {
    enum pawl_work_note_kind kind;
    uint8_t klass;
    bool whole;
    int32_t reason;
    uint64_t agent;
    uint64_t token;
    uint64_t value;
    size_t size;
};

struct look {
    struct fleet *fleet;
    struct job *job;
    struct pawl_work_view view;
    struct noted *notes; /* oldest first */
    size_t count;
    size_t capacity;
};

static bool reserve(struct look *l)
{
    struct noted *grown;

    if (l->count < l->capacity)
        return true;
    l->capacity = l->capacity == 0 ? 32 : l->capacity * 2;
    grown = realloc(l->notes, l->capacity * sizeof(*grown));
    if (grown != NULL)
        l->notes = grown;
    return grown != NULL;
}

static int add_note(void *user, const struct pawl_work_note *note)
{
    struct look *l = user;

    if (!reserve(l))
        return -ENOMEM;
    l->notes[l->count++] =
        (struct noted){.kind = note->kind,
                       .klass = note->klass,
                       .whole = note->kind != PAWL_WORK_NOTE_EVIDENCE ||
                                (note->hash == mix64(note->value) &&
                                 fleet_filled(note->bytes, note->size, note->value)),
                       .reason = note->reason,
                       .agent = note->agent,
                       .token = note->token,
                       .value = note->value,
                       .size = note->size};
    return 0;
}

static void put_oldest_first(struct look *l)
{
    for (size_t i = 0; i < l->count / 2; i++) {
        const struct noted swapped = l->notes[i];

        l->notes[i] = l->notes[l->count - 1 - i];
        l->notes[l->count - 1 - i] = swapped;
    }
}

static const struct pawl_work_policy *policy_of(const struct look *l)
{
    return &fleet_policies[l->job->policy];
}

static uint32_t crashes_max(const struct look *l)
{
    return policy_of(l)->crashes != 0 ? policy_of(l)->crashes : 3;
}

static bool is_verified_by_agents(const struct look *l)
{
    return l->job->policy == FLEET_LANE;
}

static uint32_t count_of(const struct look *l, enum pawl_work_note_kind kind)
{
    uint32_t count = 0;

    for (size_t i = 0; i < l->count; i++)
        count += l->notes[i].kind == kind;
    return count;
}

static const struct noted *attempt_with(const struct look *l, uint64_t token)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->notes[i].kind == PAWL_WORK_NOTE_ATTEMPT && l->notes[i].token == token)
            return &l->notes[i];
    return NULL;
}

/* --- evidence --- */

static void check_piece(struct look *l, const struct noted *note)
{
    struct job *job = l->job;

    for (uint32_t i = 0; i < job->evidence_count; i++) {
        struct job_evidence *e = &job->evidence[i];

        if (e->value != note->value)
            continue;
        if (fleet_wants(l->fleet, PLANT_TEAR))
            e->size++;
        if (!note->whole || note->size != e->size || note->token != e->token)
            job_find(l->fleet, job, FINDING_TORN, "evidence %#llx is not what was reported",
                     (unsigned long long)note->value);
        if (e->fate == FATE_REFUSED)
            job_find(l->fleet, job, FINDING_CONTRADICTED,
                     "evidence %#llx is there, but its report was refused",
                     (unsigned long long)note->value);
        if (e->fate == FATE_SENT) /* found before: the fate says so below */
            job_find(l->fleet, job, FINDING_DUPLICATED, "evidence %#llx is there twice",
                     (unsigned long long)note->value);
        e->fate = FATE_SENT;
        add_relaxed(&l->fleet->evidence, 1); /* relaxed: read after the threads were joined */
        return;
    }
    job_find(l->fleet, job, FINDING_UNEXPLAINED, "evidence %#llx was reported by nobody",
             (unsigned long long)note->value);
}

/* Every report has its receipt by now; so what is found again is marked as sent. */
static void check_evidence(struct look *l)
{
    const struct pawl_work_policy *policy = policy_of(l);
    struct job *job = l->job;
    uint32_t count = 0;
    uint64_t bytes = 0;
    bool full = false;

    for (size_t i = 0; i < l->count; i++) {
        if (l->notes[i].kind != PAWL_WORK_NOTE_EVIDENCE)
            continue;
        check_piece(l, &l->notes[i]);
        count++;
        bytes += l->notes[i].size;
    }
    for (uint32_t i = 0; i < job->evidence_count; i++) {
        const struct job_evidence *e = &job->evidence[i];

        if (e->fate == FATE_ACCEPTED)
            job_find(l->fleet, job, FINDING_LOST, "evidence %#llx was accepted, and is not there",
                     (unsigned long long)e->value);
        full |= e->full;
        if (e->fate == FATE_SENT)
            job->evidence[i].fate = FATE_ACCEPTED; /* it may be looked at again, when kicked */
    }
    if (l->view.work.notes != count || l->view.work.bytes != bytes)
        job_find(l->fleet, job, FINDING_UNEXPLAINED,
                 "it counts %u pieces of evidence with %u bytes, and has %u with %llu",
                 l->view.work.notes, l->view.work.bytes, count, (unsigned long long)bytes);
    if (policy->notes_max != 0 && (count > policy->notes_max || bytes > policy->bytes_max))
        job_find(l->fleet, job, FINDING_UNEXPLAINED, "it has more evidence than its policy allows");
    if (full && count < policy->notes_max && bytes + FLEET_EVIDENCE < policy->bytes_max)
        job_find(l->fleet, job, FINDING_UNEXPLAINED, "evidence was refused for want of room");
}

/* --- attempts --- */

/* What a failure may be: the lease's own story must be the same. */
static void check_failure(struct look *l, const struct noted *note)
{
    const struct job_lease *lease = book_find(l->job, note->token);
    const uint8_t ended = lease != NULL ? lease->ended : 0;

    switch (note->klass) {
    case PAWL_WORK_CLASS_EXPIRED:
    case PAWL_WORK_CLASS_LOST:
        l->job->lost += note->klass == PAWL_WORK_CLASS_LOST;
        l->job->expired += note->klass == PAWL_WORK_CLASS_EXPIRED;
        if (ended != 0)
            job_find(l->fleet, l->job, FINDING_CONTRADICTED,
                     "token %#llx was given back, and is noted as expired or lost",
                     (unsigned long long)note->token);
        if (note->klass == PAWL_WORK_CLASS_LOST && lease != NULL && !lease->loose)
            job_find(l->fleet, l->job, FINDING_UNEXPLAINED,
                     "token %#llx is noted as lost, but its agent lives",
                     (unsigned long long)note->token);
        return;
    case PAWL_WORK_CLASS_REJECTED:
        if (ended != 0 && ended != 1 + PAWL_REPORT_REJECT &&
            !(l->job->policy == FLEET_HOST && ended == 1 + PAWL_REPORT_DONE &&
              lease->value % 16 == 7))
            job_find(l->fleet, l->job, FINDING_CONTRADICTED,
                     "token %#llx was rejected, but nobody did so",
                     (unsigned long long)note->token);
        return;
    }
    if (lease == NULL ||
        (!lease->unknown && (ended != 1 + PAWL_REPORT_FAILED || lease->klass != note->klass)))
        job_find(l->fleet, l->job, FINDING_CONTRADICTED,
                 "token %#llx failed with class %u, but nobody has reported that",
                 (unsigned long long)note->token, note->klass);
}

/* Whether the policy tries again after the failure number n of those since it was last kicked. */
static bool is_tried_again(const struct look *l, const struct noted *note, uint64_t limit,
                           uint32_t crashes)
{
    const struct pawl_work_policy *policy = policy_of(l);

    if (note->klass == PAWL_WORK_CLASS_LOST && crashes >= crashes_max(l))
        return false;
    if (note->klass < PAWL_WORK_CLASSES && (policy->not_retried >> note->klass & 1) != 0)
        return false;
    return note->value < limit;
}

/* The failures in their order; returns how many. */
static uint32_t check_failures(struct look *l, bool *given_up)
{
    const uint32_t attempts = policy_of(l)->attempts;
    uint32_t number = 0, crashes = 0;
    uint64_t limit = attempts;

    *given_up = false;
    l->job->lost = l->job->expired = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct noted *note = &l->notes[i];

        if (note->kind == PAWL_WORK_NOTE_KICKED) {
            limit = l->view.work.attempts_max;
            crashes = 0;
            *given_up = false;
        }
        if (note->kind != PAWL_WORK_NOTE_ATTEMPT)
            continue;
        number++;
        if (note->value != number && l->job->kicks == 0)
            job_find_attempts(l->fleet, l->job, "failure %u is noted as attempt %llu", number,
                              (unsigned long long)note->value);
        if (*given_up)
            job_find_attempts(l->fleet, l->job, "attempt %llu was made after it was given up",
                              (unsigned long long)note->value);
        crashes += note->klass == PAWL_WORK_CLASS_LOST;
        check_failure(l, note);
        *given_up = !is_tried_again(l, note, limit, crashes);
    }
    if (l->job->kicks == 0 && l->view.work.attempts_max != attempts)
        job_find_attempts(l->fleet, l->job, "it may be tried %u times, its policy says %u",
                          l->view.work.attempts_max, attempts);
    return number;
}

struct tally {
    uint32_t seen;     /* leases to work on */
    uint32_t verdicts; /* leases to verify */
    uint32_t released;
    uint32_t unknown; /* of these nobody knows whether they were given back */
    uint32_t unseen;  /* that ended by themselves before anybody saw them */
};

static void tally(const struct look *l, struct tally *t)
{
    const struct job *job = l->job;

    *t = (struct tally){.seen = 0};
    for (uint32_t i = 0; i < job->leases_count; i++) {
        const struct job_lease *lease = &job->leases[i];

        t->seen += !lease->verdict;
        t->verdicts += lease->verdict;
        t->released += !lease->verdict && lease->ended == 1 + PAWL_REPORT_RELEASE;
        t->unknown += !lease->verdict && lease->ended == 0 && lease->unknown;
    }
    for (size_t i = 0; i < l->count; i++) {
        const struct noted *note = &l->notes[i];

        t->unseen += note->kind == PAWL_WORK_NOTE_ATTEMPT &&
                     note->klass != PAWL_WORK_CLASS_REJECTED && book_find(job, note->token) == NULL;
    }
}

/* Ended by somebody else, perhaps while an agent had it, or was about to. */
static bool was_ended(const struct look *l)
{
    const struct pawl_work *work = &l->view.work;

    return l->view.state == PAWL_WORK_CANCELLED ||
           (l->view.state == PAWL_WORK_FAILED &&
            (work->klass == PAWL_WORK_CLASS_OVERDUE || work->klass == PAWL_WORK_CLASS_DEPENDENCY));
}

static void check_counts(struct look *l, uint32_t failures)
{
    const struct pawl_work *work = &l->view.work;
    /* Each time that it was ended from outside, a lease may have been under way that nobody saw. */
    const uint32_t slack = (uint32_t)was_ended(l) + l->job->kicks;
    struct tally t;

    tally(l, &t);
    const uint32_t most = t.seen + t.unseen - t.released;
    if (work->attempts > most + slack || work->attempts + t.unknown < most)
        job_find_attempts(l->fleet, l->job,
                          "it counts %u attempts; agents saw %u leases and gave %u back, %u ended "
                          "unseen",
                          work->attempts, t.seen, t.released, t.unseen);
    if (work->claim.leases < t.seen + t.verdicts + t.unseen)
        job_find_attempts(l->fleet, l->job, "it counts %u leases; agents saw %u, %u ended unseen",
                          work->claim.leases, t.seen + t.verdicts, t.unseen);
    const uint32_t good = l->view.state == PAWL_WORK_COMPLETED && work->claim.leases > 0;
    if (work->attempts < failures + good ||
        work->attempts > failures + good + slack + is_verified_by_agents(l))
        job_find_attempts(l->fleet, l->job, "it counts %u attempts, and has %u failures noted%s",
                          work->attempts, failures, good ? " before it was done" : "");
    l->job->handed_out = work->claim.leases;
}

/* Each lease has an end. */
static void check_leases(struct look *l)
{
    const struct pawl_work *work = &l->view.work;
    const struct job *job = l->job;

    for (uint32_t i = 0; i < job->leases_count; i++) {
        const struct job_lease *lease = &job->leases[i];
        const struct noted *note = attempt_with(l, lease->token);
        const bool last = work->claim.token == lease->token;

        if (lease->token > work->claim.token)
            job_find(l->fleet, job, FINDING_LOST, "token %#llx was handed out, its newest is %#llx",
                     (unsigned long long)lease->token, (unsigned long long)work->claim.token);
        if (lease->ended == 1 + PAWL_REPORT_FAILED && !lease->verdict && note == NULL)
            job_find_attempts(l->fleet, job, "the failure of token %#llx is not noted",
                              (unsigned long long)lease->token);
        if (lease->ended == 1 + PAWL_REPORT_RELEASE && note != NULL)
            job_find_attempts(l->fleet, job, "token %#llx was given back, and counts as failed",
                              (unsigned long long)lease->token);
        if (lease->ended == 0 && !lease->unknown && !lease->verdict && note == NULL &&
            !(last && was_ended(l)) && job->kicks == 0)
            job_find_attempts(l->fleet, job, "token %#llx has ended, and nothing says how",
                              (unsigned long long)lease->token);
        if (lease->ended == 1 + PAWL_REPORT_DONE && !last && job->policy != FLEET_HOST &&
            job->policy != FLEET_LANE)
            job_find(l->fleet, job, FINDING_CONTRADICTED,
                     "token %#llx has done it, and it was handed out again",
                     (unsigned long long)lease->token);
    }
}

/* --- the state --- */

static void check_completed(struct look *l)
{
    const struct pawl_work *work = &l->view.work;
    const struct job_lease *lease = book_find(l->job, work->claim.token);
    const uint8_t wanted = 1 + (is_verified_by_agents(l) ? PAWL_REPORT_ACCEPT : PAWL_REPORT_DONE);

    if (l->job->flags & JOB_IS_GROUP) {
        if (work->claim.leases != 0)
            job_find_attempts(l->fleet, l->job, "it is a group, and was handed out");
        return;
    }
    if (lease == NULL || (lease->ended != wanted && !lease->unknown))
        job_find(l->fleet, l->job, FINDING_CONTRADICTED,
                 "it is completed, but nobody who held it has said so");
    else if (wanted == 1 + PAWL_REPORT_DONE && lease->ended != 0 && lease->value != work->value)
        job_find(l->fleet, l->job, FINDING_TORN, "its result is %llu, reported was %llu",
                 (unsigned long long)work->value, (unsigned long long)lease->value);
    if (l->job->policy == FLEET_HOST && work->value % 16 == 7)
        job_find(l->fleet, l->job, FINDING_CONTRADICTED, "its result should have been rejected");
}

static bool broken_dependency(const struct job *job)
{
    for (unsigned i = 0; i < job->after_count; i++)
        if (job->after[i]->outcome != PAWL_WORK_COMPLETED)
            return true;
    return false;
}

static bool cancelled_with_tree(const struct job *job)
{
    for (; job != NULL; job = job->parent)
        if (job->tree || job->flags & JOB_IS_RESUMED)
            return true;
    return false;
}

static void check_failed(struct look *l, uint32_t failures, bool given_up)
{
    const struct pawl_work *work = &l->view.work;
    const struct pawl_work_policy *policy = policy_of(l);
    const struct job *job = l->job;
    bool right;

    if (work->klass < PAWL_WORK_CLASSES)
        right = failures > 0 && given_up && (policy->not_retried >> work->klass & 1) != 0;
    else if (work->klass == PAWL_WORK_CLASS_OVERDUE)
        right = job->deadline_ns != 0;
    else
        right = work->klass == PAWL_WORK_CLASS_DEPENDENCY && broken_dependency(job) &&
                policy->broken == PAWL_WORK_BROKEN_FAIL;
    if (!right && job->kicks == 0 && !(job->flags & JOB_IS_RESUMED))
        job_find_attempts(l->fleet, job,
                          "it has failed (class %u) after %u attempts: that is no reason for it",
                          work->klass, work->attempts);
}

static void check_dead(struct look *l, bool given_up)
{
    const struct pawl_work *work = &l->view.work;
    bool right;

    if (work->klass == PAWL_WORK_CLASS_QUARANTINED)
        right = work->crashes == crashes_max(l);
    else
        right = given_up && work->attempts == work->attempts_max;
    if (!right)
        job_find_attempts(
            l->fleet, l->job, "it is dead (class %u) after %u of %u attempts and %u of %u crashes",
            work->klass, work->attempts, work->attempts_max, work->crashes, crashes_max(l));
}

static void check_cancelled(struct look *l)
{
    const struct pawl_work *work = &l->view.work;
    const struct job *job = l->job;
    bool right;

    if (work->klass == PAWL_WORK_CLASS_PARENT)
        right = job->parent != NULL && cancelled_with_tree(job->parent);
    else if (work->klass == PAWL_WORK_CLASS_DEPENDENCY)
        right = broken_dependency(job) && policy_of(l)->broken == PAWL_WORK_BROKEN_CANCEL;
    else
        right = job->cancel_accepted;
    if (!right && !(job->flags & JOB_IS_RESUMED))
        job_find(l->fleet, job, FINDING_UNEXPLAINED,
                 "it is cancelled (class %u), but nobody did so", work->klass);
}

static void check_state(struct look *l, uint32_t failures, bool given_up)
{
    const struct pawl_work *work = &l->view.work;
    const struct job *job = l->job;

    if (job_followed_late(&l->view, job->outcome)) {
        check_cancelled(l);
        return;
    }
    if (l->view.state != (enum pawl_work_state)job->outcome || work->outcome != job->outcome)
        job_find(l->fleet, job, FINDING_CONTRADICTED, "its watch said %s, and it is %s",
                 pawl_work_state_name(job->outcome), pawl_work_state_name(l->view.state));
    if (job->cancel_accepted && l->view.state != PAWL_WORK_CANCELLED)
        job_find(l->fleet, job, FINDING_CONTRADICTED, "it was cancelled, and is %s",
                 pawl_work_state_name(l->view.state));
    if (work->claim.leases > 0 && job->kicks == 0 && broken_dependency(job) &&
        policy_of(l)->broken != PAWL_WORK_BROKEN_GO_ON)
        job_find(l->fleet, job, FINDING_CONTRADICTED,
                 "it was handed out, but not all that it waited for has completed");
    switch (l->view.state) {
    case PAWL_WORK_COMPLETED:
        check_completed(l);
        break;
    case PAWL_WORK_FAILED:
        check_failed(l, failures, given_up);
        break;
    case PAWL_WORK_CANCELLED:
        check_cancelled(l);
        break;
    case PAWL_WORK_DEAD:
        check_dead(l, given_up);
        break;
    case PAWL_WORK_NEW:
    case PAWL_WORK_DEPENDENT:
    case PAWL_WORK_DELAYED:
    case PAWL_WORK_READY:
    case PAWL_WORK_LEASED:
    case PAWL_WORK_UNVERIFIED:
    case PAWL_WORK_CHECKED:
    case PAWL_WORK_STATES:
        job_find(l->fleet, job, FINDING_CONTRADICTED, "it was told to be settled, and is %s",
                 pawl_work_state_name(l->view.state));
        break;
    }
}

static void check_key(struct look *l)
{
    struct pawl_task found = PAWL_NO_TASK;
    char key[64];

    if (!(l->job->flags & JOB_IS_KEYED))
        return;
    const size_t size = job_key(l->job, key);
    const int rc = pawl_task_find(l->fleet->runtime, key, size, &found);
    if (rc != 0 || found.id != l->job->id)
        job_find(l->fleet, l->job, FINDING_LOST, "its key leads to task %#llx: %s",
                 (unsigned long long)found.id, pawl_strerror(rc));
}

void job_check(struct fleet *fleet, struct job *job)
{
    struct look l = {.fleet = fleet, .job = job};
    bool given_up;
    int rc = pawl_work_read(fleet->runtime, job_task(job), &l.view);

    if (rc == 0)
        rc = pawl_work_notes(fleet->runtime, job_task(job), add_note, &l);
    if (rc != 0) {
        job_find(fleet, job, FINDING_LOST, "it has settled, and cannot be read: %s",
                 pawl_strerror(rc));
        free(l.notes);
        return;
    }
    put_oldest_first(&l);
    if (job->flags & JOB_IS_RESUMED) /* whether it came to that is not known */
        job->kicks = (uint8_t)count_of(&l, PAWL_WORK_NOTE_KICKED);
    pthread_mutex_lock(&job->lock);
    check_evidence(&l);
    const uint32_t failures = check_failures(&l, &given_up);
    if (l.view.work.missed != 0 ||
        l.view.work.history !=
            l.count - count_of(&l, PAWL_WORK_NOTE_EVIDENCE) - count_of(&l, PAWL_WORK_NOTE_DETAIL))
        job_find(fleet, job, FINDING_LOST, "its history has %u entries, and it counts %u",
                 (unsigned)l.count, l.view.work.history);
    if (count_of(&l, PAWL_WORK_NOTE_KICKED) != job->kicks)
        job_find(fleet, job, FINDING_UNEXPLAINED, "it was kicked %u times, and says %u", job->kicks,
                 count_of(&l, PAWL_WORK_NOTE_KICKED));
    check_counts(&l, failures);
    check_leases(&l);
    check_state(&l, failures, given_up);
    pthread_mutex_unlock(&job->lock);
    check_key(&l);
    job_check_detail(fleet, job);
    free(l.notes);
}
