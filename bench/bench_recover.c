/*
 * bench_recover.c - how fast a store opens.
 *
 *   recover-journal   pawl_open of one shard (so one core) whose whole past is in its journal: records a
 *                     second, from the system's cache.
 *   recover-tasks-N   pawl_open of N tasks from snapshots, as many shards as cores.
 *
 * The store is made once; each round opens hard links to its files, because recovery never writes to a
 * file that it finds: that is checked at the end. The limit reads the same bytes once,
 * 1 MiB at a time, and computes their CRC, on one thread; it does nothing with them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "durable.h"
#include "folder.h"
#include "harness.h"
#include "peers/stores.h"
#include "rows.h"

enum { TASKS = 1000000, PIECE = 1 << 20, CHECKED = 64, DEPTH = 65536, SHARDS_MAX = 16, MODELS = 4 };

/* A store on disk. Shared by the contenders of a row: made by the first, removed by the last. */
struct model {
    const char *row; /* its name; NULL: not in use */
    char *folder;
    uint64_t stamp;
    unsigned users;
    uint64_t steps;
    uint32_t *counts; /* by task */
    struct durable_spec spec;
};

static struct model models[MODELS];

/* ---- The store ---- */

static uint64_t steps_of(const struct bench_row *row)
{
    return strcmp(row->name, "recover-journal") == 0 ? bench_pick(20000, 4000000, 16000000)
                                                     : row->size / 10;
}

/* As many as there are cores, a number that shares the tasks evenly. */
static unsigned shards_of(const struct bench_row *row)
{
    unsigned shards = 1;

    while (strcmp(row->name, "recover-journal") != 0 && 2 * shards <= bench_cpu_count() &&
           2 * shards <= SHARDS_MAX)
        shards *= 2;
    return shards;
}

/* A few steps before the snapshot, so that states and contexts are not all the same. */
static void make_steps(struct model *model, struct durable *durable)
{
    struct random random = {model->steps};
    uint32_t *keys = malloc(model->steps * sizeof(*keys));

    model->counts = calloc(model->spec.tasks, sizeof(*model->counts));
    if (keys == NULL || model->counts == NULL)
        bench_fail("recover: no memory");
    for (uint64_t i = 0; i < model->steps; i++) {
        /* Of the first shard's tasks: durable_stream steps no others. */
        keys[i] = (uint32_t)random_below(&random, model->spec.tasks / model->spec.shards);
        model->counts[keys[i]]++;
    }
    durable_stream(durable, keys, model->steps);
    durable_sync(durable);
    free(keys);
}

static void model_make(struct model *model, const struct bench_row *row)
{
    struct durable *durable;

    model->row = row->name;
    model->folder = folder_create(row->name);
    model->steps = steps_of(row);
    model->spec = (struct durable_spec){.folder = model->folder,
                                        .durability = PAWL_DURABILITY_ASYNC,
                                        .drive = PAWL_DRIVE_THREADS,
                                        .shards = shards_of(row),
                                        .tasks = row->size,
                                        .depth = DEPTH,
                                        .snapshot_bytes = UINT64_MAX};
    durable = durable_create(&model->spec);
    make_steps(model, durable);
    if (strcmp(row->name, "recover-journal") != 0)
        durable_snapshot(durable);
    durable_close(durable);
    model->stamp = folder_stamp(model->folder);
}

static struct model *model_use(const struct bench_row *row)
{
    struct model *free_one = NULL;

    for (unsigned i = 0; i < MODELS; i++) {
        if (models[i].row != NULL && strcmp(models[i].row, row->name) == 0) {
            models[i].users++;
            return &models[i];
        }
        if (models[i].row == NULL)
            free_one = &models[i];
    }
    if (free_one == NULL)
        bench_fail("recover: too many rows");
    model_make(free_one, row);
    free_one->users = 1;
    return free_one;
}

static void model_leave(struct model *model)
{
    if (--model->users > 0)
        return;
    if (folder_stamp(model->folder) != model->stamp)
        bench_fail("recover: opening a store has written to files that it found");
    folder_remove(model->folder);
    free(model->counts);
    memset(model, 0, sizeof(*model));
}

/* ---- Pawl ---- */

struct side {
    struct model *model;
    uint64_t operations;
    bool journal; /* records are counted, not tasks */
    uint8_t *piece;
};

static void *side_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct side *side = calloc(1, sizeof(*side));

    (void)contender;
    if (side == NULL || (side->piece = malloc(PIECE)) == NULL)
        bench_fail("recover: no memory");
    side->model = model_use(row);
    side->journal = strcmp(row->name, "recover-journal") == 0;
    side->operations =
        side->journal ? side->model->spec.tasks + side->model->steps : side->model->spec.tasks;
    return side;
}

static void side_close(void *state)
{
    struct side *side = state;

    model_leave(side->model);
    free(side->piece);
    free(side);
}

