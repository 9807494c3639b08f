/*
 * hand_out.c - a batch of ready tasks to one agent.
 *
 * Layer: shard. Owner: the shard.
 *
 * Handing out is delivering the machine's lease event, one task after the other, so that leases leave in
 * the order of their tickets; the step that it leads to writes the claim, and its completion is the
 * lease. A task may refuse (a guard, a limit): then it is put aside for a while (tickets.c).
 *
 * Lanes of one agent: stride scheduling (Waldspurger, 1995); each lane has a pass that grows by
 * STRIDE / weight with every lease, the smallest is next. In a steady state passes are never more than a
 * STRIDE apart, so one that lags further had nothing, or nobody to have it: it catches up to there, and
 * what it missed is gone.
 */
#include "shard/claim.h"
#include "shard/exchange.h"
#include "shard/lanes.h"
#include "shard/runtime.h"

#define STRIDE (UINT64_C(1) << 20)

/* Tickets of one lane that were granted at once. */
struct grant {
    uint32_t first, count;
    uint32_t round;
    uint32_t lane;
};

/* Which tasks are offered in one batch. */
struct offer {
    uint32_t tickets[BATCH_MAX];
    struct slot *slots[BATCH_MAX]; /* of their tasks */
    struct grant grants[BATCH_MAX];
    uint32_t count, grants_count;
};

/* Whether the first ticket of one order comes before that of another. Neither is empty. */
static bool is_before(const struct lanes *lanes, const struct order *a, const struct order *b)
{
    if (order_rank(a) != order_rank(b))
        return order_rank(a) < order_rank(b);
    return lanes_ticket(lanes, pawl__order_first(a))->since <
           lanes_ticket(lanes, pawl__order_first(b))->since;
}

/* The most urgent tickets that this agent may have: those of anybody, and those that are his alone. */
static uint32_t take_urgent(const struct lanes *lanes, struct lane_part *part, uint64_t agent,
                            uint32_t *tickets, uint32_t max)
{
    struct assigned *mine = part->assigned_count > 0 ? pawl__lanes_assigned(part, agent) : NULL;
    uint32_t count = 0;

    if (likely(mine == NULL))
        return pawl__order_take(&part->order, tickets, max);
    while (count < max && order_count(&mine->order) > 0 && order_count(&part->order) > 0) {
        const bool his = is_before(lanes, &mine->order, &part->order);

        count += pawl__order_take(his ? &mine->order : &part->order, tickets + count, 1);
    }
    count += pawl__order_take(&mine->order, tickets + count, max - count);
    return count + pawl__order_take(&part->order, tickets + count, max - count);
}

/* The lane of the mask whose turn it is. */
static uint32_t next_lane(struct lanes *lanes, uint64_t mask)
{
    uint32_t best = (uint32_t)__builtin_ctzll(mask);
    uint64_t top = lanes->parts[best].pass;

    for (uint64_t left = mask & (mask - 1); left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(left);

        if (lanes->parts[i].pass < lanes->parts[best].pass)
            best = i;
        if (lanes->parts[i].pass > top)
            top = lanes->parts[i].pass;
    }
    if (top - lanes->parts[best].pass > STRIDE)
        lanes->parts[best].pass = top - STRIDE;
    return best;
}

/* Takes up to `wanted` tickets out of one lane; fewer: this lane has no more for now. */
static uint32_t take_lane(struct shard *shard, uint32_t number, const struct agent *agent,
                          struct offer *offer, uint32_t wanted)
{
    struct lanes *lanes = shard->lanes;
    struct lane_part *part = &lanes->parts[number];
    const struct lane_grant grant = lane_admit(part->lane, shard->now_ns, wanted);
    uint32_t count;

    if (unlikely(grant.count < wanted))
        part->retry_ns = grant.retry_ns;
    if (unlikely(grant.wake))
        pawl__lanes_wake(shard->runtime);
    if (grant.count == 0)
        return 0;
    count = take_urgent(lanes, part, agent->number, offer->tickets + offer->count, grant.count);
    if (count < grant.count && lane_return(part->lane, grant.round, grant.count - count))
        pawl__lanes_wake(shard->runtime);
    if (count > 0)
        offer->grants[offer->grants_count++] = (struct grant){
            .first = offer->count, .count = count, .round = grant.round, .lane = number};
    offer->count += count;
    part->ready -= count;
    if (part->ready == 0)
        lanes->ready &= ~(UINT64_C(1) << number);
    part->pass += count * (STRIDE / part->lane->weight);
    return count;
}

static void collect(struct shard *shard, const struct agent *agent, uint64_t mask,
                    struct offer *offer, uint32_t wanted)
{
    struct lanes *lanes = shard->lanes;

    while (mask != 0 && offer->count < wanted) {
        const uint32_t number = next_lane(lanes, mask);
        const bool alone = (mask & (mask - 1)) == 0;
        const uint64_t there = lanes_available(&lanes->parts[number], agent->number);
        uint32_t ask = alone ? wanted - offer->count : 1;

        if (ask > there)
            ask = (uint32_t)there;
        if (ask == 0 || take_lane(shard, number, agent, offer, ask) < ask ||
            (alone && ask == there))
            mask &= ~(UINT64_C(1) << number);
    }
}

