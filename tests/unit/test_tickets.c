/*
 * Tickets are where their tasks are: an order that many operations have been at is that of a sorted list, and what a
 * task leaves behind is nothing.
 */
#include "base/random.h"
#include "support/lanes_fixture.h"

#define ASSIGNEES 100u

static const struct pawl_lane_def lanes[] = {{.name = "work"}, {.name = "other"}};

static void open_work(void)
{
    open_served(lanes, 2, 1, WORK);
}

static uint64_t tickets(void)
{
    return slab_live(&f.runtime->shards[0]->lanes->tickets);
}

Test(tickets, many_assignees_come_and_go)
{
    struct job job = {.claim = {.lane = pawl_lane_number("work")}};
    struct pawl_task tasks[ASSIGNEES];

    open_work();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < ASSIGNEES; i++) {
            job.claim.assignee = 1000 + round * 70 + i;
            tasks[i] = job_make(&f, 0, 0, &job);
        }
        cr_assert_eq(lane_status(&f, "work").ready, ASSIGNEES);
        for (unsigned i = ASSIGNEES; i-- > 0;) {
            struct lane_agent one;

            lane_agent_open(&one, f.runtime, 1000 + round * 70 + i, 1);
            cr_assert_eq(lane_agent_lease(&one, &f).task.id, tasks[i].id);
            fixture_ask(&f, tasks[i], J_DONE, 0, 0);
            lane_agent_close(&one, &f);
        }
    }
    cr_assert_eq(tickets(), 0);
    close_agent();
}

/* A refused task that goes away, moves or is cancelled while it is put aside. */
Test(tickets, what_happens_to_a_task_that_was_put_aside)
{
    const struct job shy = {.claim = {.lane = pawl_lane_number("work")}, .shy = 1};
    struct pawl_task tasks[4];

    open_work();
    for (unsigned i = 0; i < 4; i++)
        tasks[i] = job_make(&f, 0, 0, &shy);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(lane_agent_lease(&agent, &f).status, -EPROTO);
    pawl_task_cancel(f.runtime, tasks[3]);
    fixture_ask(&f, tasks[0], J_WITHDRAW, 0, 0);
    fixture_ask(&f, tasks[1], J_CHANGE, change(3, "other"), 0);
    fixture_jump(&f, 2 * FIXTURE_MS);
    cr_assert_eq(lane_status(&f, "work").ready, 1);
    cr_assert_eq(lane_status(&f, "other").ready, 1);
    cr_assert_eq(lane_agent_lease(&agent, &f).task.id, tasks[2].id);
    cr_assert_eq(tickets(), 3);
    close_agent();
}

/* ---- Against a model ---- */

enum { JOBS = 40, OPS = 1500 };

static struct model {
    struct pawl_task task;
    unsigned state; /* J_IDLE, J_QUEUED, J_RUNNING */
    unsigned lane;
    uint32_t priority;
    uint64_t assignee;
    uint64_t order; /* when it became ready */
} model[JOBS];
static uint64_t model_order;
static struct lane_agent many[4]; /* two in each lane */

static void model_ready(struct model *m)
{
    m->state = J_QUEUED;
    m->order = ++model_order;
}

static struct model *model_best(unsigned lane, uint64_t number)
{
    struct model *best = NULL;

    for (unsigned i = 0; i < JOBS; i++) {
        struct model *m = &model[i];

        if (m->task.id == 0 || m->state != J_QUEUED || m->lane != lane ||
            (m->assignee != 0 && m->assignee != number))
            continue;
        if (best == NULL || m->priority < best->priority ||
            (m->priority == best->priority && m->order < best->order))
            best = m;
    }
    return best;
}

static void model_make(struct model *m, struct random *random)
{
    struct job job = {0};

    m->lane = (unsigned)random_below(random, 2);
    m->priority = (uint32_t)random_below(random, 4);
    m->assignee = random_below(random, 4) == 0 ? 1 + random_below(random, 2) : 0;
    job.claim.lane = pawl_lane_number(lanes[m->lane].name);
    job.claim.priority = m->priority;
    job.claim.assignee = m->assignee;
    m->task = job_make(&f, 0, 0, &job);
    model_ready(m);
}

