/*
 * tickets.c - the lists in which a shard keeps the tickets of its tasks: ready ones in their lane's order,
 * leased ones by their agent, refused ones by when they are offered again.
 *
 * Layer: shard. Owner: the shard.
 */
#include <stdlib.h>

#include "shard/deadlines.h"
#include "shard/lanes.h"
#include "shard/runtime.h"

/* A task that refuses a lease is offered again after so long, so that it keeps no other from its turn. */
#define RETRY_NS UINT64_C(1000000)

static void list_put(const struct lanes *lanes, uint32_t *first, uint32_t index,
                     struct ticket *ticket)
{
    ticket->next = *first;
    ticket->prev = 0;
    if (*first != 0)
        lanes_ticket(lanes, *first)->prev = index;
    *first = index;
}

static void list_take_out(const struct lanes *lanes, uint32_t *first, const struct ticket *ticket)
{
    if (ticket->prev != 0)
        lanes_ticket(lanes, ticket->prev)->next = ticket->next;
    else
        *first = ticket->next;
    if (ticket->next != 0)
        lanes_ticket(lanes, ticket->next)->prev = ticket->prev;
}

struct assigned *pawl__lanes_assigned(const struct lane_part *part, uint64_t assignee)
{
    for (uint32_t i = 0; i < part->assigned_count; i++)
        if (part->assigned[i].assignee == assignee)
            return &part->assigned[i];
    return NULL;
}

struct order *pawl__lanes_order(struct lanes *lanes, uint32_t lane, uint64_t assignee)
{
    struct lane_part *part = &lanes->parts[lane];
    struct assigned *assigned, *grown;

