/*
 * event.h - copying an event that its sender has only just written.
 *
 * Layer: task. A sender fills an event field by field, and the copy that follows at once would load wider
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

#endif /* PAWL_TASK_EVENT_H */
