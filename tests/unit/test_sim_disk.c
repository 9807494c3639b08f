/*
 * test_sim_disk.c - the simulated disk while nobody dies: files, faults, queues, capacity, the
 * trace.
 */
#include "support/sim_disk_fixture.h"

#include <stdlib.h>

/* ---- Files ---- */

Test(sim_disk, a_file_is_what_was_written)
{
    void *file;
    uint8_t bytes[10];

    disk_make(1);
    cr_assert_eq(storage->open(storage->user, "d/a", 0, &file), -ENOENT);
    cr_assert_eq(storage->open(storage->user, "x/a", PAWL_STORAGE_CREATE, &file), -ENOENT);
    file = file_open("d/a", PAWL_STORAGE_CREATE);
    cr_assert_eq(storage->open(storage->user, "d/a", PAWL_STORAGE_CREATE, &file), -EEXIST);
    file_fill(file, 7, 5, 4094);
    cr_assert_eq(storage->size(storage->user, file), 4099);
    cr_assert_eq(storage->read(storage->user, file, bytes, 10, 4092), 7);
    cr_assert(memcmp(bytes, "\0\0\7\7\7\7\7", 7) == 0);
    cr_assert_eq(storage->read(storage->user, file, bytes, 10, 4099), 0);
    file_close(file);
    file = file_open("d/a", PAWL_STORAGE_READ);
    cr_assert_eq(storage->read(storage->user, file, bytes, 1, 4098), 1);
    cr_assert_eq(bytes[0], 7);
    file_close(file);
    disk_unmake();
}

Test(sim_disk, a_removed_file_is_readable_while_it_is_open)
{
    void *file;
    uint8_t byte = 0;

    disk_make(1);
    file_make("d/a", 3, BLOCK);
    file = file_open("d/a", 0);
    cr_assert_eq(storage->remove(storage->user, "d/a"), 0);
    cr_assert_eq(storage->remove(storage->user, "d/a"), -ENOENT);
    cr_assert(!is_there("d/a"));
    cr_assert_eq(sim_disk_used_bytes(disk), BLOCK);
    cr_assert_eq(storage->read(storage->user, file, &byte, 1, 100), 1);
    cr_assert_eq(byte, 3);
    file_close(file);
    cr_assert_eq(sim_disk_used_bytes(disk), 0);
    disk_unmake();
}

Test(sim_disk, rename_replaces)
{
    disk_make(1);
    file_make("d/a", 1, BLOCK);
    file_make("d/b", 2, 2 * BLOCK);
    cr_assert_eq(storage->rename(storage->user, "d/a", "d/b"), 0);
    cr_assert(!is_there("d/a"));
    cr_assert_eq(size_of("d/b"), BLOCK);
    cr_assert_eq(value_at("d/b", 0, BLOCK), 1);
    cr_assert_eq(storage->rename(storage->user, "d/a", "d/b"), -ENOENT);
    cr_assert_eq(storage->rename(storage->user, "d/b", "x/b"), -ENOENT);
    disk_unmake();
}

static int note_name(void *argument, const char *name)
{
    char *text = argument;

    strncat(text, name, 8);
    return name[0] == 'z' ? 77 : 0;
}

Test(sim_disk, list_gives_each_name_once_in_any_order_and_ends_when_told)
{
    bool first_was[3] = {false, false, false};
    char text[64];

    for (uint64_t seed = 0; seed < 50; seed++) {
        disk_make(seed);
        file_make("d/p", 1, 10);
        file_make("d/q", 1, 10);
        file_make("d/r", 1, 10);
        text[0] = '\0';
        cr_assert_eq(storage->list(storage->user, "d", note_name, text), 0);
        cr_assert_eq(strlen(text), 3);
        cr_assert(strchr(text, 'p') && strchr(text, 'q') && strchr(text, 'r'));
        first_was[text[0] - 'p'] = true;
        file_make("d/z", 1, 10);
        cr_assert_eq(storage->list(storage->user, "d", note_name, text), 77);
        cr_assert_eq(storage->list(storage->user, "x", note_name, text), -ENOENT);
        disk_unmake();
    }
    cr_assert(first_was[0] && first_was[1] && first_was[2]);
}

