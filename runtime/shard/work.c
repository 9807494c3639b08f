/*
 * work.c - the calls that make work tasks and steer them.
 *
 * Layer: shard, because they need a port's runtime. What they say is an event like any other; what
 * a task makes of it is the work machine's (agent/work_machine.h). Checked here is what would
 * otherwise be found out too late to tell anybody.
 */
#include "shard/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/policy.h"
#include "agent/work_machine.h"
#include "lane/lane.h"
#include "shard/port.h"
#include "shard/registry.h"
#include "shard/runtime.h"
#include "task/event.h"

_Static_assert(sizeof(struct work_payload) + sizeof(uint64_t) * PAWL_WORK_AFTER_MAX +
                       sizeof(struct note_detail) + 2 + PAWL_WORK_TEXT_MAX <=
                   61440,
               "a payload fits into a creation");

int pawl_work_machine(const struct pawl_runtime *runtime)
{
    return runtime->work != NULL ? (int)runtime->work_first : -ENOENT;
}

static const struct pawl_runtime *runtime_of(const struct pawl_port *port)
{
    return port->registry->shards[0]->runtime;
}

/* ---- Submissions ---- */

static bool has_lane(const struct pawl_runtime *runtime, const char *name)
{
    for (uint32_t i = 0; i < runtime->lane_count; i++)
        if (strcmp(runtime->lanes[i].name, name) == 0)
            return true;
    return false;
}

static int check_lanes(const struct pawl_runtime *runtime, const struct pawl_work_spec *spec)
{
    const struct pawl_work_policy *policy = pawl__policy_of(runtime->work, spec->policy);

    if ((spec->flags & PAWL_WORK_GROUP) != 0 && spec->lane == NULL)
        return 0;
    if (spec->lane == NULL)
        return -EINVAL;
    if (!has_lane(runtime, spec->lane))
        return -ENOENT;
    return policy->verify == PAWL_WORK_VERIFY_LANE && !has_lane(runtime, policy->verify_lane)
               ? -ENOENT
               : 0;
}

static int check_spec(const struct pawl_runtime *runtime, const struct pawl_work_spec *spec)
{
    const size_t policies = runtime->work->policies_count;
    const size_t name_size =
        spec->assignee != NULL ? strnlen(spec->assignee, PAWL_AGENT_NAME_MAX + 1) : 1;

    if (spec->policy >= (policies != 0 ? policies : 1) ||
        (spec->flags & ~(PAWL_WORK_HELD | PAWL_WORK_GROUP)) != 0 || name_size < 1 ||
        name_size > PAWL_AGENT_NAME_MAX || spec->after_count > PAWL_WORK_AFTER_MAX ||
        (spec->after_count > 0 && spec->after == NULL) ||
        (spec->payload_size > 0 && spec->payload == NULL) ||
        (spec->metadata_size > 0 && spec->metadata == NULL))
        return -EINVAL;
    return check_lanes(runtime, spec);
}

/* Whether a task is one that others may wait for. */
static int check_other(const struct pawl_runtime *runtime, struct pawl_task task, bool may_be_held)
{
    struct pawl_view view = {.context = NULL};
    const int error = pawl_task_peek(runtime, task, &view);

    if (error != 0)
        return error;
    if ((int)view.machine != pawl_work_machine(runtime))
        return -EINVAL;
    return view.state == PAWL_WORK_NEW && !may_be_held ? -EBUSY : 0;
}

/*
 * Who has been opened gets no more tasks to wait for, and is the only one to be waited for: so each
 * edge leads from a task to one that was opened earlier, and there is no circle.
 */
static int check_after(const struct pawl_runtime *runtime, const struct pawl_task *after,
                       size_t count)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < count; i++)
        error = check_other(runtime, after[i], false);
    return error;
}

/* What the context has no room for. */
static int pack_payload(const struct pawl_work_spec *spec, struct work_submission *submission)
{
    const struct pawl_work_detail detail = {.title = spec->title,
                                            .description = spec->description,
                                            .payload = spec->payload,
                                            .payload_size = spec->payload_size,
                                            .metadata = spec->metadata,
                                            .metadata_size = spec->metadata_size};
    const bool has_detail = spec->title != NULL || spec->description != NULL ||
                            spec->payload_size > 0 || spec->metadata_size > 0;
    const size_t detail_size = has_detail ? pawl__detail_size(&detail) : 0;
    const size_t after_size = spec->after_count * sizeof(uint64_t);
    struct work_payload *payload;

    if (has_detail && detail_size == 0)
        return -EINVAL;
    if (detail_size + after_size == 0)
        return 0;
    submission->task.payload_size = sizeof(*payload) + after_size + detail_size;
    payload = malloc(submission->task.payload_size);
    if (payload == NULL)
        return -ENOMEM;
    payload->after_count = (uint32_t)spec->after_count;
    payload->detail_size = (uint32_t)detail_size;
    for (size_t i = 0; i < spec->after_count; i++)
        payload->after[i] = spec->after[i].id;
    if (has_detail)
        pawl__detail_write((char *)payload + sizeof(*payload) + after_size, &detail);
    submission->payload = payload;
    submission->task.payload = payload;
    return 0;
}

static struct pawl_work context_of(const struct pawl_work_spec *spec)
{
    return (struct pawl_work){
        .claim = {.lane = spec->lane != NULL ? pawl_lane_number(spec->lane) : 0,
                  .priority = spec->priority,
                  .assignee = spec->assignee != NULL ? pawl_agent_number(spec->assignee) : 0},
        .policy = (uint16_t)spec->policy,
        .parent = spec->parent.id,
        .flags = (uint8_t)spec->flags,
        .due_ns = spec->delay_ns,
        .deadline_ns = spec->deadline_ns,
    };
}

