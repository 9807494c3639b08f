/*
 * durable.h - Pawl's side of the durable rows: a runtime with a store, tasks of one life cycle, and the ways
 * of stepping them.
 *
 * Tasks are numbers from 0 on, spread over the shards in blocks. Contexts are struct record (24 bytes).
 * Whatever the runtime refuses fails the bench with what it said.
 */
#ifndef PAWL_BENCH_DURABLE_H
#define PAWL_BENCH_DURABLE_H

#include <pawl/pawl.h>
#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

struct durable_spec {
    const char *folder; /* of the store; NULL: none */
    enum pawl_durability durability;
    enum pawl_drive drive;
    unsigned shards;
    uint64_t tasks;          /* in all; a multiple of the shards */
    uint32_t depth;          /* events under way at once: a power of two */
    uint64_t snapshot_bytes; /* as in pawl_store_options */
};

struct durable;

/* A new store with all tasks, synced. */
struct durable *durable_create(const struct durable_spec *spec);

/*
 * Opens a store that durable_create made with this spec and that was closed. Returns how long pawl_open
 * took; the runtime is not started. Nothing but durable_check, durable_status and durable_close after it.
 */
struct durable *durable_reopen(const struct durable_spec *spec, double *seconds);

void durable_close(struct durable *durable);

/* ---- One shard only ---- */

/*
 * A step of each key's task, `under_way` of them at once, each with a completion; returns when all have
 * been reaped. commits gets every 64th: from before its post to after its reaping; with one under
 * way, every one. Checks that each is as safe as the machine says.
 */
void durable_steps(struct durable *durable, const uint32_t *keys, uint64_t count,
                   uint32_t under_way, struct histogram *commits);

/*
 * The same without completions. Returns the time that the turns alone took in the host-driven mode, in ns.
 */
uint64_t durable_stream(struct durable *durable, const uint32_t *keys, uint64_t count);

/* ---- */

/* Waits until everything is on disk. */
void durable_sync(struct durable *durable);
void durable_snapshot(struct durable *durable);

/* Of one shard. */
struct pawl_store_status durable_status(const struct durable *durable, unsigned shard);

/* Fails the bench unless the task has made so many steps and is in the state that they lead to. */
void durable_check(const struct durable *durable, uint64_t task, uint64_t steps);

#endif
