/*
 * bench_messages.c - works that actor systems are measured by: tasks that send, create and end.
 *
 *   thread-ring   one token round a ring of a thousand; an operation is a hop
 *   ping-pong     the same with two
 *   skynet        a tree of ten is made down to a million leaves and summed on the way back
 *   fan-in        a thousand senders, one receiver
 *   fork-join     ten thousand are made, report and end
 *   big           a hundred ask each other, all at once; an operation is a message or an answer
 *   chain-cross   4096 tokens on a ring whose neighbours live on different shards: Pawl alone
 *
 * "pawl" is one shard that the calling thread turns, "pawl-2" two shards with a thread each, their tasks
 * dealt out in turn. The peers are programs (peers/actors.h) with one scheduler thread or two. Where a
 * single message is under way, as in the first two rows, what is measured is the way of one event
 * through an empty system; a turn of Pawl is made for batches.
 *
 * A run is begun by events from a port and is over when a handler says so, which also takes the time.
 * What was done is checked afterwards, from the tasks' contexts or by the sums that they bring.
 */
#include <pawl/pawl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "harness.h"
#include "peers/actors.h"
#include "rows.h"

enum { MACHINES = 3, OWN = 3, WAIT_S = 120, BRANCHES = 10, BURST = 16, TOKENS = 4096 };

struct world;

/* What a work is made of. The first task is of the first machine, all others that last of the second. */
struct work {
    const struct pawl_machine_def *machines[MACHINES];
    uint64_t (*task_count)(const struct world *world); /* of those that last */
    void (*prepare)(struct world *world);              /* once, when they are there; or NULL */
    /* Posts what begins a run of at least so many operations; returns how many it will be. */
    uint64_t (*begin)(struct world *world, uint64_t operations);
    void (*check)(struct world *world); /* fails if the tasks do not show world->total; or NULL */
    uint64_t tokens;
};

/* A runtime with its tasks; the runtime's user pointer. */
struct world {
    const struct work *work;
    struct pawl_machine *machines[MACHINES];
    unsigned machine_count;
    unsigned shards;
    bool threads;
    uint64_t size; /* of the row */
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    struct pawl_task *tasks; /* those that last; handlers read them */
    uint64_t count;
    uint64_t operations; /* of a round */
    uint64_t total;      /* operations so far */

    /* Written by the first task's shard: */
    uint64_t arrived;
    bool is_over;
    uint64_t end_ns;
    sem_t over; /* hands the above to the host */
};

/* ---- For handlers -------------------------------------------------------------------------------- */

static void post(struct pawl_step *step, struct pawl_task task, uint16_t code, uint64_t arg0,
                 uint64_t arg1)
{
    pawl_step_post(step, &(struct pawl_event){.task = task, .code = code, .arg = {arg0, arg1}});
}

static void create(struct pawl_step *step, unsigned machine, unsigned shard, uint64_t arg0,
                   uint64_t arg1)
{
    struct pawl_task task;

    pawl_step_create(
        step, &(struct pawl_task_spec){.machine = machine, .shard = shard, .arg = {arg0, arg1}},
        PAWL_NO_REPLY, &task);
}

/* Only on the first task's shard. */
static void run_is_over(struct pawl_step *step)
{
    struct world *world = pawl_step_user(step);

    world->end_ns = bench_now_ns();
    world->is_over = true;
    sem_post(&world->over);
}

/* One of `wanted` has come to the first task. */
static void arrive(struct pawl_step *step, uint64_t wanted)
{
    struct world *world = pawl_step_user(step);

    if (++world->arrived == wanted)
        run_is_over(step);
}

/* ---- The world ----------------------------------------------------------------------------------- */

static void need(int error, const char *what)
{
    if (error != 0)
        bench_fail("%s: %s", what, pawl_strerror(error));
}

static void on_undelivered(void *user, const struct pawl_event *event, int reason)
{
    (void)user;
    bench_fail("event %u was not handled: %s", event->code, pawl_strerror(reason));
}

/* Lets the shards come on. */
static void give_way(struct world *world)
{
    if (world->threads)
        sched_yield();
    else
        pawl_turn(world->runtime, 0);
}

static void world_post(struct world *world, struct pawl_event event)
{
    int posted;

    while ((posted = pawl_port_post(world->port, &event, 1)) == -EAGAIN)
        give_way(world);
    if (posted < 0)
        need(posted, "posting");
}

