/*
 * index.c - see index.h, which also argues why readers are right. Here, in order: cells and
 * records, searching, arrays and growth, the owner's calls.
 */
#include "task/index.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"

#define CELLS_MIN   64u
#define COPY_STEP   16u               /* cells an insert copies while growth is under way */
#define UNMAP_PIECE ((size_t)4 << 20) /* bytes unmapped by one index_work */
#define CLEAN_STEP  64u               /* tombstones one removal turns back into empty cells */
#define FIND_GROUP  32u               /* keys whose cells are fetched together */

#define WORD_EMPTY   UINT64_C(0)
#define WORD_TOMB    UINT64_C(1)
#define LENGTH_SHIFT 54
#define LENGTH_MASK  (UINT64_C(127) << LENGTH_SHIFT)

_Static_assert(ID_SLOT_BITS == 32 && ID_SLOT_BITS + ID_GENERATION_BITS == LENGTH_SHIFT,
               "a word is slot, generation, length");
_Static_assert(KEY_SIZE_MAX < 128, "a length has 7 bits");

/*
 * Records. Written by release stores and read by acquire loads: (X7) and (X8). The stamp is 0 while
 * a record is void or being written; otherwise serial << 7 | length, the serial new for each record
 * made, so that who reads the same stamp before and after the bytes has the bytes of one key. A
 * cell's word alone cannot tell, for an old array that was already replaced is marked no more. The
 * slot is where the slab links free records: no reader may use it.
 */

struct record_short {
    _Atomic uint64_t key;
    _Atomic uint32_t slot;
    _Atomic uint32_t stamp;
};

struct record_long {
    _Atomic uint32_t slot;
    _Atomic uint32_t stamp;
    _Atomic uint64_t words[KEY_SIZE_MAX / 8]; /* zero-padded up to the key's last word */
};

#define STAMP_LENGTH UINT32_C(127)

/* A key that is looked for, in the forms in which it is compared. */
struct needle {
    uint64_t hash;
    uint64_t key;         /* the cell's key; without the record of a long one */
    uint64_t length_bits; /* as in a cell's word */
    uint32_t length;
    uint32_t words_count;             /* 0 for a short key */
    uint64_t words[KEY_SIZE_MAX / 8]; /* of a long key */
};

static void needle_set(struct needle *needle, uint64_t seed, const void *key, size_t length)
{
    needle->length = (uint32_t)length;
    needle->length_bits = (uint64_t)length << LENGTH_SHIFT;
    if (length <= 8) {
        needle->key = index_pad(key, length);
        needle->hash = index_hash_word(seed, needle->key, length);
        needle->words_count = 0;
        return;
    }
    needle->hash = index_hash(seed, key, length);
    needle->key = needle->hash << 32;
    needle->words_count = (uint32_t)(length + 7) / 8;
    needle->words[needle->words_count - 1] = 0;
    memcpy(needle->words, key, length);
}

static inline uint64_t word_of(uint32_t slot, uint32_t generation, uint64_t length_bits)
{
    return slot | (uint64_t)generation << ID_SLOT_BITS | length_bits;
}

