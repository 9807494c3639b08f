/*
 * gate.c - kernels whose instructions are counted, so that a loss of speed fails a check and not only
 * a graph.
 *
 *   pawl_gate KERNEL       runs it once and prints "operations N"
 *   pawl_gate --list       the kernels
 *   pawl_gate --toolchain  what decides the counts besides the source
 *
 * bench/gate runs each kernel under callgrind, which counts only inside gate_measured. A count does not
 * depend on load, clock or cache, so a few per cent mean something; it does not see cache misses and
 * mispredictions either, which is what pawl_bench is for.
 *
 * So that a count is the same in each run and on each machine: one thread, fixed seeds, a clock that is
 * moved by hand, libc's malloc, plain pages, static memory where copies are aligned by it. Set-up, one
 * round that warms up, and the check that the work was done are outside of what is counted.
 */
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "gate_cycle.h"
#include "harness.h"
#include "queue/fifo.h"
#include "queue/spsc.h"
#include "step_kinds.h"
#include "task/index.h"
#include "task/table.h"
#include "time/wheel.h"

#ifndef GATE_FLAGS
#define GATE_FLAGS "unknown flags"
#endif

struct kernel {
    const char *name;
    uint64_t operations; /* that one call of run does */
    void (*open)(const struct kernel *kernel);
    void (*run)(uint64_t operations);
    void (*check)(uint64_t operations); /* after one or more runs */
    const struct step_kind *kind;       /* of steps */
};

static uint64_t runs; /* calls of run, the warming one included */

/* Kernels and step_kinds.h report through this; it is no part of pawl_bench here. */
void bench_fail(const char *format, ...)
{
    va_list arguments;

    fputs("pawl_gate: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

static void must(bool holds, const char *what)
{
    if (!holds)
        bench_fail("%s", what);
}

/* ---- The ring ---- */

enum { RING_CELLS = 1024, RING_BATCH = 32 };

static struct spsc ring;
static alignas(64) struct cell ring_cells[RING_CELLS];
static alignas(64) struct cell ring_batch[RING_BATCH];
static uint64_t ring_sum;

static void ring_open(const struct kernel *kernel)
{
    (void)kernel;
    spsc_init(&ring, ring_cells, RING_CELLS);
    for (unsigned i = 0; i < RING_BATCH; i++)
        ring_batch[i].word[0] = 1;
}

static void ring_run_1(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        struct cell cell = {{1, i, 0, 0}};

        spsc_push(&ring, &cell, 1);
        cell.word[0] = 0;
        spsc_pop(&ring, &cell, 1);
        ring_sum += cell.word[0];
    }
}

static void ring_run_32(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i += RING_BATCH) {
        spsc_push(&ring, ring_batch, RING_BATCH);
        ring_sum += spsc_pop(&ring, ring_batch, RING_BATCH);
    }
}

static void ring_run_in_place(uint64_t operations)
{
    uint64_t left = operations;

    while (left > 0) {
        uint32_t claimed = RING_BATCH, found = RING_BATCH;
        struct cell *to = spsc_claim(&ring, &claimed);
        const struct cell *from;

        for (uint32_t i = 0; i < claimed; i++)
            to[i] = (struct cell){{1, i, i, i}};
        spsc_publish(&ring, claimed);
        from = spsc_peek(&ring, &found);
        for (uint32_t i = 0; i < found; i++)
            ring_sum += from[i].word[0];
        spsc_release(&ring, found);
        left -= claimed;
    }
}

static void ring_check(uint64_t operations)
{
    must(ring_sum == runs * operations, "the ring has lost cells");
}

/* ---- The fifo ---- */

enum { FIFO_FILL = 512, FIFO_CHUNKS = 16 };

static struct fifo fifo;
static alignas(4096) char fifo_memory[FIFO_CHUNKS][FIFO_CHUNK_SIZE];
static void *fifo_free[FIFO_CHUNKS];
static unsigned fifo_free_count;
static uint64_t fifo_sum;

static void *fifo_get(void *user)
{
    (void)user;
    return fifo_free_count > 0 ? fifo_free[--fifo_free_count] : NULL;
}

