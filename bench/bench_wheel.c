/*
 * bench_wheel.c - timers: arming, cancelling, moving and firing them with very many armed.
 *
 * The load. N timers are spread evenly over 60 s, at ticks of 1 ms. In address order timer i of the
 * array is the i-th to expire, so a timer's neighbours in every list are its neighbours in memory. In
 * random order it has nothing to do with its place in memory when a timer expires, and timers are
 * taken up in an order that fits neither.
 *
 * A round works on slices of at most N / 16 timers, all others staying armed, so the figures are those
 * at N armed timers and a round of a slow contender need not do all of them. Each round goes on
 * with the next slice. What brings a slice back to where the next round needs it is not timed.
 *
 * Only the row of random expiries takes all N at once: they are armed, and then time goes on until the
 * last has fired.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "host/slab.h"
#include "peers/have.h"
#include "peers/timers.h"
#include "rows.h"
#include "time/wheel.h"

enum {
    SLICES_MIN = 16,
    SLICE_MAX = 62500,
    LOOP_SLICE = 250000,   /* of 10 M */
    ADVANCE_BUDGET = 4096, /* as the runtime's turn gives it */
    SPARE_US = 2000,       /* a clock of 1 ms is as far behind, and rounds up */
    SPAN_MS_MAX = 60000,
};

/* ---- Pawl's wheel ---- */

struct wheel_timers {
    struct wheel wheel;
    struct slab nodes;
    uint64_t now;
};

static void *wheel_open(uint32_t count)
{
    const struct slab_options options = {
        .object_size = sizeof(struct timer_node), .objects_max = count, .huge = true};
    struct wheel_timers *t = calloc(1, sizeof(*t));

    if (t == NULL || slab_init(&t->nodes, &options) != 0)
        bench_fail("no memory for a wheel");
    pawl__wheel_init(&t->wheel, &t->nodes, 0);
    for (uint32_t i = 0; i < count; i++) {
        if (slab_alloc(&t->nodes) != i + 1)
            bench_fail("the slab has other numbers for timers than the bench");
        timer_node_init(wheel_node(&t->wheel, i + 1));
    }
    return t;
}

static void wheel_close(void *timers)
{
    struct wheel_timers *t = timers;

    pawl__wheel_fini(&t->wheel);
    slab_fini(&t->nodes);
    free(t);
}

/* Arms and moves. */
static void wheel_arm_load(void *timers, const struct timers_load *load)
{
    struct wheel_timers *t = timers;

    for (uint32_t i = 0; i < load->count; i++)
        wheel_arm(&t->wheel, load->which[i] + 1, t->now + load->at[i]);
}

static void wheel_cancel_load(void *timers, const uint32_t *which, uint32_t count)
{
    struct wheel_timers *t = timers;

    for (uint32_t i = 0; i < count; i++)
        wheel_cancel(&t->wheel, which[i] + 1);
}

static uint32_t wheel_expire(void *timers, uint32_t ms, uint32_t *fired)
{
    struct wheel_timers *t = timers;
    const uint64_t end = t->now + ms;
    uint32_t count = 0;

    while (t->now < end) {
        uint32_t node;
        bool all;

        t->now++;
        do {
            all = pawl__wheel_advance(&t->wheel, t->now, ADVANCE_BUDGET);
            while ((node = wheel_due_pop(&t->wheel)) != 0)
                fired[count++] = node - 1;
        } while (!all);
    }
    return count;
}

static const struct timers_ops timers_wheel = {
    .open = wheel_open,
    .close = wheel_close,
    .arm = wheel_arm_load,
    .rearm = wheel_arm_load,
    .cancel = wheel_cancel_load,
    .expire = wheel_expire,
    .clock_at = 1,
    .by_hand = true,
    .stable = true,
};

/* ---- The limit: a wheel that is nothing but lists ---- */

