/*
 * stress_agents_request.c - requesters: each has jobs of its own, and takes every one from its
 * submission to its end (stress_agents.h explains the method).
 *
 *   free -> submitted -> made -> watched -> settled -> checked -> discarded -> gone -> free
 *                                  ^           |            settled -> fading -> gone
 *                                  +- kicked <-+
 *
 * A job goes from settled to checked when no agent has anything to say about it any more, and when
 * no other job's books look at it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress_agents_log.h"

#define SWEEP 64u /* jobs looked at in a turn */
#define REAP  128u

static bool chance(struct requester *r, unsigned permille)
{
    return random_below(&r->random, 1000) < permille;
}

/* --- jobs --- */

struct job *requester_begin(struct requester *r)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct job *job = &r->jobs[random_below(&r->random, r->jobs_count)];

        if (job->phase != JOB_FREE)
            continue;
        pthread_mutex_lock(&job->lock);
        job->generation++;
        book_clear(job);
        pthread_mutex_unlock(&job->lock);
        job_plan(r->fleet, job, &r->random);
        /* relaxed: the submission, or its lock, makes it known */
        store_relaxed(&job->ends_early, job->deadline_ns != 0);
        store_relaxed(&job->hurried, 0);
        job->kicks = job->cancel_posted = job->cancel_accepted = job->tree = job->under_way = 0;
        job->opening = 0;
        job->dependents = 0;
        job->id = 0;
        return job;
    }
    return NULL;
}

struct job *requester_pick(struct requester *r)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct job *job = &r->jobs[random_below(&r->random, r->jobs_count)];

        if ((job->phase == JOB_WATCHED || job->phase == JOB_SETTLED) &&
            !(job->flags & JOB_IS_BRIEF) && job->kicks == 0 && !job->opening)
            return job;
    }
    return NULL;
}

void requester_depend(struct job *job, struct job *other)
{
    for (unsigned i = 0; i < job->after_count; i++)
        if (job->after[i] == other)
            return;
    if (job->after_count == FLEET_AFTER)
        return;
    job->after[job->after_count++] = other;
    other->dependents++;
}

/* What it had to do with others is over. */
static void let_go(struct job *job)
{
    for (unsigned i = 0; i < job->after_count; i++)
        job->after[i]->dependents--;
    if (job->parent != NULL)
        job->parent->dependents--;
}

void requester_drop(struct requester *r, struct job *job)
{
    (void)r;
    let_go(job);
    job->phase = JOB_FREE;
}

/* --- submitting --- */

static void relate(struct requester *r, struct job *job)
{
    if (job->policy == FLEET_SHORT)
        return;
    if (chance(r, 200)) {
        const uint64_t count = 1 + random_below(&r->random, FLEET_AFTER);

        for (uint64_t i = 0; i < count; i++) {
            struct job *other = requester_pick(r);

            if (other != NULL)
                requester_depend(job, other);
        }
        if (job->after_count > 0 && chance(r, 100)) {
            job->flags |= JOB_IS_GROUP;
            job->assignee = 0;
        }
    }
    if (chance(r, 80)) {
        job->parent = requester_pick(r);
        if (job->parent != NULL)
            job->parent->dependents++;
    }
}

/* A graph's tasks are let go of a little after they can be seen. */
static bool is_before_its_time(const struct job *job)
{
    for (unsigned i = 0; i < job->after_count; i++)
        if (job->after[i]->flags & JOB_IN_GRAPH)
            return true;
    return false;
}

