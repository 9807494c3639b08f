#include "base/random.h"
#include "store/reader.h"
#include "support/store_fixture.h"

enum { SMALL = 64u << 10 };

static struct store_fixture_options small_files(void)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};

    options.store.segment_bytes = SMALL;
    options.store.snapshot_bytes = UINT64_MAX;
    return options;
}

/* ---- from file to file --------------------------------------------------------------------------- */

/* Steps until the journal has gone on in another file so many times; returns how many. */
static uint64_t fill_files(struct store_fixture *s, struct pawl_task task, uint64_t files)
{
    const uint64_t from = store_durable(s, 0)->journal.steps_writer.number;
    uint64_t count = 0;

    while (store_durable(s, 0)->journal.steps_writer.number < from + files) {
        store_note(s, task, ++count);
        cr_assert(count < 10000);
    }
    return count;
}

Test(journal, goes_on_in_the_next_file_and_all_of_it_is_read)
{
    const struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task task;
    uint64_t count;

    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    count = fill_files(&s, task, 5);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, count);
    store_end(&s);
}

/* The seal of a file is durable before the next one's header is begun. */
Test(journal, a_file_is_sealed_before_the_next_is_begun)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task task;
    uint64_t count = 0;
    unsigned looked = 0;

    options.latency_min_ns = 1000;
    options.latency_max_ns = 1000000;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    while (looked < 10) {
        const struct writer *writer = &store_durable(&s, 0)->journal.steps_writer;
        const uint64_t before = writer->number;
        struct store_file name = {.set = 1, .shard = 0, .file = before, .kind = FILE_JOURNAL};
        struct reader reader;
        struct reader_frame frame;
        struct sim_disk *copy;

        store_post(&s, task, P_NOTE, ++count, 0, 1);
        fixture_turn(&s.f);
        store_disk_step(&s);
        fixture_turn(&s.f);
        (void)(fixture_nothing_to_reap(&s.f));
        if (writer->number == before)
            continue;
        /* As a power loss would leave it now. */
        cr_assert_eq(sim_disk_copy(s.disk, ++looked, &copy), 0);
        sim_disk_crash(copy, SIM_CRASH_POWER);
        sim_disk_reopen(copy);
        cr_assert_eq(pawl__reader_open(&reader, sim_disk_storage(copy), STORE_DIRECTORY, &name, 0),
                     0);
        while (pawl__reader_next(&reader, &frame) == READER_FRAME)
            ;
        cr_assert_eq(reader.result, READER_SEALED, "file %llu: %s", (unsigned long long)before,
                     reader.what);
        pawl__reader_close(&reader);
        sim_disk_destroy(copy);
    }
    store_end(&s);
}

Test(journal, an_orderly_end_leaves_sealed_files_and_says_so)
{
    const struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task task;
    struct store_file name = {.set = 1, .shard = 0, .kind = FILE_JOURNAL};
    struct reader reader;
    struct reader_frame frame;

    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    fixture_send(&s.f, task, P_NOTE, 7); /* not durable yet: the stop sees to it */
    fixture_turn(&s.f);
    name.file = store_durable(&s, 0)->journal.steps_writer.number;
    store_close(&s);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
    cr_assert_eq(pawl__reader_open(&reader, &s.storage, STORE_DIRECTORY, &name, 0), 0);
    while (pawl__reader_next(&reader, &frame) == READER_FRAME)
        ;
    cr_assert_eq(reader.result, READER_SEALED, "%s", reader.what);
    pawl__reader_close(&reader);
    store_open(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 7);
    store_end(&s);
}

/* ---- room ---------------------------------------------------------------------------------------- */

enum { FULL_TASKS = 60 };

/* Steps that leave as many bytes as they can: a task refuses at last. */
static int note_until_refused(struct store_fixture *s, const struct pawl_task *tasks,
                              uint64_t *counts)
{
    for (unsigned i = 0; i < 100000; i++) {
        const int status = store_ask(s, tasks[i % FULL_TASKS], P_NOTE, 1, 0).status;

        if (status != 0)
            return status;
        counts[i % FULL_TASKS]++;
    }
    return 0;
}

