/* What index.h promises to its owner; readers on other threads are stress_index's matter. */
#include "task/index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/index_keys.h"
#include "support/test.h"

struct bed {
    struct reclaim reclaim;
    struct index index;
};

static void bed_open(struct bed *bed, uint64_t seed, uint64_t keys_max)
{
    reclaim_init(&bed->reclaim);
    const int error = index_init(&bed->index, &bed->reclaim, seed, keys_max, false);

    cr_assert_eq(error, 0);
}

static void bed_close(struct bed *bed)
{
    reclaim_synchronize(&bed->reclaim);
    index_fini(&bed->index);
    cr_assert_eq(load_relaxed(&bed->index.pages.reserved), 0u);
}

static void settle(struct bed *bed)
{
    bool more = true;

    for (unsigned idle = 0; more || idle < 4; idle = more ? 0 : idle + 1) {
        more = index_work(&bed->index, 1 << 16);
        reclaim_synchronize(&bed->reclaim);
    }
}

static uint32_t insert(struct bed *bed, const void *key, size_t length, uint32_t slot,
                       uint32_t generation)
{
    uint32_t record = 0;
    const int error = index_insert(&bed->index, key, length, slot, generation, &record, NULL, NULL);

    cr_assert_eq(error, 0);
    cr_assert(record != 0);
    return record;
}

static bool finds(struct bed *bed, const void *key, size_t length, uint32_t slot,
                  uint32_t generation)
{
    uint32_t has_slot = 0, has_generation = 0;

    return index_find(&bed->index, key, length, &has_slot, &has_generation) && has_slot == slot &&
           has_generation == generation;
}

static bool knows(struct bed *bed, const void *key, size_t length)
{
    uint32_t slot, generation;

    return index_find(&bed->index, key, length, &slot, &generation);
}

/* The nth test key: lengths go through all there are, no two are equal. */
static size_t key_make(uint64_t n, unsigned char key[KEY_SIZE_MAX])
{
    return key_fill(n, 4 + n % (KEY_SIZE_MAX - 3), key);
}

Test(index, binds_and_unbinds_keys_of_every_length)
{
    struct bed bed;
    unsigned char key[KEY_SIZE_MAX];
    uint32_t records[KEY_SIZE_MAX + 1];

    bed_open(&bed, 1, 1000);
    memset(key, 'x', sizeof key);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++) {
        cr_assert(!knows(&bed, key, length));
        records[length] = insert(&bed, key, length, length * 3, length);
    }
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++) {
        unsigned char back[KEY_SIZE_MAX];

        cr_assert(finds(&bed, key, length, length * 3, length));
        cr_assert_eq(index_key(&bed.index, records[length], back), length);
        cr_assert(memcmp(back, key, length) == 0);
    }
    cr_assert(index_validate(&bed.index));
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++) {
        unsigned char back[KEY_SIZE_MAX];

        index_remove(&bed.index, records[length]);
        cr_assert(!knows(&bed, key, length));
        cr_assert_eq(index_key(&bed.index, records[length], back), 0u);
        cr_assert(length == KEY_SIZE_MAX ||
                  finds(&bed, key, length + 1, length * 3 + 3, length + 1));
    }
    cr_assert_eq(index_keys(&bed.index), 0u);
    bed_close(&bed);
}

Test(index, tells_zero_padding_from_zero_bytes)
{
    struct bed bed;
    const unsigned char zeroes[KEY_SIZE_MAX] = {0};

    bed_open(&bed, 2, 1000);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++)
        insert(&bed, zeroes, length, length, 0);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++)
        cr_assert(finds(&bed, zeroes, length, length, 0), "length %u", length);
    cr_assert(index_validate(&bed.index));
    bed_close(&bed);
}

Test(index, holds_every_slot_and_generation)
{
    struct bed bed;
    const uint32_t slots[] = {0, 1, UINT32_MAX, 1u << 31, 77};
    const uint32_t generations[] = {0, GENERATION_MAX, 1, 1u << 21, 5};

    bed_open(&bed, 3, 1000);
    for (unsigned char at = 0; at < 5; at++) {
        insert(&bed, &at, 1, slots[at], generations[at]);
        cr_assert(finds(&bed, &at, 1, slots[at], generations[at]));
    }
    bed_close(&bed);
}

