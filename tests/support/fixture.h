/*
 * fixture.h - for tests: a runtime on one thread with a clock that the test moves, a port, and a
 * record of what was undelivered.
 *
 * The host-driven mode, a virtual clock and a fixed seed make every run the same. fixture_run turns
 * the shards, in order, until none has anything to do; fixture_advance lets time pass from timer to
 * timer, fixture_jump in one leap.
 *
 * The puppet is a machine whose actions are what the test passes along: arg[0] of the events marked
 * "calls" is a function that gets the step, the context and the event. So a test reads as what one
 * handler does and what came of it. What must be in order goes to the trace.
 */
#ifndef PAWL_TESTS_SUPPORT_FIXTURE_H
#define PAWL_TESTS_SUPPORT_FIXTURE_H

#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

#define FIXTURE_MACHINES    8u
#define FIXTURE_UNDELIVERED 4096u
#define FIXTURE_START_NS    UINT64_C(1000000000)
#define FIXTURE_MS          UINT64_C(1000000)
#define FIXTURE_SECOND      UINT64_C(1000000000)

/* PAWL_TABLE for an array of another name than the definition's member. */
#define FIXTURE_TABLE(member, array)                                                               \
    .member = array, .member##_count = sizeof(array) / sizeof((array)[0])

struct fixture_options {
    const struct pawl_machine_def *machines[FIXTURE_MACHINES]; /* none: the puppet */
    unsigned shards;                                           /* 0: 1 */
    uint32_t inflight_max;
    uint32_t exchange_ring;
    uint32_t port_capacity;
    uint64_t tasks_max;
    uint64_t tick_ns;
    uint64_t seed;
    const struct pawl_lane_def *lanes;
    unsigned lane_count;
    void *user;
};

struct fixture_undelivered {
    struct pawl_event event;
    int reason;
};

struct fixture {
    struct pawl_virtual_clock *clock;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    unsigned shards;
    struct pawl_machine *machines[FIXTURE_MACHINES];
    unsigned machine_count;
    void *user;
    unsigned undelivered_count;
    struct fixture_undelivered undelivered[FIXTURE_UNDELIVERED];
};

/* ---- the trace ----------------------------------------------------------------------------------- */

static struct {
    unsigned count;
    uint64_t words[8192];
} trace;

static inline void trace_clear(void)
{
    trace.count = 0;
}

static inline void trace_add(uint64_t word)
{
    cr_assert(trace.count < sizeof(trace.words) / sizeof(trace.words[0]), "the trace is full");
    trace.words[trace.count++] = word;
}

/* Whether the trace is exactly these words; prints it when not. */
static inline int trace_equals(const uint64_t *words, size_t count)
{
    const int same = trace.count == count &&
                     (count == 0 || memcmp(trace.words, words, count * sizeof(*words)) == 0);

    for (unsigned i = 0; !same && i < trace.count; i++)
        fprintf(stderr, "trace[%u] = %llu\n", i, (unsigned long long)trace.words[i]);
    return same;
}

