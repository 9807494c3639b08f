/*
 * work_life.c - a work task from its submission to its end, but for what agents do with it: waiting,
 * retries, being settled, cancelled, kicked and reclaimed.
 *
 * Layer: agent. Owner: the shard, inside steps. A handler that cannot do what it should aborts the
 * step, so that nothing of it has happened and its sender is told why.
 */
#include <errno.h>
#include <string.h>

#include "agent/policy.h"
#include "agent/work_machine.h"
#include "base/planted.h"

const struct pawl_work_policy *pawl__work_policy(const struct pawl_step *step,
                                                 const struct pawl_work *work)
{
    return pawl__policy_of(pawl__step_work(step), work->policy);
}

void pawl__work_next(struct pawl_step *step, struct pawl_work *work, enum pawl_work_state state)
{
    work->next = (uint8_t)((unsigned)state + 1);
    pawl_step_raise(step, WORK_GO, 0, 0);
}

void pawl__work_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    (void)step, (void)event;
    work->next = 0;
}

void pawl__work_history(struct pawl_step *step, struct pawl_work *work,
                        const struct pawl_work_note *note)
{
    struct pawl_work_note written = *note;

    if (work->history >= policy_notes_max(pawl__work_policy(step, work))) {
        work->missed += work->missed < UINT16_MAX;
        return;
    }
    written.wall_ns = pawl_step_wall_ns(step);
    /* A full table does not keep a task from failing: history is written where there is room. */
    if (pawl__note_append(step, work, pawl__step_machine_first(step) + 1, &written, false) == 0)
        work->history++;
    else
        work->missed += work->missed < UINT16_MAX;
}

/* ---- To ready, and back to it ---- */

static void settle(struct pawl_step *step, struct pawl_work *work, enum pawl_work_state state,
                   unsigned klass, int reason)
{
    work->klass = (uint8_t)klass;
    work->reason = reason;
    pawl__work_next(step, work, state);
}

void pawl__work_make_ready(struct pawl_step *step, struct pawl_work *work)
{
    work->claim.lane = work->lane;
    work->claim.assignee = work->assignee;
    if ((work->flags & PAWL_WORK_GROUP) != 0)
        pawl__work_next(step, work, PAWL_WORK_COMPLETED);
    else if (!pawl__step_has_lane(step, work->lane))
        settle(step, work, PAWL_WORK_DEAD, PAWL_WORK_CLASS_NO_LANE, -ENOENT);
    else
        pawl__work_next(step, work, PAWL_WORK_READY);
}

/* It waits for no other task (any more). */
static void release(struct pawl_step *step, struct pawl_work *work)
{
    if ((work->flags & WORK_IS_DELAYED) != 0)
        pawl__work_next(step, work, PAWL_WORK_DELAYED);
    else
        pawl__work_make_ready(step, work);
}

bool pawl__work_crashed(struct pawl_step *step, struct pawl_work *work)
{
    work->crashes += work->crashes < UINT8_MAX;
    if (!policy_quarantines(pawl__work_policy(step, work), work))
        return false;
    settle(step, work, PAWL_WORK_DEAD, PAWL_WORK_CLASS_QUARANTINED, -ECANCELED);
    return true;
}

void pawl__work_fail(struct pawl_step *step, struct pawl_work *work, unsigned klass, int reason,
                     uint64_t agent)
{
    const struct pawl_work_policy *policy = pawl__work_policy(step, work);
    const uint64_t delay = pawl__policy_backoff(policy, work->attempts, pawl_step_random(step));
    enum pawl_work_state state;

    work->klass = (uint8_t)klass;
    work->reason = reason;
    pawl__work_history(step, work,
                       &(struct pawl_work_note){.kind = PAWL_WORK_NOTE_ATTEMPT,
                                                .klass = (uint8_t)klass,
                                                .reason = reason,
                                                .agent = agent,
                                                .token = work->claim.token,
                                                .value = work->attempts});
    if (klass == PAWL_WORK_CLASS_LOST && pawl__work_crashed(step, work))
        return;
    state = pawl__policy_after(policy, work);
    if (state == PAWL_WORK_READY) {
        pawl__work_make_ready(step, work);
        return;
    }
    if (state == PAWL_WORK_DELAYED) {
        work->flags |= WORK_IS_DELAYED;
        work->due_ns = pawl_step_wall_ns(step) + delay;
        pawl_step_arm(step, WORK_TIMER_DELAY, delay);
    }
    pawl__work_next(step, work, state);
}

