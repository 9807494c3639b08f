/*
 * agent.h - agents: whoever takes ready tasks out of lanes, works on them, and reports.
 *
 *     struct pawl_agent_options options = {.name = "worker-1", .lanes = lanes, .lanes_count = 1};
 *     struct pawl_lease lease;
 *
 *     pawl_agent_open(runtime, &options, &agent);
 *     while (pawl_agent_next(agent, &lease, 1, SECOND) == 1) {
 *         struct pawl_report report = {.kind = PAWL_REPORT_DONE};
 *
 *         ... the work, at leisure: it does not run on a shard ...
 *         pawl_agent_report(agent, &lease, &report);
 *         while (pawl_agent_receipts(agent, &receipt, 1) == 1)
 *             ... what became of an earlier report ...
 *     }
 *
 * An agent is a name and an incarnation: each opening is a new one. It grants credits, shards answer
 * with leases. A lease has a token that is greater than that of any lease before it, and a deadline;
 * until then nobody else has the task. What an agent reports with a token that is over, or that is
 * another's, is refused, and it is told why.
 *
 * Reports are events at the task, of the kind's name (pawl_report_name): a machine takes those that
 * it has an event and a transition for. They are answered by receipts.
 *
 * pawl_drain hands nothing out any more, and waits until agents have ended what they have: meanwhile
 * they report, extend and release. When it has returned 0 reports get -EBUSY, until pawl_resume.
 *
 * Thread: one at a time uses an agent, as with a port. A runtime may have as many agents as ports.
 */
#ifndef PAWL_AGENT_H
#define PAWL_AGENT_H

#include <pawl/error.h>
#include <pawl/export.h>
#include <pawl/lane.h>
#include <pawl/machine.h>
#include <pawl/task.h>

PAWL_BEGIN_DECLS

struct pawl_agent;
struct pawl_runtime;

#define PAWL_AGENT_NAME_MAX 47 /* bytes */

struct pawl_agent_options {
    const char *name;         /* 1 to 47 printable bytes */
    const char *const *lanes; /* names of those it serves */
    unsigned lanes_count;     /* 1 to PAWL_LANES_MAX */
    uint32_t credits;         /* leases it will have or be offered at once; 0: 1; at most 65,536 */
    uint32_t reports;         /* reports without a receipt at once; 0: 64; at most 65,536 */
    uint64_t
        heartbeat_ns; /* no call for so long: it is dead, its leases end; 0: only by deadline */
    uint64_t
        resume;    /* an incarnation of this name to go on as, after the process was started again;
                        its leases that are left are its own (pawl_options.orphan_ns); 0: a new one */
    bool pollable; /* pawl_agent_fd will be used: costs three descriptors */
};

/*
 * pawl_agent_open - -EINVAL (a name, a number, an incarnation to resume that is not of an earlier
 * opening of the store), -EPERM (the incarnation has another name; known only while it had a lease
 * when the store was opened), -ESTALE (pawl_options.orphan_ns is over: its leases have ended),
 * -EEXIST (an open agent has resumed it), -ENOENT (a lane), -EBUSY (stopped), -ENOSPC (4096 ports, or
 * the process's descriptors), -ENOMEM. The runtime must have been opened with lanes.
 */
PAWL_API int pawl_agent_open(struct pawl_runtime *runtime, const struct pawl_agent_options *options,
                             struct pawl_agent **agent);

/* 64 bits that name an agent, in claims and on disk: FNV-1a of the name, never 0. */
PAWL_API uint64_t pawl_agent_number(const char *name);
PAWL_API uint64_t pawl_agent_incarnation(const struct pawl_agent *agent);

/* A task in an agent's hands. claim and state are as they were when it was handed out. */
struct pawl_lease {
    struct pawl_task task;
    uint64_t token;
    unsigned machine;
    unsigned state;
    struct pawl_claim claim;
};

/*
 * pawl_agent_next - leases that have arrived, up to capacity; grants what credits are free. Returns how
 * many; 0: none within timeout_ns (0: does not wait; in the host-driven mode it never does), though
 * receipts may have arrived; -EBUSY: the runtime was stopped. A lease runs from when it was handed out:
 * with more credits than hands, leases wait here while their time runs. Who waits for receipts as
 * well, or for them alone, sleeps in pawl_agent_wait.
 */
