#include <string.h>

#include "machine/compiled.h"
#include "support/diagnostics.h"
#include "support/test.h"

static void action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static void other_action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static bool guard(const struct pawl_step *step, const void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return true;
}

/* A definition whose every part can be changed. */
struct sample {
    const char *events[4];
    struct pawl_state_def states[4];
    struct pawl_transition_def transitions[4];
    struct pawl_timer_def timers[2];
    const char *raises[3];
    const char *defers[3];
    const char *action_raises[2];
    struct pawl_machine_def definition;
};

static void sample_init(struct sample *s)
{
    *s = (struct sample){
        .events = {"go", "stop", "late", "note"},
        .states =
            {
                {.name = "idle", .entry = action, .exit = action},
                {.name = "busy", .initial = "hard", .flags = PAWL_STATE_HISTORY},
                {.name = "hard", .parent = "busy", .timeout_ns = 5000, .timeout = "late"},
                {.name = "easy", .parent = "busy"},
            },
        .transitions =
            {
                {.from = "idle",
                 .on = "go",
                 .to = "busy",
                 .guard = guard,
                 .flags = PAWL_TRANSITION_HISTORY,
                 .label = "begin"},
                {.from = "busy", .on = "stop", .to = "idle", .action = action},
                {.from = "hard", .on = "late", .to = "easy"},
                {.from = "easy", .on = "note", .action = action},
            },
        .timers = {{"bell", "late"}, {"gong", "note"}},
        .raises = {"note"},
        .defers = {"go", "note"},
        .action_raises = {"note"},
    };
    s->states[0].raises = s->raises;
    s->states[2].defers = s->defers;
    s->transitions[1].raises = s->action_raises;
    s->definition = (struct pawl_machine_def){
        .name = "sample",
        .events = s->events,
        .events_count = 4,
        .states = s->states,
        .states_count = 4,
        .transitions = s->transitions,
        .transitions_count = 4,
        .timers = s->timers,
        .timers_count = 2,
        .initial = "idle",
        .cancel = "stop",
        .context_size = 16,
        .unexpected = PAWL_UNEXPECTED_REFUSE,
        .deferred_max = 10,
    };
}

static uint64_t hash_of(const struct sample *s)
{
    static struct diagnostics d;
    struct pawl_machine *machine;
    const int error = diagnostics_compile(&d, &s->definition, &machine);
    uint64_t hash;

    cr_assert(error == 0, "%s", d.text);
    hash = pawl_machine_hash(machine);
    pawl_machine_destroy(machine);
    return hash;
}

/* Computed by a program of its own from the list in runtime/machine/hash.c. */
Test(machine_hash, is_the_one_that_the_description_gives)
{
    struct sample s;

    sample_init(&s);
    cr_assert(hash_of(&s) == UINT64_C(0xb323f2295bb60d07), "0x%llx",
              (unsigned long long)hash_of(&s));
}

/* Each statement changes one field; the sample begins anew each time. */
#define CHANGES(...)                                                                               \
    do {                                                                                           \
        sample_init(&s);                                                                           \
        __VA_ARGS__;                                                                               \
        cr_assert(hash_of(&s) != before, #__VA_ARGS__);                                            \
    } while (0)

#define KEEPS(...)                                                                                 \
    do {                                                                                           \
        sample_init(&s);                                                                           \
        __VA_ARGS__;                                                                               \
        cr_assert(hash_of(&s) == before, #__VA_ARGS__);                                            \
    } while (0)

Test(machine_hash, changes_with_every_field_that_decides_behaviour)
{
    struct sample s;
    uint64_t before;

    sample_init(&s);
    before = hash_of(&s);
    CHANGES(s.definition.name = "simple");
    CHANGES(s.definition.initial = "busy");
    CHANGES(s.definition.cancel = "go");
    CHANGES(s.definition.cancel = NULL);
    CHANGES(s.definition.context_size = 17);
    CHANGES(s.definition.unexpected = PAWL_UNEXPECTED_IGNORE);
    CHANGES(s.definition.deferred_max = 11);
    CHANGES(s.definition.timers_count = 1);
    CHANGES(s.definition.transitions_count = 3);
    CHANGES(s.timers[1].name = "drum");
    CHANGES(s.timers[1].event = "stop");
    CHANGES(s.states[3].name = "eas", s.transitions[2].to = "eas", s.transitions[3].from = "eas");
    CHANGES(s.events[3] = "notes", s.raises[0] = "notes", s.defers[1] = "notes",
            s.action_raises[0] = "notes", s.transitions[3].on = "notes",
            s.timers[1].event = "notes");
    CHANGES(s.events[0] = "stop", s.events[1] = "go");
    CHANGES(s.states[1].initial = "easy", s.transitions[2].from = "easy",
            s.transitions[2].to = "hard", s.transitions[3].from = "hard");
    CHANGES(s.states[1].initial = "easy", s.transitions[0].to = "hard", s.transitions[0].flags = 0,
            s.states[1].flags = 0);
    CHANGES(s.states[3].parent = NULL);
    CHANGES(s.states[1].flags = 0, s.transitions[0].flags = 0);
    CHANGES(s.transitions[0].flags = 0);
    CHANGES(s.states[0].entry = NULL);
    CHANGES(s.states[0].exit = NULL);
    CHANGES(s.states[3].entry = action);
    CHANGES(s.states[0].raises = NULL);
    CHANGES(s.raises[1] = "late");
    CHANGES(s.states[2].defers = NULL);
    CHANGES(s.defers[1] = NULL);
    CHANGES(s.states[2].timeout_ns = 5001);
    CHANGES(s.states[2].timeout = "go");
    CHANGES(s.transitions[0].guard = NULL);
    CHANGES(s.transitions[1].action = NULL);
    CHANGES(s.transitions[1].raises = NULL);
    CHANGES(s.transitions[1].from = "easy");
    CHANGES(s.transitions[1].on = "note");
    CHANGES(s.transitions[1].to = "busy");
    CHANGES(s.transitions[3].to = "easy");
}

Test(machine_hash, ignores_labels_addresses_and_ways_to_say_the_same)
{
    struct sample s;
    uint64_t before;

    sample_init(&s);
    before = hash_of(&s);
    KEEPS(s.transitions[0].label = "start");
    KEEPS(s.transitions[0].label = NULL);
    KEEPS(s.states[0].entry = other_action);
    KEEPS(s.transitions[1].action = other_action);
    KEEPS(s.definition.initial = NULL);
    KEEPS(s.defers[0] = "note", s.defers[1] = "go");
    sample_init(&s);
    s.definition.deferred_max = 64;
    before = hash_of(&s);
    KEEPS(s.definition.deferred_max = 0);
}
