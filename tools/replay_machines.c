/*
 * replay_machines.c - see replay_machines.h.
 *
 * A step may be given up and tried again, but the partition's queue lies in the plan, outside of
 * what a step can take back. It is safe all the same, because nothing there is ever changed, only
 * found out: the handle of a job that has arrived, and the seconds in which it starts and ends, are
 * written to places of that job's own, and writing them again writes over what an undone step left
 * there. What a step decides by, the head of the queue and the free processors, is in the context
 * and is committed with the step.
 */
#include "replay_machines.h"

#include <errno.h>
#include <pawl/step.h>

/* Fewer than the 256 effects that a step may have. */
#define STARTS_A_STEP 128

enum { JOB_ARRIVE, JOB_START, JOB_END };
enum { JOB_TIMER_ARRIVAL, JOB_TIMER_RUN };

enum {
    PARTITION_ARRIVED, /* arg[0] the job's rank, arg[1] its handle */
    PARTITION_ENDED,   /* arg[0] the job's rank */
    PARTITION_DECIDE,
    PARTITION_MORE,
    PARTITION_EMPTIED,
};
enum { PARTITION_TIMER_DECIDE };

static struct replay_plan *plan_of(const struct pawl_step *step)
{
    return pawl_step_user(step);
}

/* A delay that ends when a second of the log begins. */
static uint64_t delay_until(const struct pawl_step *step, uint64_t time_ns)
{
    const uint64_t now_ns = pawl_step_now_ns(step);

    return time_ns > now_ns ? time_ns - now_ns : 0;
}

/* ---- the job ---- */

static void job_submitted(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_arm(step, JOB_TIMER_ARRIVAL, delay_until(step, event->arg[0]));
}

static void job_tell(struct pawl_step *step, const struct replay_job_context *job, uint16_t code)
{
    const struct pawl_event event = {
        .task = plan_of(step)->partition,
        .code = code,
        .arg = {job->rank, pawl_step_task(step).id},
    };

    pawl_step_post(step, &event);
}

static void job_arrive(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    job_tell(step, context, PARTITION_ARRIVED);
}

/*
 * The end is set by the clock, not by a delay from here: the decision comes half a second into the
 * second it counts for. A job that takes no time ends in this very step.
 */
static void job_start(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct replay_job_context *job = context;

    job->start_s = event->arg[0];
    if (job->run_s == 0)
        pawl_step_raise(step, JOB_END, 0, 0);
    else
        pawl_step_arm(step, JOB_TIMER_RUN,
                      delay_until(step, plan_time_ns(plan_of(step), job->start_s + job->run_s)));
}

static void job_end(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    job_tell(step, context, PARTITION_ENDED);
}

static const char *const job_events[] = {
    [JOB_ARRIVE] = "arrive", [JOB_START] = "start", [JOB_END] = "end"};

static const char *const job_start_raises[] = {"end", NULL};

static const struct pawl_state_def job_states[] = {
    {.name = "submitted", .entry = job_submitted},
    {.name = "queued"},
    {.name = "running"},
    {.name = "completed", .flags = PAWL_STATE_FINAL},
};

static const struct pawl_transition_def job_transitions[] = {
    {.from = "submitted", .on = "arrive", .to = "queued", .action = job_arrive},
    {.from = "queued",
     .on = "start",
     .to = "running",
     .action = job_start,
     .raises = job_start_raises},
    {.from = "running", .on = "end", .to = "completed", .action = job_end},
};

static const struct pawl_timer_def job_timers[] = {
    [JOB_TIMER_ARRIVAL] = {.name = "arrival", .event = "arrive"},
    [JOB_TIMER_RUN] = {.name = "run", .event = "end"},
};

const struct pawl_machine_def replay_job_machine = {
    .name = "replay-job",
    .events = job_events,
    .events_count = sizeof(job_events) / sizeof(job_events[0]),
    .states = job_states,
    .states_count = sizeof(job_states) / sizeof(job_states[0]),
    .transitions = job_transitions,
    .transitions_count = sizeof(job_transitions) / sizeof(job_transitions[0]),
    .timers = job_timers,
    .timers_count = sizeof(job_timers) / sizeof(job_timers[0]),
    .context_size = sizeof(struct replay_job_context),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};

/* ---- the partition ---- */

static uint64_t this_second(const struct pawl_step *step)
{
    return plan_second(plan_of(step), pawl_step_now_ns(step));
}

/* The first thing found wrong is what is reported; the replay ends soon after. */
static void break_plan(struct replay_plan *plan, uint32_t rank, const char *what)
{
    if (!plan->broken) {
        plan->broken = what;
        plan->broken_rank = rank;
    }
}

static void join_queue(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct replay_partition_context *partition = context;
    struct replay_plan *plan = plan_of(step);
    const uint32_t rank = (uint32_t)event->arg[0];
    const uint64_t second = this_second(step);

    if (plan->exact && (plan->jobs[rank].submit_s != second || partition->decided > second))
        break_plan(plan, rank, "arrived at the partition too late for its second");
    plan->arrived[rank] = (struct pawl_task){event->arg[1]};
}

