/*
 * sim_disk_inner.h - what the parts of the simulated disk share (sim_disk.h is its face).
 *
 *   sim_disk.c        life, the seam's calls on files
 *   sim_disk_file.c   bytes of a file: cached, durable, unsynced
 *   sim_disk_names.c  names and directories, likewise
 *   sim_disk_directory.c  the seam's calls on them
 *   sim_disk_queue.c  writes that nobody waits for
 *   sim_disk_crash.c  death, crash, reopening, copies, the hash
 *   sim_disk_fault.c  the fault list, counters, trace
 *   sim_disk_damage.c damage at rest
 *
 * A page is never changed once a second pointer leads to it: files, their unsynced writes, flights
 * and copies of the disk share pages by count. NULL stands for a page that was never written; it
 * reads as zeroes.
 */
#ifndef PAWL_TOOLS_SIM_DISK_INNER_H
#define PAWL_TOOLS_SIM_DISK_INNER_H

#include "base/check.h"
#include "base/random.h"
#include "sim_disk.h"

#define PAGE        PAWL_STORAGE_BLOCK
#define SECTORS     (PAGE / SIM_SECTOR) /* of a page; a set of them is a byte */
#define SECTORS_ALL 0xffu
#define STALE_MAX   64u /* pages of removed files that are remembered */

_Static_assert(SECTORS == 8, "a set of sectors is a byte");

struct page {
    uint32_t refs;
    _Alignas(64) uint8_t bytes[PAGE];
};

/* All zeroes and written; not counted, never freed. */
extern struct page sim_zero_page;

/*
 * A write that is cached and not durable: these sectors of one page, and the size of the file
 * behind it.
 */
struct unsynced {
    struct page *page; /* the whole page as it was after the write */
    uint64_t size;
    uint32_t at; /* page number */
    uint8_t sectors;
};

struct inode {
    uint32_t refs;           /* names (current, durable), handles, flights, changes of names */
    uint32_t open;           /* handles */
    bool linked;             /* has a name now */
    bool freed;              /* neither: its space was given back */
    bool dirty;              /* cached and durable may differ */
    char path[SIM_PATH_MAX]; /* the name it has or had */
    uint64_t size;
    uint64_t durable_size;
    struct page **cached;
    struct page **durable;
    uint32_t pages;            /* capacity of both */
    struct unsynced *unsynced; /* in the order of the writes */
    uint32_t unsynced_count;
    uint32_t unsynced_capacity;
};

struct name {
    char path[SIM_PATH_MAX];
    struct inode *inode;
};

struct name_table {
    struct name *names;
    uint32_t count;
    uint32_t capacity;
};

enum change_kind { CHANGE_DIRECTORY, CHANGE_CREATE, CHANGE_RENAME, CHANGE_REMOVE };

/* A change of names that is not durable. Without an inode: a directory was made. */
struct change {
    enum change_kind kind;
    bool doomed;             /* by a failed sync_directory: a later one does not help */
    bool kept;               /* chosen to become durable */
    char from[SIM_PATH_MAX]; /* empty: none */
    char to[SIM_PATH_MAX];
    struct inode *inode;
};

struct directory {
    char path[SIM_PATH_MAX];
    bool durable;
    bool locked;       /* by a handle of ours */
    bool locked_other; /* sim_disk_second_opener */
};

struct handle {
    struct handle *next;
    struct inode *inode; /* NULL: a crash has taken it */
    unsigned flags;
};

struct lock {
    struct lock *next;
    char directory[SIM_PATH_MAX];
};

struct queue {
    struct queue *next;
    unsigned depth;
    unsigned taken;      /* writes under way, and results not yet reaped */
    unsigned done_count; /* results not yet reaped, oldest first */
    struct pawl_storage_done *done;
};

/* A write under way. queue NULL: its process has died; within it: stranded. */
struct flight {
    struct queue *queue;
    struct inode *inode;
    const uint8_t *source; /* the caller's bytes, which must not change meanwhile */
    uint64_t tag;
    uint64_t offset;
    uint64_t size;
    uint64_t due_ns;
    uint64_t sequence;
    bool stranded;
    struct page **pages; /* size / PAGE of them */
};

