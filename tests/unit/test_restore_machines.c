/* Tasks of a machine that is missing or has changed: refused with a reason, or migrated. */
#include "shard/restore_machines.h"

#include "support/restore_fixture.h"

static void nothing(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static void note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context;
    trace_add(event->code == PAWL_CODE_CREATE ? 9000 : event->arg[0]);
}

/* The old door: what it keeps, and when it knocks. */
static const char *const old_events[] = {"open", "close", "knock", "ring"};
static const struct pawl_state_def old_states[] = {
    {.name = "shut", .defers = (const char *const[]){"knock", "ring", NULL}},
    {.name = "wide", .timeout_ns = 1000000000, .timeout = "close"}};
static const struct pawl_transition_def old_transitions[] = {
    {.from = "shut", .on = "open", .to = "wide", .action = nothing},
    {.from = "wide", .on = "close", .to = "shut", .action = nothing},
    {.from = "wide", .on = "knock", .action = note},
    {.from = "wide", .on = "ring", .action = note}};
static const struct pawl_timer_def old_timers[] = {{"bell", "ring"}, {"wide", "knock"}};
static const struct pawl_machine_def old_door = {.name = "door",
                                                 FIXTURE_TABLE(events, old_events),
                                                 FIXTURE_TABLE(states, old_states),
                                                 FIXTURE_TABLE(transitions, old_transitions),
                                                 FIXTURE_TABLE(timers, old_timers),
                                                 .context_size = 8};

/* The new one: other numbers, a state more, a larger context. */
static const char *const new_events[] = {"ring", "lock", "open", "close", "knock"};
static const struct pawl_state_def new_states[] = {
    {.name = "locked", .defers = (const char *const[]){"knock", "ring", NULL}},
    {.name = "shut", .defers = (const char *const[]){"knock", "ring", NULL}},
    {.name = "wide", .timeout_ns = 1000000000, .timeout = "close"}};
static const struct pawl_transition_def new_transitions[] = {
    {.from = "locked", .on = "open", .to = "wide", .action = nothing},
    {.from = "shut", .on = "open", .to = "wide", .action = nothing},
    {.from = "shut", .on = "lock", .to = "locked", .action = nothing},
    {.from = "wide", .on = "close", .to = "shut", .action = nothing},
    {.from = "wide", .on = "knock", .action = note},
    {.from = "wide", .on = "ring", .action = note}};
static const struct pawl_timer_def new_timers[] = {{"wide", "knock"}, {"bell", "ring"}};
static const struct pawl_machine_def new_door = {.name = "door",
                                                 FIXTURE_TABLE(events, new_events),
                                                 FIXTURE_TABLE(states, new_states),
                                                 FIXTURE_TABLE(transitions, new_transitions),
                                                 FIXTURE_TABLE(timers, new_timers),
                                                 .context_size = 100};

static const struct pawl_machine_def *const old_ones[] = {&old_door, NULL};
static const struct pawl_machine_def *const new_ones[] = {&puppet_machine, &new_door, NULL};
static const struct pawl_machine_def *const others[] = {&puppet_machine, NULL};

enum { OLD_SHUT, OLD_WIDE };
enum { NEW_LOCKED, NEW_SHUT, NEW_WIDE };
enum { NEW_RING, NEW_LOCK, NEW_OPEN, NEW_CLOSE, NEW_KNOCK };

static int migrate(void *user, struct pawl_migrating *task)
{
    uint64_t old;

    cr_assert(user == NULL);
    cr_assert_eq(task->old_context_size, 8u);
    cr_assert_eq(task->context_size, 100u);
    memcpy(&old, task->old_context, sizeof(old));
    memcpy((char *)task->context + 80, &old, sizeof(old));
    if (old == 666)
        return -EPROTO;
    task->state = old == 667 ? 55 : strcmp(task->old_state, "wide") == 0 ? NEW_WIDE : NEW_LOCKED;
    return 0;
}

static void put_task(struct store_build *b, uint32_t slot, uint16_t state, uint64_t word)
{
    build_step(b, slot, 3, 6, state, ENTRY_CREATED | ENTRY_EXTERNAL, &word, sizeof(word));
}

static void begin(struct restore_fixture *f, struct pawl_migration *migration)
{
    restore_fixture_init(f, 1, old_ones);
    *migration = (struct pawl_migration){
        .machine = "door", .from_hash = pawl_machine_hash(f->machines[0]), .migrate = migrate};
}

