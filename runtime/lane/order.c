#include "lane/order.h"

static struct ticket *ticket_at(const struct order *order, uint32_t index)
{
    return slab_at_sized(order->tickets, index, sizeof(struct ticket));
}

/* Queues */

void pawl__order_init(struct order *order, struct order_pool *pool, struct slab *tickets)
{
    *order = (struct order){.tickets = tickets, .tree.pool = pool};
}

void pawl__order_fini(struct order *order)
{
    pawl__order_tree_clear(&order->tree);
    order->count = 0;
}

static struct order_list list_of(uint32_t index, struct ticket *ticket)
{
    ticket->next = ticket->prev = 0;
    return (struct order_list){.head = index, .tail = index, .trail = index};
}

/* One more ticket stands behind the trail, which learns of the last one when it is far enough. */
static void list_lag(const struct order *order, struct order_list *list)
{
    struct ticket *trail;

    if (++list->lag < ORDER_AHEAD)
        return;
    trail = ticket_at(order, list->trail);
    trail->ahead = list->tail;
    list->trail = trail->next;
    list->lag--;
}

static void list_append(const struct order *order, struct order_list *list, uint32_t index,
                        struct ticket *ticket)
{
    ticket->next = 0;
    ticket->prev = list->tail;
    ticket_at(order, list->tail)->next = index;
    list->tail = index;
    list_lag(order, list);
}

/* Behind `prev`; 0: at the head. Not at the tail. */
static void list_put(const struct order *order, struct order_list *list, uint32_t prev,
                     uint32_t index, struct ticket *ticket)
{
    uint32_t *const from = prev != 0 ? &ticket_at(order, prev)->next : &list->head;

    ticket->next = *from;
    ticket->prev = prev;
    *from = index;
    ticket_at(order, ticket->next)->prev = index;
    if (ticket->since > ticket_at(order, list->trail)->since)
        list_lag(order, list);
}

/* False: it is the only one, and the list is to be taken out. */
static bool list_remove(const struct order *order, struct order_list *list, uint32_t index,
                        const struct ticket *ticket)
{
    const bool is_behind = ticket->since > ticket_at(order, list->trail)->since;

    if (ticket->prev == 0 && ticket->next == 0) {
        DEBUG_CHECK(list->head == index && list->tail == index);
        return false;
    }
    if (list->trail == index) {
        list->trail = ticket->next != 0 ? ticket->next : ticket->prev;
        list->lag = ticket->next != 0 && list->lag > 0 ? list->lag - 1 : 0;
    } else if (is_behind && list->lag > 0) {
        list->lag--;
    }
    *(ticket->prev != 0 ? &ticket_at(order, ticket->prev)->next : &list->head) = ticket->next;
    *(ticket->next != 0 ? &ticket_at(order, ticket->next)->prev : &list->tail) = ticket->prev;
    return true;
}

/* Puts the ticket into the queue of its rank. False: it belongs too far from both ends. */
static bool queue_insert(const struct order *order, struct order_list *list, uint32_t index,
                         struct ticket *ticket)
{
    uint32_t at = list->tail;

    if (ticket->since >= ticket_at(order, at)->since) {
        list_append(order, list, index, ticket);
        return true;
    }
    if (ticket->since <= ticket_at(order, list->head)->since) {
        list_put(order, list, 0, index, ticket);
        return true;
    }
    for (uint32_t steps = 0; steps < ORDER_WALK; steps++) {
        at = ticket_at(order, at)->prev; /* ends at the head, which is older */
        if (ticket->since >= ticket_at(order, at)->since) {
            list_put(order, list, at, index, ticket);
            return true;
        }
    }
    return false;
}

