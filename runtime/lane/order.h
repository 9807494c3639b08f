/*
 * order.h - ready tickets, most urgent first: by rank, the smaller first, and among equals by
 * since, the smaller first. One for each lane on a shard, and one for each agent that tickets of
 * the lane are assigned to.
 *
 * Each rank has a queue, a list through the tickets, and a B+ tree finds the queues:
 *
 *      inner nodes    [ -     | 7,0   | 7,310 ]          keys: (rank, since)
 *                       /         |        \
 *      leaves   [ 2,0  3,0 ]  [ 7,0  7,204 ]  [ 7,310  9,0 ]
 *                 |    |        |      |           |    |
 *      queues     t    t-t-t    t-t    t           t    t-t        t-t: linked by `next`
 *
 * An entry with since 0 is the queue of its rank. Nearly all tickets come with a newer since than
 * all before them and are appended to it. One that comes late, since its priority was changed or
 * its shard was restored, may belong into the middle of millions: if its place is not the head and
 * not near the tail, it gets an entry of its own, *apart*, under its since. Taking looks at the
 * queue's head and at the first of its rank that are apart, and so sees one sequence.
 *
 * The decision to question: a tree, and not a hash table of ranks with a heap over them. What it
 * costs depends on how many ranks there are, as there; but it grows by a node at a time, so no
 * insertion rehashes millions; the most urgent are neighbours at its left edge, so taking descends
 * nowhere and knows what to fetch next; the ranks can be walked in order; and late tickets find
 * their place in it.
 *
 * Fetching. A list through tickets that lie cold would be waited for once a ticket. So each ticket
 * remembers one that was appended ORDER_AHEAD places behind it (the queue's *trail* is the ticket
 * whose turn it is to be told), and taking fetches that. What a take returns is warm; the tasks'
 * slots are the caller's to fetch.
 *
 * Memory. Nodes come from a pool, one for all orders of a shard, which keeps a few spare ones; so
 * an order without tickets holds none, however often it empties, and order_reserve is one
 * comparison.
 *
 * Owner: one shard. Limits: 2^32 - 1 tickets; equal since among equal ranks come in no stated order
 * beyond that it is always the same. Progress: appending and taking cost O(1) a ticket beside the
 * search, O(log ranks), of which taking needs none until it has emptied most of a leaf; late
 * insertion and removal O(log(ranks + tickets apart)).
 */
#ifndef PAWL_LANE_ORDER_H
#define PAWL_LANE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "host/slab.h"
#include "lane/order_tree.h"
#include "lane/ticket.h"

#define ORDER_AHEAD  16u  /* tickets fetched before they are taken */
#define ORDER_WALK   16u  /* tickets of a queue that a late one passes before it is put apart */
#define ORDER_OLDEST 256u /* ranks that pawl__order_oldest looks at */

struct order {
    struct slab *tickets;
    struct order_tree tree;
    uint64_t count; /* tickets */
};

/*
 * pawl__order_init - an empty order; it holds no memory.
 *
 * tickets holds objects of struct ticket, with its link at TICKET_LINK. The order may be moved by
 * copying it; slab and pool outlive it.
 */
void pawl__order_init(struct order *order, struct order_pool *pool, struct slab *tickets);

/* Forgets its tickets without touching them. */
void pawl__order_fini(struct order *order);

/*
 * pawl__order_insert - puts a ticket where its rank and since say; its place becomes TICKET_READY.
 *
 * The ticket is in no list. Room for it has been reserved: see order_reserve.
 */
void pawl__order_insert(struct order *order, uint32_t ticket);

/* Takes out one of this order's tickets; its place becomes TICKET_NONE. */
void pawl__order_remove(struct order *order, uint32_t ticket);

/*
 * pawl__order_take - takes out the most urgent tickets, max of them if there are, the most urgent
 * first; their place becomes TICKET_HANDED. Returns how many.
 */
uint32_t pawl__order_take(struct order *order, uint32_t *tickets, uint32_t max);

/* The most urgent ticket, which stays; 0: none. */
uint32_t pawl__order_first(const struct order *order);

/*
 * pawl__order_oldest - the smallest since; 0: no tickets. Exact over the ORDER_OLDEST most urgent
 * ranks, others are not looked at. Touches a ticket of each of them: not for every turn.
 */
uint64_t pawl__order_oldest(const struct order *order);

/* Walks everything and CHECKs it: O(tickets), for tests and debugging. */
void pawl__order_validate(const struct order *order);

/*
 * order_reserve - makes sure that one insertion more, into any order of the pool, cannot fail. It
 * counts until that insertion; takings and removals in between do not spend it.
 *
 * Returns: 0, or -ENOMEM (nothing has changed).
 */
static inline int order_reserve(struct order_pool *pool)
{
    return likely(pool->spares > pool->tallest) ? 0 : pawl__order_pool_reserve(pool);
}

static inline uint64_t order_count(const struct order *order)
{
    return order->count;
}

/* The rank of the most urgent ticket; UINT64_MAX: none. */
static inline uint64_t order_rank(const struct order *order)
{
    return order->tree.first != NULL ? order->tree.first->leaf.keys[0].rank : UINT64_MAX;
}

#endif /* PAWL_LANE_ORDER_H */
