/*
 * index.h - callers' keys to tasks: open addressing, one writer, readers on any thread at full
 * speed, growth without a pause.
 *
 * Layer: task. Owner: one shard inserts, removes and works; any thread finds.
 *
 * A cell is 16 bytes, so that a short key's look-up reads one cache line and nothing else:
 *
 *   key   length <= 8: the bytes of the key, zero-padded, as one little-endian word
 *         length  > 8: low half of the hash << 32 | slab index of the key's record
 *   word  slot:32 | generation:22 | length:7; 0 is an empty cell, 1 a tombstone
 *
 * A key's search begins at the first cell of the cache line that the highest bits of its hash
 * name and goes on, cell by cell, until it finds the key or an empty cell. While a key is there, no
 * cell between the beginning of its search and its own is empty; so the four cells of a line may
 * also be looked at all at once, in any order, and one that is empty says that the key does not lie
 * behind the line. Long keys are compared with their record (record.h). Every key has one: it also
 * gives a task its key back, and is all that removal needs.
 *
 * Growth. When live cells and tombstones fill 3/4, a second array is made: twice as large, or as
 * large, or smaller, as the live keys ask. Each insert and each index_work copies a bounded number
 * of cells into it. Cells copied are left standing in the old array until all are copied; then the
 * old array is unlinked and unmapped after a grace period, in bounded pieces. Since the highest
 * bits place a key, cells are copied from one sequence into another: a stream, not a shuffle.
 *
 * Why a reader never misses a key that is there throughout, and never returns a wrong one:
 *   - It loads `old` before it searches the new array. If it saw no old array, copying had ended,
 *     and all copies are visible (X3). If it saw one, the key is in the old array until the reader
 *     leaves, whether or not the copy was seen: keys never move inside an array and old cells
 *     stand still.
 *   - Removal marks both arrays before the key can be inserted again, so what is found was
 *     true at some moment during the call; after the end of copying an old array only shows what
 *     was true when copying ended, which is later than the reader's load of `old`.
 *   - A cell is believed only if its word is the same before and after the key (and the record)
 *     were read. A cell changes hands only through the empty or tombstone state, key and record
 *     are written after that and before the new word. A long key's record is stamped with its
 *     cell's word and is checked in the same way: cells of an old array already replaced are
 *     marked no more, and their records may serve other keys.
 *
 * Ordering:
 *   (X1) table published, release        -> (X2) find loads table, acquire: array and description.
 *   (X3) old cleared, release            -> (X4) find loads old, acquire: all copies are in place.
 *   (X5) word published, release         -> (X6) find loads word, acquire: key and record of it.
 *   (X7) cell's key, release             -> (X8) find loads it, acquire: who sees a later key sees,
 *        in its second look at the word (X9), that the earlier one is gone. For the record's bytes
 *        (R3) and (R4) of record.h do the same.
 *
 * Which calls may overlap: insert, remove, work exclude each other (one owner); find, find_many and
 * key run with all of them, inside pawl__read_enter/exit unless they are the owner's.
 *
 * Progress: find is lock-free (it looks at a cell again only if the writer changed it); insert and
 * work are bounded but for the length of a run of full cells, which the load limit and the secret
 * seed keep short.
 *
 * Limits: keys of 1..KEY_SIZE_MAX bytes; keys_max at most INDEX_KEYS_MAX.
 */
#ifndef PAWL_TASK_INDEX_H
#define PAWL_TASK_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "host/pages.h"
#include "host/reclaim.h"
#include "task/record.h"

#define INDEX_KEYS_MAX RECORD_KEYS_MAX

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "short keys are read as words");

struct index_cell {
    _Atomic uint64_t key;
    _Atomic uint64_t word;
};

/* Lies behind the cells of its array. Field owners: I set before publication, O owner. */
struct index_table {
    struct index_cell *cells;          /* I */
    uint64_t mask;                     /* I: cells less 1 */
    uint32_t shift;                    /* I: 64 - log2(cells) */
    _Atomic(struct index_table *) old; /* O: still being copied from, or NULL */
    uint64_t live;                     /* O: cells that hold a key */
    uint64_t tombs;                    /* O: tombstones */
    size_t mapped;                     /* I: bytes from `cells` on, this description included */
    size_t unmapped;                   /* O: of these, bytes gone already */
    struct index_table *next;          /* O: in `unlinked` or `dying` */
};

struct index {
    _Atomic(struct index_table *) table; /* O writes, any thread reads */
    uint64_t seed;                       /* I */
    struct records records;              /* O */
    uint64_t keys_max;                   /* I */
    _Atomic uint64_t keys;               /* O: all keys */
    uint64_t copied;                     /* O: cells of the old array already dealt with */
    struct index_table *unlinked;        /* O: waits for room in the reclaim queue */
    struct index_table *dying;           /* O: past their grace period, unmapped piece by piece */
    struct reclaim *reclaim;             /* I */
    struct pages_stats pages;            /* O */
    bool huge;                           /* I */
};

