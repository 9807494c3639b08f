/*
 * stress_agents.c - a run of `pawl stress --agents` from open to close (stress_agents.h is the
 * map):
 *
 *   open -> requesters submit, agents work and misbehave, one lane is watched for its order ->
 *   nothing new is submitted, and agents do no mischief -> every job has settled and is gone ->
 *   totals -> close
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress_agents_log.h"
#include "tool.h"

/* --- opening --- */

static void show_diagnostic(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    if (diagnostic->error != 0)
        fprintf(stderr, "pawl stress: %s: %s\n", diagnostic->where, diagnostic->what);
}

static void undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct fleet *fleet = user;

    add_relaxed(&fleet->undelivered, 1); /* relaxed: only for people */
    /* Answers to those who are gone, or settled, are nobody's; nothing else is to be lost. */
    if (reason != -ESTALE && reason != -EPROTO && reason != -EPERM && reason != -EALREADY)
        stress_find(fleet->s, FINDING_UNEXPLAINED, "event %u to task %#llx was not delivered: %s",
                    event->code, (unsigned long long)event->task.id, pawl_strerror(reason));
}

static void storage_failed(void *user, unsigned shard, int error, const char *what)
{
    struct fleet *fleet = user;

    store_release(&fleet->abandoned, 1);
    fprintf(stderr, "pawl stress: storage has failed on shard %u: %s: %s\n", shard, what,
            pawl_strerror(error));
}

static void read_status(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->shards; i++) {
        struct pawl_store_status status = {.epoch = 0};

        if (pawl_shard_store(fleet->runtime, i, &status) != 0)
            continue;
        fleet->epoch = status.epoch;
        fleet->recovered_tasks += status.recovered_tasks;
    }
    fprintf(stderr, "pawl stress: recovered %llu tasks on %u shards\n",
            (unsigned long long)fleet->recovered_tasks, fleet->shards);
}

/* The log of a new store, or of one that is there, which says what the run is. */
static int open_log(struct fleet *fleet)
{
    struct stress_options *o = &fleet->s->options;
    char path[4096];
    struct fleet_head head = {.magic = FLEET_MAGIC,
                              .seed = o->seed,
                              .tasks = (uint32_t)o->tasks,
                              .requesters = o->producers,
                              .agents = o->agents,
                              .durability = (uint32_t)o->durability};

    fleet->log = -1;
    if (o->store == NULL)
        return 0;
    snprintf(path, sizeof(path), "%s%s", o->acks != NULL ? o->acks : o->store,
             o->acks != NULL ? "" : ".acks");
    fleet->resumed = o->resume;
    fleet->log = o->resume ? fleet_log_open(path, &head) : fleet_log_create(path, &head);
    if (fleet->log < 0) {
        fprintf(stderr, "pawl stress: the log %s cannot be %s: %s\n", path,
                o->resume ? "opened" : "made",
                fleet->log == -EBADMSG ? "it is no log of a run with agents"
                                       : strerror(-fleet->log));
        return fleet->log;
    }
    /* What a job is called, and whose it is, hangs on these; each run draws anew. */
    o->seed = head.seed + (o->resume ? fleet_now() % 1000000 : 0);
    o->tasks = head.tasks;
    o->producers = head.requesters;
    o->agents = o->agents > head.agents ? o->agents : head.agents;
    o->durability = (enum pawl_durability)head.durability;
    fleet->durability = o->durability;
    return 0;
}

static int open_runtime(struct fleet *fleet, const struct pawl_work_options *work)
{
    const struct stress_options *o = &fleet->s->options;
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options options = PAWL_OPTIONS_INIT;

    options.shards = o->shards;
    options.no_pin = o->no_pin;
    options.seed = o->seed;
    options.user = fleet;
    options.on_undelivered = undelivered;
    options.diagnose = show_diagnostic;
    options.lanes = fleet_lanes;
    options.lane_count = FLEET_LANES;
    options.work = work;
    store.directory = o->store;
    store.segment_bytes = UINT64_C(4) << 20; /* so that files are begun and cut in a short run */
    store.snapshot_bytes = UINT64_C(48) << 20;
    store.on_failed = storage_failed;
    options.store = o->store != NULL ? &store : NULL;
    int rc = pawl_open(&options, &fleet->runtime);
    if (rc != 0)
        return stress_failed("cannot open a runtime", rc);
    fleet->shards = pawl_shard_count(fleet->runtime);
    if (fleet->resumed) {
        read_status(fleet);
        rc = fleet_resume(fleet);
    }
    if (rc == 0 && stress_found_any(fleet->s)) {
        fputs("pawl stress: the store and the log do not agree, and are left as they are\n",
              stderr);
        rc = -EBADMSG;
    }
    if (rc == 0)
        rc = stress_live_open(fleet->s, fleet->runtime);
    if (rc != 0)
        return rc;
    rc = pawl_start(fleet->runtime);
    return rc == 0 ? 0 : stress_failed("cannot start the runtime", rc);
}

