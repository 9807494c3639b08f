/*
 * check.c - what is wrong or doubtful about a definition whose names resolve.
 *
 * Reachability takes every guard for passable and every event for possible. A child that only history
 * could enter counts when a leaf inside it is reached in another way, because only then can it have
 * been remembered.
 *
 * A trap is a leaf that is not final, that no transition leaves, and in which no transition runs a
 * function either. The last condition is there for a worker of one state: its actions may end the
 * task with pawl_step_finish, which no table shows, so it is given the benefit of the doubt.
 */
#include "machine/check.h"

#include <string.h>

/* ---- on the definition --------------------------------------------------------------------------- */

struct structure {
    const struct machine_source *source;
    struct findings *findings;
    bool *taken;     /* by event: some transition is on it */
    bool *deferred;  /* by event: some state defers it */
    uint32_t *plain; /* by event: position + 1 of the state's transition without guard */
};

static void check_hidden(struct structure *c, unsigned i)
{
    const struct machine_source *const source = c->source;
    const struct source_state *const state = &source->states[i];

    for (unsigned t = state->first_transition; t != SOURCE_NONE; t = source->transitions[t].next) {
        const struct source_transition *const transition = &source->transitions[t];
        uint32_t *const plain = &c->plain[transition->on];

        if (*plain)
            pawl__find(c->findings, -EINVAL, FINDING_TRANSITION, t,
                       "transition %u, of the same state and event, has no guard and is always "
                       "taken first; give that one a guard, or take one of them out",
                       *plain - 1);
        else if (!transition->guard)
            *plain = t + 1;
    }
    for (unsigned d = 0; d < state->defers.count; d++) {
        const unsigned event = state->defers.codes[d];

        if (c->plain[event])
            pawl__find(c->findings, 0, FINDING_STATE, i,
                       "'%s' is never deferred here, because transition %u takes it without a "
                       "guard; take one of them out",
                       SHORT(source->events[event]), c->plain[event] - 1);
    }
    for (unsigned t = state->first_transition; t != SOURCE_NONE; t = source->transitions[t].next)
        c->plain[source->transitions[t].on] = 0;
}

static void check_raise_list(struct structure *c, enum finding_table table, unsigned i,
                             const struct event_set *raises, bool raiser, const char *functions)
{
    if (raises->count && !raiser) {
        pawl__find(c->findings, 0, table, i,
                   "raises names events, but there is no %s that could raise them; take it out",
                   functions);
        return;
    }
    for (unsigned r = 0; r < raises->count; r++) {
        const unsigned event = raises->codes[r];

        if (!c->taken[event] && !c->deferred[event])
            pawl__find(c->findings, 0, table, i,
                       "raises names '%s', which no transition takes; add one or take it out",
                       SHORT(c->source->events[event]));
    }
}

static void note_uses(struct structure *c)
{
    const struct machine_source *const source = c->source;

    for (unsigned i = 0; i < source->transitions_count; i++)
        c->taken[source->transitions[i].on] = true;
    for (unsigned i = 0; i < source->states_count; i++) {
        for (unsigned d = 0; d < source->states[i].defers.count; d++)
            c->deferred[source->states[i].defers.codes[d]] = true;
    }
}

static void check_unused(struct structure *c)
{
    const struct machine_source *const source = c->source;

    for (unsigned i = 0; i < source->events_count; i++) {
        if (!c->taken[i] && !c->deferred[i])
            pawl__find(c->findings, 0, FINDING_EVENT, i,
                       "no transition is on this event and no state defers it; use it or take it "
                       "out");
    }
    for (unsigned i = 0; i < source->timers_count; i++) {
        if (!c->taken[source->timers[i].event])
            pawl__find(c->findings, 0, FINDING_TIMER, i,
                       "the timer delivers '%s', which no transition takes; add one or take the "
                       "timer out",
                       SHORT(source->events[source->timers[i].event]));
    }
}

