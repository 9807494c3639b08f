/*
 * store_fixture.h - for tests: durable runtimes in the host-driven mode on a simulated disk, with a clock that the
 * test moves, and crashes.
 *
 *     struct store_fixture s;
 *
 *     store_begin(&s, NULL);                an empty disk (store_init) and a runtime on it (store_open); s.f is a
 *                                           fixture like any other (fixture.h)
 *     task = store_create(&s, M_SYNC, 0);   returns when it is durable
 *     ... fixture_send(&s.f, ...); store_settle(&s);
 *     store_crash(&s, SIM_CRASH_POWER);     the process is gone; the disk is what a power loss leaves
 *     store_open(&s);
 *     ... fixture_puppet_of(&s.f, task) ...
 *     store_end(&s);                        in order: sealed, whole (store_close); and all is freed (store_fini)
 *
 * The puppet comes in three kinds, by durability: a runtime has all of them. fixture_run and fixture_turn leave the
 * disk alone: what is under way stays so. store_run lets the disk end its writes as well, moving the clock along with
 * them and no farther; store_settle lets the windows of async machines pass too, by asking for a sync.
 *
 * Where the library waits for a write (in pawl_stop), the disk ends the next one: nobody else could.
 */
#ifndef PAWL_TESTS_SUPPORT_STORE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_STORE_FIXTURE_H

#include <errno.h>

#include "shard/durable.h"
#include "shard/runtime.h"
#include "shard/shard.h"
#include "sim_disk.h"
#include "store/files.h"
#include "support/fixture.h"

#define STORE_DIRECTORY "store"
#define STORE_FAILED    16u
#define STORE_LATENCY   UINT64_C(100000)

enum { M_SYNC, M_ASYNC, M_MEMORY, M_COUNT };

struct store_fixture_options {
    uint64_t seed;     /* of the disk; 0: 1 */
    unsigned shards;   /* 0: 1 */
    uint64_t capacity; /* of the disk */
    uint64_t latency_min_ns;
    uint64_t latency_max_ns; /* 0: STORE_LATENCY for both */
    bool no_direct;
    uint64_t tasks_max;
    uint32_t inflight_max;
    uint32_t exchange_ring;
    uint32_t port_capacity;
    const struct pawl_lane_def *lanes;
    unsigned lane_count;
    uint64_t orphan_ns;
    struct pawl_store_options
        store; /* directory and callbacks are the fixture's; size 0: store_options */
    const struct pawl_machine_def *machines[FIXTURE_MACHINES]; /* none: the three puppets */
};

struct store_fixture {
    struct fixture f; /* while open; its machines live as long as the store_fixture */
    struct store_fixture_options options;
    struct sim_disk *disk;
    struct pawl_storage storage; /* the disk's, but that its reap can wait */
    struct pawl_machine *machines[FIXTURE_MACHINES];
    unsigned machine_count;
    bool open;

    unsigned failed_count; /* of the runtime that is or was open */
    unsigned failed_shards[STORE_FAILED];
    int failed_error;
    char failed_what[256];
    char told[1024]; /* the last diagnostic with an error: "where: what" */
};

static struct store_fixture *store_current;

static inline void store_on_failed(void *user, unsigned shard, int error, const char *what)
{
    struct store_fixture *const s = store_current;

    (void)user;
    cr_assert(s->failed_count < STORE_FAILED);
    s->failed_shards[s->failed_count++] = shard;
    s->failed_error = error;
    snprintf(s->failed_what, sizeof(s->failed_what), "%s", what);
}

static inline void store_on_finding(void *user, const struct pawl_diagnostic *finding)
{
    (void)user;
    if (finding->error != 0)
        snprintf(store_current->told, sizeof(store_current->told), "%s: %s", finding->where,
                 finding->what);
}

/* ---- the disk ------------------------------------------------------------------------------------ */

static inline uint64_t store_now(const struct store_fixture *s)
{
    return s->open ? fixture_now(&s->f) - FIXTURE_START_NS : 0;
}

