/*
 * lost.c - leases whose agents are gone: they end before their deadline.
 *
 * Layer: shard. Owner: the shard.
 *
 * The decision to question: an agent that goes is let go though there is no room for the steps that
 * end its leases, as on a full disk. They wait in a list of their own, and its memory is its own.
 */
#include "shard/lost.h"

#include <errno.h>

#include "base/planted.h"
#include "shard/durable.h"
#include "shard/lanes.h"
#include "shard/registry.h"
#include "shard/runtime.h"

/* When a lease is tried to be ended again that there was no room for. */
#define LOSE_AGAIN_NS UINT64_C(1000000)

/* What the step that ends a lease may write, with some of what it sends. */
#define LOSE_ROOM (2u * CONTEXT_MAX)

/*
 * On a full disk a step that has no room would be refused, and its refusal told to the host: it is
 * not even tried. Room comes with a wake.
 */
static bool may_lose(struct shard *shard)
{
    return shard->durable == NULL || (pawl__durable_gate(shard, true) &&
                                      pawl__durable_admit(shard, LOSE_ROOM, ROOM_PLAIN) != -ENOSPC);
}

/*
 * Ends up to a batch of the leases in a list, early. What there is no room for is tried again after a
 * while; what its machine keeps leased all the same goes on until its deadline.
 */
static uint32_t lose(struct shard *shard, uint32_t holder)
{
    struct lanes *lanes = shard->lanes;
    uint32_t count = 0;

    while (lanes->held[holder] != 0 && count < BATCH_MAX && lanes->lose_ns == 0 &&
           may_lose(shard)) {
        const uint32_t index = lanes->held[holder];
        struct ticket *ticket = lanes_ticket(lanes, index);
        const struct slot *slot = table_slot(&shard->table, ticket->slot);
        const struct pawl_machine *machine =
            shard->machines[head_machine(load_relaxed(&slot->head))].machine; /* relaxed: own */
        const struct pawl_event event = {.task = shard_task(shard, slot, ticket->slot),
                                         .code = machine->timers[machine->lease_timer].event};

        lanes->lost = PAWL_LOST_AGENT;
        shard->step.error = 0;
        if (!planted(PLANTED_DEATH_FORGOTTEN))
            pawl__dispatch(shard, &event, 0);
        lanes->lost = PAWL_LOST_NOT;
        count++;
        if (lanes->held[holder] != index || ticket->place != TICKET_LEASED)
            continue;
        if (shard->step.error == -ENOSPC || shard->step.error == -ENOMEM)
            lanes->lose_ns = shard->now_ns + LOSE_AGAIN_NS;
        else
            pawl__lanes_move(lanes, index, HELD_ORPHANS);
    }
    return count;
}

/* An agent need not wait for room to be let go: its leases end when there is some. */
static void leave_to_time(struct lanes *lanes, uint32_t holder)
{
    while (lanes->held[holder] != 0)
        pawl__lanes_move(lanes, lanes->held[holder], HELD_LOST);
}

static void note_beat(struct lanes *lanes, const struct agent *agent)
{
    /* relaxed: a sign of life that comes late is one that came late */
    const uint64_t beat_ns = load_relaxed(&agent->beat_ns);
    const uint64_t left = UINT64_MAX - 1 - beat_ns;
    const uint64_t at = beat_ns + (agent->heartbeat_ns < left ? agent->heartbeat_ns : left) + 1;

    if (agent->heartbeat_ns != 0 && at < lanes->beat_ns)
        lanes->beat_ns = at;
}

bool pawl__lost_agent(struct shard *shard, const struct pawl_port *port, struct agent *agent,
                      uint32_t *handled)
{
    struct lanes *lanes = shard->lanes;
    const uint32_t life = load_relaxed(&shard->ports->entries[port->index].life); /* E2 was */

    if (unlikely(agent->resumed && lanes->adopted[port->index] != life)) {
        lanes->adopted[port->index] = life;
        pawl__lanes_adopt(shard, port->index, agent->incarnation);
    }
    if (load_acquire(&agent->gone) != 0) { /* (A2) pairs with (A1) */
        *handled += lose(shard, port->index);
        if (lanes->lose_ns != 0 || !may_lose(shard))
            leave_to_time(lanes, port->index);
        if (lanes->held[port->index] == 0) {
            lanes->let_go[port->index] = life;
            add_acq_rel(&agent->left, 1); /* (A3) pairs with (A4): our last look at it */
        }
        return true;
    }
    if (agent_is_silent(agent, shard->now_ns)) {
        const uint32_t lost = lose(shard, port->index);

        *handled += lost;
        if (lanes->held[port->index] != 0 && lost > 0) /* more than one turn ends */
            lanes->beat_ns = shard->now_ns;
        return true;
    }
    if (lanes->held[port->index] != 0)
        note_beat(lanes, agent);
    return false;
}

uint32_t pawl__lost_take(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;
    uint32_t handled = 0;

    if (unlikely(lanes->held[HELD_LOST] != 0))
        handled += lose(shard, HELD_LOST);
    if (unlikely(shard->now_ns >= lanes->before_ns && lanes->held[HELD_BEFORE] != 0))
        handled += lose(shard, HELD_BEFORE);
    return handled;
}

/* Whether leases in this list can be ended now. */
static bool has_lost(struct shard *shard, uint32_t holder)
{
    const struct lanes *lanes = shard->lanes;

    return lanes->held[holder] != 0 && may_lose(shard) &&
           (lanes->lose_ns == 0 || lanes->lose_ns <= shard->now_ns);
}

bool pawl__lost_has_work(struct shard *shard)
{
    return has_lost(shard, HELD_LOST) ||
           (shard->lanes->before_ns <= shard->now_ns && has_lost(shard, HELD_BEFORE));
}