/* False: there is no room for it now. */
static bool submit(struct requester *r)
{
    struct fleet *fleet = r->fleet;
    struct job *job = requester_begin(r);

    if (job == NULL)
        return false;
    relate(r, job);
    job->opening = (job->flags & JOB_IS_HELD) != 0;
    job->submitted_ns = fleet_now();
    job_specify(job, &r->spec);
    fleet_log_begun(fleet, job);
    const int rc = fleet_wants(fleet, PLANT_LOSE)
                       ? 0
                       : pawl_work_submit(r->port, &r->spec.spec, job_tag_of(r, job, TAG_CREATE));
    if (rc != 0) {
        const bool early = rc == -EBUSY && is_before_its_time(job);

        requester_drop(r, job);
        if (rc != -EAGAIN && !early)
            job_find(fleet, job, FINDING_UNEXPLAINED, "it cannot be submitted: %s",
                     pawl_strerror(rc));
        return false;
    }
    job->phase = JOB_SUBMITTED;
    r->alive++;
    add_relaxed(&fleet->submitted, 1); /* relaxed: only for people */
    return true;
}

/* --- what is next for a job --- */

static bool is_quiet(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    const bool quiet = job->refs == 0;
    pthread_mutex_unlock(&job->lock);
    return quiet;
}

static void free_job(struct requester *r, struct job *job)
{
    struct pawl_task found;
    char key[64];

    if (job->flags & JOB_IS_KEYED &&
        pawl_task_find(r->fleet->runtime, key, job_key(job, key), &found) != -ENOENT)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it is gone, and its key is found");
    fleet_log(r->fleet, RECORD_GONE, job, 0, 0, 0, 0);
    job->phase = JOB_FREE;
    r->alive--;
}

/* Posts something about a job, whose completion is to come. */
static bool posted(struct requester *r, struct job *job, int rc, const char *what)
{
    if (rc == 0)
        job->under_way++;
    else if (rc != -EAGAIN)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be %s: %s", what,
                 pawl_strerror(rc));
    return rc == 0;
}

static void watch(struct requester *r, struct job *job)
{
    if (job->opening == 1 &&
        posted(r, job, pawl_work_open(r->port, job_task(job), job_tag_of(r, job, TAG_OPEN)),
               "opened"))
        job->opening = 2;
    const int rc = pawl_work_watch(r->port, job_task(job), job_tag_of(r, job, TAG_WATCH));
    if (rc == 0)
        job->phase = JOB_WATCHED;
    else if (rc != -EAGAIN)
        job_find(r->fleet, job, FINDING_LOST, "it cannot be watched: %s", pawl_strerror(rc));
}

/* All that its ledger looks at is known. */
static bool is_told(const struct job *job)
{
    for (unsigned i = 0; i < job->after_count; i++)
        if (job->after[i]->phase < JOB_SETTLED)
            return false;
    return true;
}

static void look(struct requester *r, struct job *job)
{
    if (job->dependents > 0 || job->under_way > 0 || !is_told(job) || !is_quiet(job))
        return;
    job_check(r->fleet, job);
    if (job->kicks < 2 && job->policy != FLEET_MEAGRE &&
        (job->outcome == PAWL_WORK_FAILED || job->outcome == PAWL_WORK_DEAD) && chance(r, 200) &&
        !fleet_is_ending(r->fleet)) {
        /* Whoever had it has it no more; and it is not put off again. */
        pthread_mutex_lock(&job->lock);
        job->owner = -1;
        job->delay_ns = 0;
        pthread_mutex_unlock(&job->lock);
        job->kicks++;
        fleet_log(r->fleet, RECORD_KICKING, job, 0, 0, 0, 0);
        if (posted(r, job, pawl_work_kick(r->port, job_task(job), job_tag_of(r, job, TAG_KICK)),
                   "kicked"))
            job->phase = JOB_KICKED;
        else
            job->kicks--;
        return;
    }
    let_go(job);
    pthread_mutex_lock(&job->lock); /* an agent that was late may look at what it waited for */
    job->after_count = 0;
    job->parent = NULL;
    pthread_mutex_unlock(&job->lock);
    job->phase = JOB_CHECKED;
    /* relaxed: read after the threads were joined */
    add_relaxed(&r->fleet->task_leases, job->handed_out);
    add_relaxed(&r->fleet->task_expired, job->expired);
    add_relaxed(&r->fleet->task_lost, job->lost);
}