/* Lets the next writes that are due end, and moves the clock to that time. False: none is under way. */
static inline bool store_disk_step(struct store_fixture *s)
{
    const uint64_t next = sim_disk_next_ns(s->disk);

    if (next == UINT64_MAX)
        return false;
    if (s->open && next > store_now(s))
        pawl_virtual_clock_advance_to(s->f.clock, FIXTURE_START_NS + next);
    sim_disk_advance(s->disk, next);
    return true;
}

static inline int store_reap(void *user, void *queue, struct pawl_storage_done *done,
                             unsigned capacity, uint64_t timeout_ns)
{
    struct store_fixture *const s = store_current;
    const struct pawl_storage *const plain = sim_disk_storage(s->disk);
    const int count = plain->queue_reap(user, queue, done, capacity, 0);

    if (count != 0 || timeout_ns == 0 || !store_disk_step(s))
        return count;
    return plain->queue_reap(user, queue, done, capacity, 0);
}

/* ---- making -------------------------------------------------------------------------------------- */

/* Those that a store_fixture has if its test says nothing: small files, and snapshots only when asked. */
static inline struct pawl_store_options store_options(void)
{
    struct pawl_store_options options = PAWL_STORE_OPTIONS_INIT;

    options.segment_bytes = 1u << 20;
    options.snapshot_bytes = UINT64_MAX;
    return options;
}

static inline void store_init(struct store_fixture *s, const struct store_fixture_options *given)
{
    static const enum pawl_durability kinds[M_COUNT] = {PAWL_DURABILITY_SYNC, PAWL_DURABILITY_ASYNC,
                                                        PAWL_DURABILITY_MEMORY};
    static const char *const names[M_COUNT] = {"puppet_sync", "puppet_async", "puppet_memory"};
    const struct store_fixture_options none = {0};
    struct sim_disk_options disk;

    memset(s, 0, sizeof(*s));
    s->options = given != NULL ? *given : none;
    store_current = s;
    if (s->options.store.size == 0)
        s->options.store = store_options();
    s->options.store.directory = STORE_DIRECTORY;
    s->options.store.on_failed = store_on_failed;
    if (s->options.latency_max_ns == 0)
        s->options.latency_min_ns = s->options.latency_max_ns = STORE_LATENCY;
    disk = (struct sim_disk_options){.seed = s->options.seed != 0 ? s->options.seed : 1,
                                     .capacity_bytes = s->options.capacity,
                                     .latency_min_ns = s->options.latency_min_ns,
                                     .latency_max_ns = s->options.latency_max_ns,
                                     .no_direct = s->options.no_direct};
    cr_assert_eq(sim_disk_create(&disk, &s->disk), 0);
    s->storage = *sim_disk_storage(s->disk);
    s->storage.queue_reap = store_reap;
    if (s->options.machines[0] == NULL) {
        for (unsigned i = 0; i < M_COUNT; i++) {
            struct pawl_machine_def definition = puppet_machine;

            definition.name = names[i];
            definition.durability = kinds[i];
            cr_assert_eq(
                pawl_machine_compile(&definition, fixture_on_finding, NULL, &s->machines[i]), 0);
        }
        s->machine_count = M_COUNT;
        return;
    }
    while (s->machine_count < FIXTURE_MACHINES && s->options.machines[s->machine_count] != NULL) {
        cr_assert_eq(pawl_machine_compile(s->options.machines[s->machine_count], fixture_on_finding,
                                          NULL, &s->machines[s->machine_count]),
                     0);
        s->machine_count++;
    }
}

static inline void store_fini(struct store_fixture *s)
{
    cr_assert(!s->open);
    cr_assert(sim_disk_misuse(s->disk) == NULL, "%s", sim_disk_misuse(s->disk));
    sim_disk_destroy(s->disk);
    for (unsigned i = 0; i < s->machine_count; i++)
        pawl_machine_destroy(s->machines[i]);
}

/* ---- open and close ------------------------------------------------------------------------------ */

