/*
 * index.c - see index.h. Here, in order: cells, arrays and growth, the owner's calls. What readers
 * ask is in index_find.c.
 */
#include "task/index.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "task/index_search.h"

#define CELLS_MIN   64u
#define COPY_STEP   16u               /* cells an insert copies while growth is under way */
#define UNMAP_PIECE ((size_t)4 << 20) /* bytes unmapped by one index_work */
#define CLEAN_STEP  64u               /* tombstones one removal turns back into empty cells */

_Static_assert(CELLS_MIN % LINE_CELLS == 0, "an array is whole lines");

/* Cells; owner only, so that loads are relaxed */

static void cell_fill(struct index_table *table, uint64_t hash, uint64_t key, uint64_t word)
{
    uint64_t at = home_of(table, hash);

    while (word_is_live(load_relaxed(&table->cells[at].word)))
        at = (at + 1) & table->mask;

    struct index_cell *cell = &table->cells[at];

    table->tombs -= load_relaxed(&cell->word) == WORD_TOMB;
    table->live++;
    store_release(&cell->key, key);   /* (X7) pairs with (X8) */
    store_release(&cell->word, word); /* (X5) pairs with (X6) */
}

/*
 * A cell may become empty again, instead of a tombstone, when the next one is empty: then no search
 * goes past it. The same holds for the tombstones right before it.
 */
static void cell_clear(struct index_table *table, struct index_cell *cell)
{
    uint64_t at = (uint64_t)(cell - table->cells);
    const bool ends_run = load_relaxed(&table->cells[(at + 1) & table->mask].word) == WORD_EMPTY;

    table->live--;
    if (!ends_run) {
        table->tombs++;
        store_release(&cell->word, WORD_TOMB);
        return;
    }
    store_release(&cell->word, WORD_EMPTY);
    for (unsigned step = 0; step < CLEAN_STEP; step++) {
        at = (at - 1) & table->mask;
        if (load_relaxed(&table->cells[at].word) != WORD_TOMB)
            return;
        table->tombs--;
        store_release(&table->cells[at].word, WORD_EMPTY);
    }
}

/* Arrays */

static struct index_table *table_create(struct index *index, uint64_t cells)
{
    const size_t bytes = cells * sizeof(struct index_cell);
    const size_t mapped = align_up(bytes + sizeof(struct index_table), PAGE_BYTES);
    char *memory = pawl__pages_reserve(
        mapped, index->huge && bytes >= PAGE_BYTES_HUGE ? PAGES_HUGE : PAGES_PLAIN, &index->pages);

    if (memory == NULL)
        return NULL;

    struct index_table *table = (struct index_table *)(void *)(memory + bytes);

    table->cells = (struct index_cell *)(void *)memory;
    table->mask = cells - 1;
    table->shift = 64 - bits_for(cells);
    table->mapped = mapped;
    return table;
}

static bool table_unmap_piece(struct index *index, struct index_table *table, size_t piece)
{
    char *rest = (char *)table->cells + table->unmapped;
    const size_t left = table->mapped - table->unmapped;

    if (left <= piece) { /* the description goes with the last piece */
        pawl__pages_unmap(rest, left, &index->pages);
        return true;
    }
    table->unmapped += piece;
    pawl__pages_unmap(rest, piece, &index->pages);
    return false;
}

static void table_list_destroy(struct index *index, struct index_table *table)
{
    while (table != NULL) {
        struct index_table *next = table->next;

        table_unmap_piece(index, table, SIZE_MAX);
        table = next;
    }
}

/* Past its grace period. Unmapping a large array takes milliseconds: index_work does it. */
static void table_release(void *owner, void *what, size_t size)
{
    struct index *index = owner;
    struct index_table *table = what;

    (void)size;
    table->next = index->dying;
    index->dying = table;
}

/* Hands unlinked arrays to the reclaim queue, as far as it has room. */
static void retire_unlinked(struct index *index)
{
    while (index->unlinked != NULL) {
        struct index_table *table = index->unlinked;
        struct index_table *next = table->next;

        if (!reclaim_retire(index->reclaim, table_release, index, table, table->mapped))
            return;
        index->unlinked = next;
    }
}

