/*
 * stress_agents_mischief.c - what requesters do to their jobs besides submitting them
 * (stress_agents.h explains the method): cancel them, with and without their tree, hurry them, take
 * their key again, and declare graphs, of which some are no graphs.
 */
#include <errno.h>
#include <stdlib.h>

#include "stress_agents_log.h"

#define GRAPH 6u

static bool chance(struct requester *r, unsigned permille)
{
    return random_below(&r->random, 1000) < permille;
}

static struct job *any_watched(struct requester *r)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct job *job = &r->jobs[random_below(&r->random, r->jobs_count)];

        if (job->phase == JOB_WATCHED)
            return job;
    }
    return NULL;
}

static bool posted(struct requester *r, struct job *job, int rc, const char *what)
{
    if (rc == 0)
        job->under_way++;
    else if (rc != -EAGAIN)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be %s: %s", what,
                 pawl_strerror(rc));
    return rc == 0;
}

static void cancel(struct requester *r, struct job *job)
{
    const bool tree = chance(r, 500);

    if (job->cancel_posted)
        return;
    store_release(&job->ends_early, 1); /* before any agent can be told that it has ended */
    if (!posted(r, job,
                pawl_work_cancel(r->port, job_task(job), tree, job_tag_of(r, job, TAG_CANCEL)),
                "cancelled"))
        return;
    job->cancel_posted = 1;
    job->tree = tree;
}

static void hurry(struct requester *r, struct job *job)
{
    const uint32_t priority = (uint32_t)random_below(&r->random, 4);

    store_release(&job->hurried, 1);
    (void)posted(
        r, job,
        pawl_work_prioritise(r->port, job_task(job), priority, job_tag_of(r, job, TAG_HURRY)),
        "hurried");
}

/* Its key again, for another. */
static void take_key(struct requester *r, struct job *job)
{
    if (!(job->flags & JOB_IS_KEYED) || job->flags & JOB_IS_BRIEF)
        return;
    job_specify(job, &r->spec);
    r->spec.spec.after_count = 0;
    r->spec.spec.parent = PAWL_NO_TASK;
    (void)posted(r, job, pawl_work_submit(r->port, &r->spec.spec, job_tag_of(r, job, TAG_TWICE)),
                 "submitted again");
}

/* --- graphs --- */

static void refuse_cycle(struct requester *r, struct pawl_work_spec *specs)
{
    struct pawl_work_edge edges[] = {{1, 0}, {2, 1}, {3, 2}, {1, 3}};
    struct pawl_work_edge cycle = {UINT32_MAX, UINT32_MAX};
    struct pawl_task tasks[4];
    bool named = false;

    const int rc = pawl_work_graph(r->fleet->runtime, specs, 4, edges, 4, tasks, &cycle);
    for (unsigned i = 1; i < ARRAY_LEN(edges); i++)
        named |= cycle.task == edges[i].task && cycle.after == edges[i].after;
    if (rc != -EINVAL || !named)
        stress_find(r->fleet->s, FINDING_UNEXPLAINED,
                    "a graph with a cycle was answered %s, and names %u after %u",
                    pawl_strerror(rc), cycle.task, cycle.after);
}

/* Some edges, never from an earlier job to a later one. */
static size_t draw_edges(struct requester *r, struct job **jobs, unsigned count,
                         struct pawl_work_edge *edges)
{
    size_t drawn = 0;

    for (unsigned i = 1; i < count; i++)
        for (unsigned k = 0; k < FLEET_AFTER && k < i; k++) {
            const unsigned after = (unsigned)random_below(&r->random, i);
            const unsigned before = jobs[i]->after_count;

            if (!chance(r, 500))
                continue;
            requester_depend(jobs[i], jobs[after]);
            if (jobs[i]->after_count > before)
                edges[drawn++] = (struct pawl_work_edge){.task = i, .after = after};
        }
    return drawn;
}

