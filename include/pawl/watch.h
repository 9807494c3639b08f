/*
 * watch.h - what a running runtime can tell about itself. Any thread, at any time, without stopping
 * a shard. Counters only grow; each is exact, together they are a snapshot within one turn.
 */
#ifndef PAWL_WATCH_H
#define PAWL_WATCH_H

#include <pawl/runtime.h>

PAWL_BEGIN_DECLS

struct pawl_counters {
    uint64_t turns;
    uint64_t events;      /* taken: from ports, threads, shards and timers */
    uint64_t transitions; /* taken by steps, raised events included */
    uint64_t created;
    uint64_t ended;
    uint64_t ignored; /* unexpected in their state, by policy */
    uint64_t refused; /* unexpected in their state, sender told */
    uint64_t stale;   /* for a task that had ended */
    uint64_t aborted; /* steps given up: by a handler, or at a limit */
    uint64_t deferred;
    uint64_t recalled;
    uint64_t undelivered; /* reported through on_undelivered, or there was no one to tell */
    uint64_t timers_fired;
    uint64_t posted;    /* by steps, to this and other shards */
    uint64_t sent;      /* of these, to other shards */
    uint64_t parks;     /* times the shard went to sleep */
    uint64_t stalls;    /* noticed by the monitor */
    uint64_t throttled; /* turns that admitted nothing from outside, under pressure */
    /* Levels, not counters: */
    uint64_t tasks;        /* alive */
    uint64_t timers;       /* armed */
    uint64_t inflight;     /* events queued inside the shard */
    uint64_t memory_bytes; /* committed for tasks, timers, keys, contexts, queues */
};

/* Of one shard; -ENOENT. */
PAWL_API int pawl_shard_counters(const struct pawl_runtime *runtime, unsigned shard,
                                 struct pawl_counters *counters);

/* The sum of all shards. */
PAWL_API void pawl_runtime_counters(const struct pawl_runtime *runtime,
                                    struct pawl_counters *counters);

/* The stall that a shard is in, if any: 0 and *stall, or -ENOENT. */
PAWL_API int pawl_shard_stall(const struct pawl_runtime *runtime, unsigned shard,
                              struct pawl_stall *stall);

/* "jemalloc" or "libc": where per-shard memory comes from. Decided at open; a constant string. */
PAWL_API const char *pawl_runtime_allocator(const struct pawl_runtime *runtime);

PAWL_END_DECLS

#endif /* PAWL_WATCH_H */
