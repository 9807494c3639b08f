/*
 * Who is handed what and when: the order in a lane, assigned tasks, weights, agents that are gone, tasks that refuse.
 * The limits of a lane are in test_lanes_open.c.
 */
#include <errno.h>

#include "shard/lanes.h"
#include "support/lane_fixture.h"

#define SECOND FIXTURE_SECOND
#define MS     FIXTURE_MS
#define AGENTS 100u
#define WORK   1u
#define OTHER  2u
#define THIRD  4u

static struct fixture f;
static struct lane_agent agent, second;
static struct lane_agent many[AGENTS];
static const struct pawl_lane_def three[] = {
    {.name = "work"}, {.name = "other"}, {.name = "third"}};

static void open_shards(const struct pawl_lane_def *lanes, unsigned count, unsigned shards)
{
    fixture_open(
        &f, &(struct fixture_options){
                .machines = {&job_machine}, .shards = shards, .lanes = lanes, .lane_count = count});
}

static void open_three(void)
{
    open_shards(three, 3, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK);
}

static void close_agent(void)
{
    lane_agent_close(&agent, &f);
    fixture_close(&f);
}

static uint64_t change(uint32_t priority, const char *lane)
{
    return (uint64_t)priority << 32 | (lane != NULL ? pawl_lane_number(lane) : 0);
}

/* The next lease is of this task. */
static void expect(struct lane_agent *a, struct pawl_task task)
{
    const struct pawl_completion got = lane_agent_lease(a, &f);

    cr_assert_eq(got.status, 0);
    cr_assert_eq(got.task.id, task.id);
}

static bool gets_nothing(struct lane_agent *a)
{
    struct pawl_completion got;

    fixture_run(&f);
    return lane_agent_reap(a, &got, 1) == 0;
}

/* ---- Order ---- */

Test(lanes, the_most_urgent_goes_first_and_among_equals_the_one_that_came_first)
{
    static const uint32_t priorities[] = {5, 3, 5, 0, 3, UINT32_MAX, 5};
    static const unsigned order[] = {3, 1, 4, 0, 2, 6, 5};
    struct pawl_task tasks[7];

    open_three();
    for (unsigned i = 0; i < 7; i++)
        tasks[i] = job_create(&f, 0, "work", priorities[i]);
    for (unsigned i = 0; i < 7; i++)
        expect(&agent, tasks[order[i]]);
    close_agent();
}

Test(lanes, the_order_follows_priorities_withdrawals_and_releases)
{
    struct pawl_task tasks[6];

    open_three();
    for (unsigned i = 0; i < 6; i++)
        tasks[i] = job_create(&f, 0, "work", 5);
    fixture_ask(&f, tasks[4], J_CHANGE, change(1, NULL), 0); /* 4 0 1 2 3 5 */
    fixture_ask(&f, tasks[0], J_CHANGE, change(9, NULL), 0); /* 4 1 2 3 5 0 */
    fixture_ask(&f, tasks[0], J_CHANGE, change(5, NULL), 0); /* 4 0 1 2 3 5: it waits since then */
    fixture_ask(&f, tasks[1], J_WITHDRAW, 0, 0);
    fixture_ask(&f, tasks[1], J_OFFER, 0, 0); /* 4 0 2 3 5 1: it came anew */
    fixture_ask(&f, tasks[2], J_CHANGE, change(5, "other"), 0);
    expect(&agent, tasks[4]);
    expect(&agent, tasks[0]);
    fixture_ask(&f, tasks[0], J_RELEASE, 0, 0); /* 3 5 1 0 */
    expect(&agent, tasks[3]);
    expect(&agent, tasks[5]);
    expect(&agent, tasks[1]);
    expect(&agent, tasks[0]);
    lane_agent_grant(&agent, 1);
    cr_assert(gets_nothing(&agent), "a task of another lane was handed out");
    cr_assert_eq(lane_status(&f, "other").ready, 1);
    close_agent();
}

Test(lanes, an_older_task_overtakes_exactly_when_its_age_makes_up_for_its_priority)
{
    static const struct pawl_lane_def ageing[] = {{.name = "work", .age_ns = SECOND}};
    struct pawl_task old, before, after;

    open_shards(ageing, 1, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK);
    old = job_create(&f, 0, "work", 10); /* at 1 s: rank 11 */
    fixture_advance(&f, 5 * SECOND);
    before = job_create(&f, 0, "work", 4); /* at 6 s: rank 10 */
    fixture_advance(&f, SECOND);
    after = job_create(&f, 0, "work", 4); /* at 7 s: rank 11, but younger */
    expect(&agent, before);
    expect(&agent, old);
    expect(&agent, after);
    close_agent();
}

