/*
 * stress_resident.c - the residents of `pawl stress`: their handlers check every event they get
 * (stress.h says how) and attack the runtime from inside a step.
 *
 * A count in the context is part of the step and vanishes with it when the step is given up; a
 * count in a shard_side would not. So the latter is used only by handlers whose step cannot fail.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "stress_body.h"

static void on_work(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    uint64_t work = event->arg[0];
    uint64_t key = event->arg[1];
    if (work_op(work) == OP_ABORT || work_op(work) == OP_ABORT_LATE) {
        work_give_up(&b, step, work, key);
    } else if (body_accept_lane(&b, step, work_sender(work), key)) {
        work_run(&b, step, work);
        pawl_step_answer(step, answer_to(key));
    }
    body_close(&b);
    if (unlikely(work_op(work) == OP_TEAR) && b.porter != NULL)
        b.porter->seal ^= 1;
    else if (unlikely(work_op(work) == OP_TEAR))
        b.runner->seal ^= 1;
}

static void on_parcel(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    struct pawl_buffer *buffer = (struct pawl_buffer *)(uintptr_t)event->arg[0];
    uint64_t words[PARCEL_WORDS] = {0};
    uint64_t key = event->arg[1];
    if (pawl_buffer_size(buffer) == sizeof(words))
        memcpy(words, pawl_buffer_bytes(buffer), sizeof(words));
    if (!(event->flags & PAWL_EVENT_BUFFER) || words[1] != key || words[2] != answer_to(key))
        stress_find_key(b.s, FINDING_UNEXPLAINED, key, "came with the buffer of another (%u bytes)",
                        (unsigned)pawl_buffer_size(buffer));
    else if (body_accept_lane(&b, step, work_sender(words[0]), key))
        pawl_step_answer(step, answer_to(key));
    body_close(&b);
}

static void on_pause(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    if (body_accept_lane(&b, step, work_sender(event->arg[0]), event->arg[1]))
        pawl_step_answer(step, answer_to(event->arg[1]));
    if (b.porter != NULL)
        b.porter->remembered = b.common->head >> HEAD_WHERE;
    body_close(&b);
}

static void on_resume(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    (void)event;
    bump(&body_side(&b, step)->resumed);
    body_close(&b);
}

static void on_lapse(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    if (!(event->flags & PAWL_EVENT_TIMER))
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u: a timeout came without the timer flag",
                    b.index);
    bump(&body_side(&b, step)->lapsed);
    bump(&body_side(&b, step)->fired);
    body_close(&b);
}

static void on_chain(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    uint64_t key = event->arg[1];
    uint32_t from = work_detail(event->arg[0]);
    if (key_index(key) != b.index || from != stress_predecessor(b.s, b.index))
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u got a chain event of %u meant for %u",
                    b.index, from, key_index(key));
    else if (body_accept(&b, step, &b.common->chain_in, key) && work_hops(event->arg[0]) > 0)
        work_chain(&b, step, work_hops(event->arg[0]) - 1);
    body_close(&b);
    if (key_sequence(key) % 64 == 0) {
        /* Handlers may read other tasks; its own it sees as it was before this step. */
        struct pawl_view view = {.context = NULL};
        struct pawl_task next = {b.s->handles[stress_successor(b.s, b.index)]};
        int rc = pawl_task_peek(b.s->runtime, next, &view);
        if (rc != 0 || view.task.id != next.id)
            stress_find(b.s, FINDING_UNEXPLAINED, "a handler's peek at task %#llx says: %s",
                        (unsigned long long)next.id, rc != 0 ? pawl_strerror(rc) : "another task");
    }
}

static void on_query(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    uint64_t key = event->arg[0];
    if (key_index(key) != b.index || key_lane(key) != LANE_ASK || !(event->flags & PAWL_EVENT_ASK))
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u got a question meant for %u", b.index,
                    key_index(key));
    pawl_step_answer(step, answer_to(key));
    body_close(&b);
}

static void on_reply(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    uint32_t next = stress_successor(b.s, b.index);
    uint64_t key = key_make(next, LANE_ASK, ++b.porter->replies);
    int error = (int)(int64_t)event->arg[1];
    if (error == -ENOSPC)
        bump(&body_side(&b, step)->asks_failed);
    else if (error != 0)
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u asked %u and was told: %s", b.index,
                    next, pawl_strerror(error));
    else if (event->arg[0] != answer_to(key))
        stress_find_key(b.s, FINDING_MISORDERED, key, "got another one's answer (%u asked)",
                        b.porter->asks);
    body_close(&b);
}

