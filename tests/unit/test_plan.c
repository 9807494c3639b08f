/*
 * test_plan.c - where threads go: on machines written down as lists of cpus, on random ones, and on
 * two that hwloc makes up. A plan is arithmetic: nothing here depends on the machine it runs on.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/random.h"
#include "host/plan.h"
#include "support/test.h"

/* How a machine is built: every level as often as said. */
struct shape {
    unsigned packages, nodes, caches, cores, threads;
    bool hybrid; /* every second L3 group has slow cores with one thread */
};

static struct pawl_topology *build(struct shape shape)
{
    const unsigned groups = shape.packages * shape.nodes * shape.caches;
    const size_t most = (size_t)groups * shape.cores * shape.threads;
    struct pawl_topology *machine = calloc(1, sizeof(*machine) + most * sizeof(machine->pus[0]));
    const unsigned cores = groups * shape.cores;

    cr_assert(machine != NULL);
    for (unsigned core = 0; core < cores; core++) {
        const unsigned l3 = core / shape.cores;
        const bool slow = shape.hybrid && l3 % 2;

        for (unsigned smt = 0; smt < (slow ? 1 : shape.threads); smt++)
            machine->pus[machine->pu_count++] = (struct pu){
                .os = core + smt * cores, /* as Linux numbers siblings on most machines */
                .package = l3 / shape.caches / shape.nodes,
                .node = l3 / shape.caches,
                .node_os = 10 + l3 / shape.caches,
                .l3 = l3,
                .core = core,
                .kind = slow,
                .smt = smt,
            };
    }
    return machine;
}

static struct pawl_plan *plan_for(const struct pawl_topology *machine, unsigned shards,
                                  unsigned io_threads, bool monitor)
{
    const struct pawl_plan_request request = {
        .shards = shards, .io_threads = io_threads, .monitor = monitor};
    struct pawl_plan *plan = NULL;
    const int rc = pawl_plan_create(machine, &request, &plan);

    cr_assert(rc == 0, "%d", rc);
    return plan;
}

static struct pawl_plan *plan_shape(struct shape shape, unsigned shards, unsigned io_threads,
                                    bool monitor)
{
    struct pawl_topology *machine = build(shape);
    struct pawl_plan *plan = plan_for(machine, shards, io_threads, monitor);

    free(machine); /* a plan does not need it any more */
    return plan;
}

static struct pawl_plan *plan_synthetic(const char *text, unsigned shards)
{
    struct pawl_topology *topology = NULL;
    struct pawl_plan *plan;
    int rc = pawl_topology_open(&(struct pawl_topology_source){.synthetic = text}, &topology);

    cr_assert(rc == 0, "%d", rc);
    plan = plan_for(topology, shards, 1, true);
    pawl_topology_close(topology);
    return plan;
}

Test(plan, leaves_a_core_of_128_for_housekeeping)
{
    struct pawl_plan *plan = plan_synthetic("pack:2 numa:1 l3:8 core:8 pu:1", 0);

    cr_assert_eq(pawl_plan_shards(plan), 127);
    for (unsigned s = 0; s < 127; s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);

        cr_assert_eq(place->why, PAWL_PLACE_CORE);
        cr_assert_eq(place->cpu_count, 1);
        cr_assert_eq(place->cpus[0], s);
        cr_assert_eq(place->core, s);
        cr_assert_eq(place->l3, s / 8);
        cr_assert_eq(place->node, s / 64);
        cr_assert_eq(place->package, s / 64);
        cr_assert_eq(place->beside, PAWL_PLACE_NONE);
    }
    cr_assert_eq(pawl_plan_monitor(plan)->why, PAWL_PLACE_HOUSEKEEPING);
    cr_assert_eq(pawl_plan_monitor(plan)->cpus[0], 127);
    cr_assert_eq(pawl_plan_io(plan, 0)->why, PAWL_PLACE_HOUSEKEEPING);
    cr_assert_eq(pawl_plan_io(plan, 0)->cpus[0], 127);
    cr_assert(pawl_plan_shard(plan, 127) == NULL);
    cr_assert(pawl_plan_io(plan, 1) == NULL);
    pawl_plan_destroy(plan);
}

