#include "shard/store_open.h"

#include <stddef.h>

#include "support/store_fixture.h"

static void expect_refused(struct store_fixture *s, int expected, const char *words)
{
    const int error = store_try_open(s);

    cr_assert_eq(error, expected, "%d: %s", error, s->told);
    cr_assert(strstr(s->told, words) != NULL, "'%s' is not in: %s", words, s->told);
}

/* ---- options ------------------------------------------------------------------------------------- */

Test(store_open, wrong_options_are_refused_in_words)
{
    struct store_fixture s;
    struct pawl_store_options good;

    store_init(&s, NULL);
    good = s.options.store;
    s.options.store.size = 8;
    expect_refused(&s, -EINVAL, "PAWL_STORE_OPTIONS_INIT");
    s.options.store = good;
    s.options.store.directory = NULL;
    expect_refused(&s, -EINVAL, "directory");
    s.options.store.directory = "";
    expect_refused(&s, -EINVAL, "directory");
    s.options.store = good;
    s.options.store.segment_bytes = 60u << 10;
    expect_refused(&s, -EINVAL, "segment_bytes");
    s.options.store.segment_bytes = (64u << 10) + 512;
    expect_refused(&s, -EINVAL, "segment_bytes");
    s.options.store = good;
    s.options.store.writes_max = 65;
    expect_refused(&s, -EINVAL, "writes_max");
    s.options.store = good;
    s.options.store.migrations_count = 1;
    expect_refused(&s, -EINVAL, "migrations");
    s.options.store = good;
    store_open(&s);
    store_end(&s);
}

/* What lies behind the given size is not the host's: poison that none of the checks lets pass. */
Test(store_open, options_of_an_older_host_end_earlier_and_the_rest_is_0)
{
    struct store_fixture s;

    store_init(&s, NULL);
    s.options.store.size = offsetof(struct pawl_store_options, writes_max);
    memset((char *)&s.options.store + s.options.store.size, 0xff,
           sizeof(s.options.store) - s.options.store.size);
    cr_assert_eq(store_try_open(&s), 0, "%s", s.told);
    cr_assert_eq(s.f.runtime->store->options.segment_bytes, 1u << 20); /* what it had counts */
    cr_assert_eq(s.f.runtime->store->options.writes_max, 8);
    cr_assert(s.f.runtime->store->options.on_failed == NULL);
    cr_assert(s.f.runtime->store->options.migrations == NULL);
    cr_assert_eq(pawl_close(s.f.runtime), 0);
    pawl_virtual_clock_destroy(s.f.clock);
    s.options.store.io_threads = 3;
    cr_assert_eq(pawl__store_io_threads(&(struct pawl_options){.store = &s.options.store}), 3);
    s.options.store.size = offsetof(struct pawl_store_options, io_threads);
    cr_assert_eq(pawl__store_io_threads(&(struct pawl_options){.store = &s.options.store}), 1);
    store_fini(&s);
}

Test(store_open, options_of_a_newer_host_and_cut_ones_are_refused)
{
    struct store_fixture s;

    store_init(&s, NULL);
    s.options.store.size = sizeof(s.options.store) + 8;
    expect_refused(&s, -EINVAL, "PAWL_STORE_OPTIONS_INIT");
    s.options.store.size = offsetof(struct pawl_store_options, directory);
    expect_refused(&s, -EINVAL, "PAWL_STORE_OPTIONS_INIT");
    s.options.store.size = 0;
    expect_refused(&s, -EINVAL, "PAWL_STORE_OPTIONS_INIT");
    store_fini(&s);
}

Test(store_open, a_durable_machine_needs_a_store)
{
    struct pawl_machine_def definition = puppet_machine;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;

    definition.durability = PAWL_DURABILITY_SYNC;
    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &machine), 0);
    options.machines = (const struct pawl_machine *const *)&machine;
    options.machine_count = 1;
    options.shards = 1;
    cr_assert_eq(pawl_open(&options, &runtime), -EINVAL);
    pawl_machine_destroy(machine);
}

/* ---- the directory ------------------------------------------------------------------------------- */

