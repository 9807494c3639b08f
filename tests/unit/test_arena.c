/* What arena.h promises, whichever allocator is behind it. */
#include "host/arena.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

static void open_arena(struct arena *arena)
{
    const int error = pawl__arena_open(arena, 0);

    cr_assert_eq(error, 0);
}

Test(arena, says_which_allocator_it_uses)
{
    cr_assert(strcmp(pawl__arena_kind(), "libc") == 0 ||
              strcmp(pawl__arena_kind(), "jemalloc") == 0);
}

Test(arena, counts_the_bytes_asked_for)
{
    struct arena arena;

    open_arena(&arena);
    void *small = pawl__arena_alloc(&arena, 10);
    void *large = pawl__arena_alloc(&arena, 1 << 20);

    cr_assert(small != NULL && large != NULL);
    memset(small, 1, 10);
    memset(large, 2, 1 << 20);
    cr_assert_eq(arena_bytes(&arena), 10u + (1u << 20));
    pawl__arena_free(&arena, small, 10);
    cr_assert_eq(arena_bytes(&arena), 1u << 20);
    pawl__arena_free(&arena, large, 1 << 20);
    pawl__arena_free(&arena, NULL, 5);
    cr_assert_eq(arena_bytes(&arena), 0u);
    pawl__arena_close(&arena);
}

Test(arena, refuses_beyond_its_limit_and_recovers)
{
    struct arena arena;

    open_arena(&arena);
    arena.limit_bytes = 1000;
    void *memory = pawl__arena_alloc(&arena, 600);

    cr_assert(memory != NULL);
    cr_assert(pawl__arena_alloc(&arena, 401) == NULL);
    cr_assert(pawl__arena_alloc(&arena, SIZE_MAX) == NULL);
    cr_assert_eq(load_relaxed(&arena.failed), 2u);

    void *rest = pawl__arena_alloc(&arena, 400);

    cr_assert(rest != NULL, "exactly up to the limit");
    pawl__arena_free(&arena, memory, 600);
    memory = pawl__arena_alloc(&arena, 500);
    cr_assert(memory != NULL);
    pawl__arena_free(&arena, memory, 500);
    pawl__arena_free(&arena, rest, 400);
    pawl__arena_close(&arena);
}

Test(arena, whole_cache_lines_are_aligned_to_one)
{
    void *blocks[300];
    struct arena arena;

    open_arena(&arena);
    for (size_t lines = 1; lines < ARRAY_LEN(blocks); lines++) {
        void *const odd = pawl__arena_alloc(&arena, lines * CACHE_LINE - 1); /* gets in between */

        blocks[lines] = pawl__arena_alloc(&arena, lines * CACHE_LINE);
        cr_assert(odd != NULL && blocks[lines] != NULL);
        cr_assert_eq((uintptr_t)odd % alignof(max_align_t), 0u);
        cr_assert_eq((uintptr_t)blocks[lines] % CACHE_LINE, 0u, "%zu lines", lines);
        memset(blocks[lines], (int)lines, lines * CACHE_LINE);
        pawl__arena_free(&arena, odd, lines * CACHE_LINE - 1);
    }
    for (size_t lines = 1; lines < ARRAY_LEN(blocks); lines++) {
        cr_assert_eq(*(unsigned char *)blocks[lines], lines % 256);
        if (lines % 2 != 0)
            pawl__arena_free(&arena, blocks[lines], lines * CACHE_LINE);
        else
            pawl__arena_free_any(&arena, blocks[lines], lines * CACHE_LINE);
    }
    cr_assert_eq(arena_bytes(&arena), 0u);
    pawl__arena_close(&arena);
}

#define FOREIGN 2000u

struct foreign {
    struct arena *arena;
    void *blocks[FOREIGN];
};

static void *free_half(void *argument)
{
    struct foreign *foreign = argument;

    for (unsigned at = 0; at < FOREIGN; at += 2)
        pawl__arena_free_any(foreign->arena, foreign->blocks[at], 8 + at);
    return NULL;
}

Test(arena, other_threads_free_what_the_owner_allocated)
{
    struct arena arena;
    struct foreign foreign = {.arena = &arena};
    pthread_t thread;

    open_arena(&arena);
    for (unsigned at = 0; at < FOREIGN; at++) {
        foreign.blocks[at] = pawl__arena_alloc(&arena, 8 + at);
        cr_assert(foreign.blocks[at] != NULL);
        memset(foreign.blocks[at], (int)at, 8 + at);
    }
    cr_assert_eq(pthread_create(&thread, NULL, free_half, &foreign), 0);
    for (unsigned at = 1; at < FOREIGN; at += 2)
        pawl__arena_free(&arena, foreign.blocks[at], 8 + at);
    pthread_join(thread, NULL);
    cr_assert_eq(arena_bytes(&arena), 0u);
    pawl__arena_trim(&arena);
    pawl__arena_close(&arena);
}

Test(arena, memory_outlives_a_close_until_it_is_freed)
{
    struct arena arena;

    open_arena(&arena);
    char *memory = pawl__arena_alloc(&arena, 4096);

    cr_assert(memory != NULL);
    memset(memory, 3, 4096);
    pawl__arena_close(&arena);
    for (unsigned at = 0; at < 4096; at++)
        cr_assert_eq(memory[at], 3);
    pawl__arena_free_any(&arena, memory, 4096);
    cr_assert_eq(arena_bytes(&arena), 0u);
}

Test(arena, many_open_and_close)
{
    for (unsigned round = 0; round < 200; round++) {
        struct arena arena[8];

        for (unsigned at = 0; at < 8; at++) {
            open_arena(&arena[at]);
            pawl__arena_free(&arena[at], pawl__arena_alloc(&arena[at], 100), 100);
        }
        for (unsigned at = 0; at < 8; at++)
            pawl__arena_close(&arena[at]);
    }
}
