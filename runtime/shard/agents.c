/*
 * agents.c - an agent at work: credits granted, leases taken, receipts kept.
 *
 * Layer: shard. Owner: the thread that uses the agent. It reports in agent_send.c, opens
 * and closes in agent_life.c.
 *
 * The decision to question: a lease that comes is held against the task as it is now. One that has
 * ended while it waited here is dropped, so that nobody works in vain.
 *
 * Progress: nothing waits but pawl_agent_next, pawl_agent_wait and pawl_agent_settle.
 */
#include "shard/agents.h"

#include <errno.h>
#include <poll.h>

#include "base/planted.h"
#include "shard/lanes.h"

#define REAP_BATCH   64
#define STOP_LOOK_NS UINT64_C(100000000) /* a waiter looks whether the runtime was stopped */
#define SWEEP_NS     UINT64_C(10000000)  /* between two looks at leases whose time is over */
#define SWEEP_CALLS  64u

uint64_t pawl_agent_incarnation(const struct pawl_agent *agent)
{
    return agent->shared.incarnation;
}

/* ---- Leases against their tasks ---- */

static bool is_leased_state(const struct pawl_agent *agent, unsigned number, unsigned state)
{
    const struct pawl_machine *machine = agent->runtime->machines[number].machine;

    return machine->lease_event != UINT16_MAX && state < machine->states_count &&
           machine->states[state].role == ROLE_LEASED;
}

/* Whether the lease is alive; then what its task says of it. */
static bool is_ours(const struct pawl_agent *agent, struct pawl_task task, uint64_t token,
                    struct pawl_claim *claim, unsigned *machine)
{
    unsigned state;

    if (pawl__claim_peek(agent->runtime, task, claim, machine, &state) != 0 ||
        !is_leased_state(agent, *machine, state))
        return false;
    return claim->token == token && claim->agent == agent->shared.incarnation;
}

static void drop(struct pawl_agent *agent, struct held *held)
{
    hand_drop(&agent->hand, held);
    agent->free++;
}

/* What is over by its time and was never reported has a credit that nobody would give back. */
static void sweep(struct pawl_agent *agent)
{
    const struct pawl_clock *clock = agent->runtime->clock;
    uint64_t now, next = UINT64_MAX;

    if (agent->hand.count == 0)
        return;
    now = clock->now_ns(clock->user);
    if (now < agent->sweep_ns)
        return;
    for (uint32_t i = 0; i <= agent->hand.mask; i++) {
        struct held *held = &agent->hand.entries[i];
        struct pawl_claim claim;
        unsigned machine;

        while (held->task.id != 0 && held->deadline_ns <= now) { /* another may move up here */
            if (is_ours(agent, held->task, held->token, &claim, &machine)) {
                held->deadline_ns = claim.deadline_ns;
                break;
            }
            drop(agent, held);
        }
        if (held->task.id != 0 && held->deadline_ns < next)
            next = held->deadline_ns;
    }
    agent->sweep_ns = next > now + SWEEP_NS ? next : now + SWEEP_NS;
}

/* ---- Credits and signs of life ---- */

static bool has_ready(const struct lanes *lanes, uint64_t mask)
{
    for (; mask != 0; mask &= mask - 1)
        /* relaxed: the barrier of the caller orders it after the credits */
        if (load_relaxed(&lanes->parts[__builtin_ctzll(mask)].published[LANE_READY]) != 0)
            return true;
    return false;
}

/*
 * What is ready was published before the shard announced its sleep, so one heavy barrier holds for
 * both: the shard sees the credits, or we see that it sleeps and has something ready.
 */
void pawl__agents_wake(const struct pawl_runtime *runtime, uint64_t lanes)
{
    barrier_light(runtime->ports->asymmetric);
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        /* relaxed: the barrier above orders it */
        if (load_relaxed(&shard->park.word) != PARK_AWAKE && has_ready(shard->lanes, lanes))
            park_wake(&shard->park);
    }
}

