/*
 * stores.h - what other people's stores offer to the durable rows: one small record a key, updated a
 * transaction at a time.
 *
 * The host keeps every record's newest value in memory (`records`), as Pawl does with its tasks, so a
 * store is only asked to write: no update reads from it. That is to its advantage. What a store
 * has is read back after each round and compared with the host's.
 */
#ifndef PAWL_BENCH_PEERS_STORES_H
#define PAWL_BENCH_PEERS_STORES_H

#include <stdbool.h>
#include <stdint.h>

#include "harness.h"
#include "histogram.h"

/* 24 bytes, as large as a context that lives in a task's slot. */
struct record {
    uint64_t count;
    uint64_t sum;
    uint64_t last;
};

static inline void record_update(struct record *record, uint64_t value)
{
    record->count++;
    record->sum += value;
    record->last = value;
}

enum store_safety {
    STORE_SYNC,  /* an update that is acknowledged is on stable storage */
    STORE_ASYNC, /* later, within whatever window the store offers; or when the system pleases */
};

struct store_load {
    const uint32_t *keys;
    uint32_t count;
    uint32_t group;            /* updates a transaction; of a server: updates under way at once */
    struct record *records;    /* by key */
    struct histogram *commits; /* from before a transaction's first update to its end; or NULL */
};

struct store_ops {
    /* A store in an empty folder that holds `records` records of zeroes. */
    void *(*open)(const char *folder, uint32_t records, enum store_safety safety);
    void (*close)(void *store);
    void (*update)(void *store, const struct store_load *load);
    void (*read)(void *store, uint32_t key, struct record *record); /* NULL: it keeps no records */
    int (*pid)(void *store); /* of the process that writes; NULL: this one */
};

#if PEER_ROCKSDB
extern const struct store_ops store_rocksdb;
#endif
#if PEER_SQLITE
extern const struct store_ops store_sqlite;
#endif
#if PEER_LMDB
extern const struct store_ops store_lmdb;
#endif
#if PEER_REDIS
extern const struct store_ops store_redis;
#endif
#if PEER_BEANSTALKD
extern const struct store_ops store_beanstalkd;
#endif

#endif
