/*
 * handler.c - the functions of pawl/step.h: what a handler asks for is checked, made sure of and
 * staged.
 *
 * Layer: shard. Owner: the shard, inside a step. Whatever may fail fails here, so that the commit
 * cannot: chunks for posts, links to other shards, nodes for timers, slots for new tasks.
 */
#include <errno.h>
#include <pawl/step.h>
#include <string.h>

#include "agent/work_machine.h"
#include "shard/alias.h"
#include "shard/create.h"
#include "shard/durable.h"
#include "shard/exchange.h"
#include "shard/lanes.h"
#include "shard/runtime.h"
#include "shard/shard.h"
#include "shard/timers.h"
#include "task/event.h"

static bool has_failed(const struct pawl_step *step)
{
    return (step->staged & STAGED_ERROR) != 0;
}

struct pawl_task pawl_step_task(const struct pawl_step *step)
{
    /* relaxed: this thread wrote it. */
    return (struct pawl_task){load_relaxed(&step->shard->busy_task)};
}

uint64_t pawl_step_now_ns(const struct pawl_step *step)
{
    return step->shard->now_ns;
}

unsigned pawl_step_shard(const struct pawl_step *step)
{
    return step->shard->number;
}

unsigned pawl_step_shard_count(const struct pawl_step *step)
{
    return step->shard->shard_count;
}

uint64_t pawl_step_random(struct pawl_step *step)
{
    return random_next(&step->shard->random);
}

const void *pawl_step_payload(const struct pawl_step *step, size_t *size)
{
    const bool first = step->event->code == PAWL_CODE_CREATE;

    *size = first ? step->shard->create_payload_size : 0;
    return first ? step->shard->create_payload : NULL;
}

void *pawl_step_user(const struct pawl_step *step)
{
    return step->shard->user;
}

const struct pawl_work_options *pawl__step_work(const struct pawl_step *step)
{
    return step->shard->runtime->work;
}

unsigned pawl__step_machine_first(const struct pawl_step *step)
{
    return step->shard->runtime->work_first;
}

bool pawl__step_has_lane(const struct pawl_step *step, uint32_t lane)
{
    return step->shard->lanes != NULL && pawl__lanes_position(step->shard->lanes, lane) >= 0;
}

/*
 * The first event that a step for an event from inside sends takes the place of that one: so a chain
 * of them never breaks for want of room, whatever else is in flight.
 */
static bool takes_place(const struct pawl_step *step)
{
    return step->posts_count == 0 && step->source == 0 && step->timer_node == 0;
}

int pawl__step_stage(struct pawl_step *step, const struct pawl_event *event)
{
    struct shard *shard = step->shard;
    const uint32_t count = step->posts_count;
    uint32_t chunks = count + 1;

    if (has_failed(step))
        return step->error;
    if (count == STEP_EMIT_MAX ||
        (exchange_inflight(shard) + count >= shard->inflight_max && !takes_place(step)))
        return pawl__step_fail(step, -ENOSPC);
    if (unlikely(step->machine->durability != PAWL_DURABILITY_MEMORY)) {
        if (durable_event_bytes(event) > sizeof(struct entry_event) + EVENT_PAYLOAD_MAX)
            return pawl__step_fail(step, -ENOSPC);
        chunks = DURABLE_CHUNKS(count + 1);
    }
    if (shard->chunks.count < chunks && !pawl__chunks_ensure(&shard->chunks, chunks))
        return pawl__step_fail(step, -ENOMEM);
    if (!exchange_ensure(shard, id_shard(event->task)))
        return pawl__step_fail(step, -ENOMEM);
    event_copy(&step->posts[count], event);
    step->posts_count = count + 1;
    step->staged |= STAGED_POSTS;
    return 0;
}

static bool event_is_valid(const struct pawl_step *step, const struct pawl_event *event)
{
    const uint16_t allowed = PAWL_EVENT_CONTROL | PAWL_EVENT_BUFFER;

    return event->code < PAWL_CODE_RUNTIME && (event->flags & ~allowed) == 0 &&
           id_shard(event->task) < step->shard->shard_count && id_slot(event->task) != 0;
}