static int make_jobs(struct fleet *fleet)
{
    const struct stress_options *o = &fleet->s->options;

    fleet->agents_count = o->agents;
    fleet->requesters_count = o->producers < o->tasks ? o->producers : (unsigned)o->tasks;
    fleet->jobs_count = (uint32_t)o->tasks / fleet->requesters_count * fleet->requesters_count;
    fleet->jobs = calloc(fleet->jobs_count, sizeof(*fleet->jobs));
    if (fleet->jobs == NULL)
        return stress_failed("cannot make the books", -ENOMEM);
    for (uint32_t i = 0; i < fleet->jobs_count; i++) {
        fleet->jobs[i].slot = i;
        fleet->jobs[i].owner = -1;
        pthread_mutex_init(&fleet->jobs[i].lock, NULL);
    }
    return 0;
}

static int open_all(struct fleet *fleet, const struct pawl_work_options *work)
{
    int rc = make_jobs(fleet);

    if (rc == 0)
        rc = open_runtime(fleet, work);
    if (rc != 0)
        return rc;
    rc = requesters_open(fleet);
    if (rc == 0)
        rc = order_open(fleet);
    if (rc != 0)
        return stress_failed("cannot open the ports", rc);
    rc = fleet_dismiss(fleet, fleet->requesters[0].port);
    if (rc == 0)
        rc = crews_open(fleet);
    return rc == 0 ? 0 : stress_failed("cannot open the agents", rc);
}

/* --- under load --- */

/* Progress each second until that time, or until all requesters have come to their end. */
static void wait_until(struct fleet *fleet, uint64_t begin_ns, uint64_t end_ns, uint64_t *shown_ns,
                       uint64_t *shown)
{
    while (stress_wall_ns() < end_ns && !requesters_finished(fleet)) {
        stress_nap(10 * MILLISECOND);
        if (stress_wall_ns() - *shown_ns >= 1000 * MILLISECOND)
            fleet_say_progress(fleet, begin_ns, shown_ns, shown);
    }
}

static int load(struct fleet *fleet, struct fleet_result *result)
{
    const uint64_t begin_ns = stress_wall_ns();
    uint64_t shown_ns = begin_ns, shown = 0;
    struct pawl_counters counters;
    int rc = crews_start(fleet);

    if (rc == 0)
        rc = requesters_start(fleet);
    if (rc == 0)
        rc = order_start(fleet);
    if (rc != 0) {
        store_release(&fleet->abandoned, 1);
        stress_failed("cannot start the threads", rc);
    } else {
        wait_until(fleet, begin_ns, begin_ns + (uint64_t)(fleet->s->options.seconds * 1e9),
                   &shown_ns, &shown);
    }
    pawl_runtime_counters(fleet->runtime, &counters);
    result->seconds = (double)(stress_wall_ns() - begin_ns) / 1e9;
    result->cycles = load_relaxed(&fleet->cycles); /* relaxed: only for people */
    result->events = counters.events;
    result->transitions = counters.transitions;
    store_release(&fleet->stopping, 1);
    order_join(fleet);
    store_release(&fleet->ending, 1);
    if (rc == 0) /* each of them gives up when nothing moves for so long */
        wait_until(fleet, begin_ns, UINT64_MAX, &shown_ns, &shown);
    requesters_join(fleet);
    crews_stop(fleet);
    return rc;
}

/* --- the end --- */

/* Work and notes; not what the runtime keeps of its lanes. */
static uint64_t count_left(struct fleet *fleet)
{
    const unsigned first = (unsigned)pawl_work_machine(fleet->runtime);
    const struct pawl_filter filter = {.machine = PAWL_ANY, .state = PAWL_ANY};
    struct pawl_walk walk = {.shard = 0};
    uint64_t left = 0;

    while (!walk.done) {
        struct pawl_view views[64] = {{.context = NULL}};
        const int count = pawl_task_walk(fleet->runtime, &walk, &filter, views, 64, 4096);

        for (int i = 0; i < count; i++)
            left += views[i].machine - first < PAWL_WORK_MACHINES;
    }
    return left;
}

/* Every task and its notes are gone: in a moment, for the last words are still under way. */
static void check_gone(struct fleet *fleet)
{
    const uint64_t begin_ns = stress_wall_ns();
    uint64_t left = count_left(fleet);

    while (left != 0 && stress_wall_ns() - begin_ns < fleet_settle_ns(fleet)) {
        stress_nap(MILLISECOND);
        left = count_left(fleet);
    }
    if (left != 0)
        stress_find(fleet->s, FINDING_LOST, "every job is gone, and %llu tasks are left",
                    (unsigned long long)left);
}

