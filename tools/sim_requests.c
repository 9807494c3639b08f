/*
 * sim_requests.c - what the simulated host asks for of work, through a port of its own: submissions
 * of every kind, graphs, dependencies, cancels, kicks, discards, other priorities; and lanes that
 * are paused and resumed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "sim_crew.h"
#include "sim_world.h"

#define MS UINT64_C(1000000)

static uint64_t dice(struct sim_world *world, uint64_t sides)
{
    return random_below(&world->random, sides);
}

/* A free entry's number, which is the tag; SIM_REQUESTS: there is none. */
static uint32_t spare(const struct sim_crew *crew)
{
    uint32_t i = 0;

    while (i < SIM_REQUESTS && crew->requests[i].kind != SIM_REQUEST_NONE)
        i++;
    return i;
}

/* A task that somebody was told of; NULL: none was found. */
static struct sim_job *some_job(struct sim_world *world)
{
    struct sim_jobs *jobs = world->model.jobs;

    for (unsigned tries = 0; tries < 16 && jobs->first < jobs->jobs_count; tries++) {
        struct sim_job *job =
            &jobs->jobs[jobs->first + dice(world, jobs->jobs_count - jobs->first)];

        if (sim_job_is_work(job) && job->alive && jobs->asked[job->uid].told)
            return job;
    }
    return NULL;
}

static bool is_waited_for(const struct sim_crew *crew, enum sim_request_kind kind, uint32_t job)
{
    for (uint32_t i = 0; i < SIM_REQUESTS; i++)
        if (crew->requests[i].kind == kind && crew->requests[i].job == job)
            return true;
    return false;
}

/* ---- submissions ---- */

static uint32_t unsettled(const struct sim_jobs *jobs)
{
    uint32_t count = 0;

    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++)
        count += jobs->jobs[i].alive && sim_job_is_work(&jobs->jobs[i]) &&
                 !sim_job_is_settled(&jobs->jobs[i]);
    return count;
}

/* Points into `plan` and `name`, which must outlive it. */
static struct pawl_work_spec some_spec(struct sim_world *world, uint32_t number,
                                       struct sim_plan *plan)
{
    static const char *const agents[SIM_AGENTS] = {"a0", "a1", "a2", "a3", "a4"};
    static uint32_t metadata[64];
    static const char payload[3000];
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;

    plan->lane = (uint32_t)dice(world, 2);
    plan->policy = (uint32_t)dice(world, SIM_POLICIES);
    plan->priority = (uint32_t)dice(world, 4);
    plan->flags = dice(world, 8) == 0 ? PAWL_WORK_HELD : 0;
    plan->flags |= dice(world, 16) == 0 ? PAWL_WORK_GROUP : 0;
    spec.lane = sim_lanes[plan->lane].name;
    spec.policy = plan->policy;
    spec.priority = plan->priority;
    spec.flags = plan->flags;
    spec.shard = (uint32_t)dice(world, world->options.shards);
    if (dice(world, 6) == 0)
        spec.delay_ns = 1 + dice(world, 12 * MS);
    if (dice(world, 12) == 0)
        spec.deadline_ns = 1 + dice(world, 60 * MS);
    plan->deadline = spec.deadline_ns != 0;
    if (dice(world, 8) == 0)
        spec.assignee = agents[dice(world, SIM_AGENTS)];
    if (dice(world, 6) == 0) {
        spec.payload = payload;
        spec.payload_size = (size_t)dice(world, sizeof(payload));
    }
    metadata[number % 64] = number;
    spec.metadata = &metadata[number % 64];
    spec.metadata_size = sizeof(number);
    return spec;
}

