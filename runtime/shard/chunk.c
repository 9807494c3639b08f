/*
 * chunk.c - the chunks of a shard's fifos, kept ready so that what a step has staged can be pushed
 * without fail when it commits.
 *
 * Layer: shard. Owner: the shard. A push needs at most one chunk, so as many chunks as staged
 * events are always enough; nearly always there are some already and nothing is allocated.
 */
#include "shard/shard.h"

/* Free chunks kept beyond what is asked for: 256 KiB. */
#define CHUNKS_KEPT 64u

struct free_chunk {
    struct free_chunk *next;
};

static void chunk_put(void *user, void *chunk)
{
    struct chunk_cache *cache = user;
    struct free_chunk *freed = chunk;

    if (cache->count >= CHUNKS_KEPT) {
        pawl__arena_free(cache->arena, chunk, FIFO_CHUNK_SIZE);
        return;
    }
    freed->next = cache->free;
    cache->free = freed;
    cache->count++;
}

static void *chunk_get(void *user)
{
    struct chunk_cache *cache = user;
    struct free_chunk *taken = cache->free;

    if (taken == NULL)
        return pawl__arena_alloc(cache->arena, FIFO_CHUNK_SIZE);
    cache->free = taken->next;
    cache->count--;
    return taken;
}

bool pawl__chunks_ensure(struct chunk_cache *cache, uint32_t count)
{
    while (cache->count < count) {
        struct free_chunk *made = pawl__arena_alloc(cache->arena, FIFO_CHUNK_SIZE);

        if (made == NULL)
            return false;
        made->next = cache->free;
        cache->free = made;
        cache->count++;
    }
    return true;
}

void pawl__chunks_fini(struct chunk_cache *cache)
{
    while (cache->free != NULL) {
        struct free_chunk *freed = cache->free;

        cache->free = freed->next;
        pawl__arena_free(cache->arena, freed, FIFO_CHUNK_SIZE);
    }
    cache->count = 0;
}

struct fifo_source pawl__chunks_source(struct chunk_cache *cache)
{
    return (struct fifo_source){.get = chunk_get, .put = chunk_put, .user = cache};
}
