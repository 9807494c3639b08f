/*
 * test_thread.c - threads of ours: name, place, signals, stack. Nothing here needs more than one
 * cpu. Threads write down what they find, the test looks at it after they were joined.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "host/thread.h"
#include "support/test.h"

#define ABSENT_CPU 60000u /* a number no machine has; the kernel's limit is far below */

struct found {
    const unsigned *cpus;
    unsigned cpu_count;
    char name[16];
    sigset_t blocked;
    cpu_set_t mask;
    size_t stack_size;
    bool pinned;
    bool ran;
};

static void look_around(void *argument)
{
    struct found *found = argument;
    pthread_attr_t attributes;

    pthread_getname_np(pthread_self(), found->name, sizeof(found->name));
    pthread_sigmask(SIG_SETMASK, NULL, &found->blocked);
    sched_getaffinity(0, sizeof(found->mask), &found->mask);
    if (!pthread_getattr_np(pthread_self(), &attributes)) {
        pthread_attr_getstacksize(&attributes, &found->stack_size);
        pthread_attr_destroy(&attributes);
    }
    found->pinned = pawl__thread_is_pinned(found->cpus, found->cpu_count);
    found->ran = true;
}

static struct found run(const struct pawl_thread_spec *spec)
{
    struct found found = {.cpus = spec->cpus, .cpu_count = spec->cpu_count};
    void *thread = NULL;
    const int rc = pawl_threads_posix.start(NULL, spec, look_around, &found, &thread);

    cr_assert(rc == 0, "%d", rc);
    cr_assert(thread != NULL);
    cr_assert_eq(pawl_threads_posix.join(NULL, thread), 0);
    cr_assert(found.ran);
    return found;
}

static unsigned last_allowed(void)
{
    cpu_set_t mask;
    unsigned last = 0;

    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mask))
            last = cpu;
    return last;
}

Test(thread, carries_its_name)
{
    struct found found = run(&(struct pawl_thread_spec){.name = "pawl-s3"});

    cr_assert_str_eq(found.name, "pawl-s3");
}

Test(thread, cuts_a_name_that_is_too_long)
{
    struct found found = run(&(struct pawl_thread_spec){.name = "pawl-a-very-long-name"});

    cr_assert_str_eq(found.name, "pawl-a-very-lon");
}

Test(thread, runs_where_it_was_put)
{
    const unsigned cpu = last_allowed();
    struct found found =
        run(&(struct pawl_thread_spec){.name = "pawl-s0", .cpus = &cpu, .cpu_count = 1});

    cr_assert(found.pinned);
    cr_assert_eq(CPU_COUNT(&found.mask), 1);
    cr_assert(CPU_ISSET(cpu, &found.mask));
}

Test(thread, runs_all_the_same_when_it_cannot_be_pinned)
{
    const unsigned absent[] = {ABSENT_CPU, CPU_NUMBER_MAX + 1};
    cpu_set_t mask;
    struct found found;

    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    for (unsigned i = 0; i < 2; i++) {
        found = run(&(struct pawl_thread_spec){.cpus = &absent[i], .cpu_count = 1});
        cr_assert(!found.pinned);
        cr_assert(CPU_EQUAL(&found.mask, &mask), "it keeps what it inherited");
    }
}

Test(thread, is_left_alone_when_no_cpus_are_given)
{
    cpu_set_t mask;
    struct found found = run(&(struct pawl_thread_spec){.name = "pawl-mon"});

    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    cr_assert(CPU_EQUAL(&found.mask, &mask));
    cr_assert(!found.pinned);
}

Test(thread, floats_free_of_what_its_starter_is_bound_to)
{
    unsigned all[CPU_SETSIZE], count = 0;
    const unsigned last = last_allowed();
    struct found found;
    cpu_set_t mask;

    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mask))
            all[count++] = cpu;
    cr_assert_eq(pawl__thread_pin_self(&last, 1), 0);
    found = run(&(struct pawl_thread_spec){.cpus = all, .cpu_count = count});
    sched_setaffinity(0, sizeof(mask), &mask);
    cr_assert(CPU_EQUAL(&found.mask, &mask));
    cr_assert(found.pinned);
}

Test(thread, blocks_the_hosts_signals_but_not_its_own_faults)
{
    static const int outside[] = {SIGHUP,  SIGINT,  SIGTERM, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGCHLD, SIGPIPE, SIGPROF, SIGVTALRM};
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t before, after;
    struct found found;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    found = run(&(struct pawl_thread_spec){.name = "pawl-s0"});
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        cr_assert(sigismember(&found.blocked, outside[i]) == 1, "signal %d", outside[i]);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        cr_assert(sigismember(&found.blocked, own[i]) == 0, "signal %d", own[i]);
    for (int signal = 1; signal <= SIGRTMAX; signal++)
        cr_assert(sigismember(&before, signal) == sigismember(&after, signal),
                  "signal %d of the starter", signal);
}

Test(thread, has_at_least_the_stack_it_asked_for)
{
    static const size_t asked[] = {1, 123457, 3 << 20};

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct found found = run(&(struct pawl_thread_spec){.stack_size = asked[i]});

        cr_assert(found.stack_size >= asked[i], "%zu of %zu", found.stack_size, asked[i]);
    }
}

Test(thread, refuses_a_start_that_makes_no_sense)
{
    const struct pawl_thread_spec good = {.name = "pawl"};
    const struct pawl_thread_spec no_cpus = {.cpu_count = 1};
    const struct pawl_thread_spec vast = {.stack_size = SIZE_MAX};
    struct found found = {0};
    void *thread = NULL;

    cr_assert_eq(pawl_threads_posix.start(NULL, NULL, look_around, &found, &thread), -EINVAL);
    cr_assert_eq(pawl_threads_posix.start(NULL, &good, NULL, &found, &thread), -EINVAL);
    cr_assert_eq(pawl_threads_posix.start(NULL, &good, look_around, &found, NULL), -EINVAL);
    cr_assert_eq(pawl_threads_posix.start(NULL, &no_cpus, look_around, &found, &thread), -EINVAL);
    cr_assert_eq(pawl_threads_posix.start(NULL, &vast, look_around, &found, &thread), -EINVAL);
    cr_assert_eq(pawl_threads_posix.join(NULL, NULL), -EINVAL);
    cr_assert(thread == NULL && !found.ran);
}

Test(thread, pins_itself_and_can_tell)
{
    const unsigned last = last_allowed(), absent = ABSENT_CPU;
    const unsigned with_absent[] = {ABSENT_CPU, last};
    bool on_last, on_absent, on_both;
    cpu_set_t mask;
    int rc, partly, absent_rc;

    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    rc = pawl__thread_pin_self(&last, 1);
    on_last = pawl__thread_is_pinned(&last, 1);
    on_both = pawl__thread_is_pinned(with_absent, 2);
    on_absent = pawl__thread_is_pinned(&absent, 1);
    partly = pawl__thread_pin_self(with_absent, 2);
    absent_rc = pawl__thread_pin_self(&absent, 1);
    sched_setaffinity(0, sizeof(mask), &mask);

    cr_assert_eq(rc, 0);
    cr_assert(on_last && on_both && !on_absent);
    cr_assert_eq(partly, 0, "one of the cpus can be had");
    cr_assert_eq(absent_rc, -EINVAL);
    cr_assert_eq(pawl__thread_pin_self(NULL, 0), 0);
    cr_assert(!pawl__thread_is_pinned(NULL, 0));
}
