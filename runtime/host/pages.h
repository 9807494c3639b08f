/*
 * pages.h - anonymous memory by the page: reserve, give back, unmap.
 *
 * Address space is reserved without commit (MAP_NORESERVE), so a caller may reserve what it might
 * need and pay only for what it touches. Memory given back reads as zeroes and stays mapped: that
 * is what makes the slabs type-stable. A mapping of 2 MiB or more starts on a 2 MiB boundary, so
 * that huge pages fit it.
 *
 * Layer: host. Any thread; the counters are the caller's and may be read by any thread.
 */
#ifndef PAWL_HOST_PAGES_H
#define PAWL_HOST_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

#define PAGE_BYTES      ((size_t)4096)
#define PAGE_BYTES_HUGE ((size_t)2 << 20)

enum pages_policy {
    PAGES_PLAIN, /* whatever the system does by itself */
    PAGES_SMALL, /* no huge pages: ranges smaller than 2 MiB will be given back */
    PAGES_HUGE,  /* huge pages where the system allows them */
};

/*
 * What one caller holds, in bytes of address space; zero it before use. NULL where nobody counts.
 */
struct pages_stats {
    _Atomic uint64_t reserved;
    _Atomic uint64_t reserved_peak;
};

/*
 * pawl__pages_reserve - zero-filled memory of at least `bytes`, rounded up to whole pages.
 *
 * Returns: the memory, or NULL when the system refuses or an injected failure is due.
 */
void *pawl__pages_reserve(size_t bytes, enum pages_policy policy, struct pages_stats *stats);

/* Gives the memory of a page-aligned range back; it stays mapped and reads as zeroes.
 * Returns 0, or a negative errno (locked memory cannot be given back): the content is then kept. */
int pawl__pages_give_back(void *start, size_t bytes);

/* Unmaps a whole reservation or, from its start, a part of it. */
void pawl__pages_unmap(void *start, size_t bytes, struct pages_stats *stats);

/* For tests: the nth reservation from now on fails (1 is the next one), once; 0 switches it off. */
void pawl__pages_fail_nth(uint32_t nth);

#endif /* PAWL_HOST_PAGES_H */
