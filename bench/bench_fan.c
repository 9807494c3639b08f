/*
 * bench_fan.c - a thousand senders, one receiver (messages.h).
 */
#include "messages.h"
#include "rows.h"

enum { BURST = 16 };

enum { FAN_EXPECT, FAN_VALUE };
enum { FAN_GO, FAN_MORE };

struct fan_receiver {
    uint64_t sum;
    uint64_t wanted_sum;
    uint64_t left;
};

static void fan_expect(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct fan_receiver *self = context;
    const uint64_t each = event->arg[0];

    self->sum = 0;
    self->wanted_sum = (world->count - 1) * (each * (each - 1) / 2);
    self->left = (world->count - 1) * each;
}

static void fan_value(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct fan_receiver *self = context;

    self->sum += event->arg[0];
    if (event->arg[1] != 0)
        message_post(step, (struct pawl_task){event->arg[1]}, FAN_MORE, 0, 0);
    if (--self->left > 0)
        return;
    if (self->sum != self->wanted_sum)
        bench_fail("fan-in: the sum is wrong");
    message_run_is_over(step);
}

/* The last of a burst is answered, unless nothing is left: so few are under way. */
static void fan_burst(struct pawl_step *step, uint64_t *left)
{
    const struct world *world = pawl_step_user(step);

    for (unsigned i = 1; i <= BURST && *left > 0; i++) {
        --*left;
        message_post(step, world->tasks[0], FAN_VALUE, *left,
                     i == BURST && *left > 0 ? pawl_step_task(step).id : 0);
    }
}

static void fan_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    uint64_t *left = context;

    *left = event->arg[0];
    fan_burst(step, left);
}

static void fan_more(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    fan_burst(step, context);
}

static const char *const fan_receiver_events[] = {"expect", "value"};
static const struct pawl_state_def fan_states[] = {{.name = "works"}};
static const struct pawl_transition_def fan_receiver_transitions[] = {
    {.from = "works", .on = "expect", .action = fan_expect},
    {.from = "works", .on = "value", .action = fan_value},
};
static const struct pawl_machine_def fan_receiver_def = {
    .name = "receiver",
    .events = fan_receiver_events,
    .events_count = 2,
    .states = fan_states,
    .states_count = 1,
    .transitions = fan_receiver_transitions,
    .transitions_count = 2,
    .context_size = sizeof(struct fan_receiver),
};
static const char *const fan_sender_events[] = {"go", "more"};
static const struct pawl_transition_def fan_sender_transitions[] = {
    {.from = "works", .on = "go", .action = fan_go},
    {.from = "works", .on = "more", .action = fan_more},
};
static const struct pawl_machine_def fan_sender_def = {
    .name = "sender",
    .events = fan_sender_events,
    .events_count = 2,
    .states = fan_states,
    .states_count = 1,
    .transitions = fan_sender_transitions,
    .transitions_count = 2,
    .context_size = sizeof(uint64_t),
};

static uint64_t fan_tasks(const struct world *world)
{
    return world->size + 1;
}

static uint64_t fan_begin(struct world *world, uint64_t operations)
{
    const uint64_t each = (operations + world->size - 1) / world->size;
    struct pawl_event expect = {
        .task = world->tasks[0], .code = FAN_EXPECT, .flags = PAWL_EVENT_COMPLETE, .arg = {each}};

    /* A sender of another shard could be faster than this. */
    world_post(world, expect);
    world_reap_all(world, false);
    for (uint64_t i = 1; i < world->count; i++)
        world_start(world, i, FAN_GO, each);
    return each * world->size;
}

static const struct message_work fan_work = {
    .machines = {&fan_receiver_def, &fan_sender_def}, .task_count = fan_tasks, .begin = fan_begin};

void bench_fan_rows(void)
{
    message_row((struct bench_row){.name = "fan-in",
                                   .title = "many senders, one receiver",
                                   .unit = "message",
                                   .size = bench_pick(100, 1000, 1000)},
                &fan_work, "fan_in", NULL,
                "bursts of 16, the last of which is answered before the next begins");
}
