/*
 * Batches: the events of a batch are stepped in an order of the shard's own, and yet each task must see
 * those of one sender in the order sent. Numbered events of many kinds go to few tasks, which check the
 * numbers. test_batch_model.c has the second half: that every event has exactly one fate.
 *
 * PAWL_TEST_SEED=N repeats a run.
 */
#include "base/random.h"
#include "support/fixture.h"
#include "support/seed.h"

static struct fixture f;

/* Each sender numbers three streams a task: ordinary, control and deferrable events. */
enum { SENDERS = 4, KINDS = 3, STREAMS = SENDERS * KINDS, ORDER_TASKS = 320 };
enum kind { ORDINARY, CONTROL, DEFERRABLE };

struct orderly {
    uint16_t next[STREAMS];
};

static uint16_t sent[ORDER_TASKS][STREAMS];
static struct pawl_task order_tasks[ORDER_TASKS];
static unsigned misordered;
static unsigned ticks, raised;

enum order_event {
    O_PLAIN,
    O_GUARDED,
    O_STAGED,
    O_TOGGLE,
    O_TWO,
    O_WAIT,
    O_ARM,
    O_RAISE,
    O_RELAY,
    O_TICK,
    O_RAISED
};
static const char *const order_events[] = {"plain", "guarded", "staged", "toggle", "two",   "wait",
                                           "arm",   "raise",   "relay",  "tick",   "raised"};
static const char *const order_raises[] = {"raised", NULL};
static const char *const order_defers[] = {"wait", NULL};

/* arg[0]: stream:8 | number:16. */
static void check(void *context, const struct pawl_event *event)
{
    struct orderly *const orderly = context;
    const unsigned stream = (unsigned)(event->arg[0] >> 16) & 0xff;

    if (orderly->next[stream] != (uint16_t)event->arg[0]) {
        if (misordered++ < 5)
            fprintf(stderr, "task %llx stream %u: %u came in place of %u (%s)\n",
                    (unsigned long long)event->task.id, stream, (unsigned)(uint16_t)event->arg[0],
                    orderly->next[stream], order_events[event->code]);
    }
    orderly->next[stream] = (uint16_t)(event->arg[0] + 1);
}

static void order_note(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step;
    check(context, event);
}

static void order_staged(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    check(context, event);
    pawl_step_answer(step, event->arg[0]);
}

static void order_arm(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    check(context, event);
    pawl_step_arm(step, 0, event->arg[1] * FIXTURE_MS);
}

static void order_raise(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    check(context, event);
    cr_assert_eq(pawl_step_raise(step, O_RAISED, 0, 0), 0);
}

/* arg[1]: which task, by which kind of event; the relay is sender 3 and numbers what it sends. */
static void order_relay(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    const unsigned to = (unsigned)event->arg[1] % ORDER_TASKS;
    const enum kind kind = (enum kind)(event->arg[1] >> 32);
    const unsigned stream = 3 * KINDS + kind;

    cr_assert_eq(
        pawl_step_post(step,
                       &(struct pawl_event){.task = order_tasks[to],
                                            .code = kind == DEFERRABLE ? O_WAIT : O_PLAIN,
                                            .flags = kind == CONTROL ? PAWL_EVENT_CONTROL : 0,
                                            .arg = {(uint64_t)stream << 16 | sent[to][stream]}}),
        0);
    sent[to][stream]++;
    (void)context;
}

static void order_count(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context;
    if (event->code == O_TICK)
        ticks++;
    else
        raised++;
}

static void order_entry(struct pawl_step *step, void *context, const struct pawl_event *event)
{
    (void)step, (void)context, (void)event;
}