enum { BARE_BITS = 8, BARE_BUCKETS = 1 << BARE_BITS, BARE_LEVELS = 4 };

/* 16 bytes, so that none lies across two lines. The lists are rings through their buckets' nodes. */
struct bare_node {
    uint32_t next;
    uint32_t prev;
    uint32_t expiry;
    uint32_t unused;
};

struct bare_timers {
    struct bare_node *nodes; /* the timers', then the buckets' */
    uint32_t count;
    uint32_t now; /* a round of 2^32 ms is longer than any bench */
};

static void bare_link(struct bare_timers *t, uint32_t index)
{
    struct bare_node *nodes = t->nodes;
    const uint32_t expiry = nodes[index].expiry;
    const uint32_t level = (31u - (uint32_t)__builtin_clz((expiry ^ t->now) | 1)) / BARE_BITS;
    const uint32_t digit = expiry >> (level * BARE_BITS) & (BARE_BUCKETS - 1);
    const uint32_t bucket = t->count + level * BARE_BUCKETS + digit;
    const uint32_t tail = nodes[bucket].prev;

    nodes[index].next = bucket;
    nodes[index].prev = tail;
    nodes[tail].next = index;
    nodes[bucket].prev = index;
}

static void bare_unlink(struct bare_timers *t, uint32_t index)
{
    const struct bare_node *node = &t->nodes[index];

    t->nodes[node->next].prev = node->prev;
    t->nodes[node->prev].next = node->next;
}

static void *bare_open(uint32_t count)
{
    const uint32_t all = count + BARE_LEVELS * BARE_BUCKETS;
    struct bare_timers *t = calloc(1, sizeof(*t));

    if (t == NULL)
        bench_fail("no memory for a wheel");
    t->nodes = timers_memory(all * sizeof(*t->nodes));
    t->count = count;
    /* A timer that is not armed is a ring of its own, so cancelling it changes nothing. */
    for (uint32_t i = 0; i < all; i++)
        t->nodes[i] = (struct bare_node){.next = i, .prev = i};
    return t;
}

static void bare_close(void *timers)
{
    struct bare_timers *t = timers;

    free(t->nodes);
    free(t);
}

static void bare_arm(void *timers, const struct timers_load *load)
{
    struct bare_timers *t = timers;

    for (uint32_t i = 0; i < load->count; i++) {
        t->nodes[load->which[i]].expiry = t->now + load->at[i];
        bare_link(t, load->which[i]);
    }
}

static void bare_rearm(void *timers, const struct timers_load *load)
{
    struct bare_timers *t = timers;

    for (uint32_t i = 0; i < load->count; i++) {
        bare_unlink(t, load->which[i]);
        t->nodes[load->which[i]].expiry = t->now + load->at[i];
        bare_link(t, load->which[i]);
    }
}

static void bare_cancel(void *timers, const uint32_t *which, uint32_t count)
{
    struct bare_timers *t = timers;

    for (uint32_t i = 0; i < count; i++) {
        bare_unlink(t, which[i]);
        t->nodes[which[i]].next = t->nodes[which[i]].prev = which[i];
    }
}

/* Takes a bucket's list away; what is left of it ends at `bucket`. Returns its first node. */
static uint32_t bare_take(struct bare_timers *t, uint32_t bucket)
{
    const uint32_t first = t->nodes[bucket].next;

    t->nodes[bucket].next = t->nodes[bucket].prev = bucket;
    return first;
}

