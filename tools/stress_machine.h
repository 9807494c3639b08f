/*
 * stress_machine.h - the machines of `pawl stress`, and the layout of their events and contexts.
 *
 * porter   a resident whose context is a block of the shard's pool (more than 24 bytes)
 * runner   the same machine with a context inside the slot
 * life     a keyed task that is created, used and ended all the time
 * spark    a task that a porter creates from inside a step; it reports back and burns out by
 *          timeout
 *
 *     living ──────────────────────────────────────────────┐     chain, query, alarm, urgent, ...
 *     │  active (history) ─────────────┐   pause           │     are taken here, in every state
 *     │  │   idle <──flip──> busy      │ ─────> waiting    │
 *     │  └─────────────────────────────┘ <────  (defers    │ retire
 *     │            work, parcel    resume, lapse work, ...)│ ──────> gone
 *     └────────────────────────────────────────────────────┘
 */
#ifndef PAWL_TOOLS_STRESS_MACHINE_H
#define PAWL_TOOLS_STRESS_MACHINE_H

#include <pawl/machine.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

enum stress_machine {
    MACHINE_PORTER,
    MACHINE_RUNNER,
    MACHINE_LIFE,
    MACHINE_SPARK,
    STRESS_MACHINES
};
const struct pawl_machine_def *stress_machine_definition(enum stress_machine machine);
const struct pawl_machine_def *resident_definition(bool porter);

/* Positions in the residents' tables. */
enum resident_event {
    EV_WORK,
    EV_PARCEL,
    EV_PAUSE,
    EV_RESUME,
    EV_LAPSE,
    EV_CHAIN,
    EV_QUERY,
    EV_REPLY,
    EV_ALARM,
    EV_ECHO,
    EV_URGENT,
    EV_CANCEL,
    EV_SPARK_MADE,
    EV_SPARK,
    EV_POISON, /* only steps that are given up post it: nobody may ever see one */
    EV_RETIRE,
};
enum resident_state { ST_LIVING, ST_ACTIVE, ST_IDLE, ST_BUSY, ST_WAITING, ST_GONE };

enum life_event { LIFE_NOTE, LIFE_SLEEP, LIFE_WAKE, LIFE_END, LIFE_FINISH, LIFE_EXPIRE };
enum life_state { LIFE_ALERT, LIFE_ASLEEP, LIFE_DEAD };

/*
 * Lanes of a resident. 0 .. LANES - 1 are producers: lane j of resident i belongs to producer
 * (i + j) % producers; a runner has room for lane 0 only. LANE_CONTROL + j is the same producer's
 * stream of control events.
 */
enum { LANES = 4, LANE_CHAIN = 4, LANE_ASK = 5, LANE_SPARK = 6, LANE_CONTROL = 8, LANE_NONE = 15 };

/* A key: index:28 | lane:4 | sequence:32. Rides in arg[1], of a query in arg[0]. */
#define INDEX_BITS 28
static inline uint64_t key_make(uint32_t index, unsigned lane, uint32_t sequence)
{
    return (uint64_t)index << 36 | (uint64_t)lane << 32 | sequence;
}
static inline uint32_t key_index(uint64_t key)
{
    return (uint32_t)(key >> 36);
}
static inline unsigned key_lane(uint64_t key)
{
    return (unsigned)(key >> 32) & 15u;
}
static inline uint32_t key_sequence(uint64_t key)
{
    return (uint32_t)key;
}

/* What work asks for: op:4 | flags:4 | hops:8 | sender:16 | detail:32. Rides in arg[0]. */
enum op {
    OP_PLAIN,
    OP_CHAIN,
    OP_ARM,
    OP_DISARM,
    OP_RAISE,
    OP_ASK,
    OP_SPARK,
    OP_ABORT,      /* changes everything, then gives up */
    OP_ABORT_LATE, /* likewise, in the handler of an event it raises */
    OP_TEAR,       /* planted faults */
    OP_CHEAT_CHAIN,
    OP_CHEAT_TIMER,
};
#define WORK_FLIP  0x1u /* taken by the transition to the other of idle and busy */
#define WORK_AGAIN 0x2u /* taken by the transition that exits and enters the same state */

