/*
 * test_table.c - the tasks of one shard: ids that never come back, contexts that begin as zeroes,
 * keys and memory that are given back.
 */
#include "task/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "shard/runtime.h"
#include "support/test.h"

#define SHARD 5u

static const uint32_t context_sizes[] = {8,  CONTEXT_INLINE, CONTEXT_INLINE + 1, 32,
                                         33, 1000,           CONTEXT_MAX};

static struct table table;

static void open_table(uint64_t tasks_max)
{
    const struct table_options options = {.shard = SHARD,
                                          .tasks_max = tasks_max,
                                          .seed = 99,
                                          .context_sizes = context_sizes,
                                          .context_sizes_count = ARRAY_LEN(context_sizes)};

    cr_assert_eq(pawl__table_init(&table, &options), 0);
}

static bool is_sound(void)
{
    bool sound = slab_validate(&table.slots) && index_validate(&table.keys);

    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        sound &= !table.block_class_used[i] || slab_validate(&table.blocks[i]);
    return sound;
}

static struct pawl_task task_at(uint32_t index)
{
    return id_make(SHARD, load_relaxed(&table_slot(&table, index)->generation), index);
}

/* What the first step's commit does. */
static void make_alive(uint32_t index, unsigned state)
{
    struct slot *slot = table_slot(&table, index);
    const uint64_t head = load_relaxed(&slot->head);

    slot_write_begin(slot, head);
    slot_write_end(slot, head, SLOT_ALIVE, state);
}

static struct pawl_task create(unsigned machine, uint32_t context_size)
{
    const uint32_t index = pawl__table_reserve(&table, machine, context_size);

    if (index == 0)
        return PAWL_NO_TASK;
    make_alive(index, 1);
    return task_at(index);
}

static bool is_live(struct pawl_task task)
{
    const struct slot *slot = table_slot(&table, id_slot(task));

    return slot_is_live(slot, id_generation(task), load_relaxed(&slot->head));
}

/* Turns enough to give everything back, with the grace periods that a monitor would wait for. */
static void work_until_quiet(void)
{
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned turn = 0; turn < 64; turn++)
            pawl__table_work(&table);
        reclaim_synchronize(&table.reclaim);
    }
}

/* Lets tasks live and die until the slot's turn comes; the table has room for one more. */
static struct pawl_task create_in(uint32_t slot, uint32_t context_size)
{
    for (unsigned i = 0; i < 10000; i++) {
        const struct pawl_task task = create(0, context_size);

        cr_assert(task.id != 0);
        if (id_slot(task) == slot)
            return task;
        pawl__table_release(&table, id_slot(task), context_size);
    }
    return PAWL_NO_TASK;
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

    return (first > second) - (first < second);
}

static bool any_twice(uint64_t *ids, size_t count)
{
    qsort(ids, count, sizeof(*ids), compare_ids);
    for (size_t i = 1; i < count; i++)
        if (ids[i] == ids[i - 1])
            return true;
    return false;
}

Test(table, a_reserved_task_has_an_id_and_cannot_be_reached)
{
    struct pawl_task task;
    struct slot *slot;
    uint32_t index;

    open_table(100);
    index = pawl__table_reserve(&table, 200, 8);
    cr_assert(index != 0, "0 is no task");
    slot = table_slot(&table, index);
    task = task_at(index);
    cr_assert(id_generation(task) != 0 && id_generation(task) <= GENERATION_MAX);
    cr_assert_eq(id_shard(task), SHARD);
    cr_assert_eq(head_flags(load_relaxed(&slot->head)), SLOT_RESERVED);
    cr_assert_eq(head_machine(load_relaxed(&slot->head)), 200u);
    cr_assert_eq(head_version(load_relaxed(&slot->head)) & 1, 0u);
    cr_assert(!is_live(task));
    make_alive(index, 3);
    cr_assert(is_live(task));
    cr_assert_eq(head_machine(load_relaxed(&slot->head)), 200u);
    pawl__table_release(&table, index, 8);
    cr_assert(!is_live(task));
    cr_assert(is_sound());
    pawl__table_fini(&table);
}

