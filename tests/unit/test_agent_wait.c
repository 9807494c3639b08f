/*
 * An agent that waits: for what it wants only, until there is work, by its descriptor; and one
 * that is wrong about whose task it has. What it does when it need not wait is in test_agents.c.
 */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "support/agents_fixture.h"

#define SECOND     FIXTURE_SECOND
#define LONG_LEASE (100 * SECOND)

static const struct pawl_report done = {.kind = PAWL_REPORT_DONE};
static const struct pawl_report progress = {.kind = PAWL_REPORT_PROGRESS};

static struct pawl_agent *agent_in(struct pawl_runtime *runtime, uint32_t credits, bool pollable)
{
    return chore_agent(runtime, (struct pawl_agent_options){
                                    .name = "agent", .credits = credits, .pollable = pollable});
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
    agents_open_with((struct fixture_options){.machines = {&chore_machine, &other_chore}},
                     10 * SECOND);
}

Test(agent_wait, a_lease_that_names_another_machine_is_not_reported_on)
{
    struct pawl_agent *agent;
    struct pawl_lease lease, wrong;
    unsigned state;

    open_two_machines();
    agent = agents_agent("agent", 1, 0);
    agents_chore(0);
    wrong = lease = agents_lease(agent);
    wrong.machine = 1;
    cr_assert_eq(pawl_agent_report(agent, &wrong, &done), -EINVAL);
    fixture_run(&f);
    cr_assert_eq(chore_of(f.runtime, lease.task, &state).failed, 0u);
    cr_assert_eq(state, (unsigned)C_BUSY);
    cr_assert_eq(agents_told(agent, &lease, &done), 0);
    /* It is not in hand any more, and all the same a task of its machine. */
    cr_assert_eq(pawl_agent_report(agent, &wrong, &done), -EINVAL);
    cr_assert_eq(agents_told(agent, &lease, &done), -ESTALE);
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).done, 1u);
    agents_close(agent);
    fixture_close(&f);
}

/* ---- Waiting, where nobody sleeps ---- */

Test(agent_wait, what_cannot_come_is_not_waited_for)
{
    struct pawl_agent *agent;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("agent", 1, 0);
    cr_assert_eq(pawl_agent_wait(agent, 0, 0), -EINVAL);
    cr_assert_eq(pawl_agent_wait(agent, 4 | PAWL_AGENT_LEASES, 0), -EINVAL);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), -ENOENT);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, UINT64_MAX), -EAGAIN);
    cr_assert_eq(pawl_agent_close(agent, 0), -EAGAIN);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EBUSY);
    agents_close(agent);
    fixture_close(&f);
}

Test(agent_wait, a_lease_does_not_end_a_wait_for_receipts_nor_is_it_lost)
{
    struct pawl_agent *agent;
    struct pawl_receipt receipt;
    struct pawl_lease first, second;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("agent", 2, 0);
    agents_chore(0);
    first = agents_lease(agent);
    agents_chore(0);
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
    agents_close(agent);
    fixture_close(&f);
}

Test(agent_wait, waiting_for_leases_grants_credits)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("agent", 1, 0);
    agents_chore(0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), 0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    /* Never reported: its credit comes back with its time, as in pawl_agent_next. */
    fixture_advance(&f, 11 * SECOND);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 0), 0);
    agents_close(agent);
    fixture_close(&f);
}

/* ---- Waiting in a runtime with threads of its own ---- */

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
    chore_make(runtime, 1);
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
    struct pawl_runtime *runtime = agents_start(LONG_LEASE);
    struct pawl_agent *agent = agent_in(runtime, 1, pollable);
    struct pawl_receipt receipt;
    struct pawl_lease lease;
    pthread_t thread;

    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, 2 * FIXTURE_MS), -ETIMEDOUT);
    thread = begin(create_later, runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES, UINT64_MAX), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    /* What is reported to a paused runtime has its receipt when it goes on. */
    cr_assert_eq(pawl_pause(runtime), 0);
    cr_assert_eq(pawl_agent_report(agent, &lease, &progress), 0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, 2 * FIXTURE_MS), -ETIMEDOUT);
    thread = begin(resume_later, runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(receipt.status, 0);
    thread = begin(stop_later, runtime);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_LEASES | PAWL_AGENT_RECEIPTS, UINT64_MAX),
                 -EBUSY);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    chores_close(runtime);
}

Test(agent_wait, a_wait_ends_with_what_is_waited_for)
{
    wait_for_each(false);
}

Test(agent_wait, a_wait_with_a_descriptor_is_no_different)
{
    wait_for_each(true);
}