static void fade(struct requester *r, struct job *job)
{
    struct pawl_work_view view;

    if (pawl_work_read(r->fleet->runtime, job_task(job), &view) == -ESTALE) {
        let_go(job);
        job->phase = JOB_GONE;
    } else if (fleet_now() - job->settled_ns > fleet_settle_ns(r->fleet)) {
        job_find(r->fleet, job, FINDING_LOST, "it is kept longer than its policy says");
        job->phase = JOB_GONE;
    }
}

/* True: something was done. */
static bool advance(struct requester *r, struct job *job)
{
    const uint8_t before = job->phase;

    switch ((enum job_phase)job->phase) {
    case JOB_MADE:
        watch(r, job);
        break;
    case JOB_SETTLED:
        look(r, job);
        break;
    case JOB_CHECKED:
        fleet_log(r->fleet, RECORD_DISCARDING, job, 0, 0, 0, 0);
        if (posted(r, job,
                   pawl_work_discard(r->port, job_task(job), job_tag_of(r, job, TAG_DISCARD)),
                   "discarded"))
            job->phase = JOB_DISCARDED;
        break;
    case JOB_FADING:
        fade(r, job);
        break;
    case JOB_GONE:
        if (job->under_way == 0 && job->dependents == 0 && is_quiet(job))
            free_job(r, job);
        break;
    case JOB_FREE:
    case JOB_SUBMITTED:
    case JOB_WATCHED:
    case JOB_KICKED:
    case JOB_DISCARDED:
        break;
    }
    return job->phase != before;
}

/* --- completions --- */

static void created(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    if (job->phase != JOB_SUBMITTED) {
        job_find(r->fleet, job, FINDING_DUPLICATED, "its creation completed twice");
        return;
    }
    if (c->status != 0) {
        job_find(r->fleet, job, FINDING_LOST, "its creation failed: %s", pawl_strerror(c->status));
        let_go(job);
        job->phase = JOB_GONE;
        return;
    }
    pthread_mutex_lock(&job->lock);
    job->id = c->task.id;
    pthread_mutex_unlock(&job->lock);
    fleet_log(r->fleet, RECORD_MADE, job, 0, 0, job->id, 0);
    if (c->value != c->task.id)
        job_find(r->fleet, job, FINDING_TORN, "its creation says id %#llx",
                 (unsigned long long)c->value);
    job->phase = JOB_MADE;
}

static void settled(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    struct fleet *fleet = r->fleet;

    if (job->phase != JOB_WATCHED) {
        job_find(fleet, job, FINDING_DUPLICATED, "it was told twice that it has settled");
        return;
    }
    if (c->status == -ESTALE && job->flags & JOB_IS_BRIEF &&
        (job->flags & JOB_IS_RESUMED ||
         fleet_now() - job->submitted_ns > fleet_policies[job->policy].keep_ns)) {
        job->phase = JOB_GONE; /* it had settled, and was gone, before the watch came */
        return;
    }
    if (c->status != 0 || c->value < PAWL_WORK_COMPLETED || c->value > PAWL_WORK_DEAD)
        job_find(fleet, job, FINDING_LOST, "its watch says %llu: %s", (unsigned long long)c->value,
                 pawl_strerror(c->status));
    job->outcome = (uint8_t)c->value;
    fleet_log(fleet, RECORD_SETTLED, job, job->outcome, 0, 0, 0);
    job->settled_ns = fleet_now();
    job->phase = job->flags & JOB_IS_BRIEF ? JOB_FADING : JOB_SETTLED;
    /* relaxed: only for people */
    add_relaxed(&fleet->settled, 1);
    if (c->value < PAWL_WORK_STATES)
        add_relaxed(&fleet->outcomes[c->value], 1);
}

static void discarded(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    struct pawl_work_view view;

    if (c->status != 0)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be discarded: %s",
                 pawl_strerror(c->status));
    else if (pawl_work_read(r->fleet->runtime, job_task(job), &view) != -ESTALE)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it was discarded, and can be read");
    job->phase = JOB_GONE;
}

