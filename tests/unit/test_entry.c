/*
 * test_entry.c - entries from a disk: what a shard writes passes, and what it would not write is
 * named.
 */
#include "store/entry.h"

#include <string.h>

#include "base/random.h"
#include "support/store_build.h"
#include "support/test.h"

static struct store_build b;
static uint64_t context[CONTEXT_MAX / 8];

static void begin(void)
{
    memset(context, 0x42, sizeof(context));
    build_begin(&b, FILE_JOURNAL, 0, 1);
}

static const char *check(size_t *offset)
{
    *offset = SIZE_MAX;
    return pawl__entry_check(b.payload, b.payload_size, offset);
}

/* All kinds of entries, as a shard makes them. */
static void build_all(void)
{
    const struct pawl_event plain = {.task = {9}, .code = 3, .tag = 4, .arg = {5, 6}};
    const struct pawl_event loaded = {.task = {9}, .code = 3, .flags = PAWL_EVENT_BUFFER};
    const struct pawl_event create = {.task = {9}, .code = PAWL_CODE_CREATE, .arg = {1, 2}};
    const struct entry_timer timers[] = {{100, 0}, {200, TIMERS_MAX}};

    build_key(&b, 7, 1, "order-17", 8);
    build_key(&b, 7, 1, "abc", 3);
    build_step(&b, 7, 1, 2, 3, ENTRY_CREATED | ENTRY_SINCE, context, 24);
    build_step(&b, 7, 1, 4, 3, ENTRY_EXTERNAL, context, 0);
    build_step(&b, 8, GENERATION_MAX, 4, 3, ENTRY_IMAGE | ENTRY_SINCE, context, CONTEXT_MAX);
    build_step(&b, 8, 1, 6, 0, ENTRY_ENDED, context, 0);
    build_timers(&b, 7, 1, timers, 2);
    build_timers(&b, 7, 1, NULL, 0);
    build_defer(&b, 7, 1, 0, &plain, NULL, 0);
    build_defer(&b, 7, 1, ENTRY_RESET, &loaded, "0123456789", 10);
    build_defer(&b, 7, 1, ENTRY_RESET | ENTRY_EMPTY, NULL, NULL, 0);
    build_send(&b, 7, 1, &plain, NULL, 0);
    build_send(&b, 0, 2, &create, context, 64);
    build_mark(&b, 3, MARK_TAKEN, false, 17);
    build_mark(&b, SHARDS_MAX - 1, MARK_CONFIRMED, true, 17);
    build_floor(&b, 1024, 64, 5);
    build_alias(&b, 5, 6);
    build_alias(&b, 5, 0);
}

Test(entry, all_that_a_shard_writes_passes)
{
    const struct entry_header *entry = NULL;
    unsigned count = 0;
    size_t offset;

    begin();
    build_all();
    cr_assert(check(&offset) == NULL);
    while ((entry = entry_next(b.payload, b.payload_size, entry)) != NULL)
        count++;
    cr_assert_eq(count, 18u);
    cr_assert(pawl__entry_check(b.payload, 0, &offset) == NULL);
    build_end(&b);
}

Test(entry, the_largest_of_each_kind_passes)
{
    static uint8_t large[EVENT_PAYLOAD_MAX];
    const struct pawl_event loaded = {.flags = PAWL_EVENT_BUFFER};
    struct entry_timer timers[TIMERS_MAX + 1];
    uint32_t words = 0;
    size_t offset;

    begin();
    for (unsigned i = 0; i <= TIMERS_MAX; i++)
        timers[i] = (struct entry_timer){i, i};
    build_timers(&b, 7, 1, timers, TIMERS_MAX + 1);
    build_key(&b, 7, 1, context, KEY_SIZE_MAX);
    build_send(&b, 7, 1, &loaded, large, sizeof(large));
    build_defer(&b, 7, 1, 0, &loaded, large, sizeof(large));
    cr_assert(check(&offset) == NULL);
    b.payload_size = 0;
    cr_assert(
        memcmp(entry_context(build_step(&b, 7, 1, 2, 3, ENTRY_SINCE, context, CONTEXT_MAX), &words),
               context, CONTEXT_MAX) == 0);
    cr_assert_eq(words, CONTEXT_MAX / 8);
    build_end(&b);
}

