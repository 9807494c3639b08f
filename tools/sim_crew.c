#include "sim_crew.h"

#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "shard/agents.h"
#include "sim_world.h"

#define MS UINT64_C(1000000)

static const char *const names[SIM_AGENTS] = {"a0", "a1", "a2", "a3", "a4"};

static uint64_t dice(struct sim_world *world, uint64_t sides)
{
    return random_below(&world->random, sides);
}

static struct sim_agent_known *known(struct sim_world *world, const struct sim_member *member)
{
    return sim_agent_known(world->model.jobs, member->incarnation);
}

/* Every call on an agent is a sign of life. Afterwards each of its credits is at one place. */
static void beat(struct sim_world *world, const struct sim_member *member)
{
    const struct pawl_agent *agent = member->agent;

    known(world, member)->beat_ns = sim_world_now(world);
    if (agent->free + agent_offered(agent) + agent->arrived_count + agent->hand.count !=
        agent->credits)
        sim_fail(&world->model, "credits",
                 "agent %s had %" PRIu32 " credits: %" PRIu32 " are free, %" PRIu32
                 " offered, %" PRIu32 " have arrived, %" PRIu32 " are in hand",
                 names[member - world->crew.members], agent->credits, agent->free,
                 agent_offered(agent), agent->arrived_count, agent->hand.count);
}

/* ---- beginning and end ---- */

static void open_member(struct sim_world *world, struct sim_member *member, bool serves_all)
{
    const char *lanes[SIM_LANES];
    struct pawl_agent_options options = {
        .name = names[member - world->crew.members], .lanes = lanes, .reports = 12};
    struct sim_agent_known *of;
    int error;

    member->lanes = serves_all ? (1u << SIM_LANES) - 1 : 1 + (uint32_t)dice(world, 7);
    for (unsigned i = 0; i < SIM_LANES; i++)
        if ((member->lanes >> i & 1) != 0)
            lanes[options.lanes_count++] = sim_lanes[i].name;
    member->credits = 1 + (uint32_t)dice(world, 5);
    options.credits = member->credits;
    if (!serves_all && dice(world, 3) == 0)
        options.heartbeat_ns = (3 + dice(world, 20)) * MS;
    if (member->may_resume && (serves_all || dice(world, 2) == 0))
        options.resume = member->incarnation;
    else
        member->may_resume = false;
    error = pawl_agent_open(world->runtime, &options, &member->agent);
    if (error != 0) {
        sim_fail(&world->model, "open", "an agent does not open: %s", pawl_strerror(error));
        member->agent = NULL;
        return;
    }
    member->incarnation = pawl_agent_incarnation(member->agent);
    if (!member->may_resume)
        for (uint32_t i = 0; i < member->holds_count; i++)
            member->holds[i].over = true; /* another's, by now */
    of = known(world, member);
    of->number = pawl_agent_number(options.name);
    of->heartbeat_ns = options.heartbeat_ns;
    of->lanes = member->lanes;
    of->credits = member->credits;
    of->fate = SIM_AGENT_OPEN;
    of->resumed = member->may_resume;
    member->may_resume = false;
    member->closing = false;
    member->silent_until_ns = 0;
    beat(world, member);
}

/* What it has never seen goes back as if nothing had been. */
static void begin_closing(struct sim_world *world, struct sim_member *member)
{
    struct sim_jobs *jobs = world->model.jobs;

    member->closing = true;
    known(world, member)->fate = SIM_AGENT_CLOSING;
    for (uint32_t i = 1; i < jobs->leases_count; i++)
        if (jobs->leases[i].agent == member->incarnation && !jobs->leases[i].seen)
            jobs->leases[i].returned = true;
    for (uint32_t i = 0; i < member->holds_count; i++)
        member->holds[i].over = true;
}

static void close_member(struct sim_world *world, struct sim_member *member)
{
    int error;

    if (!member->closing)
        begin_closing(world, member);
    error = pawl_agent_close(member->agent, 0);
    if (error == -EAGAIN)
        return;
    member->agent = NULL;
    known(world, member)->fate = SIM_AGENT_CLOSED;
    known(world, member)->closed_ns = sim_world_now(world);
    if (error != 0)
        sim_fail(&world->model, "close", "an agent does not close: %s", pawl_strerror(error));
}

