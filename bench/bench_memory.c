/*
 * bench_memory.c - what tasks cost when they do nothing, and what of their memory comes back.
 *
 *   idle-timers        the processor's time of a runtime whose tasks all wait for a timer in an hour
 *   churn              tasks are made, stepped a few times and ended; up to a peak, then down to none
 *   churn-memory-left  the same, and how much of the peak's memory is still taken afterwards
 *   memory-100M        bytes a task, at very many
 *
 * Memory is the process's resident set. Contenders share the process, so each counts its own growth:
 * the differences over what it does itself, from when it is opened. The page tables and the arrays of
 * the kernel itself are taken, and touched, before that.
 *
 * Churn: what the host gives back on its own is waited for, up to a second, outside the time measured;
 * a host of Pawl turns the shard until there is nothing left to do, and one with malloc asks its
 * allocator to return what it keeps.
 */
#include <errno.h>
#include <pawl/pawl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "peers/workers.h"
#include "rows.h"

#define HOUR_NS UINT64_C(3600000000000)

enum {
    BATCH = 1024,    /* events in one call, and completions */
    CAPACITY = 4096, /* of ports */
    STEPS = 4,       /* of each task, in churn */
    AHEAD = 16,      /* how far ahead a bare array's records are fetched */
    THREADS_MAX = 8,
};

static void check(int error, const char *what)
{
    if (error < 0)
        bench_fail("memory: %s: %s", what, pawl_strerror(error));
}

static void *memory(uint64_t bytes)
{
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (got == MAP_FAILED)
        bench_fail("no memory for %llu bytes", (unsigned long long)bytes);
    madvise(got, bytes, MADV_HUGEPAGE);
    return got;
}

static void sleep_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                                  .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&time, NULL);
}

/* ---- A machine that counts, in as many states as a life has steps ---- */

enum { EVENT_ADVANCE, EVENT_END };

struct counts {
    uint64_t count;
    uint64_t sum;
};

static void pawl_advance(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counts *counts = context;

    (void)step;
    counts->count++;
    counts->sum += event->arg[0];
}

