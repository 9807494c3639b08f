/* test_sim_disk_damage.c - damage at rest of the simulated disk, and the places that it picks. */
#include "support/sim_disk_fixture.h"

#include "store/format.h"

Test(sim_disk_damage, a_flip_changes_one_bit_for_good)
{
    disk_make(1);
    file_make("d/a", 0x10, 2 * BLOCK);
    cr_assert_eq(sim_disk_flip(disk, "d/x", 0, 0), -ENOENT);
    cr_assert_eq(sim_disk_flip(disk, "d/a", 2 * BLOCK, 0), -EINVAL);
    cr_assert_eq(sim_disk_flip(disk, "d/a", 5000, 3), 0);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert_eq(value_at("d/a", 0, 5000), 0x10);
    cr_assert_eq(value_at("d/a", 5000, 1), 0x18);
    cr_assert_eq(value_at("d/a", 5001, 2 * BLOCK - 5001), 0x10);
    disk_unmake();
}

Test(sim_disk_damage, damage_reaches_what_is_cached_too)
{
    void *file;

    disk_make(1);
    file_make("d/a", 1, BLOCK);
    file = file_open("d/a", 0);
    file_fill(file, 2, 100, 0);
    cr_assert_eq(sim_disk_poke(disk, "d/a", "\7", 1, 50), 0);
    cr_assert_eq(value_at("d/a", 50, 1), 7);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert_eq(value_at("d/a", 50, 1), 7);
    cr_assert_eq(value_at("d/a", 0, 50), 2);
    disk_unmake();
}

Test(sim_disk_damage, a_truncated_file_ends_there)
{
    disk_make(1);
    file_make("d/a", 1, 3 * BLOCK);
    cr_assert_eq(sim_disk_truncate(disk, "d/a", 3 * BLOCK + 1), -EINVAL);
    cr_assert_eq(sim_disk_truncate(disk, "d/a", BLOCK + 10), 0);
    cr_assert_eq(size_of("d/a"), BLOCK + 10);
    cr_assert_eq(value_at("d/a", 0, BLOCK + 10), 1);
    cr_assert_eq(sim_disk_used_bytes(disk), 2 * BLOCK);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert_eq(size_of("d/a"), BLOCK + 10);
    disk_unmake();
}

Test(sim_disk_damage, files_go_missing_double_and_move)
{
    disk_make(1);
    file_make("d/a", 1, BLOCK);
    file_make("d/b", 2, 2 * BLOCK);
    cr_assert_eq(sim_disk_duplicate(disk, "d/a", "d/c"), 0);
    cr_assert_eq(sim_disk_duplicate(disk, "d/x", "d/c"), -ENOENT);
    cr_assert_eq(sim_disk_flip(disk, "d/c", 0, 0), 0);
    cr_assert_eq(value_at("d/a", 0, BLOCK), 1); /* its own bytes */
    cr_assert_eq(sim_disk_files(disk), 3);
    cr_assert_eq(sim_disk_used_bytes(disk), 4 * BLOCK);
    cr_assert_eq(sim_disk_move(disk, "d/b", "d/a"), 0);
    cr_assert_eq(sim_disk_lose(disk, "d/c"), 0);
    cr_assert_eq(sim_disk_lose(disk, "d/c"), -ENOENT);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert(!is_there("d/b") && !is_there("d/c"));
    cr_assert_eq(value_at("d/a", 0, 2 * BLOCK), 2);
    cr_assert_eq(sim_disk_used_bytes(disk), 2 * BLOCK);
    disk_unmake();
}

Test(sim_disk_damage, a_foreign_file_is_there_for_good)
{
    uint64_t size = 0;

    disk_make(1);
    memset(block, 5, sizeof(block));
    cr_assert_eq(sim_disk_put(disk, "d/z", block, 5000), 0);
    cr_assert_eq(sim_disk_put(disk, "d/z", block, 6000), 0);
    cr_assert_eq(sim_disk_put(disk, "d/b", block, 10), 0);
    cr_assert_eq(sim_disk_put(disk, "x/z", block, 10), -ENOENT);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert_str_eq(sim_disk_file(disk, 0, &size), "d/b");
    cr_assert_eq(size, 10);
    cr_assert_str_eq(sim_disk_file(disk, 1, &size), "d/z");
    cr_assert_eq(size, 6000);
    cr_assert(sim_disk_file(disk, 2, NULL) == NULL);
    cr_assert_eq(value_at("d/z", 0, 6000), 5);
    disk_unmake();
}

