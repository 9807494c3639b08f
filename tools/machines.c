/*
 * machines.c - the machines built into the tool (machines.h). The examples are complete: their
 * actions do what their labels say, so they can be run as they stand.
 */
#include "machines.h"

#include <pawl/step.h>
#include <string.h>

#include "replay_machines.h"
#include "stress_machine.h"

/* ---- turnstile: the smallest machine there is ------------------------------------------------ */

struct turnstile {
    uint64_t coins;
};

static void count_coin(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct turnstile *const turnstile = context;

    (void)event;
    pawl_step_answer(step, ++turnstile->coins);
}

static const char *const turnstile_events[] = {"coin", "push"};

static const struct pawl_state_def turnstile_states[] = {{.name = "locked"}, {.name = "open"}};

static const struct pawl_transition_def turnstile_transitions[] = {
    {.from = "locked", .on = "coin", .to = "open", .action = count_coin, .label = "count"},
    {.from = "open", .on = "coin", .action = count_coin, .label = "count"},
    {.from = "open", .on = "push", .to = "locked"},
};

static const struct pawl_machine_def turnstile = {
    .name = "turnstile",
    .events = turnstile_events,
    .events_count = ARRAY_LEN(turnstile_events),
    .states = turnstile_states,
    .states_count = ARRAY_LEN(turnstile_states),
    .transitions = turnstile_transitions,
    .transitions_count = ARRAY_LEN(turnstile_transitions),
    .context_size = sizeof(struct turnstile),
};

/* ---- door: nesting, history, guards, a timeout ----------------------------------------------- */

struct door {
    uint64_t code; /* given by whoever creates the door; arg[0] of lock and unlock must be it */
    uint32_t opened;
    uint32_t alarms;
};

static bool knows_code(const struct pawl_step *step, const void *context,
                       const struct pawl_event *event)
{
    (void)step;
    return event->arg[0] == ((const struct door *)context)->code;
}

static void count_opening(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)event;
    ((struct door *)context)->opened++;
}

static void sound_alarm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    pawl_step_answer(step, ++((struct door *)context)->alarms);
}

static const char *const door_events[] = {"open", "close",       "lock",         "unlock",
                                          "ajar", "power_fails", "power_returns"};

static const struct pawl_state_def door_states[] = {
    {.name = "working", .initial = "closed", .flags = PAWL_STATE_HISTORY},
    {.name = "closed", .parent = "working", .initial = "unlocked"},
    {.name = "unlocked", .parent = "closed"},
    {.name = "locked", .parent = "closed"},
    {.name = "ajar",
     .parent = "working",
     .entry = count_opening,
     .timeout_ns = UINT64_C(30000000000),
     .timeout = "ajar"},
    {.name = "alarm", .parent = "working", .entry = sound_alarm},
    {.name = "dark"},
};

static const struct pawl_transition_def door_transitions[] = {
    {.from = "unlocked", .on = "open", .to = "ajar"},
    {.from = "ajar", .on = "close", .to = "closed"},
    {.from = "ajar", .on = "ajar", .to = "alarm"},
    {.from = "alarm", .on = "close", .to = "closed"},
    {.from = "unlocked", .on = "lock", .to = "locked", .guard = knows_code},
    {.from = "locked", .on = "unlock", .to = "unlocked", .guard = knows_code},
    {.from = "working", .on = "power_fails", .to = "dark"},
    {.from = "dark",
     .on = "power_returns",
     .to = "working",
     .flags = PAWL_TRANSITION_HISTORY,
     .label = "as it was"},
};

static const struct pawl_machine_def door = {
    .name = "door",
    .events = door_events,
    .events_count = ARRAY_LEN(door_events),
    .states = door_states,
    .states_count = ARRAY_LEN(door_states),
    .transitions = door_transitions,
    .transitions_count = ARRAY_LEN(door_transitions),
    .context_size = sizeof(struct door),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};

/* ---- call: deferral, raised events, a named timer, a final state ----------------------------- */

enum { CALL_TIMER_RING_AGAIN };

struct call {
    uint32_t rings;
    uint32_t messages;
};

#define RINGS_MOST    6u
#define RING_EVERY_NS UINT64_C(4000000000)

static bool may_ring(const struct pawl_step *step, const void *context,
                     const struct pawl_event *event)
{
    (void)step, (void)event;
    return ((const struct call *)context)->rings < RINGS_MOST;
}

