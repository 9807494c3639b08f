#include "shard/deferral.h"

#include <errno.h>

#include "shard/durable.h"
#include "task/event.h"

static struct deferral *at(const struct shard *shard, uint32_t deferral)
{
    return slab_at(&shard->deferrals, deferral);
}

/*
 * Who waits for an answer is told when there will be none. Of what nobody waits for a drain must
 * think; of what a port had posted before a crash nobody was promised anything.
 */
static bool is_unasked(const struct pawl_event *event, bool restored)
{
    return (event->flags & (PAWL_EVENT_ASK | PAWL_EVENT_COMPLETE)) == 0 &&
           (!restored || (event->flags & PAWL_EVENT_DURABLE) != 0);
}

static void count_unasked(struct shard *shard, const struct deferral *deferral, int change)
{
    if (!deferral->unasked)
        return;
    /* relaxed: our own */
    store_release(&shard->unasked, load_relaxed(&shard->unasked) + (uint32_t)change);
    if (change > 0)
        store_relaxed(&shard->unasked_task, deferral->event.task.id); /* relaxed: for a report */
}

uint32_t pawl__deferral_create(struct shard *shard, const struct pawl_event *event, uint16_t source)
{
    const uint32_t made = slab_alloc(&shard->deferrals);

    if (made == 0)
        return 0;
    *at(shard, made) =
        (struct deferral){.event = *event, .source = source, .unasked = is_unasked(event, false)};
    count_unasked(shard, at(shard, made), 1);
    return made;
}

void pawl__deferral_keep_asked(struct shard *shard, uint32_t deferral)
{
    count_unasked(shard, at(shard, deferral), -1);
    at(shard, deferral)->unasked = false;
}

void pawl__deferral_destroy(struct shard *shard, uint32_t deferral)
{
    count_unasked(shard, at(shard, deferral), -1);
    slab_free(&shard->deferrals, deferral);
}

void pawl__deferral_count_unasked(struct shard *shard)
{
    const struct slab *slots = &shard->table.slots;

    if (slab_live(&shard->deferrals) == 0)
        return;
    for (uint32_t i = slab_next_used(slots, 1); i < slab_top(slots);
         i = slab_next_used(slots, i + 1)) {
        const struct slot *slot = table_slot(&shard->table, i);
        /* relaxed: nobody turns the shard yet */
        const uint64_t head = load_relaxed(&slot->head);
        uint32_t next = 0;

        if ((head_flags(head) & (SLOT_ALIVE | SLOT_RESERVED)) == 0)
            continue;
        while ((next = pawl__deferral_restore_next(&shard->deferrals, slot, next)) != 0)
            count_unasked(shard, at(shard, next), 1);
    }
}

uint32_t pawl__deferral_count(const struct shard *shard, const struct slot *slot)
{
    return slot_deferred(slot) == 0 ? 0 : at(shard, slot_deferred(slot))->count;
}

void pawl__deferral_append(struct shard *shard, struct slot *slot, uint32_t deferral)
{
    struct deferral *newest = at(shard, deferral);

    newest->count = pawl__deferral_count(shard, slot) + 1;
    if (slot_deferred(slot) == 0) {
        newest->next = deferral;
    } else {
        struct deferral *last = at(shard, slot_deferred(slot));

        newest->next = last->next;
        last->next = deferral;
    }
    slot_set_deferred(slot, deferral);
}

/* Takes the oldest out of the ring that *newest names; there is one. */
static uint32_t take_oldest(const struct shard *shard, uint32_t *newest)
{
    const uint32_t oldest = at(shard, *newest)->next;

    if (oldest == *newest) {
        *newest = 0;
    } else {
        at(shard, *newest)->next = at(shard, oldest)->next;
        at(shard, *newest)->count--;
    }
    return oldest;
}

/* Puts a ring of younger deferrals behind what the task keeps. */
static void append_ring(struct shard *shard, struct slot *slot, uint32_t ring)
{
    while (ring != 0)
        pawl__deferral_append(shard, slot, take_oldest(shard, &ring));
}

