/*
 * bench_memory.c - memory-100M: bytes a task, at very many (side.h).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "rows.h"
#include "side.h"

enum { AHEAD = 16 }; /* how far ahead a bare array's records are fetched */

/* Steps a round; the memory is what tasks and these steps have taken. */
enum { MANY_STEPS = 1 << 19 };

struct many {
    uint64_t tasks;
    uint64_t first;
    int64_t bytes; /* by its own doing, since it was opened */
    struct random random;
    uint64_t *ids;
    struct side pawl;
    struct hand_task *array;
};

static struct many *many_create(uint64_t tasks)
{
    struct many *many = calloc(1, sizeof(*many));

    if (many == NULL || (many->ids = malloc(MANY_STEPS * sizeof(*many->ids))) == NULL)
        bench_fail("memory: no memory");
    memset(many->ids, 1, MANY_STEPS * sizeof(*many->ids));
    many->tasks = tasks;
    many->random.state = 3;
    return many;
}

static void many_choose(struct many *many)
{
    for (uint64_t i = 0; i < MANY_STEPS; i++)
        many->ids[i] = many->first + random_below(&many->random, many->tasks);
}

static void many_report(struct many *many, struct bench_sample *sample, int64_t rss, uint64_t begin)
{
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    sample->operations = MANY_STEPS;
    many->bytes += (int64_t)bench_rss() - rss;
    bench_count(sample, "bytes_per_task", (double)many->bytes / (double)many->tasks);
}

static void *many_pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct many *many = many_create(bench_pick(100000, 10000000, 100000000));
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    side_open_host(&many->pawl);
    many->first = side_make(&many->pawl, many->tasks, NULL);
    many->bytes = (int64_t)bench_rss() - before;
    return many;
}

static void many_pawl_close(void *state)
{
    struct many *many = state;

    side_close(&many->pawl);
    free(many->ids);
    free(many);
}

static void many_pawl_run(void *state, struct bench_sample *sample)
{
    struct many *many = state;
    const uint64_t steps = side_counters(&many->pawl).transitions;
    const int64_t rss = (int64_t)bench_rss();
    struct pawl_counters counters;
    uint64_t begin;

    many_choose(many);
    begin = bench_now_ns();
    side_post_each(&many->pawl, many->ids, MANY_STEPS, EVENT_ADVANCE);
    many_report(many, sample, rss, begin);
    counters = side_counters(&many->pawl);
    if (counters.tasks != many->tasks || counters.transitions != steps + MANY_STEPS)
        bench_fail("memory: %llu of %llu tasks, %llu steps", (unsigned long long)counters.tasks,
                   (unsigned long long)many->tasks,
                   (unsigned long long)(counters.transitions - steps));
    bench_count(sample, "own_bytes", (double)counters.memory_bytes / (double)many->tasks);
}

static void *many_bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct many *many = many_create(bench_pick(10000, 1000000, 10000000));
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    many->array = side_memory(many->tasks * sizeof(*many->array));
    for (uint64_t i = 0; i < many->tasks; i++)
        many->array[i].id = i + 1;
    many->bytes = (int64_t)bench_rss() - before;
    return many;
}

static void many_bare_close(void *state)
{
    struct many *many = state;

    munmap(many->array, many->tasks * sizeof(*many->array));
    free(many->ids);
    free(many);
}

static void many_bare_run(void *state, struct bench_sample *sample)
{
    const struct hand_event event = {.arg = {1}};
    struct many *many = state;
    const int64_t rss = (int64_t)bench_rss();
    uint64_t begin;

    many_choose(many);
    begin = bench_now_ns();
    for (uint64_t i = 0; i < MANY_STEPS; i++) {
        if (i + AHEAD < MANY_STEPS)
            __builtin_prefetch(&many->array[many->ids[i + AHEAD]], 1);
        hand_step(&side_hand_machine, NULL, &many->array[many->ids[i]], &event);
    }
    many_report(many, sample, rss, begin);
}

/* ---- Rows ---- */

static const struct bench_contender many_contenders[] = {
    {.name = "pawl",
     .semantics =
         "tasks with 16 bytes of context and no key, one shard; all that the runtime takes",
     .open = many_pawl_open,
     .run = many_pawl_run,
     .close = many_pawl_close},
    {.name = "limit",
     .semantics = "an array of records of 64 bytes, a tenth as many; no ids",
     .open = many_bare_open,
     .run = many_bare_run,
     .close = many_bare_close},
};

void bench_memory_rows(void)
{
    bench_add(&(struct bench_row){
        .name = "memory-100M",
        .title = "resident bytes a task, at 100 M tasks",
        .unit = "step",
        .metric = "bytes_per_task",
        .size = 100000000,
        .flags = BENCH_LESS_IS_BETTER | BENCH_FULL_ONLY,
        .goal = {.value = 70},
        .contenders = many_contenders,
        .contender_count = ARRAY_LEN(many_contenders),
    });
}
