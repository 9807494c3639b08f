/*
 * bench_agents.c - work that goes through a lane to agents and comes back as their reports.
 *
 * An operation is a cycle: a task is ready, it is leased, its agent reports, the report's receipt
 * is taken. What agents do in between is nothing: what is measured is the handing to and fro.
 *
 *   agent-cycle       tasks of a host's own machine that are ready again when they are done: one
 *                     shard, agents in the process, memory
 *   agent-cycle-work  the library's work machine: each cycle submits a task, which completes, stays
 *                     for a millisecond and is gone
 *   agent-cycle-sync  a task is made, taken and ends, each of it on disk before it is answered. Two
 *                     rows of the same work for its two goals; the first has the peers. p99_ns and
 *                     the like are from before a task was put until its end was acknowledged.
 */
#include <stdlib.h>
#include <string.h>

#include "bare_journal.h"
#include "base/bits.h"
#include "cycle.h"
#include "folder.h"
#include "harness.h"
#include "peers/have.h"
#include "peers/jobs.h"
#include "rows.h"

enum { TASKS = 4096, DEEP = 8192, PARTS = 4, GROUP = 1000 };

#define KEEP_NS UINT64_C(1000000)

static double seconds_since(uint64_t begin)
{
    return (double)(bench_now_ns() - begin) * 1e-9;
}

static void need(const void *memory)
{
    if (memory == NULL)
        bench_fail("agents: no memory");
}

/* ---- agent-cycle, agent-cycle-work: Pawl ---- */

struct way {
    enum cycle_life life;
    enum pawl_drive drive;
    enum pawl_durability durability;
    uint32_t credits;
    uint32_t under_way; /* tasks at once, where each cycle makes one */
    uint64_t quick;     /* cycles of a round: --quick; four times as many in --full */
};

struct side {
    const struct way *way;
    uint64_t count; /* cycles of a round */
    char *folder;
    struct cycle *cycle;
    struct histogram delays;
};

static void *pawl_open_side(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = calloc(1, sizeof(*side));

    (void)row;
    need(side);
    side->way = contender->detail;
    side->count = bench_pick(2000, side->way->quick, 4 * side->way->quick);
    if (side->way->durability != PAWL_DURABILITY_MEMORY)
        side->folder = folder_create(contender->name);
    side->cycle = cycle_open(&(struct cycle_spec){
        .folder = side->folder,
        .durability = side->way->durability,
        .drive = side->way->drive,
        .life = side->way->life,
        .shards = 1,
        .tasks = side->way->life == CYCLE_AGAIN ? TASKS : 0,
        .agents = 1,
        .credits = side->way->credits,
        .keep_ns = KEEP_NS,
    });
    return side;
}

static void pawl_close_side(void *state)
{
    struct side *side = state;

    cycle_close(side->cycle);
    if (side->folder != NULL)
        folder_remove(side->folder);
    free(side);
}

static void pawl_run_side(void *state, struct bench_sample *sample)
{
    struct side *side = state;
    const uint64_t before = cycle_journal_bytes(side->cycle);
    uint64_t begin;

    histogram_clear(&side->delays);
    begin = bench_now_ns();
    if (side->way->life == CYCLE_AGAIN)
        cycle_again(side->cycle, side->count);
    else
        cycle_once(side->cycle, side->count, side->way->under_way, &side->delays);
    sample->seconds = seconds_since(begin);
    sample->operations = side->count;
    if (side->folder != NULL)
        bench_count(sample, "bytes_per_cycle",
                    (double)(cycle_journal_bytes(side->cycle) - before) / (double)side->count);
    if (side->delays.total > 0)
        histogram_count(&side->delays, sample);
}

/* ---- The limit: a ring of tasks, no runtime ---- */

/* As large as what Pawl keeps of a task in each of the two rows, its slot apart. */
struct bare_task {
    uint64_t since, token, agent, deadline;
    uint64_t done;
    uint64_t rest[]; /* written when the task is made */
};

struct bare {
    bool makes_tasks;
    size_t task_bytes;
    uint64_t count;
    uint64_t token, clock;
    char *tasks;
    uint32_t ring[TASKS]; /* ready ones, from first on */
    uint32_t first, last;
};

static struct bare_task *bare_task(const struct bare *bare, uint32_t task)
{
    return (struct bare_task *)(void *)(bare->tasks + task * bare->task_bytes);
}

