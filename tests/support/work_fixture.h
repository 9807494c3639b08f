/*
 * work_fixture.h - for tests: a host-driven runtime with the work machine, its lanes and policies, and
 * agents that do as they are told.
 *
 *     struct work_fixture w;
 *
 *     work_open(&w, &(struct work_fixture_options){.policies = {{.attempts = 2}}});
 *     task = work_submit(&w, NULL);                       in lane "work", policy 0
 *     work_agent(&w, &agent, "a", "work", 4);
 *     lease = work_lease(&w, agent);
 *     cr_assert_eq(work_report(&w, agent, &lease, PAWL_REPORT_DONE, 0), 0);
 *     cr_assert_eq(work_state(&w, task), PAWL_WORK_COMPLETED);
 *     work_close(&w);
 */
#ifndef PAWL_TESTS_SUPPORT_WORK_FIXTURE_H
#define PAWL_TESTS_SUPPORT_WORK_FIXTURE_H

#include <pawl/work.h>

#include "agent/work_machine.h"
#include "shard/runtime.h"
#include "support/fixture.h"

#define WORK_POLICIES 8u

/* Behind the host's own machines, which are the puppet. */
enum { WORK_FIRST = 1 };

struct work_fixture_options {
    struct pawl_work_policy policies[WORK_POLICIES];
    unsigned shards;
    uint64_t tasks_max;
    uint32_t inflight_max;
    const struct pawl_lane_def *lanes; /* NULL: work and verify */
    unsigned lane_count;
};

struct work_fixture {
    struct fixture f;
    struct pawl_work_policy policies[WORK_POLICIES];
    struct pawl_work_options options;
};

static const struct pawl_lane_def work_lanes[] = {{.name = "work"}, {.name = "verify"}};

/* The fixture lists the machines itself, so that a store's fixture can do it in the same way. */
static inline void work_machines(const struct pawl_machine_def **machines)
{
    machines[0] = &puppet_machine;
    machines[WORK_FIRST] = &pawl__work_machine;
    for (unsigned i = 0; i < NOTE_MACHINES; i++)
        machines[WORK_FIRST + 1 + i] = &pawl__note_machines[i];
}

static inline void work_open(struct work_fixture *w, const struct work_fixture_options *given)
{
    static const struct work_fixture_options none;
    struct fixture_options options = {.lanes = work_lanes, .lane_count = 2};

    given = given != NULL ? given : &none;
    if (given->lanes != NULL) {
        options.lanes = given->lanes;
        options.lane_count = given->lane_count;
    }
    options.shards = given->shards;
    options.tasks_max = given->tasks_max;
    options.inflight_max = given->inflight_max;
    work_machines(options.machines);
    memcpy(w->policies, given->policies, sizeof(w->policies));
    w->options =
        (struct pawl_work_options){.policies = w->policies, .policies_count = WORK_POLICIES};
    fixture_open(&w->f, &options);
    w->f.runtime->work = &w->options;
    w->f.runtime->work_first = WORK_FIRST;
}

static inline void work_close(struct work_fixture *w)
{
    fixture_close(&w->f);
}

/* Without the fixture: two shards on threads of their own, started; options: what is more. */
static inline struct pawl_runtime *work_start(struct pawl_options options)
{
    static const struct pawl_work_options usual;
    struct pawl_runtime *runtime = NULL;

    options.shards = 2;
    options.no_pin = 1;
    options.no_huge_pages = 1;
    options.lanes = work_lanes;
    options.lane_count = 2;
    options.work = &usual;
    cr_assert_eq(pawl_open(&options, &runtime), 0);
    cr_assert_eq(pawl_start(runtime), 0);
    return runtime;
}

/* ---- tasks --------------------------------------------------------------------------------------- */

/* A spec for lane "work", to be changed at will. */
static inline struct pawl_work_spec work_spec(void)
{
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;

    spec.lane = "work";
    return spec;
}

/* Submits, runs, and returns the completion. */
static inline struct pawl_completion work_try_submit(struct work_fixture *w,
                                                     const struct pawl_work_spec *spec)
{
    const int error = pawl_work_submit(w->f.port, spec, 7);

    cr_assert_eq(error, 0, "pawl_work_submit: %d", error);
    fixture_run(&w->f);
    return fixture_reap(&w->f);
}

static inline struct pawl_task work_submit(struct work_fixture *w,
                                           const struct pawl_work_spec *given)
{
    const struct pawl_work_spec usual = work_spec();
    const struct pawl_completion done = work_try_submit(w, given != NULL ? given : &usual);

    cr_assert_eq(done.status, 0, "status %d", done.status);
    return done.task;
}