/* ---- Assigned tasks ---- */

Test(lanes, an_assigned_task_goes_to_its_agent_alone_in_its_place_among_the_others)
{
    struct job job = {.claim = {.lane = pawl_lane_number("work"), .assignee = 9}};
    struct pawl_task urgent, lazy, common[3];

    open_three();
    lane_agent_open(&second, f.runtime, 9, WORK);
    job.claim.priority = 2;
    urgent = job_make(&f, 0, 0, &job);
    job.claim.priority = 6;
    lazy = job_make(&f, 0, 0, &job);
    for (unsigned i = 0; i < 3; i++)
        common[i] = job_create(&f, 0, "work", 1 + 3 * i); /* 1, 4, 7 */
    expect(&second, common[0]);
    expect(&second, urgent);
    expect(&agent, common[1]); /* not the lazy one */
    expect(&second, lazy);
    expect(&second, common[2]);
    fixture_ask(&f, lazy, J_RELEASE, 0, 0);
    lane_agent_grant(&agent, 1);
    cr_assert(gets_nothing(&agent));
    fixture_ask(&f, lazy, J_CHANGE, change(6, NULL), 0); /* for anybody */
    cr_assert(!gets_nothing(&agent));
    lane_agent_close(&second, &f);
    close_agent();
}

/* ---- Several lanes ---- */

static void fill(const char *lane, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        job_create(&f, 0, lane, 1);
}

/* Takes `count` leases in portions and adds up from which lanes they are. */
static void take_shares(struct lane_agent *a, unsigned count, unsigned portion, unsigned shares[3])
{
    struct pawl_completion got[64];

    memset(shares, 0, 3 * sizeof(*shares));
    for (unsigned taken = 0; taken < count; taken += portion) {
        lane_agent_grant(a, portion);
        fixture_run(&f);
        cr_assert_eq(lane_agent_reap(a, got, portion), portion);
        for (unsigned i = 0; i < portion; i++)
            for (unsigned k = 0; k < 3; k++)
                shares[k] += job_of(&f, got[i].task).claim.lane == pawl_lane_number(three[k].name);
    }
}

Test(lanes, agents_of_several_lanes_serve_them_by_weight)
{
    static const struct pawl_lane_def weighted[] = {{.name = "work", .weight = 1},
                                                    {.name = "other", .weight = 2},
                                                    {.name = "third", .weight = 5}};
    unsigned shares[3];

    open_shards(weighted, 3, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK | OTHER | THIRD);
    fill("work", 3000), fill("other", 3000), fill("third", 3000);
    for (unsigned portion = 1; portion <= 64; portion *= 8) {
        take_shares(&agent, 1600 / portion * portion, portion, shares);
        cr_assert(shares[0] >= 190 && shares[0] <= 210, "portion %u: %u", portion, shares[0]);
        cr_assert(shares[1] >= 380 && shares[1] <= 420, "portion %u: %u", portion, shares[1]);
    }
    close_agent();
}

Test(lanes, a_lane_that_was_empty_does_not_get_what_it_missed)
{
    unsigned shares[3];

    open_three();
    agent.agent.lanes = WORK | OTHER;
    fill("work", 2000);
    take_shares(&agent, 1000, 10, shares);
    cr_assert_eq(shares[0], 1000);
    fill("other", 500);
    take_shares(&agent, 200, 10, shares);
    cr_assert(shares[1] >= 95 && shares[1] <= 105, "%u of 200", shares[1]);
    close_agent();
}

Test(lanes, a_lane_that_was_paused_does_not_get_what_it_missed)
{
    unsigned shares[3];

    open_three();
    agent.agent.lanes = WORK | OTHER;
    fill("work", 2000), fill("other", 500);
    cr_assert_eq(pawl_lane_pause(f.runtime, "other", 0), 0);
    take_shares(&agent, 1000, 10, shares);
    cr_assert_eq(shares[0], 1000);
    cr_assert_eq(pawl_lane_resume(f.runtime, "other"), 0);
    take_shares(&agent, 200, 10, shares);
    cr_assert(shares[1] >= 95 && shares[1] <= 105, "%u of 200", shares[1]);
    close_agent();
}

