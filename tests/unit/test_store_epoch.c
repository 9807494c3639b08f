/* What the manifest says of an epoch, and when: machines come and go, ids differ, journals have begun. */
#include "shard/store_open.h"
#include "support/store_fixture.h"

static const struct manifest *manifest_of(const struct store_fixture *s)
{
    return s->f.runtime->store->manifest;
}

/* ---- machines ------------------------------------------------------------------------------------ */

/* A host's definition changes with each of its versions, and no task of the old ones is left. */
Test(store_epoch, a_definition_may_change_more_often_than_a_manifest_has_room)
{
    struct pawl_machine_def definition = puppet_machine;
    struct store_fixture s;
    struct pawl_task task = {0};
    unsigned sets = 0;
    char name[32];

    store_init(&s, NULL);
    for (unsigned i = 0; i < 300; i++) {
        uint32_t set;

        pawl_machine_destroy(s.machines[M_ASYNC]);
        snprintf(name, sizeof(name), "version %u", i);
        definition.name = name;
        definition.durability = PAWL_DURABILITY_ASYNC;
        cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &s.machines[M_ASYNC]), 0);
        store_open(&s);
        set = manifest_of(&s)->set;
        if (i == 0)
            task = store_create(&s, M_SYNC, 0);
        if (i % 50 == 0)
            store_note(&s, task, i);
        cr_assert_eq(fixture_puppet_of(&s.f, task).count, 1 + i / 50, "opening %u", i);
        cr_assert_eq(manifest_of(&s)->machines[s.f.runtime->machines[M_SYNC].stored].hash,
                     pawl_machine_hash(s.machines[M_SYNC]));
        if (i % 2 != 0)
            store_crash(&s, SIM_CRASH_POWER);
        else
            store_close(&s);
        sets = set;
    }
    cr_assert_eq(sets, 2, "once it was full");
    store_fini(&s);
}

/* Nothing is dropped that a task still needs. */
Test(store_epoch, a_full_manifest_keeps_what_tasks_need_and_says_which_machine_is_missing)
{
    struct pawl_machine_def definition = puppet_machine;
    struct store_fixture s;
    struct pawl_task old, task;
    char name[32];

    store_begin(&s, NULL);
    old = store_create(&s, M_ASYNC, 0); /* of a machine that is not there later on */
    task = store_create(&s, M_SYNC, 0);
    store_close(&s);
    for (unsigned i = 0; i < MANIFEST_MACHINES_MAX - M_COUNT; i++) {
        pawl_machine_destroy(s.machines[M_MEMORY]);
        snprintf(name, sizeof(name), "version %u", i);
        definition.name = name;
        definition.durability = PAWL_DURABILITY_SYNC;
        cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &s.machines[M_MEMORY]), 0);
        store_open(&s);
        store_close(&s);
    }
    pawl_machine_destroy(s.machines[M_ASYNC]);
    definition.name = "in its place";
    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &s.machines[M_ASYNC]), 0);
    cr_assert_eq(store_try_open(&s), -EINVAL);
    cr_assert(strstr(s.told, "puppet_async") != NULL, "%s", s.told);
    pawl_machine_destroy(s.machines[M_ASYNC]);
    definition = puppet_machine;
    definition.name = "puppet_async";
    definition.durability = PAWL_DURABILITY_ASYNC;
    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &s.machines[M_ASYNC]), 0);
    store_open(&s);
    cr_assert(fixture_is_alive(&s.f, old) && fixture_is_alive(&s.f, task));
    cr_assert_eq(manifest_of(&s)->set, 1);
    store_end(&s);
}

/* ---- ids ----------------------------------------------------------------------------------------- */

static int draw(void *user, void *bytes, size_t size)
{
    memset(bytes, *(int *)user, size);
    return *(int *)user != 0 ? 0 : -EIO;
}

static uint64_t wall_now(void *user)
{
    return *(uint64_t *)user;
}

