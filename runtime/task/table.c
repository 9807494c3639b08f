#include "task/table.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/planted.h"

/* Cells of a growing key index moved in one turn. */
#define INDEX_WORK 256u

/* Indexes a slab can hand out: all but what its last granule may need. */
#define INDEXES_MAX (UINT32_MAX - (1u << 16))

/*
 * A granule of slots is about to be given back: its next life begins above every generation in it.
 */
static void slots_emptied(void *user, uint32_t first, uint32_t count, uint32_t *floor)
{
    const struct table *table = user;

    for (uint32_t i = 0; i < count; i++) {
        const struct slot *slot = table_slot(table, first + i);
        const uint32_t generation = load_relaxed(&slot->generation); /* relaxed: the owner's own */

        if (generation > *floor)
            *floor = generation;
    }
}

static int blocks_init(struct table *table, const struct table_options *options)
{
    for (unsigned i = 0; i < options->context_sizes_count; i++) {
        const uint32_t size = options->context_sizes[i];
        const unsigned class = size <= CONTEXT_INLINE ? 0 : block_class(size);
        int error;

        if (size <= CONTEXT_INLINE || table->block_class_used[class])
            continue;
        error = slab_init(&table->blocks[class],
                          &(struct slab_options){.object_size = 1u << (class + BLOCK_SHIFT_MIN),
                                                 .objects_max = (uint32_t)options->tasks_max,
                                                 .huge = options->huge});
        if (error != 0)
            return error;
        table->block_class_used[class] = true;
    }
    return 0;
}

int pawl__table_init(struct table *table, const struct table_options *options)
{
    const struct slab_options slots = {
        .object_size = sizeof(struct slot),
        .link_offset = offsetof(struct slot, link),
        .objects_max = (uint32_t)options->tasks_max,
        .indexes_max = INDEXES_MAX,
        .huge = options->huge,
        .hooks = {.on_empty = slots_emptied, .user = table},
    };
    const uint64_t keys_max =
        options->tasks_max < INDEX_KEYS_MAX ? options->tasks_max : INDEX_KEYS_MAX;
    int error;

    memset(table, 0, sizeof(*table));
    table->shard = options->shard;
    reclaim_init(&table->reclaim);
    error = slab_init(&table->slots, &slots);
    if (error != 0)
        return error;
    error = blocks_init(table, options);
    if (error != 0)
        goto fail;
    error = index_init(&table->keys, &table->reclaim, options->seed, keys_max, options->huge);
    if (error != 0)
        goto fail;
    return 0;

fail:
    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        if (table->block_class_used[i])
            slab_fini(&table->blocks[i]);
    slab_fini(&table->slots);
    return error;
}

void pawl__table_fini(struct table *table)
{
    reclaim_synchronize(&table->reclaim);
    index_fini(&table->keys);
    reclaim_synchronize(&table->reclaim);
    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        if (table->block_class_used[i])
            slab_fini(&table->blocks[i]);
    slab_fini(&table->slots);
}

/* Gives a slot that has no context yet one of zeroes. */
static bool context_attach(struct table *table, struct slot *slot, uint32_t context_size)
{
    static const uint64_t zeroes[CONTEXT_WORDS];
    struct slab *blocks;
    _Atomic uint64_t *words;
    uint32_t block;

    words_store(slot->context, zeroes, CONTEXT_WORDS);
    if (context_size <= CONTEXT_INLINE)
        return true;
    blocks = &table->blocks[block_class(context_size)];
    block = slab_alloc(blocks);
    if (block == 0)
        return false;
    words = slab_at(blocks, block);
    for (uint32_t i = 0; i < (context_size + 7) / 8; i++)
        store_release(&words[i], 0);
    store_release(&slot->context[0], block);
    return true;
}

