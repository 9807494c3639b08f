#include "store_hold.h"

#include <errno.h>
#include <string.h>

#include "sim_disk.h"
#include "store/files.h"
#include "support/test.h"

#define MANIFEST "manifest"
#define FIRST    "0001-0000-000000000001.journal"
#define SECOND   "0001-0000-000000000002.journal"
#define THIRD    "0001-0000-000000000003.journal"
#define NEW      "0001-0000-000000000004.snapshot.new"

static struct sim_disk *disk;
static struct pawl_storage storage; /* the disk's, but for what a test puts in its place */
static const struct pawl_storage *plain;

static void put(const char *name, char content)
{
    char path[STORE_PATH_MAX];
    void *file;

    cr_assert_eq(pawl__store_path("d", name, path), 0);
    cr_assert_eq(plain->open(plain->user, path, PAWL_STORAGE_CREATE, &file), 0);
    cr_assert_eq(plain->write(plain->user, file, &content, 1, 0), 1);
    cr_assert_eq(plain->close(plain->user, file), 0);
}

static void drop(const char *name)
{
    char path[STORE_PATH_MAX];

    cr_assert_eq(pawl__store_path("d", name, path), 0);
    cr_assert_eq(plain->remove(plain->user, path), 0);
}

static void disk_open(void)
{
    const struct sim_disk_options options = {.seed = 1};

    cr_assert_eq(sim_disk_create(&options, &disk), 0);
    plain = sim_disk_storage(disk);
    storage = *plain;
    cr_assert_eq(plain->make_directory(plain->user, "d"), 0);
    put(MANIFEST, 'm');
    put(FIRST, '1');
    put(SECOND, '2');
    put("notes", 'n');
}

static void disk_close(void)
{
    cr_assert(sim_disk_misuse(disk) == NULL, "%s", sim_disk_misuse(disk));
    sim_disk_destroy(disk);
}

/* The content of a file; or the error of opening it. */
static int look(const struct pawl_storage *from, const char *name)
{
    char path[STORE_PATH_MAX], content = 0;
    void *file;
    int error;

    cr_assert_eq(pawl__store_path("d", name, path), 0);
    error = from->open(from->user, path, PAWL_STORAGE_READ, &file);
    if (error != 0)
        return error;
    cr_assert_eq(from->size(from->user, file), 1);
    cr_assert_eq(from->read(from->user, file, &content, 1, 0), 1);
    cr_assert_eq(from->close(from->user, file), 0);
    return content;
}

static int count_name(void *argument, const char *name)
{
    (void)name;
    ++*(unsigned *)argument;
    return 0;
}

static unsigned names_of(const struct pawl_storage *from)
{
    unsigned count = 0;

    cr_assert_eq(from->list(from->user, "d", count_name, &count), 0);
    return count;
}

Test(store_hold, what_is_removed_afterwards_stays_and_what_comes_is_not_seen)
{
    const struct pawl_storage *held;
    struct store_hold *hold;
    void *file;

    disk_open();
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    held = store_hold_storage(hold);
    drop(FIRST);
    put(THIRD, '3');
    cr_assert_eq(names_of(held), 3); /* notes are no part of a store */
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(look(held, MANIFEST), 'm');
        cr_assert_eq(look(held, FIRST), '1');
        cr_assert_eq(look(held, SECOND), '2');
    }
    cr_assert_eq(look(held, THIRD), -ENOENT);
    cr_assert_eq(look(held, "notes"), -ENOENT);
    cr_assert_eq(held->open(held->user, "d/" FIRST, PAWL_STORAGE_DURABLE, &file), -EROFS);
    store_hold_close(hold);
    disk_close();
}

static unsigned opened;

/* Whoever writes the store goes on between two of the openings. */
static int open_and_change(void *user, const char *path, unsigned flags, void **file)
{
    if (++opened == 2) {
        drop(FIRST);
        put(THIRD, '3');
    }
    return plain->open(user, path, flags, file);
}

/* Only what comes: the files that were listed are all there. */
static int open_and_grow(void *user, const char *path, unsigned flags, void **file)
{
    if (++opened == 2)
        put(THIRD, '3');
    return plain->open(user, path, flags, file);
}

static void hold_over_a_change(int (*open)(void *, const char *, unsigned, void **), unsigned names)
{
    struct store_hold *hold;

    disk_open();
    storage.open = open;
    opened = 0;
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    cr_assert_eq(names_of(store_hold_storage(hold)), names);
    cr_assert_eq(look(store_hold_storage(hold), THIRD), '3');
    store_hold_close(hold);
    disk_close();
}

Test(store_hold, what_changes_meanwhile_is_held_as_it_is_then)
{
    hold_over_a_change(open_and_change, 3);
    hold_over_a_change(open_and_grow, 4);
}

static int open_too_many(void *user, const char *path, unsigned flags, void **file)
{
    return ++opened == 3 ? -EMFILE : plain->open(user, path, flags, file);
}

Test(store_hold, without_descriptors_files_are_opened_as_they_are_read)
{
    struct store_hold *hold;

    disk_open();
    storage.open = open_too_many;
    opened = 0;
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    drop(FIRST);
    put(THIRD, '3');
    cr_assert_eq(look(store_hold_storage(hold), FIRST), -ENOENT);
    cr_assert_eq(look(store_hold_storage(hold), THIRD), '3');
    store_hold_close(hold);
    disk_close();
}

static unsigned files_open;

/* Three are held, and there is room for a few more, or for none. */
static int open_few(void *user, const char *path, unsigned flags, void **file)
{
    const int error = files_open == 10 ? -EMFILE : plain->open(user, path, flags, file);

    files_open += error == 0;
    return error;
}

static int close_few(void *user, void *file)
{
    files_open--;
    return plain->close(user, file);
}

Test(store_hold, descriptors_are_left_for_whoever_reads)
{
    struct store_hold *hold;

    disk_open();
    storage.open = open_few;
    storage.close = close_few;
    files_open = 0;
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    cr_assert_eq(files_open, 0u, "they are held, and leave too few");
    cr_assert_eq(look(store_hold_storage(hold), FIRST), '1');
    store_hold_close(hold);
    disk_close();
}

static int open_no_new(void *user, const char *path, unsigned flags, void **file)
{
    cr_assert(strstr(path, ".new") == NULL, "%s is opened", path);
    return plain->open(user, path, flags, file);
}

Test(store_hold, what_is_unfinished_is_listed_and_not_opened)
{
    struct store_hold *hold;

    disk_open();
    put(NEW, 'x');
    storage.open = open_no_new;
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    cr_assert_eq(names_of(store_hold_storage(hold)), 4);
    cr_assert_eq(look(store_hold_storage(hold), NEW), -ENOENT);
    store_hold_close(hold);
    disk_close();
}

static int open_broken(void *user, const char *path, unsigned flags, void **file)
{
    return strstr(path, SECOND) != NULL ? -EIO : plain->open(user, path, flags, file);
}

Test(store_hold, what_cannot_be_opened_is_an_error_when_it_is_read)
{
    struct store_hold *hold;

    disk_open();
    storage.open = open_broken;
    cr_assert_eq(store_hold_open(&hold, &storage, "d"), 0);
    cr_assert_eq(look(store_hold_storage(hold), FIRST), '1');
    cr_assert_eq(look(store_hold_storage(hold), SECOND), -EIO);
    store_hold_close(hold);
    cr_assert_eq(store_hold_open(&hold, plain, "elsewhere"), -ENOENT);
    disk_close();
}
