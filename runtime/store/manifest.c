/*
 * manifest.c - the manifest as a file, replaced as a whole or not at all, and looking machines up
 * in it.
 *
 * Layer: store. Owner: whoever has the store open; it has no thread of its own.
 *
 * It is written past the page cache where the system allows that, so that reading it back asks the
 * disk. A write that fails before the rename leaves the manifest as it was; after it, nobody knows
 * which of the two a crash would leave, and both are whole.
 */
#include "store/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/planted.h"
#include "machine/compiled.h"
#include "store/files.h"
#include "store/format.h"
#include "store/frame.h"
#include "store/manifest_text.h"

#define MANIFEST_BYTES_MAX (UINT64_C(256) << 20) /* of the file; 256 large machines fit */

_Static_assert(STORE_BLOCK == PAWL_STORAGE_BLOCK, "a block is what storage writes");

/* ---- the model ------------------------------------------------------------------------------- */

struct manifest *pawl__manifest_create(void)
{
    return calloc(1, sizeof(struct manifest));
}

static void names_free(char **names, uint32_t count)
{
    for (uint32_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

void pawl__manifest_machine_fini(struct manifest_machine *machine)
{
    names_free(machine->states, machine->states_count);
    names_free(machine->events, machine->events_count);
    names_free(machine->timers, machine->timers_count);
    free(machine->name);
    *machine = (struct manifest_machine){0};
}

void pawl__manifest_forget_machines(struct manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->machines_count; i++)
        pawl__manifest_machine_fini(&manifest->machines[i]);
    manifest->machines_count = 0;
}

void pawl__manifest_destroy(struct manifest *manifest)
{
    if (!manifest)
        return;
    pawl__manifest_forget_machines(manifest);
    free(manifest);
}

int pawl__manifest_find(const struct manifest *manifest, const char *name, uint64_t hash)
{
    for (uint32_t i = manifest->machines_count; i-- > 0;)
        if (strcmp(manifest->machines[i].name, name) == 0 &&
            (hash == 0 || manifest->machines[i].hash == hash))
            return (int)i;
    return -ENOENT;
}

int pawl__manifest_machine_init(struct manifest_machine *machine)
{
    machine->states = calloc(machine->states_count + 1u, sizeof(*machine->states));
    machine->events = calloc(machine->events_count + 1u, sizeof(*machine->events));
    machine->timers = calloc(machine->timers_count + 1u, sizeof(*machine->timers));
    return machine->states && machine->events && machine->timers ? 0 : -ENOMEM;
}

static int machine_describe(struct manifest_machine *to, const struct pawl_machine *from)
{
    bool whole;

    *to = (struct manifest_machine){
        .hash = from->hash,
        .context_size = from->context_size,
        .durability = (uint32_t)from->durability,
        .states_count = from->states_count,
        .events_count = from->events_count,
        .timers_count = from->timers_count,
        .name = strdup(from->name),
    };
    whole = pawl__manifest_machine_init(to) == 0 && to->name;
    for (uint32_t i = 0; whole && i < to->states_count; i++)
        whole = (to->states[i] = strdup(from->states[i].name)) != NULL;
    for (uint32_t i = 0; whole && i < to->events_count; i++)
        whole = (to->events[i] = strdup(from->events[i])) != NULL;
    for (uint32_t i = 0; whole && i < to->timers_count; i++)
        whole = (to->timers[i] = strdup(from->timers[i].name)) != NULL;
    if (!whole)
        pawl__manifest_machine_fini(to);
    return whole ? 0 : -ENOMEM;
}

int pawl__manifest_add(struct manifest *manifest, const struct pawl_machine *machine)
{
    const int known = pawl__manifest_find(manifest, machine->name, machine->hash);
    int error;

    if (known >= 0)
        return known;
    if (manifest->machines_count == MANIFEST_MACHINES_MAX)
        return -ENOSPC;
    error = machine_describe(&manifest->machines[manifest->machines_count], machine);
    return error ? error : (int)manifest->machines_count++;
}

/* ---- the file -------------------------------------------------------------------------------- */

struct image {
    uint8_t *bytes; /* on a boundary of STORE_BLOCK */
    size_t size;    /* a multiple of it */
};

static int image_create(struct image *image, uint64_t size)
{
    image->size = (size_t)((size + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK);
    image->bytes = aligned_alloc(STORE_BLOCK, image->size);
    if (!image->bytes)
        return -ENOMEM;
    memset(image->bytes, 0, image->size);
    return 0;
}

static void image_header(const struct manifest *manifest, uint64_t wall_ns,
                         struct file_header *header)
{
    *header = (struct file_header){
        .kind = FILE_JOURNAL,
        .store = manifest->store,
        .set = manifest->set,
        .epoch = manifest->epoch,
        .first_lsn = 1,
        .wall_ns = wall_ns,
    };
    pawl__file_header_seal(header);
}

/* The whole file, from the text. */
static int image_fill(struct image *image, const struct manifest *manifest, const char *text,
                      size_t text_size, uint64_t wall_ns)
{
    const uint64_t frames = (text_size + FRAME_PAYLOAD_MAX - 1) / FRAME_PAYLOAD_MAX;
    const uint64_t size = STORE_BLOCK + frames * sizeof(struct frame_header) + text_size;
    struct file_header *file;
    uint64_t offset = STORE_BLOCK;
    uint32_t crc = 0;
    size_t done = 0;

    if (size > MANIFEST_BYTES_MAX)
        return -ENOSPC;
    if (image_create(image, size) != 0)
        return -ENOMEM;
    file = (struct file_header *)(void *)image->bytes;
    image_header(manifest, wall_ns, file);
    for (uint64_t lsn = 1; lsn <= frames; lsn++) {
        struct frame_header frame = {
            .type = FRAME_MANIFEST,
            .flags = lsn < frames ? FRAME_MORE : 0,
            .size = (uint32_t)(lsn < frames ? FRAME_PAYLOAD_MAX : text_size - done),
            .lsn = lsn,
            .previous_crc = crc,
            .wall_ns = wall_ns,
        };

        pawl__frame_fill(&frame, file, offset);
        pawl__frame_seal(&frame, text + done);
        memcpy(image->bytes + offset, &frame, sizeof(frame));
        memcpy(image->bytes + offset + sizeof(frame), text + done, frame.size);
        offset += sizeof(frame) + frame.size;
        done += frame.size;
        crc = frame.header_crc;
    }
    return 0;
}

/*
 * What is wrong with the frame at *offset of a file of `size` bytes, or NULL, and its place behind
 * it.
 */
static const char *image_frame_check(const struct image *image, uint64_t lsn, uint32_t previous_crc,
                                     uint64_t *offset, struct frame_header *frame)
{
    const struct file_header *const file = (const struct file_header *)(void *)image->bytes;
    const char *wrong;

    if (image->size - *offset < sizeof(*frame))
        return "the file ends where a frame belongs";
    memcpy(frame, image->bytes + *offset, sizeof(*frame));
    wrong = pawl__frame_check(frame, file, *offset);
    if (wrong)
        return wrong;
    if (frame->type != FRAME_MANIFEST || frame->lsn != lsn || frame->previous_crc != previous_crc)
        return "a frame that does not belong here";
    *offset += sizeof(*frame);
    if (frame->size > image->size - *offset || frame->size % 8 != 0)
        return "a frame that is longer than the file";
    wrong = pawl__frame_check_payload(frame, image->bytes + *offset);
    if (wrong)
        return wrong;
    *offset += frame->size;
    return NULL;
}

/* Joins the frames' payloads at the front of the image's bytes, which shrink to the text. */
static const char *image_join(struct image *image, uint64_t *where, size_t *text_size)
{
    struct frame_header frame = {.flags = FRAME_MORE};
    uint64_t offset = STORE_BLOCK;
    uint32_t crc = 0;
    size_t joined = 0;

    for (uint64_t lsn = 1; (frame.flags & FRAME_MORE) != 0; lsn++) {
        const char *wrong;

        *where = offset;
        wrong = image_frame_check(image, lsn, crc, &offset, &frame);
        if (wrong)
            return wrong;
        /*
         * Behind the header, which later frames are checked against; what is read lies farther on.
         */
        memmove(image->bytes + STORE_BLOCK + joined, image->bytes + offset - frame.size,
                frame.size);
        joined += frame.size;
        crc = frame.header_crc;
    }
    for (*where = offset; *where < image->size; ++*where)
        if (image->bytes[*where] != 0)
            return "something behind the last frame";
    *text_size = joined;
    return image->size - offset < STORE_BLOCK ? NULL : "the file is longer than what it holds";
}

static int file_load(const struct pawl_storage *storage, const char *path, struct image *image)
{
    void *file;
    int64_t size, got = 0;
    int error = storage->open(storage->user, path, PAWL_STORAGE_READ, &file);

    if (error)
        return error;
    size = storage->size(storage->user, file);
    if (size < 0)
        error = (int)size;
    else if (size < 2 * (int64_t)STORE_BLOCK || size % STORE_BLOCK != 0 ||
             (uint64_t)size > MANIFEST_BYTES_MAX)
        error = -EBADMSG;
    else
        error = image_create(image, (uint64_t)size);
    if (!error) {
        got = storage->read(storage->user, file, image->bytes, image->size, 0);
        if (got != size) {
            error = got < 0 ? (int)got : -EIO;
            free(image->bytes);
            image->bytes = NULL;
        }
    }
    storage->close(storage->user, file);
    return error;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int file_store(const struct pawl_storage *storage, const char *path,
                      const struct image *image)
{
    void *file;
    int64_t written;
    int error =
        storage->open(storage->user, path, PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE, &file);
    int closed;

    if (error)
        return error;
    written = storage->write(storage->user, file, image->bytes, image->size, 0);
    if (written != (int64_t)image->size)
        error = written < 0 ? (int)written : -EIO;
    if (!error) /* the file's length as well */
        error = storage->sync(storage->user, file);
    closed = storage->close(storage->user, file);
    return error ? error : closed;
}

static int file_compare(const struct pawl_storage *storage, const char *path,
                        const struct image *image)
{
    struct image read = {NULL, 0};
    int error = file_load(storage, path, &read);

    if (!error && (read.size != image->size || memcmp(read.bytes, image->bytes, read.size) != 0))
        error = -EBADMSG;
    free(read.bytes);
    return error == -EBADMSG ? -EIO
                             : error; /* what was written is not there: the storage's failure */
}

static int file_replace(const struct pawl_storage *storage, const char *directory,
                        const struct image *image)
{
    char path[STORE_PATH_MAX], fresh[STORE_PATH_MAX];
    int error = pawl__store_path(directory, "manifest", path);

    if (!error)
        error = pawl__store_path(directory, "manifest.new", fresh);
    if (error)
        return error;
    error = storage->remove(storage->user, fresh); /* of a process that died here */
    if (error && error != -ENOENT)
        return error;
    error = file_store(storage, fresh, image);
    if (!error)
        error = file_compare(storage, fresh, image);
    if (!error)
        error = storage->rename(storage->user, fresh, path);
    if (error) {
        storage->remove(storage->user, fresh);
        return error;
    }
    return planted(PLANTED_DIRECTORY_NOT_SYNCED)
               ? 0
               : storage->sync_directory(storage->user, directory);
}

int pawl__manifest_write(const struct pawl_storage *storage, const char *directory,
                         const struct manifest *manifest, uint64_t wall_ns)
{
    struct image image = {NULL, 0};
    char *text = NULL;
    size_t size;
    int error;

    CHECK(manifest->shards >= 1 && manifest->shards <= SHARDS_MAX);
    CHECK(manifest->set <= UINT16_MAX && manifest->epoch <= UINT32_MAX);
    error = pawl__manifest_text(manifest, &text, &size);
    if (!error)
        error = image_fill(&image, manifest, text, size, wall_ns);
    if (!error)
        error = file_replace(storage, directory, &image);
    free(image.bytes);
    free(text);
    return error;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct finding {
    pawl_diagnostic_fn *diagnose;
    void *user;
    const char *directory;
};

static void found(const struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void found(const struct finding *finding, const char *format, ...)
{
    char where[STORE_PATH_MAX + 16], what[512];
    va_list arguments;

    if (!finding->diagnose)
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(where, sizeof(where), "%s/manifest", finding->directory);
    finding->diagnose(finding->user, &(struct pawl_diagnostic){-EBADMSG, where, what});
}

static int image_parse(struct image *image, const struct finding *finding,
                       struct manifest *manifest)
{
    static const char what_to_do[] =
        "The disk or whoever wrote to it has changed this file; put it "
        "back from a copy of the store. Nothing was changed";
    const struct file_header *const file = (const struct file_header *)(void *)image->bytes;
    uint64_t where = 0, line;
    int error;
    size_t size = 0;
    const char *wrong = pawl__file_header_check(file, NULL, 0);

    if (!wrong &&
        (file->kind != FILE_JOURNAL || file->shard != 0 || file->file != 0 || file->first_lsn != 1))
        wrong = "this is the header of another file";
    if (!wrong)
        wrong = image_join(image, &where, &size);
    if (wrong) {
        found(finding, "at byte %" PRIu64 ": %s. %s", where, wrong, what_to_do);
        return -EBADMSG;
    }
    error = pawl__manifest_parse(manifest, (const char *)image->bytes + STORE_BLOCK, size, &line,
                                 &wrong);
    if (!error && (manifest->store != file->store || manifest->set != file->set ||
                   manifest->epoch != file->epoch)) {
        error = -EBADMSG;
        wrong = "it does not agree with the file's header on the store, the set or the epoch";
    }
    if (error == -EBADMSG)
        found(finding, "line %" PRIu64 " of its text: %s. %s", line, wrong, what_to_do);
    return error;
}

int pawl__manifest_read(const struct pawl_storage *storage, const char *directory,
                        pawl_diagnostic_fn *diagnose, void *user, struct manifest **manifest)
{
    const struct finding finding = {diagnose, user, directory};
    struct image image = {NULL, 0};
    struct manifest *read;
    char path[STORE_PATH_MAX];
    int error = pawl__store_path(directory, "manifest", path);

    *manifest = NULL;
    if (error)
        return error;
    error = file_load(storage, path, &image);
    if (error) {
        if (error == -EBADMSG)
            found(&finding, "its length is not that of a manifest: it was cut off, or this is no "
                            "store. Put it back from a copy of the store. Nothing was changed");
        return error;
    }
    read = pawl__manifest_create();
    error = read ? image_parse(&image, &finding, read) : -ENOMEM;
    free(image.bytes);
    if (error)
        pawl__manifest_destroy(read);
    else
        *manifest = read;
    return error;
}
