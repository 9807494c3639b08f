/*
 * bench_durable.c - steps that must be on disk before they count.
 *
 * Work: each step updates 24 bytes of one of many small tasks (or records) chosen at random. Keys are made
 * outside the measured part, and after each round what a contender has is compared with what it should have.
 * All write into fresh folders of one file system (folder.h).
 *
 *   durable-sync-1M   a million tasks, many steps under way at once, each acknowledged when it is on disk.
 *                     Three rows of the same work for its three goals; only the first has the peers. p99_ns
 *                     and the like are the delay of the commit: from before the post to after its
 *                     completion was reaped; of a peer that takes transactions, of the whole transaction.
 *   durable-async-1M  the same, acknowledged at once and on disk a little later.
 *   durable-sync-1    one step at a time.
 *   durable-none      what an open store costs machines that do not use it.
 *   journal-bytes     what a step of durable-sync-1M gives to the disk.
 *
 * Peers do not read, check transitions or keep tasks in memory here: see peers/stores.h.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare_journal.h"
#include "base/bits.h"
#include "base/random.h"
#include "durable.h"
#include "folder.h"
#include "harness.h"
#include "histogram.h"
#include "peers/have.h"
#include "peers/stores.h"
#include "rows.h"

enum { CHECKED = 64, SINGLE_TASKS = 100000, NONE_TASKS = 1000 };

/* One contender of any of these rows, open. */
struct side {
    const struct way *way;
    char *folder;
    uint32_t tasks;
    uint32_t count; /* steps of a round */
    uint32_t *keys; /* of this round */
    struct record
        *records; /* by key: what a store should have; of Pawl and the limit only `count` */
    struct random random;
    struct histogram commits;
    struct durable *durable;
    struct bare_journal *bare;
    void *store; /* of the peer */
};

struct way {
    void (*open)(struct side *side);
    void (*close)(struct side *side);
    /* side->count steps of side->keys. */
    void (*steps)(struct side *side, struct bench_sample *sample);
    uint64_t quick;     /* steps of a round: --quick; four times as many in --full */
    uint32_t under_way; /* steps, or of a peer the updates of a transaction */
    enum pawl_drive drive;
    enum pawl_durability durability;
    uint64_t snapshot_bytes;
    bool no_store;
    const struct store_ops *ops; /* of a peer */
    enum store_safety safety;
};

/* ---- A round ---- */

static void make_keys(struct side *side)
{
    for (uint32_t i = 0; i < side->count; i++)
        side->keys[i] = (uint32_t)random_below(&side->random, side->tasks);
}

static double seconds_since(uint64_t begin)
{
    return (double)(bench_now_ns() - begin) * 1e-9;
}

/* Peers count in the records themselves; for the others this is done here. */
static void count_keys(struct side *side)
{
    for (uint32_t i = 0; i < side->count; i++)
        side->records[side->keys[i]].count++;
}

static void *side_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = calloc(1, sizeof(*side));

    if (side == NULL)
        bench_fail("%s: no memory", row->name);
    side->way = contender->detail;
    side->tasks = (uint32_t)row->size;
    side->count = (uint32_t)bench_pick(side->way->under_way > 1 ? 2000 : 50, side->way->quick,
                                       4 * side->way->quick);
    side->random = (struct random){row->size};
    side->keys = malloc(side->count * sizeof(*side->keys));
    side->records = calloc(side->tasks, sizeof(*side->records));
    if (side->keys == NULL || side->records == NULL)
        bench_fail("%s: no memory", row->name);
    side->folder = folder_create(contender->name);
    side->way->open(side);
    return side;
}

static void side_close(void *state)
{
    struct side *side = state;

    side->way->close(side);
    folder_remove(side->folder);
    free(side->keys);
    free(side->records);
    free(side);
}

static void side_run(void *state, struct bench_sample *sample)
{
    struct side *side = state;

    make_keys(side);
    histogram_clear(&side->commits);
    sample->operations = side->count;
    side->way->steps(side, sample);
    if (side->commits.total > 0)
        histogram_count(&side->commits, sample);
}

static void count_bytes(const struct side *side, struct bench_sample *sample, double bytes)
{
    if (bytes > 0)
        bench_count(sample, "bytes_per_step", bytes / side->count);
}

/* ---- Pawl ---- */

static void pawl_side_open(struct side *side)
{
    const struct way *way = side->way;

    side->durable = durable_create(&(struct durable_spec){
        .folder = way->no_store ? NULL : side->folder,
        .durability = way->durability,
        .drive = way->drive,
        .shards = 1,
        .tasks = side->tasks,
        .depth = way->under_way < 1024 ? 1024 : way->under_way,
        .snapshot_bytes = way->snapshot_bytes,
    });
}

