/*
 * swf_generate.c - job logs from a seed, to try a replay on.
 *
 *     swf_generate SEED JOBS STYLE
 *
 * Each style leans on one thing that a scheduler can get wrong; in all of them a few jobs must be
 * skipped, some have their processors in field 8 only, and the numbers are not those of the lines.
 *
 *     even    arrivals spread out, the machine well filled
 *     ties    a few instants at which very much arrives and ends
 *     zero    half of the jobs take no time at all
 *     wide    every third job wants the whole machine
 *     shuffle the lines in no order
 *     burst   all at one instant, many small jobs: more start at once than one step can start
 *     mixed   all of it
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

struct line {
    long long number, submit, run, procs;
};

enum style { EVEN, TIES, ZERO, WIDE, SHUFFLE, BURST, MIXED, STYLES };

static const char *const style_names[STYLES] = {"even",    "ties",  "zero", "wide",
                                                "shuffle", "burst", "mixed"};
static struct random random_state;

static long long below(long long bound)
{
    return (long long)random_below(&random_state, (uint64_t)bound);
}

static bool one_in(long long n)
{
    return below(n) == 0;
}

/* mixed is one of the others for each job. */
static void make_line(struct line *line, enum style style, long long jobs, long long processors)
{
    const enum style now = style == MIXED ? (enum style)below(MIXED) : style;
    const long long span = jobs * 40 + 1;

    line->submit = 1000 + below(span);
    line->run = below(20) == 0 ? below(3000) : below(300);
    line->procs = 1 + below(processors < 8 ? processors : processors / 4);
    switch (now) {
    case TIES:
        line->submit = 1000 + 50 * below(jobs / 40 + 1);
        line->run = 50 * (1 + below(4));
        break;
    case ZERO:
        line->run = one_in(2) ? 0 : below(4);
        line->submit = 1000 + below(jobs / 16 + 1);
        break;
    case WIDE:
        line->procs = one_in(3) ? processors : line->procs;
        break;
    case BURST:
        line->submit = 1000;
        line->run = below(3);
        line->procs = 1;
        break;
    default:
        break;
    }
}

/* A permutation of the numbers 10, 13, 16, ... : ties by number are not ties by line. */
static void number_lines(struct line *lines, long long jobs)
{
    for (long long i = 0; i < jobs; i++)
        lines[i].number = 10 + 3 * i;
    for (long long i = jobs - 1; i > 0; i--) {
        const long long j = below(i + 1);
        const long long number = lines[i].number;

        lines[i].number = lines[j].number;
        lines[j].number = number;
    }
}

static int by_submit(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;

    return (a->submit > b->submit) - (a->submit < b->submit);
}

static void print_line(const struct line *line, long long processors)
{
    const char *rest = "-1 -1 1 1 1 -1 -1 -1 -1 -1";
    long long procs = line->procs;
    long long requested = one_in(2) ? -1 : 1 + below(processors);
    long long run = line->run;

    if (one_in(40))
        run = -1;
    if (one_in(40))
        procs = one_in(2) ? 0 : processors + 1 + below(1000);
    else if (one_in(5)) {
        requested = procs;
        procs = -1;
    }
    printf("%5lld %8lld -1 %6lld %4lld %s -1 %4lld %s\n", line->number, line->submit, run, procs,
           one_in(3) ? "12.75" : "-1", requested, rest);
}

int main(int argc, char **argv)
{
    enum style style = STYLES;

    for (int i = 0; argc == 4 && i < STYLES; i++) {
        if (strcmp(argv[3], style_names[i]) == 0)
            style = (enum style)i;
    }
    const long long jobs = argc == 4 ? atoll(argv[2]) : 0;

    if (style == STYLES || jobs < 1) {
        fprintf(stderr, "usage: swf_generate SEED JOBS "
                        "even|ties|zero|wide|shuffle|burst|mixed\n");
        return 2;
    }
    struct line *lines = malloc((size_t)jobs * sizeof(*lines));

    if (!lines)
        return 1;
    random_state.state = strtoull(argv[1], NULL, 0);

    /* A burst must find room for more jobs at once than one step starts. */
    const long long processors = style == BURST ? jobs / 2 + 1 : 16 + below(200);

    for (long long i = 0; i < jobs; i++)
        make_line(&lines[i], style, jobs, processors);
    if (style != SHUFFLE && style != MIXED)
        qsort(lines, (size_t)jobs, sizeof(*lines), by_submit);
    number_lines(lines, jobs);
    printf("; Version: 2.2\n; Note: made from seed %s, style %s\n; MaxProcs: %lld\n;\n", argv[1],
           argv[3], processors);
    for (long long i = 0; i < jobs; i++)
        print_line(&lines[i], processors);
    free(lines);
    return fflush(stdout) == 0 ? 0 : 1;
}
