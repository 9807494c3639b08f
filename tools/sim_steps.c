/*
 * sim_steps.c - the model follows the runtime step by step: what a step begins with, where it
 * leads, what it leaves, and whether it took place at all.
 *
 * Handlers cannot know whether their step will stand. So what they do is staged here too, until
 * something else happens: then a look at the task says whether its version has grown.
 */
#include <inttypes.h>
#include <pawl/step.h>
#include <stdlib.h>
#include <string.h>

#include "sim_model.h"

uint64_t sim_context_hash(const void *context, size_t size)
{
    const uint64_t *words = context;
    uint64_t hash = size;

    for (size_t i = 0; i < size / 8; i++)
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
    return hash;
}

void sim_raise_floor(struct sim_model *model, unsigned shard, uint64_t turn)
{
    struct sim_shard *of = &model->shard[shard];

    if (!model->frozen && turn > of->floor)
        of->floor = turn;
}

void sim_touch(struct sim_model *model, const struct sim_task *before)
{
    struct sim_shard *shard = &model->shard[model->turning];
    struct sim_task *task = &model->tasks[before->uid];

    if (task->touched == shard->turns_count + 1)
        return;
    task->touched = shard->turns_count + 1;
    if (shard->log_count == shard->log_capacity) {
        shard->log_capacity *= 2;
        shard->log = realloc(shard->log, shard->log_capacity * sizeof(*shard->log));
        if (shard->log == NULL)
            abort();
    }
    shard->log[shard->log_count++] =
        (struct sim_before){.turn = shard->turns_count, .task = *before};
}

/* ---- what is legal ---- */

/* Where an event leads; SIM_STATES: nowhere, no handler should have been called. */
static uint32_t leads_to(const struct sim_task *task, uint16_t code, uint32_t *remembered)
{
    *remembered = task->remembered;
    switch (code) {
    case SIM_CREATION:
        *remembered = SIM_IDLE;
        return SIM_IDLE;
    case SIM_WORK:
        return task->state == SIM_IDLE ? SIM_IDLE : (uint32_t)SIM_STATES;
    case SIM_GIVE:
        return task->state != SIM_PAUSED ? task->state : (uint32_t)SIM_STATES;
    case SIM_START:
        return task->state == SIM_IDLE ? SIM_BUSY : SIM_STATES;
    case SIM_REST:
    case SIM_TIMEOUT:
        return task->state == SIM_BUSY ? SIM_IDLE : SIM_STATES;
    case SIM_PAUSE:
        if (task->state == SIM_PAUSED)
            return SIM_STATES;
        *remembered = task->state;
        return SIM_PAUSED;
    case SIM_RESUME:
        return task->state == SIM_PAUSED ? task->remembered : (uint32_t)SIM_STATES;
    case SIM_ASK:
    case SIM_REPLY:
    case SIM_BORN:
    case SIM_TIMER:
        return task->state;
    case SIM_STOP:
    case SIM_END:
    case SIM_CANCELLING:
        return SIM_DONE;
    default:
        return SIM_STATES;
    }
}

static void check_timer(struct sim_model *model, struct sim_task *task,
                        const struct pawl_event *event)
{
    struct sim_timer *timer = &task->timers[event->arg[0] % SIM_TIMERS];

    if (event->arg[0] >= SIM_TIMERS || !timer->armed)
        sim_fail(model, "timers", "timer %" PRIu64 " of task %" PRIu32 " fired and was not armed",
                 event->arg[0], task->uid);
    else if (model->now_ns < timer->from_ns)
        sim_fail(model, "timers",
                 "timer %" PRIu64 " of task %" PRIu32 " fired at %.3f ms, before its time, %.3f ms",
                 event->arg[0], task->uid, (double)model->now_ns / 1e6,
                 (double)timer->from_ns / 1e6);
    timer->armed = false;
}

static void check_reply(struct sim_model *model, struct sim_task *task,
                        const struct pawl_event *event)
{
    const struct sim_letter *ask = sim_letter_at(model, event->arg[0]);

    if (sim_is_sync(task->machine) && --task->due < 0)
        sim_fail(model, "letters", "task %" PRIu32 " got an answer more than it had asked for",
                 task->uid);
    if (event->arg[1] != 0) {
        sim_refused(model, task, event);
        return;
    }
    if (ask == NULL || ask->from_uid != task->uid || ask->code != SIM_ASK) {
        sim_fail(model, "letters",
                 "task %" PRIu32 " got the answer %" PRIu64 " to a question that it never asked",
                 task->uid, event->arg[0]);
        return;
    }
    if (ask->fate == SIM_TAKEN && sim_is_sync(model->tasks[ask->to_uid].machine) &&
        ask->to_shard != model->turning)
        sim_raise_floor(model, ask->to_shard, ask->taken_at);
}

