/* Recovery from end to end: what hand-made files say is what the runtime has, or it is refused. */
#include "shard/restore.h"

#include <pthread.h>

#include "support/restore_fixture.h"

static void put_task(struct store_build *b, uint32_t slot, uint64_t word)
{
    const uint64_t context[3] = {word};

    build_step(b, slot, 1, 2, S_IDLE, ENTRY_CREATED | ENTRY_EXTERNAL, context, sizeof(context));
}

static void put_step(struct store_build *b, uint32_t slot, uint32_t version, uint16_t state,
                     uint64_t word)
{
    const uint64_t context[3] = {word};

    build_step(b, slot, 1, version, state, 0, context, sizeof(context));
}

Test(restore, an_empty_store_is_an_empty_runtime)
{
    struct restore_fixture f;

    restore_fixture_init(&f, 2, NULL);
    restore_open(&f, 2, 0);
    cr_assert(!f.restored.rewrite);
    for (unsigned i = 0; i < 2; i++) {
        const struct store_position *position = &f.restored.shards[i].position;

        cr_assert(position->lsn == 1 && position->previous_crc == 0 && position->file == 1 &&
                  position->snapshot == 1 && position->time_ns == 0);
        cr_assert_eq(f.restored.shards[i].tasks, 0u);
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, tasks_come_back_with_state_context_key_timers_and_deferred_events)
{
    const struct entry_timer timers[] = {{5000000000, 1}, {7000000000, 3}};
    const struct pawl_event wait = {
        .task = restore_task(0, 1, 7), .code = P_WAIT, .flags = PAWL_EVENT_COMPLETE, .arg = {42}};
    const struct pawl_task task = restore_task(0, 1, 7);
    struct pawl_task found;
    struct restore_fixture f;
    struct store_build b;
    uint64_t end_lsn;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    build_key(&b, 7, 1, "order 66", 8);
    put_task(&b, 7, 1);
    build_timers(&b, 7, 1, timers, 2);
    build_frame(&b, 0);
    put_step(&b, 7, 4, S_IDLE, 2);
    build_defer(&b, 7, 1, 0, &wait, NULL, 0);
    b.time_ns = 3000000000;
    build_frame(&b, 0);
    end_lsn = b.lsn;
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    restore_is(&f, task, S_IDLE, 2);
    cr_assert_eq(pawl_task_find(f.runtime, "order 66", 8, &found), 0);
    cr_assert_eq(found.id, task.id);
    cr_assert_eq(f.restored.shards[0].tasks, 1u);
    cr_assert_eq(f.restored.shards[0].entries, 5u);
    cr_assert_eq(f.restored.shards[0].position.lsn, end_lsn);
    cr_assert_eq(f.restored.shards[0].position.file, 2u);
    cr_assert_eq(f.restored.time_ns, 3000000000u);

    /* Timers fire when what remained of them is over: 2 s and 4 s from now. */
    restore_start(&f);
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 1999000000);
    restore_run(&f);
    cr_assert(TRACE_IS());
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 2001000000);
    restore_run(&f);
    cr_assert(TRACE_IS(1));
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 4001000000);
    restore_run(&f);
    cr_assert(TRACE_IS(1, 3));
    /* The deferred event is recalled when the state changes, and nobody is told of it. */
    cr_assert_eq(pawl_task_post(f.runtime, &(struct pawl_event){.task = task, .code = P_MOVE}, 1),
                 1);
    restore_run(&f);
    cr_assert(TRACE_IS(1, 3, 42));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, ids_of_ended_tasks_are_never_used_again)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    build_floor(&b, 0, 1024, 17); /* some ended before anything that is still told */
    put_task(&b, 1, 1);
    build_frame(&b, 0);
    build_step(&b, 1, 1, 4, S_IDLE, ENTRY_ENDED, NULL, 0);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    restore_is_gone(&f, restore_task(0, 1, 1));
    cr_assert_eq(f.runtime->shards[0]->durable->floors[0], 17u);
    restore_start(&f);
    for (unsigned i = 0; i < 1500; i++) {
        const struct pawl_task_spec spec = {.shard = 0};
        struct pawl_task task;

        cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
        cr_assert(id_generation(task) > 17 || id_slot(task) >= 1024, "%llx",
                  (unsigned long long)task.id);
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, the_age_of_a_state_goes_on)
{
    const struct pawl_task task = restore_task(0, 1, 3);
    struct pawl_view view = {0};
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    b.time_ns = UINT64_C(100) << SINCE_SHIFT;
    put_task(&b, 3, 1);
    build_frame(&b, 0);
    b.time_ns = UINT64_C(250) << SINCE_SHIFT;
    put_step(&b, 3, 4, S_IDLE, 2); /* stays in its state */
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    cr_assert_eq(load_relaxed(&restore_slot(&f, task)->since), 100u);
    cr_assert_eq(f.runtime->shards[0]->since, 250u);
    cr_assert_eq(pawl_task_peek(f.runtime, task, &view), 0);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, all_shards_share_the_latest_time)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    for (uint32_t shard = 0; shard < 2; shard++) {
        const struct entry_timer timer = {9000000000, 0};

        restore_journal(&b, shard);
        b.time_ns = shard == 0 ? 2000000000 : 8000000000;
        put_task(&b, 5, shard);
        build_timers(&b, 5, 1, &timer, 1);
        restore_save(&f, &b);
    }
    restore_open(&f, 2, 0);
    for (uint32_t shard = 0; shard < 2; shard++)
        cr_assert_eq(f.restored.shards[shard].position.time_ns, 8000000000u);
    restore_start(&f);
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 999000000);
    restore_run(&f);
    cr_assert(TRACE_IS());
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 1001000000);
    restore_run(&f);
    cr_assert(TRACE_IS(0, 0));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, what_no_snapshot_and_no_creation_tells_of_is_refused)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_task(&b, 1, 1);
    put_step(&b, 9, 4, S_BUSY, 1); /* of a task that was never created */
    restore_save(&f, &b);
    restore_refused(&f, 1, -EBADMSG, "slot 9");
    restore_fixture_fini(&f);
}