Test(table, a_reservation_can_be_taken_back)
{
    struct pawl_task task;
    uint32_t index;

    open_table(1);
    index = pawl__table_reserve(&table, 0, 1000);
    task = task_at(index);
    pawl__table_release(&table, index, 1000);
    cr_assert_eq(slab_live(&table.slots), 0u);
    index = id_slot(create_in(index, 1000));
    cr_assert(index != 0);
    cr_assert(task_at(index).id != task.id, "its id was perhaps seen");
    pawl__table_release(&table, index, 1000);
    cr_assert_eq(slab_live(&table.slots), 0u);
    pawl__table_fini(&table);
}

Test(table, a_stale_id_is_told_from_the_live_one_in_the_same_slot)
{
    struct pawl_task first, next;

    open_table(1);
    first = create(0, 8);
    for (unsigned i = 0; i < 100; i++) {
        pawl__table_release(&table, id_slot(first), 8);
        cr_assert(!is_live(first));
        next = create_in(id_slot(first), 8);
        cr_assert(next.id != 0, "the slot is not used again");
        cr_assert(is_live(next));
        cr_assert(!is_live(first));
        first = next;
    }
    pawl__table_fini(&table);
}

Test(table, no_id_comes_twice)
{
    enum { LIVES = 50000, HELD = 700 };
    static uint64_t ids[LIVES];
    static struct pawl_task held[HELD];
    struct random random = {0x1d5};

    open_table(HELD);
    for (unsigned i = 0; i < LIVES; i++) {
        const uint64_t at = random_below(&random, HELD);

        if (held[at].id != 0)
            pawl__table_release(&table, id_slot(held[at]), 8);
        held[at] = create(0, 8);
        cr_assert(held[at].id != 0, "life %u", i);
        ids[i] = held[at].id;
        if (i % 64 == 0)
            pawl__table_work(&table);
    }
    cr_assert(is_sound());
    cr_assert(!any_twice(ids, LIVES));
    pawl__table_fini(&table);
}

Test(table, a_slot_whose_generations_are_used_up_is_retired)
{
    struct pawl_task task;
    uint32_t worn;

    open_table(1);
    task = create(0, 8);
    worn = id_slot(task);
    pawl__table_release(&table, worn, 8);
    store_relaxed(&table_slot(&table, worn)->generation, GENERATION_MAX - 2);
    for (uint32_t generation = GENERATION_MAX - 2; generation < GENERATION_MAX; generation++) {
        task = create_in(worn, 8);
        cr_assert_eq(id_generation(task), generation);
        cr_assert(is_live(task));
        pawl__table_release(&table, worn, 8);
        cr_assert(!is_live(task));
    }
    cr_assert_eq(slab_live(&table.slots), 0u);
    cr_assert_eq(create_in(worn, 8).id, PAWL_NO_TASK.id);
    cr_assert(create(0, 8).id != 0, "the table is as large as before");
    cr_assert(is_sound());
    pawl__table_fini(&table);
}

Test(table, a_worn_slot_stays_retired_when_its_memory_is_given_back)
{
    enum { TASKS = 40000 };
    static struct pawl_task tasks[TASKS];
    uint32_t worn;

    open_table(TASKS);
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = create(0, 8);
    worn = id_slot(tasks[TASKS - 1]);
    store_relaxed(&table_slot(&table, worn)->generation, GENERATION_MAX - 1);
    for (unsigned i = 0; i < TASKS; i++)
        pawl__table_release(&table, id_slot(tasks[i]), 8);
    work_until_quiet();
    for (unsigned i = 0; i < TASKS; i++) {
        tasks[i] = create(0, 8);
        cr_assert(tasks[i].id != 0, "task %u", i);
        cr_assert(id_slot(tasks[i]) != worn);
        cr_assert(id_generation(tasks[i]) < GENERATION_MAX, "generation %u",
                  id_generation(tasks[i]));
    }
    cr_assert(is_sound());
    pawl__table_fini(&table);
}

/* Leaves every byte of a context other than zero. */
static void soil(uint32_t index, uint32_t context_size)
{
    struct slot *slot = table_slot(&table, index);
    _Atomic uint64_t *words = table_context(&table, slot, context_size);
    uint64_t dirt[CONTEXT_MAX / 8];

    memset(dirt, 0xdd, sizeof(dirt));
    words_store(words, dirt, (context_size + 7) / 8);
}

static bool is_clean(uint32_t index, uint32_t context_size)
{
    struct slot *slot = table_slot(&table, index);
    uint64_t words[CONTEXT_MAX / 8];

    words_read(words, table_context(&table, slot, context_size), (context_size + 7) / 8);
    for (unsigned i = 0; i < (context_size + 7) / 8; i++)
        if (words[i] != 0)
            return false;
    return true;
}

