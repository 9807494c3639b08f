/*
 * bench_depend.c - work tasks that wait for others.
 *
 * An operation is a release: a task completes, and one that waits for it hears of it and, if it was
 * the last that it waited for, goes on.
 *
 *   depend-chain  each task waits for the one before
 *   depend-graph  layers of a thousand; each task waits for two of the layer before
 *
 * The graph is declared anew for each round with pawl_work_graph, held back by one task that all
 * others wait for in the end; a round is from when that is let go until the last one is known to
 * have completed. "pawl" has groups, which complete by themselves: that is the way of a release
 * alone. In "pawl-agent" each task is also ready, leased by an agent and reported.
 */
#include <stdlib.h>

#include "base/bits.h"
#include "cycle.h"
#include "harness.h"
#include "rows.h"

enum { WIDTH = 1000, CREDITS = 1024 };

#define KEEP_NS UINT64_C(3600000000000) /* until they are discarded, after the round */

static void need(const void *memory)
{
    if (memory == NULL)
        bench_fail("depend: no memory");
}

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("depend: %s: %s", what, pawl_strerror(error));
}

static double seconds_since(uint64_t begin)
{
    return (double)(bench_now_ns() - begin) * 1e-9;
}

/* ---- The graph: task 0 holds back the first layer, the last task waits for the last layer ---- */

struct graph {
    uint32_t tasks; /* the first and the last included */
    uint32_t width; /* of a layer */
    size_t edges_count;
    struct pawl_work_edge *edges;
};

static void add_edge(struct graph *graph, uint32_t task, uint32_t after)
{
    graph->edges[graph->edges_count++] = (struct pawl_work_edge){.task = task, .after = after};
}

static void graph_init(struct graph *graph, const struct bench_row *row)
{
    const uint32_t width = row->name[7] == 'c' ? 1 : WIDTH; /* depend-chain, depend-graph */
    const uint32_t between = (uint32_t)row->size / width * width;

    *graph = (struct graph){.tasks = between + 2, .width = width};
    graph->edges = calloc(2 * (size_t)between + width, sizeof(*graph->edges));
    need(graph->edges);
    for (uint32_t i = 1; i <= between; i++) {
        const uint32_t place = (i - 1) % width;

        if (i <= width) {
            add_edge(graph, i, 0);
            continue;
        }
        add_edge(graph, i, i - width);
        if (width > 1)
            add_edge(graph, i, place + 1 < width ? i - width + 1 : i - width - place);
    }
    for (uint32_t i = between - width + 1; i <= between; i++)
        add_edge(graph, between + 1, i);
}

/* ---- Pawl ---- */

struct side {
    struct graph graph;
    bool with_agent;
    struct cycle *cycle;
    struct pawl_work_spec *specs;
    struct pawl_task *tasks;
};

static void *pawl_open_side(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = calloc(1, sizeof(*side));

    need(side);
    side->with_agent = contender->detail != NULL;
    graph_init(&side->graph, row);
    side->specs = calloc(side->graph.tasks, sizeof(*side->specs));
    side->tasks = calloc(side->graph.tasks, sizeof(*side->tasks));
    need(side->specs);
    need(side->tasks);
    for (uint32_t i = 0; i < side->graph.tasks; i++) {
        side->specs[i] = PAWL_WORK_SPEC_INIT;
        side->specs[i].shard = 0;
        side->specs[i].lane = cycle_lane;
        side->specs[i].flags = side->with_agent && i > 0 ? 0 : PAWL_WORK_GROUP;
    }
    side->specs[0].flags |= PAWL_WORK_HELD;
    side->cycle = cycle_open(&(struct cycle_spec){
        .drive = PAWL_DRIVE_HOST,
        .life = CYCLE_WORK,
        .shards = 1,
        .agents = 1,
        .credits = CREDITS,
        .keep_ns = KEEP_NS,
    });
    return side;
}

static void pawl_close_side(void *state)
{
    struct side *side = state;

    cycle_close(side->cycle);
    free(side->graph.edges);
    free(side->specs);
    free(side->tasks);
    free(side);
}

/*
 * What has come on the port; each must have gone well. The last one's value is returned, or
 * `value`.
 */
static uint64_t reap(struct side *side, uint64_t value)
{
    struct pawl_completion done[256];
    int reaped;

    do {
        reaped = pawl_port_reap(cycle_port(side->cycle), done, 256);
        for (int i = 0; i < reaped; i++) {
            check("a completion", done[i].status);
            value = done[i].value;
        }
    } while (reaped == 256);
    return value;
}

static void turn_until_reaped(struct side *side)
{
    while (pawl_port_outstanding(cycle_port(side->cycle)) > 0) {
        cycle_turn(side->cycle, 0);
        reap(side, 0);
    }
}

static void declare(struct side *side)
{
    const struct graph *graph = &side->graph;
    const uint32_t last = graph->tasks - 1;
    struct pawl_work_edge cycle = {0, 0};

    check("declaring a graph",
          pawl_work_graph(cycle_runtime(side->cycle), side->specs, graph->tasks, graph->edges,
                          graph->edges_count, side->tasks, &cycle));
    while (pawl_turn(cycle_runtime(side->cycle), 0) > 0)
        ;
    check("watching", pawl_work_watch(cycle_port(side->cycle), side->tasks[last], 0));
    while (pawl_turn(cycle_runtime(side->cycle), 0) > 0)
        ;
}

