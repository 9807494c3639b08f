/* Chains of raised events: what is refused, what is not, and what the finding says. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "machine/raises.h"
#include "support/diagnostics.h"
#include "support/test.h"

static void action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static bool guard(const struct pawl_step *step, const void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return false;
}

static struct diagnostics d;

static const char *const raises_a[] = {"a", NULL};
static const char *const raises_b[] = {"b", NULL};
static const char *const raises_ab[] = {"a", "b", NULL};

#define EVENTS(...)      static const char *const events[] = {__VA_ARGS__}
#define STATES(...)      static const struct pawl_state_def states[] = {__VA_ARGS__}
#define TRANSITIONS(...) static const struct pawl_transition_def transitions[] = {__VA_ARGS__}
#define COMPILE(...)                                                                               \
    compile(&(const struct pawl_machine_def){.name = "m",                                          \
                                             PAWL_TABLE(events),                                   \
                                             PAWL_TABLE(states),                                   \
                                             PAWL_TABLE(transitions),                              \
                                             __VA_ARGS__})

static int compile(const struct pawl_machine_def *definition)
{
    struct pawl_machine *machine;
    const int error = diagnostics_compile(&d, definition, &machine);

    cr_assert_eq(error == 0, machine != NULL);
    pawl_machine_destroy(machine);
    return error;
}

Test(machine_raises, an_event_that_raises_itself_is_refused)
{
    EVENTS("a");
    STATES({.name = "x"});
    TRANSITIONS({.from = "x", .on = "a", .guard = guard, .action = action, .raises = raises_a});

    cr_assert_eq(COMPILE(), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22",
                               "machine 'm', transition 0 (x --a--> itself, internal) |",
                               "without an end: a in x -> a in x;"),
              "%s", d.text);
    cr_assert_eq(d.errors, 1);
}

Test(machine_raises, a_cycle_over_states_and_events_is_named)
{
    EVENTS("go", "a", "b");
    STATES({.name = "idle"}, {.name = "x", .entry = action, .raises = raises_a},
           {.name = "y", .exit = action, .raises = raises_b});
    TRANSITIONS({.from = "idle", .on = "go", .to = "x"},
                {.from = "x", .on = "a", .to = "y", .action = action, .raises = raises_a},
                {.from = "y", .on = "a", .to = "x", .guard = guard},
                {.from = "y", .on = "b", .to = "idle"}, {.from = "x", .on = "b", .to = "idle"});

    cr_assert_eq(COMPILE(), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "(x --a--> y)", "a in x -> a in y -> a in x;") ||
                  diagnostics_have(&d, "error -22", "(y --a--> x)", "a in y -> a in x -> a in y;"),
              "%s", d.text);
}

Test(machine_raises, a_chain_that_ends_is_allowed)
{
    EVENTS("go", "a");
    STATES({.name = "x"}, {.name = "y"}, {.name = "z"});
    TRANSITIONS({.from = "x", .on = "go", .to = "y", .action = action, .raises = raises_a},
                {.from = "y", .on = "a", .to = "z", .action = action, .raises = raises_a},
                {.from = "z", .on = "a", .to = "x"});

    cr_assert(COMPILE() == 0, "%s", d.text);
}

/* Alone, a in x ends the chain; with a second one waiting it would meet y. */
Test(machine_raises, two_that_wait_together_are_judged_together)
{
    EVENTS("go", "a", "b");
    STATES({.name = "idle"}, {.name = "x"}, {.name = "y"});
    {
        TRANSITIONS({.from = "idle", .on = "go", .to = "x", .action = action, .raises = raises_a},
                    {.from = "x", .on = "a", .to = "y"}, {.from = "x", .on = "b", .to = "y"},
                    {.from = "y", .on = "a", .to = "x", .action = action, .raises = raises_a});
        cr_assert(COMPILE() == 0, "%s", d.text);
    }
    {
        TRANSITIONS({.from = "idle", .on = "go", .to = "x", .action = action, .raises = raises_ab},
                    {.from = "x", .on = "b", .to = "y"}, {.from = "x", .on = "a", .to = "y"},
                    {.from = "y", .on = "a", .to = "x", .action = action, .raises = raises_ab});
        cr_assert_eq(COMPILE(), -EINVAL);
        cr_assert(diagnostics_have(&d, "error -22", "", "without an end"), "%s", d.text);
    }
}

Test(machine_raises, what_a_final_state_raises_is_not_handled)
{
    EVENTS("a");
    STATES({.name = "x"},
           {.name = "end", .flags = PAWL_STATE_FINAL, .entry = action, .raises = raises_a});
    TRANSITIONS({.from = "x", .on = "a", .to = "end", .action = action, .raises = raises_a});

    cr_assert(COMPILE() == 0, "%s", d.text);
}

