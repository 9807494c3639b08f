/*
 * lanes_open.c - lanes come and go with the runtime: made from its options, filled again after recovery,
 * read and switched by the host.
 *
 * Layer: shard.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/planted.h"
#include "machine/blocks.h"
#include "shard/durable.h"
#include "shard/lanes.h"
#include "shard/refusals.h"
#include "shard/runtime.h"
#include "shard/timers.h"

/* ---- The runtime's lanes ---- */

static int complain(const struct pawl_options *options, unsigned i, const char *what)
{
    char where[64];

    snprintf(where, sizeof(where), "pawl_options.lanes[%u]", i);
    if (options->diagnose != NULL)
        options->diagnose(options->user, &(struct pawl_diagnostic){-EINVAL, where, what});
    return -EINVAL;
}

static int check(const struct pawl_options *options)
{
    if (options->lane_count > PAWL_LANES_MAX || (options->lane_count > 0 && options->lanes == NULL))
        return complain(options, options->lane_count, "there are at most 64 lanes, and a table");
    for (unsigned i = 0; i < options->lane_count; i++) {
        const char *problem = pawl__lane_problem(&options->lanes[i]);

        if (problem != NULL)
            return complain(options, i, problem);
        for (unsigned k = 0; k < i; k++)
            if (pawl_lane_number(options->lanes[k].name) ==
                pawl_lane_number(options->lanes[i].name))
                return complain(options, i,
                                "another lane has this name, or one with the same number: choose "
                                "another");
    }
    for (unsigned i = 0; i < options->machine_count && options->lane_count == 0; i++)
        if (options->machines[i]->lease_event != UINT16_MAX)
            return complain(options, 0,
                            "a machine has lane states, and there is no lane: list them");
    return 0;
}

int pawl__lanes_create(struct pawl_runtime *runtime, const struct pawl_options *options)
{
    int error = check(options);

    if (error != 0 || options->lane_count == 0)
        return error;
    runtime->lanes =
        aligned_alloc(_Alignof(struct lane), options->lane_count * sizeof(*runtime->lanes));
    if (runtime->lanes == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < options->lane_count; i++)
        pawl__lane_init(&runtime->lanes[i], &options->lanes[i], runtime->open_ns);
    runtime->lane_count = options->lane_count;
    runtime->orphan_ns = options->orphan_ns;
    return 0;
}

void pawl__lanes_destroy(struct pawl_runtime *runtime)
{
    pawl__formers_fini(&runtime->formers);
    free(runtime->lanes);
}

static const struct lane *find(const struct pawl_runtime *runtime, const char *name,
                               unsigned *position)
{
    const uint32_t number = name != NULL ? pawl_lane_number(name) : 0;

    for (unsigned i = 0; number != 0 && i < runtime->lane_count; i++)
        if (runtime->lanes[i].number == number) {
            *position = i;
            return &runtime->lanes[i];
        }
    return NULL;
}

int pawl_lane_pause(struct pawl_runtime *runtime, const char *name, uint64_t for_ns)
{
    const uint64_t now = runtime->clock->now_ns(runtime->clock->user);
    unsigned i;

    if (find(runtime, name, &i) == NULL)
        return -ENOENT;
    pawl__lane_pause(&runtime->lanes[i],
                     for_ns == 0 || for_ns > UINT64_MAX - now ? UINT64_MAX : now + for_ns);
    pawl__lanes_wake(runtime);
    return 0;
}

int pawl_lane_resume(struct pawl_runtime *runtime, const char *name)
{
    unsigned i;

    if (find(runtime, name, &i) == NULL)
        return -ENOENT;
    pawl__lane_resume(&runtime->lanes[i]);
    pawl__lanes_wake(runtime);
    return 0;
}

/* The sum over all shards; of LANE_OLDEST the oldest. */
static void add_up(const struct pawl_runtime *runtime, unsigned position, uint64_t sum[LANE_COUNTS])
{
    memset(sum, 0, LANE_COUNTS * sizeof(*sum));
    for (uint32_t i = 0; i < runtime->shard_count; i++) {
        const struct lane_part *part = &runtime->shards[i]->lanes->parts[position];

        for (unsigned k = 0; k < LANE_COUNTS; k++) {
            /* relaxed: each number is right by itself */
            const uint64_t value = load_relaxed(&part->published[k]);

            if (k != LANE_OLDEST)
                sum[k] += value;
            else if (value != 0 && (sum[k] == 0 || value < sum[k]))
                sum[k] = value;
        }
    }
}