static void fifo_put(void *user, void *chunk)
{
    (void)user;
    fifo_free[fifo_free_count++] = chunk;
}

static void fifo_open(const struct kernel *kernel)
{
    (void)kernel;
    for (unsigned i = 0; i < FIFO_CHUNKS; i++)
        fifo_put(NULL, fifo_memory[i]);
    pawl__fifo_init(&fifo, &(struct fifo_source){.get = fifo_get, .put = fifo_put});
}

static void fifo_run(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i += FIFO_FILL) {
        for (unsigned n = 0; n < FIFO_FILL; n++) {
            const struct cell cell = {{1, n, 0, 0}};

            fifo_push(&fifo, &cell);
        }
        while (fifo_count(&fifo) > 0) {
            uint32_t found = BATCH_MAX;
            const struct cell *cells = fifo_peek(&fifo, &found);

            for (uint32_t n = 0; n < found; n++)
                fifo_sum += cells[n].word[0];
            fifo_release(&fifo, found);
        }
    }
}

static void fifo_check(uint64_t operations)
{
    must(fifo_sum == runs * operations, "the fifo has lost cells");
}

/* ---- The table of tasks ---- */

enum { TABLE_TASKS = 1000, TABLE_GETS = 4096 };

static struct table table;
static struct pawl_task table_tasks[TABLE_TASKS];
static struct pawl_task table_gets[TABLE_GETS];
static unsigned table_oldest;
static uint64_t table_sum;

/* A new task, alive, as the first step's commit leaves it. */
static struct pawl_task table_create(void)
{
    const uint32_t index = pawl__table_reserve(&table, 0, sizeof(struct step_counts));
    struct slot *slot = table_slot(&table, index);

    must(index != 0, "the table is full");
    slot_write_begin(slot, load_relaxed(&slot->head));
    slot_write_end(slot, load_relaxed(&slot->head), SLOT_ALIVE, 1);
    return id_make(0, load_relaxed(&slot->generation), index);
}

static void table_open(const struct kernel *kernel)
{
    static const uint32_t context_sizes[] = {sizeof(struct step_counts)};
    const struct table_options options = {
        .tasks_max = 1u << 20, .seed = 1, .context_sizes = context_sizes, .context_sizes_count = 1};
    struct random random = {2};

    (void)kernel;
    step_must(pawl__table_init(&table, &options), "making a table");
    for (unsigned i = 0; i < TABLE_TASKS; i++)
        table_tasks[i] = table_create();
    for (unsigned i = 0; i < TABLE_GETS; i++)
        table_gets[i] = table_tasks[random_below(&random, TABLE_TASKS)];
}

static void table_run_churn(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        struct pawl_task *task = &table_tasks[table_oldest];

        table_oldest = (table_oldest + 1) % TABLE_TASKS;
        pawl__table_release(&table, id_slot(*task), sizeof(struct step_counts));
        *task = table_create();
        if (i % BATCH_MAX == 0)
            pawl__table_work(&table);
    }
}

static void table_run_get(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        const struct pawl_task task = table_gets[i % TABLE_GETS];
        struct slot *slot = table_slot(&table, id_slot(task));
        const uint64_t head = load_relaxed(&slot->head);

        if (slot_is_live(slot, id_generation(task), head))
            table_sum += head_state(head) +
                         load_relaxed(table_context(&table, slot, sizeof(struct step_counts)));
    }
}

static void table_check_churn(uint64_t operations)
{
    (void)operations;
    must(slab_live(&table.slots) == TABLE_TASKS, "the table has lost tasks");
    for (unsigned i = 0; i < TABLE_TASKS; i++) {
        const struct slot *slot = table_slot(&table, id_slot(table_tasks[i]));

        must(slot_is_live(slot, id_generation(table_tasks[i]), load_relaxed(&slot->head)),
             "a task is not in the table");
    }
}

static void table_check_get(uint64_t operations)
{
    must(table_sum == runs * operations, "the table has not found its tasks");
}

/* ---- The index of keys ---- */