Test(table, a_context_begins_as_zeroes_in_every_class)
{
    enum { TASKS = 300 };

    open_table(TASKS);
    for (unsigned turn = 0; turn < 5; turn++) {
        uint32_t indexes[TASKS];

        for (unsigned i = 0; i < TASKS; i++) {
            const uint32_t size = context_sizes[(i + turn) % ARRAY_LEN(context_sizes)];

            indexes[i] = pawl__table_reserve(&table, 0, size);
            cr_assert(indexes[i] != 0);
            cr_assert(is_clean(indexes[i], size), "context of %u bytes, turn %u", size, turn);
            soil(indexes[i], size);
        }
        for (unsigned i = 0; i < TASKS; i++)
            pawl__table_release(&table, indexes[i],
                                context_sizes[(i + turn) % ARRAY_LEN(context_sizes)]);
        cr_assert(is_sound());
    }
    for (unsigned i = 0; i < BLOCK_CLASSES; i++)
        if (table.block_class_used[i])
            cr_assert_eq(slab_live(&table.blocks[i]), 0u, "blocks of class %u are left", i);
    pawl__table_fini(&table);
}

Test(table, contexts_do_not_overlap)
{
    enum { TASKS = 500 };
    uint32_t indexes[TASKS];

    open_table(TASKS);
    for (unsigned i = 0; i < TASKS; i++) {
        const uint32_t size = context_sizes[i % ARRAY_LEN(context_sizes)];
        _Atomic uint64_t *words;

        indexes[i] = pawl__table_reserve(&table, 0, size);
        words = table_context(&table, table_slot(&table, indexes[i]), size);
        for (unsigned at = 0; at < size / 8; at++)
            store_relaxed(&words[at], mix64(i * 1000 + at));
    }
    for (unsigned i = 0; i < TASKS; i++) {
        const uint32_t size = context_sizes[i % ARRAY_LEN(context_sizes)];
        const _Atomic uint64_t *words = table_context(&table, table_slot(&table, indexes[i]), size);

        for (unsigned at = 0; at < size / 8; at++)
            cr_assert_eq(load_relaxed(&words[at]), mix64(i * 1000 + at));
    }
    pawl__table_fini(&table);
}

Test(table, block_classes_hold_their_sizes)
{
    for (uint32_t size = CONTEXT_INLINE + 1; size <= CONTEXT_MAX; size++) {
        const unsigned class = block_class(size);

        cr_assert(class < BLOCK_CLASSES);
        cr_assert(size <= 1u << (class + BLOCK_SHIFT_MIN), "%u bytes in class %u", size, class);
        cr_assert(class == 0 || size > 1u << (class + BLOCK_SHIFT_MIN - 1), "%u bytes in class %u",
                  size, class);
    }
}

Test(table, at_its_limit_it_says_no_and_is_unchanged)
{
    struct pawl_task tasks[10];

    open_table(10);
    for (unsigned i = 0; i < 10; i++)
        tasks[i] = create(0, 1000);
    cr_assert_eq(pawl__table_reserve(&table, 0, 1000), 0u);
    cr_assert_eq(pawl__table_reserve(&table, 0, 8), 0u);
    cr_assert_eq(slab_live(&table.slots), 10u);
    for (unsigned i = 0; i < 10; i++)
        cr_assert(is_live(tasks[i]));
    pawl__table_release(&table, id_slot(tasks[4]), 1000);
    cr_assert(pawl__table_reserve(&table, 0, 1000) != 0);
    cr_assert(is_sound());
    pawl__table_fini(&table);
}

Test(table, without_memory_for_a_block_the_slot_is_given_back)
{
    open_table(10);
    create(0, 8); /* the slots have their segment, the blocks have none */
    pawl__pages_fail_nth(1);
    cr_assert_eq(pawl__table_reserve(&table, 0, 1000), 0u);
    cr_assert_eq(slab_live(&table.slots), 1u);
    cr_assert(is_sound());
    cr_assert(create(0, 1000).id != 0);
    pawl__table_fini(&table);
}

