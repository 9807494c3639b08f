#include "watch/live_sight.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const char *const order_names[SIGHT_ORDERS] = {"state", "age", "agent", "lane", "priority"};

const char *pawl__sight_order_name(enum sight_order order)
{
    return order_names[order];
}

bool pawl__sight_find_order(const char *name, enum sight_order *order)
{
    for (unsigned i = 0; i < SIGHT_ORDERS; i++)
        if (strcmp(name, order_names[i]) == 0) {
            *order = (enum sight_order)i;
            return true;
        }
    return false;
}

void pawl__sight_fini(struct sight *sight)
{
    free(sight->states);
    free(sight->lanes);
    free(sight->agents);
    free(sight->tasks);
    free(sight->order);
    *sight = (struct sight){.choice = sight->choice};
}

/* Room for one more of this size; NULL: no memory. */
static void *room(void *at, size_t count, size_t *capacity, size_t size)
{
    const size_t wanted = 2 * *capacity + 16;
    void *more;

    if (count < *capacity)
        return at;
    more = realloc(at, wanted * size);
    if (more != NULL)
        *capacity = wanted;
    return more;
}

/* ---- States, lanes, agents ---- */

bool pawl__sight_add_state(struct sight *sight, const char *machine, const char *state,
                           uint64_t tasks)
{
    struct sight_state *const states =
        room(sight->states, sight->states_count, &sight->states_capacity, sizeof(*states));

    if (states == NULL)
        return false;
    sight->states = states;
    states[sight->states_count++] = (struct sight_state){machine, state, tasks};
    return true;
}

uint32_t pawl__sight_find_lane(const struct sight *sight, uint32_t number)
{
    for (size_t i = 0; i < sight->lanes_count; i++)
        if (sight->lanes[i].number == number)
            return (uint32_t)i;
    return PAWL_ANY;
}

int64_t pawl__sight_add_lane(struct sight *sight, uint32_t number, const char *name)
{
    uint32_t position = pawl__sight_find_lane(sight, number);
    struct sight_lane *lane;

    if (position == PAWL_ANY) {
        lane = room(sight->lanes, sight->lanes_count, &sight->lanes_capacity, sizeof(*lane));
        if (lane == NULL)
            return -ENOMEM;
        sight->lanes = lane;
        position = (uint32_t)sight->lanes_count++;
        sight->lanes[position] = (struct sight_lane){.number = number};
        if (number == 0)
            snprintf(sight->lanes[position].name, sizeof(lane->name), "-");
        else
            snprintf(sight->lanes[position].name, sizeof(lane->name), "%08" PRIx32, number);
    }
    if (name != NULL)
        snprintf(sight->lanes[position].name, sizeof(lane->name), "%s", name);
    return position;
}

