/*
 * bench_delay.c - how long an event waits for its step when many come.
 *
 *   delay-RATE        an open load: events are due at a fixed beat, whether or not the last was handled.
 *                     The delay is counted from when an event was due, not from when the poster came to
 *                     post it, so a stall counts for all that were due meanwhile (no coordinated
 *                     omission).
 *   delay-saturated-N a shard of N tasks whose queue is kept full: the delay from an event's accepted
 *                     post to its step, of at least one event in 64. By Little's law it is the queue's length
 *                     over the rate; so all queues here hold CAPACITY events.
 *
 * Both ends are read from the monotonic clock, which two cores share; it costs some 20 ns a step in the
 * open rows and 1/64 of that in the saturated ones. Contenders that do not measure sleep.
 */
#include <errno.h>
#include <pawl/pawl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "histogram.h"
#include "peers/workers.h"
#include "rows.h"

/* As long as a shard looks for work before it sleeps, by default. */
#define SPIN_NS UINT64_C(20000)

enum {
    CAPACITY = 4096,
    BATCH = 256,
    STAMPED = 64, /* one event in so many carries the time, in saturated rows */
    STATES = 2,
    CREATIONS = 256,
    BARE_BATCH = 128,
};

struct way;
struct bare;

/* One contender. Field owners: S the thread that steps; P the poster; I set when it is opened. */
struct side {
    _Alignas(2 * CACHE_LINE) struct histogram histogram; /* S during a round, P between two */
    _Alignas(2 * CACHE_LINE) const struct way *way;      /* I */
    uint64_t tasks;                                      /* I */
    uint64_t rate;                                       /* I: events a second; 0: saturated */
    uint32_t *targets; /* I: which tasks, in which order: a power of two of them */
    uint64_t targets_mask;
    uint64_t posted; /* P: since it was opened */

    struct pawl_machine *machine; /* I */
    struct pawl_runtime *runtime; /* I */
    struct pawl_port *port;       /* I */
    uint64_t first;               /* I: the id of the first task; a fresh shard's are consecutive */
    struct hand_worker *worker;   /* I */
    struct bare *bare;            /* I */
};

/*
 * How a contender is opened, brought to a round and out of it, and posted to: count events, the targets
 * from `at` on, stamps[i] in the i-th one (0 is none); returns how many were taken, a prefix.
 */
struct way {
    void (*open)(struct side *side);
    void (*close)(struct side *side);
    void (*begin)(struct side *side);
    void (*end)(struct side *side);
    unsigned (*post)(struct side *side, uint64_t at, const uint64_t *stamps, unsigned count);
    uint64_t (*handled)(struct side *side); /* since it was opened */
    enum hand_sleep sleep;
    uint64_t spin_ns;
};

static uint32_t target(const struct side *side, uint64_t at)
{
    return side->targets[at & side->targets_mask];
}

/* What every contender's step does, besides counting in its task. */
static inline void note(struct side *side, uint64_t stamp)
{
    uint64_t now;

    if (stamp == 0)
        return;
    now = bench_now_ns();
    histogram_record(&side->histogram, now > stamp ? now - stamp : 0);
}

/* ---- Pawl ---- */

struct counts {
    uint64_t count;
    uint64_t sum;
};

static void pawl_advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counts *counts = context;

    counts->count++;
    counts->sum += event->arg[0];
    if (event->arg[1] != 0)
        note(pawl_step_user(step), event->arg[1]);
}

static const char *const events[] = {"advance"};
static const struct pawl_state_def states[STATES] = {{.name = "s0"}, {.name = "s1"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = pawl_advance},
    {.from = "s1", .on = "advance", .to = "s0", .action = pawl_advance},
};
static const struct pawl_machine_def definition = {
    .name = "delay",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(struct counts),
};

