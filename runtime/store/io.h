/*
 * io.h - who pumps: one queue, the journals that share it, and the thread that does nothing else.
 *
 * Layer: store. An I/O thread serves the shards first .. first + count - 1. In the host-driven mode
 * each shard has an io of its own, and its turn calls pawl__io_turn.
 */
#ifndef PAWL_STORE_IO_H
#define PAWL_STORE_IO_H

#include <stdbool.h>

#include "base/atomic.h"
#include "host/park.h"
#include "store/journal.h"

#define IO_DEPTH_MAX 256u

struct io {
    const struct pawl_storage *storage; /* I */
    struct journal_queue queue;
    struct journal **journals; /* I */
    unsigned first;            /* I: the shard of journals[0] */
    unsigned count;            /* I */
    unsigned next;             /* the journal that is pumped first */
    bool threaded;             /* I */
    int queue_fd;              /* I: readable while there is something to reap; negative: none */
    void *thread;
    struct park park; /* threaded: the thread's */
    _Atomic uint32_t stop;
};

/* journals: `count` pointers that outlive io. 0 or -errno. */
int pawl__io_open(struct io *io, const struct pawl_storage *storage, struct journal **journals,
                  unsigned first, unsigned count, unsigned writes_max, bool threaded);

/* Waits for what is under way. */
void pawl__io_close(struct io *io);

/*
 * One bounded round over all journals. True: something was done. Does not wait, but where the
 * storage has no queue that works by itself.
 */
bool pawl__io_turn(struct io *io);

/*
 * Pumps until nothing is under way and nothing waits, or a journal has failed; then seals, if asked
 * to. For the end, when no shard turns any more. False: it cannot get there by itself (a simulated
 * disk).
 */
bool pawl__io_finish(struct io *io, bool seal);

/* Waits for a write to end. True: one has. */
bool pawl__io_wait(struct io *io, uint64_t timeout_ns);

/* The thread: an `io`. Ends when `stop` is set, with everything written out and sealed. */
void pawl__io_main(void *io);

/* By a shard that has handed something over. */
static inline void io_wake(struct io *io)
{
    if (io->threaded)
        park_wake(&io->park);
}

#endif /* PAWL_STORE_IO_H */
