/*
 * stress_journal.c - a journal between two threads: one appends entries, closes frames and hands groups over, as a
 * shard does; an I/O thread writes them to real files, prepares and seals files, and writes snapshots. At the end a
 * reader goes over the files: every frame is there, in order, as it was made.
 *
 *     stress_journal [ROUNDS]
 *
 * Held: `durable` only grows and never runs ahead of what was handed over; buffers are not touched while they are
 * written (their content is checked in the files); room that is promised is there; the whole of it ends.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/random.h"
#include "store/io.h"
#include "store/reader.h"
#include "support/require.h"

#define FRAMES  6000u
#define SEGMENT (1u << 20)
#define ROUNDS  2u

struct work {
    struct journal journal;
    struct journal *journals[1];
    struct io io;
    struct park wake;
    struct pages_stats pages;
    struct random random;
    char directory[64];
    uint64_t entries; /* the next one's number: from 1 */
    uint64_t snapshots;
    uint64_t made[FRAMES + 1]; /* by serial: entries in all frames up to it */
    uint64_t seen;             /* of `durable` */
};

/* Entry number n of all: what the reader expects to find there. */
static size_t entry_size(uint64_t n)
{
    const uint64_t dice = mix64(n) % 100;

    if (dice == 0)
        return 60000 / 8 * 8;
    return 24 + 8 * (mix64(n + 1) % (dice < 10 ? 400 : 12));
}

/* A SEND with a payload, which may be of any length. */
static void entry_fill(void *to, size_t bytes, uint64_t n)
{
    struct entry_send *send = to;
    const size_t payload = bytes - sizeof(*send);

    memset(send, 0, sizeof(*send));
    send->header = (struct entry_header){.words = (uint16_t)(bytes / 8), .type = ENTRY_SEND};
    send->number = n;
    send->event.task = n + 1;
    send->event.flags = PAWL_EVENT_BUFFER;
    send->event.size = (uint32_t)payload;
    memset(send->event.payload, (int)(n & 0xff), payload);
}

static size_t entry_bytes(uint64_t n)
{
    return sizeof(struct entry_send) + entry_size(n);
}

static void *run_io(void *io)
{
    pawl__io_main(io);
    return NULL;
}

static void nap(void)
{
    usleep(20);
}

static void look(struct work *work)
{
    const uint64_t durable = load_acquire(&work->journal.durable);

    REQUIRE(durable >= work->seen);
    REQUIRE(durable <= work->journal.steps.serial);
    REQUIRE(load_acquire(&work->journal.failed) == 0);
    work->seen = durable;
}

static void hand_over(struct work *work)
{
    struct stream *steps = &work->journal.steps;

    while (stream_groups_free(steps) < 2) {
        look(work);
        nap();
    }
    pawl__stream_hand_over(steps);
    io_wake(&work->io);
}

/* A snapshot as a shard writes one: images while steps go on. */
static void snapshot_step(struct work *work)
{
    struct journal *journal = &work->journal;
    struct stream *images = &journal->images;
    static unsigned left;

    if (left == 0) {
        if (load_acquire(&journal->snapshot_stage) != SNAPSHOT_NONE)
            return;
        left = 40;
        images->serial = 0;
        store_release(&journal->snapshot_stage, SNAPSHOT_BEGUN);
        io_wake(&work->io);
        return;
    }
    while (stream_room(images) >= 8192 && left > 1) {
        entry_fill(stream_append(images, 8192), 8192, left);
        if (left % 4 == 0) {
            pawl__stream_close(images);
            if (stream_groups_free(images) > 1)
                pawl__stream_hand_over(images);
        }
        left--;
    }
    if (left > 1 || stream_groups_free(images) < 2)
        return;
    if (stream_is_open(images))
        pawl__stream_close(images);
    if (stream_has_group(images))
        pawl__stream_hand_over(images);
    if (stream_has_group(&journal->steps) && !stream_is_open(&journal->steps))
        hand_over(work);
    journal->images_end = journal->steps.serial;
    store_release(&journal->snapshot_stage, SNAPSHOT_WALKED);
    work->snapshots++;
    left = 0;
    io_wake(&work->io);
}

static void append_frame(struct work *work)
{
    struct stream *steps = &work->journal.steps;
    uint64_t serial;

    for (uint64_t count = 1 + random_below(&work->random, 12); count > 0; count--) {
        const size_t bytes = entry_bytes(work->entries);

        while (stream_room(steps) < bytes) {
            look(work);
            nap();
        }
        entry_fill(stream_append(steps, bytes), bytes, work->entries++);
    }
    serial = pawl__stream_close(steps);
    if (serial <= FRAMES)
        work->made[serial] = work->entries;
}

