/*
 * What an orchestrator that kept tasks in files did wrong, and Pawl does not: one test for each
 * fault, named for what holds instead. Those about what is kept on a disk are in
 * test_orchestrator_store.c.
 */
#include "support/threads_fixture.h"
#include "support/work_fixture.h"

#define SECOND FIXTURE_SECOND

static struct work_fixture w;

static int count_note(void *user, const struct pawl_work_note *note)
{
    (void)note;
    (*(unsigned *)user)++;
    return 0;
}

/* ---- one after the other ------------------------------------------------------------------------- */

Test(orchestrator_regressions, cancelled_task_cannot_complete)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    work_open(&w, NULL);
    task = work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    work_cancel(&w, task, false);
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

/* ---- at the same time ---------------------------------------------------------------------------- */

enum { JOBS = 3000, READERS = 2, REPORTS = 100000 };

/* A runtime on threads of its own, with the work machine. */
struct office {
    struct pawl_runtime *runtime;
    struct pawl_task hot; /* that a reader looks at again and again */
    uint32_t hot_version; /* before its first report */
    _Atomic uint64_t stalls;
    _Atomic uint64_t over;
    _Atomic uint64_t looks;
    _Atomic uint64_t half; /* tasks of which a reader saw a part of a step */
};

static void office_on_stall(void *user, const struct pawl_stall *stall)
{
    (void)stall;
    add_relaxed(&((struct office *)user)->stalls, 1);
}

static void office_open(struct office *office, uint64_t stall_ns)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    memset(office, 0, sizeof(*office));
    options.user = office;
    options.stall_ns = stall_ns;
    options.on_stall = office_on_stall;
    office->runtime = work_start(options);
}

static struct pawl_agent *office_agent(struct office *office, uint64_t heartbeat_ns)
{
    static const char *const lane = "work";
    const struct pawl_agent_options options = {
        .name = "a", .lanes = &lane, .lanes_count = 1, .credits = 16, .heartbeat_ns = heartbeat_ns};
    struct pawl_agent *agent;

    cr_assert_eq(pawl_agent_open(office->runtime, &options, &agent), 0);
    return agent;
}

/* Works until so many leases have been answered; each result says whose it is. */
static void office_work(struct pawl_agent *agent, unsigned count)
{
    while (count > 0) {
        struct pawl_receipt receipt;
        struct pawl_lease lease;

        if (pawl_agent_next(agent, &lease, 1, SECOND) == 1) {
            const uint64_t id = lease.task.id;
            const struct pawl_report done = {
                .kind = PAWL_REPORT_DONE, .value = mix64(id), .bytes = &id, .size = sizeof(id)};
            int error;

            while ((error = pawl_agent_report(agent, &lease, &done)) == -EAGAIN)
                pawl_agent_settle(agent, SECOND);
            cr_assert_eq(error, 0);
            count--;
        }
        while (pawl_agent_receipts(agent, &receipt, 1) == 1)
            cr_assert_eq(receipt.status, 0);
    }
    cr_assert_eq(pawl_agent_settle(agent, 100 * SECOND), 0);
}

/* Step by step a task is ready, then somebody's, then done with its result and its evidence. */
static bool is_whole(const struct pawl_work_view *view)
{
    const struct pawl_work *work = &view->work;

    switch ((unsigned)view->state) {
    case PAWL_WORK_NEW:
    case PAWL_WORK_READY:
        return work->claim.token == 0 && work->started_ns == 0 && work->notes == 0;
    case PAWL_WORK_LEASED:
        return work->claim.token != 0 && work->claim.agent != 0 && work->claim.leases == 1 &&
               work->value == 0 && work->notes == 0;
    case PAWL_WORK_COMPLETED:
        return work->claim.token != 0 && work->value == mix64(view->task.id) && work->notes == 1 &&
               work->bytes == sizeof(view->task.id) && work->newest != 0 && work->settled_ns != 0;
    default:
        return false;
    }
}

static int is_evidence(void *user, const struct pawl_work_note *note)
{
    const struct pawl_work_view *view = user;

    return note->size == sizeof(view->task.id) &&
                   memcmp(note->bytes, &view->task.id, note->size) == 0
               ? 0
               : -EBADMSG;
}

static void *read_all(void *argument)
{
    struct office *office = argument;

    while (load_acquire(&office->over) == 0) {
        struct pawl_walk walk = {0};

        while (!walk.done) {
            struct pawl_work_view views[PAWL_WORK_WALK_MAX];
            const int count = pawl_work_walk(office->runtime, &walk, NULL, views,
                                             PAWL_WORK_WALK_MAX, PAWL_WORK_WALK_MAX);

            for (int i = 0; i < count; i++) {
                const int notes =
                    pawl_work_notes(office->runtime, views[i].task, is_evidence, &views[i]);

                if (!is_whole(&views[i]) || notes != 0)
                    add_relaxed(&office->half, 1);
                add_relaxed(&office->looks, 1);
            }
        }
    }
    return NULL;
}

