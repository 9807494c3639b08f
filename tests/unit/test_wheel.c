/*
 * test_wheel.c - the timer wheel, against a model that keeps its timers in an array and looks
 * through all of them: whatever happens, timers are popped by (tick, order of arming).
 */
#include "time/wheel.h"

#include "base/random.h"
#include "support/test.h"

#include <stddef.h>
#include <stdio.h>

#define EVERYTHING UINT32_MAX /* a budget that never runs out */
#define TIMERS     1000u      /* of the model */

static struct wheel wheel;
static struct slab slab;

static void make_wheel(uint64_t now)
{
    const struct slab_options options = {
        .object_size = sizeof(struct timer_node),
        .link_offset = offsetof(struct timer_node, next),
        .objects_max = 1u << 20,
    };

    cr_assert_eq(slab_init(&slab, &options), 0);
    pawl__wheel_init(&wheel, &slab, now);
}

static void drop_wheel(void)
{
    pawl__wheel_validate(&wheel);
    pawl__wheel_fini(&wheel);
    slab_fini(&slab);
}

static uint32_t make_timer(void)
{
    const uint32_t timer = slab_alloc(&slab);

    cr_assert(timer != 0);
    timer_node_init(wheel_node(&wheel, timer));
    return timer;
}

static uint32_t arm_new(uint64_t expiry)
{
    const uint32_t timer = make_timer();

    wheel_arm(&wheel, timer, expiry);
    return timer;
}

/* Advances and expects to be done. */
static void advance(uint64_t now)
{
    cr_assert(pawl__wheel_advance(&wheel, now, EVERYTHING));
}

Test(wheel, has_nothing_to_do_when_nothing_is_armed)
{
    make_wheel(1000);
    cr_assert_eq(wheel_next(&wheel), UINT64_MAX);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    advance(UINT64_C(1) << 60);
    cr_assert_eq(wheel_next(&wheel), UINT64_MAX);
    cr_assert_eq(wheel_due_count(&wheel), 0u);
    drop_wheel();
}

/* A timer at `expiry` armed at `now` fires at its tick and not before. */
static void check_fires_exactly(uint64_t now, uint64_t expiry)
{
    uint32_t timer;

    make_wheel(now);
    timer = arm_new(expiry);
    cr_assert(wheel_is_armed(wheel_node(&wheel, timer)));
    cr_assert(wheel_next(&wheel) <= expiry && wheel_next(&wheel) > now);
    advance(expiry - 1);
    cr_assert_eq(wheel_due_pop(&wheel), 0u, "%llu fired early", (unsigned long long)expiry);
    cr_assert_eq(wheel_next(&wheel), expiry);
    pawl__wheel_validate(&wheel);
    advance(expiry);
    cr_assert_eq(wheel_due_count(&wheel), 1u);
    cr_assert_eq(wheel_due_pop(&wheel), timer, "%llu did not fire", (unsigned long long)expiry);
    cr_assert(!wheel_is_armed(wheel_node(&wheel, timer)));
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    cr_assert_eq(wheel_armed_count(&wheel), 0u);
    drop_wheel();
}

Test(wheel, fires_exactly_around_the_edges_of_every_level)
{
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++) {
        const uint64_t edge = UINT64_C(1) << (level * WHEEL_DIGIT_BITS);

        for (uint64_t off = 0; off < 3; off++) {
            check_fires_exactly(0, edge + off);
            check_fires_exactly(edge + off, edge + off + 1);
            check_fires_exactly(edge - 1, edge + off);
            check_fires_exactly(edge + 7, 2 * edge + 7 + off);
            check_fires_exactly(edge * 5 - 1, edge * 200 + off);
        }
    }
}

Test(wheel, reaches_the_farthest_ticks)
{
    check_fires_exactly(0, UINT64_MAX - 1);
    check_fires_exactly(12345, UINT64_C(1) << 63);
    check_fires_exactly(UINT64_C(1) << 63, UINT64_MAX - 1);
}

