/*
 * durable.c - the entries that say what a step has changed.
 *
 * Layer: shard. Owner: the shard. Everything here happens after all that may fail:
 * pawl__durable_admit has found room before the commit.
 */
#include "shard/durable.h"

#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "shard/create.h"
#include "shard/deadlines.h"
#include "shard/exchange.h"
#include "shard/shard.h"
#include "task/event.h"

/*
 * Room beyond which a step is refused: entries of the plain steps that still follow in its batch,
 * and of the turn's end.
 */
#define ROOM_KEPT ((size_t)BATCH_MAX * (sizeof(struct entry_step) + CONTEXT_MAX + 64))

/* All that a task's deferred events may take: they are written down together. */
#define DEFERRED_BYTES_MAX (1u << 20)

/* Generations promised at a time; each opening of a store uses up as many. */
#define FLOOR_AHEAD 64u

int pawl__durable_admit(struct shard *shard, size_t bytes, enum durable_room room)
{
    struct durable *durable = shard->durable;
    struct journal *journal = &durable->journal;
    uint64_t wanted;

    if (unlikely(load_acquire(&journal->failed) != 0)) /* (J2) pairs with (J1) */
        return -EIO;
    if (stream_room(&journal->steps) <
        bytes + ROOM_KEPT + DURABLE_LINK_BYTES * (size_t)shard->shard_count)
        return -ENOSPC;
    if (likely(load_acquire(&journal->full) == 0) || room == ROOM_INSIDE) /* (J2) */
        return 0;
    wanted = stream_bytes(&journal->steps) + bytes + STORE_BLOCK;
    if (room != ROOM_END)
        wanted += durable_reserve(durable);
    return wanted <= load_acquire(&journal->limit_bytes) ? 0 : -ENOSPC; /* (J2) */
}

/* The deferral after `at`, which is the oldest when `at` is the newest. */
static const struct deferral *deferral_next(const struct shard *shard, uint32_t *at)
{
    *at = ((struct deferral *)slab_at(&shard->deferrals, *at))->next;
    return slab_at(&shard->deferrals, *at);
}

/* What a task that keeps deferred events writes when its state changes. */
static size_t deferred_bytes(const struct shard *shard, const struct slot *slot)
{
    const uint32_t newest = slot_deferred(slot);
    uint32_t at = newest;
    size_t bytes = 0;

    if (newest == 0)
        return 0;
    do {
        bytes += offsetof(struct entry_defer, event) +
                 durable_event_bytes(&deferral_next(shard, &at)->event);
    } while (at != newest);
    return bytes;
}

bool pawl__durable_may_defer(const struct shard *shard, const struct slot *slot,
                             const struct pawl_event *event)
{
    const size_t bytes = durable_event_bytes(event);

    return bytes <= sizeof(struct entry_event) + EVENT_PAYLOAD_MAX &&
           deferred_bytes(shard, slot) + bytes <= DEFERRED_BYTES_MAX;
}

int pawl__durable_admit_step(struct shard *shard, const struct pawl_step *step)
{
    const bool ends = (step->staged & STAGED_FINISH) != 0;
    /* Its sender was told that it is on its way. */
    const bool inside = (step->event->flags & (PAWL_EVENT_DURABLE | PAWL_EVENT_TIMER)) != 0;
    size_t bytes = sizeof(struct entry_step);

    if (!ends)
        bytes += 8u * ((step->machine->context_size + 7) / 8) + sizeof(struct entry_key) +
                 KEY_SIZE_MAX + sizeof(struct entry_timers) +
                 step->machine->timers_count * sizeof(struct entry_timer) +
                 deferred_bytes(shard, step->slot);
    for (uint32_t i = 0; i < step->posts_count; i++)
        bytes += sizeof(struct entry_send) + durable_event_bytes(&step->posts[i]);
    bytes += step->creates_count *
             (sizeof(struct entry_step) + CONTEXT_MAX + sizeof(struct entry_key) + KEY_SIZE_MAX);
    bytes += step->kept_count * (sizeof(struct entry_defer) + 64);
    if ((step->staged & STAGED_DEFER) != 0)
        bytes += sizeof(struct entry_defer) + durable_event_bytes(step->event);
    return pawl__durable_admit(shard, bytes, inside ? ROOM_INSIDE : ends ? ROOM_END : ROOM_PLAIN);
}

static struct entry_header header_of(size_t bytes, enum entry_type type, unsigned flags,
                                     uint32_t slot)
{
    return (struct entry_header){.words = (uint16_t)(bytes / 8),
                                 .type = (uint8_t)type,
                                 .flags = (uint8_t)flags,
                                 .slot = slot};
}

