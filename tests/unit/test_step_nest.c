/*
 * A step in nested states: which functions run, in which order, with history; and a cancel, which leaves them all.
 */
#include "support/fixture.h"

/* ---- nesting ------------------------------------------------------------------------------------- */

#define TELL(name)                                                                                 \
    static void name(struct pawl_step *step, void *context, const struct pawl_event *event)        \
    {                                                                                              \
        (void)step, (void)context, (void)event;                                                    \
        story_add(#name);                                                                          \
    }
#define TELL_STATE(state) TELL(in_##state) TELL(out_##state)
TELL_STATE(top)
TELL_STATE(a)
TELL_STATE(a1)
TELL_STATE(a2)
TELL_STATE(b)
TELL_STATE(rest)
TELL(in_end)
TELL(act)
TELL(poke0)
TELL(poke1)
TELL(poke2)
TELL(poke3)

#define SAY_GUARD(n)                                                                               \
    static bool is##n(const struct pawl_step *step, const void *context,                           \
                      const struct pawl_event *event)                                              \
    {                                                                                              \
        (void)step, (void)context;                                                                 \
        story_add("?" #n);                                                                         \
        return event->arg[0] == (n);                                                               \
    }
SAY_GUARD(0)
SAY_GUARD(1)
SAY_GUARD(2)

enum nest_event {
    N_NEXT,
    N_UP,
    N_DOWN,
    N_RESET,
    N_SELF,
    N_LEAVE,
    N_HISTORY,
    N_FRESH,
    N_POKE,
    N_B,
    N_STOP
};
static const char *const nest_events[] = {"next",    "up",    "down", "reset", "self", "leave",
                                          "history", "fresh", "poke", "to_b",  "stop"};
#define NEST_STATE(state) .name = #state, .entry = in_##state, .exit = out_##state
static const struct pawl_state_def nest_states[] = {
    {NEST_STATE(top), .initial = "a"},
    {NEST_STATE(a), .parent = "top", .initial = "a1", .flags = PAWL_STATE_HISTORY},
    {NEST_STATE(a1), .parent = "a"},
    {NEST_STATE(a2), .parent = "a"},
    {NEST_STATE(b), .parent = "top"},
    {NEST_STATE(rest)},
    {.name = "end", .flags = PAWL_STATE_FINAL, .entry = in_end},
};
enum { N_TOP, N_A, N_A1, N_A2, N_SB, N_REST, N_END };
static const struct pawl_transition_def nest_transitions[] = {
    {.from = "a1", .on = "next", .to = "a2", .action = act},
    {.from = "a2", .on = "next", .to = "a1", .action = act},
    {.from = "a2", .on = "up", .to = "a", .action = act},
    {.from = "a", .on = "down", .to = "a2", .action = act},
    {.from = "top", .on = "reset", .to = "top", .action = act},
    {.from = "a", .on = "self", .to = "a", .action = act},
    {.from = "top", .on = "leave", .to = "rest", .action = act},
    {.from = "rest", .on = "history", .to = "a", .action = act, .flags = PAWL_TRANSITION_HISTORY},
    {.from = "b", .on = "history", .to = "a", .action = act, .flags = PAWL_TRANSITION_HISTORY},
    {.from = "rest", .on = "fresh", .to = "a", .action = act},
    {.from = "a1", .on = "poke", .guard = is0, .action = poke0},
    {.from = "a1", .on = "poke", .guard = is1, .action = poke1},
    {.from = "a", .on = "poke", .guard = is2, .action = poke2},
    {.from = "top", .on = "poke", .action = poke3},
    {.from = "a", .on = "to_b", .to = "b", .action = act},
    {.from = "top", .on = "stop", .to = "end", .action = act},
};
static const struct pawl_machine_def nest = {.name = "nest",
                                             FIXTURE_TABLE(events, nest_events),
                                             FIXTURE_TABLE(states, nest_states),
                                             FIXTURE_TABLE(transitions, nest_transitions)};

static struct fixture f;
static struct pawl_task nested;

static void expect(enum nest_event code, uint64_t arg, const char *told, unsigned state)
{
    struct pawl_completion done;

    story_clear();
    done = fixture_ask(&f, nested, (uint16_t)code, arg, 0);
    cr_assert_eq(done.status, 0);
    cr_assert_str_eq(story.text, told);
    cr_assert_eq(done.state, state, "after %s in %u", nest_events[code], done.state);
}

static void nest_open(void)
{
    fixture_open(&f, &(struct fixture_options){.machines = {&nest}});
    nested = fixture_create(&f, 0, 0);
    cr_assert_str_eq(story.text, "in_top in_a in_a1");
    cr_assert_eq(fixture_state(&f, nested), N_A1);
}

Test(step_nest, exits_run_inside_out_and_entries_outside_in)
{
    nest_open();
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_UP, 0, "out_a2 act in_a1", N_A1);
    expect(N_DOWN, 0, "out_a1 act in_a2", N_A2);
    expect(N_DOWN, 0, "out_a2 act in_a2", N_A2);
    expect(N_SELF, 0, "out_a2 out_a act in_a in_a1", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_RESET, 0, "out_a2 out_a out_top act in_top in_a in_a1", N_A1);
    expect(N_LEAVE, 0, "out_a1 out_a out_top act in_rest", N_REST);
    expect(N_FRESH, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_B, 0, "out_a1 out_a act in_b", N_SB);
    expect(N_NEXT, 0, "", N_SB);
    expect(N_STOP, 0, "out_b out_top act in_end", N_END);
    cr_assert(!fixture_is_alive(&f, nested));
    fixture_close(&f);
}

