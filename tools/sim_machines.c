#include "sim_machines.h"

#include <pawl/step.h>
#include <string.h>

#include "base/bits.h"

#define BUFFER_MAX  3000u
#define BUFFER_HUGE 60000u

static const uint16_t context_sizes[SIM_MACHINES] = {
    [SIM_SMALL] = sizeof(struct sim_context),  [SIM_LARGE] = 264,
    [SIM_BULK] = SIM_CONTEXT_WORDS * 8,        [SIM_ASYNC] = 40,
    [SIM_MEMORY] = sizeof(struct sim_context),
};

size_t sim_machine_context_size(enum sim_machine machine)
{
    return context_sizes[machine];
}

/* ---- what a handler has at hand ---- */

struct hand {
    struct pawl_step *step;
    struct sim_hands *hands;
    struct sim_model *model;
    struct sim_task *task;
    struct sim_context *context;
    const struct pawl_event *event;
};

static uint64_t dice(const struct hand *hand, uint64_t sides)
{
    return random_below(hand->hands->random, sides);
}

/* False after a violation: then nothing is done any more. */
static bool enter(struct hand *hand, struct pawl_step *step, void *context,
                  const struct pawl_event *event, size_t *size)
{
    hand->step = step;
    hand->hands = pawl_step_user(step);
    hand->model = hand->hands->model;
    hand->context = context;
    hand->event = event;
    if (hand->model->mute)
        return false;
    /*
     * The machine's number is not told; the model knows it, and so does every context by its task.
     */
    if (hand->context->uid == 0 || hand->context->uid >= hand->model->tasks_count) {
        sim_fail(hand->model, "steps", "a context came that is no task's");
        return false;
    }
    *size = context_sizes[hand->model->tasks[hand->context->uid].machine];
    hand->task = sim_step_enter(hand->model, step, event, context, *size);
    if (hand->task != NULL && hand->task->uid != hand->context->uid)
        sim_fail(hand->model, "steps", "task %u has the context of task %u", hand->task->uid,
                 hand->context->uid);
    return hand->task != NULL && !hand->model->failed;
}

/* Each function of a step leaves its mark in the chain, and in words all over a larger context. */
static void leave(const struct hand *hand, size_t size)
{
    const uint64_t first = sizeof(struct sim_context) / 8;
    uint64_t *words = (uint64_t *)(void *)hand->context;
    uint64_t chain = sim_mix(hand->context->chain,
                             (uint64_t)hand->event->code << 32 | sim_letter_number(hand->event));

    hand->context->chain = chain;
    hand->context->steps++;
    if (size / 8 > first)
        for (unsigned i = 0; i < 4; i++)
            words[first + sim_mix(chain, i) % (size / 8 - first)] = chain + i;
    sim_step_leave(hand->model, hand->context, size);
}

/* ---- what a task does ---- */

const struct sim_task *sim_pick(struct sim_hands *hands, const struct sim_task *from,
                                bool sync_only)
{
    struct sim_model *model = hands->model;

    for (unsigned tries = 0; tries < 12 && model->alive_count > 0; tries++) {
        const uint32_t at = (uint32_t)random_below(hands->random, model->alive_count);
        const struct sim_task *task = &model->tasks[model->alive[at]];

        if ((!sync_only || sim_is_sync(task->machine)) && sim_step_knows(model, from, task))
            return task;
    }
    return NULL;
}

static void send(const struct hand *hand, uint16_t code, bool control)
{
    const struct sim_task *to = sim_pick(hand->hands, hand->task, false);
    struct pawl_event event = {.code = code, .flags = control ? PAWL_EVENT_CONTROL : 0};
    uint32_t number;

    if (to == NULL)
        return;
    number = sim_letter(hand->model, hand->task, to, code, 0, 0);
    event.task.id = to->id;
    event.arg[0] = number;
    if (pawl_step_post(hand->step, &event) != 0)
        sim_step_fails(hand->model);
}