Test(sim_disk, a_lock_keeps_others_out_until_it_is_given_back)
{
    void *lock;
    void *second;

    disk_make(1);
    cr_assert_eq(storage->lock(storage->user, "x", &lock), -ENOENT);
    cr_assert_eq(storage->lock(storage->user, "d", &lock), 0);
    cr_assert_eq(storage->lock(storage->user, "d", &second), -EBUSY);
    cr_assert(is_there("d/lock"));
    storage->unlock(storage->user, lock);
    sim_disk_second_opener(disk, "d", true);
    cr_assert_eq(storage->lock(storage->user, "d", &lock), -EBUSY);
    sim_disk_second_opener(disk, "d", false);
    cr_assert_eq(storage->lock(storage->user, "d", &lock), 0);
    crash_and_reopen(SIM_CRASH_KILL);
    cr_assert_eq(storage->lock(storage->user, "d", &lock), 0);
    disk_unmake();
}

Test(sim_disk, misuse_of_the_seam_is_told)
{
    void *file;

    disk_make(1);
    file = file_open("d/a", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert(sim_disk_misuse(disk) == NULL);
    cr_assert_eq(file_try_fill(file, 1, 100, 0), -EINVAL);
    cr_assert(strstr(sim_disk_misuse(disk), "not aligned") != NULL);
    sim_disk_destroy(disk);

    disk_make(1);
    file_make("d/a", 1, 10);
    file = file_open("d/a", PAWL_STORAGE_READ);
    cr_assert_eq(file_try_fill(file, 1, 10, 0), -EBADF);
    cr_assert(strstr(sim_disk_misuse(disk), "reading") != NULL);
    sim_disk_destroy(disk);
}

/* ---- Capacity ---- */

Test(sim_disk, a_full_disk_takes_what_has_room_and_no_more)
{
    void *file;

    disk_make_with(&(struct sim_disk_options){.seed = 1, .capacity_bytes = 4 * BLOCK});
    file_make("d/a", 1, 2 * BLOCK);
    file = file_open("d/b", PAWL_STORAGE_CREATE);
    cr_assert_eq(file_try_fill(file, 2, 3 * BLOCK, 0), -ENOSPC);
    cr_assert_eq(storage->size(storage->user, file), 2 * BLOCK);
    cr_assert_eq(sim_disk_used_bytes(disk), 4 * BLOCK);
    file_fill(file, 3, 2 * BLOCK, 0); /* what is there already needs no room */
    cr_assert_eq(file_try_fill(file, 2, 1, 2 * BLOCK), -ENOSPC);
    cr_assert_eq(storage->remove(storage->user, "d/a"), 0);
    file_fill(file, 2, BLOCK, 2 * BLOCK);
    cr_assert_eq(sim_disk_used_bytes(disk), 3 * BLOCK);
    cr_assert_eq(sim_disk_counters(disk)->full, 2);
    file_close(file);
    disk_unmake();
}

Test(sim_disk, a_durable_write_to_a_full_disk_fails)
{
    void *file;

    disk_make_with(&(struct sim_disk_options){.seed = 1, .capacity_bytes = 2 * BLOCK});
    file = file_open("d/b", PAWL_STORAGE_CREATE | PAWL_STORAGE_DURABLE);
    cr_assert_eq(file_try_fill(file, 2, 3 * BLOCK, 0), -ENOSPC);
    file_fill(file, 3, 2 * BLOCK, 0);
    cr_assert_eq(file_try_fill(file, 2, BLOCK, 2 * BLOCK), -ENOSPC);
    file_close(file);
    disk_unmake();
}

/* ---- The fault list ---- */

Test(sim_disk, a_fault_strikes_the_nth_or_from_it_on)
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

Test(sim_disk, a_fault_strikes_by_chance_path_and_limit)
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

Test(sim_disk, a_chance_with_forever_goes_on_once_it_has_begun)
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

Test(sim_disk, an_impossible_fault_is_refused)
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

/* One of each operation, which gives what the seam gives; SIM_QUEUE_END has tests of its own. */
static int64_t operate(enum sim_op op)
{
    void *user = storage->user;
    void *file = NULL;
    void *queue = NULL;
    int64_t result = 0;
    char text[64] = "";

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
        return storage->list(user, "d", note_name, text);
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

Test(sim_disk, every_operation_works_and_every_one_can_fail)
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

Test(sim_disk, a_failed_change_of_names_changes_nothing)
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

Test(sim_disk, a_short_write_leaves_a_part)
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

Test(sim_disk, a_flipped_read_is_wrong_once_by_one_bit)
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

/* ---- Queues ---- */

static void *queue;
static void *queue_file;

static void queue_make(uint64_t seed, uint64_t latency_min, uint64_t latency_max)
{
    disk_make_with(&(struct sim_disk_options){
        .seed = seed, .latency_min_ns = latency_min, .latency_max_ns = latency_max});
    file_make("d/a", 1, 8 * BLOCK);
    queue_file = file_open("d/a", PAWL_STORAGE_DURABLE);
    cr_assert_eq(storage->queue_open(storage->user, 4, -1, &queue), 0);
    for (unsigned i = 0; i < 8; i++)
        memset(block + i * BLOCK, (int)(10 + i), BLOCK);
}

static void queue_unmake(void)
{
    storage->queue_close(storage->user, queue);
    file_close(queue_file);
    disk_unmake();
}

/* Block number n to its place, tagged so. */
static int queue_put(unsigned n)
{
    return storage->queue_write(storage->user, queue, queue_file, block + n * BLOCK, BLOCK,
                                (uint64_t)n * BLOCK, n);
}

static int queue_reap(struct pawl_storage_done *done)
{
    return storage->queue_reap(storage->user, queue, done, 8, UINT64_MAX);
}

Test(sim_disk, a_queue_write_ends_when_it_is_due_and_not_before)
{
    struct pawl_storage_done done[8];

    queue_make(1, 100, 100);
    cr_assert_eq(storage->queue_fd(storage->user, queue), -ENOTSUP);
    cr_assert_eq(sim_disk_next_ns(disk), UINT64_MAX);
    cr_assert_eq(queue_put(2), 0);
    cr_assert_eq(sim_disk_next_ns(disk), 100);
    cr_assert_eq(sim_disk_advance(disk, 99), 0);
    cr_assert_eq(queue_reap(done), 0);
    cr_assert_eq(value_at("d/a", 2 * BLOCK, BLOCK), 1);
    cr_assert_eq(sim_disk_advance(disk, 100), 1);
    cr_assert_eq(value_at("d/a", 2 * BLOCK, BLOCK), 12);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 2);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(queue_reap(done), 0);
    queue_unmake();
}

Test(sim_disk, a_queue_takes_its_depth_until_results_are_reaped)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(queue_put(i), 0);
    cr_assert_eq(queue_put(4), -EAGAIN);
    cr_assert_eq(sim_disk_advance(disk, 0), 4);
    cr_assert_eq(queue_put(4), -EAGAIN);
    cr_assert_eq(storage->queue_reap(storage->user, queue, done, 3, 0), 3);
    cr_assert(done[0].tag == 0 && done[1].tag == 1 && done[2].tag == 2);
    cr_assert_eq(queue_put(4), 0);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 3);
    cr_assert_eq(sim_disk_under_way(disk), 1);
    storage->queue_close(storage->user, queue); /* which waits */
    cr_assert_eq(sim_disk_under_way(disk), 0);
    cr_assert_eq(value_at("d/a", 4 * BLOCK, BLOCK), 14);
    file_close(queue_file);
    disk_unmake();
}

