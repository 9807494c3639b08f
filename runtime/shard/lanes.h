/*
 * lanes.h - a shard's part of every lane: which of its tasks are ready there, who holds which, and the
 * phase of the turn that hands out.
 *
 * Layer: shard. Owner: the shard, but for what is published.
 *
 * Nothing here is stored. The order in a lane is an index over the tasks in ready states, as the leases
 * are one over those in leased states; a store brings the tasks back and with them all that is in
 * their claims, and pawl__lanes_restore makes the indexes again.
 */
#ifndef PAWL_SHARD_LANES_H
#define PAWL_SHARD_LANES_H

#include <pawl/lane.h>

#include "lane/agent.h"
#include "lane/lane.h"
#include "lane/order.h"
#include "lane/ticket.h"
#include "shard/shard.h"

/* Lists of leases whose agents have no port (any more). */
enum {
    HELD_BEFORE = PORTS_MAX, /* of agents that were there before the runtime was opened */
    HELD_LOST,               /* of agents that are gone: they end as soon as there is room for it */
    HELD_ORPHANS,            /* their machine would not end them: they go on until their deadline */
    HELD_LISTS
};

/* Tickets of one lane for one agent only. */
struct assigned {
    uint64_t assignee;
    struct order order;
};

/* Counters of pawl_lane_status that a shard keeps, in the order in which they are published. */
enum lane_count {
    LANE_READY,
    LANE_LEASED,
    LANE_OLDEST, /* since_ns; 0: nothing is ready */
    LANE_LEASES,
    LANE_RETURNED,
    LANE_EXPIRED,
    LANE_LOST,
    LANE_REFUSED,
    LANE_GOOD,
    LANE_BAD,
    LANE_COUNTS
};

/* One lane on one shard. */
struct lane_part {
    struct lane *lane;
    struct order order;        /* for anybody */
    struct assigned *assigned; /* for one agent each */
    uint32_t assigned_count;
    uint32_t ready; /* tickets in all of these orders */
    uint32_t aside; /* of ready tasks that refused, and are in none until they are offered again */
    uint64_t pass;  /* among the lanes of an agent the smallest is next */
    uint64_t retry_ns; /* it may hand out nothing until then; UINT64_MAX: until told */
    uint64_t kept;     /* lane.changed as it is stored (shard/lane_keeper.h) */
    uint32_t first_to_end, last_to_end; /* tickets with deadlines (shard/deadlines.h) */
    uint64_t count[LANE_COUNTS];
    _Atomic uint64_t published[LANE_COUNTS];
};

/* What a step does to its machine's lease timer. */
enum lease_timer {
    LEASE_TIMER_KEEP,
    LEASE_TIMER_ARM, /* by the ticket's deadline, not by the timer itself (shard/deadlines.h) */
    LEASE_TIMER_CANCEL,
};

/* What a step that is staged will do to its ticket. */
struct claim_staged {
    struct ticket *ticket; /* the task's; NULL: it has none yet */
    enum lease_timer timer;
    enum lane_role role;
    uint16_t lane; /* position */
    uint64_t rank;
    uint64_t since;
    uint64_t assignee;
    uint64_t deadline_ns; /* of a new lease */
};

struct lanes {
    struct lane_part *parts;
    uint32_t count;
    struct slab tickets;
    struct order_pool pool;
    uint32_t spare;   /* a free ticket, so that a commit cannot want for one */
    uint64_t ready;   /* lanes with tickets, a bit each */
    uint64_t since;   /* the newest stamp given out */
    uint64_t token;   /* the newest given out */
    uint16_t *round;  /* ports, all below round_count: who was served longest ago is first */
    uint16_t *served; /* room for as many: those of this turn */
    uint32_t round_count;
    uint32_t *held;      /* first ticket leased, by the agent's port; then the HELD_ lists */
    uint32_t held_count; /* tickets in these lists */
    uint32_t waiting;    /* of these: in HELD_BEFORE and HELD_ORPHANS, which only time ends */
    uint32_t timed;      /* leased tickets that a list of deadlines ends, and no timer */
    uint64_t due_ns;     /* none of them ends before */
    uint64_t lose_ns;    /* leases that could not be ended are tried again then; 0: none */
    uint64_t keep_ns;    /* what could not be written down of a lane is tried again then */
    uint64_t before_ns;  /* when those of HELD_BEFORE end as lost; UINT64_MAX: never */
    uint64_t beat_ns;    /* when signs of life are to be looked at; UINT64_MAX: never */
    uint32_t *let_go;    /* by port: the life of it whose agent has been let go */
    uint32_t *adopted;   /* by port: the life of it whose agent has been given what it had before */
    uint64_t oldest_ns;  /* when LANE_OLDEST was last looked up */
    bool oldest_due;     /* it may have changed since */
    uint32_t retry_first; /* tickets whose task refused its lease, by when they are ready again */
    uint32_t retry_last;
    bool changed;    /* counters are to be published */
    uint64_t told;   /* runtime.lanes_told as this turn knows it */
    uint32_t drains; /* port_registry.drains as this turn knows it */

    /* For a drain (watch/drain.h): */
    _Atomic uint32_t drained; /* the drain that this shard has heard of, at the end of a turn */
    _Atomic uint32_t busy;    /* leases that somebody can report on, or that end by themselves */

