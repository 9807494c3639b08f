/*
 * bench_steps.c - steps of tasks chosen at random, from a thousand of them to a hundred million: the
 * suite's main rows.
 *
 * Work: a life cycle of five states and one kind of event; a task keeps two counters. Targets are made
 * outside the measured part. Three groups of rows, each for several numbers of tasks:
 *
 *   steps      one shard on one core. "pawl" is what the shard spends, the turns alone, and
 *              "pawl-self" also what posting costs on the same core.
 *   posted     the same shard on a core of its own, events posted from another through a port.
 *   lifecycle  against actor systems and what a host would write by hand, each on one core or two.
 *
 * The limit is a bare loop over an array: the same lines of memory, a call by pointer, and no runtime,
 * no ids, no readers, no atomic steps. In the row posted it has a bare ring before it.
 */
#include <pawl/pawl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "peers/actors.h"
#include "rows.h"

enum { STATES = 5, BATCH = 8192, PREFETCH = 48 };

struct counts {
    uint64_t events;
    uint64_t sum;
};

/* ---- The machine ---- */

static void advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counts *counts = context;

    (void)step;
    counts->events++;
    counts->sum += event->arg[0];
}

static const char *const events[] = {"advance"};
static const struct pawl_state_def states[STATES] = {
    {.name = "s0"}, {.name = "s1"}, {.name = "s2"}, {.name = "s3"}, {.name = "s4"},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = advance},
    {.from = "s1", .on = "advance", .to = "s2", .action = advance},
    {.from = "s2", .on = "advance", .to = "s3", .action = advance},
    {.from = "s3", .on = "advance", .to = "s4", .action = advance},
    {.from = "s4", .on = "advance", .to = "s0", .action = advance},
};
static const struct pawl_machine_def life_cycle = {
    .name = "life-cycle",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(struct counts),
};

/* Steps of a round: fewer where a step costs a miss of the memory. */
static unsigned batches_of(uint64_t tasks)
{
    return (unsigned)bench_pick(2, tasks > 100000 ? 400 : 800, tasks > 100000 ? 1600 : 3200);
}

/* ---- Pawl ---- */

enum way { TURNS, SELF, THREAD };

struct pawl_side {
    enum way way;
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    uint64_t first; /* the id of the first task; in a fresh shard ids are consecutive */
    uint64_t last;
    struct random random;
    uint64_t count;
    uint64_t rss_before;
    struct pawl_event batch[BATCH];
};

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("steps: %s: %s", what, pawl_strerror(error));
}

static void turn_until_idle(struct pawl_side *side)
{
    if (side->way != THREAD)
        while (pawl_turn(side->runtime, 0) > 0)
            ;
}

static uint64_t reap(struct pawl_side *side, uint64_t got)
{
    struct pawl_completion done[256];
    int reaped;

    turn_until_idle(side);
    while ((reaped = pawl_port_reap(side->port, done, 256)) > 0)
        for (int i = 0; i < reaped; i++, got++) {
            if (got == 0)
                side->first = side->last = done[i].task.id;
            else if (done[i].task.id != ++side->last)
                bench_fail("steps: ids of a fresh shard are not consecutive");
        }
    return got;
}