Test(index, refuses_a_key_twice_and_says_whose_it_is)
{
    struct bed bed;
    uint32_t record = 0, slot = 0, generation = 0;
    const char *keys[] = {"short", "a key of more than eight bytes"};

    bed_open(&bed, 4, 1000);
    for (unsigned at = 0; at < 2; at++) {
        const size_t length = strlen(keys[at]);

        insert(&bed, keys[at], length, 10 + at, 20 + at);
        cr_assert_eq(index_insert(&bed.index, keys[at], length, 1, 1, &record, &slot, &generation),
                     -EEXIST);
        cr_assert_eq(slot, 10 + at);
        cr_assert_eq(generation, 20 + at);
        cr_assert_eq(index_insert(&bed.index, keys[at], length, 1, 1, &record, NULL, NULL),
                     -EEXIST);
        cr_assert(finds(&bed, keys[at], length, 10 + at, 20 + at));
    }
    cr_assert_eq(index_keys(&bed.index), 2u);
    bed_close(&bed);
}

Test(index, refuses_what_is_out_of_range)
{
    struct bed bed;
    struct index other;
    char key[KEY_SIZE_MAX + 1] = {0};
    uint32_t record;

    bed_open(&bed, 5, 3);
    cr_assert_eq(index_init(&other, &bed.reclaim, 0, 0, false), -EINVAL);
    cr_assert_eq(index_init(&other, &bed.reclaim, 0, (uint64_t)INDEX_KEYS_MAX + 1, false), -EINVAL);
    cr_assert_eq(index_insert(&bed.index, key, 0, 1, 1, &record, NULL, NULL), -EINVAL);
    cr_assert_eq(index_insert(&bed.index, key, sizeof key, 1, 1, &record, NULL, NULL), -EINVAL);
    cr_assert_eq(index_insert(&bed.index, key, 1, 1, GENERATION_MAX + 1, &record, NULL, NULL),
                 -EINVAL);
    cr_assert(!knows(&bed, key, 0) && !knows(&bed, key, sizeof key));
    for (char at = 0; at < 3; at++)
        insert(&bed, &at, 1, 1, 1);
    cr_assert_eq(index_insert(&bed.index, "full", 4, 1, 1, &record, NULL, NULL), -ENOSPC);
    bed_close(&bed);
}

Test(index, keys_with_one_hash_are_kept_apart)
{
    /* With the seed known, a first word that makes a factor zero collides whatever follows. */
    const uint64_t seed = 6, first = index_first(seed);
    struct bed bed;
    unsigned char key[16];
    uint32_t records[2000];
    uint64_t same = 0;

    bed_open(&bed, seed, 10000);
    memcpy(key, &first, 8);
    for (uint32_t n = 0; n < 2000; n++) {
        const uint64_t tail = mix64(n);

        memcpy(key + 8, &tail, 8);
        same = n == 0 ? index_hash(seed, key, 16) : same;
        cr_assert_eq(index_hash(seed, key, 16), same);
        records[n] = insert(&bed, key, 16, n, n);
        if (n % 3 == 2)
            index_remove(&bed.index, records[n - 1]);
    }
    cr_assert(index_validate(&bed.index));
    for (uint32_t n = 0; n < 2000; n++) {
        const uint64_t tail = mix64(n);
        const bool removed = n % 3 == 1 && n < 1999;

        memcpy(key + 8, &tail, 8);
        cr_assert(removed ? !knows(&bed, key, 16) : finds(&bed, key, 16, n, n));
    }
    bed_close(&bed);
}

