/*
 * Timers of tasks: exact to the tick, armed and cancelled with the step, gone with the task.
 */
#include "shard/runtime.h"
#include "shard/timers.h"
#include "support/timers_fixture.h"

Test(timers, fire_at_the_first_tick_at_or_after_their_time)
{
    static const uint64_t ticks[] = {1000, 1000000, 1000003, 1000000000};

    for (unsigned i = 0; i < 4; i++) {
        const uint64_t tick = ticks[i];
        const uint64_t delays[] = {
            0,          1,          tick - 1,       tick,         tick + 1,    3 * tick,
            255 * tick, 256 * tick, 257 * tick + 1, 65537 * tick, 123456789012};

        for (unsigned j = 0; j < 11; j++) {
            for (unsigned offset = 0; offset < 3; offset++) {
                uint64_t due;

                timers_open(tick);
                fixture_jump(&f, offset == 0 ? 0 : offset == 1 ? 1 : 5 * tick - 1);
                due = fixture_now(&f) + delays[j] - FIXTURE_START_NS;
                due = (due + tick - 1) / tick * tick + FIXTURE_START_NS;
                which = 2;
                delay = delays[j];
                fixture_send(&f, task, P_CALL, puppet_word(arm));
                if (due == fixture_now(&f)) {
                    fixture_run(&f);
                    cr_assert(TRACE_IS(2), "not fired at once");
                } else {
                    fixture_run(&f);
                    cr_assert(fixture_next_timer(&f) <= due);
                    expect_fire_at(due, 2);
                }
                cr_assert_eq(fixture_counters(&f).timers, 0);
                cr_assert_eq(fixture_counters(&f).timers_fired, 1);
                cr_assert_eq(fixture_next_timer(&f), UINT64_MAX);
                fixture_close(&f);
            }
        }
    }
}

Test(timers, next_timer_is_exact_when_it_is_near)
{
    timers_open(0);
    arm_in(task, 0, 100 * FIXTURE_MS);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 100 * FIXTURE_MS);
    arm_in(task, 1, 7 * FIXTURE_MS);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 7 * FIXTURE_MS);
    which = 1;
    fixture_call(&f, task, P_CALL, cancel);
    cr_assert_eq(fixture_next_timer(&f), FIXTURE_START_NS + 100 * FIXTURE_MS);
    fixture_close(&f);
}

Test(timers, far_ones_come_in_their_day_and_year)
{
    static const uint64_t days[] = {1, 30, 365, 3650, 36500};

    for (unsigned i = 0; i < 5; i++) {
        const uint64_t ns = days[i] * 86400 * FIXTURE_SECOND;

        timers_open(0);
        arm_in(task, 3, ns);
        expect_fire_at(FIXTURE_START_NS + ns, 3);
        /* The same, from timer to timer. */
        arm_in(task, 1, ns);
        fixture_advance(&f, ns - 1);
        cr_assert_eq(trace.count, 0);
        fixture_advance(&f, 1);
        cr_assert(TRACE_IS(1));
        fixture_close(&f);
    }
}

Test(timers, one_that_never_comes_can_be_armed)
{
    timers_open(0);
    arm_in(task, 0, UINT64_MAX);
    arm_in(task, 1, UINT64_MAX / 2);
    arm_in(task, 2, UINT64_MAX - FIXTURE_START_NS);
    fixture_advance(&f, 400 * 86400 * FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(fixture_counters(&f).timers, 3);
    which = 0;
    fixture_call(&f, task, P_CALL, cancel);
    cr_assert_eq(fixture_counters(&f).timers, 2);
    fixture_close(&f);
}

Test(timers, arming_again_replaces)
{
    timers_open(0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 0, 20 * FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).timers, 1);
    fixture_advance(&f, 19 * FIXTURE_MS);
    cr_assert_eq(trace.count, 0);
    arm_in(task, 0, FIXTURE_MS / 2);
    fixture_advance(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(0));
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    fixture_close(&f);
}

