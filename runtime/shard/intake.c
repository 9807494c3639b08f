/*
 * intake.c - the shards' side of ports: a fair round over all of them, and completions back.
 *
 * Layer: shard. Owner: the shard.
 */
#include "shard/intake.h"

static void leave_port(struct shard *shard, struct pawl_port *port)
{
    struct port_entry *entry = &shard->ports->entries[port->index];

    shard->port_left[port->index] = load_relaxed(&entry->life); /* relaxed: it cannot change now */
    /* (K3) pairs with (K4). The last access: a wake after it would touch a port that may be gone, so
     * the closer looks for itself from time to time. */
    add_acq_rel(&port->left, 1);
}

uint32_t pawl__ports_take_control(struct shard *shard)
{
    const uint32_t top = load_acquire(&shard->ports->top);
    uint32_t taken = 0;

    for (uint32_t i = 0; i < top; i++) {
        struct pawl_port *port = intake_port(shard, i);

        if (port != NULL)
            taken += pawl__batch_ring(shard, &port->lanes[shard->number].control, (uint16_t)(i + 1),
                                      CONTROL_RING);
    }
    return taken;
}

uint32_t pawl__ports_take(struct shard *shard)
{
    const uint32_t top = load_acquire(&shard->ports->top);
    uint32_t taken = 0;

    for (uint32_t n = 0; n < top && shard->inflight < shard->inflight_soft; n++) {
        const uint32_t i =
            shard->port_next + n < top ? shard->port_next + n : shard->port_next + n - top;
        struct pawl_port *port = intake_port(shard, i);
        struct port_lane *lane;
        bool closing;

        if (port == NULL)
            continue;
        lane = &port->lanes[shard->number];
        closing = load_acquire(&port->closing) != 0; /* (K2) pairs with (K1) */
        taken += pawl__batch_ring(shard, &lane->events, (uint16_t)(i + 1), QUOTA);
        if (unlikely(closing) && spsc_is_empty_consumer(&lane->events) &&
            spsc_is_empty_consumer(&lane->control) && !lane->flush)
            leave_port(shard, port);
    }
    if (top > 0)
        shard->port_next = shard->port_next + 1 < top ? shard->port_next + 1 : 0;
    return taken;
}

void pawl__ports_flush(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->ports_flush_count; i++) {
        /* relaxed: as in port_place. */
        struct pawl_port *port = load_relaxed(&shard->ports->entries[shard->ports_flush[i]].port);
        struct port_lane *lane = &port->lanes[shard->number];

        lane->flush = false;
        outlet_flush(&lane->completions_out);
        park_wake(&port->park);
    }
    shard->ports_flush_count = 0;
}

bool pawl__ports_have_work(struct shard *shard)
{
    const uint32_t top = load_acquire(&shard->ports->top);

    for (uint32_t i = 0; i < top; i++) {
        struct pawl_port *port = intake_port(shard, i);

        if (port == NULL)
            continue;
        if (load_acquire(&port->closing) != 0 ||
            !spsc_is_empty_consumer(&port->lanes[shard->number].events) ||
            !spsc_is_empty_consumer(&port->lanes[shard->number].control))
            return true;
    }
    return false;
}

void pawl__ports_drain(struct shard *shard,
                       void (*fn)(struct shard *shard, const struct pawl_event *event,
                                  uint16_t source))
{
    const uint32_t top = load_acquire(&shard->ports->top);
    struct pawl_event event;

    for (uint32_t i = 0; i < top; i++) {
        struct pawl_port *port = intake_port(shard, i);
        struct port_lane *lane;

        if (port == NULL)
            continue;
        lane = &port->lanes[shard->number];
        while (spsc_pop(&lane->control, &event, 1) == 1 || spsc_pop(&lane->events, &event, 1) == 1)
            fn(shard, &event, (uint16_t)(i + 1));
    }
}

uint64_t pawl__ports_waiting(const struct port_registry *registry, uint32_t shard)
{
    const uint32_t top = load_acquire(&registry->top);
    uint64_t waiting = 0;

    for (uint32_t i = 0; i < top; i++) {
        const struct port_entry *entry = &registry->entries[i];
        const struct pawl_port *port = load_relaxed(&entry->port); /* relaxed: mutex held */

        if ((load_acquire(&entry->life) & 1) == 0)
            continue;
        waiting += spsc_count(&port->lanes[shard].events) + spsc_count(&port->lanes[shard].control);
    }
    return waiting;
}
