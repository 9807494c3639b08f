/*
 * durable_turn.c - what a turn does for its journal: it says what was taken, closes the frame,
 * hands the group over when that is worth it, and releases what has become durable.
 *
 * Layer: shard. Owner: the shard. When a group is handed over decides both latency and throughput:
 * at the end of each turn in which a sync step was made, as long as fewer than writes_max are under
 * way; while the disk is busy with that many, what comes joins the group that waits. So one step
 * alone is written at once, and many share a write without a timer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/planted.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/lanes.h"
#include "shard/runtime.h"
#include "task/event.h"

/* Groups in use above which the shard takes no events: 6 MiB. A batch may go far beyond. */
#define GATE_GROUPS 24u

/* A group this full is handed over though nobody waits for it. */
#define GROUP_FULL (GROUP_BYTES * 3u / 4)

/* How soon a full disk that may be looked at again is. */
#define SPARE_LOOK_NS UINT64_C(1000000)

/* How often the wall clock is looked at. */
#define WALL_LOOK_NS UINT64_C(100000000)

/* Free groups that a task's deferred events need, at most. */
#define STOP_GROUPS 16u

/* Looks, a millisecond apart, at a disk that a stop waits for. */
#define STOP_LOOKS 5000u

#define WINDOW_DEFAULT_NS UINT64_C(10000000)
#define GROUP_EMPTY       UINT64_MAX

/* ---- Making and unmaking ---- */

int pawl__durable_init(struct shard *shard, const struct journal_options *options,
                       const struct pawl_store_options *store)
{
    const struct fifo_source chunks = pawl__chunks_source(&shard->chunks);
    const uint32_t granules =
        (uint32_t)(((uint64_t)slab_limit(&shard->table.slots) >> shard->table.slots.granule_shift) +
                   1);
    struct durable *durable = shard->durable;
    int error;

    durable->window_ns = store->window_ns != 0 ? store->window_ns : WINDOW_DEFAULT_NS;
    durable->snapshot_grows = store->snapshot_bytes == 0;
    durable->snapshot_bytes =
        durable->snapshot_grows ? DURABLE_SNAPSHOT_BYTES : store->snapshot_bytes;
    durable->on_failed = store->on_failed;
    durable->group_ns = GROUP_EMPTY;
    durable->wall_look_ns = shard->now_ns - WALL_LOOK_NS;
    durable->all_durable = true;
    for (uint32_t i = 0; i < shard->machine_count; i++)
        durable->all_durable &= shard->machines[i].machine->durability != PAWL_DURABILITY_MEMORY;
    pawl__fifo_init(&durable->held_events, &chunks);
    pawl__fifo_init(&durable->held_completions, &chunks);
    pawl__fifo_init(&durable->marks, &chunks);
    durable->dirty = calloc(shard->shard_count, sizeof(*durable->dirty));
    durable->is_dirty = calloc(shard->shard_count, sizeof(*durable->is_dirty));
    durable->granules = granules;
    durable->floors = calloc(granules, sizeof(*durable->floors));
    durable->floors_begin = calloc(granules, sizeof(*durable->floors_begin));
    if (durable->dirty == NULL || durable->is_dirty == NULL || durable->floors == NULL ||
        durable->floors_begin == NULL)
        return -ENOMEM;
    error = pawl__journal_init(&durable->journal, options);
    if (error != 0)
        return error;
    durable->seen = options->next_lsn - 1;
    store_release(&durable->serial, options->next_lsn - 1);
    /* Recovery has read it: short lives must not make it longer and longer. */
    durable->walk.since_bytes = -pawl__images_find(&durable->journal);
    return 0;
}

/* Events that nobody will handle any more give up their buffers. */
static void drop_events(struct fifo *fifo)
{
    while (fifo_count(fifo) > 0) {
        uint32_t run = 1;
        struct pawl_event event;

        memcpy(&event, fifo_peek(fifo, &run), sizeof(event));
        fifo_release(fifo, 1);
        event_drop_buffer(&event);
    }
    pawl__fifo_fini(fifo);
}