/* Let go of, after all that may have been done to it meanwhile. */
static void opened(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    job->opening = 0;
    if (c->status != 0 &&
        !(c->status == -EPROTO && (load_acquire(&job->ends_early) || job->parent != NULL ||
                                   job->after_count > 0 || job->flags & JOB_IS_BRIEF)))
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be opened: %s",
                 pawl_strerror(c->status));
}

/* What it waits for has not completed; or its parent has been cancelled with its tree meanwhile. */
static bool may_refuse_kick(const struct job *job, int status)
{
    const bool forgot = job->flags & JOB_IS_RESUMED; /* what it waits for, and whose child it is */

    return (status == -EPERM && (forgot || job->after_count > 0)) ||
           (status == -EPROTO && (forgot || job->parent != NULL));
}

static void kicked(struct requester *r, struct job *job, const struct pawl_completion *c)
{
    if (may_refuse_kick(job, c->status)) {
        job->kicks--;
        job->phase = JOB_SETTLED;
        return;
    }
    if (c->status != 0)
        job_find(r->fleet, job, FINDING_UNEXPLAINED, "it cannot be kicked: %s",
                 pawl_strerror(c->status));
    job->phase = JOB_MADE;
    add_relaxed(&r->fleet->submitted, 1); /* relaxed: only for people: it is to settle again */
}

static void complete(struct requester *r, const struct pawl_completion *c)
{
    const enum job_tag tag = (enum job_tag)(c->tag >> JOB_TAG_SHIFT);
    const uint32_t index = c->tag & ((1u << JOB_TAG_SHIFT) - 1);
    struct job *job = index < r->jobs_count ? &r->jobs[index] : NULL;

    if (job == NULL || job->phase == JOB_FREE) {
        stress_find(r->fleet->s, FINDING_DUPLICATED,
                    "requester %u has a completion (tag %#x) that it does not wait for", r->number,
                    c->tag);
        return;
    }
    if (tag != TAG_CREATE && tag != TAG_WATCH && job->under_way-- == 0)
        job_find(r->fleet, job, FINDING_DUPLICATED, "a completion (kind %d) came twice", (int)tag);
    switch (tag) {
    case TAG_CREATE:
        created(r, job, c);
        break;
    case TAG_WATCH:
        settled(r, job, c);
        break;
    case TAG_OPEN:
        opened(r, job, c);
        break;
    case TAG_KICK:
        kicked(r, job, c);
        break;
    case TAG_DISCARD:
        discarded(r, job, c);
        break;
    case TAG_CANCEL:
    case TAG_HURRY:
    case TAG_TWICE:
        requester_disturbed(r, job, tag, c);
        break;
    }
}

static unsigned reap(struct requester *r)
{
    struct pawl_completion completions[REAP];
    const int count = pawl_port_reap(r->port, completions, REAP);

    for (int i = 0; i < count; i++)
        complete(r, &completions[i]);
    add_relaxed(&r->fleet->completions, (uint64_t)count); /* relaxed: only for people */
    return (unsigned)count;
}

/* --- the threads --- */

static bool turn(struct requester *r)
{
    const bool stopping = load_acquire(&r->fleet->stopping) != 0;
    unsigned done = reap(r);

    for (uint32_t i = 0; i < SWEEP && i < r->jobs_count; i++) {
        done += advance(r, &r->jobs[r->sweep]);
        r->sweep = r->sweep + 1 < r->jobs_count ? r->sweep + 1 : 0;
    }
    for (unsigned i = 0; i < 8 && !stopping && submit(r); i++)
        done++;
    if (!stopping && chance(r, 300))
        requester_disturb(r);
    return done > 0;
}