/* One question and its answer, for index_find_many. */
struct index_query {
    const void *key;
    size_t length;
    uint32_t slot;
    uint32_t generation;
    bool found;
};

int pawl__index_init(struct index *index, struct reclaim *reclaim, uint64_t seed, uint64_t keys_max,
                     bool huge);
void pawl__index_fini(struct index *index);
int pawl__index_insert(struct index *index, const void *key, size_t length, uint32_t slot,
                       uint32_t generation, uint32_t *record, uint32_t *slot_found,
                       uint32_t *generation_found);
void pawl__index_remove(struct index *index, uint32_t record);
bool pawl__index_find(const struct index *index, const void *key, size_t length, uint32_t *slot,
                      uint32_t *generation);
size_t pawl__index_find_many(const struct index *index, struct index_query *queries, size_t count);
bool pawl__index_work(struct index *index, uint32_t budget);
int pawl__index_restore_begin(struct index *index, uint64_t keys);
uint32_t pawl__index_restore_record(struct index *index, const void *key, size_t length,
                                    uint32_t slot, uint32_t generation);
int pawl__index_restore_bind(struct index *index, const uint32_t *records, size_t count,
                             size_t *failed);
bool pawl__index_validate(const struct index *index);

/*
 * index_init - an empty index.
 *
 * reclaim:  the shard's; it takes the arrays that growth leaves behind, and must outlive the index
 *           or be drained before index_fini.
 * seed:     random and secret where keys come from strangers; same seed, same placement.
 * keys_max: 1..INDEX_KEYS_MAX.
 * Returns:  0, -EINVAL, -ENOMEM.
 */
static inline int index_init(struct index *index, struct reclaim *reclaim, uint64_t seed,
                             uint64_t keys_max, bool huge)
{
    return pawl__index_init(index, reclaim, seed, keys_max, huge);
}

/* No reader may be inside, and the reclaim queue must hold no array of this index
 * (reclaim_synchronize sees to that). */
static inline void index_fini(struct index *index)
{
    pawl__index_fini(index);
}

/*
 * index_insert - binds a key to (slot, generation). A pair may be bound only once: a slot given up
 * needs a new generation before it is bound again.
 *
 * Thread:  owner.
 * Returns: 0 and the key's record in *record; or, with no key changed, -EEXIST and what the key is
 *          bound to in *slot_found and *generation_found (either may be NULL), -EINVAL for a length
 *          or generation out of range, -ENOSPC when keys_max are held, -ENOMEM.
 */
static inline int index_insert(struct index *index, const void *key, size_t length, uint32_t slot,
                               uint32_t generation, uint32_t *record, uint32_t *slot_found,
                               uint32_t *generation_found)
{
    return pawl__index_insert(index, key, length, slot, generation, record, slot_found,
                              generation_found);
}

/* Unbinds the key of a record that index_insert returned; the record is void afterwards. Owner. */
static inline void index_remove(struct index *index, uint32_t record)
{
    pawl__index_remove(index, record);
}

/*
 * index_find - what a key is bound to.
 *
 * Thread:  any, inside a read section unless it is the owner. Lock-free.
 * Returns: true and (slot, generation), which was so at some moment during the call.
 */
static inline bool index_find(const struct index *index, const void *key, size_t length,
                              uint32_t *slot, uint32_t *generation)
{
    return pawl__index_find(index, key, length, slot, generation);
}

/* index_find for many keys, with their cells fetched ahead: two to five times the speed where the
 * index is larger than the cache. Returns how many were found. */
static inline size_t index_find_many(const struct index *index, struct index_query *queries,
                                     size_t count)
{
    return pawl__index_find_many(index, queries, count);
}

/*
 * index_key - the key of a record.
 *
 * Thread:  owner; or any thread that took the record from a task and checks afterwards, by the
 *          task's version, that the task still had it: the bytes may be another task's key.
 * Returns: its length; the bytes are in buffer64, of KEY_SIZE_MAX bytes. 0 for a record that is
 *          void or changed under the reader.
 */
static inline size_t index_key(const struct index *index, uint32_t record, void *buffer64)
{
    return pawl__record_key(&index->records, record, buffer64);
}

/*
 * index_work - goes on with growth, shrinking and the release of old arrays.
 *
 * Thread:  owner, once a turn. At most `budget` cells are copied and a few MiB unmapped.
 * Returns: true while more is left to do that does not wait for a grace period.
 */
static inline bool index_work(struct index *index, uint32_t budget)
{
    return pawl__index_work(index, budget);
}