/* Opens without starting; the error of pawl_open. */
static inline int store_try_open(struct store_fixture *s)
{
    struct fixture *const f = &s->f;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    int error;

    memset(f, 0, sizeof(*f));
    s->told[0] = '\0';
    s->failed_count = 0;
    s->failed_error = 0;
    f->shards = s->options.shards != 0 ? s->options.shards : 1;
    cr_assert_eq(pawl_virtual_clock_create(FIXTURE_START_NS, &f->clock), 0);
    options.machines = (const struct pawl_machine *const *)s->machines;
    options.machine_count = s->machine_count;
    options.shards = f->shards;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(f->clock);
    options.storage = &s->storage;
    options.seed = 1;
    options.tasks_max = s->options.tasks_max != 0 ? s->options.tasks_max : 1u << 16;
    options.inflight_max = s->options.inflight_max;
    options.exchange_ring = s->options.exchange_ring;
    options.lanes = s->options.lanes;
    options.lane_count = s->options.lane_count;
    options.orphan_ns = s->options.orphan_ns;
    options.no_huge_pages = 1;
    options.user = f;
    options.on_undelivered = fixture_on_undelivered;
    options.diagnose = store_on_finding;
    options.store = &s->options.store;
    error = pawl_open(&options, &f->runtime);
    if (error != 0) {
        pawl_virtual_clock_destroy(f->clock);
        f->runtime = NULL;
    }
    return error;
}

static inline void store_start(struct store_fixture *s)
{
    const struct pawl_port_options port = {.capacity = s->options.port_capacity};

    cr_assert_eq(pawl_start(s->f.runtime), 0);
    cr_assert_eq(pawl_port_open(s->f.runtime, &port, &s->f.port), 0);
    s->open = true;
    puppet_tick = NULL;
    trace_clear();
}

static inline void store_open(struct store_fixture *s)
{
    const int error = store_try_open(s);

    cr_assert_eq(error, 0, "pawl_open: %d: %s", error, s->told);
    store_start(s);
}

/* Everything that pawl_stop tells is still there to be reaped. */
static inline void store_stop(struct store_fixture *s)
{
    cr_assert_eq(pawl_stop(s->f.runtime), 0);
}

static inline void store_free(struct store_fixture *s)
{
    cr_assert_eq(pawl_port_close(s->f.port, 0), 0);
    cr_assert_eq(pawl_close(s->f.runtime), 0);
    pawl_virtual_clock_destroy(s->f.clock);
    s->f.runtime = NULL;
    s->f.port = NULL;
    s->open = false;
}

static inline void store_close(struct store_fixture *s)
{
    store_stop(s);
    store_free(s);
}

static inline void store_begin(struct store_fixture *s, const struct store_fixture_options *given)
{
    store_init(s, given);
    store_open(s);
}

static inline void store_end(struct store_fixture *s)
{
    store_close(s);
    store_fini(s);
}

/* The process dies here: nothing that closing does reaches the disk. */
static inline void store_die(struct store_fixture *s)
{
    sim_disk_die(s->disk);
    store_close(s);
}

static inline void store_crash(struct store_fixture *s, enum sim_crash how)
{
    store_die(s);
    sim_disk_crash(s->disk, how);
    sim_disk_reopen(s->disk);
}

static inline void store_reopen(struct store_fixture *s)
{
    store_close(s);
    store_open(s);
}

/* ---- time and turns ------------------------------------------------------------------------------ */

/* Until nothing is left to do at this time that need not wait for the disk. */
static inline void store_turns(struct store_fixture *s)
{
    /* A timer may be due and its shard wait for room in the journal. */
    for (unsigned idle = 0, turns = 0; idle < 10; turns++) {
        idle = fixture_turn(&s->f) > 0 ? 0 : idle + 1;
        cr_assert(turns < 200000, "the runtime does not come to rest");
        if (idle > 0 && fixture_next_timer(&s->f) > fixture_now(&s->f))
            return;
    }
}

/* Until nothing is left to do and no write is under way, at this time and that of the last write's end. */
static inline void store_run(struct store_fixture *s)
{
    unsigned rounds = 0;

    do {
        store_turns(s);
        cr_assert(++rounds < 200000, "the disk does not come to rest");
    } while (store_disk_step(s));
}

