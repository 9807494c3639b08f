/*
 * runtime.c - assembly: a runtime is opened, started, paused, drained, stopped and closed.
 *
 * Layer: the top one. Each stage undoes exactly what it did; close undoes the rest. The life cycle's
 * calls exclude each other by a mutex that no shard ever takes.
 */
#include <errno.h>
#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "base/bits.h"
#include "host/thread.h"
#include "shard/assemble.h"
#include "shard/deferral.h"
#include "shard/durable.h"
#include "shard/lane_keeper.h"
#include "shard/lanes.h"
#include "shard/options.h"
#include "shard/portless.h"
#include "shard/runtime.h"
#include "shard/store_open.h"
#include "shard/work.h"
#include "watch/drain.h"
#include "watch/monitor.h"

#define STALL_DEFAULT_NS UINT64_C(1000000000)
#define DRAIN_LOOK_NS    UINT64_C(200000)
#define DRAIN_HEAR_NS    UINT64_C(100000000)

/* ---- Open and close ---- */

static int choose_seed(const struct pawl_options *options, uint64_t *seed)
{
    const struct pawl_random *random =
        options->random != NULL ? options->random : &pawl_random_system;

    *seed = options->seed;
    return *seed != 0 ? 0 : random->fill(random->user, seed, sizeof(*seed));
}

/* Without a topology (a sandbox may hide it) the threads float and one shard is advised. */
static int make_plan(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    /* The shards that a store has are what it goes on with, unless another number is asked for. */
    const unsigned shards = options->shards != 0 ? options->shards : pawl__store_shards(runtime);
    const bool threads = !runtime->host_driven;
    const struct pawl_plan_request request = {
        .shards = shards,
        .monitor = threads,
        .io_threads = threads && options->store != NULL ? pawl__store_io_threads(options) : 0,
    };
    struct pawl_topology *topology = NULL;

    if (pawl_topology_open(NULL, &topology) == 0) {
        if (pawl_plan_create(topology, &request, &runtime->plan) != 0)
            runtime->plan = NULL;
        pawl_topology_close(topology);
    }
    runtime->shard_count = shards;
    if (runtime->shard_count == 0)
        runtime->shard_count = runtime->plan != NULL ? pawl_plan_shards(runtime->plan) : 1;
    return 0;
}

static const struct transition *birth_of(const struct pawl_machine *machine)
{
    const struct transition *create = &machine->transitions[machine->create];

    return (create->flags & TRANSITION_PLAIN) != 0 && create->functions_count == 0 ? create : NULL;
}

static int machines_init(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    runtime->machine_count = options->machine_count;
    runtime->machines_by_head = calloc(2 * MACHINES_MAX, sizeof(*runtime->machines_by_head));
    if (runtime->machines_by_head == NULL)
        return -ENOMEM;
    runtime->machines = runtime->machines_by_head + MACHINES_MAX;
    for (unsigned i = 0; i < options->machine_count; i++) {
        const struct pawl_machine *machine = options->machines[i];

        runtime->machines[i] = (struct shard_machine){
            .machine = machine,
            .cells = machine->cells,
            .events_count = machine->events_count,
            .transitions_first = runtime->transitions_count,
            .context_words = (machine->context_size + 7) / 8,
            .context_size = machine->context_size,
            .birth = birth_of(machine),
            .staged = machine->lease_event != UINT16_MAX ? STAGED_CLAIM : 0,
        };
        runtime->transitions_count += machine->transitions_count;
    }
    return 0;
}

static int watch_init(struct pawl_runtime *runtime)
{
    const size_t shards = runtime->shard_count;

    runtime->watches = calloc(shards, sizeof(*runtime->watches));
    runtime->stalls = calloc(shards, sizeof(*runtime->stalls));
    runtime->stall_counts = calloc(shards, sizeof(*runtime->stall_counts));
    if (runtime->watches == NULL || runtime->stalls == NULL || runtime->stall_counts == NULL)
        return -ENOMEM;
    return pawl__park_init(&runtime->monitor_park, false);
}

static void settle_options(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    runtime->clock = options->clock != NULL ? options->clock : &pawl_clock_monotonic;
    runtime->threads = options->threads != NULL ? options->threads : &pawl_threads_posix;
    runtime->host_driven = options->drive == PAWL_DRIVE_HOST;
    runtime->no_pin = options->no_pin != 0;
    runtime->open_ns = runtime->clock->now_ns(runtime->clock->user);
    runtime->stall_ns = options->stall_ns != 0 ? options->stall_ns : STALL_DEFAULT_NS;
    runtime->on_stall = options->on_stall;
    runtime->user = options->user;
}

