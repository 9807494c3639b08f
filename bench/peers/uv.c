/*
 * uv.c - timers of libuv: a binary heap linked by pointers, in ms.
 *
 * uv_timer_start both arms and moves. The loop's cached time is renewed once a call.
 */
#include <uv.h>

#include "peers/timers.h"

struct uv_timers {
    uv_loop_t loop;
    uv_timer_t *timers;
    uint32_t count;
    uint32_t *fired;
    uint32_t fired_count;
};

static void on_timer(uv_timer_t *timer)
{
    struct uv_timers *t = uv_loop_get_data(timer->loop);

    t->fired[t->fired_count++] = (uint32_t)(timer - t->timers);
}

static void *timers_open(uint32_t count)
{
    struct uv_timers *t = calloc(1, sizeof(*t));

    if (t == NULL || uv_loop_init(&t->loop) != 0)
        bench_fail("libuv gives no loop");
    uv_loop_set_data(&t->loop, t);
    t->timers = timers_memory(count * sizeof(*t->timers));
    t->count = count;
    for (uint32_t i = 0; i < count; i++)
        uv_timer_init(&t->loop, &t->timers[i]);
    return t;
}

static void timers_close(void *timers)
{
    struct uv_timers *t = timers;

    for (uint32_t i = 0; i < t->count; i++)
        uv_close((uv_handle_t *)&t->timers[i], NULL);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&t->loop) != 0)
        bench_fail("libuv still has timers");
    free(t->timers);
    free(t);
}

/* Arms and moves. */
static void timers_arm(void *timers, const struct timers_load *load)
{
    struct uv_timers *t = timers;

    uv_update_time(&t->loop);
    for (uint32_t i = 0; i < load->count; i++) {
        const uint32_t at = load->at[i];

        uv_timer_start(&t->timers[load->which[i]], on_timer,
                       load->reach == TIMERS_FAR ? TIMERS_FAR_MS + at : at / 1000, 0);
    }
}

static void timers_cancel(void *timers, const uint32_t *which, uint32_t count)
{
    struct uv_timers *t = timers;

    for (uint32_t i = 0; i < count; i++)
        uv_timer_stop(&t->timers[which[i]]);
}

static uint32_t timers_expire(void *timers, uint32_t ms, uint32_t *fired)
{
    struct uv_timers *t = timers;

    (void)ms;
    t->fired = fired;
    t->fired_count = 0;
    uv_run(&t->loop, UV_RUN_NOWAIT);
    return t->fired_count;
}

const struct timers_ops timers_uv = {
    .open = timers_open,
    .close = timers_close,
    .arm = timers_arm,
    .rearm = timers_arm,
    .cancel = timers_cancel,
    .expire = timers_expire,
    .clock_at = 1000,
    .stable = true,
};
