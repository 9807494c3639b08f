/*
 * restore.c - the order of recovery: read all shards, settle the time, finish the tables, send
 * again.
 *
 * Reading and finishing run on one thread a shard, pinned as the shard's own will be, so that
 * memory is first touched where it will be used; in the host-driven mode, which has no threads, one
 * shard after the other. The rest, between shards, is one thread's work.
 */
#include "shard/restore.h"

#include <errno.h>
#include <pawl/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shard/restore_resend.h"
#include "shard/timers.h"

#define PROGRESS_NS UINT64_C(20000000) /* between two looks at how far the threads are */

struct restore {
    struct pawl_runtime *runtime;
    const struct restore_options *options;
    struct restored *restored;
    struct restore_machines machines;
    struct store_file *files; /* of the set in force, none unfinished; by shard */
    size_t files_count;
    struct image *images; /* one a shard of the store */
    uint32_t images_count;
    bool in_place;
    struct move move;             /* not in place */
    struct restore_fault *faults; /* one a shard of the runtime, of finishing */
};

static int complain(const struct restore *restore, const struct restore_fault *fault)
{
    const struct restore_options *options = restore->options;

    if (options->diagnose != NULL)
        options->diagnose(options->user,
                          &(struct pawl_diagnostic){fault->error, fault->where, fault->what});
    return fault->error;
}

static int complain_plainly(const struct restore *restore, int error, const char *what)
{
    struct restore_fault fault = {.error = error};

    snprintf(fault.where, sizeof(fault.where), "store %.140s", restore->options->directory);
    snprintf(fault.what, sizeof(fault.what), "%s", what);
    return complain(restore, &fault);
}

/* The first fault of a phase is told; all others follow from the same files and can wait. */
static int first_fault(const struct restore *restore)
{
    for (uint32_t i = 0; i < restore->images_count; i++)
        if (restore->images[i].fault.error != 0) {
            struct restore_fault fault = restore->images[i].fault;

            if (fault.where[0] == '\0')
                snprintf(fault.where, sizeof(fault.where), "shard %u", i);
            return complain(restore, &fault);
        }
    return 0;
}

/* ---- Threads ---- */

typedef void phase_fn(struct restore *restore, uint32_t shard);

struct worker {
    struct restore *restore;
    phase_fn *fn;
    uint32_t first, step, count; /* shards first, first + step .. below count */
    void *thread;
    _Atomic uint32_t ended; /* W the worker */
};

static void work(void *argument)
{
    struct worker *worker = argument;

    for (uint32_t i = worker->first; i < worker->count; i += worker->step)
        worker->fn(worker->restore, i);
    store_release(&worker->ended, 1);
}

static void tell_progress(const struct restore *restore, uint32_t shard)
{
    const struct image *image = &restore->images[shard];

    if (restore->options->progress != NULL)
        /* relaxed: a recent value will do */
        restore->options->progress(restore->options->user, shard, load_relaxed(&image->bytes),
                                   load_relaxed(&image->bytes_total));
}

static void await(const struct restore *restore, struct worker *workers, uint32_t count)
{
    const struct timespec pause = {.tv_nsec = (long)PROGRESS_NS};

    for (uint32_t i = 0; i < count && restore->options->progress != NULL; i++)
        while (load_acquire(&workers[i].ended) == 0) {
            for (uint32_t shard = 0; shard < restore->images_count; shard++)
                tell_progress(restore, shard);
            nanosleep(&pause, NULL);
        }
}

static int start_worker(const struct restore *restore, struct worker *worker)
{
    const struct pawl_runtime *runtime = restore->runtime;
    const struct pawl_placement *place = runtime->plan != NULL && !runtime->no_pin
                                             ? pawl_plan_shard(runtime->plan, worker->first)
                                             : NULL;
    struct pawl_thread_spec spec = {.name = "pawl-restore"};

    if (place != NULL) {
        spec.cpus = place->cpus;
        spec.cpu_count = place->cpu_count;
    }
    return runtime->threads->start(runtime->threads->user, &spec, work, worker, &worker->thread);
}

