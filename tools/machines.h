/*
 * machines.h - the machines built into the tool: those that its commands run, and three examples.
 */
#ifndef PAWL_TOOLS_MACHINES_H
#define PAWL_TOOLS_MACHINES_H

#include <pawl/machine.h>

/*
 * The machine at a position of the list, with one line about it; NULL behind the last. Its name is
 * the definition's.
 */
const struct pawl_machine_def *built_in_machine(unsigned position, const char **summary);

/* By name; NULL when there is none. */
const struct pawl_machine_def *built_in_machine_named(const char *name);

#endif /* PAWL_TOOLS_MACHINES_H */
