/*
 * test_storage.c - the storage seam on files of the system, in a folder of its own that goes again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pawl/seams.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "support/test.h"

#define LARGE ((size_t)5 << 20)
#define BLOCK ((size_t)PAWL_STORAGE_BLOCK)

static const struct pawl_storage *const disk = &pawl_storage_posix;
static char folder[256];
static char path[512];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_folder_in(const char *base)
{
    snprintf(folder, sizeof(folder), "%s/pawl-storage.XXXXXX", base);
    cr_assert(mkdtemp(folder) != NULL);
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");

    make_folder_in(base != NULL ? base : "/tmp");
}

static void remove_folder(void)
{
    cr_assert_eq(rmdir(folder), 0, "%s: something is left", folder);
}

static void *open_file(const char *name, unsigned flags)
{
    void *file = NULL;

    cr_assert_eq(disk->open(disk->user, in_folder(name), flags, &file), 0, "%s", name);
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

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(mix64(offset / 7) >> 8);
}

static unsigned char *blocks_of(size_t size)
{
    void *blocks = NULL;

    cr_assert_eq(posix_memalign(&blocks, BLOCK, size), 0);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)blocks)[i] = byte_at(i);
    return blocks;
}

/* ---- Plain files ---- */

Test(storage, what_was_written_is_read_back_after_reopening)
{
    char bytes[16] = {0};
    void *file;

    make_folder();
    file = open_file("journal", PAWL_STORAGE_CREATE);
    cr_assert_eq(disk->size(disk->user, file), 0);
    write_text(file, "hello", 0);
    write_text(file, "LP", 3);
    cr_assert_eq(disk->sync(disk->user, file), 0);
    cr_assert_eq(disk->size(disk->user, file), 5);
    close_file(file);
    cr_assert_eq(disk->sync_directory(disk->user, folder), 0);
    file = open_file("journal", PAWL_STORAGE_READ);
    cr_assert_eq(disk->sync(disk->user, file), 0, "a reader can sync what another has written");
    cr_assert_eq(disk->size(disk->user, file), 5);
    cr_assert_eq(disk->read(disk->user, file, bytes, 5, 0), 5);
    cr_assert_str_eq(bytes, "helLP");
    close_file(file);
    remove_file("journal");
    remove_folder();
}

Test(storage, creating_what_exists_is_refused_and_leaves_it)
{
    void *file, *other = NULL;

    make_folder();
    file = open_file("kept", PAWL_STORAGE_CREATE);
    write_text(file, "kept", 0);
    close_file(file);
    cr_assert_eq(disk->open(disk->user, in_folder("kept"), PAWL_STORAGE_CREATE, &other), -EEXIST);
    cr_assert_eq(disk->open(disk->user, path, PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE, &other),
                 -EEXIST);
    cr_assert(other == NULL);
    file = open_file("kept", 0);
    cr_assert_eq(disk->size(disk->user, file), 4);
    close_file(file);
    remove_file("kept");
    remove_folder();
}

Test(storage, a_file_opened_for_reading_is_not_written)
{
    void *file, *unknown = NULL;

    make_folder();
    close_file(open_file("file", PAWL_STORAGE_CREATE));
    file = open_file("file", PAWL_STORAGE_READ);
    cr_assert_eq(disk->write(disk->user, file, "x", 1, 0), -EBADF);
    cr_assert_eq(disk->size(disk->user, file), 0);
    close_file(file);
    cr_assert_eq(disk->open(disk->user, in_folder("file"), 0x80, &unknown), -EINVAL);
    remove_file("file");
    remove_folder();
}

Test(storage, a_read_across_the_end_is_short_and_behind_it_empty)
{
    char bytes[16];
    void *file;

    make_folder();
    file = open_file("short", PAWL_STORAGE_CREATE);
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
    file = open_file("gap", PAWL_STORAGE_CREATE);
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
    unsigned char *out = blocks_of(LARGE), *in = malloc(LARGE);
    void *file;

    cr_assert(in != NULL);
    make_folder();
    file = open_file("large", PAWL_STORAGE_CREATE);
    cr_assert_eq(disk->write(disk->user, file, out, LARGE, 13), (int64_t)LARGE);
    cr_assert_eq(disk->read(disk->user, file, in, LARGE, 13), (int64_t)LARGE);
    cr_assert(memcmp(out, in, LARGE) == 0);
    close_file(file);
    remove_file("large");
    remove_folder();
    free(out);
    free(in);
}

