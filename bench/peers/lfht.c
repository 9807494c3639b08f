/*
 * lfht.c - liburcu: its lock-free resizable hash table, and the read sections of three flavours.
 *
 * The table is of the memb flavour, the one liburcu recommends. A task's links lie in its record,
 * as the library means it to be done. The number of buckets is fixed: the table is as large as its
 * keys need from the beginning. Records that are taken out are freed by call_rcu, whose thread is
 * on the second cpu: what it does there is not counted.
 */
#define _LGPL_SOURCE /* read sections inline, as liburcu advises for the fast path */
#include <urcu/urcu-memb.h>

/* The first flavour is the one whose call_rcu is declared; the table needs one before it. */
#include <urcu/rculfhash.h>
#include <urcu/urcu-bp.h>
#include <urcu/urcu-qsbr.h>

#include "base/bits.h"
#include "harness.h"
#include "peers/tables.h"

_Static_assert(sizeof(struct cds_lfht_node) == sizeof(((struct table_task *)0)->link),
               "a node lies in a task's links");
_Static_assert(sizeof(struct rcu_head) == sizeof(((struct table_task *)0)->waiting),
               "what waits for its readers is linked in the record");

/* A word is the beginning of a task: it has no counts. */
#define WORD_BYTES offsetof(struct table_task, count)

struct lfht {
    struct cds_lfht *map;
    enum table_kind kind;
};

/* ---- The thread that frees, and the registration of the thread that reads ---- */

static struct {
    unsigned users;
    struct call_rcu_data *helper;
} memb;

static void memb_use(void)
{
    if (memb.users++ > 0)
        return;
    urcu_memb_register_thread();
    memb.helper = urcu_memb_create_call_rcu_data(0, bench_cpu(1));
    if (memb.helper == NULL)
        bench_fail("lfht: no thread for call_rcu");
    urcu_memb_set_thread_call_rcu_data(memb.helper);
}

static void memb_drop(void)
{
    if (--memb.users > 0)
        return;
    urcu_memb_barrier();
    urcu_memb_set_thread_call_rcu_data(NULL);
    urcu_memb_call_rcu_data_free(memb.helper);
    urcu_memb_unregister_thread();
}

/* ---- The table ---- */

static struct cds_lfht_node *node_of(struct table_task *entry)
{
    return (struct cds_lfht_node *)(void *)entry->link;
}

static int matches(struct cds_lfht_node *node, const void *key)
{
    return ((const struct table_task *)(const void *)node)->id == *(const uint64_t *)key;
}

static struct table_task *find(const struct lfht *table, uint64_t key)
{
    struct cds_lfht_iter iterator;

    cds_lfht_lookup(table->map, mix64(key), matches, &key, &iterator);
    return (struct table_task *)(void *)cds_lfht_iter_get_node(&iterator);
}

static void *lfht_create(enum table_kind kind, uint64_t keys)
{
    const unsigned long buckets = round_up_power_of_two(keys);
    struct lfht *table = malloc(sizeof(*table));

    memb_use();
    if (table == NULL)
        bench_fail("lfht: no memory");
    table->kind = kind;
    table->map = cds_lfht_new_flavor(buckets, buckets, 0, 0, &urcu_memb_flavor, NULL);
    if (table->map == NULL)
        bench_fail("lfht: no table");
    return table;
}

static void lfht_destroy(void *state)
{
    struct lfht *table = state;
    struct cds_lfht_iter iterator;
    struct cds_lfht_node *node;

    urcu_memb_read_lock();
    cds_lfht_for_each(table->map, &iterator, node)
    {
        cds_lfht_del(table->map, node);
        if (table->kind == TABLE_OF_WORDS)
            free(node); /* the iterator has gone on, and nobody else reads */
    }
    urcu_memb_read_unlock();
    if (cds_lfht_destroy(table->map, NULL) != 0)
        bench_fail("lfht: the table is not empty");
    free(table);
    memb_drop();
}

static void entry_free(struct rcu_head *head)
{
    free((char *)head - offsetof(struct table_task, waiting));
}

static struct table_task *entry_create(enum table_kind kind, uint64_t key, uint64_t value)
{
    struct table_task *entry = malloc(kind == TABLE_OF_WORDS ? WORD_BYTES : sizeof(*entry));

    if (entry == NULL)
        bench_fail("lfht: no memory");
    entry->id = key;
    entry->value = value;
    if (kind == TABLE_OF_TASKS)
        entry->count = entry->count_down = 0;
    return entry;
}

static void entry_drop(struct table_task *entry)
{
    urcu_memb_call_rcu((struct rcu_head *)(void *)entry->waiting, entry_free);
}

static void put(struct lfht *table, struct table_task *entry)
{
    cds_lfht_node_init(node_of(entry));
    cds_lfht_add(table->map, mix64(entry->id), node_of(entry));
}

