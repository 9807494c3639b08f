/*
 * cycle.c - the runtime, the tasks and the agents of the rows of agents.
 */
#include "cycle.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "peers/stores.h"

enum { BATCH = 256, REAPED = 512, STAMPED = 64, PORT_CAPACITY = 8192, LOOKED_AT_MAX = 100000 };

#define WAIT_NS  UINT64_C(60000000000)   /* far more than anything here takes */
#define LEASE_NS UINT64_C(3600000000000) /* no lease ends by its time, however slow the machine */

const char cycle_lane[] = "work";

struct seat {
    struct pawl_agent *agent;
    uint64_t receipts;
    uint64_t numbers; /* the sum of what the tasks answered */
    char pad[64];     /* two of them may be used by two threads */
};

struct cycle {
    struct cycle_spec spec;
    struct pawl_machine *machine; /* NULL: the work machine */
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_task *tasks; /* those that go round, if they are looked at in the end */
    uint64_t *stamps;        /* when every 64th was put, in turn */
    uint64_t stamps_mask;
    struct pawl_work_policy policy;
    struct pawl_work_options work;
    char said[256]; /* by pawl_open, when it refuses */
    struct seat seats[CYCLE_AGENTS_MAX];
};

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("agents: %s: %s", what, pawl_strerror(error));
}

static bool is_host_driven(const struct cycle *cycle)
{
    return cycle->spec.drive == PAWL_DRIVE_HOST;
}

/* ---- The machine ---- */

struct job {
    struct pawl_claim claim;
    struct record record; /* of those that go round, only the count */
};

static bool take_report(struct pawl_step *step, const struct pawl_event *event)
{
    struct pawl_reported report;
    int error = pawl_report_read(event, &report);

    if (error == 0)
        error = pawl_step_holder(step, report.token);
    if (error != 0)
        pawl_step_abort(step, error);
    else
        pawl_step_outcome(step, true);
    return error == 0;
}

/*
 * It is ready again, behind all others of its rank; with several ranks, in one of those that
 * follow: so there are always tasks of as many ranks, and each task's turn comes.
 */
static void done_again(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct cycle *cycle = pawl_step_user(step);
    struct job *job = context;

    if (!take_report(step, event))
        return;
    job->record.count++;
    if (cycle->spec.ranks > 1)
        job->claim.priority += 1 + (uint32_t)(pawl_step_random(step) % cycle->spec.ranks);
}

static void done_once(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct job *job = context;

    if (!take_report(step, event))
        return;
    job->record.count++;
    pawl_step_answer(step, job->record.last);
}

enum { JOB_LEASE, JOB_DONE, JOB_EXPIRED };
static const char *const events[] = {"lease", "done", "expired"};
static const struct pawl_timer_def timers[] = {{"lease", "expired"}};
static const struct pawl_state_def states[] = {
    {.name = "ready", .flags = PAWL_STATE_READY},
    {.name = "leased", .flags = PAWL_STATE_LEASED},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};

static void compile(struct cycle *cycle)
{
    const bool again = cycle->spec.life == CYCLE_AGAIN;
    const struct pawl_transition_def transitions[] = {
        {.from = "ready", .on = "lease", .to = "leased"},
        {.from = "leased",
         .on = "done",
         .to = again ? "ready" : "gone",
         .action = again ? done_again : done_once},
        {.from = "leased", .on = "expired", .to = "ready"},
    };
    const struct pawl_machine_def job = {
        .name = "job",
        PAWL_TABLE(events),
        .states = states,
        .states_count = again ? 2 : 3,
        PAWL_TABLE(transitions),
        PAWL_TABLE(timers),
        .initial = "ready",
        .lease = "lease",
        .lease_timer = "lease",
        .context_size =
            again ? offsetof(struct job, record) + sizeof(uint64_t) : sizeof(struct job),
        .durability = cycle->spec.durability,
    };

    check("compiling the machine", pawl_machine_compile(&job, NULL, NULL, &cycle->machine));
}

/* ---- Opening ---- */

static void diagnose(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct cycle *cycle = user;

    snprintf(cycle->said, sizeof(cycle->said), "%s: %s", diagnostic->where, diagnostic->what);
}

static void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    (void)user;
    bench_fail("agents: event %u was not handled: %s", event->code, pawl_strerror(reason));
}

