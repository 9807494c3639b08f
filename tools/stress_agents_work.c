/*
 * stress_agents_work.c - what agents do about their leases (stress_agents.h explains the method).
 *
 * Nothing here waits for one lease: an agent keeps what it holds in a list, with the time when it
 * is to do something about it. So one thread can stall a hundred leases past their deadlines, and
 * report them late, while others are worked on.
 */
#include <errno.h>
#include <string.h>

#include "stress_agents.h"

static bool chance(struct crew *crew, unsigned permille)
{
    return random_below(&crew->random, 1000) < permille;
}

/* --- holds --- */

void agent_unhold(struct fleet_agent *a, unsigned index)
{
    struct job *job = a->holds[index].job;

    pthread_mutex_lock(&job->lock);
    job->refs--;
    pthread_mutex_unlock(&job->lock);
    a->holds[index] = a->holds[--a->holds_count];
}

static void loosen(struct job *job, uint32_t book)
{
    pthread_mutex_lock(&job->lock);
    book_loosen(job, book);
    pthread_mutex_unlock(&job->lock);
}

/* The shards may take the agent for dead, and its leases away. */
static void loosen_all(struct fleet_agent *a)
{
    for (unsigned i = 0; i < a->holds_count; i++)
        loosen(a->holds[i].job, a->holds[i].book);
    for (unsigned i = 0; i < FLEET_REPORTS; i++)
        if (a->said[i].used && (a->said[i].lie == LIE_NONE || a->said[i].lie == LIE_REPEATED))
            loosen(a->said[i].job, a->said[i].book);
}

void agent_look_at_clock(struct fleet_agent *a)
{
    if (agent_is_quiet(a, fleet_now()))
        loosen_all(a);
}

static uint64_t act_at(struct crew *crew, const struct hold *hold, uint64_t now_ns)
{
    switch ((enum plan)hold->plan) {
    case PLAN_STALL:
    case PLAN_EXTEND:
        return hold->lease.claim.deadline_ns + random_below(&crew->random, 10 * MILLISECOND);
    case PLAN_FORGET: /* it is known to us until then, for its agent may seem dead first */
        return hold->lease.claim.deadline_ns + 20 * MILLISECOND;
    case PLAN_DONE:
    case PLAN_FAIL:
    case PLAN_RELEASE:
    case PLAN_TWICE:
    case PLAN_LIE:
    case PLANS:
        break;
    }
    return chance(crew, 700) ? now_ns : now_ns + random_below(&crew->random, 2 * MILLISECOND);
}

static enum plan plan_of(struct crew *crew)
{
    const uint64_t dice = random_below(&crew->random, 1000);

    if (fleet_is_ending(crew->fleet))
        return PLAN_DONE;
    if (dice < 700)
        return PLAN_DONE;
    if (dice < 820)
        return PLAN_FAIL;
    if (dice < 860)
        return PLAN_RELEASE;
    if (dice < 910)
        return PLAN_TWICE;
    if (dice < 920)
        return PLAN_EXTEND;
    if (dice < 932)
        return PLAN_STALL;
    if (dice < 944)
        return PLAN_FORGET;
    return PLAN_LIE;
}

/* --- leases --- */

/* Whatever was handed out by a shard under the same priority was ready in that order. */
static void check_order(struct fleet_agent *a, const struct job *job,
                        const struct pawl_lease *lease)
{
    const struct pawl_claim *claim = &lease->claim;
    uint64_t *last = &a->streams[pawl_task_shard(lease->task)].since_ns[claim->priority % 4];

    if (job->lane != FLEET_WORK || lease->state != PAWL_WORK_LEASED || claim->assignee != 0)
        return;
    if (load_acquire(&job->hurried)) /* it may have been ready for long, under another */
        return;
    if (claim->since_ns <= *last)
        job_find(a->fleet, job, FINDING_MISORDERED,
                 "it was handed out after one that was ready %llu ns later, both with priority %u",
                 (unsigned long long)(*last - claim->since_ns), claim->priority);
    *last = claim->since_ns;
}

