/*
 * inspect_store.h - a store that `pawl inspect` reads.
 *
 * All is read from a model in memory (store_image.h); the store is neither locked nor changed. Work
 * tasks and their notes are known by the names of the library's machines.
 */
#ifndef PAWL_TOOLS_INSPECT_STORE_H
#define PAWL_TOOLS_INSPECT_STORE_H

#include "inspect.h"
#include "store_image.h"

struct inspect_store {
    struct store_image image;
    struct sight sight;
    uint64_t *states; /* tasks in each state of each machine */
};

static inline const char *store_machine(const struct store_image *image,
                                        const struct image_task *task)
{
    return image->manifest->machines[task->machine].name;
}

bool inspect_is_work(const struct inspect_store *store, const struct image_task *task);

/* A work task, by the shard's time of its newest frame. False: its context or its state is not one
 * that this version of the library knows. */
bool inspect_store_view(const struct inspect_store *store, const struct image_shard *shard,
                        const struct image_task *task, struct pawl_work_view *view);

/* The work task that has this id, or had it before it moved; false: there is none. */
bool inspect_store_read(const struct inspect_store *store, uint64_t id,
                        struct pawl_work_view *view);

/* The one that is meant, whole. False: there is none. */
bool inspect_store_task(const struct inspect_store *store, const char *which,
                        struct inspect_whole *whole);

/* Adds the notes from this one on. NULL, or why there are no more although there should be. */
const char *inspect_notes(const struct inspect_store *store, uint64_t newest,
                          struct inspect_whole *whole);

#endif /* PAWL_TOOLS_INSPECT_STORE_H */
