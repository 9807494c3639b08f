/* A window's rows, read back by the client: nothing that is said is lost or changed on the way. */
#include "watch/live_reply.h"

#include <stdlib.h>
#include <string.h>

#include "inspect_live.h"
#include "support/test.h"

static struct live_text text;
static struct inspect_reply reply;
static char *bytes;

static void begin(void)
{
    text = (struct live_text){.limit = PAWL_LIVE_REPLY_MAX - REPLY_END_MAX};
    pawl__reply_greeting(&text);
}

static const char *read_back(bool list)
{
    bytes = malloc(text.rows + 1);
    memcpy(bytes, text.bytes, text.rows);
    memset(&reply, 0, sizeof(reply));
    return inspect_reply_read(&reply, list, bytes, text.rows);
}

static void end(void)
{
    inspect_reply_fini(&reply);
    free(bytes);
    pawl__live_text_fini(&text);
}

static struct pawl_work_view full_view(void)
{
    struct pawl_work_view view = {.task = {UINT64_C(0xfedcba9876543210)},
                                  .state = PAWL_WORK_LEASED,
                                  .version = 9,
                                  .key_size = 3,
                                  .age_ns = UINT64_MAX};

    memcpy(view.key, "a\0\xff", 3);
    view.work = (struct pawl_work){.claim = {.since_ns = 1,
                                             .token = UINT64_MAX,
                                             .agent = 3,
                                             .assignee = 4,
                                             .lane = pawl_lane_number("build"),
                                             .priority = UINT32_MAX,
                                             .leases = 5},
                                   .parent = 6,
                                   .value = 7,
                                   .progress = 8,
                                   .created_ns = 9,
                                   .started_ns = 10,
                                   .settled_ns = 11,
                                   .due_ns = 12,
                                   .deadline_ns = 13,
                                   .waits = 14,
                                   .attempts = 15,
                                   .attempts_max = PAWL_WORK_UNLIMITED,
                                   .crashes = 255,
                                   .klass = 240,
                                   .reason = -16,
                                   .policy = 65535,
                                   .flags = PAWL_WORK_HELD | PAWL_WORK_GROUP,
                                   .notes = 17,
                                   .bytes = 18,
                                   .history = 19,
                                   .missed = 20};
    return view;
}

Test(live_reply, a_task_comes_back_as_it_was)
{
    const struct pawl_work_view view = full_view();

    begin();
    pawl__reply_task(&text, &view, "build");
    pawl__reply_end(&text, &(struct sight){.matching = 0});
    cr_assert(read_back(false) == NULL);
    cr_assert(reply.greeted && reply.ended && reply.complete && reply.found);
    cr_assert(memcmp(&reply.whole.view, &view, sizeof(view)) == 0);
    cr_assert_str_eq(reply.whole.lane, "build");
    end();
}

Test(live_reply, a_list_comes_back_as_it_was)
{
    const struct pawl_work_view view = full_view();
    const struct pawl_counters counters = {.events = 5, .memory_bytes = UINT64_MAX};
    struct sight_lane lane = {.number = pawl_lane_number("build"), .name = "build", .others = 3};
    const struct sight_agent agent = {
        .incarnation = 77, .leases = 2, .oldest_ns = 8, .credits = 9, .open = true, .name = "a\"b"};
    const struct sight_lane *back;

    lane.status =
        (struct pawl_lane_status){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, true, PAWL_BREAKER_HALF_OPEN};
    begin();
    pawl__reply_runtime(&text, 123, 4, &counters);
    pawl__reply_state(&text, &(struct sight_state){"m \"x\"", "s", 12});
    pawl__reply_lane(&text, &lane);
    pawl__reply_agent(&text, &agent);
    pawl__reply_task(&text, &view, "build");
    pawl__reply_end(&text, &(struct sight){.matching = 99, .agents_left_out = 2});
    cr_assert(read_back(true) == NULL);
    cr_assert(reply.complete);
    cr_assert_eq(reply.process.uptime_ns, 123);
    cr_assert_eq(reply.process.numbers_count, 1 + sizeof(counters) / sizeof(uint64_t));
    cr_assert_str_eq(reply.process.numbers[2].name, "events");
    cr_assert_eq(reply.process.numbers[2].value, 5);
    cr_assert_str_eq(reply.list.sight.states[0].machine, "m \"x\"");
    cr_assert_eq(reply.list.sight.states[0].tasks, 12);
    back = &reply.list.sight.lanes[0];
    cr_assert_eq(back->number, lane.number);
    cr_assert_eq(back->others, 3);
    cr_assert_eq(back->status.ready, 1);
    cr_assert_eq(back->status.leased, 2);
    cr_assert_eq(back->status.oldest_ns, 3);
    cr_assert_eq(back->status.leases, 4);
    cr_assert_eq(back->status.returned, 5);
    cr_assert_eq(back->status.expired, 6);
    cr_assert_eq(back->status.lost, 7);
    cr_assert_eq(back->status.refused, 8);
    cr_assert_eq(back->status.good, 9);
    cr_assert_eq(back->status.bad, 10);
    cr_assert(back->status.paused);
    cr_assert_eq(back->status.breaker, PAWL_BREAKER_HALF_OPEN);
    cr_assert_eq(reply.list.sight.agents[0].incarnation, 77);
    cr_assert_eq(reply.list.sight.agents[0].leases, 2);
    cr_assert_eq(reply.list.sight.agents[0].oldest_ns, 8);
    cr_assert_eq(reply.list.sight.agents[0].credits, 9);
    cr_assert(reply.list.sight.agents[0].open);
    cr_assert_str_eq(reply.list.sight.agents[0].name, "a\"b");
    cr_assert(memcmp(&sight_task(&reply.list.sight, 0)->view, &view, sizeof(view)) == 0);
    cr_assert_eq(reply.list.sight.matching, 99);
    cr_assert_eq(reply.list.sight.agents_left_out, 2);
    end();
}

