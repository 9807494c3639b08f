/*
 * bare_journal.c - a bare loop, groups of records, and io_uring.
 */
#include "bare_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#if PEER_URING
#include <liburing.h>
#endif

#include "harness.h"

enum { STATES = 5, PREFETCH = 48, DEPTH_MAX = 64, BLOCK = 4096, FILL_BYTES = 1 << 20 };

struct bare_task {
    uint64_t state;
    struct record record;
    uint64_t rest[4];
};
_Static_assert(sizeof(struct bare_task) == 64, "a line a task, as in a runtime");

struct bare_record {
    uint32_t task;
    uint32_t generation;
    uint64_t version;
    uint64_t state;
    struct record record;
};
_Static_assert(sizeof(struct bare_record) == BARE_RECORD, "48 bytes a step");

/* A buffer, and the write that it is under way with. */
struct bare_group {
    uint8_t *bytes;
    uint64_t begin_ns;
    bool done;
};

struct bare_journal {
    struct bare_task *tasks;
    size_t tasks_bytes;
    unsigned group, depth;
    size_t write_bytes; /* of a whole group */
    uint64_t file_bytes;
    uint64_t offset;  /* of the next write */
    uint64_t written; /* bytes since it was opened */
    int fd;
    struct bare_group groups[DEPTH_MAX]; /* used in turn */
    uint8_t *buffers;
    size_t buffers_bytes;
#if PEER_URING
    struct io_uring ring;
#endif
};

typedef void bare_fn(struct record *record, uint64_t value);

static void bare_advance(struct record *record, uint64_t value)
{
    record_update(record, value);
}

static bare_fn *volatile actions[STATES] = {bare_advance, bare_advance, bare_advance, bare_advance,
                                            bare_advance};
static const uint64_t targets[STATES] = {1, 2, 3, 4, 0};

static void *memory(size_t bytes)
{
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (got == MAP_FAILED)
        bench_fail("bare journal: no memory");
    madvise(got, bytes, MADV_HUGEPAGE);
    memset(got, 0, bytes);
    return got;
}

/* ---- Steps ---- */

static inline void step(struct bare_journal *journal, uint32_t key, uint64_t value,
                        struct bare_record *out)
{
    struct bare_task *task = &journal->tasks[key];

    actions[task->state](&task->record, value);
    task->state = targets[task->state];
    *out = (struct bare_record){
        .task = key, .version = task->record.count, .state = task->state, .record = task->record};
}

static size_t fill(struct bare_journal *journal, struct bare_group *group, const uint32_t *keys,
                   unsigned count, uint64_t left)
{
    struct bare_record *records = (struct bare_record *)(void *)group->bytes;
    const size_t used = count * sizeof(*records);
    const size_t bytes = (used + BLOCK - 1) / BLOCK * BLOCK;

    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH < left)
            __builtin_prefetch(&journal->tasks[keys[i + PREFETCH]], 1);
        step(journal, keys[i], i, &records[i]);
    }
    memset(group->bytes + used, 0, bytes - used);
    return bytes;
}

static uint64_t place(struct bare_journal *journal, size_t bytes)
{
    uint64_t at = journal->offset;

    if (at + bytes > journal->file_bytes)
        at = 0;
    journal->offset = at + bytes;
    journal->written += bytes;
    return at;
}

uint64_t bare_journal_count(const struct bare_journal *journal, uint32_t task)
{
    return journal->tasks[task].record.count;
}

uint64_t bare_journal_bytes(const struct bare_journal *journal)
{
    return journal->written;
}

void bare_journal_singles(struct bare_journal *journal, const uint32_t *keys, uint64_t count,
                          struct histogram *commits)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t begin = bench_now_ns();
        const struct iovec vector = {journal->groups[0].bytes,
                                     fill(journal, &journal->groups[0], keys + i, 1, count - i)};
        const uint64_t at = place(journal, vector.iov_len);

        if (pwritev2(journal->fd, &vector, 1, (off_t)at, RWF_DSYNC) != (ssize_t)vector.iov_len)
            bench_fail("bare journal: a write failed: %s", strerror(errno));
        histogram_record(commits, bench_now_ns() - begin);
    }
}

/* ---- Groups, several under way ---- */

#if PEER_URING

static void submit(struct bare_journal *journal, unsigned which, size_t bytes)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&journal->ring);

    io_uring_prep_write_fixed(sqe, 0, journal->groups[which].bytes, (unsigned)bytes,
                              place(journal, bytes), (int)which);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, (uint64_t)which << 32 | bytes);
    if (io_uring_submit(&journal->ring) != 1)
        bench_fail("bare journal: io_uring takes no write");
}

static void reap(struct bare_journal *journal, bool wait)
{
    struct io_uring_cqe *cqe;

    if (wait && io_uring_wait_cqe(&journal->ring, &cqe) != 0)
        bench_fail("bare journal: io_uring gives no result");
    while (io_uring_peek_cqe(&journal->ring, &cqe) == 0) {
        const uint64_t data = io_uring_cqe_get_data64(cqe);

        if (cqe->res != (int)(uint32_t)data)
            bench_fail("bare journal: a write ended with %d", cqe->res);
        journal->groups[data >> 32].done = true;
        io_uring_cqe_seen(&journal->ring, cqe);
    }
}

