/*
 * bench_producers.c - several threads post to one shard without ports, on however few cores there are:
 * one event at a time and in batches of 32, beside a ring under a mutex.
 *
 *   pawl           bounded; in order per producer; every event is stepped by its task
 *   mutex ring     bounded; in order per producer; events are only counted
 *
 * Interleaved rounds of 0.4 s, medians of five with their spread. Usage: bench_producers [PRODUCERS]
 */
#include <pawl/pawl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/random.h"

enum { TASKS = 1000, BATCH_MAX_POSTED = 32, ROUNDS = 5, PRODUCERS_MAX = 64, RING = 4096 };

static struct pawl_runtime *runtime;
static uint64_t first_task; /* in a fresh shard ids are consecutive */
static _Atomic uint32_t stop;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void nap(long ns)
{
    const struct timespec length = {.tv_nsec = ns};

    nanosleep(&length, NULL);
}

static void count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)event;
    ++*(uint64_t *)context;
}

static const char *const events[] = {"count"};
static const struct pawl_state_def states[] = {{.name = "counting"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "counting", .on = "count", .action = count},
};
static const struct pawl_machine_def counter = {
    .name = "counter",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(uint64_t),
};

/* ---- The peer ---- */

static struct {
    pthread_mutex_t mutex;
    uint64_t head, tail;
    struct pawl_event cells[RING];
    _Atomic uint64_t popped;
} ring = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static unsigned ring_push(const struct pawl_event *batch, unsigned wanted)
{
    unsigned pushed = 0;

    pthread_mutex_lock(&ring.mutex);
    while (pushed < wanted && ring.tail - ring.head < RING)
        ring.cells[ring.tail++ % RING] = batch[pushed++];
    pthread_mutex_unlock(&ring.mutex);
    return pushed;
}

static void *ring_consume(void *unused)
{
    struct pawl_event batch[256];

    (void)unused;
    while (load_acquire(&stop) == 0) {
        unsigned popped = 0;

        pthread_mutex_lock(&ring.mutex);
        while (popped < 256 && ring.head < ring.tail)
            batch[popped++] = ring.cells[ring.head++ % RING];
        pthread_mutex_unlock(&ring.mutex);
        __asm__ volatile("" : : "r"(batch) : "memory"); /* the copies are wanted */
        add_relaxed(&ring.popped, popped);
        if (popped == 0)
            sched_yield();
    }
    return NULL;
}

/* ---- Producers ---- */

struct producer {
    struct random random;
    unsigned batch;
    bool peer;
    pthread_t thread;
};

static unsigned post(const struct producer *producer, const struct pawl_event *batch, unsigned left)
{
    int posted;

    if (producer->peer)
        return ring_push(batch, left);
    posted = pawl_task_post(runtime, batch, left);
    return posted > 0 ? (unsigned)posted : 0;
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct pawl_event batch[BATCH_MAX_POSTED];

    while (load_acquire(&stop) == 0) {
        unsigned done = 0;

        for (unsigned i = 0; i < producer->batch; i++)
            batch[i] = (struct pawl_event){
                .task = {first_task + random_below(&producer->random, TASKS)}, .arg = {1}};
        while (done < producer->batch && load_acquire(&stop) == 0) {
            const unsigned posted = post(producer, batch + done, producer->batch - done);

            done += posted;
            if (posted == 0)
                sched_yield();
        }
    }
    return NULL;
}

static uint64_t handled(bool peer)
{
    struct pawl_counters counters;

    if (peer)
        return load_acquire(&ring.popped);
    pawl_runtime_counters(runtime, &counters);
    return counters.events;
}

static double round_of(bool peer, unsigned batch, unsigned producers_count)
{
    struct producer producers[PRODUCERS_MAX];
    pthread_t consumer;
    uint64_t before;
    double begin, rate;

    store_release(&stop, 0);
    if (peer && pthread_create(&consumer, NULL, ring_consume, NULL) != 0)
        exit(1);
    for (unsigned i = 0; i < producers_count; i++) {
        producers[i] = (struct producer){.random = {i + 1}, .batch = batch, .peer = peer};
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0)
            exit(1);
    }
    nap(100000000);
    before = handled(peer);
    begin = now_s();
    nap(400000000);
    rate = (double)(handled(peer) - before) / (now_s() - begin);
    store_release(&stop, 1);
    for (unsigned i = 0; i < producers_count; i++)
        pthread_join(producers[i].thread, NULL);
    if (peer)
        pthread_join(consumer, NULL);
    return rate;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void bench(unsigned batch, unsigned producers)
{
    double rates[2][ROUNDS];

    for (int round = 0; round < ROUNDS; round++)
        for (int peer = 0; peer < 2; peer++)
            rates[peer][round] = round_of(peer != 0, batch, producers);
    for (int peer = 0; peer < 2; peer++) {
        qsort(rates[peer], ROUNDS, sizeof(double), by_size);
        printf("%2u producers, batch %2u  %-10s %7.1f M events/s  (%.1f to %.1f)\n", producers,
               batch, peer ? "mutex ring" : "pawl", rates[peer][ROUNDS / 2] / 1e6,
               rates[peer][0] / 1e6, rates[peer][ROUNDS - 1] / 1e6);
    }
}

static int open_runtime(struct pawl_machine *machine)
{
    const struct pawl_machine *const machines[] = {machine};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    int error;

    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    error = pawl_open(&options, &runtime);
    if (error == 0)
        error = pawl_start(runtime);
    for (uint64_t i = 0; i < TASKS && error == 0; i++) {
        struct pawl_task task;

        error = pawl_task_create(runtime, &(struct pawl_task_spec){.shard = 0}, &task);
        if (i == 0)
            first_task = task.id;
        else if (error == 0 && task.id != first_task + i)
            error = -EINVAL;
    }
    return error;
}

int main(int argc, char **argv)
{
    const unsigned producers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 4;
    struct pawl_machine *machine;
    int error = pawl_machine_compile(&counter, NULL, NULL, &machine);

    if (producers < 1 || producers > PRODUCERS_MAX) {
        fprintf(stderr, "bench_producers: 1 to %d producers\n", PRODUCERS_MAX);
        return 2;
    }
    if (error == 0)
        error = open_runtime(machine);
    if (error != 0) {
        fprintf(stderr, "bench_producers: %s\n", pawl_strerror(error));
        return 1;
    }
    bench(1, producers);
    bench(BATCH_MAX_POSTED, producers);
    pawl_close(runtime);
    pawl_machine_destroy(machine);
    return 0;
}
