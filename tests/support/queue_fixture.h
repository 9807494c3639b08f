/*
 * queue_fixture.h - for tests of storage queues: a queue of either kind over a file of its own, and a descriptor that
 * wakes it.
 *
 *     for (struct bed bed = {0}; next_bed(&bed, depth);)    of each kind that this system offers
 *         write_block(&bed, block, tag) ...
 */
#ifndef PAWL_TESTS_SUPPORT_QUEUE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_QUEUE_FIXTURE_H

#include "host/storage_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "support/test.h"

#define BLOCK       ((size_t)PAWL_STORAGE_BLOCK)
#define BLOCKS      64u
#define MILLISECOND UINT64_C(1000000)
#define FOR_EVER    UINT64_MAX

static const enum storage_queue_kind kinds[] = {STORAGE_QUEUE_RING, STORAGE_QUEUE_PLAIN};
static const char *const kind_names[] = {"best", "ring", "plain"};

/* A durable file of zeroes that has no name any more, and blocks to write to it. */
struct bed {
    struct storage_queue *queue;
    unsigned char *blocks;
    int fd;
    int wake_fd;
    enum storage_queue_kind kind;
    unsigned turn; /* of next_bed: how many kinds have been looked at; 0: none is made */
};

static inline int make_file(bool direct)
{
    const char *base = getenv("TMPDIR");
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/pawl-queue.XXXXXX", base != NULL ? base : "/tmp");
    fd = mkostemp(path, O_DSYNC | O_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(ftruncate(fd, (off_t)(BLOCKS * BLOCK)), 0);
    if (direct) /* a wish */
        (void)!fcntl(fd, F_SETFL, O_DIRECT);
    return fd;
}

/* False: this system offers no such queue. */
static inline bool make_bed(struct bed *bed, enum storage_queue_kind kind, unsigned depth)
{
    int error;

    memset(bed, 0, sizeof(*bed));
    bed->kind = kind;
    bed->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert(bed->wake_fd >= 0);
    error = pawl__storage_queue_open(kind, depth, bed->wake_fd, &bed->queue);
    if (kind == STORAGE_QUEUE_RING && (error == -ENOTSUP || error == -ENOSYS || error == -EPERM)) {
        close(bed->wake_fd);
        return false;
    }
    cr_assert_eq(error, 0, "%s", kind_names[kind]);
    bed->fd = make_file(true);
    cr_assert_eq(posix_memalign((void **)&bed->blocks, BLOCK, BLOCKS * BLOCK), 0);
    for (size_t i = 0; i < BLOCKS * BLOCK; i++)
        bed->blocks[i] = (unsigned char)(mix64(i / 5) >> 8);
    return true;
}

static inline void remove_bed(struct bed *bed)
{
    pawl__storage_queue_close(bed->queue);
    close(bed->fd);
    close(bed->wake_fd);
    free(bed->blocks);
}

/* Removes the bed of the kind before. False: there are no more. */
static inline bool next_bed(struct bed *bed, unsigned depth)
{
    unsigned turn = bed->turn;

    if (turn > 0)
        remove_bed(bed);
    while (turn < ARRAY_LEN(kinds))
        if (make_bed(bed, kinds[turn++], depth)) {
            bed->turn = turn;
            return true;
        }
    return false;
}

static inline int write_block(struct bed *bed, unsigned block, uint64_t tag)
{
    return pawl__storage_queue_write(bed->queue, bed->fd, bed->blocks + block * BLOCK, BLOCK,
                                     block * BLOCK, tag);
}

static inline void ring_wake(struct bed *bed)
{
    const uint64_t one = 1;

    cr_assert_eq(write(bed->wake_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
}

static inline bool drain_wake(struct bed *bed)
{
    uint64_t count;

    return read(bed->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static inline bool is_written(const struct bed *bed, unsigned block)
{
    void *in = NULL;
    bool same;

    cr_assert_eq(posix_memalign(&in, BLOCK, BLOCK), 0);
    same = pread(bed->fd, in, BLOCK, (off_t)(block * BLOCK)) == (ssize_t)BLOCK &&
           memcmp(in, bed->blocks + block * BLOCK, BLOCK) == 0;
    free(in);
    return same;
}

static inline uint64_t clock_now(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Nothing comes for so long, and it is waited for until then. */
static inline void expect_silence(struct storage_queue *queue, uint64_t ns)
{
    const uint64_t began = clock_now(CLOCK_MONOTONIC);
    struct pawl_storage_done done;

    cr_assert_eq(pawl__storage_queue_reap(queue, &done, 1, ns), 0);
    cr_assert(clock_now(CLOCK_MONOTONIC) - began >= ns, "a wait ended before its time");
}

#endif /* PAWL_TESTS_SUPPORT_QUEUE_FIXTURE_H */