Test(step_nest, history_enters_the_remembered_child)
{
    nest_open();
    expect(N_LEAVE, 0, "out_a1 out_a out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a2", N_A2);
    expect(N_B, 0, "out_a2 out_a act in_b", N_SB);
    expect(N_LEAVE, 0, "out_b out_top act in_rest", N_REST);
    expect(N_HISTORY, 0, "out_rest act in_top in_a in_a2", N_A2);
    expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
    expect(N_FRESH, 0, "out_rest act in_top in_a in_a1", N_A1);
    expect(N_B, 0, "out_a1 out_a act in_b", N_SB);
    expect(N_HISTORY, 0, "out_b act in_a in_a1", N_A1);
    fixture_close(&f);
}

Test(step_nest, a_reused_slot_has_no_history)
{
    struct pawl_machine_def resting = nest;

    resting.initial = "rest";
    fixture_open(&f, &(struct fixture_options){.machines = {&resting}});
    for (unsigned i = 0; i < 2000; i++) {
        nested = fixture_create(&f, 0, 0);
        expect(N_HISTORY, 0, "out_rest act in_top in_a in_a1", N_A1);
        expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
        expect(N_LEAVE, 0, "out_a2 out_a out_top act in_rest", N_REST);
        cr_assert_eq(pawl_task_cancel(f.runtime, nested), 0);
        fixture_run(&f);
    }
    fixture_close(&f);
}

Test(step_nest, guards_are_asked_in_order_and_then_outwards)
{
    nest_open();
    expect(N_POKE, 0, "?0 poke0", N_A1);
    expect(N_POKE, 1, "?0 ?1 poke1", N_A1);
    expect(N_POKE, 2, "?0 ?1 ?2 poke2", N_A1);
    expect(N_POKE, 3, "?0 ?1 ?2 poke3", N_A1);
    expect(N_NEXT, 0, "out_a1 act in_a2", N_A2);
    expect(N_POKE, 0, "?2 poke3", N_A2);
    expect(N_POKE, 2, "?2 poke2", N_A2);
    expect(N_B, 0, "out_a2 out_a act in_b", N_SB);
    expect(N_POKE, 2, "poke3", N_SB);
    fixture_close(&f);
}