static void pawl_side_close(struct side *side)
{
    durable_close(side->durable);
}

static void pawl_check(struct side *side)
{
    count_keys(side);
    for (uint32_t i = 0; i < CHECKED; i++) {
        const uint32_t key = side->keys[random_below(&side->random, side->count)];

        durable_check(side->durable, key, side->records[key].count);
    }
}

static void pawl_sync_steps(struct side *side, struct bench_sample *sample)
{
    const uint64_t before = durable_status(side->durable, 0).journal_bytes;
    const uint64_t begin = bench_now_ns();

    durable_steps(side->durable, side->keys, side->count, side->way->under_way, &side->commits);
    sample->seconds = seconds_since(begin);
    count_bytes(side, sample, (double)(durable_status(side->durable, 0).journal_bytes - before));
    pawl_check(side);
}

/* Until all of it is on disk, so that nothing is owed when the clock stops. */
static void pawl_async_steps(struct side *side, struct bench_sample *sample)
{
    const uint64_t begin = bench_now_ns();

    durable_stream(side->durable, side->keys, side->count);
    durable_sync(side->durable);
    sample->seconds = seconds_since(begin);
    pawl_check(side);
}

/* The turns alone. */
static void pawl_memory_steps(struct side *side, struct bench_sample *sample)
{
    sample->seconds = (double)durable_stream(side->durable, side->keys, side->count) * 1e-9;
    pawl_check(side);
}

/* ---- The limit ---- */

static void limit_open(struct side *side)
{
    const unsigned group = side->way->under_way;

    side->bare = bare_journal_open(side->folder, side->tasks, group, group > 1000 ? 4 : 8);
}

static void limit_close(struct side *side)
{
    bare_journal_close(side->bare);
}

static void limit_check(struct side *side)
{
    count_keys(side);
    for (uint32_t key = 0; key < side->tasks; key++)
        if (bare_journal_count(side->bare, key) != side->records[key].count)
            bench_fail("durable: the bare journal lost steps of task %u", key);
}

static void limit_sync_steps(struct side *side, struct bench_sample *sample)
{
    const uint64_t before = bare_journal_bytes(side->bare);
    const uint64_t begin = bench_now_ns();

    bare_journal_steps(side->bare, side->keys, side->count, &side->commits);
    sample->seconds = seconds_since(begin);
    count_bytes(side, sample, (double)(bare_journal_bytes(side->bare) - before));
    limit_check(side);
}

static void limit_single_steps(struct side *side, struct bench_sample *sample)
{
    const uint64_t begin = bench_now_ns();

    bare_journal_singles(side->bare, side->keys, side->count, &side->commits);
    sample->seconds = seconds_since(begin);
    limit_check(side);
}

/* ---- Peers ---- */

static void peer_open(struct side *side)
{
    side->store = side->way->ops->open(side->folder, side->tasks, side->way->safety);
}

static void peer_close(struct side *side)
{
    side->way->ops->close(side->store);
}

static void peer_check(struct side *side)
{
    const struct store_ops *ops = side->way->ops;

    for (uint32_t i = 0; i < CHECKED && ops->read != NULL; i++) {
        const uint32_t key = side->keys[random_below(&side->random, side->count)];
        struct record record;

        ops->read(side->store, key, &record);
        if (memcmp(&record, &side->records[key], sizeof(record)) != 0)
            bench_fail("durable: a peer has %llu updates of key %u instead of %llu",
                       (unsigned long long)record.count, key,
                       (unsigned long long)side->records[key].count);
    }
}

static void peer_steps(struct side *side, struct bench_sample *sample)
{
    const struct store_ops *ops = side->way->ops;
    const int pid = ops->pid != NULL ? ops->pid(side->store) : (int)getpid();
    const uint64_t before = folder_written(pid);
    const uint64_t begin = bench_now_ns();

    ops->update(side->store, &(struct store_load){.keys = side->keys,
                                                  .count = side->count,
                                                  .group = side->way->under_way,
                                                  .records = side->records,
                                                  .commits = &side->commits});
    sample->seconds = seconds_since(begin);
    count_bytes(side, sample, (double)(folder_written(pid) - before));
    peer_check(side);
}

/* ---- Ways ---- */

/* Steps under way: at 15 M/s and half a millisecond there are 7,500. */
enum { DEEP = 8192, GROUP = 1000 };

