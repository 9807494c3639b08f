/*
 * How agents begin and end: what is refused, who gets what is left, that nothing keeps an agent
 * from ending.
 */
#include "shard/agents.h"
#include "support/agents_fixture.h"

#define SECOND FIXTURE_SECOND

static int open_as(const struct pawl_agent_options *options)
{
    struct pawl_agent *agent = NULL;
    const int error = pawl_agent_open(f.runtime, options, &agent);

    cr_assert_eq(agent != NULL, error == 0);
    if (error == 0)
        cr_assert_eq(pawl_agent_close(agent, 0), -EAGAIN);
    while (error == 0 && pawl_agent_close(agent, 0) != 0)
        fixture_run(&f);
    return error;
}

static struct chore chore_at(struct pawl_task task)
{
    return chore_of(f.runtime, task, NULL);
}

/* ---- Opening ---- */

Test(agent_life, options_that_make_no_agent_are_refused)
{
    static const char too_long[] = "123456789012345678901234567890123456789012345678";
    static const char *const unknown[] = {"work", "elsewhere"}, *const missing[] = {NULL};
    const struct pawl_agent_options right = {
        .name = too_long + 1, .lanes = work_only, .lanes_count = 1};
    struct pawl_agent_options o = right;

    agents_open(1, 100 * SECOND);
    cr_assert_eq(open_as(&o), 0);
    o.name = too_long;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.name = "";
    cr_assert_eq(open_as(&o), -EINVAL);
    o.name = NULL;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.name = "tab\t";
    cr_assert_eq(open_as(&o), -EINVAL);
    o = right;
    o.lanes_count = 0;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.lanes_count = PAWL_LANES_MAX + 1;
    cr_assert_eq(open_as(&o), -EINVAL);
    o = right;
    o.lanes = NULL;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.lanes = missing;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.lanes = unknown;
    o.lanes_count = 2;
    cr_assert_eq(open_as(&o), -ENOENT);
    o = right;
    o.credits = 65537;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.credits = 65536;
    o.reports = 65537;
    cr_assert_eq(open_as(&o), -EINVAL);
    o.reports = 65536;
    cr_assert_eq(open_as(&o), 0);
    o = right;
    o.resume = 1; /* of this opening, or of none */
    cr_assert_eq(open_as(&o), -EINVAL);
    cr_assert_eq(open_as(NULL), -EINVAL);
    fixture_close(&f);
}

Test(agent_life, a_runtime_without_lanes_has_no_agents)
{
    const struct pawl_agent_options options = {
        .name = "agent", .lanes = work_only, .lanes_count = 1};

    fixture_open(&f, NULL);
    cr_assert_eq(open_as(&options), -ENOENT);
    fixture_close(&f);
}

Test(agent_life, a_stopped_runtime_takes_no_agents)
{
    const struct pawl_agent_options options = {
        .name = "agent", .lanes = work_only, .lanes_count = 1};

    agents_open(1, 100 * SECOND);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(open_as(&options), -EBUSY);
    fixture_close(&f);
}

Test(agent_life, every_opening_is_a_new_incarnation)
{
    uint64_t before = 0;

    agents_open(1, 100 * SECOND);
    for (unsigned i = 0; i < 10; i++) {
        struct pawl_agent *agent = agents_agent("agent", 1, 0);

        cr_assert(pawl_agent_incarnation(agent) > before);
        before = pawl_agent_incarnation(agent);
        agents_close(agent);
    }
    fixture_close(&f);
}

Test(agent_life, a_name_has_one_number)
{
    cr_assert(pawl_agent_number("worker-1") != pawl_agent_number("worker-2"));
    cr_assert_eq(pawl_agent_number("worker-1"), pawl_agent_number("worker-1"));
    /* It is on disk: it stays what it is. */
    cr_assert_eq(pawl_agent_number("a"), UINT64_C(0xaf63dc4c8601ec8c));
}

/* ---- Closing ---- */

