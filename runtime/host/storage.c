/*
 * storage.c - the storage seam on files of the system.
 *
 * Layer: host. Reads and writes go on after a short count or an interruption; a failed sync is
 * reported as it is and never tried again, because the kernel forgets what it could not write.
 *
 * A durable file is O_DSYNC and, where the file system allows it, O_DIRECT: then a write is one
 * journey to the disk instead of two, and a read sees the disk and not a page that could not be
 * written. O_DIRECT is switched on after the opening, because an open that is refused for it may
 * have made the file. Reads of such a file go by a buffer of their own where the caller's is not
 * aligned.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pawl/seams.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/storage_queue.h"

#define LOCK_NAME   "lock"
#define BOUNCE_SIZE ((size_t)64 << 10)

/* A file handle is the descriptor plus one, so that NULL is none, above two flags. */
#define HANDLE_DURABLE 1u /* opened with PAWL_STORAGE_DURABLE */
#define HANDLE_DIRECT  2u /* it has O_DIRECT */

static void *handle_of(int fd, unsigned flags)
{
    return (void *)((((uintptr_t)fd + 1) << 2) | flags);
}

static int fd_of(const void *file)
{
    return (int)((uintptr_t)file >> 2) - 1;
}

static bool has_flag(const void *file, unsigned flag)
{
    return ((uintptr_t)file & flag) != 0;
}

static bool in_blocks(const void *bytes, size_t size, uint64_t offset)
{
    return (((uintptr_t)bytes | size | offset) & (PAWL_STORAGE_BLOCK - 1)) == 0;
}

/* ---- Directories ---- */

static int posix_make_directory(void *user, const char *path)
{
    struct stat status;

    (void)user;
    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &status) != 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static int posix_lock(void *user, const char *directory, void **lock)
{
    const int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd, error = 0;

    (void)user;
    if (directory_fd < 0)
        return -errno;
    fd = openat(directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        error = -errno;
    close(directory_fd);
    if (error != 0)
        return error;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        close(fd);
        return error;
    }
    *lock = handle_of(fd, 0);
    return 0;
}

/* A child that was forked meanwhile has the descriptor too, so closing it would not be enough. */
static void posix_unlock(void *user, void *lock)
{
    (void)user;
    flock(fd_of(lock), LOCK_UN);
    close(fd_of(lock));
}

/* What fn returns is returned. */
static int posix_list(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument)
{
    DIR *opened = opendir(directory);
    int result = 0;

    (void)user;
    if (opened == NULL)
        return -errno;
    while (result == 0) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(opened);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = fn(argument, entry->d_name);
    }
    closedir(opened);
    return result;
}

static int posix_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int posix_remove(void *user, const char *path)
{
    (void)user;
    if (unlink(path) == 0 || (errno == EISDIR && rmdir(path) == 0))
        return 0;
    return -errno;
}

static int posix_sync_directory(void *user, const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = 0;

    (void)user;
    if (fd < 0)
        return -errno;
    if (fsync(fd) != 0)
        error = -errno;
    close(fd);
    return error;
}

/* ---- Files ---- */

