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

#include "shard/shard.h"

/*
 * pawl__claim_stage - writes the runtime's part of the claim in the step's context, stages the lease
 * timer, and makes sure of all memory. 0, -ENOENT (no such lane), -EPERM (a leased state entered
 * otherwise than by being handed out), -ENOSPC, -ENOMEM.
 */
int pawl__claim_stage(struct shard *shard, struct pawl_step *step);

/* Moves the ticket to where the task now belongs. */
void pawl__claim_commit(struct shard *shard, struct pawl_step *step);

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
