#include <string.h>

#include "support/diagnostics.h"
#include "support/test.h"

static const char *const events[] = {"coin", "push"};
static const struct pawl_state_def states[] = {{.name = "locked"}, {.name = "open"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "locked", .on = "coin", .to = "open"},
    {.from = "open", .on = "push", .to = "locked"},
};
static const struct pawl_machine_def turnstile = {
    .name = "turnstile", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};

Test(machine, names_and_positions_are_found_both_ways)
{
    struct pawl_machine *machine;

    cr_assert_eq(pawl_machine_compile(&turnstile, NULL, NULL, &machine), 0);
    cr_assert_str_eq(pawl_machine_name(machine), "turnstile");
    cr_assert_eq(pawl_machine_state_count(machine), 2);
    cr_assert_eq(pawl_machine_event_count(machine), 2);
    cr_assert_str_eq(pawl_machine_state_name(machine, 1), "open");
    cr_assert_str_eq(pawl_machine_event_name(machine, 0), "coin");
    cr_assert_str_eq(pawl_machine_state_name(machine, 2), "?");
    cr_assert_str_eq(pawl_machine_event_name(machine, 0xff01), "?");
    cr_assert_eq(pawl_machine_state(machine, "open"), 1);
    cr_assert_eq(pawl_machine_event(machine, "coin"), 0);
    cr_assert_eq(pawl_machine_state(machine, "coin"), -ENOENT);
    cr_assert_eq(pawl_machine_event(machine, "open"), -ENOENT);
    cr_assert_eq(pawl_machine_event(machine, NULL), -ENOENT);
    pawl_machine_destroy(machine);
    pawl_machine_destroy(NULL);
}

Test(machine, null_arguments_are_refused_with_a_word)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert_eq(diagnostics_compile(&d, NULL, &machine), -EINVAL);
    cr_assert(machine == NULL);
    cr_assert(diagnostics_have(&d, "error -22", "machine |", "definition is NULL"), "%s", d.text);
    cr_assert_eq(diagnostics_compile(&d, &turnstile, NULL), -EINVAL);
    cr_assert(diagnostics_have(&d, "error -22", "machine |", "give the address"), "%s", d.text);
}