static const char *const life_events[] = {"advance", "end"};
static const struct pawl_state_def life_states[] = {
    {.name = "s0"}, {.name = "s1"}, {.name = "ended", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def life_transitions[] = {
    {.from = "s0", .on = "advance", .to = "s1", .action = pawl_advance},
    {.from = "s1", .on = "advance", .to = "s0", .action = pawl_advance},
    {.from = "s0", .on = "end", .to = "ended"},
    {.from = "s1", .on = "end", .to = "ended"},
};
static const struct pawl_machine_def life = {
    .name = "life",
    .events = life_events,
    .events_count = ARRAY_LEN(life_events),
    .states = life_states,
    .states_count = ARRAY_LEN(life_states),
    .transitions = life_transitions,
    .transitions_count = ARRAY_LEN(life_transitions),
    .context_size = sizeof(struct counts),
};

static void hand_advance(void *user, struct hand_task *task, const struct hand_event *event)
{
    (void)user;
    task->count++;
    task->sum += event->arg[0];
}

static hand_action *const hand_actions[] = {hand_advance, hand_advance};
static const uint64_t hand_targets[] = {1, 0};
static const struct hand_machine hand_machine = {hand_actions, hand_targets};

/* ---- Pawl: a runtime with one machine ---- */

struct pawl_side {
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    bool host;
};

static void pawl_side_open(struct pawl_side *side, const struct pawl_machine_def *definition,
                           struct pawl_options *options)
{
    const struct pawl_port_options size = {.capacity = CAPACITY};
    const struct pawl_machine *machines[1];

    check(pawl_machine_compile(definition, NULL, NULL, &side->machine), "compiling");
    machines[0] = side->machine;
    options->machines = machines;
    options->machine_count = 1;
    side->host = options->drive == PAWL_DRIVE_HOST;
    check(pawl_open(options, &side->runtime), "opening");
    check(pawl_start(side->runtime), "starting");
    check(pawl_port_open(side->runtime, &size, &side->port), "a port");
}

/* One shard that the calling thread turns. */
static void pawl_side_open_host(struct pawl_side *side)
{
    struct pawl_options options = PAWL_OPTIONS_INIT;

    options.drive = PAWL_DRIVE_HOST;
    options.shards = 1;
    pawl_side_open(side, &life, &options);
}

static void turn(struct pawl_side *side)
{
    if (side->host)
        while (pawl_turn(side->runtime, 0) > 0)
            ;
}

static void pawl_side_close(struct pawl_side *side)
{
    int error;

    while ((error = pawl_port_close(side->port, UINT64_MAX)) == -EAGAIN)
        turn(side);
    check(error, "closing the port");
    check(pawl_close(side->runtime), "closing");
    pawl_machine_destroy(side->machine);
}

/* Makes tasks; their ids go to `ids` where that is not NULL. Returns the first one's. */
static uint64_t make_tasks(struct pawl_side *side, uint64_t count, uint64_t *ids)
{
    const struct pawl_task_spec spec = {.shard = PAWL_ANY_SHARD};
    struct pawl_completion done[BATCH];
    uint64_t asked = 0, made = 0, first = 0;

    while (made < count) {
        int got;

        while (asked < count && pawl_port_create(side->port, &spec, 0) == 0)
            asked++;
        turn(side);
        while ((got = pawl_port_reap(side->port, done, BATCH)) > 0)
            for (int i = 0; i < got; i++, made++) {
                check(done[i].status, "a task");
                if (made == 0)
                    first = done[i].task.id;
                if (ids != NULL)
                    ids[made] = done[i].task.id;
            }
        check(got, "reaping");
    }
    return first;
}

static void post_all(struct pawl_side *side, const struct pawl_event *events, unsigned count)
{
    unsigned posted = 0;

    while (posted < count) {
        const int took = pawl_port_post(side->port, events + posted, count - posted);

        if (took != -EAGAIN)
            check(took, "posting");
        posted += took > 0 ? (unsigned)took : 0;
        turn(side);
    }
}

/* One event for each of these tasks. */
static void post_each(struct pawl_side *side, const uint64_t *ids, uint64_t count, uint16_t code)
{
    struct pawl_event batch[BATCH];

    for (uint64_t at = 0; at < count;) {
        unsigned fill = 0;

        for (; fill < BATCH && at < count; fill++, at++)
            batch[fill] = (struct pawl_event){.task = {ids[at]}, .code = code, .arg = {1}};
        post_all(side, batch, fill);
    }
}

static struct pawl_counters counters_of(const struct pawl_side *side)
{
    struct pawl_counters counters;

    pawl_runtime_counters(side->runtime, &counters);
    return counters;
}

/* ---- idle-timers ---- */

struct timer {
    uint64_t due_ns;
    uint64_t task;
};

/* The runtime's threads are ours to start (pawl/seams.h), so that their time can be asked for. */
struct metered {
    pawl_thread_fn *fn;
    void *argument;
    clockid_t clock;
    _Atomic uint32_t ready;
};

struct idle {
    uint64_t timers;
    bool warm;
    struct pawl_side pawl;
    struct pawl_threads seam;
    struct metered threads[THREADS_MAX];
    unsigned thread_count;

    /* By hand: a binary heap, smallest first, and a thread that looks at its top. */
    struct timer *heap;
    uint64_t heap_count;
    uint64_t look_ns;
    uint64_t expired;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
};

static void metered_main(void *argument)
{
    struct metered *thread = argument;

    if (pthread_getcpuclockid(pthread_self(), &thread->clock) != 0)
        bench_fail("memory: a thread's time cannot be asked for");
    store_release(&thread->ready, 1);
    thread->fn(thread->argument);
}

static int metered_start(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                         void *argument, void **thread)
{
    struct idle *idle = user;
    struct metered *metered = &idle->threads[idle->thread_count];

    if (idle->thread_count == THREADS_MAX)
        return -ENOMEM;
    metered->fn = fn;
    metered->argument = argument;
    idle->thread_count++;
    return pawl_threads_posix.start(pawl_threads_posix.user, spec, metered_main, metered, thread);
}

static int metered_join(void *user, void *thread)
{
    (void)user;
    return pawl_threads_posix.join(pawl_threads_posix.user, thread);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        bench_fail("memory: a thread's clock cannot be read");
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The processor's time of all of the runtime's threads. */
static uint64_t metered_ns(struct idle *idle)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < idle->thread_count; i++) {
        while (load_acquire(&idle->threads[i].ready) == 0)
            sleep_ns(100000);
        sum += clock_ns(idle->threads[i].clock);
    }
    return sum;
}

static const char *const idle_events[] = {"late"};
static const struct pawl_state_def idle_states[] = {
    {.name = "waiting", .timeout_ns = HOUR_NS, .timeout = "late"},
    {.name = "done", .flags = PAWL_STATE_FINAL}};
static const struct pawl_transition_def idle_transitions[] = {
    {.from = "waiting", .on = "late", .to = "done"},
};
static const struct pawl_machine_def idle_machine = {
    .name = "idle",
    .events = idle_events,
    .events_count = ARRAY_LEN(idle_events),
    .states = idle_states,
    .states_count = ARRAY_LEN(idle_states),
    .transitions = idle_transitions,
    .transitions_count = ARRAY_LEN(idle_transitions),
    .context_size = sizeof(struct counts),
};

static struct idle *idle_create(void)
{
    struct idle *idle = calloc(1, sizeof(*idle));

    if (idle == NULL)
        bench_fail("memory: no memory");
    idle->timers = bench_pick(10000, 1000000, 1000000);
    return idle;
}

/* A cpu has one shard; two are enough to show that they do not keep each other awake. */
static void *idle_pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct idle *idle = idle_create();
    struct pawl_options options = PAWL_OPTIONS_INIT;

    (void)row;
    (void)contender;
    idle->seam = (struct pawl_threads){.user = idle, .start = metered_start, .join = metered_join};
    options.threads = &idle->seam;
    options.shards = bench_cpu_count() > 1 ? 2 : 1;
    /* The plan heeds the opening thread's cpus. */
    bench_unpin();
    pawl_side_open(&idle->pawl, &idle_machine, &options);
    bench_pin(bench_cpu(0));
    make_tasks(&idle->pawl, idle->timers, NULL);
    return idle;
}

