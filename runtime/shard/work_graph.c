/*
 * work_graph.c - many work tasks and who waits for whom, declared at once.
 *
 * Layer: shard. Thread: any but a shard's; in the host-driven mode one that may turn the shards.
 *
 * The order of things makes it safe. Edges are looked at first (Kahn, 1962): a circle makes nothing.
 * Then every task is made, held, with the number of tasks that it is to wait for. Then each is told
 * of them, and let go: by events of one sender to one task, which keep their order. Where a port
 * can take the answers, nobody is let go before all have been told. Without one, a task that has
 * not been told of all (a word was refused: no memory, a full store) fails instead of running too
 * soon.
 *
 * A drain refuses what a graph says, its last words too, and would leave tasks that nobody lets go
 * nor cancels. So a graph that has begun waits for the drain to be over: pawl_resume, then it goes
 * on; or pawl_stop, then the runtime has ended, and the next opening of a store does the rest.
 *
 * A process that dies meanwhile leaves tasks that nobody will ever let go. Only the next opening of
 * the store can be sure of that: it cancels what is in a graph, is held and has not been told that
 * the graph is whole. That word is for tasks that the host asked to be held; others are opened.
 * They are opened first, so that nothing that is kept for the host waits for one of those.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/work_machine.h"
#include "base/check.h"
#include "shard/exchange.h"
#include "shard/runtime.h"
#include "shard/work.h"
#include "task/event.h"

#define CREATES_AT_ONCE 4096u

/* How long the host's own turns may come to nothing while there is no room. */
#define TURN_NS UINT64_C(1000000000)

/* How often a graph that has begun looks whether a drain is over. */
#define DRAIN_LOOK_NS 1000000

struct graph {
    struct pawl_runtime *runtime;
    const struct pawl_work_spec *specs;
    uint32_t count;
    const struct pawl_work_edge *edges;
    size_t edges_count;
    struct pawl_task *tasks;
    struct pawl_work_edge *cycle; /* NULL: the caller does not care */
    struct pawl_port *port;       /* NULL: this thread turns the shards itself */
    bool *is_made;
    bool begun; /* something of it is in the shards, or on its way */
    int error;  /* the first of those that completions told */

    size_t *first;   /* of each task, and one behind: where its predecessors begin */
    uint32_t *after; /* predecessors, task by task */
};

/* ---- Edges ---- */

static int sort_edges(struct graph *g)
{
    g->first = calloc((size_t)g->count + 2, sizeof(*g->first));
    g->after = malloc((g->edges_count + 1) * sizeof(*g->after));
    if (g->first == NULL || g->after == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < g->edges_count; i++) {
        if (g->edges[i].task >= g->count || g->edges[i].after >= g->count)
            return -EINVAL;
        g->first[g->edges[i].task + 2]++;
    }
    for (uint32_t i = 0; i < g->count; i++)
        g->first[i + 2] += g->first[i + 1];
    for (size_t i = 0; i < g->edges_count; i++) /* first[t + 1] runs from t's begin to its end */
        g->after[g->first[g->edges[i].task + 1]++] = g->edges[i].after;
    return 0;
}

static size_t degree(const struct graph *g, uint32_t task)
{
    return g->first[task + 1] - g->first[task];
}

/*
 * Takes away, again and again, a task that nobody who is left waits for; what cannot be taken away
 * waits in circles. left: how many wait for each; order: room for all tasks.
 */
static uint32_t take_away(const struct graph *g, uint32_t *left, uint32_t *order)
{
    uint32_t taken = 0, known = 0;

    for (size_t i = 0; i < g->edges_count; i++)
        left[g->after[i]]++;
    for (uint32_t i = 0; i < g->count; i++)
        if (left[i] == 0)
            order[known++] = i;
    for (; taken < known; taken++)
        for (size_t i = g->first[order[taken]]; i < g->first[order[taken] + 1]; i++)
            if (--left[g->after[i]] == 0)
                order[known++] = g->after[i];
    return taken;
}

