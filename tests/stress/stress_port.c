/*
 * stress_port.c - more producers than cores, each with a port that it opens, fills, reaps and closes
 * again and again, while the runtime is paused and resumed under them. Every completion is ticked
 * off, every task checks the order of its events, and the totals must agree. Then a round of single
 * posts to shards that sleep at once: a lost wake would hang it.
 *
 *     stress_port [SCALE [SEED]]      SCALE multiplies the rounds, 1 by default
 */
#define FIXTURE_WITHOUT_TESTS
#include "support/threads_fixture.h"

#include <sched.h>

#include "base/random.h"

#define PRODUCERS 6u
#define SHARDS    2u
#define TASKS     8u    /* of one producer in one round */
#define EVENTS    3000u /* likewise */
#define TAGS      (EVENTS + TASKS)
#define ROUNDS    30u
#define PINGS     6000u

struct producer {
    struct world *world;
    struct random random;
    unsigned rounds;
    struct pawl_port *port;
    struct pawl_task tasks[TASKS];
    uint64_t sequence[TASKS];
    uint32_t last_tag[TASKS]; /* of the completions of each task */
    unsigned char *due;       /* by tag: a completion is to come */
    uint64_t expected;        /* hits that must come about */
    uint64_t wrong;           /* completions that were not due, or not right */
    pthread_t thread;
};

static int task_of(const struct producer *producer, struct pawl_task task)
{
    for (unsigned i = 0; i < TASKS; i++)
        if (producer->tasks[i].id == task.id)
            return (int)i;
    return -1;
}

/* Takes what is there; each completion must be due, of one of our tasks, and in that task's order. */
static void reap(struct producer *producer, int status)
{
    struct pawl_completion completions[32];
    const int reaped = pawl_port_reap(producer->port, completions,
                                      1 + (size_t)random_below(&producer->random, 32));

    for (int i = 0; i < reaped; i++) {
        const struct pawl_completion *one = &completions[i];
        const int task = task_of(producer, one->task);

        if (one->tag > TAGS || producer->due[one->tag] == 0 || one->status != status || task < 0 ||
            one->tag <= producer->last_tag[task]) {
            producer->wrong++;
            continue;
        }
        producer->due[one->tag] = 0;
        producer->last_tag[task] = one->tag;
    }
}

static void reap_all(struct producer *producer, int status)
{
    while (pawl_port_outstanding(producer->port) > 0) {
        if (random_below(&producer->random, 2) == 0)
            cr_assert(pawl_port_wait(producer->port, UINT64_MAX) == 0);
        else
            sched_yield();
        reap(producer, status);
    }
}

static void create_tasks(struct producer *producer)
{
    struct pawl_completion completion;

    for (uint32_t i = 0; i < TASKS; i++) {
        const struct pawl_task_spec spec = {
            .machine = i % 2 ? MACHINE_WIDE : MACHINE_PROBE,
            .shard = (uint32_t)random_below(&producer->random, SHARDS),
        };

        producer->sequence[i] = 0;
        producer->last_tag[i] = 0;
        cr_assert(pawl_port_create(producer->port, &spec, i) == 0);
    }
    for (unsigned got = 0; got < TASKS;) {
        cr_assert(pawl_port_wait(producer->port, UINT64_MAX) == 0);
        while (pawl_port_reap(producer->port, &completion, 1) == 1) {
            cr_assert(completion.status == 0 && completion.tag < TASKS);
            producer->tasks[completion.tag] = completion.task;
            got++;
        }
    }
}

