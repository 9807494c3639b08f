/*
 * meter.h - for tests: an allocator (base/allocator.h) that allows so many allocations and counts what is out.
 */
#ifndef PAWL_TESTS_SUPPORT_METER_H
#define PAWL_TESTS_SUPPORT_METER_H

#include <stdint.h>
#include <stdlib.h>

struct meter {
    uint64_t left;
    uint64_t out;
    uint64_t peak;
};

static inline void *meter_allocate(void *user, size_t size)
{
    struct meter *const meter = user;

    if (meter->left == 0)
        return NULL;
    meter->left--;
    meter->out++;
    meter->peak = meter->out > meter->peak ? meter->out : meter->peak;
    return aligned_alloc(64, size);
}

static inline void meter_release(void *user, void *memory)
{
    ((struct meter *)user)->out--;
    free(memory);
}

#endif /* PAWL_TESTS_SUPPORT_METER_H */
