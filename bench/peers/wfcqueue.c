/*
 * wfcqueue.c - liburcu's queue of linked nodes: unbounded, wait-free for producers.
 *
 * The item lies in the node. Nodes are of a pool as large as the other queues' memory and are used
 * in turn: they come back in the order in which they went, so a count of those that the consumer is
 * done with says which are free. That is the cheapest way there is to get a node, and it makes the
 * whole bounded; with an allocation a node the figures would be lower.
 *
 * A producer's batch is linked up in a queue of its own and spliced, the consumer splices whatever
 * is there to itself and walks through it, as the library advises. The consumer uses the calls that
 * do not block, because those that do sleep for 10 ms where a producer was interrupted halfway.
 */
#define _LGPL_SOURCE
#include <stdlib.h>
#include <urcu/wfcqueue.h>

#include "harness.h"
#include "peers/queues.h"

/* The nodes of one producer. */
struct wfc_pool {
    _Alignas(QUEUE_LINE) uint64_t used; /* the producer's: nodes taken, ever */
    uint64_t free_until;                /* the producer's: nodes that could be taken, ever */
    struct __cds_wfcq_head batch_head;  /* the producer's: what it splices */
    struct cds_wfcq_tail batch_tail;
    _Alignas(QUEUE_LINE) uint64_t returned; /* the consumer's: nodes it is done with, published */
    uint64_t passed;                        /* the consumer's: the same, ahead of `returned` */
};

struct wfc_queue {
    _Alignas(QUEUE_LINE) struct __cds_wfcq_head head;
    _Alignas(QUEUE_LINE) struct cds_wfcq_tail tail;
    /* The consumer's own: what it spliced and the node that comes next. */
    _Alignas(QUEUE_LINE) struct __cds_wfcq_head own_head;
    struct cds_wfcq_tail own_tail;
    struct cds_wfcq_node *cursor;
    uint32_t pools;
    uint32_t pool_nodes; /* of each pool; a power of two */
    struct wfc_pool pool[FUNNEL_PRODUCERS_MAX];
    _Alignas(QUEUE_LINE) unsigned char nodes[];
};

/* A node is this and the item behind it. */
static inline uint32_t wfc_node_bytes(uint32_t bytes)
{
    return (uint32_t)sizeof(struct cds_wfcq_node) + bytes;
}

static void *wfc_create(uint32_t bytes, uint32_t pools)
{
    const size_t nodes = (size_t)wfc_node_bytes(bytes) * QUEUE_CAPACITY;
    struct wfc_queue *queue = queue_memory(sizeof(*queue) + nodes);

    __cds_wfcq_init(&queue->head, &queue->tail);
    queue->pools = pools;
    queue->pool_nodes = QUEUE_CAPACITY / pools;
    for (uint32_t i = 0; i < pools; i++) {
        queue->pool[i].free_until = queue->pool_nodes;
        __cds_wfcq_init(&queue->pool[i].batch_head, &queue->pool[i].batch_tail);
    }
    return queue;
}

static inline __attribute__((always_inline)) uint32_t wfc_send(struct wfc_queue *queue,
                                                               uint32_t pool_index,
                                                               const void *items, uint32_t bytes,
                                                               uint32_t count)
{
    struct wfc_pool *pool = &queue->pool[pool_index];
    unsigned char *nodes =
        queue->nodes + (size_t)pool_index * queue->pool_nodes * wfc_node_bytes(bytes);

    if (pool->free_until - pool->used < count) {
        pool->free_until = queue_read(&pool->returned) + queue->pool_nodes;
        if (pool->free_until - pool->used < count)
            return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t at = pool->used++ & (queue->pool_nodes - 1);
        struct cds_wfcq_node *node = (void *)(nodes + at * wfc_node_bytes(bytes));

        __builtin_memcpy(node + 1, (const char *)items + (size_t)i * bytes, bytes);
        cds_wfcq_node_init(node);
        if (count == 1)
            cds_wfcq_enqueue(&queue->head, &queue->tail, node);
        else
            cds_wfcq_enqueue(&pool->batch_head, &pool->batch_tail, node);
    }
    if (count > 1)
        __cds_wfcq_splice_blocking(&queue->head, &queue->tail, &pool->batch_head,
                                   &pool->batch_tail);
    return count;
}

