/*
 * The leases in hand, against a plain array.
 */
#include "agent/hand.h"

#include "base/random.h"
#include "support/test.h"

#define ROOM 50u

struct model {
    struct held all[ROOM];
    unsigned count;
};

static int model_find(const struct model *model, uint64_t id, uint64_t token)
{
    for (unsigned i = 0; i < model->count; i++)
        if (model->all[i].task.id == id && model->all[i].token == token)
            return (int)i;
    return -1;
}

static void compare(const struct hand *hand, const struct model *model)
{
    cr_assert_eq(hand->count, model->count);
    for (unsigned i = 0; i < model->count; i++) {
        const struct held *held = hand_find(hand, model->all[i].task, model->all[i].token);

        cr_assert(held != NULL, "lease %u is lost", i);
        cr_assert_eq(held->deadline_ns, model->all[i].deadline_ns);
        cr_assert_eq(held->last_id, 0u);
    }
}

Test(hand, it_holds_what_was_added_and_not_dropped)
{
    struct random random = {.state = 5};
    struct model model = {.count = 0};
    struct hand hand;

    cr_assert(hand_init(&hand, ROOM));
    for (unsigned round = 0; round < 20000; round++) {
        /* Few numbers, so that tasks come again with other tokens and the other way round. */
        const uint64_t id = 1 + random_below(&random, 12), token = 1 + random_below(&random, 12);
        const int there = model_find(&model, id, token);
        struct held *held = hand_find(&hand, (struct pawl_task){id}, token);

        cr_assert_eq(held != NULL, there >= 0);
        if (there >= 0) {
            hand_drop(&hand, held);
            model.all[there] = model.all[--model.count];
        } else if (model.count < ROOM) {
            hand_add(&hand, (struct pawl_task){id}, token, round);
            model.all[model.count++] =
                (struct held){.task = {id}, .token = token, .deadline_ns = round};
        }
        compare(&hand, &model);
    }
    hand_fini(&hand);
}

Test(hand, one_lease_needs_no_more_than_two_entries)
{
    struct hand hand;

    cr_assert(hand_init(&hand, 1));
    cr_assert_eq(hand.mask, 1u);
    for (uint64_t i = 1; i < 100; i++) {
        hand_add(&hand, (struct pawl_task){i}, i, 0);
        cr_assert(hand_find(&hand, (struct pawl_task){i}, i + 1) == NULL);
        cr_assert(hand_find(&hand, (struct pawl_task){i + 1}, i) == NULL);
        hand_drop(&hand, hand_find(&hand, (struct pawl_task){i}, i));
        cr_assert(hand_find(&hand, (struct pawl_task){i}, i) == NULL);
    }
    hand_fini(&hand);
}
