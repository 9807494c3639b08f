#include "base/random.h"
#include "support/store_fixture.h"

/* Through these numbers of shards and back. */
static const unsigned shapes[] = {1, 2, 3, 5, 3, 1, 2, 5, 1};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), TASKS = 40 };

static void in_shape(struct store_fixture *s, unsigned shape)
{
    s->options.shards = shapes[shape];
    store_open(s);
    cr_assert_eq(pawl_shard_count(s->f.runtime), shapes[shape]);
}

Test(store_rewrite, tasks_go_on_under_their_ids_in_any_number_of_shards)
{
    struct store_fixture s;
    struct pawl_task tasks[TASKS];

    store_init(&s, NULL);
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        in_shape(&s, shape);
        for (unsigned i = 0; i < TASKS; i++) {
            if (shape == 0)
                tasks[i] = store_create(&s, i % 4 == 0 ? M_ASYNC : M_SYNC, 0);
            cr_assert_eq(fixture_puppet_of(&s.f, tasks[i]).count, shape);
            store_note(&s, tasks[i], shape);                                  /* post */
            cr_assert_eq(fixture_puppet_of(&s.f, tasks[i]).count, shape + 1); /* peek */
        }
        cr_assert(store_settle(&s));
        if (shape % 2 != 0)
            store_crash(&s, SIM_CRASH_POWER);
        else
            store_close(&s);
    }
    store_fini(&s);
}

Test(store_rewrite, keys_lead_to_their_tasks_and_are_taken_only_once)
{
    struct store_fixture s;
    struct pawl_task tasks[TASKS], found;

    store_init(&s, NULL);
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        in_shape(&s, shape);
        for (unsigned i = 0; i < TASKS; i++) {
            char key[16];
            const struct pawl_task_spec spec = {
                .machine = M_SYNC, .key = key, .key_size = (size_t)snprintf(key, 16, "key-%u", i)};
            struct pawl_view view = {0};

            if (shape == 0)
                cr_assert_eq(store_try_create(&s, &spec, &tasks[i]), 0);
            else
                cr_assert_eq(store_try_create(&s, &spec, &found), -EEXIST);
            cr_assert_eq(pawl_task_find(s.f.runtime, key, spec.key_size, &found), 0);
            cr_assert_eq(pawl_task_peek(s.f.runtime, found, &view), 0);
            cr_assert(view.key_size == spec.key_size && memcmp(view.key, key, view.key_size) == 0);
            store_note(&s, tasks[i], 1);
            cr_assert_eq(fixture_puppet_of(&s.f, found).count, shape + 1);
        }
        store_close(&s);
    }
    store_fini(&s);
}

static void ask_it(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet;
    pawl_step_ask(step, &(struct pawl_event){.task = {event->arg[1]}, .code = P_NOTE, .arg = {3}},
                  P_REPLY);
}

Test(store_rewrite, tasks_reach_each_other_by_the_ids_that_they_know)
{
    struct store_fixture s;
    struct pawl_task asker = {0}, asked = {0};

    store_init(&s, NULL);
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        in_shape(&s, shape);
        if (shape == 0) {
            asker = store_create(&s, M_SYNC, 0);
            asked = store_create(&s, M_SYNC, 0);
            for (unsigned i = 0; i < 10; i++)
                store_create(&s, M_SYNC, 0);
        }
        cr_assert_eq(store_call(&s, asker, P_CALL, store_post_note, asked.id).status, 0);
        cr_assert_eq(store_call(&s, asker, P_CALL, ask_it, asked.id).status, 0);
        store_run(&s);
        /* A note that it posts; one that it asks by, and its answer. */
        cr_assert_eq(fixture_puppet_of(&s.f, asked).count, 2 * (shape + 1));
        cr_assert_eq(fixture_puppet_of(&s.f, asker).count, 2 * (shape + 1));
        cr_assert(store_settle(&s));
        store_crash(&s, SIM_CRASH_POWER);
    }
    store_fini(&s);
}