/* Nobody may have it yet, or nobody but another. */
static void check_right(struct fleet_agent *a, const struct job *job,
                        const struct pawl_lease *lease)
{
    const bool verdict = lease->state == PAWL_WORK_CHECKED;
    const enum fleet_lane lane = verdict ? FLEET_VERIFY : (enum fleet_lane)job->lane;
    const uint64_t now_ns = fleet_now();

    if (lease->claim.lane != pawl_lane_number(fleet_lanes[lane].name))
        job_find(a->fleet, job, FINDING_UNEXPLAINED, "it was handed out by another lane");
    if (!verdict && job->assignee != 0 && job->assignee - 1 != a->number)
        job_find(a->fleet, job, FINDING_UNEXPLAINED,
                 "it is for agent %u alone, and agent %u has it", job->assignee - 1, a->number);
    if (verdict && job->policy != FLEET_LANE)
        job_find(a->fleet, job, FINDING_UNEXPLAINED, "it was not to be verified by agents");
    if (now_ns - job->submitted_ns < job->delay_ns)
        job_find(a->fleet, job, FINDING_MISORDERED, "it was handed out %.3f ms before its time",
                 (double)(job->delay_ns - (now_ns - job->submitted_ns)) / 1e6);
    for (unsigned i = 0; i < job->after_count; i++) {
        struct pawl_work_view view;

        if (pawl_work_read(a->fleet->runtime, job_task(job->after[i]), &view) == 0 &&
            view.state < PAWL_WORK_COMPLETED)
            job_find(a->fleet, job, FINDING_MISORDERED,
                     "it was handed out while task %#llx, which it waits for, is %s",
                     (unsigned long long)job->after[i]->id, pawl_work_state_name(view.state));
    }
}

static void show(struct crew *crew, const struct hold *hold)
{
    pthread_mutex_lock(&crew->shown_lock);
    crew->shown = *hold;
    pthread_mutex_unlock(&crew->shown_lock);
}

static void take(struct fleet_agent *a, const struct pawl_lease *lease)
{
    struct crew *crew = a->crew;
    struct hold hold = {.lease = *lease, .next_id = 1};
    struct job *job = job_of(a->fleet, lease); /* locked */

    if (job == NULL)
        return;
    hold.job = job;
    hold.book = book_lease(a->fleet, job, lease, a);
    job->refs++;
    check_order(a, job, lease);
    check_right(a, job, lease);
    pthread_mutex_unlock(&job->lock);
    add_relaxed(&a->fleet->leases, 1); /* relaxed: read after the threads were joined */
    hold.plan = (uint8_t)plan_of(crew);
    hold.notes = chance(crew, 250) ? (uint8_t)(1 + random_below(&crew->random, 3)) : 0;
    hold.act_ns = act_at(crew, &hold, fleet_now());
    if (a->holds_count == FLEET_HOLDS) { /* of these some are over for all but us */
        loosen(a->holds[0].job, a->holds[0].book);
        agent_unhold(a, 0);
    }
    a->holds[a->holds_count++] = hold;
    if (chance(crew, 50))
        show(crew, &hold);
}

/* --- what is done about a lease --- */