static const struct pawl_state_def order_states[] = {
    {.name = "any", .initial = "shut"},
    {.name = "shut", .parent = "any", .defers = order_defers},
    {.name = "open", .parent = "any"},
};
static const struct pawl_timer_def order_timers[] = {{"t", "tick"}};
static const struct pawl_transition_def order_transitions[] = {
    {.from = "any", .on = "plain", .action = order_note},
    {.from = "any", .on = "guarded", .guard = puppet_always, .action = order_note},
    {.from = "any", .on = "staged", .action = order_staged},
    {.from = "shut", .on = "toggle", .to = "open", .action = order_note},
    {.from = "open", .on = "toggle", .to = "shut", .action = order_note},
    {.from = "open", .on = "wait", .action = order_note},
    {.from = "any", .on = "two", .to = "any", .action = order_note},
    {.from = "any", .on = "arm", .action = order_arm},
    {.from = "any", .on = "raise", .action = order_raise, .raises = order_raises},
    {.from = "any", .on = "relay", .action = order_relay},
    {.from = "any", .on = "tick", .action = order_count},
    {.from = "any", .on = "raised", .action = order_count},
};

static struct pawl_machine_def order_machine(size_t context_size, bool entry)
{
    static struct pawl_state_def states[3];

    memcpy(states, order_states, sizeof(states));
    if (entry)
        states[2].entry = order_entry; /* two functions: not the short way */
    return (struct pawl_machine_def){.name = "orderly",
                                     FIXTURE_TABLE(events, order_events),
                                     FIXTURE_TABLE(states, states),
                                     FIXTURE_TABLE(transitions, order_transitions),
                                     FIXTURE_TABLE(timers, order_timers),
                                     .context_size = context_size,
                                     .deferred_max = 60000};
}

struct order_run {
    unsigned tasks;
    unsigned shards;
    size_t context_size;
    bool entry;
    uint32_t port_capacity;
    uint32_t exchange_ring;
    unsigned events;
};

static struct pawl_event numbered(struct random *random, unsigned sender, unsigned to)
{
    static const uint16_t codes[] = {O_PLAIN, O_PLAIN,  O_GUARDED, O_STAGED, O_TOGGLE,
                                     O_TWO,   O_TOGGLE, O_ARM,     O_RAISE,  O_PLAIN};
    const enum kind kind = (enum kind)(random_below(random, 8) >= 6 ? random_below(random, 3) : 0);
    const unsigned stream = sender * KINDS + kind;
    struct pawl_event event = {
        .task = order_tasks[to],
        .code = kind == DEFERRABLE ? O_WAIT : codes[random_below(random, 10)],
        .flags = kind == CONTROL ? PAWL_EVENT_CONTROL : 0,
        .arg = {(uint64_t)stream << 16 | sent[to][stream], 1 + random_below(random, 20)}};

    return event;
}

/* Posts a portion of events for random tasks, as a batch where it is one. */
static void order_post(const struct order_run *run, struct random *random, struct pawl_port *second,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const unsigned to = (unsigned)random_below(random, run->tasks);
        const unsigned sender = (unsigned)random_below(random, SENDERS);
        struct pawl_event event;
        int posted;

        if (sender == 3) {
            event = (struct pawl_event){.task = order_tasks[ORDER_TASKS - 1],
                                        .code = O_RELAY,
                                        .arg = {0, random_below(random, 3) << 32 | to}};
            posted = pawl_port_post(f.port, &event, 1);
        } else {
            event = numbered(random, sender, to);
            posted = sender == 0   ? pawl_port_post(f.port, &event, 1)
                     : sender == 1 ? pawl_port_post(second, &event, 1)
                                   : pawl_task_post(f.runtime, &event, 1);
            if (posted == 1)
                sent[to][event.arg[0] >> 16 & 0xff]++;
        }
        cr_assert(posted == 1 || posted == -EAGAIN);
        if (posted == -EAGAIN)
            fixture_turn(&f);
    }
}

