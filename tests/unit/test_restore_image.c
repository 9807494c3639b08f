/* Entries applied from any point at or before an image's lead to the same end. */
#include "shard/restore_image.h"

#include "base/random.h"
#include "shard/deferral.h"
#include "support/restore_fixture.h"

static void put(struct store_build *b, uint32_t slot, uint32_t generation, uint32_t version,
                uint16_t state, unsigned flags, uint64_t word)
{
    const uint64_t context[3] = {word};

    build_step(b, slot, generation, version, state, flags, context, sizeof(context));
}

static void put_end(struct store_build *b, uint32_t slot, uint32_t generation)
{
    build_step(b, slot, generation, 100, S_IDLE, ENTRY_ENDED, NULL, 0);
}

static void put_wait(struct store_build *b, uint32_t slot, uint32_t generation, unsigned flags,
                     uint32_t count, uint64_t arg)
{
    const struct pawl_event event = {
        .task = restore_task(0, generation, slot), .code = P_WAIT, .arg = {arg}};
    const size_t at = b->payload_size;

    build_defer(b, slot, generation, flags, &event, NULL, 0);
    ((struct entry_defer *)(void *)(b->payload + at))->count = count;
}

/* What the task keeps deferred, as the digits of a number. */
static uint64_t kept(const struct restore_fixture *f, struct pawl_task task)
{
    const struct slab *deferrals = &f->runtime->shards[id_shard(task)]->deferrals;
    const struct slot *slot = restore_slot(f, task);
    uint64_t number = 0;
    uint32_t at = 0;

    while ((at = pawl__deferral_restore_next(deferrals, slot, at)) != 0)
        number = 10 * number + ((struct deferral *)slab_at(deferrals, at))->event.arg[0];
    return number;
}

/* The image was taken when all of the journal had happened, and the journal is applied over it. */
Test(restore_image, an_image_of_the_end_and_all_of_the_journal_agree)
{
    const struct entry_timer early = {1000, 1}, late = {2000, 2};
    struct restore_fixture f;
    struct store_build b;
    struct pawl_task found;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put(&b, 4, 6, 8, S_BUSY, 0, 1); /* of a life from before the base */
    build_timers(&b, 4, 6, &early, 1);
    put_wait(&b, 4, 6, 0, 1, 9);
    build_frame(&b, 0);
    put_end(&b, 4, 6);
    build_key(&b, 4, 7, "key", 3);
    put(&b, 4, 7, 2, S_IDLE, ENTRY_CREATED, 10);
    build_frame(&b, 0);
    build_timers(&b, 4, 7, &early, 1);
    put_wait(&b, 4, 7, 0, 1, 1);
    put_wait(&b, 4, 7, 0, 2, 2);
    build_frame(&b, 0);
    put(&b, 4, 7, 4, S_BUSY, 0, 11);
    build_timers(&b, 4, 7, &late, 1);
    put_wait(&b, 4, 7, ENTRY_RESET, 1, 2);
    put_wait(&b, 4, 7, 0, 2, 3);
    build_frame(&b, 0);
    put_wait(&b, 4, 7, 0, 3, 4);
    restore_save(&f, &b);

    restore_snapshot(&b, 0, 1, 0, 1);
    build_key(&b, 4, 7, "key", 3);
    put(&b, 4, 7, 4, S_BUSY, ENTRY_IMAGE, 11);
    build_timers(&b, 4, 7, &late, 1);
    put_wait(&b, 4, 7, ENTRY_RESET, 1, 2);
    put_wait(&b, 4, 7, 0, 2, 3);
    put_wait(&b, 4, 7, 0, 3, 4);
    restore_save(&f, &b);

    restore_open(&f, 1, 0);
    restore_is(&f, restore_task(0, 7, 4), S_BUSY, 11);
    restore_is_gone(&f, restore_task(0, 6, 4));
    cr_assert_eq(kept(&f, restore_task(0, 7, 4)), 234u);
    cr_assert_eq(slab_live(&f.runtime->shards[0]->deferrals), 3u);
    cr_assert_eq(slab_live(&f.runtime->shards[0]->timer_nodes), 1u);
    cr_assert_eq(wheel_armed_count(&f.runtime->shards[0]->wheel), 1u);
    cr_assert_eq(pawl_task_find(f.runtime, "key", 3, &found), 0);
    cr_assert_eq(found.id, restore_task(0, 7, 4).id);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_image, deferred_events_of_an_image_are_not_doubled)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put(&b, 1, 1, 2, S_IDLE, ENTRY_CREATED, 0);
    build_frame(&b, 0);
    for (uint32_t i = 1; i <= 4; i++)
        put_wait(&b, 1, 1, 0, i, i);
    restore_save(&f, &b);
    for (uint32_t seen = 0; seen <= 4; seen++) { /* how many of them the walk met */
        restore_snapshot(&b, 0, 1, 1, 1);
        put(&b, 1, 1, 2, S_IDLE, ENTRY_IMAGE, 0);
        for (uint32_t i = 1; i <= seen; i++)
            put_wait(&b, 1, 1, i == 1 ? ENTRY_RESET : 0, i, i);
        restore_save(&f, &b);
        restore_open(&f, 1, 0);
        cr_assert_eq(kept(&f, restore_task(0, 1, 1)), 1234u, "with %u in the image", seen);
        restore_close(&f);
    }
    restore_fixture_fini(&f);
}

