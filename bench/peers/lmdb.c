/*
 * lmdb.c - LMDB: a tree in a mapped file, copied on write. Synchronous: each commit writes its pages and
 * syncs. Asynchronous: MDB_NOSYNC and MDB_WRITEMAP, so a commit is stores to memory and the system writes when
 * it pleases; a crash of the system may then leave the whole file broken.
 */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "peers/stores.h"

struct tree {
    MDB_env *env;
    MDB_dbi dbi;
};

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("lmdb: %s: %s", what, mdb_strerror(error));
}

static void put(struct tree *tree, MDB_txn *txn, size_t key, struct record *record, unsigned flags)
{
    MDB_val name = {sizeof(key), &key};
    MDB_val value = {sizeof(*record), record};

    check("putting", mdb_put(txn, tree->dbi, &name, &value, flags));
}

static void *tree_open(const char *folder, uint32_t records, enum store_safety safety)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    struct record zero = {0};
    MDB_txn *txn;

    if (tree == NULL)
        bench_fail("lmdb: no memory");
    check("creating", mdb_env_create(&tree->env));
    check("sizing", mdb_env_set_mapsize(tree->env, (size_t)1 << 30));
    check("opening", mdb_env_open(tree->env, folder,
                                  safety == STORE_SYNC ? 0 : MDB_NOSYNC | MDB_WRITEMAP, 0666));
    check("beginning", mdb_txn_begin(tree->env, NULL, 0, &txn));
    check("opening", mdb_dbi_open(txn, NULL, MDB_CREATE | MDB_INTEGERKEY, &tree->dbi));
    for (uint32_t key = 0; key < records; key++)
        put(tree, txn, key, &zero, MDB_APPEND);
    check("committing", mdb_txn_commit(txn));
    check("syncing", mdb_env_sync(tree->env, 1));
    return tree;
}

static void tree_close(void *store)
{
    struct tree *tree = store;

    mdb_env_close(tree->env);
    free(tree);
}

static void tree_update(void *store, const struct store_load *load)
{
    struct tree *tree = store;

    for (uint32_t at = 0; at < load->count;) {
        const uint32_t end = at + load->group < load->count ? at + load->group : load->count;
        const uint64_t begin = bench_now_ns();
        MDB_txn *txn;

        check("beginning", mdb_txn_begin(tree->env, NULL, 0, &txn));
        for (; at < end; at++) {
            struct record *record = &load->records[load->keys[at]];

            record_update(record, at);
            put(tree, txn, load->keys[at], record, 0);
        }
        check("committing", mdb_txn_commit(txn));
        if (load->commits != NULL)
            histogram_record(load->commits, bench_now_ns() - begin);
    }
}

static void tree_read(void *store, uint32_t key, struct record *record)
{
    struct tree *tree = store;
    size_t number = key;
    MDB_val name = {sizeof(number), &number};
    MDB_val value;
    MDB_txn *txn;

    check("beginning", mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn));
    check("reading", mdb_get(txn, tree->dbi, &name, &value));
    if (value.mv_size != sizeof(*record))
        bench_fail("lmdb: key %u has another size", key);
    memcpy(record, value.mv_data, sizeof(*record));
    mdb_txn_abort(txn);
}

const struct store_ops store_lmdb = {
    .open = tree_open,
    .close = tree_close,
    .update = tree_update,
    .read = tree_read,
};
