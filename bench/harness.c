/*
 * harness.c - time, cpus, memory and rows for the kernels.
 */
#include "harness.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pawl/error.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"

/* ---- Rows ---- */

static struct {
    struct bench_row *rows;
    unsigned count;
    enum bench_scale scale;
} suite = {.scale = BENCH_SMOKE};

void bench_set_scale(enum bench_scale scale)
{
    suite.scale = scale;
}

enum bench_scale bench_scale(void)
{
    return suite.scale;
}

uint64_t bench_pick(uint64_t smoke, uint64_t quick, uint64_t full)
{
    return suite.scale == BENCH_SMOKE ? smoke : suite.scale == BENCH_QUICK ? quick : full;
}

void bench_add(const struct bench_row *row)
{
    for (unsigned i = 0; i < suite.count; i++)
        if (strcmp(suite.rows[i].name, row->name) == 0)
            bench_fail("two rows are called %s", row->name);
    suite.rows = realloc(suite.rows, (suite.count + 1) * sizeof(*suite.rows));
    if (suite.rows == NULL)
        bench_fail("no memory for rows");
    suite.rows[suite.count++] = *row;
}

unsigned bench_row_count(void)
{
    return suite.count;
}

const struct bench_row *bench_row_at(unsigned index)
{
    return &suite.rows[index];
}

const char *bench_text(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        bench_fail("no memory for a text");
    va_end(arguments);
    return text;
}

void bench_fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("pawl_bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    /* Threads of the kernel may be in the middle of things: no destructors. */
    _exit(1);
}

void bench_need(int error, const char *what)
{
    if (error < 0)
        bench_fail("%s: %s", what, pawl_strerror(error));
}

void bench_count(struct bench_sample *sample, const char *name, double value)
{
    if (sample->counter_count == BENCH_COUNTERS_MAX)
        bench_fail("more than %d counters, at %s", BENCH_COUNTERS_MAX, name);
    sample->counters[sample->counter_count++] = (struct bench_counter){name, value};
}

/* ---- Time ---- */

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Cpus ---- */

static struct {
    cpu_set_t allowed;
    int cpu[CPU_SETSIZE]; /* one of each core first, then their siblings */
    unsigned count;
} cpus;

/* The lowest cpu of the core that `cpu` is a thread of. */
static int first_of_core(int cpu)
{
    char path[96];
    FILE *file;
    int first = cpu;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             cpu);
    file = fopen(path, "r");
    if (file == NULL)
        return cpu;
    if (fscanf(file, "%d", &first) != 1)
        first = cpu;
    fclose(file);
    return first;
}

static void find_cpus(void)
{
    if (cpus.count > 0)
        return;
    if (sched_getaffinity(0, sizeof(cpus.allowed), &cpus.allowed) != 0)
        bench_fail("the cpus of this process cannot be read: %s", strerror(errno));
    for (int siblings = 0; siblings < 2; siblings++)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &cpus.allowed) && (first_of_core(cpu) != cpu) == siblings)
                cpus.cpu[cpus.count++] = cpu;
}

unsigned bench_cpu_count(void)
{
    find_cpus();
    return cpus.count;
}

int bench_cpu(unsigned which)
{
    find_cpus();
    return cpus.cpu[which % cpus.count];
}

void bench_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        bench_fail("cpu %d cannot be used: %s", cpu, strerror(errno));
}

void bench_unpin(void)
{
    find_cpus();
    sched_setaffinity(0, sizeof(cpus.allowed), &cpus.allowed);
}

pthread_t bench_thread(unsigned which, void *(*run)(void *), void *argument)
{
    const int cpu = bench_cpu(which);
    pthread_attr_t attributes;
    pthread_t thread;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
    if (pthread_create(&thread, &attributes, run, argument) != 0)
        bench_fail("a thread cannot be started on cpu %d", cpu);
    pthread_attr_destroy(&attributes);
    return thread;
}

/* ---- How far the cores are ---- */

enum { LINE_TRIPS = 4000 };

static _Alignas(128) _Atomic uint32_t line_ball;

static void *line_return(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < LINE_TRIPS; i++) {
        while (load_acquire(&line_ball) != 2 * i + 1)
            ;
        store_release(&line_ball, 2 * i + 2);
    }
    return NULL;
}

double bench_line_ns(void)
{
    uint64_t begin = 0;
    pthread_t thread;
    cpu_set_t before;

    if (bench_cpu_count() < 2 || sched_getaffinity(0, sizeof(before), &before) != 0)
        return 0;
    bench_pin(bench_cpu(0));
    store_relaxed(&line_ball, 0);
    thread = bench_thread(1, line_return, NULL);
    for (uint32_t i = 0; i < LINE_TRIPS; i++) {
        if (i == LINE_TRIPS / 4)
            begin = bench_now_ns(); /* the other thread runs by now */
        store_release(&line_ball, 2 * i + 1);
        while (load_acquire(&line_ball) != 2 * i + 2)
            ;
    }
    begin = bench_now_ns() - begin;
    pthread_join(thread, NULL);
    sched_setaffinity(0, sizeof(before), &before);
    return (double)begin / (LINE_TRIPS - LINE_TRIPS / 4);
}

/* ---- Memory ---- */

uint64_t bench_rss_of(int pid)
{
    unsigned long long size, resident;
    char path[64];
    FILE *file;
    int got;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    got = fscanf(file, "%llu %llu", &size, &resident);
    fclose(file);
    return got == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t bench_rss(void)
{
    return bench_rss_of(getpid());
}

/* ---- Instructions ---- */

static int instructions_fd = -2; /* -2: not tried yet; -1: not to be had */

bool bench_instructions_start(void)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_HARDWARE,
                                         .size = sizeof(attributes),
                                         .config = PERF_COUNT_HW_INSTRUCTIONS,
                                         .disabled = 1,
                                         .inherit = 1,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1};

    if (instructions_fd == -2)
        instructions_fd = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
    if (instructions_fd < 0)
        return false;
    ioctl(instructions_fd, PERF_EVENT_IOC_RESET, 0);
    return ioctl(instructions_fd, PERF_EVENT_IOC_ENABLE, 0) == 0;
}

uint64_t bench_instructions_stop(void)
{
    uint64_t count = 0;

    ioctl(instructions_fd, PERF_EVENT_IOC_DISABLE, 0);
    if (read(instructions_fd, &count, sizeof(count)) != sizeof(count))
        return 0;
    return count;
}
