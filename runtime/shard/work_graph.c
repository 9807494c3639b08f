/*
 * work_graph.c - many work tasks and who waits for whom, declared at once.
 *
 * Layer: shard. Thread: any but a shard's; in the host-driven mode one that may turn the shards.
 *
 * The order of things makes it safe. Edges are looked at first (Kahn, 1962): a circle makes nothing.
 * Then every task is made, held, with the number of tasks that it is to wait for. Then each is told
 * of them, and let go: by events of one sender to one task, which keep their order. A task that has
 * not been told of all of them when it is let go (a word was refused: no memory, a full store) fails
 * instead of running too soon.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "base/check.h"
#include "shard/runtime.h"
#include "shard/work.h"
#include "task/event.h"

#define CREATES_AT_ONCE 1024u

struct graph {
    struct pawl_runtime *runtime;
    const struct pawl_work_spec *specs;
    uint32_t count;
    const struct pawl_work_edge *edges;
    size_t edges_count;
    struct pawl_task *tasks;
    struct pawl_work_edge *cycle; /* NULL: the caller does not care */

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

/* Until there is room: the shards take, or are made to. Of a buffer the event keeps the reference. */
static int send(struct graph *g, const struct pawl_event *event)
{
    int done;

    while ((done = pawl_task_post(g->runtime, event, 1)) == -EAGAIN) {
        if (g->runtime->host_driven)
            for (uint32_t i = 0; i < g->runtime->shard_count; i++)
                pawl_turn(g->runtime, i);
        else
            sched_yield();
    }
    return done < 0 ? done : 0;
}

static void name_failed(struct graph *g, size_t position)
{
    if (g->cycle != NULL)
        *g->cycle =
            (struct pawl_work_edge){.task = (uint32_t)position, .after = (uint32_t)position};
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

/* Takes what has arrived; the first error stays. */
static void take_made(struct graph *g, struct pawl_port *port, bool *is_made, int *error)
{
    struct pawl_completion done[64];
    const int count = pawl_port_reap(port, done, 64);

    for (int i = 0; i < count; i++) {
        g->tasks[done[i].tag] = done[i].task;
        is_made[done[i].tag] = done[i].status == 0;
        if (done[i].status == 0 || *error != 0)
            continue;
        *error = done[i].status;
        name_failed(g, done[i].tag);
    }
}

/* Many under way at once. */
static int make_by_port(struct graph *g, bool *is_made)
{
    const struct pawl_port_options options = {.capacity = CREATES_AT_ONCE};
    struct pawl_port *port;
    int error = pawl_port_open(g->runtime, &options, &port);
    int waited = 0;

    if (error != 0)
        return error;
    for (uint32_t i = 0; i < g->count && error == 0; i++) {
        struct work_submission submission;

        error =
            pawl__work_pack(g->runtime, &g->specs[i], true, (uint32_t)degree(g, i), &submission);
        if (error != 0)
            name_failed(g, i);
        while (error == 0 && (error = pawl_port_create(port, &submission.task, i)) == -EAGAIN) {
            error = pawl_port_wait(port, UINT64_MAX);
            if (error == 0 || error == -ENOENT)
                error = 0;
            take_made(g, port, is_made, &error);
        }
        pawl__work_unpack(&submission);
    }
    while (pawl_port_outstanding(port) > 0 && waited == 0) {
        waited = pawl_port_wait(port, UINT64_MAX);
        take_made(g, port, is_made, &error);
    }
    if (error == 0)
        error = waited;
    while (pawl_port_close(port, UINT64_C(100000000)) == -ETIMEDOUT)
        ;
    return error;
}

/* Tells a task of those that it is to wait for. */
static int link_task(struct graph *g, uint32_t task)
{
    struct pawl_task after[PAWL_WORK_AFTER_MAX];
    size_t at = g->first[task];
    int error = 0;

    while (error == 0 && at < g->first[task + 1]) {
        struct pawl_event event;
        size_t count = 0;

        for (; count < PAWL_WORK_AFTER_MAX && at < g->first[task + 1]; at++)
            after[count++] = g->tasks[g->after[at]];
        error = pawl__work_after_event(g->tasks[task], after, count, true, &event);
        if (error != 0)
            break;
        error = send(g, &event);
        if (error != 0)
            event_drop_buffer(&event);
    }
    return error;
}

static void give_up(struct graph *g, const bool *is_made)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (!is_made[i])
            continue;
        send(g, &(struct pawl_event){.task = g->tasks[i], .code = WORK_CANCEL});
        send(g, &(struct pawl_event){.task = g->tasks[i], .code = WORK_DISCARD}); /* and its key */
    }
}

static int make(struct graph *g)
{
    bool *is_made = calloc((size_t)g->count + 1, sizeof(*is_made));
    size_t made = 0;
    int error;

    if (is_made == NULL)
        return -ENOMEM;
    if (g->runtime->host_driven) {
        error = make_directly(g, &made);
        memset(is_made, true, made);
    } else {
        error = make_by_port(g, is_made);
    }
    for (uint32_t i = 0; i < g->count && error == 0; i++)
        error = link_task(g, i);
    for (uint32_t i = 0; i < g->count && error == 0; i++)
        if ((g->specs[i].flags & PAWL_WORK_HELD) == 0)
            error = send(g, &(struct pawl_event){.task = g->tasks[i], .code = WORK_OPEN});
    if (error != 0)
        give_up(g, is_made);
    free(is_made);
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
        error = make(&g);
    free(g.first);
    free(g.after);
    return error;
}