Test(sim_disk_damage, blocks_are_copied_and_erased)
{
    disk_make(1);
    file_make("d/a", 1, 2 * BLOCK);
    file_make("d/b", 2, 2 * BLOCK);
    cr_assert_eq(sim_disk_copy_block(disk, "d/a", 1, "d/b", 0), -EINVAL);
    cr_assert_eq(sim_disk_copy_block(disk, "d/a", 0, "d/b", BLOCK), 0);
    cr_assert_eq(sim_disk_erase(disk, "d/a", 100, BLOCK), 0);
    cr_assert_eq(sim_disk_erase(disk, "d/a", 100, 2 * BLOCK), -EINVAL);
    crash_and_reopen(SIM_CRASH_POWER);
    cr_assert_eq(value_at("d/b", 0, BLOCK), 2);
    cr_assert_eq(value_at("d/b", BLOCK, BLOCK), 1);
    cr_assert_eq(value_at("d/a", 100, BLOCK), 0);
    cr_assert_eq(value_at("d/a", BLOCK + 100, BLOCK - 100), 1);
    disk_unmake();
}

/* ---- Places ---- */

/*
 * A journal: header; a group of two frames with 200 and 8 bytes; a seal; one block that is not
 * used.
 */
static void journal_put(void)
{
    struct frame_header frame = {.magic = FRAME_MAGIC, .type = FRAME_STEPS, .size = 200};

    memset(block, 0, sizeof(block));
    memcpy(block, FILE_MAGIC, 8);
    memcpy(block + BLOCK, &frame, sizeof(frame));
    frame.size = 8;
    memcpy(block + BLOCK + 280, &frame, sizeof(frame));
    frame.type = FRAME_SEAL;
    frame.size = 16;
    memcpy(block + 2 * BLOCK, &frame, sizeof(frame));
    cr_assert_eq(sim_disk_put(disk, "d/1.journal", block, 4 * BLOCK), 0);
}

static enum sim_place_class class_at(uint64_t offset)
{
    if (offset < BLOCK)
        return offset < 88 ? SIM_PLACE_FILE_HEADER : SIM_PLACE_HEADER_REST;
    if (offset >= 3 * BLOCK)
        return SIM_PLACE_UNUSED;
    if (offset >= 2 * BLOCK)
        return offset < 2 * BLOCK + 96 ? SIM_PLACE_SEAL : SIM_PLACE_PADDING;
    offset -= BLOCK;
    if (offset < 80 || (offset >= 280 && offset < 360))
        return SIM_PLACE_FRAME_HEADER;
    return offset < 368 ? SIM_PLACE_PAYLOAD : SIM_PLACE_PADDING;
}

Test(sim_disk_damage, every_class_of_place_is_picked_and_nothing_else)
{
    for (int kind = SIM_PLACE_ANY; kind < SIM_PLACE_COUNT; kind++) {
        unsigned different = 0;
        uint64_t before = 0;

        disk_make((uint64_t)kind);
        journal_put();
        for (unsigned i = 0; i < SEEDS; i++) {
            struct sim_place place;

            cr_assert_eq(sim_disk_pick(disk, (enum sim_place_class)kind, NULL, &place), 0);
            cr_assert_str_eq(place.path, "d/1.journal");
            cr_assert(place.bit < 8 && place.offset < 4 * BLOCK);
            cr_assert_eq(place.kind, class_at(place.offset));
            cr_assert(kind == SIM_PLACE_ANY || (int)place.kind == kind);
            different += place.offset != before;
            before = place.offset;
        }
        cr_assert(different > SEEDS / 2);
        disk_unmake();
    }
}

Test(sim_disk_damage, both_ends_of_a_class_are_picked)
{
    bool first = false;
    bool last = false;

    disk_make(3);
    journal_put();
    for (unsigned i = 0; i < 20 * SEEDS; i++) {
        struct sim_place place;

        cr_assert_eq(sim_disk_pick(disk, SIM_PLACE_SEAL, ".journal", &place), 0);
        first |= place.offset == 2 * BLOCK;
        last |= place.offset == 2 * BLOCK + 95;
    }
    cr_assert(first && last);
    disk_unmake();
}

Test(sim_disk_damage, where_there_is_no_such_place_none_is_picked)
{
    struct sim_place place;

    disk_make(1);
    cr_assert_eq(sim_disk_pick(disk, SIM_PLACE_ANY, NULL, &place), -ENOENT);
    file_make("d/foreign", 1, BLOCK);
    cr_assert_eq(sim_disk_pick(disk, SIM_PLACE_PAYLOAD, NULL, &place), -ENOENT);
    cr_assert_eq(sim_disk_pick(disk, SIM_PLACE_ANY, ".journal", &place), -ENOENT);
    cr_assert_eq(sim_disk_pick(disk, SIM_PLACE_ANY, NULL, &place), 0);
    cr_assert_eq(place.kind, SIM_PLACE_ANY);
    disk_unmake();
}
