#include "shard/store_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/random.h"
#include "host/pages.h"
#include "shard/durable.h"
#include "shard/intake.h"
#include "shard/restore.h"

#define SEGMENT_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_MIN     (UINT64_C(64) << 10)
#define SEGMENT_MAX     (UINT64_C(16) << 30)
#define WRITES_DEFAULT  8u

/* The least that can be said: where. */
#define STORE_OPTIONS_MIN offsetof(struct pawl_store_options, window_ns)

static int complain(const struct store *store, int error, const char *where, const char *what)
{
    if (store->diagnose != NULL)
        store->diagnose(store->user, &(struct pawl_diagnostic){error, where, what});
    return error;
}

/* An error of the storage: what was tried, and what the error means. */
int pawl__store_complain(const struct store *store, int error, const char *action)
{
    char what[256];

    snprintf(what, sizeof(what), "%s failed: %s", action, pawl_strerror(error));
    return complain(store, error, store->directory, what);
}

/* ---- Options ---- */

/* Those of an older host end earlier, the rest is 0. What a newer one may have set is refused. */
static int take_options(struct store *store, const struct pawl_store_options *given)
{
    const struct pawl_store_options *options = &store->options;
    uint64_t segment;

    if (given->size < STORE_OPTIONS_MIN || given->size > sizeof(*given))
        return complain(store, -EINVAL, "pawl_store_options.size",
                        "begin with PAWL_STORE_OPTIONS_INIT of this library or an older one");
    memcpy(&store->options, given, given->size);
    segment = options->segment_bytes;
    if (options->directory == NULL || options->directory[0] == '\0')
        return complain(store, -EINVAL, "pawl_store_options.directory",
                        "a store needs a directory: name one");
    if (strlen(options->directory) >= sizeof(store->directory))
        return complain(store, -EINVAL, "pawl_store_options.directory", "the path is too long");
    if (segment != 0 &&
        (segment < SEGMENT_MIN || segment > SEGMENT_MAX || segment % STORE_BLOCK != 0))
        return complain(store, -EINVAL, "pawl_store_options.segment_bytes",
                        "a multiple of 4096 from 64 KiB to 16 GiB is needed");
    if (options->writes_max > JOURNAL_WRITES_MAX)
        return complain(store, -EINVAL, "pawl_store_options.writes_max", "there can be at most 64");
    if (options->quota_bytes != 0 &&
        options->quota_bytes / 4 < (segment != 0 ? segment : SEGMENT_DEFAULT))
        return complain(store, -EINVAL, "pawl_store_options.quota_bytes",
                        "at least four times segment_bytes are needed: make it more, or the "
                        "segments smaller");
    if (options->migrations_count > 0 && options->migrations == NULL)
        return complain(store, -EINVAL, "pawl_store_options.migrations",
                        "the table of migrations is missing");
    return 0;
}

static void settle_options(struct store *store)
{
    memcpy(store->directory, store->options.directory, strlen(store->options.directory) + 1);
    store->options.directory = store->directory;
    if (store->options.segment_bytes == 0)
        store->options.segment_bytes = SEGMENT_DEFAULT;
    if (store->options.writes_max == 0)
        store->options.writes_max = WRITES_DEFAULT;
}

/* ---- Locking and looking ---- */

/* The directory itself has a name, which must be as durable as what is in it. */
static int sync_parent(const struct store *store)
{
    char parent[sizeof(store->directory)];
    size_t length = strlen(store->directory);

    memcpy(parent, store->directory, length + 1);
    while (length > 1 && parent[length - 1] == '/')
        length--;
    while (length > 0 && parent[length - 1] != '/')
        length--;
    if (length > 1)
        parent[length - 1] = '\0';
    else
        memcpy(parent, length == 1 ? "/" : ".", 2);
    return store->storage->sync_directory(store->storage->user, parent);
}

static int lock(struct store *store)
{
    const struct pawl_storage *storage = store->storage;
    int error = storage->make_directory(storage->user, store->directory);

    if (error == 0) {
        error = sync_parent(store);
        /* Its name may never be durable now: it is made anew by whoever tries again. */
        if (error != 0)
            storage->remove(storage->user, store->directory);
    }
    if (error != 0)
        return pawl__store_complain(store, error, "making the directory");
    error = storage->lock(storage->user, store->directory, &store->lock);
    if (error == -EBUSY)
        return complain(store, -EBUSY, store->directory,
                        "another runtime has this store open: close it first, or use another "
                        "directory");
    if (error != 0)
        return pawl__store_complain(store, error, "locking the directory");
    return 0;
}

