/* test_bits.c - arithmetic on words, at its edges and against the plain way of doing it. */
#include "base/bits.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/random.h"
#include "support/test.h"

/* x with one to 64 significant bits, each length as likely as the other. */
static uint64_t any_length(struct random *random)
{
    return random_next(random) >> random_below(random, 64);
}

Test(bits, a_power_of_two_has_one_bit)
{
    cr_assert(!is_power_of_two(0));
    for (unsigned shift = 0; shift < 64; shift++) {
        const uint64_t power = UINT64_C(1) << shift;

        cr_assert(is_power_of_two(power), "2^%u", shift);
        cr_assert(power == 1 || !is_power_of_two(power | 1), "2^%u + 1", shift);
        cr_assert(power <= 2 || !is_power_of_two(power - 1), "2^%u - 1", shift);
    }
    cr_assert(!is_power_of_two(UINT64_MAX));
}

Test(bits, rounds_up_to_the_next_power_of_two)
{
    cr_assert_eq(round_up_power_of_two(1), 1u);
    for (unsigned shift = 1; shift < 64; shift++) {
        const uint64_t power = UINT64_C(1) << shift;

        cr_assert_eq(round_up_power_of_two(power), power, "2^%u", shift);
        cr_assert_eq(round_up_power_of_two(power / 2 + 1), power, "2^%u + 1", shift - 1);
        if (power > 2)
            cr_assert_eq(round_up_power_of_two(power - 1), power, "2^%u - 1", shift);
    }
}

Test(bits, rounds_to_the_smallest_power_that_is_enough)
{
    struct random random = {0xb175};

    fprintf(stderr, "bits: seed %#llx\n", (unsigned long long)random.state);
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t x = 1 + random_next(&random) % (UINT64_C(1) << random_below(&random, 63));
        const uint64_t power = round_up_power_of_two(x);

        cr_assert(is_power_of_two(power) && power >= x && (power == 1 || power / 2 < x),
                  "%llx became %llx", (unsigned long long)x, (unsigned long long)power);
    }
}

Test(bits, aligns_up_to_the_smallest_multiple)
{
    struct random random = {0xa119};

    cr_assert_eq(align_up(0, 64), 0u);
    cr_assert_eq(align_up(1, 64), 64u);
    cr_assert_eq(align_up(64, 64), 64u);
    cr_assert_eq(align_up(65, 64), 128u);
    cr_assert_eq(align_up(12345, 1), 12345u);
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t alignment = UINT64_C(1) << random_below(&random, 31);
        const uint64_t x = any_length(&random) >> 1;
        const uint64_t aligned = align_up(x, alignment);

        cr_assert(aligned % alignment == 0 && aligned >= x && aligned - x < alignment,
                  "%llx to %llx became %llx", (unsigned long long)x, (unsigned long long)alignment,
                  (unsigned long long)aligned);
    }
}

Test(bits, bits_for_holds_every_value_below_the_count_and_no_bit_more)
{
    struct random random = {0xb0f};

    cr_assert_eq(bits_for(1), 0u);
    cr_assert_eq(bits_for(2), 1u);
    cr_assert_eq(bits_for(3), 2u);
    cr_assert_eq(bits_for(SHARDS_MAX), (unsigned)ID_SHARD_BITS);
    cr_assert_eq(bits_for(UINT64_MAX), 64u);
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t count = 2 + any_length(&random) / 2;
        const unsigned bits = bits_for(count);

        cr_assert(bits >= 1 && (count - 1) >> (bits - 1) == 1, "%u bits for %llx", bits,
                  (unsigned long long)count);
    }
}

/* The inverse of the finaliser, step by step: who has an inverse is a bijection. */
static uint64_t unmix64(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0x9cb4b2f8129337db);
    x ^= x >> 33;
    x *= UINT64_C(0x4f74430c22a54005);
    x ^= x >> 33;
    return x;
}

Test(bits, mixing_loses_nothing)
{
    struct random random = {0x3141};

    cr_assert_eq(unmix64(mix64(0)), 0u);
    cr_assert_eq(unmix64(mix64(UINT64_MAX)), UINT64_MAX);
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t x = any_length(&random);

        cr_assert_eq(unmix64(mix64(x)), x, "%llx", (unsigned long long)x);
    }
}

Test(bits, mixing_spreads_every_input_bit_over_the_word)
{
    struct random random = {0x5eed};

    for (unsigned bit = 0; bit < 64; bit++) {
        unsigned changed = 0;

        for (unsigned i = 0; i < 1000; i++) {
            const uint64_t x = random_next(&random);

            changed += (unsigned)__builtin_popcountll(mix64(x) ^ mix64(x ^ UINT64_C(1) << bit));
        }
        /* 32 of 64 on the average; 1000 samples of it stray by far less than 1. */
        cr_assert(changed > 31000 && changed < 33000, "bit %u changes %u / 1000 bits", bit,
                  changed);
    }
}

Test(bits, an_arrays_length_is_its_elements)
{
    const uint16_t three[3] = {0};

    cr_assert_eq(ARRAY_LEN(three), 3u);
}
