/*
 * monitor.h - the monitor's thread: looks at the shards now and then, never stops one.
 *
 * Layer: watch. It notices steps that do not come back and names them, waits for the grace periods
 * that shards ask for, and frees hidden ports whose threads have ended. It sleeps between looks.
 *
 * A shard says what it is doing by three relaxed words (busy_task, busy_where, busy_event) and by
 * the number of its turn. The same step for stall_ns is a stall: the same task, turn and
 * busy_steps, which grows between two steps of one task. The words may be of different steps for a
 * moment; so they are read twice, and a stall needs two looks that agree.
 */
#ifndef PAWL_WATCH_MONITOR_H
#define PAWL_WATCH_MONITOR_H

#include "shard/runtime.h"

/* The thread's function; ends when runtime->monitor_stop is set and its park is woken. */
void pawl__monitor_main(void *runtime);

/* One look at every shard; for the thread, and for tests with a clock of their own. */
void pawl__monitor_look(struct pawl_runtime *runtime);

/* What a shard is at, as a stall of no length. False when it is in no step. */
bool pawl__monitor_busy(const struct pawl_runtime *runtime, unsigned shard,
                        struct pawl_stall *busy);

#endif /* PAWL_WATCH_MONITOR_H */