static void idle_pawl_close(void *state)
{
    struct idle *idle = state;

    pawl_side_close(&idle->pawl);
    free(idle);
}

static uint64_t idle_time(struct idle *idle)
{
    const uint64_t ns = bench_pick(20000000, 1000000000, 5000000000);
    const bool warm = idle->warm;

    idle->warm = true;
    return warm ? ns : ns / 10; /* the first round is not counted */
}

static void idle_report(const struct idle *idle, struct bench_sample *sample, uint64_t spent_ns,
                        uint64_t wall_ns)
{
    sample->seconds = (double)wall_ns * 1e-9;
    sample->operations = idle->timers;
    bench_count(sample, "cpu_percent", 100.0 * (double)spent_ns / (double)wall_ns);
}

static void idle_pawl_run(void *state, struct bench_sample *sample)
{
    struct idle *idle = state;
    const uint64_t time_ns = idle_time(idle);
    struct pawl_counters before, after;
    uint64_t begin, spent;

    before = counters_of(&idle->pawl);
    spent = metered_ns(idle);
    begin = bench_now_ns();
    sleep_ns(time_ns);
    spent = metered_ns(idle) - spent;
    idle_report(idle, sample, spent, bench_now_ns() - begin);
    after = counters_of(&idle->pawl);
    if (after.timers != idle->timers || after.timers_fired != 0)
        bench_fail("idle-timers: %llu timers are armed, not %llu", (unsigned long long)after.timers,
                   (unsigned long long)idle->timers);
    bench_count(sample, "turns", (double)(after.turns - before.turns));
}

static void heap_push(struct idle *idle, struct timer timer)
{
    uint64_t at = ++idle->heap_count;

    for (; at > 1 && idle->heap[at / 2].due_ns > timer.due_ns; at /= 2)
        idle->heap[at] = idle->heap[at / 2];
    idle->heap[at] = timer;
}