Test(restore_machines, tasks_of_a_missing_or_changed_machine_are_refused)
{
    struct pawl_migration migration;
    struct restore_fixture f;
    struct store_build b;
    char hash[20];

    begin(&f, &migration);
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)migration.from_hash);
    restore_journal(&b, 0);
    put_task(&b, 1, OLD_SHUT, 1);
    restore_save(&f, &b);
    restore_redefine(&f, others);
    restore_refused(&f, 1, -EINVAL, "machine 'door'");
    cr_assert(strstr(f.told, hash) != NULL && strstr(f.told, "pawl_options.machines") != NULL);
    restore_redefine(&f, new_ones);
    restore_refused(&f, 1, -EINVAL, hash);
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)pawl_machine_hash(f.machines[1]));
    cr_assert(strstr(f.told, hash) != NULL && strstr(f.told, "pawl_migration") != NULL);
    migration.from_hash++; /* one for another definition does not help */
    f.migrations = &migration;
    f.migrations_count = 1;
    restore_refused(&f, 1, -EINVAL, hash);
    restore_fixture_fini(&f);
}

Test(restore_machines, a_missing_machine_without_tasks_is_no_matter)
{
    struct pawl_migration migration;
    struct restore_fixture f;
    struct store_build b;

    begin(&f, &migration);
    restore_journal(&b, 0);
    build_key(&b, 1, 3, "door 1", 6);
    put_task(&b, 1, OLD_SHUT, 1);
    build_frame(&b, 0);
    build_step(&b, 1, 3, 8, OLD_SHUT, ENTRY_ENDED, NULL, 0);
    restore_save(&f, &b);
    restore_redefine(&f, others);
    restore_open(&f, 1, 0);
    cr_assert(!f.restored.rewrite);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_machines, a_migrated_task_has_its_new_state_context_and_numbers)
{
    const struct pawl_task shut = restore_task(0, 3, 1), wide = restore_task(0, 3, 2);
    const struct pawl_event knock = {.task = shut, .code = 2, .arg = {71}};
    const struct pawl_event ring = {.task = shut, .code = 3, .arg = {72}};
    const struct pawl_event under_way = {.task = wide, .code = 2, .arg = {73}};
    const struct entry_timer timers[] = {{5000000, 2}, {6000000, 0}, {7000000, 1}};
    struct pawl_migration migration;
    struct restore_fixture f;
    struct pawl_task found;
    struct store_build b;
    uint64_t context[13] = {0};
    struct pawl_view view = {.context = context, .context_capacity = 100};

    begin(&f, &migration);
    restore_journal(&b, 0);
    build_key(&b, 1, 3, "front", 5);
    put_task(&b, 1, OLD_SHUT, 4711);
    build_defer(&b, 1, 3, 0, &knock, NULL, 0);
    build_defer(&b, 1, 3, 0, &ring, NULL, 0);
    put_task(&b, 2, OLD_WIDE, 4712);
    build_timers(&b, 2, 3, timers, 3);
    build_send(&b, 1, 1, &under_way, NULL, 0);
    restore_save(&f, &b);
    restore_redefine(&f, new_ones);
    f.migrations = &migration;
    f.migrations_count = 1;
    restore_open(&f, 1, 0);
    cr_assert(f.restored.rewrite);
    cr_assert_eq(f.restored.shards[0].position.lsn, 1u);
    cr_assert_eq(f.restored.shards[0].resent, 1u);
    cr_assert_eq(pawl_task_find(f.runtime, "front", 5, &found), 0);
    cr_assert_eq(found.id, shut.id, "it keeps its id");
    cr_assert_eq(pawl_task_peek(f.runtime, shut, &view), 0);
    cr_assert(view.machine == 1 && view.state == NEW_LOCKED && view.version == 3 &&
              context[10] == 4711);
    cr_assert_eq(pawl_task_peek(f.runtime, wide, &view), 0);
    cr_assert(view.state == NEW_WIDE && context[10] == 4712);
    cr_assert_eq(f.runtime->shards[0]->durable->links[0].sent[DURABLE_ORDINARY], 1u);
    restore_start(&f);
    restore_run(&f);
    cr_assert(TRACE_IS(73), "what was under way found its event by name");
    pawl_virtual_clock_advance_to(f.clock, FIXTURE_START_NS + 6500000);
    restore_run(&f);
    /* close came at 5 ms (the timeout of `wide`): what the bell rings at 6 ms is deferred. */
    cr_assert_eq(pawl_task_peek(f.runtime, wide, &view), 0);
    cr_assert_eq(view.state, NEW_SHUT);
    cr_assert_eq(pawl_task_post(f.runtime, &(struct pawl_event){.task = shut, .code = NEW_OPEN}, 1),
                 1);
    restore_run(&f);
    cr_assert(TRACE_IS(73, 71, 72));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_machines, a_migration_that_says_no_or_nonsense_leaves_the_store_alone)
{
    struct pawl_migration migration;
    struct restore_fixture f;
    struct store_build b;

    begin(&f, &migration);
    f.migrations = &migration;
    f.migrations_count = 1;
    restore_redefine(&f, new_ones);
    for (uint64_t word = 666; word <= 667; word++) {
        restore_journal(&b, 0);
        put_task(&b, 1, OLD_SHUT, 1);
        put_task(&b, 2, OLD_SHUT, word);
        restore_save(&f, &b);
        restore_refused(&f, 1, -EINVAL, word == 666 ? "refused task" : "state 55");
    }
    restore_fixture_fini(&f);
}