static void model_change(struct model *m, struct random *random)
{
    m->lane = (unsigned)random_below(random, 2);
    m->priority = (uint32_t)random_below(random, 4);
    m->assignee = random_below(random, 4) == 0 ? 1 + random_below(random, 2) : 0;
    fixture_ask(&f, m->task, J_CHANGE, change(m->priority, lanes[m->lane].name), m->assignee);
}

static void model_hand_out(struct random *random)
{
    struct lane_agent *a = &many[random_below(random, 4)];
    const uint32_t count = (uint32_t)random_below(random, 6);
    struct pawl_completion got;

    lane_agent_grant(a, count);
    fixture_run(&f);
    for (uint32_t i = 0; i < count; i++) {
        struct model *best = model_best(a->agent.lanes == 1 ? 0 : 1, a->agent.number);

        if (best == NULL)
            break;
        cr_assert_eq(lane_agent_reap(a, &got, 1), 1);
        cr_assert_eq(got.task.id, best->task.id);
        best->state = J_RUNNING;
    }
    cr_assert_eq(lane_agent_reap(a, &got, 1), 0);
    a->port->outstanding -= swap_acq_rel(&a->agent.credits, 0);
}

static void model_end(struct model *m, struct random *random)
{
    if (m->state == J_RUNNING && random_below(random, 2) == 0) {
        fixture_ask(&f, m->task, J_DONE, 0, 0);
    } else {
        pawl_task_cancel(f.runtime, m->task);
        fixture_run(&f);
    }
    m->task = PAWL_NO_TASK;
}

static void model_step(struct model *m, struct random *random)
{
    const uint64_t what = random_below(random, 8);

    if (m->task.id == 0) {
        model_make(m, random);
    } else if (what == 0) {
        model_end(m, random);
    } else if (m->state == J_RUNNING) {
        fixture_ask(&f, m->task, J_RELEASE, 0, 0);
        model_ready(m);
    } else if (what <= 3) {
        model_change(m, random);
    } else if (m->state == J_IDLE) {
        fixture_ask(&f, m->task, J_OFFER, 0, 0);
        model_ready(m);
    } else if (what == 4) {
        fixture_ask(&f, m->task, J_WITHDRAW, 0, 0);
        m->state = J_IDLE;
    }
}

static void model_check(void)
{
    uint64_t ready[2] = {0}, leased = 0;

    for (unsigned i = 0; i < JOBS; i++) {
        if (model[i].task.id == 0)
            continue;
        cr_assert_eq(fixture_state(&f, model[i].task), model[i].state);
        ready[model[i].lane] += model[i].state == J_QUEUED;
        leased += model[i].state == J_RUNNING;
    }
    cr_assert_eq(lane_status(&f, "work").ready, ready[0]);
    cr_assert_eq(lane_status(&f, "other").ready, ready[1]);
    cr_assert_eq(lane_status(&f, "work").leased + lane_status(&f, "other").leased, leased);
}

Test(tickets, any_mixture_of_operations_is_handed_out_as_a_sorted_list_would_be)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random random;

        random.state = seed;
        memset(model, 0, sizeof(model));
        fixture_open(&f, &(struct fixture_options){
                             .machines = {&job_machine}, .lanes = lanes, .lane_count = 2});
        for (unsigned i = 0; i < 4; i++)
            lane_agent_open(&many[i], f.runtime, 1 + i % 2, i < 2 ? 1 : 2);
        for (unsigned n = 0; n < OPS; n++) {
            if (random_below(&random, 3) == 0)
                model_hand_out(&random);
            else
                model_step(&model[random_below(&random, JOBS)], &random);
            if (n % 16 == 0)
                model_check();
        }
        for (unsigned i = 0; i < JOBS; i++)
            if (model[i].task.id != 0)
                pawl_task_cancel(f.runtime, model[i].task);
        fixture_run(&f);
        /* One may be in reserve. */
        cr_assert(tickets() <= 1, "seed %u", (unsigned)seed);
        for (unsigned i = 0; i < 4; i++)
            lane_agent_close(&many[i], &f);
        fixture_close(&f);
    }
}
