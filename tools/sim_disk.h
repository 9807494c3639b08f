/*
 * sim_disk.h - a disk in memory that fails in every way a disk can, and always the same way for the
 * same seed: the storage that `pawl sim` and the unit tests of the store stand on.
 *
 * For each file it keeps what is durable and what is only cached, in sectors of 512 bytes, and for
 * each directory which names are durable. A crash decides by seed what becomes of the rest.
 *
 * What a reader would question:
 *   Power loss. Each unsynced write is kept or dropped, sector by sector; a sector written twice
 *     shows either write or what was before. How wildly is drawn for each crash: all kept, none, by
 *     write, by sector. A file's size is that after some of its unsynced writes; what lies below it
 *     and was lost is zeroes (or stale bytes, SIM_FAULT_STALE). Creations, renames and removals are
 *     kept or lost each on its own, but one that is kept brings along the earlier ones of the same
 *     name or file: a rename shows old or new, never both or none.
 *   Kill. What the system was handed stays, cached as before, durable or not: a power loss later
 *     may still take it. A write under way in a queue happens whole or not at all; a write that the
 *     process died in is cut at any multiple of 4096 bytes.
 *   sync_directory makes the names in that directory durable and, as journaling file systems do,
 *     the directory's own; with strict_directories the latter needs a sync of the parent directory.
 *   A failed sync. Some of what it should have made durable is, the rest never will be, though it
 *     stays readable until power is lost, and although later syncs succeed.
 *   Handles made for PAWL_STORAGE_DURABLE pass the cache by: an error in the middle leaves each
 *     sector old or new. With no_direct they do not, as on a file system without O_DIRECT: what
 *     such a write could not make durable stays readable until power is lost.
 *
 * Owner: one thread. No real time, no threads, no randomness but its own. Memory for pages is
 * shared between copies of a disk; a lack of it ends the process. Limits: SIM_PATH_MAX,
 * SIM_FAULTS_MAX, SIM_TRACE_MAX.
 */
#ifndef PAWL_TOOLS_SIM_DISK_H
#define PAWL_TOOLS_SIM_DISK_H

#include <pawl/seams.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_PATH_MAX   128u /* longer paths: -ENAMETOOLONG */
#define SIM_FAULTS_MAX 32u
#define SIM_TRACE_MAX  256u /* operations remembered */
#define SIM_SECTOR     512u

struct sim_disk;

struct sim_disk_options {
    uint64_t seed;
    uint64_t capacity_bytes; /* of all files together, in pages of 4096; 0: no limit */
    uint64_t latency_min_ns; /* of a queue write */
    uint64_t latency_max_ns; /* drawn evenly; at least latency_min_ns */
    bool strict_directories;
    bool no_direct;
};

int sim_disk_create(const struct sim_disk_options *options, struct sim_disk **disk);
void sim_disk_destroy(struct sim_disk *disk); /* handles that are still open are freed with it */

/*
 * The seam; valid as long as the disk. Roots "/" and "." exist, other directories are made by
 * make_directory below an existing one. lock makes a file "lock" in the directory, as the system's
 * does.
 */
const struct pawl_storage *sim_disk_storage(struct sim_disk *disk);

/* ---- Operations: what faults strike, what is counted and traced ---- */

enum sim_op {
    SIM_MAKE_DIRECTORY,
    SIM_LOCK,
    SIM_LIST,
    SIM_RENAME,
    SIM_REMOVE,
    SIM_SYNC_DIRECTORY,
    SIM_OPEN,   /* of a file that exists */
    SIM_CREATE, /* open with PAWL_STORAGE_CREATE */
    SIM_SIZE,
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_CLOSE, /* the handle is gone whatever is returned */
    SIM_QUEUE_OPEN,
    SIM_QUEUE_WRITE, /* handing it over */
    SIM_QUEUE_END,   /* its end, in sim_disk_advance */
    SIM_OP_COUNT
};

#define SIM_OPS(op)    (UINT32_C(1) << (op))
#define SIM_OPS_ALL    ((UINT32_C(1) << SIM_OP_COUNT) - 1)
#define SIM_OPS_WRITES (SIM_OPS(SIM_WRITE) | SIM_OPS(SIM_QUEUE_WRITE) | SIM_OPS(SIM_QUEUE_END))

