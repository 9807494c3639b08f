/*
 * wheel.h - the hierarchical timer wheel of one shard (Varghese and Lauck, SOSP 1987, scheme 7).
 *
 * Layer: time. May include: base, host (the slab of nodes).
 *
 * A tick is 64 bits of 8 digits of 8 bits. Level L has one bucket for each value of digit L; a
 * timer lies in the level of the highest digit in which its expiry differs from the tick collected
 * last, in the bucket of its own digit there:
 *
 *      level       0        1        2         3         4        5 .. 7
 *      bucket    1 tick   2^8      2^16      2^24      2^32       2^40 ..
 *      range     2^8      2^16     2^24      2^32      2^40       .. 2^64
 *      at 1 ms   256 ms   65 s     4.7 h     50 d      35 y       all the rest
 *
 * So the levels reach every tick there is: nothing is clamped and no list of overflow is needed.
 * A bucket never mixes two rounds of its digit, all buckets in use lie above the present digit, and
 * the first bucket of the lowest level in use is the earliest one: two bit scans find it however
 * far it is.
 *
 * A bucket of level 0 is one list. A bucket above is 16 of them, its chains: the next 4 bits of the
 * expiry choose one. A list is a sequence of loads of which each needs the one before, and where
 * timers were armed in no order of their addresses each waits for memory; 16 chains cascaded in
 * turn wait for 16 nodes at once. The price is 32 KiB of lists a level above 0; but a bucket's
 * lists are cleared when it is first used, not by init, so the far levels take no memory.
 *
 * The decision to question: collecting a bucket of level 0 splices its list onto the due list in
 * O(1) and does not visit the nodes. A node therefore does not know that it is due; expiry <=
 * collected says so. Millions of timers of one tick cost one step here and are paid for one by one
 * when they are popped.
 *
 * What it costs. A timer is moved at most once a level, 2 or 3 times in practice. With a million
 * armed over a minute in no order of their addresses, arming and firing one takes 330 ns with one
 * list a bucket, 108 with 8 chains, 89 with 16 and 78 with 32. More lists have more tails to write
 * to: moving an armed timer, in address order, takes 4 % longer with 16 than with one and 11 % with
 * 32. Timers of one tick are in one chain at all levels: those still wait one by one. Where the
 * addresses run along, a chain is followed to its end and firing loses nothing. Digits of 6 bits
 * would need fewer buckets, but wake an idle shard more often and move timers more often.
 *
 * Order. wheel_due_pop hands timers out by the tick at which they expire, and those of one tick in
 * the order in which they were armed. A timer armed for a tick already collected counts as
 * expiring in the tick collected last: it is due after the next advance, behind what was collected
 * before and ahead of what will be. Why the arm order holds: two timers of the same expiry are
 * always in the same list, because the place depends on nothing but expiry and `collected`; lists
 * grow at the tail and are cascaded from the head. While a bucket that starts at tick S is only
 * half cascaded (the budget ran out), `collected` stays at S - 1, for which the place of every tick
 * of the bucket is still the bucket itself; so a timer armed in between queues behind its elders.
 *
 * Owner: the shard's thread, alone. The nodes are the caller's: they come from its slab and go back
 * to it; the wheel links them and never allocates. Limits: 2^32 - 2 nodes, as the slab.
 * Progress: arm, cancel, pop and next are O(1); advance does at most `budget` steps.
 */
#ifndef PAWL_TIME_WHEEL_H
#define PAWL_TIME_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "host/slab.h"

#define WHEEL_DIGIT_BITS 8u
#define WHEEL_BUCKETS    (1u << WHEEL_DIGIT_BITS)
#define WHEEL_LEVELS     ((64u + WHEEL_DIGIT_BITS - 1) / WHEEL_DIGIT_BITS)
#define WHEEL_WORDS      (WHEEL_BUCKETS / 64u)
#define WHEEL_CHAIN_BITS 4u
#define WHEEL_CHAINS     (1u << WHEEL_CHAIN_BITS) /* of a bucket above level 0 */
#define WHEEL_IDLE       0u                       /* timer_node.where; level L is L + 1 */

