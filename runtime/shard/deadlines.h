/*
 * deadlines.h - when leases end by themselves, without a timer for each.
 *
 * Most leases are reported on long before. Those of one lane are granted for the same span, so on one
 * shard they end in the order in which they were granted: a list a lane, of which only the first is
 * looked at. A lease that comes to its deadline gets its machine's lease timer, for the right tick,
 * and from there on it is a timer like any other. One that is extended, restored, or armed by its
 * machine's own functions has the timer from then on, and leaves the list.
 *
 * Layer: shard. Owner: the shard.
 *
 * The decisions to question: within one tick leases end after timers that were armed for it, since
 * theirs are armed last. A clock that host threads read differently may disorder the list by what
 * their readings differ; a lease then ends so much late, as one does in a turn that comes late.
 */
#ifndef PAWL_SHARD_DEADLINES_H
#define PAWL_SHARD_DEADLINES_H

#include "shard/lanes.h"

/* A ticket that has just been leased, by its index, is to end then. */
static inline void deadline_add(struct lanes *lanes, uint32_t index, struct ticket *ticket,
                                uint64_t deadline_ns)
{
    struct lane_part *part = &lanes->parts[ticket->lane];

    ticket->rank = deadline_ns;
    ticket->timed = 1;
    ticket->sooner = part->last_to_end;
    ticket->later = 0;
    if (part->last_to_end != 0)
        lanes_ticket(lanes, part->last_to_end)->later = index;
    else
        part->first_to_end = index;
    part->last_to_end = index;
    lanes->timed++;
    if (deadline_ns < lanes->due_ns)
        lanes->due_ns = deadline_ns;
}

/* The ticket is leased no more, or a timer ends it. */
static inline void deadline_drop(struct lanes *lanes, struct ticket *ticket)
{
    struct lane_part *part = &lanes->parts[ticket->lane];

    if (ticket->timed == 0)
        return;
    ticket->timed = 0;
    lanes->timed--;
    if (ticket->sooner != 0)
        lanes_ticket(lanes, ticket->sooner)->later = ticket->later;
    else
        part->first_to_end = ticket->later;
    if (ticket->later != 0)
        lanes_ticket(lanes, ticket->later)->sooner = ticket->sooner;
    else
        part->last_to_end = ticket->sooner;
}

/*
 * Phase of the turn, before timers fire: leases that are due get their timers, up to a quota. Returns
 * the tick up to which timers may fire then, this turn's or one before the first lease left over.
 */
uint64_t pawl__deadlines_take(struct shard *shard);

/* Whether a slot's task has a lease whose deadline is here, and the tick of it. */
bool pawl__deadline_tick(const struct shard *shard, const struct slot *slot, uint64_t *tick);

#endif /* PAWL_SHARD_DEADLINES_H */
