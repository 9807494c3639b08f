/*
 * stress_agents_order.c - a lane of its own on one shard, with one agent and one credit, whose
 * order is known exactly (stress_agents.h explains the method).
 *
 * In batches: the lane is paused, tasks with priorities are submitted, some are hurried; then it is
 * resumed, and each lease must be the one that a model of the lane says. An agent with one credit
 * gets the next lease only when the one before is known to be over. So what has failed, was given
 * back, has expired or was lost with its agent is ready again by then, behind its equals, and the
 * model knows where.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stress_agents.h"

#define BATCH    48u
#define PRIOS    3u
#define ATTEMPTS 5u /* FLEET_EXACT */

enum entry_state { ENTRY_READY, ENTRY_SETTLED };

struct entry {
    struct pawl_task task;
    uint32_t priority;
    uint32_t attempts;
    uint32_t leases;
    uint64_t since; /* order among equals */
    enum entry_state state;
    enum pawl_work_state outcome;
};

struct order_lane {
    struct fleet *fleet;
    struct pawl_port *port;
    struct pawl_agent *agent;
    struct random random;
    struct entry entries[BATCH];
    uint64_t since;
    uint64_t token; /* the newest */
    unsigned batches;
    uint64_t expired; /* leases of the lane, when the batch began */
    bool slow;        /* a lease expired that was not to: the model knows no more */
    bool failed;      /* it was told */
    bool started;
    pthread_t thread;
};

static bool chance(struct order_lane *o, unsigned permille)
{
    return random_below(&o->random, 1000) < permille;
}

static void fail(struct order_lane *o, const char *what, int rc)
{
    if (!o->failed)
        stress_find(o->fleet->s, FINDING_UNEXPLAINED, "lane order: %s: %s", what,
                    pawl_strerror(rc));
    o->failed = true;
}

/* --- completions --- */

/* Takes in as many as are outstanding; status: what each should be. */
static void await(struct order_lane *o,
                  void (*seen)(struct order_lane *o, const struct pawl_completion *c))
{
    const uint64_t begin_ns = fleet_now();

    while (pawl_port_outstanding(o->port) > 0 && !o->failed) {
        struct pawl_completion completions[32];
        const int count = pawl_port_reap(o->port, completions, ARRAY_LEN(completions));

        for (int i = 0; i < count; i++) {
            if (completions[i].status != 0)
                fail(o, "a task cannot be made or changed", completions[i].status);
            else
                seen(o, &completions[i]);
        }
        if (count == 0)
            (void)pawl_port_wait(o->port, 10 * MILLISECOND);
        if (fleet_now() - begin_ns > fleet_settle_ns(o->fleet))
            fail(o, "completions do not come", -ETIMEDOUT);
    }
}

static void made(struct order_lane *o, const struct pawl_completion *c)
{
    o->entries[c->tag].task = c->task;
}

static void changed(struct order_lane *o, const struct pawl_completion *c)
{
    (void)o, (void)c;
}

/* --- the model --- */

static struct entry *first_of(struct order_lane *o)
{
    struct entry *first = NULL;

    for (unsigned i = 0; i < BATCH; i++) {
        struct entry *e = &o->entries[i];

        if (e->state == ENTRY_READY &&
            (first == NULL || e->priority < first->priority ||
             (e->priority == first->priority && e->since < first->since)))
            first = e;
    }
    return first;
}

static void settle(struct entry *e, enum pawl_work_state outcome)
{
    e->state = ENTRY_SETTLED;
    e->outcome = outcome;
}

/* An attempt has come to nothing. */
static void retry(struct order_lane *o, struct entry *e)
{
    if (e->attempts == ATTEMPTS)
        settle(e, PAWL_WORK_DEAD);
    else
        e->since = o->since++;
}

/* --- a batch --- */

static void submit(struct order_lane *o)
{
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;

    spec.lane = fleet_lanes[FLEET_ORDER].name;
    spec.policy = FLEET_EXACT;
    spec.shard = 0;
    for (unsigned i = 0; i < BATCH && !o->failed; i++) {
        struct entry *e = &o->entries[i];

        *e = (struct entry){.priority = (uint32_t)random_below(&o->random, PRIOS),
                            .since = o->since++};
        spec.priority = e->priority;
        const int rc = pawl_work_submit(o->port, &spec, i);
        if (rc != 0)
            fail(o, "a task cannot be submitted", rc);
    }
    await(o, made);
    for (unsigned i = 0; i < BATCH / 8 && !o->failed; i++) {
        const uint32_t index = (uint32_t)random_below(&o->random, BATCH);

        o->entries[index].priority = (uint32_t)random_below(&o->random, PRIOS);
        const int rc = pawl_work_prioritise(o->port, o->entries[index].task,
                                            o->entries[index].priority, index);
        if (rc != 0)
            fail(o, "a task cannot be hurried", rc);
    }
    await(o, changed);
    if (fleet_wants(o->fleet, PLANT_REORDER)) {
        const struct entry swapped = o->entries[0];

        o->entries[0].task = o->entries[1].task;
        o->entries[1].task = swapped.task;
    }
}

