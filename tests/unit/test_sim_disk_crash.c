/*
 * test_sim_disk_crash.c - what a power loss or a kill leaves of the simulated disk. Each property
 * is looked at over many seeds, from both sides: what may never happen does not, and what may
 * happen does for some seed.
 */
#include "support/sim_disk_fixture.h"

#include <setjmp.h>

static int sector_at(const char *path, unsigned sector)
{
    return value_at(path, (uint64_t)sector * SIM_SECTOR, SIM_SECTOR);
}

/* ---- Files ---- */

Test(sim_disk_crash, a_synced_write_survives_and_an_unsynced_one_is_kept_lost_or_torn)
{
    unsigned kept = 0;
    unsigned lost = 0;
    unsigned torn = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        unsigned sectors = 0;
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 2 * BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, BLOCK);
        file_close(file);
        crash_and_reopen(SIM_CRASH_POWER);
        cr_assert_eq(size_of("d/a"), 2 * BLOCK);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 1);
        for (unsigned s = 8; s < 16; s++) {
            const int value = sector_at("d/a", s);

            cr_assert(value == 1 || value == 2);
            sectors += value == 2;
        }
        kept += sectors == 8;
        lost += sectors == 0;
        torn += sectors > 0 && sectors < 8;
        cr_assert_eq(sim_disk_counters(disk)->torn_pages, (uint64_t)(sectors > 0 && sectors < 8));
        disk_unmake();
    }
    cr_assert(kept > 10 && lost > 10 && torn > 10, "%u %u %u", kept, lost, torn);
}

Test(sim_disk_crash, of_two_unsynced_writes_any_may_be_the_one_that_is_left)
{
    unsigned seen[4] = {0};

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, 0);
        file_fill(file, 3, BLOCK, 0);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 3);
        crash_and_reopen(SIM_CRASH_POWER);
        for (unsigned s = 0; s < 8; s++)
            seen[sector_at("d/a", s)]++;
        disk_unmake();
    }
    cr_assert(seen[1] > 10 && seen[2] > 10 && seen[3] > 10);
}

Test(sim_disk_crash, an_earlier_write_may_be_lost_while_a_later_one_is_kept)
{
    bool seen = false;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 2 * BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, 0);
        file_fill(file, 2, BLOCK, BLOCK);
        crash_and_reopen(SIM_CRASH_POWER);
        seen |= value_at("d/a", 0, BLOCK) == 1 && value_at("d/a", BLOCK, BLOCK) == 2;
        disk_unmake();
    }
    cr_assert(seen);
}

Test(sim_disk_crash, an_unsynced_size_is_one_the_file_had_and_lost_bytes_are_zeroes)
{
    bool sizes[3] = {false, false, false};
    bool zeroes = false;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int64_t size;
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 100);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, BLOCK);
        file_fill(file, 3, 50, 2 * BLOCK);
        crash_and_reopen(SIM_CRASH_POWER);
        size = size_of("d/a");
        cr_assert(size == 100 || size == 2 * BLOCK || size == 2 * BLOCK + 50);
        sizes[size == 100 ? 0 : 1 + (size > 2 * BLOCK)] = true;
        cr_assert_eq(value_at("d/a", 0, 100), 1);
        for (unsigned s = 8; size > 100 && s < 16; s++) {
            const int value = sector_at("d/a", s);

            cr_assert(value == 2 || value == 0);
            zeroes |= value == 0;
        }
        disk_unmake();
    }
    cr_assert(sizes[0] && sizes[1] && sizes[2] && zeroes);
}

Test(sim_disk_crash, what_grows_again_after_a_lost_tail_does_not_show_it)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 100);
        file = file_open("d/a", 0);
        file_fill(file, 2, 2 * BLOCK, 100);
        crash_and_reopen(SIM_CRASH_POWER);
        if (size_of("d/a") == 100) {
            file = file_open("d/a", 0);
            file_fill(file, 3, 1, 2 * BLOCK);
            cr_assert_eq(value_at("d/a", 100, 2 * BLOCK - 100), 0);
        }
        disk_unmake();
    }
}

Test(sim_disk_crash, a_write_to_a_durable_file_survives)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        file = file_open("d/a", PAWL_STORAGE_DURABLE);
        file_fill(file, 2, 2 * BLOCK, 0);
        crash_and_reopen(SIM_CRASH_POWER);
        cr_assert_eq(size_of("d/a"), 2 * BLOCK);
        cr_assert_eq(value_at("d/a", 0, 2 * BLOCK), 2);
        disk_unmake();
    }
}