static void free_runtime(struct pawl_runtime *runtime)
{
    pawl__store_close(runtime);
    pawl__shards_destroy(runtime);
    pawl__lanes_destroy(runtime);
    pawl__work_machines_destroy(runtime->work_machines);
    pawl_machine_destroy(runtime->lane_compiled);
    free(runtime->listed);
    pawl__park_fini(&runtime->monitor_park);
    pawl_plan_destroy(runtime->plan);
    free((void *)(uintptr_t)runtime->stall_counts);
    free(runtime->stalls);
    free(runtime->watches);
    free(runtime->machines_by_head);
    if (runtime->has_mutex) {
        pthread_mutex_destroy(&runtime->stall_mutex);
        pthread_mutex_destroy(&runtime->mutex);
    }
    free(runtime);
}

static int restore_lanes(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    char what[128];
    uint32_t number;

    for (uint32_t i = 0; i < runtime->shard_count && runtime->lane_count > 0; i++) {
        const int error = pawl__lanes_restore(runtime->shards[i], &number);

        if (error == -ENOENT) {
            snprintf(what, sizeof(what),
                     "a stored task waits in a lane that is not listed, of number %08x "
                     "(pawl_lane_number): list it",
                     number);
            return pawl__options_complain(options, error, "pawl_options.lanes", what);
        }
        if (error != 0)
            return error;
    }
    pawl__formers_seal(&runtime->formers);
    if (runtime->lane_count > 0)
        pawl__lane_keeper_restore(runtime);
    /* relaxed: nobody counts yet */
    store_relaxed(&runtime->incarnations, runtime->shards[0]->durable->journal.options.epoch << 40);
    return 0;
}

int pawl_open(const struct pawl_options *given, struct pawl_runtime **out)
{
    struct pawl_options copy;
    const struct pawl_options *options = &copy;
    struct pawl_runtime *runtime;
    uint64_t seed;
    int error = pawl__options_copy(given, &copy);

    if (error == 0)
        error = pawl__options_check(options);
    if (error != 0)
        return error;
    runtime = calloc(1, sizeof(*runtime));
    if (runtime == NULL)
        return -ENOMEM;
    runtime->monitor_park.event_fd = runtime->monitor_park.timer_fd = -1;
    runtime->monitor_park.poll_fd = -1;
    pthread_mutex_init(&runtime->mutex, NULL);
    pthread_mutex_init(&runtime->stall_mutex, NULL);
    runtime->has_mutex = true;
    settle_options(runtime, options);
    error = pawl__options_add_own(runtime, &copy);
    if (error == 0)
        error = pawl__options_check_machines(options);
    if (error == 0)
        error = choose_seed(options, &seed);
    if (error != 0)
        goto fail;
    if (options->store != NULL) {
        error = pawl__store_lock(runtime, options);
        if (error == 0)
            error = pawl__options_add_kept(runtime, &copy);
        if (error != 0)
            goto fail;
    }
    error = make_plan(runtime, options);
    if (error != 0)
        goto fail;
    error = machines_init(runtime, options);
    if (error != 0)
        goto fail;
    error = watch_init(runtime);
    if (error != 0)
        goto fail;
    error = pawl__lanes_create(runtime, options);
    if (error != 0)
        goto fail;
    error = pawl__shards_create(runtime, options, seed);
    if (error != 0)
        goto fail;
    if (runtime->store != NULL) {
        error = pawl__store_recover(runtime);
        for (uint32_t i = 0; i < runtime->shard_count && error == 0; i++)
            pawl__deferral_count_unasked(runtime->shards[i]);
        if (error == 0)
            error = restore_lanes(runtime, options);
        if (error == 0)
            error = pawl__work_restore(runtime);
        if (error != 0)
            goto fail;
    }
    runtime->number = pawl__portless_register(runtime->ports);
    if (runtime->number == 0) {
        error = -ENOMEM;
        goto fail;
    }
    *out = runtime;
    return 0;

fail:
    free_runtime(runtime);
    return error;
}

int pawl_close(struct pawl_runtime *runtime)
{
    uint32_t open;

    if (runtime == NULL)
        return 0;
    pthread_mutex_lock(&runtime->ports->mutex);
    open = runtime->ports->open;
    pthread_mutex_unlock(&runtime->ports->mutex);
    if (open > 0)
        return -EBUSY;
    pawl_stop(runtime);
    pawl__portless_unregister(runtime->number);
    pawl__ports_free_hidden(runtime->ports);
    free_runtime(runtime);
    return 0;
}

unsigned pawl_shard_count(const struct pawl_runtime *runtime)
{
    return runtime->shard_count;
}

/* ---- Modes ---- */

static void set_mode(struct pawl_runtime *runtime, enum shard_mode mode)
{
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        store_release(&shard->mode, mode);
        park_wake(&shard->park);
    }
}

