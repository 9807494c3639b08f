/*
 * test_reader_torn.c - crashes at random: groups under way, of which any sectors have reached the
 * disk. The reader then finds all that was durable and calls the rest torn; and when something that
 * was durable is missing, or a byte of what it had read is wrong, it says so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/random.h"
#include "support/store_read.h"
#include "support/test.h"

#define GROUPS_MAX 10u
#define FRAMES_MAX 64u
#define FILE_BYTES (256u << 10)

struct written {
    uint64_t offset; /* of the header */
    uint64_t bytes;
    uint64_t lsn;
};

static struct memory_disk disk;
static struct store_build b;
static struct memory_file *file;
static struct random r;
static unsigned groups;
static size_t group_begin[GROUPS_MAX + 1];
static uint64_t group_lsn[GROUPS_MAX + 1]; /* of its first frame */
static struct written frames[FRAMES_MAX];
static unsigned frames_count;

/*
 * Contexts of zeroes and of none, and sizes with which the next frame begins at a sector's begin.
 */
static void add_frame(void)
{
    const size_t header = sizeof(struct frame_header) + sizeof(struct entry_step);
    const uint64_t kind = random_below(&r, 4);
    const unsigned entries = 1 + (unsigned)random_below(&r, 3);
    size_t size = 0;

    for (unsigned i = 0; i < entries; i++) {
        static uint8_t context[CONTEXT_MAX];
        const size_t limit = random_below(&r, 4) == 0 ? CONTEXT_MAX / 8 : 30;

        size = 8 * random_below(&r, limit + 1);
        if (kind == 0 && entries == 1)
            size = align_up(b.size + header + size, STORE_SECTOR) - b.size - header;
        if (size > CONTEXT_MAX)
            size -= STORE_SECTOR;
        for (size_t j = 0; j < size; j++)
            context[j] = kind == 1 ? 0 : (uint8_t)random_next(&r);
        build_step(&b, 1 + (uint32_t)random_below(&r, 1000), 1, 2, 3, ENTRY_CREATED, context, size);
    }
    build_frame(&b, 0);
    frames[frames_count++] = (struct written){b.last_offset, b.size - b.last_offset, b.lsn - 1};
}

/* Each group says that all but the last few groups before it are durable. */
static void build_journal(void)
{
    const unsigned under_way = 1 + (unsigned)random_below(&r, 5);

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    groups = 1 + (unsigned)random_below(&r, GROUPS_MAX);
    frames_count = 0;
    for (unsigned g = 0; g < groups; g++) {
        const unsigned count = 1 + (unsigned)random_below(&r, 5);

        build_group(&b);
        group_begin[g] = b.size;
        group_lsn[g] = b.lsn;
        if (g >= under_way && group_lsn[g - under_way + 1] - 1 > b.durable_lsn)
            b.durable_lsn = group_lsn[g - under_way + 1] - 1;
        for (unsigned i = 0; i < count; i++)
            add_frame();
    }
    build_group(&b);
    group_begin[groups] = b.size;
    group_lsn[groups] = b.lsn;
    file = build_save(&b, &disk, "d", FILE_BYTES);
}

/* Groups from `first` on were under way: of each sector it is decided whether it was written. */
static void crash(unsigned first)
{
    for (unsigned g = first; g < groups; g++) {
        const uint64_t how = random_below(&r, 4);
        const size_t unit = random_below(&r, 2) == 0 ? STORE_SECTOR : STORE_BLOCK;

        for (size_t at = group_begin[g]; at < group_begin[g + 1]; at += unit)
            if (how == 0 || (how == 1 && random_below(&r, 2) == 0) ||
                (how == 2 && random_below(&r, 6) == 0))
                memset(file->bytes + at, 0, unit);
    }
}

static unsigned first_under_way(void)
{
    const uint64_t said = b.durable_lsn;
    unsigned first = 0;

    while (first < groups && group_lsn[first] <= said)
        first++;
    return first + (unsigned)random_below(&r, groups - first + 1);
}

static void clear(void)
{
    build_end(&b);
    memory_disk_fini(&disk);
}

Test(reader_torn, a_crash_loses_nothing_that_was_durable_and_is_not_corruption)
{
    unsigned ends[READER_FAILED + 1] = {0};

    r.state = 1;
    for (unsigned round = 0; round < 2500; round++) {
        struct store_read read;
        unsigned first;

        build_journal();
        first = first_under_way();
        crash(first);
        read = store_read_saved(&b, &disk, "d");
        cr_assert(!read.is_wrong, "round %u", round);
        cr_assert(read.result == READER_END || read.result == READER_TORN, "round %u: %d %s", round,
                  (int)read.result, read.what);
        cr_assert(read.lsn >= group_lsn[first], "round %u", round);
        if (read.result == READER_TORN)
            cr_assert(read.end > read.where, "round %u", round);
        ends[read.result]++;
        clear();
    }
    cr_assert(ends[READER_END] > 200 && ends[READER_TORN] > 200);
}

Test(reader_torn, a_flip_in_what_was_read_is_corruption_even_before_a_torn_tail)
{
    r.state = 2;
    for (unsigned round = 0; round < 1500; round++) {
        struct store_read whole;
        struct store_read read;
        const struct written *frame;

        build_journal();
        crash(first_under_way());
        whole = store_read_saved(&b, &disk, "d");
        frame = &frames[random_below(&r, frames_count)];
        if (frame->lsn < whole.lsn) {
            file->bytes[frame->offset + random_below(&r, frame->bytes)] ^=
                (uint8_t)(1u << random_below(&r, 8));
            read = store_read_saved(&b, &disk, "d");
            cr_assert(!read.is_wrong, "round %u", round);
            cr_assert_eq(read.result, READER_CORRUPT, "round %u: %d", round, (int)read.result);
            cr_assert_eq(read.lsn, frame->lsn, "round %u", round);
        }
        clear();
    }
}

