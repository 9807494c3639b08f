/*
 * An agent at work: where its credits go, which leases it is given, what becomes of its reports.
 * The test turns the shards itself. An agent that waits is in test_agent_wait.c.
 */
#include "shard/agents.h"
#include "support/agents_fixture.h"

#define SECOND FIXTURE_SECOND

static const struct pawl_report done = {.kind = PAWL_REPORT_DONE};

/* Grants, lets the shards turn, takes what has come. */
static int next(struct pawl_agent *agent, struct pawl_lease *taken, unsigned capacity)
{
    const int first = pawl_agent_next(agent, taken, capacity, 0);

    cr_assert(first >= 0);
    fixture_run(&f);
    if ((unsigned)first == capacity)
        return first;
    return first + pawl_agent_next(agent, taken + first, capacity - (unsigned)first, 0);
}

static int report(struct pawl_agent *agent, const struct pawl_lease *lease,
                  enum pawl_report_kind kind)
{
    return pawl_agent_report(agent, lease, &(struct pawl_report){.kind = kind, .tag = 77});
}

/* ---- Leases ---- */

Test(agents, a_lease_says_which_task_and_until_when)
{
    struct pawl_agent *agent;
    struct pawl_task task;
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 0, 0);
    task = agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(lease.task.id, task.id);
    cr_assert(lease.token != 0);
    cr_assert_eq(lease.machine, 0u);
    cr_assert_eq(lease.state, (unsigned)C_BUSY);
    cr_assert_eq(lease.claim.token, lease.token);
    cr_assert_eq(lease.claim.agent, pawl_agent_incarnation(agent));
    cr_assert_eq(lease.claim.deadline_ns, fixture_now(&f) + 10 * SECOND);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_DONE), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, no_more_leases_at_once_than_credits)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[8];

    agents_open(2, 10 * SECOND);
    agent = agents_agent("three", 3, 0);
    for (unsigned i = 0; i < 10; i++)
        agents_chore(i % 2);
    cr_assert_eq(next(agent, leases, 8), 3);
    cr_assert_eq(next(agent, leases + 3, 5), 0);
    /* Each that is given back makes room for one. */
    cr_assert_eq(report(agent, &leases[1], PAWL_REPORT_DONE), 0);
    cr_assert_eq(next(agent, leases + 3, 5), 0); /* the receipt has only just come */
    cr_assert_eq(next(agent, leases + 3, 5), 1);
    cr_assert_eq(next(agent, leases + 4, 4), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, leases_wait_until_there_is_room_for_them)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[5];

    agents_open(1, 10 * SECOND);
    agent = agents_agent("five", 5, 0);
    for (unsigned i = 0; i < 5; i++)
        agents_chore(0);
    cr_assert_eq(next(agent, leases, 2), 2);
    cr_assert_eq(pawl_agent_next(agent, leases + 2, 0, 0), 0);
    cr_assert_eq(pawl_agent_next(agent, leases + 2, 2, 0), 2);
    cr_assert_eq(pawl_agent_next(agent, leases + 4, 2, 0), 1);
    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < i; k++)
            cr_assert(leases[i].task.id != leases[k].task.id);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, a_lease_that_has_ended_on_its_way_is_not_handed_on)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("late", 1, 0);
    task = agents_chore(0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    fixture_run(&f);
    fixture_advance(&f, 11 * SECOND);
    cr_assert_eq(chore_of(f.runtime, task, NULL).expired, 1u);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    /* Its credit was free again at once. */
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    cr_assert_eq(lease.claim.leases, 2u);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, a_lease_that_nobody_reports_does_not_keep_its_credit)
{
    struct pawl_agent *agent;
    struct pawl_lease first, second;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("forgetful", 1, 0);
    agents_chore(0);
    first = agents_lease(agent);
    fixture_advance(&f, 9 * SECOND);
    cr_assert_eq(next(agent, &second, 1), 0);
    fixture_advance(&f, 2 * SECOND);
    cr_assert_eq(next(agent, &second, 1), 1);
    cr_assert(second.token > first.token);
    /* What it says of the first now is too late, and leaves the second alone. */
    cr_assert_eq(agents_told(agent, &first, &done), -ESTALE);
    cr_assert_eq(agents_told(agent, &second, &done), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, an_extended_lease_keeps_its_credit)
{
    const struct pawl_report extend = {.kind = PAWL_REPORT_EXTEND, .value = 30 * SECOND};
    struct pawl_agent *agent;
    struct pawl_lease lease, more;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("slow", 1, 0);
    agents_chore(0);
    agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(agents_told(agent, &lease, &extend), 0);
    fixture_advance(&f, 20 * SECOND);
    cr_assert_eq(next(agent, &more, 1), 0);
    cr_assert_eq(next(agent, &more, 1), 0);
    cr_assert_eq(agents_told(agent, &lease, &done), 0);
    cr_assert_eq(next(agent, &more, 1), 1);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, a_task_that_will_not_be_leased_costs_no_credit)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task willing;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    chore_create(f.runtime, 0,
                 &(struct chore){.claim = {.lane = pawl_lane_number("work")}, .shy = 1});
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(next(agent, &lease, 1), 0);
        fixture_advance(&f, 2 * FIXTURE_MS);
    }
    willing = agents_chore(0);
    while (next(agent, &lease, 1) == 0)
        fixture_advance(&f, FIXTURE_MS);
    cr_assert_eq(lease.task.id, willing.id);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, another_lanes_tasks_are_not_handed_out)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    chore_create(f.runtime, 0, &(struct chore){.claim = {.lane = pawl_lane_number("other")}});
    cr_assert_eq(next(agent, &lease, 1), 0);
    cr_assert_eq(next(agent, &lease, 1), 0);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, credits_go_where_the_work_is)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[64];
    unsigned from[4] = {0};

    agents_open(4, 10 * SECOND);
    agent = agents_agent("sixty-four", 64, 0);
    cr_assert_eq(next(agent, leases, 64), 0);
    for (unsigned i = 0; i < 64; i++)
        agents_chore(3);
    cr_assert_eq(next(agent, leases, 64), 64);
    for (unsigned i = 0; i < 64; i++)
        from[pawl_task_shard(leases[i].task)]++;
    cr_assert_eq(from[3], 64u);
    agents_close(agent);
    fixture_close(&f);
}