Test(index, grows_and_shrinks_and_gives_memory_back)
{
    const uint32_t count = 100000;
    struct bed bed;
    unsigned char key[KEY_SIZE_MAX];
    uint32_t *records = malloc(count * sizeof *records);

    bed_open(&bed, 7, count);
    const uint64_t bytes_empty = load_relaxed(&bed.index.pages.reserved);

    for (uint32_t n = 0; n < count; n++) {
        records[n] = insert(&bed, key, key_make(n, key), n, n % 1000);
        if (n % 20000 == 0) {
            index_work(&bed.index, 100);
            cr_assert(index_validate(&bed.index), "at %u", n);
        }
    }
    settle(&bed);
    cr_assert(index_validate(&bed.index));
    const uint64_t bytes_full = load_relaxed(&bed.index.pages.reserved);

    cr_assert(bytes_full >= count * 16u && bytes_full <= count * 16u * 4);
    for (uint32_t n = 0; n < count; n++)
        cr_assert(finds(&bed, key, key_make(n, key), n, n % 1000));
    for (uint32_t n = 0; n < count; n++) {
        index_remove(&bed.index, records[n]);
        if (n % 64 == 0)
            index_work(&bed.index, 256);
        if (n % 30000 == 0)
            cr_assert(index_validate(&bed.index), "at %u", n);
        cr_assert(!knows(&bed, key, key_make(n, key)));
        if (n + 1 < count)
            cr_assert(knows(&bed, key, key_make(n + 1, key)));
    }
    settle(&bed);
    cr_assert_eq(load_relaxed(&bed.index.pages.reserved), bytes_empty);
    cr_assert(index_validate(&bed.index));
    free(records);
    bed_close(&bed);
}

Test(index, churn_does_not_make_it_grow)
{
    enum { HELD = 1000 };
    struct bed bed;
    unsigned char key[KEY_SIZE_MAX];
    uint32_t records[HELD];

    bed_open(&bed, 8, HELD);
    for (uint32_t n = 0; n < HELD; n++)
        records[n] = insert(&bed, key, key_make(n, key), n, 0);
    for (uint32_t n = HELD; n < 100 * HELD; n++) {
        index_remove(&bed.index, records[n % HELD]);
        records[n % HELD] = insert(&bed, key, key_make(n, key), n, 0);
        if (n % 1000 == 0) {
            reclaim_synchronize(&bed.reclaim);
            while (index_work(&bed.index, 64))
                ;
        }
    }
    cr_assert(index_validate(&bed.index));
    for (uint32_t n = 99 * HELD; n < 100 * HELD; n++)
        cr_assert(finds(&bed, key, key_make(n, key), n, 0));
    settle(&bed);
    cr_assert(load_relaxed(&bed.index.pages.reserved) <= 4096 * 16 + 2 * PAGE_BYTES);
    bed_close(&bed);
}

static void free_nothing(void *owner, void *what, size_t size)
{
    (void)owner, (void)what, (void)size;
}

Test(index, a_full_reclaim_queue_holds_nothing_up)
{
    struct bed bed;
    unsigned char key[KEY_SIZE_MAX];

    bed_open(&bed, 10, 30000);
    while (reclaim_retire(&bed.reclaim, free_nothing, NULL, NULL, 0))
        ;
    for (uint32_t n = 0; n < 30000; n++) /* several arrays are left behind */
        insert(&bed, key, key_make(n, key), n, 0);
    cr_assert(bed.index.unlinked != NULL && bed.index.unlinked->next != NULL);
    cr_assert(index_validate(&bed.index));
    settle(&bed);
    cr_assert(bed.index.unlinked == NULL && bed.index.dying == NULL);
    cr_assert(load_relaxed(&bed.index.pages.reserved) <= 65536 * 16 + PAGE_BYTES);
    bed_close(&bed);
}

Test(index, an_allocation_that_fails_leaves_it_whole)
{
    /* Whichever reservation fails, in init or later, nothing is lost and it goes on afterwards. */
    for (uint32_t nth = 1; nth < 16; nth++) {
        struct bed bed;
        unsigned char key[KEY_SIZE_MAX];
        uint32_t record, failures = 0;

        reclaim_init(&bed.reclaim);
        pawl__pages_fail_nth(nth);
        if (index_init(&bed.index, &bed.reclaim, nth, 6000, false) != 0) {
            cr_assert(nth <= 3, "reservation %u", nth);
            pawl__pages_fail_nth(0);
            continue;
        }
        for (uint32_t n = 0; n < 6000; n++) {
            const int error =
                index_insert(&bed.index, key, key_make(n, key), n, 0, &record, NULL, NULL);

            if (error != 0) {
                cr_assert_eq(error, -ENOMEM);
                cr_assert(!knows(&bed, key, key_make(n, key)));
                cr_assert(index_validate(&bed.index));
                failures++;
                n--;
            }
        }
        pawl__pages_fail_nth(0);
        cr_assert(failures <= 1);
        cr_assert_eq(index_keys(&bed.index), 6000u);
        cr_assert(index_validate(&bed.index));
        for (uint32_t n = 0; n < 6000; n++)
            cr_assert(finds(&bed, key, key_make(n, key), n, 0));
        bed_close(&bed);
    }
}

