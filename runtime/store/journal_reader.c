/*
 * journal_reader.c - a shard's journal files as one sequence.
 *
 * The headers are read first, because a later file may take back the end of an earlier one: an
 * epoch that found a torn tail, or a chain of frames without its last, goes on before them. From
 * the first LSNs of all later files follows for each file where its frames stop to count; a file
 * that begins at or behind that place is void as a whole and is not looked at.
 */
#include <errno.h>
#include <pawl/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/planted.h"
#include "store/frame.h"
#include "store/reader.h"

/* ---- what is told ---------------------------------------------------------------------------- */

static void name_of(const struct journal_reader *journal, size_t index, char name[STORE_NAME_MAX])
{
    pawl__store_file_name(&journal->files[index], name);
}

static enum reader_result corrupt(struct journal_reader *journal, size_t index, uint64_t where,
                                  const char *wrong)
{
    char name[STORE_NAME_MAX];

    name_of(journal, index, name);
    snprintf(
        journal->what, sizeof(journal->what),
        "%s, offset %llu: %s; nothing was changed: restore the directory from a copy, or save what "
        "can be read with `pawl salvage`",
        name, (unsigned long long)where, wrong);
    return planted(PLANTED_CORRUPT_AS_TORN) ? READER_TORN : READER_CORRUPT;
}

static enum reader_result failed(struct journal_reader *journal, size_t index)
{
    char name[STORE_NAME_MAX];

    name_of(journal, index, name);
    snprintf(journal->what, sizeof(journal->what), "%s: %s (%s)", name, journal->reader.what,
             pawl_strerror(journal->reader.error));
    return READER_FAILED;
}

/* ---- files that were never begun ------------------------------------------------------------- */

/* Where the first group of a file that was begun must have left something. */
#define BLANK_BYTES (STORE_BLOCK + (size_t)JOURNAL_INFLIGHT_MAX)
#define BLANK_PIECE ((size_t)256 << 10)

static int is_blank_file(const struct pawl_storage *storage, void *file, bool *is_blank)
{
    uint8_t *const bytes = malloc(BLANK_PIECE);
    uint64_t offset = 0;
    int64_t got = 1;

    if (bytes == NULL)
        return -ENOMEM;
    *is_blank = true;
    while (*is_blank && offset < BLANK_BYTES && got > 0) {
        got = storage->read(storage->user, file, bytes, offset == 0 ? STORE_BLOCK : BLANK_PIECE,
                            offset);
        if (got > 0) {
            *is_blank = pawl__is_zero(bytes, (size_t)got);
            offset += (uint64_t)got;
        }
    }
    free(bytes);
    return got < 0 ? (int)got : 0;
}

/*
 * Files are prepared ahead under their names, zero-filled, and a header is durable before any frame
 * of its file is written. So a file that is nothing but zeroes, whatever its length, is no part of
 * the journal yet. Leaves such files out, from the end.
 */
static int leave_blanks_out(struct journal_reader *journal)
{
    const struct pawl_storage *const storage = journal->storage;
    bool is_blank = true;
    int rc = 0;

    while (rc == 0 && is_blank && journal->files_count > 0) {
        char name[STORE_NAME_MAX];
        char path[STORE_PATH_MAX];
        void *file;

        name_of(journal, journal->files_count - 1, name);
        rc = pawl__store_path(journal->directory, name, path);
        if (rc == 0)
            rc = storage->open(storage->user, path, PAWL_STORAGE_READ, &file);
        if (rc == 0) {
            rc = is_blank_file(storage, file, &is_blank);
            storage->close(storage->user, file);
        }
        if (rc == 0)
            journal->files_count -= is_blank;
    }
    if (rc != 0) {
        snprintf(journal->reader.what, sizeof(journal->reader.what),
                 "the storage could not read it");
        journal->reader.error = rc;
        failed(journal, journal->files_count - 1);
    }
    return rc;
}

