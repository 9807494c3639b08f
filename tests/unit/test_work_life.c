/* A work task's life but for agents: waiting, deadlines, cancelling, being settled, kicked, reclaimed. */
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

static struct pawl_task submit_after(const struct pawl_task *after, size_t count, uint32_t policy)
{
    struct pawl_work_spec spec = work_spec();

    spec.after = after;
    spec.after_count = count;
    spec.policy = policy;
    return work_submit(&w, &spec);
}

static void cancel(struct pawl_task task, bool tree)
{
    cr_assert_eq(work_done(&w, pawl_work_cancel(w.f.port, task, tree, 1)).status, 0);
}

static struct pawl_task submit_group(void)
{
    struct pawl_work_spec spec = work_spec();

    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    return work_submit(&w, &spec);
}

static void complete_group(struct pawl_task task)
{
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).state, PAWL_WORK_COMPLETED);
}

Test(work_life, submitted_is_ready_and_says_so)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_view view;

    work_open(&w, NULL);
    spec.priority = 9;
    spec.assignee = "a";
    view = work_view(&w, work_submit(&w, &spec));
    cr_assert_eq(view.state, PAWL_WORK_READY);
    cr_assert_eq(view.work.claim.priority, 9);
    cr_assert_eq(view.work.claim.assignee, pawl_agent_number("a"));
    cr_assert_eq(view.work.lane, pawl_lane_number("work"));
    cr_assert_eq(view.work.attempts_max, 3);
    cr_assert_eq(view.work.attempts, 0);
    work_close(&w);
}

Test(work_life, held_waits_until_it_is_opened)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;

    work_open(&w, NULL);
    spec.flags = PAWL_WORK_HELD;
    task = work_submit(&w, &spec);
    fixture_advance(&w.f, 100 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_NEW);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).state, PAWL_WORK_READY);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).status, -EPROTO);
    work_close(&w);
}

Test(work_life, delay_is_waited_for_to_the_end)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;

    work_open(&w, NULL);
    spec.delay_ns = 10 * SECOND;
    task = work_submit(&w, &spec);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DELAYED);
    fixture_advance(&w.f, 9 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_DELAYED);
    fixture_advance(&w.f, SECOND + 2 * FIXTURE_MS);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, delay_runs_while_held_or_dependent)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;

    work_open(&w, NULL);
    spec.flags = PAWL_WORK_HELD;
    spec.delay_ns = SECOND;
    task = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).state, PAWL_WORK_READY);
    task = work_submit(&w, &spec);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).state, PAWL_WORK_DELAYED);
    work_close(&w);
}

Test(work_life, deadline_fails_what_is_not_settled)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_view view;
    struct pawl_task task, done;

    work_open(&w, NULL);
    spec.deadline_ns = SECOND;
    task = work_submit(&w, &spec);
    spec.flags = PAWL_WORK_GROUP;
    done = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    view = work_view(&w, task);
    cr_assert_eq(view.state, PAWL_WORK_FAILED);
    cr_assert_eq(view.work.klass, PAWL_WORK_CLASS_OVERDUE);
    cr_assert_eq(view.work.reason, -ETIMEDOUT);
    cr_assert_eq(work_state(&w, done), PAWL_WORK_COMPLETED);
    work_close(&w);
}

Test(work_life, dependent_is_ready_when_the_last_has_completed)
{
    struct pawl_task before[3], task;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    for (unsigned i = 0; i < 3; i++) {
        struct pawl_work_spec spec = work_spec();

        spec.flags = PAWL_WORK_GROUP;
        spec.delay_ns = (i + 1) * SECOND;
        spec.shard = i % 2;
        before[i] = work_submit(&w, &spec);
    }
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

Test(work_life, dependency_settled_before_is_no_obstacle)
{
    struct pawl_task before;

    work_open(&w, NULL);
    before = submit_group();
    complete_group(before);
    cr_assert_eq(work_state(&w, submit_after(&before, 1, 0)), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, broken_dependency_does_what_the_policy_says)
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
    cancel(before[0], false);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(work_state(&w, tasks[i]), states[i], "policy %u", i);
        if (i < 2)
            cr_assert_eq(work_view(&w, tasks[i]).work.klass, PAWL_WORK_CLASS_DEPENDENCY);
    }
    cancel(before[1], false);
    cr_assert_eq(work_state(&w, tasks[2]), PAWL_WORK_READY);
    cr_assert_eq(w.f.undelivered_count, 0); /* answers that nobody waits for are no noise */
    work_close(&w);
}

