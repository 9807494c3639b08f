/*
 * test_assemble.c - opening: wrong options are refused with words, a failure in the middle leaves
 * nothing behind, and the seams that a host brings are those that are used.
 */
#include <errno.h>

#include "host/pages.h"
#include "support/threads_fixture.h"

/* ---- Wrong options ---- */

struct said {
    unsigned count;
    int error;
    char where[64];
    char what[256];
};

static void remember(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct said *said = user;

    said->count++;
    said->error = diagnostic->error;
    snprintf(said->where, sizeof(said->where), "%s", diagnostic->where);
    snprintf(said->what, sizeof(said->what), "%s", diagnostic->what);
}

/* The options are refused with this error, in one diagnostic that names the field. */
static void expect_refused(struct world *world, int error, const char *field)
{
    struct pawl_runtime *const untouched = (struct pawl_runtime *)(void *)&world;
    struct pawl_runtime *runtime = untouched;
    struct said said = {0};

    world->options.user = &said;
    world->options.diagnose = remember;
    cr_assert_eq(pawl_open(&world->options, &runtime), error, "for %s", field);
    cr_assert_eq(runtime, untouched);
    cr_assert_eq(said.count, 1u, "for %s", field);
    cr_assert_eq(said.error, error);
    cr_assert(strstr(said.where, field) != NULL, "'%s' does not name %s", said.where, field);
    cr_assert(strlen(said.what) > 10, "'%s' says too little", said.what);
    /* Without anybody to tell it is the same. */
    world->options.diagnose = NULL;
    cr_assert_eq(pawl_open(&world->options, &runtime), error);
    cr_assert_eq(runtime, untouched);
}

static void refused(void (*spoil)(struct pawl_options *options), int error, const char *field)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);

    spoil(&world->options);
    expect_refused(world, error, field);
    world_close(world);
}

static void newer_size(struct pawl_options *options)
{
    options->size += 8;
}
static void no_machines(struct pawl_options *options)
{
    options->machines = NULL;
}
static void zero_machines(struct pawl_options *options)
{
    options->machine_count = 0;
}
static void many_machines(struct pawl_options *options)
{
    options->machine_count = 257;
}
static void many_shards(struct pawl_options *options)
{
    options->shards = 1025;
}
static void no_such_drive(struct pawl_options *options)
{
    options->drive = (enum pawl_drive)7;
}
static void short_tick(struct pawl_options *options)
{
    options->tick_ns = 999;
}
static void long_tick(struct pawl_options *options)
{
    options->tick_ns = 1000000001;
}
static void many_tasks(struct pawl_options *options)
{
    options->tasks_max = UINT64_C(1) << 32;
}
static void uneven_ring(struct pawl_options *options)
{
    options->exchange_ring = 100;
}
static void large_ring(struct pawl_options *options)
{
    options->exchange_ring = 1u << 21;
}

Test(assemble, wrong_options_are_refused_with_the_field_named)
{
    refused(no_machines, -EINVAL, "machines");
    refused(zero_machines, -EINVAL, "machine");
    refused(many_machines, -EINVAL, "machine_count");
    refused(many_shards, -EINVAL, "shards");
    refused(no_such_drive, -EINVAL, "drive");
    refused(short_tick, -EINVAL, "tick_ns");
    refused(long_tick, -EINVAL, "tick_ns");
    refused(many_tasks, -EINVAL, "tasks_max");
    refused(uneven_ring, -EINVAL, "exchange_ring");
    refused(large_ring, -EINVAL, "exchange_ring");
}

/* Options that end too early are not even searched for someone to tell. */
Test(assemble, options_of_no_version_are_refused)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);
    const size_t first = offsetof(struct pawl_options, lanes); /* of the first version */

    for (unsigned i = 0; i < 3; i++) {
        world->options.size = i == 0 ? 0 : i == 1 ? sizeof(size_t) : first - 1;
        cr_assert_eq(pawl_open(&world->options, &world->runtime), -EINVAL);
        cr_assert_eq(world->runtime, NULL);
    }
    world_close(world);
}

Test(assemble, options_of_an_older_version_are_served)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);

    world->options.size = offsetof(struct pawl_options, lanes);
    world->options.lane_count = 77; /* behind the end of what that host knows */
    cr_assert_eq(pawl_open(&world->options, &world->runtime), 0);
    world_close(world);
}

Test(assemble, options_of_a_newer_host_are_refused_with_words)
{
    refused(newer_size, -EINVAL, "size");
}

Test(assemble, a_hole_in_the_list_of_machines_is_refused)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);
    const struct pawl_machine *list[2] = {world->machines[0], NULL};

    world->options.machines = list;
    world->options.machine_count = 2;
    expect_refused(world, -EINVAL, "machines");
    world_close(world);
}

Test(assemble, a_virtual_clock_with_threads_is_not_supported)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 1);

    cr_assert_eq(pawl_virtual_clock_create(0, &world->clock), 0);
    world->options.clock = pawl_virtual_clock_seam(world->clock);
    expect_refused(world, -ENOTSUP, "clock");
    world_close(world);
}

