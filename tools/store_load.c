/*
 * store_load.c - reads a store's directory into the model, without changing or locking anything.
 *
 * A shard's state is its newest whole snapshot and the journal from the snapshot's base on. An
 * older snapshot and more of the journal lead to the same state; that both do is what `pawl verify`
 * looks at.
 */
#include <inttypes.h>
#include <pawl/error.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store_image.h"

void store_say(const struct store_image *image, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    if (!image->say)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    image->say(image->user, text);
}

static void say_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    store_say(user, "%s: %s", diagnostic->where, diagnostic->what);
}

/* ---- who has it open ------------------------------------------------------------------------- */

/*
 * The lock is looked for in the kernel's list: to try it would keep an opener out for that moment.
 */
bool store_is_in_use(const char *directory)
{
    char path[STORE_PATH_MAX], line[256];
    struct stat status;
    bool found = false;
    FILE *locks;

    if (pawl__store_path(directory, "lock", path) != 0 || stat(path, &status) != 0)
        return false;
    locks = fopen("/proc/locks", "re");
    while (locks && !found && fgets(line, sizeof(line), locks)) {
        unsigned long inode;
        const char *const flock = strstr(line, "FLOCK");

        found = flock && sscanf(flock, "FLOCK %*s %*s %*d %*x:%*x:%lu", &inode) == 1 &&
                inode == status.st_ino;
    }
    if (locks)
        fclose(locks);
    return found;
}

/* ---- the directory --------------------------------------------------------------------------- */

int store_open(struct store_image *image, const struct pawl_storage *storage, const char *directory)
{
    store_say_fn *const say = image->say;
    void *const user = image->user;
    int error;

    *image = (struct store_image){
        .directory = directory, .in_use = store_is_in_use(directory), .say = say, .user = user};
    error = store_hold_open(&image->hold, storage, directory);
    if (error && error != -ENOENT) {
        store_say(image, "%s: %s (%s)", directory, pawl_strerror(error), strerror(-error));
        return error;
    }
    if (!error) {
        storage = image->storage = store_hold_storage(image->hold);
        error = pawl__manifest_read(storage, directory, say_diagnostic, image, &image->manifest);
    }
    if (error == -ENOENT)
        store_say(image, "%s: there is no manifest: this is no store, or its name is another",
                  directory);
    else if (error && error != -EBADMSG)
        store_say(image, "%s/manifest: %s (%s)", directory, pawl_strerror(error), strerror(-error));
    if (error) {
        store_close(image);
        return error;
    }
    error = pawl__store_list(storage, directory, &image->files, &image->files_count);
    if (error)
        store_say(image, "%s: %s (%s)", directory, pawl_strerror(error), strerror(-error));
    if (!error)
        error = store_reset(image);
    if (error)
        store_close(image);
    return error;
}

int store_reset(struct store_image *image)
{
    const uint32_t shards = image->manifest->shards;

    for (uint32_t i = 0; image->shards && i < shards; i++)
        image_shard_fini(&image->shards[i]);
    if (!image->shards)
        image->shards = calloc(shards, sizeof(image->shards[0]));
    for (uint32_t i = 0; image->shards && i < shards; i++)
        if (image_shard_init(&image->shards[i], i, shards) != 0)
            return -ENOMEM;
    return image->shards ? 0 : -ENOMEM;
}

void store_close(struct store_image *image)
{
    for (uint32_t i = 0; image->shards && i < image->manifest->shards; i++)
        image_shard_fini(&image->shards[i]);
    free(image->shards);
    free(image->files);
    pawl__manifest_destroy(image->manifest);
    store_hold_close(image->hold);
    image->hold = NULL;
    image->shards = NULL;
    image->files = NULL;
    image->manifest = NULL;
}

const struct store_file *store_files(const struct store_image *image, uint32_t shard, uint16_t kind,
                                     size_t *count)
{
    const struct store_file *first = NULL;

    *count = 0;
    for (size_t i = 0; i < image->files_count; i++) {
        const struct store_file *const file = &image->files[i];

        if (file->set != image->manifest->set || file->shard != shard || file->kind != kind ||
            file->is_new)
            continue;
        first = first ? first : file;
        ++*count; /* they are sorted: nothing lies between them */
    }
    return first;
}

/* ---- a shard --------------------------------------------------------------------------------- */

static bool load_failed(struct store_reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool load_failed(struct store_reading *reading, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reading->what, sizeof(reading->what), format, arguments);
    va_end(arguments);
    return false;
}

