/*
 * hand.h - the leases that an agent has in hand: a hash table by task and token.
 *
 * Layer: agent. Owner: the agent's thread. Both make the key: an agent may have lost a lease of a
 * task without knowing it yet and have a newer one, and shards count their tokens each for itself.
 * Open addressing with linear probing; half of the entries are free, so every search ends.
 */
#ifndef PAWL_AGENT_HAND_H
#define PAWL_AGENT_HAND_H

#include <pawl/task.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"

struct held {
    struct pawl_task task; /* 0: the entry is free */
    uint64_t token;
    uint64_t deadline_ns; /* it lasts at least until then, if nothing else ends it */
    uint32_t last_id;     /* of its reports */
    uint8_t machine;      /* of the task: whoever adds it says so */
};

struct hand {
    struct held *entries; /* mask + 1 of them */
    uint32_t mask;
    uint32_t count;
    uint32_t max;
};

/* Room for max leases, 1 to 2^30; false: no memory. */
static inline bool hand_init(struct hand *hand, uint32_t max)
{
    const uint32_t entries = (uint32_t)round_up_power_of_two(2 * (uint64_t)max);

    *hand = (struct hand){.mask = entries - 1, .max = max};
    hand->entries = calloc(entries, sizeof(*hand->entries));
    return hand->entries != NULL;
}

static inline void hand_fini(struct hand *hand)
{
    free(hand->entries);
}

/*
 * Shards count their tokens up, so the leases of a batch lie side by side: eight tokens in a row
 * are at home in a row, and each row somewhere (Fibonacci hashing: Knuth, 6.4).
 */
static inline uint32_t hand_home(const struct hand *hand, struct pawl_task task, uint64_t token)
{
    const uint64_t row = token >> 3 ^ (uint64_t)pawl_task_shard(task) << 50;

    return ((uint32_t)(row * UINT64_C(0x9e3779b97f4a7c15) >> 32) << 3 | (token & 7)) & hand->mask;
}

/* The entry of a lease, or the free one where it would go. */
static inline struct held *hand_look(const struct hand *hand, struct pawl_task task, uint64_t token)
{
    uint32_t at = hand_home(hand, task, token);

    while (hand->entries[at].task.id != 0 &&
           (hand->entries[at].task.id != task.id || hand->entries[at].token != token))
        at = (at + 1) & hand->mask;
    return &hand->entries[at];
}

/* NULL: it is not in hand. The entry stays where it is until another is dropped. */
static inline struct held *hand_find(const struct hand *hand, struct pawl_task task, uint64_t token)
{
    struct held *held = hand_look(hand, task, token);

    return held->task.id != 0 ? held : NULL;
}

/* It is not in hand yet, and there are fewer than max. The entry is as hand_find's. */
static inline struct held *hand_add(struct hand *hand, struct pawl_task task, uint64_t token,
                                    uint64_t deadline_ns)
{
    struct held *held = hand_look(hand, task, token);

    CHECK(hand->count < hand->max && held->task.id == 0);
    *held = (struct held){.task = task, .token = token, .deadline_ns = deadline_ns};
    hand->count++;
    return held;
}

/*
 * Entries behind the one that goes and would not be found any more move up, one of them into its
 * place.
 */
static inline void hand_drop(struct hand *hand, struct held *held)
{
    uint32_t hole = (uint32_t)(held - hand->entries);

    for (uint32_t at = (hole + 1) & hand->mask; hand->entries[at].task.id != 0;
         at = (at + 1) & hand->mask) {
        const uint32_t home = hand_home(hand, hand->entries[at].task, hand->entries[at].token);

        if (((at - home) & hand->mask) >= ((at - hole) & hand->mask)) {
            hand->entries[hole] = hand->entries[at];
            hole = at;
        }
    }
    hand->entries[hole].task = PAWL_NO_TASK;
    hand->count--;
}

#endif /* PAWL_AGENT_HAND_H */