_Static_assert(WHEEL_DIGIT_BITS >= 6 && WHEEL_DIGIT_BITS <= 8, "whole words; a bucket is 8 bits");
_Static_assert(WHEEL_CHAIN_BITS <= WHEEL_DIGIT_BITS, "a chain holds at least a tick");

/*
 * A timer. Field owners: W the wheel; T the timer's owner, who may write these at any time. The
 * owner may read W fields. A new node is made with timer_node_init.
 */
struct timer_node {
    uint64_t expiry;  /* W: tick asked for */
    uint32_t next;    /* W: towards the tail of the list, 0 at its end */
    uint32_t prev;    /* W: towards the head */
    uint32_t slot;    /* T: the task's slot */
    uint32_t sibling; /* T: next timer of the same task */
    uint32_t stamp;   /* W: the wheel's count of arms; tells an old expiry from a new one */
    uint16_t id;      /* T: timer number in the machine */
    uint8_t where;    /* W: WHEEL_IDLE, or 1 + the level it was put into last */
    uint8_t bucket;   /* W: bucket in that level */
};

_Static_assert(sizeof(struct timer_node) == 32, "two timers share a cache line");

/* Both are 0 when the list is empty. */
struct wheel_list {
    uint32_t head;
    uint32_t tail;
};

struct wheel {
    struct slab *nodes;
    uint64_t collected;     /* every tick up to here has been collected */
    uint32_t levels_used;   /* bit L: level L holds a node */
    uint32_t cascading;     /* 1 + the level of a half cascaded bucket, 0: none */
    uint64_t cascade_tick;  /* where that bucket starts */
    uint32_t stamp;         /* arms so far; wraps */
    uint32_t armed;         /* nodes in any list */
    uint32_t due_count;     /* nodes in due and late */
    struct wheel_list due;  /* collected, in order, to be popped */
    struct wheel_list late; /* armed for a collected tick, to be due at the next advance */
    uint64_t bits[WHEEL_LEVELS][WHEEL_WORDS];     /* which buckets hold a node */
    uint32_t counts[WHEEL_LEVELS][WHEEL_BUCKETS]; /* how many each holds */
    /* The lists of an empty bucket hold anything: wheel_use_bucket clears them. */
    struct wheel_list ticks[WHEEL_BUCKETS];                                   /* of level 0 */
    struct wheel_list chains[WHEEL_LEVELS - 1][WHEEL_BUCKETS * WHEEL_CHAINS]; /* of the others */
};

/* nodes holds objects of struct timer_node. Ticks up to now_tick count as collected. */
void pawl__wheel_init(struct wheel *wheel, struct slab *nodes, uint64_t now_tick);

/* Forgets every timer without touching the nodes: what is still armed goes with its slab. */
void pawl__wheel_fini(struct wheel *wheel);

/*
 * pawl__wheel_advance - collects what expired, up to and with now_tick, into the due list.
 *
 * now_tick never goes backwards. At most budget steps are done, a step being one node moved down a
 * level or one list (all timers of a tick) made due; the next call goes on where this one stopped.
 * Returns whether everything up to now_tick is collected. A jump over empty time is O(levels).
 */
bool pawl__wheel_advance(struct wheel *wheel, uint64_t now_tick, uint32_t budget);

/* Walks everything and CHECKs links, places, bits and counts: O(armed), for tests and debugging. */
void pawl__wheel_validate(const struct wheel *wheel);

static inline struct timer_node *wheel_node(const struct wheel *wheel, uint32_t node)
{
    return slab_at_sized(wheel->nodes, node, sizeof(struct timer_node));
}

/* Must be called on a new node before anything else. */
static inline void timer_node_init(struct timer_node *node)
{
    *node = (struct timer_node){.where = WHEEL_IDLE};
}

/* Armed: in the wheel, due but not yet popped included. */
static inline bool wheel_is_armed(const struct timer_node *node)
{
    return node->where != WHEEL_IDLE;
}

static inline uint32_t wheel_armed_count(const struct wheel *wheel)
{
    return wheel->armed;
}

/* How many are due: popped now, or, armed for a past tick, after the next advance. */
static inline uint32_t wheel_due_count(const struct wheel *wheel)
{
    return wheel->due_count;
}

/* ---- Lists and places; for this file and wheel.c ---- */

