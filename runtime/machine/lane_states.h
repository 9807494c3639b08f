/*
 * lane_states.h - what is wrong with the lane states of a definition (pawl/lane.h).
 *
 * Layer: machine. Owner: one compile.
 */
#ifndef PAWL_MACHINE_LANE_STATES_H
#define PAWL_MACHINE_LANE_STATES_H

#include "machine/compiled.h"
#include "machine/findings.h"
#include "machine/flatten.h"

/* Only adds findings. origins: one for each row. */
void pawl__check_lanes(const struct pawl_machine *machine, const struct origin *origins,
                       struct findings *findings);

#endif /* PAWL_MACHINE_LANE_STATES_H */