static uint64_t count_entries(const struct reader_frame *frame)
{
    const struct entry_header *entry = NULL;
    uint64_t count = 0;

    while ((entry = entry_next(frame->payload, frame->header.size, entry)) != NULL)
        count++;
    return count;
}

static const char *apply_frame(struct store_image *image, struct image_shard *shard,
                               const struct reader_frame *frame, struct store_reading *reading)
{
    if (frame->header.type != FRAME_STEPS)
        return "a frame of a kind that does not belong here";
    reading->frames++;
    reading->entries += count_entries(frame);
    return image_shard_apply(shard, image->manifest, frame);
}

/* Reads one snapshot whole. False: it is not, and why is in reading->what. */
static bool load_snapshot(struct store_image *image, struct image_shard *shard,
                          const struct store_file *file, struct store_reading *reading)
{
    struct reader reader;
    struct reader_frame frame;
    char name[STORE_NAME_MAX];
    const char *wrong = NULL;
    enum reader_result result = READER_FRAME;
    int error;

    pawl__store_file_name(file, name);
    error =
        pawl__reader_open(&reader, image->storage, image->directory, file, image->manifest->store);
    if (error)
        return load_failed(reading, "%s: %s", name,
                           error == -EBADMSG ? reader.what : strerror(-error));
    while (!wrong && (result = pawl__reader_next(&reader, &frame)) == READER_FRAME)
        wrong = apply_frame(image, shard, &frame, reading);
    if (wrong)
        load_failed(reading, "%s: at byte %" PRIu64 ": %s", name, frame.offset, wrong);
    else if (result == READER_FAILED)
        load_failed(reading, "%s: %s", name, strerror(-reader.error));
    else if (result != READER_SEALED)
        load_failed(reading, "%s: %s", name,
                    result == READER_END ? "it ends without a seal" : reader.what);
    shard->lsn = reader.header.base_lsn;
    shard->file = reader.header.base_file;
    pawl__reader_close(&reader);
    return !wrong && result == READER_SEALED;
}

/* The newest whole snapshot, not counting `skip`; damaged ones are not counted either. */
static bool load_newest(struct store_image *image, struct image_shard *shard, unsigned skip,
                        struct store_reading *reading)
{
    size_t count;
    const struct store_file *const files = store_files(image, shard->number, FILE_SNAPSHOT, &count);

    for (size_t i = count; i-- > 0;) {
        const uint32_t number = shard->number, peers = shard->peers;
        bool whole;

        reading->frames = reading->entries = 0;
        whole = load_snapshot(image, shard, &files[i], reading);
        if (whole && skip-- == 0) {
            reading->snapshot = &files[i];
            reading->base_lsn = shard->lsn;
            reading->snapshot_ns = shard->time_ns;
            reading->what[0] = '\0';
            return true;
        }
        image_shard_fini(shard);
        if (image_shard_init(shard, number, peers) != 0)
            return load_failed(reading, "there is no memory for it");
    }
    reading->frames = reading->entries = 0;
    return false;
}

/* The journal's files from the one on that holds LSN base + 1. */
static const struct store_file *journal_files(const struct store_image *image,
                                              const struct image_shard *shard, size_t *count)
{
    const struct store_file *files = store_files(image, shard->number, FILE_JOURNAL, count);

    while (*count > 0 && files->file < shard->file) {
        files++;
        --*count;
    }
    return files;
}

/*
 * The frames behind the base; what the snapshot holds is passed over. NULL, or what is wrong with
 * `frame`.
 */
static const char *apply_journal(struct store_image *image, struct image_shard *shard,
                                 struct journal_reader *journal, struct reader_frame *frame,
                                 struct store_reading *reading)
{
    if (journal->files_count > 0 && journal->parts[0].first_lsn > shard->lsn + 1)
        return "files before this one are missing";
    while ((reading->end = pawl__journal_reader_next(journal, frame)) == READER_FRAME) {
        const char *wrong;

        if (frame->header.lsn <= reading->base_lsn)
            continue;
        wrong = apply_frame(image, shard, frame, reading);
        if (wrong)
            return wrong;
        if ((frame->header.flags & FRAME_MORE) == 0) {
            shard->lsn = frame->header.lsn;
            shard->file = journal->files[journal->at].file;
            reading->journal_ns = frame->header.time_ns;
        }
    }
    return NULL;
}

/*
 * With as many of the files as have headers that can be read; what is wrong with the rest is in
 * reading->what then. False: with none.
 */
