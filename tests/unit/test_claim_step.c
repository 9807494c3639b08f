/*
 * The short way of steps with lane states does what the long way does: the same work, drawn by the same
 * dice, is done by two machines that differ in nothing but guards that always agree, which keep
 * one of them from the short way. Whatever can be seen must be the same.
 */
#include <errno.h>

#include "base/random.h"
#include "shard/lanes.h"
#include "support/lane_fixture.h"
#include "support/store_fixture.h"

enum { TASKS = 40, OPERATIONS = 1500, SEEN = 1 << 16 };

enum {
    E_LEASE,
    E_DONE,
    E_RELEASE,
    E_EXPIRED,
    E_CHANGE,
    E_NOTE,
    E_FAIL,
    E_EXTEND,
    E_POST,
    E_RAISE,
    E_RAISED,
    E_LATER,
    E_OFFER,
    E_ALARM,
    E_RANG,
    EVENTS
};
enum { T_IDLE, T_QUEUED, T_RUNNING, T_GONE };

struct twin {
    struct pawl_claim claim;
    uint64_t counts[EVENTS];
};

static struct store_fixture s;
static uint64_t seen[2][SEEN];
static unsigned seen_count[2];
static unsigned side;

static void see(uint64_t word)
{
    cr_assert(seen_count[side] < SEEN);
    seen[side][seen_count[side]++] = word;
}

/* ---- The machine ---- */

static bool always(const struct pawl_step *step, const void *context,
                   const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
    return true;
}

static void count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct twin *twin = context;

    twin->counts[event->code]++;
    pawl_step_answer(step, twin->counts[event->code]);
    if (event->code == E_DONE)
        pawl_step_outcome(step, true);
    if (event->code == E_EXPIRED)
        pawl_step_outcome(step, pawl_step_lease_lost(step) == PAWL_LOST_AGENT);
    if (event->code == E_CHANGE)
        twin->claim.priority = (uint32_t)event->arg[0];
    if (event->code == E_CHANGE && event->arg[1] == 1)
        twin->claim.lane = 99; /* there is none */
}

static void fail(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count(step, context, event);
    pawl_step_abort(step, -ECANCELED);
}

static void extend(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count(step, context, event);
    pawl_step_extend(step, event->arg[0] * FIXTURE_MS);
}

static void post(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_event note = {.task = pawl_step_task(step), .code = E_NOTE};

    count(step, context, event);
    pawl_step_post(step, &note);
}

static void raise_one(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count(step, context, event);
    pawl_step_raise(step, E_RAISED, 0, 0);
}

static void alarm_it(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count(step, context, event);
    pawl_step_arm(step, 1, event->arg[0] * FIXTURE_MS);
}

static const char *const events[EVENTS] = {"lease",  "done",  "release", "expired", "change",
                                           "note",   "fail",  "extend",  "post",    "raise",
                                           "raised", "later", "offer",   "alarm",   "rang"};