enum { INDEX_KEYS = 4096, INDEX_LONG = 32, INDEX_MANY = 64, INDEX_WORK_EVERY = 64 };

static struct reclaim index_reclaim;
static struct index keys;
static char index_key_bytes[2 * INDEX_KEYS][INDEX_LONG];
static uint32_t index_records[2 * INDEX_KEYS];
static struct index_query index_queries[INDEX_KEYS];
static size_t index_length;
static unsigned index_next; /* key to insert; the one INDEX_KEYS before it is the oldest */
static uint64_t index_generation = 1;
static uint64_t index_found;

static void index_put(unsigned key)
{
    step_must(index_insert(&keys, index_key_bytes[key], index_length, key + 1,
                           (uint32_t)(index_generation & GENERATION_MAX), &index_records[key], NULL,
                           NULL),
              "inserting a key");
}

static void index_open(size_t length)
{
    struct random random = {3};

    index_length = length;
    reclaim_init(&index_reclaim);
    step_must(index_init(&keys, &index_reclaim, 1, 1u << 20, false), "making an index");
    for (unsigned i = 0; i < 2 * INDEX_KEYS; i++)
        for (unsigned at = 0; at < INDEX_LONG; at += 8) {
            /* The number makes them different, whatever is drawn. */
            const uint64_t word = at == 0 ? random_next(&random) << 16 | i : random_next(&random);

            memcpy(index_key_bytes[i] + at, &word, sizeof(word));
        }
    for (; index_next < INDEX_KEYS; index_next++)
        index_put(index_next);
    for (unsigned i = 0; i < INDEX_KEYS; i++)
        index_queries[i] = (struct index_query){
            .key = index_key_bytes[random_below(&random, INDEX_KEYS)], .length = length};
    while (index_work(&keys, 1u << 16))
        reclaim_synchronize(&index_reclaim);
    reclaim_synchronize(&index_reclaim);
}

static void index_open_short(const struct kernel *kernel)
{
    (void)kernel;
    index_open(8);
}

static void index_open_long(const struct kernel *kernel)
{
    (void)kernel;
    index_open(INDEX_LONG);
}

static void index_run_churn(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        index_remove(&keys, index_records[(index_next + INDEX_KEYS) % (2 * INDEX_KEYS)]);
        index_put(index_next);
        if (++index_next == 2 * INDEX_KEYS) {
            index_next = 0;
            index_generation++; /* a slot is bound once in each generation */
        }
        if (i % INDEX_WORK_EVERY == 0)
            index_work(&keys, 256);
    }
}

static void index_run_find(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        const struct index_query *query = &index_queries[i % INDEX_KEYS];
        uint32_t slot, generation;

        index_found += index_find(&keys, query->key, query->length, &slot, &generation);
    }
}

static void index_run_many(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i += INDEX_MANY)
        index_found += index_find_many(&keys, &index_queries[i % INDEX_KEYS], INDEX_MANY);
}

static void index_check_churn(uint64_t operations)
{
    (void)operations;
    reclaim_synchronize(&index_reclaim);
    must(index_keys(&keys) == INDEX_KEYS && index_validate(&keys), "the index has lost keys");
}

static void index_check_find(uint64_t operations)
{
    must(index_found == runs * operations, "the index has not found its keys");
}

/* ---- The wheel ---- */

enum { WHEEL_TIMERS = 4096, WHEEL_RANGE = 1 << 14, WHEEL_STEP = 16 };

static struct wheel wheel;
static struct slab wheel_nodes;
static uint32_t wheel_timers[WHEEL_TIMERS]; /* in the order in which they are armed */
static uint32_t wheel_delays[WHEEL_TIMERS];
static uint64_t wheel_now;
static uint64_t wheel_expired;

