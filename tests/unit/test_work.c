/* The calls that make and steer work tasks: through pawl_options.work, and what they refuse. */
#include "support/work_fixture.h"

static struct work_fixture w;

static int submit_error(const struct pawl_work_spec *spec)
{
    return pawl_work_submit(w.f.port, spec, 1);
}

Test(work, opened_by_its_option_alone)
{
    static const struct pawl_work_policy policies[] = {{.attempts = 7}};
    const struct pawl_work_options work = {PAWL_TABLE(policies)};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;
    struct pawl_completion done;
    struct pawl_work_view view;
    struct pawl_runtime *runtime;
    struct pawl_port *port;

    options.drive = PAWL_DRIVE_HOST;
    options.shards = 1;
    options.lanes = work_lanes;
    options.lane_count = 2;
    options.work = &work;
    options.no_huge_pages = 1;
    cr_assert_eq(pawl_open(&options, &runtime), 0);
    cr_assert_eq(pawl_start(runtime), 0);
    cr_assert_eq(pawl_work_machine(runtime), 0);
    cr_assert_eq(pawl_port_open(runtime, NULL, &port), 0);
    spec.lane = "verify";
    spec.title = "a title";
    cr_assert_eq(pawl_work_submit(port, &spec, 3), 0);
    while (pawl_port_reap(port, &done, 1) == 0)
        pawl_turn(runtime, 0);
    cr_assert_eq(done.status, 0);
    cr_assert_eq(done.tag, 3);
    cr_assert_eq(done.value, done.task.id);
    cr_assert_eq(pawl_work_read(runtime, done.task, &view), 0);
    cr_assert_eq(view.work.attempts_max, 7);
    cr_assert(view.work.created_ns > 0);
    cr_assert_eq(pawl_stop(runtime), 0);
    cr_assert_eq(pawl_port_close(port, 0), 0);
    cr_assert_eq(pawl_close(runtime), 0);
}

Test(work, malformed_options_do_not_open)
{
    static const struct pawl_work_policy policies[] = {{.verify = PAWL_WORK_VERIFY_HOST}};
    const struct pawl_work_options work = {PAWL_TABLE(policies)};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_runtime *runtime;

    options.drive = PAWL_DRIVE_HOST;
    options.shards = 1;
    options.work = &work;
    cr_assert_eq(pawl_open(&options, &runtime), -EINVAL);
}

Test(work, runtime_without_it_says_so)
{
    const struct pawl_work_spec spec = work_spec();
    struct pawl_work_view view;
    struct pawl_task task;

    fixture_open(&w.f, NULL);
    task = fixture_puppet(&w.f, 0);
    cr_assert_eq(pawl_work_machine(w.f.runtime), -ENOENT);
    cr_assert_eq(submit_error(&spec), -ENOTSUP);
    cr_assert_eq(pawl_work_cancel(w.f.port, task, true, 1), -ENOTSUP);
    cr_assert_eq(pawl_work_after(w.f.port, task, &task, 1, 1), -ENOTSUP);
    cr_assert_eq(pawl_work_graph(w.f.runtime, &spec, 1, NULL, 0, &task, NULL), -ENOTSUP);
    cr_assert_eq(pawl_work_read(w.f.runtime, task, &view), -EINVAL);
    fixture_close(&w.f);
}

Test(work, submit_refuses_what_is_wrong_and_makes_nothing)
{
    static char long_name[PAWL_AGENT_NAME_MAX + 2];
    struct pawl_task others[PAWL_WORK_AFTER_MAX + 1];
    struct pawl_work_spec spec;

    memset(long_name, 'x', sizeof(long_name) - 1);
    work_open(&w, &(struct work_fixture_options){
                      .policies = {{0}, {.verify = PAWL_WORK_VERIFY_LANE, .verify_lane = "nil"}}});
    for (unsigned i = 0; i <= PAWL_WORK_AFTER_MAX; i++)
        others[i] = (struct pawl_task){1};
    spec = work_spec();
    spec.size = 8;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.lane = NULL;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec.lane = "nowhere";
    cr_assert_eq(submit_error(&spec), -ENOENT);
    spec = work_spec();
    spec.policy = 1;
    cr_assert_eq(submit_error(&spec), -ENOENT);
    spec.policy = WORK_POLICIES;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.flags = 4;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.assignee = "";
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec.assignee = long_name;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.after = others;
    spec.after_count = 1;
    cr_assert_eq(submit_error(&spec), -ESTALE);
    spec.after_count = PAWL_WORK_AFTER_MAX + 1;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.parent = others[0];
    cr_assert_eq(submit_error(&spec), -ESTALE);
    spec.parent = fixture_puppet(&w.f, 0);
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.payload_size = 1;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec.payload = long_name;
    spec.payload_size = PAWL_WORK_TEXT_MAX + 1;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    spec = work_spec();
    spec.key = long_name;
    spec.key_size = 65;
    cr_assert_eq(submit_error(&spec), -EINVAL);
    cr_assert_eq(pawl_port_outstanding(w.f.port), 0);
    cr_assert_eq(work_live(&w), 1); /* the puppet */
    work_close(&w);
}

Test(work, calls_on_tasks_of_other_machines_are_refused)
{
    struct pawl_task puppet;

    work_open(&w, NULL);
    puppet = fixture_puppet(&w.f, 0);
    cr_assert_eq(pawl_work_cancel(w.f.port, puppet, false, 1), -EINVAL);
    cr_assert_eq(pawl_work_open(w.f.port, puppet, 1), -EINVAL);
    cr_assert_eq(pawl_work_kick(w.f.port, puppet, 1), -EINVAL);
    cr_assert_eq(fixture_puppet_of(&w.f, puppet).count, 0);
    work_close(&w);
}

Test(work, full_port_takes_it_later)
{
    const struct pawl_work_spec spec = work_spec();
    int error = 0;
    unsigned taken = 0;

    work_open(&w, NULL);
    while ((error = submit_error(&spec)) == 0)
        taken++;
    cr_assert_eq(error, -EAGAIN);
    fixture_run(&w.f);
    for (unsigned i = 0; i < taken; i++)
        cr_assert_eq(fixture_reap(&w.f).status, 0);
    cr_assert_eq(submit_error(&spec), 0);
    cr_assert_eq(work_live(&w), taken);
    work_close(&w);
}
