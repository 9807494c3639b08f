/*
 * crash_worker.c - one life of a process with a store: it opens it, looks whether all is there that the ledger
 * says, works, and ends, or is ended by a fault or by its parent.
 *
 *   crash_worker DIR LEDGER [--host] [--shards N] [--seed S] [--rounds N] [--leave]
 *                [--fault KIND CALL N] [--error E]
 *
 *   --host    turns the shards itself, on one thread
 *   --leave   ends without closing the store
 *   --fault   faults.h: KIND none, before, after, torn, once, ever; CALL a name of the storage table
 *   --error   of the failing call: EIO (the default), ENOSPC
 *
 * Exit status: 0 all well; 1 a promise was broken; 2 wrong usage; 3 the store failed, by a fault that was
 * asked for or by a disk that is full.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "crash/faults.h"
#include "crash/work.h"

#define SECOND  UINT64_C(1000000000)
#define BATCH   16u
#define PENDING 96u /* completions outstanding */

/* Without a completion for so long, they are held to be lost. */
#define PATIENCE_SECONDS 10

enum { STATUS_WELL = 0, STATUS_BROKEN = 1, STATUS_USAGE = 2, STATUS_STORE = 3 };

/* What a completion's tag says: what was asked, and of which task. */
enum {
    TAG_ADD = 1,
    TAG_CREATE,
    TAG_FINISH,
    TAG_STAND,
    TAG_ASYNC,
    TAG_DRIFT = TAG_ASYNC,
    TAG_STAND_ASYNC
};
#define TAG(what, late, number) ((uint32_t)(what) << 24 | (late) << 23 | (number))

static struct {
    const char *directory;
    bool host;
    bool leave;
    unsigned shards;
    unsigned rounds;
    uint64_t random;
    unsigned call;
    uint64_t nth;
    enum fault fault;
    int error;
} options = {.shards = 2, .rounds = 40, .random = 1, .error = -EIO};

static struct ledger *ledger;
static const struct pawl_machine *machines[MACHINE_COUNT];
static struct pawl_runtime *runtime;
static struct pawl_port *port;
static struct pawl_task counters[COUNTERS], sinks[COUNTERS], drifts[COUNTERS], jobs[JOBS];
static uint64_t drifted[COUNTERS]; /* completed, not yet synced */
static bool busy[JOBS];            /* something is asked of it */
static bool refused_standing;      /* the creation of a standing task */
static uint32_t failed_shards;     /* that have told us; bits */
static unsigned broken;

static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    broken++;
}

/* The store has failed as it may: because a fault was asked for, or because the disk is full. */
static void give_up(const char *what, int error)
{
    const bool expected = __atomic_load_n(&ledger->fired, __ATOMIC_RELAXED) != 0 ||
                          __atomic_load_n(&ledger->latched, __ATOMIC_RELAXED) != 0 ||
                          error == -ENOSPC;

    fprintf(stderr, "%s: %s (%d)\n", what, pawl_strerror(error), error);
    fflush(stderr);
    _exit(broken == 0 && expected ? STATUS_STORE : STATUS_BROKEN);
}

static void must(const char *what, int error)
{
    if (error < 0)
        give_up(what, error);
}

static bool is_disk_full(void)
{
    struct statvfs status;

    return statvfs(options.directory, &status) == 0 &&
           status.f_bavail * status.f_frsize < 256 << 10;
}

static uint64_t random_below(uint64_t limit)
{
    options.random ^= options.random << 13;
    options.random ^= options.random >> 7;
    options.random ^= options.random << 17;
    return options.random % limit;
}

/* ---- What the library tells ---- */

static void on_failed(void *user, unsigned shard, int error, const char *what)
{
    (void)user;
    fprintf(stderr, "shard %u: storage failed: %s: %s\n", shard, pawl_strerror(error), what);
    __atomic_store_n(&ledger->latched, (uint64_t)-error, __ATOMIC_RELAXED);
    __atomic_fetch_or(&failed_shards, 1u << shard, __ATOMIC_RELEASE);
}

static void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    (void)user;
    /* A shard that has failed refuses, and the event is sent again in the next life. Anything else is an
     * event lost; but for a poke of a job that has ended. */
    if (reason != -EIO && !(reason == -ESTALE && event->code == EVENT_POKE))
        complain("an event for task %" PRIx64 " was not delivered: %s", event->task.id,
                 pawl_strerror(reason));
}

static void diagnose(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", diagnostic->where, diagnostic->what);
}

