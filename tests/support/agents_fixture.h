/*
 * agents_fixture.h - for tests: agents and chores (agent_fixture.h) in a host-driven runtime in memory.
 *
 *     agents_open(2, 10 * FIXTURE_SECOND);        f is open: two shards, lanes "work" and "other"
 *     agent = agents_agent("a", 4, 0);            serves "work"; four credits, reports as usual
 *     task = agents_chore(1);                     in lane "work", on shard 1
 *     lease = agents_lease(agent);
 *     status = agents_told(agent, &lease, &(struct pawl_report){.kind = PAWL_REPORT_DONE});
 *     ...
 *     agents_close(agent);
 *     fixture_close(&f);
 *
 * agents_start is a runtime with threads instead, for what really waits; f has no part in it.
 */
#ifndef PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H
#define PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H

#include "support/fixture.h"

#include "support/agent_fixture.h"

static struct fixture f;
static struct pawl_lane_def agents_lanes[] = {{.name = "work"}, {.name = "other"}};

static inline void agents_lease_for(uint64_t lease_ns)
{
    agents_lanes[0].lease_ns = agents_lanes[1].lease_ns = lease_ns;
}

/* options: all but the lanes; no machine is the chore. */
static inline void agents_open_with(struct fixture_options options, uint64_t lease_ns)
{
    agents_lease_for(lease_ns);
    options.lanes = agents_lanes;
    options.lane_count = 2;
    if (options.machines[0] == NULL)
        options.machines[0] = &chore_machine;
    fixture_open(&f, &options);
}

static inline void agents_open(unsigned shards, uint64_t lease_ns)
{
    agents_open_with((struct fixture_options){.shards = shards}, lease_ns);
}

/* Two shards on threads of their own, which go to sleep at once. To be closed by chores_close. */
static inline struct pawl_runtime *agents_start(uint64_t lease_ns)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_runtime *runtime;

    agents_lease_for(lease_ns);
    options.lanes = agents_lanes;
    options.lane_count = 2;
    options.shards = 2;
    options.no_pin = 1;
    options.spin_ns = 1;
    runtime = chores_open(options);
    cr_assert_eq(pawl_start(runtime), 0);
    return runtime;
}

/* reports: 0 as usual. */
static inline struct pawl_agent *agents_agent(const char *name, uint32_t credits, uint32_t reports)
{
    return chore_agent(f.runtime, (struct pawl_agent_options){
                                      .name = name, .credits = credits, .reports = reports});
}

/* Returns how many calls it took. */
static inline unsigned agents_close(struct pawl_agent *agent)
{
    unsigned calls = 1;
    int error;

    for (; (error = pawl_agent_close(agent, 0)) != 0; calls++) {
        cr_assert_eq(error, -EAGAIN);
        cr_assert(calls < 20, "it does not come to an end");
        fixture_run(&f);
    }
    return calls;
}

static inline struct pawl_task agents_chore(unsigned shard)
{
    return chore_make(f.runtime, shard);
}

/* Of an agent to which none has come yet: so many, when the shards have turned. */
static inline void agents_take(struct pawl_agent *agent, struct pawl_lease *leases, unsigned count)
{
    cr_assert_eq(pawl_agent_next(agent, leases, count, 0), 0);
    fixture_run(&f);
    cr_assert_eq(pawl_agent_next(agent, leases, count, 0), (int)count);
}

static inline struct pawl_lease agents_lease(struct pawl_agent *agent)
{
    struct pawl_lease lease = {.token = 0};

    agents_take(agent, &lease, 1);
    return lease;
}

/* The one receipt that is there, or comes when the shards turn. */
static inline struct pawl_receipt agents_receipt(struct pawl_agent *agent)
{
    struct pawl_receipt receipt[2];

    memset(receipt, 0xff, sizeof(receipt));
    fixture_run(&f);
    cr_assert_eq(pawl_agent_receipts(agent, receipt, 2), 1);
    return receipt[0];
}

/* Reports, and says what became of it. */
static inline int agents_told(struct pawl_agent *agent, const struct pawl_lease *lease,
                              const struct pawl_report *given)
{
    cr_assert_eq(pawl_agent_report(agent, lease, given), 0);
    return agents_receipt(agent).status;
}

#endif /* PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H */
