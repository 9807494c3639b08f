/* Rows of a reply, taken apart: what a window may write is understood, anything else refused. */
#include <stdio.h>
#include <string.h>

#include "inspect_row.h"
#include "support/test.h"

static struct row row;
static char line[512];

/* The text is copied behind a guard that must not be read. */
static const char *parse(const char *text)
{
    const size_t size = strlen(text);

    memset(line, '"', sizeof(line));
    memcpy(line, text, size);
    return row_parse(&row, line, size);
}

Test(live_row, strings_numbers_and_truths_are_taken)
{
    cr_assert(parse("{\"row\":\"lane\",\"ready\":18446744073709551615,\"in_ns\":-5,\"paused\":true,"
                    "\"broken\":false,\"empty\":\"\"}") == NULL);
    cr_assert_eq(row.count, 6);
    cr_assert_str_eq(row_string(&row, "row"), "lane");
    cr_assert_str_eq(row_string(&row, "empty"), "");
    cr_assert_eq(row_number(&row, "ready"), UINT64_MAX);
    cr_assert_eq((int64_t)row_number(&row, "in_ns"), -5);
    cr_assert(row_bool(&row, "paused"));
    cr_assert(!row_bool(&row, "broken"));
}

Test(live_row, what_is_not_there_or_of_another_type_is_nothing)
{
    cr_assert(parse("{\"a\":\"1\",\"b\":2}") == NULL);
    cr_assert_eq(row_number(&row, "a"), 0);
    cr_assert_str_eq(row_string(&row, "b"), "");
    cr_assert_eq(row_number(&row, "c"), 0);
    cr_assert(!row_bool(&row, "b"));
    cr_assert(row_find(&row, "a", ROW_NUMBER) == NULL);
    cr_assert(row_find(&row, "a", ROW_STRING) != NULL);
}

Test(live_row, escapes_are_unpacked_in_place)
{
    cr_assert(
        parse("{\"s\":\"\\u0022\\\\\\/\\b\\f\\n\\r\\t \\u00e4\\u20ac w\xc3\xa4rm\",\"t\":\"x\"}") ==
        NULL);
    cr_assert_str_eq(row_string(&row, "s"), "\"\\/??\n?\t \xc3\xa4\xe2\x82\xac w\xc3\xa4rm");
    cr_assert_str_eq(row_string(&row, "t"), "x");
}

Test(live_row, what_a_terminal_would_obey_is_disarmed)
{
    cr_assert(parse("{\"s\":\"\\u001b[31m \\u0007 \\u007f \\u0080 \\u009b2J \\u00a0\"}") == NULL);
    cr_assert_str_eq(row_string(&row, "s"), "?[31m ? ? ? ?2J \xc2\xa0");
    for (unsigned code = 1; code < 0x100; code++) {
        char text[32];

        snprintf(text, sizeof(text), "{\"s\":\"\\u%04x\"}", code);
        cr_assert(parse(text) == NULL);
        cr_assert_eq(strcmp(row_string(&row, "s"), "?") == 0,
                     code == '?' || (code < 0x20 && code != '\n' && code != '\t') ||
                         (code >= 0x7f && code < 0xa0),
                     "%02x", code);
    }
}

Test(live_row, ids_and_bytes_are_hexadecimal)
{
    size_t size;
    const char *bytes;

    cr_assert(parse("{\"id\":\"00ffFF0000000001\",\"long\":\"00000000000000001\",\"word\":\"xy\","
                    "\"b\":\"0061ff\",\"odd\":\"abc\",\"none\":\"\"}") == NULL);
    cr_assert_eq(row_id(&row, "id"), UINT64_C(0x00ffff0000000001));
    cr_assert_eq(row_id(&row, "long"), 0);
    cr_assert_eq(row_id(&row, "word"), 0);
    bytes = row_bytes(&row, "b", &size);
    cr_assert_eq(size, 3);
    cr_assert(memcmp(bytes, "\0a\xff", 4) == 0, "it is closed by a zero");
    cr_assert(row_bytes(&row, "odd", &size) == NULL);
    cr_assert(row_bytes(&row, "word", &size) == NULL);
    cr_assert_eq(size, 0);
    cr_assert(row_bytes(&row, "none", &size) != NULL);
    cr_assert_eq(size, 0);
}

Test(live_row, what_no_window_writes_is_refused)
{
    static const char *const lines[] = {
        "",
        "{",
        "{}",
        "[]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":1}x",
        "{\"a\":1}}",
        "{a:1}",
        "{\"\":1}",
        "{\"a\":1.5}",
        "{\"a\":1e3}",
        "{\"a\":-}",
        "{\"a\":18446744073709551616}",
        "{\"a\":-9223372036854775809}",
        "{\"a\":tru}",
        "{\"a\":null}",
        "{\"a\":{}}",
        "{\"a\":[1]}",
        "{\"a\":\"b}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\x1b[2J\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\x7f\"}",
        "{\"a\":\"\x9b\"}",
        "{\"a\":\"\xc2\x9b\"}",
        "{\"a\":\"\xc0\x9b\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xc3\"}",
        "{\"a\":\"\xc3",
        " {\"a\":1}",
        "{\"a\": 1}",
    };

    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert(parse(lines[i]) != NULL, "'%s' is taken", lines[i]);
}

Test(live_row, members_beyond_the_limit_are_refused)
{
    size_t at = 1;

    memcpy(line, "{", 1);
    for (unsigned i = 0; i < ROW_MEMBERS; i++, at += 6)
        memcpy(line + at, "\"a\":1,", 6);
    line[at - 1] = '}';
    cr_assert(row_parse(&row, line, at) == NULL);
    cr_assert_eq(row.count, ROW_MEMBERS);
    memcpy(line + at - 1, ",\"a\":1}", 7);
    cr_assert(row_parse(&row, line, at + 6) != NULL);
}
