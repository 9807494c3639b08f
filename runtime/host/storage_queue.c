/*
 * storage_queue.c - durable writes that nobody waits for: one io_uring a queue, or plain writes.
 *
 * Decisions:
 *   - The ring is set up for cooperative completion, not for a single issuer: that would bind the
 *     queue to the thread that uses it first, and gains nothing measurable over it; both save a
 *     third of the processor time at depth 8 and more.
 *   - A write is handed to the kernel at once: collecting several for one call gains nothing
 *     either.
 *   - A wait is one call: the poll of wake_fd lives in the ring beside the writes, and is armed
 *     again only by a wait, so that a wake which the owner has dealt with costs nothing.
 *   - The descriptor to poll is the ring's own, which is readable as long as completions lie in it.
 *   - When the kernel refuses to take writes (a sandbox closed behind the host), the ring is never
 *     entered again: what it refused still lies in the ring, and its bytes may not be what they
 *     were.
 */
#include "host/storage_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef PAWL_HAS_URING
#include <liburing.h>
#endif

#include "base/check.h"

#define NS_PER_S     UINT64_C(1000000000)
#define ATTEMPTS_MAX 16u /* of one write that the kernel gave back without an error of the device */
#define WAKE_DATA    UINT64_MAX

struct write {
    uint64_t tag;
    const void *bytes;
    uint64_t offset;
    uint32_t size;
    int fd;
    uint16_t attempts;
    uint16_t next; /* free writes are a list */
};

struct storage_queue {
    unsigned depth;
    unsigned unreaped; /* writes whose result has not been handed out; at most depth */
    int wake_fd;
    bool is_ring;
    bool wake_armed; /* ring: a poll of wake_fd is under way */
    bool woken;      /* ring: it has fired since a wait began */
    int broken;      /* ring: why the kernel takes no more writes, or 0 */

    uint16_t free;                                /* ring */
    struct write writes[STORAGE_QUEUE_DEPTH_MAX]; /* ring */
    unsigned ended_first;                         /* plain */
    struct pawl_storage_done
        ended[STORAGE_QUEUE_DEPTH_MAX]; /* plain: a circle of unreaped results */
#ifdef PAWL_HAS_URING
    struct io_uring ring;
#endif
};

