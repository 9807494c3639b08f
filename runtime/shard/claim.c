/*
 * claim.c - lane states as a step sees them: what it must write into the claim, and how the lane's order
 * follows the task.
 *
 * Layer: shard. Owner: the shard. The claim is part of the context, so what is written here is stored,
 * and comes back, with the step itself.
 */
#include "shard/claim.h"

#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "shard/deadlines.h"
#include "shard/lane_keeper.h"
#include "shard/lanes.h"
#include "shard/registry.h"
#include "shard/timers.h"

static struct ticket *ticket_of(const struct lanes *lanes, const struct slot *slot)
{
    return slot->extension != 0 ? lanes_ticket(lanes, slot->extension) : NULL;
}

static struct pawl_claim *claim_of(struct pawl_step *step)
{
    _Static_assert(_Alignof(struct pawl_claim) <= 8, "contexts are words");
    return (struct pawl_claim *)(void *)step->context;
}

static bool is_leased(const struct ticket *ticket)
{
    return ticket != NULL && ticket->place == TICKET_LEASED;
}

/* ---- Staging ---- */

/* The wall clock, but never twice the same nor one that goes back: ready tasks are in order by it. */
static uint64_t stamp(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;
    uint64_t now = shard_wall_ns(shard);

    if (now == 0)
        now = shard->now_ns;
    lanes->since = now > lanes->since ? now : lanes->since + 1;
    return lanes->since;
}

/* Mostly it is where it was. */
static int position_of(const struct lanes *lanes, uint32_t number, const struct ticket *ticket)
{
    if (likely(ticket != NULL && lanes->parts[ticket->lane].lane->number == number))
        return ticket->lane;
    return pawl__lanes_position(lanes, number);
}

static int stage_ready(struct shard *shard, struct pawl_claim *claim, const struct ticket *ticket)
{
    struct lanes *lanes = shard->lanes;
    struct claim_staged *staged = &lanes->staged;
    const int position = position_of(lanes, claim->lane, ticket);
    struct order *order;

    if (position < 0)
        return -ENOENT;
    if (lanes->spare == 0 && ticket == NULL)
        lanes->spare = slab_alloc(&lanes->tickets);
    if (lanes->spare == 0 && ticket == NULL)
        return -ENOMEM;
    order = lanes_order(lanes, (uint32_t)position, claim->assignee);
    if (order == NULL || order_reserve(&lanes->pool) != 0)
        return -ENOMEM;
    if (ticket == NULL || ticket->place == TICKET_NONE || ticket->place == TICKET_LEASED)
        claim->since_ns = stamp(shard);
    else
        claim->since_ns = ticket->since;
    staged->lane = (uint16_t)position;
    staged->rank = lane_rank(lanes->parts[position].lane, claim->priority, claim->since_ns);
    staged->since = claim->since_ns;
    staged->assignee = claim->assignee;
    return 0;
}

static uint64_t span(uint64_t ns)
{
    return ns < LANE_SPAN_MAX_NS ? ns : LANE_SPAN_MAX_NS;
}

static int stage_leased(struct shard *shard, struct pawl_step *step, struct pawl_claim *claim,
                        const struct ticket *ticket)
{
    struct lanes *lanes = shard->lanes;

    if (is_leased(ticket)) {
        lanes->staged.lane = ticket->lane;
        /* What would be stored must be found again when the store is opened. */
        return position_of(lanes, claim->lane, ticket) < 0 ? -ENOENT : 0;
    }
    if (lanes->to == NULL || ticket == NULL || ticket->place != TICKET_HANDED)
        return -EPERM;
    if (unlikely(position_of(lanes, claim->lane, ticket) < 0))
        return -ENOENT;
    lanes->staged.lane = ticket->lane;
    if (unlikely(lanes->token < claim->token) &&
        !planted(PLANTED_TOKENS_BEGIN_AGAIN)) /* from an epoch of very many leases */
        lanes->token = claim->token;
    claim->token = ++lanes->token;
    claim->agent = lanes->to->incarnation;
    claim->name = (uint32_t)lanes->to->number;
    claim->leases++;
    step->answer = claim->token;
    claim->deadline_ns = shard_fresh_ns(shard) + span(lanes->parts[ticket->lane].lane->lease_ns);
    lanes->staged.deadline_ns = claim->deadline_ns;
    lanes->staged.timer = LEASE_TIMER_ARM;
    return 0;
}

/* Whether the event is a task's being handed out. */
static bool is_handed(const struct shard *shard, const struct pawl_step *step)
{
    return shard->lanes->to != NULL && step->event->code == step->machine->lease_event;
}

