#include "shard/assemble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/exchange.h"
#include "shard/lanes.h"
#include "shard/store_open.h"

#define TICK_DEFAULT_NS UINT64_C(1000000)
#define SPIN_DEFAULT_NS UINT64_C(20000)
#define TASKS_DEFAULT   (UINT32_MAX - (1u << 16))

/* Rings between shards are smaller when there are many: at most about 64 MiB for all of one shard. */
static uint32_t exchange_capacity(uint32_t shards)
{
    return shards <= 8 ? 4096 : shards <= 64 ? 1024 : 256;
}

static void settle(struct shard *shard, struct pawl_runtime *runtime,
                   const struct pawl_options *options, uint64_t seed)
{
    const uint32_t inflight = options->inflight_max != 0 ? options->inflight_max : INFLIGHT_DEFAULT;

    shard->runtime = runtime;
    shard->shard_count = runtime->shard_count;
    shard->shards = runtime->shards;
    shard->clock = runtime->clock;
    shard->machines = runtime->machines;
    shard->machines_by_head = runtime->machines_by_head;
    shard->machine_count = runtime->machine_count;
    shard->tick_ns = options->tick_ns != 0 ? options->tick_ns : TICK_DEFAULT_NS;
    shard->open_ns = runtime->open_ns;
    shard->now_ns = runtime->open_ns;
    shard->inflight_max = inflight;
    shard->inflight_soft = inflight / 2 > 0 ? inflight / 2 : 1;
    shard->exchange_capacity = options->exchange_ring != 0
                                   ? options->exchange_ring
                                   : exchange_capacity(runtime->shard_count);
    shard->spin_ns = options->spin_ns != 0 ? options->spin_ns : SPIN_DEFAULT_NS;
    shard->user = options->user;
    shard->on_undelivered = options->on_undelivered;
    shard->random.state = mix64(seed + shard->number + 1);
    shard->ports = runtime->ports;
    shard->step.shard = shard;
}

static int table_init(struct shard *shard, const struct pawl_options *options)
{
    uint32_t sizes[MACHINES_MAX];
    const struct table_options table = {
        .shard = shard->number,
        .tasks_max = options->tasks_max != 0 ? options->tasks_max : TASKS_DEFAULT,
        .huge = options->no_huge_pages == 0,
        .seed = shard->runtime->key_seed,
        .context_sizes = sizes,
        .context_sizes_count = shard->machine_count,
    };

    for (uint32_t i = 0; i < shard->machine_count; i++)
        sizes[i] = shard->machines[i].context_size;
    return pawl__table_init(&shard->table, &table);
}

static int slabs_init(struct shard *shard, const struct pawl_options *options)
{
    const bool huge = options->no_huge_pages == 0;
    int error = slab_init(&shard->timer_nodes,
                          &(struct slab_options){.object_size = sizeof(struct timer_node),
                                                 .objects_max = TASKS_DEFAULT,
                                                 .huge = huge});

    if (error != 0)
        return error;
    shard->made |= SHARD_MADE_TIMERS;
    error =
        slab_init(&shard->deferrals, &(struct slab_options){.object_size = sizeof(struct deferral),
                                                            .objects_max = TASKS_DEFAULT,
                                                            .huge = false});
    if (error != 0)
        return error;
    shard->made |= SHARD_MADE_DEFERRALS;
    return 0;
}

static int arrays_init(struct shard *shard)
{
    const uint32_t shards = shard->shard_count;

    shard->routes = calloc(shards, sizeof(*shard->routes));
    shard->links = calloc(shards, sizeof(struct link *));
    shard->links_flush = calloc(shards, sizeof(*shard->links_flush));
    shard->inlets = calloc(shards, sizeof(*shard->inlets));
    shard->port_left = calloc(PORTS_MAX, sizeof(*shard->port_left));
    shard->ports_flush = calloc(PORTS_MAX, sizeof(*shard->ports_flush));
    shard->group_head = calloc(shard->runtime->transitions_count, sizeof(*shard->group_head));
    if (shard->routes == NULL || shard->links == NULL || shard->links_flush == NULL ||
        shard->inlets == NULL || shard->port_left == NULL || shard->ports_flush == NULL ||
        shard->group_head == NULL)
        return -ENOMEM;
    shard->routes[shard->number].ready = true;
    return 0;
}

