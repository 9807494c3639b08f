/*
 * manifest.h - what a store is: its id, the set of files in force, the epoch, and the definitions
 * that its entries' numbers mean.
 *
 * Layer: store. The file `manifest` is a file header (kind FILE_JOURNAL, shard 0, file 0, first_lsn
 * 1), one or more frames of type FRAME_MANIFEST (FRAME_MORE on all but the last) and zeroes up to a
 * multiple of 4096. The frames' payloads, joined, are the text described in manifest.c: lines of
 * ASCII words. It is replaced by writing manifest.new, syncing it, reading it back, renaming it and
 * syncing the directory.
 */
#ifndef PAWL_STORE_MANIFEST_H
#define PAWL_STORE_MANIFEST_H

#include <pawl/error.h>
#include <pawl/seams.h>
#include <stdbool.h>
#include <stdint.h>

struct pawl_machine;

#define MANIFEST_MACHINES_MAX 256u

struct manifest_machine {
    uint64_t hash;
    uint32_t context_size;
    uint32_t durability; /* enum pawl_durability */
    uint32_t states_count;
    uint32_t events_count;
    uint32_t timers_count; /* named ones first, then states' timeouts */
    char *name;
    char **states; /* by number, as the rest */
    char **events;
    char **timers;
};

struct manifest {
    uint64_t store;    /* random */
    uint64_t key_seed; /* of the key index and of the keys' home shards */
    uint64_t epoch;    /* of the last opening */
    uint32_t set;
    uint32_t shards;
    uint32_t machines_count;
    bool closed;    /* the last epoch was closed in order */
    uint32_t begun; /* the set of which each shard's journal has begun, plus 1; see below */
    struct manifest_machine machines[MANIFEST_MACHINES_MAX]; /* the entries' machine numbers */
};

/*
 * Whether each shard of the set has a journal. Not so until the first opening of the set has come
 * to its end, of a new store, after a rewrite or an import; a set that gets another number is new
 * by itself.
 */
static inline bool manifest_is_begun(const struct manifest *manifest)
{
    return manifest->begun == manifest->set + 1;
}

/* Reads and checks DIRECTORY/manifest. -ENOENT: there is none; -EBADMSG with a diagnostic. */
int pawl__manifest_read(const struct pawl_storage *storage, const char *directory,
                        pawl_diagnostic_fn *diagnose, void *user, struct manifest **manifest);

/* Replaces it durably. The caller's `wall_ns` goes into the headers. */
int pawl__manifest_write(const struct pawl_storage *storage, const char *directory,
                         const struct manifest *manifest, uint64_t wall_ns);

/* An empty one, or NULL: no memory. */
struct manifest *pawl__manifest_create(void);
void pawl__manifest_destroy(struct manifest *manifest);

/* Appends a compiled machine's description; its number, -ENOSPC or -ENOMEM. */
int pawl__manifest_add(struct manifest *manifest, const struct pawl_machine *machine);

/* Drops all descriptions: for a set of files in which no entry has a number yet. */
void pawl__manifest_forget_machines(struct manifest *manifest);

/*
 * The number of the machine with this name and hash; -ENOENT. With hash 0: of the last one of this
 * name.
 */
int pawl__manifest_find(const struct manifest *manifest, const char *name, uint64_t hash);

#endif /* PAWL_STORE_MANIFEST_H */
