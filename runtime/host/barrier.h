/*
 * barrier.h - a store ordered before a later load, paid for by one side only.
 *
 * Layer: host. May include: base. Two threads each store a word and then load the other's: at least
 * one of them must see the other's store. That takes a full barrier on both sides between store and
 * load. Here the frequent side runs a light one, which is for the compiler only, and the rare side
 * a heavy one, membarrier(2), which makes every running thread of the process execute a full
 * barrier (0.3 us). Where the kernel has no membarrier both are full fences.
 *
 *        frequent side                       rare side
 *        -------------                       ---------
 *        store X                             store Y
 *        light barrier                       heavy barrier
 *        load Y                              load X
 *
 * Used by park and wake (host/park.h) and by the closing of admission (shard/registry.h). Nothing
 * else in Pawl needs such an order, but for turns of the host (shard/host_drive.c), which are rare
 * on both sides.
 */
#ifndef PAWL_HOST_BARRIER_H
#define PAWL_HOST_BARRIER_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/check.h"

/*
 * Once per process or more often, before either barrier is used. Returns whether membarrier carries
 * the cost; both sides must be told the same.
 */
bool pawl__barrier_register(void);

void pawl__barrier_heavy(bool asymmetric);

static inline void barrier_light(bool asymmetric)
{
    if (likely(asymmetric))
        fence_compiler();
    else
        fence_seq_cst();
}

#endif /* PAWL_HOST_BARRIER_H */