Test(sim_disk, queue_writes_end_in_every_order)
{
    bool first_was[3] = {false, false, false};
    uint64_t out_of_order = 0;

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pawl_storage_done done[8];

        queue_make(seed, 10, 1000);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(queue_put(i), 0);
        cr_assert_eq(sim_disk_advance(disk, 1000), 3);
        cr_assert_eq(queue_reap(done), 3);
        first_was[done[0].tag] = true;
        out_of_order += sim_disk_counters(disk)->out_of_order;
        queue_unmake();
    }
    cr_assert(first_was[0] && first_was[1] && first_was[2]);
    cr_assert(out_of_order != 0);
}

Test(sim_disk, a_slow_write_is_overtaken)
{
    struct pawl_storage_done done[8];

    queue_make(1, 10, 10);
    cr_assert(sim_disk_fault_add(disk, &(struct sim_fault){.kind = SIM_FAULT_SLOW,
                                                           .ops = SIM_OPS_ALL,
                                                           .nth = 1,
                                                           .delay_ns = 5000}) >= 0);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(1), 0);
    cr_assert_eq(sim_disk_advance(disk, 5009), 1);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].tag, 1);
    cr_assert_eq(sim_disk_advance(disk, 5010), 1);
    queue_unmake();
}

Test(sim_disk, a_queue_write_fails_when_handed_over_or_when_it_ends)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_WRITE), 2);
    fault(SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 2);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(1), -EIO);
    cr_assert_eq(queue_put(2), 0);
    cr_assert_eq(sim_disk_advance(disk, 0), 2);
    cr_assert_eq(queue_reap(done), 2);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(done[1].tag, 2);
    cr_assert_eq(done[1].result, -EIO);
    cr_assert_eq(value_at("d/a", BLOCK, BLOCK), 1);
    for (unsigned s = 0; s < 8; s++) { /* each sector is old or new */
        const int value = value_at("d/a", 2 * BLOCK + s * SIM_SECTOR, SIM_SECTOR);

        cr_assert(value == 1 || value == 12);
    }
    queue_unmake();
}

