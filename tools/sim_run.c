#include "sim_run.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "sim_check.h"
#include "sim_world.h"

struct run {
    const struct sim_run_options *options;
    struct sim_run_result *result;
    struct sim_world world;
    struct sim_disk *past;    /* what the disk was at an earlier crash */
    struct sim_disk *crashed; /* and at the last one; only with options->dump */
    uint64_t steps_left;
    unsigned flood; /* how often */
    uint64_t struck_before;
};

static uint64_t dice(struct run *run, uint64_t sides)
{
    return random_below(&run->world.random, sides);
}

static bool chance(struct run *run, unsigned fault, uint64_t sides)
{
    return (run->options->faults & fault) != 0 && dice(run, sides) == 0;
}

/* ---- faults ---- */

static uint64_t struck(const struct run *run)
{
    const struct sim_disk_counters *counters = sim_disk_counters(run->world.disk);

    return counters->faults[SIM_FAULT_ERROR] + counters->faults[SIM_FAULT_SHORT] +
           counters->faults[SIM_FAULT_PHANTOM] + counters->faults[SIM_FAULT_MISDIRECTED] +
           counters->faults[SIM_FAULT_FLIP] + counters->full;
}

static void add(struct run *run, const struct sim_fault *fault)
{
    sim_disk_fault_add(run->world.disk, fault);
}

/* The Nth operation of a kind fails, once or from then on. */
static void add_error(struct run *run)
{
    static const uint32_t ops[] = {
        SIM_OPS(SIM_QUEUE_END),   SIM_OPS(SIM_QUEUE_END),
        SIM_OPS(SIM_QUEUE_WRITE), SIM_OPS_WRITES,
        SIM_OPS(SIM_CREATE),      SIM_OPS(SIM_SYNC) | SIM_OPS(SIM_SYNC_DIRECTORY),
        SIM_OPS(SIM_RENAME),      SIM_OPS(SIM_REMOVE),
        SIM_OPS(SIM_READ),        SIM_OPS_ALL};

    add(run, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                 .ops = ops[dice(run, ARRAY_LEN(ops))],
                                 .nth = 1 + dice(run, 60),
                                 .forever = dice(run, 2) == 0,
                                 .error = -EIO});
}

static void add_snapshot_faults(struct run *run)
{
    const enum sim_fault_kind kind = dice(run, 3) == 0 ? SIM_FAULT_FLIP : SIM_FAULT_PHANTOM;

    add(run, &(struct sim_fault){.kind = kind,
                                 .ops = kind == SIM_FAULT_FLIP ? SIM_OPS(SIM_READ)
                                                               : SIM_OPS(SIM_QUEUE_END),
                                 .path = ".snapshot",
                                 .per_million = 1 + (uint32_t)dice(run, 600000)});
}

/* What goes wrong while the host works, drawn for each round. */
static void add_faults(struct run *run)
{
    if ((run->options->faults & (SIM_FAULTS_KILL | SIM_FAULTS_POWER)) != 0 && dice(run, 2) == 0)
        add(run, &(struct sim_fault){.kind = SIM_FAULT_DIE,
                                     .ops = SIM_OPS_ALL,
                                     .nth = 1 + dice(run, 1 + dice(run, 200))});
    if (chance(run, SIM_FAULTS_ERROR, 8))
        add_error(run);
    if (chance(run, SIM_FAULTS_FULL, 16))
        add(run, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                     .ops = SIM_OPS_WRITES | SIM_OPS(SIM_CREATE),
                                     .nth = 1 + dice(run, 60),
                                     .forever = dice(run, 2) == 0,
                                     .error = -ENOSPC});
    if (chance(run, SIM_FAULTS_SHORT, 16))
        add(run, &(struct sim_fault){.kind = SIM_FAULT_SHORT,
                                     .ops = SIM_OPS(SIM_QUEUE_END) | SIM_OPS(SIM_WRITE),
                                     .nth = 1 + dice(run, 60)});
    if (chance(run, SIM_FAULTS_SLOW, 3))
        add(run, &(struct sim_fault){.kind = SIM_FAULT_SLOW,
                                     .ops = SIM_OPS(SIM_QUEUE_WRITE),
                                     .per_million = 300000,
                                     .delay_ns = dice(run, 20) * SIM_TICK_NS});
    if (chance(run, SIM_FAULTS_SNAPSHOT, 3))
        add_snapshot_faults(run);
    if (chance(run, SIM_FAULTS_STALE, 2))
        add(run, &(struct sim_fault){
                     .kind = SIM_FAULT_STALE, .ops = SIM_OPS_ALL, .per_million = 500000});
}

