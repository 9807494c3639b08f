/* What is refused and warned of once names resolve; and that no definition can crash a compile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "machine/check.h"
#include "support/compile_fixture.h"
#include "support/seed.h"

#define HAS(kind, where, what) cr_assert(diagnostics_have(&d, kind, where, what), "%s", d.text)
#define HAS_NO(kind, what)     cr_assert(!diagnostics_have(&d, kind, "", what), "%s", d.text)

/* ---- structure ----------------------------------------------------------------------------------- */

Test(machine_check, a_transition_behind_an_unguarded_one_is_refused)
{
    EVENTS("a");
    STATES({.name = "x"}, {.name = "y"});
    TRANSITIONS({.from = "x", .on = "a", .to = "y", .guard = guard},
                {.from = "x", .on = "a", .to = "x"}, {.from = "y", .on = "a", .to = "x"},
                {.from = "x", .on = "a", .to = "y", .guard = guard},
                {.from = "x", .on = "a", .to = "y"});

    cr_assert_eq(COMPILE(), -EINVAL);
    HAS("error -22", "machine 'm', transition 3 (x --a--> y) |", "transition 1, of the same state");
    HAS("error -22", "machine 'm', transition 4 (x --a--> y) |", "transition 1, of the same state");
    cr_assert_eq(d.errors, 2);
}

Test(machine_check, a_child_may_override_its_parent)
{
    EVENTS("a", "b");
    STATES({.name = "p", .initial = "x"}, {.name = "x", .parent = "p"},
           {.name = "y", .parent = "p"}, );
    TRANSITIONS({.from = "p", .on = "a", .to = "y"}, {.from = "x", .on = "a", .to = "x"},
                {.from = "p", .on = "b", .to = "x"}, {.from = "x", .on = "b", .to = "y"});

    cr_assert_eq(COMPILE(), 0);
    HAS_NO("warning", "never tried");
}

Test(machine_check, a_transition_that_all_children_override_is_warned_of)
{
    EVENTS("a");
    STATES({.name = "p", .initial = "x"}, {.name = "x", .parent = "p"},
           {.name = "y", .parent = "p", .timeout_ns = 1, .timeout = "a"});
    TRANSITIONS({.from = "p", .on = "a", .to = "p"}, {.from = "x", .on = "a", .to = "y"},
                {.from = "y", .on = "a", .to = "x"});

    cr_assert_eq(COMPILE(), 0);
    HAS("warning", "transition 0 (p --a--> p)", "never tried");
}

Test(machine_check, a_deferral_behind_an_unguarded_transition_is_warned_of)
{
    EVENTS("a");
    static const char *const defers[] = {"a", NULL};
    STATES({.name = "x", .defers = defers}, {.name = "y"});
    TRANSITIONS({.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "a", .to = "x"});

    cr_assert_eq(COMPILE(), 0);
    HAS("warning", "state 0 (x)", "'a' is never deferred here, because transition 0");
}

Test(machine_check, what_nothing_uses_is_warned_of)
{
    EVENTS("a", "unused", "raised");
    static const char *const raised[] = {"raised", NULL};
    static const struct pawl_timer_def timers[] = {{"t", "unused"}, {"u", "a"}};
    STATES({.name = "x", .raises = raised},
           {.name = "p",
            .initial = "y",
            .flags = PAWL_STATE_HISTORY,
            .entry = action,
            .raises = raised},
           {.name = "y", .parent = "p", .timeout_ns = 1, .timeout = "unused"});
    TRANSITIONS({.from = "x", .on = "a", .to = "p", .raises = raised},
                {.from = "p", .on = "a", .to = "x", .raises = raised, .action = action});

    cr_assert_eq(COMPILE(PAWL_TABLE(timers)), 0);
    HAS("warning", "event 1 (unused)", "no transition is on this event");
    HAS("warning", "event 2 (raised)", "no transition is on this event");
    HAS("warning", "state 0 (x)", "no entry or exit action that could raise");
    HAS("warning", "state 1 (p)", "raises names 'raised', which no transition takes");
    HAS("warning", "state 1 (p)", "no transition enters it with PAWL_TRANSITION_HISTORY");
    HAS("warning", "state 2 (y)", "the timeout delivers 'unused', which no transition takes");
    HAS("warning", "transition 0 (x --a--> p)", "no action that could raise");
    HAS("warning", "transition 1 (p --a--> x)", "raises names 'raised'");
    HAS("warning", "timer 0 (t)", "delivers 'unused', which no transition takes");
    cr_assert_eq(d.warnings, 9);
}

