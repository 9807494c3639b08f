/*
 * Reports in events: what is written is read again, and what is no report is refused.
 */
#include "agent/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"
#include "task/event.h"

static void compare(const struct pawl_reported *a, const struct pawl_reported *b)
{
    cr_assert_eq(a->token, b->token);
    cr_assert_eq(a->value, b->value);
    cr_assert_eq(a->hash, b->hash);
    cr_assert_eq(a->id, b->id);
    cr_assert_eq(a->klass, b->klass);
    cr_assert_eq(a->size, b->size);
    cr_assert(a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* Writes, reads, compares; returns whether it took a buffer. */
static bool round_trip(const struct pawl_reported *reported)
{
    struct pawl_event event = {.task = {7}, .code = 3, .flags = PAWL_EVENT_COMPLETE, .tag = 9};
    struct pawl_reported read;
    bool buffer;

    cr_assert_eq(pawl__report_write(reported, &event), 0);
    cr_assert_eq(event.task.id, 7u);
    cr_assert_eq(event.code, 3u);
    cr_assert_eq(event.tag, 9u);
    cr_assert((event.flags & PAWL_EVENT_COMPLETE) != 0);
    memset(&read, 0xff, sizeof(read));
    cr_assert_eq(pawl_report_read(&event, &read), 0);
    compare(reported, &read);
    buffer = (event.flags & PAWL_EVENT_BUFFER) != 0;
    event_drop_buffer(&event);
    return buffer;
}

Test(agent_report, a_short_report_is_all_in_the_event)
{
    const struct pawl_reported small = {
        .token = UINT64_MAX, .value = UINT32_MAX, .id = REPORT_ID_MAX, .klass = 255};
    const struct pawl_reported none = {0};

    cr_assert(!round_trip(&small));
    cr_assert(!round_trip(&none));
}

Test(agent_report, what_does_not_fit_goes_into_a_buffer)
{
    struct pawl_reported reported = {.token = 5, .id = 1, .klass = 2, .value = UINT32_MAX + 1ull};

    cr_assert(round_trip(&reported));
    reported.value = 1;
    reported.hash = 1;
    cr_assert(round_trip(&reported));
    reported.hash = 0;
    reported.bytes = "x";
    reported.size = 1;
    cr_assert(round_trip(&reported));
}

Test(agent_report, evidence_of_every_size_comes_back)
{
    struct random random = {.state = 11};
    char *bytes = malloc(PAWL_REPORT_BYTES_MAX);

    cr_assert(bytes != NULL);
    for (size_t i = 0; i < PAWL_REPORT_BYTES_MAX; i++)
        bytes[i] = (char)random_next(&random);
    for (unsigned i = 0; i < 400; i++) {
        const size_t size = i < 100    ? i
                            : i == 100 ? PAWL_REPORT_BYTES_MAX
                                       : random_below(&random, PAWL_REPORT_BYTES_MAX + 1);
        const struct pawl_reported reported = {
            .token = random_next(&random),
            .value = random_next(&random) >> random_below(&random, 64),
            .hash = i % 3 == 0 ? 0 : random_next(&random),
            .id = (uint32_t)random_below(&random, REPORT_ID_MAX + 1),
            .klass = (uint8_t)random_next(&random),
            .bytes = size > 0 ? bytes : NULL,
            .size = size,
        };

        round_trip(&reported);
    }
    free(bytes);
}

Test(agent_report, events_of_timers_and_askers_are_no_reports)
{
    struct pawl_event event = {.arg = {5, 0}};
    struct pawl_reported reported;

    cr_assert_eq(pawl_report_read(&event, &reported), 0);
    event.flags = PAWL_EVENT_TIMER;
    cr_assert_eq(pawl_report_read(&event, &reported), -EINVAL);
    event.flags = PAWL_EVENT_ASK | PAWL_EVENT_COMPLETE;
    cr_assert_eq(pawl_report_read(&event, &reported), -EINVAL);
    event.flags = PAWL_EVENT_BUFFER;
    event.arg[0] = 0;
    cr_assert_eq(pawl_report_read(&event, &reported), -EINVAL);
}

static int read_bytes(const void *bytes, size_t size, struct pawl_reported *reported)
{
    struct pawl_buffer *buffer = pawl_buffer_create(size);
    struct pawl_event event = {.flags = PAWL_EVENT_BUFFER, .arg = {(uint64_t)(uintptr_t)buffer}};
    int error;

    cr_assert(buffer != NULL);
    if (size > 0)
        memcpy(pawl_buffer_bytes(buffer), bytes, size);
    error = pawl_report_read(&event, reported);
    if (error == 0) { /* what it says must all be there: a sanitizer looks on */
        const char *at = reported->bytes;
        unsigned sum = 0;

        for (size_t i = 0; i < reported->size; i++)
            sum += (unsigned char)at[i];
        cr_assert(sum <= 255 * reported->size);
        cr_assert_eq(reported->size + 40, size);
        cr_assert(reported->id <= REPORT_ID_MAX);
    }
    pawl_buffer_unref(buffer);
    return error;
}

Test(agent_report, a_buffer_that_is_too_short_or_too_long_is_refused)
{
    const struct pawl_reported good = {.token = 1, .id = 2, .bytes = "evidence", .size = 8};
    struct pawl_event event = {.flags = 0};
    struct pawl_reported reported;
    char bytes[64] = {0};

    cr_assert_eq(pawl__report_write(&good, &event), 0);
    memcpy(bytes, pawl_buffer_bytes(event_buffer(&event)), 48);
    for (size_t size = 0; size <= sizeof(bytes); size++)
        cr_assert_eq(read_bytes(bytes, size, &reported), size == 48 ? 0 : -EINVAL, "%zu bytes",
                     size);
    event_drop_buffer(&event);
}

Test(agent_report, more_evidence_than_is_allowed_is_refused)
{
    const struct pawl_reported good = {.token = 1, .bytes = "x", .size = 1};
    const size_t size = 40 + PAWL_REPORT_BYTES_MAX + 1;
    const uint32_t claimed = PAWL_REPORT_BYTES_MAX + 1;
    struct pawl_event event = {.flags = 0};
    struct pawl_reported reported;
    char *bytes = calloc(1, size);

    cr_assert(bytes != NULL);
    cr_assert_eq(pawl__report_write(&good, &event), 0);
    memcpy(bytes, pawl_buffer_bytes(event_buffer(&event)), 40);
    memcpy(bytes + 32, &claimed, sizeof(claimed));
    cr_assert_eq(read_bytes(bytes, size, &reported), -EINVAL);
    event_drop_buffer(&event);
    free(bytes);
}

/* Any bytes at all, and reports with some of theirs changed. */
Test(agent_report, no_buffer_makes_it_read_beyond_the_end)
{
    struct random random = {.state = 17};
    unsigned accepted = 0;

    for (unsigned i = 0; i < 20000; i++) {
        const struct pawl_reported good = {
            .token = 1, .id = 3, .bytes = "some evidence", .size = 13};
        struct pawl_event event = {.flags = 0};
        struct pawl_reported reported;
        char bytes[80];
        size_t size = random_below(&random, sizeof(bytes) + 1);

        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (char)random_next(&random);
        if (i % 4 != 0) {
            cr_assert_eq(pawl__report_write(&good, &event), 0);
            memcpy(bytes, pawl_buffer_bytes(event_buffer(&event)), 53);
            event_drop_buffer(&event);
            bytes[random_below(&random, 53)] = (char)random_next(&random);
            if (i % 2 != 0)
                size = 53;
        }
        accepted += read_bytes(bytes, size, &reported) == 0;
    }
    cr_assert(accepted > 1000, "only %u of them were reports", accepted);
}

Test(agent_report, every_kind_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < PAWL_REPORT_KINDS; i++)
        for (unsigned k = 0; k < i; k++)
            cr_assert(strcmp(pawl_report_name((enum pawl_report_kind)i),
                             pawl_report_name((enum pawl_report_kind)k)) != 0);
    cr_assert_str_eq(pawl_report_name(PAWL_REPORT_DONE), "done");
    cr_assert_str_eq(pawl_report_name(PAWL_REPORT_REJECT), "reject");
    cr_assert_str_eq(pawl_report_name(PAWL_REPORT_KINDS), "?");
}
