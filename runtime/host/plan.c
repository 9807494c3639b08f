/*
 * plan.c - decides where every thread goes, by the rules at the head of <pawl/topology.h>.
 *
 * The plan is a pure function of the list of cpus and the request: no system call, no hwloc, so
 * that machines of any size are planned and tested on any machine.
 *
 * Two decisions a reader may question. The cpus for the shards are chosen first and numbered
 * afterwards in the order of nearness, so that neighbours in shard number are near even when some
 * of them are SMT siblings. And the core left for housekeeping is the last one, not cpu 0 where
 * systems like to leave their interrupts: shard s is then simply on core s, and on a machine with
 * slow and fast cores the last core of the order is a slow one.
 *
 * Owner: the caller. Limits: see plan.h. Cost: O(cpus log cpus + other threads x cpus), once.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "host/plan.h"

/* A cpu as the sorts below see it. */
struct choice {
    unsigned pu; /* index into pus: the order of nearness */
    unsigned smt;
    unsigned kind;
};

static int compare(unsigned a, unsigned b)
{
    return (a > b) - (a < b);
}

/* Which cpus are worth having first: whole cores, and among them the fast ones. */
static int by_worth(const void *left, const void *right)
{
    const struct choice *a = left, *b = right;
    const int by_smt = compare(a->smt, b->smt);
    const int by_kind = compare(a->kind, b->kind);

    return by_smt ? by_smt : by_kind ? by_kind : compare(a->pu, b->pu);
}

/* How the chosen ones are numbered: by nearness, the fast cores before the slow ones. */
static int by_nearness(const void *left, const void *right)
{
    const struct choice *a = left, *b = right;
    const int by_kind = compare(a->kind, b->kind);

    return by_kind ? by_kind : compare(a->pu, b->pu);
}

static int by_number(const void *left, const void *right)
{
    return compare(*(const unsigned *)left, *(const unsigned *)right);
}

static bool has_smt(const struct pawl_plan *plan)
{
    for (unsigned i = 0; i < plan->pu_count; i++)
        if (plan->pus[i].smt)
            return true;
    return false;
}

/* Rule 4. */
static void count_shards(struct pawl_plan *plan, const struct pawl_plan_request *request)
{
    const unsigned cores = plan->pus[plan->pu_count - 1].core + 1;

    plan->shards_asked = request->shards != 0;
    plan->shard_count = request->shards;
    if (plan->shards_asked)
        return;
    plan->left_a_core = cores >= 8 && !has_smt(plan) && (request->monitor || request->io_threads);
    plan->shard_count = plan->left_a_core ? cores - 1 : cores;
    if (plan->shard_count > SHARDS_MAX) {
        plan->shard_count = SHARDS_MAX;
        plan->left_a_core = false; /* many are left, and for another reason */
    }
}

/* Puts a thread on a cpu. What depends on the other threads is filled in later. */
static void sit(const struct pawl_plan *plan, struct seat *seat, unsigned pu, enum pawl_place why)
{
    const struct pu *at = &plan->pus[pu];

    seat->pu = pu;
    seat->place = (struct pawl_placement){
        .why = why,
        .cpu_count = 1,
        .cpus = &at->os,
        .package = at->package,
        .node = at->node_os,
        .l3 = at->l3,
        .core = at->core,
        .kind = at->kind,
        .beside = PAWL_PLACE_NONE,
    };
}

static void set_afloat(const struct pawl_plan *plan, struct seat *seat)
{
    seat->pu = PU_NONE;
    seat->place = (struct pawl_placement){
        .why = PAWL_PLACE_FLOATING,
        .cpu_count = plan->pu_count,
        .cpus = plan->allowed,
        .package = PAWL_PLACE_NONE,
        .node = PAWL_PLACE_NONE,
        .l3 = PAWL_PLACE_NONE,
        .core = PAWL_PLACE_NONE,
        .kind = PAWL_PLACE_NONE,
        .beside = PAWL_PLACE_NONE,
    };
}

