/*
 * atomic.h - the vocabulary of ordered accesses. The order is in the name; nothing else in Pawl
 * names a memory_order or touches an _Atomic field directly.
 *
 * Layer: base.
 *
 *   load_acquire / store_release   one-way publication: everything before the release is visible
 *                                  after the acquire that read it.
 *   *_relaxed                      only the value matters; the call says why that is enough.
 *   fence_seq_cst                  the one place that orders a store before a later load (park and
 *                                  wake, host/park.h). ThreadSanitizer does not model fences, so
 *                                  no data may depend on one: fences order flags, releases order
 *                                  data.
 */
#ifndef PAWL_BASE_ATOMIC_H
#define PAWL_BASE_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p)     atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p)     atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define swap_acq_rel(p, v)  atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define add_relaxed(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acq_rel(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define sub_acq_rel(p, v)   atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define cas_acq_rel(p, e, v)                                                                       \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_acq_rel,                   \
                                            memory_order_acquire)

/* Orders this thread's earlier stores before its later loads. */
static inline void fence_seq_cst(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* Keeps the compiler, not the processor, from moving accesses across. */
static inline void fence_compiler(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/*
 * Asks for a line that this core will write soon and another may have: with a plain prefetch it
 * would come shared, and the store would ask a second time. A hint: any address will do. (Compilers
 * without a flag for it do not emit prefetchw, which every x86-64 processor of today knows or
 * ignores.)
 */
static inline void prefetch_own(const void *at)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

/* Tells the processor that this is a spin loop. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif /* PAWL_BASE_ATOMIC_H */