static void write_key(struct shard *shard, struct stream *stream, struct slot *slot,
                      uint32_t slot_index)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t size = pawl__table_key(&shard->table, slot, key);
    const size_t bytes = sizeof(struct entry_key) + align_up(size, 8);
    struct entry_key *entry;

    if (size == 0)
        return;
    entry = stream_append(stream, bytes);
    memset(entry, 0, bytes);
    entry->header = header_of(bytes, ENTRY_KEY, 0, slot_index);
    entry->generation = load_relaxed(&slot->generation); /* relaxed: our own */
    entry->size = (uint32_t)size;
    memcpy(entry->bytes, key, size);
}

static void write_step(struct shard *shard, struct stream *stream, struct slot *slot,
                       uint32_t slot_index, uint16_t code, unsigned flags)
{
    /* relaxed, here and below: our own */
    const uint64_t head = load_relaxed(&slot->head);
    const struct shard_machine *machine = &shard->machines[head_machine(head)];
    const uint32_t since = (flags & ENTRY_SINCE) != 0;
    const uint32_t words = (flags & ENTRY_ENDED) != 0 ? 0 : machine->context_words;
    const size_t bytes = sizeof(struct entry_step) + 8u * (since + words);
    struct entry_step *entry = stream_append(stream, bytes);

    entry->header = header_of(bytes, ENTRY_STEP, flags, slot_index);
    entry->generation = load_relaxed(&slot->generation);
    entry->version = head_version(head);
    entry->state = head_state(head);
    entry->history = slot->history;
    entry->code = code;
    entry->machine = machine->stored;
    entry->zero = 0;
    if (since)
        entry->words[0] = (uint64_t)load_relaxed(&slot->since) << SINCE_SHIFT;
    words_load(entry->words + since, table_context(&shard->table, slot, machine->context_size),
               words);
}

void pawl__durable_step(struct shard *shard, uint32_t slot_index, uint16_t code, unsigned flags)
{
    struct durable *durable = shard->durable;
    struct slot *slot = table_slot(&shard->table, slot_index);

    if ((flags & (ENTRY_CREATED | ENTRY_RESERVED)) != 0)
        write_key(shard, &durable->journal.steps, slot, slot_index);
    if ((flags & ENTRY_ENDED) != 0)
        durable->tasks -= durable->tasks > 0;
    if ((flags & ENTRY_ENDED) == 0 || !planted(PLANTED_END_FORGOTTEN))
        write_step(shard, &durable->journal.steps, slot, slot_index, code, flags);
    /* relaxed: our own */
    if (shard->machines[head_machine(load_relaxed(&slot->head))].machine->durability ==
        PAWL_DURABILITY_SYNC)
        durable->frame_sync = true;
}

static uint32_t timers_count(const struct shard *shard, const struct slot *slot)
{
    uint32_t count = 0;

    uint64_t tick;

    for (uint32_t node = slot->timers; node != 0; count++)
        node = ((struct timer_node *)slab_at(&shard->timer_nodes, node))->sibling;
    return count + pawl__deadline_tick(shard, slot, &tick);
}

static struct entry_timer timer_entry(const struct shard *shard, uint64_t tick, unsigned timer)
{
    return (struct entry_timer){
        .expiry_ns = tick > UINT64_MAX / shard->tick_ns ? UINT64_MAX : tick * shard->tick_ns,
        .timer = timer,
    };
}

static void write_timers(struct shard *shard, struct stream *stream, const struct slot *slot,
                         uint32_t slot_index)
{
    const uint32_t count = timers_count(shard, slot);
    const size_t bytes = sizeof(struct entry_timers) + count * sizeof(struct entry_timer);
    struct entry_timers *entry = stream_append(stream, bytes);
    uint32_t at = 0;
    uint64_t tick;

    entry->header = header_of(bytes, ENTRY_TIMERS, 0, slot_index);
    entry->generation = load_relaxed(&slot->generation); /* relaxed: our own */
    entry->count = count;
    for (uint32_t node = slot->timers; node != 0; at++) {
        const struct timer_node *timer = slab_at(&shard->timer_nodes, node);

        entry->timers[at] = timer_entry(shard, timer->expiry, timer->id);
        node = timer->sibling;
    }
    if (at < count && pawl__deadline_tick(shard, slot, &tick)) /* a lease's, without a timer */
        entry->timers[at] = timer_entry(
            shard, tick,
            /* relaxed: our own */
            shard->machines[head_machine(load_relaxed(&slot->head))].machine->lease_timer);
}

void pawl__durable_timers(struct shard *shard, uint32_t slot_index)
{
    if (!planted(PLANTED_TIMERS_LOST))
        write_timers(shard, &shard->durable->journal.steps, table_slot(&shard->table, slot_index),
                     slot_index);
}

/* A request for a task names a machine: by the manifest's number. */
static struct pawl_task stored_task(const struct shard *shard, const struct pawl_event *event)
{
    if (event->code != PAWL_CODE_CREATE || id_generation(event->task) != 0)
        return event->task;
    return id_make(id_shard(event->task), 0, shard->machines[id_slot(event->task)].stored);
}

