/*
 * images.c - the pump's part in a snapshot: write, read back, wait for the journal, rename, cut.
 *
 * Layer: store. Owner: the pump. A snapshot that cannot be written (the disk is full) is dropped,
 * and the journal goes on: nothing depends on it until the journal is cut. What is cut leaves two
 * generations: the new snapshot, the one before, and the journal from that one's base on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/planted.h"
#include "store/journal.h"

/* Bytes read back in one round of the pump: groups must not wait long. */
#define CHECK_BYTES (1u << 20)

/* Groups of a snapshot under way at once. */
#define IMAGES_WRITES 2u

static void stage_none(struct journal *journal)
{
    journal->snapshot_step = SNAPSHOT_STEP_NONE;
    store_release(&journal->snapshot_stage, SNAPSHOT_NONE); /* (J3) */
    park_wake(journal->options.wake);
}

static void remove_new(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    char path[STORE_PATH_MAX];

    pawl__journal_path(journal, FILE_SNAPSHOT, journal->snapshot_number, true, path);
    storage->remove(storage->user, path);
}

/* ---- What there is ---- */

/* 0 where it cannot be looked at. */
static uint64_t size_of(const struct journal *journal, const struct store_file *name)
{
    const struct pawl_storage *storage = journal->options.storage;
    char path[STORE_PATH_MAX];
    int64_t size;
    void *file;

    pawl__journal_path(journal, name->kind, name->file, false, path);
    if (storage->open(storage->user, path, PAWL_STORAGE_READ, &file) != 0)
        return 0;
    size = storage->size(storage->user, file);
    storage->close(storage->user, file);
    return size > 0 ? (uint64_t)size : 0;
}

static bool is_ours(const struct journal *journal, const struct store_file *file)
{
    return file->set == journal->options.set && file->shard == journal->options.shard &&
           !file->is_new;
}

uint64_t pawl__images_find(struct journal *journal)
{
    const struct journal_options *options = &journal->options;
    struct store_file *files;
    uint64_t bytes = 0;
    size_t count;

    if (pawl__store_list(options->storage, options->directory, &files, &count) != 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(journal, &files[i]))
            continue;
        if (files[i].kind == FILE_SNAPSHOT) {
            if (files[i].file == options->cut_snapshot)
                store_release(&journal->snapshot_bytes, size_of(journal, &files[i]));
            continue;
        }
        if (files[i].file < journal->first_file)
            journal->first_file = files[i].file;
        /* As a whole: many openings must not leave many files that are nearly empty. */
        if (files[i].file >= options->cut_file)
            bytes += size_of(journal, &files[i]);
    }
    free(files);
    return bytes;
}

/* The first snapshot cuts nothing, the second all before the file that the first was taken in. */
void pawl__images_publish(struct journal *journal)
{
    store_release(&journal->can_cut, journal->first_file < journal->steps_writer.number); /* (J1) */
}

/* ---- From begin to end ---- */

/* The shard goes on filling groups: they are thrown away until it has walked to its end. */
static void drop(struct journal *journal, int error)
{
    if (journal->checking)
        pawl__reader_close(&journal->check);
    journal->checking = false;
    journal->images_error = 0;
    store_release(&journal->snapshot_error, error);
    pawl__writer_close(journal, &journal->images_writer);
    remove_new(journal);
    add_relaxed(&journal->snapshots_dropped, 1); /* relaxed: a counter */
    journal->snapshot_step = SNAPSHOT_STEP_DROP;
}

/* A file for what follows a base, durably begun. */
static bool has_file(const struct journal *journal)
{
    return journal->steps_writer.number != 0 && journal->steps_writer.stage != WRITER_HEADER;
}

/*
 * The shard has begun. What is submitted from now on is behind the snapshot's base. A store's first
 * set of snapshots (a rewrite's) comes before any journal: base_lsn is 0 there.
 */
static void begin(struct journal *journal)
{
    const struct writer *steps = &journal->steps_writer;

    journal->snapshot_base_lsn = steps->next_lsn - 1;
    /* The file that the next group goes to, or the one before it. */
    journal->snapshot_base_file = steps->number != 0 ? steps->number : journal->spare_first;
    journal->snapshot_step = SNAPSHOT_STEP_OPEN;
}

