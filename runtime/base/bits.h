/*
 * bits.h - arithmetic on words: powers of two, alignment, mixing of hashes.
 *
 * Layer: base.
 */
#ifndef PAWL_BASE_BITS_H
#define PAWL_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE   64
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline bool is_power_of_two(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* The smallest power of two that is at least x; x in 1 .. 2^63. */
static inline uint64_t round_up_power_of_two(uint64_t x)
{
    return x <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(x - 1));
}

/* The smallest multiple of alignment (a power of two) that is at least x. */
static inline uint64_t align_up(uint64_t x, uint64_t alignment)
{
    return (x + alignment - 1) & ~(alignment - 1);
}

/* The number of bits that hold values 0 .. count - 1; count at least 1. */
static inline unsigned bits_for(uint64_t count)
{
    return count <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(count - 1);
}

/* A bijection that spreads every input bit over the word (the finaliser of MurmurHash3). */
static inline uint64_t mix64(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

#endif /* PAWL_BASE_BITS_H */