/* ---- Reports ---- */

Test(agents, a_receipt_says_what_became_of_a_report)
{
    struct pawl_agent *agent;
    struct pawl_receipt receipt;
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_PROGRESS), 0);
    receipt = agents_receipt(agent);
    cr_assert_eq(receipt.status, 0);
    cr_assert_eq(receipt.task.id, lease.task.id);
    cr_assert_eq(receipt.token, lease.token);
    cr_assert_eq(receipt.tag, 77u);
    cr_assert_eq(receipt.id, 1u);
    cr_assert_eq(receipt.value, 1u); /* the machine answers with the id */
    cr_assert_eq(receipt.state, (unsigned)C_BUSY);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_DONE), 0);
    receipt = agents_receipt(agent);
    cr_assert_eq(receipt.id, 2u);
    cr_assert_eq(receipt.state, (unsigned)C_OVER);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, evidence_reaches_the_task)
{
    static char bytes[PAWL_REPORT_BYTES_MAX + 1] = "evidence";
    struct pawl_report note = {
        .kind = PAWL_REPORT_NOTE, .bytes = bytes, .size = PAWL_REPORT_BYTES_MAX, .hash = 5};
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct chore chore;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(agents_told(agent, &lease, &note), 0);
    chore = chore_of(f.runtime, lease.task, NULL);
    cr_assert_eq(chore.noted_size, PAWL_REPORT_BYTES_MAX);
    cr_assert(memcmp(&chore.noted, "evidence", 8) == 0);
    cr_assert_eq(chore.hash, 5u);
    note.size++;
    cr_assert_eq(pawl_agent_report(agent, &lease, &note), -EINVAL);
    note.size = 1;
    note.bytes = NULL;
    cr_assert_eq(pawl_agent_report(agent, &lease, &note), -EINVAL);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, what_makes_no_report_is_refused_at_once)
{
    struct pawl_agent *agent;
    struct pawl_lease lease, bad;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_KINDS), -EINVAL);
    cr_assert_eq(report(agent, &lease, (enum pawl_report_kind) - 1), -EINVAL);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_REJECT), -ENOTSUP);
    cr_assert_eq(pawl_agent_report(agent, &lease, &(struct pawl_report){.id = 1u << 24}), -EINVAL);
    bad = lease;
    bad.machine = 1;
    cr_assert_eq(report(agent, &bad, PAWL_REPORT_DONE), -EINVAL);
    bad = lease;
    bad.task = PAWL_NO_TASK;
    cr_assert_eq(report(agent, &bad, PAWL_REPORT_DONE), -EINVAL);
    cr_assert_eq(pawl_agent_settle(agent, 0), 0); /* nothing is under way */
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, reports_are_limited_until_receipts_are_taken)
{
    struct pawl_agent *agent;
    struct pawl_receipt receipts[8];
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("chatty", 1, 5);
    agents_chore(0);
    lease = agents_lease(agent);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++)
            cr_assert_eq(report(agent, &lease, PAWL_REPORT_PROGRESS), 0);
        cr_assert_eq(report(agent, &lease, PAWL_REPORT_PROGRESS), -EAGAIN);
        cr_assert_eq(pawl_agent_settle(agent, SECOND), -EAGAIN);
        fixture_run(&f);
        cr_assert_eq(pawl_agent_settle(agent, 0), 0);
        cr_assert_eq(report(agent, &lease, PAWL_REPORT_PROGRESS), -EAGAIN);
        cr_assert_eq(pawl_agent_receipts(agent, receipts, 2), 2);
        cr_assert_eq(pawl_agent_receipts(agent, receipts + 2, 6), 3);
        for (unsigned i = 0; i < 5; i++)
            cr_assert_eq(receipts[i].id, round * 5 + i + 1);
    }
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, a_report_with_another_token_is_refused_and_costs_nothing)
{
    struct pawl_agent *agent, *liar;
    struct pawl_lease lease, lie;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("honest", 1, 0);
    liar = agents_agent("liar", 1, 0);
    agents_chore(0);
    lease = agents_lease(agent);
    lie = lease;
    lie.token--;
    cr_assert_eq(agents_told(agent, &lie, &done), -ESTALE);
    /* The right token in the wrong hands. */
    cr_assert_eq(agents_told(liar, &lease, &done), -EPERM);
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).done, 0u);
    cr_assert_eq(agents_told(agent, &lease, &done), 0);
    agents_close(agent);
    agents_close(liar);
    fixture_close(&f);
}

