/*
 * index_search.h - the search for one key in an array of the index: what finding, inserting and
 * removing share. index.h argues why readers are right.
 *
 * Layer: task. Included by index.c and index_find.c only.
 */
#ifndef PAWL_TASK_INDEX_SEARCH_H
#define PAWL_TASK_INDEX_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "task/index.h"

#define LINE_CELLS 4u /* cells in a cache line, where a key's search begins */

_Static_assert(LINE_CELLS * sizeof(struct index_cell) == CACHE_LINE, "a search begins at a line");

#define WORD_EMPTY UINT64_C(0)
#define WORD_TOMB  UINT64_C(1)

/* A key that is looked for, in the forms in which it is compared. */
struct needle {
    uint64_t hash;
    uint64_t key;                     /* the cell's key; without the record of a long one */
    uint64_t key_mask;                /* the bits of a cell's key that this one tells */
    uint64_t length_bits;             /* as in a cell's word */
    uint32_t words_count;             /* 0 for a short key */
    uint64_t words[RECORD_KEY_WORDS]; /* of a long key */
};

/* For a key whose hash, and if it is short whose padded word, is known already. */
static inline void needle_fill(struct needle *needle, uint64_t hash, uint64_t word, const void *key,
                               size_t length)
{
    needle->length_bits = stamp_make(0, 0, length);
    needle->hash = hash;
    if (length <= 8) {
        needle->key = word;
        needle->key_mask = UINT64_MAX;
        needle->words_count = 0;
        return;
    }
    needle->key = hash << 32;
    needle->key_mask = UINT64_MAX << 32;
    needle->words_count = (uint32_t)(length + 7) / 8;
    needle->words[needle->words_count - 1] = 0;
    memcpy(needle->words, key, length);
}

static inline void needle_set(struct needle *needle, uint64_t seed, const void *key, size_t length)
{
    const uint64_t word = length <= 8 ? index_pad(key, length) : 0;

    needle_fill(needle,
                length <= 8 ? index_hash_word(seed, word, length) : index_hash(seed, key, length),
                word, key, length);
}

static inline bool word_is_live(uint64_t word)
{
    return stamp_length(word) != 0;
}

static inline uint64_t home_of(const struct index_table *table, uint64_t hash)
{
    return hash >> table->shift & ~(uint64_t)(LINE_CELLS - 1);
}

static inline unsigned cell_hit(const struct index_cell *cell, uint64_t key, uint64_t key_mask)
{
    return ((load_relaxed(&cell->key) ^ key) & key_mask) == 0; /* relaxed: see line_hits */
}

static inline unsigned cell_is_empty(const struct index_cell *cell)
{
    return load_acquire(&cell->word) == WORD_EMPTY; /* (X6) pairs with (X5) */
}

/*
 * Which cells of a line hold the key, by what of it is in a cell, as bits. Where in its line a key
 * lies cannot be predicted, and a branch on it that is mispredicted costs more than comparing all
 * four (22 ns a key among a million with such branches, 14 without). relaxed: what is found is then
 * looked at in the right order, and a key that is there throughout is found.
 */
static inline unsigned line_hits(const struct index_cell *line, uint64_t key, uint64_t key_mask)
{
    _Static_assert(LINE_CELLS == 4, "written out, so that no loop is left");
    return cell_hit(&line[0], key, key_mask) | cell_hit(&line[1], key, key_mask) << 1 |
           cell_hit(&line[2], key, key_mask) << 2 | cell_hit(&line[3], key, key_mask) << 3;
}

/* As long as a key that begins its search here lies behind this line, no cell of the line is
 * empty. */
static inline bool line_has_empty(const struct index_cell *line)
{
    return (cell_is_empty(&line[0]) | cell_is_empty(&line[1]) | cell_is_empty(&line[2]) |
            cell_is_empty(&line[3])) != 0;
}

/* Whether a cell holds the key; *word is the cell's word in either case. */
static inline bool cell_holds(const struct index *index, const struct index_cell *cell,
                              const struct needle *needle, uint64_t *word)
{
    for (;;) { /* again only if the writer changed this very cell */
        const uint64_t seen = load_acquire(&cell->word); /* (X6) pairs with (X5) */

        *word = seen;
        if ((seen & STAMP_LENGTH_MASK) != needle->length_bits)
            return false; /* also empty, or a tombstone */

        const uint64_t key = load_acquire(&cell->key); /* (X8) pairs with (X7) */

        if (((key ^ needle->key) & needle->key_mask) != 0)
            return false;
        if (needle->words_count != 0 &&
            !record_holds(&index->records, (uint32_t)key, seen, needle->words, needle->words_count))
            return false;
        /* (X9) relaxed: the acquires above keep it behind what it confirms. */
        if (likely(load_relaxed(&cell->word) == seen))
            return true;
    }
}

/*
 * The cell that holds the key, or NULL; its word in *word. Ends at a line with an empty cell, of
 * which the load limit leaves at least one in eight.
 */
static inline struct index_cell *table_search(const struct index *index,
                                              const struct index_table *table,
                                              const struct needle *needle, uint64_t *word)
{
    for (uint64_t at = home_of(table, needle->hash);; at = (at + LINE_CELLS) & table->mask) {
        struct index_cell *line = &table->cells[at];

        for (unsigned hits = line_hits(line, needle->key, needle->key_mask); hits != 0;
             hits &= hits - 1) {
            struct index_cell *cell = &line[__builtin_ctz(hits)];

            if (likely(cell_holds(index, cell, needle, word)))
                return cell;
        }
        if (line_has_empty(line))
            return NULL;
    }
}

static inline bool find_needle(const struct index *index, const struct index_table *table,
                               const struct index_table *old, const struct needle *needle,
                               uint32_t *slot, uint32_t *generation)
{
    uint64_t word;

    if (table_search(index, table, needle, &word) == NULL &&
        (likely(old == NULL) || table_search(index, old, needle, &word) == NULL))
        return false;
    *slot = stamp_slot(word);
    *generation = stamp_generation(word);
    return true;
}

#endif /* PAWL_TASK_INDEX_SEARCH_H */