Test(wheel, takes_one_jump_over_empty_time)
{
    uint32_t timer;

    make_wheel(3);
    arm_new(UINT64_C(1) << 50);
    timer = arm_new((UINT64_C(1) << 50) + 12345678);
    cr_assert(pawl__wheel_advance(&wheel, (UINT64_C(1) << 50) + 12345678, 20),
              "a jump costs a few steps, not the ticks between");
    cr_assert_eq(wheel_due_count(&wheel), 2u);
    wheel_due_pop(&wheel);
    cr_assert_eq(wheel_due_pop(&wheel), timer);
    drop_wheel();
}

Test(wheel, timers_of_a_past_tick_are_due_at_the_next_advance)
{
    uint32_t now_timer, past_timer, elder;

    make_wheel(100);
    elder = arm_new(150);
    advance(150);
    now_timer = arm_new(150);
    past_timer = arm_new(20);
    cr_assert_eq(wheel_due_count(&wheel), 3u);
    cr_assert_eq(wheel_next(&wheel), 150u, "there is something to do now");
    cr_assert_eq(wheel_due_pop(&wheel), elder);
    cr_assert_eq(wheel_due_pop(&wheel), 0u, "not before the next advance");
    advance(150);
    cr_assert_eq(wheel_due_pop(&wheel), now_timer, "in the order of arming");
    cr_assert_eq(wheel_due_pop(&wheel), past_timer);
    drop_wheel();
}

Test(wheel, cancel_takes_a_timer_out_of_any_list)
{
    uint32_t timers[6];

    make_wheel(0);
    for (uint32_t i = 0; i < 6; i++)
        timers[i] = arm_new(1000); /* one bucket of level 1 */
    wheel_cancel(&wheel, timers[2]);
    wheel_cancel(&wheel, timers[2]);
    wheel_cancel(&wheel, timers[0]);
    wheel_cancel(&wheel, timers[5]);
    pawl__wheel_validate(&wheel);
    cr_assert_eq(wheel_armed_count(&wheel), 3u);
    advance(1000);
    cr_assert_eq(wheel_due_pop(&wheel), timers[1]);
    wheel_cancel(&wheel, timers[3]);
    wheel_cancel(&wheel, timers[4]);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    cr_assert_eq(wheel_next(&wheel), UINT64_MAX);
    drop_wheel();
}

Test(wheel, cancel_tells_due_timers_from_late_ones)
{
    uint32_t due, first, last;

    make_wheel(10);
    due = arm_new(20);
    advance(20);
    first = arm_new(20);
    last = arm_new(5);
    cr_assert_eq(wheel_due_pop(&wheel), due);
    wheel_arm(&wheel, due, 1); /* was the end of the due list: is the end of the late one now */
    pawl__wheel_validate(&wheel);
    wheel_cancel(&wheel, due);
    pawl__wheel_validate(&wheel);
    wheel_cancel(&wheel, first);
    pawl__wheel_validate(&wheel);
    advance(21);
    cr_assert_eq(wheel_due_pop(&wheel), last);
    cr_assert_eq(wheel_due_count(&wheel), 0u);
    drop_wheel();
}

Test(wheel, a_due_timer_armed_again_leaves_the_due_list)
{
    uint32_t again, other;
    uint32_t stamp;

    make_wheel(0);
    again = arm_new(10);
    other = arm_new(10);
    stamp = wheel_node(&wheel, again)->stamp;
    advance(10);
    wheel_arm(&wheel, again, 400);
    cr_assert(wheel_node(&wheel, again)->stamp != stamp, "the old expiry can be told");
    cr_assert_eq(wheel_due_pop(&wheel), other);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    advance(399);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    advance(400);
    cr_assert_eq(wheel_due_pop(&wheel), again);
    drop_wheel();
}

