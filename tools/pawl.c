/*
 * pawl.c - the `pawl` command: finds the command named on its line and runs it.
 */
#include "tool.h"

#include <string.h>

struct command {
    const char *name;
    const char *full_name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"topo", "pawl topo", "shows where shards and helper threads would run", cmd_topo},
    {"stress", "pawl stress", "attacks the runtime's promises and reconciles every event",
     cmd_stress},
    {"replay", "pawl replay", "replays a job log in the Standard Workload Format", cmd_replay},
    {"machine", "pawl machine", "checks and draws the machines built into the tool", cmd_machine},
    {"verify", "pawl verify", "looks at every file of a store and says what is whole", cmd_verify},
    {"history", "pawl history", "prints the steps of one task of a store", cmd_history},
    {"inspect", "pawl inspect", "lists lanes, agents and work tasks of a store, or shows one task",
     cmd_inspect},
    {"export", "pawl export", "prints what a store holds as JSON lines", cmd_export},
    {"import", "pawl import", "makes a store of such lines", cmd_import},
    {"salvage", "pawl salvage", "copies what can be read of a damaged store", cmd_salvage},
    {"sim", "pawl sim", "runs the library on a simulated host with crashes and faults", cmd_sim},
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void list_commands(FILE *out)
{
    fputs("usage: pawl COMMAND [OPTION]...\n\nCommands:\n", out);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n"
        "  pawl COMMAND --help    what a command does and its options\n"
        "  pawl --version         the version of the tool and its library\n"
        "\n"
        "Exit codes: 0 done; 1 the command ran and failed or found something wrong; 2 the command\n"
        "line is wrong.\n",
        out);
}

/* A full disk or a closed pipe must not look like success. */
static int finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail("pawl", "cannot write to standard output");
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        list_commands(stderr);
        return TOOL_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        list_commands(stdout);
        return finish(TOOL_OK);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return finish(tool_version("pawl"));
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            char full_name[32];
            snprintf(full_name, sizeof(full_name), "%s", commands[i].full_name);
            argv[1] = full_name;
            return finish(commands[i].run(argc - 1, argv + 1));
        }
    }
    fprintf(stderr, "pawl: there is no command '%s'\n", name);
    list_commands(stderr);
    return TOOL_USAGE;
}