#define TRACE_IS(...)                                                                              \
    trace_equals((const uint64_t[]){__VA_ARGS__},                                                  \
                 sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* The same for text: actions that append their name. */
static struct {
    size_t length;
    char text[4096];
} story;

static inline void story_clear(void)
{
    story.length = 0;
    story.text[0] = '\0';
}

static inline void story_add(const char *word)
{
    const size_t length = strlen(word);

    cr_assert(story.length + length + 2 < sizeof(story.text), "the story is full");
    if (story.length > 0)
        story.text[story.length++] = ' ';
    memcpy(story.text + story.length, word, length + 1);
    story.length += length;
}

/* ---- the puppet ---------------------------------------------------------------------------------- */

struct puppet {
    uint64_t count; /* of notes and raised events */
    uint64_t sum;
    uint64_t last;
};

typedef void puppet_fn(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event);

enum puppet_event {
    P_CALL,      /* calls; internal */
    P_CALL_SLOW, /* calls; internal, behind a guard */
    P_MOVE,      /* calls; idle to busy */
    P_BACK,      /* calls; busy to idle */
    P_AGAIN,     /* calls; exits and enters the leaf */
    P_NOTE,      /* counts, traces arg[0] */
    P_NOTE_SLOW, /* the same behind a guard */
    P_RAISED,    /* the same; what P_CALL and the like may raise */
    P_RAISED_ON, /* calls; may be raised too */
    P_TICK,      /* what the timers deliver; traces arg[0] and calls the test's user_tick */
    P_WAIT,      /* deferred when idle, noted when busy */
    P_REPLY,     /* traces arg[0] and arg[1] */
    P_END,       /* calls; ends the task */
    P_UNEXPECTED,
    P_EVENTS
};

static puppet_fn *puppet_tick; /* what P_TICK calls, if anything */

static inline void puppet_call(struct pawl_step *step, void *context,
                               const struct pawl_event *event)
{
    puppet_fn *const fn = (puppet_fn *)(uintptr_t)event->arg[0];

    if (fn != NULL)
        fn(step, context, event);
}

static inline void puppet_note(struct pawl_step *step, void *context,
                               const struct pawl_event *event)
{
    struct puppet *const puppet = context;

    (void)step;
    puppet->count++;
    puppet->sum += event->arg[0];
    puppet->last = event->arg[0];
    trace_add(event->arg[0]);
}

static inline void puppet_fire(struct pawl_step *step, void *context,
                               const struct pawl_event *event)
{
    struct puppet *const puppet = context;

    cr_assert((event->flags & PAWL_EVENT_TIMER) != 0);
    puppet->count++;
    trace_add(event->arg[0]);
    if (puppet_tick != NULL)
        puppet_tick(step, puppet, event);
}

static inline void puppet_reply(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct puppet *const puppet = context;

    (void)step;
    puppet->count++;
    trace_add(event->arg[0]);
    trace_add(event->arg[1]);
}

/* A new puppet may be called at once: arg[0] of its spec. */
static inline void puppet_entry(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    if (event->code == PAWL_CODE_CREATE)
        puppet_call(step, context, event);
}

static inline bool puppet_always(const struct pawl_step *step, const void *context,
                                 const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return true;
}

static const char *const puppet_events[P_EVENTS] = {
    "call",   "call_slow", "move", "back", "again", "note", "note_slow",
    "raised", "raised_on", "tick", "wait", "reply", "end",  "unexpected"};
static const char *const puppet_raises[] = {"raised", "raised_on", NULL};
static const char *const puppet_raises_one[] = {"raised", NULL};
static const char *const puppet_defers[] = {"wait", NULL};
static const struct pawl_state_def puppet_states[] = {
    {.name = "live", .initial = "idle", .entry = puppet_entry, .raises = puppet_raises_one},
    {.name = "idle", .parent = "live", .defers = puppet_defers},
    {.name = "busy", .parent = "live"},
    {.name = "done", .flags = PAWL_STATE_FINAL},
};
enum { S_LIVE, S_IDLE, S_BUSY, S_DONE };
static const struct pawl_timer_def puppet_timers[] = {
    {"t0", "tick"}, {"t1", "tick"}, {"t2", "tick"}, {"t3", "tick"}};
static const struct pawl_transition_def puppet_transitions[] = {
    {.from = "live", .on = "call", .action = puppet_call, .raises = puppet_raises},
    {.from = "live",
     .on = "call_slow",
     .guard = puppet_always,
     .action = puppet_call,
     .raises = puppet_raises},
    {.from = "idle", .on = "move", .to = "busy", .action = puppet_call, .raises = puppet_raises},
    {.from = "busy", .on = "back", .to = "idle", .action = puppet_call, .raises = puppet_raises},
    {.from = "idle", .on = "again", .to = "idle", .action = puppet_call},
    {.from = "busy", .on = "again", .to = "busy", .action = puppet_call},
    {.from = "live", .on = "note", .action = puppet_note},
    {.from = "live", .on = "note_slow", .guard = puppet_always, .action = puppet_note},
    {.from = "live", .on = "raised", .action = puppet_note},
    {.from = "live", .on = "raised_on", .action = puppet_call, .raises = puppet_raises_one},
    {.from = "live", .on = "tick", .action = puppet_fire},
    {.from = "busy", .on = "wait", .action = puppet_note},
    {.from = "live", .on = "reply", .action = puppet_reply},
    {.from = "live", .on = "end", .to = "done", .action = puppet_call, .raises = puppet_raises},
};
static const struct pawl_machine_def puppet_machine = {
    .name = "puppet",
    FIXTURE_TABLE(events, puppet_events),
    FIXTURE_TABLE(states, puppet_states),
    FIXTURE_TABLE(transitions, puppet_transitions),
    FIXTURE_TABLE(timers, puppet_timers),
    .initial = "live",
    .context_size = sizeof(struct puppet)};

/* ---- open and close ------------------------------------------------------------------------------ */

static inline void fixture_on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct fixture *const f = user;

    if (f->undelivered_count < FIXTURE_UNDELIVERED)
        f->undelivered[f->undelivered_count] =
            (struct fixture_undelivered){.event = *event, .reason = reason};
    f->undelivered_count++;
}