Test(machine_raises, a_cycle_that_creation_starts_is_refused)
{
    EVENTS("a");
    STATES({.name = "x", .entry = action, .raises = raises_a});
    TRANSITIONS({.from = "x", .on = "a", .to = "x"});

    cr_assert_eq(COMPILE(), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "transition 0", "a in x -> a in x"), "%s", d.text);
}

Test(machine_raises, history_variants_count)
{
    EVENTS("go", "a");
    STATES({.name = "x"}, {.name = "p", .initial = "y", .flags = PAWL_STATE_HISTORY},
           {.name = "y", .parent = "p"},
           {.name = "z", .parent = "p", .entry = action, .raises = raises_a});
    TRANSITIONS({.from = "x", .on = "a", .to = "p", .flags = PAWL_TRANSITION_HISTORY},
                {.from = "p", .on = "a", .to = "x", .action = action, .raises = raises_a},
                {.from = "y", .on = "go", .to = "z"});

    /* x, a enters z by history, which raises a, which leaves to x and raises a. */
    cr_assert_eq(COMPILE(), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "", "a in x -> a in z -> a in x") ||
                  diagnostics_have(&d, "error -22", "", "a in z -> a in x -> a in z"),
              "%s", d.text);
}

/* A line of states, each of which raises the event that leads to the next. */
static int compile_line(unsigned length)
{
    static struct pawl_state_def states[RAISE_CHAIN_MAX + 4];
    static struct pawl_transition_def transitions[RAISE_CHAIN_MAX + 4];
    static char names[RAISE_CHAIN_MAX + 4][16];
    static const char *const events[] = {"a"};
    const struct pawl_machine_def definition = {.name = "m",
                                                PAWL_TABLE(events),
                                                .states = states,
                                                .states_count = length + 2,
                                                .transitions = transitions,
                                                .transitions_count = length + 1};

    for (unsigned i = 0; i < length + 2; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i);
        states[i] = (struct pawl_state_def){.name = names[i]};
    }
    states[length + 1].flags = PAWL_STATE_FINAL;
    for (unsigned i = 0; i < length + 1; i++) {
        transitions[i] =
            (struct pawl_transition_def){.from = names[i], .on = "a", .to = names[i + 1]};
        if (i < length) {
            transitions[i].action = action;
            transitions[i].raises = raises_a;
        }
    }
    return compile(&definition);
}

Test(machine_raises, no_longer_than_the_limit_of_a_step)
{
    cr_assert(compile_line(RAISE_CHAIN_MAX) == 0, "%s", d.text);
    cr_assert_eq(compile_line(RAISE_CHAIN_MAX + 1), -ENOSPC);
    cr_assert(diagnostics_have(&d, "error -28", "machine 'm', transition 0 (n0 --a--> n1)",
                               "a chain of 65 raised events"),
              "%s", d.text);
    cr_assert_eq(d.errors, 1);
}

Test(machine_raises, a_long_cycle_is_cut_in_the_finding)
{
    static struct pawl_state_def states[200];
    static struct pawl_transition_def transitions[200];
    static char names[200][16];
    static const char *const events[] = {"a"};
    const struct pawl_machine_def definition = {
        .name = "m", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};

    for (unsigned i = 0; i < 200; i++) {
        snprintf(names[i], sizeof(names[i]), "state%u", i);
        states[i] = (struct pawl_state_def){.name = names[i]};
        transitions[i] = (struct pawl_transition_def){
            .from = names[i], .on = "a", .to = names[i], .action = action, .raises = raises_a};
    }
    for (unsigned i = 0; i < 200; i++)
        transitions[i].to = names[(i + 1) % 200];
    cr_assert_eq(compile(&definition), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "", " -> ...; let one"), "%s", d.text);
    cr_assert_eq(d.errors, 1);
}

/* Each raises one only, but together they keep each other going: a in x, b in y, a in x, ... */
Test(machine_raises, two_that_keep_each_other_going_are_refused)
{
    EVENTS("go", "a", "b");
    STATES({.name = "idle"}, {.name = "x"}, {.name = "y"});
    TRANSITIONS({.from = "idle", .on = "go", .to = "x", .action = action, .raises = raises_ab},
                {.from = "x", .on = "a", .to = "y", .action = action, .raises = raises_a},
                {.from = "y", .on = "b", .to = "x", .action = action, .raises = raises_b});

    cr_assert_eq(COMPILE(), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "", "without an end"), "%s", d.text);
}

/* Going round in the states is not going round in the raises. */
Test(machine_raises, two_that_only_move_the_task_are_allowed)
{
    EVENTS("go", "a", "b");
    STATES({.name = "idle"}, {.name = "x"}, {.name = "y"});
    TRANSITIONS({.from = "idle", .on = "go", .to = "x", .action = action, .raises = raises_ab},
                {.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "b", .to = "x"});

    cr_assert(COMPILE() == 0, "%s", d.text);
}