/* The id of a new store, or 0: it was not opened. */
static uint64_t new_id(int value, const char *directory, uint64_t wall)
{
    const struct pawl_random random = {.user = &value, .fill = draw};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_virtual_clock *virtual_clock;
    struct pawl_runtime *runtime;
    struct store_fixture s;
    struct pawl_clock clock;
    uint64_t id = 0;

    store_init(&s, NULL);
    cr_assert_eq(pawl_virtual_clock_create(FIXTURE_START_NS, &virtual_clock), 0);
    options.machines = (const struct pawl_machine *const *)s.machines;
    options.machine_count = s.machine_count;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(virtual_clock);
    options.storage = &s.storage;
    options.seed = 1;
    options.no_huge_pages = 1;
    options.store = &s.options.store;
    s.options.store.directory = directory;
    if (value >= 0)
        options.random = &random;
    cr_assert_eq(pawl_open(&options, &runtime), value == 0 ? -EIO : 0);
    if (value != 0) {
        if (wall != 0) { /* as another clock would have it */
            clock = (struct pawl_clock){.user = &wall, .wall_ns = wall_now};
            runtime->clock = &clock;
            pawl__manifest_destroy(runtime->store->manifest);
            runtime->store->manifest = NULL;
            cr_assert_eq(pawl__store_begin_epoch(runtime), 0);
            runtime->clock = options.clock;
        }
        id = runtime->store->manifest->store;
        cr_assert(id != 0);
        cr_assert_eq(pawl_close(runtime), 0);
    }
    pawl_virtual_clock_destroy(virtual_clock);
    store_fini(&s);
    return id;
}

Test(store_epoch, two_stores_with_one_seed_have_two_ids)
{
    cr_assert(new_id(7, "store", 0) != new_id(8, "store", 0), "the host's randomness");
    cr_assert(new_id(-1, "store", 0) != new_id(-1, "stove", 0), "the directory");
    cr_assert(new_id(-1, "store", 1) != new_id(-1, "store", 2), "the time");
    cr_assert_eq(new_id(-1, "store", 0), new_id(-1, "store", 0), "the same run is the same run");
    cr_assert_eq(new_id(0, "store", 0), 0, "without a number there is no store");
}

/* ---- journals ------------------------------------------------------------------------------------ */

/* Whenever a first opening of a set dies, the next one comes through; and then it is known. */
Test(store_epoch, the_manifest_says_that_journals_have_begun_when_all_have)
{
    for (unsigned shape = 0; shape < 2; shape++)
        for (uint64_t nth = 1;; nth++) {
            const struct store_fixture_options options = {.seed = nth, .shards = 3};
            struct store_fixture s;
            bool struck;

            store_init(&s, &options);
            if (shape != 0) { /* and then with another number of shards */
                store_open(&s);
                store_close(&s);
                s.options.shards = 2;
            }
            struck = store_die_opening(&s, nth, SIM_CRASH_POWER);
            store_open(&s);
            cr_assert(manifest_is_begun(manifest_of(&s)));
            cr_assert_eq(manifest_of(&s)->set, 1 + shape);
            store_close(&s);
            store_open(&s);
            store_end(&s);
            if (!struck)
                break;
            cr_assert(nth < 400, "an opening has no end");
        }
}

/* ---- questions ----------------------------------------------------------------------------------- */

static void ask_wait(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    const struct pawl_task other = {event->arg[1]};

    (void)puppet;
    cr_assert_eq(pawl_step_ask(step, &(struct pawl_event){.task = other, .code = P_WAIT}, P_REPLY),
                 0);
}

/*
 * Who asked is gone when the store is opened with another number of shards; then who was asked ends.
 * The question was one all the time: nobody is told that an event has come to nothing.
 */
Test(store_epoch, a_question_of_one_who_is_gone_stays_a_question)
{
    struct store_fixture s;
    struct pawl_task asker, asked;

    store_begin(&s, NULL);
    asker = store_create(&s, M_SYNC, 0);
    asked = store_create(&s, M_SYNC, 0);
    store_post_call(&s, asker, ask_wait, asked);
    store_run(&s);
    cr_assert_eq(pawl_port_cancel(s.f.port, asker, 0), 0);
    store_run(&s);
    store_close(&s);
    s.options.shards = 3;
    store_open(&s);
    cr_assert(!fixture_is_alive(&s.f, asker));
    cr_assert_eq(pawl_port_cancel(s.f.port, asked, 0), 0);
    store_run(&s);
    cr_assert(!fixture_is_alive(&s.f, asked));
    for (unsigned i = 0; i < s.f.undelivered_count; i++)
        cr_assert_eq(s.f.undelivered[i].event.code, P_REPLY, "event %u: %s",
                     s.f.undelivered[i].event.code, pawl_strerror(s.f.undelivered[i].reason));
    while (pawl_port_outstanding(s.f.port) > 0)
        fixture_reap(&s.f);
    store_end(&s);
}
