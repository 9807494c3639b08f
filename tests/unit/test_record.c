/* What record.h promises: a key comes back whole or not at all, and a stamp names one use. */
#include "task/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"

static struct records records;

static void open_records(uint64_t keys_max)
{
    cr_assert_eq(pawl__records_init(&records, keys_max, false), 0);
}

static void close_records(void)
{
    cr_assert(pawl__records_validate(&records));
    pawl__records_fini(&records);
}

/* The bytes of a key as padded words; no two (seed, length) give the same. */
static void fill(uint64_t words[RECORD_KEY_WORDS], uint64_t seed, size_t length)
{
    struct random random = {seed};
    unsigned char bytes[KEY_SIZE_MAX] = {0};

    for (size_t at = 0; at < length; at++)
        bytes[at] = (unsigned char)(1 + random_next(&random) % 255); /* unlike the padding */
    memcpy(words, bytes, sizeof(bytes));
}

static uint32_t words_of(size_t length)
{
    return (uint32_t)(length + 7) / 8;
}

static uint32_t create(uint32_t slot, uint32_t generation, uint64_t seed, size_t length)
{
    uint64_t words[RECORD_KEY_WORDS];

    fill(words, seed, length);
    return pawl__record_create(&records, stamp_make(slot, generation, length), words);
}

static bool has_key(uint32_t number, uint64_t seed, size_t length)
{
    uint64_t words[RECORD_KEY_WORDS];
    unsigned char back[KEY_SIZE_MAX];

    fill(words, seed, length);
    return pawl__record_key(&records, number, back) == length && memcmp(back, words, length) == 0;
}

Test(record, a_stamp_gives_its_parts_back)
{
    const uint64_t highest = stamp_make(UINT32_MAX, GENERATION_MAX, KEY_SIZE_MAX);

    cr_assert_eq(stamp_slot(highest), UINT32_MAX);
    cr_assert_eq(stamp_generation(highest), GENERATION_MAX);
    cr_assert_eq(stamp_length(highest), (size_t)KEY_SIZE_MAX);
    cr_assert_eq(stamp_slot(stamp_make(7, 0, 1)), 7u);
    cr_assert_eq(stamp_generation(stamp_make(UINT32_MAX, 0, KEY_SIZE_MAX)), 0u);
    cr_assert_eq(stamp_length(stamp_make(UINT32_MAX, GENERATION_MAX, 1)), 1u);
    cr_assert_eq(stamp_length(UINT32_MAX), 0u, "a link of the slab is no length");
}

Test(record, a_number_gives_its_parts_back)
{
    cr_assert_eq(record_index(record_number(RECORD_LONG, RECORD_KEYS_MAX)), RECORD_KEYS_MAX);
    cr_assert_eq(record_class(record_number(RECORD_LONG, RECORD_KEYS_MAX)), RECORD_LONG);
    cr_assert_eq(record_index(record_number(RECORD_SHORT, 5)), 5u);
    cr_assert_eq(record_class(record_number(RECORD_SHORT, 5)), RECORD_SHORT);
}

Test(record, refuses_a_limit_out_of_range)
{
    cr_assert_eq(pawl__records_init(&records, 0, false), -EINVAL);
    cr_assert_eq(pawl__records_init(&records, (uint64_t)RECORD_KEYS_MAX + 1, false), -EINVAL);
}

Test(record, keys_of_all_lengths_come_back)
{
    uint32_t numbers[KEY_SIZE_MAX + 1];

    open_records(KEY_SIZE_MAX);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++) {
        numbers[length] = create(length, 3, length, length);
        cr_assert(numbers[length] != 0);
        cr_assert_eq(record_class(numbers[length]), length > 8 ? RECORD_LONG : RECORD_SHORT);
    }
    cr_assert_eq(records_live(&records), (uint64_t)KEY_SIZE_MAX);
    cr_assert(records_bytes(&records) >= 8 * 16 + (KEY_SIZE_MAX - 8) * 72);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++)
        cr_assert(has_key(numbers[length], length, length), "length %u", length);
    for (uint32_t length = 1; length <= KEY_SIZE_MAX; length++) {
        unsigned char back[KEY_SIZE_MAX];

        pawl__record_destroy(&records, numbers[length]);
        cr_assert_eq(pawl__record_key(&records, numbers[length], back), 0u, "void");
    }
    cr_assert_eq(records_live(&records), 0u);
    close_records();
}

Test(record, writes_nothing_behind_the_key)
{
    unsigned char back[KEY_SIZE_MAX];
    uint32_t number;

    open_records(4);
    number = create(1, 0, 1, 13);
    memset(back, 0xa5, sizeof(back));
    cr_assert_eq(pawl__record_key(&records, number, back), 13u);
    for (size_t at = 13; at < sizeof(back); at++)
        cr_assert_eq(back[at], 0xa5);
    close_records();
}

Test(record, holds_its_key_for_its_stamp_only)
{
    const uint64_t stamp = stamp_make(9, 4, 20);
    uint64_t words[RECORD_KEY_WORDS];
    uint32_t index;

    open_records(4);
    fill(words, 1, 20);
    index = record_index(pawl__record_create(&records, stamp, words));
    cr_assert(record_holds(&records, index, stamp, words, words_of(20)));
    cr_assert(!record_holds(&records, index, stamp_make(8, 4, 20), words, words_of(20)));
    cr_assert(!record_holds(&records, index, stamp_make(9, 5, 20), words, words_of(20)));
    cr_assert(!record_holds(&records, index, stamp_make(9, 4, 21), words, words_of(21)));
    for (uint32_t at = 0; at < words_of(20); at++) {
        words[at] ^= UINT64_C(1) << 24;
        cr_assert(!record_holds(&records, index, stamp, words, words_of(20)), "word %u", at);
        words[at] ^= UINT64_C(1) << 24;
    }
    cr_assert(record_holds(&records, index, stamp, words, words_of(20)));
    pawl__record_destroy(&records, record_number(RECORD_LONG, index));
    cr_assert(!record_holds(&records, index, stamp, words, words_of(20)), "void");
    close_records();
}