static void *pawl_side_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct pawl_side *side = calloc(1, sizeof(*side));
    const struct pawl_port_options wide = {.capacity = BATCH};
    const struct pawl_task_spec spec = {.shard = 0};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    uint64_t made = 0, got = 0;

    check("memory", side == NULL ? -ENOMEM : 0);
    side->way = *(const enum way *)contender->detail;
    side->count = row->size;
    side->random = (struct random){row->size};
    side->rss_before = bench_rss();
    check("compiling", pawl_machine_compile(&life_cycle, NULL, NULL, &side->machine));
    options.machines = (const struct pawl_machine *const[]){side->machine};
    options.machine_count = 1;
    options.shards = 1;
    options.drive = side->way == THREAD ? PAWL_DRIVE_THREADS : PAWL_DRIVE_HOST;
    /*
     * The plan heeds the affinity of the thread that opens, and puts the only shard on the first cpu
     * of it: so it is shown the second alone, and the poster stays on the first.
     */
    if (side->way == THREAD)
        bench_pin(bench_cpu(1));
    check("opening", pawl_open(&options, &side->runtime));
    check("starting", pawl_start(side->runtime));
    bench_pin(bench_cpu(0));
    check("port", pawl_port_open(side->runtime, &wide, &side->port));
    while (got < side->count) {
        while (made < side->count && pawl_port_create(side->port, &spec, (uint32_t)made) == 0)
            made++;
        got = reap(side, got);
    }
    return side;
}

static void pawl_side_close(void *state)
{
    struct pawl_side *side = state;

    while (pawl_port_close(side->port, UINT64_MAX) == -EAGAIN)
        turn_until_idle(side);
    pawl_close(side->runtime);
    pawl_machine_destroy(side->machine);
    free(side);
}

static void fill(struct pawl_side *side)
{
    for (unsigned i = 0; i < BATCH; i++)
        side->batch[i] = (struct pawl_event){
            .task = {side->first + random_below(&side->random, side->count)}, .arg = {1}};
}

static uint64_t handled_by(const struct pawl_side *side)
{
    struct pawl_counters counters;

    pawl_shard_counters(side->runtime, 0, &counters);
    return counters.transitions;
}

static void count_memory(const struct pawl_side *side, struct bench_sample *sample)
{
    struct pawl_counters counters;

    pawl_shard_counters(side->runtime, 0, &counters);
    bench_count(sample, "bytes_per_task", (double)counters.memory_bytes / (double)side->count);
}

/* Posting and turning on one core; the making of targets is not measured. */
static void pawl_run_here(void *state, struct bench_sample *sample)
{
    struct pawl_side *side = state;
    const unsigned batches = batches_of(side->count);
    const uint64_t goal = handled_by(side) + (uint64_t)batches * BATCH;
    uint64_t posting = 0, turning = 0;

    for (unsigned b = 0; b < batches; b++) {
        fill(side);
        for (size_t posted = 0; posted < BATCH;) {
            const uint64_t begin = bench_now_ns();
            const int took = pawl_port_post(side->port, side->batch + posted, BATCH - posted);
            const uint64_t turn = bench_now_ns();

            posted += took > 0 ? (size_t)took : 0;
            turn_until_idle(side);
            posting += turn - begin;
            turning += bench_now_ns() - turn;
        }
    }
    if (handled_by(side) != goal)
        bench_fail("steps: %lld events were not stepped", (long long)(goal - handled_by(side)));
    sample->operations = (uint64_t)batches * BATCH;
    sample->seconds = (double)(turning + (side->way == SELF ? posting : 0)) * 1e-9;
    count_memory(side, sample);
}

/* The shard's thread steps while this one makes and posts events. */
static void pawl_run_thread(void *state, struct bench_sample *sample)
{
    struct pawl_side *side = state;
    const unsigned batches = batches_of(side->count);
    const uint64_t goal = handled_by(side) + (uint64_t)batches * BATCH;
    const uint64_t begin = bench_now_ns();

    for (unsigned b = 0; b < batches; b++) {
        fill(side);
        for (size_t posted = 0; posted < BATCH;) {
            const int took = pawl_port_post(side->port, side->batch + posted, BATCH - posted);

            if (took > 0)
                posted += (size_t)took;
            else
                cpu_relax();
        }
    }
    while (handled_by(side) < goal)
        cpu_relax();
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    sample->operations = (uint64_t)batches * BATCH;
    count_memory(side, sample);
}

/* ---- The limit, and a table under a mutex ---- */

