/*
 * life.h - a place with a store and its ledger, and the lives of workers in it, one after the other.
 */
#ifndef PAWL_TESTS_CRASH_LIFE_H
#define PAWL_TESTS_CRASH_LIFE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "crash/ledger.h"

/* How a life has ended. */
enum end {
    END_WELL, /* all is as promised */
    END_KILLED,
    END_STORE,  /* the store has failed, as it may */
    END_BROKEN, /* a promise was broken, or it hangs: said on stderr */
};

struct place {
    const char *worker;   /* the program */
    char root[PATH_MAX];  /* everything lies in here */
    char store[PATH_MAX]; /* the store, in root or on a filesystem of its own */
    char ledger_path[PATH_MAX];
    char log_path[PATH_MAX]; /* what workers say */
    struct ledger *ledger;
    uint64_t random;
    unsigned lives, killed;
};

/* How a life shall be lived; zeroed is an undisturbed one. */
struct life {
    bool host;
    bool leave;
    unsigned shards; /* 0: as the worker has it */
    unsigned rounds; /* 0: likewise */
    enum fault fault;
    enum call call;
    uint64_t nth;
    bool no_space;           /* the error is ENOSPC */
    uint64_t kill_after_us;  /* 0: not at all */
    const char *system_call; /* of which the nth kills, by strace */
};

/* Makes a new place below the working directory, or ends the process. */
void place_open(struct place *place, const char *worker, uint64_t seed);

/* Takes it away; with `keep` only says where it is. */
void place_close(struct place *place, bool keep);

/* Begins with an empty store. */
void place_clear(struct place *place);

uint64_t place_random(struct place *place, uint64_t limit);

enum end place_live(struct place *place, const struct life *life);

/* An undisturbed life, which must end well. False: it does not. */
bool place_look(struct place *place);

/* Seconds since the program began. */
double seconds(void);

#endif /* PAWL_TESTS_CRASH_LIFE_H */
