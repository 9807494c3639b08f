/*
 * path.h - which states a transition exits and enters.
 *
 * Let `kept` be the innermost state that contains both from and to, or the parent of from when to is
 * from itself: what is kept is neither exited nor entered. So a transition to a descendant keeps from,
 * one to an ancestor keeps the ancestor, and all else is UML's usual rule. The path exits from the leaf
 * out to kept, enters from kept in to `to`, and then goes on down the initial children.
 *
 * History. Which child a transition with PAWL_TRANSITION_HISTORY enters is read from the history word,
 * except when the transition itself exits the remembering state: what it then remembers is where it
 * comes from, so the child is known when the machine is compiled.
 *
 * Layer: machine. Limits: NESTING_MAX.
 */
#ifndef PAWL_MACHINE_PATH_H
#define PAWL_MACHINE_PATH_H

#include "machine/source.h"

struct path {
    uint16_t exits[NESTING_MAX];   /* innermost first */
    uint16_t entries[NESTING_MAX]; /* outermost first */
    unsigned exits_count;
    unsigned entries_count;
};

/* The state that the path keeps; SOURCE_NONE: none. */
static inline unsigned path_kept(const struct machine_source *source, unsigned from, unsigned to)
{
    return from == to ? source->states[from].parent : source_common(source, from, to);
}

static inline void path_exits(const struct machine_source *source, struct path *path, unsigned leaf,
                              unsigned kept)
{
    path->exits_count = 0;
    for (unsigned at = leaf; at != kept; at = source->states[at].parent)
        path->exits[path->exits_count++] = (uint16_t)at;
}

/* child: the one of `to` to enter in place of its initial one; SOURCE_NONE: the initial one. */
static inline void path_entries(const struct machine_source *source, struct path *path,
                                unsigned kept, unsigned to, unsigned child)
{
    unsigned count = 0;

    for (unsigned at = to; at != kept; at = source->states[at].parent)
        count++;
    path->entries_count = count;
    for (unsigned at = to; at != kept; at = source->states[at].parent)
        path->entries[--count] = (uint16_t)at;
    for (unsigned at = to; !source_is_leaf(source, at);) {
        at = at == to && child != SOURCE_NONE ? child : source->states[at].initial;
        path->entries[path->entries_count++] = (uint16_t)at;
    }
}

/* The leaf that a path ends in. A path without entries stays where it was. */
static inline unsigned path_target(const struct path *path, unsigned leaf)
{
    return path->entries_count ? path->entries[path->entries_count - 1] : leaf;
}

/* The child of state on the way out from the leaf, when the path exits it from a child. */
static inline unsigned path_exited_child(const struct path *path, unsigned state)
{
    for (unsigned i = 1; i < path->exits_count; i++) {
        if (path->exits[i] == state)
            return path->exits[i - 1];
    }
    return SOURCE_NONE;
}

#endif /* PAWL_MACHINE_PATH_H */