/* Time passes, from timer to timer, and the disk works meanwhile. */
static inline void store_advance(struct store_fixture *s, uint64_t ns)
{
    const uint64_t end = fixture_now(&s->f) + ns;
    uint64_t next;

    store_run(s);
    while ((next = fixture_next_timer(&s->f)) <= end) {
        pawl_virtual_clock_advance_to(s->f.clock, next);
        store_run(s);
    }
    pawl_virtual_clock_advance_to(s->f.clock, end);
    store_run(s);
}

/* Until all steps are durable, or the store has failed, or it seems to take for ever: -EAGAIN. */
static inline int store_try_settle(struct store_fixture *s)
{
    for (unsigned rounds = 0; rounds < 100; rounds++) {
        int error;

        store_run(s);
        error = pawl_sync(s->f.runtime, 0);
        if (error != -EAGAIN)
            return error;
        if (rounds % 4 == 3) /* a full disk is looked at again after a while */
            store_advance(s, 50 * FIXTURE_MS);
    }
    return -EAGAIN;
}

/* False: the store has failed. */
static inline bool store_settle(struct store_fixture *s)
{
    const int error = store_try_settle(s);

    cr_assert(error != -EAGAIN, "a sync never ends");
    return error == 0;
}

/* A snapshot of every shard, to its end; what pawl_snapshot says. */
static inline int store_snapshot(struct store_fixture *s)
{
    for (unsigned rounds = 0; rounds < 10000; rounds++) {
        const int error = pawl_snapshot(s->f.runtime, 0);

        if (error != -EAGAIN)
            return error;
        store_run(s);
        if (rounds % 4 == 3)
            store_advance(s, 50 * FIXTURE_MS);
    }
    cr_assert(false, "a snapshot never ends");
    return -EIO;
}

/* ---- tasks and events ---------------------------------------------------------------------------- */

/* While the journal has no file yet, and while it is full, creations are to be tried again. */
static inline int store_try_create(struct store_fixture *s, const struct pawl_task_spec *spec,
                                   struct pawl_task *task)
{
    int error;

    for (unsigned tries = 0; (error = pawl_task_create(s->f.runtime, spec, task)) == -EAGAIN;
         tries++) {
        if (tries == 2000)
            return error;
        store_disk_step(s);
        fixture_turn(&s->f);
    }
    return error;
}

static inline struct pawl_task store_create_undurable(struct store_fixture *s, unsigned machine,
                                                      uint32_t shard)
{
    const struct pawl_task_spec spec = {.machine = machine, .shard = shard};
    struct pawl_task task;
    const int error = store_try_create(s, &spec, &task);

    cr_assert_eq(error, 0, "no task was made: %d", error);
    return task;
}

static inline struct pawl_task store_create(struct store_fixture *s, unsigned machine,
                                            uint32_t shard)
{
    const struct pawl_task task = store_create_undurable(s, machine, shard);

    cr_assert(store_settle(s));
    return task;
}

/* Posts one event that wants a completion. */
static inline void store_post(struct store_fixture *s, struct pawl_task task, uint16_t code,
                              uint64_t arg0, uint64_t arg1, uint32_t tag)
{
    fixture_post(&s->f, &(struct pawl_event){.task = task,
                                             .code = code,
                                             .flags = PAWL_EVENT_COMPLETE,
                                             .tag = tag,
                                             .arg = {arg0, arg1}});
}

/* The same, and the disk ends its writes, and its completion is returned. */
static inline struct pawl_completion store_ask(struct store_fixture *s, struct pawl_task task,
                                               uint16_t code, uint64_t arg0, uint64_t arg1)
{
    store_post(s, task, code, arg0, arg1, 77);
    store_run(s);
    return fixture_reap(&s->f);
}

static inline struct pawl_completion store_call(struct store_fixture *s, struct pawl_task task,
                                                uint16_t code, puppet_fn *fn, uint64_t arg)
{
    return store_ask(s, task, code, puppet_word(fn), arg);
}

