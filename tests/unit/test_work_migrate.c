/* Stores that other versions have written: every definition that was is known by its hash. */
#include "agent/work_machine.h"
#include "shard/create.h"
#include "support/restore_fixture.h"
#include "support/work_store_fixture.h"

static const uint64_t hash_1[] = {0, UINT64_C(0x6146bff15b86bed8), UINT64_C(0x4e41014994c6079b)};

/* ---- Definition 1 ---- */

static struct pawl_state_def states_1[32];
static struct pawl_transition_def transitions_1[96];

static bool is(const struct pawl_transition_def *transition, const char *from, const char *on)
{
    return strcmp(transition->from, from) == 0 && strcmp(transition->on, on) == 0;
}

/* As it was: by what it had otherwise than the one of today. */
static struct pawl_machine_def definition_1(enum pawl_durability durability)
{
    static const char *const raises[] = {"go", NULL};
    struct pawl_machine_def definition = pawl__work_machine;

    definition.states = states_1;
    for (size_t i = 0; i < definition.states_count; i++) {
        states_1[i] = pawl__work_machine.states[i];
        if (strcmp(states_1[i].name, "failed") == 0 || strcmp(states_1[i].name, "dead") == 0)
            states_1[i].defers = NULL;
    }
    definition.transitions = transitions_1;
    definition.transitions_count = 0;
    for (size_t i = 0; i < pawl__work_machine.transitions_count; i++) {
        struct pawl_transition_def transition = pawl__work_machine.transitions[i];

        if (is(&transition, "failed", "parent") || is(&transition, "dead", "parent") ||
            is(&transition, "settled", "settled"))
            continue;
        if (is(&transition, "open", "parent")) {
            transition.to = NULL;
            transition.guard = NULL;
            transition.raises = raises;
        }
        if (is(&transition, "life", "parent"))
            transition.from = "settled";
        transitions_1[definition.transitions_count++] = transition;
    }
    definition.durability = durability;
    return definition;
}

static uint64_t hash_of(const struct pawl_machine_def *definition)
{
    struct pawl_machine *machine;
    uint64_t hash;

    cr_assert_eq(pawl_machine_compile(definition, NULL, NULL, &machine), 0);
    hash = pawl_machine_hash(machine);
    pawl_machine_destroy(machine);
    return hash;
}

/* ---- Hashes ---- */

Test(work_migrate, every_definition_of_today_is_known_for_the_day_it_goes)
{
    for (enum pawl_durability d = PAWL_DURABILITY_ASYNC; d <= PAWL_DURABILITY_SYNC; d++) {
        const struct pawl_work_options options = {.durability = d};
        const struct pawl_machine *machines[PAWL_WORK_MACHINES];

        cr_assert_eq(pawl__work_machines(&options, NULL, NULL, machines), 0);
        for (unsigned i = 0; i < PAWL_WORK_MACHINES; i++) {
            const char *name = pawl_machine_name(machines[i]);
            const uint64_t hash = pawl_machine_hash(machines[i]);

            cr_assert(pawl__work_migration(name, hash) != NULL,
                      "%s has a new hash, %016llx (durability %d): add a row to the table of "
                      "agent/work_migrate.c, and give the row of the old one a migration",
                      name, (unsigned long long)hash, (int)d);
        }
        pawl__work_machines_destroy(machines);
    }
    cr_assert(pawl__work_migration("pawl.work", 12345) == NULL);
    cr_assert(pawl__work_migration("host", hash_1[PAWL_DURABILITY_SYNC]) == NULL);
}

Test(work_migrate, definition_1_is_the_one_that_stores_know)
{
    for (enum pawl_durability d = PAWL_DURABILITY_ASYNC; d <= PAWL_DURABILITY_SYNC; d++) {
        const struct pawl_machine_def old = definition_1(d);

        cr_assert_eq(hash_of(&old), hash_1[d]);
        cr_assert(pawl__work_migration("pawl.work", hash_1[d]) != NULL);
    }
}

/* ---- Single tasks ---- */

static struct pawl_work migrate_1(const char *state, struct pawl_work old, unsigned *to)
{
    struct pawl_work now = {.bytes = 99};
    struct pawl_migrating task = {.old_state = state,
                                  .old_context = &old,
                                  .old_context_size = sizeof(old),
                                  .context = &now,
                                  .context_size = sizeof(now)};
    const struct pawl_migration *migration =
        pawl__work_migration("pawl.work", hash_1[PAWL_DURABILITY_SYNC]);

    cr_assert_eq(migration->migrate(NULL, &task), 0);
    *to = task.state;
    return now;
}

Test(work_migrate, tasks_of_definition_1_keep_state_and_context)
{
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++) {
        const struct pawl_work old = {.value = 7, .attempts = i, .flags = PAWL_WORK_GROUP};
        unsigned state;
        const struct pawl_work now = migrate_1(pawl_work_state_name(i), old, &state);

        cr_assert_eq(state, i);
        cr_assert(now.value == 7 && now.attempts == i && now.bytes == 0);
        cr_assert_eq(now.flags, PAWL_WORK_GROUP);
    }
}

