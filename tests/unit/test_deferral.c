/*
 * Deferral: events put aside, by the state, by the policy or by a handler, come back oldest first when
 * the state changes, and each has exactly one fate.
 */
#include "shard/deferral.h"
#include "support/gate_fixture.h"
#include "support/seed.h"

Test(deferral, events_come_back_oldest_first)
{
    gate_open();
    for (uint32_t i = 1; i <= 6; i++)
        post(i % 2 ? G_X : G_Y, i);
    fixture_run(&f);
    cr_assert(fixture_nothing_to_reap(&f));
    cr_assert_eq(fixture_counters(&f).deferred, 6);
    cr_assert_eq(pawl_port_outstanding(f.port), 6);
    post(G_OPEN, 7);
    post(G_X, 8);
    fixture_run(&f);
    expect(7, 0, G_SOPEN);
    for (uint32_t i = 1; i <= 6; i++)
        expect(i, 0, G_SOPEN);
    expect(8, 0, G_SOPEN);
    cr_assert(TRACE_IS(1, 2, 3, 4, 5, 6, 8));
    cr_assert_eq(fixture_counters(&f).recalled, 6);
    fixture_close(&f);
}

Test(deferral, a_deferral_is_no_step)
{
    struct pawl_view before, after;

    gate_open();
    before = fixture_view(&f, task, NULL, 0);
    post(G_X, 1);
    fixture_run(&f);
    after = fixture_view(&f, task, NULL, 0);
    cr_assert(before.version == after.version && before.state == after.state);
    cr_assert_eq(fixture_counters(&f).undelivered, 0);
    fixture_close(&f);
}

Test(deferral, what_is_deferred_again_keeps_its_place)
{
    gate_open();
    for (uint32_t i = 1; i <= 6; i++)
        post(i <= 3 ? G_Y : G_X, i);
    post(G_AGAIN, 10);
    post(G_Y, 7);
    post(G_OPEN, 11);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3, 4, 5, 6, 7));
    cr_assert_eq(fixture_counters(&f).recalled, 7); /* what stays deferred is not tried */
    fixture_close(&f);
}

Test(deferral, a_recall_that_changes_the_state_begins_anew)
{
    gate_open();
    post(G_Y, 1);
    post(G_Y, 2);
    post(G_X, 3);
    post(G_Y, 4);
    post(G_X, 5);
    /* half: y stays, x 3 opens; then all the rest, oldest first. */
    post(G_HALF, 6);
    fixture_run(&f);
    cr_assert(TRACE_IS(3, 1, 2, 4, 5));
    expect(6, 0, G_SHALF);
    expect(3, 0, G_SOPEN);
    expect(1, 0, G_SOPEN);
    expect(2, 0, G_SOPEN);
    expect(4, 0, G_SOPEN);
    expect(5, 0, G_SOPEN);
    fixture_close(&f);
}

Test(deferral, an_internal_transition_recalls_nothing)
{
    gate_open();
    post(G_X, 1);
    post(G_TOUCH, 2);
    fixture_run(&f);
    expect(2, 0, G_SCLOSED);
    cr_assert(TRACE_IS(2));
    cr_assert(fixture_nothing_to_reap(&f));
    fixture_close(&f);
}

Test(deferral, a_handler_can_defer_and_nothing_else_takes_effect)
{
    struct pawl_view before, after;
    struct puppet puppet;

    gate_open();
    before = fixture_view(&f, task, NULL, 0);
    z_says = 1;
    post(G_Z, 1);
    fixture_run(&f);
    after = fixture_view(&f, task, &puppet, sizeof(puppet));
    cr_assert_eq(before.version, after.version);
    cr_assert_eq(puppet.count, 0);
    cr_assert_eq(trace.count, 0);
    cr_assert_eq(fixture_counters(&f).timers, 0);
    cr_assert_eq(fixture_counters(&f).posted, 0);
    cr_assert_eq(fixture_next_timer(&f), UINT64_MAX);
    /* It defers again, and then it does not. */
    post(G_AGAIN, 2);
    fixture_run(&f);
    cr_assert_eq(trace.count, 0);
    z_says = 0;
    post(G_OPEN, 3);
    fixture_run(&f);
    expect(2, 0, G_SCLOSED);
    expect(3, 0, G_SOPEN);
    expect(1, 0, G_SOPEN);
    cr_assert(TRACE_IS(1));
    fixture_close(&f);
}

