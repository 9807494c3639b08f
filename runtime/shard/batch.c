/*
 * batch.c - many events at once: fetch all their tasks' lines, look every transition up, then step
 * the tasks grouped by transition.
 *
 * Layer: shard. Owner: the shard.
 *
 * Two things bound a shard that steps event after event: waiting for memory, and mispredicted calls.
 * Fetching the lines of a whole batch first hides the one (100 M tasks run nearly as fast as a few
 * thousand); running all events of one transition together mends the other, because the branch
 * predictor then sees the same handler again and again (twice the speed). Fetching the next batch while
 * this one steps, in either stage and with batches of 32 to 256, was tried and is slower: 34 to 46 ns a
 * step at 100 M tasks instead of 19 to 24.
 *
 * Grouping must not reorder one task's events. A slot carries the mark of the batch that last met it;
 * the first event of a task in a batch may be grouped, all others go to the list `later`, which is
 * handled after the groups: in the same way once more, or one by one, in order. Whatever is not the
 * plain case (a stale id, a creation, a cancel) goes there too, and marks its slot as well. A mark that
 * happens to be equal after 2^16 batches only sends an event to `later`.
 *
 * A group is a list through batch.next that begins in shard.group_head; it runs last in, first out,
 * which costs one store an event. The order between tasks is nobody's promise.
 *
 * Progress: bounded by BATCH_MAX and by the handlers.
 */
#include "shard/claim.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/shard.h"

#define REGROUP_MIN 8u /* fewer events are not worth a round of grouping */

#define STAGED_QUICK (STAGED_POSTS | STAGED_ANSWER)          /* and still the short way */
#define FLAGS_QUIET  (PAWL_EVENT_CONTROL | PAWL_EVENT_TIMER) /* handled with no word to anybody */

/* Stage one: every task's line is on its way before the first is needed. */
static void fetch(struct shard *shard, const struct pawl_event *events, uint32_t count)
{
    const uint32_t top = slab_top(&shard->table.slots);

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = id_slot(events[i].task);
        struct slot *slot = NULL;

        if (likely(index < top)) {
            slot = slab_at_sized(&shard->table.slots, index, sizeof(struct slot));
            __builtin_prefetch(slot, 1);
        }
        shard->batch.slots[i + 1] = slot;
    }
}

static void fetch_context(const struct shard *shard, const struct shard_machine *machine,
                          const struct slot *slot)
{
    if (unlikely(machine->context_size > CONTEXT_INLINE))
        __builtin_prefetch(
            slab_at(&shard->table.blocks[block_class(machine->context_size)],
                    (uint32_t)load_relaxed(&slot->context[0])), /* relaxed: our own */
            1);
}

/*
 * Whether an event may be grouped: the first of its task in this batch, and nothing out of the way. A
 * task that is not alive has a machine without events (shard_machine_of).
 */
static bool is_groupable(const struct slot *slot, const struct shard_machine *machine,
                         const struct pawl_event *event, uint16_t mark)
{
    /* Without short cuts: one branch that is nearly always taken the same way. relaxed: our own. */
    return ((unsigned)(slot->mark != mark) &
            (unsigned)(load_relaxed(&slot->generation) == id_generation(event->task)) &
            (unsigned)(event->code < machine->events_count)) != 0;
}

/*
 * Stage two: the transition of every event that may be grouped, in lists by transition; the rest goes
 * to `later`. Returns how many that are. positions: which of the events, NULL for the first count; may
 * be `later` itself, which is written behind where it is read.
 */
