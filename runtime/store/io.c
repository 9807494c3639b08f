#include "store/io.h"

#include <errno.h>
#include <string.h>

#define REAP_MAX 64u

/*
 * Rounds in which nothing moved, of LOOK_NS each, after which an end is not waited for any longer.
 */
#define IDLE_ROUNDS 50u

/* How long a pump sleeps at most: a full disk is looked at again. */
#define LOOK_NS UINT64_C(100000000)

int pawl__io_open(struct io *io, const struct pawl_storage *storage, struct journal **journals,
                  unsigned first, unsigned count, unsigned writes_max, bool threaded)
{
    /* A journal's groups, two of a snapshot, zeroes, and a block for each file. */
    const unsigned wanted = count * (writes_max + 5);
    int error;

    memset(io, 0, sizeof(*io));
    io->storage = storage;
    io->journals = journals;
    io->first = first;
    io->count = count;
    io->threaded = threaded;
    io->park.event_fd = io->park.timer_fd = io->park.poll_fd = -1;
    if (threaded) {
        error = pawl__park_init(&io->park, true);
        if (error != 0)
            return error;
    }
    io->queue.depth = wanted < IO_DEPTH_MAX ? wanted : IO_DEPTH_MAX;
    error =
        storage->queue_open(storage->user, io->queue.depth, io->park.event_fd, &io->queue.queue);
    if (error != 0) {
        io->queue.queue = NULL;
        pawl__io_close(io);
        return error;
    }
    io->queue_fd = threaded ? -1 : storage->queue_fd(storage->user, io->queue.queue);
    for (unsigned i = 0; i < count; i++)
        journals[i]->queue = &io->queue;
    return 0;
}

void pawl__io_close(struct io *io)
{
    if (io->queue.queue != NULL)
        io->storage->queue_close(io->storage->user, io->queue.queue);
    io->queue.queue = NULL;
    if (io->threaded)
        pawl__park_fini(&io->park);
    io->threaded = false;
}

static bool reap(struct io *io, uint64_t timeout_ns)
{
    struct pawl_storage_done done[REAP_MAX];
    const int count =
        io->storage->queue_reap(io->storage->user, io->queue.queue, done, REAP_MAX, timeout_ns);

    for (int i = 0; i < count; i++)
        pawl__journal_done(io->journals[tag_shard(done[i].tag) - io->first], done[i].tag,
                           done[i].result);
    if (count < 0)
        for (unsigned i = 0; i < io->count; i++)
            pawl__journal_fail(io->journals[i], count, "waiting for", "writes");
    return count > 0;
}

bool pawl__io_turn(struct io *io)
{
    bool any = io->queue.used > 0 && reap(io, 0);

    /* Each time another one is first: the queue may be too small for all. */
    io->next = io->next + 1 < io->count ? io->next + 1 : 0;
    for (unsigned i = 0; i < io->count; i++)
        any |= pawl__journal_pump(io->journals[(io->next + i) % io->count]);
    return any;
}

static bool has_work(const struct io *io)
{
    if (load_acquire(&io->stop) != 0)
        return true;
    for (unsigned i = 0; i < io->count; i++)
        if (pawl__journal_has_work(io->journals[i]))
            return true;
    return false;
}

static void wait(struct io *io)
{
    pawl__park_prepare(&io->park);
    if (!has_work(io))
        reap(io, LOOK_NS);
    pawl__park_cancel(&io->park);
}

void pawl__io_main(void *argument)
{
    struct io *io = argument;

    while (load_acquire(&io->stop) == 0)
        if (!pawl__io_turn(io))
            wait(io);
    pawl__io_finish(io, true);
}

bool pawl__io_wait(struct io *io, uint64_t timeout_ns)
{
    return io->queue.used > 0 && reap(io, timeout_ns);
}

static bool is_idle(const struct io *io)
{
    for (unsigned i = 0; i < io->count; i++)
        if (!pawl__journal_is_idle(io->journals[i]))
            return false;
    return true;
}

static bool finish(struct io *io)
{
    unsigned idle_rounds = 0;

    while (!is_idle(io)) {
        if (pawl__io_turn(io)) {
            idle_rounds = 0;
            continue;
        }
        /* Nothing came in all that time: the disk is full, or nobody moves it. */
        if (++idle_rounds > IDLE_ROUNDS)
            return false;
        /* A wake may come late, from one who saw this pump asleep before: it must end one wait only. */
        pawl__park_cancel(&io->park);
        if (io->queue.used > 0)
            reap(io, LOOK_NS);
    }
    return true;
}

bool pawl__io_finish(struct io *io, bool seal)
{
    if (!finish(io))
        return false;
    if (!seal)
        return true;
    for (unsigned i = 0; i < io->count; i++)
        pawl__journal_seal(io->journals[i]);
    while (pawl__io_turn(io))
        ;
    return finish(io);
}