/* A short sleep between two looks at something that a shard will do soon. */
static void nap(void)
{
    const struct timespec pause = {.tv_nsec = (long)DRAIN_LOOK_NS};

    nanosleep(&pause, NULL);
}

/* Waits for the host's threads to come out of the turns they are in (shard/host_drive.c). */
static void wait_not_turning(const struct pawl_runtime *runtime)
{
    fence_seq_cst();
    for (unsigned i = 0; i < runtime->shard_count; i++)
        while (load_acquire(&runtime->shards[i]->turning) != 0)
            nap();
}

static void wait_acknowledged(const struct pawl_runtime *runtime, enum shard_mode mode)
{
    if (runtime->host_driven) {
        wait_not_turning(runtime);
        for (unsigned i = 0; i < runtime->shard_count; i++) {
            if (mode == SHARD_PAUSED && runtime->shards[i]->durable != NULL)
                pawl__durable_pause(runtime->shards[i]);
            store_release(&runtime->shards[i]->acknowledged, mode);
        }
        return;
    }
    for (unsigned i = 0; i < runtime->shard_count; i++)
        while (load_acquire(&runtime->shards[i]->acknowledged) != mode)
            nap();
}

/* ---- Start and stop ---- */

static struct pawl_thread_spec spec_of(const struct pawl_runtime *runtime, const char *name,
                                       const struct pawl_placement *place)
{
    struct pawl_thread_spec spec = {.name = name};

    if (place != NULL && !runtime->no_pin) {
        spec.cpus = place->cpus;
        spec.cpu_count = place->cpu_count;
    }
    return spec;
}

static int start_shard(struct pawl_runtime *runtime, unsigned number)
{
    const struct pawl_threads *threads = runtime->threads;
    const struct pawl_placement *place =
        runtime->plan != NULL ? pawl_plan_shard(runtime->plan, number) : NULL;
    struct shard *shard = runtime->shards[number];
    struct pawl_thread_spec spec;
    char name[24]; /* the system shows the first 15 */

    snprintf(name, sizeof(name), "pawl-s%u", number);
    spec = spec_of(runtime, name, place);
    return threads->start(threads->user, &spec, pawl__shard_main, shard, &shard->thread);
}

static int start_monitor(struct pawl_runtime *runtime)
{
    const struct pawl_threads *threads = runtime->threads;
    const struct pawl_placement *place =
        runtime->plan != NULL ? pawl_plan_monitor(runtime->plan) : NULL;
    const struct pawl_thread_spec spec = spec_of(runtime, "pawl-mon", place);

    store_release(&runtime->monitor_stop, 0);
    return threads->start(threads->user, &spec, pawl__monitor_main, runtime, &runtime->monitor);
}

static void join_all(struct pawl_runtime *runtime)
{
    const struct pawl_threads *threads = runtime->threads;

    set_mode(runtime, SHARD_STOPPED);
    if (runtime->host_driven)
        wait_not_turning(runtime);
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];

        if (shard->thread != NULL)
            threads->join(threads->user, shard->thread);
        shard->thread = NULL;
    }
    if (runtime->monitor != NULL) {
        store_release(&runtime->monitor_stop, 1);
        park_wake(&runtime->monitor_park);
        threads->join(threads->user, runtime->monitor);
        runtime->monitor = NULL;
    }
}

static int start_threads(struct pawl_runtime *runtime)
{
    int error = 0;

    for (unsigned i = 0; i < runtime->shard_count && error == 0; i++)
        error = start_shard(runtime, i);
    if (error == 0)
        error = start_monitor(runtime);
    return error;
}

int pawl_start(struct pawl_runtime *runtime)
{
    int error = 0;

    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage != STAGE_OPEN) {
        error = -EBUSY;
        goto out;
    }
    pawl__ports_set_started(runtime->ports);
    set_mode(runtime, SHARD_RUNNING);
    if (runtime->store != NULL)
        error = pawl__store_start(runtime);
    if (!runtime->host_driven && error == 0)
        error = start_threads(runtime);
    if (error != 0) {
        join_all(runtime);
        pawl__store_unstart(runtime);
        set_mode(runtime, SHARD_OPEN);
        goto out;
    }
    runtime->stage = STAGE_RUNNING;
    store_release(&runtime->ports->admits, ADMITS_ALL);
out:
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}

/* Nothing turns a shard any more: what is queued anywhere is reported. Replies to those who asked are
 * events too, so it is repeated until a round finds none. */
static void cancel_everything(struct pawl_runtime *runtime)
{
    uint64_t before, after = 0;

    do {
        before = after;
        after = 0;
        for (unsigned i = 0; i < runtime->shard_count; i++) {
            pawl__shard_cancel_all(runtime->shards[i]);
            after += load_relaxed(&runtime->shards[i]->routed); /* relaxed: nobody writes */
        }
    } while (after != before);
}