/* Runs a phase for `count` shards. What no thread could be had for is done here. */
static int run_phase(struct restore *restore, phase_fn *fn, uint32_t count)
{
    const struct pawl_threads *threads = restore->runtime->threads;
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t workers_count = cpus > 0 && (uint64_t)cpus < count ? (uint32_t)cpus : count;
    struct worker *workers;

    if (restore->runtime->host_driven) {
        for (uint32_t i = 0; i < count; i++)
            fn(restore, i);
        return 0;
    }
    CHECK(workers_count > 0);
    workers = calloc(workers_count, sizeof(*workers));
    if (workers == NULL)
        return complain_plainly(restore, -ENOMEM, "there is no memory for threads");
    for (uint32_t i = 0; i < workers_count; i++) {
        workers[i] = (struct worker){
            .restore = restore, .fn = fn, .first = i, .step = workers_count, .count = count};
        if (start_worker(restore, &workers[i]) != 0)
            workers[i].thread = NULL;
    }
    for (uint32_t i = 0; i < workers_count; i++)
        if (workers[i].thread == NULL)
            work(&workers[i]);
    await(restore, workers, workers_count);
    for (uint32_t i = 0; i < workers_count; i++)
        if (workers[i].thread != NULL)
            threads->join(threads->user, workers[i].thread);
    free(workers);
    return 0;
}

/* ---- Reading ---- */

static int list_files(struct restore *restore)
{
    char what[256];
    const int error = pawl__restore_list(restore->options, &restore->files, &restore->files_count,
                                         what, sizeof(what));

    return error == 0 ? 0 : complain_plainly(restore, error, what);
}

static void read_shard(struct restore *restore, uint32_t number)
{
    struct image *image = &restore->images[number];
    struct image_source source = {
        .storage = restore->options->storage,
        .directory = restore->options->directory,
        .manifest = restore->options->manifest,
        .progress = restore->runtime->host_driven ? restore->options->progress : NULL,
        .user = restore->options->user};
    size_t first = 0;

    while (first < restore->files_count && restore->files[first].shard < number)
        first++;
    source.files = restore->files_count > 0 ? restore->files + first : NULL;
    while (first + source.files_count < restore->files_count &&
           source.files[source.files_count].shard == number)
        source.files_count++;
    image->fault.error = pawl__image_read(image, &source);
}

static void images_fini(struct restore *restore)
{
    for (uint32_t i = 0; i < restore->images_count; i++)
        pawl__image_fini(&restore->images[i]);
    free(restore->images);
    restore->images = NULL;
    restore->images_count = 0;
}

static int images_init(struct restore *restore)
{
    const uint32_t count = restore->options->manifest->shards;
    const struct image_machine *machines =
        restore->in_place ? restore->machines.in_place : restore->machines.stored;

    restore->images = calloc(count, sizeof(*restore->images));
    if (restore->images == NULL)
        return -ENOMEM;
    restore->images_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct shard *shard = restore->in_place ? restore->runtime->shards[i] : NULL;
        const int error = pawl__image_init(&restore->images[i], shard, i, count, machines,
                                           restore->options->manifest->machines_count);

        if (error != 0)
            return error;
    }
    return 0;
}

/* What came into the shards' own tables goes again. */
static void clear_shards(const struct restore *restore)
{
    for (uint32_t i = 0; i < restore->runtime->shard_count; i++) {
        struct shard *shard = restore->runtime->shards[i];
        struct image image = {
            .table = &shard->table, .timers = &shard->timer_nodes, .deferrals = &shard->deferrals};

        pawl__image_clear(&image);
    }
    pawl__aliases_fini(&restore->runtime->aliases);
}

static int read_all(struct restore *restore)
{
    int error = images_init(restore);

    if (error != 0)
        return complain_plainly(restore, error, "there is no memory for what is read");
    error = run_phase(restore, read_shard, restore->images_count);
    for (uint32_t i = 0; i < restore->images_count; i++) {
        const struct image *image = &restore->images[i];

        tell_progress(restore, i);
        if (image->warning[0] != '\0' && restore->options->diagnose != NULL)
            restore->options->diagnose(
                restore->options->user,
                &(struct pawl_diagnostic){0, "a snapshot of the store", image->warning});
        if (image->fault.error != 0 && error == 0)
            error = image->fault.error;
    }
    return error;
}

