/*
 * work_machine.h - the work machine (pawl/work.h): its events, what a submission looks like on its
 * way, and what its handlers need to know of their runtime.
 *
 *     new ──► dependent ──► delayed ──► ready ══► leased ──► unverified ══► checked
 *      │                       ▲          ▲         │  │                       │
 *      │                       └──────────┴─ again ─┘  │                       │
 *      └─► cancelled, failed, dead ◄───────────────────┴──► completed ◄────────┘
 *
 * It is written with the public interface alone, as a host could. Where a task goes next often hangs
 * on a policy: then a handler writes the answer into work->next and raises `go`, and the
 * transitions of `go` follow it. next is 0 between steps, so `go` from outside moves nothing.
 *
 * Watching. `watch` and `follow` are deferred until a task is settled, and answered then. A task
 * that waits for another asks it `watch` and gets `settled`; a child asks its parent `follow` and
 * gets `parent`. So edges are durable, cross shards and are told once, by what deferring and asking
 * promise anyway. What has failed or is dead can be kicked, so it goes on deferring `follow`, and
 * those who ask are told -ECANCELED when it is gone: it was not cancelled with its tree.
 *
 * A changed definition has another hash, by which stores know it: agent/work_migrate.c must be told
 * of the one before.
 *
 * Layer: agent. Owner: the shard, inside steps.
 */
#ifndef PAWL_AGENT_WORK_MACHINE_H
#define PAWL_AGENT_WORK_MACHINE_H

#include <pawl/store.h>
#include <pawl/work.h>

#include "agent/note.h"

/* Codes of the work machine. Those of reports have the names of pawl_report_name. */
enum work_event {
    WORK_DONE,
    WORK_FAILED,
    WORK_RELEASE,
    WORK_EXTEND,
    WORK_PROGRESS,
    WORK_NOTE,
    WORK_ACCEPT,
    WORK_REJECT,
    WORK_GO,      /* raised: to where work->next says */
    WORK_LEASE,   /* the runtime hands the task out */
    WORK_EXPIRED, /* a lease is over */
    WORK_WATCH,   /* answered when settled: with the state */
    WORK_FOLLOW,  /* answered when settled: 1: cancelled with its tree */
    WORK_SETTLED, /* the answer to watch: arg[0] the state, arg[1] an error */
    WORK_PARENT,  /* the answer to follow */
    WORK_OPEN,    /* let go of a held task */
    WORK_AFTER,   /* buffer: struct work_after */
    WORK_CANCEL,  /* arg[0]: enum work_cancel */
    WORK_DUE,     /* timers' */
    WORK_OVERDUE,
    WORK_RECLAIM,
    WORK_KICK,
    WORK_DISCARD,
    WORK_PRIORITISE, /* arg[0]: the priority */
    WORK_EVENTS
};

enum work_timer { WORK_TIMER_LEASE, WORK_TIMER_DELAY, WORK_TIMER_DEADLINE, WORK_TIMER_KEEP };

/* pawl_work.flags, beside the public ones. */
#define WORK_IS_DELAYED  0x04u /* its time has not come */
#define WORK_HAS_TIMER   0x08u /* a deadline is armed */
#define WORK_TREE        0x10u /* cancelled with all that follow it */
#define WORK_IN_GRAPH    0x20u /* only its graph may say what it waits for */
#define WORK_IS_DECLARED 0x40u /* its graph has said all, and it is the host's to open */
#define WORK_IS_BROKEN   0x80u /* it cannot have what it waits for */
#define WORK_FLAGS_GIVEN (PAWL_WORK_HELD | PAWL_WORK_GROUP | WORK_IN_GRAPH)

/* What a cancel says besides. UNDECLARED: its graph was never declared to the end. */
enum work_cancel { WORK_CANCEL_ALONE, WORK_CANCEL_TREE, WORK_CANCEL_UNDECLARED };

/* How many may wait for one task to be settled. */
#define WORK_WATCHERS_MAX 4096u

/*
 * A submission. The context that a task is created with is a struct pawl_work of which these count:
 * claim.lane, claim.priority, claim.assignee, policy, parent, flags (WORK_FLAGS_GIVEN), undeclared,
 * due_ns and deadline_ns (both from now; 0: none). What does not fit there is the payload, which may be missing.
 */
struct work_payload {
    uint32_t after_count;
    uint32_t detail_size;
    uint64_t after[]; /* then the detail (agent/note.h) */
};