Test(work_migrate, what_failed_by_a_dependency_cannot_be_kicked_and_no_graph_is_taken_for_half)
{
    struct pawl_work old = {.klass = PAWL_WORK_CLASS_DEPENDENCY, .outcome = PAWL_WORK_FAILED};
    unsigned state;

    cr_assert_eq(migrate_1("failed", old, &state).flags, WORK_IS_BROKEN);
    old.outcome = PAWL_WORK_CANCELLED;
    cr_assert_eq(migrate_1("cancelled", old, &state).flags, 0);
    old = (struct pawl_work){.flags = PAWL_WORK_HELD | WORK_IN_GRAPH};
    cr_assert_eq(migrate_1("new", old, &state).flags,
                 PAWL_WORK_HELD | WORK_IN_GRAPH | WORK_IS_DECLARED);
    old.flags = PAWL_WORK_HELD;
    cr_assert_eq(migrate_1("new", old, &state).flags, PAWL_WORK_HELD);
}

Test(work_migrate, what_had_failed_waits_for_none_that_settled_uncounted)
{
    const struct pawl_work old = {.waits = 2};
    unsigned state;

    cr_assert_eq(migrate_1("failed", old, &state).waits, 0);
    cr_assert_eq(migrate_1("dead", old, &state).waits, 0);
    cr_assert_eq(migrate_1("dependent", old, &state).waits, 2);
    cr_assert_eq(migrate_1("new", old, &state).waits, 2);
    cr_assert_eq(migrate_1("", old, &state).waits, 2);
}

Test(work_migrate, what_no_version_has_written_is_refused)
{
    const struct pawl_migration *migration =
        pawl__work_migration("pawl.work", hash_1[PAWL_DURABILITY_SYNC]);
    struct pawl_work work = {.value = 1};
    struct pawl_migrating task = {.old_state = "odd",
                                  .old_context = &work,
                                  .old_context_size = sizeof(work),
                                  .context = &work,
                                  .context_size = sizeof(work)};

    cr_assert_eq(migration->migrate(NULL, &task), -EINVAL);
    task.old_state = "ready";
    task.old_context_size = 8;
    cr_assert_eq(migration->migrate(NULL, &task), -EINVAL);
}

/* ---- Whole stores ---- */

static void redefine(const struct pawl_machine_def *work, enum pawl_durability durability)
{
    const struct pawl_machine_def *definitions[FIXTURE_MACHINES] = {NULL};

    work_machines(definitions);
    definitions[WORK_FIRST] = work;
    for (unsigned i = WORK_FIRST; i < WORK_FIRST + PAWL_WORK_MACHINES; i++) {
        struct pawl_machine_def definition = *definitions[i];

        definition.durability = durability;
        pawl_machine_destroy(s.machines[i]);
        cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &s.machines[i]), 0);
    }
}

static void begin_with(const struct pawl_machine_def *work, enum pawl_durability durability)
{
    struct store_fixture_options options = {.lanes = work_lanes, .lane_count = 2, .shards = 2};

    work_machines(options.machines);
    store_init(&s, &options);
    redefine(work, durability);
    stored_open();
    cr_assert(store_settle(&s));
}

static void reopen_with(const struct pawl_machine_def *work, enum pawl_durability durability)
{
    cr_assert(store_settle(&s));
    store_close(&s);
    redefine(work, durability);
    stored_open();
    cr_assert(store_settle(&s));
}

static void check_title(struct pawl_task task, const char *title)
{
    char buffer[256];
    size_t size = sizeof(buffer);
    struct pawl_work_detail detail;

    cr_assert_eq(pawl_work_read_detail(s.f.runtime, task, buffer, &size, &detail), 0);
    cr_assert_str_eq(detail.title, title);
}

