#include "sim_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/durable.h"
#include "shard/runtime.h"

#define PORT_RING   64u
#define COMPLETIONS 64

/* ---- what the runtime tells ---- */

static void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    sim_reported(((struct sim_hands *)user)->model, event, reason);
}

static struct sim_world *world_of(struct sim_hands *hands)
{
    return (struct sim_world *)(void *)((char *)hands - offsetof(struct sim_world, hands));
}

static void on_failed(void *user, unsigned shard, int error, const char *what)
{
    struct sim_world *world = world_of(user);
    struct sim_model *model = &world->model;

    if (model->frozen || shard >= model->shards)
        return;
    if (model->shard[shard].failed)
        sim_fail(model, "failed", "shard %u was said to have failed twice (%s)", shard, what);
    model->shard[shard].failed = true;
    model->shard[shard].failed_turn = model->shard[shard].turns_count;
    world->failed_error = error;
    world->failed_count++;
}

static void on_diagnosis(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct sim_world *world = world_of(user);

    if (diagnostic->error != 0)
        snprintf(world->diagnosis, sizeof(world->diagnosis), "%s: %s", diagnostic->where,
                 diagnostic->what);
}

static void on_death(void *user)
{
    struct sim_world *world = user;

    world->dead = true;
    world->model.frozen = true;
}

/* ---- opening ---- */

static int open_runtime(struct sim_world *world, struct sim_disk *disk,
                        struct pawl_virtual_clock *clock, bool listens,
                        struct pawl_runtime **runtime)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    const struct pawl_machine *machines[SIM_MACHINES];

    for (unsigned i = 0; i < SIM_MACHINES; i++)
        machines[i] = world->machines[i];
    store.directory = SIM_DIRECTORY;
    store.window_ns = world->window_ns;
    store.segment_bytes = world->segment_bytes;
    store.snapshot_bytes = world->snapshot_bytes;
    store.quota_bytes = world->quota_bytes;
    store.writes_max = world->writes_max;
    if (listens)
        store.on_failed = on_failed;
    options.machines = machines;
    options.machine_count = SIM_MACHINES;
    options.shards = world->options.shards;
    options.drive = PAWL_DRIVE_HOST;
    options.no_pin = 1;
    options.tick_ns = SIM_TICK_NS;
    options.tasks_max = 4096;
    options.exchange_ring = 64;
    options.no_huge_pages = 1;
    options.clock = pawl_virtual_clock_seam(clock);
    options.seed = world->options.seed | 1;
    if (world->options.agents) {
        options.lanes = sim_lanes;
        options.lane_count = SIM_LANES;
        options.work = &world->work;
    }
    options.user = &world->hands;
    options.diagnose = on_diagnosis;
    if (listens)
        options.on_undelivered = on_undelivered;
    if (world->options.store) {
        options.storage = sim_disk_storage(disk);
        options.store = &store;
    }
    snprintf(world->diagnosis, sizeof(world->diagnosis), "no reason was given");
    return pawl_open(&options, runtime);
}

int sim_glance_open(struct sim_world *world, struct sim_disk *disk, struct sim_glance *glance)
{
    int error = pawl_virtual_clock_create(1000000000, &glance->clock);

    if (error != 0)
        return error;
    error = open_runtime(world, disk, glance->clock, false, &glance->runtime);
    if (error != 0)
        pawl_virtual_clock_destroy(glance->clock);
    return error;
}

/* What a look leaves behind on a disk is nobody's business: the disk dies first. */
void sim_glance_close(struct sim_glance *glance)
{
    pawl_close(glance->runtime);
    pawl_virtual_clock_destroy(glance->clock);
}

int sim_world_open(struct sim_world *world)
{
    const struct pawl_port_options port = {.capacity = PORT_RING, .completions = COMPLETIONS};
    const uint64_t before = world->options.store ? sim_disk_counters(world->disk)->operations : 0;
    int error;

    /* Clocks begin anew with each process, anywhere. */
    world->start_ns = 1 + random_below(&world->random, UINT64_C(1) << 50);
    error = pawl_virtual_clock_create(world->start_ns, &world->clock);
    if (error != 0)
        return error;
    world->hands.calm = false;
    world->failed_count = 0;
    world->failed_error = 0;
    world->syncing = false;
    error = open_runtime(world, world->disk, world->clock, true, &world->runtime);
    if (error != 0) {
        pawl_virtual_clock_destroy(world->clock);
        world->runtime = NULL;
        return error;
    }
    if (world->options.store)
        world->opened_operations = (uint32_t)(sim_disk_counters(world->disk)->operations - before);
    sim_recover(&world->model, world->runtime, world->start_ns);
    if (pawl_start(world->runtime) != 0 || pawl_port_open(world->runtime, &port, &world->port) != 0)
        sim_fail(&world->model, "open", "a runtime that was opened does not start");
    if (world->options.agents)
        sim_crew_open(world);
    return 0;
}

