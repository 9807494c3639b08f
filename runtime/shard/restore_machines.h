/*
 * restore_machines.h - the machines of a store and those of the runtime: which is which, and how
 * the tasks of a changed one become tasks of the new one.
 *
 * Layer: shard. Constant once it is made; any thread.
 */
#ifndef PAWL_SHARD_RESTORE_MACHINES_H
#define PAWL_SHARD_RESTORE_MACHINES_H

#include "shard/create.h"
#include "shard/restore_image.h"
#include "shard/runtime.h"
#include "task/event.h"

#define MACHINE_NONE (-1)

struct restore_machines {
    const struct pawl_runtime *runtime;
    const struct manifest *manifest;
    void *user;
    struct image_machine
        in_place[MANIFEST_MACHINES_MAX]; /* by the store's number, as all of these */
    struct image_machine stored[MANIFEST_MACHINES_MAX];
    int number[MANIFEST_MACHINES_MAX]; /* the runtime's, or MACHINE_NONE */
    const struct pawl_migration *migration[MANIFEST_MACHINES_MAX]; /* NULL: it has not changed */
    bool own[MANIFEST_MACHINES_MAX]; /* the migration is the library's (agent/work_migrate.c) */
    bool changed;                    /* some migration is there */
};

/* 0, or -EBADMSG with *bad, a machine of which the manifest says what cannot be. */
int pawl__restore_machines_init(struct restore_machines *machines,
                                const struct pawl_runtime *runtime, const struct manifest *manifest,
                                const struct pawl_migration *migrations, size_t migrations_count,
                                void *user, uint32_t *bad);

/* Says why tasks of this machine cannot come back; returns -EINVAL. */
int pawl__restore_machines_refuse(const struct restore_machines *machines, struct image *image,
                                  uint32_t machine);

/*
 * An event's code, a timer's number, as the new definition has it; the same where it has not
 * changed. -ENOENT.
 */
int pawl__restore_machines_event(const struct restore_machines *machines, uint32_t machine,
                                 unsigned code);
int pawl__restore_machines_timer(const struct restore_machines *machines, uint32_t machine,
                                 unsigned timer);

/*
 * What a task's state and context are to be: context has CONTEXT_MAX bytes. 0 or -EINVAL with
 * image->fault.
 */
int pawl__restore_machines_task(const struct restore_machines *machines, struct image *image,
                                struct slot *slot, uint32_t slot_index, unsigned *state,
                                uint64_t *context);

/*
 * An event that asks for a task (shard/create.h), its slot the machine's number in the store: that
 * number becomes the runtime's. 0, -EBADMSG, -EINVAL with image->fault.
 */
int pawl__restore_machines_request(const struct restore_machines *machines, struct image *image,
                                   struct pawl_event *event);

/* What it asks for; NULL: a task without key, context and arguments. */
static inline const struct create_request *restore_request(const struct pawl_event *event)
{
    return (event->flags & PAWL_EVENT_BUFFER) != 0 ? pawl_buffer_bytes(event_buffer(event)) : NULL;
}

/* Whether a task can be in it. */
bool pawl__restore_machines_is_state(const struct pawl_machine *machine, unsigned state);

#endif /* PAWL_SHARD_RESTORE_MACHINES_H */
