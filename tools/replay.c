/*
 * replay.c - `pawl replay`: a job log goes through a runtime, first come first served, and what
 * comes out is measured. The plan is made and measured in replay_plan.c and run in replay_run.c, or
 * with agents in replay_agents.c.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "replay_agents.h"
#include "replay_plan.h"
#include "replay_run.h"
#include "tool.h"

#define SHARDS_MOST     1024
#define PROCESSORS_MOST UINT64_C(1000000000)

static const char usage[] =
    "usage: pawl replay FILE.swf[.gz] [OPTION]...\n"
    "\n"
    "Replays a job log in the Standard Workload Format, plain or gzip, through a runtime: each "
    "job\n"
    "is a task, a partition task owns the processors and starts jobs strictly first come first\n"
    "served (by submit time, then by job number; a job that does not fit blocks those behind it).\n"
    "\n"
    "A job's processors are field 5, or field 8 where that is -1. Jobs without a run time (field "
    "4\n"
    "is negative), without processors or with more than there are, are skipped and counted. A run\n"
    "time of 0 is one: the job took less than a second. A malformed line is reported with its\n"
    "number and left out.\n"
    "\n"
    "With --agents there is no partition: each job is a task of the work machine, ready in a "
    "lane,\n"
    "and N agents lease such tasks, one at a time, hold them for their run time, extend the lease\n"
    "meanwhile, and report them done. A job takes one agent, whatever its processors. Time is\n"
    "virtual, and the result is held against a plain simulation of a queue with N servers: with "
    "one\n"
    "shard each start must be the same to the second. With several, each shard hands out its own\n"
    "tasks in order, so another schedule is as right; checked is then that order in each shard, "
    "that\n"
    "no agent is idle while a job waits, and every run time.\n"
    "\n"
    "  -a, --agents N       that many agents, 1 to 4000; not with --processors or --speed\n"
    "  -y, --priority WHAT  with --agents, what makes a job urgent: none (default: first in, "
    "first\n"
    "                       out) or run (the shortest run time first)\n"
    "  -p, --processors N   processors of the partition (default: the log's MaxProcs, or "
    "MaxNodes)\n"
    "  -n, --shards N       shards of the runtime, 1 to 1024 (default: 1)\n"
    "  -x, --speed X        in real time, X times as fast (1 to 1e6), with a thread for each "
    "shard;\n"
    "                       starts and ends are then as exact as timers are (0.1 ms) times X.\n"
    "                       Default: virtual time, on one thread, exact to the second\n"
    "  -t, --strict         stop at the first malformed line\n"
    "  -o, --schedule FILE  write 'job start end processors' for each job, by job number\n"
    "  -s, --seed N         seed of the runtime (default: 1); no schedule depends on it\n"
    "  -j, --json           print one JSON object instead\n"
    "  -h, --help           print this text\n"
    "  -V, --version        print the version\n"
    "\n"
    "Printed: jobs that ran; skipped; processors; makespan_s from the first submit to the last "
    "end;\n"
    "mean_wait_s and max_wait_s; mean_bounded_slowdown, the mean of (wait + run) / run with run "
    "at\n"
    "least 10 s, at least 1; utilization, processors in use over the makespan; events and\n"
    "transitions of the runtime; wall_s, the real time that the replay took. With --agents also\n"
    "median_wait_s and p95_wait_s, the use of the least and of the most used agent, leases and\n"
    "extensions, and what was compared: schedule or order.\n"
    "\n"
    "Exit status: 0 on success, 1 when the log cannot be read or replayed (or, with --strict, has "
    "a\n"
    "malformed line, or, with --agents, the result is not what it must be), 2 on wrong usage.\n";

struct options {
    const char *command;
    const char *path;
    const char *schedule;
    uint64_t processors;
    uint64_t shards;
    uint64_t seed;
    uint64_t agents; /* 0: a partition */
    enum replay_priority priority;
    bool has_priority;
    double speed; /* 0: virtual time */
    bool strict;
    bool json;
};

/* ---- options ---- */

static bool take_priority(struct options *options, const char *text)
{
    options->has_priority = true;
    if (strcmp(text, "run") == 0)
        options->priority = REPLAY_PRIORITY_RUN;
    else if (strcmp(text, "none") != 0)
        return tool_usage(options->command, "--priority wants none or run, not '%s'", text) ==
               TOOL_OK;
    return true;
}