/* ---- Submission ---- */

/* Waits for these as well. */
static void wait_for(struct pawl_step *step, struct pawl_work *work, const uint64_t *after,
                     uint32_t count)
{
    const uint64_t own = pawl_step_task(step).id;

    for (uint32_t i = 0; i < count; i++) {
        if (after[i] == own || after[i] == 0) {
            pawl_step_abort(step, -EINVAL);
            return;
        }
        pawl_step_ask(step, &(struct pawl_event){.task = {after[i]}, .code = WORK_WATCH},
                      WORK_SETTLED);
    }
    work->waits += count;
}

/* What was too long for the context. It comes from outside, so nothing in it is believed. */
static void read_payload(struct pawl_step *step, struct pawl_work *work, const void *bytes,
                         size_t size)
{
    struct pawl_work_note note = {.kind = PAWL_WORK_NOTE_DETAIL};
    struct pawl_work_detail detail;
    struct work_payload head;
    uint64_t after[PAWL_WORK_AFTER_MAX];
    const char *at = bytes;

    if (size < sizeof(head)) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    memcpy(&head, at, sizeof(head));
    if (head.after_count > PAWL_WORK_AFTER_MAX ||
        size != sizeof(head) + sizeof(*after) * head.after_count + head.detail_size) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    memcpy(after, at + sizeof(head), sizeof(*after) * head.after_count);
    wait_for(step, work, after, head.after_count);
    if (head.detail_size == 0)
        return;
    note.bytes = at + sizeof(head) + sizeof(*after) * head.after_count;
    note.size = head.detail_size;
    note.wall_ns = work->created_ns;
    if (pawl_work_note_detail(&note, &detail) != 0) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    pawl__note_append(step, work, pawl__step_machine_first(step) + 1, &note, true);
    work->detail = work->newest;
}

static uint64_t later(uint64_t wall_ns, uint64_t ns)
{
    return ns > UINT64_MAX - wall_ns ? UINT64_MAX : wall_ns + ns;
}

/* What the context was given keeps only what may be asked for. */
static struct pawl_work begin_with(const struct pawl_work *given, uint64_t wall_ns)
{
    return (struct pawl_work){
        .claim = {.lane = given->claim.lane,
                  .priority = given->claim.priority,
                  .assignee = given->claim.assignee},
        .lane = given->claim.lane,
        .assignee = given->claim.assignee,
        .policy = given->policy,
        .parent = given->parent,
        .flags = given->flags & WORK_FLAGS_GIVEN,
        .undeclared = (given->flags & WORK_IN_GRAPH) != 0 ? given->undeclared : 0,
        .created_ns = wall_ns,
        .due_ns = given->due_ns != 0 ? later(wall_ns, given->due_ns) : 0,
        .deadline_ns = given->deadline_ns != 0 ? later(wall_ns, given->deadline_ns) : 0,
    };
}

void pawl__work_begin(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    const uint64_t delay = work->due_ns, deadline = work->deadline_ns;
    const void *payload;
    size_t size = 0;

    (void)event;
    *work = begin_with(work, pawl_step_wall_ns(step));
    work->attempts_max = policy_attempts(pawl__work_policy(step, work));
    if ((work->flags & PAWL_WORK_GROUP) == 0 && !pawl__step_has_lane(step, work->lane)) {
        pawl_step_abort(step, -ENOENT);
        return;
    }
    payload = pawl_step_payload(step, &size);
    if (payload != NULL)
        read_payload(step, work, payload, size);
    if (work->parent != 0)
        pawl_step_ask(step, &(struct pawl_event){.task = {work->parent}, .code = WORK_FOLLOW},
                      WORK_PARENT);
    if (delay != 0) {
        work->flags |= WORK_IS_DELAYED;
        pawl_step_arm(step, WORK_TIMER_DELAY, delay);
    }
    if (deadline != 0) {
        work->flags |= WORK_HAS_TIMER;
        pawl_step_arm(step, WORK_TIMER_DEADLINE, deadline);
    }
    if ((work->flags & PAWL_WORK_HELD) != 0)
        return;
    if (work->waits > 0)
        pawl__work_next(step, work, PAWL_WORK_DEPENDENT);
    else
        release(step, work);
}

void pawl__work_open(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    (void)event;
    work->flags &= (uint8_t)~PAWL_WORK_HELD;
    if (work->undeclared > 0) /* what should have told it was refused: it must not run too soon */
        settle(step, work, PAWL_WORK_FAILED, PAWL_WORK_CLASS_DEPENDENCY, -EIO);
    else if (work->waits > 0)
        pawl__work_next(step, work, PAWL_WORK_DEPENDENT);
    else
        release(step, work);
}

