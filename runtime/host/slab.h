/*
 * slab.h - objects of one size behind 32-bit indexes: the memory of task slots, timer nodes,
 * deferred events, key records and context blocks.
 *
 * Layer: host. Owner: one shard, the only one that allocates, frees and trims. Any thread may turn
 * any index into an address and read there at any time between init and fini.
 *
 * Memory is type-stable. A segment's addresses are mapped until slab_fini, and memory given back
 * reads as zeroes; so a reader with a stale index finds zeroes, a free object or a newer one, never
 * a fault. What it reads it must read by atomic loads and check by generation or version: the slab
 * does not know what an object means. That is why nothing in a slab waits for a grace period.
 *
 *   index   = segment | granule | object          (index 0 is never handed out)
 *   segment = one reservation of up to 64 MiB, entered in the directory when first needed,
 *             followed by the state of its granules
 *   granule = the unit that is emptied and given back: 2 MiB with huge pages, else about 64 KiB
 *
 * Which object comes next. The lowest granule that is ready serves, so that after a peak the high
 * granules drain and can be given back. Inside it the object freed longest ago is taken once
 * SLAB_FIFO_MIN are free, a fresh one otherwise. A granule without fresh objects that falls below
 * room_min / 2 free ones is left until room_min are free again (room_min is 1/64 of the objects of
 * a 2 MiB granule, 1/32 of 64 KiB): a table in churn so cycles through many objects instead of one,
 * generations stretch, and only that fraction of a full slab lies idle. Where no granule is ready
 * and none can be added, the idle ones are used too.
 *
 * A granule's free objects are one list in SLAB_STRANDS strands: the nth freed is appended to
 * strand n modulo their number, and taken from there, so the order is exact. What is taken next
 * lies cold, freed long ago, and its link leads to the one after: in a single strand each taking
 * would wait for the memory, as long as that takes. With several, the next objects' addresses are
 * known, and fetched.
 *
 * The life of a granule: never used -> committed -> (no live object: idle) -> emptied, its memory
 * given back by slab_trim -> used again from fresh objects. Before it is emptied the owner's
 * on_empty hook may leave a word, the floor, with the granule, for instance the highest generation
 * in it, and read it by slab_floor when it takes fresh objects. A floor of UINT32_MAX, or a retired
 * object in the granule, makes an emptied granule dead: its indexes are never handed out again.
 *
 * Limits: objects of 8..4096 bytes in multiples of 8; live objects objects_max; indexes
 * indexes_max, at most 2^32 less one granule. Retired objects use indexes up, so a slab that
 * retires should give indexes_max generously: it costs address space only.
 *
 * Which calls may overlap: alloc, free, retire and trim exclude each other (one owner); at, peek,
 * top, next_used, live and bytes run with all of them on any thread.
 *
 * Ordering:
 *   (S1) a segment is entered in the directory, release -> (S2) slab_at and slab_peek, acquire:
 *        the mapping exists and its granules' state is initialised.
 *   (S3) top rises, release -> (S4) slab_top, acquire: all segments below are entered.
 * An index reaches another thread through the owner's own publication, which orders the rest.
 *
 * Progress: slab_alloc and slab_free are bounded; slab_alloc may reserve a segment and touch fresh
 * memory; slab_trim gives back at most one granule. Readers are wait-free.
 *
 * Restoring. A slab in which nothing was ever allocated can be filled with objects whose indexes
 * are given: slab_restore_reach for each, in any order, then pawl__slab_restore_end, once, which
 * asks what every index is and makes the lists. Between the two none of the other calls but slab_at
 * may be made.
 */
#ifndef PAWL_HOST_SLAB_H
#define PAWL_HOST_SLAB_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "host/pages.h"

#define SLAB_FIFO_MIN   64u
#define SLAB_STRANDS    8u /* a power of two */
#define SLAB_OBJECT_MAX 4096u
#define SLAB_MAP_LEVELS 5u

/* Called by slab_trim for the objects first .. first + count - 1, none of them live, before their
 * memory is given back. *floor holds what the last call left for this granule, 0 at first. */
typedef void (*slab_empty_fn)(void *user, uint32_t first, uint32_t count, uint32_t *floor);

struct slab_hooks {
    slab_empty_fn on_empty; /* may be NULL */
    void *user;
};

