/*
 * New tasks made by a step on its own shard: what may be sent to one before its first step, and what becomes of one
 * whose entry actions give up, or that has none.
 */
#include "support/create_fixture.h"

/* ---- in a step ----------------------------------------------------------------------------------- */

static void create_and_post(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    for (uint64_t i = 0; i < 2; i++) {
        spec.arg[0] = puppet_word(mark_creation);
        spec.arg[1] = i;
        cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &made[i]), 0);
        cr_assert(made[i].id != 0);
        for (uint64_t j = 0; j < 3; j++)
            cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = made[i],
                                                                   .code = P_NOTE,
                                                                   .arg = {100 * i + j}}),
                         0);
        cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = made[i],
                                                               .code = P_NOTE,
                                                               .flags = PAWL_EVENT_CONTROL,
                                                               .arg = {100 * i + 50}}),
                     0);
        cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = made[i],
                                                               .code = P_NOTE,
                                                               .flags = PAWL_EVENT_CONTROL,
                                                               .arg = {100 * i + 51}}),
                     0);
    }
    (void)puppet, (void)event;
}

/* Where in the trace. */
static unsigned place_of(uint64_t word)
{
    for (unsigned i = 0; i < trace.count; i++)
        if (trace.words[i] == word)
            return i;
    cr_assert(false, "%llu has not happened", (unsigned long long)word);
    return 0;
}

Test(create_step, the_handle_can_be_posted_to_in_the_same_step)
{
    make_open(1);
    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_and_post).status, 0);
    cr_assert_eq(trace.count, 12);
    for (uint64_t i = 0; i < 2; i++) {
        cr_assert(fixture_is_alive(&f, made[i]));
        cr_assert_eq(fixture_puppet_of(&f, made[i]).count, 5);
        for (uint64_t j = 0; j < 3; j++)
            cr_assert(place_of(1000 + i) < place_of(100 * i + j));
        cr_assert(place_of(100 * i) < place_of(100 * i + 1));
        cr_assert(place_of(100 * i + 1) < place_of(100 * i + 2));
        cr_assert(place_of(1000 + i) < place_of(100 * i + 50));
        cr_assert(place_of(100 * i + 50) < place_of(100 * i + 51));
    }
    cr_assert_eq(f.undelivered_count, 0);
    fixture_close(&f);
}

/* Control events that come before the first step wait for it, and overtake ordinary ones even so. */
Test(create_step, control_events_of_the_creating_step_overtake_its_ordinary_ones)
{
    make_open(1);
    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_and_post).status, 0);
    for (uint64_t i = 0; i < 2; i++)
        cr_assert(place_of(100 * i + 51) < place_of(100 * i));
    fixture_close(&f);
}

static void create_with_backlog(struct pawl_step *step, struct puppet *puppet,
                                const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &made[0]), 0);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = made[0],
                                                           .code = P_NOTE,
                                                           .flags = PAWL_EVENT_CONTROL,
                                                           .arg = {1}}),
                 0);
    (void)puppet, (void)event;
}

static void post_noise(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    for (unsigned i = 0; i < 250; i++)
        cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = pawl_step_task(step),
                                                               .code = P_UNEXPECTED}),
                     0);
    (void)puppet, (void)event;
}

/* Control events of one sender keep their order, however long the queue that the first waits in. */
Test(create_step, a_control_event_that_waits_for_the_first_step_is_not_overtaken)
{
    make_open(1);
    fixture_send(&f, maker, P_CALL, puppet_word(create_with_backlog));
    for (unsigned i = 0; i < 12; i++)
        fixture_send(&f, maker, P_CALL, puppet_word(post_noise));
    fixture_turn(&f);
    for (unsigned i = 0; i < 10; i++) {
        fixture_turn(&f);
        if (i == 0)
            fixture_post(&f, &(struct pawl_event){.task = maker, .code = P_UNEXPECTED});
        if (fixture_is_alive(&f, made[0]) && trace.count == 0) {
            fixture_post(
                &f, &(struct pawl_event){
                        .task = made[0], .code = P_NOTE, .flags = PAWL_EVENT_CONTROL, .arg = {2}});
            break;
        }
    }
    fixture_run(&f);
    cr_assert_eq(trace.words[0], 1);
    fixture_close(&f);
}