/* Whoever is left is waited for by somebody who is left: going back so often, one is in a circle. */
static struct pawl_work_edge find_cycle(const struct graph *g, const uint32_t *left, uint32_t *back)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < g->count; i++)
        for (size_t k = g->first[i]; left[i] != 0 && k < g->first[i + 1]; k++)
            back[g->after[k]] = i;
    while (left[at] == 0)
        at++;
    for (uint32_t i = 0; i < g->count; i++)
        at = back[at];
    return (struct pawl_work_edge){.task = back[at], .after = at};
}

/* No more may wait for one task than it can tell. left: zeroes, and again afterwards. */
static int refuse_crowd(struct graph *g, uint32_t *left)
{
    for (size_t i = 0; i < g->edges_count; i++)
        if (++left[g->after[i]] > WORK_WATCHERS_MAX) {
            if (g->cycle != NULL)
                *g->cycle = (struct pawl_work_edge){.task = g->after[i], .after = g->after[i]};
            return -ENOSPC;
        }
    memset(left, 0, g->count * sizeof(*left));
    return 0;
}

static int refuse_cycle(struct graph *g)
{
    uint32_t *left = calloc((size_t)g->count + 1, sizeof(*left));
    uint32_t *room = calloc((size_t)g->count + 1, sizeof(*room));
    int error = left == NULL || room == NULL ? -ENOMEM : 0;

    if (error == 0)
        error = refuse_crowd(g, left);
    if (error == 0 && take_away(g, left, room) != g->count) {
        error = -EINVAL;
        if (g->cycle != NULL)
            *g->cycle = find_cycle(g, left, room);
    }
    free(left);
    free(room);
    return error;
}

/* ---- Posting ---- */

static void name_failed(struct graph *g, size_t position)
{
    if (g->cycle != NULL)
        *g->cycle =
            (struct pawl_work_edge){.task = (uint32_t)position, .after = (uint32_t)position};
}

static void fail(struct graph *g, size_t position, int error)
{
    if (g->error != 0)
        return;
    g->error = error;
    name_failed(g, position);
}

static void take(struct graph *g, const struct pawl_completion *done)
{
    const uint32_t at = done->tag;

    if (!g->is_made[at]) {
        g->tasks[at] = done->task;
        g->is_made[at] = done->status == 0;
        if (done->status != 0)
            fail(g, at, done->status);
    } else if (done->status != 0 && done->status != -EPROTO && done->status != -ESTALE) {
        fail(g, at, done->status); /* those two: it has been settled meanwhile */
    }
}

/* All that has arrived: of creations, and of last words to tasks that are made. False: nothing. */
static bool reap(struct graph *g)
{
    struct pawl_completion done[64];
    bool some = false;
    int count;

    while ((count = pawl_port_reap(g->port, done, 64)) > 0) {
        some = true;
        for (int i = 0; i < count; i++)
            take(g, &done[i]);
    }
    return some;
}

/* Until all that was asked for has come. */
static int settle(struct graph *g)
{
    int error = 0;

    while (g->port != NULL && pawl_port_outstanding(g->port) > 0 && error == 0) {
        error = pawl_port_wait(g->port, UINT64_MAX);
        reap(g);
    }
    return g->error != 0 ? g->error : error;
}

/* False: no shard has taken anything for a while, as where they are paused or a disk is full. */
static bool turn_all(const struct graph *g)
{
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);
    int handled = 0;

    while (handled <= 0 && pawl_clock_monotonic.now_ns(NULL) - begin_ns < TURN_NS)
        for (uint32_t i = 0; i < g->runtime->shard_count; i++)
            handled = pawl_turn(g->runtime, i) > 0 ? 1 : handled;
    return handled > 0;
}

/* False: the runtime was stopped, or nothing has begun that would have to be brought to an end. */
static bool outwait_drain(struct graph *g)
{
    const struct timespec moment = {.tv_nsec = DRAIN_LOOK_NS};

    if (g->port == NULL || !g->begun || load_acquire(&g->runtime->ports->stopped) != 0)
        return false;
    reap(g);
    nanosleep(&moment, NULL);
    return true;
}

/* Until there is room: the shards take, or are made to. A buffer stays the event's. */
static int send(struct graph *g, const struct pawl_event *event)
{
    for (;;) {
        const int done = g->port != NULL ? pawl_port_post(g->port, event, 1)
                                         : pawl_task_post(g->runtime, event, 1);

        if (done == -EBUSY && outwait_drain(g))
            continue;
        if (done != -EAGAIN)
            return done < 0 ? done : 0;
        if (g->port != NULL) {
            if (!reap(g))
                sched_yield();
            continue;
        }
        if (!turn_all(g))
            return -EAGAIN;
    }
}

