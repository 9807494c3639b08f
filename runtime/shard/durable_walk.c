/*
 * durable_walk.c - a snapshot, the shard's part: what is so at one moment, then an image of every
 * durable task, a few at the end of each turn.
 *
 * Layer: shard. Owner: the shard. At its beginning, between two frames, the links' numbers and the
 * events under way are written down in one piece (`fixed`: memory that is had for the snapshot and
 * given back; where there is none the snapshot waits). The images follow while the shard works:
 * each shows its task at some frame between beginning and end, and the journal from the beginning
 * on brings all of them to the same point (store/entry.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/alias.h"
#include "shard/durable.h"
#include "shard/runtime.h"
#include "task/event.h"

/* Slots looked at in one turn. */
#define WALK_SLOTS 512u

/* A group of images is handed over from here on. */
#define IMAGES_FULL (GROUP_BYTES / 2)

/* After a snapshot that failed, how long before the next that is to make room. */
#define ROOM_RETRY_NS UINT64_C(1000000000)

/* ---- What is so when it begins ---- */

/* Entries into memory; to NULL they are only counted. */
struct sink {
    uint8_t *to;
    size_t bytes;
};

static void *sink_take(struct sink *sink, size_t bytes, enum entry_type type, uint32_t slot)
{
    struct entry_header *header = NULL;

    if (sink->to != NULL) {
        header = (struct entry_header *)(void *)(sink->to + sink->bytes);
        memset(header, 0, bytes);
        *header = (struct entry_header){
            .words = (uint16_t)(bytes / 8), .type = (uint8_t)type, .slot = slot};
    }
    sink->bytes += bytes;
    return header;
}

static void sink_mark(struct sink *sink, enum mark what, uint32_t peer, unsigned klass,
                      uint64_t value)
{
    struct entry_mark *entry;

    if (value == 0)
        return;
    entry = sink_take(sink, sizeof(*entry), ENTRY_MARK, 0);
    if (entry == NULL)
        return;
    entry->value = value;
    entry->peer = (uint16_t)peer;
    entry->what = (uint16_t)what;
    entry->control = klass == DURABLE_CONTROL;
}

static void sink_send(const struct shard *shard, struct sink *sink, uint64_t number,
                      const struct pawl_event *event)
{
    const size_t head = offsetof(struct entry_send, event);
    struct entry_send *entry = sink_take(sink, head + durable_event_bytes(event), ENTRY_SEND, 0);

    if (entry == NULL)
        return;
    entry->number = number;
    pawl__durable_write_event(shard, (uint8_t *)entry + head, event);
}

/* The durable events of a fifo, oldest first, with numbers from `number` on. */
static void sink_fifo(const struct shard *shard, struct sink *sink, const struct fifo *fifo,
                      uint64_t number)
{
    const struct fifo_chunk *chunk = fifo->head;
    uint32_t at = fifo->head_at;

    for (uint32_t left = fifo_count(fifo); left > 0; left--, at++) {
        struct pawl_event event;

        if (at == FIFO_CHUNK_CELLS) {
            chunk = chunk->next;
            at = 0;
        }
        memcpy(&event, &chunk->cells[at], sizeof(event));
        if ((event.flags & PAWL_EVENT_DURABLE) != 0)
            sink_send(shard, sink, number++, &event);
    }
}

static void sink_links(struct shard *shard, struct sink *sink)
{
    for (uint32_t peer = 0; peer < shard->shard_count; peer++) {
        const struct durable_link *link = &shard->durable->links[peer];

        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++) {
            sink_mark(sink, MARK_TAKEN, peer, klass, link->taken[klass]);
            sink_mark(sink, MARK_CONFIRMED, peer, klass, link->confirmed[klass]);
            if (peer != shard->number)
                sink_fifo(shard, sink, &link->kept[klass], link->confirmed[klass] + 1);
        }
        if (peer != shard->number)
            continue;
        sink_fifo(shard, sink, &shard->local, link->taken[DURABLE_ORDINARY] + 1);
        sink_fifo(shard, sink, &shard->local_control, link->taken[DURABLE_CONTROL] + 1);
    }
}