uint32_t pawl__table_reserve(struct table *table, unsigned machine, uint32_t context_size)
{
    const uint32_t index = slab_alloc(&table->slots);
    struct slot *slot;
    uint64_t head;

    if (index == 0)
        return 0;
    slot = table_slot(table, index);
    /* relaxed, here and below: the owner reads its own. */
    head = load_relaxed(&slot->head);
    slot_write_begin(slot, head);
    if (load_relaxed(&slot->generation) == 0) { /* a fresh slot */
        const uint32_t floor = slab_floor(&table->slots, index);

        store_release(&slot->generation, floor > 0 ? floor : 1);
    }
    slot->history = 0;
    slot->timers = 0;
    slot_set_deferred(slot, 0);
    slot->extension = 0;
    store_release(&slot->key, 0);
    if (!context_attach(table, slot, context_size)) {
        slot_write_end(slot, head, 0, 0);
        slab_free(&table->slots, index);
        return 0;
    }
    /*
     * Versions count from the task's first step; the generation tells its life from earlier ones.
     */
    store_release(&slot->head, head_make(0, SLOT_RESERVED, machine, 0));
    return index;
}

void pawl__table_release(struct table *table, uint32_t index, uint32_t context_size)
{
    struct slot *slot = table_slot(table, index);
    /* relaxed, all of them: the owner reads its own. */
    const uint64_t head = load_relaxed(&slot->head);
    const uint32_t generation = load_relaxed(&slot->generation) + 1;
    const uint32_t key = load_relaxed(&slot->key);

    /* The head first: who still reads the old one must find key and context as they were. */
    slot_write_begin(slot, head);
    store_release(&slot->key, 0);
    slot_write_end(slot, head, 0, 0);
    if (key != 0)
        index_remove(&table->keys, key);
    store_release(&slot->generation, generation);
    if (context_size > CONTEXT_INLINE)
        slab_free(&table->blocks[block_class(context_size)],
                  (uint32_t)load_relaxed(&slot->context[0]));
    if (unlikely(generation >= GENERATION_MAX))
        slab_retire(&table->slots, index);
    else
        slab_free(&table->slots, index);
}

size_t pawl__table_key(const struct table *table, const struct slot *slot, void *key64)
{
    const uint32_t key = load_relaxed(&slot->key); /* relaxed: the owner reads its own */

    return key == 0 ? 0 : index_key(&table->keys, key, key64);
}

uint64_t pawl__table_bytes(const struct table *table)
{
    uint64_t bytes = slab_bytes(&table->slots) + index_bytes(&table->keys);

    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        if (table->block_class_used[i])
            bytes += slab_bytes(&table->blocks[i]);
    return bytes;
}

bool pawl__table_work(struct table *table)
{
    bool more = slab_trim(&table->slots);

    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        if (table->block_class_used[i])
            more |= slab_trim(&table->blocks[i]);
    more |= index_work(&table->keys, INDEX_WORK);
    reclaim_seal(&table->reclaim);
    reclaim_collect(&table->reclaim);
    return more;
}

/* Restoring */

bool pawl__table_restore_context(struct table *table, struct slot *slot, uint32_t context_size)
{
    return context_attach(table, slot, context_size);
}

int pawl__table_restore_key(struct table *table, struct slot *slot, uint32_t index, const void *key,
                            size_t size)
{
    /* relaxed, here and below: nobody reads yet. */
    const uint32_t record =
        index_restore_record(&table->keys, key, size, index, load_relaxed(&slot->generation));

    if (record == 0)
        return -ENOMEM;
    store_relaxed(&slot->key, record);
    return 0;
}

void pawl__table_restore_forget(struct table *table, struct slot *slot, uint32_t context_size)
{
    const uint32_t key = load_relaxed(&slot->key);

    if (context_size > CONTEXT_INLINE)
        slab_free(&table->blocks[block_class(context_size)],
                  (uint32_t)load_relaxed(&slot->context[0]));
    if (key != 0)
        index_restore_forget(&table->keys, key);
    store_relaxed(&slot->key, 0);
    store_relaxed(&slot->head, 0);
    slot->extension = 0;
    slot->mark = 0;
}

#define KEYS_RUN 256u /* records gathered before they are bound */

/* The walk over all slots at the end. */
struct restoring {
    struct table *table;
    const struct table_floors *floors;
    table_restored_fn *live;
    void *user;
    uint32_t records[KEYS_RUN];
    uint32_t records_count;
    uint32_t failed;
    int error;
};