Test(step_nest, cancel_runs_all_exit_actions)
{
    struct pawl_completion done;

    nest_open();
    story_clear();
    cr_assert_eq(pawl_port_cancel(f.port, nested, 31), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 31 && done.task.id == nested.id);
    cr_assert_str_eq(story.text, "out_a1 out_a out_top");
    cr_assert(!fixture_is_alive(&f, nested));
    cr_assert_eq(pawl_port_cancel(f.port, nested, 32), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, -ESTALE);
    fixture_close(&f);
}

/* ---- cancel -------------------------------------------------------------------------------------- */

static struct pawl_task other; /* whom an exit action posts to */
static int exit_says;          /* 0, a negative error to abort with, or 1: defer */

static void leaving(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    trace_add(event->code);
    if (exit_says < 0)
        pawl_step_abort(step, exit_says);
    else if (exit_says == 1)
        cr_assert_eq(pawl_step_defer(step), 0);
    else
        pawl_step_post(step, &(struct pawl_event){.task = other, .code = P_NOTE});
    (void)context;
}

static const char *const last_events[] = {"swap", "please"};
static const struct pawl_state_def last_states[] = {
    {.name = "one", .exit = leaving}, {.name = "two"}, {.name = "end", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def last_transitions[] = {
    {.from = "one", .on = "swap", .to = "two"},
    {.from = "two", .on = "swap", .to = "one"},
    {.from = "one", .on = "please", .to = "two", .action = puppet_note},
    {.from = "two", .on = "please", .to = "end", .action = puppet_note},
};
static const struct pawl_machine_def last_exit = {.name = "last",
                                                  FIXTURE_TABLE(events, last_events),
                                                  FIXTURE_TABLE(states, last_states),
                                                  FIXTURE_TABLE(transitions, last_transitions),
                                                  .context_size = sizeof(struct puppet)};

/* A task of last_exit, with this cancel event or none; what its exit action says. */
static struct pawl_task open_last(const char *cancel, int says)
{
    static struct pawl_machine_def definition;

    definition = last_exit;
    definition.cancel = cancel;
    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &definition}});
    other = fixture_puppet(&f, 0);
    exit_says = says;
    return fixture_create(&f, 1, 0);
}

Test(step_nest, exit_actions_of_a_cancel_see_its_code_and_can_post)
{
    const struct pawl_task task = open_last(NULL, 0);

    cr_assert_eq(pawl_task_cancel(f.runtime, task), 0);
    fixture_run(&f);
    cr_assert(!fixture_is_alive(&f, task));
    cr_assert(TRACE_IS(PAWL_CODE_CANCEL, 0));
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(step_nest, a_cancel_whose_exit_action_gives_up_is_refused)
{
    const struct pawl_task task = open_last(NULL, -EIO);

    cr_assert_eq(pawl_port_cancel(f.port, task, 1), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, -EIO);
    cr_assert(fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(step_nest, a_cancel_that_an_exit_action_defers_comes_back)
{
    const struct pawl_task task = open_last(NULL, 1);

    cr_assert_eq(pawl_port_cancel(f.port, task, 1), 0);
    fixture_run(&f);
    cr_assert(fixture_nothing_to_reap(&f));
    cr_assert(fixture_is_alive(&f, task));
    exit_says = 0;
    fixture_send(&f, task, 0, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, 0);
    cr_assert(!fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(step_nest, cancel_delivers_the_machines_cancel_event)
{
    const struct pawl_task task = open_last("please", 0);
    struct pawl_completion done;

    cr_assert_eq(pawl_port_cancel(f.port, task, 6), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 6 && done.state == 1);
    cr_assert(fixture_is_alive(&f, task));
    cr_assert_eq(fixture_puppet_of(&f, task).count, 1);
    cr_assert_eq(pawl_task_cancel(f.runtime, task), 0);
    fixture_run(&f);
    cr_assert(!fixture_is_alive(&f, task));
    fixture_close(&f);
}
