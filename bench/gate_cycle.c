#include "gate_cycle.h"

#include <errno.h>
#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 1024, BATCH = 256 };

#define LEASE_NS UINT64_C(3600000000000)

struct job {
    struct pawl_claim claim;
    uint64_t count;
};

static struct pawl_machine *machine;
static struct pawl_virtual_clock *clock_;
static struct pawl_runtime *runtime;
static struct pawl_agent *agent;
static uint64_t receipts_taken;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "gate: agent-cycle: %s\n", what);
        exit(1);
    }
}

static void done(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_reported report;
    struct job *job = context;
    int error = pawl_report_read(event, &report);

    if (error == 0)
        error = pawl_step_holder(step, report.token);
    if (error != 0)
        pawl_step_abort(step, error);
    else
        job->count++;
}

static void compile(void)
{
    static const char *const events[] = {"lease", "done", "expired"};
    static const struct pawl_timer_def timers[] = {{"lease", "expired"}};
    static const struct pawl_state_def states[] = {
        {.name = "ready", .flags = PAWL_STATE_READY},
        {.name = "leased", .flags = PAWL_STATE_LEASED},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "ready", .on = "lease", .to = "leased"},
        {.from = "leased", .on = "done", .to = "ready", .action = done},
        {.from = "leased", .on = "expired", .to = "ready"},
    };
    static const struct pawl_machine_def job = {
        .name = "job",
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        PAWL_TABLE(timers),
        .initial = "ready",
        .lease = "lease",
        .lease_timer = "lease",
        .context_size = sizeof(struct job),
    };

    must(pawl_machine_compile(&job, NULL, NULL, &machine) == 0, "compiling");
}

static void create_tasks(void)
{
    const struct job job = {.claim = {.lane = pawl_lane_number("work")}};
    const struct pawl_task_spec spec = {.context = &job, .context_size = sizeof(job)};

    for (unsigned i = 0; i < TASKS; i++) {
        struct pawl_task task;

        must(pawl_task_create(runtime, &spec, &task) == 0, "creating a task");
    }
}

void gate_cycle_open(void)
{
    static const char *const lanes[] = {"work"};
    const struct pawl_lane_def lane = {.name = "work", .lease_ns = LEASE_NS};
    const struct pawl_agent_options with = {
        .name = "agent", .lanes = lanes, .lanes_count = 1, .credits = BATCH, .reports = 2 * BATCH};
    struct pawl_options options = PAWL_OPTIONS_INIT;

    compile();
    must(pawl_virtual_clock_create(1000000000, &clock_) == 0, "making a clock");
    options.machines = (const struct pawl_machine *const[]){machine};
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(clock_);
    options.lanes = &lane;
    options.lane_count = 1;
    must(pawl_open(&options, &runtime) == 0 && pawl_start(runtime) == 0, "opening");
    create_tasks();
    must(pawl_agent_open(runtime, &with, &agent) == 0, "opening an agent");
}

static void report(void)
{
    static const struct pawl_report done_all[BATCH]; /* PAWL_REPORT_DONE is 0 */
    static struct pawl_lease leases[BATCH];
    const int count = pawl_agent_next(agent, leases, BATCH, 0);

    must(count >= 0, "taking leases");
    must(pawl_agent_report_many(agent, leases, done_all, (unsigned)count) == count, "reporting");
}

void gate_cycle_run(uint64_t cycles)
{
    static struct pawl_receipt receipts[BATCH];

    for (const uint64_t end = receipts_taken + cycles; receipts_taken < end;) {
        int count;

        pawl_virtual_clock_advance_to(clock_, pawl_virtual_clock_now_ns(clock_) + 1000000);
        must(pawl_turn(runtime, 0) >= 0, "a turn");
        report();
        count = pawl_agent_receipts(agent, receipts, BATCH);
        for (int i = 0; i < count; i++)
            must(receipts[i].status == 0, "a report was refused");
        receipts_taken += (uint64_t)count;
    }
}

void gate_cycle_check(uint64_t cycles)
{
    int error;

    must(receipts_taken >= cycles, "cycles are missing");
    while ((error = pawl_agent_close(agent, 0)) == -EAGAIN)
        pawl_turn(runtime, 0);
    must(error == 0 && pawl_close(runtime) == 0, "closing");
    pawl_virtual_clock_destroy(clock_);
    pawl_machine_destroy(machine);
}
