/*
 * salvage.c - `pawl salvage`: copies what can be read of a damaged store into a new one that opens,
 * and says exactly what is lost. The damaged store is only read.
 *
 * For each shard it takes the newest whole snapshot and the journal behind it up to the first
 * damage. If the journal breaks off before the time at which that snapshot was finished, its images
 * are of different times; the snapshot before it and the same journal give a state that once was,
 * and are taken if they are there.
 *
 * Ids of tasks that are lost must not be given out again, so a shard that has lost anything begins
 * above the highest generation that is seen in any of its files.
 */
#include <inttypes.h>
#include <pawl/error.h>
#include <stdlib.h>
#include <string.h>

#include "store_image.h"
#include "task/slot.h"
#include "tool.h"

static const char usage[] =
    "usage: pawl salvage DIR OUT\n"
    "\n"
    "Copies what can be read of a damaged store into OUT, which must not exist or be empty, and\n"
    "says what is lost. DIR is only read. OUT is a store that opens, with an id of its own.\n"
    "\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version\n"
    "\n"
    "Exit status: 0 if nothing was lost; 1 if something was, or if there is no copy: the last "
    "line\n"
    "says which; 2 on wrong usage.\n";

#define FLOOR_MARGIN  1024u                /* lives that may have begun in what cannot be read */
#define FLOOR_UNKNOWN (GENERATION_MAX / 2) /* where nothing can be read */

struct salvage {
    char *command;
    struct store_image image;
    bool lost;
};

/* ---- what is seen beyond the damage ---------------------------------------------------------- */

struct seen {
    uint64_t last_lsn; /* of the journal */
    uint32_t generation;
};

static void see_entries(struct seen *seen, const struct reader_frame *frame)
{
    const struct entry_header *entry = NULL;

    while (frame->header.type == FRAME_STEPS &&
           (entry = entry_next(frame->payload, frame->header.size, entry)) != NULL) {
        const void *const any = entry;
        uint32_t generation = 0;

        if (entry->type == ENTRY_STEP)
            generation = ((const struct entry_step *)any)->generation;
        else if (entry->type == ENTRY_FLOOR)
            generation = ((const struct entry_floor *)any)->generation;
        if (generation > seen->generation)
            seen->generation = generation;
    }
}

/* Every frame that any file of the shard lets itself be read up to. */
static struct seen see_all(const struct store_image *image, uint32_t shard)
{
    struct seen seen = {0, 0};

    for (size_t i = 0; i < image->files_count; i++) {
        const struct store_file *const file = &image->files[i];
        struct reader reader;
        struct reader_frame frame;

        if (file->set != image->manifest->set || file->shard != shard || file->is_new ||
            pawl__reader_open(&reader, image->storage, image->directory, file,
                              image->manifest->store) != 0)
            continue;
        while (pawl__reader_next(&reader, &frame) == READER_FRAME) {
            see_entries(&seen, &frame);
            if (file->kind == FILE_JOURNAL && frame.header.lsn > seen.last_lsn)
                seen.last_lsn = frame.header.lsn;
        }
        pawl__reader_close(&reader);
    }
    return seen;
}

/* ---- a shard --------------------------------------------------------------------------------- */

static bool is_good(const struct store_reading *reading)
{
    return reading->end != READER_CORRUPT && reading->end != READER_FAILED;
}

/*
 * Whether the state once was: the journal reaches beyond the time at which the images were taken.
 */
static bool is_of_one_time(const struct store_reading *reading)
{
    return is_good(reading) || !reading->snapshot || reading->journal_ns >= reading->snapshot_ns;
}

static void empty(struct salvage *salvage, uint32_t shard)
{
    struct store_image *const image = &salvage->image;

    image_shard_fini(&image->shards[shard]);
    if (image_shard_init(&image->shards[shard], shard, image->manifest->shards) != 0) {
        tool_fail(salvage->command, "there is no memory");
        exit(TOOL_FAILED);
    }
}

static bool load_again(struct salvage *salvage, uint32_t shard, unsigned skip,
                       struct store_reading *reading)
{
    empty(salvage, shard);
    return store_load_shard(&salvage->image, shard, skip, reading);
}

static void print_source(uint32_t shard, const struct store_reading *reading, uint64_t lsn)
{
    char name[STORE_NAME_MAX] = "the beginning";

    if (reading->snapshot)
        pawl__store_file_name(reading->snapshot, name);
    printf("shard %u: from %s and the journal up to LSN %" PRIu64 "\n", shard, name, lsn);
}

static void raise_floor(struct salvage *salvage, uint32_t number, uint32_t generation)
{
    /* All slots (store/entry.h). */
    const struct image_floor floor = {
        0, UINT32_MAX,
        generation < GENERATION_MAX - FLOOR_MARGIN ? generation + FLOOR_MARGIN : GENERATION_MAX};

    if (!image_shard_add_floor(&salvage->image.shards[number], &floor)) {
        tool_fail(salvage->command, "there is no memory");
        exit(TOOL_FAILED);
    }
}

