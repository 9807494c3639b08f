/*
 * work.h - submissions of work tasks on their way to a shard: checked and packed.
 *
 * Layer: shard. Thread: any; nothing here belongs to a shard.
 */
#ifndef PAWL_SHARD_WORK_H
#define PAWL_SHARD_WORK_H

#include <pawl/work.h>

#include "agent/work_machine.h"

/* A submission ready to be created: task.context and task.payload lead into it. */
struct work_submission {
    struct pawl_task_spec task;
    struct pawl_work context;
    void *payload; /* NULL: none */
};

/*
 * pawl__work_pack - checks a spec and packs it. undeclared: tasks of its own graph that it will be
 * told to wait for; with any, or with in_graph, it is held, and open to nobody else's edges. Errors
 * as pawl_work_submit. After 0: fini.
 */
int pawl__work_pack(const struct pawl_runtime *runtime, const struct pawl_work_spec *spec,
                    bool in_graph, uint32_t undeclared, struct work_submission *submission);
void pawl__work_unpack(struct work_submission *submission);

/* An event WORK_AFTER with its buffer: 0 or -ENOMEM. The buffer is the event's. */
int pawl__work_after_event(struct pawl_task task, const struct pawl_task *after, size_t count,
                           enum work_by_graph by, struct pawl_event *event);

/*
 * pawl__work_restore - setup, after recovery: what a graph has left that was not declared to the
 * end is to be cancelled, by the first turns. 0 or -ENOMEM.
 */
int pawl__work_restore(struct pawl_runtime *runtime);

#endif /* PAWL_SHARD_WORK_H */
