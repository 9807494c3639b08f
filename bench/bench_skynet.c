/*
 * bench_skynet.c - a tree of ten is made down to a million leaves and summed on the way back (messages.h).
 */
#include "messages.h"
#include "rows.h"

enum { BRANCHES = 10 };

enum { SKYNET_PLANT, SKYNET_SUM };
enum { SKYNET_PLANTER, SKYNET_NODE };

struct skynet_node {
    uint64_t parent;
    uint64_t sum;
    uint64_t left;
};

/* A node's number and leaves, in a word. */
static uint64_t skynet_part(uint64_t number, uint64_t leaves)
{
    return number << 32 | leaves;
}

static void skynet_plant(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    uint64_t *trees = context;

    *trees = event->arg[0];
    message_create(step, SKYNET_NODE, 0, pawl_step_task(step).id, skynet_part(0, world->size));
}

static void skynet_grown(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    uint64_t *trees = context;

    if (event->arg[0] != world->size * (world->size - 1) / 2)
        bench_fail("skynet: the sum is wrong");
    if (--*trees == 0)
        message_run_is_over(step);
    else
        message_create(step, SKYNET_NODE, 0, pawl_step_task(step).id, skynet_part(0, world->size));
}

static void skynet_begins(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t own = pawl_step_task(step).id;
    const uint64_t number = event->arg[1] >> 32;
    const uint64_t leaves = event->arg[1] & UINT32_MAX;
    const uint64_t part = leaves / BRANCHES;
    const bool is_top = leaves == world->size;
    struct skynet_node *self = context;

    if (leaves == 1) {
        message_post(step, (struct pawl_task){event->arg[0]}, SKYNET_SUM, number, 0);
        pawl_step_finish(step);
        return;
    }
    self->parent = event->arg[0];
    self->left = BRANCHES;
    /* Shards take turns with the branches of the top, which stay where they are. */
    for (unsigned i = 0; i < BRANCHES; i++)
        message_create(step, SKYNET_NODE, is_top ? i % world->shards : pawl_step_shard(step), own,
                       skynet_part(number + i * part, part));
}

static void skynet_sum(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct skynet_node *self = context;

    self->sum += event->arg[0];
    if (--self->left > 0)
        return;
    message_post(step, (struct pawl_task){self->parent}, SKYNET_SUM, self->sum, 0);
    pawl_step_finish(step);
}

static const char *const skynet_events[] = {"plant", "sum"};
static const struct pawl_state_def planter_states[] = {{.name = "waits"}};
static const struct pawl_transition_def planter_transitions[] = {
    {.from = "waits", .on = "plant", .action = skynet_plant},
    {.from = "waits", .on = "sum", .action = skynet_grown},
};
static const struct pawl_machine_def planter_def = {
    .name = "planter",
    .events = skynet_events,
    .events_count = 2,
    .states = planter_states,
    .states_count = 1,
    .transitions = planter_transitions,
    .transitions_count = 2,
    .context_size = sizeof(uint64_t),
};
static const struct pawl_state_def node_states[] = {{.name = "sums", .entry = skynet_begins}};
static const struct pawl_transition_def node_transitions[] = {
    {.from = "sums", .on = "sum", .action = skynet_sum},
};
static const struct pawl_machine_def node_def = {
    .name = "node",
    .events = skynet_events,
    .events_count = 2,
    .states = node_states,
    .states_count = 1,
    .transitions = node_transitions,
    .transitions_count = 1,
    .context_size = sizeof(struct skynet_node),
};

static uint64_t skynet_begin(struct world *world, uint64_t operations)
{
    const uint64_t trees = (operations + world->size - 1) / world->size;

    world_start(world, 0, SKYNET_PLANT, trees);
    return trees * world->size;
}

static const struct message_work skynet_work = {.machines = {&planter_def, &node_def},
                                                .task_count = world_one,
                                                .begin = skynet_begin,
                                                .check = world_lasting};

void bench_skynet_rows(void)
{
    message_row((struct bench_row){.name = "skynet",
                                   .title = "a tree of ten is made down to its leaves, and summed",
                                   .unit = "actor",
                                   .size = bench_pick(1000, 100000, 1000000)},
                &skynet_work, "skynet", NULL,
                "breadth first, so that a level of the tree is in the queue");
}
