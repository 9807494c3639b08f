/*
 * What a host says about lanes and asks them: options, pause, limits over all shards, status; and what comes back of
 * lanes, claims and leases when a store is opened again.
 */
#include "base/random.h"
#include "support/store_fixture.h"

#include "support/lanes_fixture.h"

static void open_lanes(const struct pawl_lane_def *lanes, unsigned count, unsigned shards)
{
    open_served(lanes, count, shards, UINT64_MAX);
}

/* ---- Options ---- */

static char told[256];

static void on_finding(void *user, const struct pawl_diagnostic *finding)
{
    (void)user;
    snprintf(told, sizeof(told), "%s: %s", finding->where, finding->what);
}

static int try_open(const struct pawl_lane_def *lanes, unsigned count)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    const struct pawl_machine *machines[1];
    struct pawl_runtime *runtime = NULL;
    struct pawl_machine *machine;
    int error;

    cr_assert_eq(pawl_machine_compile(&job_machine, NULL, NULL, &machine), 0);
    machines[0] = machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.no_huge_pages = 1;
    options.lanes = lanes;
    options.lane_count = count;
    options.diagnose = on_finding;
    told[0] = '\0';
    error = pawl_open(&options, &runtime);
    if (error == 0)
        pawl_close(runtime);
    pawl_machine_destroy(machine);
    return error;
}

static void refused(const struct pawl_lane_def *lanes, unsigned count, const char *what)
{
    cr_assert_eq(try_open(lanes, count), -EINVAL);
    cr_assert(strstr(told, "pawl_options.lanes") != NULL && strstr(told, what) != NULL, "%s", told);
}

Test(lanes_open, what_is_wrong_with_lanes_is_refused_in_words)
{
    struct pawl_lane_def lanes[PAWL_LANES_MAX + 1];
    char names[PAWL_LANES_MAX + 1][8];

    for (unsigned i = 0; i <= PAWL_LANES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "lane%u", i);
        lanes[i] = (struct pawl_lane_def){.name = names[i]};
    }
    cr_assert_eq(try_open(lanes, PAWL_LANES_MAX), 0, "%s", told);
    refused(lanes, PAWL_LANES_MAX + 1, "at most 64");
    refused(NULL, 1, "at most 64");
    refused(NULL, 0, "a machine has lane states");
    lanes[1].name = names[0];
    refused(lanes, 2, "lanes[1]: another lane has this name");
    lanes[1].name = "a/b";
    refused(lanes, 2, "lanes[1]: a lane's name");
    lanes[1].name = "0123456789012345678901234567890";
    cr_assert_eq(try_open(lanes, 2), 0, "%s", told);
    lanes[1].name = "01234567890123456789012345678901";
    refused(lanes, 2, "lanes[1]: a lane's name");
    lanes[1].name = NULL;
    refused(lanes, 2, "lanes[1]: a lane's name");
    lanes[0].weight = 65536;
    refused(lanes, 1, "weight");
    lanes[0] = (struct pawl_lane_def){.name = "a", .age_ns = 999999};
    refused(lanes, 1, "age_ns");
    lanes[0] = (struct pawl_lane_def){.name = "a", .lease_ns = (UINT64_C(1) << 53) + 1};
    refused(lanes, 1, "lease_ns");
}

Test(lanes_open, a_lane_that_does_not_exist_is_not_found)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work"}};
    struct pawl_lane_status status;

    open_lanes(lanes, 1, 1);
    cr_assert_eq(pawl_lane_pause(f.runtime, "wrok", 0), -ENOENT);
    cr_assert_eq(pawl_lane_resume(f.runtime, ""), -ENOENT);
    cr_assert_eq(pawl_lane_read(f.runtime, "", &status), -ENOENT);
    cr_assert_eq(pawl_lane_read(f.runtime, NULL, &status), -ENOENT);
    close_agent();
}

/* ---- Pause ---- */

