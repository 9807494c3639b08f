#include "machine/export.h"

void pawl__draw_text(struct drawing *drawing, const char *text)
{
    for (; *text; text++)
        draw_char(drawing, *text);
}

void pawl__draw_number(struct drawing *drawing, uint64_t number)
{
    if (number >= 10)
        pawl__draw_number(drawing, number / 10);
    draw_char(drawing, (char)('0' + number % 10));
}

void pawl__draw_indent(struct drawing *drawing, unsigned depth)
{
    while (depth-- > 0)
        pawl__draw_text(drawing, "    ");
}

size_t pawl__draw_end(struct drawing *drawing)
{
    if (drawing->size)
        drawing->buffer[drawing->length < drawing->size ? drawing->length : drawing->size - 1] =
            '\0';
    return drawing->length;
}

void pawl__draw_transition(struct drawing *drawing, const struct source_transition *transition)
{
    drawing->name(drawing, drawing->source->events[transition->on]);
    if (transition->guard)
        pawl__draw_text(drawing, " [guard]");
    if (transition->label) {
        pawl__draw_text(drawing, " / ");
        drawing->name(drawing, transition->label);
    } else if (transition->action) {
        pawl__draw_text(drawing, " / action");
    }
}

/* In the largest unit that leaves a whole number. */
static void draw_duration(struct drawing *drawing, uint64_t ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {
        {UINT64_C(60000000000), " min"},
        {1000000000, " s"},
        {1000000, " ms"},
        {1000, " us"},
        {1, " ns"},
    };
    unsigned i = 0;

    while (ns % units[i].ns)
        i++;
    pawl__draw_number(drawing, ns / units[i].ns);
    pawl__draw_text(drawing, units[i].name);
}

static void draw_item(struct drawing *drawing, const char *before, const char *text,
                      const char *after)
{
    pawl__draw_text(drawing, before);
    pawl__draw_text(drawing, text);
    pawl__draw_text(drawing, after);
}

void pawl__draw_details(struct drawing *drawing, unsigned number, bool loops, const char *before,
                        const char *after)
{
    const struct machine_source *const source = drawing->source;
    const struct source_state *const state = &source->states[number];

    if (state->entry)
        draw_item(drawing, before, "entry action", after);
    if (state->exit)
        draw_item(drawing, before, "exit action", after);
    for (unsigned i = 0; i < state->defers.count; i++) {
        pawl__draw_text(drawing, before);
        drawing->name(drawing, source->events[state->defers.codes[i]]);
        pawl__draw_text(drawing, " / defer");
        pawl__draw_text(drawing, after);
    }
    if (state->timeout_ns) {
        pawl__draw_text(drawing, before);
        pawl__draw_text(drawing, "after ");
        draw_duration(drawing, state->timeout_ns);
        pawl__draw_text(drawing, " / ");
        drawing->name(drawing, source->events[state->timeout_event]);
        pawl__draw_text(drawing, after);
    }
    for (unsigned i = state->first_transition; i != SOURCE_NONE; i = source->transitions[i].next) {
        const struct source_transition *const transition = &source->transitions[i];

        if (transition->to != SOURCE_NONE && !(loops && transition->to == number))
            continue;
        pawl__draw_text(drawing, before);
        pawl__draw_transition(drawing, transition);
        pawl__draw_text(drawing, transition->to == SOURCE_NONE ? "" : ", exits and enters again");
        pawl__draw_text(drawing, after);
    }
}
