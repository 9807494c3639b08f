#include "store/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/planted.h"

/*
 * Buffers: 256 MiB of address space for groups of steps, enough for a batch in which every task
 * writes all that it may keep deferred, twice; 2 MiB for those of a snapshot.
 */
/*
 * Address space for what one batch can write at most, 128 steps of 256 events of 64 KiB: what is under
 * way inside is never refused for want of it.
 */
#define STEPS_GROUPS  16384u
#define IMAGES_GROUPS 8u

/* Zeroes are written in pieces of this size, one at a time, so that they hold no group up. */
#define ZEROES_BYTES (256u << 10)

/* How long a full disk is left alone. */
#define SPARE_RETRY_NS UINT64_C(200000000)

/* Never written; not const, so that it takes no room in the program's file. */
static _Alignas(STORE_BLOCK) uint8_t zeroes[ZEROES_BYTES];

/* ---- Making and unmaking ---- */

int pawl__journal_init(struct journal *journal, const struct journal_options *options)
{
    int error;

    memset(journal, 0, sizeof(*journal));
    journal->options = *options;
    journal->spare_first = journal->first_file = options->next_file;
    journal->snapshot_number = options->next_snapshot;
    journal->cut_file = options->cut_file;
    journal->cut_snapshot = options->cut_snapshot;
    journal->disk_bytes = options->disk_bytes;
    error = pawl__stream_init(&journal->steps, STEPS_GROUPS, options->next_lsn, options->pages);
    if (error == 0)
        error = pawl__stream_init(&journal->images, IMAGES_GROUPS, 1, options->pages);
    if (error == 0)
        error = pawl__writer_init(&journal->steps_writer, &journal->steps, FILE_JOURNAL);
    if (error == 0)
        error = pawl__writer_init(&journal->images_writer, &journal->images, FILE_SNAPSHOT);
    journal->steps_writer.next_lsn = options->next_lsn;
    journal->steps_writer.previous_crc = options->previous_crc;
    journal->steps_writer.capacity = options->segment_bytes;
    journal->images_writer.capacity = UINT64_MAX;
    journal->steps_writer.durable_lsn = options->next_lsn - 1;
    store_release(&journal->durable, options->next_lsn - 1);
    if (error != 0)
        pawl__journal_fini(journal);
    return error;
}

void pawl__journal_fini(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;

    if (journal->checking)
        pawl__reader_close(&journal->check);
    journal->checking = false;
    if (journal->spare_file != NULL)
        storage->close(storage->user, journal->spare_file);
    journal->spare_file = NULL;
    if (journal->images_writer.stream != NULL)
        pawl__writer_fini(&journal->images_writer, storage);
    if (journal->steps_writer.stream != NULL)
        pawl__writer_fini(&journal->steps_writer, storage);
    pawl__stream_fini(&journal->images);
    pawl__stream_fini(&journal->steps);
}

void pawl__journal_path(const struct journal *journal, uint16_t kind, uint64_t number, bool is_new,
                        char path[STORE_PATH_MAX])
{
    char name[STORE_NAME_MAX];

    pawl__store_file_name(&(struct store_file){.set = journal->options.set,
                                               .shard = journal->options.shard,
                                               .file = number,
                                               .kind = kind,
                                               .is_new = is_new},
                          name);
    /* The directory's length was checked when the store was opened. */
    CHECK(pawl__store_path(journal->options.directory, name, path) == 0);
}

/* ---- Failure ---- */

void pawl__journal_fail(struct journal *journal, int error, const char *action, const char *name)
{
    if (load_relaxed(&journal->failed) != 0) /* relaxed: only the pump writes it */
        return;
    snprintf(journal->what, sizeof(journal->what),
             "shard %u: %s %.100s failed; nothing more is written", journal->options.shard, action,
             name);
    store_release(&journal->failed, error); /* (J1) */
    park_wake(journal->options.wake);
}

/* A latched journal writes nothing, and holds nobody up: whatever is handed over is thrown away. */
static bool throw_away(struct stream *stream)
{
    const uint64_t handed = load_acquire(&stream->handed); /* (G2) pairs with (G1) */

    if (load_relaxed(&stream->freed) == handed) /* relaxed: only the pump writes it */
        return false;
    store_release(&stream->freed, handed); /* (G3) */
    return true;
}

static bool pump_failed(struct journal *journal)
{
    bool any;

    /* Buffers that a write still reads must stay as they are. */
    if (journal->steps_writer.in_flight > 0 || journal->images_writer.in_flight > 0)
        return false;
    if (load_acquire(&journal->snapshot_stage) == SNAPSHOT_WALKED) /* (J4) pairs with (J3) */
        store_release(&journal->snapshot_stage, SNAPSHOT_NONE);
    any = throw_away(&journal->steps);
    any |= throw_away(&journal->images);
    return any;
}

