/*
 * task.h - the words of the trade: tasks and events.
 */
#ifndef PAWL_TASK_H
#define PAWL_TASK_H

#include <pawl/export.h>
#include <stddef.h>
#include <stdint.h>

PAWL_BEGIN_DECLS

/*
 * A task handle: shard:10 | generation:22 | slot:32. 0 is no task. A handle is never used again for
 * another task of the same runtime: a slot whose generations are used up is retired. So a stale
 * handle is always told from a live one.
 */
struct pawl_task {
    uint64_t id;
};

#ifdef __cplusplus
#define PAWL_NO_TASK (pawl_task{0})
#else
#define PAWL_NO_TASK ((struct pawl_task){0})
#endif

static inline unsigned pawl_task_shard(struct pawl_task task)
{
    return (unsigned)(task.id >> 54);
}

/* What an event wants of the runtime; bits of pawl_event.flags. */
#define PAWL_EVENT_COMPLETE 0x01u /* the port gets a completion when the event has been handled */
#define PAWL_EVENT_CONTROL  0x02u /* overtakes every event that is not a control event */
#define PAWL_EVENT_BUFFER                                                                          \
    0x04u /* arg[0] is a struct pawl_buffer *, whose reference travels along */

/* What a handler may find there besides. */
#define PAWL_EVENT_ASK     0x08u /* another task waits for pawl_step_answer */
#define PAWL_EVENT_TIMER   0x10u /* a timer of this task fired; arg[0] is the timer's number */
#define PAWL_EVENT_DURABLE 0x20u /* sent by a step of a durable task */

/* Codes at and above this are the runtime's own. */
#define PAWL_CODE_RUNTIME 0xff00u
#define PAWL_CODE_CREATE  0xff01u /* seen by the entry actions of the initial state */
#define PAWL_CODE_CANCEL  0xff02u /* seen by the exit actions of a task that is cancelled */

/*
 * An event, 32 bytes. code is its position in the machine's table of events. tag is the sender's:
 * it comes back in the completion. Events from one sender (a port, a thread without a port, a task)
 * to one task are handled in the order sent; control events overtake the others, in order among
 * themselves.
 */
struct pawl_event {
    struct pawl_task task;
    uint16_t code;
    uint16_t flags;
    uint32_t tag;
    uint64_t arg[2];
};

/*
 * A payload that is too large for an event: reference-counted bytes. create gives one reference,
 * which a successful post takes over; the runtime drops it when the event has been handled or
 * reported. A handler that keeps the buffer takes its own reference with ref. unref of the last
 * reference frees. Thread: any; the bytes are the holder's business.
 */
struct pawl_buffer;
PAWL_API struct pawl_buffer *pawl_buffer_create(size_t size_bytes);
PAWL_API void pawl_buffer_ref(struct pawl_buffer *buffer);
PAWL_API void pawl_buffer_unref(struct pawl_buffer *buffer);
PAWL_API void *pawl_buffer_bytes(struct pawl_buffer *buffer);
PAWL_API size_t pawl_buffer_size(const struct pawl_buffer *buffer);

/*
 * What a new task is made of. The context begins as the given bytes, the rest zero; then the entry
 * actions of the initial state run with an event of code PAWL_CODE_CREATE and these two words.
 * With a key (1 to 64 bytes) the task lives on the key's home shard and shard is ignored; without,
 * shard names one, or PAWL_ANY_SHARD leaves the choice to the runtime.
 */
#define PAWL_ANY_SHARD UINT32_MAX

#define PAWL_PAYLOAD_MAX 61440

struct pawl_task_spec {
    unsigned machine; /* its position in pawl_options.machines */
    uint32_t shard;
    const void *key;
    size_t key_size;
    const void *context;
    size_t context_size;
    uint64_t arg[2];
    const void *payload; /* for the entry actions, not in pawl_step_create: pawl_step_payload */
    size_t payload_size; /* up to PAWL_PAYLOAD_MAX */
};

PAWL_END_DECLS

#endif /* PAWL_TASK_H */