static struct index_table *table_now(const struct index *index)
{
    return load_relaxed(&index->table); /* relaxed: the owner wrote it */
}

static struct index_table *table_old(const struct index *index)
{
    return load_relaxed(&table_now(index)->old);
}

static bool growth_start(struct index *index, uint64_t cells)
{
    struct index_table *table = table_create(index, cells);

    if (table == NULL)
        return false;
    store_relaxed(&table->old, table_now(index)); /* (X1) publishes it */
    index->copied = 0;
    store_release(&index->table, table); /* (X1) pairs with (X2) */
    return true;
}

static uint64_t cell_hash(const struct index *index, uint64_t key, uint64_t word)
{
    const size_t length = stamp_length(word);
    unsigned char bytes[KEY_SIZE_MAX];

    if (length <= 8)
        return index_hash_word(index->seed, key, length);
    pawl__record_key(&index->records, record_number(RECORD_LONG, (uint32_t)key), bytes);
    return index_hash(index->seed, bytes, length);
}

static void growth_copy(struct index *index, uint64_t budget)
{
    struct index_table *table = table_now(index);
    struct index_table *old = table_old(index);
    const uint64_t cells = old->mask + 1;
    const uint64_t end = cells - index->copied < budget ? cells : index->copied + budget;

    for (uint64_t at = index->copied; at < end; at++) {
        const uint64_t word = load_relaxed(&old->cells[at].word);

        if (word_is_live(word)) {
            const uint64_t key = load_relaxed(&old->cells[at].key);

            cell_fill(table, cell_hash(index, key, word), key, word);
        }
    }
    index->copied = end;
    if (end == cells) {
        store_release(&table->old, NULL); /* (X3) pairs with (X4) */
        old->next = index->unlinked;
        index->unlinked = old;
        retire_unlinked(index);
    }
}

/*
 * Makes sure that one more key can be placed. Growth begins at 3/4; where there is no memory for it
 * the array goes on to 7/8. While growth is under way each insert copies COPY_STEP cells: the new
 * array is at least a quarter of the old one, so that the inserts until the end, 1/16 of the old
 * one's cells, find room in it beside the 3/8 that it begins with.
 */
static int make_room(struct index *index)
{
    const struct index_table *table = table_now(index);
    const uint64_t cells = table->mask + 1;
    const uint64_t used = table->live + table->tombs + 1;

    if (table_old(index) != NULL) {
        growth_copy(index, COPY_STEP);
        return 0;
    }
    if (used <= cells / 4 * 3)
        return 0;
    if (growth_start(index, table->live > cells / 8 * 3 ? 2 * cells : cells))
        return 0;
    return used <= cells / 8 * 7 ? 0 : -ENOMEM;
}

static bool shrink_start(struct index *index)
{
    const struct index_table *table = table_now(index);
    const uint64_t cells = table->mask + 1;

    if (cells == CELLS_MIN || table->live >= cells / 8)
        return false;

    uint64_t wanted = round_up_power_of_two(table->live * 8 / 3 + 1);

    if (wanted < cells / 4)
        wanted = cells / 4;
    if (wanted < CELLS_MIN)
        wanted = CELLS_MIN;
    return growth_start(index, wanted);
}

/* The owner's calls */

int pawl__index_init(struct index *index, struct reclaim *reclaim, uint64_t seed, uint64_t keys_max,
                     bool huge)
{
    memset(index, 0, sizeof *index);
    index->reclaim = reclaim;
    index->seed = seed;
    index->keys_max = keys_max;
    index->huge = huge;

    const int error = pawl__records_init(&index->records, keys_max, huge);

    if (error != 0)
        return error;

    struct index_table *table = table_create(index, CELLS_MIN);

    if (table == NULL) {
        pawl__records_fini(&index->records);
        return -ENOMEM;
    }
    store_release(&index->table, table); /* (X1) pairs with (X2) */
    return 0;
}

