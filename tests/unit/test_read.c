/*
 * test_read.c - reading: peek, find and walk, on a still runtime and while shards work.
 */
#include <errno.h>

#include "support/threads_fixture.h"
#include "task/slot.h"

static void post_and_settle(struct world *world, struct pawl_task task, uint16_t code)
{
    post_to(world, task, code);
    settle(world);
}

static struct pawl_task create_keyed(struct world *world, unsigned machine, const void *key,
                                     size_t key_size)
{
    const struct pawl_task_spec spec = {.machine = machine, .key = key, .key_size = key_size};
    struct pawl_task task;

    cr_assert_eq(pawl_task_create(world->runtime, &spec, &task), 0);
    return task;
}

/* ---- Peek ---- */

Test(read, a_view_says_what_the_task_is)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task task = create_keyed(world, MACHINE_WIDE, "seven", 5);
    struct probe_context context = {0};
    struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};
    uint32_t version;

    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    cr_assert_eq(view.task.id, task.id);
    cr_assert_eq(view.machine, (unsigned)MACHINE_WIDE);
    cr_assert_eq(view.state, (unsigned)ST_WORK);
    cr_assert_eq(view.context_size, 200u);
    cr_assert_eq(view.key_size, 5u);
    cr_assert_eq(memcmp(view.key, "seven", 5), 0);
    cr_assert_eq(view.age_ns, 0u);
    version = view.version;
    post_and_settle(world, task, EV_HIT);
    post_and_settle(world, task, EV_HIT);
    advance(world, 1000 * MS);
    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    cr_assert_eq(view.version, version + 2);
    cr_assert_eq(context.count, 2u);
    cr_assert_eq(context.sum, mix64(2));
    cr_assert(view.age_ns >= 980 * MS && view.age_ns <= 1020 * MS);
    /* An internal transition does not enter the state; an external one does. */
    post_and_settle(world, task, EV_HIT);
    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    cr_assert(view.age_ns >= 980 * MS);
    post_and_settle(world, task, EV_HOLD);
    cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    cr_assert(view.age_ns <= 20 * MS);
    cr_assert_eq(view.state, (unsigned)ST_HELD);
    world_close(world);
}

Test(read, a_context_is_copied_as_far_as_there_is_room)
{
    static const unsigned machines[] = {MACHINE_PROBE, MACHINE_WIDE};
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);

    for (unsigned m = 0; m < 2; m++) {
        const struct pawl_task task = create_on(world, machines[m], 0);
        unsigned char whole[256], part[256];
        struct pawl_view view = {.context = whole, .context_capacity = sizeof(whole)};

        for (unsigned i = 0; i < 5; i++)
            post_and_settle(world, task, EV_HIT);
        cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
        for (size_t room = 0; room <= view.context_size; room++) {
            memset(part, 0xee, sizeof(part));
            view.context = part;
            view.context_capacity = room;
            cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
            cr_assert_eq(memcmp(part, whole, room), 0, "room %zu", room);
            cr_assert_eq(part[room], 0xee, "room %zu", room);
        }
        view.context = NULL;
        cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
    }
    world_close(world);
}

Test(read, handles_of_no_task_are_stale)
{
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);
    const struct pawl_task wrong[] = {
        PAWL_NO_TASK,
        {UINT64_MAX},
        id_make(1, id_generation(task), id_slot(task)),
        id_make(2, id_generation(task), id_slot(task)),
        id_make(0, 0, id_slot(task)),
        id_make(0, id_generation(task) + 1, id_slot(task)),
        id_make(0, id_generation(task), id_slot(task) + 1),
        id_make(0, id_generation(task), UINT32_MAX),
        id_make(0, id_generation(task), 0),
    };
    struct pawl_view view = {0};

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_eq(pawl_task_peek(world->runtime, wrong[i], &view), -ESTALE, "handle %u", i);
    world_close(world);
}

/* However often a slot is used again, no old handle leads to a new task. */
Test(read, a_stale_handle_never_finds_another_task)
{
    enum { LIVES = 20000, KEPT = 64 };
    struct world *world = world_start(PAWL_DRIVE_HOST, 1);
    struct pawl_task old[KEPT] = {{0}};
    struct pawl_view view = {0};

    for (unsigned life = 0; life < LIVES; life++) {
        const struct pawl_task task = create_on(world, MACHINE_PROBE, 0);

        for (unsigned i = 0; i < KEPT; i++) {
            cr_assert(old[i].id != task.id);
            if (old[i].id != 0 && i % 8 == life % 8)
                cr_assert_eq(pawl_task_peek(world->runtime, old[i], &view), -ESTALE);
        }
        cr_assert_eq(pawl_task_peek(world->runtime, task, &view), 0);
        cr_assert_eq(pawl_task_cancel(world->runtime, task), 0);
        settle(world);
        cr_assert_eq(pawl_task_peek(world->runtime, task, &view), -ESTALE);
        old[life % KEPT] = task;
    }
    world_close(world);
}