#define PAWL_WAY       .open = pawl_side_open, .close = pawl_side_close, .snapshot_bytes = UINT64_MAX
#define LIMIT_WAY      .open = limit_open, .close = limit_close
#define PEER_WAY(peer) .open = peer_open, .close = peer_close, .steps = peer_steps, .ops = (peer)

#define SYNC_WAY                                                                                   \
    PAWL_WAY, .steps = pawl_sync_steps, .durability = PAWL_DURABILITY_SYNC, .quick = 2000000,      \
              .under_way = DEEP
static const struct way ours_sync = {SYNC_WAY, .drive = PAWL_DRIVE_HOST};
static const struct way ours_sync_threads = {SYNC_WAY, .drive = PAWL_DRIVE_THREADS};
static const struct way ours_sync_snapshots = {.open = pawl_side_open,
                                               .close = pawl_side_close,
                                               .steps = pawl_sync_steps,
                                               .durability = PAWL_DURABILITY_SYNC,
                                               .quick = 2000000,
                                               .under_way = DEEP,
                                               .drive = PAWL_DRIVE_HOST,
                                               .snapshot_bytes = 64 << 20};
static const struct way limit_sync = {LIMIT_WAY, .steps = limit_sync_steps, .quick = 2000000,
                                      .under_way = GROUP};
static const struct way limit_sync_8000 = {LIMIT_WAY, .steps = limit_sync_steps, .quick = 4000000,
                                           .under_way = 8 * GROUP};

#define ASYNC_WAY                                                                                  \
    PAWL_WAY, .steps = pawl_async_steps, .durability = PAWL_DURABILITY_ASYNC, .quick = 4000000,    \
              .under_way = DEEP
static const struct way ours_async = {ASYNC_WAY, .drive = PAWL_DRIVE_HOST};
static const struct way ours_async_threads = {ASYNC_WAY, .drive = PAWL_DRIVE_THREADS};

#define SINGLE_WAY                                                                                 \
    PAWL_WAY, .steps = pawl_sync_steps, .durability = PAWL_DURABILITY_SYNC, .quick = 1500,         \
              .under_way = 1
static const struct way ours_single = {SINGLE_WAY, .drive = PAWL_DRIVE_HOST};
static const struct way ours_single_threads = {SINGLE_WAY, .drive = PAWL_DRIVE_THREADS};
static const struct way limit_single = {LIMIT_WAY, .steps = limit_single_steps, .quick = 1500,
                                        .under_way = 1};

#define NONE_WAY                                                                                   \
    PAWL_WAY, .steps = pawl_memory_steps, .durability = PAWL_DURABILITY_MEMORY, .quick = 4000000,  \
              .under_way = DEEP, .drive = PAWL_DRIVE_HOST
static const struct way ours_none = {NONE_WAY};
static const struct way ours_none_bare = {NONE_WAY, .no_store = true};

/* Without a sync to share, larger transactions are the faster ones: what a window of 10 ms holds. */
#define PEER_WAYS(name, peer, sync_count, async_count, async_group)                                \
    static const struct way name##_sync = {PEER_WAY(peer), .quick = (sync_count),                  \
                                           .under_way = GROUP};                                    \
    static const struct way name##_async = {PEER_WAY(peer), .quick = (async_count),                \
                                            .under_way = (async_group), .safety = STORE_ASYNC};    \
    static const struct way name##_bytes = {PEER_WAY(peer), .quick = 20 * GROUP,                   \
                                            .under_way = GROUP};                                   \
    static const struct way name##_single = {PEER_WAY(peer), .quick = 1000, .under_way = 1}

PEER_WAYS(rocksdb, IF_ROCKSDB(&store_rocksdb), 100000, 150000, 10 * GROUP);
PEER_WAYS(sqlite, IF_SQLITE(&store_sqlite), 50000, 50000, 10 * GROUP);
PEER_WAYS(lmdb, IF_LMDB(&store_lmdb), 50000, 500000, 10 * GROUP);
PEER_WAYS(redis, IF_REDIS(&store_redis), 200000, 200000, GROUP);
static const struct way beanstalkd_single = {PEER_WAY(IF_BEANSTALKD(&store_beanstalkd)),
                                             .quick = 1000, .under_way = 1};

/* ---- Contenders ---- */

#define CONTENDER(given, said, missing, how)                                                       \
    {                                                                                              \
        .name = (given), .semantics = (said), .absent = (missing), .open = side_open,              \
        .run = side_run, .close = side_close, .detail = (how)                                      \
    }

