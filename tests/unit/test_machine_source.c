/* What the resolution of names, nesting and limits refuses, and with which words. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/compiled.h"
#include "machine/source.h"
#include "support/diagnostics.h"
#include "support/test.h"

static void action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static struct diagnostics d;

/* A small definition that compiles, to be spoilt. */
struct sample {
    const char *events[3];
    struct pawl_state_def states[20];
    struct pawl_transition_def transitions[4];
    struct pawl_timer_def timers[2];
    const char *list[4];
    struct pawl_machine_def definition;
};

static void sample_init(struct sample *s)
{
    *s = (struct sample){
        .events = {"a", "b", "c"},
        .states = {{.name = "x"}, {.name = "y", .initial = "z"}, {.name = "z", .parent = "y"}},
        .transitions = {{.from = "x", .on = "a", .to = "y"}, {.from = "y", .on = "b", .to = "x"}},
        .timers = {{"t", "a"}, {"u", "c"}},
    };
    s->definition = (struct pawl_machine_def){
        .name = "m",
        .events = s->events,
        .events_count = 2,
        .states = s->states,
        .states_count = 3,
        .transitions = s->transitions,
        .transitions_count = 2,
        .timers = s->timers,
        .timers_count = 1,
    };
}

static int compile(const struct sample *s)
{
    struct pawl_machine *machine = (struct pawl_machine *)(uintptr_t)1;
    const int error = diagnostics_compile(&d, &s->definition, &machine);

    cr_assert((error == 0) == (machine != NULL));
    cr_assert_eq(error, d.first);
    pawl_machine_destroy(machine);
    return error;
}

/* Each statement spoils the sample; then there must be exactly one error, this one. */
#define REFUSES(code, where, what, ...)                                                            \
    do {                                                                                           \
        sample_init(&s);                                                                           \
        __VA_ARGS__;                                                                               \
        cr_assert(compile(&s) == (code), "%s: %s", #__VA_ARGS__, d.text);                          \
        cr_assert(diagnostics_have(&d, "error", where " |", what), "%s: %s", #__VA_ARGS__,         \
                  d.text);                                                                         \
        cr_assert(d.errors == 1, "%s: %s", #__VA_ARGS__, d.text);                                  \
    } while (0)

Test(machine_source, the_sample_compiles)
{
    struct sample s;

    sample_init(&s);
    cr_assert(compile(&s) == 0, "%s", d.text);
}

Test(machine_source, names_are_there_and_unique)
{
    struct sample s;

    REFUSES(-EINVAL, "machine '?'", "name is missing", s.definition.name = NULL);
    REFUSES(-EINVAL, "machine ''", "name is empty", s.definition.name = "");
    REFUSES(-EINVAL, "machine 'm', event 2 (?)", "name is missing", s.events[2] = NULL,
            s.definition.events_count = 3);
    REFUSES(-EINVAL, "machine 'm', event 2 (a)", "taken by event 0", s.events[2] = "a",
            s.definition.events_count = 3);
    REFUSES(-EINVAL, "machine 'm', state 3 (?)", "name is missing", s.definition.states_count = 4);
    REFUSES(-EINVAL, "machine 'm', state 3 ()", "name is empty", s.states[3].name = "",
            s.definition.states_count = 4);
    REFUSES(-EINVAL, "machine 'm', state 3 (x)", "taken by state 0", s.states[3].name = "x",
            s.definition.states_count = 4);
    REFUSES(-EINVAL, "machine 'm', timer 0 (?)", "name is missing", s.timers[0].name = NULL);
    REFUSES(-EINVAL, "machine 'm', timer 1 (t)", "taken by timer 0", s.timers[1].name = "t",
            s.timers[1].event = "a", s.definition.timers_count = 2);
}

Test(machine_source, references_lead_somewhere)
{
    struct sample s;

    REFUSES(-EINVAL, "machine 'm'", "initial names 'q', which is not a state",
            s.definition.initial = "q");
    REFUSES(-EINVAL, "machine 'm'", "cancel names 'q', which is not an event",
            s.definition.cancel = "q");
    REFUSES(-EINVAL, "machine 'm', state 2 (z)", "parent names 'q'", s.states[2].parent = "q");
    REFUSES(-EINVAL, "machine 'm', state 1 (y)", "initial names 'q'", s.states[1].initial = "q");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "defers names 'q'", s.states[0].defers = s.list,
            s.list[0] = "q");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "defers names 'b' more than once",
            s.states[0].defers = s.list, s.list[0] = "b", s.list[1] = "a", s.list[2] = "b");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "raises names 'q'", s.states[0].raises = s.list,
            s.list[0] = "q");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "timeout is missing", s.states[0].timeout_ns = 1);
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "timeout names 'q', which is not an event",
            s.states[0].timeout_ns = 1, s.states[0].timeout = "q");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "timeout_ns is 0", s.states[0].timeout = "a");
    REFUSES(-EINVAL, "machine 'm', transition 0 (? --a--> y)", "from is missing",
            s.transitions[0].from = NULL);
    REFUSES(-EINVAL, "machine 'm', transition 0 (q --a--> y)", "from names 'q'",
            s.transitions[0].from = "q");
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --?--> y)", "on is missing",
            s.transitions[0].on = NULL);
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --q--> y)",
            "on names 'q', which is not an event", s.transitions[0].on = "q");
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --a--> q)", "to names 'q', which is not a state",
            s.transitions[0].to = "q");
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --a--> )", "to is empty",
            s.transitions[0].to = "");
    REFUSES(-EINVAL, "machine 'm', transition 1 (y --b--> x)", "raises names 'q'",
            s.transitions[1].raises = s.list, s.list[0] = "q");
    REFUSES(-EINVAL, "machine 'm', timer 0 (t)", "event is missing", s.timers[0].event = NULL);
    REFUSES(-EINVAL, "machine 'm', timer 0 (t)", "event names 'c'", s.timers[0].event = "c");
}

