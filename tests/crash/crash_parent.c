/*
 * crash_parent.c - lets workers live and die in every way there is, and looks what is left.
 *
 *   crash_parent random|calls|errors|space|strace WORKER
 *
 *   random  killed at random times, recovery included
 *   calls   killed before, in and after the n-th call of each kind of the storage table, for each n until
 *           it gets through
 *   errors  the n-th call fails, with EIO or ENOSPC, once or from then on; afterwards all that was
 *           acknowledged is there
 *   space   a filesystem of a few megabytes gets full, and then has room again
 *   strace  killed at the n-th system call of each kind, by strace's fault injection
 *
 * The worker looks first, in each of its lives: crash_worker.c says at what. Each mode takes PAWL_CRASH_SECONDS
 * (default 14); a soak gives it hours. PAWL_CRASH_SEED repeats a run as far as the moments of death can be
 * repeated. Exit status: 0, 1, or 77: not possible here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash/life.h"
#include "crash/space.h"

#define SKIPPED 77

static double limit;

/* The next n to try: each of the first ones, then with growing steps. */
static uint64_t next_nth(uint64_t nth)
{
    return nth < 12 ? nth + 1 : nth + nth / 4;
}

static int verdict(struct place *place, bool well, const char *more)
{
    if (well)
        well = place_look(place);
    printf("%u lives, %u killed, %" PRIu64 " recovered and found right; %s\n", place->lives,
           place->killed, place->ledger->settled, more);
    return well ? 0 : 1;
}

/* ---- random ---- */

static int run_random(struct place *place)
{
    bool well = true;
    uint64_t settled = 0;

    while (well && seconds() < limit) {
        /* Some die while they recover, most at work, a few live on and close or just leave. */
        struct life life = {.host = place_random(place, 3) == 0,
                            .leave = place_random(place, 2) == 0,
                            .rounds = 20 + (unsigned)place_random(place, 200)};
        const uint64_t longest = UINT64_C(8000) << place_random(place, 6);

        life.kill_after_us = place_random(place, 12) == 0 ? 0 : 1 + place_random(place, longest);
        well = place_live(place, &life) <= END_KILLED;
        if (place_random(place, 150) == 0) {
            settled += place->ledger->settled;
            place_clear(place);
        }
    }
    place->ledger->settled += settled;
    return verdict(place, well, "killed at random times");
}

/* ---- calls ---- */

static bool is_write(enum call call)
{
    return call == CALL_WRITE || call == CALL_QUEUE_WRITE;
}

static int run_calls(struct place *place)
{
    static bool through[2][FAULT_COUNT][CALL_COUNT];
    char more[80];
    uint64_t nth = 1, done = 0;
    bool well = true, all = false;

    while (well && !all && seconds() < limit) {
        all = true;
        for (unsigned i = 0; well && i < 2 * 3 * CALL_COUNT && seconds() < limit; i++) {
            const struct life life = {.host = i % 2 == 0,
                                      .fault = FAULT_KILL_BEFORE + i / 2 % 3,
                                      .call = (enum call)(i / 6),
                                      .nth = nth,
                                      .rounds = 12};
            bool *is_through = &through[i % 2][life.fault][life.call];

            if (*is_through || (life.fault == FAULT_KILL_TORN && !is_write(life.call)))
                continue;
            well = place_live(place, &life) <= END_KILLED;
            *is_through = place->ledger->fired == 0;
            all = all && *is_through;
        }
        if (seconds() < limit || all)
            done = nth;
        nth = next_nth(nth);
    }
    snprintf(more, sizeof(more), "at each call up to the %" PRIu64 "th of its kind%s", done,
             all ? ", which is all" : "");
    return verdict(place, well, more);
}

/* ---- errors ---- */

/*
 * A failed write of the journal is never passed over: the shard says so, or refuses. One that only
 * prepares a file is tried again, and nothing depends on one of a snapshot.
 */
static bool is_told(const struct place *place, const struct life *life, enum end end)
{
    const struct ledger *ledger = place->ledger;

    if (ledger->struck == 0 || end == END_STORE || ledger->latched != 0 || ledger->refused > 0)
        return true;
    fprintf(stderr,
            "life %u: %" PRIu64 " writes of the journal failed, from the %" PRIu64
            "th %s on, and nobody has said so\n",
            place->lives, ledger->struck, life->nth, call_names[life->call]);
    return false;
}