static int shard_init(struct shard *shard, const struct pawl_options *options)
{
    struct fifo_source chunks;
    int error = arrays_init(shard);

    if (error != 0)
        return error;
    error = pawl__park_init(&shard->park, shard->runtime->host_driven);
    if (error != 0)
        return error;
    shard->made |= SHARD_MADE_PARK;
    error = pawl__arena_open(&shard->arena, shard->number);
    if (error != 0)
        return error;
    shard->arena.limit_bytes = options->memory_max;
    shard->made |= SHARD_MADE_ARENA;
    shard->chunks.arena = &shard->arena;
    chunks = pawl__chunks_source(&shard->chunks);
    pawl__fifo_init(&shard->local, &chunks);
    pawl__fifo_init(&shard->local_control, &chunks);
    error = table_init(shard, options);
    if (error != 0)
        return error;
    shard->made |= SHARD_MADE_TABLE;
    error = slabs_init(shard, options);
    if (error != 0)
        return error;
    pawl__wheel_init(&shard->wheel, &shard->timer_nodes, 0);
    return pawl__lanes_init(shard);
}

static void shard_fini(struct shard *shard)
{
    if (shard->links != NULL)
        pawl__exchange_fini(shard);
    pawl__lanes_fini(shard);
    if ((shard->made & SHARD_MADE_DEFERRALS) != 0)
        slab_fini(&shard->deferrals);
    if ((shard->made & SHARD_MADE_TIMERS) != 0)
        slab_fini(&shard->timer_nodes);
    if ((shard->made & SHARD_MADE_TABLE) != 0)
        pawl__table_fini(&shard->table);
    if ((shard->made & SHARD_MADE_ARENA) != 0) {
        pawl__fifo_fini(&shard->local);
        pawl__fifo_fini(&shard->local_control);
        pawl__chunks_fini(&shard->chunks);
        pawl__arena_close(&shard->arena);
    }
    if ((shard->made & SHARD_MADE_PARK) != 0)
        pawl__park_fini(&shard->park);
    free(shard->group_head);
    free(shard->ports_flush);
    free(shard->port_left);
    free((void *)(uintptr_t)shard->inlets);
    free(shard->links_flush);
    free(shard->links);
    free(shard->routes);
}

static int registry_create(struct pawl_runtime *runtime)
{
    struct port_registry *ports = calloc(1, sizeof(*ports));
    int error;

    if (ports == NULL)
        return -ENOMEM;
    ports->shard_count = runtime->shard_count;
    ports->machines = runtime->machines;
    ports->machine_count = runtime->machine_count;
    ports->key_seed = runtime->key_seed;
    ports->host_driven = runtime->host_driven;
    error = pawl__ports_init(ports);
    if (error != 0) {
        free(ports);
        return error;
    }
    runtime->ports = ports;
    return 0;
}

int pawl__shards_create(struct pawl_runtime *runtime, const struct pawl_options *options,
                        uint64_t seed)
{
    int error;

    /* Keys keep their home shards: a store has a seed of its own. */
    runtime->key_seed = pawl__store_key_seed(runtime);
    if (runtime->key_seed == 0)
        runtime->key_seed = mix64(seed);
    error = registry_create(runtime);
    if (error != 0)
        return error;
    runtime->shards = calloc(runtime->shard_count, sizeof(struct shard *));
    if (runtime->shards == NULL)
        return -ENOMEM;
    runtime->ports->shards = runtime->shards;
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = pawl__pages_reserve(sizeof(*shard), PAGES_PLAIN, &runtime->pages);

        if (shard == NULL)
            return -ENOMEM;
        runtime->shards[i] = shard;
        shard->number = i;
        settle(shard, runtime, options, seed);
        error = shard_init(shard, options);
        if (error != 0)
            return error;
    }
    return 0;
}

void pawl__shards_destroy(struct pawl_runtime *runtime)
{
    for (uint32_t i = 0; runtime->shards != NULL && i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        if (shard == NULL)
            continue;
        shard_fini(shard);
        pawl__pages_unmap(shard, sizeof(*shard), &runtime->pages);
    }
    free(runtime->shards);
    if (runtime->ports != NULL) {
        pawl__ports_fini(runtime->ports);
        free(runtime->ports);
    }
}
