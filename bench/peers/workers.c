/*
 * workers.c - the hand-written table and worker (workers.h).
 *
 * The queue's tail is atomic so that a spinning worker looks at it without taking the mutex; all else of
 * the queue is the mutex's.
 */
#include "peers/workers.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "harness.h"

enum { TABLE_MIN = 1024, WORKER_BATCH = 128, LOOKS_PER_TIME = 16 };

/* ---- Tasks ---- */

static struct hand_task **bucket_of(const struct hand_table *table, uint64_t id)
{
    return &table->buckets[mix64(id) & table->mask];
}

static struct hand_task **buckets_create(uint64_t count)
{
    struct hand_task **buckets = calloc(count, sizeof(*buckets));

    if (buckets == NULL)
        bench_fail("no memory for a table of tasks");
    return buckets;
}

void hand_table_init(struct hand_table *table)
{
    *table = (struct hand_table){.buckets = buckets_create(TABLE_MIN), .mask = TABLE_MIN - 1};
}

void hand_table_fini(struct hand_table *table)
{
    for (uint64_t i = 0; i <= table->mask; i++)
        while (table->buckets[i] != NULL) {
            struct hand_task *task = table->buckets[i];

            table->buckets[i] = task->next;
            free(task);
        }
    free(table->buckets);
}

static void resize(struct hand_table *table, uint64_t size)
{
    struct hand_task **before = table->buckets;
    const uint64_t before_size = table->mask + 1;

    table->buckets = buckets_create(size);
    table->mask = size - 1;
    for (uint64_t i = 0; i < before_size; i++)
        while (before[i] != NULL) {
            struct hand_task *task = before[i];
            struct hand_task **bucket = bucket_of(table, task->id);

            before[i] = task->next;
            task->next = *bucket;
            *bucket = task;
        }
    free(before);
}

struct hand_task *hand_table_add(struct hand_table *table, uint64_t id)
{
    struct hand_task *task = malloc(sizeof(*task));
    struct hand_task **bucket;

    if (task == NULL)
        bench_fail("no memory for a task");
    if (table->count > table->mask)
        resize(table, 2 * (table->mask + 1));
    bucket = bucket_of(table, id);
    *task = (struct hand_task){.id = id, .next = *bucket};
    *bucket = task;
    table->count++;
    return task;
}

struct hand_task *hand_table_find(const struct hand_table *table, uint64_t id)
{
    struct hand_task *task = *bucket_of(table, id);

    while (task != NULL && task->id != id)
        task = task->next;
    return task;
}

bool hand_table_remove(struct hand_table *table, uint64_t id)
{
    struct hand_task **link = bucket_of(table, id);
    struct hand_task *task;

    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    task = *link;
    if (task == NULL)
        return false;
    *link = task->next;
    free(task);
    table->count--;
    if (table->mask >= TABLE_MIN && table->count < table->mask / 8)
        resize(table, (table->mask + 1) / 2);
    return true;
}

/* jemalloc's, where the program is linked with it. Its number for "all arenas" is 4096. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

void hand_memory_back(void)
{
    if (mallctl != NULL) {
        mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
        mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
    } else {
        malloc_trim(0);
    }
}

/* ---- Workers ---- */

/* Field owners: I set at the start; M the mutex; W the worker. */
struct hand_worker {
    struct hand_worker_options options; /* I */
    struct hand_event *events;          /* M */
    struct hand_table table;            /* W */
    pthread_t thread;                   /* I */
    int fd;                             /* I: HAND_EVENTFD's, or -1 */

    _Alignas(2 * CACHE_LINE) pthread_mutex_t mutex;
    pthread_cond_t wake;
    uint64_t head;         /* M */
    _Atomic uint64_t tail; /* M; a spinning worker looks without it */
    bool sleeping;         /* M */
    bool stopped;          /* M */

    _Alignas(2 * CACHE_LINE) _Atomic uint32_t hushed;  /* who hushes */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t handled; /* W */
};

/* Looks for events until there are some or the time is over; relaxed: the mutex orders the rest. */
static void spin(struct hand_worker *worker, uint64_t head)
{
    const uint64_t until = bench_now_ns() + worker->options.spin_ns;

    do {
        for (unsigned i = 0; i < LOOKS_PER_TIME; i++) {
            if (load_relaxed(&worker->tail) != head)
                return;
            cpu_relax();
        }
    } while (load_relaxed(&worker->hushed) == 0 && bench_now_ns() < until);
}

