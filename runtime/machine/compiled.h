/*
 * compiled.h - a compiled machine: dense tables that a step reads and nothing writes.
 *
 * Layer: machine. May include: base. Owner: constant after pawl_machine_compile, shared by all
 * threads.
 *
 * For every leaf state and event, `cells` holds the number of the first candidate transition. A
 * candidate with a guard that says no leads to `next`; the chain ends in an unguarded transition or in
 * one of the kinds that take none (IGNORE, REFUSE, DEFER). Hierarchy is gone: candidates inherited from
 * parents stand in the chain of the leaf (leaf first, then outwards; at each level transitions before
 * deferral), and `functions` is the whole run exit (innermost first), action, entry (outermost first).
 * So a step costs the same as in a flat machine. The cells of parents are TRANSITION_NONE, those of a
 * final leaf, whose tasks have ended, all IGNORE.
 *
 * What each kind of row holds beside TAKE, which uses all fields but the variants':
 *   IGNORE, REFUSE, DEFER  one row for all events of a leaf: event UINT16_MAX, target the leaf
 *   VARIANTS               guard, next and the flag EXTERNAL; its variants, TAKE rows without a guard,
 *                          follow directly behind it
 *   create                 a TAKE row: event PAWL_CODE_CREATE, flag EXTERNAL
 *   cancel, one a leaf     a TAKE row: event PAWL_CODE_CANCEL, flag FINAL
 * There are at most 65,535 rows: TRANSITION_NONE is no row's number.
 *
 * States keep the positions of the definition's table; rows of parents are unused.
 *
 * History: a parent that remembers its child has a field of `history` bits in the slot's history word.
 * 0 is "never left", child k of the parent (in table order) is k + 1. A transition that leaves such a
 * parent does history = (history & ~history_mask) | history_bits. A transition into a remembered child
 * has kind VARIANTS: the one to take is number
 *     variants + ((history >> variant_shift) & variant_mask),
 * where missing children (when the number of children + 1 is no power of two) repeat variant 0.
 */
#ifndef PAWL_MACHINE_COMPILED_H
#define PAWL_MACHINE_COMPILED_H

#include <pawl/machine.h>
#include <stdint.h>

#include "base/limits.h"

#define TRANSITION_NONE UINT16_MAX

enum transition_kind {
    TRANSITION_TAKE,     /* run functions, go to target */
    TRANSITION_VARIANTS, /* which one is decided by the history word */
    TRANSITION_IGNORE,   /* unexpected, by policy */
    TRANSITION_REFUSE,   /* unexpected, by policy */
    TRANSITION_DEFER,    /* declared deferral, or unexpected by policy */
};

#define TRANSITION_EXTERNAL                                                                        \
    0x01u /* exits and enters: the state is (re-)entered, deferred events recalled */
#define TRANSITION_FINAL 0x02u /* the target is final: the task ends */
#define TRANSITION_PLAIN                                                                           \
    0x04u /* TAKE, no guard, at most one function, no state timers, not FINAL, no
                                     history change, no lane state: the short way through a step */
#define TRANSITION_LAST                                                                            \
    0x08u /* TAKE, no guard, at most one function, FINAL, from no lane state: the short way out */
#define TRANSITION_CLAIM                                                                           \
    0x10u /* TAKE, no guard, no state timers and no history change unless FINAL, of a machine with
                                     lane states: the short way of shard/claim_step.c */

/*
 * A state's timeout that a transition cancels (delay_ns 0) or arms. To arm a timer replaces what it was
 * armed to, so one that is left and entered again gets one change. FINAL rows only cancel.
 */
struct timer_change {
    uint64_t delay_ns;
    uint16_t timer;
};

/* One cache line. */
struct transition {
    pawl_guard_fn *guard;              /* NULL: always */
    pawl_action_fn *const *functions;  /* functions_count of them, none NULL */
    const struct timer_change *timers; /* timers_count: cancels first, then arms */
    const uint64_t *raises; /* bitmap over event codes that functions may raise, or NULL */
    uint16_t functions_count;
    uint16_t timers_count;
    uint16_t target; /* leaf state; own state when internal */
    uint16_t next;   /* the candidate after a guard said no; TRANSITION_NONE without guard */
    uint16_t history_mask;
    uint16_t history_bits;
    uint16_t variants; /* VARIANTS: first of the variants */
    uint16_t variant_mask;
    uint8_t variant_shift;
    uint8_t kind;  /* enum transition_kind */
    uint8_t flags; /* TRANSITION_* */
    uint8_t unused;
    uint16_t state; /* the leaf it belongs to; for reports */
    uint16_t event; /* event code, PAWL_CODE_*, or UINT16_MAX; for reports */
    uint32_t unused2;
};
_Static_assert(sizeof(struct transition) == 64, "one cache line");

/* What a leaf means to a lane (pawl/lane.h). */
enum lane_role {
    ROLE_NONE,
    ROLE_READY,
    ROLE_LEASED,
};

struct compiled_state {
    const char *name;
    uint16_t parent; /* UINT16_MAX: none */
    uint8_t leaf;    /* 1: a task can be in it */
    uint8_t final;
    uint8_t role;    /* enum lane_role */
    uint16_t cancel; /* leaf: the transition that runs all exit actions and ends the task */
};

struct compiled_timer {
    const char *name;    /* of a state's timeout: the state's name */
    uint16_t event;      /* delivered when it fires */
    uint64_t timeout_ns; /* of a state's timeout; 0: a named timer */
};

struct pawl_machine {
    const uint16_t *cells; /* [state * events_count + event] */
    const struct transition *transitions;
    uint32_t transitions_count;
    uint16_t events_count;
    uint16_t states_count;
    uint16_t timers_count; /* named ones first, at their positions, then states' timeouts */
    uint16_t named_timers_count;
    uint16_t create; /* the transition that enters the initial leaf: entry actions and timeouts */
    uint16_t cancel_event; /* event code, or UINT16_MAX: cancel ends the task */
    uint16_t lease_event;  /* event code, or UINT16_MAX: no lane states */
    uint16_t lease_timer;  /* position among the named timers */
    uint32_t context_size;
    uint32_t deferred_max;
    uint8_t history_width; /* bits of the history word in use */
    enum pawl_durability durability;
    enum pawl_unexpected unexpected;
    uint64_t hash;
    const char *name;
    const char *const *events; /* names */
    const struct compiled_state *states;
    const struct compiled_timer *timers;
    const struct machine_source
        *source; /* the definition's copy, for drawings; machine layer only */
};

#endif /* PAWL_MACHINE_COMPILED_H */
