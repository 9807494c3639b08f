/*
 * shard.h - a shard: the tasks it owns, the queues that lead to it, and what a turn keeps in hand.
 *
 * Layer: shard. Owner: whoever turns the shard, one thread at a time.
 *
 * Events reach a shard over
 *   ports      a pair of rings for each (port, shard)                 outside   shard/port.h
 *   inlets     a ring for each (other shard, shard) that talk         inside    shard/exchange.h
 *   local      fifos of events from its own tasks                     inside
 *   timers     its wheel                                              inside    shard/timers.h
 * each in two kinds, ordinary and control; control events are taken first in every turn.
 *
 * Pressure. `inflight` counts the events queued inside the shard: its local fifos and the backlogs of
 * its links to other shards. At inflight_soft the shard admits nothing more from outside and goes on
 * serving inside work; at inflight_max a step that would post is aborted with -ENOSPC and its sender
 * is told. Nothing ever waits for another shard, so traffic between shards cannot deadlock.
 */
#ifndef PAWL_SHARD_SHARD_H
#define PAWL_SHARD_SHARD_H

#include <pawl/runtime.h>
#include <pawl/watch.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "base/random.h"
#include "host/arena.h"
#include "host/park.h"
#include "machine/compiled.h"
#include "queue/fifo.h"
#include "queue/outlet.h"
#include "queue/spsc.h"
#include "shard/step.h"
#include "task/table.h"
#include "time/wheel.h"

struct pawl_port;
struct durable;
struct lanes;
struct link;

/* Chunks of the shard's fifos, kept so that staging can promise a push that cannot fail. */
struct chunk_cache {
    struct arena *arena;
    void *free;
    uint32_t count;
};

/*
 * Where ordinary events for one shard go: cells that may be written without a further look. Those from
 * begin to next have been written and are not visible yet; next equal to end is no room.
 */
struct route {
    struct cell *next;
    struct cell *end;
    struct cell *begin;
    bool ready; /* there is a link to that shard, or it is this one */
};

/* An event that a task has put aside; an object of shard.deferrals. */
struct deferral {
    struct pawl_event event;
    uint32_t next;  /* towards the newest; the newest's is the oldest */
    uint32_t count; /* in the newest: how many there are */
    uint16_t source;
    bool unasked; /* nobody waits for its answer, so a drain waits for it */
};

/* What a machine is to this shard. */
struct shard_machine {
    const struct pawl_machine *machine;
    const uint16_t *cells;
    uint32_t events_count;
    uint32_t transitions_first; /* of the machine, in the numbering that spans all machines */
    uint32_t context_words;     /* copied for a step */
    uint32_t context_size;
    /* The transition into the initial state, where that is all it does; NULL: tasks make a first step. */
    const struct transition *birth;
    uint32_t staged; /* what a step of it begins with: STAGED_CLAIM or 0 */
    uint8_t stored;  /* the machine's number in the store's manifest */
};

#define GROUP_END 0u

/* Where a batch keeps its place for each event; positions count from 1, but for `later`. */
struct batch {
    struct slot *slots[BATCH_MAX + 1];
    uint16_t next[BATCH_MAX + 1]; /* of the same group, or GROUP_END */
    uint16_t later[BATCH_MAX];    /* positions from 0, behind the groups */
    uint32_t
        touched[BATCH_MAX + 1]; /* transitions that occur, in the numbering over all machines */
};

/* The source of the first step of a task that an event asked for: its result is kept in the shard's
 * create_* fields for whoever handles that event. */
#define SOURCE_CREATE UINT16_MAX

/* What of a shard exists; shard.made. */
#define SHARD_MADE_PARK      0x01u
#define SHARD_MADE_ARENA     0x02u
#define SHARD_MADE_TABLE     0x04u
#define SHARD_MADE_TIMERS    0x08u
#define SHARD_MADE_DEFERRALS 0x10u

/* Why a shard does not step. */
enum shard_mode {
    SHARD_OPEN, /* before start */
    SHARD_RUNNING,
    SHARD_PAUSED,
    SHARD_STOPPED,
};

/* All 64-bit fields of pawl_counters, in its order. */
#define COUNTERS_COUNT (sizeof(struct pawl_counters) / sizeof(uint64_t))

/*
 * Field owners: I set once before the shard is turned; S whoever turns the shard; A any thread; M the
 * thread that runs the life cycle or the monitor.
 */
