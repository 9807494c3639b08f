/* A store opened with another number of shards: who moves, who stays, and which ids work. */
#include "shard/restore_move.h"

#include "base/random.h"
#include "shard/deferral.h"
#include "support/restore_fixture.h"

enum { TASKS = 40 }; /* a shard; every second one has a key */

static void key_of(uint32_t shard, uint32_t slot, char key[16])
{
    snprintf(key, 16, "k%u.%u", shard, slot);
}

static void put(struct store_build *b, uint32_t shard, uint32_t slot, unsigned flags)
{
    const uint64_t context[3] = {1000 * shard + slot};

    build_step(b, slot, 2, 4, S_IDLE, flags, context, sizeof(context));
}

static void put_shard(struct restore_fixture *f, uint32_t shard)
{
    const struct entry_timer timer = {5000000, 2};
    struct store_build b;

    restore_journal(&b, shard);
    build_floor(&b, 0, 1024, 7);
    for (uint32_t slot = 1; slot <= TASKS; slot++) {
        const struct pawl_event event = {.task = restore_task(shard, 2, slot),
                                         .code = P_WAIT,
                                         .flags = PAWL_EVENT_BUFFER | PAWL_EVENT_COMPLETE,
                                         .arg = {0, slot}};
        char key[16];

        key_of(shard, slot, key);
        if (slot % 2 == 0)
            build_key(&b, slot, 2, key, strlen(key));
        put(&b, shard, slot, ENTRY_CREATED | ENTRY_EXTERNAL);
        if (slot % 5 == 0)
            build_timers(&b, slot, 2, &timer, 1);
        if (slot % 4 == 0)
            build_defer(&b, slot, 2, 0, &event, "deferred", 8);
    }
    restore_save(f, &b);
}

/* What an old id means in the runtime. */
static struct pawl_task now(const struct restore_fixture *f, uint32_t shard, uint32_t slot)
{
    return aliases_resolve(&f->runtime->aliases, restore_task(shard, 2, slot));
}

/* All tasks of `stored` shards are there, each at its place. */
static void check_all(struct restore_fixture *f, uint32_t stored)
{
    const uint32_t shards = f->runtime->shard_count;
    uint64_t tasks = 0, timers = 0;

    for (uint32_t shard = 0; shard < stored; shard++)
        for (uint32_t slot = 1; slot <= TASKS; slot++) {
            const struct pawl_task task = now(f, shard, slot);
            const struct slab *deferrals = &f->runtime->shards[id_shard(task)]->deferrals;
            struct pawl_task found;
            uint32_t home = shard % shards, at;
            char key[16];

            restore_is(f, task, S_IDLE, 1000 * shard + slot);
            key_of(shard, slot, key);
            if (slot % 2 == 0) {
                home = index_home(index_hash(f->manifest->key_seed, key, strlen(key)), shards);
                cr_assert_eq(pawl_task_find(f->runtime, key, strlen(key), &found), 0);
                cr_assert_eq(found.id, task.id);
            }
            cr_assert_eq(id_shard(task), home);
            if (home == shard)
                cr_assert_eq(task.id, restore_task(shard, 2, slot).id, "it has not moved");
            at = pawl__deferral_restore_next(deferrals, restore_slot(f, task), 0);
            cr_assert((at != 0) == (slot % 4 == 0));
            if (at != 0) {
                const struct deferral *deferral = slab_at(deferrals, at);

                cr_assert_eq(deferral->event.task.id, task.id);
                cr_assert_eq(deferral->event.arg[1], slot);
                cr_assert_eq(deferral->event.flags, PAWL_EVENT_BUFFER);
                cr_assert(
                    memcmp(pawl_buffer_bytes(event_buffer(&deferral->event)), "deferred", 8) == 0);
            }
        }
    for (uint32_t shard = 0; shard < shards; shard++) {
        tasks += f->restored.shards[shard].tasks;
        timers += wheel_armed_count(&f->runtime->shards[shard]->wheel);
    }
    cr_assert_eq(tasks, (uint64_t)stored * TASKS);
    cr_assert_eq(timers, (uint64_t)stored * TASKS / 5);
}

