/*
 * lanes_fixture.h - for tests of what agents are handed: a runtime with lanes, an agent, and what it
 * got.
 */
#ifndef PAWL_TESTS_SUPPORT_LANES_FIXTURE_H
#define PAWL_TESTS_SUPPORT_LANES_FIXTURE_H

#include "shard/lanes.h"
#include "support/lane_fixture.h"

#define SECOND FIXTURE_SECOND
#define MS     FIXTURE_MS
#define WORK   1u
#define OTHER  2u
#define THIRD  4u

static struct fixture f;
static struct lane_agent agent;
static const struct pawl_lane_def three[] = {
    {.name = "work"}, {.name = "other"}, {.name = "third"}};

static inline void open_shards(const struct pawl_lane_def *lanes, unsigned count, unsigned shards)
{
    fixture_open(
        &f, &(struct fixture_options){
                .machines = {&job_machine}, .shards = shards, .lanes = lanes, .lane_count = count});
}

/* And opens the agent, which serves those lanes: WORK, OTHER ... */
static inline void open_served(const struct pawl_lane_def *lanes, unsigned count, unsigned shards,
                               uint64_t serves)
{
    open_shards(lanes, count, shards);
    lane_agent_open(&agent, f.runtime, 7, serves);
}

static inline void open_three(void)
{
    open_served(three, 3, 1, WORK);
}

static inline void close_agent(void)
{
    lane_agent_close(&agent, &f);
    fixture_close(&f);
}

static inline uint64_t change(uint32_t priority, const char *lane)
{
    return (uint64_t)priority << 32 | (lane != NULL ? pawl_lane_number(lane) : 0);
}

/* The next lease is of this task. */
static inline void expect(struct lane_agent *a, struct pawl_task task)
{
    const struct pawl_completion got = lane_agent_lease(a, &f);

    cr_assert_eq(got.status, 0);
    cr_assert_eq(got.task.id, task.id);
}

/* What comes when the shards have turned; the number of it. */
static inline unsigned came(struct lane_agent *a, struct pawl_completion *got, unsigned capacity)
{
    fixture_run(&f);
    return lane_agent_reap(a, got, capacity);
}

static inline bool gets_nothing(struct lane_agent *a)
{
    struct pawl_completion got;

    return came(a, &got, 1) == 0;
}

/* On the first shards in turn. */
static inline void fill(const char *lane, unsigned count, unsigned shards)
{
    for (unsigned i = 0; i < count; i++)
        job_create(&f, i % shards, lane, 1);
}

#endif /* PAWL_TESTS_SUPPORT_LANES_FIXTURE_H */
