/*
 * refusals.h - the last reports of agents that a shard has refused, with the reason.
 *
 * Layer: shard. Owner: the shard writes; any thread reads.
 *
 * The decision to question: they are kept in memory and not with their tasks. A refused report changes
 * nothing, so it costs a durable task no entry; and whoever sends many of them only writes over what
 * he has sent.
 *
 * Memory orders: as in task/slot.h. An entry's version is odd while it is written (relaxed; the words'
 * releases, W, order it), and twice its number afterwards (release, E). A reader who finds the same
 * version before (acquire) and after his loads of the words (acquire, R) has one refusal, whole.
 */
#ifndef PAWL_SHARD_REFUSALS_H
#define PAWL_SHARD_REFUSALS_H

#include <pawl/agent.h>

#include "shard/shard.h"

#define REFUSAL_WORDS 7u

/* Field owners: S the shard. */
struct refusal {
    _Atomic uint64_t version;              /* S: 2 * number; odd: being written; 0: none yet */
    _Atomic uint64_t words[REFUSAL_WORDS]; /* S */
};

struct refusals {
    _Atomic uint64_t count; /* S: ever */
    struct refusal entries[PAWL_REFUSALS_KEPT];
};

/* A report that came from this port, if it came from an agent's. */
void pawl__refusals_note(struct shard *shard, const struct pawl_event *event, uint16_t source,
                         int reason);

#endif /* PAWL_SHARD_REFUSALS_H */
