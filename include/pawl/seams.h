/*
 * seams.h - where the outside world enters: clock, storage, randomness and threads.
 *
 * The library takes these four from tables of functions given at pawl_open and calls the operating
 * system for none of them on its own. With a virtual clock, a seed and the host-driven mode a whole
 * runtime runs on one thread in one reproducible order. A table must outlive the runtime.
 */
#ifndef PAWL_SEAMS_H
#define PAWL_SEAMS_H

#include <pawl/export.h>
#include <stddef.h>
#include <stdint.h>

PAWL_BEGIN_DECLS

/*
 * Clock: nanoseconds since any fixed point, never backwards on one thread; called from any thread.
 * `is_virtual` says that time moves only when the host moves it: such a clock needs the host-driven
 * mode, because nobody could wake a parked thread of ours. `coarse_ns` may be NULL: the same time,
 * late by 10 ms at most, for where that is enough and the price matters (ages of tasks that are
 * looked at). `wall_ns` may be NULL: nanoseconds since 1970, for what people read in a journal;
 * nothing is decided by it.
 */
struct pawl_clock {
    void *user;
    uint64_t (*now_ns)(void *user);
    int is_virtual;
    uint64_t (*coarse_ns)(void *user);
    uint64_t (*wall_ns)(void *user);
};

/* CLOCK_MONOTONIC, and CLOCK_REALTIME for wall_ns. */
extern PAWL_API const struct pawl_clock pawl_clock_monotonic;

/*
 * A clock that stands still until it is told to move. Any thread may read it.
 * pawl_virtual_clock_advance_to: to_ns earlier than now leaves the clock as it is.
 */
struct pawl_virtual_clock;
PAWL_API int pawl_virtual_clock_create(uint64_t start_ns, struct pawl_virtual_clock **clock);
PAWL_API void pawl_virtual_clock_destroy(struct pawl_virtual_clock *clock);
PAWL_API const struct pawl_clock *pawl_virtual_clock_seam(struct pawl_virtual_clock *clock);
PAWL_API uint64_t pawl_virtual_clock_now_ns(const struct pawl_virtual_clock *clock);
PAWL_API void pawl_virtual_clock_advance_to(struct pawl_virtual_clock *clock, uint64_t to_ns);

/*
 * Randomness: fills size bytes; 0 or -errno. Asked once a runtime, for its seeds, unless
 * pawl_options.seed is given; and, where pawl_options.random is set, once more with or without a seed
 * when a store is made, for the store's id.
 */
struct pawl_random {
    void *user;
    int (*fill)(void *user, void *bytes, size_t size);
};

/* getrandom(2). */
extern PAWL_API const struct pawl_random pawl_random_system;

/*
 * Threads: how the library starts the threads it was asked for. cpus lists the processors that the
 * thread may use, cpu_count 0 means any. start returns 0 or -errno; join waits for the end of a
 * started thread and frees its handle. A thread that could not be pinned runs all the same.
 */
struct pawl_thread_spec {
    const char *name; /* at most 15 bytes, seen in `top -H` */
    const unsigned *cpus;
    unsigned cpu_count;
    size_t stack_size; /* bytes; 0: the system's default */
};

typedef void pawl_thread_fn(void *argument);

struct pawl_threads {
    void *user;
    int (*start)(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                 void *argument, void **thread);
    int (*join)(void *user, void *thread);
};

/* POSIX threads with all signals blocked. */
extern PAWL_API const struct pawl_threads pawl_threads_posix;

