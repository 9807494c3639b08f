#include "store/reader.h"
#include "support/store_fixture.h"

enum { SMALL = 64u << 10, TASKS = 40 };

/* A store with tasks that have made some steps each; task i's count is in counts. */
struct some {
    struct store_fixture s;
    struct pawl_task tasks[TASKS];
    uint64_t counts[TASKS];
};

static void work(struct some *some, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        store_note(&some->s, some->tasks[i % TASKS], 1);
        some->counts[i % TASKS]++;
    }
}

static void make(struct some *some, uint64_t capacity)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT, .capacity = capacity};

    memset(some, 0, sizeof(*some));
    options.store.segment_bytes = SMALL;
    options.store.snapshot_bytes = UINT64_MAX;
    store_init(&some->s, &options);
    store_open(&some->s);
    for (unsigned i = 0; i < TASKS; i++)
        some->tasks[i] = store_create(&some->s, M_SYNC, 0);
    work(some, 3 * TASKS);
}

static void check(struct some *some)
{
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(fixture_puppet_of(&some->s.f, some->tasks[i]).count, some->counts[i],
                     "task %u: %llu instead of %llu", i,
                     (unsigned long long)fixture_puppet_of(&some->s.f, some->tasks[i]).count,
                     (unsigned long long)some->counts[i]);
}

static void unmake(struct some *some)
{
    store_close(&some->s);
    store_fini(&some->s);
}

static void crash_and_check(struct some *some)
{
    store_crash(&some->s, SIM_CRASH_POWER);
    store_open(&some->s);
    check(some);
}

Test(images, two_generations_are_kept_and_the_journal_before_them_is_cut)
{
    struct some some;

    make(&some, 0);
    cr_assert_eq(store_snapshot(&some.s), 0);
    cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, false, NULL), 1);
    cr_assert(store_files(&some.s, FILE_JOURNAL, false, NULL) >
              8); /* nothing is cut for the first */
    for (unsigned i = 0; i < 4; i++) {
        work(&some, 3 * TASKS);
        cr_assert_eq(store_snapshot(&some.s), 0);
        cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, false, NULL), 2);
        cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, true, NULL), 0);
    }
    /* The journal from the older one's base on: two rounds of nine files or so. */
    cr_assert(store_files(&some.s, FILE_JOURNAL, false, NULL) < 14);
    cr_assert_eq(store_status(&some.s, 0).snapshots, 5);
    crash_and_check(&some);
    unmake(&some);
}

/* The older generation and the journal behind it are as good as the newer. */
Test(images, without_the_newest_snapshot_the_older_one_does)
{
    for (unsigned lost = 0; lost < 2; lost++) {
        struct some some;
        char path[SIM_PATH_MAX];

        make(&some, 0);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(store_snapshot(&some.s), 0);
            work(&some, TASKS);
        }
        store_crash(&some.s, SIM_CRASH_POWER);
        if (lost != 0) {
            store_files(&some.s, FILE_SNAPSHOT, false, path);
            cr_assert_eq(sim_disk_lose(some.s.disk, path), 0);
        }
        store_open(&some.s);
        check(&some);
        unmake(&some);
    }
}

/* What the disk gives back is looked at before anything is removed. */
Test(images, a_snapshot_that_is_damaged_is_not_believed_and_nothing_is_cut)
{
    struct some some;
    char path[SIM_PATH_MAX];
    unsigned journals, damaged = 0;

    make(&some, 0);
    cr_assert_eq(store_snapshot(&some.s), 0);
    work(&some, TASKS);
    cr_assert_eq(store_snapshot(&some.s), 0);
    work(&some, TASKS);
    journals = store_files(&some.s, FILE_JOURNAL, false, NULL);
    cr_assert_eq(pawl_snapshot(some.s.f.runtime, 0), -EAGAIN);
    while (pawl_snapshot(some.s.f.runtime, 0) == -EAGAIN) {
        fixture_turn(&some.s.f);
        if (damaged == 0 &&
            store_durable(&some.s, 0)->journal.snapshot_step == SNAPSHOT_STEP_CHECK) {
            cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, true, path), 1);
            cr_assert_eq(sim_disk_flip(some.s.disk, path, STORE_BLOCK + 200, 3), 0);
            damaged++;
        }
        store_disk_step(&some.s);
    }
    cr_assert_eq(damaged, 1);
    cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, true, NULL), 0);
    cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, false, NULL), 2);
    cr_assert(store_files(&some.s, FILE_JOURNAL, false, NULL) >= journals);
    cr_assert_eq(store_status(&some.s, 0).failed, 0);
    /* The next one is whole again. */
    cr_assert_eq(store_snapshot(&some.s), 0);
    work(&some, TASKS);
    crash_and_check(&some);
    unmake(&some);
}

Test(images, pawl_snapshot_tells_of_a_damaged_one)
{
    struct some some;
    char path[SIM_PATH_MAX];
    bool damaged = false;
    int error;

    make(&some, 0);
    while ((error = pawl_snapshot(some.s.f.runtime, 0)) == -EAGAIN) {
        fixture_turn(&some.s.f);
        if (!damaged && store_durable(&some.s, 0)->journal.snapshot_step == SNAPSHOT_STEP_CHECK) {
            store_files(&some.s, FILE_SNAPSHOT, true, path);
            damaged = sim_disk_flip(some.s.disk, path, STORE_BLOCK + 200, 3) == 0;
        }
        store_disk_step(&some.s);
    }
    cr_assert(damaged);
    cr_assert_eq(error, -EBADMSG);
    cr_assert_eq(store_snapshot(&some.s), 0);
    unmake(&some);
}

