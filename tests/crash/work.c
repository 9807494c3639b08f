#include "crash/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Machines ---- */

struct counter {
    uint64_t count;
};

/* All words hold the count: a context that is stored in part is seen. */
struct sink {
    uint64_t count[12];
};

struct job {
    uint64_t number;
    uint64_t incarnation;
};

static void add(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counter *counter = context;
    const struct pawl_event credit = {.task = {.id = event->arg[0]}, .code = EVENT_CREDIT};
    const struct pawl_event poke = {.task = {.id = event->arg[1]}, .code = EVENT_POKE};

    counter->count++;
    pawl_step_post(step, &credit);
    if (poke.task.id != 0)
        pawl_step_post(step, &poke);
    pawl_step_answer(step, counter->count);
}

static void take_credit(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct sink *sink = context;

    (void)step;
    (void)event;
    for (unsigned i = 0; i < 12; i++)
        sink->count[i]++;
}

static void drift(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counter *counter = context;

    (void)event;
    pawl_step_answer(step, ++counter->count);
}

static const char *const add_events[] = {"add"};
static const char *const credit_events[] = {"credit"};
static const char *const job_events[] = {"finish", "poke"};
static const struct pawl_state_def counting[] = {{.name = "counting"}};
static const struct pawl_state_def living[] = {{.name = "live"},
                                               {.name = "ended", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def on_add[] = {
    {.from = "counting", .on = "add", .action = add}};
static const struct pawl_transition_def on_drift[] = {
    {.from = "counting", .on = "add", .action = drift}};
static const struct pawl_transition_def on_credit[] = {
    {.from = "counting", .on = "credit", .action = take_credit}};
static const struct pawl_transition_def on_finish[] = {
    {.from = "live", .on = "finish", .to = "ended"}};

static const struct pawl_machine_def definitions[MACHINE_COUNT] = {
    [MACHINE_COUNTER] = {.name = "counter",
                         .events = add_events,
                         .events_count = 1,
                         .states = counting,
                         .states_count = 1,
                         .transitions = on_add,
                         .transitions_count = 1,
                         .context_size = sizeof(struct counter),
                         .durability = PAWL_DURABILITY_SYNC},
    [MACHINE_SINK] = {.name = "sink",
                      .events = credit_events,
                      .events_count = 1,
                      .states = counting,
                      .states_count = 1,
                      .transitions = on_credit,
                      .transitions_count = 1,
                      .context_size = sizeof(struct sink),
                      .durability = PAWL_DURABILITY_SYNC},
    [MACHINE_DRIFT] = {.name = "drift",
                       .events = add_events,
                       .events_count = 1,
                       .states = counting,
                       .states_count = 1,
                       .transitions = on_drift,
                       .transitions_count = 1,
                       .context_size = sizeof(struct counter),
                       .durability = PAWL_DURABILITY_ASYNC},
    [MACHINE_JOB] = {.name = "job",
                     .events = job_events,
                     .events_count = 2,
                     .states = living,
                     .states_count = 2,
                     .transitions = on_finish,
                     .transitions_count = 1,
                     .context_size = sizeof(struct job),
                     .durability = PAWL_DURABILITY_SYNC},
};

static void diagnose(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    if (diagnostic->error != 0)
        fprintf(stderr, "%s: %s\n", diagnostic->where, diagnostic->what);
}

void work_compile(const struct pawl_machine *machines[MACHINE_COUNT])
{
    for (unsigned i = 0; i < MACHINE_COUNT; i++) {
        struct pawl_machine *machine;

        if (pawl_machine_compile(&definitions[i], diagnose, NULL, &machine) != 0)
            exit(2);
        machines[i] = machine;
    }
}

/* ---- Looking ---- */

size_t work_key(char key[64], enum machine machine, unsigned number, uint64_t incarnation)
{
    return (size_t)snprintf(key, 64, "%s-%u-%" PRIu64, definitions[machine].name, number,
                            incarnation);
}

int work_count(const struct pawl_runtime *runtime, struct pawl_task task, enum machine machine,
               uint64_t *count)
{
    uint64_t context[16] = {0};
    struct pawl_view view = {.context = context, .context_capacity = sizeof(context)};
    const int error = pawl_task_peek(runtime, task, &view);

    if (error != 0)
        return error;
    if (view.machine != machine || view.context_size != definitions[machine].context_size)
        return -EBADMSG;
    for (size_t i = 1; machine == MACHINE_SINK && i < view.context_size / 8; i++)
        if (context[i] != context[0])
            return -EBADMSG;
    *count = context[0];
    return 0;
}

/* ---- Settling ---- */

/* A standing task's count; 0 where it was never made, which only a task without promises may be. */
static unsigned count_of(const struct pawl_runtime *runtime, enum machine machine, unsigned number,
                         uint64_t *count)
{
    struct pawl_task task;
    char key[64];
    const size_t size = work_key(key, machine, number, 0);
    int error = pawl_task_find(runtime, key, size, &task);

    *count = 0;
    if (error == -ENOENT)
        return 0;
    if (error == 0)
        error = work_count(runtime, task, machine, count);
    if (error == 0)
        return 0;
    fprintf(stderr, "%s: cannot be read: %s\n", key, pawl_strerror(error));
    return 1;
}

static unsigned check(const char *what, unsigned number, uint64_t low, uint64_t count,
                      uint64_t high)
{
    if (count >= low && count <= high)
        return 0;
    fprintf(stderr, "%s %u: is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64 ": %s\n", what, number,
            count, low, high,
            count < low ? "what was acknowledged is lost" : "more than was ever posted");
    return 1;
}

static unsigned settle_counter(const struct pawl_runtime *runtime, unsigned number,
                               struct ledger_counter *known)
{
    uint64_t counted, credited, drifted;
    unsigned wrong = 0;

    wrong += count_of(runtime, MACHINE_COUNTER, number, &counted);
    wrong += count_of(runtime, MACHINE_SINK, number, &credited);
    wrong += count_of(runtime, MACHINE_DRIFT, number, &drifted);
    wrong += check("counter", number, known->acknowledged, counted, known->posted);
    wrong += check("drift", number, known->drift_synced, drifted, known->drift_posted);
    if (credited != counted) {
        fprintf(stderr, "counter %u: counted %" PRIu64 ", its sink %" PRIu64 ": events are %s\n",
                number, counted, credited, credited < counted ? "lost" : "doubled");
        wrong++;
    }
    if (wrong == 0) {
        known->posted = known->acknowledged = counted;
        known->drift_posted = known->drift_synced = drifted;
    }
    return wrong;
}

static unsigned settle_job(const struct pawl_runtime *runtime, unsigned number,
                           struct ledger_job *known)
{
    uint64_t context[2] = {0};
    struct pawl_view view = {.context = context, .context_capacity = sizeof(context)};
    struct pawl_task task;
    char key[64];
    const size_t size = work_key(key, MACHINE_JOB, number, known->incarnation);
    const char *wrong = NULL;
    bool there;

    if (known->stage == JOB_NONE)
        return 0;
    there = pawl_task_find(runtime, key, size, &task) == 0;
    if (there && pawl_task_peek(runtime, task, &view) != 0)
        wrong = "is in the index and cannot be read";
    else if (there && (view.machine != MACHINE_JOB || context[0] != number ||
                       context[1] != known->incarnation))
        wrong = "is another task than was created";
    else if (!there && known->stage == JOB_LIVE)
        wrong = "was acknowledged and is lost";
    else if (there && known->stage == JOB_ENDED)
        wrong = "has ended, which was acknowledged, and is there again";
    if (wrong != NULL) {
        fprintf(stderr, "%s: %s\n", key, wrong);
        return 1;
    }
    known->stage = there ? JOB_LIVE : JOB_ENDED;
    return 0;
}

unsigned work_settle(const struct pawl_runtime *runtime, struct ledger *ledger)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < COUNTERS; i++)
        wrong += settle_counter(runtime, i, &ledger->counters[i]);
    for (unsigned i = 0; i < JOBS; i++)
        wrong += settle_job(runtime, i, &ledger->jobs[i]);
    return wrong;
}
