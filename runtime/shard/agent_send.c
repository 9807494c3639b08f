/*
 * agent_send.c - reports on their way to the shards.
 *
 * Layer: shard. Owner: the thread that uses the agent. Progress: nothing waits.
 *
 * Reports are events from the agent's port. Several at once are posted at once: what a post costs
 * beside copying the event is then paid once.
 */
#include <errno.h>

#include "agent/report.h"
#include "shard/agents.h"
#include "task/event.h"

#define POSTED_AT_ONCE 64u

/* Whether the lease says whose machine its task is; of a task that is gone nobody knows. */
static bool is_of_machine(const struct pawl_agent *agent, const struct held *held,
                          const struct pawl_lease *lease)
{
    struct pawl_view view = {.context = NULL};

    if (lease->machine >= agent->runtime->machine_count)
        return false;
    if (held != NULL)
        return held->machine == lease->machine;
    return pawl_task_peek(agent->runtime, lease->task, &view) != 0 ||
           view.machine == lease->machine;
}

/* The counter of ids that a report has moved, and where it was. */
struct counted {
    uint32_t *last_id;
    uint32_t before;
};

/* The event of a report, and what is to be remembered of it; `ahead` others are written and not posted. */
static int write_one(struct pawl_agent *agent, const struct pawl_lease *lease,
                     const struct pawl_report *report, unsigned ahead, struct pawl_event *event,
                     struct sent *sent, struct counted *counted)
{
    struct held *held = hand_find(&agent->hand, lease->task, lease->token);
    uint32_t *last_id = held != NULL ? &held->last_id : &agent->last_id;
    const struct pawl_reported reported = {
        .token = lease->token,
        .value = report->value,
        .hash = report->hash,
        .id = report->id != 0 ? report->id : *last_id + 1,
        .klass = report->klass,
        .bytes = report->bytes,
        .size = report->size,
    };
    int error;

    if ((unsigned)report->kind >= PAWL_REPORT_KINDS || report->size > PAWL_REPORT_BYTES_MAX ||
        (report->size > 0 && report->bytes == NULL) || reported.id > REPORT_ID_MAX ||
        !is_of_machine(agent, held, lease))
        return -EINVAL;
    *event =
        (struct pawl_event){.task = lease->task,
                            .code = agent->codes[lease->machine * PAWL_REPORT_KINDS + report->kind],
                            .flags = PAWL_EVENT_COMPLETE};
    if (event->code == AGENT_CODE_NONE)
        return -ENOTSUP;
    if (agent->sent_count + ahead + agent->receipts_count == agent->reports)
        return -EAGAIN;
    error = pawl__report_write(&reported, event);
    if (error != 0)
        return error;
    event->tag = agent->spare[agent->reports - agent->sent_count - ahead - 1];
    *sent = (struct sent){.task = lease->task,
                          .token = lease->token,
                          .id = reported.id,
                          .tag = report->tag,
                          .machine = (uint8_t)lease->machine,
                          .extends = report->kind == PAWL_REPORT_EXTEND};
    *counted = (struct counted){last_id, *last_id};
    if (reported.id > *last_id && (held != NULL || report->id == 0))
        *last_id = reported.id;
    return 0;
}

/* Up to POSTED_AT_ONCE; returns how many were sent, and why not more. */
static unsigned send_some(struct pawl_agent *agent, const struct pawl_lease *leases,
                          const struct pawl_report *reports, unsigned count, int *error)
{
    struct pawl_event events[POSTED_AT_ONCE];
    struct sent sent[POSTED_AT_ONCE];
    struct counted counted[POSTED_AT_ONCE];
    unsigned written = 0;
    int posted = 0;

    *error = 0;
    while (written < count && *error == 0) {
        *error = write_one(agent, &leases[written], &reports[written], written, &events[written],
                           &sent[written], &counted[written]);
        written += *error == 0;
    }
    if (written > 0)
        posted = pawl_port_post(agent->port, events, written);
    if (posted < (int)written) /* that comes before what could not be written */
        *error = posted < 0 ? posted : -EAGAIN;
    if (posted < 0)
        posted = 0;
    for (unsigned i = 0; i < (unsigned)posted; i++)
        agent->sent[events[i].tag] = sent[i];
    agent->sent_count += (unsigned)posted;
    while (written > (unsigned)posted) { /* as if they had never been written */
        event_drop_buffer(&events[--written]);
        *counted[written].last_id = counted[written].before;
    }
    return (unsigned)posted;
}

int pawl__agent_send(struct pawl_agent *agent, const struct pawl_lease *lease,
                     const struct pawl_report *report)
{
    int error;

    (void)send_some(agent, lease, report, 1, &error);
    return error;
}

int pawl_agent_report(struct pawl_agent *agent, const struct pawl_lease *lease,
                      const struct pawl_report *report)
{
    if (agent->stage != AGENT_OPEN)
        return -EBUSY;
    pawl_agent_beat(agent);
    return pawl__agent_send(agent, lease, report);
}

int pawl_agent_report_many(struct pawl_agent *agent, const struct pawl_lease *leases,
                           const struct pawl_report *reports, unsigned count)
{
    unsigned done = 0;
    int error = 0;

    if (agent->stage != AGENT_OPEN)
        return -EBUSY;
    pawl_agent_beat(agent);
    if (count > INT32_MAX)
        count = INT32_MAX;
    while (done < count && error == 0) {
        const unsigned left = count - done;

        done += send_some(agent, leases + done, reports + done,
                          left < POSTED_AT_ONCE ? left : POSTED_AT_ONCE, &error);
    }
    return done > 0 ? (int)done : error;
}