/* ---- behaviour ----------------------------------------------------------------------------------- */

Test(machine_check, unreachable_states_are_refused)
{
    EVENTS("a", "b");
    STATES({.name = "x"}, {.name = "lost"}, {.name = "island", .initial = "shore"},
           {.name = "shore", .parent = "island"}, {.name = "y"});
    TRANSITIONS({.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "b", .to = "x"},
                {.from = "lost", .on = "a", .to = "island"},
                {.from = "shore", .on = "a", .to = "lost"});

    cr_assert_eq(COMPILE(), -EINVAL);
    HAS("error -22", "machine 'm', state 1 (lost)", "no transition leads here");
    HAS("error -22", "machine 'm', state 2 (island)", "no transition leads here");
    HAS("error -22", "machine 'm', state 3 (shore)", "no transition leads here");
    cr_assert_eq(d.errors, 3);
}

Test(machine_check, a_child_that_only_its_own_history_enters_is_unreachable)
{
    EVENTS("a", "b");
    STATES({.name = "x"}, {.name = "p", .initial = "y", .flags = PAWL_STATE_HISTORY},
           {.name = "y", .parent = "p"}, {.name = "z", .parent = "p"});
    TRANSITIONS({.from = "x", .on = "a", .to = "p", .flags = PAWL_TRANSITION_HISTORY},
                {.from = "p", .on = "b", .to = "x"}, {.from = "z", .on = "a", .to = "y"});

    cr_assert_eq(COMPILE(), -EINVAL);
    HAS("error -22", "state 3 (z)", "no transition leads here");
    cr_assert_eq(d.errors, 1);
}

/* The leaf "deep" is entered from outside past its parent's initial child, which only history enters. */
Test(machine_check, an_initial_child_that_history_can_enter_is_reachable)
{
    EVENTS("a", "b");
    STATES({.name = "x"}, {.name = "p", .initial = "y", .flags = PAWL_STATE_HISTORY},
           {.name = "y", .parent = "p"}, {.name = "q", .parent = "p", .initial = "first"},
           {.name = "first", .parent = "q"}, {.name = "deep", .parent = "q"});
    TRANSITIONS({.from = "x", .on = "a", .to = "p", .flags = PAWL_TRANSITION_HISTORY},
                {.from = "y", .on = "a", .to = "deep"}, {.from = "p", .on = "b", .to = "x"});

    cr_assert(COMPILE() == 0, "%s", d.text);
}

Test(machine_check, trap_states_are_refused)
{
    EVENTS("a", "b");
    STATES({.name = "x"}, {.name = "trap", .timeout_ns = 1, .timeout = "a"},
           {.name = "end", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "x", .on = "a", .to = "trap"}, {.from = "x", .on = "b", .to = "end"},
                {.from = "trap", .on = "a", .to = "trap"}, {.from = "trap", .on = "b"});

    cr_assert_eq(COMPILE(), -EINVAL);
    HAS("error -22", "machine 'm', state 1 (trap)", "can never leave");
    cr_assert_eq(d.errors, 1);
}

Test(machine_check, an_inherited_transition_is_a_way_out)
{
    EVENTS("a", "b");
    STATES({.name = "x"}, {.name = "p", .initial = "y"}, {.name = "y", .parent = "p"});
    TRANSITIONS({.from = "x", .on = "a", .to = "p"}, {.from = "p", .on = "b", .to = "x"});

    cr_assert_eq(COMPILE(), 0);
}

Test(machine_check, a_worker_of_one_state_is_no_trap)
{
    EVENTS("work");
    STATES({.name = "working"});
    TRANSITIONS({.from = "working", .on = "work", .action = action});

    cr_assert_eq(COMPILE(), 0);
    cr_assert_eq(COMPILE(.cancel = "work"), 0);
}

Test(machine_check, one_state_that_nothing_happens_in_is_a_trap)
{
    EVENTS("a");
    STATES({.name = "x"});
    TRANSITIONS({.from = "x", .on = "a"});

    cr_assert_eq(COMPILE(), -EINVAL);
    HAS("error -22", "state 0 (x)", "can never leave");
}

Test(machine_check, a_machine_that_ends_at_once_is_allowed)
{
    STATES({.name = "x", .flags = PAWL_STATE_FINAL, .entry = action});

    cr_assert_eq(compile(&(const struct pawl_machine_def){.name = "m", PAWL_TABLE(states)}), 0);
    cr_assert_eq(d.warnings, 0);
}

