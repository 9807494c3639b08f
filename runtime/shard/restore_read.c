/*
 * restore_read.c - from a shard's files to its image: which snapshot, and which part of the
 * journal.
 *
 * Layer: shard. Nothing is written, and nothing is believed: the readers check each byte
 * (store/reader.h). What is checked here is what lies between files: that the journal reaches back
 * to the snapshot's base and up to it, that no file is younger than the manifest, and that none is
 * missing of which the manifest or a file behind it tells.
 *
 * A snapshot that is damaged is passed over with a warning: the one before and the journal from its
 * base on are kept for that. Without any snapshot the journal must begin at LSN 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/planted.h"
#include "shard/restore.h"
#include "shard/restore_image.h"
#include "store/reader.h"

#define PROGRESS_BYTES (UINT64_C(16) << 20) /* between two calls of the host */

/* A snapshot's end, or none: what the journal must continue. */
struct base {
    uint64_t lsn;
    uint64_t file;
    uint32_t previous_crc;
};

/* Frames that take effect together are gathered until the last is there. */
struct chain {
    uint8_t *bytes; /* for each: its time, its size, its entries */
    size_t size;
    size_t capacity;
};

static int fail_in(struct image *image, int error, const struct store_file *file, uint64_t offset)
{
    char name[STORE_NAME_MAX];

    pawl__store_file_name(file, name);
    snprintf(image->fault.where, sizeof(image->fault.where), "shard %u, %s, offset %llu",
             image->number, name, (unsigned long long)offset);
    return error;
}

/* ---- The set ---- */

int pawl__restore_list(const struct restore_options *options, struct store_file **files,
                       size_t *count, char *what, size_t size)
{
    const struct manifest *manifest = options->manifest;
    uint32_t later;
    const int error = pawl__store_list_set(options->storage, options->directory, manifest->set,
                                           files, count, &later);

    if (error != 0) {
        snprintf(what, size, "the directory cannot be listed");
        return error;
    }
    /* To go on would remove them, and they are the store. */
    if (later != 0) {
        snprintf(what, size,
                 "there are journals of set %u, but the manifest only knows of set %u: the "
                 "manifest is an older copy; put the right one back. Nothing was changed",
                 later, manifest->set);
        return -EBADMSG;
    }
    if (*count > 0 && (*files)[*count - 1].shard >= manifest->shards) {
        snprintf(what, size,
                 "there are files of more shards than the manifest says: the manifest is an older "
                 "copy; put the right one back");
        return -EBADMSG;
    }
    return 0;
}

/* ---- Frames ---- */

static int chain_add(struct image *image, struct chain *chain, const struct reader_frame *frame)
{
    const uint64_t head[2] = {frame->header.time_ns, frame->header.size};
    const size_t size = chain->size + sizeof(head) + frame->header.size;

    if (size > chain->capacity) {
        const size_t capacity = round_up_power_of_two(size);
        uint8_t *bytes = realloc(chain->bytes, capacity);

        if (bytes == NULL)
            return pawl__image_fail(image, -ENOMEM, "there is no memory for a turn's frames");
        chain->bytes = bytes;
        chain->capacity = capacity;
    }
    memcpy(chain->bytes + chain->size, head, sizeof(head));
    memcpy(chain->bytes + chain->size + sizeof(head), frame->payload, frame->header.size);
    chain->size = size;
    return 0;
}

static int chain_apply(struct image *image, struct chain *chain)
{
    int error = 0;

    for (size_t at = 0; at < chain->size && error == 0;) {
        uint64_t head[2];

        memcpy(head, chain->bytes + at, sizeof(head));
        at += sizeof(head);
        error = pawl__image_apply(image, chain->bytes + at, head[1], head[0]);
        at += head[1];
    }
    chain->size = 0;
    return error;
}

static int frame_apply(struct image *image, struct chain *chain, const struct reader_frame *frame)
{
    int error = 0;

    if (frame->header.type != FRAME_STEPS)
        return pawl__image_fail(image, -EBADMSG, "a frame of type %u has no place in this file",
                                frame->header.type);
    if ((frame->header.flags & FRAME_MORE) != 0)
        return chain_add(image, chain, frame);
    if (chain->size > 0)
        error = chain_apply(image, chain);
    return error != 0 ? error
                      : pawl__image_apply(image, frame->payload, frame->header.size,
                                          frame->header.time_ns);
}