Test(sim_disk_crash, a_durable_write_is_not_undone_by_an_older_unsynced_one)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, 0);
        file_close(file);
        file = file_open("d/a", PAWL_STORAGE_DURABLE);
        file_fill(file, 3, BLOCK, 0);
        if (seed % 2)
            file_sync(file);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 3);
        crash_and_reopen(SIM_CRASH_POWER);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 3);
        disk_unmake();
    }
}

Test(sim_disk_crash, lost_growth_shows_stale_bytes_by_fault_and_zeroes_without)
{
    bool stale = false;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const bool strike = seed % 2;
        int64_t size;
        void *file;

        disk_make(seed);
        file_make("d/old", 0x5a, 2 * BLOCK);
        cr_assert_eq(storage->remove(storage->user, "d/old"), 0);
        file_make("d/a", 1, BLOCK);
        if (strike)
            fault(SIM_FAULT_STALE, SIM_OPS_ALL, 1);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, BLOCK);
        crash_and_reopen(SIM_CRASH_POWER);
        size = size_of("d/a");
        cr_assert_eq(value_at("d/a", 0, BLOCK), 1);
        for (unsigned s = 8; size > BLOCK && s < 16; s++) {
            const int value = sector_at("d/a", s);

            cr_assert(value == 2 || value == (strike ? 0x5a : 0));
            stale |= value == 0x5a;
        }
        disk_unmake();
    }
    cr_assert(stale);
}

Test(sim_disk_crash, a_failed_sync_leaves_bytes_that_are_readable_and_go_with_the_power)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 2 * BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, BLOCK, 0);
        fault(SIM_FAULT_ERROR, SIM_OPS(SIM_SYNC), 1);
        cr_assert_eq(storage->sync(storage->user, file), -EIO);
        file_sync(file); /* says nothing of what was lost before */
        cr_assert_eq(value_at("d/a", 0, BLOCK), 2);
        crash_and_reopen(SIM_CRASH_KILL);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 2);
        file = file_open("d/a", 0);
        file_sync(file);
        file_fill(file, 3, BLOCK, BLOCK);
        file_sync(file);
        crash_and_reopen(SIM_CRASH_POWER);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 1);
        cr_assert_eq(value_at("d/a", BLOCK, BLOCK), 3);
        lost++;
        disk_unmake();
    }
    cr_assert_eq(lost, SEEDS);
}

Test(sim_disk_crash, a_failed_sync_of_many_pages_may_have_saved_some)
{
    unsigned saved = 0;
    unsigned few = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        unsigned left = 0;
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 4 * BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, 4 * BLOCK, 0);
        fault(SIM_FAULT_ERROR, SIM_OPS(SIM_SYNC), 1);
        cr_assert_eq(storage->sync(storage->user, file), -EIO);
        crash_and_reopen(SIM_CRASH_POWER);
        for (unsigned i = 0; i < 4; i++)
            left += value_at("d/a", i * BLOCK, BLOCK) == 2;
        cr_assert(left < 4);
        saved += left;
        few += left < 3;
        disk_unmake();
    }
    cr_assert(saved > SEEDS / 2 && few > 10);
}

Test(sim_disk_crash, reading_past_the_cache_shows_what_a_failed_sync_has_lost)
{
    void *file;

    disk_make(1);
    file_make("d/a", 1, BLOCK);
    file = file_open("d/a", 0);
    file_fill(file, 2, BLOCK, 0);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_SYNC), 1);
    cr_assert_eq(storage->sync(storage->user, file), -EIO);
    file_close(file);
    file = file_open("d/a", PAWL_STORAGE_READ | PAWL_STORAGE_DURABLE);
    cr_assert_eq(storage->read(storage->user, file, block, BLOCK, 0), BLOCK);
    cr_assert_eq(block[0], 1);
    file_close(file);
    disk_unmake();
}