struct slab_options {
    uint32_t object_size; /* bytes */
    uint32_t link_offset; /* of 4 bytes, aligned to 4, that the slab overwrites in free objects */
    uint32_t objects_max; /* live at once */
    uint32_t indexes_max; /* indexes ever handed out; 0: objects_max */
    bool huge;            /* huge pages; heeded for sizes that are powers of two */
    struct slab_hooks hooks;
};

/* Field owners: I set once at init; O written by the owner, and where atomic read by any thread. */

enum slab_granule_flags {
    SLAB_READY = 1u,     /* O: in map_ready */
    SLAB_SPARE = 2u,     /* O: in map_spare: some free objects, too few to be ready */
    SLAB_CANDIDATE = 4u, /* O: in map_idle: has been idle since it was last looked at */
    SLAB_COMMITTED = 8u, /* O: memory touched since it was last empty */
    SLAB_DEAD = 16u,     /* O: never used again */
};

struct slab_granule {
    uint32_t live;          /* O: objects handed out */
    uint32_t free;          /* O: objects in the list */
    uint32_t reuse_min;     /* O: the list serves when it holds this many */
    uint32_t taken;         /* O: objects ever taken from the list; taken + free were ever put in */
    _Atomic uint32_t fresh; /* O: objects below this position have been handed out before */
    uint32_t floor;         /* O: the hook's word */
    uint32_t flags;         /* O: slab_granule_flags */
    uint32_t head[SLAB_STRANDS]; /* O: first of each strand; valid while it is not empty */
    uint32_t tail[SLAB_STRANDS]; /* O: last of each strand */
};

/* What an index is when a slab has been filled from outside. */
enum slab_restored {
    SLAB_RESTORED_FRESH, /* never handed out; its bytes are zeroes */
    SLAB_RESTORED_FREE,  /* handed out before, free now */
    SLAB_RESTORED_LIVE,
    SLAB_RESTORED_RETIRED, /* never to be handed out again */
};

#define SLAB_RESTORE_RUN 1024u /* indexes asked for at once, at most */

/*
 * Says what the indexes first .. first + count - 1 are, all of one granule: kinds[i] that of first
 * + i, enum slab_restored. *floor is the granule's and may be raised.
 */
typedef void (*slab_restored_fn)(void *user, uint32_t first, uint32_t count, uint8_t *kinds,
                                 uint32_t *floor);

/* A set of granules with find-first and find-last: one bit each, and a summary per 64. */
struct slab_map {
    uint64_t *level[SLAB_MAP_LEVELS];
};

struct slab {
    _Atomic(char *) *directory; /* I: the array; its entries O */
    uint64_t segment_bytes;     /* I: of objects; the granules' state follows */
    uint32_t segment_mask;      /* I: objects in a segment, less 1 */
    uint32_t granule_mask;      /* I: objects in a granule, less 1 */
    uint32_t object_size;       /* I */
    uint32_t link_offset;       /* I */
    uint32_t limit;             /* I: one past the highest index possible */
    uint8_t segment_shift;      /* I */
    uint8_t granule_shift;      /* I */
    uint8_t object_shift;       /* I: 0 where the size is no power of two */
    uint8_t map_levels;         /* I */
    uint32_t objects_max;       /* I */

    alignas(CACHE_LINE) struct slab_granule *current; /* O: the lowest ready granule, or &none */
    uint32_t current_number;                          /* O */
    uint32_t idle;                                    /* O: committed granules without live ones */
    _Atomic uint64_t live;                            /* O */
    struct slab_granule none;                         /* O: has no room; stands for "no current" */

    _Atomic uint64_t touched;   /* O: objects whose memory is committed */
    _Atomic uint32_t committed; /* O: granules */
    _Atomic uint32_t top;       /* O: one past the highest index ever handed out */
    uint32_t room_min;          /* I */
    uint32_t granules_max;      /* I */
    uint32_t granules_made;     /* O: granules below this number exist */
    uint32_t map_root;          /* I: words in the highest level of a map */
    bool huge;                  /* I */
    bool trim_refused;          /* O: the system would not take memory back */
    struct slab_map map_ready;  /* O */
    struct slab_map map_spare;  /* O */
    struct slab_map map_idle;   /* O */
    struct slab_hooks hooks;    /* I */
    void *control;              /* I: directory and maps */
    size_t control_bytes;       /* I */
    struct pages_stats pages;   /* O */
    uint32_t floor_first;       /* O: the floor with which granules begin */
};