/* Other shards have spent the credits meanwhile: what is too much goes back to where it was. */
static void take_back(struct shard *shard, struct offer *offer, uint32_t count)
{
    struct lanes *lanes = shard->lanes;
    bool told = false;

    while (offer->count > count) {
        const uint32_t ticket = offer->tickets[--offer->count];
        struct grant *grant = &offer->grants[offer->grants_count - 1];
        struct lane_part *part = &lanes->parts[grant->lane];

        part->pass -= STRIDE / part->lane->weight;
        told |= lane_return(part->lane, grant->round, 1);
        part->retry_ns = 0; /* what it waited for may be what is given back */
        if (--grant->count == 0)
            offer->grants_count--;
        if (order_reserve(&lanes->pool) == 0)
            pawl__lanes_place(shard, ticket, lanes_ticket(lanes, ticket));
        else
            pawl__lanes_put_aside(shard, ticket);
    }
    if (told)
        pawl__lanes_wake(shard->runtime);
}

/* The slots' lines, then their contexts'. */
static void fetch(const struct shard *shard, struct offer *offer)
{
    for (uint32_t i = 0; i < offer->count; i++) {
        offer->slots[i] =
            table_slot(&shard->table, lanes_ticket(shard->lanes, offer->tickets[i])->slot);
        __builtin_prefetch(offer->slots[i], 1);
    }
    for (uint32_t i = 0; i < offer->count; i++) {
        struct slot *slot = offer->slots[i];
        /* relaxed: our own */
        const struct shard_machine *machine = shard_machine_of(shard, load_relaxed(&slot->head));

        __builtin_prefetch(
            (const void *)(uintptr_t)table_context(&shard->table, slot, machine->context_size), 1);
    }
}

/*
 * One task, which is alive: the steps before it were other tasks'. Most machines lease by the short
 * way. What is not leased after its step has refused; it may have ended, and its slot, or its
 * ticket, be another's.
 */
static void offer_one(struct shard *shard, uint32_t number, struct slot *slot)
{
    struct lanes *lanes = shard->lanes;
    struct ticket *ticket = lanes_ticket(lanes, number);
    const uint32_t index = ticket->slot;
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const struct shard_machine *machine = shard_machine_of(shard, head);
    const struct pawl_event event = {.task = shard_task(shard, slot, index),
                                     .code = machine->machine->lease_event,
                                     .flags = PAWL_EVENT_COMPLETE,
                                     .tag = PAWL__LEASE_TAG};
    const struct transition *transition =
        &machine->machine
             ->transitions[machine->cells[head_state(head) * machine->events_count + event.code]];

    if (likely(claim_is_short(shard, machine, slot, transition)))
        pawl__claim_step(shard, machine, slot, &event, lanes->to_source, transition);
    else
        pawl__dispatch(shard, &event, lanes->to_source);
    /* relaxed: our own */
    if (unlikely(ticket->place == TICKET_HANDED) &&
        load_relaxed(&slot->generation) == id_generation(event.task) && slot->extension == number) {
        lanes->parts[ticket->lane].count[LANE_RETURNED]++;
        pawl__lanes_put_aside(shard, number);
    }
}

/* Probes and other leases are told apart by their grant's round; what has not become a lease is
 * given back to its lane's limits. */
static void deliver(struct shard *shard, const struct offer *offer)
{
    struct lanes *lanes = shard->lanes;
    bool told = false;

    pawl__exchange_open_local(shard);
    for (uint32_t n = 0; n < offer->grants_count; n++) {
        const struct grant *grant = &offer->grants[n];

        lanes->to_round = grant->round;
        lanes->leased = 0;
        for (uint32_t i = 0; i < grant->count; i++)
            offer_one(shard, offer->tickets[grant->first + i], offer->slots[grant->first + i]);
        if (lanes->leased == grant->count)
            continue;
        told |=
            lane_return(lanes->parts[grant->lane].lane, grant->round, grant->count - lanes->leased);
        lanes->parts[grant->lane].retry_ns = 0; /* for others than the one that refused */
    }
    pawl__exchange_close_local(shard);
    shard->count.events += offer->count;
    if (told)
        pawl__lanes_wake(shard->runtime);
}

/*
 * Credits are taken last, as many as there are tasks for: another shard that looks for some and finds
 * none may then sleep, because they are spent and not only borrowed.
 */
uint32_t pawl__hand_out(struct shard *shard, const struct pawl_port *port, struct agent *agent,
                        uint64_t mask)
{
    struct lanes *lanes = shard->lanes;
    struct offer offer;
    const uint32_t there = load_acquire(&agent->credits); /* (G2) */

    offer.count = offer.grants_count = 0;
    if (there > 0)
        collect(shard, agent, mask, &offer, there < BATCH_MAX ? there : BATCH_MAX);
    if (offer.count > 0)
        take_back(shard, &offer, agent_take(agent, offer.count));
    if (offer.count == 0)
        return 0;
    fetch(shard, &offer);
    shard->fresh_ns = 0; /* a lease begins when it is handed out */
    lanes->to = agent;
    lanes->to_source = (uint16_t)(port->index + 1);
    deliver(shard, &offer);
    lanes->to = NULL;
    lanes->changed = true;
    return offer.count;
}
