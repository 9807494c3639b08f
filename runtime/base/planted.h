/*
 * planted.h - switches that break one rule each, of durability or of work, so that the checkers can be checked.
 *
 * Layer: base. Only test programs define PAWL_PLANTED; elsewhere planted() is a constant and the
 * switches are gone. The name of each says which rule it breaks.
 */
#ifndef PAWL_BASE_PLANTED_H
#define PAWL_BASE_PLANTED_H

#include <stdbool.h>

enum planted {
    PLANTED_NONE,
    PLANTED_ACK_BEFORE_SYNC,        /* completions of sync steps leave at once */
    PLANTED_EFFECT_BEFORE_SYNC,     /* events of sync steps to other shards leave at once */
    PLANTED_FAILURE_IGNORED,        /* a failed write counts as done */
    PLANTED_DURABLE_OUT_OF_ORDER,   /* a finished group is taken for all groups before it as well */
    PLANTED_SEAL_NOT_AWAITED,       /* the next file is begun before the seal is durable */
    PLANTED_DIRECTORY_NOT_SYNCED,   /* a new file's name is not made durable */
    PLANTED_CRC_NOT_CHECKED,        /* the reader believes payloads */
    PLANTED_PLACE_NOT_CHECKED,      /* the reader believes frames wherever they lie */
    PLANTED_CORRUPT_AS_TORN,        /* whatever is bad ends the journal quietly */
    PLANTED_SNAPSHOT_NOT_READ_BACK, /* the journal is cut without a look at the snapshot */
    PLANTED_CUT_TOO_EARLY, /* the journal is cut up to the newest snapshot, not the one before */
    PLANTED_SNAPSHOT_NOT_AWAITED, /* a snapshot counts before its end in the journal is durable */
    PLANTED_DUPLICATES_KEPT,      /* what the receiver has handled is sent again all the same */
    PLANTED_NOT_RESENT,           /* what was sent and not handled is not sent again */
    PLANTED_TIMERS_LOST,          /* timers are not in the journal */
    PLANTED_DEFERRED_LOST,        /* nor deferred events */
    PLANTED_END_FORGOTTEN,        /* nor that a task has ended */
    PLANTED_GENERATION_REUSED,    /* ids begin again after recovery */
    PLANTED_MORE_IGNORED,         /* part of a frame's continuation takes effect alone */
    PLANTED_TOKENS_BEGIN_AGAIN,   /* after recovery, with the first */
    PLANTED_LEASE_BEFORE_SYNC,    /* leases leave at once */
    PLANTED_CLAIM_NOT_RESTORED,   /* what was leased is nobody's after recovery */
    PLANTED_RANK_NOT_RESTORED,    /* what is ready is equally urgent after recovery */
    PLANTED_REPORT_TWICE,         /* a report that comes again takes effect again */
    PLANTED_ATTEMPT_NOT_COUNTED,  /* an agent's death costs its task no attempt */
    PLANTED_RELEASED_EARLY,       /* a task is let go with one to wait for left */
    PLANTED_TREE_STANDS,          /* children do not follow a parent that is cancelled */
    PLANTED_CREDIT_LOST,          /* of a lease that was refused, or over before it was seen */
    PLANTED_DEATH_FORGOTTEN,      /* an agent that is gone keeps its leases */
    PLANTED_COUNT
};

#ifdef PAWL_PLANTED
extern enum planted pawl__planted;
static inline bool planted(enum planted bug)
{
    return pawl__planted == bug;
}
#else
static inline bool planted(enum planted bug)
{
    (void)bug;
    return false;
}
#endif

#endif /* PAWL_BASE_PLANTED_H */