struct shard {
    /* Constant. */
    struct pawl_runtime *runtime; /* I */
    uint32_t number;              /* I */
    uint32_t shard_count;         /* I */
    struct shard *const *shards;  /* I: all of them */
    const struct pawl_clock *clock;
    const struct shard_machine *machines;         /* I: by number */
    const struct shard_machine *machines_by_head; /* I: see shard_machine_of */
    uint32_t machine_count;
    uint64_t tick_ns;
    uint64_t open_ns; /* the clock when the runtime was opened */
    uint32_t inflight_max, inflight_soft;
    uint32_t exchange_capacity;
    uint64_t spin_ns;
    void *user;
    pawl_undelivered_fn *on_undelivered;
    struct durable *durable;       /* I: NULL where the runtime has no store (shard/durable.h) */
    const struct aliases *aliases; /* I: NULL where no task has moved (shard/alias.h) */
    struct lanes *lanes;           /* I: NULL where the runtime has no lanes (shard/lanes.h) */

    /* The turn. */
    uint64_t now_ns;
    uint64_t fresh_ns; /* the clock since the batch at hand was taken; 0: nobody has looked */
    uint32_t since;    /* now, as slots store it */
    uint64_t wall_ns;  /* the wall clock in turn wall_turn */
    uint64_t wall_turn;
    struct random random;
    struct table table;
    struct arena arena;
    struct pages_stats pages; /* of links */
    struct chunk_cache chunks;
    struct fifo local;
    struct fifo local_control;
    bool local_open; /* inside a batch: the own route leads into `local` */
    uint32_t inflight;
    uint64_t taken_inside; /* becomes `taken` when the turn ends */
    uint32_t port_next;    /* where the fair round over the ports goes on */
    struct wheel wheel;
    struct slab timer_nodes;
    struct slab deferrals;
    struct route *routes;  /* S: by shard, this one included (shard/exchange.h) */
    struct link **links;   /* S: to other shards, made at first use, by number */
    uint32_t *links_flush; /* S: numbers of the links that have something to flush */
    uint32_t links_flush_count;
    struct port_registry *ports; /* I */
    uint32_t *port_left;         /* S: by port index: the life of it that this shard has left */
    uint16_t *ports_flush;       /* S: indexes of ports that have completions to flush */
    uint32_t ports_flush_count;
    uint16_t *group_head; /* S: by transition over all machines; GROUP_END between batches */
    uint16_t batch_mark;
    bool recalling;       /* S: deferred events are being handled */
    bool recall_asked;    /* S: a drain did not wait for the one at hand */
    uint32_t recall_kept; /* S: raised events that this recall has kept */
    uint32_t made;        /* S: SHARD_MADE_*, for unmaking */
    int create_error;     /* S: how a step with source SOURCE_CREATE ended */
    uint32_t create_version;
    uint16_t create_state;
    const void *create_payload; /* S: of the first step under way */
    size_t create_payload_size;
    struct batch batch;
    struct pawl_step step;
    struct pawl_counters count; /* S: kept plainly, published once a turn */
    uint64_t idle_since_ns;     /* when the shard last had work; 0: it has */
    uint64_t arena_peak;        /* bytes, since the arena was trimmed */
    bool house_more;            /* memory is left to be given back */
    bool waited;                /* host-driven: the descriptor was waited on since the last turn */

    /* Read by others. */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t published[COUNTERS_COUNT]; /* S */
    _Atomic uint64_t busy_task;  /* S: the id whose step runs, for the monitor */
    _Atomic uint32_t busy_where; /* S: machine:8 | 0 | state:16 */
    _Atomic uint32_t busy_steps; /* S: grows between two steps of one task */
    _Atomic uint32_t busy_event; /* S: its code; the turn's number is published[0] */
    /* For telling that nothing is under way (watch/drain.h): */
    _Atomic uint64_t routed;       /* S: events sent to any shard from inside, ever */
    _Atomic uint64_t taken;        /* S: of these, events taken here whose turn has ended */
    _Atomic uint32_t unasked;      /* S: deferred events whose answer nobody waits for */
    _Atomic uint64_t unasked_task; /* S: a task that was given one */

    /* Written by others. */
    _Alignas(2 * CACHE_LINE) struct park park;
    _Atomic uint32_t mode;          /* M: enum shard_mode */
    _Atomic uint32_t acknowledged;  /* S: the mode it has seen */
    _Atomic uint32_t inlets_count;  /* A: claimed by a sender's first event */
    _Atomic(struct link *) *inlets; /* A: shard_count of them, in order of arrival */
    void *thread;                   /* M */

    /* Apart from the park word, which senders read: this one is written every turn. */
    _Alignas(2 * CACHE_LINE) _Atomic uint32_t turning; /* S: host-driven: inside a turn */
};