static uint32_t bare_expire(void *timers, uint32_t ms, uint32_t *fired)
{
    struct bare_timers *t = timers;
    const uint32_t end = t->now + ms;
    uint32_t count = 0;

    while (t->now < end) {
        uint32_t bucket, next;

        t->now++;
        for (uint32_t level = (uint32_t)__builtin_ctz(t->now) / BARE_BITS; level > 0; level--) {
            bucket = t->count + level * BARE_BUCKETS +
                     (t->now >> (level * BARE_BITS) & (BARE_BUCKETS - 1));
            for (uint32_t at = bare_take(t, bucket); at != bucket; at = next) {
                next = t->nodes[at].next;
                bare_link(t, at);
            }
        }
        bucket = t->count + (t->now & (BARE_BUCKETS - 1));
        for (uint32_t at = bare_take(t, bucket); at != bucket; at = next) {
            next = t->nodes[at].next;
            t->nodes[at].next = t->nodes[at].prev = at;
            fired[count++] = at;
        }
    }
    return count;
}

static const struct timers_ops timers_bare = {
    .open = bare_open,
    .close = bare_close,
    .arm = bare_arm,
    .rearm = bare_rearm,
    .cancel = bare_cancel,
    .expire = bare_expire,
    .clock_at = 1,
    .by_hand = true,
    .stable = true,
};

/* ---- The work ---- */

enum work { WORK_ARM, WORK_CANCEL, WORK_REARM, WORK_EXPIRE, WORK_ARM_EXPIRE };

/* What a row's contenders know of the row, and of themselves. */
struct job {
    enum work work;
    bool random;
    const struct timers_ops *ops;
};

struct bench_timers {
    struct job job;
    void *timers;
    uint32_t count;
    uint32_t span_ms; /* they are spread over */
    uint32_t slice;
    uint32_t slice_ms; /* what the timers of a slice take to expire, in address order */
    uint32_t slices;   /* a round */
    uint32_t cursor;   /* where the next slice begins */
    uint32_t *which;   /* the timers in the order in which they are armed */
    uint32_t *place;   /* of a timer in that order */
    uint32_t *at;      /* when each expires, in that order */
    uint32_t *at_far; /* REARM: the other time of each; EXPIRE: a slice's, when it has just fired */
    uint32_t *fired;
    uint8_t *seen;
    bool
        moved; /* REARM: the timers before the cursor are at at_far, the others at at; or reverse */
};

static uint32_t *array(uint64_t count)
{
    uint32_t *memory = calloc(count, sizeof(uint32_t));

    if (memory == NULL)
        bench_fail("no memory for %llu timers", (unsigned long long)count);
    return memory;
}

/* A part of the load, as it is to be armed. */
static struct timers_load part(const struct bench_timers *b, uint32_t first, const uint32_t *at,
                               uint32_t count, enum timers_reach reach)
{
    return (struct timers_load){&b->which[first], at, count, reach};
}

static void arm(struct bench_timers *b, uint32_t first, uint32_t count)
{
    const struct timers_load load = part(b, first, &b->at[first], count, TIMERS_FAR);

    b->job.ops->arm(b->timers, &load);
}

/* Orders, times: the same for all contenders of a row. */
static void draw(struct bench_timers *b)
{
    struct random random = {b->count};

    for (uint32_t i = 0; i < b->count; i++) {
        b->which[i] = i;
        b->at[i] = 1 + (uint32_t)(b->job.random ? random_below(&random, b->span_ms)
                                                : (uint64_t)i * b->span_ms / b->count);
    }
    for (uint32_t i = b->count; b->job.random && i > 1; i--) {
        const uint32_t other = (uint32_t)random_below(&random, i);
        const uint32_t swapped = b->which[i - 1];

        b->which[i - 1] = b->which[other];
        b->which[other] = swapped;
    }
    for (uint32_t i = 0; i < b->count; i++)
        b->place[b->which[i]] = i;
    if (b->job.work == WORK_REARM)
        for (uint32_t i = 0; i < b->count; i++)
            b->at_far[i] = 1 + (b->at[i] - 1 + b->span_ms / 2) % b->span_ms;
    if (b->job.work == WORK_EXPIRE)
        for (uint32_t i = 0; i < b->slice; i++)
            b->at_far[i] = b->at[i] + b->span_ms - b->slice_ms;
}

