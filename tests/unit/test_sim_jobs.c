/* What the simulator's model of work calls a violation, and what it lets pass. */
#include <string.h>

#include "sim_jobs.h"
#include "sim_run.h"
#include "support/test.h"

#define MS UINT64_C(1000000)

enum { AGENT = 77, OTHER = 78 };

static struct sim_model model;

static void begin(void)
{
    sim_model_init(&model, 1);
    cr_assert_eq(sim_jobs_create(&model.jobs), 0);
    sim_turn_begin(&model, 0, 100 * MS);
    for (uint64_t i = AGENT; i <= OTHER; i++) {
        struct sim_agent_known *agent = sim_agent_known(model.jobs, i);

        agent->lanes = (1u << SIM_LANES) - 1;
        agent->credits = 4;
    }
}

static void end(void)
{
    sim_jobs_destroy(model.jobs);
    sim_model_fini(&model);
}

static bool is_broken(const char *rule)
{
    return model.failed && strcmp(model.rule, rule) == 0;
}

/* The task as it shall be seen after the turn under way, and the turn's end. */
static void becomes(const struct pawl_work *work, enum pawl_work_state state, uint32_t version)
{
    struct pawl_work seen = *work;
    const struct pawl_view view = {.task = {9},
                                   .machine = SIM_WORK,
                                   .state = state,
                                   .version = version,
                                   .context = &seen,
                                   .context_size = sizeof(seen)};
    struct sim_job before, *job = sim_job_by_id(model.jobs, 9);

    if (job == NULL) {
        sim_jobs_seen(&model, &view);
        job = sim_job_by_id(model.jobs, 9);
        before = (struct sim_job){.uid = job->uid};
    } else {
        before = *job;
        sim_jobs_seen(&model, &view);
    }
    sim_job_changed(&model, &before, job);
    model.jobs->changed_count = 0;
    model.shard[0].turns_count++;
}

static struct pawl_work ready(void)
{
    struct pawl_work work = {.attempts_max = sim_policies[0].attempts};

    work.lane = work.claim.lane = pawl_lane_number(sim_lanes[0].name);
    return work;
}

static void lease(struct pawl_work *work, uint64_t token)
{
    work->claim.token = token;
    work->claim.agent = AGENT;
    work->claim.leases++;
    work->claim.deadline_ns = model.now_ns + sim_lanes[0].lease_ns;
    work->attempts++;
    work->last_report = 0;
}

static struct pawl_work leased(void)
{
    struct pawl_work work = ready();

    becomes(&work, PAWL_WORK_READY, 1);
    lease(&work, 5);
    becomes(&work, PAWL_WORK_LEASED, 2);
    cr_assert(!model.failed, "%s: %s", model.rule, model.text);
    return work;
}

static uint32_t say(uint64_t agent, enum pawl_report_kind kind, uint32_t id)
{
    const struct pawl_lease of = {.task = {9}, .token = 5};

    return sim_report_sent(&model, agent, &of,
                           &(struct pawl_report){.kind = kind, .id = id, .value = 3});
}

static void hear(uint32_t number, uint32_t id, int32_t status)
{
    sim_report_told(
        &model, number,
        &(struct pawl_receipt){.task = {9}, .token = 5, .id = id, .tag = number, .status = status});
}

Test(sim_jobs, a_token_must_grow)
{
    struct pawl_work work;

    begin();
    work = leased();
    model.now_ns += sim_lanes[0].lease_ns;
    work.klass = PAWL_WORK_CLASS_EXPIRED;
    lease(&work, 4);
    becomes(&work, PAWL_WORK_LEASED, 4);
    cr_assert(is_broken("leases"), "%s", model.rule);
    end();
}

Test(sim_jobs, a_lease_ends_by_its_time_and_not_before)
{
    struct pawl_work work;

    begin();
    work = leased();
    model.now_ns += sim_lanes[0].lease_ns;
    work.klass = PAWL_WORK_CLASS_EXPIRED;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(!model.failed, "%s", model.text);
    end();

    begin();
    work = leased();
    model.now_ns += sim_lanes[0].lease_ns - 1;
    work.klass = PAWL_WORK_CLASS_EXPIRED;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(is_broken("leases"));
    end();
}

Test(sim_jobs, a_lease_is_lost_only_with_its_agent)
{
    struct pawl_work work;

    begin();
    work = leased();
    work.klass = PAWL_WORK_CLASS_LOST;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(is_broken("leases"));
    end();

    begin();
    work = leased();
    sim_agent_find(model.jobs, AGENT)->fate = SIM_AGENT_CLOSING;
    work.klass = PAWL_WORK_CLASS_LOST;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(!model.failed, "%s", model.text);
    end();
}

