/*
 * bench_index.c - the index of callers' keys: finding random keys that are there, and taking one
 * out and putting another in.
 *
 * Keys are 8 bytes and look random; the nth is mix64(n), so that nobody needs memory to know them,
 * and its value is n. Random keys are chosen outside the timed part, CHUNK at a time; a round's sum
 * of the values found must be what was asked for.
 *
 * The limit is a bare array of the same size and as full, with linear probing: no writer beside the
 * readers, no keys longer than a word, no growth.
 */
#include <string.h>

#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "peers/have.h"
#include "peers/tables.h"
#include "rows.h"
#include "task/index.h"

/* One section or call takes TABLE_BATCH keys. A turn of a shard moves the index along by so many
 * cells, and handles at least so many events where it is busy. */
enum { CHUNK = 8192, WORK_CELLS = 256, WORK_EVERY = QUOTA, AHEAD = 32 };

struct bare_cell {
    uint64_t key; /* 0: empty */
    uint64_t value;
};

/* One contender's keys and what it needs. */
struct bed {
    uint64_t count;  /* keys */
    uint64_t rounds; /* chunks a round */
    struct random random;
    uint64_t (*sum)(struct bed *bed); /* of the values of `keys` */

    struct index index;
    struct reclaim reclaim;
    uint32_t *records; /* of the key at the same place of `numbers` */
    struct index_query queries[CHUNK];

    struct bare_cell *cells;
    uint64_t mask;
    unsigned shift;

    const struct table_peer *peer;
    void *table;

    uint64_t *numbers; /* of the keys there are, where they change */
    uint64_t last;     /* the highest number so far */
    uint64_t keys[CHUNK];
    uint64_t after[CHUNK];
    uint64_t values[CHUNK];
};

static uint64_t key_of(uint64_t number)
{
    return mix64(number);
}

static void *memory(size_t bytes)
{
    void *got = table_memory(bytes);

    if (got == NULL)
        bench_fail("index: no memory");
    return got;
}

static struct bed *bed_create(const struct bench_row *row)
{
    struct bed *bed = memory(sizeof(*bed));

    memset(bed, 0, sizeof(*bed));
    bed->count = bench_pick(20000, row->size, row->size);
    bed->random.state = bed->count;
    bed->last = bed->count;
    return bed;
}

static uint64_t run_chunk(struct bed *bed, uint64_t *expected)
{
    uint64_t begin;

    for (unsigned i = 0; i < CHUNK; i++) {
        const uint64_t number = 1 + random_below(&bed->random, bed->count);

        bed->keys[i] = key_of(number);
        *expected -= number;
    }
    begin = bench_now_ns();
    *expected += bed->sum(bed);
    return bench_now_ns() - begin;
}

static void find_run(void *state, struct bench_sample *sample)
{
    struct bed *bed = state;
    uint64_t missing = 0, ns = 0;

    for (uint64_t chunk = 0; chunk < bed->rounds; chunk++)
        ns += run_chunk(bed, &missing);
    if (missing != 0)
        bench_fail("index: keys were not found, or others were");
    sample->seconds = (double)ns * 1e-9;
    sample->operations = bed->rounds * CHUNK;
}

/* ---- Pawl ---- */

static void index_turn(struct bed *bed)
{
    index_work(&bed->index, WORK_CELLS);
    if (reclaim_pending(&bed->reclaim) > 0)
        reclaim_synchronize(&bed->reclaim);
}

static uint32_t pawl_put(struct bed *bed, uint64_t key, uint64_t number)
{
    uint32_t record;

    /* A slot and a generation are bound once. */
    if (index_insert(&bed->index, &key, sizeof(key), (uint32_t)number,
                     (uint32_t)(number >> 32) & GENERATION_MAX, &record, NULL, NULL) != 0)
        bench_fail("index: a key is not taken");
    return record;
}

static uint64_t pawl_sum(struct bed *bed)
{
    uint64_t sum = 0;

    for (unsigned at = 0; at < CHUNK; at += TABLE_BATCH) {
        struct index_query *queries = &bed->queries[at];
        size_t found;

        pawl__read_enter();
        found = index_find_many(&bed->index, queries, TABLE_BATCH);
        pawl__read_exit();
        for (unsigned i = 0; i < TABLE_BATCH; i++)
            sum += queries[i].slot;
        sum += found - TABLE_BATCH; /* nothing, if all were found */
    }
    return sum;
}

static uint64_t pawl_sum_single(struct bed *bed)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNK; i++) {
        uint32_t slot = 0, generation;

        pawl__read_enter();
        index_find(&bed->index, &bed->keys[i], sizeof(bed->keys[i]), &slot, &generation);
        pawl__read_exit();
        sum += slot;
    }
    return sum;
}

