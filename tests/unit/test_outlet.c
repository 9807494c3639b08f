/* test_outlet.c - single cells written all through a turn and published at its end. */
#include "queue/outlet.h"

#include <stdio.h>

#include "base/random.h"
#include "support/test.h"

#define CAPACITY 8u

static struct cell cells[CAPACITY];
static struct spsc ring;
static struct outlet outlet;

/* The ring begins so many cells before the end of its memory. */
static void make(uint32_t to_end)
{
    const uint32_t start = CAPACITY - to_end;

    spsc_init(&ring, cells, CAPACITY);
    store_relaxed(&ring.head, start);
    store_relaxed(&ring.tail, start);
    ring.head_seen = ring.tail_seen = start;
    outlet_init(&outlet, &ring);
}

static bool put(uint64_t n)
{
    const struct cell cell = {.word = {n, ~n, n * 3, n ^ 0xff}};

    return outlet_put(&outlet, &cell);
}

static bool pop_is(uint64_t n)
{
    struct cell cell;

    return spsc_pop(&ring, &cell, 1) == 1 && cell.word[0] == n && cell.word[1] == ~n &&
           cell.word[2] == n * 3 && cell.word[3] == (n ^ 0xff);
}

Test(outlet, nothing_is_seen_before_the_flush_and_all_after_it)
{
    make(CAPACITY);
    for (uint64_t n = 0; n < 5; n++) {
        cr_assert(put(n));
        cr_assert_eq(spsc_count(&ring), 0u);
        cr_assert(spsc_is_empty_consumer(&ring));
    }
    cr_assert_eq(outlet_flush(&outlet), 5u);
    cr_assert_eq(spsc_count(&ring), 5u);
    for (uint64_t n = 0; n < 5; n++)
        cr_assert(pop_is(n));
    cr_assert(spsc_is_empty_consumer(&ring));
}

Test(outlet, a_flush_of_nothing_publishes_nothing)
{
    make(CAPACITY);
    cr_assert_eq(outlet_flush(&outlet), 0u);
    cr_assert(put(1));
    cr_assert_eq(outlet_flush(&outlet), 1u);
    cr_assert_eq(outlet_flush(&outlet), 0u);
    cr_assert_eq(spsc_count(&ring), 1u);
}

Test(outlet, goes_on_at_the_front_of_the_memory)
{
    for (uint32_t to_end = 1; to_end <= CAPACITY; to_end++) {
        make(to_end);
        for (uint64_t n = 0; n < CAPACITY; n++)
            cr_assert(put(n), "cell %llu of a ring %u before its end", (unsigned long long)n,
                      to_end);
        /* What lay before the end went out when the next run was claimed. */
        cr_assert_eq(outlet_flush(&outlet), to_end == CAPACITY ? CAPACITY : CAPACITY - to_end);
        cr_assert_eq(spsc_count(&ring), CAPACITY);
        for (uint64_t n = 0; n < CAPACITY; n++)
            cr_assert(pop_is(n));
    }
}

Test(outlet, a_full_ring_refuses_and_takes_again_when_there_is_room)
{
    make(3);
    for (uint64_t n = 0; n < CAPACITY; n++)
        cr_assert(put(n));
    for (unsigned i = 0; i < 3; i++)
        cr_assert(!put(99));
    cr_assert_eq(spsc_count(&ring), CAPACITY);
    cr_assert_eq(outlet_flush(&outlet), 0u);
    cr_assert(pop_is(0));
    cr_assert(pop_is(1));
    cr_assert(put(8));
    cr_assert(put(9));
    cr_assert(!put(99));
    outlet_flush(&outlet);
    for (uint64_t n = 2; n < 10; n++)
        cr_assert(pop_is(n));
    cr_assert(spsc_is_empty_consumer(&ring));
}

Test(outlet, a_refusal_keeps_what_was_put_before)
{
    make(CAPACITY);
    for (uint64_t n = 0; n < CAPACITY - 2; n++)
        cr_assert(put(n));
    outlet_flush(&outlet);
    cr_assert(put(6));
    cr_assert(put(7));
    cr_assert(!put(99));
    outlet_flush(&outlet);
    for (uint64_t n = 0; n < CAPACITY; n++)
        cr_assert(pop_is(n));
    cr_assert(spsc_is_empty_consumer(&ring));
}

Test(outlet, a_ring_of_one_cell_works)
{
    spsc_init(&ring, cells, 1);
    outlet_init(&outlet, &ring);
    for (uint64_t n = 0; n < 10; n++) {
        cr_assert(put(n));
        cr_assert(!put(99));
        cr_assert_eq(outlet_flush(&outlet), 0u);
        cr_assert(pop_is(n));
        cr_assert(put(n + 100));
        cr_assert_eq(outlet_flush(&outlet), 1u);
        cr_assert(pop_is(n + 100));
    }
}

Test(outlet, agrees_with_a_counter_under_random_operations)
{
    struct random random = {0x0071e7};
    uint64_t pushed = 0, popped = 0;

    fprintf(stderr, "outlet random operations: seed %#llx\n", (unsigned long long)random.state);
    make(5);
    for (unsigned i = 0; i < 20000; i++) {
        switch (random_below(&random, 4)) {
        case 0:
        case 1:
            if (pushed - popped < CAPACITY)
                cr_assert(put(pushed++));
            else
                cr_assert(!put(pushed));
            break;
        case 2:
            outlet_flush(&outlet);
            cr_assert_eq(spsc_count(&ring), pushed - popped);
            break;
        default:
            if (!spsc_is_empty_consumer(&ring))
                cr_assert(pop_is(popped++));
        }
        cr_assert(spsc_count(&ring) + outlet.used == pushed - popped);
    }
    outlet_flush(&outlet);
    while (popped < pushed)
        cr_assert(pop_is(popped++));
    cr_assert(spsc_is_empty_consumer(&ring));
}
