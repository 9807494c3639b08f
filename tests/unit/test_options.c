/*
 * What pawl_open makes of its options: the library's own machines stand behind the host's.
 */
#include "shard/options.h"
#include "support/lane_fixture.h"

static const struct pawl_lane_def lane = {.name = "work"};
static const struct pawl_work_options work;
static char told[256];

static void tell(void *user, const struct pawl_diagnostic *finding)
{
    (void)user;
    snprintf(told, sizeof(told), "%s: %s", finding->where, finding->what);
}

static int open_with(bool host, bool with_work, bool with_lane, struct pawl_runtime **runtime,
                     struct pawl_machine **machine)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    told[0] = '\0';
    cr_assert_eq(pawl_machine_compile(&job_machine, NULL, NULL, machine), 0);
    options.machines = (const struct pawl_machine *const *)machine;
    options.machine_count = host ? 1 : 0;
    options.work = with_work ? &work : NULL;
    options.lanes = with_lane ? &lane : NULL;
    options.lane_count = with_lane ? 1 : 0;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.no_huge_pages = 1;
    options.diagnose = tell;
    return pawl_open(&options, runtime);
}

Test(options, the_work_machine_stands_behind_those_of_the_host)
{
    for (unsigned host = 0; host < 2; host++) {
        struct pawl_runtime *runtime;
        struct pawl_machine *machine;

        cr_assert_eq(open_with(host == 1, true, true, &runtime, &machine), 0, "%s", told);
        cr_assert_eq(pawl_work_machine(runtime), (int)host);
        cr_assert_eq(runtime->machine_count, host + PAWL_WORK_MACHINES);
        cr_assert_eq(pawl_close(runtime), 0);
        pawl_machine_destroy(machine);
    }
}

Test(options, without_work_there_is_no_work_machine)
{
    struct pawl_runtime *runtime;
    struct pawl_machine *machine;

    cr_assert_eq(open_with(true, false, true, &runtime, &machine), 0, "%s", told);
    cr_assert_eq(pawl_work_machine(runtime), -ENOENT);
    cr_assert_eq(runtime->machine_count, 1);
    cr_assert_eq(pawl_close(runtime), 0);
    pawl_machine_destroy(machine);
}

Test(options, lane_states_without_a_lane_are_refused)
{
    struct pawl_runtime *runtime;
    struct pawl_machine *machine;

    cr_assert_eq(open_with(true, false, false, &runtime, &machine), -EINVAL);
    cr_assert(strstr(told, "lane") != NULL, "%s", told);
    pawl_machine_destroy(machine);
}

Test(options, nothing_at_all_is_refused)
{
    struct pawl_runtime *runtime;
    struct pawl_machine *machine;

    cr_assert_eq(open_with(false, false, true, &runtime, &machine), -EINVAL);
    cr_assert(strstr(told, "machine") != NULL, "%s", told);
    pawl_machine_destroy(machine);
}