Test(table, without_memory_it_does_not_open_and_leaks_nothing)
{
    const struct table_options options = {.tasks_max = 1000,
                                          .context_sizes = context_sizes,
                                          .context_sizes_count = ARRAY_LEN(context_sizes)};
    uint32_t nth = 1;
    int error;

    do {
        pawl__pages_fail_nth(nth++);
        error = pawl__table_init(&table, &options);
        cr_assert(error == 0 || error == -ENOMEM, "%d", error);
    } while (error != 0);
    pawl__pages_fail_nth(0);
    cr_assert(nth > 5, "it asks for memory more than %u times", nth);
    pawl__table_fini(&table);
}

/* Binds a key as the creating step does. */
static void bind(struct pawl_task task, const void *key, size_t length)
{
    uint32_t record;

    cr_assert_eq(index_insert(&table.keys, key, length, id_slot(task), id_generation(task), &record,
                              NULL, NULL),
                 0);
    store_release(&table_slot(&table, id_slot(task))->key, record);
}

Test(table, a_key_lives_as_long_as_its_task)
{
    static const size_t lengths[] = {1, 8, 9, KEY_SIZE_MAX};
    char key[KEY_SIZE_MAX], found_key[KEY_SIZE_MAX];

    memset(key, 'k', sizeof(key));
    open_table(100);
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        const struct pawl_task task = create(0, 8);
        struct slot *slot = table_slot(&table, id_slot(task));
        uint32_t index, generation;

        cr_assert_eq(pawl__table_key(&table, slot, found_key), 0u);
        bind(task, key, lengths[i]);
        cr_assert_eq(pawl__table_key(&table, slot, found_key), lengths[i]);
        cr_assert(memcmp(found_key, key, lengths[i]) == 0);
        cr_assert(index_find(&table.keys, key, lengths[i], &index, &generation));
        cr_assert_eq(id_make(SHARD, generation, index).id, task.id);
        pawl__table_release(&table, id_slot(task), 8);
        cr_assert(!index_find(&table.keys, key, lengths[i], &index, &generation));
        cr_assert_eq(pawl__table_key(&table, slot, found_key), 0u);
        cr_assert_eq(index_keys(&table.keys), 0u);
        cr_assert(is_sound());
    }
    pawl__table_fini(&table);
}

Test(table, a_slot_used_again_has_nothing_of_its_last_task)
{
    struct pawl_task task;
    struct slot *slot;
    unsigned tries;

    open_table(1);
    task = create(7, 8);
    slot = table_slot(&table, id_slot(task));
    bind(task, "key", 3);
    slot->history = 0xffff;
    slot->timers = 1;
    slot_set_deferred(slot, 2);
    slot->extension = 3;
    pawl__table_release(&table, id_slot(task), 8);
    for (tries = 0; tries < 10000; tries++) {
        const uint32_t index = pawl__table_reserve(&table, 8, 8);

        if (index == id_slot(task))
            break;
        pawl__table_release(&table, index, 8);
    }
    cr_assert(tries < 10000, "the slot is not used again");
    cr_assert_eq(slot->history, 0u);
    cr_assert_eq(slot->timers, 0u);
    cr_assert_eq(slot_deferred(slot), 0u);
    cr_assert_eq(slot->extension, 0u);
    cr_assert_eq(load_relaxed(&slot->key), 0u);
    cr_assert_eq(head_machine(load_relaxed(&slot->head)), 8u);
    cr_assert_eq(head_state(load_relaxed(&slot->head)), 0u);
    pawl__table_fini(&table);
}

Test(table, memory_goes_back_after_a_peak)
{
    enum { PEAK = 100000 };
    static struct pawl_task tasks[PEAK];
    uint64_t at_peak, empty;

    open_table(PEAK);
    for (uint64_t i = 0; i < PEAK; i++) {
        tasks[i] = create(0, 33);
        cr_assert(tasks[i].id != 0);
        bind(tasks[i], &i, sizeof(i));
    }
    at_peak = pawl__table_bytes(&table);
    cr_assert(at_peak >= PEAK * (64 + 64 + 16 + 16ull), "%llu bytes", (unsigned long long)at_peak);
    for (unsigned i = 0; i < PEAK; i++)
        pawl__table_release(&table, id_slot(tasks[i]), 33);
    work_until_quiet();
    empty = pawl__table_bytes(&table);
    cr_assert(empty < at_peak / 20, "%llu of %llu bytes are left", (unsigned long long)empty,
              (unsigned long long)at_peak);
    cr_assert(slab_bytes(&table.slots) <= 3 * 64 * 1024 + 4096, "%llu bytes of slots are left",
              (unsigned long long)slab_bytes(&table.slots));
    cr_assert(is_sound());
    pawl__table_fini(&table);
}

