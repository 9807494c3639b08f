/*
 * host_drive.c - the host-driven mode: the host calls a turn and waits on a descriptor.
 *
 * Layer: shard. Owner of a shard: whoever calls, one thread at a time.
 */
#include <errno.h>

#include "shard/runtime.h"

int pawl_turn(struct pawl_runtime *runtime, unsigned number)
{
    struct shard *shard;
    uint32_t mode, handled;

    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    shard = runtime->shards[number];
    mode = load_acquire(&shard->mode);
    store_release(&shard->acknowledged, mode);
    if (mode == SHARD_PAUSED)
        return 0;
    if (mode != SHARD_RUNNING)
        return -EBUSY;
    /* relaxed: only the sleeper, which is this thread, writes ASLEEP. */
    if (load_relaxed(&shard->park.word) != PARK_AWAKE || shard->waited) {
        pawl__park_cancel(&shard->park);
        shard->waited = false;
    }
    handled = pawl__turn(shard);
    /* Nobody else waits for grace periods in this mode; a quiet turn is the time for it. */
    if (handled == 0 && reclaim_pending(&shard->table.reclaim) > 0)
        reclaim_synchronize(&shard->table.reclaim);
    return (int)handled;
}

int pawl_shard_wait_fd(struct pawl_runtime *runtime, unsigned number)
{
    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    return runtime->shards[number]->park.poll_fd;
}

int pawl_shard_wait_prepare(struct pawl_runtime *runtime, unsigned number)
{
    struct shard *shard;
    uint64_t timeout_ns;

    if (number >= runtime->shard_count || !runtime->host_driven)
        return -EINVAL;
    shard = runtime->shards[number];
    shard->waited = true;
    pawl__park_prepare(&shard->park);
    if (pawl__shard_has_work(shard)) {
        pawl__park_cancel(&shard->park);
        return 0;
    }
    timeout_ns = shard->clock->is_virtual ? UINT64_MAX : pawl__shard_timeout_ns(shard);
    if (timeout_ns == 0) {
        pawl__park_cancel(&shard->park);
        return 0;
    }
    pawl__park_deadline(&shard->park, timeout_ns);
    return 1;
}

uint64_t pawl_shard_next_timer_ns(struct pawl_runtime *runtime, unsigned number)
{
    const struct shard *shard;
    uint64_t tick;

    if (number >= runtime->shard_count)
        return UINT64_MAX;
    shard = runtime->shards[number];
    tick = wheel_next(&shard->wheel);
    if (tick >= (UINT64_MAX - shard->open_ns) / shard->tick_ns)
        return UINT64_MAX;
    return shard->open_ns + tick * shard->tick_ns;
}