static void check_full(struct store_fixture *s, bool capacity)
{
    struct pawl_task tasks[FULL_TASKS], made;
    uint64_t counts[FULL_TASKS] = {0};
    const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = 0};

    store_open(s);
    for (unsigned i = 0; i < FULL_TASKS; i++)
        tasks[i] = store_create(s, M_SYNC, 0);
    cr_assert_eq(note_until_refused(s, tasks, counts), -ENOSPC);
    cr_assert_eq(s->failed_count, 0, "%s", s->failed_what);
    cr_assert_eq(store_try_create(s, &spec, &made), -ENOSPC);
    /* Every task can end. */
    for (unsigned i = 0; i < FULL_TASKS / 2; i++)
        cr_assert_eq(store_ask(s, tasks[i], P_END, 0, 0).status, 0, "task %u of %u", i, FULL_TASKS);
    store_crash(s, SIM_CRASH_POWER);
    /* There is no less room than before: it opens, and has all. */
    store_open(s);
    for (unsigned i = 0; i < FULL_TASKS; i++) {
        cr_assert_eq(fixture_is_alive(&s->f, tasks[i]), i >= FULL_TASKS / 2);
        if (i >= FULL_TASKS / 2)
            cr_assert_eq(fixture_puppet_of(&s->f, tasks[i]).count, counts[i]);
    }
    (void)capacity;
}

Test(journal, beyond_the_quota_steps_are_refused_and_ends_are_not)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;

    options.store.quota_bytes = 10 * SMALL;
    store_init(&s, &options);
    check_full(&s, false);
    cr_assert(sim_disk_used_bytes(s.disk) <= 12 * SMALL, "%llu bytes are on the disk",
              (unsigned long long)sim_disk_used_bytes(s.disk));
    store_end(&s);
}

Test(journal, on_a_full_disk_steps_are_refused_and_ends_are_not)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;

    options.capacity = 12 * SMALL + 5000;
    store_init(&s, &options);
    check_full(&s, true);
    store_end(&s);
}

/* A snapshot cuts the journal, and everything goes on. */
Test(journal, after_room_came_back_everything_works)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task tasks[FULL_TASKS];
    uint64_t counts[FULL_TASKS] = {0};
    unsigned i;

    options.capacity = 24 * SMALL + 5000;
    store_init(&s, &options);
    /* Something of somebody else's takes half of it. */
    cr_assert_eq(s.storage.make_directory(s.storage.user, "other"), 0);
    {
        static uint8_t bytes[12 * SMALL];

        cr_assert_eq(sim_disk_put(s.disk, "other/file", bytes, sizeof(bytes)), 0);
    }
    store_open(&s);
    for (i = 0; i < FULL_TASKS; i++)
        tasks[i] = store_create(&s, M_SYNC, 0);
    cr_assert_eq(note_until_refused(&s, tasks, counts), -ENOSPC);
    cr_assert_eq(sim_disk_lose(s.disk, "other/file"), 0);
    store_advance(&s, FIXTURE_SECOND);
    store_run(&s);
    for (i = 0; i < 40; i++) {
        const int status = store_ask(&s, tasks[i % FULL_TASKS], P_NOTE, 1, 0).status;

        cr_assert_eq(status, 0, "step %u: %d", i, status);
        counts[i % FULL_TASKS]++;
    }
    cr_assert_eq(s.failed_count, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    for (i = 0; i < FULL_TASKS; i++)
        cr_assert_eq(fixture_puppet_of(&s.f, tasks[i]).count, counts[i]);
    store_end(&s);
}

Test(journal, snapshots_make_room_under_a_quota)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task tasks[FULL_TASKS];
    uint64_t counts[FULL_TASKS] = {0};

    options.store.quota_bytes = 16 * SMALL;
    options.store.snapshot_bytes = 2 * SMALL;
    store_begin(&s, &options);
    for (unsigned i = 0; i < FULL_TASKS; i++)
        tasks[i] = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < 1200; i++) { /* a block each: many times the quota */
        const int status = store_ask(&s, tasks[i % FULL_TASKS], P_NOTE, 1, 0).status;

        cr_assert_eq(status, 0, "step %u: %d", i, status);
        counts[i % FULL_TASKS]++;
        cr_assert(sim_disk_used_bytes(s.disk) <= 18 * SMALL);
    }
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    for (unsigned i = 0; i < FULL_TASKS; i++)
        cr_assert_eq(fixture_puppet_of(&s.f, tasks[i]).count, counts[i]);
    store_end(&s);
}

