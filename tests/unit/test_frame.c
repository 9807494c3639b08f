/*
 * test_frame.c - headers of files and frames: what is sealed passes, and each rule is one that can
 * fail.
 */
#include "store/frame.h"

#include <string.h>

#include "support/store_build.h"
#include "support/test.h"

#define PLACE UINT64_C(8192)

static struct file_header file;
static struct frame_header frame;
static uint8_t payload[2048];

static void make_file(void)
{
    memset(&file, 0, sizeof(file));
    file.kind = FILE_JOURNAL;
    file.store = BUILD_STORE;
    file.set = 3;
    file.shard = 5;
    file.epoch = 7;
    file.file = UINT64_C(0x100000002);
    file.first_lsn = 11;
    pawl__file_header_seal(&file);
}

static void make_frame(void)
{
    make_file();
    memset(&frame, 0, sizeof(frame));
    memset(payload, 0x77, sizeof(payload));
    pawl__frame_fill(&frame, &file, PLACE);
    frame.type = FRAME_STEPS;
    frame.flags = FRAME_MORE;
    frame.size = sizeof(payload);
    frame.lsn = 11;
    pawl__frame_seal(&frame, payload);
}

static struct store_file name_of_file(void)
{
    return (struct store_file){.set = 3, .shard = 5, .file = file.file, .kind = FILE_JOURNAL};
}

Test(frame, a_sealed_file_header_passes)
{
    struct store_file name;

    make_file();
    name = name_of_file();
    cr_assert(pawl__file_header_check(&file, NULL, 0) == NULL);
    cr_assert(pawl__file_header_check(&file, &name, BUILD_STORE) == NULL);
}