Test(restore, what_cannot_be_is_refused)
{
    static const char *const keys[] = {"same", "same"};
    const struct entry_timer timer = {1, 4}; /* the puppet has four: 0 to 3 */
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    for (unsigned wrong = 0; wrong < 6; wrong++) {
        restore_journal(&b, 0);
        put_task(&b, 1, 1);
        if (wrong == 0)
            for (uint32_t i = 0; i < 2; i++) {
                build_key(&b, 10 + i, 1, keys[i], 4);
                put_task(&b, 10 + i, i);
            }
        if (wrong == 1)
            build_timers(&b, 1, 1, &timer, 1);
        if (wrong == 2)
            put_step(&b, 1, 4, S_LIVE, 1); /* a parent */
        if (wrong == 3)
            put_step(&b, 1, 4, 77, 1);
        if (wrong == 4)
            build_step(&b, 1, 1, 4, S_IDLE, 0, "four...", 8);
        if (wrong == 5)
            build_key(&b, 12, 1, "nobody's", 8);
        restore_save(&f, &b);
        restore_refused(&f, 1, wrong == 0 ? -EEXIST : -EBADMSG,
                        (const char *[]){"key of another", "timer", "state", "state",
                                         "another size", "slot 12"}[wrong]);
    }
    restore_fixture_fini(&f);
}

Test(restore, more_tasks_than_may_live_are_refused_with_both_numbers)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    for (uint32_t i = 1; i <= 20; i++)
        put_task(&b, i, i);
    restore_save(&f, &b);
    f.tasks_max = 19;
    restore_refused(&f, 1, -ENOSPC, "20 tasks");
    f.tasks_max = 20;
    restore_open(&f, 1, 0);
    restore_close(&f);
    restore_fixture_fini(&f);
}

/* Contexts of ten tasks need ten blocks; while the tale is told there are more side by side. */
static const char *const big_events[] = {"go"};
static const struct pawl_state_def big_states[] = {{.name = "a"}, {.name = "b"}};
static void big_nothing(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}
static const struct pawl_transition_def big_transitions[] = {
    {.from = "a", .on = "go", .to = "b", .action = big_nothing},
    {.from = "b", .on = "go", .to = "a", .action = big_nothing}};
static const struct pawl_machine_def big = {.name = "big",
                                            FIXTURE_TABLE(events, big_events),
                                            FIXTURE_TABLE(states, big_states),
                                            FIXTURE_TABLE(transitions, big_transitions),
                                            .context_size = 2048};

