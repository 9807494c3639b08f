/*
 * agent_fixture.h - for tests: a machine whose tasks agents work on, with a handler for each
 * report; agents of lane "work"; and a runtime with the test's own options that has both.
 *
 * A chore is ready, busy, over or gone. In busy each report is held against the lease, as a machine
 * should; what was accepted is counted in the context. "accept" is deferred in busy and noted in
 * over and in ready, so that a report can be kept waiting.
 */
#ifndef PAWL_TESTS_SUPPORT_AGENT_FIXTURE_H
#define PAWL_TESTS_SUPPORT_AGENT_FIXTURE_H

#include <pawl/agent.h>
#include <pawl/pawl.h>
#include <string.h>

enum chore_event {
    C_LEASE,
    C_EXPIRED,
    C_DONE,
    C_FAILED,
    C_RELEASE,
    C_EXTEND,
    C_PROGRESS,
    C_NOTE,
    C_ACCEPT,
    C_AGAIN,
    C_END,
    CHORE_EVENTS
};
enum chore_state { C_READY, C_BUSY, C_OVER, C_GONE };

struct chore {
    struct pawl_claim claim;
    uint64_t shy; /* refuses leases */
    uint64_t value;
    uint64_t hash;
    uint64_t noted; /* the first bytes of a note */
    uint32_t noted_size;
    uint32_t last_id;
    uint32_t done, failed, released, lost, expired, accepted;
    uint64_t owner; /* of stress tests */
};

/* The report, if it comes from who has the lease; otherwise the step is given up. */
static inline bool chore_take(struct pawl_step *step, struct chore *chore,
                              const struct pawl_event *event, struct pawl_reported *reported)
{
    int error = pawl_report_read(event, reported);

    if (error == 0)
        error = pawl_step_holder(step, reported->token);
    if (error == 0 && reported->id <= chore->last_id)
        error = -EALREADY;
    if (error != 0) {
        pawl_step_abort(step, error);
        return false;
    }
    chore->last_id = reported->id;
    chore->value = reported->value;
    pawl_step_answer(step, reported->id);
    return true;
}

static inline bool chore_is_willing(const struct pawl_step *step, const void *context,
                                    const struct pawl_event *event)
{
    (void)step, (void)event;
    return ((const struct chore *)context)->shy == 0;
}

static inline void chore_leased(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    (void)step, (void)event;
    ((struct chore *)context)->last_id = 0;
}

static inline void chore_done(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct chore *chore = context;
    struct pawl_reported reported;

    if (chore_take(step, chore, event, &reported))
        chore->done++;
}

static inline void chore_failed(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct chore *chore = context;
    struct pawl_reported reported;

    if (chore_take(step, chore, event, &reported))
        chore->failed += 1 + (uint32_t)reported.klass;
}

static inline void chore_release(struct pawl_step *step, void *context,
                                 const struct pawl_event *event)
{
    struct chore *chore = context;
    struct pawl_reported reported;

    if (chore_take(step, chore, event, &reported))
        chore->released++;
}

static inline void chore_extend(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct pawl_reported reported;

    if (chore_take(step, context, event, &reported))
        pawl_step_extend(step, reported.value);
}

static inline void chore_progress(struct pawl_step *step, void *context,
                                  const struct pawl_event *event)
{
    struct pawl_reported reported;

    chore_take(step, context, event, &reported);
}

static inline void chore_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct chore *chore = context;
    struct pawl_reported reported;

    if (!chore_take(step, chore, event, &reported))
        return;
    chore->noted = 0;
    if (reported.size > 0)
        memcpy(&chore->noted, reported.bytes, reported.size < 8 ? reported.size : 8);
    chore->noted_size = (uint32_t)reported.size;
    chore->hash = reported.hash;
}

static inline void chore_accept(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    (void)step, (void)event;
    ((struct chore *)context)->accepted++;
}

static inline void chore_expired(struct pawl_step *step, void *context,
                                 const struct pawl_event *event)
{
    struct chore *chore = context;

    (void)event;
    if (pawl_step_lease_lost(step) == PAWL_LOST_AGENT)
        chore->lost++;
    else
        chore->expired++;
}

static const char *const chore_events[CHORE_EVENTS] = {"lease",   "expired", "done",     "failed",
                                                       "release", "extend",  "progress", "note",
                                                       "accept",  "again",   "end"};
