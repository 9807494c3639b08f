/* Listing work tasks: by state, lane, agent and age, in portions, each task once. */
#include "support/work_fixture.h"

static struct work_fixture w;

struct list {
    unsigned count;
    struct pawl_work_view views[512];
};
static struct list list;

/* All of a walk, in portions of so many views and slots. */
static void walk_all(const struct pawl_work_filter *filter, size_t capacity, size_t budget)
{
    struct pawl_walk walk = {.done = 0};

    list.count = 0;
    for (unsigned calls = 0; !walk.done; calls++) {
        int count;

        cr_assert(calls < 100000, "the walk has no end");
        cr_assert(list.count + capacity <= 512);
        count =
            pawl_work_walk(w.f.runtime, &walk, filter, list.views + list.count, capacity, budget);
        cr_assert(count >= 0 && (size_t)count <= capacity, "%d", count);
        list.count += (unsigned)count;
    }
}

static bool has(struct pawl_task task)
{
    for (unsigned i = 0; i < list.count; i++)
        if (list.views[i].task.id == task.id)
            return true;
    return false;
}

Test(inspect, every_work_task_is_shown_once_whatever_the_portions)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task tasks[300];

    work_open(&w, &(struct work_fixture_options){.shards = 3});
    spec.title = "a note of its own, which is no work task";
    for (unsigned i = 0; i < 300; i++) {
        spec.shard = i % 3;
        spec.priority = i;
        tasks[i] = work_submit(&w, &spec);
    }
    for (unsigned round = 0; round < 3; round++) {
        static const size_t capacity[] = {1, 7, 64}, budget[] = {1, 50, 100000};

        walk_all(NULL, capacity[round], budget[round]);
        cr_assert_eq(list.count, 300);
        for (unsigned i = 0; i < 300; i++)
            cr_assert(has(tasks[i]));
    }
    for (unsigned i = 0; i < list.count; i++) { /* the context is the task's own */
        const unsigned priority = list.views[i].work.claim.priority;

        cr_assert_eq(list.views[i].task.id, tasks[priority].id);
        cr_assert_eq(list.views[i].state, PAWL_WORK_READY);
    }
    work_close(&w);
}

Test(inspect, one_call_fills_no_more_than_it_promises)
{
    struct pawl_walk walk = {.done = 0};

    work_open(&w, NULL);
    for (unsigned i = 0; i < PAWL_WORK_WALK_MAX + 5; i++)
        work_submit(&w, NULL);
    cr_assert_eq(pawl_work_walk(w.f.runtime, &walk, NULL, list.views, 512, 100000),
                 PAWL_WORK_WALK_MAX);
    cr_assert(!walk.done);
    cr_assert_eq(pawl_work_walk(w.f.runtime, &walk, NULL, list.views, 512, 100000), 5);
    cr_assert(walk.done);
    work_close(&w);
}

Test(inspect, a_filter_chooses_by_state_lane_and_agent)
{
    struct pawl_work_filter filter = PAWL_WORK_FILTER_INIT;
    struct pawl_work_spec spec = work_spec();
    struct pawl_agent *one, *other;
    struct pawl_task ready, elsewhere;
    struct pawl_lease mine, his;

    work_open(&w, NULL);
    work_submit(&w, NULL);
    one = work_agent(&w, "one", "work", 1);
    mine = work_lease(&w, one);
    work_submit(&w, NULL);
    other = work_agent(&w, "other", "work", 1);
    his = work_lease(&w, other);
    ready = work_submit(&w, NULL);
    spec.lane = "verify";
    elsewhere = work_submit(&w, &spec);

    filter.agent = pawl_agent_incarnation(one);
    walk_all(&filter, 8, 100);
    cr_assert_eq(list.count, 1);
    cr_assert_eq(list.views[0].task.id, mine.task.id);
    cr_assert_eq(work_report(&w, one, &mine, PAWL_REPORT_DONE, 0), 0);
    walk_all(&filter, 8, 100); /* it had the task; it has it no more */
    cr_assert_eq(list.count, 0);

    filter.agent = 0;
    filter.state = PAWL_WORK_READY;
    walk_all(&filter, 8, 100);
    cr_assert_eq(list.count, 2);
    cr_assert(has(ready) && has(elsewhere));
    filter.lane = "verify";
    walk_all(&filter, 8, 100);
    cr_assert_eq(list.count, 1);
    cr_assert(has(elsewhere));
    filter.state = PAWL_ANY;
    filter.lane = "work";
    walk_all(&filter, 8, 100);
    cr_assert_eq(list.count, 3);
    cr_assert(has(mine.task) && has(his.task) && has(ready));
    work_agent_end(&w, one);
    work_agent_end(&w, other);
    work_close(&w);
}

Test(inspect, a_filter_chooses_by_age)
{
    struct pawl_work_filter filter = PAWL_WORK_FILTER_INIT;
    struct pawl_task old;

    work_open(&w, NULL);
    old = work_submit(&w, NULL);
    fixture_advance(&w.f, 10 * FIXTURE_SECOND);
    work_submit(&w, NULL);
    filter.older_than_ns = 5 * FIXTURE_SECOND;
    walk_all(&filter, 8, 100);
    cr_assert_eq(list.count, 1);
    cr_assert_eq(list.views[0].task.id, old.id);
    cr_assert(list.views[0].age_ns >= 9 * FIXTURE_SECOND);
    work_close(&w);
}

Test(inspect, what_cannot_be_is_refused)
{
    struct pawl_work_filter filter = PAWL_WORK_FILTER_INIT;
    struct pawl_walk walk = {.done = 0};
    const struct pawl_work_options *work;

    work_open(&w, NULL);
    filter.lane = "no such lane";
    cr_assert_eq(pawl_work_walk(w.f.runtime, &walk, &filter, list.views, 8, 100), -ENOENT);
    work = w.f.runtime->work;
    w.f.runtime->work = NULL;
    cr_assert_eq(pawl_work_walk(w.f.runtime, &walk, NULL, list.views, 8, 100), -ENOTSUP);
    w.f.runtime->work = work;
    cr_assert_eq(walk.shard, 0);
    cr_assert_eq(walk.slot, 0);
    work_close(&w);
}
