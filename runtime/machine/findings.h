/*
 * findings.h - what a compile finds wrong or doubtful, kept until it can be told in the order of the
 * definition's tables.
 *
 * The checks run in phases (names, structure, behaviour), so that a later one never has to guess; the
 * reader of the findings wants them in the order of his own file. Hence they are collected first.
 *
 * Layer: machine. Owner: one compile.
 */
#ifndef PAWL_MACHINE_FINDINGS_H
#define PAWL_MACHINE_FINDINGS_H

#include <pawl/machine.h>
#include <stdbool.h>

#include "machine/blocks.h"

/* In the order of telling. */
enum finding_table {
    FINDING_MACHINE,
    FINDING_EVENT,
    FINDING_STATE,
    FINDING_TRANSITION,
    FINDING_TIMER,
};

struct finding;

struct findings {
    const struct pawl_machine_def *definition; /* may be NULL */
    struct blocks *blocks;
    struct finding *list;
    size_t count;
    size_t capacity;
    size_t errors;
    bool out_of_memory;
};

/* A name that fits into a message: cut to 64 bytes, "?" for NULL. */
struct short_name {
    char text[72];
};

struct short_name pawl__short_name(const char *name);

/* For use as an argument of printf; lives until the end of the full expression. */
#define SHORT(name) (pawl__short_name(name).text)

void pawl__findings_init(struct findings *findings, const struct pawl_machine_def *definition,
                         struct blocks *blocks);

/*
 * pawl__find - adds a finding: error is a negative errno, or 0 for a warning; position is that of the
 * table's entry (0 for the machine) and must exist in the definition.
 */
void pawl__find(struct findings *findings, int error, enum finding_table table, size_t position,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Tells all findings, in order. Returns 0, the first error, or -ENOMEM when some were lost. */
int pawl__findings_tell(struct findings *findings, pawl_diagnostic_fn *diagnose, void *user);

#endif /* PAWL_MACHINE_FINDINGS_H */