static void submit(struct sim_world *world)
{
    struct sim_jobs *jobs = world->model.jobs;
    const uint32_t tag = spare(&world->crew);
    struct pawl_task after[SIM_AFTER_MAX];
    struct pawl_work_spec spec;
    struct sim_plan *plan;
    uint32_t number;
    char key[16];
    int error;

    if (tag == SIM_REQUESTS || unsettled(jobs) >= SIM_JOBS_LIVE)
        return;
    number = sim_plan(jobs);
    plan = &jobs->plans[number];
    spec = some_spec(world, number, plan);
    if (dice(world, 3) == 0) {
        plan->key = 1 + (uint32_t)dice(world, 20);
        spec.key_size = (size_t)snprintf(key, sizeof(key), "w%" PRIu32, plan->key);
        spec.key = key;
    }
    for (uint64_t count = dice(world, 3) == 0 ? 1 + dice(world, SIM_AFTER_MAX) : 0; count > 0;
         count--) {
        const struct sim_job *job = some_job(world);

        if (job == NULL || job->state == PAWL_WORK_NEW || job->plan == 0)
            continue;
        after[plan->after_count] = (struct pawl_task){job->id};
        plan->after[plan->after_count++] = job->plan;
    }
    spec.after = after;
    spec.after_count = plan->after_count;
    if (dice(world, 3) == 0) {
        const struct sim_job *parent = some_job(world);

        plan->parent = parent != NULL ? parent->plan : 0;
        spec.parent.id = plan->parent != 0 ? parent->id : 0;
    }
    error = pawl_work_submit(world->crew.port, &spec, tag);
    /* What the model saw last may have been opened, or be gone, since. */
    if (error == 0)
        world->crew.requests[tag] =
            (struct sim_request){.kind = SIM_REQUEST_SUBMIT, .plan = number};
    else if (error != -EAGAIN && error != -ESTALE && !world->dead)
        sim_fail(&world->model, "ids", "a submission is refused: %s", pawl_strerror(error));
    jobs->count.submitted += error == 0;
}

/*
 * All tasks are made at once, on this thread: one on each shard, so that none makes two frames. Nobody
 * is told that they are durable.
 */
static void graph(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    struct sim_jobs *jobs = model->jobs;
    const uint32_t count = world->options.shards;
    struct pawl_work_spec specs[SIM_SHARDS_MAX];
    struct pawl_work_edge edges[2 * SIM_SHARDS_MAX], cycle;
    struct pawl_task tasks[SIM_SHARDS_MAX];
    const bool circle = dice(world, 6) == 0;
    uint32_t numbers[SIM_SHARDS_MAX];
    size_t edges_count = 0;
    int error;

    if (count < 2 || unsettled(jobs) >= SIM_JOBS_LIVE || world->failed_count > 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = sim_plan(jobs);
        specs[i] = some_spec(world, numbers[i], &jobs->plans[numbers[i]]);
        specs[i].shard = i;
        jobs->plans[numbers[i]].graph = true;
        if (i == 0)
            continue;
        edges[edges_count] = (struct pawl_work_edge){.task = i, .after = (uint32_t)dice(world, i)};
        jobs->plans[numbers[i]].after[0] = numbers[edges[edges_count].after];
        jobs->plans[numbers[i]].after_count = 1;
        edges_count++;
    }
    if (circle)
        edges[edges_count++] = (struct pawl_work_edge){.task = 0, .after = count - 1};
    error = pawl_work_graph(world->runtime, specs, count, edges, edges_count, tasks, &cycle);
    /* The last task waits, over the others, for the first: with that edge there is a circle. */
    if (circle && error != -EINVAL)
        sim_fail(model, "after", "a graph with a circle is not refused");
    for (uint32_t i = 0; i < count && !circle; i++) {
        struct pawl_store_status status = {.frames = 0};

        sim_turn_begin(model, i, sim_world_now(world));
        if (world->options.store)
            pawl_shard_store(world->runtime, i, &status);
        sim_turn_end(model, status.frames, true);
    }
    /* Where there was no room for all, those that were made are cancelled and thrown away. */
    for (uint32_t i = 0; i < count && error != 0; i++) {
        struct sim_asked *asked = &jobs->asked[jobs->plans[numbers[i]].job];

        asked->cancel = asked->discard = true;
    }
    if (error != 0 && error != -EAGAIN && error != -EIO && error != -ENOSPC && !circle &&
        !world->dead)
        sim_fail(model, "ids", "a graph is refused: %s", pawl_strerror(error));
    jobs->count.graphs += error == 0;
}

/* ---- events ---- */

