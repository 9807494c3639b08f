/*
 * timers_fixture.h - for tests: a puppet that arms and cancels its timers as it is told.
 */
#ifndef PAWL_TESTS_SUPPORT_TIMERS_FIXTURE_H
#define PAWL_TESTS_SUPPORT_TIMERS_FIXTURE_H

#include "support/fixture.h"

static struct fixture f;
static struct pawl_task task;
static unsigned which; /* the timer that handlers use */
static uint64_t delay;

static inline void arm(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, which, delay), 0);
    (void)puppet, (void)event;
}

static inline void cancel(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_cancel(step, which), 0);
    (void)puppet, (void)event;
}

static inline void arm_in(struct pawl_task whom, unsigned timer, uint64_t delay_ns)
{
    which = timer;
    delay = delay_ns;
    cr_assert_eq(fixture_call(&f, whom, P_CALL, arm).status, 0);
}

static inline void timers_open(uint64_t tick_ns)
{
    fixture_open(&f, &(struct fixture_options){.tick_ns = tick_ns});
    task = fixture_puppet(&f, 0);
}

/* Lets time pass in one leap to just before the instant, then to it: it fires there and only there. */
static inline void expect_fire_at(uint64_t at_ns, unsigned timer)
{
    fixture_jump(&f, at_ns - 1 - fixture_now(&f));
    cr_assert_eq(trace.count, 0, "early");
    fixture_jump(&f, 1);
    cr_assert(TRACE_IS(timer), "late");
    trace_clear();
}

#endif /* PAWL_TESTS_SUPPORT_TIMERS_FIXTURE_H */
