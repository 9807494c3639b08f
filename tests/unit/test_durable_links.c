#include "support/store_fixture.h"

static struct store_fixture s;
static struct pawl_task sender, target; /* on a shard each */

static void begin(void)
{
    const struct store_fixture_options options = {.shards = 2};

    store_begin(&s, &options);
    sender = store_create(&s, M_SYNC, 0);
    target = store_create(&s, M_SYNC, 1);
}

Test(durable_links, what_the_receiver_has_durably_handled_is_not_kept)
{
    struct durable_link *link;

    begin();
    link = &store_durable(&s, 0)->links[1];
    for (unsigned i = 0; i < 100; i++) {
        store_post_call(&s, sender, store_post_note, target);
        store_run(&s);
    }
    for (unsigned i = 0; i < 4; i++) { /* the news of it goes with the turns that follow */
        store_note(&s, sender, 1);
        store_note(&s, target, 1);
    }
    cr_assert_eq(link->sent[DURABLE_ORDINARY], 100);
    cr_assert_eq(link->confirmed[DURABLE_ORDINARY], 100);
    cr_assert_eq(fifo_count(&link->kept[DURABLE_ORDINARY]), 0);
    store_end(&s);
}

/* Not even when the receiver has nothing else to write: what it holds must not grow for ever. */
Test(durable_links, nothing_is_kept_for_a_receiver_that_has_become_quiet)
{
    begin();
    for (unsigned i = 0; i < 20; i++)
        store_post_call(&s, sender, store_post_note, target);
    for (unsigned i = 0; i < 20; i++)
        store_settle(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 20);
    cr_assert_eq(fifo_count(&store_durable(&s, 0)->links[1].kept[DURABLE_ORDINARY]), 0);
    store_end(&s);
}

/* What it refuses comes again in the next life: the sender must not be told that it is safe. */
Test(durable_links, a_shard_that_has_failed_at_rest_confirms_nothing)
{
    begin();
    store_settle(&s); /* every frame of shard 1 is on disk: what fails is not one of them */
    store_release(&store_durable(&s, 1)->journal.failed, -EIO);
    for (unsigned i = 0; i < 5; i++) {
        store_post_call(&s, sender, store_post_note, target);
        store_settle(&s);
    }
    cr_assert_eq(store_durable(&s, 0)->links[1].sent[DURABLE_ORDINARY], 5);
    cr_assert_eq(store_durable(&s, 0)->links[1].confirmed[DURABLE_ORDINARY], 0);
    store_crash(&s, SIM_CRASH_POWER);
    store_open(&s);
    store_settle(&s);
    cr_assert_eq(fixture_puppet_of(&s.f, target).count, 5);
    store_end(&s);
}
