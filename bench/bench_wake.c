/*
 * bench_wake.c - from a post on this core to its step on another core, one event at a time.
 *
 *   wake-spinning   the shard looks for work all the time
 *   wake-parked     the shard sleeps, and the post wakes it
 *
 * How the delay is taken. The step writes the event's number into a word that the poster spins on; the
 * poster takes the time before it posts and after it saw the number, on one clock of one core, so
 * nothing rests on how well two cores' clocks agree. From this two things are subtracted, both
 * measured just before: what taking the time costs, and the way back, which is a bare cache line's way
 * from one core to the other: half of a bare round trip, which is the same work in both directions.
 * Half of the whole round trip would be wrong: the way there is a post, the way back is not.
 *
 * Between two events the poster waits, so that the shard has ended its turn, or sleeps. A round's time is
 * the sum of its delays. Contenders that do not measure are paused: a spinning one would take the core.
 */
#include <linux/futex.h>
#include <pawl/pawl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "histogram.h"
#include "peers/workers.h"
#include "rows.h"

/* Longer than any round, and shorter than any gap. */
#define SPIN_LONG_NS  UINT64_C(10000000000)
#define SPIN_SHORT_NS UINT64_C(1000)

enum { STOP = UINT32_MAX, STATES = 2, CLOCK_READS = 1000 };

struct way;

/* One contender. Field owners: S the thread that steps; P the poster; I set when it is opened. */
struct side {
    _Alignas(2 * CACHE_LINE) _Atomic uint32_t seen; /* S: the number of the last event stepped */
    _Alignas(2 * CACHE_LINE) _Atomic uint32_t word; /* P: the last event posted, for bare threads */
    _Alignas(2 * CACHE_LINE) uint32_t number;       /* P: of the last event posted */
    bool parked;                                    /* I */
    const struct way *way;                          /* I */
    struct random random;                           /* P */
    struct histogram histogram;                     /* P */

    struct pawl_machine *machine; /* I */
    struct pawl_runtime *runtime; /* I */
    struct pawl_port *port;       /* I: NULL for the way without one */
    struct pawl_task task;        /* I */
    uint64_t parks;               /* P: the shard's, up to this round */
    struct hand_worker *worker;   /* I */
    pthread_t thread;             /* P: bare threads */
};

/* How a contender is opened, brought to a round and away from it, and posted to. begin and end may be
 * NULL. */
struct way {
    void (*open)(struct side *side);
    void (*close)(struct side *side);
    void (*begin)(struct side *side);
    void (*end)(struct side *side);
    void (*post)(struct side *side, uint32_t number);
    uint64_t (*steps)(struct side *side); /* done since it was opened */
    bool portless;
    enum hand_sleep sleep;
};

/* ---- Pawl ---- */

struct counts {
    uint64_t count;
    uint64_t sum;
};

static void pawl_advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct side *side = pawl_step_user(step);
    struct counts *counts = context;

    counts->count++;
    counts->sum += event->arg[0];
    store_release(&side->seen, (uint32_t)event->arg[0]);
}

static const char *const events[] = {"advance"};
static const struct pawl_state_def states[STATES] = {{.name = "s0"}, {.name = "s1"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = pawl_advance},
    {.from = "s1", .on = "advance", .to = "s0", .action = pawl_advance},
};
static const struct pawl_machine_def definition = {
    .name = "wake",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(struct counts),
};

static void pawl_side_open(struct side *side)
{
    const struct pawl_task_spec spec = {.shard = 0};
    const struct pawl_machine *machines[1];
    struct pawl_options options = PAWL_OPTIONS_INIT;

    bench_need(pawl_machine_compile(&definition, NULL, NULL, &side->machine), "compiling");
    machines[0] = side->machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.spin_ns = side->parked ? SPIN_SHORT_NS : SPIN_LONG_NS;
    options.user = side;
    /* The plan heeds the opening thread's cpus. */
    bench_pin(bench_cpu(1));
    bench_need(pawl_open(&options, &side->runtime), "opening");
    bench_need(pawl_start(side->runtime), "starting");
    bench_pin(bench_cpu(0));
    if (!side->way->portless)
        bench_need(pawl_port_open(side->runtime, NULL, &side->port), "a port");
    bench_need(pawl_task_create(side->runtime, &spec, &side->task), "a task");
    bench_need(pawl_pause(side->runtime), "pausing");
}