void pawl__order_insert(struct order *order, uint32_t ticket_index)
{
    struct ticket *const ticket = ticket_at(order, ticket_index);
    struct order_key key = {ticket->rank, 0};
    struct order_step path[ORDER_HEIGHT_MAX];

    ticket->place = TICKET_READY;
    ticket->ahead = 0;
    ticket->apart = 0;
    order->count++;
    pawl__order_tree_find(&order->tree, key, path);
    if (order_step_is_at(&path[0], key)) {
        if (queue_insert(order, order_step_list(&path[0]), ticket_index, ticket))
            return;
        /* Its since is above the head's, and so not 0. */
        key.since = ticket->since;
        ticket->apart = 1;
        pawl__order_tree_find(&order->tree, key, path);
        if (order_step_is_at(&path[0], key)) {
            list_append(order, order_step_list(&path[0]), ticket_index, ticket);
            return;
        }
    }
    pawl__order_tree_insert(&order->tree, path, key, list_of(ticket_index, ticket));
}

void pawl__order_remove(struct order *order, uint32_t ticket_index)
{
    struct ticket *const ticket = ticket_at(order, ticket_index);
    const struct order_key key = {ticket->rank, ticket->apart ? ticket->since : 0};
    struct order_step path[ORDER_HEIGHT_MAX];

    CHECK(ticket->place == TICKET_READY && order->tree.root != NULL);
    pawl__order_tree_find(&order->tree, key, path);
    CHECK(order_step_is_at(&path[0], key));
    if (!list_remove(order, order_step_list(&path[0]), ticket_index, ticket))
        pawl__order_tree_remove(&order->tree, path);
    ticket->place = TICKET_NONE;
    order->count--;
}

/* Taking */

/* Takes from the head what is not newer than `until`. The list may be empty afterwards. */
static uint32_t list_take(const struct order *order, struct order_list *list, uint64_t until,
                          uint32_t *tickets, uint32_t max)
{
    uint32_t index = list->head;
    uint32_t count = 0;

    while (count < max && index != 0) {
        struct ticket *const ticket = ticket_at(order, index);

        if (ticket->since > until)
            break;
        __builtin_prefetch(ticket_at(order, ticket->ahead), 1); /* 0: as good as any */
        ticket->place = TICKET_HANDED;
        tickets[count++] = index;
        if (index == list->trail) {
            list->trail = ticket->next;
            list->lag -= list->lag > 0;
        }
        index = ticket->next;
    }
    list->head = index;
    if (index != 0)
        ticket_at(order, index)->prev = 0;
    return count;
}

/* The oldest of the tickets that are apart from the queue at this place; UINT64_MAX: none are. */
static uint64_t apart_since(const struct order_node *leaf, uint32_t at)
{
    const uint64_t rank = leaf->leaf.keys[at].rank;
    struct order_node *const next =
        leaf->leaf.keys[at].since == 0 ? order_leaf_next(leaf, &at) : NULL;

    return next != NULL && next->leaf.keys[at].rank == rank ? next->leaf.keys[at].since
                                                            : UINT64_MAX;
}

/* Takes of the first tickets that are apart, where the queue before them goes on after them. */
static uint32_t take_apart(struct order *order, uint32_t *tickets, uint32_t max)
{
    const struct order_key key = {order->tree.first->leaf.keys[0].rank,
                                  apart_since(order->tree.first, 0)};
    struct order_step path[ORDER_HEIGHT_MAX];
    struct order_list *list;
    uint32_t count;

    pawl__order_tree_find(&order->tree, key, path);
    CHECK(order_step_is_at(&path[0], key));
    list = order_step_list(&path[0]);
    count = list_take(order, list, UINT64_MAX, tickets, max);
    if (list->head == 0)
        pawl__order_tree_remove(&order->tree, path);
    return count;
}

/* The leaf is soon to be taken from. */
static void leaf_fetch(const struct order_node *leaf)
{
    for (uint32_t at = 0; leaf != NULL && at < sizeof(*leaf); at += CACHE_LINE)
        __builtin_prefetch((const char *)leaf + at, 1);
}

/* The head of the queue some entries behind this one is soon to be taken. */
static void head_fetch(const struct order *order, const struct order_node *leaf, uint32_t at)
{
    at += ORDER_LEAF / 2;
    if (at >= leaf->count) {
        at -= leaf->count;
        leaf = leaf->next;
    }
    if (leaf != NULL && at < leaf->count)
        __builtin_prefetch(ticket_at(order, leaf->leaf.lists[at].head), 1);
}

