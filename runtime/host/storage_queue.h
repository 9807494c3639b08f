/*
 * storage_queue.h - durable writes that nobody waits for: the queue of the storage seam, on
 * io_uring where the system has it.
 *
 * Where io_uring is missing, forbidden or too old, queue_write makes the write itself and the
 * result waits for the reap: the callers see the same queue with nothing ever under way.
 *
 * Layer: host. Owner: one thread at a time, any thread, also another one than wrote or opened;
 * handing over is the callers' business. Limits: STORAGE_QUEUE_DEPTH_MAX writes of
 * STORAGE_QUEUE_WRITE_MAX bytes; no memory is taken after the opening. Does not survive fork.
 *
 * The kernel finishes a write in the thread that started it, whenever that thread is in the kernel
 * anyway. A thread that waits meanwhile for something else is woken for it, and epoll_wait(2), like
 * the few other calls that a signal always ends, then returns EINTR although no signal came.
 */
#ifndef PAWL_HOST_STORAGE_QUEUE_H
#define PAWL_HOST_STORAGE_QUEUE_H

#include <pawl/seams.h>
#include <stddef.h>
#include <stdint.h>

#define STORAGE_QUEUE_DEPTH_MAX 256u
#define STORAGE_QUEUE_WRITE_MAX ((size_t)1 << 30)

enum storage_queue_kind {
    STORAGE_QUEUE_BEST,  /* a ring if it can be had */
    STORAGE_QUEUE_RING,  /* io_uring, or an error */
    STORAGE_QUEUE_PLAIN, /* writes that queue_write waits for */
};

struct storage_queue;

/*
 * pawl__storage_queue_open - wake_fd: a descriptor that ends a reap's wait while it is readable;
 * the queue does not read from it and it must stay open; -1: none.
 *
 * Returns: 0; -EINVAL for a depth out of range, -EBADF when wake_fd is not open; -ENOMEM, -EMFILE,
 *          -ENFILE; STORAGE_QUEUE_RING: -ENOTSUP when this build has none, or the kernel's error.
 */
int pawl__storage_queue_open(enum storage_queue_kind kind, unsigned depth, int wake_fd,
                             struct storage_queue **queue);

/* Waits for what is under way, drops the results. NULL is none. */
void pawl__storage_queue_close(struct storage_queue *queue);

/*
 * pawl__storage_queue_write - 0: the write is under way or has ended, a reap will tell; -EAGAIN:
 * depth writes have not been reaped; any other error: the write has not been started and will not
 * be. After the kernel has once refused to take a write, all later ones are refused with the same
 * error.
 */
int pawl__storage_queue_write(struct storage_queue *queue, int fd, const void *bytes, size_t size,
                              uint64_t offset, uint64_t tag);

/*
 * pawl__storage_queue_reap - up to capacity results, each size or -errno (-EIO for a short write);
 * how many. 0 after timeout_ns, or when wake_fd is readable. With nothing under way and no wake_fd
 * nothing can come: a timeout of UINT64_MAX is then 0, a shorter one is slept.
 */
int pawl__storage_queue_reap(struct storage_queue *queue, struct pawl_storage_done *done,
                             unsigned capacity, uint64_t timeout_ns);

/*
 * Readable while there is something to reap, until it is reaped; owned by the queue. Plain:
 * -ENOTSUP.
 */
int pawl__storage_queue_fd(struct storage_queue *queue);

#endif /* PAWL_HOST_STORAGE_QUEUE_H */
