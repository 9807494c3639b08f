/*
 * compile.h - compiling with a given allocator. For tests; pawl_machine_compile uses libc's.
 *
 * Layer: machine.
 */
#ifndef PAWL_MACHINE_COMPILE_H
#define PAWL_MACHINE_COMPILE_H

#include "machine/blocks.h"
#include "machine/compiled.h"

/* As pawl_machine_compile. The allocator must outlive the machine. */
int pawl__machine_compile(const struct pawl_machine_def *definition, pawl_diagnostic_fn *diagnose,
                          void *user, const struct allocator *allocator,
                          struct pawl_machine **machine);

#endif /* PAWL_MACHINE_COMPILE_H */