uint32_t pawl__order_take(struct order *order, uint32_t *tickets, uint32_t max)
{
    uint32_t count = 0;

    while (count < max && order->tree.first != NULL) {
        struct order_node *const leaf = order->tree.first;
        bool is_apart_next = false;
        uint32_t gone = 0; /* entries at the front that have been emptied */

        while (count < max && gone < leaf->count) {
            struct order_list *const list = &leaf->leaf.lists[gone];

            count += list_take(order, list, apart_since(leaf, gone), &tickets[count], max - count);
            if (list->head != 0) {
                is_apart_next = count < max;
                break;
            }
            if (gone == 0)
                leaf_fetch(leaf->next);
            head_fetch(order, leaf, gone);
            gone++;
        }
        if (gone > 0)
            pawl__order_tree_remove_first(&order->tree, gone);
        if (is_apart_next)
            count += take_apart(order, &tickets[count], max - count);
    }
    order->count -= count;
    return count;
}

/* Looking */

uint32_t pawl__order_first(const struct order *order)
{
    struct order_node *leaf = order->tree.first;
    uint64_t apart;
    uint32_t at = 0;

    if (leaf == NULL)
        return 0;
    apart = apart_since(leaf, 0);
    if (ticket_at(order, leaf->leaf.lists[0].head)->since > apart)
        leaf = order_leaf_next(leaf, &at);
    return leaf->leaf.lists[at].head;
}

uint64_t pawl__order_oldest(const struct order *order)
{
    uint64_t oldest = UINT64_MAX;
    struct order_node *leaf = order->tree.first;
    uint32_t at = 0;

    for (uint32_t ranks = 0; leaf != NULL && ranks < ORDER_OLDEST; ranks++) {
        const struct order_key key = leaf->leaf.keys[at];
        const uint64_t apart = apart_since(leaf, at);
        const uint64_t since = ticket_at(order, leaf->leaf.lists[at].head)->since;

        head_fetch(order, leaf, at);
        oldest = since < oldest ? since : oldest;
        oldest = apart < oldest ? apart : oldest;
        leaf = order_leaf_next(leaf, &at);
        if (leaf == NULL || leaf->leaf.keys[at].rank != key.rank)
            continue;
        if (key.rank == UINT64_MAX)
            break;
        /* The rest of the rank is newer. */
        struct order_step path[ORDER_HEIGHT_MAX];

        pawl__order_tree_find(&order->tree, (struct order_key){key.rank + 1, 0}, path);
        leaf = path[0].node;
        at = path[0].at - 1u; /* a key below this one exists, but may be in the leaf before */
        leaf = order_leaf_next(leaf, &at);
    }
    return order->count > 0 ? oldest : 0;
}

/* Checking */

static uint64_t validate_list(const struct order *order, struct order_key key,
                              const struct order_list *list)
{
    bool has_trail = false;
    uint64_t count = 0;
    uint64_t since = 0;
    uint32_t prev = 0;

    for (uint32_t index = list->head; index != 0; index = ticket_at(order, index)->next) {
        const struct ticket *const ticket = ticket_at(order, index);

        CHECK(ticket->place == TICKET_READY && ticket->rank == key.rank && ticket->prev == prev);
        CHECK(ticket->apart == (key.since != 0) && ticket->since >= since);
        CHECK(key.since == 0 || ticket->since == key.since);
        has_trail |= index == list->trail;
        since = ticket->since;
        prev = index;
        count++;
    }
    CHECK(count > 0 && list->tail == prev && has_trail && list->lag < ORDER_AHEAD);
    return count;
}

void pawl__order_validate(const struct order *order)
{
    const struct order_node *leaf = order->tree.first;
    uint64_t count = 0;
    uint32_t at = 0;

    pawl__order_tree_validate(&order->tree);
    while (leaf != NULL) {
        count += validate_list(order, leaf->leaf.keys[at], &leaf->leaf.lists[at]);
        leaf = order_leaf_next(leaf, &at);
    }
    CHECK(count == order->count);
}