Test(deferral, the_limit_refuses_the_newest)
{
    gate_open();
    for (uint32_t i = 1; i <= 10; i++)
        post(G_X, i);
    fixture_send(&f, task, G_Y, 11);
    fixture_run(&f);
    expect(9, -ENOSPC, 0);
    expect(10, -ENOSPC, 0);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ENOSPC);
    cr_assert_eq(f.undelivered[0].event.arg[0], 11);
    /* It makes room again. */
    post(G_OPEN, 20);
    post(G_CLOSE, 21);
    for (uint32_t i = 31; i <= 38; i++)
        post(G_X, i);
    post(G_OPEN, 22);
    fixture_run(&f);
    cr_assert(TRACE_IS(1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 34, 35, 36, 37, 38));
    fixture_close(&f);
}

/* A limit that does not fit 16 bits holds all the same, or the machine is not compiled. */
Test(deferral, a_large_limit_holds)
{
    struct pawl_machine_def large = gate;
    struct pawl_machine *machine = NULL;
    unsigned failed = 0;

    large.deferred_max = 66000;
    if (pawl_machine_compile(&large, NULL, NULL, &machine) != 0)
        return;
    pawl_machine_destroy(machine);
    fixture_open(&f, &(struct fixture_options){.machines = {&large}});
    task = fixture_create(&f, 0, 0);
    for (unsigned i = 0; i < 67000; i++) {
        fixture_send(&f, task, G_X, i);
        if (i % 1000 == 0)
            fixture_run(&f);
    }
    fixture_run(&f);
    failed = f.undelivered_count;
    cr_assert_eq(failed, 1000, "%u of 67000 were refused", failed);
    fixture_close(&f);
}

Test(deferral, events_of_a_task_that_ends_are_cancelled)
{
    gate_open();
    for (uint32_t i = 1; i <= 4; i++)
        post(G_X, i);
    fixture_send(&f, task, G_Y, 5);
    post(G_FIN, 6);
    fixture_run(&f);
    for (uint32_t i = 1; i <= 4; i++)
        expect(i, -ECANCELED, 0);
    expect(6, 0, G_SEND);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ECANCELED);
    cr_assert_eq(f.undelivered[0].event.arg[0], 5);
    cr_assert_eq(trace.count, 0);
    fixture_close(&f);
}

Test(deferral, a_recall_in_which_the_task_ends_cancels_the_rest)
{
    gate_open();
    z_says = 1;
    post(G_X, 1);
    post(G_Z, 2);
    post(G_Y, 3);
    post(G_X, 4);
    fixture_run(&f);
    z_says = 3;
    post(G_OPEN, 5);
    fixture_run(&f);
    expect(5, 0, G_SOPEN);
    expect(1, 0, G_SOPEN);
    expect(2, 0, G_SOPEN);
    expect(3, -ECANCELED, 0);
    expect(4, -ECANCELED, 0);
    cr_assert(TRACE_IS(1, 2));
    cr_assert(!fixture_is_alive(&f, task));
    fixture_close(&f);
}

Test(deferral, a_recalled_event_that_fails_does_not_stop_the_others)
{
    gate_open();
    z_says = 1;
    post(G_X, 1);
    post(G_Z, 2);
    post(G_Y, 3);
    fixture_run(&f);
    z_says = 2;
    post(G_OPEN, 4);
    fixture_run(&f);
    expect(4, 0, G_SOPEN);
    expect(1, 0, G_SOPEN);
    expect(2, -EIO, 0);
    expect(3, 0, G_SOPEN);
    cr_assert(TRACE_IS(1, 3));
    fixture_close(&f);
}

Test(deferral, a_cancelled_task_gives_its_deferred_events_up)
{
    gate_open();
    post(G_X, 1);
    fixture_run(&f);
    cr_assert_eq(pawl_port_cancel(f.port, task, 2), 0);
    fixture_run(&f);
    expect(1, -ECANCELED, 0);
    expect(2, 0, G_SCLOSED);
    fixture_close(&f);
}

Test(deferral, stop_cancels_deferred_events)
{
    gate_open();
    post(G_X, 1);
    fixture_send(&f, task, G_X, 2);
    fixture_run(&f);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    expect(1, -ECANCELED, 0);
    cr_assert_eq(f.undelivered_count, 1);
    cr_assert_eq(f.undelivered[0].reason, -ECANCELED);
    fixture_close(&f);
}

/* ---- at random ----------------------------------------------------------------------------------- */

/* A plain list stands in for the runtime. */
struct model {
    unsigned state;
    unsigned kept_count;
    struct {
        unsigned code;
        uint64_t arg;
    } kept[8];
    unsigned refused;
    uint64_t expected[8192];
    unsigned expected_count;
};

static bool model_changes(struct model *m, unsigned code, uint64_t arg);

static void model_recall(struct model *m)
{
    bool again = true;

    while (again) {
        const struct model old = *m;

        again = false;
        m->kept_count = 0;
        for (unsigned i = 0; i < old.kept_count; i++) {
            if (again) {
                m->kept[m->kept_count++] = old.kept[i];
                continue;
            }
            again = model_changes(m, old.kept[i].code, old.kept[i].arg);
        }
    }
}

