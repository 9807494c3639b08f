/*
 * Deferred events of every kind: with a buffer, of a port, of a thread without one, of a timer, raised.
 */
#include "support/gate_fixture.h"

/* ---- buffers ------------------------------------------------------------------------------------- */

Test(deferral_events, a_deferred_buffer_is_given_up_once_in_every_fate)
{
    enum fate { HANDLED, FAILED, OVERFLOWED, TASK_ENDED, TASK_CANCELLED, STOPPED, FATES };

    for (unsigned fate = 0; fate < FATES; fate++) {
        struct pawl_buffer *const buffer = fixture_buffer();

        gate_open();
        z_says = 1;
        if (fate == OVERFLOWED)
            for (uint32_t i = 0; i < 8; i++)
                post(G_X, i);
        fixture_post(&f, &(struct pawl_event){.task = task,
                                              .code = G_Z,
                                              .flags = PAWL_EVENT_BUFFER,
                                              .arg = {(uintptr_t)buffer}});
        fixture_run(&f);
        cr_assert_eq(fixture_references(buffer), fate == OVERFLOWED ? 1 : 2, "fate %u", fate);
        post(G_AGAIN, 1); /* once round and deferred again */
        fixture_run(&f);
        cr_assert_eq(fixture_references(buffer), fate == OVERFLOWED ? 1 : 2, "fate %u", fate);
        z_says = fate == FAILED ? 2 : 0;
        if (fate == HANDLED || fate == FAILED)
            post(G_OPEN, 2);
        else if (fate == TASK_ENDED)
            post(G_FIN, 2);
        else if (fate == TASK_CANCELLED)
            pawl_task_cancel(f.runtime, task);
        fixture_run(&f);
        if (fate == STOPPED)
            cr_assert_eq(pawl_stop(f.runtime), 0);
        cr_assert_eq(fixture_references(buffer), 1, "fate %u", fate);
        fixture_close(&f);
        cr_assert_eq(fixture_references(buffer), 1, "fate %u", fate);
        pawl_buffer_unref(buffer);
    }
}

/* ---- sources ------------------------------------------------------------------------------------- */

/*
 * Two ports, tasks that keep an event of the one, and a batch of the other's that changes their state
 * and is answered: each port must get its own completions.
 */
static void answer_tag(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    pawl_step_answer(step, 600 + event->tag);
    (void)puppet;
}

static void check_sources(bool answer, bool from_port)
{
    struct pawl_port *second;
    struct pawl_task tasks[6];
    struct pawl_completion done;

    fixture_open(&f, NULL);
    cr_assert_eq(pawl_port_open(f.runtime, NULL, &second), 0);
    for (unsigned i = 0; i < 6; i++) {
        const struct pawl_event waits = {.task = tasks[i] = fixture_puppet(&f, 0),
                                         .code = P_WAIT,
                                         .flags = PAWL_EVENT_COMPLETE,
                                         .tag = 100 + i,
                                         .arg = {100 + i}};
        struct pawl_event plain = waits;

        plain.flags = 0;
        if (from_port)
            cr_assert_eq(pawl_port_post(second, &waits, 1), 1);
        else
            cr_assert_eq(pawl_task_post(f.runtime, &plain, 1), 1);
    }
    fixture_run(&f);
    for (unsigned i = 0; i < 6; i++)
        fixture_post(&f, &(struct pawl_event){.task = tasks[i],
                                              .code = P_MOVE,
                                              .flags = PAWL_EVENT_COMPLETE,
                                              .tag = i,
                                              .arg = {answer ? puppet_word(answer_tag) : 0}});
    fixture_run(&f);
    for (unsigned i = 0; i < 6; i++) { /* in any order: they are of six tasks */
        done = fixture_reap(&f);
        cr_assert(done.tag < 6, "a completion of the other port's: %u", done.tag);
        cr_assert(done.status == 0 && done.state == S_BUSY);
        cr_assert_eq(done.task.id, tasks[done.tag].id);
        cr_assert_eq(done.value, answer ? 600 + done.tag : 0);
    }
    for (unsigned i = 0; from_port && i < 6; i++) {
        cr_assert_eq(pawl_port_reap(second, &done, 1), 1);
        cr_assert(done.tag >= 100 && done.status == 0 && done.state == S_BUSY);
        cr_assert_eq(done.task.id, tasks[done.tag - 100].id);
    }
    cr_assert(fixture_nothing_to_reap(&f));
    cr_assert_eq(trace.count, 6);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(pawl_port_close(second, 0), 0);
    fixture_close(&f);
}

Test(deferral_events, a_recall_within_a_batch_leaves_the_batchs_source_alone)
{
    check_sources(false, true);
    check_sources(true, true);
}

Test(deferral_events, a_recall_of_a_portless_event_leaves_the_batchs_source_alone)
{
    check_sources(false, false);
    check_sources(true, false);
}

/* ---- timers and raised events -------------------------------------------------------------------- */

static void arm_t(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, 0, event->arg[0] * FIXTURE_MS), 0);
    (void)context;
}

