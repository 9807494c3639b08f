/*
 * restore_resend.h - what was sent and not taken is sent again.
 *
 * Layer: shard. One thread, when the shards' tables are finished and before any of them is turned.
 *
 * Of each pair of shards the receiver has said how many events it has durably handled. What the
 * sender has sent beyond that goes out again, in order. A sender that is not synced may have
 * forgotten events that the receiver has handled: its numbers go on behind those, so that none is
 * used twice.
 */
#ifndef PAWL_SHARD_RESTORE_RESEND_H
#define PAWL_SHARD_RESTORE_RESEND_H

#include "shard/restore_move.h"

struct resend {
    struct pawl_runtime *runtime;
    const struct restore_machines *machines;
    struct image *images;
    uint32_t images_count;
    struct move *move;  /* NULL: in place; else links' numbers begin anew */
    uint64_t *resent;   /* by shard of the runtime: events that it sent again */
    uint64_t *reserved; /* tasks whose creation must be among what is sent again; counted down */
};

/*
 * Fills durable->links, and queues the events. 0; or an error with the fault of an image, and
 * nothing queued.
 */
int pawl__resend(struct resend *resend);

#endif /* PAWL_SHARD_RESTORE_RESEND_H */
