/* What pages.h promises: alignment, zeroes, accounting, injected failures. */
#include "host/pages.h"

#include <string.h>

#include "support/test.h"

Test(pages, large_reservations_start_on_a_huge_page)
{
    struct pages_stats stats = {0};
    char *large = pawl__pages_reserve(3 * PAGE_BYTES_HUGE, PAGES_HUGE, &stats);

    cr_assert(large != NULL);
    cr_assert_eq((uintptr_t)large % PAGE_BYTES_HUGE, 0u);
    large[0] = 1;
    large[3 * PAGE_BYTES_HUGE - 1] = 1;
    pawl__pages_unmap(large, 3 * PAGE_BYTES_HUGE, &stats);
}

Test(pages, counts_what_is_reserved_in_whole_pages)
{
    struct pages_stats stats = {0};
    void *a = pawl__pages_reserve(1, PAGES_PLAIN, &stats);
    void *b = pawl__pages_reserve(PAGE_BYTES + 1, PAGES_SMALL, &stats);

    cr_assert(a != NULL && b != NULL);
    cr_assert_eq(load_relaxed(&stats.reserved), 3 * PAGE_BYTES);
    pawl__pages_unmap(a, 1, &stats);
    cr_assert_eq(load_relaxed(&stats.reserved), 2 * PAGE_BYTES);
    pawl__pages_unmap(b, PAGE_BYTES + 1, &stats);
    cr_assert_eq(load_relaxed(&stats.reserved), 0u);
    cr_assert_eq(load_relaxed(&stats.reserved_peak), 3 * PAGE_BYTES);
}

Test(pages, unmaps_from_the_start_in_pieces)
{
    struct pages_stats stats = {0};
    char *memory = pawl__pages_reserve(4 * PAGE_BYTES, PAGES_SMALL, &stats);

    cr_assert(memory != NULL);
    memset(memory, 7, 4 * PAGE_BYTES);
    pawl__pages_unmap(memory, 3 * PAGE_BYTES, &stats);
    cr_assert_eq(memory[3 * PAGE_BYTES], 7);
    pawl__pages_unmap(memory + 3 * PAGE_BYTES, PAGE_BYTES, &stats);
    cr_assert_eq(load_relaxed(&stats.reserved), 0u);
}

Test(pages, memory_given_back_reads_as_zeroes_and_its_neighbours_stay)
{
    struct pages_stats stats = {0};
    char *memory = pawl__pages_reserve(3 * PAGE_BYTES, PAGES_SMALL, &stats);

    cr_assert(memory != NULL);
    memset(memory, 9, 3 * PAGE_BYTES);
    cr_assert_eq(pawl__pages_give_back(memory + PAGE_BYTES, PAGE_BYTES), 0);
    for (size_t at = 0; at < 3 * PAGE_BYTES; at++)
        cr_assert_eq(memory[at], at / PAGE_BYTES == 1 ? 0 : 9);
    pawl__pages_unmap(memory, 3 * PAGE_BYTES, &stats);
}

Test(pages, refuses_what_cannot_be_given_back)
{
    cr_assert(pawl__pages_give_back((void *)1, PAGE_BYTES) < 0);
}

Test(pages, reserves_nothing_for_no_bytes_and_too_many)
{
    struct pages_stats stats = {0};

    cr_assert(pawl__pages_reserve(0, PAGES_PLAIN, &stats) == NULL);
    cr_assert(pawl__pages_reserve((size_t)1 << 62, PAGES_PLAIN, &stats) == NULL);
    cr_assert_eq(load_relaxed(&stats.reserved), 0u);
}

Test(pages, fails_the_nth_reservation_once)
{
    struct pages_stats stats = {0};

    pawl__pages_fail_nth(2);
    void *first = pawl__pages_reserve(1, PAGES_PLAIN, &stats);
    void *second = pawl__pages_reserve(1, PAGES_PLAIN, &stats);
    void *third = pawl__pages_reserve(1, PAGES_PLAIN, &stats);

    pawl__pages_fail_nth(0);
    cr_assert(first != NULL && second == NULL && third != NULL);
    pawl__pages_unmap(first, 1, &stats);
    pawl__pages_unmap(third, 1, &stats);
    cr_assert_eq(load_relaxed(&stats.reserved), 0u);
}