void pawl__durable_fini(struct shard *shard)
{
    struct durable *durable = shard->durable;

    if (durable->links != NULL)
        for (uint32_t i = 0; i < shard->shard_count; i++)
            for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
                drop_events(&durable->links[i].kept[klass]);
    if (durable->held_events.source.get != NULL) {
        drop_events(&durable->held_events);
        pawl__fifo_fini(&durable->held_completions);
        pawl__fifo_fini(&durable->marks);
    }
    if (durable->journal.steps.memory != NULL)
        pawl__journal_fini(&durable->journal);
    free(durable->walk.fixed);
    free(durable->floors_begin);
    free(durable->floors);
    free(durable->is_dirty);
    free(durable->dirty);
    free(durable->links);
}

/* ---- The frame ---- */

static void write_mark(struct durable *durable, enum mark what, uint32_t peer, unsigned klass,
                       uint64_t value)
{
    struct entry_mark *entry = stream_append(&durable->journal.steps, sizeof(*entry));

    *entry = (struct entry_mark){
        .header = {.words = sizeof(*entry) / 8, .type = ENTRY_MARK},
        .value = value,
        .peer = (uint16_t)peer,
        .what = (uint16_t)what,
        .control = (uint16_t)(klass == DURABLE_CONTROL),
    };
}

static void write_marks(struct shard *shard)
{
    struct durable *durable = shard->durable;

    for (uint32_t i = 0; i < durable->dirty_count; i++) {
        const uint32_t peer = durable->dirty[i];
        const struct durable_link *link = &durable->links[peer];

        durable->is_dirty[peer] = false;
        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
            if (link->taken[klass] > 0)
                write_mark(durable, MARK_TAKEN, peer, klass, link->taken[klass]);
    }
    durable->dirty_count = 0;
    if (!stream_is_open(&durable->journal.steps))
        return;
    for (uint32_t peer = 0; peer < shard->shard_count; peer++) {
        struct durable_link *link = &durable->links[peer];

        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
            if (link->confirmed[klass] != link->confirmed_written[klass]) {
                link->confirmed_written[klass] = link->confirmed[klass];
                write_mark(durable, MARK_CONFIRMED, peer, klass, link->confirmed[klass]);
            }
    }
}

/*
 * The held effects of a frame that is closed now get a mark of their own, or, where there is no
 * memory for one, wait a little longer than they must: those before wait for this frame too.
 */
static void close_mark(struct shard *shard, uint64_t serial)
{
    struct durable *durable = shard->durable;

    durable->frame_sync = false;
    durable->group_sync = true;
    durable->open.serial = serial;
    if (durable->newest.serial != 0 &&
        !(pawl__chunks_ensure(&shard->chunks, 1) && fifo_push(&durable->marks, &durable->newest))) {
        durable->open.events += durable->newest.events;
        durable->open.completions += durable->newest.completions;
    }
    durable->newest = durable->open;
    durable->open = (struct durable_mark){0};
}

static void close_frame(struct shard *shard)
{
    struct durable *durable = shard->durable;
    uint64_t serial;

    if (load_acquire(&durable->journal.failed) == 0) /* (J2) pairs with (J1) */
        write_marks(shard);
    if (!stream_is_open(&durable->journal.steps))
        return;
    serial = pawl__stream_close(&durable->journal.steps);
    durable->frame_ns = durable->journal.steps.time_ns;
    if (durable->group_ns == GROUP_EMPTY)
        durable->group_ns = durable->journal.steps.time_ns;
    if (durable->frame_sync)
        close_mark(shard, serial);
    store_release(&durable->serial, serial); /* before (D5), which says what it covers */
    /* relaxed, both: counters (pawl_shard_store) */
    store_relaxed(&durable->bytes, durable->journal.steps.bytes);
    store_relaxed(&durable->entries, durable->journal.steps.entries);
}

/* ---- Time ---- */

static uint64_t shard_time(const struct shard *shard)
{
    return shard->now_ns - shard->open_ns;
}

/*
 * When a frame is to be written for its time alone: shard's time. UINT64_MAX: none is. On a full
 * disk the room that is left is for steps.
 */