Test(work_life, failure_goes_down_a_chain)
{
    struct pawl_task tasks[20];

    work_open(&w, &(struct work_fixture_options){.shards = 3});
    tasks[0] = work_submit(&w, NULL);
    for (unsigned i = 1; i < 20; i++)
        tasks[i] = submit_after(&tasks[i - 1], 1, 0);
    cancel(tasks[0], false);
    for (unsigned i = 1; i < 20; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_FAILED);
    work_close(&w);
}

Test(work_life, group_completes_with_its_members_and_tells_once)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task members[4], group;
    struct pawl_completion told;

    work_open(&w, NULL);
    for (unsigned i = 0; i < 4; i++)
        members[i] = submit_group();
    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    spec.lane = NULL;
    group = work_submit(&w, &spec);
    for (unsigned i = 0; i < 4; i++) /* open them, so that they may be waited for */
        complete_group(members[i]);
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

Test(work_life, only_opened_tasks_are_waited_for)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task held, other;

    work_open(&w, NULL);
    held = submit_group();
    other = submit_group();
    spec.after = &held;
    spec.after_count = 1;
    cr_assert_eq(pawl_work_submit(w.f.port, &spec, 1), -EBUSY);
    cr_assert_eq(pawl_work_after(w.f.port, other, &held, 1, 1), -EBUSY);
    cr_assert_eq(pawl_work_after(w.f.port, held, &held, 1, 1), -EBUSY);
    complete_group(held);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, other, &held, 1, 1)).status, 0);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, held, &held, 1, 1)).status, -EPROTO);
    work_close(&w);
}

Test(work_life, cancel_with_tree_takes_all_descendants)
{
    struct pawl_task tasks[6];
    /* 0: 1, 2; 1: 3; 3: 4; 5 is apart */
    static const int parents[6] = {-1, 0, 0, 1, 3, -1};

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    for (unsigned i = 0; i < 6; i++) {
        struct pawl_work_spec spec = work_spec();

        if (parents[i] >= 0)
            spec.parent = tasks[parents[i]];
        tasks[i] = work_submit(&w, &spec);
    }
    cancel(tasks[0], true);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_CANCELLED, "%u", i);
    cr_assert_eq(work_view(&w, tasks[4]).work.klass, PAWL_WORK_CLASS_PARENT);
    cr_assert_eq(work_view(&w, tasks[4]).work.parent, tasks[3].id);
    cr_assert_eq(work_state(&w, tasks[5]), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, cancel_without_tree_leaves_children)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent, child, late;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    spec.parent = parent;
    child = work_submit(&w, &spec);
    cancel(parent, false);
    late = work_submit(&w, &spec);
    cr_assert_eq(work_state(&w, child), PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, late), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, child_of_a_tree_that_is_cancelled_already_is_cancelled)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    cancel(parent, true);
    spec.parent = parent;
    cr_assert_eq(work_state(&w, work_submit(&w, &spec)), PAWL_WORK_CANCELLED);
    work_close(&w);
}

Test(work_life, cancel_of_a_settled_task_is_refused)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = submit_group();
    complete_group(task);
    cr_assert_eq(work_done(&w, pawl_work_cancel(w.f.port, task, true, 1)).status, -EALREADY);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_COMPLETED);
    work_close(&w);
}

Test(work_life, runtime_cancel_cancels_and_does_not_end)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    cr_assert_eq(work_done(&w, pawl_port_cancel(w.f.port, task, 1)).status, 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_CANCELLED);
    work_close(&w);
}

Test(work_life, settled_task_stays_and_then_is_gone)
{
    struct pawl_task task;

    work_open(&w, &(struct work_fixture_options){.policies = {{.keep_ns = 5 * SECOND}}});
    task = work_submit(&w, NULL);
    cancel(task, false);
    fixture_advance(&w.f, 4 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_done(&w, pawl_work_watch(w.f.port, task, 1)).value, PAWL_WORK_CANCELLED);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert(work_is_gone(&w, task));
    cr_assert_eq(work_done(&w, pawl_work_watch(w.f.port, task, 1)).status, -ESTALE);
    cr_assert_eq(work_live(&w), 0);
    work_close(&w);
}