Test(timers, a_cancelled_one_does_not_fire)
{
    timers_open(0);
    which = 1;
    cr_assert_eq(fixture_call(&f, task, P_CALL, cancel).status, 0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    arm_in(task, 1, 10 * FIXTURE_MS);
    cr_assert_eq(fixture_call(&f, task, P_CALL, cancel).status, 0);
    fixture_advance(&f, FIXTURE_SECOND);
    cr_assert(TRACE_IS(0));
    fixture_close(&f);
}

static void arm_cancel_arm(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    const uint64_t how = event->arg[1];

    cr_assert_eq(pawl_step_arm(step, 0, 10 * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_cancel(step, 0), 0);
    if (how >= 1)
        cr_assert_eq(pawl_step_arm(step, 0, 20 * FIXTURE_MS), 0);
    if (how >= 2)
        cr_assert_eq(pawl_step_arm(step, 0, 5 * FIXTURE_MS), 0);
    if (how >= 3)
        cr_assert_eq(pawl_step_cancel(step, 0), 0);
    if (how >= 4)
        pawl_step_abort(step, -EIO);
    (void)puppet;
}

Test(timers, the_last_word_of_a_step_counts)
{
    for (unsigned armed = 0; armed < 2; armed++) {
        for (uint64_t how = 0; how < 5; how++) {
            const uint64_t at_ms = how == 1 ? 20 : how == 2 ? 5 : how == 4 && armed ? 3 : 0;

            timers_open(0);
            if (armed)
                arm_in(task, 0, 3 * FIXTURE_MS);
            fixture_ask(&f, task, P_CALL, puppet_word(arm_cancel_arm), how);
            cr_assert_eq(fixture_counters(&f).timers, at_ms != 0);
            if (at_ms != 0)
                expect_fire_at(FIXTURE_START_NS + at_ms * FIXTURE_MS, 0);
            fixture_jump(&f, FIXTURE_SECOND);
            cr_assert_eq(trace.count, 0);
            fixture_close(&f);
        }
    }
}

Test(timers, a_task_can_have_all_of_its_timers_armed)
{
    timers_open(0);
    for (unsigned i = 0; i < 4; i++)
        arm_in(task, i, (4 - i) * FIXTURE_MS);
    fixture_advance(&f, 10 * FIXTURE_MS);
    cr_assert(TRACE_IS(3, 2, 1, 0));
    fixture_close(&f);
}

/* ---- many ---------------------------------------------------------------------------------------- */

#define MANY 20000u
static uint64_t fired_at[MANY];

static void record(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(fired_at[puppet->last], 0, "twice");
    fired_at[puppet->last] = pawl_step_now_ns(step);
    trace_clear();
    (void)event;
}

static void arm_mine(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->last = event->arg[1] & 0xffffffff;
    cr_assert_eq(pawl_step_arm(step, 0, (event->arg[1] >> 32) * FIXTURE_MS), 0);
}

Test(timers, each_of_many_fires_once_and_in_its_tick)
{
    static struct pawl_task tasks[MANY];
    uint64_t random = 12345;
    static uint64_t due[MANY];

    fixture_open(&f, &(struct fixture_options){.shards = 2, .port_capacity = 65536});
    puppet_tick = record;
    memset(fired_at, 0, sizeof(fired_at));
    for (unsigned i = 0; i < MANY; i++) {
        tasks[i] = fixture_puppet(&f, i % 2);
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        due[i] = 1 + (i % 3 == 0 ? (random >> 40) % 100 : (random >> 40) % 100000);
        fixture_post(&f, &(struct pawl_event){.task = tasks[i],
                                              .code = P_CALL,
                                              .arg = {puppet_word(arm_mine), due[i] << 32 | i}});
    }
    fixture_run(&f);
    cr_assert_eq(fixture_counters(&f).timers, MANY);
    fixture_advance(&f, 100001 * FIXTURE_MS);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(fired_at[i], FIXTURE_START_NS + due[i] * FIXTURE_MS);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    cr_assert_eq(fixture_counters(&f).timers_fired, MANY);
    fixture_close(&f);
}

/* After a leap all of them are due at once; those of one task still run in the order of their ticks. */
static void record_order(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    const uint64_t due = event->arg[0] % 2 ? puppet->last : puppet->sum;

    cr_assert(due >= puppet->count >> 8, "a timer of an earlier tick came later");
    puppet->count = due << 8;
    trace_clear();
    (void)step;
}

static void arm_two(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count = 0;
    puppet->last = event->arg[1] % 1000003;
    puppet->sum = event->arg[1] / 1000003 % 1000;
    cr_assert_eq(pawl_step_arm(step, 1, puppet->last * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 0, puppet->sum * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 3, puppet->last * FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_arm(step, 2, puppet->sum * FIXTURE_MS), 0);
}

Test(timers, a_leap_runs_those_of_a_task_in_the_order_of_their_ticks)
{
    uint64_t random = 99;

    fixture_open(&f, &(struct fixture_options){.port_capacity = 65536});
    puppet_tick = record_order;
    for (unsigned i = 0; i < MANY / 4; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        fixture_post(&f, &(struct pawl_event){.task = fixture_puppet(&f, 0),
                                              .code = P_CALL,
                                              .arg = {puppet_word(arm_two), random >> 20}});
    }
    fixture_run(&f);
    fixture_jump(&f, 2000 * FIXTURE_SECOND);
    cr_assert_eq(fixture_counters(&f).timers_fired, MANY);
    fixture_close(&f);
}

/* ---- waiting ------------------------------------------------------------------------------------- */

Test(timers, a_due_timer_is_work_that_must_not_be_slept_over)
{
    timers_open(0);
    arm_in(task, 0, 10 * FIXTURE_MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1);
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 10 * FIXTURE_MS);
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(0));
    cr_assert_eq(pawl_shard_wait_prepare(f.runtime, 0), 1);
    fixture_run(&f);
    fixture_close(&f);
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

Test(timers, restored_ones_are_armed_at_the_first_tick_that_is_not_too_early)
{
    struct shard *shard;
    struct slot *slot;

    fixture_open(&f, NULL);
    shard = f.runtime->shards[0];
    task = fixture_puppet(&f, 0);
    slot = table_slot(&shard->table, id_slot(task));
    for (unsigned timer = 0; timer < 3; timer++)
        cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), timer, 1));
    pawl__timers_restore_forget(&shard->timer_nodes, slot);
    cr_assert_eq(slab_live(&shard->timer_nodes), 0u);
    cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), 1, 2000001));
    cr_assert(pawl__timers_restore_add(&shard->timer_nodes, slot, id_slot(task), 3, 2000000));
    cr_assert(!pawl__timers_restore_arm(shard, slot, 3), "there is no timer 3");
    cr_assert(pawl__timers_restore_arm(shard, slot, 4));
    fixture_jump(&f, 2 * FIXTURE_MS);
    cr_assert(TRACE_IS(3));
    fixture_jump(&f, FIXTURE_MS);
    cr_assert(TRACE_IS(3, 1));
    fixture_close(&f);
}