static void on_alarm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    uint64_t now_ns = pawl_step_now_ns(step);
    bool armed = (b.common->head & HEAD_ARMED) && !(b.common->head & HEAD_LONG);
    if (!(event->flags & PAWL_EVENT_TIMER) || event->arg[0] != 0 || !armed)
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u: a timer fired that was not armed",
                    b.index);
    else if (b.porter != NULL && now_ns < b.porter->due_ns)
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u: a timer fired %llu ns too early",
                    b.index, (unsigned long long)(b.porter->due_ns - now_ns));
    if (b.porter != NULL)
        b.porter->fired++;
    b.common->head &= ~(HEAD_ARMED | HEAD_LONG);
    bump(&body_side(&b, step)->fired);
    body_close(&b);
}

static void on_echo(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    if (event->arg[0] == ECHO_ABORT) {
        pawl_step_abort(step, abort_error((uint32_t)event->arg[1]));
        return;
    }
    uint32_t number = b.porter != NULL ? ++b.porter->echoed : ++b.runner->echoed;
    uint32_t expected = b.porter != NULL ? (uint32_t)event->arg[0] : (uint16_t)event->arg[0];
    if (number != expected)
        stress_find(b.s, FINDING_MISORDERED, "resident %u: raised event %u came as number %u",
                    b.index, expected, number);
    body_close(&b);
}

static void on_urgent(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    if (!(event->flags & PAWL_EVENT_CONTROL))
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u: a control event lost its flag",
                    b.index);
    if (body_accept_lane(&b, step, work_sender(event->arg[0]), event->arg[1]))
        pawl_step_answer(step, answer_to(event->arg[1]));
    body_close(&b);
}

static void on_cancel(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    (void)event;
    bump(&body_side(&b, step)->cancels);
    body_close(&b);
}

static void on_spark_made(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    int error = (int)(int64_t)event->arg[1];
    if (error == 0 && event->arg[0] != 0)
        b.porter->sparks_made++;
    else if (error == -ENOSPC)
        b.porter->sparks_failed++;
    else
        stress_find(b.s, FINDING_UNEXPLAINED, "resident %u created a task and was told: %s",
                    b.index, error != 0 ? pawl_strerror(error) : "no task, no error");
    body_close(&b);
}

static void on_spark(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    (void)event;
    b.porter->sparks_heard++;
    body_close(&b);
}

static void on_poison(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_of(step, context);
    (void)event;
    stress_find(b.s, FINDING_UNEXPLAINED, "resident %u got an event of a step that was given up",
                b.index);
}

/* The first entry action that a new resident runs. */
static void enter_living(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct stress *s = pawl_step_user(step);
    uint32_t index = (uint32_t)event->arg[0];
    size_t size = is_porter(index) ? sizeof(struct porter) : sizeof(struct runner);
    const unsigned char *bytes = context;
    size_t zeros = 0;
    while (zeros < size && bytes[zeros] == 0)
        zeros++;
    if (event->code != PAWL_CODE_CREATE || event->arg[1] != answer_to(index) || zeros < size)
        stress_find(s, FINDING_UNEXPLAINED, "resident %u was not created as it should be", index);
    struct resident *common = context;
    common->head = index & HEAD_INDEX;
    struct body b = body_of(step, context);
    body_close(&b);
}

static void enter_leaf(struct pawl_step *step, void *context, const struct pawl_event *event,
                       uint32_t where)
{
    struct body b = body_open(step, context);
    b.common->head = (b.common->head & ~(3u << HEAD_WHERE)) | where << HEAD_WHERE;
    if (b.porter != NULL) {
        bool back = event->code == EV_RESUME || event->code == EV_LAPSE;
        if (back && b.porter->remembered != where)
            stress_find(b.s, FINDING_UNEXPLAINED, "resident %u came back to state %u, not to %u",
                        b.index, where, b.porter->remembered);
        b.porter->entries++;
    }
    body_close(&b);
}

static void enter_idle(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    enter_leaf(step, context, event, 1);
}

static void enter_busy(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    enter_leaf(step, context, event, 2);
}

static void enter_waiting(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    enter_leaf(step, context, event, 3);
}

static void exit_leaf(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct body b = body_open(step, context);
    (void)event;
    if (b.porter != NULL)
        b.porter->exits++;
    body_close(&b);
}