Test(frame, every_flipped_bit_of_a_file_header_is_found)
{
    make_file();
    for (size_t bit = 0; bit < 8 * sizeof(file); bit++) {
        ((uint8_t *)&file)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(pawl__file_header_check(&file, NULL, 0) != NULL, "bit %zu", bit);
        ((uint8_t *)&file)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(frame, a_file_under_another_name_or_of_another_store_is_refused)
{
    struct store_file name;

    make_file();
    cr_assert(pawl__file_header_check(&file, NULL, BUILD_STORE + 1) != NULL);
    name = name_of_file();
    name.set++;
    cr_assert(pawl__file_header_check(&file, &name, 0) != NULL);
    name = name_of_file();
    name.shard++;
    cr_assert(pawl__file_header_check(&file, &name, 0) != NULL);
    name = name_of_file();
    name.file++;
    cr_assert(pawl__file_header_check(&file, &name, 0) != NULL);
    name = name_of_file();
    name.kind = FILE_SNAPSHOT;
    cr_assert(pawl__file_header_check(&file, &name, 0) != NULL);
}

/* The field is changed and the header sealed again: only its value can be what is wrong. */
#define CHECK_FILE_FIELD(field, value)                                                             \
    do {                                                                                           \
        make_file();                                                                               \
        file.field = (value);                                                                      \
        pawl__file_header_seal(&file);                                                             \
        cr_assert(pawl__file_header_check(&file, NULL, 0) != NULL, #field);                        \
    } while (0)

Test(frame, a_whole_file_header_with_impossible_values_is_refused)
{
    CHECK_FILE_FIELD(kind, 0);
    CHECK_FILE_FIELD(kind, 3);
    CHECK_FILE_FIELD(first_lsn, 0);
    CHECK_FILE_FIELD(kind, FILE_SNAPSHOT); /* whose first LSN is 1 */
    CHECK_FILE_FIELD(epoch, UINT64_C(1) << 32);
    CHECK_FILE_FIELD(set, 0x10000);
    CHECK_FILE_FIELD(shard, SHARDS_MAX);
}

Test(frame, another_format_version_is_said_to_be_that)
{
    make_file();
    file.version = FORMAT_VERSION + 1;
    cr_assert(strstr(pawl__file_header_check(&file, NULL, 0), "version") != NULL);
    make_frame();
    frame.version = FORMAT_VERSION + 1;
    cr_assert(strstr(pawl__frame_check(&frame, &file, PLACE), "version") != NULL);
}

Test(frame, a_sealed_frame_passes_and_keeps_its_flag)
{
    make_frame();
    cr_assert(pawl__frame_check(&frame, &file, PLACE) == NULL);
    cr_assert(pawl__frame_is_whole(&frame));
    cr_assert(pawl__frame_check_payload(&frame, payload) == NULL);
    cr_assert((frame.flags & FRAME_MORE) != 0);
    cr_assert_eq(frame_bytes(&frame), sizeof(frame) + sizeof(payload));
}

Test(frame, every_flipped_bit_of_a_frame_is_found)
{
    make_frame();
    for (size_t bit = 0; bit < 8 * sizeof(frame); bit++) {
        ((uint8_t *)&frame)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(pawl__frame_check(&frame, &file, PLACE) != NULL, "bit %zu", bit);
        cr_assert(!pawl__frame_is_whole(&frame), "bit %zu", bit);
        ((uint8_t *)&frame)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(payload); bit++) {
        payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(pawl__frame_check_payload(&frame, payload) != NULL, "bit %zu", bit);
        payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

#define CHECK_FRAME_FIELD(field, value)                                                            \
    do {                                                                                           \
        make_frame();                                                                              \
        frame.field = (value);                                                                     \
        if (frame.size <= sizeof(payload))                                                         \
            pawl__frame_seal(&frame, payload);                                                     \
        cr_assert(pawl__frame_check(&frame, &file, PLACE) != NULL, #field);                        \
        cr_assert(frame.size > sizeof(payload) || pawl__frame_is_whole(&frame), #field);           \
    } while (0)

Test(frame, a_whole_frame_that_belongs_elsewhere_is_refused)
{
    CHECK_FRAME_FIELD(store, BUILD_STORE + 1);
    CHECK_FRAME_FIELD(set, 4);
    CHECK_FRAME_FIELD(shard, 6);
    CHECK_FRAME_FIELD(epoch, 6);
    CHECK_FRAME_FIELD(file, 3);
    CHECK_FRAME_FIELD(place, PLACE / 8 + 1);
    CHECK_FRAME_FIELD(size, 12);
    make_frame();
    cr_assert(pawl__frame_check(&frame, &file, PLACE + 8) != NULL);
}

Test(frame, a_size_beyond_the_limit_is_refused)
{
    static uint8_t large[FRAME_PAYLOAD_MAX + 8];

    make_frame();
    frame.size = FRAME_PAYLOAD_MAX;
    pawl__frame_seal(&frame, large);
    cr_assert(pawl__frame_check(&frame, &file, PLACE) == NULL);
    frame.size = FRAME_PAYLOAD_MAX + 8;
    pawl__frame_seal(&frame, large);
    cr_assert(pawl__frame_check(&frame, &file, PLACE) != NULL);
}

Test(frame, zero_sectors_are_counted_where_the_payload_touches_them)
{
    static uint8_t zeroes[512 * 200];

    memset(payload, 1, sizeof(payload));
    cr_assert_eq(pawl__frame_zero_sectors(payload, sizeof(payload), 0), 0u);
    memset(payload + 512, 0, 512);
    cr_assert_eq(pawl__frame_zero_sectors(payload, sizeof(payload), 0), 1u);
    cr_assert_eq(pawl__frame_zero_sectors(payload, sizeof(payload), 8), 0u);
    /* Parts at both ends. */
    cr_assert_eq(pawl__frame_zero_sectors(payload + 520, 16, 8192 + 504), 2u);
    cr_assert_eq(pawl__frame_zero_sectors(payload + 520, 16, 8192 + 496), 1u);
    cr_assert_eq(pawl__frame_zero_sectors(payload, 0, 8192), 0u);
    cr_assert_eq(pawl__frame_zero_sectors(zeroes, sizeof(zeroes), 0), FRAME_ZEROES_MAX);
    make_frame();
    memset(payload, 0, 1024);
    pawl__frame_seal(&frame, payload);
    /* It begins 80 bytes into its sector: of the third it leaves 80 bytes zero and the rest not. */
    cr_assert_eq(frame_zeroes(&frame), 2u);
    cr_assert(pawl__frame_check(&frame, &file, PLACE) == NULL);
    cr_assert((frame.flags & FRAME_MORE) != 0);
}
