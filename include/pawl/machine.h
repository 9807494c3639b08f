/*
 * machine.h - what a machine is: states, events, transitions, written down as C tables.
 *
 *     static const char *const events[] = {"coin", "push"};
 *     static const struct pawl_state_def states[] = {{.name = "locked"}, {.name = "open"}};
 *     static const struct pawl_transition_def transitions[] = {
 *         {.from = "locked", .on = "coin", .to = "open", .action = count},
 *         {.from = "open", .on = "push", .to = "locked"},
 *     };
 *     static const struct pawl_machine_def turnstile = {
 *         .name = "turnstile", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
 *
 * The meaning follows Harel's statecharts (1987) as UML state machines have them: a task is in one
 * leaf state and in all its parents; an event looks for a transition in the leaf, then outwards; a
 * step runs to completion. Left out on purpose: parallel regions (use several tasks) and deep history.
 */
#ifndef PAWL_MACHINE_H
#define PAWL_MACHINE_H

#include <pawl/error.h>
#include <pawl/task.h>
#include <stdbool.h>

PAWL_BEGIN_DECLS

struct pawl_step;

/*
 * A guard says whether its transition is taken. It must not change anything. An action changes the
 * task's context and asks for effects through step (step.h). context is a private copy of
 * context_size bytes, aligned to 8, that is committed when the step succeeds. Both run on the task's
 * shard, must not block and must not keep the pointers.
 */
typedef bool pawl_guard_fn(const struct pawl_step *step, const void *context,
                           const struct pawl_event *event);
typedef void pawl_action_fn(struct pawl_step *step, void *context, const struct pawl_event *event);

#define PAWL_STATE_FINAL   0x1u /* entering it ends the task, after its entry action */
#define PAWL_STATE_HISTORY 0x2u /* a parent that remembers its last direct child */
#define PAWL_STATE_READY   0x4u /* a leaf where the task waits in a lane (lane.h) */
#define PAWL_STATE_LEASED  0x8u /* a leaf where an agent has the task */

struct pawl_state_def {
    const char *name;
    const char *parent;  /* NULL: outermost */
    const char *initial; /* a parent's first child; required there, NULL in a leaf */
    unsigned flags;
    pawl_action_fn *entry;
    pawl_action_fn *exit;
    const char *const *raises; /* NULL-ended: events that entry or exit may raise */
    const char *const *defers; /* NULL-ended: events kept until the state changes */
    uint64_t timeout_ns;       /* 0: none; counted from the state's entry */
    const char *timeout;       /* the event that the timeout delivers */
};

#define PAWL_TRANSITION_HISTORY                                                                    \
    0x1u /* enter the remembered child of to, at first its initial one */

/*
 * from a parent state holds for all its descendants. Several transitions of one state and event are
 * tried in the order written; only the last may be without a guard. When none of them is taken, the
 * search goes on in the parent. to NULL is internal: no exit, no entry. to equal to from exits and
 * enters again. A transition to a descendant or an ancestor of from does not exit the outer one.
 */
struct pawl_transition_def {
    const char *from;
    const char *on;
    const char *to;
    pawl_guard_fn *guard;
    pawl_action_fn *action;
    const char *const *raises; /* NULL-ended: events that action may raise */
    unsigned flags;
    const char *label; /* for drawings; may be NULL */
};

/* A timer that actions arm and cancel by its position in the table; it delivers the event. */
struct pawl_timer_def {
    const char *name;
    const char *event;
};

/* What happens to an event for which the state has no transition and no deferral. */
enum pawl_unexpected {
    PAWL_UNEXPECTED_IGNORE, /* counted; the sender's completion says 0 and the unchanged state */
    PAWL_UNEXPECTED_REFUSE, /* the sender is told -EPROTO */
    PAWL_UNEXPECTED_DEFER,  /* kept until the state changes */
};

/* How safe a step is when it is acknowledged (pawl/store.h). Others than memory need a store. */
enum pawl_durability {
    PAWL_DURABILITY_MEMORY,
    PAWL_DURABILITY_ASYNC,
    PAWL_DURABILITY_SYNC,
};

