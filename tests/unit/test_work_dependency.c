/*
 * Work that waits for other work: until it has completed, what follows when it does not, groups;
 * and a kick, which asks all that again.
 */
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

/* deadline_ns: 0 for none. */
static struct pawl_task submit_until(uint64_t deadline_ns, const struct pawl_task *after,
                                     size_t count, uint32_t policy)
{
    struct pawl_work_spec spec = work_spec();

    spec.deadline_ns = deadline_ns;
    spec.after = after;
    spec.after_count = count;
    spec.policy = policy;
    return work_submit(&w, &spec);
}

static struct pawl_task submit_after(const struct pawl_task *after, size_t count, uint32_t policy)
{
    return submit_until(0, after, count, policy);
}

/* Completes by itself. */
static struct pawl_task submit_delayed_group(uint64_t delay_ns, uint32_t shard)
{
    struct pawl_work_spec spec = work_spec();

    spec.flags = PAWL_WORK_GROUP;
    spec.delay_ns = delay_ns;
    spec.shard = shard;
    return work_submit(&w, &spec);
}

Test(work_dependency, dependent_is_ready_when_the_last_has_completed)
{
    struct pawl_task before[3], task;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    for (unsigned i = 0; i < 3; i++)
        before[i] = submit_delayed_group((i + 1) * SECOND, i % 2);
    task = submit_after(before, 3, 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEPENDENT);
    cr_assert_eq(work_view(&w, task).work.waits, 3);
    fixture_advance(&w.f, 2 * SECOND + SECOND / 2);
    cr_assert_eq(work_view(&w, task).work.waits, 1);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DEPENDENT);
    fixture_advance(&w.f, SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_dependency, dependency_settled_before_is_no_obstacle)
{
    struct pawl_task before;

    work_open(&w, NULL);
    before = work_submit_group(&w);
    work_complete_group(&w, before);
    cr_assert_eq(work_state(&w, submit_after(&before, 1, 0)), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_dependency, broken_dependency_does_what_the_policy_says)
{
    static const enum pawl_work_state states[] = {PAWL_WORK_FAILED, PAWL_WORK_CANCELLED,
                                                  PAWL_WORK_DEPENDENT};
    struct pawl_task before[2], tasks[3];

    work_open(&w, &(struct work_fixture_options){.policies = {{.broken = PAWL_WORK_BROKEN_FAIL},
                                                              {.broken = PAWL_WORK_BROKEN_CANCEL},
                                                              {.broken = PAWL_WORK_BROKEN_GO_ON}}});
    before[0] = work_submit(&w, NULL);
    before[1] = work_submit(&w, NULL);
    for (unsigned i = 0; i < 3; i++)
        tasks[i] = submit_after(before, 2, i);
    work_cancel(&w, before[0], false);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(work_state(&w, tasks[i]), states[i], "policy %u", i);
        if (i < 2)
            cr_assert_eq(work_view(&w, tasks[i]).work.klass, PAWL_WORK_CLASS_DEPENDENCY);
    }
    work_cancel(&w, before[1], false);
    cr_assert_eq(work_state(&w, tasks[2]), PAWL_WORK_READY);
    cr_assert_eq(w.f.undelivered_count, 0); /* answers that nobody waits for are no noise */
    work_close(&w);
}

Test(work_dependency, failure_goes_down_a_chain)
{
    struct pawl_task tasks[20];

    work_open(&w, &(struct work_fixture_options){.shards = 3});
    tasks[0] = work_submit(&w, NULL);
    for (unsigned i = 1; i < 20; i++)
        tasks[i] = submit_after(&tasks[i - 1], 1, 0);
    work_cancel(&w, tasks[0], false);
    for (unsigned i = 1; i < 20; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_FAILED);
    work_close(&w);
}

Test(work_dependency, group_completes_with_its_members_and_tells_once)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task members[4], group;
    struct pawl_completion told;

    work_open(&w, NULL);
    for (unsigned i = 0; i < 4; i++)
        members[i] = work_submit_group(&w);
    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    spec.lane = NULL;
    group = work_submit(&w, &spec);
    for (unsigned i = 0; i < 4; i++) /* open them, so that they may be waited for */
        work_complete_group(&w, members[i]);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, group, members, 4, 1)).status, 0);
    cr_assert_eq(pawl_work_watch(w.f.port, group, 5), 0);
    fixture_run(&w.f);
    cr_assert(fixture_nothing_to_reap(&w.f));
    cr_assert_eq(pawl_work_open(w.f.port, group, 6), 0);
    fixture_run(&w.f);
    told = fixture_reap(&w.f);
    if (told.tag == 6)
        told = fixture_reap(&w.f);
    cr_assert_eq(told.tag, 5);
    cr_assert_eq(told.status, 0);
    cr_assert_eq(told.value, PAWL_WORK_COMPLETED);
    work_close(&w);
}

Test(work_dependency, only_opened_tasks_are_waited_for)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task held, other;

    work_open(&w, NULL);
    held = work_submit_group(&w);
    other = work_submit_group(&w);
    spec.after = &held;
    spec.after_count = 1;
    cr_assert_eq(pawl_work_submit(w.f.port, &spec, 1), -EBUSY);
    cr_assert_eq(pawl_work_after(w.f.port, other, &held, 1, 1), -EBUSY);
    cr_assert_eq(pawl_work_after(w.f.port, held, &held, 1, 1), -EBUSY);
    work_complete_group(&w, held);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, other, &held, 1, 1)).status, 0);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, held, &held, 1, 1)).status, -EPROTO);
    work_close(&w);
}

/* ---- Kicked ---- */

/* Fails by its deadline; stays for 10 s with policy 0. */
static struct pawl_task submit_brief(const struct pawl_task *after, size_t count, uint32_t policy)
{
    return submit_until(SECOND, after, count, policy);
}

static const struct work_fixture_options brief = {
    .policies = {{.keep_ns = 10 * SECOND}, {.broken = PAWL_WORK_BROKEN_GO_ON}}, .shards = 2};

Test(work_dependency, kick_is_refused_where_a_dependency_has_not_completed)
{
    struct pawl_task before, task, other;

    work_open(&w, &brief);
    before = work_submit(&w, NULL);
    task = submit_after(&before, 1, 0);
    other = submit_brief(&before, 1, 0);
    fixture_advance(&w.f, 2 * SECOND); /* overdue, before it is broken */
    work_cancel(&w, before, false);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, other).work.klass, PAWL_WORK_CLASS_OVERDUE);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, -EPERM);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, other, 1)).status, -EPERM);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, task).work.history, 0);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, task, 1)).status, 0);
    work_close(&w);
}

Test(work_dependency, kicked_one_waits_for_what_has_not_settled_yet)
{
    struct pawl_task before[2], task;

    work_open(&w, &brief);
    for (unsigned i = 0; i < 2; i++)
        before[i] = submit_delayed_group((2 + i) * SECOND, i);
    task = submit_brief(before, 2, 0);
    fixture_advance(&w.f, 2 * SECOND + SECOND / 2);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_DEPENDENT);
    cr_assert_eq(work_view(&w, task).work.waits, 1);
    fixture_advance(&w.f, SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_dependency, kick_goes_on_where_the_policy_does_not_mind_what_is_broken)
{
    struct pawl_task before, task;

    work_open(&w, &brief);
    before = work_submit(&w, NULL);
    task = submit_brief(&before, 1, 1);
    fixture_advance(&w.f, 2 * SECOND);
    work_cancel(&w, before, false);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_READY);
    work_close(&w);
}
