/* A request on its way to its reply: in portions, whatever the runtime does meanwhile. */
#include "watch/live_look.h"

#include "inspect_live.h"
#include "support/work_fixture.h"

static struct work_fixture w;
static struct live_look look;
static struct live_text text;
static struct inspect_reply reply;
static char *bytes;
static unsigned portions;
static void (*prepare)(void); /* called before the first portion */

/* The whole way; between two portions `meanwhile` is called. */
static void ask(const char *line, void (*meanwhile)(void))
{
    static struct live_request request;
    static char wrong[LIVE_WRONG_MAX];
    const char *const what = pawl__live_request_parse(&request, line, strlen(line), wrong);
    const char *unread;
    size_t size;
    bool done;

    cr_assert(what == NULL, "%s", what != NULL ? what : "");
    text = (struct live_text){.limit = PAWL_LIVE_REPLY_MAX - REPLY_END_MAX};
    pawl__reply_greeting(&text);
    done = pawl__look_begin(&look, w.f.runtime, &request, &text);
    if (prepare != NULL)
        prepare();
    for (portions = 0; !done; portions++) {
        cr_assert(portions < 10000, "the look has no end");
        done = pawl__look_go_on(&look);
        if (!done && meanwhile != NULL)
            meanwhile();
    }
    pawl__look_fini(&look);
    size = text.rows;
    bytes = malloc(size + 1);
    memcpy(bytes, text.bytes, size);
    pawl__live_text_fini(&text);
    memset(&reply, 0, sizeof(reply));
    unread = inspect_reply_read(&reply, request.kind == LIVE_LIST, bytes, size);
    cr_assert(unread == NULL, "%s", unread != NULL ? unread : "");
}

/* As ask, for what must be answered. */
static void ask_well(const char *line)
{
    ask(line, NULL);
    cr_assert(reply.ended, "'%s': the reply has no end", line);
    cr_assert(reply.complete, "'%s': %s", line, reply.error);
}

static void done(void)
{
    inspect_reply_fini(&reply);
    free(bytes);
}

static uint64_t tasks_in(const char *machine, const char *state)
{
    for (size_t i = 0; i < reply.list.sight.states_count; i++)
        if (strcmp(reply.list.sight.states[i].machine, machine) == 0 &&
            strcmp(reply.list.sight.states[i].state, state) == 0)
            return reply.list.sight.states[i].tasks;
    return 0;
}

