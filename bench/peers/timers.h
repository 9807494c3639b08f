/*
 * timers.h - what a keeper of timers offers to bench_wheel.c: Pawl's wheel and a bare one there, the
 * event loops in ev.c, uv.c and event.c.
 *
 * Timers are numbers from 0 on. Calls take many of them, so that no kernel pays for an indirect call
 * a timer, and expired timers are written to an array in the order in which they fired.
 *
 * Two kinds of time. A wheel's is moved by hand: one tick is 1 ms, and `at` is in ms from now. A loop
 * has the system's clock and nothing else, so its timers lie far ahead (`at` ms after TIMERS_FAR_MS),
 * where nobody lives to see them fire, or near (a thousandth of `at`), where the driver waits until
 * all are due and one turn of the loop fires them.
 */
#ifndef PAWL_BENCH_PEERS_TIMERS_H
#define PAWL_BENCH_PEERS_TIMERS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"

enum { TIMERS_FAR_MS = 3600 * 1000, TIMERS_PAGE = 2 << 20 };

enum timers_reach { TIMERS_NEAR, TIMERS_FAR };

/* `count` timers: which[i] is to expire at[i] from now, or wherever `reach` puts that. */
struct timers_load {
    const uint32_t *which;
    const uint32_t *at;
    uint32_t count;
    enum timers_reach reach;
};

struct timers_ops {
    /* `count` timers, none armed. */
    void *(*open)(uint32_t count);
    void (*close)(void *timers);
    /* Of timers that are not armed. */
    void (*arm)(void *timers, const struct timers_load *load);
    /* Of armed ones: moves them. */
    void (*rearm)(void *timers, const struct timers_load *load);
    void (*cancel)(void *timers, const uint32_t *which, uint32_t count);
    /* By hand: goes on by `ms`, a ms at a time. Else: one turn of the loop. Returns how many fired. */
    uint32_t (*expire)(void *timers, uint32_t ms, uint32_t *fired);
    uint32_t clock_at; /* how much of `at` the clock tells apart: 1, or 1000 for a clock of 1 ms */
    bool by_hand;
    bool stable; /* timers of the same time fire in the order in which they were armed */
};

#if PEER_EV
extern const struct timers_ops timers_ev;
#endif
#if PEER_UV
extern const struct timers_ops timers_uv;
#endif
#if PEER_EVENT
extern const struct timers_ops timers_event;
#endif

/* Zeroed memory on huge pages where there are any: all keepers' timers lie alike. For free(). */
static inline void *timers_memory(size_t bytes)
{
    const size_t size = (bytes + TIMERS_PAGE - 1) / TIMERS_PAGE * TIMERS_PAGE;
    void *memory = aligned_alloc(TIMERS_PAGE, size);

    if (memory == NULL)
        bench_fail("no memory for timers");
    madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 0, size);
    return memory;
}

#endif
