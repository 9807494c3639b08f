/*
 * New tasks: made by a host, by a port, by a step on another shard; with keys; and the limits. What a step makes on its
 * own shard is in test_create_step.c.
 */
#include "support/create_fixture.h"

/* ---- by a host ----------------------------------------------------------------------------------- */

static struct fixture *first_seen;

static void first_words(struct pawl_step *step, struct puppet *puppet,
                        const struct pawl_event *event)
{
    cr_assert_eq(event->code, PAWL_CODE_CREATE);
    cr_assert_eq(event->task.id, pawl_step_task(step).id);
    cr_assert_eq(pawl_step_now_ns(step), fixture_now(first_seen));
    puppet->sum = event->arg[1];
    puppet->last++;
}

Test(create, a_context_begins_as_given_and_the_entry_sees_the_words)
{
    const struct {
        uint64_t count;
        unsigned char part[3];
    } given = {17, {1, 2, 3}};
    struct pawl_task task;
    struct puppet puppet;

    fixture_open(&f, &(struct fixture_options){.shards = 3});
    first_seen = &f;
    for (uint32_t shard = 0; shard < 3; shard++) {
        const struct pawl_task_spec words = {.shard = shard,
                                             .context = &given,
                                             .context_size = 8,
                                             .arg = {puppet_word(first_words), 77}};

        fixture_jump(&f, 5);
        cr_assert_eq(pawl_task_create(f.runtime, &words, &task), 0);
        cr_assert_eq(pawl_task_shard(task), shard);
        puppet = fixture_puppet_of(&f, task);
        cr_assert(puppet.count == 17 && puppet.sum == 77 && puppet.last == 1);
        cr_assert_eq(fixture_state(&f, task), S_IDLE);

        cr_assert_eq(pawl_port_create(f.port, &words, 5), 0);
        fixture_run(&f);
        task = fixture_reap(&f).task;
        puppet = fixture_puppet_of(&f, task);
        cr_assert(puppet.count == 17 && puppet.sum == 77 && puppet.last == 1);

        /* Part of a word: the rest is zero. */
        cr_assert_eq(pawl_task_create(f.runtime,
                                      &(struct pawl_task_spec){
                                          .shard = shard, .context = &given, .context_size = 11},
                                      &task),
                     0);
        puppet = fixture_puppet_of(&f, task);
        cr_assert(puppet.count == 17 && puppet.sum == 0x030201 && puppet.last == 0);
    }
    fixture_close(&f);
}

Test(create, senseless_specs_are_refused)
{
    static const char bytes[65];
    const struct pawl_task_spec bad[] = {
        {.machine = 1},
        {.shard = 2},
        {.context = bytes, .context_size = sizeof(struct puppet) + 1},
        {.context_size = 4},
        {.key = bytes, .key_size = 0},
        {.key = bytes, .key_size = 65},
        {.key_size = 3},
    };
    struct pawl_task task;

    make_open(2);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(pawl_task_create(f.runtime, &bad[i], &task), -EINVAL, "spec %u", i);
        cr_assert_eq(pawl_port_create(f.port, &bad[i], 0), -EINVAL, "spec %u", i);
        spec = bad[i];
        cr_assert_eq(fixture_call(&f, maker, P_CALL, create_one).status, -EINVAL, "spec %u", i);
        cr_assert_eq(returned[0], -EINVAL);
        cr_assert_eq(made[0].id, 0);
    }
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    spec = (struct pawl_task_spec){.machine = 0};
    reply_code = P_EVENTS;
    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_one).status, -EINVAL);
    fixture_close(&f);
}

Test(create, a_port_learns_of_it_by_a_completion)
{
    struct pawl_completion done;
    struct pawl_task task;

    make_open(3);
    cr_assert_eq(pawl_port_create(
                     f.port, &(struct pawl_task_spec){.shard = 2, .key = "k", .key_size = 1}, 9),
                 0);
    cr_assert_eq(pawl_port_outstanding(f.port), 1);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 9 && done.state == S_IDLE);
    cr_assert(fixture_is_alive(&f, done.task));
    cr_assert_eq(fixture_view(&f, done.task, NULL, 0).version, done.version);
    cr_assert_eq(pawl_task_find(f.runtime, "k", 1, &task), 0);
    cr_assert_eq(task.id, done.task.id);
    cr_assert_eq(pawl_port_create(f.port, &(struct pawl_task_spec){.key = "k", .key_size = 1}, 10),
                 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == -EEXIST && done.tag == 10);
    cr_assert_eq(done.task.id, task.id);
    /* Any shard: they take turns. */
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(
            pawl_port_create(f.port, &(struct pawl_task_spec){.shard = PAWL_ANY_SHARD}, 20), 0);
    fixture_run(&f);
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(fixture_reap(&f).status, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct pawl_counters counters;

        fixture_turn(&f);
        cr_assert_eq(pawl_shard_counters(f.runtime, i, &counters), 0);
        cr_assert(counters.tasks >= 2);
    }
    fixture_close(&f);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