Test(wheel, arming_an_armed_timer_moves_it_behind_its_equals)
{
    uint32_t first, second;

    make_wheel(0);
    first = arm_new(70000);
    second = arm_new(70000);
    wheel_arm(&wheel, first, 70000);
    cr_assert_eq(wheel_armed_count(&wheel), 2u);
    advance(70000);
    cr_assert_eq(wheel_due_pop(&wheel), second);
    cr_assert_eq(wheel_due_pop(&wheel), first);
    drop_wheel();
}

Test(wheel, equals_keep_the_order_of_arming_from_whatever_distance)
{
    const uint64_t expiry = (UINT64_C(5) << 24) + 0x012345;
    uint32_t timers[40];
    uint32_t count = 0;

    make_wheel(0);
    for (uint32_t bit = 30; bit > 0; bit--) {
        timers[count++] = arm_new(expiry);
        if ((UINT64_C(1) << bit) < expiry)
            advance(expiry - (UINT64_C(1) << bit));
    }
    timers[count++] = arm_new(expiry);
    advance(expiry);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(wheel_due_pop(&wheel), timers[i], "place %u", i);
    drop_wheel();
}

Test(wheel, a_budget_bounds_each_advance_and_nothing_is_lost)
{
    const uint32_t count = 5000, budget = 64;
    const uint64_t start = UINT64_C(3) << 16; /* one bucket of level 2 */
    uint32_t calls = 0, popped = 0;
    uint64_t last = 0;
    struct random random = {77};

    make_wheel(0);
    for (uint32_t i = 0; i < count; i++)
        arm_new(start + random_below(&random, 256));
    while (!pawl__wheel_advance(&wheel, start + 255, budget)) {
        cr_assert(wheel_next(&wheel) <= start + 255, "there is more to do at once");
        pawl__wheel_validate(&wheel);
        calls++;
    }
    cr_assert(calls >= count / budget, "%u calls moved everything", calls);
    cr_assert_eq(wheel_due_count(&wheel), count);
    for (uint32_t timer; (timer = wheel_due_pop(&wheel)) != 0; popped++) {
        cr_assert(wheel_node(&wheel, timer)->expiry >= last);
        last = wheel_node(&wheel, timer)->expiry;
    }
    cr_assert_eq(popped, count);
    drop_wheel();
}

Test(wheel, a_half_cascaded_bucket_keeps_order_and_takes_changes)
{
    const uint64_t start = UINT64_C(7) << 16;
    uint32_t timers[100], young, at_start;

    make_wheel(0);
    for (uint32_t i = 0; i < 100; i++)
        timers[i] = arm_new(start + 5);
    cr_assert(!pawl__wheel_advance(&wheel, start + 10, 30));
    young = arm_new(start + 5);
    at_start = arm_new(start);
    wheel_cancel(&wheel, timers[0]);  /* moved already */
    wheel_cancel(&wheel, timers[29]); /* moved last */
    wheel_cancel(&wheel, timers[30]); /* would be moved next */
    wheel_cancel(&wheel, timers[99]);
    pawl__wheel_validate(&wheel);
    cr_assert_eq(wheel_due_pop(&wheel), 0u, "nothing is due before all are moved");
    cr_assert(wheel_next(&wheel) <= start);
    while (!pawl__wheel_advance(&wheel, start + 10, 7))
        pawl__wheel_validate(&wheel);
    cr_assert_eq(wheel_due_pop(&wheel), at_start);
    for (uint32_t i = 1; i < 99; i++) {
        if (i != 29 && i != 30)
            cr_assert_eq(wheel_due_pop(&wheel), timers[i], "place %u", i);
    }
    cr_assert_eq(wheel_due_pop(&wheel), young);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    drop_wheel();
}

