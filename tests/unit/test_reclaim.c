/* What reclaim.h promises: nothing is freed under a reader, everything is freed in the end. */
#include "host/reclaim.h"

#include <pthread.h>
#include <sched.h>

#include "support/test.h"

struct freed {
    unsigned count;
    size_t bytes;
    void *last;
};

static void note_freed(void *owner, void *what, size_t size)
{
    struct freed *freed = owner;

    freed->count++;
    freed->bytes += size;
    freed->last = what;
}

Test(reclaim, read_sections_nest)
{
    pawl__read_enter();
    pawl__read_enter();
    pawl__read_exit();
    pawl__read_exit();

    struct reclaim reclaim;
    struct freed freed = {0};

    reclaim_init(&reclaim);
    cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &freed, 1));
    reclaim_synchronize(&reclaim); /* would wait for ever inside a section */
    cr_assert_eq(freed.count, 1u);
}

Test(reclaim, frees_a_batch_after_seal_grace_and_collect)
{
    struct reclaim reclaim;
    struct reclaim *list[] = {NULL, &reclaim};
    struct freed freed = {0};

    reclaim_init(&reclaim);
    cr_assert(!reclaim_seal(&reclaim), "nothing to seal");
    cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &reclaim, 100));
    cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &freed, 50));
    cr_assert_eq(reclaim_pending(&reclaim), 2u);
    cr_assert_eq(reclaim_bytes(&reclaim), 150u);
    cr_assert_eq(reclaim_collect(&reclaim), 0u);
    cr_assert_eq(pawl__reclaim_grace(list, 2), 0u, "nobody asked");
    cr_assert(reclaim_seal(&reclaim));
    cr_assert(reclaim_waits(&reclaim));
    cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &list, 7));
    cr_assert(!reclaim_seal(&reclaim), "one batch at a time");
    cr_assert_eq(reclaim_collect(&reclaim), 0u);
    cr_assert_eq(pawl__reclaim_grace(list, 2), 1u);
    cr_assert(!reclaim_waits(&reclaim));
    cr_assert_eq(reclaim_collect(&reclaim), 2u);
    cr_assert_eq(freed.bytes, 150u);
    cr_assert(freed.last == &freed, "oldest first");
    cr_assert_eq(reclaim_pending(&reclaim), 1u);
    cr_assert(reclaim_seal(&reclaim));
    cr_assert_eq(pawl__reclaim_grace(list, 2), 1u);
    cr_assert_eq(reclaim_collect(&reclaim), 1u);
    cr_assert_eq(reclaim_pending(&reclaim), 0u);
    cr_assert_eq(reclaim_bytes(&reclaim), 0u);
    cr_assert_eq(load_relaxed(&reclaim.freed), 3u);
}

Test(reclaim, refuses_when_full_and_takes_more_after_a_collect)
{
    struct reclaim reclaim;
    struct freed freed = {0};

    reclaim_init(&reclaim);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned count = 0; count < RECLAIM_CAPACITY; count++)
            cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &freed, 1));
        cr_assert(!reclaim_retire(&reclaim, note_freed, &freed, &freed, 1));
        cr_assert_eq(reclaim_pending(&reclaim), RECLAIM_CAPACITY);
        if (round == 1)
            cr_assert(reclaim_seal(&reclaim));
        reclaim_synchronize(&reclaim); /* the sealed and the queued */
        cr_assert_eq(freed.count, (round + 1) * RECLAIM_CAPACITY);
        cr_assert(!reclaim_waits(&reclaim));
    }
}

static void retire_again(void *owner, void *what, size_t size)
{
    if (size > 0)
        cr_assert(reclaim_retire(owner, retire_again, owner, what, size - 1));
}

Test(reclaim, a_free_function_may_retire_more)
{
    struct reclaim reclaim;

    reclaim_init(&reclaim);
    cr_assert(reclaim_retire(&reclaim, retire_again, &reclaim, NULL, 3));
    for (unsigned round = 0; round < 4; round++) {
        cr_assert_eq(reclaim_pending(&reclaim), 1u);
        reclaim_synchronize(&reclaim);
    }
    cr_assert_eq(reclaim_pending(&reclaim), 0u);
}

/* A reader stays inside while a helper waits: the helper must not come back before it left. */

static _Atomic int stage;
static _Atomic bool left;

static void *read_for_long(void *argument)
{
    (void)argument;
    pawl__read_enter();
    store_release(&stage, 1);
    while (load_acquire(&stage) != 2)
        sched_yield();
    for (unsigned count = 0; count < 1000; count++)
        sched_yield();
    store_release(&left, true);
    pawl__read_exit();
    return NULL;
}

Test(reclaim, a_grace_period_waits_for_a_reader_inside)
{
    struct reclaim reclaim;
    struct reclaim *list[] = {&reclaim};
    struct freed freed = {0};
    pthread_t reader;

    reclaim_init(&reclaim);
    cr_assert_eq(pthread_create(&reader, NULL, read_for_long, NULL), 0);
    while (load_acquire(&stage) != 1)
        sched_yield();
    cr_assert(reclaim_retire(&reclaim, note_freed, &freed, &freed, 1));
    cr_assert(reclaim_seal(&reclaim));
    store_release(&stage, 2);
    cr_assert_eq(pawl__reclaim_grace(list, 1), 1u);
    cr_assert(load_acquire(&left));
    cr_assert_eq(reclaim_collect(&reclaim), 1u);
    pthread_join(reader, NULL);
}
