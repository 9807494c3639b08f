/*
 * stress_machine.c - the machines of `pawl stress` that come and go: lives, which producers create
 * by key, and sparks, which porters create from inside a step. Residents are in stress_resident.c.
 *
 * None of these handlers can fail, so they count in the shard's side.
 */
#include "stress_machine.h"

#include <stddef.h>

#include "stress.h"

static struct shard_side *side_of(struct pawl_step *step)
{
    struct stress *s = pawl_step_user(step);
    return &s->shards[pawl_step_shard(step)];
}

/* --- life --- */

static uint32_t life_seal(const struct life *life)
{
    uint64_t words = (uint64_t)life->owner << 32 | life->notes;
    return (uint32_t)mix64(words * 2 + life->asleep + 1);
}

bool life_is_sealed(const struct life *life)
{
    return life->seal == life_seal(life);
}

static void life_open(struct pawl_step *step, const struct life *life)
{
    if (!life_is_sealed(life))
        stress_find(pawl_step_user(step), FINDING_TORN,
                    "a step of life %#x (task %#llx) began with a context that no step committed",
                    life->owner, (unsigned long long)pawl_step_task(step).id);
}

/* The creator gives the owner as the first bytes of the context; the rest must be zero. */
static void life_enter_alert(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct life *life = context;
    if (event->code == PAWL_CODE_CREATE) {
        if (life->owner != event->arg[0] || life->notes != 0 || life->asleep != 0 ||
            life->seal != 0)
            stress_find(pawl_step_user(step), FINDING_UNEXPLAINED,
                        "life %#llx was not created as it should be",
                        (unsigned long long)event->arg[0]);
        pawl_step_arm(step, 0, event->arg[1]);
    } else {
        life_open(step, life);
    }
    life->asleep = 0;
    life->seal = life_seal(life);
}

static void life_enter_asleep(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct life *life = context;
    (void)event;
    life_open(step, life);
    life->asleep = 1;
    life->seal = life_seal(life);
}

static void life_exit(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    life_open(step, context);
    if (event->code == PAWL_CODE_CANCEL)
        bump(&side_of(step)->lives_ended);
}

static void life_enter_dead(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context, (void)event;
    bump(&side_of(step)->lives_ended);
}

static void life_on_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct stress *s = pawl_step_user(step);
    struct life *life = context;
    uint32_t number = (uint32_t)event->arg[1];
    life_open(step, life);
    if (event->arg[1] >> 32 != life->owner)
        stress_find(s, FINDING_UNEXPLAINED, "life %#x got a note meant for %#llx", life->owner,
                    (unsigned long long)(event->arg[1] >> 32));
    else if (number != life->notes + 1)
        stress_find(s, number > life->notes ? FINDING_LOST : FINDING_DUPLICATED,
                    "producer %u to life %#x (task %#llx): expected note %u, got %u",
                    life->owner >> 16, life->owner, (unsigned long long)pawl_step_task(step).id,
                    life->notes + 1, number);
    life->notes = number;
    life->seal = life_seal(life);
    bump(&side_of(step)->notes);
    pawl_step_answer(step, answer_to(event->arg[1]));
}

static void life_on_finish(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    life_open(step, context);
    bump(&side_of(step)->lives_ended);
    pawl_step_finish(step);
}

static void life_on_expire(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    life_open(step, context);
    if (!(event->flags & PAWL_EVENT_TIMER))
        stress_find(pawl_step_user(step), FINDING_UNEXPLAINED, "a lifetime lost its timer flag");
    bump(&side_of(step)->fired);
}

static const char *const life_events[] = {
    [LIFE_NOTE] = "note", [LIFE_SLEEP] = "sleep",   [LIFE_WAKE] = "wake",
    [LIFE_END] = "end",   [LIFE_FINISH] = "finish", [LIFE_EXPIRE] = "expire",
};
static const char *const life_defers[] = {"note", NULL};
static const struct pawl_state_def life_states[] = {
    [LIFE_ALERT] = {.name = "alert", .entry = life_enter_alert, .exit = life_exit},
    [LIFE_ASLEEP] =
        {
            .name = "asleep",
            .entry = life_enter_asleep,
            .exit = life_exit,
            .defers = life_defers,
        },
    [LIFE_DEAD] = {.name = "dead", .flags = PAWL_STATE_FINAL, .entry = life_enter_dead},
};
static const struct pawl_transition_def life_transitions[] = {
    {.from = "alert", .on = "note", .action = life_on_note},
    {.from = "alert", .on = "sleep", .to = "asleep"},
    {.from = "alert", .on = "end", .to = "dead"},
    {.from = "alert", .on = "finish", .action = life_on_finish},
    {.from = "alert", .on = "expire", .to = "dead", .action = life_on_expire},
    {.from = "asleep", .on = "wake", .to = "alert"},
    {.from = "asleep", .on = "end", .to = "dead"},
    {.from = "asleep", .on = "finish", .action = life_on_finish},
    {.from = "asleep", .on = "expire", .to = "dead", .action = life_on_expire},
};
static const struct pawl_timer_def life_timers[] = {{"lifetime", "expire"}};
static const struct pawl_machine_def life_def = {
    .name = "life",
    .events = life_events,
    .events_count = ARRAY_LEN(life_events),
    .states = life_states,
    .states_count = ARRAY_LEN(life_states),
    .transitions = life_transitions,
    .transitions_count = ARRAY_LEN(life_transitions),
    .timers = life_timers,
    .timers_count = ARRAY_LEN(life_timers),
    .context_size = sizeof(struct life),
    .unexpected = PAWL_UNEXPECTED_IGNORE,
};

/* --- spark: no context at all --- */

static void spark_enter_lit(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_post(step, &(struct pawl_event){.task.id = event->arg[0],
                                              .code = EV_SPARK,
                                              .arg = {pawl_step_task(step).id, event->arg[1]}});
}

static void spark_on_poke(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context, (void)event;
    bump(&side_of(step)->pokes);
}

static void spark_enter_out(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    if (!(event->flags & PAWL_EVENT_TIMER))
        stress_find(pawl_step_user(step), FINDING_UNEXPLAINED, "a timeout lost its timer flag");
    bump(&side_of(step)->fired);
    bump(&side_of(step)->sparks_ended);
}

static const char *const spark_events[] = {"poke", "burn"};
static const struct pawl_state_def spark_states[] = {
    {.name = "lit", .entry = spark_enter_lit, .timeout_ns = 1500000, .timeout = "burn"},
    {.name = "out", .flags = PAWL_STATE_FINAL, .entry = spark_enter_out},
};
static const struct pawl_transition_def spark_transitions[] = {
    {.from = "lit", .on = "poke", .action = spark_on_poke},
    {.from = "lit", .on = "burn", .to = "out"},
};
static const struct pawl_machine_def spark_def = {
    .name = "spark",
    .events = spark_events,
    .events_count = ARRAY_LEN(spark_events),
    .states = spark_states,
    .states_count = ARRAY_LEN(spark_states),
    .transitions = spark_transitions,
    .transitions_count = ARRAY_LEN(spark_transitions),
};

const struct pawl_machine_def *stress_machine_definition(enum stress_machine machine)
{
    switch (machine) {
    case MACHINE_PORTER:
    case MACHINE_RUNNER:
        return resident_definition(machine == MACHINE_PORTER);
    case MACHINE_LIFE:
        return &life_def;
    case MACHINE_SPARK:
        return &spark_def;
    case STRESS_MACHINES:
        break;
    }
    return NULL;
}