static void check_history_used(struct structure *c, bool *entered)
{
    const struct machine_source *const source = c->source;

    for (unsigned i = 0; i < source->transitions_count; i++) {
        if (source->transitions[i].flags & PAWL_TRANSITION_HISTORY)
            entered[source->transitions[i].to] = true;
    }
    for (unsigned i = 0; i < source->states_count; i++) {
        if (source->states[i].history_width && !entered[i])
            pawl__find(c->findings, 0, FINDING_STATE, i,
                       "the state remembers its last child, but no transition enters it with "
                       "PAWL_TRANSITION_HISTORY; add that flag there or leave out "
                       "PAWL_STATE_HISTORY");
    }
}

void pawl__check_structure(const struct machine_source *source, struct findings *findings)
{
    struct blocks *const scratch = findings->blocks;
    struct structure c = {
        .source = source,
        .findings = findings,
        .taken = BLOCKS_NEW(scratch, source->events_count, bool),
        .deferred = BLOCKS_NEW(scratch, source->events_count, bool),
        .plain = BLOCKS_NEW(scratch, source->events_count, uint32_t),
    };
    bool *const entered = BLOCKS_NEW(scratch, source->states_count, bool);

    if (!c.taken || !c.deferred || !c.plain || !entered) {
        findings->out_of_memory = true;
        return;
    }
    note_uses(&c);
    check_unused(&c);
    check_history_used(&c, entered);
    for (unsigned i = 0; i < source->states_count; i++) {
        const struct source_state *const state = &source->states[i];

        check_hidden(&c, i);
        check_raise_list(&c, FINDING_STATE, i, &state->raises, state->entry || state->exit,
                         "entry or exit action");
    }
    for (unsigned i = 0; i < source->transitions_count; i++)
        check_raise_list(&c, FINDING_TRANSITION, i, &source->transitions[i].raises,
                         source->transitions[i].action, "action");
}

/* ---- on the rows --------------------------------------------------------------------------------- */

struct behaviour {
    const struct pawl_machine *machine;
    const struct machine_source *source;
    const struct origin *origins;
    struct findings *findings;
    uint32_t *rows_first; /* by leaf: its rows are contiguous, from here ... */
    uint32_t *rows_end;   /* ... to before here */
    bool *reached;        /* by state */
    uint16_t *stack;      /* leaves that wait to be looked at */
    unsigned stack_count;
    uint32_t *waiting; /* VARIANTS rows of reached leaves */
    unsigned waiting_count;
    bool *trapped; /* by leaf */
};

/* Rows that take a transition and belong to the leaf's events. */
static bool takes(const struct transition *row)
{
    return row->kind == TRANSITION_TAKE && row->event != PAWL_CODE_CANCEL &&
           row->event != PAWL_CODE_CREATE;
}

static const struct transition *first_candidate(const struct behaviour *b, unsigned leaf,
                                                unsigned event)
{
    const struct pawl_machine *const machine = b->machine;

    return &machine->transitions[machine->cells[(size_t)leaf * machine->events_count + event]];
}

static bool is_taken(const struct behaviour *b, unsigned leaf, unsigned event)
{
    const unsigned kind = first_candidate(b, leaf, event)->kind;

    return kind == TRANSITION_TAKE || kind == TRANSITION_VARIANTS;
}

static void find_rows(struct behaviour *b)
{
    for (uint32_t i = 0; i < b->machine->transitions_count; i++) {
        const struct transition *const row = &b->machine->transitions[i];

        if (row->event == PAWL_CODE_CREATE)
            continue;
        if (b->rows_end[row->state] == 0)
            b->rows_first[row->state] = i;
        b->rows_end[row->state] = i + 1;
    }
}

static void reach(struct behaviour *b, unsigned leaf)
{
    if (b->reached[leaf])
        return;
    b->stack[b->stack_count++] = (uint16_t)leaf;
    for (unsigned at = leaf; at != SOURCE_NONE && !b->reached[at];
         at = b->source->states[at].parent)
        b->reached[at] = true;
}

