/*
 * stress_slot.c - readers look at slots while their one writer steps, ends and begins tasks. What a
 * reader believes is of one piece and of the task it asked for.
 *
 * Two rounds. The bare one has a single slot and the reader of the picture in task/slot.h, so that
 * both ends meet as often as they can. The other has a whole table, with contexts in and outside the
 * slots, with keys, and with memory that is given back, read by pawl_task_peek, find and walk.
 *
 *     stress_slot [SECONDS [SEED]]      SECONDS for both rounds together, 3 by default
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "shard/runtime.h"

#define READERS 2u

static _Atomic bool stop;
static _Atomic uint64_t errors;

struct reader {
    pthread_t thread;
    uint64_t seed;
    uint64_t looks;
    uint64_t believed;
};

static void complain(const char *what, struct pawl_task task)
{
    if (add_relaxed(&errors, 1) < 10)
        fprintf(stderr, "task %016" PRIx64 ": %s\n", task.id, what);
}

/* The first word of a context says the step; the others follow from it and from the task. */
static uint64_t word_of(struct pawl_task task, uint64_t step, size_t at)
{
    return at == 0 ? step : mix64(task.id + step * UINT64_C(0x9e3779b97f4a7c15) + at);
}

static bool is_context(const uint64_t *words, size_t count, struct pawl_task task)
{
    for (size_t at = 1; at < count; at++)
        if (words[at] != word_of(task, words[0], at))
            return false;
    return true;
}

static uint16_t state_of(uint64_t step)
{
    return (uint16_t)(step * 7);
}

/* What the commit of a step does. */
static void commit(struct slot *slot, _Atomic uint64_t *context, size_t count,
                   struct pawl_task task, uint64_t step)
{
    const uint64_t head = load_relaxed(&slot->head);
    uint64_t words[CONTEXT_MAX / 8];

    for (size_t at = 0; at < count; at++)
        words[at] = word_of(task, step, at);
    slot_write_begin(slot, head);
    words_store(context, words, count);
    store_release(&slot->since, (uint32_t)step);
    slot_write_end(slot, head, SLOT_ALIVE, state_of(step));
}

/* ---- one bare slot ---- */

static struct slot bare;

static struct pawl_task bare_task(uint32_t generation)
{
    return id_make(0, generation, 1);
}

static uint64_t bare_lives(double (*seconds_left)(void), struct random *random)
{
    uint64_t lives = 0;

    while (seconds_left() > 0) {
        const uint32_t generation = load_relaxed(&bare.generation);
        const uint64_t steps = 1 + random_below(random, 20);

        for (uint64_t step = 0; step < steps; step++)
            commit(&bare, bare.context, CONTEXT_WORDS, bare_task(generation), step);

        const uint64_t head = load_relaxed(&bare.head);

        slot_write_begin(&bare, head);
        slot_write_end(&bare, head, 0, 0);
        /* The end of the life, as pawl__table_release has it. */
        store_release(&bare.generation, generation % (GENERATION_MAX - 1) + 1);
        lives++;
    }
    return lives;
}

/* As in shard/read.c, (R) of task/slot.h. */
static void look_at_bare(struct reader *self, uint32_t *version)
{
    const uint64_t head = load_acquire(&bare.head);
    uint64_t words[CONTEXT_WORDS];
    struct pawl_task task;
    uint32_t since;

    self->looks++;
    if ((head_version(head) & 1) != 0 || (head_flags(head) & SLOT_ALIVE) == 0)
        return;
    task = bare_task(load_acquire(&bare.generation));
    since = load_acquire(&bare.since);
    words_read(words, bare.context, CONTEXT_WORDS);
    if (load_relaxed(&bare.head) != head)
        return;
    self->believed++;
    if ((int32_t)(head_version(head) - *version) < 0)
        complain("its version went back", task);
    *version = head_version(head);
    if (!is_context(words, CONTEXT_WORDS, task))
        complain("a torn context", task);
    if (since != words[0] || head_state(head) != state_of(words[0]))
        complain("state and context of different steps", task);
}

static void *read_bare(void *argument)
{
    struct reader *self = argument;
    uint32_t version = 0;

    while (!load_relaxed(&stop))
        for (unsigned i = 0; i < 100; i++)
            look_at_bare(self, &version);
    return NULL;
}

/* ---- a table ---- */

#define TASKS 4000u

static const uint32_t context_sizes[] = {CONTEXT_INLINE, 40, 200};

