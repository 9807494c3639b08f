/*
 * bench_table.c - the task table: from an id to a live task, and a task's whole life.
 *
 * Looking up: random ids of live tasks, CHUNK at a time and chosen outside the timed part; each
 * task's line is read and the sum of what they hold must come out. The table has no hash: an id
 * names the slot, and the slot's generation says whether the id is still right.
 *
 * Create and end: among many live tasks random ones end and others begin, in chunks; afterwards
 * those that should live are there and those that ended are not. The table alone is one contender,
 * a whole runtime with steps and events another; they are in one row because a reader wants to know
 * both, but only the first does what the peers do.
 */
#include <pawl/pawl.h>
#include <string.h>

#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "peers/have.h"
#include "peers/tables.h"
#include "rows.h"
#include "task/table.h"

enum { CHUNK = 8192, AHEAD = 64 };

static void *memory(size_t bytes)
{
    void *got = table_memory(bytes);

    if (got == NULL)
        bench_fail("table: no memory");
    return got;
}

/* ---- Looking up ---- */

struct look {
    const struct bench_row *row;
    uint64_t count;  /* tasks; the nth's id is of slot n and generation 1, its value is n */
    uint64_t chunks; /* a round */
    struct random random;
    uint64_t (*sum)(struct look *look); /* of the values of the tasks of `ids` */

    struct table table;
    const struct table_peer *peer;
    void *map;
    struct table_task *tasks;

    uint64_t ids[CHUNK];
};

static struct look *look_create(const struct bench_row *row)
{
    struct look *look = memory(sizeof(*look));

    memset(look, 0, sizeof(*look));
    look->count = bench_pick(5000, row->size, row->size);
    look->random.state = look->count;
    return look;
}

static void look_run(void *state, struct bench_sample *sample)
{
    struct look *look = state;
    uint64_t missing = 0, ns = 0;

    for (uint64_t chunk = 0; chunk < look->chunks; chunk++) {
        uint64_t begin;

        for (unsigned i = 0; i < CHUNK; i++) {
            const uint64_t n = 1 + random_below(&look->random, look->count);

            look->ids[i] = id_make(0, 1, (uint32_t)n).id;
            missing += n;
        }
        begin = bench_now_ns();
        missing -= look->sum(look);
        ns += bench_now_ns() - begin;
    }
    if (missing != 0)
        bench_fail("table: tasks were not found, or others were");
    sample->seconds = (double)ns * 1e-9;
    sample->operations = look->chunks * CHUNK;
}

/* What the first step's commit does. */
static void make_alive(struct slot *slot)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed, here and below: the owner's own */

    slot_write_begin(slot, head);
    slot_write_end(slot, head, SLOT_ALIVE, 1);
}

static struct pawl_task table_begin(struct table *table)
{
    const uint32_t index = pawl__table_reserve(table, 0, CONTEXT_INLINE);
    struct slot *slot;

    if (index == 0)
        bench_fail("table: no memory");
    slot = table_slot(table, index);
    make_alive(slot);
    return id_make(0, load_relaxed(&slot->generation), index);
}

static void table_open(struct table *table, uint64_t tasks)
{
    const uint32_t context_size = CONTEXT_INLINE;
    const struct table_options options = {.tasks_max = tasks,
                                          .huge = true,
                                          .seed = 0x5eed,
                                          .context_sizes = &context_size,
                                          .context_sizes_count = 1};

    if (pawl__table_init(table, &options) != 0)
        bench_fail("table: no memory");
}

/* As a batch of events: every line is on its way before the first is needed. */
static uint64_t table_look(const struct table *table, const uint64_t *ids, unsigned count)
{
    const uint32_t top = slab_top(&table->slots);
    struct slot *slots[BATCH_MAX];
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t index = id_slot((struct pawl_task){ids[i]});

        slots[i] = NULL;
        if (likely(index < top)) {
            slots[i] = slab_at_sized(&table->slots, index, sizeof(struct slot));
            __builtin_prefetch(slots[i], 1);
        }
    }
    for (unsigned i = 0; i < count; i++)
        if (likely(slots[i] != NULL) &&
            likely(slot_is_live(slots[i], id_generation((struct pawl_task){ids[i]}),
                                load_relaxed(&slots[i]->head))))
            sum += load_relaxed(&slots[i]->context[0]);
    return sum;
}

static uint64_t pawl_sum(struct look *look)
{
    uint64_t sum = 0;

    for (unsigned at = 0; at < CHUNK; at += BATCH_MAX)
        sum += table_look(&look->table, &look->ids[at], BATCH_MAX);
    return sum;
}

