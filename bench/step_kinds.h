/*
 * step_kinds.h - one small machine for each kind of transition, and a host-driven runtime with tasks
 * of it: what bench_step.c times, and what gate.c counts the instructions of.
 *
 * Every task keeps two counters. A posted event of argument a leaves `counts` more in the one and
 * `sums` * a more in the other, somewhere among the tasks, so a step that is lost, doubled or half done
 * shows in the totals. Machines change their state in each step, unless the kind is about something
 * else.
 *
 * Events are drawn outside of what is measured: their targets, arguments, and for events that go on to
 * other tasks a place in step_targets, where the next targets have been drawn too.
 */
#ifndef PAWL_BENCH_STEP_KINDS_H
#define PAWL_BENCH_STEP_KINDS_H

#include <errno.h>
#include <pawl/pawl.h>
#include <string.h>

#include "base/random.h"
#include "harness.h"

enum {
    STEP_TASKS = 1000,   /* 64 KB of slots */
    STEP_BATCH = 1024,   /* events posted before the shard is turned; what a turn takes at most */
    STEP_HOPS = 16,      /* steps of one event that is handed on */
    STEP_TARGETS = 4096, /* a power of two */
};

/* Never reached: only what arming and arming again costs is of interest. */
#define STEP_TIMEOUT_NS (UINT64_C(600) * 1000000000u)

/* The context of every task. */
struct step_counts {
    uint64_t count;
    uint64_t sum;
};

struct step_kind {
    const char *name;
    const char *title;
    const struct pawl_machine_def *machine;
    unsigned steps;  /* that a posted event leads to, itself included */
    unsigned counts; /* that it adds to step_counts.count */
    unsigned sums;   /* times its argument that it adds to step_counts.sum */
    bool alternates; /* a task's events have the codes 0 and 1 by turns; else all have 0 */
};

/* A host-driven runtime of one shard with STEP_TASKS tasks of a kind, and a port to it. */
struct step_side {
    const struct step_kind *kind;
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    uint64_t first; /* the id of the first task; in a fresh shard ids are consecutive */
};

/* Where events come from, and what they should have added up to. */
struct step_feed {
    const struct step_kind *kind;
    struct random random;
    struct step_counts expected;
    bool second[STEP_TASKS]; /* of alternating events */
};

static uint16_t step_targets[STEP_TARGETS];

static inline void step_targets_draw(void)
{
    struct random random = {4711};

    for (unsigned i = 0; i < STEP_TARGETS; i++)
        step_targets[i] = (uint16_t)random_below(&random, STEP_TASKS);
}

/* arg[1] of an event that goes on: a place in step_targets, and the steps left including its own. */
static inline unsigned step_hops_left(const struct pawl_event *event)
{
    return (unsigned)event->arg[1] & 0xff;
}

static inline uint64_t step_target(const struct pawl_event *event)
{
    return step_targets[((event->arg[1] >> 8) + event->arg[1]) & (STEP_TARGETS - 1)];
}

/* ---- Handlers ---- */

static inline void step_advance(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct step_counts *counts = context;

    (void)step;
    counts->count++;
    counts->sum += event->arg[0];
}

static inline void step_enter(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct step_counts *counts = context;

    (void)step;
    /* Not at the start: what a task is created with is no event's doing. */
    counts->count += event->code != PAWL_CODE_CREATE;
}

static inline void step_leave(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct step_counts *counts = context;

    (void)step, (void)event;
    counts->count++;
}

static inline bool step_is_zero(const struct pawl_step *step, const void *context,
                                const struct pawl_event *event)
{
    (void)step, (void)context;
    return event->arg[0] == 0;
}

static inline bool step_is_not_zero(const struct pawl_step *step, const void *context,
                                    const struct pawl_event *event)
{
    (void)step, (void)context;
    return event->arg[0] != 0;
}

/* ---- Machines ---- */

static const char *const step_flat_events[] = {"advance"};
static const struct pawl_state_def step_flat_states[] = {
    {.name = "s0"}, {.name = "s1"}, {.name = "s2"}, {.name = "s3"}, {.name = "s4"}};
static const struct pawl_transition_def step_flat_transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = step_advance},
    {.from = "s1", .on = "advance", .to = "s2", .action = step_advance},
    {.from = "s2", .on = "advance", .to = "s3", .action = step_advance},
    {.from = "s3", .on = "advance", .to = "s4", .action = step_advance},
    {.from = "s4", .on = "advance", .to = "s0", .action = step_advance},
};