/* Rules 1, 2 and 5: gives every shard its cpu. */
static int seat_shards(struct pawl_plan *plan)
{
    const unsigned n = plan->shard_count < plan->pu_count ? plan->shard_count : plan->pu_count;
    struct choice *choices = calloc(plan->pu_count, sizeof(*choices));

    if (!choices)
        return -ENOMEM;
    for (unsigned i = 0; i < plan->pu_count; i++)
        choices[i] = (struct choice){.pu = i, .smt = plan->pus[i].smt, .kind = plan->pus[i].kind};
    qsort(choices, plan->pu_count, sizeof(*choices), by_worth);
    qsort(choices, n, sizeof(*choices), by_nearness);
    for (unsigned s = 0; s < plan->shard_count; s++)
        sit(plan, &plan->shards[s], choices[s % n].pu, PAWL_PLACE_CORE);
    free(choices);
    return 0;
}

/* What is on a core and on a cpu: shard numbers are the lowest two there, or PAWL_PLACE_NONE. */
struct tenants {
    unsigned first, second;
};

static void move_in(struct tenants *tenants, unsigned shard)
{
    if (tenants->first == PAWL_PLACE_NONE)
        tenants->first = shard;
    else if (tenants->second == PAWL_PLACE_NONE)
        tenants->second = shard;
}

/* Fills in what shards have to do with each other, in cores[core] and cpus[pu]. */
static void relate_shards(struct pawl_plan *plan, struct tenants *cores, struct tenants *cpus)
{
    for (unsigned i = 0; i < plan->pu_count; i++) /* there are no more cores than cpus */
        cores[i] = cpus[i] = (struct tenants){PAWL_PLACE_NONE, PAWL_PLACE_NONE};
    for (unsigned s = 0; s < plan->shard_count; s++) {
        move_in(&cores[plan->shards[s].place.core], s);
        move_in(&cpus[plan->shards[s].pu], s);
    }
    for (unsigned s = 0; s < plan->shard_count; s++) {
        struct pawl_placement *place = &plan->shards[s].place;
        const struct tenants *core = &cores[place->core];
        const struct tenants *cpu = &cpus[plan->shards[s].pu];

        place->beside = core->first == s ? core->second : core->first;
        place->shares_core = place->beside != PAWL_PLACE_NONE;
        place->oversubscribed = cpu->second != PAWL_PLACE_NONE;
        if (cpu->first != s)
            place->why = PAWL_PLACE_SHARED;
        else if (core->first != s)
            place->why = PAWL_PLACE_SIBLING;
    }
}

/* A cpu without a shard, for the threads beside the shards. */
struct desk {
    unsigned pu;
    unsigned rank; /* 0: beside a shard; 1 ..: on a free core, the cpus of each core in turn */
    unsigned load; /* threads there already */
};

static unsigned find_desks(const struct pawl_plan *plan, const struct tenants *cores,
                           const struct tenants *cpus, struct desk *desks)
{
    unsigned count = 0;

    for (unsigned i = 0; i < plan->pu_count; i++) {
        const bool beside = cores[plan->pus[i].core].first != PAWL_PLACE_NONE;

        if (cpus[i].first == PAWL_PLACE_NONE)
            desks[count++] = (struct desk){.pu = i, .rank = beside ? 0 : 1 + plan->pus[i].smt};
    }
    return count;
}

static unsigned distance(const struct pu *a, const struct pu *b)
{
    return a->core == b->core         ? 0
           : a->l3 == b->l3           ? 1
           : a->node == b->node       ? 2
           : a->package == b->package ? 3
                                      : 4;
}

/* Rule 3: a desk of one's own; beside a shard rather than on a free core; near the shard served. */
static bool is_better(const struct pawl_plan *plan, const struct desk *desk,
                      const struct desk *other, const struct pu *served)
{
    if (desk->load != other->load)
        return desk->load < other->load;
    if (desk->rank != other->rank)
        return desk->rank < other->rank;
    return distance(&plan->pus[desk->pu], served) < distance(&plan->pus[other->pu], served);
}

static void seat_helper(const struct pawl_plan *plan, const struct tenants *cores,
                        struct desk *desks, unsigned count, struct seat *seat, unsigned shard)
{
    const struct pu *served = &plan->pus[plan->shards[shard].pu];
    struct desk *best = desks;
    unsigned beside;

    if (!count) {
        set_afloat(plan, seat);
        return;
    }
    for (struct desk *desk = desks + 1; desk < desks + count; desk++)
        if (is_better(plan, desk, best, served))
            best = desk;
    best->load++;
    beside = cores[plan->pus[best->pu].core].first;
    sit(plan, seat, best->pu,
        beside == PAWL_PLACE_NONE ? PAWL_PLACE_HOUSEKEEPING : PAWL_PLACE_SIBLING);
    seat->place.beside = beside;
    seat->place.shares_core = beside != PAWL_PLACE_NONE;
}