#define SAID_DEEP                                                                                  \
    "8,192 steps under way, each completed when it is on disk, whole and in order; posting, "      \
    "turning and reaping are counted; no snapshot falls into a round; "
#define SAID_LIMIT                                                                                 \
    "tasks in an array, records of 48 bytes copied into groups, io_uring with O_DIRECT and "       \
    "O_DSYNC into zeroes written before; no ids, checksums, atomic steps or readers; "

/* Absent ones are found when rows are made, so these lists are not constant. */
static struct bench_contender sync_contenders[] = {
    CONTENDER("pawl", SAID_DEEP "posted and turned by one thread", NULL, &ours_sync),
    CONTENDER("pawl-threads", SAID_DEEP "the shard and its I/O on threads of their own", NULL,
              &ours_sync_threads),
    CONTENDER("limit", SAID_LIMIT "groups of 1,000, 8 under way", NULL, &limit_sync),
    CONTENDER("limit-8000", SAID_LIMIT "groups of 8,000, 4 under way", NULL, &limit_sync_8000),
    CONTENDER("pawl-snapshots",
              "as pawl, with a snapshot of all tasks written after every 64 MiB of journal", NULL,
              &ours_sync_snapshots),
    CONTENDER("rocksdb", "a WriteBatch of 1,000 with sync, one after the other; no reads",
              ROCKSDB_ABSENT, &rocksdb_sync),
    CONTENDER("sqlite",
              "WAL, synchronous=FULL, 1,000 updates a transaction, one after the other; all pages "
              "in its cache, the log copied back after 10,000 pages",
              SQLITE_ABSENT, &sqlite_sync),
    CONTENDER("lmdb", "1,000 puts a transaction, each transaction synced", LMDB_ABSENT, &lmdb_sync),
    CONTENDER("redis",
              "appendfsync always, 1,000 SETs under way from one client; the server on a core of "
              "its own",
              REDIS_ABSENT, &redis_sync),
};
enum { SYNC_WITHOUT_PEERS = 3 };

static struct bench_contender async_contenders[] = {
    CONTENDER("pawl",
              "on disk within 10 ms; acknowledged by counters; a round ends when all of it is on "
              "disk; posted and turned by one thread",
              NULL, &ours_async),
    CONTENDER("pawl-threads", "the same, the shard and its I/O on threads of their own", NULL,
              &ours_async_threads),
    CONTENDER("limit", SAID_LIMIT "groups of 8,000, 4 under way; a round ends when all is on disk",
              NULL, &limit_sync_8000),
    CONTENDER("rocksdb", "a WriteBatch of 10,000 without sync: the system writes when it pleases",
              ROCKSDB_ABSENT, &rocksdb_async),
    CONTENDER(
        "sqlite",
        "WAL, synchronous=NORMAL, 10,000 updates a transaction: synced when the log is copied back",
        SQLITE_ABSENT, &sqlite_async),
    CONTENDER("lmdb",
              "MDB_NOSYNC and MDB_WRITEMAP, 10,000 puts a transaction: the system writes when it "
              "pleases, and its crash may break the file",
              LMDB_ABSENT, &lmdb_async),
    CONTENDER("redis", "appendfsync everysec, 1,000 SETs under way", REDIS_ABSENT, &redis_async),
};

static const struct bench_contender single_contenders[] = {
    CONTENDER("pawl", "post, turn until the completion can be reaped; one thread", NULL,
              &ours_single),
    CONTENDER("pawl-threads", "post and wait; the shard and its I/O on threads of their own", NULL,
              &ours_single_threads),
    CONTENDER("limit", "pwritev2 of 4 KiB, O_DIRECT and RWF_DSYNC, into zeroes written before",
              NULL, &limit_single),
    CONTENDER("rocksdb", "a WriteBatch of one with sync", ROCKSDB_ABSENT, &rocksdb_single),
    CONTENDER("sqlite", "WAL, synchronous=FULL, one update a transaction", SQLITE_ABSENT,
              &sqlite_single),
    CONTENDER("lmdb", "one put a transaction, synced", LMDB_ABSENT, &lmdb_single),
    CONTENDER("redis", "appendfsync always, one SET and its answer", REDIS_ABSENT, &redis_single),
    CONTENDER("beanstalkd", "-f0: a job put and deleted again, two changes and two answers",
              BEANSTALKD_ABSENT, &beanstalkd_single),
};

static const struct bench_contender none_contenders[] = {
    CONTENDER("pawl", "memory-only tasks in a runtime that has a store open; the turns alone", NULL,
              &ours_none),
    CONTENDER("pawl-no-store", "the same in a runtime without one", NULL, &ours_none_bare),
};