/* ---- open ------------------------------------------------------------------------------------ */

/* Reads the header of one file. */
static int read_part(struct journal_reader *journal, size_t index)
{
    struct reader *const reader = &journal->reader;
    struct journal_file *const part = &journal->parts[index];
    const int rc = pawl__reader_open(reader, journal->storage, journal->directory,
                                     &journal->files[index], journal->store);

    if (rc == 0) {
        *part = (struct journal_file){.first_lsn = reader->header.first_lsn,
                                      .epoch = reader->header.epoch,
                                      .previous_crc = reader->header.previous_crc};
        pawl__reader_close(reader);
    } else if (rc == -EBADMSG) {
        corrupt(journal, index, 0, reader->what);
    } else {
        reader->error = rc;
        failed(journal, index);
    }
    return rc;
}

/* What the names and headers of two neighbours must agree on. */
static const char *check_neighbours(const struct journal_reader *journal, size_t index)
{
    const struct store_file *const before = &journal->files[index - 1];
    const struct store_file *const file = &journal->files[index];
    const struct journal_file *const parts = journal->parts;

    if (file->set != before->set || file->shard != before->shard)
        return "the file is of another shard or set than those before it";
    if (file->file <= before->file)
        return "a file has the number of another one";
    if (file->file != before->file + 1)
        return "the files between this one and the one before it are missing";
    if (parts[index].epoch < parts[index - 1].epoch)
        return "the file is of an earlier epoch than the one before it";
    if (parts[index].epoch == parts[index - 1].epoch &&
        parts[index].first_lsn <= parts[index - 1].first_lsn)
        return "the file begins before the one that it continues";
    return NULL;
}

static int check_files(struct journal_reader *journal)
{
    uint64_t stop_lsn = UINT64_MAX;

    for (size_t i = 0; i < journal->files_count; i++) {
        const char *wrong = NULL;
        const int rc = read_part(journal, i);

        if (rc != 0)
            return rc;
        if (i > 0)
            wrong = check_neighbours(journal, i);
        if (wrong != NULL) {
            corrupt(journal, i, 0, wrong);
            return -EBADMSG;
        }
    }
    for (size_t i = journal->files_count; i-- > 0;) {
        journal->parts[i].stop_lsn = stop_lsn;
        if (journal->parts[i].first_lsn < stop_lsn)
            stop_lsn = journal->parts[i].first_lsn;
    }
    return 0;
}

int pawl__journal_reader_open(struct journal_reader *journal, const struct pawl_storage *storage,
                              const char *directory, const struct store_file *files,
                              size_t files_count, uint64_t store)
{
    int rc;

    memset(journal, 0, sizeof(*journal));
    journal->storage = storage;
    journal->directory = directory;
    journal->files = files;
    journal->files_count = files_count;
    journal->store = store;
    for (size_t i = 0; i < files_count; i++)
        CHECK(files[i].kind == FILE_JOURNAL && !files[i].is_new);
    rc = leave_blanks_out(journal);
    if (rc != 0)
        return rc;
    journal->result = journal->files_count > 0 ? READER_FRAME : READER_END;
    journal->parts = calloc(journal->files_count + 1, sizeof(*journal->parts));
    rc = journal->parts == NULL ? -ENOMEM : check_files(journal);
    if (rc != 0) {
        free(journal->parts);
        journal->parts = NULL;
    }
    return rc;
}

void pawl__journal_reader_close(struct journal_reader *journal)
{
    if (journal->open)
        pawl__reader_close(&journal->reader);
    journal->open = false;
    free(journal->parts);
    journal->parts = NULL;
}

/* ---- from file to file ----------------------------------------------------------------------- */

static bool is_void(const struct journal_reader *journal, size_t index)
{
    return journal->parts[index].first_lsn >= journal->parts[index].stop_lsn;
}

/*
 * Opens file `index`, the first one or the one that goes on where the open one stops. What the
 * reader knows of the sequence goes on with it.
 */
