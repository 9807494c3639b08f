/*
 * sim.c - `pawl sim`: whole runs of the runtime on a simulated host, one for each seed (sim_run.h).
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim_model.h"
#include "sim_run.h"
#include "tool.h"

#define STEPS_DEFAULT 1500

static const char usage[] =
    "usage: pawl sim [OPTION]...\n"
    "\n"
    "Runs the library on a simulated host: one thread, a virtual clock, a disk in memory. The "
    "seed\n"
    "decides everything: which shard turns next, what tasks and the host do, what each operation "
    "of\n"
    "the disk does, when the process dies. After every death the store is opened again, and a "
    "model\n"
    "beside it holds it to its promises: nothing acknowledged is lost, every event is handled "
    "once,\n"
    "what comes back was there after some turn, damage is found. The same seed is the same run.\n"
    "\n"
    "  -r, --seeds A[..B]   the seeds to run (default: 1..100)\n"
    "  -n, --steps N        actions of the simulated host in each run (default: 1500)\n"
    "  -f, --faults LIST    what goes wrong: all (the default), none, or names with commas "
    "between:\n"
    "                       kill, power, error, full, short, slow, snapshot, stale, recovery,\n"
    "                       damage\n"
    "  -s, --shards N       shards of each run, 1 to 8 (default: 2 to 4, by the seed)\n"
    "  -m, --memory         without a store: the same work, no crashes\n"
    "  -t, --seconds S      begin no new seed after this time (default: no limit)\n"
    "  -k, --keep-going     go on after a run that fails\n"
    "  -2, --twice          run every seed twice, and compare\n"
    "  -v, --verbose        a line for each seed\n"
    "  -l, --log            every step, as it happens\n"
    "  -d, --dump DIR       write the files of a run that fails, as they were at its last crash, "
    "to\n"
    "                       this directory, for pawl verify and pawl history\n"
    "  -h, --help           print this text\n"
    "  -V, --version        print the version\n"
    "\n"
    "When a run fails: the seed, the rule that was broken, the smallest number of steps found "
    "with\n"
    "which it is broken, the command that repeats it, and the last operations and steps.\n"
    "\n"
    "Exit status: 0 nothing was found, 1 a rule was broken, 2 wrong usage.\n";

struct options {
    const char *command;
    struct sim_run_options run;
    const char *faults;
    uint64_t first, last;
    uint64_t seconds;
    bool keep_going;
    bool twice;
    bool verbose;
};

struct totals {
    uint64_t seeds, failed, rounds, crashes, recoveries, steps, acknowledged;
    uint64_t submitted, leases, reports, retries;
};

/* ---- options ---- */

static bool parse_seeds(const char *command, const char *text, uint64_t *first, uint64_t *last)
{
    char low[32];
    const char *dots = strstr(text, "..");
    const size_t length = dots != NULL ? (size_t)(dots - text) : strlen(text);

    if (length >= sizeof(low)) {
        tool_usage(command, "--seeds wants A or A..B, not '%s'", text);
        return false;
    }
    memcpy(low, text, length);
    low[length] = '\0';
    if (!tool_parse_u64(command, "--seeds", low, 0, UINT64_MAX, first))
        return false;
    *last = *first;
    if (dots != NULL && !tool_parse_u64(command, "--seeds", dots + 2, *first, UINT64_MAX, last))
        return false;
    return true;
}

static bool parse_faults(struct options *options, const char *text)
{
    char unknown[32];

    options->faults = text;
    if (sim_faults_parse(text, &options->run.faults, unknown))
        return true;
    tool_usage(options->command, "--faults: there is no '%s'; there are all, none, %s", unknown,
               sim_faults_names());
    return false;
}

