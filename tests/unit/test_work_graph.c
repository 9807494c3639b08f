/* Many tasks and who waits for whom, declared at once. */
#include <pthread.h>
#include <time.h>

#include "support/work_fixture.h"

#define COUNT 1200u

static struct work_fixture w;
static struct pawl_work_spec specs[COUNT];
static struct pawl_work_edge edges[4 * COUNT];
static struct pawl_task tasks[COUNT];

static void all_groups(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        specs[i] = work_spec();
        specs[i].flags = PAWL_WORK_GROUP;
    }
}

static int declare(unsigned count, unsigned edge_count, struct pawl_work_edge *cycle)
{
    const int error = pawl_work_graph(w.f.runtime, specs, count, edges, edge_count, tasks, cycle);

    fixture_run(&w.f);
    return error;
}

Test(work_graph, chain_runs_in_order)
{
    work_open(&w, &(struct work_fixture_options){.shards = 2});
    all_groups();
    specs[0].flags = 0;
    for (unsigned i = 1; i < 50; i++)
        edges[i - 1] = (struct pawl_work_edge){.task = i, .after = i - 1};
    cr_assert_eq(declare(50, 49, NULL), 0);
    cr_assert_eq(work_state(&w, tasks[0]), PAWL_WORK_READY);
    for (unsigned i = 1; i < 50; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_DEPENDENT);
    work_cancel(&w, tasks[0], false);
    for (unsigned i = 1; i < 50; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_FAILED);
    work_close(&w);
}

/* One that all wait for, a thousand that wait for it, and one that waits for these. */
Test(work_graph, wide_one_opens_and_joins)
{
    const unsigned width = 1000;

    work_open(&w, &(struct work_fixture_options){.shards = 2});
    all_groups();
    specs[0].flags |= PAWL_WORK_HELD;
    for (unsigned i = 0; i < width; i++) {
        edges[2 * i] = (struct pawl_work_edge){.task = 1 + i, .after = 0};
        edges[2 * i + 1] = (struct pawl_work_edge){.task = width + 1, .after = 1 + i};
    }
    cr_assert_eq(declare(width + 2, 2 * width, NULL), 0);
    cr_assert_eq(work_view(&w, tasks[width + 1]).work.waits, width);
    cr_assert_eq(work_state(&w, tasks[1]), PAWL_WORK_DEPENDENT);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, tasks[0], 1)).status, 0);
    for (unsigned i = 0; i < width + 2; i++)
        cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_COMPLETED);
    work_close(&w);
}

Test(work_graph, cycle_is_named_and_makes_nothing)
{
    struct pawl_work_edge cycle = {77, 77};

    work_open(&w, NULL);
    all_groups();
    /* 0 - 1 - 2 - 3 - 1, and 4 waits for 3 */
    edges[0] = (struct pawl_work_edge){.task = 1, .after = 0};
    edges[1] = (struct pawl_work_edge){.task = 2, .after = 1};
    edges[2] = (struct pawl_work_edge){.task = 3, .after = 2};
    edges[3] = (struct pawl_work_edge){.task = 1, .after = 3};
    edges[4] = (struct pawl_work_edge){.task = 4, .after = 3};
    cr_assert_eq(declare(5, 5, &cycle), -EINVAL);
    cr_assert((cycle.task == 1 && cycle.after == 3) || (cycle.task == 2 && cycle.after == 1) ||
                  (cycle.task == 3 && cycle.after == 2),
              "%u waits for %u", cycle.task, cycle.after);
    cr_assert_eq(work_live(&w), 0);
    edges[0] = (struct pawl_work_edge){.task = 2, .after = 2};
    cr_assert_eq(declare(3, 1, &cycle), -EINVAL);
    cr_assert(cycle.task == 2 && cycle.after == 2);
    edges[0].after = 3;
    cr_assert_eq(declare(3, 1, &cycle), -EINVAL);
    work_close(&w);
}

