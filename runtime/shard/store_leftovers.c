/*
 * store_leftovers.c - what lies in a store's directory and counts no more, removed; and how much
 * the rest takes.
 *
 * Layer: shard. Called while nothing turns, after recovery has found out what counts. A file that
 * was prepared and never begun tells recovery that all numbers below it were there
 * (restore_read.c). Removals may reach the disk in any order; so of each shard's such files the
 * lowest is removed when the removal of all others is durable.
 */
#include <stdlib.h>
#include <string.h>

#include "shard/durable.h"
#include "shard/store_open.h"

/* Whether a file is of no use: to anybody, or, where the set is gone on with, to the new epoch. */
static bool is_leftover(const struct pawl_runtime *runtime, const struct store_file *file,
                        bool goes_on)
{
    const struct store *store = runtime->store;

    if (file->is_new || file->set != store->manifest->set)
        return true;
    if (!goes_on)
        return false;
    if (file->shard >= runtime->shard_count)
        return true;
    /* Prepared and never begun. */
    return file->kind == FILE_JOURNAL && file->file >= store->durables[file->shard].position.file;
}

/* The lowest of a shard's that were prepared and never begun. */
static bool goes_last(const struct pawl_runtime *runtime, const struct store_file *file,
                      bool goes_on)
{
    const struct store *store = runtime->store;

    return goes_on && file->kind == FILE_JOURNAL && !file->is_new &&
           file->set == store->manifest->set && file->shard < runtime->shard_count &&
           file->file == store->durables[file->shard].position.file;
}

static int remove_file(const struct store *store, const struct store_file *file)
{
    const struct pawl_storage *storage = store->storage;
    char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
    int error;

    pawl__store_file_name(file, name);
    error = pawl__store_path(store->directory, name, path);
    return error != 0 ? error : storage->remove(storage->user, path);
}

int pawl__store_remove_leftovers(struct pawl_runtime *runtime, bool goes_on)
{
    struct store *store = runtime->store;
    const struct pawl_storage *storage = store->storage;
    struct store_file *files = NULL;
    size_t count = 0;
    int error = pawl__store_list(storage, store->directory, &files, &count);

    for (int last = 0; last <= 1 && error == 0; last++) {
        bool any = false;

        for (size_t i = 0; i < count && error == 0; i++) {
            if (!is_leftover(runtime, &files[i], goes_on) ||
                goes_last(runtime, &files[i], goes_on) != (last != 0))
                continue;
            error = remove_file(store, &files[i]);
            any = true;
        }
        if (error == 0 && any)
            error = storage->sync_directory(storage->user, store->directory);
    }
    free(files);
    return error == 0 ? 0 : pawl__store_complain(store, error, "removing leftovers");
}

uint64_t pawl__store_disk_bytes(const struct pawl_runtime *runtime, uint32_t shard)
{
    const struct store *store = runtime->store;
    const struct pawl_storage *storage = store->storage;
    struct store_file *files = NULL;
    uint64_t bytes = 0;
    size_t count = 0;

    if (pawl__store_list(storage, store->directory, &files, &count) != 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
        int64_t size;
        void *file;

        if (files[i].set != store->manifest->set || files[i].shard != shard)
            continue;
        pawl__store_file_name(&files[i], name);
        if (pawl__store_path(store->directory, name, path) != 0 ||
            storage->open(storage->user, path, PAWL_STORAGE_READ, &file) != 0)
            continue;
        size = storage->size(storage->user, file);
        bytes += size > 0 ? (uint64_t)size : 0;
        storage->close(storage->user, file);
    }
    free(files);
    return bytes;
}