/* One bounded turn; returns how many events it handled. */
uint32_t pawl__turn(struct shard *shard);

/* The loop of a shard's thread: turns, spins, sleeps, until the mode is SHARD_STOPPED. */
void pawl__shard_main(void *shard);

/* Whether anything waits for the shard now: the look between park_prepare and sleep. */
bool pawl__shard_has_work(struct shard *shard);

/* Before a shard sleeps: what its queues needed at their peak goes back to the system. */
void pawl__shard_settle(struct shard *shard);

/* Sets fresh_ns; shard_fresh_ns calls it. */
void pawl__look_at_clock(struct shard *shard);

/* Nanoseconds from now until the wheel wants attention; UINT64_MAX: never. */
uint64_t pawl__shard_timeout_ns(struct shard *shard);

/* Everything still queued or deferred is reported as -ECANCELED; after the threads have ended. */
void pawl__shard_cancel_all(struct shard *shard);

/* batch.c: steps count events of one source, each task's in order. */
void pawl__batch(struct shard *shard, const struct pawl_event *events, uint32_t count,
                 uint16_t source);

/* batch.c: steps what is in a ring, up to a quota, in place; returns how many events that were. */
uint32_t pawl__batch_ring(struct shard *shard, struct spsc *ring, uint16_t source, uint32_t quota);

/* batch.c: one event on its own. */
void pawl__dispatch(struct shard *shard, const struct pawl_event *event, uint16_t source);

/* report.c: how an event's fate reaches its sender. The event's buffer is given up. */
void pawl__report_done(struct shard *shard, const struct pawl_event *event, uint16_t source,
                       struct pawl_task task, unsigned state, uint32_t version, uint64_t value);
void pawl__report_failed(struct shard *shard, const struct pawl_event *event, uint16_t source,
                         struct pawl_task task, int error);

/* chunk.c: makes sure that `count` pushes to fifos cannot fail. */
bool pawl__chunks_ensure(struct chunk_cache *cache, uint32_t count);
void pawl__chunks_fini(struct chunk_cache *cache);
struct fifo_source pawl__chunks_source(struct chunk_cache *cache);

/* turn.c: creates a task between turns, on the thread that turns the shard. */
int pawl__turn_create(struct shard *shard, const struct pawl_task_spec *spec,
                      struct pawl_task *task);

/* host_drive.c: the same as a turn of the host's: -EBUSY while the shards are not to be turned. */
int pawl__host_create(struct shard *shard, const struct pawl_task_spec *spec,
                      struct pawl_task *task);

static inline struct pawl_task shard_task(const struct shard *shard, const struct slot *slot,
                                          uint32_t index)
{
    /* relaxed: the owner reads its own. */
    return id_make(shard->number, load_relaxed(&slot->generation), index);
}

/* One more event is under way inside; before it can be seen by anybody. */
static inline void shard_count_routed(struct shard *shard)
{
    /* The load is relaxed: only this shard writes it. */
    store_release(&shard->routed, load_relaxed(&shard->routed) + 1); /* pairs with drain's look */
}

/*
 * The machine of a task as a batch needs it. Tasks that are not alive share entries with no events in
 * the lower half of the table, so that one comparison tells all that may be wrong with an event.
 */
static inline const struct shard_machine *shard_machine_of(const struct shard *shard, uint64_t head)
{
    _Static_assert(SLOT_ALIVE == 1, "the flag lies directly above the machine's number");
    return &shard->machines_by_head[head >> 16 & (2 * MACHINES_MAX - 1)];
}

/*
 * What delays count from: not before the event at hand was posted, however long this turn has lasted.
 * One look at the clock a batch, and only where a step asks.
 */
static inline uint64_t shard_fresh_ns(struct shard *shard)
{
    if (unlikely(shard->fresh_ns == 0))
        pawl__look_at_clock(shard);
    return shard->fresh_ns;
}

/* The wall clock, once a turn; 0: there is none. */
static inline uint64_t shard_wall_ns(struct shard *shard)
{
    if (shard->wall_turn != shard->count.turns) {
        shard->wall_turn = shard->count.turns;
        shard->wall_ns =
            shard->clock->wall_ns != NULL ? shard->clock->wall_ns(shard->clock->user) : 0;
    }
    return shard->wall_ns;
}

static inline uint64_t shard_tick_of(const struct shard *shard, uint64_t ns)
{
    return (ns - shard->open_ns) / shard->tick_ns;
}

#endif /* PAWL_SHARD_SHARD_H */
