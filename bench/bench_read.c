/*
 * bench_read.c - reading from any thread: what a read section costs, and peeks at random tasks,
 * while nothing changes and while the tasks' shard steps them as fast as it can.
 *
 * Peeks are one call a task and copy its record. A task's two counts, of which one goes up and the
 * other down, tell a torn copy: their sum is always 0. While a contender is not being measured its
 * shard or writing thread rests.
 */
#include <errno.h>
#include <pawl/pawl.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "host/reclaim.h"
#include "peers/have.h"
#include "peers/tables.h"
#include "rows.h"

enum { CHUNK = 8192, TOKENS = 4096 };

static void *memory(size_t bytes)
{
    void *got = table_memory(bytes);

    if (got == NULL)
        bench_fail("read: no memory");
    return got;
}

/* ---- Read sections ---- */

/* What readers find behind a pointer that somebody might replace. */
static uint64_t found = 3;
static uint64_t *published = &found;
static _Atomic(uint64_t *) published_atomic = &found;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

typedef uint64_t section_fn(uint64_t count);

static void section_run(struct bench_sample *sample, uint64_t count, uint64_t sum, uint64_t ns)
{
    if (sum != found * count)
        bench_fail("read: sections did not read what they should");
    sample->seconds = (double)ns * 1e-9;
    sample->operations = count;
}

static uint64_t load_through(void)
{
    return *load_acquire(&published_atomic);
}

static uint64_t pawl_sections(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        pawl__read_enter();
        sum += load_through();
        pawl__read_exit();
    }
    return sum;
}

static uint64_t bare_sections(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        sum += load_through();
        bench_keep(sum);
    }
    return sum;
}

static uint64_t mutex_sections(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        pthread_mutex_lock(&mutex);
        sum += load_through();
        pthread_mutex_unlock(&mutex);
    }
    return sum;
}

static uint64_t rwlock_sections(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        pthread_rwlock_rdlock(&rwlock);
        sum += load_through();
        pthread_rwlock_unlock(&rwlock);
    }
    return sum;
}

/* State is the contender itself: there is nothing to open. */
struct sections {
    section_fn *run;
    const struct section_peer *peer;
};

static void *sections_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct sections *sections = memory(sizeof(*sections));

    (void)row;
    *sections = *(const struct sections *)contender->detail;
    if (sections->peer != NULL)
        sections->peer->open();
    return sections;
}

static void sections_run(void *state, struct bench_sample *sample)
{
    const struct sections *sections = state;
    const uint64_t count = bench_pick(10000, 5000000, 20000000);
    const uint64_t begin = bench_now_ns();
    const uint64_t sum =
        sections->peer != NULL ? sections->peer->sections(&published, count) : sections->run(count);

    section_run(sample, count, sum, bench_now_ns() - begin);
}

static void sections_close(void *state)
{
    struct sections *sections = state;

    if (sections->peer != NULL)
        sections->peer->close();
    free(sections);
}

/* ---- Peeks ---- */

struct counts {
    uint64_t value;
    uint64_t count;
    uint64_t count_down;
};

/* One contender's tasks, of which the nth has the id first + n and a value that is its id (peers
 * and the limit) or n (Pawl). */
struct peeks {
    uint64_t count;
    uint64_t chunks; /* a round */
    struct random random;
    uint64_t (*sum)(struct peeks *peeks); /* of what is read of the tasks of `ids` */
    uint64_t first;
    uint64_t value_first;

    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_machine *machine;

    const struct table_peer *peer;
    void *map;
    struct table_task *tasks;

    /* The thread that changes tasks meanwhile. */
    bool busy;
    _Atomic int stop;
    uint64_t changed;
    struct random random_writer;
    uint64_t ids_writer[CHUNK / 16];

    uint64_t ids[CHUNK];
};

static struct peeks *peeks_create(const struct bench_row *row)
{
    struct peeks *peeks = memory(sizeof(*peeks));

    memset(peeks, 0, sizeof(*peeks));
    peeks->count = bench_pick(5000, row->size, row->size);
    peeks->random.state = peeks->count;
    peeks->random_writer.state = ~peeks->count;
    peeks->busy = (row->flags & BENCH_CROSS_CORE) != 0;
    return peeks;
}

static void peeks_run(struct peeks *peeks, struct bench_sample *sample)
{
    uint64_t missing = 0, ns = 0;

    for (uint64_t chunk = 0; chunk < peeks->chunks; chunk++) {
        uint64_t begin;

        for (unsigned i = 0; i < CHUNK; i++) {
            const uint64_t n = random_below(&peeks->random, peeks->count);

            peeks->ids[i] = peeks->first + n;
            missing += peeks->value_first + n;
        }
        begin = bench_now_ns();
        missing -= peeks->sum(peeks);
        ns += bench_now_ns() - begin;
    }
    if (missing != 0)
        bench_fail("read: a peek has missed its task or read it half changed");
    sample->seconds = (double)ns * 1e-9;
    sample->operations = peeks->chunks * CHUNK;
}

