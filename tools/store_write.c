/*
 * store_write.c - writes a model as a new store: for each shard one sealed snapshot and no journal,
 * then the manifest, which makes it a store.
 *
 * The snapshot's base is the LSN at which the model's journal ended, at least 1, and the number of
 * a file behind it, at least 2, in which the journal goes on. So there never is a journal from LSN
 * 1 on, and nobody who finds the snapshot damaged can take what the journal holds for all there
 * was.
 *
 * Each file is written past the page cache where that is possible, under its final name, because
 * without a manifest none of it counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <pawl/error.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "store/frame.h"
#include "store_image.h"

struct out {
    const struct store_image *image;
    const struct pawl_storage *storage;
    const char *directory;
    uint64_t wall_ns;
    /* The file under way. */
    void *file;
    struct file_header header;
    struct frame_header frame;
    uint64_t offset;
    uint64_t lsn;
    uint32_t previous_crc;
    uint8_t *block;   /* a frame's header and payload, on a boundary of STORE_BLOCK */
    uint32_t payload; /* bytes of it */
    uint64_t time_ns;
    int error; /* the first one: what follows does nothing */
};

/* So that the next entry fits whatever it is, a frame ends before it is this full. */
#define PAYLOAD_FULL (FRAME_PAYLOAD_MAX - (uint32_t)ENTRY_BYTES_MAX - STORE_BLOCK)
#define BLOCK_BYTES  (FRAME_PAYLOAD_MAX + STORE_BLOCK)

/* ---- frames ---------------------------------------------------------------------------------- */

static void out_write(struct out *out, const void *bytes, size_t size)
{
    int64_t written;

    if (out->error)
        return;
    written = out->storage->write(out->storage->user, out->file, bytes, size, out->offset);
    if (written != (int64_t)size)
        out->error = written < 0 ? (int)written : -EIO;
    out->offset += size;
}