/* The highest durable_lsn that a frame header says which is still as it was built. */
static uint64_t durable_said(void)
{
    uint64_t durable_lsn = 0;

    for (unsigned i = 0; i < frames_count; i++) {
        struct frame_header header;

        memcpy(&header, b.bytes + frames[i].offset, sizeof(header));
        if (memcmp(&header, file->bytes + frames[i].offset, sizeof(header)) == 0 &&
            header.durable_lsn > durable_lsn)
            durable_lsn = header.durable_lsn;
    }
    return durable_lsn;
}

Test(reader_torn, a_lost_write_is_corruption_once_others_say_that_it_was_durable)
{
    unsigned found = 0;
    unsigned hidden = 0;

    r.state = 3;
    for (unsigned round = 0; round < 2500; round++) {
        const size_t unit = random_below(&r, 2) == 0 ? STORE_SECTOR : STORE_BLOCK;
        struct store_read read;
        uint64_t lost = 0;
        size_t at;

        build_journal();
        if (random_below(&r, 2) == 0)
            crash(first_under_way());
        at = group_begin[0] + unit * random_below(&r, (b.size - group_begin[0]) / unit);
        memset(file->bytes + at, 0, unit);
        for (unsigned i = 0; i < frames_count && lost == 0; i++)
            if (memcmp(file->bytes + frames[i].offset, b.bytes + frames[i].offset,
                       frames[i].bytes) != 0)
                lost = frames[i].lsn;
        read = store_read_saved(&b, &disk, "d");
        cr_assert(!read.is_wrong, "round %u", round);
        cr_assert_eq(read.lsn, lost != 0 ? lost : b.lsn, "round %u", round);
        if (lost != 0 && durable_said() >= lost) {
            cr_assert_eq(read.result, READER_CORRUPT, "round %u", round);
            found++;
        } else {
            cr_assert(read.result == READER_END || read.result == READER_TORN, "round %u: %s",
                      round, read.what);
            hidden++;
        }
        clear();
    }
    cr_assert(found > 200 && hidden > 200);
}

Test(reader_torn, a_hole_is_torn_or_corrupt_by_what_the_frames_behind_it_say)
{
    for (unsigned said = 0; said < 2; said++) {
        struct store_read read;

        memory_disk_init(&disk);
        build_begin(&b, FILE_JOURNAL, 0, 1);
        for (unsigned g = 0; g < 4; g++) {
            build_group(&b);
            build_step(&b, 1, 1, 2, 3, 0, "12345678", 8);
            b.durable_lsn = g == 3 && said != 0 ? 2 : 0;
            build_frame(&b, 0);
        }
        file = build_save(&b, &disk, "d", FILE_BYTES);
        memset(file->bytes + 2u * STORE_BLOCK, 0, STORE_BLOCK);
        read = store_read_saved(&b, &disk, "d");
        cr_assert_eq(read.lsn, 2u);
        cr_assert_eq(read.result, said != 0 ? READER_CORRUPT : READER_TORN);
        if (said == 0)
            cr_assert_eq(read.end, b.last_offset + sizeof(struct frame_header) + 32);
        clear();
    }
}

/* The missing group is the second; `distance` is from its block to the end of what lies behind. */
static enum reader_result read_with_something_at(uint64_t distance)
{
    enum reader_result result;

    memory_disk_init(&disk);
    build_begin(&b, FILE_JOURNAL, 0, 1);
    build_step(&b, 1, 1, 2, 3, 0, "12345678", 8);
    build_frame(&b, 0);
    file = build_save(&b, &disk, "d", (size_t)16 << 20);
    file->bytes[2u * STORE_BLOCK + distance - 1] = 1;
    result = store_read_saved(&b, &disk, "d").result;
    clear();
    return result;
}

Test(reader_torn, what_lies_farther_behind_than_writes_can_be_under_way_is_corruption)
{
    cr_assert_eq(read_with_something_at(STORE_BLOCK), READER_TORN);
    cr_assert_eq(read_with_something_at(JOURNAL_INFLIGHT_MAX), READER_TORN);
    cr_assert_eq(read_with_something_at(JOURNAL_INFLIGHT_MAX + 1), READER_CORRUPT);
    cr_assert_eq(read_with_something_at((14u << 20) - 8192), READER_CORRUPT);
}

/* The look behind reads in pieces: a header may lie across two of them. */
Test(reader_torn, a_frame_behind_a_hole_is_found_wherever_it_lies)
{
    for (size_t place = (1u << 20) - 8192; place < (1u << 20) + 8192; place += 8) {
        struct frame_header header;
        enum reader_result result;

        if (place % 1024 > 16 && place % 1024 < 928)
            continue;
        memory_disk_init(&disk);
        build_begin(&b, FILE_JOURNAL, 0, 1);
        build_step(&b, 1, 1, 2, 3, 0, "12345678", 8);
        build_frame(&b, 0);
        file = build_save(&b, &disk, "d", (size_t)2 << 20);
        memset(&header, 0, sizeof(header));
        pawl__frame_fill(&header, &b.header, place);
        header.lsn = 9;
        header.durable_lsn = 2;
        pawl__frame_seal(&header, "");
        memcpy(file->bytes + place, &header, sizeof(header));
        result = store_read_saved(&b, &disk, "d").result;
        cr_assert_eq(result, READER_CORRUPT, "place %zu", place);
        file->bytes[place] ^= 1;
        cr_assert_eq(store_read_saved(&b, &disk, "d").result, READER_TORN, "place %zu", place);
        clear();
    }
}
