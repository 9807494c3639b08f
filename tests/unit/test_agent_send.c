/*
 * Several reports at once: as many, in the same order and with the same effects as one by one. What one
 * report does is in test_agents.c.
 */
#include <errno.h>

#include "support/agents_fixture.h"

#define MANY 150u

static struct pawl_lease leases[MANY];
static struct pawl_report reports[MANY];
static struct pawl_receipt receipts[2 * MANY];

/* An agent with so many leases. */
static struct pawl_agent *open_with(unsigned count, uint32_t reports_max)
{
    struct pawl_agent *agent;
    unsigned got = 0;

    agents_open(2, 10 * FIXTURE_SECOND);
    agent = agents_agent("many", count, reports_max);
    for (unsigned i = 0; i < count; i++)
        agents_chore(i % 2);
    for (unsigned tries = 0; got < count && tries < 10; tries++) {
        const int some = pawl_agent_next(agent, leases + got, count - got, 0);

        cr_assert(some >= 0);
        got += (unsigned)some;
        fixture_run(&f);
    }
    cr_assert_eq(got, count);
    return agent;
}

static void close_all(struct pawl_agent *agent)
{
    agents_close(agent);
    fixture_close(&f);
}

Test(agent_send, many_reports_are_each_applied_and_each_has_its_receipt)
{
    struct pawl_agent *agent = open_with(MANY, MANY);
    unsigned seen[MANY] = {0};

    for (unsigned i = 0; i < MANY; i++)
        reports[i] = (struct pawl_report){.kind = PAWL_REPORT_DONE, .tag = i, .value = 1000 + i};
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, MANY), (int)MANY);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 2 * MANY), (int)MANY);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(receipts[i].status, 0);
        seen[receipts[i].tag]++;
        cr_assert_eq(receipts[i].token, leases[receipts[i].tag].token);
    }
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(seen[i], 1);
        cr_assert_eq(chore_of(f.runtime, leases[i].task, NULL).value, 1000 + i);
    }
    close_all(agent);
}

Test(agent_send, reports_of_one_lease_keep_their_order_and_count_up)
{
    struct pawl_agent *agent = open_with(1, 0);

    for (unsigned i = 0; i < 3; i++) {
        leases[i] = leases[0];
        reports[i] = (struct pawl_report){
            .kind = i < 2 ? PAWL_REPORT_PROGRESS : PAWL_REPORT_DONE, .tag = i, .value = i};
    }
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 3), 3);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 3), 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(receipts[i].tag, i);
        cr_assert_eq(receipts[i].id, i + 1);
        cr_assert_eq(receipts[i].status, 0);
    }
    close_all(agent);
}

Test(agent_send, what_there_is_no_room_for_is_not_sent_and_can_be_sent_later)
{
    struct pawl_agent *agent = open_with(10, 4);

    for (unsigned i = 0; i < 10; i++)
        reports[i] = (struct pawl_report){.kind = PAWL_REPORT_DONE, .tag = i};
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 10), 4);
    cr_assert_eq(pawl_agent_report_many(agent, leases + 4, reports + 4, 6), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 10), 4);
    cr_assert_eq(pawl_agent_report_many(agent, leases + 4, reports + 4, 6), 4);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 10), 4);
    cr_assert_eq(pawl_agent_report_many(agent, leases + 8, reports + 8, 2), 2);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 10), 2);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(chore_of(f.runtime, leases[i].task, NULL).done, 1);
    close_all(agent);
}

/* Evidence of what is not sent is given back: a sanitizer's build would tell. */
Test(agent_send, one_that_cannot_be_sent_stops_those_behind_it)
{
    static const char evidence[] = "evidence";
    struct pawl_agent *agent = open_with(5, 3);

    for (unsigned i = 0; i < 5; i++)
        reports[i] = (struct pawl_report){
            .kind = PAWL_REPORT_NOTE, .bytes = evidence, .size = sizeof(evidence)};
    reports[2].kind = PAWL_REPORT_KINDS;
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 5), 2);
    cr_assert_eq(pawl_agent_report_many(agent, leases + 2, reports + 2, 3), -EINVAL);
    reports[2].kind = PAWL_REPORT_NOTE;
    cr_assert_eq(pawl_agent_report_many(agent, leases + 2, reports + 2, 3), 1);
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 5), 3);
    close_all(agent);
}

/* In the middle of a batch there may be one for nobody. */
Test(agent_send, one_for_no_task_stops_those_behind_it_too)
{
    struct pawl_agent *agent = open_with(3, 0);
    struct pawl_lease wrong[3] = {leases[0], leases[1], leases[2]};

    for (unsigned i = 0; i < 3; i++)
        reports[i] = (struct pawl_report){.kind = PAWL_REPORT_DONE};
    wrong[1].task = PAWL_NO_TASK;
    cr_assert_eq(pawl_agent_report_many(agent, wrong, reports, 3), 1);
    cr_assert_eq(pawl_agent_report_many(agent, wrong + 1, reports + 1, 2), -EINVAL);
    cr_assert_eq(pawl_agent_report_many(agent, leases + 1, reports + 1, 2), 2);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 5), 3);
    close_all(agent);
}

Test(agent_send, an_agent_that_is_being_closed_reports_nothing)
{
    struct pawl_agent *agent = open_with(1, 0);

    cr_assert_eq(pawl_agent_close(agent, 0), -EAGAIN);
    reports[0] = (struct pawl_report){.kind = PAWL_REPORT_DONE};
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 1), -EBUSY);
    close_all(agent);
}

/* A report that was not sent has no number: the next one has it. */
Test(agent_send, what_is_not_sent_uses_up_no_ids)
{
    struct pawl_agent *agent = open_with(1, 0);
    uint32_t id;

    for (unsigned i = 0; i < 3; i++) {
        leases[i] = leases[0];
        reports[i] = (struct pawl_report){.kind = PAWL_REPORT_PROGRESS};
    }
    cr_assert_eq(pawl_drain(f.runtime, 0, NULL), -ETIMEDOUT); /* it has a lease in hand */
    cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 3), 3);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 3), 3);
    cr_assert_eq(receipts[2].id, 3);
    reports[0].kind = PAWL_REPORT_DONE;
    cr_assert_eq(pawl_agent_report(agent, &leases[0], &reports[0]), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 3), 1);
    cr_assert_eq(pawl_agent_report(agent, &leases[0], &reports[0]), 0); /* the lease is over */
    cr_assert_eq(pawl_drain(f.runtime, FIXTURE_SECOND, NULL), 0);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 3), 1);
    id = receipts[0].id;
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(pawl_agent_report_many(agent, leases, reports, 3), -EBUSY);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    cr_assert_eq(pawl_agent_report(agent, &leases[0], &reports[0]), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipts, 3), 1);
    cr_assert_eq(receipts[0].id, id + 1);
    close_all(agent);
}
