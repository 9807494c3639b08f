/* Rows by hand: which functions, in which order, and which timers, for each kind of transition. */
#include <string.h>

#include "machine/compiled.h"
#include "machine/flatten.h"
#include "support/diagnostics.h"
#include "support/test.h"

#define FUNCTION(name)                                                                             \
    static void name(struct pawl_step *step, void *context, const struct pawl_event *event)        \
    {                                                                                              \
        (void)step, (void)context, (void)event;                                                    \
    }

FUNCTION(in_p)
FUNCTION(out_p)
FUNCTION(in_q)
FUNCTION(out_q)
FUNCTION(in_a)
FUNCTION(out_a)
FUNCTION(in_b)
FUNCTION(out_b)
FUNCTION(in_x)
FUNCTION(out_x)
FUNCTION(act)

static bool guard(const struct pawl_step *step, const void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return true;
}

/* x stands alone; p holds q and b; q holds a. */
static const char *const events[] = {"self",   "inward", "outward", "across", "local",
                                     "return", "quiet",  "choose",  "kept",   "tick"};
static const char *const kept[] = {"kept", NULL};
static const char *const raises_tick[] = {"tick", NULL};
static const struct pawl_state_def states[] = {
    {.name = "x", .entry = in_x, .exit = out_x, .timeout_ns = 9, .timeout = "tick"},
    {.name = "p",
     .initial = "q",
     .flags = PAWL_STATE_HISTORY,
     .entry = in_p,
     .exit = out_p,
     .timeout_ns = 7,
     .timeout = "tick",
     .defers = kept,
     .raises = raises_tick},
    {.name = "q", .parent = "p", .initial = "a", .entry = in_q, .exit = out_q},
    {.name = "a", .parent = "q", .entry = in_a, .exit = out_a, .timeout_ns = 5, .timeout = "tick"},
    {.name = "b", .parent = "p", .entry = in_b, .exit = out_b},
    {.name = "end", .parent = "p", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "q", .on = "self", .to = "q", .action = act},
    {.from = "x", .on = "inward", .to = "p", .action = act},
    {.from = "a", .on = "outward", .to = "p", .action = act},
    {.from = "b", .on = "across", .to = "x"},
    {.from = "p", .on = "local", .to = "b"},
    {.from = "x", .on = "return", .to = "p", .flags = PAWL_TRANSITION_HISTORY},
    {.from = "p", .on = "return", .to = "p", .flags = PAWL_TRANSITION_HISTORY},
    {.from = "p", .on = "quiet", .action = act},
    {.from = "p", .on = "choose", .to = "x"},
    {.from = "q", .on = "choose", .to = "b", .guard = guard},
    {.from = "b", .on = "choose", .to = "end"},
    {.from = "x", .on = "tick", .to = "x"},
};
static const struct pawl_machine_def definition = {.name = "m",
                                                   PAWL_TABLE(events),
                                                   PAWL_TABLE(states),
                                                   PAWL_TABLE(transitions),
                                                   .unexpected = PAWL_UNEXPECTED_REFUSE};

enum { X, P, Q, A, B, END };

static struct pawl_machine *compile(void)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert(diagnostics_compile(&d, &definition, &machine) == 0, "%s", d.text);
    return machine;
}

static const struct transition *row_of(const struct pawl_machine *m, unsigned leaf,
                                       const char *event)
{
    return &m->transitions[m->cells[leaf * m->events_count +
                                    (unsigned)pawl_machine_event(m, event)]];
}

static bool runs(const struct transition *row, pawl_action_fn *const *functions, unsigned count)
{
    return row->functions_count == count &&
           (count == 0 || memcmp(row->functions, functions, count * sizeof(*functions)) == 0);
}

#define RUNS(row, ...)                                                                             \
    runs(row, (pawl_action_fn *const[]){__VA_ARGS__},                                              \
         sizeof((pawl_action_fn *const[]){__VA_ARGS__}) / sizeof(pawl_action_fn *))

/* Timers of the states: x 0, p 1, a 2. */
static bool changes(const struct transition *row, unsigned at, unsigned timer, uint64_t delay_ns)
{
    return at < row->timers_count && row->timers[at].timer == timer &&
           row->timers[at].delay_ns == delay_ns;
}

