/*
 * step.c - run to completion: find the transition, run its functions on a private copy of the
 * context, handle what they raise, and commit all of it or nothing.
 *
 * Layer: shard. Owner: the shard. All that can fail (memory, limits, handlers) fails before the commit;
 * the commit cannot. Readers see the step between two even versions of the slot's head and nothing
 * in between (task/slot.h).
 */
#include "shard/step.h"

#include <errno.h>
#include <string.h>

#include "shard/claim.h"
#include "shard/create.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/shard.h"
#include "shard/timers.h"
#include "task/event.h"

static const struct shard_machine *machine_of(const struct shard *shard, const struct slot *slot)
{
    return &shard->machines[head_machine(load_relaxed(&slot->head))]; /* relaxed: our own */
}

static void step_begin(struct shard *shard, uint32_t slot_index, const struct pawl_event *event,
                       uint16_t source)
{
    struct pawl_step *step = &shard->step;
    struct slot *slot = table_slot(&shard->table, slot_index);
    const struct shard_machine *machine = machine_of(shard, slot);
    const uint16_t state = head_state(load_relaxed(&slot->head)); /* relaxed: our own */

    DEBUG_CHECK(step->staged == 0 && step->posts_count == 0 && step->raises_count == 0);
    step->slot = slot;
    step->slot_index = slot_index;
    step->machine = machine->machine;
    step->event = event;
    step->source = source;
    step->staged = machine->staged;
    step->transitions = 0;
    step->state = state;
    step->history = slot->history;
    step->external = false;
    words_load(step->context, table_context(&shard->table, slot, machine->context_size),
               machine->context_words);
    /* relaxed, all four: the monitor only needs to see them some time (watch/monitor.c). */
    store_relaxed(&shard->busy_where,
                  (uint32_t)head_machine(load_relaxed(&slot->head)) << 24 | state);
    store_relaxed(&shard->busy_event, event->code);
    store_relaxed(&shard->busy_steps, load_relaxed(&shard->busy_steps) + 1);
    store_relaxed(&shard->busy_task, shard_task(shard, slot, slot_index).id);
}

/* Leaves the step empty for the next one. */
static void step_reset(struct shard *shard)
{
    struct pawl_step *step = &shard->step;

    step->staged = 0;
    step->raises_done = 0;
    step->posts_count = 0;
    step->timers_count = 0;
    step->raises_count = 0;
    step->creates_count = 0;
    step->kept_count = 0;
    step->timer_node = 0;
    store_relaxed(&shard->busy_task, 0); /* relaxed: as in step_begin */
}

int pawl__step_fail(struct pawl_step *step, int error)
{
    if ((step->staged & STAGED_ERROR) == 0) {
        step->staged |= STAGED_ERROR;
        step->error = error;
    }
    return step->error;
}

/* What a taken transition leaves behind apart from its functions. */
static void take_effects(struct pawl_step *step, const struct transition *transition)
{
    step->transitions++;
    step->state = transition->target;
    step->history =
        (uint16_t)((step->history & ~transition->history_mask) | transition->history_bits);
    if ((transition->flags & TRANSITION_EXTERNAL) != 0)
        step->external = true;
    if ((transition->flags & TRANSITION_FINAL) != 0)
        step->staged |= STAGED_FINISH;
    for (uint32_t i = 0; i < transition->timers_count; i++) {
        const struct timer_change *change = &transition->timers[i];
        const int error = change->delay_ns == 0
                              ? pawl__timer_stage_cancel(step, change->timer)
                              : pawl__timer_stage_arm(step, change->timer, change->delay_ns);

        if (error != 0)
            pawl__step_fail(step, error);
    }
}

static void take(struct pawl_step *step, const struct transition *transition,
                 const struct pawl_event *event)
{
    step->transition = transition;
    for (uint32_t i = 0; i < transition->functions_count; i++) {
        transition->functions[i](step, step->context, event);
        if ((step->staged & (STAGED_ERROR | STAGED_DEFER)) != 0)
            return;
    }
    take_effects(step, transition);
}

/* The transition for an event in the step's present state: the first whose guard agrees. */
static const struct transition *choose(const struct pawl_step *step, const struct pawl_event *event)
{
    const struct pawl_machine *machine = step->machine;
    const size_t cell = (size_t)step->state * machine->events_count + event->code;
    const struct transition *transition = &machine->transitions[machine->cells[cell]];

    while (transition->guard != NULL && !transition->guard(step, step->context, event))
        transition = &machine->transitions[transition->next];
    if (transition->kind == TRANSITION_VARIANTS) {
        const unsigned child =
            (unsigned)(step->history >> transition->variant_shift) & transition->variant_mask;

        transition = &machine->transitions[transition->variants + child];
    }
    return transition;
}

