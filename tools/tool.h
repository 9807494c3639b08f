/*
 * tool.h - what the commands of `pawl` share: their entry points, exit codes and a few helpers.
 *
 * Each command is one file with one entry point. argv[0] is the command's full name ("pawl topo"),
 * so that getopt_long's own messages already name it; options follow from argv[1].
 */
#ifndef PAWL_TOOLS_TOOL_H
#define PAWL_TOOLS_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every command. */
#define TOOL_OK     0 /* done, nothing found wrong */
#define TOOL_FAILED 1 /* ran, and what it was asked to do or to check failed */
#define TOOL_USAGE  2 /* the command line is wrong; nothing was done */

int cmd_topo(int argc, char **argv);
int cmd_stress(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_machine(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_salvage(int argc, char **argv);
int cmd_sim(int argc, char **argv);

/*
 * tool_usage - says on stderr what is wrong and where help is; returns TOOL_USAGE. command is
 * argv[0].
 */
int tool_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* tool_fail - says on stderr what failed; returns TOOL_FAILED. */
int tool_fail(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * tool_option - what every command does with an option that is none of its own, as getopt_long gave
 * it: 'h' prints usage, 'V' the version; of any other getopt has said what is wrong. Returns the exit
 * code with which the command ends.
 */
int tool_option(const char *command, int option, const char *usage);

/*
 * tool_parse_plain - reads the command line of a command that takes exactly count arguments, or, with
 * count -1, looks at them itself, and knows --help, which prints usage, --version and, where json is
 * not NULL, --json, which sets *json. -1: go on, the arguments are argv from optind on; else the
 * command ends with this exit code, and all is said. wanted says which arguments to name.
 */
int tool_parse_plain(int argc, char **argv, const char *usage, bool *json, int count,
                     const char *wanted);

/* tool_version - prints "COMMAND (Pawl) VERSION" on stdout; returns TOOL_OK. */
int tool_version(const char *command);

/*
 * tool_parse_u64 - reads a whole number with an optional suffix k, M or G (10^3, 10^6, 10^9).
 * False, after saying on stderr what option wants, when text is anything else or not within min ..
 * max.
 */
bool tool_parse_u64(const char *command, const char *option, const char *text, uint64_t min,
                    uint64_t max, uint64_t *value);

/* tool_parse_double - likewise, a finite decimal number; no suffix. */
bool tool_parse_double(const char *command, const char *option, const char *text, double min,
                       double max, double *value);

/* tool_json_string - prints text as a JSON string, quotes included; bytes that are not UTF-8 become
 * U+FFFD, so that the output is valid JSON whatever text holds. */
void tool_json_string(FILE *out, const char *text);

#endif /* PAWL_TOOLS_TOOL_H */
