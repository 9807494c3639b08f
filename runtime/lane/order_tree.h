/*
 * order_tree.h - the tree that an order finds its queues by: a B+ tree from (rank, since) to a list
 * of tickets, of which it knows no more than the numbers. order.h says what the keys mean.
 *
 * Nodes are eight cache lines. A node that falls below a quarter is put into a neighbour if the two
 * fit with room to spare; nothing else is moved about on removal. So a tree taken from its left
 * edge gives its nodes back as it goes, and one that swings about a size is left alone.
 *
 * The pool keeps enough spare nodes for one insertion into the tallest tree of its orders, once
 * that is reserved: a split on each level and a new root. It keeps ORDER_KEEP at most.
 *
 * Layer: lane. Owner: one shard has a pool and all the trees of it. Progress: O(log entries).
 */
#ifndef PAWL_LANE_ORDER_TREE_H
#define PAWL_LANE_ORDER_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/check.h"
#include "machine/blocks.h" /* struct allocator */

#define ORDER_LEAF       15u /* entries of a leaf */
#define ORDER_INNER      20u /* children of an inner node */
#define ORDER_HEIGHT_MAX 24u /* each level more needs five times the insertions */
#define ORDER_KEEP       64u /* spare nodes of a pool */

_Static_assert(ORDER_KEEP > ORDER_HEIGHT_MAX, "a reserve is never given back");

struct order_key {
    uint64_t rank;
    uint64_t since;
};

/* Tickets in the order they are to be taken in. */
struct order_list {
    uint32_t head;
    uint32_t tail;
    uint32_t trail; /* the next one to learn its `ahead`; see order.h */
    uint32_t lag;   /* tickets behind trail */
};

struct order_node {
    uint16_t count;          /* entries, or children */
    uint16_t level;          /* 0: a leaf */
    struct order_node *prev; /* of leaves: the one with the next lower keys */
    struct order_node *next; /* of leaves; of spare nodes: another spare one */
    /* Keys ascend. All keys below children[i] are at least keys[i]; keys[0] of an inner node is not
     * looked at. */
    union {
        struct {
            _Alignas(32) struct order_key keys[ORDER_LEAF];
            struct order_list lists[ORDER_LEAF];
        } leaf;
        struct {
            _Alignas(32) struct order_key keys[ORDER_INNER];
            struct order_node *children[ORDER_INNER];
        } inner;
    };
};

_Static_assert(sizeof(struct order_node) == 8 * CACHE_LINE, "a node is eight lines");

struct order_pool {
    const struct allocator *allocator;
    struct order_node *spare;
    uint32_t spares;
    uint32_t tallest; /* levels of the tallest tree since all were empty */
    uint64_t nodes;   /* in trees */
};

struct order_tree {
    struct order_pool *pool;
    struct order_node *root;  /* NULL: empty */
    struct order_node *first; /* the leaf with the lowest keys */
};

/* A way from the root: path[level] is the node and the position in it. No tree: path[0] is NULL. */
struct order_step {
    struct order_node *node;
    uint32_t at;
};

/* Takes no memory yet. The allocator outlives the pool. */
void pawl__order_pool_init(struct order_pool *pool, const struct allocator *allocator);

/* All its trees are empty. */
void pawl__order_pool_fini(struct order_pool *pool);

/* Makes sure that one insertion, into any tree of the pool, finds its nodes. 0, or -ENOMEM. */
int pawl__order_pool_reserve(struct order_pool *pool);

/* Empties it. */
void pawl__order_tree_clear(struct order_tree *tree);

/* The way to the first entry of a leaf that is not below the key, or to behind that leaf's last. */
void pawl__order_tree_find(const struct order_tree *tree, struct order_key key,
                           struct order_step path[ORDER_HEIGHT_MAX]);

/* Puts an entry where the way leads, on which no entry of this key was found. Spoils the way. */
void pawl__order_tree_insert(struct order_tree *tree, struct order_step *path, struct order_key key,
                             struct order_list list);

/* Takes the entry out to which the way leads. Spoils the way. */
void pawl__order_tree_remove(struct order_tree *tree, struct order_step *path);

/* Takes the first count entries out; the first leaf has as many. */
void pawl__order_tree_remove_first(struct order_tree *tree, uint32_t count);

/* Walks the nodes and CHECKs them: for tests and debugging. */
void pawl__order_tree_validate(const struct order_tree *tree);

static inline bool order_key_is_below(struct order_key a, struct order_key b)
{
    const unsigned __int128 left = (unsigned __int128)a.rank << 64 | a.since;
    const unsigned __int128 right = (unsigned __int128)b.rank << 64 | b.since;

    return left < right;
}

/* Whether the way leads to an entry of this key. */
static inline bool order_step_is_at(const struct order_step *step, struct order_key key)
{
    return step->node != NULL && step->at < step->node->count &&
           step->node->leaf.keys[step->at].rank == key.rank &&
           step->node->leaf.keys[step->at].since == key.since;
}

static inline struct order_list *order_step_list(const struct order_step *step)
{
    return &step->node->leaf.lists[step->at];
}

/* The leaf of the entry behind the one at *at of this leaf; NULL: none. Its position goes there. */
static inline struct order_node *order_leaf_next(const struct order_node *leaf, uint32_t *at)
{
    if (++*at < leaf->count)
        return (struct order_node *)(uintptr_t)leaf;
    *at = 0;
    return leaf->next;
}

#endif /* PAWL_LANE_ORDER_TREE_H */