static uint64_t time_due(struct shard *shard)
{
    struct durable *durable = shard->durable;

    if (durable->tasks == 0 || lanes_timers(shard) == 0 ||
        load_acquire(&durable->journal.full) != 0 || /* (J2) */
        stream_groups_free(&durable->journal.steps) < 2 || durable_has_failed(durable))
        return UINT64_MAX;
    return durable->frame_ns + DURABLE_TIME_NS;
}

/* A frame needs an entry: this one says nothing new. */
static void write_time(struct durable *durable)
{
    write_mark(durable, MARK_TAKEN, 0, DURABLE_ORDINARY, durable->links[0].taken[DURABLE_ORDINARY]);
}

/* ---- The group ---- */

static bool wants_hand_over(const struct shard *shard)
{
    const struct durable *durable = shard->durable;
    const struct stream *steps = &durable->journal.steps;

    if (!stream_has_group(steps))
        return false;
    /* relaxed: only this shard writes sync_seen */
    return durable->group_sync ||
           load_acquire(&durable->sync_asked) != load_relaxed(&durable->sync_seen) ||
           steps->at - stream_group(steps, steps->filling) >= (ptrdiff_t)GROUP_FULL ||
           shard_time(shard) - durable->group_ns >= durable->window_ns;
}

static bool may_hand_over(struct durable *durable)
{
    struct stream *steps = &durable->journal.steps;
    const uint32_t free = stream_groups_free(steps);

    return free > 1 && steps->groups_count - free < durable->journal.options.writes_max;
}

static bool hand_over(struct shard *shard)
{
    struct durable *durable = shard->durable;

    if (!wants_hand_over(shard) || !may_hand_over(durable))
        return false;
    pawl__stream_hand_over(&durable->journal.steps);
    durable->group_sync = false;
    durable->group_ns = GROUP_EMPTY;
    return true;
}

/* ---- The turn ---- */

void pawl__durable_begin(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const struct pawl_clock *clock = shard->clock;
    struct stream *steps = &durable->journal.steps;

    steps->time_ns = shard_time(shard);
    durable->began_filling = steps->filling;
    /* People read it: the shard's clock says how it goes on between two looks. */
    if (clock->wall_ns != NULL && shard->now_ns - durable->wall_look_ns >= WALL_LOOK_NS) {
        durable->wall_look_ns = shard->now_ns;
        durable->wall_ns = clock->wall_ns(clock->user);
    }
    steps->wall_ns =
        clock->wall_ns != NULL ? durable->wall_ns + (shard->now_ns - durable->wall_look_ns) : 0;
    durable->journal.images.time_ns = steps->time_ns;
    durable->journal.images.wall_ns = steps->wall_ns;
}

static void tell_failed(struct shard *shard, int error)
{
    struct durable *durable = shard->durable;

    if (durable->failed)
        return;
    durable->failed = true;
    if (durable->on_failed != NULL)
        durable->on_failed(shard->user, shard->number, error, durable->journal.what);
}

/* Nothing will be durable any more: the entries of this turn are thrown away with their group. */
static uint32_t end_failed(struct shard *shard, int error)
{
    struct durable *durable = shard->durable;
    struct stream *steps = &durable->journal.steps;

    tell_failed(shard, error);
    if (stream_is_open(steps))
        pawl__stream_close(steps);
    if (stream_has_group(steps) && stream_groups_free(steps) > 1)
        pawl__stream_hand_over(steps);
    durable->frame_sync = durable->group_sync = false;
    durable->group_ns = GROUP_EMPTY;
    store_release(&durable->sync_seen, load_acquire(&durable->sync_asked));
    return pawl__durable_release_failed(shard);
}