/* Something untrue, beside what is to be said. */
static bool lie(struct fleet_agent *a, struct hold *hold)
{
    const bool checked = hold->lease.state == PAWL_WORK_CHECKED;
    struct pawl_lease lease = hold->lease;
    struct word word = {.kind = PAWL_REPORT_DONE, .id = hold->next_id, .evidence = -1};

    switch (random_below(&a->crew->random, 4)) {
    case 0:
        word.lie = LIE_TOKEN; /* of a lease in the far future; or of none */
        lease.token = chance(a->crew, 500) ? lease.token ^ UINT64_C(1) << 38 : 0;
        break;
    case 1:
        word.lie = LIE_KIND;
        word.kind = checked ? PAWL_REPORT_DONE : PAWL_REPORT_ACCEPT;
        break;
    case 2:
        word.lie = checked ? LIE_KIND : LIE_CLASS;
        word.kind = checked ? PAWL_REPORT_DONE : PAWL_REPORT_FAILED;
        word.klass = 100;
        break;
    case 3: {
        struct crew *crew = &a->fleet->crews[random_below(&a->crew->random, a->fleet->crews_count)];
        struct hold shown;

        pthread_mutex_lock(&crew->shown_lock);
        shown = crew->shown;
        pthread_mutex_unlock(&crew->shown_lock);
        if (shown.job == NULL || shown.lease.token == 0)
            return true;
        /* Ours if it says so; a job that has ended is another by now, or none. */
        pthread_mutex_lock(&shown.job->lock);
        const struct job_lease *booked = book_find(shown.job, shown.lease.token);
        const bool alien = booked != NULL && booked->agent != a->incarnation;
        if (alien) {
            shown.book = (uint32_t)(booked - shown.job->leases);
            shown.job->refs++;
        }
        pthread_mutex_unlock(&shown.job->lock);
        if (!alien)
            return true;
        word.lie = LIE_FOREIGN;
        word.id = 1000;
        const bool said = agent_say(a, &shown.lease, shown.job, shown.book, word, NULL);
        pthread_mutex_lock(&shown.job->lock);
        shown.job->refs--;
        pthread_mutex_unlock(&shown.job->lock);
        return said;
    }
    }
    if (!agent_say(a, &lease, hold->job, hold->book, word, NULL))
        return false;
    hold->next_id++;
    return true;
}

static struct word last_word(struct fleet_agent *a, const struct hold *hold)
{
    struct crew *crew = a->crew;
    struct word word = {.kind = PAWL_REPORT_DONE,
                        .id = hold->next_id,
                        .evidence = -1,
                        .value = random_below(&crew->random, 1000)};

    if (hold->lease.state == PAWL_WORK_CHECKED) {
        word.kind = PAWL_REPORT_ACCEPT;
        if (hold->plan == PLAN_FAIL)
            word.kind = chance(crew, 700) ? PAWL_REPORT_REJECT : PAWL_REPORT_FAILED;
    } else if (hold->plan == PLAN_FAIL) {
        word.kind = PAWL_REPORT_FAILED;
        word.klass = (uint8_t)random_below(&crew->random, FLEET_NOT_RETRIED + 1);
    }
    if (hold->plan == PLAN_RELEASE)
        word.kind = PAWL_REPORT_RELEASE;
    if (chance(crew, 150))
        word.size = 1 + (uint32_t)random_below(&crew->random, chance(crew, 50) ? 4999 : 120);
    return word;
}

/* Before the end: notes and signs of progress. */
static bool say_notes(struct fleet_agent *a, struct hold *hold)
{
    struct crew *crew = a->crew;

    while (hold->notes > 0) {
        struct word word = {.kind = PAWL_REPORT_NOTE, .id = hold->next_id, .evidence = -1};
        int32_t evidence = -1;

        if (chance(crew, 300)) {
            word.kind = PAWL_REPORT_PROGRESS;
            word.value = hold->notes;
        } else {
            word.size = 1 + (uint32_t)random_below(&crew->random, chance(crew, 50) ? 4999 : 120);
        }
        if (!agent_say(a, &hold->lease, hold->job, hold->book, word, &evidence))
            return false;
        hold->notes--;
        hold->next_id++;
        if (hold->plan != PLAN_TWICE)
            continue;
        word.lie = LIE_REPEATED;
        word.size = 0;
        word.evidence = evidence;
        (void)agent_say(a, &hold->lease, hold->job, hold->book, word, NULL);
    }
    return true;
}

