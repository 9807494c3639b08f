/*
 * raises.c - refuses chains of raised events that have no bound.
 *
 * A step handles the events that it raises to its own task one after the other, in the order raised;
 * each may raise more. The step ends only if that does. Judged are the declarations: whatever a
 * function may raise it is taken to raise, at most once each time it runs, and every guard may say
 * yes. (A function that raises one event many times is caught by RAISE_CHAIN_MAX when it runs.)
 *
 * The graph. A node is a raised event that waits in a leaf, and whether it may be alone. There are two
 * kinds of edges:
 *   raise   handling the event takes a row; what the row raises then waits in the row's target
 *   drift   another raised event is handled first and moves the task to another leaf
 * While every row on the way raises one event at most, each waits alone and nothing drifts, which
 * keeps the common chains exact. A row that may raise two makes those, and all that follow from them,
 * nodes of the second sort, which drift by any event that some function raises.
 *
 * A chain has no bound if and only if a raise edge lies within a strongly connected component. So
 * components are found (Tarjan 1972, without recursion, because a chain may be long), in an order in
 * which each comes after all that it leads to; that order also gives the longest chain.
 */
#include "machine/raises.h"

#include <stdio.h>
#include <string.h>

#define NODE_NONE  UINT32_MAX
#define TEXT_SIZE  1500 /* of a cycle in a message */
#define TEXT_SPARE 300  /* room for one more node, and the dots */

struct edge {
    uint32_t to;
    uint16_t row;
    bool raise;
};

/* A node's place in the three passes: found, explored, put into a component. */
struct node {
    uint32_t edges_first;
    uint32_t edges_end;
    uint32_t number;    /* in order of discovery by the search, + 1; 0: not yet */
    uint32_t low;       /* the lowest number that is reached from here */
    uint32_t component; /* + 1; 0: none yet */
    uint32_t depth;     /* raised events on the longest chain, this one included */
    uint16_t leaf;
    uint16_t raised; /* index into graph.events */
    bool many;       /* others may wait besides */
};

struct graph {
    const struct pawl_machine *machine;
    const struct origin *origins;
    struct findings *findings;
    uint16_t *events; /* those that some row raises */
    uint16_t *index;  /* by event: its place in events, or UINT16_MAX */
    unsigned events_count;
    uint32_t *of; /* (leaf * events_count + raised) * 2 + many: the node + 1, or 0 */
    struct node *nodes;
    struct edge *edges;
    size_t nodes_count, nodes_capacity;
    size_t edges_count, edges_capacity;
    uint32_t deepest_row; /* where the longest chain starts */
    uint32_t deepest;
};

/* ---- building ------------------------------------------------------------------------------------ */

/* A row after which the step goes on and handles what was raised. */
static bool goes_on(const struct transition *row)
{
    return row->kind == TRANSITION_TAKE && !(row->flags & TRANSITION_FINAL);
}

/* Finds the raised events. false: no memory. */
static bool find_events(struct graph *g)
{
    const struct pawl_machine *const machine = g->machine;
    struct blocks *const scratch = g->findings->blocks;

    g->events = BLOCKS_NEW(scratch, machine->events_count, uint16_t);
    g->index = BLOCKS_NEW(scratch, machine->events_count, uint16_t);
    if (!g->events || !g->index)
        return false;
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        const struct transition *const row = &machine->transitions[i];

        if (!row->raises || !goes_on(row))
            continue;
        for (unsigned event = 0; event < machine->events_count; event++)
            g->index[event] |= row->raises[event / 64] >> (event % 64) & 1;
    }
    for (unsigned event = 0; event < machine->events_count; event++) {
        if (g->index[event])
            g->events[g->events_count++] = (uint16_t)event;
        g->index[event] = g->index[event] ? (uint16_t)(g->events_count - 1) : UINT16_MAX;
    }
    g->of = BLOCKS_NEW(scratch, (size_t)machine->states_count * g->events_count * 2, uint32_t);
    return g->of;
}

