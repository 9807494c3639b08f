/*
 * test_format.c - the structs lie on the disk as the byte map says from which a stranger reads: a
 * frame written by hand from that page passes, byte for byte.
 */
#include "store/format.h"

#include <stddef.h>
#include <string.h>

#include "base/crc32c.h"
#include "store/frame.h"
#include "support/test.h"

#define AT(type, field, offset, size)                                                              \
    do {                                                                                           \
        cr_assert_eq(offsetof(struct type, field), (size_t)(offset), #field);                      \
        cr_assert_eq(sizeof(((struct type *)0)->field), (size_t)(size), #field);                   \
    } while (0)

Test(format, a_file_header_is_as_the_byte_map_says)
{
    AT(file_header, magic, 0, 8);
    AT(file_header, crc, 8, 4);
    AT(file_header, version, 12, 2);
    AT(file_header, kind, 14, 2);
    AT(file_header, store, 16, 8);
    AT(file_header, set, 24, 4);
    AT(file_header, shard, 28, 4);
    AT(file_header, epoch, 32, 8);
    AT(file_header, file, 40, 8);
    AT(file_header, first_lsn, 48, 8);
    AT(file_header, previous_crc, 56, 4);
    AT(file_header, blocks, 60, 4);
    AT(file_header, base_lsn, 64, 8);
    AT(file_header, base_file, 72, 8);
    AT(file_header, wall_ns, 80, 8);
    AT(file_header, zeroes, 88, 4096 - 88);
}

Test(format, a_frame_header_is_as_the_byte_map_says)
{
    AT(frame_header, magic, 0, 4);
    AT(frame_header, header_crc, 4, 4);
    AT(frame_header, version, 8, 2);
    AT(frame_header, type, 10, 1);
    AT(frame_header, flags, 11, 1);
    AT(frame_header, size, 12, 4);
    AT(frame_header, lsn, 16, 8);
    AT(frame_header, store, 24, 8);
    AT(frame_header, shard, 32, 2);
    AT(frame_header, set, 34, 2);
    AT(frame_header, epoch, 36, 4);
    AT(frame_header, previous_crc, 40, 4);
    AT(frame_header, payload_crc, 44, 4);
    AT(frame_header, file, 48, 4);
    AT(frame_header, place, 52, 4);
    AT(frame_header, durable_lsn, 56, 8);
    AT(frame_header, time_ns, 64, 8);
    AT(frame_header, wall_ns, 72, 8);
}

#define STORE UINT64_C(0x1122334455667788)

/* A line of the byte map with a value. */
struct field {
    size_t offset;
    unsigned size;
    uint64_t value;
};

static void put(uint8_t *bytes, const struct field *fields, size_t count)
{
    for (; count > 0; fields++, count--)
        for (unsigned i = 0; i < fields->size; i++)
            bytes[fields->offset + i] = (uint8_t)(fields->value >> 8 * i);
}

static void put_crc(uint8_t *bytes, size_t at, const uint8_t *from, size_t size)
{
    const struct field crc = {at, 4, pawl__crc32c_portable(0, from, size)};

    put(bytes, &crc, 1);
}

Test(format, a_file_written_by_hand_from_the_byte_map_passes)
{
    static const struct field file_fields[] = {
        {12, 2, 1}, {14, 2, 1}, {16, 8, STORE}, {24, 4, 2},
        {28, 4, 3}, {32, 8, 4}, {40, 8, 5},     {48, 8, 6},
    };
    static const struct field frame_fields[] = {
        {8, 2, 1},  {10, 1, 1}, {12, 4, 16}, {16, 8, 6}, {24, 8, STORE},
        {32, 2, 3}, {34, 2, 2}, {36, 4, 4},  {48, 4, 5}, {52, 4, 4096 / 8},
    };
    static _Alignas(8) uint8_t bytes[2 * 4096];
    uint8_t *const frame = bytes + 4096;
    const void *const whole = bytes;
    const struct file_header *const header = whole;
    const void *const second = frame;

    memcpy(bytes, "PAWLFILE", 8);
    put(bytes, file_fields, sizeof(file_fields) / sizeof(file_fields[0]));
    put_crc(bytes, 8, bytes + 12, 4096 - 12);
    cr_assert(pawl__file_header_check(header, NULL, STORE) == NULL);

    memcpy(frame, "PWLF", 4);
    put(frame, frame_fields, sizeof(frame_fields) / sizeof(frame_fields[0]));
    memset(frame + 80, 7, 16);
    put_crc(frame, 44, frame + 80, 16);
    put_crc(frame, 4, frame + 8, 72);
    cr_assert(pawl__frame_check(second, header, 4096) == NULL);
    cr_assert(pawl__frame_check_payload(second, frame + 80) == NULL);
    frame[79] ^= 1;
    cr_assert(pawl__frame_check(second, header, 4096) != NULL);
}
