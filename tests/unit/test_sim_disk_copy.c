/*
 * test_sim_disk_copy.c - copies of a simulated disk, its hash, and that the same seed makes the
 * same disk.
 */
#include "support/sim_disk_fixture.h"

Test(sim_disk_copy, a_copy_is_the_same_until_one_of_them_changes)
{
    struct sim_disk *original;
    struct sim_disk *copy;
    uint64_t hash;
    void *file;

    disk_make(1);
    file_make("d/a", 1, 3 * BLOCK);
    file = file_open("d/b", PAWL_STORAGE_CREATE);
    file_fill(file, 2, BLOCK, 0);
    cr_assert_eq(sim_disk_copy(disk, 99, &copy), 0);
    hash = sim_disk_hash(disk);
    cr_assert_eq(sim_disk_hash(copy), hash);
    cr_assert_eq(sim_disk_used_bytes(copy), sim_disk_used_bytes(disk));
    original = disk;
    disk = copy;
    storage = sim_disk_storage(copy);
    file = file_open("d/a", 0);
    file_fill(file, 3, 10, BLOCK);
    cr_assert(sim_disk_hash(copy) != hash);
    cr_assert_eq(sim_disk_hash(original), hash);
    disk_unmake();
    disk = original;
    storage = sim_disk_storage(disk);
    cr_assert_eq(value_at("d/a", 0, 3 * BLOCK), 1);
    disk_unmake();
}

Test(sim_disk_copy, a_copy_has_what_is_not_durable_yet)
{
    unsigned lost = 0;
    unsigned kept = 0;

    disk_make(1);
    file_close(file_open("d/a", PAWL_STORAGE_CREATE));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *copy;

        cr_assert_eq(sim_disk_copy(disk, seed, &copy), 0);
        sim_disk_crash(copy, SIM_CRASH_POWER);
        kept += sim_disk_files(copy) == 1;
        lost += sim_disk_files(copy) == 0;
        sim_disk_destroy(copy);
    }
    cr_assert(kept > 10 && lost > 10);
    disk_unmake();
}

Test(sim_disk_copy, the_hash_sees_names_sizes_and_bytes)
{
    uint64_t hash;
    void *file;

    disk_make(1);
    file_make("d/a", 1, BLOCK);
    hash = sim_disk_hash(disk);
    cr_assert_eq(storage->rename(storage->user, "d/a", "d/b"), 0);
    cr_assert(sim_disk_hash(disk) != hash);
    cr_assert_eq(storage->rename(storage->user, "d/b", "d/a"), 0);
    cr_assert_eq(sim_disk_hash(disk), hash);
    file = file_open("d/a", 0);
    file_fill(file, 0, 1, BLOCK);
    cr_assert(sim_disk_hash(disk) != hash);
    cr_assert_eq(sim_disk_truncate(disk, "d/a", BLOCK), 0);
    cr_assert_eq(sim_disk_hash(disk), hash);
    file_fill(file, 2, 1, 7);
    cr_assert(sim_disk_hash(disk) != hash);
    disk_unmake();
}

/* Some of everything, drawn by the seed alone. */
static uint64_t live(uint64_t seed)
{
    void *queue;
    void *file;

    disk_make_with(&(struct sim_disk_options){
        .seed = seed, .latency_min_ns = 1, .latency_max_ns = 100, .capacity_bytes = 64 * BLOCK});
    for (unsigned i = 0; i < 5; i++) {
        char path[16] = "d/0";

        path[2] += (char)i;
        file_make(path, 1, 3 * BLOCK);
        file = file_open(path, 0);
        file_fill(file, 2, 2 * BLOCK, 100);
        if (i % 2)
            file_fill(file, 3, BLOCK, 10 * BLOCK);
    }
    cr_assert_eq(storage->remove(storage->user, "d/3"), 0);
    cr_assert_eq(storage->queue_open(storage->user, 4, -1, &queue), 0);
    cr_assert_eq(storage->queue_write(storage->user, queue, file_open("d/1", PAWL_STORAGE_DURABLE),
                                      block, 4 * BLOCK, 0, 0),
                 0);
    crash_and_reopen(SIM_CRASH_POWER);
    return sim_disk_hash(disk);
}

Test(sim_disk_copy, the_same_seed_gives_the_same_disk)
{
    unsigned different = 0;
    uint64_t before = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const uint64_t hash = live(seed);

        disk_unmake();
        cr_assert_eq(live(seed), hash);
        disk_unmake();
        different += hash != before;
        before = hash;
    }
    cr_assert(different > SEEDS * 9 / 10);
}
