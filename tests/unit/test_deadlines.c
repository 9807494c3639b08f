/*
 * test_deadlines.c - leases end in time whether a list or a timer ends them. What agents see of it is
 * in test_claim.c and test_lanes.c; here is when which of the two does.
 */
#include "shard/deadlines.h"

#include "support/lanes_fixture.h"

enum { E_LEASE, E_EXPIRED, E_DONE, E_AGAIN, E_EXTEND, E_ARM, E_CANCEL, E_WAIT, E_BEEP };
enum { E_READY, E_BUSY };

struct errand {
    struct pawl_claim claim;
    uint64_t expired;    /* how often */
    uint64_t beeped;     /* before that */
    uint64_t expired_ns; /* when last */
};

static void errand_expired(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct errand *errand = context;

    (void)event;
    errand->expired++;
    errand->expired_ns = pawl_step_now_ns(step);
}

static void errand_extend(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_extend(step, event->arg[0]);
}

static void errand_arm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_arm(step, 0, event->arg[0]);
}

static void errand_cancel(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    (void)event;
    pawl_step_cancel(step, 0);
}

/* A timer of its own. */
static void errand_wait(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_arm(step, 1, event->arg[0]);
}

static void errand_beep(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)event;
    ((struct errand *)context)->beeped++;
}

static const char *const errand_events[] = {"lease", "expired", "done", "again", "extend",
                                            "arm",   "cancel",  "wait", "beep"};
static const struct pawl_state_def errand_states[] = {
    {.name = "ready", .flags = PAWL_STATE_READY},
    {.name = "busy", .flags = PAWL_STATE_LEASED},
    {.name = "over"},
};
static const struct pawl_transition_def errand_transitions[] = {
    {.from = "ready", .on = "lease", .to = "busy"},
    {.from = "ready", .on = "arm", .action = errand_arm},
    {.from = "ready", .on = "expired", .action = errand_expired},
    {.from = "busy", .on = "done", .to = "over"},
    {.from = "busy", .on = "expired", .to = "over", .action = errand_expired},
    {.from = "busy", .on = "extend", .action = errand_extend},
    {.from = "busy", .on = "arm", .action = errand_arm},
    {.from = "busy", .on = "cancel", .action = errand_cancel},
    {.from = "busy", .on = "wait", .action = errand_wait},
    {.from = "busy", .on = "beep", .action = errand_beep},
    {.from = "over", .on = "again", .to = "ready"},
};
static const struct pawl_timer_def errand_timers[] = {{"lease", "expired"}, {"own", "beep"}};
static const struct pawl_machine_def errand_machine = {
    .name = "errand",
    FIXTURE_TABLE(events, errand_events),
    FIXTURE_TABLE(states, errand_states),
    FIXTURE_TABLE(transitions, errand_transitions),
    FIXTURE_TABLE(timers, errand_timers),
    .lease = "lease",
    .lease_timer = "lease",
    .context_size = sizeof(struct errand),
};

static const struct pawl_lane_def short_and_long[] = {{.name = "short", .lease_ns = 10 * MS},
                                                      {.name = "long", .lease_ns = 40 * MS}};

static void begin(void)
{
    fixture_open(&f, &(struct fixture_options){.machines = {&errand_machine},
                                               .shards = 1,
                                               .lanes = short_and_long,
                                               .lane_count = 2});
    lane_agent_open(&agent, f.runtime, 7, 3);
}

static struct pawl_task make(const char *lane)
{
    const struct errand errand = {.claim = {.lane = pawl_lane_number(lane)}};
    const struct pawl_task_spec spec = {.context = &errand, .context_size = sizeof(errand)};
    struct pawl_task task;

    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
    return task;
}

/* One that is leased now. */
static struct pawl_task lease(const char *lane)
{
    const struct pawl_task task = make(lane);

    expect(&agent, task);
    return task;
}

static struct errand look(struct pawl_task task)
{
    struct errand errand;

    fixture_view(&f, task, &errand, sizeof(errand));
    return errand;
}

