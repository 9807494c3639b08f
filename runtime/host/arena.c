/*
 * arena.c - see arena.h. The only module that knows jemalloc.
 *
 * jemalloc's functions are declared here, weakly: its header would turn the references into strong
 * ones and its macros would need it at build time. The flag encodings below are part of its ABI.
 *
 * Each shard gets an arena and an explicit thread cache. Binding the shard's thread to the arena
 * (thread.arena) is twice as fast, but would also redirect the plain malloc of a thread that may be
 * the host's. An explicit thread cache is not safe for two threads, so others free past it. Whether
 * memory came from jemalloc is known from how the arena was opened: asking jemalloc about a pointer
 * it does not own crashes.
 */
#include "host/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *mallocx(size_t size, int flags) __attribute__((weak));
void sdallocx(void *memory, size_t size, int flags) __attribute__((weak));
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

#define FLAG_ARENA(number) ((int)(((number) + 1u) << 20))
#define FLAG_CACHE(number) ((int)(((number) + 2u) << 8))
#define FLAG_NO_CACHE      FLAG_CACHE(-1u)
#define FLAG_LINE          6 /* the alignment's logarithm */

_Static_assert(CACHE_LINE == 1 << FLAG_LINE, "FLAG_LINE aligns to a cache line");

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define MEMORY_CHECKER 1
#endif
#endif
#if defined(PAWL_DEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||        \
    defined(MEMORY_CHECKER)
#define JEMALLOC_WANTED false
#else
#define JEMALLOC_WANTED true
#endif

/* Version 5 and later have what is used here under these names. */
static bool has_jemalloc(void)
{
    const char *version = NULL;
    size_t size = sizeof version;

    return JEMALLOC_WANTED && mallocx != NULL && sdallocx != NULL && mallctl != NULL &&
           mallctl("version", &version, &size, NULL, 0) == 0 && version != NULL &&
           strtol(version, NULL, 10) >= 5;
}

const char *pawl__arena_kind(void)
{
    return has_jemalloc() ? "jemalloc" : "libc";
}

/* Calls arena.NUMBER.WHAT. */
static void arena_control(const struct arena *arena, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "arena.%u.%s", arena->number, what);
    (void)mallctl(name, NULL, NULL, NULL, 0);
}

static unsigned cache_number(const struct arena *arena)
{
    return ((unsigned)arena->free_flags >> 8) - 2;
}

int pawl__arena_open(struct arena *arena, unsigned shard)
{
    memset(arena, 0, sizeof *arena);
    arena->shard = shard;
    if (!has_jemalloc())
        return 0;

    unsigned cache;
    size_t size = sizeof arena->number;

    if (mallctl("arenas.create", &arena->number, &size, NULL, 0) != 0)
        return -ENOMEM;
    size = sizeof cache;
    if (mallctl("tcache.create", &cache, &size, NULL, 0) != 0) {
        arena_control(arena, "destroy");
        return -ENOMEM;
    }
    arena->free_flags = FLAG_CACHE(cache);
    arena->alloc_flags = FLAG_ARENA(arena->number) | arena->free_flags;
    return 0;
}

void pawl__arena_close(struct arena *arena)
{
    if (arena->alloc_flags == 0)
        return;

    unsigned cache = cache_number(arena);

    /* The cache's objects belong to the arena: it goes first. */
    (void)mallctl("tcache.destroy", NULL, NULL, &cache, sizeof cache);
    if (arena_bytes(arena) == 0)
        arena_control(arena, "destroy");
}

/*
 * Whole cache lines begin at one. malloc keeps to 16 bytes unless it is asked; jemalloc's sizes
 * would do, but it promises so only when asked.
 */
static void *allocate(const struct arena *arena, size_t size)
{
    const bool lines = size % CACHE_LINE == 0;

    if (arena->alloc_flags != 0)
        return mallocx(size, arena->alloc_flags | (lines ? FLAG_LINE : 0));
    return lines ? aligned_alloc(CACHE_LINE, size) : malloc(size);
}

void *pawl__arena_alloc(struct arena *arena, size_t size)
{
    void *memory = NULL;

    DEBUG_CHECK(size > 0);
    /* Written so that no sum can overflow. */
    if (arena->limit_bytes == 0 ||
        (size <= arena->limit_bytes && arena_bytes(arena) <= arena->limit_bytes - size))
        memory = allocate(arena, size);
    if (unlikely(memory == NULL)) {
        store_relaxed(&arena->failed, load_relaxed(&arena->failed) + 1);
        return NULL;
    }
    /* relaxed: only the owner writes it; others take it as a recent value. */
    store_relaxed(&arena->taken, load_relaxed(&arena->taken) + size);
    return memory;
}

static void release(const struct arena *arena, void *memory, size_t size, int flags)
{
    if (arena->alloc_flags != 0)
        sdallocx(memory, size, flags | (size % CACHE_LINE == 0 ? FLAG_LINE : 0));
    else
        free(memory);
}

void pawl__arena_free(struct arena *arena, void *memory, size_t size)
{
    if (memory == NULL)
        return;
    release(arena, memory, size, arena->free_flags);
    store_relaxed(&arena->taken, load_relaxed(&arena->taken) - size);
}

void pawl__arena_free_any(struct arena *arena, void *memory, size_t size)
{
    if (memory == NULL)
        return;
    release(arena, memory, size, FLAG_NO_CACHE);
    add_relaxed(&arena->returned, size);
}

void pawl__arena_trim(struct arena *arena)
{
    if (arena->alloc_flags == 0)
        return;

    unsigned cache = cache_number(arena);

    (void)mallctl("tcache.flush", NULL, NULL, &cache, sizeof cache);
    arena_control(arena, "decay");
}