/* Posts one batch; returns how many tags it used. */
static uint32_t post_batch(struct producer *producer, uint32_t tag, uint32_t most)
{
    struct pawl_event events[40];
    uint64_t sequence[TASKS];
    const uint32_t count = 1 + (uint32_t)random_below(&producer->random, most < 40 ? most : 40);
    int accepted;

    memcpy(sequence, producer->sequence, sizeof(sequence));
    for (uint32_t i = 0; i < count; i++) {
        const unsigned task = (unsigned)random_below(&producer->random, TASKS);

        events[i] = event_to(producer->tasks[task], EV_SEQ);
        events[i].arg[0] = ++sequence[task];
        events[i].tag = tag + i;
        if (random_below(&producer->random, 3) == 0)
            events[i].flags = PAWL_EVENT_COMPLETE;
    }
    accepted = pawl_port_post(producer->port, events, count);
    if (accepted == -EAGAIN) {
        reap(producer, 0);
        sched_yield();
        return 0;
    }
    cr_assert(accepted > 0 && accepted <= (int)count);
    for (int i = 0; i < accepted; i++) {
        producer->sequence[task_of(producer, events[i].task)]++;
        producer->due[events[i].tag] = (events[i].flags & PAWL_EVENT_COMPLETE) != 0;
    }
    producer->expected += (uint64_t)accepted;
    return (uint32_t)accepted;
}

/* A cancel overtakes, so first an event of each task that is completed behind all others. */
static void end_tasks(struct producer *producer)
{
    for (uint32_t i = 0; i < TASKS; i++) {
        struct pawl_event event = event_to(producer->tasks[i], EV_ECHO);

        event.flags = PAWL_EVENT_COMPLETE;
        event.tag = EVENTS + 1 + i;
        producer->due[event.tag] = 1;
        while (pawl_port_post(producer->port, &event, 1) != 1)
            sched_yield();
    }
    reap_all(producer, 0);
    for (uint32_t i = 0; i < TASKS; i++) {
        producer->last_tag[i] = 0;
        producer->due[i + 1] = 1;
        cr_assert(pawl_port_cancel(producer->port, producer->tasks[i], i + 1) == 0);
    }
    reap_all(producer, 0);
    for (uint32_t i = 0; i < TASKS; i++) {
        struct pawl_event event = event_to(producer->tasks[i], EV_HIT);

        event.flags = PAWL_EVENT_COMPLETE;
        event.tag = TASKS + i + 1;
        producer->due[event.tag] = 1;
        cr_assert(pawl_port_post(producer->port, &event, 1) == 1);
    }
    reap_all(producer, -ESTALE);
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct random *random = &producer->random;

    producer->due = calloc(TAGS + 1, 1);
    for (unsigned round = 0; round < producer->rounds; round++) {
        const struct pawl_port_options options = {
            .capacity = 64u << random_below(random, 6),
            .completions = 64u << random_below(random, 4),
        };
        uint32_t tag = 1;
        int error;

        cr_assert(pawl_port_open(producer->world->runtime, &options, &producer->port) == 0);
        create_tasks(producer);
        while (tag <= EVENTS) {
            tag += post_batch(producer, tag, EVENTS - tag + 1);
            if (random_below(random, 4) == 0)
                reap(producer, 0);
            if (random_below(random, 200) == 0)
                nap_briefly();
        }
        reap_all(producer, 0);
        end_tasks(producer);
        while ((error = pawl_port_close(producer->port, random_below(random, 100000))) != 0)
            cr_assert(error == -ETIMEDOUT);
        for (uint32_t i = 0; i <= TAGS; i++)
            producer->wrong += producer->due[i]; /* one that never came */
    }
    free(producer->due);
    return NULL;
}

struct pauser {
    struct world *world;
    _Atomic uint64_t stop;
    uint64_t pauses;
};

static void *pause_and_resume(void *argument)
{
    struct pauser *pauser = argument;

    while (load_acquire(&pauser->stop) == 0) {
        cr_assert(pawl_pause(pauser->world->runtime) == 0);
        nap_briefly();
        cr_assert(pawl_resume(pauser->world->runtime) == 0);
        for (unsigned i = 0; i < 20; i++)
            nap_briefly();
        pauser->pauses++;
    }
    return NULL;
}

static struct world *open_world(unsigned shards, uint64_t spin_ns)
{
    struct world *world = world_create(PAWL_DRIVE_THREADS, shards);