static void world_start(struct world *world, uint64_t task, uint16_t code, uint64_t arg)
{
    world_post(world, (struct pawl_event){.task = world->tasks[task], .code = code, .arg = {arg}});
}

static void reap(struct world *world, bool creations)
{
    struct pawl_completion done[256];
    int reaped;

    give_way(world);
    while ((reaped = pawl_port_reap(world->port, done, 256)) > 0)
        for (int i = 0; i < reaped; i++) {
            need(done[i].status, "a completion");
            if (creations)
                world->tasks[done[i].tag] = done[i].task;
        }
}

static void reap_all(struct world *world, bool creations)
{
    while (pawl_port_outstanding(world->port) > 0)
        reap(world, creations);
}

static void create_tasks(struct world *world)
{
    const bool two_kinds = world->machine_count > 1;

    world->count = world->work->task_count(world);
    world->tasks = calloc(world->count, sizeof(*world->tasks));
    if (world->tasks == NULL)
        bench_fail("no memory for handles");
    for (uint64_t i = 0; i < world->count; i++) {
        const struct pawl_task_spec spec = {
            .machine = i > 0 && two_kinds,
            .shard = i == 0 ? 0 : (uint32_t)((i - two_kinds) % world->shards)};

        while (pawl_port_create(world->port, &spec, (uint32_t)i) != 0)
            reap(world, true);
    }
    reap_all(world, true);
}

static uint64_t world_round(void *state, uint64_t operations, uint64_t *ns)
{
    struct world *world = state;
    const uint64_t begin_ns = bench_now_ns();
    struct timespec until;
    uint64_t done;

    world->arrived = 0;
    world->is_over = false;
    done = world->work->begin(world, operations);
    if (!world->threads)
        while (!world->is_over)
            if (pawl_turn(world->runtime, 0) <= 0)
                bench_fail("a message was lost: the shard is idle and the run not over");
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    if (sem_timedwait(&world->over, &until) != 0)
        bench_fail("a message was lost: the run is not over after %d s", (int)WAIT_S);
    *ns = world->end_ns - begin_ns;
    world->total += done;
    if (world->work->check != NULL) {
        /* The step that said so may not have been committed. */
        if (world->threads)
            need(pawl_pause(world->runtime), "pausing");
        world->work->check(world);
        if (world->threads)
            need(pawl_resume(world->runtime), "resuming");
    }
    return done;
}

struct role {
    const struct work *work;
    unsigned shards;
    enum pawl_drive drive;
};

static void *world_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct pawl_port_options wide = {.capacity = 8192};
    const struct role *role = contender->detail;
    struct pawl_options options = PAWL_OPTIONS_INIT;
    struct world *world = calloc(1, sizeof(*world));

    if (world == NULL || sem_init(&world->over, 0, 0) != 0)
        bench_fail("no memory for %s", row->name);
    world->work = role->work;
    world->shards = role->shards;
    world->threads = role->drive == PAWL_DRIVE_THREADS;
    world->size = row->size;
    for (unsigned i = 0; i < MACHINES && role->work->machines[i] != NULL; i++) {
        need(pawl_machine_compile(role->work->machines[i], NULL, NULL, &world->machines[i]),
             role->work->machines[i]->name);
        world->machine_count++;
    }
    options.machines = (const struct pawl_machine *const *)world->machines;
    options.machine_count = world->machine_count;
    options.shards = role->shards;
    options.drive = role->drive;
    options.inflight_max = 1 << 22; /* a million of skynet's leaves are under way */
    options.user = world;
    options.on_undelivered = on_undelivered;
    bench_unpin(); /* the plan heeds the affinity of the thread that opens */
    need(pawl_open(&options, &world->runtime), "opening");
    need(pawl_start(world->runtime), "starting");
    need(pawl_port_open(world->runtime, &wide, &world->port), "opening a port");
    create_tasks(world);
    if (role->work->prepare != NULL)
        role->work->prepare(world);
    bench_pin(bench_cpu(0));
    world->operations = actor_fit(world_round, world);
    return world;
}

static void world_run(void *state, struct bench_sample *sample)
{
    struct world *world = state;
    uint64_t ns;

    sample->operations = world_round(world, world->operations, &ns);
    sample->seconds = (double)ns * 1e-9;
}

