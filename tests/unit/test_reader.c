/*
 * test_reader.c - one file of a journal or snapshot: what is whole is read to the end, and whatever
 * is done to it, no frame is handed out that was not written so, and what may have been
 * acknowledged is never taken for a torn tail. (test_reader_torn.c cuts and tears at random.)
 */
#include "store/reader.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "support/store_read.h"
#include "support/test.h"

#define FILE_BYTES (64u << 10)

static struct memory_disk disk;
static struct store_build b;
static struct memory_file *file;

/* The context has no zero sector, and is other in each frame. */
static void add_frame(size_t context_size, unsigned flags)
{
    static uint8_t context[CONTEXT_MAX];

    memset(context, (int)(1 + b.lsn % 250), sizeof(context));
    build_step(&b, (uint32_t)b.lsn, 1, 2, 3, ENTRY_CREATED, context, context_size);
    build_frame(&b, flags);
}

/* Four groups; frames that begin inside and at the ends of sectors, and one of several blocks. */
static void build_groups(bool say_durable)
{
    static const uint16_t sizes[] = {24, 8, 400, 1000};

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    for (unsigned group = 0; group < 4; group++) {
        build_group(&b);
        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
            add_frame(sizes[i] + 8u * group, 0);
        if (group == 2)
            add_frame(CONTEXT_MAX, 0);
        if (say_durable)
            b.durable_lsn = b.lsn - 1;
    }
}

static void save(size_t size)
{
    file = build_save(&b, &disk, "d", size);
}

static void clear(void)
{
    cr_assert_eq(disk.open, 0u);
    build_end(&b);
    memory_disk_fini(&disk);
}

/* Reads the file: how it ends, and that what comes before is what was built. */
#define CHECK_ENDS(expected_result, expected_lsn)                                                  \
    do {                                                                                           \
        const struct store_read read = store_read_saved(&b, &disk, "d");                           \
                                                                                                   \
        cr_assert_eq(read.result, expected_result, "%s", read.what);                               \
        cr_assert_eq(read.lsn, expected_lsn, "%s", read.what);                                     \
        cr_assert(!read.is_wrong);                                                                 \
    } while (0)

/* ---- whole files ----------------------------------------------------------------------------- */

Test(reader, a_sealed_file_is_read_to_its_seal)
{
    build_groups(true);
    build_group(&b);
    build_seal(&b);
    save(FILE_BYTES);
    CHECK_ENDS(READER_SEALED, b.lsn);
    cr_assert_eq(store_read_saved(&b, &disk, "d").previous_crc, b.previous_crc);
    clear();
}

Test(reader, an_unsealed_file_ends_where_zeroes_begin)
{
    build_groups(true);
    save(FILE_BYTES);
    CHECK_ENDS(READER_END, b.lsn);
    build_group(&b);
    save(b.size); /* full to the last block */
    CHECK_ENDS(READER_END, b.lsn);
    clear();
}

Test(reader, a_file_with_a_header_alone_ends_at_once)
{
    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    b.header.first_lsn = b.lsn = 100;
    b.header.previous_crc = b.previous_crc = 0x1234;
    save(FILE_BYTES);
    CHECK_ENDS(READER_END, 100u);
    cr_assert_eq(store_read_saved(&b, &disk, "d").previous_crc, 0x1234u);
    save(STORE_BLOCK);
    CHECK_ENDS(READER_END, 100u);
    build_seal(&b);
    save(FILE_BYTES);
    CHECK_ENDS(READER_SEALED, 101u);
    clear();
}

Test(reader, a_long_file_is_read_in_pieces_of_any_size)
{
    static const size_t limits[] = {0, 4096, 100000, 333};
    static uint8_t context[CONTEXT_MAX];

    memory_disk_init(&disk);
    build_begin(&b, FILE_SNAPSHOT, 0, 1);
    memset(context, 9, sizeof(context));
    for (unsigned i = 0; i < 300; i++) {
        const unsigned entries = 1 + i * 37 % 63;

        for (unsigned j = 0; j < entries; j++)
            build_step(&b, j, 1, 2, 3, ENTRY_IMAGE, context, i % 5 == 0 ? CONTEXT_MAX : 24);
        build_frame(&b, 0);
        if (i % 3 == 0)
            build_group(&b);
    }
    build_seal(&b);
    save(0);
    cr_assert(file->size > 3u << 20);
    for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
        disk.read_max = limits[i];
        CHECK_ENDS(READER_SEALED, b.lsn);
    }
    clear();
}