/* Each frame is a group of its own: it begins at a multiple of STORE_BLOCK. */
static void out_frame(struct out *out, unsigned type)
{
    struct frame_header *const frame = (struct frame_header *)(void *)out->block;
    const size_t bytes = sizeof(*frame) + out->payload;
    const size_t size = (bytes + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK;

    *frame = (struct frame_header){
        .type = (uint8_t)type,
        .size = out->payload,
        .lsn = out->lsn++,
        .previous_crc = out->previous_crc,
        .time_ns = out->time_ns,
        .wall_ns = out->wall_ns,
    };
    pawl__frame_fill(frame, &out->header, out->offset);
    pawl__frame_seal(frame, frame + 1);
    out->previous_crc = frame->header_crc;
    memset(out->block + bytes, 0, size - bytes);
    out_write(out, out->block, size);
    out->payload = 0;
}

/* An entry of the frame, zeroed but for its header. */
static void *out_entry(struct out *out, enum entry_type type, unsigned flags, uint32_t slot,
                       size_t size)
{
    struct entry_header *entry;

    if (out->payload >= PAYLOAD_FULL)
        out_frame(out, FRAME_STEPS);
    size = (size + 7) / 8 * 8;
    CHECK(size <= ENTRY_BYTES_MAX);
    entry =
        (struct entry_header *)(void *)(out->block + sizeof(struct frame_header) + out->payload);
    memset(entry, 0, size);
    *entry = (struct entry_header){(uint16_t)(size / 8), (uint8_t)type, (uint8_t)flags, slot};
    out->payload += (uint32_t)size;
    return entry;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void put_event(struct entry_event *to, const struct image_event *from)
{
    *to = from->event;
    memcpy(to->payload, from->event.payload, from->event.size);
}

static void put_task(struct out *out, const struct image_task *task)
{
    const bool reserved = (task->flags & IMAGE_RESERVED) != 0;
    const size_t context = 8 * (size_t)task->context_words;
    struct entry_step *step;

    if (task->key_size > 0) {
        struct entry_key *const key =
            out_entry(out, ENTRY_KEY, 0, task->slot, sizeof(*key) + task->key_size);

        key->generation = task->generation;
        key->size = task->key_size;
        memcpy(key->bytes, task->key, task->key_size);
    }
    step = out_entry(out, ENTRY_STEP, ENTRY_IMAGE | ENTRY_SINCE | (reserved ? ENTRY_RESERVED : 0),
                     task->slot, sizeof(*step) + 8 + context);
    step->generation = task->generation;
    step->version = task->version;
    step->state = task->state;
    step->history = task->history;
    step->machine = task->machine;
    step->words[0] = task->since;
    if (context > 0)
        memcpy(step->words + 1, task->context, context);
    if (task->timers_count > 0) {
        const size_t size = task->timers_count * sizeof(task->timers[0]);
        struct entry_timers *const timers =
            out_entry(out, ENTRY_TIMERS, 0, task->slot, sizeof(*timers) + size);

        timers->generation = task->generation;
        timers->count = task->timers_count;
        memcpy(timers->timers, task->timers, size);
    }
    for (size_t i = task->deferred.first; i < task->deferred.count; i++) {
        const struct image_event *const event = task->deferred.at[i];
        struct entry_defer *const defer =
            out_entry(out, ENTRY_DEFER, i == task->deferred.first ? ENTRY_RESET : 0, task->slot,
                      sizeof(*defer) + event->event.size);

        defer->generation = task->generation;
        defer->count = (uint32_t)(i - task->deferred.first + 1);
        put_event(&defer->event, event);
    }
}

static void put_floors(struct out *out, const struct image_shard *shard)
{
    for (size_t i = 0; i < shard->floors_count; i++) {
        struct entry_floor *const floor =
            out_entry(out, ENTRY_FLOOR, 0, shard->floors[i].slot, sizeof(*floor));

        floor->count = shard->floors[i].count;
        floor->generation = shard->floors[i].generation;
    }
}

static void put_aliases(struct out *out, const struct image_shard *shard)
{
    for (size_t i = 0; i < shard->aliases_count; i++) {
        struct entry_alias *const alias = out_entry(out, ENTRY_ALIAS, 0, 0, sizeof(*alias));

        alias->from = shard->aliases[i].from;
        alias->to = shard->aliases[i].to;
    }
}

static void put_mark(struct out *out, uint32_t peer, enum mark what, unsigned control,
                     uint64_t value)
{
    struct entry_mark *mark;

    if (value == 0)
        return;
    mark = out_entry(out, ENTRY_MARK, 0, 0, sizeof(*mark));
    mark->value = value;
    mark->peer = (uint16_t)peer;
    mark->what = (uint16_t)what;
    mark->control = (uint16_t)control;
}

static void put_link(struct out *out, const struct image_shard *shard, uint32_t peer,
                     unsigned control)
{
    const struct image_link *const link = &shard->links[peer];
    const struct image_events *const sent = &link->sent[control];

    put_mark(out, peer, MARK_TAKEN, control, link->taken[control]);
    put_mark(out, peer, MARK_CONFIRMED, control, link->confirmed[control]);
    for (size_t i = sent->first; i < sent->count; i++) {
        struct entry_send *send;

        if (!store_is_under_way(out->image, shard->number, peer, control, sent->at[i]->number))
            continue;
        send = out_entry(out, ENTRY_SEND, 0, 0, sizeof(*send) + sent->at[i]->event.size);
        send->number = sent->at[i]->number;
        put_event(&send->event, sent->at[i]);
    }
}

static void put_shard(struct out *out, const struct image_shard *shard)
{
    put_floors(out, shard);
    put_aliases(out, shard);
    for (size_t i = 0; i < shard->tasks_count; i++)
        if (image_task_lives(&shard->tasks[i]))
            put_task(out, &shard->tasks[i]);
    for (uint32_t peer = 0; peer < shard->peers; peer++) {
        put_link(out, shard, peer, 0);
        put_link(out, shard, peer, 1);
    }
    if (out->payload > 0)
        out_frame(out, FRAME_STEPS);
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct store_file snapshot_name(const struct out *out, uint32_t shard)
{
    return (struct store_file){
        .set = out->image->manifest->set, .shard = shard, .file = 1, .kind = FILE_SNAPSHOT};
}

static int snapshot_path(const struct out *out, uint32_t shard, char path[STORE_PATH_MAX])
{
    const struct store_file file = snapshot_name(out, shard);
    char name[STORE_NAME_MAX];

    pawl__store_file_name(&file, name);
    return pawl__store_path(out->directory, name, path);
}

static void out_begin(struct out *out, const struct image_shard *shard)
{
    const struct manifest *const manifest = out->image->manifest;

    out->header = (struct file_header){
        .kind = FILE_SNAPSHOT,
        .store = manifest->store,
        .set = manifest->set,
        .shard = shard->number,
        .epoch = manifest->epoch,
        .file = 1,
        .first_lsn = 1,
        .base_file = 1, /* of a journal that is still to come: base_lsn is 0 */
        .wall_ns = out->wall_ns,
    };
    pawl__file_header_seal(&out->header);
    memcpy(out->block, &out->header, sizeof(out->header));
    out->offset = 0;
    out->lsn = 1;
    out->previous_crc = 0;
    out->payload = 0;
    out->time_ns = shard->time_ns;
    out_write(out, out->block, sizeof(out->header));
}

static void out_seal(struct out *out)
{
    struct seal *const seal = (struct seal *)(void *)(out->block + sizeof(struct frame_header));

    seal->frames = out->lsn - 1;
    seal->last_lsn = out->lsn - 1;
    out->payload = sizeof(*seal);
    out_frame(out, FRAME_SEAL);
}

static void out_snapshot(struct out *out, const struct image_shard *shard)
{
    char path[STORE_PATH_MAX];
    int closed;

    out->error = out->error ? out->error : snapshot_path(out, shard->number, path);
    if (!out->error)
        out->error = out->storage->open(out->storage->user, path,
                                        PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE, &out->file);
    if (out->error)
        return;
    out_begin(out, shard);
    put_shard(out, shard);
    out_seal(out);
    if (!out->error)
        out->error = out->storage->sync(out->storage->user, out->file);
    closed = out->storage->close(out->storage->user, out->file);
    out->error = out->error ? out->error : closed;
}

/* Reads the new store again: it must say what the model says. */
static int out_compare(const struct out *out)
{
    struct store_image read = {.say = out->image->say, .user = out->image->user};
    int error = store_open(&read, out->storage, out->directory);

    if (error)
        return error;
    error = store_load(&read);
    if (!error && store_hash(&read) != store_hash(out->image)) {
        store_say(out->image, "%s: what was written is not what is read back", out->directory);
        error = -EIO;
    }
    store_close(&read);
    return error;
}

/* ---- the directory --------------------------------------------------------------------------- */

static int count_name(void *argument, const char *name)
{
    *(bool *)argument |= strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    return 0;
}

static void out_remove(const struct out *out, bool made)
{
    static const char *const names[] = {"manifest", "manifest.new", "lock"};
    char path[STORE_PATH_MAX];

    for (uint32_t i = 0; i < out->image->manifest->shards; i++)
        if (snapshot_path(out, i, path) == 0)
            out->storage->remove(out->storage->user, path);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (pawl__store_path(out->directory, names[i], path) == 0)
            out->storage->remove(out->storage->user, path);
    if (made)
        rmdir(out->directory);
}

static int out_all(struct out *out)
{
    void *lock;
    int error = out->storage->lock(out->storage->user, out->directory, &lock);

    if (error)
        return error;
    for (uint32_t i = 0; i < out->image->manifest->shards; i++)
        out_snapshot(out, &out->image->shards[i]);
    if (!out->error)
        out->error = out->storage->sync_directory(out->storage->user, out->directory);
    if (!out->error)
        out->error =
            pawl__manifest_write(out->storage, out->directory, out->image->manifest, out->wall_ns);
    if (!out->error)
        out->error = out_compare(out);
    out->storage->unlock(out->storage->user, lock);
    return out->error;
}

int store_write(struct store_image *image, const struct pawl_storage *storage,
                const char *directory)
{
    struct out out = {.image = image, .storage = storage, .directory = directory};
    struct timespec now;
    bool in_use = false;
    int error = storage->list(storage->user, directory, count_name, &in_use);
    const bool made = error != 0;

    if (in_use) {
        store_say(image,
                  "%s: there is something in it; name a directory that does not exist, or an "
                  "empty one",
                  directory);
        return -EEXIST;
    }
    error = storage->make_directory(storage->user, directory);
    if (error) {
        store_say(image, "%s: cannot make this directory: %s", directory, strerror(-error));
        return error;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    out.wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    out.block = aligned_alloc(STORE_BLOCK, BLOCK_BYTES);
    error = out.block ? out_all(&out) : -ENOMEM;
    if (error) {
        store_say(image, "%s: writing the store failed: %s", directory, strerror(-error));
        out_remove(&out, made);
    }
    free(out.block);
    return error;
}