static void world_close(void *state)
{
    struct world *world = state;

    while (pawl_port_close(world->port, UINT64_MAX) == -EAGAIN)
        give_way(world);
    need(pawl_close(world->runtime), "closing");
    for (unsigned i = 0; i < world->machine_count; i++)
        pawl_machine_destroy(world->machines[i]);
    sem_destroy(&world->over);
    free(world->tasks);
    free(world);
}

/* A task's context, of at most three words. */
static void look(const struct world *world, uint64_t task, void *context, size_t size)
{
    struct pawl_view view = {.context = context, .context_capacity = size};

    need(pawl_task_peek(world->runtime, world->tasks[task], &view), "peeking");
}

static uint64_t size_tasks(const struct world *world)
{
    return world->size;
}

static uint64_t one_task(const struct world *world)
{
    (void)world;
    return 1;
}

/* ---- Rings: thread-ring, ping-pong, chain-cross -------------------------------------------------- */

enum { RING_LINK, RING_TOKEN, RING_ARRIVED };

struct ring_task {
    uint64_t next;
    uint64_t hops;
};

static void ring_link(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct ring_task *self = context;

    (void)step;
    self->next = event->arg[0];
}

static void ring_token(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct ring_task *self = context;

    self->hops++;
    if (event->arg[0] > 0)
        post(step, (struct pawl_task){self->next}, RING_TOKEN, event->arg[0] - 1, 0);
    else
        post(step, world->tasks[0], RING_ARRIVED, 0, 0);
}

static void ring_arrived(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);

    (void)context;
    (void)event;
    arrive(step, world->work->tokens);
}

static const char *const ring_events[] = {"link", "token", "arrived"};
static const struct pawl_state_def ring_states[] = {{.name = "here"}};
static const struct pawl_transition_def ring_transitions[] = {
    {.from = "here", .on = "link", .action = ring_link},
    {.from = "here", .on = "token", .action = ring_token},
    {.from = "here", .on = "arrived", .action = ring_arrived},
};
static const struct pawl_machine_def ring_def = {
    .name = "ring",
    .events = ring_events,
    .events_count = 3,
    .states = ring_states,
    .states_count = 1,
    .transitions = ring_transitions,
    .transitions_count = 3,
    .context_size = sizeof(struct ring_task),
};

static void ring_prepare(struct world *world)
{
    for (uint64_t i = 0; i < world->count; i++) {
        const struct pawl_event event = {.task = world->tasks[i],
                                         .code = RING_LINK,
                                         .flags = PAWL_EVENT_COMPLETE,
                                         .arg = {world->tasks[(i + 1) % world->count].id}};

        while (pawl_port_outstanding(world->port) > TOKENS)
            reap(world, false);
        world_post(world, event);
    }
    reap_all(world, false);
}

static uint64_t ring_begin(struct world *world, uint64_t operations)
{
    const uint64_t tokens = world->work->tokens;
    const uint64_t hops = (operations + tokens - 1) / tokens;

    for (uint64_t i = 0; i < tokens; i++)
        world_start(world, i * world->count / tokens, RING_TOKEN, hops - 1);
    return hops * tokens;
}

static void ring_check(struct world *world)
{
    uint64_t hops = 0;

    for (uint64_t i = 0; i < world->count; i++) {
        struct ring_task task = {0};

        look(world, i, &task, sizeof(task));
        hops += task.hops;
    }
    if (hops != world->total)
        bench_fail("ring: hops were lost");
}

static const struct work ring_work = {.machines = {&ring_def},
                                      .task_count = size_tasks,
                                      .prepare = ring_prepare,
                                      .begin = ring_begin,
                                      .check = ring_check,
                                      .tokens = 1};

static const struct work chain_work = {.machines = {&ring_def},
                                       .task_count = size_tasks,
                                       .prepare = ring_prepare,
                                       .begin = ring_begin,
                                       .check = ring_check,
                                       .tokens = TOKENS};

/* The limit: a call through a pointer for each hop, and nothing else. */

struct bare_task {
    struct bare_task *(*hop)(struct bare_task *self);
    struct bare_task *next;
    uint64_t hops;
};

struct bare_ring {
    struct bare_task *tasks;
    uint64_t count, operations, total;
};

static struct bare_task *bare_hop(struct bare_task *self)
{
    self->hops++;
    return self->next;
}

