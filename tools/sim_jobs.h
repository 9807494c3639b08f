/*
 * sim_jobs.h - what the simulator believes of work: of every task of the work machine what it last
 * was, of every lease who has it, of every report what was said and what became of it.
 *
 * A job is looked at after each turn of its shard. Nothing is foretold: what has changed must be
 * something that somebody has asked for, or that time has brought, and must be all of it.
 *   ids        a submission makes one task; an id that somebody was told is not given again
 *   leases     one holder; a token is greater than any that an agent has seen; a lease ends by its
 *              holder's word, by its time, with its agent, or with its task, and never otherwise
 *   attempts   one for each lease, none for one that was released; as many as the policy says
 *   reports    an id of a lease takes effect once, if its receipt says so, and is in effect after
 *              any crash; one that was refused has none; evidence is complete and in order
 *   settled    what is completed or cancelled stays so; what is gone was settled; nothing is lost
 *   after      a task is let go when all that it waits for has come to the end that it needs
 *   order      of those that could be handed out the most urgent was, among equals the oldest
 *   counters   what a lane says of itself is what its tasks say
 *   credits    an agent has no more leases than it granted
 *
 * Owner: one thread. Jobs are all tasks of the library's own machines: notes and lanes' keepers are
 * only part of the picture that must come back. Limits: SIM_JOBS_MAX.
 */
#ifndef PAWL_TOOLS_SIM_JOBS_H
#define PAWL_TOOLS_SIM_JOBS_H

#include <pawl/pawl.h>
#include <pawl/work.h>

#include "sim_model.h"

#define SIM_JOBS_MAX    (1u << 16) /* of one run, notes and those that are gone included */
#define SIM_PLANS_MAX   (1u << 15)
#define SIM_WORK        ((unsigned)SIM_MACHINES) /* the work machine's position; notes follow */
#define SIM_LANES       3u
#define SIM_POLICIES    4u
#define SIM_AFTER_MAX   4u
#define SIM_AGENTS      5u
#define SIM_EVIDENCE    96u /* bytes of evidence at most */
#define SIM_LANE_NONE   SIM_LANES
#define SIM_VERDICT_BAD 5u /* a result that can be divided by it is none: the host's predicate */

extern const struct pawl_lane_def sim_lanes[SIM_LANES];
extern const struct pawl_work_policy sim_policies[SIM_POLICIES];

/* What a submission asks for; its number is told in the task's metadata. */
struct sim_plan {
    uint32_t job; /* 0: not seen yet */
    uint32_t key; /* 0: none */
    uint32_t lane, policy, flags, priority;
    uint32_t parent; /* plan; 0: none */
    uint32_t after_count;
    uint32_t after[SIM_AFTER_MAX]; /* plans */
    bool deadline;
    bool graph; /* a crash may cancel it half way */
    bool told;  /* it was acknowledged */
    bool vague; /* a crash has taken the answer to what else it is to wait for */
};

struct sim_job {
    uint64_t id;
    uint32_t uid;
    uint32_t plan;  /* 0: unknown, or no work */
    uint32_t lease; /* the newest; 0: none */
    uint32_t machine, state, version, shard;
    uint64_t hash;    /* its part in the sum of its shard */
    uint64_t touched; /* turn + 1 in which its before-image was kept */
    uint64_t changed; /* turn in which it last changed */
    uint64_t settled_ns;
    bool alive, born;
    bool settled, failed, completed; /* once */
    struct pawl_work work;
};

/* What the host has asked for, whatever became of it: never taken back. */
struct sim_asked {
    bool told, open, cancel, kick, discard;
};

enum sim_end {
    SIM_END_NOT,
    SIM_END_DONE,
    SIM_END_FAILED,
    SIM_END_RELEASED,
    SIM_END_ACCEPTED,
    SIM_END_REJECTED,
    SIM_END_BACK, /* who was to verify gave no verdict */
    SIM_END_EXPIRED,
    SIM_END_LOST,
    SIM_END_CANCELLED,
    SIM_END_OVERDUE,
    SIM_END_GONE,
    SIM_ENDS
};

struct sim_lease {
    uint64_t id; /* of the task */
    uint64_t token, agent;
    uint64_t turn, end_turn;
    uint32_t job;
    uint32_t before;  /* the job's lease before this one */
    uint32_t reports; /* its newest; 0: none */
    uint8_t end;      /* enum sim_end */
    bool verify;
    bool seen;     /* by its agent */
    bool returned; /* unseen when its agent closed */
};

/* One sending of a report. */
struct sim_report {
    uint32_t lease, before; /* the lease's report before this one */
    uint32_t id;
    uint32_t size; /* of its evidence */
    uint64_t value, agent;
    uint8_t kind, klass;
    bool answered;
    int32_t status;
};

enum sim_agent_fate { SIM_AGENT_OPEN, SIM_AGENT_CLOSING, SIM_AGENT_CLOSED, SIM_AGENT_BEFORE };

/* An agent from one opening to the next. */
struct sim_agent_known {
    uint64_t incarnation, number;
    uint64_t heartbeat_ns, beat_ns, closed_ns;
    uint32_t lanes; /* a bit each */
    uint32_t credits;
    uint8_t fate;
    bool resumed;
};

