/*
 * rte_ring.c - DPDK's ring with elements of any size, in memory of our own: nothing of DPDK's
 * environment is started, which a ring does not need.
 *
 * Producers use bulk calls (all of the batch or nothing), consumers bursts (what there is), as
 * DPDK's own stages do. One of its cells stays free. Where several producers share fewer cpus, the
 * guide of DPDK advises the relaxed tail (RTS), so that is there beside the plain one.
 */
#include <rte_config.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

#include "harness.h"
#include "peers/queues.h"

static void *rte_queue_create(uint32_t bytes, unsigned flags)
{
    const ssize_t size = rte_ring_get_memsize_elem(bytes, QUEUE_CAPACITY);
    struct rte_ring *ring;

    if (size < 0)
        bench_fail("rte_ring: no size for elements of %u bytes", bytes);
    ring = queue_memory((size_t)size);
    if (rte_ring_init(ring, "bench", QUEUE_CAPACITY, flags) != 0)
        bench_fail("rte_ring: not initialised");
    return ring;
}

#define QUEUE_NAME                  rte
#define QUEUE_CREATE(bytes)         rte_queue_create(bytes, RING_F_SP_ENQ | RING_F_SC_DEQ)
#define QUEUE_DESTROY(queue, bytes) free(queue)
#define QUEUE_SEND(queue, items, bytes, count)                                                     \
    rte_ring_sp_enqueue_bulk_elem(queue, items, bytes, count, NULL)
#define QUEUE_POP(queue, items, bytes, count)                                                      \
    rte_ring_sc_dequeue_burst_elem(queue, items, bytes, count, NULL)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind rte_ring_queue = {&rte_sized_8, &rte_sized_16, &rte_sized_32};

/* ---- Several producers ---- */

static void *rte_funnel_create(unsigned producers)
{
    (void)producers;
    return rte_queue_create(32, RING_F_SC_DEQ);
}

#define FUNNEL_NAME rte_funnel
#define FUNNEL_SEND(queue, producer, items, count)                                                 \
    rte_ring_mp_enqueue_bulk_elem(queue, items, 32, count, NULL)
#define FUNNEL_POP(queue, items, count)                                                            \
    rte_ring_sc_dequeue_burst_elem(queue, items, 32, count, NULL)
#include "peers/funnel_loops.h"

const struct funnel_kind rte_ring_funnel = {rte_funnel_create, free, rte_funnel_produce,
                                            rte_funnel_produce_batched, rte_funnel_consume};

static void *rts_funnel_create(unsigned producers)
{
    (void)producers;
    return rte_queue_create(32, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
}

#define FUNNEL_NAME rts_funnel
#define FUNNEL_SEND(queue, producer, items, count)                                                 \
    rte_ring_mp_rts_enqueue_bulk_elem(queue, items, 32, count, NULL)
#define FUNNEL_POP(queue, items, count)                                                            \
    rte_ring_sc_dequeue_burst_elem(queue, items, 32, count, NULL)
#include "peers/funnel_loops.h"

const struct funnel_kind rte_ring_rts_funnel = {rts_funnel_create, free, rts_funnel_produce,
                                                rts_funnel_produce_batched, rts_funnel_consume};