static inline struct pawl_work_view work_view(struct work_fixture *w, struct pawl_task task)
{
    struct pawl_work_view view;

    cr_assert_eq(pawl_work_read(w->f.runtime, task, &view), 0);
    return view;
}

static inline enum pawl_work_state work_state(struct work_fixture *w, struct pawl_task task)
{
    return work_view(w, task).state;
}

static inline bool work_is_gone(struct work_fixture *w, struct pawl_task task)
{
    struct pawl_work_view view;

    return pawl_work_read(w->f.runtime, task, &view) == -ESTALE;
}

/* Of a call that was accepted: what came of it. */
static inline struct pawl_completion work_done(struct work_fixture *w, int accepted)
{
    cr_assert_eq(accepted, 0, "refused: %d", accepted);
    fixture_run(&w->f);
    return fixture_reap(&w->f);
}

static inline void work_cancel(struct work_fixture *w, struct pawl_task task, bool tree)
{
    cr_assert_eq(work_done(w, pawl_work_cancel(w->f.port, task, tree, 1)).status, 0);
}

static inline struct pawl_task work_submit_child(struct work_fixture *w, struct pawl_task parent)
{
    struct pawl_work_spec spec = work_spec();

    spec.parent = parent;
    return work_submit(w, &spec);
}

/* Held; it completes when it is opened. */
static inline struct pawl_task work_submit_group(struct work_fixture *w)
{
    struct pawl_work_spec spec = work_spec();

    spec.flags = PAWL_WORK_GROUP | PAWL_WORK_HELD;
    return work_submit(w, &spec);
}

static inline void work_complete_group(struct work_fixture *w, struct pawl_task task)
{
    cr_assert_eq(work_done(w, pawl_work_open(w->f.port, task, 1)).state, PAWL_WORK_COMPLETED);
}

static inline uint64_t work_live(struct work_fixture *w)
{
    uint64_t live = 0;

    for (unsigned i = 0; i < w->f.shards; i++) {
        struct pawl_counters counters;

        cr_assert_eq(pawl_shard_counters(w->f.runtime, i, &counters), 0);
        live += counters.created - counters.ended;
    }
    return live;
}

/* ---- agents -------------------------------------------------------------------------------------- */

static inline struct pawl_agent *work_agent(struct work_fixture *w, const char *name,
                                            const char *lane, uint32_t credits)
{
    const struct pawl_agent_options options = {
        .name = name, .lanes = &lane, .lanes_count = 1, .credits = credits};
    struct pawl_agent *agent;
    const int error = pawl_agent_open(w->f.runtime, &options, &agent);

    cr_assert_eq(error, 0, "pawl_agent_open: %d", error);
    return agent;
}

/* Up to capacity leases. */
static inline int work_take(struct work_fixture *w, struct pawl_agent *agent,
                            struct pawl_lease *leases, unsigned capacity)
{
    int count = pawl_agent_next(agent, leases, capacity, 0); /* grants */
    int more;

    cr_assert(count >= 0);
    fixture_run(&w->f);
    more = pawl_agent_next(agent, leases + count, capacity - (unsigned)count, 0);
    cr_assert(more >= 0);
    return count + more;
}

static inline struct pawl_lease work_lease(struct work_fixture *w, struct pawl_agent *agent)
{
    struct pawl_lease lease;

    cr_assert_eq(work_take(w, agent, &lease, 1), 1, "no lease");
    return lease;
}

static inline struct pawl_receipt work_receipt(struct work_fixture *w, struct pawl_agent *agent,
                                               const struct pawl_lease *lease,
                                               const struct pawl_report *report)
{
    struct pawl_receipt receipt;
    const int error = pawl_agent_report(agent, lease, report);

    cr_assert_eq(error, 0, "pawl_agent_report: %d", error);
    fixture_run(&w->f);
    cr_assert_eq(pawl_agent_settle(agent, 0), 0);
    cr_assert_eq(pawl_agent_receipts(agent, &receipt, 1), 1);
    return receipt;
}

/* The status of its receipt. */
static inline int work_report(struct work_fixture *w, struct pawl_agent *agent,
                              const struct pawl_lease *lease, enum pawl_report_kind kind,
                              uint8_t klass)
{
    return work_receipt(w, agent, lease, &(struct pawl_report){.kind = kind, .klass = klass})
        .status;
}

/* It ends, and with it what it has. */
static inline void work_agent_end(struct work_fixture *w, struct pawl_agent *agent)
{
    int error;

    for (unsigned tries = 0; (error = pawl_agent_close(agent, 0)) == -EAGAIN; tries++) {
        cr_assert(tries < 1000);
        fixture_run(&w->f);
    }
    cr_assert_eq(error, 0);
    fixture_run(&w->f);
}

#endif /* PAWL_TESTS_SUPPORT_WORK_FIXTURE_H */