static struct bed *pawl_bed(const struct bench_row *row)
{
    struct bed *bed = bed_create(row);

    reclaim_init(&bed->reclaim);
    if (index_init(&bed->index, &bed->reclaim, 0x5eed, bed->count + CHUNK, true) != 0)
        bench_fail("index: no memory");
    for (unsigned i = 0; i < CHUNK; i++)
        bed->queries[i] =
            (struct index_query){.key = &bed->keys[i], .length = sizeof(bed->keys[i])};
    return bed;
}

static void *pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const bool single = strcmp(contender->name, "pawl-single") == 0;
    struct bed *bed = pawl_bed(row);
    bool more = true;

    for (uint64_t number = 1; number <= bed->count; number++) {
        pawl_put(bed, key_of(number), number);
        if (number % WORK_EVERY == 0)
            index_turn(bed);
    }
    while (more) { /* growth ends, and what it leaves goes */
        more = index_work(&bed->index, UINT32_MAX);
        reclaim_synchronize(&bed->reclaim);
    }
    bed->sum = single ? pawl_sum_single : pawl_sum;
    bed->rounds = bench_pick(1, single ? 256 : 512, single ? 768 : 1536);
    return bed;
}

static void pawl_close(void *state)
{
    struct bed *bed = state;

    reclaim_synchronize(&bed->reclaim);
    index_fini(&bed->index);
    free(bed->records);
    free(bed->numbers);
    free(bed);
}

/* ---- The limit ---- */

static uint64_t bare_home(const struct bed *bed, uint64_t key)
{
    return mix64(key) >> (bed->shift & 63);
}

static inline uint64_t bare_find(const struct bed *bed, uint64_t key)
{
    uint64_t at = bare_home(bed, key);

    while (bed->cells[at].key != key && bed->cells[at].key != 0)
        at = (at + 1) & bed->mask;
    return at;
}

static uint64_t bare_sum(struct bed *bed)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < AHEAD; i++)
        __builtin_prefetch(&bed->cells[bare_home(bed, bed->keys[i])]);
    for (unsigned i = 0; i < CHUNK; i++) {
        if (i + AHEAD < CHUNK)
            __builtin_prefetch(&bed->cells[bare_home(bed, bed->keys[i + AHEAD])]);
        sum += bed->cells[bare_find(bed, bed->keys[i])].value;
    }
    return sum;
}

static uint64_t bare_sum_single(struct bed *bed)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNK; i++)
        sum += bed->cells[bare_find(bed, bed->keys[i])].value;
    return sum;
}

static struct bed *bare_bed(const struct bench_row *row)
{
    struct bed *bed = bed_create(row);
    uint64_t room = 64;

    while (bed->count > room / 4 * 3) /* as Pawl's index grows */
        room *= 2;
    bed->cells = memory(room * sizeof(struct bare_cell));
    memset(bed->cells, 0, room * sizeof(struct bare_cell));
    bed->mask = room - 1;
    bed->shift = 64 - bits_for(room);
    for (uint64_t number = 1; number <= bed->count; number++) {
        const uint64_t key = key_of(number);

        bed->cells[bare_find(bed, key)] = (struct bare_cell){key, number};
    }
    return bed;
}

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bed *bed = bare_bed(row);

    bed->sum = strcmp(contender->name, "limit-single") == 0 ? bare_sum_single : bare_sum;
    bed->rounds = bench_pick(1, 512, 1536);
    return bed;
}

static void bare_close(void *state)
{
    struct bed *bed = state;

    free(bed->cells);
    free(bed->numbers);
    free(bed);
}

/* ---- Peers ---- */

static uint64_t peer_sum(struct bed *bed)
{
    return bed->peer->sum(bed->table, bed->keys, CHUNK);
}

static void *peer_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bed *bed = bed_create(row);

    bed->peer = contender->detail;
    bed->table = bed->peer->create(TABLE_OF_WORDS, bed->count);
    for (uint64_t number = 1; number <= bed->count;) {
        unsigned i = 0;

        for (; i < CHUNK && number <= bed->count; i++, number++) {
            bed->keys[i] = key_of(number);
            bed->values[i] = number;
        }
        bed->peer->swap(bed->table, NULL, bed->keys, bed->values, i);
    }
    bed->sum = peer_sum;
    bed->rounds = bench_pick(1, 64, 192);
    return bed;
}

static void peer_close(void *state)
{
    struct bed *bed = state;

    bed->peer->destroy(bed->table);
    free(bed->numbers);
    free(bed);
}

/* ---- One key out, another in ---- */

static void numbers_create(struct bed *bed)
{
    bed->numbers = memory(bed->count * sizeof(*bed->numbers));
    for (uint64_t i = 0; i < bed->count; i++)
        bed->numbers[i] = i + 1;
    bed->rounds = bench_pick(1, 32, 96);
}

