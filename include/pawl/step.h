/*
 * step.h - what a handler can do.
 *
 * A step is one event run to completion, with the events it raises to its own task. All it asks for
 * is staged and takes effect together when the step ends: state, context, timers, posts, new tasks.
 * If anything cannot be done, nothing is: the functions below then return the error, the step is
 * aborted with it, and the event's sender is told. Handlers need not check: once a call has failed,
 * later calls fail with the same error.
 *
 * Thread: only inside a handler, with the step it was given. No call blocks or allocates from the
 * system's heap except pawl_buffer_create.
 */
#ifndef PAWL_STEP_H
#define PAWL_STEP_H

#include <pawl/machine.h>

PAWL_BEGIN_DECLS

/* Who and when. now_ns is read once a turn; all steps of a turn see the same time. */
PAWL_API struct pawl_task pawl_step_task(const struct pawl_step *step);
PAWL_API uint64_t pawl_step_now_ns(const struct pawl_step *step);
PAWL_API unsigned pawl_step_shard(const struct pawl_step *step);
PAWL_API unsigned pawl_step_shard_count(const struct pawl_step *step);

/*
 * A random word from the shard's own generator (not for secrets); repeats with the runtime's seed.
 */
PAWL_API uint64_t pawl_step_random(struct pawl_step *step);

/* In the entry actions of a new task: the payload of its creation, valid until the step ends. Otherwise NULL,
 * and size 0. */
PAWL_API const void *pawl_step_payload(const struct pawl_step *step, size_t *size);

/* The host's pointer from pawl_options.user. */
PAWL_API void *pawl_step_user(const struct pawl_step *step);

/*
 * Post to any task of the runtime. event->flags may hold PAWL_EVENT_CONTROL and PAWL_EVENT_BUFFER.
 * -ENOSPC: the shard's limit of events in flight (pawl_options.inflight_max) or the limit of one
 * step (256) is reached. -EINVAL: no task, or a code of the runtime.
 * What becomes of an event that its target does not handle: pawl_options.on_undelivered.
 */
PAWL_API int pawl_step_post(struct pawl_step *step, const struct pawl_event *event);

/*
 * Post and be answered: the target's answer arrives as an event of code reply_code at this task,
 * arg[0] its value, arg[1] 0 or the (negative, cast) error. If the target's step does not answer,
 * the value is 0. event->arg[1] and event->tag are taken for the return address.
 */
PAWL_API int pawl_step_ask(struct pawl_step *step, const struct pawl_event *event,
                           uint16_t reply_code);

/*
 * Answer whoever posted the event that is being handled: the value of the port's completion, or of
 * the asking task's reply. The last answer of a step counts. Without an asker it has no effect.
 */
PAWL_API int pawl_step_answer(struct pawl_step *step, uint64_t value);

/* Raise an event to this task: handled in this step, after the current handler's transition, in the
 * order raised. The definition must declare it, or -EINVAL. One that the state refuses by policy
 * (-EPROTO) aborts the step; one that it defers is kept like an outside event.
 */
PAWL_API int pawl_step_raise(struct pawl_step *step, uint16_t code, uint64_t arg0, uint64_t arg1);

/*
 * Create a task. On this shard its handle is returned in *task at once and it may be posted to in
 * the same step; should its entry actions give up, on_undelivered is told. A key whose home is
 * another shard, or another shard asked for, makes the creation travel: *task is then PAWL_NO_TASK,
 * and with reply_code not PAWL_NO_REPLY an event of that code comes back: arg[0] the new (or
 * already existing) task's id or 0, arg[1] 0 or the (negative, cast) error. A key that exists on
 * this shard: -EEXIST and *task is the existing one; the step goes on.
 */
#define PAWL_NO_REPLY UINT16_MAX
PAWL_API int pawl_step_create(struct pawl_step *step, const struct pawl_task_spec *spec,
                              uint16_t reply_code, struct pawl_task *task);

/*
 * Arm a timer of this task (its position in the definition's table of timers), in place of what it
 * was armed to; it fires at the first tick that comes delay_ns or more after the event of this step
 * was posted, however long its turn has lasted. Cancel: a timer that is not armed is not an error,
 * and a cancelled timer does not fire any more. (A timer's event that the task has deferred has
 * fired: it is an event like any other.) A timer's event whose step is aborted for want of room
 * (-ENOSPC, -ENOMEM) comes again at the next tick.
 */
PAWL_API int pawl_step_arm(struct pawl_step *step, unsigned timer, uint64_t delay_ns);
PAWL_API int pawl_step_cancel(struct pawl_step *step, unsigned timer);

/* Put the current event aside until the state changes; nothing else of this step takes effect. */
PAWL_API int pawl_step_defer(struct pawl_step *step);

/*
 * End the task when this step is done, in whatever state it is. Raised events that are still to be
 * handled then are not: they count as ignored.
 */
PAWL_API int pawl_step_finish(struct pawl_step *step);

/* Give the step up: nothing of it takes effect and the sender is told error (negative). */
PAWL_API int pawl_step_abort(struct pawl_step *step, int error);

PAWL_END_DECLS

#endif /* PAWL_STEP_H */
