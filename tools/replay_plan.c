/*
 * replay_plan.c - see replay_plan.h: the log becomes a plan, and the schedule becomes measures.
 */
#include "replay_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swf.h"
#include "tool.h"

/*
 * Runs shorter than this count as this long in a slowdown, or the shortest jobs would be all of it.
 */
#define SLOWDOWN_BOUND_S 10

/* ---- reading ---- */

/* The jobs while they are read: those that can run only become known with the whole header. */
struct job_list {
    struct swf_job *jobs;
    size_t count;
    size_t capacity;
};

static bool append(struct job_list *list, const struct swf_job *job)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 1024;
        struct swf_job *grown = realloc(list->jobs, capacity * sizeof(*grown));

        if (!grown)
            return false;
        list->jobs = grown;
        list->capacity = capacity;
    }
    list->jobs[list->count++] = *job;
    return true;
}

/* False: this is the end of the replay. */
static bool take_malformed(struct replay_plan *plan, const struct plan_source *source,
                           uint64_t line, const char *reason)
{
    fprintf(stderr, "%s: %s:%" PRIu64 ": malformed line: %s\n", source->command, source->path, line,
            reason);
    plan->malformed++;
    return !source->strict;
}

static int read_jobs(struct replay_plan *plan, const struct plan_source *source,
                     struct swf_reader *reader, struct job_list *list)
{
    struct swf_job job;

    for (;;) {
        switch (swf_next(reader, &job)) {
        case SWF_JOB:
            if (list->count == PLAN_JOBS_MAX)
                return tool_fail(source->command, "%s: more than %u jobs", source->path,
                                 PLAN_JOBS_MAX);
            if (!append(list, &job))
                return tool_fail(source->command, "%s: out of memory", source->path);
            break;
        case SWF_MALFORMED:
            if (!take_malformed(plan, source, swf_line(reader), swf_reason(reader)))
                return TOOL_FAILED;
            break;
        case SWF_FAILED:
            return tool_fail(source->command, "%s: after line %" PRIu64 ": %s", source->path,
                             swf_line(reader), swf_reason(reader));
        case SWF_END:
            return TOOL_OK;
        }
    }
}

/* ---- job numbers ---- */

static int by_number_and_line(const void *left, const void *right)
{
    const struct swf_job *a = left;
    const struct swf_job *b = right;

    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static int by_line(const void *left, const void *right)
{
    const struct swf_job *a = left;
    const struct swf_job *b = right;

    return (a->line > b->line) - (a->line < b->line);
}

/*
 * A number names one job; a line that uses it again is malformed. Sorting finds those; a second
 * sort, of nearly nothing, reports them in the order of the file.
 */
static int drop_duplicates(struct replay_plan *plan, const struct plan_source *source,
                           struct job_list *list)
{
    struct job_list again = {0};
    size_t kept = 0;
    int code = TOOL_OK;

    qsort(list->jobs, list->count, sizeof(*list->jobs), by_number_and_line);
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || list->jobs[i].number != list->jobs[kept - 1].number) {
            list->jobs[kept++] = list->jobs[i];
        } else if (!append(&again, &list->jobs[i])) {
            code = tool_fail(source->command, "%s: out of memory", source->path);
            goto out;
        }
    }
    list->count = kept;
    if (again.count > 0)
        qsort(again.jobs, again.count, sizeof(*again.jobs), by_line);
    for (size_t i = 0; i < again.count; i++) {
        char reason[80];

        snprintf(reason, sizeof(reason), "job number %" PRId64 " stands on an earlier line",
                 again.jobs[i].number);
        if (!take_malformed(plan, source, again.jobs[i].line, reason)) {
            code = TOOL_FAILED;
            break;
        }
    }
out:
    free(again.jobs);
    return code;
}

/* ---- ranks ---- */

static int by_rank(const void *left, const void *right)
{
    const struct plan_job *a = left;
    const struct plan_job *b = right;

    if (a->submit_s != b->submit_s)
        return a->submit_s < b->submit_s ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* Takes over the jobs that can run. A run time of 0 is a time: the job took less than a second. */
static void take_runnable(struct replay_plan *plan, const struct job_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct swf_job *job = &list->jobs[i];
        const int64_t wanted = job->processors == -1 ? job->requested_processors : job->processors;

        if (job->run_s < 0 || wanted <= 0 || (uint64_t)wanted > plan->processors) {
            plan->skipped++;
            continue;
        }
        plan->jobs[plan->count++] = (struct plan_job){
            .number = (uint64_t)job->number,
            .line = job->line,
            .submit_s = (uint64_t)job->submit_s,
            .run_s = (uint32_t)job->run_s,
            .processors = (uint32_t)wanted,
        };
    }
}

_Static_assert(SWF_VALUE_MAX <= UINT32_MAX, "run times and processors are 32 bits in a plan");