static void declare(struct requester *r)
{
    struct job_spec *specs = malloc(GRAPH * sizeof(*specs));
    struct pawl_work_spec given[GRAPH];
    struct pawl_work_edge edges[GRAPH * FLEET_AFTER];
    struct pawl_work_edge cycle;
    struct pawl_task tasks[GRAPH];
    struct job *jobs[GRAPH];
    unsigned count = 0;

    if (specs == NULL)
        return;
    for (struct job *job; count < GRAPH && (job = requester_begin(r)) != NULL; count++) {
        if (job->policy == FLEET_SHORT) { /* others may look at it after it has gone */
            job->policy = FLEET_USUAL;
            job->lane = FLEET_WORK;
        }
        job->flags = (uint8_t)((job->flags & ~(JOB_IS_HELD | JOB_IS_BRIEF)) | JOB_IN_GRAPH);
        job->submitted_ns = fleet_now();
        job->phase = JOB_SUBMITTED;
        r->alive++;
        jobs[count] = job;
        job_specify(job, &specs[count]);
        fleet_log_begun(r->fleet, job);
        given[count] = specs[count].spec;
    }
    if (count == GRAPH && chance(r, 200))
        refuse_cycle(r, given);
    const size_t edges_count = draw_edges(r, jobs, count, edges);
    const int rc = count == 0 ? 0
                              : pawl_work_graph(r->fleet->runtime, given, count, edges, edges_count,
                                                tasks, &cycle);
    if (rc != 0)
        stress_find(r->fleet->s, FINDING_UNEXPLAINED, "a graph cannot be declared: %s",
                    pawl_strerror(rc));
    for (unsigned i = 0; i < count; i++) {
        if (rc != 0) {
            requester_drop(r, jobs[i]);
            r->alive--;
            continue;
        }
        pthread_mutex_lock(&jobs[i]->lock);
        jobs[i]->id = tasks[i].id;
        pthread_mutex_unlock(&jobs[i]->lock);
        jobs[i]->phase = JOB_MADE;
        fleet_log(r->fleet, RECORD_MADE, jobs[i], 0, 0, jobs[i]->id, 0);
        add_relaxed(&r->fleet->submitted, 1); /* relaxed: only for people */
    }
    free(specs);
}

void requester_disturb(struct requester *r)
{
    const uint64_t dice = random_below(&r->random, 100);
    struct job *job = any_watched(r);

    if (dice < 2)
        declare(r);
    else if (job == NULL || job->kicks > 0)
        return;
    else if (dice < 30)
        cancel(r, job);
    else if (dice < 70)
        hurry(r, job);
    else
        take_key(r, job);
}

/* --- what came of it --- */

static bool is_settled(const struct job *job)
{
    return job->phase >= JOB_SETTLED;
}

static void cancelled(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    if (c->status == 0) {
        job->cancel_accepted = 1;
        fleet_log(r->fleet, RECORD_CANCELLED, job, 0, 0, 0, 0);
        if (c->state != PAWL_WORK_CANCELLED)
            job_find(r->fleet, job, FINDING_CONTRADICTED, "it was cancelled, and is %s",
                     pawl_work_state_name(c->state));
    } else if (c->status != -EALREADY && !(c->status == -ESTALE && job->flags & JOB_IS_BRIEF)) {
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be cancelled: %s",
                 pawl_strerror(c->status));
    }
}

void requester_disturbed(struct requester *r, struct job *job, enum job_tag tag,
                         const struct pawl_completion *c)
{
    if (tag == TAG_CANCEL) {
        cancelled(r, job, c);
    } else if (tag == TAG_HURRY) {
        /* -EPROTO: it has settled meanwhile; that may not have been told yet. */
        if (c->status != 0 && c->status != -EPROTO &&
            !(c->status == -ESTALE && job->flags & JOB_IS_BRIEF))
            job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be hurried: %s",
                     pawl_strerror(c->status));
    } else if (c->status != -EEXIST || c->task.id != job->id) {
        job_find(r->fleet, job, FINDING_DUPLICATED,
                 "its key was taken again: %s, task %#llx; it is %s", pawl_strerror(c->status),
                 (unsigned long long)c->task.id, is_settled(job) ? "settled" : "not settled");
    }
}
