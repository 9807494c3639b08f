/*
 * replay_run.c - see replay_run.h.
 *
 * Virtual time: one thread turns all shards in a fixed order until none has anything left to do,
 * and then moves the clock to the next timer of any of them. An instant of the log takes no time,
 * however many messages it needs, so the schedule does not depend on the number of shards. The
 * grain of timers is then half a second (replay_machines.h says what the half is for).
 *
 * Real time: the shards run on threads of their own, by the system's clock. The clock itself is not
 * scaled, because a thread sleeps by it; instead the delays are divided, and the seconds in which
 * things happened are read back from the clock. So everything comes as late as a timer or a busy
 * processor makes it, times the speed.
 */
#include "replay_run.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <pawl/runtime.h>

#include "base/atomic.h"
#include "replay_machines.h"
#include "tool.h"

#define NS_PER_S        UINT64_C(1000000000)
#define VIRTUAL_TICK_NS (NS_PER_S / 2)
#define REAL_TICK_NS    UINT64_C(100000)

/* Events in flight: at worst all jobs arrive, start and end in one instant. */
#define INFLIGHT_LEAST   (1u << 20)
#define INFLIGHT_PER_JOB 4u

/* Turns in which nothing is handled although a timer is due: the wheel may sort that long. */
#define IDLE_TURNS_MAX 1000000u

struct replay {
    struct replay_plan *plan;
    const struct replay_request *request;
    struct pawl_machine *machines[REPLAY_MACHINES];
    struct pawl_virtual_clock *clock; /* NULL: real time */
    struct pawl_runtime *runtime;
};

/* ---- the runtime ---- */

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    const struct replay *replay = user;

    if (diagnostic->error)
        tool_fail(replay->request->command, "%s: %s", diagnostic->where, diagnostic->what);
}

/*
 * Every event of a replay has a task that waits for it; one that is not handled is the end of it.
 */
static void take_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct replay_plan *plan = user;
    uint64_t none = 0;

    cas_acq_rel(&plan->undelivered, &none, (uint64_t)-reason << 32 | (event->code + 1u));
}

static bool has_failed(const struct replay *replay)
{
    return load_acquire(&replay->plan->undelivered) != 0;
}

static int fail(const struct replay *replay, const char *what, int error)
{
    return tool_fail(replay->request->command, "%s: %s", what, pawl_strerror(error));
}

static int compile_machines(struct replay *replay)
{
    static const struct pawl_machine_def *const definitions[REPLAY_MACHINES] = {
        [REPLAY_MACHINE_PARTITION] = &replay_partition_machine,
        [REPLAY_MACHINE_JOB] = &replay_job_machine,
    };

    for (unsigned i = 0; i < REPLAY_MACHINES; i++) {
        const int error =
            pawl_machine_compile(definitions[i], show_diagnostic, replay, &replay->machines[i]);

        if (error)
            return fail(replay, "the replay's machines cannot be compiled", error);
    }
    return TOOL_OK;
}

static uint32_t inflight_max(const struct replay_plan *plan)
{
    const uint64_t wanted = (uint64_t)plan->count * INFLIGHT_PER_JOB + INFLIGHT_LEAST;

    return wanted < UINT32_MAX ? (uint32_t)wanted : UINT32_MAX;
}

static int open_runtime(struct replay *replay)
{
    const struct replay_request *request = replay->request;
    const struct pawl_machine *machines[REPLAY_MACHINES];
    struct pawl_options open = PAWL_OPTIONS_INIT;
    int error = 0;

    memcpy(machines, replay->machines, sizeof(machines));
    open.machines = machines;
    open.machine_count = REPLAY_MACHINES;
    open.shards = request->shards;
    open.seed = request->seed;
    open.inflight_max = inflight_max(replay->plan);
    open.user = replay->plan;
    open.on_undelivered = take_undelivered;
    open.diagnose = show_diagnostic;
    open.drive = PAWL_DRIVE_THREADS;
    open.tick_ns = REAL_TICK_NS;
    if (request->speed == 0) {
        open.drive = PAWL_DRIVE_HOST;
        open.tick_ns = VIRTUAL_TICK_NS;
        error = pawl_virtual_clock_create(0, &replay->clock);
        if (error)
            return fail(replay, "no clock", error);
        open.clock = pawl_virtual_clock_seam(replay->clock);
    }
    error = pawl_open(&open, &replay->runtime);
    if (error)
        return fail(replay, "the runtime cannot be opened", error);
    error = pawl_start(replay->runtime);
    return error ? fail(replay, "the runtime cannot be started", error) : TOOL_OK;
}

static uint64_t real_now_ns(void)
{
    return pawl_clock_monotonic.now_ns(pawl_clock_monotonic.user);
}

static int create_partition(struct replay *replay)
{
    const struct replay_partition_context context = {.free_processors = replay->plan->processors};
    const struct pawl_task_spec spec = {
        .machine = REPLAY_MACHINE_PARTITION,
        .shard = 0,
        .context = &context,
        .context_size = sizeof(context),
    };
    const int error = pawl_task_create(replay->runtime, &spec, &replay->plan->partition);

    return error ? fail(replay, "the partition cannot be created", error) : TOOL_OK;
}

/*
 * A job's number is the key of its task: whoever looks at a running replay finds the job by it. The
 * keys spread the jobs over the shards. They are created in the order in which they arrive, so in
 * real time the first may arrive while the last are still being made.
 */
