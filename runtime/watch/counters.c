/*
 * counters.c - readers of what the shards publish once a turn.
 *
 * Layer: watch. Any thread. Each counter is one relaxed load: right by itself, at most a turn old.
 */
#include <errno.h>
#include <pawl/watch.h>
#include <string.h>

#include "host/arena.h"
#include "shard/runtime.h"

int pawl_shard_counters(const struct pawl_runtime *runtime, unsigned shard,
                        struct pawl_counters *counters)
{
    uint64_t *to = (uint64_t *)(void *)counters;

    if (shard >= runtime->shard_count)
        return -ENOENT;
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        to[i] = load_relaxed(&runtime->shards[shard]->published[i]);
    counters->stalls = load_relaxed(&runtime->stall_counts[shard]);
    return 0;
}

void pawl_runtime_counters(const struct pawl_runtime *runtime, struct pawl_counters *counters)
{
    uint64_t *sum = (uint64_t *)(void *)counters;

    memset(counters, 0, sizeof(*counters));
    for (unsigned shard = 0; shard < runtime->shard_count; shard++) {
        struct pawl_counters one;
        const uint64_t *from = (const uint64_t *)(const void *)&one;

        pawl_shard_counters(runtime, shard, &one);
        for (unsigned i = 0; i < COUNTERS_COUNT; i++)
            sum[i] += from[i];
    }
}

int pawl_shard_stall(const struct pawl_runtime *runtime, unsigned shard, struct pawl_stall *stall)
{
    /* The mutex is the monitor's and ours, never a shard's. */
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&runtime->stall_mutex;
    int error = -ENOENT;

    if (shard >= runtime->shard_count)
        return -ENOENT;
    pthread_mutex_lock(mutex);
    if (runtime->stalls[shard].stalled_ns > 0) {
        *stall = runtime->stalls[shard];
        error = 0;
    }
    pthread_mutex_unlock(mutex);
    return error;
}

const char *pawl_runtime_allocator(const struct pawl_runtime *runtime)
{
    (void)runtime;
    return pawl__arena_kind();
}