static bool open_journal(const struct store_image *image, struct journal_reader *journal,
                         const struct store_file *files, size_t count,
                         struct store_reading *reading)
{
    for (; count > 0; count--) {
        reading->error = pawl__journal_reader_open(journal, image->storage, image->directory, files,
                                                   count, image->manifest->store);
        if (!reading->error)
            return true;
        reading->end = reading->error == -EBADMSG ? READER_CORRUPT : READER_FAILED;
        if (reading->what[0] == '\0')
            load_failed(reading, "%s", journal->what);
        if (reading->error != -EBADMSG)
            break;
    }
    return false;
}

static void load_journal(struct store_image *image, struct image_shard *shard,
                         struct store_reading *reading)
{
    struct journal_reader journal;
    struct reader_frame frame = {0};
    size_t count;
    const struct store_file *const files = journal_files(image, shard, &count);
    const char *wrong;
    char name[STORE_NAME_MAX];

    if (count == 0 || !open_journal(image, &journal, files, count, reading))
        return;
    wrong = apply_journal(image, shard, &journal, &frame, reading);
    if (wrong) {
        reading->end = READER_CORRUPT;
        pawl__store_file_name(&files[journal.at], name);
        load_failed(reading, "%s, offset %" PRIu64 ", LSN %" PRIu64 ": %s", name, frame.offset,
                    frame.header.lsn, wrong);
    } else if (reading->what[0] != '\0') {
        reading->end = READER_CORRUPT; /* in a file behind */
    } else if (reading->end == READER_CORRUPT || reading->end == READER_FAILED) {
        reading->error = reading->end == READER_FAILED ? journal.reader.error : -EBADMSG;
        load_failed(reading, "%s", journal.what);
    }
    pawl__journal_reader_close(&journal);
    shard->parts_size = 0; /* parts whose last is missing never took effect */
}

static bool load_shard(struct store_image *image, uint32_t number, unsigned skip,
                       struct store_reading *reading)
{
    struct image_shard *const shard = &image->shards[number];
    size_t journals, snapshots;

    *reading = (struct store_reading){.end = READER_END};
    if (!load_newest(image, shard, skip, reading)) {
        const struct store_file *const files = store_files(image, number, FILE_JOURNAL, &journals);

        store_files(image, number, FILE_SNAPSHOT, &snapshots);
        if (skip > snapshots)
            return load_failed(reading, "there is no older way to it");
        /*
         * A set above the first begins with a snapshot: its journal alone is not the whole state.
         */
        if (image->manifest->set > 1 ||
            (journals > 0 ? files[0].file != 1 : snapshots > 0 || skip > 0)) {
            if (reading->what[0] == '\0')
                load_failed(reading,
                            "there is no%s snapshot, and the first journal file is missing",
                            skip > 0 ? " older" : "");
            return false;
        }
        reading->what[0] = '\0'; /* the journal is there from its beginning */
    }
    load_journal(image, shard, reading);
    return image_shard_fold(shard) || load_failed(reading, "there is no memory for it");
}

/* While somebody writes the journal, a frame may be read before the one that it says is there. */
bool store_load_shard(struct store_image *image, uint32_t number, unsigned skip,
                      struct store_reading *reading)
{
    struct image_shard *const shard = &image->shards[number];
    bool loaded = load_shard(image, number, skip, reading);

    for (unsigned looks = 1;
         looks < STORE_LOOKS && image->in_use && loaded && reading->end == READER_CORRUPT;
         looks++) {
        image_shard_fini(shard);
        if (image_shard_init(shard, number, image->manifest->shards) != 0)
            return load_failed(reading, "there is no memory for it");
        loaded = load_shard(image, number, skip, reading);
    }
    return loaded;
}

int store_load(struct store_image *image)
{
    char text[256];
    int error = store_reset(image);

    for (uint32_t i = 0; !error && i < image->manifest->shards; i++) {
        struct store_reading reading;

        if (!store_load_shard(image, i, 0, &reading) || reading.end == READER_CORRUPT)
            error = -EBADMSG;
        else if (reading.end == READER_FAILED)
            error = reading.error;
        if (error)
            store_say(image,
                      "shard %u cannot be read: %s. 'pawl verify' looks at all of it, 'pawl "
                      "salvage' copies what is whole",
                      i, reading.what);
    }
    if (!error && store_check(image, text, sizeof(text))) {
        store_say(image, "the store contradicts itself: %s. 'pawl verify' looks at all of it",
                  text);
        error = -EBADMSG;
    }
    return error;
}