static void *timers_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct job *job = contender->detail;
    struct bench_timers *b = calloc(1, sizeof(*b));

    if (b == NULL)
        bench_fail("no memory for a bench");
    b->job = *job;
    b->count = (uint32_t)bench_pick(4000, row->size, row->size);
    b->span_ms = (uint32_t)bench_pick(SPAN_MS_MAX / 10, SPAN_MS_MAX, SPAN_MS_MAX);
    b->slice = b->count / SLICES_MIN < SLICE_MAX ? b->count / SLICES_MIN : SLICE_MAX;
    b->slices = job->ops->by_hand ? (uint32_t)bench_pick(16, 16, 64) : 1;
    if (job->work == WORK_ARM_EXPIRE) {
        b->slices = 1;
        b->slice = b->count;
        /* An event loop's round of all takes seconds. */
        if (!job->ops->by_hand && row->size > 1000000)
            b->slice = (uint32_t)bench_pick(b->count, LOOP_SLICE, LOOP_SLICE);
        else if (!job->ops->by_hand)
            b->slice = b->count / (uint32_t)bench_pick(1, 8, 1);
    }
    b->slice_ms = (uint32_t)((uint64_t)b->slice * b->span_ms / b->count);
    b->which = array(b->count);
    b->place = array(b->count);
    b->at = array(b->count);
    b->at_far = array(b->count);
    b->fired = array(b->count);
    b->seen = calloc(b->count, 1);
    draw(b);
    b->timers = job->ops->open(b->count);
    if (b->slice < b->count)
        arm(b, 0, b->count);
    return b;
}

static void timers_close(void *state)
{
    struct bench_timers *b = state;

    b->job.ops->close(b->timers);
    free(b->which);
    free(b->place);
    free(b->at);
    free(b->at_far);
    free(b->fired);
    free(b->seen);
    free(b);
}

/* The slice from `first` on must have fired, each timer once, in the order that the keeper promises. */
static void check_fired(struct bench_timers *b, uint32_t first, uint32_t count)
{
    const uint32_t clock = b->job.ops->clock_at;
    uint32_t last = 0;

    if (count != b->slice)
        bench_fail("%u of %u timers fired", count, b->slice);
    memset(&b->seen[first], 0, b->slice);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t place = b->place[b->fired[i]];

        if (place < first || place >= first + b->slice || b->seen[place]++ != 0)
            bench_fail("timer %u was not to fire, or not again", b->fired[i]);
        if (i > 0 &&
            (b->at[place] / clock < b->at[last] / clock ||
             (b->job.ops->stable && b->at[place] / clock == b->at[last] / clock && place < last)))
            bench_fail("timer %u fired late", b->fired[i]);
        last = place;
    }
}

/* Arms a slice where one turn of an event loop can fire it. */
static uint64_t arm_near(struct bench_timers *b, uint32_t first)
{
    const struct timers_load load = part(b, first, &b->at[first], b->slice, TIMERS_NEAR);
    uint64_t begin;

    b->job.ops->cancel(b->timers, &b->which[first], b->slice);
    begin = bench_now_ns();
    b->job.ops->arm(b->timers, &load);
    return bench_now_ns() - begin;
}

static void wait_due(const struct bench_timers *b)
{
    const struct timespec time = {.tv_nsec = (long)(b->span_ms + SPARE_US) * 1000};

    nanosleep(&time, NULL);
}

/* The time that a slice takes to fire; in address order, by hand, the clock is where it begins. */
static uint64_t expire(struct bench_timers *b, uint32_t first)
{
    const uint64_t begin = bench_now_ns();
    const uint32_t count = b->job.ops->expire(b->timers, b->slice_ms, b->fired);
    const uint64_t ns = bench_now_ns() - begin;

    check_fired(b, first, count);
    return ns;
}

