#include "sim_jobs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define BY_ID_CAPACITY (4u * SIM_JOBS_MAX)
#define MS             UINT64_C(1000000)

/* ---- the lanes and policies of every simulated runtime with work ---- */

static int check(void *user, struct pawl_task task, const struct pawl_work *work,
                 const struct pawl_reported *report)
{
    (void)user, (void)task, (void)work;
    return report->value % SIM_VERDICT_BAD == 0 ? -EBADMSG : 0;
}

const struct pawl_lane_def sim_lanes[SIM_LANES] = {
    {.name = "plain", .lease_ns = 20 * MS, .weight = 3},
    {.name = "aged",
     .lease_ns = 8 * MS,
     .age_ns = 3 * MS,
     .concurrency = 3,
     .breaker_failures = 6,
     .breaker_probes = 2,
     .breaker_ns = 12 * MS},
    {.name = "check", .lease_ns = 15 * MS},
};

const struct pawl_work_policy sim_policies[SIM_POLICIES] = {
    {.name = "plain", .attempts = 3, .crashes = 2, .keep_ns = 400 * MS, .notes_max = 6},
    {.name = "once",
     .attempts = 1,
     .keep_ns = 60 * MS,
     .keep_dead_ns = 200 * MS,
     .broken = PAWL_WORK_BROKEN_CANCEL},
    {.name = "looked at",
     .attempts = 2,
     .crashes = 3,
     .backoff_ns = 4 * MS,
     .backoff_max_ns = 10 * MS,
     .jitter = PAWL_WORK_JITTER_EQUAL,
     .keep_ns = 300 * MS,
     .keep_dead_ns = 300 * MS,
     .verify = PAWL_WORK_VERIFY_LANE,
     .verify_lane = "check",
     .broken = PAWL_WORK_BROKEN_GO_ON},
    {.name = "measured",
     .attempts = 4,
     .backoff_ns = 1 * MS,
     .not_retried = 1 << 2,
     .keep_ns = 200 * MS,
     .verify = PAWL_WORK_VERIFY_HOST,
     .check = check},
};

uint32_t sim_lane_of(uint32_t number)
{
    for (uint32_t i = 0; i < SIM_LANES; i++)
        if (pawl_lane_number(sim_lanes[i].name) == number)
            return i;
    return SIM_LANE_NONE;
}

/* ---- tables ---- */

int sim_jobs_create(struct sim_jobs **out)
{
    struct sim_jobs *jobs = calloc(1, sizeof(*jobs));

    if (jobs == NULL)
        return -ENOMEM;
    jobs->jobs = calloc(SIM_JOBS_MAX, sizeof(*jobs->jobs));
    jobs->asked = calloc(SIM_JOBS_MAX, sizeof(*jobs->asked));
    jobs->seen_token = calloc(SIM_JOBS_MAX, sizeof(*jobs->seen_token));
    jobs->by_id = calloc(BY_ID_CAPACITY, sizeof(*jobs->by_id));
    jobs->walk = 1;
    jobs->walk_mark = calloc(SIM_JOBS_MAX, sizeof(*jobs->walk_mark));
    jobs->plans = calloc(SIM_PLANS_MAX, sizeof(*jobs->plans));
    if (jobs->jobs == NULL || jobs->asked == NULL || jobs->seen_token == NULL ||
        jobs->by_id == NULL || jobs->plans == NULL || jobs->walk_mark == NULL) {
        sim_jobs_destroy(jobs);
        return -ENOMEM;
    }
    jobs->jobs_count = 1;
    jobs->first = 1;
    jobs->plans_count = 1;
    jobs->leases_count = 1;
    jobs->reports_count = 1;
    *out = jobs;
    return 0;
}

void sim_jobs_destroy(struct sim_jobs *jobs)
{
    if (jobs == NULL)
        return;
    for (unsigned i = 0; i < SIM_SHARDS_MAX; i++)
        free(jobs->log[i].entries);
    free(jobs->changed);
    free(jobs->agents);
    free(jobs->reports);
    free(jobs->leases);
    free(jobs->plans);
    free(jobs->by_id);
    free(jobs->walk_mark);
    free(jobs->seen_token);
    free(jobs->asked);
    free(jobs->jobs);
    free(jobs);
}

