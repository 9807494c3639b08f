/*
 * replay_agents.c - see replay_agents.h.
 *
 * One thread plays all parts, in virtual time: an instant of the log is a round in which agents
 * report what ends, jobs arrive, and then, the lane having been paused until here, idle agents take
 * leases. The pause makes the order of a second that of the simulation: whoever arrives in it
 * competes by urgency, and not by who is told first.
 *
 * An agent learns what to do from the task's payload, as a real one would, and extends its lease
 * when half of it is over.
 */
#include "replay_agents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <pawl/pawl.h>

#include "base/atomic.h"
#include "replay_run.h"
#include "tool.h"

#define NS_PER_S UINT64_C(1000000000)
#define TICK_NS  (NS_PER_S / 2)
#define LEASE_S  UINT64_C(86400)

static const char lane_name[] = "jobs";

/* What a task is submitted with: all that an agent has to know. */
struct order {
    uint64_t number;
    uint32_t rank;
    uint32_t run_s;
};

struct worker {
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct order order;
    uint64_t busy_s;
    uint64_t end_ns;  /* of the job */
    uint64_t look_ns; /* when it does something: that, or an extension */
    bool idle;
};

struct replay {
    struct replay_plan *plan;
    const struct replay_agents_request *request;
    struct replay_agents_outcome *outcome;
    struct pawl_virtual_clock *clock;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct worker *workers;
    uint32_t opened;     /* of them */
    uint32_t *busy;      /* a heap of workers, by look_ns */
    uint32_t busy_count; /* of it */
    uint32_t *acting;    /* who reports in this round, and then who has ended a job in it */
    uint32_t acting_count;
    uint16_t *shards; /* of tasks, by rank */
    uint32_t submitted;
    uint32_t answered;
};

static int fail(const struct replay *replay, const char *what, int error)
{
    return tool_fail(replay->request->command, "%s: %s", what, pawl_strerror(error));
}

static int fail_job(const struct replay *replay, uint32_t rank, const char *what, int error)
{
    const struct plan_job *job = &replay->plan->jobs[rank];

    return tool_fail(replay->request->command, "job %" PRIu64 " (line %" PRIu64 ") %s: %s",
                     job->number, job->line, what, pawl_strerror(error));
}

/* ---- the runtime ---- */

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    const struct replay *replay = user;

    if (diagnostic->error)
        tool_fail(replay->request->command, "%s: %s", diagnostic->where, diagnostic->what);
}

static void take_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct replay *replay = user;
    uint64_t none = 0;

    cas_acq_rel(&replay->plan->undelivered, &none, (uint64_t)-reason << 32 | (event->code + 1u));
}

static int open_runtime(struct replay *replay)
{
    static const struct pawl_lane_def lane = {.name = lane_name, .lease_ns = LEASE_S * NS_PER_S};
    static const struct pawl_work_policy policy = {.name = "job", .attempts = 1};
    static const struct pawl_work_options work = {.policies = &policy, .policies_count = 1};
    struct pawl_options open = PAWL_OPTIONS_INIT;
    int error = pawl_virtual_clock_create(0, &replay->clock);

    if (error)
        return fail(replay, "no clock", error);
    open.shards = replay->request->shards;
    open.seed = replay->request->seed;
    open.drive = PAWL_DRIVE_HOST;
    open.tick_ns = TICK_NS;
    open.clock = pawl_virtual_clock_seam(replay->clock);
    open.lanes = &lane;
    open.lane_count = 1;
    open.work = &work;
    open.user = replay;
    open.on_undelivered = take_undelivered;
    open.diagnose = show_diagnostic;
    error = pawl_open(&open, &replay->runtime);
    if (error)
        return fail(replay, "the runtime cannot be opened", error);
    error = pawl_start(replay->runtime);
    if (error == 0)
        error = pawl_port_open(replay->runtime, NULL, &replay->port);
    return error ? fail(replay, "the runtime cannot be started", error) : TOOL_OK;
}

