/*
 * An agent that waits for what it wants only, and one that is wrong about whose task it has.
 */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "shard/agents.h"
#include "support/fixture.h"

#include "support/agent_fixture.h"

#define SECOND FIXTURE_SECOND

static const struct pawl_lane_def lanes[] = {{.name = "work", .lease_ns = 10 * SECOND}};
static const char *const work_only[] = {"work"};
static const struct pawl_report done = {.kind = PAWL_REPORT_DONE};
static const struct pawl_report progress = {.kind = PAWL_REPORT_PROGRESS};

static struct fixture f;

static struct pawl_agent *agent_in(struct pawl_runtime *runtime, uint32_t credits, bool pollable)
{
    const struct pawl_agent_options options = {.name = "agent",
                                               .lanes = work_only,
                                               .lanes_count = 1,
                                               .credits = credits,
                                               .pollable = pollable};
    struct pawl_agent *agent = NULL;

    cr_assert_eq(pawl_agent_open(runtime, &options, &agent), 0);
    return agent;
}

static void open_with(const struct pawl_machine_def *second)
{
    fixture_open(&f, &(struct fixture_options){
                         .machines = {&chore_machine, second}, .lanes = lanes, .lane_count = 1});
}

static void close_agent(struct pawl_agent *agent)
{
    while (pawl_agent_close(agent, 0) == -EAGAIN)
        fixture_run(&f);
}

static struct pawl_task make_chore(struct pawl_runtime *runtime)
{
    return chore_create(runtime, 0, &(struct chore){.claim = {.lane = pawl_lane_number("work")}});
}

static struct pawl_lease lease_one(struct pawl_agent *agent)
{
    struct pawl_lease lease = {.token = 0};

    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    return lease;
}

/* ---- Whose task it is ---- */

static struct pawl_machine_def other_chore;

/* The machines' reports are in another order, so that one's "done" is another's "failed". */
static void open_two_machines(void)
{
    static const char *events[CHORE_EVENTS];

    memcpy(events, chore_events, sizeof(events));
    events[C_DONE] = chore_events[C_FAILED];
    events[C_FAILED] = chore_events[C_DONE];
    other_chore = chore_machine;
    other_chore.name = "other";
    other_chore.events = events;
    open_with(&other_chore);
}

Test(agent_wait, a_lease_that_names_another_machine_is_not_reported_on)
{
    struct pawl_agent *agent;
    struct pawl_receipt receipt;
    struct pawl_lease lease, wrong;
    unsigned state;

    open_two_machines();
    agent = agent_in(f.runtime, 1, false);
    make_chore(f.runtime);
    wrong = lease = lease_one(agent);
    wrong.machine = 1;
    cr_assert_eq(pawl_agent_report(agent, &wrong, &done), -EINVAL);
    fixture_run(&f);
    cr_assert_eq(chore_of(f.runtime, lease.task, &state).failed, 0u);
    cr_assert_eq(state, (unsigned)C_BUSY);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(receipt.status, 0);
    /* It is not in hand any more, and all the same a task of its machine. */
    cr_assert_eq(pawl_agent_report(agent, &wrong, &done), -EINVAL);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(receipt.status, -ESTALE);
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).done, 1u);
    close_agent(agent);
    fixture_close(&f);
}

/* ---- Waiting, where nobody sleeps ---- */

Test(agent_wait, what_cannot_come_is_not_waited_for)
{
    struct pawl_agent *agent;

    open_with(NULL);
    agent = agent_in(f.runtime, 1, false);
    cr_assert_eq(pawl_agent_wait(agent, 0, 0), -EINVAL);
    cr_assert_eq(pawl_agent_wait(agent, 4 | PAWL_AGENT_LEASES, 0), -EINVAL);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), -ENOENT);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, UINT64_MAX), -EAGAIN);
    cr_assert_eq(pawl_agent_close(agent, 0), -EAGAIN);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EBUSY);
    close_agent(agent);
    fixture_close(&f);
}

