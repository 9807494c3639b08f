/*
 * drain.h - whether anything is still under way, and what.
 *
 * Layer: watch. Any thread. With posting closed, new events come only from steps (and timers, which
 * a drain does not wait for). The look:
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

/* True when no event is under way and none is deferred. */
bool pawl__drain_is_quiet(const struct pawl_runtime *runtime);

/* Names one thing that is in the way. */
void pawl__drain_report(const struct pawl_runtime *runtime, struct pawl_drain_report *report);

/* The same for a paused runtime. */
void pawl__drain_report_pause(const struct pawl_runtime *runtime, struct pawl_drain_report *report);

#endif /* PAWL_WATCH_DRAIN_H */