/* Returns -1 to go on, or the exit code. */
static int take_option(struct options *options, int option)
{
    const char *command = options->command;
    uint64_t shards;
    bool good = true;

    switch (option) {
    case 'r':
        good = parse_seeds(command, optarg, &options->first, &options->last);
        break;
    case 'n':
        good = tool_parse_u64(command, "--steps", optarg, 1, 1000000, &options->run.steps);
        break;
    case 'f':
        good = parse_faults(options, optarg);
        break;
    case 's':
        good = tool_parse_u64(command, "--shards", optarg, 1, SIM_SHARDS_MAX, &shards);
        if (good)
            options->run.shards = (unsigned)shards;
        break;
    case 't':
        good = tool_parse_u64(command, "--seconds", optarg, 1, UINT32_MAX, &options->seconds);
        break;
    case 'm':
        options->run.memory = true;
        break;
    case 'k':
        options->keep_going = true;
        break;
    case '2':
        options->twice = true;
        break;
    case 'v':
        options->verbose = true;
        break;
    case 'd':
        options->run.dump = optarg;
        break;
    case 'l':
        options->run.log = stdout;
        break;
    default:
        return tool_option(command, option, usage);
    }
    return good ? -1 : TOOL_USAGE;
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 'r'},   {"steps", required_argument, NULL, 'n'},
        {"faults", required_argument, NULL, 'f'},  {"shards", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'}, {"memory", no_argument, NULL, 'm'},
        {"keep-going", no_argument, NULL, 'k'},    {"twice", no_argument, NULL, '2'},
        {"verbose", no_argument, NULL, 'v'},       {"log", no_argument, NULL, 'l'},
        {"dump", required_argument, NULL, 'd'},    {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
    };
    int option;

    *options = (struct options){.command = argv[0],
                                .run = {.steps = STEPS_DEFAULT, .faults = SIM_FAULTS_ALL},
                                .first = 1,
                                .last = 100};
    optind = 0; /* another getopt may have run before: start afresh */
    while ((option = getopt_long(argc, argv, "r:n:f:s:t:mk2vld:hV", known, NULL)) != -1) {
        const int code = take_option(options, option);

        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return tool_usage(options->command, "what is '%s'? There are only options", argv[optind]);
    return -1;
}

/* ---- output ---- */

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_progress(const struct totals *totals, uint64_t seed, double seconds)
{
    printf("\rseed %" PRIu64 ": %" PRIu64 " runs, %" PRIu64 " crashes, %" PRIu64
           " recoveries, %.0f a minute, %" PRIu64 " failed ",
           seed, totals->seeds, totals->crashes, totals->recoveries,
           seconds > 0 ? (double)totals->recoveries * 60 / seconds : 0, totals->failed);
    fflush(stdout);
}

static void print_repeat(const struct options *options, uint64_t seed, uint64_t steps)
{
    printf("  repeat: pawl sim --seeds %" PRIu64 " --steps %" PRIu64, seed, steps);
    if (options->run.shards != 0)
        printf(" --shards %u", options->run.shards);
    if (options->run.memory)
        printf(" --memory");
    if (options->faults != NULL)
        printf(" --faults %s", options->faults);
    putchar('\n');
}

static void print_failure(const struct options *options, const struct sim_run_options *run)
{
    struct sim_run_options shortest = *run;
    struct sim_run_result result;

    shortest.log = NULL;
    shortest.steps = sim_run_shorten(&shortest);
    printf("FAILED seed %" PRIu64 ", with %" PRIu64 " steps\n", run->seed, shortest.steps);
    print_repeat(options, run->seed, shortest.steps);
    sim_run(&shortest, &result, stdout);
    printf("  rule '%s': %s\n", result.rule, result.text);
    fflush(stdout);
}

static void print_totals(const struct options *options, const struct totals *totals, double seconds)
{
    printf("seeds %" PRIu64 "..%" PRIu64 ": %" PRIu64 " runs, %" PRIu64 " rounds, %" PRIu64
           " crashes, %" PRIu64 " recoveries (%.0f a minute), %" PRIu64 " steps, %" PRIu64
           " acknowledged, %" PRIu64 " tasks of agents, %" PRIu64 " leases, %" PRIu64
           " reports, %" PRIu64 " retries, %" PRIu64 " failed\n",
           options->first, options->first + totals->seeds - 1, totals->seeds, totals->rounds,
           totals->crashes, totals->recoveries,
           seconds > 0 ? (double)totals->recoveries * 60 / seconds : 0, totals->steps,
           totals->acknowledged, totals->submitted, totals->leases, totals->reports,
           totals->retries, totals->failed);
}

/* ---- */

static bool run_seed(const struct options *options, uint64_t seed, struct totals *totals)
{
    struct sim_run_options run = options->run;
    struct sim_run_result result, again;
    bool same = true;

    run.seed = seed;
    sim_run(&run, &result, NULL);
    if (options->twice) {
        sim_run(&run, &again, NULL);
        same = result.digest == again.digest;
    }
    totals->seeds++;
    totals->rounds += result.rounds;
    totals->crashes += result.crashes;
    totals->recoveries += result.recoveries;
    totals->steps += result.steps;
    totals->acknowledged += result.acknowledged;
    totals->submitted += result.submitted;
    totals->leases += result.leases;
    totals->reports += result.reports;
    totals->retries += result.retries;
    totals->failed += result.failed || !same;
    if (options->verbose)
        printf("seed %" PRIu64 ": %" PRIu64 " rounds, %" PRIu64 " steps, %" PRIu64
               " acknowledged, digest %016" PRIx64 "\n",
               seed, result.rounds, result.steps, result.acknowledged, result.digest);
    if (result.failed) {
        if (!options->verbose && isatty(STDOUT_FILENO))
            putchar('\n');
        print_failure(options, &run);
    } else if (!same) {
        printf("FAILED seed %" PRIu64 ": two runs of it differ\n", seed);
    }
    return !result.failed && same;
}

int cmd_sim(int argc, char **argv)
{
    struct options options;
    struct totals totals = {0};
    const int code = parse(argc, argv, &options);
    const double begun = seconds_now();
    const bool progress = isatty(STDOUT_FILENO) != 0 && !options.verbose;

    if (code >= 0)
        return code;
    for (uint64_t seed = options.first;; seed++) {
        const bool good = run_seed(&options, seed, &totals);
        const double seconds = seconds_now() - begun;

        if (progress)
            print_progress(&totals, seed, seconds);
        if ((!good && !options.keep_going) || seed == options.last ||
            (options.seconds != 0 && seconds >= (double)options.seconds))
            break;
    }
    if (progress)
        putchar('\n');
    print_totals(&options, &totals, seconds_now() - begun);
    return totals.failed > 0 ? TOOL_FAILED : TOOL_OK;
}
