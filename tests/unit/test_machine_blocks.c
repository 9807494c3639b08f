#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/blocks.h"
#include "support/meter.h"
#include "support/test.h"

Test(machine_blocks, objects_are_zeroed_aligned_and_apart)
{
    struct blocks blocks;
    unsigned char *objects[600];
    size_t sizes[600];

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    for (unsigned i = 0; i < 600; i++) {
        const size_t alignment = (size_t)1 << (i % 7);

        sizes[i] = i % 50 == 0 ? 5000 + i : i % 97;
        objects[i] = pawl__blocks_get(&blocks, 1, sizes[i], alignment);
        cr_assert(objects[i] != NULL);
        cr_assert_eq((uintptr_t)objects[i] % alignment, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            cr_assert_eq(objects[i][k], 0);
        memset(objects[i], (int)(i % 255) + 1, sizes[i]);
    }
    for (unsigned i = 0; i < 600; i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            cr_assert_eq(objects[i][k], i % 255 + 1);
    }
    pawl__blocks_fini(&blocks);
}

Test(machine_blocks, growing_keeps_what_is_there)
{
    struct blocks blocks;
    unsigned *array = NULL;
    size_t capacity = 0;

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    for (unsigned i = 0; i < 5000; i++) {
        array = pawl__blocks_grow(&blocks, array, i, &capacity, sizeof(*array));
        cr_assert(array && capacity > i);
        array[i] = i;
    }
    for (unsigned i = 0; i < 5000; i++)
        cr_assert_eq(array[i], i);
    cr_assert_str_eq(pawl__blocks_copy(&blocks, "copied"), "copied");
    pawl__blocks_fini(&blocks);
}

Test(machine_blocks, too_much_is_refused_and_nothing_is_lost)
{
    struct meter meter = {.left = 1};
    const struct allocator allocator = {meter_allocate, meter_release, &meter};
    struct blocks blocks;
    char *first;

    pawl__blocks_init(&blocks, &allocator);
    first = pawl__blocks_copy(&blocks, "first");
    cr_assert(first != NULL);
    cr_assert(pawl__blocks_get(&blocks, SIZE_MAX / 4, 8, 8) == NULL);
    cr_assert(pawl__blocks_get(&blocks, SIZE_MAX - 8, 1, 8) == NULL);
    cr_assert(pawl__blocks_get(&blocks, 1, 100000, 8) == NULL);
    cr_assert_str_eq(first, "first");
    cr_assert(pawl__blocks_copy(&blocks, "second") != NULL);
    cr_assert_eq(meter.out, 1);
    pawl__blocks_fini(&blocks);
    cr_assert_eq(meter.out, 0);
}
