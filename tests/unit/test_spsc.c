/*
 * test_spsc.c - the single-producer, single-consumer ring, both ends on one thread. What two
 * threads can do to it is tests/stress/stress_spsc.c.
 */
#include "queue/spsc.h"

#include "base/random.h"
#include "support/test.h"

#include <stdio.h>

#define CAPACITY 8u

static struct spsc ring;
static struct cell memory[CAPACITY];

/* An empty ring whose indices stand at `at`, as after that many cells. */
static void make_ring_at(uint32_t at)
{
    spsc_init(&ring, memory, CAPACITY);
    store_relaxed(&ring.head, at);
    store_relaxed(&ring.tail, at);
    ring.head_seen = at;
    ring.tail_seen = at;
}

static struct cell cell_of(uint64_t n)
{
    return (struct cell){.word = {n, ~n, n << 7, n ^ 0x5a5a}};
}

static bool is_cell(const struct cell *cell, uint64_t n)
{
    const struct cell wanted = cell_of(n);

    return memcmp(cell, &wanted, sizeof(wanted)) == 0;
}

static void fill_cells(struct cell *cells, uint32_t count, uint64_t from)
{
    for (uint32_t i = 0; i < count; i++)
        cells[i] = cell_of(from + i);
}

Test(spsc, is_empty_at_first)
{
    struct cell out[1];
    uint32_t count = 1;

    make_ring_at(0);
    cr_assert(spsc_is_empty_consumer(&ring));
    cr_assert_eq(spsc_count(&ring), 0u);
    cr_assert_eq(spsc_room(&ring), CAPACITY);
    cr_assert_eq(spsc_capacity(&ring), CAPACITY);
    cr_assert_eq(spsc_pop(&ring, out, 1), 0u);
    cr_assert(spsc_peek(&ring, &count) == NULL);
    cr_assert_eq(count, 0u);
}

Test(spsc, pops_in_the_order_pushed)
{
    struct cell in[5], out[5];

    make_ring_at(0);
    fill_cells(in, 5, 100);
    cr_assert_eq(spsc_push(&ring, in, 5), 5u);
    cr_assert_eq(spsc_count(&ring), 5u);
    cr_assert_eq(spsc_pop(&ring, out, 2), 2u);
    cr_assert_eq(spsc_pop(&ring, out + 2, 5), 3u);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert(is_cell(&out[i], 100 + i), "cell %u", i);
}

Test(spsc, pushes_only_the_first_that_fit)
{
    struct cell in[CAPACITY + 3], out[CAPACITY];

    make_ring_at(0);
    fill_cells(in, CAPACITY + 3, 1);
    cr_assert(spsc_room_at_least(&ring, CAPACITY));
    cr_assert(!spsc_room_at_least(&ring, CAPACITY + 1));
    cr_assert_eq(spsc_push(&ring, in, CAPACITY + 3), CAPACITY);
    cr_assert_eq(spsc_room(&ring), 0u);
    cr_assert_eq(spsc_push(&ring, in, 1), 0u);
    cr_assert_eq(spsc_pop(&ring, out, CAPACITY), CAPACITY);
    cr_assert(is_cell(&out[CAPACITY - 1], CAPACITY));
}

Test(spsc, takes_and_gives_unaligned_items)
{
    char in[3 * 32 + 1], out[3 * 32 + 3];

    make_ring_at(6);
    for (uint32_t i = 0; i < sizeof(in); i++)
        in[i] = (char)i;
    cr_assert_eq(spsc_push(&ring, in + 1, 3), 3u);
    cr_assert_eq(spsc_pop(&ring, out + 3, 3), 3u);
    cr_assert_eq(memcmp(out + 3, in + 1, 96), 0);
}

Test(spsc, claims_up_to_the_end_of_memory_then_goes_on)
{
    struct cell out[5];
    uint32_t count = 5;
    struct cell *cells;

    make_ring_at(6);
    cells = spsc_claim(&ring, &count);
    cr_assert(cells == &memory[6]);
    cr_assert_eq(count, 2u);
    fill_cells(cells, 2, 1);
    spsc_publish(&ring, 2);
    count = 3;
    cells = spsc_claim(&ring, &count);
    cr_assert(cells == &memory[0]);
    cr_assert_eq(count, 3u);
    fill_cells(cells, 3, 3);
    spsc_publish(&ring, 3);
    cr_assert_eq(spsc_pop(&ring, out, 5), 5u);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert(is_cell(&out[i], 1 + i), "cell %u", i);
}

Test(spsc, claimed_cells_are_unseen_until_published)
{
    uint32_t count = 4;
    struct cell *cells;

    make_ring_at(0);
    cells = spsc_claim(&ring, &count);
    fill_cells(cells, 4, 1);
    cr_assert(spsc_is_empty_consumer(&ring));
    cr_assert_eq(spsc_room(&ring), CAPACITY);
    spsc_publish(&ring, 1);
    cr_assert_eq(spsc_count(&ring), 1u);
    count = 9;
    cr_assert(spsc_claim(&ring, &count) == &memory[1]);
    cr_assert_eq(count, CAPACITY - 1);
}

