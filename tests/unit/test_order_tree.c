/* What order_tree.h promises: entries in key order, room once reserved, nodes that go back. */
#include "lane/order_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"
#include "support/meter.h"
#include "support/test.h"

struct grove {
    struct meter meter;
    struct allocator allocator;
    struct order_pool pool;
    struct order_tree tree;
};

static void grove_open(struct grove *grove)
{
    *grove = (struct grove){.meter.left = UINT64_MAX};
    grove->allocator = (struct allocator){meter_allocate, meter_release, &grove->meter};
    pawl__order_pool_init(&grove->pool, &grove->allocator);
    grove->tree.pool = &grove->pool;
}

static void grove_close(struct grove *grove)
{
    pawl__order_tree_clear(&grove->tree);
    pawl__order_pool_fini(&grove->pool);
    cr_assert_eq(grove->meter.out, 0);
}

/* The list's head says which entry it is. */
static bool put(struct grove *grove, struct order_key key, uint32_t head)
{
    struct order_step path[ORDER_HEIGHT_MAX];

    cr_assert_eq(pawl__order_pool_reserve(&grove->pool), 0);
    pawl__order_tree_find(&grove->tree, key, path);
    if (order_step_is_at(&path[0], key))
        return false;
    pawl__order_tree_insert(&grove->tree, path, key, (struct order_list){.head = head});
    return true;
}

/* The head of the entry, which is taken out; 0: there is none. */
static uint32_t take(struct grove *grove, struct order_key key)
{
    struct order_step path[ORDER_HEIGHT_MAX];
    uint32_t head;

    pawl__order_tree_find(&grove->tree, key, path);
    if (!order_step_is_at(&path[0], key))
        return 0;
    head = order_step_list(&path[0])->head;
    pawl__order_tree_remove(&grove->tree, path);
    return head;
}

static uint64_t count_of(const struct grove *grove)
{
    const struct order_node *leaf = grove->tree.first;
    struct order_key last = {0, 0};
    uint64_t count = 0;
    uint32_t at = 0;

    for (; leaf != NULL; leaf = order_leaf_next(leaf, &at)) {
        cr_assert(count == 0 || order_key_is_below(last, leaf->leaf.keys[at]));
        last = leaf->leaf.keys[at];
        count++;
    }
    return count;
}

Test(order_tree, keys_are_ordered_by_rank_then_since)
{
    const struct order_key keys[] = {{0, 0}, {0, 1},          {0, UINT64_MAX},         {1, 0},
                                     {1, 7}, {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}};

    for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
        for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
            cr_assert_eq(order_key_is_below(keys[i], keys[k]), i < k, "%u, %u", i, k);
}

Test(order_tree, an_empty_one_finds_nothing)
{
    struct grove grove;

    grove_open(&grove);
    cr_assert_eq(take(&grove, (struct order_key){0, 0}), 0);
    cr_assert(put(&grove, (struct order_key){4, 0}, 1));
    cr_assert_eq(take(&grove, (struct order_key){4, 1}), 0);
    cr_assert_eq(take(&grove, (struct order_key){3, 0}), 0);
    cr_assert_eq(take(&grove, (struct order_key){4, 0}), 1);
    cr_assert(grove.tree.root == NULL && grove.tree.first == NULL);
    cr_assert_eq(grove.pool.nodes, 0);
    grove_close(&grove);
}

Test(order_tree, growing_keys_leave_full_leaves_behind)
{
    struct grove grove;

    grove_open(&grove);
    for (uint32_t i = 1; i <= 30000; i++)
        cr_assert(put(&grove, (struct order_key){i, 0}, i));
    pawl__order_tree_validate(&grove.tree);
    cr_assert_eq(count_of(&grove), 30000);
    cr_assert(grove.pool.nodes < 30000 / ORDER_LEAF * 11 / 10);
    grove_close(&grove);
}

