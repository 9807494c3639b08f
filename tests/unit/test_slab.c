/* What slab.h promises: who comes next, what is given back, what stays. */
#include "host/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/test.h"

static struct slab_options options_of(uint32_t size, uint32_t objects_max)
{
    return (struct slab_options){.object_size = size, .objects_max = objects_max};
}

static void open_slab(struct slab *slab, const struct slab_options *options)
{
    const int error = slab_init(slab, options);

    cr_assert_eq(error, 0);
}

/* Marks an object in its second word; the link is in the first four bytes. */
static void mark(struct slab *slab, uint32_t index, uint32_t value)
{
    memcpy((char *)slab_at(slab, index) + 4, &value, 4);
}

static uint32_t mark_of(const struct slab *slab, uint32_t index)
{
    uint32_t value;

    memcpy(&value, (char *)slab_at(slab, index) + 4, 4);
    return value;
}

static void trim_all(struct slab *slab)
{
    while (slab_trim(slab))
        ;
    cr_assert(slab_validate(slab));
}

Test(slab, refuses_options_out_of_range)
{
    const struct slab_options bad[] = {
        {.object_size = 4, .objects_max = 1},
        {.object_size = 12, .objects_max = 1},
        {.object_size = 4104, .objects_max = 1},
        {.object_size = 64, .objects_max = 0},
        {.object_size = 64, .objects_max = 1, .link_offset = 64},
        {.object_size = 64, .objects_max = 1, .link_offset = 62},
    };
    struct slab slab;

    for (size_t at = 0; at < ARRAY_LEN(bad); at++)
        cr_assert_eq(slab_init(&slab, &bad[at]), -EINVAL, "options %zu", at);
}

Test(slab, hands_out_every_object_once_up_to_its_limit)
{
    for (uint32_t size = 8; size <= 4096; size += size < 128 ? 8 : 568) {
        const struct slab_options options = options_of(size, 3000);
        struct slab slab;
        unsigned char *seen = calloc(1, 1u << 20);

        open_slab(&slab, &options);
        for (uint32_t count = 0; count < 3000; count++) {
            const uint32_t index = slab_alloc(&slab);

            cr_assert(index != 0 && index < slab_limit(&slab) && index < 1u << 20);
            cr_assert(!seen[index]++, "size %u: index %u twice", size, index);
            cr_assert_eq(mark_of(&slab, index), 0u);
            mark(&slab, index, index);
        }
        cr_assert_eq(slab_alloc(&slab), 0u);
        cr_assert_eq(slab_live(&slab), 3000u);
        for (uint32_t index = 1; index < slab_top(&slab); index++)
            cr_assert(!seen[index] || mark_of(&slab, index) == index);
        cr_assert(slab_validate(&slab));
        slab_fini(&slab);
        free(seen);
    }
}

Test(slab, objects_do_not_overlap_and_addresses_agree)
{
    const struct slab_options options = options_of(72, 100000);
    struct slab slab;

    open_slab(&slab, &options);
    for (uint32_t count = 0; count < 100000; count++) {
        const uint32_t index = slab_alloc(&slab);

        memset(slab_at(&slab, index), (int)(index % 251), 72);
        cr_assert(slab_at(&slab, index) == slab_peek(&slab, index));
        cr_assert(slab_at(&slab, index) == slab_at_sized(&slab, index, 72));
    }
    for (uint32_t index = 1; index <= 100000; index++) {
        const unsigned char *bytes = slab_at(&slab, index);

        for (unsigned at = 0; at < 72; at++)
            cr_assert_eq(bytes[at], index % 251);
    }
    slab_fini(&slab);
}

Test(slab, peek_knows_what_never_existed)
{
    struct slab_options options = options_of(64, 1u << 22);
    struct slab slab;

    options.indexes_max = UINT32_MAX;
    open_slab(&slab, &options);
    cr_assert(slab_peek(&slab, 1) == NULL);
    cr_assert(slab_peek(&slab, UINT32_MAX) == NULL);

    const uint32_t index = slab_alloc(&slab);

    cr_assert(slab_peek(&slab, index) != NULL);
    cr_assert(slab_peek(&slab, index + (1u << 21)) == NULL, "another segment");
    cr_assert(slab_peek(&slab, UINT32_MAX) == NULL);
    slab_fini(&slab);
}