/* Random graphs: an edge of a circle is found exactly when there is one. */
Test(work_graph, cycles_are_found_in_random_graphs)
{
    uint64_t random = 12345;
    unsigned circles = 0;

    work_open(&w, NULL);
    all_groups();
    for (unsigned round = 0; round < 300; round++) {
        const unsigned count = 2 + round % 9;
        bool reach[10][10] = {{false}};
        struct pawl_work_edge cycle = {99, 99};
        bool circle = false;
        unsigned n = 0;

        for (unsigned i = 0; i < count + 1; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            edges[n].task = (uint32_t)(random >> 33) % count;
            edges[n].after = (uint32_t)(random >> 50) % count;
            reach[edges[n].task][edges[n].after] = true;
            n++;
        }
        for (unsigned k = 0; k < count; k++)
            for (unsigned i = 0; i < count; i++)
                for (unsigned j = 0; j < count; j++)
                    reach[i][j] |= reach[i][k] && reach[k][j];
        for (unsigned i = 0; i < count; i++)
            circle |= reach[i][i];
        cr_assert_eq(declare(count, n, &cycle), circle ? -EINVAL : 0);
        circles += circle;
        if (circle)
            cr_assert(cycle.task == cycle.after || reach[cycle.after][cycle.task]);
        else
            for (unsigned i = 0; i < count; i++)
                cr_assert_eq(work_state(&w, tasks[i]), PAWL_WORK_COMPLETED);
    }
    cr_assert(circles > 50 && circles < 290, "%u circles", circles);
    work_close(&w);
}

Test(work_graph, taken_key_gives_all_of_it_up)
{
    struct pawl_work_edge cycle;
    struct pawl_task taken;

    work_open(&w, NULL);
    all_groups();
    specs[2].key = "k";
    specs[2].key_size = 1;
    specs[2].flags |= PAWL_WORK_HELD;
    taken = work_submit(&w, &specs[2]);
    edges[0] = (struct pawl_work_edge){.task = 1, .after = 0};
    cr_assert_eq(declare(3, 1, &cycle), -EEXIST);
    cr_assert_eq(cycle.task, 2);
    cr_assert_eq(tasks[2].id, taken.id);
    cr_assert_eq(work_live(&w), 1);
    cr_assert_eq(work_state(&w, taken), PAWL_WORK_NEW);
    work_close(&w);
}

Test(work_graph, held_one_takes_no_edges_from_others)
{
    struct pawl_task other;

    work_open(&w, NULL);
    all_groups();
    specs[0].flags |= PAWL_WORK_HELD;
    cr_assert_eq(declare(1, 0, NULL), 0);
    other = work_submit(&w, NULL);
    cr_assert_eq(work_done(&w, pawl_work_after(w.f.port, tasks[0], &other, 1, 1)).status, -EPROTO);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, tasks[0], 1)).state, PAWL_WORK_COMPLETED);
    work_close(&w);
}

/* What should have told it of an edge was lost: it does not run too soon. */
Test(work_graph, task_that_was_not_told_of_its_edges_fails)
{
    const struct pawl_work work = {.claim = {.lane = pawl_lane_number("work")},
                                   .flags = PAWL_WORK_HELD | WORK_IN_GRAPH,
                                   .undeclared = 1};
    const struct pawl_task_spec spec = {
        .machine = WORK_FIRST, .context = &work, .context_size = sizeof(work)};
    struct pawl_task task;

    work_open(&w, NULL);
    cr_assert_eq(pawl_task_create(w.f.runtime, &spec, &task), 0);
    cr_assert_eq(work_done(&w, pawl_work_open(w.f.port, task, 1)).state, PAWL_WORK_FAILED);
    cr_assert_eq(work_view(&w, task).work.reason, -EIO);
    cr_assert_eq(work_done(&w, pawl_work_kick(w.f.port, task, 1)).status, -EPERM);
    work_close(&w);
}

