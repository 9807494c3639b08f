/*
 * durable.h - what stands between a durable step's commit and its effects: the entries that say
 * what it changed, the numbers of what it sent, and the effects that wait for the disk.
 *
 * Layer: shard. Owner: the shard. shard->durable is NULL where the runtime has no store.
 *
 * One frame holds what a shard did between two points at which its sources are between two events
 * (the ends of turns). It takes effect as a whole: so for each source one number, how many of its
 * durable events have been handled, says exactly which of them are in, whatever order the batch
 * took them in.
 */
#ifndef PAWL_SHARD_DURABLE_H
#define PAWL_SHARD_DURABLE_H

#include <pawl/port.h>
#include <pawl/store.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "queue/fifo.h"
#include "store/entry.h"
#include "store/io.h"
#include "store/journal.h"

struct shard;
struct shard_machine;
struct pawl_step;
struct slot;

/* Ordinary events and control events are numbered apart, because they overtake each other. */
enum durable_class { DURABLE_ORDINARY, DURABLE_CONTROL, DURABLE_CLASSES };

/*
 * Between this shard and one shard, itself included. Numbers count durable events
 * (PAWL_EVENT_DURABLE) from 1.
 * S: the shard; all but `safe`, which the peer reads, are its own.
 */
struct durable_link {
    uint64_t sent[DURABLE_CLASSES];      /* to the peer */
    uint64_t taken[DURABLE_CLASSES];     /* from the peer, handled here */
    uint64_t confirmed[DURABLE_CLASSES]; /* of those sent: the peer has durably handled them */
    uint64_t confirmed_written[DURABLE_CLASSES]; /* what the journal says of it */
    /*
     * Sent and not confirmed, oldest first; a buffer's reference travels along. Not for the shard
     * itself, whose local fifos hold what it has not handled.
     */
    struct fifo kept[DURABLE_CLASSES];
    uint64_t closing[DURABLE_CLASSES];      /* taken, at the frame closing_serial */
    uint64_t closing_serial;                /* 0: none */
    _Atomic uint64_t safe[DURABLE_CLASSES]; /* of taken: durable */
};

/* Where a shard's journal goes on; recovery finds it, a new store begins with 1 in lsn, file
 * and snapshot, and 0 in the rest. */
struct store_position {
    uint64_t lsn;           /* of the next frame */
    uint32_t previous_crc;  /* which it continues */
    uint64_t file;          /* number of the next journal file */
    uint64_t snapshot;      /* number of the next snapshot */
    uint64_t time_ns;       /* the shard's time: that of the last frame */
    uint64_t base_file;     /* of the newest snapshot that is whole; 0: none */
    uint64_t base_snapshot; /* its number */
};

/*
 * Effects held by one frame that had frame_sync; they leave when it is durable. One cell of a fifo.
 */
struct durable_mark {
    uint64_t serial;
    uint32_t events;
    uint32_t completions;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct durable_mark) == sizeof(struct cell), "a cell");

/* A snapshot as the shard sees it. */
struct durable_walk {
    bool under_way;
    uint32_t next;      /* slot */
    uint8_t *fixed;     /* entries of what was so when it began: links, events under way, floors */
    size_t fixed_bytes; /* of them */
    size_t fixed_at;
    uint64_t since_bytes; /* stream.bytes when the last snapshot began; before 0 what was found */
    uint64_t began_ns;    /* shard's time then */
    uint64_t dropped;     /* journal.snapshots_dropped then */
};

/*
 * S: the shard; A: any thread; I: set once.
 *
 * Holding. A step of a sync machine holds its effects until its frame is durable. So do the promise
 * of a floor, and what the shard itself sends (an answer, a refusal): frame_sync says that a frame
 * has one of these. A step of an async machine holds its effects only while such a frame, its own
 * or an earlier one, is not durable, and a memory-only one never. What a durable step sends to a
 * memory-only task of its own shard is an effect too, because that task tells the world at once.
 * Held effects leave in order: once one is held, so are the following ones.
 */
struct durable {
    struct journal journal;     /* S: its shard's side */
    struct io io;               /* host-driven: this shard's own */
    struct io *pump;            /* I: who pumps; its own, or a thread's */
    struct durable_link *links; /* S: one a shard */
    uint16_t *dirty;            /* S: peers of which something was taken since the last frame */
    uint32_t dirty_count;
    bool *is_dirty;
    uint16_t peer; /* S: where the batch under way came from */
    enum durable_class klass;

    bool all_durable;        /* I: no memory-only machine in this runtime */
    bool easy;               /* S: a batch's plain steps need no further look at room */
    bool frame_sync;         /* S: the frame under way makes effects wait: see above */
    bool group_sync;         /* S: the group under way has such a frame */
    bool failed;             /* S: the host was told */
    bool stopping;           /* S: events leave no more */
    uint64_t seen;           /* S: journal.durable as this turn knows it */
    uint64_t group_ns;       /* S: shard's time when the group under way was begun */
    uint64_t frame_ns;       /* S: shard's time of the last frame */
    uint64_t window_ns;      /* I */
    uint64_t snapshot_bytes; /* I */
    bool snapshot_grows;     /* I: as many bytes as the last one had, if that is more */