static int open_agent(struct order_lane *o)
{
    const char *lane = fleet_lanes[FLEET_ORDER].name;
    const struct pawl_agent_options options = {.name = "orderly", .lanes = &lane, .lanes_count = 1};

    return pawl_agent_open(o->fleet->runtime, &options, &o->agent);
}

static void take_receipts(struct order_lane *o)
{
    struct pawl_receipt receipt;

    while (pawl_agent_receipts(o->agent, &receipt, 1) == 1) {
        if (receipt.status == -ESTALE)
            o->slow = true; /* on a machine that stood still for so long */
        else if (receipt.status != 0)
            fail(o, "an honest report was refused", receipt.status);
    }
}

static void report(struct order_lane *o, const struct pawl_lease *lease, struct entry *e)
{
    struct pawl_report said = {.kind = PAWL_REPORT_DONE};
    int rc = 0;

    if (chance(o, 150))
        said.kind = PAWL_REPORT_FAILED;
    else if (chance(o, 80))
        said.kind = PAWL_REPORT_RELEASE;
    rc = pawl_agent_report(o->agent, lease, &said);
    if (rc != 0)
        fail(o, "a report cannot be posted", rc);
    if (said.kind == PAWL_REPORT_DONE) {
        settle(e, PAWL_WORK_COMPLETED);
    } else if (said.kind == PAWL_REPORT_FAILED) {
        retry(o, e);
    } else {
        e->attempts--;
        e->since = o->since++;
    }
}

/* Dies with the lease; another goes on. */
static void crash(struct order_lane *o, struct entry *e)
{
    int rc = pawl_agent_settle(o->agent, fleet_settle_ns(o->fleet));

    take_receipts(o);
    if (rc == 0)
        rc = pawl_agent_close(o->agent, fleet_settle_ns(o->fleet));
    o->agent = NULL;
    if (rc == 0)
        rc = open_agent(o);
    if (rc != 0)
        fail(o, "the agent cannot be closed and opened again", rc);
    retry(o, e);
}

static uint64_t expired(struct order_lane *o)
{
    struct pawl_lane_status status;
    const int rc = pawl_lane_read(o->fleet->runtime, fleet_lanes[FLEET_ORDER].name, &status);

    if (rc != 0)
        fail(o, "the lane cannot be read", rc);
    return rc == 0 ? status.expired : 0;
}

/*
 * Whether more leases have expired than were to: one that was over before the agent could look at it
 * is dropped unseen, and its task is ready again behind its equals. The counter is shown at the end
 * of the turn that handed this lease out; that turn is over when anything else has come back from
 * the same shard, whatever it says. (Either way the model is done with this task's priority.)
 */
static bool has_missed_one(struct order_lane *o, struct pawl_task task, bool stalled)
{
    struct pawl_completion completion;
    const int rc = pawl_work_prioritise(o->port, task, 0, 0);

    if (rc != 0)
        fail(o, "the turn's end cannot be waited for", rc);
    while (pawl_port_wait(o->port, fleet_settle_ns(o->fleet)) == 0)
        (void)pawl_port_reap(o->port, &completion, 1);
    return expired(o) > o->expired + stalled;
}

static void take(struct order_lane *o, const struct pawl_lease *lease, bool *stalled)
{
    struct entry *e = first_of(o);

    if ((e == NULL || e->task.id != lease->task.id) && has_missed_one(o, lease->task, *stalled)) {
        o->slow = true;
        return;
    }
    if (e == NULL || e->task.id != lease->task.id) {
        stress_find(o->fleet->s, FINDING_MISORDERED,
                    "lane order: task %#llx (priority %u) was handed out, task %#llx (priority %u) "
                    "was next",
                    (unsigned long long)lease->task.id, lease->claim.priority,
                    (unsigned long long)(e != NULL ? e->task.id : 0), e != NULL ? e->priority : 0);
        o->failed = true;
        return;
    }
    if (lease->token <= o->token)
        stress_find(o->fleet->s, FINDING_MISORDERED,
                    "lane order: token %#llx comes after token %#llx",
                    (unsigned long long)lease->token, (unsigned long long)o->token);
    o->token = lease->token;
    e->attempts++;
    e->leases++;
    add_relaxed(&o->fleet->ordered, 1); /* relaxed: read after the threads were joined */
    if (!*stalled && o->batches % 4 == 3 && chance(o, 50)) {
        *stalled = true; /* says nothing, until the lease is over */
        retry(o, e);
    } else if (chance(o, 10)) {
        crash(o, e);
    } else {
        report(o, lease, e);
    }
}