static uint64_t work_slice(struct bench_timers *b, uint32_t first)
{
    const struct timers_ops *ops = b->job.ops;
    const uint32_t *const which = &b->which[first];
    struct timers_load load = part(b, first, &b->at[first], b->slice, TIMERS_FAR);
    uint64_t begin, ns = 0;

    switch (b->job.work) {
    case WORK_ARM:
        ops->cancel(b->timers, which, b->slice);
        begin = bench_now_ns();
        ops->arm(b->timers, &load);
        ns = bench_now_ns() - begin;
        break;
    case WORK_CANCEL:
        begin = bench_now_ns();
        ops->cancel(b->timers, which, b->slice);
        ns = bench_now_ns() - begin;
        ops->arm(b->timers, &load);
        break;
    case WORK_REARM:
        load.at = b->moved ? &b->at[first] : &b->at_far[first];
        begin = bench_now_ns();
        ops->rearm(b->timers, &load);
        ns = bench_now_ns() - begin;
        break;
    case WORK_EXPIRE:
        if (!ops->by_hand) {
            arm_near(b, first);
            wait_due(b);
        }
        ns = expire(b, first);
        load.at = ops->by_hand ? b->at_far : load.at;
        ops->arm(b->timers, &load);
        break;
    case WORK_ARM_EXPIRE:
        ns = arm_near(b, first);
        if (!ops->by_hand)
            wait_due(b);
        ns += expire(b, first);
        if (b->slice < b->count)
            ops->arm(b->timers, &load);
        break;
    }
    return ns;
}

static void timers_run(void *state, struct bench_sample *sample)
{
    struct bench_timers *b = state;
    uint64_t ns = 0;

    for (uint32_t i = 0; i < b->slices; i++) {
        ns += work_slice(b, b->cursor);
        b->cursor += b->slice;
        if (b->cursor >= b->count) {
            b->cursor = 0;
            b->moved = !b->moved;
        }
    }
    sample->seconds = (double)ns * 1e-9;
    sample->operations = (uint64_t)b->slice * b->slices;
}

/* ---- Rows ---- */

struct row_kind {
    const char *name;
    const char *title;
    const char *order; /* what comes in which order, for semantics */
    enum work work;
    bool random;
    double goal;
};

static const struct row_kind kinds[] = {
    {.name = "wheel-arm",
     .title = "arming a timer, address order",
     .order = "armed in address order, each to expire after the one before",
     .work = WORK_ARM,
     .goal = 7},
    {.name = "wheel-arm-random",
     .title = "arming a timer, random order",
     .order = "armed in random address order, to expire at random",
     .work = WORK_ARM,
     .random = true},
    {.name = "wheel-cancel",
     .title = "cancelling a timer, address order",
     .order = "cancelled in address order, which is that of arming and of expiring",
     .work = WORK_CANCEL,
     .goal = 4},
    {.name = "wheel-cancel-random",
     .title = "cancelling a timer, random order",
     .order =
         "cancelled in random address order, expiring at random: neighbours in a list are none "
         "in memory",
     .work = WORK_CANCEL,
     .random = true},
    {.name = "wheel-rearm",
     .title = "moving an armed timer by 30 s, address order",
     .order = "moved in address order, which is that of expiring, by half of the 60 s",
     .work = WORK_REARM},
    {.name = "wheel-expire",
     .title = "firing a timer, address order",
     .order = "expiring in address order, the order in which they were armed",
     .work = WORK_EXPIRE,
     .goal = 12},
    {.name = "wheel-arm-expire-random",
     .title = "arming and firing a timer, random order",
     .order = "armed in random address order, to expire at random: all are armed, then all fire; "
              "the sum of both",
     .work = WORK_ARM_EXPIRE,
     .random = true},
};

struct keeper {
    const char *name;
    const char *what;
    const char *firing; /* how the rows in which timers fire are done */
    const char *absent;
    const struct timers_ops *ops;
};

