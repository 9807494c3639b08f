/*
 * test_journal_reader.c - a shard's files as one sequence: through seals, crashes and epochs, and
 * every way in which a file can be missing, foreign or out of order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "support/store_build.h"
#include "support/test.h"

#include "store/reader.h"

#define FILE_BYTES (32u << 10)

static struct memory_disk disk;
static struct store_build b;

static void add_frames(unsigned count, unsigned flags)
{
    for (unsigned i = 0; i < count; i++) {
        build_step(&b, (uint32_t)b.lsn, 1, 2, 3, 0, "12345678", 8);
        build_frame(&b, flags);
    }
}

static struct memory_file *save(void)
{
    return build_save(&b, &disk, "d", FILE_BYTES);
}

static void seal_and_save(void)
{
    build_group(&b);
    build_seal(&b);
    save();
}

/* The next file is begun by another opening of the store, at this LSN of the last file. */
static void next_epoch(uint64_t lsn, uint32_t previous_crc)
{
    b.lsn = lsn;
    b.previous_crc = previous_crc;
    b.header.epoch++;
    build_next(&b);
}

static void begin(void)
{
    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
}

static void clear(void)
{
    cr_assert_eq(disk.open, 0u);
    build_end(&b);
    memory_disk_fini(&disk);
}

/* What is found in the directory, as recovery would read it. */
struct journal_read {
    int error; /* of open */
    enum reader_result result;
    uint64_t first_lsn, last_lsn; /* of the frames handed out, which have no gap; 0: none */
    uint64_t lsn;                 /* of the next frame */
    uint32_t previous_crc;
    size_t files;
    uint64_t bytes;
    bool has_gap;
    char what[448];
};

static struct journal_read read_journal_from(size_t first)
{
    struct journal_read read = {.result = READER_CORRUPT};
    struct store_file *files = NULL;
    struct journal_reader journal;
    struct reader_frame frame;
    size_t count = 0;

    cr_assert_eq(pawl__store_list(&disk.storage, "d", &files, &count), 0);
    read.error = pawl__journal_reader_open(&journal, &disk.storage, "d", files + first,
                                           count - first, BUILD_STORE);
    memcpy(read.what, journal.what, sizeof(read.what));
    if (read.error == 0) {
        while ((read.result = pawl__journal_reader_next(&journal, &frame)) == READER_FRAME) {
            if (read.first_lsn == 0)
                read.first_lsn = frame.header.lsn;
            /* A seal has an LSN too and is not handed out. */
            else if (frame.header.lsn <= read.last_lsn || frame.header.lsn > read.last_lsn + 2)
                read.has_gap = true;
            read.last_lsn = frame.header.lsn;
        }
        cr_assert_eq(pawl__journal_reader_next(&journal, &frame), read.result); /* it stays */
        read.lsn = journal.reader.lsn;
        read.previous_crc = journal.reader.previous_crc;
        read.files = journal.files_count;
        read.bytes = journal.bytes;
        memcpy(read.what, journal.what, sizeof(read.what));
        pawl__journal_reader_close(&journal);
    }
    free(files);
    cr_assert_eq(disk.open, 0u);
    cr_assert(!read.has_gap);
    return read;
}

static struct journal_read read_journal(void)
{
    return read_journal_from(0);
}

static void check_ends(enum reader_result result, uint64_t last_lsn, uint64_t lsn)
{
    const struct journal_read read = read_journal();

    cr_assert_eq(read.error, 0, "%s", read.what);
    cr_assert_eq(read.result, result, "%s", read.what);
    cr_assert_eq(read.last_lsn, last_lsn, "%s", read.what);
    cr_assert_eq(read.lsn, lsn, "%s", read.what);
}

/* At open or while reading; says which file, where, and what to do. */
static void check_corrupt(const char *name, const char *reason)
{
    const struct journal_read read = read_journal();

    cr_assert(read.error == -EBADMSG || (read.error == 0 && read.result == READER_CORRUPT));
    cr_assert(strstr(read.what, name) != NULL, "%s", read.what);
    cr_assert(strstr(read.what, reason) != NULL, "%s", read.what);
    cr_assert(strstr(read.what, "pawl salvage") != NULL, "%s", read.what);
}

