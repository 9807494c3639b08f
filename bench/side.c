/*
 * side.c - both sides of the rows of memory (side.h).
 */
#include "side.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bits.h"
#include "harness.h"

enum {
    BATCH = 1024,    /* events in one call, and completions */
    CAPACITY = 4096, /* of ports */
};

void *side_memory(uint64_t bytes)
{
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (got == MAP_FAILED)
        bench_fail("no memory for %llu bytes", (unsigned long long)bytes);
    madvise(got, bytes, MADV_HUGEPAGE);
    return got;
}

void side_sleep_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                                  .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&time, NULL);
}

/* ---- A machine that counts, in as many states as a life has steps ---- */

static void pawl_advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counts *counts = context;

    (void)step;
    counts->count++;
    counts->sum += event->arg[0];
}

static const char *const life_events[] = {"advance", "end"};
static const struct pawl_state_def life_states[] = {
    {.name = "s0"}, {.name = "s1"}, {.name = "ended", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def life_transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = pawl_advance},
    {.from = "s1", .on = "advance", .to = "s0", .action = pawl_advance},
    {.from = "s0", .on = "end", .to = "ended"},
    {.from = "s1", .on = "end", .to = "ended"},
};
static const struct pawl_machine_def side_life = {
    .name = "life",
    .events = life_events,
    .events_count = ARRAY_LEN(life_events),
    .states = life_states,
    .states_count = ARRAY_LEN(life_states),
    .transitions = life_transitions,
    .transitions_count = ARRAY_LEN(life_transitions),
    .context_size = sizeof(struct counts),
};

static void hand_advance(void *user, struct hand_task *task, const struct hand_event *event)
{
    (void)user;
    task->count++;
    task->sum += event->arg[0];
}

static hand_action *const hand_actions[] = {hand_advance, hand_advance};
static const uint64_t hand_targets[] = {1, 0};
const struct hand_machine side_hand_machine = {hand_actions, hand_targets};

/* ---- Pawl: a runtime with one machine ---- */

void side_open(struct side *side, const struct pawl_machine_def *definition,
               struct pawl_options *options)
{
    const struct pawl_port_options size = {.capacity = CAPACITY};
    const struct pawl_machine *machines[1];

    bench_need(pawl_machine_compile(definition, NULL, NULL, &side->machine), "compiling");
    machines[0] = side->machine;
    options->machines = machines;
    options->machine_count = 1;
    side->host = options->drive == PAWL_DRIVE_HOST;
    bench_need(pawl_open(options, &side->runtime), "opening");
    bench_need(pawl_start(side->runtime), "starting");
    bench_need(pawl_port_open(side->runtime, &size, &side->port), "a port");
}

void side_open_host(struct side *side)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    options.drive = PAWL_DRIVE_HOST;
    options.shards = 1;
    side_open(side, &side_life, &options);
}

void side_turn(struct side *side)
{
    if (side->host)
        while (pawl_turn(side->runtime, 0) > 0)
            ;
}

void side_close(struct side *side)
{
    int error;

    while ((error = pawl_port_close(side->port, UINT64_MAX)) == -EAGAIN)
        side_turn(side);
    bench_need(error, "closing the port");
    bench_need(pawl_close(side->runtime), "closing");
    pawl_machine_destroy(side->machine);
}

uint64_t side_make(struct side *side, uint64_t count, uint64_t *ids)
{
    const struct pawl_task_spec spec = {.shard = PAWL_ANY_SHARD};
    struct pawl_completion done[BATCH];
    uint64_t asked = 0, made = 0, first = 0;

    while (made < count) {
        int got;

        while (asked < count && pawl_port_create(side->port, &spec, 0) == 0)
            asked++;
        side_turn(side);
        while ((got = pawl_port_reap(side->port, done, BATCH)) > 0)
            for (int i = 0; i < got; i++, made++) {
                bench_need(done[i].status, "a task");
                if (made == 0)
                    first = done[i].task.id;
                if (ids != NULL)
                    ids[made] = done[i].task.id;
            }
        bench_need(got, "reaping");
    }
    return first;
}

void side_post(struct side *side, const struct pawl_event *events, unsigned count)
{
    unsigned posted = 0;

    while (posted < count) {
        const int took = pawl_port_post(side->port, events + posted, count - posted);

        if (took != -EAGAIN)
            bench_need(took, "posting");
        posted += took > 0 ? (unsigned)took : 0;
        side_turn(side);
    }
}

void side_post_each(struct side *side, const uint64_t *ids, uint64_t count, uint16_t code)
{
    struct pawl_event batch[BATCH];

    for (uint64_t at = 0; at < count;) {
        unsigned fill = 0;

        for (; fill < BATCH && at < count; fill++, at++)
            batch[fill] = (struct pawl_event){.task = {ids[at]}, .code = code, .arg = {1}};
        side_post(side, batch, fill);
    }
}

struct pawl_counters side_counters(const struct side *side)
{
    struct pawl_counters counters;

    pawl_runtime_counters(side->runtime, &counters);
    return counters;
}