static void wheel_open(bool shuffled)
{
    const struct slab_options options = {.object_size = sizeof(struct timer_node),
                                         .link_offset = offsetof(struct timer_node, next),
                                         .objects_max = 2 * WHEEL_TIMERS};
    struct random random = {4};

    step_must(slab_init(&wheel_nodes, &options), "making timers");
    pawl__wheel_init(&wheel, &wheel_nodes, 0);
    for (unsigned i = 0; i < WHEEL_TIMERS; i++) {
        wheel_timers[i] = slab_alloc(&wheel_nodes);
        timer_node_init(wheel_node(&wheel, wheel_timers[i]));
        wheel_delays[i] = 1 + i * (WHEEL_RANGE / WHEEL_TIMERS);
    }
    for (unsigned i = WHEEL_TIMERS - 1; shuffled && i > 0; i--) {
        const unsigned other = (unsigned)random_below(&random, i + 1);
        const uint32_t timer = wheel_timers[i];

        wheel_timers[i] = wheel_timers[other];
        wheel_timers[other] = timer;
    }
    for (unsigned i = 0; shuffled && i < WHEEL_TIMERS; i++)
        wheel_delays[i] = 1 + (uint32_t)random_below(&random, WHEEL_RANGE);
}

static void wheel_open_ordered(const struct kernel *kernel)
{
    (void)kernel;
    wheel_open(false);
}

static void wheel_open_random(const struct kernel *kernel)
{
    (void)kernel;
    wheel_open(true);
}

static void wheel_run_cancel(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i += WHEEL_TIMERS) {
        for (unsigned n = 0; n < WHEEL_TIMERS; n++)
            wheel_arm(&wheel, wheel_timers[n], wheel_now + wheel_delays[n]);
        /* An odd factor visits all of them, in another order. */
        for (unsigned n = 0; n < WHEEL_TIMERS; n++)
            wheel_cancel(&wheel, wheel_timers[n * 1021u % WHEEL_TIMERS]);
    }
}

static void wheel_run_expire(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i += WHEEL_TIMERS) {
        for (unsigned n = 0; n < WHEEL_TIMERS; n++)
            wheel_arm(&wheel, wheel_timers[n], wheel_now + wheel_delays[n]);
        while (wheel_armed_count(&wheel) > 0) {
            wheel_now += WHEEL_STEP;
            pawl__wheel_advance(&wheel, wheel_now, UINT32_MAX);
            while (wheel_due_pop(&wheel) != 0)
                wheel_expired++;
        }
    }
}

static void wheel_check_cancel(uint64_t operations)
{
    (void)operations;
    pawl__wheel_validate(&wheel);
    must(wheel_armed_count(&wheel) == 0, "timers are armed that were cancelled");
}

static void wheel_check_expire(uint64_t operations)
{
    pawl__wheel_validate(&wheel);
    must(wheel_expired == runs * operations, "timers have not expired");
}

/* ---- Steps: whole turns ---- */

enum { SIDE_FILLS = 4, SIDE_EVENTS = SIDE_FILLS * STEP_BATCH, SIDE_REAP = 256, SIDE_PEEKS = 4096 };

static struct pawl_virtual_clock *side_clock;
static struct step_side side;
static struct step_feed feed;
static struct pawl_event side_events[2 * SIDE_FILLS][STEP_BATCH]; /* of both runs */
static unsigned side_fill;                                        /* the next of them */
static uint64_t side_completed;

static void side_open(const struct kernel *kernel)
{
    step_must(pawl_virtual_clock_create(1000000000, &side_clock), "making a clock");
    step_side_open(&side, kernel->kind, pawl_virtual_clock_seam(side_clock));
    step_feed_init(&feed, kernel->kind);
    for (unsigned i = 0; i < 2 * SIDE_FILLS; i++)
        step_feed_fill(&feed, side_events[i], side.first);
}

static void side_open_asking(const struct kernel *kernel)
{
    side_open(kernel);
    for (unsigned i = 0; i < 2 * SIDE_FILLS; i++)
        for (unsigned n = 0; n < STEP_BATCH; n++)
            side_events[i][n].flags = PAWL_EVENT_COMPLETE;
}

/* A millisecond a batch, so that the wheel of timers has something to do. */
static void side_tick(void)
{
    pawl_virtual_clock_advance_to(side_clock, pawl_virtual_clock_now_ns(side_clock) + 1000000);
}