static void take(struct lfht *table, uint64_t key)
{
    struct table_task *entry = find(table, key);

    if (entry == NULL || cds_lfht_del(table->map, node_of(entry)) != 0)
        bench_fail("lfht: a key is missing");
    entry_drop(entry);
}

static void lfht_swap(void *state, const uint64_t *before, const uint64_t *after,
                      const uint64_t *values, size_t count)
{
    struct lfht *table = state;

    for (size_t i = 0; i < count; i++) {
        urcu_memb_read_lock();
        if (before != NULL)
            take(table, before[i]);
        if (after != NULL)
            put(table, entry_create(table->kind, after[i], values[i]));
        urcu_memb_read_unlock();
    }
}

static void lfht_turn(void *state, const uint64_t *before, const uint64_t *after, size_t count)
{
    lfht_swap(state, before, after, after, count);
}

static uint64_t lfht_sum(void *state, const uint64_t *keys, size_t count)
{
    const struct lfht *table = state;
    uint64_t sum = 0;

    for (size_t begin = 0; begin < count; begin += TABLE_BATCH) {
        const size_t end = count - begin < TABLE_BATCH ? count : begin + TABLE_BATCH;

        urcu_memb_read_lock();
        for (size_t i = begin; i < end; i++) {
            const struct table_task *entry = find(table, keys[i]);

            sum += entry != NULL ? entry->value : 0;
        }
        urcu_memb_read_unlock();
    }
    return sum;
}

static void lfht_add(void *state, struct table_task *tasks, size_t count)
{
    struct lfht *table = state;

    urcu_memb_read_lock();
    for (size_t i = 0; i < count; i++)
        put(table, &tasks[i]);
    urcu_memb_read_unlock();
}

static uint64_t lfht_copy(void *state, const uint64_t *ids, size_t count)
{
    const struct lfht *table = state;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct table_task copy = {0};
        const struct table_task *task;

        urcu_memb_read_lock();
        task = find(table, ids[i]);
        if (task != NULL)
            copy = *task;
        urcu_memb_read_unlock();
        bench_keep((uint64_t)(uintptr_t)&copy);
        sum += copy.value + copy.count + copy.count_down;
    }
    return sum;
}

/* A changed copy takes the record's place, which is freed when nobody can be reading it. */
static void step_one(struct lfht *table, uint64_t id)
{
    struct table_task *old, *fresh;
    struct cds_lfht_iter iterator;

    cds_lfht_lookup(table->map, mix64(id), matches, &id, &iterator);
    old = (struct table_task *)(void *)cds_lfht_iter_get_node(&iterator);
    if (old == NULL)
        bench_fail("lfht: a task is missing");
    fresh = entry_create(TABLE_OF_TASKS, id, old->value);
    fresh->count = old->count + 1;
    fresh->count_down = old->count_down - 1;
    cds_lfht_node_init(node_of(fresh));
    if (cds_lfht_replace(table->map, &iterator, mix64(id), matches, &id, node_of(fresh)) != 0)
        bench_fail("lfht: a task cannot be replaced");
    entry_drop(old);
}

static void lfht_step(void *state, const uint64_t *ids, size_t count)
{
    urcu_memb_register_thread();
    urcu_memb_set_thread_call_rcu_data(memb.helper);
    for (size_t i = 0; i < count; i++) {
        urcu_memb_read_lock();
        step_one(state, ids[i]);
        urcu_memb_read_unlock();
    }
    urcu_memb_set_thread_call_rcu_data(NULL);
    urcu_memb_unregister_thread();
}

const struct table_peer peer_lfht = {
    .create = lfht_create,
    .destroy = lfht_destroy,
    .swap = lfht_swap,
    .sum = lfht_sum,
    .add = lfht_add,
    .turn = lfht_turn,
    .look = lfht_sum,
    .copy = lfht_copy,
    .step = lfht_step,
};

/* ---- Read sections ---- */

static void nothing(void) {}

static uint64_t memb_sections(uint64_t *const *where, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        urcu_memb_read_lock();
        sum += *rcu_dereference(*where);
        urcu_memb_read_unlock();
    }
    return sum;
}

static uint64_t bp_sections(uint64_t *const *where, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        urcu_bp_read_lock();
        sum += *rcu_dereference(*where);
        urcu_bp_read_unlock();
    }
    return sum;
}

/* A section is nothing here, but now and then the thread must say that it is in none. */
static uint64_t qsbr_sections(uint64_t *const *where, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        urcu_qsbr_read_lock();
        sum += *rcu_dereference(*where);
        urcu_qsbr_read_unlock();
        if (i % TABLE_BATCH == 0)
            urcu_qsbr_quiescent_state();
    }
    return sum;
}

const struct section_peer peer_urcu_memb = {memb_use, memb_drop, memb_sections};
const struct section_peer peer_urcu_bp = {nothing, nothing, bp_sections};
const struct section_peer peer_urcu_qsbr = {urcu_qsbr_register_thread, urcu_qsbr_unregister_thread,
                                            qsbr_sections};
