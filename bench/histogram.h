/*
 * histogram.h - how long things took, log-linear: 64 steps an octave, so a figure read back is at most
 * 1.6 % too high; up to 2^40 ns, about 18 minutes.
 *
 * One writer. Percentiles are of what was recorded: a kernel that corrects for coordinated omission
 * records from the time at which an operation was due, not from when it was at last sent.
 */
#ifndef PAWL_BENCH_HISTOGRAM_H
#define PAWL_BENCH_HISTOGRAM_H

#include <stdint.h>

#include "harness.h"

enum {
    HISTOGRAM_STEP_BITS = 6,
    HISTOGRAM_OCTAVES = 40,
    HISTOGRAM_SLOTS = (HISTOGRAM_OCTAVES - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS,
};

struct histogram {
    uint64_t total;
    uint64_t max;
    uint32_t slots[HISTOGRAM_SLOTS];
};

void histogram_clear(struct histogram *histogram);

static inline void histogram_record(struct histogram *histogram, uint64_t ns)
{
    unsigned shift;

    if (ns >> HISTOGRAM_OCTAVES != 0)
        ns = (UINT64_C(1) << HISTOGRAM_OCTAVES) - 1;
    if (ns > histogram->max)
        histogram->max = ns;
    shift = 63 - (unsigned)__builtin_clzll(ns | (1u << HISTOGRAM_STEP_BITS));
    shift -= HISTOGRAM_STEP_BITS;
    /* Below 2^STEP_BITS a slot is one ns; each further octave has as many slots. */
    histogram->slots[((uint64_t)shift << HISTOGRAM_STEP_BITS) + (ns >> shift)]++;
    histogram->total++;
}

/* The least value that `share` (0 .. 1) of what was recorded does not exceed; 0 if nothing was. */
uint64_t histogram_at(const struct histogram *histogram, double share);

/* Adds p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns and max_ns. */
void histogram_count(const struct histogram *histogram, struct bench_sample *sample);

#endif