/* Nothing depends on a snapshot: a disk that has no room for it is no failure. */
Test(images, a_snapshot_that_finds_no_room_is_dropped_and_steps_go_on)
{
    static const enum sim_op ops[] = {SIM_CREATE, SIM_QUEUE_END, SIM_QUEUE_END, SIM_QUEUE_END};

    for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                        .ops = SIM_OPS(ops[i]),
                                        .path = ".snapshot",
                                        .nth = i == 0 ? 1 : i,
                                        .error = -ENOSPC};
        struct some some;

        make(&some, 0);
        cr_assert(sim_disk_fault_add(some.s.disk, &fault) >= 0);
        cr_assert_eq(store_snapshot(&some.s), -ENOSPC, "%u", i);
        cr_assert_eq(some.s.failed_count, 0, "%s %llu: %s", sim_op_name(ops[i]),
                     (unsigned long long)fault.nth, some.s.failed_what);
        work(&some, TASKS);
        cr_assert_eq(store_snapshot(&some.s), 0);
        crash_and_check(&some);
        unmake(&some);
    }
}

/* A crash anywhere in a snapshot: the store opens, with all that was acknowledged. */
Test(images, a_crash_at_any_moment_of_a_snapshot_loses_nothing)
{
    for (unsigned moment = 0; moment < 40; moment++) {
        struct some some;
        bool done = false;

        make(&some, 0);
        for (unsigned i = 0; i < moment % 3; i++)
            cr_assert_eq(store_snapshot(&some.s), 0);
        for (unsigned i = 0; i < moment && !done; i++) {
            done = pawl_snapshot(some.s.f.runtime, 0) == 0;
            fixture_turn(&some.s.f);
            if (i % 2 != 0)
                store_disk_step(&some.s);
        }
        store_crash(&some.s, moment % 2 != 0 ? SIM_CRASH_POWER : SIM_CRASH_KILL);
        store_open(&some.s);
        check(&some);
        cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, true, NULL), 0);
        work(&some, TASKS);
        cr_assert_eq(store_snapshot(&some.s), 0);
        crash_and_check(&some);
        unmake(&some);
    }
}

Test(images, a_snapshot_counts_only_when_the_journal_up_to_it_is_durable)
{
    struct some some;
    const struct sim_fault slow = {.kind = SIM_FAULT_SLOW,
                                   .ops = SIM_OPS(SIM_QUEUE_WRITE),
                                   .path = ".journal",
                                   .nth = 1,
                                   .delay_ns = FIXTURE_SECOND};

    make(&some, 0);
    cr_assert_eq(store_snapshot(&some.s), 0);
    cr_assert_eq(pawl_snapshot(some.s.f.runtime, 0), -EAGAIN);
    cr_assert(sim_disk_fault_add(some.s.disk, &slow) >= 0);
    store_post(&some.s, some.tasks[0], P_NOTE, 1, 0, 1); /* its write takes a second */
    fixture_turn(&some.s.f);
    for (unsigned i = 0; i < 200; i++) {
        if (sim_disk_next_ns(some.s.disk) < store_now(&some.s) + FIXTURE_SECOND / 2)
            store_disk_step(&some.s);
        fixture_turn(&some.s.f);
    }
    cr_assert_eq(store_durable(&some.s, 0)->journal.snapshot_step, SNAPSHOT_STEP_AWAIT);
    cr_assert_eq(pawl_snapshot(some.s.f.runtime, 0), -EAGAIN);
    cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, false, NULL), 1);
    store_run(&some.s);
    some.counts[0]++;
    cr_assert_eq(pawl_snapshot(some.s.f.runtime, 0), 0);
    cr_assert_eq(store_files(&some.s, FILE_SNAPSHOT, false, NULL), 2);
    crash_and_check(&some);
    unmake(&some);
}

/* A snapshot of so many groups that two are under way at once. */
static void make_large(struct store_fixture *s)
{
    store_begin(s, NULL);
    for (unsigned i = 0; i < 20000; i++)
        store_create_undurable(s, M_ASYNC, 0);
    cr_assert(store_settle(s));
}

static void fail_second_group(struct store_fixture *s)
{
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS(SIM_QUEUE_END),
                                    .path = ".snapshot",
                                    .nth = 2, /* behind the header */
                                    .error = -ENOSPC};

    sim_disk_faults_clear(s->disk);
    cr_assert(sim_disk_fault_add(s->disk, &fault) >= 0);
    cr_assert_eq(store_snapshot(s), -ENOSPC);
    sim_disk_faults_clear(s->disk);
}

Test(images, a_group_that_ended_well_behind_a_failed_one_is_forgotten)
{
    struct store_fixture s;

    make_large(&s);
    fail_second_group(&s);
    cr_assert_eq(store_durable(&s, 0)->journal.images_writer.done, 0);
    cr_assert_eq(store_snapshot(&s), 0);
    store_end(&s);
}

Test(images, however_many_snapshots_fail_the_next_one_is_written)
{
    struct store_fixture s;

    make_large(&s);
    for (unsigned i = 0; i < 33; i++) {
        fail_second_group(&s);
        cr_assert_eq(store_durable(&s, 0)->journal.images_writer.in_flight_bytes, 0);
        cr_assert(!pawl__journal_has_work(&store_durable(&s, 0)->journal));
    }
    cr_assert_eq(store_snapshot(&s), 0);
    store_end(&s);
}
