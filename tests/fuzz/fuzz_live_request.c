/*
 * fuzz_live_request.c - any bytes at all as a request to a window: what is accepted is within its
 * limits, and means the same when it is written again; what is refused is refused in words.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "watch/live_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct live_request *request)
{
    CHECK(request->choice.limit <= PAWL_LIVE_TASKS_MAX);
    CHECK(request->choice.order < SIGHT_ORDERS);
    CHECK(request->choice.state < PAWL_WORK_STATES || request->choice.state == PAWL_ANY);
    CHECK(memchr(request->lane, 0, sizeof(request->lane)) != NULL);
    CHECK(request->key_size <= KEY_SIZE_MAX);
    CHECK(request->kind == LIVE_LIST || (request->task != 0) != (request->key_size != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct live_request request, again;
    char wrong[LIVE_WRONG_MAX], line[PAWL_LIVE_REQUEST_MAX];
    const char *what = pawl__live_request_parse(&request, (const char *)data, size, wrong);
    int written;

    if (what != NULL) {
        CHECK(strlen(what) > 0 && strlen(what) < LIVE_WRONG_MAX);
        return 0;
    }
    check_request(&request);
    written = pawl__live_request_write(&request, line);
    CHECK(written > 0 && written < (int)sizeof(line) && line[written - 1] == '\n');
    CHECK(pawl__live_request_parse(&again, line, (size_t)written - 1, wrong) == NULL);
    CHECK(memcmp(&request, &again, sizeof(request)) == 0);
    return 0;
}
