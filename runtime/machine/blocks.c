#include "machine/blocks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define BLOCK_SIZE  16384u /* of a block that is shared by small objects */
#define BLOCK_LARGE 4096u  /* from here on an object has a block of its own */
#define GROW_FIRST  16u    /* objects in a growing array at first */

/* Stands in front of the objects, a whole line so that they are aligned as the block is. */
struct block {
    _Alignas(CACHE_LINE) struct block *older;
};

static void *libc_allocate(void *user, size_t size)
{
    (void)user;
    return aligned_alloc(CACHE_LINE, size);
}

static void libc_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

const struct allocator pawl__allocator_libc = {libc_allocate, libc_release, NULL};

void pawl__blocks_init(struct blocks *blocks, const struct allocator *allocator)
{
    *blocks = (struct blocks){.allocator = allocator};
}

void pawl__blocks_fini(struct blocks *blocks)
{
    struct block *block = blocks->first;

    while (block) {
        struct block *const older = block->older;

        blocks->allocator->release(blocks->allocator->user, block);
        block = older;
    }
    pawl__blocks_init(blocks, blocks->allocator);
}

static char *add_block(struct blocks *blocks, size_t size)
{
    struct block *const block =
        blocks->allocator->allocate(blocks->allocator->user, sizeof(*block) + size);

    if (!block)
        return NULL;
    block->older = blocks->first;
    blocks->first = block;
    return (char *)(block + 1);
}

void *pawl__blocks_get(struct blocks *blocks, size_t count, size_t size, size_t alignment)
{
    size_t bytes, skip;
    char *got;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    if (bytes >= BLOCK_LARGE) {
        bytes = align_up(bytes, CACHE_LINE);
        got = add_block(blocks, bytes);
        return got ? memset(got, 0, bytes) : NULL;
    }
    skip = -(uintptr_t)blocks->next & (alignment - 1);
    if (skip + bytes > blocks->left || !blocks->next) {
        got = add_block(blocks, BLOCK_SIZE);
        if (!got)
            return NULL;
        blocks->next = got;
        blocks->left = BLOCK_SIZE;
        skip = 0;
    }
    got = blocks->next + skip;
    blocks->next += skip + bytes;
    blocks->left -= skip + bytes;
    return memset(got, 0, bytes);
}

char *pawl__blocks_copy(struct blocks *blocks, const char *string)
{
    const size_t size = strlen(string) + 1;
    char *const copy = pawl__blocks_get(blocks, size, 1, 1);

    return copy ? memcpy(copy, string, size) : NULL;
}

void *pawl__blocks_grow(struct blocks *blocks, void *array, size_t count, size_t *capacity,
                        size_t size)
{
    size_t wanted;
    void *grown;

    if (count < *capacity)
        return array;
    wanted = *capacity ? *capacity * 2 : GROW_FIRST;
    grown = pawl__blocks_get(blocks, wanted, size, CACHE_LINE);
    if (!grown)
        return NULL;
    if (count)
        memcpy(grown, array, count * size);
    *capacity = wanted;
    return grown;
}
