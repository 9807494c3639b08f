/* Work tasks on a disk: long texts, wide graphs, timers and trees survive a loss of power. */
#include "shard/work.h"
#include "support/work_store_fixture.h"

#define SECOND FIXTURE_SECOND

static unsigned char text[PAWL_WORK_TEXT_MAX];

static int find_evidence(void *user, const struct pawl_work_note *note)
{
    if (note->kind != PAWL_WORK_NOTE_EVIDENCE)
        return 0;
    cr_assert_eq(note->size, PAWL_REPORT_BYTES_MAX);
    cr_assert_eq(memcmp(note->bytes, text, note->size), 0);
    ++*(unsigned *)user;
    return 0;
}

Test(work_durable, longest_texts_come_back)
{
    static char buffer[PAWL_WORK_TEXT_MAX + 64];
    const struct pawl_report note = {
        .kind = PAWL_REPORT_NOTE, .bytes = text, .size = PAWL_REPORT_BYTES_MAX};
    struct pawl_work_spec spec = work_spec();
    struct pawl_work_detail detail;
    struct pawl_agent *agent;
    struct pawl_lease lease;
    struct pawl_task task;
    unsigned found = 0;
    size_t size = sizeof(buffer);

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (unsigned char)(i * 13 + i / 255);
    stored_init();
    spec.payload = text;
    spec.payload_size = sizeof(text);
    task = stored_submit(&spec);
    agent = stored_agent(0);
    lease = stored_lease(agent);
    cr_assert_eq(stored_report(agent, &lease, &note).status, 0);
    stored_crash(agent);
    cr_assert_eq(pawl_work_notes(s.f.runtime, task, find_evidence, &found), 0);
    cr_assert_eq(found, 1);
    cr_assert_eq(pawl_work_read_detail(s.f.runtime, task, buffer, &size, &detail), 0);
    cr_assert_eq(detail.payload_size, sizeof(text));
    cr_assert_eq(memcmp(detail.payload, text, sizeof(text)), 0);
    stored_end(NULL);
}

Test(work_durable, nothing_is_left_of_a_task_that_is_gone)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_view view = {.context = NULL};
    struct pawl_task task;

    stored_init();
    spec.payload = text;
    spec.payload_size = sizeof(text);
    task = stored_submit(&spec);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, task, false, 1)).status, 0);
    cr_assert_eq(stored_done(pawl_work_discard(s.f.port, task, 1)).status, 0);
    cr_assert(store_settle(&s));
    stored_crash(NULL);
    for (unsigned i = WORK_FIRST; i < WORK_FIRST + PAWL_WORK_MACHINES; i++) {
        const struct pawl_filter filter = {.machine = i, .state = PAWL_ANY};
        struct pawl_walk walk = {0};

        while (!walk.done)
            cr_assert_eq(pawl_task_walk(s.f.runtime, &walk, &filter, &view, 1, 1000), 0);
    }
    stored_end(NULL);
}

/* One that 300 wait for, on two shards: each is told once, across two crashes. */
Test(work_durable, wide_graph_is_released_after_crashes)
{
    enum { WIDTH = 300 };
    static struct pawl_work_spec specs[WIDTH + 2];
    static struct pawl_work_edge edges[2 * WIDTH];
    static struct pawl_task tasks[WIDTH + 2];

    stored_init();
    for (unsigned i = 0; i < WIDTH + 2; i++) {
        specs[i] = work_spec();
        specs[i].flags = i == 0 ? PAWL_WORK_GROUP | PAWL_WORK_HELD : PAWL_WORK_GROUP;
    }
    for (unsigned i = 0; i < WIDTH; i++) {
        edges[2 * i] = (struct pawl_work_edge){.task = 1 + i, .after = 0};
        edges[2 * i + 1] = (struct pawl_work_edge){.task = WIDTH + 1, .after = 1 + i};
    }
    cr_assert_eq(pawl_work_graph(s.f.runtime, specs, WIDTH + 2, edges, 2 * WIDTH, tasks, NULL), 0);
    cr_assert(store_settle(&s));
    stored_crash(NULL);
    cr_assert_eq(stored_view(tasks[WIDTH + 1]).work.waits, WIDTH);
    cr_assert_eq(stored_view(tasks[1]).state, PAWL_WORK_DEPENDENT);
    cr_assert_eq(stored_done(pawl_work_open(s.f.port, tasks[0], 1)).status, 0);
    stored_crash(NULL); /* somewhere on the way */
    cr_assert(store_settle(&s));
    for (unsigned i = 0; i < WIDTH + 2; i++)
        cr_assert_eq(stored_view(tasks[i]).state, PAWL_WORK_COMPLETED, "%u: state %d", i,
                     (int)stored_view(tasks[i]).state);
    stored_end(NULL);
}

