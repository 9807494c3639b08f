/*
 * What an orchestrator that kept tasks in files did wrong, and Pawl does not: one test for each
 * fault, named for what holds instead. Those about files, torn reads, ids and health are where files,
 * reading, keys and watching are tested.
 */
#include "support/work_store_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

/* ---- on a disk ----------------------------------------------------------------------------------- */

static unsigned stored_count(enum pawl_work_state state)
{
    const struct pawl_filter filter = {.machine = WORK_FIRST, .state = state};
    struct pawl_walk walk = {0};
    struct pawl_view views[16] = {{.context = NULL}};
    unsigned count = 0;

    while (!walk.done) {
        const int some = pawl_task_walk(s.f.runtime, &walk, &filter, views, 16, 1000);

        cr_assert(some >= 0);
        count += (unsigned)some;
    }
    return count;
}

Test(orchestrator_regressions, status_counts_are_right_after_reload)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_lane_status before, after;
    struct pawl_task last;
    struct pawl_agent *agent;
    struct pawl_lease lease;

    stored_init();
    spec.title = "with a note";
    for (unsigned i = 0; i < 5; i++)
        last = stored_submit(&spec);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, last, false, 1)).status, 0);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(
        stored_report(agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE}).status, 0);
    spec.delay_ns = 1000 * SECOND;
    stored_submit(&spec);
    store_run(&s);
    cr_assert_eq(pawl_lane_read(s.f.runtime, "work", &before), 0);
    stored_crash(agent);
    store_run(&s);
    cr_assert_eq(pawl_lane_read(s.f.runtime, "work", &after), 0);
    cr_assert_eq(before.ready, 3);
    cr_assert_eq(after.ready, 3);
    cr_assert_eq(stored_count(PAWL_WORK_READY), 3);
    cr_assert_eq(stored_count(PAWL_WORK_COMPLETED), 1);
    cr_assert_eq(stored_count(PAWL_WORK_CANCELLED), 1);
    cr_assert_eq(stored_count(PAWL_WORK_DELAYED), 1);
    cr_assert_eq(stored_view(last).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}

Test(orchestrator_regressions, report_applied_before_a_crash_is_not_applied_again)
{
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .id = 1, .bytes = "e", .size = 1};
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE, .id = 2, .value = 8};
    const struct pawl_work_spec spec = work_spec();
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;
    uint64_t incarnation;

    stored_init();
    task = stored_submit(&spec);
    agent = stored_agent(0);
    incarnation = pawl_agent_incarnation(agent);
    lease = stored_lease(agent);
    cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
    stored_crash(agent); /* the agent does not remember that it heard */
    agent = stored_agent(incarnation);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_LEASED);
    cr_assert_eq(stored_report(agent, &lease, &note).status, -EALREADY);
    cr_assert_eq(stored_view(task).work.notes, 1);
    cr_assert_eq(stored_report(agent, &lease, &done).status, 0);
    stored_crash(agent);
    agent = stored_agent(incarnation);
    cr_assert_eq(stored_report(agent, &lease, &done).status, -EALREADY);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_COMPLETED);
    cr_assert_eq(stored_view(task).work.value, 8);
    cr_assert_eq(stored_view(task).work.notes, 1);
    stored_end(agent);
}

static int count_note(void *user, const struct pawl_work_note *note)
{
    (void)note;
    (*(unsigned *)user)++;
    return 0;
}

Test(orchestrator_regressions, evidence_and_dependencies_survive_a_crash)
{
    struct pawl_work_spec spec = work_spec();
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE, .bytes = "proof", .size = 5};
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task first, second;
    unsigned notes = 0;

    stored_init();
    spec.title = "first";
    spec.shard = 0;
    first = stored_submit(&spec);
    spec.shard = 1;
    spec.after = &first;
    spec.after_count = 1;
    second = stored_submit(&spec);
    store_run(&s);
    stored_crash(NULL);
    cr_assert_eq(stored_view(second).state, PAWL_WORK_DEPENDENT);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(lease.task.id, first.id);
    cr_assert_eq(stored_report(agent, &lease, &done).status, 0);
    stored_crash(agent);
    store_run(&s);
    cr_assert_eq(stored_view(first).state, PAWL_WORK_COMPLETED);
    cr_assert_eq(stored_view(second).state, PAWL_WORK_READY);
    cr_assert_eq(pawl_work_notes(s.f.runtime, first, count_note, &notes), 0);
    cr_assert_eq(notes, 2);
    stored_end(NULL);
}

/* ---- in memory ----------------------------------------------------------------------------------- */

