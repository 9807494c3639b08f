/*
 * bench_messages.c - works that actor systems are measured by (messages.h): tokens on rings of tasks.
 *
 *   thread-ring   one token round a ring of a thousand; an operation is a hop
 *   ping-pong     the same with two
 *   chain-cross   4096 tokens on a ring whose neighbours live on different shards: Pawl alone
 */
#include <stdlib.h>

#include "messages.h"
#include "peers/actors.h"
#include "rows.h"

enum { TOKENS = 4096 };

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
        message_post(step, (struct pawl_task){self->next}, RING_TOKEN, event->arg[0] - 1, 0);
    else
        message_post(step, world->tasks[0], RING_ARRIVED, 0, 0);
}

static void ring_arrived(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const struct world *world = pawl_step_user(step);

    (void)context;
    (void)event;
    message_arrive(step, world->work->tokens);
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
            world_reap(world, false);
        world_post(world, event);
    }
    world_reap_all(world, false);
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

        world_look(world, i, &task, sizeof(task));
        hops += task.hops;
    }
    if (hops != world->total)
        bench_fail("ring: hops were lost");
}

static const struct message_work ring_work = {.machines = {&ring_def},
                                              .task_count = world_size,
                                              .prepare = ring_prepare,
                                              .begin = ring_begin,
                                              .check = ring_check,
                                              .tokens = 1};

static const struct message_work chain_work = {.machines = {&ring_def},
                                               .task_count = world_size,
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

/* ---- Rows ---------------------------------------------------------------------------------------- */

static const struct bench_contender limit = {
    .name = "limit",
    .semantics = "a call through a pointer for each hop: no queue, no turn, one thread",
    .open = bare_open,
    .run = bare_run,
    .close = bare_close};

static void add_chain(void)
{
    static const struct message_role roles[] = {{&chain_work, 2, PAWL_DRIVE_THREADS},
                                                {&chain_work, 1, PAWL_DRIVE_THREADS}};
    static const struct bench_contender contenders[] = {
        {.name = "pawl",
         .semantics = MESSAGE_TWO_SHARDS "; every hop goes to the other shard",
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
    message_row((struct bench_row){.name = "thread-ring",
                                   .title = "one token round a ring of 1000 tasks",
                                   .unit = "message",
                                   .size = 1000},
                &ring_work, "thread_ring", &limit, "a turn for each hop");
    message_row((struct bench_row){.name = "ping-pong",
                                   .title = "two tasks send one message to and fro",
                                   .unit = "message",
                                   .size = 2},
                &ring_work, "ping_pong", &limit, "a turn for each message");
    add_chain();
}