/* What should be there is there. */
static void check_recovered(const struct side *side, const struct durable *durable)
{
    struct random random = {bench_now_ns()};
    uint64_t tasks = 0, entries = 0;

    for (unsigned s = 0; s < side->model->spec.shards; s++) {
        const struct pawl_store_status status = durable_status(durable, s);

        tasks += status.recovered_tasks;
        entries += status.recovered_entries;
    }
    if (tasks != side->model->spec.tasks || (side->journal && entries < side->operations))
        bench_fail("recover: %llu tasks of %llu and %llu entries of %llu came back",
                   (unsigned long long)tasks, (unsigned long long)side->model->spec.tasks,
                   (unsigned long long)entries, (unsigned long long)side->operations);
    for (unsigned i = 0; i < CHECKED; i++) {
        const uint64_t task = random_below(&random, side->model->spec.tasks);

        durable_check(durable, task, side->model->counts[task]);
    }
}

static void pawl_run(void *state, struct bench_sample *sample)
{
    const struct side *side = state;
    struct durable_spec spec = side->model->spec;
    char *folder = folder_create("opened");
    struct durable *durable;

    folder_link(side->model->folder, folder);
    spec.folder = folder;
    durable = durable_reopen(&spec, &sample->seconds);
    sample->operations = side->operations;
    bench_count(sample, "open_ns", sample->seconds * 1e9);
    check_recovered(side, durable);
    durable_close(durable);
    folder_remove(folder);
}

/* ---- The limit ---- */

/* A journal's end that was prepared and not used: entries have headers, so none is zeroes for so long. */
static bool is_unused(const uint8_t *bytes, size_t size)
{
    const size_t looked = size < 4096 ? size : 4096;

    for (size_t i = 0; i < looked; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* What recovery has to read of a file. */
static uint64_t read_file(const struct side *side, const char *path, uint32_t *crc)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t bytes = 0;
    ssize_t got;

    if (fd < 0)
        bench_fail("recover: %s: %s", path, strerror(errno));
    while ((got = read(fd, side->piece, PIECE)) > 0 && !is_unused(side->piece, (size_t)got)) {
        *crc = pawl__crc32c(*crc, side->piece, (size_t)got);
        bytes += (uint64_t)got;
    }
    if (got < 0)
        bench_fail("recover: %s: %s", path, strerror(errno));
    close(fd);
    return bytes;
}

static void limit_run(void *state, struct bench_sample *sample)
{
    const struct side *side = state;
    const char *ending = side->journal ? ".journal" : ".snapshot";
    DIR *directory = opendir(side->model->folder);
    struct dirent *entry;
    uint64_t begin, bytes = 0;
    uint32_t crc = 0;

    if (directory == NULL)
        bench_fail("recover: %s: %s", side->model->folder, strerror(errno));
    begin = bench_now_ns();
    while ((entry = readdir(directory)) != NULL) {
        const size_t size = strlen(entry->d_name);
        char path[4400];

        if (size < strlen(ending) || strcmp(entry->d_name + size - strlen(ending), ending) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", side->model->folder, entry->d_name);
        bytes += read_file(side, path, &crc);
    }
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    closedir(directory);
    bench_keep(crc);
    if (bytes == 0)
        bench_fail("recover: there is no %s in %s", ending, side->model->folder);
    sample->operations = side->operations;
    bench_count(sample, "open_ns", sample->seconds * 1e9);
    bench_count(sample, "bytes", (double)bytes);
    bench_count(sample, "bytes_per_second", (double)bytes / sample->seconds);
}

/* ---- Rows ---- */

static const struct bench_contender journal_contenders[] = {
    {"pawl", "pawl_open: one shard on one core, 1 M tasks created and stepped at random", NULL,
     side_open, pawl_run, side_close, NULL},
    {"limit", "the journal's bytes read in order and their CRC32C computed, on one core", NULL,
     side_open, limit_run, side_close, NULL},
};
static const struct bench_contender tasks_contenders[] = {
    {"pawl", "pawl_open: a shard for each core, each reads its snapshot", NULL, side_open, pawl_run,
     side_close, NULL},
    {"limit", "the snapshots' bytes read in order and their CRC32C computed, on one core", NULL,
     side_open, limit_run, side_close, NULL},
};

void bench_recover_rows(void)
{
    static const struct {
        const char *name, *tasks;
        uint64_t size;
        unsigned flags;
    } sizes[] = {{"recover-tasks-10M", "10 M", 10000000, 0},
                 {"recover-tasks-100M", "100 M", 100000000, BENCH_FULL_ONLY}};
    const uint64_t smoke = 1024;

    bench_add(&(struct bench_row){.name = "recover-journal",
                                  .title = "opening a store from its journal, one core",
                                  .unit = "record",
                                  .metric = "rate",
                                  .size = bench_scale() == BENCH_SMOKE ? smoke : TASKS,
                                  .goal = {25e6, NULL},
                                  .contenders = journal_contenders,
                                  .contender_count = ARRAY_LEN(journal_contenders)});
    /* 100 M tasks in 15 s. */
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        bench_add(&(struct bench_row){
            .name = sizes[i].name,
            .title = bench_text("opening a store of %s tasks from snapshots", sizes[i].tasks),
            .group = "recover-tasks",
            .unit = "task",
            .metric = "rate",
            .size = bench_scale() == BENCH_SMOKE ? smoke : sizes[i].size,
            .flags = sizes[i].flags,
            .goal = {100e6 / 15, NULL},
            .contenders = tasks_contenders,
            .contender_count = ARRAY_LEN(tasks_contenders)});
}
