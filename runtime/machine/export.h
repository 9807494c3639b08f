/*
 * export.h - what the drawings share: a writer in the manner of snprintf, and the words that stand at
 * states and transitions.
 *
 * Drawings are made from the source, because nesting and labels are gone from the rows. Functions have
 * no names, so a guard shows as "[guard]", and an action as the transition's label, or "action".
 *
 * Layer: machine. Owner: the call that draws.
 */
#ifndef PAWL_MACHINE_EXPORT_H
#define PAWL_MACHINE_EXPORT_H

#include "machine/source.h"

struct drawing {
    char *buffer; /* may be NULL when size is 0 */
    size_t size;
    size_t length; /* of everything, whether or not there was room */
    const struct machine_source *source;
    void (*name)(struct drawing *drawing, const char *name); /* writes a name, escaped */
};

static inline void draw_char(struct drawing *drawing, char c)
{
    if (drawing->length + 1 < drawing->size)
        drawing->buffer[drawing->length] = c;
    drawing->length++;
}

void pawl__draw_text(struct drawing *drawing, const char *text);
void pawl__draw_number(struct drawing *drawing, uint64_t number);

/* depth * 4 spaces. */
void pawl__draw_indent(struct drawing *drawing, unsigned depth);

/* Closes the text with a zero; returns its length. */
size_t pawl__draw_end(struct drawing *drawing);

/* "event [guard] / label" */
void pawl__draw_transition(struct drawing *drawing, const struct source_transition *transition);

/*
 * Writes what a state does besides transitions to other states, one item after another: entry and
 * exit actions, deferred events, the timeout, internal transitions; with `loops` also transitions to
 * itself. Each item comes between before and after.
 */
void pawl__draw_details(struct drawing *drawing, unsigned state, bool loops, const char *before,
                        const char *after);

#endif /* PAWL_MACHINE_EXPORT_H */
