/* What is seen: the first n in every order are those that sorting all would give, and counts add up. */
#include "watch/live_sight.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"

#define TASKS 400u

static struct pawl_work_view views[TASKS];

/* Few values each, so that there are equals. */
static void draw_views(uint64_t seed)
{
    struct random random = {seed};

    memset(views, 0, sizeof(views));
    for (unsigned i = 0; i < TASKS; i++) {
        struct pawl_work_view *view = &views[i];

        view->task.id = (uint64_t)random_below(&random, 3) << 54 | UINT64_C(1) << 32 | (i + 1);
        view->state = (enum pawl_work_state)random_below(&random, PAWL_WORK_STATES);
        view->age_ns = random_below(&random, 5) * 1000;
        view->work.claim.agent = 1 + random_below(&random, 6);
        view->work.claim.lane = 100 + (uint32_t)random_below(&random, 3);
        view->work.claim.priority = (uint32_t)random_below(&random, 4);
        view->work.claim.since_ns = random_below(&random, 4);
    }
}

static void take_all(struct sight *sight)
{
    cr_assert_eq(pawl__sight_add_lane(sight, 102, "a lane"), 0); /* the last one, by its number */
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(pawl__sight_take(sight, &views[i]), 0);
    pawl__sight_settle(sight);
}

/* What the order goes by first. */
static uint64_t first_of(const struct sight *sight, const struct sight_task *task)
{
    const struct pawl_claim *claim = &task->view.work.claim;

    switch (sight->choice.order) {
    case SIGHT_BY_STATE:
        return task->view.state;
    case SIGHT_BY_AGENT:
        return claim->agent;
    case SIGHT_BY_LANE: /* "00000064", "00000065", "a lane" */
        return claim->lane;
    case SIGHT_BY_PRIORITY:
        return (uint64_t)claim->priority << 32 | claim->since_ns;
    case SIGHT_BY_AGE:
    case SIGHT_ORDERS:
        break;
    }
    return 0;
}

static void expect_in_order(const struct sight *sight)
{
    for (size_t i = 1; i < sight->tasks_count; i++) {
        const struct sight_task *a = sight_task(sight, i - 1), *b = sight_task(sight, i);
        const uint64_t x = first_of(sight, a), y = first_of(sight, b);

        cr_assert(x <= y, "order %u, place %zu", sight->choice.order, i);
        if (x != y)
            continue;
        cr_assert(a->view.age_ns >= b->view.age_ns, "the older comes first");
        if (a->view.age_ns == b->view.age_ns)
            cr_assert(pawl_task_shard(a->view.task) < pawl_task_shard(b->view.task) ||
                      (pawl_task_shard(a->view.task) == pawl_task_shard(b->view.task) &&
                       (uint32_t)a->view.task.id < (uint32_t)b->view.task.id));
    }
}

Test(live_sight, the_first_ones_are_those_that_sorting_all_would_give)
{
    static const uint64_t limits[] = {0, 1, 2, 63, 64, 65, 200, TASKS, TASKS + 1, UINT64_MAX};

    for (unsigned order = 0; order < SIGHT_ORDERS; order++) {
        struct sight all = {.choice = {.state = PAWL_ANY,
                                       .lane = PAWL_ANY,
                                       .limit = UINT64_MAX,
                                       .order = (enum sight_order)order}};

        draw_views(order + 1);
        take_all(&all);
        cr_assert_eq(all.tasks_count, TASKS);
        expect_in_order(&all);
        for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            const size_t wanted = limits[i] < TASKS ? (size_t)limits[i] : TASKS;
            struct sight some = {.choice = all.choice};

            some.choice.limit = limits[i];
            take_all(&some);
            cr_assert_eq(some.matching, TASKS);
            cr_assert_eq(some.tasks_count, wanted);
            cr_assert(some.tasks_capacity <= limits[i] || some.tasks_capacity - limits[i] <= 1);
            for (size_t k = 0; k < wanted; k++)
                cr_assert_eq(sight_task(&some, k)->view.task.id, sight_task(&all, k)->view.task.id);
            pawl__sight_fini(&some);
        }
        pawl__sight_fini(&all);
    }
}

Test(live_sight, counts_are_of_all_whatever_is_chosen)
{
    struct sight sight = {.choice = {.state = PAWL_WORK_READY, .lane = 0, .limit = 3}};
    uint64_t leases = 0, held = 0, matching = 0, tasks = 0;

    draw_views(7);
    take_all(&sight);
    for (unsigned i = 0; i < TASKS; i++) {
        held += sight_is_held(&views[i]);
        matching += views[i].state == PAWL_WORK_READY && views[i].work.claim.lane == 102;
    }
    for (size_t i = 0; i < sight.agents_count; i++) {
        cr_assert(i == 0 || sight.agents[i - 1].incarnation < sight.agents[i].incarnation);
        leases += sight.agents[i].leases;
    }
    for (size_t i = 0; i < sight.lanes_count; i++)
        tasks += sight.lanes[i].status.ready + sight.lanes[i].status.leased + sight.lanes[i].others;
    cr_assert_eq(leases, held);
    cr_assert_eq(tasks, TASKS);
    cr_assert_eq(sight.matching, matching);
    cr_assert_eq(sight.tasks_count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(sight_task(&sight, i)->view.state, PAWL_WORK_READY);
        cr_assert_eq(sight_task(&sight, i)->lane, 0);
    }
    pawl__sight_fini(&sight);
}

Test(live_sight, lanes_that_are_not_known_are_called_by_their_number)
{
    struct sight sight = {.choice = {.limit = 1}};

    cr_assert_eq(pawl__sight_add_lane(&sight, 0xabc, NULL), 0);
    cr_assert_eq(pawl__sight_add_lane(&sight, 0, NULL), 1);
    cr_assert_str_eq(sight.lanes[0].name, "00000abc");
    cr_assert_str_eq(sight.lanes[1].name, "-");
    cr_assert_eq(pawl__sight_add_lane(&sight, 0xabc, "build"), 0);
    cr_assert_str_eq(sight.lanes[0].name, "build");
    cr_assert_eq(pawl__sight_find_lane(&sight, 7), PAWL_ANY);
    pawl__sight_fini(&sight);
}

Test(live_sight, agents_beyond_the_limit_are_counted)
{
    struct sight sight = {.choice = {.state = PAWL_ANY, .lane = PAWL_ANY}};
    struct pawl_work_view view = {.state = PAWL_WORK_LEASED};

    for (unsigned i = 0; i < SIGHT_AGENTS_MAX + 5; i++) {
        view.work.claim.agent = SIGHT_AGENTS_MAX + 5 - i;
        cr_assert_eq(pawl__sight_take(&sight, &view), 0);
    }
    cr_assert_eq(sight.agents_count, SIGHT_AGENTS_MAX);
    cr_assert_eq(sight.agents_left_out, 5);
    cr_assert_eq(sight.agents[0].incarnation, 6);
    pawl__sight_fini(&sight);
}

Test(live_sight, orders_have_names)
{
    for (unsigned i = 0; i < SIGHT_ORDERS; i++) {
        enum sight_order order = SIGHT_ORDERS;

        cr_assert(pawl__sight_find_order(pawl__sight_order_name((enum sight_order)i), &order));
        cr_assert_eq(order, i);
    }
}
