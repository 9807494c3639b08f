/* Work tasks on a disk: long texts, wide graphs, timers and trees survive a loss of power. */
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
