/* What counts no more is removed, in an order that a power loss does not turn into a lost file. */
#include "shard/store_open.h"
#include "support/store_fixture.h"

enum { BEHIND = 5 };

static void put_blank(struct store_fixture *s, uint32_t shard, uint64_t number)
{
    static uint8_t zeroes[3 * STORE_BLOCK];
    const struct store_file file = {.set = 1, .shard = shard, .file = number, .kind = FILE_JOURNAL};
    char name[STORE_NAME_MAX], path[STORE_PATH_MAX];

    pawl__store_file_name(&file, name);
    cr_assert_eq(pawl__store_path(STORE_DIRECTORY, name, path), 0);
    cr_assert_eq(sim_disk_put(s->disk, path, zeroes, sizeof(zeroes)), 0);
}

static bool is_there(const struct store_fixture *s, uint32_t shard, uint64_t number)
{
    for (unsigned i = 0; i < sim_disk_files(s->disk); i++) {
        struct store_file file;
        uint64_t size;
        const char *path = sim_disk_file(s->disk, i, &size);

        if (pawl__store_file_parse(strrchr(path, '/') + 1, &file) && file.shard == shard &&
            file.file == number && file.kind == FILE_JOURNAL)
            return true;
    }
    return false;
}

/* Of the files that have begun the highest one's number is 1: what is prepared is 2 and on. */
static void check(const struct store_fixture *s, uint64_t nth, unsigned *partly)
{
    for (uint32_t shard = 0; shard < 2; shard++) {
        unsigned left = 0;

        for (uint64_t number = 3; number <= 2 + BEHIND; number++)
            left += is_there(s, shard, number);
        *partly += left > 0 && left < BEHIND;
        cr_assert(left == 0 || is_there(s, shard, 2),
                  "died at operation %llu: %u files are left, and not the lowest",
                  (unsigned long long)nth, left);
    }
}

Test(store_leftovers, the_lowest_of_the_files_prepared_goes_last)
{
    unsigned partly = 0;

    for (uint64_t nth = 1;; nth++) {
        const struct store_fixture_options options = {.seed = nth, .shards = 2};
        struct store_fixture s;
        struct pawl_task task;
        bool struck;

        store_begin(&s, &options);
        task = store_create(&s, M_SYNC, 1);
        store_note(&s, task, 4);
        store_crash(&s, SIM_CRASH_POWER);
        for (uint32_t shard = 0; shard < 2; shard++)
            for (uint64_t i = 2; i <= 2 + BEHIND; i++)
                if (!is_there(&s, shard, i))
                    put_blank(&s, shard, i);
        struck = store_die_opening(&s, nth, SIM_CRASH_POWER);
        if (struck)
            check(&s, nth, &partly);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).last, 4);
        store_end(&s);
        if (!struck)
            break;
    }
    cr_assert(partly > 5, "%u: no power loss in the middle of it", partly);
}

Test(store_leftovers, room_taken_is_that_of_the_shards_files_of_the_set)
{
    const struct store_fixture_options options = {.shards = 2};
    static uint8_t junk[2 * STORE_BLOCK];
    struct store_fixture s;
    uint64_t bytes;

    store_init(&s, &options);
    cr_assert_eq(store_try_open(&s), 0);
    bytes = pawl__store_disk_bytes(s.f.runtime, 1);
    cr_assert(bytes >= 1u << 20, "a segment");
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/0002-0001-000000000009.snapshot", junk,
                              sizeof(junk)),
                 0);
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/0001-0000-000000000009.snapshot", junk,
                              sizeof(junk)),
                 0);
    cr_assert_eq(pawl__store_disk_bytes(s.f.runtime, 1), bytes);
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/0001-0001-000000000009.snapshot", junk,
                              sizeof(junk)),
                 0);
    cr_assert_eq(pawl__store_disk_bytes(s.f.runtime, 1), bytes + sizeof(junk));
    cr_assert_eq(pawl_close(s.f.runtime), 0);
    pawl_virtual_clock_destroy(s.f.clock);
    store_fini(&s);
}