static void bare_put(struct bare *bare, uint32_t task)
{
    bare_task(bare, task)->since = ++bare->clock;
    bare->ring[bare->last++ % TASKS] = task;
}

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const size_t *context_bytes = contender->detail;
    struct bare *bare = calloc(1, sizeof(*bare));

    (void)row;
    need(bare);
    bare->task_bytes = *context_bytes;
    bare->makes_tasks = *context_bytes > 64;
    bare->tasks = calloc(TASKS, bare->task_bytes);
    need(bare->tasks);
    bare->count = bench_pick(2048, 8000000, 32000000) / 256 * 256;
    for (uint32_t i = 0; i < TASKS; i++)
        bare_put(bare, i);
    return bare;
}

static void bare_run(void *state, struct bench_sample *sample)
{
    enum { LEASES = 256 };
    struct bare *bare = state;
    struct {
        uint32_t task;
        uint64_t token;
    } leases[LEASES];
    const uint64_t begin = bench_now_ns();

    for (uint64_t n = 0; n < bare->count; n += LEASES) {
        for (uint32_t i = 0; i < LEASES; i++) {
            const uint32_t number = bare->ring[bare->first++ % TASKS];
            struct bare_task *task = bare_task(bare, number);

            task->token = ++bare->token;
            task->agent = 1;
            task->deadline = bare->clock + 60;
            leases[i].task = number;
            leases[i].token = task->token;
        }
        bench_keep(leases[0].token);
        for (uint32_t i = 0; i < LEASES; i++) {
            struct bare_task *task = bare_task(bare, leases[i].task);

            if (task->token != leases[i].token)
                bench_fail("agents: a token of the bare loop is over");
            task->done++;
            if (bare->makes_tasks)
                memset(task->rest, 0, bare->task_bytes - sizeof(*task));
            bare_put(bare, leases[i].task);
        }
    }
    sample->seconds = seconds_since(begin);
    sample->operations = bare->count;
}

static void bare_close(void *state)
{
    struct bare *bare = state;

    free(bare->tasks);
    free(bare);
}

/* ---- agent-cycle-sync: the limit, three records a cycle in a journal ---- */

struct bare_sync {
    char *folder;
    struct bare_journal *journal;
    uint32_t *keys;
    uint64_t count;
};

enum { STEPS = 3 }; /* of a cycle */

static void *bare_sync_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const unsigned *group = contender->detail;
    struct bare_sync *bare = calloc(1, sizeof(*bare));

    (void)row;
    need(bare);
    bare->count = bench_pick(2000, 200000, 800000);
    bare->keys = malloc(STEPS * bare->count * sizeof(*bare->keys));
    need(bare->keys);
    for (uint64_t i = 0; i < STEPS * bare->count; i++)
        bare->keys[i] = (uint32_t)(i % DEEP);
    bare->folder = folder_create(contender->name);
    bare->journal = bare_journal_open(bare->folder, DEEP, *group, *group > GROUP ? 4 : 8);
    return bare;
}

static void bare_sync_run(void *state, struct bench_sample *sample)
{
    struct bare_sync *bare = state;
    const uint64_t begin = bench_now_ns();

    bare_journal_steps(bare->journal, bare->keys, STEPS * bare->count, NULL);
    sample->seconds = seconds_since(begin);
    sample->operations = bare->count;
}

static void bare_sync_close(void *state)
{
    struct bare_sync *bare = state;

    bare_journal_close(bare->journal);
    folder_remove(bare->folder);
    free(bare->keys);
    free(bare);
}

/* ---- agent-cycle-sync: peers ---- */

struct peer_way {
    const struct job_ops *ops;
    uint64_t quick;
};

struct peer {
    const struct peer_way *way;
    char *folder;
    void *queue;
    uint32_t count;
    struct histogram delays;
    struct job_part parts[PARTS];
    uint64_t begins[PARTS];
};

static void *peer_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    (void)row;
    need(peer);
    peer->way = contender->detail;
    peer->count = (uint32_t)bench_pick(100, peer->way->quick, 4 * peer->way->quick);
    peer->folder = folder_create(contender->name);
    peer->queue = peer->way->ops->open(peer->folder);
    return peer;
}

/* Gives a part its next jobs; returns where those after them begin. */
static uint32_t fill_part(struct peer *peer, unsigned at, uint32_t put)
{
    struct job_part *part = &peer->parts[at];
    const uint32_t left = peer->count - put;

    part->stage = JOB_PUT;
    part->first = put;
    part->count = left < JOB_PART_MAX ? left : JOB_PART_MAX;
    peer->begins[at] = bench_now_ns();
    if (part->count > 0)
        peer->way->ops->send(peer->queue, part);
    return put + part->count;
}