/* Tells a task of others. A port asks whether the task has taken it. */
static int tell(struct graph *g, uint32_t task, const struct pawl_task *after, size_t count,
                enum work_by_graph by)
{
    struct pawl_event event;
    int error = pawl__work_after_event(g->tasks[task], after, count, by, &event);

    if (error != 0)
        return error;
    event.tag = task;
    if (g->port != NULL)
        event.flags |= PAWL_EVENT_COMPLETE;
    error = send(g, &event);
    if (error != 0)
        event_drop_buffer(&event);
    return error;
}

/* ---- Making ---- */

/* One after the other, where the calling thread makes them itself. */
static int make_directly(struct graph *g, size_t *made)
{
    int error = 0;

    for (; error == 0 && *made < g->count; *made += error == 0) {
        const uint32_t i = (uint32_t)*made;
        struct work_submission submission;

        error =
            pawl__work_pack(g->runtime, &g->specs[i], true, (uint32_t)degree(g, i), &submission);
        if (error == 0)
            error = pawl_task_create(g->runtime, &submission.task, &g->tasks[i]);
        pawl__work_unpack(&submission);
        if (error != 0)
            name_failed(g, i);
    }
    return error;
}

static int create_by_port(struct graph *g, const struct pawl_task_spec *spec, uint32_t i)
{
    for (;;) {
        int error = pawl_port_create(g->port, spec, i);

        if (error == -EBUSY && outwait_drain(g))
            continue;
        g->begun |= error == 0;
        if (error != -EAGAIN)
            return error;
        error = pawl_port_wait(g->port, UINT64_MAX);
        if (error != 0 && error != -ENOENT) /* that: what is full is not ours to empty */
            return error;
        reap(g);
    }
}

/* Many under way at once. */
static int make_by_port(struct graph *g)
{
    int error = 0;

    for (uint32_t i = 0; i < g->count && error == 0 && g->error == 0; i++) {
        struct work_submission submission;

        error =
            pawl__work_pack(g->runtime, &g->specs[i], true, (uint32_t)degree(g, i), &submission);
        if (error == 0)
            error = create_by_port(g, &submission.task, i);
        if (error != 0)
            fail(g, i, error);
        pawl__work_unpack(&submission);
    }
    return settle(g);
}

static int link_task(struct graph *g, uint32_t task)
{
    struct pawl_task after[PAWL_WORK_AFTER_MAX];
    size_t at = g->first[task];
    int error = 0;

    while (error == 0 && at < g->first[task + 1]) {
        size_t count = 0;

        for (; count < PAWL_WORK_AFTER_MAX && at < g->first[task + 1]; at++)
            after[count++] = g->tasks[g->after[at]];
        error = tell(g, task, after, count, WORK_BY_GRAPH);
    }
    return error;
}

static int link_all(struct graph *g)
{
    int error = 0;

    for (uint32_t i = 0; i < g->count && error == 0; i++)
        error = link_task(g, i);
    return error == 0 ? settle(g) : error;
}

/* Those that are not the host's to open. */
static int open_all(struct graph *g)
{
    int error = 0;

    for (uint32_t i = 0; i < g->count && error == 0; i++)
        if ((g->specs[i].flags & PAWL_WORK_HELD) == 0)
            error = send(g, &(struct pawl_event){.task = g->tasks[i],
                                                 .code = WORK_OPEN,
                                                 .flags = g->port != NULL ? PAWL_EVENT_COMPLETE : 0,
                                                 .tag = i});
    return error == 0 ? settle(g) : error;
}

/* The last word to those that are. */
static int hand_over_all(struct graph *g)
{
    int error = 0;

    for (uint32_t i = 0; i < g->count && error == 0; i++)
        if ((g->specs[i].flags & PAWL_WORK_HELD) != 0)
            error = tell(g, i, NULL, 0, WORK_BY_GRAPH_LAST);
    return error == 0 ? settle(g) : error;
}