Test(agent_life, an_agent_that_did_nothing_ends)
{
    agents_open(3, 100 * SECOND);
    cr_assert(agents_close(agents_agent("agent", 5, 0)) > 1); /* every shard has to let it go */
    fixture_close(&f);
}

Test(agent_life, leases_in_hand_are_lost_with_the_agent)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[4];

    agents_open(2, 100 * SECOND);
    agent = agents_agent("agent", 4, 0);
    for (unsigned i = 0; i < 4; i++)
        agents_chore(i % 2);
    agents_take(agent, leases, 4);
    agents_close(agent);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(chore_at(leases[i].task).lost, 1u);
        cr_assert_eq(chore_at(leases[i].task).released, 0u);
    }
    /* Others get them, at once. */
    agent = agents_agent("agent", 4, 0);
    agents_take(agent, leases, 4);
    agents_close(agent);
    fixture_close(&f);
}

Test(agent_life, leases_that_nobody_has_seen_go_back_unharmed)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[9];
    struct pawl_task tasks[9];

    agents_open(2, 100 * SECOND);
    agent = agents_agent("agent", 9, 0);
    for (unsigned i = 0; i < 9; i++)
        tasks[i] = agents_chore(i % 2);
    /* Three in hand, three here, three on their way. */
    pawl_agent_next(agent, leases, 0, 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, leases, 3, 0), 3);
    agents_close(agent);
    for (unsigned i = 0; i < 9; i++) {
        const struct chore chore = chore_at(tasks[i]);
        bool in_hand = false;

        for (unsigned k = 0; k < 3; k++)
            in_hand |= leases[k].task.id == tasks[i].id;
        cr_assert_eq(chore.lost, in_hand ? 1u : 0u);
        cr_assert_eq(chore.released, in_hand ? 0u : 1u);
    }
    fixture_close(&f);
}

Test(agent_life, what_was_offered_when_it_closed_goes_back_too)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    agents_open(1, 100 * SECOND);
    agent = agents_agent("agent", 1, 0);
    task = agents_chore(0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    cr_assert_eq(pawl_turn(f.runtime, 0) > 0, true); /* handed out, and nobody has looked */
    agents_close(agent);
    cr_assert_eq(chore_at(task).released, 1u);
    cr_assert_eq(chore_at(task).lost, 0u);
    fixture_close(&f);
}

Test(agent_life, what_was_reported_before_the_end_counts)
{
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE};
    struct pawl_agent *agent;
    struct pawl_lease leases[20];

    agents_open(2, 100 * SECOND);
    agent = agents_agent("agent", 20, 0);
    for (unsigned i = 0; i < 20; i++)
        agents_chore(i % 2);
    agents_take(agent, leases, 20);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(pawl_agent_report(agent, &leases[i], &done), 0);
    agents_close(agent);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(chore_at(leases[i].task).done, 1u);
        cr_assert_eq(chore_at(leases[i].task).lost, 0u);
    }
    fixture_close(&f);
}

Test(agent_life, receipts_that_nobody_takes_do_not_hold_it_up)
{
    const struct pawl_report progress = {.kind = PAWL_REPORT_PROGRESS};
    struct pawl_agent *agent;
    struct pawl_lease leases[3];
    struct pawl_task tasks[3];

    agents_open(1, 100 * SECOND);
    agent = agents_agent("agent", 3, 0);
    for (unsigned i = 0; i < 3; i++)
        tasks[i] = agents_chore(0);
    agents_take(agent, leases, 1);
    while (pawl_agent_report(agent, &leases[0], &progress) == 0)
        fixture_run(&f);
    agents_close(agent);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(chore_at(tasks[i]).lost + chore_at(tasks[i]).released, 1u);
    fixture_close(&f);
}