static void side_run(uint64_t operations)
{
    const uint64_t fills = operations / side.kind->steps / STEP_BATCH;

    for (uint64_t i = 0; i < fills; i++) {
        side_tick();
        step_side_run(&side, side_events[side_fill++], STEP_BATCH);
    }
}

static void side_run_completing(uint64_t operations)
{
    static struct pawl_completion done[SIDE_REAP];

    for (uint64_t i = 0; i < operations; i += STEP_BATCH) {
        int reaped;

        side_tick();
        step_side_run(&side, side_events[side_fill++], STEP_BATCH);
        while ((reaped = pawl_port_reap(side.port, done, SIDE_REAP)) > 0)
            for (int n = 0; n < reaped; n++)
                side_completed += done[n].status == 0;
    }
}

static void side_check(uint64_t operations)
{
    static struct pawl_event rest[STEP_BATCH];

    (void)operations;
    step_side_run(&side, rest, step_feed_finish(&feed, rest, side.first));
    step_side_check(&side, &feed);
    step_side_close(&side);
    pawl_virtual_clock_destroy(side_clock);
}

static void side_check_completing(uint64_t operations)
{
    must(side_completed == runs * operations, "completions are missing");
    side_check(operations);
}

/* ---- Creation inside a step ---- */

/* The child's end is posted to it at once: a task is created and ends for each event. */
static void create_child(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.shard = pawl_step_shard(step)};
    struct pawl_task child = PAWL_NO_TASK;

    step_advance(step, context, event);
    pawl_step_create(step, &spec, PAWL_NO_REPLY, &child);
    pawl_step_post(step, &(struct pawl_event){.task = child, .code = 1});
}

static const char *const create_events[] = {"create", "end"};
static const struct pawl_state_def create_states[] = {{.name = "alive"},
                                                      {.name = "ended", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def create_transitions[] = {
    {.from = "alive", .on = "create", .action = create_child},
    {.from = "alive", .on = "end", .to = "ended"},
};
static const struct pawl_machine_def create_machine =
    STEP_MACHINE("create", create_events, create_states, create_transitions);
static const struct step_kind create_kind = {
    .name = "step-create-end", .machine = &create_machine, .steps = 1, .counts = 1, .sums = 1};

/* ---- Looking at tasks from outside ---- */

static struct pawl_task peeks[SIDE_PEEKS];
static uint64_t peeks_sum;
static uint64_t peeks_done;

static void peek_open(const struct kernel *kernel)
{
    struct random random = {5};

    side_open(kernel);
    side_run(2 * SIDE_EVENTS);
    for (unsigned i = 0; i < SIDE_PEEKS; i++)
        peeks[i] = (struct pawl_task){side.first + random_below(&random, STEP_TASKS)};
}

static void peek_run(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        struct step_counts counts = {0};
        struct pawl_view view = {.context = &counts, .context_capacity = sizeof(counts)};

        peeks_done += pawl_task_peek(side.runtime, peeks[i % SIDE_PEEKS], &view) == 0;
        peeks_sum += counts.count;
    }
}

static void peek_check(uint64_t operations)
{
    must(peeks_done == runs * operations && peeks_sum > 0, "a task was not there");
    side_check(operations);
}

/* ---- Compiling a machine ---- */

/* Six outer states with five leaves each, 16 events, 138 transitions. */
enum { OUTER = 6, LEAVES = 5, DEF_STATES = OUTER * (1 + LEAVES), DEF_EVENTS = 16 };
enum { DEF_TRANSITIONS = OUTER * LEAVES * 4 + OUTER * 3 };

static char def_state_names[DEF_STATES][16];
static char def_event_names[DEF_EVENTS][16];
static const char *def_events[DEF_EVENTS];
static struct pawl_state_def def_states[DEF_STATES];
static struct pawl_transition_def def_transitions[DEF_TRANSITIONS];
static unsigned def_transitions_count;
static struct pawl_machine_def def;
static uint64_t def_compiled;

static unsigned def_leaf(unsigned outer, unsigned leaf)
{
    return outer * (1 + LEAVES) + 1 + leaf % LEAVES;
}

static void def_add(unsigned from, unsigned event, unsigned to, pawl_guard_fn *guard)
{
    def_transitions[def_transitions_count++] =
        (struct pawl_transition_def){.from = def_states[from].name,
                                     .on = def_events[event],
                                     .to = def_states[to].name,
                                     .guard = guard,
                                     .action = step_advance};
}

static void def_open(const struct kernel *kernel)
{
    (void)kernel;
    for (unsigned i = 0; i < DEF_EVENTS; i++) {
        snprintf(def_event_names[i], sizeof(def_event_names[i]), "event-%u", i);
        def_events[i] = def_event_names[i];
    }
    for (unsigned i = 0; i < DEF_STATES; i++) {
        snprintf(def_state_names[i], sizeof(def_state_names[i]), "state-%u", i);
        def_states[i].name = def_state_names[i];
    }
    for (unsigned outer = 0; outer < OUTER; outer++) {
        const unsigned self = outer * (1 + LEAVES), next = (outer + 1) % OUTER * (1 + LEAVES);

        def_states[self].initial = def_states[self + 1].name;
        def_states[self].entry = step_enter;
        def_states[self].exit = step_leave;
        def_states[self].timeout_ns = STEP_TIMEOUT_NS;
        def_states[self].timeout = def_events[0];
        for (unsigned event = 0; event < 3; event++)
            def_add(self, event, (next + event * (1 + LEAVES)) % DEF_STATES, NULL);
        for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
            const unsigned state = def_leaf(outer, leaf);
            const unsigned event = 3 + (outer + leaf) % (DEF_EVENTS - 5);

            def_states[state].parent = def_states[self].name;
            def_add(state, event, def_leaf(outer, leaf + 1), step_is_zero);
            def_add(state, event, def_leaf(outer, leaf + 2), NULL);
            def_add(state, event + 1, def_leaf((outer + 1) % OUTER, leaf), NULL);
            def_add(state, event + 2, state, step_is_not_zero);
        }
    }
    must(def_transitions_count == DEF_TRANSITIONS, "the definition has lost transitions");
    def = (struct pawl_machine_def){.name = "mid-size",
                                    STEP_LIST(events, def_events),
                                    STEP_LIST(states, def_states),
                                    STEP_LIST(transitions, def_transitions),
                                    .context_size = sizeof(struct step_counts)};
}