void pawl__index_fini(struct index *index)
{
    struct index_table *table = table_now(index);

    if (table == NULL)
        return;
    table_list_destroy(index, index->unlinked);
    table_list_destroy(index, index->dying);
    if (table_old(index) != NULL)
        table_unmap_piece(index, table_old(index), SIZE_MAX);
    table_unmap_piece(index, table, SIZE_MAX);
    store_relaxed(&index->table, NULL);
    pawl__records_fini(&index->records);
}

int pawl__index_insert(struct index *index, const void *key, size_t length, uint32_t slot,
                       uint32_t generation, uint32_t *record, uint32_t *slot_found,
                       uint32_t *generation_found)
{
    struct needle needle;
    uint32_t has_slot, has_generation;

    if (length == 0 || length > KEY_SIZE_MAX || generation > GENERATION_MAX)
        return -EINVAL;
    needle_set(&needle, index->seed, key, length);
    if (find_needle(index, table_now(index), table_old(index), &needle, &has_slot,
                    &has_generation)) {
        if (slot_found != NULL)
            *slot_found = has_slot;
        if (generation_found != NULL)
            *generation_found = has_generation;
        return -EEXIST;
    }
    if (load_relaxed(&index->keys) >= index->keys_max)
        return -ENOSPC;

    const int error = make_room(index);

    if (error != 0)
        return error;

    const uint64_t word = stamp_make(slot, generation, length);
    const uint32_t made = pawl__record_create(&index->records, word,
                                              needle.words_count != 0 ? needle.words : &needle.key);

    if (made == 0)
        return -ENOMEM;
    if (needle.words_count != 0)
        needle.key |= record_index(made);
    cell_fill(table_now(index), needle.hash, needle.key, word);
    store_relaxed(&index->keys, load_relaxed(&index->keys) + 1);
    *record = made;
    return 0;
}

void pawl__index_remove(struct index *index, uint32_t record)
{
    struct index_table *const tables[] = {table_now(index), table_old(index)};
    unsigned char bytes[KEY_SIZE_MAX];
    const size_t length = index_key(index, record, bytes);
    struct needle needle;
    unsigned cleared = 0;

    CHECK(length != 0);
    needle_set(&needle, index->seed, bytes, length);
    for (unsigned at = 0; at < ARRAY_LEN(tables) && tables[at] != NULL; at++) {
        uint64_t word;
        struct index_cell *cell = table_search(index, tables[at], &needle, &word);

        if (cell != NULL) {
            cell_clear(tables[at], cell);
            cleared++;
        }
    }
    CHECK(cleared != 0);
    pawl__record_destroy(&index->records, record);
    store_relaxed(&index->keys, load_relaxed(&index->keys) - 1);
}

bool pawl__index_work(struct index *index, uint32_t budget)
{
    retire_unlinked(index);
    if (table_old(index) != NULL)
        growth_copy(index, budget);
    else
        shrink_start(index);
    if (index->dying != NULL) {
        struct index_table *table = index->dying;
        struct index_table *next = table->next;

        if (table_unmap_piece(index, table, UNMAP_PIECE))
            index->dying = next;
    }

    const bool more_records = pawl__records_trim(&index->records);

    return table_old(index) != NULL || index->dying != NULL || more_records;
}

/* Restoring */

#define RESTORE_RUN 32u /* keys whose cells are fetched before the first is filled */

uint32_t pawl__index_restore_record(struct index *index, const void *key, size_t length,
                                    uint32_t slot, uint32_t generation)
{
    uint64_t words[RECORD_KEY_WORDS] = {0};

    if (length == 0 || length > KEY_SIZE_MAX || generation > GENERATION_MAX)
        return 0;
    memcpy(words, key, length);
    return pawl__record_create(&index->records, stamp_make(slot, generation, length), words);
}

