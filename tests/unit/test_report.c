/*
 * The fate of every event reaches whoever sent it: by a completion, a reply or the host's callback,
 * once; its buffer is given up then and not before.
 */
#include "support/fixture.h"

static struct fixture f;
static struct pawl_task task;

static const char *const policy_events[] = {"go", "odd", "fail", "leave"};
enum { Y_GO, Y_ODD, Y_FAIL, Y_LEAVE };

static void fail(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    pawl_step_abort(step, -ETIMEDOUT);
    (void)context, (void)event;
}

static const struct pawl_state_def policy_states[] = {
    {.name = "one"}, {.name = "two"}, {.name = "end", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def policy_transitions[] = {
    {.from = "one", .on = "go", .to = "two"},      {.from = "two", .on = "go", .to = "one"},
    {.from = "one", .on = "fail", .action = fail}, {.from = "one", .on = "leave", .to = "end"},
    {.from = "two", .on = "leave", .to = "end"},
};
static const struct pawl_machine_def strict = {.name = "strict",
                                               FIXTURE_TABLE(events, policy_events),
                                               FIXTURE_TABLE(states, policy_states),
                                               FIXTURE_TABLE(transitions, policy_transitions),
                                               .unexpected = PAWL_UNEXPECTED_REFUSE};

static void strict_open(unsigned shards)
{
    fixture_open(
        &f, &(struct fixture_options){.machines = {&strict, &puppet_machine}, .shards = shards});
    task = fixture_create(&f, 0, 0);
}

/* ---- buffers ------------------------------------------------------------------------------------- */

Test(report, a_buffer_is_given_up_once_in_every_fate)
{
    enum fate { HANDLED, REFUSED, ABORTED, BAD_CODE, STALE, ENDED_IN_TURN, STOPPED, FATES };

    for (unsigned fate = 0; fate < 2 * FATES * 2; fate++) {
        const bool complete = fate % 2 == 1, portless = fate / 2 % 2 == 1;
        const enum fate which = fate / 4;
        static const int statuses[] = {0,       -EPROTO, -ETIMEDOUT, -EINVAL,
                                       -ESTALE, -ESTALE, -ECANCELED};
        static const uint16_t codes[] = {Y_GO, Y_ODD, Y_FAIL, 99, Y_GO, Y_GO, Y_GO};
        struct pawl_buffer *buffer;
        struct pawl_event event;

        if (complete && portless)
            continue;
        buffer = fixture_buffer();
        strict_open(1);
        if (which == STALE)
            fixture_ask(&f, task, Y_LEAVE, 0, 0);
        if (which == ENDED_IN_TURN)
            fixture_send(&f, task, Y_LEAVE, 0);
        event =
            (struct pawl_event){.task = task,
                                .code = codes[which],
                                .flags = PAWL_EVENT_BUFFER | (complete ? PAWL_EVENT_COMPLETE : 0),
                                .tag = 3,
                                .arg = {(uintptr_t)buffer, 44}};
        if (portless)
            cr_assert_eq(pawl_task_post(f.runtime, &event, 1), 1);
        else
            cr_assert_eq(pawl_port_post(f.port, &event, 1), 1);
        cr_assert_eq(fixture_references(buffer), 2);
        if (which == STOPPED)
            cr_assert_eq(pawl_stop(f.runtime), 0);
        else
            fixture_run(&f);
        cr_assert_eq(fixture_references(buffer), 1, "fate %u", fate);
        if (complete) {
            const struct pawl_completion done = fixture_reap(&f);

            cr_assert_eq(done.status, statuses[which], "fate %u: %d", fate, done.status);
            cr_assert_eq(done.tag, 3);
            cr_assert_eq(done.task.id, task.id);
            cr_assert_eq(f.undelivered_count, 0);
        } else if (which == HANDLED) {
            cr_assert_eq(f.undelivered_count, 0);
        } else {
            cr_assert_eq(f.undelivered_count, 1, "fate %u", fate);
            cr_assert_eq(f.undelivered[0].reason, statuses[which], "fate %u", fate);
            cr_assert_eq(f.undelivered[0].event.arg[1], 44);
            cr_assert_eq(f.undelivered[0].event.tag, 3);
        }
        fixture_close(&f);
        cr_assert_eq(fixture_references(buffer), 1);
        pawl_buffer_unref(buffer);
    }
}

Test(report, a_refused_post_leaves_the_buffer_to_the_poster)
{
    struct pawl_buffer *const buffer = pawl_buffer_create(4);
    struct pawl_event event;
    int posted = 0;

    fixture_open(&f, &(struct fixture_options){.machines = {&strict}, .port_capacity = 64});
    task = fixture_create(&f, 0, 0);
    event = (struct pawl_event){
        .task = task, .code = Y_GO, .flags = PAWL_EVENT_BUFFER, .arg = {(uintptr_t)buffer}};
    for (;;) {
        pawl_buffer_ref(buffer);
        if (pawl_port_post(f.port, &event, 1) != 1)
            break;
        posted++;
    }
    pawl_buffer_unref(buffer);
    cr_assert_eq(posted, 64);
    cr_assert_eq(pawl_port_post(f.port, &event, 1), -EAGAIN);
    cr_assert_eq(fixture_references(buffer), 65);
    fixture_run(&f);
    cr_assert_eq(fixture_references(buffer), 1);
    event.code = PAWL_CODE_RUNTIME;
    cr_assert_eq(pawl_port_post(f.port, &event, 1), -EINVAL);
    cr_assert_eq(fixture_references(buffer), 1);
    pawl_buffer_unref(buffer);
    fixture_close(&f);
}

/* ---- ports --------------------------------------------------------------------------------------- */

Test(report, posts_are_accepted_as_a_prefix)
{
    struct pawl_event events[200];

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .port_capacity = 64});
    task = fixture_puppet(&f, 0);
    for (unsigned i = 0; i < 200; i++)
        events[i] = (struct pawl_event){.task = task, .code = P_NOTE, .arg = {i}};
    cr_assert_eq(pawl_port_post(f.port, events, 200), 64);
    cr_assert_eq(pawl_port_post(f.port, events + 64, 136), -EAGAIN);
    fixture_run(&f);
    events[70].code = PAWL_CODE_RUNTIME;
    cr_assert_eq(pawl_port_post(f.port, events + 64, 136), 6);
    cr_assert_eq(pawl_port_post(f.port, events + 70, 130), -EINVAL);
    cr_assert_eq(pawl_port_post(f.port, events, 0), 0);
    fixture_run(&f);
    cr_assert_eq(trace.count, 70);
    for (unsigned i = 0; i < 70; i++)
        cr_assert_eq(trace.words[i], i);
    fixture_close(&f);
}