static void check_order(const struct order_run *run, uint64_t seed)
{
    static const unsigned portions[] = {1, 2, 3, 255, 256, 257, 511, 512, 513, 700};
    const struct pawl_machine_def definition = order_machine(run->context_size, run->entry);
    struct random random = {seed};
    struct pawl_port *second;
    struct orderly last;
    unsigned posted = 0;

    fixture_open(&f, &(struct fixture_options){.machines = {&definition},
                                               .shards = run->shards,
                                               .port_capacity = run->port_capacity,
                                               .exchange_ring = run->exchange_ring,
                                               .seed = seed + 1});
    cr_assert_eq(pawl_port_open(f.runtime, &(struct pawl_port_options){.capacity = 512}, &second),
                 0);
    memset(sent, 0, sizeof(sent));
    misordered = ticks = raised = 0;
    for (unsigned i = 0; i < ORDER_TASKS; i++)
        if (i < run->tasks || i == ORDER_TASKS - 1)
            order_tasks[i] = fixture_create(&f, 0, i % run->shards);
    while (posted < run->events) {
        const unsigned portion = portions[random_below(&random, 10)];

        order_post(run, &random, second, portion);
        posted += portion;
        switch (random_below(&random, 4)) {
        case 0:
            fixture_turn(&f);
            break;
        case 1:
            fixture_run(&f);
            break;
        case 2:
            fixture_jump(&f, random_below(&random, 30) * FIXTURE_MS);
            break;
        case 3:
            break;
        }
    }
    fixture_run(&f);
    fixture_jump(&f, FIXTURE_SECOND);
    for (unsigned i = 0; i < run->tasks; i++) {
        const unsigned stream = 0;

        if (fixture_state(&f, order_tasks[i]) == 1) { /* lets the deferred ones go */
            fixture_send(&f, order_tasks[i], O_TOGGLE, (uint64_t)stream << 16 | sent[i][stream]);
            sent[i][stream]++;
            fixture_run(&f);
        }
        fixture_view(&f, order_tasks[i], &last, sizeof(last));
        cr_assert(memcmp(last.next, sent[i], sizeof(last.next)) == 0,
                  "task %u has not had all of its events", i);
    }
    cr_assert_eq(misordered, 0, "%u events came out of order", misordered);
    cr_assert_eq(f.undelivered_count, 0, "the first: %d", f.undelivered[0].reason);
    cr_assert(raised > 0 && ticks > 0);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(pawl_port_close(second, 0), 0);
    fixture_close(&f);
}

Test(batch, few_tasks_with_many_events_see_them_in_order)
{
    const uint64_t seed = test_seed(11);

    for (unsigned tasks = 1; tasks <= 7; tasks++)
        check_order(&(struct order_run){.tasks = tasks,
                                        .shards = 1,
                                        .context_size = sizeof(struct orderly),
                                        .entry = tasks % 2,
                                        .port_capacity = 1024,
                                        .events = 8000},
                    seed + tasks);
}

Test(batch, many_tasks_see_their_events_in_order)
{
    const uint64_t seed = test_seed(12);

    check_order(&(struct order_run){.tasks = 300,
                                    .shards = 1,
                                    .context_size = sizeof(struct orderly),
                                    .port_capacity = 1024,
                                    .events = 40000},
                seed);
    check_order(&(struct order_run){.tasks = 100,
                                    .shards = 1,
                                    .context_size = 4096,
                                    .entry = true,
                                    .port_capacity = 4096,
                                    .events = 20000},
                seed + 1);
}

Test(batch, order_holds_across_shards_with_small_rings)
{
    const uint64_t seed = test_seed(13);

    for (unsigned shards = 2; shards <= 3; shards++)
        for (uint32_t exchange_ring = 2; exchange_ring <= 512; exchange_ring *= 16)
            check_order(&(struct order_run){.tasks = 20,
                                            .shards = shards,
                                            .context_size = shards == 2 ? 24 : 200,
                                            .port_capacity = 64,
                                            .exchange_ring = exchange_ring,
                                            .events = 8000},
                        seed + shards * 1000 + exchange_ring);
}
