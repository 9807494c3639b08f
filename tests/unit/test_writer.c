#include <string.h>

#include "store/frame.h"
#include "store/journal.h"
#include "store/reader.h"
#include "support/sim_disk_fixture.h"

/*
 * A journal with its writers, whose pump is this test: it hands groups over and ends writes in the order it
 * likes.
 */
struct bench {
    struct journal journal;
    struct journal_queue queue;
    struct park wake;
    struct pages_stats pages;
    struct pawl_virtual_clock *clock;
    void *file;
};

static const struct store_file name = {.set = 1, .shard = 3, .file = 7, .kind = FILE_JOURNAL};

static void bench_open(struct bench *b, uint64_t segment)
{
    struct journal_options options = {.directory = "d",
                                      .store = 99,
                                      .set = 1,
                                      .shard = 3,
                                      .epoch = 5,
                                      .segment_bytes = segment,
                                      .writes_max = 8,
                                      .next_lsn = 41,
                                      .previous_crc = 1234,
                                      .next_file = 7,
                                      .next_snapshot = 1};
    static _Alignas(BLOCK) uint8_t zeroes[64 * BLOCK];
    char path[STORE_PATH_MAX];

    memset(b, 0, sizeof(*b));
    disk_make(1);
    cr_assert_eq(pawl_virtual_clock_create(1, &b->clock), 0);
    cr_assert_eq(pawl__park_init(&b->wake, false), 0);
    options.storage = storage;
    options.clock = pawl_virtual_clock_seam(b->clock);
    options.wake = &b->wake;
    options.pages = &b->pages;
    cr_assert_eq(pawl__journal_init(&b->journal, &options), 0);
    b->queue.depth = 16;
    cr_assert_eq(storage->queue_open(storage->user, 4 * JOURNAL_WRITES_MAX, -1, &b->queue.queue),
                 0);
    b->journal.queue = &b->queue;
    pawl__journal_path(&b->journal, FILE_JOURNAL, 7, false, path);
    cr_assert(segment <= sizeof(zeroes));
    b->file = file_open(path, PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert_eq(storage->write(storage->user, b->file, zeroes, segment, 0), (int64_t)segment);
    directory_sync();
}

static void bench_close(struct bench *b)
{
    storage->queue_close(storage->user, b->queue.queue);
    pawl__journal_fini(&b->journal);
    pawl__park_fini(&b->wake);
    pawl_virtual_clock_destroy(b->clock);
    disk_unmake();
}

static void add_group(struct bench *b, uint64_t marks)
{
    for (uint64_t i = 0; i < marks; i++) {
        struct entry_mark *mark = stream_append(&b->journal.steps, sizeof(*mark));

        *mark = (struct entry_mark){
            .header = {.words = 3, .type = ENTRY_MARK}, .value = i + 1, .what = MARK_TAKEN};
    }
    pawl__stream_close(&b->journal.steps);
    pawl__stream_hand_over(&b->journal.steps);
}

/* Ends all writes and tells the writer of each, in the order given by the disk. */
static void end_all(struct bench *b)
{
    struct pawl_storage_done done[16];
    int count;

    sim_disk_advance(disk, UINT64_MAX - 1);
    count = storage->queue_reap(storage->user, b->queue.queue, done, 16, 0);
    for (int i = 0; i < count; i++) {
        b->queue.used--;
        cr_assert_eq((uint64_t)done[i].result, pawl__writer_size(&b->journal, done[i].tag));
        pawl__writer_done(&b->journal.steps_writer, done[i].tag);
    }
}

static void begin_file(struct bench *b)
{
    pawl__writer_begin(&b->journal, &b->journal.steps_writer, b->file, 7, 0, 0);
    cr_assert_eq(b->journal.steps_writer.stage, WRITER_HEADER);
    /* Nothing is written before the header is durable. */
    cr_assert(!pawl__writer_submit(&b->journal, &b->journal.steps_writer, 1, 8));
    end_all(b);
    cr_assert_eq(b->journal.steps_writer.stage, WRITER_OPEN);
}

Test(writer, what_it_writes_is_what_the_reader_reads)
{
    struct bench b;
    struct reader reader;
    struct reader_frame frame;
    uint64_t lsn = 41;

    bench_open(&b, 64 * BLOCK);
    add_group(&b, 3);
    begin_file(&b);
    add_group(&b, 500); /* three blocks */
    add_group(&b, 1);
    cr_assert(pawl__writer_submit(&b.journal, &b.journal.steps_writer, 3, 8));
    cr_assert_eq(b.journal.steps_writer.in_flight, 3);
    end_all(&b);
    cr_assert_eq(b.journal.steps_writer.finished, 3);
    cr_assert_eq(b.journal.steps_writer.durable_lsn, 43);
    pawl__writer_seal(&b.journal, &b.journal.steps_writer);
    end_all(&b);
    cr_assert_eq(b.journal.steps_writer.stage, WRITER_SEALED);

    cr_assert_eq(pawl__reader_open(&reader, storage, "d", &name, 99), 0);
    cr_assert_eq(reader.header.first_lsn, 41);
    cr_assert_eq(reader.header.previous_crc, 1234);
    cr_assert_eq(reader.header.epoch, 5);
    cr_assert_eq(reader.header.blocks, 64);
    while (pawl__reader_next(&reader, &frame) == READER_FRAME) {
        cr_assert_eq(frame.header.lsn, lsn++);
        cr_assert_eq(frame.header.durable_lsn, 40); /* all three were begun at once */
        cr_assert_eq(frame.offset % BLOCK, 0);
    }
    cr_assert_eq(reader.result, READER_SEALED, "%s", reader.what);
    cr_assert_eq(lsn, 44);
    pawl__reader_close(&reader);
    bench_close(&b);
}

/* In whatever order they end: durable is a prefix. */
Test(writer, groups_are_durable_by_prefixes)
{
    static const unsigned orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};

    for (unsigned order = 0; order < 4; order++) {
        struct bench b;
        struct writer *writer = &b.journal.steps_writer;
        unsigned ended = 0;

        bench_open(&b, 64 * BLOCK);
        begin_file(&b);
        for (unsigned i = 0; i < 4; i++)
            add_group(&b, 1);
        cr_assert(pawl__writer_submit(&b.journal, writer, 4, 8));
        for (unsigned i = 0; i < 4; i++) {
            uint64_t prefix = 0;
            bool moved;

            moved =
                pawl__writer_done(writer, journal_tag(&b.journal, WRITE_STEPS, orders[order][i]));
            ended |= 1u << orders[order][i];
            while ((ended >> prefix & 1) != 0)
                prefix++;
            cr_assert(moved == (prefix > 0 && orders[order][i] < prefix));
            cr_assert_eq(writer->finished, prefix);
            cr_assert_eq(writer->durable_lsn, 40 + prefix);
            cr_assert_eq(writer->in_flight, 3 - i);
        }
        cr_assert_eq(writer->in_flight_bytes, 0);
        bench_close(&b);
    }
}

