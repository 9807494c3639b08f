#include <string.h>

#include "machine/path.h"
#include "support/test.h"

/* x and p are outermost; p holds q and b; q holds a and c. Initial: p q, q a. */
static const char *const events[] = {"e"};
static const struct pawl_state_def states[] = {
    {.name = "x"},
    {.name = "p", .initial = "q"},
    {.name = "q", .parent = "p", .initial = "a"},
    {.name = "a", .parent = "q"},
    {.name = "c", .parent = "q"},
    {.name = "b", .parent = "p"},
};
static const struct pawl_machine_def definition = {
    .name = "m", PAWL_TABLE(events), PAWL_TABLE(states)};

enum { X, P, Q, A, C, B };

/* "exits > entries", by the first letters of the states. */
static const char *path_of(unsigned leaf, unsigned from, unsigned to, unsigned child)
{
    static char text[2 * NESTING_MAX + 4];
    struct findings findings;
    struct blocks scratch;
    struct machine_source *source;
    struct path path;
    unsigned length = 0;

    pawl__blocks_init(&scratch, &pawl__allocator_libc);
    pawl__findings_init(&findings, &definition, &scratch);
    source = pawl__source_create(&definition, &findings, &pawl__allocator_libc);
    cr_assert(source && findings.errors == 0);
    path_exits(source, &path, leaf, path_kept(source, from, to));
    path_entries(source, &path, path_kept(source, from, to), to, child);
    for (unsigned i = 0; i < path.exits_count; i++)
        text[length++] = states[path.exits[i]].name[0];
    text[length++] = '>';
    for (unsigned i = 0; i < path.entries_count; i++)
        text[length++] = states[path.entries[i]].name[0];
    text[length] = '\0';
    if (path.entries_count)
        cr_assert_eq(path_target(&path, leaf), path.entries[path.entries_count - 1]);
    cr_assert_eq(path_exited_child(&path, Q), (unsigned)(strstr(text, "aq")   ? A
                                                         : strstr(text, "cq") ? C
                                                                              : SOURCE_NONE));
    pawl__source_destroy(source);
    pawl__blocks_fini(&scratch);
    return text;
}

Test(machine_path, to_another_tree)
{
    cr_assert_str_eq(path_of(X, X, P, SOURCE_NONE), "x>pqa");
    cr_assert_str_eq(path_of(A, A, X, SOURCE_NONE), "aqp>x");
    cr_assert_str_eq(path_of(A, P, X, SOURCE_NONE), "aqp>x");
    cr_assert_str_eq(path_of(X, X, C, SOURCE_NONE), "x>pqc");
}

Test(machine_path, within_a_parent)
{
    cr_assert_str_eq(path_of(A, A, C, SOURCE_NONE), "a>c");
    cr_assert_str_eq(path_of(A, A, B, SOURCE_NONE), "aq>b");
    cr_assert_str_eq(path_of(A, Q, B, SOURCE_NONE), "aq>b");
    cr_assert_str_eq(path_of(B, B, Q, SOURCE_NONE), "b>qa");
}

Test(machine_path, to_itself)
{
    cr_assert_str_eq(path_of(A, A, A, SOURCE_NONE), "a>a");
    cr_assert_str_eq(path_of(C, Q, Q, SOURCE_NONE), "cq>qa");
    cr_assert_str_eq(path_of(C, P, P, SOURCE_NONE), "cqp>pqa");
}

Test(machine_path, to_a_descendant_or_an_ancestor_keeps_the_outer_one)
{
    cr_assert_str_eq(path_of(A, P, B, SOURCE_NONE), "aq>b");
    cr_assert_str_eq(path_of(A, P, A, SOURCE_NONE), "aq>qa");
    cr_assert_str_eq(path_of(B, P, B, SOURCE_NONE), "b>b");
    cr_assert_str_eq(path_of(C, C, Q, SOURCE_NONE), "c>a");
    cr_assert_str_eq(path_of(C, C, P, SOURCE_NONE), "cq>qa");
}

Test(machine_path, a_remembered_child_takes_the_place_of_the_initial_one)
{
    cr_assert_str_eq(path_of(X, X, P, B), "x>pb");
    cr_assert_str_eq(path_of(X, X, Q, C), "x>pqc");
    cr_assert_str_eq(path_of(A, A, P, B), "aq>b");
}