static bool open_file(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    struct writer *writer = &journal->images_writer;
    char path[STORE_PATH_MAX];
    void *file;
    int error;

    if (!journal_queue_has_room(journal))
        return false;
    writer->next_lsn = 1;
    writer->previous_crc = 0;
    pawl__journal_path(journal, FILE_SNAPSHOT, journal->snapshot_number, true, path);
    error = storage->open(storage->user, path, PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE, &file);
    if (error != 0) {
        drop(journal, error);
        return true;
    }
    journal->snapshot_step = SNAPSHOT_STEP_WRITE;
    pawl__writer_begin(journal, writer, file, journal->snapshot_number, journal->snapshot_base_lsn,
                       journal->snapshot_base_file);
    return true;
}

static bool write_out(struct journal *journal, uint32_t stage)
{
    struct writer *writer = &journal->images_writer;

    if (journal->images_error != 0) {
        if (writer->in_flight > 0)
            return false;
        drop(journal, journal->images_error);
        return true;
    }
    switch (writer->stage) {
    case WRITER_OPEN:
        /* (G2) pairs with (G1) */
        if (pawl__writer_submit(journal, writer, load_acquire(&journal->images.handed),
                                IMAGES_WRITES))
            return true;
        if (stage != SNAPSHOT_WALKED || writer->in_flight > 0 ||
            writer->submitted < load_acquire(&journal->images.handed) || /* (G2) */
            !journal_queue_has_room(journal))
            return false;
        pawl__writer_seal(journal, writer);
        return true;
    case WRITER_SEALED:
        store_release(&journal->snapshot_bytes, writer->offset + STORE_BLOCK);
        pawl__writer_close(journal, writer);
        journal->snapshot_step =
            planted(PLANTED_SNAPSHOT_NOT_READ_BACK) ? SNAPSHOT_STEP_AWAIT : SNAPSHOT_STEP_CHECK;
        return true;
    case WRITER_NONE:
    case WRITER_HEADER:
    case WRITER_FULL:
    case WRITER_SEALING:
        break;
    }
    return false;
}

static bool check_open(struct journal *journal)
{
    const struct store_file name = {.set = journal->options.set,
                                    .shard = journal->options.shard,
                                    .file = journal->snapshot_number,
                                    .kind = FILE_SNAPSHOT,
                                    .is_new = true};

    if (pawl__reader_open(&journal->check, journal->options.storage, journal->options.directory,
                          &name, journal->options.store) != 0)
        return false;
    journal->checking = true;
    return true;
}

/* What is on the disk must be what was written: the chain of CRCs ends as the writer's did. */
static void check(struct journal *journal)
{
    uint64_t before;

    if (!journal->checking && !check_open(journal)) {
        drop(journal, -EBADMSG);
        return;
    }
    before = journal->check.offset;
    while (journal->check.offset - before < CHECK_BYTES) {
        struct reader_frame frame;
        const enum reader_result result = pawl__reader_next(&journal->check, &frame);

        if (result == READER_FRAME)
            continue;
        if (result != READER_SEALED || journal->check.frames != journal->images_writer.frames) {
            drop(journal, -EBADMSG);
            return;
        }
        pawl__reader_close(&journal->check);
        journal->checking = false;
        journal->snapshot_step = SNAPSHOT_STEP_AWAIT;
        return;
    }
}

/*
 * Removes what two generations do not need. A file that cannot be removed stays, and does no harm.
 */