static void sink_floors(struct shard *shard, struct sink *sink)
{
    const uint32_t objects = shard->table.slots.granule_mask + 1;

    /* All of them: an earlier epoch may have gone higher than this one has. */
    for (uint32_t granule = 0; granule < shard->durable->granules; granule++) {
        const uint32_t floor = shard->durable->floors[granule];
        struct entry_floor *entry;

        if (floor == 0)
            continue;
        entry = sink_take(sink, sizeof(*entry), ENTRY_FLOOR, granule * objects);
        if (entry != NULL) {
            entry->count = objects;
            entry->generation = floor;
        }
    }
}

/* What ids of tasks of this shard were called before they moved here. */
static void sink_aliases(struct shard *shard, struct sink *sink)
{
    const struct aliases *aliases = &shard->runtime->aliases;
    const struct alias *alias;
    size_t at = 0;

    while ((alias = pawl__aliases_next(aliases, &at)) != NULL) {
        struct entry_alias *entry;

        if (id_shard((struct pawl_task){alias->to}) != shard->number)
            continue;
        entry = sink_take(sink, sizeof(*entry), ENTRY_ALIAS, 0);
        if (entry == NULL)
            continue;
        entry->from = alias->from;
        entry->to = alias->to;
    }
}

static void sink_fixed(struct shard *shard, struct sink *sink)
{
    sink_links(shard, sink);
    sink_floors(shard, sink);
    sink_aliases(shard, sink);
}

/* ---- The walk ---- */

/*
 * There is no room for more journal, and snapshots would make some: two, because the first cuts
 * nothing. What is left of the last file is for the steps that are made meanwhile.
 */
static bool wants_room(const struct shard *shard)
{
    const struct durable *durable = shard->durable;
    const struct journal *journal = &durable->journal;

    if (load_acquire(&journal->full) == 0 || load_acquire(&journal->can_cut) == 0) /* (J2) */
        return false;
    return load_acquire(&journal->snapshots_dropped) == durable->walk.dropped ||
           shard->now_ns - shard->open_ns - durable->walk.began_ns >= ROOM_RETRY_NS;
}

bool pawl__durable_walk_is_due(const struct shard *shard)
{
    const struct durable *durable = shard->durable;
    const uint64_t last = load_acquire(&durable->journal.snapshot_bytes);
    uint64_t every = durable->snapshot_bytes;

    if (load_acquire(&durable->snapshot_asked) != 0)
        return true;
    if (every == UINT64_MAX)
        return false;
    if (wants_room(shard))
        return true;
    if (durable->snapshot_grows && last > every)
        every = last;
    return durable->journal.steps.bytes - durable->walk.since_bytes >= every;
}

static void begin(struct shard *shard)
{
    struct durable *durable = shard->durable;
    struct durable_walk *walk = &durable->walk;
    struct sink sink = {0};

    sink_fixed(shard, &sink);
    walk->fixed = malloc(sink.bytes > 0 ? sink.bytes : 1);
    if (walk->fixed == NULL)
        return; /* tried again at the next turn */
    walk->fixed_bytes = sink.bytes;
    walk->fixed_at = 0;
    sink = (struct sink){.to = walk->fixed};
    sink_fixed(shard, &sink);
    CHECK(sink.bytes == walk->fixed_bytes);
    walk->under_way = true;
    walk->next = 1;
    walk->since_bytes = durable->journal.steps.bytes;
    walk->began_ns = shard->now_ns - shard->open_ns;
    walk->dropped = load_acquire(&durable->journal.snapshots_dropped);
    durable->journal.images.serial = 0;
    store_release(&durable->journal.snapshot_stage, SNAPSHOT_BEGUN); /* (J3) pairs with (J4) */
    store_release(&durable->snapshot_asked, 0); /* behind the stage: store_api.c looks at both */
}

static void hand_images(struct stream *images)
{
    if (stream_is_open(images))
        pawl__stream_close(images);
    if (stream_has_group(images))
        pawl__stream_hand_over(images);
}

