/*
 * wheel.c - the moving of time: cascading and collecting. wheel.h tells how the wheel is laid out
 * and why the order holds.
 *
 * Layer: time. Owner: the shard's thread.
 */
#include "time/wheel.h"

#include <stddef.h>
#include <string.h>

/* Two nodes whose numbers differ by no more lie in one line or in neighbouring ones. */
#define NEAR 2u

/* All of it but the lists of buckets. */
static void clear(struct wheel *wheel)
{
    memset(wheel, 0, offsetof(struct wheel, ticks));
}

void pawl__wheel_init(struct wheel *wheel, struct slab *nodes, uint64_t now_tick)
{
    clear(wheel);
    wheel->nodes = nodes;
    wheel->collected = now_tick;
}

void pawl__wheel_fini(struct wheel *wheel)
{
    clear(wheel);
}

/* Moves a whole list behind the due list; it may be empty. */
static void splice_due(struct wheel *wheel, struct wheel_list *list)
{
    if (list->head == 0)
        return;
    if (wheel->due.head == 0) {
        wheel->due = *list;
    } else {
        wheel_node(wheel, wheel->due.tail)->next = list->head;
        wheel_node(wheel, list->head)->prev = wheel->due.tail;
        wheel->due.tail = list->tail;
    }
    *list = (struct wheel_list){0};
}

/* Collects the one tick that a bucket of level 0 stands for. */
static void collect(struct wheel *wheel, uint64_t tick)
{
    const uint32_t index = wheel_digit(tick, 0);
    uint32_t *count = &wheel->counts[0][index];

    wheel->collected = tick;
    if (*count == 0)
        return;
    wheel->due_count += *count;
    *count = 0;
    wheel_clear_bucket(wheel, 0, index);
    splice_due(wheel, &wheel->ticks[index]);
}

/* Starts to cascade a bucket; collected stays just before it, see "Order" in wheel.h. */
static void cascade_start(struct wheel *wheel, uint32_t level, uint64_t tick)
{
    wheel->collected = tick - 1;
    wheel->cascading = level + 1;
    wheel->cascade_tick = tick;
}

/*
 * Moves nodes of a chain to where they lie as seen from tick `base`, as long as the next one lies
 * beside: the processor sees such a run coming, and it costs nothing to stay with it. At most
 * *budget, which shrinks by as many. Returns the node at which the chain goes on, 0 at its end.
 * Inlined for the chains of level 1 apart: all they hold goes to level 0, and that is most of the
 * moving.
 */
static inline __attribute__((always_inline)) uint32_t
move_run(struct wheel *wheel, uint32_t at, uint64_t base, bool lowest, uint32_t *budget)
{
    uint32_t from;

    do {
        struct timer_node *node = wheel_node(wheel, at);

        from = at;
        at = node->next;
        wheel_place_in(wheel, from, node, lowest ? 0 : wheel_level_of(node->expiry, base));
        --*budget;
    } while (at != 0 && at - from + NEAR <= 2 * NEAR && *budget != 0);
    return at;
}

/*
 * Moves nodes of a bucket's chains in turn, each from its head on, at most `budget`. Returns how
 * many were moved. The turns keep the order of the chains, which is that of their ticks: it is the
 * order of the addresses where timers were armed in the order in which they expire.
 */
static inline __attribute__((always_inline)) uint32_t move_chains(struct wheel *wheel,
                                                                  struct wheel_list *chains,
                                                                  uint64_t base, bool lowest,
                                                                  uint32_t budget)
{
    const uint32_t all = budget;
    struct wheel_list *left[WHEEL_CHAINS]; /* the chains that hold nodes */
    uint32_t count = 0;
    uint32_t i = 0;

    for (uint32_t c = 0; c < WHEEL_CHAINS; c++) {
        if (chains[c].head == 0)
            continue;
        __builtin_prefetch(wheel_node(wheel, chains[c].head), 1);
        left[count++] = &chains[c];
    }
    while (count != 0 && budget != 0) {
        struct wheel_list *chain = left[i];

        chain->head = move_run(wheel, chain->head, base, lowest, &budget);
        if (chain->head != 0) {
            __builtin_prefetch(wheel_node(wheel, chain->head), 1);
            i++;
        } else {
            chain->tail = 0;
            count--;
            for (uint32_t c = i; c < count; c++)
                left[c] = left[c + 1];
        }
        if (i == count)
            i = 0;
    }
    for (i = 0; i < count; i++)
        wheel_node(wheel, left[i]->head)->prev = 0;
    return all - budget;
}

/*
 * Moves nodes of the half cascaded bucket down to where they lie as seen from its first tick, and
 * collects that tick when all are moved. Returns how many nodes were moved.
 */