    const struct agent *to; /* being handed to; NULL: the lease event comes from nobody */
    uint16_t to_source;
    uint32_t to_round;   /* of the grant: lane_admit */
    uint32_t leased;     /* of the grant: have become leases */
    enum pawl_lost lost; /* why lease timers' events are being delivered early */
    struct claim_staged staged;
    struct refusals *refusals; /* shard/refusals.h */
};

/* When leases of agents of before end, unless they are resumed; UINT64_MAX: by their deadline. */
static inline uint64_t lanes_orphans_end_ns(uint64_t open_ns, uint64_t orphan_ns)
{
    return orphan_ns == 0 || orphan_ns > UINT64_MAX - open_ns ? UINT64_MAX : open_ns + orphan_ns;
}

/* Everybody ages alike, so what a ticket's rank is when it becomes ready stays right. */
static inline uint64_t lane_rank(const struct lane *lane, uint32_t priority, uint64_t since_ns)
{
    return priority + (lane->age_ns != 0 ? since_ns / lane->age_ns : 0);
}

/*
 * All shards look at their lanes again: a limit has become free, a lane was resumed. Thread: any.
 *
 *   teller                                  shard
 *   told += 1                (release) T1   announces its sleep
 *   light barrier; is the shard asleep?     heavy barrier
 *   then wake it                            told as before?   (acquire) T2   then it may sleep
 */
void pawl__lanes_wake(struct pawl_runtime *runtime);

/* The runtime's lanes, from its options: 0, -EINVAL (told), -ENOMEM. */
int pawl__lanes_create(struct pawl_runtime *runtime, const struct pawl_options *options);
void pawl__lanes_destroy(struct pawl_runtime *runtime);

/* 0 or -ENOMEM. */
int pawl__lanes_init(struct shard *shard);
void pawl__lanes_fini(struct shard *shard);

/* After recovery: tickets for the tasks in lane states. 0, -ENOMEM, or -ENOENT and *number: a task
 * waits in a lane that the runtime does not have. */
int pawl__lanes_restore(struct shard *shard, uint32_t *number);

/* Phase of the turn: hands out what agents have credits for. Returns how many events were handled. */
uint32_t pawl__lanes_take(struct shard *shard);

/* Whether anything could be handed out now; when it is to be looked at again. */
bool pawl__lanes_have_work(struct shard *shard);
uint64_t pawl__lanes_timeout_ns(struct shard *shard);

/*
 * A batch of ready tasks from the lanes of the mask, to an agent that may have them: returns how many
 * were offered to it (hand_out.c).
 */
uint32_t pawl__hand_out(struct shard *shard, const struct pawl_port *port, struct agent *agent,
                        uint64_t mask);

/* Once a turn. */
void pawl__lanes_publish(struct shard *shard);

/* ---- Lists: tickets.c ---- */

static inline struct ticket *lanes_ticket(const struct lanes *lanes, uint32_t index)
{
    return slab_at_sized(&lanes->tickets, index, sizeof(struct ticket));
}

/* Armed timers of this shard's tasks, deadlines of leases among them. */
static inline uint32_t lanes_timers(const struct shard *shard)
{
    return wheel_armed_count(&shard->wheel) + (shard->lanes != NULL ? shard->lanes->timed : 0);
}

/* A ticket, by its index, into its lane's order or into its holder's list, and out of where it is. */
void pawl__lanes_place(struct shard *shard, uint32_t index, struct ticket *ticket);
void pawl__lanes_take_out(struct shard *shard, uint32_t index, struct ticket *ticket);

/* A ticket whose task has refused its lease: ready again after a while; and those whose while is over. */
void pawl__lanes_put_aside(struct shard *shard, uint32_t ticket);
void pawl__lanes_take_back(struct shard *shard);

/* A leased ticket into another list. */
void pawl__lanes_move(struct lanes *lanes, uint32_t ticket, uint32_t list);

/* An agent goes on as one of before: what that one had is in its list. */
void pawl__lanes_adopt(struct shard *shard, uint32_t port, uint64_t incarnation);

/* The tickets for one agent alone; NULL: none. */
struct assigned *pawl__lanes_assigned(const struct lane_part *part, uint64_t assignee);

/* How many ready tickets of a lane this agent may have. */
static inline uint64_t lanes_available(const struct lane_part *part, uint64_t agent)
{
    const struct assigned *mine =
        part->assigned_count > 0 ? pawl__lanes_assigned(part, agent) : NULL;

    return order_count(&part->order) + (mine != NULL ? order_count(&mine->order) : 0);
}

/* The order that a ticket for this lane and assignee belongs to; made if need be; NULL: no memory. */
struct order *pawl__lanes_order(struct lanes *lanes, uint32_t lane, uint64_t assignee);

static inline struct order *lanes_order(struct lanes *lanes, uint32_t lane, uint64_t assignee)
{
    return likely(assignee == 0) ? &lanes->parts[lane].order
                                 : pawl__lanes_order(lanes, lane, assignee);
}

/* The position of a lane; -1: there is none of this number. */
int pawl__lanes_position(const struct lanes *lanes, uint32_t number);

#endif /* PAWL_SHARD_LANES_H */
