/*
 * slot.h - a task's slot: one cache line that its shard alone writes and any thread may read.
 *
 * Layer: task. May include: base.
 *
 *   byte  0  head        version:32 | flags:8 | machine:8 | state:16
 *         8  generation  of the id that is, or will next be, valid
 *        12  mark        the batch that last touched the slot (shard/batch.c)
 *        14  history     the remembered children (machine/compiled.h)
 *        16  timers      first armed timer node, 0 none (shard/timers.c)
 *        20  deferred    newest deferred event, 0 none (shard/deferral.c)
 *        24  key         key record, 0 none (task/index.h)
 *        28  link        of the free list; of the ready lane while alive
 *        32  since       when the state was entered, in units of 2^24 ns
 *        36  extension   leases and dependencies, 0 none
 *        40  context     24 bytes, or the index of a block in its first word
 *
 * Reading without a lock is a sequence lock (Lameter, 2005) on the version: odd while the shard
 * writes. Slots are type-stable (host/slab.h), so a stale reader finds another task or zeroes,
 * never a fault, and the generation tells.
 *
 *   Writer                                    Reader
 *   head = odd                (relaxed)       h1 = head                     (acquire)
 *   every other field         (release) W     every other field             (acquire) R
 *   head = even, new state    (release) E     h2 = head                     (relaxed)
 *
 *   R reads what W wrote -> the odd head before W is visible -> h2 != h1: tried again.
 *   h1 reads E -> all that was written before E is visible.
 *   Versions begin again with each life, so the reader also reads the generation (R) first and
 *   last. A new life: generation and context are written before the head that says ALIVE (E), and
 *   the head that is not alive any more is written before the generation grows. The orders sit on
 *   the operations, not on fences, so ThreadSanitizer checks them; on x86-64 they cost nothing.
 *
 * Progress: the writer is wait-free. A reader tries again only if the task made a step meanwhile.
 */
#ifndef PAWL_TASK_SLOT_H
#define PAWL_TASK_SLOT_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/limits.h"

#define CONTEXT_WORDS (CONTEXT_INLINE / 8)

/* Bits of head.flags. */
#define SLOT_ALIVE    0x01u
#define SLOT_RESERVED 0x02u /* given an id, its entry actions have not run */
#define SLOT_RECORDED 0x04u /* with RESERVED: a journal knows of it */

#define SINCE_SHIFT 24 /* units of `since` are 2^24 ns, about 17 ms; they last 2.3 years */

/* Field owners: W the shard writes, anyone reads; S the shard only. */
struct slot {
    _Atomic uint64_t head;                   /* W */
    _Atomic uint32_t generation;             /* W */
    uint16_t mark;                           /* S */
    uint16_t history;                        /* S */
    uint32_t timers;                         /* S */
    _Atomic uint32_t deferred;               /* W: read by others only for whether there is any */
    _Atomic uint32_t key;                    /* W */
    uint32_t link;                           /* S */
    _Atomic uint32_t since;                  /* W */
    uint32_t extension;                      /* S */
    _Atomic uint64_t context[CONTEXT_WORDS]; /* W */
};
_Static_assert(sizeof(struct slot) == 64, "a task is one cache line");

#define HEAD_VERSION_ONE (UINT64_C(1) << 32)

static inline uint16_t head_state(uint64_t head)
{
    return (uint16_t)head;
}

static inline uint8_t head_machine(uint64_t head)
{
    return (uint8_t)(head >> 16);
}

static inline uint8_t head_flags(uint64_t head)
{
    return (uint8_t)(head >> 24);
}

static inline uint32_t head_version(uint64_t head)
{
    return (uint32_t)(head >> 32);
}

static inline uint64_t head_make(uint32_t version, unsigned flags, unsigned machine, unsigned state)
{
    return (uint64_t)version << 32 | (uint64_t)flags << 24 | (uint64_t)machine << 16 | state;
}

/* Ids. */
static inline uint32_t id_slot(struct pawl_task task)
{
    return (uint32_t)task.id;
}

static inline uint32_t id_generation(struct pawl_task task)
{
    return (uint32_t)(task.id >> ID_SLOT_BITS) & GENERATION_MAX;
}

static inline uint32_t id_shard(struct pawl_task task)
{
    return (uint32_t)(task.id >> (ID_SLOT_BITS + ID_GENERATION_BITS));
}

static inline struct pawl_task id_make(uint32_t shard, uint32_t generation, uint32_t slot)
{
    return (struct pawl_task){(uint64_t)shard << (ID_SLOT_BITS + ID_GENERATION_BITS) |
                              (uint64_t)generation << ID_SLOT_BITS | slot};
}

/* The newest deferred event. relaxed: only the owner follows it. */
static inline uint32_t slot_deferred(const struct slot *slot)
{
    return load_relaxed(&slot->deferred);
}

static inline void slot_set_deferred(struct slot *slot, uint32_t deferral)
{
    store_relaxed(&slot->deferred, deferral);
}

/* The owner's own view; relaxed everywhere because only the owner writes. */
static inline bool slot_is_live(const struct slot *slot, uint32_t generation, uint64_t head)
{
    return (head_flags(head) & SLOT_ALIVE) != 0 && load_relaxed(&slot->generation) == generation;
}

/* Opens the writer's section: readers that see any later store will try again. */
static inline void slot_write_begin(struct slot *slot, uint64_t head)
{
    store_relaxed(&slot->head, head + HEAD_VERSION_ONE); /* relaxed: W orders it */
}

/* For a reserved slot, which nobody else looks into yet. */
static inline void slot_set_recorded(struct slot *slot)
{
    /* relaxed: the owner reads its own */
    store_release(&slot->head, load_relaxed(&slot->head) | (uint64_t)SLOT_RECORDED << 24);
}

/* Closes it with an even version and what the head says now. */
static inline void slot_write_end(struct slot *slot, uint64_t head, unsigned flags, unsigned state)
{
    store_release(&slot->head,
                  head_make(head_version(head) + 2, flags, head_machine(head), state)); /* E */
}

/*
 * The owner's own look. Only the owner writes, so a plain copy is no race; and it is one of vector
 * moves, from which a handler's wider loads are forwarded. (Copied word by word, a handler that
 * adds to two neighbouring words at once waits for both stores to reach the cache: 5 ns more a
 * step.)
 */
static inline void words_load(uint64_t *to, const _Atomic uint64_t *from, size_t count)
{
    memcpy(to, (const void *)(uintptr_t)from, count * sizeof(*to));
}

/* Unrolled where the count is known and small, so that an inline context is straight code. */
static inline void words_store(_Atomic uint64_t *to, const uint64_t *from, size_t count)
{
    _Pragma("GCC unroll 4") for (size_t i = 0; i < count; i++)
        store_release(&to[i], from[i]); /* W */
}

static inline void words_read(uint64_t *to, const _Atomic uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = load_acquire(&from[i]); /* R */
}

#endif /* PAWL_TASK_SLOT_H */
