/*
 * store_build.h - for tests: files of a store made by hand, frame by frame, and a disk in memory on
 * which they can be read, cut and damaged.
 *
 *     struct memory_disk disk;                     a directory tree of byte arrays, never synced
 *     struct store_build b;
 *
 *     memory_disk_init(&disk);
 *     build_begin(&b, FILE_JOURNAL, 0, 1);         shard 0, file 1; BUILD_STORE, set 1, epoch 1, LSN 1
 *     build_step(&b, 7, 1, 2, 3, ENTRY_CREATED, context, sizeof(context));
 *     build_frame(&b, 0);                          all entries since the last one, as one frame
 *     build_group(&b);                             the next frame begins a group
 *     build_seal(&b);                              or not
 *     build_save(&b, &disk, "dir", 1 << 16);       zero-filled to this size
 *     build_next(&b);                              begins the next file of the journal
 *     ...
 *     build_end(&b);                               frees
 *     memory_disk_fini(&disk);
 *
 * Fields that build_begin fills may be changed before the first frame (header.*) or before each
 * frame (lsn, durable_lsn, time_ns ...): the frames then say so, with right checksums. On a failure
 * all of it aborts with a line on stderr, so that fuzz targets and tools may use it too.
 */
#ifndef PAWL_TESTS_SUPPORT_STORE_BUILD_H
#define PAWL_TESTS_SUPPORT_STORE_BUILD_H

#include <errno.h>
#include <pawl/seams.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/entry.h"
#include "store/files.h"
#include "store/format.h"
#include "store/frame.h"

#define BUILD_STORE UINT64_C(0x5ca1ab1e0ddba11)

static inline void build_require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "store_build: %s\n", what);
        abort();
    }
}

/* ---- a disk in memory ------------------------------------------------------------------------ */

#define MEMORY_FILES 64u

struct memory_file {
    char path[192]; /* "": free */
    uint8_t *bytes;
    size_t size;
};

/* One thread. Writes are there at once; the queue is not offered. */
struct memory_disk {
    struct pawl_storage storage; /* its table; user is the disk */
    struct memory_file files[MEMORY_FILES];
    unsigned open;      /* files open now */
    unsigned reads;     /* calls so far */
    unsigned fail_read; /* this call of read, from 1, fails with fail_error */
    int fail_error;
    size_t read_max; /* a read gives this much at most; 0: any */
    bool locked;
};

static inline struct memory_file *memory_disk_find(struct memory_disk *disk, const char *path)
{
    for (unsigned i = 0; i < MEMORY_FILES; i++)
        if (disk->files[i].path[0] != '\0' && strcmp(disk->files[i].path, path) == 0)
            return &disk->files[i];
    return NULL;
}

/* An empty file of that name; an older one is emptied. */
static inline struct memory_file *memory_disk_create(struct memory_disk *disk, const char *path)
{
    struct memory_file *file = memory_disk_find(disk, path);

    for (unsigned i = 0; i < MEMORY_FILES && file == NULL; i++)
        if (disk->files[i].path[0] == '\0')
            file = &disk->files[i];
    build_require(file != NULL && strlen(path) < sizeof(file->path), "no room for a file");
    strcpy(file->path, path);
    free(file->bytes);
    file->bytes = NULL;
    file->size = 0;
    return file;
}

static inline void memory_file_resize(struct memory_file *file, size_t size)
{
    uint8_t *const bytes = calloc(1, size + 1); /* exact: a sanitizer sees reads beyond */

    build_require(bytes != NULL, "no memory");
    if (file->size > 0)
        memcpy(bytes, file->bytes, file->size < size ? file->size : size);
    free(file->bytes);
    file->bytes = bytes;
    file->size = size;
}

static inline void memory_file_set(struct memory_file *file, const void *bytes, size_t size)
{
    memory_file_resize(file, size);
    if (size > 0)
        memcpy(file->bytes, bytes, size);
}

static inline int memory_make_directory(void *user, const char *path)
{
    (void)user, (void)path;
    return 0;
}

static inline int memory_lock(void *user, const char *directory, void **lock)
{
    struct memory_disk *const disk = user;

    (void)directory;
    if (disk->locked)
        return -EBUSY;
    disk->locked = true;
    *lock = disk;
    return 0;
}

static inline void memory_unlock(void *user, void *lock)
{
    (void)lock;
    ((struct memory_disk *)user)->locked = false;
}

