/*
 * test_monitor.c - stalls: a step that does not come back is named once; steps that do are not.
 */
#include <errno.h>

#include "support/threads_fixture.h"
#include "watch/monitor.h"

Test(monitor, a_stalled_step_is_named_once_and_forgotten_when_it_returns)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 2);
    struct pawl_task task;
    struct pawl_stall stall;

    world->options.stall_ns = 4 * MS;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    task = create_on(world, MACHINE_WIDE, 1);
    cr_assert_eq(pawl_shard_stall(world->runtime, 1, &stall), -ENOENT);
    cr_assert_eq(pawl_shard_stall(world->runtime, 2, &stall), -ENOENT);
    for (uint64_t round = 1; round <= 3; round++) {
        const struct pawl_stall *told = &world->probe.stall;

        store_release(&world->probe.gate, 0);
        post_to(world, task, EV_SLOW);
        wait_for(&world->probe.stalls, round);
        cr_assert_eq(told->shard, 1u);
        cr_assert_eq(told->task.id, task.id);
        cr_assert_eq(told->machine, (unsigned)MACHINE_WIDE);
        cr_assert_eq(told->state, (unsigned)ST_WORK);
        cr_assert_eq(told->event, (unsigned)EV_SLOW);
        cr_assert_str_eq(told->machine_name, "wide");
        cr_assert_str_eq(told->state_name, "work");
        cr_assert_str_eq(told->event_name, "slow");
        cr_assert(told->stalled_ns >= 4 * MS);
        cr_assert_eq(pawl_shard_stall(world->runtime, 1, &stall), 0);
        cr_assert_eq(stall.task.id, task.id);
        cr_assert_eq(pawl_shard_stall(world->runtime, 0, &stall), -ENOENT);
        /* It lasts on, and is told no more. */
        for (unsigned i = 0; i < 100; i++)
            nap_briefly();
        cr_assert_eq(load_acquire(&world->probe.stalls), round);
        cr_assert_eq(counters_of(world).stalls, round);
        store_release(&world->probe.gate, 1);
        while (pawl_shard_stall(world->runtime, 1, &stall) == 0)
            nap_briefly();
    }
    world_close(world);
}

Test(monitor, without_a_callback_stalls_are_counted)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, 1);

    world->options.stall_ns = 4 * MS;
    world->options.on_stall = NULL;
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    post_to(world, create_on(world, MACHINE_PROBE, 0), EV_SLOW);
    while (counters_of(world).stalls == 0)
        nap_briefly();
    store_release(&world->probe.gate, 1);
    world_close(world);
}

/* ---- Exactly, with a clock of the test's own ---- */

/* A machine whose handlers let the monitor look while they run, and move the clock. */
struct looker {
    struct pawl_virtual_clock *clock;
    struct pawl_runtime *runtime;
    uint64_t takes_ns;
    struct pawl_stall stall;
    unsigned stalls;
};

static void take_time(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct looker *looker = pawl_step_user(step);

    (void)context;
    (void)event;
    pawl__monitor_look(looker->runtime);
    pawl_virtual_clock_advance_to(looker->clock,
                                  pawl_virtual_clock_now_ns(looker->clock) + looker->takes_ns);
    pawl__monitor_look(looker->runtime);
}

static void note_stall(void *user, const struct pawl_stall *stall)
{
    struct looker *looker = user;

    looker->stall = *stall;
    looker->stalls++;
}

static struct pawl_machine *looking_machine(void)
{
    static const char *const events[] = {"go", "on"};
    static const struct pawl_state_def states[] = {
        {.name = "slow", .entry = take_time},
        {.name = "slower", .exit = take_time},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "slow", .on = "go", .action = take_time},
        {.from = "slow", .on = "on", .to = "slower"},
        {.from = "slower", .on = "on", .to = "slow"},
    };
    static const struct pawl_machine_def definition = {
        .name = "looker", PAWL_TABLE(events), PAWL_TABLE(states), PAWL_TABLE(transitions)};
    struct pawl_machine *machine = NULL;

    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &machine), 0);
    return machine;
}