/* ---- Find ---- */

Test(read, a_key_finds_its_task_and_no_other)
{
    static const char long_key[64] = "long";
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);
    const struct pawl_task a = create_keyed(world, MACHINE_PROBE, "a", 1);
    const struct pawl_task ab = create_keyed(world, MACHINE_PROBE, "ab", 2);
    const struct pawl_task a0 = create_keyed(world, MACHINE_PROBE, "a\0", 2);
    const struct pawl_task l = create_keyed(world, MACHINE_PROBE, long_key, 64);
    struct pawl_task found, again;

    cr_assert_eq(pawl_task_find(world->runtime, "a", 1, &found), 0);
    cr_assert_eq(found.id, a.id);
    cr_assert_eq(pawl_task_find(world->runtime, "ab", 2, &found), 0);
    cr_assert_eq(found.id, ab.id);
    cr_assert_eq(pawl_task_find(world->runtime, "a\0", 2, &found), 0);
    cr_assert_eq(found.id, a0.id);
    cr_assert_eq(pawl_task_find(world->runtime, long_key, 64, &found), 0);
    cr_assert_eq(found.id, l.id);
    cr_assert_eq(pawl_task_find(world->runtime, long_key, 63, &found), -ENOENT);
    cr_assert_eq(pawl_task_find(world->runtime, "abc", 3, &found), -ENOENT);
    cr_assert(pawl_task_find(world->runtime, "a", 0, &found) < 0);
    cr_assert(pawl_task_find(world->runtime, long_key, 65, &found) < 0);
    post_and_settle(world, a, EV_END);
    cr_assert_eq(pawl_task_find(world->runtime, "a", 1, &found), -ENOENT);
    again = create_keyed(world, MACHINE_PROBE, "a", 1);
    cr_assert(again.id != a.id);
    cr_assert_eq(pawl_task_find(world->runtime, "a", 1, &found), 0);
    cr_assert_eq(found.id, again.id);
    world_close(world);
}

/* ---- Walk ---- */

/* Walks all; each task that is met is ticked off in seen by its number in its context. */
static unsigned walk_all(struct world *world, const struct pawl_filter *filter, size_t capacity,
                         size_t budget, unsigned *seen, unsigned seen_count)
{
    struct pawl_view views[16];
    uint64_t contexts[16][3];
    struct pawl_walk walk = {0};
    unsigned total = 0, calls = 0;

    memset(views, 0, sizeof(views));
    memset(seen, 0, seen_count * sizeof(*seen));
    for (unsigned i = 0; i < 16; i++) {
        views[i].context = contexts[i];
        views[i].context_capacity = sizeof(contexts[i]);
    }
    while (!walk.done) {
        const int found = pawl_task_walk(world->runtime, &walk, filter, views, capacity, budget);

        cr_assert(found >= 0 && (size_t)found <= capacity && (size_t)found <= budget);
        for (int i = 0; i < found; i++, total++) {
            cr_assert(contexts[i][0] < seen_count);
            seen[contexts[i][0]]++;
        }
        cr_assert(++calls < 100000);
    }
    cr_assert_eq(pawl_task_walk(world->runtime, &walk, filter, views, capacity, budget), 0);
    cr_assert(walk.done);
    return total;
}

Test(read, a_walk_sees_every_task_once_whatever_its_portions)
{
    enum { TASKS = 3000 };
    static const size_t portions[] = {1, 2, 7, 16};
    static unsigned seen[TASKS];
    struct world *world = world_start(PAWL_DRIVE_HOST, 3);
    static struct pawl_task tasks[TASKS];

    cr_assert_eq(walk_all(world, NULL, 16, 100, seen, TASKS), 0u);
    for (uint64_t i = 0; i < TASKS; i++) {
        const uint64_t context[3] = {i, 0, 0};
        const struct pawl_task_spec spec = {.machine = i % 2 ? MACHINE_WIDE : MACHINE_LAX,
                                            .shard = (uint32_t)(i % 3),
                                            .context = context,
                                            .context_size = sizeof(context)};

        cr_assert_eq(pawl_task_create(world->runtime, &spec, &tasks[i]), 0);
    }
    for (unsigned c = 0; c < 4; c++)
        for (unsigned b = 0; b < 4; b++) {
            const size_t budget = c == 0 && b == 0 ? 1 : portions[b] * 50;

            cr_assert_eq(walk_all(world, NULL, portions[c], budget, seen, TASKS), (unsigned)TASKS);
            for (unsigned i = 0; i < TASKS; i++)
                cr_assert_eq(seen[i], 1u);
        }
    /* Every fifth ends. */
    for (unsigned i = 0; i < TASKS; i += 5)
        post_to(world, tasks[i], EV_END);
    settle(world);
    cr_assert_eq(walk_all(world, NULL, 16, 1000, seen, TASKS), TASKS * 4u / 5);
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(seen[i], i % 5 != 0);
    world_close(world);
}