static int check_epoch(struct image *image, const struct image_source *source, uint64_t epoch)
{
    if (epoch <= source->manifest->epoch)
        return 0;
    return pawl__image_fail(image, -EBADMSG,
                            "it is of epoch %llu, but the manifest only knows of %llu: the "
                            "manifest is an older copy; put the right one back",
                            (unsigned long long)epoch, (unsigned long long)source->manifest->epoch);
}

/* How far the reading is: for whoever looks, and for the host if it is to be told from here. */
static void note_progress(struct image *image, const struct image_source *source, uint64_t bytes)
{
    const uint64_t before = load_relaxed(&image->bytes); /* relaxed, all: for progress only */

    store_relaxed(&image->bytes, bytes);
    if (source->progress != NULL && bytes / PROGRESS_BYTES != before / PROGRESS_BYTES)
        source->progress(source->user, image->number, bytes, load_relaxed(&image->bytes_total));
}

/* ---- Snapshots ---- */

static int snapshot_frames(struct image *image, const struct image_source *source,
                           struct reader *reader, const struct store_file *file)
{
    struct chain chain = {0};
    struct reader_frame frame;
    enum reader_result result;
    int error = 0;

    while (error == 0 && (result = pawl__reader_next(reader, &frame)) == READER_FRAME) {
        error = frame_apply(image, &chain, &frame);
        if (error != 0)
            fail_in(image, error, file, frame.offset);
        note_progress(image, source, reader->offset);
    }
    free(chain.bytes);
    if (error != 0 || result == READER_SEALED)
        return error;
    if (result == READER_FAILED)
        error = pawl__image_fail(image, reader->error, "%s", reader->what);
    else
        error = pawl__image_fail(image, -EBADMSG, "%s",
                                 result == READER_END ? "it has no seal" : reader->what);
    return fail_in(image, error, file, result == READER_END ? reader->offset : reader->where);
}

static int snapshot_read(struct image *image, const struct image_source *source,
                         const struct store_file *file, struct base *base)
{
    struct reader reader;
    int error = pawl__reader_open(&reader, source->storage, source->directory, file,
                                  source->manifest->store);

    if (error != 0) {
        pawl__image_fail(image, error, "%s", error == -ENOMEM ? "no memory" : reader.what);
        return fail_in(image, error, file, 0);
    }
    *base =
        (struct base){reader.header.base_lsn, reader.header.base_file, reader.header.previous_crc};
    error = check_epoch(image, source, reader.header.epoch);
    if (error != 0)
        fail_in(image, error, file, 0);
    else
        error = snapshot_frames(image, source, &reader, file);
    pawl__reader_close(&reader);
    return error;
}

/* A damaged snapshot is no loss while there is another way. */
static bool can_be_passed_over(int error)
{
    return error == -EBADMSG || error == -EIO;
}

static void warn(struct image *image)
{
    snprintf(image->warning, sizeof(image->warning),
             "%.120s: %.220s; the snapshot before it and the journal take its place",
             image->fault.where, image->fault.what);
}

/* The newest whole snapshot; base is left alone where there is none. */
static int read_snapshots(struct image *image, const struct image_source *source, struct base *base)
{
    for (size_t i = source->files_count; i-- > 0;) {
        const struct store_file *file = &source->files[i];
        struct base found;
        int error;

        if (file->kind != FILE_SNAPSHOT)
            continue;
        if (image->position.snapshot == 0)
            image->position.snapshot = file->file + 1;
        error = snapshot_read(image, source, file, &found);
        if (error == 0) {
            *base = found;
            image->base_file = found.file;
            image->base_snapshot = file->file;
            return 0;
        }
        if (!can_be_passed_over(error))
            return error;
        warn(image);
        error = pawl__image_clear(image);
        if (error != 0)
            return pawl__image_fail(image, error, "there is no memory to begin again");
    }
    return 0;
}

/* ---- The journal ---- */

static int journal_frames(struct image *image, const struct image_source *source,
                          struct journal_reader *journal, uint64_t base_lsn)
{
    const uint64_t before = load_relaxed(&image->bytes); /* relaxed: our own */
    struct chain chain = {0};
    struct reader_frame frame;
    const uint64_t begins =
        journal->parts[0].first_lsn; /* of the first file: its seal has an LSN too */
    enum reader_result result;
    bool first = true;
    int error = 0;