Test(work_durable, delays_and_deadlines_go_on)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task delayed, due;

    stored_init();
    spec.delay_ns = 20 * SECOND;
    delayed = stored_submit(&spec);
    spec.delay_ns = 0;
    spec.deadline_ns = 30 * SECOND;
    due = stored_submit(&spec);
    store_advance(&s, 10 * SECOND);
    /* A store's time is that of its last frame. */
    cr_assert_eq(stored_done(pawl_work_prioritise(s.f.port, delayed, 1, 1)).status, 0);
    cr_assert_eq(stored_done(pawl_work_prioritise(s.f.port, due, 1, 1)).status, 0);
    stored_crash(NULL);
    store_advance(&s, 9 * SECOND);
    cr_assert_eq(stored_view(delayed).state, PAWL_WORK_DELAYED);
    store_advance(&s, 2 * SECOND);
    cr_assert_eq(stored_view(delayed).state, PAWL_WORK_READY);
    cr_assert_eq(stored_view(due).state, PAWL_WORK_READY);
    store_advance(&s, 11 * SECOND);
    cr_assert_eq(stored_view(due).state, PAWL_WORK_FAILED);
    stored_end(NULL);
}

Test(work_durable, tree_is_cancelled_though_the_power_fails)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent, children[8];

    stored_init();
    parent = stored_submit(&spec);
    spec.parent = parent;
    for (unsigned i = 0; i < 8; i++) {
        spec.shard = i % 2;
        children[i] = stored_submit(&spec);
    }
    cr_assert(store_settle(&s));
    stored_crash(NULL);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, parent, true, 1)).status, 0);
    stored_crash(NULL);
    cr_assert(store_settle(&s));
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(stored_view(children[i]).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}

/* As a graph makes its tasks before it links them. */
static struct pawl_task make_undeclared(unsigned i, uint32_t undeclared)
{
    struct pawl_work_spec spec = work_spec();
    struct work_submission submission;
    struct pawl_task task;
    char key[4];

    spec.key = key;
    spec.key_size = (size_t)snprintf(key, sizeof(key), "%u", i);
    cr_assert_eq(pawl__work_pack(s.f.runtime, &spec, true, undeclared, &submission), 0);
    cr_assert_eq(store_try_create(&s, &submission.task, &task), 0);
    pawl__work_unpack(&submission);
    return task;
}

Test(work_durable, half_made_graph_is_cancelled_when_the_store_is_opened_again)
{
    struct pawl_event link;
    struct pawl_task tasks[6];

    stored_init();
    for (unsigned i = 0; i < 6; i++)
        tasks[i] = make_undeclared(i, i > 0);
    for (unsigned i = 1; i < 4; i++) { /* some have been told of their edges */
        cr_assert_eq(pawl__work_after_event(tasks[i], &tasks[i - 1], 1, WORK_BY_GRAPH, &link), 0);
        cr_assert_eq(pawl_task_post(s.f.runtime, &link, 1), 1);
    }
    cr_assert(store_settle(&s));
    store_advance(&s,
                  3600 * SECOND); /* while its process lives, a graph takes as long as it takes */
    cr_assert_eq(stored_view(tasks[3]).state, PAWL_WORK_NEW);
    for (unsigned crash = 0; crash < 2; crash++) { /* the first cancels nothing durably */
        stored_crash(NULL);
        cr_assert_eq(stored_view(tasks[0]).state, PAWL_WORK_NEW);
        cr_assert_eq(pawl__work_restore(s.f.runtime), 0);
    }
    cr_assert(store_settle(&s));
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(stored_view(tasks[i]).state, PAWL_WORK_CANCELLED);
        cr_assert_eq(stored_view(tasks[i]).work.klass, PAWL_WORK_CLASS_UNDECLARED);
        cr_assert_eq(stored_view(tasks[i]).work.reason, -ECANCELED);
    }
    stored_crash(NULL);
    cr_assert_eq(stored_view(tasks[5]).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}

