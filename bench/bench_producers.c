/*
 * bench_producers.c - several producers to one consumer, on two cores: two producers and four, one
 * item of 32 bytes at a time and 32 at a time.
 *
 * There are more threads than cores, so what counts besides the queue is what happens when a thread
 * is interrupted in the middle of a call. Producers float over all cpus; the consumer is pinned to the
 * first, as Pawl's shard is to its own. Every producer makes its items the same way (funnel_loops.h),
 * with a random task of 1000 as the target. Pawl steps every event; the peers' consumer reads the
 * target's number and counts.
 *
 * A round starts the threads, waits until all are under way, and counts what the consumer handled
 * within a window of time. Afterwards it must have handled all that the producers sent; at smoke
 * scale the order of each producer's items is checked too.
 */
#include <pawl/pawl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "peers/have.h"
#include "peers/queues.h"
#include "rows.h"

/* ---- Pawl: a shard of 1000 tasks that count ---- */

struct counting {
    uint64_t count;
    uint64_t next[FUNNEL_PRODUCERS_MAX]; /* when checking: no number below it may come */
};

struct pawl_funnel {
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    uint64_t first_task; /* in a fresh shard ids are consecutive */
    struct pawl_port *ports[FUNNEL_PRODUCERS_MAX];
};

/* An event has the layout of an item. */
_Static_assert(sizeof(struct pawl_event) == sizeof(struct item32), "an item is an event");
_Static_assert(offsetof(struct pawl_event, arg) == offsetof(struct item32, word[2]),
               "word[2] and word[3] are the arguments");

static void count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)event;
    ++((struct counting *)context)->count;
}

static void count_and_check(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct counting *counting = context;
    uint64_t *next = &counting->next[event->arg[0] % FUNNEL_PRODUCERS_MAX];

    (void)step;
    if (event->arg[1] < *next)
        bench_fail("an event came out of order");
    *next = event->arg[1] + 1;
    counting->count++;
}

static const char *const events[] = {"count"};
static const struct pawl_state_def states[] = {{.name = "counting"}};
static const struct pawl_transition_def transitions[] = {
    {.from = "counting", .on = "count", .action = count},
};
static const struct pawl_machine_def counter = {
    .name = "counter",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    PAWL_TABLE(transitions),
    .context_size = sizeof(uint64_t),
};
static const struct pawl_transition_def checked_transitions[] = {
    {.from = "counting", .on = "count", .action = count_and_check},
};
static const struct pawl_machine_def checked_counter = {
    .name = "counter",
    PAWL_TABLE(events),
    PAWL_TABLE(states),
    .transitions = checked_transitions,
    .transitions_count = 1,
    .context_size = sizeof(struct counting),
};

static void *pawl_funnel_create(unsigned producers)
{
    struct pawl_funnel *funnel = queue_memory(sizeof(*funnel));
    const struct pawl_machine *machines[1];
    struct pawl_options options = PAWL_OPTIONS_INIT;
    int error;

    (void)producers;
    error = pawl_machine_compile(bench_scale() == BENCH_SMOKE ? &checked_counter : &counter, NULL,
                                 NULL, &funnel->machine);
    if (error != 0)
        bench_fail("the machine: %s", pawl_strerror(error));
    /* The runtime plans by the cpus that it sees, and what it starts inherits them. */
    bench_unpin();
    machines[0] = funnel->machine;
    options.machines = machines;
    options.machine_count = 1;
    options.shards = 1;
    error = pawl_open(&options, &funnel->runtime);
    if (error == 0)
        error = pawl_start(funnel->runtime);
    for (uint64_t i = 0; i < FUNNEL_TASKS && error == 0; i++) {
        struct pawl_task task;

        error = pawl_task_create(funnel->runtime, &(struct pawl_task_spec){.shard = 0}, &task);
        if (i == 0)
            funnel->first_task = task.id;
        else if (error == 0 && task.id != funnel->first_task + i)
            bench_fail("ids are not consecutive");
    }
    if (error != 0)
        bench_fail("the runtime: %s", pawl_strerror(error));
    bench_pin(bench_cpu(0));
    return funnel;
}

static void *pawl_ports_create(unsigned producers)
{
    const struct pawl_port_options options = {.capacity = QUEUE_CAPACITY / FUNNEL_PRODUCERS_MAX};
    struct pawl_funnel *funnel = pawl_funnel_create(producers);

    for (unsigned i = 0; i < producers; i++) {
        const int error = pawl_port_open(funnel->runtime, &options, &funnel->ports[i]);

        if (error != 0)
            bench_fail("a port: %s", pawl_strerror(error));
    }
    return funnel;
}

static void pawl_funnel_destroy(void *queue)
{
    struct pawl_funnel *funnel = queue;

    int error = 0;

    for (unsigned i = 0; i < FUNNEL_PRODUCERS_MAX && error == 0; i++)
        if (funnel->ports[i] != NULL)
            error = pawl_port_close(funnel->ports[i], UINT64_C(10000000000));
    if (error == 0)
        error = pawl_close(funnel->runtime);
    if (error != 0)
        bench_fail("closing: %s", pawl_strerror(error));
    pawl_machine_destroy(funnel->machine);
    free(funnel);
}

