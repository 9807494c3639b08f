/*
 * What a handler can do besides changing its task: post, ask, answer, see who and when it is; and the
 * limits that it meets. Nothing is half done at a limit.
 */
#include "support/fixture.h"

static struct pawl_task target;
static int returned[4];

static void post_many(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    for (uint64_t i = 0; i < event->arg[1]; i++)
        returned[0] =
            pawl_step_post(step, &(struct pawl_event){.task = target, .code = P_NOTE, .arg = {i}});
    puppet->count += event->arg[1];
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void check_post_limit(uint32_t shard)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    task = fixture_puppet(&f, 0);
    target = fixture_puppet(&f, shard);
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(post_many), 256).status, 0);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 256);
    for (unsigned i = 0; i < 256; i++)
        cr_assert_eq(trace.words[i], i);
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(post_many), 257).status, -ENOSPC);
    cr_assert_eq(returned[0], -ENOSPC);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 256);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 256);
    cr_assert_eq(f.undelivered_count, 0);
    cr_assert_eq(fixture_counters(&f).inflight, 0);
    cr_assert_eq(fixture_ask(&f, task, P_CALL_SLOW, puppet_word(post_many), 3).status, 0);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 259);
    fixture_close(&f);
}

Test(handler, a_step_may_post_256_events)
{
    check_post_limit(0);
}

Test(handler, a_step_may_post_256_events_to_another_shard)
{
    check_post_limit(1);
}

Test(handler, at_the_limit_of_events_in_flight_the_sender_is_told)
{
    static struct fixture f;
    struct pawl_task task;
    struct pawl_view before;

    fixture_open(&f, &(struct fixture_options){.inflight_max = 8});
    task = fixture_puppet(&f, 0);
    target = fixture_puppet(&f, 0);
    before = fixture_view(&f, task, NULL, 0);
    cr_assert_eq(fixture_ask(&f, task, P_MOVE, puppet_word(post_many), 9).status, -ENOSPC);
    cr_assert_eq(returned[0], -ENOSPC);
    cr_assert_eq(fixture_view(&f, task, NULL, 0).version, before.version);
    cr_assert_eq(fixture_state(&f, task), S_IDLE);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 0);
    cr_assert_eq(fixture_counters(&f).inflight, 0);

    cr_assert_eq(fixture_ask(&f, task, P_MOVE, puppet_word(post_many), 8).status, 0);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 8);

    /* Two steps of one turn share the limit; the second finds what the first has left. */
    fixture_post(&f, &(struct pawl_event){.task = task,
                                          .code = P_CALL,
                                          .flags = PAWL_EVENT_COMPLETE,
                                          .arg = {puppet_word(post_many), 5}});
    fixture_post(&f, &(struct pawl_event){.task = task,
                                          .code = P_CALL,
                                          .flags = PAWL_EVENT_COMPLETE,
                                          .arg = {puppet_word(post_many), 4}});
    fixture_run(&f);
    cr_assert_eq(fixture_reap(&f).status, 0);
    cr_assert_eq(fixture_reap(&f).status, -ENOSPC);
    cr_assert_eq(fixture_puppet_of(&f, target).count, 13);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 13);
    fixture_close(&f);
}

static unsigned hops;

/* Posts itself on: never more events in flight than there are tasks that do so. */
static void hop(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    hops++;
    if (event->arg[1] > 0)
        pawl_step_post(step, &(struct pawl_event){.task = pawl_step_task(step),
                                                  .code = P_CALL,
                                                  .arg = {event->arg[0], event->arg[1] - 1}});
}

/* An event that is being handled is not queued any more, so as many as the limit may go on. */
Test(handler, as_many_chains_as_the_limit_can_go_on)
{
    static struct fixture f;
    struct pawl_task tasks[4];

    fixture_open(&f, &(struct fixture_options){.inflight_max = 8});
    for (unsigned i = 0; i < 4; i++) {
        tasks[i] = fixture_puppet(&f, 0);
        fixture_post(&f, &(struct pawl_event){
                             .task = tasks[i], .code = P_CALL, .arg = {puppet_word(hop), 10}});
    }
    hops = 0;
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 0, "%u were lost", f.undelivered_count);
    cr_assert_eq(hops, 44);
    fixture_close(&f);

    fixture_open(&f, &(struct fixture_options){.inflight_max = 6});
    for (unsigned i = 0; i < 4; i++) {
        tasks[i] = fixture_puppet(&f, 0);
        fixture_post(&f, &(struct pawl_event){
                             .task = tasks[i], .code = P_CALL, .arg = {puppet_word(hop), 10}});
    }
    hops = 0;
    fixture_run(&f);
    cr_assert_eq(f.undelivered_count, 0, "%u were lost", f.undelivered_count);
    cr_assert_eq(hops, 44);
    fixture_close(&f);
}