Test(machine_source, nesting_is_a_tree_with_initial_children)
{
    struct sample s;

    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "its own parent", s.states[0].parent = "x");
    REFUSES(-EINVAL, "machine 'm', state 1 (y)", "inside itself", s.states[1].parent = "z");
    REFUSES(-EINVAL, "machine 'm', state 1 (y)", "no initial one", s.states[1].initial = NULL);
    REFUSES(-EINVAL, "machine 'm', state 1 (y)", "initial is 'x', which is not a direct child",
            s.states[1].initial = "x");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "initial is 'z', but no state has this one",
            s.states[0].initial = "z");
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "nothing to remember",
            s.states[0].flags = PAWL_STATE_HISTORY);
    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "flags 0x10", s.states[0].flags = 16);
}

Test(machine_source, a_final_state_has_nothing_that_cannot_happen)
{
    struct sample s;

    REFUSES(-EINVAL, "machine 'm', state 0 (x)", "cannot have transitions",
            s.states[0].flags = PAWL_STATE_FINAL);
    REFUSES(-EINVAL, "machine 'm', state 1 (y)", "cannot have children",
            s.states[1].flags = PAWL_STATE_FINAL);
    REFUSES(-EINVAL, "machine 'm', state 2 (z)", "cannot have an exit action",
            s.states[2].flags = PAWL_STATE_FINAL, s.states[2].exit = action);
    REFUSES(-EINVAL, "machine 'm', state 2 (z)", "cannot have a timeout",
            s.states[2].flags = PAWL_STATE_FINAL, s.states[2].timeout_ns = 1,
            s.states[2].timeout = "a");
    REFUSES(-EINVAL, "machine 'm', state 2 (z)", "cannot have deferred events",
            s.states[2].flags = PAWL_STATE_FINAL, s.states[2].defers = s.list, s.list[0] = "a");
}

