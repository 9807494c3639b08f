/*
 * turn.c - the turn: a list of bounded phases, one call each. Threads, host loops and the simulator
 * all call the same function.
 *
 * Layer: shard. Owner: whoever turns the shard.
 */
#include <errno.h>

#include "shard/create.h"
#include "shard/deadlines.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/intake.h"
#include "shard/lane_keeper.h"
#include "shard/lanes.h"
#include "shard/shard.h"
#include "shard/timers.h"
#include "task/event.h"

/* How long a shard with something for a full ring of another shard sleeps before it tries again. */
#define BACKLOG_LOOK_NS UINT64_C(50000)

/* Events of a turn beside which its own price does not count. */
#define TURN_ENOUGH 64u

/* Freed bytes from which on an allocator is asked to give its pages back before the shard sleeps. */
#define ARENA_TRIM_MIN (UINT64_C(1) << 20)

void pawl__look_at_clock(struct shard *shard)
{
    const uint64_t now = shard->clock->now_ns(shard->clock->user);

    /* Host threads that take turns with one shard may read clocks that differ by a little. */
    shard->fresh_ns = now > shard->now_ns ? now : shard->now_ns;
}

static void begin(struct shard *shard)
{
    pawl__look_at_clock(shard);
    shard->now_ns = shard->fresh_ns;
    shard->since = (uint32_t)((shard->now_ns - shard->open_ns) >> SINCE_SHIFT);
    shard->count.turns++;
    if (shard->durable != NULL)
        pawl__durable_begin(shard);
}

/*
 * Events from this shard's own tasks: what was there when the phase began, up to the quota. A turn that
 * has handled little goes on with what they lead to, so that a message from task to task need not pay
 * for a turn of its own; one that has handled more stops, so that batches stay full.
 */
static uint32_t take_local(struct shard *shard, struct fifo *fifo, uint32_t handled)
{
    uint32_t goal = fifo_count(fifo) < QUOTA ? fifo_count(fifo) : QUOTA;
    uint32_t taken = 0;

    if (handled + goal < TURN_ENOUGH)
        goal = TURN_ENOUGH - handled;
    if (shard->durable != NULL) {
        shard->durable->peer = (uint16_t)shard->number;
        shard->durable->klass = fifo == &shard->local_control ? DURABLE_CONTROL : DURABLE_ORDINARY;
    }
    while (taken < goal && fifo_count(fifo) > 0) {
        uint32_t run = goal - taken < BATCH_MAX ? goal - taken : BATCH_MAX;
        const struct cell *cells = fifo_peek(fifo, &run);

        if (shard->durable != NULL) {
            if (!pawl__durable_gate(shard, true))
                break;
            run = durable_run(shard->durable, run);
        }
        /* What is being handled is not in flight: the events that it leads to take its place. */
        shard->inflight -= run;
        pawl__batch(shard, (const struct pawl_event *)(const void *)cells, run, 0);
        fifo_release(fifo, run);
        taken += run;
    }
    shard->taken_inside += taken;
    return taken;
}

static uint32_t take_control(struct shard *shard)
{
    return take_local(shard, &shard->local_control, TURN_ENOUGH) +
           pawl__exchange_take_control(shard) + pawl__ports_take_control(shard);
}

/* Under pressure nothing is admitted from outside: inside work goes on and makes room. */
static uint32_t take_outside(struct shard *shard)
{
    const uint32_t taken = pawl__ports_take(shard);

    shard->count.throttled += shard->inflight >= shard->inflight_soft;
    return taken;
}

static void publish(struct shard *shard)
{
    const uint64_t *counters = (const uint64_t *)(const void *)&shard->count;

    shard->count.tasks = slab_live(&shard->table.slots);
    shard->count.timers = lanes_timers(shard);
    shard->count.inflight = shard->inflight;
    /* relaxed: each counter is right by itself (pawl/watch.h). */
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        store_relaxed(&shard->published[i], counters[i]);
}