static inline __attribute__((always_inline)) uint32_t
look_up(struct shard *shard, const struct pawl_event *events, const uint16_t *positions,
        uint32_t count, uint32_t *touched_count)
{
    struct batch *batch = &shard->batch;
    const uint16_t mark = ++shard->batch_mark;
    uint32_t later = 0;
    uint32_t touched = 0;

    for (uint32_t n = 0; n < count; n++) {
        const uint32_t i = positions != NULL ? positions[n] : n;
        const struct pawl_event *event = &events[i];
        struct slot *slot = batch->slots[i + 1];
        const struct shard_machine *machine;
        uint32_t transition;
        uint16_t behind;
        uint64_t head;
        bool groupable;

        if (unlikely(slot == NULL)) {
            batch->later[later++] = (uint16_t)i;
            continue;
        }
        head = load_relaxed(&slot->head); /* relaxed: the owner reads its own */
        machine = shard_machine_of(shard, head);
        groupable = is_groupable(slot, machine, event, mark);
        slot->mark = mark;
        if (unlikely(!groupable)) {
            batch->later[later++] = (uint16_t)i;
            continue;
        }
        transition = machine->transitions_first +
                     machine->cells[head_state(head) * machine->events_count + event->code];
        fetch_context(shard, machine, slot);
        behind = shard->group_head[transition];
        shard->group_head[transition] = (uint16_t)(i + 1);
        batch->next[i + 1] = behind;
        batch->touched[touched] = transition;
        touched += behind == GROUP_END;
    }
    *touched_count = touched;
    return later;
}

/* What all steps of a plain group have in common; set again after any other step came between. */
static void enter_group(struct shard *shard, const struct shard_machine *machine,
                        const struct transition *transition, uint16_t source)
{
    struct pawl_step *step = &shard->step;

    step->machine = machine->machine;
    step->transition = transition;
    step->source = source;
    /* relaxed, all: the monitor only needs to see them some time. */
    store_relaxed(&shard->busy_where,
                  (uint32_t)(machine - shard->machines) << 24 | transition->state);
    store_relaxed(&shard->busy_event, transition->event);
    store_relaxed(&shard->busy_steps, load_relaxed(&shard->busy_steps) + 1);
}

static void finish_staged(struct shard *shard, uint32_t slot_index, const struct pawl_event *event,
                          const struct transition *transition)
{
    deferral_follow(shard, slot_index,
                    pawl__step_finish_plain(shard, slot_index, event, transition));
}

/* What a plain step has staged, where it is no more than posts and an answer; it has been committed. */
static inline __attribute__((always_inline)) uint64_t send_staged(struct shard *shard,
                                                                  uint32_t slot_index, bool durable)
{
    struct pawl_step *step = &shard->step;
    const uint64_t answer = (step->staged & STAGED_ANSWER) != 0 ? step->answer : 0;

    for (uint32_t i = 0; i < step->posts_count; i++) {
        if (durable)
            pawl__durable_send(shard, slot_index, &step->posts[i]);
        else
            exchange_route(shard, &step->posts[i]);
    }
    shard->count.posted += step->posts_count;
    step->posts_count = 0;
    step->staged = 0;
    return answer;
}

/* What follows the commit of a plain step, where there is anything to do. */
static inline __attribute__((always_inline)) void
after(struct shard *shard, const struct pawl_event *event, uint16_t source,
      const struct shard_machine *machine, const struct transition *transition, uint64_t head,
      struct slot *slot, bool durable)
{
    const uint64_t answer = send_staged(shard, id_slot(event->task), durable);

    if ((event->flags & ~FLAGS_QUIET) != 0)
        pawl__report_done(shard, event, source, event->task, transition->target,
                          head_version(head + 2 * HEAD_VERSION_ONE) >> 1, answer);
    if ((transition->flags & TRANSITION_EXTERNAL) != 0 && slot_deferred(slot) != 0) {
        pawl__deferral_recall(shard, id_slot(event->task), false);
        enter_group(shard, machine, transition, source);
    }
}

static __attribute__((noinline)) void after_plain(struct shard *shard,
                                                  const struct pawl_event *event, uint16_t source,
                                                  const struct shard_machine *machine,
                                                  const struct transition *transition,
                                                  uint64_t head, struct slot *slot)
{
    after(shard, event, source, machine, transition, head, slot, false);
}

static __attribute__((noinline)) void after_durable(struct shard *shard,
                                                    const struct pawl_event *event, uint16_t source,
                                                    const struct shard_machine *machine,
                                                    const struct transition *transition,
                                                    uint64_t head, struct slot *slot)
{
    after(shard, event, source, machine, transition, head, slot, true);
}

static __attribute__((noinline)) void admit_staged(struct shard *shard,
                                                   const struct pawl_event *event)
{
    int error;

    shard->step.event = event;
    shard->step.slot = table_slot(&shard->table, id_slot(event->task));
    error = pawl__durable_admit_step(shard, &shard->step);
    if (error != 0)
        pawl__step_fail(&shard->step, error);
}