struct sim_job_before {
    uint64_t turn;
    struct sim_job job;
};

struct sim_job_log {
    struct sim_job_before *entries;
    size_t count, capacity;
};

struct sim_jobs {
    struct sim_job *jobs; /* by uid; 0 is none */
    struct sim_asked *asked;
    uint32_t jobs_count;
    uint32_t first; /* all before it are gone for good */
    uint32_t *by_id;
    uint32_t *walk_mark; /* by uid: the last walk that met it */
    uint32_t walk;
    struct sim_plan *plans;
    uint32_t plans_count;
    struct sim_lease *leases;
    uint32_t leases_count, leases_capacity;
    struct sim_report *reports;
    uint32_t reports_count, reports_capacity;
    struct sim_agent_known *agents;
    uint32_t agents_count, agents_capacity;
    struct sim_job_log log[SIM_SHARDS_MAX];
    uint64_t *seen_token;        /* by uid: the greatest that an agent was given */
    bool turned[SIM_SHARDS_MAX]; /* in this epoch */
    struct sim_job *changed;     /* in this turn: as they were */
    uint32_t changed_count, changed_capacity;
    uint32_t granted[256]; /* in this turn */
    uint32_t granted_count;
    uint64_t recovered[SIM_LANES]; /* leases that came back, or fewer since */
    bool paused[SIM_LANES];        /* for certain */
    uint64_t pause_ns[SIM_LANES];  /* no earlier does it end; UINT64_MAX: when resumed */
    struct {                       /* seen in this run */
        uint64_t submitted, leases, reports, refused, retries, released, notes, graphs;
    } count;
};

/* Room for one more in a table. */
void *sim_jobs_grow(void *entries, uint32_t count, uint32_t *capacity, size_t size);

int sim_jobs_create(struct sim_jobs **jobs);
void sim_jobs_destroy(struct sim_jobs *jobs);

/* ---- what happens (sim_jobs.c) ---- */

/* In a walk over the shard that has just turned: a task of one of the library's machines. */
void sim_jobs_seen(struct sim_model *model, const struct pawl_view *view);
/* After the walk: those that it has not met are gone. Then all that the turn did together. */
void sim_jobs_turned(struct sim_model *model);
uint64_t sim_jobs_hash(const struct pawl_view *view);

void sim_jobs_go_back(struct sim_model *model, unsigned shard, size_t turn);
void sim_jobs_recovered(struct sim_model *model, uint64_t now_ns, uint64_t crash_ns);

struct sim_job *sim_job_by_id(struct sim_jobs *jobs, uint64_t id);
static inline bool sim_job_is_work(const struct sim_job *job)
{
    return job->machine == SIM_WORK;
}
static inline bool sim_job_is_held(const struct sim_job *job)
{
    return job->state == PAWL_WORK_LEASED || job->state == PAWL_WORK_CHECKED;
}
static inline bool sim_job_is_settled(const struct sim_job *job)
{
    return job->state >= PAWL_WORK_COMPLETED;
}
uint32_t sim_lane_of(uint32_t number);

/*
 * Somebody outside knows that the job is, or was, as `holds` says: the first turn after which it was
 * so must survive. arg: for `holds`.
 */
typedef bool sim_job_holds_fn(const struct sim_job *job, const void *arg);
void sim_job_known(struct sim_model *model, const struct sim_job *job, sim_job_holds_fn *holds,
                   const void *arg);

struct sim_lease *sim_lease_find(struct sim_jobs *jobs, uint64_t id, uint64_t token);
struct sim_agent_known *sim_agent_find(struct sim_jobs *jobs, uint64_t incarnation);

/* ---- what the host and its agents say and hear (sim_job_words.c) ---- */

uint32_t sim_plan(struct sim_jobs *jobs);
void sim_plan_told(struct sim_model *model, uint32_t plan, const struct pawl_completion *said);
void sim_lease_came(struct sim_model *model, uint64_t incarnation, const struct pawl_lease *lease);
/* The number of the sending. */
uint32_t sim_report_sent(struct sim_model *model, uint64_t incarnation,
                         const struct pawl_lease *lease, const struct pawl_report *report);
void sim_report_told(struct sim_model *model, uint32_t number, const struct pawl_receipt *receipt);
void sim_report_bytes(uint64_t value, uint8_t bytes[SIM_EVIDENCE]);
struct sim_agent_known *sim_agent_known(struct sim_jobs *jobs, uint64_t incarnation);

/* ---- what must be so (sim_job_checks.c) ---- */

/* A job has come, changed or gone within a turn that is over; `before`: as it was. */
void sim_job_changed(struct sim_model *model, const struct sim_job *before, struct sim_job *job);
void sim_jobs_check_order(struct sim_model *model);
void sim_jobs_check_counters(struct sim_model *model);
void sim_jobs_check_time(struct sim_model *model);
/* Evidence, from the runtime's notes. */
void sim_jobs_check_notes(struct sim_model *model);
/* Nothing is under way, and no agent works: who could have gone on has. */
void sim_jobs_check_rest(struct sim_model *model);

#endif /* PAWL_TOOLS_SIM_JOBS_H */
