#include "base/random.h"
#include "support/store_fixture.h"

static struct store_fixture s;

/* ---- completions --------------------------------------------------------------------------------- */

Test(durable_effects, the_completion_of_a_sync_step_waits_for_the_disk)
{
    struct pawl_task task;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    store_post(&s, task, P_NOTE, 5, 0, 1);
    for (unsigned i = 0; i < 100; i++)
        fixture_run(&s.f);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5); /* the step is made */
    cr_assert(fixture_nothing_to_reap(&s.f));            /* and not told of */
    store_run(&s);
    store_expect(&s, 1, 0, PAWL_DURABILITY_SYNC);
    store_end(&s);
}

Test(durable_effects, async_and_memory_steps_complete_at_once)
{
    struct pawl_task async, memory;

    store_begin(&s, NULL);
    async = store_create(&s, M_ASYNC, 0);
    memory = store_create(&s, M_MEMORY, 0);
    store_post(&s, async, P_NOTE, 5, 0, 1);
    store_post(&s, memory, P_NOTE, 6, 0, 2);
    fixture_run(&s.f);
    cr_assert_eq(fixture_reap(&s.f).durability, PAWL_DURABILITY_ASYNC);
    cr_assert_eq(fixture_reap(&s.f).durability, PAWL_DURABILITY_MEMORY);
    store_end(&s);
}

/* Completions of such steps, in the frame of a sync step before them and in a later one. */
static void check_order(unsigned kind, enum pawl_durability durability, bool wait)
{
    struct pawl_task sync, other;

    store_begin(&s, NULL);
    sync = store_create(&s, M_SYNC, 0);
    other = store_create(&s, kind, 0);
    store_post(&s, sync, P_NOTE, 1, 0, 1);
    store_post(&s, other, P_NOTE, 2, 0, 2);
    fixture_run(&s.f);
    store_post(&s, other, P_NOTE, 3, 0, 3);
    fixture_run(&s.f);
    cr_assert_eq(fixture_puppet_of(&s.f, other).last, 3);
    for (uint32_t tag = 2; tag <= 3 && !wait; tag++)
        store_expect(&s, tag, 0, durability);
    cr_assert(fixture_nothing_to_reap(&s.f));
    store_run(&s);
    store_expect(&s, 1, 0, PAWL_DURABILITY_SYNC);
    for (uint32_t tag = 2; tag <= 3 && wait; tag++)
        store_expect(&s, tag, 0, durability);
    /* Nothing waits any more. */
    store_post(&s, other, P_NOTE, 4, 0, 4);
    fixture_run(&s.f);
    store_expect(&s, 4, 0, durability);
    store_end(&s);
}

Test(durable_effects, async_completions_wait_for_the_sync_steps_before_them)
{
    check_order(M_ASYNC, PAWL_DURABILITY_ASYNC, true);
}

Test(durable_effects, memory_completions_never_wait)
{
    check_order(M_MEMORY, PAWL_DURABILITY_MEMORY, false);
}

/* A refusal tells of the step before it, which must not be undone by a crash any more. */
Test(durable_effects, refusals_wait_for_the_sync_steps_before_them)
{
    struct pawl_task task, other;

    store_begin(&s, NULL);
    task = store_create(&s, M_SYNC, 0);
    other = store_create(&s, M_SYNC, 0);
    store_post(&s, task, P_END, 0, 0, 1);
    store_post(&s, task, P_NOTE, 0, 0, 2); /* -ESTALE */
    fixture_run(&s.f);
    store_post(&s, task, P_NOTE, 0, 0, 3);
    fixture_run(&s.f);
    cr_assert(!fixture_is_alive(&s.f, task));
    cr_assert(fixture_nothing_to_reap(&s.f));
    store_run(&s);
    cr_assert_eq(fixture_reap(&s.f).status, 0);
    cr_assert_eq(fixture_reap(&s.f).status, -ESTALE);
    cr_assert_eq(fixture_reap(&s.f).status, -ESTALE);
    /* With nothing before it, it is told at once. */
    store_post(&s, task, P_NOTE, 0, 0, 4);
    fixture_run(&s.f);
    cr_assert_eq(fixture_reap(&s.f).status, -ESTALE);
    cr_assert(fixture_is_alive(&s.f, other));
    store_end(&s);
}