/* ---- Completions ---- */

static void completed(const struct pawl_completion *completion)
{
    const uint32_t what = completion->tag >> 24, number = completion->tag & 0x7fffff;
    const bool late = (completion->tag >> 23 & 1) != 0;

    if (completion->status != 0) {
        ledger->refused++;
        /* It can be found all the same, and is gone with this life. */
        refused_standing |= what == TAG_STAND || what == TAG_STAND_ASYNC;
        if (completion->status != -EIO && completion->status != -ENOSPC)
            complain("request %u of task %u: %s", what, number, pawl_strerror(completion->status));
        return;
    }
    ledger->acknowledged++;
    if (what < TAG_ASYNC && completion->durability != PAWL_DURABILITY_SYNC)
        complain("request %u of task %u: its completion is not that of a sync step", what, number);
    if (what < TAG_ASYNC && late)
        complain("request %u of task %u: acknowledged by a shard that had failed before", what,
                 number);
    switch (what) {
    case TAG_ADD:
        if (completion->value > ledger->counters[number].acknowledged)
            ledger->counters[number].acknowledged = completion->value;
        break;
    case TAG_DRIFT:
        if (completion->value > drifted[number])
            drifted[number] = completion->value;
        break;
    case TAG_CREATE:
        jobs[number] = completion->task;
        ledger->jobs[number].stage = JOB_LIVE;
        busy[number] = false;
        break;
    case TAG_FINISH:
        ledger->jobs[number].stage = JOB_ENDED;
        busy[number] = false;
        break;
    default:
        break;
    }
}

static unsigned turn_all(void)
{
    unsigned moved = 0;

    for (unsigned i = 0; options.host && i < options.shards; i++) {
        const int handled = pawl_turn(runtime, i);

        moved += handled > 0 ? (unsigned)handled : 0;
    }
    return moved;
}

/* Reaps until at most so many are outstanding. */
static void reap(unsigned outstanding)
{
    struct pawl_completion completions[32];
    const time_t patience = time(NULL) + PATIENCE_SECONDS;
    int count;

    do {
        const unsigned moved = turn_all();

        count = pawl_port_reap(port, completions, 32);
        for (int i = 0; i < count; i++)
            completed(&completions[i]);
        if (count == 0 && moved == 0 && pawl_port_outstanding(port) > outstanding) {
            if (options.host)
                usleep(20);
            else
                pawl_port_wait(port, SECOND / 100);
            if (time(NULL) > patience) {
                /* Steps that a group was filled with before the disk was full wait until it is not. */
                if (options.error == -ENOSPC || is_disk_full())
                    give_up("the disk stays full", -ENOSPC);
                complain("%u completions do not come", pawl_port_outstanding(port));
                fflush(stderr);
                _exit(STATUS_BROKEN);
            }
        }
    } while (count > 0 || pawl_port_outstanding(port) > outstanding);
}

/* ---- Requests ---- */

static uint32_t is_late(struct pawl_task task)
{
    return __atomic_load_n(&failed_shards, __ATOMIC_ACQUIRE) >> pawl_task_shard(task) & 1;
}

static void post(struct pawl_task task, uint32_t tag, uint64_t sink, uint64_t job)
{
    const struct pawl_event event = {
        .task = task, .flags = PAWL_EVENT_COMPLETE, .tag = tag, .arg = {sink, job}};
    int count = pawl_port_post(port, &event, 1);

    while (count == -EAGAIN) {
        reap(PENDING / 2);
        count = pawl_port_post(port, &event, 1);
    }
    must("pawl_port_post", count);
}

static void create(enum machine machine, unsigned number, uint64_t incarnation, uint32_t tag)
{
    const uint64_t context[2] = {number, incarnation};
    char key[64];
    const struct pawl_task_spec spec = {.machine = machine,
                                        .key = key,
                                        .key_size = work_key(key, machine, number, incarnation),
                                        .context = context,
                                        .context_size = machine == MACHINE_JOB ? 16 : 0};
    int error = pawl_port_create(port, &spec, tag);

    while (error == -EAGAIN) {
        reap(PENDING / 2);
        error = pawl_port_create(port, &spec, tag);
    }
    must("pawl_port_create", error);
}

