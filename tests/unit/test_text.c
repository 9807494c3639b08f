/* test_text.c - writing into a caller's buffer: cut to fit, ended, counted to the full length. */
#include "host/text.h"

#include <string.h>

#include "support/test.h"

Test(text, appends_one_after_the_other)
{
    char buffer[32];
    struct text text = {.buffer = buffer, .size = sizeof(buffer)};

    text_say(&text, "shard %u", 7u);
    text_say(&text, ", %s", "awake");
    cr_assert_str_eq(buffer, "shard 7, awake");
    cr_assert_eq(text.length, strlen("shard 7, awake"));
}

Test(text, cuts_to_fit_and_goes_on_counting)
{
    char buffer[8];
    struct text text = {.buffer = buffer, .size = 6};

    buffer[6] = buffer[7] = '#';
    text_say(&text, "%s", "abc");
    text_say(&text, "%s", "defg");
    cr_assert_str_eq(buffer, "abcde");
    cr_assert_eq(text.length, 7u);
    text_say(&text, "%s", "hijkl");
    cr_assert_str_eq(buffer, "abcde");
    cr_assert_eq(text.length, 12u);
    cr_assert(buffer[6] == '#' && buffer[7] == '#', "wrote past the end");
}

Test(text, what_just_fits_is_whole_and_one_more_is_cut)
{
    char buffer[4];
    struct text text = {.buffer = buffer, .size = sizeof(buffer)};

    text_say(&text, "abc");
    cr_assert_str_eq(buffer, "abc");
    text_say(&text, "d");
    cr_assert_str_eq(buffer, "abc");
    cr_assert_eq(text.length, 4u);
    text_say(&text, "e");
    cr_assert_str_eq(buffer, "abc");
    cr_assert_eq(text.length, 5u);
}

Test(text, counts_without_a_buffer)
{
    struct text text = {0};

    text_say(&text, "%d and ", 12);
    text_say(&text, "%d", 345);
    cr_assert_eq(text.length, strlen("12 and 345"));
}