static void def_run(uint64_t operations)
{
    for (uint64_t i = 0; i < operations; i++) {
        struct pawl_machine *machine;

        step_must(pawl_machine_compile(&def, NULL, NULL, &machine), "compiling");
        def_compiled += pawl_machine_state_count(machine) == DEF_STATES;
        pawl_machine_destroy(machine);
    }
}

static void def_check(uint64_t operations)
{
    must(def_compiled == runs * operations, "a machine has lost states");
}

/* ---- Agents ---- */

static void cycle_open_kernel(const struct kernel *kernel)
{
    (void)kernel;
    gate_cycle_open();
}

static void cycle_check_kernel(uint64_t operations)
{
    gate_cycle_check(runs * operations);
}

/* ---- All of them ---- */

#define STEP_KERNEL(kind_)                                                                         \
    {                                                                                              \
        .operations = SIDE_EVENTS, .open = side_open, .run = side_run, .check = side_check,        \
        .kind = kind_                                                                              \
    }

static struct kernel kernels[] = {
    {"ring-push-pop-b1", 1 << 14, ring_open, ring_run_1, ring_check, NULL},
    {"ring-push-pop-b32", 1 << 16, ring_open, ring_run_32, ring_check, NULL},
    {"ring-claim-peek", 1 << 16, ring_open, ring_run_in_place, ring_check, NULL},
    {"fifo-push-pop", 1 << 16, fifo_open, fifo_run, fifo_check, NULL},
    {"table-create-end", 1 << 14, table_open, table_run_churn, table_check_churn, NULL},
    {"table-get", 1 << 16, table_open, table_run_get, table_check_get, NULL},
    {"index-insert-remove", 1 << 14, index_open_short, index_run_churn, index_check_churn, NULL},
    {"index-find", 1 << 15, index_open_short, index_run_find, index_check_find, NULL},
    {"index-find-32B", 1 << 14, index_open_long, index_run_find, index_check_find, NULL},
    {"index-find-many", 1 << 15, index_open_short, index_run_many, index_check_find, NULL},
    {"wheel-arm-cancel", 1 << 15, wheel_open_random, wheel_run_cancel, wheel_check_cancel, NULL},
    {"wheel-expire-ordered", 1 << 15, wheel_open_ordered, wheel_run_expire, wheel_check_expire,
     NULL},
    {"wheel-expire-random", 1 << 15, wheel_open_random, wheel_run_expire, wheel_check_expire, NULL},
    STEP_KERNEL(&step_kinds[STEP_FLAT]),
    STEP_KERNEL(&step_kinds[STEP_NESTED]),
    STEP_KERNEL(&step_kinds[STEP_GUARD]),
    STEP_KERNEL(&step_kinds[STEP_TIMEOUT]),
    STEP_KERNEL(&step_kinds[STEP_DEFER]),
    STEP_KERNEL(&step_kinds[STEP_RAISE]),
    STEP_KERNEL(&step_kinds[STEP_POST]),
    STEP_KERNEL(&step_kinds[STEP_ASK]),
    STEP_KERNEL(&create_kind),
    {"port-post-reap", SIDE_EVENTS, side_open_asking, side_run_completing, side_check_completing,
     &step_kinds[STEP_FLAT]},
    {"peek", 1 << 14, peek_open, peek_run, peek_check, &step_kinds[STEP_FLAT]},
    {"agent-cycle", GATE_CYCLES, cycle_open_kernel, gate_cycle_run, cycle_check_kernel, NULL},
    {"machine-compile", 8, def_open, def_run, def_check, NULL},
};
enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]) };

