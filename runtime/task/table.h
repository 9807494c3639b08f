/*
 * table.h - the tasks of one shard: slots, contexts and keys.
 *
 * Layer: task. May include: base, host. Owner: the shard is the one writer; any thread reads slots
 * through table_read_slot and keys through pawl__index_find.
 *
 * A task's life in the table:
 *   reserve   a slot with an id, head RESERVED: nobody can reach it but the creating step
 *   (alive)   the first step's commit writes head ALIVE (shard/step.c)
 *   release   head not alive, generation + 1, block and key given back, slot free
 * A slot whose generation reaches GENERATION_MAX is retired, so an id is never used twice.
 */
#ifndef PAWL_TASK_TABLE_H
#define PAWL_TASK_TABLE_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/reclaim.h"
#include "host/slab.h"
#include "task/index.h"
#include "task/slot.h"

/* Contexts above CONTEXT_INLINE live in blocks of 2^5 .. 2^12 bytes, one slab a size. */
#define BLOCK_SHIFT_MIN 5u
#define BLOCK_SHIFT_MAX 12u
#define BLOCK_CLASSES   (BLOCK_SHIFT_MAX - BLOCK_SHIFT_MIN + 1)

_Static_assert(1u << BLOCK_SHIFT_MAX == CONTEXT_MAX, "the largest context fits the largest block");

struct table {
    struct slab slots;
    struct slab blocks[BLOCK_CLASSES];
    bool block_class_used[BLOCK_CLASSES];
    struct index keys;
    struct reclaim reclaim; /* of the key index's old arrays */
    uint32_t shard;
};

struct table_options {
    uint32_t shard;
    uint64_t tasks_max;
    bool huge;
    uint64_t seed;                 /* of the key hash */
    const uint32_t *context_sizes; /* of the machines: which block sizes will be needed */
    unsigned context_sizes_count;
};

int pawl__table_init(struct table *table, const struct table_options *options);
void pawl__table_fini(struct table *table);

/*
 * pawl__table_reserve - a slot for a new task, its context zeroed and its head RESERVED.
 * Returns the slot index; 0 when the limit is reached or there is no memory.
 */
uint32_t pawl__table_reserve(struct table *table, unsigned machine, uint32_t context_size);

/* Ends a reserved or live task's stay: readers find it stale from here on. */
void pawl__table_release(struct table *table, uint32_t index, uint32_t context_size);

/* The key's bytes (0 when the task has none); for the owner. */
size_t pawl__table_key(const struct table *table, const struct slot *slot, void *key64);

/* Bytes committed for slots, blocks and keys. */
uint64_t pawl__table_bytes(const struct table *table);

/* Once a turn: gives memory back and moves a growing index along, both by a bounded amount. Returns
 * whether there is more to do that waits for nothing. */
bool pawl__table_work(struct table *table);

static inline struct slot *table_slot(const struct table *table, uint32_t index)
{
    return slab_at_sized(&table->slots, index, sizeof(struct slot));
}

static inline unsigned block_class(uint32_t context_size)
{
    const unsigned shift =
        context_size <= 32 ? 5u : 32u - (unsigned)__builtin_clz(context_size - 1);

    return shift - BLOCK_SHIFT_MIN;
}

/*
 * Restoring. A table that nobody has used yet is filled with the lives that a store tells of, in
 * any order of slots, and again and again as the tale goes on (shard/restore_image.c). Meanwhile
 * slot.mark says what is known of the slot's life, 0 that it has none; key records are bound to no
 * cell; lists of free slots are made at the end. slot.generation is the life's, or what the next
 * one must not be below.
 */
#define RESTORED_HELD  0x1u /* something of this life is known */
#define RESTORED_STATE 0x2u /* its machine and state */
#define RESTORED_BORN  0x4u /* all of it, from its beginning or from an image on */
#define RESTORED_FOREIGN                                                                           \
    0x8u /* its machine is none of this runtime's; slot.extension is its number */

/*
 * Of runs of SLAB_RESTORE_RUN slots: a generation that none of their past lives was above; 0: no
 * life.
 */
struct table_floors {
    uint32_t *runs;
    uint32_t runs_count; /* runs from here on: 0 */
    uint32_t all;        /* of every slot */
};

/* Asked once for each life, by ascending slots. False: it is not right; nothing else is asked. */
typedef bool table_restored_fn(void *user, struct slot *slot, uint32_t index);

/* The slot with this index; NULL: there can be none, or no memory. */
static inline struct slot *table_restore_slot(struct table *table, uint32_t index)
{
    return slab_restore_reach(&table->slots, index) ? slab_at(&table->slots, index) : NULL;
}

/* A block for a context above CONTEXT_INLINE. False: no memory, or tasks_max of them. */
bool pawl__table_restore_context(struct table *table, struct slot *slot, uint32_t context_size);

/* The life's key; 0, or -ENOMEM as for a context. */
int pawl__table_restore_key(struct table *table, struct slot *slot, uint32_t index, const void *key,
                            size_t size);

/* The slot has no life any more; block and key are given back. context_size 0: it has no block. */
void pawl__table_restore_forget(struct table *table, struct slot *slot, uint32_t context_size);

/*
 * The end: lists are made, keys are bound, and `live` is asked. *failed is the slot where it said
 * no, -EBADMSG, or which has the key of another one, -EEXIST. -ENOSPC: more than tasks_max, *failed
 * is how many. -ENOMEM.
 */
int pawl__table_restore_end(struct table *table, const struct table_floors *floors,
                            table_restored_fn *live, void *user, uint32_t *failed);

/* As after pawl__table_init. No reader may be inside. -ENOMEM: only pawl__table_fini may follow. */
int pawl__table_clear(struct table *table);

/* Where a live task's context is; the owner's view. */
static inline _Atomic uint64_t *table_context(const struct table *table, struct slot *slot,
                                              uint32_t context_size)
{
    if (context_size <= CONTEXT_INLINE)
        return slot->context;
    /* relaxed: the owner reads its own. */
    return slab_at(&table->blocks[block_class(context_size)],
                   (uint32_t)load_relaxed(&slot->context[0]));
}

#endif /* PAWL_TASK_TABLE_H */