Test(work_life, key_leads_to_the_task_until_it_is_gone)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_completion again;
    struct pawl_task task;

    work_open(&w, &(struct work_fixture_options){.policies = {{.keep_ns = 5 * SECOND}}});
    spec.key = "k";
    spec.key_size = 1;
    spec.priority = 3;
    task = work_submit(&w, &spec);
    spec.priority = 1;
    spec.title = "another";
    again = work_try_submit(&w, &spec);
    cr_assert_eq(again.status, -EEXIST);
    cr_assert_eq(again.task.id, task.id);
    cr_assert_eq(work_view(&w, task).work.claim.priority, 3);
    cr_assert_eq(work_view(&w, task).work.detail, 0);
    cancel(task, false);
    cr_assert_eq(work_try_submit(&w, &spec).status, -EEXIST);
    fixture_advance(&w.f, 6 * SECOND);
    cr_assert_eq(work_try_submit(&w, &spec).status, 0);
    work_close(&w);
}

Test(work_life, discard_ends_it_now_but_not_before_it_is_settled)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, task, 1)).status, -EPROTO);
    cancel(task, false);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, task, 1)).status, 0);
    cr_assert(work_is_gone(&w, task));
    work_close(&w);
}

Test(work_life, kick_makes_a_failed_one_ready_and_others_not)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_view view;
    struct pawl_task task, cancelled;

    work_open(&w, NULL);
    spec.deadline_ns = SECOND;
    task = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_READY);
    view = work_view(&w, task);
    cr_assert_eq(view.work.attempts_max, 3);
    cr_assert_eq(view.work.history, 1);
    cr_assert_eq(view.work.settled_ns, 0);
    fixture_advance(&w.f, 100 * SECOND); /* neither its deadline nor its keeping goes on */
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    cancelled = work_submit(&w, NULL);
    cancel(cancelled, false);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, cancelled, 1)).status, -EPROTO);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, -EPROTO);
    work_close(&w);
}

/* Fails by its deadline; stays for 10 s. */
static struct pawl_task submit_brief(struct pawl_task parent, const struct pawl_task *after,
                                     size_t count, uint32_t policy)
{
    struct pawl_work_spec spec = work_spec();

    spec.deadline_ns = SECOND;
    spec.parent = parent;
    spec.after = after;
    spec.after_count = count;
    spec.policy = policy;
    return work_submit(&w, &spec);
}

static struct pawl_task submit_child(struct pawl_task parent)
{
    struct pawl_work_spec spec = work_spec();

    spec.parent = parent;
    return work_submit(&w, &spec);
}

static const struct work_fixture_options brief = {
    .policies = {{.keep_ns = 10 * SECOND}, {.broken = PAWL_WORK_BROKEN_GO_ON}}, .shards = 2};

Test(work_life, children_follow_a_parent_that_was_kicked)
{
    struct pawl_task parent, before, after;

    work_open(&w, &brief);
    parent = submit_brief(PAWL_NO_TASK, NULL, 0, 0);
    before = submit_child(parent);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_state(&w, parent), PAWL_WORK_FAILED);
    after = submit_child(parent);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, parent, 1)).state, PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, before), PAWL_WORK_READY);
    cancel(parent, true);
    cr_assert_eq(work_state(&w, before), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_view(&w, before).work.klass, PAWL_WORK_CLASS_PARENT);
    cr_assert_eq(work_state(&w, after), PAWL_WORK_CANCELLED);
    work_close(&w);
}

Test(work_life, children_of_a_failed_parent_live_on_when_it_is_gone)
{
    struct pawl_task parent, child, discarded, other;

    work_open(&w, &brief);
    parent = submit_brief(PAWL_NO_TASK, NULL, 0, 0);
    child = submit_child(parent);
    discarded = submit_brief(PAWL_NO_TASK, NULL, 0, 0);
    other = submit_child(discarded);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, discarded, 1)).status, 0);
    fixture_advance(&w.f, 11 * SECOND);
    cr_assert(work_is_gone(&w, parent) && work_is_gone(&w, discarded));
    cr_assert_eq(work_state(&w, child), PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, other), PAWL_WORK_READY);
    cr_assert_eq(w.f.undelivered_count, 0);
    work_close(&w);
}

Test(work_life, cancelled_tree_goes_through_one_that_has_failed)
{
    struct pawl_task root, failed, leaf, completed;
    struct pawl_work_spec spec = work_spec();

    work_open(&w, &brief);
    root = work_submit(&w, NULL);
    failed = submit_brief(root, NULL, 0, 0);
    leaf = submit_child(failed);
    spec.flags = PAWL_WORK_GROUP;
    spec.parent = root;
    completed = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_state(&w, failed), PAWL_WORK_FAILED);
    cancel(root, true);
    cr_assert_eq(work_state(&w, leaf), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, failed), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, completed), PAWL_WORK_COMPLETED);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, failed, 1)).status, -EPROTO);
    work_close(&w);
}