Test(slab, reuses_the_object_freed_longest_ago)
{
    const struct slab_options options = options_of(64, 1000);
    struct slab slab;
    uint32_t held[200];

    open_slab(&slab, &options);
    for (unsigned at = 0; at < 200; at++)
        held[at] = slab_alloc(&slab);
    for (unsigned at = 0; at < 200; at++)
        slab_free(&slab, held[(at * 7) % 200]);
    for (unsigned at = 0; at <= 200 - SLAB_FIFO_MIN; at++)
        cr_assert_eq(slab_alloc(&slab), held[(at * 7) % 200]);
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, a_hot_pair_cycles_through_many_objects)
{
    const struct slab_options options = options_of(64, 5000);
    struct slab slab;
    uint32_t uses[8192] = {0};
    uint32_t most = 0;

    /* Nearly full, so that there is little room anywhere. */
    open_slab(&slab, &options);
    for (unsigned count = 0; count < 4000; count++)
        slab_alloc(&slab);
    for (unsigned count = 0; count < 6400; count++) {
        const uint32_t index = slab_alloc(&slab);

        uses[index]++;
        slab_free(&slab, index);
    }
    for (unsigned index = 0; index < ARRAY_LEN(uses); index++)
        most = uses[index] > most ? uses[index] : most;
    cr_assert(most <= 6400 / SLAB_FIFO_MIN + 1, "one object was used %u times", most);
    slab_fini(&slab);
}

Test(slab, a_full_granule_is_left_alone_until_it_has_room)
{
    const struct slab_options options = options_of(64, 1u << 20);
    struct slab slab;

    open_slab(&slab, &options);
    for (unsigned count = 0; count < 2048; count++)
        slab_alloc(&slab);

    const uint32_t high = slab_alloc(&slab); /* in the third granule: 0 is never handed out */

    cr_assert(high >= 2048);
    for (uint32_t index = 1; index < 32; index++) {
        slab_free(&slab, index);
        const uint32_t next = slab_alloc(&slab);

        cr_assert(next > high);
        slab_free(&slab, next);
    }
    slab_free(&slab, 32); /* the 32nd: room_min of a granule of 1024 */
    cr_assert_eq(slab_alloc(&slab), 1u);
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, at_the_end_of_its_indexes_it_uses_every_last_object)
{
    const struct slab_options options = options_of(64, 4095);
    struct slab slab;

    open_slab(&slab, &options);
    for (unsigned count = 0; count < 4095; count++)
        cr_assert(slab_alloc(&slab) != 0);
    for (uint32_t index = 100; index < 4096; index += 1000) {
        slab_free(&slab, index);
        cr_assert(slab_validate(&slab));
        cr_assert_eq(slab_alloc(&slab), index);
        cr_assert_eq(slab_alloc(&slab), 0u);
    }
    for (uint32_t index = 1; index < 4096; index++)
        slab_free(&slab, index);
    cr_assert_eq(slab_live(&slab), 0u);
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, gives_memory_back_after_a_peak)
{
    for (unsigned huge = 0; huge < 2; huge++) {
        struct slab_options options = options_of(64, 1u << 20);
        struct slab slab;
        const uint32_t peak = 400000, kept = 100000;

        options.huge = huge != 0;
        open_slab(&slab, &options);
        for (uint32_t count = 0; count < peak; count++) {
            const uint32_t index = slab_alloc(&slab);

            mark(&slab, index, index);
        }
        cr_assert(slab_bytes(&slab) >= 64u * peak);
        cr_assert(slab_bytes(&slab) <= 65u * peak + (huge ? 2u << 20 : 0u));
        for (uint32_t index = kept + 1; index <= peak; index++)
            slab_free(&slab, index);
        trim_all(&slab);
        cr_assert(slab_bytes(&slab) <= 64u * kept * 11 / 10 + (huge ? 4u << 20 : 128u << 10),
                  "%llu bytes", (unsigned long long)slab_bytes(&slab));
        for (uint32_t index = 1; index <= kept; index++)
            cr_assert_eq(mark_of(&slab, index), index);
        cr_assert_eq(mark_of(&slab, peak), 0u, "given back: zero, and still mapped");
        cr_assert(slab_validate(&slab));
        slab_fini(&slab);
    }
}

Test(slab, walks_skip_what_was_given_back)
{
    const struct slab_options options = options_of(64, 1u << 20);
    struct slab slab;
    uint32_t steps = 0;

    open_slab(&slab, &options);
    for (unsigned count = 0; count < 100000; count++)
        slab_alloc(&slab);
    for (uint32_t index = 1000; index <= 90000; index++)
        slab_free(&slab, index);
    trim_all(&slab);
    for (uint32_t at = slab_next_used(&slab, 1); at < slab_top(&slab);
         at = slab_next_used(&slab, at + 1)) {
        steps++;
        if (at < 1000 || at > 90000)
            cr_assert(slab_peek(&slab, at) != NULL);
    }
    cr_assert(steps >= 10999 && steps < 20000, "%u steps", steps);
    slab_fini(&slab);
}

