#include <stdio.h>

#include "machine/names.h"
#include "support/test.h"

Test(machine_names, each_name_is_found_at_its_first_position)
{
    static char names[3000][8];
    struct blocks blocks;
    struct names index;

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    cr_assert(names_init(&index, &blocks, 3000));
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i);
        cr_assert_eq(names_put(&index, names[i], i), NAME_NONE);
    }
    for (unsigned i = 0; i < 3000; i++) {
        cr_assert_eq(names_find(&index, names[i]), i);
        cr_assert_eq(names_put(&index, names[i], 7), i);
    }
    cr_assert_eq(names_find(&index, "n3000"), NAME_NONE);
    cr_assert_eq(names_find(&index, ""), NAME_NONE);
    pawl__blocks_fini(&blocks);
}

Test(machine_names, an_empty_table_finds_nothing)
{
    struct blocks blocks;
    struct names index;

    pawl__blocks_init(&blocks, &pawl__allocator_libc);
    cr_assert(names_init(&index, &blocks, 0));
    cr_assert_eq(names_find(&index, "a"), NAME_NONE);
    pawl__blocks_fini(&blocks);
}