/* Seats the monitor and the I/O threads; I/O thread i serves the i-th part of the shards. */
static int seat_others(struct pawl_plan *plan)
{
    struct tenants *cores = calloc(plan->pu_count, sizeof(*cores));
    struct tenants *cpus = calloc(plan->pu_count, sizeof(*cpus));
    struct desk *desks = calloc(plan->pu_count, sizeof(*desks));
    int rc = -ENOMEM;
    unsigned count;

    if (!cores || !cpus || !desks)
        goto out;
    relate_shards(plan, cores, cpus);
    count = find_desks(plan, cores, cpus, desks);
    for (unsigned i = 0; i < plan->io_count; i++) {
        const unsigned first = (unsigned)((uint64_t)i * plan->shard_count / plan->io_count);

        seat_helper(plan, cores, desks, count, &plan->io[i], first);
    }
    /* After the I/O threads, which have shards to be near to. */
    if (plan->has_monitor)
        seat_helper(plan, cores, desks, count, &plan->monitor, plan->shard_count - 1);
    rc = 0;
out:
    free(desks);
    free(cpus);
    free(cores);
    return rc;
}

/* Takes over the list of cpus and makes room for the threads. */
static int furnish(struct pawl_plan *plan, const struct pawl_topology *topology)
{
    const size_t shards = plan->shard_count;
    const size_t io = plan->io_count ? plan->io_count : 1;

    plan->shards = calloc(shards, sizeof(*plan->shards));
    plan->io = calloc(io, sizeof(*plan->io));
    plan->allowed = calloc(plan->pu_count, sizeof(*plan->allowed));
    if (!plan->shards || !plan->io || !plan->allowed)
        return -ENOMEM;
    for (unsigned i = 0; i < plan->pu_count; i++)
        plan->allowed[i] = topology->pus[i].os;
    qsort(plan->allowed, plan->pu_count, sizeof(*plan->allowed), by_number);
    return 0;
}

int pawl_plan_create(const struct pawl_topology *topology, const struct pawl_plan_request *request,
                     struct pawl_plan **out)
{
    struct pawl_plan *plan;
    int rc = -ENOMEM;

    if (!topology || !request || !out)
        return -EINVAL;
    if (request->shards > SHARDS_MAX || request->io_threads > IO_THREADS_MAX)
        return -EINVAL;
    CHECK(topology->pu_count > 0);

    plan = calloc(1, sizeof(*plan));
    if (!plan)
        return -ENOMEM;
    plan->io_count = request->io_threads;
    plan->has_monitor = request->monitor;
    plan->pu_count = topology->pu_count;
    plan->pus = calloc(plan->pu_count, sizeof(*plan->pus));
    if (!plan->pus)
        goto fail;
    memcpy(plan->pus, topology->pus, plan->pu_count * sizeof(*plan->pus));

    count_shards(plan, request);
    rc = furnish(plan, topology);
    if (!rc)
        rc = seat_shards(plan);
    if (!rc)
        rc = seat_others(plan);
    if (rc)
        goto fail;
    *out = plan;
    return 0;
fail:
    pawl_plan_destroy(plan);
    return rc;
}

void pawl_plan_destroy(struct pawl_plan *plan)
{
    if (!plan)
        return;
    free(plan->allowed);
    free(plan->io);
    free(plan->shards);
    free(plan->pus);
    free(plan);
}

unsigned pawl_plan_shards(const struct pawl_plan *plan)
{
    return plan->shard_count;
}

unsigned pawl_plan_io_threads(const struct pawl_plan *plan)
{
    return plan->io_count;
}

const struct pawl_placement *pawl_plan_shard(const struct pawl_plan *plan, unsigned shard)
{
    return shard < plan->shard_count ? &plan->shards[shard].place : NULL;
}

const struct pawl_placement *pawl_plan_monitor(const struct pawl_plan *plan)
{
    return plan->has_monitor ? &plan->monitor.place : NULL;
}

const struct pawl_placement *pawl_plan_io(const struct pawl_plan *plan, unsigned io)
{
    return io < plan->io_count ? &plan->io[io].place : NULL;
}
