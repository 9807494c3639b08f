/*
 * threads_fixture.h - whole runtimes for tests: two machines that do what tests ask for, helpers that
 * turn host-driven shards until they are still, and waits that end when something has come true.
 *
 * A wait here has no deadline of its own: what never comes true hangs, and the test's time limit
 * ends it. So no test depends on how fast the machine is.
 */
#ifndef PAWL_TESTS_SUPPORT_THREADS_FIXTURE_H
#define PAWL_TESTS_SUPPORT_THREADS_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <pawl/pawl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"

#ifdef FIXTURE_WITHOUT_TESTS /* a program of stress/, which has no test framework */
#define cr_assert(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#else
#include "support/test.h"
#endif

#define MS UINT64_C(1000000)

/* Order of what a host-driven runtime handled: the tags of "note" events. */
#define NOTES_MAX 65536u

/* What handlers and callbacks leave behind; the runtime's user pointer. */
struct probe {
    _Atomic uint64_t hits;
    _Atomic uint64_t rings;  /* timers that fired */
    _Atomic uint64_t inside; /* steps under way in "slow" */
    _Atomic uint64_t slow_done;
    _Atomic uint64_t gate;     /* "slow" returns once this is not 0 */
    _Atomic uint64_t disorder; /* "seq" events that did not come in order */
    _Atomic uint64_t undelivered;
    _Atomic uint64_t undelivered_stale;
    _Atomic uint64_t undelivered_canceled;
    _Atomic uint64_t undelivered_refused;
    _Atomic uint64_t stalls;
    _Atomic uint64_t child;    /* the last one that "spawn" created */
    struct pawl_stall stall;   /* the last; read it after `stalls` rose */
    uint32_t notes[NOTES_MAX]; /* for one shard */
    uint32_t notes_count;
};

/* The context of "probe" tasks: sum is always mix64(count). */
struct probe_context {
    uint64_t count;
    uint64_t sum;
    uint64_t sequence;
};

enum probe_event {
    EV_HIT,   /* counts; in state "held" deferred */
    EV_NOTE,  /* appends its tag to the notes */
    EV_SLOW,  /* waits for the gate */
    EV_HOLD,  /* work -> held */
    EV_GO,    /* held -> work */
    EV_CHAIN, /* arg[0] the next task, arg[1] how many more: passes itself to and fro */
    EV_ARM,   /* arg[0]: delay of timer 0 in ns */
    EV_RING,  /* the timer */
    EV_END,
    EV_ECHO,  /* answers arg[0] + 1 */
    EV_SEQ,   /* arg[0] must be one more than the last */
    EV_SPAWN, /* creates a task of the same machine on this shard */
    EV_FAN,   /* posts arg[1] hits to task arg[0] */
    EV_ODD,   /* nothing accepts it */
    PROBE_EVENTS,
};

enum probe_state { ST_WORK, ST_HELD, ST_DONE };
enum { MACHINE_PROBE, MACHINE_LAX, MACHINE_TIMED, MACHINE_WIDE, MACHINES };

static inline void nap_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static inline struct probe *probe_of(struct pawl_step *step)
{
    return pawl_step_user(step);
}

static inline void count_step(void *context)
{
    struct probe_context *own = context;

    own->count++;
    own->sum = mix64(own->count);
}

static inline void on_hit(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    count_step(context);
    add_relaxed(&probe_of(step)->hits, 1);
}

static inline void on_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct probe *probe = probe_of(step);

    (void)context;
    if (probe->notes_count < NOTES_MAX)
        probe->notes[probe->notes_count++] = event->tag;
}

static inline void on_slow(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct probe *probe = probe_of(step);

    (void)context;
    (void)event;
    add_acq_rel(&probe->inside, 1);
    while (load_acquire(&probe->gate) == 0)
        nap_briefly();
    sub_acq_rel(&probe->inside, 1);
    add_acq_rel(&probe->slow_done, 1);
}

