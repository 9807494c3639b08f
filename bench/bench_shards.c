/*
 * bench_shards.c - how steps grow with shards when half of all events cross between them.
 *
 * Every shard has its tasks and a number of tokens. A step passes its token on to a random task: with
 * two shards every second time to one of the other shard, else to one of its own. So every step posts.
 * Nothing comes from outside; a round is a stretch of time between resume and pause.
 *
 * The limit does the same with two bare loops, an array of tasks each, a bare ring each way and a bare
 * ring to itself; limit-1 is one bare loop alone. Neither can run full: there is room for all tokens.
 */
#include <pawl/pawl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "harness.h"
#include "rows.h"

enum { TOKENS = 4096, SHARDS_MAX = 2 };

static const unsigned one = 1, two = 2;

static uint64_t window_ns(void)
{
    return bench_pick(5, 60, 300) * 1000000;
}

static void nap(uint64_t ns)
{
    const struct timespec length = {.tv_sec = (time_t)(ns / 1000000000),
                                    .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&length, NULL);
}

/*
 * Where a token goes next: it carries its own random walk, so shards share nothing but the handles. No
 * branch depends on it, which would be mispredicted half the time: 0 stays, 1 crosses.
 */
static inline unsigned crosses(uint64_t random, unsigned shards)
{
    return (unsigned)random & (shards - 1);
}

static inline uint64_t place_of(uint64_t random, uint64_t tasks)
{
    return (uint64_t)(((unsigned __int128)mix64(random) * tasks) >> 64);
}

/* ---- Pawl ---- */

/*
 * The runtime's user pointer. Handles are not looked up while measuring, which would be a cache miss of
 * the bench's own: in a fresh shard they are consecutive, which create_tasks checks.
 */
struct field {
    uint64_t tasks; /* per shard */
    unsigned shards;
    uint64_t first[SHARDS_MAX]; /* by shard: the id of its first task */
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
};

static void pass(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct field *field = pawl_step_user(step);
    const uint64_t random = mix64(event->arg[0]);
    const uint32_t own = pawl_step_shard(step);
    const uint32_t shard = own ^ crosses(random, field->shards);

    ++*(uint64_t *)context;
    pawl_step_post(
        step, &(struct pawl_event){.task = {field->first[shard] + place_of(random, field->tasks)},
                                   .arg = {random}});
}

static const char *const events[] = {"token"};
static const struct pawl_state_def states[] = {{.name = "here"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "here", .on = "token", .action = pass},
};
static const struct pawl_machine_def passer = {
    .name = "passer",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(uint64_t),
};

static void check(const char *what, int error)
{
    if (error != 0)
        bench_fail("shards: %s: %s", what, pawl_strerror(error));
}

static void create_tasks(struct field *field)
{
    const uint64_t all = field->tasks * field->shards;
    struct pawl_completion done[256];
    uint64_t made = 0, got = 0;

    while (got < all) {
        struct pawl_task_spec spec = {.shard = (uint32_t)(made / field->tasks)};
        int reaped;

        while (made < all && pawl_port_create(field->port, &spec, (uint32_t)made) == 0)
            spec.shard = (uint32_t)(++made / field->tasks);
        pawl_port_wait(field->port, UINT64_MAX);
        reaped = pawl_port_reap(field->port, done, 256);
        for (int i = 0; i < reaped; i++, got++) {
            uint64_t *first = &field->first[done[i].tag / field->tasks];
            const uint64_t place = done[i].tag % field->tasks;

            if (place == 0)
                *first = done[i].task.id;
            if (done[i].task.id != *first + place)
                bench_fail("shards: ids of a fresh shard are not consecutive");
        }
    }
}