Test(writer, no_more_are_under_way_than_allowed)
{
    struct bench b;
    struct writer *writer = &b.journal.steps_writer;

    bench_open(&b, 64 * BLOCK);
    begin_file(&b);
    for (unsigned i = 0; i < 5; i++)
        add_group(&b, 1);
    cr_assert(pawl__writer_submit(&b.journal, writer, 5, 2));
    cr_assert_eq(writer->in_flight, 2);
    cr_assert(!pawl__writer_submit(&b.journal, writer, 5, 2));
    end_all(&b);
    cr_assert(pawl__writer_submit(&b.journal, writer, 4, 2)); /* only what was handed over */
    cr_assert_eq(writer->submitted, 4);
    end_all(&b);
    bench_close(&b);
}

Test(writer, a_file_that_is_full_takes_no_more_and_keeps_room_for_its_seal)
{
    struct bench b;
    struct writer *writer = &b.journal.steps_writer;

    bench_open(&b, 6 * BLOCK);
    begin_file(&b);
    for (unsigned i = 0; i < 6; i++)
        add_group(&b, 1);
    while (pawl__writer_submit(&b.journal, writer, 6, 8) && writer->stage == WRITER_OPEN)
        end_all(&b);
    end_all(&b);
    cr_assert_eq(writer->stage, WRITER_FULL);
    cr_assert_eq(writer->submitted, 4); /* header, four groups, seal */
    pawl__writer_seal(&b.journal, writer);
    end_all(&b);
    cr_assert_eq(writer->stage, WRITER_SEALED);
    cr_assert_eq(writer->offset, 5 * BLOCK);
    bench_close(&b);
}

