/*
 * machine_cmd.c - `pawl machine`: checks and draws the machines built into the tool. It uses only
 * the public interface.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pawl/machine.h>
#include <stdlib.h>
#include <string.h>

#include "machines.h"
#include "tool.h"

static const char usage[] =
    "usage: pawl machine check NAME\n"
    "       pawl machine dot NAME\n"
    "       pawl machine mermaid NAME\n"
    "       pawl machine list\n"
    "\n"
    "Works on the state machines that are built into the tool.\n"
    "\n"
    "  check    compiles the machine and prints what is wrong or doubtful, each with its exact\n"
    "           place, then its size and its hash\n"
    "  dot      prints it as a graph: pawl machine dot NAME | dot -Tsvg >NAME.svg\n"
    "  mermaid  prints it as a Mermaid state diagram\n"
    "  list     prints the names\n"
    "\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version\n"
    "\n"
    "Exit status: 0 if the machine compiles (warnings do not count), 1 if it is refused, 2 on "
    "wrong\n"
    "usage.\n";

static void print_list(FILE *out)
{
    const struct pawl_machine_def *definition;
    const char *summary;

    for (unsigned i = 0; (definition = built_in_machine(i, &summary)) != NULL; i++)
        fprintf(out, "  %-17s %s\n", definition->name, summary);
}

/* ---- check ----------------------------------------------------------------------------------- */

struct findings {
    unsigned errors;
    unsigned warnings;
};

static void print_finding(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct findings *const findings = user;

    if (diagnostic->error)
        findings->errors++;
    else
        findings->warnings++;
    printf("%s: %s: %s\n", diagnostic->error ? "error" : "warning", diagnostic->where,
           diagnostic->what);
}

static int check(const struct pawl_machine_def *definition)
{
    struct findings findings = {0, 0};
    struct pawl_machine *machine;
    const int error = pawl_machine_compile(definition, print_finding, &findings, &machine);

    printf("%s%s: %s, errors %u, warnings %u\n", findings.errors + findings.warnings ? "\n" : "",
           definition->name, error ? "refused" : "sound", findings.errors, findings.warnings);
    if (error)
        return TOOL_FAILED;
    printf("  states       %zu\n", definition->states_count);
    printf("  events       %zu\n", definition->events_count);
    printf("  transitions  %zu\n", definition->transitions_count);
    printf("  timers       %zu\n", definition->timers_count);
    printf("  context      %zu bytes\n", definition->context_size);
    printf("  hash         %016" PRIx64 "\n", pawl_machine_hash(machine));
    pawl_machine_destroy(machine);
    return TOOL_OK;
}

/* ---- drawings -------------------------------------------------------------------------------- */

typedef size_t draw_fn(const struct pawl_machine *machine, char *buffer, size_t size);

static void complain(void *user, const struct pawl_diagnostic *diagnostic)
{
    const char *const command = user;

    if (diagnostic->error)
        tool_fail(command, "%s: %s", diagnostic->where, diagnostic->what);
}

static int draw(const char *command, const struct pawl_machine_def *definition, draw_fn *fn)
{
    char name[32]; /* a copy, because a callback's argument is not const */
    struct pawl_machine *machine;
    size_t length;
    char *text;

    snprintf(name, sizeof(name), "%s", command);
    if (pawl_machine_compile(definition, complain, name, &machine))
        return TOOL_FAILED;
    length = fn(machine, NULL, 0);
    text = malloc(length + 1);
    if (text) {
        fn(machine, text, length + 1);
        fputs(text, stdout);
    }
    pawl_machine_destroy(machine);
    if (!text)
        return tool_fail(command, "no memory for a drawing of %zu bytes", length);
    free(text);
    return TOOL_OK;
}

/* ---- the command line ------------------------------------------------------------------------ */

static int run(const char *command, int count, char **words)
{
    const struct pawl_machine_def *definition;

    if (count < 1)
        return tool_usage(command, "say what to do: check, dot, mermaid or list");
    if (strcmp(words[0], "list") == 0) {
        if (count > 1)
            return tool_usage(command, "list takes no name, but there is '%s'", words[1]);
        print_list(stdout);
        return TOOL_OK;
    }
    if (strcmp(words[0], "check") != 0 && strcmp(words[0], "dot") != 0 &&
        strcmp(words[0], "mermaid") != 0)
        return tool_usage(command, "'%s' is nothing it does: say check, dot, mermaid or list",
                          words[0]);
    if (count != 2)
        return count < 2 ? tool_usage(command, "%s needs the name of a machine ('%s list')",
                                      words[0], command)
                         : tool_usage(command, "one machine at a time: '%s' is too much", words[2]);
    definition = built_in_machine_named(words[1]);
    if (!definition) {
        fprintf(stderr, "%s: there is no machine '%s'. There are:\n", command, words[1]);
        print_list(stderr);
        return TOOL_USAGE;
    }
    if (strcmp(words[0], "check") == 0)
        return check(definition);
    return draw(command, definition,
                strcmp(words[0], "dot") == 0 ? pawl_machine_dot : pawl_machine_mermaid);
}

int cmd_machine(int argc, char **argv)
{
    const int code = tool_parse_plain(argc, argv, usage, NULL, -1, NULL);

    return code >= 0 ? code : run(argv[0], argc - optind, argv + optind);
}
