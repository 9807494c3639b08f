/*
 * export_mermaid.c - a machine as a Mermaid state diagram (mermaid.js.org/syntax/stateDiagram.html).
 *
 * Mermaid's layout fails on an edge between a parent and a state inside it, and, in some versions, on
 * an edge from a nested parent to itself. So such transitions are drawn as what they mean: one from a
 * parent to a descendant starts at each child, one to an ancestor ends at its initial child, and one
 * from a parent to itself is written into the parent's title. History is a state named H inside its
 * parent, which Mermaid does not have as a symbol.
 *
 * Names go through Mermaid's entities (#35;) wherever a character could mean something to it.
 */
#include <string.h>

#include "machine/compiled.h"
#include "machine/export.h"

static bool is_harmless(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c >= 0x80 || strchr(" _.,/()-", c);
}

static void mermaid_name(struct drawing *drawing, const char *name)
{
    for (; *name; name++) {
        const unsigned char c = (unsigned char)*name;

        if (is_harmless(c)) {
            draw_char(drawing, *name);
        } else if (c < 0x20 || c == 0x7f) {
            draw_char(drawing, ' ');
        } else {
            draw_char(drawing, '#');
            pawl__draw_number(drawing, c);
            draw_char(drawing, ';');
        }
    }
}

/* For the title, which is a string of YAML in double quotes. */
static void yaml_name(struct drawing *drawing, const char *name)
{
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            draw_char(drawing, '\\');
        draw_char(drawing, (unsigned char)*name < 0x20 || *name == 0x7f ? ' ' : *name);
    }
}

static void draw_id(struct drawing *drawing, const char *prefix, unsigned number)
{
    pawl__draw_text(drawing, prefix);
    pawl__draw_number(drawing, number);
}

static void draw_state(struct drawing *drawing, unsigned state, unsigned depth);

static void draw_inside(struct drawing *drawing, unsigned parent, unsigned depth)
{
    const struct source_state *const state = &drawing->source->states[parent];

    pawl__draw_indent(drawing, depth);
    draw_id(drawing, "[*] --> s", state->initial);
    draw_char(drawing, '\n');
    if (state->flags & PAWL_STATE_HISTORY) {
        pawl__draw_indent(drawing, depth);
        draw_id(drawing, "state \"H\" as h", parent);
        draw_char(drawing, '\n');
    }
    for (unsigned child = state->first_child; child != SOURCE_NONE;
         child = drawing->source->states[child].next_sibling)
        draw_state(drawing, child, depth);
}

static void draw_leaf_details(struct drawing *drawing, unsigned state, unsigned depth)
{
    /* Room for the indentation, "s65535 : " and the end. */
    char before[4 * (NESTING_MAX + 2) + 16] = "";
    struct drawing line = {.buffer = before, .size = sizeof(before)};

    pawl__draw_indent(&line, depth);
    draw_id(&line, "s", state);
    pawl__draw_text(&line, " : ");
    pawl__draw_end(&line);
    pawl__draw_details(drawing, state, false, before, "\n");
    if (source_is_final(drawing->source, state)) {
        pawl__draw_indent(drawing, depth);
        draw_id(drawing, "s", state);
        pawl__draw_text(drawing, " --> [*]\n");
    }
}

static void draw_state(struct drawing *drawing, unsigned state, unsigned depth)
{
    const bool leaf = source_is_leaf(drawing->source, state);

    pawl__draw_indent(drawing, depth);
    pawl__draw_text(drawing, "state \"");
    mermaid_name(drawing, drawing->source->states[state].name);
    if (!leaf)
        pawl__draw_details(drawing, state, true, " (", ")");
    draw_id(drawing, "\" as s", state);
    if (leaf) {
        draw_char(drawing, '\n');
        draw_leaf_details(drawing, state, depth);
        return;
    }
    pawl__draw_text(drawing, " {\n");
    draw_inside(drawing, state, depth + 1);
    pawl__draw_indent(drawing, depth);
    pawl__draw_text(drawing, "}\n");
}

/* Where the edge from a state ends: never at a parent of it. */
static unsigned edge_end(const struct machine_source *source, unsigned from, unsigned to)
{
    while (!source_is_leaf(source, to) && source_contains(source, to, from))
        to = source->states[to].initial;
    return to;
}

static void draw_edges(struct drawing *drawing, unsigned from,
                       const struct source_transition *transition)
{
    const struct machine_source *const source = drawing->source;
    const bool history = transition->flags & PAWL_TRANSITION_HISTORY;
    const unsigned to = history ? transition->to : edge_end(source, from, transition->to);

    if (!source_is_leaf(source, from) && source_contains(source, from, to)) {
        for (unsigned child = source->states[from].first_child; child != SOURCE_NONE;
             child = source->states[child].next_sibling)
            draw_edges(drawing, child, transition);
        return;
    }
    pawl__draw_indent(drawing, 1);
    draw_id(drawing, "s", from);
    draw_id(drawing, history ? " --> h" : " --> s", to);
    pawl__draw_text(drawing, " : ");
    pawl__draw_transition(drawing, transition);
    draw_char(drawing, '\n');
}

/* Whether the transition stands in the state's text. */
static bool is_detail(const struct machine_source *source,
                      const struct source_transition *transition)
{
    return transition->to == SOURCE_NONE ||
           (transition->from == transition->to && !source_is_leaf(source, transition->to));
}

size_t pawl_machine_mermaid(const struct pawl_machine *machine, char *buffer, size_t size)
{
    const struct machine_source *const source = machine->source;
    struct drawing drawing = {
        .buffer = buffer, .size = size, .source = source, .name = mermaid_name};

    pawl__draw_text(&drawing, "---\ntitle: \"");
    yaml_name(&drawing, source->name);
    pawl__draw_text(&drawing, "\"\n---\nstateDiagram-v2\n");
    for (unsigned i = 0; i < source->states_count; i++) {
        if (source->states[i].parent == SOURCE_NONE)
            draw_state(&drawing, i, 1);
    }
    draw_id(&drawing, "    [*] --> s", source->initial);
    draw_char(&drawing, '\n');
    for (unsigned i = 0; i < source->transitions_count; i++) {
        if (!is_detail(source, &source->transitions[i]))
            draw_edges(&drawing, source->transitions[i].from, &source->transitions[i]);
    }
    return pawl__draw_end(&drawing);
}