static inline uint32_t posted(int result)
{
    if (result == -EAGAIN)
        return 0;
    if (result < 0)
        bench_fail("posting: %s", pawl_strerror(result));
    return (uint32_t)result;
}

static inline uint32_t pawl_funnel_send(struct pawl_funnel *funnel, const void *items,
                                        uint32_t count_wanted)
{
    return posted(pawl_task_post(funnel->runtime, items, count_wanted));
}

#define FUNNEL_NAME                                pawl_funnel
#define FUNNEL_SEND(queue, producer, items, count) pawl_funnel_send(queue, items, count)
#include "peers/funnel_loops.h"

static inline uint32_t pawl_ports_send(struct pawl_funnel *funnel, uint32_t index,
                                       const void *items, uint32_t count_wanted)
{
    return posted(pawl_port_post(funnel->ports[index], items, count_wanted));
}

#define FUNNEL_NAME pawl_ports
#define FUNNEL_SEND(queue, producer, items, count)                                                 \
    pawl_ports_send(queue, (producer)->index, items, count)
#include "peers/funnel_loops.h"

static const struct funnel_kind pawl_funnel = {pawl_funnel_create, pawl_funnel_destroy,
                                               pawl_funnel_produce, pawl_funnel_produce_batched,
                                               NULL};
static const struct funnel_kind pawl_ports_funnel = {
    pawl_ports_create, pawl_funnel_destroy, pawl_ports_produce, pawl_ports_produce_batched, NULL};

/* ---- A round ---- */

/* What a row asks of one kind of queue; the contender's detail. */
struct funnel_work {
    const struct funnel_kind *kind;
    unsigned producers;
    uint32_t batch;
};

struct funnel_state {
    const struct funnel_work *work;
    struct funnel_round round;
    struct funnel_consumer consumer;
    struct funnel_producer producers[FUNNEL_PRODUCERS_MAX];
};

static void nap(uint64_t ns)
{
    const struct timespec length = {.tv_nsec = (long)ns};

    nanosleep(&length, NULL);
}

static void *consume(void *argument)
{
    struct funnel_state *state = argument;

    state->work->kind->consume(&state->consumer);
    return NULL;
}

/* The pointer says which producer and leads to the state. */
static void *produce(void *argument)
{
    struct funnel_producer *producer = argument;
    const struct funnel_state *state =
        (const void *)((const char *)producer->round - offsetof(struct funnel_state, round));

    bench_unpin();
    if (state->work->batch == 1)
        state->work->kind->produce(producer);
    else
        state->work->kind->produce_batched(producer);
    return NULL;
}

/* How many items the consumer has handled, ever. */
static uint64_t handled(const struct funnel_state *state)
{
    const struct pawl_funnel *funnel = state->round.queue;
    struct pawl_counters counters;

    if (state->work->kind->consume != NULL)
        return queue_read(&state->consumer.handled);
    pawl_runtime_counters(funnel->runtime, &counters);
    return counters.events;
}

/* The steps that the tasks have made, by their own count. */
static uint64_t stepped(const struct pawl_funnel *funnel)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < FUNNEL_TASKS; i++) {
        struct counting counting;
        struct pawl_view view = {.context = &counting, .context_capacity = sizeof(counting)};

        if (pawl_task_peek(funnel->runtime, (struct pawl_task){funnel->first_task + i}, &view) != 0)
            bench_fail("a task is gone");
        sum += counting.count;
    }
    return sum;
}

/* All that was sent must have been handled. */
static void check(const struct funnel_state *state)
{
    uint64_t sent = 0, sum = 0;

    for (unsigned i = 0; i < state->work->producers; i++) {
        sent += state->producers[i].sent;
        sum += state->producers[i].sum;
    }
    if (state->work->kind->consume != NULL) {
        if (state->consumer.out_of_order)
            bench_fail("items came out of order");
        if (state->consumer.handled != sent || state->consumer.sum != sum)
            bench_fail("items were lost or came twice");
    } else {
        const struct pawl_funnel *funnel = state->round.queue;

        for (unsigned tries = 0; stepped(funnel) != sent; tries++) {
            if (tries == 5000)
                bench_fail("events were lost or came twice");
            nap(1000000);
        }
    }
}

static void *funnel_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct funnel_state *state = queue_memory(sizeof(*state));

    (void)row;
    state->work = contender->detail;
    state->round.queue = state->work->kind->create(state->work->producers);
    state->round.checking = bench_scale() == BENCH_SMOKE;
    state->consumer.round = &state->round;
    for (unsigned i = 0; i < state->work->producers; i++) {
        struct funnel_producer *producer = &state->producers[i];

        producer->round = &state->round;
        producer->index = i;
        producer->random.state = i + 1;
        if (state->work->kind->consume == NULL)
            producer->first_task = ((struct pawl_funnel *)state->round.queue)->first_task;
    }
    return state;
}

