/*
 * thread.c - pawl_threads_posix: POSIX threads with a name, a place and no signals.
 *
 * Two decisions a reader may question. Signals that a thread raises by its own fault (SIGSEGV and
 * its kin) stay open: the kernel kills a process that faults with them blocked, and the host's
 * crash handler would never see it. All others are blocked, from before the thread exists, so that
 * the host's handlers run on the host's threads. And a new thread pins itself, before it calls its
 * function, instead of being created with an affinity: an impossible affinity would fail the whole
 * creation, and a floating thread must also shed what it inherited from the thread that started it.
 *
 * Owner: a handle belongs to its starter until join frees it; the new thread only reads it.
 * Progress: start and join block.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/thread.h"

#define NAME_SIZE 16u /* the kernel's limit, with the NUL */

struct thread {
    pthread_t id;
    pawl_thread_fn *fn;
    void *argument;
    char name[NAME_SIZE];
    unsigned cpu_count;
    unsigned cpus[];
};

/* A set of the cpus, to be freed with CPU_FREE. */
static int make_set(const unsigned *cpus, unsigned count, cpu_set_t **out, size_t *size)
{
    unsigned highest = 0;
    cpu_set_t *set;

    for (unsigned i = 0; i < count; i++)
        highest = cpus[i] > highest ? cpus[i] : highest;
    if (highest > CPU_NUMBER_MAX)
        return -EINVAL;
    set = CPU_ALLOC(highest + 1);
    if (!set)
        return -ENOMEM;
    *size = CPU_ALLOC_SIZE(highest + 1);
    CPU_ZERO_S(*size, set);
    for (unsigned i = 0; i < count; i++)
        CPU_SET_S(cpus[i], *size, set);
    *out = set;
    return 0;
}

int pawl__thread_pin_self(const unsigned *cpus, unsigned count)
{
    cpu_set_t *set;
    size_t size;
    int rc;

    if (!count)
        return 0;
    rc = make_set(cpus, count, &set, &size);
    if (rc)
        return rc;
    rc = sched_setaffinity(0, size, set) ? -errno : 0;
    CPU_FREE(set);
    return rc;
}

bool pawl__thread_is_pinned(const unsigned *cpus, unsigned count)
{
    const size_t size = CPU_ALLOC_SIZE(CPU_NUMBER_MAX + 1); /* the kernel refuses one too small */
    cpu_set_t *actual = CPU_ALLOC(CPU_NUMBER_MAX + 1);
    bool pinned = false;
    int before;

    if (!count || !actual)
        goto out;
    CPU_ZERO_S(size, actual);
    if (sched_getaffinity(0, size, actual))
        goto out;
    before = CPU_COUNT_S(size, actual);
    for (unsigned i = 0; i < count; i++)
        if (cpus[i] <= CPU_NUMBER_MAX)
            CPU_CLR_S(cpus[i], size, actual);
    pinned = before > 0 && CPU_COUNT_S(size, actual) == 0;
out:
    CPU_FREE(actual);
    return pinned;
}

static void *run(void *argument)
{
    struct thread *thread = argument;

    /* Neither a name nor a place is worth not running for. */
    (void)pthread_setname_np(pthread_self(), thread->name);
    (void)pawl__thread_pin_self(thread->cpus, thread->cpu_count);
    thread->fn(thread->argument);
    return NULL;
}

/* All signals but those that a thread brings upon itself. */
static void fill_with_outside_signals(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    sigfillset(set);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        sigdelset(set, own[i]);
}

static int set_stack_size(pthread_attr_t *attributes, size_t size)
{
    const long page = sysconf(_SC_PAGESIZE);
    const long least = sysconf(_SC_THREAD_STACK_MIN);

    if (!size)
        return 0;
    if (size > SIZE_MAX / 2)
        return EINVAL;
    if (least > 0 && size < (size_t)least)
        size = (size_t)least;
    return pthread_attr_setstacksize(attributes, align_up(size, page > 0 ? (size_t)page : 4096));
}

static int start(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                 void *argument, void **out)
{
    pthread_attr_t attributes;
    sigset_t outside, before;
    struct thread *thread;
    int rc;

    (void)user;
    if (!spec || !fn || !out || (spec->cpu_count && !spec->cpus))
        return -EINVAL;
    thread = calloc(1, sizeof(*thread) + spec->cpu_count * sizeof(thread->cpus[0]));
    if (!thread)
        return -ENOMEM;
    thread->fn = fn;
    thread->argument = argument;
    strncpy(thread->name, spec->name ? spec->name : "pawl", NAME_SIZE - 1);
    thread->cpu_count = spec->cpu_count;
    if (spec->cpu_count)
        memcpy(thread->cpus, spec->cpus, spec->cpu_count * sizeof(thread->cpus[0]));

    rc = pthread_attr_init(&attributes);
    if (rc)
        goto free_thread;
    rc = set_stack_size(&attributes, spec->stack_size);
    if (rc)
        goto destroy_attributes;

    /* The new thread inherits the mask: it never lives a moment with signals open. */
    fill_with_outside_signals(&outside);
    pthread_sigmask(SIG_BLOCK, &outside, &before);
    rc = pthread_create(&thread->id, &attributes, run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!rc) {
        *out = thread;
        thread = NULL;
    }

destroy_attributes:
    pthread_attr_destroy(&attributes);
free_thread:
    free(thread);
    return -rc;
}

static int join(void *user, void *handle)
{
    struct thread *thread = handle;
    int rc;

    (void)user;
    if (!thread)
        return -EINVAL;
    rc = pthread_join(thread->id, NULL);
    if (rc)
        return -rc; /* a thread that waits for itself, say: the handle is still in use */
    free(thread);
    return 0;
}

const struct pawl_threads pawl_threads_posix = {.start = start, .join = join};
