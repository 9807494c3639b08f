/*
 * options.c - what pawl_open is given: taken over from hosts of any age, checked, and completed by the
 * library's own machines.
 *
 * Layer: shard. Owner: the opener.
 */
#include "shard/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "base/bits.h"
#include "shard/lane_keeper.h"
#include "shard/store_open.h"

/* pawl_options as the first version had it; it only ever grows at its end. */
#define OPTIONS_SIZE_MIN offsetof(struct pawl_options, lanes)

/*
 * The options as this library knows them: those of an older host end earlier and the rest is 0. What a
 * newer host may have set beyond our own is refused rather than passed over.
 */
int pawl__options_copy(const struct pawl_options *given, struct pawl_options *options)
{
    *options = (struct pawl_options){0};
    if (given->size >= OPTIONS_SIZE_MIN && given->size <= sizeof(*options)) {
        memcpy(options, given, given->size);
        return 0;
    }
    if (given->size < OPTIONS_SIZE_MIN && given->size != 0)
        return -EINVAL; /* too short to hold the callback */
    return pawl__options_complain(
        given, -EINVAL, "pawl_options.size",
        "begin with PAWL_OPTIONS_INIT, and build against the header of this library or "
        "an older one");
}

int pawl__options_complain(const struct pawl_options *options, int error, const char *where,
                           const char *what)
{
    if (options->diagnose != NULL)
        options->diagnose(options->user, &(struct pawl_diagnostic){error, where, what});
    return error;
}

int pawl__options_check_machines(const struct pawl_options *options)
{
    char what[128];

    if (options->machine_count == 0 || options->machines == NULL)
        return pawl__options_complain(
            options, -EINVAL, "pawl_options.machines",
            "a runtime needs at least one machine: compile one and list it here");
    if (options->machine_count > MACHINES_MAX) {
        snprintf(what, sizeof(what), "%u machines are more than the limit of %u",
                 options->machine_count, MACHINES_MAX);
        return pawl__options_complain(options, -EINVAL, "pawl_options.machine_count", what);
    }
    for (unsigned i = 0; i < options->machine_count; i++) {
        if (options->machines[i] == NULL)
            return pawl__options_complain(
                options, -EINVAL, "pawl_options.machines",
                "a machine of the list is NULL: was it compiled without an error?");
        if (options->machines[i]->durability != PAWL_DURABILITY_MEMORY && options->store == NULL) {
            snprintf(what, sizeof(what),
                     "machine '%.40s' is durable, and there is no store: set pawl_options.store",
                     options->machines[i]->name);
            return pawl__options_complain(options, -EINVAL, "pawl_options.store", what);
        }
    }
    return 0;
}

int pawl__options_check(const struct pawl_options *options)
{
    if (options->shards > SHARDS_MAX)
        return pawl__options_complain(options, -EINVAL, "pawl_options.shards",
                                      "there can be at most 1024");
    if (options->drive != PAWL_DRIVE_THREADS && options->drive != PAWL_DRIVE_HOST)
        return pawl__options_complain(options, -EINVAL, "pawl_options.drive", "no such mode");
    if (options->tick_ns != 0 && (options->tick_ns < 1000 || options->tick_ns > 1000000000))
        return pawl__options_complain(options, -EINVAL, "pawl_options.tick_ns",
                                      "a tick is 1 us to 1 s");
    if (options->tasks_max > UINT32_MAX - (1u << 16))
        return pawl__options_complain(options, -EINVAL, "pawl_options.tasks_max",
                                      "a shard holds at most 2^32 - 2^16 tasks");
    if (options->exchange_ring != 0 &&
        (!is_power_of_two(options->exchange_ring) || options->exchange_ring > PORT_RING_MAX))
        return pawl__options_complain(options, -EINVAL, "pawl_options.exchange_ring",
                                      "a power of two up to 2^20 is needed");
    if (options->clock != NULL && options->clock->is_virtual != 0 &&
        options->drive == PAWL_DRIVE_THREADS)
        return pawl__options_complain(
            options, -ENOTSUP, "pawl_options.clock",
            "a virtual clock needs PAWL_DRIVE_HOST: nobody could wake a thread that "
            "sleeps until a virtual time");
    return 0;
}

static int compile_work(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    const int error = pawl__work_machines(options->work, options->diagnose, options->user,
                                          runtime->work_machines);

    if (error != 0)
        return error;
    runtime->work = options->work;
    return pawl__work_check_lanes(options->work, options->lanes, options->lane_count,
                                  options->diagnose, options->user);
}

/* There is room for it in runtime->listed. */
static int list_lane_machine(struct pawl_runtime *runtime, struct pawl_options *options)
{
    const int error =
        pawl_machine_compile(&pawl__lane_machine, NULL, NULL, &runtime->lane_compiled);

    if (error != 0)
        return error;
    runtime->lane_machine = options->machine_count;
    runtime->listed[options->machine_count++] = runtime->lane_compiled;
    return 0;
}

int pawl__options_add_own(struct pawl_runtime *runtime, struct pawl_options *options)
{
    const unsigned count = options->machines != NULL ? options->machine_count : 0;
    unsigned all = count;
    int error = 0;

    runtime->lane_machine = LANE_MACHINE_NONE;
    if (options->work != NULL)
        error = compile_work(runtime, options);
    if (error != 0)
        return error;
    runtime->listed = calloc(count + PAWL_WORK_MACHINES + 1, sizeof(struct pawl_machine *));
    if (runtime->listed == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        runtime->listed[i] = options->machines[i];
    runtime->work_first = all;
    for (unsigned i = 0; i < PAWL_WORK_MACHINES && options->work != NULL; i++)
        runtime->listed[all++] = runtime->work_machines[i];
    options->machines = runtime->listed;
    options->machine_count = all;
    return options->store != NULL && options->lane_count > 0 ? list_lane_machine(runtime, options)
                                                             : 0;
}

int pawl__options_add_kept(struct pawl_runtime *runtime, struct pawl_options *options)
{
    const struct manifest *manifest = runtime->store->manifest;
    bool kept = false;

    for (uint32_t i = 0; manifest != NULL && i < manifest->machines_count; i++)
        kept |= strcmp(manifest->machines[i].name, pawl__lane_machine.name) == 0;
    if (!kept || runtime->lane_compiled != NULL || options->machine_count == MACHINES_MAX)
        return 0;
    return list_lane_machine(runtime, options);
}
