/*
 * ev.c - timers of libev: a heap with four children a node and the times in the heap.
 *
 * ev_timer_start for arming, ev_timer_again for moving: its manual's advice for a time-out that is
 * put off again and again. The loop's cached time is renewed once a call.
 */
#include <ev.h>

#include "peers/timers.h"

struct ev_timers {
    struct ev_loop *loop;
    ev_timer *timers;
    uint32_t *fired;
    uint32_t fired_count;
};

static void on_timer(struct ev_loop *loop, ev_timer *timer, int what)
{
    struct ev_timers *t = ev_userdata(loop);

    (void)what;
    t->fired[t->fired_count++] = (uint32_t)(timer - t->timers);
}

static void *timers_open(uint32_t count)
{
    struct ev_timers *t = calloc(1, sizeof(*t));

    if (t == NULL || (t->loop = ev_loop_new(EVFLAG_AUTO)) == NULL)
        bench_fail("libev gives no loop");
    ev_set_userdata(t->loop, t);
    t->timers = timers_memory(count * sizeof(*t->timers));
    for (uint32_t i = 0; i < count; i++) {
        ev_timer *timer = &t->timers[i];

        ev_init(timer, on_timer);
    }
    return t;
}

static void timers_close(void *timers)
{
    struct ev_timers *t = timers;

    ev_loop_destroy(t->loop);
    free(t->timers);
    free(t);
}

static ev_tstamp after(const struct timers_load *load, uint32_t i)
{
    return load->reach == TIMERS_FAR ? (TIMERS_FAR_MS + load->at[i]) * 1e-3 : load->at[i] * 1e-6;
}

static void timers_arm(void *timers, const struct timers_load *load)
{
    struct ev_timers *t = timers;

    ev_now_update(t->loop);
    for (uint32_t i = 0; i < load->count; i++) {
        ev_timer *timer = &t->timers[load->which[i]];

        ev_timer_set(timer, after(load, i), 0.);
        ev_timer_start(t->loop, timer);
    }
}

static void timers_rearm(void *timers, const struct timers_load *load)
{
    struct ev_timers *t = timers;

    ev_now_update(t->loop);
    for (uint32_t i = 0; i < load->count; i++) {
        ev_timer *timer = &t->timers[load->which[i]];

        timer->repeat = after(load, i);
        ev_timer_again(t->loop, timer);
    }
}

static void timers_cancel(void *timers, const uint32_t *which, uint32_t count)
{
    struct ev_timers *t = timers;

    for (uint32_t i = 0; i < count; i++)
        ev_timer_stop(t->loop, &t->timers[which[i]]);
}

static uint32_t timers_expire(void *timers, uint32_t ms, uint32_t *fired)
{
    struct ev_timers *t = timers;

    (void)ms;
    t->fired = fired;
    t->fired_count = 0;
    ev_run(t->loop, EVRUN_NOWAIT);
    return t->fired_count;
}

const struct timers_ops timers_ev = {
    .open = timers_open,
    .close = timers_close,
    .arm = timers_arm,
    .rearm = timers_rearm,
    .cancel = timers_cancel,
    .expire = timers_expire,
    .clock_at = 1,
};
