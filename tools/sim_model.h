/*
 * sim_model.h - what the simulator believes: a plain list of tasks and of events, and what must be
 * true of them.
 *
 * The handlers of the simulated machines (sim_machines.c) tell the model of every step while it
 * runs; the world (sim_world.c) tells it of turns, completions, deaths and recoveries. The model
 * holds the runtime to this:
 *   steps      each step begins with what the last one left, is a legal transition, and leaves what
 *              its handlers left; what was aborted left nothing
 *   letters    an event (a letter here) is handled or reported once. After a crash: one that a
 *              surviving step sent and no surviving step has taken, once more; one that was taken,
 *              or whose sending did not survive, never
 *   floor      for each shard the last turn whose steps somebody outside may know of: by a
 *              completion, by an event of a sync step seen in another shard or by a memory-only
 *              task, by pawl_sync or by durable_lsn. No recovery may lead to an earlier turn
 *   prefix     what a recovery leads to is exactly what was there after some turn
 *   timers     an armed timer fires in time, once, and has left after a recovery what it had left
 *   ids        an id that somebody was told is never given to another task
 *   tokens     what tasks hand to each other is neither lost nor doubled
 *
 * A turn is what the runtime makes one frame of, so states are compared after turns: by a sum of
 * hashes, one for each durable task, kept for every turn of the surviving history. Before-images of
 * the tasks of each turn lead the model back where the recovery went.
 *
 * Owner: one thread. Limits: SIM_TASKS_MAX and SIM_LETTERS_MAX, near which sim_is_full says so. A
 * lack of memory ends the process.
 */
#ifndef PAWL_TOOLS_SIM_MODEL_H
#define PAWL_TOOLS_SIM_MODEL_H

#include <pawl/pawl.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/random.h"

#define SIM_SHARDS_MAX    8u
#define SIM_STEPS_TRACED  256u
#define SIM_TASKS_MAX     (1u << 16) /* of one run, ended ones included */
#define SIM_LETTERS_MAX   (1u << 20)
#define SIM_CONTEXT_WORDS 512u /* of the largest context */
#define SIM_TICK_NS       UINT64_C(1000000)
#define SIM_BUSY_NS       UINT64_C(5000000) /* after which a busy task is timed out */

/* ---- the machines' words (sim_machines.c) ---- */

enum sim_machine { SIM_SMALL, SIM_LARGE, SIM_BULK, SIM_ASYNC, SIM_MEMORY, SIM_MACHINES };

enum sim_state { SIM_LIVE, SIM_IDLE, SIM_BUSY, SIM_PAUSED, SIM_DONE, SIM_STATES };

enum sim_code {
    SIM_WORK,    /* does whatever the dice say */
    SIM_GIVE,    /* arg[1] tokens change hands */
    SIM_START,   /* idle -> busy */
    SIM_REST,    /* busy -> idle */
    SIM_PAUSE,   /* idle, busy -> paused */
    SIM_RESUME,  /* paused -> what it was */
    SIM_ASK,     /* is answered with its own letter's number */
    SIM_REPLY,   /* such an answer */
    SIM_BORN,    /* the answer to a creation elsewhere */
    SIM_TIMER,   /* a named timer */
    SIM_TIMEOUT, /* busy for too long */
    SIM_RAISED,  /* raised within a step of WORK */
    SIM_STOP,    /* what a cancel delivers */
    SIM_END,
    SIM_CODES,
    SIM_CREATION = PAWL_CODE_CREATE,
    SIM_CANCELLING = PAWL_CODE_CANCEL,
};

enum { SIM_TIMER_A, SIM_TIMER_B, SIM_TIMER_BUSY, SIM_TIMERS };

/* How every context begins. */
struct sim_context {
    uint64_t chain; /* of all that was handled */
    uint32_t uid;
    uint32_t tokens;
    uint64_t steps;
};

static inline uint64_t sim_mix(uint64_t a, uint64_t b)
{
    struct random r = {a ^ (b * UINT64_C(0xff51afd7ed558ccd) + (a << 23 | a >> 41))};

    return random_next(&r);
}

static inline bool sim_is_durable(enum sim_machine machine)
{
    return machine != SIM_MEMORY;
}