static void *field_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct field *field = calloc(1, sizeof(*field));
    struct pawl_options options = PAWL_OPTIONS_INIT;

    check("memory", field == NULL ? -ENOMEM : 0);
    field->tasks = row->size;
    field->shards = *(const unsigned *)contender->detail;
    check("compiling", pawl_machine_compile(&passer, NULL, NULL, &field->machine));
    options.machines = (const struct pawl_machine *const[]){field->machine};
    options.machine_count = 1;
    options.shards = field->shards;
    options.user = field;
    bench_unpin(); /* the plan heeds the affinity of the thread that opens */
    check("opening", pawl_open(&options, &field->runtime));
    check("starting", pawl_start(field->runtime));
    check("port", pawl_port_open(field->runtime, NULL, &field->port));
    create_tasks(field);
    for (uint64_t token = 0; token < (uint64_t)TOKENS * field->shards; token++) {
        const unsigned shard = (unsigned)(token % field->shards);
        const struct pawl_event event = {
            .task = {field->first[shard] + token / field->shards % field->tasks},
            .arg = {token + 1}};

        while (pawl_port_post(field->port, &event, 1) != 1)
            ;
    }
    check("pausing", pawl_pause(field->runtime));
    return field;
}

static void field_close(void *state)
{
    struct field *field = state;

    pawl_stop(field->runtime);
    pawl_port_close(field->port, UINT64_MAX);
    pawl_close(field->runtime);
    pawl_machine_destroy(field->machine);
    free(field);
}

static uint64_t transitions_of(const struct field *field)
{
    struct pawl_counters counters;

    pawl_runtime_counters(field->runtime, &counters);
    return counters.transitions;
}

static void field_run(void *state, struct bench_sample *sample)
{
    struct field *field = state;
    uint64_t before, begin;

    check("resuming", pawl_resume(field->runtime));
    before = transitions_of(field);
    begin = bench_now_ns();
    do { /* once; more often where the threads are kept from the cpus */
        nap(window_ns());
        sample->operations = transitions_of(field) - before;
    } while (sample->operations == 0);
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    check("pausing", pawl_pause(field->runtime));
}

/* ---- The limit ---- */

struct token {
    uint64_t task;
    uint64_t random;
    uint64_t rest[2];
};
_Static_assert(sizeof(struct token) == sizeof(struct pawl_event), "the same bytes cross");

/* Room for every token there is, so that nobody ever waits. */
enum { RING = SHARDS_MAX * TOKENS, BATCH = 64 };

struct ring {
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) struct token cells[RING];
};

struct bare_task {
    uint64_t state;
    uint64_t count;
    uint64_t rest[6];
};

struct bare_shard {
    _Alignas(128) _Atomic uint64_t stepped;
    struct bare *bare;
    struct bare_task *tasks;
    struct ring *out; /* to the other one */
    struct ring *in;
    struct ring *own;
};

struct bare {
    uint64_t tasks;
    unsigned shards;
    _Atomic uint32_t stop;
    struct bare_shard shard[SHARDS_MAX];
};

static void *zeroed(size_t size)
{
    void *memory = aligned_alloc(128, (size + 127) / 128 * 128);

    check("memory", memory == NULL ? -ENOMEM : 0);
    memset(memory, 0, size);
    return memory;
}

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bare *bare = zeroed(sizeof(*bare));

    bare->tasks = row->size;
    bare->shards = *(const unsigned *)contender->detail;
    for (unsigned s = 0; s < bare->shards; s++) {
        struct bare_shard *shard = &bare->shard[s];

        shard->bare = bare;
        shard->tasks = zeroed(row->size * sizeof(*shard->tasks));
        shard->own = zeroed(sizeof(*shard->own));
        shard->in = zeroed(sizeof(*shard->in));
        for (uint64_t token = 0; token < TOKENS; token++)
            shard->own->cells[token] =
                (struct token){.task = token % bare->tasks, .random = token * bare->shards + s + 1};
        store_relaxed(&shard->own->tail, TOKENS);
    }
    for (unsigned s = 0; s < bare->shards; s++)
        bare->shard[s].out = bare->shard[bare->shards - 1 - s].in;
    return bare;
}

static void bare_close(void *state)
{
    struct bare *bare = state;

    for (unsigned s = 0; s < bare->shards; s++) {
        free(bare->shard[s].tasks);
        free(bare->shard[s].own);
        free(bare->shard[s].in);
    }
    free(bare);
}

