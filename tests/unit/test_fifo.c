/* test_fifo.c - the chunked FIFO of a shard: order, memory asked for and given back, no memory. */
#include "queue/fifo.h"

#include "base/random.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

/* A source that counts its chunks and can run dry. */
struct counting {
    uint32_t out;   /* chunks the fifo holds */
    uint32_t gets;  /* calls of get that gave a chunk */
    uint32_t limit; /* of out */
};

static struct counting chunks;
static struct fifo fifo;

static void *counting_get(void *user)
{
    struct counting *c = user;

    if (c->out == c->limit)
        return NULL;
    c->out++;
    c->gets++;
    return aligned_alloc(FIFO_CHUNK_SIZE, FIFO_CHUNK_SIZE);
}

static void counting_put(void *user, void *chunk)
{
    struct counting *c = user;

    c->out--;
    free(chunk);
}

static void make_fifo(uint32_t limit)
{
    const struct fifo_source source = {counting_get, counting_put, &chunks};

    chunks = (struct counting){.limit = limit};
    pawl__fifo_init(&fifo, &source);
}

static bool push_number(uint64_t n)
{
    const struct cell cell = {.word = {n, ~n, n * 3, n ^ 0xff}};

    return fifo_push(&fifo, &cell);
}

static bool is_number(const struct cell *cell, uint64_t n)
{
    return cell->word[0] == n && cell->word[1] == ~n && cell->word[2] == n * 3 &&
           cell->word[3] == (n ^ 0xff);
}

/* Takes up to count cells, which must be the numbers from n on; returns how many there were. */
static uint32_t take_numbers(uint64_t n, uint32_t count)
{
    uint32_t taken = 0;

    while (taken < count) {
        uint32_t run = count - taken;
        const struct cell *cells = fifo_peek(&fifo, &run);

        if (cells == NULL)
            break;
        for (uint32_t i = 0; i < run; i++)
            cr_assert(is_number(&cells[i], n + taken + i), "wrong cell at %u", taken + i);
        fifo_release(&fifo, run);
        taken += run;
    }
    return taken;
}

Test(fifo, holds_no_memory_until_the_first_push)
{
    uint32_t count = 5;

    make_fifo(1);
    cr_assert_eq(chunks.gets, 0u);
    cr_assert(fifo_peek(&fifo, &count) == NULL);
    cr_assert_eq(count, 0u);
    pawl__fifo_validate(&fifo);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.gets, 0u);
}

Test(fifo, gives_back_in_the_order_pushed_across_chunks)
{
    const uint32_t cells = 5 * FIFO_CHUNK_CELLS + 3;

    make_fifo(UINT32_MAX);
    for (uint64_t n = 0; n < cells; n++)
        cr_assert(push_number(n));
    cr_assert_eq(fifo_count(&fifo), cells);
    cr_assert_eq(chunks.out, 6u);
    pawl__fifo_validate(&fifo);
    cr_assert_eq(take_numbers(0, UINT32_MAX), cells);
    cr_assert_eq(fifo_count(&fifo), 0u);
    pawl__fifo_validate(&fifo);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.out, 0u);
}

Test(fifo, keeps_two_chunks_at_most_when_drained)
{
    make_fifo(UINT32_MAX);
    for (uint64_t n = 0; n < 20 * FIFO_CHUNK_CELLS; n++)
        cr_assert(push_number(n));
    cr_assert_eq(chunks.out, 20u);
    take_numbers(0, UINT32_MAX);
    cr_assert(chunks.out <= 2, "%u chunks kept", chunks.out);
    pawl__fifo_fini(&fifo);
}

Test(fifo, asks_for_no_memory_when_swinging_across_a_chunk_edge)
{
    uint64_t n = 0, taken = 0;

    make_fifo(UINT32_MAX);
    while (n < FIFO_CHUNK_CELLS - 1)
        cr_assert(push_number(n++));
    taken += take_numbers(taken, 20);
    for (uint32_t i = 0; i < 10 * FIFO_CHUNK_CELLS; i++) {
        cr_assert(push_number(n++));
        cr_assert(push_number(n++));
        taken += take_numbers(taken, 2);
    }
    cr_assert_eq(n - taken, FIFO_CHUNK_CELLS - 21);
    cr_assert(chunks.gets <= 3, "%u chunks asked for", chunks.gets);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.out, 0u);
}