int pawl_step_post(struct pawl_step *step, const struct pawl_event *event)
{
    struct pawl_event moved;

    if (has_failed(step))
        return step->error;
    if (unlikely(step->shard->aliases != NULL)) {
        moved = *event;
        moved.task = aliases_resolve(step->shard->aliases, event->task);
        event = &moved;
    }
    if (!event_is_valid(step, event))
        return pawl__step_fail(step, -EINVAL);
    return pawl__step_stage(step, event);
}

int pawl_step_ask(struct pawl_step *step, const struct pawl_event *event, uint16_t reply_code)
{
    struct pawl_event asked = *event;

    if (has_failed(step))
        return step->error;
    if (unlikely(step->shard->aliases != NULL))
        asked.task = aliases_resolve(step->shard->aliases, asked.task);
    if (!event_is_valid(step, &asked) || reply_code >= step->machine->events_count)
        return pawl__step_fail(step, -EINVAL);
    asked.flags |= PAWL_EVENT_ASK;
    asked.arg[1] = pawl_step_task(step).id;
    asked.tag = reply_code;
    return pawl__step_stage(step, &asked);
}

int pawl_step_answer(struct pawl_step *step, uint64_t value)
{
    if (has_failed(step))
        return step->error;
    step->answer = value;
    step->staged |= STAGED_ANSWER;
    return 0;
}

int pawl_step_raise(struct pawl_step *step, uint16_t code, uint64_t arg0, uint64_t arg1)
{
    const uint64_t *raises = step->transition->raises;

    if (has_failed(step))
        return step->error;
    if (code >= step->machine->events_count || raises == NULL ||
        (raises[code / 64] >> (code % 64) & 1) == 0)
        return pawl__step_fail(step, -EINVAL);
    if (step->raises_count == RAISE_CHAIN_MAX)
        return pawl__step_fail(step, -ENOSPC);
    step->raises[step->raises_count++] =
        (struct pawl_event){.task = pawl_step_task(step), .code = code, .arg = {arg0, arg1}};
    step->staged |= STAGED_RAISES;
    return 0;
}

int pawl_step_create(struct pawl_step *step, const struct pawl_task_spec *spec, uint16_t reply_code,
                     struct pawl_task *task)
{
    int error;

    if (has_failed(step))
        return step->error;
    if (reply_code != PAWL_NO_REPLY && reply_code >= step->machine->events_count)
        return pawl__step_fail(step, -EINVAL);
    error = pawl__create_staged(step, spec, reply_code, task);
    if (error == -EEXIST)
        return error; /* an answer, not a failure */
    return error == 0 ? 0 : pawl__step_fail(step, error);
}

int pawl__step_try_create(struct pawl_step *step, const struct pawl_task_spec *spec,
                          struct pawl_task *task)
{
    int error;

    if (has_failed(step))
        return step->error;
    error = pawl__create_staged(step, spec, PAWL_NO_REPLY, task);
    if (error == 0 || error == -ENOSPC || error == -ENOMEM)
        return error;
    return pawl__step_fail(step, error);
}

int pawl_step_arm(struct pawl_step *step, unsigned timer, uint64_t delay_ns)
{
    int error;

    if (has_failed(step))
        return step->error;
    if (timer >= step->machine->named_timers_count)
        return pawl__step_fail(step, -EINVAL);
    error = pawl__timer_stage_arm(step, timer, delay_ns);
    return error == 0 ? 0 : pawl__step_fail(step, error);
}

int pawl_step_cancel(struct pawl_step *step, unsigned timer)
{
    int error;

    if (has_failed(step))
        return step->error;
    if (timer >= step->machine->named_timers_count)
        return pawl__step_fail(step, -EINVAL);
    error = pawl__timer_stage_cancel(step, timer);
    return error == 0 ? 0 : pawl__step_fail(step, error);
}

int pawl_step_defer(struct pawl_step *step)
{
    if (has_failed(step))
        return step->error;
    if (step->raises_done > 0) /* only an outside event can wait */
        return pawl__step_fail(step, -EINVAL);
    step->staged |= STAGED_DEFER;
    return 0;
}

int pawl_step_finish(struct pawl_step *step)
{
    if (has_failed(step))
        return step->error;
    step->staged |= STAGED_FINISH;
    return 0;
}

int pawl_step_abort(struct pawl_step *step, int error)
{
    return pawl__step_fail(step, error < 0 ? error : -EINVAL);
}