Test(slab, keeps_an_idle_granule_for_the_next_peak)
{
    const struct slab_options options = options_of(64, 1u << 16);
    struct slab slab;

    open_slab(&slab, &options);

    const uint32_t only = slab_alloc(&slab);

    slab_free(&slab, only);
    cr_assert(!slab_trim(&slab));
    cr_assert(slab_bytes(&slab) > 0);
    slab_fini(&slab);
}

struct floors {
    struct slab *slab;
    uint32_t calls;
    uint32_t value;
};

static void keep_floor(void *user, uint32_t first, uint32_t count, uint32_t *floor)
{
    struct floors *floors = user;

    for (uint32_t index = first; index < first + count; index++)
        if (mark_of(floors->slab, index) > *floor)
            *floor = mark_of(floors->slab, index);
    floors->calls++;
    if (floors->value != 0)
        *floor = floors->value;
}

Test(slab, the_hook_leaves_a_floor_with_the_granule)
{
    struct slab slab;
    struct floors floors = {.slab = &slab};
    struct slab_options options = options_of(64, 1u << 20);

    options.hooks = (struct slab_hooks){keep_floor, &floors};
    open_slab(&slab, &options);
    for (unsigned count = 0; count < 5000; count++)
        mark(&slab, slab_alloc(&slab), 7 + count / 1024);
    for (uint32_t index = 1; index <= 5000; index++)
        slab_free(&slab, index);
    trim_all(&slab);
    cr_assert(floors.calls >= 3);
    cr_assert_eq(slab_floor(&slab, 4500), 7u + 4);
    cr_assert_eq(slab_floor(&slab, 3 * 1024 + 5), 7u + 3);
    cr_assert_eq(slab_floor(&slab, 5), 0u, "the granule that was kept");
    for (unsigned count = 0; count < 5000; count++) {
        const uint32_t index = slab_alloc(&slab);

        cr_assert(index >= 1024 ? mark_of(&slab, index) == 0 : mark_of(&slab, index) >= 7);
    }
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, a_granule_with_the_last_floor_is_dead)
{
    struct slab slab;
    struct floors floors = {.slab = &slab, .value = UINT32_MAX};
    struct slab_options options = options_of(64, 8192);

    options.indexes_max = 1u << 16;
    options.hooks = (struct slab_hooks){keep_floor, &floors};
    open_slab(&slab, &options);
    for (unsigned count = 0; count < 8192; count++)
        slab_alloc(&slab);
    for (uint32_t index = 1; index <= 8192; index++)
        slab_free(&slab, index);
    trim_all(&slab);
    cr_assert(floors.calls >= 6);
    for (unsigned count = 0; count < 8192; count++) {
        const uint32_t index = slab_alloc(&slab);

        cr_assert(index != 0);
        cr_assert(index < 2048 || index > 8192, "index %u came back", index);
    }
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, retired_objects_never_come_back)
{
    struct slab_options options = options_of(64, 4000);
    struct slab slab;
    unsigned char *retired = calloc(1, 1u << 20);
    uint32_t held[4000];
    uint64_t count = 0;

    options.indexes_max = 1u << 20;
    open_slab(&slab, &options);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned at = 0; at < 4000; at++) {
            held[at] = slab_alloc(&slab);
            cr_assert(held[at] != 0);
            cr_assert(!retired[held[at]], "index %u came back", held[at]);
        }
        for (unsigned at = 0; at < 4000; at++) {
            if (at % 97 == round || (round == 3 && held[at] < 1024)) {
                retired[held[at]] = 1;
                slab_retire(&slab, held[at]);
                count++;
            } else {
                slab_free(&slab, held[at]);
            }
        }
        cr_assert_eq(slab_live(&slab), 0u);
        trim_all(&slab);
        cr_assert(slab_validate(&slab));
    }
    cr_assert(count > 1000);
    slab_fini(&slab);
    free(retired);
}

Test(slab, failed_reservations_leave_it_whole)
{
    const struct slab_options options = options_of(64, 1u << 22);
    struct slab slab;

    pawl__pages_fail_nth(1);
    cr_assert_eq(slab_init(&slab, &options), -ENOMEM);
    open_slab(&slab, &options);
    pawl__pages_fail_nth(1);
    cr_assert_eq(slab_alloc(&slab), 0u);
    cr_assert(slab_validate(&slab));
    for (uint32_t index = 1; index < 1u << 20; index++)
        cr_assert_eq(slab_alloc(&slab), index);
    pawl__pages_fail_nth(1); /* the second segment */
    cr_assert_eq(slab_alloc(&slab), 0u);
    slab_free(&slab, 77);
    pawl__pages_fail_nth(1);
    cr_assert_eq(slab_alloc(&slab), 77u, "what is there is used");
    pawl__pages_fail_nth(0);
    cr_assert_eq(slab_alloc(&slab), 1u << 20);
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
    cr_assert_eq(load_relaxed(&slab.pages.reserved), 0u);
}

