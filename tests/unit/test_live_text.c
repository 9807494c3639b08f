/* Rows of text: what is said is JSON, and rows are whole or not there. */
#include "watch/live_text.h"

#include <string.h>

#include "support/test.h"

static void expect_rows(const struct live_text *text, const char *wanted)
{
    cr_assert_eq(text->rows, strlen(wanted), "%zu bytes", text->rows);
    cr_assert(memcmp(text->bytes, wanted, text->rows) == 0, "%.*s", (int)text->rows, text->bytes);
}

Test(live_text, strings_are_json_whatever_is_in_them)
{
    struct live_text text = {.limit = 1000};

    pawl__live_text_string(&text, "a\"b\\c\nd\x01\x7f w\xc3\xa4rm \xff\xc3");
    cr_assert(pawl__live_text_end_row(&text));
    expect_rows(&text, "\"a\\u0022b\\u005cc\\u000ad\\u0001\\u007f w\xc3\xa4rm \\ufffd\\ufffd\"\n");
    pawl__live_text_fini(&text);
}

Test(live_text, bytes_are_two_digits_each)
{
    struct live_text text = {.limit = 1000};

    pawl__live_text_hex(&text, "\x00\x9f\xff", 3);
    pawl__live_text_hex(&text, NULL, 0);
    pawl__live_text_end_row(&text);
    expect_rows(&text, "\"009fff\"\"\"\n");
    pawl__live_text_fini(&text);
}

Test(live_text, a_row_that_does_not_fit_is_not_there_at_all)
{
    struct live_text text = {.limit = 10};

    pawl__live_text_say(&text, "%d", 1234);
    cr_assert(pawl__live_text_end_row(&text));
    pawl__live_text_say(&text, "56");
    pawl__live_text_say(&text, "7890");
    cr_assert(!pawl__live_text_end_row(&text));
    cr_assert(text.full);
    expect_rows(&text, "1234\n");
    /* Nor is a later one that would fit: what is missing is at the end. */
    pawl__live_text_say(&text, "5");
    cr_assert(!pawl__live_text_end_row(&text));
    expect_rows(&text, "1234\n");
    pawl__live_text_fini(&text);
}

Test(live_text, it_grows_up_to_its_limit_and_no_farther)
{
    struct live_text text = {.limit = 100000};
    unsigned rows = 0;

    do
        pawl__live_text_say(&text, "%099d", 7);
    while (pawl__live_text_end_row(&text) && ++rows < 5000);
    cr_assert_eq(rows, 1000);
    cr_assert_eq(text.rows, 100000);
    cr_assert(text.capacity <= text.limit);
    pawl__live_text_fini(&text);
}