    struct fifo held_events;
    struct fifo
        held_completions; /* durability: the port, and its own durability in the upper bits */
    struct fifo marks;
    struct durable_mark newest; /* behind `marks`; serial 0: none */
    struct durable_mark open;   /* of the frame under way */

    uint32_t granules;      /* I: of slots */
    uint32_t *floors;       /* S: by granule: the generation promised (FLOOR) */
    uint32_t *floors_begin; /* I: the same as this epoch began */
    uint64_t tasks;         /* S: durable ones that live */
    struct durable_walk walk;
    uint64_t began_filling; /* S: steps.filling when the turn began */
    uint64_t wall_ns;       /* S: the wall clock at shard time wall_look_ns */
    uint64_t wall_look_ns;

    struct store_position position; /* I: where recovery left off */
    uint64_t recovered_tasks;       /* I */
    uint64_t recovered_entries;     /* I */
    uint64_t resent;                /* I */

    pawl_store_failed_fn *on_failed; /* I */
    _Atomic uint32_t sync_asked;     /* A: grows: hand over what there is */
    _Atomic uint32_t sync_seen;      /* S: follows, when that was done */
    _Atomic uint32_t snapshot_asked; /* A */
    _Atomic uint64_t serial;         /* S: last closed frame, for readers */
    _Atomic uint64_t bytes;          /* S: for readers, as the next */
    _Atomic uint64_t entries;
};

/* ---- What a step has changed: durable.c ---- */

/* On a full disk, who may use which room. */
enum durable_room {
    ROOM_PLAIN,  /* what comes from outside: not the room that is kept for ends */
    ROOM_END,    /* a task ends: that too */
    ROOM_INSIDE, /* its sender was told that it is on its way: it waits in its group for room */
};

/*
 * pawl__durable_admit - whether the step under way, or one that would write `bytes` of entries, can
 * be made: 0, -EIO (the journal has failed), -ENOSPC.
 */
int pawl__durable_admit(struct shard *shard, size_t bytes, enum durable_room room);
int pawl__durable_admit_step(struct shard *shard, const struct pawl_step *step);

/* Whether the task may keep one event more. */
bool pawl__durable_may_defer(const struct shard *shard, const struct slot *slot,
                             const struct pawl_event *event);

/*
 * The task's state now: a step's after-image. flags: ENTRY_*; KEY goes before it with
 * ENTRY_CREATED, ENTRY_RESERVED.
 */
void pawl__durable_step(struct shard *shard, uint32_t slot_index, uint16_t code, unsigned flags);

/* All armed timers of the task; all that it keeps deferred; what it has just put aside. */
void pawl__durable_timers(struct shard *shard, uint32_t slot_index);
void pawl__durable_deferrals(struct shard *shard, uint32_t slot_index);
void pawl__durable_defer(struct shard *shard, uint32_t slot_index, uint32_t deferral);

/*
 * The generation that a slot just given out must have at least: above what was promised when this
 * epoch began. 0: there is none left.
 */
uint32_t pawl__durable_generation(const struct shard *shard, uint32_t slot_index,
                                  uint32_t generation);

/*
 * A slot is given out to a task of any machine, with this generation: after recovery new lives are
 * above it.
 */
void pawl__durable_floor(struct shard *shard, uint32_t slot_index, uint32_t generation);

/*
 * When a store has been opened: for the granules in use and the next, so that no id is told before.
 */
void pawl__durable_promise(struct shard *shard);

/*
 * An event that the shard sends for a durable step (slot_index; 0: for itself). Cannot fail: chunks
 * and the link were made sure of.
 */
void pawl__durable_send(struct shard *shard, uint32_t slot_index, const struct pawl_event *event);

/*
 * Shard's time is that of the last frame, after recovery. Where timers run and nothing else is
 * written a frame says the time this often; pawl/store.h promises it.
 */
#define DURABLE_TIME_NS UINT64_C(10000000000)

/* Journal after which a shard writes a snapshot, where the options leave it to the library. */
#define DURABLE_SNAPSHOT_BYTES (UINT64_C(256) << 20)

/* At most so many bytes of the room for ends are for ends that are written alone. */
#define DURABLE_RESERVE_BLOCKS (UINT64_C(4) << 20)

/* Chunks that sending so many events may need: kept, held, and a backlog. */
#define DURABLE_CHUNKS(events) (3 * (events) + 4)

/* ---- Effects: durable_effects.c ---- */

/* A held completion (report.c) has its port where its durability will be. */
#define HELD_DURABILITY_SHIFT 14u

/* An event on its way, now or when it may leave. */
void pawl__durable_route(struct shard *shard, const struct pawl_event *event);

