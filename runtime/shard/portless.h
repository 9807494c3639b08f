/*
 * portless.h - hidden ports: what a thread that posts without a port posts through.
 *
 * Layer: shard. Each thread gets a port of its own for each runtime that it posts to, found again
 * through thread-local storage, so producers share nothing. When the thread ends its ports are
 * abandoned and freed once the shards have taken what is in them; when the runtime is closed first,
 * the thread's entry is left over and recognised as dead by the runtime's number, which is never
 * used again.
 */
#ifndef PAWL_SHARD_PORTLESS_H
#define PAWL_SHARD_PORTLESS_H

#include "shard/registry.h"

/* A number that no other runtime of this process has or will have; makes it known as alive. 0: no
 * memory. */
uint64_t pawl__portless_register(struct port_registry *registry);

/* No thread may be posting any more. Threads' entries for it are dead from here on. */
void pawl__portless_unregister(uint64_t number);

/* This thread's hidden port. -ENOMEM, -ENOSPC. */
int pawl__portless_get(uint64_t number, struct port_registry *registry, struct pawl_port **port);

/* How many entries this thread keeps, of live and closed runtimes. */
uint32_t pawl__portless_entries(void);

#endif /* PAWL_SHARD_PORTLESS_H */