Test(live_look, a_list_counts_everything_and_shows_what_was_chosen)
{
    struct pawl_work_spec spec = work_spec();
    const struct sight *sight = &reply.list.sight;
    struct pawl_agent *agent;
    struct pawl_lease lease;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    fixture_puppet(&w.f, 0);
    spec.priority = 9;
    work_submit(&w, &spec);
    spec.priority = 3;
    spec.key = "three";
    spec.key_size = 5;
    work_submit(&w, &spec);
    spec = work_spec();
    spec.lane = "verify";
    work_submit(&w, &spec);
    agent = work_agent(&w, "a", "verify", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(pawl_lane_pause(w.f.runtime, "work", 0), 0);
    fixture_advance(&w.f, FIXTURE_SECOND);

    ask_well("list sort=priority state=ready lane=work limit=1");
    cr_assert(reply.process.uptime_ns >= FIXTURE_SECOND);
    cr_assert_eq(tasks_in("puppet", "idle"), 1);
    cr_assert_eq(tasks_in("pawl.work", "ready"), 2);
    cr_assert_eq(tasks_in("pawl.work", "leased"), 1);
    cr_assert_eq(sight->lanes_count, 2);
    cr_assert_str_eq(sight->lanes[0].name, "work");
    cr_assert_eq(sight->lanes[0].status.ready, 2);
    cr_assert(sight->lanes[0].status.paused);
    cr_assert_eq(sight->lanes[1].status.leased, 1);
    cr_assert_eq(sight->lanes[1].status.leases, 1);
    cr_assert_eq(sight->agents_count, 1);
    cr_assert_eq(sight->agents[0].incarnation, pawl_agent_incarnation(agent));
    cr_assert_eq(sight->agents[0].leases, 1);
    cr_assert(sight->agents[0].open);
    cr_assert_eq(sight->matching, 2);
    cr_assert_eq(sight->tasks_count, 1);
    cr_assert_eq(sight->tasks[0].view.work.claim.priority, 3);
    cr_assert_eq(sight->tasks[0].view.key_size, 5);
    done();

    ask_well("list lane=e4ce2924"); /* a lane by its number */
    cr_assert_eq(pawl_lane_number("verify"), 0xe4ce2924);
    cr_assert_eq(sight->tasks_count, 1);
    cr_assert_eq(sight->tasks[0].view.task.id, lease.task.id);
    cr_assert_eq(sight->tasks[0].view.work.claim.token, lease.token);
    done();
    work_agent_end(&w, agent);
    work_close(&w);
}

/* As many as would be there if others had left leases behind: one place is left. */
static void crowd(void)
{
    for (uint64_t i = 1; i < SIGHT_AGENTS_MAX; i++)
        cr_assert(pawl__sight_add_agent(&look.sight, UINT64_MAX - i) != NULL);
}

Test(live_look, an_agent_with_leases_is_open_although_there_is_no_place_for_another)
{
    const struct sight *sight = &reply.list.sight;
    struct pawl_agent *idle, *busy;

    work_open(&w, NULL);
    work_submit(&w, NULL);
    idle = work_agent(&w, "idle", "verify", 1);
    busy = work_agent(&w, "busy", "work", 1);
    work_lease(&w, busy);
    prepare = crowd;
    ask_well("list");
    prepare = NULL;
    cr_assert_eq(sight->agents_count, SIGHT_AGENTS_MAX);
    cr_assert_eq(sight->agents_left_out, 0, "who is left out has no leases");
    cr_assert_eq(sight->agents[0].incarnation, pawl_agent_incarnation(busy));
    cr_assert_eq(sight->agents[0].leases, 1);
    cr_assert(sight->agents[0].open);
    cr_assert_str_eq(sight->agents[0].name, "busy");
    done();
    work_agent_end(&w, idle);
    work_agent_end(&w, busy);
    work_close(&w);
}

static uint64_t ended;

/* One task ends, and one comes, between any two portions. */
static void come_and_go(void)
{
    if (ended != 0)
        work_cancel(&w, (struct pawl_task){ended}, false);
    ended = work_submit(&w, NULL).id;
}

Test(live_look, many_tasks_are_looked_at_in_portions_while_others_come_and_go)
{
    const unsigned count = 3 * LOOK_PORTION;

    work_open(&w, NULL);
    for (unsigned i = 0; i < count; i++)
        fixture_puppet(&w.f, 0);
    ended = 0;
    ask("list", come_and_go);
    cr_assert(reply.complete);
    cr_assert(portions >= 3, "%u portions", portions);
    cr_assert_eq(tasks_in("puppet", "idle"), count, "who stays is seen exactly once");
    done();
    work_close(&w);
}

Test(live_look, one_task_is_shown_whole)
{
    struct pawl_work_spec spec = work_spec();
    const struct inspect_whole *whole = &reply.whole;
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task parent, child;
    char line[64];

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    spec.lane = "verify";
    parent = work_submit(&w, &spec);
    spec = work_spec();
    spec.parent = parent;
    spec.key = "a key";
    spec.key_size = 5;
    spec.title = "make all";
    spec.payload = "\0\1";
    spec.payload_size = 2;
    work_submit(&w, &spec);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    cr_assert_eq(
        work_receipt(&w, agent, &lease,
                     &(struct pawl_report){
                         .kind = PAWL_REPORT_NOTE, .bytes = "evidence", .size = 8, .hash = 0xfeed})
            .status,
        0);
    spec = work_spec();
    spec.lane = "verify";
    spec.parent = lease.task;
    child = work_submit(&w, &spec);

    ask_well("task key=a%20key");
    cr_assert(reply.found);
    cr_assert_eq(whole->view.task.id, lease.task.id);
    cr_assert_eq(whole->view.state, PAWL_WORK_LEASED);
    cr_assert_str_eq(whole->lane, "work");
    cr_assert_eq(whole->parent.count, 1);
    cr_assert_eq(whole->parent.at[0].id, parent.id);
    cr_assert_eq(whole->parent.at[0].state, PAWL_WORK_READY);
    cr_assert_eq(whole->children.count, 1);
    cr_assert_eq(whole->children.at[0].id, child.id);
    cr_assert_eq(whole->timers_count, 1);
    cr_assert(whole->timers[0].in_ns > 0);
    cr_assert_eq(whole->notes_count, 2);
    cr_assert_eq(whole->notes[0].note.hash, 0xfeed);
    cr_assert(memcmp(whole->notes[0].note.bytes, "evidence", 8) == 0);
    cr_assert(whole->notes[1].detailed);
    cr_assert_str_eq(whole->notes[1].detail.title, "make all");
    cr_assert_eq(whole->notes[1].detail.payload_size, 2);
    done();

    snprintf(line, sizeof(line), "task id=%llx", (unsigned long long)parent.id);
    ask_well(line);
    cr_assert_eq(whole->children.count, 1);
    cr_assert_eq(whole->children.at[0].id, lease.task.id);
    cr_assert_eq(whole->timers_count, 0);
    done();
    work_agent_end(&w, agent);
    work_close(&w);
}

static void expect_refused(const char *line, int code)
{
    ask(line, NULL);
    cr_assert(reply.ended && !reply.complete, "'%s' is answered", line);
    cr_assert_eq(reply.code, code, "'%s': %d", line, reply.code);
    cr_assert(strlen(reply.error) > 10);
    done();
}

Test(live_look, what_is_not_there_is_refused_in_words)
{
    const struct pawl_work_options *work;
    struct pawl_task puppet;
    char line[64];

    work_open(&w, NULL);
    puppet = fixture_puppet(&w.f, 0);
    expect_refused("list lane=nowhere", -ENOENT);
    expect_refused("list lane=ffffffff", -ENOENT);
    expect_refused("task key=nobody", -ENOENT);
    expect_refused("task id=ffffffffffffffff", -ESTALE);
    snprintf(line, sizeof(line), "task id=%llx", (unsigned long long)puppet.id);
    expect_refused(line, -ENOENT);
    work = w.f.runtime->work;
    w.f.runtime->work = NULL;
    expect_refused("task id=1", -ENOTSUP);
    w.f.runtime->work = work;
    work_close(&w);
}

Test(live_look, a_runtime_without_work_still_has_states_and_counters)
{
    struct fixture *f = &w.f;

    fixture_open(f, NULL);
    fixture_puppet(f, 0);
    ask_well("list");
    cr_assert_eq(tasks_in("puppet", "idle"), 1);
    cr_assert_eq(reply.list.sight.lanes_count, 0);
    cr_assert_eq(reply.list.sight.agents_count, 0);
    done();
    fixture_close(f);
}

Test(live_look, notes_that_do_not_fit_are_left_out_and_the_reply_says_so)
{
    static char large[PAWL_REPORT_BYTES_MAX];
    struct pawl_agent *agent;
    struct pawl_lease lease;
    char line[64];

    work_open(&w, &(struct work_fixture_options){
                      .policies = {{.bytes_max = UINT32_MAX, .notes_max = 1000}}});
    work_submit(&w, NULL);
    agent = work_agent(&w, "a", "work", 1);
    lease = work_lease(&w, agent);
    for (unsigned i = 0; i < PAWL_LIVE_REPLY_MAX / (2 * sizeof(large)) + 1; i++)
        cr_assert_eq(work_receipt(&w, agent, &lease,
                                  &(struct pawl_report){.kind = PAWL_REPORT_NOTE,
                                                        .bytes = large,
                                                        .size = sizeof(large)})
                         .status,
                     0);
    snprintf(line, sizeof(line), "task id=%llx", (unsigned long long)lease.task.id);
    ask(line, NULL);
    cr_assert(reply.found && reply.ended && !reply.complete);
    cr_assert_eq(reply.code, -ENOSPC);
    cr_assert(reply.whole.notes_count > 10);
    done();
    work_agent_end(&w, agent);
    work_close(&w);
}