/*
 * Reading a snapshot that was taken while the shard worked can hold tasks side by side, for a
 * moment, that never lived at the same time; then contexts or keys may not fit in tables that are
 * bound to tasks_max. Tables without that bound are the way out.
 */
static int read_again(struct restore *restore)
{
    images_fini(restore);
    clear_shards(restore);
    restore->in_place = false;
    return read_all(restore);
}

/* ---- Time ---- */

static void set_time(struct restore *restore)
{
    struct pawl_runtime *runtime = restore->runtime;
    uint64_t time_ns = 0;

    for (uint32_t i = 0; i < restore->images_count; i++)
        if (restore->images[i].time_ns > time_ns)
            time_ns = restore->images[i].time_ns;
    restore->restored->time_ns = time_ns;
    runtime->open_ns -= time_ns;
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        shard->open_ns -= time_ns;
        shard->since = (uint32_t)(time_ns >> SINCE_SHIFT);
        pawl__wheel_fini(&shard->wheel);
        pawl__wheel_init(&shard->wheel, &shard->timer_nodes, time_ns / shard->tick_ns);
    }
}

/* ---- Finishing ---- */

/* The walk over a shard's lives. */
struct finish {
    struct restore *restore;
    struct shard *shard;
    struct restore_fault *fault;
    uint64_t tasks;
    uint64_t reserved;
};

static bool refuse(struct finish *finish, uint32_t index, const char *what)
{
    finish->fault->error = -EBADMSG;
    snprintf(finish->fault->where, sizeof(finish->fault->where), "shard %u, slot %u",
             finish->shard->number, index);
    snprintf(finish->fault->what, sizeof(finish->fault->what),
             "%s: the writer was at fault, not the disk; pawl verify says what is there", what);
    return false;
}

static bool refuse_machine(struct finish *finish, const struct slot *slot)
{
    struct image image = {.number = finish->shard->number};

    image.fault.error = 0;
    pawl__restore_machines_refuse(&finish->restore->machines, &image, slot->extension);
    *finish->fault = image.fault;
    return false;
}

static bool finish_life(void *user, struct slot *slot, uint32_t index)
{
    struct finish *finish = user;
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: nobody reads yet */
    const struct pawl_machine *machine;

    if ((slot->mark & (RESTORED_STATE | RESTORED_BORN)) != (RESTORED_STATE | RESTORED_BORN))
        return refuse(finish, index, "a task is told of, but not its beginning");
    if ((slot->mark & RESTORED_FOREIGN) != 0)
        return refuse_machine(finish, slot);
    machine = finish->shard->machines[head_machine(head)].machine;
    if ((head_flags(head) & SLOT_RESERVED) != 0)
        finish->reserved++;
    else if (!pawl__restore_machines_is_state(machine, head_state(head)))
        return refuse(finish, index, "a task is in a state that its machine does not have");
    if (!pawl__timers_restore_arm(finish->shard, slot, machine->timers_count))
        return refuse(finish, index, "a timer is armed that the task's machine does not have");
    finish->tasks++;
    return true;
}

static void finish_fault(struct finish *finish, int error, uint32_t failed)
{
    struct restore_fault *fault = finish->fault;

    if (fault->error != 0)
        return; /* told by finish_life */
    fault->error = error;
    snprintf(fault->where, sizeof(fault->where), "shard %u", finish->shard->number);
    if (error == -ENOSPC)
        snprintf(fault->what, sizeof(fault->what),
                 "it has %u tasks, more than pawl_options.tasks_max (%u): open it with room for "
                 "them",
                 failed, finish->shard->table.slots.objects_max);
    else if (error == -EEXIST)
        snprintf(fault->what, sizeof(fault->what),
                 "the task in slot %u has the key of another one: the writer was at fault, not "
                 "the disk",
                 failed);
    else
        snprintf(fault->what, sizeof(fault->what), "there is no memory for its tables");
}

