/*
 * test_plan_explain.c - a plan in words: a line for every thread, with the right reason.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/plan_fixture.h"

static char *explain(const struct pawl_plan *plan)
{
    const int length = pawl_plan_explain(plan, NULL, 0);
    char *text = malloc((size_t)length + 1);

    cr_assert(length > 0 && text);
    cr_assert_eq(pawl_plan_explain(plan, text, (size_t)length + 1), length);
    cr_assert_eq(strlen(text), (size_t)length);
    return text;
}

static void assert_says(const char *machine, unsigned shards, unsigned io_threads,
                        const char *expected)
{
    struct pawl_plan *plan = plan_for(machine, shards, io_threads);
    char *text = explain(plan);

    cr_assert(strstr(text, expected) != NULL, "no \"%s\" in:\n%.1000s", expected, text);
    free(text);
    pawl_plan_destroy(plan);
}

Test(plan_explain, gives_every_thread_a_line)
{
    struct pawl_plan *plan = plan_for("pack:1 numa:1 l3:1 core:2 pu:2", 3, 1);
    char *text = explain(plan);

    cr_assert_str_eq(
        text,
        "3 shards, 1 monitor, 1 I/O thread on 4 cpus: 1 package, 1 NUMA node, 1 L3 group, "
        "2 cores\n"
        "the number of shards is as asked\n"
        "shard 0: cpu 0 (core 0, L3 0, node 0, package 0): the first on its core, with shard 1 "
        "on an SMT sibling\n"
        "shard 1: cpu 1 (core 0, L3 0, node 0, package 0): SMT sibling of shard 0: there are "
        "more shards than cores\n"
        "shard 2: cpu 2 (core 1, L3 0, node 0, package 0): a core with no other shard\n"
        "monitor: cpu 3 (core 1, L3 0, node 0, package 0): SMT sibling of shard 2: no shard "
        "needs this cpu\n"
        "I/O thread 0: cpu 3 (core 1, L3 0, node 0, package 0): SMT sibling of shard 2: no "
        "shard needs this cpu\n");
    free(text);
    pawl_plan_destroy(plan);
}

Test(plan_explain, says_where_the_number_of_shards_comes_from)
{
    assert_says("core:8 pu:1", 0, 0, "is one per core, but one core is left for housekeeping\n");
    assert_says("core:8 pu:2", 0, 0, "is one per core\n");
    assert_says("core:1030 pu:1", 0, 0, "is the most that a runtime can have\n");
    assert_says("core:8 pu:1", 8, 0, "is as asked\n");
}

Test(plan_explain, says_why_others_are_where_they_are)
{
    assert_says("core:8 pu:1", 0, 0,
                "monitor: cpu 7 (core 7, L3 0, node 0, package 0): a core "
                "that no shard uses\n");
    assert_says("core:2 pu:1", 0, 0, "monitor: floats over cpus 0-1: each has a shard, ");
    assert_says("core:1 pu:1", 0, 0, "monitor: floats over cpu 0: there is no other cpu\n");
    assert_says("core:2 pu:1", 3, 0,
                "shard 0: cpu 0 (core 0, L3 0, node 0, package 0): the first "
                "of several shards on this cpu: ");
    assert_says("core:2 pu:1", 3, 0, "shard 2: cpu 0 (core 0, L3 0, node 0, package 0): shared ");
    assert_says("core:1 pu:2", 4, 0,
                "shard 1: cpu 1 (core 0, L3 0, node 0, package 0): SMT "
                "sibling of shard 0: there are more shards than cpus\n");
}

Test(plan_explain, names_every_reason)
{
    static const char *const names[] = {"core", "sibling", "shared", "housekeeping", "floating"};

    for (unsigned why = PAWL_PLACE_CORE; why <= PAWL_PLACE_FLOATING; why++)
        cr_assert_str_eq(pawl_place_name((enum pawl_place)why), names[why]);
    cr_assert_str_eq(pawl_place_name((enum pawl_place)7), "unknown");
}

Test(plan_explain, writes_as_snprintf_does)
{
    struct pawl_plan *plan = plan_for("core:3 pu:1", 0, 1);
    char *whole = explain(plan);
    char part[40];

    for (size_t size = 1; size <= sizeof(part); size++) {
        memset(part, 'x', sizeof(part));
        cr_assert_eq(pawl_plan_explain(plan, part, size), (int)strlen(whole));
        cr_assert(strlen(part) == size - 1 && !memcmp(part, whole, size - 1));
        cr_assert(size == sizeof(part) || part[size] == 'x', "it writes behind the buffer");
    }
    cr_assert_eq(pawl_plan_explain(NULL, part, sizeof(part)), -EINVAL);
    cr_assert_eq(pawl_plan_explain(plan, NULL, 1), -EINVAL);
    free(whole);
    pawl_plan_destroy(plan);
}
