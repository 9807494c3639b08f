/*
 * runtime.h - a runtime: shards, their threads, and the tasks in them.
 *
 * Life cycle: pawl_open -> pawl_start -> (pawl_pause <-> pawl_resume) -> pawl_drain -> pawl_stop ->
 * pawl_close. Each may be left out on the way to close. Several runtimes can live in one process.
 * After fork without exec a runtime must not be used in the child.
 */
#ifndef PAWL_RUNTIME_H
#define PAWL_RUNTIME_H

#include <pawl/lane.h>
#include <pawl/machine.h>
#include <pawl/seams.h>
#include <pawl/store.h>
#include <pawl/task.h>
#include <string.h>

PAWL_BEGIN_DECLS

struct pawl_runtime;
struct pawl_work_options;

/* Who turns the shards. */
enum pawl_drive {
    PAWL_DRIVE_THREADS, /* one pinned thread a shard and a monitor, started by pawl_start */
    PAWL_DRIVE_HOST,    /* the host calls pawl_turn; the library starts no thread at all */
};

/*
 * An accepted event that its task did not handle and that has no completion to say so. reason:
 * -ESTALE, -EPROTO, -ENOSPC, -ECANCELED, -EINVAL (no such code), or what a handler aborted with.
 * Called on the shard's thread; must not block. The event and its buffer live only during the call.
 */
typedef void pawl_undelivered_fn(void *user, const struct pawl_event *event, int reason);

/* A step that has not come back for stall_ns. Called on the monitor's thread, once a stall. */
struct pawl_stall {
    unsigned shard;
    struct pawl_task task;
    unsigned machine;
    unsigned state;
    unsigned event;
    const char *machine_name;
    const char *state_name;
    const char *event_name;
    uint64_t stalled_ns;
};
typedef void pawl_stall_fn(void *user, const struct pawl_stall *stall);

/*
 * Options. Start from PAWL_OPTIONS_INIT; 0 and NULL mean the default said here. size, which
 * it sets, lets a newer library serve an older host; -EINVAL without a diagnostic if it is wrong.
 */
struct pawl_options {
    size_t size;
    const struct pawl_machine *const
        *machines; /* at least one, or `work`; at most 256; constant after open */
    unsigned machine_count;
    unsigned shards; /* 0: as the placement plan advises; at most 1024 */
    enum pawl_drive drive;
    int no_pin;       /* 1: threads float */
    uint64_t tick_ns; /* grain of timers; 0: 1 ms; 1 us to 1 s */
    uint64_t
        tasks_max; /* live tasks a shard; 0: 2^32 - 2^16; the address space is taken as needed */
    uint64_t memory_max;    /* bytes of events queued inside a shard; 0: as inflight_max gives */
    uint32_t inflight_max;  /* events queued inside a shard, its timers apart; 0: 2^20 */
    uint32_t exchange_ring; /* events in each ring between two shards; 0: by the number of shards */
    uint64_t spin_ns;       /* how long an idle shard looks for work before it sleeps; 0: 20 us */
    int no_huge_pages;
    const struct pawl_clock *clock;
    const struct pawl_random *random;
    const struct pawl_threads *threads;
    const struct pawl_storage *storage;
    uint64_t seed;                       /* 0: from the random seam */
    void *user;                          /* the host's pointer, for handlers and callbacks */
    pawl_undelivered_fn *on_undelivered; /* NULL: only counted */
    uint64_t stall_ns;                   /* 0: 1 s */
    pawl_stall_fn *on_stall;             /* NULL: only counted, and kept for pawl_runtime_stall */
    pawl_diagnostic_fn *diagnose; /* what is wrong with these options, in words; may be NULL */
    const struct pawl_store_options *store; /* NULL: no store, all machines are memory-only */
    const struct pawl_lane_def *lanes;      /* for machines with lane states (lane.h) */
    unsigned lane_count;                    /* at most PAWL_LANES_MAX */
    const struct pawl_work_options *work;   /* NULL: without the work machine (work.h) */
    /* With a store: leases of agents that were there before it was opened end so long after opening,
     * as lost, unless the agent is resumed (agent.h) by then; 0: they last until their deadline. */
    uint64_t orphan_ns;
};

