/*
 * Which agent is served, and when a shard may sleep: many agents, those that are gone, drains, the
 * breaker. What one agent is handed is in test_hand_out.c, the limits of a lane in test_lanes_open.c.
 */
#include <errno.h>

#include "support/lanes_fixture.h"

#define AGENTS 100u

static struct lane_agent many[AGENTS];

/* ---- Many agents ---- */

static void open_many(unsigned count, uint32_t credits)
{
    for (unsigned i = 0; i < count; i++) {
        lane_agent_open(&many[i], f.runtime, 1 + i, WORK);
        lane_agent_grant(&many[i], credits);
    }
}

static void close_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lane_agent_close(&many[i], &f);
    fixture_close(&f);
}

/* Tasks come one by one, there are always agents for them: each must get as many as any other. */
static void share_out(unsigned agents, unsigned tasks)
{
    unsigned shares[AGENTS] = {0};
    struct pawl_completion got;

    for (unsigned n = 0; n < tasks; n++) {
        job_create(&f, 0, "work", 1);
        fixture_run(&f);
        for (unsigned i = 0; i < agents; i++)
            while (lane_agent_reap(&many[i], &got, 1) > 0) {
                shares[i]++;
                lane_agent_grant(&many[i], 1);
                fixture_ask(&f, got.task, J_DONE, 0, 0);
            }
    }
    for (unsigned i = 0; i < agents; i++)
        cr_assert(shares[i] * agents >= tasks * 95 / 100 && shares[i] * agents <= tasks * 105 / 100,
                  "agent %u of %u got %u of %u", i, agents, shares[i], tasks);
}

Test(lanes, a_hundred_agents_are_served_alike)
{
    open_shards(three, 3, 1);
    open_many(AGENTS, 2);
    share_out(AGENTS, 4000);
    close_many(AGENTS);
}

Test(lanes, two_agents_behind_many_ports_are_served_alike)
{
    struct pawl_port *ports[20];

    open_shards(three, 3, 1);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(pawl_port_open(f.runtime, NULL, &ports[i]), 0);
    open_many(2, 2);
    share_out(2, 400);
    for (unsigned i = 0; i < 20; i++)
        while (pawl_port_close(ports[i], 0) == -EAGAIN)
            fixture_run(&f);
    close_many(2);
}

Test(lanes, one_word_of_credits_serves_all_shards_and_what_is_not_needed_stays)
{
    struct pawl_completion got[64];

    open_served(three, 3, 4, WORK);
    lane_agent_grant(&agent, 50);
    fill("work", 40, 4);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, got, 64), 40);
    cr_assert_eq(load_acquire(&agent.agent.credits), 10);
    fill("work", 40, 4);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, got, 64), 10);
    cr_assert_eq(load_acquire(&agent.agent.credits), 0);
    cr_assert_eq(lane_status(&f, "work").ready, 30);
    cr_assert_eq(lane_status(&f, "work").leased, 50);
    close_agent();
}

/* ---- Agents that are gone ---- */

Test(lanes, thousands_of_leases_of_an_agent_that_is_gone_end_as_lost)
{
    struct pawl_completion got[64];
    struct pawl_task task = PAWL_NO_TASK;
    unsigned taken = 0, some;

    open_served(three, 3, 2, WORK);
    for (unsigned i = 0; i < 3000; i++)
        task = job_create(&f, i % 2, "work", 1);
    while (taken < 3000) {
        lane_agent_grant(&agent, 60);
        fixture_run(&f);
        while ((some = lane_agent_reap(&agent, got, 64)) > 0)
            taken += some;
    }
    cr_assert_eq(lane_status(&f, "work").leased, 3000);
    lane_agent_close(&agent, &f);
    cr_assert_eq(lane_status(&f, "work").leased, 0);
    cr_assert_eq(lane_status(&f, "work").lost, 3000);
    cr_assert_eq(lane_status(&f, "work").expired, 0);
    cr_assert_eq(lane_status(&f, "work").ready, 3000);
    cr_assert_eq(job_of(&f, task).lost, PAWL_LOST_AGENT);
    lane_agent_open(&agent, f.runtime, 7, WORK); /* in the same place among the ports */
    cr_assert_eq(lane_agent_lease(&agent, &f).status, 0);
    close_agent();
}

Test(lanes, an_agent_that_is_gone_is_handed_nothing_more)
{
    open_three();
    lane_agent_grant(&agent, 5); /* a shard must not spend them */
    store_release(&agent.agent.gone, 1);
    job_create(&f, 0, "work", 1);
    cr_assert(gets_nothing(&agent));
    cr_assert_eq(load_acquire(&agent.agent.left), 1);
    cr_assert_eq(load_acquire(&agent.agent.credits), 5);
    fixture_run(&f);
    cr_assert_eq(load_acquire(&agent.agent.left), 1, "it was let go twice");
    close_agent();
}

Test(lanes, a_silent_agent_loses_its_leases_in_time_and_may_come_back)
{
    struct pawl_task task;

    open_three();
    agent.agent.heartbeat_ns = SECOND;
    store_release(&agent.agent.beat_ns, fixture_now(&f));
    task = job_create(&f, 0, "work", 1);
    expect(&agent, task);
    lane_agent_grant(&agent, 1);
    fixture_advance(&f, SECOND);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    fixture_jump(&f, 1);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED, "the agent has been silent for too long");
    cr_assert_eq(job_of(&f, task).lost, PAWL_LOST_AGENT);
    cr_assert_eq(lane_status(&f, "work").lost, 1);
    cr_assert(gets_nothing(&agent));
    store_release(&agent.agent.beat_ns, fixture_now(&f));
    cr_assert(!gets_nothing(&agent));
    close_agent();
}