static inline const uint64_t *plain_words(const _Atomic uint64_t *context)
{
    return (const uint64_t *)(uintptr_t)context;
}

/* The entry of a plain step; journal.easy has said that there is room. */
static inline __attribute__((always_inline)) void
record_plain(struct shard *shard, const struct shard_machine *machine, const struct slot *slot,
             const struct pawl_event *event, const struct transition *transition, uint64_t head,
             const uint64_t *context, uint32_t words, bool external)
{
    const size_t bytes = sizeof(struct entry_step) + 8u * words;
    struct durable *durable = shard->durable;
    struct entry_step *entry = stream_append(&durable->journal.steps, bytes);

    durable->frame_sync |= machine->machine->durability == PAWL_DURABILITY_SYNC;
    entry->header = (struct entry_header){.words = (uint16_t)(bytes / 8),
                                          .type = ENTRY_STEP,
                                          .flags = external ? ENTRY_EXTERNAL : 0,
                                          .slot = id_slot(event->task)};
    entry->generation = id_generation(event->task);
    entry->version = head_version(head) + 2;
    entry->state = transition->target;
    entry->history = slot->history;
    entry->code = event->code;
    entry->machine = machine->stored;
    entry->zero = 0;
    for (uint32_t i = 0; i < words; i++) /* a few: a call would cost more */
        entry->words[i] = context[i];
}

/*
 * The steps of one group of a plain transition: no guard, no state timer, at most one function. Inlined
 * once for each kind of context, so that copying one is straight code.
 */
static inline __attribute__((always_inline)) void
run_plain(struct shard *shard, const struct pawl_event *events, uint16_t source,
          const struct shard_machine *machine, const struct transition *transition, uint32_t first,
          uint32_t words, bool is_block, pawl_action_fn *function, bool durable)
{
    struct pawl_step *step = &shard->step;
    struct batch *batch = &shard->batch;
    const bool external = (transition->flags & TRANSITION_EXTERNAL) != 0;
    const uint32_t since = shard->since;
    const uint32_t entry_words = machine->context_words;
    uint64_t steps = 0;

    for (uint32_t at = first; at != GROUP_END; at = batch->next[at]) {
        const struct pawl_event *event = &events[at - 1];
        struct slot *slot = batch->slots[at];
        const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
        _Atomic uint64_t *context =
            is_block ? table_context(&shard->table, slot, machine->context_size) : slot->context;

        /* relaxed: the monitor only needs to see it some time. */
        store_relaxed(&shard->busy_task, event->task.id);
        if (function != NULL) {
            words_load(step->context, context, words);
            function(step, step->context, event);
            if (durable && unlikely(step->staged != 0 || (external && slot_deferred(slot) != 0)))
                admit_staged(shard, event);
            if (unlikely((step->staged & ~STAGED_QUICK) != 0)) {
                finish_staged(shard, id_slot(event->task), event, transition);
                enter_group(shard, machine, transition, source);
                continue;
            }
        }
        if (durable)
            record_plain(shard, machine, slot, event, transition, head,
                         function != NULL ? step->context : plain_words(context), entry_words,
                         external);
        slot_write_begin(slot, head);
        if (function != NULL)
            words_store(context, step->context, words);
        if (external)
            store_release(&slot->since, since);
        slot_write_end(slot, head, SLOT_ALIVE, transition->target);
        steps++;
        if (unlikely(((event->flags & ~FLAGS_QUIET) | (external ? slot_deferred(slot) : 0) |
                      step->staged) != 0)) {
            if (durable)
                after_durable(shard, event, source, machine, transition, head, slot);
            else
                after_plain(shard, event, source, machine, transition, head, slot);
        }
    }
    shard->count.transitions += steps;
}

static inline __attribute__((always_inline)) void
run_plain_kind(struct shard *shard, const struct pawl_event *events, uint16_t source,
               const struct shard_machine *machine, const struct transition *transition,
               uint32_t first, bool durable)
{
    const uint32_t size = machine->context_size;

    if (transition->functions_count == 0)
        run_plain(shard, events, source, machine, transition, first, 0, size > CONTEXT_INLINE, NULL,
                  durable);
    else if (size > CONTEXT_INLINE)
        run_plain(shard, events, source, machine, transition, first, machine->context_words, true,
                  transition->functions[0], durable);
    else
        run_plain(shard, events, source, machine, transition, first, CONTEXT_WORDS, false,
                  transition->functions[0], durable);
}