/* Sends what is held up to seen; returns how many effects. */
uint32_t pawl__durable_release(struct shard *shard);

/* The journal has failed: completions are told so, events are dropped. */
uint32_t pawl__durable_release_failed(struct shard *shard);

/* ---- The turn: durable_turn.c ---- */

/* After recovery: promises, durably, before the first turn. 0 or -errno. */
int pawl__durable_open(struct shard *shard);

int pawl__durable_init(struct shard *shard, const struct journal_options *options,
                       const struct pawl_store_options *store);
void pawl__durable_fini(struct shard *shard);

/*
 * What begins with a turn, and what ends it: marks, frame, group, pump, effects, snapshot. Returns
 * the effects sent.
 */
void pawl__durable_begin(struct shard *shard);
uint32_t pawl__durable_end(struct shard *shard);

/*
 * Whether the shard may take a batch of events, from inside (other shards, itself, timers) or
 * outside.
 */
bool pawl__durable_gate(struct shard *shard, bool inside);

bool pawl__durable_has_work(struct shard *shard);
uint64_t pawl__durable_timeout_ns(struct shard *shard);

/*
 * Room for what a stop writes: 0, or -errno when there is none to be had for a while. Not inside a
 * turn.
 */
int pawl__durable_make_room(struct shard *shard);

/* Before a pause: what was done goes to disk; its effects leave when turns go on. */
void pawl__durable_pause(struct shard *shard);

/*
 * After the last turn: everything is handed over. Then, when the pump has finished: what may be
 * told is told.
 */
void pawl__durable_stop(struct shard *shard);
void pawl__durable_stopped(struct shard *shard);

/* ---- Links: durable_links.c ---- */

/* Of a batch just handled, what was durable counts as taken from durable->peer. */
void pawl__durable_taken(struct shard *shard, const struct pawl_event *events, uint32_t count);

/*
 * At the end of a turn, its frame closed: peers are told what is safe, and what they have made safe
 * is not kept any more.
 */
void pawl__durable_links(struct shard *shard);

/* ---- Snapshots: durable_walk.c ---- */

/*
 * A bounded piece of a snapshot, if one is due or under way; at the end of a turn, its frame
 * closed. True: there is more.
 */
bool pawl__durable_walk(struct shard *shard);

/* Whether one is to be begun now; none is under way. */
bool pawl__durable_walk_is_due(const struct shard *shard);

/* Entries of a task as it is: into the stream, which has room for image_bytes. */
size_t pawl__durable_image_bytes(struct shard *shard, uint32_t slot_index);
void pawl__durable_image(struct shard *shard, struct stream *stream, uint32_t slot_index);

/* The same into memory that has image_bytes; returns how many it took. */
size_t pawl__durable_image_aside(struct shard *shard, uint8_t *to, size_t bytes,
                                 uint32_t slot_index);

/* An event as an entry has it: durable_event_bytes. */
void pawl__durable_write_event(const struct shard *shard, uint8_t *to,
                               const struct pawl_event *event);

/* ---- Short ways, inline ---- */

/* Nothing becomes durable any more. */
static inline bool durable_has_failed(const struct durable *durable)
{
    return load_acquire(&durable->journal.failed) != 0; /* (J2) pairs with (J1) */
}

/* An event from a durable task, with what the payload takes. */
static inline size_t durable_event_bytes(const struct pawl_event *event)
{
    const size_t payload =
        (event->flags & PAWL_EVENT_BUFFER) != 0
            ? pawl_buffer_size((const struct pawl_buffer *)(uintptr_t)event->arg[0])
            : 0;

    return sizeof(struct entry_event) + align_up(payload, 8);
}

/* Marks of one peer in one frame. */
#define DURABLE_LINK_BYTES (2 * DURABLE_CLASSES * sizeof(struct entry_mark))

/*
 * Room in files that is kept for the ends of all tasks. An end that is alone in its group takes a
 * block; many share blocks.
 */
static inline uint64_t durable_reserve(const struct durable *durable)
{
    const uint64_t blocks = durable->tasks * STORE_BLOCK;

    return (blocks < DURABLE_RESERVE_BLOCKS ? blocks : DURABLE_RESERVE_BLOCKS) +
           durable->tasks * 64;
}

/* How many events of a run the gate is for: where room is short, each asks for itself. */
static inline uint32_t durable_run(const struct durable *durable, uint32_t run)
{
    return durable->easy ? run : 1;
}

/* Effects of what is done now wait: see above. */
static inline bool durable_holds(const struct durable *durable)
{
    return durable->frame_sync || durable->newest.serial != 0;
}

/* Which mark an effect of now waits for. */
static inline struct durable_mark *durable_mark_of_now(struct durable *durable)
{
    return durable->frame_sync ? &durable->open : &durable->newest;
}

#endif /* PAWL_SHARD_DURABLE_H */