static void heap_pop(struct idle *idle)
{
    const struct timer last = idle->heap[idle->heap_count--];
    uint64_t at = 1;

    for (uint64_t child; (child = 2 * at) <= idle->heap_count; at = child) {
        if (child < idle->heap_count && idle->heap[child + 1].due_ns < idle->heap[child].due_ns)
            child++;
        if (idle->heap[child].due_ns >= last.due_ns)
            break;
        idle->heap[at] = idle->heap[child];
    }
    idle->heap[at] = last;
}

/* look_ns is how often it looks at the clock at the least. */
static void *idle_look(void *argument)
{
    struct idle *idle = argument;

    pthread_mutex_lock(&idle->mutex);
    while (!idle->stop) {
        const uint64_t now = bench_now_ns();
        uint64_t until = now + idle->look_ns;
        struct timespec at;

        while (idle->heap_count > 0 && idle->heap[1].due_ns <= now) {
            heap_pop(idle);
            idle->expired++;
        }
        if (idle->heap_count > 0 && idle->heap[1].due_ns < until)
            until = idle->heap[1].due_ns;
        at = (struct timespec){.tv_sec = (time_t)(until / 1000000000),
                               .tv_nsec = (long)(until % 1000000000)};
        pthread_cond_clockwait(&idle->wake, &idle->mutex, CLOCK_MONOTONIC, &at);
    }
    pthread_mutex_unlock(&idle->mutex);
    return NULL;
}

static void *idle_hand_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const uint64_t *look_ns = contender->detail;
    struct random random = {1};
    struct idle *idle = idle_create();
    const uint64_t now = bench_now_ns();

    (void)row;
    idle->look_ns = *look_ns;
    idle->heap = malloc((idle->timers + 1) * sizeof(*idle->heap));
    if (idle->heap == NULL)
        bench_fail("memory: no memory");
    for (uint64_t i = 0; i < idle->timers; i++)
        heap_push(idle, (struct timer){now + HOUR_NS + random_below(&random, 1000000000), i});
    pthread_mutex_init(&idle->mutex, NULL);
    pthread_cond_init(&idle->wake, NULL);
    return idle;
}

static void idle_hand_close(void *state)
{
    struct idle *idle = state;

    pthread_cond_destroy(&idle->wake);
    pthread_mutex_destroy(&idle->mutex);
    free(idle->heap);
    free(idle);
}

static void idle_hand_run(void *state, struct bench_sample *sample)
{
    struct idle *idle = state;
    uint64_t begin, spent, ns;
    pthread_t thread;
    clockid_t clock;

    idle->stop = false;
    thread = bench_thread(1, idle_look, idle);
    if (pthread_getcpuclockid(thread, &clock) != 0)
        bench_fail("memory: a thread's time cannot be asked for");
    sleep_ns(2000000); /* its start is not its idling */
    spent = clock_ns(clock);
    begin = bench_now_ns();
    sleep_ns(idle_time(idle));
    spent = clock_ns(clock) - spent;
    ns = bench_now_ns() - begin;
    pthread_mutex_lock(&idle->mutex);
    idle->stop = true;
    pthread_cond_signal(&idle->wake);
    pthread_mutex_unlock(&idle->mutex);
    pthread_join(thread, NULL);
    idle_report(idle, sample, spent, ns);
    if (idle->heap_count != idle->timers || idle->expired != 0)
        bench_fail("idle-timers: a heap lost timers");
}

/* ---- churn ---- */

struct churn {
    uint64_t tasks;
    uint64_t *ids;    /* as they were made, then in the order in which they are used */
    uint64_t *before; /* room to bring them into that order */
    uint32_t *order;
    uint64_t rounds;
    int64_t left;  /* bytes more than when it was opened, by its own doing */
    uint64_t work; /* ns of the round so far */
    struct pawl_side pawl;
    struct hand_table table;
    pthread_mutex_t mutex;
    struct hand_task *array;
};

static struct churn *churn_create(void)
{
    struct churn *churn = calloc(1, sizeof(*churn));
    struct random random = {7};