/* ---- The queue ---- */

void pawl__journal_write(struct journal *journal, void *file, const void *bytes, size_t size,
                         uint64_t offset, uint64_t tag)
{
    const struct pawl_storage *storage = journal->options.storage;
    int error;

    journal->queue->used++;
    if (journal->queue->queue == NULL) { /* whoever pumps has nothing else to do meanwhile */
        pawl__journal_done(journal, tag, storage->write(storage->user, file, bytes, size, offset));
        return;
    }
    error =
        storage->queue_write(storage->user, journal->queue->queue, file, bytes, size, offset, tag);
    /* The queue is as deep as what we count, so -EAGAIN is an error like any other. */
    if (error != 0)
        pawl__journal_done(journal, tag, error);
}

static void publish_limit(struct journal *journal)
{
    const struct writer *writer = &journal->steps_writer;
    const uint64_t usable = writer->capacity - 2 * STORE_BLOCK;
    uint64_t limit = writer->submitted_bytes;

    /*
     * The end of a file may be left over, when a group does not fit: it counts only where no other
     * file is there.
     */
    if (journal->spare_count == 0 && writer->stage == WRITER_OPEN &&
        writer->offset + STORE_BLOCK < writer->capacity)
        limit += writer->capacity - STORE_BLOCK - writer->offset;
    limit += journal->spare_count * usable;
    store_release(&journal->limit_bytes, limit); /* (J1) */
}

static void set_full(struct journal *journal, uint32_t full)
{
    if (load_relaxed(&journal->full) == full) /* relaxed: only the pump writes it */
        return;
    store_release(&journal->full, full); /* (J1) */
    park_wake(journal->options.wake);    /* a snapshot may be due */
}

/* The disk was full: it is left alone for a while. */
static void retry_later(struct journal *journal)
{
    const struct pawl_clock *clock = journal->options.clock;

    set_full(journal, 1);
    journal->spare_retry_ns = clock->now_ns(clock->user) + SPARE_RETRY_NS;
}

static bool is_over_quota(const struct journal *journal)
{
    const struct journal_options *options = &journal->options;

    /* Without a single file nothing could ever be cut. */
    return options->quota_bytes != 0 &&
           (journal->spare_count > 0 || journal->steps_writer.number != 0) &&
           journal->disk_bytes + options->segment_bytes > options->quota_bytes;
}

/* Whether another file is wanted: one more than what the ends of all tasks need. */
static bool wants_spare(const struct journal *journal)
{
    const uint64_t usable = journal->options.segment_bytes - 2 * STORE_BLOCK;

    return journal->spare_count == 0 ||
           (journal->spare_count - 1) * usable < load_acquire(&journal->reserve_bytes);
}

static bool may_have_spare(const struct journal *journal)
{
    const struct pawl_clock *clock = journal->options.clock;

    return wants_spare(journal) && !is_over_quota(journal) &&
           (journal->spare_retry_ns == 0 || clock->now_ns(clock->user) >= journal->spare_retry_ns);
}

static uint64_t zeroes_piece(const struct journal *journal)
{
    const uint64_t rest = journal->options.segment_bytes - journal->spare_bytes;

    return rest < ZEROES_BYTES ? rest : ZEROES_BYTES;
}

static void zeroes_done(struct journal *journal, int64_t result)
{
    const struct pawl_storage *storage = journal->options.storage;
    const uint64_t piece = zeroes_piece(journal);
    char path[STORE_PATH_MAX];

    journal->spare_writing = false;
    /*
     * A write that was cut short does not say why. Nothing depends on this file yet: it is asked
     * again, by a call that does.
     */
    if ((result >= 0 && (uint64_t)result < piece) || result == -EIO)
        result =
            storage->write(storage->user, journal->spare_file, zeroes, piece, journal->spare_bytes);
    if (result == (int64_t)piece) {
        journal->spare_bytes += (uint64_t)result;
        journal->disk_bytes += (uint64_t)result;
        return;
    }
    /* A full disk is looked at again, and meanwhile the room that is left is all there is. */
    storage->close(storage->user, journal->spare_file);
    journal->spare_file = NULL;
    journal->disk_bytes -= journal->spare_bytes;
    pawl__journal_path(journal, FILE_JOURNAL, journal->spare_first + journal->spare_count, false,
                       path);
    storage->remove(storage->user, path);
    if (result == -ENOSPC || result == -EDQUOT)
        retry_later(journal);
    else
        pawl__journal_fail(journal, result < 0 ? (int)result : -EIO, "preparing", path);
}