/* What other agents take from other lanes is nothing to an agent's own. */
Test(lanes, a_lane_does_not_starve_for_what_another_agent_has_taken_elsewhere)
{
    unsigned shares[3];

    open_three();
    lane_agent_open(&second, f.runtime, 9, OTHER | THIRD);
    fill("work", 1500), fill("other", 500);
    take_shares(&second, 10, 10, shares);
    take_shares(&agent, 1000, 10, shares);
    fill("third", 500); /* comes when "work" is far ahead */
    take_shares(&second, 200, 10, shares);
    cr_assert(shares[2] >= 95 && shares[2] <= 105, "%u of 200", shares[2]);
    lane_agent_close(&second, &f);
    close_agent();
}

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

    open_shards(three, 3, 4);
    lane_agent_open(&agent, f.runtime, 7, WORK);
    lane_agent_grant(&agent, 50);
    for (unsigned i = 0; i < 40; i++)
        job_create(&f, i % 4, "work", 1);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, got, 64), 40);
    cr_assert_eq(load_acquire(&agent.agent.credits), 10);
    for (unsigned i = 0; i < 40; i++)
        job_create(&f, i % 4, "work", 1);
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

    open_shards(three, 3, 2);
    lane_agent_open(&agent, f.runtime, 7, WORK);
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

/* ---- Tasks that refuse ---- */

Test(lanes, a_task_that_refuses_stops_nobody_and_is_offered_again)
{
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    struct pawl_completion got[2];
    struct pawl_task task, other;

    open_three();
    task = job_make(&f, 0, 0, &shy);
    other = job_create(&f, 0, "work", 5);
    got[0] = lane_agent_lease(&agent, &f);
    cr_assert_eq(got[0].task.id, task.id);
    cr_assert_eq(got[0].status, -EPROTO);
    cr_assert_eq(got[0].tag, PAWL__LEASE_TAG);
    cr_assert_eq(job_of(&f, task).claim.leases, 0);
    expect(&agent, other);
    fixture_run(&f);
    cr_assert_eq(lane_status(&f, "work").returned, 1);
    cr_assert_eq(lane_status(&f, "work").leases, 1);
    cr_assert_eq(lane_status(&f, "work").ready, 1, "it waits all the same");
    fixture_jump(&f, 2 * MS);
    got[0] = lane_agent_lease(&agent, &f);
    cr_assert_eq(got[0].status, -EPROTO);
    fixture_ask(&f, task, J_SHY, 0, 0);
    fixture_jump(&f, 2 * MS);
    expect(&agent, task);
    close_agent();
}

Test(lanes, refused_leases_give_their_place_and_their_token_back)
{
    static const struct pawl_lane_def limited[] = {
        {.name = "work", .concurrency = 2, .rate = 1, .burst = 4}};
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    struct pawl_task task;

    open_shards(limited, 1, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK);
    task = job_make(&f, 0, 0, &shy);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(lane_agent_lease(&agent, &f).status, -EPROTO);
        fixture_jump(&f, 2 * MS);
    }
    pawl_task_cancel(f.runtime, task);
    fixture_run(&f);
    for (unsigned i = 0; i < 2; i++)
        expect(&agent, job_create(&f, 0, "work", 1));
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
    open_shards(limited, 1, 1);
    lane_agent_open(&agent, f.runtime, 7, WORK);
    fill("work", 2);
    lane_agent_grant(&agent, 2);
    cr_assert(!gets_nothing(&agent));
    cr_assert(pawl_shard_next_timer_ns(f.runtime, 0) <= fixture_now(&f) + 100 * MS);
    pawl_virtual_clock_advance_to(f.clock, fixture_now(&f) + 101 * MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 0, "the host would sleep for ever");
    cr_assert(!gets_nothing(&agent));
    close_agent();
}

/* ---- The breaker ---- */

static unsigned came(struct lane_agent *a, struct pawl_completion *got, unsigned capacity)
{
    fixture_run(&f);
    return lane_agent_reap(a, got, capacity);
}

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

    open_shards(lanes, 1, 2);
    lane_agent_open(&agent, f.runtime, 7, WORK);
    for (unsigned i = 0; i < 30; i++)
        job_create(&f, i % 2, "work", 1);
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

/* Many credits at once: a batch is handed out in its order, not as the batch would group it. */
Test(lanes, leases_leave_in_order_however_many_there_are)
{
    struct pawl_completion got[128];
    struct pawl_task tasks[100];
    const struct pawl_lane_def lane = {.name = "work"};
    uint64_t token = 0;

    fixture_open(
        &f, &(struct fixture_options){.machines = {&job_machine}, .lanes = &lane, .lane_count = 1});
    lane_agent_open(&agent, f.runtime, 7, 1);
    for (unsigned i = 0; i < 100; i++)
        tasks[i] = job_create(&f, 0, "work", i / 10);
    lane_agent_grant(&agent, 100);
    fixture_run(&f);
    cr_assert_eq(lane_agent_reap(&agent, got, 128), 100);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(got[i].task.id, tasks[i].id, "%u", i);
        cr_assert(got[i].value > token);
        token = got[i].value;
    }
    lane_agent_close(&agent, &f);
    fixture_close(&f);
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
