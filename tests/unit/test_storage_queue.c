/*
 * test_storage_queue.c - durable writes that nobody waits for, through io_uring and as plain
 * writes: what one does, the other does. Where the system offers no ring, its half is left out.
 */
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support/queue_fixture.h"

/* ---- Writes and results ---- */

Test(storage_queue, each_write_is_reported_once_and_is_in_the_file)
{
    for (struct bed bed = {0}; next_bed(&bed, 16);) {
        struct pawl_storage_done done[16];
        uint64_t reported = 0;
        unsigned sent = 0, got = 0;

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
    }
}

Test(storage_queue, a_full_queue_refuses_and_a_reap_makes_room)
{
    static const unsigned depths[] = {1, 3, 64};

    for (unsigned d = 0; d < ARRAY_LEN(depths); d++) {
        for (struct bed bed = {0}; next_bed(&bed, depths[d]);) {
            struct pawl_storage_done done[64];

            for (unsigned round = 0; round < 50; round++) {
                unsigned got = 0;

                for (unsigned i = 0; i < depths[d]; i++)
                    cr_assert_eq(write_block(&bed, i, i), 0);
                cr_assert_eq(write_block(&bed, 0, 99), -EAGAIN);
                while (got < depths[d])
                    got += (unsigned)pawl__storage_queue_reap(bed.queue, done, 64, FOR_EVER);
                cr_assert_eq(got, depths[d]);
            }
        }
    }
}

Test(storage_queue, what_cannot_be_is_refused)
{
    struct storage_queue *queue = NULL;
    const int closed = dup(STDERR_FILENO);

    close(closed);
    cr_assert_eq(pawl__storage_queue_open(STORAGE_QUEUE_BEST, 0, -1, &queue), -EINVAL);
    cr_assert_eq(
        pawl__storage_queue_open(STORAGE_QUEUE_BEST, STORAGE_QUEUE_DEPTH_MAX + 1, -1, &queue),
        -EINVAL);
    cr_assert_eq(pawl__storage_queue_open(STORAGE_QUEUE_BEST, 1, closed, &queue), -EBADF);
    cr_assert(queue == NULL);
    pawl__storage_queue_close(NULL);
    for (struct bed bed = {0}; next_bed(&bed, STORAGE_QUEUE_DEPTH_MAX);) {
        struct pawl_storage_done done;

        cr_assert_eq(pawl__storage_queue_write(bed.queue, -1, bed.blocks, BLOCK, 0, 0), -EBADF);
        cr_assert_eq(pawl__storage_queue_write(bed.queue, bed.fd, bed.blocks, BLOCK, UINT64_MAX, 0),
                     -EINVAL);
        cr_assert_eq(pawl__storage_queue_write(bed.queue, bed.fd, bed.blocks,
                                               STORAGE_QUEUE_WRITE_MAX + BLOCK, 0, 0),
                     -EINVAL);
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 0, "none was started");
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
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        struct rlimit before, limit;
        int fd;

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
    for (struct bed bed = {0}; next_bed(&bed, BLOCKS);) {
        ring_wake(&bed); /* which does not end that wait */
        for (unsigned i = 0; i < BLOCKS; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        pawl__storage_queue_close(bed.queue);
        bed.queue = NULL;
        for (unsigned i = 0; i < BLOCKS; i++)
            cr_assert(is_written(&bed, i), "%s, block %u", kind_names[bed.kind], i);
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