Test(wheel, a_half_cascaded_bucket_may_be_emptied)
{
    const uint64_t start = UINT64_C(7) << 16;
    uint32_t timers[20], later;

    make_wheel(0);
    for (uint32_t i = 0; i < 20; i++)
        timers[i] = arm_new(start + i);
    cr_assert(!pawl__wheel_advance(&wheel, start, 10));
    for (uint32_t i = 0; i < 20; i++)
        wheel_cancel(&wheel, timers[i]);
    cr_assert_eq(wheel_next(&wheel), UINT64_MAX);
    pawl__wheel_validate(&wheel);
    later = arm_new(start + 300);
    advance(start + 299);
    cr_assert_eq(wheel_due_pop(&wheel), 0u);
    advance(start + 300);
    cr_assert_eq(wheel_due_pop(&wheel), later);
    drop_wheel();
}

Test(wheel, an_idle_shard_that_sleeps_until_next_fires_each_at_its_tick)
{
    const uint32_t count = 2000;
    struct random random = {0x1d1e};
    uint64_t now = 0;
    uint32_t wakes = 0, fired = 0;

    make_wheel(now);
    for (uint32_t i = 0; i < count; i++)
        arm_new(1 + (random_next(&random) >> (20 + random_below(&random, 44))));
    while (wheel_next(&wheel) != UINT64_MAX) {
        cr_assert(wheel_next(&wheel) > now, "asleep there is nothing to do before");
        now = wheel_next(&wheel);
        advance(now);
        wakes++;
        for (uint32_t timer; (timer = wheel_due_pop(&wheel)) != 0; fired++)
            cr_assert_eq(wheel_node(&wheel, timer)->expiry, now);
    }
    cr_assert_eq(fired, count);
    cr_assert(wakes <= count * WHEEL_LEVELS, "%u wakes", wakes);
    drop_wheel();
}

/* ---- Against the model ---- */

struct model_timer {
    uint32_t index; /* in the slab */
    bool armed;
    uint64_t expiry; /* the tick it counts as expiring in */
    uint64_t order;
};

struct model {
    struct random random;
    struct model_timer timers[TIMERS];
    uint64_t arms;
    uint64_t now;
    uint64_t popped;
};

static struct model model;

/* The timer that must be popped first of all, NULL when none is armed. */
static struct model_timer *model_first(void)
{
    struct model_timer *first = NULL;

    for (uint32_t i = 0; i < TIMERS; i++) {
        struct model_timer *timer = &model.timers[i];

        if (!timer->armed)
            continue;
        if (first == NULL || timer->expiry < first->expiry ||
            (timer->expiry == first->expiry && timer->order < first->order))
            first = timer;
    }
    return first;
}

static uint32_t model_due(uint64_t now)
{
    uint32_t due = 0;

    for (uint32_t i = 0; i < TIMERS; i++)
        due += model.timers[i].armed && model.timers[i].expiry <= now;
    return due;
}

/* Mostly near, sometimes far, sometimes past, often one of a few ticks that many share. */
static uint64_t random_expiry(void)
{
    const uint64_t collected = wheel.collected;

    switch (random_below(&model.random, 6)) {
    case 0:
        return collected - random_below(&model.random, collected < 50 ? collected + 1 : 50);
    case 1:
        return (collected | 0xff) + 1 + random_below(&model.random, 3);
    case 2:
        return (collected | 0xffff) + random_below(&model.random, 300);
    case 3:
        return collected + 1 + random_below(&model.random, 20);
    default:
        return collected + 1 +
               (random_next(&model.random) >> (24 + random_below(&model.random, 40)));
    }
}

static void model_arm(struct model_timer *timer)
{
    const uint64_t expiry = random_expiry();

    wheel_arm(&wheel, timer->index, expiry);
    timer->armed = true;
    timer->expiry = expiry > wheel.collected ? expiry : wheel.collected;
    timer->order = model.arms++;
}

static void model_cancel(struct model_timer *timer)
{
    wheel_cancel(&wheel, timer->index);
    timer->armed = false;
}