    /* Before a frame is asked for: there may be none. */
    if (begins > base_lsn + 1) {
        pawl__image_fail(image, -EBADMSG,
                         "the journal begins at LSN %llu, but what it continues ends at %llu: "
                         "files in between are missing; put them back",
                         (unsigned long long)begins, (unsigned long long)base_lsn);
        return fail_in(image, -EBADMSG, &journal->files[0], 0);
    }
    while (error == 0 && (result = pawl__journal_reader_next(journal, &frame)) == READER_FRAME) {
        if (first)
            error = check_epoch(image, source, journal->reader.header.epoch);
        first = false;
        if (error == 0 && frame.header.lsn > base_lsn)
            error = frame_apply(image, &chain, &frame);
        if (error != 0)
            fail_in(image, error, &journal->files[journal->at], frame.offset);
        note_progress(image, source, before + journal->bytes);
    }
    if (error == 0 && chain.size > 0 && planted(PLANTED_MORE_IGNORED))
        error = chain_apply(image, &chain);
    free(chain.bytes);
    if (error != 0)
        return error;
    if (result == READER_CORRUPT || result == READER_FAILED) {
        snprintf(image->fault.where, sizeof(image->fault.where), "shard %u, journal",
                 image->number);
        return pawl__image_fail(image, result == READER_FAILED ? journal->reader.error : -EBADMSG,
                                "%s", journal->what);
    }
    return check_epoch(image, source, journal->reader.header.epoch);
}

/* The journal's files in `files`, which come first. */
static size_t journals_count(const struct image_source *source)
{
    size_t count = 0;

    while (count < source->files_count && source->files[count].kind == FILE_JOURNAL)
        count++;
    return count;
}

/*
 * Opens the journal from the file that base_lsn + 1 is in, or will be in. The snapshot's base_file
 * may be one that was not begun yet: then the file before says where the journal ends.
 */
static int journal_open(struct image *image, const struct image_source *source,
                        const struct base *base, size_t count, struct journal_reader *journal)
{
    size_t first = 0;
    int error;

    while (first + 1 < count && source->files[first + 1].file <= base->file)
        first++;
    error =
        pawl__journal_reader_open(journal, source->storage, source->directory,
                                  source->files + first, count - first, source->manifest->store);
    while (error == 0 && journal->files_count == 0 && first > 0) {
        first--;
        pawl__journal_reader_close(journal);
        error = pawl__journal_reader_open(journal, source->storage, source->directory,
                                          source->files + first, count - first,
                                          source->manifest->store);
    }
    if (error == 0)
        return 0;
    snprintf(image->fault.where, sizeof(image->fault.where), "shard %u, journal", image->number);
    return pawl__image_fail(image, error, "%s",
                            error == -ENOMEM ? "there is no memory to read it" : journal->what);
}

static int snapshot_missing(struct image *image)
{
    snprintf(image->fault.where, sizeof(image->fault.where), "shard %u", image->number);
    return pawl__image_fail(
        image, -EBADMSG,
        "%s%sno snapshot is whole, and its journal does not begin at the beginning: put the "
        "files back",
        image->warning, image->warning[0] != '\0' ? "; " : "");
}

/* A snapshot of a journal that has begun: what follows its base lies in a file. */
static bool needs_journal(const struct base *base)
{
    return base->lsn > 0 && base->file > 0;
}

static int fail_journal(struct image *image)
{
    snprintf(image->fault.where, sizeof(image->fault.where), "shard %u, journal", image->number);
    return -EBADMSG;
}

/* No file of the journal has begun. */
static int check_none(struct image *image, const struct image_source *source,
                      const struct base *base)
{
    if (needs_journal(base)) {
        pawl__image_fail(image, -EBADMSG,
                         "there is a snapshot taken at LSN %llu, but no journal: file %llu and "
                         "those behind it are missing; put them back",
                         (unsigned long long)base->lsn, (unsigned long long)base->file);
        return fail_journal(image);
    }
    if (!manifest_is_begun(source->manifest))
        return 0;
    pawl__image_fail(image, -EBADMSG,
                     "there is none, but each shard of set %u has begun one: its files are "
                     "missing; put them back, or the manifest if it is an older copy",
                     source->manifest->set);
    return fail_journal(image);
}

/*
 * An epoch that was closed in order has begun a file of each shard's journal. In one that was not,
 * the shard's may be still to come.
 */