static struct shard shard;
static struct shard *shards[1] = {&shard};
static struct shard_machine machines[ARRAY_LEN(context_sizes)];
static struct pawl_runtime runtime;
static _Atomic uint64_t ids[TASKS]; /* of tasks that live, or did a moment ago */
static _Atomic uint64_t hot;        /* the one that the writer is at: most is to be seen there */

struct key {
    size_t size; /* 0: the task has none */
    char bytes[KEY_SIZE_MAX];
};

static struct key key_of(struct pawl_task task)
{
    static const size_t sizes[] = {0, 8, 40, KEY_SIZE_MAX};
    struct key key = {.size = sizes[mix64(task.id) % ARRAY_LEN(sizes)]};

    for (size_t at = 0; at < key.size; at += 8)
        memcpy(key.bytes + at, &(uint64_t){task.id + at}, 8);
    return key;
}

static uint32_t words_count(unsigned machine)
{
    return context_sizes[machine] / 8;
}

static void step_task(struct pawl_task task, uint64_t step)
{
    struct slot *slot = table_slot(&shard.table, id_slot(task));
    const unsigned machine = head_machine(load_relaxed(&slot->head));

    commit(slot, table_context(&shard.table, slot, context_sizes[machine]), words_count(machine),
           task, step);
}

static struct pawl_task begin_task(unsigned machine)
{
    const uint32_t index = pawl__table_reserve(&shard.table, machine, context_sizes[machine]);
    struct pawl_task task;
    struct slot *slot;
    uint32_t record;
    struct key key;

    if (index == 0)
        return PAWL_NO_TASK;
    slot = table_slot(&shard.table, index);
    task = shard_task(&shard, slot, index);
    key = key_of(task);
    if (key.size > 0 && index_insert(&shard.table.keys, key.bytes, key.size, index,
                                     id_generation(task), &record, NULL, NULL) == 0)
        store_release(&slot->key, record);
    else if (key.size > 0)
        complain("its key cannot be bound", task);
    step_task(task, 0);
    return task;
}

static void end_task(struct pawl_task task)
{
    const struct slot *slot = table_slot(&shard.table, id_slot(task));

    pawl__table_release(&shard.table, id_slot(task),
                        context_sizes[head_machine(load_relaxed(&slot->head))]);
}

/* One thing done to one task, which is live, or not; busy fills the table, otherwise it empties. */
static uint64_t act(uint32_t at, struct random *random, bool busy)
{
    const struct pawl_task task = {load_relaxed(&ids[at])};
    const struct slot *slot = table_slot(&shard.table, id_slot(task));
    const bool live =
        task.id != 0 && slot_is_live(slot, id_generation(task), load_relaxed(&slot->head));
    const uint64_t chance = random_below(random, 8);

    if (!live) {
        if (busy)
            store_release(&ids[at], begin_task((unsigned)random_below(random, 3)).id);
        return busy;
    }
    store_release(&hot, task.id);
    if (chance == 0 || (!busy && chance < 6))
        end_task(task);
    else
        step_task(task, random_next(random) >> 1);
    return 0;
}

static uint64_t table_lives(double (*seconds_left)(void), struct random *random)
{
    uint64_t lives = 0;

    for (unsigned swing = 0; seconds_left() > 0; swing++) {
        for (unsigned i = 0; i < 3 * TASKS; i++) {
            lives += act((uint32_t)random_below(random, TASKS), random, swing % 2 == 0);
            if (i % 64 == 0)
                pawl__table_work(&shard.table);
        }
        reclaim_synchronize(&shard.table.reclaim);
    }
    if (!slab_validate(&shard.table.slots) || !index_validate(&shard.table.keys))
        complain("the table is not sound", PAWL_NO_TASK);
    return lives;
}

static void believe(const struct pawl_view *view, const uint64_t *words)
{
    const struct key key = key_of(view->task);

    if (view->machine >= ARRAY_LEN(context_sizes) ||
        view->context_size != context_sizes[view->machine]) {
        complain("not a machine of ours", view->task);
        return;
    }
    if (!is_context(words, words_count(view->machine), view->task))
        complain("a torn context", view->task);
    if (view->state != state_of(words[0]))
        complain("state and context of different steps", view->task);
    if (view->key_size != key.size)
        complain(view->key_size == 0 ? "alive without its key" : "another's key", view->task);
    else if (memcmp(view->key, key.bytes, key.size) != 0)
        complain("a torn key", view->task);
}

