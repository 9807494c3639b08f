/*
 * live_list.c - the lanes and the agents of a runtime, one after another.
 *
 * Layer: watch. Any thread. Ports, and with them agents, come and go under the registry's mutex;
 * while it is held, an agent whose port is there is there as well (shard/agent_life.c frees it
 * later). Shards never take that mutex.
 */
#include <errno.h>
#include <pawl/live.h>
#include <string.h>

#include "lane/lane.h"
#include "shard/agents.h"

const char *pawl_lane_name(const struct pawl_runtime *runtime, unsigned position)
{
    return position < runtime->lane_count ? runtime->lanes[position].name : NULL;
}

/* NULL: nobody's, or closed. The registry's mutex is held. */
static const struct agent *agent_at(const struct port_registry *registry, unsigned index)
{
    const struct port_entry *entry = &registry->entries[index];

    if ((load_relaxed(&entry->life) & 1) == 0) /* relaxed: mutex held */
        return NULL;
    /* Pairs with the release that published the agent, (A5) in shard/agent_life.c. */
    return load_acquire(&load_relaxed(&entry->port)->agent); /* relaxed: mutex held */
}

static void fill(const struct pawl_runtime *runtime, const struct agent *agent,
                 struct pawl_agent_view *view)
{
    const uint64_t now = runtime->clock->now_ns(runtime->clock->user);
    const uint64_t beat_ns = load_relaxed(&agent->beat_ns); /* relaxed: only the number matters */

    *view = (struct pawl_agent_view){
        .incarnation = agent->incarnation,
        .number = agent->number,
        .lanes = agent->lanes,
        .silent_ns = agent->heartbeat_ns != 0 && now > beat_ns ? now - beat_ns : 0,
        .credits = load_relaxed(&agent->credits), /* relaxed: as above */
    };
    /* What the shards know of an agent is the first member of what the agent is. */
    memcpy(view->name, ((const struct pawl_agent *)(const void *)agent)->name, sizeof(view->name));
}

int pawl_agent_list(const struct pawl_runtime *runtime, unsigned *next,
                    struct pawl_agent_view *views, unsigned capacity)
{
    struct port_registry *registry = runtime->ports;
    unsigned count = 0;

    pthread_mutex_lock(&registry->mutex);
    /* relaxed: mutex held */
    for (; *next < load_relaxed(&registry->top) && count < capacity; (*next)++) {
        const struct agent *agent = agent_at(registry, *next);

        if (agent != NULL)
            fill(runtime, agent, &views[count++]);
    }
    pthread_mutex_unlock(&registry->mutex);
    return (int)count;
}