static uint32_t cascade(struct wheel *wheel, uint32_t budget)
{
    const uint32_t level = wheel->cascading - 1;
    const uint64_t tick = wheel->cascade_tick;
    const uint32_t index = wheel_digit(tick, level);
    uint32_t *count = &wheel->counts[level][index];
    uint32_t moved = 0;

    /* All its nodes may have been cancelled since the last call: then no bit is left to clear. */
    if (*count != 0) {
        struct wheel_list *chains = &wheel->chains[level - 1][index * WHEEL_CHAINS];

        moved = level == 1 ? move_chains(wheel, chains, tick, true, budget)
                           : move_chains(wheel, chains, tick, false, budget);
        *count -= moved;
        if (*count != 0)
            return moved;
        wheel_clear_bucket(wheel, level, index);
    }
    wheel->cascading = 0;
    collect(wheel, tick);
    return moved;
}

bool pawl__wheel_advance(struct wheel *wheel, uint64_t now_tick, uint32_t budget)
{
    uint32_t steps = 0;

    splice_due(wheel, &wheel->late);
    while (wheel->cascading != 0 || wheel->levels_used != 0) {
        uint32_t level;
        uint64_t tick;

        if (wheel->cascading != 0) {
            if (steps >= budget)
                return false;
            steps += cascade(wheel, budget - steps);
            continue;
        }
        tick = wheel_first_tick(wheel, &level);
        if (tick > now_tick)
            break;
        if (steps >= budget)
            return false;
        if (level == 0) {
            collect(wheel, tick);
            if (tick == now_tick)
                return true; /* buckets of higher levels begin later: no need to look again */
            steps++;
        } else {
            cascade_start(wheel, level, tick);
        }
    }
    /* Nothing lies between here and now: no node's place changes by going there. */
    if (now_tick > wheel->collected)
        wheel->collected = now_tick;
    return true;
}

/* ---- The validator ---- */

/* Walks a list of expired or of waiting nodes, checks the links and returns how many there are. */
static uint32_t validate_list(const struct wheel *wheel, const struct wheel_list *list,
                              bool expired)
{
    uint32_t count = 0;
    uint32_t prev = 0;

    for (uint32_t at = list->head; at != 0; at = wheel_node(wheel, at)->next) {
        const struct timer_node *node = wheel_node(wheel, at);

        CHECK(node->prev == prev);
        CHECK(wheel_is_armed(node));
        CHECK((node->expiry <= wheel->collected) == expired);
        CHECK(++count <= wheel->armed);
        prev = at;
    }
    CHECK(list->tail == prev);
    return count;
}

/*
 * Each node of a list must be in the place of its expiry as seen from `collected`, or, where a
 * bucket is half cascaded, in the levels below it, as seen from that bucket's first tick.
 */
static uint32_t validate_places(const struct wheel *wheel, const struct wheel_list *list,
                                uint32_t index, uint32_t position)
{
    const uint64_t base = index + 1 < wheel->cascading ? wheel->cascade_tick : wheel->collected;

    for (uint32_t at = list->head; at != 0; at = wheel_node(wheel, at)->next) {
        const struct timer_node *node = wheel_node(wheel, at);

        CHECK(node->where == index + 1 && node->bucket == wheel_digit(node->expiry, index));
        CHECK(wheel_level_of(node->expiry, base) == index);
        CHECK(wheel_position(index, node->expiry) == position);
    }
    return validate_list(wheel, list, false);
}

static uint32_t validate_bucket(const struct wheel *wheel, uint32_t index, uint32_t bucket)
{
    uint32_t count = 0;

    if (index == 0)
        return validate_places(wheel, &wheel->ticks[bucket], index, bucket);
    for (uint32_t i = 0; i < WHEEL_CHAINS; i++) {
        const uint32_t position = bucket * WHEEL_CHAINS + i;

        count += validate_places(wheel, &wheel->chains[index - 1][position], index, position);
    }
    return count;
}

static uint32_t validate_level(const struct wheel *wheel, uint32_t index)
{
    const uint32_t *counts = wheel->counts[index];
    uint32_t count = 0;

    for (uint32_t i = 0; i < WHEEL_BUCKETS; i++) {
        CHECK((counts[i] != 0) == (wheel->bits[index][i / 64] >> (i % 64) & 1));
        if (counts[i] != 0)
            CHECK(validate_bucket(wheel, index, i) == counts[i]);
        count += counts[i];
    }
    CHECK((count != 0) == (wheel->levels_used >> index & 1));
    return count;
}

void pawl__wheel_validate(const struct wheel *wheel)
{
    uint32_t count =
        validate_list(wheel, &wheel->due, true) + validate_list(wheel, &wheel->late, true);

    CHECK(count == wheel->due_count);
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++)
        count += validate_level(wheel, level);
    CHECK(count == wheel->armed);
}
