/*
 * bench_shards.c - how steps per second grow with shards when half of all events cross.
 *
 * Every shard has its tasks and a number of tokens. A step passes its token on to a random task: with
 * several shards every second time to one of another shard, else to one of its own. Nothing comes from
 * outside; threads are pinned. Per number of shards five rounds, interleaved; the medians are printed,
 * with the ratio to one shard. Usage: bench_shards [TASKS-PER-SHARD [SHARDS...]]
 */
#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"

enum { TOKENS = 4096, ROUNDS = 5, COUNTS_MAX = 16, SHARDS = 1024 };

/*
 * The runtime's user pointer. Handles are not looked up while measuring, which would be a cache miss of
 * the bench's own: in a fresh shard they are consecutive, which create_tasks checks.
 */
struct field {
    uint64_t tasks; /* per shard */
    unsigned shards;
    uint64_t first[SHARDS]; /* by shard: the id of its first task */
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    double rates[ROUNDS];
};

static void pass(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct field *field = pawl_step_user(step);
    /* The token carries its own random walk, so the shards share nothing but the handles. */
    const uint64_t random = mix64(event->arg[0]);
    const uint64_t own = pawl_step_shard(step);
    uint64_t shard = own;
    uint64_t index;

    ++*(uint64_t *)context;
    if (field->shards > 1 && (random & 1) != 0)
        shard = (own + 1 + (random >> 1) % (field->shards - 1)) % field->shards;
    index = (uint64_t)(((unsigned __int128)mix64(random) * field->tasks) >> 64);
    pawl_step_post(step,
                   &(struct pawl_event){.task = {field->first[shard] + index}, .arg = {random}});
}

static const char *const events[] = {"token"};
static const struct pawl_state_def states[] = {{.name = "here"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "here", .on = "token", .action = pass},
};
static const struct pawl_machine_def passer = {
    .name = "passer",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(uint64_t),
};

static void fail(const char *what, int error)
{
    fprintf(stderr, "bench_shards: %s: %s\n", what, pawl_strerror(error));
    exit(1);
}

static void create_tasks(struct field *field)
{
    const uint64_t all = field->tasks * field->shards;
    struct pawl_task *handles = calloc(all, sizeof(*handles));
    struct pawl_completion done[256];
    uint64_t made = 0, got = 0;

    while (got < all) {
        struct pawl_task_spec spec = {.shard = (uint32_t)(made / field->tasks)};
        int reaped;

        while (made < all && pawl_port_create(field->port, &spec, (uint32_t)made) == 0)
            spec.shard = (uint32_t)(++made / field->tasks);
        pawl_port_wait(field->port, UINT64_MAX);
        reaped = pawl_port_reap(field->port, done, 256);
        for (int i = 0; i < reaped; i++, got++)
            handles[done[i].tag] = done[i].task;
    }
    for (uint64_t i = 0; i < all; i++) {
        uint64_t *first = &field->first[i / field->tasks];

        if (i % field->tasks == 0)
            *first = handles[i].id;
        if (handles[i].id != *first + i % field->tasks)
            fail("handles of a fresh shard are not consecutive", -EINVAL);
    }
    free(handles);
}

static void field_open(struct field *field, struct pawl_machine *machine, uint64_t tasks,
                       unsigned shards)
{
    const struct pawl_machine *const machines[] = {machine};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    int error;

    *field = (struct field){.tasks = tasks, .shards = shards};
    options.machines = machines;
    options.machine_count = 1;
    options.shards = shards;
    options.user = field;
    if ((error = pawl_open(&options, &field->runtime)) != 0 ||
        (error = pawl_start(field->runtime)) != 0 ||
        (error = pawl_port_open(field->runtime, NULL, &field->port)) != 0)
        fail("opening", error);
    create_tasks(field);
    for (uint64_t token = 0; token < (uint64_t)TOKENS * shards; token++) {
        const struct pawl_event event = {
            .task = {field->first[token % shards] + token / shards % tasks}, .arg = {token + 1}};

        while (pawl_port_post(field->port, &event, 1) != 1)
            ;
    }
    if ((error = pawl_pause(field->runtime)) != 0)
        fail("pausing", error);
}

static void field_close(struct field *field)
{
    pawl_stop(field->runtime);
    pawl_port_close(field->port, UINT64_MAX);
    pawl_close(field->runtime);
}

static uint64_t transitions_of(const struct field *field)
{
    struct pawl_counters counters;

    pawl_runtime_counters(field->runtime, &counters);
    return counters.transitions;
}

static double round_of(struct field *field)
{
    const struct timespec length = {.tv_nsec = 300000000};
    struct timespec begin, end;
    uint64_t before, after;

    pawl_resume(field->runtime);
    before = transitions_of(field);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    nanosleep(&length, NULL);
    after = transitions_of(field);
    clock_gettime(CLOCK_MONOTONIC, &end);
    pawl_pause(field->runtime);
    return (double)(after - before) /
           ((double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static struct field fields[COUNTS_MAX];
    const uint64_t tasks = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
    unsigned counts[COUNTS_MAX] = {1, 2};
    unsigned count = 2;
    struct pawl_machine *machine;
    const int error = pawl_machine_compile(&passer, NULL, NULL, &machine);

    if (error != 0)
        fail("compiling", error);
    for (int i = 2; i < argc && i - 2 < COUNTS_MAX; i++, count = (unsigned)i - 2)
        counts[i - 2] = (unsigned)strtoul(argv[i], NULL, 0);
    for (unsigned i = 0; i < count; i++)
        field_open(&fields[i], machine, tasks, counts[i]);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < count; i++)
            fields[i].rates[round] = round_of(&fields[i]);
    for (unsigned i = 0; i < count; i++)
        qsort(fields[i].rates, ROUNDS, sizeof(double), by_size);
    for (unsigned i = 0; i < count; i++)
        printf("%4u shards of %llu tasks  %8.1f M steps/s  (%.1f to %.1f)  %5.2f of the first\n",
               fields[i].shards, (unsigned long long)tasks, fields[i].rates[ROUNDS / 2] / 1e6,
               fields[i].rates[0] / 1e6, fields[i].rates[ROUNDS - 1] / 1e6,
               fields[i].rates[ROUNDS / 2] / fields[0].rates[ROUNDS / 2]);
    for (unsigned i = 0; i < count; i++)
        field_close(&fields[i]);
    pawl_machine_destroy(machine);
    return 0;
}