static int open_agents(struct replay *replay)
{
    static const char *const lanes[] = {lane_name};

    for (; replay->opened < replay->request->agents; replay->opened++) {
        struct worker *worker = &replay->workers[replay->opened];
        char name[PAWL_AGENT_NAME_MAX + 1];
        const struct pawl_agent_options options = {
            .name = name, .lanes = lanes, .lanes_count = 1, .reports = 1};
        int error;

        snprintf(name, sizeof(name), "agent-%" PRIu32, replay->opened);
        error = pawl_agent_open(replay->runtime, &options, &worker->agent);
        if (error)
            return fail(replay, "an agent cannot be opened", error);
        worker->idle = true;
        replay->acting[replay->acting_count++] = replay->opened;
    }
    return TOOL_OK;
}

static int turn(struct replay *replay)
{
    const int error = replay_turn_until_idle(replay->runtime);

    return error < 0 ? fail(replay, "a shard does not turn", error) : TOOL_OK;
}

/* ---- agents that work, by when they do something ---- */

static uint64_t look_ns(const struct replay *replay, uint32_t at)
{
    return replay->workers[replay->busy[at]].look_ns;
}

static void add_busy(struct replay *replay, uint32_t index)
{
    uint32_t at = replay->busy_count++;

    for (; at > 0 && replay->workers[index].look_ns < look_ns(replay, (at - 1) / 2);
         at = (at - 1) / 2)
        replay->busy[at] = replay->busy[(at - 1) / 2];
    replay->busy[at] = index;
}

static uint32_t take_busy(struct replay *replay)
{
    const uint32_t first = replay->busy[0], last = replay->busy[--replay->busy_count];
    uint32_t at = 0, child;

    while ((child = 2 * at + 1) < replay->busy_count) {
        if (child + 1 < replay->busy_count && look_ns(replay, child + 1) < look_ns(replay, child))
            child++;
        if (look_ns(replay, child) >= replay->workers[last].look_ns)
            break;
        replay->busy[at] = replay->busy[child];
        at = child;
    }
    replay->busy[at] = last;
    return first;
}

/* ---- a round: reports, arrivals, leases ---- */

static int report(struct replay *replay, uint32_t index, uint64_t now_ns)
{
    struct worker *worker = &replay->workers[index];
    const bool done = worker->end_ns <= now_ns;
    const struct pawl_report report = {.kind = done ? PAWL_REPORT_DONE : PAWL_REPORT_EXTEND,
                                       .value = done ? worker->order.number : 0};
    const int error = pawl_agent_report(worker->agent, &worker->lease, &report);

    replay->acting[replay->acting_count++] = index;
    return error ? fail_job(replay, worker->order.rank, "cannot be reported on", error) : TOOL_OK;
}

static void work_on(struct replay *replay, uint32_t index)
{
    struct worker *worker = &replay->workers[index];

    worker->look_ns += LEASE_S / 2 * NS_PER_S;
    if (worker->look_ns > worker->end_ns)
        worker->look_ns = worker->end_ns;
    add_busy(replay, index);
}

/* True: the job has ended. */
static bool take_receipt(struct replay *replay, uint32_t index, uint64_t now_ns, int *code)
{
    struct worker *worker = &replay->workers[index];
    const bool done = worker->end_ns <= now_ns;
    struct pawl_receipt receipt;
    int error = pawl_agent_receipts(worker->agent, &receipt, 1) == 1 ? receipt.status : -EAGAIN;

    if (error == 0 && done && receipt.state != PAWL_WORK_COMPLETED)
        error = -EPROTO;
    if (error) {
        *code = fail_job(replay, worker->order.rank, "was reported on in vain", error);
    } else if (done) {
        worker->idle = true;
        worker->busy_s += worker->order.run_s;
        replay->plan->results[worker->order.rank].end_s = plan_second(replay->plan, now_ns);
    } else {
        replay->outcome->extensions++;
        work_on(replay, index);
    }
    return done;
}

