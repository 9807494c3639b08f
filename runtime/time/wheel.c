/*
 * wheel.c - the moving of time: cascading and collecting. wheel.h tells how the wheel is laid out
 * and why the order holds.
 *
 * Layer: time. Owner: the shard's thread.
 */
#include "time/wheel.h"

#include <string.h>

void pawl__wheel_init(struct wheel *wheel, struct slab *nodes, uint64_t now_tick)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->nodes = nodes;
    wheel->collected = now_tick;
}

void pawl__wheel_fini(struct wheel *wheel)
{
    memset(wheel, 0, sizeof(*wheel));
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
    struct wheel_bucket *bucket = &wheel->levels[0].buckets[index];

    wheel->collected = tick;
    if (bucket->count == 0)
        return;
    wheel->due_count += bucket->count;
    bucket->count = 0;
    wheel_clear_bucket(wheel, 0, index);
    splice_due(wheel, &bucket->list);
}

/* Starts to cascade a bucket; collected stays just before it, see "Order" in wheel.h. */
static void cascade_start(struct wheel *wheel, uint32_t level, uint64_t tick)
{
    wheel->collected = tick - 1;
    wheel->cascading = level + 1;
    wheel->cascade_tick = tick;
}

/*
 * Moves nodes of the half cascaded bucket down to where they lie as seen from its first tick, from
 * the head on, and collects that tick when all are moved. Returns how many nodes were moved.
 */
static uint32_t cascade(struct wheel *wheel, uint32_t budget)
{
    const uint32_t level = wheel->cascading - 1;
    const uint64_t tick = wheel->cascade_tick;
    const uint32_t index = wheel_digit(tick, level);
    struct wheel_bucket *bucket = &wheel->levels[level].buckets[index];
    uint32_t moved = 0;

    /* All its nodes may have been cancelled since the last call: then no bit is left to clear. */
    if (bucket->count != 0) {
        uint32_t at = bucket->list.head;

        while (at != 0 && moved < budget) {
            struct timer_node *node = wheel_node(wheel, at);
            const uint32_t next = node->next;

            wheel_place(wheel, at, node, tick);
            at = next;
            moved++;
        }
        bucket->count -= moved;
        bucket->list.head = at;
        if (at != 0) {
            wheel_node(wheel, at)->prev = 0;
            return moved;
        }
        bucket->list.tail = 0;
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
 * Each node must be in the place of its expiry as seen from `collected`, or, where a bucket is half
 * cascaded, in the levels below it, as seen from that bucket's first tick.
 */
static uint32_t validate_level(const struct wheel *wheel, uint32_t index)
{
    const struct wheel_level *level = &wheel->levels[index];
    const uint64_t base = index + 1 < wheel->cascading ? wheel->cascade_tick : wheel->collected;
    uint32_t count = 0;

    for (uint32_t i = 0; i < WHEEL_BUCKETS; i++) {
        const struct wheel_bucket *bucket = &level->buckets[i];

        CHECK(validate_list(wheel, &bucket->list, false) == bucket->count);
        CHECK((bucket->count != 0) == (level->bits[i / 64] >> (i % 64) & 1));
        count += bucket->count;
        for (uint32_t at = bucket->list.head; at != 0; at = wheel_node(wheel, at)->next) {
            const struct timer_node *node = wheel_node(wheel, at);

            CHECK(node->where == index + 1 && node->bucket == i);
            CHECK(wheel_level_of(node->expiry, base) == index);
            CHECK(wheel_digit(node->expiry, index) == i);
        }
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