static void find_lost(struct requester *r)
{
    static const char *const phases[] = {"free",   "submitted", "made",      "watched", "settled",
                                         "kicked", "checked",   "discarded", "fading",  "gone"};

    for (uint32_t i = 0; i < r->jobs_count; i++) {
        struct job *job = &r->jobs[i];
        struct pawl_work_view view = {.state = PAWL_WORK_STATES};

        if (job->phase == JOB_FREE)
            continue;
        const int rc = pawl_work_read(r->fleet->runtime, job_task(job), &view);
        job_find(
            r->fleet, job, FINDING_LOST,
            "it does not come to its end: it is %s, its task is %s (%s; waits for %u), %u jobs "
            "look at it, agents have %u words to say, %u completions are to come",
            phases[job->phase], pawl_work_state_name(view.state), pawl_strerror(rc),
            view.work.waits, job->dependents, job->refs, job->under_way);
    }
}

static void *requester_main(void *argument)
{
    struct requester *r = argument;
    uint64_t moved_ns = fleet_now();

    for (;;) {
        const bool stopping = load_acquire(&r->fleet->stopping) != 0;

        if (stopping && r->alive == 0)
            break;
        if (turn(r)) {
            moved_ns = fleet_now();
        } else {
            if (pawl_port_wait(r->port, MILLISECOND) != 0)
                stress_nap(MILLISECOND / 4); /* nothing may be outstanding */
            if (r->alive > 0 && fleet_now() - moved_ns > fleet_settle_ns(r->fleet)) {
                find_lost(r);
                break;
            }
        }
        if (fleet_is_abandoned(r->fleet))
            break;
    }
    store_release(&r->finished, 1);
    return NULL;
}

static int open_one(struct fleet *fleet, unsigned number)
{
    struct requester *r = &fleet->requesters[number];
    const uint32_t each = fleet->jobs_count / fleet->requesters_count;
    uint64_t completions = round_up_power_of_two((uint64_t)each * 4);

    r->fleet = fleet;
    r->number = number;
    r->random.state = mix64(fleet->s->options.seed + number);
    r->jobs = fleet->jobs + (size_t)each * number;
    r->jobs_count = each;
    for (uint32_t i = 0; i < each; i++)
        r->alive += r->jobs[i].phase != JOB_FREE;
    if (completions < 1024)
        completions = 1024;
    const struct pawl_port_options options = {.capacity = 1024,
                                              .completions = (uint32_t)completions};
    return pawl_port_open(fleet->runtime, &options, &r->port);
}

int requesters_open(struct fleet *fleet)
{
    int rc = 0;

    fleet->requesters =
        aligned_alloc(CACHE_LINE, fleet->requesters_count * sizeof(*fleet->requesters));
    if (fleet->requesters == NULL)
        return -ENOMEM;
    memset(fleet->requesters, 0, fleet->requesters_count * sizeof(*fleet->requesters));
    for (unsigned i = 0; i < fleet->requesters_count && rc == 0; i++)
        rc = open_one(fleet, i);
    return rc;
}

int requesters_start(struct fleet *fleet)
{
    int rc = 0;

    for (unsigned i = 0; i < fleet->requesters_count && rc == 0; i++) {
        struct requester *r = &fleet->requesters[i];

        rc = -pthread_create(&r->thread, NULL, requester_main, r);
        r->started = rc == 0;
    }
    return rc;
}

bool requesters_finished(struct fleet *fleet)
{
    bool finished = true;

    for (unsigned i = 0; i < fleet->requesters_count; i++)
        finished &= load_acquire(&fleet->requesters[i].finished) != 0;
    return finished;
}

void requesters_join(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->requesters != NULL && i < fleet->requesters_count; i++) {
        if (fleet->requesters[i].started)
            pthread_join(fleet->requesters[i].thread, NULL);
        fleet->requesters[i].started = false;
    }
}

void requesters_close(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->requesters != NULL && i < fleet->requesters_count; i++)
        if (fleet->requesters[i].port != NULL)
            stress_close_port(fleet->s, fleet->requesters[i].port);
    free(fleet->requesters);
}
