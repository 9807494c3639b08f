/*
 * bench_lanes.c - lanes that are deep, and lanes that many serve.
 *
 * An operation is a cycle, as in bench_agents.c: tasks of a host's machine go round through one
 * lane.
 *
 *   lane-depth  many ready tasks beside few: what it costs to take one and to put it again. Tasks
 *               have 256 priorities at any time: one that is put again is behind by 1 to 256, at
 *               random, so each one's turn comes, and the next to be taken lies anywhere in memory.
 *   agents-64   64 agents beside one, on two cores: how much they get through, and whether each
 *               gets its share
 */
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "cycle.h"
#include "harness.h"
#include "rows.h"

enum { TASKS = 4096, RANKS = 256, SHALLOW = 1000 };

static double seconds_since(uint64_t begin)
{
    return (double)(bench_now_ns() - begin) * 1e-9;
}

static void need(const void *memory)
{
    if (memory == NULL)
        bench_fail("lanes: no memory");
}

/* ---- lane-depth: Pawl ---- */

struct depth {
    uint64_t count;
    struct cycle *cycle;
};

static uint64_t tasks_of(const struct bench_row *row, const struct bench_contender *contender)
{
    return contender->detail != NULL ? SHALLOW : row->size;
}

static void *depth_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct depth *depth = calloc(1, sizeof(*depth));

    need(depth);
    depth->count = bench_pick(2000, 1000000, 4000000);
    depth->cycle = cycle_open(&(struct cycle_spec){
        .drive = PAWL_DRIVE_HOST,
        .shards = 1,
        .tasks = tasks_of(row, contender),
        .ranks = RANKS,
        .agents = 1,
        .credits = RANKS,
    });
    return depth;
}

static void depth_run(void *state, struct bench_sample *sample)
{
    struct depth *depth = state;
    const uint64_t begin = bench_now_ns();

    cycle_again(depth->cycle, depth->count);
    sample->seconds = seconds_since(begin);
    sample->operations = depth->count;
}

static void depth_close(void *state)
{
    struct depth *depth = state;

    cycle_close(depth->cycle);
    free(depth);
}

/* ---- lane-depth: the limit, a queue for each priority ---- */

struct bare_job {
    uint32_t next; /* in its queue */
    uint32_t priority;
    uint64_t since, token, agent, deadline, done;
    uint64_t rest[2];
};

struct bare_queue {
    uint32_t first, last; /* 0: none */
};

struct bare {
    uint64_t count, token, clock;
    struct bare_job *jobs; /* from 1 on */
    uint32_t lowest;       /* no task has a smaller priority */
    struct random random;
    struct bare_queue queues[2 * RANKS]; /* priorities wrap round: 256 of them at any time, and 1 */
};

static void bare_put(struct bare *bare, uint32_t job)
{
    struct bare_queue *queue = &bare->queues[bare->jobs[job].priority % (2 * RANKS)];

    bare->jobs[job].next = 0;
    bare->jobs[job].since = ++bare->clock;
    if (queue->first == 0)
        queue->first = job;
    else
        bare->jobs[queue->last].next = job;
    queue->last = job;
}

static uint32_t bare_take(struct bare *bare)
{
    struct bare_queue *queue;
    uint32_t job;

    while ((queue = &bare->queues[bare->lowest % (2 * RANKS)])->first == 0)
        bare->lowest++;
    job = queue->first;
    queue->first = bare->jobs[job].next;
    return job;
}

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const uint64_t tasks = tasks_of(row, contender);
    struct bare *bare = calloc(1, sizeof(*bare));

    need(bare);
    bare->count = bench_pick(2000, 1000000, 4000000);
    bare->jobs = calloc(tasks + 1, sizeof(*bare->jobs));
    need(bare->jobs);
    for (uint32_t i = 1; i <= tasks; i++) {
        bare->jobs[i].priority = (uint32_t)random_below(&bare->random, RANKS);
        bare_put(bare, i);
    }
    return bare;
}

static void bare_run(void *state, struct bench_sample *sample)
{
    struct bare *bare = state;
    const uint64_t begin = bench_now_ns();

    for (uint64_t n = 0; n < bare->count; n++) {
        const uint32_t number = bare_take(bare);
        struct bare_job *job = &bare->jobs[number];

        job->token = ++bare->token;
        job->agent = 1;
        job->deadline = bare->clock + 60;
        bench_keep(job->token);
        job->done++;
        job->priority += 1 + (uint32_t)random_below(&bare->random, RANKS);
        bare_put(bare, number);
    }
    sample->seconds = seconds_since(begin);
    sample->operations = bare->count;
}

