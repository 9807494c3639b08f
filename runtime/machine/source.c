#include "machine/source.h"

#include <stdlib.h>

#include "base/bits.h"
#include "machine/names.h"

#define STATE_FLAGS (PAWL_STATE_FINAL | PAWL_STATE_HISTORY | PAWL_STATE_READY | PAWL_STATE_LEASED)

struct resolver {
    const struct pawl_machine_def *definition;
    struct findings *findings;
    struct machine_source *source;
    struct blocks *scratch;
    struct names events, states;
    bool states_broken; /* nesting cannot be judged */
    bool out_of_memory;
};

/* ---- tables and names ---------------------------------------------------------------------------- */

static bool check_table(struct findings *findings, const char *name, const void *table,
                        size_t count, size_t most)
{
    if (count > most) {
        pawl__find(findings, -ENOSPC, FINDING_MACHINE, 0,
                   "%s_count is %zu, but a machine has at most %zu; split it into several machines",
                   name, count, most);
        return false;
    }
    if (count && !table) {
        pawl__find(findings, -EINVAL, FINDING_MACHINE, 0,
                   "%s is NULL, but %s_count is %zu; use PAWL_TABLE(%s)", name, name, count, name);
        return false;
    }
    return true;
}

static bool check_tables(const struct pawl_machine_def *definition, struct findings *findings)
{
    bool good = true;

    good &=
        check_table(findings, "events", definition->events, definition->events_count, EVENTS_MAX);
    good &=
        check_table(findings, "states", definition->states, definition->states_count, STATES_MAX);
    good &= check_table(findings, "transitions", definition->transitions,
                        definition->transitions_count, SOURCE_NONE);
    good &=
        check_table(findings, "timers", definition->timers, definition->timers_count, TIMERS_MAX);
    if (good && definition->states_count == 0) {
        pawl__find(findings, -EINVAL, FINDING_MACHINE, 0,
                   "there are no states; a task must be in one");
        good = false;
    }
    return good;
}

/* A table entry's own name: there, not empty, not taken. Returns the copy. */
static const char *own_name(struct resolver *r, enum finding_table table, size_t position,
                            const char *kind, struct names *names, const char *name)
{
    char *const copy = pawl__blocks_copy(&r->source->blocks, name ? name : "");
    uint32_t taken;

    if (!copy) {
        r->out_of_memory = true;
        return "";
    }
    if (!copy[0]) {
        pawl__find(r->findings, -EINVAL, table, position, "the name is %s; give the %s a name",
                   name ? "empty" : "missing", kind);
        return copy;
    }
    taken = names_put(names, copy, (uint32_t)position);
    if (taken != NAME_NONE)
        pawl__find(r->findings, -EINVAL, table, position,
                   "the name is taken by %s %u; every %s needs a name of its own", kind, taken,
                   kind);
    return copy;
}

/* A reference that must be there. Returns its position or SOURCE_NONE. */
static uint16_t refer(struct resolver *r, enum finding_table table, size_t position,
                      const struct names *names, const char *kind, const char *field,
                      const char *name)
{
    uint32_t found;

    if (!name || !name[0]) {
        pawl__find(r->findings, -EINVAL, table, position, "%s is %s; give the name of %s", field,
                   name ? "empty" : "missing", kind);
        return SOURCE_NONE;
    }
    found = names_find(names, name);
    if (found == NAME_NONE) {
        pawl__find(r->findings, -EINVAL, table, position,
                   "%s names '%s', which is not %s of this machine; correct it or add it to the "
                   "table",
                   field, SHORT(name), kind);
        return SOURCE_NONE;
    }
    return (uint16_t)found;
}

static int compare_codes(const void *left, const void *right)
{
    return (int)*(const uint16_t *)left - (int)*(const uint16_t *)right;
}