int pawl__work_pack(const struct pawl_runtime *runtime, const struct pawl_work_spec *spec,
                    bool in_graph, uint32_t undeclared, struct work_submission *submission)
{
    int error;

    memset(submission, 0, sizeof(*submission));
    if (runtime->work == NULL)
        return -ENOTSUP;
    if (spec->size != sizeof(*spec))
        return -EINVAL;
    error = check_spec(runtime, spec);
    if (error == 0)
        error = check_after(runtime, spec->after, spec->after_count);
    if (error == 0 && spec->parent.id != 0)
        error = check_other(runtime, spec->parent, true);
    if (error != 0)
        return error;
    submission->context = context_of(spec);
    if (in_graph) {
        submission->context.flags |= PAWL_WORK_HELD | WORK_IN_GRAPH;
        submission->context.undeclared = undeclared;
    }
    submission->task = (struct pawl_task_spec){.machine = (unsigned)pawl_work_machine(runtime),
                                               .shard = spec->shard,
                                               .key = spec->key,
                                               .key_size = spec->key_size,
                                               .context = &submission->context,
                                               .context_size = sizeof(submission->context)};
    return pack_payload(spec, submission);
}

void pawl__work_unpack(struct work_submission *submission)
{
    free(submission->payload);
    submission->payload = NULL;
}

int pawl_work_submit(struct pawl_port *port, const struct pawl_work_spec *spec, uint32_t tag)
{
    struct work_submission submission;
    int error = pawl__work_pack(runtime_of(port), spec, false, 0, &submission);

    if (error != 0)
        return error;
    error = pawl_port_create(port, &submission.task, tag);
    pawl__work_unpack(&submission);
    return error;
}

/* ---- Events ---- */

static int post(struct pawl_port *port, struct pawl_task task, enum work_event code, uint64_t arg,
                uint32_t tag)
{
    const struct pawl_event event = {.task = task,
                                     .code = (uint16_t)code,
                                     .flags = PAWL_EVENT_COMPLETE,
                                     .tag = tag,
                                     .arg = {arg}};
    const struct pawl_runtime *runtime = runtime_of(port);
    int error;

    if (runtime->work == NULL)
        return -ENOTSUP;
    error = check_other(runtime, task, true);
    if (error != 0 && error != -ESTALE) /* that a task is gone is for its shard to say */
        return error;
    error = pawl_port_post(port, &event, 1);
    return error < 0 ? error : 0;
}

int pawl_work_open(struct pawl_port *port, struct pawl_task task, uint32_t tag)
{
    return post(port, task, WORK_OPEN, 0, tag);
}

int pawl_work_cancel(struct pawl_port *port, struct pawl_task task, bool tree, uint32_t tag)
{
    return post(port, task, WORK_CANCEL, tree, tag);
}

int pawl_work_watch(struct pawl_port *port, struct pawl_task task, uint32_t tag)
{
    return post(port, task, WORK_WATCH, 0, tag);
}

int pawl_work_kick(struct pawl_port *port, struct pawl_task task, uint32_t tag)
{
    return post(port, task, WORK_KICK, 0, tag);
}

int pawl_work_discard(struct pawl_port *port, struct pawl_task task, uint32_t tag)
{
    return post(port, task, WORK_DISCARD, 0, tag);
}

int pawl_work_prioritise(struct pawl_port *port, struct pawl_task task, uint32_t priority,
                         uint32_t tag)
{
    return post(port, task, WORK_PRIORITISE, priority, tag);
}

int pawl__work_after_event(struct pawl_task task, const struct pawl_task *after, size_t count,
                           enum work_by_graph by, struct pawl_event *event)
{
    struct pawl_buffer *buffer =
        pawl_buffer_create(sizeof(struct work_after) + count * sizeof(uint64_t));
    struct work_after *said;

    if (buffer == NULL)
        return -ENOMEM;
    said = pawl_buffer_bytes(buffer);
    said->count = (uint32_t)count;
    said->by_graph = by;
    for (size_t i = 0; i < count; i++)
        said->after[i] = after[i].id;
    *event = (struct pawl_event){.task = task,
                                 .code = WORK_AFTER,
                                 .flags = PAWL_EVENT_BUFFER,
                                 .arg = {(uint64_t)(uintptr_t)buffer}};
    return 0;
}

int pawl_work_after(struct pawl_port *port, struct pawl_task task, const struct pawl_task *after,
                    size_t count, uint32_t tag)
{
    const struct pawl_runtime *runtime = runtime_of(port);
    struct pawl_event event;
    int error;

    if (runtime->work == NULL)
        return -ENOTSUP;
    if (count > PAWL_WORK_AFTER_MAX || (count > 0 && after == NULL))
        return -EINVAL;
    error = check_other(runtime, task, true);
    if (error == 0)
        error = check_after(runtime, after, count);
    if (error == 0)
        error = pawl__work_after_event(task, after, count, WORK_BY_HOST, &event);
    if (error != 0)
        return error;
    event.flags |= PAWL_EVENT_COMPLETE;
    event.tag = tag;
    error = pawl_port_post(port, &event, 1);
    if (error < 0)
        event_drop_buffer(&event);
    return error < 0 ? error : 0;
}
