/* What order.h promises: who is next, whenever it was put in; that room once reserved is there. */
#include "lane/order.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "support/meter.h"
#include "support/test.h"

#define TICKETS 4096u

/* An order with all that it needs. Stays where it is. */
struct desk {
    struct meter meter;
    struct allocator allocator;
    struct slab tickets;
    struct order_pool pool;
    struct order order;
};

static void desk_open(struct desk *desk, uint32_t tickets)
{
    const struct slab_options options = {
        .object_size = sizeof(struct ticket), .link_offset = TICKET_LINK, .objects_max = tickets};

    desk->meter = (struct meter){.left = UINT64_MAX};
    desk->allocator = (struct allocator){meter_allocate, meter_release, &desk->meter};
    cr_assert_eq(slab_init(&desk->tickets, &options), 0);
    pawl__order_pool_init(&desk->pool, &desk->allocator);
    pawl__order_init(&desk->order, &desk->pool, &desk->tickets);
}

static void desk_close(struct desk *desk)
{
    pawl__order_fini(&desk->order);
    pawl__order_pool_fini(&desk->pool);
    slab_fini(&desk->tickets);
    cr_assert_eq(desk->meter.out, 0, "all nodes have been given back");
}

static struct ticket *ticket_of(struct desk *desk, uint32_t index)
{
    return slab_at(&desk->tickets, index);
}

static void put(struct desk *desk, uint32_t index, uint64_t rank, uint64_t since)
{
    ticket_of(desk, index)->rank = rank;
    ticket_of(desk, index)->since = since;
    cr_assert_eq(order_reserve(&desk->pool), 0);
    pawl__order_insert(&desk->order, index);
}

static uint32_t put_new(struct desk *desk, uint64_t rank, uint64_t since)
{
    const uint32_t index = slab_alloc(&desk->tickets);

    cr_assert(index != 0);
    put(desk, index, rank, since);
    return index;
}

static uint32_t take_one(struct desk *desk)
{
    uint32_t index = 0;

    cr_assert_eq(pawl__order_take(&desk->order, &index, 1), order_count(&desk->order) + 1 > 0);
    return index;
}

Test(order, the_smaller_rank_first_then_first_in_first_out)
{
    static const uint64_t ranks[] = {5, 0, UINT64_MAX, 5, 0, 7, 5, UINT64_MAX, 0};
    static const unsigned expected[] = {1, 4, 8, 0, 3, 6, 5, 2, 7};
    uint32_t indexes[ARRAY_LEN(ranks)], taken[ARRAY_LEN(ranks) + 1];
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (unsigned i = 0; i < ARRAY_LEN(ranks); i++)
        indexes[i] = put_new(&desk, ranks[i], 100 + i);
    cr_assert_eq(order_count(&desk.order), ARRAY_LEN(ranks));
    cr_assert_eq(order_rank(&desk.order), 0);
    cr_assert_eq(pawl__order_first(&desk.order), indexes[1]);
    cr_assert_eq(pawl__order_take(&desk.order, taken, ARRAY_LEN(taken)), ARRAY_LEN(ranks));
    for (unsigned i = 0; i < ARRAY_LEN(ranks); i++) {
        cr_assert_eq(taken[i], indexes[expected[i]], "taken %u", i);
        cr_assert_eq(ticket_of(&desk, taken[i])->place, TICKET_HANDED);
    }
    desk_close(&desk);
}

Test(order, an_empty_order_says_so_and_holds_nothing)
{
    struct desk desk;
    uint32_t index;

    desk_open(&desk, TICKETS);
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(pawl__order_take(&desk.order, &index, 1), 0);
        cr_assert_eq(pawl__order_first(&desk.order), 0);
        cr_assert_eq(pawl__order_oldest(&desk.order), 0);
        cr_assert_eq(order_rank(&desk.order), UINT64_MAX);
        cr_assert_eq(order_count(&desk.order), 0);
        cr_assert_eq(desk.pool.nodes, 0);
        for (unsigned i = 0; i < 100; i++)
            put_new(&desk, i % (round + 1) * 30, i);
        cr_assert(desk.pool.nodes > 0);
        while (order_count(&desk.order) > 50)
            pawl__order_remove(&desk.order, pawl__order_first(&desk.order));
        while (order_count(&desk.order) > 0)
            take_one(&desk);
    }
    desk_close(&desk);
}

