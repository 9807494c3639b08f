/*
 * agents_fixture.h - for tests: agents and chores (agent_fixture.h) in a host-driven runtime in memory.
 *
 *     agents_open(2, 10 * FIXTURE_SECOND);        f is open: two shards, lanes "work" and "other"
 *     agent = agents_agent("a", 4, 0);            serves "work"; four credits, reports as usual
 *     task = agents_chore(1);                     in lane "work", on shard 1
 *     ...
 *     agents_close(agent);
 *     fixture_close(&f);
 */
#ifndef PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H
#define PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H

#include "support/fixture.h"

#include "support/agent_fixture.h"

static struct fixture f;
static const char *const work_only[] = {"work"};

static struct pawl_lane_def agents_lanes[] = {{.name = "work"}, {.name = "other"}};

static inline void agents_open(unsigned shards, uint64_t lease_ns)
{
    agents_lanes[0].lease_ns = agents_lanes[1].lease_ns = lease_ns;
    fixture_open(&f, &(struct fixture_options){.machines = {&chore_machine},
                                               .shards = shards,
                                               .lanes = agents_lanes,
                                               .lane_count = 2});
}

/* reports: 0 as usual. */
static inline struct pawl_agent *agents_agent(const char *name, uint32_t credits, uint32_t reports)
{
    const struct pawl_agent_options options = {
        .name = name, .lanes = work_only, .lanes_count = 1, .credits = credits, .reports = reports};
    struct pawl_agent *agent = NULL;

    cr_assert_eq(pawl_agent_open(f.runtime, &options, &agent), 0);
    return agent;
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
    return chore_create(f.runtime, shard,
                        &(struct chore){.claim = {.lane = pawl_lane_number("work")}});
}

#endif /* PAWL_TESTS_SUPPORT_AGENTS_FIXTURE_H */
