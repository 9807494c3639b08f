/*
 * seed.h - for randomised tests: their seed, which PAWL_TEST_SEED replaces, so that a run can be repeated. It is
 * printed.
 */
#ifndef PAWL_TESTS_SUPPORT_SEED_H
#define PAWL_TESTS_SUPPORT_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t test_seed(uint64_t usual)
{
    const char *const text = getenv("PAWL_TEST_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : usual;

    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    return seed;
}

#endif /* PAWL_TESTS_SUPPORT_SEED_H */
