/*
 * test_storage_queue.c - durable writes that nobody waits for, through io_uring and as plain
 * writes: what one does, the other does. Where the system offers no ring, its half is left out.
 */
#include "host/storage_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
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
};

static int make_file(bool direct)
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
static bool make_bed(struct bed *bed, enum storage_queue_kind kind, unsigned depth)
{
    int error;

    memset(bed, 0, sizeof(*bed));
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

static void remove_bed(struct bed *bed)
{
    pawl__storage_queue_close(bed->queue);
    close(bed->fd);
    close(bed->wake_fd);
    free(bed->blocks);
}

static int write_block(struct bed *bed, unsigned block, uint64_t tag)
{
    return pawl__storage_queue_write(bed->queue, bed->fd, bed->blocks + block * BLOCK, BLOCK,
                                     block * BLOCK, tag);
}

static void ring_wake(struct bed *bed)
{
    const uint64_t one = 1;

    cr_assert_eq(write(bed->wake_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
}

static bool drain_wake(struct bed *bed)
{
    uint64_t count;

    return read(bed->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static bool is_written(const struct bed *bed, unsigned block)
{
    void *in = NULL;
    bool same;

    cr_assert_eq(posix_memalign(&in, BLOCK, BLOCK), 0);
    same = pread(bed->fd, in, BLOCK, (off_t)(block * BLOCK)) == (ssize_t)BLOCK &&
           memcmp(in, bed->blocks + block * BLOCK, BLOCK) == 0;
    free(in);
    return same;
}

static uint64_t clock_now(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- Writes and results ---- */

Test(storage_queue, each_write_is_reported_once_and_is_in_the_file)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done[16];
        uint64_t reported = 0;
        unsigned sent = 0, got = 0;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 16))
            continue;
        while (got < BLOCKS) {
            int count;

            for (; sent < BLOCKS && sent - got < 16; sent++)
                cr_assert_eq(write_block(&bed, sent, UINT64_MAX - sent), 0);
            count = pawl__storage_queue_reap(bed.queue, done, 5, FOR_EVER);
            cr_assert(count >= 1 && count <= 5, "%d", count);
            for (int i = 0; i < count; i++) {
                const uint64_t block = UINT64_MAX - done[i].tag;

                cr_assert_eq(done[i].result, (int64_t)BLOCK);
                cr_assert(block < BLOCKS && ((reported >> block) & 1) == 0);
                cr_assert(is_written(&bed, (unsigned)block));
                reported |= UINT64_C(1) << block;
            }
            got += (unsigned)count;
        }
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, done, 16, 0), 0);
        remove_bed(&bed);
    }
}

Test(storage_queue, a_full_queue_refuses_and_a_reap_makes_room)
{
    static const unsigned depths[] = {1, 3, 64};

    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        for (unsigned d = 0; d < ARRAY_LEN(depths); d++) {
            struct pawl_storage_done done[64];
            struct bed bed;

            if (!make_bed(&bed, kinds[k], depths[d]))
                continue;
            for (unsigned round = 0; round < 50; round++) {
                unsigned got = 0;

                for (unsigned i = 0; i < depths[d]; i++)
                    cr_assert_eq(write_block(&bed, i, i), 0);
                cr_assert_eq(write_block(&bed, 0, 99), -EAGAIN);
                while (got < depths[d])
                    got += (unsigned)pawl__storage_queue_reap(bed.queue, done, 64, FOR_EVER);
                cr_assert_eq(got, depths[d]);
            }
            remove_bed(&bed);
        }
    }
}

Test(storage_queue, what_cannot_be_is_refused)
{
    struct storage_queue *queue = NULL;
    const int closed = dup(STDERR_FILENO);
    struct bed bed;

    close(closed);
    cr_assert_eq(pawl__storage_queue_open(STORAGE_QUEUE_BEST, 0, -1, &queue), -EINVAL);
    cr_assert_eq(
        pawl__storage_queue_open(STORAGE_QUEUE_BEST, STORAGE_QUEUE_DEPTH_MAX + 1, -1, &queue),
        -EINVAL);
    cr_assert_eq(pawl__storage_queue_open(STORAGE_QUEUE_BEST, 1, closed, &queue), -EBADF);
    cr_assert(queue == NULL);
    pawl__storage_queue_close(NULL);
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;

        if (!make_bed(&bed, kinds[k], STORAGE_QUEUE_DEPTH_MAX))
            continue;
        cr_assert_eq(pawl__storage_queue_write(bed.queue, -1, bed.blocks, BLOCK, 0, 0), -EBADF);
        cr_assert_eq(pawl__storage_queue_write(bed.queue, bed.fd, bed.blocks, BLOCK, UINT64_MAX, 0),
                     -EINVAL);
        cr_assert_eq(pawl__storage_queue_write(bed.queue, bed.fd, bed.blocks,
                                               STORAGE_QUEUE_WRITE_MAX + BLOCK, 0, 0),
                     -EINVAL);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 0, "none was started");
        remove_bed(&bed);
    }
}