/* ---- opening ---- */

static void end_process(struct run *run)
{
    struct sim_world *world = &run->world;
    const unsigned both = run->options->faults & (SIM_FAULTS_KILL | SIM_FAULTS_POWER);
    enum sim_crash how = SIM_CRASH_KILL;

    sim_world_die(world);
    if (both == SIM_FAULTS_POWER || (both != SIM_FAULTS_KILL && dice(run, 2) == 0))
        how = SIM_CRASH_POWER;
    sim_disk_faults_clear(world->disk);
    if (chance(run, SIM_FAULTS_STALE, 2))
        add(run, &(struct sim_fault){
                     .kind = SIM_FAULT_STALE, .ops = SIM_OPS_ALL, .per_million = 500000});
    sim_disk_crash(world->disk, how);
    sim_disk_faults_clear(world->disk);
    run->result->crashes++;
}

static void begin_process(struct run *run)
{
    if (run->options->dump != NULL) {
        if (run->crashed != NULL)
            sim_disk_destroy(run->crashed);
        if (sim_disk_copy(run->world.disk, 1, &run->crashed) != 0)
            run->crashed = NULL;
    }
    sim_disk_reopen(run->world.disk);
    run->world.dead = false;
}

/* Opens, with something in the way now and then. Afterwards there is a runtime, or a violation. */
static void open_store(struct run *run)
{
    struct sim_world *world = &run->world;
    const bool faulty = !run->options->memory && chance(run, SIM_FAULTS_RECOVERY, 6);
    const uint64_t before = run->options->memory ? 0 : struck(run);
    int error;

    if (faulty) {
        const bool dies = dice(run, 2) == 0;

        add(run, &(struct sim_fault){.kind = dies ? SIM_FAULT_DIE : SIM_FAULT_ERROR,
                                     .ops = SIM_OPS_ALL,
                                     .nth = 1 + dice(run, 80),
                                     .forever = !dies && dice(run, 2) == 0,
                                     .error = -EIO});
    }
    run->result->recoveries++;
    error = sim_world_open(world);
    if (!run->options->memory)
        sim_disk_faults_clear(world->disk);
    if (error == 0 && !world->dead)
        return;
    if (!world->dead && (run->options->memory || struck(run) == before)) {
        sim_fail(&world->model, "recovery", "the store does not open: %s (%s)",
                 pawl_strerror(error), world->diagnosis);
        return;
    }
    if (error == -EBADMSG && !world->dead)
        sim_fail(&world->model, "recovery", "an error of the storage was taken for corruption: %s",
                 world->diagnosis);
    if (world->dead || world->runtime != NULL || dice(run, 2) == 0) {
        end_process(run);
        begin_process(run);
    }
    run->result->recoveries++;
    error = sim_world_open(world);
    if (error != 0)
        sim_fail(&world->model, "recovery",
                 "after a recovery that failed the store does not open: %s (%s)",
                 pawl_strerror(error), world->diagnosis);
}

/* ---- rounds ---- */

static void work(struct run *run)
{
    struct sim_world *world = &run->world;
    uint64_t actions = run->options->memory ? run->steps_left : 1 + dice(run, 20 + dice(run, 300));

    if (!run->options->memory) {
        run->struck_before = struck(run);
        add_faults(run);
    }
    while (actions-- > 0 && run->steps_left > 0 && !world->dead && !world->model.failed) {
        run->steps_left--;
        sim_world_act(world);
    }
}

/* A shard that has failed must have had a reason. */
static void check_failures(struct run *run)
{
    struct sim_world *world = &run->world;

    if (world->failed_count > 0 && struck(run) == run->struck_before)
        sim_fail(&world->model, "failed", "a shard gave up (%s), and the storage had made no error",
                 pawl_strerror(world->failed_error));
}

