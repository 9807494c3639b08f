/*
 * host_drive.c - the host-driven mode: the host calls a turn and waits on a descriptor.
 *
 * Layer: shard. Owner of a shard: whoever calls, one thread at a time.
 */
#include <errno.h>

#include "shard/durable.h"
#include "shard/lanes.h"
#include "shard/runtime.h"

/*
 * One call at a time is inside a shard; pause and stop wait for it to come out:
 *
 *      turn                                 pause, stop
 *      turning = 1                          mode = PAUSED or STOPPED
 *      full fence                           full fence
 *      mode still RUNNING? else out         turning == 0? else wait
 *
 * One of the two sees the other's store, as with park and wake (host/park.h).
 */
static int turn(struct shard *shard)
{
    uint32_t mode, handled;

    /* The wait is over, in a pause too: what ended it must not end the next one.
     * relaxed: only the sleeper, which is this thread, writes ASLEEP. */
    if (load_relaxed(&shard->park.word) != PARK_AWAKE || shard->waited) {
        pawl__park_cancel(&shard->park);
        shard->waited = false;
    }
    mode = load_acquire(&shard->mode);
    store_release(&shard->acknowledged, mode);
    if (mode == SHARD_PAUSED)
        return 0;
    if (mode != SHARD_RUNNING)
        return -EBUSY;
    handled = pawl__turn(shard);
    /* Nobody else waits for grace periods in this mode; a quiet turn is the time for it. */
    if (handled == 0 && reclaim_pending(&shard->table.reclaim) > 0)
        reclaim_synchronize(&shard->table.reclaim);
    return (int)handled;
}

static void enter(struct shard *shard)
{
    store_release(&shard->turning, 1);
    fence_seq_cst();
}

static void leave(struct shard *shard)
{
    store_release(&shard->turning, 0);
}

int pawl_turn(struct pawl_runtime *runtime, unsigned number)
{
    struct shard *shard;
    int handled;

    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    shard = runtime->shards[number];
    enter(shard);
    handled = turn(shard);
    leave(shard);
    return handled;
}

int pawl__host_create(struct shard *shard, const struct pawl_task_spec *spec,
                      struct pawl_task *task)
{
    int error = -EBUSY;

    enter(shard);
    if (shard->durable != NULL && !pawl__durable_gate(shard, false))
        error = -EAGAIN;
    else if (load_acquire(&shard->mode) == SHARD_RUNNING)
        error = pawl__turn_create(shard, spec, task);
    leave(shard);
    return error;
}

int pawl_shard_wait_fd(struct pawl_runtime *runtime, unsigned number)
{
    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    return runtime->shards[number]->park.poll_fd;
}

static int wait_prepare(struct shard *shard)
{
    uint64_t timeout_ns;

    if (load_acquire(&shard->mode) == SHARD_STOPPED)
        return 0; /* nothing will come, and what is left belongs to whoever stopped it */
    shard->waited = true;
    pawl__shard_settle(shard);
    pawl__park_prepare(&shard->park);
    /* A paused shard does nothing until the mode changes, which wakes. */
    if (load_acquire(&shard->mode) == SHARD_PAUSED &&
        load_relaxed(&shard->acknowledged) == SHARD_PAUSED) {
        pawl__park_deadline(&shard->park, UINT64_MAX);
        return 1;
    }
    timeout_ns = pawl__shard_timeout_ns(shard);
    if (timeout_ns == 0 || pawl__shard_has_work(shard)) {
        pawl__park_cancel(&shard->park);
        return 0;
    }
    /* Nobody tells when a virtual time comes. */
    pawl__park_deadline(&shard->park, shard->clock->is_virtual ? UINT64_MAX : timeout_ns);
    return 1;
}

int pawl_shard_wait_prepare(struct pawl_runtime *runtime, unsigned number)
{
    struct shard *shard;
    int ready;

    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    shard = runtime->shards[number];
    /* The look at the rings is the consumer's, which a stop becomes: it waits as for a turn. */
    enter(shard);
    ready = wait_prepare(shard);
    leave(shard);
    return ready;
}

uint64_t pawl_shard_next_timer_ns(struct pawl_runtime *runtime, unsigned number)
{
    struct shard *shard;
    uint64_t window = UINT64_MAX;
    uint64_t tick, at, passed;

    if (number >= runtime->shard_count)
        return UINT64_MAX;
    shard = runtime->shards[number];
    tick = wheel_next(&shard->wheel);
    if (shard->durable != NULL) {
        passed = pawl__durable_timeout_ns(shard); /* the end of an async machine's window */
        window = passed < UINT64_MAX - shard->now_ns
                     ? shard->clock->now_ns(shard->clock->user) + passed
                     : UINT64_MAX;
    }
    if (shard->lanes != NULL) {
        passed = pawl__lanes_timeout_ns(shard);
        at = passed < UINT64_MAX - shard->now_ns ? shard->clock->now_ns(shard->clock->user) + passed
                                                 : UINT64_MAX;
        window = at < window ? at : window;
    }
    if (tick > UINT64_MAX / shard->tick_ns)
        return window;
    /* open_ns may lie before the clock's beginning: a store's time goes on (shard/restore.h). */
    at = tick * shard->tick_ns;
    passed = shard->now_ns - shard->open_ns;
    if (at <= passed)
        return shard->now_ns < window ? shard->now_ns : window;
    at = at - passed < UINT64_MAX - shard->now_ns ? shard->now_ns + (at - passed) : UINT64_MAX;
    return at < window ? at : window;
}
