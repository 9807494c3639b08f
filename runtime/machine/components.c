/*
 * components.c - Tarjan's search (1972), with a path of its own in place of recursion, because a chain
 * of raised events may be long.
 */
#include "machine/components.h"

#include <string.h>

struct search {
    const struct digraph *graph;
    uint32_t *component; /* by node; 0: none yet */
    uint32_t *order;
    uint32_t *number; /* by node: in order of discovery, + 1; 0: not yet */
    uint32_t *low;    /* by node: the lowest number that is reached from it */
    uint32_t *edge;   /* by node: its next edge */
    uint32_t *path;   /* the way from the root to where the search is */
    uint32_t *stack;  /* found, without a component yet */
    uint32_t path_count, stack_count, order_count;
    uint32_t numbers, components;
};

static void discover(struct search *s, uint32_t node)
{
    s->number[node] = s->low[node] = ++s->numbers;
    s->edge[node] = s->graph->first[node];
    s->path[s->path_count++] = node;
    s->stack[s->stack_count++] = node;
}

/* All below the node is done: closes its component if it is the first found of it. */
static void leave(struct search *s, uint32_t node)
{
    uint32_t member;

    s->path_count--;
    if (s->path_count) {
        const uint32_t parent = s->path[s->path_count - 1];

        if (s->low[node] < s->low[parent])
            s->low[parent] = s->low[node];
    }
    if (s->low[node] != s->number[node])
        return;
    s->components++;
    do {
        member = s->stack[--s->stack_count];
        s->component[member] = s->components;
        s->order[s->order_count++] = member;
    } while (member != node);
}

static void search_from(struct search *s, uint32_t root)
{
    discover(s, root);
    while (s->path_count) {
        const uint32_t node = s->path[s->path_count - 1];

        if (s->edge[node] < s->graph->first[node + 1]) {
            const uint32_t to = s->graph->to[s->edge[node]++];

            if (!s->number[to])
                discover(s, to);
            else if (!s->component[to] && s->number[to] < s->low[node])
                s->low[node] = s->number[to];
        } else {
            leave(s, node);
        }
    }
}

bool pawl__components(const struct digraph *graph, struct blocks *scratch, uint32_t *component,
                      uint32_t *order)
{
    const uint32_t count = graph->nodes_count;
    struct search s = {
        .graph = graph,
        .component = component,
        .order = order,
        .number = BLOCKS_NEW(scratch, count, uint32_t),
        .low = BLOCKS_NEW(scratch, count, uint32_t),
        .edge = BLOCKS_NEW(scratch, count, uint32_t),
        .path = BLOCKS_NEW(scratch, count, uint32_t),
        .stack = BLOCKS_NEW(scratch, count, uint32_t),
    };

    if (!s.number || !s.low || !s.edge || !s.path || !s.stack)
        return false;
    memset(component, 0, count * sizeof(*component));
    for (uint32_t node = 0; node < count; node++) {
        if (!s.number[node])
            search_from(&s, node);
    }
    return true;
}