Test(plan, leaves_no_core_when_asked_for_all_or_when_there_is_nobody_to_use_it)
{
    struct pawl_plan *all = plan_synthetic("pack:2 numa:1 l3:8 core:8 pu:1", 128);
    struct pawl_plan *alone = plan_shape((struct shape){1, 1, 1, 8, 1, false}, 0, 0, false);
    struct pawl_plan *small = plan_shape((struct shape){1, 1, 1, 7, 1, false}, 0, 1, true);

    cr_assert_eq(pawl_plan_shards(all), 128);
    cr_assert_eq(pawl_plan_monitor(all)->why, PAWL_PLACE_FLOATING);
    cr_assert_eq(pawl_plan_monitor(all)->cpu_count, 128);
    cr_assert_eq(pawl_plan_shards(alone), 8);
    cr_assert(pawl_plan_monitor(alone) == NULL);
    cr_assert_eq(pawl_plan_shards(small), 7);
    pawl_plan_destroy(small);
    pawl_plan_destroy(alone);
    pawl_plan_destroy(all);
}

Test(plan, puts_the_others_on_siblings_near_their_shards)
{
    struct pawl_plan *plan = plan_synthetic("pack:1 l3:2 core:4 pu:2", 0);
    const struct pawl_placement *monitor = pawl_plan_monitor(plan), *io = pawl_plan_io(plan, 0);

    cr_assert_eq(pawl_plan_shards(plan), 8);
    for (unsigned s = 0; s < 8; s++) {
        cr_assert_eq(pawl_plan_shard(plan, s)->cpus[0], 2 * s);
        cr_assert(!pawl_plan_shard(plan, s)->shares_core, "the other is no shard");
    }
    cr_assert_eq(monitor->why, PAWL_PLACE_SIBLING);
    cr_assert_eq(monitor->beside, 7);
    cr_assert_eq(monitor->cpus[0], 15);
    cr_assert_eq(io->why, PAWL_PLACE_SIBLING);
    cr_assert_eq(io->beside, 0);
    cr_assert_eq(io->cpus[0], 1);
    pawl_plan_destroy(plan);
}

Test(plan, numbers_siblings_as_neighbours_when_shards_exceed_cores)
{
    struct pawl_plan *plan = plan_shape((struct shape){1, 1, 1, 4, 2, false}, 6, 0, true);
    static const unsigned cores[] = {0, 0, 1, 1, 2, 3};

    for (unsigned s = 0; s < 6; s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);

        cr_assert_eq(place->core, cores[s]);
        cr_assert_eq(place->shares_core, s < 4);
        cr_assert_eq(place->beside, s < 4 ? (s ^ 1) : PAWL_PLACE_NONE);
        cr_assert_eq(place->why, s < 4 && s % 2 ? PAWL_PLACE_SIBLING : PAWL_PLACE_CORE);
        cr_assert(!place->oversubscribed);
    }
    cr_assert_eq(pawl_plan_monitor(plan)->beside, 5, "a sibling is left on core 3");
    pawl_plan_destroy(plan);
}

Test(plan, fits_a_single_cpu)
{
    struct pawl_plan *plan = plan_shape((struct shape){1, 1, 1, 1, 1, false}, 0, 2, true);

    cr_assert_eq(pawl_plan_shards(plan), 1);
    cr_assert_eq(pawl_plan_shard(plan, 0)->why, PAWL_PLACE_CORE);
    cr_assert_eq(pawl_plan_monitor(plan)->why, PAWL_PLACE_FLOATING);
    cr_assert_eq(pawl_plan_monitor(plan)->cpu_count, 1);
    cr_assert_eq(pawl_plan_io(plan, 1)->why, PAWL_PLACE_FLOATING);
    pawl_plan_destroy(plan);
}