/* The short way through a step does not know less of whose lease it is. */
Test(agents, a_report_after_the_end_is_refused_while_another_lease_goes_on)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[2];

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 2, 0);
    agents_chore(0);
    agents_chore(0);
    cr_assert_eq(next(agent, leases, 2), 2);
    cr_assert_eq(agents_told(agent, &leases[0], &done), 0);
    cr_assert_eq(
        agents_told(agent, &leases[1], &(struct pawl_report){.kind = PAWL_REPORT_PROGRESS}), 0);
    cr_assert_eq(agents_told(agent, &leases[0], &done), -ESTALE);
    cr_assert_eq(chore_of(f.runtime, leases[0].task, NULL).done, 1u);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, a_report_is_applied_once)
{
    const struct pawl_report progress = {.kind = PAWL_REPORT_PROGRESS, .id = 9, .value = 1};
    struct pawl_agent *agent;
    struct pawl_lease lease, more;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("twice", 1, 0);
    agents_chore(0);
    agents_chore(0);
    lease = agents_lease(agent);
    cr_assert_eq(agents_told(agent, &lease, &progress), 0);
    cr_assert_eq(agents_told(agent, &lease, &progress), -EALREADY);
    cr_assert_eq(next(agent, &more, 1), 0); /* it is in hand all the same */
    /* The agent counts on from what was given. */
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_PROGRESS), 0);
    cr_assert_eq(agents_receipt(agent).id, 10u);
    /* Done twice before the first receipt: one of them counts, and one credit comes back. */
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_DONE), 0);
    cr_assert_eq(report(agent, &lease, PAWL_REPORT_DONE), 0);
    fixture_run(&f);
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).done, 1u);
    cr_assert_eq(next(agent, &more, 1), 1);
    cr_assert_eq(agent->credits, 1u);
    cr_assert_eq(agent_offered(agent), 0u);
    agents_close(agent);
    fixture_close(&f);
}

