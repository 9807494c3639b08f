/*
 * sim_disk_fixture.h - what the tests of the simulated disk share: one disk with the directory "d",
 * and calls of its seam that must succeed. Blocks are filled with one byte each, so that a look at
 * a sector says whose it is.
 */
#ifndef PAWL_TESTS_SUPPORT_SIM_DISK_FIXTURE_H
#define PAWL_TESTS_SUPPORT_SIM_DISK_FIXTURE_H

#include <errno.h>
#include <string.h>

#include "sim_disk.h"
#include "support/test.h"

#define BLOCK PAWL_STORAGE_BLOCK
#define SEEDS 200u /* enough that what can happen does, for every fixed sequence of them */

static struct sim_disk *disk;
static const struct pawl_storage *storage;
static _Alignas(BLOCK) uint8_t block[8 * BLOCK];

static inline void disk_make_with(const struct sim_disk_options *options)
{
    cr_assert_eq(sim_disk_create(options, &disk), 0);
    storage = sim_disk_storage(disk);
    cr_assert_eq(storage->make_directory(storage->user, "d"), 0);
    cr_assert_eq(storage->sync_directory(storage->user, "."), 0);
    cr_assert_eq(storage->sync_directory(storage->user, "d"), 0);
}

static inline void disk_make(uint64_t seed)
{
    disk_make_with(&(struct sim_disk_options){.seed = seed});
}

static inline void disk_unmake(void)
{
    cr_assert(sim_disk_misuse(disk) == NULL, "%s", sim_disk_misuse(disk));
    sim_disk_destroy(disk);
    disk = NULL;
}

static inline void *file_open(const char *path, unsigned flags)
{
    void *file = NULL;
    const int error = storage->open(storage->user, path, flags, &file);

    cr_assert_eq(error, 0, "%s: %d", path, error);
    return file;
}

static inline void file_close(void *file)
{
    cr_assert_eq(storage->close(storage->user, file), 0);
}

static inline void file_sync(void *file)
{
    cr_assert_eq(storage->sync(storage->user, file), 0);
}

static inline void directory_sync(void)
{
    cr_assert_eq(storage->sync_directory(storage->user, "d"), 0);
}

/* size bytes of this value; the answer of the seam. */
static inline int64_t file_try_fill(void *file, uint8_t value, size_t size, uint64_t offset)
{
    memset(block, value, sizeof(block));
    return storage->write(storage->user, file, block, size, offset);
}

static inline void file_fill(void *file, uint8_t value, size_t size, uint64_t offset)
{
    cr_assert_eq(file_try_fill(file, value, size, offset), (int64_t)size);
}

static inline int64_t size_of(const char *path)
{
    void *file = NULL;
    int64_t size = storage->open(storage->user, path, PAWL_STORAGE_READ, &file);

    if (size == 0) {
        size = storage->size(storage->user, file);
        file_close(file);
    }
    return size;
}

static inline bool is_there(const char *path)
{
    return size_of(path) >= 0;
}

/* A durable file of size bytes of this value, its name included. */
static inline void file_make(const char *path, uint8_t value, size_t size)
{
    void *file = file_open(path, PAWL_STORAGE_CREATE);

    file_fill(file, value, size, 0);
    file_sync(file);
    file_close(file);
    directory_sync();
}

/* The value of all bytes of a range, or -1 if they differ. */
static inline int value_at(const char *path, uint64_t offset, size_t size)
{
    uint8_t bytes[BLOCK];
    int value = -1;

    for (uint64_t end = offset + size; offset < end;) {
        const size_t count = end - offset < BLOCK ? (size_t)(end - offset) : BLOCK;

        cr_assert_eq(sim_disk_peek(disk, path, bytes, count, offset), 0);
        for (size_t i = 0; i < count; i++) {
            if (value >= 0 && bytes[i] != value)
                return -1;
            value = bytes[i];
        }
        offset += count;
    }
    return value;
}

static inline int sector_at(const char *path, unsigned sector)
{
    return value_at(path, (uint64_t)sector * SIM_SECTOR, SIM_SECTOR);
}

static inline void crash_and_reopen(enum sim_crash how)
{
    sim_disk_crash(disk, how);
    sim_disk_reopen(disk);
}

static inline int fault(enum sim_fault_kind kind, uint32_t ops, uint64_t nth)
{
    const struct sim_fault f = {.kind = kind, .ops = ops, .nth = nth};
    const int number = sim_disk_fault_add(disk, &f);

    cr_assert(number >= 0);
    return number;
}

#endif /* PAWL_TESTS_SUPPORT_SIM_DISK_FIXTURE_H */
