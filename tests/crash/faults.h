/*
 * faults.h - the system's storage behind a table that counts its calls and, at the n-th of one kind, kills
 * the process or returns an error.
 *
 * So a worker dies at each call of its way to the disk in turn, before it, after it, and half way through what
 * it writes. One such table a process; any thread.
 */
#ifndef PAWL_TESTS_CRASH_FAULTS_H
#define PAWL_TESTS_CRASH_FAULTS_H

#include <pawl/seams.h>

#include "crash/ledger.h"

/* call: enum call. error: what the failing call returns, negative. Counts are kept in the ledger. */
const struct pawl_storage *faults_storage(struct ledger *ledger, unsigned call, uint64_t nth,
                                          enum fault fault, int error);

#endif /* PAWL_TESTS_CRASH_FAULTS_H */