/* A first group is taken whatever its size: otherwise it could never be written. */
Test(writer, a_file_takes_one_group_larger_than_itself)
{
    struct bench b;
    struct writer *writer = &b.journal.steps_writer;

    bench_open(&b, 4 * BLOCK);
    begin_file(&b);
    add_group(&b, 1000); /* six blocks */
    cr_assert(pawl__writer_submit(&b.journal, writer, 1, 8));
    cr_assert_eq(writer->submitted, 1);
    end_all(&b);
    cr_assert_eq(writer->durable_lsn, 41);
    bench_close(&b);
}

/* A write that takes long: those behind it end, but stay within reach of a torn end. */
Test(writer, what_has_ended_behind_a_slow_write_counts_as_under_way)
{
    struct bench b;
    struct writer *writer = &b.journal.steps_writer;
    uint64_t handed = 0, ended = 1;

    bench_open(&b, 64 * BLOCK);
    writer->capacity = UINT64_C(1) << 30;
    begin_file(&b);
    for (;;) {
        for (unsigned i = 0; i < 4; i++, handed++)
            add_group(&b, 10000); /* 59 blocks */
        if (!pawl__writer_submit(&b.journal, writer, handed, 8))
            break;
        cr_assert(writer->offset <= JOURNAL_INFLIGHT_MAX, "%llu bytes are under way",
                  (unsigned long long)writer->offset);
        for (; ended < writer->submitted; ended++) /* not the first */
            cr_assert(!pawl__writer_done(writer, journal_tag(&b.journal, WRITE_STEPS, ended)));
        b.queue.used = 1;
    }
    cr_assert_eq(writer->finished, 0);
    cr_assert(writer->submitted > 30);
    cr_assert(!writer_may_submit(&b.journal, writer, handed, 8)); /* nor is there work */
    cr_assert(pawl__writer_done(writer, journal_tag(&b.journal, WRITE_STEPS, 0)));
    cr_assert_eq(writer->finished, writer->submitted);
    cr_assert_eq(writer->in_flight_bytes, 0);
    cr_assert(writer_may_submit(&b.journal, writer, handed, 8));
    bench_close(&b);
}

Test(writer, no_more_groups_than_it_can_tell_apart_lie_behind_a_slow_write)
{
    struct bench b;
    struct writer *writer = &b.journal.steps_writer;
    uint64_t ended = 1;

    bench_open(&b, 64 * BLOCK);
    writer->capacity = UINT64_C(1) << 30;
    begin_file(&b);
    for (unsigned i = 0; i < 2 * JOURNAL_WRITES_MAX; i++)
        add_group(&b, 1);
    while (pawl__writer_submit(&b.journal, writer, 2 * JOURNAL_WRITES_MAX, 8)) {
        for (; ended < writer->submitted; ended++)
            pawl__writer_done(writer, journal_tag(&b.journal, WRITE_STEPS, ended));
        b.queue.used = 1;
    }
    cr_assert_eq(writer->submitted, JOURNAL_WRITES_MAX);
    cr_assert(pawl__writer_done(writer, journal_tag(&b.journal, WRITE_STEPS, 0)));
    cr_assert_eq(writer->finished, JOURNAL_WRITES_MAX);
    cr_assert(writer_may_submit(&b.journal, writer, 2 * JOURNAL_WRITES_MAX, 8));
    bench_close(&b);
}
