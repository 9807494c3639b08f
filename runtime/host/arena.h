/*
 * arena.h - a shard's memory for things of varying size: payload buffers, chunks of queues.
 *
 * jemalloc where the executable brings it, the C library's malloc otherwise. The library itself
 * links no allocator: jemalloc's functions are weak references, looked at when an arena is opened.
 * The host's malloc, its threads' arenas and its settings are left alone: a shard gets an arena and
 * a thread cache of its own, named in each call. Debug and sanitizer builds always use malloc: no
 * memory checker sees into jemalloc.
 *
 * Owner: one shard allocates and frees; what it allocated any thread may free by
 * pawl__arena_free_any. Limits: limit_bytes, in bytes asked for. Bounded; may call the system.
 */
#ifndef PAWL_HOST_ARENA_H
#define PAWL_HOST_ARENA_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"

/* Field owners: I set once at open; O owner; A any thread. */
struct arena {
    uint64_t limit_bytes;    /* I: 0 for none; may be set before the first allocation */
    unsigned shard;          /* I */
    unsigned number;         /* I: jemalloc's number of the arena */
    int alloc_flags;         /* I: arena and thread cache, as mallocx wants them; 0: malloc */
    int free_flags;          /* I: thread cache */
    _Atomic uint64_t taken;  /* O: bytes allocated and not freed by the owner */
    _Atomic uint64_t failed; /* O: allocations refused */

    alignas(CACHE_LINE) _Atomic uint64_t returned; /* A: bytes freed by others */
};

/* "jemalloc" or "libc": what arenas opened in this process use. Any thread. */
const char *pawl__arena_kind(void);

/* Returns 0, or -ENOMEM. limit_bytes is 0. Any thread, before the owner starts. */
int pawl__arena_open(struct arena *arena, unsigned shard);

/* The owner's thread has ended or is this one. An arena with bytes still out is left to jemalloc
 * as it is, so that late pawl__arena_free_any calls stay right; struct arena must outlive them. */
void pawl__arena_close(struct arena *arena);

/*
 * Memory aligned for any type, and to a cache line where the size is a multiple of one; or NULL:
 * limit reached or no memory. size at least 1. Owner.
 */
void *pawl__arena_alloc(struct arena *arena, size_t size);

/* The size is the one asked for. NULL is ignored. Owner. */
void pawl__arena_free(struct arena *arena, void *memory, size_t size);

/* The same for threads other than the owner; slower. */
void pawl__arena_free_any(struct arena *arena, void *memory, size_t size);

/* Lets jemalloc give unused pages back now; worth a call before an idle shard parks. Owner. */
void pawl__arena_trim(struct arena *arena);

/* Bytes asked for and not yet freed. Any thread: relaxed, a recent value. */
static inline uint64_t arena_bytes(const struct arena *arena)
{
    const uint64_t returned = load_acquire(&arena->returned);
    const uint64_t taken = load_relaxed(&arena->taken);

    return taken > returned ? taken - returned : 0;
}

#endif /* PAWL_HOST_ARENA_H */