static inline bool sim_is_sync(enum sim_machine machine)
{
    return machine <= SIM_BULK;
}

/* ---- tasks ---- */

enum sim_life {
    SIM_UNBORN, /* its creation is under way */
    SIM_ALIVE,
    SIM_ENDED,
};

struct sim_timer {
    bool armed;
    uint64_t from_ns; /* fires no earlier; the clock of this epoch */
    uint64_t to_ns;   /* a turn at or after this must fire it */
};

struct sim_task {
    uint32_t uid;
    uint32_t key; /* 0: none */
    enum sim_machine machine;
    enum sim_life life;
    uint32_t shard;
    uint32_t state;
    uint32_t remembered; /* the child that RESUME leads to */
    uint32_t version;
    uint32_t letter; /* of its creation */
    uint64_t id;
    uint64_t born_turn;
    uint64_t ended_turn;
    struct sim_context context; /* of an ended task: its last */
    uint64_t hash;              /* of the whole context */
    uint64_t first_hash;        /* of the context with which it comes to life */
    int32_t due;                /* answers that must come: between sync tasks only */
    int32_t cancels;            /* posted by the port, and no word of them yet */
    bool told;                  /* its id is known outside */
    struct sim_timer timers[SIM_TIMERS];
    uint64_t touched;    /* turn + 1 in which its before-image was kept */
    uint32_t alive_slot; /* in model.alive */
};

/* ---- letters ---- */

enum sim_fate {
    SIM_STAGED,   /* by the step that is running */
    SIM_EXPECTED, /* to be handled or reported, once */
    SIM_TAKEN,    /* handled or reported */
    SIM_MAYBE,    /* may be handled or reported, once */
    SIM_VOID,     /* must never be seen again */
};

enum sim_sender { SIM_FROM_PORT, SIM_FROM_MEMORY, SIM_FROM_ASYNC, SIM_FROM_SYNC };

struct sim_letter {
    uint64_t to;       /* task; 0: a creation */
    uint64_t arg;      /* its second word */
    uint64_t sent_at;  /* turn of from_shard */
    uint64_t taken_at; /* turn of to_shard */
    uint32_t to_uid;
    uint32_t from_uid;
    uint32_t buffer_size; /* 0: none */
    uint32_t version;     /* after the step that took it */
    uint16_t code;
    uint16_t state;
    uint8_t from_shard;
    uint8_t to_shard;
    uint8_t fate;   /* enum sim_fate */
    uint8_t sender; /* enum sim_sender */
    bool reported;
    bool counted;  /* an answer is due */
    bool complete; /* a completion is due */
};

/* ---- history ---- */

struct sim_turn {
    uint64_t hash;   /* of the durable tasks after it */
    uint64_t now_ns; /* clock of its epoch */
    uint64_t frames; /* its last frame's number; an epoch's go on from the LSN at its beginning */
};

struct sim_before {
    uint64_t turn;
    struct sim_task task;
};

struct sim_shard {
    struct sim_turn *turns;
    size_t turns_count; /* the turn that is running, if one is, has this number */
    size_t turns_capacity;
    struct sim_before *log; /* of this epoch */
    size_t log_count;
    size_t log_capacity;
    size_t epoch_first; /* the last turn of the epochs before */
    uint64_t base_file; /* number of the first file of this epoch */
    size_t sure;    /* the recovery led to this turn at least; up to epoch_first no task differs */
    uint64_t floor; /* this turn survives */
    uint64_t hash;  /* now */
    bool failed;
    uint64_t failed_turn;
};

struct sim_trace_step {
    uint64_t turn;
    uint64_t now_ns;
    uint32_t shard, uid, letter, version;
    uint32_t job, attempts; /* of a work task (sim_jobs.h); 0: it is another's step */
    uint64_t id, token;
    uint16_t code, from, to;
    const char *note;
};

/* The step whose handlers are running, or have run and nothing has been heard of it since. */
struct sim_step {
    bool open;
    bool creates;
    bool fails; /* a call of it was refused, or it gave itself up */
    uint32_t uid;
    uint32_t letter;
    uint32_t letters; /* its own begin here */
    uint16_t code;
    uint64_t arg[2];
    uint32_t state; /* where it leads */
    uint32_t remembered;
    struct sim_task before;
};