static int run_errors(struct place *place)
{
    static const enum call calls[] = {
        CALL_QUEUE_WRITE, CALL_QUEUE_REAP, CALL_WRITE, CALL_SYNC,       CALL_OPEN,
        CALL_RENAME,      CALL_REMOVE,     CALL_READ,  CALL_QUEUE_OPEN, CALL_SYNC_DIRECTORY,
        CALL_SIZE,        CALL_LIST,       CALL_CLOSE, CALL_LOCK,
    };
    const unsigned count = sizeof(calls) / sizeof(calls[0]);
    static bool through[16][2];
    char more[80];
    uint64_t nth = 1;
    unsigned failed = 0;
    bool well = true, all = false;

    while (well && !all && seconds() < limit) {
        all = true;
        for (unsigned i = 0; well && i < 2 * count && seconds() < limit; i++) {
            const struct life life = {.host = place_random(place, 2) == 0,
                                      .fault = i % 2 == 0 ? FAULT_ERROR_ONCE : FAULT_ERROR_EVER,
                                      .call = calls[i / 2],
                                      .nth = nth,
                                      .rounds = 12,
                                      .no_space = place_random(place, 3) == 0};
            enum end end;

            if (through[i / 2][i % 2])
                continue;
            end = place_live(place, &life);
            well = end != END_BROKEN && is_told(place, &life, end);
            through[i / 2][i % 2] = place->ledger->fired == 0;
            all = all && place->ledger->fired == 0;
            failed += place->ledger->fired != 0;
            if (well && place->ledger->fired != 0)
                well = place_look(place);
        }
        nth = next_nth(nth);
    }
    snprintf(more, sizeof(more), "%u calls failed", failed);
    return verdict(place, well, more);
}

/* ---- space ---- */

static int run_space(struct place *place)
{
    unsigned full = 0, kinds = 0;
    bool well = true;

    for (unsigned kind = 0; well && kind < SPACE_KINDS; kind++) {
        const double until = limit / SPACE_KINDS * (kind + 1);

        if (!space_open(place, kind))
            continue;
        kinds++;
        do {
            /* Until there is no room; then room is made, and all must be there and go on. */
            const struct life life = {.rounds = 400, .host = place_random(place, 2) == 0};
            enum end end = END_WELL;

            place_clear(place);
            space_fill(place);
            for (unsigned i = 0; i < 30 && end == END_WELL; i++)
                end = place_live(place, &life);
            full += end == END_STORE;
            well = end != END_BROKEN;
            /* Full as it is, it opens or says that it cannot. */
            if (well)
                well = place_live(place, &life) != END_BROKEN;
            space_free(place);
            well = well && place_look(place);
        } while (well && seconds() < until);
        space_close(place, kind);
    }
    if (kinds == 0) {
        printf("skipped: no filesystem can be mounted here\n");
        return SKIPPED;
    }
    printf("%u lives on %u kinds of filesystem, which were full %u times\n", place->lives, kinds,
           full);
    if (well && full == 0)
        fprintf(stderr, "no filesystem ever got full: nothing was tested\n");
    return well && full > 0 ? 0 : 1;
}

/* ---- strace ---- */

static int run_strace(struct place *place)
{
    static const char *const calls[] = {
        "pwrite64",  "pwritev2", "io_uring_enter", "fdatasync",      "fsync",
        "rename",    "renameat", "unlink",         "openat",         "ftruncate",
        "fallocate", "pread64",  "mkdir",          "flock",          "close",
        "renameat2", "unlinkat", "getdents64",     "io_uring_setup",
    };
    const unsigned count = sizeof(calls) / sizeof(calls[0]);
    static bool through[32];
    uint64_t nth = 1;
    bool well = true, all = false;
    char more[80];

    if (system("strace -f -qq -o/dev/null -etrace=getpid true >/dev/null 2>&1") != 0) {
        printf("skipped: there is no strace, or it may not trace here\n");
        return SKIPPED;
    }
    if (system("strace -f -qq -o/dev/null -etrace=close -einject=close:signal=KILL:when=1 true "
               ">/dev/null 2>&1") == 0) {
        printf("skipped: this strace cannot inject signals\n");
        return SKIPPED;
    }
    /* The search for leaks is a tracer too. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    while (well && !all && seconds() < limit) {
        all = true;
        for (unsigned i = 0; well && i < count && seconds() < limit; i++) {
            const struct life life = {.host = place_random(place, 2) == 0,
                                      .system_call = calls[i],
                                      .nth = nth,
                                      .rounds = 6};
            enum end end;

            if (through[i])
                continue;
            end = place_live(place, &life);
            well = end <= END_KILLED;
            through[i] = end == END_WELL;
            all = all && through[i];
        }
        nth = next_nth(nth);
    }
    snprintf(more, sizeof(more), "at system calls up to the %" PRIu64 "th of their kind%s", nth,
             all ? ", which is all" : "");
    return verdict(place, well, more);
}

static double number_of(const char *name, double otherwise)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? strtod(text, NULL) : otherwise;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct place *place);
    } modes[] = {{"random", run_random},
                 {"calls", run_calls},
                 {"errors", run_errors},
                 {"space", run_space},
                 {"strace", run_strace}};
    const uint64_t seed = (uint64_t)number_of("PAWL_CRASH_SEED", (double)(time(NULL) % 1000000));
    struct place place;

    limit = number_of("PAWL_CRASH_SECONDS", 14);
    for (unsigned i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++) {
        int status;

        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        printf("%s, PAWL_CRASH_SEED=%" PRIu64 "\n", argv[1], seed);
        seconds();
        place_open(&place, argv[2], seed);
        status = modes[i].run(&place);
        place_close(&place, status == 1);
        return status;
    }
    fprintf(stderr, "usage: crash_parent random|calls|errors|space|strace WORKER\n");
    return 2;
}