/* Each opening takes a file; that there can be no second one keeps nobody out. */
Test(journal, a_store_at_its_quota_opens_again_and_again)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;
    struct pawl_task task;
    uint64_t count = 0;

    options.store.quota_bytes = 4 * SMALL;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    while (store_ask(&s, task, P_NOTE, 1, 0).status == 0)
        cr_assert(++count < 1000);
    for (unsigned i = 0; i < 5; i++) {
        if (i % 2 == 0)
            store_close(&s);
        else
            store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).count, count);
        while (store_ask(&s, task, P_NOTE, 1, 0).status == 0) /* the new file has some room */
            cr_assert(++count < 1000);
        cr_assert_eq(s.failed_count, 0, "%s", s.failed_what);
    }
    /* What it needs is a snapshot or two. */
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(store_snapshot(&s), 0);
    store_advance(&s, FIXTURE_SECOND);
    cr_assert_eq(store_ask(&s, task, P_NOTE, 1, 0).status, 0);
    store_end(&s);
}

Test(journal, a_disk_without_room_for_a_file_is_said_at_opening)
{
    struct store_fixture_options options = small_files();
    struct store_fixture s;

    options.capacity = 9 * STORE_BLOCK;
    store_init(&s, &options);
    cr_assert_eq(store_try_open(&s), -ENOSPC);
    cr_assert(strstr(s.told, "no room") != NULL, "%s", s.told);
    store_fini(&s);
}

/* ---- failures ------------------------------------------------------------------------------------ */

struct outcome {
    bool opened, failed, struck;
};

/*
 * Work with small files and snapshots, while the nth operation of one kind fails; then a power loss, and all that was
 * acknowledged must be there.
 */
static struct outcome work_with_fault(enum sim_op op, uint64_t nth, int error, bool forever,
                                      uint64_t seed)
{
    struct store_fixture_options options = small_files();
    struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                              .ops = SIM_OPS(op),
                              .nth = nth,
                              .forever = forever,
                              .error = error};
    struct outcome outcome = {0};
    struct store_fixture s;
    struct pawl_task tasks[4] = {{0}}, memory = {0};
    uint64_t acknowledged[4] = {0}, posted[4] = {0};
    unsigned made = 0, number;

    options.seed = seed;
    options.store.snapshot_bytes = 2 * SMALL;
    options.store.writes_max = 4;
    store_init(&s, &options);
    number = (unsigned)sim_disk_fault_add(s.disk, &fault);
    if (store_try_open(&s) == 0) {
        outcome.opened = true;
        store_start(&s);
        memory = store_create_undurable(&s, M_MEMORY, 0);
        for (unsigned i = 0; i < 4; i++) {
            const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = 0};

            if (store_try_create(&s, &spec, &tasks[i]) != 0)
                break;
            store_run(&s);
            if (store_try_settle(&s) != 0)
                break;
            made++;
        }
        for (unsigned i = 0; i < 240; i++) {
            struct pawl_completion completion;

            if (made == 4) {
                store_post(&s, tasks[i & 3], P_NOTE, ++posted[i & 3], 0, i & 3);
                fixture_turn(&s.f);
            }
            if (i % 3 == 0)
                store_run(&s);
            while (pawl_port_reap(s.f.port, &completion, 1) == 1) {
                cr_assert(completion.status == 0 || completion.status == -EIO ||
                              completion.status == -ENOSPC,
                          "%d", completion.status);
                if (completion.status == 0)
                    acknowledged[completion.tag]++;
                else if (completion.status == -EIO)
                    cr_assert(store_status(&s, 0).failed != 0);
            }
        }
        store_run(&s);
        outcome.failed = store_status(&s, 0).failed != 0;
        cr_assert_eq(s.failed_count, outcome.failed ? 1u : 0u);
        if (outcome.failed)
            cr_assert(strlen(s.failed_what) > 20);
        /* Whatever has happened, nobody waits for ever, and memory-only machines go on. */
        store_try_settle(&s);
        {
            struct pawl_completion completion;

            while (pawl_port_reap(s.f.port, &completion, 1) == 1)
                if (completion.status == 0)
                    acknowledged[completion.tag]++;
        }
        cr_assert_eq(pawl_port_outstanding(s.f.port), 0, "%s %llu: %u wait for ever",
                     sim_op_name(op), (unsigned long long)nth, pawl_port_outstanding(s.f.port));
        cr_assert_eq(store_ask(&s, memory, P_NOTE, 1, 0).status, 0);
        store_die(&s);
    }
    outcome.struck = sim_disk_fault_struck(s.disk, (int)number) > 0;
    sim_disk_faults_clear(s.disk);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
    store_open(&s);
    for (unsigned i = 0; i < made; i++) {
        const struct puppet puppet = fixture_puppet_of(&s.f, tasks[i]);

        cr_assert(puppet.count >= acknowledged[i] && puppet.count <= posted[i],
                  "%s %llu: %llu of %llu, acknowledged %llu", sim_op_name(op),
                  (unsigned long long)nth, (unsigned long long)puppet.count,
                  (unsigned long long)posted[i], (unsigned long long)acknowledged[i]);
    }
    store_end(&s);
    return outcome;
}