/* Shards pass over an agent that seems dead; one that is back tells those that sleep meanwhile. */
void pawl_agent_beat(struct pawl_agent *agent)
{
    const struct pawl_clock *clock = agent->runtime->clock;
    struct agent *shared = &agent->shared;
    uint64_t now;
    bool silent;

    if (likely(shared->heartbeat_ns == 0))
        return;
    now = clock->now_ns(clock->user);
    silent = agent_is_silent(shared, now);
    store_relaxed(&shared->beat_ns, now); /* relaxed: as in lane/agent.h */
    if (silent)
        pawl__agents_wake(agent->runtime, shared->lanes);
}

static void grant(struct pawl_agent *agent)
{
    struct pawl_port *port = agent->port;
    const uint32_t count = agent->free;

    if (count == 0)
        return;
    CHECK(port->completions_max - port->outstanding >= count);
    agent->free = 0;
    port->outstanding += count;
    agent_grant(&agent->shared, count); /* (G1) */
    pawl__agents_wake(agent->runtime, agent->shared.lanes);
}

/* ---- What comes from the shards ---- */

static void take_lease(struct pawl_agent *agent, const struct pawl_completion *completion)
{
    const uint32_t at = (agent->arrived_first + agent->arrived_count) & agent->arrived_mask;

    if (completion->status != 0) { /* the task would not be handed out */
        agent->free += !planted(PLANTED_CREDIT_LOST);
        return;
    }
    agent->arrived[at] = (struct arrived){completion->task, completion->value, completion->state};
    agent->arrived_count++;
}

/* Whether a receipt means that the lease is over. */
static bool is_over(const struct pawl_agent *agent, const struct sent *sent,
                    const struct pawl_completion *completion)
{
    struct pawl_claim claim;
    unsigned machine;

    if (completion->status == 0)
        return !is_leased_state(agent, sent->machine, completion->state);
    return completion->status == -ESTALE || completion->status == -EPERM ||
           !is_ours(agent, sent->task, sent->token, &claim, &machine);
}

static void keep_receipt(struct pawl_agent *agent, const struct sent *sent,
                         const struct pawl_completion *completion)
{
    const uint32_t at = (agent->receipts_first + agent->receipts_count) & agent->receipts_mask;

    agent->receipts[at] = (struct pawl_receipt){
        .task = sent->task,
        .token = sent->token,
        .id = sent->id,
        .tag = sent->tag,
        .status = completion->status,
        .state = completion->state,
        .durability = completion->durability,
        .value = completion->value,
    };
    agent->receipts_count++;
}

/* An extension may be to an earlier time than before. */
static void note_deadline(struct pawl_agent *agent, struct held *held)
{
    struct pawl_claim claim;
    unsigned machine;

    if (!is_ours(agent, held->task, held->token, &claim, &machine))
        return;
    held->deadline_ns = claim.deadline_ns;
    if (claim.deadline_ns < agent->sweep_ns)
        agent->sweep_ns = claim.deadline_ns;
}

static void take_receipt(struct pawl_agent *agent, const struct pawl_completion *completion)
{
    const struct sent *sent = &agent->sent[completion->tag];
    struct held *held;

    CHECK(completion->tag < agent->reports);
    held = hand_find(&agent->hand, sent->task, sent->token);
    if (held != NULL && is_over(agent, sent, completion))
        drop(agent, held);
    else if (held != NULL && sent->extends)
        note_deadline(agent, held);
    if (agent->stage == AGENT_OPEN)
        keep_receipt(agent, sent, completion);
    agent->spare[agent->reports - agent->sent_count] = completion->tag;
    agent->sent_count--;
}

void pawl__agent_reap(struct pawl_agent *agent)
{
    struct pawl_completion completions[REAP_BATCH];
    int count;

    do {
        count = pawl_port_reap(agent->port, completions, REAP_BATCH);
        for (int i = 0; i < count; i++)
            if (completions[i].tag == PAWL__LEASE_TAG)
                take_lease(agent, &completions[i]);
            else
                take_receipt(agent, &completions[i]);
    } while (count == REAP_BATCH);
}

bool pawl__agent_unseen(struct pawl_agent *agent, struct pawl_lease *lease)
{
    while (agent->arrived_count > 0) {
        const struct arrived *arrived = &agent->arrived[agent->arrived_first];

        agent->arrived_first = (agent->arrived_first + 1) & agent->arrived_mask;
        agent->arrived_count--;
        agent->free++;
        if (is_ours(agent, arrived->task, arrived->token, &lease->claim, &lease->machine)) {
            lease->task = arrived->task;
            lease->token = arrived->token;
            lease->state = arrived->state;
            return true;
        }
        agent->free -= planted(PLANTED_CREDIT_LOST);
    }
    return false;
}

