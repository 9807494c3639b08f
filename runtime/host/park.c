#include "host/park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* The longest sleep; a far deadline is slept in pieces, which keeps the arithmetic in range. */
#define WAIT_MAX_NS (NS_PER_S * 3600)

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static int poll_open(struct park *park)
{
    struct epoll_event readable = {.events = EPOLLIN};

    park->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    park->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    park->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (park->event_fd < 0 || park->timer_fd < 0 || park->poll_fd < 0)
        return -errno;
    if (epoll_ctl(park->poll_fd, EPOLL_CTL_ADD, park->event_fd, &readable) != 0)
        return -errno;
    if (epoll_ctl(park->poll_fd, EPOLL_CTL_ADD, park->timer_fd, &readable) != 0)
        return -errno;
    return 0;
}

int pawl__park_watch(struct park *park, int fd)
{
    struct epoll_event readable = {.events = EPOLLIN};

    return epoll_ctl(park->poll_fd, EPOLL_CTL_ADD, fd, &readable) == 0 ? 0 : -errno;
}

int pawl__park_init(struct park *park, bool polled)
{
    int error;

    memset(park, 0, sizeof(*park));
    park->polled = polled;
    park->event_fd = park->timer_fd = park->poll_fd = -1;
    park->asymmetric = pawl__barrier_register();
    if (!polled)
        return 0;
    error = poll_open(park);
    if (error != 0)
        pawl__park_fini(park);
    return error;
}

void pawl__park_fini(struct park *park)
{
    if (park->event_fd >= 0)
        close(park->event_fd);
    if (park->timer_fd >= 0)
        close(park->timer_fd);
    if (park->poll_fd >= 0)
        close(park->poll_fd);
    park->event_fd = park->timer_fd = park->poll_fd = -1;
}

void pawl__park_prepare(struct park *park)
{
    /* relaxed: the barrier below orders it (A in the picture). */
    store_relaxed(&park->word, PARK_ASLEEP);
    pawl__barrier_heavy(park->asymmetric);
}

static void drain_fd(int fd)
{
    uint64_t count;

    /* An empty descriptor says EAGAIN, which is as good. */
    if (read(fd, &count, sizeof(count)) < 0)
        DEBUG_CHECK(errno == EAGAIN || errno == EINTR);
}

void pawl__park_cancel(struct park *park)
{
    /* relaxed: a late waker may still see ASLEEP and wake once in vain. */
    store_relaxed(&park->word, PARK_AWAKE);
    if (park->polled) {
        drain_fd(park->event_fd);
        drain_fd(park->timer_fd);
    }
}

void pawl__park_wait(struct park *park, uint64_t timeout_ns)
{
    const struct timespec timeout =
        timespec_of(timeout_ns < WAIT_MAX_NS ? timeout_ns : WAIT_MAX_NS);

    /* The kernel compares the word again, so a wake between prepare and here is not lost. */
    syscall(SYS_futex, &park->word, FUTEX_WAIT_PRIVATE, PARK_ASLEEP, &timeout, NULL, 0);
    pawl__park_cancel(park);
}

void pawl__park_deadline(struct park *park, uint64_t timeout_ns)
{
    struct itimerspec when = {0};

    if (timeout_ns != UINT64_MAX) {
        if (timeout_ns == 0)
            timeout_ns = 1; /* 0 would disarm it */
        when.it_value = timespec_of(timeout_ns < WAIT_MAX_NS ? timeout_ns : WAIT_MAX_NS);
    }
    CHECK(timerfd_settime(park->timer_fd, 0, &when, NULL) == 0);
}

void pawl__park_wake_slow(struct park *park)
{
    const uint64_t one = 1;

    /* One waker of many makes the call. */
    if (swap_acq_rel(&park->word, PARK_AWAKE) != PARK_ASLEEP)
        return;
    if (!park->polled)
        syscall(SYS_futex, &park->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    else if (write(park->event_fd, &one, sizeof(one)) < 0)
        DEBUG_CHECK(errno == EAGAIN); /* full means readable already */
}