/* Room for one more. */
void *sim_jobs_grow(void *entries, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return entries;
    *capacity = 2 * *capacity + 256;
    entries = realloc(entries, *capacity * size);
    if (entries == NULL)
        abort();
    return entries;
}

static uint32_t *by_id(struct sim_jobs *jobs, uint64_t id)
{
    uint32_t at = (uint32_t)sim_mix(id, 1) % BY_ID_CAPACITY;

    while (jobs->by_id[at] != 0 && jobs->jobs[jobs->by_id[at]].id != id)
        at = (at + 1) % BY_ID_CAPACITY;
    return &jobs->by_id[at];
}

struct sim_job *sim_job_by_id(struct sim_jobs *jobs, uint64_t id)
{
    const uint32_t uid = *by_id(jobs, id);

    return uid == 0 ? NULL : &jobs->jobs[uid];
}

/* ---- before-images ---- */

static void keep(struct sim_model *model, struct sim_job *job)
{
    struct sim_shard *shard = &model->shard[model->turning];
    struct sim_job_log *log = &model->jobs->log[model->turning];

    if (job->touched == shard->turns_count + 1)
        return;
    if (log->count == log->capacity) {
        log->capacity = 2 * log->capacity + 256;
        log->entries = realloc(log->entries, log->capacity * sizeof(*log->entries));
        if (log->entries == NULL)
            abort();
    }
    log->entries[log->count++] = (struct sim_job_before){.turn = shard->turns_count, .job = *job};
    job->touched = shard->turns_count + 1;
}

void sim_job_known(struct sim_model *model, const struct sim_job *job, sim_job_holds_fn *holds,
                   const void *arg)
{
    const struct sim_job_log *log = &model->jobs->log[job->shard];

    if (!model->store || model->frozen)
        return;
    for (size_t i = log->count; i-- > 0;) {
        const struct sim_job_before *before = &log->entries[i];

        if (before->job.uid != job->uid || holds(&before->job, arg))
            continue;
        if (model->log != NULL && before->turn > model->shard[job->shard].floor)
            fprintf(model->log,
                    "      somebody knows of job %" PRIu32 ": turn %" PRIu64 " of shard %" PRIu32
                    " must survive\n",
                    job->uid, before->turn, job->shard);
        sim_raise_floor(model, job->shard, before->turn);
        return;
    }
}

/* ---- looking ---- */