#define SAID_WRITTEN "; bytes given to write calls"
static struct bench_contender bytes_contenders[] = {
    CONTENDER("pawl", "what the journal says it wrote; 24 bytes of context, 8,192 steps under way",
              NULL, &ours_sync),
    CONTENDER("limit", "records of 48 bytes in groups of 1,000, in whole blocks", NULL,
              &limit_sync),
    CONTENDER("rocksdb", "1,000 updates a batch" SAID_WRITTEN, ROCKSDB_ABSENT, &rocksdb_bytes),
    CONTENDER("sqlite", "1,000 updates a transaction" SAID_WRITTEN, SQLITE_ABSENT, &sqlite_bytes),
    CONTENDER("lmdb", "1,000 updates a transaction" SAID_WRITTEN, LMDB_ABSENT, &lmdb_bytes),
    CONTENDER("redis", "1,000 updates under way" SAID_WRITTEN, REDIS_ABSENT, &redis_bytes),
};

/* ---- Rows ---- */

static uint64_t size_of(uint64_t tasks)
{
    return bench_scale() == BENCH_SMOKE ? 1000 : tasks;
}

static void look_for_limit(struct bench_contender *contenders, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strncmp(contenders[i].name, "limit", 5) == 0)
            contenders[i].absent = bare_journal_absent();
}

static void add_sync_rows(void)
{
    static const struct {
        const char *name, *title, *metric;
        unsigned contenders, flags;
        struct bench_goal goal;
    } rows[] = {
        {"durable-sync-1M",
         "durable steps of 1 M tasks, beside stores",
         "rate",
         ARRAY_LEN(sync_contenders),
         0,
         {20, "best"}},
        {"durable-sync-1M-rate", "the same, how many", "rate", SYNC_WITHOUT_PEERS, 0, {15e6, NULL}},
        {"durable-sync-1M-p99",
         "the same, how long a commit takes",
         "p99_ns",
         SYNC_WITHOUT_PEERS,
         BENCH_LESS_IS_BETTER,
         {500e3, NULL}},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        bench_add(&(struct bench_row){.name = rows[i].name,
                                      .title = rows[i].title,
                                      .unit = "step",
                                      .metric = rows[i].metric,
                                      .size = size_of(1000000),
                                      .flags = rows[i].flags,
                                      .goal = rows[i].goal,
                                      .contenders = sync_contenders,
                                      .contender_count = rows[i].contenders});
}

void bench_durable_rows(void)
{
    look_for_limit(sync_contenders, ARRAY_LEN(sync_contenders));
    look_for_limit(async_contenders, ARRAY_LEN(async_contenders));
    look_for_limit(bytes_contenders, ARRAY_LEN(bytes_contenders));
    add_sync_rows();
    bench_add(&(struct bench_row){.name = "durable-async-1M",
                                  .title = "steps of 1 M tasks, on disk within 10 ms",
                                  .unit = "step",
                                  .metric = "rate",
                                  .size = size_of(1000000),
                                  .goal = {25e6, NULL},
                                  .contenders = async_contenders,
                                  .contender_count = ARRAY_LEN(async_contenders)});
    /* The bare device plus 15 %. */
    bench_add(&(struct bench_row){.name = "durable-sync-1",
                                  .title = "one durable step at a time",
                                  .unit = "step",
                                  .metric = "p50_ns",
                                  .size = size_of(SINGLE_TASKS),
                                  .flags = BENCH_LESS_IS_BETTER,
                                  .goal = {1 / 1.15, "limit"},
                                  .contenders = single_contenders,
                                  .contender_count = ARRAY_LEN(single_contenders)});
    /* Nothing measurable: what two rounds of the same differ by. */
    bench_add(&(struct bench_row){.name = "durable-none",
                                  .title = "memory-only steps beside an open store",
                                  .unit = "step",
                                  .metric = "rate",
                                  .size = NONE_TASKS,
                                  .goal = {0.97, "pawl-no-store"},
                                  .contenders = none_contenders,
                                  .contender_count = ARRAY_LEN(none_contenders)});
    bench_add(&(struct bench_row){.name = "journal-bytes",
                                  .title = "bytes on disk of a step with 24 bytes of context",
                                  .unit = "step",
                                  .metric = "bytes_per_step",
                                  .size = size_of(1000000),
                                  .flags = BENCH_LESS_IS_BETTER,
                                  .goal = {64, NULL},
                                  .contenders = bytes_contenders,
                                  .contender_count = ARRAY_LEN(bytes_contenders)});
}
