/*
 * replay_run.h - a plan goes through a runtime, in virtual or in real time.
 */
#ifndef PAWL_TOOLS_REPLAY_RUN_H
#define PAWL_TOOLS_REPLAY_RUN_H

#include <pawl/watch.h>
#include <stdint.h>

#include "replay_plan.h"

#define REPLAY_SPEED_MAX 1e6

struct replay_request {
    const char *command; /* for messages */
    unsigned shards;
    uint64_t seed;
    double speed; /* 1 to REPLAY_SPEED_MAX; 0: virtual time */
};

struct replay_outcome {
    struct pawl_counters counters;
    double wall_s;
};

/*
 * replay_run - fills plan->results: of every job, when it returns TOOL_OK. In virtual time it has
 * then also checked that every arrival and every end came in its second. Complains on stderr.
 */
int replay_run(struct replay_plan *plan, const struct replay_request *request,
               struct replay_outcome *outcome);

/* Turns all shards of a host-driven runtime until a whole round of them found nothing to do.
 * Negative errno. */
int replay_turn_until_idle(struct pawl_runtime *runtime);

#endif /* PAWL_TOOLS_REPLAY_RUN_H */
