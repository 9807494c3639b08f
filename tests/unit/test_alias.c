/* Old ids lead to new ones, all others to themselves. */
#include "shard/alias.h"

#include "support/test.h"

Test(alias, an_empty_table_changes_nothing)
{
    struct aliases aliases = {0};
    size_t at = 0;

    cr_assert_eq(pawl__aliases_find(&aliases, 7), 7u);
    cr_assert_eq(aliases_resolve(&aliases, (struct pawl_task){9}).id, 9u);
    cr_assert(pawl__aliases_next(&aliases, &at) == NULL);
    cr_assert_eq(pawl__aliases_init(&aliases, 0), 0);
    cr_assert_eq(pawl__aliases_find(&aliases, 7), 7u);
    pawl__aliases_fini(&aliases);
}

Test(alias, every_old_id_leads_to_its_new_one)
{
    enum { COUNT = 10000 };
    static uint8_t seen[COUNT + 1];
    const struct alias *alias;
    struct aliases aliases;
    size_t at = 0, count = 0;

    cr_assert_eq(pawl__aliases_init(&aliases, COUNT), 0);
    for (uint64_t i = 1; i <= COUNT; i++)
        pawl__aliases_add(&aliases, i << 32, i);
    pawl__aliases_add(&aliases, UINT64_C(5) << 32, 55); /* it has moved on */
    for (uint64_t i = 1; i <= COUNT; i++) {
        cr_assert_eq(pawl__aliases_find(&aliases, i << 32), i == 5 ? 55 : i);
        cr_assert_eq(pawl__aliases_find(&aliases, i << 32 | 1), i << 32 | 1);
    }
    while ((alias = pawl__aliases_next(&aliases, &at)) != NULL) {
        cr_assert_eq(seen[alias->from >> 32]++, 0);
        count++;
    }
    cr_assert_eq(count, (size_t)COUNT);
    pawl__aliases_fini(&aliases);
}

Test(alias, what_is_told_of_generations_is_no_alias)
{
    struct aliases aliases;
    size_t at = 0;

    cr_assert_eq(pawl__aliases_init(&aliases, 1), 0);
    pawl__aliases_add(&aliases, 77, 0);
    cr_assert_eq(pawl__aliases_find(&aliases, 77), 77u);
    cr_assert_eq(pawl__aliases_next(&aliases, &at)->from, 77u);
    pawl__aliases_fini(&aliases);
}