/*
 * What an earlier process wrote may still be in the system's memory alone: it is made durable
 * before it is believed.
 */
static int sync_all(struct store *store)
{
    const struct pawl_storage *storage = store->storage;
    struct store_file *files = NULL;
    size_t count = 0;
    int error = pawl__store_list(storage, store->directory, &files, &count);

    for (size_t i = 0; i < count && error == 0; i++) {
        char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
        void *file;

        pawl__store_file_name(&files[i], name);
        error = pawl__store_path(store->directory, name, path);
        if (error == 0)
            error = storage->open(storage->user, path, PAWL_STORAGE_READ, &file);
        if (error != 0)
            break;
        error = storage->sync(storage->user, file);
        storage->close(storage->user, file);
    }
    free(files);
    if (error == 0)
        error = storage->sync_directory(storage->user, store->directory);
    return error == 0 ? 0 : pawl__store_complain(store, error, "syncing what is there");
}

/* The manifest is durable before the first file is: files without one are a damaged store. */
static int check_new(struct store *store)
{
    struct store_file *files = NULL;
    size_t count = 0;
    int error = pawl__store_list(store->storage, store->directory, &files, &count);

    free(files);
    if (error != 0)
        return pawl__store_complain(store, error, "listing the directory");
    if (count == 0)
        return 0;
    return complain(
        store, -EBADMSG, store->directory,
        "there are journals or snapshots and no manifest; nothing was changed: restore the "
        "directory from a copy, or save what can be read with `pawl salvage`");
}

int pawl__store_lock(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    struct store *store = calloc(1, sizeof(*store));
    int error;

    if (store == NULL)
        return -ENOMEM;
    runtime->store = store;
    store->storage = options->storage != NULL ? options->storage : &pawl_storage_posix;
    store->random = options->random;
    store->diagnose = options->diagnose;
    store->user = options->user;
    error = take_options(store, options->store);
    if (error != 0)
        return error;
    settle_options(store);
    error = lock(store);
    if (error == 0)
        error = sync_all(store);
    if (error != 0)
        return error;
    error = pawl__manifest_read(store->storage, store->directory, store->diagnose, store->user,
                                &store->manifest);
    if (error != 0 && error != -ENOENT && error != -EBADMSG)
        return pawl__store_complain(store, error, "reading the manifest");
    if (error != -ENOENT)
        return error;
    store->manifest = NULL;
    return check_new(store);
}

uint32_t pawl__store_shards(const struct pawl_runtime *runtime)
{
    const struct store *store = runtime->store;

    return store != NULL && store->manifest != NULL ? store->manifest->shards : 0;
}

uint64_t pawl__store_key_seed(const struct pawl_runtime *runtime)
{
    const struct store *store = runtime->store;

    return store != NULL && store->manifest != NULL ? store->manifest->key_seed : 0;
}

/* ---- Durables: one a shard ---- */

static int make_durables(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const uint32_t shards = runtime->shard_count;

    store->durables =
        pawl__pages_reserve(shards * sizeof(*store->durables), PAGES_PLAIN, &store->pages);
    store->journals = calloc(shards, sizeof(struct journal *));
    if (store->durables == NULL || store->journals == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < shards; i++) {
        struct shard *shard = runtime->shards[i];
        const struct fifo_source chunks = pawl__chunks_source(&shard->chunks);
        struct durable *durable = &store->durables[i];

        durable->links = calloc(shards, sizeof(*durable->links));
        if (durable->links == NULL)
            return -ENOMEM;
        for (uint32_t peer = 0; peer < shards; peer++)
            for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
                pawl__fifo_init(&durable->links[peer].kept[klass], &chunks);
        durable->position = (struct store_position){.lsn = 1, .file = 1, .snapshot = 1};
        store->journals[i] = &durable->journal;
        shard->durable = durable;
    }
    return 0;
}

/* ---- Journals ---- */