    if (assignee == 0)
        return &part->order;
    assigned = pawl__lanes_assigned(part, assignee);
    if (assigned != NULL)
        return &assigned->order;
    for (uint32_t i = 0; i < part->assigned_count; i++) /* one that is used up serves again */
        if (order_count(&part->assigned[i].order) == 0) {
            part->assigned[i].assignee = assignee;
            return &part->assigned[i].order;
        }
    grown = realloc(part->assigned, (part->assigned_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    part->assigned = grown;
    assigned = &grown[part->assigned_count++];
    assigned->assignee = assignee;
    pawl__order_init(&assigned->order, &lanes->pool, &lanes->tickets);
    return &assigned->order;
}

int pawl__lanes_position(const struct lanes *lanes, uint32_t number)
{
    for (uint32_t i = 0; i < lanes->count; i++)
        if (lanes->parts[i].lane->number == number)
            return (int)i;
    return -1;
}

static void count_ready(struct lanes *lanes, uint32_t lane, int change)
{
    struct lane_part *part = &lanes->parts[lane];

    part->ready += (uint32_t)change;
    if (part->ready == 0)
        lanes->ready &= ~(UINT64_C(1) << lane);
    else
        lanes->ready |= UINT64_C(1) << lane;
    lanes->changed = true;
}

static bool only_waits(uint32_t holder)
{
    return holder == HELD_BEFORE || holder == HELD_ORPHANS;
}

void pawl__lanes_place(struct shard *shard, uint32_t index, struct ticket *ticket)
{
    struct lanes *lanes = shard->lanes;

    if (ticket->place == TICKET_LEASED) {
        list_put(lanes, &lanes->held[ticket->holder], index, ticket);
        lanes->parts[ticket->lane].count[LANE_LEASED]++;
        lanes->held_count++;
        lanes->waiting += only_waits(ticket->holder);
        lanes->beat_ns = 0; /* whoever has it now is to be looked at */
        lanes->changed = true;
        return;
    }
    /* Memory was made sure of when the step was staged. */
    pawl__order_insert(lanes_order(lanes, ticket->lane, ticket->assignee), index);
    count_ready(lanes, ticket->lane, 1);
}

void pawl__lanes_take_out(struct shard *shard, uint32_t index, struct ticket *ticket)
{
    struct lanes *lanes = shard->lanes;
    struct lane_part *part = &lanes->parts[ticket->lane];

    switch ((enum ticket_place)ticket->place) {
    case TICKET_READY:
        pawl__order_remove(lanes_order(lanes, ticket->lane, ticket->assignee), index);
        count_ready(lanes, ticket->lane, -1);
        break;
    case TICKET_LEASED:
        list_take_out(lanes, &lanes->held[ticket->holder], ticket);
        deadline_drop(lanes, ticket);
        part->count[LANE_LEASED]--;
        lanes->held_count--;
        lanes->waiting -= only_waits(ticket->holder);
        if (lane_release(part->lane, ticket->round, 1))
            pawl__lanes_wake(shard->runtime);
        break;
    case TICKET_RETRY:
        part->aside--;
        lanes->changed = true;
        if (lanes->retry_last == index)
            lanes->retry_last = ticket->prev;
        list_take_out(lanes, &lanes->retry_first, ticket);
        break;
    case TICKET_HANDED:
    case TICKET_NONE:
        break;
    }
    ticket->place = TICKET_NONE;
}

/* ---- Tasks that refused ---- */

/* Its rank stays what it was. */
void pawl__lanes_put_aside(struct shard *shard, uint32_t index)
{
    struct lanes *lanes = shard->lanes;
    struct ticket *ticket = lanes_ticket(lanes, index);

    ticket->place = TICKET_RETRY;
    lanes->parts[ticket->lane].aside++;
    ticket->again_ns = shard->now_ns + RETRY_NS;
    ticket->next = 0;
    ticket->prev = lanes->retry_last;
    if (lanes->retry_last != 0)
        lanes_ticket(lanes, lanes->retry_last)->next = index;
    else
        lanes->retry_first = index;
    lanes->retry_last = index;
}

void pawl__lanes_take_back(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;

    while (lanes->retry_first != 0) {
        const uint32_t index = lanes->retry_first;
        struct ticket *ticket = lanes_ticket(lanes, index);

        /* The order that it was in may serve another assignee by now. */
        if (ticket->again_ns > shard->now_ns || order_reserve(&lanes->pool) != 0 ||
            pawl__lanes_order(lanes, ticket->lane, ticket->assignee) == NULL)
            return;
        pawl__lanes_take_out(shard, index, ticket);
        ticket->place = TICKET_READY;
        pawl__lanes_place(shard, index, ticket);
    }
}

/* ---- Agents that are gone ---- */

void pawl__lanes_move(struct lanes *lanes, uint32_t index, uint32_t list)
{
    struct ticket *ticket = lanes_ticket(lanes, index);

    list_take_out(lanes, &lanes->held[ticket->holder], ticket);
    lanes->waiting -= only_waits(ticket->holder);
    ticket->holder = list;
    list_put(lanes, &lanes->held[list], index, ticket);
    lanes->waiting += only_waits(list);
    lanes->changed = true;
}

static void adopt_from(struct shard *shard, uint32_t list, uint32_t port, uint64_t incarnation)
{
    struct lanes *lanes = shard->lanes;
    uint32_t next;

    for (uint32_t index = lanes->held[list]; index != 0; index = next) {
        const struct ticket *ticket = lanes_ticket(lanes, index);
        struct slot *slot = table_slot(&shard->table, ticket->slot);
        /* relaxed: our own */
        const uint8_t machine = head_machine(load_relaxed(&slot->head));
        struct pawl_claim claim;

        next = ticket->next;
        words_load((uint64_t *)(void *)&claim,
                   table_context(&shard->table, slot, shard->machines[machine].context_size),
                   sizeof(claim) / 8);
        if (claim.agent == incarnation)
            pawl__lanes_move(lanes, index, port);
    }
}

void pawl__lanes_adopt(struct shard *shard, uint32_t port, uint64_t incarnation)
{
    adopt_from(shard, HELD_BEFORE, port, incarnation);
    adopt_from(shard, HELD_ORPHANS, port, incarnation);
}