static struct shard *shard(void)
{
    return f.runtime->shards[0];
}

/* Leases that the lists end, and timers that are armed. */
static void expect_ends(uint32_t lists, uint32_t timers)
{
    cr_assert_eq(shard()->lanes->timed, lists);
    cr_assert_eq(wheel_armed_count(&shard()->wheel), timers);
    cr_assert_eq(fixture_counters(&f).timers, lists + timers);
}

Test(deadlines, a_lease_ends_in_time_and_has_no_timer_before)
{
    struct pawl_task task;
    uint64_t until;

    begin();
    task = lease("short");
    expect_ends(1, 0);
    until = look(task).claim.deadline_ns;
    fixture_advance(&f, until - fixture_now(&f) - 2 * MS);
    expect_ends(1, 0);
    fixture_advance(&f, 2 * MS - 1);
    cr_assert_eq(look(task).expired, 0u);
    fixture_advance(&f, MS + 1);
    cr_assert_eq(look(task).expired, 1u);
    cr_assert(look(task).expired_ns >= until && look(task).expired_ns <= until + MS);
    expect_ends(0, 0);
    close_agent();
}

Test(deadlines, lanes_end_theirs_each_in_its_order)
{
    struct pawl_task tasks[6];

    begin();
    for (unsigned i = 0; i < 6; i++) { /* long, short, long ... a millisecond apart */
        tasks[i] = lease(i % 2 == 0 ? "long" : "short");
        fixture_advance(&f, MS);
    }
    expect_ends(6, 0);
    fixture_advance(&f, 50 * MS);
    for (unsigned i = 0; i < 6; i++) {
        const struct errand errand = look(tasks[i]);

        cr_assert_eq(errand.expired, 1u);
        cr_assert(errand.expired_ns >= errand.claim.deadline_ns &&
                  errand.expired_ns <= errand.claim.deadline_ns + MS);
    }
    cr_assert(look(tasks[5]).expired_ns < look(tasks[0]).expired_ns);
    expect_ends(0, 0);
    close_agent();
}

Test(deadlines, what_is_reported_leaves_the_list_wherever_it_is)
{
    struct pawl_task tasks[5];

    begin();
    for (unsigned i = 0; i < 5; i++)
        tasks[i] = lease("short");
    for (unsigned i = 0; i < 5; i += 2) { /* the first, the middle, the last */
        cr_assert_eq(fixture_ask(&f, tasks[i], E_DONE, 0, 0).status, 0);
        expect_ends(4 - i / 2, 0);
    }
    fixture_advance(&f, 20 * MS);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(look(tasks[i]).expired, i % 2);
    expect_ends(0, 0);
    cr_assert_eq(shard()->lanes->parts[0].first_to_end, 0u);
    cr_assert_eq(shard()->lanes->parts[0].last_to_end, 0u);
    close_agent();
}

Test(deadlines, one_that_is_extended_has_a_timer_from_then_on)
{
    struct pawl_task sooner, later, as_it_was;

    begin();
    sooner = lease("long");
    later = lease("short");
    as_it_was = lease("short");
    cr_assert_eq(fixture_ask(&f, sooner, E_EXTEND, 5 * MS, 0).status, 0);
    cr_assert_eq(fixture_ask(&f, later, E_EXTEND, 30 * MS, 0).status, 0);
    expect_ends(1, 2);
    fixture_advance(&f, 7 * MS);
    cr_assert_eq(look(sooner).expired, 1u);
    cr_assert_eq(look(as_it_was).expired, 0u);
    fixture_advance(&f, 8 * MS);
    cr_assert_eq(look(as_it_was).expired, 1u);
    cr_assert_eq(look(later).expired, 0u);
    cr_assert_eq(fixture_ask(&f, later, E_DONE, 0, 0).status, 0);
    expect_ends(0, 0);
    close_agent();
}

