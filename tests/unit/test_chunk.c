/* test_chunk.c - the chunks of a shard's fifos, kept ready so that a promised push cannot fail. */
#include "queue/fifo.h"
#include "shard/shard.h"
#include "support/test.h"

#define FIFOS 20u

static struct arena arena;
static struct chunk_cache cache;
static struct fifo fifos[FIFOS];

static void open_cache(void)
{
    cr_assert_eq(pawl__arena_open(&arena, 0), 0);
    cache = (struct chunk_cache){.arena = &arena};
}

static void close_cache(void)
{
    pawl__chunks_fini(&cache);
    cr_assert_eq(cache.count, 0u);
    cr_assert_eq(arena_bytes(&arena), 0u, "chunks are left");
    pawl__arena_close(&arena);
}

static uint64_t chunks_out(void)
{
    return arena_bytes(&arena) / FIFO_CHUNK_SIZE;
}

static bool push(struct fifo *fifo, uint64_t n)
{
    const struct cell cell = {.word = {n, n, n, n}};

    return fifo_push(fifo, &cell);
}

Test(chunk, an_empty_cache_holds_nothing)
{
    open_cache();
    cr_assert(pawl__chunks_ensure(&cache, 0));
    cr_assert_eq(chunks_out(), 0u);
    close_cache();
}

Test(chunk, ensures_as_many_as_asked_for_and_no_more)
{
    open_cache();
    cr_assert(pawl__chunks_ensure(&cache, 5));
    cr_assert_eq(chunks_out(), 5u);
    cr_assert(pawl__chunks_ensure(&cache, 3));
    cr_assert_eq(chunks_out(), 5u);
    cr_assert(pawl__chunks_ensure(&cache, 2 * STEP_EMIT_MAX));
    cr_assert_eq(chunks_out(), 2u * STEP_EMIT_MAX);
    cr_assert_eq(cache.count, 2u * STEP_EMIT_MAX);
    close_cache();
}

Test(chunk, ensured_pushes_succeed_without_any_memory)
{
    const struct fifo_source source = pawl__chunks_source(&cache);

    open_cache();
    for (unsigned i = 0; i < FIFOS; i++)
        pawl__fifo_init(&fifos[i], &source);
    for (unsigned turn = 0; turn < 3 * FIFO_CHUNK_CELLS; turn++) {
        arena.limit_bytes = 0;
        cr_assert(pawl__chunks_ensure(&cache, FIFOS));
        /* The worst: each push goes to another fifo and needs a chunk there. */
        arena.limit_bytes = 1;
        for (unsigned i = 0; i < FIFOS; i++)
            cr_assert(push(&fifos[i], turn), "push %u of turn %u", i, turn);
    }
    for (unsigned i = 0; i < FIFOS; i++) {
        cr_assert_eq(fifo_count(&fifos[i]), 3 * FIFO_CHUNK_CELLS);
        pawl__fifo_fini(&fifos[i]);
    }
    close_cache();
}

Test(chunk, without_memory_it_says_so_and_keeps_what_it_has)
{
    const struct fifo_source source = pawl__chunks_source(&cache);
    void *chunk;

    open_cache();
    arena.limit_bytes = 3 * FIFO_CHUNK_SIZE;
    cr_assert(!pawl__chunks_ensure(&cache, 4));
    cr_assert(cache.count <= 3);
    cr_assert(pawl__chunks_ensure(&cache, 3));
    cr_assert(!pawl__chunks_ensure(&cache, 4));
    for (unsigned i = 0; i < 3; i++) {
        chunk = source.get(source.user);
        cr_assert(chunk != NULL);
        pawl__arena_free(&arena, chunk, FIFO_CHUNK_SIZE);
        arena.limit_bytes = 1;
    }
    cr_assert(source.get(source.user) == NULL);
    close_cache();
}

Test(chunk, what_is_put_is_what_is_got_next)
{
    const struct fifo_source source = pawl__chunks_source(&cache);
    void *first, *second;

    open_cache();
    first = source.get(source.user);
    second = source.get(source.user);
    cr_assert(first != NULL && second != NULL && first != second);
    cr_assert((uintptr_t)first % 32 == 0 && (uintptr_t)second % 32 == 0, "as fifo.h asks");
    source.put(source.user, first);
    cr_assert_eq(cache.count, 1u);
    cr_assert_eq(chunks_out(), 2u, "kept");
    cr_assert(source.get(source.user) == first, "the warm one");
    source.put(source.user, second);
    source.put(source.user, first);
    close_cache();
}

Test(chunk, a_peak_is_given_back)
{
    static void *chunks[1000];
    const struct fifo_source source = pawl__chunks_source(&cache);

    open_cache();
    for (unsigned i = 0; i < ARRAY_LEN(chunks); i++)
        cr_assert((chunks[i] = source.get(source.user)) != NULL);
    cr_assert_eq(chunks_out(), ARRAY_LEN(chunks));
    for (unsigned i = 0; i < ARRAY_LEN(chunks); i++)
        source.put(source.user, chunks[i]);
    cr_assert(arena_bytes(&arena) <= 256 * 1024, "%llu bytes are kept",
              (unsigned long long)arena_bytes(&arena));
    cr_assert_eq(cache.count, chunks_out());
    close_cache();
}
