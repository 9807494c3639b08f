/*
 * sim_disk_names.c - names and directories of the simulated disk: what is there and what is
 * durable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_disk_inner.h"

/* ---- Paths and tables ---- */

void sim_parent_of(const char *path, char parent[SIM_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t size;

    if (slash == NULL) {
        memcpy(parent, ".", 2);
        return;
    }
    size = slash == path ? 1 : (size_t)(slash - path);
    memcpy(parent, path, size);
    parent[size] = '\0';
}

struct directory *sim_directory(const struct sim_disk *disk, const char *path)
{
    for (uint32_t i = 0; i < disk->directories_count; i++) {
        if (strcmp(disk->directories[i].path, path) == 0)
            return &disk->directories[i];
    }
    return NULL;
}

int sim_parent_check(const struct sim_disk *disk, const char *path)
{
    char parent[SIM_PATH_MAX];

    if (strlen(path) >= SIM_PATH_MAX)
        return -ENAMETOOLONG;
    sim_parent_of(path, parent);
    return sim_directory(disk, parent) != NULL ? 0 : -ENOENT;
}

static struct name *table_find(const struct name_table *table, const char *path)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->names[i].path, path) == 0)
            return &table->names[i];
    }
    return NULL;
}

struct inode *sim_find(const struct sim_disk *disk, const char *path)
{
    const struct name *name = table_find(&disk->current, path);

    return name != NULL ? name->inode : NULL;
}

/* The current table is what links an inode; the durable one only keeps it. */
static void let_go(struct sim_disk *disk, struct name_table *table, struct inode *inode)
{
    if (table == &disk->current) {
        inode->linked = false;
        sim_inode_settle(disk, inode);
    }
    sim_inode_drop(disk, inode);
}

void sim_table_remove(struct sim_disk *disk, struct name_table *table, const char *path)
{
    struct name *name = table_find(table, path);
    struct inode *inode;

    if (name == NULL)
        return;
    inode = name->inode;
    memmove(name, name + 1, (size_t)(&table->names[--table->count] - name) * sizeof(*name));
    let_go(disk, table, inode);
}

void sim_table_set(struct sim_disk *disk, struct name_table *table, const char *path,
                   struct inode *inode)
{
    struct name *name;

    sim_inode_ref(inode);
    /* A file has one name: a new one takes the place of the old. */
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->names[i].inode == inode) {
            name = &table->names[i];
            memmove(name, name + 1, (--table->count - i) * sizeof(*name));
            sim_inode_drop(disk, inode);
            break;
        }
    }
    sim_table_remove(disk, table, path);
    table->names = sim_grow(table->names, table->count, &table->capacity, sizeof(struct name));
    name = &table->names[table->count++];
    memcpy(name->path, path, strlen(path) + 1);
    name->inode = inode;
    if (table == &disk->current) {
        inode->linked = true;
        memcpy(inode->path, path, strlen(path) + 1);
    }
}

/* ---- Changes ---- */

void sim_change_add(struct sim_disk *disk, enum change_kind kind, const char *from, const char *to,
                    struct inode *inode)
{
    struct change *change;

    disk->changes = sim_grow(disk->changes, disk->changes_count, &disk->changes_capacity,
                             sizeof(struct change));
    change = &disk->changes[disk->changes_count++];
    *change = (struct change){.kind = kind, .inode = inode};
    memcpy(change->from, from, strlen(from) + 1);
    memcpy(change->to, to, strlen(to) + 1);
    if (inode != NULL)
        sim_inode_ref(inode);
}

void sim_parent_of_change(const struct change *change, char parent[SIM_PATH_MAX])
{
    sim_parent_of(change->kind == CHANGE_REMOVE ? change->from : change->to, parent);
}

/* Whether `later` cannot have happened without `earlier`. */
static bool needs(const struct sim_disk *disk, const struct change *later,
                  const struct change *earlier)
{
    char parent[SIM_PATH_MAX];

    if (earlier->kind == CHANGE_DIRECTORY) {
        sim_parent_of_change(later, parent);
        return !disk->options.strict_directories && strcmp(parent, earlier->to) == 0;
    }
    if (later->inode == earlier->inode)
        return true;
    return (later->from[0] != '\0' &&
            (strcmp(later->from, earlier->from) == 0 || strcmp(later->from, earlier->to) == 0)) ||
           (later->to[0] != '\0' &&
            (strcmp(later->to, earlier->from) == 0 || strcmp(later->to, earlier->to) == 0));
}

static void change_apply(struct sim_disk *disk, const struct change *change)
{
    struct directory *directory;
    const struct name *name;

    switch (change->kind) {
    case CHANGE_DIRECTORY:
        directory = sim_directory(disk, change->to);
        if (directory != NULL)
            directory->durable = true;
        break;
    case CHANGE_CREATE:
    case CHANGE_RENAME:
        sim_table_set(disk, &disk->durable, change->to, change->inode);
        break;
    case CHANGE_REMOVE:
        name = table_find(&disk->durable, change->from);
        if (name != NULL && name->inode == change->inode)
            sim_table_remove(disk, &disk->durable, change->from);
        break;
    }
}