/* As much of what was so when it began as there is room for. */
static bool write_fixed(struct durable_walk *walk, struct stream *images)
{
    while (walk->fixed_at < walk->fixed_bytes) {
        const struct entry_header *entry =
            (const struct entry_header *)(const void *)(walk->fixed + walk->fixed_at);
        const size_t bytes = 8u * entry->words;

        if (stream_room(images) < bytes)
            return false;
        memcpy(stream_append(images, bytes), entry, bytes);
        walk->fixed_at += bytes;
    }
    return true;
}

/*
 * Whether an image of it belongs in the snapshot. A slot that a memory-only task has reserved does
 * not: nothing says that its creation will be tried again, or was refused.
 */
static bool has_image(const struct shard *shard, const struct slot *slot)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: our own */
    const unsigned flags = head_flags(head);
    const unsigned reserved = SLOT_RESERVED | SLOT_RECORDED;

    return ((flags & SLOT_ALIVE) != 0 || (flags & reserved) == reserved) &&
           shard->machines[head_machine(head)].machine->durability != PAWL_DURABILITY_MEMORY;
}

/*
 * An image that no room will ever be enough for is written to memory and goes out like what is
 * fixed.
 */
static bool write_aside(struct shard *shard, uint32_t slot_index, size_t bytes)
{
    struct durable_walk *walk = &shard->durable->walk;
    uint8_t *fixed = realloc(walk->fixed, bytes);

    if (fixed == NULL)
        return false;
    walk->fixed = fixed;
    walk->fixed_bytes = pawl__durable_image_aside(shard, fixed, bytes, slot_index);
    walk->fixed_at = 0;
    return true;
}

/* Images of the next slots. False: no room is left. */
static bool write_images(struct shard *shard, struct stream *images)
{
    struct durable_walk *walk = &shard->durable->walk;
    const struct slab *slots = &shard->table.slots;

    for (uint32_t looked = 0; looked < WALK_SLOTS; looked++) {
        const uint32_t index = slab_next_used(slots, walk->next);
        size_t bytes;

        if (index >= slab_top(slots)) {
            walk->next = index;
            return true;
        }
        walk->next = index;
        if (has_image(shard, table_slot(&shard->table, index))) {
            bytes = pawl__durable_image_bytes(shard, index);
            if (bytes > GROUP_BYTES) {
                if (!write_aside(shard, index, bytes))
                    return false;
                walk->next = index + 1;
                return write_fixed(walk, images);
            }
            if (stream_room(images) < bytes)
                return false;
            pawl__durable_image(shard, images, index);
        }
        walk->next = index + 1;
    }
    return true;
}

static void finish(struct shard *shard)
{
    struct durable *durable = shard->durable;

    hand_images(&durable->journal.images);
    durable->walk.under_way = false;
    free(durable->walk.fixed);
    durable->walk.fixed = NULL;
    /* The images show frames up to the last one closed: it is not left to wait. */
    durable->group_sync = durable->group_sync || stream_has_group(&durable->journal.steps);
    durable->journal.images_end = durable->journal.steps.serial;
    store_release(&durable->journal.snapshot_stage, SNAPSHOT_WALKED); /* (J3) pairs with (J4) */
}

bool pawl__durable_walk(struct shard *shard)
{
    struct durable *durable = shard->durable;
    struct durable_walk *walk = &durable->walk;
    struct stream *images = &durable->journal.images;
    bool room;

    if (!walk->under_way) {
        if (load_acquire(&durable->journal.snapshot_stage) != SNAPSHOT_NONE ||
            !pawl__durable_walk_is_due(shard))
            return false;
        begin(shard);
        return walk->under_way;
    }
    if (stream_groups_free(images) < 3)
        return false;
    room = write_fixed(walk, images) && write_images(shard, images);
    if (stream_is_open(images) &&
        (!room || images->at - stream_group(images, images->filling) >= (ptrdiff_t)IMAGES_FULL))
        hand_images(images);
    if (room && walk->fixed_at == walk->fixed_bytes && walk->next >= slab_top(&shard->table.slots))
        finish(shard);
    return true;
}