static void steps_done(struct journal *journal, uint64_t tag)
{
    struct writer *writer = &journal->steps_writer;
    const struct stream *stream = &journal->steps;

    if (!pawl__writer_done(writer, tag))
        return;
    store_release(&journal->durable, /* (J1) */
                  stream->groups[(writer->finished - 1) & (stream->groups_count - 1)].last_serial);
    store_release(&journal->steps.freed, writer->finished); /* (G3) pairs with (G4) */
    park_wake(journal->options.wake);
}

static void images_done(struct journal *journal, uint64_t tag)
{
    if (pawl__writer_done(&journal->images_writer, tag)) {
        store_release(&journal->images.freed, journal->images_writer.finished); /* (G3) */
        park_wake(journal->options.wake);
    }
}

void pawl__journal_done(struct journal *journal, uint64_t tag, int64_t result)
{
    const enum journal_write write = tag_write(tag);
    const bool is_short =
        result >= 0 && write != WRITE_ZEROES && (uint64_t)result != pawl__writer_size(journal, tag);
    char name[32];

    journal->queue->used--;
    if (write == WRITE_ZEROES) {
        zeroes_done(journal, result);
        return;
    }
    if ((result < 0 || is_short) && !planted(PLANTED_FAILURE_IGNORED)) {
        const bool steps = write == WRITE_STEPS || write == WRITE_STEPS_BLOCK;
        struct writer *writer = steps ? &journal->steps_writer : &journal->images_writer;

        snprintf(name, sizeof(name), "%llu", (unsigned long long)writer->number);
        if (write == WRITE_STEPS || write == WRITE_IMAGES)
            writer->in_flight--;
        if (!steps) { /* nothing depends on a snapshot that is not whole: it is dropped */
            journal->images_error = is_short ? -EIO : (int)result;
            return;
        }
        pawl__journal_fail(journal, is_short ? -EIO : (int)result,
                           write == WRITE_STEPS ? "writing to the journal, file"
                                                : "writing a header or seal of the journal, file",
                           name);
        return;
    }
    switch (write) {
    case WRITE_STEPS:
    case WRITE_STEPS_BLOCK:
        steps_done(journal, tag);
        break;
    case WRITE_IMAGES:
    case WRITE_IMAGES_BLOCK:
        images_done(journal, tag);
        break;
    case WRITE_ZEROES:
        break;
    }
}

/* ---- Files prepared ahead ---- */

static bool open_spare(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    char path[STORE_PATH_MAX];
    int error;

    pawl__journal_path(journal, FILE_JOURNAL, journal->spare_first + journal->spare_count, false,
                       path);
    error = storage->open(storage->user, path, PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE,
                          &journal->spare_file);
    journal->spare_bytes = 0;
    journal->spare_writing = false;
    if (error == 0)
        return true;
    journal->spare_file = NULL;
    if (error == -ENOSPC || error == -EDQUOT)
        retry_later(journal);
    else
        pawl__journal_fail(journal, error, "making", path);
    return false;
}

/* All zeroes are written: the file's name is made durable too, and it counts. */
static void finish_spare(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    int error = storage->close(storage->user, journal->spare_file);

    journal->spare_file = NULL;
    if (error == 0 && !planted(PLANTED_DIRECTORY_NOT_SYNCED))
        error = storage->sync_directory(storage->user, journal->options.directory);
    if (error != 0) {
        pawl__journal_fail(journal, error, "syncing the directory of", "the journal");
        return;
    }
    journal->spare_count++;
    journal->spare_retry_ns = 0;
    publish_limit(journal);
    set_full(journal, wants_spare(journal) && is_over_quota(journal));
    park_wake(journal->options.wake);
}

static bool pump_spares(struct journal *journal)
{
    const uint64_t size = journal->options.segment_bytes;
    uint64_t piece;

    if (journal->spare_writing || !journal_queue_has_room(journal))
        return false;
    if (journal->spare_file == NULL && !may_have_spare(journal)) {
        if (is_over_quota(journal))
            set_full(journal, wants_spare(journal));
        return false;
    }
    if (journal->spare_file == NULL && !open_spare(journal))
        return false;
    if (journal->spare_bytes == size) {
        finish_spare(journal);
        return true;
    }
    piece = zeroes_piece(journal);
    journal->spare_writing = true;
    pawl__journal_write(journal, journal->spare_file, zeroes, piece, journal->spare_bytes,
                        journal_tag(journal, WRITE_ZEROES, 0));
    return true;
}

/* ---- The journal's own files ---- */