static void pawl_side_close(struct side *side)
{
    bench_need(pawl_resume(side->runtime), "resuming");
    if (side->port != NULL)
        bench_need(pawl_port_close(side->port, UINT64_MAX), "closing the port");
    bench_need(pawl_close(side->runtime), "closing");
    pawl_machine_destroy(side->machine);
}

static void pawl_begin(struct side *side)
{
    bench_need(pawl_resume(side->runtime), "resuming");
}

static void pawl_end(struct side *side)
{
    bench_need(pawl_pause(side->runtime), "pausing");
}

static void pawl_post(struct side *side, uint32_t number)
{
    const struct pawl_event event = {.task = side->task, .arg = {number}};

    if (pawl_port_post(side->port, &event, 1) != 1)
        bench_fail("wake: a port did not take its only event");
}

static void pawl_post_portless(struct side *side, uint32_t number)
{
    const struct pawl_event event = {.task = side->task, .arg = {number}};

    if (pawl_task_post(side->runtime, &event, 1) != 1)
        bench_fail("wake: a thread's ring did not take its only event");
}

/* How many of the round's events met a shard that slept, or nearly: its sleeps. */
static void count_parks(struct side *side, uint64_t count, struct bench_sample *sample)
{
    struct pawl_counters counters;

    pawl_runtime_counters(side->runtime, &counters);
    bench_count(sample, "parks", (double)(counters.parks - side->parks) / (double)count);
    side->parks = counters.parks;
}

static uint64_t pawl_steps(struct side *side)
{
    struct counts counts;
    struct pawl_view view = {.context = &counts, .context_capacity = sizeof(counts)};

    bench_need(pawl_task_peek(side->runtime, side->task, &view), "peeking");
    return counts.count;
}

/* ---- Workers by hand ---- */

static void hand_advance(void *user, struct hand_task *task, const struct hand_event *event)
{
    struct side *side = user;

    task->count++;
    task->sum += event->arg[0];
    store_release(&side->seen, (uint32_t)event->arg[0]);
}

static hand_action *const hand_actions[STATES] = {hand_advance, hand_advance};
static const uint64_t hand_targets[STATES] = {1, 0};
static const struct hand_machine hand_machine = {hand_actions, hand_targets};

static void hand_open(struct side *side)
{
    side->worker = hand_worker_start(&(struct hand_worker_options){
        .which = 1,
        .sleep = side->way->sleep,
        .spin_ns = side->parked ? 0 : SPIN_LONG_NS,
        .capacity = 4096,
        .tasks = 1,
        .machine = &hand_machine,
        .user = side,
    });
    hand_worker_hush(side->worker, true);
}

static void hand_close(struct side *side)
{
    hand_worker_stop(side->worker);
}

static void hand_begin(struct side *side)
{
    hand_worker_hush(side->worker, false);
}

static void hand_end(struct side *side)
{
    hand_worker_hush(side->worker, true);
    while (hand_worker_handled(side->worker) != side->number)
        sched_yield();
}

static void hand_post(struct side *side, uint32_t number)
{
    const struct hand_event event = {.arg = {number}};

    if (hand_worker_post(side->worker, &event, 1) != 1)
        bench_fail("wake: a worker's queue did not take its only event");
}

static uint64_t hand_steps(struct side *side)
{
    uint64_t count, sum;

    hand_worker_sums(side->worker, &count, &sum);
    return count;
}

/* ---- Bare threads ---- */