static void hand_out(struct order_lane *o)
{
    uint64_t moved_ns = fleet_now();
    bool stalled = false;

    while (!o->failed && !o->slow && first_of(o) != NULL) {
        struct pawl_lease lease;
        const int count = pawl_agent_next(o->agent, &lease, 1, 100 * MILLISECOND);

        take_receipts(o);
        if (o->slow)
            break;
        if (count == 1) {
            take(o, &lease, &stalled);
            moved_ns = fleet_now();
        } else if (count < 0) {
            fail(o, "the agent gets no leases", count);
        } else if (fleet_now() - moved_ns > fleet_settle_ns(o->fleet)) {
            fail(o, "tasks are ready, and none is handed out", -ETIMEDOUT);
        }
    }
    if (!o->failed && pawl_agent_settle(o->agent, fleet_settle_ns(o->fleet)) != 0)
        fail(o, "the agent's reports have no receipts", -ETIMEDOUT);
    take_receipts(o);
}

static void check(struct order_lane *o, const struct entry *e)
{
    struct pawl_work_view view;
    const int rc = pawl_work_read(o->fleet->runtime, e->task, &view);

    if (rc != 0) {
        fail(o, "a settled task cannot be read", rc);
    } else if (view.state != e->outcome || view.work.attempts != e->attempts ||
               view.work.claim.leases != e->leases) {
        add_relaxed(&o->fleet->attempts_wrong, 1); /* relaxed: read after the threads were joined */
        stress_find(o->fleet->s, FINDING_UNEXPLAINED,
                    "lane order: task %#llx is %s after %u attempts and %u leases; it should be %s "
                    "after %u and %u",
                    (unsigned long long)e->task.id, pawl_work_state_name(view.state),
                    view.work.attempts, view.work.claim.leases, pawl_work_state_name(e->outcome),
                    e->attempts, e->leases);
    }
}

/* Whatever is left of a batch of which the model knows no more. */
static void clear(struct order_lane *o)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct pawl_completion completion;

        if (o->entries[i].task.id == 0)
            continue;
        if (o->slow || o->failed)
            (void)pawl_work_cancel(o->port, o->entries[i].task, false, i);
        (void)pawl_work_discard(o->port, o->entries[i].task, i);
        while (pawl_port_wait(o->port, fleet_settle_ns(o->fleet)) == 0 &&
               pawl_port_reap(o->port, &completion, 1) == 1)
            if (completion.status != 0 && completion.status != -EALREADY)
                fail(o, "a task cannot be discarded", completion.status);
        o->entries[i].task = PAWL_NO_TASK;
    }
}

static void run_batch(struct order_lane *o)
{
    const char *lane = fleet_lanes[FLEET_ORDER].name;
    int rc = pawl_lane_pause(o->fleet->runtime, lane, 0);

    o->slow = false;
    o->expired = expired(o);
    memset(o->entries, 0, sizeof(o->entries));
    if (rc == 0)
        submit(o);
    if (rc == 0 && !o->failed)
        rc = pawl_lane_resume(o->fleet->runtime, lane);
    if (rc != 0)
        fail(o, "the lane cannot be paused and resumed", rc);
    if (!o->failed)
        hand_out(o);
    for (unsigned i = 0; i < BATCH && !o->failed && !o->slow; i++)
        check(o, &o->entries[i]);
    clear(o);
    o->batches++;
}

static void *order_main(void *argument)
{
    struct order_lane *o = argument;

    while (!load_acquire(&o->fleet->stopping) && !o->failed) {
        run_batch(o);
        stress_nap(20 * MILLISECOND); /* the run is about the others */
    }
    return NULL;
}

int order_open(struct fleet *fleet)
{
    struct order_lane *o = calloc(1, sizeof(*o));
    int rc = o == NULL ? -ENOMEM : 0;

    if (rc != 0)
        return rc;
    fleet->order = o;
    o->fleet = fleet;
    o->since = 1;
    o->random.state = mix64(fleet->s->options.seed + 5000);
    rc = pawl_port_open(fleet->runtime, NULL, &o->port);
    return rc == 0 ? open_agent(o) : rc;
}

int order_start(struct fleet *fleet)
{
    const int rc = -pthread_create(&fleet->order->thread, NULL, order_main, fleet->order);

    fleet->order->started = rc == 0;
    return rc;
}

void order_join(struct fleet *fleet)
{
    if (fleet->order != NULL && fleet->order->started)
        pthread_join(fleet->order->thread, NULL);
    if (fleet->order != NULL)
        fleet->order->started = false;
}

void order_close(struct fleet *fleet)
{
    struct order_lane *o = fleet->order;
    int rc = o != NULL && o->agent != NULL ? pawl_agent_close(o->agent, fleet_settle_ns(fleet)) : 0;

    if (rc != 0)
        fail(o, "the agent cannot be closed", rc);
    if (o != NULL && o->port != NULL)
        stress_close_port(fleet->s, o->port);
    free(o);
}