Test(sim_jobs, an_attempt_is_taken_back_by_a_release_alone)
{
    struct pawl_work work;

    begin();
    work = leased();
    work.attempts--;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(is_broken("attempts"));
    end();

    begin();
    work = leased();
    say(AGENT, PAWL_REPORT_RELEASE, 1);
    work.attempts--;
    becomes(&work, PAWL_WORK_READY, 3);
    cr_assert(!model.failed, "%s", model.text);
    end();
}

Test(sim_jobs, nobody_is_dead_with_attempts_left)
{
    struct pawl_work work;

    begin();
    work = leased();
    say(AGENT, PAWL_REPORT_FAILED, 1);
    becomes(&work, PAWL_WORK_DEAD, 3);
    cr_assert(is_broken("attempts"));
    end();
}

Test(sim_jobs, work_is_done_when_its_holder_says_so)
{
    struct pawl_work work;

    begin();
    work = leased();
    work.value = 3;
    say(OTHER, PAWL_REPORT_DONE, 1);
    becomes(&work, PAWL_WORK_COMPLETED, 3);
    cr_assert(is_broken("reports"), "another said so");
    end();

    begin();
    work = leased();
    say(AGENT, PAWL_REPORT_DONE, 1);
    work.value = 3;
    work.last_report = 1;
    becomes(&work, PAWL_WORK_COMPLETED, 3);
    cr_assert(!model.failed, "%s", model.text);
    becomes(&work, PAWL_WORK_READY, 4);
    cr_assert(is_broken("settled"), "and stays so");
    end();
}

Test(sim_jobs, a_report_takes_effect_once)
{
    struct pawl_work work;
    uint32_t first, second;

    begin();
    work = leased();
    first = say(AGENT, PAWL_REPORT_PROGRESS, 1);
    second = say(AGENT, PAWL_REPORT_PROGRESS, 1);
    work.last_report = 1;
    becomes(&work, PAWL_WORK_LEASED, 3);
    hear(first, 1, 0);
    cr_assert(!model.failed, "%s", model.text);
    hear(second, 1, 0);
    cr_assert(is_broken("reports"));
    end();
}

Test(sim_jobs, what_was_acknowledged_is_in_effect)
{
    begin();
    leased();
    hear(say(AGENT, PAWL_REPORT_PROGRESS, 1), 1, 0);
    cr_assert(is_broken("reports"), "the task has not seen it");
    end();
}

Test(sim_jobs, who_has_the_lease_is_not_refused)
{
    begin();
    leased();
    hear(say(OTHER, PAWL_REPORT_PROGRESS, 1), 1, -EPERM);
    cr_assert(!model.failed, "%s", model.text);
    hear(say(AGENT, PAWL_REPORT_PROGRESS, 1), 1, -ESTALE);
    cr_assert(is_broken("reports"));
    end();
}

Test(sim_jobs, a_task_is_not_let_go_too_early)
{
    struct pawl_work work = ready();
    struct sim_job *job;

    begin();
    work.waits = 1;
    becomes(&work, PAWL_WORK_DEPENDENT, 1);
    job = sim_job_by_id(model.jobs, 9);
    job->plan = sim_plan(model.jobs);
    model.jobs->plans[job->plan].after_count = 1;
    model.jobs->plans[job->plan].after[0] = sim_plan(model.jobs);
    work.waits = 0;
    becomes(&work, PAWL_WORK_READY, 2);
    cr_assert(is_broken("after"));
    end();
}

Test(sim_jobs, an_agent_has_no_more_leases_than_it_granted)
{
    begin();
    sim_agent_find(model.jobs, AGENT)->credits = 0;
    {
        struct pawl_work work = ready();

        becomes(&work, PAWL_WORK_READY, 1);
        lease(&work, 5);
        becomes(&work, PAWL_WORK_LEASED, 2);
    }
    cr_assert(is_broken("credits"));
    end();
}

Test(sim_jobs, a_crash_takes_back_what_was_not_durable)
{
    const struct sim_job *job;

    begin();
    leased();
    job = sim_job_by_id(model.jobs, 9);
    cr_assert_eq(job->state, PAWL_WORK_LEASED);
    sim_jobs_go_back(&model, 0, 1); /* the turn in which it was ready */
    cr_assert_eq(job->state, PAWL_WORK_READY);
    cr_assert_eq(job->lease, 0);
    end();
}

Test(sim_run, agents_are_at_work_in_some_seeds)
{
    uint64_t seed = 1;
    struct sim_run_result result;

    while (!sim_run_has_agents(seed))
        seed++;
    cr_assert(seed < 20);
    sim_run(&(struct sim_run_options){.seed = seed, .steps = 800, .memory = true}, &result, NULL);
    cr_assert(!result.failed, "seed %d: %s: %s", (int)seed, result.rule, result.text);
    cr_assert(result.submitted > 0 && result.leases > 0 && result.reports > 0 &&
              result.retries > 0);
    while (sim_run_has_agents(seed))
        seed++;
    sim_run(&(struct sim_run_options){.seed = seed, .steps = 200, .memory = true}, &result, NULL);
    cr_assert_eq(result.leases, 0);
}