/* A host that sleeps until the time that the shard names must not sleep over a silent agent. */
Test(lanes, silence_is_noticed_at_the_time_that_the_shard_names)
{
    struct pawl_task task;

    open_three();
    agent.agent.heartbeat_ns = SECOND;
    store_release(&agent.agent.beat_ns, fixture_now(&f));
    task = job_create(&f, 0, "work", 1);
    expect(&agent, task);
    fixture_advance(&f, 3 * SECOND);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED);
    cr_assert_eq(job_of(&f, task).claim.since_ns, FIXTURE_START_NS + SECOND + 1);
    close_agent();
}

Test(lanes, a_shard_that_has_nothing_to_hand_out_may_sleep)
{
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    const struct job his = {.claim = {.lane = pawl_lane_number("work"), .assignee = 99}};

    open_three();
    lane_agent_grant(&agent, 3);
    job_make(&f, 0, 0, &his);
    job_create(&f, 0, "other", 1);
    fixture_run(&f);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1, "nothing is for this agent");
    job_make(&f, 0, 0, &shy);
    fixture_run(&f);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1, "what refused waits");
    pawl_lane_pause(f.runtime, "work", 0);
    job_create(&f, 0, "work", 1);
    fixture_run(&f);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1, "the lane is paused");
    pawl_lane_resume(f.runtime, "work");
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 0, "it is resumed");
    close_agent();
}

/* The clock goes on between a turn and the host's question how long it may sleep. */
Test(lanes, a_time_that_has_come_since_the_last_turn_is_not_slept_over)
{
    static const struct pawl_lane_def limited[] = {{.name = "work", .rate = 10}};
    open_served(limited, 1, 1, WORK);
    fill("work", 2, 1);
    lane_agent_grant(&agent, 2);
    cr_assert(!gets_nothing(&agent));
    cr_assert(pawl_shard_next_timer_ns(f.runtime, 0) <= fixture_now(&f) + 100 * MS);
    pawl_virtual_clock_advance_to(f.clock, fixture_now(&f) + 101 * MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 0, "the host would sleep for ever");
    cr_assert(!gets_nothing(&agent));
    close_agent();
}

/* ---- The breaker ---- */

static void report(const struct pawl_completion *lease, bool good)
{
    if (good) {
        fixture_ask(&f, lease->task, J_DONE, 0, 0);
    } else {
        fixture_ask(&f, lease->task, J_EXPIRED, 0, 0);
        fixture_ask(&f, lease->task, J_WITHDRAW, 0, 0);
    }
}

Test(lanes, the_breaker_opens_tries_a_few_and_closes)
{
    static const struct pawl_lane_def lanes[] = {
        {.name = "work", .breaker_failures = 3, .breaker_probes = 2, .breaker_ns = 5 * SECOND}};
    struct pawl_completion got[32];

    open_served(lanes, 1, 2, WORK);
    fill("work", 30, 2);
    lane_agent_grant(&agent, 4);
    cr_assert_eq(came(&agent, got, 32), 4);
    report(&got[0], false), report(&got[1], true);
    report(&got[2], false), report(&got[3], false);
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_CLOSED);
    lane_agent_grant(&agent, 1);
    cr_assert_eq(came(&agent, got, 32), 1);
    report(&got[0], false); /* the third in a row */
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_OPEN);
    lane_agent_grant(&agent, 20);
    fixture_advance(&f, 5 * SECOND - 1);
    cr_assert_eq(came(&agent, got, 32), 0);
    fixture_advance(&f, 1);
    cr_assert_eq(came(&agent, got, 32), 2, "probes, on both shards together");
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_HALF_OPEN);
    report(&got[0], true), report(&got[1], false);
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_OPEN);
    cr_assert_eq(came(&agent, got, 32), 0);
    fixture_advance(&f, 5 * SECOND);
    cr_assert_eq(came(&agent, got, 32), 2);
    fixture_ask(&f, got[0].task, J_RELEASE, 0,
                0); /* a probe that decides nothing: another instead */
    cr_assert_eq(came(&agent, got, 32), 1);
    report(&got[0], true);
    fixture_advance(&f, 70 * SECOND); /* the other one's time is over: bad */
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_HALF_OPEN);
    cr_assert_eq(came(&agent, got, 32), 2);
    report(&got[0], true), report(&got[1], true);
    cr_assert_eq(lane_status(&f, "work").breaker, PAWL_BREAKER_CLOSED);
    cr_assert(came(&agent, got, 32) > 2);
    close_agent();
}

/* Agents cannot report while the runtime is drained: what they would be given could only be lost. */
Test(lanes, nothing_is_handed_out_while_the_runtime_is_drained)
{
    struct pawl_task task;

    open_three();
    task = job_create(&f, 0, "work", 1);
    cr_assert_eq(pawl_drain(f.runtime, 0, NULL), 0);
    lane_agent_grant(&agent, 1);
    fixture_run(&f);
    cr_assert_eq(fixture_state(&f, task), J_QUEUED);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_run(&f);
    cr_assert_eq(fixture_state(&f, task), J_RUNNING);
    close_agent();
}

Test(lanes, a_heartbeat_longer_than_time_lasts_is_none)
{
    struct pawl_task task;

    open_three();
    agent.agent.heartbeat_ns = UINT64_MAX;
    store_release(&agent.agent.beat_ns, fixture_now(&f));
    task = job_create(&f, 0, "work", 1);
    expect(&agent, task);
    fixture_turn(&f);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1, "it never sleeps");
    close_agent();
}