Test(assemble, the_bounds_themselves_are_accepted)
{
    static const uint64_t ticks[] = {1000, 1000000000};

    for (unsigned i = 0; i < 2; i++) {
        struct world *world = world_create(PAWL_DRIVE_HOST, 2);

        world->options.tick_ns = ticks[i];
        world->options.exchange_ring = i == 0 ? 1 : 1u << 12;
        world->options.inflight_max = i == 0 ? 1 : 0;
        world->options.tasks_max = i == 0 ? 1 : UINT32_MAX - (1u << 16);
        world_open(world);
        cr_assert_eq(pawl_start(world->runtime), 0);
        create_on(world, MACHINE_PROBE, 1);
        world_close(world);
    }
}

Test(assemble, zero_shards_means_what_the_plan_advises)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 0);

    world_open(world);
    cr_assert(pawl_shard_count(world->runtime) >= 1);
    cr_assert(pawl_shard_count(world->runtime) <= 1024);
    world_close(world);
}

Test(assemble, the_most_machines_can_be_opened)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 1);
    const struct pawl_machine *list[256];
    struct pawl_task task;

    for (unsigned i = 0; i < 256; i++)
        list[i] = world->machines[i % MACHINES];
    world->options.machines = list;
    world->options.machine_count = 256;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){.machine = 255}, &task),
                 0);
    cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){.machine = 256}, &task),
                 -EINVAL);
    world_close(world);
}

/* ---- Failures in the middle ---- */

/* Opens with the nth reservation failing; true when it opened all the same. */
static bool open_with_failure(struct world *world, uint32_t nth)
{
    int error;

    world->runtime = NULL;
    pawl__pages_fail_nth(nth);
    error = pawl_open(&world->options, &world->runtime);
    pawl__pages_fail_nth(0);
    cr_assert(error == 0 || error == -ENOMEM, "reservation %u: %d", nth, error);
    if (error != 0)
        cr_assert_eq(world->runtime, NULL);
    return error == 0;
}

/* Every reservation of an opening fails once; returns how many there are. */
static uint32_t fail_each(struct world *world)
{
    uint32_t nth = 1;

    while (!open_with_failure(world, nth))
        nth++;
    cr_assert_eq(pawl_close(world->runtime), 0);
    world->runtime = NULL;
    return nth - 1;
}

Test(assemble, a_failed_opening_leaves_nothing_behind)
{
    static const enum pawl_drive drives[] = {PAWL_DRIVE_HOST, PAWL_DRIVE_THREADS};

    for (unsigned d = 0; d < 2; d++) {
        struct world *world = world_create(drives[d], 3);
        uint64_t bytes;
        unsigned fds, threads;

        cr_assert(fail_each(world) > 3);
        fds = proc_entries("fd");
        threads = threads_now(); /* whose stack stays: so before the look at the size */
        bytes = statm_bytes(false);
        for (unsigned round = 0; round < 20; round++)
            fail_each(world);
        cr_assert_eq(proc_entries("fd"), fds);
        cr_assert(threads_become(threads));
        /* Each round fails behind every mapping; the smallest of them lost 20 times is more. */
        cr_assert(!SIZES_TELL || statm_bytes(false) < bytes + (1u << 20),
                  "%llu more bytes are mapped", (unsigned long long)(statm_bytes(false) - bytes));
        world_close(world);
    }
}

/* ---- Seams ---- */

struct counting {
    _Atomic uint64_t calls;
    _Atomic uint64_t joins;
    uint64_t fail_at; /* the call that fails, from 1; 0: none */
    int error;
    char names[8][16];
};

static uint64_t counting_now(void *user)
{
    struct counting *counting = user;

    add_relaxed(&counting->calls, 1);
    return pawl_clock_monotonic.now_ns(pawl_clock_monotonic.user) + 5000 * MS;
}

Test(assemble, a_clock_of_the_host_is_the_one_that_is_read)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 1);
    struct counting counting = {0};
    const struct pawl_clock clock = {.user = &counting, .now_ns = counting_now};
    struct pawl_event event;

    world->options.clock = &clock;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    event = event_to(create_on(world, MACHINE_PROBE, 0), EV_ARM);
    event.arg[0] = 2 * MS;
    cr_assert(post_one_event(world->runtime, &event));
    wait_for(&world->probe.rings, 1);
    cr_assert(load_relaxed(&counting.calls) > 2);
    world_close(world);
}

static int counting_fill(void *user, void *bytes, size_t size)
{
    struct counting *counting = user;

    add_relaxed(&counting->calls, 1);
    memset(bytes, 7, size);
    return counting->error;
}