    world->options.spin_ns = spin_ns;
    world_open(world);
    cr_assert(pawl_start(world->runtime) == 0);
    return world;
}

static bool produce_all(unsigned scale, uint64_t seed)
{
    struct world *world = open_world(SHARDS, 0);
    struct pauser pauser = {.world = world};
    struct producer producers[PRODUCERS];
    uint64_t expected = 0, wrong = 0, hits, disorder, undelivered;
    pthread_t thread;
    bool ok;

    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] =
            (struct producer){.world = world, .random = {seed + i}, .rounds = ROUNDS * scale};
        cr_assert(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
    }
    cr_assert(pthread_create(&thread, NULL, pause_and_resume, &pauser) == 0);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        expected += producers[i].expected;
        wrong += producers[i].wrong;
    }
    store_release(&pauser.stop, 1);
    pthread_join(thread, NULL);
    hits = load_acquire(&world->probe.hits);
    disorder = load_acquire(&world->probe.disorder);
    undelivered = load_acquire(&world->probe.undelivered);
    ok = hits == expected && wrong == 0 && disorder == 0 && undelivered == 0 && pauser.pauses > 0;
    printf("%u producers: %llu events of %llu, %llu misordered, %llu undelivered, %llu wrong "
           "completions, %llu pauses\n",
           PRODUCERS, (unsigned long long)hits, (unsigned long long)expected,
           (unsigned long long)disorder, (unsigned long long)undelivered, (unsigned long long)wrong,
           (unsigned long long)pauser.pauses);
    world_close(world);
    return ok;
}

/* One event at a time: the shard is asleep, or on the way there, each time. */
static void *ping(void *argument)
{
    struct producer *producer = argument;
    struct pawl_event event = event_to(producer->tasks[0], EV_ECHO);
    struct pawl_completion completion;

    event.flags = PAWL_EVENT_COMPLETE;
    for (uint32_t i = 1; i <= PINGS * producer->rounds; i++) {
        event.tag = i;
        event.arg[0] = i;
        if (random_below(&producer->random, 4) == 0)
            event.flags ^= PAWL_EVENT_CONTROL;
        cr_assert(pawl_port_post(producer->port, &event, 1) == 1);
        while (pawl_port_wait(producer->port, UINT64_MAX) != 0)
            ;
        cr_assert(pawl_port_reap(producer->port, &completion, 1) == 1);
        if (completion.tag != i || completion.value != i + 1)
            producer->wrong++;
        for (uint64_t spin = random_below(&producer->random, 2000); spin > 0; spin--)
            cpu_relax();
    }
    return NULL;
}

static bool ping_all(unsigned scale, uint64_t seed)
{
    struct world *world = open_world(SHARDS, 1);
    struct producer producers[2];
    struct pawl_counters counters;
    uint64_t wrong = 0;

    for (unsigned i = 0; i < 2; i++) {
        producers[i] =
            (struct producer){.world = world, .random = {seed + 100 + i}, .rounds = scale};
        producers[i].tasks[0] = create_on(world, MACHINE_PROBE, i % SHARDS);
        cr_assert(pawl_port_open(world->runtime, NULL, &producers[i].port) == 0);
        cr_assert(pthread_create(&producers[i].thread, NULL, ping, &producers[i]) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(producers[i].thread, NULL);
        wrong += producers[i].wrong;
        cr_assert(pawl_port_close(producers[i].port, UINT64_MAX) == 0);
    }
    counters = counters_of(world);
    printf("%u pings, %llu wrong, %llu parks\n", 2 * PINGS * scale, (unsigned long long)wrong,
           (unsigned long long)counters.parks);
    world_close(world);
    return wrong == 0 && counters.parks > 0;
}

int main(int argc, char **argv)
{
    const unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    bool ok;

    printf("stress_port: seed %llu\n", (unsigned long long)seed);
    ok = produce_all(scale, seed);
    ok = ping_all(scale, seed) && ok;
    puts(ok ? "passed" : "FAILED");
    return ok ? 0 : 1;
}