/* Two towers of four states; the transition is the outermost's and ends in the other's leaf. */
#define STEP_TOWER(a)                                                                              \
    {.name = a "1", .initial = a "2", .entry = step_enter, .exit = step_leave},                    \
        {.name = a "2",                                                                            \
         .parent = a "1",                                                                          \
         .initial = a "3",                                                                         \
         .entry = step_enter,                                                                      \
         .exit = step_leave},                                                                      \
        {.name = a "3",                                                                            \
         .parent = a "2",                                                                          \
         .initial = a "4",                                                                         \
         .entry = step_enter,                                                                      \
         .exit = step_leave},                                                                      \
    {                                                                                              \
        .name = a "4", .parent = a "3", .entry = step_enter, .exit = step_leave                    \
    }
static const struct pawl_state_def step_nested_states[] = {STEP_TOWER("a"), STEP_TOWER("b")};
static const struct pawl_transition_def step_nested_transitions[] = {
    {.from = "a1", .on = "advance", .to = "b4", .action = step_advance},
    {.from = "b1", .on = "advance", .to = "a4", .action = step_advance},
};

static const struct pawl_state_def step_two_states[] = {{.name = "even"}, {.name = "odd"}};
static const struct pawl_transition_def step_guard_transitions[] = {
    {.from = "even", .on = "advance", .to = "even", .guard = step_is_zero, .action = step_advance},
    {.from = "even",
     .on = "advance",
     .to = "odd",
     .guard = step_is_not_zero,
     .action = step_advance},
    {.from = "odd", .on = "advance", .to = "odd", .guard = step_is_zero, .action = step_advance},
    {.from = "odd",
     .on = "advance",
     .to = "even",
     .guard = step_is_not_zero,
     .action = step_advance},
};

static const char *const step_timeout_events[] = {"advance", "late"};
static const struct pawl_state_def step_timeout_states[] = {
    {.name = "even", .timeout_ns = STEP_TIMEOUT_NS, .timeout = "late"},
    {.name = "odd", .timeout_ns = STEP_TIMEOUT_NS, .timeout = "late"},
};
static const struct pawl_transition_def step_timeout_transitions[] = {
    {.from = "even", .on = "advance", .to = "odd", .action = step_advance},
    {.from = "odd", .on = "advance", .to = "even", .action = step_advance},
    {.from = "even", .on = "late", .to = "even"},
    {.from = "odd", .on = "late", .to = "odd"},
};

/* A job that comes while the task is busy waits; "done" makes it idle, and the job busy again. */
static const char *const step_defer_events[] = {"job", "done"};
static const char *const step_defer_defers[] = {"job", NULL};
static const struct pawl_state_def step_defer_states[] = {
    {.name = "busy", .defers = step_defer_defers}, {.name = "idle"}};
static const struct pawl_transition_def step_defer_transitions[] = {
    {.from = "busy", .on = "done", .to = "idle", .action = step_advance},
    {.from = "idle", .on = "job", .to = "busy", .action = step_advance},
};

static inline void step_raise_one(struct pawl_step *step, void *context,
                                  const struct pawl_event *event)
{
    step_advance(step, context, event);
    pawl_step_raise(step, 1, event->arg[0], 0);
}

static const char *const step_raise_events[] = {"advance", "back"};
static const char *const step_raise_raises[] = {"back", NULL};
static const struct pawl_transition_def step_raise_transitions[] = {
    {.from = "even",
     .on = "advance",
     .to = "odd",
     .action = step_raise_one,
     .raises = step_raise_raises},
    {.from = "odd", .on = "back", .to = "even", .action = step_advance},
};

static inline void step_hand_on(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    const struct step_side *side = pawl_step_user(step);

    step_advance(step, context, event);
    if (step_hops_left(event) > 1)
        pawl_step_post(step, &(struct pawl_event){.task = {side->first + step_target(event)},
                                                  .arg = {event->arg[0], event->arg[1] - 1}});
}

static const struct pawl_transition_def step_post_transitions[] = {
    {.from = "even", .on = "advance", .to = "odd", .action = step_hand_on},
    {.from = "odd", .on = "advance", .to = "even", .action = step_hand_on},
};

static inline void step_ask(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct step_side *side = pawl_step_user(step);

    step_advance(step, context, event);
    pawl_step_ask(step,
                  &(struct pawl_event){.task = {side->first + step_target(event)},
                                       .code = 1,
                                       .arg = {event->arg[0]}},
                  2);
}

static inline void step_answer(struct pawl_step *step, void *context,
                               const struct pawl_event *event)
{
    step_advance(step, context, event);
    pawl_step_answer(step, event->arg[0]);
}

