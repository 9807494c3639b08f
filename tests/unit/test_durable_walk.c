#include "base/random.h"
#include "support/store_fixture.h"

enum { TASKS = 200 };

static void begin(struct store_fixture *s, const struct store_fixture_options *options)
{
    store_init(s, options);
    store_open(s);
}

static void end(struct store_fixture *s)
{
    store_close(s);
    store_fini(s);
}

/* The task runs fn, which sends the target something. */
static void post_call(struct store_fixture *s, struct pawl_task task, puppet_fn *fn,
                      struct pawl_task target)
{
    fixture_post(&s->f, &(struct pawl_event){
                            .task = task, .code = P_CALL, .arg = {puppet_word(fn), target.id}});
}

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
    store_close(&full);
    store_fini(&full);
    store_current = s;
    sim_disk_crash(s->disk, SIM_CRASH_POWER);
    sim_disk_reopen(s->disk);
}

static void work_under_snapshot(uint64_t seed, unsigned shards)
{
    struct store_fixture_options options = {.seed = seed,
                                            .shards = shards,
                                            .latency_min_ns = 1000,
                                            .latency_max_ns = 400000,
                                            .store = PAWL_STORE_OPTIONS_INIT};
    struct random random = {seed};
    struct store_fixture s;
    struct pawl_task tasks[TASKS];
    unsigned during = 0;
    bool asked = false;
    int result = -EAGAIN;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = UINT64_MAX;
    begin(&s, &options);
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
    end(&s);
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

    begin(&s, NULL);
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
    end(&s);
}

Test(durable_walk, snapshots_begin_by_themselves_after_so_much_journal)
{
    struct store_fixture_options options = {.store = PAWL_STORE_OPTIONS_INIT};
    struct store_fixture s;
    struct pawl_task task;

    options.store.segment_bytes = 1u << 20;
    options.store.snapshot_bytes = 256u << 10;
    begin(&s, &options);
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
    end(&s);
}

/* Events that are sent and not confirmed, or wait in the shard itself, are in the snapshot. */
Test(durable_walk, events_under_way_are_in_the_snapshot)
{
    const struct store_fixture_options options = {.shards = 2};
    struct store_fixture s;
    struct pawl_task sender, target;

    begin(&s, &options);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
    for (unsigned i = 0; i < 10; i++)
        post_call(&s, sender, store_post_note, target);
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
    end(&s);
}

Test(durable_walk, a_pause_and_a_stop_in_a_snapshot_do_no_harm)
{
    struct store_fixture s;
    struct pawl_task tasks[TASKS];

    begin(&s, NULL);
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
    end(&s);
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
    begin(&s, &options);
    durable = store_durable(&s, 0);
    store_release(&durable->journal.snapshot_bytes, UINT64_C(1) << 30);
    durable->walk.since_bytes = durable->journal.steps.bytes - journal_bytes;
    fixture_turn(&s.f);
    begun = durable->walk.under_way;
    store_run(&s);
    end(&s);
    return begun;
}

Test(durable_walk, only_the_default_waits_for_as_much_as_the_last_snapshot_had)
{
    cr_assert(!begins_after(0, (UINT64_C(1) << 30) - 1));
    cr_assert(begins_after(0, UINT64_C(1) << 30));
    cr_assert(!begins_after(DURABLE_SNAPSHOT_BYTES, DURABLE_SNAPSHOT_BYTES - 1));
    cr_assert(begins_after(DURABLE_SNAPSHOT_BYTES, DURABLE_SNAPSHOT_BYTES));
}
