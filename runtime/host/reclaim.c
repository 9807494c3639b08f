/*
 * reclaim.c - see reclaim.h. The only module that includes liburcu.
 */
#include "host/reclaim.h"

#include <string.h>

#include "base/check.h"

/*
 * Which flavour. ns for an empty read section through pawl__read_enter and _exit (two calls), two
 * virtual Zen 5 cores at 3.4 GHz, best of 15:
 *
 *                                  bp      memb     qsbr
 *   in an executable               2.9      2.8      2.8
 *   in a -fPIC shared library     12.2      9.4      4.4  (and 3.6 for each quiescent_state)
 *   two empty calls                       about 2.5
 *
 * A read section is entered once for a look-up by key from outside and once for a whole walk, never
 * per event: the shard reads its own index without one. There 3-8 ns buy a great deal: bp needs no
 * registration, so any thread of the host may read, a thread that ends or sleeps holds nothing up
 * (an online qsbr thread that blocks stalls every grace period), and a host that uses any flavour
 * itself gets no clash. A grace period without readers costs 0.8 us.
 */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_CHECKER 1
#elif __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define MEMORY_CHECKER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(THREAD_CHECKER)
#define THREAD_CHECKER 1
#endif
#if (defined(__SANITIZE_ADDRESS__) || defined(PAWL_DEBUG)) && !defined(MEMORY_CHECKER)
#define MEMORY_CHECKER 1
#endif

/*
 * liburcu synchronises with inline assembly and in code that is not instrumented, so
 * ThreadSanitizer cannot see a grace period. There what a grace period orders is told by hand: all
 * that readers did before they left happens before what follows the grace period.
 */
#ifdef THREAD_CHECKER
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static char grace_token;
#define NOTE_READER_LEAVES() __tsan_release(&grace_token)
#define NOTE_GRACE_PASSED()  __tsan_acquire(&grace_token)
#else
#define NOTE_READER_LEAVES() ((void)0)
#define NOTE_GRACE_PASSED()  ((void)0)
#endif

/* Read sections inline, but not where checkers would look into them: liburcu's reader records are
 * less aligned than their type says. */
#if !defined(THREAD_CHECKER) && !defined(MEMORY_CHECKER) && !defined(__clang_analyzer__)
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

void pawl__read_enter(void)
{
    urcu_bp_read_lock();
}

void pawl__read_exit(void)
{
    NOTE_READER_LEAVES();
    urcu_bp_read_unlock();
}

void pawl__reclaim_init(struct reclaim *reclaim)
{
    memset(reclaim, 0, sizeof *reclaim);
}

/* Frees the oldest entries up to position `end`. A free function may retire more. */
uint32_t pawl__reclaim_free_until(struct reclaim *reclaim, uint32_t end)
{
    const uint32_t count = end - reclaim->head;

    while (reclaim->head != end) {
        const struct reclaim_entry entry = reclaim->entries[reclaim->head & (RECLAIM_CAPACITY - 1)];

        reclaim->head++;
        store_relaxed(&reclaim->objects, load_relaxed(&reclaim->objects) - 1);
        store_relaxed(&reclaim->bytes, load_relaxed(&reclaim->bytes) - entry.size);
        entry.free_fn(entry.owner, entry.what, entry.size);
    }
    store_relaxed(&reclaim->freed, load_relaxed(&reclaim->freed) + count);
    return count;
}

static void wait_for_readers(void)
{
    CHECK(!urcu_bp_read_ongoing()); /* it would wait for itself */
    urcu_bp_synchronize_rcu();
    NOTE_GRACE_PASSED();
}

size_t pawl__reclaim_grace(struct reclaim *const *list, size_t count)
{
    size_t asked = 0;

    for (size_t at = 0; at < count; at++) {
        if (list[at] == NULL)
            continue;
        list[at]->serving = load_acquire(&list[at]->wanted); /* (R2) pairs with (R1) */
        /* relaxed: only the helper writes done. */
        asked += list[at]->serving != load_relaxed(&list[at]->done);
    }
    if (asked == 0)
        return 0;
    wait_for_readers();
    for (size_t at = 0; at < count; at++)
        if (list[at] != NULL)
            store_release(&list[at]->done, list[at]->serving); /* (R3) pairs with (R4) */
    return asked;
}

void pawl__reclaim_synchronize(struct reclaim *reclaim)
{
    const uint32_t end = reclaim->tail;

    if (end == reclaim->head)
        return;
    wait_for_readers();
    /* The sealed batch, if there is one, is served by this grace period too. */
    store_release(&reclaim->done, load_relaxed(&reclaim->wanted));
    reclaim->sealed = end;
    pawl__reclaim_free_until(reclaim, end);
}