static void ring(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    ((struct call *)context)->rings++;
    pawl_step_arm(step, CALL_TIMER_RING_AGAIN, RING_EVERY_NS);
}

static void stop_ringing(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context, (void)event;
    pawl_step_cancel(step, CALL_TIMER_RING_AGAIN);
}

static void give_up(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    enum { HANG_UP = 2 };

    (void)context, (void)event;
    pawl_step_raise(step, HANG_UP, 0, 0);
}

static void deliver(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    pawl_step_answer(step, ++((struct call *)context)->messages);
}

static const char *const call_events[] = {"ring", "answer", "hang_up", "message",
                                          "hold", "resume", "expire"};
static const char *const call_keeps_messages[] = {"message", NULL};
static const char *const call_hangs_up[] = {"hang_up", NULL};

static const struct pawl_state_def call_states[] = {
    {.name = "calling", .initial = "ringing"},
    {.name = "ringing",
     .parent = "calling",
     .entry = ring,
     .exit = stop_ringing,
     .defers = call_keeps_messages},
    {.name = "talking", .parent = "calling"},
    {.name = "held",
     .parent = "calling",
     .defers = call_keeps_messages,
     .timeout_ns = UINT64_C(300000000000),
     .timeout = "expire"},
    {.name = "over", .flags = PAWL_STATE_FINAL},
};

static const struct pawl_transition_def call_transitions[] = {
    {.from = "ringing", .on = "ring", .guard = may_ring, .action = ring, .label = "ring again"},
    {.from = "ringing",
     .on = "ring",
     .action = give_up,
     .raises = call_hangs_up,
     .label = "give up"},
    {.from = "ringing", .on = "answer", .to = "talking"},
    {.from = "talking", .on = "message", .action = deliver, .label = "deliver"},
    {.from = "talking", .on = "hold", .to = "held"},
    {.from = "held", .on = "resume", .to = "talking"},
    {.from = "held", .on = "expire", .to = "over"},
    {.from = "calling", .on = "hang_up", .to = "over"},
};

static const struct pawl_timer_def call_timers[] = {
    [CALL_TIMER_RING_AGAIN] = {.name = "ring_again", .event = "ring"},
};

static const struct pawl_machine_def call = {
    .name = "call",
    .events = call_events,
    .events_count = ARRAY_LEN(call_events),
    .states = call_states,
    .states_count = ARRAY_LEN(call_states),
    .transitions = call_transitions,
    .transitions_count = ARRAY_LEN(call_transitions),
    .timers = call_timers,
    .timers_count = ARRAY_LEN(call_timers),
    .cancel = "hang_up",
    .context_size = sizeof(struct call),
    .deferred_max = 16,
};

/* ---- the list -------------------------------------------------------------------------------- */

const struct pawl_machine_def *built_in_machine(unsigned position, const char **summary)
{
    static const struct {
        const struct pawl_machine_def *definition; /* NULL: one of the stress run's */
        enum stress_machine stress;
        const char *summary;
    } list[] = {
        {&turnstile, 0, "an example: two states and a counter"},
        {&door, 0, "an example: nesting, history, guards, a timeout"},
        {&call, 0, "an example: deferral, raised events, a named timer, a final state"},
        {&replay_job_machine, 0, "pawl replay: one job of the log"},
        {&replay_partition_machine, 0, "pawl replay: the processors that the jobs share"},
        {NULL, MACHINE_PORTER, "pawl stress: a resident with a large context"},
        {NULL, MACHINE_RUNNER, "pawl stress: a resident with a small context"},
        {NULL, MACHINE_LIFE, "pawl stress: keyed tasks that come and go"},
        {NULL, MACHINE_SPARK, "pawl stress: tasks that steps create"},
    };

    if (position >= ARRAY_LEN(list))
        return NULL;
    *summary = list[position].summary;
    return list[position].definition ? list[position].definition
                                     : stress_machine_definition(list[position].stress);
}

const struct pawl_machine_def *built_in_machine_named(const char *name)
{
    const struct pawl_machine_def *definition;
    const char *summary;

    for (unsigned i = 0; (definition = built_in_machine(i, &summary)) != NULL; i++) {
        if (strcmp(definition->name, name) == 0)
            return definition;
    }
    return NULL;
}
