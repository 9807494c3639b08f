/*
 * test_sim_disk_death.c - the simulated disk when it dies in the middle of something: writes under
 * way, an operation that has begun; and what a dead one answers. Over many seeds, as in
 * test_sim_disk_crash.c.
 */
#include "support/sim_disk_fixture.h"

#include <setjmp.h>

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

Test(sim_disk_death, power_takes_any_part_of_a_write_under_way)
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

Test(sim_disk_death, a_kill_leaves_a_write_under_way_whole_or_undone)
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

Test(sim_disk_death, an_ended_write_survives_both)
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

Test(sim_disk_death, a_dead_disk_refuses_everything_and_lets_handles_go)
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

Test(sim_disk_death, death_within_an_operation_leaves_it_done_undone_or_in_part)
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

Test(sim_disk_death, a_kill_within_a_durable_write_leaves_its_first_blocks)
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

Test(sim_disk_death, death_within_a_creation_leaves_the_name_or_not)
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

Test(sim_disk_death, death_at_the_end_of_a_queue_write_tells_nobody)
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

Test(sim_disk_death, death_may_leave_by_longjmp)
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
