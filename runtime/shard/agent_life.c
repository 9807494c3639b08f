/*
 * agent_life.c - how an agent begins and ends.
 *
 * Layer: shard. Owner: the thread that opens, uses and closes the agent.
 *
 * Memory orders: the agent is whole, port->agent (release) A5 -> a shard finds it (acquire) A6. A1
 * to A4, the end, are drawn in lane/agent.h.
 *
 * The end has four steps, each of which may have to be waited for, so that closing goes on where it
 * was: credits are withdrawn, and leases that the host has not seen go back as released; what the
 * agent reported is taken by the shards; they end its leases and let it go; the last receipts
 * arrive. Only then is the port closed, and only after that is this memory freed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shard/agents.h"
#include "shard/lanes.h"

#define REPORTS_DEFAULT 64u
#define RING_MIN        64u
#define LEFT_LOOK_NS    UINT64_C(200000) /* a closer looks whether the shards have let go */
#define EPOCH_SHIFT     40

_Static_assert(AGENT_CREDITS_MAX + AGENT_REPORTS_MAX <= PORT_RING_MAX, "completions fit in a ring");
_Static_assert(AGENT_REPORTS_MAX < PAWL__LEASE_TAG, "a report's tag is never that of a lease");

/* ---- Names ---- */

uint64_t pawl_agent_number(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash != 0 ? hash : 1;
}