static void wait_for_work(bool pollable)
{
    const struct pawl_agent_options options = {
        .name = "waiter", .heartbeat_ns = 5 * FIXTURE_MS, .pollable = pollable};
    struct pawl_runtime *runtime = agents_start(LONG_LEASE);
    struct pawl_agent *agent = chore_agent(runtime, options);
    struct pawl_lease lease;
    pthread_t thread;

    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 2 * FIXTURE_MS), 0);
    thread = begin(create_later, runtime);
    /* To wait is a sign of life: nobody takes it for dead meanwhile. */
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, UINT64_MAX), 1);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), 0);
    cr_assert_eq(pawl_agent_settle(agent, UINT64_MAX), 0);
    cr_assert_eq(chore_of(runtime, lease.task, NULL).done, 1u);
    cr_assert_eq(chore_of(runtime, lease.task, NULL).lost, 0u);
    thread = begin(stop_later, runtime);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, UINT64_MAX), -EBUSY);
    pthread_join(thread, NULL);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    chores_close(runtime);
}

Test(agent_wait, waiting_ends_with_work_and_with_the_runtime)
{
    wait_for_work(false);
}

Test(agent_wait, waiting_with_a_descriptor_is_no_different)
{
    wait_for_work(true);
}

/* ---- By its descriptor ---- */

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    return poll(&readable, 1, timeout_ms) == 1;
}

Test(agent_wait, the_descriptor_still_tells_of_what_came_during_a_wait)
{
    struct pawl_runtime *runtime = agents_start(LONG_LEASE);
    struct pawl_agent *agent = agent_in(runtime, 2, true);
    struct pawl_lease leases[2];
    int fd;

    chore_make(runtime, 0);
    cr_assert_eq(pawl_agent_next(agent, leases, 1, UINT64_MAX), 1);
    fd = pawl_agent_fd(agent);
    cr_assert_eq(pawl_agent_next(agent, leases + 1, 1, 0), 0); /* it is watched */
    chore_make(runtime, 0);
    cr_assert_eq(pawl_agent_report(agent, leases, &progress), 0);
    cr_assert_eq(pawl_agent_wait(agent, PAWL_AGENT_RECEIPTS, UINT64_MAX), 0);
    cr_assert(is_readable(fd, 10000));
    cr_assert_eq(pawl_agent_next(agent, leases + 1, 1, SECOND), 1);
    cr_assert_eq(pawl_agent_close(agent, UINT64_MAX), 0);
    chores_close(runtime);
}

Test(agent_wait, the_descriptor_tells_of_leases_and_of_receipts)
{
    struct pawl_runtime *runtime = agents_start(LONG_LEASE);
    struct pawl_agent *agent = agent_in(runtime, 1, true);
    struct pawl_receipt receipt;
    struct pawl_lease lease;
    unsigned receipts = 0;
    int fd;

    fd = pawl_agent_fd(agent);
    cr_assert(fd >= 0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    cr_assert(!is_readable(fd, 10));
    chore_make(runtime, 0);
    while (receipts < 50) {
        while (pawl_agent_next(agent, &lease, 1, 0) == 1)
            cr_assert_eq(pawl_agent_report(agent, &lease, &done), 0);
        if (pawl_agent_receipts(agent, &receipt, 1) == 0) {
            cr_assert(is_readable(fd, 10000));
            continue;
        }
        cr_assert_eq(receipt.status, 0);
        chore_make(runtime, ++receipts % 2);
    }
    cr_assert_eq(pawl_agent_close(agent, UINT64_MAX), 0);
    chores_close(runtime);
}

Test(agent_wait, a_descriptor_is_offered_where_it_was_asked_for)
{
    struct pawl_agent *agent;

    agents_open(1, 10 * SECOND);
    agent = agent_in(f.runtime, 1, true);
    cr_assert_eq(pawl_agent_fd(agent), -ENOTSUP);
    agents_close(agent);
    agent = agents_agent("plain", 1, 0);
    cr_assert_eq(pawl_agent_fd(agent), -ENOTSUP);
    agents_close(agent);
    fixture_close(&f);
}

/* One that pawl_agent_settle has taken in is still to be taken. */
Test(agent_wait, the_descriptor_tells_of_a_receipt_that_was_here_before_it_was_asked_for)
{
    struct pawl_runtime *runtime = agents_start(LONG_LEASE);
    struct pawl_agent *agent = agent_in(runtime, 1, true);
    struct pawl_receipt receipt;
    struct pawl_lease lease;

    chore_make(runtime, 0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, UINT64_MAX), 1);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), 0);
    cr_assert_eq(pawl_agent_settle(agent, UINT64_MAX), 0);
    cr_assert(is_readable(pawl_agent_fd(agent), 1000));
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert_eq(pawl_agent_close(agent, UINT64_MAX), 0);
    chores_close(runtime);
}