static void remove_file(const char *name)
{
    char path[STORE_PATH_MAX];

    cr_assert_eq(pawl__store_path("d", name, path), 0);
    cr_assert_eq(disk.storage.remove(&disk, path), 0);
}

#define FILE_1 "0001-0000-000000000001.journal"
#define FILE_2 "0001-0000-000000000002.journal"
#define FILE_3 "0001-0000-000000000003.journal"
#define FILE_4 "0001-0000-000000000004.journal"

/* Three files of one epoch: LSN 1-3 and seal 4, 5-7 and seal 8, 9-11. */
static void build_three(void)
{
    begin();
    add_frames(3, 0);
    seal_and_save();
    build_next(&b);
    add_frames(3, 0);
    seal_and_save();
    build_next(&b);
    add_frames(3, 0);
    save();
}

/* ---- good journals --------------------------------------------------------------------------- */

Test(journal_reader, no_file_and_files_never_begun_are_an_empty_journal)
{
    begin();
    check_ends(READER_END, 0, 0);
    memory_disk_create(&disk, "d/" FILE_1);
    memory_file_resize(memory_disk_create(&disk, "d/" FILE_2), FILE_BYTES);
    check_ends(READER_END, 0, 0);
    cr_assert_eq(read_journal().files, 0u);
    clear();
}

Test(journal_reader, goes_on_from_seal_to_file)
{
    struct journal_read read;

    build_three();
    check_ends(READER_END, 11, 12);
    read = read_journal();
    cr_assert_eq(read.first_lsn, 1u);
    cr_assert_eq(read.files, 3u);
    cr_assert_eq(read.previous_crc, b.previous_crc);
    cr_assert(read.bytes > 3u * STORE_BLOCK && read.bytes < 3u * FILE_BYTES);
    cr_assert_eq(read_journal_from(1).first_lsn, 5u);
    cr_assert_eq(read_journal_from(2).first_lsn, 9u);
    seal_and_save();
    check_ends(READER_SEALED, 11, 13);
    clear();
}

Test(journal_reader, files_prepared_ahead_do_not_belong_to_it_yet)
{
    build_three();
    memory_file_resize(memory_disk_create(&disk, "d/" FILE_4), FILE_BYTES);
    memory_file_resize(memory_disk_create(&disk, "d/0001-0000-000000000005.journal"), 8192);
    memory_disk_create(&disk, "d/0001-0000-000000000006.journal");
    check_ends(READER_END, 11, 12);
    cr_assert_eq(read_journal().files, 3u);
    clear();
}

Test(journal_reader, a_new_epoch_goes_on_behind_a_torn_tail)
{
    struct memory_file *file;
    uint32_t crc;

    begin();
    add_frames(2, 0);
    crc = b.previous_crc;
    build_group(&b);
    add_frames(2, 0);
    build_group(&b);
    add_frames(2, 0);
    file = save();
    memset(file->bytes + 2u * STORE_BLOCK, 0, STORE_BLOCK);
    check_ends(READER_TORN, 2, 3);
    cr_assert_eq(read_journal().previous_crc, crc);
    next_epoch(3, crc);
    save(); /* begun, and killed again */
    check_ends(READER_END, 2, 3);
    add_frames(4, 0);
    save();
    check_ends(READER_END, 6, 7);
    next_epoch(7, b.previous_crc);
    save();
    next_epoch(7, b.previous_crc);
    add_frames(1, 0);
    save();
    check_ends(READER_END, 7, 8);
    /* What lies behind the place does not count, whatever it is. */
    file->bytes[3u * STORE_BLOCK + 20] ^= 1;
    check_ends(READER_END, 7, 8);
    file->bytes[STORE_BLOCK + 20] ^= 1;
    check_corrupt(FILE_1, "checksum");
    clear();
}