Test(order_tree, emptied_from_either_end_or_the_middle_it_gives_its_nodes_back)
{
    for (unsigned from = 0; from < 3; from++) {
        const uint32_t count = 9000;
        struct grove grove;

        grove_open(&grove);
        for (uint32_t i = 0; i < count; i++)
            cr_assert(put(&grove, (struct order_key){i * 7919u % count, 5}, i + 1));
        cr_assert_eq(count_of(&grove), count);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t rank = from == 0   ? i
                                  : from == 1 ? count - 1 - i
                                              : (i + count / 3) % count;

            cr_assert(take(&grove, (struct order_key){rank, 5}) != 0, "from %u: %u", from, rank);
            if (i % 500 == 0) {
                pawl__order_tree_validate(&grove.tree);
                cr_assert(grove.pool.nodes <= (count - i) / 4 + 4);
            }
        }
        cr_assert(grove.tree.root == NULL);
        cr_assert_eq(grove.pool.nodes, 0);
        cr_assert(grove.meter.out <= ORDER_KEEP);
        grove_close(&grove);
    }
}

Test(order_tree, the_first_entries_go_together)
{
    struct grove grove;
    uint64_t next = 1;

    grove_open(&grove);
    for (uint32_t i = 1; i <= 5000; i++)
        cr_assert(put(&grove, (struct order_key){i, 0}, i));
    for (uint32_t turn = 0; grove.tree.first != NULL; turn++) {
        const uint32_t here = grove.tree.first->count;
        const uint32_t count = turn % 20 < here ? turn % 20 + 1 : here;

        cr_assert_eq(grove.tree.first->leaf.keys[0].rank, next);
        pawl__order_tree_remove_first(&grove.tree, count);
        next += count;
        pawl__order_tree_validate(&grove.tree);
    }
    cr_assert_eq(next, 5001);
    grove_close(&grove);
}

Test(order_tree, a_reserve_covers_the_tallest_tree_of_the_pool)
{
    struct random random = {.state = 4};
    struct grove grove;
    struct order_tree other;

    grove_open(&grove);
    other = (struct order_tree){.pool = &grove.pool};
    for (uint32_t i = 0; i < 20000; i++) {
        const struct order_key key = {random_next(&random), 0};
        struct order_step path[ORDER_HEIGHT_MAX];
        struct order_tree *const tree = i % 3 == 0 ? &other : &grove.tree;

        grove.meter.left = UINT64_MAX;
        cr_assert_eq(pawl__order_pool_reserve(&grove.pool), 0);
        grove.meter.left = 0;
        pawl__order_tree_find(tree, key, path);
        pawl__order_tree_insert(tree, path, key, (struct order_list){.head = 1});
    }
    pawl__order_tree_validate(&grove.tree);
    pawl__order_tree_validate(&other);
    pawl__order_tree_clear(&other);
    cr_assert(other.first == NULL && other.root == NULL);
    pawl__order_tree_clear(&grove.tree);
    cr_assert_eq(grove.pool.nodes, 0);
    grove_close(&grove);
}

Test(order_tree, a_refused_reserve_says_so_and_changes_nothing)
{
    struct grove grove;

    grove_open(&grove);
    grove.meter.left = 0;
    cr_assert_eq(pawl__order_pool_reserve(&grove.pool), -ENOMEM);
    cr_assert_eq(grove.meter.out, 0);
    grove.meter.left = 1;
    cr_assert_eq(pawl__order_pool_reserve(&grove.pool), 0);
    cr_assert_eq(pawl__order_pool_reserve(&grove.pool), 0, "it is there already");
    grove_close(&grove);
}

/* The model: which of a thousand keys are in. */
Test(order_tree, agrees_with_a_set)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random random = {.state = seed};
        static uint32_t heads[2000];
        uint32_t count = 0;
        struct grove grove;

        grove_open(&grove);
        for (uint32_t i = 0; i < ARRAY_LEN(heads); i++)
            heads[i] = 0;
        for (uint32_t step = 1; step <= 10000; step++) {
            const uint32_t at = (uint32_t)random_below(&random, seed * 100);
            const struct order_key key = {at / 4, at % 4};
            /* Fills, then empties, in turns. */
            const bool putting = random_below(&random, 10) < (step / 2500 % 2 == 0 ? 7 : 2);

            if (putting) {
                cr_assert_eq(put(&grove, key, step), heads[at] == 0);
                count += heads[at] == 0;
                heads[at] = heads[at] == 0 ? step : heads[at];
            } else {
                cr_assert_eq(take(&grove, key), heads[at], "seed %llu, step %u",
                             (unsigned long long)seed, step);
                count -= heads[at] != 0;
                heads[at] = 0;
            }
            if (step % 100 == 0) {
                pawl__order_tree_validate(&grove.tree);
                cr_assert_eq(count_of(&grove), count);
            }
        }
        grove_close(&grove);
    }
}