/* For the 1st, 2nd ... of them, until none is the nth any more. */
static void check_operation(enum sim_op op, int error, bool forever)
{
    unsigned struck = 0;

    for (uint64_t nth = 1; nth < 400; nth += nth < 30 ? 1 : 7) {
        const struct outcome outcome = work_with_fault(op, nth, error, forever, nth);

        if (!outcome.struck)
            break;
        struck++;
    }
    cr_assert(struck > 0, "there is no %s", sim_op_name(op));
}

Test(journal, a_failed_write_under_way_is_told_and_nothing_acknowledged_is_lost)
{
    check_operation(SIM_QUEUE_END, -EIO, false);
    check_operation(SIM_QUEUE_END, -EIO, true);
}

Test(journal, a_write_that_cannot_be_begun_is_told_and_nothing_acknowledged_is_lost)
{
    check_operation(SIM_QUEUE_WRITE, -EIO, false);
}

Test(journal, any_other_failed_operation_loses_nothing_acknowledged)
{
    static const enum sim_op ops[] = {SIM_MAKE_DIRECTORY, SIM_LOCK,           SIM_LIST,  SIM_RENAME,
                                      SIM_REMOVE,         SIM_SYNC_DIRECTORY, SIM_OPEN,  SIM_CREATE,
                                      SIM_SIZE,           SIM_READ,           SIM_WRITE, SIM_SYNC,
                                      SIM_CLOSE,          SIM_QUEUE_OPEN};

    for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (ops[i] != SIM_MAKE_DIRECTORY)
            check_operation(ops[i], -EIO, false);
    cr_assert(!work_with_fault(SIM_MAKE_DIRECTORY, 1, -EIO, false, 1).opened);
}

/* A disk that gives errors is not a full one: nobody would ever hear of it. */
Test(journal, a_file_that_cannot_be_prepared_for_an_error_is_told)
{
    struct store_fixture s;
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS(SIM_QUEUE_END) | SIM_OPS(SIM_WRITE),
                                    .nth = 1,
                                    .forever = true,
                                    .error = -EIO};

    store_begin(&s, NULL);
    cr_assert(sim_disk_fault_add(s.disk, &fault) >= 0);
    store_try_settle(&s);
    store_advance(&s, 10 * FIXTURE_SECOND);
    store_run(&s);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_error, -EIO);
    store_die(&s);
    store_fini(&s);
}

Test(journal, a_full_disk_at_any_write_loses_nothing_acknowledged)
{
    check_operation(SIM_QUEUE_END, -ENOSPC, false);
}

Test(journal, a_short_write_is_a_failed_one)
{
    struct store_fixture s;
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    store_fault(&s, SIM_FAULT_SHORT, SIM_OPS(SIM_QUEUE_END), 1, 0);
    cr_assert_eq(store_ask(&s, task, P_NOTE, 1, 0).status, -EIO);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_error, -EIO);
    store_end(&s);
}
