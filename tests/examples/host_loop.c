/*
 * host_loop.c - a host drives the shards from its own event loop: no thread of the library, one
 * descriptor to poll. A machine rings three times, a tenth of a second apart.
 */
#include <pawl/pawl.h>
#include <poll.h>
#include <stdio.h>

enum { RING };
enum { BELL };

static void wind(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    (void)event;
    pawl_step_arm(step, BELL, 100000000);
}

static void ring(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    uint64_t *rings = context;

    (void)event;
    printf("ring %d\n", (int)++*rings);
    if (*rings == 3)
        pawl_step_finish(step);
    else
        pawl_step_arm(step, BELL, 100000000);
}

static const char *const events[] = {"ring"};
static const struct pawl_state_def states[] = {{.name = "wound", .entry = wind}};
static const struct pawl_timer_def timers[] = {{.name = "bell", .event = "ring"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "wound", .on = "ring", .action = ring},
};
static const struct pawl_machine_def clock_def = {
    .name = "clock",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    PAWL_TABLE(timers),
    .context_size = sizeof(uint64_t),
};

int main(void)
{
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_task task;
    struct pawl_view view = {.context = NULL};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    const struct pawl_machine *machines[1];

    if (pawl_machine_compile(&clock_def, NULL, NULL, &machine) != 0)
        return 1;
    machines[0] = machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    if (pawl_open(&options, &runtime) != 0 || pawl_start(runtime) != 0)
        return 1;
    if (pawl_task_create(runtime, &(struct pawl_task_spec){.shard = 0}, &task) != 0)
        return 1;
    while (pawl_task_peek(runtime, task, &view) == 0) {
        struct pollfd ready = {.fd = pawl_shard_wait_fd(runtime, 0), .events = POLLIN};

        if (pawl_turn(runtime, 0) == 0 && pawl_shard_wait_prepare(runtime, 0) == 1)
            poll(&ready, 1, -1);
    }
    pawl_close(runtime);
    pawl_machine_destroy(machine);
    return 0;
}