/* One write to a file that fails it; what is reported. */
static int64_t result_of_write(struct bed *bed, int fd, size_t size)
{
    struct pawl_storage_done done = {0};

    cr_assert_eq(pawl__storage_queue_write(bed->queue, fd, bed->blocks, size, 0, 5), 0);
    cr_assert_eq(pawl__storage_queue_reap(bed->queue, &done, 1, FOR_EVER), 1);
    cr_assert_eq(done.tag, 5u);
    return done.result;
}

Test(storage_queue, an_error_is_the_result_and_a_short_write_is_one)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct rlimit before, limit;
        struct bed bed;
        int fd;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        fd = open("/dev/full", O_RDWR);
        if (fd >= 0) {
            cr_assert_eq(result_of_write(&bed, fd, BLOCK), -ENOSPC);
            close(fd);
        }
        fd = open("/dev/zero", O_RDONLY);
        cr_assert_eq(result_of_write(&bed, fd, BLOCK), -EBADF);
        close(fd);
        /* A limit in the middle of a write cuts it off; the rest says why. */
        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = BLOCK;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        signal(SIGXFSZ, SIG_IGN); /* as a host does that limits its files */
        cr_assert_eq(result_of_write(&bed, bed.fd, 2 * BLOCK), -EFBIG);
        signal(SIGXFSZ, SIG_DFL);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cr_assert_eq(result_of_write(&bed, bed.fd, 2 * BLOCK), 2 * (int64_t)BLOCK);
        remove_bed(&bed);
    }
}

/* Makes the kernel drop what is under way in a ring. False: it cannot, or there is nothing. */
static bool drop_all(struct bed *bed)
{
    struct io_uring_sync_cancel_reg all = {.flags = IORING_ASYNC_CANCEL_ANY,
                                           .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    return syscall(SYS_io_uring_register, pawl__storage_queue_fd(bed->queue),
                   IORING_REGISTER_SYNC_CANCEL, &all, 1) >= 0;
}

/* A pipe that is full holds a write back for as long as it takes. */
Test(storage_queue, a_write_that_the_kernel_drops_is_made_again_but_not_for_ever)
{
    struct pawl_storage_done done;
    unsigned drops = 1, count = 0;
    struct bed bed;
    int ends[2];

    if (!make_bed(&bed, STORAGE_QUEUE_RING, 4))
        return;
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(ends[1], F_SETPIPE_SZ, (int)BLOCK), (int)BLOCK);
    cr_assert_eq(write(ends[1], bed.blocks + BLOCK, BLOCK), (ssize_t)BLOCK);
    cr_assert_eq(pawl__storage_queue_write(bed.queue, ends[1], bed.blocks, BLOCK, 0, 1), 0);
    if (drop_all(&bed)) { /* if not, the kernel is too old for that */
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, MILLISECOND), 0);
        cr_assert_eq(read(ends[0], bed.blocks + 2 * BLOCK, BLOCK), (ssize_t)BLOCK);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 1);
        cr_assert_eq(done.result, (int64_t)BLOCK);
        cr_assert_eq(pawl__storage_queue_write(bed.queue, ends[1], bed.blocks, BLOCK, 0, 2), 0);
        for (; count == 0; drops++) {
            cr_assert(drops < 100 && drop_all(&bed), "after %u", drops);
            count = (unsigned)pawl__storage_queue_reap(bed.queue, &done, 1, MILLISECOND);
        }
        cr_assert_eq(done.result, -ECANCELED);
        cr_assert(drops > 3);
    } else {
        cr_assert_eq(read(ends[0], bed.blocks + 2 * BLOCK, BLOCK), (ssize_t)BLOCK);
    }
    close(ends[0]);
    close(ends[1]);
    remove_bed(&bed);
}

