/*
 * registry.h - which ports there are, for the shards that scan them.
 *
 * Layer: shard.
 *
 * The registry is an array of entries that shards scan. An entry's `life` is odd while a port is
 * there and grows with each opening and closing.
 *
 *   closer                                  shard, in its scan
 *   closing = true          (release) K1    sees closing (acquire) K2, then finds the rings empty:
 *   waits for left == shards(acquire) K4      leaves: remembers the life, left + 1 (release) K3
 *   life + 1, frees the port                  does not touch the port in this life again
 *
 *   K1 -> K2: the last events were published before. K3 -> K4: the shard's last access is over.
 *   Admission is closed by drain and stop. A producer that found it open may still be posting:
 *
 *   producer                                closer of admission
 *   posting = 1                             admits = 0
 *   light barrier                           heavy barrier                    (host/barrier.h)
 *   admits still 1? else give up            wait until posting == 0 (acquire) in every port
 *   push; posting = 0 (release)
 *
 *   So what is accepted at all is in the rings when the closer goes on.
 *
 *   The entry itself: life odd (release) E1 -> the scan loads life (acquire) E2: the port is whole.
 */
#ifndef PAWL_SHARD_REGISTRY_H
#define PAWL_SHARD_REGISTRY_H

#include "shard/port.h"

struct port_entry {
    _Atomic uint32_t life;
    _Atomic(struct pawl_port *) port;
};

/* Who may post. */
enum admits { ADMITS_NONE, ADMITS_AGENTS, ADMITS_ALL };

struct port_registry {
    const struct aliases *aliases; /* I: NULL where no task has moved (shard/alias.h) */
    uint32_t shard_count;          /* I, as the following */
    struct shard *const *shards;
    const struct shard_machine *machines;
    uint32_t machine_count;
    uint64_t key_seed;
    bool host_driven;
    bool asymmetric;          /* of the barriers */
    _Atomic uint32_t admits;  /* M: enum admits */
    _Atomic uint32_t drains;  /* M: grows with each drain, when it has closed admission */
    bool started;             /* R: a shard may have seen ports */
    _Atomic uint32_t stopped; /* M: no shard will be turned any more */
    _Atomic uint32_t top;     /* R writes, any reads: entries ever used */
    uint32_t open;            /* R: ports and windows that the host has not closed */
    struct pawl_port *dead;   /* R: hidden ports to be freed when all shards have left */
    pthread_mutex_t mutex;
    struct port_entry entries[PORTS_MAX];
};

int pawl__ports_init(struct port_registry *registry);
void pawl__ports_fini(struct port_registry *registry);

int pawl__port_create(struct port_registry *registry, uint32_t capacity, uint32_t completions,
                      bool hidden, struct pawl_port **port);

/* Frees the ports that are left when the runtime closes: hidden ones of threads that live on. */
void pawl__ports_free_hidden(struct port_registry *registry);

/* A hidden port's thread is gone: it will be freed when its events were taken. */
void pawl__port_abandon(struct pawl_port *port);

/* Frees abandoned ports that every shard has left (all of them, once stopped). */
void pawl__ports_reap(struct port_registry *registry);

/*
 * Closes admission, for all or for all but agents: afterwards every event that was or will be
 * accepted of the others is in its ring.
 */
void pawl__ports_refuse(struct port_registry *registry, enum admits admits);

/* Shards are about to be turned for the first time. */
void pawl__ports_set_started(struct port_registry *registry);

/*
 * For whoever closes a port: tell sleeping shards, see whether all have left, and free it (mutex
 * held).
 */
void pawl__ports_wake_shards(const struct port_registry *registry);
bool pawl__port_is_left(const struct pawl_port *port);
void pawl__port_free(struct port_registry *registry, struct pawl_port *port);

/* Frees a port that no shard can have seen, because none was ever turned; false: they may have. */
bool pawl__port_leave_early(struct port_registry *registry, struct pawl_port *port);

#endif /* PAWL_SHARD_REGISTRY_H */
