/*
 * restore_image.h - one shard of a store while it is read: its tasks, and what it has sent and
 * taken.
 *
 * Layer: shard. Owner: the thread that reads this shard of the store.
 *
 * Entries are applied where they lead: straight into the table of the shard that goes on with these
 * tasks, in place; or, when the number of shards or a definition has changed, into a table of the
 * image's own, from which restore_move.c takes them. Machines have the runtime's numbers in place,
 * the store's otherwise.
 *
 * What is not known of a life. Entries may tell of a task whose beginning lies before the base of
 * the snapshot and that ended before the snapshot came to it: its end must follow. Of such a life
 * only generation, machine and state are kept (RESTORED_STATE without RESTORED_BORN, task/table.h).
 */
#ifndef PAWL_SHARD_RESTORE_IMAGE_H
#define PAWL_SHARD_RESTORE_IMAGE_H

#include "shard/durable.h"
#include "shard/restore_sends.h"
#include "shard/shard.h"
#include "store/entry.h"
#include "store/manifest.h"
#include "task/table.h"

/* The first error of a shard, and where. */
struct restore_fault {
    int error;
    char where[160];
    char what[480];
};

/* What a machine of the store is to an image. */
struct image_machine {
    uint32_t context_size;
    uint32_t context_words;
    uint8_t number; /* in heads */
    bool known;     /* else its lives are RESTORED_FOREIGN */
};

/* Between this shard of the store and one of them, by class: enum durable_class. */
struct image_link {
    struct sends sends[2];
    uint64_t taken[2];
    uint64_t confirmed[2];
};

struct image {
    uint32_t number; /* I, as the following */
    uint32_t shards; /* of the store */
    struct table *table;
    struct slab *timers;
    struct slab *deferrals;
    const struct image_machine *machines; /* by the store's numbers */
    uint32_t machines_count;
    bool has_blocks;          /* some context is above CONTEXT_INLINE */
    struct image_own *own;    /* not in place: what the three pointers lead to */
    struct image_link *links; /* by shard of the store */

    struct table_floors floors;
    struct entry_alias *aliases; /* header unused */
    size_t aliases_count;
    size_t aliases_capacity;
    uint64_t time_ns; /* the highest that was read */
    uint32_t since;   /* of the frame being applied */
    uint64_t entries;
    struct restore_fault fault;

    struct store_position position; /* where the journal goes on; time_ns is this shard's own */
    uint64_t base_file;             /* of the snapshot that was read; 0: none */
    uint64_t base_snapshot;         /* its number */
    char warning[480];              /* a snapshot was passed over; "": none */
    _Atomic uint64_t bytes;         /* read so far; any thread reads it, and the next */
    _Atomic uint64_t bytes_total;
};

/*
 * pawl__image_init - in place, in a shard that nobody has used; or with shard NULL in a table of
 * its own, for machines' context sizes. 0 or -ENOMEM; fini in either case.
 */
int pawl__image_init(struct image *image, struct shard *shard, uint32_t number, uint32_t shards,
                     const struct image_machine *machines, uint32_t machines_count);
void pawl__image_fini(struct image *image);

/* As after init: what was read counts for nothing. */
int pawl__image_clear(struct image *image);

/*
 * The entries of one frame, which have passed pawl__entry_check. 0, -EBADMSG, -ENOSPC, -ENOMEM:
 * with fault.what.
 */
int pawl__image_apply(struct image *image, const void *entries, size_t size, uint64_t time_ns);

/* restore_read.c: the files of one shard, of the manifest's set, as pawl__store_list sorts them. */
struct image_source {
    const struct pawl_storage *storage;
    const char *directory;
    const struct manifest *manifest;
    const struct store_file *files; /* none unfinished */
    size_t files_count;
    pawl_store_progress_fn *progress; /* called now and then, on this thread; may be NULL */
    void *user;
};

/*
 * pawl__image_read - the newest snapshot that is whole, and the journal from its base on. 0 or an
 * error with the fault: -EBADMSG, the storage's error, those of pawl__image_apply.
 */
int pawl__image_read(struct image *image, const struct image_source *source);

/* Sets the fault, unless there is one; returns error. The caller sets fault.where. */
int pawl__image_fail(struct image *image, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An event as it is stored, with a buffer of its own if it has one. -ENOMEM. */
int pawl__restore_event(const struct entry_event *entry, struct pawl_event *event);

#endif /* PAWL_SHARD_RESTORE_IMAGE_H */
