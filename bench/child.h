/*
 * child.h - peers that are programs of their own: a line to them is a question, a line back the answer.
 *
 * A child serves until its input ends. It answers each line with one line: "ok ..." or "error WHY".
 * Its time is its own monotonic clock's, taken around the work alone, so pipes cost nothing that counts.
 */
#ifndef PAWL_BENCH_CHILD_H
#define PAWL_BENCH_CHILD_H

#include <stdint.h>

struct child;

/*
 * Starts a program of the build's folder of peers (a relative path) or of PATH (no slash), unpinned.
 * `arguments` is what comes after the program's name, ended by NULL. Fails the bench if it cannot.
 */
struct child *child_start(const char *program, const char *const *arguments);

/* Sends a line and returns the answer after "ok ", valid until the next call. Fails on "error". */
const char *child_ask(struct child *child, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int child_pid(const struct child *child);

/* Ends its input, waits for it to go, and frees. */
void child_stop(struct child *child);

#endif
