/*
 * restore_move.h - from images with tables of their own to the runtime's shards: tasks that move to
 * other shards, tasks of changed machines, and the events on their way to them.
 *
 * Layer: shard. One thread, before the shards' tables are finished.
 */
#ifndef PAWL_SHARD_RESTORE_MOVE_H
#define PAWL_SHARD_RESTORE_MOVE_H

#include "shard/restore_machines.h"

struct move {
    struct pawl_runtime *runtime;
    const struct restore_machines *machines;
    struct image *images; /* of the store's shards */
    uint32_t images_count;
    struct table_floors *floors; /* of the runtime's shards; filled here */
    uint32_t *next;              /* of each: the lowest index that no old task has had */
};

/*
 * Tasks, keys, timers, deferred events into the shards, not finished (pawl__table_restore_end);
 * aliases into the runtime; floors. 0 or an error with the fault of some image.
 */
int pawl__move_tasks(struct move *move);

/*
 * An event that was sent by shard `from` of the store and not taken, as it is to be sent now;
 * *sender is the shard that sends it. What is addressed to a task that is gone stays undeliverable.
 * 0 or an error with images[from].fault.
 */
int pawl__move_event(struct move *move, uint32_t from, struct pawl_event *event, uint32_t *sender);

#endif /* PAWL_SHARD_RESTORE_MOVE_H */
