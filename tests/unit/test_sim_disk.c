/*
 * test_sim_disk.c - the simulated disk while nobody dies: files, capacity, stale blocks, the
 * trace. What strikes is in test_sim_disk_fault.c, queues in test_sim_disk_queue.c.
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