/* What is counted: callgrind collects from this function's entry to its return, and knows it by its
 * name; so it is neither static nor cloned, which would give it another. */
#if defined __clang__
#define WHOLE __attribute__((noinline))
#else
#define WHOLE __attribute__((noinline, noclone))
#endif
WHOLE void gate_measured(const struct kernel *kernel);

void gate_measured(const struct kernel *kernel)
{
    kernel->run(kernel->operations);
    __asm__ volatile("" : : : "memory"); /* no jump in place of the call: it must return here */
}

static void print_toolchain(void)
{
#if defined __clang__
    const char *const compiler = "clang";
    const int version = __clang_major__;
#else
    const char *const compiler = "gcc";
    const int version = __GNUC__;
#endif
#if defined __GLIBC__
    const char *const libc = gnu_get_libc_version();
#else
    const char *const libc = "none";
#endif
#if defined __x86_64__
    const char *const processor = "x86-64";
#else
    const char *const processor = "another processor";
#endif

    printf("%s %d, glibc %s, %s, %s\n", compiler, version, libc, processor, GATE_FLAGS);
}

int main(int argc, char **argv)
{
    const struct kernel *kernel = NULL;

    /* The kernels of steps are called, and last, as their kinds say. */
    for (unsigned i = 0; i < KERNELS; i++)
        if (kernels[i].name == NULL) {
            kernels[i].name = kernels[i].kind->name;
            kernels[i].operations *= kernels[i].kind->steps;
        }
    for (unsigned i = 0; argc == 2 && i < KERNELS; i++)
        if (strcmp(argv[1], kernels[i].name) == 0)
            kernel = &kernels[i];
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < KERNELS; i++)
            puts(kernels[i].name);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--toolchain") == 0) {
        print_toolchain();
        return 0;
    }
    if (kernel == NULL) {
        fputs("usage: pawl_gate KERNEL | --list | --toolchain\n", stderr);
        return 2;
    }
    kernel->open(kernel);
    kernel->run(kernel->operations); /* pages are there, paths taken once */
    gate_measured(kernel);
    runs = 2;
    kernel->check(kernel->operations);
    printf("operations %llu\n", (unsigned long long)kernel->operations);
    return 0;
}