static int check_last(struct image *image, const struct image_source *source, uint64_t epoch)
{
    const struct manifest *manifest = source->manifest;

    if (!manifest->closed || !manifest_is_begun(manifest) || epoch >= manifest->epoch)
        return 0;
    pawl__image_fail(image, -EBADMSG,
                     "it ends in epoch %llu, but epoch %llu was closed in order: its last files "
                     "are missing; put them back",
                     (unsigned long long)epoch, (unsigned long long)manifest->epoch);
    return fail_journal(image);
}

/*
 * Files prepared ahead continue the numbers of those that have begun, and are removed so that the
 * lowest goes last (store_leftovers.c): it tells how many must be there before it.
 */
static int check_prepared(struct image *image, const struct image_source *source, size_t prepared)
{
    const uint64_t next = image->position.file;

    if (prepared == journals_count(source) || source->files[prepared].file == next)
        return 0;
    pawl__image_fail(image, -EBADMSG,
                     "its next file is number %llu, but the lowest of those prepared is %llu: "
                     "files in between are missing; put them back",
                     (unsigned long long)next, (unsigned long long)source->files[prepared].file);
    return fail_journal(image);
}

static int read_files(struct image *image, const struct image_source *source,
                      const struct base *base, struct journal_reader *journal)
{
    const size_t count = journal->files_count;
    struct store_position *position = &image->position;
    int error;

    if (count == 0) {
        error = check_none(image, source, base);
        return error != 0 ? error : check_prepared(image, source, 0);
    }
    error = journal_frames(image, source, journal, base->lsn);
    position->lsn = journal->reader.lsn;
    position->previous_crc = journal->reader.previous_crc;
    position->file = journal->files[count - 1].file + 1;
    if (error == 0)
        error = check_last(image, source, journal->parts[count - 1].epoch);
    return error != 0
               ? error
               : check_prepared(image, source, (size_t)(journal->files - source->files) + count);
}

static int read_journal(struct image *image, const struct image_source *source,
                        const struct base *base)
{
    const size_t count = journals_count(source);
    struct store_position *position = &image->position;
    struct journal_reader journal;
    int error = 0;

    position->lsn = base->lsn + 1;
    position->previous_crc = base->previous_crc;
    position->file = base->file > 0 ? base->file : 1;
    if (count == 0)
        return check_none(image, source, base);
    error = journal_open(image, source, base, count, &journal);
    if (error != 0)
        return error;
    error = read_files(image, source, base, &journal);
    pawl__journal_reader_close(&journal);
    if (error == 0 && position->lsn <= base->lsn) {
        error = fail_journal(image);
        pawl__image_fail(image, error,
                         "it ends at LSN %llu, but the snapshot was taken at %llu: its last files "
                         "are missing; put them back",
                         (unsigned long long)position->lsn - 1, (unsigned long long)base->lsn);
    }
    return error;
}

/* For progress: what the files that will be read hold together. */
static void count_bytes(struct image *image, const struct image_source *source)
{
    uint64_t total = 0;

    for (size_t i = 0; i < source->files_count; i++) {
        char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
        int64_t size = 0;
        void *file;

        /* Of the snapshots, which come last, only the newest. */
        if (source->files[i].kind == FILE_SNAPSHOT && i + 1 < source->files_count)
            continue;
        pawl__store_file_name(&source->files[i], name);
        if (pawl__store_path(source->directory, name, path) != 0 ||
            source->storage->open(source->storage->user, path, PAWL_STORAGE_READ, &file) != 0)
            continue;
        size = source->storage->size(source->storage->user, file);
        source->storage->close(source->storage->user, file);
        total += size > 0 ? (uint64_t)size : 0;
    }
    store_relaxed(&image->bytes_total, total); /* relaxed: for progress only */
}

int pawl__image_read(struct image *image, const struct image_source *source)
{
    struct base base = {0};
    int error;

    count_bytes(image, source);
    error = read_snapshots(image, source, &base);
    /* A set above the first begins with a snapshot: its journal alone is not the whole state. */
    if (error == 0 && source->manifest->set > 1 && image->base_snapshot == 0)
        error = snapshot_missing(image);
    if (error == 0)
        error = read_journal(image, source, &base);
    if (image->position.snapshot == 0)
        image->position.snapshot = 1;
    image->position.time_ns = image->time_ns;
    return error;
}
