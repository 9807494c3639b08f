/*
 * source.h - a definition's own copy, with every name resolved to its position.
 *
 * Everything after the resolution works on this: flattening, checks, hash, drawings. It belongs to
 * the compiled machine, because drawings need what flattening loses (nesting, labels), and because
 * the user's tables need not outlive the call.
 *
 * Layer: machine. Owner: constant once made.
 */
#ifndef PAWL_MACHINE_SOURCE_H
#define PAWL_MACHINE_SOURCE_H

#include <pawl/machine.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "machine/blocks.h"
#include "machine/compiled.h"
#include "machine/findings.h"

#define SOURCE_NONE UINT16_MAX /* no state, event, transition or timer */

_Static_assert(STATES_MAX <= SOURCE_NONE, "positions of states are below SOURCE_NONE");
_Static_assert(EVENTS_MAX < SOURCE_NONE, "positions of events are below SOURCE_NONE");

#define DEFERRED_DEFAULT 64u /* pawl_machine_def.deferred_max 0 */

/* A list of events, ascending, each once. */
struct event_set {
    const uint16_t *codes;
    uint16_t count;
};

struct source_state {
    const char *name;
    pawl_action_fn *entry;
    pawl_action_fn *exit;
    struct event_set raises;
    struct event_set defers;
    uint64_t timeout_ns;
    uint16_t timeout_event;
    uint16_t timer; /* number of the timeout's timer */
    uint16_t parent;
    uint16_t initial;
    uint16_t first_child;
    uint16_t next_sibling;
    uint16_t children_count;
    uint16_t child_number; /* among the parent's children, in table order */
    uint16_t first_transition;
    uint16_t depth; /* 1: outermost */
    uint8_t flags;  /* PAWL_STATE_* */
    uint8_t history_shift;
    uint8_t history_width; /* 0: remembers nothing */
};

struct source_transition {
    pawl_guard_fn *guard;
    pawl_action_fn *action;
    struct event_set raises;
    const char *label; /* may be NULL */
    uint16_t from;
    uint16_t on;
    uint16_t to;   /* SOURCE_NONE: internal */
    uint16_t next; /* of the same state, in table order */
    uint8_t flags; /* PAWL_TRANSITION_* */
};

struct source_timer {
    const char *name;
    uint16_t event;
};

struct machine_source {
    struct blocks blocks; /* holds this struct too, and the compiled machine */
    const char *name;
    const char **events;
    struct source_state *states;
    struct source_transition *transitions;
    struct source_timer *timers;
    uint16_t events_count;
    uint16_t states_count;
    uint16_t transitions_count;
    uint16_t timers_count; /* named ones */
    uint32_t timers_total; /* and states' timeouts */
    uint16_t initial;      /* as given, may be a parent */
    uint16_t cancel;       /* event or SOURCE_NONE */
    uint16_t lease;        /* likewise */
    uint16_t lease_timer;  /* named timer or SOURCE_NONE */
    uint8_t history_width; /* bits in use */
    uint32_t deferred_max; /* never 0 */
    uint32_t context_size;
    enum pawl_unexpected unexpected;
    enum pawl_durability durability;
};

/*
 * pawl__source_create - resolves a definition. What is wrong with names, references, nesting, fields
 * and limits goes to findings; only when findings has no error is the source whole and may be used.
 * Returns NULL when there is no memory, or when a table cannot be looked at at all (then there is a
 * finding).
 */
struct machine_source *pawl__source_create(const struct pawl_machine_def *definition,
                                           struct findings *findings,
                                           const struct allocator *allocator);
void pawl__source_destroy(struct machine_source *source);

static inline bool source_is_leaf(const struct machine_source *source, unsigned state)
{
    return source->states[state].first_child == SOURCE_NONE;
}

static inline bool source_is_final(const struct machine_source *source, unsigned state)
{
    return source->states[state].flags & PAWL_STATE_FINAL;
}

static inline enum lane_role source_role(const struct machine_source *source, unsigned state)
{
    const unsigned flags = source->states[state].flags;

    return flags & PAWL_STATE_LEASED  ? ROLE_LEASED
           : flags & PAWL_STATE_READY ? ROLE_READY
                                      : ROLE_NONE;
}

/* Whether outer is inner or one of its parents; SOURCE_NONE is outside of all states. */
static inline bool source_contains(const struct machine_source *source, unsigned outer,
                                   unsigned inner)
{
    if (outer == SOURCE_NONE)
        return true;
    while (inner != SOURCE_NONE && inner != outer)
        inner = source->states[inner].parent;
    return inner == outer;
}

/* The innermost state that contains both; SOURCE_NONE when only the machine does. */
static inline unsigned source_common(const struct machine_source *source, unsigned a, unsigned b)
{
    while (!source_contains(source, a, b))
        a = source->states[a].parent;
    return a;
}

static inline bool event_set_has(const struct event_set *set, unsigned code)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->codes[i] == code)
            return true;
    }
    return false;
}

#endif /* PAWL_MACHINE_SOURCE_H */