Test(plan, uses_the_second_of_two_cores_when_one_shard_is_asked)
{
    struct pawl_plan *both = plan_shape((struct shape){1, 1, 1, 2, 1, false}, 0, 1, true);
    struct pawl_plan *one = plan_shape((struct shape){1, 1, 1, 2, 1, false}, 1, 1, true);

    cr_assert_eq(pawl_plan_shards(both), 2);
    cr_assert_eq(pawl_plan_monitor(both)->why, PAWL_PLACE_FLOATING);
    cr_assert_eq(pawl_plan_monitor(both)->cpu_count, 2);
    cr_assert_eq(pawl_plan_monitor(one)->why, PAWL_PLACE_HOUSEKEEPING);
    cr_assert_eq(pawl_plan_monitor(one)->cpus[0], 1);
    cr_assert_eq(pawl_plan_io(one, 0)->cpus[0], 1);
    pawl_plan_destroy(one);
    pawl_plan_destroy(both);
}

Test(plan, goes_round_when_shards_exceed_cpus)
{
    struct pawl_plan *plan = plan_shape((struct shape){1, 1, 1, 4, 1, false}, 6, 0, true);

    for (unsigned s = 0; s < 6; s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);

        cr_assert_eq(place->cpus[0], s % 4);
        cr_assert_eq(place->oversubscribed, s % 4 < 2);
        cr_assert_eq(place->why, s < 4 ? PAWL_PLACE_CORE : PAWL_PLACE_SHARED);
    }
    cr_assert_eq(pawl_plan_monitor(plan)->why, PAWL_PLACE_FLOATING);
    pawl_plan_destroy(plan);
}

Test(plan, takes_fast_cores_first_and_keeps_house_on_a_slow_one)
{
    /* Cores 0-3 and 8-11 are fast, 4-7 and 12-15 slow; no SMT anywhere. */
    struct pawl_plan *plan = plan_shape((struct shape){1, 1, 4, 4, 1, true}, 0, 1, true);
    static const unsigned cores[] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14};

    cr_assert_eq(pawl_plan_shards(plan), 15);
    for (unsigned s = 0; s < 15; s++) {
        cr_assert_eq(pawl_plan_shard(plan, s)->core, cores[s]);
        cr_assert_eq(pawl_plan_shard(plan, s)->kind, s >= 8);
    }
    cr_assert_eq(pawl_plan_monitor(plan)->core, 15);
    cr_assert_eq(pawl_plan_monitor(plan)->kind, 1);
    pawl_plan_destroy(plan);
}

Test(plan, takes_slow_cores_before_siblings_of_fast_ones)
{
    struct pawl_plan *plan = plan_shape((struct shape){1, 1, 2, 4, 2, true}, 0, 1, true);

    cr_assert_eq(pawl_plan_shards(plan), 8);
    for (unsigned s = 0; s < 8; s++)
        cr_assert_eq(pawl_plan_shard(plan, s)->core, s);
    cr_assert_eq(pawl_plan_io(plan, 0)->why, PAWL_PLACE_SIBLING);
    cr_assert_eq(pawl_plan_io(plan, 0)->beside, 0);
    pawl_plan_destroy(plan);
}

Test(plan, spreads_io_threads_to_the_nodes_they_serve)
{
    struct pawl_plan *plan = plan_shape((struct shape){2, 2, 2, 4, 2, false}, 0, 4, true);

    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pawl_plan_io(plan, i)->node, 10 + i, "the system's number of the node");
    cr_assert_eq(pawl_plan_monitor(plan)->beside, 31);
    pawl_plan_destroy(plan);
}

