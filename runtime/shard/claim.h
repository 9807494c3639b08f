/*
 * claim.h - lane states as a step sees them: what it must write into the claim, and how the lane's
 * order follows the task.
 *
 * Layer: shard. Owner: the shard. A step of a machine with lane states is looked at twice: before it
 * is admitted, where it may still fail (stage), and after its commit (commit), which cannot. Between
 * the two the staged fields of struct lanes belong to it.
 */
#ifndef PAWL_SHARD_CLAIM_H
#define PAWL_SHARD_CLAIM_H

#include "shard/durable.h"
#include "shard/shard.h"

/*
 * pawl__claim_prepare - writes the runtime's part of the claim in the step's context and makes sure of
 * all memory; lanes.staged says what is to become of the lease timer. 0, -ENOENT (no such lane), -EPERM (a leased
 * state entered otherwise than by being handed out), -ENOMEM.
 * pawl__claim_stage - the same, and stages the lease timer; also -ENOSPC. Nothing for a step that
 * puts its event aside.
 */
int pawl__claim_prepare(struct shard *shard, struct pawl_step *step);
int pawl__claim_stage(struct shard *shard, struct pawl_step *step);

/* Moves the ticket to where the task now belongs. */
void pawl__claim_commit(struct shard *shard, struct pawl_step *step);

/*
 * The whole of a step by its short way (shard/claim_step.c), deferred events and all, where
 * claim_is_short says so and the slot has the task of the event.
 */
void pawl__claim_step(struct shard *shard, const struct shard_machine *machine, struct slot *slot,
                      const struct pawl_event *event, uint16_t source,
                      const struct transition *transition);

/* A durable one takes it while the journal has room to spare; a recall's entries are admitted by the
 * long way. */
static inline bool claim_is_short(const struct shard *shard, const struct shard_machine *machine,
                                  const struct slot *slot, const struct transition *transition)
{
    return (transition->flags & TRANSITION_CLAIM) != 0 &&
           (machine->machine->durability == PAWL_DURABILITY_MEMORY ||
            (shard->durable->easy && slot_deferred(slot) == 0));
}

/* The task of a slot with a ticket ends or is given up: so does the ticket. */
void pawl__claim_end(struct shard *shard, struct slot *slot);

static inline void claim_end(struct shard *shard, struct slot *slot)
{
    if (unlikely(slot->extension != 0))
        pawl__claim_end(shard, slot);
}

static inline bool step_has_claim(const struct pawl_step *step)
{
    return unlikely((step->staged & STAGED_CLAIM) != 0);
}

#endif /* PAWL_SHARD_CLAIM_H */