static void discard(struct side *side)
{
    for (uint32_t i = 0; i < side->graph.tasks; i++)
        while (pawl_work_discard(cycle_port(side->cycle), side->tasks[i], 0) != 0) {
            cycle_turn(side->cycle, 0);
            reap(side, 0);
        }
    turn_until_reaped(side);
}

static void pawl_run_side(void *state, struct bench_sample *sample)
{
    struct side *side = state;
    struct pawl_port *port = cycle_port(side->cycle);
    uint64_t receipts = 0, outcome = 0, begin;

    declare(side);
    begin = bench_now_ns();
    check("letting go", pawl_work_open(port, side->tasks[0], 0));
    while (pawl_port_outstanding(port) > 0) {
        cycle_turn(side->cycle, 0);
        if (side->with_agent)
            receipts += cycle_agent(side->cycle, 0);
        outcome = reap(side, outcome);
    }
    sample->seconds = seconds_since(begin);
    sample->operations = side->graph.tasks - 1;
    while (side->with_agent && receipts < sample->operations) {
        cycle_turn(side->cycle, 0);
        receipts += cycle_agent(side->cycle, 0);
    }
    if (outcome != PAWL_WORK_COMPLETED)
        bench_fail("depend: the last task is %s", pawl_work_state_name((unsigned)outcome));
    discard(side);
}

/* ---- The limit: counts and lists ---- */

struct bare {
    struct graph graph;
    uint32_t *first; /* of each task, and one behind: where its successors begin */
    uint32_t *successors;
    uint32_t *given; /* how many each waits for */
    uint32_t *waits; /* the same, in a round */
    uint32_t *ready; /* a ring of all of them, in the order of their release */
    uint8_t *done;
};

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bare *bare = calloc(1, sizeof(*bare));
    uint32_t tasks;

    (void)contender;
    need(bare);
    graph_init(&bare->graph, row);
    tasks = bare->graph.tasks;
    bare->first = calloc(tasks + 2, sizeof(uint32_t));
    bare->successors = calloc(bare->graph.edges_count, sizeof(uint32_t));
    bare->given = calloc(tasks, sizeof(uint32_t));
    bare->waits = calloc(tasks, sizeof(uint32_t));
    bare->ready = calloc(tasks, sizeof(uint32_t));
    bare->done = calloc(tasks, 1);
    need(bare->first);
    need(bare->successors);
    need(bare->given);
    need(bare->waits);
    need(bare->ready);
    need(bare->done);
    for (size_t i = 0; i < bare->graph.edges_count; i++)
        bare->first[bare->graph.edges[i].after + 2]++;
    for (uint32_t i = 0; i < tasks; i++)
        bare->first[i + 2] += bare->first[i + 1]; /* the last one is never read again */
    for (size_t i = 0; i < bare->graph.edges_count; i++) {
        bare->successors[bare->first[bare->graph.edges[i].after + 1]++] = bare->graph.edges[i].task;
        bare->given[bare->graph.edges[i].task]++;
    }
    return bare;
}

static void bare_run(void *state, struct bench_sample *sample)
{
    struct bare *bare = state;
    const uint32_t tasks = bare->graph.tasks;
    uint32_t taken = 0, known = 1;
    uint64_t begin;

    for (uint32_t i = 0; i < tasks; i++) {
        bare->waits[i] = bare->given[i];
        bare->done[i] = 0;
    }
    bare->ready[0] = 0;
    begin = bench_now_ns();
    for (; taken < known; taken++) {
        const uint32_t task = bare->ready[taken];

        bare->done[task] = 1;
        for (uint32_t i = bare->first[task]; i < bare->first[task + 1]; i++)
            if (--bare->waits[bare->successors[i]] == 0)
                bare->ready[known++] = bare->successors[i];
    }
    sample->seconds = seconds_since(begin);
    sample->operations = tasks - 1;
    if (known != tasks || bare->done[tasks - 1] != 1)
        bench_fail("depend: the bare loop has lost a task");
}

static void bare_close(void *state)
{
    struct bare *bare = state;

    free(bare->graph.edges);
    free(bare->first);
    free(bare->successors);
    free(bare->given);
    free(bare->waits);
    free(bare->ready);
    free(bare->done);
    free(bare);
}

/* ---- Rows ---- */

#define PAWL(given, said, agent)                                                                   \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = pawl_open_side, .run = pawl_run_side,        \
        .close = pawl_close_side, .detail = (agent)                                                \
    }

#define SAID "each task a state machine that can be looked at; one thread turns the shard; "
static const struct bench_contender contenders[] = {
    PAWL("pawl", SAID "groups, which complete when those they wait for have", NULL),
    PAWL("pawl-agent",
         SAID "each is also leased by an agent (1,024 credits) of the same thread and reported",
         "agent"),
    {.name = "limit",
     .semantics = "counts and lists of successors in arrays; no tasks, nobody who may look",
     .open = bare_open,
     .run = bare_run,
     .close = bare_close},
};

void bench_depend_rows(void)
{
    static const struct {
        const char *name, *title;
    } rows[] = {
        {"depend-chain", "a chain of tasks, each waits for the one before"},
        {"depend-graph", "a graph 1,000 wide, each task waits for two"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        bench_add(&(struct bench_row){.name = rows[i].name,
                                      .title = rows[i].title,
                                      .unit = "release",
                                      .metric = "rate",
                                      .size = bench_pick(2000, 100000, 1000000),
                                      .goal = {2e6, NULL},
                                      .contenders = contenders,
                                      .contender_count = ARRAY_LEN(contenders)});
}