static void make_tasks(struct side *side)
{
    const struct pawl_task_spec spec = {.shard = 0};
    struct pawl_completion done[CREATIONS];
    uint64_t asked = 0, made = 0;

    while (made < side->tasks) {
        int count;

        while (asked < side->tasks && pawl_port_create(side->port, &spec, 0) == 0)
            asked++;
        count = pawl_port_reap(side->port, done, CREATIONS);
        for (int i = 0; i < count; i++, made++) {
            bench_need(done[i].status, "a task");
            if (made == 0)
                side->first = done[i].task.id;
            else if (done[i].task.id != side->first + made)
                bench_fail("delay: the tasks of a fresh shard are not in a row");
        }
    }
}

static void pawl_side_open(struct side *side)
{
    const struct pawl_port_options size = {.capacity = CAPACITY};
    const struct pawl_machine *machines[1];
    struct pawl_options options = PAWL_OPTIONS_INIT;

    bench_need(pawl_machine_compile(&definition, NULL, NULL, &side->machine), "compiling");
    machines[0] = side->machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.spin_ns = SPIN_NS;
    options.user = side;
    /* The plan heeds the opening thread's cpus. */
    bench_pin(bench_cpu(1));
    bench_need(pawl_open(&options, &side->runtime), "opening");
    bench_need(pawl_start(side->runtime), "starting");
    bench_pin(bench_cpu(0));
    bench_need(pawl_port_open(side->runtime, &size, &side->port), "a port");
    make_tasks(side);
    bench_need(pawl_pause(side->runtime), "pausing");
}

static void pawl_side_close(struct side *side)
{
    bench_need(pawl_resume(side->runtime), "resuming");
    bench_need(pawl_port_close(side->port, UINT64_MAX), "closing the port");
    bench_need(pawl_close(side->runtime), "closing");
    pawl_machine_destroy(side->machine);
}

static void pawl_begin(struct side *side)
{
    bench_need(pawl_resume(side->runtime), "resuming");
}

/* Afterwards what the shard's thread wrote is this one's. */
static void pawl_end(struct side *side)
{
    bench_need(pawl_pause(side->runtime), "pausing");
}

static unsigned pawl_post(struct side *side, uint64_t at, const uint64_t *stamps, unsigned count)
{
    struct pawl_event batch[BATCH];
    int took;

    for (unsigned i = 0; i < count; i++)
        batch[i] = (struct pawl_event){.task = {side->first + target(side, at + i)},
                                       .arg = {1, stamps[i]}};
    took = pawl_port_post(side->port, batch, count);
    if (took == -EAGAIN)
        return 0;
    bench_need(took, "posting");
    return (unsigned)took;
}

static uint64_t pawl_handled(struct side *side)
{
    struct pawl_counters counters;

    pawl_runtime_counters(side->runtime, &counters);
    return counters.transitions;
}

/* ---- Workers by hand ---- */

static void hand_advance(void *user, struct hand_task *task, const struct hand_event *event)
{
    task->count++;
    task->sum += event->arg[0];
    note(user, event->arg[1]);
}

static hand_action *const hand_actions[STATES] = {hand_advance, hand_advance};
static const uint64_t hand_targets[STATES] = {1, 0};
static const struct hand_machine hand_machine = {hand_actions, hand_targets};

static void hand_open(struct side *side)
{
    side->worker = hand_worker_start(&(struct hand_worker_options){
        .which = 1,
        .sleep = side->way->sleep,
        .spin_ns = side->way->spin_ns,
        .capacity = CAPACITY,
        .tasks = side->tasks,
        .machine = &hand_machine,
        .user = side,
    });
    hand_worker_hush(side->worker, true);
}

static void hand_close(struct side *side)
{
    uint64_t count, sum;

    hand_worker_sums(side->worker, &count, &sum);
    if (count != side->posted || sum != side->posted)
        bench_fail("delay: %llu events were posted and %llu counted by tasks",
                   (unsigned long long)side->posted, (unsigned long long)count);
    hand_worker_stop(side->worker);
}

static void hand_begin(struct side *side)
{
    hand_worker_hush(side->worker, false);
}

static void hand_end(struct side *side)
{
    hand_worker_hush(side->worker, true);
}