struct bare_task {
    uint64_t state;
    struct counts counts;
    struct bare_task *next; /* in a bucket of the table */
    uint64_t id;
    uint64_t rest[3];
};
_Static_assert(sizeof(struct bare_task) == 64, "the same line a task as Pawl");

typedef void bare_fn(struct counts *counts, uint64_t arg);

static void bare_advance(struct counts *counts, uint64_t arg)
{
    counts->events++;
    counts->sum += arg;
}

static bare_fn *volatile bare_actions[STATES] = {bare_advance, bare_advance, bare_advance,
                                                 bare_advance, bare_advance};
static const uint64_t bare_targets[STATES] = {1, 2, 3, 4, 0};

/* 32 bytes, as an event is. */
struct bare_event {
    uint64_t task;
    uint64_t arg;
    uint64_t rest[2];
};

enum { RING = 4096, RING_BATCH = 64 };

struct bare_ring {
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) struct bare_event cells[RING];
};

struct bare_side {
    struct bare_task *tasks;
    size_t bytes;
    struct bare_task **buckets; /* of the table; NULL for the limit */
    uint64_t count, mask;
    struct random random;
    uint64_t stepped;
    pthread_mutex_t mutex;
    struct bare_ring ring;
    struct bare_event batch[BATCH];
};

static struct bare_side *bare_side_open(uint64_t count)
{
    struct bare_side *side = aligned_alloc(128, sizeof(*side));

    check("memory", side == NULL ? -ENOMEM : 0);
    memset(side, 0, sizeof(*side));
    side->count = count;
    side->random = (struct random){count};
    side->bytes = count * sizeof(struct bare_task);
    side->tasks =
        mmap(NULL, side->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (side->tasks == MAP_FAILED)
        bench_fail("steps: no memory for %llu tasks", (unsigned long long)count);
    madvise(side->tasks, side->bytes, MADV_HUGEPAGE);
    pthread_mutex_init(&side->mutex, NULL);
    for (uint64_t i = 0; i < count; i++)
        side->tasks[i] = (struct bare_task){.id = i};
    return side;
}

static void *limit_open(const struct bench_row *row, const struct bench_contender *contender)
{
    (void)contender;
    return bare_side_open(row->size);
}

static void *table_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bare_side *side = bare_side_open(row->size);

    (void)contender;
    side->mask = round_up_power_of_two(side->count) - 1;
    side->buckets = calloc(side->mask + 1, sizeof(struct bare_task *));
    check("memory", side->buckets == NULL ? -ENOMEM : 0);
    for (uint64_t i = 0; i < side->count; i++) {
        struct bare_task **bucket = &side->buckets[mix64(i) & side->mask];

        side->tasks[i].next = *bucket;
        *bucket = &side->tasks[i];
    }
    return side;
}

static void bare_side_close(void *state)
{
    struct bare_side *side = state;

    pthread_mutex_destroy(&side->mutex);
    free(side->buckets);
    munmap(side->tasks, side->bytes);
    free(side);
}

static void bare_fill(struct bare_side *side)
{
    for (unsigned i = 0; i < BATCH; i++)
        side->batch[i] =
            (struct bare_event){.task = random_below(&side->random, side->count), .arg = 1};
}

static inline void bare_step(struct bare_task *task, uint64_t arg)
{
    bare_actions[task->state](&task->counts, arg);
    task->state = bare_targets[task->state];
}

static void bare_steps(struct bare_side *side, const struct bare_event *batch, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH < count)
            __builtin_prefetch(&side->tasks[batch[i + PREFETCH].task], 1);
        bare_step(&side->tasks[batch[i].task], batch[i].arg);
    }
}

static void table_steps(struct bare_side *side, const struct bare_event *batch, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct bare_task *task;

        pthread_mutex_lock(&side->mutex);
        task = side->buckets[mix64(batch[i].task) & side->mask];
        while (task->id != batch[i].task)
            task = task->next;
        bare_step(task, batch[i].arg);
        pthread_mutex_unlock(&side->mutex);
    }
}