static void check_born(struct sim_model *model, struct sim_task *task,
                       const struct pawl_event *event)
{
    struct sim_task *born = sim_task_by_id(model, event->arg[0]);

    if (sim_is_sync(task->machine) && --task->due < 0)
        sim_fail(model, "letters", "task %" PRIu32 " was told of a birth that it had not asked for",
                 task->uid);
    if (born == NULL) {
        if (event->arg[1] == 0 || event->arg[0] != 0)
            sim_fail(model, "ids",
                     "task %" PRIu32 " was told of a task %" PRIx64 " that nobody has seen",
                     task->uid, event->arg[0]);
        return;
    }
    if (event->arg[1] != 0) {
        sim_refused(model, task, event);
        return;
    }
    born->told = true;
    if (sim_is_sync(born->machine) && born->shard != model->turning)
        sim_raise_floor(model, born->shard, born->born_turn);
}

/* ---- beginning ---- */

static void arm(struct sim_task *task, unsigned timer, uint64_t at_ns)
{
    task->timers[timer] =
        (struct sim_timer){.armed = true, .from_ns = at_ns, .to_ns = at_ns + SIM_TICK_NS};
}

void sim_step_born(struct sim_model *model, struct sim_task *task, const struct pawl_view *view)
{
    struct sim_shard *shard = &model->shard[model->turning];
    const struct sim_letter *letter = sim_letter_at(model, task->letter);
    const struct sim_task before = *task;

    if (letter == NULL ||
        (letter->fate != SIM_EXPECTED && letter->fate != SIM_MAYBE && letter->fate != SIM_STAGED)) {
        sim_fail(model, "letters",
                 "task %" PRIu32 " came to life although its creation must not be handled",
                 task->uid);
        return;
    }
    sim_touch(model, &before);
    sim_task_name(model, task, view->task.id);
    task->life = SIM_ALIVE;
    task->shard = model->turning;
    task->state = SIM_IDLE;
    task->remembered = SIM_IDLE;
    task->version = view->version;
    task->born_turn = shard->turns_count;
    sim_task_list(model, task);
    shard->hash += sim_task_hash(task);
    /* One that comes to life within the very step that creates it, here, is part of that step. */
    if (letter->sender == SIM_FROM_SYNC && letter->from_shard != model->turning)
        sim_raise_floor(model, letter->from_shard, letter->sent_at);
    sim_letter_taken(model, task->letter, task, false);
    sim_note(model, task, task->letter, SIM_CREATION, SIM_IDLE, SIM_IDLE, "alive");
}

/* The task of a step that begins: known, new, or alive since just now. */
static struct sim_task *task_of(struct sim_model *model, uint64_t id,
                                const struct pawl_event *event, const struct sim_context *context)
{
    struct sim_task *task = sim_task_by_id(model, id);
    struct pawl_view view;

    if (task != NULL && task->life == SIM_ALIVE)
        return task;
    if (event->code == SIM_CREATION) {
        const struct sim_letter *letter = sim_letter_at(model, event->arg[0]);

        task = letter != NULL ? &model->tasks[letter->to_uid] : NULL;
    } else {
        task = context->uid < model->tasks_count ? &model->tasks[context->uid] : NULL;
    }
    if (task == NULL || task->uid == 0 || task->life != SIM_UNBORN) {
        sim_fail(model, "steps", "a step of task %" PRIx64 " (%s), which is not there", id,
                 sim_code_name(event->code));
        return NULL;
    }
    if (event->code != SIM_CREATION) {
        memset(&view, 0, sizeof(view));
        if (pawl_task_peek(model->runtime, (struct pawl_task){id}, &view) != 0) {
            sim_fail(model, "steps", "a step of task %" PRIx64 ", which is not alive", id);
            return NULL;
        }
        sim_step_born(model, task, &view);
    }
    return task;
}

/*
 * Whether this is another function of the step under way. Two steps may handle events that are
 * alike to the last bit; between them the task's version has grown, or the context is what it was
 * before the first.
 */
static bool is_same(const struct sim_model *model, const struct sim_task *task,
                    const struct pawl_event *event, uint64_t context_hash)
{
    const struct sim_step *step = &model->step;
    struct pawl_view view = {.context = NULL};

    if (!step->open || step->fails || task == NULL || task->uid != step->uid)
        return false;
    if (event->code != SIM_RAISED && (event->code != step->code || event->arg[0] != step->arg[0] ||
                                      event->arg[1] != step->arg[1]))
        return false;
    if (context_hash != task->hash && context_hash == step->before.hash)
        return false;
    return step->creates ||
           (pawl_task_peek(model->runtime, (struct pawl_task){task->id}, &view) == 0 &&
            view.version == step->before.version);
}