static inline void wheel_append(struct wheel *wheel, struct wheel_list *list, uint32_t index,
                                struct timer_node *node)
{
    node->next = 0;
    if (list->head == 0) {
        node->prev = 0;
        list->head = index;
    } else {
        node->prev = list->tail;
        wheel_node(wheel, list->tail)->next = index;
    }
    list->tail = index;
}

static inline uint32_t wheel_digit(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> (level * WHEEL_DIGIT_BITS)) & (WHEEL_BUCKETS - 1);
}

/* The level of the highest digit in which two ticks differ; 0 when they are the same. */
static inline uint32_t wheel_level_of(uint64_t expiry, uint64_t base)
{
    const uint64_t differing = (expiry ^ base) | 1; /* clz of 0 is not defined */

    return (63u - (uint32_t)__builtin_clzll(differing)) / WHEEL_DIGIT_BITS;
}

/* Which of a level's lists an expiry lies in: its bucket, and above level 0 its chain there. */
static inline uint32_t wheel_position(uint32_t level, uint64_t expiry)
{
    const uint32_t shift = level * WHEEL_DIGIT_BITS - WHEEL_CHAIN_BITS;

    if (level == 0)
        return (uint32_t)expiry & (WHEEL_BUCKETS - 1);
    return (uint32_t)(expiry >> shift) & (WHEEL_BUCKETS * WHEEL_CHAINS - 1);
}

static inline struct wheel_list *wheel_list_of(struct wheel *wheel, uint32_t level, uint64_t expiry)
{
    const uint32_t position = wheel_position(level, expiry);

    return level == 0 ? &wheel->ticks[position] : &wheel->chains[level - 1][position];
}

/* Enters a bucket that gets its first node. */
static inline void wheel_use_bucket(struct wheel *wheel, uint32_t level, uint32_t bucket)
{
    wheel->bits[level][bucket / 64] |= UINT64_C(1) << (bucket % 64);
    wheel->levels_used |= 1u << level;
    if (level == 0)
        wheel->ticks[bucket] = (struct wheel_list){0};
    else
        memset(&wheel->chains[level - 1][bucket * WHEEL_CHAINS], 0,
               WHEEL_CHAINS * sizeof(struct wheel_list));
}

/* Appends the node to the bucket of a level in which its expiry lies. */
static inline __attribute__((always_inline)) void
wheel_place_in(struct wheel *wheel, uint32_t index, struct timer_node *node, uint32_t level)
{
    const uint32_t bucket = wheel_digit(node->expiry, level);

    node->where = (uint8_t)(level + 1);
    node->bucket = (uint8_t)bucket;
    if (wheel->counts[level][bucket]++ == 0)
        wheel_use_bucket(wheel, level, bucket);
    wheel_append(wheel, wheel_list_of(wheel, level, node->expiry), index, node);
}

/* The same, as seen from tick `base`. */
static inline void wheel_place(struct wheel *wheel, uint32_t index, struct timer_node *node,
                               uint64_t base)
{
    wheel_place_in(wheel, index, node, wheel_level_of(node->expiry, base));
}

/*
 * Which of the two lists an expired node is in. Only being an end of one tells, and only to unlink
 * an end does anyone need to know: the answer for a node in the middle is of no use.
 */
static inline struct wheel_list *wheel_due_list_of(struct wheel *wheel, uint32_t index,
                                                   const struct timer_node *node)
{
    const bool is_end = node->prev == 0 ? wheel->due.head == index : wheel->due.tail == index;

    return is_end ? &wheel->due : &wheel->late;
}

/* Takes the bits of an empty bucket away. */
static inline void wheel_clear_bucket(struct wheel *wheel, uint32_t level, uint32_t bucket)
{
    uint64_t *bits = wheel->bits[level];
    uint64_t any = 0;

    bits[bucket / 64] &= ~(UINT64_C(1) << (bucket % 64));
    for (uint32_t i = 0; i < WHEEL_WORDS; i++)
        any |= bits[i];
    if (any == 0)
        wheel->levels_used &= ~(1u << level);
}

/* The first bucket of a level that is in use. */
static inline uint32_t wheel_first_bucket(const struct wheel *wheel, uint32_t level)
{
    const uint64_t *bits = wheel->bits[level];
    uint32_t word = 0;

    while (bits[word] == 0)
        word++;
    return word * 64 + (uint32_t)__builtin_ctzll(bits[word]);
}