/* A handle that a step gave away can be used before the new task has made its first step. */
static void create_and_tell(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_create(step, &spec, PAWL_NO_REPLY, &made[0]), 0);
    pawl_step_answer(step, made[0].id);
    (void)puppet, (void)event;
}

static struct pawl_task told_early(void)
{
    struct pawl_task early;

    fixture_post(&f, &(struct pawl_event){.task = maker,
                                          .code = P_CALL,
                                          .flags = PAWL_EVENT_COMPLETE,
                                          .arg = {puppet_word(create_and_tell)}});
    fixture_turn(&f);
    early.id = fixture_reap(&f).value;
    cr_assert(early.id != 0);
    cr_assert(!fixture_is_alive(&f, early));
    return early;
}

Test(create_step, a_port_can_post_a_control_event_before_the_first_step)
{
    struct pawl_completion done;
    struct pawl_task early;

    make_open(1);
    early = told_early();
    fixture_post(&f, &(struct pawl_event){.task = early,
                                          .code = P_NOTE,
                                          .flags = PAWL_EVENT_COMPLETE | PAWL_EVENT_CONTROL,
                                          .tag = 12,
                                          .arg = {5}});
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 12 && done.task.id == early.id);
    cr_assert_eq(fixture_puppet_of(&f, early).count, 1);
    fixture_close(&f);
}

Test(create_step, a_task_can_be_cancelled_before_its_first_step)
{
    struct pawl_completion done;
    struct pawl_task early;

    make_open(1);
    early = told_early();
    cr_assert_eq(pawl_port_cancel(f.port, early, 13), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 13 && done.task.id == early.id);
    cr_assert(!fixture_is_alive(&f, early));
    fixture_close(&f);
}

Test(create_step, an_ordinary_event_before_the_first_step_comes_after_it)
{
    struct pawl_task early;

    make_open(1);
    early = told_early();
    cr_assert_eq(fixture_ask(&f, early, P_NOTE, 3, 0).status, 0);
    cr_assert_eq(fixture_puppet_of(&f, early).count, 1);
    fixture_close(&f);
}

/* What is left of a creation that gave up: nothing. */
static void check_nothing_made(const char *key)
{
    struct pawl_task found;

    cr_assert_eq(pawl_task_find(f.runtime, key, strlen(key), &found), -ENOENT);
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    cr_assert_eq(fixture_puppet_of(&f, maker).sum, 0);
    cr_assert_eq(trace.count, 0);
}

Test(create_step, entry_actions_that_give_up_leave_nothing)
{
    struct pawl_completion done;
    struct pawl_task task;
    struct pawl_counters counters;
    char key[32];

    make_open(1);
    snprintf(key, sizeof(key), "%s", key_of(0, 2));
    counters = fixture_counters(&f);
    spec =
        (struct pawl_task_spec){.key = key, .key_size = strlen(key), .arg = {puppet_word(give_up)}};

    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), -ETIMEDOUT);
    check_nothing_made(key);

    cr_assert_eq(pawl_port_create(f.port, &spec, 4), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == -ETIMEDOUT && done.tag == 4);
    check_nothing_made(key);

    cr_assert_eq(fixture_call(&f, maker, P_CALL, create_one).status, 0);
    cr_assert_eq(returned[0], 0);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ETIMEDOUT);
    cr_assert_eq(f.undelivered[0].event.code, PAWL_CODE_CREATE);
    cr_assert_eq(f.undelivered[0].event.task.id, made[0].id);
    check_nothing_made(key);
    cr_assert_eq(fixture_counters(&f).created, counters.created);
    cr_assert_eq(fixture_counters(&f).aborted, counters.aborted + 3);

    /* Events for it find no task. */
    cr_assert_eq(fixture_ask(&f, made[0], P_NOTE, 0, 0).status, -ESTALE);
    fixture_close(&f);
}

static void finish_at_once(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = maker, .code = P_NOTE}), 0);
    cr_assert_eq(pawl_step_arm(step, 0, FIXTURE_MS), 0);
    pawl_step_finish(step);
    (void)puppet, (void)event;
}

Test(create_step, entry_actions_can_finish_the_task)
{
    struct pawl_task task;

    make_open(1);
    spec.arg[0] = puppet_word(finish_at_once);
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
    cr_assert(!fixture_is_alive(&f, task));
    fixture_run(&f);
    cr_assert_eq(fixture_puppet_of(&f, maker).count, 1);
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    fixture_close(&f);
}

