/*
 * bench_fork.c - ten thousand are made, report and end (messages.h).
 */
#include "base/bits.h"
#include "messages.h"
#include "rows.h"

static const struct pawl_state_def fork_states[] = {{.name = "works"}};

/*
 * A step may create 256 tasks at most, so those who fork take several. There is one on each shard, who
 * makes its share there: what is made on the own shard need not travel.
 */
enum { FORK_GO, FORK_ON, FORK_VALUE };
enum { ROOT_GO, ROOT_JOINED };
enum { FORK_ROOT, FORK_FORKER, FORK_CHILD, FORKS_A_STEP = 200 };

struct forker {
    uint64_t sum;
    uint32_t next, end; /* the numbers of the children to be made */
    uint64_t left;      /* to be joined */
};

struct root {
    uint64_t sum;
    uint32_t rounds;
    uint32_t left;
    uint64_t wanted;
};

static uint64_t trivial(uint64_t number)
{
    return mix64(number) >> 32;
}

static void root_round(struct pawl_step *step, struct root *self)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t each = world->size / world->shards;

    self->sum = 0;
    self->left = world->shards;
    for (unsigned i = 0; i < world->shards; i++)
        message_post(step, world->tasks[1 + i], FORK_GO, i * each,
                     i + 1 < world->shards ? (i + 1) * each : world->size);
}

static void root_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct root *self = context;

    if (self->wanted == 0)
        for (uint64_t i = 0; i < world->size; i++)
            self->wanted += trivial(i);
    self->rounds = (uint32_t)event->arg[0];
    root_round(step, self);
}

static void root_joined(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct root *self = context;

    self->sum += event->arg[0];
    if (--self->left > 0)
        return;
    if (self->sum != self->wanted)
        bench_fail("fork-join: the sum is wrong");
    if (--self->rounds == 0)
        message_run_is_over(step);
    else
        root_round(step, self);
}

static void fork_on(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct forker *self = context;

    (void)event;
    for (unsigned i = 0; i < FORKS_A_STEP && self->next < self->end; i++)
        message_create(step, FORK_CHILD, pawl_step_shard(step), pawl_step_task(step).id,
                       self->next++);
    if (self->next < self->end)
        message_post(step, pawl_step_task(step), FORK_ON, 0, 0);
}

static void fork_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct forker *self = context;

    self->sum = 0;
    self->next = (uint32_t)event->arg[0];
    self->end = (uint32_t)event->arg[1];
    self->left = self->end - self->next;
    fork_on(step, context, event);
}

static void fork_value(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct forker *self = context;

    self->sum += event->arg[0];
    if (--self->left == 0)
        message_post(step, world->tasks[0], ROOT_JOINED, self->sum, 0);
}

static void child_begins(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    message_post(step, (struct pawl_task){event->arg[0]}, FORK_VALUE, trivial(event->arg[1]), 0);
    pawl_step_finish(step);
}

/* Never comes: a child has ended before it could wait. */
static void child_waits(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)context;
    (void)event;
    bench_fail("fork-join: a child lives on");
}

static const char *const root_events[] = {"go", "joined"};
static const struct pawl_transition_def root_transitions[] = {
    {.from = "works", .on = "go", .action = root_go},
    {.from = "works", .on = "joined", .action = root_joined},
};
static const struct pawl_machine_def root_def = {
    .name = "root",
    .events = root_events,
    .events_count = 2,
    .states = fork_states,
    .states_count = 1,
    .transitions = root_transitions,
    .transitions_count = 2,
    .context_size = sizeof(struct root),
};
static const char *const forker_events[] = {"go", "on", "value"};
static const struct pawl_transition_def forker_transitions[] = {
    {.from = "works", .on = "go", .action = fork_go},
    {.from = "works", .on = "on", .action = fork_on},
    {.from = "works", .on = "value", .action = fork_value},
};
static const struct pawl_machine_def forker_def = {
    .name = "forker",
    .events = forker_events,
    .events_count = 3,
    .states = fork_states,
    .states_count = 1,
    .transitions = forker_transitions,
    .transitions_count = 3,
    .context_size = sizeof(struct forker),
};
static const char *const child_events[] = {"never"};
static const struct pawl_state_def child_states[] = {{.name = "here", .entry = child_begins}};
static const struct pawl_transition_def child_transitions[] = {
    {.from = "here", .on = "never", .action = child_waits},
};
static const struct pawl_machine_def child_def = {
    .name = "child",
    .events = child_events,
    .events_count = 1,
    .states = child_states,
    .states_count = 1,
    .transitions = child_transitions,
    .transitions_count = 1,
};

static uint64_t fork_tasks(const struct world *world)
{
    return 1 + world->shards;
}

static uint64_t fork_begin(struct world *world, uint64_t operations)
{
    const uint64_t rounds = (operations + world->size - 1) / world->size;

    world_start(world, 0, ROOT_GO, rounds);
    return rounds * world->size;
}

static const struct message_work fork_work = {.machines = {&root_def, &forker_def, &child_def},
                                              .task_count = fork_tasks,
                                              .begin = fork_begin,
                                              .check = world_lasting};

void bench_fork_rows(void)
{
    message_row((struct bench_row){.name = "fork-join",
                                   .title = "tasks are made, report and end; one waits for all",
                                   .unit = "actor",
                                   .size = bench_pick(1000, 10000, 10000)},
                &fork_work, "fork_join", NULL, "made on the shard of who makes them, one a shard");
}