static void bare_close(void *state)
{
    struct bare *bare = state;

    free(bare->jobs);
    free(bare);
}

/* ---- agents-64 ---- */

/*
 * Two threads, each of which uses half of the agents (a single one: the second) and, host-driven,
 * turns a shard.
 */
struct crowd_way {
    unsigned agents;
    uint32_t credits;
    bool split; /* the only shard has the first core, all agents the second */
};

enum { HALVES = 2 };

struct half {
    struct crowd *crowd;
    unsigned number;
    unsigned first, end; /* its agents */
    uint64_t receipts[CYCLE_AGENTS_MAX];
    _Alignas(64) _Atomic uint64_t total;
};

struct crowd {
    const struct crowd_way *way;
    uint64_t count;
    struct cycle *cycle;
    _Atomic int is_over;
    struct half halves[HALVES];
};

static uint64_t crowd_total(struct crowd *crowd)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < HALVES; i++)
        total += load_relaxed(&crowd->halves[i].total); /* only the number matters */
    return total;
}

static void *crowd_thread(void *argument)
{
    struct half *half = argument;
    struct crowd *crowd = half->crowd;

    while (load_acquire(&crowd->is_over) == 0) {
        uint64_t got = 0;

        if (!crowd->way->split)
            cycle_turn(crowd->cycle, half->number);
        for (unsigned i = half->first; i < half->end; i++) {
            const unsigned receipts = cycle_agent(crowd->cycle, i);

            half->receipts[i] += receipts;
            got += receipts;
        }
        /* relaxed: only the number matters */
        store_relaxed(&half->total, load_relaxed(&half->total) + got);
        if (got > 0 && crowd_total(crowd) >= crowd->count)
            store_release(&crowd->is_over, 1);
    }
    return NULL;
}

static void *crowd_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct crowd_way *way = contender->detail;
    struct crowd *crowd = aligned_alloc(_Alignof(struct crowd), sizeof(*crowd));

    (void)row;
    need(crowd);
    memset(crowd, 0, sizeof(*crowd));
    crowd->way = way;
    crowd->count = bench_pick(20000, 500000, 4000000);
    crowd->cycle = cycle_open(&(struct cycle_spec){
        .drive = way->split ? PAWL_DRIVE_THREADS : PAWL_DRIVE_HOST,
        .shards = way->split ? 1 : HALVES,
        .tasks = TASKS,
        .agents = way->agents,
        .credits = way->credits,
    });
    for (unsigned i = 0; i < HALVES; i++) {
        const unsigned begin = way->split ? 0 : i * way->agents / HALVES;

        crowd->halves[i].crowd = crowd;
        crowd->halves[i].number = i;
        crowd->halves[i].first = begin;
        crowd->halves[i].end = way->split ? i * way->agents : (i + 1) * way->agents / HALVES;
    }
    return crowd;
}

static void crowd_count(const struct crowd *crowd, struct bench_sample *sample)
{
    const unsigned agents = crowd->way->agents;
    uint64_t least = UINT64_MAX, most = 0;
    double share, unfair;

    for (unsigned i = 0; i < agents; i++) {
        uint64_t receipts = 0;

        for (unsigned h = 0; h < HALVES; h++)
            receipts += crowd->halves[h].receipts[i];
        least = receipts < least ? receipts : least;
        most = receipts > most ? receipts : most;
    }
    share = (double)sample->operations / agents;
    unfair = (double)most / share - 1;
    if (1 - (double)least / share > unfair)
        unfair = 1 - (double)least / share;
    bench_count(sample, "least", (double)least / share);
    bench_count(sample, "most", (double)most / share);
    bench_count(sample, "unfair", unfair);
}

static void crowd_run(void *state, struct bench_sample *sample)
{
    struct crowd *crowd = state;
    pthread_t threads[HALVES];
    uint64_t begin;

    store_release(&crowd->is_over, 0);
    for (unsigned i = 0; i < HALVES; i++) {
        memset(crowd->halves[i].receipts, 0, sizeof(crowd->halves[i].receipts));
        store_relaxed(&crowd->halves[i].total, 0); /* no thread is there yet */
    }
    begin = bench_now_ns();
    /* Of a split crowd the first thread would be in the shard's way, and has nothing to do. */
    for (unsigned i = crowd->way->split; i < HALVES; i++)
        threads[i] = bench_thread(i, crowd_thread, &crowd->halves[i]);
    for (unsigned i = crowd->way->split; i < HALVES; i++)
        pthread_join(threads[i], NULL);
    sample->seconds = seconds_since(begin);
    sample->operations = crowd_total(crowd);
    crowd_count(crowd, sample);
}