Test(journal_reader, a_chain_without_its_last_frame_does_not_count)
{
    uint32_t crc;

    begin();
    add_frames(2, 0);
    crc = b.previous_crc;
    add_frames(2, FRAME_MORE);
    save();
    check_ends(READER_END, 4, 3);
    cr_assert_eq(read_journal().previous_crc, crc);
    next_epoch(3, crc);
    add_frames(1, 0);
    save();
    check_ends(READER_END, 3, 4);
    clear();
}

Test(journal_reader, a_chain_goes_on_in_the_next_file_or_is_taken_back_with_it)
{
    uint32_t crc;

    begin();
    add_frames(1, 0);
    crc = b.previous_crc;
    add_frames(1, FRAME_MORE);
    seal_and_save();
    check_ends(READER_SEALED, 2, 2);
    build_next(&b);
    save();
    check_ends(READER_END, 2, 2);
    add_frames(1, FRAME_MORE);
    save();
    check_ends(READER_END, 4, 2);
    cr_assert_eq(read_journal().previous_crc, crc);
    add_frames(1, 0);
    save();
    check_ends(READER_END, 5, 6);
    add_frames(1, FRAME_MORE); /* 6: another one, taken back by the next epoch */
    seal_and_save();
    {
        struct journal_read read = read_journal();

        cr_assert_eq(read.lsn, 6u);
        next_epoch(read.lsn, read.previous_crc);
    }
    add_frames(2, 0);
    save();
    check_ends(READER_END, 7, 8);
    clear();
}

Test(journal_reader, a_file_that_a_later_epoch_took_back_as_a_whole_is_passed_over)
{
    uint32_t crc;
    struct memory_file *file;

    begin();
    add_frames(1, 0);
    crc = b.previous_crc;
    add_frames(2, FRAME_MORE); /* 2, 3, seal 4 */
    seal_and_save();
    build_next(&b);
    add_frames(2, FRAME_MORE); /* 5, 6 */
    file = save();
    check_ends(READER_END, 6, 2);
    next_epoch(2, crc);
    add_frames(3, 0);
    save();
    memset(file->bytes + STORE_BLOCK, 0xee, STORE_BLOCK);
    check_ends(READER_END, 4, 5);
    clear();
}

/* ---- bad ones -------------------------------------------------------------------------------- */

Test(journal_reader, a_missing_file_is_corruption_unless_it_is_the_first_or_the_last)
{
    build_three();
    remove_file(FILE_2);
    check_corrupt(FILE_3, "missing");
    clear();
    build_three();
    remove_file(FILE_1);
    check_ends(READER_END, 11, 12); /* whether enough is there, a snapshot says */
    remove_file(FILE_3);
    check_ends(READER_SEALED, 7, 9);
    clear();
}

Test(journal_reader, a_file_under_another_files_name_is_corruption)
{
    build_three();
    memory_file_set(memory_disk_create(&disk, "d/" FILE_4),
                    memory_disk_find(&disk, "d/" FILE_3)->bytes, FILE_BYTES);
    check_corrupt(FILE_4, "name");
    clear();
}

Test(journal_reader, a_file_of_another_store_is_corruption)
{
    build_three();
    b.header.store++;
    save();
    check_corrupt(FILE_3, "another store");
    clear();
}

Test(journal_reader, a_file_whose_header_is_damaged_is_corruption)
{
    static const char *const names[] = {FILE_1, FILE_2, FILE_3};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char path[STORE_PATH_MAX];

        build_three();
        cr_assert_eq(pawl__store_path("d", names[i], path), 0);
        memory_disk_find(&disk, path)->bytes[60] ^= 4;
        check_corrupt(names[i], "checksum");
        memset(memory_disk_find(&disk, path)->bytes, 0, STORE_BLOCK);
        check_corrupt(names[i], "does not begin");
        clear();
    }
    /* A file in the middle that was never begun is none that counts. */
    build_three();
    memory_file_resize(memory_disk_find(&disk, "d/" FILE_2), 0);
    memory_file_resize(memory_disk_find(&disk, "d/" FILE_2), FILE_BYTES);
    check_corrupt(FILE_2, "does not begin");
    clear();
}

