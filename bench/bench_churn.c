/*
 * bench_churn.c - what of the memory of tasks comes back (side.h).
 *
 *   churn              tasks are made, stepped a few times and ended; up to a peak, then down to none
 *   churn-memory-left  the same, and how much of the peak's memory is still taken afterwards
 *
 * What the host gives back on its own is waited for, up to a second, outside the time measured;
 * a host of Pawl turns the shard until there is nothing left to do, and one with malloc asks its
 * allocator to return what it keeps.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "rows.h"
#include "side.h"

enum {
    STEPS = 4,  /* of each task */
    AHEAD = 16, /* how far ahead a bare array's records are fetched */
};

struct churn {
    uint64_t tasks;
    uint64_t *ids;    /* as they were made, then in the order in which they are used */
    uint64_t *before; /* room to bring them into that order */
    uint32_t *order;
    uint64_t rounds;
    int64_t left;  /* bytes more than when it was opened, by its own doing */
    uint64_t work; /* ns of the round so far */
    struct side pawl;
    struct hand_table table;
    pthread_mutex_t mutex;
    struct hand_task *array;
};

static struct churn *churn_create(void)
{
    struct churn *churn = calloc(1, sizeof(*churn));
    struct random random = {7};

    if (churn == NULL)
        bench_fail("memory: no memory");
    churn->tasks = bench_pick(10000, 1000000, 4000000);
    churn->ids = malloc(churn->tasks * sizeof(*churn->ids));
    churn->before = malloc(churn->tasks * sizeof(*churn->before));
    churn->order = malloc(churn->tasks * sizeof(*churn->order));
    if (churn->ids == NULL || churn->before == NULL || churn->order == NULL)
        bench_fail("memory: no memory");
    memset(churn->ids, 1, churn->tasks * sizeof(*churn->ids));
    memset(churn->before, 1, churn->tasks * sizeof(*churn->before));
    for (uint64_t i = 0; i < churn->tasks; i++) {
        const uint64_t other = random_below(&random, i + 1);

        churn->order[i] = churn->order[other];
        churn->order[other] = (uint32_t)i;
    }
    return churn;
}

static void churn_destroy(struct churn *churn)
{
    free(churn->order);
    free(churn->before);
    free(churn->ids);
    free(churn);
}

static void shuffle(struct churn *churn)
{
    memcpy(churn->before, churn->ids, churn->tasks * sizeof(*churn->ids));
    for (uint64_t i = 0; i < churn->tasks; i++)
        churn->ids[i] = churn->before[churn->order[i]];
}

/* How one contender makes its tasks, steps and ends all of them, and gives memory back. */
struct churn_way {
    void (*make)(struct churn *churn);
    void (*step)(struct churn *churn);
    void (*end)(struct churn *churn);
    void (*settle)(struct churn *churn);
};

static void timed(struct churn *churn, void (*part)(struct churn *churn))
{
    const uint64_t begin = bench_now_ns();

    part(churn);
    churn->work += bench_now_ns() - begin;
}

static void churn_round(struct churn *churn, const struct churn_way *way,
                        struct bench_sample *sample)
{
    const int64_t before = (int64_t)bench_rss();
    int64_t peak, after;
    uint64_t begin;

    churn->work = 0;
    churn->rounds++;
    timed(churn, way->make);
    shuffle(churn);
    for (unsigned i = 0; i < STEPS; i++)
        timed(churn, way->step);
    peak = (int64_t)bench_rss() - before + churn->left;
    timed(churn, way->end);
    begin = bench_now_ns();
    way->settle(churn);
    begin = bench_now_ns() - begin;
    after = (int64_t)bench_rss() - before + churn->left;
    churn->left = after;
    sample->seconds = (double)churn->work * 1e-9;
    sample->operations = churn->tasks;
    bench_count(sample, "bytes_at_peak", (double)peak / (double)churn->tasks);
    bench_count(sample, "left_percent",
                after > 0 && peak > 0 ? 100.0 * (double)after / (double)peak : 0);
    bench_count(sample, "settle_ms", (double)begin * 1e-6);
}

static void churn_pawl_make(struct churn *churn)
{
    side_make(&churn->pawl, churn->tasks, churn->ids);
}

static void churn_pawl_step(struct churn *churn)
{
    side_post_each(&churn->pawl, churn->ids, churn->tasks, EVENT_ADVANCE);
}

static void churn_pawl_end(struct churn *churn)
{
    side_post_each(&churn->pawl, churn->ids, churn->tasks, EVENT_END);
}

/* Turns until the shard may sleep: then it has given back what it gives back. */
static void churn_pawl_settle(struct churn *churn)
{
    const uint64_t until = bench_now_ns() + 1000000000;
    struct pawl_runtime *runtime = churn->pawl.runtime;

    do {
        bench_need(pawl_turn(runtime, 0), "turning");
    } while (pawl_shard_wait_prepare(runtime, 0) == 0 && bench_now_ns() < until);
    bench_need(pawl_turn(runtime, 0), "turning");
}

static void *churn_pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct churn *churn = churn_create();
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    side_open_host(&churn->pawl);
    churn->left = (int64_t)bench_rss() - before;
    return churn;
}

static void churn_pawl_close(void *state)
{
    struct churn *churn = state;

    side_close(&churn->pawl);
    churn_destroy(churn);
}