/*
 * ERROR        the operation gives `error`; a SYNC and a durable WRITE as said above
 * SHORT        WRITE, QUEUE_END: a part reaches the disk. A WRITE gives `error` (by the seam's
 *              contract it must), a QUEUE_END the smaller count, a multiple of 512
 * PHANTOM      WRITE to a durable handle, QUEUE_END, one page of a SYNC: reported done, not done
 * MISDIRECTED  likewise: lands at another multiple of 4096, in this or another file
 * SLOW         QUEUE_WRITE: takes delay_ns more
 * FLIP         READ: one bit of the answer is wrong, this time only
 * DIE          any: the process dies within the operation (sim_disk_die)
 * STALE        WRITE, QUEUE_END and crashes: where the file grows without being written, and where
 *              a crash loses what it grew by, there are bytes of removed files, not zeroes
 */
enum sim_fault_kind {
    SIM_FAULT_ERROR,
    SIM_FAULT_SHORT,
    SIM_FAULT_PHANTOM,
    SIM_FAULT_MISDIRECTED,
    SIM_FAULT_SLOW,
    SIM_FAULT_FLIP,
    SIM_FAULT_DIE,
    SIM_FAULT_STALE,
    SIM_FAULT_COUNT
};

/*
 * One entry of the fault list. It strikes an operation of `ops` on a path that contains `path` if
 * it is the nth of them since the entry was added, or any after it if `forever`; or, where nth is
 * 0, with a chance of `per_million`, in which case `forever` means that it goes on once it has
 * begun. limit: strikes at most so often (0: no limit). The first entry that strikes decides.
 */
struct sim_fault {
    enum sim_fault_kind kind;
    uint32_t ops;     /* SIM_OPS() of each */
    const char *path; /* NULL: any; must outlive the entry */
    uint64_t nth;     /* from 1 */
    uint32_t per_million;
    bool forever;
    uint32_t limit;
    int error; /* -EIO, -ENOSPC, -EINTR ...; 0: -EIO */
    uint64_t delay_ns;
};

/* The entry's number; -EINVAL; -ENOSPC: SIM_FAULTS_MAX. */
int sim_disk_fault_add(struct sim_disk *disk, const struct sim_fault *fault);
void sim_disk_faults_clear(struct sim_disk *disk);
/* How often the entry has struck. */
uint64_t sim_disk_fault_struck(const struct sim_disk *disk, int number);

/* ---- Time ---- */

/*
 * Ends the queue writes that are due by now_ns, in the order in which they are due, whatever the
 * order in which they were begun. Nothing else moves time; without a call no queue write ever ends.
 * Returns how many.
 */
unsigned sim_disk_advance(struct sim_disk *disk, uint64_t now_ns);
/* When the next is due; UINT64_MAX: none is under way. */
uint64_t sim_disk_next_ns(const struct sim_disk *disk);
unsigned sim_disk_under_way(const struct sim_disk *disk);

/* ---- Death, crash, reopening ---- */

/*
 * sim_disk_die - the process dies here. From now on every operation gives -EIO and changes nothing,
 *   writes under way are reaped as -EIO, and closing, unlocking and closing of queues only free
 *   memory: a runtime on this disk can be closed in the ordinary way, and none of what it does then
 *   counts. SIM_FAULT_DIE does the same within an operation, of which some part, all or nothing has
 *   then happened.
 * sim_disk_on_death - called when SIM_FAULT_DIE strikes, with everything in order, so that it may
 *   longjmp out of the library instead. NULL: none.
 * sim_disk_crash - decides what is left; implies sim_disk_die. Reading and damaging (below) work on
 *   that from now on.
 * sim_disk_reopen - alive again: no locks, no queues, no handles (those not closed by now are
 *   freed: nobody may use them). Faults, counters and trace go on. Time begins at 0 again.
 */
enum sim_crash {
    SIM_CRASH_KILL,  /* kill -9 */
    SIM_CRASH_POWER, /* power loss */
};

void sim_disk_die(struct sim_disk *disk);
bool sim_disk_is_dead(const struct sim_disk *disk);
void sim_disk_on_death(struct sim_disk *disk, void (*fn)(void *user), void *user);
void sim_disk_crash(struct sim_disk *disk, enum sim_crash how);
void sim_disk_reopen(struct sim_disk *disk);

/*
 * A disk with the same content (cached and durable) and a seed of its own: no handles, locks,
 * queues, faults. It shares memory until one of them writes.
 */
int sim_disk_copy(const struct sim_disk *disk, uint64_t seed, struct sim_disk **copy);

/*
 * Of all names, sizes and bytes as a reader sees them. Stale or zero, never written bytes count by
 * what is read.
 */
uint64_t sim_disk_hash(const struct sim_disk *disk);

