/*
 * test_sim_disk_fault.c - faults of the simulated disk that a test has asked for: when they
 * strike, what, and what is left. Those of writes under way are in test_sim_disk_queue.c.
 */
#include "support/sim_disk_fixture.h"

/* ---- When ---- */

Test(sim_disk_fault, a_fault_strikes_the_nth_or_from_it_on)
{
    void *file;
    int number;

    disk_make(1);
    file = file_open("d/a", PAWL_STORAGE_CREATE);
    number = fault(SIM_FAULT_ERROR, SIM_OPS(SIM_WRITE), 2);
    file_fill(file, 1, 10, 0);
    cr_assert_eq(file_try_fill(file, 1, 10, 0), -EIO);
    file_fill(file, 1, 10, 0);
    cr_assert_eq(sim_disk_fault_struck(disk, number), 1);
    sim_disk_faults_clear(disk);

    cr_assert(sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                                           .ops = SIM_OPS(SIM_WRITE),
                                                           .nth = 2,
                                                           .forever = true,
                                                           .error = -ENOSPC}) >= 0);
    file_fill(file, 1, 10, 0);
    file_sync(file);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(file_try_fill(file, 1, 10, 0), -ENOSPC);
    cr_assert_eq(sim_disk_counters(disk)->failed[SIM_WRITE], 6);
    file_close(file);
    disk_unmake();
}

Test(sim_disk_fault, a_fault_strikes_by_chance_path_and_limit)
{
    void *file;
    int number;
    int other;
    unsigned errors = 0;

    disk_make(1);
    file = file_open("d/a", PAWL_STORAGE_CREATE);
    number = sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                                          .ops = SIM_OPS(SIM_WRITE),
                                                          .path = "/a",
                                                          .per_million = 300000,
                                                          .limit = 50});
    other = sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                                         .ops = SIM_OPS_ALL,
                                                         .path = ".journal",
                                                         .per_million = 1000000});
    for (int i = 0; i < 100; i++)
        errors += file_try_fill(file, 1, 10, 0) == -EIO;
    cr_assert(errors > 10 && errors < 50, "%u of 100", errors);
    for (int i = 0; i < 1000; i++)
        errors += file_try_fill(file, 1, 10, 0) == -EIO;
    cr_assert_eq(errors, 50);
    cr_assert_eq(sim_disk_fault_struck(disk, number), 50);
    cr_assert_eq(sim_disk_fault_struck(disk, other), 0);
    file_close(file);
    disk_unmake();
}

Test(sim_disk_fault, a_chance_with_forever_goes_on_once_it_has_begun)
{
    void *file;
    bool begun = false;

    disk_make(1);
    file = file_open("d/a", PAWL_STORAGE_CREATE);
    cr_assert(sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_ERROR,
                                                           .ops = SIM_OPS(SIM_SYNC),
                                                           .per_million = 100000,
                                                           .forever = true}) >= 0);
    for (int i = 0; i < 200; i++) {
        const bool failed = storage->sync(storage->user, file) != 0;

        cr_assert(failed || !begun);
        begun = failed;
    }
    cr_assert(begun);
    file_close(file);
    disk_unmake();
}

Test(sim_disk_fault, an_impossible_fault_is_refused)
{
    disk_make(1);
    cr_assert_eq(sim_disk_fault_add(
                     disk, &(struct sim_fault){.kind = SIM_FAULT_FLIP, .ops = SIM_OPS(SIM_WRITE)}),
                 -EINVAL);
    cr_assert_eq(
        sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_COUNT, .ops = SIM_OPS_ALL}),
        -EINVAL);
    for (unsigned i = 0; i < SIM_FAULTS_MAX; i++)
        fault(SIM_FAULT_ERROR, SIM_OPS_ALL, 1000);
    cr_assert_eq(
        sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_DIE, .ops = SIM_OPS_ALL}),
        -ENOSPC);
    disk_unmake();
}

/* ---- What strikes ---- */

static int see_name(void *argument, const char *name)
{
    (void)argument, (void)name;
    return 0;
}

