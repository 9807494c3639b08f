/*
 * work_migrate.c - stores that another version of the library has written, or this one with another
 * durability: how the tasks of its machines there become those of today.
 *
 * A store knows a definition by its hash, which the durability is part of. Whoever changes a
 * definition adds a row for each hash that goes, and leaves the rows there are: stores are opened
 * across more than one version. tests/unit/test_work_migrate.c fails until that is done.
 *
 * Layer: agent. Pure functions; any thread.
 */
#include <errno.h>
#include <string.h>

#include "agent/work_machine.h"

/* The state of the same name; its number may be another. */
static int keep_state(struct pawl_migrating *task)
{
    if (task->old_state[0] == '\0') /* reserved, and not begun: there is none yet */
        return 0;
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        if (strcmp(task->old_state, pawl_work_state_name(i)) == 0) {
            task->state = i;
            return 0;
        }
    return -EINVAL;
}

static int keep_work(void *user, struct pawl_migrating *task)
{
    (void)user;
    if (task->old_context_size != task->context_size)
        return -EINVAL;
    memcpy(task->context, task->old_context, task->context_size);
    return keep_state(task);
}

/* A note is kept as long as it is there, in the one state that is not final. */
static int keep_note(void *user, struct pawl_migrating *task)
{
    (void)user;
    if (task->old_context_size != task->context_size)
        return -EINVAL;
    memcpy(task->context, task->old_context, task->context_size);
    task->state = 0;
    return 0;
}

/*
 * Before 2: a task that had failed because of what it waited for could be kicked, and no graph said
 * that it was whole: which of those that are held are the host's to open is not known, so all are.
 * Nor did one that had failed or was dead count those that settled late: a kick would wait for them
 * for ever, so it waits for none.
 */
static int from_1(void *user, struct pawl_migrating *task)
{
    struct pawl_work *work = task->context;
    const int error = keep_work(user, task);

    if (error != 0)
        return error;
    if (work->klass == PAWL_WORK_CLASS_DEPENDENCY && work->outcome == PAWL_WORK_FAILED)
        work->flags |= WORK_IS_BROKEN;
    if (task->old_state[0] != '\0' &&
        (task->state == PAWL_WORK_FAILED || task->state == PAWL_WORK_DEAD))
        work->waits = 0;
    if ((work->flags & WORK_IN_GRAPH) != 0)
        work->flags |= WORK_IS_DECLARED;
    return 0;
}

static const struct pawl_migration migrations[] = {
    {"pawl.work", UINT64_C(0x6146bff15b86bed8), from_1},      /* 1, async */
    {"pawl.work", UINT64_C(0x4e41014994c6079b), from_1},      /* 1, sync */
    {"pawl.work", UINT64_C(0x13aa9060cd515e92), keep_work},   /* 2, async */
    {"pawl.work", UINT64_C(0x1a5d094e7fc1eaf1), keep_work},   /* 2, sync */
    {"pawl.note.s", UINT64_C(0xaf8cfc00c2bc1c78), keep_note}, /* 1, async */
    {"pawl.note.s", UINT64_C(0x9c873d58fbfb653b), keep_note}, /* 1, sync */
    {"pawl.note.m", UINT64_C(0xf457ac7900b71c6a), keep_note}, /* 1, async */
    {"pawl.note.m", UINT64_C(0xa55996b0eda20429), keep_note}, /* 1, sync */
    {"pawl.note.l", UINT64_C(0x541c3b85bb8f6ae7), keep_note}, /* 1, async */
    {"pawl.note.l", UINT64_C(0x6721fa2d82502224), keep_note}, /* 1, sync */
};

const struct pawl_migration *pawl__work_migration(const char *machine, uint64_t from_hash)
{
    for (size_t i = 0; i < sizeof(migrations) / sizeof(migrations[0]); i++)
        if (migrations[i].from_hash == from_hash && strcmp(migrations[i].machine, machine) == 0)
            return &migrations[i];
    return NULL;
}