Test(restore_image, buffers_of_deferred_events_come_back_and_go)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    for (uint32_t slot = 1; slot <= 3; slot++) {
        const struct pawl_event event = {
            .task = restore_task(0, 1, slot), .code = P_WAIT, .flags = PAWL_EVENT_BUFFER};

        put(&b, slot, 1, 2, S_IDLE, ENTRY_CREATED, 0);
        build_defer(&b, slot, 1, 0, &event, "hello, world", 12);
    }
    put_end(&b, 2, 1);
    build_defer(&b, 3, 1, ENTRY_RESET | ENTRY_EMPTY, NULL, NULL, 0);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    cr_assert_eq(slab_live(&f.runtime->shards[0]->deferrals), 1u);
    {
        const struct deferral *deferral =
            slab_at(&f.runtime->shards[0]->deferrals,
                    slot_deferred(restore_slot(&f, restore_task(0, 1, 1))));
        struct pawl_buffer *buffer = event_buffer(&deferral->event);

        cr_assert_eq(pawl_buffer_size(buffer), 12u);
        cr_assert(memcmp(pawl_buffer_bytes(buffer), "hello, world", 12) == 0);
    }
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_image, a_reserved_task_is_not_alive_yet)
{
    const struct pawl_task task = restore_task(0, 1, 5);
    const struct pawl_event create = {.task = task, .code = PAWL_CODE_CREATE, .arg = {0, 8}};
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    restore_journal(&b, 0);
    put(&b, 5, 1, 0, 0, ENTRY_RESERVED, 3);
    build_send(&b, 1, 1, &create, NULL, 0);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    restore_is_gone(&f, task);
    cr_assert_eq(f.restored.shards[0].reserved, 1u);
    cr_assert_eq(head_flags(load_relaxed(&restore_slot(&f, task)->head)),
                 SLOT_RESERVED | SLOT_RECORDED);
    restore_start(&f);
    restore_run(&f);
    restore_is(&f, task, S_IDLE, 3);
    restore_close(&f);

    restore_journal(&b, 0); /* the same without its creation */
    put(&b, 5, 1, 0, 0, ENTRY_RESERVED, 3);
    restore_save(&f, &b);
    restore_refused(&f, 1, -EBADMSG, "wait for a creation");
    restore_journal(&b, 0); /* and a creation for nothing */
    build_send(&b, 1, 1, &create, NULL, 0);
    restore_save(&f, &b);
    restore_refused(&f, 1, -EBADMSG, "nothing is reserved");
    restore_journal(&b, 0); /* its first step has been made */
    put(&b, 5, 1, 0, 0, ENTRY_RESERVED, 3);
    build_send(&b, 1, 1, &create, NULL, 0);
    build_frame(&b, 0);
    put(&b, 5, 1, 2, S_IDLE, ENTRY_CREATED | ENTRY_EXTERNAL, 4);
    build_mark(&b, 0, MARK_TAKEN, false, 1);
    restore_save(&f, &b);
    restore_open(&f, 1, 0);
    restore_is(&f, task, S_IDLE, 4);
    cr_assert_eq(restore_drain(&f, 0), 0u);
    restore_close(&f);
    restore_fixture_fini(&f);
}

Test(restore_image, entries_that_cannot_be_are_refused)
{
    struct restore_fixture f;
    struct store_build b;

    restore_fixture_init(&f, 1, NULL);
    for (unsigned wrong = 0; wrong < 6; wrong++) {
        const struct pawl_event far = {.task = restore_task(3, 1, 1), .code = P_NOTE};
        struct entry_step *step;
        uint64_t context[3] = {0};

        restore_journal(&b, 0);
        put(&b, 1, 1, 2, S_IDLE, ENTRY_CREATED, 0);
        step = build_step(&b, wrong == 0 ? 0 : 2, wrong == 1 ? 0 : 1, 2, S_IDLE, ENTRY_CREATED,
                          context, sizeof(context));
        if (wrong == 2)
            step->machine = 1;
        if (wrong == 3)
            build_send(&b, 1, 1, &far, NULL, 0);
        if (wrong == 4)
            build_mark(&b, 1, MARK_TAKEN, false, 1);
        if (wrong == 5)
            build_step(&b, UINT32_MAX, 1, 2, S_IDLE, ENTRY_CREATED, context, sizeof(context));
        restore_save(&f, &b);
        restore_refused(&f, 1, -EBADMSG,
                        (const char *[]){"impossible slot", "generation 0", "machine", "sends",
                                         "marks", "impossible slot"}[wrong]);
        cr_assert(strstr(f.told, "0001-0000-000000000001.journal, offset 4096") != NULL,
                  "where? %s", f.told);
    }
    restore_fixture_fini(&f);
}

