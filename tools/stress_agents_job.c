/*
 * stress_agents_job.c - what jobs are to be, and which job a lease is about (stress_agents.h
 * explains the method).
 */
#include "stress_agents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct pawl_lane_def fleet_lanes[FLEET_LANES] = {
    [FLEET_WORK] = {.name = "work", .weight = 3, .lease_ns = FLEET_LEASE_NS},
    [FLEET_BULK] = {.name = "bulk", .lease_ns = FLEET_LEASE_NS, .age_ns = 5 * MILLISECOND},
    [FLEET_NARROW] = {.name = "narrow", .lease_ns = FLEET_LEASE_NS, .concurrency = 3},
    [FLEET_RATED] = {.name = "rated",
                     .lease_ns = FLEET_LEASE_NS,
                     .rate = FLEET_RATE,
                     .burst = FLEET_BURST},
    [FLEET_BRITTLE] = {.name = "brittle",
                       .lease_ns = FLEET_LEASE_NS,
                       .breaker_failures = 4,
                       .breaker_probes = 2,
                       .breaker_ns = 20 * MILLISECOND},
    [FLEET_BRIEF] = {.name = "brief", .lease_ns = FLEET_LEASE_NS},
    [FLEET_VERIFY] = {.name = "verify", .weight = 2, .lease_ns = FLEET_LEASE_NS},
    [FLEET_ORDER] = {.name = "order", .lease_ns = FLEET_ORDER_NS},
};

#define KEPT PAWL_WORK_FOREVER

/* Most are kept until they are discarded, so that a slow machine changes nothing. */
const struct pawl_work_policy fleet_policies[FLEET_POLICIES] = {
    [FLEET_USUAL] = {.name = "usual",
                     .attempts = 4,
                     .crashes = 3,
                     .backoff_ns = MILLISECOND,
                     .backoff_max_ns = 8 * MILLISECOND,
                     .jitter = PAWL_WORK_JITTER_FULL,
                     .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                     .keep_ns = KEPT},
    [FLEET_ONCE] = {.name = "once", .attempts = 1, .crashes = 1, .keep_ns = KEPT},
    [FLEET_STUBBORN] = {.name = "stubborn", .attempts = 7, .crashes = 2, .keep_ns = KEPT},
    [FLEET_HOST] = {.name = "host",
                    .attempts = 3,
                    .backoff_ns = MILLISECOND,
                    .jitter = PAWL_WORK_JITTER_EQUAL,
                    .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                    .keep_ns = KEPT,
                    .verify = PAWL_WORK_VERIFY_HOST,
                    .check = fleet_verify},
    [FLEET_LANE] = {.name = "lane",
                    .attempts = 3,
                    .keep_ns = KEPT,
                    .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                    .verify = PAWL_WORK_VERIFY_LANE,
                    .verify_lane = "verify"},
    [FLEET_MEAGRE] = {.name = "meagre",
                      .attempts = 3,
                      .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                      .keep_ns = KEPT,
                      .notes_max = 4,
                      .bytes_max = 400},
    [FLEET_GO_ON] = {.name = "go on",
                     .attempts = 4,
                     .backoff_ns = MILLISECOND / 2,
                     .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                     .keep_ns = KEPT,
                     .broken = PAWL_WORK_BROKEN_GO_ON},
    [FLEET_CANCEL] = {.name = "cancel",
                      .attempts = 2,
                      .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                      .keep_ns = KEPT,
                      .broken = PAWL_WORK_BROKEN_CANCEL},
    [FLEET_SHORT] = {.name = "short",
                     .attempts = 2,
                     .not_retried = UINT64_C(1) << FLEET_NOT_RETRIED,
                     .keep_ns = 100 * MILLISECOND,
                     .keep_dead_ns = 100 * MILLISECOND},
    [FLEET_EXACT] = {.name = "exact",
                     .attempts = 5,
                     .crashes = PAWL_WORK_UNLIMITED,
                     .keep_ns = KEPT},
};

/* Results whose value ends in seven are wrong. */
int fleet_verify(void *user, struct pawl_task task, const struct pawl_work *work,
                 const struct pawl_reported *report)
{
    (void)user, (void)task, (void)work;
    return report->value % 16 == 7 ? -EBADMSG : 0;
}