/* One event without recall; whether the state was left. */
static bool model_changes(struct model *m, unsigned code, uint64_t arg)
{
    const bool defers = (m->state == G_SCLOSED && (code == G_X || code == G_Y)) ||
                        (m->state == G_SHALF && code == G_Y);

    if (defers) {
        if (m->kept_count == 8) {
            m->refused++;
        } else {
            m->kept[m->kept_count].code = code;
            m->kept[m->kept_count++].arg = arg;
        }
        return false;
    }
    if ((m->state == G_SHALF && code == G_X) || (m->state == G_SOPEN && code <= G_Z) ||
        (m->state != G_SOPEN && code == G_Z) || (m->state != G_SHALF && code == G_TOUCH))
        m->expected[m->expected_count++] = arg;
    if (m->state == G_SHALF && code == G_X) {
        m->state = G_SOPEN;
        return true;
    }
    if (m->state == G_SCLOSED && (code == G_OPEN || code == G_HALF || code == G_AGAIN)) {
        m->state = code == G_OPEN ? G_SOPEN : code == G_HALF ? G_SHALF : G_SCLOSED;
        return true;
    }
    if (m->state != G_SCLOSED && code == G_CLOSE) {
        m->state = G_SCLOSED;
        return true;
    }
    return false;
}

Test(deferral, random_events_agree_with_a_list)
{
    static const uint16_t codes[] = {G_X,    G_X,    G_Y,     G_Y,     G_Z,
                                     G_OPEN, G_HALF, G_CLOSE, G_AGAIN, G_TOUCH};
    static struct model m;
    uint64_t seed = test_seed(7);

    gate_open();
    memset(&m, 0, sizeof(m));
    for (uint64_t i = 0; i < 8000; i++) {
        uint16_t code;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        code = codes[(seed >> 33) % 10];
        fixture_send(&f, task, code, i);
        if (model_changes(&m, code, i))
            model_recall(&m);
        if ((seed >> 50) % 16 == 0)
            fixture_run(&f);
    }
    fixture_run(&f);
    cr_assert(trace_equals(m.expected, m.expected_count));
    cr_assert_eq(fixture_state(&f, task), m.state);
    cr_assert_eq(f.undelivered_count, m.refused);
    cr_assert_eq(pawl_stop(f.runtime), 0);
    cr_assert_eq(f.undelivered_count, m.refused + m.kept_count);
    fixture_close(&f);
}

/* ---- Restoring ----------------------------------------------------------------------------------- */

/* What a slot keeps, as the digits of a number. */
static uint64_t digits_of(const struct slab *deferrals, const struct slot *slot)
{
    uint64_t digits = 0;
    uint32_t at = 0;

    while ((at = pawl__deferral_restore_next(deferrals, slot, at)) != 0)
        digits = 10 * digits + ((struct deferral *)slab_at(deferrals, at))->event.arg[1];
    return digits;
}

Test(deferral, restored_ones_are_cut_from_the_newest)
{
    static const uint64_t expected[] = {0, 1, 12, 123, 1234, 1234};
    struct slab deferrals;
    struct slot slot;

    for (uint32_t kept = 0; kept < 6; kept++) {
        memset(&slot, 0, sizeof(slot));
        cr_assert_eq(
            slab_init(&deferrals, &(struct slab_options){.object_size = sizeof(struct deferral),
                                                         .objects_max = 100}),
            0);
        pawl__deferral_restore_cut(&deferrals, &slot, 0);
        for (uint64_t i = 1; i <= 4; i++)
            cr_assert(pawl__deferral_restore_add(
                &deferrals, &slot,
                &(struct pawl_event){.flags = PAWL_EVENT_BUFFER,
                                     .arg = {(uint64_t)(uintptr_t)pawl_buffer_create(8), i}}));
        pawl__deferral_restore_cut(&deferrals, &slot, kept);
        cr_assert_eq(digits_of(&deferrals, &slot), expected[kept]);
        cr_assert_eq(slab_live(&deferrals), kept < 4 ? kept : 4);
        cr_assert(
            pawl__deferral_restore_add(&deferrals, &slot, &(struct pawl_event){.arg = {0, 9}}));
        cr_assert_eq(digits_of(&deferrals, &slot), 10 * expected[kept] + 9);
        cr_assert_eq(((struct deferral *)slab_at(&deferrals, slot_deferred(&slot)))->count,
                     (kept < 4 ? kept : 4) + 1);
        pawl__deferral_restore_cut(&deferrals, &slot, 0); /* a leak check sees the buffers go */
        cr_assert_eq(slab_live(&deferrals), 0u);
        slab_fini(&deferrals);
    }
}