/* All whose time has come; left are those that have a free credit now. */
static int report_all(struct replay *replay, uint64_t now_ns)
{
    uint32_t ended = 0;
    int code = TOOL_OK;

    while (code == TOOL_OK && replay->busy_count > 0 && look_ns(replay, 0) <= now_ns)
        code = report(replay, take_busy(replay), now_ns);
    if (code == TOOL_OK && replay->acting_count > 0)
        code = turn(replay);
    for (uint32_t i = 0; i < replay->acting_count && code == TOOL_OK; i++) {
        const uint32_t index = replay->acting[i];

        if (replay->workers[index].idle || take_receipt(replay, index, now_ns, &code))
            replay->acting[ended++] = index;
    }
    replay->acting_count = ended;
    return code;
}

static int reap(struct replay *replay)
{
    struct pawl_completion completions[64];
    int count;

    while ((count = pawl_port_reap(replay->port, completions, 64)) > 0)
        for (int i = 0; i < count; i++) {
            if (completions[i].status)
                return fail_job(replay, completions[i].tag, "was not taken", completions[i].status);
            replay->shards[completions[i].tag] = (uint16_t)pawl_task_shard(completions[i].task);
            replay->answered++;
        }
    return TOOL_OK;
}

static int submit(struct replay *replay)
{
    const uint32_t rank = replay->submitted;
    const struct plan_job *job = &replay->plan->jobs[rank];
    const struct order order = {job->number, rank, job->run_s};
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;
    int error;

    spec.key = &job->number;
    spec.key_size = sizeof(job->number);
    spec.lane = lane_name;
    spec.priority = replay_agents_priority(replay->request->priority, job);
    spec.payload = &order;
    spec.payload_size = sizeof(order);
    while ((error = pawl_work_submit(replay->port, &spec, rank)) == -EAGAIN) {
        const int code = turn(replay);

        if (code != TOOL_OK || reap(replay) != TOOL_OK)
            return TOOL_FAILED;
    }
    replay->submitted++;
    return error ? fail_job(replay, rank, "cannot be submitted", error) : TOOL_OK;
}

/* What the lease is for, as its task says. */
static int read_order(struct replay *replay, struct worker *worker)
{
    char buffer[sizeof(struct order) + 64];
    struct pawl_work_detail detail;
    const struct plan_job *job;
    size_t size = sizeof(buffer);
    const int error =
        pawl_work_read_detail(replay->runtime, worker->lease.task, buffer, &size, &detail);

    if (error)
        return fail(replay, "a leased task cannot be read", error);
    if (detail.payload_size != sizeof(worker->order))
        return tool_fail(replay->request->command, "a leased task has another payload");
    memcpy(&worker->order, detail.payload, sizeof(worker->order));
    job = &replay->plan->jobs[worker->order.rank < replay->plan->count ? worker->order.rank : 0];
    if (job->number != worker->order.number || job->run_s != worker->order.run_s ||
        replay->plan->results[worker->order.rank].start_s != UINT64_MAX)
        return tool_fail(replay->request->command,
                         "job %" PRIu64 " was handed out wrongly, or twice", worker->order.number);
    return TOOL_OK;
}

static int start(struct replay *replay, struct worker *worker, uint64_t now_ns)
{
    const int code = read_order(replay, worker);
    const uint64_t second = plan_second(replay->plan, now_ns);

    if (code != TOOL_OK)
        return code;
    if (second + worker->order.run_s > PLAN_SECONDS_MAX)
        return fail_job(replay, worker->order.rank,
                        "would run beyond the time that can be represented", -EINVAL);
    replay->plan->results[worker->order.rank].start_s = second;
    replay->outcome->leases++;
    worker->idle = false;
    worker->end_ns = now_ns + worker->order.run_s * NS_PER_S;
    worker->look_ns = now_ns;
    work_on(replay, (uint32_t)(worker - replay->workers));
    return TOOL_OK;
}

/* The lane is paused: so nothing comes yet. */
static int grant(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->acting_count; i++) {
        struct worker *worker = &replay->workers[replay->acting[i]];
        const int count = pawl_agent_next(worker->agent, &worker->lease, 1, 0);

        if (count != 0)
            return fail(replay, "an agent has no use for its credit", count < 0 ? count : -EPROTO);
    }
    replay->acting_count = 0;
    return TOOL_OK;
}

