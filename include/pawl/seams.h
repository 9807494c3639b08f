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
 * mode, because nobody could wake a parked thread of ours. `coarse_ns` may be NULL: the same time, late
 * by 10 ms at most, for where that is enough and the price matters (ages of tasks that are looked at).
 */
struct pawl_clock {
    void *user;
    uint64_t (*now_ns)(void *user);
    int is_virtual;
    uint64_t (*coarse_ns)(void *user);
};

/* CLOCK_MONOTONIC. */
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
 * pawl_options.seed is given.
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
 * Storage: what the journal will stand on. All calls return 0 (or a count) or -errno; offsets and
 * sizes are bytes. Machines of this version live in memory only, so the library calls none of it
 * yet; the table is part of the interface so that hosts and the simulator are written against it.
 */
struct pawl_storage {
    void *user;
    int (*open)(void *user, const char *path, int create, void **file);
    int64_t (*size)(void *user, void *file);
    int64_t (*read)(void *user, void *file, void *bytes, size_t size, uint64_t offset);
    int64_t (*write)(void *user, void *file, const void *bytes, size_t size, uint64_t offset);
    int (*sync)(void *user, void *file);
    int (*close)(void *user, void *file);
    int (*rename)(void *user, const char *from, const char *to);
    int (*remove)(void *user, const char *path);
    int (*sync_directory)(void *user, const char *path);
};

/* pread, pwrite, fdatasync. */
extern PAWL_API const struct pawl_storage pawl_storage_posix;

PAWL_END_DECLS

#endif /* PAWL_SEAMS_H */
