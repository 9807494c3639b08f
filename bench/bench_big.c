/*
 * bench_big.c - a hundred ask each other, all at once; an operation is a message or an answer (messages.h).
 */
#include "messages.h"
#include "rows.h"

static const struct pawl_state_def big_states[] = {{.name = "works"}};

enum { BIG_GO, BIG_PING, BIG_PONG, BIG_READY };

struct big_task {
    uint64_t pings;
    uint64_t rounds;
    uint64_t pongs; /* to come in this round */
};

static void big_round(struct pawl_step *step, struct big_task *self)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t own = pawl_step_task(step).id;

    self->pongs = world->count - 1;
    for (uint64_t i = 0; i < world->count; i++)
        if (world->tasks[i].id != own)
            pawl_step_ask(step,
                          &(struct pawl_event){
                              .task = world->tasks[i], .code = BIG_PING, .arg = {self->rounds}},
                          BIG_PONG);
}

static void big_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct big_task *self = context;

    self->rounds = event->arg[0];
    big_round(step, self);
}

static void big_ping(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct big_task *self = context;

    self->pings++;
    pawl_step_answer(step, event->arg[0]);
}

static void big_pong(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct big_task *self = context;

    if (event->arg[0] != self->rounds || event->arg[1] != 0)
        bench_fail("big: a wrong answer");
    if (--self->pongs > 0)
        return;
    if (--self->rounds > 0)
        big_round(step, self);
    else
        message_post(step, world->tasks[0], BIG_READY, 0, 0);
}

static void big_ready(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);

    (void)context;
    (void)event;
    message_arrive(step, world->count);
}

static const char *const big_events[] = {"go", "ping", "pong", "ready"};
static const struct pawl_transition_def big_transitions[] = {
    {.from = "works", .on = "go", .action = big_go},
    {.from = "works", .on = "ping", .action = big_ping},
    {.from = "works", .on = "pong", .action = big_pong},
    {.from = "works", .on = "ready", .action = big_ready},
};
static const struct pawl_machine_def big_def = {
    .name = "big",
    .events = big_events,
    .events_count = 4,
    .states = big_states,
    .states_count = 1,
    .transitions = big_transitions,
    .transitions_count = 4,
    .context_size = sizeof(struct big_task),
};

static uint64_t big_begin(struct world *world, uint64_t operations)
{
    const uint64_t messages = 2 * world->count * (world->count - 1);
    const uint64_t rounds = (operations + messages - 1) / messages;

    for (uint64_t i = 0; i < world->count; i++)
        world_start(world, i, BIG_GO, rounds);
    return rounds * messages;
}

static void big_check(struct world *world)
{
    uint64_t pings = 0;

    for (uint64_t i = 0; i < world->count; i++) {
        struct big_task task = {0};

        world_look(world, i, &task, sizeof(task));
        pings += task.pings;
    }
    if (2 * pings != world->total)
        bench_fail("big: messages were lost");
}

static const struct message_work big_work = {
    .machines = {&big_def}, .task_count = world_size, .begin = big_begin, .check = big_check};

void bench_big_rows(void)
{
    message_row((struct bench_row){.name = "big",
                                   .title = "tasks ask each other, all at once",
                                   .unit = "message",
                                   .size = bench_pick(20, 100, 100)},
                &big_work, "big", NULL, "asked and answered by the runtime's own calls");
}