static void check_lane(struct fleet *fleet, enum fleet_lane lane,
                       const struct pawl_lane_status *status, double seconds)
{
    const double most = FLEET_BURST + FLEET_RATE * seconds + 1;

    if (status->ready != 0 || status->leased != 0)
        stress_find(fleet->s, FINDING_UNEXPLAINED,
                    "lane %s: every job is gone, and %llu are ready, %llu leased",
                    fleet_lanes[lane].name, (unsigned long long)status->ready,
                    (unsigned long long)status->leased);
    if (lane == FLEET_RATED && (double)status->leases > most)
        stress_find(fleet->s, FINDING_UNEXPLAINED,
                    "lane rated: %llu leases in %.3f s are more than its rate of %u allows",
                    (unsigned long long)status->leases, seconds, FLEET_RATE);
}

static void compare(struct fleet *fleet, const char *what, uint64_t tasks, uint64_t lanes)
{
    if (tasks != lanes)
        stress_find(fleet->s, tasks < lanes ? FINDING_LOST : FINDING_UNEXPLAINED,
                    "tasks have counted %llu leases that %s, lanes %llu", (unsigned long long)tasks,
                    what, (unsigned long long)lanes);
}

/* All lanes but those whose tasks are not looked at. */
static void check_lanes(struct fleet *fleet, uint64_t begin_ns, struct fleet_result *result)
{
    uint64_t leases = 0, expired = 0, lost = 0;

    for (unsigned i = 0; i < FLEET_LANES; i++) {
        struct pawl_lane_status status;
        const int rc = pawl_lane_read(fleet->runtime, fleet_lanes[i].name, &status);

        if (rc != 0) {
            stress_find(fleet->s, FINDING_UNEXPLAINED, "lane %s cannot be read: %s",
                        fleet_lanes[i].name, pawl_strerror(rc));
            continue;
        }
        check_lane(fleet, (enum fleet_lane)i, &status, (double)(stress_wall_ns() - begin_ns) / 1e9);
        result->handed_out += status.leases;
        result->expired += status.expired;
        result->lost += status.lost;
        if (i == FLEET_BRIEF || i == FLEET_ORDER)
            continue;
        leases += status.leases;
        if (i != FLEET_VERIFY) { /* its leases' ends are in no history */
            expired += status.expired;
            lost += status.lost;
        }
    }
    compare(fleet, "were handed out", load_relaxed(&fleet->task_leases) - fleet->resumed_leases,
            leases);
    if (fleet->resumed) /* what ended before is in the same history */
        return;
    compare(fleet, "have expired", load_relaxed(&fleet->task_expired), expired);
    compare(fleet, "were lost", load_relaxed(&fleet->task_lost), lost);
}

static void close_all(struct fleet *fleet)
{
    if (fleet->runtime != NULL) {
        crews_close(fleet);
        order_close(fleet);
        requesters_close(fleet);
    }
    stress_live_close(fleet->s);
    int rc = fleet->runtime == NULL ? 0 : pawl_close(fleet->runtime);
    if (rc != 0)
        stress_find(fleet->s, FINDING_UNEXPLAINED, "the runtime cannot be closed: %s",
                    pawl_strerror(rc));
    for (uint32_t i = 0; fleet->jobs != NULL && i < fleet->jobs_count; i++) {
        pthread_mutex_destroy(&fleet->jobs[i].lock);
        free(fleet->jobs[i].leases);
        free(fleet->jobs[i].evidence);
    }
    free(fleet->jobs);
    if (fleet->log >= 0)
        close(fleet->log);
}

int fleet_run(struct stress *s)
{
    struct pawl_work_options work = {.policies = fleet_policies, .policies_count = FLEET_POLICIES};
    struct fleet fleet = {.s = s, .log = -1, .values = FLEET_VALUES};
    struct fleet_result result = {.allocator = "nothing"};
    uint64_t begin_ns;

    pthread_mutex_init(&s->findings_lock, NULL);
    begin_ns = stress_wall_ns();
    int rc = open_log(&fleet);
    work.durability = fleet.log >= 0 ? fleet.durability : PAWL_DURABILITY_MEMORY;
    if (rc == 0)
        rc = open_all(&fleet, &work);
    if (rc == 0) {
        result.allocator = pawl_runtime_allocator(fleet.runtime);
        rc = load(&fleet, &result);
    }
    if (rc == 0) {
        if (!stress_found_any(s))
            check_gone(&fleet);
        pawl_runtime_counters(fleet.runtime, &result.counters);
        if (!stress_found_any(s))
            check_lanes(&fleet, begin_ns, &result);
    }
    close_all(&fleet);
    if (rc == 0)
        fleet_report(&fleet, &result);
    else if (stress_found_any(s))
        fputs("VIOLATED\n", stderr);
    pthread_mutex_destroy(&s->findings_lock);
    result.complete = rc == 0 && !fleet_is_abandoned(&fleet);
    return result.complete && !stress_found_any(s) ? TOOL_OK : TOOL_FAILED;
}
