/*
 * report.c - how an event's fate reaches its sender: a port by a completion, an asking task by a
 * reply, anyone else by the host's callback and a counter.
 *
 * Layer: shard. Owner: the shard.
 */
#include <errno.h>

#include "shard/exchange.h"
#include "shard/intake.h"
#include "shard/shard.h"
#include "task/event.h"

static void undelivered(struct shard *shard, const struct pawl_event *event, int reason)
{
    shard->count.undelivered++;
    if (shard->on_undelivered != NULL)
        shard->on_undelivered(shard->user, event, reason);
}

/*
 * The answer to an asking task. It takes the place of the event that it answers, so it needs no room
 * under the limit of events in flight; only memory can be missing.
 */
static void reply(struct shard *shard, const struct pawl_event *event, uint64_t value, int error)
{
    const struct pawl_event answer = {
        .task = {event->arg[1]},
        .code = (uint16_t)event->tag,
        .arg = {value, (uint64_t)(int64_t)error},
    };

    if (pawl__chunks_ensure(&shard->chunks, 1) && exchange_ensure(shard, id_shard(answer.task)))
        exchange_route(shard, &answer);
    else
        undelivered(shard, &answer, -ENOMEM);
}

void pawl__report_done(struct shard *shard, const struct pawl_event *event, uint16_t source,
                       struct pawl_task task, unsigned state, uint32_t version, uint64_t value)
{
    if (source == SOURCE_CREATE) {
        shard->create_state = (uint16_t)state;
        shard->create_version = version;
        return;
    }
    if ((event->flags & PAWL_EVENT_COMPLETE) != 0) {
        pawl__port_complete(shard, source,
                            &(struct pawl_completion){.task = task,
                                                      .tag = event->tag,
                                                      .state = (uint16_t)state,
                                                      .durability = PAWL_DURABILITY_MEMORY,
                                                      .version = version,
                                                      .value = value});
    }
    if ((event->flags & PAWL_EVENT_ASK) != 0)
        reply(shard, event, value, 0);
    event_drop_buffer(event);
}

void pawl__report_failed(struct shard *shard, const struct pawl_event *event, uint16_t source,
                         struct pawl_task task, int error)
{
    if (source == SOURCE_CREATE) {
        shard->create_error = error;
        return;
    }
    if ((event->flags & PAWL_EVENT_COMPLETE) != 0)
        pawl__port_complete(
            shard, source,
            &(struct pawl_completion){.task = task, .tag = event->tag, .status = error});
    else if ((event->flags & PAWL_EVENT_ASK) != 0)
        reply(shard, event, task.id, error);
    else
        undelivered(shard, event, error);
    event_drop_buffer(event);
}