/* The task keeps the report until its state changes, and that changes when the lease ends. */
Test(agent_life, a_report_that_its_task_keeps_does_not_hold_it_up)
{
    const struct pawl_report accept = {.kind = PAWL_REPORT_ACCEPT};
    struct pawl_agent *agent;
    struct pawl_lease lease;

    agents_open(1, 100 * SECOND);
    agent = agents_agent("agent", 1, 0);
    agents_chore(0);
    agents_take(agent, &lease, 1);
    cr_assert_eq(pawl_agent_report(agent, &lease, &accept), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_settle(agent, 0), -EAGAIN);
    agents_close(agent);
    cr_assert_eq(chore_at(lease.task).accepted, 1u);
    cr_assert_eq(chore_at(lease.task).lost, 1u);
    fixture_close(&f);
}

Test(agent_life, nothing_is_done_with_an_agent_that_is_being_closed)
{
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE};
    struct pawl_agent *agent;
    struct pawl_receipt receipt;
    struct pawl_lease lease;

    agents_open(1, 100 * SECOND);
    agent = agents_agent("agent", 1, 0);
    agents_chore(0);
    agents_take(agent, &lease, 1);
    cr_assert_eq(pawl_agent_close(agent, 0), -EAGAIN);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), -EBUSY);
    cr_assert_eq(pawl_agent_report(agent, &lease, &done), -EBUSY);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(agent_life, it_ends_in_a_runtime_that_was_stopped)
{
    struct pawl_agent *agent, *idle;
    struct pawl_lease lease;

    agents_open(2, 100 * SECOND);
    agent = agents_agent("agent", 3, 0);
    idle = agents_agent("agent", 3, 0);
    agents_chore(0);
    agents_chore(1);
    agents_take(agent, &lease, 1);
    cr_assert_eq(pawl_agent_next(idle, &lease, 1, 0), 0);
    cr_assert_eq(pawl_agent_report(agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE}),
                 0);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(pawl_agent_settle(agent, SECOND), 0); /* that it was stopped is an answer */
    cr_assert_eq(pawl_agent_next(idle, &lease, 1, 0), -EBUSY);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    cr_assert_eq(pawl_agent_close(idle, 0), 0);
    fixture_close(&f);
}

Test(agent_life, it_ends_in_a_runtime_that_was_never_started)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_runtime *runtime;
    struct pawl_agent *agent;
    struct pawl_lease lease;

    options.shards = 2;
    options.drive = PAWL_DRIVE_HOST;
    runtime = chores_open(options);
    agent = chore_agent(runtime, (struct pawl_agent_options){.name = "agent"});
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    chores_close(runtime);
}

/*
 * Ends and begins all the time, with tasks in every stage; at the end every task can still be had.
 */
Test(agent_life, agents_that_come_and_go_lose_no_task)
{
    uint64_t random = 7;
    struct pawl_lease leases[64];
    struct pawl_agent *last;

    agents_open(3, 100 * SECOND);
    for (unsigned i = 0; i < 30; i++)
        agents_chore(i % 3);
    for (unsigned round = 0; round < 300; round++) {
        const unsigned dice = (unsigned)(mix64(++random) >> 33);
        struct pawl_agent *agents[3];

        for (unsigned i = 0; i < 3; i++) {
            agents[i] = agents_agent("agent", 1 + dice % 7 * i, 0);
            pawl_agent_next(agents[i], leases, 0, 0);
        }
        if (dice % 2 == 0)
            fixture_turn(&f);
        for (unsigned i = 0; i < 3; i++) {
            const int count = pawl_agent_next(agents[i], leases, dice / 8 % 5, 0);

            for (int k = 0; k < count; k++)
                pawl_agent_report(
                    agents[i], &leases[k],
                    &(struct pawl_report){.kind = k % 2 ? PAWL_REPORT_FAILED : PAWL_REPORT_EXTEND});
        }
        if (dice % 3 == 0)
            fixture_turn(&f);
        for (unsigned i = 0; i < 3; i++)
            agents_close(agents[i]);
    }
    last = agents_agent("agent", 64, 0);
    agents_take(last, leases, 30);
    agents_close(last);
    fixture_close(&f);
}