int pawl_lane_read(const struct pawl_runtime *runtime, const char *name,
                   struct pawl_lane_status *status)
{
    const struct pawl_clock *clock = runtime->clock;
    const uint64_t now = clock->now_ns(clock->user);
    struct lane_state state;
    uint64_t sum[LANE_COUNTS];
    uint64_t wall;
    unsigned position;
    const struct lane *lane = find(runtime, name, &position);

    if (lane == NULL)
        return -ENOENT;
    add_up(runtime, position, sum);
    pawl__lane_state(lane, &state);
    wall = clock->wall_ns != NULL ? clock->wall_ns(clock->user) : now;
    *status = (struct pawl_lane_status){
        .ready = sum[LANE_READY],
        .leased = sum[LANE_LEASED],
        .oldest_ns = sum[LANE_OLDEST] != 0 && wall > sum[LANE_OLDEST] ? wall - sum[LANE_OLDEST] : 0,
        .leases = sum[LANE_LEASES],
        .returned = sum[LANE_RETURNED],
        .expired = sum[LANE_EXPIRED],
        .lost = sum[LANE_LOST],
        .refused = sum[LANE_REFUSED],
        .good = sum[LANE_GOOD],
        .bad = sum[LANE_BAD],
        .paused = pawl__lane_is_paused(lane, now),
        .breaker = state.breaker,
    };
    return 0;
}

/* ---- A shard's part ---- */

int pawl__lanes_init(struct shard *shard)
{
    const struct pawl_runtime *runtime = shard->runtime;
    struct lanes *lanes;
    int error;

    if (runtime->lane_count == 0)
        return 0;
    lanes = calloc(1, sizeof(*lanes));
    if (lanes == NULL)
        return -ENOMEM;
    error = slab_init(&lanes->tickets,
                      &(struct slab_options){.object_size = sizeof(struct ticket),
                                             .link_offset = TICKET_LINK,
                                             .objects_max = shard->table.slots.objects_max,
                                             .huge = false});
    if (error != 0) {
        free(lanes);
        return error;
    }
    shard->lanes = lanes;
    pawl__order_pool_init(&lanes->pool, &pawl__allocator_libc);
    lanes->parts = calloc(runtime->lane_count, sizeof(*lanes->parts));
    lanes->held = calloc(HELD_LISTS, sizeof(*lanes->held));
    lanes->let_go = calloc(PORTS_MAX, sizeof(*lanes->let_go));
    lanes->adopted = calloc(PORTS_MAX, sizeof(*lanes->adopted));
    lanes->round = calloc(PORTS_MAX, sizeof(*lanes->round));
    lanes->served = calloc(PORTS_MAX, sizeof(*lanes->served));
    lanes->refusals = calloc(1, sizeof(*lanes->refusals));
    if (lanes->parts == NULL || lanes->held == NULL || lanes->let_go == NULL ||
        lanes->adopted == NULL || lanes->round == NULL || lanes->served == NULL ||
        lanes->refusals == NULL)
        return -ENOMEM;
    lanes->count = runtime->lane_count;
    lanes->beat_ns = UINT64_MAX;
    lanes->due_ns = UINT64_MAX;
    lanes->before_ns = lanes_orphans_end_ns(runtime->open_ns, runtime->orphan_ns);
    for (uint32_t i = 0; i < lanes->count; i++) {
        lanes->parts[i].lane = &runtime->lanes[i];
        pawl__order_init(&lanes->parts[i].order, &lanes->pool, &lanes->tickets);
    }
    return 0;
}

void pawl__lanes_fini(struct shard *shard)
{
    struct lanes *lanes = shard->lanes;

    if (lanes == NULL)
        return;
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct lane_part *part = &lanes->parts[i];

        for (uint32_t k = 0; k < part->assigned_count; k++)
            pawl__order_fini(&part->assigned[k].order);
        pawl__order_fini(&part->order);
        free(part->assigned);
    }
    pawl__order_pool_fini(&lanes->pool);
    slab_fini(&lanes->tickets);
    free(lanes->refusals);
    free(lanes->served);
    free(lanes->round);
    free(lanes->adopted);
    free(lanes->let_go);
    free(lanes->held);
    free(lanes->parts);
    free(lanes);
    shard->lanes = NULL;
}

/* ---- After recovery ---- */

