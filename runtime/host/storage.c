/*
 * storage.c - the storage seam on POSIX files.
 *
 * Layer: host. Reads and writes go on after a short count or an interruption; a failed sync is
 * reported as it is and never tried again, because the kernel forgets what it could not write.
 */
#include <errno.h>
#include <fcntl.h>
#include <pawl/seams.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file handle is the descriptor plus one, so that NULL is none. */
static void *handle_of(int fd)
{
    return (void *)((uintptr_t)fd + 1);
}

static int fd_of(const void *file)
{
    return (int)((uintptr_t)file - 1);
}

static int posix_open(void *user, const char *path, int create, void **file)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0644);

    (void)user;
    if (fd < 0)
        return -errno;
    *file = handle_of(fd);
    return 0;
}

static int64_t posix_size(void *user, void *file)
{
    struct stat status;

    (void)user;
    return fstat(fd_of(file), &status) == 0 ? (int64_t)status.st_size : -errno;
}

static int64_t posix_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    (void)user;
    while (done < size) {
        const ssize_t got =
            pread(fd_of(file), (char *)bytes + done, size - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
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

static int posix_close(void *user, void *file)
{
    (void)user;
    return close(fd_of(file)) == 0 ? 0 : -errno;
}

static int posix_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int posix_remove(void *user, const char *path)
{
    (void)user;
    return unlink(path) == 0 ? 0 : -errno;
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

const struct pawl_storage pawl_storage_posix = {
    .open = posix_open,
    .size = posix_size,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .close = posix_close,
    .rename = posix_rename,
    .remove = posix_remove,
    .sync_directory = posix_sync_directory,
};
