/*
 * stress_exchange.c - more shards than cores, rings of every size between them, and three kinds of
 * traffic at once: chains that go to and fro, ordinary and control, and sequences from every shard to
 * every shard. Each runtime is drained: afterwards every event must have been handled, in order.
 *
 *     stress_exchange [SCALE [SEED]]      SCALE multiplies the runtimes, 1 by default
 */
#define FIXTURE_WITHOUT_TESTS
#include "support/threads_fixture.h"

#include <sched.h>

#include "base/random.h"

#define SHARDS_MOST 5u
#define RUNTIMES    16u
#define CHAINS      40u
#define ROUNDS      12u

struct load {
    struct world *world;
    struct random random;
    unsigned shards;
    struct pawl_task from[SHARDS_MOST * SHARDS_MOST];
    struct pawl_task to[SHARDS_MOST * SHARDS_MOST];
    struct pawl_task walkers[CHAINS];
    uint32_t sent[SHARDS_MOST * SHARDS_MOST];
    uint64_t expected;
};

static void open_load(struct load *load, uint64_t seed)
{
    static const uint32_t rings[] = {1, 2, 4, 16, 64, 256};
    struct world *world;

    memset(load, 0, sizeof(*load));
    load->random.state = seed;
    load->shards = 2 + (unsigned)random_below(&load->random, SHARDS_MOST - 1);
    world = world_create(PAWL_DRIVE_THREADS, load->shards);
    world->options.exchange_ring = rings[random_below(&load->random, 6)];
    world->options.spin_ns = random_below(&load->random, 2) == 0 ? 1 : 0;
    world_open(world);
    cr_assert(pawl_start(world->runtime) == 0);
    load->world = world;
    for (unsigned p = 0; p < load->shards * load->shards; p++) {
        load->from[p] = create_on(world, MACHINE_PROBE, p / load->shards);
        load->to[p] = create_on(world, MACHINE_WIDE, p % load->shards);
    }
    for (unsigned i = 0; i < CHAINS; i++)
        load->walkers[i] =
            create_on(world, MACHINE_PROBE, (unsigned)random_below(&load->random, load->shards));
}

/* Every hop is a hit. */
static void start_chain(struct load *load)
{
    struct pawl_event event =
        event_to(load->walkers[random_below(&load->random, CHAINS)], EV_CHAIN);

    event.arg[0] = load->walkers[random_below(&load->random, CHAINS)].id;
    event.arg[1] = random_below(&load->random, 60);
    if (random_below(&load->random, 3) == 0)
        event.flags = PAWL_EVENT_CONTROL;
    cr_assert(post_one_event(load->world->runtime, &event));
    load->expected += event.arg[1] + 1;
}

/* The pair's first task posts the next so many numbers to its second. */
static void start_sequence(struct load *load, unsigned pair)
{
    struct pawl_event event = event_to(load->from[pair], EV_FAN);

    event.arg[0] = load->to[pair].id;
    event.arg[1] = 1 + random_below(&load->random, 100);
    event.tag = load->sent[pair];
    cr_assert(post_one_event(load->world->runtime, &event));
    load->sent[pair] += (uint32_t)event.arg[1];
    load->expected += event.arg[1];
}

static bool run_load(uint64_t seed, uint64_t *events)
{
    struct load load;
    struct pawl_drain_report report;
    struct pawl_counters counters;
    struct probe *probe;
    int drained;
    bool ok;

    open_load(&load, seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CHAINS; i++)
            start_chain(&load);
        for (unsigned p = 0; p < load.shards * load.shards; p++)
            start_sequence(&load, p);
        if (random_below(&load.random, 4) == 0)
            nap_briefly();
    }
    probe = &load.world->probe;
    drained = pawl_drain(load.world->runtime, UINT64_MAX, &report);
    ok = drained == 0 && load_acquire(&probe->hits) == load.expected &&
         load_acquire(&probe->disorder) == 0 && load_acquire(&probe->undelivered) == 0;
    cr_assert(pawl_stop(load.world->runtime) == 0);
    counters = counters_of(load.world);
    ok = ok && counters.inflight == 0 && counters.aborted == 0 &&
         load_acquire(&probe->hits) == load.expected;
    if (!ok)
        printf("seed %llu: drain %d, %llu events of %llu, %llu misordered, %llu undelivered, %llu "
               "in flight\n",
               (unsigned long long)seed, drained, (unsigned long long)load_acquire(&probe->hits),
               (unsigned long long)load.expected,
               (unsigned long long)load_acquire(&probe->disorder),
               (unsigned long long)load_acquire(&probe->undelivered),
               (unsigned long long)counters.inflight);
    *events += load.expected;
    world_close(load.world);
    return ok;
}

int main(int argc, char **argv)
{
    const unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    uint64_t events = 0;
    bool ok = true;

    printf("stress_exchange: seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < RUNTIMES * scale; i++)
        ok = run_load(mix64(seed + i), &events) && ok;
    printf("%u runtimes, %llu events: %s\n", RUNTIMES * scale, (unsigned long long)events,
           ok ? "passed" : "FAILED");
    return ok ? 0 : 1;
}