static inline struct pawl_options pawl_options_init(void)
{
    struct pawl_options options;

    memset(&options, 0, sizeof(options));
    options.size = sizeof(options);
    return options;
}
#define PAWL_OPTIONS_INIT pawl_options_init()

/*
 * pawl_open - make a runtime; no thread is started, no task exists.
 * -EINVAL (with a diagnostic), -ENOMEM, -ENOTSUP (a virtual clock with threads).
 * pawl_close - free it and all its tasks, stopping it first if need be; every port and window
 * (live.h) must be closed before, or -EBUSY. Not while another thread is inside any call on it. No handler runs.
 */
PAWL_API int pawl_open(const struct pawl_options *options, struct pawl_runtime **runtime);
PAWL_API int pawl_close(struct pawl_runtime *runtime);

/*
 * pawl_start - begin to turn: starts the threads, or in the host-driven mode allows pawl_turn.
 * pawl_pause - returns when no shard is inside a step; time goes on, events wait. pawl_resume.
 * pawl_stop  - end the threads after the turn they are in. Events still queued are reported
 *              -ECANCELED to their senders. Afterwards tasks can still be read; posting says -EBUSY.
 * Thread: any one at a time; not from a handler or a callback. -EBUSY: wrong stage.
 */
PAWL_API int pawl_start(struct pawl_runtime *runtime);
PAWL_API int pawl_pause(struct pawl_runtime *runtime);
PAWL_API int pawl_resume(struct pawl_runtime *runtime);
PAWL_API int pawl_stop(struct pawl_runtime *runtime);

/* What keeps a drain from ending. */
enum pawl_blocker {
    PAWL_BLOCKED_BY_NOTHING,
    PAWL_BLOCKED_BY_EVENTS,   /* events queued in or between shards */
    PAWL_BLOCKED_BY_PORT,     /* events posted and not yet taken */
    PAWL_BLOCKED_BY_DEFERRED, /* a task keeps deferred events that nobody waits for; task, machine and
                                 state name one */
    PAWL_BLOCKED_BY_STEP,     /* a step has not come back; task, state and event name it */
    PAWL_BLOCKED_BY_PAUSE,
    PAWL_BLOCKED_BY_LEASE, /* an agent has a task in hand; task, machine and state name one */
};

struct pawl_drain_report {
    enum pawl_blocker blocker;
    unsigned shard;
    uint64_t count; /* events that wait there, or leases */
    struct pawl_task task;
    unsigned machine;
    unsigned state;
    unsigned event;
    char text[192]; /* the same as a sentence */
};

/*
 * pawl_drain - admit no more outside posts (they get -EBUSY) and hand nothing out to agents any more;
 * wait until every lease has ended and every event is handled, in flight or deferred. Until then
 * agents report, extend and release what they have. Not waited for:
 *   a deferred event whose sender waits for the answer, a task that asked (pawl_step_ask) or a port
 *     that wants the completion: work that waits for other work is at rest. If the runtime is stopped
 *     then, a port is told -ECANCELED, a task too, or it asks again when the store is opened;
 *   what a port had posted before the store was opened, and a task keeps deferred;
 *   leases of agents that were there before the store was opened, and were not resumed, and those that
 *     a task's machine went on with though the agent was gone;
 *   armed timers, which do not fire into a drained runtime's future: they stay armed.
 * Returns 0: nothing moves any more, reports too get -EBUSY; or -ETIMEDOUT with a report (may be NULL)
 * that names what blocks: agents may go on reporting, and it can be called again. In the host-driven
 * mode it turns the shards itself, and does not wait for agents. pawl_resume admits everything again.
 */
PAWL_API int pawl_drain(struct pawl_runtime *runtime, uint64_t timeout_ns,
                        struct pawl_drain_report *report);

PAWL_API unsigned pawl_shard_count(const struct pawl_runtime *runtime);

/*
 * The host-driven mode. Each shard may be turned by any thread, one thread at a time.
 *
 * pawl_turn - one bounded turn of a shard: returns how many events and timers it handled, 0 when there
 *   was nothing to do, or -EBUSY before pawl_start and after pawl_stop.
 * pawl_shard_wait_fd - a file descriptor that polls readable when the shard has work or a timer is due
 *   (with a virtual clock: work only). Belongs to the runtime. Negative errno on failure.
 * pawl_shard_wait_prepare - call before waiting: returns 1 when the descriptor may be waited on; 0 when
 *   there is work already: turn again. Turning the shard ends the wait.
 *   (With a store, an epoll_wait may return EINTR though no signal came: a write has ended. Wait again.)
 * pawl_shard_next_timer_ns - the time (of the runtime's clock) at which the shard next has a timer to
 *   look at, or what async machines did must be handed to the disk; never later than the earliest; UINT64_MAX: none.
 */
