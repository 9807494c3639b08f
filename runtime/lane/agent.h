/*
 * agent.h - an agent as the shards see it: whom it serves, how much it will take, its signs of life.
 *
 * Layer: lane.
 *
 * Credits lie in one word of the agent's. The agent adds to it; a shard that has something to hand out
 * takes from it by compare-and-swap, so no two shards spend the same credit, and nothing is sent to
 * and fro: credits are where the work is. Each credit taken is answered by one completion to the
 * agent's port, a lease or a refusal.
 *
 *   agent                                       shard
 *   credits += n                (release) G1    has a ready task; announces its sleep
 *   light barrier; is the shard asleep?         heavy barrier
 *   then wake it                                credits?               (acquire) G2
 *
 *   G2 sees G1, or the agent sees the shard asleep (host/park.h).
 *
 * The end: gone = 1 (release, when the credits have been taken back) A1 -> each shard sees it
 * (acquire) A2, ends the leases that the agent has of it, left + 1 (release) A3 -> the agent waits
 * until all have (acquire) A4, and only then frees this.
 */
#ifndef PAWL_LANE_AGENT_H
#define PAWL_LANE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/limits.h"

/* The tag of a lease's completion; reports have others. */
#define PAWL__LEASE_TAG UINT32_MAX

/* Field owners: I constant; A the agent's thread; S all shards. */
struct agent {
    uint64_t number;       /* I: pawl_agent_number of its name */
    uint64_t incarnation;  /* I */
    uint64_t lanes;        /* I: the positions of those it serves, a bit each */
    uint64_t heartbeat_ns; /* I: silence for so long is death; 0: never */
    bool resumed;          /* I: it goes on as one of before the runtime was opened */

    _Alignas(CACHE_LINE) _Atomic uint32_t credits; /* A adds, S take */
    _Atomic uint32_t gone;                         /* A */
    _Atomic uint32_t left;                         /* S: how many shards have let it go */
    _Atomic uint64_t beat_ns;                      /* A: its last sign of life */
};

/* Takes up to `wanted` credits; returns how many. */
static inline uint32_t agent_take(struct agent *agent, uint32_t wanted)
{
    uint32_t there = load_acquire(&agent->credits); /* (G2) pairs with (G1) */

    while (there > 0) {
        const uint32_t taken = there < wanted ? there : wanted;

        if (cas_acq_rel(&agent->credits, &there, there - taken))
            return taken;
    }
    return 0;
}

/* The agent's new credits. */
static inline void agent_grant(struct agent *agent, uint32_t count)
{
    add_acq_rel(&agent->credits, count); /* (G1) pairs with (G2) */
}

static inline bool agent_is_silent(const struct agent *agent, uint64_t now_ns)
{
    /* relaxed: a sign of life that comes late is one that came late */
    const uint64_t beat_ns = load_relaxed(&agent->beat_ns);

    return agent->heartbeat_ns != 0 && now_ns > beat_ns && now_ns - beat_ns > agent->heartbeat_ns;
}

#endif /* PAWL_LANE_AGENT_H */
