/* test_slot.c - the packing of heads and ids, and what the writer's section leaves in a slot. */
#include "task/slot.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/random.h"
#include "support/test.h"

/* 0, all bits, the highest and the lowest alone, and their neighbours, of a number of `bits` bits. */
static uint64_t extreme(unsigned which, unsigned bits)
{
    const uint64_t all = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

    switch (which) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return all;
    case 3:
        return all - 1;
    case 4:
        return UINT64_C(1) << (bits - 1);
    default:
        return UINT64_C(0x5555555555555555) & all;
    }
}

#define EXTREMES 6u

static void check_head(uint32_t version, uint8_t flags, uint8_t machine, uint16_t state)
{
    const uint64_t head = head_make(version, flags, machine, state);

    cr_assert_eq(head_version(head), version);
    cr_assert_eq(head_flags(head), flags);
    cr_assert_eq(head_machine(head), machine);
    cr_assert_eq(head_state(head), state);
}

static void check_id(uint32_t shard, uint32_t generation, uint32_t slot)
{
    const struct pawl_task task = id_make(shard, generation, slot);

    cr_assert_eq(id_shard(task), shard);
    cr_assert_eq(id_generation(task), generation);
    cr_assert_eq(id_slot(task), slot);
    cr_assert_eq(pawl_task_shard(task), shard, "the public header agrees");
}

Test(slot, a_head_gives_back_what_it_was_made_of)
{
    struct random random = {0x6ead};

    for (unsigned i = 0; i < EXTREMES * EXTREMES * EXTREMES * EXTREMES; i++)
        check_head((uint32_t)extreme(i % EXTREMES, 32),
                   (uint8_t)extreme(i / EXTREMES % EXTREMES, 8),
                   (uint8_t)extreme(i / EXTREMES / EXTREMES % EXTREMES, 8),
                   (uint16_t)extreme(i / EXTREMES / EXTREMES / EXTREMES, 16));
    for (unsigned i = 0; i < 100000; i++)
        check_head((uint32_t)random_next(&random), (uint8_t)random_next(&random),
                   (uint8_t)random_next(&random), (uint16_t)random_next(&random));
    check_head(0, 0, MACHINES_MAX - 1, STATES_MAX);
}

Test(slot, an_id_gives_back_what_it_was_made_of)
{
    struct random random = {0x1d};

    for (unsigned i = 0; i < EXTREMES * EXTREMES * EXTREMES; i++)
        check_id((uint32_t)extreme(i % EXTREMES, ID_SHARD_BITS),
                 (uint32_t)extreme(i / EXTREMES % EXTREMES, ID_GENERATION_BITS),
                 (uint32_t)extreme(i / EXTREMES / EXTREMES, ID_SLOT_BITS));
    for (unsigned i = 0; i < 100000; i++)
        check_id((uint32_t)random_below(&random, SHARDS_MAX),
                 (uint32_t)random_below(&random, GENERATION_MAX + 1),
                 (uint32_t)random_next(&random));
    cr_assert_eq(id_make(0, 0, 0).id, PAWL_NO_TASK.id);
    cr_assert_eq(id_make(SHARDS_MAX - 1, GENERATION_MAX, UINT32_MAX).id, UINT64_MAX);
}

Test(slot, lies_as_its_header_says)
{
    cr_assert_eq(offsetof(struct slot, head), 0u);
    cr_assert_eq(offsetof(struct slot, generation), 8u);
    cr_assert_eq(offsetof(struct slot, mark), 12u);
    cr_assert_eq(offsetof(struct slot, history), 14u);
    cr_assert_eq(offsetof(struct slot, timers), 16u);
    cr_assert_eq(offsetof(struct slot, deferred), 20u);
    cr_assert_eq(offsetof(struct slot, key), 24u);
    cr_assert_eq(offsetof(struct slot, link), 28u);
    cr_assert_eq(offsetof(struct slot, since), 32u);
    cr_assert_eq(offsetof(struct slot, extension), 36u);
    cr_assert_eq(offsetof(struct slot, context), 40u);
}

Test(slot, a_write_is_open_while_the_version_is_odd_and_counts_one_step)
{
    struct slot slot;
    uint64_t head;

    memset(&slot, 0, sizeof(slot));
    store_relaxed(&slot.head, head_make(6, SLOT_ALIVE, 201, 3));
    head = load_relaxed(&slot.head);
    slot_write_begin(&slot, head);
    cr_assert_eq(head_version(load_relaxed(&slot.head)), 7u);
    slot_write_end(&slot, head, SLOT_ALIVE | SLOT_RESERVED, 65534);
    head = load_relaxed(&slot.head);
    cr_assert_eq(head_version(head), 8u);
    cr_assert_eq(head_flags(head), SLOT_ALIVE | SLOT_RESERVED);
    cr_assert_eq(head_machine(head), 201u, "the machine stays");
    cr_assert_eq(head_state(head), 65534u);
}

Test(slot, a_version_wraps_without_touching_the_rest)
{
    struct slot slot;
    uint64_t head = head_make(UINT32_MAX - 1, SLOT_ALIVE, 255, 65535);

    memset(&slot, 0, sizeof(slot));
    store_relaxed(&slot.head, head);
    slot_write_begin(&slot, head);
    cr_assert_eq(load_relaxed(&slot.head), head_make(UINT32_MAX, SLOT_ALIVE, 255, 65535));
    slot_write_end(&slot, head, SLOT_ALIVE, 65535);
    cr_assert_eq(load_relaxed(&slot.head), head_make(0, SLOT_ALIVE, 255, 65535));
}

Test(slot, lives_with_its_own_generation_and_the_flag_alone)
{
    struct slot slot;

    memset(&slot, 0, sizeof(slot));
    store_relaxed(&slot.generation, GENERATION_MAX - 1);
    cr_assert(slot_is_live(&slot, GENERATION_MAX - 1, head_make(2, SLOT_ALIVE, 0, 0)));
    cr_assert(!slot_is_live(&slot, GENERATION_MAX - 2, head_make(2, SLOT_ALIVE, 0, 0)));
    cr_assert(!slot_is_live(&slot, GENERATION_MAX, head_make(2, SLOT_ALIVE, 0, 0)));
    cr_assert(!slot_is_live(&slot, GENERATION_MAX - 1, head_make(2, SLOT_RESERVED, 0, 0)));
    cr_assert(!slot_is_live(&slot, GENERATION_MAX - 1, 0));
}

Test(slot, words_are_copied_to_the_last_and_no_further)
{
    uint64_t from[4], to[4];
    _Atomic uint64_t shared[4];

    for (size_t count = 0; count <= ARRAY_LEN(from); count++) {
        for (size_t i = 0; i < ARRAY_LEN(from); i++) {
            from[i] = mix64(count * 10 + i);
            store_relaxed(&shared[i], 0);
        }
        words_store(shared, from, count);
        for (size_t i = 0; i < ARRAY_LEN(from); i++)
            cr_assert_eq(load_relaxed(&shared[i]), i < count ? from[i] : 0u);
        memset(to, 0, sizeof(to));
        words_load(to, shared, count);
        cr_assert(memcmp(to, from, count * 8) == 0);
        memset(to, 0, sizeof(to));
        words_read(to, shared, count);
        cr_assert(memcmp(to, from, count * 8) == 0);
        cr_assert(count == ARRAY_LEN(to) || to[count] == 0);
    }
}