Test(store_rewrite, tasks_are_cancelled_by_the_ids_that_are_known)
{
    for (unsigned shape = 1; shape < 4; shape++) {
        struct store_fixture s;
        struct pawl_task tasks[TASKS];

        store_init(&s, NULL);
        in_shape(&s, 0);
        for (unsigned i = 0; i < TASKS; i++)
            tasks[i] = store_create(&s, M_SYNC, 0);
        store_close(&s);
        in_shape(&s, shape);
        for (unsigned i = 0; i < TASKS; i += 2) {
            if (i % 4 == 0)
                cr_assert_eq(pawl_task_cancel(s.f.runtime, tasks[i]), 0);
            else
                cr_assert_eq(pawl_port_cancel(s.f.port, tasks[i], i), 0);
        }
        store_run(&s);
        store_crash(&s, SIM_CRASH_POWER);
        s.options.shards = 2;
        store_open(&s);
        for (unsigned i = 0; i < TASKS; i++)
            cr_assert_eq(fixture_is_alive(&s.f, tasks[i]), i % 2 != 0);
        store_end(&s);
    }
}

static void arm_one(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    (void)puppet, (void)event;
    pawl_step_arm(step, 1, 10 * FIXTURE_SECOND);
}

Test(store_rewrite, timers_and_deferred_events_move_with_their_task)
{
    struct store_fixture s;
    struct pawl_task tasks[TASKS];

    store_init(&s, NULL);
    in_shape(&s, 0);
    for (unsigned i = 0; i < TASKS; i++) {
        tasks[i] = store_create(&s, M_SYNC, 0);
        cr_assert_eq(store_call(&s, tasks[i], P_CALL, arm_one, 0).status, 0);
        for (uint64_t n = 1; n <= 3; n++)
            fixture_send(&s.f, tasks[i], P_WAIT, n);
    }
    store_run(&s);
    store_crash(&s, SIM_CRASH_POWER);
    for (unsigned shape = 1; shape < SHAPES; shape++) {
        in_shape(&s, shape);
        store_close(&s);
    }
    in_shape(&s, 3);
    for (unsigned i = 0; i < TASKS; i++) {
        trace_clear();
        cr_assert_eq(store_ask(&s, tasks[i], P_MOVE, 0, 0).status, 0);
        cr_assert(TRACE_IS(1, 2, 3));
    }
    trace_clear();
    store_advance(&s, 9 * FIXTURE_SECOND);
    cr_assert_eq(trace.count, 0);
    store_advance(&s, 2 * FIXTURE_SECOND);
    cr_assert_eq(trace.count, TASKS);
    store_end(&s);
}

/* What was sent and not handled when the old shape ended is handled once in the new one. */
Test(store_rewrite, events_under_way_are_handled_once_in_the_new_shape)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        const struct store_fixture_options options = {
            .seed = seed, .shards = 3, .latency_min_ns = 1000, .latency_max_ns = 500000};
        struct random random = {seed};
        struct store_fixture s;
        struct pawl_task tasks[6];
        uint64_t sent = 0, came = 0;

        store_begin(&s, &options);
        for (unsigned i = 0; i < 6; i++)
            tasks[i] = store_create(&s, M_SYNC, i % 3);
        for (unsigned round = 0; round < 4; round++) {
            for (uint64_t i = random_below(&random, 50); i > 0; i--) {
                if (random_below(&random, 2) != 0)
                    fixture_post(&s.f, &(struct pawl_event){
                                           .task = tasks[random_below(&random, 3)],
                                           .code = P_CALL,
                                           .arg = {puppet_word(store_post_note),
                                                   tasks[3 + random_below(&random, 3)].id}});
                else
                    store_disk_step(&s);
                pawl_turn(s.f.runtime, (unsigned)random_below(&random, s.f.shards));
            }
            store_crash(&s, random_below(&random, 2) != 0 ? SIM_CRASH_POWER : SIM_CRASH_KILL);
            s.options.shards = 1 + (unsigned)random_below(&random, 5);
            store_open(&s);
        }
        store_run(&s);
        for (unsigned i = 0; i < 3; i++) {
            sent += fixture_puppet_of(&s.f, tasks[i]).count;
            came += fixture_puppet_of(&s.f, tasks[3 + i]).count;
        }
        cr_assert_eq(sent, came, "seed %llu: %llu of %llu", (unsigned long long)seed,
                     (unsigned long long)came, (unsigned long long)sent);
        store_end(&s);
    }
}

/* A shard of which the journal has nothing but which ids have been given out. */
static void check_floors(unsigned machine, unsigned before, unsigned after)
{
    const struct store_fixture_options options = {.shards = before};
    struct store_fixture s;
    struct pawl_task first;

    store_begin(&s, &options);
    first = store_create(&s, machine, 2);
    store_crash(&s, SIM_CRASH_POWER);
    s.options.shards = after;
    store_open(&s);
    for (unsigned i = 0; i < 100; i++)
        cr_assert(store_create(&s, machine, 2).id != first.id, "%u shards, then %u", before, after);
    store_end(&s);
}

