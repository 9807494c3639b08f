#include <pawl/pawl.h>
#include <stdio.h>

enum { COIN, PUSH };

static void count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    *(uint64_t *)context += event->arg[0]; /* a private copy, committed with the step */
    pawl_step_answer(step, *(uint64_t *)context);
}

static const char *const events[] = {"coin", "push"};
static const struct pawl_state_def states[] = {
    {.name = "locked"}, {.name = "open", .timeout_ns = 5000000000, .timeout = "push"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "locked", .on = "coin", .to = "open", .action = count},
    {.from = "open", .on = "coin", .action = count},
    {.from = "open", .on = "push", .to = "locked"}};
static const struct pawl_machine_def turnstile = {.name = "turnstile",
                                                  PAWL_TABLE(events),
                                                  PAWL_TABLE(states),
                                                  PAWL_TABLE(transitions),
                                                  .context_size = sizeof(uint64_t)};

int main(void)
{
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_task task;
    struct pawl_completion done;
    pawl_machine_compile(&turnstile, NULL, NULL, &machine);
    struct pawl_options options = PAWL_OPTIONS_INIT;
    options.machines = (const struct pawl_machine *const[]){machine};
    options.machine_count = 1;
    if (pawl_open(&options, &runtime) != 0 || pawl_start(runtime) != 0)
        return 1;
    pawl_task_create(runtime, &(struct pawl_task_spec){.shard = PAWL_ANY_SHARD}, &task);
    pawl_port_open(runtime, NULL, &port);
    pawl_port_post(port, &(struct pawl_event){task, COIN, PAWL_EVENT_COMPLETE, 1, {25}}, 1);
    pawl_port_wait(port, UINT64_MAX);
    pawl_port_reap(port, &done, 1);
    printf("%s, %d cents\n", pawl_machine_state_name(machine, done.state), (int)done.value);
    pawl_port_close(port, UINT64_MAX);
    pawl_close(runtime);
    pawl_machine_destroy(machine);
    return done.value == 25 ? 0 : 1;
}
