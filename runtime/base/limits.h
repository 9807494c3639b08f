/*
 * limits.h - every named limit of the library, and the proofs that they fit together.
 *
 * Layer: base.
 */
#ifndef PAWL_BASE_LIMITS_H
#define PAWL_BASE_LIMITS_H

#include <stdint.h>

/* A task id is shard:10 | generation:22 | slot:32 (include/pawl/task.h says why). */
#define ID_SLOT_BITS       32
#define ID_GENERATION_BITS 22
#define ID_SHARD_BITS      10
#define SHARDS_MAX         (1u << ID_SHARD_BITS)
#define GENERATION_MAX     ((1u << ID_GENERATION_BITS) - 1)

/* Machines. The head word of a slot has 16 bits for the state and 8 for the machine. */
#define MACHINES_MAX    256u
#define STATES_MAX      65535u
#define EVENTS_MAX      4096u /* event codes of one machine; codes above are the runtime's own */
#define TIMERS_MAX      255u  /* named timers and state timeouts of one machine */
#define NESTING_MAX     16u   /* depth of nested states */
#define HISTORY_BITS    16u   /* one 16-bit word in the slot remembers all history states */
#define RAISE_CHAIN_MAX 64u   /* events one step may raise to its own task */
#define KEY_SIZE_MAX    64u   /* bytes of a caller's key */
#define CONTEXT_INLINE  24u   /* bytes of context inside the slot */
#define CONTEXT_MAX     4096u /* bytes of context in a block of the shard's pool */

/* A turn. */
#define BATCH_MAX     128u /* events stepped together: 8 KiB of slots, a sixth of a level-1 cache */
#define QUOTA         1024u /* events taken from one source in one turn */
#define STEP_EMIT_MAX 256u  /* events, creations and timer changes one step may stage */

/* Queues, all in events of 32 bytes. */
#define PORT_RING_DEFAULT 4096u
#define PORT_RING_MAX     (1u << 20)
#define CONTROL_RING      64u
#define INFLIGHT_DEFAULT  (1u << 20) /* events queued inside one shard: 32 MiB */
#define PORTS_MAX         4096u      /* open at once in one runtime, hidden ones included */
#define PORTLESS_RING     1024u      /* of a thread that posts without a port */

_Static_assert(ID_SLOT_BITS + ID_GENERATION_BITS + ID_SHARD_BITS == 64, "an id is one word");
_Static_assert(BATCH_MAX <= UINT16_MAX, "batch positions are 16-bit");
_Static_assert(QUOTA % BATCH_MAX == 0, "a quota is whole batches");
_Static_assert(PORTS_MAX < UINT16_MAX, "a source is 16-bit and 0 means none");
_Static_assert((CONTROL_RING & (CONTROL_RING - 1)) == 0, "rings are powers of two");
_Static_assert(CONTEXT_INLINE % 8 == 0, "contexts are copied in words");

#endif /* PAWL_BASE_LIMITS_H */
