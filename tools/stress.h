/*
 * stress.h - `pawl stress`: what its parts share.
 *
 *   stress.c             options and summary
 *   stress_run.c         the run from open to close
 *   stress_load.c        its loaded part: threads or turns, progress, pauses
 *   stress_resident.c    the tasks whose handlers check order and count inside the runtime
 *   stress_body.c        their contexts and lanes
 *   stress_work.c        what they ask of the runtime
 *   stress_machine.c     the machines of tasks that come and go
 *   stress_producer.c    producers: sequenced events to residents
 *   stress_completion.c  completions matched to what was asked for
 *   stress_life.c        producers: keyed tasks created, ended and used after their end
 *   stress_reader.c      threads that peek, find and walk all the while
 *   stress_check.c       findings, the books of failed events and gaps, what the runtime reports
 *   stress_reconcile.c   views checked, and all totals compared at the end
 *   stress_agents.h      --agents: another load, on the work machine
 *   stress_durable.h     --durable and --resume: another load, on a store that may be killed at any
 *                        time
 *
 * How an event is proved to be handled exactly once and in order. Residents are tasks that live
 * through the whole run. A lane is one sender's stream to one resident; both ends count it, the
 * sender in its own memory (a producer's table, or the sending task's context), the receiver in its
 * context. An event's key is (resident, lane, sequence). The receiver accepts only a sequence above
 * its last. Where it skips some, it books the gap; where the runtime reports an event as failed
 * (completion or undelivered hook), the key is booked too. At the end the last sequences of both
 * ends are compared, and the gaps must be exactly the failed events: a key in a gap that nobody
 * reported is lost, a reported key that was handled is contradicted. A sequence not above the last
 * is misordered if it lies in a booked gap, else doubled. Unsequenced traffic is counted on both
 * sides.
 */
#ifndef PAWL_TOOLS_STRESS_H
#define PAWL_TOOLS_STRESS_H

#include <pawl/pawl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "stress_machine.h"

/*
 * Faults that the tool plants in its own senders, tasks or books, to show that it would see them.
 */
enum plant {
    PLANT_NONE,
    PLANT_LOSE,       /* a producer counts an event that it never posts */
    PLANT_DOUBLE,     /* a producer posts an event twice */
    PLANT_REORDER,    /* a producer swaps two events */
    PLANT_TEAR,       /* a handler leaves a context that does not fit together */
    PLANT_CHAIN,      /* a task counts a post to another task that it never makes */
    PLANT_TIMER,      /* a task believes in a timer that it never armed */
    PLANT_CONTRADICT, /* an event that was handled is booked as failed */
    PLANT_COMPLETION, /* a producer expects a completion that it never asked for */
    PLANT_COUNT,
};

struct stress_options {
    uint64_t tasks;
    uint64_t events; /* posted to residents by all producers; 0: until the time is over */
    double seconds;  /* 0: until the events are posted */
    uint64_t seed;
    unsigned shards;
    unsigned producers; /* of these, the last `portless` have no port */
    unsigned portless;
    unsigned readers;
    uint32_t port_capacity;
    uint32_t inflight;
    double settle_seconds; /* how long what is still under way may take at the end */
    enum pawl_drive drive;
    enum plant plant;
    bool no_pin;
    bool json;
    const char *store; /* --durable or --resume; NULL: memory only */
    const char *acks;  /* the acknowledgement log; NULL: beside the store */
    bool resume;
    enum pawl_durability durability;
    uint64_t steps;   /* orders to be acknowledged; 0: until the time is over */
    unsigned agents;  /* --agents; 0: without */
    const char *live; /* --live; NULL: no window */
};

/* What can be wrong. */
enum finding {
    FINDING_LOST,
    FINDING_DUPLICATED,
    FINDING_MISORDERED,
    FINDING_CONTRADICTED, /* handled, and reported as failed */
    FINDING_TORN,         /* a reader or a handler saw a state that no step committed */
    FINDING_UNEXPLAINED,  /* all else: a wrong answer, a total that does not add up */
    FINDING_KINDS,
};

extern const char *const finding_names[FINDING_KINDS];

#define FINDINGS_SHOWN 20u   /* messages printed; all are counted */
#define HOT            1024u /* residents that get half of all events, and control events */
#define LIVES          8u    /* places for lives, of each producer */