void pawl__durable_write_event(const struct shard *shard, uint8_t *to,
                               const struct pawl_event *event)
{
    const bool has_buffer = (event->flags & PAWL_EVENT_BUFFER) != 0;
    const uint32_t size = has_buffer ? (uint32_t)pawl_buffer_size(event_buffer(event)) : 0;
    struct entry_event *entry = (struct entry_event *)(void *)to;

    *entry = (struct entry_event){
        .task = stored_task(shard, event).id,
        .code = event->code,
        .flags = event->flags,
        .tag = event->tag,
        .arg = {has_buffer ? 0 : event->arg[0], event->arg[1]},
        .size = size,
    };
    if (has_buffer) {
        memset(entry->payload + size, 0, align_up(size, 8) - size);
        memcpy(entry->payload, pawl_buffer_bytes(event_buffer(event)), size);
    }
}

static void write_defer(struct shard *shard, struct stream *stream, uint32_t slot_index,
                        const struct pawl_event *event, uint32_t count, unsigned flags)
{
    const struct slot *slot = table_slot(&shard->table, slot_index);
    const size_t head = offsetof(struct entry_defer, event);
    const size_t bytes = head + (event != NULL ? durable_event_bytes(event) : 0);
    struct entry_defer *entry = stream_append(stream, bytes);

    entry->header = header_of(bytes, ENTRY_DEFER, flags, slot_index);
    entry->generation = load_relaxed(&slot->generation); /* relaxed: our own */
    entry->count = count;
    if (event != NULL)
        pawl__durable_write_event(shard, (uint8_t *)entry + head, event);
}

void pawl__durable_defer(struct shard *shard, uint32_t slot_index, uint32_t deferral)
{
    const struct deferral *kept = slab_at(&shard->deferrals, deferral);

    if (!planted(PLANTED_DEFERRED_LOST))
        write_defer(shard, &shard->durable->journal.steps, slot_index, &kept->event, kept->count,
                    0);
}

static void write_deferrals(struct shard *shard, struct stream *stream, const struct slot *slot,
                            uint32_t slot_index)
{
    const uint32_t newest = slot_deferred(slot);
    uint32_t at = newest;
    uint32_t count = 0;

    if (newest == 0) {
        write_defer(shard, stream, slot_index, NULL, 0, ENTRY_RESET | ENTRY_EMPTY);
        return;
    }
    do {
        const struct pawl_event *event = &deferral_next(shard, &at)->event;

        count++;
        write_defer(shard, stream, slot_index, event, count, count == 1 ? ENTRY_RESET : 0);
    } while (at != newest);
}

void pawl__durable_deferrals(struct shard *shard, uint32_t slot_index)
{
    write_deferrals(shard, &shard->durable->journal.steps, table_slot(&shard->table, slot_index),
                    slot_index);
}

size_t pawl__durable_image_bytes(struct shard *shard, uint32_t slot_index)
{
    const struct slot *slot = table_slot(&shard->table, slot_index);
    /* relaxed: our own */
    const struct shard_machine *machine = &shard->machines[head_machine(load_relaxed(&slot->head))];
    const uint32_t timers = timers_count(shard, slot);
    size_t bytes = sizeof(struct entry_key) + KEY_SIZE_MAX + sizeof(struct entry_step) + 8 +
                   8u * machine->context_words + deferred_bytes(shard, slot);

    if (timers > 0)
        bytes += sizeof(struct entry_timers) + timers * sizeof(struct entry_timer);
    return bytes;
}

void pawl__durable_image(struct shard *shard, struct stream *stream, uint32_t slot_index)
{
    struct slot *slot = table_slot(&shard->table, slot_index);
    /* relaxed: our own */
    const bool alive = (head_flags(load_relaxed(&slot->head)) & SLOT_ALIVE) != 0;

    write_key(shard, stream, slot, slot_index);
    write_step(shard, stream, slot, slot_index, 0,
               ENTRY_IMAGE | ENTRY_SINCE | (alive ? 0 : ENTRY_RESERVED));
    if (timers_count(shard, slot) > 0)
        write_timers(shard, stream, slot, slot_index);
    if (slot_deferred(slot) != 0)
        write_deferrals(shard, stream, slot, slot_index);
}

size_t pawl__durable_image_aside(struct shard *shard, uint8_t *to, size_t bytes,
                                 uint32_t slot_index)
{
    struct frame_header frame;
    struct stream aside = {.at = to, .end = to + bytes, .frame = &frame};

    pawl__durable_image(shard, &aside, slot_index);
    CHECK(aside.frame == &frame); /* all of it had room */
    return (size_t)(aside.at - to);
}