Test(create, a_key_is_free_again_when_its_task_has_ended)
{
    char key[64];
    struct pawl_task first, second, found;

    make_open(2);
    for (size_t size = 1; size <= 64; size += 9) {
        memset(key, 'x', sizeof(key));
        spec = (struct pawl_task_spec){.key = key, .key_size = size};
        cr_assert_eq(pawl_task_create(f.runtime, &spec, &first), 0);
        cr_assert_eq(pawl_task_create(f.runtime, &spec, &second), -EEXIST);
        cr_assert_eq(second.id, first.id);
        cr_assert_eq(fixture_view(&f, first, NULL, 0).key_size, size);
        cr_assert(memcmp(fixture_view(&f, first, NULL, 0).key, key, size) == 0);
        fixture_ask(&f, first, P_END, 0, 0);
        cr_assert_eq(pawl_task_find(f.runtime, key, size, &found), -ENOENT);
        cr_assert_eq(pawl_task_create(f.runtime, &spec, &second), 0);
        cr_assert(second.id != first.id);
        cr_assert_eq(pawl_task_find(f.runtime, key, size, &found), 0);
        cr_assert_eq(found.id, second.id);
        cr_assert_eq(pawl_task_cancel(f.runtime, second), 0);
        fixture_run(&f);
        cr_assert_eq(pawl_task_find(f.runtime, key, size, &found), -ENOENT);
    }
    fixture_close(&f);
}

static void create_twice(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    puppet->count++;
    returned[0] = pawl_step_create(step, &spec, reply_code, &made[0]);
    returned[1] = pawl_step_create(step, &spec, reply_code, &made[1]);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = made[1], .code = P_NOTE}), 0);
    if (event->arg[1] != 0)
        pawl_step_abort(step, -EIO);
}

Test(create, an_existing_key_is_an_answer_and_the_step_goes_on)
{
    struct pawl_task found;
    char key[32];

    make_open(2);
    snprintf(key, sizeof(key), "%s", key_of(0, 1));
    spec = (struct pawl_task_spec){.key = key, .key_size = strlen(key)};
    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_twice), 1).status, -EIO);
    cr_assert_eq(pawl_task_find(f.runtime, key, strlen(key), &found), -ENOENT);
    cr_assert_eq(fixture_puppet_of(&f, maker).count, 0);

    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_twice), 0).status, 0);
    cr_assert_eq(returned[0], 0);
    cr_assert_eq(returned[1], -EEXIST);
    cr_assert_eq(made[0].id, made[1].id);
    cr_assert_eq(pawl_task_find(f.runtime, key, strlen(key), &found), 0);
    cr_assert_eq(found.id, made[0].id);
    cr_assert_eq(fixture_puppet_of(&f, found).count, 1);
    cr_assert_eq(fixture_puppet_of(&f, maker).count, 1);
    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_twice), 0).status, 0);
    cr_assert_eq(returned[0], -EEXIST);
    cr_assert_eq(made[0].id, found.id);
    cr_assert_eq(fixture_puppet_of(&f, found).count, 2);
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

/* ---- across shards ------------------------------------------------------------------------------- */

Test(create, a_creation_on_another_shard_is_replied_to)
{
    struct pawl_task task;
    char key[32];

    make_open(3);
    spec = (struct pawl_task_spec){.shard = 2, .arg = {0, 5}};
    reply_code = P_REPLY;
    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_one).status, 0);
    cr_assert_eq(made[0].id, 0);
    cr_assert_eq(trace.count, 2);
    task.id = trace.words[0];
    cr_assert_eq(trace.words[1], 0);
    cr_assert_eq(pawl_task_shard(task), 2);
    cr_assert(fixture_is_alive(&f, task));

    /* By key; then the same again: the existing one. */
    snprintf(key, sizeof(key), "%s", key_of(1, 3));
    trace_clear();
    spec = (struct pawl_task_spec){.key = key, .key_size = strlen(key)};
    fixture_call(&f, maker, P_CALL, create_one);
    cr_assert_eq(made[0].id, 0);
    fixture_call(&f, maker, P_CALL_SLOW, create_one);
    cr_assert_eq(trace.count, 4);
    cr_assert_eq(trace.words[1], 0);
    cr_assert_eq((int64_t)trace.words[3], -EEXIST);
    cr_assert_eq(trace.words[0], trace.words[2]);
    task.id = trace.words[0];
    cr_assert_eq(pawl_task_shard(task), 1);
    cr_assert_eq(fixture_view(&f, task, NULL, 0).key_size, strlen(key));

    /* Entry actions that give up. */
    trace_clear();
    spec = (struct pawl_task_spec){.shard = 1, .arg = {puppet_word(give_up)}};
    fixture_call(&f, maker, P_CALL, create_one);
    cr_assert(TRACE_IS(0, (uint64_t)-ETIMEDOUT));
    cr_assert_eq(f.undelivered_count, 0);

    /* Nobody asked: the host is told. */
    reply_code = PAWL_NO_REPLY;
    fixture_call(&f, maker, P_CALL, create_one);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ETIMEDOUT);
    cr_assert_eq(trace.count, 2);
    fixture_close(&f);
}

