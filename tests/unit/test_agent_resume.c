/*
 * Agents of a store: leases that are on the disk, and an incarnation that goes on after the process was
 * started again. It has what it had, with what is left of the time, and nobody else has it meanwhile.
 */
#include "support/agent_store_fixture.h"

#define SECOND FIXTURE_SECOND

Test(agent_resume, a_lease_comes_when_it_is_on_the_disk)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    durable_open(1);
    agent = durable_agent("agent", 1, 0);
    durable_chore_on(0);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    cr_assert(fixture_turn(&s.f) > 0);
    fixture_turn(&s.f);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    durable_close(agent);
    store_end(&s);
}

Test(agent_resume, an_incarnation_goes_on_after_the_process_was_started_again)
{
    struct pawl_agent *agent, *other = NULL;
    struct pawl_lease lease;
    uint64_t incarnation, newer;

    durable_open(1);
    agent = durable_agent("agent", 1, 0);
    incarnation = pawl_agent_incarnation(agent);
    durable_chore_on(0);
    durable_take(agent, &lease, 1);
    durable_power_loss(agent, NULL);
    agent = durable_agent("agent", 1, incarnation);
    cr_assert_eq(pawl_agent_incarnation(agent), incarnation);
    /* Nobody else can be it, and what is new is newer. */
    cr_assert_eq(durable_try_agent("agent", 1, incarnation, &other), -EEXIST);
    other = durable_agent("agent", 1, 0);
    newer = pawl_agent_incarnation(other);
    cr_assert(newer > incarnation);
    durable_close(other);
    cr_assert_eq(durable_try_agent("agent", 1, newer, &other), -EINVAL);
    /* The lease of before is its own. */
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_DONE), 0);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).done, 1u);
    durable_close(agent);
    store_end(&s);
}

Test(agent_resume, after_a_restart_a_new_incarnation_has_no_old_leases)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    durable_open(1);
    agent = durable_agent("agent", 1, 0);
    durable_chore_on(0);
    durable_take(agent, &lease, 1);
    durable_power_loss(agent, NULL);
    agent = durable_agent("agent", 1, 0);
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_DONE), -EPERM);
    durable_close(agent);
    store_end(&s);
}

/* ---- Adoption ---- */

enum { EACH = 6, SHARDS = 3, HALF = SHARDS * EACH / 2 };

/* Two agents with half of the tasks each, on every shard; then the power goes. */
struct two {
    struct pawl_lease first[HALF], second[HALF];
    uint64_t first_is, second_is; /* incarnations */
};

static void two_with_leases(struct two *two)
{
    struct pawl_agent *first, *second;

    durable_open(SHARDS);
    first = durable_agent("first", HALF, 0);
    second = durable_agent("second", HALF, 0);
    two->first_is = pawl_agent_incarnation(first);
    two->second_is = pawl_agent_incarnation(second);
    for (unsigned i = 0; i < HALF; i++)
        durable_chore_on(i % SHARDS);
    durable_take(first, two->first, HALF);
    for (unsigned i = 0; i < HALF; i++)
        durable_chore_on(i % SHARDS);
    durable_take(second, two->second, HALF);
    durable_power_loss(first, second);
}

static unsigned count_lost(const struct pawl_lease *leases)
{
    unsigned lost = 0;

    for (unsigned i = 0; i < HALF; i++)
        lost += chore_of(s.f.runtime, leases[i].task, NULL).lost;
    return lost;
}