static void give_up(struct graph *g)
{
    int error = 0;

    for (uint32_t i = 0; i < g->count && error == 0; i++) {
        if (!g->is_made[i])
            continue;
        error = send(g, &(struct pawl_event){.task = g->tasks[i], .code = WORK_CANCEL});
        if (error == 0) /* and its key */
            error = send(g, &(struct pawl_event){.task = g->tasks[i], .code = WORK_DISCARD});
    }
}

static int make(struct graph *g)
{
    size_t made = 0;
    int error;

    if (g->port != NULL) {
        error = make_by_port(g);
    } else {
        error = make_directly(g, &made);
        memset(g->is_made, true, made);
    }
    if (error == 0)
        error = link_all(g);
    if (error == 0)
        error = open_all(g);
    if (error == 0)
        error = hand_over_all(g);
    if (error != 0)
        give_up(g);
    return error;
}

static int make_all(struct graph *g)
{
    const struct pawl_port_options options = {.capacity = CREATES_AT_ONCE};
    int error = 0;

    g->is_made = calloc((size_t)g->count + 1, sizeof(*g->is_made));
    if (g->is_made == NULL)
        return -ENOMEM;
    if (!g->runtime->host_driven)
        error = pawl_port_open(g->runtime, &options, &g->port);
    if (error == 0)
        error = make(g);
    while (g->port != NULL && pawl_port_close(g->port, UINT64_C(100000000)) == -ETIMEDOUT)
        ;
    free(g->is_made);
    return error;
}

int pawl_work_graph(struct pawl_runtime *runtime, const struct pawl_work_spec *specs, size_t count,
                    const struct pawl_work_edge *edges, size_t edges_count, struct pawl_task *tasks,
                    struct pawl_work_edge *cycle)
{
    struct graph g = {.runtime = runtime,
                      .specs = specs,
                      .count = (uint32_t)count,
                      .edges = edges,
                      .edges_count = edges_count,
                      .tasks = tasks,
                      .cycle = cycle};
    int error;

    if (runtime->work == NULL)
        return -ENOTSUP;
    if (count > UINT32_MAX / 2 || edges_count > UINT32_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        tasks[i] = PAWL_NO_TASK;
    error = sort_edges(&g);
    if (error == 0)
        error = refuse_cycle(&g);
    if (error == 0)
        error = make_all(&g);
    free(g.first);
    free(g.after);
    return error;
}

/* ---- After recovery ---- */

static bool is_undeclared(const struct shard *shard, struct slot *slot)
{
    const struct pawl_runtime *runtime = shard->runtime;
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: nobody turns the shard yet */
    struct pawl_work work;

    if ((head_flags(head) & SLOT_ALIVE) == 0 || head_machine(head) != runtime->work_first ||
        head_state(head) != PAWL_WORK_NEW)
        return false;
    words_load((uint64_t *)(void *)&work, table_context(&shard->table, slot, sizeof(work)),
               sizeof(work) / 8);
    return (work.flags & (WORK_IN_GRAPH | WORK_IS_DECLARED)) == WORK_IN_GRAPH;
}

/* Control events: all are cancelled before any of them hears what became of another. */
static int cancel_undeclared(struct shard *shard)
{
    const struct slab *slots = &shard->table.slots;

    for (uint32_t i = slab_next_used(slots, 1); i < slab_top(slots);
         i = slab_next_used(slots, i + 1)) {
        struct slot *slot = table_slot(&shard->table, i);
        const struct pawl_event cancel = {.task = shard_task(shard, slot, i),
                                          .code = WORK_CANCEL,
                                          .flags = PAWL_EVENT_CONTROL,
                                          .arg = {WORK_CANCEL_UNDECLARED}};

        if (!is_undeclared(shard, slot))
            continue;
        if (!pawl__chunks_ensure(&shard->chunks, 1))
            return -ENOMEM;
        exchange_route(shard, &cancel);
    }
    return 0;
}

int pawl__work_restore(struct pawl_runtime *runtime)
{
    int error = 0;

    for (uint32_t i = 0; i < runtime->shard_count && runtime->work != NULL && error == 0; i++)
        error = cancel_undeclared(runtime->shards[i]);
    return error;
}
