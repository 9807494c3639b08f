/*
 * diagnostics.h - for tests: collects what pawl_machine_compile finds into one text, a line for each
 * finding: "error -22 | where | what" or "warning | where | what".
 */
#ifndef PAWL_TESTS_SUPPORT_DIAGNOSTICS_H
#define PAWL_TESTS_SUPPORT_DIAGNOSTICS_H

#include <pawl/machine.h>
#include <stdio.h>
#include <string.h>

struct diagnostics {
    unsigned errors;
    unsigned warnings;
    int first; /* the first error */
    size_t length;
    char text[262144];
};

static inline void diagnostics_add(void *user, const struct pawl_diagnostic *diagnostic)
{
    struct diagnostics *const d = user;
    const size_t room = sizeof(d->text) - d->length;
    int length;

    if (diagnostic->error) {
        d->errors++;
        d->first = d->first ? d->first : diagnostic->error;
        length = snprintf(d->text + d->length, room, "error %d | %s | %s\n", diagnostic->error,
                          diagnostic->where, diagnostic->what);
    } else {
        d->warnings++;
        length = snprintf(d->text + d->length, room, "warning | %s | %s\n", diagnostic->where,
                          diagnostic->what);
    }
    d->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* Compiles into *machine and remembers the findings. */
static inline int diagnostics_compile(struct diagnostics *d,
                                      const struct pawl_machine_def *definition,
                                      struct pawl_machine **machine)
{
    d->errors = d->warnings = 0;
    d->first = 0;
    d->length = 0;
    d->text[0] = '\0';
    return pawl_machine_compile(definition, diagnostics_add, d, machine);
}

/* Whether some finding has all three parts in this order within its line. */
static inline int diagnostics_have(const struct diagnostics *d, const char *kind, const char *where,
                                   const char *what)
{
    const char *line = d->text;

    while (*line && strchr(line, '\n')) {
        const char *const end = strchr(line, '\n');
        const char *const place = strstr(line, where);
        const char *const reason = place ? strstr(place + strlen(where), what) : NULL;

        if (strncmp(line, kind, strlen(kind)) == 0 && reason && reason < end)
            return 1;
        line = end + 1;
    }
    return 0;
}

#endif /* PAWL_TESTS_SUPPORT_DIAGNOSTICS_H */