Test(orchestrator_regressions, cancelled_task_cannot_complete)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(work_done(&w, pawl_work_cancel(w.f.port, task, false, 1)).status, 0);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_DONE, 0), -ESTALE);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_NOTE, 0), -ESTALE);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_CANCELLED);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(orchestrator_regressions, duplicate_create_leads_to_the_existing_task_and_changes_nothing)
{
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = "e", .size = 1};
    struct pawl_work_spec spec = work_spec();
    struct pawl_completion again;
    struct pawl_work_view before, after;
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    work_open(&w, NULL);
    spec.key = "job-1";
    spec.key_size = 5;
    spec.title = "one";
    task = work_submit(&w, &spec);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(work_receipt(&w, agent, &lease, &note).status, 0);
    before = work_view(&w, task);
    spec.title = "two";
    spec.priority = 5;
    again = work_try_submit(&w, &spec);
    cr_assert_eq(again.status, -EEXIST);
    cr_assert_eq(again.task.id, task.id);
    after = work_view(&w, task);
    cr_assert_eq(after.version, before.version);
    cr_assert_eq(memcmp(&after.work, &before.work, sizeof(after.work)), 0);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(orchestrator_regressions, two_writers_do_not_lose_evidence)
{
    struct pawl_agent *agents[2];
    struct pawl_task task;
    unsigned notes = 0;

    work_open(&w, &(struct work_fixture_options){.policies = {{.attempts = 100}}});
    task = work_submit(&w, NULL);
    for (unsigned round = 0; round < 10; round++) {
        struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = &round, .size = 4};
        struct pawl_receipt receipts[2];
        struct pawl_agent *agent;
        struct pawl_lease lease;

        if (round < 2)
            agents[round] = work_agent(&w, round == 0 ? "a" : "b", "work", 1);
        agent = agents[round % 2];
        lease = work_lease(&w, agent);
        /* The host writes to the task in between, and the agent twice without waiting. */
        cr_assert_eq(pawl_agent_report(agent, &lease, &note), 0);
        cr_assert_eq(pawl_work_prioritise(w.f.port, task, round, 1), 0);
        cr_assert_eq(pawl_agent_report(agent, &lease, &note), 0);
        fixture_run(&w.f);
        cr_assert_eq(fixture_reap(&w.f).status, 0);
        cr_assert_eq(pawl_agent_settle(agent, 0), 0);
        cr_assert_eq(pawl_agent_receipts(agent, receipts, 2), 2);
        cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_RELEASE, 0), 0);
    }
    cr_assert_eq(work_view(&w, task).work.notes, 20);
    cr_assert_eq(pawl_work_notes(w.f.runtime, task, count_note, &notes), 0);
    cr_assert_eq(notes, 20);
    work_agent_end(&w, agents[0]);
    work_agent_end(&w, agents[1]);
    work_close(&w);
}

Test(orchestrator_regressions, malformed_report_is_refused_once_and_not_tried_again)
{
    struct pawl_agent *agent;
    struct pawl_completion done;
    struct pawl_buffer *junk;
    struct pawl_work_view before;
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 1);
    work_lease(&w, agent);
    before = work_view(&w, task);
    junk = pawl_buffer_create(39);
    memset(pawl_buffer_bytes(junk), 0xee, 39);
    fixture_post(&w.f, &(struct pawl_event){.task = task,
                                            .code = WORK_DONE,
                                            .flags = PAWL_EVENT_COMPLETE | PAWL_EVENT_BUFFER,
                                            .arg = {(uint64_t)(uintptr_t)junk}});
    fixture_run(&w.f);
    done = fixture_reap(&w.f);
    cr_assert_eq(done.status, -EINVAL);
    fixture_advance(&w.f, 10 * SECOND);
    cr_assert(fixture_nothing_to_reap(&w.f));
    cr_assert_eq(w.f.undelivered_count, 0);
    cr_assert_eq(work_view(&w, task).version, before.version);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(orchestrator_regressions, three_quick_completions_get_three_verifications)
{
    struct pawl_agent *agent, *judge;
    struct pawl_lease leases[3], checks[4];
    struct pawl_task tasks[3];

    work_open(&w, &(struct work_fixture_options){
                      .policies = {{.verify = PAWL_WORK_VERIFY_LANE, .verify_lane = "verify"}}});
    for (unsigned i = 0; i < 3; i++)
        tasks[i] = work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 3);
    judge = work_agent(&w, "judge", "verify", 4);
    cr_assert_eq(work_take(&w, agent, leases, 3), 3);
    for (unsigned i = 0; i < 3; i++) /* at once */
        cr_assert_eq(
            pawl_agent_report(agent, &leases[i], &(struct pawl_report){.kind = PAWL_REPORT_DONE}),
            0);
    cr_assert_eq(work_take(&w, judge, checks, 4), 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(work_report(&w, judge, &checks[i], PAWL_REPORT_ACCEPT, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_COMPLETED);
    work_agent_end(&w, agent);
    work_agent_end(&w, judge);
    work_close(&w);
}

Test(orchestrator_regressions, only_the_holders_report_counts)
{
    struct pawl_agent *holder, *other;
    struct pawl_lease lease, stolen;
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    holder = work_agent(&w, "holder", "work", 1);
    lease = work_lease(&w, holder);
    other = work_agent(&w, "other", "verify", 1);
    for (unsigned i = 0; i < PAWL_REPORT_KINDS; i++) {
        const enum pawl_report_kind kind = (enum pawl_report_kind)i;
        const int status = work_report(&w, other, &lease, kind, 0);

        cr_assert_eq(status, -EPERM, "%s: %d", pawl_report_name(kind), status);
    }
    stolen = lease;
    stolen.token++;
    cr_assert_eq(work_report(&w, other, &stolen, PAWL_REPORT_DONE, 0), -ESTALE);
    cr_assert_eq(work_report(&w, holder, &stolen, PAWL_REPORT_DONE, 0), -ESTALE);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_LEASED);
    cr_assert_eq(work_view(&w, task).work.claim.agent, pawl_agent_incarnation(holder));
    cr_assert_eq(work_report(&w, holder, &lease, PAWL_REPORT_DONE, 0), 0);
    work_agent_end(&w, holder);
    work_agent_end(&w, other);
    work_close(&w);
}