/* Completions that nobody reaps stop the posts that ask for more, and no others. */
Test(report, completions_outstanding_are_limited)
{
    struct pawl_event event;
    unsigned accepted = 0;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .port_capacity = 64});
    task = fixture_puppet(&f, 0);
    event = (struct pawl_event){.task = task, .code = P_NOTE, .flags = PAWL_EVENT_COMPLETE};
    for (unsigned i = 0; i < 100; i++) {
        accepted += pawl_port_post(f.port, &event, 1) == 1;
        fixture_run(&f);
    }
    cr_assert_eq(accepted, 64);
    cr_assert_eq(pawl_port_outstanding(f.port), 64);
    cr_assert_eq(pawl_port_post(f.port, &event, 1), -EAGAIN);
    cr_assert_eq(pawl_port_create(f.port, &(struct pawl_task_spec){.machine = 0}, 0), -EAGAIN);
    cr_assert_eq(pawl_port_cancel(f.port, task, 0), -EAGAIN);
    event.flags = 0;
    cr_assert_eq(pawl_port_post(f.port, &event, 1), 1);
    fixture_run(&f);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 65);
    fixture_reap(&f);
    event.flags = PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_port_post(f.port, &event, 1), 1);
    fixture_close(&f);
}

Test(report, a_port_closes_when_all_has_arrived)
{
    struct pawl_port *port;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .shards = 2});
    task = fixture_puppet(&f, 1);
    cr_assert_eq(pawl_port_open(f.runtime, NULL, &port), 0);
    event = (struct pawl_event){.task = task, .code = P_WAIT, .flags = PAWL_EVENT_COMPLETE};
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    event.flags = 0;
    event.code = P_NOTE;
    cr_assert_eq(pawl_port_post(port, &event, 1), 1);
    cr_assert_eq(pawl_port_close(port, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 1);
    /* The deferred event owes a completion. */
    cr_assert_eq(pawl_port_close(port, 0), -EAGAIN);
    fixture_run(&f);
    cr_assert_eq(pawl_port_wait(port, 0), -EAGAIN);
    fixture_ask(&f, task, P_MOVE, 0, 0);
    cr_assert_eq(pawl_port_wait(port, 0), 0);
    for (unsigned i = 0; pawl_port_close(port, 0) == -EAGAIN; i++) {
        cr_assert(i < 10);
        fixture_turn(&f);
    }
    cr_assert_eq(pawl_close(f.runtime), -EBUSY); /* the fixture's is open */
    fixture_close(&f);
}