/* A raised event that the new state defers is kept like an outside one. */
static void keep_raised(struct pawl_step *step, const struct pawl_event *event)
{
    struct shard *shard = step->shard;
    const uint32_t count = pawl__deferral_count(shard, step->slot) + step->kept_count;
    uint32_t kept;

    if (count >= step->machine->deferred_max || step->kept_count == RAISE_CHAIN_MAX ||
        (shard->recalling && shard->recall_kept == RAISE_CHAIN_MAX)) {
        pawl__step_fail(step, -ENOSPC);
        return;
    }
    kept = pawl__deferral_create(shard, event, 0);
    if (kept == 0) {
        pawl__step_fail(step, -ENOMEM);
        return;
    }
    step->kept[step->kept_count++] = kept;
    shard->recall_kept++;
    step->staged |= STAGED_KEPT;
}

static void handle(struct pawl_step *step, const struct pawl_event *event, bool raised)
{
    const struct transition *transition = choose(step, event);

    switch ((enum transition_kind)transition->kind) {
    case TRANSITION_TAKE:
        take(step, transition, event);
        break;
    case TRANSITION_VARIANTS:
        CHECK(!"variants are resolved");
        break;
    case TRANSITION_IGNORE:
        step->shard->count.ignored++;
        break;
    case TRANSITION_REFUSE:
        pawl__step_fail(step, -EPROTO);
        break;
    case TRANSITION_DEFER:
        if (raised)
            keep_raised(step, event);
        else
            step->staged |= STAGED_DEFER;
        break;
    }
}

/* Raised events come before the next outside event, in the order raised. */
static void handle_raised(struct pawl_step *step)
{
    const uint32_t stop = STAGED_ERROR | STAGED_DEFER | STAGED_FINISH;

    while (step->raises_done < step->raises_count && (step->staged & stop) == 0) {
        const struct pawl_event event = step->raises[step->raises_done++];

        handle(step, &event, true);
    }
    /* A task that ends has no use for the rest of its own events. */
    if ((step->staged & stop) == STAGED_FINISH)
        step->shard->count.ignored += step->raises_count - step->raises_done;
}

static void take_back(struct shard *shard)
{
    struct pawl_step *step = &shard->step;

    for (uint32_t i = 0; i < step->posts_count; i++)
        event_drop_buffer(&step->posts[i]);
    pawl__timers_abort(step);
    for (uint32_t i = 0; i < step->creates_count; i++) {
        const struct slot *slot = table_slot(&shard->table, step->creates[i]);

        pawl__table_release(&shard->table, step->creates[i], machine_of(shard, slot)->context_size);
    }
    for (uint32_t i = 0; i < step->kept_count; i++)
        pawl__deferral_destroy(shard, step->kept[i]);
}

static bool is_durable(const struct pawl_step *step)
{
    return unlikely(step->machine->durability != PAWL_DURABILITY_MEMORY);
}

/* Nothing of the step takes effect; its sender is told why. */
static enum verdict step_abort(struct shard *shard, struct pawl_task task)
{
    struct pawl_step *step = &shard->step;
    const struct pawl_event *event = step->event;
    const uint16_t source = step->source;
    const uint32_t timer_node = step->timer_node;
    struct slot *slot = step->slot;
    const int error = step->error;

    take_back(shard);
    step_reset(shard);
    if (timer_node != 0 && (error == -ENOSPC || error == -ENOMEM)) {
        /* A timer has no sender who could try again. */
        pawl__timer_retry(shard, slot, timer_node);
        shard->count.aborted++;
        return VERDICT_REFUSED;
    }
    if (timer_node != 0) {
        pawl__timer_drop(shard, timer_node);
        if (is_durable(step) && pawl__durable_admit(shard, 0, ROOM_END) == 0)
            pawl__durable_timers(shard, step->slot_index);
    }
    if (error == -EPROTO)
        shard->count.refused++;
    else
        shard->count.aborted++;
    pawl__report_failed(shard, event, source, task, error);
    return VERDICT_REFUSED;
}

/* The event is put aside; nothing else of the step takes effect. */
static enum verdict step_defer(struct shard *shard, struct pawl_task task)
{
    struct pawl_step *step = &shard->step;
    const struct pawl_event *event = step->event;
    struct slot *slot = step->slot;
    const uint32_t timer_node = step->timer_node;
    uint32_t kept = 0;