static void fan_out(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    for (unsigned i = 0; i < 3; i++)
        pawl_step_post(step, &(struct pawl_event){
                                 .task = target, .code = P_NOTE, .arg = {event->arg[1] * 10 + i}});
}

/* Whatever the limit does to a flood, each event is handled wholly or its sender is told. */
Test(handler, a_flood_at_the_limit_reconciles)
{
    static struct fixture f;
    struct pawl_task task;
    unsigned done = 0, failed = 0;

    for (unsigned shard = 0; shard < 2; shard++) {
        done = failed = 0;
        fixture_open(
            &f, &(struct fixture_options){.shards = 2, .inflight_max = 16, .exchange_ring = 4});
        task = fixture_puppet(&f, 0);
        target = fixture_puppet(&f, shard);
        for (unsigned i = 0; i < 500; i++) {
            fixture_post(&f, &(struct pawl_event){.task = task,
                                                  .code = i % 2 ? P_CALL : P_CALL_SLOW,
                                                  .flags = PAWL_EVENT_COMPLETE,
                                                  .arg = {puppet_word(fan_out), i}});
            if (i % 7 == 0)
                fixture_turn(&f);
        }
        fixture_run(&f);
        while (pawl_port_outstanding(f.port) > 0) {
            const int status = fixture_reap(&f).status;

            cr_assert(status == 0 || status == -ENOSPC);
            done += status == 0;
            failed += status != 0;
        }
        cr_assert_eq(done + failed, 500);
        cr_assert(done > 0);
        cr_assert_eq(fixture_puppet_of(&f, task).count, done);
        cr_assert_eq(fixture_puppet_of(&f, target).count, 3 * done);
        for (unsigned i = 1; i < trace.count; i++)
            cr_assert(trace.words[i] > trace.words[i - 1], "order");
        cr_assert_eq(fixture_counters(&f).inflight, 0);
        fixture_close(&f);
    }
}

/* ---- what may be posted -------------------------------------------------------------------------- */

static const struct pawl_event *posted;

static void post_given(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    puppet->count++;
    returned[0] = pawl_step_post(step, posted);
    (void)event;
}

static void ask_given(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    returned[0] = pawl_step_ask(step, posted, (uint16_t)event->arg[1]);
}

Test(handler, senseless_posts_are_refused)
{
    static struct fixture f;
    struct pawl_task task;
    struct pawl_event events[8];

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    for (unsigned i = 0; i < 8; i++)
        events[i] = (struct pawl_event){.task = task, .code = P_NOTE};
    events[0].task = PAWL_NO_TASK;
    events[1].task.id |= UINT64_C(1) << 54; /* a shard that is not there */
    events[2].code = PAWL_CODE_RUNTIME;
    events[3].code = PAWL_CODE_CANCEL;
    events[4].flags = PAWL_EVENT_COMPLETE;
    events[5].flags = PAWL_EVENT_ASK;
    events[6].flags = PAWL_EVENT_TIMER;
    events[7].flags = 0x8000;
    for (unsigned i = 0; i < 8; i++) {
        posted = &events[i];
        returned[0] = 0;
        cr_assert_eq(fixture_call(&f, task, P_CALL, post_given).status, -EINVAL, "event %u", i);
        cr_assert_eq(returned[0], -EINVAL);
        cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(ask_given), P_REPLY).status,
                     -EINVAL);
        if (i != 4) /* a port may ask for a completion */
            cr_assert_eq(pawl_port_post(f.port, &events[i], 1), -EINVAL, "event %u", i);
    }
    posted = &(struct pawl_event){.task = task, .code = P_NOTE};
    cr_assert_eq(fixture_ask(&f, task, P_CALL, puppet_word(ask_given), P_EVENTS).status, -EINVAL);
    fixture_run(&f);
    cr_assert_eq(fixture_puppet_of(&f, task).count, 0);
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(handler, a_post_that_finds_no_task_is_reported)
{
    static struct fixture f;
    struct pawl_task task, gone;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    task = fixture_puppet(&f, 0);
    for (uint32_t shard = 0; shard < 2; shard++) {
        gone = fixture_puppet(&f, shard);
        fixture_ask(&f, gone, P_END, 0, 0);
        event = (struct pawl_event){
            .task = gone, .code = P_NOTE, .tag = 5, .arg = {1, UINT64_C(0x1234567812345678)}};
        posted = &event;
        f.undelivered_count = 0;
        cr_assert_eq(fixture_call(&f, task, P_CALL, post_given).status, 0);
        cr_assert_eq(f.undelivered_count, 1);
        cr_assert_eq(f.undelivered[0].reason, -ESTALE);
        cr_assert_eq(memcmp(&f.undelivered[0].event, &event, sizeof(event)), 0);
        event.code = P_EVENTS;
        event.task = fixture_puppet(&f, shard);
        cr_assert_eq(fixture_call(&f, task, P_CALL, post_given).status, 0);
        cr_assert_eq(f.undelivered_count, 2);
        cr_assert_eq(f.undelivered[1].reason, -EINVAL);
        /* A slot that never was. */
        event.task.id = (uint64_t)shard << 54 | UINT64_C(1) << 32 | 4000000000u;
        cr_assert_eq(fixture_call(&f, task, P_CALL, post_given).status, 0);
        cr_assert_eq(f.undelivered_count, 3);
        cr_assert_eq(f.undelivered[2].reason, -ESTALE);
    }
    fixture_close(&f);
}