Test(machine_flatten, exits_run_innermost_first_and_entries_outermost_first)
{
    struct pawl_machine *const m = compile();
    const struct transition *row = row_of(m, X, "inward");

    cr_assert(RUNS(row, out_x, act, in_p, in_q, in_a));
    cr_assert_eq(row->target, A);
    cr_assert_eq(row->flags, TRANSITION_EXTERNAL);
    cr_assert_eq(row->timers_count, 3);
    cr_assert(changes(row, 0, 0, 0) && changes(row, 1, 1, 7) && changes(row, 2, 2, 5));
    cr_assert_eq(row->history_mask, 0);
    cr_assert_eq(row->raises[0], 1u << 9);
    row = row_of(m, B, "across");
    cr_assert(RUNS(row, out_b, out_p, in_x));
    cr_assert_eq(row->target, X);
    cr_assert(changes(row, 0, 1, 0) && changes(row, 1, 0, 9) && row->timers_count == 2);
    cr_assert_eq(row->history_mask, 3);
    cr_assert_eq(row->history_bits, 2); /* b is the second of p's three children */
    pawl_machine_destroy(m);
}

Test(machine_flatten, self_transitions_exit_and_enter)
{
    struct pawl_machine *const m = compile();
    const struct transition *const row = row_of(m, A, "self");

    cr_assert(RUNS(row, out_a, out_q, act, in_q, in_a));
    cr_assert_eq(row->target, A);
    cr_assert_eq(row->timers_count, 1);
    cr_assert(changes(row, 0, 2, 5)); /* armed anew, which needs no cancel */
    cr_assert(row->raises == NULL);
    pawl_machine_destroy(m);
}

Test(machine_flatten, transitions_to_descendants_and_ancestors_keep_the_outer_state)
{
    struct pawl_machine *const m = compile();
    const struct transition *row = row_of(m, A, "local");

    cr_assert(RUNS(row, out_a, out_q, in_b));
    cr_assert_eq(row->target, B);
    cr_assert(changes(row, 0, 2, 0) && row->timers_count == 1);
    cr_assert_eq(row->history_mask, 0);
    row = row_of(m, B, "local");
    cr_assert(RUNS(row, out_b, in_b));
    row = row_of(m, A, "outward");
    cr_assert(RUNS(row, out_a, out_q, act, in_q, in_a));
    cr_assert_eq(row->target, A);
    pawl_machine_destroy(m);
}

Test(machine_flatten, internal_transitions_only_act)
{
    struct pawl_machine *const m = compile();
    const struct transition *const row = row_of(m, A, "quiet");

    cr_assert(RUNS(row, act));
    cr_assert_eq(row->target, A);
    cr_assert_eq(row->flags, TRANSITION_PLAIN);
    cr_assert_eq(row->timers_count, 0);
    pawl_machine_destroy(m);
}

Test(machine_flatten, history_has_a_variant_for_each_child)
{
    struct pawl_machine *const m = compile();
    const struct transition *const row = row_of(m, X, "return");
    const struct transition *const variant = &m->transitions[row->variants];

    cr_assert_eq(m->history_width, 2);
    cr_assert_eq(row->kind, TRANSITION_VARIANTS);
    cr_assert_eq(row->variant_shift, 0);
    cr_assert_eq(row->variant_mask, 3);
    cr_assert_eq(row->flags, TRANSITION_EXTERNAL);
    cr_assert(RUNS(&variant[0], out_x, in_p, in_q, in_a));
    cr_assert(RUNS(&variant[1], out_x, in_p, in_q, in_a));
    cr_assert(RUNS(&variant[2], out_x, in_p, in_b));
    cr_assert_eq(variant[2].target, B);
    cr_assert_eq(variant[3].target, END);
    cr_assert(variant[3].flags & TRANSITION_FINAL);
    pawl_machine_destroy(m);
}

/* What the transition itself leaves is what it comes back to: no variants. */
Test(machine_flatten, history_of_a_state_that_the_transition_leaves_is_known)
{
    struct pawl_machine *const m = compile();
    const struct transition *const row = row_of(m, B, "return");

    cr_assert_eq(row->kind, TRANSITION_TAKE);
    cr_assert(RUNS(row, out_b, out_p, in_p, in_b));
    cr_assert_eq(row->target, B);
    cr_assert_eq(row->history_bits, 2);
    pawl_machine_destroy(m);
}

