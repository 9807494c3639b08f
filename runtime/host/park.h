/*
 * park.h - how a shard sleeps when it has nothing to do, and how a producer wakes it.
 *
 * Layer: host. May include: base. Owner: one sleeper; any number of wakers.
 *
 * The decision to question: a producer makes no system call, no fence and no shared store while the
 * shard is awake. It only loads one word that nobody writes then. The price is paid by the sleeper,
 * who runs membarrier(2) once before it sleeps (0.3 us; the sleep itself costs 25). Where the
 * kernel has no membarrier both sides run a full fence.
 *
 *        sleeper                              producer
 *        -------                              --------
 *        word = ASLEEP                (A)     publish events (release)     (C)
 *        heavy barrier                        light barrier
 *        look at every queue          (B)     if (word == ASLEEP)          (D)
 *        nothing there: sleep                     word = AWAKE, wake up
 *
 *   B sees C or D sees A (host/barrier.h), so no event is slept over. No data depends on the word:
 *   events travel by the queue's own release.
 *
 * Progress: wake is wait-free; wait returns early or late by the scheduler's grace, callers
 * re-check.
 */
#ifndef PAWL_HOST_PARK_H
#define PAWL_HOST_PARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "host/barrier.h"

enum { PARK_AWAKE = 0, PARK_ASLEEP = 1 };

/* Field owners: I set once at init; S the sleeper; A sleeper and wakers. */
struct park {
    _Alignas(CACHE_LINE) _Atomic uint32_t word; /* A: PARK_AWAKE or PARK_ASLEEP */
    bool asymmetric;                            /* I: membarrier carries the cost */
    bool polled;                                /* I: the sleeper polls fd, no futex */
    int event_fd;                               /* I: made readable by a wake, or -1 */
    int timer_fd;                               /* I: made readable by a deadline, or -1 */
    int poll_fd;                                /* I: readable when either of them is, or -1 */
};

/*
 * park_init - polled: the sleeper is a host's event loop that waits on park->poll_fd instead of
 * calling park_wait. Returns 0 or -errno.
 */
int pawl__park_init(struct park *park, bool polled);
void pawl__park_fini(struct park *park);

/*
 * Setup, polled: poll_fd is readable also when `fd` is; emptying that is the caller's business. 0
 * or -errno.
 */
int pawl__park_watch(struct park *park, int fd);

/* Sleeper: announce the sleep. Then look at every queue, then park_wait or park_cancel. */
void pawl__park_prepare(struct park *park);

/* Sleeper: there was work after all, or the sleep is over. Also empties a polled descriptor. */
void pawl__park_cancel(struct park *park);

/* Sleeper: sleep until woken or for timeout_ns (UINT64_MAX: for ever); awake afterwards. */
void pawl__park_wait(struct park *park, uint64_t timeout_ns);

/* Sleeper, polled: the descriptor becomes readable after timeout_ns (UINT64_MAX: not by time). */
void pawl__park_deadline(struct park *park, uint64_t timeout_ns);

void pawl__park_wake_slow(struct park *park);

/* Any thread, after it has published what the sleeper shall see. */
static inline void park_wake(struct park *park)
{
    barrier_light(park->asymmetric);
    /* relaxed: the barrier above orders it after the publication; see the picture. */
    if (unlikely(load_relaxed(&park->word) == PARK_ASLEEP))
        pawl__park_wake_slow(park);
}

#endif /* PAWL_HOST_PARK_H */
