/*
 * The second half of test_orchestrator_regressions.c: what the orchestrator that this replaces did
 * wrong with its files, and with what it had read from them.
 */
#include "store/reader.h"
#include "support/work_store_fixture.h"

#define SECOND FIXTURE_SECOND

static int count_note(void *user, const struct pawl_work_note *note)
{
    (void)note;
    (*(unsigned *)user)++;
    return 0;
}

/* ---- what is there after a crash ----------------------------------------------------------------- */

static unsigned stored_count(enum pawl_work_state state)
{
    const struct pawl_filter filter = {.machine = WORK_FIRST, .state = state};
    struct pawl_walk walk = {0};
    struct pawl_view views[16] = {{.context = NULL}};
    unsigned count = 0;

    while (!walk.done) {
        const int some = pawl_task_walk(s.f.runtime, &walk, &filter, views, 16, 1000);

        cr_assert(some >= 0);
        count += (unsigned)some;
    }
    return count;
}

Test(orchestrator_regressions, status_counts_are_right_after_reload)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_lane_status before, after;
    struct pawl_task last;
    struct pawl_agent *agent;
    struct pawl_lease lease;

    stored_init();
    spec.title = "with a note";
    for (unsigned i = 0; i < 5; i++)
        last = stored_submit(&spec);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, last, false, 1)).status, 0);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(
        stored_report(agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE}).status, 0);
    spec.delay_ns = 1000 * SECOND;
    stored_submit(&spec);
    store_run(&s);
    cr_assert_eq(pawl_lane_read(s.f.runtime, "work", &before), 0);
    stored_crash(agent);
    store_run(&s);
    cr_assert_eq(pawl_lane_read(s.f.runtime, "work", &after), 0);
    cr_assert_eq(before.ready, 3);
    cr_assert_eq(after.ready, 3);
    cr_assert_eq(stored_count(PAWL_WORK_READY), 3);
    cr_assert_eq(stored_count(PAWL_WORK_COMPLETED), 1);
    cr_assert_eq(stored_count(PAWL_WORK_CANCELLED), 1);
    cr_assert_eq(stored_count(PAWL_WORK_DELAYED), 1);
    cr_assert_eq(stored_view(last).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}

Test(orchestrator_regressions, report_applied_before_a_crash_is_not_applied_again)
{
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .id = 1, .bytes = "e", .size = 1};
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE, .id = 2, .value = 8};
    const struct pawl_work_spec spec = work_spec();
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;
    uint64_t incarnation;

    stored_init();
    task = stored_submit(&spec);
    agent = stored_agent(0);
    incarnation = pawl_agent_incarnation(agent);
    lease = stored_lease(agent);
    cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
    stored_crash(agent); /* the agent does not remember that it heard */
    agent = stored_agent(incarnation);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_LEASED);
    cr_assert_eq(stored_report(agent, &lease, &note).status, -EALREADY);
    cr_assert_eq(stored_view(task).work.notes, 1);
    cr_assert_eq(stored_report(agent, &lease, &done).status, 0);
    stored_crash(agent);
    agent = stored_agent(incarnation);
    cr_assert_eq(stored_report(agent, &lease, &done).status, -EALREADY);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_COMPLETED);
    cr_assert_eq(stored_view(task).work.value, 8);
    cr_assert_eq(stored_view(task).work.notes, 1);
    stored_end(agent);
}

Test(orchestrator_regressions, evidence_and_dependencies_survive_a_crash)
{
    struct pawl_work_spec spec = work_spec();
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE, .bytes = "proof", .size = 5};
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task first, second;
    unsigned notes = 0;

    stored_init();
    spec.title = "first";
    spec.shard = 0;
    first = stored_submit(&spec);
    spec.shard = 1;
    spec.after = &first;
    spec.after_count = 1;
    second = stored_submit(&spec);
    store_run(&s);
    stored_crash(NULL);
    cr_assert_eq(stored_view(second).state, PAWL_WORK_DEPENDENT);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(lease.task.id, first.id);
    cr_assert_eq(stored_report(agent, &lease, &done).status, 0);
    stored_crash(agent);
    store_run(&s);
    cr_assert_eq(stored_view(first).state, PAWL_WORK_COMPLETED);
    cr_assert_eq(stored_view(second).state, PAWL_WORK_READY);
    cr_assert_eq(pawl_work_notes(s.f.runtime, first, count_note, &notes), 0);
    cr_assert_eq(notes, 2);
    stored_end(NULL);
}

