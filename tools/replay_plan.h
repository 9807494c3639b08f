/*
 * replay_plan.h - what a replay knows before it starts and what it finds out: the jobs of the log
 * in the order of the queue, the partition's memory of them, and the schedule that comes of it.
 *
 * A job's rank is its place in that order: by submit time, then by number. Strictly first come
 * first served means that jobs start in the order of their ranks, so "the queue" is the ranks from
 * the next one to start up to the last one to have arrived, and needs no links.
 *
 * Seconds in here count from the first submit.
 */
#ifndef PAWL_TOOLS_REPLAY_PLAN_H
#define PAWL_TOOLS_REPLAY_PLAN_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stdint.h>

#define PLAN_JOBS_MAX    (1u << 28)
#define PLAN_SECONDS_MAX UINT64_C(9000000000) /* 285 years: in nanoseconds it is less than 2^63 */

struct plan_job {
    uint64_t number;
    uint64_t line;
    uint64_t submit_s;
    uint32_t run_s;
    uint32_t processors;
};

/* UINT64_MAX: not yet. */
struct plan_result {
    uint64_t start_s;
    uint64_t end_s;
};

/*
 * Field owners: S set up before the first job's task exists, constant from then on; P the
 * partition's steps, and the command after the last of them; A any shard's thread, once.
 */
struct replay_plan {
    struct plan_job *jobs;        /* S: by rank */
    uint32_t count;               /* S */
    uint64_t skipped;             /* S: well-formed jobs that cannot run */
    uint64_t malformed;           /* S: lines */
    uint64_t processors;          /* S: of the machine */
    uint64_t first_submit_s;      /* S: what second 0 is in the log */
    uint64_t ns_per_s;            /* S: of the runtime's clock for a second of the log */
    uint64_t origin_ns;           /* S: what second 0 is on the runtime's clock */
    bool exact;                   /* S: time is virtual, so whatever is off by a second is a bug */
    struct pawl_task partition;   /* S */
    struct pawl_task *arrived;    /* P: by rank; no task: not arrived yet */
    struct plan_result *results;  /* P: by rank */
    const char *broken;           /* P: what must not happen and did; NULL */
    uint32_t broken_rank;         /* P */
    _Atomic uint64_t undelivered; /* A: reason << 32 | 1 + code of the first event not handled */
};

/* What to read, and how. */
struct plan_source {
    const char *command; /* for messages */
    const char *path;
    uint64_t processors; /* 0: as the log's header says */
    bool strict;
};

/*
 * plan_load - reads a log and ranks its jobs. Complains on stderr, of each malformed line and of
 * what makes it fail. Returns an exit code of tool.h. plan_fini frees, whatever plan_load returned.
 */
int plan_load(struct replay_plan *plan, const struct plan_source *source);
void plan_fini(struct replay_plan *plan);

/* The second that a time of the runtime's clock belongs to, and when a second begins. */
static inline uint64_t plan_second(const struct replay_plan *plan, uint64_t now_ns)
{
    return now_ns <= plan->origin_ns ? 0 : (now_ns - plan->origin_ns) / plan->ns_per_s;
}

static inline uint64_t plan_time_ns(const struct replay_plan *plan, uint64_t second)
{
    return plan->origin_ns + second * plan->ns_per_s;
}

/* The measures that a replay prints. Times in seconds. */
struct plan_measures {
    uint64_t makespan_s; /* from the first submit to the last end */
    uint64_t max_wait_s;
    double mean_wait_s;
    double mean_bounded_slowdown;
    double utilization;
};

/* plan_measure - of a schedule in which every job has ended. */
void plan_measure(const struct replay_plan *plan, struct plan_measures *measures);

/* plan_write_schedule - "job start end procs" a line, by job number, in the log's own seconds. An
 * exit code of tool.h. */
int plan_write_schedule(const struct replay_plan *plan, const char *command, const char *path);

#endif /* PAWL_TOOLS_REPLAY_PLAN_H */