/* Follows the variants whose child can have been remembered. */
static void reach_variants(struct behaviour *b, uint32_t row)
{
    const struct transition *const variants = &b->machine->transitions[row];
    const unsigned to = b->source->transitions[b->origins[row].transition].to;
    unsigned value = 1;

    reach(b, b->machine->transitions[variants->variants].target);
    for (unsigned child = b->source->states[to].first_child; child != SOURCE_NONE;
         child = b->source->states[child].next_sibling, value++) {
        if (b->reached[child])
            reach(b, b->machine->transitions[variants->variants + value].target);
    }
}

static void reach_all(struct behaviour *b)
{
    reach(b, b->machine->transitions[b->machine->create].target);
    while (b->stack_count) {
        const unsigned leaf = b->stack[--b->stack_count];

        for (uint32_t i = b->rows_first[leaf]; i < b->rows_end[leaf]; i++) {
            const struct transition *const row = &b->machine->transitions[i];

            if (row->kind == TRANSITION_VARIANTS) {
                b->waiting[b->waiting_count++] = i;
                i = row->variants + row->variant_mask; /* its variants follow it */
            } else if (takes(row)) {
                reach(b, row->target);
            }
        }
        for (unsigned i = 0; !b->stack_count && i < b->waiting_count; i++)
            reach_variants(b, b->waiting[i]);
    }
}

static void check_reached(struct behaviour *b)
{
    for (unsigned i = 0; i < b->source->states_count; i++) {
        if (!b->reached[i])
            pawl__find(b->findings, -EINVAL, FINDING_STATE, i,
                       "no transition leads here from the initial state; add one or take the state "
                       "out");
    }
}

static void check_trap(struct behaviour *b, unsigned leaf)
{
    for (uint32_t i = b->rows_first[leaf]; i < b->rows_end[leaf]; i++) {
        const struct transition *const row = &b->machine->transitions[i];

        if (takes(row) && (row->target != leaf || row->functions_count))
            return;
    }
    b->trapped[leaf] = true;
    pawl__find(b->findings, -EINVAL, FINDING_STATE, leaf,
               "a task that is here can never leave: no transition leads out and none runs an "
               "action; add a transition or mark the state PAWL_STATE_FINAL");
}

/* Whether the leaf, once entered, goes on by itself or will be woken by a timer. */
static bool is_timed(const struct behaviour *b, unsigned leaf)
{
    const struct source_state *const states = b->source->states;

    for (unsigned at = leaf; at != SOURCE_NONE; at = states[at].parent) {
        if (states[at].timeout_ns)
            return true;
    }
    for (unsigned i = 0; i < b->source->timers_count; i++) {
        if (is_taken(b, leaf, b->source->timers[i].event))
            return true;
    }
    for (unsigned i = 0; states[leaf].entry && i < states[leaf].raises.count; i++) {
        if (is_taken(b, leaf, states[leaf].raises.codes[i]))
            return true;
    }
    return false;
}

static void check_leaves(struct behaviour *b)
{
    for (unsigned i = 0; i < b->source->states_count; i++) {
        if (!source_is_leaf(b->source, i) || source_is_final(b->source, i))
            continue;
        check_trap(b, i);
        if (b->reached[i] && !b->trapped[i] && !is_timed(b, i) &&
            source_role(b->source, i) != ROLE_READY)
            pawl__find(b->findings, 0, FINDING_STATE, i,
                       "a task may wait here for ever: there is no timeout, neither here nor in a "
                       "parent, and no named timer's event is taken; give it one, if what it waits "
                       "for can fail to come");
    }
}