/* Pawl: each step changes its task and goes on to a random one, TOKENS of them at the same time. */

static void wander(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct peeks *peeks = pawl_step_user(step);
    struct counts *counts = context;
    struct pawl_event next = *event;

    counts->count++;
    counts->count_down--;
    next.task.id =
        peeks->first + (uint64_t)(((unsigned __int128)pawl_step_random(step) * peeks->count) >> 64);
    pawl_step_post(step, &next);
}

static const char *const events[] = {"wander"};
static const struct pawl_state_def states[] = {{.name = "here"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "here", .on = "wander", .action = wander},
};
static const struct pawl_machine_def wanderer = {
    .name = "wanderer",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(struct counts),
};

static uint64_t pawl_sum(struct peeks *peeks)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNK; i++) {
        struct counts counts = {0};
        struct pawl_view view = {.context = &counts, .context_capacity = sizeof(counts)};

        if (pawl_task_peek(peeks->runtime, (struct pawl_task){peeks->ids[i]}, &view) == 0)
            sum += counts.value + counts.count + counts.count_down;
    }
    return sum;
}

static void pawl_reap(struct peeks *peeks, uint64_t *got)
{
    struct pawl_completion done[256];
    const int reaped = pawl_port_reap(peeks->port, done, ARRAY_LEN(done));

    for (int i = 0; i < reaped; i++, ++*got) {
        if (*got == 0)
            peeks->first = done[i].task.id;
        if (done[i].status != 0 || done[i].task.id != peeks->first + *got)
            bench_fail("read: handles of a fresh shard are not consecutive");
    }
}

static void pawl_fill(struct peeks *peeks)
{
    uint64_t made = 0, got = 0;

    while (got < peeks->count) {
        struct counts counts = {.value = made};
        const struct pawl_task_spec spec = {
            .shard = 0, .context = &counts, .context_size = sizeof(counts)};

        if (made < peeks->count && pawl_port_create(peeks->port, &spec, 0) == 0)
            made++;
        else
            pawl_reap(peeks, &got);
    }
}

static void *pawl_peeks_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct peeks *peeks = peeks_create(row);
    struct pawl_options options = PAWL_OPTIONS_INIT;

    (void)contender;
    if (pawl_machine_compile(&wanderer, NULL, NULL, &peeks->machine) != 0)
        bench_fail("read: the machine does not compile");
    options.machines = (const struct pawl_machine *const *)&peeks->machine;
    options.machine_count = 1;
    options.shards = 1;
    options.drive = PAWL_DRIVE_THREADS;
    options.user = peeks;
    bench_pin(bench_cpu(1)); /* the plan heeds the opener's affinity: the shard goes there */
    if (pawl_open(&options, &peeks->runtime) != 0 || pawl_start(peeks->runtime) != 0 ||
        pawl_port_open(peeks->runtime, NULL, &peeks->port) != 0)
        bench_fail("read: no runtime");
    bench_pin(bench_cpu(0));
    pawl_fill(peeks);
    for (unsigned i = 0; peeks->busy && i < TOKENS;) {
        const struct pawl_event event = {
            .task = {peeks->first + random_below(&peeks->random, peeks->count)}};

        i += pawl_port_post(peeks->port, &event, 1) == 1;
    }
    if (pawl_pause(peeks->runtime) != 0)
        bench_fail("read: the runtime cannot be paused");
    peeks->sum = pawl_sum;
    peeks->chunks = bench_pick(1, 128, 384);
    return peeks;
}

static uint64_t steps_of(const struct peeks *peeks)
{
    struct pawl_counters counters;

    pawl_shard_counters(peeks->runtime, 0, &counters);
    return counters.transitions;
}

static void pawl_peeks_run(void *state, struct bench_sample *sample)
{
    struct peeks *peeks = state;
    uint64_t before, begin;

    if (!peeks->busy) {
        peeks_run(peeks, sample);
        return;
    }
    before = steps_of(peeks);
    if (pawl_resume(peeks->runtime) != 0)
        bench_fail("read: the runtime cannot be resumed");
    while (steps_of(peeks) == before)
        ; /* its thread is under way */
    before = steps_of(peeks);
    begin = bench_now_ns();
    peeks_run(peeks, sample);
    bench_count(sample, "changes_per_second",
                (double)(steps_of(peeks) - before) * 1e9 / (double)(bench_now_ns() - begin));
    if (pawl_pause(peeks->runtime) != 0)
        bench_fail("read: the runtime cannot be paused");
}

