#include "base/random.h"
#include "support/store_fixture.h"

enum { TASKS = 200 };

static void arm_far(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet;
    pawl_step_arm(step, event->arg[1] & 3, FIXTURE_SECOND * (100 + event->arg[1]));
}

/* One of the things that a task of this test does. */
static void act(struct store_fixture *s, struct random *random, const struct pawl_task *tasks)
{
    const struct pawl_task task = tasks[random_below(random, TASKS)];
    const struct pawl_task other = tasks[random_below(random, TASKS)];
    struct pawl_event event = {.task = task, .code = P_NOTE, .arg = {1, other.id}};

    switch (random_below(random, 8)) {
    case 0:
        event.code = P_WAIT;
        break;
    case 1:
        event.code = P_MOVE;
        event.arg[0] = 0;
        break;
    case 2:
        event.code = P_BACK;
        event.arg[0] = 0;
        break;
    case 3:
        event.code = P_CALL;
        event.arg[0] = puppet_word(store_post_note);
        break;
    case 4:
        event.code = P_CALL;
        event.arg[0] = puppet_word(arm_far);
        event.arg[1] = random_below(random, 1000);
        break;
    case 5:
        if (random_below(random, 12) == 0) {
            event.code = P_END;
            event.arg[0] = 0;
        }
        break;
    default:
        break;
    }
    pawl_port_post(s->f.port, &event, 1);
}

/* What can be seen of a task, and of its timers and deferred events what a shard has of them. */
struct seen {
    bool alive;
    unsigned state;
    uint32_t version;
    struct puppet puppet;
    uint32_t deferred;
    uint64_t timers;
};

static struct seen see(struct store_fixture *s, struct pawl_task task)
{
    struct seen seen;
    struct pawl_view view = {.context = &seen.puppet, .context_capacity = sizeof(seen.puppet)};

    memset(&seen, 0, sizeof(seen));
    seen.alive = pawl_task_peek(s->f.runtime, task, &view) == 0;
    if (seen.alive) {
        struct shard *const shard = store_shard(s, pawl_task_shard(task));
        const struct slot *slot = table_slot(&shard->table, id_slot(task));
        const uint32_t newest = slot_deferred(slot);

        seen.state = view.state;
        seen.version = view.version;
        if (newest != 0)
            seen.deferred = ((struct deferral *)slab_at(&shard->deferrals, newest))->count;
        for (uint32_t node = slot->timers; node != 0;) {
            const struct timer_node *timer = slab_at(&shard->timer_nodes, node);

            seen.timers += (timer->id + 1) * timer->expiry;
            node = timer->sibling;
        }
    }
    return seen;
}

/* A disk without its snapshots, if every journal file is still there, opens to the same as with them. */
static void check_same(struct store_fixture *s, const struct pawl_task *tasks, uint64_t seed)
{
    struct store_fixture_options options = s->options;
    struct store_fixture full;
    static struct seen with[TASKS];
    char path[SIM_PATH_MAX];
    struct sim_disk *copy;

    store_crash(s, SIM_CRASH_POWER);
    cr_assert_eq(sim_disk_copy(s->disk, 1, &copy), 0);
    store_open(s);
    for (unsigned i = 0; i < TASKS; i++)
        with[i] = see(s, tasks[i]);
    store_die(s);

    options.seed = 1;
    store_init(&full, &options);
    sim_disk_destroy(full.disk);
    full.disk = copy;
    full.storage = *sim_disk_storage(copy);
    full.storage.queue_reap = store_reap;
    while (store_files(&full, FILE_SNAPSHOT, false, path) > 0)
        cr_assert_eq(sim_disk_lose(copy, path), 0);
    store_open(&full);
    for (unsigned i = 0; i < TASKS; i++) {
        const struct seen without = see(&full, tasks[i]);

        cr_assert(memcmp(&without, &with[i], sizeof(without)) == 0,
                  "seed %llu, task %u: alive %d %d, version %u %u, deferred %u %u",
                  (unsigned long long)seed, i, with[i].alive, without.alive, with[i].version,
                  without.version, with[i].deferred, without.deferred);
    }
    store_end(&full);
    store_current = s;
    sim_disk_crash(s->disk, SIM_CRASH_POWER);
    sim_disk_reopen(s->disk);
}