/* Builds `make` behind a good entry, does `damage` to `entry`, and finds it at its place. */
#define CHECK_BAD(kind, make, damage)                                                              \
    do {                                                                                           \
        struct kind *entry;                                                                        \
        size_t offset;                                                                             \
        size_t at;                                                                                 \
                                                                                                   \
        b.payload_size = 0;                                                                        \
        build_floor(&b, 0, 1, 1);                                                                  \
        at = b.payload_size;                                                                       \
        make;                                                                                      \
        entry = (void *)(b.payload + at);                                                          \
        (void)entry;                                                                               \
        cr_assert(check(&offset) == NULL, "before: %s", #damage);                                  \
        damage;                                                                                    \
        cr_assert(check(&offset) != NULL, "%s", #damage);                                          \
        cr_assert_eq(offset, at, "%s", #damage);                                                   \
    } while (0)

Test(entry, lengths_that_do_not_fit_are_found)
{
    const struct pawl_event event = {.flags = PAWL_EVENT_BUFFER};
    const struct entry_timer timers[] = {{1, 1}, {2, 2}};

#define MAKE_STEP  build_step(&b, 7, 1, 2, 3, ENTRY_SINCE, context, 24)
#define MAKE_SEND  build_send(&b, 7, 1, &event, context, 12)
#define MAKE_DEFER build_defer(&b, 7, 1, 0, &event, context, 12)
    begin();
    CHECK_BAD(entry_header, MAKE_STEP, entry->words = 0);
    CHECK_BAD(entry_header, MAKE_STEP, entry->words++);
    CHECK_BAD(entry_header, MAKE_STEP, entry->words = UINT16_MAX);
    CHECK_BAD(entry_header, MAKE_STEP, entry->words = 3);
    CHECK_BAD(entry_header, MAKE_STEP, entry->words = 1);
    CHECK_BAD(entry_header, MAKE_STEP, b.payload_size = at + 4);
    CHECK_BAD(entry_step, build_step(&b, 7, 1, 2, 3, 0, context, CONTEXT_MAX);
              build_step(&b, 7, 1, 2, 3, 0, context, 0), entry->header.words += 3);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->size = 0);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->size = 9);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, context, 64);
              build_floor(&b, 0, 1, 1), entry->size = 66; entry->header.words++);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->size = UINT32_MAX - 1);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->count = 1);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->count = 3);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->count = UINT32_MAX);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.size = 17);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.size = 8);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.size = UINT32_MAX);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.size = EVENT_PAYLOAD_MAX + 1);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->event.size = 17);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->header.words = 2);
    CHECK_BAD(entry_defer, build_defer(&b, 7, 1, ENTRY_RESET | ENTRY_EMPTY, NULL, NULL, 0),
              entry->header.flags = ENTRY_RESET);
    CHECK_BAD(entry_defer, build_defer(&b, 7, 1, ENTRY_RESET, &event, NULL, 0),
              entry->header.flags = ENTRY_RESET | ENTRY_EMPTY);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->header.words = 2);
    CHECK_BAD(entry_floor, build_floor(&b, 1, 1, 1), entry->header.words = 1);
    build_end(&b);
}