/*
 * Whatever operation of a snapshot it is at which the process dies, the renames among them: what was
 * reported has been applied once, and is not applied again.
 */
Test(orchestrator_regressions, crash_before_a_rename_does_not_apply_a_report_twice)
{
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .id = 1, .bytes = "e", .size = 1};
    const struct pawl_report done = {.kind = PAWL_REPORT_DONE, .id = 2, .value = 8};
    const struct pawl_work_spec spec = work_spec();
    uint64_t before_rename = 0;

    for (uint64_t nth = 1;; nth++) {
        struct pawl_agent *agent;
        struct pawl_lease lease;
        struct pawl_task task;
        uint64_t incarnation, renames, struck;
        unsigned notes = 0;
        int number;

        stored_init();
        task = stored_submit(&spec);
        agent = stored_agent(0);
        incarnation = pawl_agent_incarnation(agent);
        lease = stored_lease(agent);
        cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
        number = store_fault(&s, SIM_FAULT_DIE, SIM_OPS_ALL, nth, 0);
        renames = store_op_count(&s, SIM_RENAME);
        store_snapshot(&s);
        struck = sim_disk_fault_struck(s.disk, number);
        before_rename += struck != 0 && store_op_count(&s, SIM_RENAME) == renames;
        sim_disk_faults_clear(s.disk);
        stored_crash(agent);
        agent = stored_agent(incarnation);
        cr_assert_eq(stored_report(agent, &lease, &note).status, -EALREADY);
        cr_assert_eq(stored_report(agent, &lease, &done).status, 0);
        cr_assert_eq(store_snapshot(&s), 0);
        stored_crash(agent);
        agent = stored_agent(incarnation);
        cr_assert_eq(stored_report(agent, &lease, &note).status, -EALREADY);
        cr_assert_eq(stored_report(agent, &lease, &done).status, -EALREADY);
        cr_assert_eq(stored_view(task).state, PAWL_WORK_COMPLETED);
        cr_assert_eq(stored_view(task).work.value, 8);
        cr_assert_eq(stored_view(task).work.attempts, 1);
        cr_assert_eq(pawl_work_notes(s.f.runtime, task, count_note, &notes), 0);
        cr_assert_eq(notes, 1);
        stored_end(agent);
        if (struck == 0)
            break;
        cr_assert(nth < 1000, "a snapshot has no end");
    }
    cr_assert(before_rename > 3, "%llu deaths before a rename", (unsigned long long)before_rename);
}

/* ---- while it is written -------------------------------------------------------------------------- */

/* Reads the first journal file as anybody could; the count that the last whole step of the task left. */
static uint64_t glance(const struct store_fixture *on)
{
    const struct store_file name = {.set = 1, .shard = 0, .file = 1, .kind = FILE_JOURNAL};
    struct reader_frame frame;
    struct reader reader;
    uint64_t count = 0;

    cr_assert_eq(pawl__reader_open(&reader, sim_disk_storage(on->disk), STORE_DIRECTORY, &name, 0),
                 0, "%s", reader.what);
    while (pawl__reader_next(&reader, &frame) == READER_FRAME) {
        const struct entry_header *entry = NULL;

        cr_assert_eq(frame.header.type, FRAME_STEPS);
        while ((entry = entry_next(frame.payload, frame.header.size, entry)) != NULL) {
            const struct entry_step *step = (const void *)entry;
            struct puppet puppet;
            uint32_t words;

            if (entry->type != ENTRY_STEP)
                continue;
            memcpy(&puppet, entry_context(step, &words), sizeof(puppet));
            cr_assert_eq(words, sizeof(puppet) / 8);
            cr_assert(puppet.last == puppet.count &&
                          puppet.sum == puppet.count * (puppet.count + 1) / 2,
                      "half a task: %llu, %llu", (unsigned long long)puppet.count,
                      (unsigned long long)puppet.sum);
            count = puppet.count;
        }
    }
    cr_assert(reader.result == READER_END || reader.result == READER_TORN, "%d: %s",
              (int)reader.result, reader.what);
    pawl__reader_close(&reader);
    return count;
}