static void open_runtime(struct cycle *cycle)
{
    const struct cycle_spec *spec = &cycle->spec;
    const struct pawl_lane_def lane = {.name = cycle_lane, .lease_ns = LEASE_NS};
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    int error;

    store.directory = spec->folder;
    store.snapshot_bytes = UINT64_MAX;
    options.machines = (const struct pawl_machine *const[]){cycle->machine};
    options.machine_count = cycle->machine != NULL;
    options.shards = spec->shards;
    options.drive = spec->drive;
    options.store = spec->folder != NULL ? &store : NULL;
    options.lanes = &lane;
    options.lane_count = 1;
    if (spec->life == CYCLE_WORK) {
        cycle->policy = (struct pawl_work_policy){.name = "usual", .keep_ns = spec->keep_ns};
        cycle->work = (struct pawl_work_options){
            .policies = &cycle->policy, .policies_count = 1, .durability = spec->durability};
        options.work = &cycle->work;
    }
    options.user = cycle;
    options.diagnose = diagnose;
    options.on_undelivered = on_undelivered;
    bench_unpin(); /* the plan heeds the affinity of the thread that opens */
    error = pawl_open(&options, &cycle->runtime);
    bench_pin(bench_cpu(0));
    if (error != 0)
        bench_fail("agents: opening a runtime: %s (%s)", pawl_strerror(error),
                   cycle->said[0] != '\0' ? cycle->said : "no reason given");
}

static void turn_all(struct cycle *cycle)
{
    if (is_host_driven(cycle))
        for (unsigned s = 0; s < cycle->spec.shards; s++)
            pawl_turn(cycle->runtime, s);
    else
        sched_yield();
}

static void create_tasks(struct cycle *cycle)
{
    const uint64_t tasks = cycle->spec.tasks;
    const uint32_t ranks = cycle->spec.ranks > 1 ? cycle->spec.ranks : 1;
    struct pawl_completion done[REAPED];
    uint64_t made = 0, got = 0;

    if (tasks <= LOOKED_AT_MAX)
        cycle->tasks = calloc(tasks, sizeof(*cycle->tasks));
    while (got < tasks) {
        int reaped;

        for (; made < tasks; made++) {
            const struct job job = {.claim = {.lane = pawl_lane_number(cycle_lane),
                                              .priority = (uint32_t)(made * 2654435761u) % ranks}};
            const struct pawl_task_spec spec = {.shard = (uint32_t)(made % cycle->spec.shards),
                                                .context = &job,
                                                .context_size = sizeof(job.claim)};

            if (pawl_port_create(cycle->port, &spec, (uint32_t)made) != 0)
                break;
        }
        turn_all(cycle);
        reaped = pawl_port_reap(cycle->port, done, REAPED);
        for (int i = 0; i < reaped; i++, got++) {
            check("creating a task", done[i].status);
            if (cycle->tasks != NULL)
                cycle->tasks[done[i].tag] = done[i].task;
        }
    }
}

static void open_agents(struct cycle *cycle)
{
    static const char *const lanes[] = {cycle_lane};

    for (unsigned i = 0; i < cycle->spec.agents; i++) {
        char name[24];
        const struct pawl_agent_options options = {.name = name,
                                                   .lanes = lanes,
                                                   .lanes_count = 1,
                                                   .credits = cycle->spec.credits,
                                                   .reports = 2 * cycle->spec.credits};

        snprintf(name, sizeof(name), "agent-%u", i);
        check("opening an agent",
              pawl_agent_open(cycle->runtime, &options, &cycle->seats[i].agent));
    }
}

struct cycle *cycle_open(const struct cycle_spec *spec)
{
    const struct pawl_port_options port = {.capacity = PORT_CAPACITY};
    struct cycle *cycle = calloc(1, sizeof(*cycle));

    check("memory", cycle == NULL ? -ENOMEM : 0);
    if (spec->agents < 1 || spec->agents > CYCLE_AGENTS_MAX)
        bench_fail("agents: there cannot be %u", spec->agents);
    cycle->spec = *spec;
    if (spec->life != CYCLE_WORK)
        compile(cycle);
    open_runtime(cycle);
    check("starting", pawl_start(cycle->runtime));
    check("opening a port", pawl_port_open(cycle->runtime, &port, &cycle->port));
    if (spec->life == CYCLE_AGAIN)
        create_tasks(cycle);
    open_agents(cycle);
    return cycle;
}