Test(work_life, kick_is_refused_where_a_dependency_has_not_completed)
{
    struct pawl_task before, task, other;

    work_open(&w, &brief);
    before = work_submit(&w, NULL);
    task = submit_after(&before, 1, 0);
    other = submit_brief(PAWL_NO_TASK, &before, 1, 0);
    fixture_advance(&w.f, 2 * SECOND); /* overdue, before it is broken */
    cancel(before, false);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, other).work.klass, PAWL_WORK_CLASS_OVERDUE);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, -EPERM);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, other, 1)).status, -EPERM);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, task).work.history, 0);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, task, 1)).status, 0);
    work_close(&w);
}

Test(work_life, kicked_one_waits_for_what_has_not_settled_yet)
{
    struct pawl_task before[2], task;

    work_open(&w, &brief);
    for (unsigned i = 0; i < 2; i++) {
        struct pawl_work_spec spec = work_spec();

        spec.flags = PAWL_WORK_GROUP;
        spec.delay_ns = (2 + i) * SECOND;
        before[i] = work_submit(&w, &spec);
    }
    task = submit_brief(PAWL_NO_TASK, before, 2, 0);
    fixture_advance(&w.f, 2 * SECOND + SECOND / 2);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_DEPENDENT);
    cr_assert_eq(work_view(&w, task).work.waits, 1);
    fixture_advance(&w.f, SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, kick_goes_on_where_the_policy_does_not_mind_what_is_broken)
{
    struct pawl_task before, task;

    work_open(&w, &brief);
    before = work_submit(&w, NULL);
    task = submit_brief(PAWL_NO_TASK, &before, 1, 1);
    fixture_advance(&w.f, 2 * SECOND);
    cancel(before, false);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, priority_changes_while_it_waits)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    cr_assert_eq(work_done(&w, pawl_work_prioritise(w.f.port, task, 77, 1)).status, 0);
    cr_assert_eq(work_view(&w, task).work.claim.priority, 77);
    work_close(&w);
}

/* What only the machine or its timers may say does nothing when a stranger says it. */
Test(work_life, forged_events_move_nothing)
{
    static const uint16_t codes[] = {WORK_GO,   WORK_LEASE,   WORK_EXPIRED, WORK_SETTLED,
                                     WORK_DUE,  WORK_OVERDUE, WORK_RECLAIM, WORK_DONE,
                                     WORK_NOTE, WORK_ACCEPT,  WORK_AFTER,   WORK_REJECT};
    struct pawl_task task, settled;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    settled = work_submit(&w, NULL);
    cancel(settled, false);
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        for (uint64_t arg = 0; arg < 12; arg++) {
            fixture_ask(&w.f, task, codes[i], arg, 0);
            fixture_ask(&w.f, settled, codes[i], arg, 0);
        }
    cr_assert_eq(work_state(&w, task), PAWL_WORK_READY);
    cr_assert_eq(work_view(&w, task).work.attempts, 0);
    cr_assert_eq(work_state(&w, settled), PAWL_WORK_CANCELLED);
    work_close(&w);
}

static void submit_from_step(struct pawl_step *step, struct puppet *puppet,
                             const struct pawl_event *event)
{
    const struct pawl_work work = {.claim = {.lane = pawl_lane_number("work"), .priority = 4},
                                   .attempts_max = 99, /* not the submitter's to say */
                                   .outcome = PAWL_WORK_COMPLETED};
    const struct pawl_task_spec spec = {
        .machine = WORK_FIRST, .shard = 0, .context = &work, .context_size = sizeof(work)};
    struct pawl_task task;

    (void)event;
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &task), 0);
    puppet->last = task.id;
}

Test(work_life, a_step_of_the_host_submits_by_context)
{
    struct pawl_task puppet;
    struct pawl_work_view view;

    work_open(&w, NULL);
    puppet = fixture_puppet(&w.f, 0);
    fixture_call(&w.f, puppet, P_CALL, submit_from_step);
    view = work_view(&w, (struct pawl_task){fixture_puppet_of(&w.f, puppet).last});
    cr_assert_eq(view.state, PAWL_WORK_READY);
    cr_assert_eq(view.work.claim.priority, 4);
    cr_assert_eq(view.work.attempts_max, 3);
    cr_assert_eq(view.work.outcome, 0);
    work_close(&w);
}

