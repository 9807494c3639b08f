/*
 * raises.c - refuses chains of raised events that have no bound.
 *
 * A step handles the events that it raises to its own task one after the other, in the order raised;
 * each may raise more. The step ends only if that does. An event that is raised where it is deferred
 * leaves the step, is kept, and is recalled in a step of its own as soon as the state changes, before
 * any outside event; that step may raise more, which is kept, and so on. The turn ends only if that
 * does. Judged are the declarations: whatever a function may raise it is taken to raise, at most once
 * each time it runs, and every guard may say yes or no. (A function that raises one event many times
 * is caught by RAISE_CHAIN_MAX when it runs.)
 *
 * The graph. A node is a raised event that waits, the leaf that the task is in meanwhile, and how it
 * waits: in its step alone, in its step with others, or kept. There are three kinds of edges:
 *   raise   handling the event takes a row; what the row raises then waits in the row's target
 *   drift   another raised event is handled first and moves the task to another leaf
 *   keep    the leaf defers the event
 * While every row on the way raises one event at most, each waits alone and nothing drifts, which
 * keeps the common chains exact. A row that may raise two makes those, and all that follow from them
 * in the step, wait with others and drift. What is kept drifts, too, and when it is recalled it is
 * alone in a new step.
 *
 * A chain has no bound if a raise edge lies within a strongly connected component: why, and what is
 * assumed beyond that, see the two questions below. A step's own chains are judged first, without keep
 * edges; only if they all end it is asked about deferral.
 */
#include "machine/raises.h"

#include <stdio.h>
#include <string.h>

#include "machine/components.h"

#define NODE_NONE  UINT32_MAX
#define TEXT_SIZE  1500 /* of a cycle in a message */
#define TEXT_SPARE 300  /* room for one more node, and the dots */

enum wait { WAIT_ALONE, WAIT_MANY, WAIT_KEPT, WAITS };

struct node {
    uint16_t leaf;
    uint16_t raised; /* index into graph.events */
    uint8_t wait;    /* enum wait */
};

struct label {
    uint16_t row;
    bool raise;
};

struct graph {
    const struct pawl_machine *machine;
    const struct origin *origins;
    struct findings *findings;
    uint16_t *events; /* those that some row raises */
    unsigned events_count;
    bool keeps;      /* whether there are keep edges */
    bool *drifts;    /* leaf * events_count + raised: it may move what waits there */
    uint32_t *moved; /* by leaf: the last node that was found to drift there, + 1 */
    uint32_t *of;    /* (leaf * events_count + raised) * WAITS + wait: the node + 1, or 0 */
    struct node *nodes;
    uint32_t *first; /* by node: its first edge; one more than there are nodes */
    uint32_t *to;    /* by edge */
    struct label *labels;
    size_t nodes_count, nodes_capacity, first_capacity;
    size_t edges_count, to_capacity, labels_capacity;
    uint32_t *component; /* by node */
    uint32_t *order;     /* the nodes by component, those first that lead to no others */
};

/* ---- building ------------------------------------------------------------------------------------ */

/* A row after which the task goes on and handles what was raised. */
static bool goes_on(const struct transition *row)
{
    return row->kind == TRANSITION_TAKE && !(row->flags & TRANSITION_FINAL);
}

static bool row_raises(const struct transition *row, unsigned event)
{
    return row->raises && goes_on(row) && (row->raises[event / 64] >> (event % 64) & 1);
}

/* Finds the raised events. false: no memory. */
static bool find_events(struct graph *g)
{
    const struct pawl_machine *const machine = g->machine;
    struct blocks *const scratch = g->findings->blocks;
    bool *const raised = BLOCKS_NEW(scratch, machine->events_count, bool);
    size_t pairs;

    g->events = BLOCKS_NEW(scratch, machine->events_count, uint16_t);
    if (!raised || !g->events)
        return false;
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        const struct transition *const row = &machine->transitions[i];

        for (unsigned event = 0; row->raises && event < machine->events_count; event++)
            raised[event] |= row_raises(row, event);
    }
    for (unsigned event = 0; event < machine->events_count; event++) {
        if (raised[event])
            g->events[g->events_count++] = (uint16_t)event;
    }
    pairs = (size_t)machine->states_count * g->events_count;
    g->of = BLOCKS_NEW(scratch, pairs * WAITS, uint32_t);
    g->moved = BLOCKS_NEW(scratch, machine->states_count, uint32_t);
    g->drifts = BLOCKS_NEW(scratch, pairs, bool);
    if (!g->of || !g->moved || !g->drifts)
        return false;
    memset(g->drifts, true, pairs * sizeof(*g->drifts));
    return true;
}

