/* What the tables promise to whoever runs them, on a machine that has one of everything. */
#include <stdint.h>
#include <string.h>

#include "machine/compiled.h"
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

static const char *const events[] = {"a", "b", "c", "d"};
static const char *const defers[] = {"d", NULL};
static const struct pawl_state_def states[] = {
    {.name = "p", .initial = "x", .flags = PAWL_STATE_HISTORY},
    {.name = "x", .parent = "p", .entry = action, .defers = defers},
    {.name = "y", .parent = "p", .exit = action, .timeout_ns = 3, .timeout = "c"},
    {.name = "z"},
    {.name = "end", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "x", .on = "a", .to = "y", .guard = guard},
    {.from = "x", .on = "a", .to = "x", .action = action},
    {.from = "p", .on = "a", .action = action},
    {.from = "p", .on = "b", .to = "z"},
    {.from = "z", .on = "b", .to = "p", .flags = PAWL_TRANSITION_HISTORY, .guard = guard},
    {.from = "z", .on = "a", .to = "z"},
    {.from = "z", .on = "c", .to = "end"},
    {.from = "y", .on = "c", .to = "x"},
};
static const struct pawl_timer_def timers[] = {{"bell", "d"}};
static const struct pawl_machine_def definition = {.name = "m",
                                                   PAWL_TABLE(events),
                                                   PAWL_TABLE(states),
                                                   PAWL_TABLE(transitions),
                                                   PAWL_TABLE(timers),
                                                   .context_size = 40,
                                                   .cancel = "b"};

static struct pawl_machine *compile(void)
{
    static struct diagnostics d;
    struct pawl_machine *machine;

    cr_assert(diagnostics_compile(&d, &definition, &machine) == 0, "%s", d.text);
    return machine;
}

Test(machine_compiled, rows_are_cache_lines)
{
    struct pawl_machine *const m = compile();

    cr_assert_eq((uintptr_t)m->transitions % 64, 0);
    cr_assert_eq((uintptr_t)m->cells % 64, 0);
    pawl_machine_destroy(m);
}

Test(machine_compiled, every_cell_of_a_leaf_leads_to_an_end)
{
    struct pawl_machine *const m = compile();

    for (unsigned state = 0; state < m->states_count; state++) {
        for (unsigned event = 0; event < m->events_count; event++) {
            unsigned number = m->cells[state * m->events_count + event];
            unsigned steps = 0;

            if (!m->states[state].leaf) {
                cr_assert_eq(number, TRANSITION_NONE);
                continue;
            }
            while (m->transitions[number].guard) {
                number = m->transitions[number].next;
                cr_assert(number < m->transitions_count);
                cr_assert(++steps < m->transitions_count);
            }
            cr_assert_eq(m->transitions[number].next, TRANSITION_NONE);
            cr_assert_eq(m->transitions[number].state, state);
        }
    }
    pawl_machine_destroy(m);
}

Test(machine_compiled, plain_is_exactly_what_it_says)
{
    struct pawl_machine *const m = compile();
    unsigned plain = 0;

    for (uint32_t i = 0; i < m->transitions_count; i++) {
        const struct transition *const row = &m->transitions[i];
        const bool wanted = row->kind == TRANSITION_TAKE && row->guard == NULL &&
                            row->functions_count < 2 && row->timers_count == 0 &&
                            row->history_mask == 0 && !(row->flags & TRANSITION_FINAL);

        const bool last = row->kind == TRANSITION_TAKE && row->guard == NULL &&
                          row->functions_count < 2 && (row->flags & TRANSITION_FINAL);

        cr_assert_eq(wanted, (row->flags & TRANSITION_PLAIN) != 0);
        cr_assert_eq(last, (row->flags & TRANSITION_LAST) != 0);
        plain += wanted;
    }
    cr_assert(plain > 2 && plain < m->transitions_count - 2);
    pawl_machine_destroy(m);
}

Test(machine_compiled, rows_name_targets_that_are_leaves)
{
    struct pawl_machine *const m = compile();

    for (uint32_t i = 0; i < m->transitions_count; i++) {
        const struct transition *const row = &m->transitions[i];

        cr_assert(m->states[row->target].leaf);
        cr_assert_eq(row->functions_count == 0, row->functions == NULL);
        cr_assert_eq(row->timers_count == 0, row->timers == NULL);
        for (unsigned k = 0; k < row->functions_count; k++)
            cr_assert(row->functions[k] != NULL);
        if (row->kind == TRANSITION_VARIANTS) {
            cr_assert(row->variants + row->variant_mask < m->transitions_count);
            cr_assert(row->guard == guard);
            for (unsigned k = 0; k <= row->variant_mask; k++)
                cr_assert(m->transitions[row->variants + k].guard == NULL);
        }
    }
    pawl_machine_destroy(m);
}

Test(machine_compiled, the_machine_says_what_the_definition_said)
{
    struct pawl_machine *const m = compile();

    cr_assert_eq(m->context_size, 40);
    cr_assert_eq(m->cancel_event, 1);
    cr_assert_eq(m->deferred_max, 64);
    cr_assert_eq(m->history_width, 2);
    cr_assert_eq(m->unexpected, PAWL_UNEXPECTED_IGNORE);
    cr_assert_eq(m->durability, PAWL_DURABILITY_MEMORY);
    cr_assert_eq(m->timers_count, 2);
    cr_assert_eq(m->named_timers_count, 1);
    cr_assert_eq(m->timers[0].event, 3);
    cr_assert_eq(m->timers[1].event, 2);
    cr_assert_eq(m->timers[1].timeout_ns, 3);
    cr_assert_eq(m->states[1].parent, 0);
    cr_assert_eq(m->states[3].parent, UINT16_MAX);
    cr_assert_eq(m->states[4].final, 1);
    pawl_machine_destroy(m);
}