static struct event_set refer_set(struct resolver *r, enum finding_table table, size_t position,
                                  const char *field, const char *const *list)
{
    struct event_set set = {NULL, 0};
    size_t length = 0, known = 0, unique = 0;
    uint16_t *codes;

    if (!list)
        return set;
    while (list[length])
        length++;
    codes = BLOCKS_NEW(&r->source->blocks, length, uint16_t);
    if (!codes) {
        r->out_of_memory = true;
        return set;
    }
    for (size_t i = 0; i < length; i++) {
        const uint16_t code = refer(r, table, position, &r->events, "an event", field, list[i]);

        if (code != SOURCE_NONE)
            codes[known++] = code;
    }
    if (known)
        qsort(codes, known, sizeof(*codes), compare_codes);
    for (size_t i = 0; i < known; i++) {
        if (unique && codes[unique - 1] == codes[i])
            pawl__find(r->findings, -EINVAL, table, position,
                       "%s names '%s' more than once; once is enough", field,
                       SHORT(r->source->events[codes[i]]));
        else
            codes[unique++] = codes[i];
    }
    set.codes = codes;
    set.count = (uint16_t)unique;
    return set;
}

/* ---- the tables ---------------------------------------------------------------------------------- */

static void resolve_events(struct resolver *r)
{
    for (size_t i = 0; i < r->definition->events_count; i++)
        r->source->events[i] =
            own_name(r, FINDING_EVENT, i, "event", &r->events, r->definition->events[i]);
}

static void resolve_timeout(struct resolver *r, size_t i)
{
    const struct pawl_state_def *const from = &r->definition->states[i];
    struct source_state *const state = &r->source->states[i];

    state->timer = SOURCE_NONE;
    state->timeout_event = SOURCE_NONE;
    state->timeout_ns = from->timeout_ns;
    if (from->timeout_ns) {
        state->timer = (uint16_t)r->source->timers_total++;
        state->timeout_event =
            refer(r, FINDING_STATE, i, &r->events, "an event", "timeout", from->timeout);
    } else if (from->timeout) {
        pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                   "timeout names '%s', but timeout_ns is 0, so it would never come; set "
                   "timeout_ns or leave out timeout",
                   SHORT(from->timeout));
    }
}

static void resolve_states(struct resolver *r)
{
    struct machine_source *const source = r->source;
    size_t errors;

    for (size_t i = 0; i < source->states_count; i++)
        source->states[i].name =
            own_name(r, FINDING_STATE, i, "state", &r->states, r->definition->states[i].name);
    for (size_t i = 0; i < source->states_count; i++) {
        const struct pawl_state_def *const from = &r->definition->states[i];
        struct source_state *const state = &source->states[i];

        errors = r->findings->errors;
        state->parent =
            from->parent ? refer(r, FINDING_STATE, i, &r->states, "a state", "parent", from->parent)
                         : SOURCE_NONE;
        state->initial = from->initial ? refer(r, FINDING_STATE, i, &r->states, "a state",
                                               "initial", from->initial)
                                       : SOURCE_NONE;
        r->states_broken |= r->findings->errors != errors;
        if (from->flags & ~STATE_FLAGS)
            pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                       "flags 0x%x has bits that mean nothing; use PAWL_STATE_*", from->flags);
        state->flags = (uint8_t)(from->flags & STATE_FLAGS);
        state->entry = from->entry;
        state->exit = from->exit;
        state->raises = refer_set(r, FINDING_STATE, i, "raises", from->raises);
        state->defers = refer_set(r, FINDING_STATE, i, "defers", from->defers);
        resolve_timeout(r, i);
        state->first_child = SOURCE_NONE;
        state->next_sibling = SOURCE_NONE;
        state->first_transition = SOURCE_NONE;
    }
    if (source->timers_total > TIMERS_MAX)
        pawl__find(r->findings, -ENOSPC, FINDING_MACHINE, 0,
                   "%u named timers and %u timeouts of states are more than %u together; use "
                   "fewer, or one named timer for several states",
                   source->timers_count, source->timers_total - source->timers_count, TIMERS_MAX);
}

static void check_history(struct resolver *r, size_t i)
{
    const struct source_transition *const transition = &r->source->transitions[i];

    if (r->definition->transitions[i].flags & ~PAWL_TRANSITION_HISTORY)
        pawl__find(r->findings, -EINVAL, FINDING_TRANSITION, i,
                   "flags 0x%x has bits that mean nothing; use PAWL_TRANSITION_*",
                   r->definition->transitions[i].flags);
    if (!(transition->flags & PAWL_TRANSITION_HISTORY))
        return;
    if (!r->definition->transitions[i].to)
        pawl__find(r->findings, -EINVAL, FINDING_TRANSITION, i,
                   "an internal transition enters nothing, so it cannot enter by history; name a "
                   "target or leave out PAWL_TRANSITION_HISTORY");
    else if (transition->to != SOURCE_NONE &&
             !(r->source->states[transition->to].flags & PAWL_STATE_HISTORY))
        pawl__find(r->findings, -EINVAL, FINDING_TRANSITION, i,
                   "the target does not remember its children; give state '%s' "
                   "PAWL_STATE_HISTORY or leave out PAWL_TRANSITION_HISTORY",
                   SHORT(r->source->states[transition->to].name));
}