/* Keys of failed events, or gaps as pairs (last, next): words that only grow in number. */
struct book {
    pthread_mutex_t lock;
    uint64_t *words;
    size_t count;
    size_t capacity;
};

/* One shard's counts, kept by its handlers; each is changed by the shard's thread alone. */
struct shard_side {
    _Alignas(CACHE_LINE) _Atomic uint64_t resumed;
    _Atomic uint64_t lapsed;
    _Atomic uint64_t fired; /* alarms, lifetimes and burnt-out sparks */
    _Atomic uint64_t cancels;
    _Atomic uint64_t notes;
    _Atomic uint64_t lives_ended;
    _Atomic uint64_t sparks_ended;
    _Atomic uint64_t pokes;
    _Atomic uint64_t asks_failed;
    struct book gaps;
};

/* What the runtime told of events that were not handled, whoever was told. */
struct told {
    _Atomic uint64_t nospace;        /* -ENOSPC at a resident, of a sequenced event */
    _Atomic uint64_t aborts_nospace; /* likewise, of work that was to be given up anyway */
    _Atomic uint64_t aborted;        /* the error that the handler gave up with */
    _Atomic uint64_t refused;        /* -EPROTO */
    _Atomic uint64_t stale;
    _Atomic uint64_t canceled;
    _Atomic uint64_t undelivered; /* calls of the hook */
    _Atomic uint64_t notes;       /* calls of the hook for notes to lives */
    _Atomic uint64_t pokes;       /* calls of the hook for pokes at sparks */
};

struct producer;

struct stress {
    struct stress_options options;
    struct pawl_runtime *runtime;
    struct pawl_live *live;           /* NULL: no window */
    struct pawl_virtual_clock *clock; /* host-driven runs only */
    struct pawl_machine *machines[STRESS_MACHINES];
    unsigned shard_count;
    uint32_t tasks;    /* residents; their index is 0 .. tasks - 1 */
    uint64_t *handles; /* by index; constant once all are created */
    uint64_t
        chain_factor; /* who posts to whom is a permutation: each resident has one predecessor */
    uint64_t chain_offset;
    uint64_t chain_inverse;
    struct producer *producers;
    struct shard_side *shards;
    struct told told;
    struct book failed; /* keys */
    struct book unlit; /* residents whose spark was made and then failed to enter its first state */
    void *lives_memory;
    _Atomic uint64_t *lives; /* handles of lives by producer and place, for readers; 0 none */
    _Atomic int stopping;    /* producers come to an end */
    _Atomic int abandoned;   /* producers give up what they wait for */
    _Atomic int readers_stopping;
    _Atomic uint64_t reads;
    _Atomic uint64_t walks;
    _Atomic uint64_t findings[FINDING_KINDS];
    _Atomic uint64_t findings_shown;
    pthread_mutex_t findings_lock;
};

static inline uint32_t stress_successor(const struct stress *s, uint32_t index)
{
    return (uint32_t)((index * s->chain_factor + s->chain_offset) % s->tasks);
}
static inline uint32_t stress_predecessor(const struct stress *s, uint32_t index)
{
    return (uint32_t)((index + s->tasks - s->chain_offset) % s->tasks * s->chain_inverse %
                      s->tasks);
}

/* --- stress_check.c --- */