Test(sim_disk, a_short_queue_write_gives_the_smaller_count)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_SHORT, SIM_OPS(SIM_QUEUE_END), 1);
    cr_assert_eq(storage->queue_write(storage->user, queue, queue_file, block, 4 * BLOCK, 0, 5), 0);
    cr_assert_eq(sim_disk_advance(disk, 0), 1);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert(done[0].result >= 0 && done[0].result < 4 * BLOCK &&
              done[0].result % SIM_SECTOR == 0);
    for (uint64_t at = 0; at < 4 * BLOCK; at += SIM_SECTOR)
        cr_assert_eq(value_at("d/a", at, SIM_SECTOR),
                     at < (uint64_t)done[0].result ? (int)(10 + at / BLOCK) : 1);
    queue_unmake();
}

/* How many of the file's eight blocks show the value. */
static unsigned blocks_of(int value)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 8; i++)
        count += value_at("d/a", i * BLOCK, BLOCK) == value;
    return count;
}

Test(sim_disk, a_phantom_write_is_reported_and_never_happens)
{
    struct pawl_storage_done done[8];

    queue_make(1, 0, 0);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_QUEUE_END), 1);
    cr_assert_eq(queue_put(3), 0);
    sim_disk_advance(disk, 0);
    cr_assert_eq(queue_reap(done), 1);
    cr_assert_eq(done[0].result, BLOCK);
    cr_assert_eq(blocks_of(1), 8);
    sim_disk_faults_clear(disk);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_WRITE), 1);
    file_fill(queue_file, 5, BLOCK, 0);
    cr_assert_eq(blocks_of(1), 8);
    file_fill(queue_file, 5, BLOCK, 0);
    cr_assert_eq(blocks_of(5), 1);
    sim_disk_faults_clear(disk);
    fault(SIM_FAULT_PHANTOM, SIM_OPS(SIM_WRITE), 1);
    file_fill(queue_file, 5, BLOCK, 9 * BLOCK); /* only the file's size learns of it */
    cr_assert_eq(size_of("d/a"), 10 * BLOCK);
    cr_assert_eq(value_at("d/a", 8 * BLOCK, 2 * BLOCK), 0);
    queue_unmake();
}

