/*
 * durable_effects.c - effects that wait for the disk: held in order, released when the frame they
 * wait for is durable.
 *
 * Layer: shard. Owner: the shard. Held effects lie in two fifos, events and completions; marks say
 * how many of each belong to which frame.
 */
#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/intake.h"
#include "shard/shard.h"
#include "task/event.h"

void pawl__durable_route(struct shard *shard, const struct pawl_event *event)
{
    struct durable *durable = shard->durable;

    if (!durable_holds(durable) || planted(PLANTED_EFFECT_BEFORE_SYNC)) {
        exchange_route(shard, event);
        return;
    }
    shard_count_routed(shard);
    CHECK(fifo_push(&durable->held_events, event)); /* a chunk was made sure of */
    shard->inflight++;
    durable_mark_of_now(durable)->events++;
}

static void complete_held(struct shard *shard, const struct cell *cell, int error)
{
    struct pawl_completion completion;
    uint16_t source;

    memcpy(&completion, cell, sizeof(completion));
    source = completion.durability & ((1u << HELD_DURABILITY_SHIFT) - 1);
    completion.durability >>= HELD_DURABILITY_SHIFT;
    if (error != 0) {
        completion.status = error;
        completion.durability = PAWL_DURABILITY_MEMORY;
    }
    *port_place(shard, source) = completion;
}

/*
 * A held event that does not leave. What the journal has of it is sent again when the store is
 * opened; only an event for a memory-only task ends here.
 */
static void give_up(struct shard *shard, const struct pawl_event *event, int error)
{
    shard->taken_inside++; /* it will be handled nowhere: for the drain it has been */
    if ((event->flags & PAWL_EVENT_DURABLE) != 0)
        event_drop_buffer(event);
    else
        pawl__report_failed(shard, event, 0, event->task, error);
}

/* Sends up to `count` held events; fewer if there is no memory for a backlog. */
static uint32_t release_events(struct shard *shard, uint32_t count)
{
    struct fifo *held = &shard->durable->held_events;
    uint32_t sent = 0;

    while (sent < count && pawl__chunks_ensure(&shard->chunks, 1)) {
        uint32_t run = 1;
        const struct cell *cell = fifo_peek(held, &run);
        struct pawl_event event;

        memcpy(&event, cell, sizeof(event));
        fifo_release(held, 1);
        shard->inflight--;
        if (shard->durable->stopping)
            give_up(shard, &event, -ECANCELED);
        else
            exchange_put(shard, &event);
        sent++;
    }
    return sent;
}

static uint32_t release_completions(struct shard *shard, uint32_t count, int error)
{
    struct fifo *held = &shard->durable->held_completions;

    for (uint32_t left = count; left > 0;) {
        uint32_t run = left;
        const struct cell *cells = fifo_peek(held, &run);

        for (uint32_t i = 0; i < run; i++)
            complete_held(shard, &cells[i], error);
        fifo_release(held, run);
        left -= run;
    }
    return count;
}

/* Everything of one mark. False: something is left, for want of memory. */
static bool release_mark(struct shard *shard, struct durable_mark *mark, uint32_t *released)
{
    const uint32_t events = release_events(shard, mark->events);

    mark->events -= events;
    *released += events + release_completions(shard, mark->completions, 0);
    mark->completions = 0;
    return mark->events == 0;
}

uint32_t pawl__durable_release(struct shard *shard)
{
    struct durable *durable = shard->durable;
    uint32_t released = 0;

    while (fifo_count(&durable->marks) > 0) {
        uint32_t run = 1;
        struct durable_mark mark, *oldest;

        /* The cell is ours: nobody else looks at it. */
        oldest = (struct durable_mark *)(uintptr_t)fifo_peek(&durable->marks, &run);
        mark = *oldest;
        if (mark.serial > durable->seen)
            return released;
        if (!release_mark(shard, &mark, &released)) {
            *oldest = mark;
            return released;
        }
        fifo_release(&durable->marks, 1);
    }
    if (durable->newest.serial != 0 && durable->newest.serial <= durable->seen &&
        release_mark(shard, &durable->newest, &released))
        durable->newest.serial = 0;
    return released;
}

uint32_t pawl__durable_release_failed(struct shard *shard)
{
    struct durable *durable = shard->durable;
    uint32_t released = release_completions(shard, fifo_count(&durable->held_completions), -EIO);

    while (fifo_count(&durable->held_events) > 0) {
        uint32_t run = 1;
        struct pawl_event event;

        memcpy(&event, fifo_peek(&durable->held_events, &run), sizeof(event));
        fifo_release(&durable->held_events, 1);
        shard->inflight--;
        give_up(shard, &event, -EIO);
        released++;
    }
    fifo_release(&durable->marks, fifo_count(&durable->marks));
    durable->newest = (struct durable_mark){0};
    durable->open = (struct durable_mark){0};
    return released;
}