static void work_under_snapshot(uint64_t seed, unsigned shards)
{
    struct store_fixture_options options = {
        .seed = seed, .shards = shards, .latency_min_ns = 1000, .latency_max_ns = 400000};
    struct random random = {seed};
    struct store_fixture s;
    struct pawl_task tasks[TASKS];
    unsigned during = 0;
    bool asked = false;
    int result = -EAGAIN;
    store_begin(&s, &options);
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = store_create_undurable(&s, i % 5 == 0 ? M_ASYNC : M_SYNC, i % shards);
    /* One snapshot only: with a second one the journal would be cut. */
    for (unsigned i = 0; i < 600; i++) {
        for (uint64_t n = random_below(&random, 6); n > 0; n--)
            act(&s, &random, tasks);
        pawl_turn(s.f.runtime, (unsigned)random_below(&random, shards));
        if (random_below(&random, 2) != 0)
            store_disk_step(&s);
        asked |= i == 200;
        if (asked && result == -EAGAIN) {
            result = pawl_snapshot(s.f.runtime, 0);
            during++;
        }
    }
    while (result == -EAGAIN) {
        store_run(&s);
        result = pawl_snapshot(s.f.runtime, 0);
    }
    cr_assert_eq(result, 0);
    cr_assert(during > 2, "no step was made while the snapshot was taken");
    for (unsigned i = 0; i < 50; i++) {
        act(&s, &random, tasks);
        fixture_turn(&s.f);
        store_disk_step(&s);
    }
    check_same(&s, tasks, seed);
    store_open(&s);
    store_end(&s);
}

Test(durable_walk, a_snapshot_taken_while_steps_go_on_equals_a_full_replay)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        work_under_snapshot(seed, 1);
}

Test(durable_walk, snapshots_of_several_shards_equal_a_full_replay)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        work_under_snapshot(seed, 3);
}

/* An image that no group holds. */
Test(durable_walk, a_task_that_keeps_more_than_a_group_is_in_the_snapshot)
{
    struct store_fixture s;
    struct pawl_task task, plain;

    store_begin(&s, NULL);
    plain = store_create(&s, M_SYNC, 0);
    task = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < 15; i++) {
        fixture_post(
            &s.f, &(struct pawl_event){.task = task,
                                       .code = P_WAIT,
                                       .flags = PAWL_EVENT_BUFFER,
                                       .arg = {(uint64_t)(uintptr_t)store_buffer(64u << 10, 1)}});
        store_run(&s);
    }
    for (unsigned i = 0; i < 3; i++) { /* the third cuts the journal in which they are */
        store_note(&s, plain, i);
        cr_assert_eq(store_snapshot(&s), 0);
    }
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(store_ask(&s, task, P_MOVE, 0, 0).status, 0);
    cr_assert_eq(trace.count, 15);
    cr_assert_eq(fixture_puppet_of(&s.f, plain).count, 3);
    store_end(&s);
}

Test(durable_walk, snapshots_begin_by_themselves_after_so_much_journal)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = 256u << 10;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    while (store_status(&s, 0).journal_bytes < 240u << 10)
        store_note(&s, task, 1);
    cr_assert_eq(store_status(&s, 0).snapshots, 0);
    while (store_status(&s, 0).journal_bytes < 280u << 10)
        store_note(&s, task, 1);
    store_run(&s);
    cr_assert_eq(store_status(&s, 0).snapshots, 1);
    while (store_status(&s, 0).journal_bytes < 2000u << 10)
        store_note(&s, task, 1);
    store_run(&s);
    cr_assert_eq(store_status(&s, 0).snapshots, 7);
    store_end(&s);
}

