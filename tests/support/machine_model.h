/*
 * machine_model.h - for tests of compiling: random machines whose functions tell who they are, and the reference, a
 * slow interpreter that walks the nesting of the definition at every event.
 */
#ifndef PAWL_TESTS_SUPPORT_MACHINE_MODEL_H
#define PAWL_TESTS_SUPPORT_MACHINE_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "machine/compile.h"
#include "machine/compiled.h"
#include "support/test.h"

#define STATES      10
#define EVENTS      5
#define TRANSITIONS 24
#define ACTIONS     64
#define NONE        (-1)

/* ---- functions that tell who they are ------------------------------------------------------------ */

static struct {
    int calls[256];
    unsigned count;
} called;

#define ACTION(n)                                                                                  \
    static void action_##n(struct pawl_step *step, void *context, const struct pawl_event *event)  \
    {                                                                                              \
        (void)step, (void)context, (void)event;                                                    \
        called.calls[called.count++ % 256] = n;                                                    \
    }
#define GUARD(n)                                                                                   \
    static bool guard_##n(const struct pawl_step *step, const void *context,                       \
                          const struct pawl_event *event)                                          \
    {                                                                                              \
        (void)step, (void)context;                                                                 \
        return event->arg[0] >> (n)&1;                                                             \
    }
#define EIGHT(m, t) m(t##0) m(t##1) m(t##2) m(t##3) m(t##4) m(t##5) m(t##6) m(t##7)
#define SIXTY_FOUR(m)                                                                              \
    EIGHT(m, 1) EIGHT(m, 2) EIGHT(m, 3) EIGHT(m, 4) EIGHT(m, 5) EIGHT(m, 6) EIGHT(m, 7) EIGHT(m, 8)
#define TWENTY_FOUR(m) EIGHT(m, 1) EIGHT(m, 2) EIGHT(m, 3)
#define ACTION_NAME(n) action_##n,
#define GUARD_NAME(n)  guard_##n,

SIXTY_FOUR(ACTION)
TWENTY_FOUR(GUARD)
static pawl_action_fn *const actions[ACTIONS] = {SIXTY_FOUR(ACTION_NAME)};
static pawl_guard_fn *const guards[TRANSITIONS] = {TWENTY_FOUR(GUARD_NAME)};

/* ---- random machines ----------------------------------------------------------------------------- */

static const char *const state_names[STATES] = {"s0", "s1", "s2", "s3", "s4",
                                                "s5", "s6", "s7", "s8", "s9"};
static const char *const event_names[EVENTS] = {"e0", "e1", "e2", "e3", "e4"};

struct sample {
    struct pawl_machine_def definition;
    struct pawl_state_def states[STATES];
    struct pawl_transition_def transitions[TRANSITIONS];
    const char *lists[2 * STATES + TRANSITIONS][EVENTS + 1];
    unsigned lists_count;
    bool history; /* some transition enters by history */
};

static inline bool chance(struct random *r, unsigned percent)
{
    return random_below(r, 100) < percent;
}

static const char *const *random_list(struct sample *s, struct random *r, unsigned percent,
                                      unsigned first)
{
    const char **const list = s->lists[s->lists_count++];
    unsigned count = 0;

    for (unsigned i = first; i < EVENTS; i++) {
        if (chance(r, percent))
            list[count++] = event_names[i];
    }
    list[count] = NULL;
    return count ? list : NULL;
}

static inline pawl_action_fn *random_action(struct random *r, unsigned percent)
{
    return chance(r, percent) ? actions[random_below(r, ACTIONS)] : NULL;
}

