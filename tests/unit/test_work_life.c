/*
 * A work task's life but for agents: held, delayed, overdue, cancelled, settled, kicked,
 * reclaimed; and one that is made by its context. Dependencies are in test_work_dependency.c,
 * children in test_work_tree.c.
 */
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

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

Test(work_life, priority_changes_while_it_waits)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    cr_assert_eq(work_done(&w, pawl_work_prioritise(w.f.port, task, 77, 1)).status, 0);
    cr_assert_eq(work_view(&w, task).work.claim.priority, 77);
    work_close(&w);
}

Test(work_life, cancel_of_a_settled_task_is_refused)
{
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit_group(&w);
    work_complete_group(&w, task);
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
    work_cancel(&w, task, false);
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
    work_cancel(&w, task, false);
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
    work_cancel(&w, task, false);
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
    work_cancel(&w, cancelled, false);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, cancelled, 1)).status, -EPROTO);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, -EPROTO);
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
    work_cancel(&w, settled, false);
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

/* ---- Made without pawl_work_submit ---- */

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