Test(plan, never_has_more_shards_than_a_runtime)
{
    struct pawl_plan *plan = plan_shape((struct shape){2, 4, 10, 16, 1, false}, 0, 1, true);

    cr_assert_eq(pawl_plan_shards(plan), SHARDS_MAX);
    cr_assert_eq(pawl_plan_monitor(plan)->why, PAWL_PLACE_HOUSEKEEPING);
    pawl_plan_destroy(plan);
}

Test(plan, refuses_numbers_out_of_range)
{
    struct pawl_topology *machine = build((struct shape){1, 1, 1, 2, 1, false});
    struct pawl_plan_request request = {.shards = SHARDS_MAX + 1};
    struct pawl_plan *plan = NULL;

    cr_assert_eq(pawl_plan_create(machine, &request, &plan), -EINVAL);
    request = (struct pawl_plan_request){.io_threads = IO_THREADS_MAX + 1};
    cr_assert_eq(pawl_plan_create(machine, &request, &plan), -EINVAL);
    request = (struct pawl_plan_request){.shards = SHARDS_MAX, .io_threads = IO_THREADS_MAX};
    cr_assert_eq(pawl_plan_create(NULL, &request, &plan), -EINVAL);
    cr_assert_eq(pawl_plan_create(machine, NULL, &plan), -EINVAL);
    cr_assert_eq(pawl_plan_create(machine, &request, NULL), -EINVAL);
    cr_assert(plan == NULL);
    cr_assert_eq(pawl_plan_create(machine, &request, &plan), 0);
    pawl_plan_destroy(plan);
    pawl_plan_destroy(NULL);
    free(machine);
}

/* ---- random machines ------------------------------------------------------------------------- */

struct census {
    unsigned *on_cpu, *on_core; /* shards, by the system's number and by core */
    unsigned cores, cores_used, cpus_used;
    unsigned *others_on_cpu, others_most; /* other threads, by the system's number of the cpu */
    bool others_off_siblings;
};

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static struct census count_shards_on(const struct pawl_plan *plan)
{
    const struct pu *last = &plan->pus[plan->pu_count - 1];
    const unsigned highest = plan->allowed[plan->pu_count - 1];
    struct census census = {.cores = last->core + 1};

    census.on_cpu = calloc(highest + 1, sizeof(unsigned));
    census.on_core = calloc(census.cores, sizeof(unsigned));
    census.others_on_cpu = calloc(highest + 1, sizeof(unsigned));
    cr_assert(census.on_cpu && census.on_core && census.others_on_cpu);
    for (unsigned s = 0; s < pawl_plan_shards(plan); s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);

        cr_assert_eq(place->cpu_count, 1);
        census.cpus_used += census.on_cpu[place->cpus[0]]++ == 0;
        census.cores_used += census.on_core[place->core]++ == 0;
    }
    return census;
}

static void check_shards(const struct pawl_plan *plan, const struct census *census, bool hybrid)
{
    const unsigned shards = pawl_plan_shards(plan);

    cr_assert_eq(census->cpus_used, smaller(shards, plan->pu_count), "cpus before sharing");
    cr_assert_eq(census->cores_used, smaller(shards, census->cores), "cores before siblings");
    for (unsigned s = 0; s < shards; s++) {
        const struct pawl_placement *place = pawl_plan_shard(plan, s);
        const struct pawl_placement *last = s ? pawl_plan_shard(plan, s - 1) : NULL;

        cr_assert_eq(place->oversubscribed, census->on_cpu[place->cpus[0]] > 1);
        cr_assert_eq(place->shares_core, census->on_core[place->core] > 1);
        cr_assert_eq(place->beside != PAWL_PLACE_NONE, place->shares_core);
        if (place->shares_core) {
            cr_assert(place->beside != s && place->beside < shards);
            cr_assert_eq(pawl_plan_shard(plan, place->beside)->core, place->core);
        }
        cr_assert(census->on_cpu[place->cpus[0]] <= shards / plan->pu_count + 1, "even load");
        if (last && s < plan->pu_count) {
            cr_assert(place->kind >= last->kind, "fast cores first");
            if (!hybrid)
                cr_assert(place->core >= last->core && place->l3 >= last->l3 &&
                              place->node >= last->node && place->package >= last->package,
                          "neighbours are near");
        }
    }
}

