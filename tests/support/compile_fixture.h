/*
 * compile_fixture.h - for tests of what compiling finds: small definitions, written where they are
 * judged.
 *
 *     EVENTS("a");
 *     STATES({.name = "x"});
 *     TRANSITIONS({.from = "x", .on = "a", .guard = guard, .action = action});
 *
 *     cr_assert_eq(COMPILE(.initial = "x"), 0, "%s", d.text);        d: what was found
 */
#ifndef PAWL_TESTS_SUPPORT_COMPILE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_COMPILE_FIXTURE_H

#include "support/diagnostics.h"
#include "support/test.h"

#define EVENTS(...)      static const char *const events[] = {__VA_ARGS__}
#define STATES(...)      static const struct pawl_state_def states[] = {__VA_ARGS__}
#define TRANSITIONS(...) static const struct pawl_transition_def transitions[] = {__VA_ARGS__}
#define COMPILE(...)                                                                               \
    compile(&(const struct pawl_machine_def){.name = "m",                                          \
                                             PAWL_TABLE(events),                                   \
                                             PAWL_TABLE(states),                                   \
                                             PAWL_TABLE(transitions),                              \
                                             __VA_ARGS__})

static struct diagnostics d;

static inline void action(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static inline bool guard(const struct pawl_step *step, const void *context,
                         const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return false;
}

static inline int compile(const struct pawl_machine_def *definition)
{
    struct pawl_machine *machine;
    const int error = diagnostics_compile(&d, definition, &machine);

    cr_assert_eq(error == 0, machine != NULL);
    pawl_machine_destroy(machine);
    return error;
}

#endif /* PAWL_TESTS_SUPPORT_COMPILE_FIXTURE_H */