Test(order, a_removed_ticket_is_in_no_list_and_can_come_back)
{
    struct desk desk;
    uint32_t first, middle, last;

    desk_open(&desk, TICKETS);
    first = put_new(&desk, 1, 1);
    middle = put_new(&desk, 1, 2);
    last = put_new(&desk, 1, 3);
    pawl__order_remove(&desk.order, middle);
    cr_assert_eq(ticket_of(&desk, middle)->place, TICKET_NONE);
    put(&desk, middle, 0, 4);
    pawl__order_remove(&desk.order, first);
    pawl__order_validate(&desk.order);
    cr_assert_eq(take_one(&desk), middle);
    cr_assert_eq(take_one(&desk), last);
    cr_assert_eq(order_count(&desk.order), 0);
    desk_close(&desk);
}

Test(order, an_old_one_takes_its_place_however_far_from_the_ends)
{
    for (uint32_t far = 0; far < 3 * ORDER_WALK; far++) {
        const uint32_t count = 5 * ORDER_WALK;
        uint32_t taken[5 * ORDER_WALK + 3];
        uint64_t since = 0;
        struct desk desk;

        desk_open(&desk, TICKETS);
        for (uint32_t i = 0; i < count; i++)
            put_new(&desk, 9, 10 + 10 * (uint64_t)i);
        for (uint32_t i = 1; i <= 3; i++) /* behind the one that is `far` from the tail */
            put_new(&desk, 9, 10 * (uint64_t)(count - far) + 4 - i);
        pawl__order_validate(&desk.order);
        cr_assert_eq(pawl__order_take(&desk.order, taken, count + 3), count + 3);
        for (uint32_t i = 0; i < count + 3; i++) {
            cr_assert(ticket_of(&desk, taken[i])->since > since, "far %u, taken %u", far, i);
            since = ticket_of(&desk, taken[i])->since;
        }
        desk_close(&desk);
    }
}

Test(order, restored_in_any_order_they_come_out_in_one)
{
    struct random random = {.state = 5};
    uint64_t sinces[TICKETS];
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (uint32_t i = 0; i < TICKETS; i++)
        sinces[i] = i + 1;
    for (uint32_t i = TICKETS - 1; i > 0; i--) {
        const uint32_t other = (uint32_t)random_below(&random, i + 1);
        const uint64_t since = sinces[i];

        sinces[i] = sinces[other];
        sinces[other] = since;
    }
    for (uint32_t i = 0; i < TICKETS; i++)
        put_new(&desk, 3, sinces[i]);
    pawl__order_validate(&desk.order);
    cr_assert_eq(pawl__order_oldest(&desk.order), 1);
    for (uint64_t since = 1; since <= TICKETS; since++) {
        cr_assert_eq(ticket_of(&desk, pawl__order_first(&desk.order))->since, since);
        cr_assert_eq(ticket_of(&desk, take_one(&desk))->since, since);
    }
    desk_close(&desk);
}

Test(order, the_oldest_is_found_behind_any_rank_of_the_most_urgent)
{
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (uint32_t rank = 0; rank <= ORDER_OLDEST; rank++) {
        for (uint32_t i = 0; i < 3; i++)
            put_new(&desk, rank, 1000000 - 10 * (uint64_t)rank + i);
    }
    /* The rank after the last that is looked at has the oldest of all. */
    cr_assert_eq(pawl__order_oldest(&desk.order), 1000000 - 10 * (ORDER_OLDEST - 1));
    take_one(&desk), take_one(&desk), take_one(&desk);
    cr_assert_eq(pawl__order_oldest(&desk.order), 1000000 - 10 * ORDER_OLDEST);
    desk_close(&desk);
}

Test(order, many_late_ones_of_one_rank_hide_no_other_rank_from_oldest)
{
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (uint32_t i = 0; i < 1000; i++)
        put_new(&desk, 1, 1000 + 10 * (uint64_t)i);
    for (uint32_t i = 900; i > 0; i--) /* all apart, but for those near the head */
        put_new(&desk, 1, 1001 + 10 * (uint64_t)i);
    cr_assert_eq(pawl__order_oldest(&desk.order), 1000);
    put_new(&desk, 2, 500);
    cr_assert_eq(pawl__order_oldest(&desk.order), 500);
    for (uint64_t i = 3; i < 100; i++)
        put_new(&desk, i, 600 - i);
    cr_assert_eq(pawl__order_oldest(&desk.order), 500);
    desk_close(&desk);
}