Test(deadlines, a_machine_may_arm_and_cancel_its_lease_timer_itself)
{
    struct pawl_task armed, cancelled, before;

    begin();
    before = make("long");
    cr_assert_eq(fixture_ask(&f, before, E_ARM, 3 * MS, 0).status, 0);
    expect(&agent, before); /* the lease's deadline takes the timer's place */
    expect_ends(1, 0);
    armed = lease("short");
    cancelled = lease("short");
    cr_assert_eq(fixture_ask(&f, armed, E_ARM, 20 * MS, 0).status, 0);
    cr_assert_eq(fixture_ask(&f, cancelled, E_CANCEL, 0, 0).status, 0);
    expect_ends(1, 1);
    fixture_advance(&f, 15 * MS);
    cr_assert_eq(look(armed).expired + look(cancelled).expired + look(before).expired, 0u);
    fixture_advance(&f, 35 * MS);
    cr_assert_eq(look(armed).expired, 1u);
    cr_assert_eq(look(before).expired, 1u);
    cr_assert_eq(look(cancelled).expired, 0u);
    cr_assert_eq(fixture_ask(&f, cancelled, E_DONE, 0, 0).status, 0);
    /* And again by the list, of one that a timer has ended. */
    cr_assert_eq(fixture_ask(&f, armed, E_AGAIN, 0, 0).status, 0);
    expect(&agent, armed);
    expect_ends(1, 0);
    close_agent();
}

Test(deadlines, more_than_a_turn_may_take_end_in_several)
{
    enum { MANY = 2 * QUOTA + 100 };
    static struct pawl_task tasks[MANY];
    unsigned turns = 0;

    begin();
    for (unsigned i = 0; i < MANY; i++)
        tasks[i] = make("short");
    lane_agent_grant(&agent, MANY);
    fixture_run(&f);
    expect_ends(MANY, 0);
    pawl_virtual_clock_advance_to(f.clock, fixture_now(&f) + 12 * MS);
    for (; shard()->lanes->timed > 0; turns++) {
        fixture_turn(&f);
        cr_assert(turns < 10);
    }
    cr_assert_eq(turns, 3u);
    fixture_run(&f);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(look(tasks[i]).expired, 1u);
    expect_ends(0, 0);
    while (lane_agent_reap(&agent, &(struct pawl_completion){0}, 1) > 0)
        ;
    close_agent();
}

/* A leap, in which more leases end than a turn may take: timers of later ticks wait for all of them. */
Test(deadlines, no_timer_of_a_later_tick_fires_before_a_lease_ends)
{
    enum { MANY = 2 * QUOTA + 100 };
    static struct pawl_task tasks[MANY];

    begin();
    for (unsigned i = 0; i < MANY; i++)
        tasks[i] = make("short");
    lane_agent_grant(&agent, MANY);
    fixture_run(&f);
    for (unsigned i = 0; i < MANY; i++) {
        fixture_send(&f, tasks[i], E_WAIT, 12 * MS);
        if (i % 64 == 63)
            fixture_run(&f);
    }
    fixture_run(&f);
    fixture_jump(&f, 20 * MS);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(look(tasks[i]).expired, 1u);
        cr_assert_eq(look(tasks[i]).beeped, 0u, "of task %u", i);
    }
    while (lane_agent_reap(&agent, &(struct pawl_completion){0}, 1) > 0)
        ;
    close_agent();
}

Test(deadlines, without_memory_for_a_timer_it_is_tried_again)
{
    struct pawl_task task;
    uint32_t max;

    begin();
    task = lease("short");
    max = shard()->timer_nodes.objects_max;
    shard()->timer_nodes.objects_max = 0;
    pawl_virtual_clock_advance_to(f.clock, fixture_now(&f) + 12 * MS);
    fixture_turn(&f);
    cr_assert_eq(shard()->lanes->timed, 1u);
    cr_assert(shard()->lanes->due_ns > fixture_now(&f), "it would be tried in every turn");
    shard()->timer_nodes.objects_max = max;
    fixture_advance(&f, 2 * MS);
    cr_assert_eq(look(task).expired, 1u);
    close_agent();
}