static void post_to_self(struct pawl_step *step, struct puppet *puppet,
                         const struct pawl_event *event)
{
    const struct pawl_task self = pawl_step_task(step);

    pawl_step_post(step, &(struct pawl_event){.task = self, .code = P_NOTE, .arg = {1}});
    pawl_step_post(step,
                   &(struct pawl_event){
                       .task = self, .code = P_NOTE, .flags = PAWL_EVENT_CONTROL, .arg = {2}});
    pawl_step_post(step, &(struct pawl_event){.task = self, .code = P_NOTE, .arg = {3}});
    pawl_step_post(step,
                   &(struct pawl_event){
                       .task = self, .code = P_NOTE, .flags = PAWL_EVENT_CONTROL, .arg = {4}});
    trace_add(0);
    (void)puppet, (void)event;
}

Test(handler, control_events_overtake_in_order_among_themselves)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    task = fixture_puppet(&f, 1);
    fixture_call(&f, task, P_CALL, post_to_self);
    cr_assert(TRACE_IS(0, 2, 4, 1, 3));
    trace_clear();
    for (uint64_t i = 0; i < 10; i++)
        fixture_post(&f, &(struct pawl_event){.task = task,
                                              .code = P_NOTE,
                                              .flags = i % 3 == 2 ? PAWL_EVENT_CONTROL : 0,
                                              .arg = {i}});
    fixture_run(&f);
    cr_assert(TRACE_IS(2, 5, 8, 0, 1, 3, 4, 6, 7, 9));
    fixture_close(&f);
}

/* ---- ask and answer ------------------------------------------------------------------------------ */

static void answer_double(struct pawl_step *step, struct puppet *puppet,
                          const struct pawl_event *event)
{
    cr_assert((event->flags & PAWL_EVENT_ASK) != 0);
    puppet->count++;
    cr_assert_eq(pawl_step_answer(step, 2 * puppet->count), 0);
}

static void answer_nothing(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    puppet->count++;
    (void)step, (void)event;
}

static void answer_and_abort(struct pawl_step *step, struct puppet *puppet,
                             const struct pawl_event *event)
{
    pawl_step_answer(step, 5);
    pawl_step_abort(step, -ETIMEDOUT);
    (void)puppet, (void)event;
}