static inline void on_chain(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count_step(context);
    add_relaxed(&probe_of(step)->hits, 1);
    if (event->arg[1] == 0)
        return;
    pawl_step_post(step, &(struct pawl_event){.task = {event->arg[0]},
                                              .code = EV_CHAIN,
                                              .flags = event->flags & PAWL_EVENT_CONTROL,
                                              .arg = {pawl_step_task(step).id, event->arg[1] - 1}});
}

static inline void on_arm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    pawl_step_arm(step, 0, event->arg[0]);
}

static inline void on_ring(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    count_step(context);
    add_relaxed(&probe_of(step)->rings, 1);
}

static inline void on_echo(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count_step(context);
    pawl_step_answer(step, event->arg[0] + 1);
}

static inline void on_seq(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct probe_context *own = context;
    struct probe *probe = probe_of(step);

    if (event->arg[0] != own->sequence + 1)
        add_relaxed(&probe->disorder, 1);
    own->sequence = event->arg[0];
    count_step(context);
    add_relaxed(&probe->hits, 1);
}

static inline void on_spawn(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct pawl_task_spec spec = {.machine = MACHINE_PROBE, .shard = pawl_step_shard(step)};
    struct pawl_task child;

    (void)event;
    count_step(context);
    pawl_step_create(step, &spec, PAWL_NO_REPLY, &child);
    store_release(&probe_of(step)->child, child.id);
}

static inline void on_fan(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    count_step(context);
    for (uint64_t i = 0; i < event->arg[1]; i++)
        pawl_step_post(step, &(struct pawl_event){.task = {event->arg[0]},
                                                  .code = EV_SEQ,
                                                  .arg = {event->tag + i + 1}});
}

static inline void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    struct probe *probe = user;

    (void)event;
    add_acq_rel(&probe->undelivered, 1);
    if (reason == -ESTALE)
        add_acq_rel(&probe->undelivered_stale, 1);
    else if (reason == -ECANCELED)
        add_acq_rel(&probe->undelivered_canceled, 1);
    else if (reason == -EPROTO)
        add_acq_rel(&probe->undelivered_refused, 1);
}

static inline void on_stall(void *user, const struct pawl_stall *stall)
{
    struct probe *probe = user;

    probe->stall = *stall;
    add_acq_rel(&probe->stalls, 1);
}

/* The machines of the enum above; the wide one has a context that lives in a block of its own. */
static inline struct pawl_machine *probe_machine(int which)
{
    static const char *const names[MACHINES] = {"probe", "lax", "timed", "wide"};
    static const char *const events[PROBE_EVENTS] = {
        "hit",  "note", "slow", "hold", "go",    "chain", "arm",
        "ring", "end",  "echo", "seq",  "spawn", "fan",   "odd",
    };
    static const char *const hit_only[] = {"hit", NULL};
    static const struct pawl_state_def states[] = {
        {.name = "work"},
        {.name = "held", .defers = hit_only},
        {.name = "done", .flags = PAWL_STATE_FINAL},
    };
    /* Each task in "work" has a timer armed an hour ahead. */
    static const struct pawl_state_def states_timed[] = {
        {.name = "work", .timeout_ns = 3600 * 1000 * MS, .timeout = "ring"},
        {.name = "held", .defers = hit_only},
        {.name = "done", .flags = PAWL_STATE_FINAL},
    };
    static const struct pawl_transition_def transitions[] = {
        {.from = "work", .on = "hit", .action = on_hit},
        {.from = "work", .on = "note", .action = on_note},
        {.from = "work", .on = "slow", .action = on_slow},
        {.from = "work", .on = "hold", .to = "held"},
        {.from = "held", .on = "go", .to = "work"},
        {.from = "held", .on = "note", .action = on_note},
        {.from = "work", .on = "chain", .action = on_chain},
        {.from = "work", .on = "arm", .action = on_arm},
        {.from = "held", .on = "arm", .action = on_arm},
        {.from = "work", .on = "ring", .action = on_ring},
        {.from = "held", .on = "ring", .to = "work", .action = on_ring},
        {.from = "work", .on = "end", .to = "done"},
        {.from = "held", .on = "end", .to = "done"},
        {.from = "work", .on = "echo", .action = on_echo},
        {.from = "work", .on = "seq", .action = on_seq},
        {.from = "work", .on = "spawn", .action = on_spawn},
        {.from = "work", .on = "fan", .action = on_fan},
    };
    static const struct pawl_timer_def timers[] = {{.name = "alarm", .event = "ring"}};
    struct pawl_machine_def definition = {
        .name = names[which],
        PAWL_TABLE(events),
        PAWL_TABLE(states),
        PAWL_TABLE(transitions),
        PAWL_TABLE(timers),
        .context_size = which == MACHINE_WIDE ? 200 : sizeof(struct probe_context),
        .unexpected = which == MACHINE_LAX ? PAWL_UNEXPECTED_IGNORE : PAWL_UNEXPECTED_REFUSE,
        .deferred_max = 2000,
    };
    struct pawl_machine *machine = NULL;

    if (which == MACHINE_TIMED)
        definition.states = states_timed;
    cr_assert_eq(pawl_machine_compile(&definition, NULL, NULL, &machine), 0);
    return machine;
}

