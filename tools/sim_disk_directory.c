/* sim_disk_directory.c - the seam's calls on names and directories of the simulated disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

/* ---- Names ---- */

static int make_directory_now(struct sim_disk *disk, const char *path)
{
    const int error = sim_parent_check(disk, path);

    if (error != 0)
        return error;
    if (sim_find(disk, path) != NULL)
        return -EEXIST;
    if (sim_directory(disk, path) != NULL)
        return 0;
    disk->directories = sim_grow(disk->directories, disk->directories_count,
                                 &disk->directories_capacity, sizeof(struct directory));
    disk->directories[disk->directories_count] = (struct directory){.durable = false};
    memcpy(disk->directories[disk->directories_count++].path, path, strlen(path) + 1);
    sim_change_add(disk, CHANGE_DIRECTORY, "", path, NULL);
    return 0;
}

static int rename_now(struct sim_disk *disk, const char *from, const char *to)
{
    struct inode *inode = sim_find(disk, from);
    const int error = sim_parent_check(disk, to);

    if (error != 0)
        return error;
    if (inode == NULL)
        return -ENOENT;
    if (strcmp(from, to) == 0)
        return 0;
    if (sim_directory(disk, to) != NULL)
        return -EISDIR;
    sim_change_add(disk, CHANGE_RENAME, from, to, inode);
    sim_table_set(disk, &disk->current, to, inode);
    return 0;
}

/* One that is durable stays: nobody asks for that. */
static int remove_directory_now(struct sim_disk *disk, const char *path)
{
    struct directory *directory = sim_directory(disk, path);
    uint32_t left = 0;

    if (directory == NULL)
        return -ENOENT;
    if (directory->durable || directory->locked || directory->locked_other)
        return -EBUSY;
    for (uint32_t i = 0; i < disk->current.count; i++) {
        char parent[SIM_PATH_MAX];

        sim_parent_of(disk->current.names[i].path, parent);
        if (strcmp(parent, path) == 0)
            return -ENOTEMPTY;
    }
    memmove(directory, directory + 1,
            (size_t)(disk->directories + disk->directories_count - (directory + 1)) *
                sizeof(*directory));
    disk->directories_count--;
    /* As if it had never been made. */
    for (uint32_t i = 0; i < disk->changes_count; i++)
        if (disk->changes[i].kind != CHANGE_DIRECTORY || strcmp(disk->changes[i].to, path) != 0)
            disk->changes[left++] = disk->changes[i];
    disk->changes_count = left;
    return 0;
}

static int remove_now(struct sim_disk *disk, const char *path)
{
    struct inode *inode = sim_find(disk, path);

    if (inode == NULL)
        return remove_directory_now(disk, path);
    sim_change_add(disk, CHANGE_REMOVE, path, "", inode);
    sim_table_remove(disk, &disk->current, path);
    return 0;
}