Test(index, without_memory_to_grow_it_fills_to_its_hard_limit)
{
    struct bed bed;
    unsigned char key[KEY_SIZE_MAX];
    uint32_t record, n = 0;
    int error = 0;

    bed_open(&bed, 11, 1000);
    for (; n < 20; n++) /* both slabs get their segments */
        insert(&bed, key, key_make(n, key), n, 0);
    for (; error == 0; n += error == 0) {
        pawl__pages_fail_nth(1);
        error = index_insert(&bed.index, key, key_make(n, key), n, 0, &record, NULL, NULL);
    }
    pawl__pages_fail_nth(0);
    cr_assert_eq(error, -ENOMEM);
    cr_assert_eq(n, 56u, "7/8 of 64 cells");
    cr_assert(index_validate(&bed.index));
    for (; n < 500; n++)
        insert(&bed, key, key_make(n, key), n, 0);
    for (n = 0; n < 500; n++)
        cr_assert(finds(&bed, key, key_make(n, key), n, 0));
    bed_close(&bed);
}

/* Against a model: a flat array of what is bound to each of KEYS keys. */
#define KEYS 3000u

struct model {
    uint32_t record[KEYS]; /* 0: not bound */
    uint32_t slot[KEYS];
    uint32_t count;
};

static void model_step(struct bed *bed, struct model *model, struct random *random, bool fill)
{
    const uint32_t n = (uint32_t)random_below(random, KEYS);
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make(n, key);
    const bool add = random_below(random, 16) < (fill ? 12 : 4);

    if (add && model->record[n] == 0) {
        model->slot[n] = (uint32_t)random_next(random);
        model->record[n] = insert(bed, key, length, model->slot[n], n % GENERATION_MAX);
        model->count++;
    } else if (add) {
        uint32_t record, slot, generation;

        cr_assert_eq(index_insert(&bed->index, key, length, 1, 1, &record, &slot, &generation),
                     -EEXIST);
        cr_assert_eq(slot, model->slot[n]);
    } else if (model->record[n] != 0) {
        index_remove(&bed->index, model->record[n]);
        model->record[n] = 0;
        model->count--;
    } else {
        cr_assert(!knows(bed, key, length));
    }
    if (random_below(random, 8) == 0)
        index_work(&bed->index, 8);
    if (random_below(random, 64) == 0)
        reclaim_synchronize(&bed->reclaim);
}

Test(index, agrees_with_a_model)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        static struct model model;
        struct bed bed;
        struct random random = {seed};

        memset(&model, 0, sizeof model);
        bed_open(&bed, seed, KEYS);
        for (unsigned round = 0; round < 24; round++) {
            for (unsigned step = 0; step < 1500; step++)
                model_step(&bed, &model, &random, round % 8 < 4);
            cr_assert_eq(index_keys(&bed.index), model.count);
            cr_assert(index_validate(&bed.index), "seed %llu", (unsigned long long)seed);
            for (uint32_t n = 0; n < KEYS; n++) {
                unsigned char key[KEY_SIZE_MAX], back[KEY_SIZE_MAX];
                const size_t length = key_make(n, key);

                if (model.record[n] == 0) {
                    cr_assert(!knows(&bed, key, length));
                    continue;
                }
                cr_assert(finds(&bed, key, length, model.slot[n], n % GENERATION_MAX));
                cr_assert_eq(index_key(&bed.index, model.record[n], back), length);
                cr_assert(memcmp(key, back, length) == 0);
            }
        }
        bed_close(&bed);
    }
}

Test(index, the_hash_spreads_plain_sequences)
{
    /* 64 K counting keys into 4 K homes, by the highest and by the lowest bits: 16 each, and
     * never twice the 30 that chance would rarely exceed. */
    static uint16_t high[4096], low[4096];

    for (size_t length = 4; length <= KEY_SIZE_MAX; length += 5) {
        memset(high, 0, sizeof high);
        memset(low, 0, sizeof low);
        for (uint32_t n = 0; n < 65536; n++) {
            unsigned char key[KEY_SIZE_MAX] = {0};

            memcpy(key + length - 4, &n, 4);
            const uint64_t hash = index_hash(12, key, length);

            high[hash >> 52]++;
            low[index_home(hash, 4096)]++;
        }
        for (unsigned at = 0; at < 4096; at++)
            cr_assert(high[at] <= 60 && low[at] <= 60, "length %zu", length);
    }
}

