/*
 * export_dot.c - a machine as a graph in the DOT language (graphviz.org/doc/info/lang.html).
 *
 * Leaves are nodes s0, s1, ... by their position in the table, parents are clusters. DOT has no edges
 * between clusters: an edge to or from a parent ends at its initial dot and is clipped at the border
 * (lhead, ltail), which graphviz allows only when the other end lies outside.
 */
#include "machine/compiled.h"
#include "machine/export.h"

static void dot_name(struct drawing *drawing, const char *name)
{
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            draw_char(drawing, '\\');
        if (*name == '\n')
            pawl__draw_text(drawing, "\\n");
        else if (*name == '&')
            pawl__draw_text(drawing, "&amp;"); /* labels know HTML's entities */
        else
            draw_char(drawing, (unsigned char)*name < 0x20 ? ' ' : *name);
    }
}

static void draw_id(struct drawing *drawing, const char *prefix, unsigned number)
{
    pawl__draw_text(drawing, prefix);
    pawl__draw_number(drawing, number);
}

/* The node at which an edge to or from a state ends. */
static void draw_anchor(struct drawing *drawing, unsigned state)
{
    draw_id(drawing, source_is_leaf(drawing->source, state) ? "s" : "initial_", state);
}

static void draw_leaf(struct drawing *drawing, unsigned state, unsigned depth)
{
    pawl__draw_indent(drawing, depth);
    draw_id(drawing, "s", state);
    pawl__draw_text(drawing, " [label=\"");
    dot_name(drawing, drawing->source->states[state].name);
    pawl__draw_details(drawing, state, false, "\\n", "");
    pawl__draw_text(drawing, source_is_final(drawing->source, state)
                                 ? "\", shape=doublecircle, style=solid];\n"
                                 : "\"];\n");
}

static void draw_children(struct drawing *drawing, unsigned parent, unsigned depth);

/* An initial dot's edge. It starts inside the same parent, so it can be clipped at a child. */
static void draw_initial(struct drawing *drawing, const char *dot, unsigned to)
{
    pawl__draw_text(drawing, dot);
    pawl__draw_text(drawing, " -> ");
    draw_anchor(drawing, to);
    if (!source_is_leaf(drawing->source, to))
        draw_id(drawing, " [lhead=cluster_", to);
    pawl__draw_text(drawing, source_is_leaf(drawing->source, to) ? ";\n" : "];\n");
}

static void draw_parent(struct drawing *drawing, unsigned state, unsigned depth)
{
    const struct source_state *const parent = &drawing->source->states[state];

    pawl__draw_indent(drawing, depth);
    draw_id(drawing, "subgraph cluster_", state);
    pawl__draw_text(drawing, " {\n");
    pawl__draw_indent(drawing, depth + 1);
    pawl__draw_text(drawing, "label=\"");
    dot_name(drawing, parent->name);
    pawl__draw_details(drawing, state, false, "\\n", "");
    pawl__draw_text(drawing, "\";\n");
    pawl__draw_indent(drawing, depth + 1);
    draw_id(drawing, "initial_", state);
    pawl__draw_text(drawing, " [label=\"\", shape=point];\n");
    if (parent->flags & PAWL_STATE_HISTORY) {
        pawl__draw_indent(drawing, depth + 1);
        draw_id(drawing, "history_", state);
        pawl__draw_text(drawing, " [label=\"H\", shape=circle];\n");
    }
    draw_children(drawing, state, depth + 1);
    pawl__draw_indent(drawing, depth + 1);
    draw_id(drawing, "initial_", state);
    draw_initial(drawing, "", parent->initial);
    pawl__draw_indent(drawing, depth);
    pawl__draw_text(drawing, "}\n");
}

static void draw_state(struct drawing *drawing, unsigned state, unsigned depth)
{
    if (source_is_leaf(drawing->source, state))
        draw_leaf(drawing, state, depth);
    else
        draw_parent(drawing, state, depth);
}

static void draw_children(struct drawing *drawing, unsigned parent, unsigned depth)
{
    for (unsigned child = drawing->source->states[parent].first_child; child != SOURCE_NONE;
         child = drawing->source->states[child].next_sibling)
        draw_state(drawing, child, depth);
}

static void draw_edge(struct drawing *drawing, const struct source_transition *transition)
{
    const struct machine_source *const source = drawing->source;
    const unsigned from = transition->from, to = transition->to;

    pawl__draw_indent(drawing, 1);
    draw_anchor(drawing, from);
    pawl__draw_text(drawing, " -> ");
    if (transition->flags & PAWL_TRANSITION_HISTORY)
        draw_id(drawing, "history_", to);
    else
        draw_anchor(drawing, to);
    pawl__draw_text(drawing, " [label=\"");
    pawl__draw_transition(drawing, transition);
    draw_char(drawing, '"');
    if (!source_is_leaf(source, from) && !source_contains(source, from, to))
        draw_id(drawing, ", ltail=cluster_", from);
    if (!source_is_leaf(source, to) && !source_contains(source, to, from) &&
        !(transition->flags & PAWL_TRANSITION_HISTORY))
        draw_id(drawing, ", lhead=cluster_", to);
    pawl__draw_text(drawing, "];\n");
}

size_t pawl_machine_dot(const struct pawl_machine *machine, char *buffer, size_t size)
{
    const struct machine_source *const source = machine->source;
    struct drawing drawing = {.buffer = buffer, .size = size, .source = source, .name = dot_name};

    pawl__draw_text(&drawing, "digraph \"");
    dot_name(&drawing, source->name);
    pawl__draw_text(&drawing, "\" {\n"
                              "    compound=true;\n"
                              "    node [shape=box, style=rounded];\n"
                              "    initial [label=\"\", shape=point];\n");
    for (unsigned i = 0; i < source->states_count; i++) {
        if (source->states[i].parent == SOURCE_NONE)
            draw_state(&drawing, i, 1);
    }
    draw_initial(&drawing, "    initial", source->initial);
    for (unsigned i = 0; i < source->transitions_count; i++) {
        if (source->transitions[i].to != SOURCE_NONE)
            draw_edge(&drawing, &source->transitions[i]);
    }
    pawl__draw_text(&drawing, "}\n");
    return pawl__draw_end(&drawing);
}