static bool is_flip(const struct pawl_step *step, const void *context,
                    const struct pawl_event *event)
{
    (void)step, (void)context;
    return work_flags(event->arg[0]) & WORK_FLIP;
}

static bool is_again(const struct pawl_step *step, const void *context,
                     const struct pawl_event *event)
{
    (void)step, (void)context;
    return work_flags(event->arg[0]) & WORK_AGAIN;
}

static const char *const events[] = {
    [EV_WORK] = "work",     [EV_PARCEL] = "parcel", [EV_PAUSE] = "pause",
    [EV_RESUME] = "resume", [EV_LAPSE] = "lapse",   [EV_CHAIN] = "chain",
    [EV_QUERY] = "query",   [EV_REPLY] = "reply",   [EV_ALARM] = "alarm",
    [EV_ECHO] = "echo",     [EV_URGENT] = "urgent", [EV_CANCEL] = "cancel",
    [EV_POISON] = "poison", [EV_SPARK] = "spark",   [EV_SPARK_MADE] = "spark-made",
    [EV_RETIRE] = "retire",
};

static const char *const deferred[] = {"work", "parcel", "pause", NULL};
static const char *const raises[] = {"echo", NULL};

static const struct pawl_state_def states[] = {
    [ST_LIVING] = {.name = "living", .initial = "active", .entry = enter_living},
    [ST_ACTIVE] = {.name = "active",
                   .parent = "living",
                   .initial = "idle",
                   .flags = PAWL_STATE_HISTORY},
    [ST_IDLE] = {.name = "idle", .parent = "active", .entry = enter_idle, .exit = exit_leaf},
    [ST_BUSY] = {.name = "busy", .parent = "active", .entry = enter_busy, .exit = exit_leaf},
    [ST_WAITING] = {.name = "waiting",
                    .parent = "living",
                    .entry = enter_waiting,
                    .exit = exit_leaf,
                    .defers = deferred,
                    .timeout_ns = 2000000,
                    .timeout = "lapse"},
    [ST_GONE] = {.name = "gone", .flags = PAWL_STATE_FINAL},
};

/* Work is found in the leaf when it is to change the state, else in the parent. */
static const struct pawl_transition_def transitions[] = {
    {"idle", "work", "busy", is_flip, on_work, raises, 0, "flip"},
    {"idle", "work", "idle", is_again, on_work, raises, 0, "again"},
    {"busy", "work", "idle", is_flip, on_work, raises, 0, "flip"},
    {"busy", "work", "busy", is_again, on_work, raises, 0, "again"},
    {.from = "active", .on = "work", .action = on_work, .raises = raises},
    {.from = "active", .on = "parcel", .action = on_parcel},
    {.from = "active", .on = "pause", .to = "waiting", .action = on_pause},
    {.from = "waiting",
     .on = "resume",
     .to = "active",
     .action = on_resume,
     .flags = PAWL_TRANSITION_HISTORY},
    {.from = "waiting",
     .on = "lapse",
     .to = "active",
     .action = on_lapse,
     .flags = PAWL_TRANSITION_HISTORY},
    {.from = "living", .on = "chain", .action = on_chain},
    {.from = "living", .on = "query", .action = on_query},
    {.from = "living", .on = "reply", .action = on_reply},
    {.from = "living", .on = "alarm", .action = on_alarm},
    {.from = "living", .on = "echo", .action = on_echo},
    {.from = "living", .on = "urgent", .action = on_urgent},
    {.from = "living", .on = "cancel", .action = on_cancel},
    {.from = "living", .on = "spark-made", .action = on_spark_made},
    {.from = "living", .on = "spark", .action = on_spark},
    {.from = "living", .on = "poison", .action = on_poison},
    {.from = "living", .on = "retire", .to = "gone"},
};

static const struct pawl_timer_def timers[] = {{"alarm", "alarm"}};

#define RESIDENT                                                                                   \
    PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions), PAWL_TABLE(timers),           \
        .initial = "living", .cancel = "cancel", .unexpected = PAWL_UNEXPECTED_REFUSE

/* The porter's few places for deferred events make the refusal at that limit a common thing. */
static const struct pawl_machine_def porter_def = {
    .name = "porter", .context_size = sizeof(struct porter), .deferred_max = 16, RESIDENT};
static const struct pawl_machine_def runner_def = {
    .name = "runner", .context_size = sizeof(struct runner), .deferred_max = 1024, RESIDENT};

const struct pawl_machine_def *resident_definition(bool porter)
{
    return porter ? &porter_def : &runner_def;
}