/* Whether the task's state defers an event whatever guards say: then it need not be tried. */
static bool stays(const struct shard *shard, const struct slot *slot, const struct deferral *kept)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const struct shard_machine *machine = &shard->machines[head_machine(head)];
    const size_t cell = (size_t)head_state(head) * machine->events_count + kept->event.code;

    return kept->event.code < machine->events_count &&
           machine->machine->transitions[machine->cells[cell]].kind == TRANSITION_DEFER;
}

/*
 * Each round goes over all that is kept; what is deferred again keeps its place. A round that
 * changes the state puts the rest, which is younger, behind and begins anew. Every new round has
 * consumed at least one event, and steps of a recall may raise and keep at most RAISE_CHAIN_MAX new
 * ones: so it ends. (Compiling refuses machines that would go on; this is the second lock on that
 * door.)
 */
static bool recall(struct shard *shard, uint32_t slot_index, bool *tried)
{
    struct slot *slot = table_slot(&shard->table, slot_index);
    bool again = true;

    while (again && slot_deferred(slot) != 0) {
        const struct pawl_task task = shard_task(shard, slot, slot_index);
        uint32_t ring = slot_deferred(slot);

        slot_set_deferred(slot, 0);
        again = false;
        while (ring != 0 && !again) {
            const uint32_t oldest = take_oldest(shard, &ring);
            const struct deferral kept = *at(shard, oldest);
            enum verdict verdict;

            if (stays(shard, slot, &kept)) {
                pawl__deferral_append(shard, slot, oldest);
                continue;
            }
            *tried = true;
            shard->count.recalled++;
            shard->recall_asked = !kept.unasked;
            verdict = pawl__step(shard, slot_index, &kept.event, kept.source);
            shard->recall_asked = false;
            /*
             * Only now: for a drain that looks, an event is deferred until what it led to is under
             * way.
             */
            pawl__deferral_destroy(shard, oldest);
            switch (verdict) {
            case VERDICT_CHANGED:
                again = true;
                break;
            case VERDICT_ENDED:
                /* The slot may be another task's already: the rest is reported from here. */
                while (ring != 0) {
                    const uint32_t rest = take_oldest(shard, &ring);
                    const struct deferral lost = *at(shard, rest);

                    pawl__deferral_destroy(shard, rest);
                    pawl__report_failed(shard, &lost.event, lost.source, task, -ECANCELED);
                }
                return false;
            case VERDICT_STEPPED:
            case VERDICT_DEFERRED:
            case VERDICT_REFUSED:
                break;
            }
        }
        append_ring(shard, slot, ring);
    }
    return true;
}

static bool is_durable(const struct shard *shard, const struct slot *slot)
{
    /* relaxed: our own */
    return shard->machines[head_machine(load_relaxed(&slot->head))].machine->durability !=
           PAWL_DURABILITY_MEMORY;
}

void pawl__deferral_recall(struct shard *shard, uint32_t slot_index, bool unwritten)
{
    bool tried = unwritten;

    shard->recalling = true;
    shard->recall_kept = 0;
    /* One entry says what is still kept; what was recalled has left entries of its own. */
    if (recall(shard, slot_index, &tried) && tried &&
        is_durable(shard, table_slot(&shard->table, slot_index)) &&
        !durable_has_failed(shard->durable))
        pawl__durable_deferrals(shard, slot_index);
    shard->recalling = false;
}

void pawl__deferral_end(struct shard *shard, struct slot *slot, struct pawl_task task, int error)
{
    uint32_t ring = slot_deferred(slot);

    slot_set_deferred(slot, 0);
    while (ring != 0) {
        const uint32_t oldest = take_oldest(shard, &ring);
        const struct deferral lost = *at(shard, oldest);

        pawl__deferral_destroy(shard, oldest);
        pawl__report_failed(shard, &lost.event, lost.source, task, error);
    }
}

/* Restoring */

