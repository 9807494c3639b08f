/*
 * report.c - how an event's fate reaches its sender: a port by a completion, an asking task by a
 * reply, anyone else by the host's callback and a counter.
 *
 * Layer: shard. Owner: the shard.
 */
#include <errno.h>

#include "shard/alias.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/intake.h"
#include "shard/refusals.h"
#include "shard/shard.h"
#include "task/event.h"

static void undelivered(struct shard *shard, const struct pawl_event *event, int reason)
{
    shard->count.undelivered++;
    if (shard->on_undelivered != NULL)
        shard->on_undelivered(shard->user, event, reason);
}

/*
 * The answer to an asking task. It takes the place of the event that it answers, so it needs no
 * room under the limit of events in flight; only memory can be missing.
 */
static void reply(struct shard *shard, const struct pawl_event *event, uint64_t value, int error,
                  bool durable)
{
    const struct pawl_task asker = {event->arg[1]};
    const struct pawl_event answer = {
        .task = shard->aliases != NULL ? aliases_resolve(shard->aliases, asker) : asker,
        .code = (uint16_t)event->tag,
        .arg = {value, (uint64_t)(int64_t)error},
    };

    /*
     * That it was asked is in no journal of this shard, and never will be: it is asked again when
     * the store is opened.
     */
    if (durable && load_acquire(&shard->durable->journal.failed) != 0)
        return;
    if (!pawl__chunks_ensure(&shard->chunks, shard->durable != NULL ? DURABLE_CHUNKS(1) : 1) ||
        !exchange_ensure(shard, id_shard(answer.task)))
        undelivered(shard, &answer, -ENOMEM);
    else if (durable)
        pawl__durable_send(shard, 0, &answer);
    else if (shard->durable != NULL && error != 0)
        pawl__durable_route(shard, &answer); /* a refusal tells of the steps before it */
    else
        exchange_route(shard, &answer);
}

/* A durable task that asked must have its answer after a crash too, whoever gives it. */
static bool is_asked_durably(const struct shard *shard, const struct pawl_event *event)
{
    return shard->durable != NULL && (event->flags & PAWL_EVENT_DURABLE) != 0;
}

void pawl__report_done(struct shard *shard, const struct pawl_event *event, uint16_t source,
                       struct pawl_task task, unsigned state, uint32_t version, uint64_t value)
{
    const enum pawl_durability durability = shard->step.machine->durability;

    if (source == SOURCE_CREATE) {
        shard->create_state = (uint16_t)state;
        shard->create_version = version;
        return;
    }
    if ((event->flags & PAWL_EVENT_COMPLETE) != 0) {
        const struct pawl_completion completion = {.task = task,
                                                   .tag = event->tag,
                                                   .state = (uint16_t)state,
                                                   .durability = (uint16_t)durability,
                                                   .version = version,
                                                   .value = value};

        if (unlikely(durability != PAWL_DURABILITY_MEMORY ||
                     (shard->durable != NULL && event->code == PAWL_CODE_CREATE)))
            pawl__durable_complete(shard, source, &completion);
        else
            pawl__port_complete(shard, source, &completion);
    }
    if ((event->flags & PAWL_EVENT_ASK) != 0)
        reply(shard, event, value, 0,
              durability != PAWL_DURABILITY_MEMORY || is_asked_durably(shard, event));
    event_drop_buffer(event);
}

/*
 * A refusal tells of the steps before it: that a task has ended, that a key is taken. When the
 * journal has failed those may be lost, and so nothing is known but of what lives in memory only.
 */
static bool tells_of_what_may_be_lost(const struct shard *shard, const struct pawl_event *event,
                                      int error)
{
    const uint32_t index = id_slot(event->task);
    const struct slot *slot;

    if (likely(shard->durable == NULL) || !durable_has_failed(shard->durable))
        return false;
    if (event->code == PAWL_CODE_CREATE && id_generation(event->task) == 0)
        return error == -EEXIST ||
               shard->machines[index].machine->durability != PAWL_DURABILITY_MEMORY;
    if (index >= slab_top(&shard->table.slots))
        return true;
    slot = table_slot(&shard->table, index);
    /* relaxed, twice: our own */
    return load_relaxed(&slot->generation) != id_generation(event->task) ||
           shard->machines[head_machine(load_relaxed(&slot->head))].machine->durability !=
               PAWL_DURABILITY_MEMORY;
}

void pawl__report_failed(struct shard *shard, const struct pawl_event *event, uint16_t source,
                         struct pawl_task task, int error)
{
    if (unlikely(tells_of_what_may_be_lost(shard, event, error)))
        error = -EIO;
    if (source == SOURCE_CREATE) {
        shard->create_error = error;
        return;
    }
    if ((event->flags & PAWL_EVENT_COMPLETE) != 0) {
        const struct pawl_completion completion = {
            .task = task, .tag = event->tag, .status = error};

        if (shard->lanes != NULL)
            pawl__refusals_note(shard, event, source, error);
        if (shard->durable != NULL)
            pawl__durable_complete(shard, source, &completion);
        else
            pawl__port_complete(shard, source, &completion);
    } else if ((event->flags & PAWL_EVENT_ASK) != 0)
        reply(shard, event, task.id, error, is_asked_durably(shard, event));
    else
        undelivered(shard, event, error);
    event_drop_buffer(event);
}