/* A runtime, its machines and what they report to. */
struct world {
    struct pawl_machine *machines[MACHINES];
    struct pawl_options options;
    struct pawl_runtime *runtime;
    struct pawl_virtual_clock *clock; /* or NULL */
    struct probe probe;
};

/* Options to change before world_open. Huge pages off: memory figures then follow the tasks. */
static inline struct world *world_create(enum pawl_drive drive, unsigned shards)
{
    struct world *world = calloc(1, sizeof(*world));
    struct pawl_options options = PAWL_OPTIONS_INIT;

    cr_assert(world != NULL);
    for (int i = 0; i < MACHINES; i++)
        world->machines[i] = probe_machine(i);
    world->options = options;
    world->options.machines = (const struct pawl_machine *const *)world->machines;
    world->options.machine_count = MACHINES;
    world->options.shards = shards;
    world->options.drive = drive;
    world->options.no_pin = 1;
    world->options.no_huge_pages = 1;
    world->options.seed = 42;
    world->options.user = &world->probe;
    world->options.on_undelivered = on_undelivered;
    world->options.on_stall = on_stall;
    return world;
}

static inline void world_open(struct world *world)
{
    cr_assert_eq(pawl_open(&world->options, &world->runtime), 0);
}

/* The common case: opened and started; host-driven worlds get a virtual clock. */
static inline struct world *world_start(enum pawl_drive drive, unsigned shards)
{
    struct world *world = world_create(drive, shards);

    if (drive == PAWL_DRIVE_HOST) {
        cr_assert_eq(pawl_virtual_clock_create(1000 * MS, &world->clock), 0);
        world->options.clock = pawl_virtual_clock_seam(world->clock);
    }
    world_open(world);
    cr_assert_eq(pawl_start(world->runtime), 0);
    return world;
}

static inline void world_close(struct world *world)
{
    if (world->runtime != NULL)
        cr_assert_eq(pawl_close(world->runtime), 0);
    for (int i = 0; i < MACHINES; i++)
        pawl_machine_destroy(world->machines[i]);
    pawl_virtual_clock_destroy(world->clock);
    free(world);
}

/* Turns all shards until a whole round did nothing; returns how many events were handled. */
static inline uint64_t settle(struct world *world)
{
    uint64_t handled = 0;
    bool moved = true;

    while (moved) {
        moved = false;
        for (unsigned i = 0; i < pawl_shard_count(world->runtime); i++) {
            const int turned = pawl_turn(world->runtime, i);

            cr_assert(turned >= 0, "pawl_turn said %d", turned);
            moved |= turned > 0;
            handled += (uint64_t)turned;
        }
    }
    return handled;
}

