#include "lane/order_tree.h"

#include <errno.h>
#include <string.h>

#define ROOM(capacity) ((capacity)*3u / 4) /* what two nodes that become one may hold together */

/* Nodes */

void pawl__order_pool_init(struct order_pool *pool, const struct allocator *allocator)
{
    *pool = (struct order_pool){.allocator = allocator};
}

void pawl__order_pool_fini(struct order_pool *pool)
{
    CHECK(pool->nodes == 0);
    while (pool->spare != NULL) {
        struct order_node *const node = pool->spare;

        pool->spare = node->next;
        pool->allocator->release(pool->allocator->user, node);
    }
    pool->spares = 0;
}

int pawl__order_pool_reserve(struct order_pool *pool)
{
    while (pool->spares <= pool->tallest) {
        struct order_node *const node =
            pool->allocator->allocate(pool->allocator->user, sizeof(*node));

        if (node == NULL)
            return -ENOMEM;
        node->next = pool->spare;
        pool->spare = node;
        pool->spares++;
    }
    return 0;
}

static struct order_node *node_get(struct order_pool *pool, uint32_t level)
{
    struct order_node *const node = pool->spare;

    CHECK(node != NULL); /* reserved */
    pool->spare = node->next;
    pool->spares--;
    pool->nodes++;
    node->count = 0;
    node->level = (uint16_t)level;
    node->prev = node->next = NULL;
    return node;
}

static void node_put(struct order_pool *pool, struct order_node *node)
{
    if (--pool->nodes == 0)
        pool->tallest = 0;
    if (pool->spares >= ORDER_KEEP) {
        pool->allocator->release(pool->allocator->user, node);
        return;
    }
    node->next = pool->spare;
    pool->spare = node;
    pool->spares++;
}

static void put_tree(struct order_pool *pool, struct order_node *node)
{
    if (node->level > 0) {
        for (uint32_t i = 0; i < node->count; i++)
            put_tree(pool, node->inner.children[i]); /* as deep as the tree, 24 at most */
    }
    node_put(pool, node);
}

void pawl__order_tree_clear(struct order_tree *tree)
{
    if (tree->root != NULL)
        put_tree(tree->pool, tree->root);
    tree->root = tree->first = NULL;
}

/* Searching */

/* How many of the keys are below this one. All are looked at: few, and nothing to mispredict. */
static uint32_t keys_below(const struct order_key *keys, uint32_t count, struct order_key key)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < count; i++)
        below += order_key_is_below(keys[i], key);
    return below;
}

/* Which child of an inner node to look for the key in. */
static uint32_t child_of(const struct order_node *node, struct order_key key)
{
    uint32_t at = 0;

    for (uint32_t i = 1; i < node->count; i++)
        at += !order_key_is_below(key, node->inner.keys[i]);
    return at;
}

void pawl__order_tree_find(const struct order_tree *tree, struct order_key key,
                           struct order_step path[ORDER_HEIGHT_MAX])
{
    struct order_node *node = tree->root;

    if (node == NULL) {
        path[0] = (struct order_step){NULL, 0};
        return;
    }
    while (node->level > 0) {
        const uint32_t at = child_of(node, key);

        path[node->level] = (struct order_step){node, at};
        node = node->inner.children[at];
    }
    path[0] = (struct order_step){node, keys_below(node->leaf.keys, node->count, key)};
}

/* Putting an entry in */

#define MOVE(to, from, count) memmove((to), (from), (count) * sizeof(*(to)))

static void children_move(struct order_node **to, struct order_node *const *from, size_t count)
{
    memmove(to, from, count * sizeof(void *));
}

static void leaf_put(struct order_node *leaf, uint32_t at, struct order_key key,
                     struct order_list list)
{
    const uint32_t behind = leaf->count - at;

    MOVE(&leaf->leaf.keys[at + 1], &leaf->leaf.keys[at], behind);
    MOVE(&leaf->leaf.lists[at + 1], &leaf->leaf.lists[at], behind);
    leaf->leaf.keys[at] = key;
    leaf->leaf.lists[at] = list;
    leaf->count++;
}

static void inner_put(struct order_node *node, uint32_t at, struct order_key key,
                      struct order_node *child)
{
    const uint32_t behind = node->count - at;

    MOVE(&node->inner.keys[at + 1], &node->inner.keys[at], behind);
    children_move(&node->inner.children[at + 1], &node->inner.children[at], behind);
    node->inner.keys[at] = key;
    node->inner.children[at] = child;
    node->count++;
}

/*
 * Where a full node is cut for something new at `at`. With ageing ranks grow, and all that is new
 * comes at the right edge: what it leaves behind there stays full.
 */
