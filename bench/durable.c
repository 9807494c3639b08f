/*
 * durable.c - opening, posting, reaping; host-driven on the calling thread, or shards of their own threads.
 */
#include "durable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "harness.h"
#include "peers/stores.h"

enum { STATES = 5, BATCH = 256, STAMPED = 64, SHARDS_MAX = 64, REAPED = 256 };

#define WAIT_NS UINT64_C(60000000000) /* far more than anything here takes */

struct durable {
    struct durable_spec spec;
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    uint64_t tasks_shard; /* of one shard */
    uint64_t
        first[SHARDS_MAX]; /* id of a shard's first task; in a fresh shard ids are consecutive */
    uint64_t *stamps;      /* when every 64th event was posted, in turn */
    uint64_t stamps_mask;
    char said[256]; /* by pawl_open, when it refuses */
    struct pawl_event events[BATCH];
};

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("durable: %s: %s", what, pawl_strerror(error));
}

/* ---- The machine ---- */

static void advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    record_update(context, event->arg[0]);
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

static void compile(struct durable *durable)
{
    const struct pawl_machine_def life_cycle = {
        .name = "life-cycle",
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        .context_size = sizeof(struct record),
        .durability = durable->spec.durability,
    };

    check("compiling a durable machine",
          pawl_machine_compile(&life_cycle, NULL, NULL, &durable->machine));
}

/* ---- Opening and closing ---- */

static void diagnose(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct durable *durable = user;

    snprintf(durable->said, sizeof(durable->said), "%s: %s", diagnostic->where, diagnostic->what);
}

/* Returns how long pawl_open took. */
static double open_runtime(struct durable *durable)
{
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    const struct durable_spec *spec = &durable->spec;
    uint64_t begin;
    int error;

    store.directory = spec->folder;
    store.snapshot_bytes = spec->snapshot_bytes;
    options.machines = (const struct pawl_machine *const[]){durable->machine};
    options.machine_count = 1;
    options.shards = spec->shards;
    options.drive = spec->drive;
    options.store = spec->folder != NULL ? &store : NULL;
    options.diagnose = diagnose;
    options.user = durable;
    bench_unpin(); /* the plan heeds the affinity of the thread that opens */
    begin = bench_now_ns();
    error = pawl_open(&options, &durable->runtime);
    begin = bench_now_ns() - begin;
    bench_pin(bench_cpu(0));
    if (error != 0)
        bench_fail("durable: opening a store in %s: %s (%s)",
                   spec->folder != NULL ? spec->folder : "memory", pawl_strerror(error),
                   durable->said[0] != '\0' ? durable->said : "no reason given");
    return (double)begin * 1e-9;
}

static struct durable *make(const struct durable_spec *spec)
{
    struct durable *durable = calloc(1, sizeof(*durable));
    const uint64_t stamps = round_up_power_of_two(4 * (spec->depth / STAMPED + 1));

    check("memory", durable == NULL ? -ENOMEM : 0);
    if (spec->shards > SHARDS_MAX || spec->tasks % spec->shards != 0)
        bench_fail("durable: %u shards cannot share the tasks", spec->shards);
    durable->spec = *spec;
    durable->tasks_shard = spec->tasks / spec->shards;
    durable->stamps = calloc(stamps, sizeof(*durable->stamps));
    durable->stamps_mask = stamps - 1;
    check("memory", durable->stamps == NULL ? -ENOMEM : 0);
    compile(durable);
    return durable;
}

static bool is_host_driven(const struct durable *durable)
{
    return durable->spec.drive == PAWL_DRIVE_HOST;
}

/* Lets the shards go on: turns them, or waits until there is something to reap. */
static void go_on(struct durable *durable)
{
    if (is_host_driven(durable))
        for (unsigned s = 0; s < durable->spec.shards; s++)
            pawl_turn(durable->runtime, s);
    else
        pawl_port_wait(durable->port, WAIT_NS);
}