Test(report, events_posted_before_a_close_are_taken)
{
    struct pawl_port *port;
    struct pawl_event event;
    int closed;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .shards = 3});
    for (unsigned round = 0; round < 20; round++) {
        cr_assert_eq(pawl_port_open(f.runtime, NULL, &port), 0);
        task = fixture_puppet(&f, round % 3);
        event = (struct pawl_event){.task = task, .code = P_NOTE};
        for (unsigned i = 0; i < 10; i++)
            cr_assert_eq(pawl_port_post(port, &event, 1), 1);
        do {
            closed = pawl_port_close(port, 0);
            if (closed == -EAGAIN)
                fixture_turn(&f);
        } while (closed == -EAGAIN);
        cr_assert_eq(closed, 0);
        cr_assert_eq(fixture_puppet_of(&f, task).count, 10);
    }
    fixture_close(&f);
}

Test(report, each_port_gets_its_own_completions_in_order)
{
    struct pawl_port *ports[5];
    struct pawl_task tasks[4];
    uint32_t next[5] = {0};

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}});
    for (unsigned i = 0; i < 4; i++)
        tasks[i] = fixture_puppet(&f, 0);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(pawl_port_open(f.runtime, NULL, &ports[i]), 0);
    for (unsigned i = 0; i < 2000; i++) {
        const unsigned p = i % 5;
        const struct pawl_event event = {.task = tasks[i * 7 / 3 % 4],
                                         .code = i % 3 ? P_NOTE : P_NOTE_SLOW,
                                         .flags = PAWL_EVENT_COMPLETE,
                                         .tag = i};

        cr_assert_eq(pawl_port_post(ports[p], &event, 1), 1);
    }
    fixture_run(&f);
    for (unsigned p = 0; p < 5; p++) {
        static bool seen[2000];
        struct pawl_completion done;

        memset(seen, 0, sizeof(seen));
        while (pawl_port_reap(ports[p], &done, 1) == 1) {
            cr_assert_eq(done.status, 0);
            cr_assert_eq(done.tag % 5, p);
            cr_assert(!seen[done.tag]);
            seen[done.tag] = true;
            next[p]++;
        }
        cr_assert_eq(next[p], 400);
        cr_assert_eq(pawl_port_outstanding(ports[p]), 0);
    }
    cr_assert_eq(pawl_stop(f.runtime), 0);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(pawl_port_close(ports[i], 0), 0);
    fixture_close(&f);
}

/* ---- stop and drain ------------------------------------------------------------------------------ */

static struct pawl_task far_target;

static void post_far(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    struct pawl_task made;

    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = far_target, .code = P_NOTE}), 0);
    cr_assert_eq(
        pawl_step_ask(step, &(struct pawl_event){.task = far_target, .code = P_NOTE}, P_REPLY), 0);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = event->task, .code = P_NOTE}),
                 0);
    cr_assert_eq(pawl_step_create(step, &(struct pawl_task_spec){.shard = 0}, PAWL_NO_REPLY, &made),
                 0);
    cr_assert_eq(
        pawl_step_create(step, &(struct pawl_task_spec){.shard = 1, .arg = {0, 1}}, P_REPLY, &made),
        0);
    (void)puppet;
}