Test(storage_queue, closing_waits_for_what_is_under_way)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct bed bed;

        if (!make_bed(&bed, kinds[k], BLOCKS))
            continue;
        ring_wake(&bed); /* which does not end that wait */
        for (unsigned i = 0; i < BLOCKS; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        pawl__storage_queue_close(bed.queue);
        bed.queue = NULL;
        for (unsigned i = 0; i < BLOCKS; i++)
            cr_assert(is_written(&bed, i), "%s, block %u", kind_names[kinds[k]], i);
        remove_bed(&bed);
    }
}

/* ---- Waiting ---- */

Test(storage_queue, a_wait_ends_with_its_time_and_costs_no_processor)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        uint64_t began, used;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 0);
        began = clock_now(CLOCK_MONOTONIC);
        used = clock_now(CLOCK_THREAD_CPUTIME_ID);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 100 * MILLISECOND), 0);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 100 * MILLISECOND + 1), 0);
        cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 200 * MILLISECOND);
        cr_assert(clock_now(CLOCK_THREAD_CPUTIME_ID) - used < 50 * MILLISECOND);
        remove_bed(&bed);
    }
}

Test(storage_queue, a_wait_for_what_cannot_come_is_not_for_ever)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        struct storage_queue *queue = NULL;
        uint64_t began;

        if (pawl__storage_queue_open(kinds[k], 4, -1, &queue) != 0)
            continue;
        cr_assert_eq(pawl__storage_queue_reap(queue, &done, 1, FOR_EVER), 0);
        began = clock_now(CLOCK_MONOTONIC);
        cr_assert_eq(pawl__storage_queue_reap(queue, &done, 1, 20 * MILLISECOND), 0);
        cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 20 * MILLISECOND, "a shorter one is slept");
        pawl__storage_queue_close(queue);
    }
}

Test(storage_queue, a_readable_wake_ends_a_wait_until_its_owner_reads_it)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        uint64_t began;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        for (unsigned round = 0; round < 3; round++) {
            ring_wake(&bed);
            for (unsigned again = 0; again < 3; again++)
                cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
            cr_assert(drain_wake(&bed), "the queue has left it alone");
            began = clock_now(CLOCK_MONOTONIC);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 20 * MILLISECOND), 0);
            cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 20 * MILLISECOND);
        }
        remove_bed(&bed);
    }
}

Test(storage_queue, a_wake_that_was_dealt_with_between_two_waits_ends_neither)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        uint64_t began;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, MILLISECOND), 0);
        ring_wake(&bed);
        cr_assert(drain_wake(&bed));
        began = clock_now(CLOCK_MONOTONIC);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 20 * MILLISECOND), 0);
        cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 20 * MILLISECOND);
        remove_bed(&bed);
    }
}

Test(storage_queue, a_wake_does_not_hide_results_nor_results_a_wake)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        unsigned got = 0;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 8))
            continue;
        ring_wake(&bed);
        for (unsigned i = 0; i < 8; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        for (unsigned waits = 0; got < 8; waits++) {
            cr_assert(waits < 1000000);
            got += (unsigned)pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER);
        }
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
        remove_bed(&bed);
    }
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

Test(storage_queue, a_signal_does_not_shorten_a_wait)
{
    const struct sigaction ignore = {.sa_handler = do_nothing};
    const struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};

    cr_assert_eq(sigaction(SIGALRM, &ignore, NULL), 0);
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        uint64_t began;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        began = clock_now(CLOCK_MONOTONIC);
        cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 60 * MILLISECOND), 0);
        cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 60 * MILLISECOND);
        for (unsigned i = 0; i < 200; i++) {
            cr_assert_eq(write_block(&bed, i % BLOCKS, i), 0);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 1);
            cr_assert_eq(done.result, (int64_t)BLOCK);
        }
        cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
        remove_bed(&bed);
    }
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int ready;

    do {
        ready = poll(&polled, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
}

Test(storage_queue, the_descriptor_is_readable_while_there_is_something_to_reap)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int outer = epoll_create1(EPOLL_CLOEXEC);
    struct pawl_storage_done done;
    struct bed bed;
    int fd;

    cr_assert(make_bed(&bed, STORAGE_QUEUE_PLAIN, 4));
    cr_assert_eq(pawl__storage_queue_fd(bed.queue), -ENOTSUP);
    remove_bed(&bed);
    if (!make_bed(&bed, STORAGE_QUEUE_RING, 4))
        return;
    fd = pawl__storage_queue_fd(bed.queue);
    cr_assert(fd >= 0);
    cr_assert_eq(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event), 0);
    for (unsigned round = 0; round < 100; round++) {
        cr_assert(!is_readable(fd, 0));
        cr_assert(!is_readable(outer, 0));
        for (unsigned i = 0; i < 2; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert(is_readable(outer, 5000), "behind an epoll, as hosts have it");
            cr_assert(is_readable(fd, 5000));
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 1);
        }
    }
    close(outer);
    remove_bed(&bed);
}