Test(lanes_open, a_paused_lane_hands_out_nothing_until_it_is_resumed)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work"}, {.name = "other"}};
    struct pawl_completion got[4];

    open_lanes(lanes, 2, 2);
    fill("work", 2, 2);
    lane_agent_grant(&agent, 4);
    cr_assert_eq(pawl_lane_pause(f.runtime, "work", 0), 0);
    fixture_advance(&f, 3600 * SECOND);
    cr_assert_eq(came(&agent, got, 4), 0);
    cr_assert(lane_status(&f, "work").paused);
    cr_assert(!lane_status(&f, "other").paused);
    job_create(&f, 0, "other", 1);
    cr_assert_eq(came(&agent, got, 4), 1, "the other lane is not paused");
    cr_assert_eq(pawl_lane_resume(f.runtime, "work"), 0);
    cr_assert_eq(came(&agent, got, 4), 2);
    cr_assert(!lane_status(&f, "work").paused);
    close_agent();
}

/* The host sleeps until the time that its shards name: they must name the pause's end. */
Test(lanes_open, a_pause_with_an_end_ends_by_itself)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work"}};
    struct pawl_completion got[2];

    open_lanes(lanes, 1, 2);
    fill("work", 2, 2);
    cr_assert_eq(pawl_lane_pause(f.runtime, "work", 10 * SECOND), 0);
    lane_agent_grant(&agent, 2);
    fixture_advance(&f, 10 * SECOND - 1);
    cr_assert_eq(came(&agent, got, 2), 0);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pawl_shard_next_timer_ns(f.runtime, i), fixture_now(&f) + 1);
    fixture_advance(&f, 1);
    cr_assert_eq(came(&agent, got, 2), 2);
    close_agent();
}

Test(lanes_open, a_pause_with_an_end_can_be_resumed_or_made_shorter_before)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work"}};
    struct pawl_completion got[2];

    open_lanes(lanes, 1, 1);
    fill("work", 2, 1);
    lane_agent_grant(&agent, 1);
    cr_assert_eq(pawl_lane_pause(f.runtime, "work", 3600 * SECOND), 0);
    cr_assert_eq(came(&agent, got, 2), 0);
    cr_assert_eq(pawl_lane_resume(f.runtime, "work"), 0);
    cr_assert_eq(came(&agent, got, 2), 1, "it was resumed");
    cr_assert_eq(pawl_lane_pause(f.runtime, "work", 3600 * SECOND), 0);
    lane_agent_grant(&agent, 1);
    cr_assert_eq(came(&agent, got, 2), 0);
    cr_assert_eq(pawl_lane_pause(f.runtime, "work", SECOND), 0);
    fixture_jump(&f, SECOND + 1);
    cr_assert_eq(came(&agent, got, 2), 1, "its pause was made shorter");
    close_agent();
}

/* ---- Limits, over two shards ---- */

Test(lanes_open, no_more_are_leased_at_once_than_the_lane_allows)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work", .concurrency = 5}};
    struct pawl_completion got[64];
    struct random random = {1};
    unsigned count;

    open_lanes(lanes, 1, 2);
    fill("work", 50, 2);
    lane_agent_grant(&agent, 60);
    count = came(&agent, got, 64);
    cr_assert_eq(count, 5);
    cr_assert_eq(lane_status(&f, "work").leased, 5);
    for (unsigned done = 0; done < 45;
         done++) { /* each that ends makes room for one, on either shard */
        const unsigned i = (unsigned)random_below(&random, 5);

        fixture_ask(&f, got[i].task, J_DONE, 0, 0);
        cr_assert_eq(came(&agent, &got[i], 1), 1);
        cr_assert_eq(came(&agent, &got[5], 1), 0);
        cr_assert_eq(lane_status(&f, "work").leased, 5);
    }
    close_agent();
}

Test(lanes_open, leases_come_at_the_lanes_rate_after_its_burst)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work", .rate = 10, .burst = 20}};
    struct pawl_completion got[200];
    unsigned count = 0;

    open_lanes(lanes, 1, 2);
    fill("work", 200, 2);
    lane_agent_grant(&agent, 200);
    count += came(&agent, got, 200);
    cr_assert_eq(count, 20);
    for (unsigned tenth = 1; tenth <= 50; tenth++) {
        fixture_advance(&f, 100 * MS);
        count += came(&agent, got, 200);
        cr_assert_eq(count, 20 + tenth);
    }
    close_agent();
}

/* ---- Status ---- */