Test(agent_resume, what_an_agent_had_on_each_shard_is_its_own_again_and_nobody_elses)
{
    static struct two two;
    struct pawl_agent *first, *second, *greedy;
    struct pawl_lease lease;

    two_with_leases(&two);
    greedy = durable_agent("greedy", 100, 0);
    cr_assert_eq(pawl_agent_next(greedy, &lease, 1, 0), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_next(greedy, &lease, 1, 0), 0, "somebody has it");
    first = durable_agent("first", HALF, two.first_is);
    second = durable_agent("second", HALF, two.second_is);
    store_run(&s);
    cr_assert_eq(durable_report(first, &two.second[0], PAWL_REPORT_DONE), -EPERM);
    cr_assert_eq(durable_report(greedy, &two.first[0], PAWL_REPORT_DONE), -EPERM);
    for (unsigned i = 0; i < HALF; i++) {
        cr_assert_eq(durable_report(first, &two.first[i], PAWL_REPORT_DONE), 0);
        cr_assert_eq(durable_report(first, &two.first[i], PAWL_REPORT_DONE), -ESTALE);
        cr_assert_eq(durable_report(second, &two.second[i], PAWL_REPORT_DONE), 0);
    }
    cr_assert_eq(pawl_agent_next(greedy, &lease, 1, 0), 0);
    durable_close(greedy);
    durable_close(first);
    durable_close(second);
    cr_assert_eq(count_lost(two.first) + count_lost(two.second), 0u);
    store_end(&s);
}

/* Its leases end with it, as if it had never been away: at once, and those of nobody else. */
Test(agent_resume, what_it_has_of_before_is_lost_when_it_ends_again)
{
    static struct two two;
    struct pawl_agent *first;

    two_with_leases(&two);
    first = durable_agent("first", HALF, two.first_is);
    store_run(&s);
    cr_assert_eq(durable_report(first, &two.first[0], PAWL_REPORT_DONE), 0);
    cr_assert_eq(count_lost(two.first), 0u);
    durable_close(first);
    store_run(&s);
    cr_assert_eq(count_lost(two.first), (unsigned)HALF - 1);
    cr_assert_eq(count_lost(two.second), 0u);
    store_end(&s);
}

/* The lane gives 100 seconds; what passed before the power went is gone, though not what passed then. */
Test(agent_resume, a_lease_of_before_has_what_was_left_of_its_time)
{
    struct pawl_agent *agent, *other;
    struct pawl_lease lease, again;
    uint64_t incarnation;

    durable_open(1);
    agent = durable_agent("agent", 1, 0);
    incarnation = pawl_agent_incarnation(agent);
    durable_chore_on(0);
    durable_take(agent, &lease, 1);
    store_advance(&s, 60 * SECOND);
    /* A store's time is that of its last frame. */
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_PROGRESS), 0);
    durable_power_loss(agent, NULL);
    agent = durable_agent("agent", 1, incarnation);
    store_advance(&s, 39 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).expired, 0u);
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_PROGRESS), 0);
    store_advance(&s, 2 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).expired, 1u);
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_DONE), -EPROTO, "nobody has it");
    /* Whoever has it next has a greater token. */
    other = durable_agent("other", 1, 0);
    durable_take(other, &again, 1);
    cr_assert_eq(again.task.id, lease.task.id);
    cr_assert(again.token > lease.token);
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_DONE), -ESTALE);
    cr_assert_eq(durable_report(other, &again, PAWL_REPORT_DONE), 0);
    durable_close(agent);
    durable_close(other);
    store_end(&s);
}

/* It may extend what it had, and be given more. */
Test(agent_resume, it_goes_on_in_every_way)
{
    struct pawl_agent *agent;
    struct pawl_lease leases[2], more;
    uint64_t incarnation;

    durable_open(2);
    agent = durable_agent("agent", 2, 0);
    incarnation = pawl_agent_incarnation(agent);
    for (unsigned i = 0; i < 2; i++)
        durable_chore_on(i);
    durable_take(agent, leases, 2);
    durable_power_loss(agent, NULL);
    agent = durable_agent("agent", 2, incarnation);
    store_advance(&s, 90 * SECOND);
    cr_assert_eq(durable_report(agent, &leases[0], PAWL_REPORT_EXTEND), 0);
    store_advance(&s, 50 * SECOND);
    cr_assert_eq(durable_report(agent, &leases[0], PAWL_REPORT_RELEASE), 0);
    cr_assert_eq(durable_report(agent, &leases[1], PAWL_REPORT_DONE), -EPROTO, "it has expired");
    durable_take(agent, &more, 1);
    cr_assert(more.token > leases[0].token);
    cr_assert_eq(durable_report(agent, &more, PAWL_REPORT_DONE), 0);
    durable_close(agent);
    store_end(&s);
}
