/*
 * event.c - timers of libevent: a binary heap of pointers.
 *
 * All is done in a callback of the loop, as a program would: only there does libevent keep the time it
 * has read, elsewhere each evtimer_add reads the clock. No locks: the library is used without threads.
 */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "peers/timers.h"

struct event_timers {
    struct event_base *base;
    struct event *timers;
    uint32_t count;
    struct event work; /* made active to get into a callback; what it does follows */
    const struct timers_load *load;
    const uint32_t *which;
    uint32_t which_count;
    uint32_t *fired;
    uint32_t fired_count;
};

/* A callback is told its event but nothing of who keeps it: this is the keeper whose turn it is. */
static struct event_timers *turning;

static void on_timer(evutil_socket_t none, short what, void *event)
{
    struct event_timers *t = turning;

    (void)none;
    (void)what;
    t->fired[t->fired_count++] = (uint32_t)((struct event *)event - t->timers);
}

static void on_work(evutil_socket_t none, short what, void *timers)
{
    struct event_timers *t = timers;

    (void)none;
    (void)what;
    for (uint32_t i = 0; i < t->which_count; i++)
        evtimer_del(&t->timers[t->which[i]]);
    if (t->load == NULL)
        return;
    for (uint32_t i = 0; i < t->load->count; i++) {
        const uint32_t at = t->load->at[i];
        struct timeval after;

        if (t->load->reach == TIMERS_FAR)
            after = (struct timeval){(TIMERS_FAR_MS + at) / 1000, at % 1000 * 1000};
        else
            after = (struct timeval){at / 1000000, at % 1000000};
        evtimer_add(&t->timers[t->load->which[i]], &after);
    }
}

static void turn(struct event_timers *t)
{
    turning = t;
    /* ONCE too: NONBLOCK alone turns again while there are callbacks. */
    if (event_base_loop(t->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) < 0)
        bench_fail("libevent's loop does not turn");
}

static void *timers_open(uint32_t count)
{
    struct event_timers *t = calloc(1, sizeof(*t));

    /* libev brings an old libevent's functions along, under the same names. */
    if (strcmp(event_get_version(), LIBEVENT_VERSION) != 0)
        bench_fail("the linker took libev for libevent: libevent must come first");
    if (t == NULL || (t->base = event_base_new()) == NULL)
        bench_fail("libevent gives no base");
    t->timers = timers_memory(count * sizeof(*t->timers));
    t->count = count;
    for (uint32_t i = 0; i < count; i++)
        evtimer_assign(&t->timers[i], t->base, on_timer, &t->timers[i]);
    event_assign(&t->work, t->base, -1, 0, on_work, t);
    return t;
}

static void timers_close(void *timers)
{
    struct event_timers *t = timers;

    for (uint32_t i = 0; i < t->count; i++)
        evtimer_del(&t->timers[i]);
    event_base_free(t->base);
    free(t->timers);
    free(t);
}

/* Arms and moves. */
static void timers_arm(void *timers, const struct timers_load *load)
{
    struct event_timers *t = timers;

    t->load = load;
    t->which_count = 0;
    event_active(&t->work, EV_TIMEOUT, 1);
    turn(t);
}

static void timers_cancel(void *timers, const uint32_t *which, uint32_t count)
{
    struct event_timers *t = timers;

    t->load = NULL;
    t->which = which;
    t->which_count = count;
    event_active(&t->work, EV_TIMEOUT, 1);
    turn(t);
}

static uint32_t timers_expire(void *timers, uint32_t ms, uint32_t *fired)
{
    struct event_timers *t = timers;

    (void)ms;
    t->fired = fired;
    t->fired_count = 0;
    turn(t);
    return t->fired_count;
}

const struct timers_ops timers_event = {
    .open = timers_open,
    .close = timers_close,
    .arm = timers_arm,
    .rearm = timers_arm,
    .cancel = timers_cancel,
    .expire = timers_expire,
    .clock_at = 1,
};
