/*
 * drain.h - whether anything is still under way, and what.
 *
 * Layer: watch. A drain has two stages. In the first nothing is handed out any more, and only
 * agents may post, until no lease is left that one of them could report on. In the second nobody
 * may, until what has been posted is handled.
 *
 * The first stage. A shard may be in the middle of handing out when admission is closed, so its
 * word counts only from a turn that has heard of the drain:
 *
 *   drain                                   shard
 *   admits = agents        (release)        begins a turn: drains?            (acquire) R2
 *   drains + 1             (release) R1     hands out, if admits says so
 *   wakes the shards                        busy = its leases                 (release)
 *   drained == drains?     (acquire) R4     drained = drains as it knew it    (release) R3
 *   busy == 0?             (acquire)
 *
 * The second stage, with posting closed: new events come only from steps (and timers, which a drain
 * does not wait for). The look:
 *
 *   1. every ring of every port is empty                       (acquire)
 *   2. taken  = sum of the shards' `taken`                     (acquire)
 *   3. routed = sum of the shards' `routed`                    (acquire)
 *   nothing is under way when taken == routed.
 *
 * A shard counts an event in `routed` before anybody can see it, releases a port's event only after
 * the steps it caused have routed theirs, and counts an event in `taken` at the end of the turn
 * that handled it, after all that the turn routed. So an event that was routed and not yet fully
 * handled makes routed, read last, greater than taken, read first; and a port's event under way is
 * either in its ring (1) or has everything that it routed counted by the time of (3). This is the
 * counting of messages by Mattern (1987).
 */
#ifndef PAWL_WATCH_DRAIN_H
#define PAWL_WATCH_DRAIN_H

#include "shard/runtime.h"

/* Begins the first stage. Thread: the life cycle's, which there is one of at a time. */
void pawl__drain_begin(struct pawl_runtime *runtime);

/* Leases that agents have, as of each shard's last turn. Any thread, as the following. */
uint64_t pawl__drain_leases(const struct pawl_runtime *runtime);

/* True when every shard has turned since the first stage began. */
bool pawl__drain_is_heard(const struct pawl_runtime *runtime);

/* True when the first stage is over: there are none, and there will be none. */
bool pawl__drain_has_no_leases(const struct pawl_runtime *runtime);

/* True when no event is under way, and none deferred that nobody waits for. */
bool pawl__drain_is_quiet(const struct pawl_runtime *runtime);

/* Names one thing that is in the way. */
void pawl__drain_report(const struct pawl_runtime *runtime, struct pawl_drain_report *report);

/* The same for a paused runtime. */
void pawl__drain_report_pause(const struct pawl_runtime *runtime, struct pawl_drain_report *report);

#endif /* PAWL_WATCH_DRAIN_H */