static struct bare_task *(*volatile const bare_hop_unknown)(struct bare_task *) = bare_hop;

static uint64_t bare_round(void *state, uint64_t operations, uint64_t *ns)
{
    struct bare_ring *ring = state;
    struct bare_task *at = ring->tasks;
    uint64_t begin = bench_now_ns();
    uint64_t hops = 0;

    for (uint64_t i = 0; i < operations; i++)
        at = at->hop(at);
    *ns = bench_now_ns() - begin;
    ring->total += operations;
    for (uint64_t i = 0; i < ring->count; i++)
        hops += ring->tasks[i].hops;
    if (hops != ring->total)
        bench_fail("the bare ring lost hops");
    return operations;
}

static void *bare_open(const struct bench_row *row, const struct bench_contender *contender)
{
    struct bare_ring *ring = calloc(1, sizeof(*ring));

    (void)contender;
    if (ring == NULL || (ring->tasks = calloc(row->size, sizeof(*ring->tasks))) == NULL)
        bench_fail("no memory for a ring");
    ring->count = row->size;
    for (uint64_t i = 0; i < ring->count; i++)
        ring->tasks[i] = (struct bare_task){.hop = bare_hop_unknown,
                                            .next = &ring->tasks[(i + 1) % ring->count]};
    ring->operations = actor_fit(bare_round, ring);
    return ring;
}

static void bare_run(void *state, struct bench_sample *sample)
{
    struct bare_ring *ring = state;
    uint64_t ns;

    sample->operations = bare_round(ring, ring->operations, &ns);
    sample->seconds = (double)ns * 1e-9;
}

static void bare_close(void *state)
{
    struct bare_ring *ring = state;

    free(ring->tasks);
    free(ring);
}

/* ---- Skynet -------------------------------------------------------------------------------------- */

enum { SKYNET_PLANT, SKYNET_SUM };
enum { SKYNET_PLANTER, SKYNET_NODE };

struct skynet_node {
    uint64_t parent;
    uint64_t sum;
    uint64_t left;
};

/* A node's number and leaves, in a word. */
static uint64_t skynet_part(uint64_t number, uint64_t leaves)
{
    return number << 32 | leaves;
}

static void skynet_plant(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    uint64_t *trees = context;

    *trees = event->arg[0];
    create(step, SKYNET_NODE, 0, pawl_step_task(step).id, skynet_part(0, world->size));
}

static void skynet_grown(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    uint64_t *trees = context;

    if (event->arg[0] != world->size * (world->size - 1) / 2)
        bench_fail("skynet: the sum is wrong");
    if (--*trees == 0)
        run_is_over(step);
    else
        create(step, SKYNET_NODE, 0, pawl_step_task(step).id, skynet_part(0, world->size));
}

static void skynet_begins(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t own = pawl_step_task(step).id;
    const uint64_t number = event->arg[1] >> 32;
    const uint64_t leaves = event->arg[1] & UINT32_MAX;
    const uint64_t part = leaves / BRANCHES;
    const bool is_top = leaves == world->size;
    struct skynet_node *self = context;

    if (leaves == 1) {
        post(step, (struct pawl_task){event->arg[0]}, SKYNET_SUM, number, 0);
        pawl_step_finish(step);
        return;
    }
    self->parent = event->arg[0];
    self->left = BRANCHES;
    /* Shards take turns with the branches of the top, which stay where they are. */
    for (unsigned i = 0; i < BRANCHES; i++)
        create(step, SKYNET_NODE, is_top ? i % world->shards : pawl_step_shard(step), own,
               skynet_part(number + i * part, part));
}

static void skynet_sum(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct skynet_node *self = context;

    self->sum += event->arg[0];
    if (--self->left > 0)
        return;
    post(step, (struct pawl_task){self->parent}, SKYNET_SUM, self->sum, 0);
    pawl_step_finish(step);
}