Test(sim_disk_crash, without_direct_writes_a_failed_one_is_readable_until_the_power_is_lost)
{
    for (int no_direct = 0; no_direct < 2; no_direct++) {
        unsigned new = 0;
        unsigned left = 0;

        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            void *file;

            disk_make_with(&(struct sim_disk_options){.seed = seed, .no_direct = no_direct != 0});
            file_make("d/a", 1, BLOCK);
            file = file_open("d/a", PAWL_STORAGE_DURABLE);
            fault(SIM_FAULT_ERROR, SIM_OPS(SIM_WRITE), 1);
            cr_assert_eq(file_try_fill(file, 2, 2 * BLOCK, 0), -EIO);
            crash_and_reopen(SIM_CRASH_KILL);
            new += size_of("d/a") == 2 * BLOCK &&value_at("d/a", 0, 2 * BLOCK) == 2;
            crash_and_reopen(SIM_CRASH_POWER);
            left += size_of("d/a") == 2 * BLOCK && value_at("d/a", 0, 2 * BLOCK) == 2;
            disk_unmake();
        }
        cr_assert(new == (no_direct ? SEEDS : left) && left < SEEDS / 10);
    }
}

Test(sim_disk_crash, a_phantom_or_misdirected_sync_is_found_after_the_power_loss)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const bool misdirected = seed % 2;
        unsigned right = 0;
        void *file;

        disk_make(seed);
        file_make("d/a", 1, 8 * BLOCK);
        file = file_open("d/a", 0);
        file_fill(file, 2, 2 * BLOCK, 0);
        fault(misdirected ? SIM_FAULT_MISDIRECTED : SIM_FAULT_PHANTOM, SIM_OPS(SIM_SYNC), 1);
        file_sync(file);
        cr_assert_eq(value_at("d/a", 0, 2 * BLOCK), 2);
        crash_and_reopen(SIM_CRASH_POWER);
        for (unsigned i = 0; i < 2; i++)
            right += value_at("d/a", i * BLOCK, BLOCK) == 2;
        cr_assert(right == 1 || (misdirected && right == 2)); /* it may hit its neighbour */
        disk_unmake();
    }
}

/* ---- Kill ---- */

Test(sim_disk_crash, a_kill_keeps_what_is_cached_and_the_power_may_take_it_later)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file = file_open("d/a", PAWL_STORAGE_CREATE);
        file_fill(file, 2, BLOCK, 0);
        crash_and_reopen(SIM_CRASH_KILL);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 2);
        if (seed % 2) {
            file = file_open("d/a", 0);
            file_sync(file);
            directory_sync();
        }
        crash_and_reopen(SIM_CRASH_POWER);
        if (seed % 2)
            cr_assert_eq(value_at("d/a", 0, BLOCK), 2);
        else
            lost += !is_there("d/a");
        disk_unmake();
    }
    cr_assert(lost > 10);
}

/* ---- Names ---- */

Test(sim_disk_crash, a_creation_is_kept_or_lost_until_its_directory_is_synced)
{
    unsigned kept = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const bool synced = seed % 2;
        void *file;

        disk_make(seed);
        file = file_open("d/a", PAWL_STORAGE_CREATE);
        file_fill(file, 2, BLOCK, 0);
        file_sync(file);
        if (synced)
            directory_sync();
        crash_and_reopen(SIM_CRASH_POWER);
        if (is_there("d/a"))
            cr_assert_eq(value_at("d/a", 0, BLOCK), 2);
        cr_assert(is_there("d/a") || !synced);
        kept += !synced && is_there("d/a");
        cr_assert_eq(sim_disk_used_bytes(disk), is_there("d/a") ? BLOCK : 0);
        disk_unmake();
    }
    cr_assert(kept > 10 && kept < SEEDS / 2 - 10);
}

Test(sim_disk_crash, a_rename_shows_the_old_file_or_the_new)
{
    unsigned old = 0;
    unsigned neither = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;
        int value;

        disk_make(seed);
        file_make("d/m", 1, BLOCK);
        file = file_open("d/m.new", PAWL_STORAGE_CREATE);
        file_fill(file, 2, BLOCK, 0);
        file_sync(file);
        cr_assert_eq(storage->rename(storage->user, "d/m.new", "d/m"), 0);
        crash_and_reopen(SIM_CRASH_POWER);
        value = value_at("d/m", 0, BLOCK); /* which must be there */
        cr_assert(value == 1 || value == 2);
        cr_assert(value == 1 || !is_there("d/m.new"));
        old += value == 1;
        neither += value == 1 && !is_there("d/m.new");
        disk_unmake();
    }
    cr_assert(old > 10 && old < SEEDS - 10 && neither > 0 && neither < old);
}