static void create_tasks(struct durable *durable)
{
    const uint64_t tasks = durable->spec.tasks;
    struct pawl_completion done[REAPED];
    uint64_t made = 0, got = 0;

    while (got < tasks) {
        int reaped;

        for (; made < tasks; made++) {
            const struct pawl_task_spec spec = {.shard = (uint32_t)(made / durable->tasks_shard)};

            if (pawl_port_create(durable->port, &spec, (uint32_t)made) != 0)
                break;
        }
        go_on(durable);
        reaped = pawl_port_reap(durable->port, done, REAPED);
        for (int i = 0; i < reaped; i++, got++) {
            uint64_t *first = &durable->first[done[i].tag / durable->tasks_shard];
            const uint64_t place = done[i].tag % durable->tasks_shard;

            check("creating a task", done[i].status);
            if (place == 0)
                *first = done[i].task.id;
            if (done[i].task.id != *first + place)
                bench_fail("durable: ids of a fresh shard are not consecutive");
        }
    }
}

struct durable *durable_create(const struct durable_spec *spec)
{
    struct durable *durable = make(spec);
    const struct pawl_port_options port = {.capacity = spec->depth};

    open_runtime(durable);
    check("starting", pawl_start(durable->runtime));
    check("opening a port", pawl_port_open(durable->runtime, &port, &durable->port));
    create_tasks(durable);
    durable_sync(durable);
    return durable;
}

struct durable *durable_reopen(const struct durable_spec *spec, double *seconds)
{
    struct durable *durable = make(spec);

    *seconds = open_runtime(durable);
    /* The first life of the first slot of each shard, as durable_create had it. */
    for (unsigned s = 0; s < spec->shards; s++) {
        const struct pawl_filter all = {.machine = PAWL_ANY, .state = PAWL_ANY};
        struct pawl_walk walk = {.shard = s};
        struct pawl_view view = {0};

        if (pawl_task_walk(durable->runtime, &walk, &all, &view, 1, durable->tasks_shard) != 1 ||
            pawl_task_shard(view.task) != s)
            bench_fail("durable: shard %u has no tasks after recovery", s);
        durable->first[s] = view.task.id;
    }
    return durable;
}

void durable_close(struct durable *durable)
{
    int error = 0;

    if (durable->port != NULL)
        while ((error = pawl_port_close(durable->port, WAIT_NS)) == -EAGAIN)
            go_on(durable);
    check("closing the port", error);
    check("closing the store", pawl_close(durable->runtime));
    pawl_machine_destroy(durable->machine);
    free(durable->stamps);
    free(durable);
}

/* ---- Steps ---- */

static struct pawl_task task_of(const struct durable *durable, uint64_t task)
{
    return (struct pawl_task){durable->first[task / durable->tasks_shard] +
                              task % durable->tasks_shard};
}

/* Posts up to `room` of the events from `at` on; returns how many. */
static unsigned post(struct durable *durable, const uint32_t *keys, uint64_t at, uint64_t room,
                     uint16_t flags)
{
    const unsigned count = room < BATCH ? (unsigned)room : BATCH;
    int posted;

    for (unsigned i = 0; i < count; i++)
        durable->events[i] = (struct pawl_event){.task = {durable->first[0] + keys[at + i]},
                                                 .flags = flags,
                                                 .tag = (uint32_t)(at + i),
                                                 .arg = {at + i}};
    posted = pawl_port_post(durable->port, durable->events, count);
    if (posted < 0 && posted != -EAGAIN)
        check("posting", posted);
    return posted < 0 ? 0 : (unsigned)posted;
}

/* One event in so many is timed, beginning with the first. */
static unsigned stamp_every(uint32_t under_way)
{
    return under_way < STAMPED ? 1 : STAMPED;
}

/* Tags are the events' numbers. A batch is stepped in an order of its own, so they come a little mixed. */
static unsigned reap(struct durable *durable, unsigned every, uint64_t *tags,
                     struct histogram *commits)
{
    struct pawl_completion done[REAPED];
    const int reaped = pawl_port_reap(durable->port, done, REAPED);
    const uint64_t now = reaped > 0 ? bench_now_ns() : 0;

