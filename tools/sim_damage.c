/*
 * sim_damage.c - damage to a disk at rest, one kind at a time, and what may come of it: the opening
 * is refused, or what it shows was there once. Where nothing that was acknowledged can have been
 * lost without a trace, it must be there.
 */
#include <inttypes.h>
#include <string.h>

#include "sim_check_inner.h"

/* A file of the store by the dice; in path. False: there is none. */
static bool some_file(struct sim_world *world, const struct sim_disk *disk, char path[SIM_PATH_MAX],
                      uint64_t *size)
{
    const unsigned count = sim_disk_files(disk);
    const unsigned first = count > 0 ? (unsigned)random_below(&world->random, count) : 0;

    for (unsigned i = 0; i < count; i++) {
        struct store_file file;
        const char *name;

        if (sim_check_file(disk, (first + i) % count, &name, &file, size) && !file.is_new &&
            *size > 0) {
            snprintf(path, SIM_PATH_MAX, "%s", name);
            return true;
        }
    }
    return false;
}

static void damage_flip(struct sim_world *world, struct sim_disk *disk)
{
    struct sim_place place;
    char damage[256];
    const enum sim_place_class kind =
        (enum sim_place_class)random_below(&world->random, SIM_PLACE_COUNT);

    if (sim_disk_pick(disk, kind, NULL, &place) != 0)
        return;
    sim_disk_flip(disk, place.path, place.offset, place.bit);
    snprintf(damage, sizeof(damage), "bit %u of byte %" PRIu64 " of %s (%s) flipped", place.bit,
             place.offset, place.path, sim_place_class_name(place.kind));
    sim_check_honest(world, disk, true, damage);
}

static void damage_cut(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], damage[256];
    uint64_t size, to;

    if (!some_file(world, disk, path, &size))
        return;
    to = random_below(&world->random, size) & ~(uint64_t)(SIM_SECTOR - 1);
    sim_disk_truncate(disk, path, to);
    snprintf(damage, sizeof(damage), "%s cut from %" PRIu64 " to %" PRIu64 " bytes", path, size,
             to);
    sim_check_honest(world, disk, false, damage);
}

static void damage_lost(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], damage[256];
    uint64_t size;

    struct sim_picture picture;

    if (random_below(&world->random, 8) == 0) {
        /* Without it the files are there and nobody knows what they mean: that is no new store. */
        sim_disk_lose(disk, SIM_DIRECTORY "/manifest");
        if (sim_disk_files(disk) > 1 && sim_check_look(world, disk, &picture) == 0)
            sim_fail(&world->model, "corruption",
                     "the manifest was lost, and a new store was opened");
        return;
    }
    if (!some_file(world, disk, path, &size))
        return;
    sim_disk_lose(disk, path);
    snprintf(damage, sizeof(damage), "%s lost", path);
    sim_check_honest(world, disk, false, damage);
}

/* The name of a file of the same kind and shard as another, with another number. */
static bool other_number(struct sim_world *world, const char *path, char other[SIM_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    char name[STORE_NAME_MAX];
    struct store_file file;

    if (slash == NULL || !pawl__store_file_parse(slash + 1, &file))
        return false;
    file.file += 1 + random_below(&world->random, 4);
    pawl__store_file_name(&file, name);
    return snprintf(other, SIM_PATH_MAX, "%.*s/%s", (int)(slash - path), path, name) <
           (int)SIM_PATH_MAX;
}

static void damage_twin(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], other[SIM_PATH_MAX], damage[512];
    uint8_t byte;
    uint64_t size;
    bool replaces;

    if (!some_file(world, disk, path, &size) || !other_number(world, path, other))
        return;
    replaces = sim_disk_peek(disk, other, &byte, 1, 0) != -ENOENT;
    sim_disk_duplicate(disk, path, other);
    snprintf(damage, sizeof(damage), "%s there again as %s", path, other);
    sim_check_honest(world, disk, !replaces, damage);
}

static void damage_swapped(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], other[SIM_PATH_MAX], damage[512];
    uint64_t size;

    if (!some_file(world, disk, path, &size) || !some_file(world, disk, other, &size) ||
        strcmp(path, other) == 0)
        return;
    sim_disk_move(disk, path, other);
    snprintf(damage, sizeof(damage), "%s in the place of %s", path, other);
    sim_check_honest(world, disk, false, damage);
}

static void damage_foreign(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], other[SIM_PATH_MAX], damage[512];
    uint8_t bytes[3 * SIM_BLOCK];
    uint64_t size;
    bool replaces;

    if (!some_file(world, disk, path, &size))
        return;
    replaces = random_below(&world->random, 2) == 0 || !other_number(world, path, other);
    sim_letter_bytes((uint32_t)random_next(&world->random), bytes, sizeof(bytes));
    sim_disk_put(disk, replaces ? path : other, bytes, sizeof(bytes));
    snprintf(damage, sizeof(damage), "a foreign file as %s", replaces ? path : other);
    sim_check_honest(world, disk, !replaces, damage);
}