/* As many as the lane says that it has handed out. */
static int take_leases(struct replay *replay, uint64_t now_ns)
{
    struct pawl_lane_status lane;
    const int error = pawl_lane_read(replay->runtime, lane_name, &lane);
    int code = TOOL_OK;

    if (error)
        return fail(replay, "the lane cannot be read", error);
    for (uint32_t i = 0; i < replay->opened && code == TOOL_OK; i++) {
        struct worker *worker = &replay->workers[i];

        if (replay->outcome->leases == lane.leases)
            return TOOL_OK;
        if (!worker->idle)
            continue;
        if (pawl_agent_next(worker->agent, &worker->lease, 1, 0) == 1)
            code = start(replay, worker, now_ns);
    }
    if (code == TOOL_OK && replay->outcome->leases != lane.leases)
        code = tool_fail(replay->request->command,
                         "%" PRIu64 " leases were handed out and %" PRIu64 " have arrived",
                         lane.leases, replay->outcome->leases);
    return code;
}

static int play(struct replay *replay, uint64_t now_ns)
{
    const struct replay_plan *plan = replay->plan;
    const uint32_t before = replay->submitted;
    int code = report_all(replay, now_ns);
    while (code == TOOL_OK && replay->submitted < plan->count &&
           plan_time_ns(plan, plan->jobs[replay->submitted].submit_s) <= now_ns)
        code = submit(replay);
    if (code == TOOL_OK && replay->submitted > before)
        code = turn(replay);
    if (code == TOOL_OK)
        code = reap(replay);
    if (code == TOOL_OK)
        code = grant(replay);
    pawl_lane_resume(replay->runtime, lane_name);
    if (code == TOOL_OK)
        code = turn(replay);
    if (code == TOOL_OK)
        code = take_leases(replay, now_ns);
    pawl_lane_pause(replay->runtime, lane_name, 0);
    if (code == TOOL_OK && load_acquire(&plan->undelivered) != 0)
        code = tool_fail(replay->request->command, "an event was not handled: %s",
                         pawl_strerror(-(int)(load_acquire(&plan->undelivered) >> 32)));
    return code;
}

static int play_all(struct replay *replay)
{
    const struct replay_plan *plan = replay->plan;
    int code = TOOL_OK;

    while (code == TOOL_OK && (replay->submitted < plan->count || replay->busy_count > 0)) {
        uint64_t next = UINT64_MAX;

        if (replay->submitted < plan->count)
            next = plan_time_ns(plan, plan->jobs[replay->submitted].submit_s);
        if (replay->busy_count > 0 && look_ns(replay, 0) < next)
            next = look_ns(replay, 0);
        pawl_virtual_clock_advance_to(replay->clock, next);
        code = play(replay, next);
    }
    return code;
}

/* ---- what came of it ---- */