static void model_pop(void)
{
    struct model_timer *first = model_first();
    const uint32_t index = wheel_due_pop(&wheel);

    if (index == 0)
        return;
    cr_assert(first != NULL && index == first->index, "popped %u of tick %llu", index,
              (unsigned long long)wheel_node(&wheel, index)->expiry);
    cr_assert(first->expiry <= model.now, "early");
    first->armed = false;
    model.popped++;
}

static void model_advance(void)
{
    const bool bounded = random_below(&model.random, 2) == 0;
    const uint32_t budget = bounded ? (uint32_t)random_below(&model.random, 20) : EVERYTHING;
    const struct model_timer *first = model_first();

    switch (random_below(&model.random, 5)) {
    case 0:
        model.now += random_next(&model.random) >> (26 + random_below(&model.random, 38));
        break;
    case 1: /* to just before, or just on, the next expiry */
        if (first != NULL && first->expiry > model.now)
            model.now = first->expiry - random_below(&model.random, 2);
        break;
    case 2:
        if (wheel_next(&wheel) > model.now && wheel_next(&wheel) != UINT64_MAX)
            model.now = wheel_next(&wheel);
        break;
    default:
        model.now += random_below(&model.random, 3);
    }
    if (pawl__wheel_advance(&wheel, model.now, budget)) {
        cr_assert_eq(wheel_due_count(&wheel), model_due(model.now));
        cr_assert_eq(wheel.collected, model.now);
    } else {
        cr_assert(bounded, "an advance without a bound always gets there");
        cr_assert(wheel_next(&wheel) <= model.now, "there is more to do at once");
    }
}

static void model_check_next(void)
{
    const struct model_timer *first = model_first();

    if (first == NULL)
        cr_assert_eq(wheel_next(&wheel), UINT64_MAX);
    else
        cr_assert(wheel_next(&wheel) <= first->expiry || wheel_next(&wheel) <= model.now,
                  "would oversleep");
}

/* `operations` random ones from a seed, each followed by the checks. */
static void model_run(uint64_t seed, uint32_t operations)
{
    memset(&model, 0, sizeof(model));
    model.random.state = seed;
    model.now = random_next(&model.random) >> (20 + random_below(&model.random, 40));
    make_wheel(model.now);
    for (uint32_t i = 0; i < TIMERS; i++)
        model.timers[i].index = make_timer();
    for (uint32_t i = 0; i < operations; i++) {
        /* Few timers in one run, many in another. */
        struct model_timer *timer =
            &model.timers[random_below(&model.random, seed % 2 == 0 ? 30 : TIMERS)];
        const uint64_t what = random_below(&model.random, 100);

        if (what < 50)
            model_arm(timer);
        else if (what < 65)
            model_cancel(timer);
        else if (what < 85)
            model_pop();
        else
            model_advance();
        cr_assert_eq(wheel_is_armed(wheel_node(&wheel, timer->index)), timer->armed);
        model_check_next();
        if (i % 16 == 0)
            pawl__wheel_validate(&wheel);
    }
    while (model_first() != NULL) {
        if (wheel_next(&wheel) > model.now)
            model.now = wheel_next(&wheel);
        pawl__wheel_advance(&wheel, model.now, 100);
        while (wheel_due_count(&wheel) != 0) {
            model_pop();
            pawl__wheel_advance(&wheel, model.now, 100);
        }
    }
    cr_assert_eq(wheel_armed_count(&wheel), 0u);
    drop_wheel();
}

Test(wheel, agrees_with_a_sorted_model_under_random_operations)
{
    const uint64_t seed = 20240607;
    uint64_t popped = 0;

    fprintf(stderr, "wheel model: seeds from %llu on\n", (unsigned long long)seed);
    for (uint64_t run = 0; run < 40; run++) {
        model_run(seed + run, 2500);
        popped += model.popped;
    }
    cr_assert(popped > 10000, "only %llu timers fired", (unsigned long long)popped);
}