static bool chance(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

static enum fleet_policy plan_policy(struct random *random)
{
    const uint64_t dice = random_below(random, 100);

    if (dice < 30)
        return FLEET_USUAL;
    if (dice < 38)
        return FLEET_ONCE;
    if (dice < 50)
        return FLEET_STUBBORN;
    if (dice < 60)
        return FLEET_HOST;
    if (dice < 72)
        return FLEET_LANE;
    if (dice < 80)
        return FLEET_MEAGRE;
    if (dice < 88)
        return FLEET_GO_ON;
    return dice < 95 ? FLEET_CANCEL : FLEET_SHORT;
}

static enum fleet_lane plan_lane(struct random *random)
{
    const uint64_t dice = random_below(random, 100);

    if (dice < 50)
        return FLEET_WORK;
    if (dice < 75)
        return FLEET_BULK;
    if (dice < 84)
        return FLEET_NARROW;
    return dice < 92 ? FLEET_RATED : FLEET_BRITTLE;
}

void job_plan(struct fleet *fleet, struct job *job, struct random *random)
{
    job->flags = chance(random, 50) ? JOB_IS_KEYED : 0;
    job->policy = (uint8_t)plan_policy(random);
    job->lane = (uint8_t)plan_lane(random);
    job->after_count = 0;
    job->parent = NULL;
    job->priority = (uint32_t)random_below(random, 4);
    job->assignee = 0;
    job->shard =
        chance(random, 50) ? PAWL_ANY_SHARD : (uint32_t)random_below(random, fleet->shards);
    job->payload_size = 0;
    job->delay_ns = chance(random, 10) ? random_below(random, 5 * MILLISECOND) + 1 : 0;
    if (chance(random, 1))
        job->delay_ns = FLEET_DELAY_NS + random_below(random, FLEET_DELAY_NS);
    job->deadline_ns = chance(random, 3) ? (5 + random_below(random, 60)) * MILLISECOND : 0;
    if (job->policy == FLEET_SHORT) {
        job->flags |= JOB_IS_BRIEF;
        job->lane = FLEET_BRIEF;
    }
    if (!(job->flags & JOB_IS_KEYED) || chance(random, 25)) {
        job->flags |= JOB_IS_DETAILED;
        /* Now and then one that takes several notes. */
        job->payload_size =
            (uint32_t)random_below(random, chance(random, 3) ? PAWL_WORK_TEXT_MAX - 200 : 600);
    }
    if (chance(random, 5)) /* every third agent serves all lanes */
        job->assignee = (uint32_t)random_below(random, (fleet->agents_count + 2) / 3) * 3 + 1;
    if (chance(random, 4))
        job->flags |= JOB_IS_HELD;
}

size_t job_key(const struct job *job, char key[64])
{
    return (size_t)snprintf(key, 64, "job %x of slot %x", job->generation, job->slot);
}

void agent_name(char name[PAWL_AGENT_NAME_MAX + 1], unsigned number)
{
    snprintf(name, PAWL_AGENT_NAME_MAX + 1, "agent-%u", number);
}

void fleet_fill(unsigned char *bytes, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(mix64(number + i / 8) >> i % 8 * 8);
}

bool fleet_filled(const unsigned char *bytes, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(mix64(number + i / 8) >> i % 8 * 8))
            return false;
    return true;
}

