/*
 * port.h - a port: a producer's pair of rings to each shard, submissions one way, completions back.
 *
 * One thread at a time uses a port (it may move between threads that hand it over properly).
 * Nothing here blocks but pawl_port_wait and pawl_port_close. Posting makes no system call while
 * the shard is awake.
 */
#ifndef PAWL_PORT_H
#define PAWL_PORT_H

#include <pawl/runtime.h>

PAWL_BEGIN_DECLS

struct pawl_port;

struct pawl_port_options {
    uint32_t capacity; /* events in the ring to each shard; a power of two, 64 to 2^20; 0: 4096 */
    uint32_t completions; /* completions outstanding at once; likewise; 0: as capacity */
};

/*
 * What became of an event, a creation or a cancel that asked for it. status 0: handled; state and
 * version are those after the step, value is the handler's answer. Otherwise a negative errno:
 * -ESTALE, -EPROTO, -ENOSPC, -ECANCELED, -EINVAL, -EEXIST (a creation: task is the existing one),
 * or what a handler aborted with. A deferred event completes when it is handled at last.
 */
struct pawl_completion {
    struct pawl_task task;
    uint32_t tag;
    int32_t status;
    uint16_t state;
    uint16_t durability; /* enum pawl_durability: how safe the step was when this was sent */
    uint32_t version;
    uint64_t value;
};

/*
 * pawl_port_open - options may be NULL. -EINVAL, -ENOMEM, -ENOSPC (4096 ports), -EBUSY (stopped).
 */
PAWL_API int pawl_port_open(struct pawl_runtime *runtime, const struct pawl_port_options *options,
                            struct pawl_port **port);

/*
 * pawl_port_post - posts events in order; returns how many were accepted, always a prefix (one
 * release store and at most one wake a shard), or, when not even the first was: -EAGAIN (no room
 * for it, or its completion could find none: reap first), -EINVAL, -EBUSY. Accepted means: handled
 * exactly once, or its fate is reported.
 */
PAWL_API int pawl_port_post(struct pawl_port *port, const struct pawl_event *events, size_t count);

/*
 * pawl_port_create, pawl_port_cancel - as events with PAWL_EVENT_COMPLETE: the completion carries
 * the new task's handle, and its id as the value. A cancel is a control event.
 */
PAWL_API int pawl_port_create(struct pawl_port *port, const struct pawl_task_spec *spec,
                              uint32_t tag);
PAWL_API int pawl_port_cancel(struct pawl_port *port, struct pawl_task task, uint32_t tag);

/* pawl_port_reap - takes up to capacity completions, in order for each shard; returns how many. */
PAWL_API int pawl_port_reap(struct pawl_port *port, struct pawl_completion *completions,
                            size_t capacity);

/* pawl_port_outstanding - completions asked for and not yet reaped. */
PAWL_API uint32_t pawl_port_outstanding(const struct pawl_port *port);

/*
 * pawl_port_wait - blocks until a completion can be reaped: 0; or -ETIMEDOUT; or -ENOENT when none
 * is outstanding, or -EBUSY when the runtime was stopped. In the host-driven mode it does not
 * block: 0 or -EAGAIN.
 */
PAWL_API int pawl_port_wait(struct pawl_port *port, uint64_t timeout_ns);

/*
 * pawl_port_close - waits until every event posted was taken and every completion asked for has
 * arrived, then frees the port; completions not reaped by then are thrown away. -ETIMEDOUT: nothing
 * is lost, call again; what has arrived can be reaped. In the host-driven mode it does not block: 0
 * or -EAGAIN (turn the shards, call again).
 */
PAWL_API int pawl_port_close(struct pawl_port *port, uint64_t timeout_ns);

PAWL_END_DECLS

#endif /* PAWL_PORT_H */
