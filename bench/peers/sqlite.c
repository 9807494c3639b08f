/*
 * sqlite.c - SQLite: one table of blobs by integer key, in WAL mode. With synchronous=FULL the log is
 * synced by each transaction.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers/stores.h"

struct lite {
    sqlite3 *db;
    sqlite3_stmt *begin;
    sqlite3_stmt *update;
    sqlite3_stmt *commit;
    sqlite3_stmt *select;
};

static void check(struct lite *lite, const char *what, int got, int wanted)
{
    if (got != wanted)
        bench_fail("sqlite: %s: %s", what, sqlite3_errmsg(lite->db));
}

static void execute(struct lite *lite, const char *text)
{
    check(lite, text, sqlite3_exec(lite->db, text, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3_stmt *prepare(struct lite *lite, const char *text)
{
    sqlite3_stmt *statement;

    check(lite, text, sqlite3_prepare_v2(lite->db, text, -1, &statement, NULL), SQLITE_OK);
    return statement;
}

static void step(struct lite *lite, sqlite3_stmt *statement)
{
    check(lite, sqlite3_sql(statement), sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
}

static void fill(struct lite *lite, uint32_t records)
{
    sqlite3_stmt *insert = prepare(lite, "INSERT INTO records VALUES (?1, zeroblob(24))");

    execute(lite, "BEGIN");
    for (uint32_t key = 0; key < records; key++) {
        sqlite3_bind_int64(insert, 1, key);
        step(lite, insert);
    }
    execute(lite, "COMMIT");
    sqlite3_finalize(insert);
}

static void *lite_open(const char *folder, uint32_t records, enum store_safety safety)
{
    struct lite *lite = calloc(1, sizeof(*lite));
    char path[4400];

    if (lite == NULL)
        bench_fail("sqlite: no memory");
    snprintf(path, sizeof(path), "%s/records.db", folder);
    check(lite, path, sqlite3_open(path, &lite->db), SQLITE_OK);
    /*
     * Pages of all records fit the cache, and no lock is taken for others. The log is copied back when it
     * has 10,000 pages, ten times the default, which makes it half as fast again.
     */
    execute(lite,
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-262144;"
            "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=10000;"
            "CREATE TABLE records (key INTEGER PRIMARY KEY, value BLOB NOT NULL)");
    fill(lite, records);
    execute(lite, "PRAGMA wal_checkpoint(TRUNCATE)");
    execute(lite, safety == STORE_SYNC ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    lite->begin = prepare(lite, "BEGIN");
    lite->update = prepare(lite, "UPDATE records SET value = ?1 WHERE key = ?2");
    lite->commit = prepare(lite, "COMMIT");
    lite->select = prepare(lite, "SELECT value FROM records WHERE key = ?1");
    return lite;
}

static void lite_close(void *store)
{
    struct lite *lite = store;

    sqlite3_finalize(lite->begin);
    sqlite3_finalize(lite->update);
    sqlite3_finalize(lite->commit);
    sqlite3_finalize(lite->select);
    sqlite3_close(lite->db);
    free(lite);
}

static void lite_update(void *store, const struct store_load *load)
{
    struct lite *lite = store;

    for (uint32_t at = 0; at < load->count;) {
        const uint32_t end = at + load->group < load->count ? at + load->group : load->count;
        const uint64_t begin = bench_now_ns();

        step(lite, lite->begin);
        for (; at < end; at++) {
            struct record *record = &load->records[load->keys[at]];

            record_update(record, at);
            sqlite3_bind_blob(lite->update, 1, record, sizeof(*record), SQLITE_STATIC);
            sqlite3_bind_int64(lite->update, 2, load->keys[at]);
            step(lite, lite->update);
        }
        step(lite, lite->commit);
        if (load->commits != NULL)
            histogram_record(load->commits, bench_now_ns() - begin);
    }
}

static void lite_read(void *store, uint32_t key, struct record *record)
{
    struct lite *lite = store;

    sqlite3_bind_int64(lite->select, 1, key);
    check(lite, "reading", sqlite3_step(lite->select), SQLITE_ROW);
    if (sqlite3_column_bytes(lite->select, 0) != (int)sizeof(*record))
        bench_fail("sqlite: key %u has another size", key);
    memcpy(record, sqlite3_column_blob(lite->select, 0), sizeof(*record));
    sqlite3_reset(lite->select);
}

const struct store_ops store_sqlite = {
    .open = lite_open,
    .close = lite_close,
    .update = lite_update,
    .read = lite_read,
};
