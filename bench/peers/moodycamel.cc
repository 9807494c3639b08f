/*
 * moodycamel.cc - the two queues of that name: readerwriterqueue (one producer, one consumer, no
 * batches) and concurrentqueue (any number of either, batches; with tokens, as its author advises).
 *
 * Both can grow. The try_ calls never allocate, so that they are as bounded as the others; the
 * concurrent queue's blocks are shared out by filling it once through each token at the start, after
 * which a producer keeps and reuses those it has.
 */
#include <concurrentqueue/concurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include <memory>
#include <vector>

#include "peers/queues.h"

namespace
{

#define ALWAYS_INLINE inline __attribute__((always_inline))

template <typename Item> struct ReaderWriter {
    moodycamel::ReaderWriterQueue<Item> queue{QUEUE_CAPACITY};

    ALWAYS_INLINE uint32_t send(const Item *items, uint32_t count)
    {
        uint32_t sent = 0;

        while (sent < count && queue.try_enqueue(items[sent]))
            sent++;
        return sent;
    }

    ALWAYS_INLINE uint32_t pop(Item *items, uint32_t count)
    {
        uint32_t popped = 0;

        while (popped < count && queue.try_dequeue(items[popped]))
            popped++;
        return popped;
    }
};

template <typename Item> struct Concurrent {
    moodycamel::ConcurrentQueue<Item> queue;
    std::vector<std::unique_ptr<moodycamel::ProducerToken>> producers;
    moodycamel::ConsumerToken consumer;

    explicit Concurrent(unsigned count) : queue(QUEUE_CAPACITY), consumer(queue)
    {
        Item item = {};

        for (unsigned i = 0; i < count; i++) {
            producers.push_back(std::make_unique<moodycamel::ProducerToken>(queue));
            for (unsigned k = 0; k < QUEUE_CAPACITY / count; k++)
                queue.enqueue(*producers.back(), item);
        }
        while (queue.try_dequeue(consumer, item))
            ;
    }

    ALWAYS_INLINE uint32_t send(unsigned producer, const Item *items, uint32_t count)
    {
        if (count == 1)
            return queue.try_enqueue(*producers[producer], *items) ? 1 : 0;
        return queue.try_enqueue_bulk(*producers[producer], items, count) ? count : 0;
    }

    ALWAYS_INLINE uint32_t pop(Item *items, uint32_t count)
    {
        if (count == 1)
            return queue.try_dequeue(consumer, *items) ? 1 : 0;
        return uint32_t(queue.try_dequeue_bulk(consumer, items, count));
    }
};

} // namespace

/* ---- readerwriterqueue ---- */

#define QUEUE_NAME                             reader_writer
#define READER_WRITER(queue, bytes)            static_cast<ReaderWriter<QUEUE_JOIN_2(item, bytes)> *>(queue)
#define QUEUE_CREATE(bytes)                    new ReaderWriter<QUEUE_JOIN_2(item, bytes)>
#define QUEUE_DESTROY(queue, bytes)            delete READER_WRITER(queue, bytes)
#define QUEUE_SEND(queue, items, bytes, count) READER_WRITER(queue, bytes)->send(items, count)
#define QUEUE_POP(queue, items, bytes, count)  READER_WRITER(queue, bytes)->pop(items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind moodycamel_rw_queue = {&reader_writer_sized_8, &reader_writer_sized_16,
                                               &reader_writer_sized_32};

#undef QUEUE_NAME
#undef QUEUE_CREATE
#undef QUEUE_DESTROY
#undef QUEUE_SEND
#undef QUEUE_POP

/* ---- concurrentqueue ---- */

#define QUEUE_NAME                             concurrent
#define CONCURRENT(queue, bytes)               static_cast<Concurrent<QUEUE_JOIN_2(item, bytes)> *>(queue)
#define QUEUE_CREATE(bytes)                    new Concurrent<QUEUE_JOIN_2(item, bytes)>(1)
#define QUEUE_DESTROY(queue, bytes)            delete CONCURRENT(queue, bytes)
#define QUEUE_SEND(queue, items, bytes, count) CONCURRENT(queue, bytes)->send(0, items, count)
#define QUEUE_POP(queue, items, bytes, count)  CONCURRENT(queue, bytes)->pop(items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind moodycamel_queue = {&concurrent_sized_8, &concurrent_sized_16,
                                            &concurrent_sized_32};

static void *concurrent_funnel_create(unsigned producers)
{
    return new Concurrent<item32>(producers);
}

static void concurrent_funnel_destroy(void *queue)
{
    delete CONCURRENT(queue, 32);
}

#define FUNNEL_NAME concurrent_funnel
#define FUNNEL_SEND(queue, producer, items, count)                                                 \
    CONCURRENT(queue, 32)->send((producer)->index, items, count)
#define FUNNEL_POP(queue, items, count) CONCURRENT(queue, 32)->pop(items, count)
#include "peers/funnel_loops.h"

const struct funnel_kind moodycamel_funnel = {
    concurrent_funnel_create, concurrent_funnel_destroy, concurrent_funnel_produce,
    concurrent_funnel_produce_batched, concurrent_funnel_consume};
