/*
 * Waiting for writes of a queue: with a time, a wake, a descriptor, and threads that come and go.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "base/random.h"
#include "support/queue_fixture.h"

/* ---- Waiting ---- */

Test(storage_queue_wait, a_wait_ends_with_its_time_and_costs_no_processor)
{
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        struct pawl_storage_done done;
        uint64_t used;

        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 0);
        used = clock_now(CLOCK_THREAD_CPUTIME_ID);
        expect_silence(bed.queue, 100 * MILLISECOND);
        expect_silence(bed.queue, 100 * MILLISECOND + 1);
        cr_assert(clock_now(CLOCK_THREAD_CPUTIME_ID) - used < 50 * MILLISECOND);
    }
}

Test(storage_queue_wait, a_wait_for_what_cannot_come_is_not_for_ever)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct pawl_storage_done done;
        struct storage_queue *queue = NULL;

        if (pawl__storage_queue_open(kinds[k], 4, -1, &queue) != 0)
            continue;
        cr_assert_eq(pawl__storage_queue_reap(queue, &done, 1, FOR_EVER), 0);
        expect_silence(queue, 20 * MILLISECOND);
        pawl__storage_queue_close(queue);
    }
}

Test(storage_queue_wait, a_readable_wake_ends_a_wait_until_its_owner_reads_it)
{
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        struct pawl_storage_done done;

        for (unsigned round = 0; round < 3; round++) {
            ring_wake(&bed);
            for (unsigned again = 0; again < 3; again++)
                cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
            cr_assert(drain_wake(&bed), "the queue has left it alone");
            expect_silence(bed.queue, 20 * MILLISECOND);
        }
    }
}

Test(storage_queue_wait, a_wake_that_was_dealt_with_between_two_waits_ends_neither)
{
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        expect_silence(bed.queue, MILLISECOND);
        ring_wake(&bed);
        cr_assert(drain_wake(&bed));
        expect_silence(bed.queue, 20 * MILLISECOND);
    }
}

Test(storage_queue_wait, a_wake_does_not_hide_results_nor_results_a_wake)
{
    for (struct bed bed = {0}; next_bed(&bed, 8);) {
        struct pawl_storage_done done;
        unsigned got = 0;

        ring_wake(&bed);
        for (unsigned i = 0; i < 8; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        for (unsigned waits = 0; got < 8; waits++) {
            cr_assert(waits < 1000000);
            got += (unsigned)pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER);
        }
        cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
    }
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

Test(storage_queue_wait, a_signal_does_not_shorten_a_wait)
{
    const struct sigaction ignore = {.sa_handler = do_nothing};
    const struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};

    cr_assert_eq(sigaction(SIGALRM, &ignore, NULL), 0);
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        struct pawl_storage_done done;

        cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
        expect_silence(bed.queue, 60 * MILLISECOND);
        for (unsigned i = 0; i < 200; i++) {
            cr_assert_eq(write_block(&bed, i % BLOCKS, i), 0);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 1);
            cr_assert_eq(done.result, (int64_t)BLOCK);
        }
        cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    }
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int ready;

    do {
        ready = poll(&polled, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
}

Test(storage_queue_wait, the_descriptor_is_readable_while_there_is_something_to_reap)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int outer = epoll_create1(EPOLL_CLOEXEC);
    struct pawl_storage_done done;
    struct bed bed;
    int fd;

    cr_assert(make_bed(&bed, STORAGE_QUEUE_PLAIN, 4));
    cr_assert_eq(pawl__storage_queue_fd(bed.queue), -ENOTSUP);
    remove_bed(&bed);
    if (!make_bed(&bed, STORAGE_QUEUE_RING, 4))
        return;
    fd = pawl__storage_queue_fd(bed.queue);
    cr_assert(fd >= 0);
    cr_assert_eq(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event), 0);
    for (unsigned round = 0; round < 100; round++) {
        cr_assert(!is_readable(fd, 0));
        cr_assert(!is_readable(outer, 0));
        for (unsigned i = 0; i < 2; i++)
            cr_assert_eq(write_block(&bed, i, i), 0);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert(is_readable(outer, 5000), "behind an epoll, as hosts have it");
            cr_assert(is_readable(fd, 5000));
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, 0), 1);
        }
    }
    close(outer);
    remove_bed(&bed);
}

/* ---- Threads ---- */

static void *send_and_end(void *argument)
{
    struct bed *bed = argument;
    uintptr_t refused = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        refused += write_block(bed, i, i) != 0;
    return (void *)refused;
}