void sim_crew_open(struct sim_world *world)
{
    const struct pawl_port_options options = {.capacity = 64, .completions = 64};

    memset(world->crew.requests, 0, sizeof(world->crew.requests));
    if (pawl_port_open(world->runtime, &options, &world->crew.port) != 0)
        sim_fail(&world->model, "open", "a port does not open");
}

void sim_crew_drop(struct sim_world *world)
{
    for (unsigned i = 0; i < SIM_AGENTS; i++) {
        struct sim_member *member = &world->crew.members[i];

        if (member->agent == NULL)
            continue;
        if (pawl_agent_close(member->agent, 0) != 0)
            sim_fail(&world->model, "close", "an agent of a runtime that was stopped stays");
        member->may_resume = !member->closing && dice(world, 2) == 0;
        member->agent = NULL;
        member->last.any = member->last.any && member->may_resume;
    }
    for (uint32_t i = 0; i < SIM_REQUESTS; i++)
        if (world->crew.requests[i].kind == SIM_REQUEST_AFTER) {
            struct sim_plan *plan = &world->model.jobs->plans[world->crew.requests[i].plan];

            plan->after_count--;
            plan->vague = true;
        }
    if (world->crew.port != NULL)
        pawl_port_close(world->crew.port, 0);
    world->crew.port = NULL;
}

/* ---- leases ---- */

static void remember(struct sim_member *member, const struct pawl_lease *lease)
{
    uint32_t at = member->holds_count;

    if (at == SIM_HOLDS) {
        at = 0;
        while (at < SIM_HOLDS - 1 && !member->holds[at].over)
            at++;
        memmove(&member->holds[at], &member->holds[at + 1],
                (SIM_HOLDS - 1 - at) * sizeof(member->holds[0]));
        at = SIM_HOLDS - 1;
    } else {
        member->holds_count++;
    }
    member->holds[at] = (struct sim_hold){.lease = *lease, .next_id = 1};
}

static void take(struct sim_world *world, struct sim_member *member, unsigned capacity)
{
    struct pawl_lease leases[8];
    const int count = pawl_agent_next(member->agent, leases, capacity, 0);

    if (count < 0 && !world->dead)
        sim_fail(&world->model, "leases", "an agent gets no leases: %s", pawl_strerror(count));
    for (int i = 0; i < count; i++) {
        sim_lease_came(&world->model, member->incarnation, &leases[i]);
        remember(member, &leases[i]);
    }
    beat(world, member);
}

/* ---- reports ---- */

static void receive(struct sim_world *world, struct sim_member *member)
{
    struct pawl_receipt receipts[8];
    int count;

    do {
        count = pawl_agent_receipts(member->agent, receipts, ARRAY_LEN(receipts));
        for (int i = 0; i < count; i++)
            sim_report_told(&world->model, receipts[i].tag, &receipts[i]);
    } while (count == (int)ARRAY_LEN(receipts));
    beat(world, member);
}

static void send(struct sim_world *world, struct sim_member *member, const struct pawl_lease *lease,
                 struct pawl_report *report)
{
    uint8_t bytes[SIM_EVIDENCE];
    int error;

    sim_report_bytes(report->value, bytes);
    report->bytes = report->size > 0 ? bytes : NULL;
    report->tag = world->model.jobs->reports_count;
    error = pawl_agent_report(member->agent, lease, report);
    if (error == 0) {
        sim_report_sent(&world->model, member->incarnation, lease, report);
        member->last.lease = *lease;
        member->last.report = *report;
        member->last.report.bytes = NULL; /* made anew from its value */
        member->last.any = true;
    } else if (error != -EAGAIN && !world->dead) {
        sim_fail(&world->model, "reports", "a report cannot be sent: %s", pawl_strerror(error));
    }
    report->bytes = NULL;
    beat(world, member);
}