static void resolve_transitions(struct resolver *r)
{
    struct machine_source *const source = r->source;

    for (size_t i = 0; i < source->transitions_count; i++) {
        const struct pawl_transition_def *const from = &r->definition->transitions[i];
        struct source_transition *const transition = &source->transitions[i];

        transition->from =
            refer(r, FINDING_TRANSITION, i, &r->states, "a state", "from", from->from);
        transition->on = refer(r, FINDING_TRANSITION, i, &r->events, "an event", "on", from->on);
        transition->to =
            from->to ? refer(r, FINDING_TRANSITION, i, &r->states, "a state", "to", from->to)
                     : SOURCE_NONE;
        transition->guard = from->guard;
        transition->action = from->action;
        transition->raises = refer_set(r, FINDING_TRANSITION, i, "raises", from->raises);
        transition->flags = (uint8_t)(from->flags & PAWL_TRANSITION_HISTORY);
        if (from->label) {
            transition->label = pawl__blocks_copy(&source->blocks, from->label);
            r->out_of_memory |= !transition->label;
        }
        check_history(r, i);
    }
    for (size_t i = source->transitions_count; i-- > 0;) {
        struct source_transition *const transition = &source->transitions[i];
        uint16_t *first;

        if (transition->from == SOURCE_NONE)
            continue;
        first = &source->states[transition->from].first_transition;
        transition->next = *first;
        *first = (uint16_t)i;
    }
}

static void resolve_timers(struct resolver *r)
{
    struct names timers;

    if (!names_init(&timers, r->scratch, r->source->timers_count)) {
        r->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < r->source->timers_count; i++) {
        const struct pawl_timer_def *const from = &r->definition->timers[i];
        struct source_timer *const timer = &r->source->timers[i];

        timer->name = own_name(r, FINDING_TIMER, i, "timer", &timers, from->name);
        timer->event = refer(r, FINDING_TIMER, i, &r->events, "an event", "event", from->event);
    }
    r->source->lease_timer = r->definition->lease_timer
                                 ? refer(r, FINDING_MACHINE, 0, &timers, "a named timer",
                                         "lease_timer", r->definition->lease_timer)
                                 : SOURCE_NONE;
}

static void resolve_machine(struct resolver *r)
{
    const struct pawl_machine_def *const from = r->definition;
    struct machine_source *const source = r->source;

    source->name = pawl__blocks_copy(&source->blocks, from->name ? from->name : "");
    r->out_of_memory |= !source->name;
    if (!from->name || !from->name[0])
        pawl__find(r->findings, -EINVAL, FINDING_MACHINE, 0,
                   "the name is %s; give the machine a name", from->name ? "empty" : "missing");
    source->initial = from->initial ? refer(r, FINDING_MACHINE, 0, &r->states, "a state", "initial",
                                            from->initial)
                                    : 0;
    source->cancel =
        from->cancel ? refer(r, FINDING_MACHINE, 0, &r->events, "an event", "cancel", from->cancel)
                     : SOURCE_NONE;
    source->lease = from->lease
                        ? refer(r, FINDING_MACHINE, 0, &r->events, "an event", "lease", from->lease)
                        : SOURCE_NONE;
    source->deferred_max = from->deferred_max ? from->deferred_max : DEFERRED_DEFAULT;
    source->context_size = (uint32_t)from->context_size;
    source->unexpected = from->unexpected;
    source->durability = from->durability;
    if (from->context_size > CONTEXT_MAX)
        pawl__find(r->findings, -ENOSPC, FINDING_MACHINE, 0,
                   "context_size is %zu, but a context has at most %u bytes; keep a pointer or a "
                   "key in it instead",
                   from->context_size, CONTEXT_MAX);
    if ((unsigned)from->unexpected > PAWL_UNEXPECTED_DEFER)
        pawl__find(r->findings, -EINVAL, FINDING_MACHINE, 0,
                   "unexpected is %u, which is no policy; use PAWL_UNEXPECTED_*",
                   (unsigned)from->unexpected);
    if ((unsigned)from->durability > PAWL_DURABILITY_SYNC)
        pawl__find(r->findings, -EINVAL, FINDING_MACHINE, 0,
                   "durability is %u, which is none; use PAWL_DURABILITY_*",
                   (unsigned)from->durability);
}