void pawl__work_after(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    struct work_after head;
    uint64_t after[PAWL_WORK_AFTER_MAX];
    struct pawl_buffer *buffer;
    const char *bytes;

    if ((event->flags & PAWL_EVENT_BUFFER) == 0) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    buffer = (struct pawl_buffer *)(uintptr_t)event->arg[0];
    bytes = pawl_buffer_bytes(buffer);
    if (pawl_buffer_size(buffer) < sizeof(head)) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    memcpy(&head, bytes, sizeof(head));
    if (head.count > PAWL_WORK_AFTER_MAX ||
        pawl_buffer_size(buffer) != sizeof(head) + sizeof(*after) * head.count) {
        pawl_step_abort(step, -EINVAL);
        return;
    }
    /* Others might close a circle that the graph has not. */
    if ((work->flags & WORK_IN_GRAPH) != 0 && head.by_graph == WORK_BY_HOST) {
        pawl_step_abort(step, -EPROTO);
        return;
    }
    memcpy(after, bytes + sizeof(head), sizeof(*after) * head.count);
    if (head.by_graph != WORK_BY_HOST)
        work->undeclared -= head.count < work->undeclared ? head.count : work->undeclared;
    if (head.by_graph == WORK_BY_GRAPH_LAST)
        work->flags |= WORK_IS_DECLARED;
    wait_for(step, work, after, head.count);
}

/* ---- Waiting ---- */

/* Counts one answer; true: it is one that the task cannot do without. */
static bool is_broken(struct pawl_step *step, struct pawl_work *work,
                      const struct pawl_event *event)
{
    const int error = (int)(int64_t)event->arg[1];

    work->waits -= work->waits > 0;
    if ((error == 0 && event->arg[0] == PAWL_WORK_COMPLETED) ||
        pawl__work_policy(step, work)->broken == PAWL_WORK_BROKEN_GO_ON)
        return false;
    work->flags |= WORK_IS_BROKEN;
    return true;
}

static void settle_broken(struct pawl_step *step, struct pawl_work *work,
                          const struct pawl_event *event)
{
    const int error = (int)(int64_t)event->arg[1];
    const bool cancel = pawl__work_policy(step, work)->broken == PAWL_WORK_BROKEN_CANCEL;

    settle(step, work, cancel ? PAWL_WORK_CANCELLED : PAWL_WORK_FAILED, PAWL_WORK_CLASS_DEPENDENCY,
           error != 0 ? error : -ECANCELED);
}

void pawl__work_settled_held(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    if (is_broken(step, context, event))
        settle_broken(step, context, event);
}

void pawl__work_settled(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    if (is_broken(step, work, event))
        settle_broken(step, work, event);
    else if (work->waits <= planted(PLANTED_RELEASED_EARLY))
        release(step, work);
}

/* It has failed meanwhile; should it be kicked, it waits for the rest. */
void pawl__work_settled_late(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    is_broken(step, context, event);
}

/* Only the timer says that it is time. */
static bool is_timer(struct pawl_step *step, const struct pawl_event *event)
{
    if ((event->flags & PAWL_EVENT_TIMER) == 0)
        pawl_step_abort(step, -EPERM);
    return (event->flags & PAWL_EVENT_TIMER) != 0;
}

void pawl__work_due_early(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    if (is_timer(step, event))
        work->flags &= (uint8_t)~WORK_IS_DELAYED;
}

void pawl__work_due(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    if (!is_timer(step, event))
        return;
    work->flags &= (uint8_t)~WORK_IS_DELAYED;
    pawl__work_make_ready(step, work);
}

void pawl__work_overdue(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    if (!is_timer(step, event))
        return;
    work->klass = PAWL_WORK_CLASS_OVERDUE;
    work->reason = -ETIMEDOUT;
}

void pawl__work_prioritise(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    if (event->arg[0] > UINT32_MAX)
        pawl_step_abort(step, -EINVAL);
    else
        work->claim.priority = (uint32_t)event->arg[0];
}

/* ---- Cancelling ---- */

void pawl__work_cancel(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;

    (void)step;
    work->flags |= event->arg[0] == WORK_CANCEL_TREE ? WORK_TREE : 0;
    work->klass = event->arg[0] == WORK_CANCEL_UNDECLARED ? PAWL_WORK_CLASS_UNDECLARED : 0;
    work->reason = -ECANCELED;
}