Test(machine_source, history_needs_a_state_that_remembers)
{
    struct sample s;

    REFUSES(-EINVAL, "machine 'm', transition 0 (x --a--> y)", "does not remember its children",
            s.transitions[0].flags = PAWL_TRANSITION_HISTORY);
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --a--> itself, internal)", "enters nothing",
            s.transitions[0].flags = PAWL_TRANSITION_HISTORY, s.transitions[0].to = NULL,
            s.transitions[0].action = action, s.definition.initial = "y");
    REFUSES(-EINVAL, "machine 'm', transition 0 (x --a--> y)", "flags 0x4",
            s.transitions[0].flags = 4);
}

Test(machine_source, values_are_within_their_limits)
{
    struct sample s;

    REFUSES(-ENOSPC, "machine 'm'", "context_size is 4097", s.definition.context_size = 4097);
    REFUSES(-EINVAL, "machine 'm'", "unexpected is 3",
            s.definition.unexpected = (enum pawl_unexpected)3);
    REFUSES(-EINVAL, "machine 'm'", "durability is 3",
            s.definition.durability = (enum pawl_durability)3);
    REFUSES(-EINVAL, "machine 'm'", "states is NULL", s.definition.states = NULL);
    REFUSES(-EINVAL, "machine 'm'", "events is NULL", s.definition.events = NULL);
    REFUSES(-EINVAL, "machine 'm'", "transitions is NULL", s.definition.transitions = NULL);
    REFUSES(-EINVAL, "machine 'm'", "timers is NULL", s.definition.timers = NULL);
    REFUSES(-EINVAL, "machine 'm'", "there are no states", s.definition.states_count = 0);
    REFUSES(-ENOSPC, "machine 'm'", "events_count is 4097", s.definition.events_count = 4097);
    REFUSES(-ENOSPC, "machine 'm'", "states_count", s.definition.states_count = SIZE_MAX);
    REFUSES(-ENOSPC, "machine 'm'", "transitions_count", s.definition.transitions_count = 65536);
    REFUSES(-ENOSPC, "machine 'm'", "timers_count", s.definition.timers_count = 256);
}

Test(machine_source, no_deeper_than_the_limit)
{
    static char names[20][16];
    struct sample s;

    for (unsigned depth = NESTING_MAX; depth <= NESTING_MAX + 2; depth++) {
        sample_init(&s);
        for (unsigned i = 0; i < depth; i++) {
            snprintf(names[i], sizeof(names[i]), "n%u", i);
            s.states[i] =
                (struct pawl_state_def){.name = names[i], .parent = i ? names[i - 1] : NULL};
            if (i)
                s.states[i - 1].initial = names[i];
        }
        s.definition.states_count = depth;
        s.transitions[0] = (struct pawl_transition_def){.from = "n0", .on = "a", .action = action};
        s.definition.transitions_count = 1;
        cr_assert(compile(&s) == (depth > NESTING_MAX ? -ENOSPC : 0), "%s", d.text);
        cr_assert(d.errors == (depth > NESTING_MAX), "%s", d.text);
        cr_assert_eq(depth > NESTING_MAX,
                     diagnostics_have(&d, "error", "state 16 (n16)", "deeper than 16"));
    }
}

Test(machine_source, history_fits_into_the_word_of_a_task)
{
    static struct pawl_state_def states[40];
    static struct pawl_transition_def transitions[40];
    static char names[40][16];
    static const char *const event[] = {"a"};
    struct pawl_machine_def definition = {.name = "m",
                                          .events = event,
                                          .events_count = 1,
                                          .states = states,
                                          .transitions = transitions};

    /* Parents with one child take one bit each: 16 fit. */
    for (unsigned parents = 16; parents <= 17; parents++) {
        for (unsigned i = 0; i < 2 * parents; i++) {
            snprintf(names[i], sizeof(names[i]), "n%u", i);
            states[i] = (struct pawl_state_def){.name = names[i]};
            if (i % 2) {
                states[i].parent = names[i - 1];
                states[i - 1].initial = names[i];
                states[i - 1].flags = PAWL_STATE_HISTORY;
            }
        }
        for (unsigned i = 0; i < parents; i++)
            transitions[i] = (struct pawl_transition_def){.from = names[2 * i],
                                                          .on = "a",
                                                          .to = names[(2 * i + 2) % (2 * parents)],
                                                          .flags = PAWL_TRANSITION_HISTORY};
        definition.states_count = 2 * parents;
        definition.transitions_count = parents;
        {
            struct pawl_machine *machine;
            const int error = diagnostics_compile(&d, &definition, &machine);

            cr_assert(error == (parents == 17 ? -ENOSPC : 0), "%s", d.text);
            if (machine)
                cr_assert_eq(machine->history_width, 16);
            pawl_machine_destroy(machine);
        }
    }
    cr_assert(diagnostics_have(&d, "error", "state 32 (n32)", "only 0 of a task's 16 bits"));
}

