/*
 * runtime.h - what the shards of a runtime share, and the stages of its life.
 *
 * Layer: shard. Made and unmade by runtime.c, read by the monitor and by any thread that reads
 * tasks.
 */
#ifndef PAWL_SHARD_RUNTIME_H
#define PAWL_SHARD_RUNTIME_H

#include <pawl/runtime.h>
#include <pawl/topology.h>
#include <pthread.h>

#include "shard/alias.h"
#include "shard/formers.h"
#include "shard/registry.h"
#include <pawl/work.h>

#include "shard/shard.h"

#define LANE_MACHINE_NONE UINT32_MAX

enum runtime_stage {
    STAGE_OPEN,
    STAGE_RUNNING,
    STAGE_PAUSED,
    STAGE_STOPPED,
};

/* What the monitor remembers of a shard between two looks. */
struct shard_watch {
    uint64_t turns;
    uint64_t task;
    uint32_t steps;
    uint64_t since_ns; /* when it was first seen like this */
    bool reported;
};

/* Field owners: I set at open; L the life cycle's mutex; M the monitor; A any thread. */
struct pawl_runtime {
    uint64_t number;                /* I: of this runtime in the process; 0 until it has one */
    const struct pawl_clock *clock; /* I, as the following */
    const struct pawl_threads *threads;
    bool host_driven;
    bool no_pin;
    uint64_t open_ns;
    uint64_t stall_ns;
    pawl_stall_fn *on_stall;
    void *user;
    uint32_t shard_count;
    uint32_t machine_count;
    uint32_t transitions_count; /* of all machines */
    uint64_t key_seed;
    struct shard **shards;
    struct shard_machine *machines_by_head; /* 2 * MACHINES_MAX */
    struct shard_machine *machines;         /* its upper half */
    struct pawl_plan *plan;                 /* NULL: threads float */
    struct port_registry *ports;
    struct pages_stats pages; /* of the shards themselves */
    struct store *store;      /* NULL: none (shard/store_open.h) */
    struct aliases aliases;   /* I: empty without a store */
    struct lane *lanes;       /* I: lane_count of them (shard/lanes.h) */
    uint32_t lane_count;
    uint32_t lane_machine;                /* I: of lanes' own tasks, or LANE_MACHINE_NONE */
    uint64_t orphan_ns;                   /* I: pawl_options.orphan_ns */
    struct formers formers;               /* I: agents that had leases when the store was opened */
    _Atomic uint64_t lanes_told;          /* A: grows: lanes are to be looked at again */
    const struct pawl_work_options *work; /* I: NULL: none */
    const struct pawl_machine *work_machines[PAWL_WORK_MACHINES]; /* I: the last ones listed */
    unsigned work_first;                /* I: position of the first of these */
    struct pawl_machine *lane_compiled; /* I: NULL: none */
    const struct pawl_machine **listed; /* I: the host's and these; NULL: only the host's */
    _Atomic uint64_t incarnations;      /* A: the newest: epoch:24 | count:40 (shard/agents.c) */

    pthread_mutex_t mutex;
    enum runtime_stage stage; /* L */
    bool has_mutex;

    void *monitor;                  /* L */
    struct park monitor_park;       /* M sleeps */
    _Atomic uint32_t monitor_stop;  /* L */
    struct shard_watch *watches;    /* M: one a shard */
    pthread_mutex_t stall_mutex;    /* of stalls */
    struct pawl_stall *stalls;      /* one a shard; stalled_ns 0: none */
    _Atomic uint64_t *stall_counts; /* M: one a shard */
};

/*
 * Of a task of a machine with lane states: its claim, its machine's number and its state, all of one
 * moment. 0, or -ESTALE: there is no such task (any more). Thread: any (shard/read.c).
 */
int pawl__claim_peek(const struct pawl_runtime *runtime, struct pawl_task task,
                     struct pawl_claim *claim, unsigned *machine, unsigned *state);

#endif /* PAWL_SHARD_RUNTIME_H */
