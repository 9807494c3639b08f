/* sim_disk.c - the simulated disk: its life, and the seam's calls on files. */
#include "sim_disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

void *sim_allocate(size_t size)
{
    void *memory = calloc(1, size);

    CHECK(memory != NULL);
    return memory;
}

void *sim_grow(void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    items = realloc(items, *capacity * size);
    CHECK(items != NULL);
    return items;
}

void sim_misuse(struct sim_disk *disk, const char *format, ...)
{
    va_list values;

    if (disk->misuse[0] != '\0')
        return;
    va_start(values, format);
    vsnprintf(disk->misuse, sizeof(disk->misuse), format, values);
    va_end(values);
}

const char *sim_disk_misuse(const struct sim_disk *disk)
{
    return disk->misuse[0] != '\0' ? disk->misuse : NULL;
}

uint64_t sim_disk_used_bytes(const struct sim_disk *disk)
{
    return disk->used;
}

/* ---- Files ---- */

static int open_now(struct sim_disk *disk, const char *path, unsigned flags, void **file)
{
    const bool create = (flags & PAWL_STORAGE_CREATE) != 0;
    struct inode *inode = sim_find(disk, path);
    const int error = sim_parent_check(disk, path);
    struct handle *handle;

    if (error != 0)
        return error;
    if (sim_directory(disk, path) != NULL)
        return -EISDIR;
    if (create && inode != NULL)
        return -EEXIST;
    if (!create && inode == NULL)
        return -ENOENT;
    if (create)
        inode = sim_make_file(disk, path);
    if (file == NULL)
        return 0;
    handle = sim_allocate(sizeof(*handle));
    handle->inode = sim_inode_ref(inode);
    handle->flags = flags;
    handle->next = disk->handles;
    inode->open++;
    disk->handles = handle;
    *file = handle;
    return 0;
}