Test(sim_disk_crash, a_name_that_was_given_up_and_taken_again_never_loses_its_file)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;
        int value;

        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        cr_assert_eq(storage->rename(storage->user, "d/a", "d/b"), 0);
        file = file_open("d/a", PAWL_STORAGE_CREATE);
        file_fill(file, 2, BLOCK, 0);
        file_sync(file);
        crash_and_reopen(SIM_CRASH_POWER);
        value = is_there("d/a") ? value_at("d/a", 0, BLOCK) : 0;
        cr_assert((value == 1) != is_there("d/b")); /* the old file, under one of its names */
        cr_assert(value != 2 || is_there("d/b"));
        disk_unmake();
    }
}

Test(sim_disk_crash, changes_of_different_names_are_kept_in_any_subset)
{
    unsigned seen[4] = {0};

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        file_make("d/b", 1, BLOCK);
        cr_assert_eq(storage->remove(storage->user, "d/a"), 0);
        cr_assert_eq(storage->remove(storage->user, "d/b"), 0);
        crash_and_reopen(SIM_CRASH_POWER);
        seen[is_there("d/a") + 2 * is_there("d/b")]++;
        disk_unmake();
    }
    for (unsigned i = 0; i < 4; i++)
        cr_assert(seen[i] > 5, "%u: %u", i, seen[i]);
}

Test(sim_disk_crash, a_failed_sync_of_a_directory_is_not_mended_by_a_later_one)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        disk_make(seed);
        storage->close(storage->user, file_open("d/a", PAWL_STORAGE_CREATE));
        fault(SIM_FAULT_ERROR, SIM_OPS(SIM_SYNC_DIRECTORY), 1);
        cr_assert_eq(storage->sync_directory(storage->user, "d"), -EIO);
        storage->close(storage->user, file_open("d/b", PAWL_STORAGE_CREATE));
        directory_sync();
        crash_and_reopen(SIM_CRASH_POWER);
        cr_assert(is_there("d/b"));
        lost += !is_there("d/a");
        disk_unmake();
    }
    cr_assert(lost > 10 && lost < SEEDS - 10);
}

Test(sim_disk_crash, a_directory_is_durable_with_its_names_or_strictly_with_its_parents)
{
    for (int strict = 0; strict < 2; strict++) {
        unsigned lost = 0;
        unsigned kept = 0;

        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            disk_make_with(
                &(struct sim_disk_options){.seed = seed, .strict_directories = strict != 0});
            cr_assert_eq(storage->make_directory(storage->user, "d/e"), 0);
            if (seed % 2) {
                file_close(file_open("d/e/a", PAWL_STORAGE_CREATE));
                cr_assert_eq(storage->sync_directory(storage->user, "d/e"), 0);
            }
            crash_and_reopen(SIM_CRASH_POWER);
            if (storage->sync_directory(storage->user, "d/e") == -ENOENT) {
                cr_assert(!is_there("d/e/a"));
                lost += seed % 2;
            } else {
                cr_assert(is_there("d/e/a") || seed % 2 == 0);
                kept += seed % 2;
            }
            disk_unmake();
        }
        cr_assert(kept != 0 && (lost != 0) == (strict != 0));
    }
}

/* ---- Writes under way ---- */

static void *queue;

static void queue_make(uint64_t seed)
{
    disk_make_with(
        &(struct sim_disk_options){.seed = seed, .latency_min_ns = 10, .latency_max_ns = 10});
    file_make("d/a", 1, 4 * BLOCK);
    cr_assert_eq(storage->queue_open(storage->user, 4, -1, &queue), 0);
}

/* Two writes of two blocks, neither of which has ended. */
static void queue_fill(void)
{
    void *file = file_open("d/a", PAWL_STORAGE_DURABLE);

    memset(block, 2, sizeof(block));
    for (uint64_t i = 0; i < 2; i++)
        cr_assert_eq(
            storage->queue_write(storage->user, queue, file, block, 2 * BLOCK, i * 2 * BLOCK, i),
            0);
}

Test(sim_disk_crash, power_takes_any_part_of_a_write_under_way)
{
    unsigned second_only = 0;
    unsigned torn = 0;
    unsigned all = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int first;
        int second;

        queue_make(seed);
        queue_fill();
        crash_and_reopen(SIM_CRASH_POWER);
        first = value_at("d/a", 0, 2 * BLOCK);
        second = value_at("d/a", 2 * BLOCK, 2 * BLOCK);
        second_only += first == 1 && second == 2;
        all += first == 2 && second == 2;
        torn += first == -1;
        for (unsigned s = 0; s < 32; s++)
            cr_assert(sector_at("d/a", s) == 1 || sector_at("d/a", s) == 2);
        disk_unmake();
    }
    cr_assert(second_only > 2 && torn > 10 && all > 10);
}

