/*
 * tool.c - helpers that the commands of `pawl` share (tool.h).
 */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <pawl/version.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *command, const char *format, va_list arguments)
{
    fprintf(stderr, "%s: ", command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int tool_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try '%s --help'.\n", command);
    return TOOL_USAGE;
}

int tool_fail(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    return TOOL_FAILED;
}

int tool_version(const char *command)
{
    printf("%s (Pawl) %s\n", command, pawl_version());
    return TOOL_OK;
}

int tool_option(const char *command, int option, const char *usage)
{
    if (option == 'V')
        return tool_version(command);
    if (option == 'h') {
        fputs(usage, stdout);
        return TOOL_OK;
    }
    fprintf(stderr, "Try '%s --help'.\n", command);
    return TOOL_USAGE;
}

int tool_parse_plain(int argc, char **argv, const char *usage, bool *json, int count,
                     const char *wanted)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'}, /* left out where there is no such option */
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    const bool has_json = json != NULL;
    int option;

    optind = 0; /* another getopt may have run before: start afresh */
    while ((option = getopt_long(argc, argv, has_json ? "jhV" : "hV", known + !has_json, NULL)) !=
           -1) {
        if (!has_json || option != 'j')
            return tool_option(argv[0], option, usage);
        *json = true;
    }
    return count < 0 || argc - optind == count ? -1 : tool_usage(argv[0], "%s", wanted);
}

static bool scale_of(const char *suffix, uint64_t *scale)
{
    *scale = 1;
    if (suffix[0] == '\0')
        return true;
    if (suffix[1] != '\0')
        return false;
    switch (suffix[0]) {
    case 'k':
    case 'K':
        *scale = 1000;
        return true;
    case 'M':
        *scale = 1000000;
        return true;
    case 'G':
        *scale = 1000000000;
        return true;
    default:
        return false;
    }
}

bool tool_parse_u64(const char *command, const char *option, const char *text, uint64_t min,
                    uint64_t max, uint64_t *value)
{
    uint64_t scale = 1;
    uint64_t scaled = 0;
    char *end = NULL;
    /* strtoull alone would take "-1" and leading blanks. */
    bool good = text[0] >= '0' && text[0] <= '9';
    if (good) {
        errno = 0;
        unsigned long long number = strtoull(text, &end, 10);
        good = errno == 0 && scale_of(end, &scale) &&
               !__builtin_mul_overflow((uint64_t)number, scale, &scaled);
    }
    if (!good || scaled < min || scaled > max) {
        tool_usage(command,
                   "%s wants a whole number from %llu to %llu (suffixes k, M, G), not '%s'", option,
                   (unsigned long long)min, (unsigned long long)max, text);
        return false;
    }
    *value = scaled;
    return true;
}

bool tool_parse_double(const char *command, const char *option, const char *text, double min,
                       double max, double *value)
{
    char *end = NULL;
    bool good = (text[0] >= '0' && text[0] <= '9') || text[0] == '.';
    double number = good ? strtod(text, &end) : 0;
    good = good && *end == '\0' && number >= min && number <= max;
    if (!good) {
        tool_usage(command, "%s wants a number from %g to %g, not '%s'", option, min, max, text);
        return false;
    }
    *value = number;
    return true;
}

/* The length of the valid UTF-8 sequence that text begins with; 0 if it begins with none. */
static size_t utf8_length(const unsigned char *text)
{
    if (text[0] < 0x80)
        return 1;
    size_t length = 0;
    uint32_t code = 0;
    uint32_t least = 0;
    if ((text[0] & 0xe0) == 0xc0) {
        length = 2, code = text[0] & 0x1fu, least = 0x80;
    } else if ((text[0] & 0xf0) == 0xe0) {
        length = 3, code = text[0] & 0x0fu, least = 0x800;
    } else if ((text[0] & 0xf8) == 0xf0) {
        length = 4, code = text[0] & 0x07u, least = 0x10000;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least || surrogate || code > 0x10ffff ? 0 : length;
}

void tool_json_string(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', out);
    while (*at != '\0') {
        size_t length = utf8_length(at);
        if (length == 0) {
            fputs("\\ufffd", out);
            at++;
            continue;
        }
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else if (*at == 0xc2 && at[1] < 0xa0) /* a terminal may obey these as well */
            fprintf(out, "\\u%04x", at[1]);
        else
            fwrite(at, 1, length, out);
        at += length;
    }
    fputc('"', out);
}
