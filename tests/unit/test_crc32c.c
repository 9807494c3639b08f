/*
 * test_crc32c.c - the checksum of everything on disk: known values, both ways to compute it, parts.
 */
#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"

#define BYTES 40000u

static uint8_t bytes[BYTES + 16];

static void fill(uint64_t seed)
{
    struct random r = {seed};

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)random_next(&r);
}

Test(crc32c, gives_the_published_values)
{
    memset(bytes, 0, 32);
    cr_assert_eq(pawl__crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(pawl__crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    cr_assert_eq(pawl__crc32c(0, bytes, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    cr_assert_eq(pawl__crc32c(0, bytes, 32), 0x46dd794eu);
    cr_assert_eq(pawl__crc32c(0, bytes, 0), 0u);
    cr_assert_eq(pawl__crc32c_portable(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, is_the_same_by_table_and_by_instruction_for_every_length)
{
    fill(1);
    for (size_t size = 0; size <= 1300; size++) {
        const size_t offset = size % 9;

        cr_assert_eq(pawl__crc32c(0, bytes + offset, size),
                     pawl__crc32c_portable(0, bytes + offset, size), "%zu bytes", size);
    }
    for (size_t size = 6000; size < BYTES; size += 97)
        cr_assert_eq(pawl__crc32c(7, bytes + size % 16, size),
                     pawl__crc32c_portable(7, bytes + size % 16, size), "%zu bytes", size);
}

Test(crc32c, of_two_parts_is_that_of_the_whole)
{
    const size_t size = 20000;

    fill(2);
    for (size_t first = 0; first <= size; first += 613)
        cr_assert_eq(pawl__crc32c(pawl__crc32c(0, bytes, first), bytes + first, size - first),
                     pawl__crc32c(0, bytes, size), "cut at %zu", first);
}

Test(crc32c, changes_with_every_single_bit)
{
    const size_t size = 700;
    uint32_t whole;

    fill(3);
    whole = pawl__crc32c(0, bytes, size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(pawl__crc32c(0, bytes, size) != whole, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
