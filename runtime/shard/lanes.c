/*
 * lanes.c - the phase of the turn that serves agents: who may have ready tasks now, and whose leases end
 * because he is gone.
 *
 * Layer: shard. Owner: the shard.
 *
 * Fairness: who was served longest ago is first, each is served up to a batch (hand_out.c).
 */
#include "shard/lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/durable.h"
#include "shard/intake.h"
#include "shard/lost.h"
#include "shard/registry.h"
#include "shard/runtime.h"

/* How often the oldest ticket is looked for: it touches one of each rank. */
#define OLDEST_NS UINT64_C(10000000)

void pawl__lanes_wake(struct pawl_runtime *runtime)
{
    add_acq_rel(&runtime->lanes_told, 1); /* (T1) pairs with (T2) */
    for (uint32_t i = 0; i < runtime->shard_count; i++)
        park_wake(&runtime->shards[i]->park);
}

/*
 * Nothing is handed out while the runtime is drained, nor on a full disk, where the lease would be
 * refused. Both come to their end with a wake.
 */
static bool may_hand_out(struct shard *shard)
{
    if (load_acquire(&shard->ports->admits) != ADMITS_ALL)
        return false;
    return shard->durable == NULL ||
           (pawl__durable_gate(shard, false) && load_acquire(&shard->durable->journal.full) == 0);
}

static struct agent *agent_at(const struct shard *shard, const struct pawl_port *port)
{
    if (port == NULL || shard->lanes->let_go[port->index] ==
                            load_relaxed(&shard->ports->entries[port->index].life)) /* E2 was */
        return NULL;
    return load_acquire(&port->agent); /* (A6) pairs with (A5) */
}

static uint64_t told(const struct shard *shard)
{
    return load_acquire(&shard->runtime->lanes_told); /* (T2) pairs with (T1) */
}

/* What was refused is asked for again when somebody has told, even before its time. */
static void hear(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;

    if (likely(told(shard) == lanes->told))
        return;
    lanes->told = told(shard);
    for (uint32_t i = 0; i < lanes->count; i++)
        lanes->parts[i].retry_ns = 0;
}

/* Lanes with ready tasks that may hand out now. */
static uint64_t open_lanes(const struct shard *shard)
{
    const struct lanes *lanes = shard->lanes;
    uint64_t mask = lanes->ready;

    for (uint64_t left = mask; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(left);

        if (unlikely(lanes->parts[i].retry_ns > shard->now_ns))
            mask &= ~(UINT64_C(1) << i);
    }
    return mask;
}

/* What the agent of this port gets in this turn; handled counts on. Returns how much it got. */
static uint32_t serve_port(struct shard *shard, uint32_t index, uint32_t *handled)
{
    struct pawl_port *port = intake_port(shard, index);
    struct agent *agent = agent_at(shard, port);
    uint64_t mask;
    uint32_t got;

    if (agent == NULL || pawl__lost_agent(shard, port, agent, handled))
        return 0;
    mask = open_lanes(shard) & agent->lanes;
    if (mask == 0 || *handled >= QUOTA || shard->inflight >= shard->inflight_soft ||
        !may_hand_out(shard))
        return 0;
    got = pawl__hand_out(shard, port, agent, mask);
    *handled += got;
    return got;
}

/* All agents, each in its turn; those that get something are the last in the next round. */
static uint32_t serve_all(struct shard *shard, uint32_t top)
{
    struct lanes *lanes = shard->lanes;
    uint32_t handled = 0, kept = 0, served = 0;

    for (; lanes->round_count < top; lanes->round_count++)
        lanes->round[lanes->round_count] = (uint16_t)lanes->round_count;
    for (uint32_t n = 0; n < lanes->round_count; n++) {
        const uint16_t index = lanes->round[n];

        if (index < top && serve_port(shard, index, &handled) > 0)
            lanes->served[served++] = index;
        else
            lanes->round[kept++] = index;
    }
    memcpy(lanes->round + kept, lanes->served, served * sizeof(*lanes->served));
    return handled;
}

uint32_t pawl__lanes_take(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;
    uint32_t handled;

    lanes->drains = load_acquire(&shard->ports->drains); /* (R2) pairs with (R1) in watch/drain.h */
    if (unlikely(lanes->lose_ns != 0 && lanes->lose_ns <= shard->now_ns))
        lanes->lose_ns = 0;
    if (unlikely(lanes->retry_first != 0))
        pawl__lanes_take_back(shard);
    hear(shard);
    lanes->beat_ns = UINT64_MAX;
    handled = serve_all(shard, load_acquire(&shard->ports->top));
    return handled + pawl__lost_take(shard);
}