static inline int memory_list(void *user, const char *directory, pawl_storage_name_fn *fn,
                              void *argument)
{
    struct memory_disk *const disk = user;
    const size_t length = strlen(directory);

    for (unsigned i = 0; i < MEMORY_FILES; i++) {
        const char *const path = disk->files[i].path;

        if (strncmp(path, directory, length) == 0 && path[length] == '/' &&
            strchr(path + length + 1, '/') == NULL && fn(argument, path + length + 1) != 0)
            break;
    }
    return 0;
}

static inline int memory_remove(void *user, const char *path)
{
    struct memory_file *const file = memory_disk_find(user, path);

    if (file == NULL)
        return -ENOENT;
    free(file->bytes);
    memset(file, 0, sizeof(*file));
    return 0;
}

static inline int memory_rename(void *user, const char *from, const char *to)
{
    struct memory_file *const file = memory_disk_find(user, from);

    if (file == NULL)
        return -ENOENT;
    if (strcmp(from, to) == 0)
        return 0;
    memory_remove(user, to);
    build_require(strlen(to) < sizeof(file->path), "a path is too long");
    strcpy(file->path, to);
    return 0;
}

static inline int memory_sync_directory(void *user, const char *path)
{
    (void)user, (void)path;
    return 0;
}

static inline int memory_open(void *user, const char *path, unsigned flags, void **file)
{
    struct memory_disk *const disk = user;
    struct memory_file *found = memory_disk_find(disk, path);

    if ((flags & PAWL_STORAGE_CREATE) != 0) {
        if (found != NULL)
            return -EEXIST;
        found = memory_disk_create(disk, path);
    }
    if (found == NULL)
        return -ENOENT;
    disk->open++;
    *file = found;
    return 0;
}

static inline int64_t memory_size(void *user, void *file)
{
    (void)user;
    return (int64_t)((struct memory_file *)file)->size;
}

static inline int64_t memory_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    struct memory_disk *const disk = user;
    const struct memory_file *const from = file;

    if (++disk->reads == disk->fail_read)
        return disk->fail_error;
    if (offset >= from->size)
        return 0;
    if (size > from->size - offset)
        size = from->size - offset;
    if (disk->read_max != 0 && size > disk->read_max)
        size = disk->read_max;
    memcpy(bytes, from->bytes + offset, size);
    return (int64_t)size;
}

static inline int64_t memory_write(void *user, void *file, const void *bytes, size_t size,
                                   uint64_t offset)
{
    struct memory_file *const to = file;

    (void)user;
    if (offset + size > to->size)
        memory_file_resize(to, offset + size);
    memcpy(to->bytes + offset, bytes, size);
    return (int64_t)size;
}

static inline int memory_sync(void *user, void *file)
{
    (void)user, (void)file;
    return 0;
}

static inline int memory_close(void *user, void *file)
{
    (void)file;
    ((struct memory_disk *)user)->open--;
    return 0;
}

static inline void memory_disk_init(struct memory_disk *disk)
{
    memset(disk, 0, sizeof(*disk));
    disk->storage = (struct pawl_storage){
        .user = disk,
        .make_directory = memory_make_directory,
        .lock = memory_lock,
        .unlock = memory_unlock,
        .list = memory_list,
        .rename = memory_rename,
        .remove = memory_remove,
        .sync_directory = memory_sync_directory,
        .open = memory_open,
        .size = memory_size,
        .read = memory_read,
        .write = memory_write,
        .sync = memory_sync,
        .close = memory_close,
    };
}

static inline void memory_disk_fini(struct memory_disk *disk)
{
    for (unsigned i = 0; i < MEMORY_FILES; i++)
        free(disk->files[i].bytes);
    memset(disk, 0, sizeof(*disk));
}

/* ---- a file ---------------------------------------------------------------------------------- */

struct store_build {
    struct file_header header;
    uint8_t *bytes; /* header included, as far as written */
    size_t size;    /* where the next frame goes */
    size_t capacity;
    uint64_t lsn; /* of the next frame */
    uint32_t previous_crc;
    uint64_t frames;
    uint64_t durable_lsn; /* what the next frames say */
    uint64_t time_ns;
    uint64_t wall_ns;
    uint8_t *payload; /* entries that no frame has yet */
    size_t payload_size;
    size_t last_offset; /* of the last frame's header */
};

static inline void build_reserve(struct store_build *b, size_t size)
{
    size_t capacity = b->capacity;

    if (size <= capacity)
        return;
    while (capacity < size)
        capacity = capacity == 0 ? 65536 : 2 * capacity;
    b->bytes = realloc(b->bytes, capacity);
    build_require(b->bytes != NULL, "no memory");
    memset(b->bytes + b->capacity, 0, capacity - b->capacity);
    b->capacity = capacity;
}