static void write_all(struct work *work)
{
    struct stream *steps = &work->journal.steps;

    while (steps->serial < FRAMES) {
        append_frame(work);
        if (random_below(&work->random, 6) == 0)
            hand_over(work);
        if (random_below(&work->random, 4) == 0)
            snapshot_step(work);
        if (random_below(&work->random, 50) == 0)
            nap();
        look(work);
    }
    if (stream_has_group(steps))
        hand_over(work);
    while (load_acquire(&work->journal.snapshot_stage) != SNAPSHOT_NONE) {
        if (load_acquire(&work->journal.snapshot_stage) == SNAPSHOT_BEGUN)
            snapshot_step(work);
        nap();
    }
    while (load_acquire(&work->journal.durable) < steps->serial) {
        look(work);
        nap();
    }
}

/* Every entry, from the first that is left on. */
static void read_all(struct work *work)
{
    struct journal_reader reader;
    struct store_file *files;
    struct reader_frame frame;
    uint64_t next = UINT64_MAX, frames = 0;
    size_t count, journals = 0;

    REQUIRE(pawl__store_list(&pawl_storage_posix, work->directory, &files, &count) == 0);
    while (journals < count && files[journals].kind == FILE_JOURNAL)
        journals++;
    REQUIRE(journals > 0);
    REQUIRE(pawl__journal_reader_open(&reader, &pawl_storage_posix, work->directory, files,
                                      journals, 77) == 0);
    while (pawl__journal_reader_next(&reader, &frame) == READER_FRAME) {
        const struct entry_header *entry = NULL;

        frames++;
        while ((entry = entry_next(frame.payload, frame.header.size, entry)) != NULL) {
            const struct entry_send *send = (const struct entry_send *)(const void *)entry;

            REQUIRE(entry->type == ENTRY_SEND);
            if (next == UINT64_MAX)
                next = send->number; /* what is before was cut */
            REQUIRE(send->number == next);
            REQUIRE(8u * entry->words == entry_bytes(next));
            REQUIRE(send->event.payload[0] == (next & 0xff));
            REQUIRE(send->event.payload[send->event.size - 1] == (next & 0xff));
            next++;
        }
    }
    if (reader.result != READER_SEALED && reader.result != READER_END)
        fprintf(stderr, "result %d: %s\n", (int)reader.result,
                reader.what[0] != '\0' ? reader.what : reader.reader.what);
    REQUIRE(reader.result == READER_SEALED || reader.result == READER_END);
    REQUIRE(next == work->entries);
    pawl__journal_reader_close(&reader);
    free(files);
    printf("%llu frames read, %llu entries written, %llu snapshots\n", (unsigned long long)frames,
           (unsigned long long)work->entries, (unsigned long long)work->snapshots);
}

static int remove_name(void *argument, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", (const char *)argument, name);
    remove(path);
    return 0;
}

static void one_round(uint64_t seed, unsigned writes_max)
{
    struct work *work = calloc(1, sizeof(*work));
    struct journal_options options = {.storage = &pawl_storage_posix,
                                      .clock = &pawl_clock_monotonic,
                                      .store = 77,
                                      .set = 1,
                                      .epoch = 1,
                                      .segment_bytes = SEGMENT,
                                      .writes_max = writes_max,
                                      .next_lsn = 1,
                                      .next_file = 1,
                                      .next_snapshot = 1};
    pthread_t thread;

    REQUIRE(work != NULL);
    snprintf(work->directory, sizeof(work->directory), "/tmp/pawl-stress-journal-XXXXXX");
    REQUIRE(mkdtemp(work->directory) != NULL);
    work->random.state = seed;
    work->entries = 1;
    options.directory = work->directory;
    options.wake = &work->wake;
    options.pages = &work->pages;
    work->journals[0] = &work->journal;
    REQUIRE(pawl__park_init(&work->wake, true) == 0);
    REQUIRE(pawl__journal_init(&work->journal, &options) == 0);
    REQUIRE(pawl__io_open(&work->io, &pawl_storage_posix, work->journals, 0, 1, writes_max, true) ==
            0);
    REQUIRE(pthread_create(&thread, NULL, run_io, &work->io) == 0);
    write_all(work);
    store_release(&work->io.stop, 1);
    park_wake(&work->io.park);
    pthread_join(thread, NULL);
    REQUIRE(load_acquire(&work->journal.failed) == 0);
    REQUIRE(load_acquire(&work->journal.durable) == work->journal.steps.serial);
    REQUIRE(load_acquire(&work->journal.snapshots) == work->snapshots);
    pawl__io_close(&work->io);
    pawl__journal_fini(&work->journal);
    pawl__park_fini(&work->wake);
    read_all(work);
    pawl_storage_posix.list(pawl_storage_posix.user, work->directory, remove_name, work->directory);
    rmdir(work->directory);
    free(work);
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : ROUNDS;

    for (unsigned round = 0; round < rounds; round++)
        one_round(round + 1, round % 2 == 0 ? 8 : 1);
    return 0;
}