static const char *const step_ask_events[] = {"ask", "question", "answer"};
static const struct pawl_transition_def step_ask_transitions[] = {
    {.from = "even", .on = "ask", .to = "odd", .action = step_ask},
    {.from = "odd", .on = "ask", .to = "even", .action = step_ask},
    {.from = "even", .on = "question", .to = "odd", .action = step_answer},
    {.from = "odd", .on = "question", .to = "even", .action = step_answer},
    {.from = "even", .on = "answer", .to = "odd", .action = step_advance},
    {.from = "odd", .on = "answer", .to = "even", .action = step_advance},
};

#define STEP_LIST(member, array)                                                                   \
    .member = array, .member##_count = sizeof(array) / sizeof((array)[0])
#define STEP_MACHINE(label, events_, states_, transitions_)                                        \
    {                                                                                              \
        .name = label, STEP_LIST(events, events_), STEP_LIST(states, states_),                     \
        STEP_LIST(transitions, transitions_), .context_size = sizeof(struct step_counts)           \
    }

static const struct pawl_machine_def step_flat =
    STEP_MACHINE("flat", step_flat_events, step_flat_states, step_flat_transitions);
static const struct pawl_machine_def step_nested =
    STEP_MACHINE("nested", step_flat_events, step_nested_states, step_nested_transitions);
static const struct pawl_machine_def step_guard =
    STEP_MACHINE("guard", step_flat_events, step_two_states, step_guard_transitions);
static const struct pawl_machine_def step_timeout =
    STEP_MACHINE("timeout", step_timeout_events, step_timeout_states, step_timeout_transitions);
static const struct pawl_machine_def step_defer =
    STEP_MACHINE("defer", step_defer_events, step_defer_states, step_defer_transitions);
static const struct pawl_machine_def step_raise =
    STEP_MACHINE("raise", step_raise_events, step_two_states, step_raise_transitions);
static const struct pawl_machine_def step_post =
    STEP_MACHINE("post", step_flat_events, step_two_states, step_post_transitions);
static const struct pawl_machine_def step_asking =
    STEP_MACHINE("ask", step_ask_events, step_two_states, step_ask_transitions);

enum {
    STEP_FLAT,
    STEP_NESTED,
    STEP_GUARD,
    STEP_TIMEOUT,
    STEP_DEFER,
    STEP_RAISE,
    STEP_POST,
    STEP_ASK,
    STEP_KINDS
};

static const struct step_kind step_kinds[STEP_KINDS] = {
    [STEP_FLAT] = {"step-flat", "a plain transition between flat states, one action", &step_flat, 1,
                   1, 1, false},
    [STEP_NESTED] = {"step-nested-4",
                     "between leaves four deep: the outermost parent's transition, four exits, an "
                     "action and four entries",
                     &step_nested, 1, 9, 1, false},
    [STEP_GUARD] = {"step-guard", "two guarded transitions, of which the second is taken",
                    &step_guard, 1, 1, 1, false},
    [STEP_TIMEOUT] = {"step-timeout",
                      "into a state with a timeout, out of another: a timer armed anew",
                      &step_timeout, 1, 1, 1, false},
    [STEP_DEFER] = {"step-defer",
                    "every second event is deferred, and recalled and handled after the next",
                    &step_defer, 1, 1, 1, true},
    [STEP_RAISE] = {"step-raise", "a step that raises one event: two transitions", &step_raise, 1,
                    2, 2, false},
    [STEP_POST] = {"step-post-self",
                   "each step posts one event to a random task of its own shard, 15 times of 16",
                   &step_post, STEP_HOPS, STEP_HOPS, STEP_HOPS, false},
    [STEP_ASK] = {"step-ask-answer",
                  "a task asks a random one of its shard and is answered: three steps",
                  &step_asking, 3, 3, 3, false},
};

/* ---- Events ---- */

static inline void step_feed_init(struct step_feed *feed, const struct step_kind *kind)
{
    *feed = (struct step_feed){.kind = kind, .random = {99}};
    step_targets_draw();
}

/* Draws STEP_BATCH events; first is the id of task 0. */
static inline void step_feed_fill(struct step_feed *feed, struct pawl_event *events, uint64_t first)
{
    const struct step_kind *kind = feed->kind;

    for (unsigned i = 0; i < STEP_BATCH; i++) {
        const uint64_t drawn = random_next(&feed->random);
        const uint64_t task = random_below(&feed->random, STEP_TASKS);
        const uint64_t argument = 1 + (drawn & 0xff);

        events[i] = (struct pawl_event){.task = {first + task},
                                        .arg = {argument, (drawn >> 8) << 8 | STEP_HOPS}};
        if (kind->alternates) {
            events[i].code = feed->second[task];
            feed->second[task] = !feed->second[task];
        }
        /* A deferred event counts in the batch that recalls it: the totals are made even at the end. */
        feed->expected.count += kind->counts;
        feed->expected.sum += kind->sums * argument;
    }
}