static void send_buffer(const struct hand *hand)
{
    const struct sim_task *to = sim_pick(hand->hands, hand->task, false);
    const size_t size = 1 + dice(hand, dice(hand, 40) == 0 ? BUFFER_HUGE : BUFFER_MAX);
    struct pawl_buffer *buffer;
    struct pawl_event event = {.code = SIM_WORK, .flags = PAWL_EVENT_BUFFER};
    uint32_t number;

    if (to == NULL)
        return;
    buffer = pawl_buffer_create(size);
    if (buffer == NULL)
        return;
    number = sim_letter(hand->model, hand->task, to, SIM_WORK, hand->model->letters_count,
                        (uint32_t)size);
    sim_letter_bytes(number, pawl_buffer_bytes(buffer), size);
    event.task.id = to->id;
    event.arg[0] = (uint64_t)(uintptr_t)buffer;
    event.arg[1] = number;
    if (pawl_step_post(hand->step, &event) != 0) {
        pawl_buffer_unref(buffer);
        sim_step_fails(hand->model);
    }
}

static void give(const struct hand *hand)
{
    const struct sim_task *to = sim_pick(hand->hands, hand->task, true);
    struct pawl_event event = {.code = SIM_GIVE};
    uint32_t amount;

    if (to == NULL || !sim_is_sync(hand->task->machine) || hand->context->tokens == 0)
        return;
    amount = 1 + (uint32_t)dice(hand, hand->context->tokens);
    event.task.id = to->id;
    event.arg[0] = sim_letter(hand->model, hand->task, to, SIM_GIVE, amount, 0);
    event.arg[1] = amount;
    hand->context->tokens -= amount;
    if (pawl_step_post(hand->step, &event) != 0)
        sim_step_fails(hand->model);
}

static void ask(const struct hand *hand)
{
    const bool sync = sim_is_sync(hand->task->machine);
    const struct sim_task *to = sim_pick(hand->hands, hand->task, sync);
    struct pawl_event event = {.code = SIM_ASK};

    if (to == NULL)
        return;
    event.task.id = to->id;
    event.arg[0] = sim_letter(hand->model, hand->task, to, SIM_ASK, 0, 0);
    if (sync)
        hand->task->due++;
    if (pawl_step_ask(hand->step, &event, SIM_REPLY) != 0)
        sim_step_fails(hand->model);
}

void sim_spec(struct sim_hands *hands, struct sim_task *task, uint32_t letter, uint32_t tokens,
              struct sim_context *context, char *key, struct pawl_task_spec *spec)
{
    *context = (struct sim_context){.uid = task->uid, .tokens = tokens};
    task->letter = letter;
    task->context = *context;
    *spec = (struct pawl_task_spec){.machine = task->machine,
                                    .shard =
                                        (uint32_t)random_below(hands->random, hands->model->shards),
                                    .context = context,
                                    .context_size = sizeof(*context),
                                    .arg = {letter, 0}};
    if (random_below(hands->random, 3) == 0) {
        task->key = 1 + (uint32_t)random_below(hands->random, hands->keys);
        spec->key_size = (size_t)snprintf(key, 16, "k%u", task->key);
        spec->key = key;
    }
    /* As the first walk over the new task will see it. */
    {
        uint64_t words[SIM_CONTEXT_WORDS] = {0};

        memcpy(words, context, sizeof(*context));
        task->hash = sim_context_hash(words, sim_machine_context_size(task->machine));
        task->first_hash = task->hash;
    }
}

static void create(const struct hand *hand)
{
    static const enum sim_machine like[] = {SIM_SMALL, SIM_SMALL,  SIM_LARGE,
                                            SIM_ASYNC, SIM_MEMORY, SIM_BULK};
    struct sim_model *model = hand->model;
    struct sim_task *task = sim_task_plan(model, like[dice(hand, sizeof(like) / sizeof(like[0]))]);
    const bool counted = sim_is_sync(hand->task->machine) && sim_is_sync(task->machine);
    /* A creation's letter goes to the planned task, whose shard nobody knows yet. */
    const uint32_t letter = sim_letter(model, hand->task, task, SIM_CREATION, 0, 0);
    struct pawl_task_spec spec;
    struct sim_context context;
    struct pawl_task made;
    char key[16];
    int error;

    sim_spec(hand->hands, task, letter, 0, &context, key, &spec);
    error = pawl_step_create(hand->step, &spec, counted ? SIM_BORN : PAWL_NO_REPLY, &made);
    if (error == -EEXIST) {
        const struct sim_task *holder = sim_task_by_id(model, made.id);

        /* One that came to life in this turn is not known yet. */
        if (holder != NULL && holder->key != task->key)
            sim_fail(model, "ids",
                     "task %u could not be created because %llx has its key, and it has not",
                     task->uid, (unsigned long long)made.id);
        sim_letter_withdraw(model, letter);
        return;
    }
    if (error != 0)
        sim_step_fails(model);
    else if (made.id != 0)
        sim_task_name(model, task, made.id);
    else if (counted)
        hand->task->due++;
}