static __attribute__((noinline)) void
run_durable_group(struct shard *shard, const struct pawl_event *events, uint16_t source,
                  const struct shard_machine *machine, const struct transition *transition,
                  uint32_t first)
{
    run_plain_kind(shard, events, source, machine, transition, first, true);
}

/* One group of a plain transition: the loop above, for each kind of context and of machine. */
static void run_plain_group(struct shard *shard, const struct pawl_event *events, uint16_t source,
                            const struct shard_machine *machine,
                            const struct transition *transition, uint32_t first)
{
    if (unlikely(machine->machine->durability != PAWL_DURABILITY_MEMORY))
        run_durable_group(shard, events, source, machine, transition, first);
    else
        run_plain_kind(shard, events, source, machine, transition, first, false);
}

/*
 * The steps of one group of a last transition: the function, if there is one, and the end. What it has
 * written to the context nobody will ever see.
 */
static void run_last_group(struct shard *shard, const struct pawl_event *events, uint16_t source,
                           const struct shard_machine *machine, const struct transition *transition,
                           uint32_t first)
{
    struct pawl_step *step = &shard->step;

    for (uint32_t at = first; at != GROUP_END; at = shard->batch.next[at]) {
        const struct pawl_event *event = &events[at - 1];
        struct slot *slot = shard->batch.slots[at];
        const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
        const uint32_t version = head_version(head + 2 * HEAD_VERSION_ONE) >> 1;
        uint64_t answer;

        /* relaxed: the monitor only needs to see it some time. */
        store_relaxed(&shard->busy_task, event->task.id);
        if (transition->functions_count > 0) {
            words_load(step->context, table_context(&shard->table, slot, machine->context_size),
                       machine->context_words);
            transition->functions[0](step, step->context, event);
            if (unlikely((step->staged & ~STAGED_QUICK) != 0)) {
                finish_staged(shard, id_slot(event->task), event, transition);
                enter_group(shard, machine, transition, source);
                continue;
            }
        }
        shard->count.transitions++;
        answer = send_staged(shard, 0, false);
        pawl__step_end_task(shard, event->task);
        pawl__report_done(shard, event, source, event->task, transition->target, version, answer);
    }
}

/* Durable tasks take it while the journal has room to spare, and not to their end. */
static bool takes_short_way(const struct shard *shard, const struct shard_machine *machine,
                            const struct transition *transition)
{
    if (likely(machine->machine->durability == PAWL_DURABILITY_MEMORY))
        return (transition->flags & (TRANSITION_PLAIN | TRANSITION_LAST)) != 0;
    /* (Without a function there is nothing to refuse in: a recall's entries are admitted by the long way.) */
    return (transition->flags & TRANSITION_PLAIN) != 0 && shard->durable->easy &&
           (transition->functions_count > 0 || (transition->flags & TRANSITION_EXTERNAL) == 0 ||
            slab_live(&shard->deferrals) == 0);
}

static void run_group(struct shard *shard, const struct pawl_event *events, uint16_t source,
                      uint32_t transition_all, uint32_t first)
{
    const struct slot *slot = shard->batch.slots[first];
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const struct shard_machine *machine = shard_machine_of(shard, head);
    const struct transition *transition =
        &machine->machine->transitions[transition_all - machine->transitions_first];

    if (!takes_short_way(shard, machine, transition)) {
        for (uint32_t at = first; at != GROUP_END; at = shard->batch.next[at]) {
            const struct pawl_event *event = &events[at - 1];
            const uint32_t index = id_slot(event->task);

            if (claim_is_short(shard, machine, shard->batch.slots[at], transition))
                pawl__claim_step(shard, machine, shard->batch.slots[at], event, source, transition);
            else
                deferral_follow(shard, index, pawl__step(shard, index, event, source));
        }
        return;
    }
    enter_group(shard, machine, transition, source);
    if ((transition->flags & TRANSITION_LAST) != 0)
        run_last_group(shard, events, source, machine, transition, first);
    else
        run_plain_group(shard, events, source, machine, transition, first);
    store_relaxed(&shard->busy_task, 0); /* relaxed: as above */
}