PAWL_API int pawl_turn(struct pawl_runtime *runtime, unsigned shard);
PAWL_API int pawl_shard_wait_fd(struct pawl_runtime *runtime, unsigned shard);
PAWL_API int pawl_shard_wait_prepare(struct pawl_runtime *runtime, unsigned shard);
PAWL_API uint64_t pawl_shard_next_timer_ns(struct pawl_runtime *runtime, unsigned shard);

/*
 * Posting without a port, from any thread but not from a handler. The thread gets a hidden ring of
 * its own at its first post, so that producers never wait for each other; it goes when the thread
 * ends, after its events were taken. No completions: see on_undelivered.
 *
 * pawl_task_post - posts events in order; returns how many were accepted, always a prefix, or
 *   -EAGAIN when there was no room for the first, -EINVAL (bad task, code or flags in the first event),
 *   -EBUSY (not started, draining or stopped), -ENOSPC (too many posting threads), -ENOMEM.
 * pawl_task_create - creates a task and waits for its handle. 0; -EEXIST with the existing handle;
 *   or an error of pawl_step_create. Waits for the shard's turn; in the host-driven mode it is carried
 *   out at once, on the calling thread, which must not be inside a turn. -EBUSY before start, after stop,
 *   while draining and, in the host-driven mode, while paused.
 * pawl_task_cancel - a control event that ends the task (or delivers the machine's cancel event).
 */
PAWL_API int pawl_task_post(struct pawl_runtime *runtime, const struct pawl_event *events,
                            size_t count);
PAWL_API int pawl_task_create(struct pawl_runtime *runtime, const struct pawl_task_spec *spec,
                              struct pawl_task *task);
PAWL_API int pawl_task_cancel(struct pawl_runtime *runtime, struct pawl_task task);

/*
 * Reading, from any thread, handlers included, while the shards run at full speed. No call waits for
 * a shard; a read is tried again only when its task made a step meanwhile.
 */
struct pawl_view {
    struct pawl_task task;
    unsigned machine;
    unsigned state;
    uint32_t version; /* steps of this task so far, modulo 2^31 */
    uint32_t key_size;
    uint64_t age_ns; /* since the state was entered, to within 17 ms */
    char key[64];
    void *context; /* in: where up to context_capacity bytes of context go, or NULL */
    size_t context_capacity;
    size_t context_size; /* out: the machine's context size */
};

/* pawl_task_peek - one consistent view of one task. -ESTALE. */
PAWL_API int pawl_task_peek(const struct pawl_runtime *runtime, struct pawl_task task,
                            struct pawl_view *view);

/* pawl_task_find - the live task with this key. -ENOENT. */
PAWL_API int pawl_task_find(const struct pawl_runtime *runtime, const void *key, size_t key_size,
                            struct pawl_task *task);

/*
 * pawl_task_walk - look at tasks a portion at a time. Each call looks at up to budget slots and fills
 * up to capacity views with tasks that match; returns how many, 0 with walk->done when all has been
 * seen. Start with a zeroed walk. A task that lives through the whole walk is seen exactly once; one
 * that is created or ends meanwhile, at most once. Each view is consistent in itself. If a view's
 * context pointer is set, the context is copied as by peek.
 */
struct pawl_walk {
    uint32_t shard;
    uint32_t slot;
    int done;
};

#define PAWL_ANY UINT32_MAX
struct pawl_filter {
    uint32_t machine;       /* or PAWL_ANY */
    uint32_t state;         /* or PAWL_ANY */
    uint64_t older_than_ns; /* in its state for at least this long */
};
PAWL_API int pawl_task_walk(const struct pawl_runtime *runtime, struct pawl_walk *walk,
                            const struct pawl_filter *filter, struct pawl_view *views,
                            size_t capacity, size_t budget);

PAWL_END_DECLS

#endif /* PAWL_RUNTIME_H */