static inline struct pawl_port *port_of(struct world *world, uint32_t capacity,
                                        uint32_t completions)
{
    const struct pawl_port_options options = {capacity, completions};
    struct pawl_port *port = NULL;

    cr_assert_eq(pawl_port_open(world->runtime, &options, &port), 0);
    return port;
}

/* Of a host-driven world. */
static inline void close_port(struct world *world, struct pawl_port *port)
{
    int error;

    while ((error = pawl_port_close(port, 0)) != 0) {
        cr_assert_eq(error, -EAGAIN);
        settle(world);
    }
}

static inline void advance(struct world *world, uint64_t ns)
{
    pawl_virtual_clock_advance_to(world->clock, pawl_virtual_clock_now_ns(world->clock) + ns);
}

static inline struct pawl_task create_on(struct world *world, unsigned machine, unsigned shard)
{
    const struct pawl_task_spec spec = {.machine = machine, .shard = shard};
    struct pawl_task task;

    cr_assert_eq(pawl_task_create(world->runtime, &spec, &task), 0);
    return task;
}

static inline struct pawl_event event_to(struct pawl_task task, uint16_t code)
{
    return (struct pawl_event){.task = task, .code = code};
}

/* Posts one event without a port, as often as it takes; false: it was refused for good. */
static inline bool post_one_event(struct pawl_runtime *runtime, const struct pawl_event *event)
{
    int posted;

    while ((posted = pawl_task_post(runtime, event, 1)) == -EAGAIN)
        nap_briefly();
    return posted == 1;
}

static inline void post_to(struct world *world, struct pawl_task task, uint16_t code)
{
    const struct pawl_event event = event_to(task, code);

    cr_assert(post_one_event(world->runtime, &event));
}

static inline void wait_for(const _Atomic uint64_t *what, uint64_t at_least)
{
    while (load_acquire(what) < at_least)
        nap_briefly();
}

static inline struct pawl_counters counters_of(const struct world *world)
{
    struct pawl_counters counters;

    pawl_runtime_counters(world->runtime, &counters);
    return counters;
}

/* Entries of a folder under /proc/self ("task", "fd"). */
static inline unsigned proc_entries(const char *folder)
{
    char path[64];
    unsigned count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/self/%s", folder);
    dir = opendir(path);
    cr_assert(dir != NULL);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline void *return_at_once(void *argument)
{
    return argument;
}

/* Threads of this process, the sanitizer's own included, which comes with the first that is made. */
static inline unsigned threads_now(void)
{
    pthread_t thread;
    unsigned count = proc_entries("task");

    cr_assert_eq(pthread_create(&thread, NULL, return_at_once, NULL), 0);
    pthread_join(thread, NULL);
    /* A joined thread may still be listed for a moment. */
    for (unsigned looks = 0; looks < 100; looks++) {
        const unsigned now = proc_entries("task");

        if (now == count)
            break;
        nap_briefly();
        if (looks > 50)
            count = now;
    }
    return count;
}

/* Whether there are so many, within a time that is ample for a thread to leave the list. */
static inline bool threads_become(unsigned count)
{
    for (unsigned looks = 0; looks < 10000 && proc_entries("task") != count; looks++)
        nap_briefly();
    return proc_entries("task") == count;
}

/* Under ThreadSanitizer its shadow grows with all that was ever mapped: sizes say nothing there. */
#if defined(__SANITIZE_THREAD__)
#define SIZES_TELL false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIZES_TELL false
#endif
#endif
#ifndef SIZES_TELL
#define SIZES_TELL true
#endif

/* Pages of the process: all of its address space, or what is resident. */
static inline uint64_t statm_bytes(bool resident)
{
    unsigned long long size = 0, rss = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert(file != NULL);
    cr_assert_eq(fscanf(file, "%llu %llu", &size, &rss), 2);
    fclose(file);
    return (uint64_t)(resident ? rss : size) * (uint64_t)sysconf(_SC_PAGESIZE);
}

#endif /* PAWL_TESTS_SUPPORT_THREADS_FIXTURE_H */
