/*
 * One event to its task: those that come too late, too early, or for nobody.
 */
#include <errno.h>

#include "shard/shard.h"
#include "support/fixture.h"

static struct fixture f;

Test(dispatch, an_event_for_a_task_that_has_ended_is_stale)
{
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    cr_assert_eq(pawl_port_cancel(f.port, task, 1), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, 0);
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(NULL), 0).status, -ESTALE);
    cr_assert_eq(fixture_counters(&f).stale, 1);
    fixture_close(&f);
}

Test(dispatch, an_event_for_a_slot_that_never_was_is_stale)
{
    const struct pawl_task never = {UINT64_C(1) << 32 | 4000000};

    fixture_open(&f, NULL);
    cr_assert_eq(fixture_ask(&f, never, P_CALL, puppet_word(NULL), 0).status, -ESTALE);
    fixture_close(&f);
}

static struct pawl_task child;

static void bear_and_call(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.machine = 0, .shard = 0};

    (void)puppet, (void)event;
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &child), 0);
    for (uint64_t i = 1; i <= 3; i++)
        pawl_step_post(step, &(struct pawl_event){.task = child, .code = P_NOTE, .arg = {i}});
}

/* The child has an entry action, so its first step is an event of its own, behind these. */
Test(dispatch, events_for_a_task_that_is_not_yet_alive_are_handled_in_order_when_it_is)
{
    const uint64_t told[] = {1, 2, 3};
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    trace_clear();
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(bear_and_call), 0).status, 0);
    cr_assert(fixture_is_alive(&f, child));
    cr_assert(trace_equals(told, 3));
    fixture_close(&f);
}

Test(dispatch, a_request_for_a_machine_that_is_not_there_is_refused)
{
    const struct pawl_task_spec spec = {.machine = 5, .shard = 0};

    fixture_open(&f, NULL);
    cr_assert_eq(pawl_port_create(f.port, &spec, 0), -EINVAL);
    fixture_close(&f);
}
