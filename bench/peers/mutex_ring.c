/*
 * mutex_ring.c - what one writes without a library: a ring under a mutex, whole batches under one
 * lock.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "peers/queues.h"

/* The lock and what it guards lie together: whoever has the one wants the other. */
struct mutex_ring {
    _Alignas(QUEUE_LINE) pthread_mutex_t mutex;
    uint32_t head; /* run freely */
    uint32_t tail;
    _Alignas(QUEUE_LINE) unsigned char cells[];
};

static inline void *mutex_ring_create(uint32_t bytes)
{
    struct mutex_ring *ring = queue_memory(sizeof(*ring) + (size_t)bytes * QUEUE_CAPACITY);

    pthread_mutex_init(&ring->mutex, NULL);
    return ring;
}

static inline void mutex_ring_destroy(void *queue)
{
    struct mutex_ring *ring = queue;

    pthread_mutex_destroy(&ring->mutex);
    free(ring);
}

static inline __attribute__((always_inline)) uint32_t
mutex_ring_send(void *queue, const void *items, uint32_t bytes, uint32_t count)
{
    struct mutex_ring *ring = queue;
    uint32_t at, room, to_end;

    pthread_mutex_lock(&ring->mutex);
    room = QUEUE_CAPACITY - (ring->tail - ring->head);
    if (count > room)
        count = room;
    at = ring->tail % QUEUE_CAPACITY;
    to_end = QUEUE_CAPACITY - at;
    if (count <= to_end) {
        memcpy(ring->cells + (size_t)at * bytes, items, (size_t)count * bytes);
    } else {
        memcpy(ring->cells + (size_t)at * bytes, items, (size_t)to_end * bytes);
        memcpy(ring->cells, (const char *)items + (size_t)to_end * bytes,
               (size_t)(count - to_end) * bytes);
    }
    ring->tail += count;
    pthread_mutex_unlock(&ring->mutex);
    return count;
}

static inline __attribute__((always_inline)) uint32_t mutex_ring_pop(void *queue, void *items,
                                                                     uint32_t bytes, uint32_t count)
{
    struct mutex_ring *ring = queue;
    uint32_t at, filled, to_end;

    pthread_mutex_lock(&ring->mutex);
    filled = ring->tail - ring->head;
    if (count > filled)
        count = filled;
    at = ring->head % QUEUE_CAPACITY;
    to_end = QUEUE_CAPACITY - at;
    if (count <= to_end) {
        memcpy(items, ring->cells + (size_t)at * bytes, (size_t)count * bytes);
    } else {
        memcpy(items, ring->cells + (size_t)at * bytes, (size_t)to_end * bytes);
        memcpy((char *)items + (size_t)to_end * bytes, ring->cells,
               (size_t)(count - to_end) * bytes);
    }
    ring->head += count;
    pthread_mutex_unlock(&ring->mutex);
    return count;
}

#define QUEUE_NAME                             mutex_ring
#define QUEUE_CREATE(bytes)                    mutex_ring_create(bytes)
#define QUEUE_DESTROY(queue, bytes)            mutex_ring_destroy(queue)
#define QUEUE_SEND(queue, items, bytes, count) mutex_ring_send(queue, items, bytes, count)
#define QUEUE_POP(queue, items, bytes, count)  mutex_ring_pop(queue, items, bytes, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind mutex_ring_queue = {&mutex_ring_sized_8, &mutex_ring_sized_16,
                                            &mutex_ring_sized_32};

/* ---- Several producers ---- */

static void *mutex_ring_create_for(unsigned producers)
{
    (void)producers;
    return mutex_ring_create(32);
}

#define FUNNEL_NAME                                mutex_funnel
#define FUNNEL_SEND(queue, producer, items, count) mutex_ring_send(queue, items, 32, count)
#define FUNNEL_POP(queue, items, count)            mutex_ring_pop(queue, items, 32, count)
#include "peers/funnel_loops.h"

const struct funnel_kind mutex_ring_funnel = {mutex_ring_create_for, mutex_ring_destroy,
                                              mutex_funnel_produce, mutex_funnel_produce_batched,
                                              mutex_funnel_consume};