Test(work_migrate, store_of_definition_1_is_opened_and_goes_on)
{
    const struct pawl_machine_def old = definition_1(PAWL_DURABILITY_SYNC);
    struct pawl_work_spec spec = work_spec();
    struct pawl_task ready, broken, dependent, delayed, cancelled;
    struct pawl_agent *agent;

    begin_with(&old, PAWL_DURABILITY_SYNC);
    spec.title = "a title";
    spec.key = "k";
    spec.key_size = 1;
    ready = stored_submit(&spec);
    spec = work_spec();
    spec.lane = "verify";
    cancelled = stored_submit(&spec);
    spec.after = &cancelled;
    spec.after_count = 1;
    broken = stored_submit(&spec);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, cancelled, false, 1)).status, 0);
    spec.after = &ready;
    dependent = stored_submit(&spec);
    spec = work_spec();
    spec.delay_ns = 20 * FIXTURE_SECOND;
    delayed = stored_submit(&spec);

    for (unsigned opened = 0; opened < 2; opened++) { /* the second is one like any other */
        reopen_with(&pawl__work_machine, PAWL_DURABILITY_SYNC);
        cr_assert_eq(stored_view(ready).state, PAWL_WORK_READY);
        cr_assert_eq(stored_view(broken).state, PAWL_WORK_FAILED);
        cr_assert_eq(stored_view(dependent).state, PAWL_WORK_DEPENDENT);
        cr_assert_eq(stored_view(delayed).state, PAWL_WORK_DELAYED);
        cr_assert_eq(stored_view(cancelled).state, PAWL_WORK_CANCELLED);
        cr_assert_eq(stored_view(ready).key_size, 1);
        check_title(ready, "a title");
    }
    cr_assert_eq(stored_done(pawl_work_kick(s.f.port, broken, 1)).status, -EPERM);
    agent = stored_agent(0);
    cr_assert_eq(stored_lease(agent).task.id, ready.id);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, ready, false, 1)).status, 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(stored_view(dependent).state, PAWL_WORK_FAILED);
    store_advance(&s, 21 * FIXTURE_SECOND);
    cr_assert_eq(stored_view(delayed).state, PAWL_WORK_READY);
    stored_end(agent);
}

Test(work_migrate, durability_may_be_another_at_each_opening)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task task;

    begin_with(&pawl__work_machine, PAWL_DURABILITY_ASYNC);
    spec.title = "first asynchronous";
    task = stored_submit(&spec);
    reopen_with(&pawl__work_machine, PAWL_DURABILITY_SYNC);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_READY);
    check_title(task, "first asynchronous");
    cr_assert_eq(stored_done(pawl_work_prioritise(s.f.port, task, 5, 1)).durability,
                 PAWL_DURABILITY_SYNC);
    reopen_with(&pawl__work_machine, PAWL_DURABILITY_ASYNC);
    cr_assert_eq(stored_view(task).work.claim.priority, 5);
    check_title(task, "first asynchronous");
    stored_end(NULL);
}

/* It was overdue, and then what it waits for has completed, which definition 1 did not count. */
Test(work_migrate, overdue_task_of_definition_1_is_ready_when_it_is_kicked)
{
    const struct pawl_machine_def old = definition_1(PAWL_DURABILITY_SYNC);
    struct pawl_work_spec spec = work_spec();
    struct pawl_task before, task;

    begin_with(&old, PAWL_DURABILITY_SYNC);
    spec.flags = PAWL_WORK_GROUP;
    spec.delay_ns = 5 * FIXTURE_SECOND;
    before = stored_submit(&spec);
    spec = work_spec();
    spec.after = &before;
    spec.after_count = 1;
    spec.deadline_ns = FIXTURE_SECOND;
    task = stored_submit(&spec);
    store_advance(&s, 2 * FIXTURE_SECOND);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_FAILED);
    store_advance(&s, 5 * FIXTURE_SECOND);
    cr_assert_eq(stored_view(before).state, PAWL_WORK_COMPLETED);
    reopen_with(&pawl__work_machine, PAWL_DURABILITY_SYNC);
    cr_assert_eq(stored_done(pawl_work_kick(s.f.port, task, 1)).status, 0);
    cr_assert_eq(stored_view(task).state, PAWL_WORK_READY);
    stored_end(NULL);
}

/* What a host's step has asked for, and what a crash has kept from being made. */
Test(work_migrate, task_of_an_old_definition_that_was_asked_for_is_made)
{
    static const struct pawl_machine_def *const definitions[] = {&pawl__note_machines[0], NULL};
    const struct pawl_event asked = {
        .task = id_make(0, 0, 0), .code = PAWL_CODE_CREATE, .flags = PAWL_EVENT_BUFFER};
    const struct create_request head = {.context_size = sizeof(struct note)};
    const struct note given = {.hash = 77};
    char request[sizeof(head) + sizeof(given)];
    struct pawl_walk walk = {0};
    struct restore_fixture f;
    struct store_build b;
    struct note note;
    struct pawl_view view = {.context = &note, .context_capacity = sizeof(note)};

    memcpy(request, &head, sizeof(head));
    memcpy(request + sizeof(head), &given, sizeof(given));
    restore_fixture_init(&f, 1, definitions);
    f.manifest->machines[0].hash = UINT64_C(0xaf8cfc00c2bc1c78);
    restore_journal(&b, 0);
    build_send(&b, 0, 1, &asked, request, sizeof(request));
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    cr_assert(f.restored.rewrite);
    restore_start(&f);
    restore_run(&f);
    cr_assert_eq(pawl_task_walk(f.runtime, &walk, NULL, &view, 1, 1000), 1);
    cr_assert_eq(note.hash, 77);
    restore_close(&f);
    restore_fixture_fini(&f);
}