/*
 * Whether a block over another one may look as if a write of that had been torn: where something
 * was there is nothing now, in a sector or in all of them. Then it cannot be told from a last group
 * that was never whole.
 */
static bool looks_torn(const uint8_t was[SIM_BLOCK], const uint8_t is[SIM_BLOCK])
{
    for (unsigned at = 0; at < SIM_BLOCK; at += SIM_SECTOR)
        if (sim_check_is_zero(is + at, SIM_SECTOR) && !sim_check_is_zero(was + at, SIM_SECTOR))
            return true;
    return false;
}

static void damage_moved(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], other[SIM_PATH_MAX], damage[512];
    uint8_t bytes[SIM_BLOCK], was[SIM_BLOCK];
    uint64_t size, other_size, from, to;

    if (!some_file(world, disk, path, &size) || !some_file(world, disk, other, &other_size) ||
        size < SIM_BLOCK || other_size < SIM_BLOCK)
        return;
    from = random_below(&world->random, size / SIM_BLOCK) * SIM_BLOCK;
    to = random_below(&world->random, other_size / SIM_BLOCK) * SIM_BLOCK;
    sim_disk_peek(disk, path, bytes, SIM_BLOCK, from);
    sim_disk_peek(disk, other, was, SIM_BLOCK, to);
    sim_disk_copy_block(disk, path, from, other, to);
    snprintf(damage, sizeof(damage), "%s's block at %" PRIu64 " over that at %" PRIu64 " of %s",
             path, from, to, other);
    sim_check_honest(world, disk, !looks_torn(was, bytes), damage);
}

static void damage_phantom(struct sim_world *world, struct sim_disk *disk)
{
    char path[SIM_PATH_MAX], damage[256];
    uint64_t size, at;

    if (!some_file(world, disk, path, &size) || size < SIM_BLOCK)
        return;
    at = random_below(&world->random, size / SIM_BLOCK) * SIM_BLOCK;
    sim_disk_erase(disk, path, at, SIM_BLOCK);
    snprintf(damage, sizeof(damage), "%s's block at %" PRIu64 " never written", path, at);
    sim_check_honest(world, disk, false, damage);
}

/* Blocks that are unused now show what an earlier image has there, in this or in another file. */
static void damage_stale(struct sim_world *world, struct sim_disk *disk,
                         const struct sim_disk *past)
{
    char path[SIM_PATH_MAX], other[SIM_PATH_MAX], damage[512];
    uint8_t now[SIM_BLOCK], then[SIM_BLOCK];
    uint64_t size, other_size;
    unsigned changed = 0;

    if (past == NULL || !some_file(world, disk, path, &size) ||
        !some_file(world, past, other, &other_size))
        return;
    for (uint64_t at = SIM_BLOCK; at + SIM_BLOCK <= size && at + SIM_BLOCK <= other_size;
         at += SIM_BLOCK) {
        if (sim_disk_peek(disk, path, now, SIM_BLOCK, at) != 0 ||
            sim_disk_peek(past, other, then, SIM_BLOCK, at) != 0)
            break;
        if (sim_check_is_zero(now, SIM_BLOCK) && !sim_check_is_zero(then, SIM_BLOCK) &&
            random_below(&world->random, 2) == 0) {
            sim_disk_poke(disk, path, then, SIM_BLOCK, at);
            changed++;
        }
    }
    snprintf(damage, sizeof(damage), "%u unused blocks of %s show what %s was", changed, path,
             other);
    if (changed > 0)
        sim_check_honest(world, disk, true, damage);
}

void sim_damage(struct sim_world *world, enum sim_check check, struct sim_disk *disk,
                const struct sim_disk *past)
{
    if (check == SIM_CHECK_FLIP)
        damage_flip(world, disk);
    else if (check == SIM_CHECK_CUT)
        damage_cut(world, disk);
    else if (check == SIM_CHECK_LOST)
        damage_lost(world, disk);
    else if (check == SIM_CHECK_TWIN)
        damage_twin(world, disk);
    else if (check == SIM_CHECK_SWAPPED)
        damage_swapped(world, disk);
    else if (check == SIM_CHECK_FOREIGN)
        damage_foreign(world, disk);
    else if (check == SIM_CHECK_MOVED)
        damage_moved(world, disk);
    else if (check == SIM_CHECK_PHANTOM)
        damage_phantom(world, disk);
    else if (check == SIM_CHECK_STALE)
        damage_stale(world, disk, past);
}