static void do_job(unsigned number)
{
    struct ledger_job *job = &ledger->jobs[number];

    if (busy[number])
        return;
    switch (job->stage) {
    case JOB_NONE:
    case JOB_ENDED:
        job->stage = JOB_NONE; /* between two incarnations nothing is promised */
        job->incarnation++;
        job->stage = JOB_CREATING;
        busy[number] = true;
        create(MACHINE_JOB, number, job->incarnation, TAG(TAG_CREATE, 0u, number));
        break;
    case JOB_LIVE:
        job->stage = JOB_ENDING;
        busy[number] = true;
        post(jobs[number], TAG(TAG_FINISH, is_late(jobs[number]), number), 0, 0);
        break;
    default: /* its last request was refused: unknown until the next life */
        break;
    }
}

static void request(void)
{
    const unsigned number = (unsigned)random_below(COUNTERS);
    const unsigned what = (unsigned)random_below(10);

    if (what < 6) {
        ledger->counters[number].posted++;
        post(counters[number], TAG(TAG_ADD, is_late(counters[number]), number), sinks[number].id,
             random_below(2) == 0 ? 0 : jobs[random_below(JOBS)].id);
    } else if (what < 8) {
        ledger->counters[number].drift_posted++;
        post(drifts[number], TAG(TAG_DRIFT, 0u, number), 0, 0);
    } else {
        do_job((unsigned)random_below(JOBS));
    }
}

/* In the host-driven mode a call that would block says -EAGAIN. */
static int until_done(int (*call)(struct pawl_runtime *, uint64_t))
{
    /* A store that has no room may let them wait. */
    const int wait = __atomic_load_n(&ledger->fired, __ATOMIC_RELAXED) != 0 ? 2 : PATIENCE_SECONDS;
    const time_t patience = time(NULL) + wait;
    int error = call(runtime, (uint64_t)wait * SECOND);

    while (error == -EAGAIN && time(NULL) <= patience) {
        if (turn_all() == 0)
            usleep(20);
        error = call(runtime, (uint64_t)wait * SECOND);
    }
    return error;
}

/* What the async machines had done before the call is safe after it. */
static void sync_all(void)
{
    uint64_t before[COUNTERS];
    int error;

    memcpy(before, drifted, sizeof(before));
    error = until_done(pawl_sync);
    if (error != 0)
        give_up("pawl_sync", error);
    for (unsigned i = 0; i < COUNTERS; i++)
        if (before[i] > ledger->counters[i].drift_synced)
            ledger->counters[i].drift_synced = before[i];
}

/* ---- A life ---- */

static void open_store(void)
{
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options opening = PAWL_OPTIONS_INIT;

    work_compile(machines);
    store.directory = options.directory;
    /* Long, so that what waits for it is often under way when the end comes. */
    store.window_ns = SECOND / 50;
    store.segment_bytes = 64u << 10;
    store.snapshot_bytes = 160u << 10;
    store.on_failed = on_failed;
    opening.machines = machines;
    opening.machine_count = MACHINE_COUNT;
    opening.shards = options.shards;
    opening.drive = options.host ? PAWL_DRIVE_HOST : PAWL_DRIVE_THREADS;
    opening.no_pin = 1;
    opening.no_huge_pages = 1;
    opening.storage =
        faults_storage(ledger, options.call, options.nth, options.fault, options.error);
    opening.on_undelivered = on_undelivered;
    opening.diagnose = diagnose;
    opening.store = &store;
    must("pawl_open", pawl_open(&opening, &runtime));
    must("pawl_start", pawl_start(runtime));
}

static void find_all(void)
{
    char key[64];

    for (unsigned i = 0; i < COUNTERS; i++) {
        struct pawl_task *standing[] = {&counters[i], &sinks[i], &drifts[i]};

        for (unsigned machine = 0; machine < MACHINE_JOB; machine++)
            if (pawl_task_find(runtime, key, work_key(key, machine, i, 0), standing[machine]) != 0)
                create(machine, i, 0,
                       TAG(machine == MACHINE_DRIFT ? TAG_STAND_ASYNC : TAG_STAND, 0u, i));
        drifted[i] = ledger->counters[i].drift_synced;
    }
    reap(0);
    if (refused_standing)
        give_up("a standing task could not be created", -EIO);
    for (unsigned i = 0; i < COUNTERS; i++) {
        struct pawl_task *standing[] = {&counters[i], &sinks[i], &drifts[i]};

        for (unsigned machine = 0; machine < MACHINE_JOB; machine++)
            if (pawl_task_find(runtime, key, work_key(key, machine, i, 0), standing[machine]) != 0)
                give_up("a standing task could not be created", -EIO);
    }
    for (unsigned i = 0; i < JOBS; i++)
        if (ledger->jobs[i].stage == JOB_LIVE &&
            pawl_task_find(runtime, key, work_key(key, MACHINE_JOB, i, ledger->jobs[i].incarnation),
                           &jobs[i]) != 0)
            complain("job %u is gone", i);
}