static void ask(struct sim_world *world, enum sim_request_kind kind)
{
    struct sim_jobs *jobs = world->model.jobs;
    const uint32_t tag = spare(&world->crew);
    const struct sim_job *job = some_job(world);
    struct pawl_port *port = world->crew.port;
    struct sim_asked *asked;
    struct pawl_task task;
    int error = 0;

    if (tag == SIM_REQUESTS || job == NULL)
        return;
    asked = &jobs->asked[job->uid];
    task = (struct pawl_task){job->id};
    switch (kind) {
    case SIM_REQUEST_OPEN:
        if (is_waited_for(&world->crew, SIM_REQUEST_AFTER, job->uid))
            return;
        asked->open = true;
        error = pawl_work_open(port, task, tag);
        break;
    case SIM_REQUEST_CANCEL:
        error = pawl_work_cancel(port, task, dice(world, 2) == 0, tag);
        asked->cancel = true;
        break;
    case SIM_REQUEST_KICK:
        error = pawl_work_kick(port, task, tag);
        asked->kick = true;
        break;
    case SIM_REQUEST_DISCARD:
        error = pawl_work_discard(port, task, tag);
        asked->discard = true;
        break;
    case SIM_REQUEST_PRIORITISE:
        error = pawl_work_prioritise(port, task, (uint32_t)dice(world, 6), tag);
        break;
    default:
        error = pawl_work_watch(port, task, tag);
        break;
    }
    if (error == 0)
        world->crew.requests[tag] = (struct sim_request){.kind = (uint8_t)kind, .job = job->uid};
    else if (error != -EAGAIN && !world->dead)
        sim_fail(&world->model, "ids", "the host cannot ask for work: %s", pawl_strerror(error));
}

/* A task that is held, and that nobody has opened, waits for one more. */
static void after(struct sim_world *world)
{
    struct sim_jobs *jobs = world->model.jobs;
    const uint32_t tag = spare(&world->crew);
    const struct sim_job *job = NULL, *first = some_job(world);
    struct pawl_task other;
    struct sim_plan *plan;
    int error;

    for (uint32_t i = jobs->first; i < jobs->jobs_count && job == NULL; i++)
        if (jobs->jobs[i].alive && sim_job_is_work(&jobs->jobs[i]) &&
            jobs->jobs[i].state == PAWL_WORK_NEW && jobs->asked[i].told && !jobs->asked[i].open)
            job = &jobs->jobs[i];
    if (tag == SIM_REQUESTS || job == NULL || first == NULL || first->state == PAWL_WORK_NEW ||
        first->plan == 0 || is_waited_for(&world->crew, SIM_REQUEST_AFTER, job->uid))
        return;
    plan = &jobs->plans[job->plan];
    if (plan->after_count == SIM_AFTER_MAX)
        return;
    other = (struct pawl_task){first->id};
    error = pawl_work_after(world->crew.port, (struct pawl_task){job->id}, &other, 1, tag);
    if (error != 0)
        return;
    plan->after[plan->after_count++] = first->plan;
    world->crew.requests[tag] =
        (struct sim_request){.kind = SIM_REQUEST_AFTER, .plan = job->plan, .job = job->uid};
}

void sim_requests_open_all(struct sim_world *world)
{
    struct sim_jobs *jobs = world->model.jobs;

    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++) {
        const struct sim_job *job = &jobs->jobs[i];
        const uint32_t tag = spare(&world->crew);

        if (!job->alive || !sim_job_is_work(job) || job->state != PAWL_WORK_NEW ||
            tag == SIM_REQUESTS || is_waited_for(&world->crew, SIM_REQUEST_AFTER, i) ||
            is_waited_for(&world->crew, SIM_REQUEST_OPEN, i))
            continue;
        if (pawl_work_open(world->crew.port, (struct pawl_task){job->id}, tag) == 0)
            world->crew.requests[tag] = (struct sim_request){.kind = SIM_REQUEST_OPEN, .job = i};
    }
}

static void switch_lane(struct sim_world *world)
{
    struct sim_jobs *jobs = world->model.jobs;
    const uint32_t lane = (uint32_t)dice(world, SIM_LANES);

    if (dice(world, 2) == 0) {
        const uint64_t for_ns = dice(world, 3) == 0 ? 0 : 1 + dice(world, 30 * MS);

        pawl_lane_pause(world->runtime, sim_lanes[lane].name, for_ns);
        jobs->paused[lane] = true;
        jobs->pause_ns[lane] = for_ns == 0 ? UINT64_MAX : sim_world_now(world) + for_ns;
    } else {
        pawl_lane_resume(world->runtime, sim_lanes[lane].name);
        jobs->paused[lane] = false;
    }
}

