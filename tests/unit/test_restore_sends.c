/* Events by number, forgotten from the front. */
#include "shard/restore_sends.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"

static bool add(struct sends *sends, uint64_t number, size_t payload)
{
    const size_t size = sizeof(struct entry_send) + payload;
    struct entry_send *entry = calloc(1, size);
    bool added;

    entry->header.words = (uint16_t)(size / 8);
    entry->number = number;
    entry->event.size = (uint32_t)payload;
    memset(entry->event.payload, (int)(number % 251), payload);
    added = pawl__sends_add(sends, entry);
    free(entry);
    return added;
}

Test(restore_sends, they_come_out_as_they_went_in)
{
    struct random random = {1};
    struct sends sends = {0};
    uint64_t first = 1;

    for (uint64_t number = 1; number <= 20000; number++) {
        const size_t payload =
            random_below(&random, 100) == 0 ? EVENT_PAYLOAD_MAX : 8 * random_below(&random, 20);

        cr_assert(add(&sends, number, payload));
        if (random_below(&random, 3) == 0)
            first += random_below(&random, 7);
        if (first > number + 1)
            first = number + 1;
        pawl__sends_trim(&sends, first - 1);
        cr_assert_eq(sends.count, number + 1 - first);
        if (sends.count > 0) {
            const struct entry_send *entry = sends_first(&sends);

            cr_assert_eq(entry->number, first);
            for (size_t i = 0; i < entry->event.size; i += 4096)
                cr_assert_eq(entry->event.payload[i], first % 251);
        }
    }
    pawl__sends_fini(&sends);
}

Test(restore_sends, what_is_not_newer_is_passed_over)
{
    struct sends sends = {0};

    cr_assert(add(&sends, 3, 0));
    cr_assert(add(&sends, 4, 0));
    cr_assert(add(&sends, 4, 0));
    cr_assert(add(&sends, 2, 0));
    cr_assert_eq(sends.count, 2u);
    cr_assert_eq(sends.last, 4u);
    pawl__sends_trim(&sends, 9);
    cr_assert(sends_first(&sends) == NULL);
    cr_assert(add(&sends, 4, 0) && sends.count == 0);
    cr_assert(add(&sends, 11, 64) && sends_first(&sends)->number == 11);
    pawl__sends_fini(&sends);
}

Test(restore_sends, a_large_one_finds_room_when_all_are_gone)
{
    struct sends sends = {0};

    cr_assert(add(&sends, 1, 0));
    pawl__sends_trim(&sends, 1);
    cr_assert(add(&sends, 2, EVENT_PAYLOAD_MAX));
    cr_assert_eq(sends_first(&sends)->number, 2u);
    pawl__sends_trim(&sends, 2);
    cr_assert(add(&sends, 3, 0));
    cr_assert_eq(sends_first(&sends)->number, 3u);
    pawl__sends_fini(&sends);
}
