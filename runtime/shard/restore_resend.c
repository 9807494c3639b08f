#include "shard/restore_resend.h"

#include <errno.h>

#include "base/planted.h"
#include "shard/exchange.h"
#include "task/event.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The creation of a task that a step has reserved: the slot waits for it. */
static int check_creation(struct resend *resend, struct image *image,
                          const struct pawl_event *event)
{
    const uint32_t to = id_shard(event->task);
    const struct table *table = &resend->runtime->shards[to]->table;
    const uint32_t index = id_slot(event->task);
    const struct slot *slot = index < slab_top(&table->slots) ? table_slot(table, index) : NULL;

    /* relaxed: nobody reads yet. */
    if (slot == NULL || index == 0 ||
        (head_flags(load_relaxed(&slot->head)) & SLOT_RESERVED) == 0 ||
        load_relaxed(&slot->generation) != id_generation(event->task))
        return pawl__image_fail(image, -EBADMSG,
                                "the creation of task %016llx is under way, but nothing is "
                                "reserved for it: the writer was at fault, not the disk",
                                (unsigned long long)event->task.id);
    resend->reserved[to]--;
    return 0;
}

/* An event as it is to be sent now, and who sends it. */
static int prepare(struct resend *resend, uint32_t from, const struct entry_send *entry,
                   struct pawl_event *event, uint32_t *sender)
{
    struct image *image = &resend->images[from];
    int error = pawl__restore_event(&entry->event, event);

    if (error != 0)
        return pawl__image_fail(image, error, "there is no memory for an event");
    *sender = from;
    event->flags &= (uint16_t)~PAWL_EVENT_COMPLETE;
    event->flags |= PAWL_EVENT_DURABLE;
    if (resend->move != NULL)
        error = pawl__move_event(resend->move, from, event, sender);
    else if (event->code == PAWL_CODE_CREATE && id_generation(event->task) == 0)
        error = pawl__restore_machines_request(resend->machines, image, event);
    if (error == 0 && event->code == PAWL_CODE_CREATE && id_generation(event->task) != 0)
        error = check_creation(resend, image, event);
    if (error != 0)
        event_drop_buffer(event);
    return error;
}

/* Keeps the event until it is confirmed, and queues it. */
static int send_one(struct resend *resend, struct image *image, const struct pawl_event *event,
                    uint32_t sender)
{
    struct shard *shard = resend->runtime->shards[sender];
    const uint32_t to = id_shard(event->task);
    const enum durable_class klass =
        (event->flags & PAWL_EVENT_CONTROL) != 0 ? DURABLE_CONTROL : DURABLE_ORDINARY;
    struct durable_link *link = &shard->durable->links[to];

    if (!pawl__chunks_ensure(&shard->chunks, 2) || !exchange_ensure(shard, to)) {
        event_drop_buffer(event);
        return pawl__image_fail(image, -ENOMEM, "there is no memory for events under way");
    }
    if (resend->move != NULL)
        link->sent[klass]++;
    if (to != sender) {
        if ((event->flags & PAWL_EVENT_BUFFER) != 0)
            pawl_buffer_ref(event_buffer(event));
        CHECK(fifo_push(&link->kept[klass], event)); /* a chunk was made sure of */
    }
    exchange_route(shard, event);
    resend->resent[sender]++;
    return 0;
}

static int send_all(struct resend *resend, uint32_t from, struct sends *sends, uint64_t taken)
{
    struct image *image = &resend->images[from];
    uint64_t expected = taken + 1;
    const struct entry_send *entry;
    int error = 0;

    while (error == 0 && (entry = sends_first(sends)) != NULL) {
        struct pawl_event event;
        uint32_t sender = from;

        if (entry->number != expected && !planted(PLANTED_DUPLICATES_KEPT))
            return pawl__image_fail(image, -EBADMSG,
                                    "events %llu to %llu that it sent are missing: the writer was "
                                    "at fault, not the disk",
                                    (unsigned long long)expected,
                                    (unsigned long long)entry->number - 1);
        expected = entry->number + 1;
        if (!planted(PLANTED_NOT_RESENT)) {
            error = prepare(resend, from, entry, &event, &sender);
            if (error == 0)
                error = send_one(resend, image, &event, sender);
        }
        pawl__sends_trim(sends, expected - 1);
    }
    return error;
}

/* In place: what both sides know of the link goes on. */
static void settle_link(struct resend *resend, uint32_t from, uint32_t to, unsigned klass,
                        uint64_t sent, uint64_t taken)
{
    struct durable_link *sender = &resend->runtime->shards[from]->durable->links[to];
    struct durable_link *receiver = &resend->runtime->shards[to]->durable->links[from];

    sender->sent[klass] = sent;
    sender->confirmed[klass] = taken;
    receiver->taken[klass] = taken;
    store_relaxed(&receiver->safe[klass], taken); /* relaxed: nobody reads yet */
}

static int resend_class(struct resend *resend, uint32_t from, uint32_t to, unsigned klass)
{
    struct image *image = &resend->images[from];
    struct image_link *link = &image->links[to];
    struct sends *sends = &link->sends[klass];
    const uint64_t taken = resend->images[to].links[from].taken[klass];

    if (from != to && link->confirmed[klass] > taken)
        return pawl__image_fail(image, -EBADMSG,
                                "shard %u has handled %llu of its events, but had said %llu: the "
                                "files of shard %u are an older copy; put the right ones back",
                                to, (unsigned long long)taken,
                                (unsigned long long)link->confirmed[klass], to);
    if (resend->move == NULL)
        settle_link(resend, from, to, klass, larger(sends->last, taken), taken);
    if (!planted(PLANTED_DUPLICATES_KEPT))
        pawl__sends_trim(sends, taken);
    return send_all(resend, from, sends, taken);
}

static void drop(struct shard *shard, const struct pawl_event *event)
{
    (void)shard;
    event_drop_buffer(event);
}

static int check_reserved(struct resend *resend)
{
    CHECK(resend->images_count > 0);
    for (uint32_t i = 0; i < resend->runtime->shard_count; i++)
        if (resend->reserved[i] != 0 && !planted(PLANTED_NOT_RESENT))
            return pawl__image_fail(&resend->images[i % resend->images_count], -EBADMSG,
                                    "%llu tasks wait for a creation that is not under way: the "
                                    "writer was at fault, not the disk",
                                    (unsigned long long)resend->reserved[i]);
    return 0;
}

int pawl__resend(struct resend *resend)
{
    const uint32_t count = resend->images_count;
    int error = 0;

    for (uint32_t from = 0; from < count && error == 0; from++)
        for (uint32_t to = 0; to < count && error == 0; to++)
            for (unsigned klass = 0; klass < DURABLE_CLASSES && error == 0; klass++)
                error = resend_class(resend, from, to, klass);
    if (error == 0)
        error = check_reserved(resend);
    for (uint32_t i = 0; i < resend->runtime->shard_count; i++) {
        struct shard *shard = resend->runtime->shards[i];

        pawl__exchange_flush(shard); /* a shard that only sent must not need a reason to turn */
        if (error != 0)
            pawl__exchange_drain(shard, drop);
    }
    return error;
}
