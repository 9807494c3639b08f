/*
 * alias.h - ids of tasks that have moved to another shard, and what their ids are now.
 *
 * Layer: shard. When a store is opened with another number of shards, tasks move, and a task's id
 * names its shard. The old ids live on: in hosts' tables, in other tasks' contexts. So this table
 * turns an old id into the new one, for as long as the task lives. It is looked at where an id
 * leads nowhere, and only there: a task that has not moved pays nothing.
 *
 * A cell with `to` 0 is no alias: it says which generations a shard's ids have had, the highest as
 * `from`. So the ids of a shard that goes and comes again are not used twice.
 *
 * Made once, when a store is opened, and constant afterwards: any thread reads it without a lock.
 * Snapshots hold it (store/entry.h, ENTRY_ALIAS).
 */
#ifndef PAWL_SHARD_ALIAS_H
#define PAWL_SHARD_ALIAS_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alias {
    uint64_t from; /* 0: an empty cell */
    uint64_t to;
};

struct aliases {
    struct alias *cells; /* a power of two of them, at most half full; NULL: none */
    uint64_t mask;
    size_t count;
};

void pawl__aliases_fini(struct aliases *aliases);

/* Room for `count` in an empty table. -ENOMEM. */
int pawl__aliases_init(struct aliases *aliases, size_t count);

/* Adds one; there is room. An id that is there already is given the new meaning. from is not 0. */
void pawl__aliases_add(struct aliases *aliases, uint64_t from, uint64_t to);

/* What an id means now; the same id if it is not in the table. */
uint64_t pawl__aliases_find(const struct aliases *aliases, uint64_t id);

/* One after the other, in no order: the first for *at 0, NULL behind the last. */
const struct alias *pawl__aliases_next(const struct aliases *aliases, size_t *at);

static inline struct pawl_task aliases_resolve(const struct aliases *aliases, struct pawl_task task)
{
    return aliases->count == 0 ? task : (struct pawl_task){pawl__aliases_find(aliases, task.id)};
}

#endif /* PAWL_SHARD_ALIAS_H */