/* Each reader looks at every task again and again while it goes from one state to the next. */
Test(orchestrator_regressions, reader_never_sees_half_a_task)
{
    static struct office office;
    struct pawl_work_spec spec = work_spec();
    struct pawl_agent *agent;
    struct pawl_port *port;
    pthread_t readers[READERS];
    unsigned made = 0, told = 0;

    office_open(&office, 0);
    cr_assert_eq(pawl_port_open(office.runtime, NULL, &port), 0);
    agent = office_agent(&office, 0);
    for (unsigned i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, read_all, &office), 0);
    while (told < JOBS) {
        struct pawl_completion done;

        while (made < JOBS && pawl_work_submit(port, &spec, 1) == 0)
            made++;
        while (pawl_port_reap(port, &done, 1) == 1) {
            cr_assert_eq(done.status, 0);
            told++;
        }
    }
    office_work(agent, JOBS);
    store_release(&office.over, 1);
    for (unsigned i = 0; i < READERS; i++)
        cr_assert_eq(pthread_join(readers[i], NULL), 0);
    cr_assert(load_acquire(&office.looks) > JOBS, "the readers have hardly looked");
    cr_assert_eq(load_acquire(&office.half), 0);
    cr_assert_eq(pawl_agent_close(agent, 100 * SECOND), 0);
    cr_assert_eq(pawl_port_close(port, 100 * SECOND), 0);
    cr_assert_eq(pawl_close(office.runtime), 0);
}

static void *read_one(void *argument)
{
    struct office *office = argument;
    struct pawl_work_view view;

    while (load_acquire(&office->over) == 0) {
        const int error = pawl_work_read(office->runtime, office->hot, &view);
        const uint32_t id = view.work.last_report;

        if (error != 0 || view.version - office->hot_version != id ||
            view.work.progress != (id == 0 ? 0 : mix64(id)))
            add_relaxed(&office->half, 1);
        add_relaxed(&office->looks, 1);
    }
    return NULL;
}

/* One task that makes one step after the other: what each step leaves belongs together. */
Test(orchestrator_regressions, reader_never_sees_half_a_report)
{
    static struct office office;
    const struct pawl_work_spec spec = work_spec();
    struct pawl_work_view view;
    struct pawl_agent *agent;
    struct pawl_port *port;
    struct pawl_lease lease;
    pthread_t reader;

    office_open(&office, 0);
    cr_assert_eq(pawl_port_open(office.runtime, NULL, &port), 0);
    agent = office_agent(&office, 0);
    cr_assert_eq(pawl_work_submit(port, &spec, 1), 0);
    while (pawl_agent_next(agent, &lease, 1, SECOND) != 1)
        ;
    office.hot = lease.task;
    cr_assert_eq(pawl_work_read(office.runtime, office.hot, &view), 0);
    office.hot_version = view.version;
    cr_assert_eq(pthread_create(&reader, NULL, read_one, &office), 0);
    for (uint32_t id = 1; id <= REPORTS || load_acquire(&office.looks) < REPORTS; id++) {
        const struct pawl_report report = {
            .kind = PAWL_REPORT_PROGRESS, .id = id, .value = mix64(id)};
        struct pawl_receipt receipts[64];
        int count;

        while (pawl_agent_report(agent, &lease, &report) == -EAGAIN) {
            count = pawl_agent_receipts(agent, receipts, 64);
            for (int i = 0; i < count; i++)
                cr_assert_eq(receipts[i].status, 0);
            if (count == 0)
                pawl_agent_settle(agent, SECOND / 100);
        }
    }
    store_release(&office.over, 1);
    cr_assert_eq(pthread_join(reader, NULL), 0);
    cr_assert_eq(load_acquire(&office.half), 0);
    cr_assert_eq(pawl_agent_close(agent, 100 * SECOND), 0);
    cr_assert_eq(pawl_port_close(port, 100 * SECOND), 0);
    cr_assert_eq(pawl_close(office.runtime), 0);
}

/*
 * Nothing to do for many times as long as a stall, a heartbeat: no stall, nobody dead, nothing old,
 * nothing that keeps a drain from ending; and then work is done as if there had been no pause.
 */
Test(orchestrator_regressions, idle_system_is_well)
{
    static struct office office;
    struct pawl_drain_report blocked;
    struct pawl_lane_status lane;
    struct pawl_counters before, after;
    struct pawl_work_spec spec = work_spec();
    struct pawl_stall stall;
    struct pawl_agent *agent;
    struct pawl_port *port;
    struct pawl_lease lease;

    office_open(&office, 5 * MS);
    cr_assert_eq(pawl_port_open(office.runtime, NULL, &port), 0);
    agent = office_agent(&office, 20 * MS);
    pawl_runtime_counters(office.runtime, &before);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 200 * MS), 0);
    pawl_runtime_counters(office.runtime, &after);
    cr_assert_eq(load_acquire(&office.stalls), 0);
    cr_assert_eq(after.stalls, 0);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pawl_shard_stall(office.runtime, i, &stall), -ENOENT);
    cr_assert_eq(after.undelivered + after.refused + after.stale + after.aborted, 0);
    cr_assert_eq(after.transitions, before.transitions);
    cr_assert_eq(pawl_lane_read(office.runtime, "work", &lane), 0);
    cr_assert_eq(lane.ready + lane.leased + lane.oldest_ns + lane.lost + lane.expired, 0);
    cr_assert_eq(lane.breaker, PAWL_BREAKER_CLOSED);
    cr_assert_eq(pawl_drain(office.runtime, 100 * SECOND, &blocked), 0);
    cr_assert_eq(pawl_resume(office.runtime), 0);
    cr_assert_eq(pawl_agent_close(agent, 100 * SECOND), 0);
    agent = office_agent(&office, 0);
    cr_assert_eq(pawl_work_submit(port, &spec, 1), 0);
    office_work(agent, 1);
    cr_assert_eq(pawl_agent_close(agent, 100 * SECOND), 0);
    cr_assert_eq(pawl_port_close(port, 100 * SECOND), 0);
    cr_assert_eq(pawl_close(office.runtime), 0);
}
