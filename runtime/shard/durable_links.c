/*
 * durable_links.c - what this shard has taken from its peers, and what they have confirmed.
 *
 * Layer: shard. Owner: the shard. A peer keeps a copy of what it has sent until it reads here that
 * the event is durably handled; nobody sends a message for that. `safe` follows `taken` by frames,
 * because only a closed frame says what was taken: one frame is waited for at a time.
 */
#include <string.h>

#include "shard/durable.h"
#include "shard/shard.h"
#include "task/event.h"

void pawl__durable_taken(struct shard *shard, const struct pawl_event *events, uint32_t count)
{
    struct durable *durable = shard->durable;
    uint64_t durables = 0;

    for (uint32_t i = 0; i < count; i++)
        durables += (events[i].flags & PAWL_EVENT_DURABLE) != 0;
    if (durables == 0)
        return;
    durable->links[durable->peer].taken[durable->klass] += durables;
    if (!durable->is_dirty[durable->peer]) {
        durable->is_dirty[durable->peer] = true;
        durable->dirty[durable->dirty_count++] = durable->peer;
    }
}

/* What a peer has durably handled need not be kept any more. */
static void forget_confirmed(struct shard *shard, uint32_t peer, unsigned klass)
{
    struct durable_link *link = &shard->durable->links[peer];
    const struct durable *other = shard->shards[peer]->durable;
    /* (D2) pairs with (D1) in publish_safe */
    const uint64_t safe = load_acquire(&other->links[shard->number].safe[klass]);

    while (link->confirmed[klass] < safe && fifo_count(&link->kept[klass]) > 0) {
        uint32_t run = 1;
        struct pawl_event event;

        memcpy(&event, fifo_peek(&link->kept[klass], &run), sizeof(event));
        fifo_release(&link->kept[klass], 1);
        event_drop_buffer(&event);
        link->confirmed[klass]++;
    }
}

/*
 * Tells a peer how many of its events are durably handled: what was taken at some frame, once that
 * frame is durable; then the same again with the present frame.
 */
static void publish_safe(struct durable *durable, struct durable_link *link)
{
    bool behind = false;

    for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++) {
        if (link->closing_serial != 0 && link->closing_serial <= durable->seen)
            store_release(&link->safe[klass], link->closing[klass]); /* (D1) pairs with (D2) */
        /* relaxed: only this shard writes it */
        behind |= load_relaxed(&link->safe[klass]) != link->taken[klass];
    }
    if (link->closing_serial > durable->seen)
        return;
    link->closing_serial = 0;
    if (!behind)
        return;
    for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
        link->closing[klass] = link->taken[klass];
    link->closing_serial = durable->journal.steps.serial;
}

/*
 * A shard that has failed refuses what arrives, and has closed no frame that says what it had taken
 * before: it tells nobody that anything is safe.
 */
void pawl__durable_links(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const bool failed = load_acquire(&durable->journal.failed) != 0; /* (J2) pairs with (J1) */

    for (uint32_t peer = 0; peer < shard->shard_count; peer++) {
        struct durable_link *link = &durable->links[peer];

        if (peer == shard->number)
            continue;
        if (!failed)
            publish_safe(durable, link);
        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
            if (fifo_count(&link->kept[klass]) > 0)
                forget_confirmed(shard, peer, klass);
    }
}