static void *pawl_look_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct look *look = look_create(row);

    (void)contender;
    table_open(&look->table, look->count);
    for (uint64_t n = 1; n <= look->count; n++) {
        const struct pawl_task task = table_begin(&look->table);

        if (task.id != id_make(0, 1, (uint32_t)n).id)
            bench_fail("table: handles of a fresh table are not consecutive");
        store_relaxed(&table_slot(&look->table, id_slot(task))->context[0], n);
    }
    look->sum = pawl_sum;
    look->chunks = bench_pick(1, 512, 2048);
    return look;
}

static void pawl_look_close(void *state)
{
    struct look *look = state;

    pawl__table_fini(&look->table);
    free(look);
}

/* The records of the limit and of all peers of a row: one array, so that many tasks fit the machine. */
static struct shared {
    const struct bench_row *row;
    struct table_task *tasks;
    unsigned users;
} shared[4];

static struct shared *shared_of(const struct bench_row *row)
{
    struct shared *at = shared;

    while (at->row != NULL && at->row != row)
        at++;
    at->row = row;
    return at;
}

static struct table_task *shared_use(const struct bench_row *row, uint64_t count)
{
    struct shared *mine = shared_of(row);

    if (mine->users++ > 0)
        return mine->tasks;
    mine->tasks = memory((count + 1) * sizeof(*mine->tasks));
    for (uint64_t n = 0; n <= count; n++)
        mine->tasks[n] = (struct table_task){.id = id_make(0, 1, (uint32_t)n).id, .value = n};
    return mine->tasks;
}

static void shared_drop(const struct look *look)
{
    struct shared *mine = shared_of(look->row);

    if (--mine->users == 0)
        free(mine->tasks);
}

static inline struct table_task *bare_at(const struct look *look, uint64_t id)
{
    return &look->tasks[id_slot((struct pawl_task){id})];
}

static uint64_t bare_sum(struct look *look)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < AHEAD; i++)
        __builtin_prefetch(bare_at(look, look->ids[i]));
    for (unsigned i = 0; i < CHUNK; i++) {
        const struct table_task *task = bare_at(look, look->ids[i]);

        if (i + AHEAD < CHUNK)
            __builtin_prefetch(bare_at(look, look->ids[i + AHEAD]));
        if (task->id == look->ids[i])
            sum += task->value;
    }
    return sum;
}

static void *bare_look_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct look *look = look_create(row);

    (void)contender;
    look->row = row;
    look->tasks = shared_use(row, look->count);
    look->sum = bare_sum;
    look->chunks = bench_pick(1, 512, 2048);
    return look;
}

static void bare_look_close(void *state)
{
    shared_drop(state);
    free(state);
}

static uint64_t peer_sum(struct look *look)
{
    return look->peer->look(look->map, look->ids, CHUNK);
}

static void *peer_look_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct look *look = look_create(row);

    look->peer = contender->detail;
    look->row = row;
    look->tasks = shared_use(row, look->count);
    look->map = look->peer->create(TABLE_OF_TASKS, look->count);
    look->peer->add(look->map, look->tasks + 1, look->count);
    look->sum = peer_sum;
    look->chunks = bench_pick(1, 48, 192);
    return look;
}

static void peer_look_close(void *state)
{
    struct look *look = state;

    look->peer->destroy(look->map);
    shared_drop(look);
    free(look);
}

/* ---- Create and end ---- */

struct life {
    uint64_t count;  /* tasks alive between chunks */
    uint64_t chunks; /* a round */
    struct random random;
    /* Ends the tasks of `before` and creates as many, into `after`. */
    void (*turn)(struct life *life);
    bool (*is_live)(const struct life *life, uint64_t id);

    struct table table;

    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_machine *machine;
    struct pawl_task parents[CHUNK / 64];
    struct pawl_event events[CHUNK];
    struct pawl_completion completions[CHUNK];
    unsigned made; /* of a chunk's tasks, by the parents */

    struct table_task *tasks; /* the limit's */
    uint32_t *free;           /* a ring of slots: the one freed longest ago is next */
    uint64_t free_first;
    uint64_t free_mask;

    const struct table_peer *peer;
    void *map;
    uint64_t last; /* the highest id so far */

    uint64_t *ids; /* of all live tasks; the first CHUNK of them go next */
    uint64_t before[CHUNK];
    uint64_t after[CHUNK];
};