Test(assemble, randomness_is_asked_once_and_only_without_a_seed)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 2);
    struct counting counting = {0};
    const struct pawl_random random = {.user = &counting, .fill = counting_fill};

    world->options.random = &random;
    world_open(world);
    cr_assert_eq(load_relaxed(&counting.calls), 0u);
    cr_assert_eq(pawl_close(world->runtime), 0);
    world->options.seed = 0;
    world_open(world);
    cr_assert_eq(load_relaxed(&counting.calls), 1u);
    cr_assert_eq(pawl_close(world->runtime), 0);
    world->runtime = NULL;
    counting.error = -EIO;
    cr_assert_eq(pawl_open(&world->options, &world->runtime), -EIO);
    cr_assert_eq(world->runtime, NULL);
    world_close(world);
}

static int counting_start(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                          void *argument, void **thread)
{
    struct counting *counting = user;
    const uint64_t call = add_relaxed(&counting->calls, 1) + 1;

    if (call == counting->fail_at)
        return -ENOMEM;
    snprintf(counting->names[(call - 1) % 8], 16, "%s", spec->name);
    return pawl_threads_posix.start(pawl_threads_posix.user, spec, fn, argument, thread);
}

static int counting_join(void *user, void *thread)
{
    struct counting *counting = user;

    add_relaxed(&counting->joins, 1);
    return pawl_threads_posix.join(pawl_threads_posix.user, thread);
}

Test(assemble, threads_come_from_the_seam_and_are_joined_by_it)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 2);
    struct counting counting = {0};
    const struct pawl_threads threads = {&counting, counting_start, counting_join};

    world->options.threads = &threads;
    world_open(world);
    cr_assert_eq(load_relaxed(&counting.calls), 0u);
    cr_assert_eq(pawl_start(world->runtime), 0);
    cr_assert_eq(load_relaxed(&counting.calls), 3u);
    cr_assert_str_eq(counting.names[0], "pawl-s0");
    cr_assert_str_eq(counting.names[1], "pawl-s1");
    cr_assert_str_eq(counting.names[2], "pawl-mon");
    post_to(world, create_on(world, MACHINE_PROBE, 1), EV_HIT);
    wait_for(&world->probe.hits, 1);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    cr_assert_eq(load_relaxed(&counting.joins), 3u);
    world_close(world);
    cr_assert_eq(load_relaxed(&counting.joins), 3u);
}

Test(assemble, the_host_driven_mode_asks_for_no_thread)
{
    struct world *world = world_create(PAWL_DRIVE_HOST, 3);
    struct counting counting = {0};
    const struct pawl_threads threads = {&counting, counting_start, counting_join};

    world->options.threads = &threads;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    post_to(world, create_on(world, MACHINE_PROBE, 2), EV_HIT);
    settle(world);
    cr_assert_eq(pawl_stop(world->runtime), 0);
    world_close(world);
    cr_assert_eq(load_relaxed(&counting.calls), 0u);
    cr_assert_eq(load_relaxed(&counting.joins), 0u);
}

Test(assemble, a_thread_that_cannot_be_started_undoes_the_start)
{
    for (uint64_t nth = 1; nth <= 4; nth++) {
        struct world *world = world_create(PAWL_DRIVE_THREADS, 3);
        struct counting counting = {.fail_at = nth};
        const struct pawl_threads threads = {&counting, counting_start, counting_join};
        const unsigned before = threads_now();
        struct pawl_task task;

        world->options.threads = &threads;
        world_open(world);
        cr_assert_eq(pawl_start(world->runtime), -ENOMEM);
        cr_assert_eq(load_relaxed(&counting.joins), nth - 1);
        cr_assert(threads_become(before));
        /* As if it had not been tried: posts are not admitted, and a second try may go well. */
        cr_assert_eq(pawl_task_create(world->runtime, &(struct pawl_task_spec){0}, &task), -EBUSY);
        cr_assert_eq(pawl_pause(world->runtime), -EBUSY);
        if (nth % 2 == 0) {
            cr_assert_eq(pawl_start(world->runtime), 0);
            post_to(world, create_on(world, MACHINE_PROBE, 2), EV_HIT);
            wait_for(&world->probe.hits, 1);
        }
        world_close(world);
        cr_assert(threads_become(before));
    }
}

/* Two runtimes with one seed do the same; with another seed they do not. */
Test(assemble, the_seed_decides_where_keys_live)
{
    uint32_t homes[3] = {0};

    for (unsigned run = 0; run < 3; run++) {
        struct world *world = world_create(PAWL_DRIVE_HOST, 4);

        world->options.seed = run < 2 ? 7 : 8;
        world_open(world);
        cr_assert_eq(pawl_start(world->runtime), 0);
        for (uint32_t i = 0; i < 15; i++) {
            const struct pawl_task_spec spec = {.key = &i, .key_size = sizeof(i)};
            struct pawl_task task;

            cr_assert_eq(pawl_task_create(world->runtime, &spec, &task), 0);
            homes[run] |= pawl_task_shard(task) << (2 * i);
        }
        world_close(world);
    }
    cr_assert_eq(homes[0], homes[1]);
    cr_assert(homes[0] != homes[2]);
}