/* The lane's own books say the same: nothing waits, expired, was lost or refused. */
static int check_lane(const struct replay *replay)
{
    struct pawl_lane_status lane;
    const int error = pawl_lane_read(replay->runtime, lane_name, &lane);

    if (error)
        return fail(replay, "the lane cannot be read", error);
    if (lane.ready != 0 || lane.leased != 0 || lane.expired != 0 || lane.lost != 0 ||
        lane.refused != 0 || lane.returned != 0 || lane.leases != replay->plan->count ||
        lane.good != replay->plan->count || replay->answered != replay->plan->count)
        return tool_fail(replay->request->command,
                         "of %" PRIu32 " jobs the lane has handed out %" PRIu64 ", %" PRIu64
                         " of them done; %" PRIu64 " are ready and %" PRIu64 " leased still; "
                         "%" PRIu64 " leases expired, %" PRIu64 " reports were refused",
                         replay->plan->count, lane.leases, lane.good, lane.ready, lane.leased,
                         lane.expired, lane.refused);
    return TOOL_OK;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static int measure(const struct replay *replay)
{
    const struct replay_plan *plan = replay->plan;
    struct replay_agents_outcome *outcome = replay->outcome;
    uint64_t *waits = malloc(((size_t)plan->count + 1) * sizeof(*waits));
    uint64_t makespan_s = 0;

    if (!waits)
        return tool_fail(replay->request->command, "out of memory");
    for (uint32_t i = 0; i < plan->count; i++) {
        waits[i] = plan->results[i].start_s - plan->jobs[i].submit_s;
        makespan_s = plan->results[i].end_s > makespan_s ? plan->results[i].end_s : makespan_s;
    }
    qsort(waits, plan->count, sizeof(*waits), by_value);
    if (plan->count > 0) { /* the smallest that so many are not above */
        outcome->median_wait_s = waits[(plan->count - 1) / 2];
        outcome->p95_wait_s = waits[((uint64_t)plan->count * 95 + 99) / 100 - 1];
    }
    free(waits);
    for (uint32_t i = 0; i < replay->opened && makespan_s > 0; i++) {
        const double use = (double)replay->workers[i].busy_s / (double)makespan_s;

        if (i == 0 || use < outcome->use_least)
            outcome->use_least = use;
        if (i == 0 || use > outcome->use_most)
            outcome->use_most = use;
    }
    return TOOL_OK;
}

/* ---- the replay ---- */

static uint64_t real_now_ns(void)
{
    return pawl_clock_monotonic.now_ns(pawl_clock_monotonic.user);
}

static int prepare(struct replay *replay)
{
    struct replay_plan *plan = replay->plan;

    plan->exact = true;
    plan->ns_per_s = NS_PER_S;
    plan->origin_ns = NS_PER_S;
    plan->processors = replay->request->agents;
    for (uint32_t i = 0; i < plan->count; i++)
        plan->jobs[i].processors = 1;
    replay->workers = calloc(replay->request->agents, sizeof(*replay->workers));
    replay->busy = calloc(replay->request->agents, sizeof(*replay->busy));
    replay->acting = calloc(replay->request->agents, sizeof(*replay->acting));
    replay->shards = calloc((size_t)plan->count + 1, sizeof(*replay->shards));
    if (!replay->workers || !replay->busy || !replay->acting || !replay->shards)
        return tool_fail(replay->request->command, "out of memory");
    return TOOL_OK;
}

static int run(struct replay *replay)
{
    const uint64_t began_ns = real_now_ns();
    int code = prepare(replay);

    if (code == TOOL_OK)
        code = open_runtime(replay);
    if (code == TOOL_OK)
        code = open_agents(replay);
    if (code == TOOL_OK)
        pawl_lane_pause(replay->runtime, lane_name, 0);
    if (code == TOOL_OK)
        code = play_all(replay);
    if (code == TOOL_OK)
        code = check_lane(replay);
    if (code == TOOL_OK) {
        pawl_runtime_counters(replay->runtime, &replay->outcome->counters);
        replay->outcome->wall_s = (double)(real_now_ns() - began_ns) / (double)NS_PER_S;
        code = replay_agents_check(replay->plan, replay->request, replay->shards);
    }
    return code == TOOL_OK ? measure(replay) : code;
}

/* True: it is over, however it went. */
static bool close_all(struct replay *replay)
{
    bool over = true;

    for (uint32_t i = 0; i < replay->opened; i++) {
        struct worker *worker = &replay->workers[i];

        if (worker->agent && pawl_agent_close(worker->agent, 0) == 0)
            worker->agent = NULL;
        over &= worker->agent == NULL;
    }
    if (replay->port && pawl_port_close(replay->port, 0) == 0)
        replay->port = NULL;
    return over && !replay->port;
}

int replay_agents_run(struct replay_plan *plan, const struct replay_agents_request *request,
                      struct replay_agents_outcome *outcome)
{
    struct replay replay = {.plan = plan, .request = request, .outcome = outcome};
    const unsigned tries = 1000;
    int code = run(&replay);

    for (unsigned i = 0; replay.runtime && i < tries && !close_all(&replay); i++)
        replay_turn_until_idle(replay.runtime);
    if (replay.runtime && pawl_close(replay.runtime) != 0 && code == TOOL_OK)
        code = tool_fail(request->command, "the runtime does not close");
    else if (replay.clock)
        pawl_virtual_clock_destroy(replay.clock);
    free(replay.workers);
    free(replay.busy);
    free(replay.acting);
    free(replay.shards);
    return code;
}