int pawl__slab_init(struct slab *slab, const struct slab_options *options);
void pawl__slab_fini(struct slab *slab);
uint32_t pawl__slab_alloc_slow(struct slab *slab);
void pawl__slab_free_slow(struct slab *slab, struct slab_granule *granule, uint32_t index);
void pawl__slab_retire(struct slab *slab, uint32_t index);
bool pawl__slab_trim_one(struct slab *slab);
bool pawl__slab_validate(const struct slab *slab);
bool pawl__slab_restore_grow(struct slab *slab, uint32_t index);

/* Ends restoring; see above. Owner. */
void pawl__slab_restore_end(struct slab *slab, slab_restored_fn fn, void *user);

/*
 * slab_init - an empty slab. Reserves address space for the directory; no segment yet.
 *
 * Returns: 0; -EINVAL for options out of their ranges; -ENOMEM.
 */
static inline int slab_init(struct slab *slab, const struct slab_options *options)
{
    return pawl__slab_init(slab, options);
}

/* Unmaps everything, live objects included. No reader may be inside. */
static inline void slab_fini(struct slab *slab)
{
    pawl__slab_fini(slab);
}

/*
 * As after slab_init, whatever it held; 0, or -ENOMEM: as after slab_fini. No reader may be inside.
 */
static inline int slab_clear(struct slab *slab)
{
    const struct slab_options options = {.object_size = slab->object_size,
                                         .link_offset = slab->link_offset,
                                         .objects_max = slab->objects_max,
                                         .indexes_max = slab->limit - 1,
                                         .huge = slab->huge,
                                         .hooks = slab->hooks};

    pawl__slab_fini(slab);
    return pawl__slab_init(slab, &options);
}

/* The granule's state lies behind the objects of its segment. Owner, or for `fresh` any thread. */
static inline struct slab_granule *slab_granule_of(const struct slab *slab, uint32_t index)
{
    char *base = load_acquire(&slab->directory[index >> slab->segment_shift]); /* (S2) */

    return (struct slab_granule *)(void *)(base + slab->segment_bytes) +
           ((index & slab->segment_mask) >> slab->granule_shift);
}

/* slab_at for callers that know the object size while compiling: the product becomes a shift. */
static inline void *slab_at_sized(const struct slab *slab, uint32_t index, uint32_t object_size)
{
    char *base = load_acquire(&slab->directory[index >> slab->segment_shift]); /* (S2) */

    return base + (size_t)(index & slab->segment_mask) * object_size;
}

/* The address of an index that has been handed out (any thread). */
static inline void *slab_at(const struct slab *slab, uint32_t index)
{
    char *base = load_acquire(&slab->directory[index >> slab->segment_shift]); /* (S2) */
    const size_t position = index & slab->segment_mask;

    return base + (slab->object_shift != 0 ? position << slab->object_shift
                                           : position * slab->object_size);
}

/* The address of any number, from any thread: NULL if no such object has ever existed. */
static inline void *slab_peek(const struct slab *slab, uint32_t index)
{
    if (unlikely(index >= slab->limit))
        return NULL;
    if (unlikely(load_acquire(&slab->directory[index >> slab->segment_shift]) == NULL)) /* (S2) */
        return NULL;
    return slab_at(slab, index);
}

/* The link of a free object. Atomic, since a reader with a stale index may be looking; relaxed,
 * since only the owner follows it. */
static inline _Atomic uint32_t *slab_link(const struct slab *slab, uint32_t index)
{
    return (_Atomic uint32_t *)(void *)((char *)slab_at(slab, index) + slab->link_offset);
}

/* Takes the object freed longest ago from a granule's list, which is not empty. */
static inline uint32_t slab_take_free(struct slab *slab, struct slab_granule *granule)
{
    uint32_t *head = &granule->head[granule->taken++ % SLAB_STRANDS];
    const uint32_t index = *head;

    *head = load_relaxed(slab_link(slab, index));
    granule->free--;
    /* Needed SLAB_STRANDS takings on. The link of a strand's last object is 0, whose address is as
     * good to prefetch as any. */
    __builtin_prefetch(slab_at(slab, *head), 1);
    slab->idle -= granule->live == 0;
    granule->live++;
    store_relaxed(&slab->live, load_relaxed(&slab->live) + 1);
    return index;
}

/*
 * slab_alloc - one object.
 *
 * Thread:  owner. Bounded; may fault fresh memory in.
 * Returns: its index, or 0 when objects_max are live, the indexes are used up or there is no
 *          memory. A fresh object reads as zeroes; another holds what its last user left, but for
 *          the link.
 */
