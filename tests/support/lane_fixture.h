/*
 * lane_fixture.h - for tests: a machine with lane states, and agents without the agents' API: a port and the
 * words that shards see of an agent.
 *
 *     struct fixture f;  struct lane_agent a;
 *
 *     fixture_open(&f, &(struct fixture_options){.machines = {&job_machine}, .lanes = ..., .lane_count = 1});
 *     task = job_create(&f, &(struct job){.claim = {.lane = pawl_lane_number("work"), .priority = 3}});
 *     lane_agent_open(&a, f.runtime, 1, ~UINT64_C(0));
 *     lane_agent_grant(&a, 2);
 *     fixture_run(&f);
 *     lane_agent_reap(&a, ...)     completions of leases: value is the token
 *
 * A job is idle, queued, running or gone. J_OFFER queues it, J_WITHDRAW takes it back; running it ends
 * by J_DONE (gone), J_RELEASE (queued), J_EXPIRED (queued); J_CHANGE sets lane, priority, assignee from
 * the event's arguments; J_SHY says whether it refuses leases.
 */
#ifndef PAWL_TESTS_SUPPORT_LANE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_LANE_FIXTURE_H

#include <pawl/pawl.h>

#include "lane/agent.h"
#include "shard/port.h"
#include "shard/runtime.h"
#include "support/fixture.h"

enum {
    J_LEASE,
    J_DONE,
    J_RELEASE,
    J_EXPIRED,
    J_OFFER,
    J_WITHDRAW,
    J_CHANGE,
    J_EXTEND,
    J_REPORT,
    J_SHY
};
enum { J_IDLE, J_QUEUED, J_RUNNING, J_GONE };

struct job {
    struct pawl_claim claim;
    uint64_t shy;  /* refuses leases */
    uint64_t lost; /* enum pawl_lost of the last expiry */
    uint64_t held; /* what pawl_step_holder said last */
};

static inline bool job_is_willing(const struct pawl_step *step, const void *context,
                                  const struct pawl_event *event)
{
    (void)step;
    (void)event;
    return ((const struct job *)context)->shy == 0;
}

static inline void job_expired(struct pawl_step *step, void *context,
                               const struct pawl_event *event)
{
    (void)event;
    ((struct job *)context)->lost = pawl_step_lease_lost(step);
    pawl_step_outcome(step, false);
}

static inline void job_done(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    (void)event;
    pawl_step_outcome(step, true);
}

/* arg[0]: priority:32 | lane's number:32; arg[1]: assignee. */
static inline void job_change(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct job *job = context;

    (void)step;
    job->claim.priority = (uint32_t)(event->arg[0] >> 32);
    if ((uint32_t)event->arg[0] != 0)
        job->claim.lane = (uint32_t)event->arg[0];
    job->claim.assignee = event->arg[1];
}

static inline void job_extend(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_extend(step, event->arg[0]);
}

/* arg[0]: refuse leases from now on, or not. */
static inline void job_shy(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    ((struct job *)context)->shy = event->arg[0];
}

/* arg[0]: a token. */
static inline void job_report(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct job *job = context;

    job->held = (uint64_t)(int64_t)pawl_step_holder(step, event->arg[0]);
    pawl_step_answer(step, job->held);
}

static const char *const job_events[] = {"lease",    "done",   "release", "expired", "offer",
                                         "withdraw", "change", "extend",  "report",  "shy"};
