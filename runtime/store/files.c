/*
 * files.c - a name is read back strictly: what this library would not have written is not its file.
 */
#include "store/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SET_DIGITS   4u
#define SHARD_DIGITS 4u
#define FILE_DIGITS  12u

static const char journal_ending[] = ".journal";
static const char snapshot_ending[] = ".snapshot";
static const char new_ending[] = ".new";

void pawl__store_file_name(const struct store_file *file, char name[STORE_NAME_MAX])
{
    int length;

    CHECK(file->set <= UINT16_MAX && file->shard < SHARDS_MAX && file->file >> 48 == 0);
    length = snprintf(name, STORE_NAME_MAX, "%04x-%04x-%012llx%s%s", file->set, file->shard,
                      (unsigned long long)file->file,
                      file->kind == FILE_SNAPSHOT ? snapshot_ending : journal_ending,
                      file->is_new ? new_ending : "");
    CHECK(length > 0 && (unsigned)length < STORE_NAME_MAX);
}

/* Takes exactly so many hexadecimal digits, and the character behind them. */
static bool take_number(const char **at, unsigned digits, char behind, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < digits; i++, (*at)++) {
        if (**at >= '0' && **at <= '9')
            *value = *value << 4 | (uint64_t)(**at - '0');
        else if (**at >= 'a' && **at <= 'f')
            *value = *value << 4 | (uint64_t)(**at - 'a' + 10);
        else
            return false;
    }
    return behind == '\0' || *(*at)++ == behind;
}

static bool take_ending(const char **at, const char *ending)
{
    const size_t length = strlen(ending);

    if (strncmp(*at, ending, length) != 0)
        return false;
    *at += length;
    return true;
}

bool pawl__store_file_parse(const char *name, struct store_file *file)
{
    uint64_t set, shard;

    if (!take_number(&name, SET_DIGITS, '-', &set) ||
        !take_number(&name, SHARD_DIGITS, '-', &shard) ||
        !take_number(&name, FILE_DIGITS, '\0', &file->file) || shard >= SHARDS_MAX)
        return false;
    file->set = (uint32_t)set;
    file->shard = (uint32_t)shard;
    if (take_ending(&name, journal_ending))
        file->kind = FILE_JOURNAL;
    else if (take_ending(&name, snapshot_ending))
        file->kind = FILE_SNAPSHOT;
    else
        return false;
    file->is_new = take_ending(&name, new_ending);
    return *name == '\0';
}

int pawl__store_path(const char *directory, const char *name, char path[STORE_PATH_MAX])
{
    const int length = snprintf(path, STORE_PATH_MAX, "%s/%s", directory, name);

    return length < 0 || (unsigned)length >= STORE_PATH_MAX ? -EINVAL : 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct list {
    struct store_file *files;
    size_t count;
    size_t capacity;
    bool no_memory;
};

static int add_name(void *argument, const char *name)
{
    struct list *const list = argument;
    struct store_file file;

    if (!pawl__store_file_parse(name, &file))
        return 0;
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        struct store_file *const files = realloc(list->files, capacity * sizeof(*files));

        if (files == NULL) {
            list->no_memory = true;
            return 1;
        }
        list->files = files;
        list->capacity = capacity;
    }
    list->files[list->count++] = file;
    return 0;
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *first, const void *second)
{
    const struct store_file *const a = first;
    const struct store_file *const b = second;
    int result = order(a->set, b->set);

    if (result == 0)
        result = order(a->shard, b->shard);
    if (result == 0)
        result = order(a->kind, b->kind);
    if (result == 0)
        result = order(a->file, b->file);
    return result != 0 ? result : order(a->is_new, b->is_new);
}

int pawl__store_list(const struct pawl_storage *storage, const char *directory,
                     struct store_file **files, size_t *count)
{
    struct list list = {NULL, 0, 0, false};
    int rc = storage->list(storage->user, directory, add_name, &list);

    if (list.no_memory)
        rc = -ENOMEM;
    if (rc < 0) {
        free(list.files);
        return rc;
    }
    if (list.count > 0)
        qsort(list.files, list.count, sizeof(*list.files), compare);
    *files = list.files;
    *count = list.count;
    return 0;
}

int pawl__store_list_set(const struct pawl_storage *storage, const char *directory, uint32_t set,
                         struct store_file **files, size_t *count, uint32_t *later)
{
    size_t all, kept = 0;
    const int rc = pawl__store_list(storage, directory, files, &all);

    *count = 0;
    *later = 0;
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < all; i++) {
        const struct store_file file = (*files)[i];

        if (file.is_new)
            continue;
        if (file.set == set)
            (*files)[kept++] = file;
        else if (file.set > set && file.kind == FILE_JOURNAL)
            *later = file.set;
    }
    *count = kept;
    return 0;
}