int pawl__index_restore_begin(struct index *index, uint64_t keys)
{
    struct index_table *before = table_now(index);
    const uint64_t cells = round_up_power_of_two(keys + keys / 3 + 1);
    struct index_table *table;

    CHECK(before->live == 0 && before->tombs == 0 && table_old(index) == NULL);
    if (keys > index->keys_max)
        return -ENOSPC;
    if (cells <= before->mask + 1)
        return 0;
    table = table_create(index, cells);
    if (table == NULL)
        return -ENOMEM;
    store_release(&index->table, table); /* (X1) pairs with (X2) */
    table_unmap_piece(index, before, SIZE_MAX);
    return 0;
}

/*
 * A record's key as a needle, the number of a long key's record in it; what its cell says is in
 * *word.
 */
static void needle_of_record(const struct index *index, uint32_t number, struct needle *needle,
                             uint64_t *word)
{
    const struct record *record =
        slab_at(&index->records.slabs[record_class(number)], record_index(number));
    unsigned char bytes[KEY_SIZE_MAX];

    *word = load_relaxed(&record->stamp); /* relaxed: the owner wrote it */
    needle_set(needle, index->seed, bytes, pawl__record_key(&index->records, number, bytes));
}

static int bind_one(struct index *index, struct needle *needle, uint32_t number, uint64_t word)
{
    uint32_t slot, generation;
    int error;

    if (find_needle(index, table_now(index), table_old(index), needle, &slot, &generation))
        return -EEXIST;
    error = make_room(index);
    if (error != 0)
        return error;
    if (needle->words_count != 0)
        needle->key |= record_index(number);
    cell_fill(table_now(index), needle->hash, needle->key, word);
    store_relaxed(&index->keys, load_relaxed(&index->keys) + 1); /* relaxed: a counter */
    return 0;
}

int pawl__index_restore_bind(struct index *index, const uint32_t *records, size_t count,
                             size_t *failed)
{
    struct needle needles[RESTORE_RUN];
    uint64_t words[RESTORE_RUN];

    for (size_t from = 0; from < count; from += RESTORE_RUN) {
        const size_t run = count - from < RESTORE_RUN ? count - from : RESTORE_RUN;
        const struct index_table *table = table_now(index);

        for (size_t i = 0; i < run; i++)
            __builtin_prefetch(slab_at(&index->records.slabs[record_class(records[from + i])],
                                       record_index(records[from + i])));
        for (size_t i = 0; i < run; i++) {
            needle_of_record(index, records[from + i], &needles[i], &words[i]);
            __builtin_prefetch(&table->cells[home_of(table, needles[i].hash)], 1);
        }
        for (size_t i = 0; i < run; i++) {
            const int error = bind_one(index, &needles[i], records[from + i], words[i]);

            if (error != 0) {
                *failed = from + i;
                return error;
            }
        }
    }
    return 0;
}

/* Checking */

/* Every live cell is found by the search for its key, and has a record that agrees. */
static bool table_is_sound(const struct index *index, const struct index_table *table)
{
    uint64_t live = 0, tombs = 0;

    for (uint64_t at = 0; at <= table->mask; at++) {
        struct index_cell *cell = &table->cells[at];
        const uint64_t word = load_relaxed(&cell->word);
        const uint64_t key = load_relaxed(&cell->key);
        const size_t length = stamp_length(word);
        unsigned char bytes[KEY_SIZE_MAX];
        struct needle needle;
        uint64_t found = 0;

        tombs += word == WORD_TOMB;
        if (!word_is_live(word))
            continue;
        live++;
        if (length <= 8)
            memcpy(bytes, &key, length);
        else if (pawl__record_key(&index->records, record_number(RECORD_LONG, (uint32_t)key),
                                  bytes) != length)
            return false;
        needle_set(&needle, index->seed, bytes, length);
        if (table_search(index, table, &needle, &found) != cell || found != word)
            return false;
    }
    return live == table->live && tombs == table->tombs;
}

bool pawl__index_validate(const struct index *index)
{
    const struct index_table *old = table_old(index);
    const uint64_t keys = load_relaxed(&index->keys);

    if (keys != records_live(&index->records) || !pawl__records_validate(&index->records))
        return false;
    if (!table_is_sound(index, table_now(index)))
        return false;
    if (old == NULL)
        return table_now(index)->live == keys;
    return table_is_sound(index, old);
}