    if (pawl__deferral_count(shard, slot) < step->machine->deferred_max &&
        (!is_durable(step) || pawl__durable_may_defer(shard, slot, event)))
        kept = pawl__deferral_create(shard, event, step->source);
    if (kept == 0) {
        step->error = -ENOSPC;
        return step_abort(shard, task);
    }
    take_back(shard);
    step_reset(shard);
    if (timer_node != 0)
        pawl__timer_drop(shard, timer_node);
    if (shard->recall_asked)
        pawl__deferral_keep_asked(shard, kept);
    pawl__deferral_append(shard, slot, kept);
    shard->count.deferred++;
    if (is_durable(step)) {
        pawl__durable_defer(shard, step->slot_index, kept);
        if (timer_node != 0)
            pawl__durable_timers(shard, step->slot_index);
        if (step->machine->durability == PAWL_DURABILITY_SYNC)
            shard->durable->frame_sync = true;
    }
    return VERDICT_DEFERRED;
}

static void commit_slot(struct shard *shard)
{
    struct pawl_step *step = &shard->step;
    struct slot *slot = step->slot;
    const struct shard_machine *machine = machine_of(shard, slot);
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */

    slot_write_begin(slot, head);
    words_store(table_context(&shard->table, slot, machine->context_size), step->context,
                machine->context_words);
    if (step->external)
        store_release(&slot->since, shard->since);
    slot->history = step->history;
    /* A task that ends is never seen alive in its last state. */
    slot_write_end(slot, head, (step->staged & STAGED_FINISH) != 0 ? 0 : SLOT_ALIVE, step->state);
}

void pawl__step_end_task(struct shard *shard, struct pawl_task task)
{
    const uint32_t index = id_slot(task);
    struct slot *slot = table_slot(&shard->table, index);
    const uint32_t context_size = machine_of(shard, slot)->context_size;

    pawl__timers_end(shard, slot);
    pawl__deferral_end(shard, slot, task, -ECANCELED);
    claim_end(shard, slot);
    pawl__table_release(&shard->table, index, context_size);
    shard->count.ended++;
}

/* The new tasks that need no first step of their own. */
static void bear(struct shard *shard)
{
    const struct pawl_step *step = &shard->step;

    for (uint32_t i = 0; i < step->creates_count; i++) {
        struct slot *slot = table_slot(&shard->table, step->creates[i]);
        const struct transition *birth = machine_of(shard, slot)->birth;

        if (birth != NULL)
            pawl__create_alive(shard, step->creates[i], birth);
    }
}

/* Slots that the step has given out and whose first step is an event of its own. */
static void record_reserved(struct shard *shard)
{
    const struct pawl_step *step = &shard->step;

    for (uint32_t i = 0; i < step->creates_count; i++) {
        const struct shard_machine *machine =
            machine_of(shard, table_slot(&shard->table, step->creates[i]));

        if (machine->birth != NULL || machine->machine->durability == PAWL_DURABILITY_MEMORY)
            continue;
        pawl__durable_step(shard, step->creates[i], PAWL_CODE_CREATE, ENTRY_RESERVED);
        slot_set_recorded(table_slot(&shard->table, step->creates[i]));
        shard->durable->tasks++;
    }
}

/* What a durable step has changed goes to the journal, and with it what it sends. */
static void record(struct shard *shard)
{
    const struct pawl_step *step = &shard->step;
    const bool ends = (step->staged & STAGED_FINISH) != 0;
    const uint32_t slot_index = step->slot_index;
    unsigned flags = step->external ? ENTRY_EXTERNAL : 0;

    if (step->event->code == PAWL_CODE_CREATE) {
        flags |= ENTRY_CREATED;
        shard->durable->tasks += !step->was_recorded; /* a reserved one counts already */
    }
    if (ends)
        flags |= ENTRY_ENDED;
    pawl__durable_step(shard, slot_index, step->event->code, flags);
    if (!ends && ((step->staged & STAGED_TIMERS) != 0 || step->timer_node != 0))
        pawl__durable_timers(shard, slot_index);
    for (uint32_t i = 0; i < step->kept_count && !ends; i++)
        pawl__durable_defer(shard, slot_index, step->kept[i]);
    record_reserved(shard);
    for (uint32_t i = 0; i < step->posts_count; i++)
        pawl__durable_send(shard, slot_index, &step->posts[i]);
}

static enum verdict step_commit(struct shard *shard, struct pawl_task task)
{
    struct pawl_step *step = &shard->step;
    struct slot *slot = step->slot;
    const uint32_t staged = step->staged;
    const struct pawl_event *event = step->event;
    const bool external = step->external;
    const uint64_t answer = (staged & STAGED_ANSWER) != 0 ? step->answer : 0;
    enum verdict verdict = external ? VERDICT_CHANGED : VERDICT_STEPPED;
    uint32_t version;

