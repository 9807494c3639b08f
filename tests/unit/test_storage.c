/* test_storage.c - the storage seam on POSIX files, in a folder of its own that goes again. */
#include <errno.h>
#include <pawl/seams.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "support/test.h"

#define LARGE ((size_t)5 << 20)

static const struct pawl_storage *const disk = &pawl_storage_posix;
static char folder[256];
static char path[512];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/pawl-storage.XXXXXX", base != NULL ? base : "/tmp");
    cr_assert(mkdtemp(folder) != NULL);
}

static void remove_folder(void)
{
    cr_assert_eq(rmdir(folder), 0, "%s: something is left", folder);
}

static void *open_file(const char *name, int create)
{
    void *file = NULL;

    cr_assert_eq(disk->open(disk->user, in_folder(name), create, &file), 0);
    cr_assert(file != NULL);
    return file;
}

static void write_text(void *file, const char *text, uint64_t offset)
{
    const size_t size = strlen(text);

    cr_assert_eq(disk->write(disk->user, file, text, size, offset), (int64_t)size);
}

static void close_file(void *file)
{
    cr_assert_eq(disk->close(disk->user, file), 0);
}

static void remove_file(const char *name)
{
    cr_assert_eq(disk->remove(disk->user, in_folder(name)), 0);
}

Test(storage, what_was_written_is_read_back_after_reopening)
{
    char bytes[16] = {0};
    void *file;

    make_folder();
    file = open_file("journal", 1);
    cr_assert_eq(disk->size(disk->user, file), 0);
    write_text(file, "hello", 0);
    write_text(file, "LP", 3);
    cr_assert_eq(disk->sync(disk->user, file), 0);
    cr_assert_eq(disk->size(disk->user, file), 5);
    close_file(file);
    cr_assert_eq(disk->sync_directory(disk->user, folder), 0);
    file = open_file("journal", 0);
    cr_assert_eq(disk->size(disk->user, file), 5);
    cr_assert_eq(disk->read(disk->user, file, bytes, 5, 0), 5);
    cr_assert_str_eq(bytes, "helLP");
    close_file(file);
    remove_file("journal");
    remove_folder();
}

Test(storage, opening_to_create_keeps_what_is_there)
{
    void *file;

    make_folder();
    file = open_file("kept", 1);
    write_text(file, "kept", 0);
    close_file(file);
    file = open_file("kept", 1);
    cr_assert_eq(disk->size(disk->user, file), 4);
    close_file(file);
    remove_file("kept");
    remove_folder();
}

Test(storage, a_read_across_the_end_is_short_and_behind_it_empty)
{
    char bytes[16];
    void *file;

    make_folder();
    file = open_file("short", 1);
    write_text(file, "abcdef", 0);
    memset(bytes, '#', sizeof(bytes));
    cr_assert_eq(disk->read(disk->user, file, bytes, sizeof(bytes), 4), 2);
    cr_assert(memcmp(bytes, "ef#", 3) == 0, "only what was there is written");
    cr_assert_eq(disk->read(disk->user, file, bytes, sizeof(bytes), 6), 0);
    cr_assert_eq(disk->read(disk->user, file, bytes, sizeof(bytes), 1000), 0);
    cr_assert_eq(disk->read(disk->user, file, bytes, 0, 0), 0);
    close_file(file);
    remove_file("short");
    remove_folder();
}

Test(storage, a_gap_reads_as_zeroes)
{
    char bytes[3] = "??";
    void *file;

    make_folder();
    file = open_file("gap", 1);
    write_text(file, "x", UINT64_C(5) << 32); /* beyond what 32 bits count */
    cr_assert_eq(disk->size(disk->user, file), (INT64_C(5) << 32) + 1);
    cr_assert_eq(disk->read(disk->user, file, bytes, 2, (UINT64_C(5) << 32) - 1), 2);
    cr_assert(bytes[0] == '\0' && bytes[1] == 'x');
    close_file(file);
    remove_file("gap");
    remove_folder();
}

Test(storage, large_writes_arrive_whole)
{
    unsigned char *out = malloc(LARGE), *in = malloc(LARGE);
    void *file;

    cr_assert(out != NULL && in != NULL);
    for (size_t i = 0; i < LARGE; i++)
        out[i] = (unsigned char)(mix64(i / 7) >> 8);
    make_folder();
    file = open_file("large", 1);
    cr_assert_eq(disk->write(disk->user, file, out, LARGE, 13), (int64_t)LARGE);
    cr_assert_eq(disk->read(disk->user, file, in, LARGE, 13), (int64_t)LARGE);
    cr_assert(memcmp(out, in, LARGE) == 0);
    close_file(file);
    remove_file("large");
    remove_folder();
    free(out);
    free(in);
}

