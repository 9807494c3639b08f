/*
 * tables.h - concurrent maps from 64-bit keys, as bench_table.c, bench_index.c and bench_read.c use
 * them.
 *
 * Calls take many keys at a time, so that what a call costs is the map's and not a function
 * pointer's; inside, each key is looked up, put or taken out by itself unless the map has a way of
 * its own to do several. Every map hashes with mix64 and is made with room for its keys, so none
 * grows while measured.
 *
 * Two kinds of map: of words, where the value is a number, and of tasks, where the value leads to a
 * record of one cache line. A key is never 0 or all ones.
 */
#ifndef PAWL_BENCH_PEERS_TABLES_H
#define PAWL_BENCH_PEERS_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many look-ups a contender that can do so puts into one read section: as many as a shard's
 * batch. */
#define TABLE_BATCH 128

/* A task where there is no runtime. The counts are equal but for the sign, so a torn copy shows. */
struct table_task {
    uint64_t link[2]; /* the map's own, where it has its links in the record */
    uint64_t id;
    uint64_t value;
    uint64_t waiting[2]; /* links of what waits to be freed */
    uint64_t count;
    uint64_t count_down;
};

enum table_kind { TABLE_OF_WORDS, TABLE_OF_TASKS };

struct table_peer {
    /* Fails the bench if there is no memory. */
    void *(*create)(enum table_kind kind, uint64_t keys);
    /* Words and links go with it; tasks do not: what `turn` has begun it must end before. */
    void (*destroy)(void *table);

    /* Takes out each key of `before` and puts the one of `after` in; either may be NULL. */
    void (*swap)(void *table, const uint64_t *before, const uint64_t *after, const uint64_t *values,
                 size_t count);
    /* The sum of the values of the keys that are there. */
    uint64_t (*sum)(void *table, const uint64_t *keys, size_t count);

    /* Puts tasks in that stay the caller's. */
    void (*add)(void *table, struct table_task *tasks, size_t count);
    /* Ends each task of `before` and begins one of `after`, whose value is its id; either may be
     * NULL. Records come from malloc and go back to it. */
    void (*turn)(void *table, const uint64_t *before, const uint64_t *after, size_t count);
    /* The sum of the values of the tasks that are there, each read from its record. */
    uint64_t (*look)(void *table, const uint64_t *ids, size_t count);
    /* Copies each task's record, alone; the sum of their values and of their counts, which
     * cancel. */
    uint64_t (*copy)(void *table, const uint64_t *ids, size_t count);
    /* Counts in each task's record; may run on one thread while another copies. NULL: it cannot. */
    void (*step)(void *table, const uint64_t *ids, size_t count);
};

extern const struct table_peer peer_lfht;
extern const struct table_peer peer_ck_ht;
extern const struct table_peer peer_tbb_map;
extern const struct table_peer peer_mutex_table;

/* One of liburcu's flavours: `count` read sections, in each one load of *where and one through
 * it. */
struct section_peer {
    void (*open)(void);
    void (*close)(void);
    uint64_t (*sections)(uint64_t *const *where, uint64_t count);
};

extern const struct section_peer peer_urcu_memb;
extern const struct section_peer peer_urcu_bp;
extern const struct section_peer peer_urcu_qsbr;

/* Memory with huge pages where the system gives them, as Pawl has; goes back by free. NULL:
 * none. */
static inline void *table_memory(size_t bytes)
{
    const size_t huge = (size_t)2 << 20;
    void *memory;

    if (bytes < huge)
        return aligned_alloc(64, (bytes + 63) / 64 * 64);
    bytes = (bytes + huge - 1) / huge * huge;
    memory = aligned_alloc(huge, bytes);
    if (memory != NULL)
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

#ifdef __cplusplus
}
#endif

#endif
