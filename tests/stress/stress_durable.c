/*
 * stress_durable.c - whole durable runtimes with threads: producers on ports of their own, a thread that asks for syncs
 * and snapshots, one that pauses and resumes; then a stop in the middle of it, and the store is opened again.
 *
 *     stress_durable [ROUNDS [EVENTS]]
 *
 * Held, over all rounds on one directory: a durable task has made exactly the steps whose completions said so; what
 * durable tasks have sent each other has arrived once; memory-only tasks are gone; ids go on to work.
 */
#include <errno.h>
#include <pawl/pawl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/random.h"
#include "support/require.h"

#define SHARDS    2u
#define EACH      40u /* tasks of one machine */
#define PRODUCERS 3u
#define EVENTS    20000u
#define ROUNDS    4u

enum { M_SYNC, M_ASYNC, M_MEMORY, M_COUNT };
enum { E_ADD, E_PASS, E_TAKE };

struct tally {
    uint64_t added;
    uint64_t passed; /* to another task */
    uint64_t taken;  /* from another task */
    uint64_t fill[8];
};

static void on_add(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct tally *tally = context;

    (void)step, (void)event;
    tally->added++;
}

static void on_pass(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct tally *tally = context;

    tally->passed++;
    pawl_step_post(step, &(struct pawl_event){.task = {event->arg[0]}, .code = E_TAKE});
}

static void on_take(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct tally *tally = context;

    (void)step, (void)event;
    tally->taken++;
}

struct host {
    struct pawl_machine *machines[M_COUNT];
    struct pawl_runtime *runtime;
    struct pawl_task tasks[M_COUNT][EACH];
    _Atomic uint64_t acknowledged[M_COUNT][EACH]; /* adds and passes */
    _Atomic uint64_t told[3];                     /* completions: 0, -ECANCELED, others */
    _Atomic uint32_t stop;
    _Atomic uint32_t failed;
    uint64_t events;
    uint64_t seed;
    char directory[64];
};

struct producer {
    struct host *host;
    pthread_t thread;
    struct pawl_port *port;
    struct random random;
    uint64_t outstanding;
};

static void on_failed(void *user, unsigned shard, int error, const char *what)
{
    struct host *host = user;

    fprintf(stderr, "shard %u: %d: %s\n", shard, error, what);
    store_release(&host->failed, 1);
}

static void on_finding(void *user, const struct pawl_diagnostic *finding)
{
    (void)user;
    if (finding->error != 0)
        fprintf(stderr, "%s: %s\n", finding->where, finding->what);
}

static void compile(struct host *host)
{
    static const char *const names[M_COUNT] = {"sync", "async", "memory"};
    static const enum pawl_durability kinds[M_COUNT] = {PAWL_DURABILITY_SYNC, PAWL_DURABILITY_ASYNC,
                                                        PAWL_DURABILITY_MEMORY};
    static const char *const events[] = {"add", "pass", "take"};
    static const struct pawl_state_def states[] = {{.name = "live"}};
    static const struct pawl_transition_def transitions[] = {
        {.from = "live", .on = "add", .action = on_add},
        {.from = "live", .on = "pass", .action = on_pass},
        {.from = "live", .on = "take", .action = on_take},
    };

    for (unsigned i = 0; i < M_COUNT; i++) {
        const struct pawl_machine_def definition = {.name = names[i],
                                                    PAWL_TABLE(events),
                                                    PAWL_TABLE(states),
                                                    PAWL_TABLE(transitions),
                                                    .context_size = sizeof(struct tally),
                                                    .durability = kinds[i]};

        REQUIRE(pawl_machine_compile(&definition, NULL, NULL, &host->machines[i]) == 0);
    }
}