static const char *const skynet_events[] = {"plant", "sum"};
static const struct pawl_state_def planter_states[] = {{.name = "waits"}};
static const struct pawl_transition_def planter_transitions[] = {
    {.from = "waits", .on = "plant", .action = skynet_plant},
    {.from = "waits", .on = "sum", .action = skynet_grown},
};
static const struct pawl_machine_def planter_def = {
    .name = "planter",
    .events = skynet_events,
    .events_count = 2,
    .states = planter_states,
    .states_count = 1,
    .transitions = planter_transitions,
    .transitions_count = 2,
    .context_size = sizeof(uint64_t),
};
static const struct pawl_state_def node_states[] = {{.name = "sums", .entry = skynet_begins}};
static const struct pawl_transition_def node_transitions[] = {
    {.from = "sums", .on = "sum", .action = skynet_sum},
};
static const struct pawl_machine_def node_def = {
    .name = "node",
    .events = skynet_events,
    .events_count = 2,
    .states = node_states,
    .states_count = 1,
    .transitions = node_transitions,
    .transitions_count = 1,
    .context_size = sizeof(struct skynet_node),
};

static uint64_t skynet_begin(struct world *world, uint64_t operations)
{
    const uint64_t trees = (operations + world->size - 1) / world->size;

    world_start(world, 0, SKYNET_PLANT, trees);
    return trees * world->size;
}

/* That the tree has gone, or memory would grow from round to round. */
static void only_lasting_tasks(struct world *world)
{
    struct pawl_counters counters;

    pawl_runtime_counters(world->runtime, &counters);
    if (counters.tasks != world->count)
        bench_fail("%llu tasks did not end", (unsigned long long)(counters.tasks - world->count));
}

static const struct work skynet_work = {.machines = {&planter_def, &node_def},
                                        .task_count = one_task,
                                        .begin = skynet_begin,
                                        .check = only_lasting_tasks};

/* ---- Fan in -------------------------------------------------------------------------------------- */

enum { FAN_EXPECT, FAN_VALUE };
enum { FAN_GO, FAN_MORE };

struct fan_receiver {
    uint64_t sum;
    uint64_t wanted_sum;
    uint64_t left;
};

static void fan_expect(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct fan_receiver *self = context;
    const uint64_t each = event->arg[0];

    self->sum = 0;
    self->wanted_sum = (world->count - 1) * (each * (each - 1) / 2);
    self->left = (world->count - 1) * each;
}

static void fan_value(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct fan_receiver *self = context;

    self->sum += event->arg[0];
    if (event->arg[1] != 0)
        post(step, (struct pawl_task){event->arg[1]}, FAN_MORE, 0, 0);
    if (--self->left > 0)
        return;
    if (self->sum != self->wanted_sum)
        bench_fail("fan-in: the sum is wrong");
    run_is_over(step);
}

/* The last of a burst is answered, unless nothing is left: so few are under way. */
static void fan_burst(struct pawl_step *step, uint64_t *left)
{
    const struct world *world = pawl_step_user(step);

    for (unsigned i = 1; i <= BURST && *left > 0; i++) {
        --*left;
        post(step, world->tasks[0], FAN_VALUE, *left,
             i == BURST && *left > 0 ? pawl_step_task(step).id : 0);
    }
}

static void fan_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    uint64_t *left = context;

    *left = event->arg[0];
    fan_burst(step, left);
}

static void fan_more(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)event;
    fan_burst(step, context);
}

static const char *const fan_receiver_events[] = {"expect", "value"};
static const struct pawl_state_def fan_states[] = {{.name = "works"}};
static const struct pawl_transition_def fan_receiver_transitions[] = {
    {.from = "works", .on = "expect", .action = fan_expect},
    {.from = "works", .on = "value", .action = fan_value},
};
static const struct pawl_machine_def fan_receiver_def = {
    .name = "receiver",
    .events = fan_receiver_events,
    .events_count = 2,
    .states = fan_states,
    .states_count = 1,
    .transitions = fan_receiver_transitions,
    .transitions_count = 2,
    .context_size = sizeof(struct fan_receiver),
};
static const char *const fan_sender_events[] = {"go", "more"};
static const struct pawl_transition_def fan_sender_transitions[] = {
    {.from = "works", .on = "go", .action = fan_go},
    {.from = "works", .on = "more", .action = fan_more},
};
static const struct pawl_machine_def fan_sender_def = {
    .name = "sender",
    .events = fan_sender_events,
    .events_count = 2,
    .states = fan_states,
    .states_count = 1,
    .transitions = fan_sender_transitions,
    .transitions_count = 2,
    .context_size = sizeof(uint64_t),
};

static uint64_t fan_tasks(const struct world *world)
{
    return world->size + 1;
}