Test(work_graph, made_by_threads)
{
    const struct pawl_options options = PAWL_OPTIONS_INIT;
    struct pawl_runtime *runtime;
    struct pawl_work_view view;
    struct pawl_port *port;
    bool all = false;

    all_groups();
    for (unsigned i = 1; i < COUNT; i++) {
        edges[2 * i - 2] = (struct pawl_work_edge){.task = i, .after = i - 1};
        edges[2 * i - 1] = (struct pawl_work_edge){.task = i, .after = i / 2};
    }
    runtime = work_start(options);
    specs[1].flags |= PAWL_WORK_HELD;
    cr_assert_eq(pawl_work_graph(runtime, specs, COUNT, edges, 2 * COUNT - 2, tasks, NULL), 0);
    for (unsigned i = 0; i < COUNT; i++) { /* what returns 0 has been done */
        cr_assert_eq(pawl_work_read(runtime, tasks[i], &view), 0);
        cr_assert((view.state == PAWL_WORK_NEW) == (i == 1), "%u: state %d", i, (int)view.state);
        cr_assert_eq(view.work.flags & WORK_IS_DECLARED, i == 1 ? WORK_IS_DECLARED : 0);
    }
    cr_assert_eq(pawl_port_open(runtime, NULL, &port), 0);
    cr_assert_eq(pawl_work_open(port, tasks[1], 1), 0);
    for (unsigned tries = 0; tries < 10000 && !all; tries++) {
        const struct timespec pause = {.tv_nsec = 1000000};

        cr_assert_eq(pawl_work_read(runtime, tasks[COUNT - 1], &view), 0);
        all = view.state == PAWL_WORK_COMPLETED;
        nanosleep(&pause, NULL);
    }
    cr_assert(all);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(pawl_work_read(runtime, tasks[i], &view), 0);
        cr_assert_eq(view.state, PAWL_WORK_COMPLETED);
    }
    cr_assert_eq(pawl_port_close(port, 10 * FIXTURE_SECOND), 0);
    cr_assert_eq(pawl_stop(runtime), 0);
    cr_assert_eq(pawl_close(runtime), 0);
}

/* What a task cannot tell all who wait for it is refused when it is declared, not when it is done. */
Test(work_graph, more_dependents_than_one_task_can_tell_are_refused)
{
    enum { CROWD = 4097 };
    struct pawl_work_spec *crowd = calloc(CROWD + 1, sizeof(*crowd));
    struct pawl_work_edge *lines = calloc(CROWD, sizeof(*lines)), wrong;
    struct pawl_task *made = calloc(CROWD + 1, sizeof(*made));

    work_open(&w, NULL);
    for (unsigned i = 0; i <= CROWD; i++)
        crowd[i] = work_spec();
    for (unsigned i = 0; i < CROWD; i++)
        lines[i] = (struct pawl_work_edge){.task = i + 1, .after = 0};
    cr_assert_eq(pawl_work_graph(w.f.runtime, crowd, CROWD + 1, lines, CROWD, made, &wrong),
                 -ENOSPC);
    cr_assert_eq(wrong.task, 0);
    cr_assert_eq(work_live(&w), 0);
    cr_assert_eq(pawl_work_graph(w.f.runtime, crowd, CROWD, lines, CROWD - 1, made, &wrong), 0);
    work_close(&w);
    free(made);
    free(lines);
    free(crowd);
}

Test(work_graph, nothing_is_waited_for_in_a_runtime_that_this_thread_has_paused)
{
    work_open(&w, NULL);
    all_groups();
    edges[0] = (struct pawl_work_edge){.task = 1, .after = 0};
    cr_assert_eq(pawl_pause(w.f.runtime), 0);
    cr_assert_eq(pawl_work_graph(w.f.runtime, specs, 2, edges, 1, tasks, NULL), -EBUSY);
    cr_assert_eq(pawl_resume(w.f.runtime), 0);
    cr_assert_eq(declare(2, 1, NULL), 0);
    work_close(&w);
}

/* ---- Longer ones ---- */

#define LONG 8000u

struct declarer {
    struct pawl_runtime *runtime;
    struct pawl_work_spec specs[LONG];
    struct pawl_work_edge edges[LONG];
    struct pawl_task tasks[LONG];
    struct pawl_work_edge wrong;
    unsigned count, edge_count;
    int result;
    _Atomic uint32_t done;
    pthread_t thread;
};
static struct declarer d;

static void all_long(void)
{
    memset(&d, 0, sizeof(d));
    for (unsigned i = 0; i < LONG; i++)
        d.specs[i] = work_spec();
}

/* A crash that comes between two turns: what is kept of it is not cut off from what it waits for. */
Test(work_graph, those_to_stay_held_are_whole_only_when_all_others_are_open)
{
    unsigned between = 0, open;

    work_open(&w, NULL);
    all_long();
    for (unsigned i = 0; i < LONG; i += 2)
        d.specs[i].flags |= PAWL_WORK_HELD;
    cr_assert_eq(pawl_work_graph(w.f.runtime, d.specs, LONG, d.edges, 0, d.tasks, NULL), 0);
    do {
        unsigned whole = 0;

        open = 0;
        for (unsigned i = 0; i < LONG; i++) {
            const struct pawl_work_view view = work_view(&w, d.tasks[i]);

            whole += (view.work.flags & WORK_IS_DECLARED) != 0;
            open += view.state != PAWL_WORK_NEW;
        }
        cr_assert(whole == 0 || open == LONG / 2, "%u whole, %u open", whole, open);
        between += whole + open < LONG;
    } while (pawl_turn(w.f.runtime, 0) > 0);
    cr_assert_eq(open, LONG / 2);
    cr_assert(between > 0, "no look came in between");
    work_close(&w);
}

