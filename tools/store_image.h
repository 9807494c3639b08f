/*
 * store_image.h - a store as a plain model in memory, for the commands that look at one: tasks with
 * all that belongs to them, the numbers of the links between shards, and the events under way.
 *
 * It knows nothing of the runtime's own tables and shares no code with recovery, so that the two
 * can be held against each other. It is made for looking, not for speed: about 150 bytes a task
 * beside its context.
 *
 *   store_image.c   the model: entries are applied to it; its hash
 *   store_hold.c    a directory as it was at one moment
 *   store_load.c    reads a directory: which snapshot, how far the journal goes
 *   store_write.c   writes a model as a new store
 *   export.c, import.c  JSON lines
 */
#ifndef PAWL_TOOLS_STORE_IMAGE_H
#define PAWL_TOOLS_STORE_IMAGE_H

#include <pawl/seams.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store/entry.h"
#include "store/files.h"
#include "store/manifest.h"
#include "store/reader.h"
#include "store_hold.h"

/* ---- the model ------------------------------------------------------------------------------- */

#define IMAGE_ALIVE    0x01u
#define IMAGE_RESERVED 0x02u
#define IMAGE_BORN     0x04u /* its creation, its reservation or an image of it was there */

struct image_event {
    uint64_t number;          /* of a sent one */
    struct entry_event event; /* its payload follows it */
};

/* Oldest first. `first` events have gone already. */
struct image_events {
    struct image_event **at;
    size_t first, count, capacity;
};

struct image_task {
    uint32_t slot;
    uint32_t generation;
    uint32_t version;
    uint16_t state;
    uint16_t history;
    uint8_t machine;
    uint8_t flags; /* IMAGE_* */
    uint32_t key_size;
    uint64_t since;
    uint8_t *key;
    uint64_t *context;
    uint32_t context_words;
    uint32_t timers_count;
    struct entry_timer *timers;
    struct image_events deferred;
};

struct image_floor {
    uint32_t slot;
    uint32_t count;
    uint32_t generation;
};

/* The task that was `from` is `to` now. */
struct image_alias {
    uint64_t from;
    uint64_t to;
};

/* From a shard to a peer and back; [1]: control events. */
struct image_link {
    uint64_t taken[2];     /* from the peer */
    uint64_t confirmed[2]; /* to the peer */
    struct image_events sent[2];
};

struct image_shard {
    uint32_t number;
    uint32_t peers;
    struct image_task *tasks;
    size_t tasks_count, tasks_capacity;
    uint32_t *map; /* slot -> position in tasks + 1 */
    size_t map_capacity;
    struct image_link *links; /* peers of them */
    struct image_floor *floors;
    size_t floors_count, floors_capacity;
    struct image_alias *aliases; /* sorted by from */
    size_t aliases_count, aliases_capacity;
    uint64_t time_ns;
    /* Where its journal goes on. */
    uint64_t lsn;  /* the last one applied */
    uint64_t file; /* number of the journal file that it lies in */
    /* A frame's parts (FRAME_MORE) that wait for the last. */
    uint8_t *parts;
    size_t parts_size, parts_capacity;
};

int image_shard_init(struct image_shard *shard, uint32_t number, uint32_t peers);
void image_shard_fini(struct image_shard *shard);

/*
 * Applies the entries of a frame, which are well-formed. NULL; or what is wrong with them in view
 * of the manifest, or "no memory". Frames with FRAME_MORE wait for the one without.
 */
const char *image_shard_apply(struct image_shard *shard, const struct manifest *manifest,
                              const struct reader_frame *frame);

/*
 * Puts what is left of tasks that have ended, that their ids must not be given out again, into the
 * floors. Once all is applied. False: no memory.
 */
bool image_shard_fold(struct image_shard *shard);
bool image_shard_add_floor(struct image_shard *shard, const struct image_floor *floor);
bool image_shard_add_alias(struct image_shard *shard, const struct image_alias *alias);

/* The task in this slot, whether it lives or not; NULL: none. */
struct image_task *image_shard_task(const struct image_shard *shard, uint32_t slot);

/* Likewise; an empty one of this generation is made. NULL: no memory. */
struct image_task *image_shard_place(struct image_shard *shard, uint32_t slot, uint32_t generation);

static inline bool image_task_lives(const struct image_task *task)
{
    return (task->flags & (IMAGE_ALIVE | IMAGE_RESERVED)) != 0;
}

uint64_t image_task_id(const struct image_shard *shard, const struct image_task *task);