static void cut(struct journal *journal, uint64_t snapshot_kept, uint64_t file_kept)
{
    const struct pawl_storage *storage = journal->options.storage;
    struct store_file *files;
    size_t count;

    if (journal->first_file < file_kept)
        journal->first_file = file_kept;
    pawl__images_publish(journal);
    if (pawl__store_list(storage, journal->options.directory, &files, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        char path[STORE_PATH_MAX];
        uint64_t size;

        if (!is_ours(journal, &files[i]) ||
            files[i].file >= (files[i].kind == FILE_SNAPSHOT ? snapshot_kept : file_kept))
            continue;
        size = size_of(journal, &files[i]);
        pawl__journal_path(journal, files[i].kind, files[i].file, false, path);
        if (storage->remove(storage->user, path) == 0)
            journal->disk_bytes -= size < journal->disk_bytes ? size : journal->disk_bytes;
    }
    free(files);
}

static void finish(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
    int error;

    pawl__journal_path(journal, FILE_SNAPSHOT, journal->snapshot_number, true, from);
    pawl__journal_path(journal, FILE_SNAPSHOT, journal->snapshot_number, false, to);
    error = storage->rename(storage->user, from, to);
    if (error != 0) {
        drop(journal, error);
        return;
    }
    if (!planted(PLANTED_DIRECTORY_NOT_SYNCED))
        error = storage->sync_directory(storage->user, journal->options.directory);
    if (error != 0) {
        pawl__journal_fail(journal, error, "syncing the directory for", to);
        return;
    }
    journal->disk_bytes += load_relaxed(&journal->snapshot_bytes); /* relaxed: our own */
    if (planted(PLANTED_CUT_TOO_EARLY))
        cut(journal, journal->snapshot_number, journal->snapshot_base_file);
    else if (journal->cut_file != 0)
        cut(journal, journal->cut_snapshot, journal->cut_file);
    journal->cut_file = journal->snapshot_base_file;
    journal->cut_snapshot = journal->snapshot_number;
    journal->snapshot_number++;
    add_relaxed(&journal->snapshots, 1); /* relaxed: a counter */
    stage_none(journal);
}

static bool throw_away(struct journal *journal, uint32_t stage)
{
    struct writer *writer = &journal->images_writer;
    const uint64_t handed = load_acquire(&journal->images.handed); /* (G2) pairs with (G1) */

    if (writer->in_flight > 0)
        return false;
    /* Some may have ended well behind the one that failed. */
    writer->submitted = writer->finished = handed;
    writer->done = 0;
    writer->in_flight_bytes = 0;
    store_release(&journal->images.freed, handed); /* (G3) */
    if (stage == SNAPSHOT_WALKED)
        stage_none(journal);
    else
        park_wake(journal->options.wake);
    return false;
}

bool pawl__images_pump(struct journal *journal)
{
    const uint32_t stage = load_acquire(&journal->snapshot_stage); /* (J4) pairs with (J3) */

    switch (journal->snapshot_step) {
    case SNAPSHOT_STEP_NONE:
        /* Not before there is a file for what follows the base. */
        if (stage == SNAPSHOT_NONE || (!has_file(journal) && journal->options.next_lsn > 1))
            return false;
        begin(journal);
        return true;
    case SNAPSHOT_STEP_OPEN:
        return open_file(journal);
    case SNAPSHOT_STEP_WRITE:
        return write_out(journal, stage);
    case SNAPSHOT_STEP_CHECK:
        check(journal);
        return true;
    case SNAPSHOT_STEP_AWAIT:
        /* relaxed: only the pump writes it */
        if (load_relaxed(&journal->durable) < journal->images_end &&
            !planted(PLANTED_SNAPSHOT_NOT_AWAITED))
            return false;
        finish(journal);
        return true;
    case SNAPSHOT_STEP_DROP:
        return throw_away(journal, stage);
    }
    return false;
}

bool pawl__images_has_work(const struct journal *journal)
{
    const uint32_t stage = load_acquire(&journal->snapshot_stage);
    const struct writer *writer = &journal->images_writer;
    const uint64_t handed = load_acquire(&journal->images.handed);

    switch (journal->snapshot_step) {
    case SNAPSHOT_STEP_NONE:
        return stage != SNAPSHOT_NONE && (has_file(journal) || journal->options.next_lsn == 1);
    case SNAPSHOT_STEP_OPEN:
        return journal_queue_has_room(journal);
    case SNAPSHOT_STEP_WRITE:
        if (writer->stage == WRITER_SEALED ||
            (journal->images_error != 0 && writer->in_flight == 0))
            return true;
        return writer_may_submit(journal, writer, handed, IMAGES_WRITES) ||
               (writer->stage == WRITER_OPEN && writer->submitted == handed &&
                writer->in_flight == 0 && stage == SNAPSHOT_WALKED &&
                journal_queue_has_room(journal));
    case SNAPSHOT_STEP_CHECK:
        return true;
    case SNAPSHOT_STEP_AWAIT:
        return load_relaxed(&journal->durable) >= journal->images_end; /* relaxed: our own */
    case SNAPSHOT_STEP_DROP:
        return writer->in_flight == 0 &&
               (stage == SNAPSHOT_WALKED || load_relaxed(&journal->images.freed) != handed);
    }
    return false;
}