/* Returns -1 to go on, or the exit code. */
static int take_option(struct options *options, int option)
{
    const char *command = options->command;
    bool good = true;

    switch (option) {
    case 'p':
        good = tool_parse_u64(command, "--processors", optarg, 1, PROCESSORS_MOST,
                              &options->processors);
        break;
    case 'n':
        good = tool_parse_u64(command, "--shards", optarg, 1, SHARDS_MOST, &options->shards);
        break;
    case 'x':
        good = tool_parse_double(command, "--speed", optarg, 1, REPLAY_SPEED_MAX, &options->speed);
        break;
    case 'a':
        good = tool_parse_u64(command, "--agents", optarg, 1, REPLAY_AGENTS_MAX, &options->agents);
        break;
    case 'y':
        good = take_priority(options, optarg);
        break;
    case 's':
        good = tool_parse_u64(command, "--seed", optarg, 0, UINT64_MAX, &options->seed);
        break;
    case 'o':
        options->schedule = optarg;
        break;
    case 't':
        options->strict = true;
        break;
    case 'j':
        options->json = true;
        break;
    default:
        return tool_option(command, option, usage);
    }
    return good ? -1 : TOOL_USAGE;
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"processors", required_argument, NULL, 'p'},
        {"shards", required_argument, NULL, 'n'},
        {"speed", required_argument, NULL, 'x'},
        {"agents", required_argument, NULL, 'a'},
        {"priority", required_argument, NULL, 'y'},
        {"strict", no_argument, NULL, 't'},
        {"schedule", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;

    *options = (struct options){.command = argv[0], .shards = 1, .seed = 1};
    optind = 0; /* another getopt may have run before: start afresh */
    while ((option = getopt_long(argc, argv, "p:n:x:a:y:to:s:jhV", known, NULL)) != -1) {
        const int code = take_option(options, option);

        if (code >= 0)
            return code;
    }
    if (optind == argc)
        return tool_usage(options->command, "which log? Name a file");
    if (optind + 1 < argc)
        return tool_usage(options->command, "one log at a time: what is '%s'?", argv[optind + 1]);
    options->path = argv[optind];
    if (options->agents > 0 && (options->processors > 0 || options->speed > 0))
        return tool_usage(options->command, "--agents goes without --%s: %s",
                          options->processors > 0 ? "processors" : "speed",
                          options->processors > 0 ? "a job takes one agent, whatever it asked for"
                                                  : "time is virtual");
    if (options->agents == 0 && options->has_priority)
        return tool_usage(options->command, "--priority goes with --agents only");
    return -1;
}

/* ---- output ---- */

static void print_json(const struct replay_plan *plan, const struct plan_measures *measures,
                       const struct replay_outcome *outcome)
{
    printf("{\n  \"jobs\": %" PRIu32 ",\n  \"skipped\": %" PRIu64 ",\n", plan->count,
           plan->skipped);
    printf("  \"processors\": %" PRIu64 ",\n", plan->processors);
    printf("  \"makespan_s\": %" PRIu64 ",\n", measures->makespan_s);
    printf("  \"mean_wait_s\": %.6f,\n", measures->mean_wait_s);
    printf("  \"max_wait_s\": %" PRIu64 ",\n", measures->max_wait_s);
    printf("  \"mean_bounded_slowdown\": %.6f,\n", measures->mean_bounded_slowdown);
    printf("  \"utilization\": %.6f,\n", measures->utilization);
    printf("  \"events\": %" PRIu64 ",\n", outcome->counters.events);
    printf("  \"transitions\": %" PRIu64 ",\n", outcome->counters.transitions);
    printf("  \"wall_s\": %.6f\n}\n", outcome->wall_s);
}

static void print_text(const struct replay_plan *plan, const struct plan_measures *measures,
                       const struct replay_outcome *outcome)
{
    printf("jobs                   %" PRIu32 "\n", plan->count);
    printf("skipped                %" PRIu64 "\n", plan->skipped);
    printf("processors             %" PRIu64 "\n", plan->processors);
    printf("makespan_s             %" PRIu64 "\n", measures->makespan_s);
    printf("mean_wait_s            %.3f\n", measures->mean_wait_s);
    printf("max_wait_s             %" PRIu64 "\n", measures->max_wait_s);
    printf("mean_bounded_slowdown  %.4f\n", measures->mean_bounded_slowdown);
    printf("utilization            %.4f\n", measures->utilization);
    printf("events                 %" PRIu64 "\n", outcome->counters.events);
    printf("transitions            %" PRIu64 "\n", outcome->counters.transitions);
    printf("wall_s                 %.3f\n", outcome->wall_s);
}

static const char *compared(const struct options *options)
{
    return options->shards == 1 ? "schedule" : "order";
}