/* CHUNK random keys come to the front; they are what goes, the new numbers take their places. */
static void change_choose(struct bed *bed)
{
    for (uint64_t i = 0; i < CHUNK; i++) {
        const uint64_t other = i + random_below(&bed->random, bed->count - i);
        const uint64_t number = bed->numbers[other];

        bed->numbers[other] = bed->numbers[i];
        bed->numbers[i] = number;
        bed->keys[i] = key_of(number);
        if (bed->records != NULL) {
            const uint32_t record = bed->records[other];

            bed->records[other] = bed->records[i];
            bed->records[i] = record;
        }
        bed->values[i] = ++bed->last;
        bed->after[i] = key_of(bed->last);
    }
}

/* Some keys of those that should be there now, and the ones that went last, which should not. */
static void change_check(struct bed *bed)
{
    uint64_t wrong = bed->sum(bed);

    for (unsigned i = 0; i < CHUNK; i++) {
        const uint64_t number = bed->numbers[random_below(&bed->random, bed->count)];

        bed->keys[i] = key_of(number);
        wrong -= number;
    }
    if (wrong + bed->sum(bed) != 0)
        bench_fail("index: keys are not what was put in and taken out");
}

static void change_run(struct bed *bed, struct bench_sample *sample,
                       void (*change)(struct bed *bed))
{
    uint64_t ns = 0;

    for (uint64_t chunk = 0; chunk < bed->rounds; chunk++) {
        uint64_t begin;

        change_choose(bed);
        begin = bench_now_ns();
        change(bed);
        ns += bench_now_ns() - begin;
        memcpy(bed->numbers, bed->values, sizeof(bed->values));
    }
    change_check(bed);
    sample->seconds = (double)ns * 1e-9;
    sample->operations = bed->rounds * CHUNK;
}

/* The first look of change_check finds none of its keys: then its slots are all 0. */
static uint64_t pawl_sum_some(struct bed *bed)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNK; i++) {
        uint32_t slot = 0, generation;

        if (index_find(&bed->index, &bed->keys[i], sizeof(bed->keys[i]), &slot, &generation))
            sum += slot | (uint64_t)generation << 32;
    }
    return sum;
}

static void *pawl_change_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bed *bed = pawl_bed(row);

    (void)contender;
    bed->records = memory(bed->count * sizeof(*bed->records));
    for (uint64_t number = 1; number <= bed->count; number++) {
        bed->records[number - 1] = pawl_put(bed, key_of(number), number);
        if (number % WORK_EVERY == 0)
            index_turn(bed);
    }
    numbers_create(bed);
    bed->sum = pawl_sum_some;
    return bed;
}

static void pawl_change(struct bed *bed)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        index_remove(&bed->index, bed->records[i]);
        bed->records[i] = pawl_put(bed, bed->after[i], bed->values[i]);
        if (i % WORK_EVERY == 0)
            index_turn(bed);
    }
}

static void pawl_change_run(void *state, struct bench_sample *sample)
{
    struct bed *bed = state;

    change_run(bed, sample, pawl_change);
    if (index_keys(&bed->index) != bed->count)
        bench_fail("index: the number of keys has changed");
    bench_count(sample, "bytes_key", (double)index_bytes(&bed->index) / (double)bed->count);
}

/* Takes out without tombstones: what came after moves back. */
static void bare_take(struct bed *bed, uint64_t key)
{
    uint64_t hole = bare_find(bed, key);

    for (uint64_t at = (hole + 1) & bed->mask; bed->cells[at].key != 0; at = (at + 1) & bed->mask)
        if (((at - bare_home(bed, bed->cells[at].key)) & bed->mask) >= ((at - hole) & bed->mask)) {
            bed->cells[hole] = bed->cells[at];
            hole = at;
        }
    bed->cells[hole] = (struct bare_cell){0, 0};
}

static void bare_change(struct bed *bed)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        bare_take(bed, bed->keys[i]);
        bed->cells[bare_find(bed, bed->after[i])] =
            (struct bare_cell){bed->after[i], bed->values[i]};
    }
}

static void *bare_change_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bed *bed = bare_bed(row);

    (void)contender;
    numbers_create(bed);
    bed->sum = bare_sum;
    return bed;
}

static void bare_change_run(void *state, struct bench_sample *sample)
{
    change_run(state, sample, bare_change);
}

static void peer_change(struct bed *bed)
{
    bed->peer->swap(bed->table, bed->keys, bed->after, bed->values, CHUNK);
}

static void *peer_change_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bed *bed = peer_open(row, contender);

    numbers_create(bed);
    return bed;
}

static void peer_change_run(void *state, struct bench_sample *sample)
{
    change_run(state, sample, peer_change);
}