/* stress_find - books and (the first ones) prints something wrong. Any thread. */
void stress_find(struct stress *s, enum finding kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Likewise for one event: says sender, resident, task and sequence first. */
void stress_find_key(struct stress *s, enum finding kind, uint64_t key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool stress_found_any(struct stress *s);

void book_init(struct book *book);
void book_fini(struct book *book);
/* Any thread. A gap is what lies between the key that was last and the sequence that came next. */
void book_add(struct book *book, uint64_t key);
void book_add_gap(struct book *book, uint64_t last, uint32_t next);
bool book_has_gap(struct book *book, uint64_t key);

/* One life's key, from its owner word (stress_machine.h); returns its length. */
size_t life_key(char key[64], uint32_t owner);
/* The keys of the first residents. */
#define RESIDENT_KEYS 512u
size_t resident_key(char key[64], uint32_t index);

/* stress_explain - an event to a resident was reported as failed: books it, or finds fault. */
void stress_explain(struct stress *s, unsigned code, uint64_t arg0, uint64_t key, int reason);
pawl_undelivered_fn stress_undelivered;

/* --- stress_reconcile.c --- */

/* stress_view_fault - what is wrong with a view, as a sentence; NULL when all is right. */
const char *stress_view_fault(const struct stress *s, const struct pawl_view *view);

/* stress_unsettled - how many residents still have something under way that time will bring. */
uint64_t stress_unsettled(struct stress *s);
/*
 * stress_reconcile - compares everything once nothing moves any more; returns the state's digest.
 */
uint64_t stress_reconcile(struct stress *s);

/* Walks the residents and all other tasks; calls seen for each consistent view. */
typedef void stress_view_fn(struct stress *s, const struct pawl_view *view, void *user);
void stress_walk(struct stress *s, stress_view_fn *seen, void *user);

/* --- stress_producer.c --- */

int producers_open(struct stress *s);
void producers_close(struct stress *s);
/* producers_turn - one bounded portion of work, never blocks. Returns what came of it. */
enum progress { PROGRESS_SOME, PROGRESS_NONE, PROGRESS_DONE };
int producers_start(struct stress *s);
bool producers_finished(struct stress *s);
void producers_join(struct stress *s);
enum progress producers_turn(struct stress *s, unsigned number);

/* Sums over all producers, once they are done. */
struct producer_totals {
    uint64_t posted; /* to residents */
    uint64_t completed;
    uint64_t aborts;
    uint64_t resumes;
    uint64_t cancels;
    uint64_t notes;        /* posted to lives */
    uint64_t notes_silent; /* of these without a completion, and bound to fail */
    uint64_t notes_failed; /* completions that said so */
    uint64_t ignored;      /* posted where the machine's policy is to ignore */
    uint64_t created;      /* lives */
    uint64_t full;         /* posts that met -EAGAIN */
};
void producers_total(struct stress *s, struct producer_totals *totals);
/* producer_sent - the last sequence that the lane's producer has sent. */
uint32_t producer_sent(struct stress *s, uint32_t index, unsigned lane);
/* Finds fault with completions that never came. */
void producers_check_end(struct stress *s);

/* --- stress_run.c --- */

struct stress_result {
    const char *allocator;         /* where the shards' memory came from */
    struct pawl_counters counters; /* at the end */
    struct producer_totals totals;
    double seconds;  /* under load */
    uint64_t events; /* taken by the shards under load */
    uint64_t transitions;
    uint64_t rss_bytes; /* that the creation of the residents cost */
    uint64_t digest;
    uint64_t reads;
    uint64_t walks;
    unsigned shards;
};

/*
 * stress_run - the whole run, from open to close. Returns 0, or a negative errno after saying on
 * stderr what could not even be set up; what is wrong with the runtime is in s->findings.
 */
int stress_run(struct stress *s, struct stress_result *result);
void stress_close_port(struct stress *s, struct pawl_port *port);

/* --- stress_load.c --- */

#define MILLISECOND UINT64_C(1000000)

static inline bool host_drives(const struct stress *s)
{
    return s->options.drive == PAWL_DRIVE_HOST;
}
static inline uint64_t stress_settle_ns(const struct stress *s)
{
    return (uint64_t)(s->options.settle_seconds * 1e9);
}
uint64_t stress_wall_ns(void);
void stress_nap(uint64_t ns); /* below a second */
/* Says on stderr what could not be done; returns rc. */
int stress_failed(const char *what, int rc);

/* --- stress_live.c: before the runtime starts, and before it is closed --- */

int stress_live_open(struct stress *s, struct pawl_runtime *runtime);
void stress_live_close(struct stress *s);
/* Turns every shard once if the host drives; returns how much there was to do. */
int stress_turn_all(struct stress *s);
/* Producers and readers from start to end; fills in what the load came to. */
int stress_load(struct stress *s, struct stress_result *result);

/* --- stress_reader.c --- */

struct reader;
int reader_create(struct stress *s, unsigned number, struct reader **reader);
void reader_turn(struct reader *reader);
int reader_start(struct reader *reader);
void reader_join(struct reader *reader);
void reader_destroy(struct reader *reader);

static inline void bump(_Atomic uint64_t *counter)
{
    /*
     * One writer at a time: no locked instruction is needed. Relaxed: totals are read after a
     * drain.
     */
    store_relaxed(counter, load_relaxed(counter) + 1);
}

#endif /* PAWL_TOOLS_STRESS_H */
