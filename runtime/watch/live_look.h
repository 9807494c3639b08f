/*
 * live_look.h - a request on its way to its reply: the runtime's tasks are walked a portion at a
 * time, so that whoever answers several clients stays with none of them for long.
 *
 * Layer: watch. Owner: one thread. Any thread may look while the shards run; nothing is written but
 * the look itself. Limits: a portion is LOOK_PORTION slots; memory as <pawl/live.h> says.
 */
#ifndef PAWL_WATCH_LIVE_LOOK_H
#define PAWL_WATCH_LIVE_LOOK_H

#include "shard/runtime.h"
#include "watch/live_reply.h"
#include "watch/live_request.h"

#define LOOK_PORTION 4096u /* slots: well under a millisecond */

struct live_look {
    const struct pawl_runtime *runtime;
    struct live_request request;
    struct pawl_walk walk;
    struct sight sight;
    uint64_t *counts;       /* of a list: tasks in each state of each machine */
    struct live_text *text; /* where rows go */
};

/* Begins. True: the reply is whole already, because the request cannot be answered. */
bool pawl__look_begin(struct live_look *look, const struct pawl_runtime *runtime,
                      const struct live_request *request, struct live_text *text);

/* One portion. True: the reply is whole. */
bool pawl__look_go_on(struct live_look *look);

void pawl__look_fini(struct live_look *look);

#endif /* PAWL_WATCH_LIVE_LOOK_H */