Test(report, stop_cancels_what_is_queued_anywhere)
{
    unsigned cancelled = 0;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .shards = 2});
    task = fixture_puppet(&f, 0);
    far_target = fixture_puppet(&f, 1);
    fixture_send(&f, task, P_CALL, puppet_word(post_far));
    fixture_send(&f, far_target, P_NOTE, 0);
    cr_assert_eq(pawl_turn(f.runtime, 0), 1);
    fixture_post(&f,
                 &(struct pawl_event){.task = task, .code = P_NOTE, .flags = PAWL_EVENT_COMPLETE});
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(fixture_reap(&f).status, -ECANCELED);
    for (unsigned i = 0; i < f.undelivered_count; i++) {
        cr_assert_eq(f.undelivered[i].reason, -ECANCELED);
        cancelled++;
    }
    /*
     * The port's note; the post abroad; the note to itself; the local creation; and the replies that
     * say so to the question and to the creation abroad, which find nobody to handle them either.
     */
    cr_assert_eq(cancelled, 6);
    cr_assert_eq(pawl_port_post(f.port, &(struct pawl_event){.task = task}, 1), -EBUSY);
    cr_assert_eq(pawl_task_post(f.runtime, &(struct pawl_event){.task = task}, 1), -EBUSY);
    cr_assert_eq(pawl_turn(f.runtime, 0), -EBUSY);
    cr_assert(fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(report, drain_waits_for_all_but_timers_and_names_what_blocks)
{
    struct pawl_drain_report blocked;

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}, .shards = 2});
    task = fixture_puppet(&f, 0);
    far_target = fixture_puppet(&f, 1);
    fixture_send(&f, task, P_CALL, puppet_word(post_far));
    cr_assert_eq(pawl_drain(f.runtime, 10 * FIXTURE_SECOND, &blocked), 0);
    cr_assert_eq(fixture_puppet_of(&f, far_target).count, 2);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 3);
    cr_assert_eq(pawl_port_post(f.port, &(struct pawl_event){.task = task}, 1), -EBUSY);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_send(&f, far_target, P_WAIT, 0);
    cr_assert_eq(pawl_drain(f.runtime, FIXTURE_MS, &blocked), -ETIMEDOUT);
    cr_assert_eq(blocked.blocker, PAWL_BLOCKED_BY_DEFERRED);
    cr_assert_eq(blocked.task.id, far_target.id);
    cr_assert_eq(blocked.state, S_IDLE);
    cr_assert_eq(blocked.count, 1);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_ask(&f, far_target, P_MOVE, 0, 0);
    cr_assert_eq(pawl_drain(f.runtime, 10 * FIXTURE_SECOND, &blocked), 0);
    fixture_close(&f);
}

Test(report, a_pause_keeps_events_waiting)
{
    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine}});
    task = fixture_puppet(&f, 0);
    cr_assert_eq(pawl_pause(f.runtime), 0);
    fixture_send(&f, task, P_NOTE, 1);
    cr_assert_eq(pawl_turn(f.runtime, 0), 0);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(pawl_resume(f.runtime), 0);
    fixture_run(&f);
    cr_assert(TRACE_IS(1));
    fixture_close(&f);
}

/* ---- counters ------------------------------------------------------------------------------------ */

Test(report, counters_tell_each_fate)
{
    struct pawl_counters counters;

    strict_open(1);
    fixture_ask(&f, task, Y_GO, 0, 0);
    fixture_ask(&f, task, Y_GO, 0, 0);
    fixture_ask(&f, task, Y_ODD, 0, 0);
    fixture_ask(&f, task, Y_FAIL, 0, 0);
    fixture_send(&f, task, Y_FAIL, 0);
    fixture_ask(&f, task, 99, 0, 0);
    fixture_ask(&f, task, Y_LEAVE, 0, 0);
    fixture_ask(&f, task, Y_GO, 0, 0);
    fixture_send(&f, task, Y_GO, 0);
    fixture_run(&f);
    counters = fixture_counters(&f);
    cr_assert_eq(counters.events, 9);
    cr_assert_eq(counters.refused, 1);
    cr_assert_eq(counters.aborted, 3);
    cr_assert_eq(counters.stale, 2);
    cr_assert_eq(counters.undelivered, 2);
    cr_assert_eq(counters.created, 1);
    cr_assert_eq(counters.ended, 1);
    cr_assert_eq(counters.tasks, 0);
    cr_assert_eq(counters.transitions, 1 + 3); /* into the initial state as well */
    cr_assert_eq(pawl_shard_counters(f.runtime, 1, &counters), -ENOENT);
    fixture_close(&f);
}