static uint32_t node_of(struct graph *g, unsigned leaf, unsigned raised, bool many)
{
    uint32_t *const of = &g->of[((size_t)leaf * g->events_count + raised) * 2 + many];
    struct node *grown;

    if (*of)
        return *of - 1;
    grown = pawl__blocks_grow(g->findings->blocks, g->nodes, g->nodes_count, &g->nodes_capacity,
                              sizeof(*grown));
    if (!grown || g->nodes_count >= NODE_NONE - 1) {
        g->findings->out_of_memory = true;
        return NODE_NONE;
    }
    g->nodes = grown;
    g->nodes[g->nodes_count] =
        (struct node){.leaf = (uint16_t)leaf, .raised = (uint16_t)raised, .many = many};
    *of = (uint32_t)++g->nodes_count;
    return *of - 1;
}

static bool add_edge(struct graph *g, unsigned row, unsigned leaf, unsigned raised, bool many,
                     bool raise)
{
    const uint32_t to = node_of(g, leaf, raised, many);
    struct edge *const grown = pawl__blocks_grow(g->findings->blocks, g->edges, g->edges_count,
                                                 &g->edges_capacity, sizeof(*grown));

    if (to == NODE_NONE || !grown || g->edges_count >= UINT32_MAX) {
        g->findings->out_of_memory = true;
        return false;
    }
    g->edges = grown;
    g->edges[g->edges_count++] = (struct edge){to, (uint16_t)row, raise};
    return true;
}

/* Raise edges for all that a row raises. */
static bool add_raises(struct graph *g, unsigned number, bool many)
{
    const struct transition *const row = &g->machine->transitions[number];

    if (!row->raises || !goes_on(row))
        return true;
    many |= g->origins[number].raises_count > 1;
    for (unsigned i = 0; i < g->events_count; i++) {
        const unsigned event = g->events[i];

        if ((row->raises[event / 64] >> (event % 64) & 1) &&
            !add_edge(g, number, row->target, i, many, true))
            return false;
    }
    return true;
}

/*
 * Calls visit for every row that can be taken for an event in a leaf, variants in place of the row
 * that chooses among them.
 */
static bool each_row(struct graph *g, unsigned leaf, unsigned event, uint32_t node,
                     bool (*visit)(struct graph *g, uint32_t node, unsigned row))
{
    const struct pawl_machine *const machine = g->machine;
    unsigned number = machine->cells[(size_t)leaf * machine->events_count + event];

    while (number != TRANSITION_NONE) {
        const struct transition *const row = &machine->transitions[number];

        if (row->kind == TRANSITION_VARIANTS) {
            for (unsigned i = 0; i <= row->variant_mask; i++) {
                if (!visit(g, node, row->variants + i))
                    return false;
            }
        } else if (!visit(g, node, number)) {
            return false;
        }
        number = row->next;
    }
    return true;
}

static bool visit_raise(struct graph *g, uint32_t node, unsigned row)
{
    return add_raises(g, row, g->nodes[node].many);
}

static bool visit_drift(struct graph *g, uint32_t node, unsigned row)
{
    const struct transition *const taken = &g->machine->transitions[row];

    if (!goes_on(taken) || taken->target == g->nodes[node].leaf)
        return true;
    return add_edge(g, row, taken->target, g->nodes[node].raised, true, false);
}

/* Adds a node's edges; new nodes appear behind it. */
static bool expand(struct graph *g, uint32_t node)
{
    const struct node now = g->nodes[node];
    bool good;

    g->nodes[node].edges_first = (uint32_t)g->edges_count;
    good = each_row(g, now.leaf, g->events[now.raised], node, visit_raise);
    for (unsigned i = 0; good && now.many && i < g->events_count; i++)
        good = each_row(g, now.leaf, g->events[i], node, visit_drift);
    g->nodes[node].edges_end = (uint32_t)g->edges_count;
    return good;
}

static bool build(struct graph *g)
{
    for (uint32_t i = 0; i < g->machine->transitions_count; i++) {
        if (!add_raises(g, i, false))
            return false;
    }
    g->edges_count = 0; /* those only named the nodes to start from */
    for (uint32_t node = 0; node < g->nodes_count; node++) {
        if (!expand(g, node))
            return false;
    }
    return true;
}