static int by_since(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

struct found {
    uint64_t since;
    uint32_t slot;
};

static const struct pawl_machine *machine_of(const struct shard *shard, const struct slot *slot)
{
    /* relaxed: nobody turns the shard yet */
    return shard->machines[head_machine(load_relaxed(&slot->head))].machine;
}

static enum lane_role role_of(const struct shard *shard, const struct slot *slot)
{
    const uint64_t head = load_relaxed(&slot->head); /* relaxed: as above */

    if ((head_flags(head) & SLOT_ALIVE) == 0 || machine_of(shard, slot)->lease_event == UINT16_MAX)
        return ROLE_NONE;
    return (enum lane_role)machine_of(shard, slot)->states[head_state(head)].role;
}

static void claim_read(struct shard *shard, struct slot *slot, struct pawl_claim *claim)
{
    words_load((uint64_t *)(void *)claim,
               table_context(&shard->table, slot, machine_of(shard, slot)->context_size),
               sizeof(*claim) / 8);
}

/* Deadlines are told on this process's clock. */
static void renew_deadline(struct shard *shard, struct slot *slot)
{
    const struct pawl_machine *machine = machine_of(shard, slot);
    _Atomic uint64_t *context = table_context(&shard->table, slot, machine->context_size);
    const uint64_t tick = pawl__timer_tick(shard, slot, machine->lease_timer);

    if (tick != UINT64_MAX)
        store_release(&context[offsetof(struct pawl_claim, deadline_ns) / 8],
                      shard->open_ns + tick * shard->tick_ns);
}

static int restore_one(struct shard *shard, uint32_t index, uint32_t *number)
{
    struct lanes *lanes = shard->lanes;
    struct slot *slot = table_slot(&shard->table, index);
    const enum lane_role role = role_of(shard, slot);
    struct ticket *ticket;
    struct pawl_claim claim;
    uint32_t made;
    int position;

    if (role == ROLE_LEASED && planted(PLANTED_CLAIM_NOT_RESTORED))
        return 0;
    claim_read(shard, slot, &claim);
    position = pawl__lanes_position(lanes, claim.lane);
    if (position < 0) {
        *number = claim.lane;
        return -ENOENT;
    }
    made = slab_alloc(&lanes->tickets);
    if (made == 0 || order_reserve(&lanes->pool) != 0 ||
        lanes_order(lanes, (uint32_t)position, claim.assignee) == NULL)
        return -ENOMEM;
    ticket = slab_at(&lanes->tickets, made);
    *ticket = (struct ticket){
        .slot = index,
        .since = claim.since_ns,
        .assignee = claim.assignee,
        .rank = planted(PLANTED_RANK_NOT_RESTORED)
                    ? 0
                    : lane_rank(lanes->parts[position].lane, claim.priority, claim.since_ns),
        .lane = (uint16_t)position,
        .holder = HELD_BEFORE,
        .place = role == ROLE_LEASED ? TICKET_LEASED : TICKET_READY,
    };
    slot->extension = made;
    if (role == ROLE_LEASED) {
        if (pawl__formers_add(&shard->runtime->formers, claim.agent, claim.name) != 0)
            return -ENOMEM;
        renew_deadline(shard, slot);
        pawl__lane_hold(lanes->parts[position].lane, 1);
    }
    pawl__lanes_place(shard, made, ticket);
    return 0;
}

/* Those in lane states, and the newest stamp of all tasks that have one. */
static int collect(struct shard *shard, struct found **found, size_t *count)
{
    const struct slab *slots = &shard->table.slots;
    size_t room = 0;

    for (uint32_t i = slab_next_used(slots, 1); i < slab_top(slots);
         i = slab_next_used(slots, i + 1)) {
        struct slot *slot = table_slot(&shard->table, i);
        struct pawl_claim claim;

        slot->extension = 0;
        if (role_of(shard, slot) == ROLE_NONE)
            continue;
        claim_read(shard, slot, &claim);
        if (*count == room) {
            struct found *grown;

            room = room * 2 + 1024;
            grown = realloc(*found, room * sizeof(*grown));
            if (grown == NULL)
                return -ENOMEM;
            *found = grown;
        }
        (*found)[(*count)++] = (struct found){claim.since_ns, i};
        if (claim.since_ns > shard->lanes->since)
            shard->lanes->since = claim.since_ns;
    }
    return 0;
}

int pawl__lanes_restore(struct shard *shard, uint32_t *number)
{
    struct found *found = NULL;
    size_t count = 0;
    int error;

    shard->lanes->token =
        planted(PLANTED_TOKENS_BEGIN_AGAIN) ? 0 : shard->durable->journal.options.epoch << 40;
    error = collect(shard, &found, &count);
    if (error == 0 && count > 0)
        qsort(found, count, sizeof(*found), by_since);
    for (size_t i = 0; error == 0 && i < count; i++)
        error = restore_one(shard, found[i].slot, number);
    free(found);
    return error;
}
