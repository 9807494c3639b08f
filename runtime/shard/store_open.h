/*
 * store_open.h - a runtime's store: opened and recovered before the first turn, closed after the
 * last.
 *
 * Layer: shard. Called by runtime.c, in this order:
 *   pawl__store_lock     before the shards are made: locks, reads the manifest, which may decide
 *                        their number
 *   pawl__store_recover  when they are made: recovery, a new epoch, journals
 *   pawl__store_start    I/O threads
 *   pawl__store_stop     the shards' threads have ended: all is written out, and what waits is told
 *   pawl__store_close    the rest, in any stage
 */
#ifndef PAWL_SHARD_STORE_OPEN_H
#define PAWL_SHARD_STORE_OPEN_H

#include "shard/restore.h"
#include "shard/runtime.h"
#include "store/files.h"
#include "store/io.h"
#include "store/manifest.h"

struct store {
    struct pawl_store_options options; /* directory is `directory` */
    const struct pawl_storage *storage;
    const struct pawl_random *random; /* the host's; NULL: it gave none */
    pawl_diagnostic_fn *diagnose;
    void *user;
    char directory[STORE_PATH_MAX - STORE_NAME_MAX];
    void *lock;
    struct manifest *manifest; /* of this epoch; before recovery, as found, or NULL: a new store */
    struct restored restored; /* while has_restored: between recovery and the journals' beginning */
    bool has_restored;
    struct durable *durables;  /* one a shard */
    struct journal **journals; /* one a shard */
    struct io *ios;
    unsigned ios_count;
    bool ios_open;
    bool filled;     /* the shards hold what recovery has put there */
    uint64_t *waits; /* store_api.c */
    struct pages_stats pages;
};

/* options->store is not NULL. 0 or -errno with a diagnostic; pawl__store_close in either case. */
int pawl__store_lock(struct pawl_runtime *runtime, const struct pawl_options *options);

/* The shards that the store has; 0: it is new. */
uint32_t pawl__store_shards(const struct pawl_runtime *runtime);

/* The seed of its keys' hashes; 0: it is new. */
uint64_t pawl__store_key_seed(const struct pawl_runtime *runtime);

/* How many I/O threads the options ask for. */
unsigned pawl__store_io_threads(const struct pawl_options *options);

int pawl__store_recover(struct pawl_runtime *runtime);
int pawl__store_start(struct pawl_runtime *runtime);
/*
 * Host-driven: waits a moment for a write that is under way. False: there is none, or nobody could
 * wait.
 */
bool pawl__store_wait(struct pawl_runtime *runtime);

void pawl__store_unstart(struct pawl_runtime *runtime); /* other threads could not be started */
void pawl__store_stop(struct pawl_runtime *runtime);
void pawl__store_close(struct pawl_runtime *runtime);

/*
 * An error of the storage as a diagnostic: what was tried, and what the error means. Returns the
 * error.
 */
int pawl__store_complain(const struct store *store, int error, const char *action);

/* Steps of recovery; 0 or -errno with a diagnostic. */

/* store_epoch.c: store->manifest becomes that of the epoch that begins; nothing is written yet. */
int pawl__store_begin_epoch(struct pawl_runtime *runtime);
int pawl__store_write_manifest(struct pawl_runtime *runtime);
/* Each shard's journal has begun: the manifest says so, if it has not before. */
int pawl__store_note_begun(struct pawl_runtime *runtime);

/*
 * store_leftovers.c: removes what counts no more. goes_on: the set in the manifest is the one that
 * the runtime's shards go on with.
 */
int pawl__store_remove_leftovers(struct pawl_runtime *runtime, bool goes_on);
/* Of a shard's files of this set; a file that cannot be looked at counts nothing. */
uint64_t pawl__store_disk_bytes(const struct pawl_runtime *runtime, uint32_t shard);

int pawl__store_init_journal(struct pawl_runtime *runtime, struct shard *shard);

/* store_mend.c: what recovery has read is written again where it may not be on the disk. */
int pawl__store_mend(struct pawl_runtime *runtime);

/*
 * store_rewrite.c: what was recovered becomes a set of its own: a snapshot of every shard, then the
 * manifest.
 */
int pawl__store_rewrite(struct pawl_runtime *runtime);

#endif /* PAWL_SHARD_STORE_OPEN_H */