static uint64_t fan_begin(struct world *world, uint64_t operations)
{
    const uint64_t each = (operations + world->size - 1) / world->size;
    struct pawl_event expect = {
        .task = world->tasks[0], .code = FAN_EXPECT, .flags = PAWL_EVENT_COMPLETE, .arg = {each}};

    /* A sender of another shard could be faster than this. */
    world_post(world, expect);
    reap_all(world, false);
    for (uint64_t i = 1; i < world->count; i++)
        world_start(world, i, FAN_GO, each);
    return each * world->size;
}

static const struct work fan_work = {
    .machines = {&fan_receiver_def, &fan_sender_def}, .task_count = fan_tasks, .begin = fan_begin};

/* ---- Fork and join ------------------------------------------------------------------------------- */

/*
 * A step may create 256 tasks at most, so those who fork take several. There is one on each shard, who
 * makes its share there: what is made on the own shard need not travel.
 */
enum { FORK_GO, FORK_ON, FORK_VALUE };
enum { ROOT_GO, ROOT_JOINED };
enum { FORK_ROOT, FORK_FORKER, FORK_CHILD, FORKS_A_STEP = 200 };

struct forker {
    uint64_t sum;
    uint32_t next, end; /* the numbers of the children to be made */
    uint64_t left;      /* to be joined */
};

struct root {
    uint64_t sum;
    uint32_t rounds;
    uint32_t left;
    uint64_t wanted;
};

static uint64_t trivial(uint64_t number)
{
    return mix64(number) >> 32;
}

static void root_round(struct pawl_step *step, struct root *self)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t each = world->size / world->shards;

    self->sum = 0;
    self->left = world->shards;
    for (unsigned i = 0; i < world->shards; i++)
        post(step, world->tasks[1 + i], FORK_GO, i * each,
             i + 1 < world->shards ? (i + 1) * each : world->size);
}

static void root_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct root *self = context;

    if (self->wanted == 0)
        for (uint64_t i = 0; i < world->size; i++)
            self->wanted += trivial(i);
    self->rounds = (uint32_t)event->arg[0];
    root_round(step, self);
}

static void root_joined(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct root *self = context;

    self->sum += event->arg[0];
    if (--self->left > 0)
        return;
    if (self->sum != self->wanted)
        bench_fail("fork-join: the sum is wrong");
    if (--self->rounds == 0)
        run_is_over(step);
    else
        root_round(step, self);
}

static void fork_on(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct forker *self = context;

    (void)event;
    for (unsigned i = 0; i < FORKS_A_STEP && self->next < self->end; i++)
        create(step, FORK_CHILD, pawl_step_shard(step), pawl_step_task(step).id, self->next++);
    if (self->next < self->end)
        post(step, pawl_step_task(step), FORK_ON, 0, 0);
}

static void fork_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct forker *self = context;

    self->sum = 0;
    self->next = (uint32_t)event->arg[0];
    self->end = (uint32_t)event->arg[1];
    self->left = self->end - self->next;
    fork_on(step, context, event);
}

static void fork_value(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct forker *self = context;

    self->sum += event->arg[0];
    if (--self->left == 0)
        post(step, world->tasks[0], ROOT_JOINED, self->sum, 0);
}

static void child_begins(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)context;
    post(step, (struct pawl_task){event->arg[0]}, FORK_VALUE, trivial(event->arg[1]), 0);
    pawl_step_finish(step);
}

/* Never comes: a child has ended before it could wait. */
static void child_waits(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    (void)context;
    (void)event;
    bench_fail("fork-join: a child lives on");
}