struct sim_jobs;

struct sim_model {
    const struct pawl_runtime *runtime;
    unsigned shards;
    bool store;  /* there is one */
    bool frozen; /* the process is dead: what happens now nobody learns of */
    bool mute;   /* handlers of another runtime run: they do nothing */
    bool silent; /* the runtime is being closed: reports mean nothing */

    struct sim_task *tasks; /* by uid; 0 is none */
    uint32_t tasks_count;
    uint32_t *alive; /* uids */
    uint32_t alive_count;
    uint32_t *by_id; /* uids in a table by hash of the id */

    struct sim_letter *letters; /* by number; 0 is none */
    uint32_t letters_count;
    uint32_t letters_first; /* all before it have met their fate */
    uint32_t open;          /* OPEN and STAGED ones */

    struct sim_shard shard[SIM_SHARDS_MAX];
    uint32_t set;     /* of files, in this epoch */
    unsigned turning; /* the shard whose turn runs */
    uint64_t now_ns;  /* its time */
    struct sim_step step;

    struct sim_jobs *jobs; /* of agents (sim_jobs.h); NULL: there are none */

    FILE *log; /* every step at once, too; NULL: no */
    struct sim_trace_step trace[SIM_STEPS_TRACED];
    uint64_t trace_count;
    uint64_t steps;
    uint64_t acknowledged;
    uint64_t digest; /* of all that happened: two runs of a seed are the same run */

    bool failed;
    char rule[32];
    char text[768];
};

void sim_model_init(struct sim_model *model, unsigned shards);
void sim_model_fini(struct sim_model *model);

/* So many tasks or letters have been that nothing new should be begun. */
static inline bool sim_is_full(const struct sim_model *model)
{
    return model->tasks_count > SIM_TASKS_MAX - 4096 ||
           model->letters_count > SIM_LETTERS_MAX - 65536;
}

