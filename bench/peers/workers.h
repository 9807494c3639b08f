/*
 * workers.h - what a host writes by hand when it has no runtime: a hash table of tasks, and a thread that
 * takes events from a bounded queue under a mutex and steps the tasks they are for.
 *
 * It is written as one would write it with care: a table that only its thread touches and that needs no
 * lock then, batches out of and into the queue, one wake for a batch and none while the thread is awake,
 * and, where the row asks for it, the same spinning before the sleep as a shard does.
 */
#ifndef PAWL_BENCH_PEERS_WORKERS_H
#define PAWL_BENCH_PEERS_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The size of a pawl_event, so that queues of one capacity are of one size. */
struct hand_event {
    uint64_t task;
    uint64_t code;
    uint64_t arg[2];
};

/* ---- Tasks ---- */

/* One cache line a task, as in Pawl. */
struct hand_task {
    struct hand_task *next; /* in its bucket */
    uint64_t id;
    uint64_t state;
    uint64_t count; /* the context: what the actions write */
    uint64_t sum;
    uint64_t rest[3];
};

typedef void hand_action(void *user, struct hand_task *task, const struct hand_event *event);

/* By state: the action of the one event there is, and the state that it leads to. */
struct hand_machine {
    hand_action *const *actions;
    const uint64_t *targets;
};

/* Chained, each task from malloc; doubles when it is full and halves when it is nearly empty. */
struct hand_table {
    struct hand_task **buckets;
    uint64_t mask;
    uint64_t count;
};

void hand_table_init(struct hand_table *table);
void hand_table_fini(struct hand_table *table);
struct hand_task *hand_table_add(struct hand_table *table, uint64_t id);
struct hand_task *hand_table_find(const struct hand_table *table, uint64_t id);

/* False: there is none. */
bool hand_table_remove(struct hand_table *table, uint64_t id);

static inline void hand_step(const struct hand_machine *machine, void *user, struct hand_task *task,
                             const struct hand_event *event)
{
    machine->actions[task->state](user, task, event);
    task->state = machine->targets[task->state];
}

/* Asks the allocator for what it keeps of freed memory: jemalloc where that is linked, else libc. */
void hand_memory_back(void);

/* ---- Workers ---- */

enum hand_sleep {
    HAND_CONDVAR, /* sleeps on a condition variable */
    HAND_EVENTFD, /* sleeps in read(2) of an eventfd */
};

struct hand_worker_options {
    unsigned which; /* of bench_cpu() */
    enum hand_sleep sleep;
    uint64_t spin_ns;  /* how long it looks for events before it sleeps */
    uint32_t capacity; /* events in the queue: a power of two */
    uint64_t tasks;    /* made at the start, with ids from 0 */
    const struct hand_machine *machine;
    void *user;
};

struct hand_worker;

struct hand_worker *hand_worker_start(const struct hand_worker_options *options);

/* Handles what is queued, then ends. */
void hand_worker_stop(struct hand_worker *worker);

/* One thread at a time. Returns how many were accepted, always a prefix. */
size_t hand_worker_post(struct hand_worker *worker, const struct hand_event *events, size_t count);

/* While it is hushed it does not spin but sleeps at once, so that it takes no time from others. */
void hand_worker_hush(struct hand_worker *worker, bool hushed);

/* Events handled so far; what they did is visible to who reads it. */
uint64_t hand_worker_handled(const struct hand_worker *worker);

/* Sums of its tasks' counts and sums. Only while nothing is queued. */
void hand_worker_sums(const struct hand_worker *worker, uint64_t *count, uint64_t *sum);

#endif