/*
 * Makes what is still deferred be handled: one more event for each task that waits for one. Returns
 * how many there are, at most STEP_TASKS.
 */
static inline unsigned step_feed_finish(struct step_feed *feed, struct pawl_event *events,
                                        uint64_t first)
{
    unsigned count = 0;

    for (unsigned task = 0; task < STEP_TASKS; task++) {
        if (!feed->second[task])
            continue;
        events[count++] = (struct pawl_event){.task = {first + task}, .code = 1, .arg = {1}};
        feed->second[task] = false;
        feed->expected.count += feed->kind->counts;
        feed->expected.sum += feed->kind->sums;
    }
    return count;
}

/* ---- The runtime ---- */

static inline void step_must(int error, const char *what)
{
    if (error != 0)
        bench_fail("%s: %s", what, pawl_strerror(error));
}

static inline void step_undelivered(void *user, const struct pawl_event *event, int reason)
{
    (void)user;
    bench_fail("an event of code %u was not delivered: %s", event->code, pawl_strerror(reason));
}

/* clock: NULL, or one by which a run is the same each time; then memory is asked for plainly too. */
static inline void step_side_open(struct step_side *side, const struct step_kind *kind,
                                  const struct pawl_clock *clock)
{
    const struct pawl_machine *machines[1];
    const struct pawl_port_options port = {.capacity = STEP_BATCH};
    const struct pawl_task_spec spec = {.shard = 0};
    struct pawl_options options = PAWL_OPTIONS_INIT;

    *side = (struct step_side){.kind = kind};
    step_must(pawl_machine_compile(kind->machine, NULL, NULL, &side->machine), "compiling");
    machines[0] = side->machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = clock;
    options.no_huge_pages = clock != NULL;
    options.seed = 1;
    options.user = side;
    options.on_undelivered = step_undelivered;
    step_must(pawl_open(&options, &side->runtime), "opening");
    step_must(pawl_start(side->runtime), "starting");
    step_must(pawl_port_open(side->runtime, &port, &side->port), "opening a port");
    for (uint64_t i = 0; i < STEP_TASKS; i++) {
        struct pawl_task task;

        step_must(pawl_task_create(side->runtime, &spec, &task), "creating a task");
        if (i == 0)
            side->first = task.id;
        if (task.id != side->first + i)
            bench_fail("ids of a fresh shard are not consecutive");
    }
}

/* Posts the events and turns the shard until nothing is left to do. */
static inline void step_side_run(struct step_side *side, const struct pawl_event *events,
                                 size_t count)
{
    size_t posted = 0;

    do {
        const int took = pawl_port_post(side->port, events + posted, count - posted);

        if (took < 0 && took != -EAGAIN)
            bench_fail("posting: %s", pawl_strerror(took));
        posted += took > 0 ? (size_t)took : 0;
        while (pawl_turn(side->runtime, 0) > 0)
            ;
    } while (posted < count);
}

/* Compares all tasks' contexts with what the events should have come to. */
static inline void step_side_check(const struct step_side *side, const struct step_feed *feed)
{
    struct pawl_counters counters;
    struct step_counts total = {0};

    for (uint64_t i = 0; i < STEP_TASKS; i++) {
        struct step_counts counts = {0};
        struct pawl_view view = {.context = &counts, .context_capacity = sizeof(counts)};

        step_must(pawl_task_peek(side->runtime, (struct pawl_task){side->first + i}, &view),
                  "looking at a task");
        total.count += counts.count;
        total.sum += counts.sum;
    }
    pawl_runtime_counters(side->runtime, &counters);
    if (counters.timers_fired != 0)
        bench_fail("%s: a timeout of ten minutes has passed", side->kind->name);
    if (total.count != feed->expected.count || total.sum != feed->expected.sum)
        bench_fail("%s: the tasks count %llu and %llu, not %llu and %llu", side->kind->name,
                   (unsigned long long)total.count, (unsigned long long)total.sum,
                   (unsigned long long)feed->expected.count,
                   (unsigned long long)feed->expected.sum);
}

static inline void step_side_close(struct step_side *side)
{
    step_must(pawl_stop(side->runtime), "stopping");
    step_must(pawl_port_close(side->port, 0), "closing the port");
    step_must(pawl_close(side->runtime), "closing");
    pawl_machine_destroy(side->machine);
}

#endif