static void begin(struct sim_model *model, struct sim_task *task, const struct pawl_event *event,
                  const void *context, size_t size)
{
    struct sim_step *step = &model->step;

    step->before = *task;
    step->open = true;
    step->fails = false;
    step->uid = task->uid;
    step->letter = sim_letter_number(event);
    step->letters = model->letters_count;
    step->code = event->code;
    memcpy(step->arg, event->arg, sizeof(step->arg));
    step->creates = task->life == SIM_UNBORN;
    if (event->code == SIM_CREATION && !step->creates)
        sim_fail(model, "letters", "task %" PRIu32 " was created twice", task->uid);
    if (step->letter != 0)
        sim_letter_seen(model, step->letter, task, event);
    else if ((event->code == SIM_STOP || event->code == SIM_CANCELLING) && task->cancels <= 0)
        sim_fail(model, "letters", "task %" PRIu32 " was cancelled by nobody", task->uid);
    if (!step->creates && sim_context_hash(context, size) != task->hash)
        sim_fail(model, "steps",
                 "task %" PRIu32 " begins a step (%s) with a context that no step has left",
                 task->uid, sim_code_name(event->code));
    step->state = leads_to(task, event->code, &step->remembered);
    if (step->state == SIM_STATES)
        sim_fail(model, "steps",
                 "task %" PRIu32 ", %s, took the event %s, which it must not take there", task->uid,
                 sim_state_name(task->state), sim_code_name(event->code));
    if ((event->flags & PAWL_EVENT_TIMER) != 0)
        check_timer(model, task, event);
    if (event->code == SIM_REPLY)
        check_reply(model, task, event);
    if (event->code == SIM_BORN)
        check_born(model, task, event);
    /* The timeout of the busy state, as its entry and its exit set it. */
    if (step->state != task->state) {
        task->timers[SIM_TIMER_BUSY].armed = false;
        if (step->state == SIM_BUSY)
            arm(task, SIM_TIMER_BUSY, model->now_ns + SIM_BUSY_NS);
    }
}

struct sim_task *sim_step_enter(struct sim_model *model, const struct pawl_step *pawl_step,
                                const struct pawl_event *event, const void *context, size_t size)
{
    const uint64_t id = pawl_step_task(pawl_step).id;
    const uint64_t hash = sim_context_hash(context, size);
    struct sim_task *task;

    if (model->failed || model->mute)
        return NULL;
    task = sim_task_by_id(model, id);
    if (is_same(model, task, event, hash)) {
        if (hash != task->hash)
            sim_fail(model, "steps",
                     "the context of task %" PRIu32 " changed between two functions of a step",
                     task->uid);
        return task;
    }
    sim_step_settle(model);
    if (pawl_step_shard(pawl_step) != model->turning ||
        pawl_step_now_ns(pawl_step) != model->now_ns)
        sim_fail(model, "steps",
                 "a step of task %" PRIx64 " runs on the wrong shard or at a wrong time", id);
    task = model->failed ? NULL : task_of(model, id, event, context);
    if (task == NULL)
        return NULL;
    begin(model, task, event, context, size);
    if (model->step.creates)
        sim_task_name(model, task, id);
    return model->failed ? NULL : task;
}

void sim_step_leave(struct sim_model *model, const void *context, size_t size)
{
    struct sim_task *task = &model->tasks[model->step.uid];

    if (model->failed)
        return;
    memcpy(&task->context, context, sizeof(task->context));
    task->hash = sim_context_hash(context, size);
}

void sim_step_fails(struct sim_model *model)
{
    model->step.fails = true;
}

void sim_step_arms(struct sim_model *model, unsigned timer, uint64_t delay_ns)
{
    arm(&model->tasks[model->step.uid], timer, model->now_ns + delay_ns);
}

void sim_step_cancels(struct sim_model *model, unsigned timer)
{
    model->tasks[model->step.uid].timers[timer].armed = false;
}

bool sim_step_knows(const struct sim_model *model, const struct sim_task *from,
                    const struct sim_task *to)
{
    return to->life == SIM_ALIVE &&
           (to->told || !sim_is_durable(to->machine) ||
            (from != NULL && to->shard == from->shard) ||
            (to->shard < model->shards && to->born_turn <= model->shard[to->shard].floor));
}

/* ---- ending ---- */