static struct life *life_create(const struct bench_row *row)
{
    struct life *life = memory(sizeof(*life));

    memset(life, 0, sizeof(*life));
    life->count = bench_pick(2 * CHUNK, row->size, row->size);
    life->random.state = life->count;
    life->ids = memory(life->count * sizeof(*life->ids));
    life->chunks = bench_pick(1, 32, 96);
    return life;
}

static void life_destroy(struct life *life)
{
    free(life->ids);
    free(life);
}

/* CHUNK random tasks to the front of `ids`. */
static void life_choose(struct life *life)
{
    for (uint64_t i = 0; i < CHUNK; i++) {
        const uint64_t other = i + random_below(&life->random, life->count - i);
        const uint64_t id = life->ids[other];

        life->ids[other] = life->ids[i];
        life->ids[i] = life->before[i] = id;
    }
}

static void life_check(struct life *life)
{
    for (unsigned i = 0; i < CHUNK; i++)
        if (!life->is_live(life, life->ids[random_below(&life->random, life->count)]) ||
            life->is_live(life, life->before[i]))
            bench_fail("table: tasks are not what was created and ended");
}

static void life_run(void *state, struct bench_sample *sample)
{
    struct life *life = state;
    uint64_t ns = 0;

    for (uint64_t chunk = 0; chunk < life->chunks; chunk++) {
        uint64_t begin;

        life_choose(life);
        begin = bench_now_ns();
        life->turn(life);
        ns += bench_now_ns() - begin;
        memcpy(life->ids, life->after, sizeof(life->after));
    }
    life_check(life);
    sample->seconds = (double)ns * 1e-9;
    sample->operations = life->chunks * CHUNK;
}

/* The table alone. */

static bool slot_has(const struct table *table, uint64_t id)
{
    const struct slot *slot = table_slot(table, id_slot((struct pawl_task){id}));

    return slot_is_live(slot, id_generation((struct pawl_task){id}), load_relaxed(&slot->head));
}

static bool table_is_live(const struct life *life, uint64_t id)
{
    return slot_has(&life->table, id);
}

static void table_turn(struct life *life)
{
    for (unsigned at = 0; at < CHUNK; at += BATCH_MAX) {
        for (unsigned i = at; i < at + BATCH_MAX; i++)
            __builtin_prefetch(
                table_slot(&life->table, id_slot((struct pawl_task){life->before[i]})), 1);
        for (unsigned i = at; i < at + BATCH_MAX; i++) {
            if (unlikely(!slot_has(&life->table, life->before[i])))
                bench_fail("table: a task is missing");
            pawl__table_release(&life->table, id_slot((struct pawl_task){life->before[i]}),
                                CONTEXT_INLINE);
            life->after[i] = table_begin(&life->table).id;
        }
        if (at % QUOTA == 0)
            pawl__table_work(&life->table);
    }
}

static void *table_life_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct life *life = life_create(row);

    (void)contender;
    table_open(&life->table, life->count + CHUNK);
    for (uint64_t i = 0; i < life->count; i++)
        life->ids[i] = table_begin(&life->table).id;
    life->turn = table_turn;
    life->is_live = table_is_live;
    return life;
}

static void table_life_close(void *state)
{
    struct life *life = state;

    if (slab_live(&life->table.slots) != life->count)
        bench_fail("table: %llu tasks are left", (unsigned long long)slab_live(&life->table.slots));
    pawl__table_fini(&life->table);
    life_destroy(life);
}

/* In a runtime: parents create tasks when they are told to, or the host does through a port. */

enum { SPAWN, END };

static void spawn(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.shard = PAWL_ANY_SHARD};
    struct life *life = pawl_step_user(step);

    (void)context;
    for (uint64_t i = 0; i < event->arg[0]; i++) {
        struct pawl_task task;

        if (pawl_step_create(step, &spec, PAWL_NO_REPLY, &task) == 0 && life->made < CHUNK)
            life->after[life->made++] = task.id;
    }
}

static const char *const events[] = {"spawn", "end"};
static const struct pawl_state_def states[] = {
    {.name = "alive"},
    {.name = "over", .flags = PAWL_STATE_FINAL},
};
static const struct pawl_transition_def transitions[] = {
    {.from = "alive", .on = "spawn", .action = spawn},
    {.from = "alive", .on = "end", .to = "over"},
};
static const struct pawl_machine_def mortal = {
    .name = "mortal",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = CONTEXT_INLINE,
};

