/*
 * restore_fixture.h - for tests: a store of hand-made files in memory, and runtimes restored from it.
 *
 *     struct restore_fixture f;
 *     struct store_build b;
 *
 *     restore_fixture_init(&f, 2, NULL);          a store of two shards, of the puppet
 *     restore_journal(&f, &b, 0);                 shard 0's journal; see store_build.h for entries
 *     ... build_step(&b, ...); build_frame(&b, 0);
 *     restore_save(&f, &b);
 *     restore_open(&f, 2, 0);                     a runtime of two shards; the result must be 0
 *     ... restore_peek(&f, task, ...);
 *     restore_close(&f);
 *     restore_fixture_fini(&f);
 *
 * The runtime is host-driven with a virtual clock and not started. Its shards get what recovery needs of
 * struct durable and no journal; restore_start takes that away again, so that they can be turned.
 */
#ifndef PAWL_TESTS_SUPPORT_RESTORE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_RESTORE_FIXTURE_H

#include <pawl/pawl.h>

#include "shard/exchange.h"
#include "shard/restore.h"
#include "store/manifest.h"
#include "support/fixture.h"
#include "support/store_build.h"
#include "task/event.h"

#define RESTORE_DIRECTORY "store"
#define RESTORE_SHARDS    8u
#define RESTORE_EVENTS    64u
#define RESTORE_FILE      (1u << 20)

struct restore_fixture {
    struct memory_disk disk;
    struct manifest *manifest;
    struct pawl_machine *machines[FIXTURE_MACHINES]; /* of the store, then of the runtime */
    const struct pawl_machine_def *definitions[FIXTURE_MACHINES];
    unsigned machines_count;
    uint64_t tasks_max;
    const struct pawl_migration *migrations;
    size_t migrations_count;
    void *user;

    struct pawl_virtual_clock *clock;
    struct pawl_runtime *runtime;
    struct restored restored;
    char told[4096]; /* diagnostics, a line each: "error -74 | where | what" */
    unsigned progress;

    struct pawl_event events[RESTORE_EVENTS]; /* restore_drain */
    unsigned events_count;
};

static struct restore_fixture *restore_current; /* whose events are being drained */

static inline void restore_tell(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct restore_fixture *const f = restore_current;
    const size_t length = strlen(f->told);

    (void)user;
    snprintf(f->told + length, sizeof(f->told) - length, "%s %d | %s | %s\n",
             diagnostic->error != 0 ? "error" : "warning", diagnostic->error, diagnostic->where,
             diagnostic->what);
}

static inline void restore_count(void *user, unsigned shard, uint64_t bytes, uint64_t total)
{
    (void)user, (void)shard;
    cr_assert(bytes <= total || total == 0);
    restore_current->progress++;
}

static inline void restore_compile(struct restore_fixture *f)
{
    for (unsigned i = 0; i < f->machines_count; i++)
        cr_assert_eq(
            pawl_machine_compile(f->definitions[i], fixture_on_finding, NULL, &f->machines[i]), 0);
}

/* definitions: NULL-ended; NULL: the puppet. They are machines 0, 1 ... of the store. */
static inline void restore_fixture_init(struct restore_fixture *f, uint32_t shards,
                                        const struct pawl_machine_def *const *definitions)
{
    static const struct pawl_machine_def *const puppets[] = {&puppet_machine, NULL};

    memset(f, 0, sizeof(*f));
    memory_disk_init(&f->disk);
    definitions = definitions != NULL ? definitions : puppets;
    while (definitions[f->machines_count] != NULL) {
        f->definitions[f->machines_count] = definitions[f->machines_count];
        f->machines_count++;
    }
    restore_compile(f);
    f->manifest = pawl__manifest_create();
    f->manifest->store = BUILD_STORE;
    f->manifest->key_seed = 12345;
    f->manifest->epoch = 1;
    f->manifest->set = 1;
    f->manifest->shards = shards;
    for (unsigned i = 0; i < f->machines_count; i++)
        cr_assert_eq(pawl__manifest_add(f->manifest, f->machines[i]), (int)i);
    restore_current = f;
}

/* The runtime's definitions are others than the store's: NULL-ended. */
static inline void restore_redefine(struct restore_fixture *f,
                                    const struct pawl_machine_def *const *definitions)
{
    for (unsigned i = 0; i < f->machines_count; i++)
        pawl_machine_destroy(f->machines[i]);
    f->machines_count = 0;
    while (definitions[f->machines_count] != NULL) {
        f->definitions[f->machines_count] = definitions[f->machines_count];
        f->machines_count++;
    }
    restore_compile(f);
}