Test(handler, asking_is_answered_here_and_across_shards)
{
    static struct fixture f;
    struct pawl_task asker;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.shards = 3});
    for (uint32_t shard = 0; shard < 3; shard++) {
        asker = fixture_puppet(&f, 0);
        event = (struct pawl_event){.task = fixture_puppet(&f, shard), .code = P_CALL};
        posted = &event;

        trace_clear();
        event.arg[0] = puppet_word(answer_double);
        cr_assert_eq(fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY).status, 0);
        cr_assert(TRACE_IS(2, 0));

        trace_clear();
        event.arg[0] = puppet_word(answer_nothing);
        fixture_ask(&f, asker, P_CALL_SLOW, puppet_word(ask_given), P_REPLY);
        cr_assert(TRACE_IS(0, 0));

        trace_clear();
        event.arg[0] = puppet_word(answer_and_abort);
        fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
        cr_assert_eq(trace.count, 2);
        cr_assert_eq((int64_t)trace.words[1], -ETIMEDOUT);

        trace_clear();
        event.code = P_EVENTS;
        fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
        cr_assert_eq(trace.count, 2);
        cr_assert_eq((int64_t)trace.words[1], -EINVAL);

        /* Its own question. */
        trace_clear();
        event =
            (struct pawl_event){.task = asker, .code = P_CALL, .arg = {puppet_word(answer_double)}};
        fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
        cr_assert_eq(trace.count, 2);
        cr_assert_eq(trace.words[1], 0);

        trace_clear();
        event.task = fixture_puppet(&f, shard);
        fixture_ask(&f, event.task, P_END, 0, 0);
        fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
        cr_assert_eq(trace.count, 2);
        cr_assert_eq((int64_t)trace.words[1], -ESTALE);
        cr_assert_eq(f.undelivered_count, 0);
    }
    fixture_close(&f);
}

Test(handler, a_deferred_question_is_answered_when_it_is_handled)
{
    static struct fixture f;
    struct pawl_task asker;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    asker = fixture_puppet(&f, 0);
    event = (struct pawl_event){.task = fixture_puppet(&f, 1), .code = P_WAIT, .arg = {7}};
    posted = &event;
    fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
    cr_assert_eq(trace.count, 0);
    fixture_ask(&f, event.task, P_MOVE, 0, 0);
    cr_assert(TRACE_IS(7, 0, 0));

    /* A question to a task that ends. */
    trace_clear();
    event.task = fixture_puppet(&f, 1);
    fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
    fixture_ask(&f, event.task, P_END, 0, 0);
    cr_assert_eq(trace.count, 2);
    cr_assert_eq((int64_t)trace.words[1], -ECANCELED);
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

Test(handler, an_answer_to_a_task_that_has_ended_is_reported)
{
    static struct fixture f;
    struct pawl_task asker;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    asker = fixture_puppet(&f, 0);
    event = (struct pawl_event){.task = fixture_puppet(&f, 1), .code = P_WAIT};
    posted = &event;
    fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY);
    fixture_ask(&f, asker, P_END, 0, 0);
    fixture_ask(&f, event.task, P_MOVE, 0, 0);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ESTALE);
    cr_assert_eq(f.undelivered[0].event.code, P_REPLY);
    cr_assert_eq(f.undelivered[0].event.task.id, asker.id);
    fixture_close(&f);
}

/* An answer takes the place of the question, so the limit does not stop it. */
Test(handler, answers_pass_at_the_limit)
{
    static struct fixture f;
    struct pawl_task asker;
    struct pawl_event event;

    fixture_open(&f, &(struct fixture_options){.inflight_max = 1});
    asker = fixture_puppet(&f, 0);
    event = (struct pawl_event){
        .task = fixture_puppet(&f, 0), .code = P_CALL, .arg = {puppet_word(answer_double)}};
    posted = &event;
    cr_assert_eq(fixture_ask(&f, asker, P_CALL, puppet_word(ask_given), P_REPLY).status, 0);
    cr_assert(TRACE_IS(2, 0));
    fixture_close(&f);
}

/* ---- who and when -------------------------------------------------------------------------------- */

static struct fixture *seen_by;

static void look(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_task(step).id, event->task.id);
    cr_assert_eq(pawl_step_now_ns(step), fixture_now(seen_by));
    cr_assert_eq(pawl_step_shard(step), pawl_task_shard(event->task));
    cr_assert_eq(pawl_step_shard_count(step), 3);
    cr_assert(pawl_step_user(step) == seen_by);
    puppet->count++;
    trace_add(pawl_step_random(step));
}