static uint32_t node_of(struct graph *g, unsigned leaf, unsigned raised, enum wait wait)
{
    uint32_t *const of = &g->of[((size_t)leaf * g->events_count + raised) * WAITS + wait];
    struct node *grown;

    if (*of)
        return *of - 1;
    grown = pawl__blocks_grow(g->findings->blocks, g->nodes, g->nodes_count, &g->nodes_capacity,
                              sizeof(*grown));
    if (!grown || g->nodes_count >= NODE_NONE - 1)
        return NODE_NONE;
    g->nodes = grown;
    g->nodes[g->nodes_count] =
        (struct node){.leaf = (uint16_t)leaf, .raised = (uint16_t)raised, .wait = (uint8_t)wait};
    *of = (uint32_t)++g->nodes_count;
    return *of - 1;
}

static bool add_edge(struct graph *g, uint32_t to, unsigned row, bool raise)
{
    struct blocks *const scratch = g->findings->blocks;
    uint32_t *const grown =
        pawl__blocks_grow(scratch, g->to, g->edges_count, &g->to_capacity, sizeof(*grown));
    struct label *const labels =
        pawl__blocks_grow(scratch, g->labels, g->edges_count, &g->labels_capacity, sizeof(*labels));

    g->to = grown ? grown : g->to;
    g->labels = labels ? labels : g->labels;
    if (to == NODE_NONE || !grown || !labels || g->edges_count >= UINT32_MAX)
        return false;
    g->to[g->edges_count] = to;
    g->labels[g->edges_count++] = (struct label){(uint16_t)row, raise};
    return true;
}

/* The nodes for all that a row raises, with raise edges from the node that is being expanded. */
static bool add_raises(struct graph *g, unsigned number, bool with_others)
{
    const struct transition *const row = &g->machine->transitions[number];
    const enum wait wait =
        with_others || g->origins[number].raises_count > 1 ? WAIT_MANY : WAIT_ALONE;

    for (unsigned i = 0; row->raises && i < g->events_count; i++) {
        if (row_raises(row, g->events[i]) &&
            !add_edge(g, node_of(g, row->target, i, wait), number, true))
            return false;
    }
    return true;
}

typedef bool visit_fn(struct graph *g, uint32_t node, unsigned row);

/*
 * Calls visit for every row that can be taken for an event in a leaf, variants in place of the row
 * that chooses among them.
 */
static bool each_row(struct graph *g, unsigned leaf, unsigned event, uint32_t node, visit_fn *visit)
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

static bool visit_handle(struct graph *g, uint32_t node, unsigned number)
{
    const struct node now = g->nodes[node];
    const struct transition *const row = &g->machine->transitions[number];

    if (row->kind != TRANSITION_DEFER)
        return add_raises(g, number, now.wait == WAIT_MANY);
    if (!g->keeps || now.wait == WAIT_KEPT)
        return true;
    return add_edge(g, node_of(g, now.leaf, now.raised, WAIT_KEPT), number, false);
}

static bool visit_drift(struct graph *g, uint32_t node, unsigned number)
{
    const struct node now = g->nodes[node];
    const struct transition *const row = &g->machine->transitions[number];

    if (!goes_on(row) || row->target == now.leaf || g->moved[row->target] == node + 1)
        return true;
    g->moved[row->target] = node + 1;
    return add_edge(g, node_of(g, row->target, now.raised, (enum wait)now.wait), number, false);
}

