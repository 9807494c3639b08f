/*
 * lost.h - leases whose agents are gone: they end before their deadline.
 *
 * Layer: shard. Owner: the shard. Gone is an agent that was closed, whose signs of life have ceased,
 * or that was there before the store was opened and has not been resumed in time. Its leases' tasks
 * get the lease timer's event early, with pawl_step_lease_lost PAWL_LOST_AGENT.
 */
#ifndef PAWL_SHARD_LOST_H
#define PAWL_SHARD_LOST_H

#include "lane/agent.h"
#include "shard/shard.h"

struct pawl_port;

/*
 * Whether the agent of this port is to be passed over, because it is gone or seems to be: up to a
 * batch of its leases is then ended. One that has resumed is first given what it had. handled counts
 * on.
 */
bool pawl__lost_agent(struct shard *shard, const struct pawl_port *port, struct agent *agent,
                      uint32_t *handled);

/*
 * Ends leases that have no agent any more. Returns how many events were handled. Once a turn, after
 * the agents, so that one who resumes in time is the first.
 */
uint32_t pawl__lost_take(struct shard *shard);

/* Whether that could do something now. */
bool pawl__lost_has_work(struct shard *shard);

#endif /* PAWL_SHARD_LOST_H */
