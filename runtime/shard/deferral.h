/*
 * deferral.h - events that a task has put aside until its state changes.
 *
 * Layer: shard. Owner: the shard. A task's deferrals form a ring; slot.deferred is the newest, its
 * next the oldest, and it holds the count. So appending and taking the oldest are O(1).
 */
#ifndef PAWL_SHARD_DEFERRAL_H
#define PAWL_SHARD_DEFERRAL_H

#include "shard/shard.h"

/* A copy of the event that a task may keep; 0: no memory. */
uint32_t pawl__deferral_create(struct shard *shard, const struct pawl_event *event,
                               uint16_t source);
void pawl__deferral_destroy(struct shard *shard, uint32_t deferral);

/* One that is put aside again is no more waited for by a drain than it was. */
void pawl__deferral_keep_asked(struct shard *shard, uint32_t deferral);

/* Setup, after recovery: counts those whose answer nobody waits for. */
void pawl__deferral_count_unasked(struct shard *shard);

/* Appends as the newest. */
void pawl__deferral_append(struct shard *shard, struct slot *slot, uint32_t deferral);

uint32_t pawl__deferral_count(const struct shard *shard, const struct slot *slot);

/*
 * Steps the task's deferrals, oldest first, and again as often as the state changes. unwritten: the
 * journal may not know of what is kept.
 */
void pawl__deferral_recall(struct shard *shard, uint32_t slot_index, bool unwritten);

/* After a step: a task whose state was left steps them. */
static inline void deferral_follow(struct shard *shard, uint32_t slot_index, enum verdict verdict)
{
    if (verdict == VERDICT_CHANGED && slot_deferred(table_slot(&shard->table, slot_index)) != 0)
        pawl__deferral_recall(shard, slot_index, false);
}

/* Reports all of them to their senders and leaves none. */
void pawl__deferral_end(struct shard *shard, struct slot *slot, struct pawl_task task, int error);

/*
 * A durable task's deferrals when the runtime stops: those that ports posted are reported, the rest
 * stays in the journal.
 */
void pawl__deferral_stop(struct shard *shard, uint32_t slot_index);

/*
 * Restoring, before the shard is turned, in a slab that need not be a shard's. add appends an
 * event, whose buffer it takes over; false: no memory. cut leaves the `kept` oldest and drops the
 * buffers of the rest. next: the one after `deferral`, oldest first, from 0 to 0.
 */
bool pawl__deferral_restore_add(struct slab *deferrals, struct slot *slot,
                                const struct pawl_event *event);
void pawl__deferral_restore_cut(struct slab *deferrals, struct slot *slot, uint32_t kept);
uint32_t pawl__deferral_restore_next(const struct slab *deferrals, const struct slot *slot,
                                     uint32_t deferral);

#endif /* PAWL_SHARD_DEFERRAL_H */