Test(entry, values_that_cannot_be_are_found)
{
    const struct pawl_event event = {.flags = PAWL_EVENT_BUFFER};
    const struct pawl_event plain = {.code = 3};
    const struct entry_timer timers[] = {{1, 1}, {2, 2}};

    begin();
    CHECK_BAD(entry_header, MAKE_STEP, entry->type = 0);
    CHECK_BAD(entry_header, MAKE_STEP, entry->type = 77);
    CHECK_BAD(entry_header, MAKE_STEP, entry->flags |= 0x40);
    CHECK_BAD(entry_header, MAKE_STEP, entry->flags |= ENTRY_ENDED); /* and a context */
    CHECK_BAD(entry_step, MAKE_STEP, entry->generation = GENERATION_MAX + 1);
    CHECK_BAD(entry_step, MAKE_STEP, entry->version = 3);
    CHECK_BAD(entry_step, MAKE_STEP, entry->zero = 1);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->header.flags = 1);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->generation = UINT32_MAX);
    CHECK_BAD(entry_key, build_key(&b, 7, 1, "key", 3), entry->bytes[7] = 1);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->header.flags = 1);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->generation = UINT32_MAX);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->timers[0].timer = 2);
    CHECK_BAD(entry_timers, build_timers(&b, 7, 1, timers, 2), entry->timers[1].timer = 256);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->header.flags = ENTRY_EMPTY);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->header.flags = 4);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->generation = UINT32_MAX);
    CHECK_BAD(entry_defer, build_defer(&b, 7, 1, ENTRY_RESET | ENTRY_EMPTY, NULL, NULL, 0),
              entry->count = 1);
    CHECK_BAD(entry_defer, MAKE_DEFER, entry->event.zero = 1);
    CHECK_BAD(entry_send, MAKE_SEND, entry->header.flags = 1);
    CHECK_BAD(entry_send, MAKE_SEND, entry->number = 0);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.zero = 1);
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.arg[0] = 1); /* a pointer of another life */
    CHECK_BAD(entry_send, MAKE_SEND, entry->event.payload[15] = 1);
    CHECK_BAD(entry_send, build_send(&b, 7, 1, &event, context, 8), entry->event.flags = 0);
    CHECK_BAD(entry_send, build_send(&b, 7, 1, &plain, NULL, 0), entry->event.size = 8);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->header.flags = 1);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->header.slot = 1);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->what = 0);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->what = 3);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->control = 2);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->peer = SHARDS_MAX);
    CHECK_BAD(entry_mark, build_mark(&b, 3, MARK_TAKEN, false, 1), entry->zero = 1);
    CHECK_BAD(entry_alias, build_alias(&b, 5, 6), entry->header.flags = 1);
    CHECK_BAD(entry_alias, build_alias(&b, 5, 6), entry->header.slot = 1);
    CHECK_BAD(entry_alias, build_alias(&b, 5, 6), entry->header.words = 2);
    CHECK_BAD(entry_alias, build_alias(&b, 5, 6), entry->from = 0);
    CHECK_BAD(entry_floor, build_floor(&b, 1, 1, 1), entry->header.flags = 1);
    CHECK_BAD(entry_floor, build_floor(&b, 1, 1, 1), entry->count = 0);
    CHECK_BAD(entry_floor, build_floor(&b, 1, 1, 1), entry->count = UINT32_MAX - 1;
              entry->header.slot = 3);
    CHECK_BAD(entry_floor, build_floor(&b, 1, 1, 1), entry->generation = GENERATION_MAX + 1);
    build_end(&b);
}

/* Under a sanitizer: whatever the bytes are, what passes can be walked to the end. */
Test(entry, random_damage_never_leads_out_of_the_bytes)
{
    struct random r = {11};
    uint8_t *copy;
    size_t size;
    unsigned passed = 0;

    begin();
    build_all();
    size = b.payload_size;
    copy = malloc(size);
    cr_assert(copy != NULL);
    for (unsigned round = 0; round < 20000; round++) {
        const struct entry_header *entry = NULL;
        size_t cut = size;
        size_t offset;

        memcpy(copy, b.payload, size);
        for (unsigned i = 0; i <= round % 3; i++)
            copy[random_next(&r) % size] ^= (uint8_t)(1 + random_next(&r) % 255);
        if (round % 5 == 0)
            cut = random_next(&r) % (size + 1);
        if (pawl__entry_check(copy, cut, &offset) != NULL) {
            cr_assert(offset < cut);
            continue;
        }
        passed++;
        while ((entry = entry_next(copy, cut, entry)) != NULL)
            cr_assert((const uint8_t *)entry + 8u * entry->words <= copy + cut);
    }
    cr_assert(passed > 0);
    free(copy);
    build_end(&b);
}