static int rank_jobs(struct replay_plan *plan, const struct plan_source *source,
                     const struct job_list *list)
{
    const size_t room = list->count + 1; /* never 0, for which calloc may return NULL */

    plan->jobs = calloc(room, sizeof(*plan->jobs));
    plan->arrived = calloc(room, sizeof(*plan->arrived));
    plan->results = malloc(room * sizeof(*plan->results));
    if (!plan->jobs || !plan->arrived || !plan->results)
        return tool_fail(source->command, "%s: out of memory", source->path);
    memset(plan->results, 0xff, room * sizeof(*plan->results));

    take_runnable(plan, list);
    qsort(plan->jobs, plan->count, sizeof(*plan->jobs), by_rank);
    if (plan->count > 0)
        plan->first_submit_s = plan->jobs[0].submit_s;
    for (uint32_t i = 0; i < plan->count; i++)
        plan->jobs[i].submit_s -= plan->first_submit_s;
    return TOOL_OK;
}

static int choose_processors(struct replay_plan *plan, const struct plan_source *source,
                             const struct swf_header *header)
{
    plan->processors = source->processors;
    if (plan->processors == 0)
        plan->processors = header->max_procs ? header->max_procs : header->max_nodes;
    if (plan->processors == 0)
        return tool_fail(source->command,
                         "%s: no header says MaxProcs or MaxNodes: give --processors",
                         source->path);
    return TOOL_OK;
}

int plan_load(struct replay_plan *plan, const struct plan_source *source)
{
    struct swf_reader *reader = NULL;
    struct job_list list = {0};
    const int error = swf_open(source->path, &reader);
    int code;

    *plan = (struct replay_plan){0};
    if (error)
        return tool_fail(source->command, "%s: cannot be opened: %s", source->path,
                         strerror(-error));
    code = read_jobs(plan, source, reader, &list);
    if (code == TOOL_OK && list.count > 0)
        code = drop_duplicates(plan, source, &list);
    if (code == TOOL_OK)
        code = choose_processors(plan, source, swf_header(reader));
    if (code == TOOL_OK)
        code = rank_jobs(plan, source, &list);
    free(list.jobs);
    swf_close(reader);
    return code;
}

void plan_fini(struct replay_plan *plan)
{
    free(plan->jobs);
    free(plan->arrived);
    free(plan->results);
    *plan = (struct replay_plan){0};
}

/* ---- results ---- */

void plan_measure(const struct replay_plan *plan, struct plan_measures *measures)
{
    unsigned __int128 waits = 0;
    unsigned __int128 area = 0;
    double slowdowns = 0;

    *measures = (struct plan_measures){0};
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_job *job = &plan->jobs[i];
        const struct plan_result *result = &plan->results[i];
        const uint64_t wait_s =
            result->start_s > job->submit_s ? result->start_s - job->submit_s : 0;
        const uint64_t bound_s = job->run_s > SLOWDOWN_BOUND_S ? job->run_s : SLOWDOWN_BOUND_S;
        const double slowdown = (double)(wait_s + job->run_s) / (double)bound_s;

        waits += wait_s;
        area += (uint64_t)job->processors * job->run_s;
        slowdowns += slowdown > 1 ? slowdown : 1;
        if (wait_s > measures->max_wait_s)
            measures->max_wait_s = wait_s;
        if (result->end_s > measures->makespan_s)
            measures->makespan_s = result->end_s;
    }
    if (plan->count > 0) {
        measures->mean_wait_s = (double)waits / plan->count;
        measures->mean_bounded_slowdown = slowdowns / plan->count;
    }
    if (measures->makespan_s > 0)
        measures->utilization =
            (double)area / ((double)plan->processors * (double)measures->makespan_s);
}

struct ranked {
    uint64_t number;
    uint32_t rank;
};

static int by_number(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;

    return (a->number > b->number) - (a->number < b->number);
}

int plan_write_schedule(const struct replay_plan *plan, const char *command, const char *path)
{
    struct ranked *order = malloc((plan->count + 1u) * sizeof(*order));
    FILE *file = order ? fopen(path, "w") : NULL;
    int error = file ? 0 : errno;

    for (uint32_t i = 0; file && i < plan->count; i++)
        order[i] = (struct ranked){plan->jobs[i].number, i};
    if (file)
        qsort(order, plan->count, sizeof(*order), by_number);
    for (uint32_t i = 0; file && i < plan->count; i++) {
        const struct plan_result *result = &plan->results[order[i].rank];

        fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 "\n", order[i].number,
                plan->first_submit_s + result->start_s, plan->first_submit_s + result->end_s,
                plan->jobs[order[i].rank].processors);
    }
    if (file && (fflush(file) != 0 || ferror(file)))
        error = errno ? errno : EIO;
    if (file && fclose(file) != 0 && error == 0)
        error = errno;
    free(order);
    return error ? tool_fail(command, "%s: cannot be written: %s", path, strerror(error)) : TOOL_OK;
}