    if (churn == NULL)
        bench_fail("memory: no memory");
    churn->tasks = bench_pick(10000, 1000000, 4000000);
    churn->ids = malloc(churn->tasks * sizeof(*churn->ids));
    churn->before = malloc(churn->tasks * sizeof(*churn->before));
    churn->order = malloc(churn->tasks * sizeof(*churn->order));
    if (churn->ids == NULL || churn->before == NULL || churn->order == NULL)
        bench_fail("memory: no memory");
    memset(churn->ids, 1, churn->tasks * sizeof(*churn->ids));
    memset(churn->before, 1, churn->tasks * sizeof(*churn->before));
    for (uint64_t i = 0; i < churn->tasks; i++) {
        const uint64_t other = random_below(&random, i + 1);

        churn->order[i] = churn->order[other];
        churn->order[other] = (uint32_t)i;
    }
    return churn;
}

static void churn_destroy(struct churn *churn)
{
    free(churn->order);
    free(churn->before);
    free(churn->ids);
    free(churn);
}

static void shuffle(struct churn *churn)
{
    memcpy(churn->before, churn->ids, churn->tasks * sizeof(*churn->ids));
    for (uint64_t i = 0; i < churn->tasks; i++)
        churn->ids[i] = churn->before[churn->order[i]];
}

/* How one contender makes its tasks, steps and ends all of them, and gives memory back. */
struct churn_way {
    void (*make)(struct churn *churn);
    void (*step)(struct churn *churn);
    void (*end)(struct churn *churn);
    void (*settle)(struct churn *churn);
};

static void timed(struct churn *churn, void (*part)(struct churn *churn))
{
    const uint64_t begin = bench_now_ns();

    part(churn);
    churn->work += bench_now_ns() - begin;
}

static void churn_round(struct churn *churn, const struct churn_way *way,
                        struct bench_sample *sample)
{
    const int64_t before = (int64_t)bench_rss();
    int64_t peak, after;
    uint64_t begin;

    churn->work = 0;
    churn->rounds++;
    timed(churn, way->make);
    shuffle(churn);
    for (unsigned i = 0; i < STEPS; i++)
        timed(churn, way->step);
    peak = (int64_t)bench_rss() - before + churn->left;
    timed(churn, way->end);
    begin = bench_now_ns();
    way->settle(churn);
    begin = bench_now_ns() - begin;
    after = (int64_t)bench_rss() - before + churn->left;
    churn->left = after;
    sample->seconds = (double)churn->work * 1e-9;
    sample->operations = churn->tasks;
    bench_count(sample, "bytes_at_peak", (double)peak / (double)churn->tasks);
    bench_count(sample, "left_percent",
                after > 0 && peak > 0 ? 100.0 * (double)after / (double)peak : 0);
    bench_count(sample, "settle_ms", (double)begin * 1e-6);
}

static void churn_pawl_make(struct churn *churn)
{
    make_tasks(&churn->pawl, churn->tasks, churn->ids);
}

static void churn_pawl_step(struct churn *churn)
{
    post_each(&churn->pawl, churn->ids, churn->tasks, EVENT_ADVANCE);
}

static void churn_pawl_end(struct churn *churn)
{
    post_each(&churn->pawl, churn->ids, churn->tasks, EVENT_END);
}

/* Turns until the shard may sleep: then it has given back what it gives back. */
static void churn_pawl_settle(struct churn *churn)
{
    const uint64_t until = bench_now_ns() + 1000000000;
    struct pawl_runtime *runtime = churn->pawl.runtime;

    do {
        check(pawl_turn(runtime, 0), "turning");
    } while (pawl_shard_wait_prepare(runtime, 0) == 0 && bench_now_ns() < until);
    check(pawl_turn(runtime, 0), "turning");
}

static void *churn_pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct churn *churn = churn_create();
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    pawl_side_open_host(&churn->pawl);
    churn->left = (int64_t)bench_rss() - before;
    return churn;
}

static void churn_pawl_close(void *state)
{
    struct churn *churn = state;

    pawl_side_close(&churn->pawl);
    churn_destroy(churn);
}