Test(sim_disk, a_misdirected_write_lands_elsewhere_or_nowhere)
{
    unsigned elsewhere = 0;
    unsigned other_file = 0;

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pawl_storage_done done[8];

        queue_make(seed, 0, 0);
        file_make("d/other", 2, 4 * BLOCK);
        memset(block, 10, BLOCK);
        fault(SIM_FAULT_MISDIRECTED, SIM_OPS(SIM_QUEUE_END), 1);
        cr_assert_eq(queue_put(0), 0);
        sim_disk_advance(disk, 0);
        cr_assert_eq(queue_reap(done), 1);
        cr_assert_eq(done[0].result, BLOCK);
        cr_assert_eq(value_at("d/a", 0, BLOCK), 1);
        elsewhere += blocks_of(10);
        for (unsigned i = 0; i < 4; i++)
            other_file += value_at("d/other", i * BLOCK, BLOCK) == 10;
        queue_unmake();
    }
    cr_assert(elsewhere > 10 && other_file > 5, "%u %u", elsewhere, other_file);
}

Test(sim_disk, queue_misuse_is_told)
{
    queue_make(1, 10, 10);
    cr_assert_eq(queue_put(0), 0);
    block[100]++;
    sim_disk_advance(disk, 10);
    cr_assert(strstr(sim_disk_misuse(disk), "under way") != NULL);
    sim_disk_destroy(disk);

    queue_make(1, 10, 10);
    cr_assert_eq(queue_put(0), 0);
    cr_assert_eq(queue_put(0), 0);
    cr_assert(strstr(sim_disk_misuse(disk), "two writes") != NULL);
    sim_disk_destroy(disk);

    queue_make(1, 10, 10);
    cr_assert_eq(storage->queue_write(storage->user, queue, queue_file, block, 100, 0, 0), -EINVAL);
    cr_assert(strstr(sim_disk_misuse(disk), "not aligned") != NULL);
    sim_disk_destroy(disk);
}

/* ---- Stale blocks ---- */

Test(sim_disk, a_hole_is_zeroes_or_by_fault_bytes_of_removed_files)
{
    for (int strike = 0; strike < 2; strike++) {
        void *file;

        disk_make(1);
        file_make("d/old", 0x5a, 4 * BLOCK);
        cr_assert_eq(storage->remove(storage->user, "d/old"), 0);
        if (strike)
            fault(SIM_FAULT_STALE, SIM_OPS_ALL, 1);
        file = file_open("d/new", PAWL_STORAGE_CREATE);
        file_fill(file, 1, BLOCK, 3 * BLOCK);
        cr_assert_eq(value_at("d/new", 0, 3 * BLOCK), strike ? 0x5a : 0);
        cr_assert_eq(value_at("d/new", 3 * BLOCK, BLOCK), 1);
        file_fill(file, 0, BLOCK, BLOCK); /* what is written is never stale */
        cr_assert_eq(value_at("d/new", BLOCK, BLOCK), 0);
        file_close(file);
        disk_unmake();
    }
}

/* ---- The trace ---- */

Test(sim_disk, the_trace_says_the_last_operations_with_their_faults)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    void *file;

    disk_make(1);
    file = file_open("d/a", PAWL_STORAGE_CREATE);
    for (int i = 0; i < 1000; i++)
        file_fill(file, 1, 10, 20);
    fault(SIM_FAULT_ERROR, SIM_OPS_ALL, 1);
    cr_assert_eq(storage->sync(storage->user, file), -EIO);
    file_close(file);
    sim_disk_trace(disk, out, 3);
    fclose(out);
    cr_assert_str_eq(text, "#1004 write          d/a 20+10 = 10\n"
                           "#1005 sync           d/a = -5 (Input/output error) [fault: error]\n"
                           "#1006 close          d/a = 0\n");
    free(text);
    disk_unmake();
}
