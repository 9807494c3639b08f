/*
 * lane.h - lanes: where ready tasks wait to be handed out to agents, and in which order.
 *
 * A state of a machine can be declared ready (PAWL_STATE_READY: the task waits in a lane) or leased
 * (PAWL_STATE_LEASED: an agent has it). The context of such a machine begins with a struct pawl_claim,
 * which says where the task waits and who has it. The definition names the event that hands a task
 * out and the timer that ends a lease:
 *
 *     struct job { struct pawl_claim claim; ... };
 *     states       {"queued", .flags = PAWL_STATE_READY}, {"running", .flags = PAWL_STATE_LEASED}
 *     timers       {"lease", "expired"}
 *     transitions  queued -lease-> running, running -done-> ..., running -expired-> queued
 *     definition   .lease = "lease", .lease_timer = "lease", .context_size = sizeof(struct job)
 *
 * Only a shard that hands a task out can deliver the lease event; nobody else enters a leased state.
 *
 * Order. Within a shard exact: the smaller priority first, among equals first in, first out. Ageing:
 * every age_ns of waiting counts as one step of priority, so nothing starves. Across shards each
 * shard hands out in its own order, to whoever has credits when it turns: a task can be overtaken by
 * less urgent ones of other shards, by those handed out until its shard's next turn. A lane whose
 * tasks all live on one shard (pawl_task_spec.shard) is exact everywhere.
 */
#ifndef PAWL_LANE_H
#define PAWL_LANE_H

#include <pawl/error.h>
#include <pawl/export.h>
#include <pawl/machine.h>
#include <pawl/task.h>

PAWL_BEGIN_DECLS

struct pawl_runtime;

#define PAWL_LANES_MAX     64
#define PAWL_LANE_NAME_MAX 31 /* bytes */

/*
 * The first member of the context of a machine with lane states. lane, priority and assignee are the
 * machine's: they count when a step ends in a ready state, and may be changed there by a later step.
 * The rest is the runtime's: a handler reads it and leaves it alone.
 */
struct pawl_claim {
    uint64_t since_ns; /* when it became ready: wall clock, made to grow within a shard */
    uint64_t token;    /* of the newest lease; each is greater than the one before; 0: none yet */
    uint64_t agent;    /* the incarnation that has or had that lease; 0: none */
    uint64_t deadline_ns; /* when that lease ends, on the runtime's clock */
    uint64_t assignee;    /* pawl_agent_number of the only agent that may have it; 0: any */
    uint32_t lane;        /* pawl_lane_number of its name */
    uint32_t priority;    /* the smaller the more urgent */
    uint32_t leases;      /* handed out so often */
    uint32_t name;        /* of that agent: the lower half of its pawl_agent_number; 0: not kept */
};

/*
 * A lane. 0 means the default said here. Just after a crash there may be more leases than concurrency
 * says: the end of a lease makes room before it is durable, and may have come undone.
 */
struct pawl_lane_def {
    const char *name;     /* 1 to 31 printable bytes, no '/' */
    uint32_t weight;      /* its share where agents serve several; 0: 1; at most 65,535 */
    uint32_t concurrency; /* leases at once, all shards together; 0: no limit */
    uint32_t rate;        /* leases a second, all shards together; 0: no limit */
    uint32_t burst;       /* leases that an idle lane may hand out at once beyond the rate; 0: 1 */
    uint64_t age_ns;      /* of waiting, for one step of priority; 0: no ageing; at least 1 ms */
    uint64_t lease_ns;    /* how long a lease lasts; 0: 60 s; at most 2^53 */

    /* The breaker: so many failures in a row close the lane for breaker_ns (at most 2^53); then
     * at most breaker_probes leases at once (at most 65,535) try it, and if so many have done well the
     * lane goes on. 0: no breaker. */
    uint32_t breaker_failures;
    uint32_t breaker_probes; /* 0: 1 */
    uint64_t breaker_ns;     /* 0: 10 s */
};

/* 32 bits that name a lane, in claims and on disk: FNV-1a of the name, never 0. */
PAWL_API uint32_t pawl_lane_number(const char *name);

/*
 * Pauses a lane: nothing is handed out for for_ns, or until it is resumed (for_ns 0). What is leased
 * stays so. -ENOENT: no such lane. Thread: any. Lasts as long as the runtime, or, with a store, until
 * it ends, however often the store is opened meanwhile; it is written down within a turn, and
 * pawl_sync makes sure of that.
 */
PAWL_API int pawl_lane_pause(struct pawl_runtime *runtime, const char *lane, uint64_t for_ns);
PAWL_API int pawl_lane_resume(struct pawl_runtime *runtime, const char *lane);

enum pawl_breaker { PAWL_BREAKER_CLOSED, PAWL_BREAKER_OPEN, PAWL_BREAKER_HALF_OPEN };

/*
 * A lane as it is; counted since the runtime was opened. Each number is right by itself, as of each
 * shard's last turn. oldest_ns: how long the task that was ready first has been ready; exact for up to
 * 256 different priorities in a shard, of the most urgent 256 otherwise.
 */
struct pawl_lane_status {
    uint64_t ready;
    uint64_t leased;
    uint64_t oldest_ns; /* 0: nothing is ready */
    uint64_t leases;    /* handed out */
    uint64_t returned;  /* lease steps that their task refused */
    uint64_t expired;   /* leases that ended by their time */
    uint64_t lost;      /* leases that ended because their agent was gone */
    uint64_t refused;   /* reports of those who did not hold the lease (pawl_refusals_read) */
    uint64_t good, bad; /* outcomes, as machines told them (pawl_step_outcome) */
    bool paused;
    enum pawl_breaker breaker;
};

/* -ENOENT: no such lane. Thread: any. */
PAWL_API int pawl_lane_read(const struct pawl_runtime *runtime, const char *lane,
                            struct pawl_lane_status *status);

/* ---- Inside a handler ---- */

/* In machines with lane states: the incarnation of the agent whose port posted the event that this step
 * handles and wants its completion; 0: no agent did. */
PAWL_API uint64_t pawl_step_agent(const struct pawl_step *step);

/*
 * Whether the event comes from the agent that holds this task's lease, with its token: 0; -ESTALE:
 * that lease is over, or never was; -EPERM: another agent holds it. What is not 0 counts as refused.
 */
PAWL_API int pawl_step_holder(struct pawl_step *step, uint64_t token);

/*
 * In a leased state: the lease lasts for_ns from now on; 0: as long as the lane says. -EPERM: there
 * is no lease; nor is there one yet in the step that hands the task out, entry actions included.
 */
PAWL_API int pawl_step_extend(struct pawl_step *step, uint64_t for_ns);

/* Why this event ends the lease: by its time, because its agent is gone, or (anything else) not at all. */
enum pawl_lost { PAWL_LOST_NOT, PAWL_LOST_DEADLINE, PAWL_LOST_AGENT };
PAWL_API enum pawl_lost pawl_step_lease_lost(const struct pawl_step *step);

/* Tells the lane how the work went: for its breaker and its counters. Takes effect with the step. */
PAWL_API int pawl_step_outcome(struct pawl_step *step, bool good);

/* The wall clock of this turn, ns since 1970; 0 where the clock seam has none. */
PAWL_API uint64_t pawl_step_wall_ns(const struct pawl_step *step);

PAWL_END_DECLS

#endif /* PAWL_LANE_H */