/* What waits for a first step has exactly one fate, whatever becomes of that step. */
Test(create_step, events_that_wait_for_the_first_step_have_one_fate)
{
    enum first { MADE, GAVE_UP, FINISHED, STOPPED, FIRSTS };
    static puppet_fn *const entries[] = {NULL, give_up, finish_at_once, NULL};

    for (unsigned first = 0; first < FIRSTS; first++) {
        struct pawl_buffer *const buffer = fixture_buffer();
        struct pawl_completion done;
        struct pawl_task early;

        make_open(1);
        spec.arg[0] = puppet_word(entries[first]);
        early = told_early();
        fixture_post(&f, &(struct pawl_event){.task = early,
                                              .code = P_NOTE,
                                              .flags = PAWL_EVENT_COMPLETE | PAWL_EVENT_CONTROL |
                                                       PAWL_EVENT_BUFFER,
                                              .tag = 1,
                                              .arg = {(uintptr_t)buffer}});
        /* One that the first state defers, and one that ends the task. */
        fixture_post(&f, &(struct pawl_event){.task = early,
                                              .code = P_WAIT,
                                              .flags = PAWL_EVENT_COMPLETE | PAWL_EVENT_CONTROL,
                                              .tag = 2});
        cr_assert_eq(pawl_port_cancel(f.port, early, 3), 0);
        if (first == STOPPED)
            cr_assert_eq(pawl_stop(f.runtime), 0);
        else
            fixture_run(&f);
        cr_assert_eq(fixture_references(buffer), 1, "case %u", first);
        for (unsigned i = 0; i < 3; i++) {
            done = fixture_reap(&f);
            cr_assert_eq(done.task.id, early.id);
            if (first == MADE)
                cr_assert_eq(done.status, done.tag == 2 ? -ECANCELED : 0, "tag %u: %d", done.tag,
                             done.status);
            else if (first == STOPPED)
                cr_assert_eq(done.status, -ECANCELED);
            else
                cr_assert(done.status == -ESTALE || done.status == -ECANCELED, "case %u: %d", first,
                          done.status);
        }
        cr_assert(fixture_nothing_to_reap(&f));
        cr_assert(!fixture_is_alive(&f, early));
        fixture_close(&f);
        cr_assert_eq(fixture_references(buffer), 1);
        pawl_buffer_unref(buffer);
    }
}

static void raise_and_defer(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    pawl_step_defer(step);
    (void)puppet, (void)event;
}

Test(create_step, a_creation_cannot_be_deferred)
{
    struct pawl_task task;

    make_open(1);
    spec.arg[0] = puppet_word(raise_and_defer);
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), -EINVAL);
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    fixture_close(&f);
}

static void raise_in_entry(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_raise(step, P_RAISED, 31, 0), 0);
    (void)puppet, (void)event;
}

Test(create_step, an_entry_action_can_raise)
{
    struct pawl_task task;

    make_open(1);
    spec.arg[0] = puppet_word(raise_in_entry);
    cr_assert_eq(pawl_task_create(f.runtime, &spec, &task), 0);
    cr_assert(TRACE_IS(31));
    cr_assert_eq(fixture_puppet_of(&f, task).count, 1);
    fixture_close(&f);
}

/* ---- machines whose tasks need no first step, nor more than one function for the last -------------- */

enum { PLANT_GROW, PLANT_FELL, PLANT_CUT };
enum { PLANT_YOUNG, PLANT_GONE };

static void plant_grow(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    *(uint64_t *)context += event->arg[0];
}

static void plant_cut(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    pawl_step_answer(step, *(uint64_t *)context);
    pawl_step_post(step, &(struct pawl_event){.task = maker, .code = P_NOTE, .arg = {7}});
}