/* Granules, from the first on, behind which every floor is 0. */
static size_t floors_known(const struct shard *shard, const struct restored *restored)
{
    const struct slab *slots = &shard->table.slots;
    const uint64_t run = restored->shards[shard->number].floors.runs_count;
    const uint64_t by_runs = (run * SLAB_RESTORE_RUN >> slots->granule_shift) + 1;
    const uint64_t by_slots = ((uint64_t)slab_top(slots) >> slots->granule_shift) + 1;
    const uint64_t known = by_runs > by_slots ? by_runs : by_slots;

    return known < shard->durable->granules ? (size_t)known : shard->durable->granules;
}

/* What is promised already, and what new lives begin above. */
static void begin_floors(struct shard *shard, const struct restored *restored)
{
    struct durable *durable = shard->durable;
    const struct slab *slots = &shard->table.slots;

    pawl__restored_floors(restored, shard);
    /* Tasks that have moved here may have generations that nobody has promised. */
    for (uint32_t i = slab_next_used(slots, 1); i < slab_top(slots);
         i = slab_next_used(slots, i + 1)) {
        /* relaxed: nobody else is there yet */
        const uint32_t generation = load_relaxed(&table_slot(&shard->table, i)->generation);
        uint32_t *floor = &durable->floors[i >> slots->granule_shift];

        if (*floor < generation)
            *floor = generation;
    }
    /* Only as far as there are any: the arrays are for all slots that there could ever be. */
    memcpy(durable->floors_begin, durable->floors,
           floors_known(shard, restored) * sizeof(*durable->floors));
}

int pawl__store_init_journal(struct pawl_runtime *runtime, struct shard *shard)
{
    struct store *store = runtime->store;
    const struct store_position *position = &shard->durable->position;
    const struct journal_options options = {
        .storage = store->storage,
        .clock = runtime->clock,
        .directory = store->directory,
        .store = store->manifest->store,
        .set = store->manifest->set,
        .shard = shard->number,
        .epoch = store->manifest->epoch,
        .segment_bytes = store->options.segment_bytes,
        .quota_bytes = store->options.quota_bytes,
        .writes_max = store->options.writes_max,
        .next_lsn = position->lsn,
        .previous_crc = position->previous_crc,
        .next_file = position->file,
        .next_snapshot = position->snapshot,
        .cut_file = position->base_file,
        .cut_snapshot = position->base_snapshot,
        .disk_bytes = pawl__store_disk_bytes(runtime, shard->number),
        .wake = &shard->park,
        .pages = &store->pages,
    };
    const int error = pawl__durable_init(shard, &options, &store->options);

    if (error != 0)
        return error;
    if (store->has_restored)
        begin_floors(shard, &store->restored);
    shard->durable->tasks = shard->durable->recovered_tasks;
    return 0;
}

unsigned pawl__store_io_threads(const struct pawl_options *options)
{
    const struct pawl_store_options *given = options->store;
    const size_t end = offsetof(struct pawl_store_options, writes_max); /* of io_threads */

    return given->size >= end && given->io_threads != 0 ? given->io_threads : 1;
}

static unsigned io_count(const struct pawl_runtime *runtime)
{
    const unsigned wanted = runtime->store->options.io_threads;

    if (runtime->host_driven)
        return runtime->shard_count;
    if (wanted == 0)
        return 1;
    return wanted < runtime->shard_count ? wanted : runtime->shard_count;
}

static int open_ios(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const unsigned count = io_count(runtime);

    store->ios = pawl__pages_reserve(count * sizeof(*store->ios), PAGES_PLAIN, &store->pages);
    if (store->ios == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        const unsigned first = (unsigned)((uint64_t)i * runtime->shard_count / count);
        const unsigned end = (unsigned)((uint64_t)(i + 1) * runtime->shard_count / count);
        struct io *io = runtime->host_driven ? &store->durables[i].io : &store->ios[i];
        const int error =
            pawl__io_open(io, store->storage, &store->journals[first], first, end - first,
                          store->options.writes_max, !runtime->host_driven);

        if (error != 0)
            return pawl__store_complain(store, error, "opening a queue for writes");
        store->ios_count = i + 1;
        for (unsigned shard = first; shard < end; shard++)
            store->durables[shard].pump = io;
        if (io->queue_fd >= 0 && pawl__park_watch(&runtime->shards[i]->park, io->queue_fd) != 0)
            io->queue_fd = -1; /* then it is looked at again and again while a write is under way */
    }
    return 0;
}

