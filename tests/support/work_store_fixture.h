/*
 * work_store_fixture.h - for tests: the work machine on a simulated disk, sync durable, with crashes.
 *
 *     stored_init();                        an empty store, opened, two shards
 *     task = stored_submit(&spec);          returns when it is durable
 *     agent = stored_agent(0);  lease = stored_lease(agent);  stored_report(agent, &lease, &report)
 *     stored_crash(agent);                  the process dies, the power too; opened again
 *     stored_end(agent);
 */
#ifndef PAWL_TESTS_SUPPORT_WORK_STORE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_WORK_STORE_FIXTURE_H

#include "support/store_fixture.h"
#include "support/work_fixture.h"

static struct store_fixture s;
static struct pawl_machine_def durable_machines[FIXTURE_MACHINES];
static const struct pawl_work_policy stored_policies[] = {{.attempts = 3}};
static const struct pawl_work_options stored = {FIXTURE_TABLE(policies, stored_policies),
                                                .durability = PAWL_DURABILITY_SYNC};

static inline void stored_open(void)
{
    store_open(&s);
    s.f.runtime->work = &stored;
    s.f.runtime->work_first = WORK_FIRST;
}

static inline void stored_init(void)
{
    struct store_fixture_options options = {.lanes = work_lanes, .lane_count = 2, .shards = 2};

    work_machines(options.machines);
    for (unsigned i = WORK_FIRST; i < WORK_FIRST + PAWL_WORK_MACHINES; i++) {
        durable_machines[i] = *options.machines[i];
        durable_machines[i].durability = PAWL_DURABILITY_SYNC;
        options.machines[i] = &durable_machines[i];
    }
    store_init(&s, &options);
    stored_open();
    cr_assert(store_settle(&s));
}

/* The process dies, the power too; its agent, if any, dies with it. */
static inline void stored_crash(struct pawl_agent *agent)
{
    sim_disk_die(s.disk);
    store_stop(&s);
    if (agent != NULL)
        cr_assert_eq(pawl_agent_close(agent, 0), 0);
    store_free(&s);
    sim_disk_crash(s.disk, SIM_CRASH_POWER);
    sim_disk_reopen(s.disk);
    stored_open();
    cr_assert(store_settle(&s));
}

static inline struct pawl_completion stored_done(int accepted)
{
    cr_assert_eq(accepted, 0);
    store_run(&s);
    return fixture_reap(&s.f);
}

static inline struct pawl_task stored_submit(const struct pawl_work_spec *spec)
{
    const struct pawl_completion done = stored_done(pawl_work_submit(s.f.port, spec, 1));

    cr_assert_eq(done.status, 0, "status %d", done.status);
    return done.task;
}

static inline struct pawl_work_view stored_view(struct pawl_task task)
{
    struct pawl_work_view view;

    cr_assert_eq(pawl_work_read(s.f.runtime, task, &view), 0);
    return view;
}

static inline struct pawl_agent *stored_agent(uint64_t resume)
{
    static const char *const lane = "work";
    const struct pawl_agent_options options = {
        .name = "a", .lanes = &lane, .lanes_count = 1, .credits = 1, .resume = resume};
    struct pawl_agent *agent;
    const int error = pawl_agent_open(s.f.runtime, &options, &agent);

    cr_assert_eq(error, 0, "pawl_agent_open: %d", error);
    return agent;
}

static inline struct pawl_lease stored_lease(struct pawl_agent *agent)
{
    struct pawl_lease lease;

    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_next(agent, &lease, 1, 0), 1);
    return lease;
}

static inline struct pawl_receipt stored_report(struct pawl_agent *agent,
                                                const struct pawl_lease *lease,
                                                const struct pawl_report *report)
{
    struct pawl_receipt receipt;

    cr_assert_eq(pawl_agent_report(agent, lease, report), 0);
    store_run(&s);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    return receipt;
}

static inline void stored_end(struct pawl_agent *agent)
{
    store_stop(&s);
    if (agent != NULL)
        cr_assert_eq(pawl_agent_close(agent, 0), 0);
    store_free(&s);
    store_fini(&s);
}

#endif /* PAWL_TESTS_SUPPORT_WORK_STORE_FIXTURE_H */
