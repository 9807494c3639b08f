/*
 * blocks.h - memory that is freed together: all of a compiled machine, or all scratch of one compile.
 *
 * Compiling makes hundreds of small objects that live and die as one. Taking them from a few blocks
 * makes every error path one call, and freeing cannot forget one. The allocator is a table so that a
 * test can make each single allocation fail; the library's is malloc, which is fine at set-up time.
 *
 * Layer: machine. Owner: one thread. Limits: none of its own. A failed get leaves the blocks usable.
 */
#ifndef PAWL_MACHINE_BLOCKS_H
#define PAWL_MACHINE_BLOCKS_H

#include <stddef.h>

/* allocate returns memory aligned to 64, or NULL; size is a multiple of 64 and not 0. */
struct allocator {
    void *(*allocate)(void *user, size_t size);
    void (*release)(void *user, void *memory);
    void *user;
};

extern const struct allocator pawl__allocator_libc;

struct block;

struct blocks {
    const struct allocator *allocator;
    struct block *first;
    char *next; /* free bytes of the newest small block */
    size_t left;
};

void pawl__blocks_init(struct blocks *blocks, const struct allocator *allocator);

/* Frees everything that was got. */
void pawl__blocks_fini(struct blocks *blocks);

/*
 * pawl__blocks_get - count objects of size bytes, zeroed, aligned to alignment (a power of two up to
 * 64). NULL: no memory, or the product overflows. Never NULL for a count of 0.
 */
void *pawl__blocks_get(struct blocks *blocks, size_t count, size_t size, size_t alignment);

/* A copy of a string; NULL: no memory. */
char *pawl__blocks_copy(struct blocks *blocks, const char *string);

/*
 * pawl__blocks_grow - room for one more object in a growing array of count objects. The old array
 * stays behind in the blocks, which costs at most as much again. Returns the array, or NULL: no
 * memory, and the old array is still good.
 */
void *pawl__blocks_grow(struct blocks *blocks, void *array, size_t count, size_t *capacity,
                        size_t size);

#define BLOCKS_NEW(blocks, count, type)                                                            \
    ((type *)pawl__blocks_get((blocks), (count), sizeof(type), _Alignof(type)))

#endif /* PAWL_MACHINE_BLOCKS_H */
