/*
 * Draining where there is work and who does it: agents end what they have, nothing new is handed out,
 * and what waits for other work is at rest.
 */
#include <pthread.h>
#include <time.h>

#include "support/store_fixture.h"
#include "support/work_fixture.h"

#include "support/agents_fixture.h"

#define SECOND  FIXTURE_SECOND
#define LONG_NS (600 * SECOND)

static const struct pawl_report done = {.kind = PAWL_REPORT_DONE};
static const struct pawl_report extend = {.kind = PAWL_REPORT_EXTEND, .value = 200 * SECOND};
static const struct pawl_report release = {.kind = PAWL_REPORT_RELEASE};

static struct pawl_drain_report report;

static struct pawl_agent *open_with_leases(struct pawl_lease *leases, unsigned count)
{
    struct pawl_agent *agent;

    agents_open_with(
        (struct fixture_options){.machines = {&chore_machine, &puppet_machine}, .shards = 2},
        100 * SECOND);
    agent = agents_agent("agent", count, 0);
    for (unsigned i = 0; i < count; i++)
        agents_chore(i % 2);
    agents_take(agent, leases, count);
    return agent;
}

/* ---- Leases ---- */

Test(drain_agents, agents_end_what_they_have_and_get_nothing_new)
{
    struct pawl_lease leases[3], more;
    struct pawl_agent *agent = open_with_leases(leases, 3);
    struct pawl_task waiting = agents_chore(0);
    unsigned state;

    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_LEASE);
    cr_assert_eq(report.count, 3u);
    chore_of(f.runtime, report.task, &state);
    cr_assert_eq(report.state, (unsigned)C_BUSY);
    cr_assert_eq(state, (unsigned)C_BUSY);
    cr_assert(strstr(report.text, "'chore'") != NULL, "%s", report.text);
    cr_assert_eq(pawl_port_post(f.port, &(struct pawl_event){.task = waiting}, 1), -EBUSY);
    cr_assert_eq(agents_told(agent, &leases[0], &extend), 0);
    cr_assert_eq(agents_told(agent, &leases[0], &done), 0);
    cr_assert_eq(agents_told(agent, &leases[1], &release), 0);
    cr_assert_eq(pawl_agent_next(agent, &more, 1, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, &more, 1, 0), 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    cr_assert_eq(report.count, 1u);
    cr_assert_eq(report.task.id, leases[2].task.id);
    cr_assert_eq(agents_told(agent, &leases[2], &done), 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0);
    /* Nothing moves any more, not even what would be refused. */
    cr_assert_eq(pawl_agent_report(agent, &leases[2], &done), -EBUSY);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, &more, 1, 0), 1);
    agents_close(agent);
    fixture_close(&f);
}

Test(drain_agents, a_lease_that_ends_by_its_time_holds_nothing_up)
{
    struct pawl_lease lease;
    struct pawl_agent *agent = open_with_leases(&lease, 1);

    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    fixture_advance(&f, 101 * SECOND);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(drain_agents, an_agent_that_is_closed_leaves_nothing_in_the_way)
{
    struct pawl_lease lease;
    struct pawl_agent *agent = open_with_leases(&lease, 1);

    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    agents_close(agent);
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).lost, 1u);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0);
    fixture_close(&f);
}

Test(drain_agents, a_pause_with_leases_is_told_as_a_pause)
{
    struct pawl_lease lease;
    struct pawl_agent *agent = open_with_leases(&lease, 1);

    cr_assert_eq(pawl_pause(f.runtime), 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_PAUSE);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    cr_assert_eq(agents_told(agent, &lease, &done), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(drain_agents, a_pause_admits_nobody_to_what_is_drained)
{
    struct pawl_lease lease;
    struct pawl_agent *agent = open_with_leases(&lease, 1);

    cr_assert_eq(agents_told(agent, &lease, &done), 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0);
    cr_assert_eq(pawl_pause(f.runtime), 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), -EBUSY);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    agents_close(agent);
    fixture_close(&f);
}

/* ---- With threads ---- */

struct worker {
    struct pawl_agent *agent;
    struct pawl_lease lease;
    pthread_t thread;
};

static void *finish_later(void *argument)
{
    struct worker *worker = argument;

    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_assert_eq(pawl_agent_report(worker->agent, &worker->lease, &extend), 0);
    cr_assert_eq(pawl_agent_report(worker->agent, &worker->lease, &done), 0);
    cr_assert_eq(pawl_agent_settle(worker->agent, UINT64_MAX), 0);
    return NULL;
}

/* Shards asleep, shards in the middle of handing out: what is handed out is also waited for. */
Test(drain_agents, a_drain_ends_with_the_last_report)
{
    struct pawl_runtime *runtime = agents_start(100 * SECOND);
    struct worker worker;

    /* That shards must be asked is not what the host's patience is for. */
    cr_assert_eq(pawl_drain(runtime, 0, &report), 0, "%s", report.text);
    cr_assert_eq(pawl_resume(runtime), 0);
    worker.agent = chore_agent(runtime, (struct pawl_agent_options){.name = "agent"});
    for (unsigned round = 0; round < 20; round++) {
        const struct pawl_task task = chore_make(runtime, round % 2);

        if (pawl_agent_next(worker.agent, &worker.lease, 1, round % 4 == 0 ? 0 : LONG_NS) == 1) {
            cr_assert_eq(pthread_create(&worker.thread, NULL, finish_later, &worker), 0);
            cr_assert_eq(pawl_drain(runtime, LONG_NS, &report), 0, "%s", report.text);
            cr_assert_eq(chore_of(runtime, worker.lease.task, NULL).done, 1u);
            cr_assert_eq(pawl_drain(runtime, 0, &report), 0, "%s", report.text);
            pthread_join(worker.thread, NULL);
        } else if (pawl_drain(runtime, 5 * FIXTURE_MS, &report) == 0) {
            /* Then it was not handed out, and is not. */
            cr_assert_eq(chore_of(runtime, task, NULL).claim.leases, 0u);
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            cr_assert_eq(chore_of(runtime, task, NULL).claim.leases, 0u);
        } else {
            cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_LEASE, "%s", report.text);
        }
        cr_assert_eq(pawl_resume(runtime), 0);
        while (pawl_agent_receipts(worker.agent, &(struct pawl_receipt){.tag = 0}, 1) == 1)
            ;
    }
    cr_assert_eq(pawl_agent_close(worker.agent, UINT64_MAX), 0);
    chores_close(runtime);
}