static void give_up(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    pawl_step_abort(step, event->arg[1] != 0 ? -(int)event->arg[1] : -ECANCELED);
}

/* Nothing is written for it, so nothing will become durable: its sender must not wait for that. */
Test(durable_effects, a_step_that_gives_up_is_told_of_though_nothing_is_written)
{
    static const uint16_t codes[] = {P_CALL, P_CALL_SLOW, P_MOVE, P_END};

    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct pawl_task task;

        store_begin(&s, NULL);
        task = store_create(&s, M_SYNC, 0);
        store_post(&s, task, codes[i], puppet_word(give_up), 0, 1);
        store_run(&s);
        cr_assert_eq(fixture_reap(&s.f).status, -ECANCELED, "code %u", codes[i]);
        cr_assert_eq(fixture_puppet_of(&s.f, task).count, 0);
        store_end(&s);
    }
}

/*
 * Whatever the order in which the writes of several groups end, completions come in order, and what has been
 * completed survives: at the crash no more is lost than what was not told.
 */
Test(durable_effects, what_was_completed_survives_in_whatever_order_writes_end)
{
    uint64_t out_of_order = 0, waiting = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        const struct store_fixture_options options = {
            .seed = seed, .latency_min_ns = 1000, .latency_max_ns = 1000000};
        struct random random = {seed};
        struct pawl_task task;
        uint32_t posted = 0, completed = 0;

        store_begin(&s, &options);
        task = store_create(&s, M_SYNC, 0);
        while (posted < 64) {
            struct pawl_completion completion;

            if (random_below(&random, 3) != 0) {
                posted++;
                store_post(&s, task, P_NOTE, posted, 0, posted);
            } else {
                store_disk_step(&s);
            }
            fixture_turn(&s.f);
            while (pawl_port_reap(s.f.port, &completion, 1) == 1) {
                cr_assert_eq(completion.status, 0);
                cr_assert_eq(completion.tag, ++completed);
            }
            if (random_below(&random, 64) == 0)
                break;
        }
        out_of_order += sim_disk_counters(s.disk)->out_of_order;
        waiting += completed < posted;
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        {
            const struct puppet puppet = fixture_puppet_of(&s.f, task);

            cr_assert(puppet.count >= completed && puppet.count <= posted,
                      "seed %llu: %llu of %u, %u were told", (unsigned long long)seed,
                      (unsigned long long)puppet.count, posted, completed);
            cr_assert_eq(puppet.last, puppet.count); /* a prefix */
        }
        store_end(&s);
    }
    cr_assert(out_of_order > 100 && waiting > 30, "the disk was too kind: %llu, %llu",
              (unsigned long long)out_of_order, (unsigned long long)waiting);
}

/* ---- events -------------------------------------------------------------------------------------- */

static struct pawl_task sender, target;

static void begin_pair(const struct store_fixture_options *options, unsigned from, unsigned to,
                       uint32_t to_shard)
{
    store_begin(&s, options);
    sender = store_create(&s, from, 0);
    target = store_create(&s, to, to_shard);
}

/* The sender has handled so many calls, and the target so many notes. */
static void check_counts(uint64_t sent, uint64_t taken)
{
    const uint64_t calls = fixture_puppet_of(&s.f, sender).count;
    const uint64_t notes = fixture_puppet_of(&s.f, target).count;

    cr_assert(calls == sent && notes == taken, "%llu calls, %llu notes", (unsigned long long)calls,
              (unsigned long long)notes);
}

/* One task sends another a note: whether it is held. */
static void check_held(unsigned from, unsigned to, uint32_t to_shard, bool pending, bool held)
{
    const struct store_fixture_options options = {.shards = 2};
    struct pawl_task before;

    begin_pair(&options, from, to, to_shard);
    before = store_create(&s, M_SYNC, 0);
    if (pending)
        fixture_send(&s.f, before, P_NOTE, 1);
    store_post_call(&s, sender, store_post_note, target);
    fixture_run(&s.f);
    check_counts(1, held ? 0 : 1);
    store_run(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 1);
    store_end(&s);
}