void job_specify(const struct job *job, struct job_spec *s)
{
    s->spec = PAWL_WORK_SPEC_INIT;
    s->spec.lane = fleet_lanes[job->lane].name;
    s->spec.shard = job->shard;
    s->spec.priority = job->priority;
    s->spec.policy = job->policy;
    s->spec.delay_ns = job->delay_ns;
    s->spec.deadline_ns = job->deadline_ns;
    s->spec.flags = (job->flags & JOB_IS_HELD ? PAWL_WORK_HELD : 0) |
                    (job->flags & JOB_IS_GROUP ? PAWL_WORK_GROUP : 0);
    if (job->flags & JOB_IS_KEYED) {
        s->spec.key = s->key;
        s->spec.key_size = job_key(job, s->key);
    }
    if (job->assignee != 0) {
        agent_name(s->assignee, job->assignee - 1);
        s->spec.assignee = s->assignee;
    }
    if (job->parent != NULL)
        s->spec.parent = job_task(job->parent);
    for (unsigned i = 0; i < job->after_count; i++)
        s->after[i] = job_task(job->after[i]);
    s->spec.after = s->after;
    s->spec.after_count = job->after_count;
    if (job->flags & JOB_IS_DETAILED) {
        job_key(job, s->title);
        s->spec.title = s->title;
        s->metadata = job_number(job);
        s->spec.metadata = &s->metadata;
        s->spec.metadata_size = sizeof(s->metadata);
        fleet_fill(s->payload, job->payload_size, s->metadata);
        s->spec.payload = s->payload;
        s->spec.payload_size = job->payload_size;
    }
}

/* --- which job a lease is about --- */

int job_read_number(struct fleet *fleet, struct pawl_task task, uint64_t *number)
{
    struct pawl_work_view view;
    struct pawl_work_detail detail;
    unsigned char buffer[PAWL_WORK_TEXT_MAX + 64];
    size_t size = sizeof(buffer);
    unsigned generation, slot;
    int rc = pawl_work_read(fleet->runtime, task, &view);

    if (rc != 0)
        return rc;
    if (view.key_size > 0) {
        char key[65];

        memcpy(key, view.key, view.key_size);
        key[view.key_size] = '\0';
        if (sscanf(key, "job %x of slot %x", &generation, &slot) != 2)
            return -EBADMSG;
        *number = (uint64_t)generation << 32 | slot;
        return 0;
    }
    rc = pawl_work_read_detail(fleet->runtime, task, buffer, &size, &detail);
    if (rc == 0 && detail.metadata_size != sizeof(*number))
        rc = -EBADMSG;
    if (rc == 0)
        memcpy(number, detail.metadata, sizeof(*number));
    return rc;
}

struct job *job_of(struct fleet *fleet, const struct pawl_lease *lease)
{
    uint64_t number;
    const int rc = job_read_number(fleet, lease->task, &number);

    if (rc == -ESTALE)
        return NULL;
    if (rc != 0 || (uint32_t)number >= fleet->jobs_count) {
        stress_find(fleet->s, FINDING_TORN, "a lease (task %#llx) is about no job: %s",
                    (unsigned long long)lease->task.id, pawl_strerror(rc));
        return NULL;
    }
    struct job *job = &fleet->jobs[(uint32_t)number];
    pthread_mutex_lock(&job->lock);
    if (job->generation == number >> 32)
        return job;
    pthread_mutex_unlock(&job->lock);
    struct pawl_view view = {.context = NULL};
    if (pawl_task_peek(fleet->runtime, lease->task, &view) != -ESTALE)
        stress_find(fleet->s, FINDING_UNEXPLAINED,
                    "job %#llx has been discarded, but task %#llx lives",
                    (unsigned long long)number, (unsigned long long)lease->task.id);
    return NULL;
}

void job_check_detail(struct fleet *fleet, const struct job *job)
{
    static _Thread_local unsigned char buffer[PAWL_WORK_TEXT_MAX + 64];
    struct pawl_work_detail detail;
    size_t size = sizeof(buffer);
    char title[64] = "";
    uint64_t number = job_number(job);
    const bool detailed = (job->flags & JOB_IS_DETAILED) != 0;
    const int rc = pawl_work_read_detail(fleet->runtime, job_task(job), buffer, &size, &detail);

    if (detailed)
        job_key(job, title);
    if (rc != 0)
        job_find(fleet, job, FINDING_TORN, "what it was submitted with cannot be read: %s",
                 pawl_strerror(rc));
    else if (strcmp(detail.title, title) != 0 || detail.description[0] != '\0' ||
             detail.payload_size != job->payload_size ||
             detail.metadata_size != (detailed ? sizeof(number) : 0) ||
             (detailed && memcmp(detail.metadata, &number, sizeof(number)) != 0) ||
             !fleet_filled(detail.payload, detail.payload_size, number))
        job_find(fleet, job, FINDING_TORN, "it is not what was submitted");
}