/* What a machine must be for its tasks to be stored. The runtime has no journal: so only while it is restored. */
static inline void restore_durability(struct restore_fixture *f, enum pawl_durability durability)
{
    for (unsigned i = 0; i < f->machines_count; i++)
        f->machines[i]->durability = durability;
}

static inline void restore_fixture_fini(struct restore_fixture *f)
{
    for (unsigned i = 0; i < f->machines_count; i++)
        pawl_machine_destroy(f->machines[i]);
    pawl__manifest_destroy(f->manifest);
    cr_assert_eq(f->disk.open, 0, "a file was left open");
    memory_disk_fini(&f->disk);
}

/* ---- files --------------------------------------------------------------------------------------- */

static inline void restore_journal(struct store_build *b, uint32_t shard)
{
    build_begin(b, FILE_JOURNAL, shard, 1);
}

/* A snapshot up to a journal's LSN; shows what the caller puts in. */
static inline void restore_snapshot(struct store_build *b, uint32_t shard, uint64_t number,
                                    uint64_t base_lsn, uint64_t base_file)
{
    build_begin(b, FILE_SNAPSHOT, shard, number);
    b->header.base_lsn = base_lsn;
    b->header.base_file = base_file;
}

static inline struct memory_file *restore_save(struct restore_fixture *f, struct store_build *b)
{
    struct memory_file *file;

    if (b->payload_size > 0)
        build_frame(b, 0);
    if (b->header.kind == FILE_SNAPSHOT)
        build_seal(b);
    file = build_save(b, &f->disk, RESTORE_DIRECTORY,
                      b->header.kind == FILE_SNAPSHOT ? 0 : RESTORE_FILE);
    build_end(b);
    return file;
}

/* ---- open and close ------------------------------------------------------------------------------ */

static inline void restore_attach(struct shard *shard)
{
    const struct fifo_source chunks = pawl__chunks_source(&shard->chunks);

    shard->durable = calloc(1, sizeof(*shard->durable));
    shard->durable->links = calloc(shard->shard_count, sizeof(*shard->durable->links));
    shard->durable->floors =
        calloc((slab_limit(&shard->table.slots) >> shard->table.slots.granule_shift) + 1,
               sizeof(*shard->durable->floors));
    for (uint32_t i = 0; i < shard->shard_count; i++)
        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++)
            pawl__fifo_init(&shard->durable->links[i].kept[klass], &chunks);
}

static inline void restore_detach(struct shard *shard)
{
    struct durable *const durable = shard->durable;

    if (durable == NULL)
        return;
    for (uint32_t i = 0; i < shard->shard_count; i++)
        for (unsigned klass = 0; klass < DURABLE_CLASSES; klass++) {
            struct fifo *const kept = &durable->links[i].kept[klass];

            while (fifo_count(kept) > 0) {
                uint32_t run = 1;
                struct pawl_event event;

                memcpy(&event, fifo_peek(kept, &run), sizeof(event));
                fifo_release(kept, 1);
                event_drop_buffer(&event);
            }
            pawl__fifo_fini(kept);
        }
    free(durable->floors);
    free(durable->links);
    free(durable);
    shard->durable = NULL;
}

/* Opens a runtime and restores it; the result must be `expected`. On an error nothing is left open. */
static inline void restore_open(struct restore_fixture *f, uint32_t shards, int expected)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    const struct restore_options given = {.storage = &f->disk.storage,
                                          .directory = RESTORE_DIRECTORY,
                                          .manifest = f->manifest,
                                          .migrations = f->migrations,
                                          .migrations_count = f->migrations_count,
                                          .progress = restore_count,
                                          .diagnose = restore_tell,
                                          .user = f->user};
    int error;

    f->told[0] = '\0';
    f->events_count = 0;
    cr_assert_eq(pawl_virtual_clock_create(FIXTURE_START_NS, &f->clock), 0);
    options.machines = (const struct pawl_machine *const *)f->machines;
    options.machine_count = f->machines_count;
    options.shards = shards;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(f->clock);
    options.seed = 1;
    options.tasks_max = f->tasks_max;
    options.no_huge_pages = 1;
    options.diagnose = fixture_on_finding;
    cr_assert_eq(pawl_open(&options, &f->runtime), 0);
    f->runtime->key_seed = f->manifest->key_seed;
    for (uint32_t i = 0; i < shards; i++) {
        f->runtime->shards[i]->table.keys.seed = f->manifest->key_seed;
        restore_attach(f->runtime->shards[i]);
    }
    restore_durability(f, PAWL_DURABILITY_SYNC);
    error = pawl__restore(f->runtime, &given, &f->restored);
    restore_durability(f, PAWL_DURABILITY_MEMORY);
    cr_assert_eq(error, expected, "%d instead of %d: %s", error, expected, f->told);
    cr_assert((expected != 0) == (strstr(f->told, "error") != NULL), "told: %s", f->told);
    for (uint32_t i = 0; i < shards; i++) {
        struct shard *const shard = f->runtime->shards[i];

        if (error == 0)
            pawl__restored_floors(&f->restored, shard);
        cr_assert(slab_validate(&shard->table.slots) && slab_validate(&shard->timer_nodes) &&
                  slab_validate(&shard->deferrals));
        cr_assert(index_validate(&shard->table.keys));
        if (error == 0)
            pawl__wheel_validate(&shard->wheel);
        else
            cr_assert(slab_live(&shard->table.slots) == 0 && slab_live(&shard->deferrals) == 0);
    }
}

