/*
 * Leases whose agents are gone: they end early, and what keeps them from it does not keep the agent.
 */
#include "shard/agents.h"
#include "shard/lanes.h"
#include "support/agent_store_fixture.h"
#include "support/agents_fixture.h"

#define SECOND FIXTURE_SECOND

/* ---- No room for the step that ends a lease ---- */

static unsigned refusals_left;
static int refusal;
static unsigned refused;

static void reluctant_expired(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    if (refusals_left > 0) {
        refusals_left--;
        refused++;
        pawl_step_abort(step, refusal);
    }
    chore_expired(step, context, event);
}

static struct pawl_transition_def
    reluctant[sizeof(chore_transitions) / sizeof(chore_transitions[0])];
static struct pawl_machine_def reluctant_chore;

/* An agent with one lease, whose task will not let it end for so many times. */
static struct pawl_task lose_one(unsigned times, int error)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;

    memcpy(reluctant, chore_transitions, sizeof(reluctant));
    for (unsigned i = 0; i < sizeof(reluctant) / sizeof(reluctant[0]); i++)
        if (strcmp(reluctant[i].on, "expired") == 0)
            reluctant[i].action = reluctant_expired;
    reluctant_chore = chore_machine;
    reluctant_chore.transitions = reluctant;
    refused = 0;
    refusals_left = times;
    refusal = error;
    agents_open_with((struct fixture_options){.machines = {&reluctant_chore}}, 100 * SECOND);
    agent = agents_agent("agent", 8, 0);
    task = agents_chore(0);
    agents_take(agent, &lease, 1);
    for (unsigned calls = 0; pawl_agent_close(agent, 0) != 0; calls++) {
        cr_assert(calls < 20, "it does not come to an end");
        fixture_turn(&f);
    }
    return task;
}

Test(lost, a_lease_that_there_is_no_room_to_end_is_tried_again)
{
    const struct pawl_task task = lose_one(3, -ENOSPC);

    fixture_advance(&f, 10 * FIXTURE_MS);
    cr_assert_eq(refused, 3u);
    cr_assert_eq(chore_of(f.runtime, task, NULL).lost, 1u);
    fixture_close(&f);
}

/* Not on and on, and not at once: what is short now will be in a moment. */
Test(lost, what_is_tried_again_leaves_the_shard_in_peace)
{
    lose_one(1000, -ENOMEM);
    for (unsigned i = 0; i < 100; i++)
        fixture_turn(&f);
    cr_assert(refused <= 2, "%u attempts in a moment", refused);
    fixture_advance(&f, 20 * FIXTURE_MS);
    cr_assert(refused >= 10 && refused <= 25, "%u attempts in 20 ms", refused);
    refusals_left = 0;
    fixture_advance(&f, 5 * FIXTURE_MS);
    fixture_close(&f);
}

Test(lost, a_machine_that_will_not_end_a_lease_early_keeps_it_to_its_deadline)
{
    const struct pawl_task task = lose_one(1, -EPERM);

    fixture_advance(&f, 90 * SECOND);
    cr_assert_eq(refused, 1u);
    cr_assert_eq(chore_of(f.runtime, task, NULL).lost, 0u);
    fixture_advance(&f, 20 * SECOND);
    cr_assert_eq(chore_of(f.runtime, task, NULL).expired, 1u);
    fixture_close(&f);
}

/* ---- Durable tasks ---- */

static struct pawl_machine_def durable_puppet;

static void open_store(uint64_t quota_bytes, uint64_t orphan_ns)
{
    struct store_fixture_options options = {.machines = {NULL, &durable_puppet},
                                            .orphan_ns = orphan_ns,
                                            .store = PAWL_STORE_OPTIONS_INIT};

    durable_puppet = puppet_machine;
    durable_puppet.durability = PAWL_DURABILITY_SYNC;
    options.store.segment_bytes = 64u << 10;
    options.store.snapshot_bytes = UINT64_MAX;
    options.store.quota_bytes = quota_bytes;
    durable_open_with(options);
}

static struct pawl_lease lease_durably(struct pawl_agent *agent)
{
    struct pawl_lease lease;

    durable_chore_on(0);
    durable_take(agent, &lease, 1);
    return lease;
}