static const char *const root_events[] = {"go", "joined"};
static const struct pawl_transition_def root_transitions[] = {
    {.from = "works", .on = "go", .action = root_go},
    {.from = "works", .on = "joined", .action = root_joined},
};
static const struct pawl_machine_def root_def = {
    .name = "root",
    .events = root_events,
    .events_count = 2,
    .states = fan_states,
    .states_count = 1,
    .transitions = root_transitions,
    .transitions_count = 2,
    .context_size = sizeof(struct root),
};
static const char *const forker_events[] = {"go", "on", "value"};
static const struct pawl_transition_def forker_transitions[] = {
    {.from = "works", .on = "go", .action = fork_go},
    {.from = "works", .on = "on", .action = fork_on},
    {.from = "works", .on = "value", .action = fork_value},
};
static const struct pawl_machine_def forker_def = {
    .name = "forker",
    .events = forker_events,
    .events_count = 3,
    .states = fan_states,
    .states_count = 1,
    .transitions = forker_transitions,
    .transitions_count = 3,
    .context_size = sizeof(struct forker),
};
static const char *const child_events[] = {"never"};
static const struct pawl_state_def child_states[] = {{.name = "here", .entry = child_begins}};
static const struct pawl_transition_def child_transitions[] = {
    {.from = "here", .on = "never", .action = child_waits},
};
static const struct pawl_machine_def child_def = {
    .name = "child",
    .events = child_events,
    .events_count = 1,
    .states = child_states,
    .states_count = 1,
    .transitions = child_transitions,
    .transitions_count = 1,
};

static uint64_t fork_tasks(const struct world *world)
{
    return 1 + world->shards;
}

static uint64_t fork_begin(struct world *world, uint64_t operations)
{
    const uint64_t rounds = (operations + world->size - 1) / world->size;

    world_start(world, 0, ROOT_GO, rounds);
    return rounds * world->size;
}

static const struct work fork_work = {.machines = {&root_def, &forker_def, &child_def},
                                      .task_count = fork_tasks,
                                      .begin = fork_begin,
                                      .check = only_lasting_tasks};

/* ---- Big: all to all ----------------------------------------------------------------------------- */

enum { BIG_GO, BIG_PING, BIG_PONG, BIG_READY };

struct big_task {
    uint64_t pings;
    uint64_t rounds;
    uint64_t pongs; /* to come in this round */
};

static void big_round(struct pawl_step *step, struct big_task *self)
{
    const struct world *world = pawl_step_user(step);
    const uint64_t own = pawl_step_task(step).id;

    self->pongs = world->count - 1;
    for (uint64_t i = 0; i < world->count; i++)
        if (world->tasks[i].id != own)
            pawl_step_ask(step,
                          &(struct pawl_event){
                              .task = world->tasks[i], .code = BIG_PING, .arg = {self->rounds}},
                          BIG_PONG);
}

static void big_go(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct big_task *self = context;

    self->rounds = event->arg[0];
    big_round(step, self);
}

static void big_ping(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    struct big_task *self = context;

    self->pings++;
    pawl_step_answer(step, event->arg[0]);
}

static void big_pong(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);
    struct big_task *self = context;

    if (event->arg[0] != self->rounds || event->arg[1] != 0)
        bench_fail("big: a wrong answer");
    if (--self->pongs > 0)
        return;
    if (--self->rounds > 0)
        big_round(step, self);
    else
        post(step, world->tasks[0], BIG_READY, 0, 0);
}

static void big_ready(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);

    (void)context;
    (void)event;
    arrive(step, world->count);
}

static const char *const big_events[] = {"go", "ping", "pong", "ready"};
static const struct pawl_transition_def big_transitions[] = {
    {.from = "works", .on = "go", .action = big_go},
    {.from = "works", .on = "ping", .action = big_ping},
    {.from = "works", .on = "pong", .action = big_pong},
    {.from = "works", .on = "ready", .action = big_ready},
};
static const struct pawl_machine_def big_def = {
    .name = "big",
    .events = big_events,
    .events_count = 4,
    .states = fan_states,
    .states_count = 1,
    .transitions = big_transitions,
    .transitions_count = 4,
    .context_size = sizeof(struct big_task),
};

static uint64_t big_begin(struct world *world, uint64_t operations)
{
    const uint64_t messages = 2 * world->count * (world->count - 1);
    const uint64_t rounds = (operations + messages - 1) / messages;

    for (uint64_t i = 0; i < world->count; i++)
        world_start(world, i, BIG_GO, rounds);
    return rounds * messages;
}

static void big_check(struct world *world)
{
    uint64_t pings = 0;

    for (uint64_t i = 0; i < world->count; i++) {
        struct big_task task = {0};

        look(world, i, &task, sizeof(task));
        pings += task.pings;
    }
    if (2 * pings != world->total)
        bench_fail("big: messages were lost");
}

static const struct work big_work = {
    .machines = {&big_def}, .task_count = size_tasks, .begin = big_begin, .check = big_check};

/* ---- Rows ---------------------------------------------------------------------------------------- */

