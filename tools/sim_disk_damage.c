/*
 * sim_disk_damage.c - damage at rest: what a disk does to files that nobody writes, and what people
 * do to them.
 *
 * Whatever of the file, and for names of all files, was still only cached is made durable first:
 * damage is done to a disk that has come to rest.
 */
#include <errno.h>
#include <string.h>

#include "sim_disk_inner.h"
#include "store/format.h"

#define FILE_HEADER_FIELDS 88u /* bytes; zeroes behind them */

/* ---- Bytes ---- */

/* The file, at rest, if size bytes from offset on are in it. */
static int at_rest(struct sim_disk *disk, const char *path, uint64_t offset, uint64_t size,
                   struct inode **inode)
{
    *inode = sim_find(disk, path);
    if (*inode == NULL)
        return -ENOENT;
    if (offset > (*inode)->size || size > (*inode)->size - offset)
        return -EINVAL;
    sim_inode_sync(disk, *inode, SYNC_WHOLE);
    return 0;
}

int sim_disk_peek(const struct sim_disk *disk, const char *path, void *bytes, size_t size,
                  uint64_t offset)
{
    const struct inode *inode = sim_find(disk, path);

    if (inode == NULL)
        return -ENOENT;
    if (offset > inode->size || size > inode->size - offset)
        return -EINVAL;
    sim_inode_read(inode, false, bytes, size, offset);
    return 0;
}

static struct page *changed(const struct page *page, const uint8_t *bytes, uint64_t start,
                            uint64_t count)
{
    uint8_t all[PAGE] = {0};

    if (page != NULL)
        memcpy(all, page->bytes, PAGE);
    memcpy(all + start, bytes, count);
    return sim_page_of(all);
}

int sim_disk_poke(struct sim_disk *disk, const char *path, const void *bytes, size_t size,
                  uint64_t offset)
{
    struct inode *inode;
    const int error = at_rest(disk, path, offset, size, &inode);

    for (uint64_t done = 0; error == 0 && done < size;) {
        const uint32_t at = (uint32_t)((offset + done) / PAGE);
        const uint64_t start = (offset + done) % PAGE;
        const uint64_t count = size - done < PAGE - start ? size - done : PAGE - start;
        const uint8_t *from = (const uint8_t *)bytes + done;
        struct page *durable = changed(inode->durable[at], from, start, count);

        disk->used += inode->cached[at] == NULL ? PAGE : 0;
        if (inode->cached[at] == inode->durable[at])
            sim_page_set(&inode->cached[at], sim_page_ref(durable));
        else
            sim_page_set(&inode->cached[at], changed(inode->cached[at], from, start, count));
        sim_page_set(&inode->durable[at], durable);
        done += count;
    }
    return error;
}

int sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset, unsigned bit)
{
    uint8_t byte;
    const int error = sim_disk_peek(disk, path, &byte, 1, offset);

    if (error != 0)
        return error;
    byte ^= (uint8_t)(1u << bit % 8);
    return sim_disk_poke(disk, path, &byte, 1, offset);
}

int sim_disk_erase(struct sim_disk *disk, const char *path, uint64_t offset, uint64_t size)
{
    struct inode *inode;
    int error = at_rest(disk, path, offset, size, &inode);

    while (error == 0 && size != 0) {
        const uint64_t count = size < PAGE ? size : PAGE;

        error = sim_disk_poke(disk, path, sim_zero_page.bytes, count, offset);
        offset += count;
        size -= count;
    }
    return error;
}

int sim_disk_copy_block(struct sim_disk *disk, const char *from, uint64_t from_offset,
                        const char *to, uint64_t to_offset)
{
    uint8_t bytes[PAGE];
    int error;

    if (from_offset % PAGE != 0 || to_offset % PAGE != 0)
        return -EINVAL;
    error = sim_disk_peek(disk, from, bytes, PAGE, from_offset);
    return error != 0 ? error : sim_disk_poke(disk, to, bytes, PAGE, to_offset);
}