static void pawl_peeks_close(void *state)
{
    struct peeks *peeks = state;

    /* The tokens go round for ever: stopped, the port's events are reported and it can close. */
    pawl_stop(peeks->runtime);
    while (pawl_port_close(peeks->port, 1000000) == -ETIMEDOUT)
        ;
    if (pawl_close(peeks->runtime) != 0)
        bench_fail("read: the runtime does not close");
    pawl_machine_destroy(peeks->machine);
    free(peeks);
}

/* The limit. */

static uint64_t bare_sum(struct peeks *peeks)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CHUNK; i++) {
        const struct table_task copy = peeks->tasks[peeks->ids[i]];

        bench_keep((uint64_t)(uintptr_t)&copy);
        sum += copy.value + copy.count + copy.count_down;
    }
    return sum;
}

static void *bare_peeks_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct peeks *peeks = peeks_create(row);

    (void)contender;
    peeks->tasks = memory(peeks->count * sizeof(*peeks->tasks));
    for (uint64_t n = 0; n < peeks->count; n++)
        peeks->tasks[n] = (struct table_task){.id = n, .value = n};
    peeks->sum = bare_sum;
    peeks->chunks = bench_pick(1, 256, 768);
    return peeks;
}

static void bare_peeks_run(void *state, struct bench_sample *sample)
{
    peeks_run(state, sample);
}

static void bare_peeks_close(void *state)
{
    struct peeks *peeks = state;

    free(peeks->tasks);
    free(peeks);
}

/* Peers. */

static uint64_t peer_sum(struct peeks *peeks)
{
    return peeks->peer->copy(peeks->map, peeks->ids, CHUNK);
}

static void *peer_peeks_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct peeks *peeks = peeks_create(row);
    uint64_t *ids = memory(peeks->count * sizeof(*ids));

    peeks->peer = contender->detail;
    peeks->map = peeks->peer->create(TABLE_OF_TASKS, peeks->count);
    peeks->first = peeks->value_first = 1;
    for (uint64_t n = 0; n < peeks->count; n++)
        ids[n] = n + 1;
    peeks->peer->turn(peeks->map, NULL, ids, peeks->count);
    free(ids);
    peeks->sum = peer_sum;
    peeks->chunks = bench_pick(1, peeks->busy ? 16 : 48, peeks->busy ? 48 : 144);
    return peeks;
}

static void *peer_write(void *state)
{
    struct peeks *peeks = state;

    while (load_relaxed(&peeks->stop) == 0) { /* relaxed: it may end a little later */
        for (unsigned i = 0; i < ARRAY_LEN(peeks->ids_writer); i++)
            peeks->ids_writer[i] = peeks->first + random_below(&peeks->random_writer, peeks->count);
        peeks->peer->step(peeks->map, peeks->ids_writer, ARRAY_LEN(peeks->ids_writer));
        peeks->changed += ARRAY_LEN(peeks->ids_writer);
    }
    return NULL;
}

static void peer_peeks_run(void *state, struct bench_sample *sample)
{
    struct peeks *peeks = state;
    pthread_t writer;
    uint64_t begin;

    if (!peeks->busy) {
        peeks_run(peeks, sample);
        return;
    }
    store_relaxed(&peeks->stop, 0); /* relaxed: creating the thread orders it */
    peeks->changed = 0;
    begin = bench_now_ns();
    writer = bench_thread(1, peer_write, peeks);
    peeks_run(peeks, sample);
    store_relaxed(&peeks->stop, 1);
    pthread_join(writer, NULL);
    bench_count(sample, "changes_per_second",
                (double)peeks->changed * 1e9 / (double)(bench_now_ns() - begin));
}

static void peer_peeks_close(void *state)
{
    struct peeks *peeks = state;
    uint64_t *ids = memory(peeks->count * sizeof(*ids));

    for (uint64_t n = 0; n < peeks->count; n++)
        ids[n] = n + 1;
    peeks->peer->turn(peeks->map, ids, NULL, peeks->count);
    free(ids);
    peeks->peer->destroy(peeks->map);
    free(peeks);
}

/* ---- Rows ---- */

#define MUTEX_SEMANTICS "a hash table under a mutex, taken for each peek; copies the record"

static const struct sections pawl_detail = {.run = pawl_sections};
static const struct sections bare_detail = {.run = bare_sections};
static const struct sections mutex_detail = {.run = mutex_sections};
static const struct sections rwlock_detail = {.run = rwlock_sections};
#if PEER_URCU
static const struct sections memb_detail = {.peer = &peer_urcu_memb};
static const struct sections bp_detail = {.peer = &peer_urcu_bp};
static const struct sections qsbr_detail = {.peer = &peer_urcu_qsbr};
#endif