int pawl__claim_prepare(struct shard *shard, struct pawl_step *step)
{
    struct lanes *lanes = shard->lanes;
    struct ticket *ticket = ticket_of(lanes, step->slot);
    enum lane_role role = ROLE_NONE;

    if (is_handed(shard, step)) { /* what the agent hears: a token, or 0 that there is no lease */
        step->answer = 0;
        step->staged |= STAGED_ANSWER;
    }
    if ((step->staged & STAGED_FINISH) == 0)
        role = (enum lane_role)step->machine->states[step->state].role;
    lanes->staged.ticket = ticket;
    lanes->staged.role = role;
    lanes->staged.timer =
        is_leased(ticket) && role != ROLE_LEASED ? LEASE_TIMER_CANCEL : LEASE_TIMER_KEEP;
    if (role == ROLE_READY)
        return stage_ready(shard, claim_of(step), ticket);
    return role == ROLE_LEASED ? stage_leased(shard, step, claim_of(step), ticket) : 0;
}

int pawl__claim_stage(struct shard *shard, struct pawl_step *step)
{
    int error;

    if ((step->staged & STAGED_DEFER) != 0)
        return is_handed(shard, step) ? -EPROTO : 0; /* an offer does not wait */
    error = pawl__claim_prepare(shard, step);
    /* Also where it is armed: by its deadline, and whatever the machine has armed is void. */
    if (error == 0 && shard->lanes->staged.timer != LEASE_TIMER_KEEP)
        error = pawl__timer_stage_cancel(step, step->machine->lease_timer);
    return error;
}

/* ---- Committing ---- */

static enum pawl_lost lost_by(const struct pawl_step *step)
{
    const struct pawl_machine *machine = step->machine;

    if (step->event->code != machine->timers[machine->lease_timer].event)
        return PAWL_LOST_NOT;
    if ((step->event->flags & PAWL_EVENT_TIMER) != 0)
        return step->event->arg[0] == machine->lease_timer ? PAWL_LOST_DEADLINE : PAWL_LOST_NOT;
    return step->shard->lanes->lost;
}

static void count_outcome(struct shard *shard, const struct pawl_step *step,
                          const struct ticket *ticket)
{
    struct lane_part *part = &shard->lanes->parts[ticket->lane];
    const bool good = (step->staged & STAGED_GOOD) != 0;

    part->count[good ? LANE_GOOD : LANE_BAD]++;
    if (lane_outcome(part->lane, shard->now_ns, good, ticket->round))
        pawl__lanes_wake(shard->runtime);
    if (unlikely(pawl__lane_changed(part->lane) != part->kept))
        pawl__lane_keeper_tell(shard, ticket->lane);
}

static void count_end(struct shard *shard, const struct pawl_step *step,
                      const struct ticket *ticket)
{
    const struct pawl_machine *machine = step->machine;
    struct lane_part *part = &shard->lanes->parts[ticket->lane];
    enum pawl_lost lost;

    if (likely(step->event->code != machine->timers[machine->lease_timer].event))
        return;
    lost = lost_by(step);
    part->count[LANE_EXPIRED] += lost == PAWL_LOST_DEADLINE;
    part->count[LANE_LOST] += lost == PAWL_LOST_AGENT;
}

static struct ticket *init_ticket(struct lanes *lanes, struct slot *slot, uint32_t slot_index)
{
    struct ticket *ticket = lanes_ticket(lanes, lanes->spare);

    CHECK(lanes->spare != 0);
    memset(ticket, 0, sizeof(*ticket));
    ticket->slot = slot_index;
    ticket->place = TICKET_NONE;
    slot->extension = lanes->spare;
    lanes->spare = 0;
    return ticket;
}

/* The step has extended its lease, or its machine's own functions have armed the timer, or cancelled. */
static bool lease_timer_is_staged(const struct pawl_step *step)
{
    for (uint32_t i = 0; i < step->timers_count && (step->staged & STAGED_TIMERS) != 0; i++)
        if (step->timers[i].timer == step->machine->lease_timer)
            return true;
    return false;
}

