/*
 * gate_cycle.h - the gate's kernel of agents' work: tasks that are ready, leased, reported done and
 * ready again, one agent, one shard, memory, on a virtual clock.
 */
#ifndef PAWL_BENCH_GATE_CYCLE_H
#define PAWL_BENCH_GATE_CYCLE_H

#include <stdint.h>

#define GATE_CYCLES (UINT64_C(1) << 14)

/* All of them end the program with words when something is not as it must be. */
void gate_cycle_open(void);
void gate_cycle_run(uint64_t cycles);
void gate_cycle_check(uint64_t cycles); /* in all; then closes */

#endif /* PAWL_BENCH_GATE_CYCLE_H */
