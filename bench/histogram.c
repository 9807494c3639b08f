/*
 * histogram.c - reading a histogram back.
 */
#include "histogram.h"

#include <math.h>
#include <string.h>

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

/* The highest value that is recorded in a slot. */
static uint64_t top_of(unsigned slot)
{
    const unsigned steps = 1u << HISTOGRAM_STEP_BITS;
    const unsigned shift = slot < 2 * steps ? 0 : (slot >> HISTOGRAM_STEP_BITS) - 1;

    return ((uint64_t)(slot - (shift << HISTOGRAM_STEP_BITS)) << shift) +
           ((UINT64_C(1) << shift) - 1);
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    const uint64_t wanted = (uint64_t)ceil(share * (double)histogram->total);
    uint64_t seen = 0;

    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += histogram->slots[slot];
        if (histogram->slots[slot] > 0 && seen >= wanted) {
            const uint64_t top = top_of(slot);

            return top < histogram->max ? top : histogram->max;
        }
    }
    return histogram->max;
}

void histogram_count(const struct histogram *histogram, struct bench_sample *sample)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50_ns", 0.5},
                  {"p90_ns", 0.9},
                  {"p99_ns", 0.99},
                  {"p99_9_ns", 0.999},
                  {"p99_99_ns", 0.9999}};

    for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        bench_count(sample, points[i].name, (double)histogram_at(histogram, points[i].share));
    bench_count(sample, "max_ns", (double)histogram->max);
}
