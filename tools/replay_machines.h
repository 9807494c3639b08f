/*
 * replay_machines.h - the two machines of a replay: a job, and the partition whose processors the
 * jobs share. Handlers find their struct replay_plan through pawl_options.user.
 *
 * What a second is. Everything that happens in one second of the log happens at one instant of
 * virtual time, and its messages cross the shards in whatever order the shards are turned. So the
 * partition does not decide on the first message of a second but half a second later, when nothing
 * of that second can be under way any more: all that ends in it has given its processors back, all
 * that arrives in it stands in the queue. What is decided then counts for that second. Jobs that
 * take no time end in the same half second and are the only thing that is heard of after the
 * decision; what they free is given out at once, which leads to the same schedule in any order.
 */
#ifndef PAWL_TOOLS_REPLAY_MACHINES_H
#define PAWL_TOOLS_REPLAY_MACHINES_H

#include <pawl/machine.h>

#include "replay_plan.h"

extern const struct pawl_machine_def replay_job_machine;
extern const struct pawl_machine_def replay_partition_machine;

/* Positions in pawl_options.machines that both machines rely on. */
enum { REPLAY_MACHINE_PARTITION, REPLAY_MACHINE_JOB, REPLAY_MACHINES };

/* What the tasks begin with. A job is created with arg[0] the time of its arrival, on the clock. */
struct replay_job_context {
    uint64_t number;
    uint64_t start_s;
    uint32_t rank;
    uint32_t run_s;
};

struct replay_partition_context {
    uint64_t free_processors;
    uint64_t decided; /* 1 + the second that was decided last; 0: none */
    uint32_t next;    /* the rank that starts next: the head of the queue, if it has arrived */
    uint32_t ended;   /* jobs; when all have, so does the partition */
    uint32_t more;    /* 1: a `more` is on its way */
};

#endif /* PAWL_TOOLS_REPLAY_MACHINES_H */