/* Events that are sent and not confirmed, or wait in the shard itself, are in the snapshot. */
Test(durable_walk, events_under_way_are_in_the_snapshot)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target;

    store_begin(&s, &options);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    for (unsigned i = 0; i < 10; i++)
        store_post_call(&s, sender, store_post_note, target);
    /* Shard 1 never turns; shard 0 writes three snapshots, and so cuts the steps away. */
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t before = store_status(&s, 0).snapshots;

        store_release(&store_durable(&s, 0)->snapshot_asked, 1);
        while (store_status(&s, 0).snapshots == before) {
            pawl_turn(s.f.runtime, 0);
            store_disk_step(&s);
        }
    }
    cr_assert_eq(fixture_puppet_of(&s.f, sender).count, 10);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(store_status(&s, 0).resent + store_status(&s, 1).resent, 10);
    store_run(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, sender).count, 10);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 10);
    store_end(&s);
}

Test(durable_walk, a_pause_and_a_stop_in_a_snapshot_do_no_harm)
{
    struct store_fixture s;
    struct pawl_task tasks[TASKS];

    store_begin(&s, NULL);
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = store_create_undurable(&s, M_SYNC, 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EAGAIN);
    fixture_turn(&s.f);
    cr_assert_eq(pawl_pause(s.f.runtime), 0);
    fixture_turn(&s.f);
    cr_assert_eq(store_status(&s, 0).snapshots, 0);
    cr_assert_eq(pawl_resume(s.f.runtime), 0);
    fixture_turn(&s.f);
    cr_assert(load_acquire(&store_durable(&s, 0)->journal.snapshot_stage) != SNAPSHOT_NONE);
    store_stop(&s);
    cr_assert_eq(pawl_snapshot(s.f.runtime, 0), -EBUSY);
    store_free(&s);
    store_open(&s);
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert(fixture_is_alive(&s.f, tasks[i]));
    cr_assert_eq(store_snapshot(&s), 0);
    store_end(&s);
}

/* The default grows with the last snapshot; the same number, asked for, does not. */
static bool begins_after(uint64_t asked, uint64_t journal_bytes)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct durable *durable;
    bool begun;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = asked;
    store_begin(&s, &options);
    durable = store_durable(&s, 0);
    store_release(&durable->journal.snapshot_bytes, UINT64_C(1) << 30);
    durable->walk.since_bytes = durable->journal.steps.bytes - journal_bytes;
    fixture_turn(&s.f);
    begun = durable->walk.under_way;
    store_run(&s);
    store_end(&s);
    return begun;
}

Test(durable_walk, only_the_default_waits_for_as_much_as_the_last_snapshot_had)
{
    cr_assert(!begins_after(0, (UINT64_C(1) << 30) - 1));
    cr_assert(begins_after(0, UINT64_C(1) << 30));
    cr_assert(!begins_after(DURABLE_SNAPSHOT_BYTES, DURABLE_SNAPSHOT_BYTES - 1));
    cr_assert(begins_after(DURABLE_SNAPSHOT_BYTES, DURABLE_SNAPSHOT_BYTES));
}

/* ---- when there is no room ---- */

/* The size at which snapshots begin by themselves is far beyond the quota. */
Test(durable_walk, where_there_is_no_room_a_snapshot_is_due)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t count = 0;

    options.store.segment_bytes = 64u << 10;
    options.store.quota_bytes = 512u << 10;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < 600; i++) { /* a block each: five times the quota */
        const int status = store_ask(&s, task, P_NOTE, 1, 0).status;

        cr_assert_eq(status, 0, "step %u: %d", i, status);
        count++;
        cr_assert(sim_disk_used_bytes(s.disk) <= 640u << 10);
        if (i % 50 == 49) { /* and it opens as it is */
            store_crash(&s, SIM_CRASH_POWER);
            store_open(&s);
            cr_assert_eq(fixture_puppet_of(&s.f, task).count, count);
        }
    }
    store_end(&s);
}