/* ---- Waiting ---- */

static bool has_completions(const struct pawl_agent *agent)
{
    for (uint32_t i = 0; i < agent->port->shard_count; i++)
        if (spsc_count(&agent->port->lanes[i].completions) > 0)
            return true;
    return false;
}

static void sleep_for(struct pawl_agent *agent, uint64_t ns)
{
    struct park *park = &agent->port->park;
    struct pollfd readable = {.fd = park->event_fd, .events = POLLIN};
    const struct timespec timeout = {.tv_nsec = (long)ns};

    if (!park->polled) {
        pawl__park_wait(park, ns);
        return;
    }
    ppoll(&readable, 1, &timeout, NULL);
    pawl__park_cancel(park);
}

/* called_off: what ends the wait besides, or NULL. */
static bool wait_for(struct pawl_agent *agent, uint64_t begin_ns, uint64_t timeout_ns,
                     uint64_t look_ns, const _Atomic uint32_t *called_off)
{
    const uint64_t waited = pawl_clock_monotonic.now_ns(NULL) - begin_ns;
    const uint64_t heartbeat_ns = agent->shared.heartbeat_ns;

    if (waited >= timeout_ns)
        return false;
    if (look_ns > timeout_ns - waited)
        look_ns = timeout_ns - waited;
    if (heartbeat_ns != 0 && look_ns > heartbeat_ns / 4)
        look_ns = heartbeat_ns / 4 + 1;
    pawl__park_prepare(&agent->port->park);
    if (has_completions(agent) || agent_is_stopped(agent) ||
        (called_off != NULL && load_acquire(called_off) != 0))
        pawl__park_cancel(&agent->port->park);
    else
        sleep_for(agent, look_ns);
    pawl_agent_beat(agent);
    return true;
}

bool pawl__agent_wait(struct pawl_agent *agent, uint64_t begin_ns, uint64_t timeout_ns,
                      uint64_t look_ns)
{
    return wait_for(agent, begin_ns, timeout_ns, look_ns, NULL);
}

void pawl__agent_call_off(struct pawl_agent *agent)
{
    store_release(&agent->called_off, 1);
    park_wake(&agent->port->park);
}

/* The descriptor says nothing until it is watched again. */
static void unwatch(struct pawl_agent *agent)
{
    if (agent->watched)
        pawl__park_cancel(&agent->port->park);
    agent->watched = false;
}

/*
 * From now on whatever arrives makes the descriptor readable; false: something has arrived already.
 */
static bool watch(struct pawl_agent *agent)
{
    pawl__park_prepare(&agent->port->park);
    agent->watched = true;
    return !has_completions(agent) && agent->arrived_count == 0 && agent->receipts_count == 0;
}

/* As if something had arrived. */
static void make_readable(struct pawl_agent *agent)
{
    pawl__park_prepare(&agent->port->park);
    park_wake(&agent->port->park);
}

int pawl_agent_fd(struct pawl_agent *agent)
{
    if (!agent->pollable)
        return -ENOTSUP;
    if (!agent->watched && !watch(agent))
        make_readable(agent);
    return agent->port->park.event_fd;
}

/* ---- Leases ---- */

static unsigned take(struct pawl_agent *agent, struct pawl_lease *leases, unsigned capacity)
{
    unsigned count = 0;

    pawl__agent_reap(agent);
    while (count < capacity && pawl__agent_unseen(agent, &leases[count])) {
        const struct pawl_lease *lease = &leases[count++];

        agent->free--;
        hand_add(&agent->hand, lease->task, lease->token, lease->claim.deadline_ns)->machine =
            (uint8_t)lease->machine;
        if (lease->claim.deadline_ns < agent->sweep_ns)
            agent->sweep_ns = lease->claim.deadline_ns;
    }
    if (count == 0 || ++agent->calls % SWEEP_CALLS == 0)
        sweep(agent);
    grant(agent);
    return count;
}