void pawl__claim_commit(struct shard *shard, struct pawl_step *step)
{
    struct lanes *lanes = shard->lanes;
    const struct claim_staged *staged = &lanes->staged;
    struct ticket *ticket = staged->ticket;
    uint32_t index;

    if (unlikely(ticket == NULL)) {
        if (staged->role == ROLE_NONE)
            return;
        ticket = init_ticket(lanes, step->slot, step->slot_index);
        ticket->lane = staged->lane; /* whose an outcome is now */
    }
    index = step->slot->extension;
    lanes->changed = true;
    if ((step->staged & (STAGED_GOOD | STAGED_BAD)) != 0)
        count_outcome(shard, step, ticket);
    if (ticket->place == TICKET_LEASED) {
        if (staged->role == ROLE_LEASED) {
            if (lease_timer_is_staged(step))
                deadline_drop(lanes, ticket);
            return;
        }
        count_end(shard, step, ticket);
    }
    if (ticket->place == TICKET_READY && staged->role == ROLE_READY &&
        ticket->lane == staged->lane && ticket->rank == staged->rank &&
        ticket->assignee == staged->assignee)
        return;
    if (ticket->place == TICKET_HANDED && staged->role == ROLE_READY) {
        /* It stays handed, and so is put aside as one that refused: it must not be next again. */
        ticket->lane = staged->lane;
        ticket->rank = staged->rank;
        ticket->since = staged->since;
        ticket->assignee = staged->assignee;
        return;
    }
    if (ticket->place == TICKET_HANDED)
        ticket->place = TICKET_NONE;
    else
        pawl__lanes_take_out(shard, index, ticket);
    ticket->lane = staged->role != ROLE_NONE ? staged->lane : ticket->lane;
    if (staged->role == ROLE_READY) {
        ticket->rank = staged->rank;
        ticket->since = staged->since;
        ticket->assignee = staged->assignee;
        ticket->place = TICKET_READY;
    } else if (staged->role == ROLE_LEASED) {
        ticket->place = TICKET_LEASED;
        ticket->holder = lanes->to_source - 1u;
        ticket->round = lanes->to_round;
        lanes->parts[ticket->lane].count[LANE_LEASES]++;
        lanes->leased++;
    }
    if (staged->role != ROLE_NONE)
        pawl__lanes_place(shard, index, ticket);
    if (staged->role == ROLE_LEASED)
        deadline_add(lanes, index, ticket, staged->deadline_ns);
}

void pawl__claim_end(struct shard *shard, struct slot *slot)
{
    pawl__lanes_take_out(shard, slot->extension, ticket_of(shard->lanes, slot));
    slab_free(&shard->lanes->tickets, slot->extension);
    slot->extension = 0;
    shard->lanes->changed = true;
}

/* ---- Inside a handler ---- */

/* Only an event that is to be completed keeps its port open, and so its agent. */
uint64_t pawl_step_agent(const struct pawl_step *step)
{
    const struct pawl_port *port;
    const struct agent *agent;

    if (!step_has_claim(step) || step->source == 0 || step->source == SOURCE_CREATE ||
        (step->event->flags & PAWL_EVENT_COMPLETE) == 0)
        return 0;
    /* relaxed: as in port_place. */
    port = load_relaxed(&step->shard->ports->entries[step->source - 1u].port);
    agent = load_acquire(&port->agent); /* (A6) pairs with (A5) in agents.c */
    return agent != NULL ? agent->incarnation : 0;
}

int pawl_step_holder(struct pawl_step *step, uint64_t token)
{
    const struct pawl_claim *claim = claim_of(step);
    struct lanes *lanes = step->shard->lanes;
    const struct ticket *ticket;
    int error = 0;

    if (!step_has_claim(step))
        return -ESTALE;
    ticket = ticket_of(lanes, step->slot);
    if (!is_leased(ticket) || claim->token != token)
        error = -ESTALE;
    else if (claim->agent != pawl_step_agent(step))
        error = -EPERM;
    if (error != 0 && ticket != NULL) {
        lanes->parts[ticket->lane].count[LANE_REFUSED]++;
        lanes->changed = true;
    }
    return error;
}

int pawl_step_extend(struct pawl_step *step, uint64_t for_ns)
{
    const struct lanes *lanes = step->shard->lanes;
    const struct ticket *ticket;
    int error = -EPERM;

    if ((step->staged & STAGED_ERROR) != 0)
        return step->error;
    if (step_has_claim(step)) {
        ticket = ticket_of(lanes, step->slot);
        if (is_leased(ticket)) {
            for_ns = span(for_ns != 0 ? for_ns : lanes->parts[ticket->lane].lane->lease_ns);
            claim_of(step)->deadline_ns = shard_fresh_ns(step->shard) + for_ns;
            error = pawl__timer_stage_arm(step, step->machine->lease_timer, for_ns);
        }
    }
    return error == 0 ? 0 : pawl__step_fail(step, error);
}

enum pawl_lost pawl_step_lease_lost(const struct pawl_step *step)
{
    return step_has_claim(step) ? lost_by(step) : PAWL_LOST_NOT;
}

int pawl_step_outcome(struct pawl_step *step, bool good)
{
    if ((step->staged & STAGED_ERROR) != 0)
        return step->error;
    if (!step_has_claim(step))
        return pawl__step_fail(step, -EINVAL);
    step->staged = (step->staged & ~(STAGED_GOOD | STAGED_BAD)) | (good ? STAGED_GOOD : STAGED_BAD);
    return 0;
}

uint64_t pawl_step_wall_ns(const struct pawl_step *step)
{
    return shard_wall_ns(step->shard);
}