Test(store_rewrite, ids_of_memory_only_tasks_are_not_used_again_in_another_shape)
{
    check_floors(M_MEMORY, 3, 3);
    check_floors(M_SYNC, 3, 5);
    check_floors(M_MEMORY, 3, 5);
}

Test(store_rewrite, ids_are_not_used_again_in_any_shape)
{
    static uint64_t seen[SHAPES * TASKS];
    struct store_fixture s;
    unsigned count = 0;

    store_init(&s, NULL);
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        in_shape(&s, shape);
        for (unsigned i = 0; i < TASKS; i++) {
            const struct pawl_task task = store_create(&s, i % M_COUNT, i % shapes[shape]);

            for (unsigned j = 0; j < count; j++)
                cr_assert(seen[j] != task.id,
                          "shape %u: id %llx comes again, of shape %u, place %u", shape,
                          (unsigned long long)task.id, j / TASKS, j % TASKS);
            seen[count++] = task.id;
            if (i % 2 == 0)
                cr_assert_eq(store_ask(&s, task, P_END, 0, 0).status, 0);
        }
        store_settle(&s);
        store_crash(&s, SIM_CRASH_POWER);
    }
    in_shape(&s, 2);
    for (unsigned j = 0; j < count; j++)
        if (j % TASKS % 2 == 0)
            cr_assert(!fixture_is_alive(&s.f, (struct pawl_task){seen[j]}), "%u", j);
    store_end(&s);
}

/* Dying at any operation: the next opening finds all of it, in the old shape or in a new one. */
Test(store_rewrite, dying_at_any_operation_leaves_the_old_store_or_the_new_one)
{
    for (uint64_t nth = 1; nth < 600; nth += nth < 40 ? 1 : 5) {
        const struct store_fixture_options options = {.seed = nth, .shards = 2};
        struct store_fixture s;
        struct pawl_task tasks[12];
        uint64_t struck;
        int number;

        store_begin(&s, &options);
        for (unsigned i = 0; i < 12; i++) {
            tasks[i] = store_create(&s, M_SYNC, i % 2);
            store_note(&s, tasks[i], i);
        }
        store_crash(&s, SIM_CRASH_POWER);
        number = store_fault(&s, SIM_FAULT_DIE, SIM_OPS_ALL, nth, 0);
        s.options.shards = 3;
        if (store_try_open(&s) == 0) {
            store_start(&s);
            store_die(&s);
        }
        struck = sim_disk_fault_struck(s.disk, number);
        sim_disk_faults_clear(s.disk);
        sim_disk_crash(s.disk, nth % 2 != 0 ? SIM_CRASH_POWER : SIM_CRASH_KILL);
        sim_disk_reopen(s.disk);
        s.options.shards = nth % 3 == 0 ? 2 : 3;
        store_open(&s);
        for (unsigned i = 0; i < 12; i++) {
            cr_assert_eq(fixture_puppet_of(&s.f, tasks[i]).count, 1, "operation %llu, task %u",
                         (unsigned long long)nth, i);
            store_note(&s, tasks[i], i);
        }
        store_end(&s);
        if (struck == 0)
            break;
    }
}

Test(store_rewrite, a_failure_leaves_the_store_in_its_old_shape_and_is_told)
{
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct store_fixture s;
        struct pawl_task task;
        uint64_t struck;
        int number;

        store_begin(&s, NULL);
        task = store_create(&s, M_SYNC, 0);
        store_note(&s, task, 5);
        store_close(&s);
        number = store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_WRITE), nth, -ENOSPC);
        s.options.shards = 3;
        if (store_try_open(&s) == 0) {
            store_start(&s);
            store_die(&s);
            sim_disk_crash(s.disk, SIM_CRASH_POWER);
            sim_disk_reopen(s.disk);
        } else {
            cr_assert(s.told[0] != '\0', "write %llu", (unsigned long long)nth);
            s.options.shards = 1;
        }
        struck = sim_disk_fault_struck(s.disk, number);
        sim_disk_faults_clear(s.disk);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5);
        store_end(&s);
        if (struck == 0)
            return;
    }
}