int sim_disk_truncate(struct sim_disk *disk, const char *path, uint64_t size)
{
    struct inode *inode;
    const int error = at_rest(disk, path, size, 0, &inode);

    if (error != 0)
        return error;
    inode->size = inode->durable_size = size;
    sim_pages_cut(inode->cached, inode->pages, size);
    sim_pages_cut(inode->durable, inode->pages, size);
    /*
     * The two may have had one last page and have two alike now, which a look at their pointers
     * takes for a change.
     */
    inode->dirty = true;
    sim_count_used(disk);
    return 0;
}

/* ---- Files ---- */

int sim_disk_lose(struct sim_disk *disk, const char *path)
{
    if (sim_find(disk, path) == NULL)
        return -ENOENT;
    sim_names_commit(disk);
    sim_table_remove(disk, &disk->durable, path);
    sim_table_remove(disk, &disk->current, path);
    return 0;
}

/* A new file of that name, empty, in place of the one that may be there. */
static int file_new(struct sim_disk *disk, const char *path, struct inode **inode)
{
    const int error = sim_parent_check(disk, path);

    if (error != 0)
        return error;
    sim_names_commit(disk);
    *inode = sim_inode_create(disk, path);
    sim_table_set(disk, &disk->durable, path, *inode);
    sim_table_set(disk, &disk->current, path, *inode);
    sim_inode_drop(disk, *inode); /* the names keep it */
    return 0;
}

int sim_disk_duplicate(struct sim_disk *disk, const char *from, const char *to)
{
    struct inode *old;
    struct inode *inode;
    int error = at_rest(disk, from, 0, 0, &old);

    if (error == 0 && strcmp(from, to) == 0)
        error = -EINVAL;
    if (error == 0)
        error = file_new(disk, to, &inode);
    if (error != 0)
        return error;
    sim_inode_copy(inode, old);
    sim_count_used(disk);
    return 0;
}

int sim_disk_move(struct sim_disk *disk, const char *from, const char *to)
{
    struct inode *inode = sim_find(disk, from);
    const int error = sim_parent_check(disk, to);

    if (inode == NULL || error != 0)
        return inode == NULL ? -ENOENT : error;
    sim_names_commit(disk);
    sim_table_set(disk, &disk->durable, to, inode);
    sim_table_set(disk, &disk->current, to, inode);
    return 0;
}

int sim_disk_put(struct sim_disk *disk, const char *path, const void *bytes, size_t size)
{
    struct inode *inode;
    const int error = file_new(disk, path, &inode);

    if (error != 0)
        return error;
    if (sim_inode_write(disk, inode, bytes, size, 0) < size)
        return -ENOSPC;
    sim_inode_sync(disk, inode, SYNC_WHOLE);
    return 0;
}

static int compare_paths(const struct sim_disk *disk, uint32_t a, uint32_t b)
{
    return strcmp(disk->current.names[a].path, disk->current.names[b].path);
}

unsigned sim_disk_files(const struct sim_disk *disk)
{
    return disk->current.count;
}

const char *sim_disk_file(const struct sim_disk *disk, unsigned i, uint64_t *size)
{
    /* The table is in the order of its changes, and short: the i-th has i before it. */
    for (uint32_t n = 0; n < disk->current.count; n++) {
        unsigned before = 0;

        for (uint32_t m = 0; m < disk->current.count; m++)
            before += compare_paths(disk, m, n) < 0;
        if (before != i)
            continue;
        if (size != NULL)
            *size = disk->current.names[n].inode->size;
        return disk->current.names[n].path;
    }
    return NULL;
}

/* ---- Places ---- */

/* Counts the bytes of a kind, or stops at the one that is wanted. */
struct hunt {
    enum sim_place_class kind;
    uint64_t left;           /* bytes of the kind still to pass */
    uint64_t count;          /* passed */
    struct sim_place *place; /* NULL: only count */
};

/* True: the wanted byte is in this range. */
static bool range(struct hunt *hunt, const char *path, enum sim_place_class kind, uint64_t offset,
                  uint64_t size)
{
    if (hunt->kind != SIM_PLACE_ANY && hunt->kind != kind)
        return false;
    hunt->count += size;
    if (hunt->place == NULL)
        return false;
    if (hunt->left >= size) {
        hunt->left -= size;
        return false;
    }
    memcpy(hunt->place->path, path, strlen(path) + 1);
    hunt->place->offset = offset + hunt->left;
    hunt->place->kind = kind;
    return true;
}