/* ---- Rows ---- */

#define LFHT_SEMANTICS                                                                             \
    "liburcu's hash table, flavour memb: lock-free for readers and writers, entries from malloc "
#define CK_SEMANTICS                                                                               \
    "Concurrency Kit's table, direct mode: one writer beside readers, half full at most"
#define TBB_SEMANTICS   "oneTBB's concurrent_hash_map: many writers, each element locked when read"
#define MUTEX_SEMANTICS "open addressing under a mutex, taken for each operation"

static const struct bench_contender find_contenders[] = {
    {.name = "pawl",
     .semantics =
         "128 keys of any length a call, in a read section; one writer may change and grow "
         "the index meanwhile; 16 bytes a cell, 24 to 59 a key with its record",
     .open = pawl_open,
     .run = find_run,
     .close = pawl_close},
    {.name = "pawl-single",
     .semantics = "the same, one key a call and read section",
     .open = pawl_open,
     .run = find_run,
     .close = pawl_close},
    {.name = "limit",
     .semantics = "a bare array of 8-byte keys and words, as large and as full; nobody may write; "
                  "fetched 32 keys ahead",
     .open = bare_open,
     .run = find_run,
     .close = bare_close},
    {.name = "limit-single",
     .semantics = "the same, nothing fetched ahead",
     .open = bare_open,
     .run = find_run,
     .close = bare_close},
    {.name = "lfht",
     .semantics = LFHT_SEMANTICS "(48 bytes and a bucket of 16); 128 keys a read section",
     .absent = URCU_ABSENT,
     .open = peer_open,
     .run = find_run,
     .close = peer_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "ck_ht",
     .semantics = CK_SEMANTICS "; readers need no section while nothing is taken out",
     .absent = CK_ABSENT,
     .open = peer_open,
     .run = find_run,
     .close = peer_close,
     .detail = IF_CK(&peer_ck_ht)},
    {.name = "tbb",
     .semantics = TBB_SEMANTICS,
     .absent = TBB_ABSENT,
     .open = peer_open,
     .run = find_run,
     .close = peer_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS,
     .open = peer_open,
     .run = find_run,
     .close = peer_close,
     .detail = &peer_mutex_table},
};

static const struct bench_contender change_contenders[] = {
    {.name = "pawl",
     .semantics = "by record, as a task's end does it; readers may look meanwhile; includes the "
                  "clearing of tombstones and the reclaiming of old arrays",
     .open = pawl_change_open,
     .run = pawl_change_run,
     .close = pawl_close},
    {.name = "limit",
     .semantics = "a bare array of 8-byte keys and words, as large and as full; nobody may read",
     .open = bare_change_open,
     .run = bare_change_run,
     .close = bare_close},
    {.name = "lfht",
     .semantics = LFHT_SEMANTICS "and freed by call_rcu, whose thread on another core is not "
                                 "counted; one read section an operation",
     .absent = URCU_ABSENT,
     .open = peer_change_open,
     .run = peer_change_run,
     .close = peer_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "ck_ht",
     .semantics = CK_SEMANTICS,
     .absent = CK_ABSENT,
     .open = peer_change_open,
     .run = peer_change_run,
     .close = peer_close,
     .detail = IF_CK(&peer_ck_ht)},
    {.name = "tbb",
     .semantics = TBB_SEMANTICS,
     .absent = TBB_ABSENT,
     .open = peer_change_open,
     .run = peer_change_run,
     .close = peer_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS ", so twice",
     .open = peer_change_open,
     .run = peer_change_run,
     .close = peer_close,
     .detail = &peer_mutex_table},
};

static void add_find(const char *name, const char *title, uint64_t keys, double goal,
                     unsigned flags)
{
    const struct bench_row row = {
        .name = name,
        .title = title,
        .group = "index-find",
        .unit = "look-up",
        .metric = "rate",
        .size = keys,
        .flags = flags,
        .goal = {.value = goal},
        .contenders = find_contenders,
        .contender_count = ARRAY_LEN(find_contenders),
    };

    bench_add(&row);
}

void bench_index_rows(void)
{
    const struct bench_row change = {
        .name = "index-put-remove-1M",
        .title = "A random key of 1 M taken out, a new one put in",
        .unit = "key out and in",
        .metric = "ns",
        .size = 1000000,
        .flags = BENCH_LESS_IS_BETTER,
        .contenders = change_contenders,
        .contender_count = ARRAY_LEN(change_contenders),
    };

    add_find("index-find-1M", "Random 8-byte keys found among 1 M", 1000000, 60e6, 0);
    add_find("index-find-50M", "Random 8-byte keys found among 50 M", 50000000, 22e6,
             BENCH_FULL_ONLY);
    bench_add(&change);
}