/* The task runs fn, which sends the target something; nobody is told. */
static inline void store_post_call(struct store_fixture *s, struct pawl_task task, puppet_fn *fn,
                                   struct pawl_task target)
{
    fixture_post(&s->f, &(struct pawl_event){
                            .task = task, .code = P_CALL, .arg = {puppet_word(fn), target.id}});
}

/* The next completion is this one. */
static inline void store_expect(struct store_fixture *s, uint32_t tag, int status,
                                enum pawl_durability durability)
{
    const struct pawl_completion completion = fixture_reap(&s->f);

    cr_assert_eq(completion.tag, tag);
    cr_assert_eq(completion.status, status);
    cr_assert_eq(completion.durability, durability);
}

/* A durable note: acknowledged. */
static inline void store_note(struct store_fixture *s, struct pawl_task task, uint64_t arg)
{
    const struct pawl_completion completion = store_ask(s, task, P_NOTE, arg, 0);

    cr_assert_eq(completion.status, 0, "status %d", completion.status);
}

/* What puppets are told to do to the task whose id is arg[1]. */

static inline void store_post_note(struct pawl_step *step, struct puppet *puppet,
                                   const struct pawl_event *event)
{
    puppet->count++;
    pawl_step_post(step, &(struct pawl_event){
                             .task = {event->arg[1]}, .code = P_NOTE, .arg = {puppet->count}});
}

/* A buffer of so many bytes, each of them `value`. */
static inline struct pawl_buffer *store_buffer(size_t size, int value)
{
    struct pawl_buffer *const buffer = pawl_buffer_create(size);

    cr_assert(buffer != NULL);
    memset(pawl_buffer_bytes(buffer), value, size);
    return buffer;
}

/* ---- looking ------------------------------------------------------------------------------------- */

static inline struct shard *store_shard(const struct store_fixture *s, unsigned number)
{
    return s->f.runtime->shards[number];
}

static inline struct durable *store_durable(const struct store_fixture *s, unsigned number)
{
    return store_shard(s, number)->durable;
}

static inline struct pawl_store_status store_status(const struct store_fixture *s, unsigned shard)
{
    struct pawl_store_status status;

    cr_assert_eq(pawl_shard_store(s->f.runtime, shard, &status), 0);
    return status;
}

static inline uint64_t store_op_count(const struct store_fixture *s, enum sim_op op)
{
    return sim_disk_counters(s->disk)->by_op[op];
}

static inline int store_fault(struct store_fixture *s, enum sim_fault_kind kind, uint32_t ops,
                              uint64_t nth, int error)
{
    const struct sim_fault fault = {.kind = kind, .ops = ops, .nth = nth, .error = error};
    const int number = sim_disk_fault_add(s->disk, &fault);

    cr_assert(number >= 0);
    return number;
}

/*
 * Opens, and dies in the nth operation since then, or after the opening; the disk is then what such
 * a crash leaves. False: there were not so many operations.
 */
static inline bool store_die_opening(struct store_fixture *s, uint64_t nth, enum sim_crash how)
{
    const int number = store_fault(s, SIM_FAULT_DIE, SIM_OPS_ALL, nth, 0);
    bool struck;

    if (store_try_open(s) == 0) {
        store_start(s);
        store_die(s);
    }
    struck = sim_disk_fault_struck(s->disk, number) != 0;
    sim_disk_faults_clear(s->disk);
    sim_disk_crash(s->disk, how);
    sim_disk_reopen(s->disk);
    return struck;
}

/* Files of this kind that the directory has; the last one's path in `path`, if not NULL. */
static inline unsigned store_files(const struct store_fixture *s, uint16_t kind, bool is_new,
                                   char *path)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim_disk_files(s->disk); i++) {
        struct store_file file;
        uint64_t size;
        const char *name = sim_disk_file(s->disk, i, &size);
        const char *base = strrchr(name, '/');

        if (base == NULL || !pawl__store_file_parse(base + 1, &file) || file.kind != kind ||
            file.is_new != is_new)
            continue;
        count++;
        if (path != NULL)
            snprintf(path, SIM_PATH_MAX, "%s", name);
    }
    return count;
}

#endif /* PAWL_TESTS_SUPPORT_STORE_FIXTURE_H */