Test(work_life, creation_with_a_malformed_payload_is_refused)
{
    const struct pawl_work work = {.claim = {.lane = pawl_lane_number("work")}};
    uint64_t words[8] = {0};
    struct pawl_task_spec spec = {.machine = WORK_FIRST,
                                  .context = &work,
                                  .context_size = sizeof(work),
                                  .payload = words,
                                  .payload_size = 4};
    struct pawl_task task;

    work_open(&w, NULL);
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), -EINVAL);
    spec.payload_size = 8;
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), 0);
    spec.payload_size = sizeof(words);
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), -EINVAL);
    words[0] = UINT64_C(0xffffffff) << 32 | 7; /* sizes that wrap */
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), -EINVAL);
    words[0] = UINT64_C(56) << 32; /* a detail of 56 bytes */
    words[1] = UINT64_C(0xffffffff);
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), -EINVAL);
    work_close(&w);
}

/* Refused, or a task: whatever the bytes. */
Test(work_life, creation_believes_no_payload)
{
    const struct pawl_work work = {.claim = {.lane = pawl_lane_number("work")}};
    uint64_t random = 99;
    unsigned made = 0;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    for (unsigned round = 0; round < 20000; round++) {
        uint32_t words[24] = {0};
        const struct pawl_task_spec spec = {.machine = WORK_FIRST,
                                            .context = &work,
                                            .context_size = sizeof(work),
                                            .payload = words,
                                            .payload_size = 1 + round % sizeof(words)};
        struct pawl_task task;
        int error;

        for (unsigned i = 0; i < 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            words[(random >> 40) % 6] = (uint32_t)(random >> 33) % (random >> 62 == 0 ? 80 : 3);
        }
        error = pawl_task_create(w.f.runtime, &spec, &task);
        cr_assert(error == 0 || error == -EINVAL, "%d", error);
        made += error == 0;
    }
    fixture_run(&w.f);
    cr_assert(made > 0);
    work_close(&w);
}

Test(work_life, unknown_lane_is_found_out_by_the_step_too)
{
    const struct pawl_work work = {.claim = {.lane = 12345}};
    const struct pawl_task_spec spec = {
        .machine = WORK_FIRST, .context = &work, .context_size = sizeof(work)};
    struct pawl_task task;

    work_open(&w, NULL);
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), -ENOENT);
    work_close(&w);
}

/* ---- More than a task can know of ---- */

Test(work_life, child_that_its_parent_has_no_room_for_lives_on_its_own)
{
    struct pawl_task parent, first, last = PAWL_NO_TASK;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    first = submit_child(parent);
    for (unsigned i = 0; i < WORK_WATCHERS_MAX; i++)
        last = submit_child(parent);
    cr_assert_eq(work_state(&w, last), PAWL_WORK_READY);
    cancel(parent, true);
    cr_assert_eq(work_state(&w, first), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, last), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, child_of_a_parent_that_is_gone_is_cancelled)
{
    struct pawl_work given = {.claim = {.lane = pawl_lane_number("work")}};
    struct pawl_task_spec spec = {
        .machine = WORK_FIRST, .context = &given, .context_size = sizeof(given)};
    struct pawl_task parent, child;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    cancel(parent, false);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, parent, 1)).status, 0);
    given.parent = parent.id; /* pawl_work_submit would have seen it */
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &child), 0);
    fixture_run(&w.f);
    cr_assert_eq(work_state(&w, child), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_view(&w, child).work.reason, -ESTALE);
    work_close(&w);
}

Test(work_life, tree_ends_at_a_child_that_had_completed)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task top, middle, low;

    work_open(&w, NULL);
    top = work_submit(&w, NULL);
    spec.parent = top;
    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    middle = work_submit(&w, &spec);
    low = submit_child(middle);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, middle, 1)).state, PAWL_WORK_COMPLETED);
    cancel(top, true);
    cr_assert_eq(work_state(&w, low), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_life, kick_opens_what_was_overdue_while_it_was_held)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;

    work_open(&w, NULL);
    spec.flags = PAWL_WORK_HELD;
    spec.deadline_ns = SECOND;
    task = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_FAILED);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).state, PAWL_WORK_READY);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).status, -EPROTO);
    work_close(&w);
}