/* Makes the chosen changes durable, and those that they need; the others stay in the list. */
void sim_changes_commit(struct sim_disk *disk)
{
    uint32_t left = 0;

    for (uint32_t i = disk->changes_count; i-- > 0;) {
        for (uint32_t j = 0; j < i && disk->changes[i].kept; j++)
            disk->changes[j].kept |= needs(disk, &disk->changes[i], &disk->changes[j]);
    }
    for (uint32_t i = 0; i < disk->changes_count; i++) {
        if (disk->changes[i].kept)
            change_apply(disk, &disk->changes[i]);
    }
    for (uint32_t i = 0; i < disk->changes_count; i++) {
        if (!disk->changes[i].kept)
            disk->changes[left++] = disk->changes[i];
        else if (disk->changes[i].inode != NULL)
            sim_inode_drop(disk, disk->changes[i].inode);
    }
    disk->changes_count = left;
}

static void changes_clear(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->changes_count; i++) {
        if (disk->changes[i].inode != NULL)
            sim_inode_drop(disk, disk->changes[i].inode);
    }
    disk->changes_count = 0;
}

void sim_names_commit(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->changes_count; i++)
        disk->changes[i].kept = true;
    sim_changes_commit(disk);
}

struct inode *sim_make_file(struct sim_disk *disk, const char *path)
{
    struct inode *inode = sim_inode_create(disk, path);

    sim_table_set(disk, &disk->current, path, inode);
    sim_change_add(disk, CHANGE_CREATE, "", path, inode);
    sim_inode_drop(disk, inode); /* the names keep it */
    return inode;
}

void sim_table_copy(struct name_table *to, const struct name_table *from)
{
    to->names = sim_allocate((from->count + 1) * sizeof(struct name));
    to->capacity = from->count + 1;
    to->count = from->count;
    if (from->count != 0)
        memcpy(to->names, from->names, from->count * sizeof(struct name));
}

/* ---- Power loss ---- */

/* Directories whose making was lost go, and all that is in them. */
static void lose_directories(struct sim_disk *disk)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < disk->directories_count; i++) {
        struct directory *d = &disk->directories[i];
        char parent[SIM_PATH_MAX];
        bool keep = d->durable;

        sim_parent_of(d->path, parent);
        if (keep && kept > 1) { /* the first two are the roots; parents stand before children */
            keep = false;
            for (uint32_t j = 0; j < kept; j++)
                keep |= strcmp(disk->directories[j].path, parent) == 0;
        }
        if (keep) {
            disk->directories[kept++] = *d;
            continue;
        }
        for (uint32_t j = disk->durable.count; j-- > 0;) {
            sim_parent_of(disk->durable.names[j].path, parent);
            if (strcmp(parent, d->path) == 0)
                sim_table_remove(disk, &disk->durable, disk->durable.names[j].path);
        }
    }
    disk->directories_count = kept;
}

void sim_names_power_loss(struct sim_disk *disk)
{
    /* All, none, a prefix, or each on its own. */
    const uint64_t style = random_below(&disk->random, 6);
    const uint64_t prefix = random_below(&disk->random, disk->changes_count + 1u);

    for (uint32_t i = 0; i < disk->changes_count; i++) {
        struct change *change = &disk->changes[i];

        if (style == 0)
            change->kept = true;
        else if (style == 1)
            change->kept = false;
        else if (style == 2)
            change->kept = i < prefix;
        else
            change->kept = sim_coin(disk);
    }
    disk->counters.names_kept += disk->changes_count;
    sim_changes_commit(disk);
    disk->counters.names_kept -= disk->changes_count;
    disk->counters.names_lost += disk->changes_count;
    lose_directories(disk);
    /* As if open, so that only the files that are lost give back their space on the way. */
    for (uint32_t i = 0; i < disk->durable.count; i++)
        disk->durable.names[i].inode->open++;
    while (disk->current.count != 0)
        sim_table_remove(disk, &disk->current, disk->current.names[0].path);
    for (uint32_t i = 0; i < disk->durable.count; i++) {
        const struct name *name = &disk->durable.names[i];

        sim_table_set(disk, &disk->current, name->path, name->inode);
        name->inode->open--;
        name->inode->freed = false;
    }
    changes_clear(disk);
}

void sim_names_free(struct sim_disk *disk)
{
    changes_clear(disk);
    while (disk->current.count != 0)
        sim_table_remove(disk, &disk->current, disk->current.names[0].path);
    while (disk->durable.count != 0)
        sim_table_remove(disk, &disk->durable, disk->durable.names[0].path);
    free(disk->changes);
    free(disk->current.names);
    free(disk->durable.names);
    free(disk->directories);
}