Test(restore_machines, names_that_are_no_more_are_refused)
{
    static const char *const few_events[] = {"open", "close", "knock"};
    static const struct pawl_transition_def few_transitions[] = {
        {.from = "locked", .on = "open", .to = "wide", .action = nothing},
        {.from = "shut", .on = "open", .to = "wide", .action = nothing},
        {.from = "wide", .on = "close", .to = "shut", .action = nothing},
        {.from = "wide", .on = "knock", .to = "locked", .action = note}};
    static const struct pawl_state_def few_states[] = {
        {.name = "locked"}, {.name = "shut"}, {.name = "wide"}};
    static const struct pawl_machine_def few = {.name = "door",
                                                FIXTURE_TABLE(events, few_events),
                                                FIXTURE_TABLE(states, few_states),
                                                FIXTURE_TABLE(transitions, few_transitions),
                                                .context_size = 100};
    static const struct pawl_machine_def *const few_ones[] = {&few, NULL};
    const struct pawl_event ring = {.task = restore_task(0, 3, 1), .code = 3};
    const struct entry_timer timer = {1000, 0};
    struct pawl_migration migration;
    struct restore_fixture f;
    struct store_build b;

    begin(&f, &migration);
    f.migrations = &migration;
    f.migrations_count = 1;
    restore_redefine(&f, few_ones);
    for (unsigned what = 0; what < 4; what++) {
        restore_journal(&b, 0);
        put_task(&b, 1, OLD_SHUT, 1);
        if (what == 0)
            build_defer(&b, 1, 3, 0, &ring, NULL, 0);
        if (what == 1)
            build_timers(&b, 1, 3, &timer, 1);
        if (what == 2)
            build_send(&b, 1, 1, &ring, NULL, 0);
        restore_save(&f, &b);
        if (what < 3)
            restore_refused(
                &f, 1, -EINVAL,
                (const char *[]){"'ring' deferred", "timer 0 armed", "under way to a task"}[what]);
        else
            restore_open(&f, 1, 0);
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_machines, a_reserved_task_is_migrated_before_its_first_step)
{
    const struct pawl_task task = restore_task(0, 3, 1);
    const struct pawl_event create = {.task = task, .code = PAWL_CODE_CREATE};
    struct pawl_migration migration;
    struct restore_fixture f;
    struct store_build b;
    uint64_t word = 5, context[13];
    struct pawl_view view = {.context = context, .context_capacity = 100};

    begin(&f, &migration);
    f.migrations = &migration;
    f.migrations_count = 1;
    restore_redefine(&f, new_ones);
    restore_journal(&b, 0);
    build_step(&b, 1, 3, 0, 0, ENTRY_RESERVED, &word, sizeof(word));
    build_send(&b, 0, 1, &create, NULL, 0);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    restore_is_gone(&f, task);
    restore_start(&f);
    restore_run(&f);
    cr_assert_eq(pawl_task_peek(f.runtime, task, &view), 0);
    cr_assert(view.state == NEW_LOCKED && context[10] == 5, "it begins where new ones begin");
    restore_close(&f);
    restore_fixture_fini(&f);
}
