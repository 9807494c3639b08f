/*
 * test_event.c - a copied event is the same event, whatever its fields.
 */
#include "support/test.h"

#include <stdio.h>

#include "base/random.h"
#include "task/event.h"

Test(event, a_copy_is_the_same_to_the_byte)
{
    struct random random = {20261122};

    printf("seed %llu\n", (unsigned long long)random.state);
    for (unsigned i = 0; i < 10000; i++) {
        const struct pawl_event event = {
            .task = {random_next(&random)},
            .code = (uint16_t)random_next(&random),
            .flags = (uint16_t)random_next(&random),
            .tag = (uint32_t)random_next(&random),
            .arg = {random_next(&random), random_next(&random)},
        };
        struct {
            unsigned char before[8];
            struct pawl_event event;
            unsigned char after[8];
        } place;

        memset(&place, 0x5a, sizeof(place));
        event_copy(&place.event, &event);
        cr_assert(memcmp(&place.event, &event, sizeof(event)) == 0);
        cr_assert(place.before[7] == 0x5a && place.after[0] == 0x5a);
    }
}

Test(event, every_field_at_its_extremes)
{
    const struct pawl_event event = {
        .task = {UINT64_MAX},
        .code = UINT16_MAX,
        .flags = 0,
        .tag = UINT32_MAX,
        .arg = {0, UINT64_MAX},
    };
    struct pawl_event copy;

    event_copy(&copy, &event);
    cr_assert_eq(copy.task.id, UINT64_MAX);
    cr_assert_eq(copy.code, UINT16_MAX);
    cr_assert_eq(copy.flags, 0u);
    cr_assert_eq(copy.tag, UINT32_MAX);
    cr_assert(copy.arg[0] == 0 && copy.arg[1] == UINT64_MAX);
}