/* The lock of a directory is taken by somebody else (held), or no more. */
void sim_disk_second_opener(struct sim_disk *disk, const char *directory, bool held);

/* ---- Damage at rest: changes what is durable and what is cached, at once ---- */

/* All that give int: 0, -ENOENT, or -EINVAL where the place lies behind the file's end. */
int sim_disk_peek(const struct sim_disk *disk, const char *path, void *bytes, size_t size,
                  uint64_t offset);
int sim_disk_poke(struct sim_disk *disk, const char *path, const void *bytes, size_t size,
                  uint64_t offset);
int sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset, unsigned bit);
int sim_disk_truncate(struct sim_disk *disk, const char *path, uint64_t size);
int sim_disk_lose(struct sim_disk *disk, const char *path);                      /* missing */
int sim_disk_duplicate(struct sim_disk *disk, const char *from, const char *to); /* replaces `to` */
int sim_disk_move(struct sim_disk *disk, const char *from, const char *to);      /* replaces `to` */
/* A file made or replaced: a foreign one. The directory must exist. */
int sim_disk_put(struct sim_disk *disk, const char *path, const void *bytes, size_t size);
/* 4096 bytes of one file over those of another place, both aligned: misdirected or stale. */
int sim_disk_copy_block(struct sim_disk *disk, const char *from, uint64_t from_offset,
                        const char *to, uint64_t to_offset);
/* Zeroes, as a write that never happened leaves them: a phantom. */
int sim_disk_erase(struct sim_disk *disk, const char *path, uint64_t offset, uint64_t size);

/* The number of files; the i-th in the order of their paths, its size in *size. */
unsigned sim_disk_files(const struct sim_disk *disk);
const char *sim_disk_file(const struct sim_disk *disk, unsigned i, uint64_t *size);

/* The classes of places in a store's file (store/format.h). */
enum sim_place_class {
    SIM_PLACE_ANY,
    SIM_PLACE_FILE_HEADER, /* its fields */
    SIM_PLACE_HEADER_REST, /* the zeroes behind them */
    SIM_PLACE_FRAME_HEADER,
    SIM_PLACE_PAYLOAD,
    SIM_PLACE_SEAL,    /* a seal's header or payload */
    SIM_PLACE_PADDING, /* behind a group's last frame, up to the next multiple of 4096 */
    SIM_PLACE_UNUSED,  /* zeroes behind the last group */
    SIM_PLACE_COUNT
};

struct sim_place {
    char path[SIM_PATH_MAX];
    uint64_t offset;
    unsigned bit;
    enum sim_place_class kind; /* never SIM_PLACE_ANY unless the file is none of the store's */
};

/*
 * Picks a place of that class by seed, evenly over all such places in files whose path contains
 * `path` (NULL: all): a byte and a bit. -ENOENT: there is none.
 */
int sim_disk_pick(struct sim_disk *disk, enum sim_place_class kind, const char *path,
                  struct sim_place *place);
const char *sim_place_class_name(enum sim_place_class kind);

/* ---- What happened ---- */

struct sim_disk_counters {
    uint64_t operations; /* all; an operation's number in the trace */
    uint64_t by_op[SIM_OP_COUNT];
    uint64_t failed[SIM_OP_COUNT];    /* gave an error, for whatever reason */
    uint64_t faults[SIM_FAULT_COUNT]; /* struck */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t crashes;
    uint64_t sectors_kept; /* by power losses, of what was not durable */
    uint64_t sectors_lost;
    uint64_t sectors_stale; /* that showed bytes of removed files */
    uint64_t torn_pages;    /* of which a power loss kept a part */
    uint64_t names_kept;    /* creations, renames, removals */
    uint64_t names_lost;
    uint64_t out_of_order; /* queue writes that ended before one begun earlier */
    uint64_t full;         /* -ENOSPC because of the capacity */
};
const struct sim_disk_counters *sim_disk_counters(const struct sim_disk *disk);
uint64_t sim_disk_used_bytes(const struct sim_disk *disk);

/*
 * What the library did against the seam's contract (unaligned, a buffer changed while its write was
 * under way, overlapping writes under way ...), the first of them; NULL: nothing.
 */
const char *sim_disk_misuse(const struct sim_disk *disk);

/* The last operations, oldest first, one a line. */
void sim_disk_trace(const struct sim_disk *disk, FILE *out, unsigned last);

const char *sim_op_name(enum sim_op op);
const char *sim_fault_name(enum sim_fault_kind kind);

#endif /* PAWL_TOOLS_SIM_DISK_H */
