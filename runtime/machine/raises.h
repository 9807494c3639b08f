/*
 * raises.h - chains of raised events: refuses those without a bound. raises.c says what is assumed.
 *
 * Layer: machine. Owner: one compile.
 */
#ifndef PAWL_MACHINE_RAISES_H
#define PAWL_MACHINE_RAISES_H

#include "machine/compiled.h"
#include "machine/findings.h"
#include "machine/flatten.h"

/* origins: one for each row. Only adds findings. */
void pawl__check_raises(const struct pawl_machine *machine, const struct origin *origins,
                        struct findings *findings);

#endif /* PAWL_MACHINE_RAISES_H */
