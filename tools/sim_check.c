#include "sim_check_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *sim_check_name(enum sim_check check)
{
    static const char *const names[SIM_CHECKS] = {
        "again", "half", "error",   "misread", "lock",  "older",   "flip",  "cut",
        "lost",  "twin", "swapped", "foreign", "moved", "phantom", "stale", "forked"};

    return check < SIM_CHECKS ? names[check] : "?";
}

/* ---- looking at a copy ---- */

struct sim_disk *sim_check_copy(struct sim_world *world)
{
    struct sim_disk *copy;

    if (sim_disk_copy(world->disk, random_next(&world->random), &copy) != 0)
        abort();
    return copy;
}

int sim_check_look(struct sim_world *world, struct sim_disk *disk, struct sim_picture *picture)
{
    struct sim_glance glance;
    const int error = sim_glance_open(world, disk, &glance);

    if (error == 0)
        sim_picture_take(glance.runtime, picture);
    sim_disk_die(disk);
    if (error == 0)
        sim_glance_close(&glance);
    return error;
}

void sim_check_crash(struct sim_world *world, struct sim_disk *disk)
{
    sim_disk_crash(disk, random_below(&world->random, 2) == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
    sim_disk_reopen(disk);
}

bool sim_check_same(const struct sim_picture *a, const struct sim_picture *b)
{
    for (unsigned i = 0; i < a->shards; i++)
        if (a->hash[i] != b->hash[i])
            return false;
    return a->shards == b->shards && a->tasks == b->tasks;
}

bool sim_check_expect(struct sim_world *world, struct sim_disk *disk,
                      const struct sim_picture *expected, const char *after)
{
    struct sim_picture picture;
    const int error = sim_check_look(world, disk, &picture);

    if (error != 0)
        sim_fail(&world->model, "recovery", "%s, a store that was whole does not open: %s (%s)",
                 after, pawl_strerror(error), world->diagnosis);
    else if (!sim_check_same(&picture, expected))
        sim_fail(&world->model, "recovery",
                 "%s, recovery leads to another state: %" PRIu32 " tasks and not %" PRIu32, after,
                 picture.tasks, expected->tasks);
    return !world->model.failed;
}

void sim_check_honest(struct sim_world *world, struct sim_disk *disk, bool held, const char *damage)
{
    struct sim_picture picture;
    char why[512];
    const int error = sim_check_look(world, disk, &picture);

    if (error != 0) {
        if (error != -EBADMSG && error != -ENOENT && error != -EINVAL)
            sim_fail(&world->model, "corruption", "%s: the opening was refused with: %s (%s)",
                     damage, pawl_strerror(error), world->diagnosis);
        return;
    }
    if (!sim_picture_legal(&world->model, &picture, held ? SIM_HELD : SIM_ANY, NULL, why,
                           sizeof(why)))
        sim_fail(&world->model, "corruption", "%s was served: %s", damage, why);
}

bool sim_check_file(const struct sim_disk *disk, unsigned i, const char **path,
                    struct store_file *file, uint64_t *size)
{
    const char *name;

    *path = sim_disk_file(disk, i, size);
    name = strrchr(*path, '/');
    return pawl__store_file_parse(name != NULL ? name + 1 : *path, file);
}

bool sim_check_is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* ---- recovery itself ---- */

static void check_again(struct sim_world *world, struct sim_disk *disk,
                        const struct sim_picture *expected)
{
    if (!sim_check_expect(world, disk, expected, "a second time"))
        return;
    sim_check_crash(world, disk);
    sim_check_expect(world, disk, expected, "after a recovery that was lost");
}

static void check_half(struct sim_world *world, struct sim_disk *disk, uint64_t operations,
                       const struct sim_picture *expected)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_DIE,
                                    .ops = SIM_OPS_ALL,
                                    .nth = 1 + random_below(&world->random, operations)};
    struct sim_picture picture;

    sim_disk_fault_add(disk, &fault);
    sim_check_look(world, disk, &picture);
    sim_disk_faults_clear(disk);
    sim_check_crash(world, disk);
    sim_check_expect(world, disk, expected, "after a recovery that was killed half way");
}

static void check_error(struct sim_world *world, struct sim_disk *disk, uint64_t operations,
                        const struct sim_picture *expected)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS_ALL,
                                    .nth = 1 + random_below(&world->random, operations),
                                    .forever = random_below(&world->random, 2) == 0,
                                    .error = -EIO};
    struct sim_picture picture;
    int error;

    sim_disk_fault_add(disk, &fault);
    error = sim_check_look(world, disk, &picture);
    sim_disk_faults_clear(disk);
    if (error == 0 && !sim_check_same(&picture, expected)) {
        sim_fail(&world->model, "recovery", "an error of the storage led to another state");
        return;
    }
    if (error == -EBADMSG)
        sim_fail(&world->model, "recovery", "an error of the storage was taken for corruption: %s",
                 world->diagnosis);
    sim_check_crash(world, disk);
    sim_check_expect(world, disk, expected, "after an error of the storage");
}