static bool runtime_is_live(const struct life *life, uint64_t id)
{
    struct pawl_view view = {.context = NULL};

    return pawl_task_peek(life->runtime, (struct pawl_task){id}, &view) == 0;
}

static void turn_until_idle(const struct life *life)
{
    while (pawl_turn(life->runtime, 0) > 0)
        ;
}

static void post_all(const struct life *life, unsigned count)
{
    for (unsigned posted = 0; posted < count;) {
        const int took = pawl_port_post(life->port, life->events + posted, count - posted);

        posted += took > 0 ? (unsigned)took : 0;
        if (posted < count)
            turn_until_idle(life);
    }
}

static void runtime_end(struct life *life)
{
    for (unsigned i = 0; i < CHUNK; i++)
        life->events[i] = (struct pawl_event){.task = {life->before[i]}, .code = END};
    post_all(life, CHUNK);
}

static void step_create(struct life *life)
{
    life->made = 0;
    for (unsigned i = 0; i < CHUNK / 64; i++)
        life->events[i] = (struct pawl_event){.task = life->parents[i], .code = SPAWN, .arg = {64}};
    post_all(life, CHUNK / 64);
}

static void step_turn(struct life *life)
{
    step_create(life);
    runtime_end(life);
    turn_until_idle(life);
    if (life->made != CHUNK)
        bench_fail("table: %u of %u tasks were created", life->made, CHUNK);
}

static void port_create(struct life *life, unsigned count)
{
    const struct pawl_task_spec spec = {.shard = 0};

    for (unsigned i = 0; i < count; i++)
        if (pawl_port_create(life->port, &spec, i) != 0)
            bench_fail("table: the port takes no creation");
}

static void port_reap(struct life *life, unsigned count)
{
    const int got = pawl_port_reap(life->port, life->completions, count);

    if (got != (int)count)
        bench_fail("table: %d of %u tasks were created", got, count);
    for (unsigned i = 0; i < count; i++)
        life->after[i] = life->completions[i].task.id;
}

static void port_turn(struct life *life)
{
    port_create(life, CHUNK);
    runtime_end(life);
    turn_until_idle(life);
    port_reap(life, CHUNK);
}

static void runtime_open(struct life *life)
{
    const struct pawl_port_options port = {.capacity = 2 * CHUNK, .completions = CHUNK};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    const struct pawl_task_spec parent = {.shard = 0};

    if (pawl_machine_compile(&mortal, NULL, NULL, &life->machine) != 0)
        bench_fail("table: the machine does not compile");
    options.machines = (const struct pawl_machine *const *)&life->machine;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_HOST;
    options.user = life;
    if (pawl_open(&options, &life->runtime) != 0 || pawl_start(life->runtime) != 0 ||
        pawl_port_open(life->runtime, &port, &life->port) != 0)
        bench_fail("table: no runtime");
    for (unsigned i = 0; i < ARRAY_LEN(life->parents); i++)
        if (pawl_task_create(life->runtime, &parent, &life->parents[i]) != 0)
            bench_fail("table: no parent");
}

static void *runtime_life_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct life *life = life_create(row);

    runtime_open(life);
    for (uint64_t have = 0; have < life->count;) {
        const uint64_t left = life->count - have;
        const unsigned take = left < CHUNK ? (unsigned)left : CHUNK;

        port_create(life, take);
        turn_until_idle(life);
        port_reap(life, take);
        memcpy(life->ids + have, life->after, take * sizeof(*life->ids));
        have += take;
    }
    life->turn = strcmp(contender->name, "pawl-port") == 0 ? port_turn : step_turn;
    life->is_live = runtime_is_live;
    return life;
}

static void runtime_life_run(void *state, struct bench_sample *sample)
{
    struct life *life = state;
    struct pawl_counters counters;

    life_run(life, sample);
    pawl_shard_counters(life->runtime, 0, &counters);
    if (counters.tasks != life->count + ARRAY_LEN(life->parents))
        bench_fail("table: %llu tasks are left", (unsigned long long)counters.tasks);
    bench_count(sample, "bytes_task", (double)counters.memory_bytes / (double)counters.tasks);
}

static void runtime_life_close(void *state)
{
    struct life *life = state;

    while (pawl_port_close(life->port, UINT64_MAX) == -EAGAIN)
        turn_until_idle(life);
    pawl_close(life->runtime);
    pawl_machine_destroy(life->machine);
    life_destroy(life);
}

/* The limit: an array and a ring of free slots, in which the id counts the lives of its slot. */