/* Adds a node's edges; new nodes appear behind it. */
static bool expand(struct graph *g, uint32_t node)
{
    const struct node now = g->nodes[node];
    uint32_t *const first = pawl__blocks_grow(g->findings->blocks, g->first, node + (size_t)1,
                                              &g->first_capacity, sizeof(*first));
    bool good;

    if (!first)
        return false;
    g->first = first;
    g->first[node] = (uint32_t)g->edges_count;
    good = each_row(g, now.leaf, g->events[now.raised], node, visit_handle);
    for (unsigned i = 0; good && now.wait != WAIT_ALONE && i < g->events_count; i++) {
        if (g->drifts[(size_t)now.leaf * g->events_count + i])
            good = each_row(g, now.leaf, g->events[i], node, visit_drift);
    }
    g->first[node + 1] = (uint32_t)g->edges_count;
    return good;
}

/* Makes the graph and its components, in place of an earlier one. false: no memory. */
static bool build(struct graph *g)
{
    const struct pawl_machine *const machine = g->machine;
    struct blocks *const scratch = g->findings->blocks;
    struct digraph digraph;

    if (!g->first)
        g->first = pawl__blocks_grow(scratch, NULL, 0, &g->first_capacity, sizeof(*g->first));
    if (!g->first)
        return false;
    g->nodes_count = g->edges_count = 0;
    memset(g->of, 0, (size_t)machine->states_count * g->events_count * WAITS * sizeof(*g->of));
    memset(g->moved, 0, machine->states_count * sizeof(*g->moved));
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        if (!add_raises(g, i, false))
            return false;
    }
    g->edges_count = 0; /* those only named the nodes to start from */
    for (uint32_t node = 0; node < g->nodes_count; node++) {
        if (!expand(g, node))
            return false;
    }
    digraph = (struct digraph){(uint32_t)g->nodes_count, g->first, g->to};
    g->component = BLOCKS_NEW(scratch, g->nodes_count, uint32_t);
    g->order = BLOCKS_NEW(scratch, g->nodes_count, uint32_t);
    return g->component && g->order && pawl__components(&digraph, scratch, g->component, g->order);
}

/* ---- telling of a cycle -------------------------------------------------------------------------- */

static bool defers(const struct graph *g, const struct node *node)
{
    const struct pawl_machine *const machine = g->machine;
    unsigned number =
        machine->cells[(size_t)node->leaf * machine->events_count + g->events[node->raised]];

    while (machine->transitions[number].next != TRANSITION_NONE)
        number = machine->transitions[number].next;
    return machine->transitions[number].kind == TRANSITION_DEFER;
}

/* Appends "event in leaf" to a text; false: it is full. */
static bool say_node(const struct graph *g, uint32_t number, char *text, size_t *length)
{
    const struct node *const node = &g->nodes[number];

    if (*length + TEXT_SPARE > TEXT_SIZE) {
        *length += (size_t)snprintf(text + *length, TEXT_SIZE - *length, " -> ...");
        return false;
    }
    *length +=
        (size_t)snprintf(text + *length, TEXT_SIZE - *length, "%s%s%s in %s", *length ? " -> " : "",
                         SHORT(g->machine->events[g->events[node->raised]]),
                         node->wait != WAIT_KEPT ? ""
                         : defers(g, node)       ? " deferred"
                                                 : " recalled",
                         SHORT(g->machine->states[node->leaf].name));
    return true;
}

/*
 * Names the cycle that begins with the raise edge `first` of node `from`: a shortest way back within
 * the component, found breadth first. false: no memory.
 */
