/*
 * ticket.h - what a task in a ready or leased state has beside its slot: its place in a lane's
 * order, or in the list of the tasks that its agent holds.
 *
 * Why not in the slot: most tasks of a runtime are not in a lane, and a slot is one cache line. A
 * ticket is one as well; it holds all that ordering and handing out ask for, so that the slot is
 * first touched when its task is next.
 *
 * Layer: lane. Owner: one shard, in whose slab the tickets lie; no other thread reads them. The
 * slab is made with TICKET_LINK as its link_offset: a free ticket's `next` is the slab's.
 */
#ifndef PAWL_LANE_TICKET_H
#define PAWL_LANE_TICKET_H

#include <stddef.h>
#include <stdint.h>

enum ticket_place {
    TICKET_NONE,   /* in no list */
    TICKET_READY,  /* in an order */
    TICKET_HANDED, /* taken out of its order; the step of its lease is under way */
    TICKET_LEASED, /* in the list of its holder */
    TICKET_RETRY,  /* its task refused the lease, and is ready again later */
};

/*
 * Field owners: O the order while place is TICKET_READY, else the shard, who uses them for its own
 * lists; P the order alone, at all times; S the shard, who leaves those marked * alone while the
 * ticket is in an order: they decide where.
 */
struct ticket {
    uint32_t next;     /* O: towards the tail of the list, 0 at its end */
    uint32_t prev;     /* O: towards the head */
    uint32_t ahead;    /* P: a ticket some places behind, worth fetching; only a hint */
    uint32_t slot;     /* S: the task's */
    uint64_t rank;     /* S*: the smaller the more urgent; of a timed one when it ends, in ns */
    uint64_t since;    /* S*: among equal ranks the smaller first */
    uint64_t assignee; /* S: the only agent that may have it; 0: any */
    uint32_t holder;   /* S: the port of the agent that has it */
    uint16_t lane;     /* S: position of its lane */
    uint8_t place;     /* O: enum ticket_place */
    uint8_t apart;     /* P: it came too late for the queue of its rank; see order.h */
    uint32_t round;    /* S: of a leased one, of its grant */
    uint32_t timed;    /* S: of a leased one, whether it is in its lane's list of deadlines */
    union {
        struct {
            uint32_t sooner, later; /* S: of a timed one, its neighbours there */
        };
        uint64_t again_ns; /* S: when one that refused is ready again */
    };
};

#define TICKET_LINK offsetof(struct ticket, next)

_Static_assert(sizeof(struct ticket) == 64, "a ticket is a cache line");

#endif /* PAWL_LANE_TICKET_H */
