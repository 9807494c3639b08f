/*
 * sim_check.h - what is tried on copies of a crashed disk, before the run goes on with the disk
 * itself: recovery twice, recovery killed half way, storage errors within it, a second opener,
 * without the newest snapshots, and damage of every kind. What was acknowledged must come back or
 * the opening must be refused; what never was must not appear.
 */
#ifndef PAWL_TOOLS_SIM_CHECK_H
#define PAWL_TOOLS_SIM_CHECK_H

#include "sim_world.h"

enum sim_check {
    SIM_CHECK_AGAIN,   /* recovered, crashed at once, recovered */
    SIM_CHECK_HALF,    /* killed or without power half way, and again */
    SIM_CHECK_ERROR,   /* an operation of recovery fails */
    SIM_CHECK_MISREAD, /* a bit of an answer is wrong, once */
    SIM_CHECK_LOCK,    /* somebody else has the store open */
    SIM_CHECK_OLDER,   /* the newest snapshots are gone */
    SIM_CHECK_FLIP,    /* a bit at rest */
    SIM_CHECK_CUT,     /* a file is shorter */
    SIM_CHECK_LOST,    /* a file is missing */
    SIM_CHECK_TWIN,    /* a file is there twice */
    SIM_CHECK_SWAPPED, /* a file has taken the place of another */
    SIM_CHECK_FOREIGN, /* a file is somebody else's */
    SIM_CHECK_MOVED,   /* a block lies over another one */
    SIM_CHECK_PHANTOM, /* a block was never written */
    SIM_CHECK_STALE,   /* a block is what it was before an earlier crash */
    SIM_CHECK_FORKED,  /* a block is what another recovery of the same disk has written */
    SIM_CHECKS
};

const char *sim_check_name(enum sim_check check);

/*
 * One such attempt on a copy of the world's disk, which has crashed. past: an earlier image of it,
 * or NULL.
 */
void sim_check(struct sim_world *world, enum sim_check check, const struct sim_disk *past);

#endif /* PAWL_TOOLS_SIM_CHECK_H */