Test(spsc, claim_of_a_full_ring_is_null)
{
    struct cell in[CAPACITY];
    uint32_t count = 1;

    make_ring_at(3);
    fill_cells(in, CAPACITY, 1);
    cr_assert_eq(spsc_push(&ring, in, CAPACITY), CAPACITY);
    cr_assert(spsc_claim(&ring, &count) == NULL);
    cr_assert_eq(count, 0u);
}

Test(spsc, peeked_cells_stay_until_released)
{
    struct cell in[CAPACITY];
    const struct cell *cells;
    uint32_t count = CAPACITY;

    make_ring_at(5);
    fill_cells(in, CAPACITY, 1);
    cr_assert_eq(spsc_push(&ring, in, CAPACITY), CAPACITY);
    cells = spsc_peek(&ring, &count);
    cr_assert(cells == &memory[5]);
    cr_assert_eq(count, 3u, "up to the end of the memory");
    cr_assert_eq(spsc_room(&ring), 0u, "peeking makes no room");
    spsc_release(&ring, 2);
    cr_assert_eq(spsc_room(&ring), 2u);
    count = CAPACITY;
    cells = spsc_peek(&ring, &count);
    cr_assert_eq(count, 1u);
    cr_assert(is_cell(cells, 3));
    spsc_release(&ring, 1);
    count = 4;
    cells = spsc_peek(&ring, &count);
    cr_assert_eq(count, 4u, "no more than asked for");
    cr_assert(is_cell(&cells[3], 7));
}

Test(spsc, works_where_the_indices_wrap)
{
    struct cell in[3], out[3];

    make_ring_at(UINT32_MAX - 10);
    for (uint64_t n = 0; n < 60; n += 3) {
        fill_cells(in, 3, n);
        cr_assert_eq(spsc_push(&ring, in, 3), 3u);
        cr_assert_eq(spsc_count(&ring), 3u);
        cr_assert_eq(spsc_pop(&ring, out, 3), 3u);
        cr_assert(is_cell(&out[0], n) && is_cell(&out[2], n + 2));
    }
}

Test(spsc, works_with_room_for_one)
{
    struct cell one = cell_of(9), out;

    spsc_init(&ring, memory, 1);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(spsc_push(&ring, &one, 1), 1u);
        cr_assert_eq(spsc_push(&ring, &one, 1), 0u);
        cr_assert_eq(spsc_pop(&ring, &out, 2), 1u);
        cr_assert(is_cell(&out, 9));
    }
}

/* One random operation against what was pushed and popped so far. */
static void random_operation(struct random *random, uint64_t *pushed, uint64_t *popped)
{
    struct cell cells[2 * CAPACITY];
    uint32_t count = (uint32_t)random_below(random, 2 * CAPACITY);
    const uint32_t fill = (uint32_t)(*pushed - *popped);
    const uint32_t room = CAPACITY - fill;
    const struct cell *seen = cells;
    struct cell *claimed;

    switch (random_below(random, 4)) {
    case 0:
        fill_cells(cells, count, *pushed);
        cr_assert_eq(spsc_push(&ring, cells, count), count < room ? count : room);
        *pushed += count < room ? count : room;
        break;
    case 1:
        claimed = spsc_claim(&ring, &count);
        cr_assert(count <= room);
        cr_assert((claimed == NULL) == (count == 0));
        if (count > 0) {
            fill_cells(claimed, count, *pushed);
            spsc_publish(&ring, count);
        }
        *pushed += count;
        break;
    case 2:
        cr_assert_eq(spsc_pop(&ring, cells, count), count < fill ? count : fill);
        count = count < fill ? count : fill;
        for (uint32_t i = 0; i < count; i++)
            cr_assert(is_cell(&cells[i], *popped + i));
        *popped += count;
        break;
    default:
        seen = spsc_peek(&ring, &count);
        cr_assert(count <= fill);
        cr_assert((seen == NULL) == (count == 0));
        for (uint32_t i = 0; i < count; i++)
            cr_assert(is_cell(&seen[i], *popped + i));
        spsc_release(&ring, count);
        *popped += count;
    }
}

Test(spsc, agrees_with_a_counter_under_random_operations)
{
    struct random random = {0x5eed};
    uint64_t pushed = 0, popped = 0;

    fprintf(stderr, "spsc random operations: seed %llu\n", (unsigned long long)random.state);
    make_ring_at(UINT32_MAX - 1000);
    for (uint32_t i = 0; i < 20000; i++) {
        random_operation(&random, &pushed, &popped);
        cr_assert_eq(spsc_count(&ring), (uint32_t)(pushed - popped), "operation %u", i);
        cr_assert_eq(spsc_room(&ring), CAPACITY - (uint32_t)(pushed - popped));
        cr_assert_eq(spsc_is_empty_consumer(&ring), pushed == popped);
    }
    cr_assert(popped > 10000, "only %llu cells went through", (unsigned long long)popped);
}