static unsigned hand_post(struct side *side, uint64_t at, const uint64_t *stamps, unsigned count)
{
    struct hand_event batch[BATCH];

    for (unsigned i = 0; i < count; i++)
        batch[i] = (struct hand_event){.task = target(side, at + i), .arg = {1, stamps[i]}};
    return (unsigned)hand_worker_post(side->worker, batch, count);
}

static uint64_t hand_handled(struct side *side)
{
    return hand_worker_handled(side->worker);
}

/* ---- The limit: a ring, an array of tasks, a thread that spins ---- */

/* Field owners: I set when it is opened; C the thread that steps; P the poster. */
struct bare {
    struct hand_event *events;                      /* I: CAPACITY of them */
    struct hand_task *tasks;                        /* I: found by their position */
    pthread_t thread;                               /* P */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t tail; /* P */
    uint64_t head_seen;                             /* P: what head was when last looked at */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t head; /* C */
    _Alignas(2 * CACHE_LINE) _Atomic uint32_t stop; /* P */
};

static void *bare_work(void *argument)
{
    struct side *side = argument;
    struct bare *bare = side->bare;
    uint64_t head = load_relaxed(&bare->head); /* relaxed: this thread's to write */

    while (load_acquire(&bare->stop) == 0) {
        uint64_t end = load_acquire(&bare->tail);

        /* The poster gets room back as often as from the others. */
        if (end - head > BARE_BATCH)
            end = head + BARE_BATCH;
        for (uint64_t i = head; i < end; i++)
            __builtin_prefetch(&bare->tasks[bare->events[i & (CAPACITY - 1)].task], 1);
        for (uint64_t i = head; i < end; i++) {
            const struct hand_event *event = &bare->events[i & (CAPACITY - 1)];

            hand_step(&hand_machine, side, &bare->tasks[event->task], event);
        }
        if (end != head)
            store_release(&bare->head, end);
        head = end;
    }
    return NULL;
}

static void bare_open(struct side *side)
{
    struct bare *bare = aligned_alloc(_Alignof(struct bare), sizeof(*bare));

    side->bare = bare;
    if (bare == NULL)
        bench_fail("delay: no memory");
    memset(bare, 0, sizeof(*bare));
    bare->events = calloc(CAPACITY, sizeof(*bare->events));
    bare->tasks = aligned_alloc(CACHE_LINE, side->tasks * sizeof(*bare->tasks));
    if (bare->events == NULL || bare->tasks == NULL)
        bench_fail("delay: no memory");
    memset(bare->tasks, 0, side->tasks * sizeof(*bare->tasks));
}

static void bare_close(struct side *side)
{
    free(side->bare->tasks);
    free(side->bare->events);
    free(side->bare);
}

static void bare_begin(struct side *side)
{
    store_release(&side->bare->stop, 0);
    side->bare->thread = bench_thread(1, bare_work, side);
}

static void bare_end(struct side *side)
{
    store_release(&side->bare->stop, 1);
    pthread_join(side->bare->thread, NULL);
}

static unsigned bare_post(struct side *side, uint64_t at, const uint64_t *stamps, unsigned count)
{
    struct bare *bare = side->bare;
    const uint64_t tail = load_relaxed(&bare->tail); /* relaxed: this thread's to write */

    if (tail + count - bare->head_seen > CAPACITY)
        bare->head_seen = load_acquire(&bare->head);
    if (tail + count - bare->head_seen > CAPACITY)
        count = (unsigned)(bare->head_seen + CAPACITY - tail);
    for (unsigned i = 0; i < count; i++)
        bare->events[(tail + i) & (CAPACITY - 1)] =
            (struct hand_event){.task = target(side, at + i), .arg = {1, stamps[i]}};
    if (count > 0)
        store_release(&bare->tail, tail + count);
    return count;
}

static uint64_t bare_handled(struct side *side)
{
    return load_acquire(&side->bare->head);
}

/* ---- Rounds ---- */

static void give_way(void)
{
    if (bench_cpu_count() == 1)
        sched_yield();
    else
        cpu_relax();
}

static void wait_handled(struct side *side)
{
    while (side->way->handled(side) < side->posted)
        give_way();
}