/* Appends, or puts at its number's place, a copy. False: no memory. */
bool image_events_add(struct image_events *events, uint64_t number, const struct entry_event *event,
                      const void *payload);
void image_events_clear(struct image_events *events);

/* Copies bytes over *to, which was allocated or NULL. False: no memory. */
bool image_set(void *to, const void *bytes, size_t size);

/* ---- a store --------------------------------------------------------------------------------- */

/* Where what is wrong is said; a whole sentence, or several. */
typedef void store_say_fn(void *user, const char *text);

struct store_image {
    struct store_hold *hold;
    const struct pawl_storage *storage; /* what is held */
    const char *directory;
    bool in_use; /* when it was opened */
    struct manifest *manifest;
    struct store_file *files; /* of all sets */
    size_t files_count;
    struct image_shard *shards; /* manifest->shards of them */
    store_say_fn *say;
    void *user;
};

/* How a shard was read. */
struct store_reading {
    const struct store_file *snapshot; /* NULL: none, its journal was read from LSN 1 on */
    uint64_t base_lsn;
    uint64_t snapshot_ns;   /* shard's time at which it was finished */
    uint64_t journal_ns;    /* of the last frame that was applied from the journal; 0: none */
    enum reader_result end; /* of the journal; READER_CORRUPT, READER_FAILED: it goes no farther */
    int error;              /* READER_FAILED */
    uint64_t frames, entries;
    char what[512]; /* READER_CORRUPT, READER_FAILED */
};

/* Formats and says. */
void store_say(const struct store_image *image, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * store_open - opens all files and reads the manifest; nothing is locked or changed, and files that
 * come from then on are not seen (store_hold.h). 0, or an error that has been said. `image->say` and
 * `image->user` are set before; everything else is made here.
 */
int store_open(struct store_image *image, const struct pawl_storage *storage,
               const char *directory);
void store_close(struct store_image *image);

/* Looks at a store in use whose newest frames seem wrong: they may be half there. */
enum { STORE_LOOKS = 8 };

/* Whether a process has it open. */
bool store_is_in_use(const char *directory);

/*
 * The files of one shard of the set in force: journals and snapshots apart, in order, without new
 * ones.
 */
const struct store_file *store_files(const struct store_image *image, uint32_t shard, uint16_t kind,
                                     size_t *count);

/*
 * store_load_shard - reads the newest whole snapshot of a shard, not counting `skip` of them, and
 *   the journal behind it, into image->shards[shard]; skip as many as there are, and it is the
 *   journal from LSN 1 on. True: as far as there is anything to read; reading->end says how it
 *   ended. False: there is no such snapshot and no journal from LSN 1 on; reading->what says so.
 */
bool store_load_shard(struct store_image *image, uint32_t shard, unsigned skip,
                      struct store_reading *reading);

/*
 * All shards, the newest state; anything that is not sound is said and makes it fail. 0 or an
 * error.
 */
int store_load(struct store_image *image);

/* Empties what was loaded. */
int store_reset(struct store_image *image);

/* NULL, or what contradicts itself in the state that was loaded: in `text`. */
const char *store_check(const struct store_image *image, char *text, size_t size);

/*
 * Of everything that the state of a store is, in whatever way it was read; LSNs and `since` apart.
 */
uint64_t store_hash(const struct store_image *image);

/* Whether the receiver has not handled the event yet. */
bool store_is_under_way(const struct store_image *image, uint32_t from, uint32_t to,
                        unsigned control, uint64_t number);

static inline uint32_t store_event_shard(const struct entry_event *event)
{
    return (uint32_t)(event->task >> (ID_SLOT_BITS + ID_GENERATION_BITS));
}

/* The id that a task has now which once had this one. */
uint64_t store_resolve(const struct store_image *image, uint64_t id);

/* The task with this id, or an id that leads to it, if it lives. */
const struct image_task *store_task(const struct store_image *image, uint64_t id);

/*
 * store_write - writes manifest and shards as a new store: a snapshot for each shard, then the
 *   manifest. The directory must not exist or be empty. 0, or an error that has been said; then
 *   nothing is left behind.
 */
int store_write(struct store_image *image, const struct pawl_storage *storage,
                const char *directory);

/* JSON lines; "pawl export" says what they mean. */
int store_export(const struct store_image *image, FILE *out);
/* The opposite. -EBADMSG with the line's number and a sentence in `wrong`; -ENOMEM. */
int store_import(struct store_image *image, FILE *in, char *wrong, size_t size);

#endif /* PAWL_TOOLS_STORE_IMAGE_H */