/* Snapshots larger than the quota make no room: they are not written on and on. */
Test(durable_walk, where_snapshots_make_no_room_they_are_not_repeated)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    uint64_t snapshots;

    options.store.segment_bytes = 64u << 10;
    options.store.quota_bytes = 256u << 10;
    store_begin(&s, &options);
    for (unsigned i = 0; i < 4000; i++) {
        const struct pawl_task_spec spec = {.machine = M_ASYNC, .shard = 0};
        struct pawl_task task;

        if (store_try_create(&s, &spec, &task) != 0)
            break;
        store_turns(&s);
    }
    store_advance(&s, FIXTURE_SECOND);
    cr_assert(load_acquire(&store_durable(&s, 0)->journal.full) != 0);
    snapshots = store_status(&s, 0).snapshots;
    store_advance(&s, 100 * FIXTURE_SECOND);
    cr_assert_eq(store_status(&s, 0).snapshots, snapshots);
    store_end(&s);
}

/* A disk that has no room for the snapshot either is not worn out by trying. */
Test(durable_walk, a_snapshot_for_room_that_fails_is_tried_again_after_a_while)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    const struct sim_fault fault = {.kind = SIM_FAULT_ERROR,
                                    .ops = SIM_OPS(SIM_CREATE),
                                    .path = ".snapshot",
                                    .nth = 1,
                                    .forever = true,
                                    .error = -ENOSPC};
    struct store_fixture s;
    struct pawl_task task;
    uint64_t dropped;

    options.store.segment_bytes = 64u << 10;
    options.store.quota_bytes = 512u << 10;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    cr_assert(sim_disk_fault_add(s.disk, &fault) >= 0);
    while (store_ask(&s, task, P_NOTE, 1, 0).status == 0)
        ;
    store_advance(&s, 2 * FIXTURE_SECOND);
    dropped = load_acquire(&store_durable(&s, 0)->journal.snapshots_dropped);
    cr_assert(dropped >= 1);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(store_ask(&s, task, P_NOTE, 1, 0).status, -ENOSPC);
        store_advance(&s, FIXTURE_SECOND / 10);
    }
    dropped = load_acquire(&store_durable(&s, 0)->journal.snapshots_dropped) - dropped;
    cr_assert(dropped >= 8 && dropped <= 11, "%llu in ten seconds", (unsigned long long)dropped);
    sim_disk_faults_clear(s.disk);
    store_advance(&s, 2 * FIXTURE_SECOND);
    cr_assert_eq(store_ask(&s, task, P_NOTE, 1, 0).status, 0);
    store_end(&s);
}

/* Each life leaves a file that is nearly empty. */
Test(durable_walk, many_short_lives_do_not_leave_many_files)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;

    options.store.segment_bytes = 64u << 10;
    options.store.snapshot_bytes = 256u << 10;
    store_begin(&s, &options);
    task = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < 60; i++) {
        for (unsigned k = 0; k < 5; k++)
            store_note(&s, task, k);
        store_reopen(&s);
        cr_assert(store_files(&s, FILE_JOURNAL, false, NULL) < 14);
    }
    cr_assert_eq(fixture_puppet_of(&s.f, task).count, 300);
    store_end(&s);
}