static enum pawl_report_kind some_kind(struct sim_world *world, bool verifies)
{
    static const uint8_t working[] = {PAWL_REPORT_DONE,   PAWL_REPORT_DONE,     PAWL_REPORT_DONE,
                                      PAWL_REPORT_FAILED, PAWL_REPORT_FAILED,   PAWL_REPORT_RELEASE,
                                      PAWL_REPORT_EXTEND, PAWL_REPORT_PROGRESS, PAWL_REPORT_NOTE,
                                      PAWL_REPORT_NOTE,   PAWL_REPORT_PROGRESS, PAWL_REPORT_ACCEPT};
    static const uint8_t verifying[] = {PAWL_REPORT_ACCEPT, PAWL_REPORT_ACCEPT, PAWL_REPORT_REJECT,
                                        PAWL_REPORT_REJECT, PAWL_REPORT_FAILED, PAWL_REPORT_RELEASE,
                                        PAWL_REPORT_NOTE,   PAWL_REPORT_EXTEND, PAWL_REPORT_DONE};

    return verifies ? (enum pawl_report_kind)verifying[dice(world, ARRAY_LEN(verifying))]
                    : (enum pawl_report_kind)working[dice(world, ARRAY_LEN(working))];
}

static bool ends_a_lease(enum pawl_report_kind kind)
{
    return kind == PAWL_REPORT_DONE || kind == PAWL_REPORT_FAILED || kind == PAWL_REPORT_RELEASE ||
           kind == PAWL_REPORT_ACCEPT || kind == PAWL_REPORT_REJECT;
}

/* The report's number is in its value, so that its evidence can be told. */
static void speak(struct sim_world *world, struct sim_member *member, struct sim_hold *hold,
                  enum pawl_report_kind kind, uint64_t rest)
{
    struct pawl_report report = {
        .kind = kind,
        .klass = (uint8_t)dice(world, 4),
        .id = hold->next_id++,
        .value = (uint64_t)world->model.jobs->reports_count * SIM_VERDICT_BAD + rest};

    if (kind == PAWL_REPORT_NOTE || (kind != PAWL_REPORT_EXTEND && dice(world, 4) == 0))
        report.size = 1 + (size_t)dice(world, SIM_EVIDENCE);
    if (kind == PAWL_REPORT_EXTEND)
        report.value = dice(world, 30) * MS;
    if (ends_a_lease(kind))
        hold->over = true;
    send(world, member, &hold->lease, &report);
}

static struct sim_hold *some_hold(struct sim_world *world, struct sim_member *member, bool over)
{
    const uint32_t first = member->holds_count > 0 ? (uint32_t)dice(world, member->holds_count) : 0;

    for (uint32_t i = 0; i < member->holds_count; i++) {
        struct sim_hold *hold = &member->holds[(first + i) % member->holds_count];

        if (hold->over == over)
            return hold;
    }
    return NULL;
}

static void repeat(struct sim_world *world, struct sim_member *member)
{
    struct pawl_report again = member->last.report;

    send(world, member, &member->last.lease, &again);
}

static void report(struct sim_world *world, struct sim_member *member)
{
    const uint64_t how = dice(world, 20);
    struct sim_hold *hold = some_hold(world, member, how == 0);

    receive(world, member);
    if (how < 2 && member->last.any) {
        repeat(world, member);
    } else if (how == 2) { /* what another one has */
        struct sim_member *other = &world->crew.members[dice(world, SIM_AGENTS)];

        hold = some_hold(world, other, false);
        if (hold != NULL && other != member) {
            struct sim_hold stolen = *hold;

            stolen.next_id += 1000000;
            speak(world, member, &stolen, some_kind(world, false), 1);
        }
    } else if (hold != NULL) {
        speak(world, member, hold, some_kind(world, hold->lease.state == PAWL_WORK_CHECKED),
              dice(world, 5));
        if (member->last.any && dice(world, 6) == 0) /* at once, and once more */
            repeat(world, member);
    }
}

/* ---- what they do ---- */

static void act_open(struct sim_world *world, struct sim_member *member)
{
    const uint64_t what = dice(world, 100);

    if (what < 38)
        take(world, member, (unsigned)dice(world, 5));
    else if (what < 84)
        report(world, member);
    else if (what < 94)
        receive(world, member);
    else if (what < 97)
        member->silent_until_ns = sim_world_now(world) + dice(world, 40) * MS;
    else if (what < 99)
        close_member(world, member);
    else
        pawl_agent_beat(member->agent), beat(world, member);
}

static void act(struct sim_world *world)
{
    struct sim_member *member = &world->crew.members[dice(world, SIM_AGENTS)];

    if (member->agent == NULL)
        open_member(world, member, dice(world, 3) == 0);
    else if (member->closing)
        close_member(world, member);
    else if (sim_world_now(world) >= member->silent_until_ns)
        act_open(world, member);
}