static void open_host(struct host *host)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;

    store.directory = host->directory;
    store.segment_bytes = 1u << 20;
    store.snapshot_bytes = 4u << 20;
    store.window_ns = 2000000;
    store.io_threads = 1 + (unsigned)(host->seed % 2);
    store.on_failed = on_failed;
    options.machines = (const struct pawl_machine *const *)host->machines;
    options.machine_count = M_COUNT;
    options.shards = SHARDS;
    options.no_pin = 1;
    options.no_huge_pages = 1;
    options.user = host;
    options.store = &store;
    options.diagnose = on_finding;
    REQUIRE(pawl_open(&options, &host->runtime) == 0);
    REQUIRE(pawl_start(host->runtime) == 0);
}

static void create_tasks(struct host *host, unsigned machine)
{
    for (unsigned i = 0; i < EACH; i++) {
        const struct pawl_task_spec spec = {.machine = machine, .shard = i % SHARDS};

        REQUIRE(pawl_task_create(host->runtime, &spec, &host->tasks[machine][i]) == 0);
    }
}

/* ---- producers ----------------------------------------------------------------------------------- */

static void reap(struct producer *producer)
{
    struct pawl_completion completions[64];
    const int count = pawl_port_reap(producer->port, completions, 64);

    for (int i = 0; i < count; i++) {
        const uint32_t tag = completions[i].tag;
        const int status = completions[i].status;

        producer->outstanding--;
        add_relaxed(&producer->host->told[status == 0 ? 0 : status == -ECANCELED ? 1 : 2], 1);
        if (status == 0)
            add_relaxed(&producer->host->acknowledged[tag / EACH][tag % EACH], 1);
        else if (status != -ECANCELED)
            fprintf(stderr, "a completion says %d\n", status);
    }
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct host *host = producer->host;

    for (uint64_t n = 0; n < host->events;) {
        const uint32_t machine = (uint32_t)random_below(&producer->random, M_COUNT);
        const uint32_t place = (uint32_t)random_below(&producer->random, EACH);
        const uint64_t other = random_below(&producer->random, 2); /* a durable one */
        const bool passes = machine != M_MEMORY && random_below(&producer->random, 3) == 0;
        const struct pawl_event event = {
            .task = host->tasks[machine][place],
            .code = passes ? E_PASS : E_ADD,
            .flags = PAWL_EVENT_COMPLETE,
            .tag = machine * EACH + place,
            .arg = {host->tasks[other][random_below(&producer->random, EACH)].id}};
        const int posted = pawl_port_post(producer->port, &event, 1);

        if (posted == 1) {
            n++;
            producer->outstanding++;
        } else if (posted != -EAGAIN) {
            break; /* stopped */
        } else {
            usleep(50);
        }
        if (posted != 1 || n % 32 == 0)
            reap(producer);
    }
    return NULL;
}

/* ---- those who disturb --------------------------------------------------------------------------- */

static void *ask(void *argument)
{
    struct host *host = argument;
    unsigned syncs = 0;

    while (load_acquire(&host->stop) == 0) {
        const int synced = pawl_sync(host->runtime, UINT64_C(20000000000));
        int taken = 0;

        REQUIRE(synced == 0 || synced == -EBUSY);
        if (syncs++ % 4 == 0)
            taken = pawl_snapshot(host->runtime, UINT64_C(20000000000));
        REQUIRE(taken == 0 || taken == -EBUSY);
        usleep(1000);
    }
    return NULL;
}

static void *disturb(void *argument)
{
    struct host *host = argument;

    while (load_acquire(&host->stop) == 0) {
        REQUIRE(pawl_pause(host->runtime) == 0);
        usleep(300);
        REQUIRE(pawl_resume(host->runtime) == 0);
        usleep(3000);
    }
    return NULL;
}

static void join_producers(const struct producer *producers)
{
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
}

