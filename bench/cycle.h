/*
 * cycle.h - Pawl's side of the rows of agents: a runtime with one lane, tasks that go through it,
 * and agents that take them and report them done.
 *
 * A cycle is: a task is ready, it is leased by an agent, the agent reports, it is done. What a host
 * does at leisure in between is nothing here: an agent reports what it has been handed at once.
 * Whatever the runtime refuses fails the bench with what it said.
 */
#ifndef PAWL_BENCH_CYCLE_H
#define PAWL_BENCH_CYCLE_H

#include <pawl/pawl.h>
#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

enum { CYCLE_AGENTS_MAX = 64 };

/* What becomes of a task that is done. */
enum cycle_life {
    CYCLE_AGAIN, /* ready again: the tasks go round; a claim and one word each */
    CYCLE_ONCE,  /* it ends: each cycle makes a task; a claim and a struct record each */
    CYCLE_WORK,  /* the same, of the library's work machine */
};

struct cycle_spec {
    const char *folder; /* of the store; NULL: none */
    enum pawl_durability durability;
    enum pawl_drive drive;
    enum cycle_life life;
    unsigned shards;
    uint64_t tasks; /* CYCLE_AGAIN: in all, dealt out to the shards in turn */
    uint32_t ranks; /* CYCLE_AGAIN: priorities that there are at any time */
    unsigned agents;
    uint32_t credits; /* of each */
    uint64_t keep_ns; /* CYCLE_WORK: how much longer a task stays */
};

struct cycle;

/* Opened on every cpu of the process; the calling thread is pinned to the first one afterwards. */
struct cycle *cycle_open(const struct cycle_spec *spec);

/* Ends the agents, then the runtime. Of CYCLE_AGAIN it looks whether every cycle is in its task. */
void cycle_close(struct cycle *cycle);

/* One bounded turn of a shard, in the host-driven mode. */
void cycle_turn(struct cycle *cycle, unsigned shard);

/*
 * What the agent of this number does when it has a moment: takes leases that have come, up to 256,
 * reports them done, and takes the receipts that have come; returns how many those were. One thread
 * at a time for each agent.
 */
unsigned cycle_agent(struct cycle *cycle, unsigned agent);

/* So many cycles of tasks that are there, by the first agent. */
void cycle_again(struct cycle *cycle, uint64_t count);

/*
 * So many cycles, with a task made for each; no more than `under_way` of them at once. delays (may
 * be NULL) gets every 64th, where the machine tells which it was (not CYCLE_WORK): from before it
 * was put until the receipt of its report was taken. Checks that each is as safe as it should be.
 */
void cycle_once(struct cycle *cycle, uint64_t count, uint32_t under_way, struct histogram *delays);

/*
 * For what is done to tasks besides: the lane's name, and a port for the thread that opened all
 * this.
 */
extern const char cycle_lane[];
struct pawl_runtime *cycle_runtime(struct cycle *cycle);
struct pawl_port *cycle_port(struct cycle *cycle);

/* Bytes of journal written so far. */
uint64_t cycle_journal_bytes(const struct cycle *cycle);

#endif
