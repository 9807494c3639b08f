/*
 * event.h - copying an event that its sender has only just written, and the buffer that travels
 * with one.
 *
 * Layer: task. Copying: a sender fills an event field by field, and the copy that follows at once
 * would load wider than those stores: the processor then cannot forward them and waits until they
 * have reached the cache (5 ns). So the fields are read as they were written, put together in
 * registers and stored wide, which the next copy can be forwarded from.
 */
#ifndef PAWL_TASK_EVENT_H
#define PAWL_TASK_EVENT_H

#include <pawl/task.h>
#include <string.h>

typedef uint64_t event_half __attribute__((vector_size(16)));

static inline void event_copy(void *to, const struct pawl_event *from)
{
    uint64_t code = from->code;
    uint64_t flags = from->flags;
    uint64_t tag = from->tag;
    uint64_t arg0 = from->arg[0];
    uint64_t arg1 = from->arg[1];
    event_half first, second;

    /* Else the compiler joins loads of neighbours into wide ones. */
    __asm__("" : "+r"(code), "+r"(flags), "+r"(tag), "+r"(arg0), "+r"(arg1));
    first = (event_half){from->task.id, code | flags << 16 | tag << 32};
    second = (event_half){arg0, arg1};
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