/* To the end: everything is handled and the runtime drained; otherwise the stop comes in the middle of the work. */
static void run(struct host *host, bool to_the_end)
{
    const uint64_t before = load_relaxed(&host->told[0]);
    struct producer producers[PRODUCERS];
    pthread_t asker[2], disturber;

    store_release(&host->stop, 0);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] =
            (struct producer){.host = host, .random = {host->seed * 31 + i}, .outstanding = 0};
        REQUIRE(pawl_port_open(host->runtime, NULL, &producers[i].port) == 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        REQUIRE(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pthread_create(&asker[i], NULL, ask, host) == 0);
    REQUIRE(pthread_create(&disturber, NULL, disturb, host) == 0);
    if (to_the_end)
        join_producers(producers);
    else
        while (load_relaxed(&host->told[0]) < before + host->events * PRODUCERS / 2)
            usleep(200);
    store_release(&host->stop, 1);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(asker[i], NULL);
    pthread_join(disturber, NULL);
    if (to_the_end)
        REQUIRE(pawl_drain(host->runtime, UINT64_C(60000000000), NULL) == 0);
    REQUIRE(pawl_stop(host->runtime) == 0);
    if (!to_the_end)
        join_producers(producers);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        uint64_t left;

        do {
            left = producers[i].outstanding;
            reap(&producers[i]);
        } while (producers[i].outstanding != left);
        REQUIRE(producers[i].outstanding == 0);
        REQUIRE(pawl_port_close(producers[i].port, UINT64_MAX) == 0);
    }
    REQUIRE(load_acquire(&host->failed) == 0);
    REQUIRE(load_relaxed(&host->told[2]) == 0);
    REQUIRE(pawl_close(host->runtime) == 0);
    host->runtime = NULL;
}

/* What is in the store is what was told. */
static void reconcile(struct host *host)
{
    uint64_t passed = 0, taken = 0;

    REQUIRE(pawl_drain(host->runtime, UINT64_C(60000000000), NULL) == 0);
    for (unsigned machine = 0; machine < 2; machine++)
        for (unsigned i = 0; i < EACH; i++) {
            struct tally tally;
            struct pawl_view view = {.context = &tally, .context_capacity = sizeof(tally)};
            const uint64_t told = load_relaxed(&host->acknowledged[machine][i]);

            REQUIRE(pawl_task_peek(host->runtime, host->tasks[machine][i], &view) == 0);
            if (tally.added + tally.passed != told)
                fprintf(stderr, "task %u of machine %u: %llu steps, %llu told\n", i, machine,
                        (unsigned long long)(tally.added + tally.passed), (unsigned long long)told);
            REQUIRE(tally.added + tally.passed == told);
            passed += tally.passed;
            taken += tally.taken;
        }
    if (passed != taken)
        fprintf(stderr, "%llu passed, %llu taken\n", (unsigned long long)passed,
                (unsigned long long)taken);
    REQUIRE(passed == taken);
    for (unsigned i = 0; i < EACH; i++) {
        struct pawl_view view = {0};

        REQUIRE(pawl_task_peek(host->runtime, host->tasks[M_MEMORY][i], &view) == -ESTALE);
    }
    REQUIRE(pawl_resume(host->runtime) == 0);
}

static int remove_name(void *argument, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", (const char *)argument, name);
    remove(path);
    return 0;
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : ROUNDS;
    struct host *host = calloc(1, sizeof(*host));

    REQUIRE(host != NULL);
    host->events = argc > 2 ? (uint64_t)atoll(argv[2]) : EVENTS;
    snprintf(host->directory, sizeof(host->directory), "/tmp/pawl-stress-durable-XXXXXX");
    REQUIRE(mkdtemp(host->directory) != NULL);
    compile(host);
    for (unsigned round = 0; round <= rounds; round++) {
        host->seed = round + 1;
        open_host(host);
        if (round == 0)
            for (unsigned machine = 0; machine < 2; machine++)
                create_tasks(host, machine);
        else
            reconcile(host);
        create_tasks(host, M_MEMORY);
        run(host, round % 2 == 0);
        printf("round %u: %llu steps told, %llu cancelled\n", round,
               (unsigned long long)load_relaxed(&host->told[0]),
               (unsigned long long)load_relaxed(&host->told[1]));
    }
    pawl_storage_posix.list(pawl_storage_posix.user, host->directory, remove_name, host->directory);
    REQUIRE(rmdir(host->directory) == 0);
    for (unsigned i = 0; i < M_COUNT; i++)
        pawl_machine_destroy(host->machines[i]);
    free(host);
    return 0;
}