struct looking {
    struct pawl_machine *machine;
    struct looker looker;
    struct pawl_task task;
};

static void looking_open(struct looking *looking)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    memset(looking, 0, sizeof(*looking));
    looking->machine = looking_machine();
    cr_assert_eq(pawl_virtual_clock_create(77, &looking->looker.clock), 0);
    options.machines = (const struct pawl_machine *const *)&looking->machine;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(looking->looker.clock);
    options.seed = 1;
    options.user = &looking->looker;
    options.on_stall = note_stall;
    options.stall_ns = 100 * MS;
    cr_assert_eq(pawl_open(&options, &looking->looker.runtime), 0);
    cr_assert_eq(pawl_start(looking->looker.runtime), 0);
    cr_assert_eq(
        pawl_task_create(looking->looker.runtime, &(struct pawl_task_spec){0}, &looking->task), 0);
}

static void looking_post(struct looking *looking, uint16_t code, unsigned count)
{
    const struct pawl_event event = event_to(looking->task, code);

    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pawl_task_post(looking->looker.runtime, &event, 1), 1);
    cr_assert_eq(pawl_turn(looking->looker.runtime, 0), (int)count);
    pawl__monitor_look(looking->looker.runtime);
}

static void looking_close(struct looking *looking)
{
    cr_assert_eq(pawl_close(looking->looker.runtime), 0);
    pawl_virtual_clock_destroy(looking->looker.clock);
    pawl_machine_destroy(looking->machine);
}

Test(monitor, the_bound_is_stall_ns)
{
    struct looking looking;

    looking_open(&looking);
    looking.looker.takes_ns = 100 * MS - 1;
    looking_post(&looking, 0, 1);
    cr_assert_eq(looking.looker.stalls, 0u);
    looking.looker.takes_ns = 100 * MS;
    looking_post(&looking, 0, 1);
    cr_assert_eq(looking.looker.stalls, 1u);
    cr_assert_eq(looking.looker.stall.stalled_ns, 100 * MS);
    cr_assert_str_eq(looking.looker.stall.event_name, "go");
    looking_close(&looking);
}

Test(monitor, entry_and_exit_actions_stall_too)
{
    struct looking looking;

    looking_open(&looking);
    looking_post(&looking, 1, 1);
    looking.looker.takes_ns = 200 * MS;
    looking_post(&looking, 1, 1); /* exit of slower, entry of slow */
    cr_assert_eq(looking.looker.stalls, 1u);
    cr_assert_str_eq(looking.looker.stall.state_name, "slower");
    cr_assert_str_eq(looking.looker.stall.event_name, "on");
    /* A creation is told by that word. */
    cr_assert_eq(
        pawl_task_create(looking.looker.runtime, &(struct pawl_task_spec){0}, &looking.task), 0);
    cr_assert_eq(looking.looker.stalls, 2u);
    cr_assert_str_eq(looking.looker.stall.event_name, "(create)");
    cr_assert_eq(looking.looker.stall.task.id, looking.task.id);
    looking_close(&looking);
}

/* Together they take longer than the bound, but each has come back. */
Test(monitor, many_steps_of_one_task_in_one_turn_are_no_stall)
{
    struct looking looking;

    looking_open(&looking);
    looking.looker.takes_ns = 30 * MS;
    looking_post(&looking, 0, 20);
    cr_assert_eq(looking.looker.stalls, 0u);
    looking_close(&looking);
}

Test(monitor, a_look_at_an_idle_shard_finds_nothing)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    struct pawl_stall busy;

    post_to(world, create_on(world, MACHINE_PROBE, 1), EV_HIT);
    post_to(world, create_on(world, MACHINE_PROBE, 1), EV_ODD);
    settle(world);
    cr_assert(!pawl__monitor_busy(world->runtime, 0, &busy));
    cr_assert(!pawl__monitor_busy(world->runtime, 1, &busy));
    for (unsigned i = 0; i < 5; i++) {
        pawl__monitor_look(world->runtime);
        advance(world, 5000 * MS);
    }
    cr_assert_eq(load_acquire(&world->probe.stalls), 0u);
    world_close(world);
}
