/*
 * stress_agents_crew.c - crews: a few threads, each of which is several agents, from the opening of
 * an agent to its close (stress_agents.h explains the method).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "stress_agents.h"

#define CREWS_MAX 4u

void agent_find(struct fleet_agent *a, enum finding kind, const char *what, int rc)
{
    stress_find(a->fleet->s, kind, "agent %u: %s: %s", a->number, what, pawl_strerror(rc));
}

/* --- opening and closing --- */

/* Every third serves all lanes; so whoever a job is assigned to can have it. */
static unsigned lanes_of(unsigned number, const char *lanes[FLEET_LANES])
{
    unsigned count = 0;

    for (unsigned lane = 0; lane < FLEET_ORDER; lane++)
        if (number % 3 == 0 || lane == FLEET_WORK || lane % 3 == number % 3 ||
            (lane == FLEET_VERIFY && number % 3 == 1))
            lanes[count++] = fleet_lanes[lane].name;
    return count;
}

int agent_open(struct fleet_agent *a)
{
    const char *lanes[FLEET_LANES];
    char name[PAWL_AGENT_NAME_MAX + 1];
    struct pawl_agent_options options = {.name = name,
                                         .lanes = lanes,
                                         .lanes_count = lanes_of(a->number, lanes),
                                         .credits = a->credits,
                                         .reports = FLEET_REPORTS,
                                         .heartbeat_ns = a->heartbeat_ns,
                                         .pollable = a->number % 2 == 0 && a->number < 64};
    uint64_t before = a->incarnation;

    agent_name(name, a->number);
    const int rc = pawl_agent_open(a->fleet->runtime, &options, &a->agent);
    if (rc != 0) {
        a->agent = NULL;
        return rc;
    }
    a->incarnation = pawl_agent_incarnation(a->agent);
    store_release(&a->seen_ns, fleet_now());
    if (a->incarnation <= before)
        agent_find(a, FINDING_MISORDERED, "incarnations are to grow", 0);
    memset(a->streams, 0, a->fleet->shards * sizeof(*a->streams));
    add_relaxed(&a->fleet->incarnations, 1); /* relaxed: read after the threads were joined */
    return 0;
}

void agent_close(struct fleet_agent *a)
{
    const uint64_t begin_ns = fleet_now();
    int rc;

    do {
        rc = pawl_agent_close(a->agent, 100 * MILLISECOND);
    } while (rc == -ETIMEDOUT && fleet_now() - begin_ns < fleet_settle_ns(a->fleet));
    if (rc != 0)
        agent_find(a, FINDING_UNEXPLAINED, "it cannot be closed", rc);
    a->agent = NULL;
}

/* --- the threads --- */

/* Until something arrives for one of those that can be waited on, or a millisecond. */
static void wait_for_any(struct crew *crew)
{
    struct pollfd polled[64];
    unsigned count = 0;

    for (unsigned i = 0; i < crew->agents_count && count < ARRAY_LEN(polled); i++) {
        const int fd = crew->agents[i].agent == NULL || crew->agents[i].number % 2 != 0
                           ? -ENOTSUP
                           : pawl_agent_fd(crew->agents[i].agent);
        if (fd >= 0)
            polled[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (count > 0)
        (void)poll(polled, count, 1);
    else
        stress_nap(MILLISECOND / 4);
}

static void *crew_main(void *argument)
{
    struct crew *crew = argument;

    while (!load_acquire(&crew->stopping)) {
        bool done = false;

        for (unsigned i = 0; i < crew->agents_count; i++)
            done |= agent_turn(&crew->agents[i]);
        if (!done)
            wait_for_any(crew);
    }
    for (unsigned i = 0; i < crew->agents_count; i++) {
        struct fleet_agent *a = &crew->agents[i];

        if (a->agent == NULL)
            continue;
        agent_hear(a);
        agent_close(a);
        agent_forget_said(a);
        while (a->holds_count > 0)
            agent_unhold(a, 0);
    }
    return NULL;
}

static int crew_open(struct fleet *fleet, unsigned number)
{
    struct crew *crew = &fleet->crews[number];

    crew->fleet = fleet;
    crew->number = number;
    crew->random.state = mix64(fleet->s->options.seed + 1000 + number);
    pthread_mutex_init(&crew->shown_lock, NULL);
    crew->agents_count =
        (fleet->agents_count + fleet->crews_count - 1 - number) / fleet->crews_count;
    crew->agents = calloc(crew->agents_count, sizeof(*crew->agents));
    if (crew->agents == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < crew->agents_count; i++) {
        struct fleet_agent *a = &crew->agents[i];

        a->fleet = fleet;
        a->crew = crew;
        a->number = i * fleet->crews_count + number;
        a->credits = 1 + (uint32_t)random_below(&crew->random, 8);
        a->heartbeat_ns = a->number % 4 == 1 ? FLEET_BEAT_NS : 0;
        a->streams = calloc(fleet->shards, sizeof(*a->streams));
        const int rc = a->streams == NULL ? -ENOMEM : agent_open(a);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int crews_open(struct fleet *fleet)
{
    int rc = 0;

    fleet->crews_count = fleet->agents_count < CREWS_MAX ? fleet->agents_count : CREWS_MAX;
    fleet->crews = aligned_alloc(CACHE_LINE, fleet->crews_count * sizeof(*fleet->crews));
    if (fleet->crews == NULL)
        return -ENOMEM;
    memset(fleet->crews, 0, fleet->crews_count * sizeof(*fleet->crews));
    for (unsigned i = 0; i < fleet->crews_count && rc == 0; i++)
        rc = crew_open(fleet, i);
    return rc;
}

int crews_start(struct fleet *fleet)
{
    int rc = 0;

    for (unsigned i = 0; i < fleet->crews_count && rc == 0; i++) {
        rc = -pthread_create(&fleet->crews[i].thread, NULL, crew_main, &fleet->crews[i]);
        fleet->crews[i].started = rc == 0;
    }
    return rc;
}

void crews_stop(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->crews != NULL && i < fleet->crews_count; i++)
        store_release(&fleet->crews[i].stopping, 1);
    for (unsigned i = 0; fleet->crews != NULL && i < fleet->crews_count; i++) {
        if (fleet->crews[i].started)
            pthread_join(fleet->crews[i].thread, NULL);
        fleet->crews[i].started = false;
    }
}

void crews_close(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->crews != NULL && i < fleet->crews_count; i++) {
        struct crew *crew = &fleet->crews[i];

        for (unsigned k = 0; crew->agents != NULL && k < crew->agents_count; k++) {
            if (crew->agents[k].agent != NULL)
                agent_close(&crew->agents[k]);
            free(crew->agents[k].streams);
        }
        pthread_mutex_destroy(&crew->shown_lock);
        free(crew->agents);
    }
    free(fleet->crews);
}
