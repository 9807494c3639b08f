/*
 * bench_steps.c - steps per second of one shard with random targets, beside the machine's limit and
 * beside what a host would otherwise write by hand, all in one process run.
 *
 *   pawl, host      events are posted to a port and stepped by pawl_turn on the same core; both are
 *                   counted together
 *   pawl, turns     of these, the turns alone: what a step costs the shard
 *   pawl, thread    events are posted from this core and stepped by a shard's thread on another
 *   limit           a bare loop over an array: look up, call, store; no runtime, no ids, no readers,
 *                   no atomicity
 *   mutex and table a hash table of tasks under one mutex, looked up for every event
 *
 * Work: a life cycle of five states, one event kind; a task keeps two counters. Rounds are interleaved
 * and the medians of five are printed, with the ratio to pawl, host. From 20 M tasks on only pawl, host
 * runs. Usage: bench_steps [TASKS...]
 */
#include <pawl/pawl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/random.h"

/* From so many tasks on the peers are left out: all sides together would not fit a small machine. */
#define ALONE UINT64_C(20000000)

enum { STATES = 5, BATCH = 8192, ROUNDS = 5, KINDS = 5 };

struct counts {
    uint64_t events;
    uint64_t sum;
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

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

/* ---- Pawl ---- */

struct pawl_side {
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    uint64_t first; /* the id of the first task; in a fresh shard ids are consecutive */
    uint64_t last;
    struct random random;
    uint64_t count;
    bool threads;
    double turning; /* seconds of the last round spent in turns */
};

static void fail(const char *what, int error)
{
    fprintf(stderr, "bench_steps: %s: %s\n", what, pawl_strerror(error));
    exit(1);
}

static void reap_all(struct pawl_side *side, uint64_t *got)
{
    struct pawl_completion done[256];
    int reaped;

    if (!side->threads)
        while (pawl_turn(side->runtime, 0) > 0)
            ;
    while ((reaped = pawl_port_reap(side->port, done, 256)) > 0)
        for (int i = 0; i < reaped; i++, (*got)++) {
            if (*got == 0)
                side->first = side->last = done[i].task.id;
            else if (done[i].task.id != ++side->last)
                fail("handles of a fresh shard are not consecutive", -EINVAL);
        }
}

static void pawl_side_open(struct pawl_side *side, struct pawl_machine *machine, uint64_t count,
                           bool threads)
{
    const struct pawl_machine *const machines[] = {machine};
    const struct pawl_port_options wide = {.capacity = BATCH};
    const struct pawl_task_spec spec = {.shard = 0};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    uint64_t made = 0, got = 0;
    int error;

    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = threads ? PAWL_DRIVE_THREADS : PAWL_DRIVE_HOST;
    *side = (struct pawl_side){.count = count, .threads = threads, .random = {count}};
    if ((error = pawl_open(&options, &side->runtime)) != 0 ||
        (error = pawl_start(side->runtime)) != 0 ||
        (error = pawl_port_open(side->runtime, &wide, &side->port)) != 0)
        fail("opening", error);
    while (got < count) {
        while (made < count && pawl_port_create(side->port, &spec, (uint32_t)made) == 0)
            made++;
        reap_all(side, &got);
    }
}

static void pawl_side_close(struct pawl_side *side)
{
    while (pawl_port_close(side->port, UINT64_MAX) == -EAGAIN)
        pawl_turn(side->runtime, 0);
    pawl_close(side->runtime);
}

static void fill(struct pawl_side *side, struct pawl_event *batch)
{
    for (unsigned i = 0; i < BATCH; i++)
        batch[i] = (struct pawl_event){
            .task = {side->first + random_below(&side->random, side->count)}, .arg = {1}};
}

static uint64_t handled_by(const struct pawl_side *side)
{
    struct pawl_counters counters;

    pawl_shard_counters(side->runtime, 0, &counters);
    return counters.transitions;
}

static void turn_until_idle(struct pawl_side *side)
{
    const double begin = now_s();

    while (pawl_turn(side->runtime, 0) > 0)
        ;
    side->turning += now_s() - begin;
}

/* Seconds for `batches` batches, the making of events not counted (host) or overlapped (thread). */
static double pawl_round(struct pawl_side *side, unsigned batches)
{
    static struct pawl_event batch[BATCH];
    const uint64_t goal = handled_by(side) + (uint64_t)batches * BATCH;
    const double begin = now_s();
    double spent = 0;

    side->turning = 0;
    for (unsigned b = 0; b < batches; b++) {
        size_t posted = 0;
        double posting;

        fill(side, batch);
        posting = now_s();
        while (posted < BATCH) {
            const int took = pawl_port_post(side->port, batch + posted, BATCH - posted);

            posted += took > 0 ? (size_t)took : 0;
            if (!side->threads)
                turn_until_idle(side);
        }
        spent += now_s() - posting;
    }
    while (handled_by(side) < goal)
        if (!side->threads)
            pawl_turn(side->runtime, 0);
    return side->threads ? now_s() - begin : spent;
}

/* ---- The limit and the peer ---- */

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

struct bare_side {
    struct bare_task *tasks;
    struct bare_task **buckets;
    uint64_t count, mask;
    struct random random;
    pthread_mutex_t mutex;
};

static void bare_open(struct bare_side *side, uint64_t count)
{
    *side = (struct bare_side){.count = count, .random = {count}};
    side->tasks = aligned_alloc(64, count * sizeof(*side->tasks));
    side->mask = round_up_power_of_two(count) - 1;
    side->buckets = calloc(side->mask + 1, sizeof(struct bare_task *));
    pthread_mutex_init(&side->mutex, NULL);
    for (uint64_t i = 0; i < count; i++) {
        struct bare_task **bucket = &side->buckets[mix64(i) & side->mask];

        side->tasks[i] = (struct bare_task){.id = i, .next = *bucket};
        *bucket = &side->tasks[i];
    }
}

static void bare_close(struct bare_side *side)
{
    pthread_mutex_destroy(&side->mutex);
    free(side->buckets);
    free(side->tasks);
}

static void bare_step(struct bare_task *task)
{
    bare_actions[task->state](&task->counts, 1);
    task->state = bare_targets[task->state];
}

static struct bare_task *find(const struct bare_side *side, uint64_t id)
{
    struct bare_task *task = side->buckets[mix64(id) & side->mask];