Test(restore_move, every_task_is_found_by_its_key_and_by_its_old_id)
{
    static const uint32_t numbers[][2] = {{1, 2}, {2, 1}, {3, 4}, {4, 3}, {5, 1}, {1, 5}, {6, 2}};

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct restore_fixture f;

        restore_fixture_init(&f, numbers[i][0], NULL);
        for (uint32_t shard = 0; shard < numbers[i][0]; shard++)
            put_shard(&f, shard);
        restore_open(&f, numbers[i][1], 0);
        cr_assert(f.restored.rewrite);
        check_all(&f, numbers[i][0]);
        restore_close(&f);
        restore_fixture_fini(&f);
    }
}

Test(restore_move, new_tasks_get_ids_that_nobody_had)
{
    struct restore_fixture f;

    restore_fixture_init(&f, 3, NULL);
    for (uint32_t shard = 0; shard < 3; shard++)
        put_shard(&f, shard);
    restore_open(&f, 2, 0);
    restore_start(&f);
    for (unsigned i = 0; i < 1000; i++) {
        const struct pawl_task_spec spec = {.shard = i % 2};
        struct pawl_task task;

        cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
        cr_assert(id_slot(task) > 1023 || id_generation(task) > 7, "%llx",
                  (unsigned long long)task.id);
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

/* What a set says of aliases and of generations, as a snapshot of shard 0 would hold it. */
static void put_aliases(struct restore_fixture *f, struct store_build *b)
{
    const struct alias *alias;
    size_t at = 0;

    while ((alias = pawl__aliases_next(&f->runtime->aliases, &at)) != NULL) {
        struct entry_alias *const entry = build_entry(b, ENTRY_ALIAS, 0, 0, sizeof(*entry));

        entry->from = alias->from;
        entry->to = alias->to;
    }
}

Test(restore_move, ids_of_a_shard_that_goes_and_comes_again_are_not_used_twice)
{
    const struct pawl_task_spec spec = {.shard = 1};
    struct restore_fixture f;
    struct store_build b;
    struct pawl_task task;

    restore_fixture_init(&f, 2, NULL);
    put_shard(&f, 0);
    put_shard(&f, 1);
    restore_open(&f, 1, 0);
    f.manifest->set = 2;
    f.manifest->shards = 1;
    restore_snapshot(&b, 0, 1, 0, 0);
    b.header.set = 2;
    put_aliases(&f, &b);
    restore_save(&f, &b);
    restore_close(&f);
    restore_open(&f, 1, 0); /* in place: they are kept */
    cr_assert(f.runtime->aliases.count > TASKS);
    cr_assert(!f.restored.rewrite);
    restore_close(&f);
    restore_open(&f, 2, 0);
    restore_start(&f);
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
    cr_assert(id_shard(task) == 1 && id_generation(task) > 7, "%llx", (unsigned long long)task.id);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_move, an_old_id_leads_through_several_moves_and_ends_with_its_task)
{
    const struct pawl_task first = restore_task(1, 2, 9);
    struct restore_fixture f;
    struct store_build b;
    struct pawl_task second;

    restore_fixture_init(&f, 2, NULL);
    put_shard(&f, 0);
    put_shard(&f, 1);
    restore_open(&f, 1, 0);
    second = now(&f, 1, 9);
    cr_assert(id_shard(second) == 0);
    f.manifest->set = 2; /* it lives on as shard 0's only task, with its key */
    f.manifest->shards = 1;
    restore_snapshot(&b, 0, 1, 0, 0);
    b.header.set = 2;
    {
        uint64_t context[3] = {1009};
        char key[] = "0"; /* one that belongs to the second of two shards */

        while (index_home(index_hash(f.manifest->key_seed, key, 1), 2) != 1)
            key[0]++;
        build_key(&b, id_slot(second), id_generation(second), key, 1);
        build_step(&b, id_slot(second), id_generation(second), 6, S_BUSY, ENTRY_CREATED, context,
                   sizeof(context));
    }
    put_aliases(&f, &b);
    restore_save(&f, &b);
    restore_close(&f);
    restore_open(&f, 2, 0);
    {
        const struct pawl_task third = aliases_resolve(&f.runtime->aliases, first);

        cr_assert_eq(id_shard(third), 1u);
        cr_assert_eq(aliases_resolve(&f.runtime->aliases, second).id, third.id);
        restore_is(&f, third, S_BUSY, 1009);
        cr_assert_eq(now(&f, 1, 10).id, restore_task(1, 2, 10).id, "of a task that has ended");
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

/* Shard 0 has sent to tasks of shard 1, which move to shard 0; one of them is gone. */
Test(restore_move, events_under_way_follow_their_tasks)
{
    const struct pawl_event note = {.task = restore_task(1, 2, 1), .code = P_NOTE, .arg = {1}};
    const struct pawl_event gone = {.task = restore_task(1, 1, 1), .code = P_NOTE, .arg = {2}};
    const struct pawl_event ask = {.task = restore_task(0, 2, 1),
                                   .code = P_NOTE,
                                   .flags = PAWL_EVENT_ASK,
                                   .tag = P_REPLY,
                                   .arg = {3, restore_task(1, 2, 3).id}};
    const struct pawl_event request = {.task = id_make(1, 0, 0), .code = PAWL_CODE_CREATE};
    const struct durable_link *own;
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    for (uint32_t shard = 0; shard < 2; shard++) {
        restore_journal(&b, shard);
        for (uint32_t slot = 1; slot <= 3; slot++)
            put(&b, shard, slot, ENTRY_CREATED);
        if (shard == 0) {
            build_send(&b, 1, 1, &note, NULL, 0); /* taken */
            build_send(&b, 1, 2, &note, NULL, 0);
            build_send(&b, 1, 3, &gone, NULL, 0);
            build_send(&b, 1, 4, &request, NULL, 0);
        } else {
            build_mark(&b, 0, MARK_TAKEN, false, 1);
            build_send(&b, 3, 1, &ask, NULL, 0);
        }
        restore_save(&f, &b);
    }
    restore_open(&f, 1, 0);
    own = &f.runtime->shards[0]->durable->links[0];
    cr_assert_eq(f.restored.shards[0].resent, 4u);
    cr_assert(own->sent[DURABLE_ORDINARY] == 4 && own->taken[DURABLE_ORDINARY] == 0);
    cr_assert_eq(restore_drain(&f, 0), 4u);
    cr_assert_eq(f.events[0].task.id, now(&f, 1, 1).id);
    cr_assert_eq(id_slot(f.events[1].task), 0u);
    cr_assert_eq(f.events[2].task.id, id_make(0, 0, 0).id);
    cr_assert_eq(f.events[3].task.id, restore_task(0, 2, 1).id);
    cr_assert_eq(f.events[3].arg[1], now(&f, 1, 3).id);
    restore_close(&f);

    restore_open(&f, 1, 0); /* and what comes of them */
    restore_start(&f);
    restore_run(&f);
    cr_assert(TRACE_IS(1, 3, 0, 0), "two notes, and the answer");
    cr_assert_eq(f.runtime->shards[0]->count.undelivered, 1u);
    cr_assert_eq(f.runtime->shards[0]->count.created, 1u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_move, nothing_stays_behind_when_it_is_refused)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    put_shard(&f, 0);
    put_shard(&f, 1);
    f.tasks_max = 50;
    restore_refused(&f, 1, -ENOSPC, "tasks_max");
    f.tasks_max = 0;
    restore_journal(&b, 1); /* the same key on both, which one shard cannot have */
    build_key(&b, 1, 2, "k0.2", 4);
    put(&b, 1, 1, ENTRY_CREATED);
    restore_save(&f, &b);
    restore_refused(&f, 1, -EEXIST, "key of another");
    restore_fixture_fini(&f);
}