Test(lanes_open, the_oldest_is_the_one_that_has_waited_longest)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work"}};
    struct pawl_completion got[1];

    open_lanes(lanes, 1, 2);
    cr_assert_eq(lane_status(&f, "work").oldest_ns, 0);
    job_create(&f, 0, "work", 1);
    fixture_advance(&f, 10 * SECOND);
    job_create(&f, 0, "work", 2);
    fixture_advance(&f, SECOND);
    job_create(&f, 1, "work", 3);
    fixture_advance(&f, 5 * SECOND);
    cr_assert_eq(lane_status(&f, "work").oldest_ns, 16 * SECOND);
    lane_agent_grant(&agent, 1);
    cr_assert_eq(came(&agent, got, 1), 1);
    cr_assert_eq(lane_status(&f, "work").oldest_ns, 6 * SECOND);
    job_create(&f, 0, "work", 5); /* in the same moment, just looked */
    lane_agent_grant(&agent, 1);
    cr_assert_eq(came(&agent, got, 1), 1);
    fixture_advance(&f, SECOND);
    cr_assert_eq(lane_status(&f, "work").oldest_ns, 6 * SECOND, "the one that waits on shard 1");
    close_agent();
}

/* ---- A store ---- */

static struct store_fixture s;
static struct pawl_machine_def job_sync, job_async;

static void init_store(const struct pawl_lane_def *lanes, unsigned count, unsigned shards)
{
    job_sync = job_async = job_machine;
    job_sync.name = "job_sync";
    job_sync.durability = PAWL_DURABILITY_SYNC;
    job_async.name = "job_async";
    job_async.durability = PAWL_DURABILITY_ASYNC;
    store_init(&s, &(struct store_fixture_options){.machines = {&job_sync, &job_async},
                                                   .shards = shards,
                                                   .lanes = lanes,
                                                   .lane_count = count});
    store_open(&s);
    lane_agent_open(&agent, s.f.runtime, 7, UINT64_MAX);
}

static struct pawl_task make(unsigned machine, unsigned shard, const char *lane, uint32_t priority)
{
    const struct job job = {.claim = {.lane = pawl_lane_number(lane), .priority = priority}};
    const struct pawl_task_spec spec = {
        .machine = machine, .shard = shard, .context = &job, .context_size = sizeof(job)};
    struct pawl_task task;

    cr_assert_eq(store_try_create(&s, &spec, &task), 0);
    return task;
}

/* The process is gone, and with it the agent; nothing is asked of either. */
static void crash(void)
{
    struct pawl_completion rest[64];

    sim_disk_die(s.disk);
    store_stop(&s);
    agent.port->outstanding -= swap_acq_rel(&agent.agent.credits, 0);
    while (lane_agent_reap(&agent, rest, 64) > 0)
        ;
    store_release(&agent.port->agent, NULL);
    cr_assert_eq(pawl_port_close(agent.port, 0), 0);
    store_free(&s);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
}

static void reopen(void)
{
    store_open(&s);
    lane_agent_open(&agent, s.f.runtime, 7, UINT64_MAX);
}

static void finish(void)
{
    crash();
    store_fini(&s);
}

static struct pawl_completion store_lease(void)
{
    struct pawl_completion got;

    lane_agent_grant(&agent, 1);
    store_run(&s);
    cr_assert(store_settle(&s));
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1, "nothing was handed out");
    cr_assert_eq(got.status, 0);
    return got;
}

static const struct pawl_lane_def durable_lanes[] = {
    {.name = "work", .lease_ns = 10 * SECOND, .concurrency = 4}, {.name = "other"}};

Test(lanes_open, a_durable_lease_leaves_when_its_step_is_on_disk)
{
    struct pawl_completion got;
    struct pawl_task task;

    init_store(durable_lanes, 2, 1);
    task = make(0, 0, "work", 1);
    cr_assert(store_settle(&s));
    lane_agent_grant(&agent, 1);
    store_turns(&s);
    cr_assert_eq(fixture_state(&s.f, task), J_RUNNING);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 0, "it is not on disk yet");
    store_run(&s);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1);
    cr_assert_eq(got.durability, PAWL_DURABILITY_SYNC);
    finish();
}

