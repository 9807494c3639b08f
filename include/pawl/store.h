/*
 * store.h - durable machines: where steps are kept, and what is told when that fails.
 *
 * A machine's definition says how safe its steps are (pawl_machine_def.durability):
 *   memory  a step is gone with the process;
 *   async   a step is on stable storage window_ns after it at the latest; until then a crash may
 *           undo it, and with it all later steps of its shard. Its completion does not wait.
 *   sync    a step's completion, its events to other shards and to memory-only tasks leave the
 *           shard only when the step is on stable storage. Nothing that was acknowledged is lost.
 * What may wait for a sync step waits for the steps before it as well: the journal of a shard is
 * one order. Looking at a task (pawl_task_peek) or for one (pawl_task_find) shows the newest state,
 * which may not be on disk yet: only a completion says that a creation or a step is.
 *
 * After a crash a store opens to the state after some step of each shard, no earlier than the last
 * that was acknowledged. Events between durable tasks that were sent and not yet handled are sent
 * again, each is handled exactly once. Timers have left what they had left when the store was
 * closed, or at a crash what they had left at the last step that is on disk, or 10 seconds before
 * the crash, whichever is less: where timers run and no step is made, a shard writes down the time
 * that often (not on a full disk). The time until the next opening does not count. Events that a
 * port had posted and that were not acknowledged may or may not have been handled. Ids stay valid;
 * memory-only tasks are gone, their ids stale.
 *
 * A durable task's context must hold no pointers. An event's buffer that a durable step sends, or
 * that a durable task defers, may have up to 64 KiB.
 */
#ifndef PAWL_STORE_H
#define PAWL_STORE_H

#include <pawl/error.h>
#include <pawl/export.h>
#include <pawl/task.h>
#include <string.h>

PAWL_BEGIN_DECLS

struct pawl_runtime;

/*
 * Storage has failed: a write or a sync of this shard's journal came back with error (-EIO, -ENOSPC
 * ...). Nothing is tried again. From now on the shard acknowledges no durable step: those that
 * waited are completed with -EIO, which means unknown; new ones are refused with -EIO; reading goes
 * on, memory-only machines too. Close the runtime, mend the storage and open the store again: what
 * was acknowledged is there. Called once a shard, on the thread that saw it; must not block. In
 * pawl_stop also where steps could not be written out: on a full disk (-ENOSPC), or because nobody
 * has ended the writes (-EIO); they are lost.
 */
typedef void pawl_store_failed_fn(void *user, unsigned shard, int error, const char *what);

/* How far recovery is; total 0: not known. Called from pawl_open, on its thread. */
typedef void pawl_store_progress_fn(void *user, unsigned shard, uint64_t bytes, uint64_t total);

/*
 * A stored task of a machine whose definition has changed. old_state and old_machine_hash say what
 * it was; the function sets *state (a leaf of the new definition) and fills the new context, which
 * comes zeroed. Timers and deferred events are kept where the new definition has one of the same
 * name; if it has not, opening fails. Return 0, or -errno to refuse: the store is then left as it
 * was. Must not call the library.
 */
struct pawl_migrating {
    struct pawl_task task;
    uint64_t old_hash;
    const char *old_state;
    const void *old_context;
    size_t old_context_size;
    unsigned state;
    void *context;
    size_t context_size;
};
typedef int pawl_migrate_fn(void *user, struct pawl_migrating *task);

struct pawl_migration {
    const char
        *machine; /* name; the stored definition with from_hash becomes the one given at open */
    uint64_t from_hash;
    pawl_migrate_fn *migrate;
};

/*
 * pawl_options.store. Start from PAWL_STORE_OPTIONS_INIT; 0 and NULL mean the default said here.
 * size, which it sets, lets a newer library serve an older host.
 */
struct pawl_store_options {
    size_t size;
    const char *directory;  /* made if missing, its parent is not; one runtime at a time */
    uint64_t window_ns;     /* of async machines; 0: 10 ms */
    uint64_t segment_bytes; /* of a journal file; a multiple of 4096, 64 KiB to 16 GiB; 0: 64 MiB */
    uint64_t
        snapshot_bytes; /* journal after which a shard writes a snapshot, what an opening has found
                                 included, and where there is no room for more journal; 0: 256 MiB,
                                 or the size of the last one if that is more; UINT64_MAX: only when
                                 asked */
    uint64_t quota_bytes; /* of a shard's files; 0: none. Beyond it, creations and steps are refused
                                 with -ENOSPC, but a task can always end; and each opening takes one
                                 more file, until a snapshot lets older ones go */
    unsigned
        io_threads; /* 0: one; at most one a shard. None in the host-driven mode: turns do it */
    unsigned writes_max; /* groups under way at once; 0: 8; at most 64 */
    pawl_store_failed_fn *on_failed;
    pawl_store_progress_fn *on_progress;
    const struct pawl_migration *migrations;
    size_t migrations_count;
};

static inline struct pawl_store_options pawl_store_options_init(void)
{
    struct pawl_store_options options;

    memset(&options, 0, sizeof(options));
    options.size = sizeof(options);
    return options;
}
#define PAWL_STORE_OPTIONS_INIT pawl_store_options_init()

/*
 * pawl_sync - returns when every step made before the call is on stable storage: 0, -EIO,
 *   -ETIMEDOUT, -ENOTSUP (no store), -EBUSY (not running). In the host-driven mode it does not
 *   block: 0 or -EAGAIN (turn the shards, call again).
 * pawl_snapshot - asks every shard for a snapshot and waits for them, likewise; -ENOSPC, -EBADMSG
 *   (it could not be read back) or another error of the storage: there is none, and the journal
 *   goes on. Steps go on meanwhile. In the host-driven mode there is one wait at a time: a call while
 *   another's has not ended joins it, and the first call after its end, whoever makes it, is told
 *   what came of it; the one after that asks for a new snapshot.
 * Thread: any but a shard's.
 */
PAWL_API int pawl_sync(struct pawl_runtime *runtime, uint64_t timeout_ns);
PAWL_API int pawl_snapshot(struct pawl_runtime *runtime, uint64_t timeout_ns);

/* pawl_shard_store - the store of one shard. -EINVAL, -ENOTSUP (no store). Thread: any. */
struct pawl_store_status {
    uint64_t epoch;
    uint64_t frames; /* the last one made; they are numbered on from the journal's LSN at open */
    uint64_t durable_frames; /* all up to this one are on stable storage */
    uint64_t journal_bytes;  /* written since open */
    uint64_t entries;        /* written since open */
    uint64_t snapshots;      /* finished since open */
    uint64_t recovered_tasks;
    uint64_t recovered_entries;
    uint64_t resent; /* events that recovery sent again */
    int failed;      /* 0, or the error */
};
PAWL_API int pawl_shard_store(const struct pawl_runtime *runtime, unsigned shard,
                              struct pawl_store_status *status);

PAWL_END_DECLS

#endif /* PAWL_STORE_H */
