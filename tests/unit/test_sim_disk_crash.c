/*
 * test_sim_disk_crash.c - what a power loss or a kill leaves of the simulated disk's files and
 * names. Each property is looked at over many seeds, from both sides: what may never happen does
 * not, and what may happen does for some seed. What was under way is in test_sim_disk_death.c.
 */
#include "support/sim_disk_fixture.h"

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
