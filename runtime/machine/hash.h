/*
 * hash.h - the number by which two processes know that they run the same machine.
 *
 * Layer: machine. hash.c says how a stranger computes it.
 */
#ifndef PAWL_MACHINE_HASH_H
#define PAWL_MACHINE_HASH_H

#include "machine/source.h"

uint64_t pawl__machine_hash(const struct machine_source *source);

#endif /* PAWL_MACHINE_HASH_H */
