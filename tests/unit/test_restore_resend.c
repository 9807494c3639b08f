/* What was sent and not taken is sent again, once and in order. */
#include "shard/restore_resend.h"

#include "support/restore_fixture.h"

static void put_task(struct store_build *b, uint32_t slot)
{
    const uint64_t context[3] = {0};

    build_step(b, slot, 1, 2, S_IDLE, ENTRY_CREATED, context, sizeof(context));
}

static void put_send(struct store_build *b, uint32_t to, uint64_t number, uint16_t flags)
{
    const struct pawl_event event = {
        .task = restore_task(to, 1, 1),
        .code = P_NOTE,
        .flags = flags | PAWL_EVENT_DURABLE | PAWL_EVENT_COMPLETE,
        .arg = {(flags & PAWL_EVENT_CONTROL) != 0 ? 100 + number : number}};

    build_send(b, 1, number, &event, "payload", (flags & PAWL_EVENT_BUFFER) != 0 ? 7 : 0);
}

/* Numbers of what waits at a shard, as digits; control events are from 101 on. */
static bool waits(struct restore_fixture *f, uint32_t shard, const uint64_t *numbers,
                  unsigned count)
{
    bool same = restore_drain(f, shard) == count;

    for (unsigned i = 0; i < f->events_count; i++) {
        same =
            same && f->events[i].arg[0] == numbers[i] &&
            (f->events[i].flags & (PAWL_EVENT_DURABLE | PAWL_EVENT_COMPLETE)) == PAWL_EVENT_DURABLE;
        if (!same)
            fprintf(stderr, "event %u is %llu\n", i, (unsigned long long)f->events[i].arg[0]);
    }
    return same;
}
#define WAITS(f, shard, ...)                                                                       \
    waits(f, shard, (const uint64_t[]){__VA_ARGS__},                                               \
          sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static const struct durable_link *link_of(const struct restore_fixture *f, uint32_t shard,
                                          uint32_t peer)
{
    return &f->runtime->shards[shard]->durable->links[peer];
}

/* Shard 0 has sent five ordinary and three control events to 1, and 1 has taken so many of them. */
static void put_pair(struct restore_fixture *f, uint64_t taken, uint64_t taken_control,
                     uint64_t confirmed)
{
    struct store_build b;

    restore_journal(&b, 0);
    put_task(&b, 1);
    for (uint64_t number = 1; number <= 5; number++) {
        put_send(&b, 1, number, 0);
        build_frame(&b, 0);
        if (number <= 3)
            put_send(&b, 1, number, PAWL_EVENT_CONTROL);
    }
    if (confirmed > 0)
        build_mark(&b, 1, MARK_CONFIRMED, false, confirmed);
    restore_save(f, &b);
    restore_journal(&b, 1);
    put_task(&b, 1);
    build_mark(&b, 0, MARK_TAKEN, false, taken);
    build_mark(&b, 0, MARK_TAKEN, true, taken_control);
    restore_save(f, &b);
}

Test(restore_resend, what_the_receiver_has_not_taken_is_sent_again_in_order)
{
    struct restore_fixture f;

    restore_fixture_init(&f, 2, NULL);
    put_pair(&f, 2, 1, 1);
    restore_open(&f, 2, 0);
    cr_assert_eq(f.restored.shards[0].resent, 5u);
    cr_assert_eq(link_of(&f, 0, 1)->sent[DURABLE_ORDINARY], 5u);
    cr_assert_eq(link_of(&f, 0, 1)->sent[DURABLE_CONTROL], 3u);
    cr_assert_eq(link_of(&f, 0, 1)->confirmed[DURABLE_ORDINARY], 2u);
    cr_assert_eq(link_of(&f, 1, 0)->taken[DURABLE_ORDINARY], 2u);
    cr_assert_eq(link_of(&f, 1, 0)->taken[DURABLE_CONTROL], 1u);
    cr_assert_eq(load_relaxed(&link_of(&f, 1, 0)->safe[DURABLE_ORDINARY]), 2u);
    cr_assert_eq(fifo_count(&link_of(&f, 0, 1)->kept[DURABLE_ORDINARY]), 3u);
    cr_assert_eq(fifo_count(&link_of(&f, 0, 1)->kept[DURABLE_CONTROL]), 2u);
    cr_assert(WAITS(&f, 1, 102, 103, 3, 4, 5));
    restore_close(&f);

    put_pair(&f, 5, 3, 5);
    restore_open(&f, 2, 0);
    cr_assert_eq(restore_drain(&f, 1), 0u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, they_are_handled_when_the_shards_are_turned)
{
    struct restore_fixture f;

    restore_fixture_init(&f, 2, NULL);
    put_pair(&f, 2, 3, 0);
    restore_open(&f, 2, 0);
    restore_start(&f);
    restore_run(&f);
    cr_assert(TRACE_IS(3, 4, 5));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, numbers_never_go_backwards)
{
    struct restore_fixture f;

    restore_fixture_init(&f, 2, NULL);
    put_pair(&f, 9, 3, 0); /* the sender was not synced: it does not know of 6 to 9 */
    restore_open(&f, 2, 0);
    cr_assert_eq(link_of(&f, 0, 1)->sent[DURABLE_ORDINARY], 9u);
    cr_assert_eq(link_of(&f, 0, 1)->confirmed[DURABLE_ORDINARY], 9u);
    cr_assert_eq(restore_drain(&f, 1), 0u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, a_gap_or_a_receiver_that_forgot_is_refused)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    put_pair(&f, 1, 0, 3);
    restore_refused(&f, 2, -EBADMSG, "handled 1 of its events, but had said 3");
    put_pair(&f, 1, 0, 1);
    restore_journal(&b, 0);
    put_task(&b, 1);
    put_send(&b, 1, 1, 0);
    put_send(&b, 1, 4, PAWL_EVENT_BUFFER);
    restore_save(&f, &b);
    restore_refused(&f, 2, -EBADMSG, "2 to 3");
    restore_fixture_fini(&f);
}

Test(restore_resend, what_a_shard_sends_itself_waits_in_its_own_queues)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put_task(&b, 1);
    for (uint64_t number = 1; number <= 4; number++) {
        put_send(&b, 0, number, 0);
        put_send(&b, 0, number, PAWL_EVENT_CONTROL);
    }
    build_mark(&b, 0, MARK_TAKEN, true, 3);
    build_mark(&b, 0, MARK_TAKEN, false, 1);
    build_frame(&b, 0);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    cr_assert_eq(link_of(&f, 0, 0)->sent[DURABLE_ORDINARY], 4u);
    cr_assert_eq(link_of(&f, 0, 0)->taken[DURABLE_ORDINARY], 1u);
    cr_assert_eq(fifo_count(&link_of(&f, 0, 0)->kept[DURABLE_ORDINARY]), 0u);
    cr_assert(WAITS(&f, 0, 104, 2, 3, 4));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, buffers_travel_along_with_a_reference_for_each_holder)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    restore_journal(&b, 0);
    put_task(&b, 1);
    put_send(&b, 1, 1, PAWL_EVENT_BUFFER);
    restore_save(&f, &b);
    restore_journal(&b, 1);
    put_task(&b, 1);
    restore_save(&f, &b);
    restore_open(&f, 2, 0);
    cr_assert_eq(restore_drain(&f, 1), 1u);
    cr_assert_eq(pawl_buffer_size(event_buffer(&f.events[0])), 7u);
    cr_assert(memcmp(pawl_buffer_bytes(event_buffer(&f.events[0])), "payload", 7) == 0);
    event_drop_buffer(&f.events[0]);
    cr_assert(memcmp(pawl_buffer_bytes(event_buffer(&f.events[0])), "payload", 7) == 0,
              "the sender keeps its own");
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, what_a_snapshot_says_of_links_counts_like_the_journal)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 2, NULL);
    put_pair(&f, 3, 3, 0);
    restore_snapshot(&b, 0, 1, 0,
                     1); /* taken late: it knows more than the journal's first frames */
    build_mark(&b, 1, MARK_CONFIRMED, false, 2);
    put_send(&b, 1, 3, 0);
    put_send(&b, 1, 4, 0);
    put_send(&b, 1, 5, 0);
    restore_save(&f, &b);
    restore_open(&f, 2, 0);
    cr_assert(WAITS(&f, 1, 4, 5));
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_resend, a_request_for_a_task_has_the_runtimes_number_of_its_machine)
{
    static const struct pawl_state_def states[] = {{.name = "a"}, {.name = "b"}};
    static const char *const events[] = {"go"};
    static const struct pawl_transition_def transitions[] = {{.from = "a", .on = "go", .to = "b"},
                                                             {.from = "b", .on = "go", .to = "a"}};
    static const struct pawl_machine_def other = {.name = "other",
                                                  FIXTURE_TABLE(events, events),
                                                  FIXTURE_TABLE(states, states),
                                                  FIXTURE_TABLE(transitions, transitions)};
    static const struct pawl_machine_def *const stored[] = {&puppet_machine, &other, NULL};
    static const struct pawl_machine_def *const given[] = {&other, &puppet_machine, NULL};
    const struct pawl_event ask = {.task = id_make(0, 0, 1), .code = PAWL_CODE_CREATE};
    struct pawl_event request;
    const struct pawl_task_spec spec = {.machine = 0, .context = "ctx", .context_size = 3};
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, stored);
    cr_assert_eq(pawl__create_request(&spec, 0, &request), 0);
    restore_journal(&b, 0);
    put_task(&b, 1);
    build_send(&b, 1, 1, &ask, NULL, 0);
    build_send(&b, 1, 2, &request, pawl_buffer_bytes(event_buffer(&request)),
               pawl_buffer_size(event_buffer(&request)));
    restore_save(&f, &b);
    restore_redefine(&f, given);
    restore_open(&f, 1, 0);
    restore_is(&f, restore_task(0, 1, 1), S_IDLE, 0);
    cr_assert_eq(restore_drain(&f, 0), 2u);
    cr_assert_eq(id_slot(f.events[0].task), 0u);
    cr_assert_eq(id_slot(f.events[1].task), 1u);
    event_drop_buffer(&f.events[1]);
    restore_close(&f);

    ((struct create_request *)pawl_buffer_bytes(event_buffer(&request)))->context_size = 4;
    restore_journal(&b, 0); /* it says more than it has */
    put_task(&b, 1);
    build_send(&b, 1, 1, &request, pawl_buffer_bytes(event_buffer(&request)),
               pawl_buffer_size(event_buffer(&request)));
    restore_save(&f, &b);
    restore_refused(&f, 1, -EBADMSG, "in a way that cannot be");
    event_drop_buffer(&request);
    restore_fixture_fini(&f);
}