static inline uint32_t word_slot(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t word_generation(uint64_t word)
{
    return (uint32_t)(word >> ID_SLOT_BITS) & GENERATION_MAX;
}

static inline bool word_is_live(uint64_t word)
{
    return (word & LENGTH_MASK) != 0;
}

/* The number may be anything: a reader may hold the key of one cell and the length of another. */
static bool record_holds(const struct index *index, uint32_t number, const struct needle *needle)
{
    const struct record_long *record = slab_peek(&index->records[1], number);

    if (record == NULL)
        return false;

    const uint32_t stamp = load_acquire(&record->stamp);

    if ((stamp & STAMP_LENGTH) != needle->length)
        return false;
    for (uint32_t at = 0; at < needle->words_count; at++)
        if (load_acquire(&record->words[at]) != needle->words[at]) /* (X8) pairs with (X7) */
            return false;
    return load_relaxed(&record->stamp) == stamp; /* relaxed: behind the acquires above */
}

static uint32_t record_create(struct index *index, const struct needle *needle, uint32_t slot)
{
    const unsigned class = needle->words_count != 0;
    const uint32_t number = slab_alloc(&index->records[class]);
    const uint32_t stamp = ++index->serial << 7 | needle->length;

    if (number == 0)
        return 0;
    if (class == 0) {
        struct record_short *record = slab_at(&index->records[0], number);

        store_release(&record->key, needle->key); /* (X7) pairs with (X8) */
        store_relaxed(&record->slot, slot);       /* relaxed: the owner's alone */
        store_release(&record->stamp, stamp);
    } else {
        struct record_long *record = slab_at(&index->records[1], number);

        for (uint32_t at = 0; at < needle->words_count; at++)
            store_release(&record->words[at], needle->words[at]); /* (X7) pairs with (X8) */
        store_relaxed(&record->slot, slot);
        store_release(&record->stamp, stamp);
    }
    return number << 1 | class;
}

static void record_destroy(struct index *index, uint32_t record)
{
    const unsigned class = record & 1;
    void *place = slab_at(&index->records[class], record >> 1);

    if (class == 0)
        store_release(&((struct record_short *)place)->stamp, 0);
    else
        store_release(&((struct record_long *)place)->stamp, 0);
    slab_free(&index->records[class], record >> 1);
}

size_t pawl__index_key(const struct index *index, uint32_t record, void *buffer64)
{
    const unsigned class = record & 1;
    void *place = slab_peek(&index->records[class], record >> 1);
    uint64_t words[KEY_SIZE_MAX / 8];

    if (place == NULL)
        return 0;

    _Atomic uint32_t *stamp =
        class == 0 ? &((struct record_short *)place)->stamp : &((struct record_long *)place)->stamp;
    _Atomic uint64_t *source =
        class == 0 ? &((struct record_short *)place)->key : ((struct record_long *)place)->words;
    const uint32_t before = load_acquire(stamp);
    const uint32_t length = before & STAMP_LENGTH;

    for (uint32_t at = 0; at < (length + 7) / 8; at++)
        words[at] = load_acquire(&source[at]); /* (X8) pairs with (X7) */
    if (load_relaxed(stamp) != before)         /* relaxed: behind the acquires above */
        return 0;
    memcpy(buffer64, words, length);
    return length;
}

/* Searching */

static inline uint64_t home_of(const struct index_table *table, uint64_t hash)
{
    return hash >> table->shift;
}

/*
 * The cell that holds the key, or NULL; its word in *word. Ends at an empty cell, of which the load
 * limit leaves at least one in eight.
 */
static inline struct index_cell *table_search(const struct index *index,
                                              const struct index_table *table,
                                              const struct needle *needle, uint64_t *word)
{
    for (uint64_t at = home_of(table, needle->hash);; at = (at + 1) & table->mask) {
        struct index_cell *cell = &table->cells[at];
        uint64_t seen = load_acquire(&cell->word); /* (X6) pairs with (X5) */

        for (;;) {
            if (seen == WORD_EMPTY)
                return NULL;
            if ((seen & LENGTH_MASK) != needle->length_bits)
                break; /* also a tombstone */

            const uint64_t key = load_acquire(&cell->key); /* (X8) pairs with (X7) */

            if (needle->words_count == 0) {
                if (key != needle->key)
                    break;
            } else if ((key ^ needle->key) >> 32 != 0 ||
                       !record_holds(index, (uint32_t)key, needle)) {
                break;
            }
            /* (X9) relaxed: the acquires above keep it behind what it confirms. */
            const uint64_t again = load_relaxed(&cell->word);

            if (likely(again == seen)) {
                *word = seen;
                return cell;
            }
            seen = load_acquire(&cell->word); /* retried: the writer changed this very cell */
        }
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
    *slot = word_slot(word);
    *generation = word_generation(word);
    return true;
}

bool pawl__index_find(const struct index *index, const void *key, size_t length, uint32_t *slot,
                      uint32_t *generation)
{
    struct needle needle;

    if (length == 0 || length > KEY_SIZE_MAX)
        return false;
    needle_set(&needle, index->seed, key, length);

    const struct index_table *table = load_acquire(&index->table); /* (X2) pairs with (X1) */
    const struct index_table *old = load_acquire(&table->old);     /* (X4) pairs with (X3) */

    return find_needle(index, table, old, &needle, slot, generation);
}

size_t pawl__index_find_many(const struct index *index, struct index_query *queries, size_t count)
{
    const struct index_table *table = load_acquire(&index->table); /* (X2) pairs with (X1) */
    const struct index_table *old = load_acquire(&table->old);     /* (X4) pairs with (X3) */
    struct needle needles[FIND_GROUP];
    size_t found = 0;

    for (size_t begin = 0; begin < count; begin += FIND_GROUP) {
        const size_t group = count - begin < FIND_GROUP ? count - begin : FIND_GROUP;

        for (size_t at = 0; at < group; at++) {
            const struct index_query *query = &queries[begin + at];

            if (query->length == 0 || query->length > KEY_SIZE_MAX)
                continue;
            needle_set(&needles[at], index->seed, query->key, query->length);
            __builtin_prefetch(&table->cells[home_of(table, needles[at].hash)]);
            if (old != NULL)
                __builtin_prefetch(&old->cells[home_of(old, needles[at].hash)]);
        }
        for (size_t at = 0; at < group; at++) {
            struct index_query *query = &queries[begin + at];

            query->found =
                query->length != 0 && query->length <= KEY_SIZE_MAX &&
                find_needle(index, table, old, &needles[at], &query->slot, &query->generation);
            found += query->found;
        }
    }
    return found;
}

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
    const size_t length = (size_t)(word >> LENGTH_SHIFT);
    unsigned char bytes[KEY_SIZE_MAX];

    if (length <= 8)
        return index_hash_word(index->seed, key, length);
    pawl__index_key(index, (uint32_t)key << 1 | 1, bytes);
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
    if (keys_max == 0 || keys_max > INDEX_KEYS_MAX)
        return -EINVAL;
    memset(index, 0, sizeof *index);
    index->reclaim = reclaim;
    index->seed = seed;
    index->keys_max = keys_max;
    index->huge = huge;

    const struct slab_options options_short = {.object_size = sizeof(struct record_short),
                                               .link_offset = offsetof(struct record_short, slot),
                                               .objects_max = (uint32_t)keys_max,
                                               .huge = huge};
    const struct slab_options options_long = {.object_size = sizeof(struct record_long),
                                              .link_offset = offsetof(struct record_long, slot),
                                              .objects_max = (uint32_t)keys_max,
                                              .huge = huge};
    int error = slab_init(&index->records[0], &options_short);

    if (error != 0)
        return error;
    error = slab_init(&index->records[1], &options_long);
    if (error != 0)
        goto fini_short;

    struct index_table *table = table_create(index, CELLS_MIN);

    error = -ENOMEM;
    if (table == NULL)
        goto fini_long;
    store_release(&index->table, table); /* (X1) pairs with (X2) */
    return 0;

fini_long:
    slab_fini(&index->records[1]);
fini_short:
    slab_fini(&index->records[0]);
    return error;
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
    slab_fini(&index->records[0]);
    slab_fini(&index->records[1]);
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

    const uint32_t made = record_create(index, &needle, slot);

    if (made == 0)
        return -ENOMEM;
    if (needle.words_count != 0)
        needle.key |= made >> 1;
    cell_fill(table_now(index), needle.hash, needle.key,
              word_of(slot, generation, needle.length_bits));
    store_relaxed(&index->keys, load_relaxed(&index->keys) + 1);
    *record = made;
    return 0;
}

void pawl__index_remove(struct index *index, uint32_t record)
{
    struct index_table *const tables[] = {table_now(index), table_old(index)};
    unsigned char bytes[KEY_SIZE_MAX];
    const size_t length = pawl__index_key(index, record, bytes);
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
    record_destroy(index, record);
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

    bool more = table_old(index) != NULL || index->dying != NULL;

    for (unsigned class = 0; class < ARRAY_LEN(index->records); class ++)
        more |= slab_trim(&index->records[class]);
    return more;
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
        const size_t length = (size_t)(word >> LENGTH_SHIFT);
        unsigned char bytes[KEY_SIZE_MAX];
        struct needle needle;
        uint64_t found = 0;

        tombs += word == WORD_TOMB;
        if (!word_is_live(word))
            continue;
        live++;
        if (length <= 8)
            memcpy(bytes, &key, length);
        else if (pawl__index_key(index, (uint32_t)key << 1 | 1, bytes) != length)
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

    if (keys != slab_live(&index->records[0]) + slab_live(&index->records[1]) ||
        !slab_validate(&index->records[0]) || !slab_validate(&index->records[1]))
        return false;
    if (!table_is_sound(index, table_now(index)))
        return false;
    if (old == NULL)
        return table_now(index)->live == keys;
    return table_is_sound(index, old);
}