Test(sim_disk_crash, a_kill_leaves_a_write_under_way_whole_or_undone)
{
    unsigned seen[4] = {0};

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int first;
        int second;

        queue_make(seed);
        queue_fill();
        crash_and_reopen(SIM_CRASH_KILL);
        first = value_at("d/a", 0, 2 * BLOCK);
        second = value_at("d/a", 2 * BLOCK, 2 * BLOCK);
        cr_assert((first == 1 || first == 2) && (second == 1 || second == 2));
        seen[first - 1 + 2 * (second - 1)]++;
        crash_and_reopen(SIM_CRASH_POWER); /* it is durable if it happened */
        cr_assert_eq(value_at("d/a", 0, 2 * BLOCK), first);
        cr_assert_eq(value_at("d/a", 2 * BLOCK, 2 * BLOCK), second);
        disk_unmake();
    }
    for (unsigned i = 0; i < 4; i++)
        cr_assert(seen[i] > 10);
}

Test(sim_disk_crash, an_ended_write_survives_both)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        queue_make(seed);
        queue_fill();
        cr_assert_eq(sim_disk_advance(disk, 10), 2);
        crash_and_reopen(seed % 2 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        cr_assert_eq(value_at("d/a", 0, 4 * BLOCK), 2);
        disk_unmake();
    }
}

/* ---- Death ---- */

Test(sim_disk_crash, a_dead_disk_refuses_everything_and_lets_handles_go)
{
    struct pawl_storage_done done[8];
    void *file;
    void *lock;
    void *other;
    uint64_t operations;

    queue_make(1);
    file = file_open("d/b", PAWL_STORAGE_CREATE);
    cr_assert_eq(storage->lock(storage->user, "d", &lock), 0);
    queue_fill();
    sim_disk_die(disk);
    operations = sim_disk_counters(disk)->operations;
    cr_assert(sim_disk_is_dead(disk));
    cr_assert_eq(file_try_fill(file, 1, 10, 0), -EIO);
    cr_assert_eq(storage->sync(storage->user, file), -EIO);
    cr_assert_eq(storage->size(storage->user, file), -EIO);
    cr_assert_eq(storage->read(storage->user, file, block, 1, 0), -EIO);
    cr_assert_eq(storage->open(storage->user, "d/c", PAWL_STORAGE_CREATE, &other), -EIO);
    cr_assert_eq(storage->rename(storage->user, "d/a", "d/c"), -EIO);
    cr_assert_eq(storage->remove(storage->user, "d/a"), -EIO);
    cr_assert_eq(storage->sync_directory(storage->user, "d"), -EIO);
    cr_assert_eq(storage->queue_open(storage->user, 1, -1, &other), -EIO);
    cr_assert_eq(storage->queue_write(storage->user, queue, file, block, BLOCK, 0, 9), -EIO);
    cr_assert_eq(sim_disk_advance(disk, 1000), 0);
    cr_assert_eq(sim_disk_next_ns(disk), UINT64_MAX);
    cr_assert_eq(storage->queue_reap(storage->user, queue, done, 8, UINT64_MAX), 2);
    cr_assert(done[0].result == -EIO && done[1].result == -EIO);
    storage->queue_close(storage->user, queue);
    cr_assert_eq(storage->close(storage->user, file), -EIO);
    storage->unlock(storage->user, lock);
    cr_assert_eq(sim_disk_counters(disk)->operations, operations);
    cr_assert_eq(sim_disk_under_way(disk), 2); /* the disk still has them */
    crash_and_reopen(SIM_CRASH_KILL);
    cr_assert(is_there("d/a") && is_there("d/b") && !is_there("d/c"));
    cr_assert_eq(size_of("d/b"), 0);
    disk_unmake();
}

