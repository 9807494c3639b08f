/*
 * tbb_queue.cc - oneTBB's concurrent_bounded_queue: any number of producers and consumers, one item
 * at a time. The calls that do not block, because waiting is the loops' business.
 */
#include <oneapi/tbb/concurrent_queue.h>

#include "peers/queues.h"

namespace
{

template <typename Item> struct Bounded {
    oneapi::tbb::concurrent_bounded_queue<Item> queue;

    Bounded()
    {
        queue.set_capacity(QUEUE_CAPACITY);
    }

    inline __attribute__((always_inline)) uint32_t send(const Item *items, uint32_t count)
    {
        uint32_t sent = 0;

        while (sent < count && queue.try_push(items[sent]))
            sent++;
        return sent;
    }

    inline __attribute__((always_inline)) uint32_t pop(Item *items, uint32_t count)
    {
        uint32_t popped = 0;

        while (popped < count && queue.try_pop(items[popped]))
            popped++;
        return popped;
    }
};

} // namespace

#define QUEUE_NAME                             bounded
#define BOUNDED(queue, bytes)                  static_cast<Bounded<QUEUE_JOIN_2(item, bytes)> *>(queue)
#define QUEUE_CREATE(bytes)                    new Bounded<QUEUE_JOIN_2(item, bytes)>
#define QUEUE_DESTROY(queue, bytes)            delete BOUNDED(queue, bytes)
#define QUEUE_SEND(queue, items, bytes, count) BOUNDED(queue, bytes)->send(items, count)
#define QUEUE_POP(queue, items, bytes, count)  BOUNDED(queue, bytes)->pop(items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind tbb_queue = {&bounded_sized_8, &bounded_sized_16, &bounded_sized_32};

/* ---- Several producers ---- */

static void *bounded_funnel_create(unsigned producers)
{
    (void)producers;
    return new Bounded<item32>;
}

#define FUNNEL_NAME                                bounded_funnel
#define FUNNEL_SEND(queue, producer, items, count) BOUNDED(queue, 32)->send(items, count)
#define FUNNEL_POP(queue, items, count)            BOUNDED(queue, 32)->pop(items, count)
#include "peers/funnel_loops.h"

const struct funnel_kind tbb_funnel = {bounded_funnel_create, bounded_destroy_32,
                                       bounded_funnel_produce, bounded_funnel_produce_batched,
                                       bounded_funnel_consume};