Test(table, ids_go_on_above_what_memory_given_back_had_used)
{
    enum { TASKS = 20000, TURNS = 6 };
    uint64_t *ids = calloc(TASKS * TURNS, sizeof(*ids));
    struct random random = {0xf1005};
    size_t count = 0;

    cr_assert(ids != NULL);
    open_table(TASKS);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        const size_t first = count;

        for (unsigned i = 0; i < TASKS; i++) {
            ids[count] = create(0, 8).id;
            cr_assert(ids[count] != 0);
            count++;
        }
        for (size_t i = first; i < count; i++) {
            const uint32_t index = id_slot((struct pawl_task){ids[i]});

            /* Some slots have had far more lives than their neighbours. */
            if (random_below(&random, 100) == 0)
                store_relaxed(&table_slot(&table, index)->generation,
                              id_generation((struct pawl_task){ids[i]}) +
                                  (uint32_t)random_below(&random, 1000));
            pawl__table_release(&table, index, 8);
        }
        work_until_quiet();
        cr_assert(slab_bytes(&table.slots) < TASKS * 64 / 4, "nothing was given back");
        for (size_t i = first; i < count; i++) {
            const struct pawl_task task = {ids[i]};

            cr_assert(!is_live(task));
        }
        cr_assert(is_sound());
    }
    cr_assert(!any_twice(ids, count));
    pawl__table_fini(&table);
    free(ids);
}

/* ---- a reader in the middle of its look, which the clock's seam lets us interrupt ---- */

static struct shard shard;
static struct shard *shards[1] = {&shard};
static struct shard_machine machine = {.context_size = 8};
static struct pawl_runtime runtime;
static void (*meanwhile)(void); /* runs once, after a reader has read the generation */

static uint64_t interrupting_clock(void *user)
{
    void (*now)(void) = meanwhile;

    (void)user;
    meanwhile = NULL;
    if (now != NULL)
        now();
    return 0;
}

static const struct pawl_clock interrupting = {.now_ns = interrupting_clock};

/* The shard's table is the test's for as long as there are readers. */
static void open_runtime(void)
{
    shard.number = 0;
    shard.table = table;
    shard.machines = &machine;
    runtime = (struct pawl_runtime){.clock = &interrupting, .shard_count = 1, .shards = shards};
}

enum { PEAK = 5000 };
static struct pawl_task peak[PEAK];
static struct pawl_task watched, successor;

static struct pawl_task create_with_word(uint64_t word)
{
    const struct pawl_task task = create(0, 8);

    store_release(&table_slot(&table, id_slot(task))->context[0], word);
    return task;
}

/* All tasks end, their memory is given back and used again, by tasks that do as much as those. */
static void give_back_and_begin_again(void)
{
    for (unsigned i = 0; i < PEAK; i++)
        pawl__table_release(&table, id_slot(peak[i]), 8);
    work_until_quiet();
    for (unsigned i = 0; i < PEAK; i++) {
        peak[i] = create_with_word(2);
        if (id_slot(peak[i]) == id_slot(watched))
            successor = peak[i];
    }
}