/*
 * Comes to rest and closes in order. A write that was under way may still come back as an error,
 * and the shard fails: then the process has yet to end. Returns false where a rule was broken.
 */
static bool close_store(struct run *run)
{
    struct sim_world *world = &run->world;

    sim_disk_faults_clear(world->disk);
    if (sim_world_close(world))
        return true;
    if (!world->model.failed)
        check_failures(run);
    return !world->model.failed;
}

static void check_misuse(struct run *run)
{
    const char *misuse = sim_disk_misuse(run->world.disk);

    if (misuse != NULL)
        sim_fail(&run->world.model, "storage", "the storage was used against its contract: %s",
                 misuse);
}

static void check_copies(struct run *run)
{
    struct sim_world *world = &run->world;

    if (chance(run, SIM_FAULTS_RECOVERY, 4)) {
        sim_check(world, (enum sim_check)dice(run, SIM_CHECK_FLIP), run->past);
        run->result->recoveries += 3;
    }
    if (!world->model.failed && chance(run, SIM_FAULTS_DAMAGE, 4)) {
        sim_check(world, (enum sim_check)(SIM_CHECK_FLIP + dice(run, SIM_CHECKS - SIM_CHECK_FLIP)),
                  run->past);
        run->result->recoveries += 2;
    }
    if (dice(run, 4) == 0) {
        if (run->past != NULL)
            sim_disk_destroy(run->past);
        if (sim_disk_copy(world->disk, run->world.options.seed, &run->past) != 0)
            run->past = NULL;
    }
}

static void one_round(struct run *run)
{
    struct sim_world *world = &run->world;

    open_store(run);
    run->result->rounds++;
    if (world->model.failed)
        return;
    work(run);
    if (world->model.failed)
        return;
    check_failures(run);
    if (!world->dead && world->failed_count == 0 && dice(run, 12) == 0 && !close_store(run))
        return;
    end_process(run);
    check_misuse(run);
    if (!world->model.failed)
        check_copies(run);
    begin_process(run);
}

/*
 * Whatever was under way comes to its end, all is closed in order, and is there when it is opened
 * again.
 */
static void last_round(struct run *run)
{
    struct sim_world *world = &run->world;

    run->struck_before = struck(run);
    open_store(run);
    if (world->model.failed || (world->options.agents && !sim_crew_finish(world)) ||
        !close_store(run))
        return;
    end_process(run);
    begin_process(run);
    open_store(run);
    if (!world->model.failed)
        end_process(run);
    check_misuse(run);
}

static void memory_only(struct run *run)
{
    open_store(run);
    if (!run->world.model.failed)
        work(run);
    if (!run->world.model.failed && run->world.options.agents)
        sim_crew_finish(&run->world);
    if (!run->world.model.failed)
        sim_world_close(&run->world);
}

/* The files as they were at the last crash, in a real directory, for the tools that read stores. */
static void dump(const struct run *run)
{
    for (unsigned i = 0; run->crashed != NULL && i < sim_disk_files(run->crashed); i++) {
        uint64_t size;
        const char *path = sim_disk_file(run->crashed, i, &size);
        const char *slash = strrchr(path, '/');
        uint8_t bytes[4096];
        char name[4096];
        FILE *file;

        snprintf(name, sizeof(name), "%s/%s", run->options->dump, slash != NULL ? slash + 1 : path);
        file = fopen(name, "wb");
        if (file == NULL) {
            fprintf(stderr, "pawl sim: cannot write %s: %s\n", name, strerror(errno));
            return;
        }
        for (uint64_t at = 0; at < size; at += sizeof(bytes)) {
            const size_t some = size - at < sizeof(bytes) ? (size_t)(size - at) : sizeof(bytes);

            sim_disk_peek(run->crashed, path, bytes, some, at);
            fwrite(bytes, 1, some, file);
        }
        if (fclose(file) != 0)
            fprintf(stderr, "pawl sim: cannot write %s\n", name);
    }
}