Test(journal_reader, a_file_that_was_not_sealed_does_not_go_on_in_the_same_epoch)
{
    begin();
    add_frames(3, 0);
    save();
    build_next(&b);
    add_frames(1, 0);
    save();
    check_corrupt(FILE_1, "no seal");
    clear();
}

Test(journal_reader, frames_lost_at_a_files_end_are_found_by_the_next_file)
{
    struct memory_file *file;

    build_three();
    file = memory_disk_find(&disk, "d/" FILE_2);
    memset(file->bytes + 2u * STORE_BLOCK, 0, STORE_BLOCK); /* the seal */
    check_corrupt(FILE_2, "ends before");
    memset(file->bytes + STORE_BLOCK, 0, STORE_BLOCK);
    check_corrupt(FILE_2, "ends before");
    clear();
    begin();
    add_frames(3, 0);
    file = save();
    next_epoch(4, b.previous_crc);
    add_frames(1, 0);
    save();
    memset(file->bytes + STORE_BLOCK, 0, STORE_BLOCK);
    check_corrupt(FILE_1, "ends before");
    memory_file_resize(file, STORE_BLOCK);
    check_corrupt(FILE_1, "has been cut");
    clear();
}

/* Changes the third file's header, with a right checksum. */
#define CHECK_THIRD(change, name, reason)                                                          \
    do {                                                                                           \
        build_three();                                                                             \
        build_next(&b);                                                                            \
        b.header.file = 3;                                                                         \
        b.header.first_lsn = 9;                                                                    \
        {                                                                                          \
            struct file_header header;                                                             \
                                                                                                   \
            memcpy(&header, memory_disk_find(&disk, "d/" FILE_3)->bytes, sizeof(header));          \
            b.header.previous_crc = header.previous_crc;                                           \
        }                                                                                          \
        change;                                                                                    \
        save();                                                                                    \
        check_corrupt(name, reason);                                                               \
        clear();                                                                                   \
    } while (0)

Test(journal_reader, headers_that_do_not_fit_together_are_corruption)
{
    CHECK_THIRD(b.header.previous_crc++, FILE_3, "does not continue");
    CHECK_THIRD(b.header.first_lsn++, FILE_2, "ends before");
    CHECK_THIRD(b.header.first_lsn--, FILE_2, "no seal");
    CHECK_THIRD(b.header.first_lsn = 5, FILE_3, "begins before");
    CHECK_THIRD(b.header.epoch = 0, FILE_3, "earlier epoch");
    CHECK_THIRD(b.header.epoch = 2; b.header.first_lsn = 7, FILE_3, "does not continue");
}

Test(journal_reader, an_epoch_that_begins_inside_a_chain_is_corruption)
{
    begin();
    add_frames(1, 0);
    add_frames(2, FRAME_MORE);
    save();
    next_epoch(4, b.previous_crc);
    add_frames(1, 0);
    save();
    check_corrupt(FILE_2, "belong together");
    clear();
}

Test(journal_reader, damage_in_a_middle_file_names_it_and_the_place)
{
    struct memory_file *file;

    build_three();
    file = memory_disk_find(&disk, "d/" FILE_2);
    file->bytes[STORE_BLOCK + 100] ^= 1;
    check_corrupt(FILE_2, "offset 4096: LSN 5: the checksum of the frame's contents is wrong");
    clear();
}

Test(journal_reader, an_error_of_the_storage_is_passed_on_wherever_it_comes)
{
    unsigned reads;

    build_three();
    check_ends(READER_END, 11, 12);
    reads = disk.reads;
    disk.fail_error = -EIO;
    for (unsigned i = 1; i <= reads; i++) {
        struct journal_read read;

        disk.reads = 0;
        disk.fail_read = i;
        read = read_journal();
        cr_assert(read.error == -EIO || (read.error == 0 && read.result == READER_FAILED),
                  "read %u", i);
        cr_assert(strstr(read.what, ".journal") != NULL, "%s", read.what);
    }
    clear();
}