Test(sim_disk_crash, death_within_an_operation_leaves_it_done_undone_or_in_part)
{
    unsigned renamed = 0;
    unsigned sizes = 0; /* a set, in blocks */
    unsigned durable = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        file_make("d/a", 1, BLOCK);
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_RENAME), 1);
        cr_assert_eq(storage->rename(storage->user, "d/a", "d/b"), -EIO);
        cr_assert(sim_disk_is_dead(disk));
        crash_and_reopen(SIM_CRASH_KILL);
        cr_assert(is_there("d/a") != is_there("d/b"));
        renamed += is_there("d/b");

        file = file_open("d/c", PAWL_STORAGE_CREATE);
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_WRITE), 1);
        cr_assert_eq(file_try_fill(file, 2, 3 * BLOCK, 0), -EIO);
        crash_and_reopen(SIM_CRASH_KILL);
        cr_assert_eq(size_of("d/c") % BLOCK, 0);
        sizes |= 1u << size_of("d/c") / BLOCK;

        sim_disk_faults_clear(disk);
        file_make("d/e", 1, 2 * BLOCK);
        file = file_open("d/e", PAWL_STORAGE_DURABLE);
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_WRITE), 1);
        cr_assert_eq(file_try_fill(file, 2, 2 * BLOCK, 0), -EIO);
        crash_and_reopen(SIM_CRASH_POWER);
        durable |= 1u << (value_at("d/e", 0, 2 * BLOCK) + 1);
        disk_unmake();
    }
    cr_assert(renamed > 10 && renamed < SEEDS - 10);
    cr_assert_eq(sizes, 15);
    cr_assert_eq(durable, 13); /* torn, old, new */
}

Test(sim_disk_crash, a_kill_within_a_durable_write_leaves_its_first_blocks)
{
    unsigned seen = 0; /* a set of counts */

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        unsigned count = 0;

        disk_make(seed);
        file_make("d/a", 1, 3 * BLOCK);
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_WRITE), 1);
        cr_assert_eq(file_try_fill(file_open("d/a", PAWL_STORAGE_DURABLE), 2, 3 * BLOCK, 0), -EIO);
        crash_and_reopen(SIM_CRASH_KILL);
        while (count < 3 && value_at("d/a", count * BLOCK, BLOCK) == 2)
            count++;
        cr_assert(count == 3 || value_at("d/a", count * BLOCK, (3 - count) * BLOCK) == 1);
        seen |= 1u << count;
        disk_unmake();
    }
    cr_assert_eq(seen, 15);
}

Test(sim_disk_crash, death_within_a_creation_leaves_the_name_or_not)
{
    unsigned there = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        void *file;

        disk_make(seed);
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_CREATE), 1);
        cr_assert_eq(storage->open(storage->user, "d/a", PAWL_STORAGE_CREATE, &file), -EIO);
        crash_and_reopen(SIM_CRASH_KILL);
        there += is_there("d/a");
        disk_unmake();
    }
    cr_assert(there > 10 && there < SEEDS - 10);
}

Test(sim_disk_crash, death_at_the_end_of_a_queue_write_tells_nobody)
{
    unsigned written = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct pawl_storage_done done[8];

        queue_make(seed);
        queue_fill();
        fault(SIM_FAULT_DIE, SIM_OPS(SIM_QUEUE_END), 1);
        cr_assert_eq(sim_disk_advance(disk, 10), 1);
        cr_assert_eq(storage->queue_reap(storage->user, queue, done, 8, 0), 2);
        cr_assert(done[0].result == -EIO && done[1].result == -EIO);
        written += value_at("d/a", 0, 2 * BLOCK) == 2;
        crash_and_reopen(SIM_CRASH_POWER);
        disk_unmake();
    }
    cr_assert(written > 10 && written < SEEDS - 10);
}

static jmp_buf out;

static void leave(void *user)
{
    (void)user;
    longjmp(out, 1);
}

Test(sim_disk_crash, death_may_leave_by_longjmp)
{
    disk_make(1);
    file_make("d/a", 1, BLOCK);
    fault(SIM_FAULT_DIE, SIM_OPS(SIM_WRITE), 1);
    sim_disk_on_death(disk, leave, NULL);
    if (setjmp(out) == 0) {
        file_fill(file_open("d/a", 0), 2, BLOCK, 0);
        cr_assert(false);
    }
    cr_assert(sim_disk_is_dead(disk));
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert(is_there("d/a"));
    disk_unmake();
}

/* ---- Copies and hashes ---- */

Test(sim_disk_crash, a_copy_is_the_same_until_one_of_them_changes)
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

Test(sim_disk_crash, a_copy_has_what_is_not_durable_yet)
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

Test(sim_disk_crash, the_hash_sees_names_sizes_and_bytes)
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

Test(sim_disk_crash, the_same_seed_gives_the_same_disk)
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
