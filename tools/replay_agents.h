/*
 * replay_agents.h - a job log goes through a lane: arrivals become tasks of the work machine, and
 * agents lease them, hold them for their run time in virtual time, and report them done.
 *
 * A job takes one agent, however many processors it asked for. So the machine is a queue with as
 * many servers as there are agents, and a plain simulation of that, in replay_agents_check.c, says
 * to the second what must come out.
 */
#ifndef PAWL_TOOLS_REPLAY_AGENTS_H
#define PAWL_TOOLS_REPLAY_AGENTS_H

#include <pawl/watch.h>
#include <stdint.h>

#include "replay_plan.h"

#define REPLAY_AGENTS_MAX 4000u /* each has a port, and a runtime has 4096 */

enum replay_priority {
    REPLAY_PRIORITY_NONE, /* all are equally urgent: first in, first out */
    REPLAY_PRIORITY_RUN,  /* the run time in seconds: the shortest is the most urgent */
};

struct replay_agents_request {
    const char *command; /* for messages */
    unsigned shards;
    unsigned agents;
    uint64_t seed;
    enum replay_priority priority;
};

/* Times in seconds; use: of the makespan in which an agent had a job. */
struct replay_agents_outcome {
    struct pawl_counters counters;
    uint64_t leases;
    uint64_t extensions;
    uint64_t median_wait_s;
    uint64_t p95_wait_s; /* 95 of 100 waits are not longer */
    double use_least;
    double use_most;
    double wall_s;
};

/*
 * replay_agents_run - changes the plan to one where a processor is an agent and a job has one, and
 * fills plan->results; what it has returned TOOL_OK for has passed the check. Complains on stderr.
 */
int replay_agents_run(struct replay_plan *plan, const struct replay_agents_request *request,
                      struct replay_agents_outcome *outcome);

/*
 * replay_agents_check - whether the results are right; shards: of each job's task, by rank. With
 * one shard each start is the simulation's, to the second. With several, each hands out in its own
 * order; then it is that order that must be exact, and no agent may be idle while any job waits.
 */
int replay_agents_check(const struct replay_plan *plan, const struct replay_agents_request *request,
                        const uint16_t *shards);

/* How urgent a job is; smaller first. */
static inline uint32_t replay_agents_priority(enum replay_priority priority,
                                              const struct plan_job *job)
{
    return priority == REPLAY_PRIORITY_RUN ? job->run_s : 0;
}

#endif /* PAWL_TOOLS_REPLAY_AGENTS_H */
