/*
 * stress_agents_book.c - a job's ledger: leases as agents saw them, evidence as they sent it, and
 * who holds the job (stress_agents.h explains the method).
 *
 * All of it is under the job's lock, which is beside the library: what the library does is not kept
 * in order by it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress_agents_log.h"

static void find(struct fleet *fleet, const struct job *job, enum finding kind, const char *format,
                 va_list arguments)
{
    char text[400];

    vsnprintf(text, sizeof(text), format, arguments);
    stress_find(fleet->s, kind, "job %x of slot %x (task %#llx, policy %s, lane %s): %s",
                job->generation, job->slot, (unsigned long long)job->id,
                fleet_policies[job->policy].name, fleet_lanes[job->lane].name, text);
}

void job_find(struct fleet *fleet, const struct job *job, enum finding kind, const char *format,
              ...)
{
    va_list arguments;

    va_start(arguments, format);
    find(fleet, job, kind, format, arguments);
    va_end(arguments);
}

void job_find_attempts(struct fleet *fleet, const struct job *job, const char *format, ...)
{
    va_list arguments;

    add_relaxed(&fleet->attempts_wrong, 1); /* relaxed: read after the threads were joined */
    va_start(arguments, format);
    find(fleet, job, FINDING_UNEXPLAINED, format, arguments);
    va_end(arguments);
}

/* Room for one more. Without its books a run proves nothing, so it ends here. */
static void *reserve(void *entries, uint32_t count, uint32_t *capacity, size_t size)
{
    void *grown = entries;

    if (count < *capacity)
        return entries;
    *capacity = *capacity == 0 ? 4 : *capacity * 2;
    grown = realloc(entries, *capacity * size);
    if (grown == NULL) {
        fputs("pawl stress: no memory left for the books\n", stderr);
        abort();
    }
    return grown;
}

static struct job_lease *add_lease(struct job *job)
{
    job->leases =
        reserve(job->leases, job->leases_count, &job->leases_capacity, sizeof(*job->leases));
    memset(&job->leases[job->leases_count], 0, sizeof(*job->leases));
    return &job->leases[job->leases_count++];
}

const struct job_lease *book_find(const struct job *job, uint64_t token)
{
    for (uint32_t i = 0; i < job->leases_count; i++)
        if (job->leases[i].token == token)
            return &job->leases[i];
    return NULL;
}

/* Somebody else was the owner, and had no reason to think that he was so no more. */
static void check_owner(struct fleet *fleet, const struct job *job, const struct pawl_lease *lease,
                        uint64_t now_ns)
{
    const struct job_lease *owner = job->owner >= 0 ? &job->leases[job->owner] : NULL;

    if (owner == NULL || owner->loose || now_ns >= owner->deadline_ns ||
        (owner->holder != NULL && agent_is_quiet(owner->holder, now_ns)))
        return;
    add_relaxed(&fleet->double_holders, 1); /* relaxed: read after the threads were joined */
    job_find(fleet, job, FINDING_DUPLICATED,
             "two holders: token %#llx was handed out %.3f ms before the lease with token %#llx "
             "was over",
             (unsigned long long)lease->token, (double)(owner->deadline_ns - now_ns) / 1e6,
             (unsigned long long)owner->token);
}

uint32_t book_lease(struct fleet *fleet, struct job *job, const struct pawl_lease *lease,
                    const struct fleet_agent *agent)
{
    const uint64_t now_ns = fleet_now();
    const bool checked = !(job->flags & JOB_IS_BRIEF); /* what is planted would be found */
    struct job_lease *booked;

    if (checked && fleet_wants(fleet, PLANT_DOUBLE)) {
        booked = add_lease(job);
        *booked = (struct job_lease){.deadline_ns = UINT64_MAX};
        job->owner = (int32_t)(job->leases_count - 1);
    }
    if (checked && fleet_wants(fleet, PLANT_COMPLETION))
        add_lease(job);
    if (book_find(job, lease->token) != NULL)
        job_find(fleet, job, FINDING_DUPLICATED, "token %#llx was handed out twice",
                 (unsigned long long)lease->token);
    booked = add_lease(job);
    *booked = (struct job_lease){.holder = agent,
                                 .token = lease->token,
                                 .agent = agent->incarnation,
                                 .deadline_ns = lease->claim.deadline_ns,
                                 .verdict = lease->state == PAWL_WORK_CHECKED};
    fleet_log(fleet, RECORD_LEASED, job, booked->verdict, 0, lease->token, agent->incarnation);
    if (lease->token > job->newest) {
        check_owner(fleet, job, lease, now_ns);
        job->newest = lease->token;
        job->owner = (int32_t)(job->leases_count - 1);
    } else if (now_ns < booked->deadline_ns) { /* or it came late, and is over */
        job_find(fleet, job, FINDING_MISORDERED,
                 "token %#llx was handed out after token %#llx: tokens are to grow",
                 (unsigned long long)lease->token, (unsigned long long)job->newest);
    }
    return job->leases_count - 1;
}

void book_old_lease(struct job *job, uint64_t token, uint64_t incarnation, bool verdict)
{
    *add_lease(job) = (struct job_lease){.token = token, .agent = incarnation, .verdict = verdict};
}

static struct job_evidence *add_evidence(struct job *job)
{
    job->evidence = reserve(job->evidence, job->evidence_count, &job->evidence_capacity,
                            sizeof(*job->evidence));
    return &job->evidence[job->evidence_count++];
}

void book_old_evidence(struct job *job, uint64_t value, uint64_t token, uint32_t size)
{
    *add_evidence(job) =
        (struct job_evidence){.value = value, .token = token, .size = size, .fate = FATE_SENT};
}

uint32_t book_evidence(struct fleet *fleet, struct job *job, uint64_t token, uint32_t size)
{
    /* relaxed: only that no two are the same matters */
    const uint64_t value = add_relaxed(&fleet->values, 1);

    book_old_evidence(job, value, token, size);
    fleet_log(fleet, RECORD_SENDING, job, 0, size, value, token);
    return job->evidence_count - 1;
}

/* Whether somebody who is no agent may end the job. */
static bool may_be_ended(const struct job *job)
{
    for (; job != NULL; job = job->parent)
        if (load_acquire(&job->ends_early) != 0)
            return true;
    return false;
}

bool book_may_be_over(const struct job *job, const struct job_lease *lease, uint64_t now_ns)
{
    return lease->ended != 0 || lease->loose != 0 || lease->unknown != 0 ||
           now_ns >= lease->deadline_ns || job->newest > lease->token || may_be_ended(job);
}

void book_loosen(struct job *job, uint32_t lease)
{
    job->leases[lease].loose = 1;
}

void book_clear(struct job *job)
{
    job->owner = -1;
    job->newest = 0;
    job->leases_count = 0;
    job->evidence_count = 0;
}