Test(machine_check, waiting_without_a_timeout_is_warned_of)
{
    EVENTS("a", "tick", "go");
    static const char *const raises[] = {"go", NULL};
    static const struct pawl_timer_def timers[] = {{"t", "tick"}};
    STATES({.name = "forever"}, {.name = "timed", .timeout_ns = 1, .timeout = "a"},
           {.name = "p", .initial = "inside", .timeout_ns = 5, .timeout = "a"},
           {.name = "inside", .parent = "p"}, {.name = "by_timer"},
           {.name = "passing", .entry = action, .raises = raises},
           {.name = "end", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "forever", .on = "a", .to = "timed"},
                {.from = "timed", .on = "a", .to = "p"}, {.from = "p", .on = "a", .to = "by_timer"},
                {.from = "by_timer", .on = "tick", .to = "passing"},
                {.from = "passing", .on = "go", .to = "end"});

    cr_assert(COMPILE(PAWL_TABLE(timers)) == 0, "%s", d.text);
    HAS("warning", "state 0 (forever)", "may wait here for ever");
    cr_assert(d.warnings == 1, "%s", d.text);
}

/* ---- deferral ------------------------------------------------------------------------------------ */

Test(machine_check, a_deferral_that_nothing_recalls_is_warned_of)
{
    EVENTS("a", "b");
    static const char *const defers[] = {"b", NULL};
    STATES({.name = "p", .initial = "x", .defers = defers}, {.name = "x", .parent = "p"},
           {.name = "y", .parent = "p"});
    TRANSITIONS({.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "a", .to = "x"});

    cr_assert_eq(COMPILE(), 0);
    HAS("warning", "state 0 (p)", "'b' is deferred here and nothing recalls it");
}

Test(machine_check, a_deferral_that_a_sibling_takes_is_recalled)
{
    EVENTS("a", "b");
    static const char *const defers[] = {"b", NULL};
    STATES({.name = "p", .initial = "x", .defers = defers}, {.name = "x", .parent = "p"},
           {.name = "y", .parent = "p"});
    TRANSITIONS({.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "a", .to = "x"},
                {.from = "y", .on = "b", .action = action});

    cr_assert_eq(COMPILE(), 0);
    HAS_NO("warning", "nothing recalls");
}

Test(machine_check, a_deferral_that_a_final_state_ends_is_recalled)
{
    EVENTS("a", "b");
    static const char *const defers[] = {"b", NULL};
    STATES({.name = "x", .defers = defers}, {.name = "end", .flags = PAWL_STATE_FINAL});
    TRANSITIONS({.from = "x", .on = "a", .to = "end"});

    cr_assert_eq(COMPILE(.unexpected = PAWL_UNEXPECTED_DEFER), 0);
    HAS_NO("warning", "nothing recalls");
}

/* A self transition recalls, but only to defer again, unless its guarded candidate takes it then. */
Test(machine_check, recall_into_the_deferring_state_itself)
{
    EVENTS("a", "b");
    static const char *const defers[] = {"b", NULL};
    STATES({.name = "x", .defers = defers});
    {
        TRANSITIONS({.from = "x", .on = "a", .to = "x", .action = action});
        cr_assert_eq(COMPILE(), 0);
        HAS("warning", "state 0 (x)", "nothing recalls it");
    }
    {
        TRANSITIONS({.from = "x", .on = "a", .to = "x", .action = action},
                    {.from = "x", .on = "b", .guard = guard, .action = action});
        cr_assert_eq(COMPILE(), 0);
        HAS_NO("warning", "nothing recalls");
    }
}

/* ---- garbage ------------------------------------------------------------------------------------- */

static char long_name[20000];

static const char *garbage_name(struct random *r, bool may_be_null)
{
    static const char *const names[] = {"a", "b", "c",        "d",    "e",
                                        "f", "",  "\xff\xfe", "%s%n", "a \"quoted\"\n\tname"};
    const uint64_t pick = random_below(r, 40);

    if (may_be_null && pick < 4)
        return NULL;
    if (pick == 5)
        return long_name;
    return names[pick < 10 ? pick : pick % 6];
}

static const char *const *garbage_list(struct random *r, const char **list)
{
    const uint64_t count = random_below(r, 4);

    for (uint64_t i = 0; i < count; i++)
        list[i] = garbage_name(r, false);
    list[count] = NULL;
    return random_below(r, 3) ? NULL : list;
}