Test(table, a_reader_does_not_take_the_next_task_for_the_one_it_began_with)
{
    uint64_t word = 0;
    struct pawl_view view = {.context = &word, .context_capacity = sizeof(word)};
    int error;

    open_table(PEAK);
    for (unsigned i = 0; i < PEAK; i++)
        peak[i] = create_with_word(1);
    watched = id_make(0, id_generation(peak[PEAK - 1]), id_slot(peak[PEAK - 1]));
    successor = PAWL_NO_TASK;
    open_runtime();
    cr_assert_eq(pawl_task_peek(&runtime, watched, &view), 0);
    cr_assert_eq(word, 1u);
    meanwhile = give_back_and_begin_again;
    error = pawl_task_peek(&runtime, watched, &view);
    cr_assert(successor.id != 0 && id_generation(successor) != id_generation(watched));
    cr_assert(error == -ESTALE, "%d: task %llx is said to have the context %llu of its successor",
              error, (unsigned long long)view.task.id, (unsigned long long)word);
    pawl__table_fini(&table);
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

static struct slot *restore_life(uint32_t index, uint32_t generation)
{
    struct slot *slot = table_restore_slot(&table, index);

    cr_assert(slot != NULL);
    store_relaxed(&slot->generation, generation);
    store_relaxed(&slot->head, head_make(2, SLOT_ALIVE, 0, 1));
    slot->mark = RESTORED_HELD | RESTORED_STATE | RESTORED_BORN;
    return slot;
}

/* user: how many lives there are to be, or the slot that is refused. */
static bool count_life(void *user, struct slot *slot, uint32_t index)
{
    uint32_t *left = user;

    (void)index;
    cr_assert(slot->mark != 0);
    return (*left)-- > 0;
}

Test(table, restored_slots_live_and_new_lives_begin_above_old_ones)
{
    uint32_t runs[] = {30, 0};
    const struct table_floors floors = {.runs = runs, .runs_count = 2, .all = 4};
    uint32_t lives = 3, failed;
    struct slot *slot;

    open_table(10000);
    slot = restore_life(7, 12);
    cr_assert_eq(pawl__table_restore_key(&table, slot, 7, "seven", 5), 0);
    cr_assert(pawl__table_restore_context(&table, slot, CONTEXT_MAX));
    restore_life(1500, 3);
    restore_life(3000, 9);
    slot = restore_life(8, 50);
    cr_assert(pawl__table_restore_context(&table, slot, 32));
    cr_assert_eq(pawl__table_restore_key(&table, slot, 8, "eight", 5), 0);
    pawl__table_restore_forget(&table, slot, 32);
    store_relaxed(&slot->generation, 51);
    cr_assert_eq(pawl__table_restore_end(&table, &floors, count_life, &lives, &failed), 0);
    cr_assert_eq(lives, 0u);
    cr_assert(is_sound());
    cr_assert_eq(slab_live(&table.slots), 3u);
    cr_assert_eq(index_keys(&table.keys), 1u);
    for (unsigned i = 0; i < 6000; i++) {
        const uint32_t index = pawl__table_reserve(&table, 0, 8);
        const uint32_t generation = load_relaxed(&table_slot(&table, index)->generation);

        cr_assert(index != 0 && index != 7 && index != 1500 && index != 3000);
        /* The first granule's slots above 30, number 8 above 50, all others above 4. */
        cr_assert(generation > (index == 8     ? 50u
                                : index < 1024 ? 30u
                                               : 4u),
                  "slot %u: %u", index, generation);
    }
    pawl__table_fini(&table);
}

Test(table, slots_without_generations_left_are_not_used_again)
{
    uint32_t runs[] = {GENERATION_MAX - 1};
    const struct table_floors floors = {.runs = runs, .runs_count = 1};
    uint32_t lives = 1, failed;

    open_table(3000);
    restore_life(5, 12);
    cr_assert_eq(pawl__table_restore_end(&table, &floors, count_life, &lives, &failed), 0);
    cr_assert(is_sound());
    for (unsigned i = 0; i < 2000; i++)
        cr_assert(pawl__table_reserve(&table, 0, 8) >= 1024);
    pawl__table_fini(&table);
}

Test(table, restoring_says_which_slot_is_wrong)
{
    const struct table_floors none = {0};
    uint32_t lives = 2, failed = 0;

    open_table(4);
    for (uint32_t index = 10; index < 14; index++)
        restore_life(index, 1);
    cr_assert_eq(pawl__table_restore_end(&table, &none, count_life, &lives, &failed), -EBADMSG);
    cr_assert_eq(failed, 12u);
    cr_assert_eq(pawl__table_clear(&table), 0);
    cr_assert(is_sound() && slab_live(&table.slots) == 0);
    for (uint32_t index = 10; index < 15; index++)
        restore_life(index, 1);
    lives = 5;
    cr_assert_eq(pawl__table_restore_end(&table, &none, count_life, &lives, &failed), -ENOSPC);
    cr_assert_eq(failed, 5u);
    cr_assert_eq(pawl__table_clear(&table), 0);
    for (uint32_t index = 1; index < 3; index++)
        cr_assert_eq(pawl__table_restore_key(&table, restore_life(index, 1), index, "one", 3), 0);
    lives = 2;
    cr_assert_eq(pawl__table_restore_end(&table, &none, count_life, &lives, &failed), -EEXIST);
    cr_assert_eq(failed, 2u);
    pawl__table_fini(&table);
}
