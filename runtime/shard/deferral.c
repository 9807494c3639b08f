#include "shard/deferral.h"

#include <errno.h>

static struct deferral *at(const struct shard *shard, uint32_t deferral)
{
    return slab_at(&shard->deferrals, deferral);
}

uint32_t pawl__deferral_create(struct shard *shard, const struct pawl_event *event, uint16_t source)
{
    const uint32_t made = slab_alloc(&shard->deferrals);

    if (made != 0)
        *at(shard, made) = (struct deferral){.event = *event, .source = source};
    return made;
}

void pawl__deferral_destroy(struct shard *shard, uint32_t deferral)
{
    slab_free(&shard->deferrals, deferral);
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

/*
 * Each round goes over all that is kept; what is deferred again keeps its place. A round that changes
 * the state puts the rest, which is younger, behind and begins anew. Every new round has consumed at
 * least one event, and steps of a recall may raise and keep at most RAISE_CHAIN_MAX new ones: so it ends.
 * (Compiling refuses machines that would go on; this is the second lock on that door.)
 */
static void recall(struct shard *shard, uint32_t slot_index)
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

            shard->count.recalled++;
            verdict = pawl__step(shard, slot_index, &kept.event, kept.source);
            /* Only now: for a drain that looks, an event is deferred until what it led to is under way. */
            slab_free(&shard->deferrals, oldest);
            switch (verdict) {
            case VERDICT_CHANGED:
                again = true;
                break;
            case VERDICT_ENDED:
                /* The slot may be another task's already: the rest is reported from here. */
                while (ring != 0) {
                    const uint32_t rest = take_oldest(shard, &ring);
                    const struct deferral lost = *at(shard, rest);

                    slab_free(&shard->deferrals, rest);
                    pawl__report_failed(shard, &lost.event, lost.source, task, -ECANCELED);
                }
                return;
            case VERDICT_STEPPED:
            case VERDICT_DEFERRED:
            case VERDICT_REFUSED:
                break;
            }
        }
        append_ring(shard, slot, ring);
    }
}

void pawl__deferral_recall(struct shard *shard, uint32_t slot_index)
{
    shard->recalling = true;
    shard->recall_kept = 0;
    recall(shard, slot_index);
    shard->recalling = false;
}

void pawl__deferral_end(struct shard *shard, struct slot *slot, struct pawl_task task, int error)
{
    uint32_t ring = slot_deferred(slot);

    slot_set_deferred(slot, 0);
    while (ring != 0) {
        const uint32_t oldest = take_oldest(shard, &ring);
        const struct deferral lost = *at(shard, oldest);

        slab_free(&shard->deferrals, oldest);
        pawl__report_failed(shard, &lost.event, lost.source, task, error);
    }
}