static void print_agents_json(const struct replay_plan *plan, const struct plan_measures *measures,
                              const struct replay_agents_outcome *outcome,
                              const struct options *options)
{
    printf("{\n  \"jobs\": %" PRIu32 ",\n  \"skipped\": %" PRIu64 ",\n", plan->count,
           plan->skipped);
    printf("  \"agents\": %" PRIu64 ",\n  \"shards\": %" PRIu64 ",\n", options->agents,
           options->shards);
    printf("  \"makespan_s\": %" PRIu64 ",\n", measures->makespan_s);
    printf("  \"mean_wait_s\": %.6f,\n", measures->mean_wait_s);
    printf("  \"median_wait_s\": %" PRIu64 ",\n", outcome->median_wait_s);
    printf("  \"p95_wait_s\": %" PRIu64 ",\n", outcome->p95_wait_s);
    printf("  \"max_wait_s\": %" PRIu64 ",\n", measures->max_wait_s);
    printf("  \"mean_bounded_slowdown\": %.6f,\n", measures->mean_bounded_slowdown);
    printf("  \"utilization\": %.6f,\n", measures->utilization);
    printf("  \"utilization_least\": %.6f,\n", outcome->use_least);
    printf("  \"utilization_most\": %.6f,\n", outcome->use_most);
    printf("  \"leases\": %" PRIu64 ",\n  \"extensions\": %" PRIu64 ",\n", outcome->leases,
           outcome->extensions);
    printf("  \"compared\": \"%s\",\n", compared(options));
    printf("  \"events\": %" PRIu64 ",\n", outcome->counters.events);
    printf("  \"transitions\": %" PRIu64 ",\n", outcome->counters.transitions);
    printf("  \"wall_s\": %.6f\n}\n", outcome->wall_s);
}

static void print_agents_text(const struct replay_plan *plan, const struct plan_measures *measures,
                              const struct replay_agents_outcome *outcome,
                              const struct options *options)
{
    printf("jobs                   %" PRIu32 "\n", plan->count);
    printf("skipped                %" PRIu64 "\n", plan->skipped);
    printf("agents                 %" PRIu64 "\n", options->agents);
    printf("shards                 %" PRIu64 "\n", options->shards);
    printf("makespan_s             %" PRIu64 "\n", measures->makespan_s);
    printf("mean_wait_s            %.3f\n", measures->mean_wait_s);
    printf("median_wait_s          %" PRIu64 "\n", outcome->median_wait_s);
    printf("p95_wait_s             %" PRIu64 "\n", outcome->p95_wait_s);
    printf("max_wait_s             %" PRIu64 "\n", measures->max_wait_s);
    printf("mean_bounded_slowdown  %.4f\n", measures->mean_bounded_slowdown);
    printf("utilization            %.4f\n", measures->utilization);
    printf("utilization_least      %.4f\n", outcome->use_least);
    printf("utilization_most       %.4f\n", outcome->use_most);
    printf("leases                 %" PRIu64 "\n", outcome->leases);
    printf("extensions             %" PRIu64 "\n", outcome->extensions);
    printf("compared               %s\n", compared(options));
    printf("events                 %" PRIu64 "\n", outcome->counters.events);
    printf("transitions            %" PRIu64 "\n", outcome->counters.transitions);
    printf("wall_s                 %.3f\n", outcome->wall_s);
}

/* What both ways of a replay say and write. */
static int report(const struct replay_plan *plan, struct plan_measures *measures,
                  const struct options *options)
{
    if (plan->malformed > 0)
        fprintf(stderr, "%s: %s: malformed lines left out: %" PRIu64 "\n", options->command,
                options->path, plan->malformed);
    plan_measure(plan, measures);
    return options->schedule ? plan_write_schedule(plan, options->command, options->schedule)
                             : TOOL_OK;
}

static int with_partition(struct replay_plan *plan, const struct options *options)
{
    const struct replay_request request = {.command = options->command,
                                           .shards = (unsigned)options->shards,
                                           .seed = options->seed,
                                           .speed = options->speed};
    struct replay_outcome outcome = {0};
    struct plan_measures measures;
    int code = replay_run(plan, &request, &outcome);

    if (code == TOOL_OK)
        code = report(plan, &measures, options);
    if (code != TOOL_OK)
        return code;
    if (options->json)
        print_json(plan, &measures, &outcome);
    else
        print_text(plan, &measures, &outcome);
    return TOOL_OK;
}

static int with_agents(struct replay_plan *plan, const struct options *options)
{
    const struct replay_agents_request request = {.command = options->command,
                                                  .shards = (unsigned)options->shards,
                                                  .agents = (unsigned)options->agents,
                                                  .seed = options->seed,
                                                  .priority = options->priority};
    struct replay_agents_outcome outcome = {0};
    struct plan_measures measures;
    int code = replay_agents_run(plan, &request, &outcome);

    if (code == TOOL_OK)
        code = report(plan, &measures, options);
    if (code != TOOL_OK)
        return code;
    if (options->json)
        print_agents_json(plan, &measures, &outcome, options);
    else
        print_agents_text(plan, &measures, &outcome, options);
    return TOOL_OK;
}

int cmd_replay(int argc, char **argv)
{
    struct options options;
    struct replay_plan plan = {0};
    int code = parse(argc, argv, &options);

    if (code >= 0)
        return code;
    /* Agents have no processors, so no job asks for too many. */
    const struct plan_source source = {.command = options.command,
                                       .path = options.path,
                                       .processors =
                                           options.agents > 0 ? UINT64_MAX : options.processors,
                                       .strict = options.strict};

    code = plan_load(&plan, &source);
    if (code == TOOL_OK)
        code = options.agents > 0 ? with_agents(&plan, &options) : with_partition(&plan, &options);
    plan_fini(&plan);
    return code;
}