int pawl_stop(struct pawl_runtime *runtime)
{
    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage != STAGE_STOPPED) {
        pawl__ports_refuse(runtime->ports, ADMITS_NONE);
        join_all(runtime);
        cancel_everything(runtime);
        pawl__store_stop(runtime);
        store_release(&runtime->ports->stopped, 1);
        runtime->stage = STAGE_STOPPED;
    }
    pthread_mutex_unlock(&runtime->mutex);
    return 0;
}

int pawl_pause(struct pawl_runtime *runtime)
{
    int error = 0;

    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage == STAGE_RUNNING) {
        set_mode(runtime, SHARD_PAUSED);
        wait_acknowledged(runtime, SHARD_PAUSED);
        runtime->stage = STAGE_PAUSED;
    } else if (runtime->stage != STAGE_PAUSED) {
        error = -EBUSY;
    }
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}

int pawl_resume(struct pawl_runtime *runtime)
{
    int error = 0;

    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage == STAGE_PAUSED || runtime->stage == STAGE_RUNNING) {
        set_mode(runtime, SHARD_RUNNING);
        wait_acknowledged(runtime, SHARD_RUNNING);
        store_release(&runtime->ports->admits, ADMITS_ALL);
        runtime->stage = STAGE_RUNNING;
    } else {
        error = -EBUSY;
    }
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}

/* ---- Drain ---- */

/* Turns all shards until none has anything to do, and no write is under way; false when the deadline passed
 * first. */
static bool turn_until_still(struct pawl_runtime *runtime, uint64_t deadline_ns)
{
    bool moved = true;

    while (moved) {
        moved = false;
        for (unsigned i = 0; i < runtime->shard_count; i++)
            moved |= pawl_turn(runtime, i) > 0;
        if (!moved)
            moved = pawl__store_wait(runtime);
        if (moved && pawl_clock_monotonic.now_ns(NULL) >= deadline_ns)
            return false;
    }
    return true;
}

/* Waits until `done` says so, or the deadline; true when it does. */
static bool wait_until(struct pawl_runtime *runtime, bool (*done)(const struct pawl_runtime *),
                       uint64_t deadline)
{
    if (runtime->host_driven) {
        turn_until_still(runtime, deadline);
        return done(runtime);
    }
    while (!done(runtime)) {
        if (pawl_clock_monotonic.now_ns(NULL) >= deadline)
            return false;
        nap();
    }
    return true;
}

/* Agents are refused last: only when they have nothing left to report. */
static bool wait_quiet(struct pawl_runtime *runtime, uint64_t timeout_ns)
{
    const uint64_t begin = pawl_clock_monotonic.now_ns(NULL);
    const uint64_t deadline = begin + timeout_ns < begin ? UINT64_MAX : begin + timeout_ns;

    if (load_acquire(&runtime->ports->admits) != ADMITS_NONE) { /* it is not drained already */
        pawl__drain_begin(runtime);
        /* Shards that are well say so within a turn: that is not what the host's patience is for. */
        if (!runtime->host_driven)
            wait_until(runtime, pawl__drain_is_heard,
                       deadline - begin > DRAIN_HEAR_NS ? deadline : begin + DRAIN_HEAR_NS);
        if (!wait_until(runtime, pawl__drain_has_no_leases, deadline))
            return false;
        pawl__ports_refuse(runtime->ports, ADMITS_NONE);
    }
    return wait_until(runtime, pawl__drain_is_quiet, deadline);
}

/* Nothing moves in a paused runtime: it is looked at once. */
static bool is_quiet(struct pawl_runtime *runtime)
{
    if (load_acquire(&runtime->ports->admits) != ADMITS_NONE) { /* it is not drained already */
        pawl__ports_refuse(runtime->ports, ADMITS_AGENTS);
        if (pawl__drain_leases(runtime) > 0)
            return false;
        pawl__ports_refuse(runtime->ports, ADMITS_NONE);
    }
    return pawl__drain_is_quiet(runtime);
}

int pawl_drain(struct pawl_runtime *runtime, uint64_t timeout_ns, struct pawl_drain_report *report)
{
    struct pawl_drain_report unread;
    int error = 0;

    if (report == NULL)
        report = &unread;
    memset(report, 0, sizeof(*report));
    pthread_mutex_lock(&runtime->mutex);
    if (runtime->stage == STAGE_PAUSED) {
        if (!is_quiet(runtime)) {
            pawl__drain_report_pause(runtime, report);
            error = -ETIMEDOUT;
        }
    } else if (runtime->stage == STAGE_RUNNING) {
        if (!wait_quiet(runtime, timeout_ns)) {
            pawl__drain_report(runtime, report);
            error = -ETIMEDOUT;
        }
    } else {
        error = -EBUSY;
    }
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}