static void *bare_spin(void *argument)
{
    struct side *side = argument;
    uint32_t last = load_relaxed(&side->seen); /* relaxed: nobody else writes it */
    uint32_t word;

    while ((word = load_acquire(&side->word)) != STOP)
        if (word != last)
            store_release(&side->seen, last = word);
    return NULL;
}

static void *bare_sleep(void *argument)
{
    struct side *side = argument;
    uint32_t last = 0;
    uint32_t word;

    while ((word = load_acquire(&side->word)) != STOP) {
        if (word != last)
            store_release(&side->seen, last = word);
        else
            syscall(SYS_futex, &side->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
    }
    return NULL;
}

static void bare_post(struct side *side, uint32_t number)
{
    store_release(&side->word, number);
}

static void futex_post(struct side *side, uint32_t number)
{
    store_release(&side->word, number);
    syscall(SYS_futex, &side->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void bare_begin(struct side *side)
{
    store_release(&side->word, side->number);
    side->thread = bench_thread(1, bare_spin, side);
}

static void bare_end(struct side *side)
{
    store_release(&side->word, STOP);
    pthread_join(side->thread, NULL);
}

static void futex_open(struct side *side)
{
    side->thread = bench_thread(1, bare_sleep, side);
}

static void futex_close(struct side *side)
{
    futex_post(side, STOP);
    pthread_join(side->thread, NULL);
}

static uint64_t bare_steps(struct side *side)
{
    return load_acquire(&side->seen);
}

/* ---- A round ---- */

static void spin_for(uint64_t ns)
{
    const uint64_t until = bench_now_ns() + ns;

    while (bench_now_ns() < until)
        ;
}

/* What there is between two readings of the clock that have nothing between them. */
static uint64_t clock_ns(void)
{
    const uint64_t begin = bench_now_ns();

    for (unsigned i = 1; i < CLOCK_READS; i++)
        bench_keep(bench_now_ns());
    return (bench_now_ns() - begin) / CLOCK_READS;
}

/* Posts the next event and returns how long it took until its step was seen. */
static uint64_t post_and_see(struct side *side)
{
    const bool alone = bench_cpu_count() == 1;
    const uint32_t number = ++side->number;
    const uint64_t begin = bench_now_ns();

    side->way->post(side, number);
    while (load_acquire(&side->seen) != number)
        if (alone)
            sched_yield();
    return bench_now_ns() - begin;
}

static void run(void *state, struct bench_sample *sample)
{
    struct side *side = state;
    const uint64_t count = side->parked ? bench_pick(10, 200, 600) : bench_pick(50, 20000, 60000);
    const uint64_t gap_ns = side->parked ? 300000 : 1000;
    const uint64_t apart_ns = clock_ns() + (uint64_t)(bench_line_ns() / 2);
    uint64_t sum = 0;

    histogram_clear(&side->histogram);
    if (side->way->begin != NULL)
        side->way->begin(side);
    for (unsigned i = 0; i < 3; i++) /* it runs, or sleeps, as it shall from here on */
        post_and_see(side);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t delay;

        /* Not at a steady beat, which could fall in with the shard's. */
        spin_for(gap_ns + random_below(&side->random, gap_ns / 4));
        delay = post_and_see(side);
        delay = delay > apart_ns ? delay - apart_ns : 0;
        histogram_record(&side->histogram, delay);
        sum += delay;
    }
    if (side->way->end != NULL)
        side->way->end(side);
    if (side->way->steps(side) != side->number)
        bench_fail("wake: %u events were posted and %llu stepped", side->number,
                   (unsigned long long)side->way->steps(side));
    sample->seconds = (double)(sum > 0 ? sum : 1) * 1e-9;
    sample->operations = count;
    histogram_count(&side->histogram, sample);
    if (side->runtime != NULL && side->parked)
        count_parks(side, count, sample);
}

/* ---- Contenders ---- */

static void *open_side(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = aligned_alloc(_Alignof(struct side), sizeof(*side));

    if (side == NULL)
        bench_fail("wake: no memory");
    memset(side, 0, sizeof(*side));
    side->parked = strcmp(row->name, "wake-parked") == 0;
    side->way = contender->detail;
    side->random.state = 1;
    side->way->open(side);
    return side;
}

static void close_side(void *state)
{
    struct side *side = state;

    side->way->close(side);
    free(side);
}

static void nothing(struct side *side)
{
    (void)side;
}

static const struct way with_port = {.open = pawl_side_open,
                                     .close = pawl_side_close,
                                     .begin = pawl_begin,
                                     .end = pawl_end,
                                     .post = pawl_post,
                                     .steps = pawl_steps};
static const struct way without_port = {.open = pawl_side_open,
                                        .close = pawl_side_close,
                                        .begin = pawl_begin,
                                        .end = pawl_end,
                                        .post = pawl_post_portless,
                                        .steps = pawl_steps,
                                        .portless = true};
static const struct way by_condvar = {.open = hand_open,
                                      .close = hand_close,
                                      .begin = hand_begin,
                                      .end = hand_end,
                                      .post = hand_post,
                                      .steps = hand_steps,
                                      .sleep = HAND_CONDVAR};
static const struct way by_eventfd = {.open = hand_open,
                                      .close = hand_close,
                                      .begin = hand_begin,
                                      .end = hand_end,
                                      .post = hand_post,
                                      .steps = hand_steps,
                                      .sleep = HAND_EVENTFD};
static const struct way by_line = {.open = nothing,
                                   .close = nothing,
                                   .begin = bare_begin,
                                   .end = bare_end,
                                   .post = bare_post,
                                   .steps = bare_steps};
static const struct way by_futex = {
    .open = futex_open, .close = futex_close, .post = futex_post, .steps = bare_steps};

#define CONTENDER(given, said, how)                                                                \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = open_side, .run = run, .close = close_side,  \
        .detail = (how)                                                                            \
    }

static const struct bench_contender spinning[] = {
    CONTENDER("pawl", "a port to a shard that never sleeps; a step of one task", &with_port),
    CONTENDER("pawl-portless", "pawl_task_post to the same", &without_port),
    CONTENDER("limit", "a word that another thread spins on; no queue, no task", &by_line),
    CONTENDER(
        "mutex",
        "a queue under a mutex whose worker spins on its tail and takes the mutex when there is "
        "an event; a step of one task in a hash table",
        &by_condvar),
};

static const struct bench_contender parked[] = {
    CONTENDER("pawl", "a port to a shard that sleeps; a step of one task", &with_port),
    CONTENDER("pawl-portless", "pawl_task_post to the same", &without_port),
    CONTENDER("limit-futex", "futex wait and wake, no queue, no task: the limit", &by_futex),
    CONTENDER(
        "condvar",
        "a queue under a mutex, its worker sleeps on a condition variable; a step of one task "
        "in a hash table",
        &by_condvar),
    CONTENDER("eventfd", "the same, its worker sleeps in a read of an eventfd", &by_eventfd),
};

void bench_wake_rows(void)
{
    bench_add(&(struct bench_row){
        .name = "wake-spinning",
        .title = "from a post to its step on another core, the shard awake",
        .unit = "event",
        .metric = "p50_ns",
        .flags = BENCH_LESS_IS_BETTER | BENCH_CROSS_CORE,
        .goal = {.value = 400},
        .contenders = spinning,
        .contender_count = ARRAY_LEN(spinning),
    });
    bench_add(&(struct bench_row){
        .name = "wake-parked",
        .title = "from a post to its step on another core, the shard asleep",
        .unit = "event",
        .metric = "p50_ns",
        .flags = BENCH_LESS_IS_BETTER | BENCH_CROSS_CORE,
        .goal = {.value = 0.909, .of = "limit-futex"},
        .contenders = parked,
        .contender_count = ARRAY_LEN(parked),
    });
}