Test(lanes_open, order_leases_tokens_and_times_come_back)
{
    struct pawl_task tasks[8];
    struct pawl_completion leased[2], got;
    struct job job;

    init_store(durable_lanes, 2, 1);
    store_advance(&s, 20 * SECOND);
    for (unsigned i = 0; i < 8; i++)
        tasks[i] = make(i % 2, 0, "work", i < 4 ? 5 : 3);    /* 4 5 6 7 0 1 2 3 */
    store_ask(&s, tasks[2], J_CHANGE, UINT64_C(1) << 32, 0); /* 2 4 5 6 7 0 1 3 */
    leased[0] = store_lease();
    leased[1] = store_lease();
    cr_assert_eq(leased[0].task.id, tasks[2].id);
    cr_assert_eq(leased[1].task.id, tasks[4].id);
    store_advance(&s, 4 * SECOND);
    make(0, 0, "other", 1);
    cr_assert(store_settle(&s)); /* the disk knows how late it is */
    crash();
    reopen();
    store_run(&s);
    cr_assert_eq(lane_status(&s.f, "work").leased, 2);
    cr_assert_eq(lane_status(&s.f, "work").ready, 6);
    cr_assert_eq(lane_status(&s.f, "other").ready, 1);
    make(0, 0, "work", 3); /* behind 5, 6 and 7, though the clock began anew */
    agent.agent.lanes = WORK;
    job = job_of(&s.f, tasks[2]);
    cr_assert_eq(job.claim.token, leased[0].value);
    cr_assert(job.claim.deadline_ns > fixture_now(&s.f) + 5 * SECOND &&
              job.claim.deadline_ns <= fixture_now(&s.f) + 6 * SECOND + 2 * MS);
    for (unsigned i = 5; i < 7; i++) { /* two more places */
        got = store_lease();
        cr_assert_eq(got.task.id, tasks[i].id);
        cr_assert(got.value > leased[1].value);
    }
    lane_agent_grant(&agent, 1);
    store_run(&s);
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 0, "the leases of before count");
    store_advance(&s, 7 * SECOND); /* and end by their time */
    cr_assert_eq(lane_status(&s.f, "work").expired, 2);
    cr_assert_eq(job_of(&s.f, tasks[4]).lost, PAWL_LOST_DEADLINE);
    cr_assert(store_settle(&s));
    cr_assert_eq(lane_agent_reap(&agent, &got, 1), 1);
    cr_assert_eq(got.task.id, tasks[2].id);
    cr_assert_eq(store_lease().task.id, tasks[7].id); /* 4 came anew */
    finish();
}

Test(lanes_open, leases_alone_are_counted_after_opening)
{
    init_store(durable_lanes, 2, 1);
    make(0, 0, "work", 1);
    store_lease();
    crash();
    reopen();
    store_run(&s);
    cr_assert_eq(lane_status(&s.f, "work").leased, 1);
    cr_assert_eq(lane_status(&s.f, "work").ready, 0);
    finish();
}

Test(lanes_open, a_lane_that_is_missing_is_named_and_nothing_is_lost)
{
    struct pawl_task task;

    init_store(durable_lanes, 2, 1);
    task = make(0, 0, "other", 1);
    cr_assert(store_settle(&s));
    crash();
    s.options.lane_count = 1;
    cr_assert_eq(store_try_open(&s), -ENOENT);
    cr_assert(strstr(s.told, "a lane that is not listed") != NULL, "%s", s.told);
    s.options.lane_count = 2;
    reopen();
    cr_assert_eq(store_lease().task.id, task.id);
    finish();
}

Test(lanes_open, another_number_of_shards_keeps_the_order_of_each_lane)
{
    uint64_t since = 0, token = 0;

    init_store(durable_lanes, 2, 2);
    for (unsigned i = 0; i < 30; i++)
        make(i % 2, i % 2, "other", 7);
    agent.agent.lanes = OTHER;
    for (unsigned i = 0; i < 5; i++) {
        const uint64_t value = store_lease().value;

        token = value > token ? value : token;
    }
    cr_assert_eq(store_snapshot(&s), 0);
    make(0, 1, "other", 7);
    cr_assert(store_settle(&s));
    crash();
    s.options.shards = 3;
    reopen();
    store_run(&s);
    agent.agent.lanes = OTHER;
    cr_assert_eq(lane_status(&s.f, "other").ready, 26);
    cr_assert_eq(lane_status(&s.f, "other").leased, 5);
    for (unsigned i = 0; i < 26; i++) {
        const struct pawl_completion got = store_lease();
        const struct job job = job_of(&s.f, got.task);

        cr_assert(got.value > token);
        if (pawl_task_shard(got.task) == 0) {
            cr_assert(job.claim.since_ns > since, "out of order");
            since = job.claim.since_ns;
        }
    }
    finish();
}