/* The first file of the epoch. */
static int begin_journal(struct pawl_runtime *runtime, uint32_t shard)
{
    struct store *store = runtime->store;
    const int error = pawl__durable_open(runtime->shards[shard]);

    if (error == -ENOSPC)
        return complain(store, error, store->directory,
                        "there is no room for a journal file: free some, or choose a smaller "
                        "segment_bytes; nothing was lost");
    return error == 0 ? 0 : pawl__store_complain(store, error, "making a journal file");
}

/* ---- Recovery ---- */

/* What recovery found out, a shard. */
static void take_over(struct pawl_runtime *runtime, const struct restored *restored)
{
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        const struct restored_shard *from = &restored->shards[i];
        struct durable *durable = runtime->shards[i]->durable;

        durable->position = from->position;
        durable->position.base_file = from->base_file;
        durable->position.base_snapshot = from->base_snapshot;
        durable->recovered_tasks = from->tasks;
        durable->recovered_entries = from->entries;
        durable->resent = from->resent;
    }
}

static int restore(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const struct restore_options options = {
        .storage = store->storage,
        .directory = store->directory,
        .manifest = store->manifest,
        .migrations = store->options.migrations,
        .migrations_count = store->options.migrations_count,
        .progress = store->options.on_progress,
        .diagnose = store->diagnose,
        .user = store->user,
    };
    int error;

    if (store->manifest == NULL)
        return 0;
    error = pawl__restore(runtime, &options, &store->restored);
    store->has_restored = store->filled = error == 0;
    if (error == 0)
        take_over(runtime, &store->restored);
    return error;
}

int pawl__store_recover(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    int error = make_durables(runtime);

    if (error == 0)
        error = restore(runtime);
    if (error == 0 && !store->restored.rewrite)
        error = pawl__store_mend(runtime);
    if (error == 0)
        error = pawl__store_begin_epoch(runtime);
    if (error != 0)
        return error;
    if (store->restored.rewrite) {
        error = pawl__store_rewrite(runtime);
    } else {
        error = pawl__store_remove_leftovers(runtime, true);
        if (error == 0)
            error = pawl__store_write_manifest(runtime);
        for (uint32_t i = 0; i < runtime->shard_count && error == 0; i++)
            error = pawl__store_init_journal(runtime, runtime->shards[i]);
    }
    for (uint32_t i = 0; i < runtime->shard_count && runtime->aliases.count > 0; i++)
        runtime->shards[i]->aliases = &runtime->aliases;
    runtime->ports->aliases = runtime->aliases.count > 0 ? &runtime->aliases : NULL;
    for (uint32_t i = 0; i < runtime->shard_count && error == 0; i++)
        error = begin_journal(runtime, i);
    if (error == 0)
        error = pawl__store_note_begun(runtime);
    if (error == 0)
        error = open_ios(runtime);
    store->ios_open = error == 0;
    if (store->has_restored)
        pawl__restored_fini(&store->restored);
    store->has_restored = false;
    return error;
}

void pawl__store_close(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;

    if (store == NULL)
        return;
    /* Opening has failed after recovery: what was put in again goes without a word. */
    for (uint32_t i = 0; store->filled && i < runtime->shard_count; i++)
        pawl__shard_cancel_all(runtime->shards[i]);
    for (unsigned i = 0; i < store->ios_count; i++)
        pawl__io_close(runtime->host_driven ? &store->durables[i].io : &store->ios[i]);
    for (uint32_t i = 0; store->durables != NULL && i < runtime->shard_count; i++) {
        if (runtime->shards[i]->durable == NULL)
            continue;
        pawl__durable_fini(runtime->shards[i]);
        runtime->shards[i]->durable = NULL;
    }
    if (store->durables != NULL)
        pawl__pages_unmap(store->durables, runtime->shard_count * sizeof(*store->durables),
                          &store->pages);
    pawl__manifest_destroy(store->manifest);
    if (store->has_restored)
        pawl__restored_fini(&store->restored);
    if (store->lock != NULL)
        store->storage->unlock(store->storage->user, store->lock);
    pawl__aliases_fini(&runtime->aliases);
    if (store->ios != NULL)
        pawl__pages_unmap(store->ios, io_count(runtime) * sizeof(*store->ios), &store->pages);
    free(store->waits);
    free(store->journals);
    free(store);
    runtime->store = NULL;
}
