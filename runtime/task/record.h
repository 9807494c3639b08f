/*
 * record.h - the keys of an index at rest: each key's bytes behind a 32-bit number, which a task
 * keeps to have its key back and to remove it.
 *
 * Layer: task. Owner: one shard creates, destroys and trims; any thread compares and reads.
 *
 * A record is a stamp and the key's bytes, zero-padded up to the last word. There are two classes,
 * 16 bytes for keys of up to 8 bytes and 72 for longer ones, each with a slab of its own; a
 * record's number is the slab's index << 1 | class.
 *
 * The stamp is the word of the key's cell (index.h), slot:32 | generation:22 | length:7, and 0
 * while the record is void or being written. Since a pair of slot and generation is bound only
 * once, it names this use of the record: who finds a cell's word in the stamp before and after the
 * bytes has the bytes that belong to the cell. The cell's own second look cannot tell that for an
 * array already replaced, whose cells are marked no more. The slab links free records through the
 * low half of the stamp, which leaves the length 0.
 *
 * Ordering:
 *   (R1) stamp published, release -> (R2) stamp loaded, acquire: the bytes of that use or later.
 *   (R3) bytes written, release   -> (R4) bytes loaded, acquire: who sees bytes of a later use
 *        sees, in the second look at the stamp (R5), that the earlier use is over.
 *
 * Which calls may overlap: create, destroy, trim and validate exclude each other (one owner);
 * holds, key, live and bytes run with all of them on any thread between init and fini.
 *
 * Progress: all are bounded; holds and key are wait-free. Limits: keys of 1..KEY_SIZE_MAX bytes;
 * keys_max at most RECORD_KEYS_MAX.
 */
#ifndef PAWL_TASK_RECORD_H
#define PAWL_TASK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "host/slab.h"

#define RECORD_KEYS_MAX  ((UINT32_C(1) << 31) - 2) /* a number has a class bit */
#define RECORD_KEY_WORDS (KEY_SIZE_MAX / 8)

#define STAMP_LENGTH_SHIFT 54
#define STAMP_LENGTH_MASK  (UINT64_C(127) << STAMP_LENGTH_SHIFT)

_Static_assert(ID_SLOT_BITS == 32 && ID_SLOT_BITS + ID_GENERATION_BITS == STAMP_LENGTH_SHIFT,
               "a stamp is slot, generation, length");
_Static_assert(KEY_SIZE_MAX < 128 && KEY_SIZE_MAX % 8 == 0,
               "a length has 7 bits, the longest key whole words");

enum record_class { RECORD_SHORT, RECORD_LONG, RECORD_CLASSES };

struct record {
    _Atomic uint64_t stamp;
    _Atomic uint64_t words[];
};

struct records {
    struct slab slabs[RECORD_CLASSES]; /* by class */
};

/* Returns 0, -EINVAL for keys_max out of 1..RECORD_KEYS_MAX, -ENOMEM. */
int pawl__records_init(struct records *records, uint64_t keys_max, bool huge);

/* No reader may be inside. */
void pawl__records_fini(struct records *records);

/*
 * record_create - a record with this stamp, whose length says how many bytes of `words` are the
 * key; the rest of the last word is zero.
 *
 * Thread:  owner.
 * Returns: its number; 0: no memory, or keys_max of its class are held.
 */
uint32_t pawl__record_create(struct records *records, uint64_t stamp, const uint64_t *words);

/* The record is void afterwards. Owner. */
void pawl__record_destroy(struct records *records, uint32_t number);

/*
 * record_key - the key of a record; any number will do.
 *
 * Thread:  any. The bytes are those of one key, maybe of a later use of the record.
 * Returns: its length; the bytes are in buffer64, of KEY_SIZE_MAX bytes. 0 for a record that is
 *          void or changed under the reader.
 */
size_t pawl__record_key(const struct records *records, uint32_t number, void *buffer64);

/* Gives unused memory back; true while there may be more. Owner, once a turn. */
bool pawl__records_trim(struct records *records);

/* Whole-structure check for tests and debug builds; owner. */
bool pawl__records_validate(const struct records *records);

static inline uint64_t stamp_make(uint32_t slot, uint32_t generation, size_t length)
{
    return slot | (uint64_t)generation << ID_SLOT_BITS | (uint64_t)length << STAMP_LENGTH_SHIFT;
}

static inline uint32_t stamp_slot(uint64_t stamp)
{
    return (uint32_t)stamp;
}

static inline uint32_t stamp_generation(uint64_t stamp)
{
    return (uint32_t)(stamp >> ID_SLOT_BITS) & GENERATION_MAX;
}

static inline size_t stamp_length(uint64_t stamp)
{
    return (size_t)((stamp & STAMP_LENGTH_MASK) >> STAMP_LENGTH_SHIFT);
}

/* The parts of a number. Cells of long keys hold the index alone. */
static inline uint32_t record_number(enum record_class kind, uint32_t index)
{
    return index << 1 | (uint32_t)kind;
}

static inline uint32_t record_index(uint32_t number)
{
    return number >> 1;
}

static inline enum record_class record_class(uint32_t number)
{
    return (enum record_class)(number & 1);
}

/*
 * record_holds - whether the long record at a slab's index holds the key `words` for this stamp.
 * The index may be anything: a reader may have the key of one cell and the word of another.
 *
 * Thread: any. In the way of each look-up of a long key, hence inline.
 */
static inline bool record_holds(const struct records *records, uint32_t index, uint64_t stamp,
                                const uint64_t *words, uint32_t words_count)
{
    const struct record *record = slab_peek(&records->slabs[RECORD_LONG], index);

    if (record == NULL || load_acquire(&record->stamp) != stamp) /* (R2) pairs with (R1) */
        return false;
    for (uint32_t at = 0; at < words_count; at++)
        if (load_acquire(&record->words[at]) != words[at]) /* (R4) pairs with (R3) */
            return false;
    return load_relaxed(&record->stamp) == stamp; /* (R5) relaxed: behind the acquires above */
}

/* Counters, any thread. */

static inline uint64_t records_live(const struct records *records)
{
    return slab_live(&records->slabs[RECORD_SHORT]) + slab_live(&records->slabs[RECORD_LONG]);
}

static inline uint64_t records_bytes(const struct records *records)
{
    return slab_bytes(&records->slabs[RECORD_SHORT]) + slab_bytes(&records->slabs[RECORD_LONG]);
}

#endif /* PAWL_TASK_RECORD_H */