static bool bare_is_live(const struct life *life, uint64_t id)
{
    return life->tasks[id_slot((struct pawl_task){id})].id == id;
}

static void bare_begin(struct life *life, unsigned i)
{
    const uint32_t at = life->free[life->free_first++ & life->free_mask];
    struct table_task *task = &life->tasks[at];
    const uint64_t id = id_make(0, (uint32_t)(task->value >> 32) + 1, at).id;

    *task = (struct table_task){.id = id, .value = id};
    life->after[i] = id;
}

static void bare_turn(struct life *life)
{
    for (unsigned i = 0; i < AHEAD; i++)
        __builtin_prefetch(&life->tasks[id_slot((struct pawl_task){life->before[i]})], 1);
    for (unsigned i = 0; i < CHUNK; i++) {
        const uint32_t at = id_slot((struct pawl_task){life->before[i]});
        const uint32_t soon = life->free[(life->free_first + 8) & life->free_mask];

        if (i + AHEAD < CHUNK)
            __builtin_prefetch(&life->tasks[id_slot((struct pawl_task){life->before[i + AHEAD]})],
                               1);
        __builtin_prefetch(&life->tasks[soon], 1);
        life->tasks[at].id = 0;
        /* CHUNK slots are always free: what ends now comes up again CHUNK tasks later. */
        life->free[(life->free_first + CHUNK) & life->free_mask] = at;
        bare_begin(life, i);
    }
}

static void *bare_life_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct life *life = life_create(row);

    (void)contender;
    life->tasks = memory((life->count + CHUNK) * sizeof(*life->tasks));
    memset(life->tasks, 0, (life->count + CHUNK) * sizeof(*life->tasks));
    life->free_mask = 2 * CHUNK - 1;
    life->free = memory(2 * CHUNK * sizeof(*life->free));
    for (uint64_t i = 0; i < life->count; i++) {
        life->free[life->free_first & life->free_mask] = (uint32_t)i;
        bare_begin(life, 0);
        life->ids[i] = life->after[0];
    }
    for (uint64_t i = 0; i < CHUNK; i++)
        life->free[(life->free_first + i) & life->free_mask] = (uint32_t)(life->count + i);
    life->turn = bare_turn;
    life->is_live = bare_is_live;
    return life;
}

static void bare_life_close(void *state)
{
    struct life *life = state;

    free(life->tasks);
    free(life->free);
    life_destroy(life);
}

/* Peers. Ids are any numbers here, and a task's value is its id. */

static bool peer_is_live(const struct life *life, uint64_t id)
{
    return life->peer->look(life->map, &id, 1) == id;
}

static void peer_turn(struct life *life)
{
    life->peer->turn(life->map, life->before, life->after, CHUNK);
}

static void peer_life_run(void *state, struct bench_sample *sample)
{
    struct life *life = state;
    uint64_t ns = 0;

    for (uint64_t chunk = 0; chunk < life->chunks; chunk++) {
        uint64_t begin;

        life_choose(life);
        for (unsigned i = 0; i < CHUNK; i++)
            life->after[i] = ++life->last;
        begin = bench_now_ns();
        life->turn(life);
        ns += bench_now_ns() - begin;
        memcpy(life->ids, life->after, sizeof(life->after));
    }
    life_check(life);
    sample->seconds = (double)ns * 1e-9;
    sample->operations = life->chunks * CHUNK;
}

static void *peer_life_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct life *life = life_create(row);

    life->peer = contender->detail;
    life->map = life->peer->create(TABLE_OF_TASKS, life->count);
    for (uint64_t i = 0; i < life->count; i++)
        life->ids[i] = ++life->last;
    life->peer->turn(life->map, NULL, life->ids, life->count);
    life->turn = peer_turn;
    life->is_live = peer_is_live;
    return life;
}

static void peer_life_close(void *state)
{
    struct life *life = state;

    life->peer->turn(life->map, life->ids, NULL, life->count);
    life->peer->destroy(life->map);
    life_destroy(life);
}

/* ---- Rows ---- */

#define LFHT_SEMANTICS "liburcu's hash table, flavour memb, linked through the records: lock-free"
#define CK_SEMANTICS                                                                               \
    "Concurrency Kit's table, direct mode: one writer beside readers, half full at most"
#define TBB_SEMANTICS   "oneTBB's concurrent_hash_map: many writers, each element locked when used"
#define MUTEX_SEMANTICS "open addressing under a mutex, taken for each operation"

