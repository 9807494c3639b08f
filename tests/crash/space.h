/*
 * space.h - small filesystems for a store, in a mount namespace of this process: they are gone with it.
 */
#ifndef PAWL_TESTS_CRASH_SPACE_H
#define PAWL_TESTS_CRASH_SPACE_H

#include "crash/life.h"

#define SPACE_KINDS 2u /* in memory; ext4 in a file */

/* Puts the place's store on one. False, with a word on stdout: not possible here. */
bool space_open(struct place *place, unsigned kind);
void space_close(struct place *place, unsigned kind);

/* Takes room away, a random part of it, and gives it back. */
void space_fill(struct place *place);
void space_free(struct place *place);

#endif /* PAWL_TESTS_CRASH_SPACE_H */
