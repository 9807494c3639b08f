/*
 * index_find.c - what readers ask of the index: one key, or many with their lines fetched ahead.
 *
 * Layer: task. Any thread, inside a read section unless it is the owner.
 */
#include "task/index_search.h"

#define FIND_AHEAD 32u /* how many keys ahead their lines are fetched */
#define FIND_LATER 32u /* keys that wait together for what their first line leaves open */
#define FIND_LINES 3u  /* lines behind the first that are fetched for each of them */

static bool find_any(const struct index *index, const struct index_table *table,
                     const struct index_table *old, uint64_t hash, uint64_t word, const void *key,
                     size_t length, uint32_t *slot, uint32_t *generation)
{
    struct needle needle;

    needle_fill(&needle, hash, word, key, length);
    return find_needle(index, table, old, &needle, slot, generation);
}

/*
 * table_search for a short key, as far as its first line tells, which nearly always is all. Returns
 * the word of the key's cell; WORD_EMPTY if the array does not hold the key; WORD_TOMB if
 * table_search must tell. The cell is believed by the same rule as in cell_holds; a tombstone that
 * holds the same key may hide it, and only costs time.
 */
static inline __attribute__((always_inline)) uint64_t
line_glance(const struct index_table *table, uint64_t hash, uint64_t key, size_t length)
{
    const struct index_cell *line = &table->cells[home_of(table, hash)];
    const unsigned hits = line_hits(line, key, UINT64_MAX);
    const struct index_cell *cell;
    uint64_t seen;

    if (unlikely(hits == 0))
        return line_has_empty(line) ? WORD_EMPTY : WORD_TOMB;
    cell = &line[__builtin_ctz(hits)];
    seen = load_acquire(&cell->word); /* (X6) pairs with (X5) */
    if (unlikely((seen & STAMP_LENGTH_MASK) != stamp_make(0, 0, length)))
        return WORD_TOMB;
    if (unlikely(load_acquire(&cell->key) != key)) /* (X8) pairs with (X7) */
        return WORD_TOMB;
    /* (X9) relaxed: the acquires above keep it behind what it confirms. */
    return likely(load_relaxed(&cell->word) == seen) ? seen : WORD_TOMB;
}

bool pawl__index_find(const struct index *index, const void *key, size_t length, uint32_t *slot,
                      uint32_t *generation)
{
    const struct index_table *table = load_acquire(&index->table); /* (X2) pairs with (X1) */
    const struct index_table *old = load_acquire(&table->old);     /* (X4) pairs with (X3) */
    uint64_t hash, word, seen;

    if (unlikely(length > 8 || length == 0))
        return length - 1 < KEY_SIZE_MAX &&
               find_any(index, table, old, index_hash(index->seed, key, length), 0, key, length,
                        slot, generation);
    word = index_pad(key, length);
    hash = index_hash_word(index->seed, word, length);
    seen = line_glance(table, hash, word, length);
    if (unlikely(!word_is_live(seen)))
        return (seen != WORD_EMPTY || old != NULL) &&
               find_any(index, table, old, hash, word, key, length, slot, generation);
    *slot = stamp_slot(seen);
    *generation = stamp_generation(seen);
    return true;
}

/* A question of find_many between the fetching of its line and its answer. */
struct pending {
    uint64_t hash;
    uint64_t word; /* a short key's, padded */
    struct index_query *query;
};

/* The first of three stages: the line is fetched. */
static inline void find_begin(const struct index_table *table, const struct index_table *old,
                              uint64_t seed, struct index_query *query, struct pending *pending)
{
    const size_t length = query->length;

    pending->query = query;
    if (likely(length - 1 < 8)) {
        pending->word = index_pad(query->key, length);
        pending->hash = index_hash_word(seed, pending->word, length);
    } else if (length - 1 < KEY_SIZE_MAX) {
        pending->hash = index_hash(seed, query->key, length);
        pending->word = 0;
    } else {
        return;
    }
    __builtin_prefetch(&table->cells[home_of(table, pending->hash)]);
    if (unlikely(old != NULL))
        __builtin_prefetch(&old->cells[home_of(old, pending->hash)]);
}

/* What a key that is not simply in its first line needs next: a long one's record, or more
 * lines. */
static void fetch_next(const struct index *index, const struct index_table *table,
                       const struct pending *pending)
{
    const uint64_t home = home_of(table, pending->hash);

    if (pending->query->length > 8) {
        const struct index_cell *line = &table->cells[home];
        const unsigned hits = line_hits(line, pending->hash << 32, UINT64_MAX << 32);

        if (hits != 0) {
            /* relaxed: any number has an address. */
            const uint64_t key = load_relaxed(&line[__builtin_ctz(hits)].key);

            __builtin_prefetch(slab_peek(&index->records.slabs[RECORD_LONG], (uint32_t)key));
            return;
        }
    }
    /* Of an array that is three quarters full 13 % of the keys are behind their first line, 5 %
     * behind the second. */
    for (unsigned line = 1; line <= FIND_LINES; line++)
        __builtin_prefetch(&table->cells[(home + line * LINE_CELLS) & table->mask]);
}

/* The second stage: true if the question is answered. */
static inline bool find_glance(const struct index *index, const struct index_table *table,
                               const struct index_table *old, const struct pending *pending)
{
    struct index_query *query = pending->query;
    uint64_t seen = WORD_TOMB;

    query->found = false;
    if (unlikely(query->length - 1 >= KEY_SIZE_MAX))
        return true;
    if (likely(query->length <= 8))
        seen = line_glance(table, pending->hash, pending->word, query->length);
    if (unlikely(!word_is_live(seen))) {
        if (seen == WORD_EMPTY && old == NULL)
            return true;
        fetch_next(index, table, pending);
        return false;
    }
    query->slot = stamp_slot(seen);
    query->generation = stamp_generation(seen);
    query->found = true;
    return true;
}

/* The third. Returns how many were found. */
static size_t find_rest(const struct index *index, const struct index_table *table,
                        const struct index_table *old, const struct pending *later, unsigned count)
{
    size_t found = 0;

    for (unsigned at = 0; at < count; at++) {
        struct index_query *query = later[at].query;

        query->found = find_any(index, table, old, later[at].hash, later[at].word, query->key,
                                query->length, &query->slot, &query->generation);
        found += query->found;
    }
    return found;
}

size_t pawl__index_find_many(const struct index *index, struct index_query *queries, size_t count)
{
    const struct index_table *table = load_acquire(&index->table); /* (X2) pairs with (X1) */
    const struct index_table *old = load_acquire(&table->old);     /* (X4) pairs with (X3) */
    const uint64_t seed = index->seed;
    struct pending ahead[FIND_AHEAD], later[FIND_LATER];
    unsigned later_count = 0;
    size_t found = 0;

    for (size_t at = 0; at < count + FIND_AHEAD; at++) {
        struct pending *pending = &ahead[at % FIND_AHEAD];

        if (at >= FIND_AHEAD) {
            if (likely(find_glance(index, table, old, pending)))
                found += pending->query->found;
            else
                later[later_count++] = *pending;
            if (unlikely(later_count == FIND_LATER)) {
                found += find_rest(index, table, old, later, later_count);
                later_count = 0;
            }
        }
        if (at < count)
            find_begin(table, old, seed, &queries[at], pending);
    }
    return found + find_rest(index, table, old, later, later_count);
}