static void arm(const struct hand *hand)
{
    const unsigned timer = (unsigned)dice(hand, SIM_TIMER_BUSY);
    const uint64_t delay =
        dice(hand, 8) == 0 ? dice(hand, 1000) * SIM_TICK_NS : dice(hand, 20 * SIM_TICK_NS);

    sim_step_arms(hand->model, timer, delay);
    if (pawl_step_arm(hand->step, timer, delay) != 0)
        sim_step_fails(hand->model);
}

static void cancel(const struct hand *hand)
{
    const unsigned timer = (unsigned)dice(hand, SIM_TIMER_BUSY);

    sim_step_cancels(hand->model, timer);
    if (pawl_step_cancel(hand->step, timer) != 0)
        sim_step_fails(hand->model);
}

static void raise_one(const struct hand *hand)
{
    if (pawl_step_raise(hand->step, SIM_RAISED, 0, 0) != 0)
        sim_step_fails(hand->model);
}

static void one_thing(const struct hand *hand)
{
    static const uint16_t codes[] = {SIM_WORK, SIM_WORK,  SIM_WORK,   SIM_START, SIM_START,
                                     SIM_REST, SIM_PAUSE, SIM_RESUME, SIM_END};
    const bool quiet = hand->model->open >= hand->hands->open_max || sim_is_full(hand->model);
    const uint64_t thing = dice(hand, 32);

    if (hand->hands->calm)
        return;
    if (thing < 12 && !quiet)
        send(hand, codes[dice(hand, sizeof(codes) / sizeof(codes[0]))], dice(hand, 8) == 0);
    else if (thing < 16 && !quiet)
        give(hand);
    else if (thing < 18 && !quiet)
        send_buffer(hand);
    else if (thing < 21 && !quiet)
        ask(hand);
    else if (thing < 24 && !quiet && hand->model->alive_count < hand->hands->alive_max)
        create(hand);
    else if (thing < 28)
        arm(hand);
    else if (thing < 29)
        cancel(hand);
    else if (thing < 31)
        raise_one(hand);
}

static void work(const struct hand *hand)
{
    const uint64_t things = dice(hand, 4);

    if (dice(hand, 64) == 0 && !hand->hands->calm) {
        sim_step_fails(hand->model);
        if (dice(hand, 2) == 0 && (hand->event->flags & PAWL_EVENT_TIMER) == 0)
            pawl_step_defer(hand->step);
        else
            pawl_step_abort(hand->step, -ECANCELED);
        return;
    }
    for (uint64_t i = 0; i < things && !hand->model->failed; i++)
        one_thing(hand);
}

static void on_event(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct hand hand;
    size_t size;

    if (!enter(&hand, step, context, event, &size))
        return;
    switch (event->code) {
    case SIM_WORK:
        work(&hand);
        break;
    case SIM_TIMER:
        one_thing(&hand);
        break;
    case SIM_GIVE:
        hand.context->tokens += (uint32_t)event->arg[1];
        break;
    case SIM_ASK:
        pawl_step_answer(step, event->arg[0]);
        break;
    default:
        break;
    }
    leave(&hand, size);
}

/* Entries and exits. */
static void on_pass(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct hand hand;
    size_t size;

    if (enter(&hand, step, context, event, &size))
        leave(&hand, size);
}

static bool is_well(const struct pawl_step *step, const void *context,
                    const struct pawl_event *event)
{
    (void)step, (void)event;
    return ((const struct sim_context *)context)->uid != 0;
}

/* ---- the chart ---- */

static const char *const events[SIM_CODES] = {"work",    "give",   "start", "rest", "pause",
                                              "resume",  "ask",    "reply", "born", "timer",
                                              "timeout", "raised", "stop",  "end"};
static const char *const raises[] = {"raised", NULL};
static const char *const busy_defers[] = {"work", NULL};
static const char *const paused_defers[] = {"work", "give", NULL};
static const struct pawl_timer_def timers[] = {{"a", "timer"}, {"b", "timer"}};