uint32_t pawl__durable_end(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const bool own = durable->pump == &durable->io;
    uint32_t released, asked;
    bool handed;
    int error;

    /* relaxed: the reserve is an estimate */
    store_relaxed(&durable->journal.reserve_bytes, durable_reserve(durable));
    asked = load_acquire(&durable->sync_asked); /* (D4) pairs with (D3) in store_api.c */
    if (unlikely(shard_time(shard) - durable->frame_ns >= DURABLE_TIME_NS) &&
        time_due(shard) <= shard_time(shard))
        write_time(durable);
    close_frame(shard);
    pawl__durable_links(shard); /* behind it: what was taken is in a closed frame */
    handed = hand_over(shard) || durable->journal.steps.filling != durable->began_filling;
    if (!stream_has_group(&durable->journal.steps))
        store_release(&durable->sync_seen, asked); /* (D5) pairs with (D6) */
    if (own)
        handed = pawl__io_turn(durable->pump);
    error = load_acquire(&durable->journal.failed); /* (J2) pairs with (J1) */
    if (unlikely(error != 0)) {
        released = end_failed(shard, error);
    } else {
        durable->seen = load_acquire(&durable->journal.durable); /* (J2) */
        released = pawl__durable_release(shard);
        handed |= pawl__durable_walk(shard);
    }
    if (handed && !own)
        io_wake(durable->pump);
    return released + (own && handed);
}

/*
 * While files are being prepared, steps wait rather than outrun them: the room kept for ends is not
 * touched. On a full disk what comes from outside is refused (pawl__durable_admit), unless it ends
 * a task; what is under way inside waits, because its senders have been told that it was sent.
 */
bool pawl__durable_gate(struct shard *shard, bool inside)
{
    struct durable *durable = shard->durable;
    struct journal *journal = &durable->journal;
    struct stream *steps = &journal->steps;
    const bool failed = load_acquire(&journal->failed) != 0;    /* (J2) pairs with (J1) */
    const bool full = load_acquire(&journal->full) != 0;        /* (J2) */
    const uint64_t limit = load_acquire(&journal->limit_bytes); /* (J2) */
    const bool groups = steps->groups_count - stream_groups_free(steps) <= GATE_GROUPS;
    const bool files = stream_bytes(steps) + durable_reserve(durable) < limit;

    durable->easy = groups && files && !failed && !full;
    if (failed)
        return true;
    return groups && (files || (full && !inside));
}

bool pawl__durable_has_work(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const bool own = durable->pump == &durable->io;

    if (load_acquire(&durable->journal.failed) != 0)
        return !durable->failed;
    if (load_acquire(&durable->journal.durable) != durable->seen)
        return true;
    if (wants_hand_over(shard) && may_hand_over(durable))
        return true;
    /* relaxed: only this shard writes it */
    if (load_acquire(&durable->sync_asked) != load_relaxed(&durable->sync_seen) &&
        !stream_has_group(&durable->journal.steps))
        return true;
    if (!durable->walk.under_way &&
        load_acquire(&durable->journal.snapshot_stage) == SNAPSHOT_NONE &&
        pawl__durable_walk_is_due(shard))
        return true;
    if (durable->walk.under_way && stream_groups_free(&durable->journal.images) > 2)
        return true;
    return own && (pawl__journal_has_work(&durable->journal) ||
                   (durable->io.queue.used > 0 && durable->io.queue_fd < 0));
}

uint64_t pawl__durable_timeout_ns(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const uint64_t now = shard->clock->now_ns(shard->clock->user);
    const uint64_t due = time_due(shard); /* not on a full disk */
    uint64_t timeout_ns = UINT64_MAX;
    uint64_t waited;

    if (due != UINT64_MAX)
        timeout_ns = due > now - shard->open_ns ? due - (now - shard->open_ns) : 0;
    /* Its own pump must look at a full disk again; an I/O thread does so by itself. */
    if (durable->pump == &durable->io && load_acquire(&durable->journal.full) != 0)
        timeout_ns = durable->journal.spare_retry_ns > now ? durable->journal.spare_retry_ns - now
                                                           : SPARE_LOOK_NS;
    /* Where too much is under way, the end of that will wake. */
    if (durable->group_ns == GROUP_EMPTY || !may_hand_over(durable))
        return timeout_ns;
    waited = now - shard->open_ns - durable->group_ns;
    if (waited >= durable->window_ns)
        return 0;
    waited = durable->window_ns - waited;
    return waited < timeout_ns ? waited : timeout_ns;
}