Test(orchestrator_regressions, ready_tasks_beyond_any_budget_are_not_dropped)
{
    static struct pawl_work_spec spec;
    static struct pawl_lease leases[16];
    const unsigned total = 3000;
    struct pawl_agent *agent;
    unsigned done = 0, idle = 0;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    spec = work_spec();
    for (unsigned i = 0; i < total; i++)
        work_submit(&w, &spec);
    agent = work_agent(&w, "a", "work", 16);
    while (idle < 3) {
        const int count = work_take(&w, agent, leases, 16);

        idle = count == 0 ? idle + 1 : 0;
        for (int i = 0; i < count; i++, done++)
            cr_assert_eq(work_report(&w, agent, &leases[i], PAWL_REPORT_DONE, 0), 0);
    }
    cr_assert_eq(done, total);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(orchestrator_regressions, failed_dependency_does_not_let_others_wait_for_ever)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task first, second;

    work_open(&w, &(struct work_fixture_options){.policies = {{.attempts = 1}}});
    first = work_submit(&w, NULL);
    spec.after = &first;
    spec.after_count = 1;
    second = work_submit(&w, &spec);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, 0), 0);
    cr_assert_eq(work_state(&w, first), PAWL_WORK_DEAD);
    cr_assert_eq(work_state(&w, second), PAWL_WORK_FAILED);
    work_agent_end(&w, agent);
    work_close(&w);
}

Test(orchestrator_regressions, last_retry_runs)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    work_open(&w, &(struct work_fixture_options){.policies = {{.attempts = 3}}});
    task = work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 1);
    for (unsigned i = 0; i < 2; i++) {
        lease = work_lease(&w, agent);
        cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, 0), 0);
    }
    lease = work_lease(&w, agent);
    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_DONE, 0), 0);
    cr_assert_eq(work_state(&w, task), PAWL_WORK_COMPLETED);
    cr_assert_eq(work_view(&w, task).work.attempts, 3);
    work_agent_end(&w, agent);
    work_close(&w);
}

/* Whatever ends them: reports, expiry, death. And as many again after a kick. */
Test(orchestrator_regressions, exactly_as_many_attempts_as_stated)
{
    work_open(&w, &(struct work_fixture_options){.policies = {{.crashes = PAWL_WORK_UNLIMITED}}});
    for (unsigned limit = 1; limit <= 6; limit++) {
        struct pawl_task task;
        unsigned leases = 0;

        w.policies[0].attempts = limit;
        task = work_submit(&w, NULL);
        for (unsigned kicks = 0; kicks < 2; kicks++) {
            while (work_state(&w, task) == PAWL_WORK_READY) {
                struct pawl_agent *agent = work_agent(&w, "a", "work", 1);
                const struct pawl_lease lease = work_lease(&w, agent);

                leases++;
                if (leases % 3 == 0)
                    cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_FAILED, 0), 0);
                else if (leases % 3 == 1)
                    fixture_advance(&w.f, 61 * SECOND);
                work_agent_end(&w, agent); /* which has it, or not */
            }
            cr_assert_eq(work_state(&w, task), PAWL_WORK_DEAD);
            cr_assert_eq(leases, limit * (kicks + 1));
            cr_assert_eq(work_view(&w, task).work.attempts, leases);
            if (kicks == 0)
                cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, 0);
        }
    }
    work_close(&w);
}