/* A reader of the files at any moment finds whole steps only, and all that have been acknowledged. */
Test(orchestrator_regressions, reader_never_sees_torn_files)
{
    unsigned behind = 0;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        const struct store_fixture_options options = {
            .seed = seed, .latency_min_ns = 1000, .latency_max_ns = 1000000};
        struct store_fixture plain, *const on = &plain;
        struct pawl_task task;
        uint64_t told = 0;

        store_begin(on, &options);
        task = store_create(on, M_SYNC, 0);
        for (uint32_t i = 1; i <= 200; i++) {
            struct pawl_completion done;
            uint64_t seen;

            store_post(on, task, P_NOTE, i, 0, i);
            fixture_turn(&on->f);
            if (i % 3 == 0)
                store_disk_step(on);
            while (pawl_port_reap(on->f.port, &done, 1) == 1) {
                cr_assert_eq(done.status, 0);
                told = done.tag;
            }
            seen = glance(on);
            cr_assert(seen >= told && seen <= i, "seed %llu: %llu of %u, %llu were told",
                      (unsigned long long)seed, (unsigned long long)seen, i,
                      (unsigned long long)told);
            behind += seen < i;
        }
        store_end(on);
    }
    cr_assert(behind > 100, "nothing was ever on its way to the disk: %u", behind);
}

/* ---- what cannot be written ----------------------------------------------------------------------- */

/* Everybody whose work is not safe is told so: who creates, who changes, who reports, who asks. */
Test(orchestrator_regressions, save_errors_reach_everybody_whose_work_is_not_saved)
{
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = "saved", .size = 5};
    const struct pawl_report lost = {.kind = PAWL_REPORT_DONE, .value = 8, .tag = 5};
    struct pawl_work_spec spec = work_spec();
    struct pawl_store_status status;
    struct pawl_completion told;
    struct pawl_receipt receipt;
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task, other;

    stored_init();
    spec.shard = 0;
    task = stored_submit(&spec);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(lease.task.id, task.id);
    cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
    other = stored_submit(&spec);
    cr_assert_eq(s.failed_count, 0);

    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -ENOSPC);
    cr_assert_eq(pawl_work_prioritise(s.f.port, other, 3, 1), 0);
    cr_assert_eq(pawl_work_submit(s.f.port, &spec, 2), 0);
    cr_assert_eq(pawl_agent_report(agent, &lease, &lost), 0);
    store_run(&s);
    for (unsigned i = 0; i < 2; i++) {
        told = fixture_reap(&s.f);
        cr_assert_eq(told.status, -EIO, "tag %u: %d", told.tag, told.status);
    }
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    cr_assert(receipt.tag == 5 && receipt.status == -EIO);
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_shards[0], 0);
    cr_assert_eq(s.failed_error, -ENOSPC);
    cr_assert(s.failed_what[0] != '\0');
    cr_assert_eq(pawl_sync(s.f.runtime, 0), -EIO);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EIO);
    cr_assert_eq(pawl_shard_store(s.f.runtime, 0, &status), 0);
    cr_assert_eq(status.failed, -ENOSPC);
    /* Nor is anything of it acknowledged later, or taken from now on. */
    store_advance(&s, 100 * SECOND);
    cr_assert(fixture_nothing_to_reap(&s.f));
    cr_assert_eq(stored_done(pawl_work_submit(s.f.port, &spec, 3)).status, -EIO);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, other, false, 4)).status, -EIO);

    /* What was acknowledged is there when the storage has been mended; the rest may be or not. */
    sim_disk_faults_clear(s.disk);
    stored_crash(agent);
    cr_assert_eq(stored_view(task).work.notes, 1);
    cr_assert_eq(stored_view(other).state, PAWL_WORK_READY);
    stored_end(NULL);
}