static const char *const later[] = {"later", NULL};
static const char *const raised[] = {"raised", NULL};
static const struct pawl_state_def states[] = {
    {.name = "idle"},
    {.name = "queued", .flags = PAWL_STATE_READY},
    {.name = "running", .flags = PAWL_STATE_LEASED, .defers = later},
    {.name = "gone", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_timer_def timers[] = {{"lease", "expired"}, {"alarm", "rang"}};
static const struct pawl_transition_def rows[] = {
    {.from = "idle", .on = "offer", .to = "queued", .action = count},
    {.from = "idle", .on = "note", .action = count},
    {.from = "idle", .on = "later", .action = count},
    {.from = "queued", .on = "lease", .to = "running", .action = count},
    {.from = "queued", .on = "change", .action = count},
    {.from = "queued", .on = "note", .action = count},
    {.from = "queued", .on = "fail", .action = fail},
    {.from = "queued", .on = "post", .action = post},
    {.from = "queued", .on = "later", .action = count},
    {.from = "queued", .on = "alarm", .action = alarm_it},
    {.from = "queued", .on = "rang", .to = "idle", .action = count},
    {.from = "queued", .on = "raise", .action = raise_one, .raises = raised},
    {.from = "queued", .on = "raised", .to = "idle", .action = count},
    {.from = "running", .on = "done", .to = "gone", .action = count},
    {.from = "running", .on = "release", .to = "queued"},
    {.from = "running", .on = "expired", .to = "queued", .action = count},
    {.from = "running", .on = "note", .action = count},
    {.from = "running", .on = "fail", .action = fail},
    {.from = "running", .on = "change", .action = count},
    {.from = "running", .on = "extend", .action = extend},
    {.from = "running", .on = "post", .to = "queued", .action = post},
    {.from = "running", .on = "alarm", .action = alarm_it},
    {.from = "running", .on = "rang", .action = count},
    {.from = "running", .on = "raise", .action = raise_one, .raises = raised},
    {.from = "running", .on = "raised", .to = "idle", .action = count},
};
static struct pawl_transition_def transitions[sizeof(rows) / sizeof(rows[0])];

static struct pawl_machine_def twin_machine(enum pawl_durability durability, bool long_way)
{
    struct pawl_machine_def machine = {
        .name = "twin",
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        PAWL_TABLE(timers),
        .initial = "queued",
        .lease = "lease",
        .lease_timer = "lease",
        .context_size = sizeof(struct twin),
        .durability = durability,
    };

    memcpy(transitions, rows, sizeof(rows));
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        transitions[i].guard = long_way ? always : NULL;
    return machine;
}

/* ---- The work ---- */

static void see_completion(const struct pawl_completion *completion)
{
    see(completion->task.id);
    see((uint64_t)(uint32_t)completion->status << 32 | completion->state);
    see((uint64_t)completion->version << 32 | completion->tag);
    see(completion->value);
}

static void see_all(struct lane_agent *agent, struct pawl_port *port)
{
    struct pawl_completion got[64];
    unsigned taken;

    while ((taken = lane_agent_reap(agent, got, ARRAY_LEN(got))) > 0)
        for (unsigned i = 0; i < taken; i++)
            see_completion(&got[i]);
    while ((taken = (unsigned)pawl_port_reap(port, got, ARRAY_LEN(got))) > 0)
        for (unsigned i = 0; i < taken; i++)
            see_completion(&got[i]);
}

static void see_lane(const struct fixture *f)
{
    const struct pawl_lane_status status = lane_status(f, "work");

    see(status.ready << 32 | status.leased);
    see(status.leases << 32 | status.expired);
    see(status.good << 32 | status.bad);
    see(status.oldest_ns);
}

static void see_task(struct pawl_task task)
{
    struct twin twin;
    struct pawl_view view = {.context = &twin, .context_capacity = sizeof(twin)};
    const int error = pawl_task_peek(s.f.runtime, task, &view);
    const uint64_t *words = (const uint64_t *)(const void *)&twin;

    see((uint64_t)(int64_t)error);
    if (error != 0)
        return;
    see((uint64_t)view.state << 32 | view.version);
    for (unsigned i = 0; i < sizeof(twin) / 8; i++)
        see(words[i]);
}

static struct pawl_task create(struct random *random)
{
    const struct twin twin = {
        .claim = {.lane = pawl_lane_number("work"), .priority = (uint32_t)random_below(random, 4)}};
    const struct pawl_task_spec spec = {.context = &twin, .context_size = sizeof(twin)};
    struct pawl_task task;

    cr_assert_eq(store_try_create(&s, &spec, &task), 0);
    return task;
}

static void act(struct random *random, struct lane_agent *agent, struct pawl_task *tasks)
{
    static const uint16_t codes[] = {E_DONE,  E_RELEASE, E_RELEASE, E_RELEASE, E_CHANGE, E_NOTE,
                                     E_FAIL,  E_EXTEND,  E_POST,    E_RAISE,   E_LATER,  E_OFFER,
                                     E_OFFER, E_ALARM,   E_LEASE,   E_NOTE};
    struct pawl_task *task = &tasks[random_below(random, TASKS)];
    const struct pawl_event event = {.task = *task,
                                     .code = codes[random_below(random, ARRAY_LEN(codes))],
                                     .flags =
                                         random_below(random, 3) != 0 ? PAWL_EVENT_COMPLETE : 0,
                                     .arg = {random_below(random, 40), random_below(random, 10)}};

    switch (random_below(random, 8)) {
    case 0:
        if (!fixture_is_alive(&s.f, *task))
            *task = create(random);
        break;
    case 1:
    case 2:
        if (agent->port->outstanding < 32)
            lane_agent_grant(agent, 1 + (uint32_t)random_below(random, 4));
        break;
    case 3:
        store_advance(&s, random_below(random, 8) * FIXTURE_MS);
        break;
    default: /* from the agent, or from anybody */
        cr_assert_eq(
            pawl_port_post(random_below(random, 2) == 0 ? agent->port : s.f.port, &event, 1), 1);
        break;
    }
    if (random_below(random, 3) == 0)
        store_run(&s);
}

/* The process is gone, and with it the agent; nothing is asked of either. */
static void crash(struct lane_agent *agent)
{
    struct pawl_completion rest[64];

    sim_disk_die(s.disk);
    store_stop(&s);
    agent->port->outstanding -= swap_acq_rel(&agent->agent.credits, 0);
    while (lane_agent_reap(agent, rest, ARRAY_LEN(rest)) > 0)
        ;
    store_release(&agent->port->agent, NULL);
    cr_assert_eq(pawl_port_close(agent->port, 0), 0);
    store_free(&s);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
}

static void work(enum pawl_durability durability, bool long_way, uint64_t seed)
{
    static const struct pawl_lane_def lanes[] = {{.name = "work", .lease_ns = 50 * FIXTURE_MS}};
    const struct pawl_machine_def machine = twin_machine(durability, long_way);
    const struct store_fixture_options options = {
        .machines = {&machine}, .lanes = lanes, .lane_count = 1};
    struct pawl_task tasks[TASKS];
    struct random random = {seed};
    struct lane_agent agent;

    side = long_way;
    seen_count[side] = 0;
    store_init(&s, &options);
    store_open(&s);
    lane_agent_open(&agent, s.f.runtime, 7, 1);
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = create(&random);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        act(&random, &agent, tasks);
        see_all(&agent, s.f.port);
        if (i % 50 == 0)
            see_lane(&s.f);
    }
    store_settle(&s);
    see_all(&agent, s.f.port);
    for (unsigned i = 0; i < TASKS; i++)
        see_task(tasks[i]);
    see_lane(&s.f);
    if (durability != PAWL_DURABILITY_MEMORY) {
        crash(&agent);
        store_open(&s);
        for (unsigned i = 0; i < TASKS; i++)
            see_task(tasks[i]);
        store_run(&s);
        see_lane(&s.f);
        store_close(&s);
        store_fini(&s);
        return;
    }
    lane_agent_close(&agent, &s.f);
    store_close(&s);
    store_fini(&s);
}

static void compare(enum pawl_durability durability)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        work(durability, false, seed);
        work(durability, true, seed);
        cr_assert_eq(seen_count[0], seen_count[1]);
        for (unsigned i = 0; i < seen_count[0]; i++)
            cr_assert_eq(seen[0][i], seen[1][i], "seed %u: word %u of %u is %#llx, not %#llx",
                         (unsigned)seed, i, seen_count[0], (unsigned long long)seen[0][i],
                         (unsigned long long)seen[1][i]);
    }
}

Test(claim_step, both_ways_do_the_same_in_memory)
{
    compare(PAWL_DURABILITY_MEMORY);
}

Test(claim_step, both_ways_do_the_same_on_disk)
{
    compare(PAWL_DURABILITY_SYNC);
}

Test(claim_step, both_ways_do_the_same_within_a_window)
{
    compare(PAWL_DURABILITY_ASYNC);
}

/* Or the tests above would compare the long way with itself. */
Test(claim_step, rows_without_guards_take_the_short_way)
{
    const struct pawl_machine_def plain = twin_machine(PAWL_DURABILITY_MEMORY, false);
    struct pawl_machine *machine;
    unsigned shorter = 0;

    cr_assert_eq(pawl_machine_compile(&plain, fixture_on_finding, NULL, &machine), 0);
    for (unsigned code = 0; code < EVENTS; code++) {
        const unsigned cell = machine->cells[T_RUNNING * machine->events_count + code];

        shorter += (machine->transitions[cell].flags & TRANSITION_CLAIM) != 0;
    }
    cr_assert_eq(shorter, 12); /* all that running has */
    pawl_machine_destroy(machine);
}