static uint32_t cut_of(uint32_t count, uint32_t at, bool edge)
{
    return edge && at == count ? count : count / 2;
}

static struct order_node *leaf_split(struct order_tree *tree, struct order_node *leaf, uint32_t cut)
{
    struct order_node *const right = node_get(tree->pool, 0);

    right->count = (uint16_t)(leaf->count - cut);
    MOVE(right->leaf.keys, &leaf->leaf.keys[cut], right->count);
    MOVE(right->leaf.lists, &leaf->leaf.lists[cut], right->count);
    leaf->count = (uint16_t)cut;
    right->prev = leaf;
    right->next = leaf->next;
    if (right->next != NULL)
        right->next->prev = right;
    leaf->next = right;
    return right;
}

static struct order_node *inner_split(struct order_tree *tree, struct order_node *node,
                                      uint32_t cut)
{
    struct order_node *const right = node_get(tree->pool, node->level);

    right->count = (uint16_t)(node->count - cut);
    MOVE(right->inner.keys, &node->inner.keys[cut], right->count);
    children_move(right->inner.children, &node->inner.children[cut], right->count);
    node->count = (uint16_t)cut;
    return right;
}

/* Enters `right`, the new right neighbour of the node in path[0], in the levels above. */
static void enter(struct order_tree *tree, struct order_step *path, struct order_node *right,
                  bool edge)
{
    struct order_key key = right->leaf.keys[0];
    struct order_node *root;

    for (uint32_t level = 1; level <= tree->root->level; level++) {
        struct order_node *node = path[level].node;
        const uint32_t at = path[level].at + 1;
        uint32_t cut;

        if (node->count < ORDER_INNER) {
            inner_put(node, at, key, right);
            return;
        }
        cut = cut_of(ORDER_INNER, at, edge);
        struct order_node *const half = inner_split(tree, node, cut);

        if (at > cut || cut == ORDER_INNER)
            inner_put(half, at - cut, key, right);
        else
            inner_put(node, at, key, right);
        right = half;
        key = half->inner.keys[0];
    }
    CHECK(tree->root->level + 2u <= ORDER_HEIGHT_MAX);
    root = node_get(tree->pool, tree->root->level + 1u);
    root->count = 2;
    root->inner.keys[0] = (struct order_key){0, 0};
    root->inner.children[0] = tree->root;
    root->inner.keys[1] = key;
    root->inner.children[1] = right;
    tree->root = root;
    if (tree->pool->tallest < root->level + 1u)
        tree->pool->tallest = root->level + 1u;
}

void pawl__order_tree_insert(struct order_tree *tree, struct order_step *path, struct order_key key,
                             struct order_list list)
{
    struct order_node *leaf = path[0].node;
    const uint32_t at = path[0].at;
    struct order_node *right;
    bool edge;
    uint32_t cut;

    if (leaf == NULL) {
        leaf = tree->root = tree->first = node_get(tree->pool, 0);
        if (tree->pool->tallest == 0)
            tree->pool->tallest = 1;
    }
    if (leaf->count < ORDER_LEAF) {
        leaf_put(leaf, at, key, list);
        return;
    }

    edge = leaf->next == NULL && at == ORDER_LEAF;
    cut = cut_of(ORDER_LEAF, at, edge);
    right = leaf_split(tree, leaf, cut);
    if (at > cut || cut == ORDER_LEAF)
        leaf_put(right, at - cut, key, list);
    else
        leaf_put(leaf, at, key, list);
    enter(tree, path, right, edge);
}

/* Taking an entry out */

static void leaf_drop(struct order_node *leaf, uint32_t at, uint32_t count)
{
    const uint32_t behind = leaf->count - at - count;

    MOVE(&leaf->leaf.keys[at], &leaf->leaf.keys[at + count], behind);
    MOVE(&leaf->leaf.lists[at], &leaf->leaf.lists[at + count], behind);
    leaf->count = (uint16_t)(leaf->count - count);
}

static void inner_drop(struct order_node *node, uint32_t at)
{
    const uint32_t behind = node->count - at - 1;

    MOVE(&node->inner.keys[at], &node->inner.keys[at + 1], behind);
    children_move(&node->inner.children[at], &node->inner.children[at + 1], behind);
    node->count--;
}

static void leaf_unlink(struct order_tree *tree, struct order_node *leaf)
{
    if (leaf->prev != NULL)
        leaf->prev->next = leaf->next;
    else
        tree->first = leaf->next;
    if (leaf->next != NULL)
        leaf->next->prev = leaf->prev;
}

