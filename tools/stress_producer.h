/*
 * stress_producer.h - a producer of `pawl stress`: shared by stress_producer.c (sequenced events to
 * residents), stress_life.c (tasks that come and go) and stress_completion.c.
 *
 * A producer is one thread (all of them are one thread when the host drives). It never blocks
 * inside a turn, so that threads and the host-driven mode run the same code.
 */
#ifndef PAWL_TOOLS_STRESS_PRODUCER_H
#define PAWL_TOOLS_STRESS_PRODUCER_H

#include "stress.h"

#define BATCH_RESIDENT 48u
#define SCRIPT_MAX     24u /* events one turn of the lives may stage */
#define STAGE_SIZE     (BATCH_RESIDENT + SCRIPT_MAX + 2)
#define STATE_ANY      UINT16_MAX

enum pending_kind {
    PENDING_RESIDENT,
    PENDING_CANCEL, /* of a resident */
    PENDING_LIFE_CREATE,
    PENDING_LIFE_TWICE, /* the same key again, while it lives */
    PENDING_LIFE_EVENT,
    PENDING_RIVAL_CREATE, /* a key that all producers fight for */
    PENDING_RIVAL_END,
};

/* A completion that is to come: its tag is slot | generation << 20. */
struct pending {
    struct pawl_task task;
    uint64_t work;
    uint64_t key; /* of a note: what its answer is made from */
    uint32_t generation;
    uint16_t code;
    uint16_t state; /* expected after the step */
    int16_t status; /* expected */
    uint8_t kind;
    uint8_t place;
    bool busy;
};

enum life_phase {
    PHASE_EMPTY,
    PHASE_CREATING,
    PHASE_LIVE,
    PHASE_TWICE, /* it was checked that its key cannot be taken */
    PHASE_READY,
    PHASE_SCRIPT,  /* waits for the completions of its script */
    PHASE_CANCEL,  /* all is handled or deferred; now it is cancelled */
    PHASE_EXPIRING /* nobody says when: its own timer, or no port to be told through */
};

struct life_place {
    struct pawl_task task;
    struct pawl_task before; /* the last one's handle: never to be used again */
    uint32_t notes;
    uint32_t waiting; /* completions */
    uint8_t phase;    /* enum life_phase */
    bool short_lived;
    bool cancels;
};

struct producer {
    _Alignas(CACHE_LINE) struct stress *s;
    unsigned number;
    unsigned lanes;         /* of a porter: min(producers, LANES) */
    struct pawl_port *port; /* NULL: posts without one */
    struct random random;
    uint64_t left;          /* events still to post to residents */
    uint32_t *sent;         /* last sequence, by resident / producers * lanes + lane */
    uint32_t *sent_control; /* likewise, of hot residents */
    uint32_t versions[HOT]; /* of the last completion, by resident */
    struct pawl_event staged[STAGE_SIZE];
    unsigned staged_at;
    unsigned staged_end;
    struct pending *pending;
    uint32_t *pending_free;
    uint32_t pending_count;
    uint32_t pending_free_count;
    struct life_place lives[LIVES + 1]; /* the last one is the rival */
    unsigned life_turn;
    bool planted;
    bool finishing;
    struct producer_totals totals;
    _Atomic int finished;
    bool started;
    pthread_t thread;
};

/* --- stress_completion.c --- */

/* A slot for one more completion; NULL when none is free. Fills in the tag. */
struct pending *pending_take(struct producer *p, enum pending_kind kind, uint32_t *tag);
/* Gives back the slot taken last, whose event was not accepted after all. */
void pending_give_back(struct producer *p, uint32_t tag);

/* completions_reap - takes and checks a portion of them. False: there were none. */
bool completions_reap(struct producer *p);

/* --- stress_producer.c --- */

/* stage - appends an event that will be posted in its turn. There must be room. */
struct pawl_event *stage(struct producer *p);

/* --- stress_life.c --- */

/*
 * lives_turn - one step of one place. May stage up to SCRIPT_MAX events. False: nothing was done.
 */
bool lives_turn(struct producer *p);
bool lives_over(const struct producer *p);
void lives_complete(struct producer *p, const struct pending *pending,
                    const struct pawl_completion *completion);

#endif /* PAWL_TOOLS_STRESS_PRODUCER_H */