Test(record, any_number_may_be_asked_for)
{
    const uint64_t stamp = stamp_make(1, 1, 9);
    uint64_t words[RECORD_KEY_WORDS];
    unsigned char back[KEY_SIZE_MAX];
    struct random random = {5};

    open_records(100);
    fill(words, 1, 9);
    for (unsigned n = 0; n < 10000; n++) {
        const uint32_t number = (uint32_t)random_next(&random) >> n % 32;

        cr_assert_eq(pawl__record_key(&records, number, back), 0u);
        cr_assert(!record_holds(&records, number, stamp, words, words_of(9)));
        cr_assert(!record_holds(&records, number, 0, words, 0) || number <= 100);
    }
    cr_assert_eq(pawl__record_key(&records, UINT32_MAX, back), 0u);
    close_records();
}

Test(record, each_class_has_room_for_all_keys)
{
    uint32_t numbers[20];

    open_records(10);
    for (uint32_t n = 0; n < 20; n++)
        cr_assert((numbers[n] = create(n, 0, n, n < 10 ? 8 : 9)) != 0);
    cr_assert_eq(create(20, 0, 20, 8), 0u, "the limit");
    cr_assert_eq(create(20, 0, 20, 9), 0u, "the limit");
    pawl__record_destroy(&records, numbers[0]);
    pawl__record_destroy(&records, numbers[10]);
    cr_assert(create(20, 0, 20, 8) != 0);
    cr_assert(create(21, 0, 21, 9) != 0);
    cr_assert_eq(records_live(&records), 20u);
    close_records();
}

Test(record, memory_of_a_peak_is_given_back)
{
    enum { PEAK = 40000 };
    uint32_t *const numbers = malloc(PEAK * sizeof(*numbers));
    uint64_t bytes;

    open_records(PEAK);
    for (uint32_t n = 0; n < PEAK; n++)
        cr_assert((numbers[n] = create(n, 0, n, n % 2 ? 64 : 8)) != 0);
    bytes = records_bytes(&records);
    for (uint32_t n = 0; n < PEAK; n++)
        pawl__record_destroy(&records, numbers[n]);
    while (pawl__records_trim(&records))
        ;
    cr_assert(records_bytes(&records) < bytes / 4, "%llu of %llu bytes are kept",
              (unsigned long long)records_bytes(&records), (unsigned long long)bytes);
    free(numbers);
    close_records();
}

/* ---- a reader beside the owner --------------------------------------------------------------------- */

#define ROUNDS 1000000u
#define HELD   50u /* records in use at a time */

struct reader {
    _Atomic bool stop;
    uint32_t number;
    uint64_t stamp; /* of generation 0: the use that is over */
    uint64_t wrong;
    uint64_t seen;
};

/* Each use n of the record has the length 9 + n % 56 and the bytes of seed n % 7. */
static size_t use_length(uint64_t n)
{
    return 9 + n % 56;
}

/* A key of a seed is the beginning of its longest. */
static bool is_a_key(uint64_t longest[7][RECORD_KEY_WORDS], const void *bytes, size_t length)
{
    for (unsigned seed = 0; seed < 7; seed++)
        if (memcmp(bytes, longest[seed], length) == 0)
            return true;
    return false;
}

static void *read_keys(void *argument)
{
    struct reader *const reader = argument;
    uint64_t longest[7][RECORD_KEY_WORDS], first[RECORD_KEY_WORDS];

    fill(first, 0, use_length(0));
    for (unsigned seed = 0; seed < 7; seed++)
        fill(longest[seed], seed, KEY_SIZE_MAX);
    while (!load_acquire(&reader->stop)) {
        unsigned char back[KEY_SIZE_MAX];
        const size_t length = pawl__record_key(&records, reader->number, back);

        reader->seen += length != 0;
        reader->wrong += length != 0 && !is_a_key(longest, back, length);
        reader->wrong += record_holds(&records, record_index(reader->number), reader->stamp, first,
                                      words_of(use_length(0)));
    }
    return NULL;
}

Test(record, a_reader_sees_one_key_or_none)
{
    struct reader reader = {.stamp = stamp_make(1, 0, use_length(0))};
    uint32_t held[HELD] = {0};
    unsigned uses = 0;
    pthread_t thread;

    open_records(HELD);
    reader.number = create(1, 0, 0, use_length(0));
    pawl__record_destroy(&records, reader.number);
    cr_assert_eq(pthread_create(&thread, NULL, read_keys, &reader), 0);
    /* The slab goes round among few records. Every 392nd use has the key of use 0, but no use has
     * its stamp. */
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        uint32_t *const number = &held[n % HELD];

        if (*number != 0)
            pawl__record_destroy(&records, *number);
        *number = create(1, n, n % 7, use_length(n));
        uses += *number == reader.number;
    }
    store_release(&reader.stop, true);
    pthread_join(thread, NULL);
    cr_assert(uses > 0, "the record that is read has been used again");
    cr_assert_eq(reader.wrong, 0u, "of %llu keys seen", (unsigned long long)reader.seen);
    cr_assert_eq(records_live(&records), (uint64_t)HELD);
    close_records();
}