static bool turn_all(struct sim_world *world)
{
    for (unsigned s = 0; s < world->options.shards; s++) {
        sim_world_turn(world, s);
        if (world->dead || world->model.failed || world->failed_count > 0)
            return false;
    }
    return true;
}

/* What they do takes many turns to get anywhere: now and then all shards have one. */
void sim_crew_act(struct sim_world *world)
{
    for (uint64_t acts = 1 + dice(world, 6); acts > 0 && !world->model.failed; acts--)
        act(world);
    if (dice(world, 3) == 0 && turn_all(world))
        sim_world_pass(world, dice(world, 400000));
}

static bool turn_and_pass(struct sim_world *world, uint64_t ns)
{
    if (!turn_all(world))
        return false;
    if (world->options.store)
        sim_world_sync(world);
    sim_world_pass(world, ns);
    return true;
}

bool sim_crew_close(struct sim_world *world)
{
    for (unsigned rounds = 0; rounds < 2000; rounds++) {
        bool open = false;

        for (unsigned i = 0; i < SIM_AGENTS; i++) {
            struct sim_member *member = &world->crew.members[i];

            if (member->agent != NULL)
                close_member(world, member);
            open |= member->agent != NULL;
        }
        if (!open)
            return true;
        if (!turn_and_pass(world, MS / 4))
            return false;
    }
    sim_fail(&world->model, "settle", "an agent does not come to its end");
    return false;
}

/* ---- the end of a run ---- */

static void work_on(struct sim_world *world, struct sim_member *member)
{
    receive(world, member);
    take(world, member, 8);
    for (uint32_t i = 0; i < member->holds_count; i++) {
        struct sim_hold *hold = &member->holds[i];

        if (!hold->over && member->agent->sent_count < 8)
            speak(world, member, hold,
                  hold->lease.state == PAWL_WORK_CHECKED ? PAWL_REPORT_ACCEPT : PAWL_REPORT_DONE,
                  1);
    }
}

static const struct sim_job *unsettled(const struct sim_jobs *jobs)
{
    for (uint32_t i = jobs->first; i < jobs->jobs_count; i++)
        if (jobs->jobs[i].alive && sim_job_is_work(&jobs->jobs[i]) &&
            !sim_job_is_settled(&jobs->jobs[i]))
            return &jobs->jobs[i];
    return NULL;
}

/* So many rounds; those that are open work, and others come, or not. */
static bool work_all(struct sim_world *world, unsigned rounds, bool others)
{
    for (unsigned i = 0; i < rounds && unsettled(world->model.jobs) != NULL; i++) {
        for (unsigned k = 0; k < SIM_AGENTS; k++) {
            struct sim_member *member = &world->crew.members[k];

            if (member->agent != NULL && member->closing)
                close_member(world, member);
            else if (member->agent != NULL)
                work_on(world, member);
            else if (others)
                open_member(world, member, true);
        }
        sim_requests_reap(world);
        sim_requests_open_all(world);
        if (!turn_and_pass(world, i % 16 == 15 ? 10 * MS : MS))
            return false;
    }
    return true;
}

bool sim_crew_finish(struct sim_world *world)
{
    struct sim_model *model = &world->model;
    const struct sim_job *left;

    world->hands.calm = true;
    for (unsigned i = 0; i < SIM_LANES; i++) {
        model->jobs->paused[i] = false;
        pawl_lane_resume(world->runtime, sim_lanes[i].name);
    }
    /* Half of the runs look first at what is there when nobody works any more. */
    if (dice(world, 2) == 0) {
        if (!sim_crew_close(world) || !sim_world_settle(world, 4000))
            return false;
        sim_jobs_check_rest(model);
    }
    if (model->failed || !work_all(world, 100, false) || !sim_crew_close(world) ||
        !work_all(world, 1500, true))
        return false;
    left = unsettled(model->jobs);
    if (left != NULL)
        sim_fail(model, "forgotten",
                 "task %" PRIx64 " is %s although agents work on and on: attempts %" PRIu32
                 ", waits for %" PRIu32,
                 left->id, pawl_work_state_name(left->state), left->work.attempts,
                 left->work.waits);
    return !model->failed;
}