/* ---- What waits for an answer ---- */

static struct pawl_task asked;

static void ask_wait(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_ask(step, &(struct pawl_event){.task = asked, .code = P_WAIT}, P_REPLY);
}

static void post_wait(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_post(step, &(struct pawl_event){.task = asked, .code = P_WAIT});
}

Test(drain_agents, a_question_that_is_kept_is_at_rest_and_answered_later)
{
    struct pawl_task asker;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    asked = fixture_create(&f, 0, 0);
    asker = fixture_create(&f, 0, 1);
    fixture_call(&f, asker, P_CALL, ask_wait);
    fixture_post(&f, &(struct pawl_event){
                         .task = asked, .code = P_WAIT, .flags = PAWL_EVENT_COMPLETE, .tag = 5});
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0, "%s", report.text);
    cr_assert_eq(fixture_puppet_of(&f, asker).count, 0u);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_send(&f, asked, P_MOVE, 0);
    fixture_run(&f);
    cr_assert_eq(fixture_puppet_of(&f, asker).count, 1u);
    cr_assert_eq(fixture_reap(&f).tag, 5u);
    fixture_close(&f);
}

Test(drain_agents, what_a_task_has_sent_and_nobody_waits_for_is_named)
{
    struct pawl_task sender;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    asked = fixture_create(&f, 0, 0);
    sender = fixture_create(&f, 0, 1);
    fixture_call(&f, sender, P_CALL, ask_wait);
    fixture_call(&f, sender, P_CALL, post_wait);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_DEFERRED);
    cr_assert_eq(report.task.id, asked.id);
    cr_assert_eq(report.count, 1u);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_send(&f, asked, P_MOVE, 0);
    cr_assert_eq(pawl_drain(f.runtime, LONG_NS, &report), 0, "%s", report.text);
    fixture_close(&f);
}

/* What a task has sent was promised; what a port had posted before the crash was not. */
static void put_aside(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_defer(step);
}

Test(drain_agents, after_a_crash_only_what_was_promised_is_waited_for)
{
    static struct store_fixture s;
    struct pawl_task sender, other;

    store_begin(&s, NULL);
    asked = store_create(&s, M_SYNC, 0);
    other = store_create(&s, M_SYNC, 0);
    sender = store_create(&s, M_SYNC, 0);
    fixture_send(&s.f, other, P_WAIT, 0);
    fixture_send(&s.f, other, P_CALL, puppet_word(put_aside));
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(pawl_drain(s.f.runtime, LONG_NS, &report), 0, "%s", report.text);
    cr_assert_eq(pawl_resume(s.f.runtime), 0);
    /* Nor when it has been taken up and put aside again. */
    fixture_send(&s.f, other, P_MOVE, 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(pawl_drain(s.f.runtime, LONG_NS, &report), 0, "%s", report.text);
    cr_assert_eq(pawl_resume(s.f.runtime), 0);
    fixture_send(&s.f, sender, P_CALL, puppet_word(post_wait));
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_run(&s);
    cr_assert_eq(pawl_drain(s.f.runtime, LONG_NS, &report), -ETIMEDOUT);
    cr_assert_eq(report.blocker, PAWL_BLOCKED_BY_DEFERRED, "%s", report.text);
    cr_assert_eq(report.count, 1u);
    cr_assert_eq(pawl_resume(s.f.runtime), 0);
    fixture_send(&s.f, asked, P_MOVE, 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(pawl_drain(s.f.runtime, LONG_NS, &report), 0, "%s", report.text);
    store_end(&s);
}

Test(drain_agents, work_that_waits_for_other_work_is_at_rest)
{
    struct work_fixture w;
    struct pawl_work_spec spec = work_spec();
    struct pawl_task first, second;

    work_open(&w, NULL);
    first = work_submit(&w, NULL);
    spec.after = &first;
    spec.after_count = 1;
    second = work_submit(&w, &spec);
    cr_assert_eq(pawl_work_watch(w.f.port, first, 9), 0);
    cr_assert_eq(pawl_drain(w.f.runtime, LONG_NS, &report), 0, "%s", report.text);
    cr_assert_eq(pawl_resume(w.f.runtime), 0);
    cr_assert_eq(work_view(&w, second).state, PAWL_WORK_HELD);
    work_close(&w);
}