Test(order, what_is_reserved_is_there_and_what_is_not_is_refused)
{
    struct desk desk;
    uint32_t refused = 0;

    /* With each allocation from the first to the 600th refused once. */
    desk_open(&desk, 40000);
    desk.meter.left = 0;
    for (uint64_t count = 0; count < 20000; count++) {
        const uint32_t index = slab_alloc(&desk.tickets);
        int error = order_reserve(&desk.pool);

        while (error != 0) {
            cr_assert_eq(error, -ENOMEM);
            refused++;
            desk.meter.left = 1;
            error = order_reserve(&desk.pool);
        }
        desk.meter.left = 0; /* the insertion itself asks for nothing */
        ticket_of(&desk, index)->rank = (count * 7919) % 20011;
        ticket_of(&desk, index)->since = count;
        pawl__order_insert(&desk.order, index);
    }
    cr_assert(refused > 600, "%u", refused);
    pawl__order_validate(&desk.order);
    for (uint64_t rank = 0; order_count(&desk.order) > 0; rank++) {
        const uint64_t next = ticket_of(&desk, take_one(&desk))->rank;

        cr_assert(next >= rank);
        rank = next;
    }
    desk_close(&desk);
}

Test(order, a_reserve_outlives_takings_and_removals)
{
    struct desk desk;
    uint32_t kept = 0;

    desk_open(&desk, 40000);
    for (uint32_t i = 0; i < 20000; i++)
        kept = put_new(&desk, i, i);
    cr_assert_eq(order_reserve(&desk.pool), 0);
    desk.meter.left = 0;
    pawl__order_remove(&desk.order, kept);
    while (order_count(&desk.order) > 0)
        take_one(&desk);
    ticket_of(&desk, kept)->rank = 1;
    pawl__order_insert(&desk.order, kept);
    cr_assert_eq(take_one(&desk), kept);
    desk_close(&desk);
}

Test(order, memory_goes_back_after_a_peak)
{
    struct random random = {.state = 8};
    uint32_t *const indexes = calloc(60000, sizeof(*indexes));
    struct desk desk;

    for (unsigned by_taking = 0; by_taking < 2; by_taking++) {
        desk_open(&desk, 60000);
        for (uint32_t i = 0; i < 60000; i++)
            indexes[i] = put_new(&desk, random_next(&random), i);
        cr_assert(desk.meter.out >= 60000 / ORDER_LEAF);
        cr_assert(desk.meter.out <= 60000 / ORDER_LEAF * 2);
        if (by_taking) {
            cr_assert_eq(pawl__order_take(&desk.order, indexes, 54000), 54000);
        } else { /* nine of ten everywhere */
            for (uint32_t i = 0; i < 60000; i++)
                if (i % 10 != 0)
                    pawl__order_remove(&desk.order, indexes[i]);
        }
        pawl__order_validate(&desk.order);
        cr_assert_eq(order_count(&desk.order), 6000);
        cr_assert(desk.meter.out <= 6000 / ORDER_LEAF * 4 + ORDER_KEEP, "%llu nodes",
                  (unsigned long long)desk.meter.out);
        while (order_count(&desk.order) > 0)
            take_one(&desk);
        cr_assert_eq(desk.pool.nodes, 0);
        cr_assert(desk.meter.out <= ORDER_KEEP);
        desk_close(&desk);
    }
    free(indexes);
}

Test(order, an_order_that_comes_and_goes_asks_for_no_memory)
{
    struct desk desk;
    uint32_t index;

    desk_open(&desk, TICKETS);
    index = put_new(&desk, 1, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        take_one(&desk);
        put(&desk, index, i % 3, i);
    }
    cr_assert(desk.meter.peak <= 2, "%llu nodes", (unsigned long long)desk.meter.peak);
    desk_close(&desk);
}

Test(order, orders_of_one_pool_share_what_is_spare)
{
    struct desk desk;
    struct order orders[200];
    uint32_t first;

    desk_open(&desk, TICKETS);
    for (uint32_t i = 0; i < ARRAY_LEN(orders); i++)
        pawl__order_init(&orders[i], &desk.pool, &desk.tickets);
    for (uint32_t i = 0; i < 10 * ARRAY_LEN(orders); i++) {
        const uint32_t index = slab_alloc(&desk.tickets);

        cr_assert_eq(order_reserve(&desk.pool), 0);
        ticket_of(&desk, index)->since = i;
        pawl__order_insert(&orders[i % ARRAY_LEN(orders)], index);
    }
    cr_assert_eq(desk.pool.nodes, ARRAY_LEN(orders));
    for (uint32_t i = 0; i < ARRAY_LEN(orders); i++) {
        cr_assert_eq(pawl__order_take(&orders[i], &first, 1), 1);
        cr_assert_eq(ticket_of(&desk, first)->since, i);
        pawl__order_fini(&orders[i]);
        cr_assert_eq(order_count(&orders[i]), 0);
    }
    cr_assert_eq(desk.pool.nodes, 0);
    desk_close(&desk);
}