static uint64_t key_hash(const struct pawl_view *view)
{
    uint64_t hash = view->key_size;

    for (uint32_t i = 0; i < view->key_size && i < sizeof(view->key); i++)
        hash = (hash ^ (unsigned char)view->key[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* A lease's deadline is told on the clock of the process. */
uint64_t sim_jobs_hash(const struct pawl_view *view)
{
    uint64_t words[SIM_CONTEXT_WORDS];
    const size_t size = view->context_size < sizeof(words) ? view->context_size : sizeof(words);

    memcpy(words, view->context, size);
    if (view->machine == SIM_WORK)
        words[offsetof(struct pawl_claim, deadline_ns) / 8] = 0;
    return sim_hash_of(view->task.id, view->machine, view->state, view->version,
                       (uint32_t)key_hash(view), sim_context_hash(words, size));
}

static struct sim_job *new_job(struct sim_model *model, const struct pawl_view *view)
{
    struct sim_jobs *jobs = model->jobs;
    uint32_t *at = by_id(jobs, view->task.id);
    struct sim_job *job;

    if (jobs->jobs_count == SIM_JOBS_MAX) {
        fputs("pawl sim: too much work for one run; use fewer steps\n", stderr);
        exit(EXIT_FAILURE);
    }
    if (*at != 0 && jobs->asked[*at].told)
        sim_fail(model, "ids", "a new task has the id %" PRIx64 ", which somebody knows as another",
                 view->task.id);
    job = &jobs->jobs[jobs->jobs_count];
    job->uid = jobs->jobs_count++;
    job->id = view->task.id;
    job->machine = view->machine;
    job->shard = pawl_task_shard(view->task);
    *at = job->uid;
    return job;
}

static void note(struct sim_model *model, const struct sim_job *before, const struct sim_job *job)
{
    sim_note_job(model, &(struct sim_trace_step){
                            .job = job->uid,
                            .id = job->id,
                            .version = job->version,
                            .attempts = job->work.attempts,
                            .token = job->work.claim.token,
                            .from = (uint16_t)(before->alive ? before->state : PAWL_WORK_STATES),
                            .to = (uint16_t)(job->alive ? job->state : PAWL_WORK_STATES)});
}

/* What a job was before it is looked at anew. */
static void change(struct sim_model *model, struct sim_job *job)
{
    struct sim_jobs *jobs = model->jobs;

    keep(model, job);
    jobs->changed = sim_jobs_grow(jobs->changed, jobs->changed_count, &jobs->changed_capacity,
                                  sizeof(*jobs->changed));
    jobs->changed[jobs->changed_count++] = *job;
    job->changed = model->shard[model->turning].turns_count;
}

static void look(struct sim_job *job, const struct pawl_view *view, bool kicked)
{
    job->alive = true;
    job->born = true;
    job->state = view->state;
    job->version = view->version;
    job->hash = sim_jobs_hash(view);
    if (!sim_job_is_work(job))
        return;
    memcpy(&job->work, view->context, sizeof(job->work));
    /*
     * At once: others of this turn may go by it. A task that is kicked in the turn in which it has
     * failed is never seen settled.
     */
    job->settled |= sim_job_is_settled(job) || kicked;
    job->completed |= job->state == PAWL_WORK_COMPLETED;
    job->failed |= (sim_job_is_settled(job) && job->state != PAWL_WORK_COMPLETED) || kicked;
}

void sim_jobs_seen(struct sim_model *model, const struct pawl_view *view)
{
    const uint32_t uid = *by_id(model->jobs, view->task.id);
    struct sim_job *job = &model->jobs->jobs[uid];

    if (uid == 0 || !job->alive)
        job = new_job(model, view);
    model->jobs->walk_mark[job->uid] = model->jobs->walk;
    if (job->alive && job->version == view->version && job->hash == sim_jobs_hash(view))
        return;
    if (job->alive && (job->version == view->version || job->machine != view->machine))
        sim_fail(model, "steps", "task %" PRIx64 " has changed without a step", job->id);
    change(model, job);
    model->shard[model->turning].hash -= job->alive ? job->hash : 0;
    look(job, view, model->jobs->asked[job->uid].kick);
    model->shard[model->turning].hash += job->hash;
}

static void look_for_gone(struct sim_model *model)
{
    struct sim_jobs *jobs = model->jobs;

    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        struct sim_job *job = &jobs->jobs[i];

        if (!job->alive || job->shard != model->turning || jobs->walk_mark[i] == jobs->walk)
            continue;
        change(model, job);
        job->alive = false;
        /* Settled and thrown away in one turn: how it was settled nobody has seen. */
        if (!sim_job_is_settled(job))
            job->settled = job->completed = job->failed = true;
        model->shard[model->turning].hash -= job->hash;
    }
    jobs->walk++;
}

void sim_jobs_turned(struct sim_model *model)
{
    struct sim_jobs *jobs = model->jobs;

    look_for_gone(model);
    for (uint32_t i = 0; i < jobs->changed_count && !model->failed; i++) {
        const struct sim_job *before = &jobs->changed[i];
        struct sim_job *job = &jobs->jobs[before->uid];

        if (!sim_job_is_work(job))
            continue;
        note(model, before, job);
        sim_job_changed(model, before, job);
    }
    sim_jobs_check_order(model);
    jobs->changed_count = 0;
    jobs->granted_count = 0;
}

/* ---- the way back ---- */

void sim_jobs_go_back(struct sim_model *model, unsigned shard, size_t turn)
{
    struct sim_job_log *log = &model->jobs->log[shard];

    while (log->count > 0 && log->entries[log->count - 1].turn > turn) {
        const struct sim_job_before *before = &log->entries[--log->count];

        model->jobs->jobs[before->job.uid] = before->job;
    }
    log->count = 0;
    model->jobs->turned[shard] = false;
}

/* What came to nothing: the leases of turns that are lost, and the ends of others. */
static void recover_leases(struct sim_model *model)
{
    struct sim_jobs *jobs = model->jobs;

    for (uint32_t i = 1; i < jobs->leases_count; i++) {
        struct sim_lease *lease = &jobs->leases[i];
        const size_t turns = model->shard[jobs->jobs[lease->job].shard].turns_count;

        if (lease->turn != UINT64_MAX && lease->turn >= turns)
            lease->job = 0;
        if (lease->end != SIM_END_NOT && lease->end_turn >= turns && lease->job != 0)
            lease->end = SIM_END_NOT;
        /* Turn numbers begin anew: those that are left are of a turn that is left. */
    }
}

/* A lease has left what it had left, or a little less. */
static void recover_deadline(struct sim_model *model, struct sim_job *job, uint64_t now_ns,
                             uint64_t crash_ns)
{
    struct pawl_work work;
    struct pawl_view view = {.context = &work, .context_capacity = sizeof(work)};
    const uint64_t deadline = job->work.claim.deadline_ns;
    const uint64_t left = deadline > crash_ns ? deadline - crash_ns : 0;

    if (pawl_task_peek(model->runtime, (struct pawl_task){job->id}, &view) != 0 ||
        view.state != job->state || view.version != job->version) {
        sim_fail(model, "prefix", "work task %" PRIx64 " did not come back as it was", job->id);
        return;
    }
    if (sim_job_is_held(job) && left > 0 &&
        work.claim.deadline_ns + 2 * SIM_TICK_NS < now_ns + left)
        sim_fail(model, "leases",
                 "the lease of task %" PRIx64 " had %.3f ms left, and has %.3f ms after recovery",
                 job->id, (double)left / 1e6,
                 ((double)work.claim.deadline_ns - (double)now_ns) / 1e6);
    job->work.claim.deadline_ns = work.claim.deadline_ns;
}

static void check_keys(struct sim_model *model)
{
    const struct sim_jobs *jobs = model->jobs;

    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        const struct sim_job *job = &jobs->jobs[i];
        const uint32_t key = job->plan != 0 ? jobs->plans[job->plan].key : 0;
        struct pawl_task found;
        char text[16];

        if (!job->alive || key == 0)
            continue;
        snprintf(text, sizeof(text), "w%" PRIu32, key);
        if (pawl_task_find(model->runtime, text, strlen(text), &found) != 0 || found.id != job->id)
            sim_fail(model, "ids", "key %s does not lead to work task %" PRIx64 " any more", text,
                     job->id);
    }
}

void sim_jobs_recovered(struct sim_model *model, uint64_t now_ns, uint64_t crash_ns)
{
    struct sim_jobs *jobs = model->jobs;

    recover_leases(model);
    memset(jobs->recovered, 0, sizeof(jobs->recovered));
    while (jobs->first < jobs->jobs_count && !jobs->jobs[jobs->first].alive)
        jobs->first++;
    for (uint32_t i = 1; i < jobs->jobs_count; i++) {
        struct sim_job *job = &jobs->jobs[i];

        job->touched = 0;
        job->changed = 0;
        job->settled_ns = UINT64_MAX; /* how long it has stayed so nobody knows any more */
        if (!job->alive || !sim_job_is_work(job))
            continue;
        recover_deadline(model, job, now_ns, crash_ns);
        if (sim_job_is_held(job) && sim_lane_of(job->work.claim.lane) < SIM_LANES)
            jobs->recovered[sim_lane_of(job->work.claim.lane)]++;
    }
    for (uint32_t i = 1; i < jobs->plans_count; i++) {
        struct sim_plan *plan = &jobs->plans[i];

        if (plan->job != 0 && !jobs->jobs[plan->job].born)
            plan->job = 0; /* it was never made */
    }
    for (uint32_t i = 0; i < jobs->agents_count; i++)
        jobs->agents[i].fate = SIM_AGENT_BEFORE;
    memset(jobs->paused, 0, sizeof(jobs->paused));
    check_keys(model);
    sim_jobs_check_notes(model);
}