static int create_jobs(struct replay *replay)
{
    const struct replay_plan *plan = replay->plan;

    for (uint32_t rank = 0; rank < plan->count; rank++) {
        const struct plan_job *job = &plan->jobs[rank];
        const struct replay_job_context context = {
            .number = job->number,
            .rank = rank,
            .run_s = job->run_s,
        };
        const struct pawl_task_spec spec = {
            .machine = REPLAY_MACHINE_JOB,
            .shard = PAWL_ANY_SHARD,
            .key = &context.number,
            .key_size = sizeof(context.number),
            .context = &context,
            .context_size = sizeof(context),
            .arg = {plan_time_ns(plan, job->submit_s)},
        };
        struct pawl_task task;
        const int error = pawl_task_create(replay->runtime, &spec, &task);

        if (error)
            return fail(replay, "a job's task cannot be created", error);
    }
    return TOOL_OK;
}

/* ---- virtual time ---- */

int replay_turn_until_idle(struct pawl_runtime *runtime)
{
    const unsigned shards = pawl_shard_count(runtime);
    bool busy = true;

    while (busy) {
        busy = false;
        for (unsigned i = 0; i < shards; i++) {
            const int handled = pawl_turn(runtime, i);

            if (handled < 0)
                return handled;
            busy |= handled > 0;
        }
    }
    return 0;
}

static uint64_t next_timer_ns(struct replay *replay)
{
    const unsigned shards = pawl_shard_count(replay->runtime);
    uint64_t earliest = UINT64_MAX;

    for (unsigned i = 0; i < shards; i++) {
        const uint64_t next = pawl_shard_next_timer_ns(replay->runtime, i);

        earliest = next < earliest ? next : earliest;
    }
    return earliest;
}

/* Until no timer is left: then either all jobs have ended or nothing can end them any more. */
static int run_virtual(struct replay *replay)
{
    unsigned idle_turns = 0;

    while (!has_failed(replay) && !replay->plan->broken) {
        const int error = replay_turn_until_idle(replay->runtime);

        if (error < 0)
            return fail(replay, "a shard does not turn", error);
        const uint64_t next = next_timer_ns(replay);

        if (next == UINT64_MAX)
            break;
        idle_turns = next > pawl_virtual_clock_now_ns(replay->clock) ? 0 : idle_turns + 1;
        if (idle_turns > IDLE_TURNS_MAX)
            return tool_fail(replay->request->command, "a timer that is due does not fire");
        pawl_virtual_clock_advance_to(replay->clock, next);
    }
    return TOOL_OK;
}

/* ---- real time ---- */

/* The partition ends with the last job; its handle is then stale, and nothing runs any more. */
static int run_real(struct replay *replay)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    struct pawl_view view = {0};

    while (!has_failed(replay) && replay->plan->count > 0) {
        const int error = pawl_task_peek(replay->runtime, replay->plan->partition, &view);

        if (error == -ESTALE)
            break;
        if (error)
            return fail(replay, "the partition cannot be looked at", error);
        nanosleep(&nap, NULL);
    }
    /* The shards' threads end here: what their steps wrote to the plan can be read from now on. */
    const int error = pawl_stop(replay->runtime);

    return error ? fail(replay, "the runtime cannot be stopped", error) : TOOL_OK;
}

/* ---- the replay ---- */

static int check_result(const struct replay *replay)
{
    const struct replay_request *request = replay->request;
    const struct replay_plan *plan = replay->plan;
    const uint64_t undelivered = load_acquire(&plan->undelivered);

    if (plan->broken) {
        const struct plan_job *job = &plan->jobs[plan->broken_rank];

        return tool_fail(request->command, "job %" PRIu64 " (line %" PRIu64 ") %s", job->number,
                         job->line, plan->broken);
    }
    if (undelivered)
        return tool_fail(request->command, "an event (code %u) was not handled: %s",
                         (unsigned)(undelivered & UINT32_MAX) - 1,
                         pawl_strerror(-(int)(undelivered >> 32)));
    for (uint32_t rank = 0; rank < plan->count; rank++) {
        if (plan->results[rank].end_s == UINT64_MAX)
            return tool_fail(request->command, "job %" PRIu64 " (line %" PRIu64 ") never ended",
                             plan->jobs[rank].number, plan->jobs[rank].line);
    }
    return TOOL_OK;
}

static void set_time(struct replay *replay)
{
    struct replay_plan *plan = replay->plan;
    const double speed = replay->request->speed;

    /* Second 0 is far enough ahead for the first arrivals to be armed in time. */
    plan->exact = speed == 0;
    plan->ns_per_s = plan->exact ? NS_PER_S : (uint64_t)((double)NS_PER_S / speed);
    plan->origin_ns = plan->exact ? NS_PER_S : real_now_ns() + NS_PER_S / 20;
}

static int run(struct replay *replay, struct replay_outcome *outcome)
{
    const uint64_t began_ns = real_now_ns();
    int code = compile_machines(replay);

    if (code == TOOL_OK)
        code = open_runtime(replay);
    if (code != TOOL_OK)
        return code;
    set_time(replay);
    code = create_partition(replay);
    if (code == TOOL_OK)
        code = create_jobs(replay);
    if (code == TOOL_OK)
        code = replay->plan->exact ? run_virtual(replay) : run_real(replay);
    if (code == TOOL_OK)
        code = check_result(replay);
    pawl_runtime_counters(replay->runtime, &outcome->counters);
    outcome->wall_s = (double)(real_now_ns() - began_ns) / (double)NS_PER_S;
    return code;
}

int replay_run(struct replay_plan *plan, const struct replay_request *request,
               struct replay_outcome *outcome)
{
    struct replay replay = {.plan = plan, .request = request};
    const int code = run(&replay, outcome);

    if (replay.runtime)
        pawl_close(replay.runtime);
    if (replay.clock)
        pawl_virtual_clock_destroy(replay.clock);
    for (unsigned i = 0; i < REPLAY_MACHINES; i++) {
        if (replay.machines[i])
            pawl_machine_destroy(replay.machines[i]);
    }
    return code;
}