/* As soon as there is one, so that a snapshot's base always lies in a file that exists. */
static bool begin_file(struct journal *journal)
{
    const struct pawl_storage *storage = journal->options.storage;
    char path[STORE_PATH_MAX];
    void *file;
    int error;

    if (journal->spare_count == 0 || !journal_queue_has_room(journal))
        return false;
    pawl__journal_path(journal, FILE_JOURNAL, journal->spare_first, false, path);
    error = storage->open(storage->user, path, PAWL_STORAGE_DURABLE, &file);
    if (error != 0) {
        pawl__journal_fail(journal, error, "opening", path);
        return true;
    }
    pawl__writer_begin(journal, &journal->steps_writer, file, journal->spare_first, 0, 0);
    journal->spare_first++;
    journal->spare_count--;
    pawl__images_publish(journal);
    return true;
}

static bool seal_file(struct journal *journal)
{
    struct writer *writer = &journal->steps_writer;

    if (planted(PLANTED_SEAL_NOT_AWAITED)) {
        writer->stage = WRITER_SEALED;
        return true;
    }
    /* What the seal counts must be durable before it is. */
    if (writer->in_flight > 0 || !journal_queue_has_room(journal))
        return false;
    pawl__writer_seal(journal, writer);
    return true;
}

static bool pump_steps(struct journal *journal, uint64_t handed)
{
    struct writer *writer = &journal->steps_writer;
    bool any = false;

    switch (writer->stage) {
    case WRITER_SEALED:
        if (writer->in_flight > 0)
            return false;
        pawl__writer_close(journal, writer);
        return true;
    case WRITER_NONE:
        return begin_file(journal);
    case WRITER_FULL:
        return seal_file(journal);
    case WRITER_OPEN:
        any = pawl__writer_submit(journal, writer, handed, journal->options.writes_max);
        if (any)
            publish_limit(journal);
        return any;
    case WRITER_HEADER:
    case WRITER_SEALING:
        break;
    }
    return false;
}

/* ---- The pump ---- */

bool pawl__journal_pump(struct journal *journal)
{
    /* Before the look at the snapshot's stage: the head of journal.h says why. */
    const uint64_t handed = load_acquire(&journal->steps.handed); /* (G2) pairs with (G1) */
    bool any;

    if (unlikely(load_relaxed(&journal->failed) != 0)) /* relaxed: only the pump writes it */
        return pump_failed(journal);
    any = pawl__images_pump(journal);
    any |= pump_steps(journal, handed);
    any |= pump_spares(journal);
    return any;
}

/* No file to write to, and none to be had. */
static bool has_no_room(const struct journal *journal)
{
    return load_relaxed(&journal->full) != 0 && /* relaxed: only the pump writes it */
           journal->steps_writer.stage == WRITER_NONE && journal->spare_count == 0;
}

int pawl__journal_begin(struct journal *journal)
{
    struct journal_queue direct = {.depth = 1};
    int error;

    journal->queue = &direct;
    /* relaxed, all: nobody else is there yet. That there will be no second file is no error. */
    while ((journal->steps_writer.stage != WRITER_OPEN ||
            load_relaxed(&journal->durable) != journal->steps.serial) &&
           load_relaxed(&journal->failed) == 0 && !has_no_room(journal))
        pawl__journal_pump(journal);
    journal->queue = NULL;
    error = load_relaxed(&journal->failed);
    if (error != 0)
        return error;
    return load_relaxed(&journal->durable) == journal->steps.serial ? 0 : -ENOSPC;
}

bool pawl__journal_has_work(const struct journal *journal)
{
    const struct writer *writer = &journal->steps_writer;

    if (load_relaxed(&journal->failed) != 0) /* relaxed: only the pump writes it */
        return load_relaxed(&journal->steps.freed) != load_acquire(&journal->steps.handed);
    if (writer_may_submit(journal, writer, load_acquire(&journal->steps.handed), /* (G2) */
                          journal->options.writes_max))
        return true;
    if (writer->stage == WRITER_NONE && journal->spare_count > 0)
        return true;
    if (!journal->spare_writing && (journal->spare_file != NULL || may_have_spare(journal)))
        return true;
    return pawl__images_has_work(journal);
}

bool pawl__journal_is_idle(const struct journal *journal)
{
    const struct writer *writer = &journal->steps_writer;

    if (writer->in_flight > 0 || journal->images_writer.in_flight > 0 || journal->spare_writing)
        return false;
    if (load_relaxed(&journal->failed) != 0) /* relaxed: only the pump writes it */
        return true;
    if (writer->stage == WRITER_HEADER || writer->stage == WRITER_SEALING ||
        journal->images_writer.stage == WRITER_HEADER ||
        journal->images_writer.stage == WRITER_SEALING)
        return false;
    return writer->submitted == load_acquire(&journal->steps.handed);
}

void pawl__journal_seal(struct journal *journal)
{
    if (load_relaxed(&journal->failed) == 0 && journal->steps_writer.stage == WRITER_OPEN)
        journal->steps_writer.stage = WRITER_FULL;
}
