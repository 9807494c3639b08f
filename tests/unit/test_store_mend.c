#include "support/store_fixture.h"

/*
 * A disk without direct writes: what a failed write could not make durable stays readable. Recovery reads it, believes
 * it, and tells the world of it: so it must be on the disk before anybody is told.
 */
Test(store_mend, what_recovery_has_believed_survives_a_power_loss_at_once_after_it)
{
    unsigned believed = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        const struct store_fixture_options options = {.seed = seed, .no_direct = true};
        struct store_fixture s;
        struct pawl_task task;
        uint64_t count;

        store_begin(&s, &options);
        task = store_create(&s, M_SYNC, 0);
        for (unsigned i = 0; i < 10; i++)
            store_note(&s, task, i);
        store_fault(&s, SIM_FAULT_ERROR, SIM_OPS(SIM_QUEUE_END), 1, -EIO);
        for (uint32_t i = 0; i < 3; i++) {
            store_post(&s, task, P_NOTE, 1, 0, i);
            fixture_turn(&s.f);
        }
        store_run(&s);
        cr_assert_eq(fixture_reap(&s.f).status, -EIO);
        store_crash(&s, SIM_CRASH_KILL);
        sim_disk_faults_clear(s.disk);
        store_open(&s);
        count = fixture_puppet_of(&s.f, task).count;
        cr_assert(count >= 10 && count <= 13);
        believed += count > 10;
        store_crash(&s, SIM_CRASH_POWER);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).count, count, "seed %llu: %llu, and then %llu",
                     (unsigned long long)seed, (unsigned long long)count,
                     (unsigned long long)fixture_puppet_of(&s.f, task).count);
        store_end(&s);
    }
    cr_assert(believed > 5, "%u", believed);
}

Test(store_mend, an_orderly_closed_store_is_not_written_again)
{
    struct store_fixture s;
    uint64_t writes;

    store_begin(&s, NULL);
    store_create(&s, M_SYNC, 0);
    store_close(&s);
    writes = store_op_count(&s, SIM_WRITE);
    store_open(&s);
    /* The manifest at closing and at opening, a file of four pieces, its header and the first frame. */
    cr_assert_eq(store_op_count(&s, SIM_WRITE) - writes, 9u);
    store_end(&s);
}

Test(store_mend, a_crash_while_the_end_is_written_again_loses_nothing)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct store_fixture s;
        struct pawl_task task;

        store_begin(&s, NULL);
        task = store_create(&s, M_SYNC, 0);
        for (unsigned i = 0; i < 30; i++)
            store_note(&s, task, i);
        store_crash(&s, SIM_CRASH_POWER);
        store_fault(&s, SIM_FAULT_DIE, SIM_OPS(SIM_WRITE), nth, 0);
        if (store_try_open(&s) == 0) {
            store_start(&s);
            store_die(&s);
        }
        sim_disk_faults_clear(s.disk);
        sim_disk_crash(s.disk, SIM_CRASH_POWER);
        sim_disk_reopen(s.disk);
        store_open(&s);
        cr_assert_eq(fixture_puppet_of(&s.f, task).count, 30);
        store_end(&s);
    }
}
