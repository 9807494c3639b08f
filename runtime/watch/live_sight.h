/*
 * live_sight.h - what is seen of lanes, agents and work tasks: counts of all of them, and of the
 * tasks that were chosen the first ones in some order.
 *
 * Layer: watch. Owner: one thread. It is filled task by task in any order, by a window from its
 * runtime and by `pawl inspect` from a store or from what a window says; so there is one meaning of
 * "the first n by age" and of "the leases of an agent". The memory for tasks is bounded by the choice's
 * limit, however many there are: what does not belong to the first is dropped again.
 *
 * Lanes: those that are known are added first; a task whose lane is not known adds it, called by its
 * number. Positions of lanes stay, pointers to them do not.
 */
#ifndef PAWL_WATCH_LIVE_SIGHT_H
#define PAWL_WATCH_LIVE_SIGHT_H

#include <pawl/lane.h>
#include <pawl/live.h>
#include <pawl/work.h>

#define SIGHT_AGENTS_MAX 8192u /* listed; of those beyond, the leases are counted */

enum sight_order {
    SIGHT_BY_STATE,
    SIGHT_BY_AGE,
    SIGHT_BY_AGENT,
    SIGHT_BY_LANE,
    SIGHT_BY_PRIORITY,
    SIGHT_ORDERS
};

struct sight_choice {
    uint32_t state; /* enum pawl_work_state, or PAWL_ANY */
    uint32_t lane;  /* its position, or PAWL_ANY */
    uint64_t limit;
    enum sight_order order;
};

/* Tasks of a machine in a state. The names are the filler's. */
struct sight_state {
    const char *machine;
    const char *state;
    uint64_t tasks;
};

struct sight_lane {
    uint32_t number; /* 0: of groups, which have no work of their own */
    char name[PAWL_LANE_NAME_MAX + 1];
    uint64_t others;                /* neither ready nor leased */
    struct pawl_lane_status status; /* ready, leased and oldest_ns as counted, unless it is read */
};

struct sight_agent {
    uint64_t incarnation;
    uint64_t leases;
    uint64_t oldest_ns;
    uint32_t credits;
    bool open;
    char name[PAWL_AGENT_NAME_MAX + 1];
};

struct sight_task {
    struct pawl_work_view view;
    uint32_t lane; /* position */
};

struct sight {
    struct sight_choice choice;
    struct sight_state *states;
    size_t states_count, states_capacity;
    struct sight_lane *lanes;
    size_t lanes_count, lanes_capacity;
    struct sight_agent *agents; /* by incarnation */
    size_t agents_count, agents_capacity;
    uint64_t agents_left_out; /* leases of agents that there was no place for */
    struct sight_task *tasks; /* shown: in the order of `order`, once that is settled */
    uint32_t *order;
    size_t tasks_count, tasks_capacity;
    uint64_t matching; /* how many the choice has */
    uint64_t foreign;  /* work tasks of another version of the library */
};

void pawl__sight_fini(struct sight *sight);

/* "state", "age", "agent", "lane", "priority". */
const char *pawl__sight_order_name(enum sight_order order);
bool pawl__sight_find_order(const char *name, enum sight_order *order);

/* False: no memory. */
bool pawl__sight_add_state(struct sight *sight, const char *machine, const char *state,
                           uint64_t tasks);

/* The position of a lane, new if it is not known; name: NULL, or what it is called. -ENOMEM. */
int64_t pawl__sight_add_lane(struct sight *sight, uint32_t number, const char *name);

/* The position, or PAWL_ANY: unknown. */
uint32_t pawl__sight_find_lane(const struct sight *sight, uint32_t number);

/* NULL: no memory, or there are SIGHT_AGENTS_MAX of them. The pointer lives until the next. */
struct sight_agent *pawl__sight_add_agent(struct sight *sight, uint64_t incarnation);

/* A work task: counts it, and keeps it if it is one of the first. 0, -ENOMEM. */
int pawl__sight_take(struct sight *sight, const struct pawl_work_view *view);

/* A task that is shown as the next one, counted nowhere. False: no memory. */
bool pawl__sight_append(struct sight *sight, const struct pawl_work_view *view, uint32_t lane);

/* All were taken: `order` is in order. */
void pawl__sight_settle(struct sight *sight);

static inline const struct sight_task *sight_task(const struct sight *sight, size_t i)
{
    return &sight->tasks[sight->order[i]];
}

/* Whether an agent has it now. */
static inline bool sight_is_held(const struct pawl_work_view *view)
{
    return view->state == PAWL_WORK_LEASED || view->state == PAWL_WORK_CHECKED;
}

#endif /* PAWL_WATCH_LIVE_SIGHT_H */