/* As a host does it, with pawl_options.work. */
static void open_as_a_host(void)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    memset(&s.f, 0, sizeof(s.f));
    s.f.shards = 2;
    cr_assert_eq(pawl_virtual_clock_create(FIXTURE_START_NS, &s.f.clock), 0);
    options.machines = (const struct pawl_machine *const *)s.machines;
    options.machine_count = WORK_FIRST;
    options.shards = 2;
    options.drive = PAWL_DRIVE_HOST;
    options.clock = pawl_virtual_clock_seam(s.f.clock);
    options.storage = &s.storage;
    options.tasks_max = 1u << 16;
    options.lanes = work_lanes;
    options.lane_count = 2;
    options.no_huge_pages = 1;
    options.work = &stored;
    options.store = &s.options.store;
    cr_assert_eq(pawl_open(&options, &s.f.runtime), 0);
    store_start(&s);
}

Test(work_durable, opening_a_store_looks_for_half_made_graphs)
{
    struct pawl_task task;

    stored_init();
    task = make_undeclared(0, 0);
    cr_assert(store_settle(&s));
    store_crash(&s, SIM_CRASH_POWER);
    open_as_a_host();
    cr_assert(store_settle(&s));
    cr_assert_eq(stored_view(task).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}

Test(work_durable, whole_graph_and_held_tasks_are_left_alone_at_opening)
{
    struct pawl_work_spec specs[3];
    const struct pawl_work_edge edges[2] = {{1, 0}, {2, 1}};
    struct pawl_task tasks[3], alone;

    stored_init();
    for (unsigned i = 0; i < 3; i++) {
        specs[i] = work_spec();
        specs[i].flags = i < 2 ? PAWL_WORK_HELD : 0;
    }
    cr_assert_eq(pawl_work_graph(s.f.runtime, specs, 3, edges, 2, tasks, NULL), 0);
    alone = stored_submit(&specs[0]);
    cr_assert(store_settle(&s));
    stored_crash(NULL);
    cr_assert_eq(pawl__work_restore(s.f.runtime), 0);
    cr_assert(store_settle(&s));
    cr_assert_eq(stored_view(alone).state, PAWL_WORK_NEW);
    cr_assert_eq(stored_view(tasks[0]).state, PAWL_WORK_NEW);
    cr_assert_eq(stored_view(tasks[1]).state, PAWL_WORK_NEW);
    cr_assert_eq(stored_view(tasks[2]).state, PAWL_WORK_DEPENDENT);
    cr_assert_eq(stored_done(pawl_work_open(s.f.port, tasks[1], 1)).state, PAWL_WORK_DEPENDENT);
    cr_assert_eq(stored_done(pawl_work_open(s.f.port, tasks[0], 1)).state, PAWL_WORK_READY);
    stored_end(NULL);
}

/* What its parent's end means to a child is told once, whatever crashes: follow stays deferred. */
Test(work_durable, children_follow_a_kicked_parent_across_crashes)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent, child;

    stored_init();
    spec.shard = 0;
    spec.deadline_ns = SECOND;
    parent = stored_submit(&spec);
    spec = work_spec();
    spec.shard = 1;
    spec.parent = parent;
    child = stored_submit(&spec);
    store_advance(&s, 2 * SECOND);
    cr_assert_eq(stored_view(parent).state, PAWL_WORK_FAILED);
    cr_assert(store_settle(&s));
    stored_crash(NULL);
    cr_assert_eq(stored_done(pawl_work_kick(s.f.port, parent, 1)).state, PAWL_WORK_READY);
    stored_crash(NULL);
    cr_assert_eq(stored_done(pawl_work_cancel(s.f.port, parent, true, 1)).status, 0);
    stored_crash(NULL);
    cr_assert(store_settle(&s));
    cr_assert_eq(stored_view(child).state, PAWL_WORK_CANCELLED);
    stored_end(NULL);
}