static void peek_one(struct reader *self, struct pawl_task task)
{
    uint64_t words[CONTEXT_MAX / 8];
    struct pawl_view view = {.context = words, .context_capacity = sizeof(words)};

    self->looks++;
    if (pawl_task_peek(&runtime, task, &view) != 0)
        return;
    self->believed++;
    if (view.task.id != task.id)
        complain("not the task that was asked for", view.task);
    believe(&view, words);
}

static void find_one(struct reader *self, struct pawl_task task)
{
    const struct key key = key_of(task);
    struct pawl_task found;

    if (key.size == 0)
        return;
    self->looks++;
    if (pawl_task_find(&runtime, key.bytes, key.size, &found) != 0)
        return;
    self->believed++;
    if (found.id != task.id)
        complain("not the task of this key", found);
}

static void walk_all(struct reader *self)
{
    static _Thread_local uint64_t words[16][CONTEXT_MAX / 8];
    struct pawl_view views[ARRAY_LEN(words)];
    struct pawl_walk walk = {0};

    while (!walk.done && !load_relaxed(&stop)) {
        int found;

        for (unsigned i = 0; i < ARRAY_LEN(views); i++)
            views[i] = (struct pawl_view){.context = words[i], .context_capacity = CONTEXT_MAX};
        found = pawl_task_walk(&runtime, &walk, NULL, views, ARRAY_LEN(views), 200);
        for (int i = 0; i < found; i++)
            believe(&views[i], words[i]);
        self->looks += 200;
        self->believed += (uint64_t)found;
    }
}

static void *read_table(void *argument)
{
    struct reader *self = argument;
    struct random random = {self->seed};

    while (!load_relaxed(&stop)) {
        for (unsigned i = 0; i < 1000; i++) {
            const struct pawl_task task = {load_acquire(&ids[random_below(&random, TASKS)])};
            const struct pawl_task busy = {load_acquire(&hot)};

            if (task.id == 0 || busy.id == 0)
                continue;
            peek_one(self, task);
            peek_one(self, busy);
            if (i % 8 == 0)
                find_one(self, task);
        }
        walk_all(self);
    }
    return NULL;
}

static void open_table(uint64_t seed)
{
    const struct table_options options = {.tasks_max = TASKS,
                                          .seed = seed,
                                          .context_sizes = context_sizes,
                                          .context_sizes_count = ARRAY_LEN(context_sizes)};

    if (pawl__table_init(&shard.table, &options) != 0)
        exit(77);
    for (unsigned i = 0; i < ARRAY_LEN(machines); i++)
        machines[i].context_size = context_sizes[i];
    shard.machines = machines;
    runtime = (struct pawl_runtime){
        .clock = &pawl_clock_monotonic, .shard_count = 1, .key_seed = seed, .shards = shards};
}

/* ---- both ---- */

static double end_s;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds_left(void)
{
    return end_s - now_s();
}

static void run_round(const char *name, void *(*read)(void *),
                      uint64_t (*write)(double (*)(void), struct random *), double seconds,
                      uint64_t seed)
{
    struct reader readers[READERS] = {0};
    struct random random = {seed};
    uint64_t lives, looks = 0, believed = 0;

    store_relaxed(&stop, false);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].seed = mix64(seed + 1 + i);
        if (pthread_create(&readers[i].thread, NULL, read, &readers[i]) != 0)
            exit(77);
    }
    end_s = now_s() + seconds;
    lives = write(seconds_left, &random);
    store_relaxed(&stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        looks += readers[i].looks;
        believed += readers[i].believed;
    }
    printf("%s: %" PRIu64 " lives, %" PRIu64 " looks, %" PRIu64 " believed\n", name, lives, looks,
           believed);
    if (lives == 0 || believed == 0)
        complain("nothing was seen", PAWL_NO_TASK);
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 3;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);

    printf("stress_slot: seed %" PRIu64 "\n", seed);
    store_relaxed(&bare.generation, 1);
    run_round("bare slot", read_bare, bare_lives, seconds / 2, mix64(seed));
    open_table(seed);
    run_round("table", read_table, table_lives, seconds / 2, mix64(seed + 100));
    pawl__table_fini(&shard.table);
    printf("stress_slot: %" PRIu64 " errors\n", load_relaxed(&errors));
    return load_relaxed(&errors) != 0;
}