static bool tell_cycle(struct graph *g, uint32_t from, uint32_t first)
{
    struct blocks *const scratch = g->findings->blocks;
    const uint32_t component = g->component[from], start = g->to[first];
    uint32_t *const next = BLOCKS_NEW(scratch, g->nodes_count, uint32_t); /* towards `from`, + 1 */
    uint32_t *const queue = BLOCKS_NEW(scratch, g->nodes_count, uint32_t);
    uint32_t *const back = BLOCKS_NEW(scratch, g->nodes_count, uint32_t); /* where it was found */
    size_t head = 0, tail = 0, length = 0;
    char text[TEXT_SIZE] = "";

    if (!next || !queue || !back)
        return false;
    queue[tail++] = start;
    back[start] = start + 1;
    while (head < tail && queue[head] != from) {
        const uint32_t node = queue[head++];

        for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++) {
            const uint32_t to = g->to[i];

            if (g->component[to] == component && !back[to]) {
                back[to] = node + 1;
                queue[tail++] = to;
            }
        }
    }
    for (uint32_t at = from; at != start; at = back[at] - 1)
        next[back[at] - 1] = at + 1;
    if (say_node(g, from, text, &length)) {
        uint32_t at = start;

        while (say_node(g, at, text, &length) && at != from)
            at = next[at] - 1;
    }
    pawl__find(g->findings, -EINVAL, FINDING_TRANSITION,
               g->origins[g->labels[first].row].transition,
               g->keeps ? "raised events may go round without an end: %s; deferral closes the "
                          "circle, because an event that is raised where it is deferred is "
                          "recalled as soon as the state changes; let one of them not be raised "
                          "or not be deferred, or post it instead, which ends the turn"
                        : "raised events may go round without an end: %s; let one of them not be "
                          "raised, or post it instead, which ends the step",
               text);
    return true;
}

/* A component's raise edge inside it, and where that starts. */
struct cycle {
    uint32_t from;
    uint32_t edge;
};

/* One for each component that has any. NULL: no memory. */
static struct cycle *find_cycles(const struct graph *g, size_t *count)
{
    struct cycle *const cycles = BLOCKS_NEW(g->findings->blocks, g->nodes_count, struct cycle);
    uint32_t found = 0; /* the component of the last one */

    *count = 0;
    for (size_t i = 0; cycles && i < g->nodes_count; i++) {
        const uint32_t node = g->order[i];

        for (uint32_t e = g->first[node]; e < g->first[node + 1]; e++) {
            if (g->labels[e].raise && g->component[g->to[e]] == g->component[node] &&
                g->component[node] != found) {
                found = g->component[node];
                cycles[(*count)++] = (struct cycle){node, e};
            }
        }
    }
    return cycles;
}

static bool tell_cycles(struct graph *g, const struct cycle *cycles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!tell_cycle(g, cycles[i].from, cycles[i].edge))
            return false;
    }
    return true;
}

/* ---- within a step ------------------------------------------------------------------------------- */

/*
 * The longest chain that a row starts. Where no component has a raise edge inside, what it takes from
 * a node on is the most that any node which its component leads to takes, and the edge there.
 */
static bool check_longest(struct graph *g)
{
    uint32_t *const depths = /* by component: raised events on the longest chain from there on */
        BLOCKS_NEW(g->findings->blocks, g->nodes_count + 1, uint32_t);
    uint32_t deepest = 0, deepest_row = 0;
    unsigned transition;

    if (!depths)
        return false;
    for (size_t i = 0; i < g->nodes_count; i++) {
        const uint32_t node = g->order[i];
        uint32_t *const depth = &depths[g->component[node]];

        if (*depth == 0)
            *depth = 1;
        for (uint32_t e = g->first[node]; e < g->first[node + 1]; e++) {
            const uint32_t beyond = depths[g->component[g->to[e]]] + g->labels[e].raise;

            if (beyond > *depth)
                *depth = beyond;
        }
    }
    for (uint32_t i = 0; i < g->machine->transitions_count; i++) {
        const struct transition *const row = &g->machine->transitions[i];
        const enum wait wait = g->origins[i].raises_count > 1 ? WAIT_MANY : WAIT_ALONE;

        for (unsigned k = 0; row->raises && k < g->events_count; k++) {
            uint32_t depth;

            if (!row_raises(row, g->events[k]))
                continue;
            depth = depths[g->component[node_of(g, row->target, k, wait)]];
            if (depth > deepest) {
                deepest = depth;
                deepest_row = i;
            }
        }
    }
    if (deepest <= RAISE_CHAIN_MAX)
        return true;
    transition = g->origins[deepest_row].transition;
    pawl__find(g->findings, -ENOSPC,
               transition == ORIGIN_NONE ? FINDING_MACHINE : FINDING_TRANSITION,
               transition == ORIGIN_NONE ? 0 : transition,
               "%s a chain of %u raised events, but a step has at most %u; post one of them "
               "instead, which ends the step",
               transition == ORIGIN_NONE ? "the creation of a task starts" : "this starts", deepest,
               RAISE_CHAIN_MAX);
    return true;
}