/* Steps up to a batch from one ring; what it passes on is published at the end, once a ring. */
static unsigned bare_batch(struct bare_shard *shard, struct ring *from)
{
    const struct bare *bare = shard->bare;
    const uint64_t head = load_relaxed(&from->head);
    const uint64_t ready = load_acquire(&from->tail) - head;
    const unsigned count = ready < BATCH ? (unsigned)ready : BATCH;
    struct ring *const rings[SHARDS_MAX] = {shard->own, shard->out};
    uint64_t tails[SHARDS_MAX] = {load_relaxed(&shard->own->tail), load_relaxed(&shard->out->tail)};

    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(&shard->tasks[from->cells[(head + i) % RING].task], 1);
    for (unsigned i = 0; i < count; i++) {
        const struct token *token = &from->cells[(head + i) % RING];
        const uint64_t random = mix64(token->random);
        const unsigned to = crosses(random, bare->shards);

        shard->tasks[token->task].count++;
        rings[to]->cells[tails[to]++ % RING] =
            (struct token){.task = place_of(random, bare->tasks), .random = random};
    }
    store_release(&shard->own->tail, tails[0]);
    if (bare->shards > 1)
        store_release(&shard->out->tail, tails[1]);
    store_release(&from->head, head + count);
    return count;
}

static void *bare_loop(void *argument)
{
    struct bare_shard *shard = argument;
    uint64_t stepped = load_relaxed(&shard->stepped);

    while (load_acquire(&shard->bare->stop) == 0) {
        stepped += bare_batch(shard, shard->own);
        if (shard->bare->shards > 1)
            stepped += bare_batch(shard, shard->in);
        store_relaxed(&shard->stepped, stepped);
    }
    return NULL;
}

static uint64_t stepped_of(const struct bare *bare)
{
    uint64_t stepped = 0;

    for (unsigned s = 0; s < bare->shards; s++)
        stepped += load_relaxed(&bare->shard[s].stepped);
    return stepped;
}

static void bare_run(void *state, struct bench_sample *sample)
{
    struct bare *bare = state;
    pthread_t threads[SHARDS_MAX];
    uint64_t before, begin, counted = 0;

    store_release(&bare->stop, 0);
    for (unsigned s = 0; s < bare->shards; s++)
        threads[s] = bench_thread(s, bare_loop, &bare->shard[s]);
    before = stepped_of(bare);
    begin = bench_now_ns();
    do {
        nap(window_ns());
        sample->operations = stepped_of(bare) - before;
    } while (sample->operations == 0);
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    store_release(&bare->stop, 1);
    for (unsigned s = 0; s < bare->shards; s++)
        pthread_join(threads[s], NULL);
    for (unsigned s = 0; s < bare->shards; s++)
        for (uint64_t i = 0; i < bare->tasks; i++)
            counted += bare->shard[s].tasks[i].count;
    if (counted != stepped_of(bare))
        bench_fail("shards: the bare loops lost %lld steps",
                   (long long)(stepped_of(bare) - counted));
}

/* ---- Rows ---- */

static const struct bench_contender contenders[] = {
    {"pawl", "two shards, half of all events cross; bounded, ordered per sender, atomic steps",
     NULL, field_open, field_run, field_close, &two},
    {"pawl-1", "one shard, nothing crosses", NULL, field_open, field_run, field_close, &one},
    {"limit", "two bare loops with bare rings, nothing checked, nobody may look", NULL, bare_open,
     bare_run, bare_close, &two},
    {"limit-1", "one bare loop with a ring to itself", NULL, bare_open, bare_run, bare_close, &one},
};

void bench_shards_rows(void)
{
    static const struct {
        uint64_t tasks;
        const char *name;
    } sizes[] = {{1000, "1k"}, {1000000, "1M"}};

    for (unsigned i = 0; i < 2; i++)
        bench_add(&(struct bench_row){
            .name = bench_text("shards-%s", sizes[i].name),
            .title =
                bench_text("Two shards of %s tasks, every step posts, half cross", sizes[i].name),
            .group = "shards",
            .unit = "step",
            .metric = "rate",
            .size = bench_scale() == BENCH_SMOKE ? 1000 : sizes[i].tasks,
            .flags = BENCH_CROSS_CORE,
            .goal = {1.7, "pawl-1"},
            .contenders = contenders,
            .contender_count = bench_cpu_count() > 1 ? 4 : 2});
}
