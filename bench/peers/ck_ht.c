/*
 * ck_ht.c - Concurrency Kit's hash table: one writer, many readers, open addressing by cache lines.
 *
 * In its direct mode, where keys and values are words in the table itself. It is made for twice its
 * keys, because it grows when half full. Its readers are safe while the writer writes, but what was
 * taken out must be kept until they have left; here nobody reads meanwhile, and it is freed at
 * once.
 */
#include <ck_ht.h>

#include "base/bits.h"
#include "harness.h"
#include "peers/tables.h"

static void *memory_get(size_t bytes)
{
    return table_memory(bytes);
}

static void *memory_resize(void *memory, size_t before, size_t after, bool deferred)
{
    (void)before, (void)deferred;
    return realloc(memory, after);
}

static void memory_drop(void *memory, size_t bytes, bool deferred)
{
    (void)bytes, (void)deferred;
    free(memory);
}

static struct ck_malloc memory = {
    .malloc = memory_get, .realloc = memory_resize, .free = memory_drop};

static void hash_word(ck_ht_hash_t *hash, const void *key, size_t length, uint64_t seed)
{
    (void)length, (void)seed;
    hash->value = mix64(*(const uintptr_t *)key);
}

static void *ck_create(enum table_kind kind, uint64_t keys)
{
    ck_ht_t *table = malloc(sizeof(*table));

    (void)kind;
    if (table == NULL ||
        !ck_ht_init(table, CK_HT_MODE_DIRECT, hash_word, &memory, 2 * (keys + TABLE_BATCH), 0))
        bench_fail("ck_ht: no memory");
    return table;
}

static void ck_destroy(void *table)
{
    ck_ht_destroy(table);
    free(table);
}

static void put(ck_ht_t *table, uintptr_t key, uintptr_t value)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash;

    ck_ht_hash_direct(&hash, table, key);
    ck_ht_entry_set_direct(&entry, hash, key, value);
    if (!ck_ht_put_spmc(table, hash, &entry))
        bench_fail("ck_ht: a key is there twice");
}

/* Its value, or 0. */
static inline uintptr_t get(ck_ht_t *table, uintptr_t key)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash;

    ck_ht_hash_direct(&hash, table, key);
    ck_ht_entry_key_set_direct(&entry, key);
    return ck_ht_get_spmc(table, hash, &entry) ? ck_ht_entry_value_direct(&entry) : 0;
}

static uintptr_t take(ck_ht_t *table, uintptr_t key)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash;

    ck_ht_hash_direct(&hash, table, key);
    ck_ht_entry_key_set_direct(&entry, key);
    if (!ck_ht_remove_spmc(table, hash, &entry))
        bench_fail("ck_ht: a key is missing");
    return ck_ht_entry_value_direct(&entry);
}

static void ck_swap(void *table, const uint64_t *before, const uint64_t *after,
                    const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (before != NULL)
            take(table, before[i]);
        if (after != NULL)
            put(table, after[i], values[i]);
    }
}

static uint64_t ck_sum(void *table, const uint64_t *keys, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += get(table, keys[i]);
    return sum;
}

static void ck_add(void *table, struct table_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(table, tasks[i].id, (uintptr_t)&tasks[i]);
}

static void ck_turn(void *table, const uint64_t *before, const uint64_t *after, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct table_task *task;

        if (before != NULL)
            free((void *)take(table, before[i]));
        if (after == NULL)
            continue;
        task = malloc(sizeof(*task));
        if (task == NULL)
            bench_fail("ck_ht: no memory");
        *task = (struct table_task){.id = after[i], .value = after[i]};
        put(table, after[i], (uintptr_t)task);
    }
}

static uint64_t ck_look(void *table, const uint64_t *ids, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        const struct table_task *task = (const struct table_task *)get(table, ids[i]);

        sum += task != NULL ? task->value : 0;
    }
    return sum;
}

static uint64_t ck_copy(void *table, const uint64_t *ids, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        const struct table_task *task = (const struct table_task *)get(table, ids[i]);
        struct table_task copy = {0};

        if (task != NULL)
            copy = *task;
        bench_keep((uint64_t)(uintptr_t)&copy);
        sum += copy.value + copy.count + copy.count_down;
    }
    return sum;
}

const struct table_peer peer_ck_ht = {
    .create = ck_create,
    .destroy = ck_destroy,
    .swap = ck_swap,
    .sum = ck_sum,
    .add = ck_add,
    .turn = ck_turn,
    .look = ck_look,
    .copy = ck_copy,
};
