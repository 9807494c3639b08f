/* test_files.c - names of a store's files, and the list of what lies in a directory. */
#include "store/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "support/store_build.h"
#include "support/test.h"

static void check_round_trip(const struct store_file *file, const char *expected)
{
    struct store_file parsed;
    char name[STORE_NAME_MAX];

    pawl__store_file_name(file, name);
    cr_assert_str_eq(name, expected);
    memset(&parsed, 0xff, sizeof(parsed));
    cr_assert(pawl__store_file_parse(name, &parsed));
    cr_assert_eq(parsed.set, file->set);
    cr_assert_eq(parsed.shard, file->shard);
    cr_assert_eq(parsed.file, file->file);
    cr_assert_eq(parsed.kind, file->kind);
    cr_assert_eq(parsed.is_new, file->is_new);
}

Test(files, names_are_read_back_as_they_were_written)
{
    check_round_trip(&(struct store_file){1, 0, 1, FILE_JOURNAL, false},
                     "0001-0000-000000000001.journal");
    check_round_trip(
        &(struct store_file){0xffff, 0x3ff, UINT64_C(0xffffffffffff), FILE_SNAPSHOT, true},
        "ffff-03ff-ffffffffffff.snapshot.new");
    check_round_trip(&(struct store_file){0, 10, 0xabc, FILE_JOURNAL, true},
                     "0000-000a-000000000abc.journal.new");
}

Test(files, other_names_are_not_ours)
{
    static const char *const names[] = {
        "",
        "lock",
        "manifest",
        "manifest.new",
        "0001-0000-000000000001",
        "0001-0000-000000000001.",
        "0001-0000-000000000001.journals",
        "0001-0000-000000000001.journal.old",
        "0001-0000-000000000001.journal.new.new",
        "0001-0000-000000000001.journal ",
        " 0001-0000-000000000001.journal",
        "0001-0000-00000000001.journal",
        "0001-0000-0000000000001.journal",
        "001-0000-000000000001.journal",
        "0001-0400-000000000001.journal", /* a shard that cannot be */
        "0001-0000-00000000000A.journal", /* two names for one file */
        "0001-0000-00000000000g.journal",
        "0001_0000-000000000001.journal",
        "0001-0000-+00000000001.journal",
    };
    struct store_file file;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        cr_assert(!pawl__store_file_parse(names[i], &file), "\"%s\"", names[i]);
}

Test(files, a_path_that_is_too_long_is_refused)
{
    static char directory[STORE_PATH_MAX];
    char path[STORE_PATH_MAX];

    cr_assert_eq(pawl__store_path("a/b", "c", path), 0);
    cr_assert_str_eq(path, "a/b/c");
    memset(directory, 'x', STORE_PATH_MAX - 3);
    cr_assert_eq(pawl__store_path(directory, "c", path), 0);
    cr_assert_eq(pawl__store_path(directory, "cc", path), -EINVAL);
}

Test(files, the_list_is_in_order_and_has_nothing_else)
{
    static const char *const names[] = {
        "d/0001-0001-000000000002.journal",
        "d/0001-0000-000000000001.snapshot",
        "d/0001-0000-000000000010.journal",
        "d/0001-0000-000000000009.journal.new",
        "d/0001-0000-000000000009.journal",
        "d/manifest",
        "d/lock",
        "d/0000-0005-000000000001.journal",
        "d/inner/0001-0000-000000000003.journal",
        "e/0001-0000-000000000004.journal",
    };
    static const char *const expected[] = {
        "0000-0005-000000000001.journal",     "0001-0000-000000000009.journal",
        "0001-0000-000000000009.journal.new", "0001-0000-000000000010.journal",
        "0001-0000-000000000001.snapshot",    "0001-0001-000000000002.journal",
    };
    static struct memory_disk disk;
    struct store_file *files = NULL;
    size_t count = 99;
    char name[STORE_NAME_MAX];

    memory_disk_init(&disk);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        memory_disk_create(&disk, names[i]);
    cr_assert_eq(pawl__store_list(&disk.storage, "d", &files, &count), 0);
    cr_assert_eq(count, ARRAY_LEN(expected));
    for (size_t i = 0; i < count; i++) {
        pawl__store_file_name(&files[i], name);
        cr_assert_str_eq(name, expected[i]);
    }
    free(files);
    cr_assert_eq(pawl__store_list(&disk.storage, "empty", &files, &count), 0);
    cr_assert_eq(count, 0u);
    free(files);
    memory_disk_fini(&disk);
}

static int list_many(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument)
{
    char name[STORE_NAME_MAX];

    (void)user, (void)directory;
    for (uint64_t i = 300; i > 0; i--) {
        pawl__store_file_name(&(struct store_file){1, 0, i, FILE_JOURNAL, false}, name);
        if (fn(argument, name) != 0)
            break;
    }
    return 0;
}

static int list_nothing(void *user, const char *directory, pawl_storage_name_fn *fn, void *argument)
{
    (void)user, (void)directory;
    (void)fn(argument, "0001-0000-000000000001.journal");
    return -EIO;
}

Test(files, a_long_list_is_whole_and_an_error_is_passed_on)
{
    const struct pawl_storage many = {.list = list_many};
    const struct pawl_storage bad = {.list = list_nothing};
    struct store_file *files = NULL;
    size_t count = 0;

    cr_assert_eq(pawl__store_list(&many, "d", &files, &count), 0);
    cr_assert_eq(count, 300u);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(files[i].file, i + 1);
    free(files);
    cr_assert_eq(pawl__store_list(&bad, "d", &files, &count), -EIO);
}

static void check_set(struct memory_disk *disk, uint32_t set, size_t expected, uint32_t later)
{
    struct store_file *files = NULL;
    uint32_t found = 99;
    size_t count = 99;

    cr_assert_eq(pawl__store_list_set(&disk->storage, "d", set, &files, &count, &found), 0);
    cr_assert_eq(count, expected);
    for (size_t i = 0; i < count; i++)
        cr_assert(files[i].set == set && !files[i].is_new);
    cr_assert_eq(found, later);
    free(files);
}

Test(files, only_a_journal_tells_of_a_later_set)
{
    static struct memory_disk disk;
    struct store_file *files = NULL;
    uint32_t later;
    size_t count;

    memory_disk_init(&disk);
    memory_disk_create(&disk, "d/0002-0000-000000000001.journal");
    memory_disk_create(&disk, "d/0002-0000-000000000002.journal.new");
    memory_disk_create(&disk, "d/0002-0001-000000000001.snapshot");
    memory_disk_create(&disk, "d/0003-0000-000000000001.snapshot");
    memory_disk_create(&disk, "d/0003-0000-000000000001.journal.new");
    check_set(&disk, 2, 2, 0); /* a rewrite that did not come to its end */
    check_set(&disk, 1, 0, 2);
    memory_disk_create(&disk, "d/0004-0002-000000000001.journal");
    check_set(&disk, 2, 2, 4);
    check_set(&disk, 4, 1, 0);
    memory_disk_fini(&disk);
    disk.storage.list = list_nothing;
    cr_assert_eq(pawl__store_list_set(&disk.storage, "d", 1, &files, &count, &later), -EIO);
}