/* ---- The beginning and the end ---- */

int pawl__durable_open(struct shard *shard)
{
    struct durable *durable = shard->durable;

    pawl__durable_begin(shard);
    pawl__durable_promise(shard);
    close_frame(shard);
    pawl__stream_hand_over(&durable->journal.steps);
    durable->group_sync = false;
    durable->group_ns = GROUP_EMPTY;
    durable->newest = (struct durable_mark){0};
    return pawl__journal_begin(&durable->journal);
}

/* Lets the pump go on, until there are free groups, for a while. */
static bool wait_for_groups(struct durable *durable, uint32_t wanted)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < STOP_LOOKS; i++) {
        if (stream_groups_free(&durable->journal.steps) >= wanted)
            return true;
        if (load_acquire(&durable->journal.failed) != 0)
            return false;
        if (durable->pump->thread != NULL)
            nanosleep(&moment, NULL);
        else if (!pawl__io_turn(durable->pump) && !pawl__io_wait(durable->pump, 1000000))
            return false; /* nobody moves a simulated disk here */
    }
    return false;
}

static void hand_over_rest(struct durable *durable)
{
    struct stream *steps = &durable->journal.steps;

    if (!stream_has_group(steps) || !wait_for_groups(durable, 2))
        return;
    pawl__stream_hand_over(steps);
    durable->group_ns = GROUP_EMPTY;
    io_wake(durable->pump);
}

void pawl__durable_pause(struct shard *shard)
{
    struct durable *durable = shard->durable;

    hand_over_rest(durable);
    if (durable->pump == &durable->io)
        pawl__io_turn(durable->pump);
}

int pawl__durable_make_room(struct shard *shard)
{
    struct durable *durable = shard->durable;

    if (load_acquire(&durable->journal.failed) != 0)
        return -EIO;
    if (stream_groups_free(&durable->journal.steps) >= STOP_GROUPS)
        return 0;
    close_frame(shard);
    hand_over_rest(durable);
    return wait_for_groups(durable, STOP_GROUPS) ? 0 : -ENOSPC;
}

/* The time until now counts for timers, though nothing else was written. */
static void close_time(struct shard *shard)
{
    struct durable *durable = shard->durable;
    const uint64_t now = shard->clock->now_ns(shard->clock->user);

    if (now > shard->now_ns)
        shard->now_ns = now;
    if (shard_time(shard) <= durable->frame_ns ||
        pawl__durable_admit(shard, sizeof(struct entry_mark), ROOM_PLAIN) != 0)
        return;
    pawl__durable_begin(shard); /* the frame's time */
    write_time(durable);
    close_frame(shard);
}

void pawl__durable_stop(struct shard *shard)
{
    struct durable *durable = shard->durable;

    close_frame(shard);
    close_time(shard);
    hand_over_rest(durable);
    durable->walk.under_way = false;
}

/*
 * A failure since the last turn, or steps that a full disk has not taken: who has no completion to
 * hear it by, as for an async step, hears it now.
 */
static void tell_lost(struct shard *shard)
{
    struct durable *durable = shard->durable;
    struct journal *journal = &durable->journal;
    const int error = load_acquire(&journal->failed); /* (J2) pairs with (J1) */

    if (error == 0 && load_acquire(&journal->durable) == journal->steps.serial) /* (J2) */
        return;
    if (error != 0) {
        tell_failed(shard, error);
        return;
    }
    /* Nobody pumps any more. */
    snprintf(journal->what, sizeof(journal->what),
             "shard %u: the journal's last steps were not written before the stop; they are lost",
             shard->number);
    tell_failed(shard, load_acquire(&journal->full) != 0 ? -ENOSPC : -EIO);
}

void pawl__durable_stopped(struct shard *shard)
{
    struct durable *durable = shard->durable;

    durable->stopping = true;
    tell_lost(shard);
    durable->seen = load_acquire(&durable->journal.durable); /* (J2) pairs with (J1) */
    pawl__durable_release(shard);
    pawl__durable_release_failed(shard); /* the rest is unknown */
}
