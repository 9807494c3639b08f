/*
 * random.h - a small generator for jitter, tests and the simulator: SplitMix64 (Steele, Lea and
 * Flood, OOPSLA 2014). One word of state, every seed is good, the sequence is the same everywhere.
 * Not for secrets.
 *
 * Layer: base. Owner: whoever holds the struct; not for sharing between threads.
 */
#ifndef PAWL_BASE_RANDOM_H
#define PAWL_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A value in 0 .. bound - 1, bound at least 1; the bias is below bound / 2^64. */
static inline uint64_t random_below(struct random *r, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(r) * bound) >> 64);
}

#endif /* PAWL_BASE_RANDOM_H */