static inline void fixture_on_finding(void *user, const struct pawl_diagnostic *finding)
{
    (void)user;
    if (finding->error != 0)
        fprintf(stderr, "error %d: %s: %s\n", finding->error, finding->where, finding->what);
}

static inline void fixture_open(struct fixture *f, const struct fixture_options *given)
{
    static const struct fixture_options none;
    const struct fixture_options *const o = given != NULL ? given : &none;
    const struct pawl_port_options port = {.capacity = o->port_capacity};
    struct pawl_options options = PAWL_OPTIONS_INIT;

    memset(f, 0, sizeof(*f));
    do {
        const struct pawl_machine_def *definition = o->machines[f->machine_count];

        if (definition == NULL)
            definition = &puppet_machine;
        cr_assert_eq(pawl_machine_compile(definition, fixture_on_finding, NULL,
                                          &f->machines[f->machine_count]),
                     0);
        f->machine_count++;
    } while (f->machine_count < FIXTURE_MACHINES && o->machines[f->machine_count] != NULL);
    f->shards = o->shards != 0 ? o->shards : 1;
    f->user = o->user;
    cr_assert_eq(pawl_virtual_clock_create(FIXTURE_START_NS, &f->clock), 0);
    options.machines = (const struct pawl_machine *const *)f->machines;
    options.machine_count = f->machine_count;
    options.shards = f->shards;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(f->clock);
    options.seed = o->seed != 0 ? o->seed : 1;
    options.tick_ns = o->tick_ns;
    options.tasks_max = o->tasks_max;
    options.inflight_max = o->inflight_max;
    options.exchange_ring = o->exchange_ring;
    options.lanes = o->lanes;
    options.lane_count = o->lane_count;
    options.no_huge_pages = 1;
    options.user = f;
    options.on_undelivered = fixture_on_undelivered;
    options.diagnose = fixture_on_finding;
    cr_assert_eq(pawl_open(&options, &f->runtime), 0);
    cr_assert_eq(pawl_start(f->runtime), 0);
    cr_assert_eq(pawl_port_open(f->runtime, &port, &f->port), 0);
    puppet_tick = NULL;
    trace_clear();
    story_clear();
}

/* Stops first, so that nothing that a test left waiting is in the way. */
static inline void fixture_close(struct fixture *f)
{
    cr_assert_eq(pawl_stop(f->runtime), 0);
    cr_assert_eq(pawl_port_close(f->port, 0), 0);
    cr_assert_eq(pawl_close(f->runtime), 0);
    for (unsigned i = 0; i < f->machine_count; i++)
        pawl_machine_destroy(f->machines[i]);
    pawl_virtual_clock_destroy(f->clock);
}

/* ---- time and turns ------------------------------------------------------------------------------ */

static inline uint64_t fixture_now(const struct fixture *f)
{
    return pawl_virtual_clock_now_ns(f->clock);
}

static inline uint64_t fixture_next_timer(const struct fixture *f)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < f->shards; i++) {
        const uint64_t at = pawl_shard_next_timer_ns(f->runtime, i);

        next = at < next ? at : next;
    }
    return next;
}

static inline int fixture_turn(struct fixture *f)
{
    int handled = 0;

    for (unsigned i = 0; i < f->shards; i++) {
        const int some = pawl_turn(f->runtime, i);

        cr_assert(some >= 0);
        handled += some;
    }
    return handled;
}

/* Until nothing is left to do at this time. */
static inline void fixture_run(struct fixture *f)
{
    unsigned turns = 0;

    while (fixture_turn(f) > 0 || fixture_next_timer(f) <= fixture_now(f))
        cr_assert(++turns < 200000, "the runtime does not come to rest");
}

static inline void fixture_jump(struct fixture *f, uint64_t ns)
{
    pawl_virtual_clock_advance_to(f->clock, fixture_now(f) + ns);
    fixture_run(f);
}

static inline void fixture_advance(struct fixture *f, uint64_t ns)
{
    const uint64_t end = fixture_now(f) + ns;
    uint64_t next;

    fixture_run(f);
    while ((next = fixture_next_timer(f)) <= end) {
        pawl_virtual_clock_advance_to(f->clock, next);
        fixture_run(f);
    }
    pawl_virtual_clock_advance_to(f->clock, end);
    fixture_run(f);
}