/* ---- nesting ------------------------------------------------------------------------------------- */

/* Finds each cycle of parents once, at its first state. false when there is one. */
static bool check_cycles(struct resolver *r)
{
    struct source_state *const states = r->source->states;
    const unsigned count = r->source->states_count;
    uint32_t *const walk = BLOCKS_NEW(r->scratch, count, uint32_t); /* 0: not walked yet */
    bool good = true;

    if (!walk) {
        r->out_of_memory = true;
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;

        while (at != SOURCE_NONE && walk[at] == 0) {
            walk[at] = i + 1;
            at = states[at].parent;
        }
        if (at == SOURCE_NONE || walk[at] != i + 1)
            continue;
        good = false;
        if (states[at].parent == at)
            pawl__find(r->findings, -EINVAL, FINDING_STATE, at,
                       "the state is its own parent; leave out parent for an outermost state");
        else
            pawl__find(r->findings, -EINVAL, FINDING_STATE, at,
                       "the state is inside itself: its parent '%s' has it as a parent too; break "
                       "the cycle of parents",
                       SHORT(states[states[at].parent].name));
    }
    return good;
}

static void link_children(struct machine_source *source)
{
    for (unsigned i = source->states_count; i-- > 0;) {
        struct source_state *const state = &source->states[i];
        struct source_state *parent;

        if (state->parent == SOURCE_NONE)
            continue;
        parent = &source->states[state->parent];
        state->next_sibling = parent->first_child;
        parent->first_child = (uint16_t)i;
        parent->children_count++;
    }
    for (unsigned i = 0; i < source->states_count; i++) {
        uint16_t number = 0;

        for (unsigned child = source->states[i].first_child; child != SOURCE_NONE;
             child = source->states[child].next_sibling)
            source->states[child].child_number = number++;
    }
}

static void check_depth(struct resolver *r, unsigned i)
{
    struct source_state *const states = r->source->states;
    unsigned depth = 0;

    for (unsigned at = i; at != SOURCE_NONE && depth <= NESTING_MAX; at = states[at].parent)
        depth++;
    states[i].depth = (uint16_t)depth;
    /* Told at the first level that is too deep only, not for all that is inside. */
    if (depth > NESTING_MAX && states[i].parent != SOURCE_NONE) {
        depth = 0;
        for (unsigned at = states[i].parent; at != SOURCE_NONE && depth <= NESTING_MAX;
             at = states[at].parent)
            depth++;
        if (depth == NESTING_MAX)
            pawl__find(r->findings, -ENOSPC, FINDING_STATE, i,
                       "the state is nested deeper than %u levels; flatten the outer ones",
                       NESTING_MAX);
    }
}

static void check_initial(struct resolver *r, unsigned i)
{
    const struct source_state *const states = r->source->states;
    const struct source_state *const state = &states[i];

    if (state->first_child == SOURCE_NONE) {
        if (state->initial != SOURCE_NONE)
            pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                       "initial is '%s', but no state has this one as its parent; leave out "
                       "initial or set the children's parent",
                       SHORT(states[state->initial].name));
    } else if (state->initial == SOURCE_NONE) {
        pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                   "the state has children, but no initial one; name the child that is entered "
                   "with it");
    } else if (states[state->initial].parent != i) {
        pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                   "initial is '%s', which is not a direct child; name a state whose parent is "
                   "this one",
                   SHORT(states[state->initial].name));
    }
}

