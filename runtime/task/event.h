/*
 * event.h - copying an event that its sender has only just written, and the buffer that travels with one.
 *
 * Layer: task. Copying: a sender fills an event field by field, and the copy that follows at once would load wider
 * than those stores: the processor then cannot forward them and waits until they have reached the cache
 * (5 ns). So the fields are read as they were written, put together in registers and stored wide, which
 * the next copy can be forwarded from.
 */
#ifndef PAWL_TASK_EVENT_H
#define PAWL_TASK_EVENT_H

#include <pawl/task.h>
#include <string.h>

typedef uint64_t event_half __attribute__((vector_size(16)));

static inline void event_copy(void *to, const struct pawl_event *from)
{
    const event_half first = {from->task.id, (uint64_t)from->code | (uint64_t)from->flags << 16 |
                                                 (uint64_t)from->tag << 32};
    const event_half second = {from->arg[0], from->arg[1]};

    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "code is the lowest of the word");
    memcpy(to, &first, sizeof(first));
    memcpy((char *)to + sizeof(first), &second, sizeof(second));
}

/* The buffer of an event that has the flag PAWL_EVENT_BUFFER. */
static inline struct pawl_buffer *event_buffer(const struct pawl_event *event)
{
    return (struct pawl_buffer *)(uintptr_t)event->arg[0];
}

/* Gives up the reference that travels with the event, if one does. */
static inline void event_drop_buffer(const struct pawl_event *event)
{
    if ((event->flags & PAWL_EVENT_BUFFER) != 0)
        pawl_buffer_unref(event_buffer(event));
}

#endif /* PAWL_TASK_EVENT_H */
