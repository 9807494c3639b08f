/*
 * Names of agents that a store brings back: many leases an incarnation, one name.
 */
#include "shard/formers.h"
#include "support/test.h"

Test(formers, an_incarnation_that_was_not_there_has_no_name)
{
    struct formers formers = {.count = 0};

    pawl__formers_seal(&formers);
    cr_assert_eq(pawl__formers_name(&formers, 1), 0u);
    cr_assert_eq(pawl__formers_add(&formers, 5, 50), 0);
    pawl__formers_seal(&formers);
    cr_assert_eq(pawl__formers_name(&formers, 4), 0u);
    cr_assert_eq(pawl__formers_name(&formers, 5), 50u);
    pawl__formers_fini(&formers);
}

/* A lease of an older store says nothing of the name; a newer one may. */
Test(formers, a_name_that_is_known_once_is_known)
{
    struct formers formers = {.count = 0};

    cr_assert_eq(pawl__formers_add(&formers, 7, 0), 0);
    cr_assert_eq(pawl__formers_add(&formers, 7, 70), 0);
    cr_assert_eq(pawl__formers_add(&formers, 7, 0), 0);
    cr_assert_eq(pawl__formers_add(&formers, 8, 0), 0);
    pawl__formers_seal(&formers);
    cr_assert_eq(pawl__formers_name(&formers, 7), 70u);
    cr_assert_eq(pawl__formers_name(&formers, 8), 0u);
    pawl__formers_fini(&formers);
}

Test(formers, there_is_one_for_each_however_many_leases)
{
    struct formers formers = {.count = 0};

    for (uint64_t i = 0; i < 100000; i++)
        cr_assert_eq(pawl__formers_add(&formers, 1 + i * 7919 % 300, 1000 + i * 7919 % 300), 0);
    cr_assert(formers.room <= 1024, "room for %zu", formers.room);
    pawl__formers_seal(&formers);
    cr_assert_eq(formers.count, 300u);
    for (uint32_t i = 0; i < 300; i++)
        cr_assert_eq(pawl__formers_name(&formers, 1 + i), 1000 + i);
    pawl__formers_fini(&formers);
}