    while (task->id != id)
        task = task->next;
    return task;
}

static double bare_round(struct bare_side *side, unsigned batches, bool table)
{
    static uint64_t batch[BATCH];
    double spent = 0;

    for (unsigned b = 0; b < batches; b++) {
        double begin;

        for (unsigned i = 0; i < BATCH; i++)
            batch[i] = random_below(&side->random, side->count);
        begin = now_s();
        for (unsigned i = 0; i < BATCH; i++) {
            if (!table) {
                if (i + 64 < BATCH)
                    __builtin_prefetch(&side->tasks[batch[i + 64]], 1);
                bare_step(&side->tasks[batch[i]]);
                continue;
            }
            pthread_mutex_lock(&side->mutex);
            bare_step(find(side, batch[i]));
            pthread_mutex_unlock(&side->mutex);
        }
        spent += now_s() - begin;
    }
    return spent;
}

/* ---- Rounds ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The shard's thread takes the first cpu; this one goes to the last, where there are two. */
static void pin_last(void)
{
    cpu_set_t allowed, last;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&last);
            CPU_SET(cpu, &last);
            sched_setaffinity(0, sizeof(last), &last);
            return;
        }
}

static void report(const char *name, uint64_t tasks, double *rates, double reference)
{
    printf("%12llu tasks  %-16s %8.1f M steps/s  (%.1f to %.1f)  %5.2f of pawl, host\n",
           (unsigned long long)tasks, name, rates[ROUNDS / 2] / 1e6, rates[0] / 1e6,
           rates[ROUNDS - 1] / 1e6, rates[ROUNDS / 2] / reference);
}

static void report_memory(const struct pawl_side *side)
{
    struct pawl_counters counters;

    pawl_shard_counters(side->runtime, 0, &counters);
    printf("%12llu tasks  %-16s %8.1f bytes of memory a task\n", (unsigned long long)side->count,
           "pawl", (double)counters.memory_bytes / side->count);
}

static void bench(struct pawl_machine *machine, uint64_t tasks)
{
    static const char *const names[KINDS] = {"pawl, host", "pawl, turns", "pawl, thread", "limit",
                                             "mutex and table"};
    const bool alone = tasks >= ALONE;
    const unsigned batches = alone ? 4000 : 400;
    const double total = (double)batches * BATCH;
    const unsigned kinds = alone ? 2 : KINDS;
    struct pawl_side host, thread;
    struct bare_side bare;
    cpu_set_t before;
    double rates[KINDS][ROUNDS];

    /* The plan heeds the affinity of the thread that opens: so that one is pinned afterwards. */
    pawl_side_open(&host, machine, tasks, false);
    if (!alone) {
        pawl_side_open(&thread, machine, tasks, true);
        bare_open(&bare, tasks);
    }
    sched_getaffinity(0, sizeof(before), &before);
    pin_last();
    pawl_round(&host, batches); /* not counted: what was never touched since its creation is now */
    for (unsigned round = 0; round < ROUNDS; round++) {
        rates[0][round] = total / pawl_round(&host, batches);
        rates[1][round] = total / host.turning;
        if (alone)
            continue;
        rates[2][round] = total / pawl_round(&thread, batches);
        rates[3][round] = total / bare_round(&bare, batches, false);
        rates[4][round] = total / bare_round(&bare, batches, true);
    }
    for (unsigned kind = 0; kind < kinds; kind++)
        qsort(rates[kind], ROUNDS, sizeof(double), by_size);
    for (unsigned kind = 0; kind < kinds; kind++)
        report(names[kind], tasks, rates[kind], rates[0][ROUNDS / 2]);
    report_memory(&host);
    sched_setaffinity(0, sizeof(before), &before);
    if (!alone) {
        bare_close(&bare);
        pawl_side_close(&thread);
    }
    pawl_side_close(&host);
}

int main(int argc, char **argv)
{
    struct pawl_machine *machine;
    const int error = pawl_machine_compile(&life_cycle, NULL, NULL, &machine);

    if (error != 0)
        fail("compiling", error);
    if (argc == 1) {
        bench(machine, 1000);
        bench(machine, 1000000);
    }
    for (int i = 1; i < argc; i++)
        bench(machine, strtoull(argv[i], NULL, 0));
    pawl_machine_destroy(machine);
    return 0;
}