static int make_directory(void *user, const char *path)
{
    struct sim_disk *disk = user;
    struct strike strike;

    if (sim_begin(disk, SIM_MAKE_DIRECTORY, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        if (sim_coin(disk))
            make_directory_now(disk, path);
        return sim_die_within(disk, SIM_MAKE_DIRECTORY);
    }
    return (int)sim_end(disk, SIM_MAKE_DIRECTORY,
                        strike.is ? strike.error : make_directory_now(disk, path));
}

static int rename_file(void *user, const char *from, const char *to)
{
    struct sim_disk *disk = user;
    struct strike strike;

    if (sim_begin(disk, SIM_RENAME, to, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        if (sim_coin(disk))
            rename_now(disk, from, to);
        return sim_die_within(disk, SIM_RENAME);
    }
    return (int)sim_end(disk, SIM_RENAME, strike.is ? strike.error : rename_now(disk, from, to));
}

static int remove_file(void *user, const char *path)
{
    struct sim_disk *disk = user;
    struct strike strike;

    if (sim_begin(disk, SIM_REMOVE, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE) {
        if (sim_coin(disk))
            remove_now(disk, path);
        return sim_die_within(disk, SIM_REMOVE);
    }
    return (int)sim_end(disk, SIM_REMOVE, strike.is ? strike.error : remove_now(disk, path));
}

/* What a sync of this directory makes durable: choose it, or, if it failed, doom it. */
static void choose(struct sim_disk *disk, const char *path, bool failed)
{
    for (uint32_t i = 0; i < disk->changes_count; i++) {
        struct change *change = &disk->changes[i];
        char parent[SIM_PATH_MAX];

        sim_parent_of_change(change, parent);
        change->kept = false;
        if (strcmp(parent, path) != 0 &&
            (change->kind != CHANGE_DIRECTORY || disk->options.strict_directories ||
             strcmp(change->to, path) != 0))
            continue;
        if (failed)
            change->doomed = true;
        else
            change->kept = !change->doomed;
    }
}

static int sync_directory(void *user, const char *path)
{
    struct sim_disk *disk = user;
    struct strike strike;

    if (sim_begin(disk, SIM_SYNC_DIRECTORY, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_SYNC_DIRECTORY);
    if (sim_directory(disk, path) == NULL)
        return (int)sim_end(disk, SIM_SYNC_DIRECTORY, -ENOENT);
    choose(disk, path, strike.is);
    if (strike.is)
        return (int)sim_end(disk, SIM_SYNC_DIRECTORY, strike.error);
    sim_changes_commit(disk);
    return (int)sim_end(disk, SIM_SYNC_DIRECTORY, 0);
}

/* ---- Locks and lists ---- */

static int lock_now(struct sim_disk *disk, const char *path, void **lock)
{
    struct directory *directory = sim_directory(disk, path);
    char file[SIM_PATH_MAX + 8];
    struct lock *l;

    if (directory == NULL)
        return -ENOENT;
    snprintf(file, sizeof(file), "%s/lock", path);
    if (strlen(file) >= SIM_PATH_MAX)
        return -ENAMETOOLONG;
    if (sim_find(disk, file) == NULL)
        sim_make_file(disk, file);
    if (directory->locked || directory->locked_other)
        return -EBUSY;
    directory->locked = true;
    l = sim_allocate(sizeof(*l));
    memcpy(l->directory, path, strlen(path) + 1);
    l->next = disk->locks;
    disk->locks = l;
    *lock = l;
    return 0;
}

static int lock_directory(void *user, const char *path, void **lock)
{
    struct sim_disk *disk = user;
    struct strike strike;

    if (sim_begin(disk, SIM_LOCK, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_LOCK);
    return (int)sim_end(disk, SIM_LOCK, strike.is ? strike.error : lock_now(disk, path, lock));
}

static void unlock_directory(void *user, void *lock)
{
    struct sim_disk *disk = user;
    struct lock *l = lock;
    struct directory *directory = sim_directory(disk, l->directory);
    struct lock **link = &disk->locks;

    while (*link != l)
        link = &(*link)->next;
    *link = l->next;
    if (directory != NULL)
        directory->locked = false;
    free(l);
}

void sim_disk_second_opener(struct sim_disk *disk, const char *directory, bool held)
{
    struct directory *d = sim_directory(disk, directory);

    CHECK(d != NULL);
    d->locked_other = held;
}

/* The names are copied first, so that fn may change the directory; their order is drawn. */
static int list(void *user, const char *path, pawl_storage_name_fn *fn, void *argument)
{
    struct sim_disk *disk = user;
    struct strike strike;
    char(*names)[SIM_PATH_MAX];
    uint32_t count = 0;
    int result = 0;

    if (sim_begin(disk, SIM_LIST, path, 0, 0, false, &strike) != 0)
        return -EIO;
    if (strike.is && strike.kind == SIM_FAULT_DIE)
        return sim_die_within(disk, SIM_LIST);
    if (strike.is || sim_directory(disk, path) == NULL)
        return (int)sim_end(disk, SIM_LIST, strike.is ? strike.error : -ENOENT);
    sim_end(disk, SIM_LIST, 0);
    names = sim_allocate((disk->current.count + 1) * sizeof(*names));
    for (uint32_t i = 0; i < disk->current.count; i++) {
        const char *name = disk->current.names[i].path;
        const char *slash = strrchr(name, '/');
        char parent[SIM_PATH_MAX];
        uint32_t to;

        sim_parent_of(name, parent);
        if (strcmp(parent, path) != 0)
            continue;
        to = (uint32_t)random_below(&disk->random, ++count);
        if (to != count - 1)
            memcpy(names[count - 1], names[to], SIM_PATH_MAX);
        name = slash != NULL ? slash + 1 : name;
        memcpy(names[to], name, strlen(name) + 1);
    }
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = fn(argument, names[i]);
    free(names);
    return result;
}

void sim_directory_fill_storage(struct pawl_storage *storage)
{
    storage->make_directory = make_directory;
    storage->lock = lock_directory;
    storage->unlock = unlock_directory;
    storage->list = list;
    storage->rename = rename_file;
    storage->remove = remove_file;
    storage->sync_directory = sync_directory;
}