/* ---- Time and waiting ---- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* UINT64_MAX is for ever, here and as a timeout. */
static uint64_t deadline_after(uint64_t timeout_ns)
{
    const uint64_t now = timeout_ns == UINT64_MAX ? 0 : now_ns();

    return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

static uint64_t remaining_until(uint64_t deadline_ns)
{
    const uint64_t now = deadline_ns == UINT64_MAX ? 0 : now_ns();

    return deadline_ns == UINT64_MAX ? UINT64_MAX : deadline_ns > now ? deadline_ns - now : 0;
}

/* Whether a descriptor, -1 is none, became readable. False also after a signal. */
static bool wait_readable(int first, int second, uint64_t timeout_ns)
{
    struct pollfd polled[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
    const struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                                     .tv_nsec = (long)(timeout_ns % NS_PER_S)};

    if (ppoll(polled, 2, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
        return false;
    CHECK(!((polled[0].revents | polled[1].revents) & POLLNVAL));
    return true;
}

/*
 * How a write has ended. One that was cut short does not say why; to go on with the rest, from the
 * last whole block, does: it ends well, or with the error (-ENOSPC, mostly). -EIO: no error and no
 * progress.
 */
static int64_t result_of(int64_t got, int fd, const void *bytes, size_t size, uint64_t offset)
{
    while (got >= 0 && (size_t)got < size) {
        const size_t from = (size_t)got / PAWL_STORAGE_BLOCK * PAWL_STORAGE_BLOCK;
        const ssize_t put =
            pwrite(fd, (const char *)bytes + from, size - from, (off_t)(offset + from));

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (from + (size_t)put <= (size_t)got)
            return -EIO;
        got = (int64_t)(from + (size_t)put);
    }
    return got;
}

/* ---- Plain writes ---- */

static int plain_write(struct storage_queue *queue, int fd, const void *bytes, size_t size,
                       uint64_t offset, uint64_t tag)
{
    struct pawl_storage_done *done =
        &queue->ended[(queue->ended_first + queue->unreaped) % STORAGE_QUEUE_DEPTH_MAX];
    ssize_t put;

    do {
        put = pwrite(fd, bytes, size, (off_t)offset);
    } while (put < 0 && errno == EINTR);
    *done =
        (struct pawl_storage_done){tag, result_of(put < 0 ? -errno : put, fd, bytes, size, offset)};
    queue->unreaped++;
    return 0;
}

static unsigned plain_collect(struct storage_queue *queue, struct pawl_storage_done *done,
                              unsigned capacity)
{
    unsigned count = 0;

    while (count < capacity && queue->unreaped > 0) {
        done[count++] = queue->ended[queue->ended_first];
        queue->ended_first = (queue->ended_first + 1) % STORAGE_QUEUE_DEPTH_MAX;
        queue->unreaped--;
    }
    return count;
}

/* ---- The ring ---- */

#ifdef PAWL_HAS_URING

/*
 * Waits with a time limit, completions that are never lost, writes whose description may go at
 * once.
 */
#define FEATURES_NEEDED (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)

static int ring_open(struct storage_queue *queue)
{
    struct io_uring_params parameters = {.flags =
                                             IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG};
    const unsigned entries = queue->depth + 1; /* and the poll of wake_fd */
    int error = io_uring_queue_init_params(entries, &queue->ring, &parameters);

    if (error == -EINVAL) { /* a kernel before these flags, or without io_uring's features */
        parameters = (struct io_uring_params){0};
        error = io_uring_queue_init_params(entries, &queue->ring, &parameters);
    }
    if (error != 0)
        return error;
    if ((parameters.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
        io_uring_queue_exit(&queue->ring);
        return -ENOTSUP;
    }
    io_uring_ring_dontfork(&queue->ring); /* a wish: a child that leaves the ring alone is safe */
    for (unsigned i = 0; i < queue->depth; i++)
        queue->writes[i].next = (uint16_t)(i + 1);
    queue->is_ring = true;
    return 0;
}

static void ring_close(struct storage_queue *queue)
{
    io_uring_queue_exit(&queue->ring);
}

static int ring_fd(const struct storage_queue *queue)
{
    return queue->ring.ring_fd;
}

static struct io_uring_sqe *next_sqe(struct storage_queue *queue)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

    CHECK(sqe != NULL); /* there are entries for all writes and the poll */
    return sqe;
}

static int ring_send(struct storage_queue *queue, uint16_t index)
{
    const struct write *write = &queue->writes[index];
    struct io_uring_sqe *sqe;
    int sent = 0;

    if (queue->broken != 0)
        return queue->broken;
    sqe = next_sqe(queue);
    io_uring_prep_write(sqe, write->fd, write->bytes, write->size, write->offset);
    io_uring_sqe_set_data64(sqe, index);
    /* Repeated only while the kernel is short of memory or of time. */
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        sent = io_uring_submit(&queue->ring);
        if (sent > 0)
            return 0;
        if (sent < 0 && sent != -EAGAIN && sent != -EBUSY && sent != -EINTR)
            break;
        sched_yield();
    }
    queue->broken = sent < 0 ? sent : -EIO;
    return queue->broken;
}

static int ring_write(struct storage_queue *queue, int fd, const void *bytes, size_t size,
                      uint64_t offset, uint64_t tag)
{
    const uint16_t index = queue->free;
    struct write *write = &queue->writes[index];
    const uint16_t next = write->next;
    int error;

    *write = (struct write){.tag = tag,
                            .bytes = bytes,
                            .offset = offset,
                            .size = (uint32_t)size,
                            .fd = fd,
                            .next = next};
    error = ring_send(queue, index);
    if (error != 0)
        return error;
    queue->free = next;
    queue->unreaped++;
    return 0;
}

/*
 * What the kernel gives back without having met an error of the device: it had no room, or the work
 * was dropped because the thread that had sent it went away. The write is made again, whole: it has
 * reported nothing.
 */
static bool is_given_back(int result)
{
    return result == -EAGAIN || result == -EINTR || result == -ECANCELED;
}

static void take_wake(struct storage_queue *queue, int result)
{
    CHECK(result != -EBADF); /* wake_fd has been closed */
    queue->wake_armed = false;
    queue->woken = result >= 0;
}

static unsigned ring_collect(struct storage_queue *queue, struct pawl_storage_done *done,
                             unsigned capacity)
{
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    while (count < capacity && io_uring_peek_cqe(&queue->ring, &cqe) == 0) {
        const uint64_t data = cqe->user_data;
        const int result = cqe->res;
        struct write *write;

        io_uring_cqe_seen(&queue->ring, cqe);
        if (data == WAKE_DATA) {
            take_wake(queue, result);
            continue;
        }
        CHECK(data < queue->depth);
        write = &queue->writes[data];
        if (is_given_back(result) && ++write->attempts < ATTEMPTS_MAX &&
            ring_send(queue, (uint16_t)data) == 0)
            continue;
        done[count++] = (struct pawl_storage_done){
            write->tag, result_of(result, write->fd, write->bytes, write->size, write->offset)};
        write->next = queue->free;
        queue->free = (uint16_t)data;
        queue->unreaped--;
    }
    return count;
}

static void arm_wake(struct storage_queue *queue)
{
    struct io_uring_sqe *sqe;

    if (queue->wake_fd < 0 || queue->wake_armed)
        return;
    sqe = next_sqe(queue);
    io_uring_prep_poll_add(sqe, queue->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, WAKE_DATA);
    queue->wake_armed = true;
}

static void ring_wait(struct storage_queue *queue, uint64_t timeout_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / NS_PER_S),
                                        .tv_nsec = (long long)(timeout_ns % NS_PER_S)};
    struct io_uring_cqe *cqe = NULL;
    int error;

    if (queue->broken == 0) {
        arm_wake(queue);
        error = io_uring_submit_and_wait_timeout(&queue->ring, &cqe, 1,
                                                 timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
        if (error >= 0 || error == -ETIME || error == -EINTR || error == -EAGAIN || error == -EBUSY)
            return;
        queue->broken = error;
    }
    /* What the kernel took before still completes: by the way out of any call. */
    queue->woken |= wait_readable(ring_fd(queue), queue->wake_fd, timeout_ns);
}

#else

static int ring_open(struct storage_queue *queue)
{
    (void)queue;
    return -ENOTSUP;
}

static void ring_close(struct storage_queue *queue)
{
    (void)queue;
}

static int ring_fd(const struct storage_queue *queue)
{
    (void)queue;
    return -ENOTSUP;
}

static int ring_write(struct storage_queue *queue, int fd, const void *bytes, size_t size,
                      uint64_t offset, uint64_t tag)
{
    (void)queue, (void)fd, (void)bytes, (void)size, (void)offset, (void)tag;
    return -ENOTSUP;
}

static unsigned ring_collect(struct storage_queue *queue, struct pawl_storage_done *done,
                             unsigned capacity)
{
    (void)queue, (void)done, (void)capacity;
    return 0;
}

static void ring_wait(struct storage_queue *queue, uint64_t timeout_ns)
{
    (void)queue, (void)timeout_ns;
}

#endif

/* ---- Either ---- */

int pawl__storage_queue_open(enum storage_queue_kind kind, unsigned depth, int wake_fd,
                             struct storage_queue **queue)
{
    struct storage_queue *opened;
    int error = 0;

    if (depth == 0 || depth > STORAGE_QUEUE_DEPTH_MAX)
        return -EINVAL;
    if (wake_fd >= 0 && fcntl(wake_fd, F_GETFD) < 0)
        return -errno;
    opened = calloc(1, sizeof(*opened));
    if (opened == NULL)
        return -ENOMEM;
    opened->depth = depth;
    opened->wake_fd = wake_fd;
    if (kind != STORAGE_QUEUE_PLAIN)
        error = ring_open(opened);
    /*
     * Out of descriptors is a state that passes; everything else says that there is no ring to be
     * had.
     */
    if (kind == STORAGE_QUEUE_BEST && error != -EMFILE && error != -ENFILE)
        error = 0;
    if (error != 0) {
        free(opened);
        return error;
    }
    *queue = opened;
    return 0;
}

static unsigned collect(struct storage_queue *queue, struct pawl_storage_done *done,
                        unsigned capacity)
{
    return queue->is_ring ? ring_collect(queue, done, capacity)
                          : plain_collect(queue, done, capacity);
}

/* Returns after results, a wake or the time, but also for no reason. */
static void wait_once(struct storage_queue *queue, uint64_t timeout_ns)
{
    if (queue->is_ring)
        ring_wait(queue, timeout_ns);
    else
        queue->woken = wait_readable(-1, queue->wake_fd, timeout_ns);
}

int pawl__storage_queue_write(struct storage_queue *queue, int fd, const void *bytes, size_t size,
                              uint64_t offset, uint64_t tag)
{
    if (queue->unreaped == queue->depth)
        return -EAGAIN;
    if (fd < 0)
        return -EBADF;
    /* io_uring takes an offset of -1 for the file's own position, and pwrite refuses it. */
    if (size > STORAGE_QUEUE_WRITE_MAX || offset > (uint64_t)INT64_MAX - size)
        return -EINVAL;
    return queue->is_ring ? ring_write(queue, fd, bytes, size, offset, tag)
                          : plain_write(queue, fd, bytes, size, offset, tag);
}

int pawl__storage_queue_reap(struct storage_queue *queue, struct pawl_storage_done *done,
                             unsigned capacity, uint64_t timeout_ns)
{
    unsigned count = collect(queue, done, capacity);
    uint64_t deadline_ns;

    if (count > 0 || timeout_ns == 0 || capacity == 0)
        return (int)count;
    if (timeout_ns == UINT64_MAX && queue->unreaped == 0 && queue->wake_fd < 0)
        return 0;
    deadline_ns = deadline_after(timeout_ns);
    queue->woken = false;
    /* Repeated only after a signal, or where the kernel gave a write back. */
    while (count == 0 && timeout_ns > 0 && !queue->woken) {
        wait_once(queue, timeout_ns);
        count = collect(queue, done, capacity);
        timeout_ns = remaining_until(deadline_ns);
    }
    return (int)count;
}

int pawl__storage_queue_fd(struct storage_queue *queue)
{
    return queue->is_ring ? ring_fd(queue) : -ENOTSUP;
}

void pawl__storage_queue_close(struct storage_queue *queue)
{
    struct pawl_storage_done done;

    if (queue == NULL)
        return;
    queue->wake_fd = -1; /* nothing but the writes may end the waits */
    while (queue->unreaped > 0)
        pawl__storage_queue_reap(queue, &done, 1, UINT64_MAX);
    if (queue->is_ring)
        ring_close(queue);
    free(queue);
}