Test(agent_wait, a_lease_does_not_end_a_wait_for_receipts_nor_is_it_lost)
{
    struct pawl_agent *agent;
    struct pawl_receipt receipt;
    struct pawl_lease first, second;

    open_with(NULL);
    agent = agent_in(f.runtime, 2, false);
    make_chore(f.runtime);
    first = lease_one(agent);
    make_chore(f.runtime);
    fixture_run(&f); /* the second lease is here */
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 0), -ENOENT);
    cr_assert_eq(pawl_agent_report(agent, &first, &done), 0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 0), -EAGAIN);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES | PAWL_AGENT_RECEIPTS, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 0), 0);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 0), -ENOENT);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), 0);
    cr_assert_eq(pawl_agent_next(agent, &second, 1, 0), 1);
    close_agent(agent);
    fixture_close(&f);
}

Test(agent_wait, waiting_for_leases_grants_credits)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    open_with(NULL);
    agent = agent_in(f.runtime, 1, false);
    make_chore(f.runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), 0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    /* Never reported: its credit comes back with its time, as in pawl_agent_next. */
    fixture_advance(&f, 11 * SECOND);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), 0);
    close_agent(agent);
    fixture_close(&f);
}

/* ---- Waiting in a runtime with threads of its own ---- */

struct threads {
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
};

static struct threads threads_open(void)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct threads t = {NULL, NULL};

    cr_assert_eq(pawl_machine_compile(&chore_machine, NULL, NULL, &t.machine), 0);
    options.machines = (const struct pawl_machine *const *)&t.machine;
    options.machine_count = 1;
    options.shards = 2;
    options.no_pin = 1;
    options.spin_ns = 1;
    options.no_huge_pages = 1;
    options.lanes = lanes;
    options.lane_count = 1;
    cr_assert_eq(pawl_open(&options, &t.runtime), 0);
    cr_assert_eq(pawl_start(t.runtime), 0);
    return t;
}

static void threads_close(struct threads *t)
{
    cr_assert_eq(pawl_close(t->runtime), 0);
    pawl_machine_destroy(t->machine);
}

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

static void *resume_later(void *runtime)
{
    nap(20);
    pawl_resume(runtime);
    return NULL;
}

static void *create_later(void *runtime)
{
    nap(20);
    make_chore(runtime);
    return NULL;
}

static void *stop_later(void *runtime)
{
    nap(20);
    pawl_stop(runtime);
    return NULL;
}

static pthread_t begin(void *(*fn)(void *), struct pawl_runtime *runtime)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, fn, runtime), 0);
    return thread;
}

static void wait_for_each(bool pollable)
{
    struct threads t = threads_open();
    struct pawl_agent *agent = agent_in(t.runtime, 1, pollable);
    struct pawl_receipt receipt;
    struct pawl_lease lease;
    pthread_t thread;

    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 2 * FIXTURE_MS), -ETIMEDOUT);
    thread = begin(create_later, t.runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, UINT64_MAX), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    /* What is reported to a paused runtime has its receipt when it goes on. */
    cr_assert_eq(pawl_pause(t.runtime), 0);
    cr_assert_eq(pawl_agent_report(agent, &lease, &progress), 0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 2 * FIXTURE_MS), -ETIMEDOUT);
    thread = begin(resume_later, t.runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(receipt.status, 0);
    thread = begin(stop_later, t.runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES | PAWL_AGENT_RECEIPTS, UINT64_MAX),
                 -EBUSY);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    threads_close(&t);
}

Test(agent_wait, a_wait_ends_with_what_is_waited_for)
{
    wait_for_each(false);
}

Test(agent_wait, a_wait_with_a_descriptor_is_no_different)
{
    wait_for_each(true);
}

Test(agent_wait, the_descriptor_still_tells_of_what_came_during_a_wait)
{
    struct threads t = threads_open();
    struct pawl_agent *agent = agent_in(t.runtime, 2, true);
    struct pollfd readable = {.events = POLLIN};
    struct pawl_lease leases[2];

    make_chore(t.runtime);
    cr_assert_eq(pawl_agent_next(agent, leases, 1, UINT64_MAX), 1);
    readable.fd = pawl_agent_fd(agent);
    cr_assert_eq(pawl_agent_next(agent, leases + 1, 1, 0), 0); /* it is watched */
    make_chore(t.runtime);
    cr_assert_eq(pawl_agent_report(agent, leases, &progress), 0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), 0);
    cr_assert_eq(poll(&readable, 1, 10000), 1);
    cr_assert_eq(pawl_agent_next(agent, leases + 1, 1, SECOND), 1);
    cr_assert_eq(pawl_agent_close(agent, UINT64_MAX), 0);
    threads_close(&t);
}
