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

static void put(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

Test(format, a_file_written_by_hand_from_the_byte_map_passes)
{
    static _Alignas(8) uint8_t bytes[2 * 4096];
    uint8_t *const frame = bytes + 4096;
    const void *const whole = bytes;
    const struct file_header *const header = whole;
    const void *const second = frame;

    memcpy(bytes, "PAWLFILE", 8);
    put(bytes + 12, 2, 1);
    put(bytes + 14, 2, 1);
    put(bytes + 16, 8, 0x1122334455667788);
    put(bytes + 24, 4, 2);
    put(bytes + 28, 4, 3);
    put(bytes + 32, 8, 4);
    put(bytes + 40, 8, 5);
    put(bytes + 48, 8, 6);
    put(bytes + 8, 4, pawl__crc32c_portable(0, bytes + 12, 4096 - 12));
    cr_assert(pawl__file_header_check(header, NULL, 0x1122334455667788) == NULL);

    memcpy(frame, "PWLF", 4);
    put(frame + 8, 2, 1);
    put(frame + 10, 1, 1);
    put(frame + 12, 4, 16);
    put(frame + 16, 8, 6);
    put(frame + 24, 8, 0x1122334455667788);
    put(frame + 32, 2, 3);
    put(frame + 34, 2, 2);
    put(frame + 36, 4, 4);
    put(frame + 48, 4, 5);
    put(frame + 52, 4, 4096 / 8);
    memset(frame + 80, 7, 16);
    put(frame + 44, 4, pawl__crc32c_portable(0, frame + 80, 16));
    put(frame + 4, 4, pawl__crc32c_portable(0, frame + 8, 72));
    cr_assert(pawl__frame_check(second, header, 4096) == NULL);
    cr_assert(pawl__frame_check_payload(second, frame + 80) == NULL);
    frame[79] ^= 1;
    cr_assert(pawl__frame_check(second, header, 4096) != NULL);
}