/*
 * Filling an index in which there is no key yet and that nobody reads, faster than by index_insert:
 * at first each key's record only, then room for all, then the cells, many at a time. Owner.
 *
 * index_restore_record - the record of a key that will be bound, or forgotten again; 0: no memory,
 *   a length or generation out of range, or keys_max of its class are held.
 * index_restore_begin - room for `keys` keys, so that no growth is needed. 0, -ENOSPC, -ENOMEM.
 * index_restore_bind - binds the keys of records. 0; or -EEXIST (two have the same key), -ENOMEM:
 *   records before number *failed are bound.
 */
static inline uint32_t index_restore_record(struct index *index, const void *key, size_t length,
                                            uint32_t slot, uint32_t generation)
{
    return pawl__index_restore_record(index, key, length, slot, generation);
}

static inline void index_restore_forget(struct index *index, uint32_t record)
{
    pawl__record_destroy(&index->records, record);
}

static inline int index_restore_begin(struct index *index, uint64_t keys)
{
    return pawl__index_restore_begin(index, keys);
}

static inline int index_restore_bind(struct index *index, const uint32_t *records, size_t count,
                                     size_t *failed)
{
    return pawl__index_restore_bind(index, records, count, failed);
}

/* Any thread. */
static inline uint64_t index_keys(const struct index *index)
{
    return load_relaxed(&index->keys);
}

/* Address space of the arrays and committed memory of the records, in bytes. Any thread. */
static inline uint64_t index_bytes(const struct index *index)
{
    return load_relaxed(&index->pages.reserved) + records_bytes(&index->records);
}

/* Whole-structure check for tests and debug builds; owner. */
static inline bool index_validate(const struct index *index)
{
    return pawl__index_validate(index);
}

/* The two halves of a 64 x 64 bit product, folded. */
static inline uint64_t index_fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t index_load_word(const void *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* A key of up to 8 bytes as a zero-padded word, without reading past its end. */
static inline uint64_t index_pad(const void *key, size_t length)
{
    const unsigned char *bytes = key;

    if (length == 8)
        return index_load_word(bytes);
    if (length >= 4) {
        uint32_t low, high;

        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + length - 4, 4);
        return low | (uint64_t)high << (8 * (length - 4));
    }
    /* 1..3 bytes: first, middle and last cover each, some twice. */
    return bytes[0] | (uint64_t)bytes[length / 2] << (8 * (length / 2)) |
           (uint64_t)bytes[length - 1] << (8 * (length - 1));
}

/* The seed's two secrets. */
static inline uint64_t index_first(uint64_t seed)
{
    return seed ^ UINT64_C(0xa0761d6478bd642f);
}

static inline uint64_t index_second(uint64_t seed)
{
    return index_fold(seed ^ UINT64_C(0xe7037ed1a0b428db), UINT64_C(0x8ebc6af09c88c6e3));
}

static inline uint64_t index_mix(uint64_t seed, uint64_t a, uint64_t b, uint64_t state,
                                 size_t length)
{
    return index_fold(index_fold(a ^ index_first(seed), b ^ state) ^ index_second(seed),
                      length ^ index_first(seed));
}

/* The hash of a key of up to 8 bytes from its padded word. */
static inline uint64_t index_hash_word(uint64_t seed, uint64_t word, size_t length)
{
    return index_mix(seed, word, 0, index_second(seed), length);
}

/*
 * index_hash - 64 well-mixed bits of a key of 1..64 bytes.
 *
 * Two words at a time are mixed with secrets, multiplied to 128 bits and folded, the idea of Wang
 * Yi's wyhash. Unlike there both factors depend on the seed, so that nobody who does not know it
 * can name keys that make a factor zero and so collide. Any thread.
 *
 * The index places keys by the highest bits. What else is chosen by this hash, such as a key's
 * home shard, must use the low half (index_home), or a shard's keys would crowd one part of its
 * array.
 */
static inline uint64_t index_hash(uint64_t seed, const void *key, size_t length)
{
    const unsigned char *bytes = key;
    const unsigned char *end = bytes + length;
    uint64_t state = index_second(seed);

    if (length <= 8)
        return index_hash_word(seed, index_pad(bytes, length), length);
    for (size_t left = length; left > 16; left -= 16, bytes += 16)
        state = index_fold(index_load_word(bytes) ^ index_first(seed),
                           index_load_word(bytes + 8) ^ state);
    /* The last 16 bytes, some of which may have been read; of 9..15 bytes both ends. */
    return index_mix(seed, index_load_word(length >= 16 ? end - 16 : key), index_load_word(end - 8),
                     state, length);
}

/* One of `count` homes by a key's hash. */
static inline uint32_t index_home(uint64_t hash, uint32_t count)
{
    return (uint32_t)(((hash & UINT32_MAX) * count) >> 32);
}

#endif /* PAWL_TASK_INDEX_H */