static void *declare_all(void *unused)
{
    (void)unused;
    d.result =
        pawl_work_graph(d.runtime, d.specs, d.count, d.edges, d.edge_count, d.tasks, &d.wrong);
    store_release(&d.done, 1);
    return NULL;
}

static void threads_open(uint32_t inflight_max)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    options.inflight_max = inflight_max;
    all_long();
    d.runtime = work_start(options);
}

static uint64_t created(bool less_ended)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct pawl_counters counters;

        cr_assert_eq(pawl_shard_counters(d.runtime, i, &counters), 0);
        count += counters.created - (less_ended ? counters.ended : 0);
    }
    return count;
}

/* A chain, and a drain that comes when some of it is there. True: it was not all there. */
static bool drain_within(void)
{
    threads_open(0);
    d.count = LONG;
    d.edge_count = LONG - 1;
    for (unsigned i = 1; i < LONG; i++)
        d.edges[i - 1] = (struct pawl_work_edge){.task = i, .after = i - 1};
    cr_assert_eq(pthread_create(&d.thread, NULL, declare_all, NULL), 0);
    while (created(false) == 0)
        ;
    cr_assert_eq(pawl_drain(d.runtime, 10 * FIXTURE_SECOND, NULL), 0);
    return load_acquire(&d.done) == 0;
}

static void threads_close(void)
{
    cr_assert_eq(pawl_stop(d.runtime), 0);
    cr_assert_eq(pawl_close(d.runtime), 0);
}

Test(work_graph, drain_that_comes_in_between_is_waited_for)
{
    struct pawl_work_view view;
    bool within = false;

    for (unsigned tries = 0; tries < 50 && !within; tries++) {
        within = drain_within();
        cr_assert_eq(pawl_resume(d.runtime), 0);
        cr_assert_eq(pthread_join(d.thread, NULL), 0);
        cr_assert_eq(d.result, 0, "%d", d.result);
        for (unsigned i = 0; i < LONG; i++) {
            cr_assert_eq(pawl_work_read(d.runtime, d.tasks[i], &view), 0);
            cr_assert_eq(view.state, i == 0 ? PAWL_WORK_READY : PAWL_WORK_DEPENDENT);
        }
        threads_close();
    }
    cr_assert(within, "no drain came in between");
}

Test(work_graph, drain_that_ends_in_a_stop_is_not_waited_for)
{
    bool within = false;

    for (unsigned tries = 0; tries < 50 && !within; tries++) {
        within = drain_within();
        cr_assert_eq(pawl_stop(d.runtime), 0);
        cr_assert_eq(pthread_join(d.thread, NULL), 0);
        cr_assert_eq(d.result, within ? -EBUSY : 0, "%d", d.result);
        cr_assert_eq(pawl_close(d.runtime), 0);
    }
    cr_assert(within, "no drain came in between");
}

Test(work_graph, nothing_is_made_in_a_runtime_that_is_drained)
{
    threads_open(0);
    d.count = 2;
    cr_assert_eq(pawl_drain(d.runtime, 10 * FIXTURE_SECOND, NULL), 0);
    declare_all(NULL);
    cr_assert_eq(d.result, -EBUSY);
    cr_assert_eq(created(false), 0);
    threads_close();
}

/* A step that asks 64 others is more than a shard of 32 events can have under way. */
Test(work_graph, task_that_could_not_be_told_fails_the_graph)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    threads_open(32);
    d.count = PAWL_WORK_AFTER_MAX + 1;
    for (; d.edge_count < PAWL_WORK_AFTER_MAX; d.edge_count++)
        d.edges[d.edge_count] =
            (struct pawl_work_edge){.task = PAWL_WORK_AFTER_MAX, .after = d.edge_count};
    declare_all(NULL);
    cr_assert_eq(d.result, -ENOSPC, "%d", d.result);
    cr_assert_eq(d.wrong.task, PAWL_WORK_AFTER_MAX);
    for (unsigned tries = 0; tries < 10000 && created(true) > 0; tries++)
        nanosleep(&pause, NULL);
    cr_assert_eq(created(true), 0);
    threads_close();
}
