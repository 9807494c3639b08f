/*
 * store_run.c - a store while its runtime runs: its I/O threads, and its end in order.
 *
 * Layer: shard. Called by runtime.c.
 */
#include <pawl/topology.h>
#include <stdio.h>
#include <time.h>

#include "shard/durable.h"
#include "shard/intake.h"
#include "shard/store_open.h"

int pawl__store_start(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const struct pawl_threads *threads = runtime->threads;

    for (unsigned i = 0; i < store->ios_count && !runtime->host_driven; i++) {
        const struct pawl_placement *place =
            runtime->plan != NULL ? pawl_plan_io(runtime->plan, i) : NULL;
        struct pawl_thread_spec spec;
        char name[24]; /* the system shows the first 15 */
        int error;

        snprintf(name, sizeof(name), "pawl-io%u", i);
        spec = (struct pawl_thread_spec){.name = name};
        if (place != NULL && !runtime->no_pin) {
            spec.cpus = place->cpus;
            spec.cpu_count = place->cpu_count;
        }
        store_release(&store->ios[i].stop, 0);
        error = threads->start(threads->user, &spec, pawl__io_main, &store->ios[i],
                               &store->ios[i].thread);
        if (error != 0)
            return error;
    }
    return 0;
}

static void stop_ios(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;
    const struct pawl_threads *threads = runtime->threads;

    for (unsigned i = 0; i < store->ios_count; i++) {
        struct io *io = runtime->host_driven ? &store->durables[i].io : &store->ios[i];

        if (io->thread != NULL) {
            store_release(&io->stop, 1);
            park_wake(&io->park);
            threads->join(threads->user, io->thread); /* which writes out and seals */
            io->thread = NULL;
        } else {
            pawl__io_finish(io, true);
        }
    }
}

void pawl__store_unstart(struct pawl_runtime *runtime)
{
    if (runtime->store != NULL && runtime->store->ios_open)
        stop_ios(runtime);
}

bool pawl__store_wait(struct pawl_runtime *runtime)
{
    const struct timespec moment = {.tv_nsec = 100000};

    for (uint32_t i = 0; runtime->store != NULL && i < runtime->shard_count; i++) {
        const struct io *io = &runtime->store->durables[i].io;

        if (io->queue.used == 0 || io->queue_fd < 0)
            continue;
        nanosleep(&moment, NULL); /* the turn that follows takes what has ended */
        return true;
    }
    return false;
}

/* All that was written is durable and sealed. */
static bool is_whole(const struct pawl_runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        const struct journal *journal = runtime->store->journals[i];

        if (load_acquire(&journal->failed) != 0 ||
            load_acquire(&journal->durable) != journal->steps.serial)
            return false;
    }
    return true;
}

void pawl__store_stop(struct pawl_runtime *runtime)
{
    struct store *store = runtime->store;

    if (store == NULL || !store->ios_open)
        return;
    store->filled = false;
    for (uint32_t i = 0; i < runtime->shard_count; i++)
        pawl__durable_stop(runtime->shards[i]);
    stop_ios(runtime);
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        pawl__durable_stopped(runtime->shards[i]);
        pawl__ports_flush(runtime->shards[i]);
    }
    if (is_whole(runtime)) {
        store->manifest->closed = true;
        pawl__store_write_manifest(runtime);
    }
    store->ios_open = false;
}