PAWL_API int pawl_agent_next(struct pawl_agent *agent, struct pawl_lease *leases, unsigned capacity,
                             uint64_t timeout_ns);

/*
 * pawl_agent_wait - sleeps until there is something to be had of what is waited for: 0; -ETIMEDOUT;
 * -ENOENT: receipts alone, and no report is without one; -EINVAL: nothing, or something unknown, is
 * waited for; -EBUSY: the runtime was stopped, or the agent is being closed. In the host-driven mode it
 * does not sleep: 0 or -EAGAIN. Waiting for leases grants credits that are free; a lease that has come
 * may have ended when pawl_agent_next is called, which then gives none. What is not waited for does
 * not end the wait, and is kept.
 */
#define PAWL_AGENT_LEASES   1u /* for pawl_agent_next */
#define PAWL_AGENT_RECEIPTS 2u /* for pawl_agent_receipts */
PAWL_API int pawl_agent_wait(struct pawl_agent *agent, unsigned what, uint64_t timeout_ns);

/*
 * A descriptor that is readable when a lease or a receipt may have arrived, for poll; -ENOTSUP without
 * options.pollable, and in the host-driven mode, where the shards' turns tell. When it is readable call
 * pawl_agent_next with timeout 0 until it gives 0, then pawl_agent_receipts.
 */
PAWL_API int pawl_agent_fd(struct pawl_agent *agent);

/* ---- Reports ---- */

enum pawl_report_kind {
    PAWL_REPORT_DONE,
    PAWL_REPORT_FAILED,   /* klass: of failures, the machine's policy says which are tried again */
    PAWL_REPORT_RELEASE,  /* given back untouched */
    PAWL_REPORT_EXTEND,   /* value: ns from now; 0: as long as the lane says */
    PAWL_REPORT_PROGRESS, /* value: as the machine likes */
    PAWL_REPORT_NOTE,     /* bytes: evidence */
    PAWL_REPORT_ACCEPT,   /* a verdict */
    PAWL_REPORT_REJECT,
    PAWL_REPORT_KINDS
};

/* "done", "failed", "release", "extend", "progress", "note", "accept", "reject". */
PAWL_API const char *pawl_report_name(enum pawl_report_kind kind);

#define PAWL_REPORT_BYTES_MAX 57344

struct pawl_report {
    enum pawl_report_kind kind;
    uint8_t klass;
    uint32_t id;  /* grows within a lease, below 2^24: applied once; 0: the agent counts */
    uint32_t tag; /* comes back in the receipt */
    uint64_t value;
    const void *bytes; /* evidence or a reference to it, up to PAWL_REPORT_BYTES_MAX; may be NULL */
    size_t size;
    uint64_t hash; /* of the evidence, as the host likes; 0: none */
};

/* What became of a report: status 0, or why it was refused (-ESTALE: the lease is over, -EPERM: it is
 * another's, -EALREADY: this id has been applied, -EPROTO: not in this state, -EIO: unknown ...). */
struct pawl_receipt {
    struct pawl_task task;
    uint64_t token;
    uint32_t id;
    uint32_t tag;
    int32_t status;
    uint16_t state;      /* of the task, after the report */
    uint16_t durability; /* enum pawl_durability */
    uint64_t value;      /* the handler's answer */
};

/*
 * pawl_agent_report - -EAGAIN: too many without a receipt: take some, try again; -EINVAL: no such
 * kind, too many bytes, or lease->machine is not the task's; -ENOTSUP: the task's machine has no event
 * of that name; -ENOMEM; -EBUSY. done, failed, release and a verdict give the lease back: its credit
 * is free when the receipt has come.
 * pawl_agent_report_many - as that for each of count leases and reports, in this order, for less.
 * Returns how many were sent: as pawl_port_post, fewer than count if one could not be, and its error
 * only if that was the first.
 */
PAWL_API int pawl_agent_report(struct pawl_agent *agent, const struct pawl_lease *lease,
                               const struct pawl_report *report);