static void churn_pawl_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_pawl_make, churn_pawl_step, churn_pawl_end,
                                         churn_pawl_settle};
    struct churn *churn = state;
    struct pawl_counters counters;

    churn_round(churn, &way, sample);
    counters = counters_of(&churn->pawl);
    if (counters.tasks != 0 || counters.ended != churn->rounds * churn->tasks ||
        counters.transitions < churn->rounds * churn->tasks * (STEPS + 1) || counters.stale != 0)
        bench_fail("churn: %llu tasks are left, %llu ended, %llu transitions",
                   (unsigned long long)counters.tasks, (unsigned long long)counters.ended,
                   (unsigned long long)counters.transitions);
    bench_count(sample, "own_bytes", (double)counters.memory_bytes);
}

static void churn_hand_make(struct churn *churn)
{
    for (uint64_t i = 0; i < churn->tasks; i++) {
        churn->ids[i] = churn->rounds * churn->tasks + i;
        pthread_mutex_lock(&churn->mutex);
        hand_table_add(&churn->table, churn->ids[i]);
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_step(struct churn *churn)
{
    const struct hand_event event = {.arg = {1}};

    for (uint64_t i = 0; i < churn->tasks; i++) {
        pthread_mutex_lock(&churn->mutex);
        hand_step(&hand_machine, NULL, hand_table_find(&churn->table, churn->ids[i]), &event);
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_end(struct churn *churn)
{
    for (uint64_t i = 0; i < churn->tasks; i++) {
        pthread_mutex_lock(&churn->mutex);
        if (!hand_table_remove(&churn->table, churn->ids[i]))
            bench_fail("churn: a table lost a task");
        pthread_mutex_unlock(&churn->mutex);
    }
}

static void churn_hand_settle(struct churn *churn)
{
    (void)churn;
    hand_memory_back();
}

static void *churn_hand_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct churn *churn = churn_create();

    (void)row;
    (void)contender;
    hand_table_init(&churn->table);
    pthread_mutex_init(&churn->mutex, NULL);
    return churn;
}

static void churn_hand_close(void *state)
{
    struct churn *churn = state;

    pthread_mutex_destroy(&churn->mutex);
    hand_table_fini(&churn->table);
    churn_destroy(churn);
}

static void churn_hand_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_hand_make, churn_hand_step, churn_hand_end,
                                         churn_hand_settle};
    struct churn *churn = state;

    churn_round(churn, &way, sample);
    if (churn->table.count != 0)
        bench_fail("churn: %llu tasks are left in a table", (unsigned long long)churn->table.count);
}

static void churn_bare_make(struct churn *churn)
{
    churn->array = memory(churn->tasks * sizeof(*churn->array));
    for (uint64_t i = 0; i < churn->tasks; i++) {
        churn->array[i].id = i + 1;
        churn->ids[i] = i;
    }
}

static void churn_bare_step(struct churn *churn)
{
    const struct hand_event event = {.arg = {1}};

    for (uint64_t i = 0; i < churn->tasks; i++) {
        if (i + AHEAD < churn->tasks)
            __builtin_prefetch(&churn->array[churn->ids[i + AHEAD]], 1);
        hand_step(&hand_machine, NULL, &churn->array[churn->ids[i]], &event);
    }
}

static void churn_bare_end(struct churn *churn)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < churn->tasks; i++) {
        struct hand_task *task = &churn->array[churn->ids[i]];

        if (i + AHEAD < churn->tasks)
            __builtin_prefetch(&churn->array[churn->ids[i + AHEAD]], 1);
        count += task->count;
        task->id = 0;
    }
    munmap(churn->array, churn->tasks * sizeof(*churn->array));
    if (count != churn->tasks * STEPS)
        bench_fail("churn: an array counted %llu steps", (unsigned long long)count);
}

static void churn_bare_settle(struct churn *churn)
{
    (void)churn;
}

static void *churn_bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    (void)row;
    (void)contender;
    return churn_create();
}

static void churn_bare_close(void *state)
{
    churn_destroy(state);
}