Test(index, the_seed_decides_the_placement)
{
    cr_assert(index_hash(1, "key", 3) != index_hash(2, "key", 3));
    cr_assert(index_hash(1, "a longer key", 12) != index_hash(2, "a longer key", 12));
    cr_assert_eq(index_hash(1, "key", 3), index_hash(1, "key", 3));
    cr_assert_eq(index_home(UINT64_MAX, 7), 6u);
    cr_assert_eq(index_home(0, 7), 0u);
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

Test(index, restored_keys_are_found_and_work_like_any_others)
{
    enum { RESTORED = 5000 };
    static uint32_t records[RESTORED];
    unsigned char key[KEY_SIZE_MAX];
    size_t length, failed;
    struct bed bed;

    bed_open(&bed, 5, 100000);
    for (uint32_t i = 0; i < RESTORED; i++) {
        length = key_make(i, key);
        records[i] = index_restore_record(&bed.index, key, length, i + 1, 3);
        cr_assert(records[i] != 0);
        cr_assert(!knows(&bed, key, length), "before it is bound");
    }
    cr_assert_eq(index_restore_begin(&bed.index, RESTORED), 0);
    cr_assert_eq(index_restore_bind(&bed.index, records, RESTORED / 2, &failed), 0);
    cr_assert_eq(
        index_restore_bind(&bed.index, records + RESTORED / 2, RESTORED - RESTORED / 2, &failed),
        0);
    cr_assert(load_relaxed(&load_relaxed(&bed.index.table)->old) == NULL, "no growth was needed");
    cr_assert_eq(index_keys(&bed.index), (uint64_t)RESTORED);
    cr_assert(index_validate(&bed.index));
    for (uint32_t i = 0; i < RESTORED; i++) {
        length = key_make(i, key);
        cr_assert(finds(&bed, key, length, i + 1, 3));
        if (i % 2 == 0)
            index_remove(&bed.index, records[i]);
        else
            cr_assert_eq(
                index_insert(&bed.index, key, length, RESTORED + i, 3, records, NULL, NULL),
                -EEXIST);
    }
    settle(&bed);
    cr_assert(index_validate(&bed.index));
    bed_close(&bed);
}

Test(index, restoring_finds_two_with_one_key)
{
    uint32_t records[40];
    size_t failed = 0;
    struct bed bed;

    bed_open(&bed, 5, 100);
    for (uint32_t i = 0; i < 40; i++) {
        char key[32];

        /* Short and long ones; number 37 is like number 3. */
        snprintf(key, sizeof(key), "%s%u", i % 2 != 0 ? "a rather long key " : "", i == 37 ? 3 : i);
        records[i] = index_restore_record(&bed.index, key, strlen(key), i + 1, 1);
    }
    cr_assert_eq(index_restore_begin(&bed.index, 40), 0);
    cr_assert_eq(index_restore_bind(&bed.index, records, 40, &failed), -EEXIST);
    cr_assert_eq(failed, 37u);
    for (uint32_t i = 37; i < 40; i++)
        index_restore_forget(&bed.index, records[i]);
    cr_assert(index_validate(&bed.index));
    cr_assert_eq(index_keys(&bed.index), 37u);
    bed_close(&bed);
}

Test(index, restoring_refuses_what_inserting_refuses)
{
    struct bed bed;

    bed_open(&bed, 5, 2);
    cr_assert_eq(index_restore_record(&bed.index, "k", 0, 1, 1), 0u);
    cr_assert_eq(index_restore_record(&bed.index, "k", KEY_SIZE_MAX + 1, 1, 1), 0u);
    cr_assert_eq(index_restore_record(&bed.index, "k", 1, 1, GENERATION_MAX + 1), 0u);
    cr_assert(index_restore_record(&bed.index, "k", 1, 1, 1) != 0);
    cr_assert(index_restore_record(&bed.index, "l", 1, 2, 1) != 0);
    cr_assert_eq(index_restore_record(&bed.index, "m", 1, 3, 1), 0u, "keys_max");
    cr_assert_eq(index_restore_begin(&bed.index, 3), -ENOSPC);
    bed_close(&bed);
}
