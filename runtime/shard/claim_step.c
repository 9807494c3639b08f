/*
 * claim_step.c - the short way of a step of a machine with lane states: straight through where the
 * transition is known, has no guard, no state timers and no history, and where its functions have
 * done no more than most do.
 *
 * Layer: shard. Owner: the shard. It is to pawl__step what a batch's plain groups are for other
 * machines; a lease and a report take half the instructions this way. What its functions stage
 * beyond a claim, an answer, an outcome or posts is finished by the long way, as there.
 */
#include "shard/claim.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/lanes.h"
#include "shard/timers.h"

#define STAGED_SHORT (STAGED_CLAIM | STAGED_ANSWER | STAGED_GOOD | STAGED_BAD | STAGED_POSTS)

static void enter(struct shard *shard, const struct shard_machine *machine, struct slot *slot,
                  const _Atomic uint64_t *context, const struct pawl_event *event, uint16_t source,
                  const struct transition *transition)
{
    struct pawl_step *step = &shard->step;

    step->slot = slot;
    step->slot_index = id_slot(event->task);
    step->machine = machine->machine;
    step->transition = transition;
    step->event = event;
    step->source = source;
    step->staged = machine->staged;
    step->transitions = 0;
    step->state = transition->state;
    step->history = slot->history;
    step->external = false;
    words_load(step->context, context, machine->context_words);
    /* relaxed, all: the monitor only needs to see them some time (watch/monitor.c). */
    store_relaxed(&shard->busy_where,
                  (uint32_t)head_machine(load_relaxed(&slot->head)) << 24 | transition->state);
    store_relaxed(&shard->busy_event, event->code);
    store_relaxed(&shard->busy_steps, load_relaxed(&shard->busy_steps) + 1);
    store_relaxed(&shard->busy_task, event->task.id);
}

/* What may still fail; true: nothing has. */
static bool stage(struct shard *shard, struct pawl_step *step, const struct transition *transition)
{
    int error;

    step->state = transition->target;
    if ((transition->flags & TRANSITION_FINAL) != 0)
        step->staged |= STAGED_FINISH;
    error = pawl__claim_prepare(shard, step);
    if (unlikely(error != 0)) {
        step->staged &= ~STAGED_FINISH;
        pawl__step_fail(step, error);
    }
    return error == 0;
}

static void record(struct shard *shard, const struct pawl_step *step, bool timers)
{
    const bool ends = (step->staged & STAGED_FINISH) != 0;
    const bool external = (step->transition->flags & TRANSITION_EXTERNAL) != 0;

    pawl__durable_step(shard, step->slot_index, step->event->code,
                       (external ? ENTRY_EXTERNAL : 0) | (ends ? ENTRY_ENDED : 0));
    if (timers && !ends)
        pawl__durable_timers(shard, step->slot_index);
}

static void send(struct shard *shard, struct pawl_step *step, bool durable)
{
    for (uint32_t i = 0; i < step->posts_count; i++) {
        if (durable)
            pawl__durable_send(shard, step->slot_index, &step->posts[i]);
        else
            exchange_route(shard, &step->posts[i]);
    }
    shard->count.posted += step->posts_count;
    step->posts_count = 0;
}

static void commit(struct shard *shard, const struct shard_machine *machine,
                   _Atomic uint64_t *context)
{
    const enum lease_timer timer = shard->lanes->staged.timer;
    struct pawl_step *step = &shard->step;
    struct slot *slot = step->slot;
    const struct pawl_event *event = step->event;
    const struct transition *transition = step->transition;
    const struct pawl_task task = event->task;
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const bool durable = machine->machine->durability != PAWL_DURABILITY_MEMORY;
    const bool external = (transition->flags & TRANSITION_EXTERNAL) != 0;
    const bool ends = (step->staged & STAGED_FINISH) != 0;
    const uint64_t answer = (step->staged & STAGED_ANSWER) != 0 ? step->answer : 0;

    slot_write_begin(slot, head);
    words_store(context, step->context, machine->context_words);
    if (external)
        store_release(&slot->since, shard->since);
    /* A task that ends is never seen alive in its last state. */
    slot_write_end(slot, head, ends ? 0 : SLOT_ALIVE, transition->target);
    if (unlikely(slot->timers != 0) && timer != LEASE_TIMER_KEEP && !ends) /* else all end */
        pawl__timer_cancel(shard, slot, machine->machine->lease_timer);
    pawl__claim_commit(shard, step);
    if (unlikely(durable))
        record(shard, step, timer != LEASE_TIMER_KEEP);
    if (unlikely(step->posts_count > 0))
        send(shard, step, durable);
    shard->count.transitions++;
    step->staged = 0;
    if (ends)
        pawl__step_end_task(shard, task);
    pawl__report_done(shard, event, step->source, task, transition->target,
                      head_version(head + 2 * HEAD_VERSION_ONE) >> 1, answer);
    store_relaxed(&shard->busy_task, 0); /* relaxed: as in enter */
    if (external && !ends && unlikely(slot_deferred(slot) != 0))
        pawl__deferral_recall(shard, id_slot(task), false);
}

void pawl__claim_step(struct shard *shard, const struct shard_machine *machine, struct slot *slot,
                      const struct pawl_event *event, uint16_t source,
                      const struct transition *transition)
{
    struct pawl_step *step = &shard->step;
    _Atomic uint64_t *context = table_context(&shard->table, slot, machine->context_size);
    const bool durable = machine->machine->durability != PAWL_DURABILITY_MEMORY;

    DEBUG_CHECK(step->staged == 0 && step->timer_node == 0);
    enter(shard, machine, slot, context, event, source, transition);
    for (uint32_t i = 0; i < transition->functions_count; i++) {
        transition->functions[i](step, step->context, event);
        if ((step->staged & (STAGED_ERROR | STAGED_DEFER)) != 0)
            break;
    }
    /* Posts of a durable step need room in the journal; the long way sees to it. */
    if ((step->staged & ~STAGED_SHORT) != 0 || (durable && step->posts_count > 0) ||
        !stage(shard, step, transition))
        deferral_follow(shard, step->slot_index,
                        pawl__step_finish_plain(shard, step->slot_index, event, transition));
    else
        commit(shard, machine, context);
}