Test(store_open, a_store_that_is_open_is_not_opened_again)
{
    struct store_fixture s;

    store_begin(&s, NULL);
    store_close(&s);
    sim_disk_second_opener(s.disk, STORE_DIRECTORY, true);
    expect_refused(&s, -EBUSY, "another runtime");
    sim_disk_second_opener(s.disk, STORE_DIRECTORY, false);
    store_open(&s);
    store_end(&s);
}

Test(store_open, the_lock_is_given_back_by_every_end)
{
    struct store_fixture s;
    void *lock;

    store_begin(&s, NULL);
    cr_assert_eq(s.storage.lock(s.storage.user, STORE_DIRECTORY, &lock), -EBUSY);
    store_close(&s);
    cr_assert_eq(s.storage.lock(s.storage.user, STORE_DIRECTORY, &lock), 0);
    s.storage.unlock(s.storage.user, lock);
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_WRITE), 1, -EIO); /* an opening that fails late */
    cr_assert(store_try_open(&s) != 0);
    cr_assert_eq(s.storage.lock(s.storage.user, STORE_DIRECTORY, &lock), 0);
    s.storage.unlock(s.storage.user, lock);
    store_fini(&s);
}

Test(store_open, files_without_a_manifest_are_a_damaged_store_and_nothing_is_changed)
{
    struct store_fixture s;
    struct pawl_task task;
    uint64_t hash;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    store_note(&s, task, 1);
    store_crash(&s, SIM_CRASH_POWER);
    cr_assert_eq(sim_disk_lose(s.disk, STORE_DIRECTORY "/manifest"), 0);
    hash = sim_disk_hash(s.disk);
    expect_refused(&s, -EBADMSG, "manifest");
    cr_assert_eq(sim_disk_hash(s.disk), hash);
    store_fini(&s);
}

Test(store_open, leftovers_are_removed_and_foreign_files_are_not)
{
    static uint8_t junk[8192];
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    store_note(&s, task, 5);
    store_crash(&s, SIM_CRASH_POWER);
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/0001-0000-000000000009.snapshot.new", junk,
                              sizeof(junk)),
                 0);
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/0002-0000-000000000001.snapshot", junk,
                              sizeof(junk)),
                 0);
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/notes.txt", junk, 100), 0);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5);
    store_run(&s);
    cr_assert_eq(store_files(&s, FILE_SNAPSHOT, true, NULL), 0);
    for (unsigned i = 0; i < sim_disk_files(s.disk); i++) {
        uint64_t size;

        cr_assert(strstr(sim_disk_file(s.disk, i, &size), "/0002-") == NULL);
    }
    cr_assert_eq(sim_disk_peek(s.disk, STORE_DIRECTORY "/notes.txt", junk, 100, 0), 0);
    store_end(&s);
}

/* ---- lost files ---------------------------------------------------------------------------------- */

/* The shard's journals with numbers from `first` on are gone. */
static void lose(struct store_fixture *s, uint32_t shard, uint64_t first, uint64_t last)
{
    for (unsigned i = sim_disk_files(s->disk); i-- > 0;) {
        struct store_file file;
        char path[SIM_PATH_MAX];
        uint64_t size;

        snprintf(path, sizeof(path), "%s", sim_disk_file(s->disk, i, &size));
        if (pawl__store_file_parse(strrchr(path, '/') + 1, &file) && file.kind == FILE_JOURNAL &&
            file.shard == shard && file.file >= first && file.file <= last)
            cr_assert_eq(sim_disk_lose(s->disk, path), 0);
    }
}

/* Nothing is opened, and nothing is removed either: what is there is as it was. */
static void expect_lost(struct store_fixture *s, const char *words)
{
    const uint64_t hash = sim_disk_hash(s->disk);

    expect_refused(s, -EBADMSG, words);
    cr_assert_eq(sim_disk_hash(s->disk), hash, "something was changed");
    store_fini(s);
}

/* A store of two shards with a task in each, closed in order or not. */
static void make_two(struct store_fixture *s, bool closed)
{
    const struct store_fixture_options options = {.shards = 2};

    store_begin(s, &options);
    for (unsigned i = 0; i < 2; i++)
        store_note(s, store_create(s, M_SYNC, i), 5);
    if (closed)
        store_close(s);
    else
        store_crash(s, SIM_CRASH_POWER);
}

