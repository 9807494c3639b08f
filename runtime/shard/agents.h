/*
 * agents.h - an agent from its own side: where its credits are, what it has sent and what has come.
 *
 * Layer: shard. Owner: the thread that uses the agent. The shards' side is shard/lanes.h, what both
 * touch lane/agent.h.
 *
 * An agent is a port with a word of credits. Each credit is at one place:
 *
 *   free ----> offered ----> arrived ----> in hand ---+
 *    ^   grant     completion       next              |  the lease is known to be over
 *    +------------------------------------------------+
 *
 * free: with the agent. offered: in the word, or with a shard that owes a completion for it.
 *
 * The port's `outstanding` counts the offered ones, so no completion finds its ring full. A lease
 * is known to be over when a receipt says so: its step has left the leased states, or was refused
 * as stale or foreign. One that nobody reports is looked at when its time is over.
 */
#ifndef PAWL_SHARD_AGENTS_H
#define PAWL_SHARD_AGENTS_H

#include <pawl/agent.h>

#include "agent/hand.h"
#include "lane/agent.h"
#include "shard/runtime.h"

#define AGENT_CREDITS_MAX 65536u
#define AGENT_REPORTS_MAX 65536u
#define AGENT_CODE_NONE   UINT16_MAX

/*
 * Where the ids begin that the agent counts for leases that are not in hand: late ones, which are
 * refused anyway, and those that it has resumed. They are beyond what was counted in hand, and
 * beyond those of the 63 openings before, 131,072 reports each.
 */
static inline uint32_t agent_loose_id(uint64_t epoch)
{
    return (1u << 23) + (uint32_t)(epoch % 64) * (1u << 17);
}

/* A lease that the host has not seen. */
struct arrived {
    struct pawl_task task;
    uint64_t token;
    uint16_t state;
};

/* A report without a receipt. */
struct sent {
    struct pawl_task task;
    uint64_t token;
    uint32_t id;
    uint32_t tag;
    uint8_t machine;
    bool extends; /* it may have moved the deadline */
};

enum agent_stage {
    AGENT_OPEN,
    AGENT_WITHDRAWN, /* no more credits; what was offered comes and goes back */
    AGENT_GONE,      /* the shards end its leases */
    AGENT_ALONE,     /* no shard knows it any more; receipts may still be to come */
};

/* Field owners: I constant once open; A any thread; the rest is the agent's thread's. */
struct pawl_agent {
    struct agent shared;                /* lane/agent.h */
    struct pawl_runtime *runtime;       /* I */
    struct pawl_port *port;             /* I */
    char name[PAWL_AGENT_NAME_MAX + 1]; /* I: for who looks at it (pawl_agent_list) */
    uint16_t *codes;                    /* I: of events: [machine * PAWL_REPORT_KINDS + kind] */
    bool pollable;                      /* I */
    _Atomic uint32_t called_off;        /* A: a wait for leases is to end */
    enum agent_stage stage;
    bool watched; /* the descriptor may be waited on */

    uint32_t credits; /* I */
    uint32_t free;
    uint32_t arrived_first, arrived_count, arrived_mask;
    struct arrived *arrived; /* a ring */
    struct hand hand;
    uint64_t sweep_ns; /* no lease in hand is over before */
    uint32_t calls;

    uint32_t reports; /* I: at once, receipts not taken included */
    uint32_t last_id; /* of reports on leases that are not in hand */
    uint32_t sent_count;
    struct sent *sent;
    uint32_t *spare; /* entries of sent that are free: reports - sent_count of them */
    uint32_t receipts_first, receipts_count, receipts_mask;
    struct pawl_receipt *receipts; /* a ring */
};

/*
 * pawl__agents_wake - wakes the shards that sleep and have something ready in one of these lanes
 * (their positions, a bit each). Whoever has put credits where all shards see them calls it
 * afterwards, (G1) in lane/agent.h. Thread: any.
 */
void pawl__agents_wake(const struct pawl_runtime *runtime, uint64_t lanes);

/*
 * A wait for leases, under way or to come, ends with 0. Thread: any, until the agent is being
 * closed.
 */
void pawl__agent_call_off(struct pawl_agent *agent);

/* ---- For closing ---- */

/* Takes in what has come from the shards. */
void pawl__agent_reap(struct pawl_agent *agent);

/* The oldest lease that has arrived and is still alive; its credit is free. false: none. */
bool pawl__agent_unseen(struct pawl_agent *agent, struct pawl_lease *lease);

/* As pawl_agent_report, in any stage. */
int pawl__agent_send(struct pawl_agent *agent, const struct pawl_lease *lease,
                     const struct pawl_report *report);

/*
 * Sleeps until something arrives, or for look_ns (below a second), for what nobody wakes us for;
 * false at once when timeout_ns since begin_ns (CLOCK_MONOTONIC) are over.
 */
bool pawl__agent_wait(struct pawl_agent *agent, uint64_t begin_ns, uint64_t timeout_ns,
                      uint64_t look_ns);

static inline bool agent_is_stopped(const struct pawl_agent *agent)
{
    return load_acquire(&agent->port->registry->stopped) != 0;
}

/* Credits in the word or with a shard. */
static inline uint32_t agent_offered(const struct pawl_agent *agent)
{
    return agent->credits - agent->free - agent->arrived_count - agent->hand.count;
}

#endif /* PAWL_SHARD_AGENTS_H */