static const char *const plant_events[] = {"grow", "fell", "cut"};
static const struct pawl_state_def plant_states[] = {{.name = "young"},
                                                     {.name = "gone", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def plant_transitions[] = {
    {.from = "young", .on = "grow", .action = plant_grow},
    {.from = "young", .on = "fell", .to = "gone"},
    {.from = "young", .on = "cut", .to = "gone", .action = plant_cut}};
static const struct pawl_machine_def plant = {.name = "plant",
                                              FIXTURE_TABLE(events, plant_events),
                                              FIXTURE_TABLE(states, plant_states),
                                              FIXTURE_TABLE(transitions, plant_transitions),
                                              .context_size = 5 * sizeof(uint64_t)};

static void plant_open(void)
{
    static const uint64_t begin[5] = {40, 2, 3, 4, 5};

    fixture_open(&f, &(struct fixture_options){.machines = {&puppet_machine, &plant}});
    maker = fixture_puppet(&f, 0);
    spec = (struct pawl_task_spec){.machine = 1, .context = begin, .context_size = sizeof(begin)};
    reply_code = PAWL_NO_REPLY;
    memset(made, 0, sizeof(made));
}

static void plant_and_water(struct pawl_step *step, struct puppet *puppet,
                            const struct pawl_event *event)
{
    create_one(step, puppet, event);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(
            pawl_step_post(step,
                           &(struct pawl_event){.task = made[0], .code = PLANT_GROW, .arg = {1}}),
            0);
}

static void plant_and_give_up(struct pawl_step *step, struct puppet *puppet,
                              const struct pawl_event *event)
{
    plant_and_water(step, puppet, event);
    pawl_step_abort(step, -EIO);
}

Test(create_step, without_entry_actions_a_task_lives_when_its_creator_has_committed)
{
    uint64_t context[5];
    struct pawl_view view;

    plant_open();
    fixture_send(&f, maker, P_CALL, puppet_word(plant_and_water));
    cr_assert_eq(fixture_turn(&f), 1);
    view = fixture_view(&f, made[0], context, sizeof(context));
    cr_assert(view.state == PLANT_YOUNG && view.version == 1);
    cr_assert(context[0] == 40 && context[4] == 5);
    fixture_run(&f);
    view = fixture_view(&f, made[0], context, sizeof(context));
    cr_assert(view.version == 3 && context[0] == 42);
    cr_assert_eq(fixture_counters(&f).created, 2);
    /* Not if the creator gives up. */
    cr_assert_eq(fixture_call(&f, maker, P_CALL, plant_and_give_up).status, -EIO);
    cr_assert(!fixture_is_alive(&f, made[0]));
    cr_assert_eq(fixture_counters(&f).tasks, 2);
    cr_assert_eq(fixture_counters(&f).created, 2);
    fixture_close(&f);
}

Test(create_step, without_entry_actions_a_completion_says_the_same)
{
    struct pawl_completion done;

    plant_open();
    cr_assert_eq(pawl_port_create(f.port, &spec, 3), 0);
    fixture_run(&f);
    done = fixture_reap(&f);
    cr_assert(done.status == 0 && done.tag == 3 && done.value == done.task.id);
    cr_assert(done.state == PLANT_YOUNG && done.version == 1);
    cr_assert_eq(fixture_view(&f, done.task, NULL, 0).version, 1);
    fixture_close(&f);
}

Test(create_step, tasks_of_a_batch_end_by_a_plain_last_transition)
{
    static struct pawl_task tasks[200];
    struct pawl_event event = {.flags = PAWL_EVENT_COMPLETE};

    plant_open();
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(pawl_task_create(f.runtime, &spec, &tasks[i]), 0);
    for (unsigned i = 0; i < 200; i++) {
        event.task = tasks[i];
        event.tag = i;
        event.code = i % 2 == 0 ? PLANT_FELL : PLANT_CUT;
        fixture_post(&f, &event);
        fixture_post(&f, &event); /* the second finds nobody */
    }
    fixture_run(&f);
    for (unsigned n = 0; n < 400; n++) {
        const struct pawl_completion done = fixture_reap(&f);
        const bool cut = done.tag % 2 != 0;

        cr_assert_eq(done.task.id, tasks[done.tag].id);
        if (done.status == -ESTALE)
            continue;
        cr_assert(done.status == 0 && done.state == PLANT_GONE && done.version == 2);
        cr_assert_eq(done.value, cut ? 40 : 0);
    }
    cr_assert_eq(fixture_counters(&f).tasks, 1);
    cr_assert_eq(fixture_counters(&f).ended, 200);
    cr_assert_eq(fixture_counters(&f).stale, 200);
    cr_assert_eq(trace.count, 100); /* what the cut ones posted */
    fixture_close(&f);
}