/* With the mutex held, which it is again afterwards. */
static void sleep_on(struct hand_worker *worker)
{
    uint64_t count;

    worker->sleeping = true;
    if (worker->options.sleep == HAND_CONDVAR) {
        while (worker->sleeping)
            pthread_cond_wait(&worker->wake, &worker->mutex);
        return;
    }
    pthread_mutex_unlock(&worker->mutex);
    while (read(worker->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&worker->mutex);
}

/* With the mutex held; says whether wake_up is to be called after it is given back. */
static bool must_wake(struct hand_worker *worker)
{
    const bool sleeping = worker->sleeping;

    worker->sleeping = false;
    return sleeping;
}

static void wake_up(struct hand_worker *worker)
{
    const uint64_t one = 1;

    if (worker->options.sleep == HAND_CONDVAR)
        pthread_cond_signal(&worker->wake);
    else if (write(worker->fd, &one, sizeof(one)) != sizeof(one))
        bench_fail("an eventfd cannot be written");
}

/* Up to a batch of events; 0 when the worker was stopped and nothing is left. */
static unsigned take(struct hand_worker *worker, struct hand_event *batch)
{
    const uint64_t mask = worker->options.capacity - 1;
    uint64_t count;

    /* relaxed: head is the worker's to write, and so to read */
    if (load_relaxed(&worker->tail) == worker->head && worker->options.spin_ns > 0)
        spin(worker, worker->head);
    pthread_mutex_lock(&worker->mutex);
    while (load_relaxed(&worker->tail) == worker->head && !worker->stopped)
        sleep_on(worker);
    count = load_relaxed(&worker->tail) - worker->head;
    if (count > WORKER_BATCH)
        count = WORKER_BATCH;
    for (uint64_t i = 0; i < count; i++)
        batch[i] = worker->events[(worker->head + i) & mask];
    worker->head += count;
    pthread_mutex_unlock(&worker->mutex);
    return (unsigned)count;
}

static void *work(void *argument)
{
    struct hand_worker *worker = argument;
    const struct hand_machine *machine = worker->options.machine;
    struct hand_event batch[WORKER_BATCH];
    unsigned count;

    while ((count = take(worker, batch)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            struct hand_task *task = hand_table_find(&worker->table, batch[i].task);

            if (task == NULL)
                bench_fail("a worker has no task %llu", (unsigned long long)batch[i].task);
            hand_step(machine, worker->options.user, task, &batch[i]);
        }
        store_release(&worker->handled, load_relaxed(&worker->handled) + count);
    }
    return NULL;
}

struct hand_worker *hand_worker_start(const struct hand_worker_options *options)
{
    struct hand_worker *worker = aligned_alloc(_Alignof(struct hand_worker), sizeof(*worker));

    if (worker == NULL)
        bench_fail("no memory for a worker");
    memset(worker, 0, sizeof(*worker));
    worker->options = *options;
    worker->events = calloc(options->capacity, sizeof(*worker->events));
    worker->fd = options->sleep == HAND_EVENTFD ? eventfd(0, EFD_CLOEXEC) : -1;
    if (worker->events == NULL || (options->sleep == HAND_EVENTFD && worker->fd < 0))
        bench_fail("a worker cannot be made");
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->wake, NULL);
    hand_table_init(&worker->table);
    for (uint64_t id = 0; id < options->tasks; id++)
        hand_table_add(&worker->table, id);
    worker->thread = bench_thread(options->which, work, worker);
    return worker;
}

void hand_worker_stop(struct hand_worker *worker)
{
    bool wake;

    pthread_mutex_lock(&worker->mutex);
    worker->stopped = true;
    wake = must_wake(worker);
    pthread_mutex_unlock(&worker->mutex);
    if (wake)
        wake_up(worker);
    pthread_join(worker->thread, NULL);
    hand_table_fini(&worker->table);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->mutex);
    if (worker->fd >= 0)
        close(worker->fd);
    free(worker->events);
    free(worker);
}

size_t hand_worker_post(struct hand_worker *worker, const struct hand_event *events, size_t count)
{
    const uint64_t mask = worker->options.capacity - 1;
    uint64_t tail, room;
    bool wake;

    pthread_mutex_lock(&worker->mutex);
    tail = load_relaxed(&worker->tail);
    room = worker->options.capacity - (tail - worker->head);
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++)
        worker->events[(tail + i) & mask] = events[i];
    store_relaxed(&worker->tail, tail + count); /* relaxed: the mutex orders it */
    wake = count > 0 && must_wake(worker);
    pthread_mutex_unlock(&worker->mutex);
    if (wake)
        wake_up(worker);
    return count;
}

void hand_worker_hush(struct hand_worker *worker, bool hushed)
{
    store_release(&worker->hushed, hushed ? 1 : 0);
}

uint64_t hand_worker_handled(const struct hand_worker *worker)
{
    return load_acquire(&worker->handled);
}

void hand_worker_sums(const struct hand_worker *worker, uint64_t *count, uint64_t *sum)
{
    *count = *sum = 0;
    for (uint64_t i = 0; i <= worker->table.mask; i++)
        for (const struct hand_task *task = worker->table.buckets[i]; task != NULL;
             task = task->next) {
            *count += task->count;
            *sum += task->sum;
        }
}