void sim_request_act(struct sim_world *world)
{
    const uint64_t what = dice(world, 100);

    if (what < 58)
        submit(world);
    else if (what < 64)
        graph(world);
    else if (what < 70)
        ask(world, SIM_REQUEST_OPEN);
    else if (what < 75)
        after(world);
    else if (what < 79)
        ask(world, SIM_REQUEST_CANCEL);
    else if (what < 85)
        ask(world, SIM_REQUEST_KICK);
    else if (what < 88)
        ask(world, SIM_REQUEST_DISCARD);
    else if (what < 92)
        ask(world, SIM_REQUEST_PRIORITISE);
    else if (what < 96)
        ask(world, SIM_REQUEST_WATCH);
    else
        switch_lane(world);
}

/* ---- answers ---- */

static const char *const request_names[] = {"",     "submission", "opening",  "after", "cancel",
                                            "kick", "discard",    "priority", "watch"};

static bool has_version(const struct sim_job *job, const void *arg)
{
    return job->born && job->version >= *(const uint32_t *)arg;
}

static bool is_gone(const struct sim_job *job, const void *arg)
{
    (void)arg;
    return job->born && !job->alive;
}

static bool is_settled(const struct sim_job *job, const void *arg)
{
    (void)arg;
    return job->settled;
}

static void answered(struct sim_model *model, const struct sim_request *request,
                     const struct pawl_completion *said)
{
    const struct sim_job *job = &model->jobs->jobs[request->job];

    if (request->kind == SIM_REQUEST_CANCEL && job->alive && job->state != PAWL_WORK_CANCELLED)
        sim_fail(model, "settled", "task %" PRIx64 " was cancelled, and is %s", job->id,
                 pawl_work_state_name(job->state));
    if (request->kind == SIM_REQUEST_DISCARD && job->alive)
        sim_fail(model, "settled", "task %" PRIx64 " was discarded, and is there", job->id);
    if (request->kind == SIM_REQUEST_WATCH && !job->settled)
        sim_fail(model, "settled", "task %" PRIx64 " is said to be settled, and is %s", job->id,
                 pawl_work_state_name(job->state));
    model->acknowledged++;
    if (request->kind == SIM_REQUEST_DISCARD)
        sim_job_known(model, job, is_gone, NULL);
    else
        sim_job_known(model, job, has_version, &said->version);
}

static void heard(struct sim_world *world, const struct pawl_completion *said)
{
    struct sim_model *model = &world->model;
    struct sim_request *request = &world->crew.requests[said->tag % SIM_REQUESTS];
    const struct sim_job *job = &model->jobs->jobs[request->job];
    const struct sim_request of = *request;

    if (model->failed || model->frozen)
        return;
    if (said->tag >= SIM_REQUESTS || of.kind == SIM_REQUEST_NONE) {
        sim_fail(model, "letters", "a completion came that nobody waits for: tag %" PRIu32,
                 said->tag);
        return;
    }
    if (model->log != NULL)
        fprintf(model->log, "      %s of job %" PRIu32 " (%" PRIx64 "): %s\n",
                request_names[of.kind], of.job, said->task.id,
                said->status == 0 ? "done" : pawl_strerror(said->status));
    request->kind = SIM_REQUEST_NONE;
    if (of.kind == SIM_REQUEST_AFTER && said->status != 0)
        model->jobs->plans[of.plan].after_count--;
    if (said->status == -EIO || said->status == -ECANCELED) { /* nobody knows */
        if (of.kind == SIM_REQUEST_AFTER)
            model->jobs->plans[of.plan].vague = true;
        return;
    }
    if (of.kind == SIM_REQUEST_SUBMIT) {
        sim_plan_told(model, of.plan, said);
    } else if (said->status == 0) {
        answered(model, &of, said);
    } else if (said->status == -ESTALE) {
        if (job->alive)
            sim_fail(model, "forgotten", "task %" PRIx64 " is said to be gone, and is there",
                     job->id);
        sim_job_known(model, job, is_gone, NULL);
    } else if (of.kind == SIM_REQUEST_CANCEL && said->status == -EALREADY) {
        if (!job->settled)
            sim_fail(model, "settled", "task %" PRIx64 " is said to be settled, and is not",
                     job->id);
        sim_job_known(model, job, is_settled, NULL);
    }
}

void sim_requests_reap(struct sim_world *world)
{
    struct pawl_completion completions[32];
    int count;

    do {
        count = pawl_port_reap(world->crew.port, completions, ARRAY_LEN(completions));
        for (int i = 0; i < count; i++)
            heard(world, &completions[i]);
    } while (count == (int)ARRAY_LEN(completions));
}
