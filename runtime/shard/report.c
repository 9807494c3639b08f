/*
 * report.c - how an event's fate reaches its sender: a port by a completion, an asking task by a
 * reply, anyone else by the host's callback and a counter.
 *
 * Layer: shard. Owner: the shard.
 */
#include <errno.h>

#include "base/planted.h"
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

_Static_assert(PORTS_MAX < 1u << HELD_DURABILITY_SHIFT, "a port and a durability share 16 bits");

/*
 * Where a completion that waits for the disk is to be written; durable_effects.c sends it. Then
 * *durability says the port too. One that need not wait is written for the port at once, and so is
 * one for which there is no memory: that its step's fate is unknown.
 */
static struct pawl_completion *hold(struct shard *shard, uint16_t source, uint32_t tag,
                                    uint16_t *durability, int32_t *status)
{
    struct durable *durable = shard->durable;
    struct cell *cell = NULL;

    if (!durable_holds(durable) || planted(PLANTED_ACK_BEFORE_SYNC) ||
        (planted(PLANTED_LEASE_BEFORE_SYNC) && tag == UINT32_MAX))
        return port_place(shard, source);
    if (likely(pawl__chunks_ensure(&shard->chunks, 1)))
        cell = fifo_next(&durable->held_completions);
    if (unlikely(cell == NULL)) {
        *status = -EIO;
        return port_place(shard, source);
    }
    *durability = (uint16_t)(source | *durability << HELD_DURABILITY_SHIFT);
    durable_mark_of_now(durable)->completions++;
    return (struct pawl_completion *)(void *)cell;
}

/* Field by field: port_place says why. */
static inline void fill(struct pawl_completion *completion, struct pawl_task task, uint32_t tag,
                        int32_t status, unsigned state, unsigned durability, uint32_t version,
                        uint64_t value)
{
    completion->task = task;
    completion->tag = tag;
    completion->status = status;
    completion->state = (uint16_t)state;
    completion->durability = (uint16_t)durability;
    completion->version = version;
    completion->value = value;
}

static __attribute__((noinline)) void complete_durably(struct shard *shard, uint16_t source,
                                                       struct pawl_task task, uint32_t tag,
                                                       unsigned state, uint32_t version,
                                                       uint64_t value)
{
    uint16_t durability = (uint16_t)shard->step.machine->durability;
    int32_t status = 0;
    struct pawl_completion *completion = hold(shard, source, tag, &durability, &status);

    fill(completion, task, tag, status, state, durability, version, value);
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
        if (unlikely(durability != PAWL_DURABILITY_MEMORY ||
                     (shard->durable != NULL && event->code == PAWL_CODE_CREATE)))
            complete_durably(shard, source, task, event->tag, state, version, value);
        else
            fill(port_place(shard, source), task, event->tag, 0, state, durability, version, value);
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
        uint16_t durability = PAWL_DURABILITY_MEMORY;
        struct pawl_completion *completion;

        if (shard->lanes != NULL)
            pawl__refusals_note(shard, event, source, error);
        completion = shard->durable != NULL ? hold(shard, source, event->tag, &durability, &error)
                                            : port_place(shard, source);
        fill(completion, task, event->tag, error, 0, durability, 0, 0);
    } else if ((event->flags & PAWL_EVENT_ASK) != 0)
        reply(shard, event, task.id, error, is_asked_durably(shard, event));
    else
        undelivered(shard, event, error);
    event_drop_buffer(event);
}