Test(fifo, without_memory_a_push_changes_nothing)
{
    make_fifo(1);
    for (uint64_t n = 0; n < FIFO_CHUNK_CELLS; n++)
        cr_assert(push_number(n));
    cr_assert(!push_number(999));
    cr_assert_eq(fifo_count(&fifo), FIFO_CHUNK_CELLS);
    pawl__fifo_validate(&fifo);
    chunks.limit = 2;
    cr_assert(push_number(FIFO_CHUNK_CELLS));
    cr_assert_eq(take_numbers(0, UINT32_MAX), FIFO_CHUNK_CELLS + 1);
    pawl__fifo_fini(&fifo);
}

Test(fifo, without_memory_push_many_takes_the_first_ones)
{
    static struct cell cells[3 * FIFO_CHUNK_CELLS];

    make_fifo(2);
    for (uint64_t n = 0; n < 3 * FIFO_CHUNK_CELLS; n++)
        cells[n] = (struct cell){.word = {n, ~n, n * 3, n ^ 0xff}};
    cr_assert_eq(pawl__fifo_push_many(&fifo, cells, 3 * FIFO_CHUNK_CELLS), 2 * FIFO_CHUNK_CELLS);
    cr_assert_eq(pawl__fifo_push_many(&fifo, cells, 1), 0u);
    pawl__fifo_validate(&fifo);
    cr_assert_eq(take_numbers(0, UINT32_MAX), 2 * FIFO_CHUNK_CELLS);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.out, 0u);
}

Test(fifo, without_any_memory_nothing_is_pushed)
{
    make_fifo(0);
    cr_assert(!push_number(1));
    cr_assert_eq(fifo_count(&fifo), 0u);
    pawl__fifo_validate(&fifo);
    pawl__fifo_fini(&fifo);
}

Test(fifo, peeked_cells_stay_in_place_while_more_are_pushed)
{
    const struct cell *cells;
    uint32_t count = 10;

    make_fifo(UINT32_MAX);
    for (uint64_t n = 0; n < 10; n++)
        cr_assert(push_number(n));
    cells = fifo_peek(&fifo, &count);
    for (uint64_t n = 10; n < 1000; n++)
        cr_assert(push_number(n));
    cr_assert_eq(count, 10u);
    for (uint64_t n = 0; n < 10; n++)
        cr_assert(is_number(&cells[n], n));
    pawl__fifo_fini(&fifo);
}

Test(fifo, releases_across_chunks_at_once)
{
    make_fifo(UINT32_MAX);
    for (uint64_t n = 0; n < 4 * FIFO_CHUNK_CELLS; n++)
        cr_assert(push_number(n));
    fifo_release(&fifo, 2 * FIFO_CHUNK_CELLS + 5);
    pawl__fifo_validate(&fifo);
    cr_assert_eq(take_numbers(2 * FIFO_CHUNK_CELLS + 5, 1), 1u);
    fifo_release(&fifo, fifo_count(&fifo));
    pawl__fifo_validate(&fifo);
    cr_assert_eq(fifo_count(&fifo), 0u);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.out, 0u);
}

Test(fifo, agrees_with_a_counter_under_random_operations)
{
    static struct cell cells[400];
    struct random random = {0xf1f0};
    uint64_t pushed = 0, popped = 0;

    fprintf(stderr, "fifo random operations: seed %llu\n", (unsigned long long)random.state);
    make_fifo(12);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t count = (uint32_t)random_below(&random, ARRAY_LEN(cells));

        switch (random_below(&random, 4)) {
        case 0:
            for (uint32_t k = 0; k < count; k++) {
                const uint64_t n = pushed + k;

                cells[k] = (struct cell){.word = {n, ~n, n * 3, n ^ 0xff}};
            }
            pushed += pawl__fifo_push_many(&fifo, cells, count);
            break;
        case 1:
            pushed += push_number(pushed);
            break;
        case 2: {
            uint32_t room;
            struct cell *run = fifo_claim(&fifo, &room);

            cr_assert_eq(run == NULL, room == 0);
            count = count < room ? count : room;
            for (uint32_t k = 0; k < count; k++) {
                const uint64_t n = pushed + k;

                run[k] = (struct cell){.word = {n, ~n, n * 3, n ^ 0xff}};
            }
            fifo_publish(&fifo, count);
            pushed += count;
            break;
        }
        default:
            count = take_numbers(popped, count);
            popped += count;
        }
        pawl__fifo_validate(&fifo);
        cr_assert_eq(fifo_count(&fifo), pushed - popped, "operation %u", i);
    }
    cr_assert(popped > 10000);
    pawl__fifo_fini(&fifo);
    cr_assert_eq(chunks.out, 0u);
}