Test(machine_flatten, candidates_are_tried_from_the_leaf_outwards)
{
    struct pawl_machine *const m = compile();
    const struct transition *row = row_of(m, A, "choose");

    cr_assert(row->guard == guard && row->target == B);
    row = &m->transitions[row->next];
    cr_assert(row->guard == NULL && row->target == X);
    cr_assert_eq(row->next, TRANSITION_NONE);
    row = row_of(m, A, "kept");
    cr_assert(row->kind == TRANSITION_DEFER && row->target == A && row->flags == 0);
    row = row_of(m, X, "kept");
    cr_assert(row->kind == TRANSITION_REFUSE && row->next == TRANSITION_NONE);
    cr_assert(row == row_of(m, X, "quiet")); /* shared by the leaf's events */
    pawl_machine_destroy(m);
}

Test(machine_flatten, final_states_end_the_task_and_arm_nothing)
{
    struct pawl_machine *const m = compile();
    const struct transition *row = row_of(m, B, "choose");

    cr_assert(RUNS(row, out_b));
    cr_assert_eq(row->target, END);
    cr_assert_eq(row->flags, TRANSITION_EXTERNAL | TRANSITION_FINAL | TRANSITION_LAST);
    cr_assert_eq(m->states[END].final, 1);
    /* The parent's transitions do not reach into a task that has ended. */
    row = row_of(m, END, "choose");
    cr_assert_eq(row->kind, TRANSITION_IGNORE);
    pawl_machine_destroy(m);
}

Test(machine_flatten, cancel_runs_all_exits_and_create_all_entries)
{
    struct pawl_machine *const m = compile();
    const struct transition *row = &m->transitions[m->states[A].cancel];

    cr_assert(RUNS(row, out_a, out_q, out_p));
    cr_assert_eq(row->flags, TRANSITION_FINAL);
    cr_assert_eq(row->target, A);
    cr_assert_eq(row->event, PAWL_CODE_CANCEL);
    cr_assert(row->timers_count == 2 && changes(row, 0, 2, 0) && changes(row, 1, 1, 0));
    row = &m->transitions[m->create];
    cr_assert(RUNS(row, in_x));
    cr_assert_eq(row->target, X);
    cr_assert_eq(row->event, PAWL_CODE_CREATE);
    cr_assert(row->timers_count == 1 && changes(row, 0, 0, 9));
    pawl_machine_destroy(m);
}

Test(machine_flatten, an_initial_state_may_be_a_parent_or_nested)
{
    static struct diagnostics d;
    struct pawl_machine_def other = definition;
    struct pawl_machine *m;
    const struct transition *row;

    other.initial = "q";
    cr_assert(diagnostics_compile(&d, &other, &m) == 0, "%s", d.text);
    row = &m->transitions[m->create];
    cr_assert(RUNS(row, in_p, in_q, in_a));
    cr_assert_eq(row->target, A);
    cr_assert_eq(row->state, A);
    pawl_machine_destroy(m);
}

/* 300 leaves inherit 300 transitions: more rows than there are numbers. */
Test(machine_flatten, too_many_rows_are_refused)
{
    static struct pawl_state_def many_states[301];
    static struct pawl_transition_def many_transitions[300];
    static char names[300][2][16];
    static const char *many_events[300];
    static struct diagnostics d;
    struct pawl_machine *m;
    const struct pawl_machine_def many = {.name = "m",
                                          .events = many_events,
                                          .events_count = 300,
                                          .states = many_states,
                                          .states_count = 301,
                                          .transitions = many_transitions,
                                          .transitions_count = 300};

    many_states[300] = (struct pawl_state_def){.name = "all", .initial = "s0"};
    for (unsigned i = 0; i < 300; i++) {
        snprintf(names[i][0], sizeof(names[i][0]), "s%u", i);
        snprintf(names[i][1], sizeof(names[i][1]), "e%u", i);
        many_events[i] = names[i][1];
        many_states[i] = (struct pawl_state_def){.name = names[i][0], .parent = "all"};
        many_transitions[i] =
            (struct pawl_transition_def){.from = "all", .on = names[i][1], .to = names[i][0]};
    }
    cr_assert_eq(diagnostics_compile(&d, &many, &m), -ENOSPC);
    cr_assert(diagnostics_have(&d, "error -28", "machine 'm' |", "are more than 65535"), "%s",
              d.text);
    cr_assert(m == NULL);
}