/* One of each operation, which gives what the seam gives; SIM_QUEUE_END has tests of its own. */
static int64_t operate(enum sim_op op)
{
    void *user = storage->user;
    void *file = NULL;
    void *queue = NULL;
    int64_t result = 0;

    memset(block, 9, sizeof(block));
    if (op >= SIM_SIZE && op <= SIM_CLOSE)
        file = file_open("d/a", 0);
    if (op == SIM_QUEUE_WRITE) {
        file = file_open("d/a", PAWL_STORAGE_DURABLE);
        cr_assert_eq(storage->queue_open(user, 4, -1, &queue), 0);
    }
    switch (op) {
    case SIM_MAKE_DIRECTORY:
        return storage->make_directory(user, "d/e");
    case SIM_LOCK:
        result = storage->lock(user, "d", &file);
        if (result == 0)
            storage->unlock(user, file);
        return result;
    case SIM_LIST:
        return storage->list(user, "d", see_name, NULL);
    case SIM_RENAME:
        return storage->rename(user, "d/a", "d/b");
    case SIM_REMOVE:
        return storage->remove(user, "d/a");
    case SIM_SYNC_DIRECTORY:
        return storage->sync_directory(user, "d");
    case SIM_OPEN:
    case SIM_CREATE:
        result = storage->open(user, op == SIM_OPEN ? "d/a" : "d/c",
                               op == SIM_OPEN ? 0 : PAWL_STORAGE_CREATE, &file);
        break;
    case SIM_SIZE:
        result = storage->size(user, file);
        break;
    case SIM_READ:
        result = storage->read(user, file, block, 10, 0);
        break;
    case SIM_WRITE:
        result = storage->write(user, file, block, 10, 0);
        break;
    case SIM_SYNC:
        result = storage->sync(user, file);
        break;
    case SIM_CLOSE:
        return storage->close(user, file);
    case SIM_QUEUE_OPEN:
        result = storage->queue_open(user, 4, -1, &queue);
        break;
    case SIM_QUEUE_WRITE:
    case SIM_QUEUE_END:
    case SIM_OP_COUNT:
        result = storage->queue_write(user, queue, file, block, BLOCK, 0, 1);
        break;
    }
    if (queue != NULL)
        storage->queue_close(user, queue);
    if (file != NULL)
        storage->close(user, file);
    return result;
}

Test(sim_disk_fault, every_operation_works_and_every_one_can_fail)
{
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        if (op == SIM_QUEUE_END)
            continue;
        for (int strike = 0; strike < 2; strike++) {
            int64_t result;

            disk_make(7);
            file_make("d/a", 1, BLOCK);
            if (strike)
                fault(SIM_FAULT_ERROR, SIM_OPS(op), 1);
            result = operate((enum sim_op)op);
            cr_assert_eq(result < 0, strike, "%s: %ld", sim_op_name((enum sim_op)op), (long)result);
            cr_assert_eq(sim_disk_counters(disk)->faults[SIM_FAULT_ERROR], (uint64_t)strike);
            if (strike)
                cr_assert_eq(sim_disk_counters(disk)->failed[op], 1);
            disk_unmake();
        }
    }
}

Test(sim_disk_fault, a_failed_change_of_names_changes_nothing)
{
    disk_make(1);
    file_make("d/a", 1, BLOCK);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_RENAME), 1);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_REMOVE), 1);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_CREATE), 1);
    cr_assert_eq(operate(SIM_RENAME), -EIO);
    cr_assert_eq(operate(SIM_REMOVE), -EIO);
    cr_assert_eq(operate(SIM_CREATE), -EIO);
    cr_assert(is_there("d/a") && !is_there("d/b") && !is_there("d/c"));
    disk_unmake();
}

Test(sim_disk_fault, a_short_write_leaves_a_part)
{
    bool some = false;

    for (uint64_t seed = 0; seed < 50; seed++) {
        void *file;
        int64_t size;

        disk_make(seed);
        file = file_open("d/a", PAWL_STORAGE_CREATE);
        fault(SIM_FAULT_SHORT, SIM_OPS(SIM_WRITE), 1);
        cr_assert_eq(file_try_fill(file, 5, 1000, 0), -EIO);
        size = storage->size(storage->user, file);
        cr_assert(size < 1000);
        some |= size > 0;
        if (size > 0)
            cr_assert_eq(value_at("d/a", 0, (size_t)size), 5);
        file_close(file);
        disk_unmake();
    }
    cr_assert(some);
}

Test(sim_disk_fault, a_flipped_read_is_wrong_once_by_one_bit)
{
    void *file;
    uint8_t bytes[BLOCK];
    unsigned wrong = 0;

    disk_make(1);
    file_make("d/a", 0, BLOCK);
    file = file_open("d/a", PAWL_STORAGE_READ);
    fault(SIM_FAULT_FLIP, SIM_OPS(SIM_READ), 1);
    cr_assert_eq(storage->read(storage->user, file, bytes, BLOCK, 0), BLOCK);
    for (unsigned i = 0; i < BLOCK; i++)
        wrong += (unsigned)__builtin_popcount(bytes[i]);
    cr_assert_eq(wrong, 1);
    cr_assert_eq(storage->read(storage->user, file, bytes, BLOCK, 0), BLOCK);
    for (unsigned i = 0; i < BLOCK; i++)
        cr_assert_eq(bytes[i], 0);
    file_close(file);
    disk_unmake();
}