Test(durable_effects, events_of_sync_steps_to_other_shards_are_held)
{
    check_held(M_SYNC, M_SYNC, 1, false, true);
    check_held(M_SYNC, M_ASYNC, 1, false, true);
    check_held(M_SYNC, M_MEMORY, 1, false, true);
}

Test(durable_effects, events_to_memory_only_tasks_of_the_same_shard_are_held)
{
    check_held(M_SYNC, M_MEMORY, 0, false, true);
}

Test(durable_effects, events_to_durable_tasks_of_the_same_shard_are_not_held)
{
    check_held(M_SYNC, M_SYNC, 0, false, false);
    check_held(M_SYNC, M_ASYNC, 0, false, false);
    check_held(M_ASYNC, M_SYNC, 0, false, false);
    check_held(M_SYNC, M_SYNC, 0, true, false);
}

Test(durable_effects, events_of_async_steps_are_held_only_behind_sync_steps)
{
    check_held(M_ASYNC, M_SYNC, 1, false, false);
    check_held(M_ASYNC, M_MEMORY, 0, false, false);
    check_held(M_ASYNC, M_SYNC, 1, true, true);
    check_held(M_ASYNC, M_MEMORY, 0, true, true);
}

Test(durable_effects, events_of_memory_steps_are_never_held)
{
    check_held(M_MEMORY, M_SYNC, 1, true, false);
    check_held(M_MEMORY, M_MEMORY, 0, true, false);
    check_held(M_MEMORY, M_SYNC, 0, true, false);
}

static void post_burst(struct pawl_step *step, struct puppet *puppet,
                       const struct pawl_event *event)
{
    for (uint64_t i = 1; i <= 200; i++)
        pawl_step_post(step, &(struct pawl_event){
                                 .task = {event->arg[1]}, .code = P_NOTE, .arg = {++puppet->sum}});
}

/* More than the rings between shards hold, over many frames. */
Test(durable_effects, held_events_leave_in_the_order_sent)
{
    const struct store_fixture_options options = {.shards = 2, .exchange_ring = 64};

    begin_pair(&options, M_SYNC, M_MEMORY, 1);
    for (unsigned i = 0; i < 10; i++) {
        store_post_call(&s, sender, post_burst, target);
        fixture_turn(&s.f);
    }
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 0);
    store_run(&s);
    cr_assert_eq(trace.count, 2000);
    for (unsigned i = 0; i < 2000; i++)
        cr_assert_eq(trace.words[i], i + 1);
    store_end(&s);
}

/* Sent durably and not taken: sent again; taken and the sender not told: not again. */
Test(durable_effects, events_between_shards_are_handled_once_across_crashes)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        const struct store_fixture_options options = {
            .seed = seed, .shards = 2, .latency_min_ns = 1000, .latency_max_ns = 1000000};
        struct random random = {seed * 77};

        begin_pair(&options, M_SYNC, M_SYNC, 1);
        for (unsigned crash = 0; crash < 3; crash++) {
            const uint64_t steps = random_below(&random, 40);

            for (uint64_t i = 0; i < steps; i++) {
                if (random_below(&random, 2) != 0)
                    store_post_call(&s, sender, store_post_note, target);
                else
                    store_disk_step(&s);
                pawl_turn(s.f.runtime, (unsigned)random_below(&random, 2));
            }
            store_crash(&s, random_below(&random, 2) != 0 ? SIM_CRASH_POWER : SIM_CRASH_KILL);
            store_open(&s);
        }
        store_run(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, target).count, fixture_puppet_of(&s.f, sender).count,
                     "seed %llu: %llu of %llu", (unsigned long long)seed,
                     (unsigned long long)fixture_puppet_of(&s.f, target).count,
                     (unsigned long long)fixture_puppet_of(&s.f, sender).count);
        cr_assert_eq(fixture_puppet_of(&s.f, target).last, fixture_puppet_of(&s.f, sender).count);
        store_end(&s);
    }
}