static unsigned wait_for_leases(struct pawl_agent *agent, struct pawl_lease *leases,
                                unsigned capacity, uint64_t timeout_ns)
{
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);
    unsigned count = 0;

    while (count == 0 && !agent_is_stopped(agent) && load_acquire(&agent->called_off) == 0 &&
           wait_for(agent, begin_ns, timeout_ns, STOP_LOOK_NS, &agent->called_off))
        count = take(agent, leases, capacity);
    return count;
}

int pawl_agent_next(struct pawl_agent *agent, struct pawl_lease *leases, unsigned capacity,
                    uint64_t timeout_ns)
{
    unsigned count;

    if (agent->stage != AGENT_OPEN)
        return -EBUSY;
    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    pawl_agent_beat(agent);
    unwatch(agent);
    count = take(agent, leases, capacity);
    if (count == 0 && capacity > 0 && timeout_ns > 0 && !agent->runtime->host_driven)
        count = wait_for_leases(agent, leases, capacity, timeout_ns);
    if (count == 0 && agent->pollable && !watch(agent))
        count = take(agent, leases, capacity);
    if (count == 0 && agent->watched && agent->arrived_count > 0) /* there was no capacity */
        make_readable(agent);
    return count > 0 || !agent_is_stopped(agent) ? (int)count : -EBUSY;
}

/* Whether something of what is waited for is here; for leases, credits are granted. */
static bool is_here(struct pawl_agent *agent, unsigned what)
{
    pawl__agent_reap(agent);
    if ((what & PAWL_AGENT_RECEIPTS) != 0 && agent->receipts_count > 0)
        return true;
    if ((what & PAWL_AGENT_LEASES) == 0)
        return false;
    if (agent->arrived_count > 0)
        return true;
    sweep(agent);
    grant(agent);
    return false;
}

int pawl_agent_wait(struct pawl_agent *agent, unsigned what, uint64_t timeout_ns)
{
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);
    bool waited = false;
    int error = 0;

    if (what == 0 || (what & ~(PAWL_AGENT_LEASES | PAWL_AGENT_RECEIPTS)) != 0)
        return -EINVAL;
    if (agent->stage != AGENT_OPEN)
        return -EBUSY;
    pawl_agent_beat(agent);
    while (error == 0 && !is_here(agent, what)) {
        if (what == PAWL_AGENT_RECEIPTS && agent->sent_count == 0)
            error = -ENOENT;
        else if (agent_is_stopped(agent))
            error = -EBUSY;
        else if (agent->runtime->host_driven)
            error = -EAGAIN;
        else if (!pawl__agent_wait(agent, begin_ns, timeout_ns, STOP_LOOK_NS))
            error = -ETIMEDOUT;
        waited = true;
    }
    /* What the descriptor was to tell of may have come meanwhile. */
    if (waited && agent->watched)
        make_readable(agent);
    return error;
}

/* ---- Receipts ---- */

int pawl_agent_receipts(struct pawl_agent *agent, struct pawl_receipt *receipts, unsigned capacity)
{
    unsigned count = 0;

    if (capacity > INT32_MAX)
        capacity = INT32_MAX;
    pawl_agent_beat(agent);
    pawl__agent_reap(agent);
    for (; count < capacity && agent->receipts_count > 0; count++) {
        receipts[count] = agent->receipts[agent->receipts_first];
        agent->receipts_first = (agent->receipts_first + 1) & agent->receipts_mask;
        agent->receipts_count--;
    }
    return (int)count;
}

int pawl_agent_settle(struct pawl_agent *agent, uint64_t timeout_ns)
{
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);
    const bool host_driven = agent->runtime->host_driven;
    bool waited = false;
    int error = 0;

    pawl_agent_beat(agent);
    for (pawl__agent_reap(agent); agent->sent_count > 0 && error == 0; pawl__agent_reap(agent)) {
        waited = true;
        if (agent_is_stopped(agent))
            error = -EBUSY;
        else if (host_driven)
            error = -EAGAIN;
        else if (!pawl__agent_wait(agent, begin_ns, timeout_ns, STOP_LOOK_NS))
            error = -ETIMEDOUT;
    }
    /* A lease may have come meanwhile, and what it made readable has been emptied. */
    if (waited && agent->watched)
        make_readable(agent);
    return agent->sent_count == 0 ? 0 : error;
}