static void leave(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct replay_partition_context *partition = context;
    struct replay_plan *plan = plan_of(step);
    const uint32_t rank = (uint32_t)event->arg[0];
    const struct plan_job *job = &plan->jobs[rank];
    struct plan_result *result = &plan->results[rank];

    result->end_s = this_second(step);
    if (plan->exact && result->end_s != result->start_s + job->run_s)
        break_plan(plan, rank, "did not end when its run time was over");
    partition->free_processors += job->processors;
    partition->ended++;
    if (partition->ended == plan->count)
        pawl_step_raise(step, PARTITION_EMPTIED, 0, 0);
}

static void start_job(struct pawl_step *step, struct replay_plan *plan, uint32_t rank,
                      uint64_t second)
{
    const struct pawl_event event = {
        .task = plan->arrived[rank],
        .code = JOB_START,
        .arg = {second, 0},
    };

    plan->results[rank].start_s = second;
    pawl_step_post(step, &event);
}

static bool head_fits(const struct replay_plan *plan,
                      const struct replay_partition_context *partition)
{
    return partition->next < plan->count && plan->arrived[partition->next].id != 0 &&
           plan->jobs[partition->next].processors <= partition->free_processors;
}

/*
 * Starts the head of the queue as long as it fits. When that is more than one step may do, the rest
 * is left to a `more`, which comes in the same instant; until then nothing else starts anything, so
 * that there is only ever one of them.
 */
static void start_jobs(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct replay_partition_context *partition = context;
    struct replay_plan *plan = plan_of(step);
    const uint64_t second = this_second(step);

    (void)event;
    partition->decided = second + 1;
    if (partition->more)
        return;
    for (unsigned i = 0; i < STARTS_A_STEP && head_fits(plan, partition); i++) {
        const struct plan_job *job = &plan->jobs[partition->next];

        if (second + job->run_s > PLAN_SECONDS_MAX) {
            break_plan(plan, partition->next, "would run beyond the time that can be represented");
            pawl_step_abort(step, -EINVAL);
            return;
        }
        start_job(step, plan, partition->next, second);
        partition->free_processors -= job->processors;
        partition->next++;
    }
    if (head_fits(plan, partition)) {
        const struct pawl_event more = {.task = pawl_step_task(step), .code = PARTITION_MORE};

        partition->more = 1;
        pawl_step_post(step, &more);
    }
}

static void start_more(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct replay_partition_context *partition = context;

    partition->more = 0;
    start_jobs(step, context, event);
}

static void join_queue_late(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    join_queue(step, context, event);
    start_jobs(step, context, event);
}

static void leave_late(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    leave(step, context, event);
    start_jobs(step, context, event);
}

static bool is_decided(const struct pawl_step *step, const void *context,
                       const struct pawl_event *event)
{
    const struct replay_partition_context *partition = context;

    (void)event;
    return partition->decided == this_second(step) + 1;
}

static void begin_gathering(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    (void)event;
    pawl_step_arm(step, PARTITION_TIMER_DECIDE, plan_of(step)->ns_per_s / 2);
}

static const char *const partition_events[] = {
    [PARTITION_ARRIVED] = "arrived", [PARTITION_ENDED] = "ended",     [PARTITION_DECIDE] = "decide",
    [PARTITION_MORE] = "more",       [PARTITION_EMPTIED] = "emptied",
};

static const char *const raises_emptied[] = {"emptied", NULL};

static const struct pawl_state_def partition_states[] = {
    {.name = "open", .initial = "settled"},
    {.name = "settled", .parent = "open"},
    {.name = "gathering", .parent = "open", .entry = begin_gathering},
    {.name = "closed", .flags = PAWL_STATE_FINAL},
};

static const struct pawl_transition_def partition_transitions[] = {
    {.from = "settled",
     .on = "arrived",
     .guard = is_decided,
     .action = join_queue_late,
     .label = "in a second that was decided"},
    {.from = "settled", .on = "arrived", .to = "gathering", .action = join_queue},
    {.from = "settled",
     .on = "ended",
     .guard = is_decided,
     .action = leave_late,
     .raises = raises_emptied,
     .label = "in a second that was decided"},
    {.from = "settled",
     .on = "ended",
     .to = "gathering",
     .action = leave,
     .raises = raises_emptied},
    {.from = "gathering", .on = "arrived", .action = join_queue},
    {.from = "gathering", .on = "ended", .action = leave, .raises = raises_emptied},
    {.from = "gathering", .on = "decide", .to = "settled", .action = start_jobs},
    {.from = "open", .on = "more", .action = start_more},
    {.from = "open", .on = "emptied", .to = "closed"},
};

static const struct pawl_timer_def partition_timers[] = {
    [PARTITION_TIMER_DECIDE] = {.name = "half-second", .event = "decide"},
};

const struct pawl_machine_def replay_partition_machine = {
    .name = "replay-partition",
    .events = partition_events,
    .events_count = sizeof(partition_events) / sizeof(partition_events[0]),
    .states = partition_states,
    .states_count = sizeof(partition_states) / sizeof(partition_states[0]),
    .transitions = partition_transitions,
    .transitions_count = sizeof(partition_transitions) / sizeof(partition_transitions[0]),
    .timers = partition_timers,
    .timers_count = sizeof(partition_timers) / sizeof(partition_timers[0]),
    .context_size = sizeof(struct replay_partition_context),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};
