/*
 * gate_fixture.h - for tests: a gate, which keeps events while it is closed.
 */
#ifndef PAWL_TESTS_SUPPORT_GATE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_GATE_FIXTURE_H

#include "support/fixture.h"

/*
 * closed defers x and y; half defers y; open takes both. x in half goes on to open. So a recall that
 * changes the state must begin anew.
 */
enum gate_event { G_X, G_Y, G_Z, G_OPEN, G_HALF, G_CLOSE, G_AGAIN, G_FIN, G_TOUCH };
static const char *const gate_events[] = {"x",     "y",     "z",   "open", "half",
                                          "close", "again", "fin", "touch"};
static const char *const gate_closed[] = {"x", "y", NULL};
static const char *const gate_half[] = {"y", NULL};
static const struct pawl_state_def gate_states[] = {
    {.name = "closed", .defers = gate_closed},
    {.name = "half", .defers = gate_half},
    {.name = "open"},
    {.name = "end", .flags = PAWL_STATE_FINAL},
};
enum { G_SCLOSED, G_SHALF, G_SOPEN, G_SEND };

static int z_says; /* 1: defer; 2: abort; 3: finish */

static inline void z_action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    if (z_says == 1) {
        /* Nothing else of a step that defers takes effect. */
        ((struct puppet *)context)->count += 1000;
        cr_assert_eq(pawl_step_arm(step, 0, FIXTURE_MS), 0);
        cr_assert_eq(pawl_step_post(
                         step, &(struct pawl_event){.task = pawl_step_task(step), .code = G_TOUCH}),
                     0);
        cr_assert_eq(pawl_step_answer(step, 9), 0);
        cr_assert_eq(pawl_step_defer(step), 0);
    } else if (z_says == 2) {
        pawl_step_abort(step, -EIO);
    } else {
        puppet_note(step, context, event);
        if (z_says == 3)
            pawl_step_finish(step);
    }
}

static const struct pawl_timer_def gate_timers[] = {{"t", "y"}};
static const struct pawl_transition_def gate_transitions[] = {
    {.from = "closed", .on = "open", .to = "open"},
    {.from = "closed", .on = "half", .to = "half"},
    {.from = "half", .on = "x", .to = "open", .action = puppet_note},
    {.from = "open", .on = "x", .action = puppet_note},
    {.from = "open", .on = "y", .action = puppet_note},
    {.from = "open", .on = "close", .to = "closed"},
    {.from = "half", .on = "close", .to = "closed"},
    {.from = "closed", .on = "again", .to = "closed"},
    {.from = "closed", .on = "z", .action = z_action},
    {.from = "half", .on = "z", .action = z_action},
    {.from = "open", .on = "z", .action = z_action},
    {.from = "open", .on = "fin", .to = "end"},
    {.from = "closed", .on = "fin", .to = "end"},
    {.from = "closed", .on = "touch", .action = puppet_note},
    {.from = "open", .on = "touch", .action = puppet_note},
};
static const struct pawl_machine_def gate = {.name = "gate",
                                             FIXTURE_TABLE(events, gate_events),
                                             FIXTURE_TABLE(states, gate_states),
                                             FIXTURE_TABLE(transitions, gate_transitions),
                                             FIXTURE_TABLE(timers, gate_timers),
                                             .context_size = sizeof(struct puppet),
                                             .deferred_max = 8};

static struct fixture f;
static struct pawl_task task;

static inline void gate_open(void)
{
    z_says = 0;
    fixture_open(&f, &(struct fixture_options){.machines = {&gate}});
    task = fixture_create(&f, 0, 0);
}

/* Posts with a completion; its tag is arg. */
static inline void post(uint16_t code, uint32_t arg)
{
    fixture_post(
        &f,
        &(struct pawl_event){
            .task = task, .code = code, .flags = PAWL_EVENT_COMPLETE, .tag = arg, .arg = {arg}});
}

/* The next completion is this one. */
static inline void expect(uint32_t tag, int status, unsigned state)
{
    const struct pawl_completion done = fixture_reap(&f);

    cr_assert_eq(done.tag, tag, "%u came in place of %u", done.tag, tag);
    cr_assert_eq(done.status, status, "tag %u: %d", tag, done.status);
    cr_assert(status != 0 || done.state == state);
    cr_assert_eq(done.task.id, task.id);
}

#endif /* PAWL_TESTS_SUPPORT_GATE_FIXTURE_H */