static bool name_is_good(const char *name)
{
    const size_t length = name != NULL ? strnlen(name, PAWL_AGENT_NAME_MAX + 1) : 0;

    for (size_t i = 0; i < length; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return false;
    return length >= 1 && length <= PAWL_AGENT_NAME_MAX;
}

/* ---- Opening ---- */

/* The positions of the lanes that it serves. */
static int find_lanes(const struct pawl_runtime *runtime, const struct pawl_agent_options *options,
                      uint64_t *mask)
{
    const struct lanes *lanes = runtime->shards[0]->lanes;

    *mask = 0;
    if (options->lanes == NULL || options->lanes_count < 1 || options->lanes_count > PAWL_LANES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < options->lanes_count; i++) {
        int position;

        if (options->lanes[i] == NULL)
            return -EINVAL;
        if (lanes == NULL)
            return -ENOENT;
        position = pawl__lanes_position(lanes, pawl_lane_number(options->lanes[i]));
        if (position < 0)
            return -ENOENT;
        *mask |= UINT64_C(1) << position;
    }
    return 0;
}

static int check_resumed(const struct pawl_runtime *runtime,
                         const struct pawl_agent_options *options)
{
    const struct pawl_clock *clock = runtime->clock;
    const uint32_t name = pawl__formers_name(&runtime->formers, options->resume);

    if (name != 0 && name != (uint32_t)pawl_agent_number(options->name))
        return -EPERM;
    if (clock->now_ns(clock->user) >= lanes_orphans_end_ns(runtime->open_ns, runtime->orphan_ns))
        return -ESTALE;
    return 0;
}

static int check_options(const struct pawl_runtime *runtime,
                         const struct pawl_agent_options *options)
{
    /* relaxed: of the epoch, which never changes */
    const uint64_t epoch = load_relaxed(&runtime->incarnations) >> EPOCH_SHIFT;
    int error;

    if (options == NULL || !name_is_good(options->name) || options->credits > AGENT_CREDITS_MAX ||
        options->reports > AGENT_REPORTS_MAX)
        return -EINVAL;
    /* What is left of an incarnation is what a store has brought back. */
    if (options->resume != 0) {
        if (options->resume >> EPOCH_SHIFT >= epoch)
            return -EINVAL;
        error = check_resumed(runtime, options);
        if (error != 0)
            return error;
    }
    return load_acquire(&runtime->ports->stopped) != 0 ? -EBUSY : 0;
}

static void find_codes(struct pawl_agent *agent)
{
    const struct pawl_runtime *runtime = agent->runtime;

    for (unsigned i = 0; i < runtime->machine_count; i++)
        for (unsigned kind = 0; kind < PAWL_REPORT_KINDS; kind++) {
            const int code = pawl_machine_event(runtime->machines[i].machine,
                                                pawl_report_name((enum pawl_report_kind)kind));

            agent->codes[i * PAWL_REPORT_KINDS + kind] =
                code >= 0 ? (uint16_t)code : AGENT_CODE_NONE;
        }
}

static void agent_free(struct pawl_agent *agent)
{
    free(agent->codes);
    free(agent->arrived);
    hand_fini(&agent->hand);
    free(agent->sent);
    free(agent->spare);
    free(agent->receipts);
    free(agent);
}

static struct pawl_agent *agent_create(struct pawl_runtime *runtime,
                                       const struct pawl_agent_options *options)
{
    struct pawl_agent *agent = aligned_alloc(_Alignof(struct pawl_agent), sizeof(*agent));

    if (agent == NULL)
        return NULL;
    memset(agent, 0, sizeof(*agent));
    agent->runtime = runtime;
    agent->credits = agent->free = options->credits != 0 ? options->credits : 1;
    agent->reports = options->reports != 0 ? options->reports : REPORTS_DEFAULT;
    agent->arrived_mask = (uint32_t)round_up_power_of_two(agent->credits) - 1;
    agent->receipts_mask = (uint32_t)round_up_power_of_two(agent->reports) - 1;
    /* relaxed: of the epoch, which never changes */
    agent->last_id = agent_loose_id(load_relaxed(&runtime->incarnations) >> EPOCH_SHIFT);
    agent->sweep_ns = UINT64_MAX;
    agent->codes =
        calloc((size_t)runtime->machine_count * PAWL_REPORT_KINDS, sizeof(*agent->codes));
    agent->arrived = calloc(agent->arrived_mask + 1, sizeof(*agent->arrived));
    agent->sent = calloc(agent->reports, sizeof(*agent->sent));
    agent->spare = calloc(agent->reports, sizeof(*agent->spare));
    agent->receipts = calloc(agent->receipts_mask + 1, sizeof(*agent->receipts));
    if (!hand_init(&agent->hand, agent->credits) || agent->codes == NULL ||
        agent->arrived == NULL || agent->sent == NULL || agent->spare == NULL ||
        agent->receipts == NULL) {
        agent_free(agent);
        return NULL;
    }
    for (uint32_t i = 0; i < agent->reports; i++)
        agent->spare[i] = agent->reports - 1 - i;
    find_codes(agent);
    return agent;
}

static uint32_t ring_for(uint32_t cells)
{
    return (uint32_t)round_up_power_of_two(cells > RING_MIN ? cells : RING_MIN);
}

/*
 * The port, whose park is a descriptor where one is wanted. Nobody has a completion for it yet, so
 * no shard looks at the park before the first credit or report.
 */
static int make_port(struct pawl_agent *agent)
{
    struct park park;
    int error = 0;

    if (agent->pollable)
        error = pawl__park_init(&park, true);
    if (error != 0)
        return error == -ENOMEM ? -ENOMEM : -ENOSPC; /* the process has no descriptors left */
    error = pawl__port_create(agent->runtime->ports, ring_for(agent->reports),
                              ring_for(agent->credits + agent->reports), false, &agent->port);
    if (!agent->pollable)
        return error;
    if (error != 0) {
        pawl__park_fini(&park);
        return error;
    }
    pawl__park_fini(&agent->port->park);
    memcpy(&agent->port->park, &park, sizeof(park));
    return 0;
}

/* Whether an open agent is this incarnation. */
static bool is_open(struct port_registry *registry, uint64_t incarnation)
{
    bool found = false;

    pthread_mutex_lock(&registry->mutex);
    for (uint32_t i = 0; i < load_relaxed(&registry->top); i++) { /* relaxed: mutex held */
        const struct port_entry *entry = &registry->entries[i];
        const struct agent *agent;

        if ((load_relaxed(&entry->life) & 1) == 0) /* relaxed: mutex held */
            continue;
        agent = load_acquire(&load_relaxed(&entry->port)->agent); /* (A6) pairs with (A5) */
        found |= agent != NULL && agent->incarnation == incarnation;
    }
    pthread_mutex_unlock(&registry->mutex);
    return found;
}

static void publish(struct pawl_agent *agent, const struct pawl_agent_options *options,
                    uint64_t lanes)
{
    struct pawl_runtime *runtime = agent->runtime;
    struct agent *shared = &agent->shared;

    snprintf(agent->name, sizeof(agent->name), "%s", options->name);
    shared->number = pawl_agent_number(options->name);
    /* relaxed: only the number matters */
    shared->incarnation =
        options->resume != 0 ? options->resume : add_relaxed(&runtime->incarnations, 1) + 1;
    shared->resumed = options->resume != 0;
    shared->lanes = lanes;
    shared->heartbeat_ns = options->heartbeat_ns;
    /* relaxed: (A5) publishes it */
    store_relaxed(&shared->beat_ns, runtime->clock->now_ns(runtime->clock->user));
    store_release(&agent->port->agent, shared); /* (A5) pairs with (A6) */
    if (shared->resumed)                        /* the shards give it what it had */
        pawl__ports_wake_shards(agent->port->registry);
}

int pawl_agent_open(struct pawl_runtime *runtime, const struct pawl_agent_options *options,
                    struct pawl_agent **out)
{
    /* Two that would go on as the same one at the same moment. */
    static pthread_mutex_t resume_mutex = PTHREAD_MUTEX_INITIALIZER;
    struct pawl_agent *agent;
    uint64_t lanes;
    int error = check_options(runtime, options);

    if (error == 0)
        error = find_lanes(runtime, options, &lanes);
    if (error != 0)
        return error;
    agent = agent_create(runtime, options);
    if (agent == NULL)
        return -ENOMEM;
    agent->pollable = options->pollable && !runtime->host_driven;
    pthread_mutex_lock(&resume_mutex);
    if (options->resume != 0 && is_open(runtime->ports, options->resume))
        error = -EEXIST;
    if (error == 0)
        error = make_port(agent);
    if (error == 0)
        publish(agent, options, lanes);
    pthread_mutex_unlock(&resume_mutex);
    if (error != 0) {
        agent_free(agent);
        return error;
    }
    *out = agent;
    return 0;
}

/* ---- Closing ---- */

/* Takes back the credits that no shard has. */
static void withdraw(struct pawl_agent *agent)
{
    const uint32_t count = swap_acq_rel(&agent->shared.credits, 0);

    agent->port->outstanding -= count;
    agent->free += count;
}

/*
 * What the host has never seen is nobody's failure: it is released. Where that cannot be said, it
 * is lost with the rest. false: there may be more, when receipts have made room.
 */
static bool give_back_unseen(struct pawl_agent *agent)
{
    const struct pawl_report release = {.kind = PAWL_REPORT_RELEASE, .id = 1};
    struct pawl_lease lease;

    while (agent->sent_count < agent->reports) {
        if (!pawl__agent_unseen(agent, &lease))
            return true;
        (void)pawl__agent_send(agent, &lease, &release);
    }
    return agent->arrived_count == 0;
}

/* Whether the shards have taken all that the agent has reported. */
static bool is_taken(const struct pawl_port *port)
{
    for (uint32_t i = 0; i < port->shard_count; i++)
        if (spsc_count(&port->lanes[i].events) > 0)
            return false;
    return true;
}

/* Goes as far as it can without waiting; true: only the port is left to be closed. */
static bool close_further(struct pawl_agent *agent)
{
    pawl__agent_reap(agent);
    switch (agent->stage) {
    case AGENT_OPEN:
        agent->receipts_count = 0;
        agent->stage = AGENT_WITHDRAWN;
        /* fall through */
    case AGENT_WITHDRAWN:
        withdraw(agent);
        if (!give_back_unseen(agent) || agent_offered(agent) > 0 || !is_taken(agent->port))
            return false;
        store_release(&agent->shared.gone, 1); /* (A1) pairs with (A2) */
        pawl__ports_wake_shards(agent->port->registry);
        agent->stage = AGENT_GONE;
        /* fall through */
    case AGENT_GONE:
        if (load_acquire(&agent->shared.left) != agent->port->shard_count) /* (A4), with (A3) */
            return false;
        agent->stage = AGENT_ALONE;
        /* fall through */
    case AGENT_ALONE:
        break;
    }
    return agent->port->outstanding == 0;
}

int pawl_agent_close(struct pawl_agent *agent, uint64_t timeout_ns)
{
    struct pawl_port *port = agent->port;
    const uint64_t begin_ns = pawl_clock_monotonic.now_ns(NULL);
    uint64_t waited;
    int error;

    if (pawl__port_leave_early(port->registry, port)) {
        agent_free(agent);
        return 0;
    }
    while (!agent_is_stopped(agent) && !close_further(agent)) {
        if (agent->runtime->host_driven)
            return -EAGAIN;
        if (!pawl__agent_wait(agent, begin_ns, timeout_ns, LEFT_LOOK_NS))
            return -ETIMEDOUT;
    }
    store_release(&port->agent, NULL);
    waited = pawl_clock_monotonic.now_ns(NULL) - begin_ns;
    error = pawl_port_close(port, waited < timeout_ns ? timeout_ns - waited : 0);
    if (error == 0)
        agent_free(agent);
    return error;
}