Test(reader, says_how_far_frames_that_belong_together_are_incomplete)
{
    const struct store_file name = {1, 0, 1, FILE_JOURNAL, false};
    struct reader_frame frame;
    struct reader reader;

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    add_frame(8, FRAME_MORE);
    add_frame(8, 0);
    add_frame(8, FRAME_MORE);
    add_frame(8, FRAME_MORE);
    save(FILE_BYTES);
    cr_assert_eq(pawl__reader_open(&reader, &disk.storage, "d", &name, BUILD_STORE), 0);
    for (uint64_t lsn = 1; lsn <= 4; lsn++) {
        cr_assert_eq(pawl__reader_next(&reader, &frame), READER_FRAME);
        cr_assert_eq(reader.chain_lsn, lsn == 2 ? 0 : lsn < 3 ? 1 : 3);
    }
    cr_assert_eq(pawl__reader_next(&reader, &frame), READER_END);
    cr_assert_eq(pawl__reader_next(&reader, &frame), READER_END); /* it stays */
    cr_assert_eq(reader.lsn, 5u);
    pawl__reader_close(&reader);
    clear();
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_as(const struct store_file *name, uint64_t store)
{
    struct reader reader;
    const int rc = pawl__reader_open(&reader, &disk.storage, "d", name, store);

    if (rc == 0)
        pawl__reader_close(&reader);
    else
        cr_assert(strlen(reader.what) > 0);
    cr_assert_eq(disk.open, 0u);
    return rc;
}

Test(reader, a_file_that_is_not_what_its_name_says_is_refused)
{
    const struct store_file name = {1, 0, 1, FILE_JOURNAL, false};
    const struct store_file other = {1, 0, 2, FILE_JOURNAL, false};

    build_groups(true);
    save(FILE_BYTES);
    cr_assert_eq(open_as(&name, 0), 0);
    cr_assert_eq(open_as(&name, BUILD_STORE), 0);
    cr_assert_eq(open_as(&name, BUILD_STORE + 1), -EBADMSG);
    cr_assert_eq(open_as(&other, 0), -ENOENT);
    memory_file_set(memory_disk_create(&disk, "d/0001-0000-000000000002.journal"), file->bytes,
                    file->size);
    cr_assert_eq(open_as(&other, 0), -EBADMSG);
    memory_file_resize(file, STORE_BLOCK - 1);
    cr_assert_eq(open_as(&name, 0), -EBADMSG);
    memory_file_resize(file, 0);
    cr_assert_eq(open_as(&name, 0), -EBADMSG);
    clear();
}

Test(reader, an_error_of_the_storage_is_passed_on_wherever_it_comes)
{
    const struct store_file name = {1, 0, 1, FILE_JOURNAL, false};
    static uint8_t context[CONTEXT_MAX];
    unsigned failed = 0;
    unsigned reads;

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    memset(context, 9, sizeof(context));
    for (unsigned i = 0; i < 50; i++) {
        for (unsigned j = 0; j < 60; j++)
            build_step(&b, j, 1, 2, 3, ENTRY_IMAGE, context, CONTEXT_MAX);
        build_frame(&b, 0);
    }
    save(16u << 20);
    disk.read_max = 1u << 20;
    CHECK_ENDS(READER_END, b.lsn);
    reads = disk.reads;
    cr_assert(reads > 10);
    disk.fail_error = -EIO;
    for (unsigned i = 1; i <= reads; i++) {
        struct store_read read;

        disk.reads = 0;
        disk.fail_read = i;
        read = store_read_file(&disk.storage, "d", &name, &b);
        cr_assert(read.result == READER_FAILED || read.error == -EIO, "read %u", i);
        failed++;
    }
    cr_assert_eq(failed, reads);
    clear();
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void check_every_byte_flipped(size_t end, enum reader_result whole)
{
    uint64_t frame_end = STORE_BLOCK;

    for (size_t i = STORE_BLOCK; i < end; i++) {
        const uint8_t flip = (uint8_t)(i % 3 == 0 ? 0xff : 1u << i % 8);
        const uint8_t was = file->bytes[i];
        struct store_read read;
        struct frame_header header;

        file->bytes[i] ^= flip;
        read = store_read_saved(&b, &disk, "d");
        file->bytes[i] = was;
        cr_assert(!read.is_wrong, "byte %zu", i);
        if (i >= frame_end && i % STORE_BLOCK == 0)
            frame_end = i;
        if (i == frame_end) {
            memcpy(&header, b.bytes + i, sizeof(header));
            if (header.magic == FRAME_MAGIC)
                frame_end += frame_bytes(&header);
        }
        if (i < frame_end)
            cr_assert_eq(read.result, READER_CORRUPT, "byte %zu", i);
        else /* between groups: found, or without consequence */
            cr_assert(read.result == whole || read.result == READER_TORN ||
                          read.result == READER_CORRUPT,
                      "byte %zu", i);
    }
}

Test(reader, every_flipped_byte_of_a_sealed_file_is_corruption)
{
    build_groups(true);
    build_group(&b);
    build_seal(&b);
    save(FILE_BYTES);
    check_every_byte_flipped(b.last_offset + sizeof(struct frame_header) + sizeof(struct seal),
                             READER_SEALED);
    clear();
}

Test(reader, every_flipped_byte_of_an_unsealed_file_is_corruption)
{
    for (unsigned said = 0; said < 2; said++) {
        const size_t end = (build_groups(said != 0), b.size);

        save(FILE_BYTES);
        check_every_byte_flipped(end, READER_END);
        clear();
    }
}

Test(reader, a_flip_in_a_frame_that_has_zero_sectors_of_its_own_is_corruption)
{
    static uint8_t zeroes[CONTEXT_MAX];
    size_t end;

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    add_frame(24, 0);
    build_step(&b, 1, 1, 2, 3, 0, zeroes, sizeof(zeroes));
    build_step(&b, 2, 1, 2, 3, 0, zeroes, 1000);
    build_step(&b, 2, 1, 4, 3, 0, "12345678", 8);
    build_frame(&b, 0);
    end = b.size;
    save(FILE_BYTES);
    check_every_byte_flipped(end, READER_END);
    /* But a sector more that is zero was not written. */
    memset(file->bytes + end / STORE_SECTOR * STORE_SECTOR, 0, STORE_SECTOR);
    CHECK_ENDS(READER_TORN, 2u);
    clear();
}

Test(reader, a_file_that_was_cut_is_corrupt_unless_all_that_counts_is_there)
{
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        size_t end;

        build_groups(false);
        end = b.size;
        if (sealed != 0) {
            build_group(&b);
            build_seal(&b);
            end = b.size;
        }
        for (size_t size = STORE_BLOCK; size < FILE_BYTES; size += STORE_SECTOR / 2) {
            struct store_read read;

            save(FILE_BYTES);
            memory_file_resize(file, size);
            read = store_read_saved(&b, &disk, "d");
            cr_assert(!read.is_wrong, "size %zu", size);
            cr_assert_eq(read.result, sealed != 0 && size >= end ? READER_SEALED : READER_CORRUPT,
                         "size %zu", size);
        }
        clear();
    }
}

Test(reader, without_a_said_length_a_cut_inside_a_frame_is_still_corruption)
{
    build_groups(false);
    for (size_t size = STORE_BLOCK; size < b.size; size += 8) {
        struct store_read read;

        save(FILE_BYTES);
        b.header.blocks = 0;
        pawl__file_header_seal(&b.header);
        memcpy(file->bytes, &b.header, sizeof(b.header));
        memory_file_resize(file, size);
        read = store_read_saved(&b, &disk, "d");
        cr_assert(!read.is_wrong, "size %zu", size);
        cr_assert(read.result == READER_CORRUPT || read.result == READER_END, "size %zu", size);
        if (read.result == READER_END) /* at a frame's end, or in the zeroes behind a group */
            cr_assert(store_read_next_offset(&b, read.lsn) >= size, "size %zu", size);
    }
    clear();
}

/* ---- valid frames where they do not belong --------------------------------------------------- */

/* What is built behind the first group, at the place where a right frame is due, is corruption. */
#define CHECK_NEXT_FRAME(change, expected)                                                         \
    do {                                                                                           \
        build_groups(false);                                                                       \
        build_group(&b);                                                                           \
        {                                                                                          \
            const uint64_t due = b.lsn;                                                            \
            const struct file_header kept = b.header;                                              \
                                                                                                   \
            change;                                                                                \
            add_frame(40, 0);                                                                      \
            b.header = kept;                                                                       \
            save(FILE_BYTES);                                                                      \
            CHECK_ENDS(expected, (expected) == READER_END ? due + 1 : due);                        \
        }                                                                                          \
        clear();                                                                                   \
    } while (0)

Test(reader, a_whole_frame_that_is_not_the_one_due_is_corruption)
{
    CHECK_NEXT_FRAME((void)0, READER_END);
    CHECK_NEXT_FRAME(b.lsn++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.lsn--, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.previous_crc++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.header.epoch++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.header.file++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.header.shard++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.header.set++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.header.store++, READER_CORRUPT);
    CHECK_NEXT_FRAME(b.durable_lsn = b.lsn, READER_CORRUPT);
}

Test(reader, a_frame_copied_to_another_place_is_never_believed)
{
    build_groups(false);
    build_group(&b);
    save(FILE_BYTES);
    /* Onto a group, onto the place of the next one, and behind a gap. */
    memcpy(file->bytes + 2u * STORE_BLOCK, file->bytes + STORE_BLOCK, STORE_BLOCK);
    CHECK_ENDS(READER_CORRUPT, 5u);
    save(FILE_BYTES);
    memcpy(file->bytes + b.size, file->bytes + STORE_BLOCK, STORE_BLOCK);
    CHECK_ENDS(READER_CORRUPT, b.lsn);
    save(FILE_BYTES);
    memcpy(file->bytes + b.size + STORE_BLOCK, file->bytes + STORE_BLOCK, STORE_BLOCK);
    CHECK_ENDS(READER_TORN, b.lsn);
    clear();
}

Test(reader, a_whole_frame_with_bad_contents_is_corruption)
{
    static uint8_t entry[24];
    uint64_t lsn;

    build_groups(false);
    lsn = b.lsn;
    build_raw(&b, FRAME_STEPS, 0, entry, sizeof(entry)); /* zeroes are no entry */
    save(FILE_BYTES);
    CHECK_ENDS(READER_CORRUPT, lsn);
    cr_assert_eq(store_read_saved(&b, &disk, "d").where,
                 b.last_offset + sizeof(struct frame_header));
    clear();
    build_groups(false);
    build_raw(&b, FRAME_MANIFEST, 0, entry, sizeof(entry));
    save(FILE_BYTES);
    CHECK_ENDS(READER_CORRUPT, lsn);
    cr_assert_eq(store_read_saved(&b, &disk, "d").where, b.last_offset);
    clear();
}

Test(reader, a_seal_that_counts_otherwise_is_corruption)
{
    const struct {
        int64_t frames, last_lsn;
        size_t size;
        enum reader_result result;
    } cases[] = {{0, 0, 16, READER_SEALED},   {1, 0, 16, READER_CORRUPT},
                 {-1, 0, 16, READER_CORRUPT}, {0, 1, 16, READER_CORRUPT},
                 {0, -1, 16, READER_CORRUPT}, {0, 0, 8, READER_CORRUPT},
                 {0, 0, 24, READER_CORRUPT}};

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t seal[3] = {0, 0, 0};
        uint64_t lsn;

        build_groups(false);
        lsn = b.lsn;
        seal[0] = b.frames + (uint64_t)cases[i].frames;
        seal[1] = b.lsn - 1 + (uint64_t)cases[i].last_lsn;
        build_raw(&b, FRAME_SEAL, 0, seal, cases[i].size);
        save(FILE_BYTES);
        CHECK_ENDS(cases[i].result, cases[i].result == READER_SEALED ? lsn + 1 : lsn);
        clear();
    }
}

/* ---- snapshots ------------------------------------------------------------------------------- */

Test(reader, a_snapshot_is_whole_or_corrupt)
{
    memory_disk_init(&disk);
    build_begin(&b, FILE_SNAPSHOT, 0, 1);
    add_frame(24, 0);
    build_group(&b);
    add_frame(24, 0);
    save(0);
    CHECK_ENDS(READER_CORRUPT, 3u); /* no seal */
    save(FILE_BYTES);
    CHECK_ENDS(READER_CORRUPT, 3u);
    build_seal(&b);
    save(0);
    CHECK_ENDS(READER_SEALED, 4u);
    memset(file->bytes + 2u * STORE_BLOCK, 0, STORE_BLOCK);
    CHECK_ENDS(READER_CORRUPT, 2u);
    memory_file_resize(file, 2u * STORE_BLOCK);
    CHECK_ENDS(READER_CORRUPT, 2u);
    clear();
    memory_disk_init(&disk);
    build_begin(&b, FILE_SNAPSHOT, 0, 1);
    add_frame(24, FRAME_MORE);
    build_seal(&b);
    save(0);
    CHECK_ENDS(READER_CORRUPT, 2u);
    clear();
}
