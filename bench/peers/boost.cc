/*
 * boost.cc - Boost.Lockfree: spsc_queue (one producer, one consumer, ranges at a time) and queue (any
 * number of either, one item at a time). Both with their size fixed at compile time, so that nothing
 * is allocated on the way.
 */
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include "peers/queues.h"

namespace
{

#define ALWAYS_INLINE inline __attribute__((always_inline))

template <typename Item> struct Spsc {
    boost::lockfree::spsc_queue<Item, boost::lockfree::capacity<QUEUE_CAPACITY>> queue;

    ALWAYS_INLINE uint32_t send(const Item *items, uint32_t count)
    {
        if (count == 1)
            return queue.push(*items) ? 1 : 0;
        return uint32_t(queue.push(items, count));
    }

    ALWAYS_INLINE uint32_t pop(Item *items, uint32_t count)
    {
        if (count == 1)
            return queue.pop(*items) ? 1 : 0;
        return uint32_t(queue.pop(items, count));
    }
};

struct Mpmc {
    boost::lockfree::queue<item32, boost::lockfree::capacity<QUEUE_CAPACITY>> queue;

    ALWAYS_INLINE uint32_t send(const item32 *items, uint32_t count)
    {
        uint32_t sent = 0;

        while (sent < count && queue.push(items[sent]))
            sent++;
        return sent;
    }

    ALWAYS_INLINE uint32_t pop(item32 *items, uint32_t count)
    {
        uint32_t popped = 0;

        while (popped < count && queue.pop(items[popped]))
            popped++;
        return popped;
    }
};

} // namespace

#define QUEUE_NAME                             boost_spsc
#define SPSC(queue, bytes)                     static_cast<Spsc<QUEUE_JOIN_2(item, bytes)> *>(queue)
#define QUEUE_CREATE(bytes)                    new Spsc<QUEUE_JOIN_2(item, bytes)>
#define QUEUE_DESTROY(queue, bytes)            delete SPSC(queue, bytes)
#define QUEUE_SEND(queue, items, bytes, count) SPSC(queue, bytes)->send(items, count)
#define QUEUE_POP(queue, items, bytes, count)  SPSC(queue, bytes)->pop(items, count)

#define QUEUE_BYTES 8
#include "peers/queue_loops.h"
#define QUEUE_BYTES 16
#include "peers/queue_loops.h"
#define QUEUE_BYTES 32
#include "peers/queue_loops.h"

const struct queue_kind boost_spsc_queue = {&boost_spsc_sized_8, &boost_spsc_sized_16,
                                            &boost_spsc_sized_32};

/* ---- Several producers ---- */

static void *mpmc_create(unsigned producers)
{
    (void)producers;
    return new Mpmc;
}

static void mpmc_destroy(void *queue)
{
    delete static_cast<Mpmc *>(queue);
}

#define FUNNEL_NAME                                mpmc
#define FUNNEL_SEND(queue, producer, items, count) static_cast<Mpmc *>(queue)->send(items, count)
#define FUNNEL_POP(queue, items, count)            static_cast<Mpmc *>(queue)->pop(items, count)
#include "peers/funnel_loops.h"

const struct funnel_kind boost_funnel = {mpmc_create, mpmc_destroy, mpmc_produce,
                                         mpmc_produce_batched, mpmc_consume};
