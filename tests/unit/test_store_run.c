#include "shard/store_open.h"

#include <string.h>

#include "support/store_fixture.h"

/* What the manifest says of the last epoch's end. */
static bool is_closed(const struct store_fixture *s)
{
    struct manifest *manifest;
    bool closed;

    cr_assert_eq(
        pawl__manifest_read(&s->storage, s->options.store.directory, NULL, NULL, &manifest), 0);
    closed = manifest->closed;
    pawl__manifest_destroy(manifest);
    return closed;
}

Test(store_run, an_orderly_end_is_in_the_manifest_and_a_death_is_not)
{
    struct store_fixture s;

    store_begin(&s, NULL);
    cr_assert(!is_closed(&s));
    store_create(&s, M_SYNC, 0);
    store_close(&s);
    cr_assert(is_closed(&s));
    store_open(&s);
    cr_assert(!is_closed(&s));
    store_create(&s, M_SYNC, 0);
    store_crash(&s, SIM_CRASH_POWER);
    cr_assert(!is_closed(&s));
    store_open(&s);
    cr_assert(!is_closed(&s));
    store_close(&s);
    cr_assert(is_closed(&s));
    store_fini(&s);
}