void pawl__work_cancel_late(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context, (void)event;
    pawl_step_abort(step, -EALREADY);
}

/*
 * Cancelled with its tree, or gone before it could be asked. Any other error says nothing of the
 * parent: it had failed and was kept until it was gone, or too many follow it already.
 */
bool pawl__work_is_parent_gone(const struct pawl_step *step, const void *context,
                               const struct pawl_event *event)
{
    const int error = (int)(int64_t)event->arg[1];

    (void)step, (void)context;
    if (error != 0)
        return error == -ESTALE;
    return event->arg[0] == 1 && !planted(PLANTED_TREE_STANDS);
}

void pawl__work_parent(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    const int error = (int)(int64_t)event->arg[1];

    (void)step;
    work->flags |= WORK_TREE;
    work->klass = PAWL_WORK_CLASS_PARENT;
    work->reason = error != 0 ? error : -ECANCELED;
}

/* ---- Settled ---- */

static void enter(struct pawl_step *step, struct pawl_work *work, enum pawl_work_state state,
                  uint64_t keep_ns)
{
    work->outcome = (uint8_t)state;
    work->settled_ns = pawl_step_wall_ns(step);
    if ((work->flags & WORK_IS_DELAYED) != 0)
        pawl_step_cancel(step, WORK_TIMER_DELAY);
    if ((work->flags & WORK_HAS_TIMER) != 0)
        pawl_step_cancel(step, WORK_TIMER_DEADLINE);
    work->flags &= (uint8_t) ~(WORK_IS_DELAYED | WORK_HAS_TIMER | PAWL_WORK_HELD);
    if (keep_ns != PAWL_WORK_FOREVER)
        pawl_step_arm(step, WORK_TIMER_KEEP, keep_ns);
}

void pawl__work_enter_completed(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    struct pawl_work *work = context;

    (void)event;
    work->klass = 0; /* of an attempt that did not count in the end; the history has it */
    work->reason = 0;
    enter(step, work, PAWL_WORK_COMPLETED, policy_keep_ns(pawl__work_policy(step, work)));
}

void pawl__work_enter_failed(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    enter(step, context, PAWL_WORK_FAILED, policy_keep_ns(pawl__work_policy(step, context)));
}

void pawl__work_enter_cancelled(struct pawl_step *step, void *context,
                                const struct pawl_event *event)
{
    (void)event;
    enter(step, context, PAWL_WORK_CANCELLED, policy_keep_ns(pawl__work_policy(step, context)));
}

void pawl__work_enter_dead(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    enter(step, context, PAWL_WORK_DEAD, policy_keep_dead_ns(pawl__work_policy(step, context)));
}

void pawl__work_watch(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_work *work = context;

    (void)event;
    pawl_step_answer(step, work->outcome);
}

void pawl__work_follow(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_work *work = context;

    (void)event;
    pawl_step_answer(
        step, work->outcome == PAWL_WORK_CANCELLED && (work->flags & WORK_TREE) != 0 ? 1 : 0);
}

void pawl__work_kick(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct pawl_work *work = context;
    const uint32_t more = policy_attempts(pawl__work_policy(step, work));

    (void)event;
    if ((work->flags & WORK_IS_BROKEN) != 0 || work->undeclared > 0) {
        pawl_step_abort(step, -EPERM);
        return;
    }
    if ((work->flags & PAWL_WORK_GROUP) == 0 && !pawl__step_has_lane(step, work->lane)) {
        pawl_step_abort(step, -ENOENT);
        return;
    }
    pawl__work_history(step, work,
                       &(struct pawl_work_note){.kind = PAWL_WORK_NOTE_KICKED,
                                                .klass = work->klass,
                                                .reason = work->reason,
                                                .value = work->outcome});
    work->attempts_max =
        more > UINT32_MAX - work->attempts ? PAWL_WORK_UNLIMITED : work->attempts + more;
    work->crashes = 0;
    work->outcome = 0;
    work->settled_ns = 0;
    work->deadline_ns = 0;
    pawl_step_cancel(step, WORK_TIMER_KEEP);
    if (work->waits > 0) /* it was overdue before they had settled */
        pawl__work_next(step, work, PAWL_WORK_DEPENDENT);
    else
        pawl__work_make_ready(step, work);
}

void pawl__work_reclaim(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    is_timer(step, event);
}

void pawl__work_end(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    pawl__notes_end(step, context);
}