static inline void build_begin(struct store_build *b, enum file_kind kind, uint32_t shard,
                               uint64_t file)
{
    memset(b, 0, sizeof(*b));
    b->header.kind = (uint16_t)kind;
    b->header.store = BUILD_STORE;
    b->header.set = 1;
    b->header.shard = shard;
    b->header.epoch = 1;
    b->header.file = file;
    b->header.first_lsn = 1;
    b->lsn = 1;
    b->time_ns = 1000;
    b->wall_ns = UINT64_C(1700000000000000000);
    b->header.wall_ns = b->wall_ns;
    b->size = sizeof(b->header);
    b->payload = malloc(FRAME_PAYLOAD_MAX);
    build_require(b->payload != NULL, "no memory");
    build_reserve(b, b->size);
}

static inline void build_end(struct store_build *b)
{
    free(b->bytes);
    free(b->payload);
    memset(b, 0, sizeof(*b));
}

/* The next frame begins at a multiple of 4096. */
static inline void build_group(struct store_build *b)
{
    const size_t size = (b->size + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK;

    build_reserve(b, size);
    b->size = size;
}

/* A frame of any type with this payload. */
static inline void build_raw(struct store_build *b, unsigned type, unsigned flags,
                             const void *payload, size_t size)
{
    struct frame_header *header;

    build_reserve(b, b->size + sizeof(*header) + size);
    header = (struct frame_header *)(void *)(b->bytes + b->size);
    memset(header, 0, sizeof(*header));
    pawl__frame_fill(header, &b->header, b->size);
    header->type = (uint8_t)type;
    header->flags = (uint8_t)flags;
    header->size = (uint32_t)size;
    header->lsn = b->lsn;
    header->previous_crc = b->previous_crc;
    header->durable_lsn = b->durable_lsn;
    header->time_ns = b->time_ns;
    header->wall_ns = b->wall_ns;
    if (size > 0)
        memcpy(header + 1, payload, size);
    pawl__frame_seal(header, header + 1);
    b->last_offset = b->size;
    b->size += sizeof(*header) + size;
    b->previous_crc = header->header_crc;
    b->lsn++;
    b->frames++;
}

/* The entries since the last frame, as one frame. */
static inline void build_frame(struct store_build *b, unsigned flags)
{
    build_raw(b, FRAME_STEPS, flags, b->payload, b->payload_size);
    b->payload_size = 0;
}

static inline void build_seal(struct store_build *b)
{
    const struct seal seal = {.frames = b->frames, .last_lsn = b->lsn - 1};

    build_raw(b, FRAME_SEAL, 0, &seal, sizeof(seal));
}

/* The file's bytes, zero-filled to size; 0: to the next multiple of 4096, as a snapshot's. */
static inline void build_image(struct store_build *b, size_t size, struct memory_file *file)
{
    build_group(b);
    if (size == 0)
        size = b->size;
    else
        b->header.blocks = (uint32_t)(size / STORE_BLOCK);
    build_require(size >= b->size && size % STORE_BLOCK == 0, "a file is too small for its frames");
    build_reserve(b, size);
    pawl__file_header_seal(&b->header);
    memcpy(b->bytes, &b->header, sizeof(b->header));
    memory_file_set(file, b->bytes, size);
}

/* The name of the file being built. */
static inline struct store_file build_name(const struct store_build *b)
{
    return (struct store_file){.set = b->header.set,
                               .shard = b->header.shard,
                               .file = b->header.file,
                               .kind = b->header.kind};
}

/* Puts the file into directory under its name; the builder stays as it is. */
static inline struct memory_file *build_save(struct store_build *b, struct memory_disk *disk,
                                             const char *directory, size_t size)
{
    const struct store_file name = build_name(b);
    char words[STORE_NAME_MAX];
    char path[STORE_PATH_MAX];
    struct memory_file *file;

    pawl__store_file_name(&name, words);
    build_require(pawl__store_path(directory, words, path) == 0, "a path is too long");
    file = memory_disk_create(disk, path);
    build_image(b, size, file);
    return file;
}

/* The file that continues this one: same epoch, next number, LSN and CRC go on. */
static inline void build_next(struct store_build *b)
{
    memset(b->bytes, 0, b->capacity);
    b->header.file++;
    b->header.first_lsn = b->lsn;
    b->header.previous_crc = b->previous_crc;
    b->size = sizeof(b->header);
    b->frames = 0;
}

/* ---- entries, appended to the frame that build_frame will make ------------------------------- */

static inline void *build_entry(struct store_build *b, enum entry_type type, unsigned flags,
                                uint32_t slot, size_t size)
{
    struct entry_header *const header = (void *)(b->payload + b->payload_size);

    size = (size + 7) / 8 * 8;
    build_require(b->payload_size + size <= FRAME_PAYLOAD_MAX, "a frame is full");
    memset(header, 0, size);
    *header = (struct entry_header){.words = (uint16_t)(size / 8),
                                    .type = (uint8_t)type,
                                    .flags = (uint8_t)flags,
                                    .slot = slot};
    b->payload_size += size;
    return header;
}

/*
 * Machine 0. With ENTRY_SINCE in flags `since` is the frame's time; the caller may change the
 * entry.
 */
static inline struct entry_step *build_step(struct store_build *b, uint32_t slot,
                                            uint32_t generation, uint32_t version, uint16_t state,
                                            unsigned flags, const void *context, size_t size)
{
    const size_t since = (flags & ENTRY_SINCE) != 0 ? 8 : 0;
    struct entry_step *const step =
        build_entry(b, ENTRY_STEP, flags, slot, sizeof(*step) + since + size);

    step->generation = generation;
    step->version = version;
    step->state = state;
    if (since != 0)
        step->words[0] = b->time_ns;
    if (size > 0)
        memcpy((char *)step + sizeof(*step) + since, context, size);
    return step;
}

static inline void build_key(struct store_build *b, uint32_t slot, uint32_t generation,
                             const void *key, size_t size)
{
    struct entry_key *const entry = build_entry(b, ENTRY_KEY, 0, slot, sizeof(*entry) + size);

    entry->generation = generation;
    entry->size = (uint32_t)size;
    memcpy(entry->bytes, key, size);
}

static inline void build_timers(struct store_build *b, uint32_t slot, uint32_t generation,
                                const struct entry_timer *timers, uint32_t count)
{
    struct entry_timers *const entry =
        build_entry(b, ENTRY_TIMERS, 0, slot, sizeof(*entry) + count * sizeof(*timers));

    entry->generation = generation;
    entry->count = count;
    if (count > 0)
        memcpy(entry->timers, timers, count * sizeof(*timers));
}

static inline void build_event(struct entry_event *to, const struct pawl_event *event,
                               const void *payload, size_t size)
{
    to->task = event->task.id;
    to->code = event->code;
    to->flags = event->flags;
    to->tag = event->tag;
    to->arg[0] = (event->flags & PAWL_EVENT_BUFFER) != 0 ? 0 : event->arg[0];
    to->arg[1] = event->arg[1];
    to->size = (uint32_t)size;
    if (size > 0)
        memcpy(to->payload, payload, size);
}

/* event NULL: with ENTRY_RESET | ENTRY_EMPTY. */
static inline void build_defer(struct store_build *b, uint32_t slot, uint32_t generation,
                               unsigned flags, const struct pawl_event *event, const void *payload,
                               size_t size)
{
    const size_t bytes =
        event == NULL ? offsetof(struct entry_defer, event) : sizeof(struct entry_defer) + size;
    struct entry_defer *const entry = build_entry(b, ENTRY_DEFER, flags, slot, bytes);

    entry->generation = generation;
    if (event != NULL)
        build_event(&entry->event, event, payload, size);
}

static inline void build_send(struct store_build *b, uint32_t slot, uint64_t number,
                              const struct pawl_event *event, const void *payload, size_t size)
{
    struct entry_send *const entry = build_entry(b, ENTRY_SEND, 0, slot, sizeof(*entry) + size);

    entry->number = number;
    build_event(&entry->event, event, payload, size);
}

static inline void build_mark(struct store_build *b, uint16_t peer, enum mark what, bool control,
                              uint64_t value)
{
    struct entry_mark *const entry = build_entry(b, ENTRY_MARK, 0, 0, sizeof(*entry));

    entry->value = value;
    entry->peer = peer;
    entry->what = (uint16_t)what;
    entry->control = control;
}

static inline void build_floor(struct store_build *b, uint32_t slot, uint32_t count,
                               uint32_t generation)
{
    struct entry_floor *const entry = build_entry(b, ENTRY_FLOOR, 0, slot, sizeof(*entry));

    entry->count = count;
    entry->generation = generation;
}

/* to 0: the shard of `from` is none of this set. */
static inline void build_alias(struct store_build *b, uint64_t from, uint64_t to)
{
    struct entry_alias *const entry = build_entry(b, ENTRY_ALIAS, 0, 0, sizeof(*entry));

    entry->from = from;
    entry->to = to;
}

#endif /* PAWL_TESTS_SUPPORT_STORE_BUILD_H */
