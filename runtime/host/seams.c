/*
 * seams.c - the clocks and the randomness that a host gets when it brings none of its own.
 *
 * Layer: host. (Threads: thread.c. Storage: storage.c.)
 */
#include <errno.h>
#include <pawl/seams.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/atomic.h"

static uint64_t read_clock_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint64_t monotonic_now_ns(void *user)
{
    (void)user;
    return read_clock_ns(CLOCK_MONOTONIC);
}

/*
 * A tick of the kernel behind at most, an eighth of the price, and it does not hold up what is
 * around.
 */
static uint64_t monotonic_coarse_ns(void *user)
{
    (void)user;
    return read_clock_ns(CLOCK_MONOTONIC_COARSE);
}

/* Only for people: it can be set, also backwards. */
static uint64_t wall_ns(void *user)
{
    (void)user;
    return read_clock_ns(CLOCK_REALTIME);
}

const struct pawl_clock pawl_clock_monotonic = {
    .now_ns = monotonic_now_ns, .coarse_ns = monotonic_coarse_ns, .wall_ns = wall_ns};

struct pawl_virtual_clock {
    _Atomic uint64_t now_ns;
    struct pawl_clock seam;
};

static uint64_t virtual_now_ns(void *user)
{
    const struct pawl_virtual_clock *clock = user;

    return load_acquire(&clock->now_ns);
}

int pawl_virtual_clock_create(uint64_t start_ns, struct pawl_virtual_clock **clock)
{
    struct pawl_virtual_clock *made = malloc(sizeof(*made));

    if (made == NULL)
        return -ENOMEM;
    store_relaxed(&made->now_ns, start_ns); /* relaxed: nobody else knows it yet */
    made->seam = (struct pawl_clock){.user = made, .now_ns = virtual_now_ns, .is_virtual = 1};
    *clock = made;
    return 0;
}

void pawl_virtual_clock_destroy(struct pawl_virtual_clock *clock)
{
    free(clock);
}

const struct pawl_clock *pawl_virtual_clock_seam(struct pawl_virtual_clock *clock)
{
    return &clock->seam;
}

uint64_t pawl_virtual_clock_now_ns(const struct pawl_virtual_clock *clock)
{
    return load_acquire(&clock->now_ns);
}

void pawl_virtual_clock_advance_to(struct pawl_virtual_clock *clock, uint64_t to_ns)
{
    uint64_t now = load_acquire(&clock->now_ns);

    /* Repeated only when another thread has advanced the clock meanwhile. */
    while (now < to_ns && !cas_acq_rel(&clock->now_ns, &now, to_ns))
        ;
}

static int system_fill(void *user, void *bytes, size_t size)
{
    char *at = bytes;

    (void)user;
    while (size > 0) {
        const ssize_t got = getrandom(at, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

const struct pawl_random pawl_random_system = {.fill = system_fill};