/* The first tick of a bucket: the digits of collected above the level, the bucket's, zeros. */
static inline uint64_t wheel_bucket_tick(const struct wheel *wheel, uint32_t level, uint32_t bucket)
{
    const uint32_t shift = level * WHEEL_DIGIT_BITS;
    const uint64_t above = (wheel->collected >> shift) & ~(uint64_t)(WHEEL_BUCKETS - 1);

    return (above | bucket) << shift;
}

/* The first tick of the earliest bucket, and its level; some level is in use. */
static inline uint64_t wheel_first_tick(const struct wheel *wheel, uint32_t *level)
{
    *level = (uint32_t)__builtin_ctz(wheel->levels_used);
    return wheel_bucket_tick(wheel, *level, wheel_first_bucket(wheel, *level));
}

/* ---- The caller's operations ---- */

/*
 * wheel_cancel - takes a timer out of the wheel, wherever it is, due but not yet popped included.
 * Nothing happens to an idle one. O(1).
 */
static inline void wheel_cancel(struct wheel *wheel, uint32_t index)
{
    struct timer_node *node = wheel_node(wheel, index);
    const bool due = node->expiry <= wheel->collected;
    struct wheel_list *list;

    if (node->where == WHEEL_IDLE)
        return;
    if (due) {
        list = wheel_due_list_of(wheel, index, node);
        wheel->due_count--;
    } else {
        const uint32_t level = node->where - 1u;

        list = wheel_list_of(wheel, level, node->expiry);
        if (--wheel->counts[level][node->bucket] == 0)
            wheel_clear_bucket(wheel, level, node->bucket);
    }
    if (node->next != 0)
        wheel_node(wheel, node->next)->prev = node->prev;
    else
        list->tail = node->prev;
    if (node->prev != 0)
        wheel_node(wheel, node->prev)->next = node->next;
    else
        list->head = node->next;
    node->where = WHEEL_IDLE;
    wheel->armed--;
}

/*
 * wheel_arm - arms a timer for a tick; an armed one is moved and queues up anew. O(1).
 * A tick that has been collected makes it due at the next advance, never before.
 */
static inline void wheel_arm(struct wheel *wheel, uint32_t index, uint64_t expiry_tick)
{
    struct timer_node *node = wheel_node(wheel, index);

    if (node->where != WHEEL_IDLE)
        wheel_cancel(wheel, index);
    node->expiry = expiry_tick;
    node->stamp = ++wheel->stamp;
    wheel->armed++;
    if (likely(expiry_tick > wheel->collected)) {
        wheel_place(wheel, index, node, wheel->collected);
    } else {
        node->where = 1;
        wheel_append(wheel, &wheel->late, index, node);
        wheel->due_count++;
    }
}

/* Takes the first due timer out and leaves it idle. Returns its index, 0 when none is due. */
static inline uint32_t wheel_due_pop(struct wheel *wheel)
{
    const uint32_t index = wheel->due.head;
    struct timer_node *node;

    if (index == 0)
        return 0;
    node = wheel_node(wheel, index);
    wheel->due.head = node->next;
    if (node->next != 0)
        wheel_node(wheel, node->next)->prev = 0; /* also fetches it for the next pop */
    else
        wheel->due.tail = 0;
    node->where = WHEEL_IDLE;
    wheel->armed--;
    wheel->due_count--;
    return index;
}

/*
 * wheel_next - the tick at which there is something to do next: never later than the earliest
 * expiry, equal to it when that is within the present 256 ticks, else the tick at which its bucket
 * is to be cascaded. A tick already collected when timers are due or the budget of the last advance
 * ran out. UINT64_MAX when nothing is armed. O(1).
 */
static inline uint64_t wheel_next(const struct wheel *wheel)
{
    uint32_t level;

    if (wheel->due_count != 0)
        return wheel->collected;
    if (wheel->levels_used == 0)
        return UINT64_MAX;
    if (wheel->cascading != 0)
        return wheel->cascade_tick;
    return wheel_first_tick(wheel, &level);
}

#endif /* PAWL_TIME_WHEEL_H */