/* What is written in a final state but can never happen there. */
static void check_final(struct resolver *r, unsigned i)
{
    const struct source_state *const state = &r->source->states[i];
    const char *useless = NULL;

    if (state->first_child != SOURCE_NONE)
        useless = "children";
    else if (state->exit)
        useless = "an exit action";
    else if (state->defers.count)
        useless = "deferred events";
    else if (state->timeout_ns)
        useless = "a timeout";
    else if (state->first_transition != SOURCE_NONE)
        useless = "transitions";
    if (useless)
        pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                   "the task ends when it enters a final state, which therefore cannot have %s; "
                   "take them out or leave out PAWL_STATE_FINAL",
                   useless);
}

static void assign_history(struct resolver *r, unsigned i)
{
    struct source_state *const state = &r->source->states[i];
    const unsigned width = bits_for(state->children_count + 1u);

    if (state->first_child == SOURCE_NONE) {
        pawl__find(r->findings, -EINVAL, FINDING_STATE, i,
                   "a state without children has nothing to remember; leave out "
                   "PAWL_STATE_HISTORY");
    } else if (r->source->history_width + width > HISTORY_BITS) {
        pawl__find(r->findings, -ENOSPC, FINDING_STATE, i,
                   "to remember one of %u children takes %u bits, but only %u of a task's %u bits "
                   "are left; use history in fewer states or with fewer children",
                   state->children_count, width, HISTORY_BITS - r->source->history_width,
                   HISTORY_BITS);
    } else {
        state->history_shift = r->source->history_width;
        state->history_width = (uint8_t)width;
        r->source->history_width = (uint8_t)(r->source->history_width + width);
    }
}

static void resolve_nesting(struct resolver *r)
{
    if (r->states_broken || !check_cycles(r))
        return;
    link_children(r->source);
    for (unsigned i = 0; i < r->source->states_count; i++) {
        const struct source_state *const state = &r->source->states[i];

        check_depth(r, i);
        check_initial(r, i);
        if (state->flags & PAWL_STATE_FINAL)
            check_final(r, i);
        if (state->flags & PAWL_STATE_HISTORY)
            assign_history(r, i);
    }
}

/* -------------------------------------------------------------------------------------------------- */

static struct machine_source *allocate(const struct pawl_machine_def *definition,
                                       const struct allocator *allocator)
{
    struct machine_source *source;
    struct blocks blocks;

    pawl__blocks_init(&blocks, allocator);
    source = BLOCKS_NEW(&blocks, 1, struct machine_source);
    if (!source)
        return NULL;
    source->events = BLOCKS_NEW(&blocks, definition->events_count, const char *);
    source->states = BLOCKS_NEW(&blocks, definition->states_count, struct source_state);
    source->transitions =
        BLOCKS_NEW(&blocks, definition->transitions_count, struct source_transition);
    source->timers = BLOCKS_NEW(&blocks, definition->timers_count, struct source_timer);
    if (!source->events || !source->states || !source->transitions || !source->timers) {
        pawl__blocks_fini(&blocks);
        return NULL;
    }
    source->events_count = (uint16_t)definition->events_count;
    source->states_count = (uint16_t)definition->states_count;
    source->transitions_count = (uint16_t)definition->transitions_count;
    source->timers_count = (uint16_t)definition->timers_count;
    source->timers_total = source->timers_count;
    source->blocks = blocks;
    return source;
}

struct machine_source *pawl__source_create(const struct pawl_machine_def *definition,
                                           struct findings *findings,
                                           const struct allocator *allocator)
{
    struct resolver r = {
        .definition = definition, .findings = findings, .scratch = findings->blocks};

    if (!check_tables(definition, findings))
        return NULL;
    r.source = allocate(definition, allocator);
    if (!r.source || !names_init(&r.events, r.scratch, definition->events_count) ||
        !names_init(&r.states, r.scratch, definition->states_count)) {
        findings->out_of_memory = true;
        pawl__source_destroy(r.source);
        return NULL;
    }
    resolve_events(&r);
    resolve_states(&r);
    resolve_machine(&r);
    resolve_transitions(&r);
    resolve_timers(&r);
    resolve_nesting(&r);
    if (r.out_of_memory) {
        findings->out_of_memory = true;
        pawl__source_destroy(r.source);
        return NULL;
    }
    return r.source;
}

void pawl__source_destroy(struct machine_source *source)
{
    struct blocks blocks;

    if (!source)
        return;
    blocks = source->blocks; /* source is inside of what is freed */
    pawl__blocks_fini(&blocks);
}
