/*
 * rocksdb.c - RocksDB: updates go to a write-ahead log and a table in memory; the log is synced by each
 * batch, or never. Flushes and compactions run on threads of its own.
 */
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "peers/stores.h"

enum { LOAD_BATCH = 10000 };

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *writing;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch;
};

static void check(const char *what, char *error)
{
    if (error != NULL)
        bench_fail("rocksdb: %s: %s", what, error);
}

/* Keys are ordered by their bytes. */
static void put(struct rocks *rocks, uint32_t key, const struct record *record)
{
    const uint64_t name = __builtin_bswap64(key);

    rocksdb_writebatch_put(rocks->batch, (const char *)&name, sizeof(name), (const char *)record,
                           sizeof(*record));
}

static void write_batch(struct rocks *rocks)
{
    char *error = NULL;

    rocksdb_write(rocks->db, rocks->writing, rocks->batch, &error);
    check("writing", error);
    rocksdb_writebatch_clear(rocks->batch);
}

static void *rocks_open(const char *folder, uint32_t records, enum store_safety safety)
{
    struct rocks *rocks = calloc(1, sizeof(*rocks));
    const struct record zero = {0};
    rocksdb_env_t *env;
    char *error = NULL;

    if (rocks == NULL)
        bench_fail("rocksdb: no memory");
    bench_unpin(); /* for its threads, which begin here */
    env = rocksdb_create_default_env();
    rocksdb_env_set_background_threads(env, 2);
    rocksdb_env_set_high_priority_background_threads(env, 1);
    rocks->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(rocks->options, 1);
    rocksdb_options_set_env(rocks->options, env);
    rocksdb_options_set_max_background_jobs(rocks->options, 2);
    rocks->db = rocksdb_open(rocks->options, folder, &error);
    check("opening", error);
    bench_pin(bench_cpu(0));
    rocks->writing = rocksdb_writeoptions_create();
    rocks->reading = rocksdb_readoptions_create();
    rocks->batch = rocksdb_writebatch_create();
    for (uint32_t key = 0; key < records; key++) {
        put(rocks, key, &zero);
        if (key % LOAD_BATCH == LOAD_BATCH - 1 || key == records - 1)
            write_batch(rocks);
    }
    rocksdb_flush_wal(rocks->db, 1, &error);
    check("syncing", error);
    rocksdb_writeoptions_set_sync(rocks->writing, safety == STORE_SYNC);
    rocksdb_env_destroy(env); /* the handle; the threads are the process's */
    return rocks;
}

static void rocks_close(void *store)
{
    struct rocks *rocks = store;

    rocksdb_writebatch_destroy(rocks->batch);
    rocksdb_readoptions_destroy(rocks->reading);
    rocksdb_writeoptions_destroy(rocks->writing);
    rocksdb_close(rocks->db);
    rocksdb_options_destroy(rocks->options);
    free(rocks);
}

static void rocks_update(void *store, const struct store_load *load)
{
    struct rocks *rocks = store;

    for (uint32_t at = 0; at < load->count;) {
        const uint32_t end = at + load->group < load->count ? at + load->group : load->count;
        const uint64_t begin = bench_now_ns();

        for (; at < end; at++) {
            struct record *record = &load->records[load->keys[at]];

            record_update(record, at);
            put(rocks, load->keys[at], record);
        }
        write_batch(rocks);
        if (load->commits != NULL)
            histogram_record(load->commits, bench_now_ns() - begin);
    }
}

static void rocks_read(void *store, uint32_t key, struct record *record)
{
    struct rocks *rocks = store;
    const uint64_t name = __builtin_bswap64(key);
    char *error = NULL;
    size_t size = 0;
    char *value =
        rocksdb_get(rocks->db, rocks->reading, (const char *)&name, sizeof(name), &size, &error);

    check("reading", error);
    if (value == NULL || size != sizeof(*record))
        bench_fail("rocksdb: key %u is not there", key);
    memcpy(record, value, sizeof(*record));
    rocksdb_free(value);
}

const struct store_ops store_rocksdb = {
    .open = rocks_open,
    .close = rocks_close,
    .update = rocks_update,
    .read = rocks_read,
};