static void create_abroad_and_abort(struct pawl_step *step, struct puppet *puppet,
                                    const struct pawl_event *event)
{
    create_one(step, puppet, event);
    pawl_step_abort(step, -EIO);
}

Test(create, an_aborted_step_creates_nothing_abroad)
{
    make_open(2);
    spec = (struct pawl_task_spec){.shard = 1, .arg = {1, 2}}; /* words: the request has a buffer */
    spec.arg[0] = puppet_word(mark_creation);
    reply_code = P_REPLY;
    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_abroad_and_abort).status, -EIO);
    cr_assert_eq(returned[0], 0);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    fixture_close(&f);
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void create_many(struct pawl_step *step, struct puppet *puppet,
                        const struct pawl_event *event)
{
    struct pawl_task task;

    puppet->count++;
    for (uint64_t i = 0; i < event->arg[1]; i++)
        returned[0] = pawl_step_create(step, &spec, reply_code, &task);
}

Test(create, a_step_may_create_256_tasks)
{
    make_open(2);
    for (uint32_t shard = 0; shard < 2; shard++) {
        spec.shard = shard;
        cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_many), 256).status, 0);
        cr_assert_eq(fixture_counters(&f).tasks, 257 + shard * 256);
        cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_many), 257).status, -ENOSPC);
        cr_assert_eq(returned[0], -ENOSPC);
        cr_assert_eq(fixture_counters(&f).tasks, 257 + shard * 256);
    }
    cr_assert_eq(fixture_puppet_of(&f, maker).count, 2);
    fixture_close(&f);
}

Test(create, tasks_max_is_a_limit_and_slots_come_back)
{
    struct pawl_task tasks[10], task;

    fixture_open(&f, &(struct fixture_options){.tasks_max = 10});
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 10; i++)
            tasks[i] = fixture_puppet(&f, 0);
        cr_assert_eq(pawl_task_create(f.runtime, &(struct pawl_task_spec){.machine = 0}, &task),
                     -ENOSPC);
        cr_assert_eq(pawl_port_create(f.port, &(struct pawl_task_spec){.machine = 0}, 1), 0);
        fixture_run(&f);
        cr_assert_eq(fixture_reap(&f).status, -ENOSPC);
        spec = (struct pawl_task_spec){.machine = 0};
        reply_code = PAWL_NO_REPLY;
        cr_assert_eq(fixture_call(&f, tasks[0], P_CALL, create_one).status, -ENOSPC);
        cr_assert_eq(fixture_puppet_of(&f, tasks[0]).count, 0);
        /* A creation that gives up gives its slot back. */
        fixture_ask(&f, tasks[9], P_END, 0, 0);
        maker = tasks[0];
        spec.arg[0] = puppet_word(give_up);
        for (unsigned i = 0; i < 5; i++)
            cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), -ETIMEDOUT);
        for (unsigned i = 0; i < 9; i++)
            fixture_ask(&f, tasks[i], P_END, 0, 0);
    }
    fixture_close(&f);
}

Test(create, at_the_limit_of_events_in_flight_nothing_is_created)
{
    struct pawl_task found;

    fixture_open(&f, &(struct fixture_options){.inflight_max = 4});
    maker = fixture_puppet(&f, 0);
    spec = (struct pawl_task_spec){.machine = 0};
    reply_code = PAWL_NO_REPLY;
    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_many), 5).status, -ENOSPC);
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_many), 4).status, 0);
    cr_assert_eq(fixture_counters(&f).tasks, 5);
    spec = (struct pawl_task_spec){.key = "k", .key_size = 1};
    cr_assert_eq(fixture_ask(&f, maker, P_CALL, puppet_word(create_many), 9).status, 0);
    cr_assert_eq(returned[0], -EEXIST);
    cr_assert_eq(pawl_task_find(f.runtime, "k", 1, &found), 0);
    fixture_close(&f);
}

/* Handles are never used again; stale ones are told from live ones, also when memory was given back. */
Test(create, a_stale_handle_stays_stale)
{
    static struct pawl_task old[20000];

    make_open(1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 20000; i++)
            old[i] = fixture_puppet(&f, 0);
        for (unsigned i = 0; i < 20000; i++) {
            cr_assert_eq(pawl_task_cancel(f.runtime, old[i]), 0);
            if (i % 32 == 0)
                fixture_run(&f);
        }
        fixture_run(&f);
        for (unsigned i = 0; i < 200; i++)
            fixture_turn(&f);
        cr_assert_eq(fixture_counters(&f).tasks, 1);
        f.undelivered_count = 0;
        for (unsigned i = 0; i < 20000; i += 7) {
            struct pawl_view view = {0};

            cr_assert_eq(pawl_task_peek(f.runtime, old[i], &view), -ESTALE);
            fixture_send(&f, old[i], P_NOTE, 0);
            if (i % 32 == 0)
                fixture_run(&f);
        }
        fixture_run(&f);
        cr_assert_eq(f.undelivered_count, (20000 + 6) / 7);
        cr_assert_eq(trace.count, 0);
    }
    fixture_close(&f);
}