/* ---- Threads ---- */

static void *send_and_end(void *argument)
{
    struct bed *bed = argument;
    uintptr_t refused = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        refused += write_block(bed, i, i) != 0;
    return (void *)refused;
}

/* The kernel finishes a write in the thread that started it; here that thread is gone. */
Test(storage_queue, writes_of_a_thread_that_has_ended_are_made_all_the_same)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        for (unsigned direct = 0; direct < 2; direct++) {
            struct pawl_storage_done done[BLOCKS];
            struct bed bed;
            pthread_t thread;
            void *refused;
            unsigned got = 0;

            if (!make_bed(&bed, kinds[k], BLOCKS))
                continue;
            close(bed.fd);
            bed.fd = make_file(direct != 0);
            cr_assert_eq(pthread_create(&thread, NULL, send_and_end, &bed), 0);
            pthread_join(thread, &refused);
            cr_assert(refused == NULL);
            while (got < BLOCKS) {
                const int count = pawl__storage_queue_reap(bed.queue, done, BLOCKS, FOR_EVER);

                for (int i = 0; i < count; i++)
                    cr_assert_eq(done[i].result, (int64_t)BLOCK);
                got += (unsigned)count;
            }
            for (unsigned i = 0; i < BLOCKS; i++)
                cr_assert(is_written(&bed, i));
            remove_bed(&bed);
        }
    }
}

static void *wait_and_end(void *argument)
{
    struct bed *bed = argument;
    struct pawl_storage_done done;

    pawl__storage_queue_reap(bed->queue, &done, 1, MILLISECOND);
    return NULL;
}

Test(storage_queue, a_wake_is_seen_after_the_thread_that_waited_for_it_has_ended)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        uint64_t began;
        struct bed bed;

        if (!make_bed(&bed, kinds[k], 4))
            continue;
        for (unsigned round = 0; round < 10; round++) {
            pthread_t thread;

            cr_assert_eq(pthread_create(&thread, NULL, wait_and_end, &bed), 0);
            pthread_join(thread, NULL);
            began = clock_now(CLOCK_MONOTONIC);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 5 * MILLISECOND), 0);
            cr_assert(clock_now(CLOCK_MONOTONIC) - began >= 5 * MILLISECOND, "no wake came");
            ring_wake(&bed);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
            cr_assert(drain_wake(&bed));
        }
        remove_bed(&bed);
    }
}

struct crossing {
    struct bed bed;
    _Atomic uint64_t items; /* published by the waker, each followed by a wake */
    _Atomic uint64_t taken;
    uint64_t rounds;
    unsigned failed;
};

static void *publish_and_wake(void *argument)
{
    struct crossing *crossing = argument;
    const uint64_t one = 1;
    struct random random = {7};

    for (uint64_t i = 1; i <= crossing->rounds; i++) {
        store_release(&crossing->items, i);
        crossing->failed += write(crossing->bed.wake_fd, &one, sizeof(one)) != sizeof(one);
        /* One item at a time, so that no later wake makes good for a lost one. */
        while (load_acquire(&crossing->taken) < i)
            sched_yield();
        for (uint64_t spin = random_below(&random, 4000); spin > 0; spin--)
            cpu_relax();
    }
    return NULL;
}