static void say_lost(struct salvage *salvage, uint32_t shard, const struct store_reading *reading,
                     const struct seen *seen)
{
    const uint64_t lsn = salvage->image.shards[shard].lsn;

    salvage->lost = true;
    if (seen->last_lsn > lsn)
        printf("shard %u: LOST: LSN %" PRIu64 " to %" PRIu64
               " and whatever came behind, because of "
               "%s\n",
               shard, lsn + 1, seen->last_lsn, reading->what);
    else
        printf("shard %u: LOST: LSN %" PRIu64 " and whatever came behind, because of %s\n", shard,
               lsn + 1, reading->what);
    if (!is_of_one_time(reading))
        printf(
            "shard %u: its tasks are of different times, because the journal breaks off while the "
            "snapshot was taken\n",
            shard);
}

static void salvage_shard(struct salvage *salvage, uint32_t number)
{
    struct store_reading reading, older;
    struct seen seen;
    bool found = store_load_shard(&salvage->image, number, 0, &reading);

    if (found && !is_of_one_time(&reading)) {
        if (load_again(salvage, number, 1, &older) && is_of_one_time(&older))
            reading = older;
        else
            found = load_again(salvage, number, 0, &reading);
    }
    if (found && is_good(&reading)) {
        print_source(number, &reading, salvage->image.shards[number].lsn);
        return;
    }
    seen = see_all(&salvage->image, number);
    if (!found) {
        empty(salvage, number);
        printf("shard %u: LOST: all of it: %s\n", number, reading.what);
        salvage->lost = true;
    } else {
        print_source(number, &reading, salvage->image.shards[number].lsn);
        say_lost(salvage, number, &reading, &seen);
    }
    raise_floor(salvage, number, seen.generation > 0 ? seen.generation : FLOOR_UNKNOWN);
}

/* ---- between shards -------------------------------------------------------------------------- */

/*
 * An event that its receiver had handled, in what is lost, and its sender has forgotten is gone;
 * the numbers must not wait for it.
 */
static void salvage_link(struct salvage *salvage, uint32_t from, uint32_t to, unsigned control)
{
    const uint64_t confirmed = salvage->image.shards[from].links[to].confirmed[control];
    uint64_t *const taken = &salvage->image.shards[to].links[from].taken[control];

    if (confirmed <= *taken)
        return;
    printf("shard %u: LOST: %s events %" PRIu64 " to %" PRIu64
           " of shard %u, which it had handled\n",
           to, control ? "control" : "ordinary", *taken + 1, confirmed, from);
    salvage->lost = true;
    *taken = confirmed;
}

/* Tasks of which too little is left to live on. */
static void drop_fragments(struct salvage *salvage)
{
    const struct manifest *const manifest = salvage->image.manifest;

    for (uint32_t s = 0; s < manifest->shards; s++) {
        struct image_shard *const shard = &salvage->image.shards[s];

        for (size_t i = 0; i < shard->tasks_count; i++) {
            struct image_task *const task = &shard->tasks[i];
            const uint32_t words = (manifest->machines[task->machine].context_size + 7) / 8;

            if (!image_task_lives(task) ||
                ((task->flags & IMAGE_BORN) != 0 &&
                 (task->context_words == words || (task->flags & IMAGE_RESERVED) != 0)))
                continue;
            printf("shard %u: LOST: task %016" PRIx64 ", whose beginning cannot be read\n", s,
                   image_task_id(shard, task));
            salvage->lost = true;
            task->flags = 0;
        }
        if (!image_shard_fold(shard)) {
            tool_fail(salvage->command, "there is no memory");
            exit(TOOL_FAILED);
        }
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

static int write_out(struct salvage *salvage, const char *out)
{
    struct manifest *const manifest = salvage->image.manifest;
    int error;

    manifest->set = manifest->set % UINT16_MAX + 1;
    manifest->closed = true;
    error =
        pawl_random_system.fill(pawl_random_system.user, &manifest->store, sizeof(manifest->store));
    if (error)
        return tool_fail(salvage->command, "no random id for the new store: %s", strerror(-error));
    if (store_write(&salvage->image, &pawl_storage_posix, out) != 0) {
        printf("%s: no copy was made\n", out);
        return TOOL_FAILED;
    }
    printf("%s: %s\n", out,
           salvage->lost ? "a store with what could be read; what is lost is said above"
                         : "a whole copy, nothing was lost");
    return salvage->lost ? TOOL_FAILED : TOOL_OK;
}

static int run(char *command, const char *directory, const char *out)
{
    struct salvage salvage = {.command = command, .image = {.say = say, .user = command}};
    int code;

    if (store_open(&salvage.image, &pawl_storage_posix, directory) != 0)
        return tool_fail(command, "without its manifest nothing of a store can be read. Put the "
                                  "manifest back from a copy: it changes only when the store is "
                                  "opened, and an older one of the same set will do");
    for (uint32_t i = 0; i < salvage.image.manifest->shards; i++)
        salvage_shard(&salvage, i);
    for (uint32_t from = 0; from < salvage.image.manifest->shards; from++)
        for (uint32_t to = 0; to < salvage.image.manifest->shards; to++) {
            salvage_link(&salvage, from, to, 0);
            salvage_link(&salvage, from, to, 1);
        }
    drop_fragments(&salvage);
    code = write_out(&salvage, out);
    store_close(&salvage.image);
    return code;
}

int cmd_salvage(int argc, char **argv)
{
    const int code = tool_parse_plain(
        argc, argv, usage, NULL, 2, "name two directories, the damaged store's and the new one's");

    if (code >= 0)
        return code;
    return run(argv[0], argv[argc - 2], argv[argc - 1]);
}