/* ---- Closing ---- */

/*
 * Nothing was lost and nothing done twice: what the agents were told is what the tasks have
 * seen.
 */
static void look_at_tasks(const struct cycle *cycle)
{
    uint64_t receipts = 0, seen = 0, out = 0;

    if (cycle->tasks == NULL)
        return;
    for (unsigned i = 0; i < cycle->spec.agents; i++) {
        receipts += cycle->seats[i].receipts;
        out += cycle->spec.credits;
    }
    for (uint64_t i = 0; i < cycle->spec.tasks; i++) {
        struct job job = {0};
        struct pawl_view view = {.context = &job, .context_capacity = sizeof(job)};

        check("looking at a task", pawl_task_peek(cycle->runtime, cycle->tasks[i], &view));
        seen += job.record.count;
    }
    if (seen < receipts || seen > receipts + out)
        bench_fail("agents: tasks were done %llu times and %llu receipts came",
                   (unsigned long long)seen, (unsigned long long)receipts);
}

void cycle_close(struct cycle *cycle)
{
    int error;

    look_at_tasks(cycle);
    for (unsigned i = 0; i < cycle->spec.agents; i++) {
        while ((error = pawl_agent_close(cycle->seats[i].agent, WAIT_NS)) == -EAGAIN)
            turn_all(cycle);
        check("closing an agent", error);
    }
    while ((error = pawl_port_close(cycle->port, WAIT_NS)) == -EAGAIN)
        turn_all(cycle);
    check("closing the port", error);
    check("closing the runtime", pawl_close(cycle->runtime));
    if (cycle->machine != NULL)
        pawl_machine_destroy(cycle->machine);
    free(cycle->tasks);
    free(cycle->stamps);
    free(cycle);
}

/* ---- Agents ---- */

void cycle_turn(struct cycle *cycle, unsigned shard)
{
    const int error = pawl_turn(cycle->runtime, shard);

    check("a turn", error < 0 ? error : 0);
}

/* No more than a batch, so that receipts are taken in between and do not fill the agent's room. */
static void report_some(struct seat *seat)
{
    static const struct pawl_report done[BATCH]; /* PAWL_REPORT_DONE is 0 */
    struct pawl_lease leases[BATCH];
    const int count = pawl_agent_next(seat->agent, leases, BATCH, 0);
    int sent;

    check("taking leases", count < 0 ? count : 0);
    sent = pawl_agent_report_many(seat->agent, leases, done, (unsigned)count);
    check("reporting", sent < 0 ? sent : sent < count ? -EAGAIN : 0);
}

static void note_delay(const struct cycle *cycle, const struct pawl_receipt *receipt, uint64_t now,
                       struct histogram *delays)
{
    const uint64_t number = receipt->value;

    if (number % STAMPED == 0)
        histogram_record(delays, now - cycle->stamps[number / STAMPED & cycle->stamps_mask]);
}

static unsigned take_receipts(struct cycle *cycle, struct seat *seat, struct histogram *delays)
{
    struct pawl_receipt receipts[BATCH];
    unsigned total = 0;
    int count;

    do {
        uint64_t now;

        count = pawl_agent_receipts(seat->agent, receipts, BATCH);
        now = count > 0 && delays != NULL ? bench_now_ns() : 0;
        for (int i = 0; i < count; i++) {
            check("a report", receipts[i].status);
            if (receipts[i].durability != cycle->spec.durability)
                bench_fail("agents: a report was acknowledged with durability %u",
                           receipts[i].durability);
            seat->numbers += receipts[i].value;
            if (delays != NULL)
                note_delay(cycle, &receipts[i], now, delays);
        }
        total += (unsigned)count;
    } while (count == BATCH);
    seat->receipts += total;
    return total;
}

unsigned cycle_agent(struct cycle *cycle, unsigned agent)
{
    struct seat *seat = &cycle->seats[agent];

    report_some(seat);
    return take_receipts(cycle, seat, NULL);
}