bool pawl__lanes_have_work(struct shard *shard)
{
    const uint32_t top = load_acquire(&shard->ports->top);
    const uint64_t mask = may_hand_out(shard) ? open_lanes(shard) : 0;

    /* relaxed: our own */
    if (load_acquire(&shard->ports->drains) != load_relaxed(&shard->lanes->drained) ||
        pawl__lost_has_work(shard))
        return true;
    if (shard->lanes->ready != 0 && told(shard) != shard->lanes->told)
        return true;
    for (uint32_t i = 0; i < top; i++) {
        const struct pawl_port *port = intake_port(shard, i);
        struct agent *agent = agent_at(shard, port);

        if (agent == NULL)
            continue;
        if (load_acquire(&agent->gone) != 0)
            return true;
        if ((agent->lanes & mask) != 0 && load_acquire(&agent->credits) > 0 && /* (G2) */
            !agent_is_silent(agent, shard->now_ns))
            for (uint64_t left = agent->lanes & mask; left != 0; left &= left - 1)
                if (lanes_available(&shard->lanes->parts[__builtin_ctzll(left)], agent->number) > 0)
                    return true;
    }
    return false;
}

uint64_t pawl__lanes_timeout_ns(struct shard *shard)
{
    const struct lanes *lanes = shard->lanes;
    const uint64_t now = shard->clock->now_ns(shard->clock->user);
    uint64_t at = lanes->held_count > 0 ? lanes->beat_ns : UINT64_MAX;

    for (uint64_t left = lanes->ready; left != 0; left &= left - 1) {
        const uint64_t retry = lanes->parts[__builtin_ctzll(left)].retry_ns;

        /* As in open_lanes: what has come since the turn is not to be slept over. */
        if (retry > shard->now_ns && retry < at)
            at = retry;
    }
    if (lanes->due_ns < at)
        at = lanes->due_ns;
    if (lanes->lose_ns > shard->now_ns && lanes->lose_ns < at)
        at = lanes->lose_ns;
    if (lanes->keep_ns > shard->now_ns && lanes->keep_ns < at)
        at = lanes->keep_ns;
    if (lanes->held[HELD_BEFORE] != 0 && lanes->before_ns > shard->now_ns && lanes->before_ns < at)
        at = lanes->before_ns;
    if (lanes->retry_first != 0 && lanes_ticket(lanes, lanes->retry_first)->again_ns < at)
        at = lanes_ticket(lanes, lanes->retry_first)->again_ns;
    if (lanes->oldest_due && lanes->oldest_ns + OLDEST_NS < at)
        at = lanes->oldest_ns + OLDEST_NS;
    if (at == UINT64_MAX)
        return UINT64_MAX;
    return at > now ? at - now : 0;
}

static uint64_t oldest(const struct lane_part *part)
{
    uint64_t since = pawl__order_oldest(&part->order);

    for (uint32_t i = 0; i < part->assigned_count; i++) {
        const uint64_t other = pawl__order_oldest(&part->assigned[i].order);

        if (other != 0 && (since == 0 || other < since))
            since = other;
    }
    return since;
}

/* For a drain: which one the turn has heard of, and what is then still to come to rest. */
static void publish_busy(struct lanes *lanes)
{
    const uint32_t busy = lanes->held_count - lanes->waiting;

    /* relaxed, both: our own */
    if (load_relaxed(&lanes->busy) != busy)
        store_release(&lanes->busy, busy);
    if (unlikely(load_relaxed(&lanes->drained) != lanes->drains))
        store_release(&lanes->drained, lanes->drains); /* (R3) pairs with (R4) in watch/drain.h */
}

void pawl__lanes_publish(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;
    const bool look =
        (lanes->changed || lanes->oldest_due) && shard->now_ns - lanes->oldest_ns >= OLDEST_NS;

    publish_busy(lanes);
    if (!lanes->changed && !look)
        return;
    lanes->changed = false;
    lanes->oldest_due = !look && lanes->ready != 0; /* then a later turn looks */
    if (look)
        lanes->oldest_ns = shard->now_ns;
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct lane_part *part = &lanes->parts[i];

        part->count[LANE_READY] = part->ready + part->aside;
        if (part->ready == 0)
            part->count[LANE_OLDEST] = 0;
        else if (look || part->count[LANE_OLDEST] == 0)
            part->count[LANE_OLDEST] = oldest(part);
        /* relaxed: each number is right by itself (pawl/lane.h). */
        for (unsigned k = 0; k < LANE_COUNTS; k++)
            store_relaxed(&part->published[k], part->count[k]);
    }
}