Test(restore, tasks_that_never_lived_together_need_no_room_together)
{
    static const struct pawl_machine_def *const machines[] = {&big, NULL};
    static uint64_t context[256];
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, machines);
    f.tasks_max = 32;
    restore_journal(&b, 0);
    for (uint32_t i = 1; i <= 200; i++) {
        context[0] = i;
        build_step(&b, i, 1, 2, 0, ENTRY_CREATED, context, sizeof(context));
        build_step(&b, i, 1, 4, 0, ENTRY_ENDED, NULL, 0);
        if (i % 20 == 0)
            build_frame(&b, 0);
    }
    restore_save(&f, &b);
    /* The snapshot was taken while the above happened: it shows the last of them, early. */
    restore_snapshot(&b, 0, 1, 0, 1);
    for (uint32_t i = 1; i <= 200; i++) {
        build_step(&b, i, 1, 2, 0, ENTRY_IMAGE, context, sizeof(context));
        if (i % 20 == 0)
            build_frame(&b, 0);
    }
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    cr_assert_eq(f.restored.shards[0].tasks, 0u);
    cr_assert(f.restored.rewrite, "it took the longer way");
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore, a_wrong_manifest_is_found)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 1);
    put_task(&b, 1, 1);
    restore_save(&f, &b);
    restore_refused(&f, 1, -EBADMSG, "more shards than the manifest");
    f.manifest->shards = 2;
    restore_open(&f, 2, 0);
    restore_close(&f);
    f.manifest->epoch = 0;
    restore_refused(&f, 2, -EBADMSG, "epoch 1");
    restore_fixture_fini(&f);
}

Test(restore, files_of_other_sets_and_unfinished_ones_are_not_looked_at)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_task(&b, 1, 1);
    restore_save(&f, &b);
    restore_journal(&b, 0);
    b.header.set = 0; /* what a rewrite has left */
    put_task(&b, 2, 2);
    restore_save(&f, &b);
    restore_snapshot(&b, 0, 1, 0, 1);
    b.header.set = 2; /* of one that did not come to its end */
    put_task(&b, 2, 2);
    restore_save(&f, &b);
    memory_file_set(
        memory_disk_create(&f.disk, RESTORE_DIRECTORY "/0001-0000-000000000001.snapshot.new"),
        "rubbish", 7);
    memory_file_set(memory_disk_create(&f.disk, RESTORE_DIRECTORY "/notes.txt"), "x", 1);
    restore_open(&f, 1, 0);
    restore_is(&f, restore_task(0, 1, 1), S_IDLE, 1);
    restore_is_gone(&f, restore_task(0, 1, 2));
    restore_close(&f);
    restore_fixture_fini(&f);
}

/* The disk in memory is for one thread: calls of several take turns. */
static pthread_mutex_t turns = PTHREAD_MUTEX_INITIALIZER;

static int turn_open(void *user, const char *path, unsigned flags, void **file)
{
    int result;

    pthread_mutex_lock(&turns);
    result = memory_open(user, path, flags, file);
    pthread_mutex_unlock(&turns);
    return result;
}

static int64_t turn_read(void *user, void *file, void *bytes, size_t size, uint64_t offset)
{
    int64_t result;

    pthread_mutex_lock(&turns);
    result = memory_read(user, file, bytes, size, offset);
    pthread_mutex_unlock(&turns);
    return result;
}

static int turn_close(void *user, void *file)
{
    int result;

    pthread_mutex_lock(&turns);
    result = memory_close(user, file);
    pthread_mutex_unlock(&turns);
    return result;
}

Test(restore, threads_read_what_one_thread_reads)
{
    struct restore_fixture f;
    struct store_build b;
    struct pawl_runtime *runtime;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct restored restored;

    restore_fixture_init(&f, 5, NULL);
    for (uint32_t shard = 0; shard < 5; shard++) {
        restore_journal(&b, shard);
        for (uint32_t i = 1; i <= 100; i++)
            put_task(&b, i, 1000 * shard + i);
        restore_save(&f, &b);
    }
    options.machines = (const struct pawl_machine *const *)f.machines;
    options.machine_count = 1;
    options.shards = 5;
    options.no_huge_pages = 1;
    cr_assert_eq(pawl_open(&options, &runtime), 0);
    runtime->key_seed = f.manifest->key_seed;
    for (uint32_t i = 0; i < 5; i++)
        restore_attach(runtime->shards[i]);
    f.disk.storage.open = turn_open;
    f.disk.storage.read = turn_read;
    f.disk.storage.close = turn_close;
    cr_assert_eq(pawl__restore(runtime,
                               &(struct restore_options){.storage = &f.disk.storage,
                                                         .directory = RESTORE_DIRECTORY,
                                                         .manifest = f.manifest,
                                                         .progress = restore_count,
                                                         .diagnose = restore_tell},
                               &restored),
                 0, "%s", f.told);
    cr_assert(f.progress > 0);
    f.runtime = runtime;
    for (uint32_t shard = 0; shard < 5; shard++) {
        cr_assert_eq(restored.shards[shard].tasks, 100u);
        for (uint32_t i = 1; i <= 100; i++)
            restore_is(&f, restore_task(shard, 1, i), S_IDLE, 1000 * shard + i);
        restore_detach(runtime->shards[shard]);
    }
    pawl__restored_fini(&restored);
    cr_assert_eq(pawl_close(runtime), 0);
    f.runtime = NULL;
    restore_fixture_fini(&f);
}