/*
 * An async step that a crash undoes may have been seen: the other shard has counted its events. What the sender
 * sends afterwards must not be taken for those.
 */
Test(durable_effects, what_is_sent_after_an_undone_step_is_not_taken_for_what_it_sent)
{
    const struct store_fixture_options options = {.shards = 2};

    begin_pair(&options, M_ASYNC, M_SYNC, 1);
    for (unsigned i = 0; i < 5; i++)
        store_post_call(&s, sender, store_post_note, target);
    store_run(&s); /* within the window: the sender's steps are in memory only */
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 5);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    check_counts(0, 5);
    /* Three more, durable at the sender and not yet at the receiver. */
    for (unsigned i = 0; i < 3; i++)
        store_post_call(&s, sender, store_post_note, target);
    for (unsigned i = 0; i < 30; i++) {
        pawl_turn(s.f.runtime, 0);
        store_disk_step(&s);
        if (i == 20) /* the window */
            pawl_virtual_clock_advance_to(s.f.clock, fixture_now(&s.f) + FIXTURE_SECOND);
    }
    cr_assert_eq(store_status(&s, 0).durable_frames, store_status(&s, 0).frames);
    check_counts(3, 5);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_run(&s);
    check_counts(3, 8);
    store_end(&s);
}

/* ---- the failed journal -------------------------------------------------------------------------- */

Test(durable_effects, a_failed_journal_tells_all_that_waited_that_it_is_unknown)
{
    const struct store_fixture_options options = {.shards = 2};
    struct pawl_task task, memory;

    begin_pair(&options, M_SYNC, M_MEMORY, 1);
    task = store_create(&s, M_SYNC, 0);
    memory = store_create(&s, M_MEMORY, 0);
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
    for (uint32_t tag = 1; tag <= 5; tag++) {
        store_post(&s, task, P_NOTE, tag, 0, tag);
        fixture_turn(&s.f);
    }
    store_post_call(&s, sender, store_post_note, target);
    store_run(&s);
    for (uint32_t tag = 1; tag <= 5; tag++) {
        const struct pawl_completion completion = fixture_reap(&s.f);

        cr_assert_eq(completion.tag, tag);
        cr_assert_eq(completion.status, -EIO);
    }
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 0); /* the event never left */
    cr_assert_eq(s.f.undelivered_count, 0);                 /* it is the journal's, or nobody's */
    cr_assert_eq(s.failed_count, 1);
    cr_assert_eq(s.failed_error, -EIO);
    cr_assert_eq(s.failed_shards[0], 0);
    /* New steps are refused, memory-only ones are not; reading goes on. */
    cr_assert_eq(store_ask(&s, task, P_NOTE, 6, 0).status, -EIO);
    cr_assert_eq(store_ask(&s, memory, P_NOTE, 7, 0).status, 0);
    cr_assert_eq(store_ask(&s, target, P_NOTE, 8, 0).status, 0);
    cr_assert_eq(fixture_puppet_of(&s.f, task).last, 5);
    {
        const struct pawl_task_spec spec = {.machine = M_SYNC, .shard = 0};
        struct pawl_task made;

        cr_assert_eq(store_try_create(&s, &spec, &made), -EIO);
    }
    cr_assert_eq(s.failed_count, 1); /* told once */
    store_end(&s);
}

/* That a task has ended may be lost with the journal: it is not told as if it were so. */
Test(durable_effects, a_refusal_that_tells_of_a_lost_step_is_told_as_unknown)
{
    struct pawl_task ended, memory;

    store_begin(&s, NULL);
    ended = store_create(&s, M_SYNC, 0);
    memory = store_create(&s, M_MEMORY, 0);
    store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
    cr_assert_eq(store_ask(&s, ended, P_END, 0, 0).status, -EIO);
    cr_assert_eq(s.failed_count, 1);
    cr_assert(!fixture_is_alive(&s.f, ended));
    cr_assert_eq(store_ask(&s, ended, P_NOTE, 1, 0).status, -EIO);
    cr_assert_eq(store_ask(&s, memory, 1000, 1, 0).status, -EINVAL); /* it lives in memory only */
    store_end(&s);
}