Test(handler, a_step_knows_its_task_time_shard_and_host)
{
    static struct fixture f;
    uint64_t first[6];
    struct pawl_task task;

    seen_by = &f;
    for (unsigned round = 0; round < 2; round++) {
        fixture_open(&f, &(struct fixture_options){.shards = 3, .seed = 99});
        for (uint32_t shard = 0; shard < 3; shard++) {
            task = fixture_puppet(&f, shard);
            cr_assert_eq(fixture_call(&f, task, P_CALL, look).status, 0);
            fixture_jump(&f, 12345);
            cr_assert_eq(fixture_call(&f, task, P_CALL_SLOW, look).status, 0);
            cr_assert_eq(fixture_puppet_of(&f, task).count, 2);
        }
        cr_assert_eq(trace.count, 6);
        for (unsigned i = 0; i < 6; i++) {
            cr_assert(round == 0 || trace.words[i] == first[i], "the seed does not repeat it");
            for (unsigned j = 0; j < i; j++)
                cr_assert(trace.words[i] != trace.words[j]);
            first[i] = trace.words[i];
        }
        fixture_close(&f);
    }
}

/* ---- buffers ------------------------------------------------------------------------------------- */

static struct pawl_buffer *given;

static void post_buffer(struct pawl_step *step, struct puppet *puppet,
                        const struct pawl_event *event)
{
    pawl_buffer_ref(given);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = target,
                                                           .code = P_NOTE,
                                                           .flags = PAWL_EVENT_BUFFER,
                                                           .arg = {(uintptr_t)given}}),
                 0);
    if (event->arg[1] == 1)
        pawl_step_abort(step, -EIO);
    if (event->arg[1] == 2)
        pawl_step_defer(step);
    if (event->arg[1] == 3)
        pawl_step_finish(step);
    (void)puppet;
}

Test(handler, a_posted_buffer_is_given_up_once_whatever_becomes_of_the_step)
{
    static struct fixture f;
    const int statuses[] = {0, -EIO, 1, 0};
    struct pawl_task task;

    for (uint32_t shard = 0; shard < 2; shard++) {
        for (uint64_t how = 0; how < 4; how++) {
            fixture_open(&f, &(struct fixture_options){.shards = 2});
            task = fixture_puppet(&f, 0);
            target = fixture_puppet(&f, shard);
            given = pawl_buffer_create(10);
            fixture_post(&f, &(struct pawl_event){.task = task,
                                                  .code = P_CALL,
                                                  .flags = PAWL_EVENT_COMPLETE,
                                                  .arg = {puppet_word(post_buffer), how}});
            fixture_run(&f);
            if (how != 2)
                cr_assert_eq(fixture_reap(&f).status, statuses[how]);
            cr_assert_eq(fixture_references(given), 1);
            cr_assert_eq(fixture_puppet_of(&f, target).count, how == 0 || how == 3);
            fixture_close(&f);
            cr_assert_eq(fixture_references(given), 1);
            pawl_buffer_unref(given);
        }
    }
}

static void post_bad_buffer(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    /* Not taken over: the reference stays the handler's. */
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.code = P_NOTE,
                                                           .flags = PAWL_EVENT_BUFFER,
                                                           .arg = {(uintptr_t)given}}),
                 -EINVAL);
    (void)puppet, (void)event;
}

Test(handler, a_refused_post_leaves_the_buffer_to_the_handler)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, NULL);
    task = fixture_puppet(&f, 0);
    given = pawl_buffer_create(10);
    cr_assert_eq(fixture_call(&f, task, P_CALL, post_bad_buffer).status, -EINVAL);
    cr_assert_eq(fixture_references(given), 1);
    pawl_buffer_unref(given);
    fixture_close(&f);
}

/* Passes a buffer on that it has itself, with a reference for the event. */
static void pass_on(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    pawl_buffer_ref(given);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = target,
                                                           .code = P_WAIT,
                                                           .flags = PAWL_EVENT_BUFFER,
                                                           .arg = {(uintptr_t)given}}),
                 0);
    (void)puppet, (void)event;
}

Test(handler, a_buffer_is_kept_while_its_event_is_deferred)
{
    static struct fixture f;
    struct pawl_task task;

    fixture_open(&f, &(struct fixture_options){.shards = 2});
    task = fixture_puppet(&f, 0);
    target = fixture_puppet(&f, 1);
    given = fixture_buffer();
    pawl_buffer_unref(given);
    cr_assert_eq(fixture_call(&f, task, P_CALL, pass_on).status, 0);
    cr_assert_eq(fixture_references(given), 2);
    fixture_ask(&f, target, P_MOVE, 0, 0);
    cr_assert_eq(fixture_references(given), 1);
    cr_assert_eq(trace.words[0], (uint64_t)(uintptr_t)given);
    pawl_buffer_unref(given);
    fixture_close(&f);
}