static inline void make_states(struct sample *s, struct random *r, unsigned count, unsigned raises)
{
    for (unsigned i = 0; i < count; i++) {
        struct pawl_state_def *const state = &s->states[i];

        state->name = state_names[i];
        if (i && chance(r, 60))
            state->parent = state_names[random_below(r, i)];
        state->entry = random_action(r, 50);
        state->exit = random_action(r, 50);
        if ((state->entry || state->exit) && chance(r, raises))
            state->raises = random_list(s, r, 20, 3);
        if (chance(r, 20))
            state->defers = random_list(s, r, 30, 0);
        if (chance(r, 25)) {
            state->timeout_ns = 1 + random_below(r, 1000);
            state->timeout = event_names[random_below(r, EVENTS)];
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct pawl_state_def *const state = &s->states[i];
        unsigned children = 0;

        /* Each child replaces the choice with a chance that makes all equal. */
        for (unsigned child = 0; child < count; child++) {
            if (s->states[child].parent && strcmp(s->states[child].parent, state->name) == 0 &&
                random_below(r, ++children) == 0)
                state->initial = s->states[child].name;
        }
        if (state->initial && chance(r, 50)) {
            state->flags = PAWL_STATE_HISTORY;
        } else if (!state->initial && i && chance(r, 8)) {
            *state = (struct pawl_state_def){.name = state->name,
                                             .parent = state->parent,
                                             .entry = state->entry,
                                             .flags = PAWL_STATE_FINAL};
        }
    }
}

static inline void make_transitions(struct sample *s, struct random *r, unsigned states,
                                    unsigned count, unsigned raises)
{
    unsigned made = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pawl_transition_def *const t = &s->transitions[made];
        const unsigned from = (unsigned)random_below(r, states);
        const unsigned to = (unsigned)random_below(r, states);
        bool hidden = false;

        if (s->states[from].flags & PAWL_STATE_FINAL)
            continue;
        *t = (struct pawl_transition_def){
            .from = state_names[from],
            .on = event_names[random_below(r, EVENTS)],
            .to = chance(r, 85) ? state_names[to] : NULL,
            .guard = chance(r, 50) ? guards[made] : NULL,
            .action = random_action(r, 60),
        };
        for (unsigned k = 0; k < made; k++)
            hidden |= s->transitions[k].from == t->from && s->transitions[k].on == t->on &&
                      !s->transitions[k].guard;
        if (hidden && !chance(r, 1))
            continue;
        if (t->to && (s->states[to].flags & PAWL_STATE_HISTORY) && chance(r, 60)) {
            t->flags = PAWL_TRANSITION_HISTORY;
            s->history = true;
        }
        if (t->action && chance(r, raises))
            t->raises = random_list(s, r, 25, 2);
        made++;
    }
    s->definition.transitions_count = made;
}

static inline void make_sample(struct sample *s, struct random *r)
{
    const unsigned states = 1 + (unsigned)random_below(r, STATES);
    const unsigned raises = chance(r, 40) ? 0 : 25;

    memset(s, 0, sizeof(*s));
    make_states(s, r, states, raises);
    make_transitions(s, r, states, 2 + (unsigned)random_below(r, TRANSITIONS - 1), raises);
    s->definition.name = "sample";
    s->definition.events = event_names;
    s->definition.events_count = EVENTS;
    s->definition.states = s->states;
    s->definition.states_count = states;
    s->definition.transitions = s->transitions;
    s->definition.unexpected = (enum pawl_unexpected)random_below(r, 3);
    if (chance(r, 50))
        s->definition.initial = state_names[random_below(r, states)];
}

/* ---- what both interpreters report --------------------------------------------------------------- */

struct outcome {
    enum transition_kind kind; /* TAKE stands for every transition that is taken */
    int leaf;
    bool external;
    bool ended;
    int calls[64];
    unsigned calls_count;
    uint64_t armed[STATES];    /* by state: the timeout's length when it runs, else 0 */
    unsigned armed_at[STATES]; /* the step that armed it */
    uint64_t raises;
};

static inline void take_calls(struct outcome *o)
{
    cr_assert(called.count <= 64);
    o->calls_count = called.count;
    memcpy(o->calls, called.calls, called.count * sizeof(int));
    called.count = 0;
}

/* ---- the reference ------------------------------------------------------------------------------- */

struct reference {
    const struct pawl_machine_def *d;
    int leaf;
    int remembered[STATES];
    uint64_t armed[STATES];
    unsigned armed_at[STATES];
    unsigned step;
    bool ended;
    uint64_t raises;
};

static inline int state_of(const struct pawl_machine_def *d, const char *name)
{
    for (size_t i = 0; name && i < d->states_count; i++) {
        if (strcmp(d->states[i].name, name) == 0)
            return (int)i;
    }
    return NONE;
}

static inline int parent_of(const struct pawl_machine_def *d, int state)
{
    return state_of(d, d->states[state].parent);
}

static inline bool is_inside(const struct pawl_machine_def *d, int inner, int outer)
{
    while (inner != NONE && inner != outer)
        inner = parent_of(d, inner);
    return inner == outer;
}

static inline uint64_t events_of(const struct pawl_machine_def *d, const char *const *list)
{
    uint64_t set = 0;

    for (; list && *list; list++) {
        for (size_t i = 0; i < d->events_count; i++) {
            if (strcmp(d->events[i], *list) == 0)
                set |= UINT64_C(1) << i;
        }
    }
    return set;
}

static inline void call(struct reference *m, pawl_action_fn *fn, const char *const *raises,
                        const struct pawl_event *event)
{
    if (!fn)
        return;
    fn(NULL, NULL, event);
    m->raises |= events_of(m->d, raises);
}

static inline void enter(struct reference *m, int state, const struct pawl_event *event)
{
    const struct pawl_state_def *const s = &m->d->states[state];

    call(m, s->entry, s->raises, event);
    m->armed[state] = s->timeout_ns;
    m->armed_at[state] = s->timeout_ns ? m->step : 0;
    m->leaf = state;
    m->ended = s->flags & PAWL_STATE_FINAL;
}