struct fault {
    struct sim_fault given;
    uint64_t seen;
    uint64_t struck;
    bool begun;
};

/* What an operation is struck by. */
struct strike {
    bool is;
    enum sim_fault_kind kind;
    int error;
    uint64_t delay_ns;
};

struct trace_entry {
    uint64_t number;
    uint64_t offset;
    uint64_t size;
    int64_t result;
    enum sim_op op;
    bool struck;
    enum sim_fault_kind fault;
    char path[SIM_PATH_MAX];
};

struct sim_disk {
    struct pawl_storage storage;
    struct sim_disk_options options;
    struct random random;
    uint64_t now_ns;
    uint64_t used; /* bytes, in pages */
    bool dead;
    void (*on_death)(void *user);
    void *on_death_user;

    struct inode **inodes;
    uint32_t inodes_count;
    uint32_t inodes_capacity;
    struct name_table current;
    struct name_table durable;
    struct directory *directories;
    uint32_t directories_count;
    uint32_t directories_capacity;
    struct change *changes; /* of names, in order */
    uint32_t changes_count;
    uint32_t changes_capacity;
    struct page *stale[STALE_MAX]; /* a ring of pages of removed files */
    uint32_t stale_at;
    uint32_t stale_count;

    struct handle *handles;
    struct lock *locks;
    struct queue *queues;
    struct flight *flights;
    uint32_t flights_count;
    uint32_t flights_capacity;
    uint64_t flights_begun;

    struct fault faults[SIM_FAULTS_MAX];
    unsigned faults_count;
    struct sim_disk_counters counters;
    struct trace_entry trace[SIM_TRACE_MAX]; /* operation n is at (n - 1) % SIM_TRACE_MAX */
    char misuse[256];
};

/* ---- sim_disk.c ---- */

/* Memory or the end of the process: a simulation without memory has nothing to say. */
void *sim_allocate(size_t size);
/* Room for one more of `size` bytes behind count of them. */
void *sim_grow(void *items, uint32_t count, uint32_t *capacity, size_t size);
static inline bool sim_coin(struct sim_disk *disk)
{
    return random_next(&disk->random) & 1;
}
/* All handles and locks, without an operation. */
void sim_handles_free(struct sim_disk *disk);
void sim_misuse(struct sim_disk *disk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- sim_disk_fault.c ---- */

/*
 * Begins an operation: 0 and what it is struck by, or -EIO: the disk is dead. through:
 * SIM_FAULT_PHANTOM and SIM_FAULT_MISDIRECTED have something to work on.
 */
int sim_begin(struct sim_disk *disk, enum sim_op op, const char *path, uint64_t offset,
              uint64_t size, bool through, struct strike *strike);
/* Ends it; returns result. */
int64_t sim_end(struct sim_disk *disk, enum sim_op op, int64_t result);
/* Whether the next growth, or this crash, shows stale bytes in the file. */
bool sim_stale_strikes(struct sim_disk *disk, const char *path);
/* The process dies within an operation, which gives -EIO. */
int sim_die_within(struct sim_disk *disk, enum sim_op op);

/* ---- sim_disk_file.c ---- */

struct page *sim_page_of(const void *bytes);
static inline struct page *sim_page_ref(struct page *page)
{
    if (page != NULL)
        page->refs++;
    return page;
}
void sim_page_drop(struct page *page);
/* base (NULL: zeroes) with these sectors taken from page; a new reference. */
struct page *sim_page_merge(struct page *base, struct page *page, unsigned sectors);

struct inode *sim_inode_create(struct sim_disk *disk, const char *path);
static inline struct inode *sim_inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}
void sim_inode_drop(struct sim_disk *disk, struct inode *inode);
/* After a name or a handle has gone: gives its space back if it was the last. */
void sim_inode_settle(struct sim_disk *disk, struct inode *inode);
uint64_t sim_inode_bytes(const struct inode *inode); /* of its pages */
void sim_inode_reserve(struct inode *inode, uint64_t size);
/* Sets one page, taking over the reference. */
void sim_page_set(struct page **place, struct page *page);