static int posix_open(void *user, const char *path, unsigned flags, void **file)
{
    const bool reads = (flags & PAWL_STORAGE_READ) != 0;
    const bool durable = (flags & PAWL_STORAGE_DURABLE) != 0;
    const int mode = (reads ? O_RDONLY : O_RDWR) |
                     ((flags & PAWL_STORAGE_CREATE) ? O_CREAT | O_EXCL : 0) |
                     (durable ? O_DSYNC : 0) | O_CLOEXEC;
    unsigned handle = durable ? HANDLE_DURABLE : 0;
    int fd;

    (void)user;
    if ((flags & ~(PAWL_STORAGE_CREATE | PAWL_STORAGE_READ | PAWL_STORAGE_DURABLE)) != 0)
        return -EINVAL;
    do {
        fd = open(path, mode, 0644);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    if (durable && fcntl(fd, F_SETFL, mode | O_DIRECT) == 0)
        handle |= HANDLE_DIRECT;
    *file = handle_of(fd, handle);
    return 0;
}

static int64_t posix_size(void *user, void *file)
{
    struct stat status;

    (void)user;
    return fstat(fd_of(file), &status) == 0 ? (int64_t)status.st_size : -errno;
}

/* Part of a read with O_DIRECT, by whole blocks into memory of our own. As pread(2), but -errno. */
static int64_t read_aside(int fd, char *bytes, size_t size, uint64_t offset)
{
    const size_t before = offset % PAWL_STORAGE_BLOCK;
    const size_t part = size < BOUNCE_SIZE - before ? size : BOUNCE_SIZE - before;
    void *blocks;
    int64_t got;

    if (posix_memalign(&blocks, PAWL_STORAGE_BLOCK, BOUNCE_SIZE) != 0)
        return -ENOMEM;
    got = pread(fd, blocks, align_up(before + part, PAWL_STORAGE_BLOCK), (off_t)(offset - before));
    if (got < 0) {
        got = -errno;
    } else {
        got = got > (int64_t)before ? got - (int64_t)before : 0;
        if (got > (int64_t)part)
            got = (int64_t)part;
        memcpy(bytes, (char *)blocks + before, (size_t)got);
    }
    free(blocks);
    return got;
}

static int64_t posix_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    (void)user;
    while (done < size) {
        char *at = (char *)bytes + done;
        const size_t left = size - done;
        const uint64_t from = offset + done;
        int64_t got;

        /* Also the rest behind a short count, which may begin anywhere. */
        if (has_flag(file, HANDLE_DIRECT) && !in_blocks(at, left, from)) {
            got = read_aside(fd_of(file), at, left, from);
        } else {
            got = pread(fd_of(file), at, left, (off_t)from);
            if (got < 0)
                got = -errno;
        }
        if (got == -EINTR)
            continue;
        if (got < 0)
            return got;
        if (got == 0)
            break; /* the end of the file */
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t posix_write(void *user, void *file, const void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    (void)user;
    /* Refused everywhere, not only where the file system minds. */
    if (has_flag(file, HANDLE_DURABLE) && !in_blocks(bytes, size, offset))
        return -EINVAL;
    while (done < size) {
        const ssize_t put =
            pwrite(fd_of(file), (const char *)bytes + done, size - done, (off_t)(offset + done));

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (put == 0)
            return -EIO; /* no error and no progress: nothing to wait for */
        done += (size_t)put;
    }
    return (int64_t)done;
}

static int posix_sync(void *user, void *file)
{
    (void)user;
    return fdatasync(fd_of(file)) == 0 ? 0 : -errno;
}

/* An interrupted close has closed. */
static int posix_close(void *user, void *file)
{
    (void)user;
    return close(fd_of(file)) == 0 || errno == EINTR ? 0 : -errno;
}

/* ---- The queue ---- */

static int posix_queue_open(void *user, unsigned depth, int wake_fd, void **queue)
{
    struct storage_queue *opened;
    const int error = pawl__storage_queue_open(STORAGE_QUEUE_BEST, depth, wake_fd, &opened);

    (void)user;
    if (error == 0)
        *queue = opened;
    return error;
}

static void posix_queue_close(void *user, void *queue)
{
    (void)user;
    pawl__storage_queue_close(queue);
}

static int posix_queue_write(void *user, void *queue, void *file, const void *bytes, size_t size,
                             uint64_t offset, uint64_t tag)
{
    (void)user;
    if (file != NULL && !has_flag(file, HANDLE_DURABLE))
        return -EINVAL; /* its completion would not mean that it is on the disk */
    if (!in_blocks(bytes, size, offset))
        return -EINVAL;
    return pawl__storage_queue_write(queue, fd_of(file), bytes, size, offset, tag);
}

static int posix_queue_reap(void *user, void *queue, struct pawl_storage_done *done,
                            unsigned capacity, uint64_t timeout_ns)
{
    (void)user;
    return pawl__storage_queue_reap(queue, done, capacity, timeout_ns);
}

static int posix_queue_fd(void *user, void *queue)
{
    (void)user;
    return pawl__storage_queue_fd(queue);
}

const struct pawl_storage pawl_storage_posix = {
    .make_directory = posix_make_directory,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .list = posix_list,
    .rename = posix_rename,
    .remove = posix_remove,
    .sync_directory = posix_sync_directory,
    .open = posix_open,
    .size = posix_size,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .close = posix_close,
    .queue_open = posix_queue_open,
    .queue_close = posix_queue_close,
    .queue_write = posix_queue_write,
    .queue_reap = posix_queue_reap,
    .queue_fd = posix_queue_fd,
};