void cycle_again(struct cycle *cycle, uint64_t count)
{
    uint64_t done = 0;

    if (!is_host_driven(cycle))
        bench_pin(bench_cpu(1)); /* the first shard has the first */
    while (done < count) {
        const unsigned got = cycle_agent(cycle, 0);

        done += got;
        if (is_host_driven(cycle))
            cycle_turn(cycle, 0);
        else if (got == 0)
            sched_yield();
    }
    bench_pin(bench_cpu(0));
}

/* ---- A task for each cycle ---- */

static int put(struct cycle *cycle, uint64_t number)
{
    static struct pawl_work_spec work;
    const struct job job = {.claim = {.lane = pawl_lane_number(cycle_lane)},
                            .record = {.last = number}};
    const struct pawl_task_spec spec = {.context = &job, .context_size = sizeof(job)};

    if (cycle->spec.life != CYCLE_WORK)
        return pawl_port_create(cycle->port, &spec, 0);
    if (work.size == 0) {
        work = PAWL_WORK_SPEC_INIT;
        work.lane = cycle_lane;
        work.shard = 0;
    }
    return pawl_work_submit(cycle->port, &work, 0);
}

static void reap_puts(struct cycle *cycle)
{
    struct pawl_completion done[REAPED];
    int reaped;

    do {
        reaped = pawl_port_reap(cycle->port, done, REAPED);
        for (int i = 0; i < reaped; i++) {
            check("a put", done[i].status);
            if (done[i].durability != cycle->spec.durability)
                bench_fail("agents: a put was acknowledged with durability %u", done[i].durability);
        }
    } while (reaped == REAPED);
}

static void make_stamps(struct cycle *cycle, uint32_t under_way)
{
    uint64_t stamps = 1;

    while (stamps < 4 * (under_way / STAMPED + 1))
        stamps *= 2;
    cycle->stamps = calloc(stamps, sizeof(*cycle->stamps));
    check("memory", cycle->stamps == NULL ? -ENOMEM : 0);
    cycle->stamps_mask = stamps - 1;
}

/* As many as there is room for; returns how many there are now. */
static uint64_t put_more(struct cycle *cycle, uint64_t at, uint64_t end)
{
    const uint64_t now = at < end ? bench_now_ns() : 0;

    for (; at < end; at++) {
        const int error = put(cycle, at);

        if (error == -EAGAIN)
            break;
        check("putting", error);
        if (at % STAMPED == 0)
            cycle->stamps[at / STAMPED & cycle->stamps_mask] = now;
    }
    return at;
}

void cycle_once(struct cycle *cycle, uint64_t count, uint32_t under_way, struct histogram *delays)
{
    struct seat *seat = &cycle->seats[0];
    const bool tells = cycle->spec.life == CYCLE_ONCE;
    uint64_t done = 0, put_so_far = 0;

    if (cycle->stamps == NULL)
        make_stamps(cycle, under_way);
    seat->numbers = 0;
    if (!is_host_driven(cycle))
        bench_pin(bench_cpu(1));
    while (done < count) {
        const uint64_t end = count - done < under_way ? count : done + under_way;
        unsigned got;

        put_so_far = put_more(cycle, put_so_far, end);
        if (is_host_driven(cycle))
            cycle_turn(cycle, 0);
        reap_puts(cycle);
        report_some(seat);
        got = take_receipts(cycle, seat, tells ? delays : NULL);
        done += got;
        if (got == 0 && !is_host_driven(cycle))
            sched_yield();
    }
    while (pawl_port_outstanding(cycle->port) > 0) {
        turn_all(cycle);
        reap_puts(cycle);
    }
    bench_pin(bench_cpu(0));
    if (done != count || (tells && seat->numbers != count * (count - 1) / 2))
        bench_fail("agents: some reports were acknowledged twice, others never");
}

/* ---- For others ---- */

struct pawl_runtime *cycle_runtime(struct cycle *cycle)
{
    return cycle->runtime;
}

struct pawl_port *cycle_port(struct cycle *cycle)
{
    return cycle->port;
}

uint64_t cycle_journal_bytes(const struct cycle *cycle)
{
    struct pawl_store_status status = {0};

    if (cycle->spec.folder != NULL)
        check("the store's status", pawl_shard_store(cycle->runtime, 0, &status));
    return status.journal_bytes;
}