/* One event more, so that the thread that steps is there when the round begins. */
static void wake(struct side *side)
{
    const uint64_t none = 0;

    while (side->way->post(side, side->posted, &none, 1) == 0)
        give_way();
    side->posted++;
    wait_handled(side);
}

static uint64_t due_at(uint64_t begin, uint64_t i, uint64_t rate)
{
    return begin + i * UINT64_C(1000000000) / rate;
}

/* Posts each event when it is due, or as soon after as can be. */
static void post_when_due(struct side *side, uint64_t count)
{
    const uint64_t begin = bench_now_ns() + 10000;
    uint64_t stamps[BATCH];

    for (uint64_t done = 0; done < count;) {
        const uint64_t now = bench_now_ns();
        unsigned due = 0;

        while (due < BATCH && done + due < count && due_at(begin, done + due, side->rate) <= now) {
            stamps[due] = due_at(begin, done + due, side->rate);
            due++;
        }
        if (due > 0) {
            /* What is not taken now is posted later, and its delay runs on. */
            const unsigned took = side->way->post(side, side->posted, stamps, due);

            done += took;
            side->posted += took;
        }
        if (due == 0 || bench_cpu_count() == 1)
            give_way();
    }
}

/* Keeps the queue full for this long; returns how many of the posted events carry the time. */
static uint64_t post_all_the_time(struct side *side, uint64_t for_ns)
{
    const uint64_t until = bench_now_ns() + for_ns;
    uint64_t stamps[BATCH] = {0};
    uint64_t stamped = 0;
    uint64_t now;

    while ((now = bench_now_ns()) < until) {
        /* The time is taken just before the try that succeeds. */
        for (unsigned i = 0; i < BATCH; i += STAMPED)
            stamps[i] = now;
        const unsigned took = side->way->post(side, side->posted, stamps, BATCH);

        side->posted += took;
        stamped += (took + STAMPED - 1) / STAMPED;
        if (took < BATCH)
            give_way();
    }
    return stamped;
}

static void run(void *state, struct bench_sample *sample)
{
    struct side *side = state;
    const uint64_t for_ns = bench_pick(2000000, 50000000, 150000000);
    uint64_t before, begin, stamped;

    histogram_clear(&side->histogram);
    side->way->begin(side);
    wake(side);
    before = side->posted;
    begin = bench_now_ns();
    if (side->rate > 0) {
        stamped = side->rate * for_ns / 1000000000;
        post_when_due(side, stamped);
    } else {
        stamped = post_all_the_time(side, for_ns);
    }
    wait_handled(side);
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    side->way->end(side);
    sample->operations = side->posted - before;
    if (side->way->handled(side) != side->posted || side->histogram.total != stamped)
        bench_fail("delay: %llu posted, %llu handled; %llu stamped, %llu noted",
                   (unsigned long long)side->posted, (unsigned long long)side->way->handled(side),
                   (unsigned long long)stamped, (unsigned long long)side->histogram.total);
    histogram_count(&side->histogram, sample);
}

/* ---- Contenders ---- */

/* Of a row, beside what the row says. */
struct shape {
    const char *name;
    uint64_t tasks;
    uint64_t rate;
};

static const struct shape shapes[] = {
    {"delay-10k", 1000, 10000},         {"delay-100k", 1000, 100000},
    {"delay-1M", 1000, 1000000},        {"delay-saturated-1k", 1000, 0},
    {"delay-saturated-1M", 1000000, 0},
};

static void make_targets(struct side *side)
{
    /* So many that all tasks are used again and again in no order. */
    const uint64_t count = round_up_power_of_two(side->tasks < 65536 ? 65536 : 2 * side->tasks);
    struct random random = {side->tasks};

    side->targets = malloc(count * sizeof(*side->targets));
    side->targets_mask = count - 1;
    if (side->targets == NULL)
        bench_fail("delay: no memory");
    for (uint64_t i = 0; i < count; i++)
        side->targets[i] = (uint32_t)random_below(&random, side->tasks);
}