static const struct pawl_transition_def transitions[] = {
    {.from = "idle", .on = "work", .action = on_event, .raises = raises},
    {.from = "live", .on = "give", .action = on_event},
    {.from = "idle", .on = "start", .to = "busy", .action = on_event},
    {.from = "busy", .on = "rest", .to = "idle", .action = on_event},
    {.from = "busy", .on = "timeout", .to = "idle", .action = on_event},
    {.from = "live", .on = "pause", .to = "paused", .action = on_event},
    {.from = "paused",
     .on = "resume",
     .to = "live",
     .action = on_event,
     .flags = PAWL_TRANSITION_HISTORY},
    {.from = "live", .on = "ask", .guard = is_well, .action = on_event},
    {.from = "paused", .on = "ask", .action = on_event},
    {.from = "live", .on = "reply", .action = on_event},
    {.from = "paused", .on = "reply", .action = on_event},
    {.from = "live", .on = "born", .action = on_event},
    {.from = "paused", .on = "born", .action = on_event},
    {.from = "live", .on = "timer", .action = on_event, .raises = raises},
    {.from = "paused", .on = "timer", .action = on_event, .raises = raises},
    {.from = "live", .on = "raised", .action = on_event},
    {.from = "paused", .on = "raised", .action = on_event},
    {.from = "live", .on = "stop", .to = "done", .action = on_event},
    {.from = "paused", .on = "stop", .to = "done", .action = on_event},
    {.from = "live", .on = "end", .to = "done", .action = on_event},
    {.from = "paused", .on = "end", .to = "done", .action = on_event},
};

static int compile(enum sim_machine machine, bool store, struct pawl_machine **compiled)
{
    struct pawl_state_def states[SIM_STATES] = {
        [SIM_LIVE] = {.name = "live", .initial = "idle", .flags = PAWL_STATE_HISTORY},
        [SIM_IDLE] = {.name = "idle", .parent = "live"},
        [SIM_BUSY] = {.name = "busy",
                      .parent = "live",
                      .entry = on_pass,
                      .exit = on_pass,
                      .defers = busy_defers,
                      .timeout_ns = SIM_BUSY_NS,
                      .timeout = "timeout"},
        [SIM_PAUSED] = {.name = "paused", .entry = on_pass, .defers = paused_defers},
        [SIM_DONE] = {.name = "done", .flags = PAWL_STATE_FINAL},
    };
    struct pawl_machine_def definition = {
        .name = sim_machine_name(machine),
        .events = events,
        .events_count = ARRAY_LEN(events),
        .states = states,
        .states_count = ARRAY_LEN(states),
        .transitions = transitions,
        .transitions_count = ARRAY_LEN(transitions),
        .timers = timers,
        .timers_count = ARRAY_LEN(timers),
        .initial = "live",
        .cancel = machine == SIM_MEMORY ? NULL : "stop",
        .context_size = context_sizes[machine],
        .unexpected = machine == SIM_ASYNC ? PAWL_UNEXPECTED_DEFER : PAWL_UNEXPECTED_REFUSE,
        .durability = sim_is_sync(machine)   ? PAWL_DURABILITY_SYNC
                      : machine == SIM_ASYNC ? PAWL_DURABILITY_ASYNC
                                             : PAWL_DURABILITY_MEMORY,
        .deferred_max = 24,
    };

    if (!store)
        definition.durability = PAWL_DURABILITY_MEMORY;
    /* The kinds without one come to life without a first step. */
    if (machine != SIM_SMALL && machine != SIM_MEMORY)
        states[SIM_IDLE].entry = on_pass;
    return pawl_machine_compile(&definition, NULL, NULL, compiled);
}

int sim_machines_compile(struct pawl_machine *machines[SIM_MACHINES], bool store)
{
    for (unsigned i = 0; i < SIM_MACHINES; i++) {
        const int error = compile((enum sim_machine)i, store, &machines[i]);

        if (error != 0) {
            while (i-- > 0)
                pawl_machine_destroy(machines[i]);
            return error;
        }
    }
    return 0;
}

void sim_machines_destroy(struct pawl_machine *machines[SIM_MACHINES])
{
    for (unsigned i = 0; i < SIM_MACHINES; i++)
        pawl_machine_destroy(machines[i]);
}