/* What a look at all tasks says must be what the lanes say. */
static void check_whole(struct pawl_task *tasks, unsigned count, uint64_t *newest)
{
    uint64_t ready = 0, leased = 0, since = 0, priority = 0;

    for (unsigned i = 0; i < count; i++) {
        struct job job;

        if (tasks[i].id == 0 || !fixture_is_alive(&s.f, tasks[i])) {
            tasks[i] = PAWL_NO_TASK;
            continue;
        }
        job = job_of(&s.f, tasks[i]);
        *newest = job.claim.token > *newest ? job.claim.token : *newest;
        ready += fixture_state(&s.f, tasks[i]) == J_QUEUED;
        leased += fixture_state(&s.f, tasks[i]) == J_RUNNING;
    }
    cr_assert_eq(lane_status(&s.f, "other").ready, ready);
    cr_assert_eq(lane_status(&s.f, "other").leased, leased);
    for (uint64_t i = 0; i < ready; i++) {
        const struct pawl_completion got = store_lease();
        const struct job job = job_of(&s.f, got.task);

        cr_assert(got.value > *newest);
        *newest = got.value;
        cr_assert(job.claim.priority > priority ||
                  (job.claim.priority == priority && job.claim.since_ns > since));
        priority = job.claim.priority;
        since = job.claim.since_ns;
    }
}

Test(lanes_open, whenever_it_crashes_the_order_goes_on)
{
    struct pawl_task tasks[40] = {{0}};
    struct random random = {7};
    uint64_t newest = 0;

    init_store(durable_lanes, 2, 1);
    for (unsigned life = 0; life < 25; life++) {
        struct pawl_completion got;

        for (unsigned n = 0; n < 60; n++) {
            struct pawl_task *task = &tasks[random_below(&random, 40)];
            static const uint16_t codes[] = {J_DONE,     J_RELEASE, J_OFFER,
                                             J_WITHDRAW, J_CHANGE,  J_EXTEND};

            if (task->id == 0)
                *task = make((unsigned)random_below(&random, 2), 0, "other",
                             (uint32_t)random_below(&random, 3) + 1);
            else if (random_below(&random, 3) == 0)
                lane_agent_grant(&agent, 1);
            else
                fixture_send(&s.f, *task, codes[random_below(&random, 6)],
                             (random_below(&random, 3) + 1) << 32);
            for (uint64_t turns = random_below(&random, 4); turns > 0; turns--)
                fixture_turn(&s.f);
            if (random_below(&random, 4) == 0)
                store_disk_step(&s);
            if (n == 30 && life % 4 == 1)
                cr_assert_eq(store_snapshot(&s), 0);
            while (lane_agent_reap(&agent, &got, 1) > 0)
                if (got.status == 0 && got.value > newest)
                    newest = got.value;
        }
        crash();
        reopen();
        store_run(&s);
        check_whole(tasks, 40, &newest);
    }
    finish();
}

Test(lanes_open, an_agent_can_leave_though_the_store_has_failed)
{
    struct pawl_task task;

    init_store(durable_lanes, 2, 1);
    task = make(0, 0, "work", 1);
    make(0, 0, "work", 1);
    store_lease();
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
    store_post(&s, task, J_EXTEND, SECOND, 0, 1);
    store_run(&s);
    cr_assert(s.failed_count > 0);
    lane_agent_grant(&agent, 1);
    store_run(&s);
    lane_agent_close(&agent, &s.f);
    cr_assert_eq(fixture_state(&s.f, task), J_RUNNING, "no step of a failed store takes effect");
    store_end(&s);
}