static void fail(struct restoring *r, int error, uint32_t index)
{
    r->error = error;
    r->failed = index;
}

static void bind_keys(struct restoring *r)
{
    const struct index *keys = &r->table->keys;
    size_t failed = 0;
    int error;

    if (r->error != 0)
        return;
    error = index_restore_bind(&r->table->keys, r->records, r->records_count, &failed);
    if (error != 0) {
        const uint32_t record = r->records[failed];
        const struct record *at =
            slab_at(&keys->records.slabs[record_class(record)], record_index(record));

        fail(r, error, stamp_slot(load_relaxed(&at->stamp)));
    }
    r->records_count = 0;
}

/* The lowest generation that a new life may have, where nothing more is known of the slot. */
static uint32_t generation_next(const struct table_floors *floors, uint32_t index)
{
    const uint32_t run = index / SLAB_RESTORE_RUN;
    uint32_t highest = run < floors->runs_count ? floors->runs[run] : 0;

    if (highest < floors->all)
        highest = floors->all;
    return highest == 0 || planted(PLANTED_GENERATION_REUSED) ? 0 : highest + 1;
}

static enum slab_restored restored_kind(struct restoring *r, struct slot *slot, uint32_t index,
                                        uint32_t next)
{
    uint32_t generation = load_relaxed(&slot->generation);

    if (slot->mark != 0) {
        const uint32_t key = load_relaxed(&slot->key);

        if (r->error == 0 && !r->live(r->user, slot, index))
            fail(r, -EBADMSG, index);
        if (key != 0) {
            r->records[r->records_count++] = key;
            if (r->records_count == KEYS_RUN)
                bind_keys(r);
        }
        return SLAB_RESTORED_LIVE;
    }
    if (generation == 0)
        return next < GENERATION_MAX ? SLAB_RESTORED_FRESH : SLAB_RESTORED_RETIRED;
    if (planted(PLANTED_GENERATION_REUSED))
        generation = 1;
    if (generation < next)
        generation = next;
    if (generation != load_relaxed(&slot->generation))
        store_relaxed(&slot->generation, generation);
    return generation < GENERATION_MAX ? SLAB_RESTORED_FREE : SLAB_RESTORED_RETIRED;
}

static void slots_restored(void *user, uint32_t first, uint32_t count, uint8_t *kinds,
                           uint32_t *floor)
{
    struct restoring *r = user;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = first + i;
        const uint32_t next = generation_next(r->floors, index);

        kinds[i] = (uint8_t)restored_kind(r, table_slot(r->table, index), index, next);
        if (next > *floor)
            *floor = next < GENERATION_MAX ? next : UINT32_MAX;
    }
}

int pawl__table_restore_end(struct table *table, const struct table_floors *floors,
                            table_restored_fn *live, void *user, uint32_t *failed)
{
    struct restoring r = {.table = table, .floors = floors, .live = live, .user = user};
    int error = index_restore_begin(&table->keys, records_live(&table->keys.records));

    if (error != 0)
        return error;
    table->slots.floor_first =
        floors->all > 0 && !planted(PLANTED_GENERATION_REUSED) ? floors->all + 1 : 0;
    pawl__slab_restore_end(&table->slots, slots_restored, &r);
    bind_keys(&r);
    *failed = r.failed;
    if (r.error == 0 && slab_live(&table->slots) > table->slots.objects_max) {
        *failed = (uint32_t)slab_live(&table->slots);
        r.error = -ENOSPC;
    }
    return r.error;
}

int pawl__table_clear(struct table *table)
{
    struct index *keys = &table->keys;
    const uint64_t seed = keys->seed, keys_max = keys->keys_max;
    const bool huge = keys->huge;
    int error = slab_clear(&table->slots);

    for (unsigned i = 0; i < BLOCK_CLASSES && error == 0; i++)
        if (table->block_class_used[i])
            error = slab_clear(&table->blocks[i]);
    if (error == 0) {
        index_fini(keys);
        error = index_init(keys, &table->reclaim, seed, keys_max, huge);
    }
    return error;
}