void bare_journal_steps(struct bare_journal *journal, const uint32_t *keys, uint64_t count,
                        struct histogram *commits)
{
    unsigned first = 0, under_way = 0;
    uint64_t at = 0;

    while (at < count || under_way > 0) {
        const bool full = under_way == journal->depth || at == count;

        if (!full) {
            const unsigned which = (first + under_way++) % journal->depth;
            struct bare_group *group = &journal->groups[which];
            const unsigned records =
                count - at < journal->group ? (unsigned)(count - at) : journal->group;

            group->begin_ns = bench_now_ns();
            group->done = false;
            submit(journal, which, fill(journal, group, keys + at, records, count - at));
            at += records;
        }
        reap(journal, full && !journal->groups[first].done);
        /* Durable in order: what is done before an earlier group does not count yet. */
        while (under_way > 0 && journal->groups[first].done) {
            if (commits != NULL)
                histogram_record(commits, bench_now_ns() - journal->groups[first].begin_ns);
            first = (first + 1) % journal->depth;
            under_way--;
        }
    }
}

static void ring_open(struct bare_journal *journal)
{
    struct iovec vectors[DEPTH_MAX];
    int error = io_uring_queue_init(DEPTH_MAX, &journal->ring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);

    if (error == -EINVAL) /* an older system */
        error = io_uring_queue_init(DEPTH_MAX, &journal->ring, 0);
    if (error != 0)
        bench_fail("bare journal: no io_uring: %s", strerror(-error));
    for (unsigned i = 0; i < journal->depth; i++)
        vectors[i] = (struct iovec){journal->groups[i].bytes, journal->write_bytes};
    error = io_uring_register_buffers(&journal->ring, vectors, journal->depth);
    if (error == 0)
        error = io_uring_register_files(&journal->ring, &journal->fd, 1);
    if (error != 0)
        bench_fail("bare journal: io_uring registers nothing: %s", strerror(-error));
}

static void ring_close(struct bare_journal *journal)
{
    io_uring_queue_exit(&journal->ring);
}

const char *bare_journal_absent(void)
{
    static int known = 1; /* 1: not tried yet */
    struct io_uring ring;

    if (known == 1) {
        known = io_uring_queue_init(1, &ring, 0);
        if (known == 0)
            io_uring_queue_exit(&ring);
    }
    return known == 0 ? NULL : "io_uring, which this system does not offer";
}

#else

void bare_journal_steps(struct bare_journal *journal, const uint32_t *keys, uint64_t count,
                        struct histogram *commits)
{
    (void)journal, (void)keys, (void)count, (void)commits;
    bench_fail("bare journal: built without liburing");
}

static void ring_open(struct bare_journal *journal)
{
    (void)journal;
}

static void ring_close(struct bare_journal *journal)
{
    (void)journal;
}

const char *bare_journal_absent(void)
{
    return "liburing-dev";
}

#endif

/* ---- The file ---- */

/* Zeroes on disk and not only promised: the first write to space that was only reserved costs more. */
static void file_open(struct bare_journal *journal, const char *folder)
{
    char path[4400];

    snprintf(path, sizeof(path), "%s/journal", folder);
    journal->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT | O_DSYNC, 0666);
    if (journal->fd < 0 && errno == EINVAL)
        journal->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DSYNC, 0666);
    if (journal->fd < 0)
        bench_fail("bare journal: %s: %s", path, strerror(errno));
    for (uint64_t at = 0; at < journal->file_bytes; at += FILL_BYTES) {
        uint8_t *zeroes = journal->buffers;
        size_t done = 0;

        while (done < FILL_BYTES) {
            const size_t left = FILL_BYTES - done;
            const size_t size = left < journal->buffers_bytes ? left : journal->buffers_bytes;

            if (pwrite(journal->fd, zeroes, size, (off_t)(at + done)) != (ssize_t)size)
                bench_fail("bare journal: %s: %s", path, strerror(errno));
            done += size;
        }
    }
    fsync(journal->fd);
}

struct bare_journal *bare_journal_open(const char *folder, uint32_t tasks, unsigned group,
                                       unsigned depth)
{
    struct bare_journal *journal = calloc(1, sizeof(*journal));

    if (journal == NULL || depth > DEPTH_MAX)
        bench_fail("bare journal: no memory for it");
    journal->group = group;
    journal->depth = depth;
    journal->write_bytes = (group * sizeof(struct bare_record) + BLOCK - 1) / BLOCK * BLOCK;
    journal->file_bytes = bench_pick(4, 128, 256) << 20;
    journal->tasks_bytes = tasks * sizeof(struct bare_task);
    journal->tasks = memory(journal->tasks_bytes);
    journal->buffers_bytes = depth * journal->write_bytes;
    journal->buffers = memory(journal->buffers_bytes);
    for (unsigned i = 0; i < depth; i++)
        journal->groups[i].bytes = journal->buffers + i * journal->write_bytes;
    file_open(journal, folder);
    if (group > 1)
        ring_open(journal);
    return journal;
}

void bare_journal_close(struct bare_journal *journal)
{
    if (journal->group > 1)
        ring_close(journal);
    close(journal->fd);
    munmap(journal->buffers, journal->buffers_bytes);
    munmap(journal->tasks, journal->tasks_bytes);
    free(journal);
}