/* Through the cache; gives how many bytes there was room for. */
uint64_t sim_inode_write(struct sim_disk *disk, struct inode *inode, const uint8_t *bytes,
                         uint64_t size, uint64_t offset);
/* Pages past the cache; sectors says which of each page's reach the disk (NULL: all). Likewise. */
uint64_t sim_inode_write_through(struct sim_disk *disk, struct inode *inode, struct page **pages,
                                 const uint8_t *sectors, uint64_t size, uint64_t offset);
/* These pages, for which there was room, are in the cache, and the file takes them for clean. */
void sim_inode_cache(struct inode *inode, struct page **pages, uint64_t size, uint64_t offset);
void sim_inode_read(const struct inode *inode, bool past_cache, uint8_t *bytes, uint64_t size,
                    uint64_t offset);

enum sync_mode { SYNC_WHOLE, SYNC_FAILED, SYNC_PHANTOM, SYNC_MISDIRECTED };
void sim_inode_sync(struct sim_disk *disk, struct inode *inode, enum sync_mode mode);
/* What is unsynced of one page becomes durable. */
void sim_inode_flush_page(struct inode *inode, uint32_t at);
/* Pages land somewhere else, or nowhere if there is nowhere else. */
void sim_misdirect(struct sim_disk *disk, struct page **pages, uint32_t count,
                   const struct inode *inode, uint32_t at);

/* ---- sim_disk_names.c ---- */

struct inode *sim_find(const struct sim_disk *disk, const char *path);
struct directory *sim_directory(const struct sim_disk *disk, const char *path);
/* path's directory exists; 0, -ENOENT, -ENAMETOOLONG. */
int sim_parent_check(const struct sim_disk *disk, const char *path);
void sim_table_set(struct sim_disk *disk, struct name_table *table, const char *path,
                   struct inode *inode);
void sim_table_remove(struct sim_disk *disk, struct name_table *table, const char *path);
void sim_table_copy(struct name_table *to, const struct name_table *from);
struct inode *sim_make_file(struct sim_disk *disk, const char *path);
void sim_parent_of(const char *path, char parent[SIM_PATH_MAX]);
void sim_parent_of_change(const struct change *change, char parent[SIM_PATH_MAX]);
/* Appends a change; from and to may be empty, inode NULL. */
void sim_change_add(struct sim_disk *disk, enum change_kind kind, const char *from, const char *to,
                    struct inode *inode);
/* Makes the changes that are `kept` durable, and those that they need; the others stay. */
void sim_changes_commit(struct sim_disk *disk);
/* All changes so far are durable now. */
void sim_names_commit(struct sim_disk *disk);
void sim_names_power_loss(struct sim_disk *disk);
void sim_names_free(struct sim_disk *disk);

/* ---- sim_disk_directory.c ---- */

void sim_directory_fill_storage(struct pawl_storage *storage);

/* ---- sim_disk_crash.c ---- */

/* The bytes of another file, whose pages are shared; `to` is new. */
void sim_inode_copy(struct inode *to, const struct inode *from);
/* Nothing behind the end: no pages, and zeroes in the last one. */
void sim_pages_cut(struct page **pages, uint32_t count, uint64_t size);
void sim_count_used(struct sim_disk *disk);

/* ---- sim_disk_queue.c ---- */

void sim_queue_fill_storage(struct pawl_storage *storage);
/* A write past the cache as strike has it: bytes written, or -errno. */
int64_t sim_write_struck(struct sim_disk *disk, struct inode *inode, struct page **pages,
                         uint64_t size, uint64_t offset, const struct strike *strike);
struct page **sim_pages_of(const void *bytes, uint64_t size);
void sim_pages_free(struct page **pages, uint64_t size);
/* Takes a write over without a queue: its process dies within it. */
void sim_flight_strand(struct sim_disk *disk, struct inode *inode, const void *bytes, uint64_t size,
                       uint64_t offset);
void sim_queues_die(struct sim_disk *disk);
void sim_flight_free(struct sim_disk *disk, struct flight *flight);
void sim_queues_free(struct sim_disk *disk);

#endif /* PAWL_TOOLS_SIM_DISK_INNER_H */