/* A model of a shard: the last entry of each slot wins, whatever part of the journal a snapshot replaces. */
Test(restore_image, random_histories_read_from_any_image_agree)
{
    enum { SLOTS = 12, FRAMES = 60 };

    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct random random = {seed};
        uint32_t generation[SLOTS + 1] = {0}, version[SLOTS + 1] = {0}, floor = 0;
        uint64_t word[SLOTS + 1] = {0};
        uint32_t waits[SLOTS + 1] = {0};
        uint64_t digits[SLOTS + 1] = {0};
        bool lives[SLOTS + 1] = {0};
        const unsigned base = (unsigned)random_below(&random, FRAMES - 10);
        const unsigned walked = base + (unsigned)random_below(&random, FRAMES - base);
        struct store_build b, s;
        struct restore_fixture f;

        restore_fixture_init(&f, 1, NULL);
        restore_journal(&b, 0);
        restore_snapshot(&s, 0, 1, base, 1);
        for (unsigned frame = 1; frame <= FRAMES; frame++) {
            for (unsigned i = 0; i < 4; i++) {
                const uint32_t slot = 1 + (uint32_t)random_below(&random, SLOTS);

                if (!lives[slot]) {
                    lives[slot] = true;
                    generation[slot]++;
                    version[slot] = 2;
                    word[slot] = random_below(&random, 1000);
                    put(&b, slot, generation[slot], 2, S_IDLE, ENTRY_CREATED, word[slot]);
                } else if (random_below(&random, 6) == 0) {
                    lives[slot] = false;
                    put_end(&b, slot, generation[slot]);
                    waits[slot] = 0;
                    digits[slot] = 0;
                    floor = generation[slot] > floor ? generation[slot] : floor;
                } else if (random_below(&random, 3) == 0 && waits[slot] < 9) {
                    waits[slot]++;
                    digits[slot] = 10 * digits[slot] + waits[slot];
                    put_wait(&b, slot, generation[slot], 0, waits[slot], waits[slot]);
                } else {
                    version[slot] += 2;
                    word[slot] = random_below(&random, 1000);
                    put(&b, slot, generation[slot], version[slot], S_BUSY, 0, word[slot]);
                    if (waits[slot] > 0)
                        build_defer(&b, slot, generation[slot], ENTRY_RESET | ENTRY_EMPTY, NULL,
                                    NULL, 0);
                    waits[slot] = 0;
                    digits[slot] = 0;
                }
            }
            build_frame(&b, 0);
            if (frame == base + 1 && floor > 0)
                build_floor(&s, 0, 1024, floor);
            if (frame < base || frame > walked)
                continue;
            for (uint32_t slot = 1; slot <= SLOTS; slot++) { /* one part of the slots a frame */
                if (walked > base && (slot - 1) * (walked - base) / SLOTS != frame - base)
                    continue;
                if (!lives[slot])
                    continue;
                put(&s, slot, generation[slot], version[slot], S_BUSY, ENTRY_IMAGE, word[slot]);
                for (uint32_t i = 1; i <= waits[slot]; i++)
                    put_wait(&s, slot, generation[slot], i == 1 ? ENTRY_RESET : 0, i, i);
            }
        }
        restore_save(&f, &b);
        restore_save(&f, &s);
        restore_open(&f, 1, 0);
        for (uint32_t slot = 1; slot <= SLOTS; slot++) {
            const struct pawl_task task = restore_task(0, generation[slot], slot);

            if (!lives[slot]) {
                restore_is_gone(&f, task);
                continue;
            }
            cr_assert_eq(load_relaxed(&restore_slot(&f, task)->context[0]), word[slot],
                         "seed %llu, slot %u", (unsigned long long)seed, slot);
            cr_assert_eq(kept(&f, task), digits[slot], "seed %llu, slot %u",
                         (unsigned long long)seed, slot);
        }
        restore_close(&f);
        restore_fixture_fini(&f);
    }
}

/* As a snapshot says it: shard's time in ns; a slot has coarser units. */
Test(restore_image, an_image_says_since_when_its_task_is_in_its_state)
{
    struct restore_fixture f;
    struct store_build s;
    uint64_t context[3] = {0};

    restore_fixture_init(&f, 1, NULL);
    restore_snapshot(&s, 0, 1, 0, 0);
    s.time_ns = UINT64_C(500) << SINCE_SHIFT;
    build_step(&s, 1, 1, 2, S_IDLE, ENTRY_IMAGE | ENTRY_SINCE, context, sizeof(context))->words[0] =
        UINT64_C(123) << SINCE_SHIFT;
    restore_save(&f, &s);
    restore_open(&f, 1, 0);
    cr_assert_eq(load_relaxed(&restore_slot(&f, restore_task(0, 1, 1))->since), 123u);
    restore_close(&f);
    restore_fixture_fini(&f);
}