static uint32_t walk_down(struct slab *slab, struct random *random, uint32_t *held, uint32_t count,
                          uint32_t to)
{
    while (count > to) {
        const uint32_t at = (uint32_t)random_below(random, count);

        cr_assert_eq(mark_of(slab, held[at]), held[at] * 3);
        slab_free(slab, held[at]);
        held[at] = held[--count];
        if (count % 64 == 0)
            slab_trim(slab);
    }
    return count;
}

Test(slab, random_use_keeps_every_promise)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        static const uint32_t sizes[] = {8, 16, 64, 72, 200, 4096};
        const struct slab_options options = options_of(sizes[seed - 1], 40000);
        struct random random = {seed};
        struct slab slab;
        uint32_t *held = malloc(40000 * sizeof *held);
        uint32_t count = 0;

        open_slab(&slab, &options);
        for (unsigned round = 0; round < 8; round++) {
            const uint32_t up = round == 4 ? 40000 : (uint32_t)random_below(&random, 40000);

            while (count < up) {
                held[count] = slab_alloc(&slab);
                cr_assert(held[count] != 0, "seed %llu", (unsigned long long)seed);
                mark(&slab, held[count], held[count] * 3);
                count++;
            }
            cr_assert_eq(slab_live(&slab), count);
            cr_assert(slab_validate(&slab));
            count = walk_down(&slab, &random, held, count, (uint32_t)random_below(&random, count));
            cr_assert(slab_validate(&slab));
        }
        slab_fini(&slab);
        free(held);
    }
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

/* What the test says of each index. */
struct told {
    const uint8_t *kinds; /* indexes from here on are fresh */
    uint32_t count;
    uint32_t floor;
};

static void tell(void *user, uint32_t first, uint32_t count, uint8_t *kinds, uint32_t *floor)
{
    const struct told *told = user;

    for (uint32_t i = 0; i < count; i++)
        kinds[i] = first + i < told->count ? told->kinds[first + i] : SLAB_RESTORED_FRESH;
    if (told->floor > *floor)
        *floor = told->floor;
}

static void restore(struct slab *slab, struct told *told)
{
    for (uint32_t index = told->count; index-- > 1;)
        if (told->kinds[index] != SLAB_RESTORED_FRESH)
            cr_assert(slab_restore_reach(slab, index));
    pawl__slab_restore_end(slab, tell, told);
    cr_assert(slab_validate(slab));
}

Test(slab, restored_objects_keep_their_index_and_the_others_are_handed_out)
{
    const struct slab_options options = options_of(64, 5000);
    uint8_t kinds[3001] = {0};
    uint8_t seen[6000] = {0};
    uint32_t reused = 0;
    struct slab slab;

    open_slab(&slab, &options);
    for (uint32_t index = 1; index < sizeof(kinds); index++)
        kinds[index] = index % 3 == 0   ? SLAB_RESTORED_LIVE
                       : index % 7 == 0 ? SLAB_RESTORED_FREE
                                        : SLAB_RESTORED_FRESH;
    kinds[2999] = SLAB_RESTORED_RETIRED;
    restore(&slab, &(struct told){.kinds = kinds, .count = sizeof(kinds)});
    cr_assert_eq(slab_live(&slab), 1000u);
    cr_assert_eq(slab_top(&slab), 3001u);
    for (uint32_t count = 1000; count < 5000; count++) {
        const uint32_t index = slab_alloc(&slab);

        cr_assert(index != 0 && index < sizeof(seen), "number %u", count);
        cr_assert_eq(seen[index]++, 0, "%u was handed out twice", index);
        if (index < sizeof(kinds))
            cr_assert(kinds[index] != SLAB_RESTORED_LIVE && kinds[index] != SLAB_RESTORED_RETIRED);
    }
    cr_assert_eq(slab_alloc(&slab), 0u);
    cr_assert(slab_validate(&slab));
    for (uint32_t index = 1; index < sizeof(kinds); index++)
        reused += seen[index];
    cr_assert(reused > 1900, "only %u of 1999", reused); /* few free ones of a granule may wait */
    slab_fini(&slab);
}