static void check_other(const struct pawl_plan *plan, struct census *census,
                        const struct pawl_placement *place)
{
    cr_assert_eq(place->why == PAWL_PLACE_FLOATING, census->cpus_used == plan->pu_count);
    if (place->why == PAWL_PLACE_FLOATING) {
        cr_assert_eq(place->cpu_count, plan->pu_count);
        for (unsigned i = 1; i < place->cpu_count; i++)
            cr_assert(place->cpus[i - 1] < place->cpus[i], "ascending");
        return;
    }
    cr_assert_eq(place->cpu_count, 1);
    cr_assert(census->on_cpu[place->cpus[0]] == 0, "pinned on top of a shard");
    cr_assert_eq(place->shares_core, census->on_core[place->core] > 0);
    cr_assert_eq(place->why, place->shares_core ? PAWL_PLACE_SIBLING : PAWL_PLACE_HOUSEKEEPING);
    census->others_on_cpu[place->cpus[0]]++;
    census->others_most = larger(census->others_most, census->others_on_cpu[place->cpus[0]]);
    census->others_off_siblings |= place->why == PAWL_PLACE_HOUSEKEEPING;
}

/* Nobody shares a cpu, or leaves the siblings, while there is a better one. */
static void check_others_together(const struct pawl_plan *plan, const struct census *census)
{
    for (unsigned i = 0; i < plan->pu_count; i++) {
        const struct pu *pu = &plan->pus[i];
        const bool sibling = census->on_core[pu->core] > 0;

        if (census->on_cpu[pu->os])
            continue;
        cr_assert(census->others_on_cpu[pu->os] + 1 >= census->others_most, "even load");
        if (sibling && census->others_off_siblings)
            cr_assert(census->others_on_cpu[pu->os] > 0, "siblings first");
    }
}

Test(plan, keeps_its_rules_on_random_machines)
{
    const uint64_t seed = 4711;
    struct random random = {.state = seed};

    for (int round = 0; round < 300; round++) {
        const struct shape shape = {
            .packages = 1 + (unsigned)random_below(&random, 3),
            .nodes = 1 + (unsigned)random_below(&random, 3),
            .caches = 1 + (unsigned)random_below(&random, 4),
            .cores = 1 + (unsigned)random_below(&random, 12),
            .threads = 1 + (unsigned)random_below(&random, 3),
            .hybrid = random_below(&random, 4) == 0,
        };
        const unsigned cores = shape.packages * shape.nodes * shape.caches * shape.cores;
        const unsigned most = smaller(3 * cores * shape.threads, SHARDS_MAX) + 1;
        const unsigned shards = (unsigned)random_below(&random, most);
        const unsigned io = (unsigned)random_below(&random, 8);
        const bool monitor = random_below(&random, 2);
        struct pawl_plan *plan = plan_shape(shape, shards, io, monitor);
        struct census census = count_shards_on(plan);

        if (shards)
            cr_assert_eq(pawl_plan_shards(plan), shards);
        else
            cr_assert(pawl_plan_shards(plan) + 1 >= cores, "round %d of seed %llu", round,
                      (unsigned long long)seed);
        check_shards(plan, &census, shape.hybrid);
        for (unsigned i = 0; i < pawl_plan_io_threads(plan); i++)
            check_other(plan, &census, pawl_plan_io(plan, i));
        cr_assert_eq(pawl_plan_monitor(plan) != NULL, monitor);
        if (monitor)
            check_other(plan, &census, pawl_plan_monitor(plan));
        check_others_together(plan, &census);
        free(census.on_cpu);
        free(census.on_core);
        free(census.others_on_cpu);
        pawl_plan_destroy(plan);
    }
}