/* The parts in turn, each a stage further, so answers come in the order of the commands. */
static void peer_cycles(struct peer *peer)
{
    const struct job_ops *ops = peer->way->ops;
    uint32_t put = 0, done = 0;
    unsigned at = 0;

    for (unsigned i = 0; i < PARTS; i++)
        put = fill_part(peer, i, put);
    for (; done < peer->count; at = (at + 1) % PARTS) {
        struct job_part *part = &peer->parts[at];

        if (part->count == 0)
            continue;
        ops->receive(peer->queue, part);
        if (part->stage == JOB_ACK) {
            histogram_record(&peer->delays, bench_now_ns() - peer->begins[at]);
            done += part->count;
            put = fill_part(peer, at, put);
        } else {
            part->stage++;
            ops->send(peer->queue, part);
        }
    }
}

static void peer_run(void *state, struct bench_sample *sample)
{
    struct peer *peer = state;
    const uint64_t begin = bench_now_ns();
    uint64_t numbers = 0;

    histogram_clear(&peer->delays);
    for (unsigned i = 0; i < PARTS; i++)
        peer->parts[i].numbers = 0;
    peer_cycles(peer);
    sample->seconds = seconds_since(begin);
    sample->operations = peer->count;
    histogram_count(&peer->delays, sample);
    for (unsigned i = 0; i < PARTS; i++)
        numbers += peer->parts[i].numbers;
    if (numbers != (uint64_t)peer->count * (peer->count - 1) / 2)
        bench_fail("agents: a peer gave a job twice or never");
    peer->way->ops->check_empty(peer->queue);
}

static void peer_close(void *state)
{
    struct peer *peer = state;

    peer->way->ops->close(peer->queue);
    folder_remove(peer->folder);
    free(peer);
}

/* ---- Ways ---- */

static const struct way again_256 = {
    .life = CYCLE_AGAIN, .drive = PAWL_DRIVE_HOST, .credits = 256, .quick = 1000000};
static const struct way again_64 = {
    .life = CYCLE_AGAIN, .drive = PAWL_DRIVE_HOST, .credits = 64, .quick = 1000000};
static const struct way again_threads = {
    .life = CYCLE_AGAIN, .drive = PAWL_DRIVE_THREADS, .credits = 1024, .quick = 1000000};
static const struct way work = {.life = CYCLE_WORK,
                                .drive = PAWL_DRIVE_HOST,
                                .credits = 256,
                                .under_way = 1024,
                                .quick = 200000};
static const struct way work_threads = {.life = CYCLE_WORK,
                                        .drive = PAWL_DRIVE_THREADS,
                                        .credits = 1024,
                                        .under_way = 4096,
                                        .quick = 200000};
static const struct way once = {.life = CYCLE_ONCE,
                                .drive = PAWL_DRIVE_HOST,
                                .credits = 256,
                                .under_way = 1024,
                                .quick = 400000};

#define SYNC_WAY                                                                                   \
    .durability = PAWL_DURABILITY_SYNC, .credits = DEEP, .under_way = DEEP, .quick = 200000
static const struct way sync_host = {SYNC_WAY, .life = CYCLE_ONCE, .drive = PAWL_DRIVE_HOST};
static const struct way sync_threads = {SYNC_WAY, .life = CYCLE_ONCE, .drive = PAWL_DRIVE_THREADS};
static const struct way sync_work = {SYNC_WAY, .life = CYCLE_WORK, .drive = PAWL_DRIVE_HOST};
static const unsigned groups[] = {GROUP, 8 * GROUP};

static const struct peer_way lists = {IF_REDIS(&jobs_redis_lists), .quick = 30000};
static const struct peer_way streams = {IF_REDIS(&jobs_redis_streams), .quick = 30000};
static const struct peer_way tubes = {IF_BEANSTALKD(&jobs_beanstalkd), .quick = 300};

static const size_t claim_bytes = 64, work_bytes = sizeof(struct pawl_work);

/* ---- Contenders ---- */

#define PAWL(given, said, how)                                                                     \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = pawl_open_side, .run = pawl_run_side,        \
        .close = pawl_close_side, .detail = (how)                                                  \
    }
#define LIMIT(given, said, how)                                                                    \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = bare_open, .run = bare_run,                  \
        .close = bare_close, .detail = (how)                                                       \
    }
#define LIMIT_SYNC(given, said, how)                                                               \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = bare_sync_open, .run = bare_sync_run,        \
        .close = bare_sync_close, .detail = (how)                                                  \
    }
#define PEER(given, said, missing, how)                                                            \
    {                                                                                              \
        .name = (given), .semantics = (said), .absent = (missing), .open = peer_open,              \
        .run = peer_run, .close = peer_close, .detail = (how)                                      \
    }

#define SAID_AGAIN                                                                                 \
    "4,096 tasks of a host's machine (a claim and a count) that are ready again when done; one "   \
    "agent, which reports each lease and takes each receipt; "