bool pawl__deferral_restore_add(struct slab *deferrals, struct slot *slot,
                                const struct pawl_event *event)
{
    const uint32_t made = slab_alloc(deferrals);
    struct deferral *newest;

    if (made == 0)
        return false;
    newest = slab_at(deferrals, made);
    *newest = (struct deferral){
        .event = *event, .next = made, .count = 1, .unasked = is_unasked(event, true)};
    if (slot_deferred(slot) != 0) {
        struct deferral *last = slab_at(deferrals, slot_deferred(slot));

        newest->next = last->next;
        newest->count = last->count + 1;
        last->next = made;
    }
    slot_set_deferred(slot, made);
    return true;
}

uint32_t pawl__deferral_restore_next(const struct slab *deferrals, const struct slot *slot,
                                     uint32_t deferral)
{
    if (deferral == 0)
        deferral = slot_deferred(slot); /* the newest, behind which the oldest stands */
    else if (deferral == slot_deferred(slot))
        return 0;
    return deferral == 0 ? 0 : ((struct deferral *)slab_at(deferrals, deferral))->next;
}

void pawl__deferral_restore_cut(struct slab *deferrals, struct slot *slot, uint32_t kept)
{
    const struct deferral *newest;
    uint32_t last = slot_deferred(slot);
    uint32_t from, count;

    if (last == 0)
        return;
    newest = slab_at(deferrals, last);
    count = newest->count;
    if (count <= kept)
        return;
    for (uint32_t i = 0; i < kept; i++)
        last = ((struct deferral *)slab_at(deferrals, last))->next;
    from = ((struct deferral *)slab_at(deferrals, last))->next;
    if (kept > 0) { /* the last that is kept closes the ring */
        struct deferral *end = slab_at(deferrals, last);

        end->next = newest->next;
        end->count = kept;
    }
    slot_set_deferred(slot, kept > 0 ? last : 0);
    for (uint32_t i = kept; i < count; i++) {
        struct deferral *dropped = slab_at(deferrals, from);
        const uint32_t next = dropped->next;

        event_drop_buffer(&dropped->event);
        slab_free(deferrals, from);
        from = next;
    }
}

/* Whether any of them is a port's. */
static bool has_complete(const struct shard *shard, const struct slot *slot)
{
    const uint32_t newest = slot_deferred(slot);
    uint32_t next = newest;

    do {
        next = at(shard, next)->next;
        if ((at(shard, next)->event.flags & PAWL_EVENT_COMPLETE) != 0)
            return true;
    } while (next != newest);
    return false;
}

/* Takes the ports' events out and reports them; the others stay, in order. */
static void cancel_complete(struct shard *shard, struct slot *slot, struct pawl_task task,
                            int error)
{
    uint32_t ring = slot_deferred(slot);

    slot_set_deferred(slot, 0);
    while (ring != 0) {
        const uint32_t oldest = take_oldest(shard, &ring);
        const struct deferral lost = *at(shard, oldest);

        if ((lost.event.flags & PAWL_EVENT_COMPLETE) == 0) {
            pawl__deferral_append(shard, slot, oldest);
            continue;
        }
        pawl__deferral_destroy(shard, oldest);
        pawl__report_failed(shard, &lost.event, lost.source, task, error);
    }
}

/*
 * What a port posted is cancelled, and told so when the journal says so too; where that cannot be,
 * its fate is unknown. What tasks have sent stays in the journal, and comes back with the task.
 */
void pawl__deferral_stop(struct shard *shard, uint32_t slot_index)
{
    struct slot *slot = table_slot(&shard->table, slot_index);
    const struct pawl_task task = shard_task(shard, slot, slot_index);
    uint32_t ring;

    if (has_complete(shard, slot)) {
        const bool room = pawl__durable_make_room(shard) == 0;

        if (room)
            shard->durable->frame_sync = true;
        cancel_complete(shard, slot, task, room ? -ECANCELED : -EIO);
        if (room)
            pawl__durable_deferrals(shard, slot_index);
    }
    ring = slot_deferred(slot);
    slot_set_deferred(slot, 0);
    while (ring != 0) {
        const uint32_t oldest = take_oldest(shard, &ring);

        event_drop_buffer(&at(shard, oldest)->event);
        pawl__deferral_destroy(shard, oldest);
    }
}