Test(live_reply, notes_and_other_tasks_come_back)
{
    struct pawl_work_view view = full_view();

    begin();
    pawl__reply_task(&text, &view, "build");
    pawl__reply_other(&text, "parent", 5, NULL);
    pawl__reply_timer(&text, "lease", -7);
    pawl__reply_note(&text, &(struct pawl_work_note){.kind = PAWL_WORK_NOTE_EVIDENCE,
                                                     .klass = 1,
                                                     .reason = -2,
                                                     .wall_ns = 3,
                                                     .agent = 4,
                                                     .token = 5,
                                                     .value = 6,
                                                     .hash = 7,
                                                     .bytes = "\0z",
                                                     .size = 2});
    pawl__reply_other(&text, "child", 6, &view);
    pawl__reply_end(&text, &(struct sight){.matching = 0});
    cr_assert(read_back(false) == NULL);
    cr_assert_eq(reply.whole.parent.count, 1);
    cr_assert_eq(reply.whole.parent.at[0].id, 5);
    cr_assert(reply.whole.parent.at[0].gone);
    cr_assert_eq(reply.whole.timers_count, 1);
    cr_assert_str_eq(reply.whole.timers[0].name, "lease");
    cr_assert_eq(reply.whole.timers[0].in_ns, -7);
    cr_assert_eq(reply.whole.notes_count, 1);
    cr_assert_eq(reply.whole.notes[0].note.kind, PAWL_WORK_NOTE_EVIDENCE);
    cr_assert_eq(reply.whole.notes[0].note.reason, -2);
    cr_assert_eq(reply.whole.notes[0].note.hash, 7);
    cr_assert_eq(reply.whole.notes[0].note.size, 2);
    cr_assert(memcmp(reply.whole.notes[0].note.bytes, "\0z", 2) == 0);
    cr_assert_eq(reply.whole.children.count, 1);
    cr_assert_eq(reply.whole.children.at[0].state, PAWL_WORK_LEASED);
    cr_assert_eq(reply.whole.children.at[0].key_size, 3);
    end();
}

Test(live_reply, a_reply_that_is_full_says_so_in_its_last_row)
{
    const struct pawl_work_view view = full_view();
    unsigned rows = 0;

    begin();
    while (!text.full) {
        pawl__reply_task(&text, &view, "build");
        rows++;
    }
    cr_assert(rows > PAWL_LIVE_TASKS_MAX, "a whole list fits");
    pawl__reply_end(&text, &(struct sight){.matching = 1});
    cr_assert(text.rows <= PAWL_LIVE_REPLY_MAX);
    cr_assert(read_back(false) == NULL);
    cr_assert(reply.ended && !reply.complete);
    cr_assert_eq(reply.code, -ENOSPC);
    cr_assert(strlen(reply.error) > 10);
    end();
}

Test(live_reply, every_beginning_of_a_reply_is_known_to_be_cut_off)
{
    const struct pawl_work_view view = full_view();
    size_t all;

    begin();
    pawl__reply_task(&text, &view, "build");
    pawl__reply_end(&text, &(struct sight){.matching = 1});
    all = text.rows;
    for (text.rows = 0; text.rows < all; text.rows++) {
        cr_assert(read_back(false) == NULL);
        cr_assert(!reply.ended, "%zu of %zu bytes", text.rows, all);
        inspect_reply_fini(&reply);
        free(bytes);
    }
    cr_assert(read_back(false) == NULL);
    cr_assert(reply.complete);
    end();
}

Test(live_reply, what_does_not_greet_as_a_window_is_none)
{
    text = (struct live_text){.limit = 1000};
    pawl__live_text_say(&text, "{\"row\":\"task\"}");
    pawl__live_text_end_row(&text);
    cr_assert(read_back(false) != NULL);
    end();
    text = (struct live_text){.limit = 1000};
    pawl__live_text_say(&text, "{\"row\":\"pawl\",\"protocol\":2}");
    pawl__live_text_end_row(&text);
    cr_assert(read_back(true) != NULL);
    end();
    text = (struct live_text){.limit = 1000};
    pawl__live_text_say(&text, "HTTP/1.1 400 Bad Request\r");
    pawl__live_text_end_row(&text);
    cr_assert(read_back(true) != NULL);
    end();
}

Test(live_reply, rows_and_members_that_are_not_known_are_passed_over)
{
    begin();
    pawl__live_text_say(&text, "{\"row\":\"weather\",\"rain\":true}");
    pawl__live_text_end_row(&text);
    pawl__live_text_say(&text,
                        "{\"row\":\"lane\",\"lane\":\"a\",\"number\":\"00000001\",\"new\":\"x\"}");
    pawl__live_text_end_row(&text);
    pawl__reply_end(&text, &(struct sight){.matching = 0});
    cr_assert(read_back(true) == NULL);
    cr_assert(reply.complete);
    cr_assert_eq(reply.list.sight.lanes_count, 1);
    end();
}
