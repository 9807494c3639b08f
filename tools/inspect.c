/*
 * inspect.c - `pawl inspect`: the lanes, agents and work tasks of a store or of a running process.
 */
#include "inspect.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char usage[] =
    "usage: pawl inspect DIR [OPTION]...\n"
    "       pawl inspect --live SOCKET [OPTION]...\n"
    "       pawl inspect DIR | --live SOCKET --task TASK [--json]\n"
    "\n"
    "Lists what a store has for agents: tasks of each machine by state, lanes, agents with "
    "leases,\n"
    "and work tasks. Reads only; the store may be in use, and is then shown as of now. Ages are "
    "by\n"
    "the shards' time, which stands still while nobody has the store open. With --live the same "
    "of\n"
    "a running process, through a window that its host has opened (pawl_live_open); then also "
    "how\n"
    "long it has run, its counters, what lanes have handed out, and agents that wait.\n"
    "\n"
    "      --live         SOCKET is the path of a window, instead of a store's directory\n"
    "  -t, --task TASK    shows one work task whole: its id in hexadecimal, key:NAME, or a key "
    "that\n"
    "                     is no such id. Claim, times, what it was submitted with, notes with\n"
    "                     evidence and history, parent and children; of a store also tasks that "
    "it\n"
    "                     waits for\n"
    "  -s, --state NAME   only work tasks in this state (new, dependent, delayed, ready, leased,\n"
    "                     unverified, checked, completed, failed, cancelled, dead)\n"
    "  -l, --lane NAME    only those of this lane, by its name or by its number in hexadecimal. A\n"
    "                     store has the numbers only, and the names of lanes that were paused or\n"
    "                     whose breaker has opened\n"
    "  -r, --sort WHAT    state (default), age, agent, lane or priority; then the oldest first\n"
    "  -n, --limit N      at most so many work tasks (default: 100; with --live at most 4096)\n"
    "  -j, --json         print one JSON object; bytes that are no text are in hexadecimal\n"
    "  -h, --help         print this text\n"
    "  -V, --version      print the version\n"
    "\n"
    "Exit status: 0 if all was shown, 1 if the store cannot be read or is damaged, if nobody\n"
    "answers, or if there is no such task or lane, 2 on wrong usage.\n";

bool inspect_parse_id(const char *text, uint64_t *id)
{
    const char *const digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;

    if (digits[0] == '\0' || strlen(digits) > 16 ||
        strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
        return false;
    *id = strtoull(digits, NULL, 16);
    return true;
}

int inspect_no_task(const struct inspect_options *options)
{
    if (options->live)
        return tool_fail(options->command, "no work task has the id or key '%s'", options->task);
    return tool_fail(options->command,
                     "no work task has the id or key '%s'; 'pawl history' shows tasks that have "
                     "ended, 'pawl export' those of other machines",
                     options->task);
}

static bool take_sort(struct inspect_options *options, const char *text)
{
    if (pawl__sight_find_order(text, &options->choice.order))
        return true;
    tool_usage(options->command, "--sort wants state, age, agent, lane or priority, not '%s'",
               text);
    return false;
}

static bool take_state(struct inspect_options *options, const char *text)
{
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        if (strcmp(text, pawl_work_state_name(i)) == 0) {
            options->choice.state = i;
            return true;
        }
    tool_usage(options->command, "--state wants a state of work tasks, such as ready, not '%s'",
               text);
    return false;
}

/* Returns -1 to go on, or the exit code. */
static int take_option(struct inspect_options *options, int option)
{
    bool good = true;

    switch (option) {
    case 't':
        options->task = optarg;
        break;
    case 's':
        good = take_state(options, optarg);
        break;
    case 'l':
        options->lane = optarg;
        break;
    case 'r':
        good = take_sort(options, optarg);
        break;
    case 'n':
        good = tool_parse_u64(options->command, "--limit", optarg, 0, UINT64_MAX,
                              &options->choice.limit);
        break;
    case 'j':
        options->json = true;
        break;
    case 'L':
        options->live = true;
        break;
    default:
        return tool_option(options->command, option, usage);
    }
    return good ? -1 : TOOL_USAGE;
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option known[] = {
        {"task", required_argument, NULL, 't'},  {"state", required_argument, NULL, 's'},
        {"lane", required_argument, NULL, 'l'},  {"sort", required_argument, NULL, 'r'},
        {"limit", required_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'},
        {"live", no_argument, NULL, 'L'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},     {NULL, 0, NULL, 0},
    };
    struct inspect_options options = {
        .command = argv[0],
        .choice = {.state = PAWL_ANY, .lane = PAWL_ANY, .limit = 100, .order = SIGHT_BY_STATE}};
    int option;

    optind = 0; /* another getopt may have run before: start afresh */
    while ((option = getopt_long(argc, argv, "t:s:l:r:n:jhV", known, NULL)) != -1) {
        const int code = take_option(&options, option);

        if (code >= 0)
            return code;
    }
    if (argc - optind != 1)
        return tool_usage(options.command, "name one directory, or --live and one socket");
    options.path = argv[optind];
    if (options.live && options.choice.limit > PAWL_LIVE_TASKS_MAX)
        return tool_usage(options.command,
                          "with --live, --limit is at most %u: choose by --state "
                          "or --lane",
                          PAWL_LIVE_TASKS_MAX);
    return options.live ? inspect_live(&options) : inspect_store(&options);
}