static void work(void)
{
    for (unsigned round = 0; round < options.rounds && broken == 0; round++) {
        for (unsigned i = 0; i < BATCH; i++)
            request();
        reap(random_below(4) == 0 ? 0 : PENDING);
        if (random_below(8) == 0)
            sync_all();
        if (random_below(32) == 0) {
            const int error = until_done(pawl_snapshot);

            if (error != 0)
                give_up("pawl_snapshot", error);
        }
    }
    reap(0);
}

static void close_store(void)
{
    const time_t patience = time(NULL) + PATIENCE_SECONDS;
    int error = pawl_port_close(port, PATIENCE_SECONDS * SECOND);

    while (error == -EAGAIN && time(NULL) <= patience) {
        if (turn_all() == 0)
            usleep(20);
        error = pawl_port_close(port, 0);
    }
    must("pawl_port_close", error);
    error = pawl_close(runtime);
    if (error != 0)
        complain("pawl_close: %s", pawl_strerror(error));
}

/* What was under way when the last life ended arrives first. */
static void drain(void)
{
    const time_t patience = time(NULL) + PATIENCE_SECONDS;
    struct pawl_drain_report report = {.text = ""};
    int error = pawl_drain(runtime, PATIENCE_SECONDS * SECOND, &report);

    /* In the host-driven mode it need not wait for the disk. */
    while (options.host && error == -ETIMEDOUT && time(NULL) <= patience) {
        usleep(50);
        error = pawl_drain(runtime, SECOND, &report);
    }
    /* On a full disk what is under way inside waits. */
    if (error != 0)
        give_up(report.text, is_disk_full() ? -ENOSPC : error);
    /* A shard that has failed refuses what arrives: it comes again in the next life, and only then do sums match. */
    if (__atomic_load_n(&failed_shards, __ATOMIC_ACQUIRE) != 0)
        give_up("the store failed while it was drained", -EIO);
}

static void live(void)
{
    open_store();
    drain();
    broken += work_settle(runtime, ledger);
    if (broken > 0)
        return;
    ledger->settled++;
    must("pawl_resume", pawl_resume(runtime));
    must("pawl_port_open", pawl_port_open(runtime, NULL, &port));
    find_all();
    ledger->running = 1;
    work();
    if (broken > 0)
        return;
    if (options.leave)
        _exit(ledger->latched != 0 ? STATUS_STORE : STATUS_WELL);
    close_store();
}

static unsigned index_of(const char *const *names, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fprintf(stderr, "crash_worker: what is '%s'?\n", name);
    exit(STATUS_USAGE);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return STATUS_USAGE;
    options.directory = argv[1];
    for (int i = 3; i < argc; i++) {
        const int left = argc - i - 1;

        if (strcmp(argv[i], "--host") == 0) {
            options.host = true;
        } else if (strcmp(argv[i], "--leave") == 0) {
            options.leave = true;
        } else if (strcmp(argv[i], "--shards") == 0 && left >= 1) {
            options.shards = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && left >= 1) {
            options.random = strtoull(argv[++i], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
        } else if (strcmp(argv[i], "--rounds") == 0 && left >= 1) {
            options.rounds = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--error") == 0 && left >= 1) {
            options.error = strcmp(argv[++i], "ENOSPC") == 0 ? -ENOSPC : -EIO;
        } else if (strcmp(argv[i], "--fault") == 0 && left >= 3) {
            options.fault = index_of(fault_names, FAULT_COUNT, argv[++i]);
            options.call = index_of(call_names, CALL_COUNT, argv[++i]);
            options.nth = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "crash_worker: what is '%s'?\n", argv[i]);
            return STATUS_USAGE;
        }
    }
    ledger = ledger_open(argv[2]);
    ledger->lives++;
    memset(ledger->calls, 0, sizeof(ledger->calls));
    ledger->fired = ledger->running = ledger->latched = ledger->refused = 0;
    live();
    if (broken > 0) {
        fflush(stderr);
        _exit(STATUS_BROKEN);
    }
    return ledger->latched != 0 ? STATUS_STORE : STATUS_WELL;
}
