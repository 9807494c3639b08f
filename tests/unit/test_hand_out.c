/*
 * What one agent is handed: the order in a lane, assigned tasks, weights, tasks that refuse.
 */
#include <errno.h>

#include "support/lanes_fixture.h"

static struct lane_agent second;

/* ---- Order ---- */

Test(hand_out, the_most_urgent_goes_first_and_among_equals_the_one_that_came_first)
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

Test(hand_out, the_order_follows_priorities_withdrawals_and_releases)
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

Test(hand_out, an_older_task_overtakes_exactly_when_its_age_makes_up_for_its_priority)
{
    static const struct pawl_lane_def ageing[] = {{.name = "work", .age_ns = SECOND}};
    struct pawl_task old, before, after;

    open_served(ageing, 1, 1, WORK);
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

Test(hand_out, an_assigned_task_goes_to_its_agent_alone_in_its_place_among_the_others)
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

Test(hand_out, agents_of_several_lanes_serve_them_by_weight)
{
    static const struct pawl_lane_def weighted[] = {{.name = "work", .weight = 1},
                                                    {.name = "other", .weight = 2},
                                                    {.name = "third", .weight = 5}};
    unsigned shares[3];

    open_served(weighted, 3, 1, WORK | OTHER | THIRD);
    fill("work", 3000, 1), fill("other", 3000, 1), fill("third", 3000, 1);
    for (unsigned portion = 1; portion <= 64; portion *= 8) {
        take_shares(&agent, 1600 / portion * portion, portion, shares);
        cr_assert(shares[0] >= 190 && shares[0] <= 210, "portion %u: %u", portion, shares[0]);
        cr_assert(shares[1] >= 380 && shares[1] <= 420, "portion %u: %u", portion, shares[1]);
    }
    close_agent();
}

Test(hand_out, a_lane_that_was_empty_does_not_get_what_it_missed)
{
    unsigned shares[3];

    open_three();
    agent.agent.lanes = WORK | OTHER;
    fill("work", 2000, 1);
    take_shares(&agent, 1000, 10, shares);
    cr_assert_eq(shares[0], 1000);
    fill("other", 500, 1);
    take_shares(&agent, 200, 10, shares);
    cr_assert(shares[1] >= 95 && shares[1] <= 105, "%u of 200", shares[1]);
    close_agent();
}

Test(hand_out, a_lane_that_was_paused_does_not_get_what_it_missed)
{
    unsigned shares[3];

    open_three();
    agent.agent.lanes = WORK | OTHER;
    fill("work", 2000, 1), fill("other", 500, 1);
    cr_assert_eq(pawl_lane_pause(f.runtime, "other", 0), 0);
    take_shares(&agent, 1000, 10, shares);
    cr_assert_eq(shares[0], 1000);
    cr_assert_eq(pawl_lane_resume(f.runtime, "other"), 0);
    take_shares(&agent, 200, 10, shares);
    cr_assert(shares[1] >= 95 && shares[1] <= 105, "%u of 200", shares[1]);
    close_agent();
}

/* What other agents take from other lanes is nothing to an agent's own. */
Test(hand_out, a_lane_does_not_starve_for_what_another_agent_has_taken_elsewhere)
{
    unsigned shares[3];

    open_three();
    lane_agent_open(&second, f.runtime, 9, OTHER | THIRD);
    fill("work", 1500, 1), fill("other", 500, 1);
    take_shares(&second, 10, 10, shares);
    take_shares(&agent, 1000, 10, shares);
    fill("third", 500, 1); /* comes when "work" is far ahead */
    take_shares(&second, 200, 10, shares);
    cr_assert(shares[2] >= 95 && shares[2] <= 105, "%u of 200", shares[2]);
    lane_agent_close(&second, &f);
    close_agent();
}

/* ---- Tasks that refuse ---- */

Test(hand_out, a_task_that_refuses_stops_nobody_and_is_offered_again)
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

Test(hand_out, refused_leases_give_their_place_and_their_token_back)
{
    static const struct pawl_lane_def limited[] = {
        {.name = "work", .concurrency = 2, .rate = 1, .burst = 4}};
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    struct pawl_task task;

    open_served(limited, 1, 1, WORK);
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

/* Many credits at once: a batch is handed out in its order, not as the batch would group it. */
Test(hand_out, leases_leave_in_order_however_many_there_are)
{
    struct pawl_completion got[128];
    struct pawl_task tasks[100];
    const struct pawl_lane_def lane = {.name = "work"};
    uint64_t token = 0;

    open_served(&lane, 1, 1, WORK);
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

/* A task that refuses must keep no other from its turn, where there is a rate as well. */
Test(hand_out, a_task_that_refuses_does_not_use_up_a_rate)
{
    static const struct pawl_lane_def rated[] = {{.name = "work", .rate = 1}};
    const struct job shy = {.claim = {.lane = pawl_lane_number("work"), .priority = 1}, .shy = 1};
    struct pawl_completion got[8];
    struct pawl_task willing;

    open_served(rated, 1, 1, WORK);
    job_make(&f, 0, 0, &shy);
    willing = job_create(&f, 0, "work", 2);
    lane_agent_grant(&agent, 2);
    for (unsigned i = 0; i < 100 && fixture_state(&f, willing) != J_RUNNING; i++) {
        const unsigned came = lane_agent_reap(&agent, got, 8);

        for (unsigned k = 0; k < came; k++)
            if (got[k].status != 0)
                lane_agent_grant(&agent, 1);
        fixture_advance(&f, 50 * MS);
    }
    cr_assert_eq(fixture_state(&f, willing), J_RUNNING);
    close_agent();
}