static bool hunt_frames(struct hunt *hunt, const char *path, const struct inode *inode)
{
    uint64_t at = STORE_BLOCK;

    while (at < inode->size) {
        const uint64_t block_end = (at / STORE_BLOCK + 1) * STORE_BLOCK;
        const uint64_t end = block_end < inode->size ? block_end : inode->size;
        struct frame_header frame = {0};
        enum sim_place_class kind;

        if (inode->size - at >= sizeof(frame))
            sim_inode_read(inode, false, (uint8_t *)&frame, sizeof(frame), at);
        if (frame.magic != FRAME_MAGIC || frame.size > FRAME_PAYLOAD_MAX ||
            frame.size > inode->size - at - sizeof(frame)) {
            kind = at % STORE_BLOCK == 0 ? SIM_PLACE_UNUSED : SIM_PLACE_PADDING;
            if (range(hunt, path, kind, at, end - at))
                return true;
            at = end;
            continue;
        }
        kind = frame.type == FRAME_SEAL ? SIM_PLACE_SEAL : SIM_PLACE_FRAME_HEADER;
        if (range(hunt, path, kind, at, sizeof(frame)))
            return true;
        kind = frame.type == FRAME_SEAL ? SIM_PLACE_SEAL : SIM_PLACE_PAYLOAD;
        if (range(hunt, path, kind, at + sizeof(frame), frame.size))
            return true;
        at += sizeof(frame) + frame.size;
    }
    return false;
}

static bool hunt_file(struct hunt *hunt, const char *path, const struct inode *inode)
{
    char magic[8];

    if (inode->size >= STORE_BLOCK)
        sim_inode_read(inode, false, (uint8_t *)magic, sizeof(magic), 0);
    if (inode->size < STORE_BLOCK || memcmp(magic, FILE_MAGIC, sizeof(magic)) != 0)
        return range(hunt, path, SIM_PLACE_ANY, 0, inode->size);
    return range(hunt, path, SIM_PLACE_FILE_HEADER, 0, FILE_HEADER_FIELDS) ||
           range(hunt, path, SIM_PLACE_HEADER_REST, FILE_HEADER_FIELDS,
                 STORE_BLOCK - FILE_HEADER_FIELDS) ||
           hunt_frames(hunt, path, inode);
}

static bool hunt_files(const struct sim_disk *disk, struct hunt *hunt, const char *path)
{
    for (unsigned i = 0; i < sim_disk_files(disk); i++) {
        const char *file = sim_disk_file(disk, i, NULL);

        if ((path == NULL || strstr(file, path) != NULL) &&
            hunt_file(hunt, file, sim_find(disk, file)))
            return true;
    }
    return false;
}

int sim_disk_pick(struct sim_disk *disk, enum sim_place_class kind, const char *path,
                  struct sim_place *place)
{
    struct hunt hunt = {.kind = kind};

    hunt_files(disk, &hunt, path);
    if (hunt.count == 0)
        return -ENOENT;
    hunt.left = random_below(&disk->random, hunt.count);
    hunt.place = place;
    CHECK(hunt_files(disk, &hunt, path));
    place->bit = (unsigned)random_below(&disk->random, 8);
    return 0;
}

const char *sim_place_class_name(enum sim_place_class kind)
{
    static const char *const names[SIM_PLACE_COUNT] = {
        [SIM_PLACE_ANY] = "any",
        [SIM_PLACE_FILE_HEADER] = "file header",
        [SIM_PLACE_HEADER_REST] = "rest of a file header",
        [SIM_PLACE_FRAME_HEADER] = "frame header",
        [SIM_PLACE_PAYLOAD] = "payload",
        [SIM_PLACE_SEAL] = "seal",
        [SIM_PLACE_PADDING] = "padding",
        [SIM_PLACE_UNUSED] = "unused",
    };

    return kind < SIM_PLACE_COUNT ? names[kind] : "?";
}