/* ---- closing ---- */

static void drop_runtime(struct sim_world *world)
{
    int error;

    world->model.silent = true;
    pawl_stop(world->runtime);
    if (world->options.agents)
        sim_crew_drop(world);
    error = world->port != NULL ? pawl_port_close(world->port, 0) : 0;
    world->port = NULL;
    if (error == 0)
        error = pawl_close(world->runtime);
    if (error != 0)
        sim_fail(&world->model, "close", "a runtime cannot be closed: %s", pawl_strerror(error));
    world->runtime = NULL;
    world->model.runtime = NULL;
    pawl_virtual_clock_destroy(world->clock);
}

void sim_world_die(struct sim_world *world)
{
    world->dead = true;
    world->model.frozen = true;
    if (world->options.store)
        sim_disk_die(world->disk);
    if (world->runtime != NULL)
        drop_runtime(world);
}

/* ---- turns and time ---- */

uint64_t sim_world_now(const struct sim_world *world)
{
    return pawl_virtual_clock_now_ns(world->clock);
}

void sim_world_pass(struct sim_world *world, uint64_t ns)
{
    pawl_virtual_clock_advance_to(world->clock, sim_world_now(world) + ns);
    if (world->options.store && !world->dead)
        sim_disk_advance(world->disk, sim_world_now(world) - world->start_ns);
}

static void reap(struct sim_world *world)
{
    struct pawl_completion completions[COMPLETIONS];
    int count;

    do {
        count = pawl_port_reap(world->port, completions, COMPLETIONS);
        for (int i = 0; i < count; i++)
            sim_completed(&world->model, &completions[i]);
    } while (count == COMPLETIONS);
    if (world->options.agents)
        sim_requests_reap(world);
}

/* What the shard says is durable must survive; an async step must be by the end of its window. */
static void hear_status(struct sim_world *world, unsigned number,
                        const struct pawl_store_status *status)
{
    struct sim_model *model = &world->model;
    const struct sim_shard *shard = &model->shard[number];
    size_t turn = shard->turns_count - 1;

    if (status->failed != 0 || shard->failed)
        return;
    while (turn > shard->epoch_first && shard->turns[turn].frames > status->durable_frames)
        turn--;
    sim_raise_floor(model, number, turn);
}

/*
 * A journal that has no room keeps its shard from taking anything, timers included. How things
 * stand within a turn that writes is not told; but in one that handles nothing they stand as before
 * it.
 */
static bool takes_timers(struct sim_world *world, unsigned shard)
{
    return !world->options.store || pawl__durable_gate(world->runtime->shards[shard], true);
}

void sim_world_turn(struct sim_world *world, unsigned shard)
{
    struct sim_model *model = &world->model;
    struct pawl_store_status status = {.frames = 0};
    const bool prompt = takes_timers(world, shard);
    int handled;

    sim_turn_begin(model, shard, sim_world_now(world));
    handled = pawl_turn(world->runtime, shard);
    if (handled < 0)
        sim_fail(model, "turn", "a turn failed: %s", pawl_strerror(handled));
    if (world->options.store)
        pawl_shard_store(world->runtime, shard, &status);
    sim_turn_end(model, status.frames, handled > 0);
    if (prompt && (!world->options.store || handled == 0))
        sim_timers_check(model);
    if (world->options.agents) {
        model->jobs->turned[shard] = true;
        sim_jobs_check_counters(model);
        if (prompt && (!world->options.store || handled == 0))
            sim_jobs_check_time(model);
    }
    if (world->dead || model->failed)
        return;
    if (world->options.store)
        hear_status(world, shard, &status);
    reap(world);
}

void sim_world_sync(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    int error;

    for (unsigned i = 0; i < model->shards && !world->syncing; i++)
        world->sync_turns[i] = model->shard[i].turns_count - 1;
    world->syncing = true;
    error = pawl_sync(world->runtime, 0);
    if (world->dead || error == -EAGAIN)
        return;
    world->syncing = false;
    for (unsigned i = 0; i < model->shards && error == 0; i++)
        sim_raise_floor(model, i, world->sync_turns[i]);
    if (error != 0 && error != -EIO)
        sim_fail(model, "sync", "pawl_sync gave: %s", pawl_strerror(error));
}

/* Those who watch wait for what may come never. */
static uint32_t watched(const struct sim_world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SIM_REQUESTS; i++)
        count += world->crew.requests[i].kind == SIM_REQUEST_WATCH;
    return count;
}