Test(slab, a_restored_granule_without_life_is_empty_and_has_the_floor_that_it_was_given)
{
    const struct slab_options options = options_of(64, 1u << 20);
    uint8_t kinds[4096] = {0};
    struct slab slab;

    open_slab(&slab, &options);
    kinds[3000] = SLAB_RESTORED_LIVE;
    kinds[10] = SLAB_RESTORED_FREE;
    kinds[2048] = SLAB_RESTORED_RETIRED; /* of a granule that can never be used again */
    mark(&slab, (slab_restore_reach(&slab, 10), 10), 4711);
    restore(&slab, &(struct told){.kinds = kinds, .count = sizeof(kinds), .floor = 9});
    cr_assert_eq(mark_of(&slab, 10), 0u, "its memory was given back");
    cr_assert_eq(slab_floor(&slab, 10), 9u);
    for (uint32_t count = 0; count < 4096; count++) {
        const uint32_t index = slab_alloc(&slab);

        cr_assert(index != 3000 && index != 2048 && index != 0);
        cr_assert_eq(slab_floor(&slab, index), index < 3072 ? 9u : 0u);
    }
    cr_assert(slab_validate(&slab));
    slab_fini(&slab);
}

Test(slab, restoring_refuses_indexes_that_cannot_be)
{
    const struct slab_options options = options_of(64, 100);
    struct slab slab;

    open_slab(&slab, &options);
    cr_assert(!slab_restore_reach(&slab, 0));
    cr_assert(!slab_restore_reach(&slab, slab_limit(&slab)));
    cr_assert(slab_restore_reach(&slab, slab_limit(&slab) - 1));
    cr_assert(!slab_restore_reach(&slab, 0), "nor when there are granules");
    slab_fini(&slab);
    open_slab(&slab, &options);
    pawl__pages_fail_nth(1);
    cr_assert(!slab_restore_reach(&slab, 1));
    cr_assert(slab_restore_reach(&slab, 1));
    slab_fini(&slab);
}

Test(slab, cleared_it_is_as_new)
{
    const struct slab_options options = options_of(72, 3000);
    struct slab slab;
    uint32_t limit;

    open_slab(&slab, &options);
    limit = slab_limit(&slab);
    for (unsigned i = 0; i < 2000; i++)
        mark(&slab, slab_alloc(&slab), 1);
    cr_assert_eq(slab_clear(&slab), 0);
    cr_assert_eq(slab_limit(&slab), limit);
    cr_assert_eq(slab_live(&slab), 0u);
    for (uint32_t index = 1; index <= 3000; index++) {
        cr_assert_eq(slab_alloc(&slab), index);
        cr_assert_eq(mark_of(&slab, index), 0u);
    }
    cr_assert_eq(slab_alloc(&slab), 0u);
    slab_fini(&slab);
}

Test(slab, random_restores_leave_a_sound_slab)
{
    static const uint32_t sizes[] = {32, 64, 64, 72, 200};

    for (uint64_t seed = 1; seed <= 40; seed++) {
        const struct slab_options options = {.object_size = sizes[seed % ARRAY_LEN(sizes)],
                                             .objects_max = 20000,
                                             .indexes_max = 60000};
        struct random random = {seed};
        const uint32_t count = 1 + (uint32_t)random_below(&random, 20000);
        const uint64_t rare = 1 + random_below(&random, 50);
        uint8_t *kinds = calloc(count, 1);
        struct slab slab;
        uint32_t live;

        for (uint32_t index = 1; index < count; index++)
            if (random_below(&random, rare) == 0)
                kinds[index] = (uint8_t)random_below(&random, seed % 3 == 0 ? 4 : 3);
        open_slab(&slab, &options);
        restore(&slab, &(struct told){.kinds = kinds, .count = count});
        live = (uint32_t)slab_live(&slab);
        for (uint32_t i = 0; i < 5000; i++) { /* the lists work */
            const uint32_t index = slab_alloc(&slab);

            cr_assert(index != 0, "seed %llu", (unsigned long long)seed);
            cr_assert(index >= count || (kinds[index] != SLAB_RESTORED_LIVE &&
                                         kinds[index] != SLAB_RESTORED_RETIRED));
            if (random_below(&random, 2) == 0)
                slab_free(&slab, index);
            else
                live++;
        }
        for (uint32_t index = 1; index < count; index++)
            if (kinds[index] == SLAB_RESTORED_LIVE)
                slab_free(&slab, index), live--;
        cr_assert_eq(slab_live(&slab), live);
        trim_all(&slab);
        slab_fini(&slab);
        free(kinds);
    }
}
