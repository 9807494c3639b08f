/*
 * bare_journal.h - the limit of the durable rows: tasks in an array, a record of 48 bytes a step copied
 * into groups, and each group one durable write. No runtime, no ids, no checksums, nobody who may look.
 *
 * The file is filled with zeroes when it is opened and written over and over: no space is ever
 * allocated and no metadata changes, as in a journal that was prepared ahead.
 */
#ifndef PAWL_BENCH_BARE_JOURNAL_H
#define PAWL_BENCH_BARE_JOURNAL_H

#include <stdint.h>

#include "histogram.h"
#include "peers/stores.h"

enum { BARE_RECORD = 48 };

struct bare_journal;

/* groups of so many records, writes under way at once: at most 64. Groups of one: for singles only. */
struct bare_journal *bare_journal_open(const char *folder, uint32_t tasks, unsigned group,
                                       unsigned depth);
void bare_journal_close(struct bare_journal *journal);

/* NULL, or what groups need that is missing here: a package, or what the system does not offer. */
const char *bare_journal_absent(void);

/*
 * A step of each key's task; returns when all are on disk. commits (may be NULL) gets one value a group: from
 * before its first step until it and all groups before it are durable.
 */
void bare_journal_steps(struct bare_journal *journal, const uint32_t *keys, uint64_t count,
                        struct histogram *commits);

/* One step at a time, each one pwritev2 of 4 KiB with RWF_DSYNC; commits gets every step. */
void bare_journal_singles(struct bare_journal *journal, const uint32_t *keys, uint64_t count,
                          struct histogram *commits);

/* Bytes written by steps so far. */
uint64_t bare_journal_bytes(const struct bare_journal *journal);

/* Steps of this task so far. */
uint64_t bare_journal_count(const struct bare_journal *journal, uint32_t task);

#endif