/* ---- names ---------------------------------------------------------------------------------------- */

/* Whether the disk has nothing but the store's own files, in the store's directory. */
static bool only_the_stores_files(void)
{
    for (unsigned i = 0; i < sim_disk_files(s.disk); i++) {
        struct store_file file;
        uint64_t size;
        const char *const path = sim_disk_file(s.disk, i, &size);
        const char *const name = path + strlen(STORE_DIRECTORY) + 1;

        if (strncmp(path, STORE_DIRECTORY "/", strlen(STORE_DIRECTORY) + 1) != 0 ||
            !(pawl__store_file_parse(name, &file) || strcmp(name, "manifest") == 0 ||
              strcmp(name, "manifest.new") == 0 || strcmp(name, "lock") == 0)) {
            fprintf(stderr, "a file %s\n", path);
            return false;
        }
    }
    return true;
}

/* A key, a title, a name is bytes. */
Test(orchestrator_regressions, ids_never_leave_the_stores_directory)
{
    static const struct {
        const char *bytes;
        size_t size;
    } keys[] = {{"../../etc/passwd", 16},
                {"/etc/passwd", 11},
                {"..", 2},
                {".", 1},
                {"manifest", 8},
                {"0001-0000-000000000001.journal", 30},
                {STORE_DIRECTORY "/lock", 10},
                {"a", 1},
                {"a\0", 2},
                {"a\0b", 3},
                {"\0", 1},
                {"\0\0", 2},
                {"%s%n\n\x1b[2J", 9},
                {"\xff\xfe", 2}};
    enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
    static const char *const lane = "work";
    const struct pawl_agent_options named = {
        .name = "../../../agent", .lanes = &lane, .lanes_count = 1};
    const struct pawl_report note = {.kind = PAWL_REPORT_NOTE, .bytes = "../../x", .size = 7};
    struct pawl_work_spec spec = work_spec();
    struct pawl_task tasks[KEYS], found;
    struct pawl_agent *agent;
    struct pawl_lease lease;

    stored_init();
    for (unsigned i = 0; i < KEYS; i++) {
        spec.key = keys[i].bytes;
        spec.key_size = keys[i].size;
        spec.title = "../../title";
        tasks[i] = stored_submit(&spec);
        for (unsigned k = 0; k < i; k++)
            cr_assert(tasks[k].id != tasks[i].id, "keys %u and %u are one", k, i);
    }
    cr_assert_eq(pawl_agent_open(s.f.runtime, &named, &agent), 0);
    lease = stored_lease(agent);
    cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
    cr_assert_eq(store_snapshot(&s), 0);
    cr_assert(only_the_stores_files());
    stored_crash(agent);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct pawl_work_view view = stored_view(tasks[i]);

        cr_assert_eq(pawl_task_find(s.f.runtime, keys[i].bytes, keys[i].size, &found), 0);
        cr_assert_eq(found.id, tasks[i].id);
        cr_assert_eq(view.key_size, keys[i].size);
        cr_assert_eq(memcmp(view.key, keys[i].bytes, keys[i].size), 0);
        spec.key = keys[i].bytes;
        spec.key_size = keys[i].size;
        cr_assert_eq(stored_done(pawl_work_submit(s.f.port, &spec, 1)).status, -EEXIST);
    }
    cr_assert_eq(pawl_task_find(s.f.runtime, "/etc/passwd", 10, &found), -ENOENT);
    cr_assert(only_the_stores_files());
    stored_end(NULL);
}