/* Who says what a task is to wait for. LAST: its graph, and that was all of the whole graph. */
enum work_by_graph { WORK_BY_HOST, WORK_BY_GRAPH, WORK_BY_GRAPH_LAST };

/* The buffer of WORK_AFTER. */
struct work_after {
    uint32_t count;
    uint32_t by_graph; /* enum work_by_graph */
    uint64_t after[];
};

extern const struct pawl_machine_def pawl__work_machine;

/*
 * pawl__work_machines - checks the options and compiles the library's machines for them: the work
 * machine, then those of notes. 0, -EINVAL (with diagnostics), -ENOMEM. destroy: what is NULL is
 * left out.
 */
int pawl__work_machines(const struct pawl_work_options *options, pawl_diagnostic_fn *diagnose,
                        void *user, const struct pawl_machine *machines[PAWL_WORK_MACHINES]);
void pawl__work_machines_destroy(const struct pawl_machine *machines[PAWL_WORK_MACHINES]);

/* What a policy says of lanes, where the runtime's are known: 0, or -EINVAL with diagnostics. */
int pawl__work_check_lanes(const struct pawl_work_options *options,
                           const struct pawl_lane_def *lanes, unsigned lane_count,
                           pawl_diagnostic_fn *diagnose, void *user);

/* ---- Of the runtime that a step is in: the shard layer says it ---- */

const struct pawl_work_options *pawl__step_work(const struct pawl_step *step);

/* The position of the work machine among the runtime's; the notes' follow it. */
unsigned pawl__step_machine_first(const struct pawl_step *step);

/* Whether the runtime has a lane of this number. */
bool pawl__step_has_lane(const struct pawl_step *step, uint32_t lane);

/* ---- Stores ---- */

/*
 * How tasks of one of the library's machines, as another version or with another durability has
 * written them, become those of today; NULL: they need not, or cannot. The migration takes no user.
 */
const struct pawl_migration *pawl__work_migration(const char *machine, uint64_t from_hash);

/* ---- Handlers ---- */

typedef void work_action_fn(struct pawl_step *step, void *context, const struct pawl_event *event);
typedef bool work_guard_fn(const struct pawl_step *step, const void *context,
                           const struct pawl_event *event);

/* work_life.c */
work_guard_fn pawl__work_is_parent_gone;
work_action_fn pawl__work_begin, pawl__work_go, pawl__work_after, pawl__work_open,
    pawl__work_settled_held, pawl__work_settled, pawl__work_settled_late, pawl__work_parent,
    pawl__work_due, pawl__work_due_early, pawl__work_overdue, pawl__work_cancel,
    pawl__work_cancel_late, pawl__work_prioritise, pawl__work_enter_completed,
    pawl__work_enter_failed, pawl__work_enter_cancelled, pawl__work_enter_dead, pawl__work_watch,
    pawl__work_follow, pawl__work_kick, pawl__work_reclaim, pawl__work_end;

/* work_lease.c */
work_guard_fn pawl__work_is_unverified;
work_action_fn pawl__work_lease, pawl__work_check, pawl__work_done, pawl__work_done_verify,
    pawl__work_failed, pawl__work_release, pawl__work_extend, pawl__work_progress, pawl__work_note,
    pawl__work_expired, pawl__work_accept, pawl__work_reject, pawl__work_give_back,
    pawl__work_check_expired, pawl__work_refuse;

/* ---- What both kinds use: work_life.c ---- */

/* Where the task goes when this handler is done; it must be declared to raise `go`. */
void pawl__work_next(struct pawl_step *step, struct pawl_work *work, enum pawl_work_state state);

/* Ready, in its own lane; or completed, where there is no work to do; or dead without a lane. */
void pawl__work_make_ready(struct pawl_step *step, struct pawl_work *work);

/* An attempt has failed: counted, written down, and what follows decided. */
void pawl__work_fail(struct pawl_step *step, struct pawl_work *work, unsigned klass, int reason,
                     uint64_t agent);

/* An agent died with it; true: it was one too many, and the task goes where it is dead. */
bool pawl__work_crashed(struct pawl_step *step, struct pawl_work *work);

/* A note of history, where the policy has room for it; otherwise it is counted as missed. */
void pawl__work_history(struct pawl_step *step, struct pawl_work *work,
                        const struct pawl_work_note *note);

const struct pawl_work_policy *pawl__work_policy(const struct pawl_step *step,
                                                 const struct pawl_work *work);

#endif /* PAWL_AGENT_WORK_MACHINE_H */
