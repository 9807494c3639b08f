#include "crash/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512u

static struct {
    struct ledger *ledger;
    unsigned call;
    uint64_t nth;
    enum fault fault;
    int error;
} plan;

static const struct pawl_storage *const inner = &pawl_storage_posix;

/* An open file, with its name for a write that is torn. */
struct file {
    void *inner;
    char path[4096];
};

static void die(void)
{
    __atomic_store_n(&plan.ledger->fired, 1, __ATOMIC_RELAXED);
    kill(getpid(), SIGKILL);
    for (;;) /* other threads may take the signal first */
        pause();
}

/* Counts the call. Whether the fault is now. */
static bool strikes(enum call call)
{
    const uint64_t count = __atomic_add_fetch(&plan.ledger->calls[call], 1, __ATOMIC_RELAXED);

    if (plan.fault == FAULT_NONE || plan.call != call)
        return false;
    return count == plan.nth || (count > plan.nth && plan.fault == FAULT_ERROR_EVER);
}

/* Before a call: 0, or the error that it shall return instead. */
static int before(enum call call, bool *kill_after)
{
    *kill_after = false;
    if (!strikes(call))
        return 0;
    if (plan.fault == FAULT_KILL_BEFORE)
        die();
    if (plan.fault == FAULT_KILL_AFTER || plan.fault == FAULT_KILL_TORN) {
        *kill_after = true;
        return 0;
    }
    __atomic_store_n(&plan.ledger->fired, 1, __ATOMIC_RELAXED);
    return plan.error;
}

static int64_t after(int64_t result, bool kill_after)
{
    if (kill_after)
        die();
    return result;
}

#define AROUND(call, expression)                                                                   \
    do {                                                                                           \
        bool kill_after;                                                                           \
        const int error = before(call, &kill_after);                                               \
                                                                                                   \
        if (error != 0)                                                                            \
            return error;                                                                          \
        return (__typeof__(expression))after((expression), kill_after);                            \
    } while (0)

/* A part of the bytes, to the sector, reaches the file, and the process is gone. */
static void tear(const struct file *file, const void *bytes, size_t size, uint64_t offset)
{
    const size_t part = size / 2 / SECTOR * SECTOR;
    const int fd = open(file->path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && pwrite(fd, bytes, part, (off_t)offset) >= 0)
        fdatasync(fd);
    die();
}

static int make_directory(void *user, const char *path)
{
    (void)user;
    AROUND(CALL_MAKE_DIRECTORY, inner->make_directory(inner->user, path));
}

static int lock(void *user, const char *directory, void **lock)
{
    (void)user;
    AROUND(CALL_LOCK, inner->lock(inner->user, directory, lock));
}

static void unlock(void *user, void *lock)
{
    (void)user;
    inner->unlock(inner->user, lock);
}

static int list(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument)
{
    (void)user;
    AROUND(CALL_LIST, inner->list(inner->user, directory, fn, argument));
}

static int rename_file(void *user, const char *from, const char *to)
{
    (void)user;
    AROUND(CALL_RENAME, inner->rename(inner->user, from, to));
}

static int remove_file(void *user, const char *path)
{
    (void)user;
    AROUND(CALL_REMOVE, inner->remove(inner->user, path));
}

static int sync_directory(void *user, const char *path)
{
    (void)user;
    AROUND(CALL_SYNC_DIRECTORY, inner->sync_directory(inner->user, path));
}

