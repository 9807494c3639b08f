/*
 * ledger.h - what a worker was promised, kept where its death cannot reach it: a file outside the store,
 * mapped by the worker and by its parent. A killed process's stores to it stay.
 *
 * Each number is written on the safe side of what it counts: `posted` before the post, `acknowledged` after
 * the completion. Between two lives of the worker the truth lies between the two; a life begins by looking
 * where, and the two are equal again.
 */
#ifndef PAWL_TESTS_CRASH_LEDGER_H
#define PAWL_TESTS_CRASH_LEDGER_H

#include <stdint.h>

#define COUNTERS 24u
#define JOBS     48u

/* The calls of the storage table, in its order. */
enum call {
    CALL_MAKE_DIRECTORY,
    CALL_LOCK,
    CALL_LIST,
    CALL_RENAME,
    CALL_REMOVE,
    CALL_SYNC_DIRECTORY,
    CALL_OPEN,
    CALL_SIZE,
    CALL_READ,
    CALL_WRITE,
    CALL_SYNC,
    CALL_CLOSE,
    CALL_QUEUE_OPEN,
    CALL_QUEUE_WRITE,
    CALL_QUEUE_REAP,
    CALL_COUNT,
};

extern const char *const call_names[CALL_COUNT];

enum fault {
    FAULT_NONE,
    FAULT_KILL_BEFORE, /* the process dies before the n-th call of this kind */
    FAULT_KILL_AFTER,
    FAULT_KILL_TORN,  /* writes: after a part of the bytes */
    FAULT_ERROR_ONCE, /* the n-th call fails */
    FAULT_ERROR_EVER, /* and all that follow */
    FAULT_COUNT,
};

extern const char *const fault_names[FAULT_COUNT];

enum job_stage {
    JOB_NONE,
    JOB_CREATING, /* asked for */
    JOB_LIVE,     /* acknowledged */
    JOB_ENDING,   /* asked to end */
    JOB_ENDED,    /* acknowledged: it must never be seen again */
};

struct ledger_counter {
    uint64_t posted;
    uint64_t acknowledged;
    uint64_t drift_posted; /* of the async machine */
    uint64_t drift_synced; /* that a call of pawl_sync has covered */
};

struct ledger_job {
    uint64_t incarnation; /* part of the key: each is a task of its own */
    uint64_t stage;       /* enum job_stage */
};

struct ledger {
    uint64_t lives;
    uint64_t settled;           /* lives that recovered, looked and found all as it must be */
    uint64_t calls[CALL_COUNT]; /* of this life */
    uint64_t fired;             /* the fault of this life has happened */
    uint64_t struck;            /* it was an error of a write that tells a journal something */
    uint64_t running;           /* this life has come as far as its work */
    uint64_t latched;      /* a shard of this life has said that its storage failed: the error */
    uint64_t refused;      /* completions with an error, in this life */
    uint64_t acknowledged; /* completions without, ever */
    struct ledger_counter counters[COUNTERS];
    struct ledger_job jobs[JOBS];
};

/* Maps the file, which it makes, zeroed, if it is missing; ends the process if that cannot be done. */
struct ledger *ledger_open(const char *path);
void ledger_close(struct ledger *ledger);

#endif /* PAWL_TESTS_CRASH_LEDGER_H */
