/*
 * What readers ask of the index: many at once get the answers that they would get one by one, whatever
 * the lengths, in the middle of growth, and with the places of removed keys all around.
 */
#include "base/random.h"
#include "support/index_keys.h"
#include "support/test.h"
#include "task/index.h"

enum { KEYS = 5000, ASKED = 777 };

static struct reclaim reclaim;
static struct index found_in;
static uint32_t records[2 * KEYS];
static unsigned char keys[ASKED][KEY_SIZE_MAX];
static struct index_query queries[ASKED];

/* The nth test key: lengths go through all there are, no two are equal. */
static size_t key_make(uint64_t n, unsigned char key[KEY_SIZE_MAX])
{
    return key_fill(n, n % 3 == 0 ? 8 : 4 + n % (KEY_SIZE_MAX - 3), key);
}

static void put(uint64_t n)
{
    unsigned char key[KEY_SIZE_MAX];
    const size_t length = key_make(n, key);

    cr_assert_eq(index_insert(&found_in, key, length, (uint32_t)n, 3, &records[n], NULL, NULL), 0);
}

static void open_index(uint64_t keys_max)
{
    reclaim_init(&reclaim);
    cr_assert_eq(index_init(&found_in, &reclaim, 9, keys_max, false), 0);
}

static void close_index(void)
{
    reclaim_synchronize(&reclaim);
    index_fini(&found_in);
}

/* Asks for the keys first, first + step ...; `there` says which must be found. */
static void ask(uint64_t first, uint64_t step, size_t asked, bool (*there)(uint64_t n))
{
    size_t expected = 0;

    for (size_t i = 0; i < asked; i++) {
        queries[i] = (struct index_query){.key = keys[i]};
        queries[i].length = key_make(first + i * step, keys[i]);
        expected += there(first + i * step);
    }
    cr_assert_eq(index_find_many(&found_in, queries, asked), expected);
    for (size_t i = 0; i < asked; i++) {
        const uint64_t n = first + i * step;
        uint32_t slot = 0, generation = 0;

        cr_assert_eq(queries[i].found, there(n), "key %llu", (unsigned long long)n);
        cr_assert_eq(index_find(&found_in, keys[i], queries[i].length, &slot, &generation),
                     there(n));
        if (there(n))
            cr_assert(slot == n && generation == 3 && queries[i].slot == n &&
                      queries[i].generation == 3);
    }
}

static bool is_even(uint64_t n)
{
    return n % 2 == 0;
}

Test(index_find, many_are_found_as_one_is)
{
    open_index(KEYS);
    for (uint64_t n = 0; n < KEYS; n++)
        put(2 * n);
    for (size_t asked = 0; asked <= ASKED; asked += asked < 70 ? 1 : 101)
        ask(asked, 5, asked, is_even);
    close_index();
}

Test(index_find, lengths_out_of_range_are_not_found)
{
    uint32_t slot, generation;

    open_index(KEYS);
    put(6);
    for (size_t i = 0; i < 3; i++) {
        queries[i] = (struct index_query){.key = keys[i], .found = true};
        queries[i].length = key_make(6, keys[i]);
    }
    queries[0].length = 0;
    queries[2].length = KEY_SIZE_MAX + 1;
    cr_assert_eq(index_find_many(&found_in, queries, 3), 1);
    cr_assert(!queries[0].found && queries[1].found && !queries[2].found);
    cr_assert(!index_find(&found_in, keys[0], 0, &slot, &generation));
    cr_assert(!index_find(&found_in, keys[0], KEY_SIZE_MAX + 1, &slot, &generation));
    close_index();
}

/* Each insert copies a part of the old array: at some of these questions half of it is copied. */
Test(index_find, many_are_found_while_it_grows)
{
    static uint64_t there_below;

    open_index(2 * KEYS);
    for (there_below = 0; there_below < 2 * KEYS; there_below += 2) {
        put(there_below);
        if (there_below % 62 == 0)
            for (uint64_t n = 0; n < ASKED; n++)
                queries[n].found = false;
        if (there_below % 62 == 0 && there_below > ASKED)
            ask(there_below - ASKED + 1 - ASKED % 2, 1, ASKED - 2, is_even);
    }
    close_index();
}

static bool is_left(uint64_t n)
{
    return n % 2 == 0 && n % 6 != 0;
}

Test(index_find, places_of_removed_keys_hide_nobody)
{
    open_index(KEYS);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t n = 0; n < 2 * KEYS; n += 2)
            if (round == 0 || !is_left(n))
                put(n);
        ask(1, 11, ASKED, is_even);
        for (uint64_t n = 0; n < 2 * KEYS; n += 6)
            index_remove(&found_in, records[n]);
        ask(1, 11, ASKED, is_left);
        cr_assert(index_validate(&found_in));
    }
    close_index();
}