static void *open_side(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = aligned_alloc(_Alignof(struct side), sizeof(*side));

    if (side == NULL)
        bench_fail("delay: no memory");
    memset(side, 0, sizeof(*side));
    for (unsigned i = 0; i < ARRAY_LEN(shapes); i++)
        if (strcmp(shapes[i].name, row->name) == 0) {
            side->tasks = bench_scale() == BENCH_SMOKE ? 1000 : shapes[i].tasks;
            side->rate = shapes[i].rate;
        }
    side->way = contender->detail;
    make_targets(side);
    side->way->open(side);
    side->posted = side->way->handled(side); /* tasks' first transitions may count */
    return side;
}

static void close_side(void *state)
{
    struct side *side = state;

    side->way->close(side);
    free(side->targets);
    free(side);
}

static const struct way pawl_way = {.open = pawl_side_open,
                                    .close = pawl_side_close,
                                    .begin = pawl_begin,
                                    .end = pawl_end,
                                    .post = pawl_post,
                                    .handled = pawl_handled};
static const struct way bare_way = {.open = bare_open,
                                    .close = bare_close,
                                    .begin = bare_begin,
                                    .end = bare_end,
                                    .post = bare_post,
                                    .handled = bare_handled};

#define HAND_WAY(how, ns)                                                                          \
    {                                                                                              \
        .open = hand_open, .close = hand_close, .begin = hand_begin, .end = hand_end,              \
        .post = hand_post, .handled = hand_handled, .sleep = (how), .spin_ns = (ns)                \
    }
static const struct way condvar_way = HAND_WAY(HAND_CONDVAR, 0);
static const struct way spin_way = HAND_WAY(HAND_CONDVAR, SPIN_NS);
static const struct way eventfd_way = HAND_WAY(HAND_EVENTFD, 0);

#define CONTENDER(given, said, how)                                                                \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = open_side, .run = run, .close = close_side,  \
        .detail = (how)                                                                            \
    }

#define SAID_PAWL                                                                                  \
    "a port of 4096 events to a shard on another core that looks for work for 20 us before it "    \
    "sleeps; every step can be taken back and read from any thread"
#define SAID_LIMIT                                                                                 \
    "a bare ring of 4096 events and a thread that always spins; tasks in an array, no ids, no "    \
    "atomicity, no readers"
#define SAID_HAND                                                                                  \
    "a queue of 4096 events under a mutex, taken in batches of 128; tasks in a hash table of the " \
    "worker's own, no atomicity, no readers; "

static const struct bench_contender open_load[] = {
    CONTENDER("pawl", SAID_PAWL, &pawl_way),
    CONTENDER("limit", SAID_LIMIT, &bare_way),
    CONTENDER("condvar-spin", SAID_HAND "spins for 20 us, then sleeps on a condition variable",
              &spin_way),
    CONTENDER("condvar", SAID_HAND "sleeps on a condition variable at once", &condvar_way),
    CONTENDER("eventfd", SAID_HAND "sleeps in a read of an eventfd at once", &eventfd_way),
};

static const struct bench_contender saturated[] = {
    CONTENDER("pawl", SAID_PAWL, &pawl_way),
    CONTENDER("limit", SAID_LIMIT, &bare_way),
    CONTENDER("condvar-spin", SAID_HAND "it never has to sleep", &spin_way),
};

void bench_delay_rows(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(shapes); i++) {
        const bool full = shapes[i].rate == 0;

        bench_add(&(struct bench_row){
            .name = shapes[i].name,
            .title = full ? bench_text("what an event waits in a full queue, %llu tasks",
                                       (unsigned long long)shapes[i].tasks)
                          : bench_text("from when an event is due to its step, %llu a second",
                                       (unsigned long long)shapes[i].rate),
            .group = full ? "delay-saturated" : "delay-unsaturated",
            .unit = "event",
            .metric = "p99_ns",
            .size = full ? shapes[i].tasks : shapes[i].rate,
            .flags = BENCH_LESS_IS_BETTER | BENCH_CROSS_CORE,
            .contenders = full ? saturated : open_load,
            .contender_count = full ? ARRAY_LEN(saturated) : ARRAY_LEN(open_load),
        });
    }
}