/* Enters everything from below kept down to state. */
static inline void enter_down_to(struct reference *m, int kept, int state,
                                 const struct pawl_event *event)
{
    if (state == kept)
        return;
    enter_down_to(m, kept, parent_of(m->d, state), event);
    enter(m, state, event);
}

static inline void enter_initial(struct reference *m, int state, const struct pawl_event *event)
{
    while (m->d->states[state].initial) {
        state = state_of(m->d, m->d->states[state].initial);
        enter(m, state, event);
    }
}

static inline void exit_up_to(struct reference *m, int kept, const struct pawl_event *event)
{
    int child = NONE;

    for (int state = m->leaf; state != kept; state = parent_of(m->d, state)) {
        const struct pawl_state_def *const s = &m->d->states[state];

        call(m, s->exit, s->raises, event);
        m->armed[state] = 0;
        m->armed_at[state] = 0;
        if ((s->flags & PAWL_STATE_HISTORY) && child != NONE)
            m->remembered[state] = child;
        child = state;
    }
}

/* The innermost state that the transition neither exits nor enters. */
static inline int kept_by(const struct pawl_machine_def *d, int from, int to)
{
    int outer = from;

    if (from == to)
        return parent_of(d, from);
    if (is_inside(d, to, from))
        return from;
    if (is_inside(d, from, to))
        return to;
    while (outer != NONE && !is_inside(d, to, outer))
        outer = parent_of(d, outer);
    return outer;
}

static inline void reference_take(struct reference *m, const struct pawl_transition_def *t,
                                  const struct pawl_event *event)
{
    int from, to, kept, child;

    if (!t->to) {
        call(m, t->action, t->raises, event);
        return;
    }
    from = state_of(m->d, t->from);
    to = state_of(m->d, t->to);
    kept = kept_by(m->d, from, to);
    exit_up_to(m, kept, event);
    call(m, t->action, t->raises, event);
    m->leaf = kept;
    enter_down_to(m, kept, to, event);
    if (t->flags & PAWL_TRANSITION_HISTORY) {
        child = m->remembered[to] != NONE ? m->remembered[to]
                                          : state_of(m->d, m->d->states[to].initial);
        enter(m, child, event);
        enter_initial(m, child, event);
    } else {
        enter_initial(m, to, event);
    }
}

/* The transitions that may be taken for an event, in order, and what is done if none is. */
static inline unsigned candidates(const struct pawl_machine_def *d, int leaf, unsigned code,
                                  const struct pawl_transition_def **list,
                                  enum transition_kind *otherwise)
{
    static const enum transition_kind policies[] = {TRANSITION_IGNORE, TRANSITION_REFUSE,
                                                    TRANSITION_DEFER};
    unsigned count = 0;

    for (int state = leaf; state != NONE; state = parent_of(d, state)) {
        for (size_t i = 0; i < d->transitions_count; i++) {
            const struct pawl_transition_def *const t = &d->transitions[i];

            if (state_of(d, t->from) != state || strcmp(t->on, d->events[code]) != 0)
                continue;
            list[count++] = t;
            if (!t->guard) {
                *otherwise = TRANSITION_TAKE;
                return count;
            }
        }
        if (events_of(d, d->states[state].defers) >> code & 1) {
            *otherwise = TRANSITION_DEFER;
            return count;
        }
    }
    *otherwise = policies[d->unexpected];
    return count;
}

static inline void reference_step(struct reference *m, const struct pawl_event *event,
                                  struct outcome *o)
{
    const struct pawl_transition_def *list[TRANSITIONS + 1];
    const unsigned count = candidates(m->d, m->leaf, event->code, list, &o->kind);

    m->raises = 0;
    o->external = false;
    for (unsigned i = 0; i < count; i++) {
        if (list[i]->guard && !list[i]->guard(NULL, NULL, event))
            continue;
        o->kind = TRANSITION_TAKE;
        o->external = list[i]->to;
        reference_take(m, list[i], event);
        break;
    }
    take_calls(o);
    o->leaf = m->leaf;
    o->ended = m->ended;
    o->raises = m->raises;
    memcpy(o->armed, m->armed, sizeof(o->armed));
    memcpy(o->armed_at, m->armed_at, sizeof(o->armed_at));
}

static inline int reference_initial(const struct pawl_machine_def *d)
{
    return d->initial ? state_of(d, d->initial) : 0;
}

static inline void reference_create(struct reference *m, const struct pawl_machine_def *d,
                                    const struct pawl_event *event)
{
    *m = (struct reference){.d = d};
    for (unsigned i = 0; i < STATES; i++)
        m->remembered[i] = NONE;
    enter_down_to(m, NONE, reference_initial(d), event);
    enter_initial(m, reference_initial(d), event);
}

#endif /* PAWL_TESTS_SUPPORT_MACHINE_MODEL_H */
