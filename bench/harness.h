/*
 * harness.h - what a benchmark's kernel and the suite know of each other.
 *
 * A row is one piece of work, measured once for each of its contenders: Pawl, the limit (the same work
 * with no runtime at all) and the peers. All contenders of a row live in one process at the same time
 * and their rounds are interleaved, so that the machine's moods meet all of them alike.
 *
 * A kernel is a C function that does one round of the work and says how long the measured part took
 * and how many operations that was. It also checks that the work was done: a kernel that lost an item
 * calls bench_fail. main.cc hands the kernels to google-benchmark; nothing else here is C++.
 *
 * bench_NAME.c holds the rows of one module and exports bench_NAME_rows(), which rows.h lists.
 * peers/ holds what is not Pawl's. A peer that the build did not find is still named in its rows, with
 * the Debian package that brings it.
 */
#ifndef PAWL_BENCH_HARNESS_H
#define PAWL_BENCH_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_COUNTERS_MAX = 16 };

/* A figure beside the time: bytes a task, a percentile, a share. The name outlives the sample. */
struct bench_counter {
    const char *name;
    double value;
};

/* One round, as a kernel reports it. */
struct bench_sample {
    double seconds;      /* of the measured part */
    uint64_t operations; /* done in these seconds */
    unsigned counter_count;
    struct bench_counter counters[BENCH_COUNTERS_MAX];
};

struct bench_row;

/*
 * One way of doing a row's work. open is called once in a process, before the first round, and may be
 * NULL with state staying NULL; run again and again; close at the end, or NULL. All three are called
 * by the same thread, which is pinned to the first cpu of bench_cpu().
 */
struct bench_contender {
    const char *name;      /* "pawl", "limit", "ck_ring": lower case, [a-z0-9_-] */
    const char *semantics; /* what it promises and what is counted, for the report's reader */
    const char *absent;    /* NULL, or what is missing here: "libck-dev" */
    void *(*open)(const struct bench_row *row, const struct bench_contender *contender);
    void (*run)(void *state, struct bench_sample *sample);
    void (*close)(void *state);
    const void *detail; /* the row file's own */
};

enum bench_flag {
    BENCH_LESS_IS_BETTER = 1 << 0,
    BENCH_CROSS_CORE = 1 << 1, /* two cores talk: how near they are is measured before each round */
    BENCH_FULL_ONLY = 1 << 2,  /* too long for --quick */
};

/* What a row should reach; a goal of 0 is none. */
struct bench_goal {
    double value;   /* of the metric of "pawl", or of its ratio to `of` */
    const char *of; /* NULL, or the contender that the ratio is to; "best" is the best peer */
};

struct bench_row {
    const char *name;   /* "ring-1to1-32B-b32": [a-z0-9A-Z_-], unique */
    const char *title;  /* one line for people */
    const char *group;  /* rows of one group and different sizes are one plot; NULL is none */
    const char *unit;   /* one operation: "step", "item", "timer" */
    const char *metric; /* "rate" (operations a second), "ns" (a operation), or a counter's name */
    uint64_t size;      /* tasks, keys, timers; 0 where there is none */
    unsigned flags;     /* enum bench_flag */
    struct bench_goal goal;
    const struct bench_contender *contenders;
    unsigned contender_count;
};

/* ---- For kernels ---- */

/* How much time a run may take. Smoke is for tests: everything runs, nothing is measured. */
enum bench_scale { BENCH_SMOKE, BENCH_QUICK, BENCH_FULL };

enum bench_scale bench_scale(void);

/* One of three by the scale. */
uint64_t bench_pick(uint64_t smoke, uint64_t quick, uint64_t full);

/* Adds a row. It is copied; what it points to must outlive the process's main. */
void bench_add(const struct bench_row *row);

/* A name or title that lives as long as the process. */
const char *bench_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

void bench_count(struct bench_sample *sample, const char *name, double value);

/* Prints, and ends the process with status 1: a kernel whose work went wrong has no figure. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Fails, saying what the library said, where a call gave a negative error. */
void bench_need(int error, const char *what);

/* Of the monotonic clock. */
uint64_t bench_now_ns(void);

/* `which` from 0: the cpus that threads should use, spread over different cores; wraps round. */
int bench_cpu(unsigned which);
unsigned bench_cpu_count(void);

/* Pins the calling thread. */
void bench_pin(int cpu);

/* Lets the calling thread run on every cpu that the process was given, for what plans by itself. */
void bench_unpin(void);

/*
 * Starts a thread pinned to bench_cpu(which); the caller joins it with pthread_join. What is started
 * by the returned thread inherits its cpu.
 */
pthread_t bench_thread(unsigned which, void *(*run)(void *), void *argument);

/* The time a cache line takes from the first cpu to the second and back, in ns; 0 with one cpu. */
double bench_line_ns(void);

/* Resident bytes of this process, and of another one. */
uint64_t bench_rss(void);
uint64_t bench_rss_of(int pid);

/* Keeps the compiler from leaving out what makes `value`. */
static inline void bench_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* ---- For main.cc ---- */

void bench_set_scale(enum bench_scale scale);
unsigned bench_row_count(void);
const struct bench_row *bench_row_at(unsigned index);

/*
 * Instructions of the calling thread and of those it started since, counted by the processor.
 * Returns false where the machine does not offer that.
 */
bool bench_instructions_start(void);
uint64_t bench_instructions_stop(void);

#ifdef __cplusplus
}
#endif

#endif