static void churn_bare_run(void *state, struct bench_sample *sample)
{
    static const struct churn_way way = {churn_bare_make, churn_bare_step, churn_bare_end,
                                         churn_bare_settle};

    churn_round(state, &way, sample);
}

/* ---- memory-100M ---- */

/* Steps a round; the memory is what tasks and these steps have taken. */
enum { MANY_STEPS = 1 << 19 };

struct many {
    uint64_t tasks;
    uint64_t first;
    int64_t bytes; /* by its own doing, since it was opened */
    struct random random;
    uint64_t *ids;
    struct pawl_side pawl;
    struct hand_task *array;
};

static struct many *many_create(uint64_t tasks)
{
    struct many *many = calloc(1, sizeof(*many));

    if (many == NULL || (many->ids = malloc(MANY_STEPS * sizeof(*many->ids))) == NULL)
        bench_fail("memory: no memory");
    memset(many->ids, 1, MANY_STEPS * sizeof(*many->ids));
    many->tasks = tasks;
    many->random.state = 3;
    return many;
}

static void many_choose(struct many *many)
{
    for (uint64_t i = 0; i < MANY_STEPS; i++)
        many->ids[i] = many->first + random_below(&many->random, many->tasks);
}

static void many_report(struct many *many, struct bench_sample *sample, int64_t rss, uint64_t begin)
{
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    sample->operations = MANY_STEPS;
    many->bytes += (int64_t)bench_rss() - rss;
    bench_count(sample, "bytes_per_task", (double)many->bytes / (double)many->tasks);
}

static void *many_pawl_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct many *many = many_create(bench_pick(100000, 10000000, 100000000));
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    pawl_side_open_host(&many->pawl);
    many->first = make_tasks(&many->pawl, many->tasks, NULL);
    many->bytes = (int64_t)bench_rss() - before;
    return many;
}

static void many_pawl_close(void *state)
{
    struct many *many = state;

    pawl_side_close(&many->pawl);
    free(many->ids);
    free(many);
}

static void many_pawl_run(void *state, struct bench_sample *sample)
{
    struct many *many = state;
    const uint64_t steps = counters_of(&many->pawl).transitions;
    const int64_t rss = (int64_t)bench_rss();
    struct pawl_counters counters;
    uint64_t begin;

    many_choose(many);
    begin = bench_now_ns();
    post_each(&many->pawl, many->ids, MANY_STEPS, EVENT_ADVANCE);
    many_report(many, sample, rss, begin);
    counters = counters_of(&many->pawl);
    if (counters.tasks != many->tasks || counters.transitions != steps + MANY_STEPS)
        bench_fail("memory: %llu of %llu tasks, %llu steps", (unsigned long long)counters.tasks,
                   (unsigned long long)many->tasks,
                   (unsigned long long)(counters.transitions - steps));
    bench_count(sample, "own_bytes", (double)counters.memory_bytes / (double)many->tasks);
}

static void *many_bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct many *many = many_create(bench_pick(10000, 1000000, 10000000));
    const int64_t before = (int64_t)bench_rss();

    (void)row;
    (void)contender;
    many->array = memory(many->tasks * sizeof(*many->array));
    for (uint64_t i = 0; i < many->tasks; i++)
        many->array[i].id = i + 1;
    many->bytes = (int64_t)bench_rss() - before;
    return many;
}

static void many_bare_close(void *state)
{
    struct many *many = state;

    munmap(many->array, many->tasks * sizeof(*many->array));
    free(many->ids);
    free(many);
}

static void many_bare_run(void *state, struct bench_sample *sample)
{
    const struct hand_event event = {.arg = {1}};
    struct many *many = state;
    const int64_t rss = (int64_t)bench_rss();
    uint64_t begin;

    many_choose(many);
    begin = bench_now_ns();
    for (uint64_t i = 0; i < MANY_STEPS; i++) {
        if (i + AHEAD < MANY_STEPS)
            __builtin_prefetch(&many->array[many->ids[i + AHEAD]], 1);
        hand_step(&hand_machine, NULL, &many->array[many->ids[i]], &event);
    }
    many_report(many, sample, rss, begin);
}