struct pawl_machine_def {
    const char *name;
    const char *const *events;
    size_t events_count;
    const struct pawl_state_def *states;
    size_t states_count;
    const struct pawl_transition_def *transitions;
    size_t transitions_count;
    const struct pawl_timer_def *timers;
    size_t timers_count;
    const char *initial;     /* NULL: the first state of the table */
    const char *cancel;      /* the event that a cancel delivers; NULL: it ends the task */
    const char *lease;       /* with lane states (lane.h): the event that hands a task out */
    const char *lease_timer; /* and the named timer that ends a lease */
    size_t context_size;     /* bytes, 0 to 4096; up to 24 live in the task's slot */
    enum pawl_unexpected unexpected;
    enum pawl_durability durability;
    uint32_t deferred_max; /* events one task may keep deferred; 0: 64 */
};

#define PAWL_TABLE(name) .name = name, .name##_count = sizeof(name) / sizeof((name)[0])

/*
 * A compiled machine: constant, may serve any number of runtimes and threads, must outlive them.
 *
 * pawl_machine_compile checks and flattens. The definition and what it points to must stay valid
 * only during the call (functions apart). Findings go to diagnose (may be NULL), errors and warnings
 * alike, all of them, in the order of the tables. Returns 0 (there may have been warnings), -EINVAL,
 * -ENOSPC (a limit of runtime/base/limits.h), -ENOTSUP or -ENOMEM. Thread: any.
 *
 * Refused:
 *   names     unknown, duplicate, empty or missing ones; an event twice in one raises or defers list
 *   flags     bits that mean nothing
 *   nesting   a parent without an initial child or with a foreign one; a cycle of parents
 *   final     a final state with children, exit, defers, a timeout or transitions of its own
 *   timeout   an event named with timeout_ns 0
 *   history   in a leaf, or for more children than a task can remember; a transition with
 *             PAWL_TRANSITION_HISTORY that is internal or into a state that does not remember
 *   reach     states that nothing leads to; traps: a leaf that is not final, that nothing can leave
 *             and in which no transition runs a function
 *   choice    a transition that an unguarded one before it, of the same state and event, hides
 *   lanes     lane states without lease and lease_timer, or these without both kinds of states; a
 *             context too small for struct pawl_claim; a ready state that the lease event does not
 *             lead into a leased one; another way into a leased state
 *   raises    a chain of raised events without a bound, be it within a step or, because what is
 *             raised is deferred and recalled, from step to step; a chain too long for a step. Judged
 *             is what could be, with every guard saying yes or no as it likes.
 * Warned of:
 *   waiting   a state where a task may wait for ever: no timeout, neither its own nor a parent's, and
 *             it neither takes a named timer's event nor an event that its own entry raises
 *   deferral  one that nothing recalls: no transition leads to a state that does not defer the event;
 *             one hidden by an unguarded transition of the same state
 *   unused    an event in no transition and no defers list; a transition of a parent that all states
 *             inside override; history that no transition uses; a timeout, a timer or a raise whose
 *             event nothing takes; raises where there is no function that could
 */
struct pawl_machine;
PAWL_API int pawl_machine_compile(const struct pawl_machine_def *definition,
                                  pawl_diagnostic_fn *diagnose, void *user,
                                  struct pawl_machine **machine);
PAWL_API void pawl_machine_destroy(struct pawl_machine *machine);

/*
 * The hash covers all that decides behaviour and can be compared between processes: names, order,
 * structure, limits, sizes; not the addresses of functions, of which only the presence counts.
 */
PAWL_API uint64_t pawl_machine_hash(const struct pawl_machine *machine);
PAWL_API const char *pawl_machine_name(const struct pawl_machine *machine);
PAWL_API size_t pawl_machine_state_count(const struct pawl_machine *machine);
PAWL_API size_t pawl_machine_event_count(const struct pawl_machine *machine);

/* Names by position in the definition's tables; "?" when there is no such position. */
PAWL_API const char *pawl_machine_state_name(const struct pawl_machine *machine, unsigned state);
PAWL_API const char *pawl_machine_event_name(const struct pawl_machine *machine, unsigned event);

/* Positions by name; -ENOENT when there is no such name. */
PAWL_API int pawl_machine_state(const struct pawl_machine *machine, const char *name);
PAWL_API int pawl_machine_event(const struct pawl_machine *machine, const char *name);

/*
 * Drawings, in the manner of snprintf: at most size bytes with the closing zero are written; the
 * length that all of it needs is returned. buffer may be NULL when size is 0.
 */
PAWL_API size_t pawl_machine_dot(const struct pawl_machine *machine, char *buffer, size_t size);
PAWL_API size_t pawl_machine_mermaid(const struct pawl_machine *machine, char *buffer, size_t size);

PAWL_END_DECLS

#endif /* PAWL_MACHINE_H */
