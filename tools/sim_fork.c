/*
 * sim_fork.c - two recoveries of the same disk, and a block of one in the journal of the other.
 */
#include <stdlib.h>
#include <string.h>

#include "sim_check_inner.h"

/*
 * Goes on from the disk, by a few tasks that run no function; all of it durable. The disk is dead
 * afterwards.
 */
static int go_on(struct sim_world *world, struct sim_disk *disk, unsigned shard, uint32_t uid,
                 struct sim_picture *picture)
{
    struct sim_glance glance;
    int error = sim_glance_open(world, disk, &glance);

    if (error != 0)
        return error;
    world->model.mute = true;
    error = pawl_start(glance.runtime);
    for (unsigned i = 0; i < 2 && error == 0; i++) {
        const struct sim_context context = {.uid = uid, .tokens = i};
        const struct pawl_task_spec spec = {.machine = SIM_SMALL,
                                            .shard = shard,
                                            .context = &context,
                                            .context_size = sizeof(context)};
        struct pawl_task task;

        error = pawl_task_create(glance.runtime, &spec, &task);
    }
    for (unsigned i = 0; i < 400 && error == 0; i++) {
        const uint64_t now = pawl_virtual_clock_now_ns(glance.clock) + SIM_TICK_NS;

        pawl_virtual_clock_advance_to(glance.clock, now);
        sim_disk_advance(disk, now);
        pawl_turn(glance.runtime, shard);
        if (i > 30 && sim_disk_under_way(disk) == 0)
            break;
    }
    sim_picture_take(glance.runtime, picture);
    sim_disk_die(disk);
    sim_glance_close(&glance);
    world->model.mute = false;
    return error;
}

/* The newest journal of a shard. */
static bool newest_journal(const struct sim_disk *disk, unsigned shard, char path[SIM_PATH_MAX],
                           uint64_t *size)
{
    bool found = false;

    for (unsigned i = 0; i < sim_disk_files(disk); i++) {
        struct store_file file;
        const char *name;
        uint64_t bytes;
        uint8_t block[SIM_BLOCK];

        if (!sim_check_file(disk, i, &name, &file, &bytes) || file.kind != FILE_JOURNAL ||
            file.is_new || file.shard != shard || bytes < 2 * SIM_BLOCK ||
            sim_disk_peek(disk, name, block, SIM_BLOCK, SIM_BLOCK) != 0 ||
            sim_check_is_zero(block, SIM_BLOCK))
            continue;
        snprintf(path, SIM_PATH_MAX, "%s", name);
        *size = bytes;
        found = true;
    }
    return found;
}

/*
 * Two lives go on from the same disk; the second begins an epoch later. A block of the first life's
 * new journal in the second life's one continues the same frame, and differs from a right one by
 * the epoch only.
 */
void sim_check_forked(struct sim_world *world, struct sim_disk *disk,
                      const struct sim_picture *expected)
{
    const unsigned shard = (unsigned)random_below(&world->random, world->options.shards);
    struct sim_disk *first = sim_check_copy(world);
    struct sim_picture other, mine, now;
    char path[SIM_PATH_MAX], twin[SIM_PATH_MAX];
    uint64_t size, twin_size;
    uint8_t block[SIM_BLOCK];

    sim_disk_reopen(first);
    if (!sim_check_expect(world, disk, expected, "before a fork"))
        goto out;
    sim_check_crash(world, disk);
    if (go_on(world, first, shard, 1000001, &other) != 0 ||
        go_on(world, disk, shard, 1000002, &mine) != 0)
        goto out;
    sim_disk_crash(first, SIM_CRASH_KILL);
    sim_disk_crash(disk, SIM_CRASH_KILL);
    if (!newest_journal(first, shard, path, &size) ||
        !newest_journal(disk, shard, twin, &twin_size))
        goto out;
    for (uint64_t at = SIM_BLOCK; at < size && at < twin_size; at += SIM_BLOCK) {
        sim_disk_peek(first, path, block, SIM_BLOCK, at);
        sim_disk_poke(disk, twin, block, SIM_BLOCK, at);
    }
    sim_disk_reopen(disk);
    if (sim_check_look(world, disk, &now) == 0 && !sim_check_same(&now, &mine) &&
        !sim_check_same(&now, expected))
        sim_fail(&world->model, "corruption",
                 "%s shows what another recovery of the disk wrote, and that "
                 "was served",
                 twin);
out:
    sim_disk_die(first);
    sim_disk_destroy(first);
}