static void crowd_close(void *state)
{
    struct crowd *crowd = state;

    cycle_close(crowd->cycle);
    free(crowd);
}

/* ---- Rows ---- */

#define DEPTH(given, said, few)                                                                    \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = depth_open, .run = depth_run,                \
        .close = depth_close, .detail = (few)                                                      \
    }
#define LIMIT(given, said, few)                                                                    \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = bare_open, .run = bare_run,                  \
        .close = bare_close, .detail = (few)                                                       \
    }
#define CROWD(given, said, how)                                                                    \
    {                                                                                              \
        .name = (given), .semantics = (said), .open = crowd_open, .run = crowd_run,                \
        .close = crowd_close, .detail = (how)                                                      \
    }

#define SAID_DEPTH                                                                                 \
    "a host's machine (a claim and a count), 256 priorities; one agent of 256 credits, which "     \
    "reports each lease; agent and shard on one thread; "
#define SAID_LIMIT                                                                                 \
    "tasks of 64 bytes in an array, a list for each of the priorities, one task at a time and "    \
    "nothing fetched ahead, nobody who may look; "
static const struct bench_contender depth_contenders[] = {
    DEPTH("pawl", SAID_DEPTH "as many ready tasks as the row says", NULL),
    DEPTH("pawl-1000", SAID_DEPTH "1,000 ready tasks", "few"),
    LIMIT("limit", SAID_LIMIT "as many ready tasks as the row says", NULL),
    LIMIT("limit-1000", SAID_LIMIT "1,000 ready tasks", "few"),
};

static const struct crowd_way crowd_64 = {.agents = 64, .credits = 32};
static const struct crowd_way crowd_one = {.agents = 1, .credits = 64 * 32};
static const struct crowd_way split_64 = {.agents = 64, .credits = 32, .split = true};
static const struct crowd_way split_one = {.agents = 1, .credits = 64 * 32, .split = true};

#define SAID_CROWD "4,096 tasks go round; two cores, each turns a shard and serves "
#define SAID_SPLIT "4,096 tasks go round; a shard on one core, on the other "
static const struct bench_contender crowd_contenders[] = {
    CROWD("pawl", SAID_CROWD "32 agents of 32 credits, for both shards", &crowd_64),
    CROWD("pawl-split", SAID_SPLIT "64 agents of 32 credits", &split_64),
    CROWD("pawl-one", SAID_CROWD "one agent of 2,048 credits in all, for both shards", &crowd_one),
    CROWD("pawl-split-one", SAID_SPLIT "one agent of 2,048 credits", &split_one),
};

/*
 * One thread uses all agents here: with two, the system's scheduler decides which of them are
 * slower.
 */
static const struct bench_contender fair_contenders[] = {
    CROWD("pawl", SAID_SPLIT "64 agents of 32 credits", &split_64),
    CROWD("pawl-two",
          SAID_CROWD "32 agents of 32 credits, for both shards; how much time each core had "
                     "for its own shows as well",
          &crowd_64),
};

void bench_lanes_rows(void)
{
    bench_add(&(struct bench_row){.name = "lane-depth",
                                  .title = "a deep lane of mixed priorities beside one of 1,000",
                                  .unit = "cycle",
                                  .metric = "rate",
                                  .size = bench_pick(10000, 1000000, 10000000),
                                  .goal = {0.5, "pawl-1000"},
                                  .contenders = depth_contenders,
                                  .contender_count = ARRAY_LEN(depth_contenders)});
    bench_add(&(struct bench_row){.name = "agents-64",
                                  .title = "64 agents beside one, on two cores",
                                  .unit = "cycle",
                                  .metric = "rate",
                                  .flags = BENCH_CROSS_CORE,
                                  .goal = {0.8, "pawl-one"},
                                  .contenders = crowd_contenders,
                                  .contender_count = ARRAY_LEN(crowd_contenders)});
    bench_add(
        &(struct bench_row){.name = "agents-64-fair",
                            .title = "how far from its share the one of 64 is that is farthest",
                            .unit = "cycle",
                            .metric = "unfair",
                            .flags = BENCH_CROSS_CORE | BENCH_LESS_IS_BETTER,
                            .goal = {0.05, NULL},
                            .contenders = fair_contenders,
                            .contender_count = ARRAY_LEN(fair_contenders)});
}