static void finish_shard(struct restore *restore, uint32_t number)
{
    struct finish finish = {.restore = restore,
                            .shard = restore->runtime->shards[number],
                            .fault = &restore->faults[number]};
    const struct table_floors *floors = &restore->restored->shards[number].floors;
    uint32_t failed = 0;
    const int error =
        pawl__table_restore_end(&finish.shard->table, floors, finish_life, &finish, &failed);

    if (error != 0)
        finish_fault(&finish, error, failed);
    finish.shard->durable->tasks = finish.tasks;
    restore->restored->shards[number].tasks = finish.tasks;
    restore->restored->shards[number].reserved = finish.reserved;
}

/* A shard's generations, as earlier sets have told of them. */
static void inherit_markers(struct restore *restore)
{
    for (uint32_t i = 0; i < restore->images_count; i++)
        for (size_t k = 0; k < restore->images[i].aliases_count; k++) {
            const struct entry_alias *alias = &restore->images[i].aliases[k];
            const uint32_t shard = id_shard((struct pawl_task){alias->from});
            const uint32_t generation = id_generation((struct pawl_task){alias->from});

            if (alias->to == 0 && shard < restore->images_count &&
                restore->images[shard].floors.all < generation)
                restore->images[shard].floors.all = generation;
        }
}

/* In place: aliases are what they were. */
static int keep_aliases(struct restore *restore)
{
    struct aliases *aliases = &restore->runtime->aliases;
    size_t count = 0;
    int error;

    for (uint32_t i = 0; i < restore->images_count; i++)
        count += restore->images[i].aliases_count;
    error = pawl__aliases_init(aliases, count);
    if (error != 0)
        return complain_plainly(restore, error, "there is no memory for old ids");
    for (uint32_t i = 0; i < restore->images_count; i++)
        for (size_t k = 0; k < restore->images[i].aliases_count; k++)
            pawl__aliases_add(aliases, restore->images[i].aliases[k].from,
                              restore->images[i].aliases[k].to);
    return 0;
}

static int fill_shards(struct restore *restore)
{
    struct restored *restored = restore->restored;
    struct move *move = &restore->move;
    int error;

    inherit_markers(restore);
    if (restore->in_place) {
        for (uint32_t i = 0; i < restore->images_count; i++) {
            restored->shards[i].floors = restore->images[i].floors; /* and theirs to free */
            restore->images[i].floors = (struct table_floors){0};
        }
        return keep_aliases(restore);
    }
    *move = (struct move){.runtime = restore->runtime,
                          .machines = &restore->machines,
                          .images = restore->images,
                          .images_count = restore->images_count};
    move->floors = calloc(restored->shards_count, sizeof(*move->floors));
    move->next = calloc(restored->shards_count, sizeof(*move->next));
    if (move->floors == NULL || move->next == NULL)
        return complain_plainly(restore, -ENOMEM, "there is no memory to move tasks");
    error = pawl__move_tasks(move);
    for (uint32_t i = 0; i < restored->shards_count; i++)
        restored->shards[i].floors = move->floors[i];
    return error != 0 ? first_fault(restore) : 0;
}

static int finish_all(struct restore *restore)
{
    const uint32_t count = restore->runtime->shard_count;
    int error = fill_shards(restore);

    if (error != 0)
        return error;
    error = run_phase(restore, finish_shard, count);
    for (uint32_t i = 0; i < count && error == 0; i++)
        if (restore->faults[i].error != 0)
            error = complain(restore, &restore->faults[i]);
    return error;
}

/* ---- All of it ---- */

static int resend_all(struct restore *restore)
{
    struct restored_shard *shards = restore->restored->shards;
    const uint32_t count = restore->runtime->shard_count;
    struct resend resend = {.runtime = restore->runtime,
                            .machines = &restore->machines,
                            .images = restore->images,
                            .images_count = restore->images_count,
                            .move = restore->in_place ? NULL : &restore->move};
    int error = 0;

    resend.resent = calloc(count, sizeof(*resend.resent));
    resend.reserved = calloc(count, sizeof(*resend.reserved));
    if (resend.resent == NULL || resend.reserved == NULL)
        error = complain_plainly(restore, -ENOMEM, "there is no memory for events under way");
    for (uint32_t i = 0; i < count && resend.reserved != NULL; i++)
        resend.reserved[i] = shards[i].reserved;
    if (error == 0 && pawl__resend(&resend) != 0)
        error = first_fault(restore);
    for (uint32_t i = 0; i < count && error == 0; i++)
        shards[i].resent = resend.resent[i];
    free(resend.reserved);
    free(resend.resent);
    return error;
}