/* True: it is over with. */
static bool act(struct fleet_agent *a, struct hold *hold)
{
    int32_t evidence = -1;

    if (hold->plan == PLAN_FORGET)
        return true;
    if (hold->ghost) {
        struct word word = {
            .kind = PAWL_REPORT_DONE, .lie = LIE_GHOST, .id = hold->next_id, .evidence = -1};
        return agent_say(a, &hold->lease, hold->job, hold->book, word, NULL);
    }
    if (hold->plan == PLAN_LIE && !hold->lied) {
        if (!lie(a, hold))
            return false;
        hold->lied = 1;
    }
    if (!say_notes(a, hold))
        return false;
    struct word word = last_word(a, hold);
    if (!agent_say(a, &hold->lease, hold->job, hold->book, word, &evidence))
        return false;
    if (hold->plan == PLAN_TWICE) {
        word.lie = LIE_REPEATED;
        word.size = 0;
        word.evidence = evidence;
        (void)agent_say(a, &hold->lease, hold->job, hold->book, word, NULL);
    }
    return true;
}

/* One that is to be held for long is to be extended at once, or it would be too late. */
static void extend(struct fleet_agent *a, struct hold *hold)
{
    const struct word word = {.kind = PAWL_REPORT_EXTEND,
                              .id = hold->next_id,
                              .evidence = -1,
                              .value = 3 * FLEET_LEASE_NS};

    if (hold->plan != PLAN_EXTEND || hold->lied)
        return;
    hold->lied = agent_say(a, &hold->lease, hold->job, hold->book, word, NULL);
    hold->next_id += hold->lied;
}

static unsigned act_all(struct fleet_agent *a)
{
    const uint64_t now_ns = fleet_now();
    unsigned acted = 0;

    for (unsigned i = 0; i < a->holds_count;) {
        struct hold *hold = &a->holds[i];

        extend(a, hold);
        if (hold->act_ns > now_ns || !act(a, hold)) {
            i++;
            continue;
        }
        agent_unhold(a, i);
        acted++;
    }
    return acted;
}

/* --- an agent's turn --- */

/* It dies with what it has, and comes back as another. */
static void crash(struct fleet_agent *a)
{
    int rc = 0;

    if (chance(a->crew, 500)) /* its last words are heard */
        rc = pawl_agent_settle(a->agent, fleet_settle_ns(a->fleet));
    if (rc != 0)
        agent_find(a, FINDING_LOST, "its reports have no receipts", rc);
    agent_hear(a);
    agent_forget_said(a);
    loosen_all(a);
    agent_close(a);
    while (a->holds_count > 4)
        agent_unhold(a, a->holds_count - 1);
    for (unsigned i = 0; i < a->holds_count; i++)
        a->holds[i].ghost = 1;
    rc = agent_open(a);
    if (rc != 0)
        agent_find(a, FINDING_UNEXPLAINED, "it cannot be opened again", rc);
}

static void fall_silent(struct fleet_agent *a, uint64_t now_ns)
{
    loosen_all(a);
    a->silent_ns = now_ns + a->heartbeat_ns + random_below(&a->crew->random, FLEET_BEAT_NS);
}

/* True: something was done. */
bool agent_turn(struct fleet_agent *a)
{
    struct pawl_lease leases[8];
    const uint64_t now_ns = fleet_now();
    unsigned done;
    int count;

    if (a->agent == NULL || now_ns < a->silent_ns)
        return false;
    pawl_agent_beat(a->agent);
    agent_look_at_clock(a);
    store_release(&a->seen_ns, now_ns);
    done = agent_hear(a);
    done += act_all(a);
    count = pawl_agent_next(a->agent, leases, ARRAY_LEN(leases), 0);
    if (count < 0)
        agent_find(a, FINDING_UNEXPLAINED, "it gets no leases", count);
    for (int i = 0; i < count; i++)
        take(a, &leases[i]);
    agent_look_at_clock(a);
    if (!fleet_is_ending(a->fleet)) {
        if (a->heartbeat_ns != 0 && chance(a->crew, 1))
            fall_silent(a, now_ns);
        if (count > 0 && random_below(&a->crew->random, 2000) == 0)
            crash(a);
    }
    return done > 0 || count > 0;
}