static const struct bench_contender look_contenders[] = {
    {.name = "pawl",
     .semantics = "slots by id in batches of 128, the generation checked; any thread may read them",
     .open = pawl_look_open,
     .run = look_run,
     .close = pawl_look_close},
    {.name = "limit",
     .semantics = "a bare array of 64-byte records, fetched 64 ahead; the id is compared",
     .open = bare_look_open,
     .run = look_run,
     .close = bare_look_close},
    {.name = "lfht",
     .semantics = LFHT_SEMANTICS "; 128 look-ups a read section",
     .absent = URCU_ABSENT,
     .open = peer_look_open,
     .run = look_run,
     .close = peer_look_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "ck_ht",
     .semantics = CK_SEMANTICS "; readers need no section while nothing is taken out",
     .absent = CK_ABSENT,
     .open = peer_look_open,
     .run = look_run,
     .close = peer_look_close,
     .detail = IF_CK(&peer_ck_ht)},
    {.name = "tbb",
     .semantics = TBB_SEMANTICS,
     .absent = TBB_ABSENT,
     .open = peer_look_open,
     .run = look_run,
     .close = peer_look_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS,
     .open = peer_look_open,
     .run = look_run,
     .close = peer_look_close,
     .detail = &peer_mutex_table},
};

static const struct bench_contender life_contenders[] = {
    {.name = "pawl",
     .semantics = "the table alone, as a shard uses it: readers may look meanwhile, ids never come "
                  "back; ended tasks are fetched in batches of 128",
     .open = table_life_open,
     .run = life_run,
     .close = table_life_close},
    {.name = "pawl-step",
     .semantics = "a whole runtime: tasks created by steps of other tasks, their first step, the "
                  "event from outside that ends them and its step; posting and turns are counted",
     .open = runtime_life_open,
     .run = runtime_life_run,
     .close = runtime_life_close},
    {.name = "pawl-port",
     .semantics =
         "a whole runtime: tasks created through a port, with a completion each that tells "
         "the handle, ended by an event; posting, turns and reaping are counted",
     .open = runtime_life_open,
     .run = runtime_life_run,
     .close = runtime_life_close},
    {.name = "limit",
     .semantics = "a bare array of 64-byte records and a ring of free ones, fetched ahead; nobody "
                  "may read meanwhile",
     .open = bare_life_open,
     .run = life_run,
     .close = bare_life_close},
    {.name = "lfht",
     .semantics =
         LFHT_SEMANTICS "; records from malloc, freed by call_rcu, whose thread on another "
                        "core is not counted",
     .absent = URCU_ABSENT,
     .open = peer_life_open,
     .run = peer_life_run,
     .close = peer_life_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "ck_ht",
     .semantics = CK_SEMANTICS "; records from malloc, freed at once because nobody reads",
     .absent = CK_ABSENT,
     .open = peer_life_open,
     .run = peer_life_run,
     .close = peer_life_close,
     .detail = IF_CK(&peer_ck_ht)},
    {.name = "tbb",
     .semantics = TBB_SEMANTICS "; records from malloc, freed under the element's lock",
     .absent = TBB_ABSENT,
     .open = peer_life_open,
     .run = peer_life_run,
     .close = peer_life_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS ", so twice; records from malloc",
     .open = peer_life_open,
     .run = peer_life_run,
     .close = peer_life_close,
     .detail = &peer_mutex_table},
};

static void add_look(const char *name, const char *title, uint64_t tasks, unsigned flags)
{
    const struct bench_row row = {
        .name = name,
        .title = title,
        .group = "table-get",
        .unit = "look-up",
        .metric = "rate",
        .size = tasks,
        .flags = flags,
        .contenders = look_contenders,
        .contender_count = ARRAY_LEN(look_contenders),
    };

    bench_add(&row);
}

void bench_table_rows(void)
{
    const struct bench_row life = {
        .name = "table-create-end-1M",
        .title = "A random task of 1 M ends, a new one begins",
        .unit = "task ended and begun",
        .metric = "ns",
        .size = 1000000,
        .flags = BENCH_LESS_IS_BETTER,
        .goal = {.value = 25},
        .contenders = life_contenders,
        .contender_count = ARRAY_LEN(life_contenders),
    };

    add_look("table-get-1M", "Random ids of 1 M tasks to their slots", 1000000, 0);
    add_look("table-get-50M", "Random ids of 50 M tasks to their slots", 50000000, BENCH_FULL_ONLY);
    bench_add(&life);
}
