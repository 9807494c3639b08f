/*
 * dispatch.c - one event to its task, whatever it is: a request to create, a cancel, a timer's, one that
 * comes too late or too early.
 *
 * Layer: shard. Owner: the shard. What batches do for the plain case is done here one by one.
 */
#include <errno.h>

#include "shard/create.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/shard.h"
#include "shard/timers.h"

/* An event for a slot that has been given out but has not made its first step: it is kept until then, in
 * order with its like. */
static void wait_for_creation(struct shard *shard, struct slot *slot,
                              const struct pawl_event *event, uint16_t source)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const struct pawl_machine *machine = shard->machines[head_machine(head)].machine;
    const bool durable = machine->durability != PAWL_DURABILITY_MEMORY;
    const enum durable_room room =
        (event->flags & PAWL_EVENT_DURABLE) != 0 ? ROOM_INSIDE : ROOM_PLAIN;
    const size_t bytes = sizeof(struct entry_defer) + durable_event_bytes(event);
    uint32_t kept = 0;
    int error = 0;

    if (durable)
        error = pawl__durable_may_defer(shard, slot, event)
                    ? pawl__durable_admit(shard, bytes, room)
                    : -ENOSPC;
    if (error == 0) {
        kept = pawl__deferral_create(shard, event, source);
        error = kept == 0 ? -ENOMEM : 0;
    }
    if (error != 0) {
        pawl__report_failed(shard, event, source, event->task, error);
        return;
    }
    pawl__deferral_append(shard, slot, kept);
    /* Of a slot that the journal does not know yet it hears all at once, with the first step. */
    if (durable && (head_flags(head) & SLOT_RECORDED) != 0)
        pawl__durable_defer(shard, id_slot(event->task), kept);
}

void pawl__dispatch(struct shard *shard, const struct pawl_event *event, uint16_t source)
{
    const uint32_t index = id_slot(event->task);
    struct slot *slot;
    uint64_t head;

    if (event->code == PAWL_CODE_CREATE) {
        pawl__create(shard, event, source);
        return;
    }
    slot = index < slab_top(&shard->table.slots) ? table_slot(&shard->table, index) : NULL;
    /* relaxed, here and below: the owner reads its own. */
    head = slot != NULL ? load_relaxed(&slot->head) : 0;
    if (slot == NULL || load_relaxed(&slot->generation) != id_generation(event->task) ||
        (head_flags(head) & (SLOT_ALIVE | SLOT_RESERVED)) == 0) {
        if ((event->flags & PAWL_EVENT_TIMER) != 0)
            return; /* its task ended in the same batch, and the timer with it */
        shard->count.stale++;
        pawl__report_failed(shard, event, source, event->task, -ESTALE);
        return;
    }
    if ((head_flags(head) & SLOT_RESERVED) != 0) {
        wait_for_creation(shard, slot, event, source);
        return;
    }
    if ((event->flags & PAWL_EVENT_TIMER) != 0) {
        shard->step.timer_node = pawl__timer_claim(shard, slot, event);
        if (shard->step.timer_node == 0)
            return; /* cancelled or armed anew after it expired */
        shard->count.timers_fired++;
    }
    deferral_follow(shard, index, pawl__step(shard, index, event, source));
}