static void check_misread(struct sim_world *world, struct sim_disk *disk,
                          const struct sim_picture *expected)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_FLIP,
                                    .ops = SIM_OPS(SIM_READ),
                                    .nth = 1 + random_below(&world->random, 12)};
    struct sim_picture picture;
    int error;

    sim_disk_fault_add(disk, &fault);
    error = sim_check_look(world, disk, &picture);
    sim_disk_faults_clear(disk);
    if (error == 0 && !sim_check_same(&picture, expected))
        sim_fail(&world->model, "corruption", "a wrong bit of one read was served");
    sim_check_crash(world, disk);
    if (!world->model.failed)
        sim_check_expect(world, disk, expected, "after a wrong bit of one read");
}

static void check_lock(struct sim_world *world, struct sim_disk *disk,
                       const struct sim_picture *expected)
{
    struct sim_picture picture;
    struct sim_glance first, second;
    int error;

    sim_disk_second_opener(disk, SIM_DIRECTORY, true);
    error = sim_check_look(world, disk, &picture);
    if (error != -EBUSY) {
        sim_fail(&world->model, "lock", "a store that somebody has open was opened: %s",
                 pawl_strerror(error));
        return;
    }
    sim_check_crash(world, disk);
    sim_disk_second_opener(disk, SIM_DIRECTORY, false);
    if (sim_glance_open(world, disk, &first) != 0) {
        sim_fail(&world->model, "lock", "a store that nobody has open does not open: %s",
                 world->diagnosis);
        return;
    }
    error = sim_glance_open(world, disk, &second);
    if (error != -EBUSY)
        sim_fail(&world->model, "lock", "a store that this process has open was opened again: %s",
                 pawl_strerror(error));
    sim_disk_die(disk);
    if (error == 0)
        sim_glance_close(&second);
    sim_glance_close(&first);
    sim_check_crash(world, disk);
    if (!world->model.failed)
        sim_check_expect(world, disk, expected, "after a second opener");
}

/* Two generations are kept: the newer one of each shard may be lost. */
static void check_older(struct sim_world *world, struct sim_disk *disk,
                        const struct sim_picture *expected)
{
    char newest[SIM_SHARDS_MAX][SIM_PATH_MAX] = {{0}};
    uint64_t number[SIM_SHARDS_MAX] = {0};

    for (unsigned i = 0; i < sim_disk_files(disk); i++) {
        struct store_file file;
        const char *path;
        uint64_t size;

        if (sim_check_file(disk, i, &path, &file, &size) && file.kind == FILE_SNAPSHOT &&
            !file.is_new && file.shard < SIM_SHARDS_MAX && file.file >= number[file.shard]) {
            number[file.shard] = file.file;
            snprintf(newest[file.shard], SIM_PATH_MAX, "%s", path);
        }
    }
    for (unsigned i = 0; i < world->options.shards; i++)
        if (newest[i][0] != '\0' && random_below(&world->random, 2) == 0)
            sim_disk_lose(disk, newest[i]);
    sim_check_expect(world, disk, expected, "without the newest snapshot");
}

static void run(struct sim_world *world, enum sim_check check, struct sim_disk *disk,
                uint64_t operations, const struct sim_picture *expected,
                const struct sim_disk *past)
{
    switch (check) {
    case SIM_CHECK_AGAIN:
        check_again(world, disk, expected);
        break;
    case SIM_CHECK_HALF:
        check_half(world, disk, operations, expected);
        break;
    case SIM_CHECK_ERROR:
        check_error(world, disk, operations, expected);
        break;
    case SIM_CHECK_MISREAD:
        check_misread(world, disk, expected);
        break;
    case SIM_CHECK_LOCK:
        check_lock(world, disk, expected);
        break;
    case SIM_CHECK_OLDER:
        check_older(world, disk, expected);
        break;
    case SIM_CHECK_FLIP:
    case SIM_CHECK_CUT:
    case SIM_CHECK_LOST:
    case SIM_CHECK_TWIN:
    case SIM_CHECK_SWAPPED:
    case SIM_CHECK_FOREIGN:
    case SIM_CHECK_MOVED:
    case SIM_CHECK_PHANTOM:
    case SIM_CHECK_STALE:
        sim_damage(world, check, disk, past);
        break;
    case SIM_CHECK_FORKED:
        sim_check_forked(world, disk, expected);
        break;
    case SIM_CHECKS:
        break;
    }
}

void sim_check(struct sim_world *world, enum sim_check check, const struct sim_disk *past)
{
    struct sim_disk *first = sim_check_copy(world);
    struct sim_disk *disk = sim_check_copy(world);
    struct sim_picture expected;
    uint64_t operations;
    char why[512];
    int error;

    sim_disk_reopen(first);
    sim_disk_reopen(disk);
    error = sim_check_look(world, first, &expected);
    operations = sim_disk_counters(first)->operations;
    if (error != 0)
        sim_fail(&world->model, "recovery", "after the crash the store does not open: %s (%s)",
                 pawl_strerror(error), world->diagnosis);
    else if (!sim_picture_legal(&world->model, &expected, SIM_EXACT, NULL, why, sizeof(why)))
        sim_fail(&world->model, "prefix", "%s", why);
    else
        run(world, check, disk, operations, &expected, past);
    sim_disk_die(disk);
    sim_disk_die(first);
    sim_disk_destroy(disk);
    sim_disk_destroy(first);
}
