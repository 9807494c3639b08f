/*
 * lane_states.c - what is wrong with the lane states of a definition.
 *
 * A shard hands a task out by delivering the lease event. What that leads to must be known when the
 * machine is compiled: a task that a lane holds can be leased, and nothing else can lease it. (A step
 * that raises events may still end elsewhere; the step itself looks again: shard/claim.c.)
 */
#include "machine/lane_states.h"

#include <errno.h>
#include <pawl/lane.h>

#include "machine/source.h"

struct lanes {
    const struct pawl_machine *machine;
    const struct machine_source *source;
    const struct origin *origins;
    struct findings *findings;
};

static void check_flags(const struct lanes *c, unsigned i)
{
    const unsigned both = PAWL_STATE_READY | PAWL_STATE_LEASED;
    const unsigned flags = c->source->states[i].flags;

    if ((flags & both) == 0)
        return;
    if (!source_is_leaf(c->source, i) || source_is_final(c->source, i))
        pawl__find(c->findings, -EINVAL, FINDING_STATE, i,
                   "a task waits in a lane, or is leased, in a leaf that is not final; mark the "
                   "leaves inside instead");
    if ((flags & both) == both)
        pawl__find(c->findings, -EINVAL, FINDING_STATE, i,
                   "a state is ready or leased, not both; take one of PAWL_STATE_READY and "
                   "PAWL_STATE_LEASED");
}

/* Whether the definition has lane states at all, and then all that belongs to them. */
static bool check_whole(const struct lanes *c)
{
    const struct machine_source *const source = c->source;
    bool ready = false, leased = false;

    for (unsigned i = 0; i < source->states_count; i++) {
        ready |= source_role(source, i) == ROLE_READY;
        leased |= source_role(source, i) == ROLE_LEASED;
    }
    if (!ready && !leased && source->lease == SOURCE_NONE && source->lease_timer == SOURCE_NONE)
        return false;
    if (!ready || !leased || source->lease == SOURCE_NONE || source->lease_timer == SOURCE_NONE) {
        pawl__find(c->findings, -EINVAL, FINDING_MACHINE, 0,
                   "%s is missing; a machine whose tasks agents lease has a state that is "
                   "PAWL_STATE_READY, one that is PAWL_STATE_LEASED, a lease event and a "
                   "lease_timer",
                   !ready                         ? "a ready state"
                   : !leased                      ? "a leased state"
                   : source->lease == SOURCE_NONE ? "lease"
                                                  : "lease_timer");
        return false;
    }
    if (source->context_size < sizeof(struct pawl_claim))
        pawl__find(c->findings, -EINVAL, FINDING_MACHINE, 0,
                   "context_size is %u, but the context begins with a struct pawl_claim, which has "
                   "%zu bytes; put one there",
                   source->context_size, sizeof(struct pawl_claim));
    return true;
}

/* The lease event in a ready leaf: every row that takes it leads into a leased one, and one does. */
static void check_hand_out(const struct lanes *c, unsigned leaf)
{
    const struct pawl_machine *const machine = c->machine;
    uint16_t at = machine->cells[(size_t)leaf * machine->events_count + machine->lease_event];
    bool takes = false;

    for (; at != TRANSITION_NONE; at = machine->transitions[at].next) {
        const struct transition *const row = &machine->transitions[at];
        const bool remembers = row->kind == TRANSITION_VARIANTS;
        const struct transition *const first =
            remembers ? &machine->transitions[row->variants] : row;
        const struct transition *elsewhere = NULL;

        if (first->kind != TRANSITION_TAKE)
            continue;
        takes = true;
        for (unsigned i = 0; i <= (remembers ? row->variant_mask : 0u); i++)
            if (elsewhere == NULL && source_role(c->source, first[i].target) != ROLE_LEASED)
                elsewhere = &first[i];
        if (elsewhere != NULL)
            pawl__find(c->findings, -EINVAL, FINDING_TRANSITION, c->origins[at].transition,
                       "the lease event leads from ready state '%s' to '%s', which is not "
                       "PAWL_STATE_LEASED; mark it or choose another target",
                       SHORT(c->source->states[leaf].name),
                       SHORT(c->source->states[elsewhere->target].name));
    }
    if (!takes)
        pawl__find(c->findings, -EINVAL, FINDING_STATE, leaf,
                   "a task that is ready here cannot be handed out: no transition takes '%s'; add "
                   "one into a leased state",
                   SHORT(c->source->events[machine->lease_event]));
}

/* Only the lease event leads into a leased state, and only from a ready one. */
static void check_ways_in(const struct lanes *c)
{
    const struct pawl_machine *const machine = c->machine;

    if (source_role(c->source, machine->transitions[machine->create].target) == ROLE_LEASED)
        pawl__find(c->findings, -EINVAL, FINDING_MACHINE, 0,
                   "the initial state is PAWL_STATE_LEASED, but nobody has a task that has just "
                   "been created; begin elsewhere");
    for (uint32_t i = 0; i < machine->transitions_count; i++) {
        const struct transition *const row = &machine->transitions[i];

        if (row->kind != TRANSITION_TAKE || c->origins[i].transition == ORIGIN_NONE ||
            source_role(c->source, row->target) != ROLE_LEASED ||
            source_role(c->source, row->state) == ROLE_LEASED)
            continue;
        if (row->event != machine->lease_event || source_role(c->source, row->state) != ROLE_READY)
            pawl__find(c->findings, -EINVAL, FINDING_TRANSITION, c->origins[i].transition,
                       "it leads from '%s' into leased state '%s'; only the lease event does that, "
                       "from a ready state",
                       SHORT(c->source->states[row->state].name),
                       SHORT(c->source->states[row->target].name));
    }
}

void pawl__check_lanes(const struct pawl_machine *machine, const struct origin *origins,
                       struct findings *findings)
{
    const struct lanes c = {
        .machine = machine, .source = machine->source, .origins = origins, .findings = findings};

    for (unsigned i = 0; i < machine->states_count; i++)
        check_flags(&c, i);
    if (!check_whole(&c))
        return;
    for (unsigned i = 0; i < machine->states_count; i++)
        if (source_is_leaf(c.source, i) && source_role(c.source, i) == ROLE_READY)
            check_hand_out(&c, i);
    check_ways_in(&c);
}