Test(storage, rename_takes_the_place_of_what_was_there)
{
    char from[sizeof(path)], to[sizeof(path)];
    char bytes[4] = {0};
    void *file;

    make_folder();
    file = open_file("old", 1);
    write_text(file, "old", 0);
    close_file(file);
    file = open_file("new", 1);
    write_text(file, "new", 0);
    strcpy(from, in_folder("new"));
    strcpy(to, in_folder("old"));
    cr_assert_eq(disk->rename(disk->user, from, to), 0);
    close_file(file);
    file = NULL;
    cr_assert_eq(disk->open(disk->user, from, 0, &file), -ENOENT);
    file = open_file("old", 0);
    cr_assert_eq(disk->read(disk->user, file, bytes, 3, 0), 3);
    cr_assert_str_eq(bytes, "new");
    close_file(file);
    remove_file("old");
    remove_folder();
}

Test(storage, what_is_missing_is_named_as_missing)
{
    char from[sizeof(path)];
    void *file = &file;

    make_folder();
    cr_assert_eq(disk->open(disk->user, in_folder("none"), 0, &file), -ENOENT);
    cr_assert(file == &file, "a failed open leaves the handle alone");
    cr_assert_eq(disk->open(disk->user, in_folder("none/file"), 1, &file), -ENOENT);
    cr_assert_eq(disk->remove(disk->user, in_folder("none")), -ENOENT);
    cr_assert_eq(disk->sync_directory(disk->user, in_folder("none")), -ENOENT);
    strcpy(from, in_folder("none"));
    cr_assert_eq(disk->rename(disk->user, from, in_folder("other")), -ENOENT);
    remove_folder();
}

Test(storage, files_and_folders_are_not_mistaken_for_each_other)
{
    void *file = NULL;

    make_folder();
    cr_assert_eq(disk->open(disk->user, folder, 0, &file), -EISDIR);
    close_file(open_file("file", 1));
    cr_assert_eq(disk->sync_directory(disk->user, in_folder("file")), -ENOTDIR);
    cr_assert_eq(disk->open(disk->user, in_folder("file/below"), 1, &file), -ENOTDIR);
    cr_assert(disk->remove(disk->user, folder) < 0);
    remove_file("file");
    remove_folder();
}

Test(storage, errors_of_the_device_are_reported)
{
    char byte = 'x';
    void *file = NULL;

    /* A device that is always full, and that cannot be synced. */
    if (disk->open(disk->user, "/dev/full", 0, &file) != 0)
        return;
    cr_assert_eq(disk->write(disk->user, file, &byte, 1, 0), -ENOSPC);
    cr_assert_eq(disk->sync(disk->user, file), -EINVAL);
    close_file(file);
}

Test(storage, offsets_out_of_range_and_no_file_are_refused)
{
    char byte = 'x';
    void *file;

    make_folder();
    file = open_file("file", 1);
    cr_assert_eq(disk->read(disk->user, file, &byte, 1, UINT64_MAX), -EINVAL);
    cr_assert_eq(disk->write(disk->user, file, &byte, 1, UINT64_C(1) << 63), -EINVAL);
    cr_assert_eq(disk->size(disk->user, file), 0);
    close_file(file);
    remove_file("file");
    remove_folder();
    cr_assert_eq(disk->size(disk->user, NULL), -EBADF);
    cr_assert_eq(disk->read(disk->user, NULL, &byte, 1, 0), -EBADF);
    cr_assert_eq(disk->write(disk->user, NULL, &byte, 1, 0), -EBADF);
    cr_assert_eq(disk->sync(disk->user, NULL), -EBADF);
    cr_assert_eq(disk->close(disk->user, NULL), -EBADF);
}

Test(storage, descriptor_zero_is_a_file_like_any_other)
{
    const int aside = dup(STDIN_FILENO);
    void *file;

    make_folder();
    if (aside >= 0)
        close(STDIN_FILENO);
    file = open_file("zero", 1); /* gets the lowest free descriptor; CHECKs that it is not NULL */
    write_text(file, "0", 0);
    cr_assert_eq(disk->size(disk->user, file), 1);
    close_file(file);
    if (aside >= 0) {
        cr_assert_eq(dup2(aside, STDIN_FILENO), STDIN_FILENO);
        close(aside);
    }
    remove_file("zero");
    remove_folder();
}