/* ---- tasks and events ---------------------------------------------------------------------------- */

static inline struct pawl_task fixture_create(struct fixture *f, unsigned machine, uint32_t shard)
{
    const struct pawl_task_spec spec = {.machine = machine, .shard = shard};
    struct pawl_task task;

    cr_assert_eq(pawl_task_create(f->runtime, &spec, &task), 0);
    return task;
}

static inline struct pawl_task fixture_puppet(struct fixture *f, uint32_t shard)
{
    return fixture_create(f, 0, shard);
}

static inline void fixture_post(struct fixture *f, const struct pawl_event *event)
{
    cr_assert_eq(pawl_port_post(f->port, event, 1), 1);
}

/* One event without completion. */
static inline void fixture_send(struct fixture *f, struct pawl_task task, uint16_t code,
                                uint64_t arg)
{
    fixture_post(f, &(struct pawl_event){.task = task, .code = code, .arg = {arg}});
}

/* The next completion, which must have arrived. */
static inline struct pawl_completion fixture_reap(struct fixture *f)
{
    struct pawl_completion completion = {.status = 1};

    cr_assert_eq(pawl_port_reap(f->port, &completion, 1), 1, "no completion has arrived");
    return completion;
}

static inline bool fixture_nothing_to_reap(struct fixture *f)
{
    struct pawl_completion completion;

    return pawl_port_reap(f->port, &completion, 1) == 0;
}

/* Posts one event, runs, and returns its completion. */
static inline struct pawl_completion fixture_ask(struct fixture *f, struct pawl_task task,
                                                 uint16_t code, uint64_t arg0, uint64_t arg1)
{
    fixture_post(f, &(struct pawl_event){.task = task,
                                         .code = code,
                                         .flags = PAWL_EVENT_COMPLETE,
                                         .tag = 77,
                                         .arg = {arg0, arg1}});
    fixture_run(f);
    return fixture_reap(f);
}

static inline uint64_t puppet_word(puppet_fn *fn)
{
    return (uint64_t)(uintptr_t)fn;
}

/* Has the puppet call fn by the event. */
static inline struct pawl_completion fixture_call(struct fixture *f, struct pawl_task task,
                                                  uint16_t code, puppet_fn *fn)
{
    return fixture_ask(f, task, code, puppet_word(fn), 0);
}

/* ---- looking ------------------------------------------------------------------------------------- */

static inline struct pawl_view fixture_view(struct fixture *f, struct pawl_task task, void *context,
                                            size_t capacity)
{
    struct pawl_view view = {.context = context, .context_capacity = capacity};

    cr_assert_eq(pawl_task_peek(f->runtime, task, &view), 0);
    return view;
}

static inline unsigned fixture_state(struct fixture *f, struct pawl_task task)
{
    return fixture_view(f, task, NULL, 0).state;
}

static inline struct puppet fixture_puppet_of(struct fixture *f, struct pawl_task task)
{
    struct puppet puppet;

    fixture_view(f, task, &puppet, sizeof(puppet));
    return puppet;
}

static inline bool fixture_is_alive(struct fixture *f, struct pawl_task task)
{
    struct pawl_view view = {0};

    return pawl_task_peek(f->runtime, task, &view) == 0;
}

/* As of the last turn. */
static inline struct pawl_counters fixture_counters(struct fixture *f)
{
    struct pawl_counters counters;

    fixture_turn(f);
    pawl_runtime_counters(f->runtime, &counters);
    return counters;
}

/*
 * References of a buffer, which no public function tells: its first word (runtime/task/buffer.c).
 * fixture_buffer checks that it still is.
 */
static inline uint32_t fixture_references(const struct pawl_buffer *buffer)
{
    uint32_t references;

    memcpy(&references, buffer, sizeof(references));
    return references;
}

/* A buffer of which the test keeps one reference: 2 while the runtime has the other. */
static inline struct pawl_buffer *fixture_buffer(void)
{
    struct pawl_buffer *const buffer = pawl_buffer_create(64);

    cr_assert(buffer != NULL);
    cr_assert_eq(fixture_references(buffer), 1);
    pawl_buffer_ref(buffer);
    cr_assert_eq(fixture_references(buffer), 2);
    return buffer;
}

#endif /* PAWL_TESTS_SUPPORT_FIXTURE_H */