/* used: by state, whether a leaf inside takes the event of its timeout. */
static void check_timeouts(struct behaviour *b, bool *used)
{
    const struct source_state *const states = b->source->states;

    for (unsigned i = 0; i < b->source->states_count; i++) {
        if (!source_is_leaf(b->source, i))
            continue;
        for (unsigned at = i; at != SOURCE_NONE; at = states[at].parent) {
            if (states[at].timeout_ns && is_taken(b, i, states[at].timeout_event))
                used[at] = true;
        }
    }
    for (unsigned i = 0; i < b->source->states_count; i++) {
        if (states[i].timeout_ns && !used[i])
            pawl__find(b->findings, 0, FINDING_STATE, i,
                       "the timeout delivers '%s', which no transition takes here; add one or take "
                       "the timeout out",
                       SHORT(b->source->events[states[i].timeout_event]));
    }
}

/* Whether the state itself has an earlier one without a guard: that is refused already. */
static bool is_hidden(const struct machine_source *source, unsigned transition)
{
    const struct source_transition *const late = &source->transitions[transition];

    for (unsigned i = source->states[late->from].first_transition; i != transition;
         i = source->transitions[i].next) {
        if (source->transitions[i].on == late->on && !source->transitions[i].guard)
            return true;
    }
    return false;
}

/* tried: by the definition's transition. */
static void check_tried(struct behaviour *b, bool *tried)
{
    for (uint32_t i = 0; i < b->machine->transitions_count; i++) {
        if (b->origins[i].transition != ORIGIN_NONE)
            tried[b->origins[i].transition] = true;
    }
    for (unsigned i = 0; i < b->source->transitions_count; i++) {
        if (!tried[i] && !is_hidden(b->source, i))
            pawl__find(b->findings, 0, FINDING_TRANSITION, i,
                       "the transition is never tried: every state inside '%s' takes or defers "
                       "'%s' itself; take it out",
                       SHORT(b->source->states[b->source->transitions[i].from].name),
                       SHORT(b->source->events[b->source->transitions[i].on]));
    }
}

/* ---- recall of deferred events ------------------------------------------------------------------- */

/* For each leaf the leaves that have a transition into it, without the leaf itself. */
struct incoming {
    uint32_t *first; /* states_count + 1 */
    uint16_t *leaves;
};

static bool find_incoming(const struct behaviour *b, struct incoming *in)
{
    const struct pawl_machine *const machine = b->machine;
    uint32_t *next;

    in->first = BLOCKS_NEW(b->findings->blocks, machine->states_count + 1u, uint32_t);
    in->leaves = BLOCKS_NEW(b->findings->blocks, machine->transitions_count, uint16_t);
    next = BLOCKS_NEW(b->findings->blocks, machine->states_count, uint32_t);
    if (!in->first || !in->leaves || !next)
        return false;
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        const struct transition *const row = &machine->transitions[i];

        if (takes(row) && row->target != row->state)
            in->first[row->target + 1u]++;
    }
    for (unsigned i = 0; i < machine->states_count; i++) {
        in->first[i + 1] += in->first[i];
        next[i] = in->first[i];
    }
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        const struct transition *const row = &machine->transitions[i];

        if (takes(row) && row->target != row->state)
            in->leaves[next[row->target]++] = row->state;
    }
    return true;
}

/* good: by leaf, whether it does not just defer the event, or leads to a leaf that does not. */
static void find_recallers(struct behaviour *b, const struct incoming *in, unsigned event,
                           bool *good)
{
    b->stack_count = 0;
    for (unsigned i = 0; i < b->source->states_count; i++) {
        good[i] =
            source_is_leaf(b->source, i) && first_candidate(b, i, event)->kind != TRANSITION_DEFER;
        if (good[i])
            b->stack[b->stack_count++] = (uint16_t)i;
    }
    while (b->stack_count) {
        const unsigned leaf = b->stack[--b->stack_count];

        for (uint32_t i = in->first[leaf]; i < in->first[leaf + 1]; i++) {
            if (good[in->leaves[i]])
                continue;
            good[in->leaves[i]] = true;
            b->stack[b->stack_count++] = in->leaves[i];
        }
    }
}

