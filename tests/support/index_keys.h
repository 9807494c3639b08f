/*
 * index_keys.h - for tests of the index of keys: keys that are alike, and no two of which are
 * equal.
 */
#ifndef PAWL_TESTS_SUPPORT_INDEX_KEYS_H
#define PAWL_TESTS_SUPPORT_INDEX_KEYS_H

#include <stddef.h>

#include "base/random.h"

/* The nth key, of this length, 4 at least; returns the length. */
static inline size_t key_fill(uint64_t n, size_t length, unsigned char *key)
{
    struct random random = {n % 7}; /* tails repeat */

    for (size_t at = 0; at < length; at++)
        key[at] = (unsigned char)random_next(&random);
    key[0] = (unsigned char)n;
    key[1] = (unsigned char)(n >> 8);
    key[length - 2] = (unsigned char)(n >> 16);
    key[length - 1] = (unsigned char)(n >> 24);
    return length;
}

#endif /* PAWL_TESTS_SUPPORT_INDEX_KEYS_H */