static inline uint32_t slab_alloc(struct slab *slab)
{
    struct slab_granule *granule = slab->current;

    if (unlikely(granule->free < granule->reuse_min ||
                 load_relaxed(&slab->live) >= slab->objects_max))
        return pawl__slab_alloc_slow(slab);
    return slab_take_free(slab, granule);
}

/* slab_free - gives an object back; it is handed out again last of its granule. Owner. */
static inline void slab_free(struct slab *slab, uint32_t index)
{
    struct slab_granule *granule = slab_granule_of(slab, index);
    const uint32_t strand = (granule->taken + granule->free) % SLAB_STRANDS;

    DEBUG_CHECK(index != 0 && granule->live > 0);
    /* release: who reads a link has also been told, by the owner, that the object is free. */
    store_release(slab_link(slab, index), 0);
    if (likely(granule->free >= SLAB_STRANDS))
        store_release(slab_link(slab, granule->tail[strand]), index);
    else
        granule->head[strand] = index;
    granule->tail[strand] = index;
    granule->free++;
    granule->live--;
    store_release(&slab->live, load_relaxed(&slab->live) - 1);
    if (unlikely(granule->live == 0 || (granule->flags & SLAB_READY) == 0))
        pawl__slab_free_slow(slab, granule, index);
}

/* slab_retire - like slab_free, but the index is never handed out again. Owner. */
static inline void slab_retire(struct slab *slab, uint32_t index)
{
    pawl__slab_retire(slab, index);
}

/*
 * slab_trim - gives one idle granule back, if more are idle than are worth keeping (one, and one
 * in 32 of those in use: emptying 2 MiB and faulting it in again costs about 100 us).
 *
 * Thread:  owner, once a turn; next to nothing when there is nothing to do.
 * Returns: true if it did something and may have more to do.
 */
static inline bool slab_trim(struct slab *slab)
{
    const uint32_t used = load_relaxed(&slab->committed) - slab->idle;

    if (likely(slab->idle <= 1 + used / 32 || slab->trim_refused))
        return false;
    return pawl__slab_trim_one(slab);
}

/* The floor of an index's granule. Owner. */
static inline uint32_t slab_floor(const struct slab *slab, uint32_t index)
{
    return slab_granule_of(slab, index)->floor;
}

/* Counters, any thread: relaxed, each right by itself, not with one another. */

/* acquire: who sees fewer sees what the owner did before it freed. */
static inline uint64_t slab_live(const struct slab *slab)
{
    return load_acquire(&slab->live);
}

/* One past the highest index ever handed out: the bound of a walk. */
static inline uint32_t slab_top(const struct slab *slab)
{
    return load_acquire(&slab->top); /* (S4) pairs with (S3) */
}

/* One past the highest index possible. */
static inline uint32_t slab_limit(const struct slab *slab)
{
    return slab->limit;
}

/* An estimate of the memory committed to objects and their state, in bytes. */
static inline uint64_t slab_bytes(const struct slab *slab)
{
    const uint64_t granules = load_relaxed(&slab->committed);
    const uint64_t objects =
        slab->huge ? granules << slab->granule_shift : load_relaxed(&slab->touched);

    return objects * slab->object_size + granules * sizeof(struct slab_granule);
}

/*
 * slab_next_used - the first index from `index` on that may hold an object: walks skip granules
 * that have been given back instead of faulting zeroes in.
 *
 * Thread:  any. Relaxed: an object handed out during the walk may be missed.
 * Returns: an index below slab_top, or slab_top when there is none.
 */
static inline uint32_t slab_next_used(const struct slab *slab, uint32_t index)
{
    const uint32_t top = slab_top(slab);

    while (index < top) {
        if ((index & slab->granule_mask) < load_relaxed(&slab_granule_of(slab, index)->fresh))
            return index;
        index = (index | slab->granule_mask) + 1;
    }
    return top;
}

/*
 * slab_restore_reach - makes sure that an index has an address.
 *
 * Thread:  owner, while restoring.
 * Returns: false for 0, for an index that the slab cannot have, or when there is no memory.
 */
static inline bool slab_restore_reach(struct slab *slab, uint32_t index)
{
    return likely(index >> slab->granule_shift < slab->granules_made && index != 0) ||
           pawl__slab_restore_grow(slab, index);
}

/* Whole-structure check for tests and debug builds: owner only, walks every free list. */
static inline bool slab_validate(const struct slab *slab)
{
    return pawl__slab_validate(slab);
}

#endif /* PAWL_HOST_SLAB_H */