#define FIRING_BY_HAND "time is moved on by hand, 1 ms a step, until all have fired"
#define FIRING_LOOP                                                                                \
    "real time: they are armed over 60 ms from now instead of 60 s, waited for, and fired by one " \
    "turn of the loop with a callback each"

static const struct keeper keepers[] = {
    {.name = "pawl",
     .what = "the runtime's wheel, 32 bytes a timer; ticks of 1 ms; timers fire in the order of "
             "their ticks, in a tick in that of arming",
     .firing = FIRING_BY_HAND ", 4096 nodes an advance",
     .ops = &timers_wheel},
    {.name = "limit",
     .what =
         "4 levels of 256 lists through an array, 16 bytes a timer; ticks of 1 ms; no checks, no "
         "counts, no bitmaps, no budget; the same order",
     .firing = FIRING_BY_HAND,
     .ops = &timers_bare},
    {.name = "libev",
     .what = "a 4-ary heap; double seconds; ev_timer_start, _again, _stop; ties in no order",
     .firing = FIRING_LOOP,
     .absent = EV_ABSENT,
     .ops = IF_EV(&timers_ev)},
    {.name = "libuv",
     .what = "a binary heap linked by pointers; ms; uv_timer_start, _stop; ties in order",
     .firing = FIRING_LOOP,
     .absent = UV_ABSENT,
     .ops = IF_UV(&timers_uv)},
    {.name = "libevent",
     .what = "a binary heap; us; evtimer_add, _del from within a callback, where the time is "
             "cached; ties in no order",
     .firing = FIRING_LOOP,
     .absent = EVENT_ABSENT,
     .ops = IF_EVENT(&timers_event)},
};

enum { KEEPERS = sizeof(keepers) / sizeof(keepers[0]) };

/* What a round times, in words. */
static const char *share(const struct row_kind *kind, const struct keeper *keeper)
{
    if (kind->work != WORK_ARM_EXPIRE)
        return "a sixteenth or less of them at a time, the others staying armed";
    if (keeper->ops == NULL || keeper->ops->by_hand)
        return "all at once";
    return "all at once (in quick an eighth, of 10 M a fortieth, the others staying armed)";
}

static void add_row(const struct row_kind *kind, const char *size_name, uint64_t size)
{
    struct bench_contender *contenders = calloc(KEEPERS, sizeof(*contenders));
    struct job *jobs = calloc(KEEPERS, sizeof(*jobs));
    const bool fires = kind->work == WORK_EXPIRE || kind->work == WORK_ARM_EXPIRE;

    if (contenders == NULL || jobs == NULL)
        bench_fail("no memory for rows");
    for (uint32_t i = 0; i < KEEPERS; i++) {
        const struct keeper *keeper = &keepers[i];

        jobs[i] = (struct job){kind->work, kind->random, keeper->ops};
        contenders[i] = (struct bench_contender){
            .name = keeper->name,
            .semantics =
                bench_text("%s; %s, %s%s%s", keeper->what, kind->order, share(kind, keeper),
                           fires ? "; " : "", fires ? keeper->firing : ""),
            .absent = keeper->absent,
            .open = timers_open,
            .run = timers_run,
            .close = timers_close,
            .detail = &jobs[i],
        };
    }
    bench_add(&(struct bench_row){
        .name = bench_text("%s-%s", kind->name, size_name),
        .title = bench_text("%s, %s armed over 60 s", kind->title, size_name),
        .group = kind->name,
        .unit = "timer",
        .metric = "ns",
        .size = size,
        .flags = BENCH_LESS_IS_BETTER | (size > 1000000 ? BENCH_FULL_ONLY : 0),
        .goal = {size == 1000000 ? kind->goal : 0, NULL},
        .contenders = contenders,
        .contender_count = KEEPERS,
    });
}

void bench_wheel_rows(void)
{
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        add_row(&kinds[i], "1M", 1000000);
        add_row(&kinds[i], "10M", 10000000);
    }
}
