/*
 * mutex_table.c - what a host writes by hand: a hash table under one mutex, taken for each
 * operation.
 *
 * Open addressing with linear probing, at most three quarters full; taking a key out moves back
 * what came after it, so there are no tombstones. The records of tasks come from malloc.
 */
#include <pthread.h>

#include "base/bits.h"
#include "harness.h"
#include "peers/tables.h"

struct pair {
    uint64_t key; /* 0: empty */
    uint64_t value;
};

struct mutex_table {
    pthread_mutex_t mutex;
    struct pair *pairs;
    uint64_t mask;
    unsigned shift;
};

static void *mutex_create(enum table_kind kind, uint64_t keys)
{
    const uint64_t room = round_up_power_of_two(keys + keys / 3 + 1);
    struct mutex_table *table = malloc(sizeof(*table));

    (void)kind;
    if (table == NULL || (table->pairs = table_memory(room * sizeof(struct pair))) == NULL)
        bench_fail("mutex table: no memory");
    for (uint64_t i = 0; i < room; i++)
        table->pairs[i].key = 0;
    table->mask = room - 1;
    table->shift = 64 - bits_for(room);
    pthread_mutex_init(&table->mutex, NULL);
    return table;
}

static void mutex_destroy(void *state)
{
    struct mutex_table *table = state;

    pthread_mutex_destroy(&table->mutex);
    free(table->pairs);
    free(table);
}

static inline uint64_t home_of(const struct mutex_table *table, uint64_t key)
{
    return mix64(key) >> (table->shift & 63) & table->mask;
}

/* Where the key is, or where it would be put. */
static inline struct pair *find(const struct mutex_table *table, uint64_t key)
{
    uint64_t at = home_of(table, key);

    while (table->pairs[at].key != key && table->pairs[at].key != 0)
        at = (at + 1) & table->mask;
    return &table->pairs[at];
}

static void put(struct mutex_table *table, uint64_t key, uint64_t value)
{
    struct pair *pair = find(table, key);

    if (pair->key != 0)
        bench_fail("mutex table: a key is there twice");
    *pair = (struct pair){key, value};
}

static uint64_t take(struct mutex_table *table, uint64_t key)
{
    struct pair *const pairs = table->pairs;
    uint64_t hole = (uint64_t)(find(table, key) - pairs);
    const uint64_t value = pairs[hole].value;

    if (pairs[hole].key == 0)
        bench_fail("mutex table: a key is missing");
    for (uint64_t at = (hole + 1) & table->mask; pairs[at].key != 0; at = (at + 1) & table->mask)
        /* What does not begin its search behind the hole may move into it. */
        if (((at - home_of(table, pairs[at].key)) & table->mask) >= ((at - hole) & table->mask)) {
            pairs[hole] = pairs[at];
            hole = at;
        }
    pairs[hole].key = 0;
    return value;
}

static void mutex_swap(void *state, const uint64_t *before, const uint64_t *after,
                       const uint64_t *values, size_t count)
{
    struct mutex_table *table = state;

    for (size_t i = 0; i < count; i++) {
        if (before != NULL) {
            pthread_mutex_lock(&table->mutex);
            take(table, before[i]);
            pthread_mutex_unlock(&table->mutex);
        }
        if (after != NULL) {
            pthread_mutex_lock(&table->mutex);
            put(table, after[i], values[i]);
            pthread_mutex_unlock(&table->mutex);
        }
    }
}

static uint64_t mutex_sum(void *state, const uint64_t *keys, size_t count)
{
    struct mutex_table *table = state;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        const struct pair *pair;

        pthread_mutex_lock(&table->mutex);
        pair = find(table, keys[i]);
        sum += pair->key != 0 ? pair->value : 0;
        pthread_mutex_unlock(&table->mutex);
    }
    return sum;
}

static void mutex_add(void *state, struct table_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(state, tasks[i].id, (uint64_t)(uintptr_t)&tasks[i]);
}

static struct table_task *task_create(uint64_t id)
{
    struct table_task *task = malloc(sizeof(*task));

    if (task == NULL)
        bench_fail("mutex table: no memory");
    *task = (struct table_task){.id = id, .value = id};
    return task;
}

/* Memory is asked for and given back outside the lock, as a careful host would. */
static void mutex_turn(void *state, const uint64_t *before, const uint64_t *after, size_t count)
{
    struct mutex_table *table = state;

    for (size_t i = 0; i < count; i++) {
        struct table_task *task;

        if (before != NULL) {
            pthread_mutex_lock(&table->mutex);
            task = (struct table_task *)(uintptr_t)take(table, before[i]);
            pthread_mutex_unlock(&table->mutex);
            free(task);
        }
        if (after != NULL) {
            task = task_create(after[i]);
            pthread_mutex_lock(&table->mutex);
            put(table, after[i], (uint64_t)(uintptr_t)task);
            pthread_mutex_unlock(&table->mutex);
        }
    }
}

/* The record, or NULL; the mutex is held. */
static inline struct table_task *task_at(const struct mutex_table *table, uint64_t id)
{
    const struct pair *pair = find(table, id);

    return pair->key != 0 ? (struct table_task *)(uintptr_t)pair->value : NULL;
}

static uint64_t mutex_look(void *state, const uint64_t *ids, size_t count)
{
    struct mutex_table *table = state;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        const struct table_task *task;

        pthread_mutex_lock(&table->mutex);
        task = task_at(table, ids[i]);
        sum += task != NULL ? task->value : 0;
        pthread_mutex_unlock(&table->mutex);
    }
    return sum;
}

static uint64_t mutex_copy(void *state, const uint64_t *ids, size_t count)
{
    struct mutex_table *table = state;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct table_task copy = {0};
        const struct table_task *task;

        pthread_mutex_lock(&table->mutex);
        task = task_at(table, ids[i]);
        if (task != NULL)
            copy = *task;
        pthread_mutex_unlock(&table->mutex);
        bench_keep((uint64_t)(uintptr_t)&copy);
        sum += copy.value + copy.count + copy.count_down;
    }
    return sum;
}

static void mutex_step(void *state, const uint64_t *ids, size_t count)
{
    struct mutex_table *table = state;

    for (size_t i = 0; i < count; i++) {
        struct table_task *task;

        pthread_mutex_lock(&table->mutex);
        task = task_at(table, ids[i]);
        if (task == NULL)
            bench_fail("mutex table: a task is missing");
        task->count++;
        task->count_down--;
        pthread_mutex_unlock(&table->mutex);
    }
}

const struct table_peer peer_mutex_table = {
    .create = mutex_create,
    .destroy = mutex_destroy,
    .swap = mutex_swap,
    .sum = mutex_sum,
    .add = mutex_add,
    .turn = mutex_turn,
    .look = mutex_look,
    .copy = mutex_copy,
    .step = mutex_step,
};