static void funnel_run(void *argument, struct bench_sample *sample)
{
    struct funnel_state *state = argument;
    pthread_t consumer = 0, producers[FUNNEL_PRODUCERS_MAX];
    uint64_t begin, before;

    state->round.stop = state->round.done = 0;
    if (state->work->kind->consume != NULL)
        consumer = bench_thread(0, consume, state);
    for (unsigned i = 0; i < state->work->producers; i++)
        producers[i] = bench_thread(i, produce, &state->producers[i]);
    nap(bench_pick(5000000, 40000000, 100000000));
    before = handled(state);
    begin = bench_now_ns();
    do {
        nap(bench_pick(20000000, 150000000, 400000000));
        sample->operations = handled(state) - before;
    } while (sample->operations == 0);
    sample->seconds = (double)(bench_now_ns() - begin) * 1e-9;
    queue_write(&state->round.stop, 1);
    for (unsigned i = 0; i < state->work->producers; i++)
        pthread_join(producers[i], NULL);
    queue_write(&state->round.done, 1);
    if (state->work->kind->consume != NULL)
        pthread_join(consumer, NULL);
    check(state);
}

static void funnel_close(void *argument)
{
    struct funnel_state *state = argument;

    state->work->kind->destroy(state->round.queue);
    free(state);
}

/* ---- Rows ---- */

static const struct {
    const char *name;
    const char *semantics;
    const char *absent;
    const struct funnel_kind *kind;
} funnel_contenders[] = {
    {"pawl",
     "pawl_task_post, no port; bounded (1024 a producer), in order per producer; every event is "
     "stepped by its task; batches",
     NULL, &pawl_funnel},
    {"pawl-ports",
     "pawl_port_post, a port a producer; bounded (1024 a producer), in order per producer; every "
     "event is stepped by its task; batches",
     NULL, &pawl_ports_funnel},
    {"wfcqueue",
     "unbounded, in order per producer; linked nodes, here of a pool of each producer used in "
     "turn; "
     "batches are spliced; items are counted",
     URCU_ABSENT, IF_URCU(&wfcqueue_funnel)},
    {"ck_ring",
     "bounded, in order; producers wait for each other; no batches: single calls; items are "
     "counted",
     CK_ABSENT, IF_CK(&ck_ring_funnel)},
    {"rte_ring",
     "bounded, in order; producers wait for each other; bulk in, burst out; items are counted",
     DPDK_ABSENT, IF_DPDK(&rte_ring_funnel)},
    {"rte_ring_rts",
     "the same ring with the relaxed tail, for more threads than cpus; items are counted",
     DPDK_ABSENT, IF_DPDK(&rte_ring_rts_funnel)},
    {"moodycamel",
     "could grow, here it may not; in order per producer; tokens, bulk calls; items are counted",
     MOODYCAMEL_ABSENT, IF_MOODYCAMEL(&moodycamel_funnel)},
    {"boost",
     "boost::lockfree::queue; bounded at compile time, in order; no batches: single calls; "
     "items are counted",
     BOOST_ABSENT, IF_BOOST(&boost_funnel)},
    {"tbb",
     "concurrent_bounded_queue; bounded, in order; no batches: single calls; items are counted",
     TBB_ABSENT, IF_TBB(&tbb_funnel)},
    {"mutex", "a ring under a mutex; bounded, in order; a batch under one lock; items are counted",
     NULL, &mutex_ring_funnel},
};

enum { FUNNEL_CONTENDERS = sizeof(funnel_contenders) / sizeof(funnel_contenders[0]) };

static void funnel_add(const char *name, unsigned producers, uint32_t batch, double goal)
{
    struct bench_row row = {.name = name, .unit = "item", .metric = "rate", .size = producers};
    struct bench_contender *contenders = queue_memory(FUNNEL_CONTENDERS * sizeof(*contenders));
    struct funnel_work *works = queue_memory(FUNNEL_CONTENDERS * sizeof(*works));

    for (unsigned i = 0; i < FUNNEL_CONTENDERS; i++) {
        works[i] = (struct funnel_work){funnel_contenders[i].kind, producers, batch};
        contenders[i] = (struct bench_contender){.name = funnel_contenders[i].name,
                                                 .semantics = funnel_contenders[i].semantics,
                                                 .absent = funnel_contenders[i].absent,
                                                 .open = funnel_open,
                                                 .run = funnel_run,
                                                 .close = funnel_close,
                                                 .detail = &works[i]};
    }
    row.title = bench_text("%u producers to one consumer, %s", producers,
                           batch == 1 ? "one item at a time" : "32 items at a time");
    row.group = bench_text("producers-b%u", batch);
    row.flags = BENCH_CROSS_CORE;
    row.goal.value = goal;
    row.contenders = contenders;
    row.contender_count = FUNNEL_CONTENDERS;
    bench_add(&row);
}

void bench_producers_rows(void)
{
    funnel_add("producers-2to1-b1", 2, 1, 0);
    funnel_add("producers-2to1-b32", 2, QUEUE_BATCH, 0);
    funnel_add("producers-4-b1", 4, 1, 25e6);
    funnel_add("producers-4-b32", 4, QUEUE_BATCH, 120e6);
}
