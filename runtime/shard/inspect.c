/*
 * inspect.c - listing work tasks, from any thread, while the shards run.
 *
 * Layer: shard. It is pawl_task_walk with the contexts read as what they are. What the walk cannot
 * filter by, the lane and the agent, is looked at in the views, so that what is shown and what was
 * chosen by are one and the same state of the task.
 */

#include <errno.h>
#include <pawl/work.h>
#include <string.h>

#include "lane/lane.h"
#include "shard/runtime.h"

/* 0: any lane. */
static int lane_number(const struct pawl_runtime *runtime, const struct pawl_work_filter *filter,
                       uint32_t *number)
{
    *number = filter->lane != NULL ? pawl_lane_number(filter->lane) : 0;
    if (filter->lane == NULL)
        return 0;
    for (uint32_t i = 0; i < runtime->lane_count; i++)
        if (runtime->lanes[i].number == *number)
            return 0;
    return -ENOENT;
}

static bool matches(const struct pawl_work_view *view, const struct pawl_work_filter *filter,
                    uint32_t lane)
{
    const bool held = view->state == PAWL_WORK_LEASED || view->state == PAWL_WORK_CHECKED;

    return view->state < PAWL_WORK_STATES && /* it ends just now */
           (lane == 0 || view->work.claim.lane == lane) &&
           (filter->agent == 0 || (held && view->work.claim.agent == filter->agent));
}

static void fill(const struct pawl_view *seen, struct pawl_work_view *view)
{
    view->task = seen->task;
    view->state = (enum pawl_work_state)seen->state;
    view->version = seen->version;
    view->key_size = seen->key_size;
    view->age_ns = seen->age_ns;
    memcpy(view->key, seen->key, sizeof(view->key));
}

int pawl_work_walk(const struct pawl_runtime *runtime, struct pawl_walk *walk,
                   const struct pawl_work_filter *filter, struct pawl_work_view *views,
                   size_t capacity, size_t budget)
{
    static const struct pawl_work_filter all = {.state = PAWL_ANY};
    const int machine = pawl_work_machine(runtime);
    struct pawl_view seen[PAWL_WORK_WALK_MAX];
    struct pawl_filter plain;
    uint32_t lane;
    int count, kept = 0;

    if (filter == NULL)
        filter = &all;
    if (machine < 0)
        return -ENOTSUP;
    if (lane_number(runtime, filter, &lane) != 0)
        return -ENOENT;
    if (capacity > PAWL_WORK_WALK_MAX)
        capacity = PAWL_WORK_WALK_MAX;
    for (size_t i = 0; i < capacity; i++) {
        seen[i].context = &views[i].work;
        seen[i].context_capacity = sizeof(views[i].work);
    }
    plain = (struct pawl_filter){.machine = (uint32_t)machine,
                                 .state = filter->state,
                                 .older_than_ns = filter->older_than_ns};
    count = pawl_task_walk(runtime, walk, &plain, seen, capacity, budget);
    for (int i = 0; i < count; i++) {
        fill(&seen[i], &views[i]);
        if (!matches(&views[i], filter, lane))
            continue;
        if (kept != i)
            views[kept] = views[i];
        kept++;
    }
    return kept;
}