static void fill_restored(struct restore *restore)
{
    struct restored *restored = restore->restored;

    restored->rewrite = !restore->in_place;
    for (uint32_t i = 0; i < restored->shards_count; i++) {
        struct restored_shard *shard = &restored->shards[i];

        shard->position = (struct store_position){.lsn = 1, .file = 1, .snapshot = 1};
        if (restore->in_place) {
            shard->position = restore->images[i].position;
            shard->base_file = restore->images[i].base_file;
            shard->base_snapshot = restore->images[i].base_snapshot;
        }
        shard->position.time_ns = restored->time_ns;
    }
    CHECK(restored->shards_count > 0);
    for (uint32_t i = 0; i < restore->images_count; i++)
        restored->shards[i % restored->shards_count].entries += restore->images[i].entries;
}

/* Whether the machines that the manifest does not know yet fit in it. */
static bool has_room(const struct pawl_runtime *runtime, const struct manifest *manifest)
{
    uint32_t count = manifest->machines_count;

    for (uint32_t i = 0; i < runtime->machine_count; i++)
        count += pawl__manifest_find(manifest, runtime->machines[i].machine->name,
                                     runtime->machines[i].machine->hash) < 0;
    return count <= MANIFEST_MACHINES_MAX;
}

static int restore_init(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    const uint32_t count = restore->runtime->shard_count;
    uint32_t bad = 0;
    int error;

    restore->restored->shards_count = count;
    restore->restored->shards = calloc(count, sizeof(*restore->restored->shards));
    restore->faults = calloc(count, sizeof(*restore->faults));
    if (restore->restored->shards == NULL || restore->faults == NULL)
        return complain_plainly(restore, -ENOMEM, "there is no memory");
    if (options->manifest->shards == 0 || options->manifest->shards > SHARDS_MAX)
        return complain_plainly(restore, -EBADMSG, "the manifest's number of shards cannot be");
    error = pawl__restore_machines_init(&restore->machines, restore->runtime, options->manifest,
                                        options->migrations, options->migrations_count,
                                        options->user, &bad);
    if (error != 0)
        return complain_plainly(restore, error, "the manifest describes a machine as it cannot be");
    restore->in_place = options->manifest->shards == count && !restore->machines.changed &&
                        has_room(restore->runtime, options->manifest);
    return list_files(restore);
}

int pawl__restore(struct pawl_runtime *runtime, const struct restore_options *options,
                  struct restored *restored)
{
    struct restore restore = {.runtime = runtime, .options = options, .restored = restored};
    int error;

    *restored = (struct restored){0};
    error = restore_init(&restore);
    if (error == 0) {
        error = read_all(&restore);
        if (error == -ENOSPC && restore.in_place)
            error = read_again(&restore);
        if (error != 0)
            first_fault(&restore);
    }
    if (error == 0) {
        set_time(&restore);
        error = finish_all(&restore);
    }
    if (error == 0)
        error = resend_all(&restore);
    if (error == 0)
        fill_restored(&restore);
    else
        clear_shards(&restore);
    images_fini(&restore);
    free(restore.move.floors);
    free(restore.move.next);
    free(restore.faults);
    free(restore.files);
    if (error != 0)
        pawl__restored_fini(restored);
    return error;
}

void pawl__restored_fini(struct restored *restored)
{
    for (uint32_t i = 0; restored->shards != NULL && i < restored->shards_count; i++)
        free(restored->shards[i].floors.runs);
    free(restored->shards);
    *restored = (struct restored){0};
}

void pawl__restored_floors(const struct restored *restored, struct shard *shard)
{
    const struct table_floors *floors = &restored->shards[shard->number].floors;
    const struct slab *slots = &shard->table.slots;

    for (uint32_t run = 0; run < floors->runs_count; run++) {
        const uint32_t granule = run * SLAB_RESTORE_RUN >> slots->granule_shift;
        uint32_t *floor = &shard->durable->floors[granule];

        if (run * (uint64_t)SLAB_RESTORE_RUN < slots->limit && *floor < floors->runs[run])
            *floor = floors->runs[run];
    }
}