/* The model: a sorted array of the tickets that are in. */
struct model {
    uint32_t indexes[TICKETS];
    uint32_t count;
};

static uint32_t model_position(struct desk *desk, const struct model *model, uint64_t rank,
                               uint64_t since)
{
    uint32_t low = 0, high = model->count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const struct ticket *const ticket = ticket_of(desk, model->indexes[middle]);

        if (ticket->rank < rank || (ticket->rank == rank && ticket->since < since))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void model_remove(struct model *model, uint32_t at, uint32_t count)
{
    model->count -= count;
    for (uint32_t i = at; i < model->count; i++)
        model->indexes[i] = model->indexes[i + count];
}

static void model_insert(struct desk *desk, struct model *model, uint32_t index)
{
    const struct ticket *const ticket = ticket_of(desk, index);
    const uint32_t at = model_position(desk, model, ticket->rank, ticket->since);

    for (uint32_t i = model->count; i > at; i--)
        model->indexes[i] = model->indexes[i - 1];
    model->indexes[at] = index;
    model->count++;
}

static uint64_t model_oldest(struct desk *desk, const struct model *model)
{
    uint64_t oldest = UINT64_MAX;
    uint32_t ranks = 0;

    for (uint32_t i = 0; i < model->count && ranks <= ORDER_OLDEST; i++) {
        const struct ticket *const ticket = ticket_of(desk, model->indexes[i]);

        ranks += i == 0 || ticket->rank != ticket_of(desk, model->indexes[i - 1])->rank;
        if (ranks <= ORDER_OLDEST && ticket->since < oldest)
            oldest = ticket->since;
    }
    return model->count > 0 ? oldest : 0;
}

struct habits {
    uint64_t ranks;    /* so many different ones */
    uint64_t stride;   /* between them */
    unsigned late;     /* percent of insertions with any since, else newer than all */
    unsigned moving;   /* percent of ranks that grow with time */
    uint32_t standing; /* tickets in, about */
};

static void agree(struct desk *desk, const struct model *model, uint64_t seed)
{
    const uint32_t first = pawl__order_first(&desk->order);

    cr_assert_eq(order_count(&desk->order), model->count, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(first, model->count > 0 ? model->indexes[0] : 0, "seed %llu",
                 (unsigned long long)seed);
    cr_assert_eq(order_rank(&desk->order), first != 0 ? ticket_of(desk, first)->rank : UINT64_MAX);
}

static void compare(const struct habits *habits, uint64_t seed)
{
    struct random random = {.state = seed};
    struct model *const model = calloc(1, sizeof(*model));
    uint32_t taken[200];
    uint64_t now = 0;
    uint32_t peak = 0;
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (uint32_t step = 0; step < 40000; step++) {
        const uint64_t what = random_below(&random, 1000);
        /* Goes up and down about what is to stand there. */
        const uint32_t want = habits->standing * (1 + step / 8000 % 3) / 2;
        const uint64_t grow = model->count < want ? 750 : 350;

        peak = model->count > peak ? model->count : peak;
        if (what < grow && model->count < TICKETS - 1) {
            const uint32_t index = slab_alloc(&desk.tickets);
            uint64_t rank = random_below(&random, habits->ranks) * habits->stride;
            uint64_t since = now += 1000;

            if (random_below(&random, 100) < habits->moving)
                rank += now / 1000;
            /* Unique: each step has its own last digits. */
            if (random_below(&random, 100) < habits->late)
                since = random_below(&random, now / 100000 + 1) * 100000 + step + 1;
            if (model_position(&desk, model, rank, since) !=
                model_position(&desk, model, rank, since + 1))
                since = now;
            put(&desk, index, rank, since);
            model_insert(&desk, model, index);
        } else if (what < grow + (1000 - grow) / 2 && model->count > 0) {
            const uint32_t at = (uint32_t)random_below(&random, model->count);
            const uint32_t index = model->indexes[at];

            pawl__order_remove(&desk.order, index);
            model_remove(model, at, 1);
            slab_free(&desk.tickets, index);
        } else {
            const uint32_t max = (uint32_t)random_below(&random, what < 998 ? 4 : 200);
            const uint32_t count = pawl__order_take(&desk.order, taken, max);

            cr_assert_eq(count, max < model->count ? max : model->count);
            for (uint32_t i = 0; i < count; i++) {
                cr_assert_eq(taken[i], model->indexes[i], "seed %llu, step %u",
                             (unsigned long long)seed, step);
                slab_free(&desk.tickets, taken[i]);
            }
            model_remove(model, 0, count);
        }
        agree(&desk, model, seed);
        if (step % 64 == 0) {
            pawl__order_validate(&desk.order);
            cr_assert_eq(pawl__order_oldest(&desk.order), model_oldest(&desk, model));
        }
    }
    cr_assert(peak >= habits->standing, "%u", peak);
    while (model->count > 0) {
        const uint32_t count = pawl__order_take(&desk.order, taken, 37);

        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(taken[i], model->indexes[i], "seed %llu", (unsigned long long)seed);
        model_remove(model, 0, count);
        agree(&desk, model, seed);
    }
    cr_assert_eq(desk.pool.nodes, 0);
    desk_close(&desk);
    free(model);
}

Test(order, agrees_with_a_sorted_array)
{
    static const struct habits habits[] = {
        {.ranks = 1, .stride = 1, .late = 0, .standing = 100},
        {.ranks = 1, .stride = 1, .late = 30, .standing = 400},
        {.ranks = 1, .stride = 1, .late = 95, .standing = 1000},
        {.ranks = 7, .stride = 1, .late = 5, .standing = 500},
        {.ranks = 7, .stride = UINT64_MAX / 6, .late = 60, .standing = 5},
        {.ranks = 256, .stride = 1 << 24, .late = 10, .standing = 1500},
        {.ranks = 256, .stride = 3, .late = 2, .moving = 50, .standing = 2000},
        {.ranks = 600, .stride = 1, .late = 50, .standing = 2500},
        {.ranks = UINT64_MAX, .stride = 1, .late = 10, .standing = 2500},
        {.ranks = 1, .stride = 1, .late = 10, .moving = 100, .standing = 2500},
    };

    for (uint64_t seed = 1; seed <= 3; seed++)
        for (unsigned i = 0; i < ARRAY_LEN(habits); i++)
            compare(&habits[i], seed * 100 + i);
}

/* Equal sinces have no stated order, but nothing may be lost and none overtakes an older one. */
Test(order, equal_sinces_lose_nothing)
{
    struct random random = {.state = 3};
    struct desk desk;

    desk_open(&desk, TICKETS);
    for (unsigned round = 0; round < 20; round++) {
        uint32_t in = 0, out = 0;
        uint64_t since = 0;

        for (uint32_t i = 0; i < 3000; i++, in++)
            put_new(&desk, 4, random_below(&random, 1 + round * 4));
        for (uint32_t index = 1; index <= 3000 && round % 2 == 1; index += 3) {
            if (ticket_of(&desk, index)->place != TICKET_READY)
                continue;
            pawl__order_remove(&desk.order, index);
            slab_free(&desk.tickets, index);
            in--;
        }
        pawl__order_validate(&desk.order);
        for (; order_count(&desk.order) > 0; out++) {
            const uint32_t index = take_one(&desk);

            cr_assert(ticket_of(&desk, index)->since >= since);
            since = ticket_of(&desk, index)->since;
            slab_free(&desk.tickets, index);
        }
        cr_assert_eq(in, out);
    }
    desk_close(&desk);
}

Test(order, a_million_tickets_pass_within_a_second)
{
    const uint32_t count = 1000000;
    struct random random = {.state = 1};
    struct timespec begin, end;
    uint32_t taken[64];
    uint64_t rank = 0;
    struct desk desk;

    desk_open(&desk, count);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (uint32_t i = 0; i < count; i++)
        put_new(&desk, random_below(&random, 256), i);
    for (uint32_t left = count; left > 0;) {
        const uint32_t got = pawl__order_take(&desk.order, taken, ARRAY_LEN(taken));

        cr_assert(got > 0);
        for (uint32_t i = 0; i < got; i++) {
            cr_assert(ticket_of(&desk, taken[i])->rank >= rank);
            rank = ticket_of(&desk, taken[i])->rank;
        }
        left -= got;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
#if !defined(PAWL_DEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    cr_assert(end.tv_sec - begin.tv_sec + (double)(end.tv_nsec - begin.tv_nsec) / 1e9 < 1.0);
#endif
    desk_close(&desk);
}