static const char *const chore_defers[] = {"accept", NULL};
static const struct pawl_state_def chore_states[] = {
    {.name = "ready", .flags = PAWL_STATE_READY},
    {.name = "busy", .flags = PAWL_STATE_LEASED, .entry = chore_leased, .defers = chore_defers},
    {.name = "over"},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_timer_def chore_timers[] = {{"lease", "expired"}};
static const struct pawl_transition_def chore_transitions[] = {
    {.from = "ready", .on = "lease", .to = "busy", .guard = chore_is_willing},
    {.from = "ready", .on = "accept", .action = chore_accept},
    {.from = "busy", .on = "done", .to = "over", .action = chore_done},
    {.from = "busy", .on = "failed", .to = "ready", .action = chore_failed},
    {.from = "busy", .on = "release", .to = "ready", .action = chore_release},
    {.from = "busy", .on = "extend", .action = chore_extend},
    {.from = "busy", .on = "progress", .action = chore_progress},
    {.from = "busy", .on = "note", .action = chore_note},
    {.from = "busy", .on = "expired", .to = "ready", .action = chore_expired},
    {.from = "busy", .on = "end", .to = "gone"},
    {.from = "over", .on = "accept", .action = chore_accept},
    {.from = "over", .on = "done", .action = chore_done},
    {.from = "over", .on = "again", .to = "ready"},
    {.from = "over", .on = "end", .to = "gone"},
};
#define CHORE_TABLE(member, array)                                                                 \
    .member = array, .member##_count = sizeof(array) / sizeof((array)[0])
static const struct pawl_machine_def chore_machine = {
    .name = "chore",
    CHORE_TABLE(events, chore_events),
    CHORE_TABLE(states, chore_states),
    CHORE_TABLE(transitions, chore_transitions),
    CHORE_TABLE(timers, chore_timers),
    .lease = "lease",
    .lease_timer = "lease",
    .context_size = sizeof(struct chore),
    .unexpected = PAWL_UNEXPECTED_REFUSE,
};

static inline struct pawl_task chore_create(struct pawl_runtime *runtime, unsigned shard,
                                            const struct chore *chore)
{
    const struct pawl_task_spec spec = {
        .shard = shard, .context = chore, .context_size = sizeof(*chore)};
    struct pawl_task task = PAWL_NO_TASK;

    cr_assert_eq(pawl_task_create(runtime, &spec, &task), 0);
    return task;
}

/* In lane "work". */
static inline struct pawl_task chore_make(struct pawl_runtime *runtime, unsigned shard)
{
    return chore_create(runtime, shard,
                        &(struct chore){.claim = {.lane = pawl_lane_number("work")}});
}

static inline struct chore chore_of(struct pawl_runtime *runtime, struct pawl_task task,
                                    unsigned *state)
{
    struct chore chore = {.value = 0};
    struct pawl_view view = {.context = &chore, .context_capacity = sizeof(chore)};

    cr_assert_eq(pawl_task_peek(runtime, task, &view), 0);
    if (state != NULL)
        *state = view.state;
    return chore;
}

/* ---- agents ---- */

static const char *const work_only[] = {"work"};

/* The error of opening it; options: all but the lanes. */
static inline int chore_try_agent(struct pawl_runtime *runtime, struct pawl_agent_options options,
                                  struct pawl_agent **agent)
{
    options.lanes = work_only;
    options.lanes_count = 1;
    return pawl_agent_open(runtime, &options, agent);
}

static inline struct pawl_agent *chore_agent(struct pawl_runtime *runtime,
                                             struct pawl_agent_options options)
{
    struct pawl_agent *agent = NULL;
    const int error = chore_try_agent(runtime, options, &agent);

    cr_assert_eq(error, 0, "pawl_agent_open: %d", error);
    return agent;
}

/* ---- a runtime of the test's own making: with threads, or never started ---- */

static struct pawl_machine *chores_machine;

/* Opened, not started; options: all but the machines, and the lanes if "work" is enough. */
static inline struct pawl_runtime *chores_open(struct pawl_options options)
{
    static const struct pawl_lane_def lane = {.name = "work"};
    struct pawl_runtime *runtime = NULL;

    cr_assert_eq(pawl_machine_compile(&chore_machine, NULL, NULL, &chores_machine), 0);
    options.machines = (const struct pawl_machine *const *)&chores_machine;
    options.machine_count = 1;
    options.no_huge_pages = 1;
    if (options.lanes == NULL) {
        options.lanes = &lane;
        options.lane_count = 1;
    }
    cr_assert_eq(pawl_open(&options, &runtime), 0);
    return runtime;
}

static inline void chores_close(struct pawl_runtime *runtime)
{
    cr_assert_eq(pawl_close(runtime), 0);
    pawl_machine_destroy(chores_machine);
}

#endif /* PAWL_TESTS_SUPPORT_AGENT_FIXTURE_H */