uint32_t pawl__durable_generation(const struct shard *shard, uint32_t slot_index,
                                  uint32_t generation)
{
    const uint32_t mask = shard->table.slots.granule_mask;
    const uint32_t floor = shard->durable->floors_begin[slot_index / (mask + 1)];

    if (likely(generation > floor) || planted(PLANTED_GENERATION_REUSED))
        return generation;
    return floor + 1 < GENERATION_MAX ? floor + 1 : 0;
}

/* Generations of a granule up to some above `generation` may be told to the world. */
static void promise(struct shard *shard, uint32_t granule, uint32_t generation)
{
    const uint32_t objects = shard->table.slots.granule_mask + 1;
    uint32_t *floor = &shard->durable->floors[granule];
    struct entry_floor *entry = stream_append(&shard->durable->journal.steps, sizeof(*entry));

    *floor = generation + FLOOR_AHEAD < GENERATION_MAX ? generation + FLOOR_AHEAD : GENERATION_MAX;
    entry->header = header_of(sizeof(*entry), ENTRY_FLOOR, 0, granule * objects);
    entry->count = objects;
    entry->generation = *floor;
    /* What may wait does, until the promise is durable. */
    shard->durable->frame_sync = true;
}

void pawl__durable_floor(struct shard *shard, uint32_t slot_index, uint32_t generation)
{
    const uint32_t mask = shard->table.slots.granule_mask;
    const uint32_t *floor = &shard->durable->floors[slot_index / (mask + 1)];

    if (likely(generation + FLOOR_AHEAD / 2 <= *floor) || durable_has_failed(shard->durable))
        return;
    promise(shard, slot_index / (mask + 1), generation);
    /* The next granule's turn comes while this one fills up. */
    if (slot_index / (mask + 1) + 1 < shard->durable->granules &&
        shard->durable->floors[slot_index / (mask + 1) + 1] <=
            shard->durable->floors_begin[slot_index / (mask + 1) + 1])
        promise(shard, slot_index / (mask + 1) + 1,
                shard->durable->floors_begin[slot_index / (mask + 1) + 1]);
}

void pawl__durable_promise(struct shard *shard)
{
    const uint32_t objects = shard->table.slots.granule_mask + 1;
    const uint32_t top = slab_top(&shard->table.slots) / objects;

    for (uint32_t granule = 0; granule <= top + 1 && granule < shard->durable->granules; granule++)
        promise(shard, granule, shard->durable->floors_begin[granule]);
}

/* Whether the target is a task of this shard that no journal knows. A stale one counts as such. */
static bool is_memory_task(const struct shard *shard, const struct pawl_event *event)
{
    const uint32_t index = id_slot(event->task);
    const struct slot *slot;

    if (event->code == PAWL_CODE_CREATE && id_generation(event->task) == 0)
        return shard->machines[index].machine->durability == PAWL_DURABILITY_MEMORY;
    if (index >= slab_top(&shard->table.slots))
        return true;
    slot = table_slot(&shard->table, index);
    /* relaxed: our own */
    return shard->machines[head_machine(load_relaxed(&slot->head))].machine->durability ==
           PAWL_DURABILITY_MEMORY;
}

void pawl__durable_send(struct shard *shard, uint32_t slot_index, const struct pawl_event *event)
{
    struct durable *durable = shard->durable;
    const uint32_t to = id_shard(event->task);
    const enum durable_class klass =
        (event->flags & PAWL_EVENT_CONTROL) != 0 ? DURABLE_CONTROL : DURABLE_ORDINARY;
    struct durable_link *link = &durable->links[to];
    const size_t head = offsetof(struct entry_send, event);
    struct pawl_event sent = *event;
    struct entry_send *entry;
    size_t bytes;

    if (durable_has_failed(durable)) { /* since the step was admitted: it will never be durable */
        event_drop_buffer(event);
        return;
    }
    if (slot_index == 0)
        durable->frame_sync =
            true; /* an answer or a refusal is final: it leaves when it is durable */
    if (to == shard->number && !durable->all_durable && is_memory_task(shard, event)) {
        pawl__durable_route(shard, event);
        return;
    }
    sent.flags |= PAWL_EVENT_DURABLE;
    bytes = head + durable_event_bytes(&sent);
    entry = stream_append(&durable->journal.steps, bytes);
    entry->header = header_of(bytes, ENTRY_SEND, 0, slot_index);
    entry->number = ++link->sent[klass];
    pawl__durable_write_event(shard, (uint8_t *)entry + head, &sent);
    if (to == shard->number) {
        exchange_route(shard, &sent);
        return;
    }
    if ((sent.flags & PAWL_EVENT_BUFFER) != 0)
        pawl_buffer_ref(event_buffer(&sent));
    CHECK(fifo_push(&link->kept[klass], &sent)); /* a chunk was made sure of */
    pawl__durable_route(shard, &sent);
}
