/*
 * restore.h - recovery: from the files of a store to shards that go on where they were.
 *
 * Layer: shard. Called once, by pawl_open, after the shards are made and before any of them is
 * turned. Nothing on disk is changed, whatever the result.
 *
 * What comes back: tasks with state, context, key, timers and deferred events; for each pair of
 * shards how many durable events were sent and taken; and what was sent and not taken is sent
 * again, in order. Time goes on where it stood still: at the latest time that any frame of any
 * shard tells.
 *
 * In place. Where the number of shards is the same, no definition has changed and the manifest has
 * room for the new ones, entries are applied in the shards' own tables, one thread a shard. Otherwise each shard of the store is read
 * into a table of its own, and its tasks are then moved: to the home shard of their key, or else to
 * the same number, modulo the shards there are now. This takes twice the memory while it lasts, and
 * makes a new set of files necessary: `rewrite`.
 *
 * Ids. A task that keeps its shard keeps its id. One that moves gets another; the old one goes on
 * to mean it (shard/alias.h).
 */
#ifndef PAWL_SHARD_RESTORE_H
#define PAWL_SHARD_RESTORE_H

#include "shard/durable.h"
#include "shard/runtime.h"
#include "store/manifest.h"
#include "task/table.h"

struct restore_options {
    const struct pawl_storage *storage;
    const char *directory;
    const struct manifest *manifest; /* as it was read: the epoch before this one */
    const struct pawl_migration *migrations;
    size_t migrations_count;
    pawl_store_progress_fn *progress;
    pawl_diagnostic_fn *diagnose;
    void *user; /* of the callbacks and of migrations */
};

/* Of a shard of the runtime. */
struct restored_shard {
    struct store_position position;
    uint64_t base_file;     /* of the snapshot that was read; 0: none, or rewrite */
    uint64_t base_snapshot; /* its number */
    uint64_t tasks;
    uint64_t reserved; /* of these, tasks that wait for their first step */
    uint64_t entries;  /* read */
    uint64_t resent;   /* events that it sent again */
    struct table_floors floors;
};

struct restored {
    struct restored_shard *shards;
    uint32_t shards_count;
    uint64_t time_ns; /* of all shards */
    bool rewrite;     /* the set on disk does not say what the shards are now: write another */
};

/*
 * pawl__restore - fills the runtime's shards, whose durable->links exist and are empty, with their
 * fifos; and runtime->aliases. runtime->key_seed is the manifest's. The shards' time (open_ns,
 * wheel) and the runtime's open_ns, from which both are counted, are set back by time_ns, modulo
 * 2^64.
 *
 * Returns: 0, with *restored to be given to pawl__restored_fini; or after a diagnostic -EBADMSG
 * (corrupt), -EINVAL (a changed definition), -ENOSPC (tasks_max), -EEXIST (two tasks with one key),
 * -ENOMEM, the storage's error. Then the shards hold nothing and can be destroyed. Warnings (a
 * damaged snapshot was passed over) go to diagnose too.
 */
int pawl__restore(struct pawl_runtime *runtime, const struct restore_options *options,
                  struct restored *restored);
void pawl__restored_fini(struct restored *restored);

/*
 * restore_read.c: the files of the set in force, none unfinished, by shard; the caller frees *files.
 * 0, or an error with what there is to say of it: -EBADMSG if there are files that the manifest
 * cannot know of, or the storage's.
 */
int pawl__restore_list(const struct restore_options *options, struct store_file **files,
                       size_t *count, char *what, size_t size);

/* Sets durable->floors, one a granule of the shard's slots, to what the journal has promised. */
void pawl__restored_floors(const struct restored *restored, struct shard *shard);

#endif /* PAWL_SHARD_RESTORE_H */