static const struct bench_contender cycle_contenders[] = {
    PAWL("pawl", SAID_AGAIN "1,024 credits; the shard on a core of its own", &again_threads),
    PAWL("pawl-host", SAID_AGAIN "256 credits; agent and shard on one thread", &again_256),
    PAWL("pawl-host-64", SAID_AGAIN "64 credits; agent and shard on one thread", &again_64),
    LIMIT("limit",
          "4,096 tasks of 64 bytes, a ring of their numbers, leases in batches of 256 that are "
          "written, checked and put again; no order but that of the ring, nobody who may look",
          &claim_bytes),
};

static const struct bench_contender work_contenders[] = {
    PAWL("pawl",
         "submitted by a port, 4,096 under way, leased, reported, completed, gone after a "
         "millisecond; 1,024 credits; the shard on a core of its own",
         &work_threads),
    PAWL("pawl-host", "1,024 under way; submitter, agent (256 credits) and shard on one thread",
         &work),
    PAWL("pawl-host-once",
         "a host's own machine instead: a task of 80 bytes is created, leased, and ends with the "
         "report; one thread",
         &once),
    LIMIT("limit",
          "as in agent-cycle, with tasks of 192 bytes that are written anew for each cycle",
          &work_bytes),
};

#define SAID_SYNC                                                                                  \
    "up to 8,192 tasks under way; each is created, leased and ends by a report, and creation, "    \
    "lease and receipt are seen when they are on disk; "
static struct bench_contender sync_contenders[] = {
    PAWL("pawl",
         SAID_SYNC "a host's machine, 80 bytes; the shard on a core of its own, as the peers' "
                   "servers; its I/O and the one client on the other",
         &sync_threads),
    PAWL("pawl-host", SAID_SYNC "the same; submitter, agent, shard and I/O on one thread",
         &sync_host),
    LIMIT_SYNC(
        "limit",
        "three records of 48 bytes a cycle in groups of 1,000, 8 under way, by io_uring with "
        "O_DIRECT and O_DSYNC into zeroes written before; no queue, no tasks",
        &groups[0]),
    LIMIT_SYNC("limit-8000", "the same in groups of 8,000, 4 under way", &groups[1]),
    PAWL("pawl-work", SAID_SYNC "the library's work machine, which also keeps it a millisecond",
         &sync_work),
    PEER("redis-lists",
         "LPUSH, LMOVE to a second list, LREM from its end; appendfsync always, 1,000 jobs of 24 "
         "bytes under way from one client; the server on a core of its own",
         REDIS_ABSENT, &lists),
    PEER("redis-streams",
         "XADD (MAXLEN ~ 20,000), XREADGROUP and XACK of 250 at once; appendfsync always, 1,000 "
         "jobs under way from one client; the server on a core of its own",
         REDIS_ABSENT, &streams),
    PEER("beanstalkd",
         "-f0: put, reserve, delete, 1,000 jobs under way from one client; what is reserved is not "
         "written",
         BEANSTALKD_ABSENT, &tubes),
};
enum { SYNC_WITHOUT_PEERS = 4 };

/* ---- Rows ---- */

static void look_for_limit(struct bench_contender *contenders, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strncmp(contenders[i].name, "limit", 5) == 0)
            contenders[i].absent = bare_journal_absent();
}

#define ROW(given, told, what, flag, aim, list, list_count)                                        \
    bench_add(&(struct bench_row){.name = (given),                                                 \
                                  .title = (told),                                                 \
                                  .unit = "cycle",                                                 \
                                  .metric = (what),                                                \
                                  .flags = (flag),                                                 \
                                  .goal = aim,                                                     \
                                  .contenders = (list),                                            \
                                  .contender_count = (list_count)})
#define GOAL(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

void bench_agents_rows(void)
{
    look_for_limit(sync_contenders, ARRAY_LEN(sync_contenders));
    ROW("agent-cycle", "ready, leased, reported, done: one shard, memory", "rate", 0,
        GOAL(10e6, NULL), cycle_contenders, ARRAY_LEN(cycle_contenders));
    ROW("agent-cycle-work", "the same with the work machine, submitted and completed", "rate", 0,
        GOAL(10e6, NULL), work_contenders, ARRAY_LEN(work_contenders));
    ROW("agent-cycle-sync", "put, taken, acknowledged, each on disk first, beside queues", "rate",
        0, GOAL(10, "best"), sync_contenders, ARRAY_LEN(sync_contenders));
    ROW("agent-cycle-sync-rate", "the same, how many", "rate", 0, GOAL(2e6, NULL), sync_contenders,
        SYNC_WITHOUT_PEERS);
}