/* ---- Durable files ---- */

/* The flags of the descriptor that is open on a file, or -1. */
static int open_flags_of(const char *name)
{
    struct stat wanted, found;
    int flags = -1;

    cr_assert_eq(stat(in_folder(name), &wanted), 0);
    for (int fd = 0; fd < 256; fd++)
        if (fstat(fd, &found) == 0 && found.st_ino == wanted.st_ino &&
            found.st_dev == wanted.st_dev)
            flags = fcntl(fd, F_GETFL);
    return flags;
}

static bool offers_direct(const char *name)
{
    const int fd = open(in_folder(name), O_RDWR | O_DIRECT);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void hold_durable_file(void)
{
    unsigned char *blocks = blocks_of(2 * BLOCK), *in = malloc(2 * BLOCK);
    bool direct;
    void *file;
    int flags;

    cr_assert(in != NULL);
    file = open_file("durable", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    flags = open_flags_of("durable");
    direct = offers_direct("durable");
    cr_assert(flags != -1 && (flags & O_DSYNC) != 0);
    cr_assert_eq((flags & O_DIRECT) != 0, direct);
    cr_assert_eq(disk->write(disk->user, file, blocks, 2 * BLOCK, BLOCK), 2 * (int64_t)BLOCK);
    cr_assert_eq(disk->size(disk->user, file), 3 * (int64_t)BLOCK);
    cr_assert_eq(disk->write(disk->user, file, blocks + 512, BLOCK, 0), -EINVAL);
    cr_assert_eq(disk->write(disk->user, file, blocks, 512, 0), -EINVAL);
    cr_assert_eq(disk->write(disk->user, file, blocks, BLOCK, 512), -EINVAL);
    close_file(file);
    file = open_file("durable", PAWL_STORAGE_DURABLE);
    cr_assert_eq(open_flags_of("durable") & (O_DSYNC | O_DIRECT), flags & (O_DSYNC | O_DIRECT));
    cr_assert_eq(disk->read(disk->user, file, in, 2 * BLOCK, BLOCK), 2 * (int64_t)BLOCK);
    cr_assert(memcmp(blocks, in, 2 * BLOCK) == 0);
    close_file(file);
    remove_file("durable");
    free(blocks);
    free(in);
}

Test(storage, a_durable_file_is_synced_by_each_write_and_takes_whole_blocks)
{
    make_folder();
    hold_durable_file();
    remove_folder();
    if (access("/dev/shm", W_OK) != 0)
        return;
    make_folder_in("/dev/shm"); /* where older systems know no O_DIRECT */
    hold_durable_file();
    remove_folder();
}

Test(storage, a_durable_file_is_read_from_anywhere_to_anywhere)
{
    static const size_t places[] = {0,     1,         511,           512,       BLOCK - 1,
                                    BLOCK, BLOCK + 1, 3 * BLOCK - 5, 65536 - 3, 65536};
    static const size_t sizes[] = {0, 1, 512, BLOCK, BLOCK + 1, 65535, 65536, 131072 + 7};
    const size_t size = 48 * BLOCK, whole = size + 100; /* the end is not one of a block */
    unsigned char *blocks = blocks_of(size);
    unsigned char *in = malloc(size);
    void *file;

    cr_assert(in != NULL);
    make_folder();
    file = open_file("ragged", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert_eq(disk->write(disk->user, file, blocks, size, 0), (int64_t)size);
    close_file(file);
    file = open_file("ragged", 0);
    for (size_t i = size; i < whole; i++) {
        const unsigned char byte = byte_at(i);

        cr_assert_eq(disk->write(disk->user, file, &byte, 1, i), 1);
    }
    cr_assert_eq(disk->sync(disk->user, file), 0);
    close_file(file);
    file = open_file("ragged", PAWL_STORAGE_DURABLE);
    for (unsigned p = 0; p < ARRAY_LEN(places); p++) {
        for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
            memset(in, '#', size);
            cr_assert_eq(disk->read(disk->user, file, in + (p & 1), sizes[s], places[p]),
                         (int64_t)sizes[s]);
            for (size_t i = 0; i < sizes[s]; i++)
                cr_assert(in[(p & 1) + i] == byte_at(places[p] + i), "%zu of %zu at %zu", i,
                          sizes[s], places[p]);
            cr_assert_eq(in[(p & 1) + sizes[s]], '#', "behind %zu at %zu", sizes[s], places[p]);
        }
    }
    cr_assert_eq(disk->read(disk->user, file, blocks, 4 * BLOCK, size - BLOCK),
                 (int64_t)BLOCK + 100);
    for (size_t i = 0; i < BLOCK + 100; i++)
        cr_assert(blocks[i] == byte_at(size - BLOCK + i));
    cr_assert_eq(disk->read(disk->user, file, in, 1000, whole - 1), 1);
    cr_assert_eq(disk->read(disk->user, file, in, 1000, whole), 0);
    cr_assert_eq(disk->read(disk->user, file, blocks, BLOCK, 100 * BLOCK), 0);
    close_file(file);
    remove_file("ragged");
    remove_folder();
    free(blocks);
    free(in);
}

/* ---- Names ---- */

Test(storage, rename_takes_the_place_of_what_was_there)
{
    char from[sizeof(path)], to[sizeof(path)];
    char bytes[4] = {0};
    void *file;

    make_folder();
    file = open_file("old", PAWL_STORAGE_CREATE);
    write_text(file, "old", 0);
    close_file(file);
    file = open_file("new", PAWL_STORAGE_CREATE);
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

static int count_name(void *argument, const char *name)
{
    (void)name;
    ++*(unsigned *)argument;
    return 0;
}

Test(storage, what_is_missing_is_named_as_missing)
{
    char from[sizeof(path)];
    unsigned names = 0;
    void *file = &file;

    make_folder();
    cr_assert_eq(disk->open(disk->user, in_folder("none"), 0, &file), -ENOENT);
    cr_assert_eq(disk->open(disk->user, path, PAWL_STORAGE_DURABLE, &file), -ENOENT);
    cr_assert_eq(disk->open(disk->user, in_folder("none/file"), PAWL_STORAGE_CREATE, &file),
                 -ENOENT);
    cr_assert_eq(disk->lock(disk->user, in_folder("none"), &file), -ENOENT);
    cr_assert(file == &file, "what failed leaves the handle alone");
    cr_assert_eq(disk->remove(disk->user, in_folder("none")), -ENOENT);
    cr_assert_eq(disk->sync_directory(disk->user, in_folder("none")), -ENOENT);
    cr_assert_eq(disk->make_directory(disk->user, in_folder("none/below")), -ENOENT);
    cr_assert_eq(disk->list(disk->user, in_folder("none"), count_name, &names), -ENOENT);
    cr_assert_eq(names, 0u);
    strcpy(from, in_folder("none"));
    cr_assert_eq(disk->rename(disk->user, from, in_folder("other")), -ENOENT);
    remove_folder();
}

Test(storage, files_and_folders_are_not_mistaken_for_each_other)
{
    unsigned names = 0;
    void *file = NULL;

    make_folder();
    cr_assert_eq(disk->open(disk->user, folder, 0, &file), -EISDIR);
    close_file(open_file("file", PAWL_STORAGE_CREATE));
    cr_assert_eq(disk->sync_directory(disk->user, in_folder("file")), -ENOTDIR);
    cr_assert_eq(disk->make_directory(disk->user, path), -ENOTDIR);
    cr_assert_eq(disk->lock(disk->user, path, &file), -ENOTDIR);
    cr_assert_eq(disk->list(disk->user, path, count_name, &names), -ENOTDIR);
    cr_assert_eq(disk->open(disk->user, in_folder("file/below"), PAWL_STORAGE_CREATE, &file),
                 -ENOTDIR);
    cr_assert(disk->remove(disk->user, folder) < 0);
    remove_file("file");
    remove_folder();
}

Test(storage, a_directory_is_made_once_and_then_found)
{
    struct stat status;

    make_folder();
    cr_assert_eq(disk->make_directory(disk->user, in_folder("made")), 0);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert(S_ISDIR(status.st_mode));
    cr_assert_eq(status.st_mode & 022, 0u, "nobody else writes into it");
    close_file(open_file("made/file", PAWL_STORAGE_CREATE));
    cr_assert_eq(disk->make_directory(disk->user, in_folder("made")), 0);
    remove_file("made/file");
    cr_assert_eq(rmdir(in_folder("made")), 0);
    remove_folder();
}

struct listing {
    unsigned ends_after;
    unsigned count;
    unsigned dots;
    uint64_t letters; /* a bit for each */
};

static int take_name(void *argument, const char *name)
{
    struct listing *listing = argument;

    listing->dots += name[0] == '.';
    listing->letters |= UINT64_C(1) << (name[0] & 63);
    return ++listing->count == listing->ends_after ? -E2BIG : 0;
}

Test(storage, a_listing_names_everything_once_and_can_be_ended)
{
    struct listing all = {0}, some = {.ends_after = 3};
    char name[2] = {0};
    uint64_t made = 0;

    make_folder();
    cr_assert_eq(disk->list(disk->user, folder, take_name, &all), 0);
    cr_assert_eq(all.count, 0u);
    for (name[0] = 'a'; name[0] <= 'h'; name[0]++) {
        close_file(open_file(name, PAWL_STORAGE_CREATE));
        made |= UINT64_C(1) << (name[0] & 63);
    }
    cr_assert_eq(disk->list(disk->user, folder, take_name, &all), 0);
    cr_assert_eq(all.count, 8u);
    cr_assert_eq(all.dots, 0u);
    cr_assert(all.letters == made);
    cr_assert_eq(disk->list(disk->user, folder, take_name, &some), -E2BIG);
    cr_assert_eq(some.count, 3u);
    for (name[0] = 'a'; name[0] <= 'h'; name[0]++)
        remove_file(name);
    remove_folder();
}

/* ---- The lock ---- */

/* What another process gets that asks for the lock. */
static int lock_elsewhere(void)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        void *lock = NULL;

        _exit(-disk->lock(disk->user, folder, &lock));
    }
    cr_assert(child > 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

Test(storage, a_locked_directory_keeps_everybody_else_out)
{
    void *lock = NULL, *second = NULL;
    struct stat status;

    make_folder();
    cr_assert_eq(disk->lock(disk->user, folder, &lock), 0);
    cr_assert_eq(disk->lock(disk->user, folder, &second), -EBUSY, "in this process");
    cr_assert(second == NULL);
    cr_assert_eq(lock_elsewhere(), -EBUSY, "in another");
    disk->unlock(disk->user, lock);
    cr_assert_eq(lock_elsewhere(), 0);
    cr_assert_eq(disk->lock(disk->user, folder, &lock), 0, "a process that ends unlocks");
    cr_assert_eq(stat(in_folder("lock"), &status), 0);
    cr_assert_eq(status.st_size, 0);
    disk->unlock(disk->user, lock);
    remove_file("lock");
    remove_folder();
}

Test(storage, a_forked_child_does_not_keep_what_its_parent_unlocks)
{
    void *lock = NULL;
    pid_t child;

    make_folder();
    cr_assert_eq(disk->lock(disk->user, folder, &lock), 0);
    child = fork();
    if (child == 0) {
        alarm(30); /* in case that the parent ends before it has come to the kill */
        for (;;)
            pause();
    }
    cr_assert(child > 0);
    disk->unlock(disk->user, lock);
    cr_assert_eq(disk->lock(disk->user, folder, &lock), 0);
    disk->unlock(disk->user, lock);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    remove_file("lock");
    remove_folder();
}

/* ---- Errors and descriptors ---- */

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
    static const unsigned kinds[] = {0, PAWL_STORAGE_DURABLE};
    char byte = 'x';
    void *file;

    make_folder();
    close_file(open_file("file", PAWL_STORAGE_CREATE));
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        file = open_file("file", kinds[i]);
        cr_assert_eq(disk->read(disk->user, file, &byte, 1, UINT64_MAX), -EINVAL);
        cr_assert_eq(disk->write(disk->user, file, &byte, 1, UINT64_C(1) << 63), -EINVAL);
        cr_assert_eq(disk->size(disk->user, file), 0);
        close_file(file);
    }
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
    file = open_file("zero", PAWL_STORAGE_CREATE); /* gets the lowest free descriptor */
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

/* Descriptors that a program started by this one would inherit. */
static unsigned inherited(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        const int flags = fcntl(fd, F_GETFD);

        count += flags >= 0 && (flags & FD_CLOEXEC) == 0;
    }
    return count;
}

static int compare_inherited(void *argument, const char *name)
{
    (void)name;
    return inherited() == *(unsigned *)argument ? 0 : -EBADF;
}

Test(storage, no_descriptor_is_inherited)
{
    unsigned before = inherited();
    void *file, *durable, *lock = NULL, *queue = NULL;

    make_folder();
    file = open_file("file", PAWL_STORAGE_CREATE);
    durable = open_file("durable", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert_eq(disk->lock(disk->user, folder, &lock), 0);
    cr_assert_eq(disk->queue_open(disk->user, 4, -1, &queue), 0);
    cr_assert_eq(disk->list(disk->user, folder, compare_inherited, &before), 0);
    cr_assert_eq(inherited(), before);
    disk->queue_close(disk->user, queue);
    disk->unlock(disk->user, lock);
    close_file(durable);
    close_file(file);
    remove_file("lock");
    remove_file("durable");
    remove_file("file");
    remove_folder();
}

/* ---- The queue behind the table (test_storage_queue.c looks at the queue itself) ---- */

Test(storage, the_queue_writes_whole_blocks_to_durable_files_only)
{
    unsigned char *blocks = blocks_of(2 * BLOCK), in[16];
    struct pawl_storage_done done[2];
    void *file, *durable, *queue = NULL;

    make_folder();
    file = open_file("file", PAWL_STORAGE_CREATE);
    durable = open_file("durable", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert_eq(disk->queue_open(disk->user, 0, -1, &queue), -EINVAL);
    cr_assert_eq(disk->queue_open(disk->user, 257, -1, &queue), -EINVAL);
    cr_assert(queue == NULL);
    cr_assert_eq(disk->queue_open(disk->user, 2, -1, &queue), 0);
    cr_assert_eq(disk->queue_write(disk->user, queue, file, blocks, BLOCK, 0, 1), -EINVAL);
    cr_assert_eq(disk->queue_write(disk->user, queue, NULL, blocks, BLOCK, 0, 1), -EBADF);
    cr_assert_eq(disk->queue_write(disk->user, queue, durable, blocks + 8, BLOCK, 0, 1), -EINVAL);
    cr_assert_eq(disk->queue_write(disk->user, queue, durable, blocks, 512, 0, 1), -EINVAL);
    cr_assert_eq(disk->queue_write(disk->user, queue, durable, blocks, BLOCK, 512, 1), -EINVAL);
    cr_assert_eq(disk->queue_reap(disk->user, queue, done, 2, 0), 0);
    cr_assert_eq(disk->queue_write(disk->user, queue, durable, blocks, 2 * BLOCK, BLOCK, 7), 0);
    cr_assert_eq(disk->queue_reap(disk->user, queue, done, 2, UINT64_MAX), 1);
    cr_assert_eq(done[0].tag, 7u);
    cr_assert_eq(done[0].result, 2 * (int64_t)BLOCK);
    cr_assert_eq(disk->read(disk->user, durable, in, sizeof(in), BLOCK), (int64_t)sizeof(in));
    cr_assert(memcmp(in, blocks, sizeof(in)) == 0);
    cr_assert(disk->queue_fd(disk->user, queue) >= 0 ||
              disk->queue_fd(disk->user, queue) == -ENOTSUP);
    disk->queue_close(disk->user, queue);
    close_file(durable);
    close_file(file);
    remove_file("durable");
    remove_file("file");
    remove_folder();
    free(blocks);
}
