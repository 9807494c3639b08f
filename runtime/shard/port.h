/*
 * port.h - ports inside: the rings between one producer and every shard, and how a shard finds
 * them.
 *
 * Layer: shard. A port has a lane to each shard: a ring of events, a small ring of control events,
 * a ring of completions back. A thread that posts without a port has a hidden one
 * (shard/portless.c). So every ring has one producer: a producer that loses its core in the middle
 * of a post stops nobody.
 *
 * A completion cannot find its ring full: a port admits no more completions at once than a ring
 * holds.
 */
#ifndef PAWL_SHARD_PORT_H
#define PAWL_SHARD_PORT_H

#include <pawl/port.h>
#include <pthread.h>

#include "shard/shard.h"

/*
 * Field owners: I constant once published; P the producer; S the shard; the rings have both ends.
 */
struct port_lane {
    struct spsc events;
    struct spsc control;
    struct spsc completions;

    struct outlet events_out;  /* P */
    struct outlet control_out; /* P */
    bool touched;              /* P: to be flushed by the post under way */

    _Alignas(SPSC_LINE) struct outlet completions_out; /* S */
    bool flush;                                        /* S: it is in shard->ports_flush */
};

struct agent;

/* Field owners: I constant; P the producer; A any thread; R the registry's mutex. */
struct pawl_port {
    struct port_registry *registry; /* I */
    uint32_t index;                 /* I: the source of its events is index + 1 */
    uint32_t shard_count;           /* I */
    uint32_t completions_max;       /* I */
    bool hidden;                    /* I */
    size_t mapped_bytes;            /* I */
    struct port_lane *lanes;        /* I: one a shard */
    uint16_t *touched;              /* I: P's list of shards to flush */
    struct park park;               /* P sleeps, shards wake */
    _Atomic(struct agent *) agent;  /* P: whose port it is; NULL: nobody's (lane/agent.h) */

    _Alignas(SPSC_LINE) uint32_t outstanding; /* P: completions asked for and not reaped */
    uint32_t reap_next;                       /* P: the lane where reaping goes on */
    uint32_t any_next;                        /* P: the next shard for PAWL_ANY_SHARD */
    struct pawl_port *next_dead;              /* R: hidden ports whose thread has ended */
    _Atomic uint32_t posting;                 /* P: a post is under way (shard/registry.h) */

    _Alignas(SPSC_LINE) _Atomic uint32_t closing; /* P: once */
    _Atomic uint32_t left;                        /* A: shards that have left */
};

/* pawl_port_cancel, with or without a completion. */
int pawl__port_cancel(struct pawl_port *port, struct pawl_task task, uint32_t tag, bool complete);

#endif /* PAWL_SHARD_PORT_H */