static bool ends_deferred(const struct behaviour *b, unsigned leaf, unsigned event)
{
    const struct transition *row = first_candidate(b, leaf, event);

    while (row->next != TRANSITION_NONE)
        row = &b->machine->transitions[row->next];
    return row->kind == TRANSITION_DEFER;
}

static bool recalls(const struct behaviour *b, unsigned leaf, const bool *good)
{
    for (uint32_t i = b->rows_first[leaf]; i < b->rows_end[leaf]; i++) {
        const struct transition *const row = &b->machine->transitions[i];

        if (takes(row) && (row->flags & TRANSITION_EXTERNAL) && good[row->target])
            return true;
    }
    return false;
}

static void check_recall_of(struct behaviour *b, unsigned event, const bool *good, uint8_t *verdict)
{
    const struct source_state *const states = b->source->states;

    memset(verdict, 0, b->source->states_count);
    for (unsigned i = 0; i < b->source->states_count; i++) {
        uint8_t found;

        if (!source_is_leaf(b->source, i) || !ends_deferred(b, i, event))
            continue;
        found = recalls(b, i, good) ? 1 : 2;
        for (unsigned at = i; at != SOURCE_NONE; at = states[at].parent)
            verdict[at] |= found;
    }
    for (unsigned i = 0; i < b->source->states_count; i++) {
        if (verdict[i] == 2 && event_set_has(&states[i].defers, event))
            pawl__find(b->findings, 0, FINDING_STATE, i,
                       "'%s' is deferred here and nothing recalls it: no transition leads to a "
                       "state that does not defer it; add one or do not defer it",
                       SHORT(b->source->events[event]));
    }
}

static void check_recall(struct behaviour *b)
{
    const struct machine_source *const source = b->source;
    struct blocks *const scratch = b->findings->blocks;
    bool *const deferred = BLOCKS_NEW(scratch, source->events_count, bool);
    bool *const good = BLOCKS_NEW(scratch, source->states_count, bool);
    uint8_t *const verdict = BLOCKS_NEW(scratch, source->states_count, uint8_t);
    struct incoming in;

    if (!deferred || !good || !verdict || !find_incoming(b, &in)) {
        b->findings->out_of_memory = true;
        return;
    }
    for (unsigned i = 0; i < source->states_count; i++) {
        for (unsigned d = 0; d < source->states[i].defers.count; d++)
            deferred[source->states[i].defers.codes[d]] = true;
    }
    for (unsigned event = 0; event < source->events_count; event++) {
        if (!deferred[event])
            continue;
        find_recallers(b, &in, event, good);
        check_recall_of(b, event, good, verdict);
    }
}

/* -------------------------------------------------------------------------------------------------- */

void pawl__check_behaviour(const struct pawl_machine *machine, const struct origin *origins,
                           struct findings *findings)
{
    const unsigned states = machine->states_count;
    struct blocks *const scratch = findings->blocks;
    struct behaviour b = {
        .machine = machine,
        .source = machine->source,
        .origins = origins,
        .findings = findings,
        .rows_first = BLOCKS_NEW(scratch, states, uint32_t),
        .rows_end = BLOCKS_NEW(scratch, states, uint32_t),
        .reached = BLOCKS_NEW(scratch, states, bool),
        .stack = BLOCKS_NEW(scratch, states, uint16_t),
        .waiting = BLOCKS_NEW(scratch, machine->transitions_count, uint32_t),
        .trapped = BLOCKS_NEW(scratch, states, bool),
    };
    bool *const used = BLOCKS_NEW(scratch, states, bool);
    bool *const tried = BLOCKS_NEW(scratch, machine->source->transitions_count, bool);

    if (!b.rows_first || !b.rows_end || !b.reached || !b.stack || !b.waiting || !b.trapped ||
        !used || !tried) {
        findings->out_of_memory = true;
        return;
    }
    find_rows(&b);
    reach_all(&b);
    check_reached(&b);
    check_leaves(&b);
    check_timeouts(&b, used);
    check_tried(&b, tried);
    check_recall(&b);
}