/* The node that comes next, or NULL; it stays untouched until the call after next. */
static inline __attribute__((always_inline)) struct cds_wfcq_node *wfc_next(struct wfc_queue *queue)
{
    struct cds_wfcq_node *node = queue->cursor;

    if (node == NULL) {
        if (cds_wfcq_empty(&queue->head, &queue->tail))
            return NULL;
        __cds_wfcq_init(&queue->own_head, &queue->own_tail);
        if (__cds_wfcq_splice_nonblocking(&queue->own_head, &queue->own_tail, &queue->head,
                                          &queue->tail) == CDS_WFCQ_RET_WOULDBLOCK)
            return NULL;
        node = __cds_wfcq_first_nonblocking(&queue->own_head, &queue->own_tail);
        if (node == NULL || node == CDS_WFCQ_WOULDBLOCK)
            return NULL;
        queue->cursor = node;
    }
    return node;
}

/* Moves on from the node, which is free afterwards; false: its successor is not linked yet. */
static inline __attribute__((always_inline)) bool wfc_pass(struct wfc_queue *queue,
                                                           struct cds_wfcq_node *node)
{
    struct cds_wfcq_node *next =
        __cds_wfcq_next_nonblocking(&queue->own_head, &queue->own_tail, node);

    if (next == CDS_WFCQ_WOULDBLOCK)
        return false;
    queue->cursor = next;
    return true;
}

static inline __attribute__((always_inline)) uint32_t
wfc_take(struct wfc_queue *queue, uint32_t bytes, uint32_t count, uint64_t *sum)
{
    struct wfc_pool *pool = &queue->pool[0];
    uint32_t took = 0;

    (void)bytes;
    while (took < count) {
        struct cds_wfcq_node *node = wfc_next(queue);
        uint64_t word;

        if (node == NULL)
            break;
        word = *(const uint64_t *)(node + 1);
        if (!wfc_pass(queue, node))
            break;
        *sum += word;
        took++;
    }
    if (took > 0)
        queue_write(&pool->returned, pool->passed += took);
    return took;
}

#define QUEUE_NAME                             wfc
#define QUEUE_CREATE(bytes)                    wfc_create(bytes, 1)
#define QUEUE_DESTROY(queue, bytes)            free(queue)
#define QUEUE_SEND(queue, items, bytes, count) wfc_send(queue, 0, items, bytes, count)
#define QUEUE_TAKE(queue, bytes, count, sum)   wfc_take(queue, bytes, count, sum)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind wfcqueue_queue = {&wfc_sized_8, &wfc_sized_16, &wfc_sized_32};

/* ---- Several producers, each with a pool of its own ---- */

#define FUNNEL_NAME wfc_funnel
#define FUNNEL_SEND(queue, producer, items, count)                                                 \
    wfc_send(queue, (producer)->index, items, 32, count)
#define FUNNEL_TAKE(queue, consumer, count) wfc_see(queue, consumer, count)

static inline uint32_t wfc_see(struct wfc_queue *queue, struct funnel_consumer *consumer,
                               uint32_t count);
#include "peers/funnel_loops.h"

static inline uint32_t wfc_see(struct wfc_queue *queue, struct funnel_consumer *consumer,
                               uint32_t count)
{
    const uint32_t pool_bytes = queue->pool_nodes * wfc_node_bytes(32);
    uint32_t took = 0;

    while (took < count) {
        struct cds_wfcq_node *node = wfc_next(queue);
        struct item32 item;

        if (node == NULL)
            break;
        __builtin_memcpy(&item, node + 1, sizeof(item));
        if (!wfc_pass(queue, node))
            break;
        funnel_see(consumer, &item);
        queue->pool[(uint32_t)((unsigned char *)node - queue->nodes) / pool_bytes].passed++;
        took++;
    }
    for (uint32_t i = 0; took > 0 && i < queue->pools; i++)
        if (queue->pool[i].returned != queue->pool[i].passed)
            queue_write(&queue->pool[i].returned, queue->pool[i].passed);
    return took;
}

static void *wfc_funnel_create(unsigned producers)
{
    return wfc_create(32, producers);
}

const struct funnel_kind wfcqueue_funnel = {wfc_funnel_create, free, wfc_funnel_produce,
                                            wfc_funnel_produce_batched, wfc_funnel_consume};