static int open_file(void *user, const char *path, unsigned flags, void **handle)
{
    bool kill_after;
    struct file *file;
    int error = before(CALL_OPEN, &kill_after);

    (void)user;
    if (error != 0)
        return error;
    file = calloc(1, sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    snprintf(file->path, sizeof(file->path), "%s", path);
    error = inner->open(inner->user, path, flags, &file->inner);
    after(0, kill_after);
    if (error != 0) {
        free(file);
        return error;
    }
    *handle = file;
    return 0;
}

static int64_t size_of(void *user, void *handle)
{
    const struct file *file = handle;

    (void)user;
    AROUND(CALL_SIZE, inner->size(inner->user, file->inner));
}

static int64_t read_file(void *user, void *handle, void *bytes, size_t size, uint64_t offset)
{
    const struct file *file = handle;

    (void)user;
    AROUND(CALL_READ, inner->read(inner->user, file->inner, bytes, size, offset));
}

static int64_t write_file(void *user, void *handle, const void *bytes, size_t size, uint64_t offset)
{
    const struct file *file = handle;
    bool kill_after;
    const int error = before(CALL_WRITE, &kill_after);

    (void)user;
    if (error != 0)
        return error;
    if (kill_after && plan.fault == FAULT_KILL_TORN)
        tear(file, bytes, size, offset);
    return after(inner->write(inner->user, file->inner, bytes, size, offset), kill_after);
}

static int sync_file(void *user, void *handle)
{
    const struct file *file = handle;

    (void)user;
    AROUND(CALL_SYNC, inner->sync(inner->user, file->inner));
}

static int close_file(void *user, void *handle)
{
    struct file *file = handle;
    bool kill_after;
    const int fault = before(CALL_CLOSE, &kill_after);
    const int error = inner->close(inner->user, file->inner);

    (void)user;
    free(file);
    after(0, kill_after);
    return fault != 0 ? fault : error;
}

static int queue_open(void *user, unsigned depth, int wake_fd, void **queue)
{
    (void)user;
    AROUND(CALL_QUEUE_OPEN, inner->queue_open(inner->user, depth, wake_fd, queue));
}

static void queue_close(void *user, void *queue)
{
    (void)user;
    inner->queue_close(inner->user, queue);
}

/* ---- What a failed write was to say ---- */

/* Writes under way that tell a journal something, by tag. */
#define TELLING_MAX 1024u

static pthread_mutex_t telling_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t telling[TELLING_MAX];
static unsigned telling_count;

/* Zeroes prepare a file. */
static bool tells_journal(const struct file *file, const unsigned char *bytes, size_t size)
{
    const char *const end = strrchr(file->path, '.');

    if (end == NULL || strcmp(end, ".journal") != 0)
        return false;
    return size > 0 && (bytes[0] != 0 || memcmp(bytes, bytes + 1, size - 1) != 0);
}

static void telling_add(uint64_t tag)
{
    pthread_mutex_lock(&telling_mutex);
    if (telling_count < TELLING_MAX)
        telling[telling_count++] = tag;
    pthread_mutex_unlock(&telling_mutex);
}

/* Whether it was there. */
static bool telling_take(uint64_t tag)
{
    bool found = false;

    pthread_mutex_lock(&telling_mutex);
    for (unsigned i = 0; i < telling_count && !found; i++)
        if (telling[i] == tag) {
            telling[i] = telling[--telling_count];
            found = true;
        }
    pthread_mutex_unlock(&telling_mutex);
    return found;
}

static void note_struck(void)
{
    __atomic_add_fetch(&plan.ledger->struck, 1, __ATOMIC_RELAXED);
}

static int queue_write(void *user, void *queue, void *handle, const void *bytes, size_t size,
                       uint64_t offset, uint64_t tag)
{
    const struct file *file = handle;
    bool kill_after;
    const int error = before(CALL_QUEUE_WRITE, &kill_after);
    const bool tells = tells_journal(file, bytes, size);

    (void)user;
    if (error != 0 && tells)
        note_struck();
    if (error != 0)
        return error;
    if (kill_after && plan.fault == FAULT_KILL_TORN)
        tear(file, bytes, size, offset);
    if (tells)
        telling_add(tag);
    return (int)after(inner->queue_write(inner->user, queue, file->inner, bytes, size, offset, tag),
                      kill_after);
}

/* Only those that bring something count. An error is that of the first write that ended. */
static int queue_reap(void *user, void *queue, struct pawl_storage_done *done, unsigned capacity,
                      uint64_t timeout_ns)
{
    const int count = inner->queue_reap(inner->user, queue, done, capacity, timeout_ns);
    bool kill_after;
    int error;

    (void)user;
    if (count <= 0)
        return count;
    error = before(CALL_QUEUE_REAP, &kill_after);
    if (error != 0)
        done[0].result = error;
    for (int i = 0; i < count; i++)
        if (telling_take(done[i].tag) && i == 0 && error != 0)
            note_struck();
    after(0, kill_after);
    return count;
}

static int queue_fd(void *user, void *queue)
{
    (void)user;
    return inner->queue_fd(inner->user, queue);
}

static const struct pawl_storage storage = {
    .make_directory = make_directory,
    .lock = lock,
    .unlock = unlock,
    .list = list,
    .rename = rename_file,
    .remove = remove_file,
    .sync_directory = sync_directory,
    .open = open_file,
    .size = size_of,
    .read = read_file,
    .write = write_file,
    .sync = sync_file,
    .close = close_file,
    .queue_open = queue_open,
    .queue_close = queue_close,
    .queue_write = queue_write,
    .queue_reap = queue_reap,
    .queue_fd = queue_fd,
};

const struct pawl_storage *faults_storage(struct ledger *ledger, unsigned call, uint64_t nth,
                                          enum fault fault, int error)
{
    ledger->struck = 0;
    plan.ledger = ledger;
    plan.call = call;
    plan.nth = nth;
    plan.fault = fault;
    plan.error = error;
    return &storage;
}
