/*
 * A lane's pause and its breaker's state outlive the process.
 */
#include "support/lane_fixture.h"
#include "support/store_fixture.h"

#define SECOND FIXTURE_SECOND

static const struct pawl_lane_def lanes[] = {
    {.name = "work", .lease_ns = 10 * SECOND, .breaker_failures = 2, .breaker_ns = 60 * SECOND},
    {.name = "other"}};
static struct pawl_machine_def machine;
static struct store_fixture s;
static struct lane_agent agent;

static void begin(unsigned shards)
{
    struct store_fixture_options options = {
        .shards = shards, .machines = {&machine}, .lanes = lanes, .lane_count = 2};

    machine = job_machine;
    machine.durability = PAWL_DURABILITY_SYNC;
    store_begin(&s, &options);
}

static void end(void)
{
    store_end(&s);
}

static struct pawl_lane_status status(const char *lane)
{
    struct pawl_lane_status read;

    cr_assert_eq(pawl_lane_read(s.f.runtime, lane, &read), 0);
    return read;
}

static void crash(void)
{
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
}

Test(lane_keeper, a_pause_without_end_outlives_a_crash_and_ends_when_told)
{
    for (unsigned shards = 1; shards <= 3; shards++) {
        begin(shards);
        cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", 0), 0);
        crash();
        cr_assert(status("work").paused);
        cr_assert(!status("other").paused);
        cr_assert_eq(pawl_lane_resume(s.f.runtime, "work"), 0);
        crash();
        cr_assert(!status("work").paused);
        end();
    }
}

Test(lane_keeper, a_pause_comes_back_with_what_it_had_left)
{
    begin(1);
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", 100 * SECOND), 0);
    cr_assert(store_settle(&s));
    store_advance(&s, 30 * SECOND);
    /* Time is that of the newest frame. */
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "other", 0), 0);
    crash();
    cr_assert(status("work").paused);
    store_advance(&s, 65 * SECOND);
    cr_assert(status("work").paused);
    store_advance(&s, 10 * SECOND);
    cr_assert(!status("work").paused);
    end();
}

Test(lane_keeper, an_open_breaker_is_open_after_a_crash)
{
    struct pawl_completion got;
    struct pawl_task task;

    begin(2);
    task = job_create(&s.f, 0, "work", 1);
    lane_agent_open(&agent, s.f.runtime, 7, 3);
    for (unsigned i = 0; i < 2; i++) {
        lane_agent_grant(&agent, 1);
        store_run(&s);
        cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1);
        store_advance(&s, 11 * SECOND); /* the lease expires: a failure */
    }
    cr_assert_eq(status("work").breaker, PAWL_BREAKER_OPEN);
    lane_agent_close(&agent, &s.f);
    crash();
    cr_assert_eq(status("work").breaker, PAWL_BREAKER_OPEN);
    lane_agent_open(&agent, s.f.runtime, 7, 3);
    lane_agent_grant(&agent, 1);
    store_advance(&s, 30 * SECOND);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 0);
    store_advance(&s, 40 * SECOND);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1); /* a probe */
    cr_assert_eq(got.task.id, task.id);
    lane_agent_close(&agent, &s.f);
    end();
}

/* Without anything to keep there is no task for it. */
Test(lane_keeper, an_untouched_lane_costs_no_task)
{
    begin(1);
    job_create(&s.f, 0, "work", 1);
    cr_assert(store_settle(&s));
    cr_assert_eq(fixture_counters(&s.f).tasks, 1);
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", 0), 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(fixture_counters(&s.f).tasks, 2);
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", SECOND), 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(fixture_counters(&s.f).tasks, 2);
    end();
}

/* A store that kept a pause is opened without lanes, and the pause is there when they are back. */
Test(lane_keeper, a_store_opens_without_the_lanes_that_it_has_kept)
{
    struct store_fixture_options options = {.lanes = lanes, .lane_count = 2};

    store_begin(&s, &options);
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", 0), 0);
    cr_assert(store_settle(&s));
    store_close(&s);
    s.options.lane_count = 0;
    store_open(&s);
    store_advance(&s, SECOND);
    cr_assert_eq(fixture_counters(&s.f).tasks, 1);
    store_close(&s);
    s.options.lane_count = 2;
    store_open(&s);
    cr_assert(status("work").paused);
    end();
}

/* Its task needs a slot: until there is one the shard may sleep, and then it is kept after all. */
Test(lane_keeper, a_shard_whose_table_is_full_sleeps_and_keeps_what_it_could_not)
{
    struct store_fixture_options options = {
        .machines = {&machine}, .lanes = lanes, .lane_count = 2, .tasks_max = 8};
    struct pawl_task tasks[8];

    machine = job_machine;
    machine.durability = PAWL_DURABILITY_SYNC;
    store_begin(&s, &options);
    for (unsigned i = 0; i < 8; i++)
        tasks[i] = job_create(&s.f, 0, "work", 1);
    store_run(&s);
    cr_assert_eq(pawl_lane_pause(s.f.runtime, "work", 0), 0);
    store_run(&s);
    cr_assert_eq(pawl_shard_wait_prepare(s.f.runtime, 0), 1, "it never sleeps");
    cr_assert_eq(pawl_port_cancel(s.f.port, tasks[0], 0), 0);
    store_advance(&s, SECOND);
    cr_assert_eq(fixture_reap(&s.f).status, 0);
    crash();
    cr_assert(status("work").paused);
    end();
}