PAWL_API int pawl_agent_report_many(struct pawl_agent *agent, const struct pawl_lease *leases,
                                    const struct pawl_report *reports, unsigned count);

/* Receipts that have arrived, up to capacity; returns how many. */
PAWL_API int pawl_agent_receipts(struct pawl_agent *agent, struct pawl_receipt *receipts,
                                 unsigned capacity);

/* Waits until every report has its receipt: 0, -ETIMEDOUT, -EBUSY; host-driven: 0 or -EAGAIN. */
PAWL_API int pawl_agent_settle(struct pawl_agent *agent, uint64_t timeout_ns);

/* A sign of life, for an agent with a heartbeat that works long between two calls. */
PAWL_API void pawl_agent_beat(struct pawl_agent *agent);

/*
 * pawl_agent_close - ends the agent: credits are withdrawn, leases that it still has end as lost: at once,
 * or where the disk is full as soon as there is room, or by their deadline.
 * -ETIMEDOUT, or -EAGAIN in the host-driven mode: call again. Receipts not taken are thrown away.
 */
PAWL_API int pawl_agent_close(struct pawl_agent *agent, uint64_t timeout_ns);

/* ---- Reports that were refused ---- */

/*
 * What an agent is told by a receipt whose status is not 0 is also kept by the shard that refused it:
 * the last PAWL_REFUSALS_KEPT, in memory, until the runtime is closed. A refused report changes
 * nothing, so nothing of it is written into its task or to disk.
 */
#define PAWL_REFUSALS_KEPT 256

struct pawl_refusal {
    uint64_t number;  /* a shard counts its refusals from 1 on */
    uint64_t wall_ns; /* when; 0 where the clock seam has no wall clock */
    struct pawl_task task;
    uint64_t agent; /* the incarnation that sent it */
    uint64_t token; /* that it gave */
    uint32_t id;
    uint32_t lane;              /* number of the task's lane; 0: the task is in none, or is gone */
    int32_t reason;             /* as in the receipt: -ESTALE, -EPERM, -EALREADY, -EPROTO ... */
    enum pawl_report_kind kind; /* PAWL_REPORT_KINDS: not known, the task is gone */
};

/*
 * pawl_refusals_read - those of a shard with numbers above `after`, oldest first, up to capacity.
 * Returns how many; -EINVAL: no such shard. Start with 0 and go on with the last number that was read;
 * a gap in the numbers says how many were written over before. Thread: any; never waits.
 */
PAWL_API int pawl_refusals_read(const struct pawl_runtime *runtime, unsigned shard, uint64_t after,
                                struct pawl_refusal *refusals, unsigned capacity);

/* ---- Reports inside a handler ---- */

/* An event of a report, taken apart. bytes point into the event's buffer. 0, or -EINVAL: it is none. */
struct pawl_reported {
    uint64_t token;
    uint64_t value;
    uint64_t hash;
    uint32_t id;
    uint8_t klass;
    const void *bytes;
    size_t size;
};
PAWL_API int pawl_report_read(const struct pawl_event *event, struct pawl_reported *reported);

/* ---- A pool ---- */

/*
 * Agents on threads of their own. work is called for each lease, at leisure; what it returns is
 * reported: it fills the report (PAWL_REPORT_DONE at first). Each thread is one agent, named
 * name-0, name-1 ...; threads start through the runtime's thread seam, pinned beside the shards where
 * the plan has processors left.
 */
typedef void pawl_agent_work_fn(void *user, struct pawl_agent *agent,
                                const struct pawl_lease *lease, struct pawl_report *report);

struct pawl_agent_pool;
PAWL_API int pawl_agent_pool_start(struct pawl_runtime *runtime,
                                   const struct pawl_agent_options *options, unsigned threads,
                                   pawl_agent_work_fn *work, void *user,
                                   struct pawl_agent_pool **pool);

/* Lets each finish what it has, then ends it. 0, or -ETIMEDOUT: a function has not come back; call again. */
PAWL_API int pawl_agent_pool_stop(struct pawl_agent_pool *pool, uint64_t timeout_ns);

PAWL_END_DECLS

#endif /* PAWL_AGENT_H */
