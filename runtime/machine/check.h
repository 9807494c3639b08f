/*
 * check.h - what is wrong or doubtful about a definition whose names resolve.
 *
 * Layer: machine. Owner: one compile. All functions only add findings.
 */
#ifndef PAWL_MACHINE_CHECK_H
#define PAWL_MACHINE_CHECK_H

#include "machine/compiled.h"
#include "machine/findings.h"
#include "machine/flatten.h"
#include "machine/source.h"

/* On the definition: hidden transitions and deferrals, things declared that nothing uses. */
void pawl__check_structure(const struct machine_source *source, struct findings *findings);

/*
 * On the rows: unreachable states, traps, transitions that are never tried, waiting without a
 * timeout, deferral without recall. origins: one for each row.
 */
void pawl__check_behaviour(const struct pawl_machine *machine, const struct origin *origins,
                           struct findings *findings);

#endif /* PAWL_MACHINE_CHECK_H */