/*
 * What grouping has left over, in order: several events of one task, and whatever is out of the way. A
 * plain step takes the short way here too, as a group of its own.
 */
static void run_later(struct shard *shard, const struct pawl_event *events, uint16_t source,
                      uint32_t count)
{
    struct batch *batch = &shard->batch;

    for (uint32_t n = 0; n < count; n++) {
        const uint32_t i = batch->later[n];
        const struct pawl_event *event = &events[i];
        const struct slot *slot = batch->slots[i + 1];
        /* relaxed: the owner reads its own. A task that is not alive has a machine without events. */
        const uint64_t head = slot != NULL ? load_relaxed(&slot->head) : 0;
        const struct shard_machine *machine = shard_machine_of(shard, head);
        const struct transition *transition;

        if (event->code < machine->events_count &&
            load_relaxed(&slot->generation) == id_generation(event->task)) {
            transition =
                &machine->machine->transitions
                     [machine->cells[head_state(head) * machine->events_count + event->code]];
            if ((transition->flags & TRANSITION_PLAIN) != 0 &&
                takes_short_way(shard, machine, transition)) {
                batch->next[i + 1] = GROUP_END;
                enter_group(shard, machine, transition, source);
                run_plain_group(shard, events, source, machine, transition, i + 1);
                continue;
            }
            if (claim_is_short(shard, machine, slot, transition)) {
                pawl__claim_step(shard, machine, batch->slots[i + 1], event, source, transition);
                continue;
            }
        }
        pawl__dispatch(shard, event, source);
    }
    store_relaxed(&shard->busy_task, 0); /* relaxed: the monitor only needs to see it some time */
}

static void run_groups(struct shard *shard, const struct pawl_event *events, uint16_t source,
                       uint32_t touched)
{
    for (uint32_t i = 0; i < touched; i++) {
        const uint32_t transition = shard->batch.touched[i];
        const uint32_t first = shard->group_head[transition];

        shard->group_head[transition] = GROUP_END;
        run_group(shard, events, source, transition, first);
    }
}

static void batch_once(struct shard *shard, const struct pawl_event *events, uint32_t count,
                       uint16_t source)
{
    const uint16_t *positions = shard->batch.later;
    uint32_t before = count;
    uint32_t touched, later;

    fetch(shard, events, count);
    shard->count.events += count;
    if (count < REGROUP_MIN) {
        for (uint32_t i = 0; i < count; i++)
            shard->batch.later[i] = (uint16_t)i;
        run_later(shard, events, source, count);
        return;
    }
    later = look_up(shard, events, NULL, count, &touched);
    run_groups(shard, events, source, touched);
    /* The rest is grouped again as long as that is worth the while: with few tasks it mostly is. */
    while (later >= REGROUP_MIN && later <= before / 2) {
        before = later;
        later = look_up(shard, events, positions, before, &touched);
        run_groups(shard, events, source, touched);
    }
    run_later(shard, events, source, later);
}

void pawl__batch(struct shard *shard, const struct pawl_event *events, uint32_t count,
                 uint16_t source)
{
    while (count > 0) {
        const uint32_t now = count < BATCH_MAX ? count : BATCH_MAX;

        shard->fresh_ns = 0; /* what delays count from is not before what is here was posted */
        pawl__exchange_open_local(shard);
        batch_once(shard, events, now, source);
        pawl__exchange_close_local(shard);
        if (unlikely(shard->durable != NULL) && source == 0)
            pawl__durable_taken(shard, events, now);
        events += now;
        count -= now;
    }
}

uint32_t pawl__batch_ring(struct shard *shard, struct spsc *ring, uint16_t source, uint32_t quota)
{
    uint32_t taken = 0;

    while (taken < quota) {
        uint32_t run = quota - taken;
        const struct cell *cells = spsc_peek(ring, &run);

        if (run == 0)
            break;
        if (unlikely(shard->durable != NULL)) {
            if (!pawl__durable_gate(shard, source == 0))
                break;
            /* The gate is for one batch. */
            run = durable_run(shard->durable, run < BATCH_MAX ? run : BATCH_MAX);
        }
        pawl__batch(shard, (const struct pawl_event *)(const void *)cells, run, source);
        spsc_release(ring, run);
        taken += run;
    }
    return taken;
}
