/*
 * side.h - both sides of the rows of memory: a runtime with one port whose tasks all are of one machine, and the same
 * machine for those that do it by hand.
 *
 * Memory is the process's resident set. Contenders share the process, so each counts its own growth:
 * the differences over what it does itself, from when it is opened. The page tables and the arrays of
 * the kernel itself are taken, and touched, before that.
 */
#ifndef PAWL_BENCH_SIDE_H
#define PAWL_BENCH_SIDE_H

#include <pawl/pawl.h>
#include <stdbool.h>
#include <stdint.h>

#include "peers/workers.h"

/* Of the machine that counts, in as many states as a life has steps. */
enum { EVENT_ADVANCE, EVENT_END };

struct counts {
    uint64_t count;
    uint64_t sum;
};

extern const struct hand_machine side_hand_machine;

struct side {
    struct pawl_machine *machine;
    struct pawl_runtime *runtime;
    struct pawl_port *port;
    bool host;
};

void side_open(struct side *side, const struct pawl_machine_def *definition,
               struct pawl_options *options);

/* With the machine that counts, on one shard that the calling thread turns. */
void side_open_host(struct side *side);
void side_close(struct side *side);

/* Where the calling thread turns the shard, until there is nothing to do. */
void side_turn(struct side *side);

/* Makes tasks; their ids go to `ids` where that is not NULL. Returns the first one's. */
uint64_t side_make(struct side *side, uint64_t count, uint64_t *ids);

void side_post(struct side *side, const struct pawl_event *events, unsigned count);

/* One event for each of these tasks. */
void side_post_each(struct side *side, const uint64_t *ids, uint64_t count, uint16_t code);

struct pawl_counters side_counters(const struct side *side);

/* Mapped for the host's own records; of huge pages, if there are. */
void *side_memory(uint64_t bytes);

void side_sleep_ns(uint64_t ns);

#endif /* PAWL_BENCH_SIDE_H */