Test(store_open, a_lost_first_journal_is_told_though_only_prepared_files_follow_it)
{
    for (int closed = 0; closed <= 1; closed++) {
        struct store_fixture s;

        make_two(&s, closed != 0);
        lose(&s, 0, 1, 1);
        expect_lost(&s, "shard 0, journal");
    }
}

Test(store_open, all_journals_of_a_shard_lost_are_told)
{
    for (int closed = 0; closed <= 1; closed++) {
        struct store_fixture s;

        make_two(&s, closed != 0);
        lose(&s, 1, 1, UINT64_MAX);
        expect_lost(&s, "shard 1, journal");
    }
}

/* A rewrite's snapshot alone would be a whole store, as it was long ago. */
Test(store_open, all_journals_of_a_shard_lost_after_a_rewrite_are_told)
{
    for (int closed = 0; closed <= 1; closed++) {
        struct store_fixture s;

        make_two(&s, true);
        s.options.shards = 1;
        store_open(&s);
        store_note(&s, store_create(&s, M_SYNC, 0), 6);
        if (closed != 0)
            store_close(&s);
        else
            store_crash(&s, SIM_CRASH_POWER);
        lose(&s, 0, 1, UINT64_MAX);
        expect_lost(&s, "shard 0, journal");
    }
}

Test(store_open, the_last_journals_of_a_store_closed_in_order_are_missed)
{
    struct store_fixture s;

    make_two(&s, true);
    store_open(&s);
    store_note(&s, store_create(&s, M_SYNC, 1), 7);
    store_close(&s);
    lose(&s, 1, 2, UINT64_MAX);
    expect_lost(&s, "closed in order");
}

static uint64_t read_manifest(struct store_fixture *s, void *bytes, size_t capacity)
{
    for (unsigned i = 0; i < sim_disk_files(s->disk); i++) {
        uint64_t size;

        if (strcmp(sim_disk_file(s->disk, i, &size), STORE_DIRECTORY "/manifest") == 0) {
            cr_assert(size <= capacity);
            cr_assert_eq(sim_disk_peek(s->disk, STORE_DIRECTORY "/manifest", bytes, size, 0), 0);
            return size;
        }
    }
    cr_assert(false, "there is no manifest");
    return 0;
}

Test(store_open, a_manifest_from_before_a_rewrite_is_refused_and_the_newer_set_stays)
{
    static uint8_t before[1 << 16], now[1 << 16];
    struct store_fixture s;
    struct pawl_task task;
    uint64_t before_size, now_size, hash;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    store_note(&s, task, 1);
    store_close(&s);
    before_size = read_manifest(&s, before, sizeof(before));
    for (s.options.shards = 3; s.options.shards > 0; s.options.shards--) {
        store_open(&s);
        store_note(&s, task, s.options.shards);
        store_close(&s);
    }
    s.options.shards = 1;
    now_size = read_manifest(&s, now, sizeof(now));
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/manifest", before, before_size), 0);
    hash = sim_disk_hash(s.disk);
    expect_refused(&s, -EBADMSG, "older copy");
    s.options.shards = 2;
    expect_refused(&s, -EBADMSG, "older copy");
    s.options.shards = 1;
    cr_assert_eq(sim_disk_hash(s.disk), hash, "something was changed");
    cr_assert_eq(sim_disk_put(s.disk, STORE_DIRECTORY "/manifest", now, now_size), 0);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 4);
    store_end(&s);
}

Test(store_open, shards_not_asked_for_are_those_of_the_store)
{
    const struct store_fixture_options options = {.shards = 3};
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 2);
    store_close(&s);
    s.options.shards = 0;
    s.f.shards = 0;
    {
        struct pawl_options plain = PAWL_OPTIONS_INIT;
        struct pawl_virtual_clock *clock;
        struct pawl_runtime *runtime;
        struct pawl_view view = {0};

        cr_assert_eq(pawl_virtual_clock_create(1, &clock), 0);
        plain.machines = (const struct pawl_machine *const *)s.machines;
        plain.machine_count = s.machine_count;
        plain.drive = PAWL_DRIVE_HOST;
        plain.clock = pawl_virtual_clock_seam(clock);
        plain.storage = &s.storage;
        plain.no_huge_pages = 1;
        plain.store = &s.options.store;
        cr_assert_eq(pawl_open(&plain, &runtime), 0);
        cr_assert_eq(pawl_shard_count(runtime), 3);
        cr_assert_eq(pawl_task_peek(runtime, task, &view), 0);
        cr_assert_eq(pawl_close(runtime), 0);
        pawl_virtual_clock_destroy(clock);
    }
    store_fini(&s);
}

