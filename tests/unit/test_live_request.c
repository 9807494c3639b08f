/* A window's requests: what is right is understood, anything else is refused in words. */
#include "watch/live_request.h"

#include <stdlib.h>
#include <string.h>

#include "support/test.h"

static struct live_request request;
static char wrong[LIVE_WRONG_MAX];

static const char *parse(const char *line)
{
    return pawl__live_request_parse(&request, line, strlen(line), wrong);
}

static void expect(const char *line)
{
    const char *what = parse(line);

    cr_assert(what == NULL, "'%s': %s", line, what != NULL ? what : "");
}

Test(live_request, a_list_has_defaults)
{
    expect("list");
    cr_assert_eq(request.kind, LIVE_LIST);
    cr_assert_eq(request.choice.state, PAWL_ANY);
    cr_assert_eq(request.choice.limit, 100);
    cr_assert_eq(request.choice.order, SIGHT_BY_STATE);
    cr_assert_str_eq(request.lane, "");
}

Test(live_request, a_list_is_chosen)
{
    expect("list sort=priority state=dead lane=a%20b%25 limit=4096");
    cr_assert_eq(request.choice.order, SIGHT_BY_PRIORITY);
    cr_assert_eq(request.choice.state, PAWL_WORK_DEAD);
    cr_assert_eq(request.choice.limit, 4096);
    cr_assert_str_eq(request.lane, "a b%");
}

Test(live_request, a_task_is_named_by_its_id_or_its_key)
{
    expect("task id=00ffFF");
    cr_assert_eq(request.kind, LIVE_TASK);
    cr_assert_eq(request.task, 0xffff);
    expect("task id=ffffffffffffffff");
    cr_assert_eq(request.task, UINT64_MAX);
    expect("task key=a%00%ff");
    cr_assert_eq(request.task, 0);
    cr_assert_eq(request.key_size, 3);
    cr_assert(memcmp(request.key, "a\0\xff", 3) == 0);
}

Test(live_request, what_is_wrong_is_refused_in_words)
{
    static const char *const lines[] = {
        "",
        " ",
        "lists",
        "stop",
        "list ",
        "list  state=ready",
        "list state",
        "list state=",
        "list =ready",
        "list state=leasing",
        "list state=ready state=ready",
        "list id=1",
        "list limit=4097",
        "list limit=-1",
        "list limit=1k",
        "list limit=99999999999999999999999",
        "list sort=size",
        "list sort=age%00",
        "list lane=%00",
        "list lane=12345678901234567890123456789012",
        "list lane=a\tb",
        "list lane=w\xc3\xa4rm",
        "list lane=%",
        "list lane=%4",
        "list lane=%4g",
        "task",
        "task id=0",
        "task id=g",
        "task id=1 key=a",
        "task id=10000000000000000",
        "task state=ready",
        "task key=",
        "task key=12345678901234567890123456789012345678901234567890123456789012345",
    };

    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *what = parse(lines[i]);

        cr_assert(what != NULL, "'%s' is taken", lines[i]);
        cr_assert(strlen(what) > 10, "'%s': '%s'", lines[i], what);
    }
}

Test(live_request, every_beginning_of_a_line_is_read_within_its_bounds)
{
    static const char line[] = "list sort=priority state=dead lane=a%20b limit=40";

    for (size_t size = 0; size < sizeof(line); size++) {
        char *copy = malloc(size + 1); /* the sanitizer sees what is read behind it */

        memcpy(copy, line, size);
        copy[size] = '=';
        (void)pawl__live_request_parse(&request, copy, size, wrong);
        free(copy);
    }
    cr_assert_eq(request.kind, LIVE_LIST);
}

Test(live_request, what_is_written_is_read_again)
{
    struct live_request written = {.kind = LIVE_TASK, .key_size = KEY_SIZE_MAX};
    char line[PAWL_LIVE_REQUEST_MAX];
    int size;

    memset(written.key, 0xfe, sizeof(written.key));
    size = pawl__live_request_write(&written, line);
    cr_assert_eq(line[size - 1], '\n');
    line[size - 1] = '\0';
    expect(line);
    cr_assert_eq(request.key_size, KEY_SIZE_MAX);
    cr_assert(memcmp(request.key, written.key, KEY_SIZE_MAX) == 0);

    written = (struct live_request){
        .kind = LIVE_LIST,
        .lane = "a lane = % of 31 printable byt",
        .choice = {.state = PAWL_WORK_LEASED, .limit = 7, .order = SIGHT_BY_AGENT}};
    line[pawl__live_request_write(&written, line) - 1] = '\0';
    expect(line);
    cr_assert_str_eq(request.lane, written.lane);
    cr_assert_eq(request.choice.state, PAWL_WORK_LEASED);
    cr_assert_eq(request.choice.limit, 7);
    cr_assert_eq(request.choice.order, SIGHT_BY_AGENT);

    written = (struct live_request){.kind = LIVE_TASK, .task = 0xabc};
    line[pawl__live_request_write(&written, line) - 1] = '\0';
    cr_assert_str_eq(line, "task id=abc");
}
