/*
 * ck_ring.c - Concurrency Kit's ring, typed by its own macro. It has no call for batches: a batch is
 * a loop. One of its cells stays free.
 */
#include <ck_ring.h>
#include <stdlib.h>

#include "harness.h"
#include "peers/queues.h"

struct ck_queue {
    _Alignas(QUEUE_LINE) struct ck_ring ring;
    _Alignas(QUEUE_LINE) unsigned char cells[];
};

CK_RING_PROTOTYPE(item8, item8)
CK_RING_PROTOTYPE(item16, item16)
CK_RING_PROTOTYPE(item32, item32)

static void *ck_queue_create(uint32_t bytes)
{
    struct ck_queue *queue = queue_memory(sizeof(*queue) + (size_t)bytes * QUEUE_CAPACITY);

    ck_ring_init(&queue->ring, QUEUE_CAPACITY);
    return queue;
}

/* For one size and one way of synchronising: the typed calls, in a loop. */
#define CK_QUEUE(bytes, way)                                                                       \
    static inline __attribute__((always_inline))                                                   \
    uint32_t ck_queue_send_##way##_##bytes(void *queue, struct item##bytes *items, uint32_t count) \
    {                                                                                              \
        struct ck_queue *to = queue;                                                               \
        uint32_t sent = 0;                                                                         \
                                                                                                   \
        while (sent < count &&                                                                     \
               ck_ring_enqueue_##way##_item##bytes(                                                \
                   &to->ring, (struct item##bytes *)(void *)to->cells, &items[sent]))              \
            sent++;                                                                                \
        return sent;                                                                               \
    }                                                                                              \
                                                                                                   \
    static inline __attribute__((always_inline))                                                   \
    uint32_t ck_queue_pop_##way##_##bytes(void *queue, struct item##bytes *items, uint32_t count)  \
    {                                                                                              \
        struct ck_queue *from = queue;                                                             \
        uint32_t popped = 0;                                                                       \
                                                                                                   \
        while (popped < count &&                                                                   \
               ck_ring_dequeue_##way##_item##bytes(                                                \
                   &from->ring, (struct item##bytes *)(void *)from->cells, &items[popped]))        \
            popped++;                                                                              \
        return popped;                                                                             \
    }

CK_QUEUE(8, spsc)
CK_QUEUE(16, spsc)
CK_QUEUE(32, spsc)
CK_QUEUE(32, mpsc)

#define QUEUE_NAME                  ck
#define QUEUE_CREATE(bytes)         ck_queue_create(bytes)
#define QUEUE_DESTROY(queue, bytes) free(queue)
#define QUEUE_SEND(queue, items, bytes, count)                                                     \
    QUEUE_JOIN_2(ck_queue_send_spsc_, bytes)(queue, items, count)
#define QUEUE_POP(queue, items, bytes, count)                                                      \
    QUEUE_JOIN_2(ck_queue_pop_spsc_, bytes)(queue, items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind ck_ring_queue = {&ck_sized_8, &ck_sized_16, &ck_sized_32};

/* ---- Several producers ---- */

static void *ck_funnel_create(unsigned producers)
{
    (void)producers;
    return ck_queue_create(32);
}

#define FUNNEL_NAME                                ck_funnel
#define FUNNEL_SEND(queue, producer, items, count) ck_queue_send_mpsc_32(queue, items, count)
#define FUNNEL_POP(queue, items, count)            ck_queue_pop_mpsc_32(queue, items, count)
#include "peers/funnel_loops.h"

const struct funnel_kind ck_ring_funnel = {ck_funnel_create, free, ck_funnel_produce,
                                           ck_funnel_produce_batched, ck_funnel_consume};