/*
 * If a step never ended, some of its infinitely many raised events would follow one another in an
 * infinite chain, each raised by the handling of the one before. That is a path through the graph with
 * infinitely many raise edges, so some component has one inside.
 */
static bool check_steps(struct graph *g, bool *bounded)
{
    struct cycle *cycles;
    size_t count;

    if (!build(g))
        return false;
    cycles = find_cycles(g, &count);
    *bounded = count == 0;
    return cycles && (count ? tell_cycles(g, cycles, count) : check_longest(g));
}

/* ---- from step to step, by deferral -------------------------------------------------------------- */

static bool has_deferral(const struct pawl_machine *machine)
{
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        if (machine->transitions[i].kind == TRANSITION_DEFER)
            return true;
    }
    return false;
}

static void reach(uint32_t node, bool *reached, uint32_t *list, size_t *count)
{
    if (reached[node])
        return;
    reached[node] = true;
    list[(*count)++] = node;
}

/*
 * Leaves as drifts those events in those leaves to which the cycles lead. *fewer: there were others.
 * false: no memory.
 */
static bool restrict_drifts(struct graph *g, const struct cycle *cycles, size_t cycles_count,
                            bool *fewer)
{
    const size_t pairs = (size_t)g->machine->states_count * g->events_count;
    bool *const reached = BLOCKS_NEW(g->findings->blocks, g->nodes_count, bool);
    uint32_t *const list = BLOCKS_NEW(g->findings->blocks, g->nodes_count, uint32_t);
    size_t count = 0;

    if (!reached || !list)
        return false;
    for (size_t i = 0; i < cycles_count; i++)
        reach(cycles[i].from, reached, list, &count);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t e = g->first[list[i]]; e < g->first[list[i] + 1]; e++)
            reach(g->to[e], reached, list, &count);
    }
    *fewer = false;
    for (size_t pair = 0; pair < pairs; pair++) {
        bool keep = false;

        for (unsigned wait = 0; wait < WAITS; wait++) {
            const uint32_t node = g->of[pair * WAITS + wait];

            keep |= node && reached[node - 1];
        }
        *fewer |= g->drifts[pair] && !keep;
        g->drifts[pair] &= keep;
    }
    return true;
}

/*
 * If a turn never ended by recalls, there would again be an infinite chain, now also through kept
 * events. What is kept from outside is used up at some time, and so is what chains that end have
 * raised; from then on all that is handled is reached, in the graph, from the infinite chains. So
 * drifts by other events are taken out, as long as there are any: a machine that needs a new event
 * from outside for every round is none that goes on by itself. What remains errs on the safe side: it
 * is not counted how many of an event there are, so one may be taken to be moved by itself.
 */
static bool check_recalls(struct graph *g)
{
    bool fewer = true;

    g->keeps = true;
    while (fewer) {
        struct cycle *cycles;
        size_t count;

        if (!build(g))
            return false;
        cycles = find_cycles(g, &count);
        if (!cycles || !count)
            return cycles;
        if (!restrict_drifts(g, cycles, count, &fewer))
            return false;
        if (!fewer && !tell_cycles(g, cycles, count))
            return false;
    }
    return true;
}

void pawl__check_raises(const struct pawl_machine *machine, const struct origin *origins,
                        struct findings *findings)
{
    struct graph g = {.machine = machine, .origins = origins, .findings = findings};
    bool bounded = true;
    bool good = find_events(&g);

    if (good && g.events_count)
        good = check_steps(&g, &bounded);
    if (good && g.events_count && bounded && has_deferral(machine))
        good = check_recalls(&g);
    if (!good)
        findings->out_of_memory = true;
}