/* Nothing is under way that the model knows of, and everything is durable. */
static bool is_quiet(struct sim_world *world)
{
    if (world->model.open > 0 || pawl_port_outstanding(world->port) > 0 ||
        (world->options.agents && pawl_port_outstanding(world->crew.port) > watched(world)))
        return false;
    for (unsigned i = 0; i < world->options.shards && world->options.store; i++) {
        struct pawl_store_status status;

        if (pawl_shard_store(world->runtime, i, &status) != 0 ||
            status.frames != status.durable_frames)
            return false;
    }
    return !world->options.store || sim_disk_under_way(world->disk) == 0;
}

bool sim_world_settle(struct sim_world *world, unsigned rounds)
{
    unsigned quiet = 0;

    world->hands.calm = true;
    for (unsigned i = 0; i < rounds; i++) {
        const uint64_t steps = world->model.steps;

        for (unsigned s = 0; s < world->options.shards; s++) {
            sim_world_turn(world, s);
            if (world->dead || world->model.failed || world->failed_count > 0)
                return false;
        }
        /*
         * What has become durable lets answers go, which nobody counts: some more rounds for them.
         */
        quiet = is_quiet(world) && world->model.steps == steps ? quiet + 1 : 0;
        if (quiet > 8)
            return true;
        if (world->options.store)
            sim_world_sync(world); /* async steps would wait for their window */
        sim_world_pass(world, SIM_TICK_NS / 2);
        if (i % 16 == 0)
            sim_world_release(world);
    }
    return false;
}

bool sim_world_close(struct sim_world *world)
{
    if (world->options.agents && !sim_crew_close(world))
        return false;
    if (!sim_world_settle(world, 4000)) {
        if (!world->model.failed && !world->dead && world->failed_count == 0) {
            sim_letters_check(&world->model);
            sim_fail(&world->model, "settle",
                     "the runtime does not come to rest: %u events under way, %u "
                     "completions outstanding",
                     world->model.open, pawl_port_outstanding(world->port));
        }
        return false;
    }
    sim_letters_check(&world->model);
    sim_tokens_check(&world->model);
    if (world->options.agents) {
        sim_jobs_check_notes(&world->model);
        sim_jobs_check_rest(&world->model);
    }
    if (world->model.failed)
        return false;
    sim_all_durable(&world->model);
    drop_runtime(world);
    return !world->model.failed;
}

/* ---- the whole ---- */

static uint64_t between(struct random *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

static int make_disk(struct sim_world *world)
{
    const uint64_t latency = between(&world->random, 0, 2000000);
    const struct sim_disk_options options = {
        .seed = random_next(&world->random),
        .latency_min_ns = latency / 8,
        .latency_max_ns = latency,
        .strict_directories = true,
    };
    const int error = sim_disk_create(&options, &world->disk);

    if (error == 0)
        sim_disk_on_death(world->disk, on_death, world);
    return error;
}

int sim_world_init(struct sim_world *world, const struct sim_world_options *options)
{
    int error;

    memset(world, 0, sizeof(*world));
    world->options = *options;
    world->random.state = sim_mix(options->seed, 0);
    world->hands = (struct sim_hands){
        .model = &world->model,
        .random = &world->random,
        .open_max = (uint32_t)between(&world->random, 8, 80),
        .alive_max = (uint32_t)between(&world->random, 6, 60),
        .keys = (uint32_t)between(&world->random, 4, 40),
    };
    world->work = (struct pawl_work_options){.policies = sim_policies,
                                             .policies_count = SIM_POLICIES,
                                             .durability = options->store ? PAWL_DURABILITY_SYNC
                                                                          : PAWL_DURABILITY_MEMORY};
    world->window_ns = between(&world->random, 1, 8) * SIM_TICK_NS;
    world->segment_bytes = 65536 << random_below(&world->random, 3);
    world->snapshot_bytes = 65536 * between(&world->random, 1, 8);
    world->writes_max = (unsigned)between(&world->random, 1, 12);
    if (options->store) {
        error = make_disk(world);
        if (error != 0)
            return error;
    }
    error = sim_machines_compile(world->machines, options->store);
    if (error != 0) {
        if (options->store)
            sim_disk_destroy(world->disk);
        return error;
    }
    sim_model_init(&world->model, options->shards);
    if (options->agents && sim_jobs_create(&world->model.jobs) != 0)
        abort();
    world->model.store = options->store;
    return 0;
}

void sim_world_fini(struct sim_world *world)
{
    if (world->runtime != NULL)
        sim_world_die(world);
    sim_machines_destroy(world->machines);
    if (world->options.store)
        sim_disk_destroy(world->disk);
    sim_jobs_destroy(world->model.jobs);
    sim_model_fini(&world->model);
}