static void bare_run_here(struct bare_side *side, struct bench_sample *sample,
                          void (*steps)(struct bare_side *, const struct bare_event *, unsigned))
{
    const unsigned batches = batches_of(side->count) / (steps == table_steps ? 4 : 1) + 1;
    uint64_t spent = 0;

    for (unsigned b = 0; b < batches; b++) {
        uint64_t begin;

        bare_fill(side);
        begin = bench_now_ns();
        steps(side, side->batch, BATCH);
        spent += bench_now_ns() - begin;
    }
    side->stepped += (uint64_t)batches * BATCH;
    sample->operations = (uint64_t)batches * BATCH;
    sample->seconds = (double)spent * 1e-9;
    if (side->count <= 1000) {
        uint64_t sum = 0;

        for (uint64_t i = 0; i < side->count; i++)
            sum += side->tasks[i].counts.sum;
        if (sum != side->stepped)
            bench_fail("steps: a bare loop lost steps");
    }
}

static void limit_run(void *state, struct bench_sample *sample)
{
    bare_run_here(state, sample, bare_steps);
}

static void table_run(void *state, struct bench_sample *sample)
{
    bare_run_here(state, sample, table_steps);
}

/* ---- The limit between two cores: a bare ring before the bare loop ---- */

static uint64_t ring_goal;

static void *ring_consume(void *argument)
{
    struct bare_side *side = argument;
    struct bare_ring *ring = &side->ring;
    uint64_t head = load_relaxed(&ring->head);
    uint64_t tail = head;

    while (head != ring_goal) {
        const unsigned place = (unsigned)(head % RING);
        unsigned count;

        if (tail == head)
            tail = load_acquire(&ring->tail);
        count = (unsigned)(tail - head);
        count = count < RING_BATCH ? count : RING_BATCH;
        count = count < RING - place ? count : RING - place;
        if (count == 0) {
            cpu_relax();
            continue;
        }
        for (unsigned i = 0; i < count; i++)
            __builtin_prefetch(&side->tasks[ring->cells[place + i].task], 1);
        for (unsigned i = 0; i < count; i++)
            bare_step(&side->tasks[ring->cells[place + i].task], ring->cells[place + i].arg);
        head += count;
        store_release(&ring->head, head);
    }
    return NULL;
}

static void limit_run_posted(void *state, struct bench_sample *sample)
{
    struct bare_side *side = state;
    struct bare_ring *ring = &side->ring;
    const unsigned batches = batches_of(side->count);
    uint64_t tail = load_relaxed(&ring->tail), head = tail;
    pthread_t thread;
    uint64_t begin;

    ring_goal = tail + (uint64_t)batches * BATCH;
    begin = bench_now_ns();
    thread = bench_thread(1, ring_consume, side);
    for (unsigned b = 0; b < batches; b++) {
        bare_fill(side);
        for (unsigned i = 0; i < BATCH; i += RING_BATCH) {
            while (tail - head > RING - RING_BATCH) {
                head = load_acquire(&ring->head);
                cpu_relax();
            }
            memcpy(&ring->cells[tail % RING], side->batch + i, RING_BATCH * sizeof(*side->batch));
            tail += RING_BATCH;
            store_release(&ring->tail, tail);
        }
    }
    pthread_join(thread, NULL);
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    sample->operations = (uint64_t)batches * BATCH;
}

/* ---- Rows ---- */

static const enum way turns = TURNS, self = SELF, thread = THREAD;

static const struct bench_contender here[] = {
    {"pawl", "bounded, ordered, atomic steps, readable by any thread; the shard's turns alone",
     NULL, pawl_side_open, pawl_run_here, pawl_side_close, &turns},
    {"pawl-self", "the same, and posting to the port on the same core", NULL, pawl_side_open,
     pawl_run_here, pawl_side_close, &self},
    {"limit", "bare loop over an array, prefetched; no runtime, nobody may look", NULL, limit_open,
     limit_run, bare_side_close, NULL},
    {"mutex-table", "a hash table under a mutex, one thread, no queue", NULL, table_open, table_run,
     bare_side_close, NULL},
};