static inline uint64_t work_make(enum op op, unsigned flags, unsigned hops, unsigned sender,
                                 uint32_t detail)
{
    return (uint64_t)op << 60 | (uint64_t)flags << 56 | (uint64_t)hops << 48 |
           (uint64_t)sender << 32 | detail;
}
static inline enum op work_op(uint64_t work)
{
    return (enum op)(work >> 60);
}
static inline unsigned work_flags(uint64_t work)
{
    return (unsigned)(work >> 56) & 15u;
}
static inline unsigned work_hops(uint64_t work)
{
    return (unsigned)(work >> 48) & 255u;
}
static inline unsigned work_sender(uint64_t work)
{
    return (unsigned)(work >> 32) & 65535u;
}
static inline uint32_t work_detail(uint64_t work)
{
    return (uint32_t)work;
}

/* The error an aborting handler chooses, so that the sender knows which to expect. */
static inline int abort_error(uint32_t detail)
{
    static const int errors[] = {-EIO, -EBADMSG, -ETIMEDOUT, -EBUSY};
    return errors[detail & 3];
}

/* What a parcel's buffer holds: the work word, the key, the key's answer. */
#define PARCEL_WORDS 3

/* Tags of events that nobody completes; the high bit keeps them apart from producers' slots. */
#define TAG_RESIDENT 0x80000000u
#define TAG_LIFE     0x90000000u
#define TAG_POKE     0xa0000000u
#define TAG_KIND     0xf0000000u

/* Residents are porters and runners in no order that any stride could follow. */
static inline bool is_porter(uint32_t index)
{
    return (index * UINT32_C(2654435761)) >> 31;
}

/* What a handler answers to a key. */
static inline uint64_t answer_to(uint64_t key)
{
    return mix64(key ^ UINT64_C(0x5851f42d4c957f2d));
}

/* head: index:28 | armed:1 | long:1 | where:2. What porter and runner have in common. */
struct resident {
    uint32_t head;
    uint32_t chain_in;
    uint32_t chain_out;
};
#define HEAD_INDEX ((1u << INDEX_BITS) - 1)
#define HEAD_ARMED (1u << 28)
#define HEAD_LONG  (1u << 29) /* the alarm is an hour away */
#define HEAD_WHERE 30         /* 1 idle, 2 busy, 3 waiting */

struct runner {
    struct resident common;
    uint32_t lane;
    uint16_t raised;
    uint16_t echoed;
    uint32_t seal; /* over all before it: a context of mixed steps does not fit its seal */
};

struct porter {
    struct resident common;
    uint32_t lane[LANES];
    uint32_t control[LANES];
    uint32_t raised;
    uint32_t echoed;
    uint32_t entries;
    uint32_t exits;
    uint32_t asks;
    uint32_t replies;
    uint32_t sparks_asked;
    uint32_t sparks_made;
    uint32_t sparks_failed;
    uint32_t sparks_heard;
    uint32_t pokes;
    uint32_t armed;
    uint32_t fired;
    uint32_t disarmed;
    uint32_t remembered; /* where it was when it was paused */
    uint64_t due_ns;
    uint64_t seal;
};

struct life {
    uint32_t owner; /* producer << 16 | place */
    uint32_t notes; /* the last one's number */
    uint32_t asleep;
    uint32_t seal;
};

_Static_assert(sizeof(struct runner) == 24, "the runner's context is to live in the slot");
_Static_assert(sizeof(struct porter) % 8 == 0 && sizeof(struct porter) > 24,
               "the porter's context is to live in a block, and is sealed in words");

/* True when the context's seal fits it. */
bool porter_is_sealed(const struct porter *porter);
bool runner_is_sealed(const struct runner *runner);
bool life_is_sealed(const struct life *life);

#endif /* PAWL_TOOLS_STRESS_MACHINE_H */
