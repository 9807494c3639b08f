/*
 * intake.h - the shards' side of ports.
 *
 * Layer: shard. Owner: the shard, but for pawl__ports_waiting. Fairness: every turn takes at most a
 * quota from each port, and begins with another port than the turn before. Under pressure (shard.h)
 * the round ends before the next port.
 */
#ifndef PAWL_SHARD_INTAKE_H
#define PAWL_SHARD_INTAKE_H

#include "shard/registry.h"

/* The port of an entry, if there is one that this shard has not left. */
static inline struct pawl_port *intake_port(const struct shard *shard, uint32_t index)
{
    const struct port_entry *entry = &shard->ports->entries[index];
    const uint32_t life = load_acquire(&entry->life); /* (E2) pairs with (E1) */

    if ((life & 1) == 0 || shard->port_left[index] == life)
        return NULL;
    return load_relaxed(&entry->port); /* relaxed: (E2) orders it */
}

/* Phases of the turn, for one shard. Each returns how many events were handled. */
uint32_t pawl__ports_take_control(struct shard *shard);
uint32_t pawl__ports_take(struct shard *shard);

/* Publishes completions and wakes who waits for them. Once a turn. */
void pawl__ports_flush(struct shard *shard);

bool pawl__ports_have_work(struct shard *shard);

/* Takes everything out, calling fn; after the threads have ended. */
void pawl__ports_drain(struct shard *shard,
                       void (*fn)(struct shard *shard, const struct pawl_event *event,
                                  uint16_t source));

/*
 * Where the next completion for the port `source` is to be written, now; it has asked for one.
 * Written in place field by field, because what is written to memory in pieces and then copied as a
 * whole waits for all stores before it, the journal's among them.
 */
static inline __attribute__((always_inline)) struct pawl_completion *port_place(struct shard *shard,
                                                                                uint16_t source)
{
    const uint32_t index = source - 1u;
    /* relaxed: a port with completions outstanding has not been closed. */
    struct pawl_port *port = load_relaxed(&shard->ports->entries[index].port);
    struct port_lane *lane = &port->lanes[shard->number];
    struct cell *cell = outlet_next(&lane->completions_out);

    CHECK(cell != NULL);
    if (!lane->flush) {
        lane->flush = true;
        shard->ports_flush[shard->ports_flush_count++] = (uint16_t)index;
    }
    return (struct pawl_completion *)(void *)cell;
}

/* Events posted and not yet taken by a shard, for drain's report. */
uint64_t pawl__ports_waiting(const struct port_registry *registry, uint32_t shard);

#endif /* PAWL_SHARD_INTAKE_H */