/* Gives memory back and moves a growing index along, by a bounded amount; there may be more to do. */
static void keep_house(struct shard *shard)
{
    const uint64_t arena = arena_bytes(&shard->arena);
    bool more = pawl__table_work(&shard->table);

    if (arena > shard->arena_peak)
        shard->arena_peak = arena;

    more |= slab_trim(&shard->timer_nodes);
    more |= slab_trim(&shard->deferrals);
    shard->house_more = more;
    shard->count.memory_bytes = pawl__table_bytes(&shard->table) + slab_bytes(&shard->timer_nodes) +
                                slab_bytes(&shard->deferrals) + arena +
                                load_relaxed(&shard->pages.reserved); /* relaxed: our own */
}

/* Returns how many effects have left that had waited for the disk. */
static uint32_t end(struct shard *shard)
{
    const uint32_t released = shard->durable != NULL ? pawl__durable_end(shard) : 0;

    pawl__exchange_flush(shard);
    pawl__ports_flush(shard);
    keep_house(shard);
    if (shard->lanes != NULL)
        pawl__lanes_publish(shard);
    publish(shard);
    store_release(&shard->taken, shard->taken_inside); /* pairs with drain's look */
    return released;
}

uint32_t pawl__turn(struct shard *shard)
{
    uint32_t handled;

    begin(shard);
    handled = take_control(shard);
    handled += pawl__exchange_take(shard);
    handled += take_local(shard, &shard->local, handled);
    handled += take_outside(shard);
    handled += pawl__timers_take(shard, shard->lanes != NULL ? pawl__deadlines_take(shard)
                                                             : shard_tick_of(shard, shard->now_ns));
    if (shard->lanes != NULL)
        handled += pawl__lanes_take(shard);
    if (shard->lanes != NULL && shard->durable != NULL)
        pawl__lane_keeper_take(shard);
    return handled + end(shard);
}

int pawl__turn_create(struct shard *shard, const struct pawl_task_spec *spec,
                      struct pawl_task *task)
{
    int error;

    begin(shard);
    error = pawl__create_direct(shard, spec, task);
    end(shard);
    park_wake(&shard->park); /* who waits for the shard may have to wait less long now */
    return error;
}

bool pawl__shard_has_work(struct shard *shard)
{
    bool inside = true;
    bool outside = true;

    if (load_acquire(&shard->mode) != load_relaxed(&shard->acknowledged))
        return true;
    if (shard->durable != NULL) {
        if (pawl__durable_has_work(shard))
            return true;
        /* What the journal has no room for cannot be taken: room comes with a wake. */
        inside = pawl__durable_gate(shard, true);
        outside = pawl__durable_gate(shard, false);
    }
    /* With work inside the host turns on; a thread looks at its backlogs from time to time. */
    return shard->house_more ||
           (inside && (fifo_count(&shard->local) > 0 || fifo_count(&shard->local_control) > 0 ||
                       pawl__exchange_has_work(shard))) ||
           (outside && pawl__ports_have_work(shard)) ||
           (shard->lanes != NULL &&
            (pawl__lanes_have_work(shard) ||
             (shard->durable != NULL && pawl__lane_keeper_has_work(shard))));
}

uint64_t pawl__shard_timeout_ns(struct shard *shard)
{
    const uint64_t tick = wheel_next(&shard->wheel);
    uint64_t timeout_ns = UINT64_MAX;
    uint32_t held = 0;
    uint64_t now, at;

    if (shard->durable != NULL) {
        timeout_ns = pawl__durable_timeout_ns(shard);
        held = fifo_count(&shard->durable->held_events); /* they wait for a wake */
    }
    if (shard->lanes != NULL) {
        const uint64_t lanes_ns = pawl__lanes_timeout_ns(shard);

        timeout_ns = lanes_ns < timeout_ns ? lanes_ns : timeout_ns;
    }
    if (shard->inflight > held)
        return timeout_ns < BACKLOG_LOOK_NS ? timeout_ns : BACKLOG_LOOK_NS;
    if (tick == UINT64_MAX)
        return timeout_ns;
    now = shard->clock->now_ns(shard->clock->user) - shard->open_ns;
    at = tick > UINT64_MAX / shard->tick_ns ? UINT64_MAX : tick * shard->tick_ns;
    at = at > now ? at - now : 0;
    return at < timeout_ns ? at : timeout_ns;
}

