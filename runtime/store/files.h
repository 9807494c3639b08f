/*
 * files.h - the names of a store's files, and what lies in a store's directory.
 *
 * Layer: store.
 */
#ifndef PAWL_STORE_FILES_H
#define PAWL_STORE_FILES_H

#include <pawl/seams.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"

#define STORE_PATH_MAX 4096u
#define STORE_NAME_MAX 64u

struct store_file {
    uint32_t set;
    uint32_t shard;
    uint64_t file;
    uint16_t kind; /* enum file_kind */
    bool is_new;   /* the name ends with .new */
};

/* "0001-0000-000000000001.journal", with ".new" behind it if is_new. */
void pawl__store_file_name(const struct store_file *file, char name[STORE_NAME_MAX]);

/* The opposite. False: not a name of that kind. */
bool pawl__store_file_parse(const char *name, struct store_file *file);

/* directory + '/' + name into path; -ENAMETOOLONG as -EINVAL. */
int pawl__store_path(const char *directory, const char *name, char path[STORE_PATH_MAX]);

/*
 * All files with such names, sorted by set, shard, kind (journals first), number, new ones last.
 * Other names are passed over. The caller frees *files. -ENOMEM or the storage's error.
 */
int pawl__store_list(const struct pawl_storage *storage, const char *directory,
                     struct store_file **files, size_t *count);

/*
 * Those of one set, none unfinished. *later: 0, or a set with a higher number that has a journal. A
 * set's journals are made after the manifest names it, and its number only grows: so a manifest
 * that names `set` is then an older copy.
 */
int pawl__store_list_set(const struct pawl_storage *storage, const char *directory, uint32_t set,
                         struct store_file **files, size_t *count, uint32_t *later);

#endif /* PAWL_STORE_FILES_H */