/* One Pawl is enough at a size where each takes 6.4 GB, and the mutex's table would take more. */
static const struct bench_contender here_large[] = {
    {"pawl", "bounded, ordered, atomic steps, readable by any thread; the shard's turns alone",
     NULL, pawl_side_open, pawl_run_here, pawl_side_close, &turns},
    {"limit", "bare loop over an array, prefetched; no runtime, nobody may look", NULL, limit_open,
     limit_run, bare_side_close, NULL},
};

static const struct bench_contender posted[] = {
    {"pawl", "a port's bounded ring, ordered, then the shard", NULL, pawl_side_open,
     pawl_run_thread, pawl_side_close, &thread},
    {"limit", "a bare bounded ring, then the bare loop", NULL, limit_open, limit_run_posted,
     bare_side_close, NULL},
};

static const struct {
    uint64_t tasks;
    const char *name;
    double turns, posted; /* the goals */
} sizes[] = {
    {1000, "1k", 120e6, 100e6},
    {1000000, "1M", 100e6, 80e6},
    {10000000, "10M", 0, 0},
    {100000000, "100M", 50e6, 45e6},
};

/* For tests a hundred million are too many. */
static uint64_t tasks_of(unsigned i)
{
    return bench_scale() == BENCH_SMOKE && sizes[i].tasks > 10000 ? 10000 : sizes[i].tasks;
}

static void lifecycle_row(unsigned i)
{
    struct bench_contender *contenders = calloc(16, sizeof(*contenders));
    unsigned count = 0;

    contenders[count] = posted[0];
    contenders[count++].semantics = "posted through a port from another core";
    contenders[count] = here[1];
    contenders[count++].semantics = "posted and stepped on one core";
    contenders[count] = here[2];
    contenders[count++].semantics = "bare loop over an array on one core";
    contenders[count++] = here[3];
    count += actor_contenders(contenders + count, "lifecycle");
    bench_add(&(struct bench_row){
        .name = bench_text("lifecycle-%s", sizes[i].name),
        .title = bench_text("Life cycle of %s machines, beside actors", sizes[i].name),
        .group = "lifecycle",
        .unit = "step",
        .metric = "rate",
        .size = tasks_of(i),
        /* Six actor systems of a million need half a minute to begin and end. */
        .flags = BENCH_CROSS_CORE | (sizes[i].tasks > 1000 ? BENCH_FULL_ONLY : 0),
        .goal = {sizes[i].tasks > 1000 ? 25 : 0, "best"},
        .contenders = contenders,
        .contender_count = count});
}

void bench_steps_rows(void)
{
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const bool large = sizes[i].tasks > 10000000;

        bench_add(&(struct bench_row){
            .name = bench_text("steps-%s", sizes[i].name),
            .title = bench_text("Steps of %s tasks chosen at random, one shard", sizes[i].name),
            .group = "steps",
            .unit = "step",
            .metric = "rate",
            .size = tasks_of(i),
            .flags = large ? BENCH_FULL_ONLY : 0,
            .goal = {sizes[i].turns, NULL},
            .contenders = large ? here_large : here,
            .contender_count = large ? 2 : 4});
        bench_add(&(struct bench_row){
            .name = bench_text("posted-%s", sizes[i].name),
            .title = bench_text("The same, posted from another core (%s)", sizes[i].name),
            .group = "posted",
            .unit = "step",
            .metric = "rate",
            .size = tasks_of(i),
            .flags = BENCH_CROSS_CORE | (large ? BENCH_FULL_ONLY : 0),
            .goal = {sizes[i].posted, NULL},
            .contenders = posted,
            .contender_count = 2});
        if (sizes[i].tasks <= 1000000)
            lifecycle_row(i);
    }
}
