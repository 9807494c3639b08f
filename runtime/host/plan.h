/*
 * plan.h - the plan as plan.c makes it, and as plan_explain.c and plan_draw.c show it: the cpus of
 * the machine and, for every thread, the one it got.
 *
 * Layer: host. May include: base. Owner: immutable once made. Limits: SHARDS_MAX shards and
 * IO_THREADS_MAX I/O threads; as many cpus as memory holds.
 */
#ifndef PAWL_HOST_PLAN_H
#define PAWL_HOST_PLAN_H

#include <pawl/topology.h>

#include "host/topology.h"

#define IO_THREADS_MAX 1024u
#define PU_NONE        (~0u) /* of a thread that floats */

/* A thread of the plan: what the caller sees of it, and its cpu's place in the list. */
struct seat {
    struct pawl_placement place;
    unsigned pu; /* index into pus, or PU_NONE */
};

struct pawl_plan {
    unsigned shard_count;
    unsigned io_count;
    bool has_monitor;
    bool shards_asked; /* the number of shards is the caller's, not rule 4's */
    bool left_a_core;  /* rule 4 left the last core for housekeeping */

    unsigned pu_count;
    struct pu *pus;    /* the topology's list: the plan outlives the topology */
    unsigned *allowed; /* the cpus of pus, ascending: where floating threads may go */

    struct seat *shards;
    struct seat *io;
    struct seat monitor;
};

#endif /* PAWL_HOST_PLAN_H */