/* What the default compares with is known again after an opening. */
Test(durable_walk, the_size_of_the_last_snapshot_is_found_again)
{
    struct store_fixture s;
    uint64_t bytes;

    store_begin(&s, NULL);
    for (unsigned i = 0; i < 500; i++)
        store_create_undurable(&s, M_SYNC, 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(store_snapshot(&s), 0);
    bytes = load_acquire(&store_durable(&s, 0)->journal.snapshot_bytes);
    cr_assert(bytes > 500u * 48);
    store_reopen(&s);
    cr_assert_eq(load_acquire(&store_durable(&s, 0)->journal.snapshot_bytes), bytes);
    store_end(&s);
}

/* ---- what an image says ---- */

Test(durable_walk, the_age_of_a_state_is_in_the_image)
{
    struct store_fixture s;
    struct pawl_task task, other;
    uint64_t before, after;

    store_begin(&s, NULL);
    store_advance(&s, 10 * FIXTURE_SECOND);
    task = store_create(&s, M_SYNC, 0);
    other = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < 2; i++) /* the second cuts the journal in which it was made */
        cr_assert_eq(store_snapshot(&s), 0);
    store_advance(&s, 50 * FIXTURE_SECOND);
    store_note(&s, other, 1);
    before = fixture_view(&s.f, task, NULL, 0).age_ns;
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    after = fixture_view(&s.f, task, NULL, 0).age_ns;
    cr_assert(after + FIXTURE_SECOND / 10 > before && after < before + FIXTURE_SECOND / 10,
              "%llu ms, then %llu", (unsigned long long)before / 1000000,
              (unsigned long long)after / 1000000);
    store_end(&s);
}

static void refuse(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_abort(step, -EPERM);
}

static void make_sync(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = 0, .arg = {event->arg[1]}};
    struct pawl_task made;

    (void)puppet;
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &made), 0);
}

/* A memory-only task makes a durable one in the turn at whose end the walk comes to its slot. */
static void walk_over_reserved(struct store_fixture *s, puppet_fn *entry)
{
    struct pawl_task maker;

    maker = store_create(s, M_MEMORY, 0);
    store_note(s, store_create(s, M_SYNC, 0), 1);
    store_run(s);
    cr_assert_eq(pawl_snapshot(s->f.runtime, 0), -EAGAIN);
    fixture_turn(&s->f);
    cr_assert(store_durable(s, 0)->walk.under_way);
    fixture_post(&s->f, &(struct pawl_event){.task = maker,
                                             .code = P_CALL,
                                             .arg = {puppet_word(make_sync),
                                                     entry != NULL ? puppet_word(entry) : 0}});
    fixture_turn(&s->f);
    cr_assert(!store_durable(s, 0)->walk.under_way);
}

Test(durable_walk, what_a_memory_only_task_has_reserved_and_was_refused_is_not_in_it)
{
    struct store_fixture s;

    store_begin(&s, NULL);
    walk_over_reserved(&s, refuse);
    for (unsigned i = 0; i < 200 && store_status(&s, 0).snapshots == 0; i++) {
        fixture_turn(&s.f);
        store_disk_step(&s);
    }
    cr_assert_eq(store_status(&s, 0).snapshots, 1);
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    cr_assert_eq(store_status(&s, 0).recovered_tasks, 1);
    store_end(&s);
}

Test(durable_walk, what_a_memory_only_task_has_reserved_and_was_lost_is_not_in_it)
{
    const struct sim_fault slow = {.kind = SIM_FAULT_SLOW,
                                   .ops = SIM_OPS(SIM_QUEUE_WRITE),
                                   .path = ".journal",
                                   .nth = 1,
                                   .forever = true,
                                   .delay_ns = FIXTURE_SECOND};
    unsigned lost = 0;

    for (uint64_t seed = 1; seed <= 8; seed++) {
        const struct store_fixture_options options = {.seed = seed};
        struct store_fixture s;

        store_begin(&s, &options);
        walk_over_reserved(&s, NULL);
        cr_assert(sim_disk_fault_add(s.disk, &slow) >= 0); /* the frame of its creation */
        for (unsigned i = 0; i < 2000 && store_status(&s, 0).snapshots == 0; i++) {
            fixture_turn(&s.f);
            if (sim_disk_next_ns(s.disk) < store_now(&s) + FIXTURE_SECOND / 2)
                store_disk_step(&s);
        }
        cr_assert_eq(store_status(&s, 0).snapshots, 1);
        cr_assert(store_status(&s, 0).durable_frames < store_status(&s, 0).frames);
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        lost += store_status(&s, 0).recovered_tasks == 1;
        store_end(&s);
    }
    cr_assert(lost > 0);
}