/* Where it is, or belongs. */
static size_t agent_position(const struct sight *sight, uint64_t incarnation)
{
    size_t low = 0, high = sight->agents_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (sight->agents[middle].incarnation < incarnation)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sight_agent *pawl__sight_add_agent(struct sight *sight, uint64_t incarnation)
{
    const size_t at = agent_position(sight, incarnation);
    struct sight_agent *agents;

    if (at < sight->agents_count && sight->agents[at].incarnation == incarnation)
        return &sight->agents[at];
    agents = sight->agents_count < SIGHT_AGENTS_MAX ? room(sight->agents, sight->agents_count,
                                                           &sight->agents_capacity, sizeof(*agents))
                                                    : NULL;
    if (agents == NULL)
        return NULL;
    sight->agents = agents;
    memmove(&agents[at + 1], &agents[at], (sight->agents_count - at) * sizeof(*agents));
    sight->agents_count++;
    agents[at] = (struct sight_agent){.incarnation = incarnation};
    return &agents[at];
}

/* ---- The order of tasks ---- */

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Less than 0: a is listed before b. Never 0 for two tasks. */
static int compare_tasks(const struct sight *sight, uint32_t left, uint32_t right)
{
    const struct sight_task *const a = &sight->tasks[left], *const b = &sight->tasks[right];
    const struct pawl_claim *const x = &a->view.work.claim, *const y = &b->view.work.claim;
    int order = 0;

    switch (sight->choice.order) {
    case SIGHT_BY_STATE:
        order = compare(a->view.state, b->view.state);
        break;
    case SIGHT_BY_AGENT:
        order = compare(x->agent, y->agent);
        break;
    case SIGHT_BY_LANE:
        order = strcmp(sight->lanes[a->lane].name, sight->lanes[b->lane].name);
        break;
    case SIGHT_BY_PRIORITY: /* as a lane hands them out */
        order = compare(x->priority, y->priority);
        if (order == 0)
            order = compare(x->since_ns, y->since_ns);
        break;
    case SIGHT_BY_AGE:
    case SIGHT_ORDERS:
        break;
    }
    if (order == 0)
        order = compare(b->view.age_ns, a->view.age_ns);
    if (order == 0)
        order = compare(pawl_task_shard(a->view.task), pawl_task_shard(b->view.task));
    return order != 0 ? order : compare((uint32_t)a->view.task.id, (uint32_t)b->view.task.id);
}

/*
 * `order` is a heap whose first entry is the task that is listed last, so that it is known which
 * one a better one takes the place of.
 */
static void sift_up(struct sight *sight, size_t at)
{
    uint32_t *const heap = sight->order;

    while (at > 0 && compare_tasks(sight, heap[(at - 1) / 2], heap[at]) < 0) {
        const size_t above = (at - 1) / 2;
        const uint32_t task = heap[at];

        heap[at] = heap[above];
        heap[above] = task;
        at = above;
    }
}

static void sift_down(struct sight *sight, size_t count)
{
    uint32_t *const heap = sight->order;

    for (size_t at = 0, below = 1; below < count; below = 2 * at + 1) {
        const uint32_t task = heap[at];

        if (below + 1 < count && compare_tasks(sight, heap[below], heap[below + 1]) < 0)
            below++;
        if (compare_tasks(sight, task, heap[below]) >= 0)
            return;
        heap[at] = heap[below];
        heap[below] = task;
        at = below;
    }
}

void pawl__sight_settle(struct sight *sight)
{
    for (size_t count = sight->tasks_count; count > 1;) {
        const uint32_t last = sight->order[0];

        sight->order[0] = sight->order[--count];
        sight->order[count] = last;
        sift_down(sight, count);
    }
}

/* Room for one task more than are shown: for the one that is being looked at. */
static bool grow_tasks(struct sight *sight)
{
    size_t capacity = 2 * sight->tasks_capacity + 64;
    struct sight_task *tasks;
    uint32_t *order;

    if (sight->tasks_count + 1 < sight->tasks_capacity)
        return true;
    if (capacity > sight->choice.limit)
        capacity = (size_t)sight->choice.limit + 1;
    if (capacity > UINT32_MAX)
        return false;
    if (capacity <= sight->tasks_capacity)
        return true;
    tasks = realloc(sight->tasks, capacity * sizeof(*tasks));
    if (tasks == NULL)
        return false;
    sight->tasks = tasks;
    order = realloc(sight->order, capacity * sizeof(*order));
    if (order == NULL)
        return false;
    sight->order = order;
    sight->tasks_capacity = capacity;
    return true;
}

static bool keep(struct sight *sight, const struct pawl_work_view *view, uint32_t lane)
{
    const uint32_t next = (uint32_t)sight->tasks_count;

    if (!grow_tasks(sight))
        return false;
    sight->tasks[next] = (struct sight_task){*view, lane};
    if (next < sight->choice.limit) {
        sight->order[next] = next;
        sight->tasks_count++;
        sift_up(sight, next);
    } else if (next > 0 && compare_tasks(sight, next, sight->order[0]) < 0) {
        sight->tasks[sight->order[0]] = sight->tasks[next];
        sift_down(sight, next);
    }
    return true;
}

bool pawl__sight_append(struct sight *sight, const struct pawl_work_view *view, uint32_t lane)
{
    const uint32_t next = (uint32_t)sight->tasks_count;

    if (next >= sight->choice.limit || !grow_tasks(sight))
        return false;
    sight->tasks[next] = (struct sight_task){*view, lane};
    sight->order[next] = next;
    sight->tasks_count++;
    return true;
}

/* ---- Taking ---- */

static void count_in_lane(struct sight_lane *lane, const struct pawl_work_view *view)
{
    const bool ready = view->state == PAWL_WORK_READY || view->state == PAWL_WORK_UNVERIFIED;
    const bool held = sight_is_held(view);

    lane->status.ready += ready;
    lane->status.leased += held;
    lane->others += !ready && !held;
    if (ready && view->age_ns > lane->status.oldest_ns)
        lane->status.oldest_ns = view->age_ns;
}

static bool count_with_agent(struct sight *sight, const struct pawl_work_view *view)
{
    struct sight_agent *agent;

    if (!sight_is_held(view))
        return true;
    agent = pawl__sight_add_agent(sight, view->work.claim.agent);
    if (agent == NULL) {
        sight->agents_left_out++;
        return sight->agents_count == SIGHT_AGENTS_MAX;
    }
    agent->leases++;
    if (view->age_ns > agent->oldest_ns)
        agent->oldest_ns = view->age_ns;
    return true;
}

int pawl__sight_take(struct sight *sight, const struct pawl_work_view *view)
{
    const struct sight_choice *const choice = &sight->choice;
    const int64_t lane = pawl__sight_add_lane(sight, view->work.claim.lane, NULL);

    if (lane < 0 || !count_with_agent(sight, view))
        return -ENOMEM;
    count_in_lane(&sight->lanes[lane], view);
    if ((choice->state != PAWL_ANY && choice->state != view->state) ||
        (choice->lane != PAWL_ANY && choice->lane != (uint32_t)lane))
        return 0;
    sight->matching++;
    return keep(sight, view, (uint32_t)lane) ? 0 : -ENOMEM;
}
