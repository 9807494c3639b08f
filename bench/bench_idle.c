/*
 * bench_idle.c - idle-timers: the processor's time of a runtime whose tasks all wait for a timer in an hour (side.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/random.h"
#include "harness.h"
#include "rows.h"
#include "side.h"

#define HOUR_NS UINT64_C(3600000000000)

enum { THREADS_MAX = 8 };

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
    struct side pawl;
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
            side_sleep_ns(100000);
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
    side_open(&idle->pawl, &idle_machine, &options);
    bench_pin(bench_cpu(0));
    side_make(&idle->pawl, idle->timers, NULL);
    return idle;
}

static void idle_pawl_close(void *state)
{
    struct idle *idle = state;

    side_close(&idle->pawl);
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

    before = side_counters(&idle->pawl);
    spent = metered_ns(idle);
    begin = bench_now_ns();
    side_sleep_ns(time_ns);
    spent = metered_ns(idle) - spent;
    idle_report(idle, sample, spent, bench_now_ns() - begin);
    after = side_counters(&idle->pawl);
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
    side_sleep_ns(2000000); /* its start is not its idling */
    spent = clock_ns(clock);
    begin = bench_now_ns();
    side_sleep_ns(idle_time(idle));
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

void bench_idle_rows(void)
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
}