Test(machine_source, timers_of_states_count_with_the_named_ones)
{
    static struct pawl_state_def states[300];
    static struct pawl_transition_def transitions[300];
    static char names[300][16];
    static const char *const event[] = {"a"};
    static const struct pawl_timer_def timer[] = {{"t", "a"}};
    struct pawl_machine_def definition = {.name = "m",
                                          .events = event,
                                          .events_count = 1,
                                          .states = states,
                                          .transitions = transitions,
                                          .timers = timer,
                                          .timers_count = 1};

    for (unsigned count = TIMERS_MAX - 1; count <= TIMERS_MAX; count++) {
        struct pawl_machine *machine;

        for (unsigned i = 0; i < count; i++) {
            snprintf(names[i], sizeof(names[i]), "n%u", i);
            states[i] =
                (struct pawl_state_def){.name = names[i], .timeout_ns = i + 1, .timeout = "a"};
            transitions[i] = (struct pawl_transition_def){
                .from = names[i], .on = "a", .to = names[(i + 1) % count]};
        }
        definition.states_count = definition.transitions_count = count;
        cr_assert_eq(diagnostics_compile(&d, &definition, &machine),
                     count == TIMERS_MAX ? -ENOSPC : 0);
        if (machine) {
            cr_assert_eq(machine->timers_count, TIMERS_MAX);
            cr_assert_eq(machine->named_timers_count, 1);
            cr_assert_str_eq(machine->timers[0].name, "t");
            cr_assert_eq(machine->timers[0].timeout_ns, 0);
            cr_assert_str_eq(machine->timers[254].name, "n253");
            cr_assert_eq(machine->timers[254].timeout_ns, 254);
        }
        pawl_machine_destroy(machine);
    }
}

Test(machine_source, all_that_is_wrong_is_told_at_once)
{
    struct sample s;

    sample_init(&s);
    s.states[0].parent = "nowhere";
    s.states[2].timeout_ns = 7;
    s.transitions[0].to = "nothing";
    s.transitions[1].on = "never";
    s.timers[0].event = NULL;
    s.definition.cancel = "what";
    cr_assert_eq(compile(&s), -EINVAL);
    cr_assert(d.errors == 6, "%s", d.text);
}

Test(machine_source, the_definition_need_not_outlive_the_call)
{
    struct pawl_machine *machine;
    char name[] = "m", event[] = "a", state[] = "x";
    const char *events[] = {event};
    struct pawl_state_def states[] = {{.name = state}};
    struct pawl_transition_def transitions[] = {{.from = state, .on = event, .action = action}};
    struct pawl_machine_def definition = {
        .name = name, PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};

    cr_assert_eq(diagnostics_compile(&d, &definition, &machine), 0);
    name[0] = event[0] = state[0] = '!';
    memset(states, 0xee, sizeof(states));
    memset(transitions, 0xee, sizeof(transitions));
    memset(&definition, 0xee, sizeof(definition));
    cr_assert_str_eq(pawl_machine_name(machine), "m");
    cr_assert_str_eq(pawl_machine_event_name(machine, 0), "a");
    cr_assert_str_eq(pawl_machine_state_name(machine, 0), "x");
    cr_assert(machine->transitions[machine->cells[0]].functions[0] == action);
    pawl_machine_destroy(machine);
}
