#include "shard/deadlines.h"

#include "shard/timers.h"

/*
 * Those that end before the tick after this turn's are taken: their timers may still wait for it.
 * False: there is no memory for a timer.
 */
static bool take_lane(struct shard *shard, struct lane_part *part, uint32_t *left)
{
    struct lanes *lanes = shard->lanes;

    while (part->first_to_end != 0 && *left > 0) {
        struct ticket *ticket = lanes_ticket(lanes, part->first_to_end);
        struct slot *slot = table_slot(&shard->table, ticket->slot);
        /* relaxed: our own */
        const struct pawl_machine *machine =
            shard->machines[head_machine(load_relaxed(&slot->head))].machine;

        if (ticket->rank > shard->now_ns + shard->tick_ns)
            break;
        if (!pawl__timer_arm(shard, slot, ticket->slot, machine->lease_timer,
                             pawl__timer_tick_at(shard, ticket->rank)))
            return false;
        deadline_drop(lanes, ticket);
        --*left;
    }
    return true;
}

uint64_t pawl__deadlines_take(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;
    const uint64_t now = shard_tick_of(shard, shard->now_ns);
    uint32_t left = QUOTA;
    uint64_t due = UINT64_MAX, first_left;

    if (likely(lanes->due_ns > shard->now_ns + shard->tick_ns))
        return now;
    /* Each time another lane is first: the quota may be too small for all. */
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct lane_part *part = &lanes->parts[(i + shard->count.turns) % lanes->count];
        const bool taken = take_lane(shard, part, &left);
        uint64_t first = UINT64_MAX;

        if (!taken)
            first = shard->now_ns + 2 * shard->tick_ns; /* once more at the next tick */
        else if (part->first_to_end != 0)
            first = lanes_ticket(lanes, part->first_to_end)->rank;
        due = first < due ? first : due;
    }
    lanes->due_ns = due;
    if (likely(due > shard->now_ns))
        return now;
    first_left = pawl__timer_tick_at(shard, due);
    if (first_left > now)
        return now;
    return first_left > shard->wheel.collected ? first_left - 1 : shard->wheel.collected;
}

bool pawl__deadline_tick(const struct shard *shard, const struct slot *slot, uint64_t *tick)
{
    const struct ticket *ticket;

    if (slot->extension == 0)
        return false;
    ticket = lanes_ticket(shard->lanes, slot->extension);
    if (ticket->timed == 0)
        return false;
    *tick = pawl__timer_tick_at(shard, ticket->rank);
    return true;
}
