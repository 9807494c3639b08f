/*
 * flatten.h - from nested states to the rows and cells of compiled.h.
 *
 * Layer: machine. Owner: one compile.
 */
#ifndef PAWL_MACHINE_FLATTEN_H
#define PAWL_MACHINE_FLATTEN_H

#include "machine/compiled.h"
#include "machine/findings.h"
#include "machine/source.h"

#define ORIGIN_NONE UINT16_MAX /* create, cancel, and the rows that take nothing */

/* What the checks want to know of a row and a step does not. */
struct origin {
    uint16_t transition;   /* position in the definition, or ORIGIN_NONE */
    uint16_t raises_count; /* at most, when each function raises what it declares once */
};

/*
 * pawl__flatten - compiles a source that is without errors. The machine is the source's: it lives in
 * its blocks. *origins gets one entry for each row, in scratch.
 * NULL: too many rows (a finding), or no memory (findings.out_of_memory).
 */
struct pawl_machine *pawl__flatten(struct machine_source *source, struct findings *findings,
                                   const struct origin **origins);

#endif /* PAWL_MACHINE_FLATTEN_H */