#define ONE_SHARD  "one shard, turned by the calling thread"
#define TWO_SHARDS "two shards, a pinned thread each, tasks dealt out in turn"

/* A row that the actor systems run too; `limit` adds the bare loop. */
static void add_row(struct bench_row row, const struct work *work, const char *actors, bool limit,
                    const char *notes)
{
    struct bench_contender *list = calloc(OWN + ACTOR_CONTENDERS, sizeof(*list));
    struct role *roles = calloc(2, sizeof(*roles));
    unsigned count = 0;

    if (list == NULL || roles == NULL)
        bench_fail("no memory for rows");
    roles[0] = (struct role){work, 1, PAWL_DRIVE_HOST};
    roles[1] = (struct role){work, 2, PAWL_DRIVE_THREADS};
    for (unsigned i = 0; i < 2; i++)
        list[count++] = (struct bench_contender){
            .name = i == 0 ? "pawl" : "pawl-2",
            .semantics = bench_text("%s; atomic steps, readable from outside; %s",
                                    i == 0 ? ONE_SHARD : TWO_SHARDS, notes),
            .open = world_open,
            .run = world_run,
            .close = world_close,
            .detail = &roles[i]};
    if (limit)
        list[count++] = (struct bench_contender){
            .name = "limit",
            .semantics = "a call through a pointer for each hop: no queue, no turn, one thread",
            .open = bare_open,
            .run = bare_run,
            .close = bare_close};
    count += actor_contenders(list + count, actors);
    row.metric = "rate";
    row.flags = BENCH_CROSS_CORE;
    row.contenders = list;
    row.contender_count = count;
    bench_add(&row);
}

static void add_chain(void)
{
    static const struct role roles[] = {{&chain_work, 2, PAWL_DRIVE_THREADS},
                                        {&chain_work, 1, PAWL_DRIVE_THREADS}};
    static const struct bench_contender contenders[] = {
        {.name = "pawl",
         .semantics = TWO_SHARDS "; every hop goes to the other shard",
         .open = world_open,
         .run = world_run,
         .close = world_close,
         .detail = &roles[0]},
        {.name = "pawl-1",
         .semantics = "one shard with a pinned thread; every hop stays there",
         .open = world_open,
         .run = world_run,
         .close = world_close,
         .detail = &roles[1]},
    };

    bench_add(&(struct bench_row){.name = "chain-cross",
                                  .title = "4096 tokens that change the shard with each hop",
                                  .unit = "message",
                                  .metric = "rate",
                                  .size = bench_pick(1024, 65536, 65536),
                                  .flags = BENCH_CROSS_CORE,
                                  .contenders = contenders,
                                  .contender_count = 2});
}

void bench_messages_rows(void)
{
    add_row((struct bench_row){.name = "thread-ring",
                               .title = "one token round a ring of 1000 tasks",
                               .unit = "message",
                               .size = 1000},
            &ring_work, "thread_ring", true, "a turn for each hop");
    add_row((struct bench_row){.name = "ping-pong",
                               .title = "two tasks send one message to and fro",
                               .unit = "message",
                               .size = 2},
            &ring_work, "ping_pong", true, "a turn for each message");
    add_row((struct bench_row){.name = "skynet",
                               .title = "a tree of ten is made down to its leaves, and summed",
                               .unit = "actor",
                               .size = bench_pick(1000, 100000, 1000000)},
            &skynet_work, "skynet", false,
            "breadth first, so that a level of the tree is in the queue");
    add_row((struct bench_row){.name = "fan-in",
                               .title = "many senders, one receiver",
                               .unit = "message",
                               .size = bench_pick(100, 1000, 1000)},
            &fan_work, "fan_in", false,
            "bursts of 16, the last of which is answered before the next begins");
    add_row((struct bench_row){.name = "fork-join",
                               .title = "tasks are made, report and end; one waits for all",
                               .unit = "actor",
                               .size = bench_pick(1000, 10000, 10000)},
            &fork_work, "fork_join", false, "made on the shard of who makes them, one a shard");
    add_row((struct bench_row){.name = "big",
                               .title = "tasks ask each other, all at once",
                               .unit = "message",
                               .size = bench_pick(20, 100, 100)},
            &big_work, "big", false, "asked and answered by the runtime's own calls");
    add_chain();
}