/* Puts all of the child at `at` into its left neighbour; its node becomes spare. */
static void absorb(struct order_tree *tree, struct order_node *parent, uint32_t at)
{
    struct order_node *const left = parent->inner.children[at - 1];
    struct order_node *const right = parent->inner.children[at];

    if (left->level == 0) {
        MOVE(&left->leaf.keys[left->count], right->leaf.keys, right->count);
        MOVE(&left->leaf.lists[left->count], right->leaf.lists, right->count);
        leaf_unlink(tree, right);
    } else {
        right->inner.keys[0] = parent->inner.keys[at];
        MOVE(&left->inner.keys[left->count], right->inner.keys, right->count);
        children_move(&left->inner.children[left->count], right->inner.children, right->count);
    }
    left->count = (uint16_t)(left->count + right->count);
    node_put(tree->pool, right);
    inner_drop(parent, at);
}

static void root_settle(struct order_tree *tree)
{
    struct order_node *root = tree->root;

    if (root->count == 0) {
        tree->root = tree->first = NULL;
        node_put(tree->pool, root);
        return;
    }
    while (root->level > 0 && root->count == 1) {
        tree->root = root->inner.children[0];
        node_put(tree->pool, root);
        root = tree->root;
    }
}

/* The leaf in path[0] has lost entries: what is empty leaves, what is nearly so is absorbed. */
static void settle(struct order_tree *tree, struct order_step *path)
{
    for (uint32_t level = 0;; level++) {
        struct order_node *const node = path[level].node;
        const uint32_t capacity = level == 0 ? ORDER_LEAF : ORDER_INNER;
        struct order_node *parent;
        uint32_t at;

        if (level == tree->root->level) {
            root_settle(tree);
            return;
        }
        if (node->count >= capacity / 4)
            return;
        parent = path[level + 1].node;
        at = path[level + 1].at;
        if (node->count == 0) {
            if (level == 0)
                leaf_unlink(tree, node);
            node_put(tree->pool, node);
            inner_drop(parent, at);
        } else if (at + 1u < parent->count &&
                   node->count + parent->inner.children[at + 1]->count <= ROOM(capacity)) {
            absorb(tree, parent, at + 1);
        } else if (at > 0 &&
                   node->count + parent->inner.children[at - 1]->count <= ROOM(capacity)) {
            absorb(tree, parent, at);
        } else {
            return;
        }
    }
}

void pawl__order_tree_remove(struct order_tree *tree, struct order_step *path)
{
    leaf_drop(path[0].node, path[0].at, 1);
    settle(tree, path);
}

void pawl__order_tree_remove_first(struct order_tree *tree, uint32_t count)
{
    struct order_step path[ORDER_HEIGHT_MAX];
    struct order_node *const leaf = tree->first;

    if (count == 0)
        return;
    leaf_drop(leaf, 0, count);
    if (leaf->count >= ORDER_LEAF / 4)
        return;
    for (struct order_node *node = tree->root; node->level > 0; node = node->inner.children[0])
        path[node->level] = (struct order_step){node, 0};
    path[0] = (struct order_step){leaf, 0};
    settle(tree, path);
}

/* Checking */

/* Walks one level's nodes. Keys lie in [*low, high), high NULL: no limit; *low grows. */
static uint64_t validate_node(const struct order_tree *tree, const struct order_node *node,
                              struct order_key *low, const struct order_key *high,
                              const struct order_node **last)
{
    uint64_t nodes = 1;

    CHECK(node->count > 0 && node->count <= (node->level == 0 ? ORDER_LEAF : ORDER_INNER));
    for (uint32_t i = 0; i < node->count && node->level > 0; i++) {
        const struct order_key *const end = i + 1u < node->count ? &node->inner.keys[i + 1] : high;

        if (i > 0) {
            CHECK(!order_key_is_below(node->inner.keys[i], *low));
            *low = node->inner.keys[i];
        }
        CHECK(node->inner.children[i]->level == node->level - 1);
        nodes += validate_node(tree, node->inner.children[i], low, end, last);
    }
    if (node->level > 0)
        return nodes;
    CHECK(node->prev == *last && (*last == NULL ? tree->first : (*last)->next) == node);
    *last = node;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct order_key key = node->leaf.keys[i];

        CHECK(!order_key_is_below(key, *low) && (high == NULL || order_key_is_below(key, *high)));
        CHECK(i == 0 || order_key_is_below(node->leaf.keys[i - 1], key));
        *low = key;
    }
    return nodes;
}

void pawl__order_tree_validate(const struct order_tree *tree)
{
    const struct order_node *last = NULL;
    struct order_key low = {0, 0};

    if (tree->root == NULL) {
        CHECK(tree->first == NULL);
        return;
    }
    CHECK(validate_node(tree, tree->root, &low, NULL, &last) <= tree->pool->nodes);
    CHECK(last->next == NULL && tree->root->level < tree->pool->tallest);
}