static int open_file(void *user, const char *path, unsigned flags, void **file)
{
    struct sim_disk *disk = user;
    const enum sim_op op = flags & PAWL_STORAGE_CREATE ? SIM_CREATE : SIM_OPEN;
    struct strike strike;

    if (sim_begin(disk, op, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        if (sim_coin(disk))
            open_now(disk, path, flags, NULL);
        return sim_die_within(disk, op);
    }
    return (int)sim_end(disk, op, strike.is ? strike.error : open_now(disk, path, flags, file));
}

static int64_t size_of_file(void *user, void *file)
{
    struct sim_disk *disk = user;
    const struct handle *handle = file;
    struct strike strike;

    if (disk->dead || sim_begin(disk, SIM_SIZE, handle->inode->path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_SIZE);
    return sim_end(disk, SIM_SIZE, strike.is ? strike.error : (int64_t)handle->inode->size);
}

/* What a durable handle asks of the caller. */
static bool is_aligned(struct sim_disk *disk, const struct handle *handle, const void *bytes,
                       size_t size, uint64_t offset)
{
    if ((handle->flags & PAWL_STORAGE_DURABLE) == 0 ||
        (size % PAGE == 0 && offset % PAGE == 0 && (uintptr_t)bytes % PAGE == 0))
        return true;
    sim_misuse(disk, "%s: %zu bytes at %llu are not aligned", handle->inode->path, size,
               (unsigned long long)offset);
    return false;
}

static int64_t read_file(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    struct sim_disk *disk = user;
    const struct handle *handle = file;
    uint64_t count = 0;
    struct strike strike;

    if (disk->dead ||
        sim_begin(disk, SIM_READ, handle->inode->path, offset, size, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_READ);
    if (!is_aligned(disk, handle, bytes, size, offset))
        return sim_end(disk, SIM_READ, -EINVAL);
    if (strike.is && strike.kind == SIM_FAULT_ERROR)
        return sim_end(disk, SIM_READ, strike.error);
    if (offset < handle->inode->size)
        count = handle->inode->size - offset < size ? handle->inode->size - offset : size;
    sim_inode_read(handle->inode,
                   (handle->flags & PAWL_STORAGE_DURABLE) != 0 && !disk->options.no_direct, bytes,
                   count, offset);
    if (strike.is && count != 0) {
        const uint64_t bit = random_below(&disk->random, count * 8);

        ((uint8_t *)bytes)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    disk->counters.bytes_read += count;
    return sim_end(disk, SIM_READ, (int64_t)count);
}

/* Through the cache: an error before anything happened, a short write after some of it. */
static int64_t write_cached(struct sim_disk *disk, struct inode *inode, const void *bytes,
                            uint64_t size, uint64_t offset, const struct strike *strike)
{
    uint64_t count = size;

    if (strike->is && strike->kind == SIM_FAULT_ERROR)
        return strike->error;
    if (strike->is)
        count = random_below(&disk->random, size);
    if (sim_inode_write(disk, inode, bytes, count, offset) < count)
        return -ENOSPC;
    return strike->is ? strike->error : (int64_t)size;
}

static int64_t write_past_cache(struct sim_disk *disk, struct inode *inode, const void *bytes,
                                uint64_t size, uint64_t offset, const struct strike *strike)
{
    struct page **pages = sim_pages_of(bytes, size);
    const int64_t done = sim_write_struck(disk, inode, pages, size, offset, strike);

    sim_pages_free(pages, size);
    if (done < 0 || (uint64_t)done == size)
        return done;
    return strike->is ? strike->error : -ENOSPC;
}

static void write_dying(struct sim_disk *disk, const struct handle *handle, const void *bytes,
                        uint64_t size, uint64_t offset)
{
    const uint64_t first = offset / PAGE;
    const uint64_t pages = (offset + size + PAGE - 1) / PAGE - first;
    const uint64_t cut = (first + random_below(&disk->random, pages + 1)) * PAGE;

    if (handle->flags & PAWL_STORAGE_DURABLE)
        sim_flight_strand(disk, handle->inode, bytes, size, offset);
    else if (cut > offset)
        sim_inode_write(disk, handle->inode, bytes, cut - offset < size ? cut - offset : size,
                        offset);
}

static int64_t write_file(void *user, void *file, const void *bytes, size_t size, uint64_t offset)
{
    struct sim_disk *disk = user;
    const struct handle *handle = file;
    const bool past_cache = (handle->flags & PAWL_STORAGE_DURABLE) != 0;
    struct strike strike;
    int64_t done;

    if (disk->dead ||
        sim_begin(disk, SIM_WRITE, handle->inode->path, offset, size, past_cache, &strike) != 0)
        return -EIO;
    if (handle->flags & PAWL_STORAGE_READ) {
        sim_misuse(disk, "%s: a write to a file opened for reading", handle->inode->path);
        return sim_end(disk, SIM_WRITE, -EBADF);
    }
    if (!is_aligned(disk, handle, bytes, size, offset))
        return sim_end(disk, SIM_WRITE, -EINVAL);
    if (size == 0)
        return sim_end(disk, SIM_WRITE, 0);
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        write_dying(disk, handle, bytes, size, offset);
        return sim_die_within(disk, SIM_WRITE);
    }
    if (past_cache)
        done = write_past_cache(disk, handle->inode, bytes, size, offset, &strike);
    else
        done = write_cached(disk, handle->inode, bytes, size, offset, &strike);
    if (done > 0)
        disk->counters.bytes_written += (uint64_t)done;
    return sim_end(disk, SIM_WRITE, done);
}

static int sync_file(void *user, void *file)
{
    struct sim_disk *disk = user;
    const struct handle *handle = file;
    enum sync_mode mode = SYNC_WHOLE;
    struct strike strike;

    if (disk->dead || sim_begin(disk, SIM_SYNC, handle->inode->path, 0, 0,
                                handle->inode->unsynced_count != 0, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_SYNC);
    if (strike.is && strike.kind == SIM_FAULT_PHANTOM)
        mode = SYNC_PHANTOM;
    else if (strike.is && strike.kind == SIM_FAULT_MISDIRECTED)
        mode = SYNC_MISDIRECTED;
    else if (strike.is)
        mode = SYNC_FAILED;
    sim_inode_sync(disk, handle->inode, mode);
    return (int)sim_end(disk, SIM_SYNC, mode == SYNC_FAILED ? strike.error : 0);
}

static void handle_free(struct sim_disk *disk, struct handle *handle)
{
    struct handle **link = &disk->handles;

    while (*link != handle)
        link = &(*link)->next;
    *link = handle->next;
    if (handle->inode != NULL) {
        handle->inode->open--;
        sim_inode_settle(disk, handle->inode);
        sim_inode_drop(disk, handle->inode);
    }
    free(handle);
}

static int close_file(void *user, void *file)
{
    struct sim_disk *disk = user;
    struct handle *handle = file;
    struct strike strike;

    if (disk->dead) {
        handle_free(disk, handle);
        return -EIO;
    }
    sim_begin(disk, SIM_CLOSE, handle->inode->path, 0, 0, false, &strike);
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_CLOSE); /* reopening frees the handle */
    handle_free(disk, handle);
    return (int)sim_end(disk, SIM_CLOSE, strike.is ? strike.error : 0);
}

void sim_handles_free(struct sim_disk *disk)
{
    while (disk->handles != NULL)
        handle_free(disk, disk->handles);
    while (disk->locks != NULL) {
        struct lock *lock = disk->locks;

        disk->locks = lock->next;
        free(lock);
    }
}

/* ---- Life ---- */

int sim_disk_create(const struct sim_disk_options *options, struct sim_disk **disk)
{
    struct sim_disk *d;

    if (options->latency_max_ns < options->latency_min_ns)
        return -EINVAL;
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    d->options = *options;
    d->random.state = options->seed;
    d->storage = (struct pawl_storage){
        .user = d,
        .open = open_file,
        .size = size_of_file,
        .read = read_file,
        .write = write_file,
        .sync = sync_file,
        .close = close_file,
    };
    sim_directory_fill_storage(&d->storage);
    sim_queue_fill_storage(&d->storage);
    for (unsigned i = 0; i < 2; i++) {
        d->directories = sim_grow(d->directories, d->directories_count, &d->directories_capacity,
                                  sizeof(struct directory));
        d->directories[d->directories_count++] =
            (struct directory){.path = {i == 0 ? '/' : '.'}, .durable = true};
    }
    *disk = d;
    return 0;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    sim_handles_free(disk);
    sim_queues_free(disk);
    sim_names_free(disk);
    for (unsigned i = 0; i < STALE_MAX; i++)
        sim_page_drop(disk->stale[i]);
    CHECK(disk->inodes_count == 0);
    free(disk->inodes);
    free(disk->flights);
    free(disk);
}

const struct pawl_storage *sim_disk_storage(struct sim_disk *disk)
{
    return &disk->storage;
}