/* ---- Rows ---- */

static const uint64_t often_ns = 1000000;
static const uint64_t seldom_ns = 100000000;

static const struct bench_contender idle_contenders[] = {
    {.name = "pawl",
     .semantics = "two shards (one on a single cpu) and the monitor; the time of all their threads",
     .open = idle_pawl_open,
     .run = idle_pawl_run,
     .close = idle_pawl_close},
    {.name = "limit",
     .semantics =
         "one thread that sleeps until the earliest of a heap of timers, and looks round ten "
         "times a second as a watchdog does, which is what Pawl's monitor does too",
     .open = idle_hand_open,
     .run = idle_hand_run,
     .close = idle_hand_close,
     .detail = &seldom_ns},
    {.name = "poll-1ms",
     .semantics = "one thread that looks at the top of a heap of timers every millisecond",
     .open = idle_hand_open,
     .run = idle_hand_run,
     .close = idle_hand_close,
     .detail = &often_ns},
};

static const struct bench_contender churn_contenders[] = {
    {.name = "pawl",
     .semantics = "one shard, turned by the thread that posts; made, stepped four times and ended "
                  "through a port",
     .open = churn_pawl_open,
     .run = churn_pawl_run,
     .close = churn_pawl_close},
    {.name = "limit",
     .semantics = "an array, mapped at the start and unmapped at the end: no ids, no reuse, no "
                  "atomicity, nothing returned before all is over",
     .open = churn_bare_open,
     .run = churn_bare_run,
     .close = churn_bare_close},
    {.name = "malloc-table",
     .semantics = "a hash table under a mutex, a record of 64 bytes from malloc for each task; one "
                  "thread, so nobody waits for the mutex; the allocator is asked to return memory "
                  "at the end",
     .open = churn_hand_open,
     .run = churn_hand_run,
     .close = churn_hand_close},
};

static const struct bench_contender many_contenders[] = {
    {.name = "pawl",
     .semantics =
         "tasks with 16 bytes of context and no key, one shard; all that the runtime takes",
     .open = many_pawl_open,
     .run = many_pawl_run,
     .close = many_pawl_close},
    {.name = "limit",
     .semantics = "an array of records of 64 bytes, a tenth as many; no ids",
     .open = many_bare_open,
     .run = many_bare_run,
     .close = many_bare_close},
};

void bench_memory_rows(void)
{
    bench_add(&(struct bench_row){
        .name = "idle-timers",
        .title =
            "the processor's time, in percent of a core, of 1 M tasks with a timer an hour ahead",
        .unit = "timer",
        .metric = "cpu_percent",
        .size = 1000000,
        .flags = BENCH_LESS_IS_BETTER,
        .goal = {.value = 0.1},
        .contenders = idle_contenders,
        .contender_count = ARRAY_LEN(idle_contenders),
    });
    bench_add(&(struct bench_row){
        .name = "churn",
        .title = "tasks made, stepped four times and ended, a peak at a time",
        .unit = "task",
        .metric = "rate",
        .size = bench_pick(10000, 1000000, 4000000),
        .contenders = churn_contenders,
        .contender_count = ARRAY_LEN(churn_contenders),
    });
    bench_add(&(struct bench_row){
        .name = "churn-memory-left",
        .title = "memory still taken when all tasks have ended, in percent of the peak",
        .unit = "task",
        .metric = "left_percent",
        .size = bench_pick(10000, 1000000, 4000000),
        .flags = BENCH_LESS_IS_BETTER,
        .goal = {.value = 10},
        .contenders = churn_contenders,
        .contender_count = ARRAY_LEN(churn_contenders),
    });
    bench_add(&(struct bench_row){
        .name = "memory-100M",
        .title = "resident bytes a task, at 100 M tasks",
        .unit = "step",
        .metric = "bytes_per_task",
        .size = 100000000,
        .flags = BENCH_LESS_IS_BETTER | BENCH_FULL_ONLY,
        .goal = {.value = 70},
        .contenders = many_contenders,
        .contender_count = ARRAY_LEN(many_contenders),
    });
}