static unsigned garbage_flags(struct random *r)
{
    return random_below(r, 10) ? (unsigned)random_below(r, 4) : (unsigned)random_next(r);
}

struct garbage {
    const char *events[8];
    struct pawl_state_def states[8];
    struct pawl_transition_def transitions[12];
    struct pawl_timer_def timers[4];
    const char *lists[40][4];
    struct pawl_machine_def definition;
};

static void make_garbage(struct garbage *g, struct random *r)
{
    unsigned lists = 0;

    memset(g, 0, sizeof(*g));
    for (unsigned i = 0; i < 8; i++)
        g->events[i] = garbage_name(r, true);
    for (unsigned i = 0; i < 8; i++) {
        struct pawl_state_def *const s = &g->states[i];

        s->name = garbage_name(r, true);
        s->parent = random_below(r, 2) ? garbage_name(r, true) : NULL;
        s->initial = random_below(r, 2) ? garbage_name(r, true) : NULL;
        s->flags = garbage_flags(r);
        s->entry = random_below(r, 2) ? action : NULL;
        s->exit = random_below(r, 2) ? action : NULL;
        s->raises = garbage_list(r, g->lists[lists++]);
        s->defers = garbage_list(r, g->lists[lists++]);
        s->timeout_ns = random_below(r, 3) ? 0 : random_next(r);
        s->timeout = s->timeout_ns || !random_below(r, 8) ? garbage_name(r, true) : NULL;
    }
    for (unsigned i = 0; i < 12; i++) {
        struct pawl_transition_def *const t = &g->transitions[i];

        t->from = garbage_name(r, true);
        t->on = garbage_name(r, true);
        t->to = garbage_name(r, true);
        t->guard = random_below(r, 2) ? guard : NULL;
        t->action = random_below(r, 2) ? action : NULL;
        t->raises = garbage_list(r, g->lists[lists++]);
        t->flags = garbage_flags(r);
        t->label = garbage_name(r, true);
    }
    for (unsigned i = 0; i < 4; i++)
        g->timers[i] = (struct pawl_timer_def){garbage_name(r, true), garbage_name(r, true)};
    g->definition = (struct pawl_machine_def){
        .name = garbage_name(r, true),
        .events = random_below(r, 30) ? g->events : NULL,
        .events_count = random_below(r, 30) ? random_below(r, 9) : random_next(r) | 1u << 20,
        .states = random_below(r, 30) ? g->states : NULL,
        .states_count = random_below(r, 30) ? random_below(r, 9) : random_next(r) | 1u << 20,
        .transitions = random_below(r, 30) ? g->transitions : NULL,
        .transitions_count = random_below(r, 30) ? random_below(r, 13) : random_next(r) | 1u << 20,
        .timers = random_below(r, 30) ? g->timers : NULL,
        .timers_count = random_below(r, 30) ? random_below(r, 5) : random_next(r) | 1u << 20,
        .initial = random_below(r, 2) ? garbage_name(r, true) : NULL,
        .cancel = random_below(r, 2) ? garbage_name(r, true) : NULL,
        .context_size = random_below(r, 10) ? random_below(r, 5000) : random_next(r),
        .unexpected = (enum pawl_unexpected)random_below(r, 5),
        .durability = (enum pawl_durability)(random_below(r, 3) ? 0 : random_below(r, 9)),
        .deferred_max = (uint32_t)random_next(r),
    };
}

Test(machine_check, no_definition_crashes_a_compile)
{
    static struct garbage g;
    const uint64_t seed = test_seed(4711);

    memset(long_name, 'n', sizeof(long_name) - 1);
    for (unsigned i = 0; i < 10000; i++) {
        struct random r = {seed + i * UINT64_C(0x9e3779b97f4a7c15)};
        struct pawl_machine *machine;
        int error;

        make_garbage(&g, &r);
        if (i == 0)
            memset(&g.definition, 0, sizeof(g.definition));
        error = diagnostics_compile(&d, &g.definition, &machine);
        cr_assert(error == 0 || d.errors > 0, "seed %llu, definition %u", (unsigned long long)seed,
                  i);
        cr_assert_eq(error == 0, machine != NULL);
        if (machine) {
            pawl_machine_dot(machine, NULL, 0);
            pawl_machine_mermaid(machine, NULL, 0);
        }
        pawl_machine_destroy(machine);
        cr_assert_eq(pawl_machine_compile(&g.definition, NULL, NULL, &machine), error);
        pawl_machine_destroy(machine);
    }
}
