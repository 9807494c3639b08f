/*
 * reclaim.h - read sections on any thread, and memory freed when no reader can hold it any more.
 *
 * Layer: host. reclaim.c is the only module that includes liburcu (its bp flavour: threads need no
 * registration; reclaim.c has the measurement behind that choice).
 *
 * What needs it is little: the key index's arrays when they are replaced. Everything in slabs is
 * type-stable and checked by version instead (host/slab.h).
 *
 * Each shard has one queue, not one worker for the process, so that a shard's backlog is its own,
 * bounded and counted. A grace period may block, a turn may not; so the work is split:
 *
 *   owner (a turn)                         helper (may block; the monitor)
 *   unlink; reclaim_retire                 pawl__reclaim_grace:
 *   reclaim_seal: (R1) wanted = k     ->     (R2) sees wanted = k
 *                                            waits until all readers have left
 *   reclaim_collect: (R4) done == k   <-     (R3) done = k
 *   frees the sealed batch
 *
 * Owner: the shard, for all of struct reclaim but `serving` and `done`, which are the helper's; one
 * helper at a time. Where there is no helper (the host drives the turns) the owner calls
 * reclaim_synchronize at a quiet moment.
 *
 * Ordering:
 *   (R1) wanted, release -> (R2) helper, acquire: the batch was unlinked before the grace period.
 *   (R3) done, release   -> (R4) owner, acquire: readers that could see the batch had left.
 *
 * Progress: retire, seal, collect and pending are bounded and never block; grace and synchronize
 * wait for readers.
 */
#ifndef PAWL_HOST_RECLAIM_H
#define PAWL_HOST_RECLAIM_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"

#define RECLAIM_CAPACITY 256u /* entries waiting in one queue; a power of two */

/* Frees `what`; runs on the owner's thread, in reclaim_collect or reclaim_synchronize. */
typedef void (*reclaim_free_fn)(void *owner, void *what, size_t size);

struct reclaim_entry {
    reclaim_free_fn free_fn;
    void *owner;
    void *what;
    size_t size;
};

/* Field owners: O owner, H helper; atomic fields are read by the other side too. */
struct reclaim {
    uint32_t head;            /* O: the oldest entry; free-running, as the next two */
    uint32_t sealed;          /* O: entries before this one wait for sequence `wanted` */
    uint32_t tail;            /* O: one past the newest entry */
    _Atomic uint64_t wanted;  /* O: sequence of the sealed batch */
    _Atomic uint64_t objects; /* O: entries held; for counters' readers */
    _Atomic uint64_t bytes;   /* O: bytes held */
    _Atomic uint64_t freed;   /* O: entries freed since init */
    struct reclaim_entry entries[RECLAIM_CAPACITY]; /* O */

    alignas(CACHE_LINE) _Atomic uint64_t done; /* H: the last sequence whose readers have left */
    uint64_t serving;                          /* H: what the grace period in progress covers */
};

_Static_assert(RECLAIM_CAPACITY != 0 && (RECLAIM_CAPACITY & (RECLAIM_CAPACITY - 1)) == 0,
               "positions run freely and are masked");

/*
 * A read section: what it loaded from a published pointer stays mapped until it ends. Any thread,
 * no registration, may nest, never blocks a writer. Keep it short: it holds back all freeing.
 * A thread's first one registers it with liburcu, which takes a lock once.
 */
void pawl__read_enter(void);
void pawl__read_exit(void);

void pawl__reclaim_init(struct reclaim *reclaim);
uint32_t pawl__reclaim_free_until(struct reclaim *reclaim, uint32_t end);
void pawl__reclaim_synchronize(struct reclaim *reclaim);

/*
 * pawl__reclaim_grace - serves all queues of the list that have a sealed batch, with one grace
 * period. NULL entries are skipped.
 *
 * Thread:  the helper; outside any read section. Blocks until the readers have left.
 * Returns: how many queues were served; 0 without waiting when none had asked.
 */
size_t pawl__reclaim_grace(struct reclaim *const *list, size_t count);

static inline void reclaim_init(struct reclaim *reclaim)
{
    pawl__reclaim_init(reclaim);
}

/* Entries held: queued, or sealed and not yet collected. Any thread. */
static inline uint64_t reclaim_pending(const struct reclaim *reclaim)
{
    return load_relaxed(&reclaim->objects);
}

static inline uint64_t reclaim_bytes(const struct reclaim *reclaim)
{
    return load_relaxed(&reclaim->bytes);
}

/*
 * reclaim_retire - queues memory that the owner has unlinked.
 *
 * Returns: false when RECLAIM_CAPACITY entries are held; nothing is changed then, and the owner
 *          keeps the memory and tries again later.
 */
static inline bool reclaim_retire(struct reclaim *reclaim, reclaim_free_fn free_fn, void *owner,
                                  void *what, size_t size)
{
    if (reclaim->tail - reclaim->head == RECLAIM_CAPACITY)
        return false;
    reclaim->entries[reclaim->tail++ & (RECLAIM_CAPACITY - 1)] =
        (struct reclaim_entry){free_fn, owner, what, size};
    store_relaxed(&reclaim->objects, load_relaxed(&reclaim->objects) + 1);
    store_relaxed(&reclaim->bytes, load_relaxed(&reclaim->bytes) + size);
    return true;
}

/* True while a sealed batch has not been served. Any thread. */
static inline bool reclaim_waits(const struct reclaim *reclaim)
{
    return load_acquire(&reclaim->wanted) != load_acquire(&reclaim->done);
}

/*
 * reclaim_seal - asks for a grace period for all that is queued. One batch waits at a time; what is
 * retired meanwhile goes with the next.
 *
 * Returns: true if a batch was sealed now: worth waking the helper for.
 */
static inline bool reclaim_seal(struct reclaim *reclaim)
{
    if (reclaim->sealed != reclaim->head || reclaim->tail == reclaim->head)
        return false;
    reclaim->sealed = reclaim->tail;
    store_release(&reclaim->wanted, load_relaxed(&reclaim->wanted) + 1); /* (R1) pairs with (R2) */
    return true;
}

/* reclaim_collect - frees the sealed batch if its grace period is over. Returns entries freed. */
static inline uint32_t reclaim_collect(struct reclaim *reclaim)
{
    if (reclaim->sealed == reclaim->head)
        return 0;
    if (load_acquire(&reclaim->done) != load_relaxed(&reclaim->wanted)) /* (R4) pairs with (R3) */
        return 0;
    return pawl__reclaim_free_until(reclaim, reclaim->sealed);
}

/*
 * reclaim_synchronize - waits for a grace period here and now and frees everything queued.
 *
 * Thread: owner, outside any read section; only while no helper serves this queue.
 */
static inline void reclaim_synchronize(struct reclaim *reclaim)
{
    pawl__reclaim_synchronize(reclaim);
}

#endif /* PAWL_HOST_RECLAIM_H */