static void report(struct run *run, FILE *trace)
{
    const struct sim_model *model = &run->world.model;
    struct sim_run_result *result = run->result;

    result->failed = model->failed;
    memcpy(result->rule, model->rule, sizeof(result->rule));
    memcpy(result->text, model->text, sizeof(result->text));
    result->steps = model->steps;
    result->acknowledged = model->acknowledged;
    if (model->jobs != NULL) {
        result->submitted = model->jobs->count.submitted;
        result->leases = model->jobs->count.leases;
        result->reports = model->jobs->count.reports;
        result->retries = model->jobs->count.retries;
    }
    result->digest = model->digest;
    if (!run->options->memory)
        result->digest = sim_mix(result->digest, sim_disk_hash(run->world.disk));
    if (!model->failed || trace == NULL)
        return;
    if (!run->options->memory) {
        fputs("The last operations of the disk:\n", trace);
        sim_disk_trace(run->world.disk, trace, 120);
    }
    fputs("The last steps:\n", trace);
    sim_trace_print(model, trace, 60);
    if (run->options->dump != NULL)
        dump(run);
}

bool sim_run_has_agents(uint64_t seed)
{
    return sim_mix(seed, 3) % 2 == 0;
}

void sim_run(const struct sim_run_options *options, struct sim_run_result *result, FILE *trace)
{
    static struct run run;
    struct sim_world_options world = {
        .seed = options->seed, .shards = options->shards, .store = !options->memory};
    int error;

    world.agents = sim_run_has_agents(options->seed);

    memset(result, 0, sizeof(*result));
    memset(&run, 0, sizeof(run));
    run.options = options;
    run.result = result;
    run.steps_left = options->steps;
    if (world.shards == 0)
        world.shards = 2 + (unsigned)(sim_mix(options->seed, 2) % 3);
    error = sim_world_init(&run.world, &world);
    if (error != 0) {
        result->failed = true;
        snprintf(result->rule, sizeof(result->rule), "setup");
        snprintf(result->text, sizeof(result->text), "the simulation cannot begin: %s",
                 pawl_strerror(error));
        return;
    }
    run.world.model.log = options->log;
    if (options->memory) {
        memory_only(&run);
    } else {
        while (run.steps_left > 0 && !run.world.model.failed)
            one_round(&run);
        if (!run.world.model.failed)
            last_round(&run);
    }
    report(&run, trace);
    if (run.past != NULL)
        sim_disk_destroy(run.past);
    if (run.crashed != NULL)
        sim_disk_destroy(run.crashed);
    sim_world_fini(&run.world);
}

/* ---- shorter ---- */

uint64_t sim_run_shorten(const struct sim_run_options *options)
{
    struct sim_run_options shorter = *options;
    struct sim_run_result result;
    uint64_t low = 0, high = options->steps;

    while (high - low > 1) {
        shorter.steps = low + (high - low) / 2;
        sim_run(&shorter, &result, NULL);
        if (result.failed)
            high = shorter.steps;
        else
            low = shorter.steps;
    }
    return high;
}

/* ---- names ---- */

static const char *const fault_names[] = {"kill", "power",    "error", "full",     "short",
                                          "slow", "snapshot", "stale", "recovery", "damage"};

const char *sim_faults_names(void)
{
    return "kill, power, error, full, short, slow, snapshot, stale, recovery, damage";
}

static bool parse_name(const char *name, size_t length, unsigned *faults)
{
    if (length == 3 && memcmp(name, "all", 3) == 0) {
        *faults |= SIM_FAULTS_ALL;
        return true;
    }
    if (length == 4 && memcmp(name, "none", 4) == 0)
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(fault_names); i++) {
        if (strlen(fault_names[i]) == length && memcmp(name, fault_names[i], length) == 0) {
            *faults |= 1u << i;
            return true;
        }
    }
    return false;
}

bool sim_faults_parse(const char *text, unsigned *faults, char unknown[32])
{
    *faults = 0;
    for (;;) {
        const size_t length = strcspn(text, ",");

        if (!parse_name(text, length, faults)) {
            snprintf(unknown, 32, "%.*s", (int)(length < 31 ? length : 31), text);
            return false;
        }
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}