/* The kernel finishes a write in the thread that started it; here that thread is gone. */
Test(storage_queue_wait, writes_of_a_thread_that_has_ended_are_made_all_the_same)
{
    for (unsigned direct = 0; direct < 2; direct++) {
        for (struct bed bed = {0}; next_bed(&bed, BLOCKS);) {
            struct pawl_storage_done done[BLOCKS];
            pthread_t thread;
            void *refused;
            unsigned got = 0;

            close(bed.fd);
            bed.fd = make_file(direct != 0);
            cr_assert_eq(pthread_create(&thread, NULL, send_and_end, &bed), 0);
            pthread_join(thread, &refused);
            cr_assert(refused == NULL);
            while (got < BLOCKS) {
                const int count = pawl__storage_queue_reap(bed.queue, done, BLOCKS, FOR_EVER);

                for (int i = 0; i < count; i++)
                    cr_assert_eq(done[i].result, (int64_t)BLOCK);
                got += (unsigned)count;
            }
            for (unsigned i = 0; i < BLOCKS; i++)
                cr_assert(is_written(&bed, i));
        }
    }
}

static void *wait_and_end(void *argument)
{
    struct bed *bed = argument;
    struct pawl_storage_done done;

    pawl__storage_queue_reap(bed->queue, &done, 1, MILLISECOND);
    return NULL;
}

Test(storage_queue_wait, a_wake_is_seen_after_the_thread_that_waited_for_it_has_ended)
{
    for (struct bed bed = {0}; next_bed(&bed, 4);) {
        struct pawl_storage_done done;

        for (unsigned round = 0; round < 10; round++) {
            pthread_t thread;

            cr_assert_eq(pthread_create(&thread, NULL, wait_and_end, &bed), 0);
            pthread_join(thread, NULL);
            expect_silence(bed.queue, 5 * MILLISECOND);
            ring_wake(&bed);
            cr_assert_eq(pawl__storage_queue_reap(bed.queue, &done, 1, FOR_EVER), 0);
            cr_assert(drain_wake(&bed));
        }
    }
}

struct crossing {
    struct bed bed;
    _Atomic uint64_t items; /* published by the waker, each followed by a wake */
    _Atomic uint64_t taken;
    uint64_t rounds;
    unsigned failed;
};

static void *publish_and_wake(void *argument)
{
    struct crossing *crossing = argument;
    const uint64_t one = 1;
    struct random random = {7};

    for (uint64_t i = 1; i <= crossing->rounds; i++) {
        store_release(&crossing->items, i);
        crossing->failed += write(crossing->bed.wake_fd, &one, sizeof(one)) != sizeof(one);
        /* One item at a time, so that no later wake makes good for a lost one. */
        while (load_acquire(&crossing->taken) < i)
            sched_yield();
        for (uint64_t spin = random_below(&random, 4000); spin > 0; spin--)
            cpu_relax();
    }
    return NULL;
}

/* Writes and wakes beside each other; PAWL_TEST_ROUNDS asks for more of them. */
Test(storage_queue_wait, no_wake_is_lost_between_writes)
{
    const char *wanted = getenv("PAWL_TEST_ROUNDS");

    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct crossing crossing = {.rounds = wanted != NULL ? strtoull(wanted, NULL, 10) : 2000};
        struct random random = {k + 1};
        uint64_t taken = 0, sent = 0, ended = 0, wrong = 0;
        pthread_t thread;

        if (!make_bed(&crossing.bed, kinds[k], 4))
            continue;
        cr_assert_eq(pthread_create(&thread, NULL, publish_and_wake, &crossing), 0);
        while (taken < crossing.rounds || ended < sent) {
            struct pawl_storage_done done[4];
            const uint64_t began = clock_now(CLOCK_MONOTONIC);
            uint64_t items;
            int count;

            if (taken < crossing.rounds && sent - ended < 4 && random_below(&random, 4) == 0) {
                wrong += write_block(&crossing.bed, (unsigned)(sent % BLOCKS), sent) != 0;
                sent++;
            }
            count = pawl__storage_queue_reap(crossing.bed.queue, done, 4, 20000 * MILLISECOND);
            cr_assert(clock_now(CLOCK_MONOTONIC) - began < 10000 * MILLISECOND, "a wake was lost");
            for (int i = 0; i < count; i++)
                wrong += done[i].result != (int64_t)BLOCK;
            ended += (unsigned)count;
            if (!drain_wake(&crossing.bed))
                continue;
            items = load_acquire(&crossing.items);
            wrong += items != taken + 1;
            taken = items;
            store_release(&crossing.taken, taken);
        }
        pthread_join(thread, NULL);
        cr_assert_eq(wrong, 0u);
        cr_assert_eq(crossing.failed, 0u);
        remove_bed(&crossing.bed);
    }
}
