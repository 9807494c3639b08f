/*
 * work.h - the machines of the crash tests and the tasks made of them.
 *
 *   counter  sync. "add" counts, sends a credit to the counter's sink, on whatever shard that is, and pokes a job
 *   sink     sync, with a large context. "credit" counts
 *   drift    async. "add" counts
 *   job      sync. Is created, lives and ends; each one under a key of its own. Pokes it ignores, or is gone when
 *            they come: events that are taken and change nothing
 *
 * So after a crash, when everything is still: a counter has all acknowledged adds and none that were not posted,
 * a sink exactly as many credits as its counter has counted, a drift all that a sync has covered, and jobs are
 * there, or not, as was acknowledged.
 */
#ifndef PAWL_TESTS_CRASH_WORK_H
#define PAWL_TESTS_CRASH_WORK_H

#include <pawl/pawl.h>

#include "crash/ledger.h"

enum machine { MACHINE_COUNTER, MACHINE_SINK, MACHINE_DRIFT, MACHINE_JOB, MACHINE_COUNT };

enum { EVENT_ADD = 0, EVENT_CREDIT = 0, EVENT_FINISH = 0, EVENT_POKE = 1 };

/* Compiles them all; ends the process if that fails. */
void work_compile(const struct pawl_machine *machines[MACHINE_COUNT]);

/* The key of a standing task, and of a job's incarnation; their length. */
size_t work_key(char key[64], enum machine machine, unsigned number, uint64_t incarnation);

/* Reads a task's count. Returns 0, or an error: there is none, or its context is not what it should be. */
int work_count(const struct pawl_runtime *runtime, struct pawl_task task, enum machine machine,
               uint64_t *count);

/*
 * Compares the still runtime with the ledger, says on stderr what is wrong, and if nothing is, writes the truth into
 * the ledger. Returns how many things are wrong.
 */
unsigned work_settle(const struct pawl_runtime *runtime, struct ledger *ledger);

#endif /* PAWL_TESTS_CRASH_WORK_H */