/* Writes and wakes beside each other; PAWL_TEST_ROUNDS asks for more of them. */
Test(storage_queue, no_wake_is_lost_between_writes)
{
    const char *wanted = getenv("PAWL_TEST_ROUNDS");

    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct crossing crossing = {.rounds = wanted != NULL ? strtoull(wanted, NULL, 10) : 2000};
        struct random random = {k + 1};
        uint64_t taken = 0, sent = 0, ended = 0, wrong = 0;
        pthread_t thread;

        if (!make_bed(&crossing.bed, kinds[k], 4))
            continue;
        cr_assert_eq(pthread_create(&thread, NULL, publish_and_wake, &crossing), 0);
        while (taken < crossing.rounds || ended < sent) {
            struct pawl_storage_done done[4];
            const uint64_t began = clock_now(CLOCK_MONOTONIC);
            uint64_t items;
            int count;

            if (taken < crossing.rounds && sent - ended < 4 && random_below(&random, 4) == 0) {
                wrong += write_block(&crossing.bed, (unsigned)(sent % BLOCKS), sent) != 0;
                sent++;
            }
            count = pawl__storage_queue_reap(crossing.bed.queue, done, 4, 20000 * MILLISECOND);
            cr_assert(clock_now(CLOCK_MONOTONIC) - began < 10000 * MILLISECOND, "a wake was lost");
            for (int i = 0; i < count; i++)
                wrong += done[i].result != (int64_t)BLOCK;
            ended += (unsigned)count;
            if (!drain_wake(&crossing.bed))
                continue;
            items = load_acquire(&crossing.items);
            wrong += items != taken + 1;
            taken = items;
            store_release(&crossing.taken, taken);
        }
        pthread_join(thread, NULL);
        cr_assert_eq(wrong, 0u);
        cr_assert_eq(crossing.failed, 0u);
        remove_bed(&crossing.bed);
    }
}

/* ---- Systems that forbid rings ---- */

/* From here on the system call answers EPERM, in this process for ever. */
static bool forbid(unsigned number)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ARRAY_LEN(rules), .filter = rules};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child of its own: 0, or the line that found something. 77: seccomp is not to be had. */
static int run_forbidden(int (*check)(void))
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        alarm(60);
        _exit(check());
    }
    cr_assert(child > 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

#define HOLD(number, condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return number;                                                                         \
    } while (0)

static int open_without_rings(void)
{
    struct pawl_storage_done done;
    struct storage_queue *queue;
    struct bed bed;

    if (!forbid(SYS_io_uring_setup))
        return 77;
    HOLD(1, pawl__storage_queue_open(STORAGE_QUEUE_RING, 4, -1, &queue) != 0);
    HOLD(2, make_bed(&bed, STORAGE_QUEUE_BEST, 4));
    HOLD(3, pawl__storage_queue_fd(bed.queue) == -ENOTSUP);
    HOLD(4, write_block(&bed, 3, 3) == 0);
    HOLD(5, pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER) == 1);
    HOLD(6, done.result == (int64_t)BLOCK && is_written(&bed, 3));
    remove_bed(&bed);
    return 0;
}

Test(storage_queue, where_rings_are_forbidden_writes_are_plain)
{
    const int found = run_forbidden(open_without_rings);

    cr_assert(found == 0 || found == 77, "step %d", found);
}

/* A host that closes its sandbox after it has opened the store. */
static int lose_the_ring(void)
{
    struct pawl_storage_done done[8];
    unsigned got = 0;
    struct bed bed;

    if (!make_bed(&bed, STORAGE_QUEUE_RING, 8))
        return 77;
    for (unsigned i = 0; i < 4; i++)
        HOLD(1, write_block(&bed, i, i) == 0);
    if (!forbid(SYS_io_uring_enter))
        return 77;
    HOLD(2, write_block(&bed, 4, 4) == -EPERM);
    HOLD(3, write_block(&bed, 5, 5) == -EPERM);
    while (got < 4) {
        const int count = pawl__storage_queue_reap(bed.queue, done, 8, FOR_EVER);

        HOLD(4, count >= 0 && (unsigned)count <= 4 - got);
        for (int i = 0; i < count; i++)
            HOLD(5, done[i].result == (int64_t)BLOCK && done[i].tag < 4);
        got += (unsigned)count;
    }
    HOLD(6, pawl__storage_queue_reap(bed.queue, done, 8, 5 * MILLISECOND) == 0);
    ring_wake(&bed);
    HOLD(7, pawl__storage_queue_reap(bed.queue, done, 8, FOR_EVER) == 0);
    HOLD(8, is_written(&bed, 0) && !is_written(&bed, 4) && !is_written(&bed, 5));
    remove_bed(&bed);
    return 0;
}

Test(storage_queue, a_ring_that_is_taken_away_refuses_writes_and_finishes_those_under_way)
{
    const int found = run_forbidden(lose_the_ring);

    cr_assert(found == 0 || found == 77, "step %d", found);
}
