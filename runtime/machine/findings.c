#include "machine/findings.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 64   /* bytes of a name in a message */
#define WHERE_SIZE 512  /* a place: at most four names */
#define WHAT_SIZE  2048 /* a finding: the longest names a cycle */

struct finding {
    enum finding_table table;
    int error;
    size_t position;
    size_t number; /* keeps the order of finding within one place */
    const char *where;
    const char *what;
};

struct short_name pawl__short_name(const char *name)
{
    struct short_name out = {"?"};
    size_t length;

    if (!name)
        return out;
    length = strnlen(name, NAME_SHOWN + 1);
    if (length <= NAME_SHOWN) {
        memcpy(out.text, name, length);
        out.text[length] = '\0';
        return out;
    }
    length = NAME_SHOWN;
    while (length > 0 && ((unsigned char)name[length] & 0xc0u) == 0x80u)
        length--; /* not in the middle of a character of UTF-8 */
    memcpy(out.text, name, length);
    memcpy(out.text + length, "...", sizeof("..."));
    return out;
}

void pawl__findings_init(struct findings *findings, const struct pawl_machine_def *definition,
                         struct blocks *blocks)
{
    *findings = (struct findings){.definition = definition, .blocks = blocks};
}

/* "machine 'door', transition 3 (open --shut--> closed)" */
static void say_where(const struct pawl_machine_def *definition, enum finding_table table,
                      size_t position, char *out, size_t size)
{
    const struct pawl_transition_def *transition;
    int length;

    if (!definition) {
        snprintf(out, size, "machine");
        return;
    }
    length = snprintf(out, size, "machine '%s'", SHORT(definition->name));
    out += length;
    size -= (size_t)length;
    switch (table) {
    case FINDING_MACHINE:
        break;
    case FINDING_EVENT:
        snprintf(out, size, ", event %zu (%s)", position, SHORT(definition->events[position]));
        break;
    case FINDING_STATE:
        snprintf(out, size, ", state %zu (%s)", position, SHORT(definition->states[position].name));
        break;
    case FINDING_TRANSITION:
        transition = &definition->transitions[position];
        snprintf(out, size, ", transition %zu (%s --%s--> %s)", position, SHORT(transition->from),
                 SHORT(transition->on),
                 transition->to ? SHORT(transition->to) : "itself, internal");
        break;
    case FINDING_TIMER:
        snprintf(out, size, ", timer %zu (%s)", position, SHORT(definition->timers[position].name));
        break;
    }
}

void pawl__find(struct findings *findings, int error, enum finding_table table, size_t position,
                const char *format, ...)
{
    char where[WHERE_SIZE], what[WHAT_SIZE];
    struct finding *list, *finding;
    va_list arguments;

    if (error)
        findings->errors++;
    list = pawl__blocks_grow(findings->blocks, findings->list, findings->count, &findings->capacity,
                             sizeof(*list));
    if (!list) {
        findings->out_of_memory = true;
        return;
    }
    findings->list = list;
    say_where(findings->definition, table, position, where, sizeof(where));
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    finding = &list[findings->count];
    *finding = (struct finding){.table = table,
                                .error = error,
                                .position = position,
                                .number = findings->count,
                                .where = pawl__blocks_copy(findings->blocks, where),
                                .what = pawl__blocks_copy(findings->blocks, what)};
    if (!finding->where || !finding->what) {
        findings->out_of_memory = true;
        return;
    }
    findings->count++;
}

static int compare(const void *left, const void *right)
{
    const struct finding *const a = left, *const b = right;

    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

int pawl__findings_tell(struct findings *findings, pawl_diagnostic_fn *diagnose, void *user)
{
    int first = 0;

    if (findings->count)
        qsort(findings->list, findings->count, sizeof(*findings->list), compare);
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *const finding = &findings->list[i];
        const struct pawl_diagnostic diagnostic = {finding->error, finding->where, finding->what};

        if (!first)
            first = finding->error;
        if (diagnose)
            diagnose(user, &diagnostic);
    }
    return findings->out_of_memory ? -ENOMEM : first;
}