    commit_slot(shard);
    version = head_version(load_relaxed(&slot->head)) >> 1; /* relaxed: our own */
    if ((staged & STAGED_TIMERS) != 0)
        pawl__timers_commit(step);
    for (uint32_t i = 0; i < step->kept_count; i++)
        pawl__deferral_append(shard, slot, step->kept[i]);
    bear(shard);
    if (unlikely((staged & STAGED_CLAIM) != 0))
        pawl__claim_commit(shard, step);
    if (is_durable(step)) {
        record(shard);
    } else {
        for (uint32_t i = 0; i < step->posts_count; i++)
            exchange_route(shard, &step->posts[i]);
    }
    shard->count.posted += step->posts_count;
    shard->count.deferred += step->kept_count;
    shard->count.transitions += step->transitions;
    if (step->timer_node != 0)
        pawl__timer_drop(shard, step->timer_node);
    if ((staged & STAGED_FINISH) != 0) {
        pawl__step_end_task(shard, task);
        verdict = VERDICT_ENDED;
    }
    pawl__report_done(shard, event, step->source, task, step->state, version, answer);
    step_reset(shard);
    return verdict;
}

static enum verdict step_end(struct shard *shard)
{
    struct pawl_step *step = &shard->step;
    const struct pawl_task task = shard_task(shard, step->slot, step->slot_index);

    if (step_has_claim(step) && (step->staged & STAGED_ERROR) == 0) {
        const int error = pawl__claim_stage(shard, step);

        if (unlikely(error != 0))
            pawl__step_fail(step, error);
    }
    if (is_durable(step) && (step->staged & STAGED_ERROR) == 0) {
        const int error = pawl__durable_admit_step(shard, step);

        if (unlikely(error != 0))
            pawl__step_fail(step, error);
    }
    if ((step->staged & STAGED_ERROR) != 0)
        return step_abort(shard, task);
    if ((step->staged & STAGED_DEFER) != 0)
        return step_defer(shard, task);
    return step_commit(shard, task);
}

static void handle_cancel(struct pawl_step *step, const struct pawl_event *event)
{
    const struct pawl_machine *machine = step->machine;
    struct pawl_event delivered = *event;

    if (machine->cancel_event == UINT16_MAX) {
        take(step, &machine->transitions[machine->states[step->state].cancel], event);
        return;
    }
    delivered.code = machine->cancel_event;
    handle(step, &delivered, false);
}

enum verdict pawl__step(struct shard *shard, uint32_t slot_index, const struct pawl_event *event,
                        uint16_t source)
{
    struct pawl_step *step = &shard->step;

    step_begin(shard, slot_index, event, source);
    if (event->code == PAWL_CODE_CANCEL)
        handle_cancel(step, event);
    else if (likely(event->code < step->machine->events_count))
        handle(step, event, false);
    else
        pawl__step_fail(step, -EINVAL);
    handle_raised(step);
    return step_end(shard);
}

enum verdict pawl__step_finish_plain(struct shard *shard, uint32_t slot_index,
                                     const struct pawl_event *event,
                                     const struct transition *transition)
{
    struct pawl_step *step = &shard->step;

    step->slot = table_slot(&shard->table, slot_index);
    step->slot_index = slot_index;
    step->event = event;
    step->transitions = 0;
    step->external = false;
    step->state = transition->state;
    step->history = step->slot->history;
    if ((step->staged & (STAGED_ERROR | STAGED_DEFER)) == 0) {
        take_effects(step, transition);
        handle_raised(step);
    }
    return step_end(shard);
}

enum verdict pawl__step_create(struct shard *shard, uint32_t slot_index,
                               const struct pawl_event *event, uint16_t source)
{
    struct pawl_step *step = &shard->step;
    struct slot *slot;
    uint32_t context_size;
    enum verdict verdict;

    step_begin(shard, slot_index, event, source);
    slot = step->slot;
    context_size = machine_of(shard, slot)->context_size;
    /* relaxed: our own */
    step->was_recorded = (head_flags(load_relaxed(&slot->head)) & SLOT_RECORDED) != 0;
    take(step, &step->machine->transitions[step->machine->create], event);
    step->external = true; /* the initial state is entered, whatever it is */
    handle_raised(step);
    if ((step->staged & STAGED_DEFER) != 0) /* there is no state yet that could keep it */
        pawl__step_fail(step, -EINVAL);
    if ((step->staged & STAGED_ERROR) == 0)
        shard->count.created++;
    verdict = step_end(shard);
    if (verdict == VERDICT_CHANGED && slot_deferred(slot) != 0) {
        /* What came before this step, of which the journal may not have heard. */
        pawl__deferral_recall(shard, slot_index, true);
    } else if (verdict == VERDICT_REFUSED) {
        if (step->was_recorded && pawl__durable_admit(shard, 0, ROOM_END) == 0)
            pawl__durable_step(shard, slot_index, PAWL_CODE_CREATE, ENTRY_ENDED);
        pawl__deferral_end(shard, slot, event->task, -ESTALE);
        claim_end(shard, slot);
        pawl__table_release(&shard->table, slot_index, context_size);
    }
    return verdict;
}