    check("reaping", reaped < 0 ? reaped : 0);
    for (int i = 0; i < reaped; i++) {
        const uint32_t tag = done[i].tag;

        check("a step", done[i].status);
        if (done[i].durability != durable->spec.durability)
            bench_fail("durable: a step was acknowledged with durability %u", done[i].durability);
        *tags += tag;
        if (tag % every == 0 && commits != NULL)
            histogram_record(commits, now - durable->stamps[tag / every & durable->stamps_mask]);
    }
    return (unsigned)reaped;
}

void durable_steps(struct durable *durable, const uint32_t *keys, uint64_t count,
                   uint32_t under_way, struct histogram *commits)
{
    const unsigned every = stamp_every(under_way);
    uint64_t posted = 0, done = 0, tags = 0;

    if (!is_host_driven(durable))
        bench_pin(bench_cpu(1)); /* the first shard has the first */
    while (done < count) {
        const uint64_t window = under_way - (posted - done);
        const uint64_t room = count - posted < window ? count - posted : window;
        unsigned took = 0, got;

        if (room > 0) {
            const uint64_t now = bench_now_ns();

            took = post(durable, keys, posted, room, PAWL_EVENT_COMPLETE);
            for (uint64_t i = (posted + every - 1) / every; i * every < posted + took; i++)
                durable->stamps[i & durable->stamps_mask] = now;
            posted += took;
        }
        if (is_host_driven(durable))
            pawl_turn(durable->runtime, 0);
        got = reap(durable, every, &tags, commits);
        done += got;
        if (took + got == 0 && !is_host_driven(durable))
            pawl_port_wait(durable->port, WAIT_NS);
    }
    bench_pin(bench_cpu(0));
    if (tags != count * (count - 1) / 2)
        bench_fail("durable: some steps were acknowledged twice, others never");
}

static uint64_t handled(const struct durable *durable)
{
    struct pawl_counters counters;

    pawl_shard_counters(durable->runtime, 0, &counters);
    return counters.transitions;
}

uint64_t durable_stream(struct durable *durable, const uint32_t *keys, uint64_t count)
{
    const uint64_t goal = handled(durable) + count;
    uint64_t posted = 0, turning = 0;

    if (!is_host_driven(durable))
        bench_pin(bench_cpu(1));
    while (posted < count || handled(durable) < goal) {
        unsigned took = 0;

        /* Until the ring is full, so that turns have what they can take. */
        while (posted < count && (took = post(durable, keys, posted, count - posted, 0)) > 0)
            posted += took;
        if (is_host_driven(durable)) {
            const uint64_t begin = bench_now_ns();

            while (pawl_turn(durable->runtime, 0) > 0)
                ;
            turning += bench_now_ns() - begin;
        } else {
            cpu_relax();
        }
    }
    bench_pin(bench_cpu(0));
    return turning;
}

/* ---- The store ---- */

static void wait_for(struct durable *durable, const char *what,
                     int (*fn)(struct pawl_runtime *runtime, uint64_t timeout_ns))
{
    int error;

    if (durable->spec.folder == NULL)
        return;
    while ((error = fn(durable->runtime, WAIT_NS)) == -EAGAIN)
        for (unsigned s = 0; s < durable->spec.shards; s++)
            pawl_turn(durable->runtime, s);
    check(what, error);
}

void durable_sync(struct durable *durable)
{
    wait_for(durable, "syncing", pawl_sync);
}

void durable_snapshot(struct durable *durable)
{
    wait_for(durable, "a snapshot", pawl_snapshot);
}

struct pawl_store_status durable_status(const struct durable *durable, unsigned shard)
{
    struct pawl_store_status status = {0};

    check("the store's status", pawl_shard_store(durable->runtime, shard, &status));
    return status;
}

void durable_check(const struct durable *durable, uint64_t task, uint64_t steps)
{
    struct record record = {0};
    struct pawl_view view = {.context = &record, .context_capacity = sizeof(record)};

    check("looking at a task", pawl_task_peek(durable->runtime, task_of(durable, task), &view));
    if (record.count != steps || view.state != steps % STATES)
        bench_fail("durable: task %llu made %llu steps and is in state %u; it should be %llu",
                   (unsigned long long)task, (unsigned long long)record.count, view.state,
                   (unsigned long long)steps);
}
