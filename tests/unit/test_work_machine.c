/* The work machine's tables: they compile, and say to the outside what the header says. */
#include <pawl/work.h>

#include "agent/work_machine.h"
#include "support/diagnostics.h"
#include "support/test.h"

static struct diagnostics d;

Test(work_machine, definitions_compile_without_errors)
{
    struct pawl_machine *machine;

    cr_assert_eq(diagnostics_compile(&d, &pawl__work_machine, &machine), 0, "%s", d.text);
    cr_assert_eq(d.errors, 0);
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        cr_assert_str_eq(pawl_machine_state_name(machine, i), pawl_work_state_name(i));
    cr_assert_str_eq(pawl_work_state_name(PAWL_WORK_STATES), "?");
    for (unsigned i = 0; i < PAWL_REPORT_KINDS; i++)
        cr_assert_eq(pawl_machine_event(machine, pawl_report_name((enum pawl_report_kind)i)),
                     (int)i);
    cr_assert_eq(pawl_machine_event(machine, "prioritise"), WORK_PRIORITISE);
    cr_assert_eq(pawl_machine_event(machine, "watch"), WORK_WATCH);
    cr_assert_eq(pawl_machine_event(machine, "reclaim"), WORK_RECLAIM);
    pawl_machine_destroy(machine);
}

Test(work_machine, compiled_with_the_durability_asked_for)
{
    const struct pawl_machine *memory[PAWL_WORK_MACHINES], *sync[PAWL_WORK_MACHINES];
    const struct pawl_work_options a = {.durability = PAWL_DURABILITY_MEMORY};
    const struct pawl_work_options b = {.durability = PAWL_DURABILITY_SYNC};

    cr_assert_eq(pawl__work_machines(&a, NULL, NULL, memory), 0);
    cr_assert_eq(pawl__work_machines(&b, NULL, NULL, sync), 0);
    for (unsigned i = 0; i < PAWL_WORK_MACHINES; i++)
        cr_assert(pawl_machine_hash(memory[i]) != pawl_machine_hash(sync[i]));
    pawl__work_machines_destroy(memory);
    pawl__work_machines_destroy(sync);
    cr_assert(memory[0] == NULL);
}

Test(work_machine, verify_lane_must_be_listed)
{
    const struct pawl_lane_def lanes[] = {{.name = "a"}, {.name = "b"}};
    const struct pawl_work_policy policies[] = {
        {.verify = PAWL_WORK_VERIFY_LANE, .verify_lane = "b"},
        {.name = "odd", .verify = PAWL_WORK_VERIFY_LANE, .verify_lane = "c"}};
    const struct pawl_work_options options = {.policies = policies, .policies_count = 2};

    d.length = 0;
    d.errors = 0;
    cr_assert_eq(pawl__work_check_lanes(&options, lanes, 2, diagnostics_add, &d), -EINVAL);
    cr_assert_eq(d.errors, 1);
    cr_assert(diagnostics_have(&d, "error", "policy 1 (odd)", "verify_lane"));
}