/*
 * Storage: what the journal stands on. All calls return 0 (or a count) or -errno; offsets and sizes
 * are bytes. Files and directories are named by paths that the library joins with '/'. A call on a
 * file may come from any thread, one at a time for each file; the library waits in all of them but
 * queue_write and queue_reap with timeout 0.
 *
 *   open        PAWL_STORAGE_CREATE makes a file that must not exist (-EEXIST); without it the file
 *               must exist (-ENOENT). PAWL_STORAGE_READ: reading only. PAWL_STORAGE_DURABLE: a
 *               write that has completed is on stable storage, as if synced (O_DIRECT and O_DSYNC
 *               where that is offered); bytes, size and offset are then multiples of
 *               PAWL_STORAGE_BLOCK.
 *   read        may return less only at the end of the file.
 *   write       all of it or an error; not durable before sync unless PAWL_STORAGE_DURABLE.
 *   sync        what was written before is durable when it returns 0. After an error nobody knows;
 *               the library never tries it again.
 *   remove      a file, or a directory that is empty.
 *   rename      replaces `to` atomically; it, creation and removal are durable after
 *               sync_directory.
 *   lock        keeps every other opener of the directory out, in this process and in others:
 *               -EBUSY.
 *   list        calls fn for each name in the directory, in any order; a return other than 0 ends
 *               it.
 *
 * The queue carries writes that nobody waits for. Each queue is used by one thread at a time.
 *   queue_open  depth: writes under way at once, 1 to 256. wake_fd: a descriptor that makes a reap
 *               that waits return when it becomes readable; -1: none.
 *   queue_write starts a write to a file opened with PAWL_STORAGE_DURABLE; bytes must stay as they
 *               are until it is reaped. -EAGAIN: depth writes are under way. Any other error is
 *               that write's end.
 *   queue_reap  takes results, in the order in which writes end; waits up to timeout_ns
 *               (UINT64_MAX: for ever) until there is one. Returns how many. result: bytes written,
 *               or -errno; less than size counts as -EIO.
 *   queue_fd    a descriptor that polls readable while there is something to reap; -ENOTSUP where
 *               writes have always ended when queue_write returns, or where nobody can wait (a
 *               simulation).
 */
#define PAWL_STORAGE_BLOCK 4096u

#define PAWL_STORAGE_CREATE  0x1u
#define PAWL_STORAGE_READ    0x2u
#define PAWL_STORAGE_DURABLE 0x4u

struct pawl_storage_done {
    uint64_t tag; /* of queue_write */
    int64_t result;
};

typedef int pawl_storage_name_fn(void *argument, const char *name);

struct pawl_storage {
    void *user;
    int (*make_directory)(void *user, const char *path); /* 0 too when it exists */
    int (*lock)(void *user, const char *directory, void **lock);
    void (*unlock)(void *user, void *lock);
    int (*list)(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument);
    int (*rename)(void *user, const char *from, const char *to);
    int (*remove)(void *user, const char *path);
    int (*sync_directory)(void *user, const char *path);

    int (*open)(void *user, const char *path, unsigned flags, void **file);
    int64_t (*size)(void *user, void *file);
    int64_t (*read)(void *user, void *file, void *bytes, size_t size, uint64_t offset);
    int64_t (*write)(void *user, void *file, const void *bytes, size_t size, uint64_t offset);
    int (*sync)(void *user, void *file);
    int (*close)(void *user, void *file);

    int (*queue_open)(void *user, unsigned depth, int wake_fd, void **queue);
    void (*queue_close)(void *user, void *queue); /* waits for what is under way */
    int (*queue_write)(void *user, void *queue, void *file, const void *bytes, size_t size,
                       uint64_t offset, uint64_t tag);
    int (*queue_reap)(void *user, void *queue, struct pawl_storage_done *done, unsigned capacity,
                      uint64_t timeout_ns);
    int (*queue_fd)(void *user, void *queue);
};

/*
 * Files of the system: io_uring where the system has it, otherwise writes that queue_write waits
 * for. (Under RLIMIT_FSIZE a host ignores SIGXFSZ; the write then fails.)
 */
extern PAWL_API const struct pawl_storage pawl_storage_posix;

PAWL_END_DECLS

#endif /* PAWL_SEAMS_H */