static inline void restore_close(struct restore_fixture *f)
{
    for (uint32_t i = 0; i < f->runtime->shard_count; i++)
        restore_detach(f->runtime->shards[i]);
    pawl__aliases_fini(&f->runtime->aliases);
    cr_assert_eq(pawl_close(f->runtime), 0);
    pawl_virtual_clock_destroy(f->clock);
    pawl__restored_fini(&f->restored);
    f->runtime = NULL;
}

/* Opening must fail so, and some diagnostic have these words. */
static inline void restore_refused(struct restore_fixture *f, uint32_t shards, int expected,
                                   const char *words)
{
    restore_open(f, shards, expected);
    cr_assert(strstr(f->told, words) != NULL, "'%s' is not in: %s", words, f->told);
    restore_close(f);
}

/* From here on the shards are an ordinary runtime's, and run. */
static inline void restore_start(struct restore_fixture *f)
{
    for (uint32_t i = 0; i < f->runtime->shard_count; i++)
        restore_detach(f->runtime->shards[i]);
    puppet_tick = NULL;
    trace_clear();
    cr_assert_eq(pawl_start(f->runtime), 0);
}

static inline void restore_run(struct restore_fixture *f)
{
    bool again = true;

    for (unsigned rounds = 0; again; rounds++) {
        again = false;
        for (uint32_t i = 0; i < f->runtime->shard_count; i++)
            again |= pawl_turn(f->runtime, i) > 0;
        cr_assert(rounds < 10000);
    }
}

/* ---- what is there ------------------------------------------------------------------------------- */

static inline struct pawl_task restore_task(uint32_t shard, uint32_t generation, uint32_t slot)
{
    return id_make(shard, generation, slot);
}

/* The task is there, in this state and with this first word of context. */
static inline void restore_is(const struct restore_fixture *f, struct pawl_task task,
                              unsigned state, uint64_t word)
{
    uint64_t context[CONTEXT_MAX / 8] = {0};
    struct pawl_view view = {.context = context, .context_capacity = sizeof(context)};

    cr_assert_eq(pawl_task_peek(f->runtime, task, &view), 0, "task %llx is not there",
                 (unsigned long long)task.id);
    cr_assert_eq(view.state, state);
    cr_assert_eq(context[0], word, "%llu instead of %llu", (unsigned long long)context[0],
                 (unsigned long long)word);
}

static inline void restore_is_gone(const struct restore_fixture *f, struct pawl_task task)
{
    struct pawl_view view = {0};

    cr_assert_eq(pawl_task_peek(f->runtime, task, &view), -ESTALE);
}

static inline void restore_collect(struct shard *shard, const struct pawl_event *event)
{
    (void)shard;
    cr_assert(restore_current->events_count < RESTORE_EVENTS);
    restore_current->events[restore_current->events_count++] = *event;
}

/* Takes out what waits for one shard, from itself and from others, control events first. */
static inline unsigned restore_drain(struct restore_fixture *f, uint32_t shard)
{
    f->events_count = 0;
    pawl__exchange_drain(f->runtime->shards[shard], restore_collect);
    return f->events_count;
}

static inline struct slot *restore_slot(const struct restore_fixture *f, struct pawl_task task)
{
    return table_slot(&f->runtime->shards[id_shard(task)]->table, id_slot(task));
}

#endif /* PAWL_TESTS_SUPPORT_RESTORE_FIXTURE_H */