static enum reader_result open_part(struct journal_reader *journal, size_t index)
{
    struct reader *const reader = &journal->reader;
    const uint64_t chain_lsn = journal->open ? reader->chain_lsn : 0;
    const uint32_t chain_crc = reader->chain_crc;
    int rc;

    if (journal->open) {
        journal->bytes_before += reader->offset;
        pawl__reader_close(reader);
        journal->open = false;
    }
    rc = pawl__reader_open(reader, journal->storage, journal->directory, &journal->files[index],
                           journal->store);
    if (rc == -EBADMSG)
        return corrupt(journal, index, 0, reader->what);
    if (rc != 0) {
        reader->error = rc;
        return failed(journal, index);
    }
    journal->open = true;
    journal->at = index;
    reader->chain_lsn = chain_lsn;
    reader->chain_crc = chain_crc;
    return READER_FRAME;
}

static enum reader_result open_first(struct journal_reader *journal)
{
    size_t first = 0;

    while (is_void(journal, first))
        first++;
    return open_part(journal, first);
}

/* The open file has given all that counts of it: `ended` says how. Goes on in the next one. */
static enum reader_result open_next(struct journal_reader *journal, enum reader_result ended)
{
    const struct reader *const reader = &journal->reader;
    const uint64_t stop_lsn = journal->parts[journal->at].stop_lsn;
    size_t next = journal->at + 1;
    bool new_epoch;

    while (is_void(journal, next))
        next++;
    new_epoch = journal->parts[next].epoch != journal->parts[journal->at].epoch;
    if (reader->lsn != stop_lsn)
        return corrupt(journal, journal->at,
                       ended == READER_SEALED ? reader->offset : reader->where,
                       "the file ends before the LSN at which the next one begins");
    if (!new_epoch && ended != READER_SEALED)
        return corrupt(journal, journal->at, reader->offset,
                       "the file has no seal, but the same epoch goes on in the next one");
    if (reader->previous_crc != journal->parts[next].previous_crc)
        return corrupt(journal, next, 0, "the file does not continue the one before it");
    if (new_epoch && reader->chain_lsn != 0)
        return corrupt(journal, next, 0, "a new epoch begins inside frames that belong together");
    return open_part(journal, next);
}

/* The last file has ended in a good way. */
static enum reader_result finish(struct journal_reader *journal, enum reader_result ended)
{
    struct reader *const reader = &journal->reader;

    if (reader->chain_lsn != 0 && !planted(PLANTED_MORE_IGNORED)) {
        reader->lsn = reader->chain_lsn;
        reader->previous_crc = reader->chain_crc;
    }
    return ended;
}

static enum reader_result read_next(struct journal_reader *journal, struct reader_frame *frame)
{
    struct reader *const reader = &journal->reader;

    enum reader_result result = journal->open ? READER_FRAME : open_first(journal);

    while (result == READER_FRAME) {
        const uint64_t stop_lsn = journal->parts[journal->at].stop_lsn;

        if (reader->lsn < stop_lsn)
            result = pawl__reader_next(reader, frame);
        else
            result = READER_END; /* here a later epoch went on */
        switch (result) {
        case READER_FRAME:
            return READER_FRAME;
        case READER_CORRUPT:
            return corrupt(journal, journal->at, reader->where, reader->what);
        case READER_FAILED:
            return failed(journal, journal->at);
        case READER_SEALED:
        case READER_END:
        case READER_TORN:
            break;
        }
        if (stop_lsn == UINT64_MAX)
            return finish(journal, result);
        result = open_next(journal, result);
    }
    return result;
}

enum reader_result pawl__journal_reader_next(struct journal_reader *journal,
                                             struct reader_frame *frame)
{
    if (journal->result == READER_FRAME) {
        journal->result = read_next(journal, frame);
        journal->bytes = journal->bytes_before + journal->reader.offset;
    }
    return journal->result;
}
