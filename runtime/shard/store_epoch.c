/*
 * store_epoch.c - the manifest of the epoch that begins with an opening: what it says, and when.
 *
 * Layer: shard. Called while nothing turns. The manifest is written before the epoch's first file
 * is begun, so that no file is younger than it; and once more after each shard has begun one, if
 * that is new of this set: from then on a shard without a journal has lost it (restore_read.c).
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/random.h"
#include "shard/store_open.h"

/* The numbers of the machines in the manifest; new ones are added. */
static int number_machines(struct pawl_runtime *runtime, struct manifest *manifest)
{
    for (uint32_t i = 0; i < runtime->machine_count; i++) {
        const struct pawl_machine *machine = runtime->machines[i].machine;
        int number = pawl__manifest_find(manifest, machine->name, machine->hash);

        if (number < 0)
            number = pawl__manifest_add(manifest, machine);
        if (number < 0)
            return pawl__store_complain(runtime->store, number, "naming a machine in the manifest");
        runtime->machines[i].stored = (uint8_t)number;
    }
    return 0;
}

static uint64_t wall_ns(const struct pawl_runtime *runtime)
{
    const struct pawl_clock *clock = runtime->clock;

    return clock->wall_ns != NULL ? clock->wall_ns(clock->user) : 0;
}

/*
 * A file of another store is told by its id, so two stores must not share one, though a host gives
 * both the same seed. Then the time and the directory's name tell them apart, unless it gives a
 * source of randomness too: a run with a seed and a clock of its own stays the same run.
 */
static int choose_id(const struct pawl_runtime *runtime, uint64_t *id)
{
    const struct store *store = runtime->store;
    uint64_t drawn = 0;
    int error = 0;

    if (store->random != NULL)
        error = store->random->fill(store->random->user, &drawn, sizeof(drawn));
    if (error != 0)
        return pawl__store_complain(store, error, "drawing a number for a new store");
    *id = mix64(mix64(runtime->key_seed ^ UINT64_C(0x7061776c)) ^ wall_ns(runtime)) ^ drawn;
    for (const char *at = store->directory; *at != '\0'; at++)
        *id = mix64(*id ^ (uint8_t)*at);
    *id += *id == 0; /* 0 is any store's to a reader */
    return 0;
}

static int make_manifest(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    struct manifest *manifest = pawl__manifest_create();

    store->manifest = manifest;
    if (manifest == NULL)
        return -ENOMEM;
    manifest->key_seed = runtime->key_seed;
    manifest->set = 1;
    manifest->shards = runtime->shard_count;
    return choose_id(runtime, &manifest->store);
}

int pawl__store_begin_epoch(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    struct manifest *manifest;
    const int error = store->manifest == NULL ? make_manifest(runtime) : 0;

    if (error != 0)
        return error;
    manifest = store->manifest;
    /* All that is left is of the runtime's machines: without the others there is room. */
    if (store->restored.rewrite)
        pawl__manifest_forget_machines(manifest);
    manifest->epoch++;
    manifest->closed = false;
    return number_machines(runtime, manifest);
}

int pawl__store_write_manifest(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const int error =
        pawl__manifest_write(store->storage, store->directory, store->manifest, wall_ns(runtime));

    return error == 0 ? 0 : pawl__store_complain(store, error, "writing the manifest");
}

int pawl__store_note_begun(struct pawl_runtime *runtime)
{
    struct manifest *manifest = runtime->store->manifest;

    if (manifest_is_begun(manifest))
        return 0;
    manifest->begun = manifest->set + 1;
    return pawl__store_write_manifest(runtime);
}
