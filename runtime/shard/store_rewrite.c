/*
 * store_rewrite.c - a recovered store in a new shape: another number of shards, changed definitions,
 * or a manifest that was full of them and keeps only those that the runtime has.
 *
 * Layer: shard. Called while nothing turns. Every shard's state becomes a snapshot, in a set of
 * files with a number of its own; then the manifest names the new set, atomically; then the old one
 * is removed. A crash before the manifest leaves the old store as it was, and leftovers; after it,
 * the new one.
 */
#include <errno.h>
#include <string.h>

#include "shard/durable.h"
#include "shard/store_open.h"

/* A snapshot in one go, by writes that are waited for. */
static int write_snapshot(struct pawl_runtime *runtime, struct shard *shard)
{
    struct journal_queue direct = {.depth = IO_DEPTH_MAX};
    struct durable *durable = shard->durable;
    struct journal *journal = &durable->journal;

    journal->queue = &direct;
    pawl__durable_begin(shard); /* the images' time */
    store_release(&durable->snapshot_asked, 1);
    while (load_acquire(&journal->snapshots) == 0) {
        bool any;

        if (load_acquire(&journal->failed) != 0 || load_acquire(&journal->snapshots_dropped) > 0)
            return pawl__store_complain(
                runtime->store, journal->failed != 0 ? journal->failed : journal->snapshot_error,
                "writing a snapshot in the store's new shape");
        any = pawl__durable_walk(shard);
        any |= pawl__images_pump(journal);
        if (!any && !durable->walk.under_way &&
            load_acquire(&journal->snapshot_stage) == SNAPSHOT_NONE &&
            load_acquire(&journal->snapshots) == 0)
            return -ENOMEM; /* it could not be begun */
    }
    return 0;
}

int pawl__store_rewrite(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    struct manifest *manifest = store->manifest;
    const uint32_t before = manifest->set;
    int error;

    if (before == UINT16_MAX)
        return pawl__store_complain(
            store, -ENOSPC,
            "giving the store a new shape, which it has had 65535 times (a copy by `pawl export` "
            "and `pawl import` begins anew),");
    /* What a rewrite that did not come to its end has left is in the way. */
    error = pawl__store_remove_leftovers(runtime, false);
    manifest->set++;
    for (uint32_t i = 0; i < runtime->shard_count && error == 0; i++) {
        struct durable *durable = &store->durables[i];

        durable->position = (struct store_position){
            .lsn = 1, .file = 1, .snapshot = 1, .time_ns = durable->position.time_ns};
        error = pawl__store_init_journal(runtime, runtime->shards[i]);
        if (error == 0)
            error = write_snapshot(runtime, runtime->shards[i]);
    }
    if (error != 0) {
        manifest->set = before;
        return error;
    }
    manifest->shards = runtime->shard_count;
    error = pawl__store_write_manifest(runtime);
    return error == 0 ? pawl__store_remove_leftovers(runtime, false) : error;
}