static const char *const ring_events[] = {"arm", "y", "x", "open", "close", "noise"};
enum { R_ARM, R_Y, R_X, R_OPEN, R_CLOSE, R_NOISE };
static const char *const ring_defers[] = {"y", "x", NULL};
static const char *const ring_raises[] = {"x", NULL};

static void raise_x(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_raise(step, R_X, event->arg[0], 0), 0);
    (void)context;
}

static const struct pawl_state_def ring_states[] = {{.name = "shut", .defers = ring_defers},
                                                    {.name = "open"}};
static const struct pawl_transition_def ring_transitions[] = {
    {.from = "shut", .on = "arm", .action = arm_t},
    {.from = "shut", .on = "open", .to = "open"},
    {.from = "shut", .on = "noise", .action = raise_x, .raises = ring_raises},
    {.from = "open", .on = "close", .to = "shut", .action = raise_x, .raises = ring_raises},
    {.from = "open", .on = "y", .action = puppet_note},
    {.from = "open", .on = "x", .action = puppet_note},
};
static const struct pawl_machine_def ring = {.name = "ring",
                                             FIXTURE_TABLE(events, ring_events),
                                             FIXTURE_TABLE(states, ring_states),
                                             FIXTURE_TABLE(transitions, ring_transitions),
                                             FIXTURE_TABLE(timers, gate_timers),
                                             .context_size = sizeof(struct puppet),
                                             .deferred_max = 3};

static void ring_open(void)
{
    fixture_open(&f, &(struct fixture_options){.machines = {&ring}});
    task = fixture_create(&f, 0, 0);
}

Test(deferral_events, a_timers_event_can_be_deferred)
{
    ring_open();
    fixture_send(&f, task, R_ARM, 5);
    fixture_advance(&f, 6 * FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).deferred, 1);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_send(&f, task, R_OPEN, 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(0)); /* arg[0] is the timer's number */
    fixture_close(&f);
}

Test(deferral_events, a_timers_event_at_the_limit_is_tried_again)
{
    ring_open();
    for (uint64_t i = 1; i <= 3; i++)
        fixture_send(&f, task, R_Y, i);
    fixture_send(&f, task, R_ARM, 5);
    fixture_advance(&f, 50 * FIXTURE_MS);
    cr_assert_eq(f.undelivered_count, 0);
    fixture_send(&f, task, R_OPEN, 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3));
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(1, 2, 3, 0));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(deferral_events, a_raised_event_is_kept_like_an_outside_one)
{
    ring_open();
    fixture_send(&f, task, R_Y, 1);
    fixture_send(&f, task, R_NOISE, 2);
    fixture_send(&f, task, R_Y, 3);
    fixture_run(&f);
    cr_assert_eq(trace.count, 0);
    post(R_NOISE, 4); /* a fourth does not fit, so the step that raises it does not take place */
    fixture_run(&f);
    expect(4, -ENOSPC, 0);
    fixture_send(&f, task, R_OPEN, 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3));
    cr_assert_eq(fixture_counters(&f).deferred, 3);
    cr_assert_eq(fixture_counters(&f).recalled, 3);
    /* Raised on the way into a state that defers it. */
    fixture_send(&f, task, R_CLOSE, 5);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3));
    fixture_send(&f, task, R_OPEN, 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3, 5));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

/*
 * Two events that pass the task to and fro between two states, each raised again where it is deferred:
 * every recall changes the state and leaves as many to recall. A turn must end all the same.
 */
#define ROUNDS_MAX 100000u
static unsigned rounds;
static const char *const pass_events[] = {"x", "y"};
static const char *const pass_x[] = {"x", NULL};
static const char *const pass_y[] = {"y", NULL};

static void pass(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    if (++rounds < ROUNDS_MAX)
        pawl_step_raise(step, event->code, 0, 0);
    (void)context;
}

static const struct pawl_state_def pass_states[] = {{.name = "a", .defers = pass_y},
                                                    {.name = "b", .defers = pass_x}};
static const struct pawl_transition_def pass_transitions[] = {
    {.from = "a", .on = "x", .to = "b", .action = pass, .raises = pass_x},
    {.from = "b", .on = "y", .to = "a", .action = pass, .raises = pass_y},
};
static const struct pawl_machine_def to_and_fro = {.name = "pass",
                                                   FIXTURE_TABLE(events, pass_events),
                                                   FIXTURE_TABLE(states, pass_states),
                                                   FIXTURE_TABLE(transitions, pass_transitions)};

Test(deferral_events, a_recall_has_an_end)
{
    struct pawl_machine *machine = NULL;

    /* Either the chain without a bound is refused, or something stops it. */
    if (pawl_machine_compile(&to_and_fro, NULL, NULL, &machine) != 0)
        return;
    pawl_machine_destroy(machine);
    fixture_open(&f, &(struct fixture_options){.machines = {&to_and_fro}});
    task = fixture_create(&f, 0, 0);
    rounds = 0;
    fixture_send(&f, task, 1, 0);
    fixture_send(&f, task, 0, 0);
    fixture_turn(&f);
    cr_assert(rounds < ROUNDS_MAX, "one turn has made %u steps of one task", rounds);
    fixture_close(&f);
}