static const struct pawl_state_def job_states[] = {
    {.name = "idle"},
    {.name = "queued", .flags = PAWL_STATE_READY},
    {.name = "running", .flags = PAWL_STATE_LEASED},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def job_transitions[] = {
    {.from = "idle", .on = "offer", .to = "queued"},
    {.from = "queued", .on = "withdraw", .to = "idle"},
    {.from = "queued", .on = "lease", .to = "running", .guard = job_is_willing},
    {.from = "queued", .on = "change", .action = job_change},
    {.from = "idle", .on = "change", .action = job_change},
    {.from = "running", .on = "done", .to = "gone", .action = job_done},
    {.from = "running", .on = "release", .to = "queued"},
    {.from = "running", .on = "expired", .to = "queued", .action = job_expired},
    {.from = "running", .on = "extend", .action = job_extend},
    {.from = "running", .on = "report", .action = job_report},
    {.from = "queued", .on = "report", .action = job_report},
    {.from = "queued", .on = "shy", .action = job_shy},
};
static const struct pawl_timer_def job_timers[] = {{"lease", "expired"}};
static const struct pawl_machine_def job_machine = {
    .name = "job",
    FIXTURE_TABLE(events, job_events),
    FIXTURE_TABLE(states, job_states),
    FIXTURE_TABLE(transitions, job_transitions),
    FIXTURE_TABLE(timers, job_timers),
    .initial = "queued",
    .lease = "lease",
    .lease_timer = "lease",
    .context_size = sizeof(struct job),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};

struct lane_agent {
    struct agent agent;
    struct pawl_port *port;
    unsigned shards;
};

static inline void lane_agent_open(struct lane_agent *a, struct pawl_runtime *runtime,
                                   uint64_t number, uint64_t lanes)
{
    memset(a, 0, sizeof(*a));
    a->agent.number = number;
    a->agent.incarnation = number * 100;
    a->agent.lanes = lanes;
    a->shards = runtime->shard_count;
    cr_assert_eq(pawl_port_open(runtime, NULL, &a->port), 0);
    store_release(&a->port->agent, &a->agent);
}

static inline void lane_agent_grant(struct lane_agent *a, uint32_t credits)
{
    a->port->outstanding += credits;
    agent_grant(&a->agent, credits);
}

/* What has come; the number of it. */
static inline unsigned lane_agent_reap(struct lane_agent *a, struct pawl_completion *completions,
                                       unsigned capacity)
{
    return (unsigned)pawl_port_reap(a->port, completions, capacity);
}

/* Credits that nobody took are taken back, all shards let it go, its port closes. */
static inline void lane_agent_close(struct lane_agent *a, struct fixture *f)
{
    struct pawl_completion rest[64];

    a->port->outstanding -= swap_acq_rel(&a->agent.credits, 0);
    store_release(&a->agent.gone, 1);
    fixture_run(f);
    while (lane_agent_reap(a, rest, 64) > 0)
        ;
    cr_assert_eq(load_acquire(&a->agent.left), a->shards);
    store_release(&a->port->agent, NULL);
    while (pawl_port_close(a->port, 0) == -EAGAIN)
        fixture_run(f);
}

/* One credit, and the completion that it brings, which must have come. */
static inline struct pawl_completion lane_agent_lease(struct lane_agent *a, struct fixture *f)
{
    struct pawl_completion completion;

    lane_agent_grant(a, 1);
    fixture_run(f);
    cr_assert_eq(lane_agent_reap(a, &completion, 1), 1, "nothing was handed out");
    return completion;
}

/* Posts an event from the agent's port, with completion. */
static inline void lane_agent_post(struct lane_agent *a, struct pawl_task task, uint16_t code,
                                   uint64_t arg)
{
    const struct pawl_event event = {
        .task = task, .code = code, .flags = PAWL_EVENT_COMPLETE, .arg = {arg}};

    cr_assert_eq(pawl_port_post(a->port, &event, 1), 1);
}

static inline struct pawl_lane_status lane_status(const struct fixture *f, const char *lane)
{
    struct pawl_lane_status status;

    cr_assert_eq(pawl_lane_read(f->runtime, lane, &status), 0);
    return status;
}

static inline struct pawl_task job_make(struct fixture *f, unsigned machine, unsigned shard,
                                        const struct job *job)
{
    const struct pawl_task_spec spec = {
        .machine = machine, .shard = shard, .context = job, .context_size = sizeof(*job)};
    struct pawl_task task;

    cr_assert_eq(pawl_task_create(f->runtime, &spec, &task), 0);
    return task;
}

static inline struct pawl_task job_create(struct fixture *f, unsigned shard, const char *lane,
                                          uint32_t priority)
{
    const struct job job = {.claim = {.lane = pawl_lane_number(lane), .priority = priority}};

    return job_make(f, 0, shard, &job);
}

static inline struct job job_of(struct fixture *f, struct pawl_task task)
{
    struct job job;

    fixture_view(f, task, &job, sizeof(job));
    return job;
}

#endif /* PAWL_TESTS_SUPPORT_LANE_FIXTURE_H */