/* ---- judging ------------------------------------------------------------------------------------- */

/* Appends "event in leaf" to a text; false: it is full. */
static bool say_node(const struct graph *g, uint32_t node, char *text, size_t *length)
{
    const struct node *const n = &g->nodes[node];

    if (*length + TEXT_SPARE > TEXT_SIZE) {
        *length += (size_t)snprintf(text + *length, TEXT_SIZE - *length, " -> ...");
        return false;
    }
    *length += (size_t)snprintf(
        text + *length, TEXT_SIZE - *length, "%s%s in %s", *length ? " -> " : "",
        SHORT(g->machine->events[g->events[n->raised]]), SHORT(g->machine->states[n->leaf].name));
    return true;
}

/*
 * Names the cycle that begins with the raise edge `first` of node `from`: a shortest way back within
 * the component, found breadth first.
 */
static bool tell_cycle(struct graph *g, uint32_t from, uint32_t first)
{
    struct blocks *const scratch = g->findings->blocks;
    const uint32_t component = g->nodes[from].component, start = g->edges[first].to;
    uint32_t *const next = BLOCKS_NEW(scratch, g->nodes_count, uint32_t); /* towards `from`, + 1 */
    uint32_t *const queue = BLOCKS_NEW(scratch, g->nodes_count, uint32_t);
    uint32_t *const back = BLOCKS_NEW(scratch, g->nodes_count, uint32_t); /* where it was found */
    size_t head = 0, tail = 0, length = 0;
    const unsigned transition = g->origins[g->edges[first].row].transition;
    char text[TEXT_SIZE] = "";

    if (!next || !queue || !back)
        return false;
    queue[tail++] = start;
    back[start] = start + 1;
    while (head < tail && queue[head] != from) {
        const struct node *const node = &g->nodes[queue[head]];

        for (uint32_t i = node->edges_first; i < node->edges_end; i++) {
            const uint32_t to = g->edges[i].to;

            if (g->nodes[to].component == component && !back[to]) {
                back[to] = queue[head] + 1;
                queue[tail++] = to;
            }
        }
        head++;
    }
    for (uint32_t at = from; at != start; at = back[at] - 1)
        next[back[at] - 1] = at + 1;
    if (say_node(g, from, text, &length)) {
        uint32_t at = start;

        while (say_node(g, at, text, &length) && at != from)
            at = next[at] - 1;
    }
    pawl__find(g->findings, -EINVAL, FINDING_TRANSITION, transition,
               "raised events may go round without an end: %s; let one of them not be raised, or "
               "post it instead, which ends the step",
               text);
    return true;
}

/* A component is complete: its nodes are stack[bottom .. top - 1]. */
static bool judge(struct graph *g, const uint32_t *stack, size_t bottom, size_t top)
{
    uint32_t depth = 1;
    bool told = false;

    for (size_t i = bottom; i < top; i++) {
        const struct node *const node = &g->nodes[stack[i]];

        for (uint32_t e = node->edges_first; e < node->edges_end; e++) {
            const struct node *const to = &g->nodes[g->edges[e].to];
            const bool inside = to->component == node->component;

            if (inside && g->edges[e].raise && !told) {
                told = true;
                if (!tell_cycle(g, stack[i], e))
                    return false;
            }
            if (!inside && to->depth + g->edges[e].raise > depth)
                depth = to->depth + g->edges[e].raise;
        }
    }
    for (size_t i = bottom; i < top; i++)
        g->nodes[stack[i]].depth = depth;
    return true;
}

struct search {
    uint32_t *path;  /* the way from the root to where the search is */
    uint32_t *edge;  /* by node: its next edge */
    uint32_t *stack; /* found, without a component yet */
    size_t path_count, stack_count;
    uint32_t numbers, components;
};