#define SECTIONS(n, s, d)                                                                          \
    {                                                                                              \
        .name = (n), .semantics = (s), .open = sections_open, .run = sections_run,                 \
        .close = sections_close, .detail = (d)                                                     \
    }
#define SECTIONS_URCU(n, s, d)                                                                     \
    {                                                                                              \
        .name = (n), .semantics = (s), .absent = URCU_ABSENT, .open = sections_open,               \
        .run = sections_run, .close = sections_close, .detail = IF_URCU(d)                         \
    }

static const struct bench_contender section_contenders[] = {
    SECTIONS("pawl",
             "two calls into the library around liburcu's bp flavour; any thread, unregistered",
             &pawl_detail),
    SECTIONS("limit", "the two loads alone; what is read may never be freed", &bare_detail),
    SECTIONS_URCU("urcu-memb", "inlined; threads register", &memb_detail),
    SECTIONS_URCU("urcu-bp", "inlined; any thread, unregistered", &bp_detail),
    SECTIONS_URCU("urcu-qsbr",
                  "inlined; threads register, and say every 128 sections that they are in none",
                  &qsbr_detail),
    SECTIONS("rwlock", "pthread_rwlock_rdlock, nobody else there", &rwlock_detail),
    SECTIONS("mutex", "pthread_mutex_lock, nobody else there", &mutex_detail),
};

static const struct bench_contender peek_contenders[] = {
    {.name = "pawl",
     .semantics = "pawl_task_peek with 24 bytes of context: state, version, age (which reads the "
                  "clock), key; no section, no lock",
     .open = pawl_peeks_open,
     .run = pawl_peeks_run,
     .close = pawl_peeks_close},
    {.name = "limit",
     .semantics = "64 bytes copied out of a bare array",
     .open = bare_peeks_open,
     .run = bare_peeks_run,
     .close = bare_peeks_close},
    {.name = "lfht",
     .semantics = "liburcu's hash table, flavour memb: a read section, a look-up, 64 bytes copied",
     .absent = URCU_ABSENT,
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "tbb",
     .semantics = "oneTBB's concurrent_hash_map: the element locked for reading, 64 bytes copied",
     .absent = TBB_ABSENT,
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS,
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = &peer_mutex_table},
};

static const struct bench_contender busy_contenders[] = {
    {.name = "pawl",
     .semantics = "pawl_task_peek with 24 bytes of context, of tasks that their shard steps on "
                  "another core, each step posting the next to a random task",
     .open = pawl_peeks_open,
     .run = pawl_peeks_run,
     .close = pawl_peeks_close},
    {.name = "lfht",
     .semantics =
         "liburcu's hash table; another thread replaces records by changed copies, old ones "
         "are freed by call_rcu on that thread's core",
     .absent = URCU_ABSENT,
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = IF_URCU(&peer_lfht)},
    {.name = "tbb",
     .semantics = "oneTBB's concurrent_hash_map; another thread changes records in place, the "
                  "element locked",
     .absent = TBB_ABSENT,
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = IF_TBB(&peer_tbb_map)},
    {.name = "mutex",
     .semantics = MUTEX_SEMANTICS "; another thread changes records in place under the same mutex",
     .open = peer_peeks_open,
     .run = peer_peeks_run,
     .close = peer_peeks_close,
     .detail = &peer_mutex_table},
};

void bench_read_rows(void)
{
    const struct bench_row section = {
        .name = "read-section",
        .title = "A read section and a load through a pointer in it",
        .unit = "section",
        .metric = "ns",
        .flags = BENCH_LESS_IS_BETTER,
        .contenders = section_contenders,
        .contender_count = ARRAY_LEN(section_contenders),
    };
    const struct bench_row peek = {
        .name = "read-peek-1M",
        .title = "Peeks at random tasks of 1 M from outside, nothing changing",
        .unit = "peek",
        .metric = "rate",
        .size = 1000000,
        .contenders = peek_contenders,
        .contender_count = ARRAY_LEN(peek_contenders),
    };
    const struct bench_row busy = {
        .name = "read-peek-busy",
        .title = "Peeks at random tasks of 1 M that another core changes all the time",
        .unit = "peek",
        .metric = "rate",
        .size = 1000000,
        .flags = BENCH_CROSS_CORE,
        .contenders = busy_contenders,
        .contender_count = ARRAY_LEN(busy_contenders),
    };

    bench_add(&section);
    bench_add(&peek);
    bench_add(&busy);
}