void pawl__shard_settle(struct shard *shard)
{
    const uint64_t bytes = arena_bytes(&shard->arena);

    if (shard->arena_peak < bytes + ARENA_TRIM_MIN)
        return;
    pawl__arena_trim(&shard->arena);
    shard->arena_peak = bytes;
}

/* Sleeps until there is work, a timer is due or the mode changes. */
static void sleep(struct shard *shard, bool timers)
{
    uint64_t timeout_ns;

    pawl__shard_settle(shard);
    pawl__park_prepare(&shard->park);
    if (load_acquire(&shard->mode) != load_relaxed(&shard->acknowledged) ||
        (timers && pawl__shard_has_work(shard))) {
        pawl__park_cancel(&shard->park);
        return;
    }
    timeout_ns = timers ? pawl__shard_timeout_ns(shard) : UINT64_MAX;
    if (timeout_ns == 0) {
        pawl__park_cancel(&shard->park);
        return;
    }
    shard->count.parks++;
    pawl__park_wait(&shard->park, timeout_ns);
}

/* An idle shard looks on for spin_ns, for work that comes at once, and then sleeps. */
static void rest(struct shard *shard)
{
    const uint64_t now = shard->now_ns;

    if (shard->idle_since_ns == 0)
        shard->idle_since_ns = now;
    if (now - shard->idle_since_ns < shard->spin_ns) {
        cpu_relax();
        return;
    }
    sleep(shard, true);
    shard->idle_since_ns = 0;
}

void pawl__shard_main(void *argument)
{
    struct shard *shard = argument;

    for (;;) {
        const uint32_t mode = load_acquire(&shard->mode);

        /* Only a change is stored: senders read the same line for the park word. */
        if (unlikely(load_relaxed(&shard->acknowledged) != mode)) { /* relaxed: our own */
            if (mode == SHARD_PAUSED && shard->durable != NULL)
                pawl__durable_pause(shard);
            store_release(&shard->acknowledged, mode);
        }
        if (mode == SHARD_STOPPED)
            break;
        if (mode != SHARD_RUNNING) {
            sleep(shard, false);
            continue;
        }
        if (pawl__turn(shard) > 0)
            shard->idle_since_ns = 0;
        else
            rest(shard);
    }
}

static void cancel_inside(struct shard *shard, const struct pawl_event *event)
{
    if ((event->flags & PAWL_EVENT_DURABLE) != 0) {
        event_drop_buffer(
            event); /* it is in the journal, and will be handled when the store is opened */
        return;
    }
    pawl__report_failed(shard, event, 0, event->task, -ECANCELED);
}

static void cancel_outside(struct shard *shard, const struct pawl_event *event, uint16_t source)
{
    pawl__report_failed(shard, event, source, event->task, -ECANCELED);
}

static void cancel_deferred(struct shard *shard)
{
    const struct slab *slots = &shard->table.slots;

    for (uint32_t i = slab_next_used(slots, 1); i < slab_top(slots);
         i = slab_next_used(slots, i + 1)) {
        struct slot *slot = table_slot(&shard->table, i);

        /* relaxed: the shard is not turned any more. */
        const uint64_t head = load_relaxed(&slot->head);

        if (slot_deferred(slot) == 0 || (head_flags(head) & (SLOT_ALIVE | SLOT_RESERVED)) == 0)
            continue;
        if (shard->machines[head_machine(head)].machine->durability != PAWL_DURABILITY_MEMORY)
            pawl__deferral_stop(shard, i);
        else
            pawl__deferral_end(shard, slot, shard_task(shard, slot, i), -ECANCELED);
    }
}

void pawl__shard_cancel_all(struct shard *shard)
{
    pawl__ports_drain(shard, cancel_outside);
    pawl__exchange_drain(shard, cancel_inside);
    cancel_deferred(shard);
    pawl__ports_flush(shard);
    publish(shard);
}