Test(read, filters_choose_by_machine_state_and_age)
{
    enum { TASKS = 60 };
    struct world *world = world_start(PAWL_DRIVE_HOST, 2);
    struct pawl_filter filter = {.machine = PAWL_ANY, .state = PAWL_ANY};
    struct pawl_task tasks[TASKS];
    unsigned seen[TASKS];

    for (uint64_t i = 0; i < TASKS; i++) {
        const struct pawl_task_spec spec = {.machine = i % 2 ? MACHINE_PROBE : MACHINE_LAX,
                                            .shard = (uint32_t)(i / 2 % 2),
                                            .context = &i,
                                            .context_size = sizeof(i)};

        cr_assert_eq(pawl_task_create(world->runtime, &spec, &tasks[i]), 0);
    }
    advance(world, 2000 * MS);
    for (unsigned i = 0; i < TASKS; i += 3)
        post_to(world, tasks[i], EV_HOLD);
    settle(world);
    filter.machine = MACHINE_LAX;
    cr_assert_eq(walk_all(world, &filter, 16, 1000, seen, TASKS), 30u);
    filter.machine = PAWL_ANY;
    filter.state = ST_HELD;
    cr_assert_eq(walk_all(world, &filter, 16, 1000, seen, TASKS), 20u);
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(seen[i], i % 3 == 0);
    filter.machine = MACHINE_PROBE;
    cr_assert_eq(walk_all(world, &filter, 16, 1000, seen, TASKS), 10u);
    filter = (struct pawl_filter){PAWL_ANY, PAWL_ANY, 1000 * MS};
    cr_assert_eq(walk_all(world, &filter, 16, 1000, seen, TASKS), 40u);
    for (unsigned i = 0; i < TASKS; i++)
        cr_assert_eq(seen[i], i % 3 != 0);
    filter.machine = MACHINE_TIMED;
    cr_assert_eq(walk_all(world, &filter, 16, 1000, seen, TASKS), 0u);
    world_close(world);
}

/* ---- While shards work ---- */

struct reader {
    struct world *world;
    const struct pawl_task *tasks;
    unsigned count;
    _Atomic uint64_t *stop;
    uint64_t looks;
    uint64_t torn;    /* views whose sum is not that of their count */
    uint64_t back;    /* counts or versions that went back */
    uint64_t missing; /* live tasks that were not there */
    pthread_t thread;
};

static void *peek_all_the_while(void *argument)
{
    struct reader *reader = argument;
    uint64_t *last = calloc(reader->count, sizeof(*last));

    while (load_acquire(reader->stop) == 0)
        for (unsigned i = 0; i < reader->count; i++) {
            struct probe_context context;
            struct pawl_view view = {.context = &context, .context_capacity = sizeof(context)};

            reader->looks++;
            if (pawl_task_peek(reader->world->runtime, reader->tasks[i], &view) != 0) {
                reader->missing++;
                continue;
            }
            reader->torn += context.count > 0 && context.sum != mix64(context.count);
            reader->back += context.count < last[i];
            last[i] = context.count;
        }
    free(last);
    return NULL;
}

Test(read, views_are_consistent_while_tasks_step)
{
    enum { TASKS = 4, READERS = 2, HITS = 60000 };
    struct world *world = world_start(PAWL_DRIVE_THREADS, 1);
    struct pawl_task tasks[TASKS];
    struct reader readers[READERS];
    _Atomic uint64_t stop = 0;

    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = create_on(world, i % 2 ? MACHINE_WIDE : MACHINE_PROBE, 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.world = world, .tasks = tasks, .count = TASKS, .stop = &stop};
        cr_assert_eq(pthread_create(&readers[i].thread, NULL, peek_all_the_while, &readers[i]), 0);
    }
    for (unsigned i = 0; i < HITS; i++)
        post_to(world, tasks[i % TASKS], EV_HIT);
    wait_for(&world->probe.hits, HITS);
    store_release(&stop, 1);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        cr_assert(readers[i].looks > 0);
        cr_assert_eq(readers[i].torn, 0u);
        cr_assert_eq(readers[i].back, 0u);
        cr_assert_eq(readers[i].missing, 0u);
    }
    world_close(world);
}
