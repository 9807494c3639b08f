/*
 * pages.c - see pages.h.
 *
 * mmap returns addresses aligned to small pages. Larger reservations therefore ask for 2 MiB more
 * than they need and unmap what sticks out at both ends; between the two calls only address space
 * is in use.
 */
#include "host/pages.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/check.h"

/* Tests only: counts down to the reservation that is to fail. */
static _Atomic uint32_t fail_after;

void pawl__pages_fail_nth(uint32_t nth)
{
    store_relaxed(&fail_after, nth);
}

/* Reservations are rare, so that asking costs nothing that matters. */
static bool failure_is_due(void)
{
    uint32_t left = load_relaxed(&fail_after);

    while (left != 0) /* retried when another thread counted first */
        if (cas_acq_rel(&fail_after, &left, left - 1))
            return left == 1;
    return false;
}

static void *map_aligned(size_t bytes)
{
    const size_t slack = bytes >= PAGE_BYTES_HUGE ? PAGE_BYTES_HUGE : 0;
    char *start = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED)
        return NULL;
    if (slack == 0)
        return start;

    const size_t before = (size_t)(-(uintptr_t)start & (PAGE_BYTES_HUGE - 1));
    const size_t after = slack - before;

    if (before != 0)
        CHECK(munmap(start, before) == 0);
    if (after != 0)
        CHECK(munmap(start + before + bytes, after) == 0);
    return start + before;
}

static void count(struct pages_stats *stats, size_t bytes)
{
    uint64_t reserved;

    if (stats == NULL)
        return;
    reserved = add_relaxed(&stats->reserved, bytes) + bytes;
    if (reserved > load_relaxed(&stats->reserved_peak))
        store_relaxed(&stats->reserved_peak, reserved); /* one caller, one thread at a time */
}

void *pawl__pages_reserve(size_t bytes, enum pages_policy policy, struct pages_stats *stats)
{
    bytes = align_up(bytes, PAGE_BYTES);
    if (bytes == 0 || failure_is_due())
        return NULL;

    void *start = map_aligned(bytes);

    if (start == NULL)
        return NULL;
    /* Advice may be refused (a kernel without huge pages); the memory is good all the same. */
    if (policy == PAGES_HUGE)
        (void)madvise(start, bytes, MADV_HUGEPAGE);
    else if (policy == PAGES_SMALL)
        (void)madvise(start, bytes, MADV_NOHUGEPAGE);

    count(stats, bytes);
    return start;
}

int pawl__pages_give_back(void *start, size_t bytes)
{
    return madvise(start, bytes, MADV_DONTNEED) == 0 ? 0 : -errno;
}

void pawl__pages_unmap(void *start, size_t bytes, struct pages_stats *stats)
{
    if (start == NULL)
        return;
    bytes = align_up(bytes, PAGE_BYTES);
    CHECK(munmap(start, bytes) == 0);
    if (stats != NULL)
        add_relaxed(&stats->reserved, (uint64_t)0 - bytes);
}