static void churn_pawl_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_pawl_make, churn_pawl_step, churn_pawl_end,
                                         churn_pawl_settle};
    struct churn *churn = state;
    struct pawl_counters counters;

    churn_round(churn, &way, sample);
    counters = side_counters(&churn->pawl);
    if (counters.tasks != 0 || counters.ended != churn->rounds * churn->tasks ||
        counters.transitions < churn->rounds * churn->tasks * (STEPS + 1) || counters.stale != 0)
        bench_fail("churn: %llu tasks are left, %llu ended, %llu transitions",
                   (unsigned long long)counters.tasks, (unsigned long long)counters.ended,
                   (unsigned long long)counters.transitions);
    bench_count(sample, "own_bytes", (double)counters.memory_bytes);
}

static void churn_hand_make(struct churn *churn)
{
    for (uint64_t i = 0; i < churn->tasks; i++) {
        churn->ids[i] = churn->rounds * churn->tasks + i;
        pthread_mutex_lock(&churn->mutex);
        hand_table_add(&churn->table, churn->ids[i]);
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_step(struct churn *churn)
{
    const struct hand_event event = {.arg = {1}};

    for (uint64_t i = 0; i < churn->tasks; i++) {
        pthread_mutex_lock(&churn->mutex);
        hand_step(&side_hand_machine, NULL, hand_table_find(&churn->table, churn->ids[i]), &event);
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_end(struct churn *churn)
{
    for (uint64_t i = 0; i < churn->tasks; i++) {
        pthread_mutex_lock(&churn->mutex);
        if (!hand_table_remove(&churn->table, churn->ids[i]))
            bench_fail("churn: a table lost a task");
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_settle(struct churn *churn)
{
    (void)churn;
    hand_memory_back();
}

static void *churn_hand_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct churn *churn = churn_create();

    (void)row;
    (void)contender;
    hand_table_init(&churn->table);
    pthread_mutex_init(&churn->mutex, NULL);
    return churn;
}

static void churn_hand_close(void *state)
{
    struct churn *churn = state;

    pthread_mutex_destroy(&churn->mutex);
    hand_table_fini(&churn->table);
    churn_destroy(churn);
}

static void churn_hand_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_hand_make, churn_hand_step, churn_hand_end,
                                         churn_hand_settle};
    struct churn *churn = state;

    churn_round(churn, &way, sample);
    if (churn->table.count != 0)
        bench_fail("churn: %llu tasks are left in a table", (unsigned long long)churn->table.count);
}

static void churn_bare_make(struct churn *churn)
{
    churn->array = side_memory(churn->tasks * sizeof(*churn->array));
    for (uint64_t i = 0; i < churn->tasks; i++) {
        churn->array[i].id = i + 1;
        churn->ids[i] = i;
    }
}

static void churn_bare_step(struct churn *churn)
{
    const struct hand_event event = {.arg = {1}};

    for (uint64_t i = 0; i < churn->tasks; i++) {
        if (i + AHEAD < churn->tasks)
            __builtin_prefetch(&churn->array[churn->ids[i + AHEAD]], 1);
        hand_step(&side_hand_machine, NULL, &churn->array[churn->ids[i]], &event);
    }
}

static void churn_bare_end(struct churn *churn)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < churn->tasks; i++) {
        struct hand_task *task = &churn->array[churn->ids[i]];

        if (i + AHEAD < churn->tasks)
            __builtin_prefetch(&churn->array[churn->ids[i + AHEAD]], 1);
        count += task->count;
        task->id = 0;
    }
    munmap(churn->array, churn->tasks * sizeof(*churn->array));
    if (count != churn->tasks * STEPS)
        bench_fail("churn: an array counted %llu steps", (unsigned long long)count);
}

static void churn_bare_settle(struct churn *churn)
{
    (void)churn;
}

static void *churn_bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    (void)row;
    (void)contender;
    return churn_create();
}

static void churn_bare_close(void *state)
{
    churn_destroy(state);
}

static void churn_bare_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_bare_make, churn_bare_step, churn_bare_end,
                                         churn_bare_settle};

    churn_round(state, &way, sample);
}

/* ---- Rows ---- */

static const struct bench_contender churn_contenders[] = {
    {.name = "pawl",
     .semantics = "one shard, turned by the thread that posts; made, stepped four times and ended "
                  "through a port",
     .open = churn_pawl_open,
     .run = churn_pawl_run,
     .close = churn_pawl_close},
    {.name = "limit",
     .semantics = "an array, mapped at the start and unmapped at the end: no ids, no reuse, no "
                  "atomicity, nothing returned before all is over",
     .open = churn_bare_open,
     .run = churn_bare_run,
     .close = churn_bare_close},
    {.name = "malloc-table",
     .semantics = "a hash table under a mutex, a record of 64 bytes from malloc for each task; one "
                  "thread, so nobody waits for the mutex; the allocator is asked to return memory "
                  "at the end",
     .open = churn_hand_open,
     .run = churn_hand_run,
     .close = churn_hand_close},
};

void bench_churn_rows(void)
{
    bench_add(&(struct bench_row){
        .name = "churn",
        .title = "tasks made, stepped four times and ended, a peak at a time",
        .unit = "task",
        .metric = "rate",
        .size = bench_pick(10000, 1000000, 4000000),
        .contenders = churn_contenders,
        .contender_count = ARRAY_LEN(churn_contenders),
    });
    bench_add(&(struct bench_row){
        .name = "churn-memory-left",
        .title = "memory still taken when all tasks have ended, in percent of the peak",
        .unit = "task",
        .metric = "left_percent",
        .size = bench_pick(10000, 1000000, 4000000),
        .flags = BENCH_LESS_IS_BETTER,
        .goal = {.value = 10},
        .contenders = churn_contenders,
        .contender_count = ARRAY_LEN(churn_contenders),
    });
}
