/*
 * test_plan_draw.c - a plan as a drawing: its boxes, its width, and every thread in its place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/plan_fixture.h"

static char *draw(const struct pawl_plan *plan, unsigned columns)
{
    const int length = pawl_plan_draw(plan, columns, NULL, 0);
    char *text = malloc((size_t)length + 1);

    cr_assert(length > 0 && text);
    cr_assert_eq(pawl_plan_draw(plan, columns, text, (size_t)length + 1), length);
    cr_assert_eq(strlen(text), (size_t)length);
    return text;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* The longest line, in characters. */
static unsigned text_width(const char *text)
{
    unsigned width = 0, widest = 0;

    for (; *text; text++) {
        width = *text == '\n' ? 0 : width + (((unsigned char)*text & 0xc0) != 0x80);
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void assert_drawn(const char *machine, unsigned shards, unsigned io_threads,
                         const char *expected)
{
    struct pawl_plan *plan = plan_for(machine, shards, io_threads);
    char *text = draw(plan, 0);

    cr_assert_str_eq(text, expected);
    free(text);
    pawl_plan_destroy(plan);
}

Test(plan_draw, puts_boxes_in_boxes)
{
    assert_drawn("pack:1 numa:2 l3:1 core:2 pu:2", 0, 1,
                 "┌ package 0 ────┐\n"
                 "│ ┌ node 0 ───┐ │\n"
                 "│ │ ┌ L3 0 ─┐ │ │\n"
                 "│ │ │ 0 │ 1 │ │ │\n"
                 "│ │ │IO │ · │ │ │\n"
                 "│ │ └───┴───┘ │ │\n"
                 "│ └───────────┘ │\n"
                 "│ ┌ node 1 ───┐ │\n"
                 "│ │ ┌ L3 1 ─┐ │ │\n"
                 "│ │ │ 2 │ 3 │ │ │\n"
                 "│ │ │ · │ M │ │ │\n"
                 "│ │ └───┴───┘ │ │\n"
                 "│ └───────────┘ │\n"
                 "└───────────────┘\n"
                 "number: a shard; M: the monitor; IO: an I/O thread\n"
                 "·: no thread; rows of a core: its SMT siblings\n");
}

Test(plan_draw, makes_one_box_of_a_package_and_its_only_node)
{
    assert_drawn("pack:1 numa:1 core:1 pu:1", 0, 2,
                 "┌ package 0, node 0 ┐\n"
                 "│ ┌ L3 0 ┐          │\n"
                 "│ │ 0    │          │\n"
                 "│ └──────┘          │\n"
                 "└───────────────────┘\n"
                 "number: a shard; M: the monitor; IO: an I/O thread\n"
                 "floating over all cpus: M IO0 to IO1\n");
}

Test(plan_draw, lists_what_shares_a_cpu)
{
    assert_drawn("pack:1 numa:1 core:2 pu:1", 5, 0,
                 "┌ package 0, node 0 ┐\n"
                 "│ ┌ L3 0 ┬──────┐   │\n"
                 "│ │0,2,4 │  1,3 │   │\n"
                 "│ └──────┴──────┘   │\n"
                 "└───────────────────┘\n"
                 "number: a shard; M: the monitor\n"
                 "floating over all cpus: M\n");
}

Test(plan_draw, counts_what_shares_a_cpu_of_a_large_machine)
{
    struct pawl_plan *plan = plan_for("pack:1 numa:1 core:32 pu:1", 320, 0);
    char *text = draw(plan, 0);

    cr_assert(strstr(text, "│0+9│") == NULL && strstr(text, "0,32+8│") != NULL, "%s", text);
    cr_assert(strstr(text, "; +n: and n more\n") != NULL);
    free(text);
    pawl_plan_destroy(plan);
}

Test(plan_draw, breaks_a_wide_cache_group_into_rows)
{
    struct pawl_plan *plan = plan_for("pack:1 numa:1 l3:1 core:64 pu:1", 64, 0);
    char *text = draw(plan, 0);

    cr_assert(text_width(text) <= 100);
    cr_assert(strstr(text, "│20│21│ │\n") != NULL, "three even rows:\n%s", text);
    cr_assert(strstr(text, "├──┼──┼") != NULL);
    cr_assert(strstr(text, "│62│63│  │  │ │\n") != NULL);
    free(text);
    pawl_plan_destroy(plan);
}

Test(plan_draw, fits_128_cores_in_100_columns_and_less)
{
    struct pawl_plan *plan = plan_for("pack:2 numa:1 l3:8 core:8 pu:1", 128, 1);
    char *text = draw(plan, 0);

    cr_assert(text_width(text) <= 100);
    cr_assert(count_lines(text) <= 32);
    cr_assert(strstr(text, "│120│121│122│123│124│125│126│127│"));
    cr_assert(strstr(text, "floating over all cpus: M IO\n"));
    free(text);
    for (unsigned columns = 1; columns < 200; columns += 7) {
        text = draw(plan, columns);
        cr_assert(text_width(text) <= (columns < 80 ? 80 : columns), "%u columns", columns);
        free(text);
    }
    pawl_plan_destroy(plan);
}

/* A sign of the drawing that is all of a word: between blanks, lines and commas. */
static bool is_drawn(const char *text, const char *word)
{
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        const char before = at == text ? '\n' : at[-1], after = at[strlen(word)];
        /* Characters of lines have their high bit set. */
        const bool starts = before == ' ' || before == ',' || (before & 0x80);
        const bool ends = after == ' ' || after == ',' || after == '+' || (after & 0x80);

        if (starts && ends)
            return true;
    }
    return false;
}

Test(plan_draw, shows_every_shard_of_random_machines)
{
    const uint64_t seed = 815;
    struct random random = {.state = seed};

    for (int round = 0; round < 60; round++) {
        const unsigned cores = 1 + (unsigned)random_below(&random, 12);
        char machine[96], word[16];
        struct pawl_plan *plan;
        char *text;

        snprintf(machine, sizeof(machine), "pack:%u numa:%u l3:%u core:%u pu:%u",
                 1 + (unsigned)random_below(&random, 3), 1 + (unsigned)random_below(&random, 2),
                 1 + (unsigned)random_below(&random, 4), cores,
                 1 + (unsigned)random_below(&random, 3));
        plan = plan_for(machine, 0, (unsigned)random_below(&random, 4));
        text = draw(plan, 0);
        cr_assert(text_width(text) <= 100, "seed %llu: %s:\n%s", (unsigned long long)seed, machine,
                  text);
        for (unsigned s = 0; s < pawl_plan_shards(plan); s++) {
            snprintf(word, sizeof(word), "%u", s);
            cr_assert(is_drawn(text, word), "seed %llu: %s: no shard %u:\n%s",
                      (unsigned long long)seed, machine, s, text);
        }
        cr_assert(is_drawn(text, "M") || strstr(text, "cpus: M"), "%s:\n%s", machine, text);
        free(text);
        pawl_plan_destroy(plan);
    }
}

Test(plan_draw, writes_as_snprintf_does)
{
    struct pawl_plan *plan = plan_for("core:3 pu:1", 0, 1);
    char *whole = draw(plan, 0);
    char part[80];

    for (size_t size = 1; size <= sizeof(part); size++) {
        memset(part, 'x', sizeof(part));
        cr_assert_eq(pawl_plan_draw(plan, 0, part, size), (int)strlen(whole));
        cr_assert(strlen(part) <= size - 1 && !memcmp(part, whole, strlen(part)));
        cr_assert(size == sizeof(part) || part[size] == 'x', "it writes behind the buffer");
    }
    cr_assert_eq(pawl_plan_draw(NULL, 0, part, sizeof(part)), -EINVAL);
    cr_assert_eq(pawl_plan_draw(plan, 0, NULL, 1), -EINVAL);
    free(whole);
    pawl_plan_destroy(plan);
}
