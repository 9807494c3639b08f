/* Parents and children: which a cancel with its tree takes, and which live on. */
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

Test(work_tree, cancel_with_tree_takes_all_descendants)
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
    work_cancel(&w, tasks[0], true);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_CANCELLED, "%u", i);
    cr_assert_eq(work_view(&w, tasks[4]).work.klass, PAWL_WORK_CLASS_PARENT);
    cr_assert_eq(work_view(&w, tasks[4]).work.parent, tasks[3].id);
    cr_assert_eq(work_state(&w, tasks[5]), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_tree, cancel_without_tree_leaves_children)
{
    struct pawl_task parent, child, late;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    child = work_submit_child(&w, parent);
    work_cancel(&w, parent, false);
    late = work_submit_child(&w, parent);
    cr_assert_eq(work_state(&w, child), PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, late), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_tree, child_of_a_tree_that_is_cancelled_already_is_cancelled)
{
    struct pawl_task parent;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    work_cancel(&w, parent, true);
    cr_assert_eq(work_state(&w, work_submit_child(&w, parent)), PAWL_WORK_CANCELLED);
    work_close(&w);
}

Test(work_tree, child_that_its_parent_has_no_room_for_lives_on_its_own)
{
    struct pawl_task parent, first, last = PAWL_NO_TASK;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    first = work_submit_child(&w, parent);
    for (unsigned i = 0; i < WORK_WATCHERS_MAX; i++)
        last = work_submit_child(&w, parent);
    cr_assert_eq(work_state(&w, last), PAWL_WORK_READY);
    work_cancel(&w, parent, true);
    cr_assert_eq(work_state(&w, first), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, last), PAWL_WORK_READY);
    work_close(&w);
}

Test(work_tree, child_of_a_parent_that_is_gone_is_cancelled)
{
    struct pawl_work given = {.claim = {.lane = pawl_lane_number("work")}};
    struct pawl_task_spec spec = {
        .machine = WORK_FIRST, .context = &given, .context_size = sizeof(given)};
    struct pawl_task parent, child;

    work_open(&w, NULL);
    parent = work_submit(&w, NULL);
    work_cancel(&w, parent, false);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, parent, 1)).status, 0);
    given.parent = parent.id; /* pawl_work_submit would have seen it */
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &child), 0);
    fixture_run(&w.f);
    cr_assert_eq(work_state(&w, child), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_view(&w, child).work.reason, -ESTALE);
    work_close(&w);
}

Test(work_tree, tree_ends_at_a_child_that_had_completed)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task top, middle, low;

    work_open(&w, NULL);
    top = work_submit(&w, NULL);
    spec.parent = top;
    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    middle = work_submit(&w, &spec);
    low = work_submit_child(&w, middle);
    work_complete_group(&w, middle);
    work_cancel(&w, top, true);
    cr_assert_eq(work_state(&w, low), PAWL_WORK_READY);
    work_close(&w);
}

/* ---- Of a parent that has failed ---- */

/* By its deadline; it stays for 10 s. */
static struct pawl_task submit_brief(struct pawl_task parent)
{
    struct pawl_work_spec spec = work_spec();

    spec.deadline_ns = SECOND;
    spec.parent = parent;
    return work_submit(&w, &spec);
}

static const struct work_fixture_options brief = {.policies = {{.keep_ns = 10 * SECOND}},
                                                  .shards = 2};

Test(work_tree, children_follow_a_parent_that_was_kicked)
{
    struct pawl_task parent, before, after;

    work_open(&w, &brief);
    parent = submit_brief(PAWL_NO_TASK);
    before = work_submit_child(&w, parent);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_state(&w, parent), PAWL_WORK_FAILED);
    after = work_submit_child(&w, parent);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, parent, 1)).state, PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, before), PAWL_WORK_READY);
    work_cancel(&w, parent, true);
    cr_assert_eq(work_state(&w, before), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_view(&w, before).work.klass, PAWL_WORK_CLASS_PARENT);
    cr_assert_eq(work_state(&w, after), PAWL_WORK_CANCELLED);
    work_close(&w);
}

Test(work_tree, children_of_a_failed_parent_live_on_when_it_is_gone)
{
    struct pawl_task parent, child, discarded, other;

    work_open(&w, &brief);
    parent = submit_brief(PAWL_NO_TASK);
    child = work_submit_child(&w, parent);
    discarded = submit_brief(PAWL_NO_TASK);
    other = work_submit_child(&w, discarded);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_done(&w, pawl_work_discard(w.f.port, discarded, 1)).status, 0);
    fixture_advance(&w.f, 11 * SECOND);
    cr_assert(work_is_gone(&w, parent) && work_is_gone(&w, discarded));
    cr_assert_eq(work_state(&w, child), PAWL_WORK_READY);
    cr_assert_eq(work_state(&w, other), PAWL_WORK_READY);
    cr_assert_eq(w.f.undelivered_count, 0);
    work_close(&w);
}

Test(work_tree, cancelled_tree_goes_through_one_that_has_failed)
{
    struct pawl_task root, failed, leaf, completed;
    struct pawl_work_spec spec = work_spec();

    work_open(&w, &brief);
    root = work_submit(&w, NULL);
    failed = submit_brief(root);
    leaf = work_submit_child(&w, failed);
    spec.flags = PAWL_WORK_GROUP;
    spec.parent = root;
    completed = work_submit(&w, &spec);
    fixture_advance(&w.f, 2 * SECOND);
    cr_assert_eq(work_state(&w, failed), PAWL_WORK_FAILED);
    work_cancel(&w, root, true);
    cr_assert_eq(work_state(&w, leaf), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, failed), PAWL_WORK_CANCELLED);
    cr_assert_eq(work_state(&w, completed), PAWL_WORK_COMPLETED);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, failed, 1)).status, -EPROTO);
    work_close(&w);
}
