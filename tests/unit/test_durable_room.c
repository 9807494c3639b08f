/*
 * What is under way between durable tasks is never refused for want of room: it waits for it.
 */
#include "support/store_fixture.h"

#define BURST 100u

static void burst(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    for (unsigned i = 0; i < BURST; i++)
        pawl_step_post(step,
                       &(struct pawl_event){.task = {event->arg[1]}, .code = P_NOTE, .arg = {1}});
}

/* Large contexts use a small quota up within a batch. */
Test(durable_room, events_under_way_wait_on_a_full_disk)
{
    struct pawl_machine_def large = puppet_machine;

    large.name = "large";
    large.context_size = 2048;
    large.durability = PAWL_DURABILITY_SYNC;
    for (unsigned pad = 0; pad < 24; pad += 3) {
        struct store_fixture_options options = {.machines = {&large}};
        struct store_fixture s;
        struct pawl_task sender, target;
        uint64_t sent;

        options.store = PAWL_STORE_OPTIONS_INIT;
        options.store.segment_bytes = 64u << 10;
        options.store.snapshot_bytes = UINT64_MAX;
        options.store.quota_bytes = 1u << 20;
        store_begin(&s, &options);
        sender = store_create(&s, 0, 0);
        target = store_create(&s, 0, 0);
        for (unsigned i = 0; i < pad; i++)
            store_note(&s, target, 1);
        for (unsigned i = 0; i < 40; i++) {
            trace_clear();
            store_post_call(&s, sender, burst, target);
            store_run(&s);
        }
        for (unsigned i = 0; i < s.f.undelivered_count; i++) /* what a port posts may be refused */
            cr_assert_eq(s.f.undelivered[i].event.task.id, sender.id, "an event under way was");
        store_crash(&s, SIM_CRASH_POWER);
        s.options.store.quota_bytes = 0;
        store_open(&s);
        store_run(&s);
        sent = fixture_puppet_of(&s.f, sender).count * BURST + pad;
        cr_assert_eq(fixture_puppet_of(&s.f, target).count, sent, "%llu of %llu",
                     (unsigned long long)fixture_puppet_of(&s.f, target).count,
                     (unsigned long long)sent);
        store_end(&s);
    }
}

#define WORKERS 128u

static struct pawl_buffer *payload;
static struct pawl_task workers[WORKERS];

static void broadcast(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    for (unsigned i = 0; i < 64; i++) {
        const struct pawl_event out = {.task = {event->arg[1]},
                                       .code = P_UNEXPECTED,
                                       .flags = PAWL_EVENT_BUFFER,
                                       .arg = {(uint64_t)(uintptr_t)payload}};

        pawl_buffer_ref(payload);
        if (pawl_step_post(step, &out) != 0) {
            pawl_buffer_unref(payload);
            return;
        }
    }
}

static void set_off(struct pawl_step *step, struct puppet *puppet, const struct pawl_event *event)
{
    puppet->count++;
    for (unsigned i = 0; i < WORKERS; i++)
        pawl_step_post(step, &(struct pawl_event){.task = workers[i],
                                                  .code = P_CALL,
                                                  .arg = {puppet_word(broadcast), event->arg[1]}});
}

/* One batch that writes half a gigabyte. */
Test(durable_room, events_under_way_are_not_refused_for_want_of_buffers)
{
    struct store_fixture_options options = {.inflight_max = 1u << 20};
    struct store_fixture s;
    struct pawl_task first, target;

    options.store = PAWL_STORE_OPTIONS_INIT;
    options.store.segment_bytes = 512u << 20;
    options.store.snapshot_bytes = UINT64_MAX;
    store_begin(&s, &options);
    payload = pawl_buffer_create(60000);
    memset(pawl_buffer_bytes(payload), 1, 60000);
    first = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = store_create_undurable(&s, M_SYNC, 0);
    cr_assert(store_settle(&s));
    store_post_call(&s, first, set_off, target);
    for (unsigned i = 0; i < 30; i++)
        fixture_turn(&s.f);
    cr_assert(fixture_puppet_of(&s.f, workers[0]).count > 0); /* the others may wait */
    for (unsigned i = 0; i < s.f.undelivered_count && i < FIXTURE_UNDELIVERED; i++)
        cr_assert(s.f.undelivered[i].reason != -ENOSPC);
    pawl_buffer_unref(payload);
    store_die(&s);
    store_fini(&s);
}