Test(lost, an_agent_ends_on_a_full_disk_and_its_lease_when_there_is_room)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task puppet;
    unsigned notes = 0, state;
    int status = 0;

    open_store(640u << 10, 0);
    agent = durable_agent("agent", 8, 0);
    lease = lease_durably(agent);
    puppet = store_create(&s, 1, 0);
    while (status != -ENOSPC) {
        cr_assert(++notes < 100000, "the disk does not get full");
        fixture_post(&s.f, &(struct pawl_event){
                               .task = puppet, .code = P_NOTE, .flags = PAWL_EVENT_COMPLETE});
        store_run(&s);
        status = fixture_reap(&s.f).status;
        trace_clear();
    }
    durable_close(agent);
    store_advance(&s, SECOND);
    chore_of(s.f.runtime, lease.task, &state);
    cr_assert_eq(state, (unsigned)C_BUSY);
    cr_assert_eq(s.f.undelivered_count, 0u);
    for (unsigned i = 0; i < 2; i++) { /* the journal is cut where the one before began */
        cr_assert_eq(store_snapshot(&s), 0);
        store_advance(&s, SECOND);
    }
    cr_assert_eq(chore_of(s.f.runtime, lease.task, &state).lost, 1u);
    cr_assert_eq(state, (unsigned)C_READY);
    store_end(&s);
}

/* ---- Agents of before ---- */

/* A lease of an agent that the power has taken. */
static struct pawl_lease orphan(uint64_t orphan_ns, uint64_t *incarnation)
{
    struct pawl_agent *agent;
    struct pawl_lease lease;

    open_store(0, orphan_ns);
    agent = durable_agent("agent", 8, 0);
    *incarnation = pawl_agent_incarnation(agent);
    lease = lease_durably(agent);
    durable_power_loss(agent, NULL);
    return lease;
}

static int try_resume(const char *name, uint64_t incarnation)
{
    struct pawl_agent *agent;
    const int error = durable_try_agent(name, 0, incarnation, &agent);

    if (error == 0)
        durable_close(agent);
    return error;
}

Test(lost, a_lease_of_before_lasts_until_its_deadline_where_nothing_else_is_said)
{
    uint64_t incarnation;
    const struct pawl_lease lease = orphan(0, &incarnation);

    store_advance(&s, 90 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).expired, 0u);
    store_advance(&s, 20 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).expired, 1u);
    store_end(&s);
}

Test(lost, a_lease_of_before_ends_when_nobody_has_resumed_it_in_time)
{
    uint64_t incarnation;
    const struct pawl_lease lease = orphan(5 * SECOND, &incarnation);

    store_advance(&s, 4 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).lost, 0u);
    store_advance(&s, 2 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).lost, 1u);
    cr_assert_eq(try_resume("agent", incarnation), -ESTALE);
    store_end(&s);
}

Test(lost, a_lease_of_before_that_was_resumed_in_time_goes_on)
{
    uint64_t incarnation;
    const struct pawl_lease lease = orphan(5 * SECOND, &incarnation);
    struct pawl_agent *agent;

    store_advance(&s, 4 * SECOND);
    agent = durable_agent("agent", 8, incarnation);
    store_advance(&s, 50 * SECOND);
    cr_assert_eq(chore_of(s.f.runtime, lease.task, NULL).lost, 0u);
    cr_assert_eq(durable_report(agent, &lease, PAWL_REPORT_DONE), 0);
    durable_close(agent);
    store_end(&s);
}

/* At once, though nothing else wakes it: a shard that sleeps has leases to give. */
Test(lost, a_shard_that_sleeps_is_woken_for_an_agent_that_resumes)
{
    uint64_t incarnation;
    struct pawl_agent *agent;

    orphan(5 * SECOND, &incarnation);
    store_run(&s);
    while (pawl_shard_wait_prepare(s.f.runtime, 0) == 0)
        fixture_turn(&s.f);
    agent = durable_agent("agent", 8, incarnation);
    /* relaxed: one thread */
    cr_assert_eq(load_relaxed(&s.f.runtime->shards[0]->park.word), (uint32_t)PARK_AWAKE);
    store_run(&s);
    cr_assert_eq(s.f.runtime->shards[0]->lanes->held[HELD_BEFORE], 0u);
    durable_close(agent);
    store_end(&s);
}

Test(lost, nobody_resumes_under_another_name)
{
    uint64_t incarnation;

    orphan(0, &incarnation);
    cr_assert_eq(try_resume("another", incarnation), -EPERM);
    cr_assert_eq(try_resume("agent", incarnation), 0);
    store_end(&s);
}

/* An agent of before may never come back: a drain does not wait for it. */
Test(lost, a_drain_does_not_wait_for_agents_of_before)
{
    uint64_t incarnation;
    struct pawl_drain_report report;

    orphan(0, &incarnation);
    store_run(&s);
    cr_assert_eq(pawl_drain(s.f.runtime, SECOND, &report), 0, "%s", report.text);
    store_end(&s);
}