Test(agents, ids_begin_anew_with_each_lease)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    agents_open(1, 10 * SECOND);
    agent = agents_agent("one", 1, 0);
    agents_chore(0);
    for (unsigned i = 0; i < 5; i++) {
        lease = agents_lease(agent);
        cr_assert_eq(report(agent, &lease, PAWL_REPORT_FAILED), 0);
        cr_assert_eq(agents_receipt(agent).id, 1u);
    }
    cr_assert_eq(chore_of(f.runtime, lease.task, NULL).failed, 5u);
    agents_close(agent);
    fixture_close(&f);
}

/* Every way in which a lease can end, in any order: the credits stay what they are. */
Test(agents, credits_are_neither_lost_nor_made)
{
    uint64_t random = 99;
    struct pawl_agent *agent;
    struct pawl_lease leases[16];
    unsigned count = 0, taken = 0;

    agents_open(3, 10 * SECOND);
    agent = agents_agent("many", 7, 9);
    for (unsigned i = 0; i < 40; i++)
        agents_chore(i % 3);
    for (unsigned round = 0; round < 4000; round++) {
        struct pawl_receipt receipts[16];
        unsigned which, dice;

        dice = (unsigned)(mix64(++random) >> 40);
        if (count < 16) {
            const int more = pawl_agent_next(agent, leases + count, 1 + dice % (16 - count), 0);

            cr_assert(more >= 0);
            count += (unsigned)more;
            taken += (unsigned)more;
        }
        if (dice % 3 != 0)
            fixture_run(&f);
        cr_assert(agent->hand.count <= 7);
        cr_assert(agent_offered(agent) <= 7);
        cr_assert_eq(agent->port->outstanding, agent_offered(agent) + agent->sent_count);
        pawl_agent_receipts(agent, receipts, dice % 16);
        if (count == 0) {
            fixture_advance(&f, SECOND);
            continue;
        }
        which = dice % count;
        switch (dice / 16 % 6) {
        case 0:
        case 1:
            if (report(agent, &leases[which], PAWL_REPORT_RELEASE) == 0)
                leases[which] = leases[--count];
            break;
        case 2:
            report(agent, &leases[which], PAWL_REPORT_FAILED); /* and is kept: late or double */
            break;
        case 3:
            report(agent, &leases[which], PAWL_REPORT_EXTEND);
            break;
        case 4:
            leases[which] = leases[--count]; /* forgotten */
            break;
        case 5:
            fixture_advance(&f, dice % 5 * SECOND);
            break;
        }
    }
    cr_assert(taken > 500, "only %u leases", taken);
    /* When all are over, all seven can be had. */
    fixture_advance(&f, 30 * SECOND);
    for (unsigned i = 0; i < 3; i++) {
        struct pawl_receipt receipts[16];

        pawl_agent_next(agent, leases, 0, 0);
        fixture_run(&f);
        pawl_agent_receipts(agent, receipts, 16);
    }
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, leases, 16, 0), 7);
    agents_close(agent);
    fixture_close(&f);
}

/* ---- Signs of life ---- */

Test(agents, a_silent_agent_loses_its_lease_and_may_come_back)
{
    const struct pawl_agent_options options = {
        .name = "quiet", .lanes = work_only, .lanes_count = 1, .heartbeat_ns = SECOND};
    struct pawl_agent *agent;
    struct pawl_lease lease, again;
    struct pawl_task task;
    unsigned state;

    agents_open(1, 10 * SECOND);
    cr_assert_eq(pawl_agent_open(f.runtime, &options, &agent), 0);
    task = agents_chore(0);
    lease = agents_lease(agent);
    for (unsigned i = 0; i < 5; i++) {
        fixture_advance(&f, SECOND * 9 / 10);
        pawl_agent_beat(agent);
    }
    cr_assert_eq(chore_of(f.runtime, task, &state).lost, 0u);
    cr_assert_eq(state, (unsigned)C_BUSY);
    fixture_advance(&f, SECOND * 3 / 2);
    cr_assert_eq(chore_of(f.runtime, task, &state).lost, 1u);
    cr_assert_eq(state, (unsigned)C_READY);
    cr_assert_eq(agents_told(agent, &lease, &done), -EPROTO);
    again = agents_lease(agent);
    cr_assert_eq(again.task.id, task.id);
    cr_assert(again.token > lease.token);
    agents_close(agent);
    fixture_close(&f);
}
