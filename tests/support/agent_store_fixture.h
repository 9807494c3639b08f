/*
 * agent_store_fixture.h - for tests: the chore (agent_fixture.h) on a simulated disk, sync durable, with
 * agents that lose power.
 *
 *     durable_open(2);                            an empty store, two shards, lane "work"
 *     task = durable_chore_on(1);                 returns when it is durable
 *     agent = durable_agent("agent", 4, 0);       four credits, a new incarnation
 *     durable_take(agent, leases, 4);
 *     durable_power_loss(agent);                  the process dies; opened again
 *     agent = durable_agent("agent", 4, incarnation);
 *     status = durable_report(agent, &leases[0], PAWL_REPORT_DONE);
 *     durable_close(agent);
 *     store_end(&s);
 */
#ifndef PAWL_TESTS_SUPPORT_AGENT_STORE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_AGENT_STORE_FIXTURE_H

#include "support/store_fixture.h"

#include "support/agent_fixture.h"

static struct store_fixture s;

/* options: all but the first machine, which is the chore, and the lanes. */
static inline void durable_open_with(struct store_fixture_options options)
{
    static const struct pawl_lane_def lanes[] = {
        {.name = "work", .lease_ns = 100 * FIXTURE_SECOND}};
    static struct pawl_machine_def chore;

    chore = chore_machine;
    chore.durability = PAWL_DURABILITY_SYNC;
    options.machines[0] = &chore;
    options.lanes = lanes;
    options.lane_count = 1;
    store_begin(&s, &options);
}

static inline void durable_open(unsigned shards)
{
    durable_open_with((struct store_fixture_options){.shards = shards});
}

static inline struct pawl_task durable_chore_on(unsigned shard)
{
    const struct chore chore = {.claim = {.lane = pawl_lane_number("work")}};
    const struct pawl_task_spec spec = {
        .shard = shard, .context = &chore, .context_size = sizeof(chore)};
    struct pawl_task task;

    cr_assert_eq(store_try_create(&s, &spec, &task), 0);
    cr_assert(store_settle(&s));
    return task;
}

/* The error of opening it; resume: an incarnation, or 0. */
static inline int durable_try_agent(const char *name, uint32_t credits, uint64_t resume,
                                    struct pawl_agent **agent)
{
    return chore_try_agent(
        s.f.runtime,
        (struct pawl_agent_options){.name = name, .credits = credits, .resume = resume}, agent);
}

static inline struct pawl_agent *durable_agent(const char *name, uint32_t credits, uint64_t resume)
{
    struct pawl_agent *agent = NULL;
    const int error = durable_try_agent(name, credits, resume, &agent);

    cr_assert_eq(error, 0, "pawl_agent_open: %d", error);
    return agent;
}

static inline void durable_take(struct pawl_agent *agent, struct pawl_lease *leases, unsigned count)
{
    cr_assert_eq(pawl_agent_next(agent, leases, count, 0), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_next(agent, leases, count, 0), (int)count);
}

/* The status of its receipt. */
static inline int durable_report(struct pawl_agent *agent, const struct pawl_lease *lease,
                                 enum pawl_report_kind kind)
{
    struct pawl_receipt receipt;

    cr_assert_eq(pawl_agent_report(agent, lease, &(struct pawl_report){.kind = kind}), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    return receipt.status;
}

static inline void durable_close(struct pawl_agent *agent)
{
    int error;

    for (unsigned calls = 1; (error = pawl_agent_close(agent, 0)) != 0; calls++) {
        cr_assert_eq(error, -EAGAIN);
        cr_assert(calls < 20, "it does not come to an end");
        store_run(&s);
    }
}

/* The power goes; whatever the host still holds of the runtime is thrown away. other may be NULL. */
static inline void durable_power_loss(struct pawl_agent *agent, struct pawl_agent *other)
{
    sim_disk_die(s.disk);
    store_stop(&s);
    cr_assert_eq(pawl_agent_close(agent, 0), 0);
    if (other != NULL)
        cr_assert_eq(pawl_agent_close(other, 0), 0);
    store_free(&s);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
    store_open(&s);
}

#endif /* PAWL_TESTS_SUPPORT_AGENT_STORE_FIXTURE_H */