static void letters_of_step(struct sim_model *model, bool stands)
{
    for (uint32_t i = model->step.letters; i < model->letters_count; i++) {
        struct sim_letter *letter = &model->letters[i];

        if (letter->fate != SIM_STAGED)
            continue;
        if (!stands) {
            sim_letter_withdraw(model, i);
            continue;
        }
        letter->fate = SIM_EXPECTED; /* still one that may come: no count changes */
        letter->sent_at = model->shard[model->turning].turns_count;
    }
}

static void step_stands(struct sim_model *model, uint32_t version)
{
    struct sim_step *step = &model->step;
    struct sim_shard *shard = &model->shard[model->turning];
    struct sim_task *task = &model->tasks[step->uid];

    sim_touch(model, &step->before);
    shard->hash -= sim_task_hash(&step->before);
    task->version = version;
    task->state = step->state;
    task->remembered = step->remembered;
    task->life = step->state == SIM_DONE ? SIM_ENDED : SIM_ALIVE;
    if (step->creates) {
        task->shard = model->turning;
        task->born_turn = shard->turns_count;
    }
    if (task->life == SIM_ENDED) {
        task->ended_turn = shard->turns_count;
        memset(task->timers, 0, sizeof(task->timers));
    }
    sim_task_list(model, task);
    shard->hash += sim_task_hash(task);
    letters_of_step(model, true);
    if (step->letter != 0)
        sim_letter_taken(model, step->letter, task, false);
    model->steps++;
    sim_note(model, task, step->letter, step->code, step->creates ? SIM_IDLE : step->before.state,
             step->state, "");
    model->digest = sim_mix(model->digest, task->hash);
}

static void step_falls(struct sim_model *model)
{
    struct sim_step *step = &model->step;
    struct sim_task *task = &model->tasks[step->uid];
    const uint64_t id = task->id;

    sim_note(model, task, step->letter, step->code, 0, 0, "took no effect");
    *task = step->before;
    task->id = id; /* as it stands in the table of ids */
    letters_of_step(model, false);
}

/* Tasks that a step has created here, whose machine needs no first step, are alive now. */
static void look_for_births(struct sim_model *model, uint32_t letters)
{
    for (uint32_t i = letters; i < model->letters_count; i++) {
        struct sim_task *task = &model->tasks[model->letters[i].to_uid];
        struct pawl_view view = {.context = NULL};

        if (model->letters[i].code == SIM_CREATION && model->letters[i].fate == SIM_EXPECTED &&
            task->id != 0 && task->life == SIM_UNBORN &&
            pawl_task_peek(model->runtime, (struct pawl_task){task->id}, &view) == 0)
            sim_step_born(model, task, &view);
    }
}

void sim_step_settle(struct sim_model *model)
{
    struct sim_step *step = &model->step;
    struct sim_task *task = &model->tasks[step->uid];
    uint64_t words[SIM_CONTEXT_WORDS];
    struct pawl_view view = {.context = words, .context_capacity = sizeof(words)};
    bool there, grown, cancelled;

    if (!step->open || model->failed)
        return;
    step->open = false;
    there = pawl_task_peek(model->runtime, (struct pawl_task){task->id}, &view) == 0;
    grown = there && (step->creates || view.version != step->before.version);
    if (step->fails || (there && !grown) || (!there && step->creates)) {
        if (grown || (!there && !step->creates))
            sim_fail(model, "steps",
                     "a step of task %" PRIu32 " (%s) gave up and took effect all the same",
                     task->uid, sim_code_name(step->code));
        step_falls(model);
        return;
    }
    /* The end of such a task by a cancel, after this step, runs no function that could tell. */
    cancelled =
        !there && step->state != SIM_DONE && task->machine == SIM_MEMORY && task->cancels > 0;
    if (!cancelled && there != (step->state != SIM_DONE)) {
        sim_fail(model, "steps", "task %" PRIu32 " should be %s after %s, and is %s", task->uid,
                 sim_state_name(step->state), sim_code_name(step->code),
                 there ? sim_state_name(view.state) : "gone");
        return;
    }
    if (there &&
        (view.state != step->state || sim_context_hash(words, view.context_size) != task->hash ||
         (!step->creates && view.version != step->before.version + 1)))
        sim_fail(model, "steps",
                 "task %" PRIu32 " is %s, version %" PRIu32 " after %s from %s, version %" PRIu32
                 ", or has another context than its handlers left",
                 task->uid, sim_state_name(view.state), view.version, sim_code_name(step->code),
                 sim_state_name(step->before.state), step->before.version);
    step_stands(model, there ? view.version : step->before.version + 1);
    if (cancelled) {
        task->life = SIM_ENDED;
        sim_task_list(model, task);
    }
    look_for_births(model, step->letters);
}
