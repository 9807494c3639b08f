/*
 * timers.h - the timers of tasks: which node of the wheel is which task's timer.
 *
 * Layer: shard. Owner: the shard. A task's armed timers form a list through timer_node.sibling that
 * begins in slot.timers; a timer has at most one node.
 *
 * A timer that expires becomes an event with PAWL_EVENT_TIMER: arg[0] the timer, arg[1] its node
 * and stamp. Until the event is handled the node stays in the task's list, no longer armed; so a
 * step that cancels, arms anew or ends the task meanwhile takes the node away or gives it a new
 * stamp, and the event finds that it is void.
 */
#ifndef PAWL_SHARD_TIMERS_H
#define PAWL_SHARD_TIMERS_H

#include "shard/shard.h"

/* Stages arming (or cancelling) of a timer of the step's task. 0, -ENOSPC, -ENOMEM. */
int pawl__timer_stage_arm(struct pawl_step *step, unsigned timer, uint64_t delay_ns);
int pawl__timer_stage_cancel(struct pawl_step *step, unsigned timer);

/* Carries out, or takes back, what was staged. Neither can fail. */
void pawl__timers_commit(struct pawl_step *step);
void pawl__timers_abort(struct pawl_step *step);

/*
 * The same at once. arm: for a tick, which may be past; false: no memory, and nothing has happened.
 * cancel: one that is not armed is no error.
 */
bool pawl__timer_arm(struct shard *shard, struct slot *slot, uint32_t slot_index, unsigned timer,
                     uint64_t tick);
void pawl__timer_cancel(struct shard *shard, struct slot *slot, unsigned timer);

/* Frees all timers of a task that ends. */
void pawl__timers_end(struct shard *shard, struct slot *slot);

/* Takes the node of a timer's event out of the task's list; 0: the event is void. */
uint32_t pawl__timer_claim(struct shard *shard, struct slot *slot, const struct pawl_event *event);

/* A claimed node's way out: free it, or (the step could not be made) let it expire again. */
void pawl__timer_drop(struct shard *shard, uint32_t node);
void pawl__timer_retry(struct shard *shard, struct slot *slot, uint32_t node);

/*
 * Restoring, before the shard is turned. add, forget: the timers of a task, in a slab of nodes that
 * need not be a shard's; a node's expiry is shard time in ns then. add returns false: no memory.
 * arm: those of a slot of this shard, for the wheel; false: there is no such timer in the task's
 * machine.
 */
bool pawl__timers_restore_add(struct slab *nodes, struct slot *slot, uint32_t slot_index,
                              unsigned timer, uint64_t expiry_ns);
void pawl__timers_restore_forget(struct slab *nodes, struct slot *slot);
bool pawl__timers_restore_arm(struct shard *shard, struct slot *slot, unsigned timers_count);

/* The first tick at or after a time of the shard's clock, not before it was opened. */
uint64_t pawl__timer_tick_at(const struct shard *shard, uint64_t ns);

/* When a task's timer fires; UINT64_MAX: it is not armed. */
uint64_t pawl__timer_tick(const struct shard *shard, const struct slot *slot, unsigned timer);

/* Phase of the turn: runs what is due up to a tick. Returns how many timers fired. */
uint32_t pawl__timers_take(struct shard *shard, uint64_t tick);

#endif /* PAWL_SHARD_TIMERS_H */