/* The first violation is kept. rule: which of those above. */
void sim_fail(struct sim_model *model, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void sim_note(struct sim_model *model, const struct sim_task *task, uint32_t letter, uint16_t code,
              uint32_t from, uint32_t to, const char *note);
/* A change of a work task within a turn; PAWL_WORK_STATES: it is not there. */
void sim_note_job(struct sim_model *model, const struct sim_trace_step *change);
void sim_trace_print(const struct sim_model *model, FILE *out, unsigned last);
const char *sim_code_name(unsigned code);
const char *sim_state_name(unsigned state);
const char *sim_machine_name(enum sim_machine machine);

/* ---- tasks (sim_model.c) ---- */

/* A task that will be created; the letter of its creation is written with sim_letter. */
struct sim_task *sim_task_plan(struct sim_model *model, enum sim_machine machine);
struct sim_task *sim_task_by_id(struct sim_model *model, uint64_t id);
void sim_task_name(struct sim_model *model, struct sim_task *task, uint64_t id);
/* Lists it, or no more, as its life is. */
void sim_task_list(struct sim_model *model, struct sim_task *task);
/* Its part in the sum of its shard; 0: not alive, or not durable. */
uint64_t sim_task_hash(const struct sim_task *task);
uint64_t sim_hash_of(uint64_t id, unsigned machine, unsigned state, uint32_t version, uint32_t key,
                     uint64_t context);

/* ---- sim_letters.c ---- */

/* A letter from a step that is running (from not NULL) or from the port; its number. */
uint32_t sim_letter(struct sim_model *model, const struct sim_task *from, const struct sim_task *to,
                    uint16_t code, uint64_t arg, uint32_t buffer_size);
/* The number of the letter that an event is; 0: none of ours. */
uint32_t sim_letter_number(const struct pawl_event *event);
struct sim_letter *sim_letter_at(struct sim_model *model, uint64_t number);

/* The port could not post it after all. */
void sim_letter_withdraw(struct sim_model *model, uint32_t number);

/* A handler sees it. Checks everything that can be checked. */
void sim_letter_seen(struct sim_model *model, uint32_t number, const struct sim_task *task,
                     const struct pawl_event *event);
/* The step that took it stands, or it has been reported. */
void sim_letter_taken(struct sim_model *model, uint32_t number, const struct sim_task *task,
                      bool reported);
/* pawl_options.on_undelivered, and what a port was told. */
void sim_reported(struct sim_model *model, const struct pawl_event *event, int reason);
void sim_completed(struct sim_model *model, const struct pawl_completion *completion);
/* An answer with an error reached its asker, or nobody any more. */
void sim_refused(struct sim_model *model, const struct sim_task *asker,
                 const struct pawl_event *answer);

/* The letters' part of a recovery, when all shards are where they are. */
void sim_letters_recover(struct sim_model *model);
/* None is left open that durable steps have sent: else a violation. */
void sim_letters_check(struct sim_model *model);
/* Bytes of a buffer, by its letter. */
void sim_letter_bytes(uint32_t number, uint8_t *bytes, size_t size);

/* ---- sim_steps.c ---- */

/* First in every handler. The task, or NULL after a violation. */
struct sim_task *sim_step_enter(struct sim_model *model, const struct pawl_step *step,
                                const struct pawl_event *event, const void *context, size_t size);
/* Last in every handler. */
void sim_step_leave(struct sim_model *model, const void *context, size_t size);
/* What a handler does besides. */
void sim_step_fails(struct sim_model *model);
void sim_step_arms(struct sim_model *model, unsigned timer, uint64_t delay_ns);
void sim_step_cancels(struct sim_model *model, unsigned timer);
/* Whether the step may know of the task: an event to it makes sense whatever crash comes. */
bool sim_step_knows(const struct sim_model *model, const struct sim_task *from,
                    const struct sim_task *to);

/* The step under way is over, one way or the other: looks which. */
void sim_step_settle(struct sim_model *model);
void sim_raise_floor(struct sim_model *model, unsigned shard, uint64_t turn);
uint64_t sim_context_hash(const void *context, size_t size);
/* A task whose machine needs no first step has been seen alive. */
void sim_step_born(struct sim_model *model, struct sim_task *task, const struct pawl_view *view);
/* Before the task is changed outside a step. */
void sim_touch(struct sim_model *model, const struct sim_task *before);

/* ---- sim_history.c ---- */

void sim_turn_begin(struct sim_model *model, unsigned shard, uint64_t now_ns);
/* seen: whether the runtime's tasks are to be compared, one by one. */
void sim_turn_end(struct sim_model *model, uint64_t frames, bool seen);
/* After a whole turn: every timer that was due has fired. */
void sim_timers_check(struct sim_model *model);

/* The durable tasks of a runtime: a sum of hashes for each shard. */
struct sim_picture {
    unsigned shards;
    uint64_t hash[SIM_SHARDS_MAX];
    uint64_t lsn[SIM_SHARDS_MAX]; /* of the last frame that recovery has read; 0: no store */
    uint64_t file
        [SIM_SHARDS_MAX]; /* the last journal file that does not begin behind the frame after it */
    uint64_t next_file[SIM_SHARDS_MAX]; /* number of the next journal file */
    uint32_t tasks;
    uint32_t set; /* of files; another one after a rewrite, which numbers frames anew */
};
void sim_picture_take(const struct pawl_runtime *runtime, struct sim_picture *picture);

/*
 * sim_picture_legal - whether the picture is what was there after some turn of each shard; the
 *   turns, unless NULL. Says no in `why`.
 *   SIM_EXACT  the very turn that the number of its last frame tells, no earlier than the floor
 *   SIM_HELD   any, no earlier than the floor
 *   SIM_ANY    any at all
 */
enum sim_legal { SIM_EXACT, SIM_HELD, SIM_ANY };
bool sim_picture_legal(const struct sim_model *model, const struct sim_picture *picture,
                       enum sim_legal legal, size_t *turns, char *why, size_t why_size);

/* The model goes where the runtime that was opened at now_ns is. A violation if that is nowhere. */
void sim_recover(struct sim_model *model, const struct pawl_runtime *runtime, uint64_t now_ns);
/* A runtime that was closed in order has lost nothing. */
void sim_all_durable(struct sim_model *model);
/* Tokens of all tasks and letters against what was minted, when all is quiet. */
void sim_tokens_check(struct sim_model *model);

#define SIM_MINT 100u /* tokens of a sync task that a port creates */

#endif /* PAWL_TOOLS_SIM_MODEL_H */
