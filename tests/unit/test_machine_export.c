/* What both drawings have in common: the manner of snprintf, and that nothing of the machine is lost. */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "machine/compiled.h"
#include "machine/export.h"
#include "support/diagnostics.h"
#include "support/test.h"

static void action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static bool guard(const struct pawl_step *step, const void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return true;
}

static const char *const events[] = {"go", "stop", "late"};
static const char *const defers[] = {"stop", NULL};
static const struct pawl_state_def states[] = {
    {.name = "idle", .entry = action, .timeout_ns = 1500000, .timeout = "late"},
    {.name = "busy", .initial = "first", .flags = PAWL_STATE_HISTORY, .exit = action},
    {.name = "first", .parent = "busy", .defers = defers},
    {.name = "second", .parent = "busy"},
    {.name = "done", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "idle", .on = "go", .to = "busy", .flags = PAWL_TRANSITION_HISTORY},
    {.from = "idle",
     .on = "late",
     .to = "busy",
     .guard = guard,
     .action = action,
     .label = "hurry"},
    {.from = "first", .on = "go", .to = "second", .action = action},
    {.from = "busy", .on = "late", .to = "idle"},
    {.from = "second", .on = "stop", .to = "done"},
    {.from = "second", .on = "go", .guard = guard, .label = "quietly"},
};
static const struct pawl_machine_def definition = {
    .name = "sample", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};

typedef size_t draw_fn(const struct pawl_machine *machine, char *buffer, size_t size);

static draw_fn *const drawings[] = {pawl_machine_dot, pawl_machine_mermaid};

static struct pawl_machine *compile(void)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert(diagnostics_compile(&d, &definition, &machine) == 0, "%s", d.text);
    return machine;
}

Test(machine_export, any_size_gives_the_length_and_a_prefix)
{
    struct pawl_machine *const machine = compile();

    for (unsigned k = 0; k < 2; k++) {
        const size_t length = drawings[k](machine, NULL, 0);
        char *const whole = malloc(length + 2), *const part = malloc(length + 2);

        cr_assert(whole && part);
        memset(whole, '~', length + 2);
        cr_assert_eq(drawings[k](machine, whole, length + 2), length);
        cr_assert_eq(strlen(whole), length);
        cr_assert_eq(whole[length + 1], '~');
        for (size_t size = 1; size <= length + 1; size++) {
            memset(part, '~', length + 2);
            cr_assert_eq(drawings[k](machine, part, size), length);
            cr_assert_eq(strlen(part), size - 1);
            cr_assert(memcmp(part, whole, size - 1) == 0);
            cr_assert_eq(part[size], '~');
        }
        free(whole);
        free(part);
    }
    pawl_machine_destroy(machine);
}

Test(machine_export, everything_declared_is_shown)
{
    static const char *const words[] = {
        "sample",
        "idle",
        "busy",
        "first",
        "second",
        "done",
        "\"H\"",
        "entry action",
        "exit action",
        "stop / defer",
        "after 1500 us / late",
        ": go / action",
        "late [guard] / hurry",
        "go [guard] / quietly",
    };
    struct pawl_machine *const machine = compile();
    static char text[8192];

    for (unsigned k = 0; k < 2; k++) {
        drawings[k](machine, text, sizeof(text));
        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            /* A mermaid label follows ": ", one of DOT a quote. */
            const char *const word = words[i] + (words[i][0] == ':' && k == 0 ? 2 : 0);

            cr_assert(strstr(text, word) != NULL, "'%s' is missing in\n%s", word, text);
        }
    }
    pawl_machine_destroy(machine);
}
