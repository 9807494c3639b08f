/*
 * swf_reference.c - first come, first served, simulated a second time: what `pawl replay` is checked
 * against.
 *
 *     swf_reference FILE [PROCESSORS]            "job start end procs" a line, by job number
 *     swf_reference --summary FILE [PROCESSORS]  the measures of the schedule, "name value" a line
 *
 * It is made to be obviously right rather than fast, and shares no code with Pawl, not even the
 * parser: a loop over the instants at which anything happens; at each, first what ends gives its
 * processors back, then what arrives joins the queue, then the head of the queue starts as long as it
 * fits. Malformed lines are passed over in silence: tests of those say themselves what they expect.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    long long number, submit, run, procs;
    long long start, end;
};

static struct job *jobs;    /* sorted by submit, then number: the order of the queue */
static struct job **active; /* those that run now, in no order */
static size_t job_count, active_count, skipped;
static long long processors;

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "swf_reference: out of memory\n");
        exit(1);
    }
    return memory;
}

static int by_queue(const void *left, const void *right)
{
    const struct job *a = left;
    const struct job *b = right;

    if (a->submit != b->submit)
        return a->submit < b->submit ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int by_number(const void *left, const void *right)
{
    const struct job *a = left;
    const struct job *b = right;

    return (a->number > b->number) - (a->number < b->number);
}

/* True if the line is one of 18 numbers and nothing else. */
static bool split(char *line, double value[18])
{
    int count = 0;

    for (char *word = strtok(line, " \t\r\n"); word; word = strtok(NULL, " \t\r\n")) {
        char *end;

        if (count == 18)
            return false;
        value[count++] = strtod(word, &end);
        if (*end)
            return false;
    }
    return count == 18;
}

static void read_log(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[8192];
    double value[18];
    long long header = 0;

    if (!file) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof(line), file)) {
        if (line[0] == ';') {
            sscanf(line, "; MaxProcs: %lld", &header);
            continue;
        }
        if (!split(line, value))
            continue;
        jobs = must(realloc(jobs, (job_count + 1) * sizeof(*jobs)));
        jobs[job_count++] = (struct job){
            .number = (long long)value[0],
            .submit = (long long)value[1],
            .run = (long long)value[3],
            .procs = (long long)(value[4] == -1 ? value[7] : value[4]),
        };
    }
    fclose(file);
    if (processors == 0)
        processors = header;
}

static void drop_what_cannot_run(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < job_count; i++) {
        if (jobs[i].run >= 0 && jobs[i].procs > 0 && jobs[i].procs <= processors)
            jobs[kept++] = jobs[i];
    }
    skipped = job_count - kept;
    job_count = kept;
}

/* Gives back the processors of what has ended at now. */
static long long finish(long long now)
{
    long long freed = 0;

    for (size_t i = 0; i < active_count;) {
        if (active[i]->end > now) {
            i++;
            continue;
        }
        freed += active[i]->procs;
        active[i] = active[--active_count];
    }
    return freed;
}

static void simulate(void)
{
    size_t arrived = 0; /* jobs[head .. arrived) wait */
    size_t head = 0;
    long long free_procs = processors;

    active = must(malloc((job_count + 1) * sizeof(struct job *)));
    while (head < job_count || active_count > 0) {
        long long now = -1;

        if (arrived < job_count)
            now = jobs[arrived].submit;
        for (size_t i = 0; i < active_count; i++) {
            if (now < 0 || active[i]->end < now)
                now = active[i]->end;
        }
        free_procs += finish(now);
        while (arrived < job_count && jobs[arrived].submit == now)
            arrived++;
        while (head < arrived && jobs[head].procs <= free_procs) {
            jobs[head].start = now;
            jobs[head].end = now + jobs[head].run;
            free_procs -= jobs[head].procs;
            active[active_count++] = &jobs[head++];
            /* What takes no time has ended before the next one is looked at. */
            free_procs += finish(now);
        }
    }
    free(active);
}

static void print_schedule(void)
{
    qsort(jobs, job_count, sizeof(*jobs), by_number);
    for (size_t i = 0; i < job_count; i++)
        printf("%lld %lld %lld %lld\n", jobs[i].number, jobs[i].start, jobs[i].end, jobs[i].procs);
}

static void print_summary(void)
{
    double waits = 0, slowdowns = 0, area = 0;
    long long longest = 0, last = 0;

    for (size_t i = 0; i < job_count; i++) {
        const struct job *job = &jobs[i];
        const double wait = (double)(job->start - job->submit);
        const double bound = job->run > 10 ? (double)job->run : 10.0;
        const double slowdown = (wait + (double)job->run) / bound;

        waits += wait;
        slowdowns += slowdown > 1 ? slowdown : 1;
        area += (double)job->procs * (double)job->run;
        longest = wait > (double)longest ? (long long)wait : longest;
        last = job->end > last ? job->end : last;
    }
    const double makespan = job_count > 0 ? (double)(last - jobs[0].submit) : 0;
    const double divisor = job_count > 0 ? (double)job_count : 1;

    printf("jobs %zu\nskipped %zu\nprocessors %lld\nmakespan_s %.0f\n", job_count, skipped,
           processors, makespan);
    printf("mean_wait_s %.9f\nmax_wait_s %lld\n", waits / divisor, longest);
    printf("mean_bounded_slowdown %.9f\n", slowdowns / divisor);
    printf("utilization %.9f\n", makespan > 0 ? area / ((double)processors * makespan) : 0);
}

int main(int argc, char **argv)
{
    const bool summary = argc > 1 && strcmp(argv[1], "--summary") == 0;

    argc -= summary;
    argv += summary;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: swf_reference [--summary] FILE [PROCESSORS]\n");
        return 2;
    }
    processors = argc == 3 ? strtoll(argv[2], NULL, 10) : 0;
    read_log(argv[1]);
    drop_what_cannot_run();
    qsort(jobs, job_count, sizeof(*jobs), by_queue);
    simulate();
    if (summary)
        print_summary();
    else
        print_schedule();
    free(jobs);
    return fflush(stdout) == 0 ? 0 : 1;
}