static void discover(struct graph *g, struct search *s, uint32_t node)
{
    g->nodes[node].number = g->nodes[node].low = ++s->numbers;
    s->edge[node] = g->nodes[node].edges_first;
    s->path[s->path_count++] = node;
    s->stack[s->stack_count++] = node;
}

/* All below the node is done: closes its component if it is the first found of it. */
static bool leave(struct graph *g, struct search *s, uint32_t node)
{
    size_t bottom = s->stack_count;

    s->path_count--;
    if (s->path_count) {
        struct node *const parent = &g->nodes[s->path[s->path_count - 1]];

        if (g->nodes[node].low < parent->low)
            parent->low = g->nodes[node].low;
    }
    if (g->nodes[node].low != g->nodes[node].number)
        return true;
    s->components++;
    do
        g->nodes[s->stack[--bottom]].component = s->components;
    while (s->stack[bottom] != node);
    if (!judge(g, s->stack, bottom, s->stack_count))
        return false;
    s->stack_count = bottom;
    return true;
}

static bool search_from(struct graph *g, struct search *s, uint32_t root)
{
    discover(g, s, root);
    while (s->path_count) {
        const uint32_t node = s->path[s->path_count - 1];

        if (s->edge[node] < g->nodes[node].edges_end) {
            const struct node *const to = &g->nodes[g->edges[s->edge[node]].to];

            if (!to->number)
                discover(g, s, g->edges[s->edge[node]].to);
            else if (!to->component && to->number < g->nodes[node].low)
                g->nodes[node].low = to->number;
            s->edge[node]++;
        } else if (!leave(g, s, node)) {
            return false;
        }
    }
    return true;
}

static bool search(struct graph *g)
{
    struct blocks *const scratch = g->findings->blocks;
    struct search s = {
        .path = BLOCKS_NEW(scratch, g->nodes_count, uint32_t),
        .edge = BLOCKS_NEW(scratch, g->nodes_count, uint32_t),
        .stack = BLOCKS_NEW(scratch, g->nodes_count, uint32_t),
    };

    if (!s.path || !s.edge || !s.stack)
        return false;
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        if (!g->nodes[i].number && !search_from(g, &s, i))
            return false;
    }
    return true;
}

/* The longest chain that a row starts. */
static void find_longest(struct graph *g)
{
    for (uint32_t i = 0; i < g->machine->transitions_count; i++) {
        const struct transition *const row = &g->machine->transitions[i];
        const bool many = g->origins[i].raises_count > 1;

        if (!row->raises || !goes_on(row))
            continue;
        for (unsigned k = 0; k < g->events_count; k++) {
            const unsigned event = g->events[k];
            uint32_t depth;

            if (!(row->raises[event / 64] >> (event % 64) & 1))
                continue;
            depth = g->nodes[node_of(g, row->target, k, many)].depth;
            if (depth > g->deepest) {
                g->deepest = depth;
                g->deepest_row = i;
            }
        }
    }
}

static void check_longest(struct graph *g)
{
    unsigned transition;

    find_longest(g);
    if (g->deepest <= RAISE_CHAIN_MAX)
        return;
    transition = g->origins[g->deepest_row].transition;
    pawl__find(g->findings, -ENOSPC,
               transition == ORIGIN_NONE ? FINDING_MACHINE : FINDING_TRANSITION,
               transition == ORIGIN_NONE ? 0 : transition,
               "%s a chain of %u raised events, but a step has at most %u; post one of them "
               "instead, which ends the step",
               transition == ORIGIN_NONE ? "the creation of a task starts" : "this starts",
               g->deepest, RAISE_CHAIN_MAX);
}

void pawl__check_raises(const struct pawl_machine *machine, const struct origin *origins,
                        struct findings *findings)
{
    struct graph g = {.machine = machine, .origins = origins, .findings = findings};
    const size_t errors = findings->errors;

    if (!find_events(&g)) {
        findings->out_of_memory = true;
        return;
    }
    if (!g.events_count)
        return;
    if (!build(&g) || !search(&g)) {
        findings->out_of_memory = true;
        return;
    }
    if (findings->errors == errors)
        check_longest(&g);
}