/* ---- failures ------------------------------------------------------------------------------------ */

/* Whatever fails while opening is told in words, and does no harm. */
Test(store_open, every_failed_operation_is_told_in_words_and_does_no_harm)
{
    unsigned refused = 0, silent = 0;

    for (unsigned op = 0; op < SIM_OP_COUNT; op++) {
        for (uint64_t nth = 1; nth < 100; nth++) {
            struct store_fixture s;
            struct pawl_task task;
            uint64_t struck;
            int number;

            store_begin(&s, NULL);
            task = store_create(&s, M_SYNC, 0);
            store_note(&s, task, 5);
            cr_assert_eq(store_snapshot(&s), 0);
            store_note(&s, task, 6);
            store_crash(&s, SIM_CRASH_POWER);
            number = store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(op), nth, -EIO);
            if (store_try_open(&s) == 0) {
                store_start(&s);
                store_die(&s);
            } else {
                refused++;
                if (s.told[0] == '\0') {
                    silent++;
                    fprintf(stderr, "%s %llu fails without a word\n", sim_op_name(op),
                            (unsigned long long)nth);
                }
            }
            struck = sim_disk_fault_struck(s.disk, number);
            sim_disk_faults_clear(s.disk);
            sim_disk_crash(s.disk, SIM_CRASH_POWER);
            sim_disk_reopen(s.disk);
            store_open(&s);
            cr_assert_eq(fixture_puppet_of(&s.f, task).last, 6, "%s %llu", sim_op_name(op),
                         (unsigned long long)nth);
            store_end(&s);
            if (struck == 0)
                break;
        }
    }
    cr_assert(refused > 20, "%u", refused);
    cr_assert_eq(silent, 0);
}

/* Dying at any operation of an opening, and the next opening finds everything; of a store's first one too. */
static void die_at(enum sim_crash how, bool is_new)
{
    for (uint64_t nth = 1; nth < 200; nth++) {
        struct store_fixture s;
        struct pawl_task task = PAWL_NO_TASK;
        bool struck;

        store_init(&s, NULL);
        if (!is_new) {
            store_open(&s);
            task = store_create(&s, M_SYNC, 0);
            store_note(&s, task, 5);
            store_crash(&s, how);
        }
        struck = store_die_opening(&s, nth, how);
        store_open(&s);
        if (!is_new)
            cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5);
        task = store_create(&s, M_SYNC, 0);
        store_note(&s, task, 6);
        store_crash(&s, how);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).last, 6);
        store_end(&s);
        if (!struck)
            return;
    }
    cr_assert(false, "an opening has no end");
}

Test(store_open, dying_at_any_operation_of_an_opening_loses_nothing)
{
    die_at(SIM_CRASH_POWER, false);
    die_at(SIM_CRASH_KILL, false);
}

Test(store_open, dying_at_any_operation_of_the_first_opening_leaves_a_store_that_opens)
{
    die_at(SIM_CRASH_POWER, true);
    die_at(SIM_CRASH_KILL, true);
}

/* ---- the directory's own name -------------------------------------------------------------------- */

/* After a sync that failed nobody knows, and never will: the directory is made anew. */
Test(store_open, a_directory_whose_name_may_be_lost_is_made_again)
{
    const struct sim_fault fault = {
        .kind = SIM_FAULT_ERROR, .ops = SIM_OPS(SIM_SYNC_DIRECTORY), .nth = 1, .error = -EIO};
    struct store_fixture s;
    struct pawl_task task;

    store_init(&s, NULL);
    cr_assert(sim_disk_fault_add(s.disk, &fault) >= 0);
    expect_refused(&s, -EIO, "making the directory");
    store_open(&s);
    task = store_create(&s, M_SYNC, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert(fixture_is_alive(&s.f, task));
    store_end(&s);
}
