/*
 * store_hold.c - names first, then a descriptor for each; then the names again.
 *
 * If all the names of the second list are held, nothing had come between the two that matters:
 * whatever the state stood on when the second list was begun is held. Otherwise it is done again.
 */
#include "store_hold.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "store/files.h"

enum { ATTEMPTS = 100 }; /* a few milliseconds each: somebody makes files faster than that */
enum { SPARE = 16 };     /* descriptors that are left for all that is not held */

struct held {
    char name[STORE_NAME_MAX]; /* first: they are sorted by it */
    void *file;
    int error;   /* of the opening */
    bool is_new; /* unfinished: it is listed, and nobody reads it */
};

struct store_hold {
    struct pawl_storage storage;
    const struct pawl_storage *under;
    struct held *files;
    size_t count, capacity;
};

/* ---- what is held ---------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b); /* a name is what a struct held begins with */
}

static const struct held *find(const struct store_hold *hold, const char *name)
{
    return hold->count == 0
               ? NULL
               : bsearch(name, hold->files, hold->count, sizeof(hold->files[0]), by_name);
}

static bool is_of_a_store(const char *name, bool *is_new)
{
    struct store_file file = {.is_new = false};
    const bool is = strcmp(name, "manifest") == 0 || pawl__store_file_parse(name, &file);

    *is_new = file.is_new;
    return is;
}

static int add_name(void *argument, const char *name)
{
    struct store_hold *const hold = argument;
    bool is_new;

    if (!is_of_a_store(name, &is_new))
        return 0;
    if (hold->count == hold->capacity) {
        const size_t capacity = 2 * hold->capacity + 32;
        struct held *const files = realloc(hold->files, capacity * sizeof(*files));

        if (!files)
            return -ENOMEM;
        hold->files = files;
        hold->capacity = capacity;
    }
    hold->files[hold->count] = (struct held){.error = is_new ? -ENOENT : 0, .is_new = is_new};
    strncpy(hold->files[hold->count++].name, name, STORE_NAME_MAX - 1);
    return 0;
}

/* Lists again: is a name there that is not held? */
static int look_for_name(void *argument, const char *name)
{
    bool is_new;

    return is_of_a_store(name, &is_new) && !is_new && !find(argument, name) ? -EAGAIN : 0;
}

static void let_go(struct store_hold *hold)
{
    for (size_t i = 0; i < hold->count; i++)
        if (hold->files[i].file)
            hold->under->close(hold->under->user, hold->files[i].file);
    hold->count = 0;
}

static bool is_out_of_descriptors(int error)
{
    return error == -EMFILE || error == -ENFILE;
}

/* Whether so many more files can be opened: tried with one that is there. */
static int look_for_spare(const struct pawl_storage *under, const char *path)
{
    void *files[SPARE];
    unsigned count = 0;
    int error = 0;

    while (count < SPARE && !error) {
        error = under->open(under->user, path, PAWL_STORAGE_READ, &files[count]);
        count += error == 0;
    }
    while (count > 0)
        under->close(under->user, files[--count]);
    return is_out_of_descriptors(error) ? error : 0;
}

/* 0, -EAGAIN: the directory has changed meanwhile; another error. */
static int hold_all(struct store_hold *hold, const char *directory)
{
    const struct pawl_storage *const under = hold->under;
    int error = under->list(under->user, directory, add_name, hold);

    if (hold->count > 0)
        qsort(hold->files, hold->count, sizeof(hold->files[0]), by_name);
    for (size_t i = 0; !error && i < hold->count; i++) {
        struct held *const held = &hold->files[i];
        char path[STORE_PATH_MAX];

        if (held->is_new)
            continue;
        held->error = pawl__store_path(directory, held->name, path);
        if (!held->error)
            held->error = under->open(under->user, path, PAWL_STORAGE_READ, &held->file);
        if (held->error == -ENOENT)
            error = -EAGAIN; /* removed since it was listed */
        else if (is_out_of_descriptors(held->error))
            error = held->error;
        else if (!held->error && strcmp(held->name, "manifest") == 0) /* the last of all */
            error = look_for_spare(under, path);
    }
    return error ? error : under->list(under->user, directory, look_for_name, hold);
}

/* ---- as a storage ---------------------------------------------------------------------------- */

static int hold_list(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument)
{
    const struct store_hold *const hold = user;
    int result = 0;

    (void)directory;
    for (size_t i = 0; result == 0 && i < hold->count; i++)
        result = fn(argument, hold->files[i].name);
    return result;
}

static int hold_open(void *user, const char *path, unsigned flags, void **file)
{
    const char *const slash = strrchr(path, '/');
    const struct held *const held = find(user, slash ? slash + 1 : path);

    if (flags != PAWL_STORAGE_READ)
        return -EROFS;
    if (!held)
        return -ENOENT;
    *file = held->file;
    return held->error;
}

static int64_t hold_size(void *user, void *file)
{
    const struct pawl_storage *const under = ((struct store_hold *)user)->under;

    return under->size(under->user, file);
}

static int64_t hold_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    const struct pawl_storage *const under = ((struct store_hold *)user)->under;

    return under->read(under->user, file, bytes, size, offset);
}

/* It may be opened again. */
static int hold_close(void *user, void *file)
{
    (void)user, (void)file;
    return 0;
}

/* ---- making and unmaking --------------------------------------------------------------------- */

int store_hold_open(struct store_hold **hold, const struct pawl_storage *storage,
                    const char *directory)
{
    struct store_hold *const opened = calloc(1, sizeof(*opened));
    int error = -EAGAIN;

    if (!opened)
        return -ENOMEM;
    opened->under = storage;
    for (unsigned i = 0; error == -EAGAIN && i < ATTEMPTS; i++) {
        let_go(opened);
        error = hold_all(opened, directory);
    }
    if (error != 0)
        let_go(opened);
    if (error != 0 && error != -EAGAIN && !is_out_of_descriptors(error)) {
        free(opened->files);
        free(opened);
        return error;
    }
    opened->storage = error != 0 ? *storage
                                 : (struct pawl_storage){.user = opened,
                                                         .list = hold_list,
                                                         .open = hold_open,
                                                         .size = hold_size,
                                                         .read = hold_read,
                                                         .close = hold_close};
    *hold = opened;
    return 0;
}

void store_hold_close(struct store_hold *hold)
{
    if (!hold)
        return;
    let_go(hold);
    free(hold->files);
    free(hold);
}

const struct pawl_storage *store_hold_storage(const struct store_hold *hold)
{
    return &hold->storage;
}
